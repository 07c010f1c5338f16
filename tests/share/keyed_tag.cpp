#include <freestone/share/keyed_tag.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <vector>

using namespace freestone;

TEST_CASE("what another implementation of SipHash-1-3 says") {
  // Python 3.11 with PYTHONHASHSEED=0 (a key of zeros): hash(bytes(range(16))), hash(bytes(16)).
  CHECK(keyed_tag({0, 0}, 0x0706050403020100, 0x0f0e0d0c0b0a0908) == 0x8972188433a5c5b7);
  CHECK(keyed_tag({0, 0}, 0, 0) == 0x76be999e3e25b2a0);
  static_assert(keyed_tag({0, 0}, 0, 0) == 0x76be999e3e25b2a0);
}

TEST_CASE("one bit of the key or of a word changes half of the tag") {
  int changed = 0;
  for (int bit = 0; bit < 64; ++bit) {
    const std::uint64_t one = std::uint64_t{1} << bit;
    for (const std::uint64_t tag : {keyed_tag({1 ^ one, 2}, 3, 4), keyed_tag({1, 2 ^ one}, 3, 4), keyed_tag({1, 2}, 3 ^ one, 4), keyed_tag({1, 2}, 3, 4 ^ one)}) {
      changed += std::popcount(tag ^ keyed_tag({1, 2}, 3, 4));
    }
  }
  CHECK(changed > 64 * 4 * 30);
  CHECK(changed < 64 * 4 * 34);
}

TEST_CASE("a permutation gives each number once, and whoever sees some cannot tell the next by a step") {
  for (unsigned bits = 1; bits <= 18; ++bits) {
    std::vector<bool> given(std::size_t{1} << bits);
    std::map<std::uint32_t, int> steps;
    std::uint32_t last = 0;
    for (std::uint32_t number = 0; number < given.size(); ++number) {
      const std::uint32_t one = keyed_permutation({3, 4}, 5, bits, number);
      REQUIRE(one < given.size());
      REQUIRE(!given[one]);
      given[one] = true;
      ++steps[one - last];
      last = one;
    }
    if (bits < 12) continue;
    int most = 0;
    for (const auto& [step, times] : steps) most = times > most ? times : most;
    CHECK(most < 16);  // by chance some 7
  }
}

TEST_CASE("permutations of other keys and of other places are others") {
  int same_place = 0, same_key = 0;
  for (std::uint32_t number = 0; number < 4096; ++number) {
    same_place += keyed_permutation({3, 4}, 5, 15, number) == keyed_permutation({3, 5}, 5, 15, number);
    same_key += keyed_permutation({3, 4}, 5, 15, number) == keyed_permutation({3, 4}, 6, 15, number);
  }
  CHECK(same_place < 5);
  CHECK(same_key < 5);
  for (const std::uint32_t number : {0U, 1U, 0x7fff'ffffU, 0xffff'ffffU}) {
    CHECK(keyed_permutation({3, 4}, 5, 32, number) != keyed_permutation({3, 4}, 5, 32, number ^ 1));
    CHECK(keyed_permutation({3, 4}, 5, 31, number & 0x7fff'ffffU) < 0x8000'0000U);
  }
}

TEST_CASE("a key of zeros is none") {
  CHECK(!TagKey());
  CHECK(TagKey{1, 0});
  CHECK(TagKey{0, std::uint64_t{1} << 63});
}

TEST_CASE("derived keys are each another") {
  for (std::uint64_t number = 1; number < 100; ++number) {
    const TagKey one = derived_key({5, 6}, number);
    const TagKey next = derived_key({5, 6}, number + 1);
    CHECK(one.low != next.low);
    CHECK(one.high != next.high);
    CHECK(one.low != one.high);
  }
}
