#include <freestone/zone/layers/os/annotated.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <set>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/scattered.hpp>
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
#include <freestone/zone/layers/os/magazines.hpp>
#include <freestone/zone/layers/quarantine.hpp>
#include <freestone/zone/layers/scrub.hpp>
#include <freestone/zone/layers/sized.hpp>

using namespace freestone;
using namespace freestone::layers;

namespace {

template <class S, class L = lock::None>
using Heap = Zone<backing::Anonymous, S, L, cache::Coherent>;
using Plain = Heap<strategy::BestFit>;
using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;

static_assert(!std::is_same_v<ToolOfThisBuild, NoTool> || std::is_same_v<Annotated<Plain>, Plain>,
              "a build without a tool has the zone itself");

// Writes down what it was told.
struct Notepad {
  static inline std::set<const std::byte*> forbidden;
  static inline int away = 0;
  static void forbid(std::span<std::byte> bytes) noexcept {
    for (const std::byte& b : bytes) forbidden.insert(&b);
  }
  static void allow(std::span<std::byte> bytes) noexcept {
    for (const std::byte& b : bytes) forbidden.erase(&b);
  }
  static void look_away() noexcept { ++away; }
  static void look_again() noexcept { --away; }
};
template <class Z>
using Noted = AnnotatedFor<Z, Notepad>;

constexpr ZoneOptions options{.size = 4096, .granule = 64};

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

// All that is no live block's is forbidden, and what data shows is not.
template <class Z>
void check_told(Z& zone) {
  CHECK(Notepad::away == 0);
  std::set<const std::byte*> dead;
  for (std::uint64_t offset = 0; offset < zone.size().value(); offset += 64) {
    if (const auto part = zone.backing().cpu_pointer(offset)) {
      for (int i = 0; i < 64; ++i) dead.insert(*part + i);
    }
  }
  zone.for_each_block([&](const Block& block) {
    for (const std::byte& b : zone.data(block)) dead.erase(&b);
  });
  CHECK(Notepad::forbidden == dead);
}

template <class Z>
Result<Noted<Z>> make() {
  if constexpr (std::is_same_v<Z, Sized<Plain, PowerOfTwoSizes>>) {
    return Noted<Z>::create(options, PowerOfTwoSizes{});
  } else if constexpr (requires { typename Z::Settings; }) {
    return Noted<Z>::create(options, typename Z::Settings{});
  } else {
    return Noted<Z>::create(options);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("what is no live block's is forbidden, whatever happens", Z, Heap<strategy::Bitmap>,
                   Heap<strategy::Buddy>, Heap<strategy::Segregated>, Plain, Shared, Sized<Plain, PowerOfTwoSizes>,
                   Canaries<Plain>, Scrub<Plain>) {
  {
    auto zone = make<Z>();
    REQUIRE(zone);
    check_told(*zone);
    const auto a = zone->allocate(100);
    const auto b = zone->allocate({.size = 1000, .align = 256});
    REQUIRE(a);
    REQUIRE(b);
    check_told(*zone);
    if constexpr (requires { zone->resize(*b, 1); }) {
      auto c = *b;
      for (const unsigned size : {1U, 64U, 1500U, 700U}) {
        const auto resized = zone->resize(c, size);
        check_told(*zone);
        if (resized) c = *resized;
      }
      CHECK_FALSE(zone->resize(c, 0));
      CHECK_FALSE(zone->resize(c, 4097));
      CHECK_FALSE(zone->resize(Block(64, 64, zone->tag() + 1), 1));
      check_told(*zone);
    }
    CHECK_FALSE(zone->allocate(0));
    CHECK_FALSE(zone->allocate(4096));
    CHECK_FALSE(zone->deallocate_at(b->offset() + 64));
    CHECK_FALSE(zone->deallocate(Block(b->offset(), 64, zone->tag() + 1)));
    check_told(*zone);
    CHECK(zone->deallocate(*b));
    check_told(*zone);
    CHECK(code_of(zone->deallocate(*b)) == ErrorCode::double_release);
    check_told(*zone);
    CHECK(zone->deallocate_at(a->offset()));
    check_told(*zone);
    { const auto owned = zone->allocate_owned({.size = 1}); }
    check_told(*zone);
    CHECK_FALSE(Notepad::forbidden.empty());
  }
  CHECK(Notepad::forbidden.empty());
}

TEST_CASE("a quarantine behind it: what is held is forbidden, and a failed call forbids nothing") {
  using Z = Noted<Quarantine<Plain>>;
  {
    auto zone = Z::create(options, QuarantineSettings{.blocks = 1});
    REQUIRE(zone);
    const auto a = zone->allocate(100);
    const auto b = zone->allocate(100);
    REQUIRE(a);
    REQUIRE(b);
    CHECK(zone->deallocate(*a));
    check_told(*zone);
    zone->backing().cpu_pointer(0).value()[a->offset().value()] = std::byte{0};
    CHECK(code_of(zone->deallocate(*b)) == ErrorCode::written_when_dead);
    check_told(*zone);
    CHECK(zone->forgive(a->offset()));
    CHECK(zone->deallocate(*b));
    check_told(*zone);
  }
  CHECK(Notepad::forbidden.empty());
}

TEST_CASE("what a forgiven block shows is allowed") {
  using Z = Noted<Canaries<Quarantine<Plain>>>;
  {
    auto zone = Z::create(options, CanarySettings{}, QuarantineSettings{});
    REQUIRE(zone);
    const auto a = zone->allocate(100);
    const auto b = zone->allocate(100);
    REQUIRE(b);
    REQUIRE(zone->deallocate(*b));
    for (const Block& block : {*a, *b}) {
      std::memset(*zone->backing().cpu_pointer(block.offset()), 1, static_cast<std::size_t>(block.size().value()));
    }
    REQUIRE(code_of(zone->check_block(*a)) == ErrorCode::overrun);
    CHECK(zone->forgive(a->offset()));
    CHECK(zone->data(*a).size() > 100);  // how many it was nobody knows
    check_told(*zone);
    CHECK(zone->forgive(b->offset()));  // of the quarantine
    CHECK_FALSE(zone->forgive(2048));
    check_told(*zone);
    CHECK(zone->deallocate(*a));
    check_told(*zone);
  }
  CHECK(Notepad::forbidden.empty());
}

TEST_CASE("magazines behind it: what lies in one is forbidden, and goes back by flush") {
  using Z = Noted<Magazines<Heap<strategy::Bitmap, lock::Spin>>>;
  {
    auto zone = Z::create(options);
    REQUIRE(zone);
    const auto a = zone->allocate(64);
    const auto b = zone->allocate(64);
    REQUIRE(b);
    REQUIRE(zone->deallocate(*a));
    check_told(*zone);
    CHECK(zone->flush());
    check_told(*zone);
    CHECK(zone->allocate(64));
    check_told(*zone);
  }
  CHECK(Notepad::forbidden.empty());
}

TEST_CASE("lists, and ranges with gaps") {
  {
    auto zone = make<Heap<strategy::OrderList<strategy::Buddy, 1, 0>>>();
    REQUIRE(zone);
    std::array<Block, 16> out;
    const auto list = zone->allocate_list({.size = 500}, out);
    REQUIRE(list);
    check_told(*zone);
    for (const Block& block : *list) CHECK(zone->deallocate(block));
    check_told(*zone);

    alignas(64) static std::array<std::byte, 4096> low, high;
    std::vector<std::uint64_t> notes(1000);
    using Ranges = backing::Scattered<backing::Borrowed, 2, 64>;
    using Gaps = Zone<Ranges, strategy::BestFit, lock::None, cache::Coherent>;
    auto ranges = Ranges::of(backing::Borrowed(low, notes), backing::Borrowed(high, {}));
    if (ranges) {
      Notepad::forbidden.clear();
      auto gaps = Noted<Gaps>::create({.granule = 64}, *std::move(ranges));
      REQUIRE(gaps);
      check_told(*gaps);
      CHECK(Notepad::forbidden.size() == 8192);
      REQUIRE(gaps->allocate(4096));
      REQUIRE(gaps->allocate(64));
      check_told(*gaps);
      CHECK(Notepad::forbidden.size() == 4032);
    }
    Notepad::forbidden.clear();
  }
  CHECK(Notepad::forbidden.empty());
}

TEST_CASE("a handle that moves takes along what it said, and one that is replaced takes it back") {
  {
    auto made = make<Plain>();
    REQUIRE(made);
    const auto block = made->allocate(100);
    REQUIRE(block);
    auto zone = *std::move(made);
    check_told(zone);
    auto other = make<Plain>();
    REQUIRE(other);
    CHECK(Notepad::forbidden.size() == 4096 - 128 + 4096);
    zone = *std::move(other);
    check_told(zone);
  }
  CHECK(Notepad::forbidden.empty());
}

TEST_CASE("what other handles of a shared zone allocate is allowed once it is shown") {
  {
    auto there = Shared::create(options);
    REQUIRE(there);
    const auto before = there->allocate(100);
    REQUIRE(before);
    auto here = Noted<Shared>::attach(options, backing::MemoryFile::Source{there->backing().fd()});
    REQUIRE(here);
    check_told(*here);
    CHECK(here->deallocate(*before));
    check_told(*here);
    const auto after = there->allocate(200);
    REQUIRE(after);
    CHECK(Notepad::forbidden.size() == 4096);
    CHECK(here->data(*after).size() == 256);
    CHECK(Notepad::forbidden.size() == 4096 - 256);
    const auto third = there->allocate(64);
    REQUIRE(third);
    CHECK(here->cpu_write(*third));
    CHECK(Notepad::forbidden.size() == 4096 - 256 - 64);
    check_told(*here);
  }
  CHECK(Notepad::forbidden.empty());
}

TEST_CASE("what a recovery drops is forbidden") {
  {
    auto zone = Noted<Shared>::create(options);
    REQUIRE(zone);
    REQUIRE(zone->allocate(100));
    check_told(*zone);
    CHECK(zone->recover([](auto) { return false; }).dropped == 1);
    CHECK(Notepad::forbidden.size() == 4096);
    check_told(*zone);
  }
  CHECK(Notepad::forbidden.empty());
}

TEST_CASE("where the zone has no range nothing is said") {
  auto zone = Noted<Heap<strategy::System>>::create(options);
  REQUIRE(zone);
  const auto block = zone->allocate(100);
  REQUIRE(block);
  CHECK(zone->deallocate(*block));
  CHECK(Notepad::forbidden.empty());
}

// Under ASan, MSan and Valgrind: whatever the order, no layer is reported.
TEST_CASE_TEMPLATE("all layers, with this build's own tool", Z, Annotated<Plain>,
                   Annotated<Heap<strategy::Segregated, lock::Spin>>, Annotated<Heap<strategy::System>>,
                   Annotated<Shared>) {
  const auto use = [](auto& zone) {
    for (unsigned i = 1; i < 200; ++i) {
      const auto a = zone.allocate(i * 7);
      const auto b = zone.allocate(i);
      REQUIRE(a);
      REQUIRE(b);
      for (const auto& block : {*a, *b}) std::memset(zone.data(block).data(), 1, zone.data(block).size());
      REQUIRE(zone.deallocate(*a));
      REQUIRE(zone.deallocate(*b));
      REQUIRE(code_of(zone.deallocate(*b)) == ErrorCode::double_release);
    }
  };
  const ZoneOptions large{.size = 64_KiB, .granule = 64};
  const CanarySettings canaries{.before = 1};
  const QuarantineSettings held{.blocks = 8};
  const ScrubSettings scrub{ScrubWhen::both};
  {
    auto zone = Canaries<Quarantine<Scrub<Z>>>::create(large, canaries, held, scrub);
    REQUIRE(zone);
    use(*zone);
    CHECK(zone->check_all());
    CHECK(zone->flush());
  }
  {
    auto zone = Quarantine<Scrub<Canaries<Z>>>::create(large, held, scrub, canaries);
    REQUIRE(zone);
    use(*zone);
    CHECK(zone->check_all());
  }
}
TEST_CASE_TEMPLATE("the tool's layer before all others", Z, Plain, Heap<strategy::Segregated, lock::Spin>, Shared) {
  const ZoneOptions large{.size = 64_KiB, .granule = 64};
  auto zone = Annotated<Canaries<Quarantine<Scrub<Z>>>>::create(large, CanarySettings{.before = 1},
                                                                QuarantineSettings{.blocks = 8},
                                                                ScrubSettings{ScrubWhen::both});
  if constexpr (std::is_same_v<ToolOfThisBuild, NoTool>) {
    CHECK(zone);
  } else {
    REQUIRE(zone);
    for (unsigned i = 1; i < 200; ++i) {
      const auto a = zone->allocate(i * 7);
      REQUIRE(a);
      std::memset(zone->data(*a).data(), 1, zone->data(*a).size());
      REQUIRE(zone->check_block(*a));
      REQUIRE(zone->deallocate(*a));
    }
    CHECK(zone->check_all());
    CHECK(zone->flush());
  }
}
