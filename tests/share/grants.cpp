#include <freestone/share/grants.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "support/effort.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t most_offset = ~std::uint64_t{0};

// A count for each byte.
template <std::size_t size>
struct Naive {
  std::array<int, size> covers = {};

  bool is_covered(std::uint64_t byte) const { return covers[static_cast<std::size_t>(byte)] != 0; }
  void add(const ByteRange& range, int by) {
    for (std::uint64_t at = range.offset.value(); at < range.end().value(); ++at) covers[static_cast<std::size_t>(at)] += by;
  }
  ByteRange first(const ByteRange& within, bool covered) const {
    std::uint64_t at = within.offset.value();
    const std::uint64_t end = within.end().value();
    while (at < end && is_covered(at) != covered) ++at;
    const std::uint64_t start = at;
    while (at < end && is_covered(at) == covered) ++at;
    return ByteRange::between(start, at);
  }
};

// Where there is none it does not matter where that is.
bool is_same(const ByteRange& a, const ByteRange& b) { return a == b || (a.is_empty() && b.is_empty()); }

template <std::size_t most, std::size_t size>
void check_all(const Grants<most>& grants, const Naive<size>& naive) {
  for (std::uint64_t first = 0; first <= size; ++first) {
    for (std::uint64_t end = first; end <= size; ++end) {
      const ByteRange within = ByteRange::between(first, end);
      REQUIRE(is_same(grants.first_covered(within), naive.first(within, true)));
      REQUIRE(is_same(grants.first_gap(within), naive.first(within, false)));
    }
  }
}

}  // namespace

TEST_CASE("a range that leaves 64 bits is within nothing") {
  CHECK(ByteRange{0, 0}.is_within(0));
  CHECK(ByteRange{8, 0}.is_within(8));
  CHECK(!ByteRange{9, 0}.is_within(8));
  CHECK(ByteRange{0, most_offset}.is_within(most_offset));
  CHECK(!ByteRange{1, most_offset}.is_within(most_offset));
  for (const std::uint64_t edge : {std::uint64_t{1}, std::uint64_t{4096}, std::uint64_t{1} << 31, (std::uint64_t{1} << 32) - 1,
                                   std::uint64_t{1} << 32, std::uint64_t{1} << 63, most_offset - 4095, most_offset}) {
    CHECK(!ByteRange{edge, most_offset - edge + 1}.is_within(64_KiB));
    CHECK(!ByteRange{most_offset, edge}.is_within(64_KiB));
    CHECK(!ByteRange{64_KiB, edge}.is_within(64_KiB));
  }
}

TEST_CASE("ranges are cut as one expects") {
  constexpr ByteRange range{10, 10};
  static_assert(range.end() == 20);
  static_assert(range.from(15) == ByteRange{15, 5});
  static_assert(range.from(5) == range);
  static_assert(range.from(20).is_empty());
  static_assert(range.from(30).is_empty());
  static_assert(range.until(15) == ByteRange{10, 5});
  static_assert(range.until(25) == range);
  static_assert(range.until(10).is_empty());
  static_assert(range.clipped_to({12, 3}) == ByteRange{12, 3});
  static_assert(range.clipped_to({20, 3}).is_empty());
  static_assert(range.clipped_to({0, 10}).is_empty());
  static_assert(range.clipped_to({}).is_empty());
  static_assert(ByteRange{8, 16}.is_multiple_of(8) && !ByteRange{8, 16}.is_multiple_of(16) && !ByteRange{16, 8}.is_multiple_of(16));
}

// PMEM blanks what another grant still covers (its weakness 9).
TEST_CASE("what two grants cover is covered until both are gone") {
  Grants<4> grants;
  grants.add({0, 8});
  grants.add({4, 8});
  grants.add({4, 8});
  CHECK(grants.first_covered({0, 32}) == ByteRange{0, 12});
  CHECK(grants.remove({0, 8}));
  CHECK(grants.first_covered({0, 32}) == ByteRange{4, 8});
  CHECK(grants.remove({4, 8}));
  CHECK(grants.first_covered({0, 32}) == ByteRange{4, 8});
  CHECK(grants.remove({4, 8}));
  CHECK(grants.first_covered({0, 32}).is_empty());
  CHECK(grants.first_gap({0, 32}) == ByteRange{0, 32});
}

TEST_CASE("only what is there is removed, and it is listed newest first") {
  Grants<4> grants;
  for (const ByteRange range : {ByteRange{0, 4}, ByteRange{8, 4}, ByteRange{0, 4}, ByteRange{4, 8}}) grants.add(range);
  CHECK(grants.is_full());
  CHECK(!grants.remove({0, 8}));
  CHECK(!grants.remove({8, 8}));
  CHECK(!grants.remove({0, 2}));
  const auto list = [&] {
    std::vector<ByteRange> ranges;
    grants.for_each([&](const ByteRange& range) { ranges.push_back(range); });
    return ranges;
  };
  CHECK(list() == std::vector<ByteRange>{{4, 8}, {0, 4}, {8, 4}, {0, 4}});
  CHECK(grants.remove({0, 4}));
  CHECK(list() == std::vector<ByteRange>{{4, 8}, {8, 4}, {0, 4}});
  CHECK(grants.remove({0, 4}));
  CHECK(!grants.remove({0, 4}));
  CHECK(grants.count() == 2);
}

TEST_CASE("runs and gaps are those of a count for each byte") {
  Random random(seed());
  for (int round = 0; round < some_of(40); ++round) {
    Grants<7> grants;
    Naive<24> naive;
    std::vector<ByteRange> live;
    for (int step = 0; step < 60; ++step) {
      if (!grants.is_full() && (live.empty() || random.chance(60))) {
        const std::uint64_t first = random.below(24);
        const ByteRange range{first, random.from_to(1, 24 - first)};
        grants.add(range), naive.add(range, 1), live.push_back(range);
      } else {
        const auto gone = static_cast<std::size_t>(random.below(live.size()));
        REQUIRE(grants.remove(live[gone]));
        naive.add(live[gone], -1);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(gone));
      }
      REQUIRE(grants.count() == live.size());
      check_all(grants, naive);
    }
  }
}

// 5 bytes have 15 ranges: 30 things can be done, and every 4 of them in a row are; in a slow build every 3, and then some.
TEST_CASE("all that 4 grants and withdrawals can do to 5 granules") {
  std::vector<ByteRange> ranges;
  for (std::uint64_t first = 0; first < 5; ++first) {
    for (std::uint64_t end = first + 1; end <= 5; ++end) ranges.push_back(ByteRange::between(first, end));
  }
  Grants<4> grants;
  Naive<5> naive;
  std::uint64_t sequences = 0;
  Turns turns;
  const auto check = [&] {
    std::uint64_t covered = 0;
    const ByteRange whole{0, 5};
    for (ByteRange run = grants.first_covered(whole); !run.is_empty(); run = grants.first_covered(whole.from(run.end()))) {
      for (std::uint64_t at = run.offset.value(); at < run.end().value(); ++at) covered |= std::uint64_t{1} << at;
    }
    std::uint64_t gaps = 0;
    for (ByteRange run = grants.first_gap(whole); !run.is_empty(); run = grants.first_gap(whole.from(run.end()))) {
      for (std::uint64_t at = run.offset.value(); at < run.end().value(); ++at) gaps |= std::uint64_t{1} << at;
    }
    std::uint64_t expected = 0;
    for (std::size_t at = 0; at < 5; ++at) expected |= std::uint64_t{naive.covers[at] != 0} << at;
    return covered == expected && (covered ^ gaps) == 31;
  };
  const auto go = [&](auto&& self, int depth) -> bool {
    if (!check()) return false;
    if (depth == 4) return ++sequences, true;
    for (const ByteRange& range : ranges) {
      if (depth == 3 && !turns.is_next()) continue;
      grants.add(range), naive.add(range, 1);
      if (!self(self, depth + 1)) return false;
      if (!grants.remove(range)) return false;
      naive.add(range, -1);
      const Grants<4> before = grants;
      const bool is_there = grants.remove(range);
      if (is_there) naive.add(range, -1);
      if (!self(self, depth + 1)) return false;
      if (is_there) naive.add(range, 1);
      grants = before;
    }
    return true;
  };
  CHECK(go(go, 0));
  CHECK(sequences == 2 * some_of(405'000U));
}
