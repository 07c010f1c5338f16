#include <freestone/core/max_tree.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "support/random.hpp"

using namespace freestone;

namespace {

using tests::Random;

// A tree and the row that it should be.
class Pair {
 public:
  explicit Pair(std::uint64_t count)
      : row_(static_cast<std::size_t>(count)), words_(MaxTree::words_for(count) + 1, 0), tree_(words_.data(), count) {
    words_.back() = canary;
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  void set(std::uint64_t index, std::uint64_t number) {
    std::uint64_t& old = row_[static_cast<std::size_t>(index)];
    number > old ? tree_.raise(index, number) : tree_.lower(index, number);
    old = number;
  }

  bool agree_about(std::uint64_t index, std::uint64_t bound) const {
    return tree_.first_from(index, bound) == first_from(index, bound) && tree_.last_to(index, bound) == last_to(index, bound);
  }
  bool agree(std::uint64_t bound) const {
    for (std::uint64_t index = 0; index < row_.size(); ++index) {
      if (!agree_about(index, bound) || tree_.at(index) != row_[static_cast<std::size_t>(index)]) return false;
    }
    return agree_about(row_.size(), bound) && tree_.first(bound) == first_from(0, bound) &&
           tree_.largest() == *std::max_element(row_.begin(), row_.end()) && words_.back() == canary;
  }
  bool is_as_at_start() const {
    return std::all_of(words_.begin(), words_.end() - 1, [](std::uint64_t word) { return word == 0; });
  }

 private:
  static constexpr std::uint64_t canary = 0xC0FFEE00C0FFEE00;

  std::uint64_t first_from(std::uint64_t index, std::uint64_t bound) const {
    for (; index < row_.size(); ++index) {
      if (row_[static_cast<std::size_t>(index)] >= bound) return index;
    }
    return MaxTree::none;
  }
  std::uint64_t last_to(std::uint64_t index, std::uint64_t bound) const {
    for (index = std::min<std::uint64_t>(index + 1, row_.size()); index-- > 0;) {
      if (row_[static_cast<std::size_t>(index)] >= bound) return index;
    }
    return MaxTree::none;
  }

  std::vector<std::uint64_t> row_;
  std::vector<std::uint64_t> words_;
  MaxTree tree_;
};

constexpr bool in_constant_evaluation() {
  std::uint64_t words[MaxTree::words_for(40)] = {};
  MaxTree tree(words, 40);
  tree.raise(17, 5);
  tree.raise(39, 9);
  tree.raise(3, MaxTree::most);
  tree.lower(3, 4);
  return tree.first(5) == 17 && tree.first(6) == 39 && tree.first(10) == MaxTree::none && tree.largest() == 9 &&
         tree.last_to(38, 1) == 17 && tree.last_to(16, 1) == 3 && tree.first_from(18, 1) == 39;
}
static_assert(in_constant_evaluation());

}  // namespace

TEST_CASE("every row of a few numbers") {
  for (const std::uint64_t count : {1U, 2U, 3U}) {
    Pair pair(count);
    for (std::uint64_t numbers = 0; numbers < 64; ++numbers) {
      for (std::uint64_t i = 0; i < count; ++i) pair.set(i, numbers >> (2 * i) & 3);
      for (std::uint64_t bound = 1; bound <= 4; ++bound) REQUIRE(pair.agree(bound));
    }
  }
}

TEST_CASE("rows of every length up to one of three levels, and some beyond") {
  Random random(20080923);
  for (std::uint64_t count = 1; count < 5000; count += count < 300 ? 1 : 997) {
    Pair pair(count);
    for (int i = 0; i < 40; ++i) {
      const std::uint64_t most = random.chance(50) ? 3 : MaxTree::most;
      pair.set(random.below(count), random.below(most + 1));
      if (i % 8 == 7) REQUIRE(pair.agree(random.from_to(1, most)));
    }
    for (std::uint64_t index = 0; index < count; ++index) pair.set(index, 0);
    REQUIRE(pair.is_as_at_start());
  }
}

TEST_CASE("the largest number and the one below it are told apart in every place") {
  Pair pair(300);
  for (std::uint64_t index = 0; index < 300; ++index) {
    pair.set(index, MaxTree::most);
    REQUIRE(pair.agree_about(0, MaxTree::most));
    pair.set(index, MaxTree::most - 1);
    REQUIRE(pair.agree_about(0, MaxTree::most));
    REQUIRE(pair.agree_about(299, MaxTree::most - 1));
    pair.set(index, 0);
  }
}

TEST_CASE("what words a row takes") {
  CHECK(MaxTree::words_for(1) == 4);
  CHECK(MaxTree::words_for(16) == 4);
  CHECK(MaxTree::words_for(17) == 4 * (1 + 2));
  CHECK(MaxTree::words_for(256) == 4 * (1 + 16));
  CHECK(MaxTree::words_for(257) == 4 * (1 + 16 + 17));
}
