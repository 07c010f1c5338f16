#include <freestone/strategy/eighths.hpp>

#include <cstdint>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "support/map.hpp"

using namespace freestone;

namespace {

using tests::extent;

static_assert(check_strategy<strategy::BuddyEighths>() && can_place_at<strategy::BuddyEighths>);
static_assert(can_place_high<strategy::BuddyEighths> && can_resize<strategy::BuddyEighths>);
static_assert(check_strategy<strategy::BuddyEighthsTwoEnded>() && !has_any_alignment<strategy::BuddyEighthsTwoEnded>);

}  // namespace

TEST_CASE("starts at multiples of an eighth of the count's power of two, by absolute number") {
  tests::Map<strategy::BuddyEighths> map(200, 3);
  CHECK(map.place(8) == 0);
  CHECK(map.place(9) == 9);    // 12, a multiple of 2
  CHECK(map.place(33) == 21);  // 24, a multiple of 8
  CHECK(map.place(1) == 8);
  CHECK(map.place(3) == 18);
  CHECK(map.place(33, 64) == 61);
  CHECK(map.free() == 200 - 8 - 9 - 33 - 1 - 3 - 33);
}

TEST_CASE("the small ones from the high end") {
  tests::Map<strategy::BuddyEighthsTwoEnded> map(256);
  CHECK(map.place(15) == 240);  // 241 is odd
  CHECK(map.place(16) == 0);
  CHECK(map.place(1) == 255);
  CHECK(map.place(100) == 16);
  CHECK(!map.place(1, 512));
}

TEST_CASE("the highest place obeys too, place_at and resize need not") {
  tests::Map<strategy::BuddyEighths> map(100);
  CHECK(map->place_high(Granules(9), Granules(1)) == extent(90, 9));
  CHECK(map->place_high(Granules(33), Granules(1)) == extent(56, 33));
  CHECK(map.place_at(3, 40));
  CHECK(map->resize(Granules(3), Granules(53)) == extent(3, 53));
}

TEST_CASE("the map is Inner's: whoever asks without the rule may share it") {
  const auto range = tests::geometry(64);
  std::vector<std::uint64_t> words(strategy::Bitmap::footprint(range.capacity));
  auto eighths = strategy::BuddyEighths::format(words, range);
  REQUIRE(eighths);
  auto plain = strategy::Bitmap::attach(words, range);
  REQUIRE(plain);
  CHECK(plain->place(Granules(3), Granules(1)) == extent(0, 3));
  CHECK(eighths->place(Granules(17), Granules(1)) == extent(4, 17));
  CHECK(!strategy::BuddyEighths::attach(words, tests::geometry(65)));
  CHECK(!strategy::BuddyEighths::format(std::span(words).first(3), range));
}

TEST_CASE("what is free is what place would serve") {
  tests::Map<strategy::BuddyEighths> map(64, 3);
  CHECK(map.largest() == 59);  // from 8 on, a multiple of an eighth of 64, up to 66
  CHECK(!map.place(60));
  CHECK(map.place(59) == 5);
  CHECK(map.largest() == 5);
  CHECK(map.place(5) == 0);
  CHECK(map.largest() == 0);
}
