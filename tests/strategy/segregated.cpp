#include <freestone/strategy/segregated.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "support/map.hpp"

using namespace freestone;

namespace {

using Map = tests::Map<strategy::Segregated>;
using tests::extent;

static_assert(check_strategy<strategy::Segregated>() && can_place_at<strategy::Segregated>);
static_assert(strategy::Segregated::exact_release && strategy::Segregated::places);
static_assert(!has_any_alignment<strategy::Segregated> && !can_place_high<strategy::Segregated>);

constexpr bool takes_the_last_one_of_its_bin() {
  Map map(100);
  for (std::uint64_t first = 0; first < 100; first += 10) {
    if (!map.place_at(first, 10)) return false;
  }
  if (map.release(20) != 10 || map.release(60) != 10 || map.release(40) != 10) return false;
  return map.place(10) == 40 && map.place(10) == 60 && map.place(3, 2) == 20 && map.largest() == 7;
}
static_assert(takes_the_last_one_of_its_bin());

// A range in which each hole is one that was asked for: between them are blocks, and the holes are so many that none is
// more than half the range.
class Holes {
 public:
  // They come in that order, the first one lowest.
  explicit Holes(const std::vector<std::uint64_t>& counts, std::uint64_t origin = 0)
      : map_(capacity_for(counts), origin) {
    std::uint64_t first = 0;
    for (const std::uint64_t count : counts) {
      REQUIRE(map_.place_at(first, count));
      REQUIRE(map_.place_at(first + count, 1));
      firsts_.push_back(first);
      first += count + 1;
    }
    REQUIRE(map_.place_at(first, map_.range().capacity.value() - first));
    for (const std::uint64_t hole : firsts_) map_.release(hole);
  }

  Map& map() { return map_; }
  // Where the i-th one begins.
  std::uint64_t at(std::size_t i) const { return firsts_[i]; }

 private:
  static std::uint64_t capacity_for(const std::vector<std::uint64_t>& counts) {
    return 2 * *std::max_element(counts.begin(), counts.end()) * (counts.size() + 1) + 2;
  }

  Map map_;
  std::vector<std::uint64_t> firsts_;
};

bool share_a_bin(std::uint64_t low, std::uint64_t high) {
  Holes holes({high, low});
  return holes.map().largest() == low;  // the one that came last is before the larger one
}

}  // namespace

TEST_CASE("a bin for each size below 16, then eight for each power of two") {
  std::vector<std::uint64_t> begins;
  for (std::uint64_t size = 1; size < 16; ++size) begins.push_back(size);
  for (std::uint64_t step = 2; step <= 256; step *= 2) {
    for (std::uint64_t eighth = 8; eighth < 16; ++eighth) begins.push_back(eighth * step);
  }
  for (std::uint64_t size = 2; size < 4000; ++size) {
    const bool begins_here = std::binary_search(begins.begin(), begins.end(), size);
    REQUIRE(share_a_bin(size - 1, size) != begins_here);
  }
  CHECK(share_a_bin(32, 35));
  CHECK(!share_a_bin(32, 36));
}

TEST_CASE("the hole that came last into a bin is the first to be cut") {
  Holes holes({9, 9, 9});
  CHECK(holes.map().place(9) == holes.at(2));
  CHECK(holes.map().place(9) == holes.at(1));
  CHECK(holes.map().release(holes.at(2)) == 9);
  CHECK(holes.map().place(9) == holes.at(2));
  CHECK(holes.map().place(9) == holes.at(0));
  CHECK(!holes.map().place(9));
}

TEST_CASE("from the middle of a bin and from its end a hole goes as well") {
  for (const std::size_t gone : {0U, 1U, 2U, 3U}) {
    Holes holes({9, 9, 9, 9});
    CHECK(holes.map().place_at(holes.at(gone), 9));
    for (std::size_t i = 4; i-- > 0;) {
      if (i != gone) CHECK(holes.map().place(9) == holes.at(i));
    }
    CHECK(!holes.map().place(1));
  }
}

TEST_CASE("small sizes are served exactly") {
  Holes holes({15, 12, 14, 13});
  CHECK(holes.map().place(13) == holes.at(3));
  CHECK(holes.map().place(12) == holes.at(1));
  CHECK(holes.map().place(12) == holes.at(2));  // the next larger one
  CHECK(holes.map().place(15) == holes.at(0));
}

TEST_CASE("of the bin that a size lies in holes are taken only when no bin above has any") {
  Holes holes({17, 20});
  CHECK(holes.map().place(17) == holes.at(1));  // though the other one fits exactly
  CHECK(holes.map().place(17) == holes.at(0));
  CHECK(!holes.map().place(4));
  CHECK(holes.map().place(3) == holes.at(1) + 17);
}

TEST_CASE("the smallest size of a bin is served by that bin") {
  Holes holes({16, 18});
  CHECK(holes.map().place(16) == holes.at(0));
  CHECK(holes.map().place(18) == holes.at(1));
}

TEST_CASE("of the bin that a size lies in the last hole alone is tried") {
  Holes too_small_last({17, 16});
  CHECK(!too_small_last.map().place(17));
  CHECK(too_small_last.map().place(16) == too_small_last.at(1));
  CHECK(too_small_last.map().place(17) == too_small_last.at(0));
  Holes good_last({16, 17});
  CHECK(good_last.map().place(17) == good_last.at(1));
}

TEST_CASE("the hole of more than half the range is the last to be cut") {
  Map map(100);
  CHECK(map.place_at(40, 1));  // 40 and 59
  CHECK(map.place(30) == 0);
  CHECK(map.place(10) == 30);
  CHECK(map.place(9) == 41);  // 50 are left: no longer more than half
  CHECK(map.largest() == 50);
  CHECK(map.release(30) == 10);
  CHECK(map.place(11) == 50);
  CHECK(map.place(10) == 30);
}

TEST_CASE("half the range is not more than half") {
  Map halves(17);
  CHECK(halves.place_at(8, 1));  // 8 and 8 of 17
  CHECK(halves.place(8) == 9);   // the last one of their bin
  CHECK(halves.place(8) == 0);
  Map more(69);
  CHECK(more.place_at(33, 1));  // 33 and 35 of 69
  CHECK(more.place(32) == 0);   // though the other one came last, and is as large as that bin's holes
}

TEST_CASE("what is left of a hole comes into its bin anew, also when that is the same") {
  Holes holes({21, 21, 21});
  CHECK(holes.map().place_at(holes.at(0), 1));  // 20 are left, of the same bin
  CHECK(holes.map().place(15) == holes.at(0) + 1);
  Holes others({21, 21, 21});
  CHECK(others.map().place_at(others.at(1) + 20, 1));
  CHECK(others.map().place(15) == others.at(1));
}

TEST_CASE("of what is left on both sides the upper side comes last") {
  Holes holes({30});
  CHECK(holes.map().place_at(holes.at(0) + 10, 10));
  CHECK(holes.map().place(10) == holes.at(0) + 20);
  CHECK(holes.map().place(10) == holes.at(0));
  Holes aligned({23}, 1);                                 // granules 1 to 23
  CHECK(aligned.map().place(8, 8) == aligned.at(0) + 7);  // 7 below, and 8 above
  CHECK(aligned.map().place_at(aligned.at(0) + 22, 1));
  CHECK(aligned.map().place(7) == aligned.at(0) + 15);
}

TEST_CASE("a hole that grows comes into its bin anew") {
  Holes holes({20, 19, 21});
  CHECK(holes.map().release(holes.at(1) + 19) == 1);  // with both neighbours: 19 + 1 + 21
  CHECK(holes.map().largest() == 41);
  CHECK(holes.map().place(41) == holes.at(1));
  Holes above({20, 20});
  CHECK(above.map().place_at(above.at(0), 1));
  CHECK(above.map().place_at(above.at(1), 1));   // 19 and 19: the second came last
  CHECK(above.map().release(above.at(0)) == 1);  // 20, with the hole above
  CHECK(above.map().release(above.at(1)) == 1);
  CHECK(above.map().place(20) == above.at(1));
  CHECK(above.map().place(20) == above.at(0));
  Holes below({20, 20});
  CHECK(below.map().place_at(below.at(0) + 19, 1));
  CHECK(below.map().release(below.at(0) + 19) == 1);  // with the hole below: anew, and so before the other one
  CHECK(below.map().place(20) == below.at(0));
}

TEST_CASE("with an alignment the hole is tried first that would be cut without") {
  Holes holes({12, 8}, 0);  // 0 to 11, 13 to 20
  CHECK(holes.map().place(4, 8) == 16);
  Holes spare({12, 5, 6}, 0);  // at 0, 13 and 19: 6 from 19 on holds no 4 at a multiple of 8
  CHECK(spare.map().place(4, 2) == 14);
  CHECK(spare.map().place(4, 8) == 0);
}

TEST_CASE("with an alignment a hole with room to spare comes next, then one of its own bin") {
  Holes spare({40, 13, 10}, 1);           // granules 1 to 40, 42 to 54, 56 to 65
  CHECK(spare.map().place(9, 16) == 15);  // 10 and 13 hold none; 9 + 15 granules do, wherever
  Holes own({33, 34}, 31);                // granules 31 to 63, 65 to 98
  CHECK(!own.map().place(34, 32));        // the last of the bin has no such place
  CHECK(own.map().place(33, 2) == own.at(1) + 1);
  Holes exact({33}, 32);
  CHECK(exact.map().place(33, 32) == 0);  // with room to spare there is none
}

TEST_CASE("room to spare is one granule less than the alignment") {
  Holes exact({4, 7, 12}, 1);  // granules 1 to 4, 6 to 12, 14 to 25
  CHECK(exact.map().place(4, 4) == exact.at(1) + 2);
  Holes coarse({10, 16, 20}, 7);  // 17 are needed: a hole of 16 may be too small, though this one is not
  CHECK(coarse.map().place(10, 8) == 40 - 7);
}

TEST_CASE("a hole of more than half the range is tried, however much room to spare is wanted") {
  Map map(100, 19);  // granules 19 to 60 and 62 to 118
  CHECK(map.place_at(42, 1));
  CHECK(map.place(38, 64) == 45);  // though 38 + 63 are more than the range has
}

TEST_CASE("with an alignment that no hole has room to spare for, a hole that lies right is found") {
  Map map(64, 64);
  CHECK(map.place(1, 64) == 0);
  CHECK(!map.place(1, 64));
  CHECK(map.place(1, 32) == 32);
  CHECK(!map.place(1, std::uint64_t{1} << 40));
  CHECK(!map.place(1, std::uint64_t{1} << 63));
  CHECK(Map(64).place(64, 128) == 0);  // 0 is a multiple of everything
}

TEST_CASE("alignment is that of the absolute number") {
  Map map(64, 3);
  for (std::uint64_t first = 1; first <= 57; first += 4) CHECK(map.place(4, 4) == first);
  CHECK(!map.place(4, 4));
  CHECK(map.free() == 4);
  CHECK(map.place(3, 0) == 61);  // 0, as 1: anywhere
  CHECK(map.place(1, 1) == 0);
}

TEST_CASE("the largest request that would be served is that of the highest bin's last hole") {
  Holes holes({35, 32});
  CHECK(holes.map().largest() == 32);
  CHECK(!holes.map().place(33));
  CHECK(holes.map().place(32) == holes.at(1));
  CHECK(holes.map().largest() == 35);
  CHECK(holes.map().place(35) == holes.at(0));
  CHECK(holes.map().largest() == 0);
  CHECK(Map(1000).largest() == 1000);
}

TEST_CASE("bins lie in as many words as the range needs") {
  // From 960 granules on the bins, and the bit behind them, take a second word.
  for (const std::uint64_t capacity : {63U, 64U, 65U, 895U, 896U, 959U, 960U, 1023U, 1024U, 4096U, 1'000'000U}) {
    Map map(capacity);
    for (std::uint64_t count = 1; count < capacity / 3; count *= 2) {
      REQUIRE(map.place(count) == 0);
      REQUIRE(map.place_at(count, 1));  // a hole of `count`, and the rest of the range
      REQUIRE(map.release(0) == count);
      REQUIRE(map.place(count / 2 + 1) == 0);
      REQUIRE(map.place(count + 1) == count + 1);
      REQUIRE(map.release(0) == count / 2 + 1);
      REQUIRE(map.release(count + 1) == count + 1);
      REQUIRE(map.release(count) == 1);
      REQUIRE(map.largest() == capacity);
    }
  }
}

TEST_CASE("what words it takes: 8 bytes a granule, and 16 a bin") {
  // 7 words of its own, a bit for each bin and one more, tags from granule -1 on, and a pair for each bin and one more.
  CHECK(strategy::Segregated::footprint(Granules(64)) == 7 + 1 + 68 + 2 * 34);
  CHECK(strategy::Segregated::footprint(Granules(65)) == 7 + 1 + 68 + 2 * 34);
  CHECK(strategy::Segregated::footprint(Granules(1'000'000)) == 7 + 3 + 1'000'004 + 2 * 145);
}
