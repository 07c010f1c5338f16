#include <freestone/core/bits.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "support/random.hpp"

using namespace freestone;

namespace {

using tests::Random;

// The same questions to one bool a bit.
class Plain {
 public:
  explicit Plain(std::uint64_t count) : bools_(static_cast<std::size_t>(count)) {}
  std::uint64_t size() const { return bools_.size(); }
  bool operator[](std::uint64_t i) const { return bools_[static_cast<std::size_t>(i)]; }
  void flip() { bools_.flip(); }
  std::vector<bool>::reference operator[](std::uint64_t i) { return bools_[static_cast<std::size_t>(i)]; }

 private:
  std::vector<bool> bools_;
};

std::uint64_t first_of(const Plain& plain, std::uint64_t from, std::uint64_t to, bool wanted) {
  for (std::uint64_t i = from; i < to; ++i) {
    if (plain[i] == wanted) return i;
  }
  return to;
}
std::uint64_t end_of_last(const Plain& plain, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t i = to; i > from; --i) {
    if (plain[i - 1]) return i;
  }
  return from;
}
bool same(const std::vector<std::uint64_t>& words, const Plain& plain) {
  for (std::uint64_t i = 0; i < plain.size(); ++i) {
    if (bits::test(words.data(), i) != plain[i]) return false;
  }
  return true;
}
bool scans_agree(const std::vector<std::uint64_t>& words, const Plain& plain, std::uint64_t from, std::uint64_t to) {
  return bits::first_set(words.data(), from, to) == first_of(plain, from, to, true) &&
         bits::first_clear(words.data(), from, to) == first_of(plain, from, to, false) &&
         bits::end_of_last_set(words.data(), from, to) == end_of_last(plain, from, to);
}

constexpr std::array<std::uint64_t, 13> edges{0, 1, 2, 31, 32, 62, 63, 64, 65, 127, 128, 129, 192};

constexpr bool works_in_constant_evaluation = [] {
  std::array<std::uint64_t, 3> words{};
  bits::set_range(words.data(), 63, 130);
  bits::clear_range(words.data(), 64, 65);
  return bits::first_set(words.data(), 0, 192) == 63 && bits::first_clear(words.data(), 63, 192) == 64 &&
         bits::end_of_last_set(words.data(), 0, 192) == 130 && words[1] == (bits::all ^ 1) && words[2] == 3;
}();
static_assert(works_in_constant_evaluation);
static_assert(bits::remainder(bits::all, 10) == 5 && bits::remainder(bits::all, 16) == 15);

}  // namespace

TEST_CASE("one bit is one bit of one word") {
  for (const std::uint64_t bit : {0U, 1U, 63U, 64U, 65U, 127U, 128U}) {
    std::array<std::uint64_t, 3> words{};
    bits::set(words.data(), bit);
    CHECK(words[bits::word_of(bit)] == std::uint64_t{1} << bit % 64);
    CHECK(bits::test(words.data(), bit));
    bits::clear(words.data(), bit);
    CHECK(words == std::array<std::uint64_t, 3>{});
  }
}

TEST_CASE("every range between the edges of words, empty and full ones too") {
  for (const std::uint64_t from : edges) {
    for (const std::uint64_t to : edges) {
      if (to < from) continue;
      CAPTURE(from);
      CAPTURE(to);
      std::vector<std::uint64_t> words(3);
      Plain plain(192);
      bits::set_range(words.data(), from, to);
      for (std::uint64_t i = from; i < to; ++i) plain[i] = true;
      CHECK(same(words, plain));
      for (const std::uint64_t low : edges) CHECK((low > to || scans_agree(words, plain, low, to)));
      CHECK(scans_agree(words, plain, 0, 192));
      words.assign(3, bits::all);
      plain.flip();
      bits::clear_range(words.data(), from, to);
      CHECK(same(words, plain));
      CHECK(scans_agree(words, plain, 0, 192));
    }
  }
}

TEST_CASE("random ranges against one bool a bit") {
  Random random(tests::seed());
  std::vector<std::uint64_t> words(5);
  Plain plain(320);
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t from = random.below(321);
    const std::uint64_t to = random.from_to(from, 320);
    const bool value = random.chance(50);
    value ? bits::set_range(words.data(), from, to) : bits::clear_range(words.data(), from, to);
    for (std::uint64_t i = from; i < to; ++i) plain[i] = value;
    const std::uint64_t low = random.below(321);
    REQUIRE(scans_agree(words, plain, low, random.from_to(low, 320)));
    REQUIRE(same(words, plain));
  }
}

TEST_CASE("words for bits") {
  CHECK(bits::words_for(0) == 0);
  CHECK(bits::words_for(1) == 1);
  CHECK(bits::words_for(64) == 1);
  CHECK(bits::words_for(65) == 2);
  if constexpr (sizeof(std::size_t) == 8) {
    CHECK(bits::words_for(~std::uint64_t{0}) == std::size_t{1} << 58);
  } else {
    CHECK(bits::words_for(~std::uint64_t{0}) == SIZE_MAX);
  }
}

TEST_CASE("sums saturate") {
  CHECK(bits::add_saturating(2, 3) == 5);
  CHECK(bits::add_saturating(SIZE_MAX, 0) == SIZE_MAX);
  CHECK(bits::add_saturating(SIZE_MAX - 1, 1) == SIZE_MAX);
  CHECK(bits::add_saturating(SIZE_MAX, 1) == SIZE_MAX);
  CHECK(bits::add_saturating(SIZE_MAX, SIZE_MAX) == SIZE_MAX);
}

TEST_CASE("powers of two") {
  CHECK(!bits::is_power_of_two(0));
  CHECK(bits::is_power_of_two(1));
  CHECK(!bits::is_power_of_two(3));
  CHECK(bits::is_power_of_two(std::uint64_t{1} << 63));
  CHECK(!bits::is_power_of_two(bits::all));
  CHECK(bits::floor_log2(1) == 0);
  CHECK(bits::floor_log2(7) == 2);
  CHECK(bits::floor_log2(8) == 3);
  CHECK(bits::floor_log2(bits::all) == 63);
  CHECK(bits::ceil_log2(0) == 0);
  CHECK(bits::ceil_log2(1) == 0);
  CHECK(bits::ceil_log2(2) == 1);
  CHECK(bits::ceil_log2(3) == 2);
  CHECK(bits::ceil_log2(8) == 3);
  CHECK(bits::ceil_log2(9) == 4);
  CHECK(bits::ceil_log2(bits::all) == 64);
}

TEST_CASE("rounding up") {
  CHECK(bits::align_up(0, 8) == 0);
  CHECK(bits::align_up(1, 8) == 8);
  CHECK(bits::align_up(8, 8) == 8);
  CHECK(bits::align_up(9, 1) == 9);
  CHECK(bits::align_up(bits::all, 8) == 0);  // there is none
}

TEST_CASE("a remainder is that of a division, whatever it divides by") {
  for (std::uint64_t by = 1; by <= 70; ++by) {
    for (std::uint64_t n = 0; n <= 300; ++n) REQUIRE(bits::remainder(n, by) == n % by);
  }
  for (const std::uint64_t by : {bits::all, bits::all - 1, bits::all / 2, bits::all / 2 + 1, bits::all / 2 + 2}) {
    for (const std::uint64_t n : {by - 1, by, by + 1, bits::all - 1, bits::all})
      REQUIRE(bits::remainder(n, by) == n % by);
  }
  Random random(tests::seed());
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t n = random.next() >> random.below(64);
    const std::uint64_t by = (random.next() >> random.below(64)) | 1U << random.below(2);
    REQUIRE(bits::remainder(n, by) == n % by);
  }
}

TEST_CASE("runs within one word, against a walk over it") {
  const auto longest = [](std::uint64_t word) {
    std::uint64_t most = 0;
    for (std::uint64_t run = 0, bit = 0; bit < 64; ++bit) {
      run = (word >> bit & 1) != 0 ? run + 1 : 0;
      most = std::max(most, run);
    }
    return most;
  };
  const auto starts = [](std::uint64_t word, std::uint64_t n) {
    std::uint64_t found = 0;
    for (std::uint64_t bit = 0; bit + n <= 64; ++bit) {
      const std::uint64_t run = n == 64 ? bits::all : ((std::uint64_t{1} << n) - 1) << bit;
      if ((word & run) == run) found |= std::uint64_t{1} << bit;
    }
    return found;
  };
  std::vector<std::uint64_t> words{0, 1, bits::all, bits::all >> 1, bits::all << 1, 0x5555555555555555, 0xF0F0F0F0F0F0F0F0};
  tests::Random random(7);
  for (int i = 0; i < 300; ++i) {
    std::uint64_t word = random.next();
    for (std::uint64_t times = random.below(4); times != 0; --times) word |= random.next() | word << 1;
    words.push_back(word);
  }
  for (const std::uint64_t word : words) {
    REQUIRE(bits::longest_run(word) == std::min<std::uint64_t>(longest(word), 63));
    for (std::uint64_t n = 1; n <= 64; ++n) REQUIRE(bits::starts_of_runs(word, n) == starts(word, n));
  }
}
