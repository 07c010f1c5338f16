#include <freestone/heap/timeline.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include <freestone/heap/fence.hpp>
#include <freestone/lock/spin.hpp>
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("it only rises, and a fence is a point on it") {
  static_assert(check_fence<Timeline<>::Fence>());
  static_assert(sizeof(Timeline<>) <= 16, "three halves, and nothing for no lock");
  Timeline timeline;
  CHECK(timeline.value() == 0);
  CHECK(timeline.at(0).has_signalled());
  const auto third = timeline.at(3);
  CHECK(third.point() == 3);
  CHECK(timeline.raise() == 1);
  CHECK(timeline.raise() == 2);
  CHECK(!third.has_signalled());
  timeline.raise_to(1);
  CHECK(timeline.value() == 2);
  timeline.raise_to(3);
  CHECK(third.has_signalled());
  timeline.raise_to(~std::uint64_t{0});
  CHECK(third.has_signalled());
  CHECK(timeline.at(~std::uint64_t{0}).has_signalled());
  CHECK(timeline.value() == ~std::uint64_t{0});
}

TEST_CASE("against one number, over many multiples of 2^32") {
  Random random(seed());
  Timeline timeline;
  std::uint64_t model = 0;
  const auto check = [&](std::uint64_t point) { CHECK(timeline.has_reached(point) == (point <= model)); };
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t border = (random.below(40) << 32) + random.below(5) - 2;
    const std::uint64_t point = random.chance(50) ? border : model + random.below(100);
    timeline.raise_to(point);
    if (point > model) model = point;
    CHECK(timeline.value() == model);
    for (const std::uint64_t near : {model - 1, model, model + 1}) {
      if (near - (model - 1) <= 2) check(near);
    }
    check(random.next());
    check(random.below(40) << 32);
    if (model > std::uint64_t{39} << 32) {
      timeline.~Timeline();
      new (&timeline) Timeline;
      model = 0;
    }
  }
}

namespace {

// Atomics whose stores are written down, and done again one by one in between a reader's loads, as a plan says.
struct Planned : CompilerAtomics {
  struct Store {
    Word* word;
    Value before, after;
  };
  static inline std::vector<Store> stores;
  static inline std::size_t done = 0;
  static inline std::vector<std::size_t> plan;  // how many stores are done before each load
  static inline std::size_t loads = 0;

  static void store_release(Word& word, Value value) noexcept {
    stores.push_back({&word, word, value});
    word = value;
  }
  static Value load_acquire(const Word& word) noexcept {
    if (loads < plan.size()) {
      for (const std::size_t until = plan[loads++]; done < until; ++done) *stores[done].word = stores[done].after;
    }
    return word;
  }
  static void undo() {
    for (std::size_t at = stores.size(); at-- != 0;) *stores[at].word = stores[at].before;
    done = loads = 0;
  }
};

// Every plan of two looks at a point while the counter goes from `values[0]` over the others. Each raise is three
// stores.
int wrong_looks(const std::vector<std::uint64_t>& values, std::uint64_t point) {
  Timeline<lock::None, Planned> timeline;
  Planned::plan.clear();
  Planned::loads = 0;
  timeline.raise_to(values[0]);
  Planned::stores.clear();
  for (std::size_t i = 1; i < values.size(); ++i) timeline.raise_to(values[i]);
  const std::size_t stores = Planned::stores.size();
  const auto completed = [&](std::size_t done) { return values[done / 3]; };
  const auto begun = [&](std::size_t done) { return values[(done + 2) / 3]; };
  int wrong = 0;
  std::vector<std::size_t> plan(8, 0);
  while (true) {
    Planned::undo();
    Planned::plan = plan;
    bool before = false;
    for (int look = 0; look < 2; ++look) {
      const std::size_t first = Planned::loads < plan.size() ? plan[Planned::loads] : stores;
      const bool reached = timeline.has_reached(point);
      if (reached && point > begun(Planned::done)) ++wrong;  // too early
      if (!reached && point <= completed(first)) ++wrong;    // missed
      if (!reached && before) ++wrong;                       // gone again
      before = reached;
    }
    std::size_t at = plan.size();
    while (at != 0 && plan[at - 1] == stores) --at;
    if (at == 0) return Planned::plan.clear(), wrong;
    const std::size_t next = plan[at - 1] + 1;
    for (std::size_t i = at - 1; i < plan.size(); ++i) plan[i] = next;
  }
}

// The same for the number itself.
int wrong_values(const std::vector<std::uint64_t>& values) {
  Timeline<lock::None, Planned> timeline;
  Planned::plan.clear();
  Planned::loads = 0;
  timeline.raise_to(values[0]);
  Planned::stores.clear();
  for (std::size_t i = 1; i < values.size(); ++i) timeline.raise_to(values[i]);
  const std::size_t stores = Planned::stores.size();
  int wrong = 0;
  std::vector<std::size_t> plan(6, 0);
  while (true) {
    Planned::undo();
    Planned::plan = plan;
    const std::uint64_t first = timeline.value();
    const std::uint64_t second = timeline.value();
    if (first > second || first < values[0] || second > values[(Planned::done + 2) / 3]) ++wrong;
    if (first < values[plan[0] / 3] && first >> 32 == values[plan[0] / 3] >> 32) ++wrong;
    std::size_t at = plan.size();
    while (at != 0 && plan[at - 1] == stores) --at;
    if (at == 0) return Planned::plan.clear(), wrong;
    const std::size_t next = plan[at - 1] + 1;
    for (std::size_t i = at - 1; i < plan.size(); ++i) plan[i] = next;
  }
}

}  // namespace

TEST_CASE("a look at any moment of a raise, and raises at any moment of a look") {
  const std::uint64_t border = std::uint64_t{5} << 32;
  const std::vector<std::vector<std::uint64_t>> paths = {
      {border - 2, border - 1, border},         {border - 1, border, border + 1},
      {border - 1, border + 7, border + 8},     {border + 5, 2 * border + 1, 2 * border + 2},
      {border - 9, border + 3, 2 * border + 1}, {border - 0x8000'0000, border + 0x7000'0000, border + 0xF000'0000},
  };
  for (const auto& path : paths) {
    CAPTURE(path[0]);
    CHECK(wrong_values(path) == 0);
    for (const std::uint64_t value : path) {
      for (const std::uint64_t point : {value - 1, value, value + 1}) {
        CAPTURE(point);
        CHECK(wrong_looks(path, point) == 0);
      }
    }
    CHECK(wrong_looks(path, border) == 0);
    CHECK(wrong_looks(path, 2 * border) == 0);
  }
}

TEST_CASE("several threads raise it, others look, over a multiple of 2^32") {
  constexpr std::uint64_t start = 0xFFFF'F000, steps = 6'000;
  Timeline<lock::Spin> timeline;
  timeline.raise_to(start);
  std::atomic<bool> wrong = false;
  std::vector<std::thread> threads;
  for (int raiser = 0; raiser < 2; ++raiser) {
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < steps; ++i) timeline.raise();
    });
  }
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      for (std::uint64_t before = start; before < start + 2 * steps;) {
        const std::uint64_t now = timeline.value();
        if (now < before || now > start + 2 * steps || !timeline.has_reached(now)) wrong = true;
        if (timeline.has_reached(start + 2 * steps + 1)) wrong = true;
        if (wrong) return;
        before = now;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(!wrong);
  CHECK(timeline.value() == start + 2 * steps);
}

TEST_CASE("a device raises it") {
  alignas(8) std::uint64_t counter = 41;
  const DeviceTimeline<> timeline(&counter);
  const auto fence = timeline.at(0x2'0000'0000);
  CHECK(timeline.value() == 41);
  CHECK(!fence.has_signalled());
  std::thread device([&] {
    for (std::uint64_t i = 0; i < 2'000; ++i) {
      __atomic_store_n(&counter, 0x1'FFFF'FFFF - 1'000 + i, __ATOMIC_RELEASE);
    }
  });
  for (std::uint64_t before = 0; !fence.has_signalled();) {
    const std::uint64_t now = timeline.value();
    if (now < before) FAIL("it fell");
    before = now;
  }
  device.join();
  CHECK(fence.has_signalled());
  CHECK(timeline.value() == 0x2'0000'0000 - 1'000 + 1'998);
}

TEST_CASE("a fence of a device's counter outlives the view that made it") {
  static_assert(sizeof(DeviceTimeline<>::Fence) == sizeof(Timeline<>::Fence));
  static_assert(check_fence<DeviceTimeline<>::Fence>());
  alignas(8) std::uint64_t counter = 6;
  std::optional<DeviceTimeline<>> view(&counter);
  const auto fence = view->at(7);
  alignas(8) const std::uint64_t other = 9;
  view.emplace(&other);  // where it was is another now
  CHECK(!fence.has_signalled());
  view.reset();
  __atomic_store_n(&counter, 7, __ATOMIC_RELEASE);
  CHECK(fence.has_signalled());
  CHECK(fence.point() == 7);
}
