#include <freestone/heap/epoch.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include <freestone/heap/fence.hpp>
#include "support/child.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("a fence waits for those inside, and for nobody who comes later") {
  using E = Epoch<4>;
  static_assert(check_fence<E::Fence>());
  E epoch;
  CHECK(epoch.fence().has_signalled());
  auto a = *epoch.join();
  auto b = *epoch.join();
  CHECK(epoch.fence().has_signalled());  // they are outside
  a.enter();
  const auto first = epoch.fence();
  CHECK(!first.has_signalled());
  b.enter();
  const auto second = epoch.fence();
  a.leave();
  CHECK(first.has_signalled());
  CHECK(!second.has_signalled());
  a.enter();  // after both
  CHECK(!second.has_signalled());
  b.leave();
  CHECK(second.has_signalled());
  CHECK(first.has_signalled());
  const auto third = epoch.fence();
  a.leave();
  a.enter();  // again: it has left in between
  CHECK(third.has_signalled());
}

TEST_CASE("readers nest, move, and leave with their end") {
  using E = Epoch<2, lock::None>;
  E epoch;
  std::optional<E::Reader> reader = epoch.join();
  reader->enter();
  {
    const auto stay = reader->stay();
    CHECK(!epoch.fence().has_signalled());
  }
  const auto fence = epoch.fence();
  CHECK(!fence.has_signalled());
  E::Reader moved = std::move(*reader);
  reader.reset();
  CHECK(!fence.has_signalled());
  moved.leave();
  CHECK(fence.has_signalled());
  CHECK(ends_the_program([&] { moved.leave(); }));
  {
    auto inside = *epoch.join();
    inside.enter();
    CHECK(!epoch.join());  // all are taken
    CHECK(!epoch.fence().has_signalled());
  }
  CHECK(epoch.fence().has_signalled());
  auto again = epoch.join();
  REQUIRE(again);
  again->enter();
  CHECK(!epoch.fence().has_signalled());
}

TEST_CASE("as many readers as there is room for") {
  using E = Epoch<33>;
  E epoch;
  std::vector<E::Reader> readers;
  for (auto reader = epoch.join(); reader; reader = epoch.join()) readers.push_back(std::move(*reader));
  CHECK(readers.size() == 33);
  readers.back().enter();
  const auto fence = epoch.fence();
  CHECK(!fence.has_signalled());
  readers.pop_back();
  CHECK(fence.has_signalled());
  CHECK(epoch.join());
}

TEST_CASE("against a model that knows for each fence who was inside") {
  constexpr std::size_t readers = 5;
  struct Made {
    Epoch<readers>::Fence fence;
    bool waits_for[readers];
    bool was_signalled;
  };
  Random random(seed());
  for (int round = 0; round < 30; ++round) {
    Epoch<readers> epoch;
    std::vector<Epoch<readers>::Reader> all;
    for (std::size_t i = 0; i < readers; ++i) all.push_back(*epoch.join());
    bool inside[readers] = {};
    std::vector<Made> fences;
    const auto leave = [&](std::size_t who) {
      all[who].leave();
      inside[who] = false;
      for (Made& made : fences) made.waits_for[who] = false;
    };
    for (int step = 0; step < 400; ++step) {
      const auto who = static_cast<std::size_t>(random.below(readers));
      if (random.chance(20) && fences.size() < 50) {
        Made made{epoch.fence(), {}, false};
        for (std::size_t i = 0; i < readers; ++i) made.waits_for[i] = inside[i];
        fences.push_back(made);
      } else if (inside[who]) {
        leave(who);
      } else {
        all[who].enter();
        inside[who] = true;
      }
      for (Made& made : fences) {
        bool may = true;
        for (const bool waits : made.waits_for) may = may && !waits;
        const bool signalled = random.chance(70) ? made.fence.has_signalled() : made.was_signalled;
        CHECK((may || !signalled));                 // never too early
        CHECK((signalled || !made.was_signalled));  // for ever
        made.was_signalled = signalled;
      }
    }
    // Each signals when all who were ever inside have left and somebody looks.
    for (std::size_t i = 0; i < readers; ++i) {
      if (inside[i]) leave(i);
    }
    for (const Made& made : fences) CHECK(made.fence.has_signalled());
  }
}

// The use that it is for: what a writer takes out of sight is torn down once its fence signals, and no reader ever
// finds it torn. (What looks for races finds a missing order here.)
TEST_CASE("threads: nothing is torn down under a reader") {
  constexpr int readers = 3;
  constexpr std::uint64_t rounds = 2'000;
  struct Node {
    std::uint64_t value = 0;
    std::uint64_t twin = 0;
  };
  Epoch<readers> epoch;
  Node nodes[8];
  std::atomic<Node*> shown = &nodes[0];
  std::atomic<bool> over = false;
  std::atomic<int> torn = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < readers; ++i) {
    threads.emplace_back([&] {
      auto reader = *epoch.join();
      while (!over) {
        const auto stay = reader.stay();
        const Node* const node = shown.load(std::memory_order_acquire);
        if (node->value != node->twin) ++torn;
      }
    });
  }
  struct Gone {
    Node* node;
    Epoch<readers>::Fence fence;
  };
  std::vector<Gone> gone;
  std::uint64_t reused = 0;
  std::vector<Node*> free;
  for (Node& node : nodes) {
    if (&node != &nodes[0]) free.push_back(&node);
  }
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    while (free.empty()) {
      for (std::size_t i = 0; i < gone.size();) {
        if (!gone[i].fence.has_signalled()) {
          ++i;
          continue;
        }
        gone[i].node->value = ~round;  // torn
        free.push_back(gone[i].node);
        gone.erase(gone.begin() + static_cast<std::ptrdiff_t>(i));
        ++reused;
      }
      if (free.empty()) std::this_thread::yield();
    }
    Node* const next = free.back();
    free.pop_back();
    next->value = round;
    next->twin = round;
    Node* const before = shown.exchange(next, std::memory_order_acq_rel);
    gone.push_back({before, epoch.fence()});
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(torn == 0);
  CHECK(reused + 8 >= rounds);
}

TEST_CASE("threads: who joins and goes while others look") {
  Epoch<4> epoch;
  std::atomic<bool> wrong = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        auto reader = epoch.join();
        if (!reader) return wrong.store(true);
        reader->enter();
        const auto fence = epoch.fence();
        if (fence.has_signalled()) wrong = true;
        reader.reset();
        for (int looks = 0; !fence.has_signalled(); ++looks) {
          if (looks > 1'000'000) return wrong.store(true);
          std::this_thread::yield();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(!wrong);
}
