#include <freestone/zone/layers/layer.hpp>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <unistd.h>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/file.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/layers/limit.hpp>
#include <freestone/zone/layers/sized.hpp>

using namespace freestone;
using layers::Layer;
using layers::Limit;
using layers::Sized;

namespace {

using Plain = Zone<backing::OffsetSpace, strategy::BestFit, lock::None, cache::Coherent>;
using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;
using Kept = Zone<backing::File, strategy::Bitmap, lock::Spin, cache::Coherent>;

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

// Writes down what comes through it.
template <class Z>
class Noting : public Layer<Noting<Z>, Z> {
  using Base = Layer<Noting, Z>;
  friend Base;

 public:
  std::vector<std::pair<Block, ErrorCode>> seen;
  int recoveries = 0;

  void after_recover() noexcept { ++recoveries; }
  template <class Next>
  Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    const auto done = next(block);
    seen.emplace_back(block, code_of(done));
    return done;
  }

 private:
  Noting(Z&& zone, const layers::NoSettings&) noexcept : Base(std::move(zone)) {}
};

// Says that it must see each call, or nothing.
template <class Z>
struct Must : Layer<Must<Z>, Z> {
  static constexpr bool sees_each_call = true;
};
template <class Z>
struct Need : Layer<Need<Z>, Z> {};

static_assert(!layers::must_see_each_call<Plain> && !layers::must_see_each_call<Need<Plain>>);
static_assert(layers::must_see_each_call<Must<Plain>> && layers::must_see_each_call<Need<Need<Must<Plain>>>>);
static_assert(layers::must_see_each_call<Must<Need<Plain>>>);

std::string path_of(const char* name) { return "/tmp/freestone-layer-" + std::to_string(getpid()) + "-" + name; }

}  // namespace

TEST_CASE("a deallocate_at goes through each layer, whatever is there") {
  auto zone = Noting<Noting<Plain>>::create({.name = "noted", .size = 64_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate(8_KiB);
  REQUIRE(block);
  CHECK(code_of(zone->deallocate_at(4_KiB)) == ErrorCode::inner_release);
  CHECK(code_of(zone->deallocate_at(1)) == ErrorCode::inner_release);
  CHECK(code_of(zone->deallocate_at(32_KiB)) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate_at(1_MiB)) == ErrorCode::foreign_block);
  CHECK(zone->deallocate_at(0));
  const std::vector<std::pair<Block, ErrorCode>> all = {
      {Block(4_KiB, 0, zone->tag()), ErrorCode::inner_release},
      {Block(1, 0, zone->tag()), ErrorCode::inner_release},
      {Block(32_KiB, 0, zone->tag()), ErrorCode::double_release},
      {Block(1_MiB, 0, zone->tag()), ErrorCode::foreign_block},
      {*block, ErrorCode::none},
  };
  CHECK(zone->seen == all);
  CHECK(zone->Noting<Plain>::seen == all);
}

TEST_CASE("a recovery tells each layer") {
  auto zone = Noting<Sized<Noting<Shared>, layers::PowerOfTwoSizes>>::create({.size = 64_KiB, .owner = 1},
                                                                             layers::PowerOfTwoSizes());
  REQUIRE(zone);
  REQUIRE(zone->allocate(1));
  REQUIRE(zone->allocate(1));
  const Recovery found = zone->recover([](std::uint8_t owner) { return owner != 1; });
  CHECK(found.dropped == 2);
  CHECK(zone->recoveries == 1);
  CHECK(zone->Noting<Shared>::recoveries == 1);
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("attach_or_create makes the layers too") {
  const std::string path = path_of("kept");
  const backing::File::Source source{path.c_str()};
  {
    auto made = Limit<Sized<Kept, layers::EqualBlocks>>::attach_or_create(
        {.name = "kept", .size = 1_MiB}, {.bytes = 32_KiB}, layers::EqualBlocks{8_KiB}, source);
    static_assert(std::is_same_v<decltype(made), Result<Limit<Sized<Kept, layers::EqualBlocks>>>>);
    REQUIRE(made);
    CHECK(made->allocate(1)->size() == 8_KiB);
    CHECK(code_of(made->allocate(32_KiB)) == ErrorCode::over_limit);
    auto found = Noting<Kept>::attach_or_create({.name = "kept", .size = 1_MiB}, source);
    REQUIRE(found);
    CHECK(found->stats().blocks == 1);
    CHECK(found->deallocate_at(0));
    CHECK(found->seen.size() == 1);
    const auto refused =
        Sized<Kept, layers::EqualBlocks>::attach_or_create({.name = "kept", .size = 1_MiB}, {0}, source);
    CHECK(code_of(refused) == ErrorCode::equal_block_zero);
    CHECK(refused.error().zone == std::string("kept"));
  }
  unlink(path.c_str());
}
