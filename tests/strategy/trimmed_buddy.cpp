#include <freestone/strategy/trimmed_buddy.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "support/effort.hpp"
#include "support/map.hpp"
#include "support/map_errors.hpp"
#include "support/naive.hpp"

using namespace freestone;

namespace {

using Map = tests::Map<strategy::TrimmedBuddy>;
using tests::extent;
using tests::observe;

static_assert(check_strategy<strategy::TrimmedBuddy>() && can_place_at<strategy::TrimmedBuddy>);
static_assert(strategy::TrimmedBuddy::exact_release && strategy::TrimmedBuddy::places);

constexpr bool gives_the_tail_back() {
  Map map(16);
  if (map.place(5) != 0 || map.length_of(0) != 5 || map.free() != 11) return false;
  if (map.place(1) != 5 || map.place(2) != 6) return false;  // out of the tail
  return map.release(0) == 5 && map.release(6) == 2 && map.release(5) == 1 && map.place(16) == 0;
}
static_assert(gives_the_tail_back());

// Each call from each state of a small range, beside the naive strategy; in a slow build from each state other calls.
class EveryState {
 public:
  explicit EveryState(std::uint64_t origin) : range_(tests::geometry(capacity, origin)), origin_(origin) {}

  // Granules below `next` are settled: leave the next one free, or begin a block of each length that may lie there.
  void from(std::uint64_t next) {
    if (next == capacity) return try_all();
    from(next + 1);
    for (std::uint64_t count = 1; next + count <= capacity; ++count) {
      const std::uint64_t whole = std::uint64_t{1} << bits::ceil_log2(count);
      if (next + whole > capacity || (origin_ + next) % whole != 0) continue;
      blocks_.push_back(extent(next, count));
      from(next + count);
      blocks_.pop_back();
    }
  }

  std::uint64_t states() const { return states_; }

 private:
  static constexpr std::uint64_t capacity = 9;

  void try_all() {
    ++states_;
    for (std::uint64_t count = 0; count <= capacity + 1; ++count) {
      for (std::uint64_t align = 1; align <= 16; align *= 2) {
        same([&](auto& s) { return s.place(Granules(count), Granules(align)); });
      }
      for (std::uint64_t first = 0; first <= capacity; ++first) {
        same([&](auto& s) { return s.place_at(extent(first, count)); });
      }
    }
    for (std::uint64_t first = 0; first <= capacity; ++first) {
      same([&](auto& s) { return s.release(Granules(first)); });
    }
  }

  template <class Call>
  void same(Call&& call) {
    if (!turns_.is_next()) return;
    Map map(range_);
    naive::TrimmedBuddy naive(range_);
    for (const Extent block : blocks_) {
      REQUIRE(map->place_at(block) == block);
      REQUIRE(naive.place_at(block) == block);
    }
    REQUIRE(call(map.strategy()) == call(naive));
    REQUIRE(observe(map.strategy()) == observe(naive));
  }

  Geometry range_;
  std::uint64_t origin_;
  std::vector<Extent> blocks_;
  std::uint64_t states_ = 0;
  tests::Turns turns_;
};

}  // namespace

TEST_CASE("a block has what was asked for, and lies where the next power of two was free") {
  Map map(16);
  CHECK(map.place(5) == 0);
  CHECK(map.place(3) == 8);  // in the tail there are 3 granules, but no whole 4
  CHECK(map.place(3) == 12);
  CHECK(map.place(3) == std::nullopt);
  CHECK(map.free() == 16 - 11);
  CHECK(map.largest() == 2);
  CHECK(map.blocks() == std::vector{extent(0, 5), extent(8, 3), extent(12, 3)});
}

TEST_CASE("a whole power of two has no tail") {
  Map map(16);
  CHECK(map.place(8) == 0);
  CHECK(map.place(4) == 8);
  CHECK(map.place(1) == 12);
  CHECK(map.largest() == 2);
  CHECK(map.release(8) == 4);
  CHECK(map.release(12) == 1);
  CHECK(map.largest() == 8);
}

TEST_CASE("blocks that touch are told apart") {
  Map map(8);
  CHECK(map.place(3) == 0);
  CHECK(map.place(1) == 3);
  CHECK(map.place(4) == 4);
  CHECK(map.length_of(0) == 3);
  CHECK(map.length_of(3) == 1);
  CHECK(map.release(0) == 3);
  CHECK(map.blocks() == std::vector{extent(3, 1), extent(4, 4)});
}

TEST_CASE("a wrong release is told, and changes nothing") {
  Map map(16, 8);
  CHECK(map.place(7) == 0);
  for (const std::uint64_t inner : {1U, 3U, 4U, 5U, 6U}) {  // at 4 and 6 nodes begin
    CHECK(map.refuses_release(inner, ReleaseFault::inner));
    CHECK(map.length_of(inner) == 0);
  }
  CHECK(map.refuses_release(7, ReleaseFault::not_live));
  CHECK(map.refuses_release(16, ReleaseFault::outside));
  CHECK(map.refuses_release(~std::uint64_t{0}, ReleaseFault::outside));
  CHECK(map.release(0) == 7);
  CHECK(map.refuses_release(0, ReleaseFault::not_live));
  CHECK(map.length_of(16) == 0);
}

TEST_CASE("a place of one's own choice needs its own granules only") {
  Map map(16);
  CHECK(map.place_at(6, 2));
  CHECK(map.place_at(0, 5));  // the tail of its 8 is another's by now
  CHECK(map.refuses_place_at(0, 5));
  CHECK(map.refuses_place_at(4, 2));
  CHECK(map.refuses_place_at(5, 2));  // no place for 2
  CHECK(map.place_at(5, 1));
  CHECK(map.refuses_place_at(8, 9));
  CHECK(map.refuses_place_at(8, 0));
  CHECK(map.refuses_place_at(16, 1));
  CHECK(map.refuses_place_at(~std::uint64_t{0}, 1));
  CHECK(map.refuses_place_at(0, ~std::uint64_t{0}));
  CHECK(map.blocks() == std::vector{extent(0, 5), extent(5, 1), extent(6, 2)});
}

TEST_CASE("a place whose power of two leaves the range is none") {
  Map map(13);
  CHECK(map.refuses_place_at(8, 5));  // 8 to 15
  CHECK(map.place_at(8, 3));
  CHECK(map.place_at(0, 7));
  Map odd(13, 3);  // the whole powers of two lie at 1 and 5
  CHECK(odd.refuses_place_at(0, 3));
  CHECK(odd.place_at(5, 5));
  CHECK(odd.place_at(1, 4));
}

TEST_CASE("every call from every state of 9 granules") {
  EveryState even(0);
  even.from(0);
  CHECK(even.states() == 1'604);
  EveryState odd(3);
  odd.from(0);
  CHECK(odd.states() == 1'568);
}

TEST_CASE("what words it takes, and which it refuses") {
  CHECK(strategy::TrimmedBuddy::footprint(Granules(64)) == 6 + strategy::Buddy::footprint(Granules(64)));
  tests::check_format_errors<strategy::TrimmedBuddy>();
  tests::check_attach_errors<strategy::TrimmedBuddy>();
  tests::check_footprint_of_huge_ranges<strategy::TrimmedBuddy>();
}
