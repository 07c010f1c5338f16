#include <freestone/strategy/order_list.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/zone/zone.hpp>
#include "support/map.hpp"
#include "support/map_errors.hpp"
#include "support/strategies.hpp"

using namespace freestone;
using namespace freestone::literals;

namespace {

using Ion = strategy::OrderList<strategy::Buddy, 8, 4, 0>;
using Heap = Zone<backing::OffsetSpace, Ion, lock::None, cache::Coherent>;
using Sizes = std::vector<std::uint64_t>;

static_assert(check_strategy<Ion>() && can_place_at<Ion> && can_place_part<Ion>);
static_assert(!can_place_part<strategy::Buddy> && !can_place_part<strategy::Bitmap>);
static_assert(Ion::id == strategy::Buddy::id && sizeof(Ion) == sizeof(strategy::Buddy));
static_assert(!can_place_at<strategy::OrderList<tests::MinimalStrategy, 0>>);  // no more than Inner has

constexpr Granules any_length(~std::uint64_t{0});

// The parts that a request of `count` is made of.
template <class S>
constexpr Sizes parts(S& strategy, std::uint64_t count, std::uint64_t align = 1) {
  Sizes sizes;
  Granules before = any_length;
  for (std::uint64_t left = count; left != 0; left -= std::min(left, before.value())) {
    const auto part = strategy.place_part(Granules(left), Granules(align), before);
    if (!part) return {};
    before = part->count;
    sizes.push_back(before.value());
  }
  return sizes;
}

constexpr bool takes_the_largest_first() {
  tests::Map<strategy::OrderList<strategy::Buddy, 3, 1>> map(64);
  return parts(map.strategy(), 8 + 2 + 1) == Sizes{8, 2, 2} && map.free() == 64 - 12;
}
static_assert(takes_the_largest_first());

// In KiB.
Sizes sizes_of(std::span<const Block> blocks) {
  Sizes sizes;
  for (const Block& block : blocks) sizes.push_back(block.size().value() / 1024);
  return sizes;
}

constexpr Bytes mixed = 1_MiB + 64_KiB + 12_KiB;

}  // namespace

TEST_CASE("ION's vector: 1 MiB + 64 KiB + 12 KiB with plenty of memory") {
  auto zone = Heap::create({.size = 16_MiB});
  REQUIRE(zone);
  std::array<Block, 8> out;
  const auto list = zone->allocate_list({.size = mixed}, out);
  REQUIRE(list);
  CHECK(sizes_of(*list) == Sizes{1024, 64, 4, 4, 4});
  CHECK(zone->stats().used == mixed);
}

TEST_CASE("ION's vector: the same where no order 8 is left") {
  auto zone = Heap::create({.size = 2_MiB});
  REQUIRE(zone);
  REQUIRE(zone->allocate(4_KiB));
  REQUIRE(zone->allocate({.size = 4_KiB, .align = 1_MiB}));  // both halves are split now
  std::array<Block, 32> out;
  const auto list = zone->allocate_list({.size = mixed}, out);
  REQUIRE(list);
  Sizes expected(17, 64);
  expected.insert(expected.end(), 3, 4);
  CHECK(sizes_of(*list) == expected);
}

TEST_CASE("no part is longer than the one before it") {
  tests::Map<Ion> map(1024);
  const auto small = map->place_part(Granules(1000), Granules(1), Granules(255));
  REQUIRE(small);
  CHECK(small->count == Granules(16));
  CHECK(map->place_part(Granules(1000), Granules(1), Granules(15))->count == Granules(1));
  CHECK(map->place_part(Granules(1000), Granules(1), Granules(256))->count == Granules(256));
}

TEST_CASE("what is left below the last order is rounded up to it, and to no other") {
  tests::Map<strategy::OrderList<strategy::Buddy, 4, 2>> map(64);
  CHECK(parts(map.strategy(), 1) == Sizes{4});
  CHECK(parts(map.strategy(), 15) == Sizes{4, 4, 4, 4});
  CHECK(parts(map.strategy(), 17) == Sizes{16, 4});
}

TEST_CASE("each part is at a multiple of the alignment") {
  tests::Map<strategy::OrderList<strategy::Buddy, 2, 0>> map(64, 3);
  CHECK(parts(map.strategy(), 6, 8) == Sizes{4, 1, 1});
  for (const Extent block : map.blocks()) CHECK((3 + block.first.value()) % 8 == 0);
}

TEST_CASE("a part of nothing, and one that cannot be had, change no word") {
  tests::Map<strategy::OrderList<strategy::Bitmap, 3, 1>> map(8);
  const auto empty = map.words();
  CHECK_FALSE(map->place_part(Granules(0), Granules(1), any_length));
  CHECK(map.words() == empty);
  CHECK(map.place(7) == 0);
  const auto before = map.words();
  CHECK_FALSE(map->place_part(Granules(1), Granules(1), any_length));  // one granule is free, an order is two
  CHECK_FALSE(map->place_part(Granules(9), Granules(1), Granules(1)));
  CHECK(map.words() == before);
}

TEST_CASE("the map is Inner's: a user with another list takes it up, and gives a part back") {
  tests::Map<Ion> map(512);
  REQUIRE(parts(map.strategy(), 273) == Sizes{256, 16, 1});
  auto plain = strategy::Buddy::attach(map.words(), map.range());
  auto other = strategy::OrderList<strategy::Buddy, 2>::attach(map.words(), map.range());
  REQUIRE((plain && other));
  CHECK(plain->release(Granules(256)).count == Granules(16));
  CHECK(other->place_part(Granules(1), Granules(1), any_length)->count == Granules(4));
  CHECK(map.free() == 512 - 256 - 1 - 4);
}

TEST_CASE("a request for one extent is as Inner places it") {
  tests::Map<Ion> map(64);
  CHECK(map.place(3) == 0);
  CHECK(map.length_of(0) == 4);
  CHECK(map.place_at(32, 16));
  CHECK(map.refuses_release(33, ReleaseFault::inner));
}

TEST_CASE("an Inner that grants more than an order") {
  tests::Map<strategy::OrderList<tests::HostileStrategy, 2, 0>> map(64);
  CHECK(parts(map.strategy(), 8) == Sizes{6, 3});
  CHECK(map.free() == 64 - 9);
}

TEST_CASE("what words it refuses") {
  tests::check_format_errors<Ion>();
  tests::check_attach_errors<Ion>();
  tests::check_footprint_of_huge_ranges<Ion>();
}
