#include <freestone/share/keyed_tag.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <initializer_list>

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

TEST_CASE("derived keys are each another") {
  for (std::uint64_t number = 1; number < 100; ++number) {
    const TagKey one = derived_key({5, 6}, number);
    const TagKey next = derived_key({5, 6}, number + 1);
    CHECK(one.low != next.low);
    CHECK(one.high != next.high);
    CHECK(one.low != one.high);
  }
}
