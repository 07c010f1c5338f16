#include <freestone/strategy/bitmap.hpp>

#include <cstdint>
#include <optional>
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

TEST_CASE("what words a bitmap takes, and which it refuses") {
  CHECK(strategy::Bitmap::footprint(Granules(1)) == 9);
  CHECK(strategy::Bitmap::footprint(Granules(64)) == 9);
  CHECK(strategy::Bitmap::footprint(Granules(65)) == 11);
  if constexpr (sizeof(std::size_t) == 8) {
    CHECK(strategy::Bitmap::footprint(Granules(std::uint64_t{1} << 40)) == 7 + (std::size_t{1} << 35));
  }
  tests::check_format_errors<strategy::Bitmap>();
  tests::check_attach_errors<strategy::Bitmap>();
  tests::check_footprint_of_huge_ranges<strategy::Bitmap>();
}
