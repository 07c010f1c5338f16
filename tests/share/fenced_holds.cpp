#include <freestone/share/fenced_holds.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <thread>
#include <vector>

#include <boost/hana/for_each.hpp>

#include <freestone/lock/os/mutex.hpp>
#include "support/boards.hpp"
#include "support/fences.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

namespace {

using D = Shared<lock::None>;

}  // namespace

TEST_CASE("a buffer ends when its last holder is gone and its fences have signalled") {
  Board<> board;
  std::atomic<bool> first = false, second = false;
  FencedHolds<D, Flag, 4> holds(board.device);
  auto ref = board.buffer();
  const BufferId id = ref.id();
  REQUIRE(holds.hold_until(*board.device.ref(id), Flag(first)));
  REQUIRE(holds.hold_until(std::move(ref), Flag(second)));
  CHECK(!ref);
  CHECK(holds.count() == 2);
  CHECK(holds.collect() == 0);
  second = true;
  CHECK(holds.collect() == 1);
  CHECK(board.buffers() == 1);
  first = true;
  CHECK(board.buffers() == 1);  // nobody has looked
  CHECK(holds.collect() == 1);
  CHECK(board.buffers() == 0);
  CHECK(code_of(board.device.ref(id)) == ErrorCode::no_buffer);
}

TEST_CASE("others who hold the buffer keep it, whatever the fence says") {
  Board<> board;
  std::atomic<bool> done = false;
  FencedHolds<D, Flag, 4> holds(board.device);
  const auto ref = board.buffer();
  REQUIRE(holds.hold_until(*board.device.ref(ref.id()), Flag(done)));
  done = true;
  CHECK(holds.collect() == 1);
  CHECK(board.device.info(ref).holds == 1);
}

TEST_CASE("nothing is held for a fence that has signalled, for nothing, and where there is no room") {
  Board<> board;
  std::atomic<bool> done = true, never = false;
  FencedHolds<D, Flag, 2> holds(board.device);
  auto ref = board.buffer();
  CHECK(holds.hold_until(*board.device.ref(ref.id()), Flag(done)));
  CHECK(holds.count() == 0);
  CHECK(code_of(holds.hold_until(D::Ref(), Flag(never))) == ErrorCode::no_buffer);
  std::atomic<bool> soon = false;
  REQUIRE(holds.hold_until(*board.device.ref(ref.id()), Flag(never)));
  REQUIRE(holds.hold_until(*board.device.ref(ref.id()), Flag(soon)));
  CHECK(code_of(holds.hold_until(std::move(ref), Flag(never))) == ErrorCode::too_many_holds);
  REQUIRE(ref);  // it is the caller's still
  CHECK(board.device.info(ref).holds == 3);
  soon = true;
  CHECK(holds.hold_until(std::move(ref), Flag(never)));
  CHECK(holds.count() == 2);
  const BufferId id = [&] {
    BufferId found;
    holds.for_each([&](const D::Ref& one, const Flag&) { found = one.id(); });
    return found;
  }();
  CHECK(holds.let_go_now({id.place, id.generation + 1}) == 0);
  CHECK(holds.let_go_now(id) == 2);  // the device was reset
  CHECK(board.buffers() == 0);
}

TEST_CASE("what waits counts as its maker's, and a request that fails for want of that collects") {
  Board<> board(16_KiB);
  std::atomic<bool> done = false;
  FencedHolds<D, Flag, 4> holds(board.device);
  const ClientId thrifty = *board.device.open_for(7, {.quota = {.bytes = 8_KiB}});
  const auto use = [&](ClientId client, const Handle& handle) {
    CHECK(holds.hold_until(*board.device.share(client, handle), Flag(done)));
    CHECK(board.device.free(client, handle));
  };
  use(thrifty, *holds.allocate(thrifty, Constraints{.size = 8_KiB}));
  CHECK(code_of(holds.allocate(thrifty, Constraints{.size = 4_KiB})) == ErrorCode::over_quota);
  CHECK(board.device.usage(thrifty)->bytes == 8_KiB);
  done = true;
  const auto next = holds.allocate(thrifty, Constraints{.size = 4_KiB});
  REQUIRE(next);
  CHECK(holds.count() == 0);
  CHECK(board.device.free(thrifty, *next));
  done = false;
  use(board.client, *holds.allocate(board.client, Constraints{.size = 16_KiB}));
  CHECK(code_of(holds.allocate(board.client, Constraints{.size = 16_KiB})) == ErrorCode::no_space);
  done = true;
  CHECK(code_of(holds.allocate(board.client, Constraints{.size = 0})) == ErrorCode::zero_size);  // no want of anything
  CHECK(holds.count() == 1);
  CHECK(holds.allocate(board.client, Constraints{.size = 16_KiB}));
}

TEST_CASE("drained until nothing waits, or until somebody has enough") {
  Board<> board;
  std::atomic<bool> done = false;
  FencedHolds<D, Flag, 4> holds(board.device);
  REQUIRE(holds.hold_until(board.buffer(), Flag(done)));
  int looks = 0;
  CHECK(!holds.drain([&]() noexcept { return ++looks < 5; }));
  CHECK(looks == 5);
  CHECK(holds.drain([&]() noexcept { return done = true; }));
  CHECK(board.buffers() == 0);
  CHECK(holds.drain([]() noexcept { return false; }));
}

TEST_CASE("any fence will do") {
  boost::hana::for_each(all_fences, [](auto type) {
    using Model = typename decltype(type)::type;
    Board<> board;
    Model model;
    FencedHolds<D, typename Model::Fence, 2> holds(board.device);
    REQUIRE(holds.hold_until(board.buffer(), model.fence()));
    CHECK(holds.collect() == 0);
    model.others();
    CHECK(holds.collect() == 0);
    model.signal();
    CHECK(holds.collect() == 1);
    CHECK(board.buffers() == 0);
  });
}

TEST_CASE("whatever signals when, a buffer lives while somebody holds it or a fence of its has not signalled") {
  struct Use {
    BufferId id;
    std::atomic<bool>* flag;
  };
  Random random(seed());
  for (int round = 0; round < 20; ++round) {
    Board<> board;
    std::list<std::atomic<bool>> flags;
    FencedHolds<D, Flag, 5> holds(board.device);
    std::vector<D::Ref> refs;
    std::vector<Use> uses;  // whose holds have not ended
    for (int step = 0; step < 1'000; ++step) {
      const auto what = random.below(10);
      const auto collected = [&] { return std::erase_if(uses, [](const Use& use) { return use.flag->load(); }); };
      if (what < 2 && refs.size() < 6) {
        refs.push_back(board.buffer());
      } else if (what < 4 && !refs.empty()) {
        refs.erase(refs.begin() + static_cast<std::ptrdiff_t>(random.below(refs.size())));
      } else if (what < 7 && !refs.empty()) {
        const auto& ref = refs[static_cast<std::size_t>(random.below(refs.size()))];
        auto& flag = flags.emplace_back(false);
        if (uses.size() == 5) collected();
        const bool can = uses.size() < 5;
        REQUIRE(static_cast<bool>(holds.hold_until(*board.device.ref(ref.id()), Flag(flag))) == can);
        if (can) uses.push_back({ref.id(), &flag});
      } else if (what < 9 && !uses.empty()) {
        *uses[static_cast<std::size_t>(random.below(uses.size()))].flag = true;
      } else {
        REQUIRE(holds.collect() == collected());
      }
      REQUIRE(holds.count() == uses.size());
      std::vector<std::uint32_t> live;
      for (const auto& ref : refs) live.push_back(ref.id().place);
      for (const Use& use : uses) live.push_back(use.id.place);
      std::sort(live.begin(), live.end());
      REQUIRE(board.buffers() == static_cast<std::uint64_t>(std::unique(live.begin(), live.end()) - live.begin()));
    }
    for (const Use& use : uses) *use.flag = true;
  }
}

// A device writes until it signals, and its client goes on meanwhile; who gets the bytes next may never see that.
TEST_CASE("threads: who gets the memory next finds zeros, for the device was through") {
  Board<lock::Mutex> board(64_KiB);
  std::array<Timeline<>, 3> timelines;
  using Many = FencedHolds<Shared<lock::Mutex>, Timeline<>::Fence, 8, lock::Mutex>;
  auto holds = std::make_unique<Many>(board.device);
  std::atomic<std::uint64_t> wrong = 0, waited = 0;
  const auto work = [&](std::size_t number) {
    const auto client = board.device.open_for(static_cast<int>(number) + 2);
    Timeline<>& timeline = timelines[number];
    std::thread device;
    for (std::uint64_t step = 1; step <= 500; ++step) {
      const auto handle = holds->allocate(*client, Constraints{.size = 4_KiB});
      if (!handle) continue;
      auto ref = *board.device.share(*client, *handle);
      const auto bytes = board.zone.data(ref.parts().blocks[0]).first(64);
      for (const std::byte byte : bytes) wrong += byte != std::byte{0};
      if (device.joinable()) device.join();
      device = std::thread([&timeline, bytes, step] {
        for (std::byte& byte : bytes) byte = std::byte{0xdd};
        timeline.raise_to(step);
      });
      static_cast<void>(board.device.free(*client, *handle));
      if (holds->hold_until(std::move(ref), timeline.at(step))) {
        ++waited;
      } else {
        device.join();
      }
    }
    if (device.joinable()) device.join();
    static_cast<void>(board.device.close(*client));
  };
  std::vector<std::thread> threads;
  for (std::size_t number = 0; number < 3; ++number) threads.emplace_back(work, number);
  for (auto& thread : threads) thread.join();
  holds.reset();
  CHECK(wrong == 0);
  CHECK(waited > 0);
  CHECK(board.buffers() == 0);
}
