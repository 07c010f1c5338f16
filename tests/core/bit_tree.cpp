#include <freestone/core/bit_tree.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "support/random.hpp"

using namespace freestone;

namespace {

using tests::Random;

// A tree and the set that it should be.
class Pair {
 public:
  explicit Pair(std::uint64_t limit)
      : limit_(limit), words_(BitTree::words_for(limit) + 1, 0), tree_(words_.data(), limit) {
    words_.back() = canary;
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  void insert(std::uint64_t number) {
    tree_.insert(number);
    set_.insert(number);
  }
  void erase(std::uint64_t number) {
    tree_.erase(number);
    set_.erase(number);
  }

  bool agree_about(std::uint64_t number) const {
    const auto next = set_.lower_bound(number);
    const auto after = set_.upper_bound(number);
    return tree_.first_from(number) == (next == set_.end() ? BitTree::none : *next) &&
           tree_.last_to(number) == (after == set_.begin() ? BitTree::none : *std::prev(after));
  }
  bool agree_about_all() const {
    for (std::uint64_t number = 0; number <= limit_; ++number) {
      if (!agree_about(number)) return false;
    }
    return agree_about(BitTree::none) && agree_about(std::uint64_t{1} << 63);
  }
  // No bit of any level is left, nor was any word behind them written.
  bool is_as_at_start() const {
    return words_.back() == canary &&
           std::all_of(words_.begin(), words_.end() - 1, [](std::uint64_t w) { return w == 0; });
  }
  const std::vector<std::uint64_t>& words() const { return words_; }
  const std::set<std::uint64_t>& set() const { return set_; }
  std::uint64_t limit() const { return limit_; }

 private:
  static constexpr std::uint64_t canary = 0xC0FFEE00C0FFEE00;

  std::uint64_t limit_;
  std::vector<std::uint64_t> words_;
  BitTree tree_;
  std::set<std::uint64_t> set_;
};

// Where words and levels begin and end.
std::set<std::uint64_t> edges_below(std::uint64_t limit) {
  std::set<std::uint64_t> edges{0, limit - 1, limit / 2};
  for (std::uint64_t step = 64; step < limit; step *= 64) {
    for (const std::uint64_t edge : {step - 1, step, step + 1, limit / step * step - 1, limit / step * step}) {
      if (edge < limit) edges.insert(edge);
    }
  }
  return edges;
}

constexpr std::array<std::uint64_t, 14> limits{1,    2,    63,   64,     65,      100,     128,
                                               4095, 4096, 4097, 10'000, 262'143, 262'144, 262'145};

constexpr bool works_in_constant_evaluation = [] {
  std::array<std::uint64_t, BitTree::words_for(4097)> words{};
  BitTree tree(words.data(), 4097);
  tree.insert(4096);
  tree.insert(70);
  tree.insert(3);
  tree.erase(70);
  return tree.first_from(0) == 3 && tree.first_from(4) == 4096 && tree.last_to(4095) == 3 &&
         tree.last_to(2) == BitTree::none;
}();
static_assert(works_in_constant_evaluation);

}  // namespace

TEST_CASE("a word for every 64 numbers, and for every 64 words of the level below, up to a single one") {
  CHECK(BitTree::words_for(1) == 1);
  CHECK(BitTree::words_for(64) == 1);
  CHECK(BitTree::words_for(65) == 2 + 1);
  CHECK(BitTree::words_for(4096) == 64 + 1);
  CHECK(BitTree::words_for(4097) == 65 + 2 + 1);
  CHECK(BitTree::words_for(262'144) == 4096 + 64 + 1);
  CHECK(BitTree::words_for(262'145) == 4097 + 65 + 2 + 1);
  if constexpr (sizeof(std::size_t) == 8) {
    CHECK(BitTree::words_for(std::uint64_t{1} << 36) == (1 << 30) + (1 << 24) + (1 << 18) + (1 << 12) + 64 + 1);
  } else {
    CHECK(BitTree::words_for(std::uint64_t{1} << 40) == SIZE_MAX);
    CHECK(BitTree::words_for(~std::uint64_t{0}) == SIZE_MAX);
  }
}

TEST_CASE("an empty set has no first and no last") {
  for (const std::uint64_t limit : limits) {
    const Pair pair(limit);
    for (const std::uint64_t number : edges_below(limit)) CHECK(pair.agree_about(number));
    CHECK(pair.agree_about(limit));
  }
}

TEST_CASE("every set of edges of two, and what is around them") {
  for (const std::uint64_t limit : limits) {
    const auto edges = edges_below(limit);
    for (const std::uint64_t low : edges) {
      for (const std::uint64_t high : edges) {
        Pair pair(limit);
        pair.insert(low);
        pair.insert(high);
        for (const std::uint64_t number : edges) REQUIRE(pair.agree_about(number));
        for (const std::uint64_t beyond : {limit, limit + 1, limit + 64, BitTree::none})
          REQUIRE(pair.agree_about(beyond));
        pair.erase(low);
        for (const std::uint64_t number : edges) REQUIRE(pair.agree_about(number));
        pair.erase(high);
        REQUIRE(pair.is_as_at_start());
      }
    }
  }
}

TEST_CASE("every set of numbers below 10") {
  for (std::uint64_t members = 0; members < 1024; ++members) {
    Pair pair(10);
    for (std::uint64_t number = 0; number < 10; ++number) {
      if (bits::test(&members, number)) pair.insert(number);
    }
    REQUIRE(pair.agree_about_all());
  }
}

TEST_CASE("every number alone, and every number missing") {
  for (const std::uint64_t limit : {63U, 64U, 65U, 200U}) {
    Pair one(limit);
    Pair others(limit);
    for (std::uint64_t number = 0; number < limit; ++number) others.insert(number);
    for (std::uint64_t number = 0; number < limit; ++number) {
      one.insert(number);
      others.erase(number);
      REQUIRE(one.agree_about_all());
      REQUIRE(others.agree_about_all());
      one.erase(number);
      others.insert(number);
    }
  }
}

TEST_CASE("once more changes nothing, and neither does the erasure of what is not there") {
  for (const std::uint64_t limit : {64U, 65U, 4097U}) {
    Pair pair(limit);
    pair.erase(0);
    pair.erase(limit - 1);
    CHECK(pair.is_as_at_start());
    pair.insert(limit - 1);
    const auto before = pair.words();
    pair.insert(limit - 1);
    pair.erase(0);
    pair.erase(limit - 2);
    CHECK(pair.words() == before);
    CHECK(pair.agree_about_all());
  }
}

TEST_CASE("random calls against an ordered set") {
  Random random(tests::seed());
  for (const std::uint64_t limit : limits) {
    Pair pair(limit);
    for (int step = 0; step < 20'000; ++step) {
      // Mostly close together, so that words fill and empty; growing and shrinking by turns.
      const std::uint64_t number =
          random.chance(70) ? random.below(std::min<std::uint64_t>(limit, 200)) : random.below(limit);
      random.chance(step / 1000 % 2 == 0 ? 70 : 20) ? pair.insert(number) : pair.erase(number);
      REQUIRE(pair.agree_about(random.below(limit + 2)));
      REQUIRE(pair.agree_about(number));
    }
    while (!pair.set().empty()) pair.erase(*pair.set().begin());
    CHECK(pair.is_as_at_start());
  }
}

namespace {

// Three trees of one height, numbered 0, 5 and 2, and the sets that they should be. Each has its own range of numbers.
class Sets {
 public:
  struct Range {
    unsigned set;
    std::uint64_t lowest;
    std::uint64_t highest;
  };

  explicit Sets(std::uint64_t lowest, std::uint64_t count)
      : ranges_{{{0, lowest, lowest + count - 1}, {5, lowest / 2, (lowest + count - 1) / 2}, {2, 0, 0}}},
        words_(words(count, BitTrees::height_for(ranges_[0].highest)) + 1, 0),
        trees_(words_.data(), BitTrees::height_for(ranges_[0].highest)) {
    std::uint64_t word = BitTrees::words_before_levels(6, BitTrees::height_for(ranges_[0].highest));
    for (const Range& range : ranges_) word = trees_.lay_out(range.set, range.lowest, range.highest, word);
    REQUIRE(word <= words_.size() - 1);
    words_.back() = canary;
    start_ = words_;
  }
  Sets(const Sets&) = delete;
  Sets& operator=(const Sets&) = delete;

  const std::array<Range, 3>& ranges() const { return ranges_; }
  std::set<std::uint64_t>& members(const Range& range) { return sets_[range.set]; }
  BitTrees& trees() { return trees_; }

  void insert(const Range& range, std::uint64_t number) {
    members(range).empty() ? trees_.insert_only(range.set, number) : trees_.insert(range.set, number);
    members(range).insert(number);
  }
  void erase(const Range& range, std::uint64_t number) {
    trees_.erase(range.set, number);
    members(range).erase(number);
  }
  bool take_lowest(const Range& range) {
    if (members(range).empty()) return true;
    const std::uint64_t lowest = *members(range).begin();
    members(range).erase(lowest);
    return trees_.take_lowest(range.set) == lowest;
  }
  bool agree_about(const Range& range, std::uint64_t number) {
    const auto& set = members(range);
    const auto next = set.lower_bound(number);
    const auto after = set.upper_bound(number);
    return trees_.contains(range.set, number) == set.contains(number) &&
           bits::test(&non_empty_, range.set) == !set.empty() &&
           trees_.first_from(range.set, number) == (next == set.end() ? BitTrees::none : *next) &&
           trees_.last_to(range.set, number) == (after == set.begin() ? BitTrees::none : *std::prev(after));
  }
  // What is non-empty, as it says now.
  void look() { non_empty_ = trees_.non_empty(); }
  bool is_as_at_start() const { return words_ == start_; }

 private:
  static constexpr std::uint64_t canary = 0xC0FFEE00C0FFEE00;
  static std::size_t words(std::uint64_t count, unsigned height) {
    return BitTrees::words_before_levels(6, height) + BitTrees::words_for_levels(count, height) +
           BitTrees::words_for_levels(count / 2 + 1, height) + BitTrees::words_for_levels(1, height);
  }

  std::array<Range, 3> ranges_;
  std::vector<std::uint64_t> words_;
  std::vector<std::uint64_t> start_;
  BitTrees trees_;
  std::array<std::set<std::uint64_t>, 6> sets_;
  std::uint64_t non_empty_ = 0;
};

}  // namespace

TEST_CASE("trees of one height: how high") {
  CHECK(BitTrees::height_for(0) == 1);
  CHECK(BitTrees::height_for(63) == 1);
  CHECK(BitTrees::height_for(64) == 2);
  CHECK(BitTrees::height_for(4095) == 2);
  CHECK(BitTrees::height_for(4096) == 3);
  CHECK(BitTrees::height_for(BitTrees::none) == BitTrees::most_height);
  CHECK(BitTrees::words_before_levels(20, 4) == 81);
  CHECK(BitTrees::words_for_levels(1, 3) == 3);
  CHECK(BitTrees::words_for_levels(2, 1) == 2);  // one in each of two words
  CHECK(BitTrees::words_for_levels(65, 1) == 2);
  CHECK(BitTrees::words_for_levels(66, 1) == 3);
  CHECK(BitTrees::words_for_levels(4096, 2) == 65 + 2);
}

TEST_CASE("trees of one height: random calls against ordered sets, each in its own range") {
  Random random(tests::seed());
  for (const std::uint64_t count : {1U, 2U, 64U, 65U, 130U, 4097U, 300'000U}) {
    for (const std::uint64_t lowest : {0U, 1U, 63U, 64U, 100U, 4095U, 262'143U}) {
      Sets sets(lowest, count);
      for (int step = 0; step < 3'000; ++step) {
        const Sets::Range& range = sets.ranges()[static_cast<std::size_t>(random.below(3))];
        const std::uint64_t length = range.highest - range.lowest + 1;
        const std::uint64_t near = std::min<std::uint64_t>(length, 200);
        const std::uint64_t number = range.lowest + random.below(random.chance(70) ? near : length);
        const bool grows = random.chance(step / 500 % 2 == 0 ? 70 : 20);
        if (grows) {
          sets.insert(range, number);
        } else if (random.chance(50)) {
          sets.erase(range, number);
        } else {
          REQUIRE(sets.take_lowest(range));
        }
        sets.look();
        for (const Sets::Range& other : sets.ranges()) {
          REQUIRE(sets.agree_about(other, other.lowest + random.below(other.highest - other.lowest + 1)));
        }
        REQUIRE(sets.agree_about(range, number));
        REQUIRE(sets.agree_about(range, range.lowest));
        REQUIRE(sets.agree_about(range, range.highest));
      }
      for (const Sets::Range& range : sets.ranges()) {
        while (!sets.members(range).empty()) REQUIRE(sets.take_lowest(range));
      }
      CHECK(sets.is_as_at_start());  // no bit of any level is left, nor was any word behind them written
    }
  }
}
