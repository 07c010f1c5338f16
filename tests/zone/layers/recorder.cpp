#include <freestone/zone/layers/recorder.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/sized.hpp>
#include <freestone/zone/layers/statistics.hpp>

#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using layers::PowerOfTwoSizes;
using layers::Recorder;
using layers::Sized;
using layers::Statistics;
using tests::code_of;
using tests::Numbers;

namespace {

// What time it is, and how much later it is each time.
struct StepClock {
  static inline std::uint64_t now = 0;
  static inline std::uint64_t step = 0;
  std::uint64_t operator()() const noexcept { return now += step; }
};

template <class S>
using Recorded = Recorder<Numbers<S>, StepClock>;
using Ring = std::array<Event, 8>;

void start_clock(std::uint64_t step) {
  StepClock::now = 1000;
  StepClock::step = step;
}

// Everything in the ring, taken out.
template <class Z>
std::vector<Event> all_of(Z& zone) {
  std::vector<Event> all;
  std::array<Event, 3> part;
  for (std::span<Event> taken = zone.take(part); !taken.empty(); taken = zone.take(part)) {
    all.insert(all.end(), taken.begin(), taken.end());
  }
  return all;
}

// In granules of 4 KiB.
Event allocated(std::uint64_t first, Bytes size, std::uint64_t time = 0, std::uint8_t tag = 0, Bytes align = 0) {
  return *Event::of({.tag = tag, .first = Granules(first), .size = size, .align = align, .time = time});
}
Event deallocated(std::uint64_t first, Bytes size, std::uint64_t time = 0) {
  return *Event::of({.kind = EventKind::deallocate, .first = Granules(first), .size = size, .time = time});
}
Event failed(EventKind kind, std::uint64_t first, Bytes size, std::uint64_t time = 0) {
  return *Event::of({.kind = kind, .failed = true, .first = Granules(first), .size = size, .time = time});
}

template <class Z>
void check_life(Result<Z> made) {
  REQUIRE(made);
  Z& zone = *made;
  const auto block = zone.allocate({.size = 5000, .tag = 300});
  REQUIRE(block);
  REQUIRE(zone.deallocate(*block));
  Z moved = std::move(zone);
  CHECK(tests::code_of_unchanging(moved, [&] { return moved.deallocate(*block); }) != ErrorCode::none);
  const auto events = all_of(moved);
  REQUIRE(events.size() == 3);
  const std::uint64_t first = block->offset().value() >> 12;
  const auto is = [&](const Event& event, EventKind kind, bool failed, Bytes size) {
    const EventFields fields = event.fields();
    return fields.kind == kind && fields.failed == failed && fields.size == size && fields.first == Granules(first);
  };
  CHECK(is(events[0], EventKind::allocate, false, 5000));
  CHECK(events[0].fields().tag == 255);
  CHECK(is(events[1], EventKind::deallocate, false, block->size()));
  CHECK(is(events[2], EventKind::deallocate, true, block->size()));
}

// A zone that does something in the midst of the next deallocate or resize: before what makes the block longer, after
// what frees.
template <class Z>
class Meddler : public layers::Layer<Meddler<Z>, Z> {
  using Base = layers::Layer<Meddler, Z>;
  friend Base;

 public:
  void (*meanwhile)() = nullptr;
  template <class Next>
  Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    const Result<void> result = next(block);
    meddle();
    return result;
  }
  template <class Next>
  Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    if (size > block.size()) meddle();
    const Result<Block> resized = next(block, size);
    meddle();
    return resized;
  }

 private:
  void meddle() {
    if (meanwhile != nullptr) std::exchange(meanwhile, nullptr)();
  }

  Meddler(Z&& zone, const layers::NoSettings&) noexcept : Base(std::move(zone)) {}
};

}  // namespace

TEST_CASE("a block's life is in the ring, over any strategy and backing, and moves with the handle") {
  const ZoneOptions options{.size = 1_MiB};
  Ring ring;
  start_clock(0);
  check_life(Recorded<strategy::Bitmap>::create(options, ring));
  check_life(Recorded<strategy::Buddy>::create(options, ring));
  check_life(Recorded<strategy::Segregated>::create(options, ring));
  check_life(Recorded<strategy::BestFit>::create(options, ring));
  check_life(Recorder<Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>>::create(options, ring));
  check_life(Recorder<Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>>::create(options, ring));
  check_life(Recorder<Zone<backing::Anonymous, strategy::Buddy, lock::Mutex, cache::Coherent>>::create(options, ring));
}

TEST_CASE("every way to allocate, resize and fail is an event") {
  start_clock(0);
  std::array<Event, 16> ring;
  auto zone = Recorded<strategy::BestFit>::create({.size = 64_KiB}, ring);
  REQUIRE(zone);
  const auto high = zone->allocate_high({.size = 4_KiB, .align = 8_KiB, .tag = 1});
  REQUIRE(high);
  const auto at = zone->allocate_at(8_KiB, 1);
  REQUIRE(at);
  REQUIRE(zone->resize(*at, 5000));
  CHECK_FALSE(zone->resize(*at, 60_KiB));
  CHECK_FALSE(zone->allocate({.size = 128_KiB, .align = 8_KiB}));
  CHECK_FALSE(zone->deallocate(Block(4_KiB, 1, 0)));
  CHECK_FALSE(zone->deallocate_at(48_KiB));
  REQUIRE(zone->deallocate(*high));
  REQUIRE(zone->deallocate_at(8_KiB));
  CHECK(all_of(*zone) == std::vector<Event>{allocated(14, 4_KiB, 0, 1, 8_KiB), allocated(2, 1),
                                            *Event::of({.kind = EventKind::resize, .first = Granules(2), .size = 5000}),
                                            failed(EventKind::resize, 2, 60_KiB),
                                            *Event::of({.failed = true, .size = 128_KiB, .align = 8_KiB}),
                                            failed(EventKind::deallocate, 1, 1), failed(EventKind::deallocate, 12, 0),
                                            deallocated(14, 4_KiB), deallocated(2, 8_KiB)});
  CHECK(zone->lost() == 0);
}

TEST_CASE("a list is an event a block, a refused one is one") {
  start_clock(0);
  Ring ring;
  auto zone = Recorded<strategy::OrderList<strategy::Buddy, 1, 0>>::create({.size = 64_KiB}, ring);
  REQUIRE(zone);
  std::array<Block, 8> out;
  REQUIRE(zone->allocate_list({.size = 20_KiB, .tag = 3}, out));
  CHECK_FALSE(zone->allocate_list({.size = 20_KiB, .tag = 3}, {}));
  CHECK(all_of(*zone) == std::vector<Event>{allocated(0, 8_KiB, 0, 3), allocated(2, 8_KiB, 0, 3),
                                            allocated(4, 4_KiB, 0, 3),
                                            *Event::of({.failed = true, .tag = 3, .size = 20_KiB})});
}

TEST_CASE("a full ring loses what is new, and counts it; taken events make room, round and round") {
  start_clock(0);
  Ring ring;
  auto zone = Recorded<strategy::Bitmap>::create({.size = 1_MiB}, ring);
  REQUIRE(zone);
  for (int i = 0; i < 10; ++i) REQUIRE(zone->allocate(1));
  CHECK(zone->lost() == 2);
  std::array<Event, 5> first;
  CHECK(zone->take(first).size() == 5);
  CHECK(first[4] == allocated(4, 1));
  for (int i = 0; i < 6; ++i) REQUIRE(zone->allocate(1));
  CHECK(zone->lost() == 3);
  const auto rest = all_of(*zone);
  REQUIRE(rest.size() == 8);
  CHECK(rest[2] == allocated(7, 1));
  CHECK(rest[3] == allocated(10, 1));
  CHECK(rest[7] == allocated(14, 1));
  CHECK(all_of(*zone).empty());
  CHECK(zone->take({}).empty());
}

TEST_CASE("no ring at all: everything is lost, and the zone works") {
  auto zone = Recorded<strategy::Bitmap>::create({.size = 1_MiB}, std::span<Event>());
  REQUIRE(zone);
  const auto block = zone->allocate(1);
  REQUIRE(block);
  REQUIRE(zone->deallocate(*block));
  CHECK(zone->lost() == 2);
  CHECK(all_of(*zone).empty());
}

TEST_CASE("what an event cannot hold is lost; the zone works") {
  start_clock(0);
  Ring ring;
  auto zone = Recorded<strategy::BestFit>::create({.size = 1_MiB}, ring);
  REQUIRE(zone);
  CHECK_FALSE(zone->deallocate(Block(std::uint64_t{1} << 60, 1, zone->tag())));  // granule 2^48
  CHECK(zone->lost() == 1);
  CHECK_FALSE(zone->deallocate(Block((std::uint64_t{1} << 60) - 1, 1, zone->tag())));
  CHECK(zone->lost() == 1);
}

TEST_CASE("times add up to what the clock says, through lost events and numbers that are rounded") {
  start_clock(0);
  std::array<Event, 1> ring;
  auto zone = Recorded<strategy::Bitmap>::create({.size = 1_MiB}, ring);
  REQUIRE(zone);
  std::uint64_t said = StepClock::now;
  tests::Random random(tests::seed());
  for (int i = 0; i < 200; ++i) {
    StepClock::step = random.next() >> random.from_to(24, 63);
    REQUIRE(zone->allocate(1));
    StepClock::step = 0;
    if (i % 7 == 0) continue;  // the next one is lost
    const std::uint64_t since = StepClock::now - said;
    for (const Event& event : all_of(*zone)) said += event.fields().time;
    REQUIRE(said <= StepClock::now);
    if (i % 7 != 1) REQUIRE(StepClock::now - said <= since / 2048);
  }
  CHECK(zone->lost() == 29);
}

TEST_CASE("where the clock falls, no time goes by until it is where it was") {
  start_clock(0);
  Ring ring;
  auto zone = Recorded<strategy::Bitmap>::create({.size = 1_MiB}, ring);
  REQUIRE(zone);
  for (const std::uint64_t now : {1010U, 900U, 1005U, 1015U}) {
    StepClock::now = now;
    REQUIRE(zone->allocate(1));
  }
  CHECK(all_of(*zone) ==
        std::vector<Event>{allocated(0, 1, 10), allocated(1, 1, 0), allocated(2, 1, 0), allocated(3, 1, 5)});
}

TEST_CASE("a deallocate stands where it began, and nothing behind it is told before it ended") {
  using Z = Recorder<Meddler<Zone<backing::Anonymous, strategy::Bitmap, lock::Mutex, cache::Coherent>>, StepClock>;
  start_clock(0);
  Ring ring;
  auto made = Z::create({.size = 1_MiB}, ring);
  REQUIRE(made);
  static Z* zone;
  zone = &*made;
  const auto block = zone->allocate(1);
  REQUIRE(block);
  zone->meanwhile = [] {
    REQUIRE(zone->allocate(2));  // another thread's: the place is free again
    Ring out;
    CHECK(zone->take(out).size() == 1);
  };
  REQUIRE(zone->deallocate(*block));
  CHECK(all_of(*zone) == std::vector<Event>{deallocated(0, 4_KiB), allocated(0, 2)});
}

TEST_CASE("a resize to less stands where it began, one to more where it ended") {
  using Z = Recorder<Meddler<Zone<backing::Anonymous, strategy::BestFit, lock::Mutex, cache::Coherent>>, StepClock>;
  const auto resized = [](std::uint64_t first, Bytes size, bool failed) {
    return *Event::of({.kind = EventKind::resize, .failed = failed, .first = Granules(first), .size = size});
  };
  start_clock(0);
  Ring ring;
  auto made = Z::create({.size = 64_KiB}, ring);
  REQUIRE(made);
  static Z* zone;
  zone = &*made;
  auto block = zone->allocate(64_KiB);
  REQUIRE(block);
  zone->meanwhile = [] {
    REQUIRE(zone->allocate(32_KiB));  // another thread's: what was behind is free
    Ring out;
    CHECK(zone->take(out).size() == 1);
  };
  block = zone->resize(*block, 32_KiB);
  REQUIRE(block);
  CHECK(all_of(*zone) == std::vector<Event>{resized(0, 32_KiB, false), allocated(8, 32_KiB)});

  zone->meanwhile = [] { REQUIRE(zone->deallocate_at(32_KiB)); };
  block = zone->resize(*block, 64_KiB);
  REQUIRE(block);
  CHECK(all_of(*zone) == std::vector<Event>{deallocated(8, 32_KiB), resized(0, 64_KiB, false)});

  CHECK_FALSE(zone->resize(*block, 0));
  CHECK(zone->resize(*block, 64_KiB));
  CHECK_FALSE(zone->resize(*block, 68_KiB));
  CHECK(all_of(*zone) == std::vector<Event>{resized(0, 0, true), resized(0, 64_KiB, false), resized(0, 68_KiB, true)});
}

TEST_CASE("what a recovery drops is no event") {
  using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;
  start_clock(0);
  Ring ring;
  auto zone = Recorder<Shared, StepClock>::create({.size = 64_KiB}, ring);
  REQUIRE(zone);
  REQUIRE(zone->allocate(1));
  CHECK(zone->recover([](auto) { return false; }).dropped == 1);
  CHECK(all_of(*zone) == std::vector<Event>{allocated(0, 1)});
}

TEST_CASE("it records what its side of another layer sees") {
  start_clock(0);
  const ZoneOptions options{.size = 1_MiB};
  const PowerOfTwoSizes rule;
  Ring ring;
  auto outside = Recorder<Sized<Numbers<strategy::Bitmap>, PowerOfTwoSizes>, StepClock>::create(options, ring, rule);
  REQUIRE(outside);
  REQUIRE(outside->allocate(20_KiB));
  CHECK(all_of(*outside) == std::vector<Event>{allocated(0, 20_KiB)});
  const std::span<Event> again(ring);
  auto inside = Sized<Recorded<strategy::Bitmap>, PowerOfTwoSizes>::create(options, rule, again);
  REQUIRE(inside);
  REQUIRE(inside->allocate(20_KiB));
  CHECK(all_of(*inside) == std::vector<Event>{allocated(0, 32_KiB)});
  auto both = Statistics<Recorded<strategy::Bitmap>>::create(options, again);
  REQUIRE(both);
  REQUIRE(both->allocate({.size = 1, .tag = 2}));
  CHECK(all_of(*both) == std::vector<Event>{allocated(0, 1, 0, 2)});
  CHECK(both->tag_stats(2).blocks == 1);
}

TEST_CASE("threads: the events are a history in which no two live blocks lie in one place") {
  using Z = Recorder<Zone<backing::Anonymous, strategy::Bitmap, lock::Mutex, cache::Coherent>>;
  constexpr int rounds = 5000;
  constexpr std::uint64_t calls = 3 * 2 * rounds;
  for (const std::size_t room : {std::size_t{calls}, std::size_t{64}}) {
    std::vector<Event> ring(room);
    auto zone = Z::create({.size = 64_KiB}, ring);
    REQUIRE(zone);
    std::uint32_t running = 3;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < rounds; ++i) {
          const auto block = zone->allocate(Bytes(4096 * (1 + i % 3)));
          if (!block || !zone->deallocate(*block)) std::abort();
        }
        __atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
      });
    }
    std::map<std::uint64_t, Bytes> live;  // by first granule
    std::uint64_t taken = 0;
    bool is_sound = true;
    const auto see = [&](const EventFields& event) {
      is_sound = is_sound && !event.failed;
      if (zone->lost() != 0) return;  // an allocate or a deallocate may be missing
      if (event.kind == EventKind::allocate) {
        is_sound = is_sound && live.emplace(event.first.value(), event.size).second;
      } else {
        const auto found = live.find(event.first.value());
        is_sound =
            is_sound && event.kind == EventKind::deallocate && found != live.end() && found->second == event.size;
        if (found != live.end()) live.erase(found);
      }
    };
    std::array<Event, 16> part;
    for (bool was_last = false; !was_last;) {
      was_last = __atomic_load_n(&running, __ATOMIC_SEQ_CST) == 0;
      for (auto events = zone->take(part); !events.empty(); events = zone->take(part)) {
        taken += events.size();
        for (const Event& event : events) see(event.fields());
      }
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(is_sound);
    CHECK(taken + zone->lost() == calls);
    if (room == calls) CHECK(zone->lost() == 0);
    if (room == calls) CHECK(live.empty());
  }
}

namespace {
constexpr bool records_in_constant_evaluation() {
  std::array<std::uint64_t, 64> notes{};
  std::array<Event, 2> ring;
  using Z = Recorder<Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>>;
  auto zone = Z::create({}, ring, backing::Borrowed::at(0, 64_KiB, notes));
  if (!zone) return false;
  const auto block = zone->allocate({.size = 5000, .tag = 1});
  std::array<Event, 2> out;
  return block && zone->deallocate(*block) && zone->take(out).size() == 2 && out[0].fields().size == 5000;
}
static_assert(records_in_constant_evaluation());
}  // namespace
