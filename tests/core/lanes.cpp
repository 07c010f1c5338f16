#include <freestone/core/lanes.hpp>

#include <algorithm>
#include <array>
#include <cstdint>

#include <doctest/doctest.h>

#include "support/random.hpp"

using namespace freestone;

namespace {

using tests::Random;
using Row = std::array<std::uint64_t, lanes::count>;

// The lanes and the row that they should be.
struct Pair {
  alignas(8) std::uint64_t words[lanes::words] = {};
  Row row = {};

  void set(unsigned lane, std::uint64_t number) {
    lanes::set(words, lane, number);
    row[lane] = number;
  }
  bool agree() const {
    for (unsigned lane = 0; lane < lanes::count; ++lane) {
      if (lanes::at(words, lane) != row[lane] || lanes::largest_but(words, lane) != largest_but(lane)) return false;
    }
    return lanes::largest(words) == *std::max_element(row.begin(), row.end()) && lanes::largest(words) == by_words();
  }
  bool agree_about(std::uint64_t bound) const {
    const unsigned found = lanes::reaching(words, bound);
    for (unsigned lane = 0; lane < lanes::count; ++lane) {
      if ((found >> lane & 1) != (row[lane] >= bound)) return false;
    }
    return found >> lanes::count == 0 && found == reaching_by_words(bound);
  }

 private:
  std::uint64_t largest_but(unsigned left_out) const {
    Row rest = row;
    rest[left_out] = 0;
    return *std::max_element(rest.begin(), rest.end());
  }
  // What targets without vectors do.
  std::uint64_t by_words() const { return lanes::detail::largest(words[0], words[1], words[2], words[3]); }
  unsigned reaching_by_words(std::uint64_t bound) const {
    unsigned found = 0;
    for (unsigned i = 0; i < lanes::words; ++i)
      found |= lanes::detail::reaching(words[i], lanes::detail::in_each * bound) << (4 * i);
    return found;
  }
};

constexpr bool in_constant_evaluation() {
  std::uint64_t words[lanes::words] = {};
  lanes::set(words, 3, 7);
  lanes::set(words, 14, lanes::most);
  lanes::set(words, 14, 6);
  return lanes::at(words, 14) == 6 && lanes::largest(words) == 7 && lanes::largest_but(words, 3) == 6 &&
         lanes::reaching(words, 6) == (1U << 3 | 1U << 14) && words[0] == std::uint64_t{7} << 48;
}
static_assert(in_constant_evaluation());

}  // namespace

TEST_CASE("every lane alone, with the numbers at both ends") {
  for (unsigned lane = 0; lane < lanes::count; ++lane) {
    for (const std::uint64_t number : {std::uint64_t{1}, std::uint64_t{0x4000}, lanes::most - 1, lanes::most}) {
      Pair pair;
      pair.set(lane, number);
      CHECK(pair.agree());
      for (const std::uint64_t bound : {std::uint64_t{1}, number, std::min(number + 1, lanes::most), lanes::most})
        CHECK(pair.agree_about(bound));
    }
  }
}

TEST_CASE("lanes by vectors, by words and one by one") {
  Random random(20260131);
  for (int round = 0; round < 20'000; ++round) {
    Pair pair;
    const std::uint64_t most = random.chance(50) ? 3 : lanes::most;  // few numbers: many are the same
    for (unsigned lane = 0; lane < lanes::count; ++lane) pair.set(lane, random.below(most + 1));
    pair.set(static_cast<unsigned>(random.below(lanes::count)), random.below(most + 1));
    REQUIRE(pair.agree());
    REQUIRE(pair.agree_about(random.from_to(1, most)));
  }
}
