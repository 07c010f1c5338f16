#include <freestone/strategy/buddy.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
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
using tests::extent;

static_assert(check_strategy<strategy::Buddy>() && can_place_at<strategy::Buddy>);
static_assert(strategy::Buddy::exact_release && strategy::Buddy::places);

// A row of the map's dump: where, which order, and whether it is live.
struct Row {
  std::uint64_t first;
  unsigned order;
  bool live = false;

  friend constexpr bool operator==(const Row&, const Row&) = default;
};
using Rows = std::vector<Row>;

constexpr Rows rows(Map& map) {
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

TEST_CASE("what words a buddy takes, and which it refuses") {
  CHECK(strategy::Buddy::footprint(Granules(1)) == 7 + 3 + 2);
  CHECK(strategy::Buddy::footprint(Granules(2)) == 7 + 2 * (3 + 2));
  tests::check_format_errors<strategy::Buddy>();
  tests::check_attach_errors<strategy::Buddy>();
  tests::check_footprint_of_huge_ranges<strategy::Buddy>();
}
