#include <freestone/strategy/best_fit.hpp>

#include <cstdint>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/zone/zone.hpp>
#include "support/map.hpp"

using namespace freestone;
using namespace freestone::literals;

namespace {

using strategy::BestFit;
using strategy::BestFitHigh;
using strategy::BestFitMmz;
using strategy::BestFitTwoEnded;
using tests::extent;
using tests::Map;

static_assert(check_strategy<BestFit>() && check_strategy<BestFitHigh>() && check_strategy<BestFitTwoEnded>() &&
              check_strategy<BestFitMmz>());
static_assert(can_place_at<BestFit> && can_place_high<BestFit> && can_place_high<BestFitMmz>);
static_assert(has_any_alignment<BestFit> && has_any_alignment<BestFitMmz>);
static_assert(BestFit::exact_release && BestFit::places);

// Holes and blocks by turns, a hole first.
template <class S>
constexpr bool lay(Map<S>& map, const std::vector<std::uint64_t>& counts) {
  std::uint64_t first = 0;
  for (std::size_t i = 0; i < counts.size(); first += counts[i++]) {
    if (i % 2 == 1 && !map.place_at(first, counts[i])) return false;
  }
  return first == map.range().capacity.value();
}

template <class S>
constexpr std::optional<std::uint64_t> place_high(Map<S>& map, std::uint64_t count, std::uint64_t align = 1) {
  const auto placed = map->place_high(Granules(count), Granules(align));
  return placed ? std::optional(placed->first.value()) : std::nullopt;
}

constexpr bool takes_the_smallest() {
  Map<BestFit> map(100);
  return lay(map, {40, 1, 7, 1, 51}) && map.place(6) == 41 && map.place(2) == 0 && map.place(38) == 2 &&
         map.place(51) == 49 && map.largest() == 1 && map.release(2) == 38 && map.place(10, 7) == 7 &&
         place_high(map, 1) == 47;
}
static_assert(takes_the_smallest());
constexpr bool takes_the_high_end() {
  Map<BestFitHigh> map(100);
  return lay(map, {40, 1, 7, 1, 51}) && map.place(6) == 42 && map.place(2) == 38 && map.place(10, 7) == 28;
}
static_assert(takes_the_high_end());

}  // namespace

TEST_CASE("the smallest hole that is large enough, whatever lies before it") {
  Map<BestFit> map(200);
  REQUIRE(lay(map, {30, 1, 10, 1, 20, 1, 9, 1, 100, 27}));
  CHECK(map.place(9) == 63);
  CHECK(map.place(9) == 31);
  CHECK(map.place(9) == 42);
  CHECK(map.place(12) == 0);
  CHECK(map.place(12) == 12);
  CHECK(map.place(12) == 73);
  CHECK(map.largest() == 88);
  CHECK(map.place(88) == 85);
  CHECK(map.largest() == 11);
}

TEST_CASE("of holes of the same size the lowest, or the highest") {
  const std::vector<std::uint64_t> holes{2, 1, 5, 1, 5, 1, 2, 1, 5, 1, 40};
  Map<BestFit> low(64);
  REQUIRE(lay(low, holes));
  for (const std::uint64_t first : {3U, 9U, 18U, 24U}) CHECK(low.place(5) == first);
  Map<BestFitHigh> high(64);
  REQUIRE(lay(high, holes));
  for (const std::uint64_t first : {18U, 9U, 3U, 59U, 54U}) CHECK(high.place(5) == first);
  CHECK(high.place(2) == 15);
  CHECK(high.place(2) == 0);
}

TEST_CASE("a hole is found again, of whatever size and wherever it lies") {
  for (const std::uint64_t capacity : {63U, 64U, 65U, 100U}) {
    for (std::uint64_t first = 1; first < capacity; ++first) {
      for (std::uint64_t size = 1; first + size < capacity; ++size) {
        Map<BestFit> map(capacity);
        REQUIRE(map.place_at(0, first));
        REQUIRE(map.place_at(first + size, capacity - first - size));
        REQUIRE(map.largest() == size);
        REQUIRE(!map.place(size + 1));
        REQUIRE(place_high(map, 1) == first + size - 1);
        REQUIRE(map.release(first + size - 1) == 1);
        REQUIRE(map.place(size) == first);
        REQUIRE(map.largest() == 0);
      }
    }
  }
}

TEST_CASE("sizes to both sides of a power of two are told apart") {
  for (std::uint64_t power = 2; power <= 4096; power *= 2) {
    Map<BestFit> map(4 * power + 1);
    REQUIRE(lay(map, {power + 1, 1, power, 1, power - 1, power - 1}));
    CHECK(map.largest() == power + 1);
    CHECK(map.place(power - 1) == 2 * power + 3);
    CHECK(map.place(power) == power + 2);
    CHECK(map.place(power) == 0);
    CHECK(map.largest() == 1);
  }
}

TEST_CASE("alignment is that of the absolute number, and may be any number") {
  Map<BestFit> map(64, 3);
  CHECK(map.place(4, 4) == 1);
  CHECK(map.place(4, 5) == 7);    // 10
  CHECK(map.place(1, 64) == 61);  // 64
  CHECK(!map.place(1, 64));
  CHECK(map.place(1, 3) == 0);
  CHECK(map.place(3, 17) == 14);  // 17
  CHECK(!map.place(1, ~std::uint64_t{0}));
  CHECK(Map<BestFit>(64).place(64, 1000) == 0);  // 0 is a multiple of everything
  Map<BestFitHigh> high(64, 3);                  // numbers 3 to 66
  CHECK(high.place(4, 4) == 57);
  CHECK(high.place(4, 5) == 52);
  CHECK(high.place(1, 64) == 61);
  CHECK(high.place(1, 3) == 63);
  CHECK(high.place(3, 17) == 48);
}

TEST_CASE("with an alignment the smallest hole that can hold the block") {
  Map<BestFit> map(100);
  REQUIRE(lay(map, {1, 1, 5, 1, 7, 1, 8, 1, 20, 55}));  // holes at 0, 2, 8, 16 and 25
  CHECK(map.place(4, 4) == 8);                          // 7 granules; in the 5 at 2 there are 3 behind the 4
  CHECK(map.place(4, 16) == 16);                        // 8 granules, though the lower ones do at no multiple of 16
  CHECK(map.place(4, 16) == 32);
  CHECK(!map.place(4, 16));
  Map<BestFitHigh> high(100);
  REQUIRE(lay(high, {1, 1, 5, 1, 7, 1, 8, 1, 20, 55}));
  CHECK(high.place(3, 4) == 4);
  CHECK(high.place(4, 4) == 8);
  CHECK(high.place(4, 4) == 20);
  CHECK(high.place(4, 4) == 16);
  CHECK(high.place(4, 4) == 40);
}

TEST_CASE("with an alignment, too, the lowest or the highest of holes of the same size") {
  const std::vector<std::uint64_t> holes{6, 2, 6, 2, 5, 3, 6, 2, 68};  // at 0, 8, 16 (5) and 24
  Map<BestFit> low(100);
  REQUIRE(lay(low, holes));
  for (const std::uint64_t first : {0U, 8U, 24U, 32U}) CHECK(low.place(6, 4) == first);
  Map<BestFitHigh> high(100);
  REQUIRE(lay(high, holes));
  for (const std::uint64_t first : {24U, 8U, 0U, 92U}) CHECK(high.place(6, 4) == first);
}

TEST_CASE("with an alignment the highest is found when it is the lowest of them all") {
  Map<BestFitHigh> map(30, 7);  // numbers 8 to 13 and 15 to 20
  REQUIRE(map.place_at(0, 1));
  REQUIRE(map.place_at(7, 1));
  REQUIRE(map.place_at(14, 16));
  CHECK(map.place(6, 8) == 1);
  CHECK(!map.place(6, 8));
}

TEST_CASE("two ends: what is a sixteenth of the range or more lies low, the rest high") {
  const auto border = [](std::uint64_t capacity, std::uint64_t first_low) {
    for (std::uint64_t count = 1; count < capacity; ++count) {
      Map<BestFitTwoEnded> plain(capacity);
      REQUIRE(plain.place(count) == (count >= first_low ? 0 : capacity - count));
      Map<BestFitTwoEnded> aligned(capacity, 2);
      REQUIRE(aligned.place(count, 2) == (count >= first_low ? 0 : (capacity - count) / 2 * 2));
    }
  };
  border(15, 1);
  border(16, 1);
  border(17, 2);
  border(64, 4);
  border(65, 5);
  border(100, 7);
}

TEST_CASE("two ends: each takes the smallest hole, from its own side among equals") {
  Map<BestFitTwoEnded> map(128);
  REQUIRE(lay(map, {10, 1, 9, 1, 9, 1, 97}));
  CHECK(map.place(8) == 11);
  CHECK(map.place(7) == 23);
  CHECK(map.place(1) == 19);
  CHECK(map.place(2) == 21);
}

TEST_CASE("the highest place of all, whatever the hole") {
  Map<BestFit> map(100, 3);
  REQUIRE(lay(map, {40, 1, 7, 1, 20, 1, 10, 20}));
  CHECK(place_high(map, 11) == 58);
  CHECK(place_high(map, 7) == 73);
  CHECK(place_high(map, 4, 10) == 27);  // 30; no higher hole has four granules behind a multiple of 10
  CHECK(place_high(map, 3) == 70);
  CHECK(place_high(map, 3, 6) == 51);  // 54
  CHECK(place_high(map, 27) == 0);
  CHECK(!place_high(map, 10));
  CHECK(map.free() == 22);
}

TEST_CASE("the highest place: what does not fit changes nothing") {
  Map<BestFit> map(16, 1);
  const auto before = map.words();
  for (const std::uint64_t count : {std::uint64_t{0}, std::uint64_t{17}, ~std::uint64_t{0}}) {
    CHECK(!place_high(map, count));
    CHECK(!place_high(map, count, 3));
  }
  CHECK(!place_high(map, 1, 18));
  CHECK(!place_high(map, 16, 2));
  CHECK(map.words() == before);
  CHECK(place_high(map, 1, 16) == 15);
  CHECK(place_high(map, 15) == 0);
  CHECK(!place_high(map, 1));
}

TEST_CASE("MMZ: a hole's length counts from its first aligned place on") {
  const std::vector<Extent> blocks{extent(0, 1), extent(10, 6), extent(21, 79)};
  Map<BestFitMmz> mmz(100);  // holes: 9 granules, two of them behind 8, and 5 granules from 16 on
  Map<BestFit> plain(100);
  for (const Extent block : blocks) REQUIRE((mmz->place_at(block) && plain->place_at(block)));
  CHECK(mmz.place(2, 8) == 8);
  CHECK(plain.place(2, 8) == 16);
}

TEST_CASE("MMZ: of equal lengths the lower address") {
  Map<BestFitMmz> map(100);
  REQUIRE(map.place_at(0, 4));   // 4 to 9: 2 behind 8
  REQUIRE(map.place_at(10, 6));  // 16 and 17: 2
  REQUIRE(map.place_at(18, 4));  // 22 to 25: 2 behind 24
  REQUIRE(map.place_at(26, 74));
  CHECK(map.place(2, 8) == 8);
  CHECK(map.place(2, 8) == 16);
  CHECK(map.place(2, 8) == 24);
}

TEST_CASE("MMZ: of equal lengths the lower address, also where most lies before the alignment") {
  Map<BestFitMmz> map(100);
  REQUIRE(map.place_at(0, 5));  // 5 to 9: three too many, and 2
  REQUIRE(map.place_at(10, 6));
  REQUIRE(map.place_at(18, 82));  // 16 and 17
  CHECK(map.place(2, 4) == 8);
  CHECK(map.place(2, 4) == 16);
}

namespace {

using Region = Zone<backing::OffsetSpace, BestFitMmz, lock::None, cache::Coherent>;
constexpr std::uint64_t quantum = 4096;

// An MMZ zone at a physical address, spoken to in such addresses.
class Mmz {
 public:
  Mmz(std::uint64_t base, std::uint64_t size) : base_(base), zone_(*make(base, size)) {}

  // 0: it was refused.
  std::uint64_t alloc(std::uint64_t size, std::uint64_t align = 0) {
    return address_of(zone_.allocate({.size = size, .align = align}));
  }
  std::uint64_t alloc_high(std::uint64_t size, std::uint64_t align = 0) {
    return address_of(zone_.allocate_high({.size = size, .align = align}));
  }
  bool free(std::uint64_t address) { return static_cast<bool>(zone_.deallocate_at(address - base_)); }

 private:
  std::uint64_t address_of(const Result<Block>& block) const { return block ? base_ + block->offset().value() : 0; }

  static Result<Region> make(Bytes base, Bytes size) {
    const ZoneOptions options{.name = "mmz", .granule = 4_KiB};
    auto space = backing::OffsetSpace::create(
        {.name = options.name, .size = size, .notes_words = Region::notes_words(size, options.granule)}, base);
    REQUIRE(space);
    return Region::create(options, *std::move(space));
  }

  std::uint64_t base_;
  Region zone_;
};

}  // namespace

TEST_CASE("MMZ's vectors: the smallest hole, odd sizes and odd alignments") {
  Mmz zone(0x4600'0000, 32 << 20);
  CHECK(zone.alloc(1 * quantum) == 0x4600'0000);
  CHECK(zone.alloc(5 * quantum) == 0x4600'1000);
  CHECK(zone.alloc(1 * quantum) == 0x4600'6000);
  CHECK(zone.alloc(3 * quantum) == 0x4600'7000);
  CHECK(zone.alloc(1 * quantum) == 0x4600'a000);
  CHECK(zone.free(0x4600'1000));
  CHECK(zone.free(0x4600'7000));
  CHECK(zone.alloc(2 * quantum) == 0x4600'7000);
  CHECK(zone.alloc(5 * quantum) == 0x4600'1000);
  CHECK(zone.alloc(2 * quantum) == 0x4600'b000);
  CHECK(zone.alloc(0x1234, 64 << 10) == 0x4601'0000);
  CHECK(zone.alloc(1, 0x3000) == 0x4600'e000);
  CHECK(zone.alloc(32 << 20) == 0);
}

TEST_CASE("MMZ's vectors: ties, and the tail") {
  Mmz ties(0x4600'0000, 1 << 20);
  for (std::uint64_t i = 0; i < 5; ++i) CHECK(ties.alloc(2 * quantum) == 0x4600'0000 + i * 2 * quantum);
  CHECK(ties.free(0x4600'2000));
  CHECK(ties.free(0x4600'6000));
  CHECK(ties.alloc(2 * quantum) == 0x4600'2000);

  Mmz smaller(0x4600'0000, 64 << 10);
  CHECK(smaller.alloc(4 * quantum) == 0x4600'0000);
  CHECK(smaller.alloc(8 * quantum) == 0x4600'4000);
  CHECK(smaller.alloc(2 * quantum) == 0x4600'c000);
  CHECK(smaller.free(0x4600'4000));
  CHECK(smaller.alloc(2 * quantum) == 0x4600'e000);

  Mmz equal(0x4600'0000, 64 << 10);
  CHECK(equal.alloc(4 * quantum) == 0x4600'0000);
  CHECK(equal.alloc(2 * quantum) == 0x4600'4000);
  CHECK(equal.alloc(8 * quantum) == 0x4600'6000);
  CHECK(equal.free(0x4600'4000));
  CHECK(equal.alloc(2 * quantum) == 0x4600'4000);
}

TEST_CASE("MMZ's vectors: a hole is measured from its first aligned place") {
  Mmz zone(0x4600'0000, 1 << 20);
  CHECK(zone.alloc(1 * quantum) == 0x4600'0000);
  CHECK(zone.alloc(0x13 * quantum) == 0x4600'1000);
  CHECK(zone.alloc(1 * quantum) == 0x4601'4000);
  CHECK(zone.alloc(1 * quantum) == 0x4601'5000);
  CHECK(zone.alloc(3 * quantum) == 0x4601'6000);
  CHECK(zone.alloc(1 * quantum) == 0x4601'9000);
  CHECK(zone.free(0x4600'1000));
  CHECK(zone.free(0x4601'6000));
  CHECK(zone.alloc(2 * quantum, 64 << 10) == 0x4601'0000);
}

TEST_CASE("MMZ's vectors: what lies at no such place is refused, and not put elsewhere") {
  Mmz empty(0x4610'0000, 1 << 20);
  CHECK(empty.alloc(1, 16 << 20) == 0);
  CHECK(empty.alloc(1 * quantum) == 0x4610'0000);
  CHECK(empty.alloc(1 * quantum, 16 << 20) == 0);
  CHECK(empty.alloc(1 * quantum, 0x5000'3000) == 0);

  Mmz full(0x4600'1000, 0x1'f000);
  CHECK(full.alloc(1 * quantum) == 0x4600'1000);
  CHECK(full.alloc(14 * quantum) == 0x4600'2000);
  CHECK(full.alloc(16 * quantum) == 0x4601'0000);
  CHECK(full.alloc(1 * quantum, 64 << 10) == 0);
}

TEST_CASE("MMZ's vectors: from the high end, and then from the low one") {
  Mmz zone(0x4600'0000, 16 * quantum);
  CHECK(zone.alloc_high(3 * quantum) == 0x4600'd000);
  CHECK(zone.alloc_high(2 * quantum, 16 << 10) == 0x4600'8000);
  CHECK(zone.alloc_high(1 * quantum) == 0x4600'c000);
  CHECK(zone.alloc(1 * quantum) == 0x4600'a000);
}

TEST_CASE("what words it takes: 4 bytes a granule, and a bit for each octave") {
  // 7 words of its own, tags from granule -1 on, and a tree over 7 or 8 octaves of 64 and of 128 keys.
  CHECK(BestFit::footprint(Granules(64)) == 7 + 34 + 7 + 1);
  CHECK(BestFit::footprint(Granules(65)) == 7 + 34 + 16 + 1);
  CHECK(BestFit::footprint(Granules(1)) == 7 + 2 + 1);
}

TEST_CASE("an alignment of 0 is one of 1") {
  Map<BestFit> map(64, 3);
  CHECK(map->place_high(Granules(5), Granules(0)) == extent(59, 5));
  CHECK(map.place(5, 0) == 0);
}
