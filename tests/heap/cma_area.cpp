#include <freestone/heap/cma_area.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include <freestone/lock/spin.hpp>

#include "support/effort.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t page = 4096;

// Pages that cannot be had, and what was asked for.
struct Occupied {
  struct State {
    std::set<std::uint64_t> busy, broken, movable;  // page numbers
    std::vector<CmaRange> asked, zeroed, released;
  };
  State* state;

  Evacuation evacuate(const CmaRange& range) noexcept {
    state->asked.push_back(range);
    const auto has = [&](const std::set<std::uint64_t>& pages) {
      const auto found = pages.lower_bound(range.first_page);
      return found != pages.end() && *found < range.end();
    };
    if (has(state->broken)) return Evacuation::failed;
    if (has(state->busy)) return Evacuation::busy;
    for (auto at = state->movable.lower_bound(range.first_page); at != state->movable.end() && *at < range.end();) at = state->movable.erase(at);
    return Evacuation::done;
  }
  void zero(const CmaRange& range) noexcept { state->zeroed.push_back(range); }
  void release(const CmaRange& range) noexcept { state->released.push_back(range); }
};

// An area by its vectors' words: addresses, and pages; a DMA request is aligned to its order up to a cap.
template <class Pages = UnusedPages>
struct Scene {
  using Area = CmaArea<lock::None, Pages>;

  Scene(std::uint64_t base, std::uint64_t pages, unsigned order_per_bit = 0, unsigned cap = 4, Pages where = {})
      : settings{"area", {base / page, pages}, order_per_bit}, words(Area::words_for(settings)), area(settings, words, where), most_align(cap) {}

  std::uint64_t take(std::uint64_t pages) {
    const unsigned order = page_order(pages);
    const auto made = area.allocate(pages, order < most_align ? order : most_align);
    return made ? *made * page : 0;
  }
  bool drop(std::uint64_t address, std::uint64_t pages) { return area.release(address / page, pages); }

  const typename Area::Settings settings;
  std::vector<std::uint64_t> words;
  Area area;
  const unsigned most_align;
};

}  // namespace

TEST_CASE("CMA, row 2: vectors") {
  Scene a(0x26400000, 512);
  CHECK(a.take(1) == 0x26400000);
  CHECK(a.take(5) == 0x26408000);
  CHECK(a.take(2) == 0x26402000);
  CHECK(a.take(97) == 0x26410000);
  CHECK(a.take(1) == 0x26401000);
  CHECK(a.take(250) == 0x26480000);
  CHECK(a.take(1) == 0x26404000);
  CHECK(a.take(16) == 0x26580000);
}

TEST_CASE("CMA, rows 2 and 3: alignment is that of addresses where the base has less, and goes up to the cap") {
  Scene a(0x26404000, 508);
  CHECK(a.take(16) == 0x26410000);
  CHECK(a.take(1) == 0x26404000);
  CHECK(a.take(4) == 0x26408000);
  Scene<> higher(0x26404000, 4096, 0, 8);
  CHECK(higher.take(300) == 0x26500000);
}

TEST_CASE("CMA, rows 2 and 6: several pages a bit") {
  Scene a(0x26400000, 512, 2, 8);
  CHECK(a.take(1) == 0x26400000);
  CHECK(a.take(5) == 0x26408000);
  CHECK(a.take(4) == 0x26404000);
  CHECK(a.take(9) == 0x26410000);
  CHECK(a.area.used() == 4 + 8 + 4 + 12);
  CHECK(a.area.available() == 512 - 28);
  CHECK(a.area.largest_free() == 512 - 28);
  std::vector<CmaRange> used;
  a.area.for_each_used([&](const CmaRange& run) { used.push_back(run); });
  CHECK(used == std::vector<CmaRange>{{0x26400, 4}, {0x26404, 4}, {0x26408, 8}, {0x26410, 12}});
  CHECK_FALSE(a.drop(0x26408000, 4));
  CHECK_FALSE(a.drop(0x2640a000, 6));
  CHECK_FALSE(a.drop(0x2640c000, 4));
  CHECK(a.area.used() == 28);
  CHECK(a.drop(0x26408000, 5));
  CHECK(a.drop(0x26410000, 12));  // whole, as it was rounded
  CHECK(a.area.used() == 8);
}

TEST_CASE("CMA, rows 2, 4 and 14: where somebody cannot move, the next such place is tried; who can, has moved") {
  Occupied::State state{.busy = {0x26403, 0x2641f}, .broken = {}, .movable = {0x26421, 0x26422, 0x26430}, .asked = {}, .zeroed = {}, .released = {}};
  Scene<Occupied> a(0x26400000, 512, 0, 4, {&state});
  CHECK(a.take(16) == 0x26420000);
  CHECK(state.asked == std::vector<CmaRange>{{0x26400, 16}, {0x26410, 16}, {0x26420, 16}});
  CHECK(state.movable == std::set<std::uint64_t>{0x26430});
  CHECK(a.area.used() == 16);
  CHECK(a.take(4) == 0x26404000);  // not at 26400, for 26403 is there
  CHECK(a.take(1) == 0x26400000);
}

TEST_CASE("CMA, row 4: behind a busy place the next one is tried that is as aligned, though it overlaps the first") {
  Occupied::State state;
  state.busy = {0x100};
  Scene<Occupied> a(0x100000, 64, 0, 4, {&state});
  CHECK(*a.area.allocate(5, 1) == 0x102);
  CHECK(state.asked == std::vector<CmaRange>{{0x100, 5}, {0x102, 5}});
}

TEST_CASE("CMA, row 4: an area of busy pages only gives nothing, and has lost nothing; one that fails ends the search") {
  Occupied::State state;
  for (std::uint64_t at = 0; at < 64; ++at) state.busy.insert(0x100 + at);
  Scene<Occupied> a(0x100000, 64, 0, 4, {&state});
  CHECK(a.take(4) == 0);
  CHECK(state.asked.size() == 16);
  CHECK(a.area.used() == 0);
  CHECK(a.area.largest_free() == 64);
  state.busy.clear();
  state.broken.insert(0x101);
  state.asked.clear();
  CHECK(a.take(2) == 0);
  CHECK(state.asked.size() == 1);
  CHECK(a.area.used() == 0);
  state.broken.clear();
  CHECK(a.take(64) == 0x100000);
}

TEST_CASE("CMA, row 5: none, more than there are, more than are free") {
  Scene a(0x100000, 64);
  const auto code = [&](std::uint64_t pages, unsigned align) { return a.area.allocate(pages, align).error().code; };
  CHECK(code(0, 0) == ErrorCode::zero_size);
  CHECK(code(65, 0) == ErrorCode::size_beyond_zone);
  CHECK(code(~std::uint64_t{0}, 0) == ErrorCode::size_beyond_zone);
  CHECK(code(1, 9) == ErrorCode::no_space);
  CHECK(code(1, 4000) == ErrorCode::no_space);
  REQUIRE(a.take(33) != 0);
  CHECK(code(32, 0) == ErrorCode::no_space);
  CHECK(a.take(16) == 0x130000);
}

TEST_CASE("CMA, row 7: what is not its own, or not allocated, is not given back") {
  Scene a(0x100000, 64);
  REQUIRE(a.take(16) == 0x100000);
  CHECK_FALSE(a.drop(0xff000, 2));
  CHECK_FALSE(a.drop(0x130000, 65));
  CHECK_FALSE(a.drop(0x200000, 1));
  CHECK_FALSE(a.drop(0x100000, 17));
  CHECK_FALSE(a.drop(0x100000, 0));
  CHECK_FALSE(a.area.release(0x100, ~std::uint64_t{0}));
  CHECK(a.area.used() == 16);
  CHECK(a.drop(0x100000, 16));
  CHECK_FALSE(a.drop(0x100000, 16));
}

TEST_CASE("CMA, rows 10 and 15: pages are counted; they are zeros when they are given, and others' again behind that") {
  Occupied::State state;
  Scene<Occupied> a(0x100000, 64, 0, 4, {&state});
  REQUIRE(a.take(10) == 0x100000);
  REQUIRE(a.take(60) == 0);
  REQUIRE(a.take(3) == 0x10c000);
  REQUIRE(a.drop(0x10c000, 3));
  CHECK_FALSE(a.drop(0x10c000, 3));
  CHECK(a.area.counts().allocated == 13);
  CHECK(a.area.counts().failed == 60);
  CHECK(a.area.counts().released == 3);
  CHECK(state.zeroed == std::vector<CmaRange>{{0x100, 10}, {0x10c, 3}});
  CHECK(state.released == std::vector<CmaRange>{{0x10c, 3}});
}

TEST_CASE("CMA, row 10: by hand, the last one goes first, and a part of it") {
  Scene a(0x100000, 64);
  CmaByHand<Scene<>::Area, 3> hand;
  CHECK(hand.allocate(a.area, 5));
  CHECK(hand.allocate(a.area, 8));
  CHECK_FALSE(hand.allocate(a.area, 60));
  CHECK(hand.release(a.area, 3) == 3);
  CHECK(a.area.used() == 10);
  CHECK(a.take(2) == 0x106000);
  CHECK(a.take(1) == 0x105000);
  CHECK(hand.release(a.area, 7) == 7);  // what is left of the last one, and a part of the first
  CHECK(a.area.used() == 6);
  CHECK(hand.release(a.area, 100) == 3);
  CHECK(hand.release(a.area, 1) == 0);
  CHECK(a.area.used() == 3);

  Scene<> coarse(0x100000, 64, 2);
  CHECK(hand.allocate(coarse.area, 8));
  CHECK(hand.release(coarse.area, 4) == 0);
  CHECK(hand.release(coarse.area, 8) == 8);
  CHECK(coarse.area.used() == 0);
  for (unsigned at = 0; at < 3; ++at) CHECK(hand.allocate(a.area, 1));
  CHECK(hand.allocate(a.area, 1).error().code == ErrorCode::too_many_blocks);
}

TEST_CASE("CMA, row 11: calls by chance are what a set of pages makes of them: apart, aligned, the lowest") {
  Random random(seed());
  for (const unsigned order_per_bit : {0U, 2U}) {
    const std::uint64_t base = 0x26404, count = 508, bit = std::uint64_t{1} << order_per_bit;
    Scene<> a(base * page, count, order_per_bit);
    std::vector<bool> taken(count);
    std::map<std::uint64_t, std::uint64_t> live;
    const auto is_free = [&](std::uint64_t at, std::uint64_t pages) {
      for (std::uint64_t each = at; each < at + pages; ++each) {
        if (each >= count || taken[each]) return false;
      }
      return true;
    };
    const auto set = [&](std::uint64_t at, std::uint64_t pages, bool value) {
      for (std::uint64_t each = at; each < at + pages; ++each) taken[each] = value;
    };
    const std::uint64_t steps = some_of(std::uint64_t{500'000}) / 10;
    for (std::uint64_t step = 0; step < steps; ++step) {
      if (random.chance(55) || live.empty()) {
        const std::uint64_t pages = random.from_to(1, 40), rounded = (pages + bit - 1) / bit * bit;
        const unsigned align = static_cast<unsigned>(random.below(6));
        std::uint64_t expected = 0;
        for (; expected < count; expected += bit) {
          const std::uint64_t grid = (std::uint64_t{1} << align) > bit ? std::uint64_t{1} << align : bit;
          if ((base + expected) % grid == 0 && is_free(expected, rounded)) break;
        }
        const auto made = a.area.allocate(pages, align);
        REQUIRE(static_cast<bool>(made) == (expected < count));
        if (!made) continue;
        REQUIRE(*made == base + expected);
        set(expected, rounded, true);
        live.emplace(expected, pages);
      } else {
        auto one = live.begin();
        std::advance(one, static_cast<std::ptrdiff_t>(random.below(live.size())));
        REQUIRE(a.area.release(base + one->first, one->second));
        set(one->first, (one->second + bit - 1) / bit * bit, false);
        live.erase(one);
      }
    }
    CHECK(a.area.used() == static_cast<std::uint64_t>(std::count(taken.begin(), taken.end(), true)));
  }
}

TEST_CASE("CMA, row 12: threads have no page twice, whoever is evacuated meanwhile") {
  struct Slow {
    Evacuation evacuate(const CmaRange& range) noexcept {
      std::this_thread::yield();
      return range.first_page % 5 == 0 ? Evacuation::busy : Evacuation::done;
    }
  };
  using Area = CmaArea<lock::Spin, Slow>;
  constexpr std::uint64_t count = 128;
  const Area::Settings settings{"area", {0x1001, count}, 0};
  std::vector<std::uint64_t> words(Area::words_for(settings));
  Area area(settings, words);
  std::vector<std::atomic<bool>> owned(count);
  std::atomic<unsigned> wrong{0};
  const auto work = [&](std::uint64_t number) {
    Random random(seed() + number);
    for (unsigned round = 0; round < 500; ++round) {
      const std::uint64_t pages = random.from_to(1, 20);
      const auto made = area.allocate(pages, static_cast<unsigned>(random.below(3)));
      if (!made) continue;
      for (std::uint64_t at = *made; at < *made + pages; ++at) wrong += owned[at - 0x1001].exchange(true);
      std::this_thread::yield();
      for (std::uint64_t at = *made; at < *made + pages; ++at) wrong += !owned[at - 0x1001].exchange(false);
      wrong += !area.release(*made, pages);
    }
  };
  std::vector<std::thread> all;
  for (std::uint64_t number = 0; number < 4; ++number) all.emplace_back(work, number);
  for (std::thread& one : all) one.join();
  CHECK(wrong == 0);
  CHECK(area.used() == 0);
  CHECK(area.counts().allocated == area.counts().released);
}
