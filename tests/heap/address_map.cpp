#include <freestone/heap/address_map.hpp>

#include <doctest/doctest.h>

#include <cstdint>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("ranges are found by every byte of theirs, and by no other") {
  Random random(seed());
  for (int round = 0; round < 200; ++round) {
    AddressMap<8> map;
    std::uint64_t owner[256];
    for (std::uint64_t& one : owner) one = 99;
    for (std::size_t heap = 0; heap < random.below(9); ++heap) {
      const std::uint64_t first = random.below(240);
      const std::uint64_t size = random.from_to(0, 16);
      bool is_free = true;
      for (std::uint64_t at = first; at < first + size; ++at) is_free = is_free && owner[at] == 99;
      if (!is_free) continue;
      map.add(first, size, heap);
      for (std::uint64_t at = first; at < first + size; ++at) owner[at] = heap;
    }
    for (std::uint64_t at = 0; at < 256; ++at) {
      const auto found = map.find(at);
      CHECK(found.has_value() == (owner[at] != 99));
      if (!found) continue;
      CHECK(found->heap == owner[at]);
      const std::uint64_t first = at - found->offset.value();
      CHECK(owner[first] == owner[at]);
      CHECK((first == 0 || owner[first - 1] != owner[at]));
    }
  }
}

TEST_CASE("the last byte of the address space") {
  AddressMap<2> map;
  map.add(~std::uint64_t{0xfff}, 4096, 1);
  CHECK(map.find(~std::uint64_t{0})->offset == Bytes(4095));
  CHECK(!map.find(0));
}

TEST_CASE("no more ranges than it has room for, and where in a whole of several each begins") {
  AddressMap<2> map;
  CHECK(map.add(0x2000, 0x1000, 7));
  CHECK(map.add(0x3000, 0, 8));
  CHECK(map.add(0x8000, 0x1000, 7, 0x5000));
  CHECK(!map.add(0xa000, 0x1000, 9));
  CHECK(map.find(0x8010)->offset == Bytes(0x5010));
  CHECK(map.find(0x8010)->heap == 7);
  CHECK(!map.find(0xa000));
}
