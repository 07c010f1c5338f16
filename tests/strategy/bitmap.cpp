#include <freestone/strategy/bitmap.hpp>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/map.hpp"
#include "support/map_errors.hpp"

using namespace freestone;

namespace {

using Map = tests::Map<strategy::Bitmap>;
using tests::extent;

static_assert(check_strategy<strategy::Bitmap>() && can_place_at<strategy::Bitmap>);
static_assert(strategy::Bitmap::exact_release && strategy::Bitmap::places);

// A region at 0x3000 with quanta of 4 KiB, aligned requests of 16 KiB: 1, 5, 9, ... 57.
constexpr bool aligned_run_from_an_odd_base() {
  Map map(64, 3);
  for (std::uint64_t first = 1; first <= 57; first += 4) {
    if (map.place(4, 4) != first) return false;
  }
  return !map.place(4, 4) && map.free() == 4 && map.largest() == 3;
}
static_assert(aligned_run_from_an_odd_base());

constexpr bool round_trip() {
  Map map(100);
  return map.place(10) == 0 && map.place(60) == 10 && map.release(0) == 10 && map.place(3, 2) == 0 &&
         map.length_of(10) == 60 && map.blocks() == std::vector{extent(0, 3), extent(10, 60)} && map.place_at(5, 5) &&
         map.release(6) == 0;
}
static_assert(round_trip());

}  // namespace

TEST_CASE("alignment is that of the absolute number") {
  CHECK(aligned_run_from_an_odd_base());
  Map map(64, 1);
  CHECK(map.place(1, 64) == 63);
  CHECK(!map.place(1, 64));
  CHECK(map.place(1, 2) == 1);
  CHECK(map.place(1, 1) == 0);
  CHECK(!map.place(1, std::uint64_t{1} << 40));
  CHECK(Map(64).place(1, 128) == 0);  // 0 is a multiple of everything
}

TEST_CASE("as many live blocks as granules") {
  for (const std::uint64_t capacity : {64U, 100U, 128U, 1000U}) {
    Map map(capacity);
    for (std::uint64_t i = 0; i < capacity; ++i) REQUIRE(map.place(1) == i);
    CHECK(map.free() == 0);
    CHECK(map.largest() == 0);
    for (int again = 0; again < 6; ++again) CHECK(!map.place(1));
    CHECK(map.free() == 0);
    for (std::uint64_t i = 0; i < capacity; ++i) REQUIRE(map.release(i) == 1);
    CHECK(map.place(capacity) == 0);  // the last granule too
  }
}

TEST_CASE("free space is the truth: 65 and 55 of 100") {
  Map map(100);
  CHECK(map.place(10) == 0);
  CHECK(map.place(20) == 10);
  CHECK(map.release(0) == 10);
  CHECK(map.place(15) == 30);
  CHECK(map.free() == 65);
  CHECK(map.largest() == 55);
}

TEST_CASE("free space is the truth: 35 and 30 of 100") {
  Map map(100);
  CHECK(map.place(30) == 0);
  CHECK(map.place(5) == 30);
  CHECK(map.release(0) == 30);
  CHECK(map.place(60) == 35);
  CHECK(map.free() == 35);
  CHECK(map.largest() == 30);
}

TEST_CASE("nothing, and more than is free, do not fit") {
  Map map(64);
  CHECK(!map.place(0));
  CHECK(!map.place(65));
  CHECK(!map.place(~std::uint64_t{0}));
  CHECK(map.place(60) == 0);
  CHECK(!map.place(5));
  CHECK(map.place(4) == 60);
}

TEST_CASE("blocks far up and long ones are found again") {
  Map map(200'000);
  CHECK(map.place(32'768) == 0);
  CHECK(map.place(1) == 32'768);
  CHECK(map.place(70'000) == 32'769);
  CHECK(map.length_of(32'768) == 1);
  CHECK(map.length_of(32'769) == 70'000);
  CHECK(map.release(32'769) == 70'000);
  CHECK(map.release(32'768) == 1);
  CHECK(map.place_at(65'535, 65'537));
  CHECK(map.length_of(65'535) == 65'537);
}

TEST_CASE("first fit takes the lowest gap that is long enough") {
  Map map(200);
  for (int i = 0; i < 20; ++i) CHECK(map.place(10).has_value());
  CHECK(map.release(20) == 10);
  CHECK(map.release(60) == 10);
  CHECK(map.release(70) == 10);
  CHECK(map.release(120) == 10);
  CHECK(map.largest() == 20);
  CHECK(map.place(11) == 60);
  CHECK(map.place(8) == 20);
  CHECK(map.place(9) == 71);
  CHECK(map.place(2) == 28);
  CHECK(map.place(10) == 120);
  CHECK(map.free() == 0);
}

TEST_CASE("neighbours in one word stay apart") {
  Map map(64);
  CHECK(map.place(3) == 0);
  CHECK(map.place(3) == 3);
  CHECK(map.place(58) == 6);
  CHECK(map.length_of(0) == 3);
  CHECK(map.length_of(3) == 3);
  CHECK(map.release(3) == 3);
  CHECK(map.blocks() == std::vector{extent(0, 3), extent(6, 58)});
}

TEST_CASE("a wrong release is told, and changes nothing") {
  Map map(100, 3);
  CHECK(map.place(10) == 0);
  CHECK(map.place(70) == 10);
  CHECK(map.refuses_release(1, ReleaseFault::inner));
  CHECK(map.refuses_release(9, ReleaseFault::inner));
  CHECK(map.refuses_release(64, ReleaseFault::inner));
  CHECK(map.refuses_release(79, ReleaseFault::inner));
  CHECK(map.refuses_release(80, ReleaseFault::not_live));
  CHECK(map.refuses_release(99, ReleaseFault::not_live));
  CHECK(map.refuses_release(100, ReleaseFault::outside));
  CHECK(map.refuses_release(~std::uint64_t{0}, ReleaseFault::outside));
  CHECK(map.release(10) == 70);
  CHECK(map.refuses_release(10, ReleaseFault::not_live));
  CHECK(map.length_of(1) == 0);
  CHECK(map.length_of(100) == 0);
  CHECK(map.length_of(~std::uint64_t{0}) == 0);
}

TEST_CASE("a place of one's own choice") {
  Map map(100, 3);
  CHECK(map.place_at(30, 40));
  CHECK(map.place_at(70, 30));
  CHECK(map.place_at(0, 1));
  CHECK(map.refuses_place_at(0, 1));
  CHECK(map.refuses_place_at(1, 30));
  CHECK(map.refuses_place_at(69, 1));
  CHECK(map.refuses_place_at(20, 60));
  CHECK(map.refuses_place_at(10, 0));
  CHECK(map.refuses_place_at(99, 2));
  CHECK(map.refuses_place_at(100, 1));
  CHECK(map.refuses_place_at(1, ~std::uint64_t{0}));
  CHECK(map.refuses_place_at(~std::uint64_t{0}, 2));
  CHECK(map.blocks() == std::vector{extent(0, 1), extent(30, 40), extent(70, 30)});
  CHECK(map.free() == 29);
  CHECK(map.place(29) == 1);
}

TEST_CASE("holes longer than a leaf, and longer than what a leaf can tell") {
  Map map(300'000);
  CHECK(map.place_at(65'000, 10));
  CHECK(map.place_at(199'990, 10));
  CHECK(map.largest() == 134'980);
  CHECK(map.place(65'001) == 65'010);  // the first hole has one granule less; leaves tell both as the same
  CHECK(map.place(40'000) == 0);
  CHECK(map.place(64'979) == 130'011);
  CHECK(!map.place(100'001));
  CHECK(map.largest() == 100'000);
  CHECK(map.place(100'000) == 200'000);
  CHECK(map.largest() == 25'000);
}

TEST_CASE("the highest place of all") {
  Map map(200, 3);
  CHECK(map->place_high(Granules(10), Granules(1)) == extent(190, 10));
  CHECK(map->place_high(Granules(10), Granules(8)) == extent(173, 10));  // 176 is a multiple of 8
  CHECK(map->place_high(Granules(7), Granules(1)) == extent(183, 7));
  CHECK(map->place_high(Granules(7), Granules(64)) == extent(125, 7));
  CHECK(!map->place_high(Granules(126), Granules(1)));
  CHECK(!map->place_high(Granules(0), Granules(1)));
  CHECK(!map->place_high(Granules(1), Granules(256)));
  CHECK(map.place(125) == 0);
  CHECK(map.free() == 200 - 10 - 10 - 7 - 7 - 125);
}

TEST_CASE("a block is resized where it lies") {
  Map map(100);
  CHECK(map.place(10) == 0);
  CHECK(map.place(10) == 10);
  const auto resize = [&](std::uint64_t first, std::uint64_t count) {
    return map->resize(Granules(first), Granules(count)).has_value();
  };
  CHECK(!resize(0, 11));
  CHECK(resize(10, 90));
  CHECK(!resize(10, 91));
  CHECK(resize(10, 1));
  CHECK(map.length_of(10) == 1);
  CHECK(resize(0, 10));
  CHECK(resize(0, 4));
  CHECK(map.blocks() == std::vector{extent(0, 4), extent(10, 1)});
  CHECK(resize(0, 10));
  CHECK(!resize(0, 11));
  CHECK(!resize(0, 0));
  CHECK(!resize(1, 1));
  CHECK(!resize(11, 1));
  CHECK(!resize(100, 1));
  CHECK(!resize(~std::uint64_t{0}, 2));
  CHECK(!resize(10, ~std::uint64_t{0}));
  CHECK(map.free() == 89);
  CHECK(map.release(0) == 10);
  CHECK(map.release(10) == 1);
  CHECK(map.place(100) == 0);
}

// --- genalloc's rules, with its vectors: 128 units ---

TEST_CASE("genalloc, first fit") {
  Map map(128);
  CHECK(map.place(3) == 0);
  CHECK(map.place(2) == 3);
  CHECK(map.place(5) == 5);
  CHECK(map.release(3) == 2);
  CHECK(map.place(1) == 3);
}

TEST_CASE("genalloc, first fit across words") {
  Map map(128);
  CHECK(map.place(15) == 0);
  CHECK(map.place(16) == 15);
  CHECK(map.place(2) == 31);
  for (const std::uint64_t first : {0U, 15U, 31U}) CHECK(map.release(first) != 0);
  CHECK(map.blocks().empty());
  CHECK(map.largest() == 128);
}

TEST_CASE("genalloc, first fit into gaps") {
  Map map(128);
  CHECK(map.place(10) == 0);
  CHECK(map.place(8) == 10);
  CHECK(map.place(6) == 18);
  CHECK(map.place(4) == 24);
  CHECK(map.place(2) == 28);
  CHECK(map.release(10) == 8);
  CHECK(map.release(24) == 4);
  CHECK(map.place(3) == 10);
}

TEST_CASE("genalloc, first fit with an alignment of 4") {
  Map map(128);
  CHECK(map.place(5, 4) == 0);
  CHECK(map.place(3, 4) == 8);
  CHECK(map.place(2, 4) == 12);
  CHECK(map.place(1, 4) == 16);
  CHECK(map.release(0) == 5);
  CHECK(map.release(12) == 2);
  CHECK(map.place(2, 4) == 0);
}

TEST_CASE("genalloc, fixed places") {
  Map map(128);
  CHECK(map.place_at(1, 5));
  CHECK(map.place_at(8, 3));
  CHECK(map.place_at(6, 2));
  CHECK(map.place_at(30, 40));
  for (const auto& [first, count] : {std::pair{1U, 5U}, {8U, 3U}, {6U, 2U}, {30U, 40U}}) {
    CHECK(map.refuses_place_at(first, count));
  }
}

TEST_CASE("genalloc, starts at multiples of the size's power of two, from the range's start on") {
  for (const std::uint64_t origin : {0U, 5U}) {
    tests::Map<strategy::BitmapBy<strategy::BitmapRule{.start = strategy::Start::order}>> map(128, origin);
    CHECK(map.place(5) == 0);
    CHECK(map.place(3) == 8);
    CHECK(map.place(2) == 6);
    CHECK(map.place(1) == 5);
    CHECK(map.place(1) == 11);
    CHECK(map.place(2) == 12);
    CHECK(map.place(3, 2).has_value() == (origin == 0));  // at an odd origin no start is both
  }
}

TEST_CASE("genalloc, best fit") {
  tests::Map<strategy::BitmapBy<strategy::BitmapRule{.fit = strategy::Fit::best}>> map(128);
  CHECK(map.place(5) == 0);
  CHECK(map.place(3) == 5);
  CHECK(map.place(3) == 8);
  CHECK(map.place(1) == 11);
  CHECK(map.release(0) == 5);
  CHECK(map.release(8) == 3);
  CHECK(map.place(2) == 8);
}

TEST_CASE("a map of one kind is searched by another rule, as genalloc's users change theirs") {
  Map map(128);
  for (const std::uint64_t count : {5U, 3U, 3U, 1U}) CHECK(map.place(count).has_value());
  CHECK(map.release(0) == 5);
  CHECK(map.release(8) == 3);
  CHECK(map->place_by({.fit = strategy::Fit::best}, Granules(2), Granules(1)) == extent(8, 2));
  CHECK(map->place_by({.start = strategy::Start::order}, Granules(3), Granules(1)) == extent(0, 3));
  CHECK(map->place_by({.end = strategy::End::high}, Granules(3), Granules(1)) == extent(125, 3));
}

// --- CMA's rules, with its vectors: 512 granules of 4 KiB from 0x26400000 on, alignment of the count's order up to a cap ---

namespace {

constexpr std::uint64_t number_of(std::uint64_t address) { return address >> 12; }
constexpr std::uint64_t order_align(std::uint64_t count, unsigned cap) {
  const unsigned order = bits::ceil_log2(count);
  return std::uint64_t{1} << (order < cap ? order : cap);
}

// Where `count` granules go, as an address.
template <class M>
std::uint64_t address_of(M& map, std::uint64_t count, unsigned cap) {
  const auto first = map.place(count, order_align(count, cap));
  return first ? (map.range().origin.value() + *first) << 12 : 0;
}

}  // namespace

TEST_CASE("CMA, aligned by address") {
  Map map(512, number_of(0x26400000));
  CHECK(address_of(map, 1, 4) == 0x26400000);
  CHECK(address_of(map, 5, 4) == 0x26408000);
  CHECK(address_of(map, 2, 4) == 0x26402000);
  CHECK(address_of(map, 97, 4) == 0x26410000);
  CHECK(address_of(map, 1, 4) == 0x26401000);
  CHECK(address_of(map, 250, 4) == 0x26480000);
  CHECK(address_of(map, 1, 4) == 0x26404000);
  CHECK(address_of(map, 16, 4) == 0x26580000);
}

TEST_CASE("CMA, from a base that is not aligned itself") {
  Map map(508, number_of(0x26404000));
  CHECK(address_of(map, 16, 4) == 0x26410000);
  CHECK(address_of(map, 1, 4) == 0x26404000);
  CHECK(address_of(map, 4, 4) == 0x26408000);
}

TEST_CASE("CMA, several granules to a bit") {
  tests::Map<strategy::BitmapBy<strategy::BitmapRule{}, 2>> map(512, number_of(0x26400000));
  CHECK(address_of(map, 1, 8) == 0x26400000);
  CHECK(map.length_of(0) == 4);
  CHECK(address_of(map, 5, 8) == 0x26408000);
  CHECK(map.length_of(8) == 8);
  CHECK(address_of(map, 4, 8) == 0x26404000);
  CHECK(address_of(map, 9, 8) == 0x26410000);
  CHECK(map.refuses_release(1, ReleaseFault::inner));
  CHECK(map.refuses_release(33, ReleaseFault::not_live));
  CHECK(map.refuses_place_at(33, 1));
  CHECK(map.place_at(32, 1));
  CHECK(map.free() == 512 - 4 - 8 - 4 - 12 - 4);
  tests::Map<strategy::BitmapBy<strategy::BitmapRule{}, 2>> odd(511);
  CHECK(odd.free() == 508);
  CHECK(odd.largest() == 508);
  CHECK(!odd.place(509));
  CHECK(odd.place(508) == 0);
  CHECK(odd.refuses_release(508, ReleaseFault::outside));
}

TEST_CASE("the lowest place from somewhere on") {
  const std::uint64_t base = number_of(0x26400000);
  Map map(512, base);
  const auto from = [&](std::uint64_t first, std::uint64_t count, std::uint64_t align = 1) {
    const auto placed = map->place_from(Granules(first), Granules(count), Granules(align));
    return placed ? std::optional(placed->first.value()) : std::nullopt;
  };
  CHECK(from(0x11, 16, 16) == 0x20);
  CHECK(map.blocks() == std::vector{extent(0x20, 16)});
  CHECK(from(0, 2) == 0);
  CHECK(from(0, 2) == 2);
  CHECK(from(0x1f, 1) == 0x1f);
  CHECK(from(0x1e, 1) == 0x1e);
  CHECK(from(0x1e, 2) == 0x30);
  CHECK(from(0x28, 1) == 0x32);  // from within a block
  CHECK(from(500, 12) == 500);
  const auto before = map.words();
  CHECK(!from(500, 1));
  CHECK(!from(511, 2));
  CHECK(!from(512, 1));
  CHECK(!from(~std::uint64_t{0}, 1));
  CHECK(!from(0, 0));
  CHECK(!from(0, 513));
  CHECK(!from(0x21, 300, 256));
  CHECK(map.words() == before);
}

TEST_CASE("a granule is in a block, or in a hole") {
  Map map(200);
  REQUIRE(map.place(10) == 0);
  REQUIRE(map.place_at(64, 100));
  for (std::uint64_t granule = 0; granule < 200; ++granule) {
    const auto block = map->containing(Granules(granule)), hole = map->hole_containing(Granules(granule));
    REQUIRE(block.has_value() != hole.has_value());
    REQUIRE((block ? block : hole)->contains(Granules(granule)));
  }
  CHECK(map->hole_containing(Granules(10)) == extent(10, 54));
  CHECK(map->hole_containing(Granules(63)) == extent(10, 54));
  CHECK(map->hole_containing(Granules(199)) == extent(164, 36));
  CHECK(!map->hole_containing(Granules(200)));
  CHECK(!map->hole_containing(Granules(~std::uint64_t{0})));
  CHECK(Map(7)->hole_containing(Granules(3)) == extent(0, 7));
}

TEST_CASE("what words a bitmap takes, and which it refuses") {
  CHECK(strategy::Bitmap::footprint(Granules(1)) == 6 + 1 + 1 + 4);
  CHECK(strategy::Bitmap::footprint(Granules(63)) == 6 + 1 + 1 + 4);
  CHECK(strategy::Bitmap::footprint(Granules(64)) == 6 + 3 + 2 + 4);  // there is a part behind the last granule
  constexpr std::size_t bits = 64 * strategy::Bitmap::footprint(Granules(1U << 20));
  CHECK(bits < 2.4 * (1U << 20));
  CHECK(strategy::BitmapBy<strategy::BitmapRule{}, 3>::footprint(Granules(1U << 20)) ==
        strategy::Bitmap::footprint(Granules(1U << 17)));
  tests::check_format_errors<strategy::Bitmap>();
  tests::check_attach_errors<strategy::Bitmap>();
  tests::check_footprint_of_huge_ranges<strategy::Bitmap>();
  tests::check_footprint_of_huge_ranges<strategy::BitmapBy<strategy::BitmapRule{}, 5>>();
}

TEST_CASE("maps of other rules are other maps") {
  using Best = strategy::BitmapBy<strategy::BitmapRule{.fit = strategy::Fit::best}>;
  const auto range = tests::geometry(64);
  std::vector<std::uint64_t> words(strategy::Bitmap::footprint(range.capacity));
  REQUIRE(strategy::Bitmap::format(words, range));
  CHECK(Best::attach(words, range).error().code == ErrorCode::wrong_strategy);
  CHECK(strategy::BitmapBy<strategy::BitmapRule{}, 1>::attach(words, range).error().code == ErrorCode::wrong_strategy);
}

TEST_CASE("an alignment that no bit has, for the range begins between two of its multiples") {
  tests::Map<strategy::BitmapBy<strategy::BitmapRule{}, 2>> map(512, 1);
  CHECK(!map.place(1, 4));
  CHECK(!map.place(1, 2));
  CHECK(map.place(1) == 0);
  tests::Map<strategy::BitmapBy<strategy::BitmapRule{}, 2>> even(512, 2);
  CHECK(even.place(1, 2) == 0);
  CHECK(!even.place(1, 8));
}
