#include <freestone/strategy/buddy.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/zone/zone.hpp>
#include "support/map.hpp"
#include "support/map_errors.hpp"

using namespace freestone;

namespace {

using Map = tests::Map<strategy::Buddy>;
using LazyMap = tests::Map<strategy::LazyBuddy>;
using tests::extent;

static_assert(check_strategy<strategy::Buddy>() && can_place_at<strategy::Buddy>);
static_assert(check_strategy<strategy::LazyBuddy>() && can_place_at<strategy::LazyBuddy>);
static_assert(can_place_high<strategy::Buddy> && can_place_high<strategy::LazyBuddy>);
static_assert(can_resize<strategy::Buddy> && can_reserve<strategy::Buddy>);
static_assert(strategy::Buddy::exact_release && strategy::Buddy::places);
static_assert(strategy::Buddy::id == map_id("Buddy") && strategy::LazyBuddy::id != strategy::Buddy::id);

// A row of the map's dump: where, which order, and whether it is live.
struct Row {
  std::uint64_t first;
  unsigned order;
  bool live = false;

  friend constexpr bool operator==(const Row&, const Row&) = default;
};
using Rows = std::vector<Row>;

template <class S>
constexpr Rows rows(tests::Map<S>& map) {
  Rows found;
  map->for_each_node([&](Extent extent, bool live) {
    found.push_back({extent.first.value(), bits::floor_log2(extent.count.value()), live});
  });
  return found;
}

constexpr bool thirteen_granules() {
  Map map(13);
  const Rows start{{0, 3}, {8, 2}, {12, 0}};
  if (rows(map) != start) return false;
  if (map.place(2) != 8 || map.place(1) != 12 || map.place(1) != 10 || map.place(3) != 0) return false;
  if (rows(map) != Rows{{0, 2, true}, {4, 2}, {8, 1, true}, {10, 0, true}, {11, 0}, {12, 0, true}}) return false;
  if (map.release(10) != 1 || rows(map)[3] != Row{10, 1}) return false;
  if (map.release(8) != 2 || rows(map)[2] != Row{8, 2}) return false;
  if (map.release(12) != 1 || map.release(0) != 4 || rows(map) != start) return false;
  return map.free() == 13 && !map.place(9) && map.place(8) == 0;
}
static_assert(thirteen_granules());

template <class S>
constexpr std::optional<std::uint64_t> high(tests::Map<S>& map, std::uint64_t count, std::uint64_t align = 1) {
  const auto placed = map->place_high(Granules(count), Granules(align));
  return placed ? std::optional(placed->first.value()) : std::nullopt;
}
// The length that it has then.
template <class S>
constexpr std::optional<std::uint64_t> resize(tests::Map<S>& map, std::uint64_t first, std::uint64_t count) {
  const auto resized = map->resize(Granules(first), Granules(count));
  return resized ? std::optional(resized->count.value()) : std::nullopt;
}
constexpr bool refuses_resize(Map& map, std::uint64_t first, std::uint64_t count) {
  const std::vector<std::uint64_t> before = map.words();
  return !resize(map, first, count) && map.words() == before;
}
// The blocks that it was taken as; none when it was refused.
template <class S>
constexpr std::vector<Extent> reserve(tests::Map<S>& map, std::uint64_t first, std::uint64_t count) {
  std::vector<Extent> blocks;
  const bool reserved = map->reserve(extent(first, count), [&](Extent block) { blocks.push_back(block); });
  if (reserved == blocks.empty()) return {extent(~std::uint64_t{0}, 0)};  // neither of the two
  return blocks;
}

constexpr bool abilities_in_constant_evaluation() {
  Map map(13, 3);
  if (high(map, 3) != 9 || resize(map, 9, 1) != 1 || resize(map, 9, 4) != 4) return false;
  if (reserve(map, 0, 4) != std::vector{extent(0, 1), extent(1, 2), extent(3, 1)}) return false;
  LazyMap lazy(8);
  return lazy.place(2) == 0 && lazy.release(0) == 2 && lazy.largest() == 8 && lazy.place(8) == 0;
}
static_assert(abilities_in_constant_evaluation());

}  // namespace

TEST_CASE("thirteen granules: laid out, placed, merged") {
  CHECK(thirteen_granules());
  Map map(13);
  CHECK(map.largest() == 8);
  CHECK(map.place(2) == 8);
  CHECK(map.place(1) == 12);  // the exact order wins over a split
  CHECK(map.place(1) == 10);
  CHECK(map.place(3) == 0);
  CHECK(map.length_of(0) == 4);  // granted whole
  CHECK(map.free() == 13 - 2 - 1 - 1 - 4);
}

TEST_CASE("six granules, one at a time, freed in any order") {
  std::array<std::uint64_t, 6> order{0, 1, 2, 3, 4, 5};
  const Rows start{{0, 2}, {4, 1}};
  int orders = 0;
  do {
    Map map(6);
    for (const std::uint64_t first : {4U, 5U, 0U, 1U, 2U, 3U}) REQUIRE(map.place(1) == first);
    REQUIRE(!map.place(1));
    for (const std::uint64_t first : order) REQUIRE(map.release(first) == 1);
    REQUIRE(rows(map) == start);
    ++orders;
  } while (std::next_permutation(order.begin(), order.end()));
  CHECK(orders == 720);
}

TEST_CASE("the order of a length: the smallest power of two that holds it") {
  using Heap = Zone<backing::OffsetSpace, strategy::Buddy, lock::None, cache::Coherent>;
  using namespace freestone::literals;
  auto zone = Heap::create({.size = 4_MiB});
  REQUIRE(zone);
  const auto order_of = [&](Bytes length) {
    const auto block = zone->allocate(length);
    REQUIRE(block);
    CHECK(zone->deallocate(*block));
    return bits::floor_log2(block->size().value() / 4096);
  };
  CHECK(order_of(1) == 0);
  CHECK(order_of(4096) == 0);
  CHECK(order_of(4097) == 1);
  CHECK(order_of(8193) == 2);
  CHECK(order_of(12289) == 2);
  CHECK(order_of(1_MiB) == 8);
  CHECK(order_of(1_MiB + 1) == 9);
  CHECK(zone->allocate(0).error().code == ErrorCode::zero_size);
}

TEST_CASE("nothing, and more than one block can be, do not fit") {
  Map map(13);
  CHECK(!map.place(0));
  CHECK(!map.place(14));
  CHECK(!map.place(~std::uint64_t{0}));
  CHECK(!map.place(std::uint64_t{1} << 63));
  CHECK(map.place(8) == 0);
  CHECK(!map.place(5));
  CHECK(map.place(4) == 8);
  CHECK(map.place(1) == 12);
  CHECK(map.largest() == 0);
}

TEST_CASE("a range that begins anywhere is laid out by its absolute numbers") {
  Map odd(13, 3);
  CHECK(rows(odd) == Rows{{0, 0}, {1, 2}, {5, 3}});
  Map far(13, 1'000'003);
  CHECK(rows(far) == Rows{{0, 0}, {1, 2}, {5, 3}});
  Map one(7, 1);
  CHECK(rows(one) == Rows{{0, 0}, {1, 1}, {3, 2}});
  CHECK(one.place(1) == 0);
  CHECK(one.place(1) == 1);
  CHECK(one.place(1, 4) == 3);
  CHECK(one.place(2, 2) == 5);
  CHECK(one.place(1) == 2);
  CHECK(one.release(1) == 1);
  CHECK(one.release(2) == 1);
  CHECK(rows(one)[1] == Row{1, 1});
}

TEST_CASE("alignment beyond the size takes the first block that lies right") {
  Map map(32, 4);
  CHECK(map.place(1, 16) == 28);  // the smaller of the two blocks at a multiple of 16
  CHECK(map.place(1, 16) == 12);
  CHECK(!map.place(1, 16));
  CHECK(map.place(1, 8) == 4);
  CHECK(!map.place(1, 64));
  CHECK(map.place(4) == 0);
  CHECK(map.free() == 32 - 7);
}

TEST_CASE("of one order the lowest is taken, also after releases below") {
  Map map(8);
  for (std::uint64_t i = 0; i < 8; ++i) CHECK(map.place(1) == i);
  CHECK(map.release(6) == 1);
  CHECK(map.release(1) == 1);
  CHECK(map.release(3) == 1);
  CHECK(map.place(1) == 1);
  CHECK(map.place(1) == 3);
  CHECK(map.place(1) == 6);
}

TEST_CASE("a wrong release is told, and changes nothing") {
  Map map(13, 3);
  CHECK(map.place(8) == 5);
  CHECK(map.place(2) == 1);
  CHECK(map.refuses_release(6, ReleaseFault::inner));
  CHECK(map.refuses_release(9, ReleaseFault::inner));
  CHECK(map.refuses_release(12, ReleaseFault::inner));
  CHECK(map.refuses_release(2, ReleaseFault::inner));
  CHECK(map.refuses_release(0, ReleaseFault::not_live));
  CHECK(map.refuses_release(3, ReleaseFault::not_live));
  CHECK(map.refuses_release(13, ReleaseFault::outside));
  CHECK(map.refuses_release(~std::uint64_t{0}, ReleaseFault::outside));
  CHECK(map.release(5) == 8);
  CHECK(map.refuses_release(5, ReleaseFault::not_live));
  CHECK(map.length_of(2) == 0);
  CHECK(map.length_of(13) == 0);
  CHECK(map.length_of(~std::uint64_t{0}) == 0);
}

TEST_CASE("a place of one's own choice is cut out of what is free there") {
  Map map(16);
  CHECK(map.place_at(6, 2));
  CHECK(rows(map) == Rows{{0, 2}, {4, 1}, {6, 1, true}, {8, 3}});
  CHECK(map.place_at(9, 1));
  CHECK(map.place_at(12, 3));  // rounded up to its order
  CHECK(map.length_of(12) == 4);
  CHECK(map.refuses_place_at(6, 1));
  CHECK(map.refuses_place_at(7, 1));
  CHECK(map.refuses_place_at(4, 4));
  CHECK(map.refuses_place_at(0, 16));
  CHECK(map.refuses_place_at(1, 2));  // no multiple of its size
  CHECK(map.refuses_place_at(2, 3));
  CHECK(map.refuses_place_at(0, 0));
  CHECK(map.refuses_place_at(15, 2));
  CHECK(map.refuses_place_at(16, 1));
  CHECK(map.refuses_place_at(0, ~std::uint64_t{0}));
  CHECK(map.refuses_place_at(~std::uint64_t{0}, 1));
  CHECK(map.blocks() == std::vector{extent(6, 2), extent(9, 1), extent(12, 4)});
}

TEST_CASE("a place beyond what the range can hold as one block") {
  Map map(13);
  CHECK(map.refuses_place_at(8, 5));  // of order 3: 8 to 15
  CHECK(map.place_at(8, 4));
  CHECK(map.place_at(12, 1));
}

TEST_CASE("a single granule, wherever it lies") {
  for (const std::uint64_t origin : {0U, 1U, 64U, 1'000'003U}) {
    Map map(1, origin);
    CHECK(rows(map) == Rows{{0, 0}});
    CHECK(!map.place(2));
    CHECK(map.place(1) == 0);
    CHECK(!map.place(1));
    CHECK(map.refuses_release(1, ReleaseFault::outside));
    CHECK(resize(map, 0, 1) == 1);
    CHECK(!resize(map, 0, 2));
    CHECK(map.release(0) == 1);
    CHECK(high(map, 1) == 0);
  }
}

TEST_CASE("the highest place of all, the upper halves kept") {
  Map map(13);
  CHECK(high(map, 1) == 12);
  CHECK(high(map, 1) == 11);  // no exact order, and not the smallest block: the highest
  CHECK(high(map, 2) == 8);
  CHECK(high(map, 1) == 10);
  CHECK(high(map, 3) == 4);
  CHECK(rows(map) == Rows{{0, 2}, {4, 2, true}, {8, 1, true}, {10, 0, true}, {11, 0, true}, {12, 0, true}});
  CHECK(!high(map, 5));
  CHECK(!high(map, 0));
  CHECK(!high(map, 14));
  CHECK(!high(map, ~std::uint64_t{0}));
  CHECK(high(map, 1, 0) == 3);  // an alignment of 0 is one of 1
}

TEST_CASE("the highest place at an alignment beyond the size") {
  Map map(32, 4);  // alignment is absolute
  CHECK(high(map, 1, 16) == 28);
  CHECK(high(map, 1, 16) == 12);
  CHECK(!high(map, 1, 16));
  CHECK(high(map, 2, 8) == 20);
  CHECK(!high(map, 1, 64));
  CHECK(high(map, 1) == 31);
}

TEST_CASE("a block is cut where it lies, and its upper halves come back") {
  Map map(16);
  CHECK(map.place(16) == 0);
  CHECK(resize(map, 0, 3) == 4);  // rounded as place does
  CHECK(rows(map) == Rows{{0, 2, true}, {4, 2}, {8, 3}});
  CHECK(map.free() == 12);
  CHECK(resize(map, 0, 4) == 4);
  CHECK(resize(map, 0, 1) == 1);
  CHECK(map.free() == 15);
  CHECK(map.release(0) == 1);
  CHECK(map.largest() == 16);
}

TEST_CASE("a block takes its free buddies where it lies, or stays as it is") {
  Map map(13, 3);  // 0 | 1 2 3 4 | 5 to 12
  CHECK(map.place_at(5, 1));
  CHECK(resize(map, 5, 8) == 8);
  CHECK(map.free() == 5);
  CHECK(resize(map, 5, 1) == 1);
  CHECK(map.place_at(7, 1));
  CHECK(resize(map, 5, 2) == 2);
  CHECK(refuses_resize(map, 5, 3));  // 7 is taken
  CHECK(refuses_resize(map, 5, 8));
  CHECK(map.place_at(9, 4));
  CHECK(refuses_resize(map, 9, 8));  // it would begin before
  CHECK(map.place_at(1, 4));
  CHECK(refuses_resize(map, 1, 8));  // no multiple of 8
  CHECK(refuses_resize(map, 1, 0));
  CHECK(refuses_resize(map, 1, 14));
  CHECK(refuses_resize(map, 1, ~std::uint64_t{0}));
  CHECK(refuses_resize(map, 2, 1));  // inside
  CHECK(refuses_resize(map, 0, 1));  // free
  CHECK(refuses_resize(map, 13, 1));
  CHECK(refuses_resize(map, ~std::uint64_t{0}, 1));
  CHECK(map.release(7) == 1);
  CHECK(resize(map, 5, 4) == 4);
  Map upper(8);
  CHECK(upper.place_at(2, 2));
  CHECK(upper.place_at(6, 2));
  CHECK(refuses_resize(upper, 2, 4));  // what is free behind it is no buddy of its
}

TEST_CASE("any extent is reserved as the largest blocks that tile it") {
  Map map(16);
  CHECK(reserve(map, 3, 10) == std::vector{extent(3, 1), extent(4, 4), extent(8, 4), extent(12, 1)});
  CHECK(map.free() == 6);
  CHECK(map.length_of(8) == 4);
  const std::vector<std::uint64_t> before = map.words();
  CHECK(reserve(map, 2, 2).empty());   // 3 is taken
  CHECK(reserve(map, 12, 2).empty());  // 12 is
  CHECK(reserve(map, 0, 0).empty());
  CHECK(reserve(map, 13, 4).empty());
  CHECK(reserve(map, 16, 1).empty());
  CHECK(reserve(map, 0, ~std::uint64_t{0}).empty());
  CHECK(reserve(map, ~std::uint64_t{0}, 1).empty());
  CHECK(map.words() == before);
  for (const std::uint64_t first : {3U, 8U, 12U, 4U}) CHECK(map.release(first) != 0);
  CHECK(map.largest() == 16);
  CHECK(reserve(map, 0, 16) == std::vector{extent(0, 16)});
}

TEST_CASE("lazy: what came back last is placed next, and nothing is merged meanwhile") {
  LazyMap map(16);
  CHECK(map.place(2) == 0);
  CHECK(map.place(2) == 2);
  CHECK(map.release(2) == 2);
  CHECK(map.free() == 14);
  CHECK(rows(map) == Rows{{0, 1, true}, {2, 1}, {4, 2}, {8, 3}});
  CHECK(map.release(0) == 2);  // one of an order is kept: this one is not, and finds no buddy
  CHECK(rows(map) == Rows{{0, 1}, {2, 1}, {4, 2}, {8, 3}});
  CHECK(map.refuses_release(2, ReleaseFault::not_live));
  CHECK(map.length_of(2) == 0);
  CHECK(map.place(2) == 2);
  CHECK(map.place(2) == 0);
}

TEST_CASE("lazy: what is kept counts as free, and is merged when anything would be refused for it") {
  const auto kept = [](LazyMap& map) {
    for (const std::uint64_t first : {0U, 1U, 2U, 4U}) CHECK(map.place_at(first, first == 0 ? 1 : first));
    for (const std::uint64_t first : {0U, 2U, 4U}) CHECK(map.release(first) != 0);  // orders 0, 1 and 2
    CHECK(map.release(1) == 1);
    CHECK(rows(map) == Rows{{0, 0}, {1, 0}, {2, 1}, {4, 2}, {8, 3}});
    CHECK(map.free() == 16);
    CHECK(map.largest() == 16);
    CHECK(rows(map).size() == 5);  // to ask does not change it
  };
  LazyMap whole(16);
  kept(whole);
  CHECK(whole.place(16) == 0);
  LazyMap at(16);
  kept(at);
  CHECK(at.place_at(0, 8));
  LazyMap reserved(16);
  kept(reserved);
  CHECK(reserve(reserved, 1, 8) == std::vector{extent(1, 1), extent(2, 2), extent(4, 4), extent(8, 1)});
  LazyMap highest(16);
  kept(highest);
  CHECK(highest.place_at(8, 8));
  CHECK(high(highest, 8) == 0);
  LazyMap aligned(16, 16);
  kept(aligned);
  CHECK(aligned.place(8) == 8);
  CHECK(aligned.place(2, 8) == 0);
  LazyMap grown(16);
  kept(grown);
  CHECK(grown.place(1) == 0);
  CHECK(resize(grown, 0, 16) == 16);
}

TEST_CASE("lazy: the largest that is free, where what is kept cannot become whole") {
  LazyMap map(16, 16);
  CHECK(map.place(8) == 0);
  CHECK(map.place(4) == 8);
  CHECK(map.place(2) == 12);
  CHECK(map.place(2) == 14);
  CHECK(map.release(14) == 2);
  CHECK(map.largest() == 2);
  CHECK(map.release(8) == 4);
  CHECK(map.largest() == 4);
  CHECK(map.release(12) == 2);
  CHECK(map.largest() == 8);
  CHECK(map.place(8) == 8);
  CHECK(map.largest() == 0);
}

TEST_CASE("lazy: a kept block serves the alignments that it has") {
  LazyMap map(16, 4);
  CHECK(map.place_at(0, 2));  // absolute 4
  CHECK(map.release(0) == 2);
  CHECK(map.place(2, 8) == 12);
  CHECK(map.place(2, 4) == 0);
}

TEST_CASE("what words a buddy takes, and which it refuses") {
  CHECK(strategy::Buddy::footprint(Granules(1)) == 6 + 1 + (1 + 1) + 1);
  CHECK(strategy::Buddy::footprint(Granules(2)) == 6 + 1 + (1 + 2) + (2 + 2));
  CHECK(strategy::LazyBuddy::footprint(Granules(2)) == strategy::Buddy::footprint(Granules(2)) + 1 + 2);
  if constexpr (sizeof(std::size_t) == 8) {  // 6 bits a granule
    const std::size_t words = strategy::Buddy::footprint(Granules(std::uint64_t{1} << 30));
    CHECK(words * 64 < (std::uint64_t{1} << 30) * 61 / 10);
  }
  tests::check_format_errors<strategy::Buddy>();
  tests::check_attach_errors<strategy::Buddy>();
  tests::check_footprint_of_huge_ranges<strategy::Buddy>();
  tests::check_format_errors<strategy::LazyBuddy>();
  tests::check_attach_errors<strategy::LazyBuddy>();
  tests::check_footprint_of_huge_ranges<strategy::LazyBuddy>();
}
