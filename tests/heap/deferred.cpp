#include <freestone/heap/deferred.hpp>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/heap/fallback.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/heap/named_blocks.hpp>
#include <freestone/heap/reuse_cache.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/os/process_shared.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/zone/zone_ref.hpp>
#include "support/fences.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

namespace {

using Fit = Numbers<strategy::BestFit>;
using Flags = std::list<std::atomic<bool>>;

Fit fit(Bytes size) { return std::move(*Fit::create({.name = "fit", .size = size})); }

constexpr GoneBack amount(std::uint64_t blocks, Bytes bytes) { return {.blocks = blocks, .bytes = bytes}; }

}  // namespace

TEST_CASE("a block goes back when its fence has signalled, and not before") {
  auto zone = fit(16_KiB);
  std::atomic<bool> first = false, second = false;
  Deferred<Fit, Flag, 4> deferred(zone);
  const Block a = *deferred.allocate(4_KiB);
  const Block b = *deferred.allocate(8_KiB);
  CHECK(deferred.deallocate_after(a, Flag(first)));
  const Flag kept(second);
  CHECK(deferred.deallocate_after(b, kept));
  CHECK(deferred.pending() == amount(2, 12_KiB));
  CHECK(deferred.is_pending(a));
  CHECK(deferred.collect() == amount(0, 0));
  CHECK(zone.owns(a));
  second = true;
  CHECK(deferred.collect() == amount(1, 8_KiB));
  CHECK(zone.owns(a));
  CHECK(!zone.owns(b));
  CHECK(deferred.pending() == amount(1, 4_KiB));
  first = true;
  CHECK(zone.owns(a));  // nobody has looked
  CHECK(deferred.collect() == amount(1, 4_KiB));
  CHECK(deferred.pending() == amount(0, 0));
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("at once, where it has signalled already") {
  auto zone = fit(16_KiB);
  std::atomic<bool> done = true;
  Deferred<Fit, Flag, 1> deferred(zone);
  const Block a = *deferred.allocate(4_KiB);
  CHECK(deferred.deallocate_after(a, Flag(done)));
  CHECK(deferred.pending().blocks == 0);
  CHECK(!zone.owns(a));
}

// ION's heaps with deferred free drain and try once more; what waits can be had as soon as it may.
TEST_CASE("a request that fails for want of space collects, and is tried once more") {
  auto zone = fit(16_KiB);
  std::atomic<bool> done = false;
  Deferred<Fit, Flag, 4> deferred(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(*deferred.allocate(4_KiB));
  for (const Block& block : blocks) CHECK(deferred.deallocate_after(block, Flag(done)));
  CHECK(code_of(deferred.allocate(4_KiB)) == ErrorCode::no_space);
  CHECK(deferred.pending().blocks == 4);
  done = true;
  CHECK(code_of(deferred.allocate(0)) == ErrorCode::zero_size);  // no want of space
  CHECK(deferred.pending().blocks == 4);
  CHECK(deferred.allocate(Request{.size = 16_KiB}));
  CHECK(deferred.pending().blocks == 0);
}

TEST_CASE("each refusal is its own, and changes nothing") {
  auto zone = fit(64_KiB);
  auto other = fit(64_KiB);
  std::atomic<bool> done = false;
  using Two = Deferred<Fit, Flag, 2>;
  Two deferred(zone);
  const Flag fence(done);
  const Block a = *deferred.allocate(8_KiB);
  const Block b = *deferred.allocate(8_KiB);
  const Block c = *deferred.allocate(8_KiB);
  const Block gone = *deferred.allocate(4_KiB);
  REQUIRE(deferred.deallocate(gone));
  REQUIRE(deferred.deallocate_after(a, fence));
  const auto unchanged = [&](auto&& call) {
    const GoneBack before = deferred.pending();
    const ErrorCode code = code_of_unchanging(zone, call);
    CHECK(deferred.pending() == before);
    return code;
  };
  CHECK(unchanged([&] { return deferred.deallocate_after(a, fence); }) == ErrorCode::double_release);
  CHECK(unchanged([&] { return deferred.deallocate(a); }) == ErrorCode::double_release);
  CHECK(unchanged([&] { return deferred.deallocate_after(*other.allocate(4_KiB), fence); }) ==
        ErrorCode::foreign_block);
  CHECK(unchanged([&] { return deferred.deallocate_after(Block(), fence); }) == ErrorCode::foreign_block);
  CHECK(unchanged([&] { return deferred.deallocate_after(gone, fence); }) == ErrorCode::dead_block);
  const Block inner(b.offset() + 4096, 4_KiB, b.zone_tag());
  CHECK(unchanged([&] { return deferred.deallocate_after(inner, fence); }) == ErrorCode::dead_block);
  CHECK(unchanged([&] { return deferred.deallocate_now(b); }) == ErrorCode::dead_block);
  REQUIRE(deferred.deallocate_after(b, fence));
  CHECK(unchanged([&] { return deferred.deallocate_after(c, fence); }) == ErrorCode::too_many_blocks);
  CHECK(zone.owns(c));
  done = true;
  std::atomic<bool> later = false;
  CHECK(deferred.deallocate_after(c, Flag(later)));  // the table is full, but not of what must wait
  CHECK(deferred.pending() == amount(1, 8_KiB));
  CHECK(deferred.deallocate_now(c));
  CHECK(deferred.pending() == amount(0, 0));
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("a fence that only moves stays the caller's where the block does") {
  auto zone = fit(64_KiB);
  OfHeavy model;
  Deferred<Fit, Heavy, 1> deferred(zone);
  const Block a = *deferred.allocate(4_KiB);
  const Block b = *deferred.allocate(4_KiB);
  Heavy fence = model.fence();
  CHECK(deferred.deallocate_after(a, std::move(fence)));
  Heavy mine = model.fence();
  CHECK(code_of(deferred.deallocate_after(b, std::move(mine))) == ErrorCode::too_many_blocks);
  CHECK(!mine.has_signalled());
  model.signal();
  CHECK(mine.has_signalled());
  CHECK(deferred.deallocate_after(b, std::move(mine)));
  CHECK(deferred.collect() == amount(1, 4_KiB));
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("no more goes back than is wanted") {
  auto zone = fit(64_KiB);
  std::atomic<bool> done = false;
  Deferred<Fit, Flag, 8> deferred(zone);
  for (int i = 0; i < 4; ++i) CHECK(deferred.deallocate_after(*deferred.allocate(4_KiB), Flag(done)));
  done = true;
  CHECK(deferred.collect(0) == amount(4, 16_KiB));  // 0 counts only
  CHECK(deferred.pending() == amount(4, 16_KiB));
  CHECK(deferred.collect(5000) == amount(2, 8_KiB));
  CHECK(deferred.collect(1) == amount(1, 4_KiB));
  CHECK(deferred.collect() == amount(1, 4_KiB));
}

// The choice: memory is lost rather than granted to somebody while a device writes to it.
TEST_CASE("what still waits at the end stays live") {
  auto zone = fit(16_KiB);
  std::atomic<bool> done = false, never = false;
  Block kept;
  {
    Deferred<Fit, Flag, 2> deferred(zone);
    kept = *deferred.allocate(4_KiB);
    CHECK(deferred.deallocate_after(kept, Flag(never)));
    CHECK(deferred.deallocate_after(*deferred.allocate(4_KiB), Flag(done)));
    done = true;
  }
  CHECK(blocks_of(zone) == std::vector<Block>{kept});
}

TEST_CASE("what a zone refuses to take waits on, and the rest goes") {
  auto inner = Fit::create({.name = "fit", .size = 64_KiB});
  struct Picky {  // does not take one of them
    Fit zone;
    Block refused = {};
    Result<Block> allocate(Bytes size) noexcept { return zone.allocate(size); }
    Result<void> deallocate(const Block& block) noexcept {
      if (block == refused) return ErrorCode::overrun;
      return zone.deallocate(block);
    }
    bool owns(const Block& block) noexcept { return zone.owns(block); }
    std::uint32_t tag() const noexcept { return zone.tag(); }
  };
  Picky picky{std::move(*inner)};
  Deferred<Picky, Flag, 4> deferred(picky);
  std::atomic<bool> done = false;
  const Block a = *deferred.allocate(4_KiB);
  const Block b = *deferred.allocate(4_KiB);
  CHECK(deferred.deallocate_after(a, Flag(done)));
  CHECK(deferred.deallocate_after(b, Flag(done)));
  picky.refused = a;
  done = true;
  const GoneBack back = deferred.collect();
  CHECK(back.blocks == 1);
  CHECK(back.refused.code == ErrorCode::overrun);
  CHECK(deferred.pending() == amount(1, 4_KiB));
  CHECK(code_of(deferred.deallocate_now(a)) == ErrorCode::overrun);
  CHECK(deferred.pending() == amount(1, 4_KiB));
  picky.refused = {};
  CHECK(deferred.collect() == amount(1, 4_KiB));
}

TEST_CASE("drain waits for eventfds") {
  auto zone = fit(64_KiB);
  Deferred<Fit, EventFence, 8, lock::Mutex> deferred(zone);
  std::vector<EventFence> events;
  for (int i = 0; i < 4; ++i) {
    events.push_back(*EventFence::create());
    CHECK(deferred.deallocate_after(*deferred.allocate(4_KiB), *EventFence::of(events.back().fd())));
  }
  CHECK(deferred.drain(Timeout::milliseconds(1)) == amount(0, 0));
  CHECK(deferred.pending() == amount(4, 16_KiB));
  std::thread device([&] {
    for (const EventFence& event : events) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      static_cast<void>(event.signal());
    }
  });
  CHECK(deferred.drain(Timeout::forever()) == amount(4, 16_KiB));
  device.join();
  CHECK(deferred.pending() == amount(0, 0));
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("a fence whose file is closed never signals, and is told") {
  auto zone = fit(64_KiB);
  Deferred<Fit, EventFence, 8> deferred(zone);
  const Block a = *deferred.allocate(4_KiB);
  const Block b = *deferred.allocate(4_KiB);
  auto mine = EventFence::create();
  auto whole = EventFence::create();
  REQUIRE((mine && whole));
  auto fence = EventFence::of(mine->fd());
  const int fd = fence->fd();
  CHECK(deferred.deallocate_after(a, std::move(*fence)));
  CHECK(deferred.deallocate_after(b, *EventFence::of(whole->fd())));
  CHECK(!deferred.pending().refused);
  close(fd);  // somebody's mistake
  CHECK(mine->signal());
  CHECK(deferred.collect() == amount(0, 0));
  CHECK(deferred.pending().refused.os_error == EBADF);
  CHECK(whole->signal());
  const GoneBack back = deferred.drain(Timeout::forever());
  CHECK(back.blocks == 1);
  CHECK(back.refused.os_error == EBADF);
  CHECK(zone.owns(a));
  std::vector<Block> broken;
  deferred.for_each_pending([&](const Block& block, const EventFence& one) {
    if (one.error()) broken.push_back(block);
  });
  CHECK(broken == std::vector<Block>{a});
  CHECK(deferred.deallocate_now(a));  // the caller knows
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("fences of a timeline and of an epoch, drained by looking") {
  auto zone = fit(64_KiB);
  Timeline timeline;
  Epoch<2> epoch;
  auto reader = *epoch.join();
  {
    Deferred<Fit, Timeline<>::Fence, 8> deferred(zone);
    for (std::uint64_t point = 1; point <= 4; ++point) {
      CHECK(deferred.deallocate_after(*deferred.allocate(4_KiB), timeline.at(point)));
    }
    timeline.raise_to(2);
    CHECK(deferred.collect() == amount(2, 8_KiB));
    int pauses = 0;
    CHECK(deferred.drain([&]() noexcept { return ++pauses < 3; }) == amount(0, 0));
    CHECK(pauses == 3);
    CHECK(deferred.drain([&]() noexcept { return timeline.raise() != 0; }) == amount(2, 8_KiB));
  }
  Deferred<Fit, Epoch<2>::Fence, 8> deferred(zone);
  const Block block = *deferred.allocate(4_KiB);
  reader.enter();
  CHECK(deferred.deallocate_after(block, epoch.fence()));
  CHECK(deferred.collect() == amount(0, 0));
  reader.leave();
  CHECK(deferred.collect() == amount(1, 4_KiB));
}

TEST_CASE("over a ZoneRef, a Fallback and Heaps") {
  std::atomic<bool> done = false;
  auto zone = fit(8_KiB);
  ZoneRef ref(zone);
  Deferred<ZoneRef, Flag, 2> by_ref(ref);
  const Block a = *by_ref.allocate(Request{.size = 8_KiB});
  CHECK(by_ref.deallocate_after(a, Flag(done)));
  CHECK(code_of(by_ref.deallocate_after(a, Flag(done))) == ErrorCode::double_release);

  Fallback both(fit(4_KiB), fit(4_KiB));
  Deferred<decltype(both), Flag, 2> by_set(both);
  const Block b = *by_set.allocate(4_KiB);
  const Block c = *by_set.allocate(4_KiB);
  CHECK(by_set.deallocate_after(c, Flag(done)));
  CHECK(code_of(by_set.deallocate_after(a, Flag(done))) == ErrorCode::foreign_block);

  using namespace declare;
  auto made = Heaps<decltype(heaps(order::Declared(), heap<"a">(id<1>, declare::zone<Fit>, size<4_KiB>),
                                   heap<"b">(id<2>, declare::zone<Fit>, size<4_KiB>)))>::create({});
  REQUIRE(made);
  Deferred<std::remove_reference_t<decltype(*made)>, Flag, 2> by_heaps(*made);
  const auto d = by_heaps.allocate(Constraints{.size = 4_KiB});
  const auto e = by_heaps.allocate(Constraints{.size = 4_KiB});
  REQUIRE((d && e));
  CHECK(e->heap == 2);
  CHECK(by_heaps.deallocate_after(*e, Flag(done)));
  CHECK(code_of(by_heaps.deallocate_after(*e, Flag(done))) == ErrorCode::double_release);
  CHECK(code_of(by_heaps.deallocate_after(a, Flag(done))) == ErrorCode::foreign_block);
  CHECK(by_heaps.allocate(Constraints{.size = 4_KiB}).error().code == ErrorCode::none_satisfied);

  done = true;
  CHECK(by_ref.allocate(Request{.size = 8_KiB}));
  CHECK(by_set.allocate(4_KiB));
  CHECK(by_set.deallocate(b));
  const auto again = by_heaps.allocate(Constraints{.size = 4_KiB});
  REQUIRE(again);
  CHECK(again->heap == 2);
}

namespace {

using Words = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, cache::Coherent>;

// One that says whether anybody holds it.
struct Watched {
  static constexpr std::size_t words = 1;
  static constexpr bool process_shared = false;
  static inline std::atomic<bool> is_held = false;
  static Watched format(std::uint64_t*) noexcept { return {}; }
  static Watched attach(std::uint64_t*) noexcept { return {}; }
  void lock() noexcept { is_held = true; }
  void unlock() noexcept { is_held = false; }
};

// Calls `meanwhile` while it scrubs.
struct Slow {
  struct State {
    std::function<void(const Block&)> meanwhile = [](const Block&) {};
    int scrubs = 0;
    bool fails = false;
  };
  State* state;
  Result<void> operator()(Words&, const Block& block) noexcept {
    ++state->scrubs;
    state->meanwhile(block);
    if (state->fails) return ErrorCode::os_failure;
    return {};
  }
};
using Cache = ReuseCache<Words, BlockSizes<4 << 10>, 8, Slow>;

Words words() { return std::move(*Words::create({.name = "words", .size = 64_KiB})); }

}  // namespace

// ION's deferred free scrubs under no lock of the heap's.
TEST_CASE("no lock is held while a cache scrubs, and nobody gives the block back again meanwhile") {
  auto zone = words();
  std::atomic<bool> done = false, never = false;
  Slow::State state;
  Cache cache(zone, 1_MiB, Slow{&state});
  Deferred<Cache, Flag, 4, Watched> deferred(cache);
  bool is_entered = false;
  int entered = 0;
  state.meanwhile = [&](const Block& block) {
    CHECK(!Watched::is_held);
    if (is_entered) return;
    is_entered = true;
    ++entered;
    CHECK(!cache.owns(block));
    CHECK(cache.kept().blocks == 0);
    CHECK(code_of(deferred.deallocate(block)) == ErrorCode::double_release);
    CHECK(code_of(deferred.deallocate_after(block, Flag(done))) == ErrorCode::double_release);
    CHECK(code_of(deferred.deallocate_after(block, Flag(never))) == ErrorCode::double_release);
    CHECK(code_of(deferred.deallocate_now(block)) ==
          (deferred.is_pending(block) ? ErrorCode::double_release : ErrorCode::dead_block));
    CHECK(code_of(cache.deallocate(block)) == ErrorCode::double_release);
    CHECK(deferred.collect() == amount(0, 0));
    CHECK(deferred.collect(0) == amount(0, 0));
    CHECK(deferred.shrink(0) == 0);
    const Block other = *deferred.allocate(8_KiB);  // others have their turn
    CHECK(deferred.deallocate_after(other, Flag(never)));
    CHECK(deferred.deallocate_now(other));
    is_entered = false;
  };
  SUBCASE("collect") {
    const Block block = *deferred.allocate(4_KiB);
    CHECK(deferred.deallocate_after(block, Flag(done)));
    done = true;
    CHECK(deferred.collect() == amount(1, 4_KiB));
  }
  SUBCASE("deallocate") { CHECK(deferred.deallocate(*deferred.allocate(4_KiB))); }
  SUBCASE("at once") {
    done = true;
    CHECK(deferred.deallocate_after(*deferred.allocate(4_KiB), Flag(done)));
  }
  SUBCASE("deallocate_now") {
    const Block block = *deferred.allocate(4_KiB);
    CHECK(deferred.deallocate_after(block, Flag(never)));
    CHECK(deferred.deallocate_now(block));
  }
  SUBCASE("to make room") {
    std::vector<Block> blocks;
    for (int i = 0; i < 5; ++i) blocks.push_back(*deferred.allocate(i == 2 ? 4_KiB : 8_KiB));
    for (std::size_t i = 0; i < 4; ++i) CHECK(deferred.deallocate_after(blocks[i], Flag(i == 2 ? done : never)));
    state.meanwhile = [&](const Block& block) {
      CHECK(deferred.is_pending(block));
      ++entered;
    };
    done = true;
    CHECK(deferred.deallocate_after(blocks[4], Flag(never)));
    for (const std::size_t i : {0U, 1U, 3U, 4U}) CHECK(deferred.deallocate_now(blocks[i]));
  }
  CHECK(entered == 1);
  CHECK(state.scrubs == 1);
  CHECK(deferred.pending() == amount(0, 0));
  CHECK(cache.kept().blocks == 1);
  CHECK(zone.stats().blocks == 1);
}

TEST_CASE("what a cache cannot scrub waits on") {
  auto zone = words();
  std::atomic<bool> done = false;
  Slow::State state;
  Cache cache(zone, 1_MiB, Slow{&state});
  Deferred<Cache, Flag, 4> deferred(cache);
  const Block block = *deferred.allocate(4_KiB);
  CHECK(deferred.deallocate_after(block, Flag(done)));
  done = true;
  state.fails = true;
  CHECK(deferred.collect().refused.code == ErrorCode::os_failure);
  CHECK(code_of(deferred.deallocate_now(block)) == ErrorCode::os_failure);
  CHECK(deferred.pending() == amount(1, 4_KiB));
  CHECK(cache.owns(block));
  state.fails = false;
  CHECK(deferred.collect() == amount(1, 4_KiB));
  CHECK(cache.kept().blocks == 1);
}

TEST_CASE("nothing is scrubbed when memory is wanted") {
  auto zone = words();
  std::atomic<bool> done = false;
  Slow::State state;
  Cache cache(zone, 1_MiB, Slow{&state});
  Deferred<Cache, Flag, 16> deferred(cache);
  std::vector<Block> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(*deferred.allocate(4_KiB));
  for (const Block& block : blocks) CHECK(deferred.deallocate_after(block, Flag(done)));
  CHECK(code_of(deferred.allocate(64_KiB)) == ErrorCode::no_space);
  done = true;
  SUBCASE("by a request") {
    const auto all = deferred.allocate(64_KiB);
    CHECK(all);
    CHECK(state.scrubs == 0);
    CHECK(deferred.pending() == amount(0, 0));
  }
  SUBCASE("by a shrinker: what waits first, then what is kept") {
    CHECK(deferred.collect(8_KiB) == amount(2, 8_KiB));
    CHECK(state.scrubs == 2);
    CHECK(deferred.shrink(0) == 64_KiB);
    CHECK(deferred.shrink(10_KiB) == 12_KiB);
    CHECK(zone.free() == 12_KiB);
    CHECK(cache.kept().blocks == 2);
    CHECK(deferred.shrink(48_KiB) == 48_KiB);
    CHECK(cache.kept().blocks == 1);
    CHECK(deferred.shrink(1_MiB) == 4_KiB);
    CHECK(deferred.shrink(0) == 0);
    CHECK(state.scrubs == 2);
    CHECK(zone.stats().blocks == 0);
  }
}

TEST_CASE("shrink without a cache: what has signalled, also of a zone that can itself shrink") {
  using Z = Numbers<strategy::Elastic<strategy::Bitmap>>;
  auto zone = std::move(*Z::create({.name = "elastic", .size = 64_KiB}));
  std::atomic<bool> done = false;
  Deferred<Z, Flag, 4> deferred(zone);
  for (int i = 0; i < 3; ++i) CHECK(deferred.deallocate_after(*deferred.allocate(4_KiB), Flag(done)));
  CHECK(deferred.shrink(0) == 0);
  CHECK(deferred.shrink(1) == 0);
  done = true;
  CHECK(deferred.shrink(0) == 12_KiB);
  CHECK(deferred.shrink(1) == 4_KiB);
  CHECK(deferred.shrink(1_MiB) == 8_KiB);
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("who drains does not sleep on for a block that went back another way") {
  using Clock = std::chrono::steady_clock;
  auto zone = words();
  Deferred<Words, EventFence, 1, lock::Mutex> deferred(zone);
  auto never = EventFence::create();
  REQUIRE(never);
  const Block block = *deferred.allocate(4_KiB);
  CHECK(deferred.deallocate_after(block, *EventFence::of(never->fd())));
  const auto begin = Clock::now();
  std::thread drains([&] { static_cast<void>(deferred.drain(Timeout::milliseconds(4'000))); });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK(deferred.deallocate_now(block));
  drains.join();
  CHECK(Clock::now() - begin < std::chrono::milliseconds(2'000));
  CHECK(deferred.deallocate_after(*deferred.allocate(4_KiB), *EventFence::of(never->fd())));  // its place is free
  CHECK(never->signal());
  CHECK(deferred.drain(Timeout::forever()) == amount(1, 4_KiB));
}

TEST_CASE("where a holder died nobody knows what is live, and that is said") {
  using Z = Zone<backing::MemoryFile, strategy::Bitmap, lock::ProcessShared, cache::Coherent>;
  auto zone = std::move(*Z::create({.name = "shared", .size = 64_KiB}));
  std::atomic<bool> done = false;
  Deferred<Z, Flag, 4> deferred(zone);
  ReuseCache<Z, BlockSizes<4 << 10>, 4> cache(zone);
  Deferred<decltype(cache), Flag, 4> by_cache(cache);
  const Block block = *zone.allocate(4_KiB);
  CHECK(zone.is_whole());
  const pid_t child = fork();
  if (child == 0) zone.for_each_block([](Block) { _exit(0); });
  waitpid(child, nullptr, 0);
  CHECK(!zone.is_whole());
  for (int again = 0; again < 2; ++again) {
    const auto refused = deferred.deallocate_after(block, Flag(done));
    CHECK(code_of(refused) == ErrorCode::holder_died);
    CHECK(std::string_view(refused.error().zone) == "shared");
    CHECK(code_of(by_cache.deallocate_after(block, Flag(done))) == ErrorCode::holder_died);
  }
  const Block foreign(0, 4_KiB, zone.tag() + 1);
  CHECK(code_of(deferred.deallocate_after(foreign, Flag(done))) == ErrorCode::foreign_block);
  zone.recover([](std::uint8_t) { return true; });
  CHECK(zone.is_whole());
  CHECK(deferred.deallocate_after(block, Flag(done)));
  CHECK(deferred.pending() == amount(1, 4_KiB));
}

// The lines at the head of the header.
TEST_CASE("a cache, what waits round it, and names beside that") {
  auto zone = words();
  using Z = Words;
  ReuseCache<Z, BlockSizes<4096>, 16> cache(zone);
  Deferred<decltype(cache), EventFence, 16> after(cache);  // after.shrink(bytes) is a shrinker for both
  NamedBlocks<decltype(cache)> named(cache);

  auto event = EventFence::create();
  REQUIRE(event);
  const Block frame = *after.allocate(4_KiB);
  CHECK(after.deallocate_after(frame, *EventFence::of(event->fd())));
  CHECK(event->signal());
  CHECK(after.collect() == amount(1, 4_KiB));
  const auto first = named.request("frame", 4_KiB);
  REQUIRE(first);
  CHECK(first->block == frame);  // out of the cache
  CHECK(code_of(cache.deallocate(frame)) == ErrorCode::none);  // as of any zone: it is the names' no more
  CHECK(after.shrink(0) == 4_KiB);
  CHECK(after.shrink(1) == 4_KiB);
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("against a model, whose fences signal by chance") {
  constexpr std::size_t most = 12;
  Random random(seed());
  for (int round = 0; round < 20; ++round) {
    auto zone = fit(256_KiB);
    Flags flags;
    Deferred<Fit, Flag, most> deferred(zone);
    std::vector<Block> held;
    struct Pending {
      Block block;
      std::atomic<bool>* flag;
    };
    std::vector<Pending> pending;
    const auto any = [&]() -> Pending& { return pending[static_cast<std::size_t>(random.below(pending.size()))]; };
    const auto signalled = [&] {
      return std::count_if(pending.begin(), pending.end(), [](const Pending& one) { return one.flag->load(); });
    };
    const auto forget_signalled = [&] { std::erase_if(pending, [](const Pending& one) { return one.flag->load(); }); };
    for (int step = 0; step < 600; ++step) {
      const std::uint64_t what = random.below(100);
      if (what < 40) {
        const Bytes size = 4096 * random.from_to(1, 8);
        const bool fits = zone.stats().largest_free >= size;
        const auto block = deferred.allocate(size);
        if (!fits) forget_signalled();
        CHECK((block || !fits));
        if (block) held.push_back(*block);
      } else if (what < 70 && !held.empty()) {
        const auto at = static_cast<std::size_t>(random.below(held.size()));
        flags.emplace_back(random.chance(10));
        const Block block = held[at];
        const bool is_signalled = flags.back();
        const bool was_full = pending.size() == most;
        const bool has_room = is_signalled || !was_full || signalled() != 0;
        const auto done = deferred.deallocate_after(block, Flag(flags.back()));
        if (was_full && !is_signalled) forget_signalled();
        CHECK(static_cast<bool>(done) == has_room);
        if (!done) {
          CHECK(done.error().code == ErrorCode::too_many_blocks);
        } else {
          held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
          if (!is_signalled) pending.push_back({block, &flags.back()});
        }
      } else if (what < 85 && !pending.empty()) {
        any().flag->store(true);
      } else if (what < 90) {
        const auto expected = static_cast<std::uint64_t>(signalled());
        CHECK(deferred.collect().blocks == expected);
        forget_signalled();
      } else if (what < 95 && !pending.empty()) {
        const Block twice = any().block;
        CHECK(code_of(deferred.deallocate_after(twice, Flag(flags.front()))) == ErrorCode::double_release);
        CHECK(code_of(deferred.deallocate(twice)) == ErrorCode::double_release);
      } else if (!held.empty()) {
        CHECK(deferred.deallocate(held.back()));
        held.pop_back();
      }
      // Whoever waits for a fence is live; nothing else is lost, and nothing is lost sight of.
      GoneBack model;
      for (const Pending& one : pending) {
        CHECK(zone.owns(one.block));
        CHECK(deferred.is_pending(one.block));
        model.blocks += 1;
        model.bytes = model.bytes + one.block.size();
      }
      for (const Block& block : held) CHECK(zone.owns(block));
      CHECK(deferred.pending() == model);
      CHECK(zone.stats().blocks == held.size() + pending.size());
    }
  }
}

// Devices that write to what waits for them: nobody else ever has these bytes.
TEST_CASE("threads: nobody gets a block while its fence has not signalled") {
  using Z = Zone<backing::OffsetSpace, strategy::Bitmap, lock::Spin, cache::Coherent>;
  auto zone = std::move(*Z::create({.name = "shared", .size = 64_KiB}));
  std::atomic<bool> wrong = false;
  Deferred<Z, Timeline<>::Fence, 16, lock::Spin> deferred(zone);
  constexpr int threads_count = 3;
  constexpr std::uint64_t rounds = 1'500;
  int users[16] = {};  // of each granule: plain, so that what looks for races sees two
  std::atomic<std::uint64_t> refused = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < threads_count; ++t) {
    threads.emplace_back([&, t] {
      Timeline timeline;  // this thread's device
      std::vector<std::size_t> in_flight;
      std::uint64_t point = 0;
      const auto finish = [&] {
        for (const std::size_t granule : in_flight) {
          if (users[granule] != t + 1) wrong = true;
          users[granule] = 0;
        }
        in_flight.clear();
        timeline.raise_to(point);
      };
      for (std::uint64_t round = 0; round < rounds; ++round) {
        const auto block = deferred.allocate(4_KiB);
        if (!block) {
          finish();
          std::this_thread::yield();
          continue;
        }
        const auto granule = static_cast<std::size_t>(block->offset().value() / 4096);
        if (users[granule] != 0) wrong = true;
        users[granule] = t + 1;
        const auto done = deferred.deallocate_after(*block, timeline.at(point + 1));
        if (!done) {
          ++refused;
          users[granule] = 0;
          if (done.error().code != ErrorCode::too_many_blocks || !deferred.deallocate(*block)) wrong = true;
          continue;
        }
        ++point;
        in_flight.push_back(granule);
        if (round % 3 == 0) finish();
      }
      finish();
      while (deferred.collect().blocks != 0) std::this_thread::yield();
      static_cast<void>(deferred.drain([&]() noexcept { return deferred.pending().blocks > 0 && !wrong; }));
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(!wrong);
  CHECK(deferred.pending().blocks == 0);
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("threads: one waits while another collects, gives and takes") {
  using Z = Zone<backing::OffsetSpace, strategy::Bitmap, lock::Spin, cache::Coherent>;
  auto zone = std::move(*Z::create({.name = "shared", .size = 64_KiB}));
  std::atomic<bool> over = false;
  Deferred<Z, EventFence, 4, lock::Mutex> deferred(zone);
  std::uint64_t drained = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      std::uint64_t mine = 0;
      while (!over) mine += deferred.drain(Timeout::milliseconds(1)).blocks;
      __atomic_fetch_add(&drained, mine, __ATOMIC_RELAXED);
    });
  }
  std::uint64_t given = 0, mine = 0;
  for (int round = 0; round < 300; ++round) {
    const auto block = deferred.allocate(4_KiB);
    auto event = EventFence::create();
    REQUIRE((block && event));
    auto fence = EventFence::of(event->fd());
    if (deferred.deallocate_after(*block, std::move(*fence))) {
      ++given;
    } else {
      CHECK(deferred.deallocate(*block));
    }
    CHECK(event->signal());
    if (round % 4 == 0) mine += deferred.collect().blocks;
  }
  while (deferred.pending().blocks != 0) std::this_thread::yield();
  over = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(drained + mine <= given);  // some went back to make room in the table
  CHECK(zone.stats().blocks == 0);
}
