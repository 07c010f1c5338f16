#include <freestone/heap/block_source.hpp>

#include <doctest/doctest.h>

#include <cstdint>

#include <freestone/core/bits.hpp>
#include "support/random.hpp"

using namespace freestone;

TEST_CASE("does a block lie as the constraints want? Beside a look at each byte") {
  tests::Random random(tests::seed());
  const auto some = [&](unsigned log2) {
    return random.chance(80) ? std::uint64_t{1} << random.below(log2) : random.below(70);
  };
  unsigned well = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t first = random.below(200);
    const std::uint64_t size = 1 + random.below(40);
    Constraints wanted{.align = some(5), .bounds = {.boundary = some(8)}};
    if (random.chance(50)) wanted.bounds.last = random.below(250);
    const std::uint64_t align = wanted.align.value();
    const std::uint64_t boundary = wanted.bounds.boundary.value();
    bool expected = align == 0 || (bits::is_power_of_two(align) && first % align == 0);
    if (boundary != 0 && !bits::is_power_of_two(boundary)) expected = false;
    for (std::uint64_t at = first; at < first + size; ++at) {
      if (at > wanted.bounds.last) expected = false;
      if (boundary != 0 && at / boundary != first / boundary) expected = false;
    }
    REQUIRE((detail::is_aligned({}, 4, first, align) && detail::is_within(wanted.bounds, first, size)) == expected);
    well += expected;
  }
  CHECK(well > 1'000);
  const std::uint64_t top = ~std::uint64_t{0};
  CHECK(detail::is_aligned({}, 4096, top - 4095, 4096));
  CHECK(detail::is_within({.boundary = 4096}, top - 4095, 4096));
  CHECK(!detail::is_within({.last = top - 1}, top - 4095, 4096));
}

TEST_CASE("alignments of granules where the strategy has them, and none beyond what the backing keeps") {
  const ZoneAbilityFlags any{.any_alignment = true};
  CHECK(detail::is_aligned(any, 4096, 3 * 4096, 3 * 4096));
  CHECK(detail::is_aligned(any, 4096, 9 * 4096, 3 * 4096));
  CHECK(!detail::is_aligned(any, 4096, 4096, 3 * 4096));
  CHECK(!detail::is_aligned(any, 4096, 3 * 4096, 3));  // which a zone refuses
  CHECK(detail::is_aligned(any, 4096, 4096, 2));
  CHECK(!detail::is_aligned({}, 4096, 3 * 4096, 3 * 4096));
  const ZoneAbilityFlags small{.most_alignment = 8192};
  CHECK(detail::is_aligned(small, 4096, 65536, 8192));
  CHECK(!detail::is_aligned(small, 4096, 65536, 16384));
  CHECK(detail::is_aligned(small, 4096, 65536, 0));
}

TEST_CASE("the kind of memory") {
  const HeapTraits heap{.cacheability = Cacheability::uncached, .exportable = false};
  CHECK(detail::is_of_kind(heap, {}));
  CHECK(detail::is_of_kind(heap, {.cacheability = Cacheability::uncached}));
  CHECK(!detail::is_of_kind(heap, {.cacheability = Cacheability::cached}));
  CHECK(!detail::is_of_kind(heap, {.exportable = true}));
}
