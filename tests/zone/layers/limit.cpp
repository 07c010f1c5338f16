#include <freestone/zone/layers/limit.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/layers/fault_injection.hpp>
#include <freestone/zone/layers/quarantine.hpp>
#include <freestone/zone/layers/scrub.hpp>
#include <freestone/zone/layers/sized.hpp>

using namespace freestone;
using layers::Call;
using layers::EqualBlocks;
using layers::FaultInjection;
using layers::Limit;
using layers::LimitSettings;
using layers::PowerOfTwoSizes;
using layers::Sized;

namespace {

template <class S, class L = lock::None>
using Numbers = Zone<backing::OffsetSpace, S, L, cache::Coherent>;
using Plain = Numbers<strategy::Bitmap>;
using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;

using Bytes4K = Zone<backing::Anonymous, strategy::BestFit, lock::None, cache::Coherent>;

static_assert(!Limit<Plain>::sees_each_call && Limit<Plain, 1>::sees_each_call);
static_assert(Limit<Limit<Plain, 1>>::sees_each_call && Limit<Sized<Limit<Plain, 1>, EqualBlocks>>::sees_each_call);

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

template <class Z>
void check_use(Z& zone, Bytes bytes, std::uint64_t blocks) {
  CHECK(zone.use().bytes == bytes);
  CHECK(zone.use().blocks == blocks);
}

// The layer and the zone agree, where nobody goes round it.
template <class Z>
void check_agrees(Z& zone) {
  const Stats stats = zone.stats();
  check_use(zone, stats.used, stats.blocks);
}

// Gives back the block that it was told of, and counts how often it was asked.
template <class Z>
struct Freer {
  Z* zone = nullptr;
  Block block = {};
  bool goes_on = true;
  unsigned asked = 0;
  Request request = {};
  Error why = {};

  static bool free_one(void* context, const Request& request, const Error& why) noexcept {
    auto& self = *static_cast<Freer*>(context);
    ++self.asked;
    self.request = request;
    self.why = why;
    if (self.block.size() != 0) static_cast<void>(self.zone->deallocate(std::exchange(self.block, Block())));
    return self.goes_on;
  }
};

// In constant evaluation: a limit of two granules.
consteval bool holds_at_compile_time() {
  using Z = Limit<Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>, 1, 4>;
  std::array<std::uint64_t, 64> notes = {};
  auto zone = Z::create({.granule = 1}, {.bytes = 2}, backing::Borrowed::at(0, 64, notes));
  const auto a = zone->allocate(1);
  const auto b = zone->allocate(1);
  const auto c = zone->allocate(1);
  return a && b && !c && c.error().code == ErrorCode::over_limit && zone->deallocate(*a) && zone->allocate(1);
}
static_assert(holds_at_compile_time());

}  // namespace

TEST_CASE("granted bytes are limited, and what goes back is free again") {
  auto zone = Limit<Plain>::create({.name = "mine", .size = 1_MiB}, {.bytes = 16_KiB});
  REQUIRE(zone);
  const auto a = zone->allocate(5000);
  REQUIRE(a);
  check_use(*zone, 8_KiB, 1);
  const auto b = zone->allocate(8_KiB);
  REQUIRE(b);
  const Stats before = zone->stats();
  const auto c = zone->allocate(1);
  REQUIRE_FALSE(c);
  CHECK(c.error() == Error{.code = ErrorCode::over_limit, .asked = (4_KiB).value(), .available = 0, .zone = "mine"});
  CHECK(zone->stats() == before);
  check_use(*zone, 16_KiB, 2);
  REQUIRE(zone->deallocate(*a));
  CHECK(code_of(zone->allocate(9_KiB)) == ErrorCode::over_limit);
  CHECK(zone->allocate(8_KiB));
  check_agrees(*zone);
}

TEST_CASE("blocks are limited, and so is what the table can follow") {
  auto zone = Limit<Plain, 0, 3>::create({.size = 1_MiB}, {.blocks = 2});
  REQUIRE(zone);
  REQUIRE(zone->allocate(1));
  const auto b = zone->allocate(1);
  REQUIRE(b);
  const auto c = zone->allocate(1);
  REQUIRE_FALSE(c);
  CHECK(c.error() == Error{.code = ErrorCode::over_limit, .asked = 1, .available = 0});
  REQUIRE(zone->set_block_limit(100));
  REQUIRE(zone->allocate(1));
  const Stats before = zone->stats();
  CHECK(code_of(zone->allocate(1)) == ErrorCode::too_many_blocks);
  CHECK(zone->stats() == before);
  REQUIRE(zone->deallocate(*b));
  CHECK(zone->allocate(1));
  check_agrees(*zone);
}

TEST_CASE("limits change while blocks live, but not below them") {
  auto zone = Limit<Plain, 2>::create({.name = "mine", .size = 1_MiB}, {});
  REQUIRE(zone);
  REQUIRE(zone->allocate({.size = 8_KiB, .tag = 1}));
  REQUIRE(zone->allocate({.size = 4_KiB, .tag = 7}));
  CHECK(zone->set_byte_limit(12_KiB - 1).error() == Error{.code = ErrorCode::limit_too_low,
                                                          .asked = (12_KiB).value() - 1,
                                                          .available = (12_KiB).value(),
                                                          .zone = "mine"});
  CHECK(code_of(zone->set_block_limit(1)) == ErrorCode::limit_too_low);
  CHECK(code_of(zone->set_budget(1, 8_KiB - 1)) == ErrorCode::limit_too_low);
  CHECK(zone->allocate({.size = 64_KiB, .tag = 1}));  // nothing changed
  REQUIRE(zone->set_byte_limit(76_KiB));
  REQUIRE(zone->set_block_limit(3));
  REQUIRE(zone->set_budget(1, 72_KiB));
  CHECK(code_of(zone->allocate(1)) == ErrorCode::over_limit);
  CHECK(zone->set_budget(2, 1).error() ==
        Error{.code = ErrorCode::no_budget, .asked = 2, .available = 2, .zone = "mine"});
}

TEST_CASE("each tag has its budget, and tags without one have none") {
  auto zone = Limit<Plain, 3>::create({.size = 1_MiB}, {.bytes = 64_KiB});
  REQUIRE(zone);
  REQUIRE(zone->set_budget(0, 8_KiB));
  REQUIRE(zone->set_budget(2, 0));
  const auto a = zone->allocate({.size = 5000, .tag = 0});
  REQUIRE(a);
  CHECK(zone->use(0) == 8_KiB);
  CHECK(code_of(zone->allocate(1)) == ErrorCode::over_limit);
  CHECK(code_of(zone->allocate({.size = 1, .tag = 2})) == ErrorCode::over_limit);
  CHECK(zone->allocate({.size = 16_KiB, .tag = 1}));
  CHECK(zone->allocate({.size = 16_KiB, .tag = 3}));
  CHECK(zone->use(1) == 16_KiB);
  CHECK(zone->use(2) == 0);
  CHECK(zone->use(3) == 0);
  REQUIRE(zone->deallocate_at(a->offset()));
  CHECK(zone->use(0) == 0);
  CHECK(zone->allocate(8_KiB));
  check_agrees(*zone);
}

TEST_CASE("what goes wrong behind it is not counted") {
  auto zone = Limit<Plain>::create({.size = 64_KiB}, {});
  auto other = Limit<Plain>::create({.name = "other", .size = 64_KiB}, {});
  REQUIRE(zone);
  const auto a = zone->allocate(8_KiB);
  REQUIRE(a);
  const auto check = [&](const auto& result, ErrorCode code) {
    CHECK(code_of(result) == code);
    check_use(*zone, 8_KiB, 1);
    check_agrees(*zone);
  };
  check(zone->allocate(0), ErrorCode::zero_size);
  check(zone->allocate(~std::uint64_t{0}), ErrorCode::size_overflow);
  check(zone->allocate(65_KiB), ErrorCode::size_beyond_zone);
  check(zone->allocate(64_KiB), ErrorCode::no_space);
  check(zone->allocate({.size = 1, .align = 3}), ErrorCode::alignment_not_power_of_two);
  check(zone->deallocate(*other->allocate(1)), ErrorCode::foreign_block);
  check(zone->deallocate(Block(a->offset() + 4_KiB, 1, zone->tag())), ErrorCode::inner_release);
  check(zone->deallocate_at(a->offset() + 4_KiB), ErrorCode::inner_release);
  check(zone->deallocate_at(32_KiB), ErrorCode::double_release);
  check(zone->deallocate(Block(1_MiB, 1, zone->tag())), ErrorCode::foreign_block);
  REQUIRE(zone->deallocate(*a));
  CHECK(code_of(zone->deallocate(*a)) == ErrorCode::double_release);
  check_use(*zone, 0, 0);
}

TEST_CASE("what is granted counts, not what was asked; too much goes back") {
  auto zone = Limit<Sized<Plain, EqualBlocks>, 1>::create({.size = 1_MiB}, {.bytes = 0x9000}, EqualBlocks{0x5000});
  REQUIRE(zone);
  REQUIRE(zone->allocate(1));
  check_use(*zone, 0x5000, 1);
  const Stats before = zone->stats();
  const auto b = zone->allocate(1);  // it would do as it is asked
  REQUIRE_FALSE(b);
  CHECK(b.error() == Error{.code = ErrorCode::over_limit, .asked = 0x5000, .available = 0x4000});
  CHECK(zone->stats() == before);
  check_use(*zone, 0x5000, 1);
  CHECK(zone->use(0) == 0x5000);
  REQUIRE(zone->set_byte_limit(0xA000));
  CHECK(zone->allocate(1));
  check_agrees(*zone);

  auto outside = Sized<Limit<Plain>, EqualBlocks>::create({.size = 1_MiB}, {0x5000}, LimitSettings{.bytes = 0x9000});
  REQUIRE(outside);
  REQUIRE(outside->allocate(1));
  CHECK(outside->allocate(1).error() == Error{.code = ErrorCode::over_limit, .asked = 0x5000, .available = 0x4000});
  check_agrees(*outside);
}

TEST_CASE("a block changes its size within the limit") {
  auto zone = Limit<Numbers<strategy::BestFit>, 1>::create({.size = 64_KiB}, {.bytes = 24_KiB});
  REQUIRE(zone);
  const auto a = zone->allocate(8_KiB);
  REQUIRE(a);
  const auto longer = zone->resize(*a, 21_KiB);
  REQUIRE(longer);
  check_use(*zone, 24_KiB, 1);
  CHECK(zone->use(0) == 24_KiB);
  CHECK(zone->resize(*longer, 25_KiB).error() ==
        Error{.code = ErrorCode::over_limit, .asked = (28_KiB).value(), .available = (24_KiB).value()});
  CHECK(zone->owns(*longer));
  CHECK(code_of(zone->resize(*longer, 0)) == ErrorCode::zero_size);
  CHECK(code_of(zone->resize(*longer, ~std::uint64_t{0})) == ErrorCode::size_overflow);
  check_use(*zone, 24_KiB, 1);
  const auto shorter = zone->resize(*longer, 1);
  REQUIRE(shorter);
  check_use(*zone, 4_KiB, 1);
  REQUIRE(zone->allocate_at(8_KiB, 4_KiB));
  CHECK(code_of(zone->resize(*shorter, 12_KiB)) == ErrorCode::no_space);
  check_use(*zone, 8_KiB, 2);
  CHECK(zone->allocate_high({.size = 4_KiB})->offset() == 60_KiB);
  CHECK(code_of(zone->allocate_high({.size = 16_KiB})) == ErrorCode::over_limit);
  CHECK(code_of(zone->allocate_at(16_KiB, 16_KiB)) == ErrorCode::over_limit);
  REQUIRE(zone->deallocate(*shorter));
  CHECK(code_of(zone->resize(*shorter, 1)) == ErrorCode::double_release);
  check_agrees(*zone);
}

TEST_CASE("a block that is rounded up beyond the limit is as long as it was") {
  using Z = Limit<Sized<Numbers<strategy::BestFit>, EqualBlocks>>;
  auto zone = Z::create({.size = 1_MiB}, {.bytes = 0x9000}, EqualBlocks{0x5000});
  REQUIRE(zone);
  const auto a = zone->allocate(1);
  REQUIRE(a);
  CHECK(zone->resize(*a, 0x5001).error() == Error{.code = ErrorCode::over_limit, .asked = 0xA000, .available = 0x9000});
  CHECK(zone->owns(*a));
  check_agrees(*zone);

  // Also with a rule that rounds its own sizes up once more.
  auto odd = Z::create({.size = 1_MiB}, {.bytes = 0x2000}, EqualBlocks{0x1800});
  REQUIRE(odd);
  const auto b = odd->allocate(1);
  REQUIRE(b);
  CHECK(code_of(odd->resize(*b, 0x2000)) == ErrorCode::over_limit);
  CHECK(odd->owns(*b));
  check_agrees(*odd);
  check_use(*odd, 0x2000, 1);
}

TEST_CASE_TEMPLATE("and has as many bytes as were asked for, where a layer behind grants more", Z,
                   Limit<layers::Canaries<Bytes4K>>, Limit<layers::Scrub<layers::Canaries<Bytes4K>>>,
                   Limit<layers::Quarantine<layers::Canaries<Bytes4K>>>) {
  const auto make = [](Bytes most) {
    if constexpr (std::is_same_v<Z, Limit<layers::Canaries<Bytes4K>>>) {
      return Z::create({.size = 256_KiB}, {.bytes = most}, layers::CanarySettings{});
    } else {
      return Z::create({.size = 256_KiB}, {.bytes = most}, typename Z::Inner::Settings{}, layers::CanarySettings{});
    }
  };
  for (const unsigned asked : {1U, 100U, 4064U, 4065U, 4090U, 8000U}) {
    for (const unsigned size : {1U, 4065U, 8160U, 8161U, 8180U, 8192U, 12280U, 12288U, 20000U}) {
      for (const unsigned most : {2U, 3U}) {
        auto zone = make(most * 4_KiB .value());
        REQUIRE(zone);
        auto block = zone->allocate(asked);
        REQUIRE(block);
        for (const unsigned last : {asked, asked - (asked > 1)}) {  // it is the last size that was asked for
          block = zone->resize(*block, last);
          REQUIRE(block);
          const auto resized = zone->resize(*block, size);
          const Block now = resized ? *resized : *block;
          REQUIRE(bool(resized) == (size + 32 <= most * 4096));
          if (!resized) CHECK(code_of(resized) == ErrorCode::over_limit);
          CHECK(zone->owns(now));
          CHECK(zone->data(now).size() == (resized ? size : last));
          CHECK(zone->use().bytes == now.size());
          check_agrees(*zone);
          block = now;
        }
        CHECK(zone->deallocate(*block));
      }
    }
  }
}

TEST_CASE("what cannot go back is granted all the same") {
  using Z = Limit<FaultInjection<Sized<Numbers<strategy::BestFit>, EqualBlocks>>>;
  auto zone = Z::create({.size = 1_MiB}, {.bytes = 0x9000}, EqualBlocks{0x5000});
  REQUIRE(zone);
  zone->fail_from(Call::deallocate, 1);
  const auto a = zone->allocate(1);
  const auto b = zone->allocate(1);
  REQUIRE(b);
  check_use(*zone, 0xA000, 2);
  CHECK(code_of(zone->deallocate(*b)) == ErrorCode::injected);
  check_use(*zone, 0xA000, 2);
  CHECK(code_of(zone->allocate(1)) == ErrorCode::over_limit);
  zone->fail_none(Call::deallocate);
  REQUIRE(zone->deallocate(*a));
  REQUIRE(zone->deallocate(*b));
  const auto c = zone->allocate(1);
  zone->fail_nth(Call::resize, 2);
  CHECK(zone->resize(*c, 0x6000)->size() == 0xA000);
  check_use(*zone, 0xA000, 1);
}

TEST_CASE("so it is with a list; what is left of one counts, and its caller has it") {
  using Lists = Numbers<strategy::OrderList<strategy::Buddy, 1, 0>>;
  using Z = Limit<FaultInjection<Lists>>;
  std::array<Block, 16> out;
  const std::array<std::uint64_t, 2> listed = {1, 3};
  for (const bool all : {true, false}) {
    auto zone = Z::create({.size = 64_KiB}, {.blocks = 2});
    REQUIRE(zone);
    if (all) zone->fail_from(Call::deallocate, 1);
    if (!all) zone->fail_listed(Call::deallocate, listed);
    out = {};
    const auto list = zone->allocate_list({.size = 20_KiB}, out);  // three blocks
    check_agrees(*zone);
    zone->fail_none(Call::deallocate);
    if (all) {
      REQUIRE(list);
      REQUIRE(list->size() == 3);
      for (const Block& block : *list) CHECK(zone->deallocate(block));
    } else {
      CHECK(code_of(list) == ErrorCode::over_limit);
      CHECK(zone->use().blocks == 2);
      CHECK(zone->deallocate(out[0]));
      CHECK(zone->deallocate(out[1]));
      CHECK(out[2] == Block());
    }
    check_use(*zone, 0, 0);
    CHECK(zone->stats().blocks == 0);
  }
  // A full table follows no more.
  using Small = Limit<FaultInjection<Lists>, 0, 2>;
  auto zone = Small::create({.size = 64_KiB}, {});
  REQUIRE(zone);
  zone->fail_from(Call::deallocate, 1);
  REQUIRE(zone->allocate_list({.size = 60_KiB}, out));
  CHECK(zone->use().blocks == 2);
  CHECK(code_of(zone->allocate(1)) == ErrorCode::too_many_blocks);
  zone->fail_none(Call::deallocate);
  for (const Block& block : out) {
    if (block != Block()) CHECK(zone->deallocate(block));
  }
  check_use(*zone, 0, 0);
}

TEST_CASE("a list counts as the blocks that it is") {
  using Z = Limit<Numbers<strategy::OrderList<strategy::Buddy, 1, 0>>, 1, 7>;
  auto zone = Z::create({.size = 64_KiB}, {.bytes = 32_KiB, .blocks = 4});
  REQUIRE(zone);
  std::array<Block, 16> out;
  const auto list = zone->allocate_list({.size = 20_KiB}, out);
  REQUIRE(list);
  CHECK(list->size() == 3);
  check_agrees(*zone);
  const Stats before = zone->stats();
  std::array<Block, 16> more;
  CHECK(code_of(zone->allocate_list({.size = 16_KiB}, more)) == ErrorCode::over_limit);  // bytes
  CHECK(code_of(zone->allocate_list({.size = 12_KiB}, more)) == ErrorCode::over_limit);  // blocks
  CHECK(more == std::array<Block, 16>());
  CHECK(code_of(zone->allocate_list({.size = 8_KiB}, std::span<Block>(more).first(0))) == ErrorCode::list_too_short);
  CHECK(zone->stats() == before);
  check_agrees(*zone);
  REQUIRE(zone->set_block_limit(100));
  REQUIRE(zone->set_byte_limit(100_KiB));
  CHECK(code_of(zone->allocate_list({.size = 36_KiB}, more)) == ErrorCode::too_many_blocks);
  CHECK(more == std::array<Block, 16>());
  for (const Block& block : *list) REQUIRE(zone->deallocate(block));
  check_use(*zone, 0, 0);
}

TEST_CASE("a callback that frees something is asked, and then it works") {
  using Z = Limit<Plain, 1>;
  auto zone = Z::create({.size = 64_KiB}, {.bytes = 16_KiB});
  REQUIRE(zone);
  Freer<Z> freer{.zone = &*zone};
  zone->set_retry(&Freer<Z>::free_one, &freer);
  freer.block = *zone->allocate(16_KiB);
  CHECK(freer.asked == 0);
  const auto b = zone->allocate({.size = 9_KiB, .tag = 5});
  REQUIRE(b);
  CHECK(freer.asked == 1);
  CHECK(freer.request.size == 9_KiB);
  CHECK(freer.request.tag == 5);
  CHECK(freer.why.code == ErrorCode::over_limit);
  check_use(*zone, 12_KiB, 1);

  CHECK(code_of(zone->allocate(8_KiB)) == ErrorCode::over_limit);  // it has nothing, and says "again" each time
  CHECK(freer.asked == 1 + 3);
  freer.goes_on = false;
  CHECK(code_of(zone->allocate(8_KiB)) == ErrorCode::over_limit);
  CHECK(freer.asked == 1 + 3 + 1);
  CHECK(code_of(zone->allocate(0)) == ErrorCode::zero_size);  // freeing does not help
  CHECK(freer.asked == 1 + 3 + 1);
  zone->set_retry(nullptr);
  CHECK(code_of(zone->allocate(8_KiB)) == ErrorCode::over_limit);
  CHECK(freer.asked == 1 + 3 + 1);
  check_agrees(*zone);
}

TEST_CASE("a callback is not asked for what no room would do") {
  using Z = Limit<Numbers<strategy::BestFit>, 2>;
  Freer<Z> freer;
  auto zone = Z::create({.size = 64_KiB},
                        {.bytes = 16_KiB, .blocks = 2, .retry = &Freer<Z>::free_one, .context = &freer, .tries = 1});
  REQUIRE(zone);
  freer.zone = &*zone;
  REQUIRE(zone->set_budget(1, 8_KiB));
  const auto a = zone->allocate({.size = 4_KiB, .tag = 1});
  REQUIRE(a);
  REQUIRE(zone->allocate(4_KiB));
  CHECK(code_of(zone->allocate(1_MiB)) == ErrorCode::over_limit);
  CHECK(code_of(zone->allocate(16_KiB + 1)) == ErrorCode::over_limit);
  CHECK(code_of(zone->allocate({.size = 8_KiB + 1, .tag = 1})) == ErrorCode::over_limit);
  CHECK(code_of(zone->resize(*a, 8_KiB + 1)) == ErrorCode::over_limit);
  CHECK(code_of(zone->allocate(0)) == ErrorCode::zero_size);  // whatever is full
  CHECK(freer.asked == 0);
  CHECK(code_of(zone->allocate(16_KiB)) == ErrorCode::over_limit);
  CHECK(freer.asked == 1);
  CHECK(code_of(zone->allocate({.size = 8_KiB, .tag = 1})) == ErrorCode::over_limit);
  CHECK(freer.asked == 2);
}

TEST_CASE("so it is for no_space of the zone, a full table, a new size and a list") {
  using Z = Limit<Numbers<strategy::BestFit>, 1, 2>;
  Freer<Z> freer;
  auto zone = Z::create({.size = 64_KiB}, {.retry = &Freer<Z>::free_one, .context = &freer, .tries = 1});
  REQUIRE(zone);
  freer.zone = &*zone;
  freer.block = *zone->allocate(60_KiB);
  CHECK(zone->allocate(8_KiB));
  CHECK(freer.why.code == ErrorCode::no_space);

  const auto b = zone->allocate({.size = 8_KiB});
  REQUIRE(b);
  freer.block = *b;
  const auto c = zone->allocate({.size = 4_KiB, .tag = 9});
  REQUIRE(c);
  CHECK(freer.why.code == ErrorCode::too_many_blocks);
  check_agrees(*zone);

  freer.block = *c;  // the very block whose size is to change
  REQUIRE(zone->set_byte_limit(12_KiB));
  CHECK(code_of(zone->resize(*c, 8_KiB)) == ErrorCode::double_release);
  CHECK(freer.request.size == 8_KiB);
  CHECK(freer.request.tag == 9);
  check_use(*zone, 8_KiB, 1);
  CHECK(freer.asked == 3);

  using Lists = Limit<Numbers<strategy::OrderList<strategy::Buddy, 1, 0>>, 1, 8>;
  auto lists = Lists::create({.size = 64_KiB}, {.bytes = 16_KiB});
  REQUIRE(lists);
  Freer<Lists> other{.zone = &*lists, .block = *lists->allocate(4_KiB)};
  lists->set_retry(&Freer<Lists>::free_one, &other);
  std::array<Block, 16> out;
  CHECK(lists->allocate_list({.size = 16_KiB}, out));
  CHECK(other.asked == 1);
  check_use(*lists, 16_KiB, 2);
}

TEST_CASE("each layer sees its own: a callback frees by the outermost") {
  using Z = Limit<Limit<Plain>>;
  auto zone = Z::create({.size = 64_KiB}, {.bytes = 32_KiB}, LimitSettings{.bytes = 16_KiB});
  REQUIRE(zone);
  Freer<Z> freer{.zone = &*zone, .block = *zone->allocate(16_KiB)};
  zone->Z::Inner::set_retry(&Freer<Z>::free_one, &freer);
  CHECK(zone->allocate(4_KiB));
  CHECK(freer.asked == 1);
  check_agrees(*zone);
  CHECK(zone->Z::Inner::use() == Z::Inner::Use{4_KiB, 1});
}

TEST_CASE("a handle that is moved has its blocks") {
  auto made = Limit<Plain, 1>::create({.size = 64_KiB}, {.bytes = 16_KiB});
  REQUIRE(made);
  const auto a = made->allocate(12_KiB);
  auto zone = *std::move(made);
  check_use(zone, 12_KiB, 1);
  CHECK(code_of(zone.allocate(8_KiB)) == ErrorCode::over_limit);
  REQUIRE(zone.deallocate(*a));
  check_use(zone, 0, 0);
  {
    const auto owned = zone.allocate_owned({.size = 16_KiB});
    REQUIRE(owned);
    check_use(zone, 16_KiB, 1);
  }
  check_use(zone, 0, 0);
}

TEST_CASE("handles of a shared zone have a limit each, and count their own blocks") {
  using Z = Limit<Zone<backing::MemoryFile, strategy::BestFit, lock::Spin, cache::Coherent>, 1, 16>;
  const ZoneOptions options{.size = 1_MiB, .owner = 1};
  auto mine = Z::create(options, {.bytes = 16_KiB});
  REQUIRE(mine);
  const backing::MemoryFile::Source source{mine->backing().fd()};
  auto other = Z::attach({.size = 1_MiB, .owner = 2}, {.bytes = 32_KiB}, source);
  REQUIRE(other);
  const auto a = mine->allocate(16_KiB);
  const auto b = other->allocate(32_KiB);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(code_of(mine->allocate(1)) == ErrorCode::over_limit);

  REQUIRE(mine->deallocate(*b));  // not one of its own
  check_use(*mine, 16_KiB, 1);
  check_use(*other, 32_KiB, 1);
  SUBCASE("one that another gave back counts until its place is granted again") {
    REQUIRE(other->set_byte_limit(64_KiB));
    REQUIRE(other->allocate_at(b->offset(), 4_KiB));
    check_use(*other, 4_KiB, 1);
  }
  SUBCASE("or until it is looked for") {
    other->forget_gone();
    check_use(*other, 0, 0);
    mine->forget_gone();
    check_use(*mine, 16_KiB, 1);
  }
  SUBCASE("also where another block is there now") {
    REQUIRE(mine->deallocate(*a));
    REQUIRE(mine->allocate_at(b->offset(), 8_KiB));
    other->forget_gone();
    check_use(*other, 0, 0);
  }
  SUBCASE("all that are gone are found") {
    REQUIRE(other->set_byte_limit(1_MiB));
    std::array<Block, 15> gone;
    for (Block& block : gone) block = *other->allocate(4_KiB);
    const auto kept = other->allocate(4_KiB);
    for (const Block& block : gone) REQUIRE(mine->deallocate(block));
    other->forget_gone();
    check_use(*other, 4_KiB, 1);
    REQUIRE(other->deallocate(*kept));
    check_use(*other, 0, 0);
  }
  SUBCASE("or is given back twice") {
    CHECK(code_of(other->deallocate(*b)) == ErrorCode::double_release);
    check_use(*other, 0, 0);
  }
  SUBCASE("or its size should change") {
    CHECK(code_of(other->resize(*b, 1)) == ErrorCode::double_release);
    check_use(*other, 0, 0);
  }
  SUBCASE("or after a recovery") {
    const Recovery found = mine->recover([](std::uint8_t owner) { return owner != 1; });
    CHECK(found.dropped == 1);
    check_use(*mine, 0, 0);
    auto again = Z::attach_and_recover(options, {.bytes = 4_KiB}, source, [](auto) { return true; });
    REQUIRE(again);
    check_use(*again, 0, 0);
    CHECK(code_of(again->allocate(4097)) == ErrorCode::over_limit);
  }
}

namespace {

// Random calls; the layer and a list of what is live agree after each.
template <class Z, class... Rest>
void check_model(const ZoneOptions& options, Rest&&... rest) {
  constexpr std::uint64_t limit = 300 * 1024;
  auto zone = Z::create(options, {.bytes = limit, .blocks = 40}, std::forward<Rest>(rest)...);
  REQUIRE(zone);
  REQUIRE(zone->set_budget(1, 64_KiB));
  std::vector<std::pair<Block, std::uint32_t>> live;
  std::uint64_t random = 88172645463325252U;
  std::array<unsigned, 3> seen = {};
  for (int i = 0; i < 20000; ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    if ((random & 3) == 0 && !live.empty()) {
      const auto which = static_cast<std::size_t>((random >> 8) % live.size());
      REQUIRE(zone->deallocate(live[which].first));
      live[which] = live.back();
      live.pop_back();
    } else {
      const auto tag = static_cast<std::uint32_t>(random >> 60) & 3;
      const auto block = zone->allocate({.size = (random >> 20) % 30000 + 1, .tag = tag});
      if (block) {
        live.emplace_back(*block, tag);
      } else {
        ++seen[block.error().code == ErrorCode::over_limit ? 0 : 1];
      }
    }
    std::uint64_t bytes = 0;
    std::uint64_t of_tag = 0;
    for (const auto& [block, tag] : live) {
      bytes += block.size().value();
      if (tag == 1) of_tag += block.size().value();
    }
    REQUIRE(zone->use() == typename Z::Use{bytes, live.size()});
    REQUIRE(zone->use(1) == of_tag);
    REQUIRE(bytes <= limit);
    REQUIRE(of_tag <= 64_KiB);
    REQUIRE(live.size() <= 40);
  }
  CHECK(seen[0] > 0);
  check_agrees(*zone);
}

}  // namespace

TEST_CASE("layer, zone and model agree, over each kind of strategy") {
  const ZoneOptions options{.size = 1_MiB};
  check_model<Limit<Plain, 2, 40>>(options);
  check_model<Limit<Numbers<strategy::Buddy>, 2, 40>>(options);
  check_model<Limit<Numbers<strategy::Segregated>, 2, 64>>(options);
  check_model<Limit<Shared, 2, 40>>(options);
  check_model<Limit<Sized<Plain, PowerOfTwoSizes>, 2, 40>>(options, PowerOfTwoSizes());
  check_model<Limit<Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>, 2>>(options);
}

TEST_CASE("threads: never more than the limit, and nothing is left in the end") {
  using Z = Limit<Numbers<strategy::Bitmap, lock::Spin>, 2, 16>;
  auto zone = Z::create({.size = 1_MiB}, {.bytes = 48_KiB, .blocks = 10});
  REQUIRE(zone);
  REQUIRE(zone->set_budget(1, 16_KiB));
  std::array<int, 4> wrong = {};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      std::array<Block, 4> mine;
      for (std::size_t i = 0; i < 5000; ++i) {
        Block& block = mine[i % mine.size()];
        if (block.size() != 0 && !zone->deallocate(std::exchange(block, Block()))) ++wrong[t];
        const auto made = zone->allocate({.size = 4096 * (i % 3 + 1), .tag = static_cast<std::uint32_t>(t & 1)});
        if (made) block = *made;
        if (!made && made.error().code != ErrorCode::over_limit) ++wrong[t];
        if (zone->use().bytes > 48_KiB || zone->use().blocks > 10 || zone->use(1) > 16_KiB) ++wrong[t];
        if (i % 64 == 0) static_cast<void>(zone->set_byte_limit(48_KiB));
      }
      for (const Block& block : mine) {
        if (block.size() != 0 && !zone->deallocate(block)) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::array<int, 4>());
  check_use(*zone, 0, 0);
  CHECK(zone->use(1) == 0);
  check_agrees(*zone);
}
