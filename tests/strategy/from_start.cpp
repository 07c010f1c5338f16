#include <freestone/strategy/from_start.hpp>

#include <cstdint>

#include <doctest/doctest.h>

#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>

#include "support/map.hpp"
#include "support/random.hpp"

using namespace freestone;

namespace {

using Buddy = strategy::Buddy;
using FromStart = strategy::FromStart<Buddy>;
using tests::observe;

static_assert(check_strategy<FromStart>() && can_place_at<FromStart> && !can_place_high<FromStart>);
static_assert(FromStart::id == Buddy::id);

}  // namespace

TEST_CASE("PMEM's vectors, wherever the region begins") {
  for (const std::uint64_t origin : {0ULL, 3ULL, 8ULL, 0x20003ULL}) {
    CAPTURE(origin);
    tests::Map<FromStart> thirteen(13, origin);
    CHECK(thirteen.place(2) == 8);
    CHECK(thirteen.place(1) == 12);
    CHECK(thirteen.place(1) == 10);
    CHECK(thirteen.place(3) == 0);
    for (const std::uint64_t first : {10ULL, 8ULL, 12ULL, 0ULL}) CHECK(thirteen.release(first) != 0);
    CHECK(thirteen.place(9) == std::nullopt);
    CHECK(thirteen.place(8) == 0);
    tests::Map<FromStart> six(6, origin);
    for (const std::uint64_t first : {4ULL, 5ULL, 0ULL, 1ULL, 2ULL, 3ULL}) CHECK(six.place(1) == first);
    CHECK(six.place(1) == std::nullopt);
  }
}

TEST_CASE("it does what its strategy does at 0, call by call") {
  tests::Random random(tests::seed());
  for (const std::uint64_t origin : {1ULL, 6ULL, 100ULL}) {
    tests::Map<FromStart> map(53, origin);
    tests::Map<Buddy> other(53);
    for (int turn = 0; turn < 2000; ++turn) {
      const std::uint64_t number = random.below(54);
      random.chance(50) ? CHECK(map.place(number) == other.place(number)) : CHECK(map.release(number) == other.release(number));
      CHECK(observe(map.strategy()) == observe(other.strategy()));
    }
    CHECK(map.words() == other.words());
  }
}

TEST_CASE("an alignment is that of the space, or refused") {
  tests::Map<FromStart> map(64, 8);
  CHECK(map.place(1, 8) == 0);
  CHECK(map.place(1, 16) == std::nullopt);
  CHECK(map.place(8, 4) == 8);
  tests::Map<FromStart> at_zero(64);
  CHECK(at_zero.place(1, 64) == 0);
}

TEST_CASE("attached anew it goes on") {
  tests::Map<FromStart> map(13, 3);
  CHECK(map.place(2) == 8);
  auto again = FromStart::attach(map.words(), map.range());
  REQUIRE(again);
  CHECK(again->place(Granules(1), Granules(1))->first.value() == 12);
  CHECK(map.length_of(12) == 1);
  CHECK(!FromStart::attach(map.words(), tests::geometry(14, 3)));
}
