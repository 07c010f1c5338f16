#include <freestone/heap/constraints.hpp>

#include <doctest/doctest.h>

#include <cstdint>

using namespace freestone;

namespace {

// Is there a place in the empty heap at all? Tried one by one.
bool has_place(const HeapTraits& heap, const Constraints& wanted) {
  const std::uint64_t granule = heap.granule.value();
  const std::uint64_t align = wanted.align.value();
  const std::uint64_t boundary = wanted.bounds.boundary.value();
  const std::uint64_t granted = (wanted.size.value() + granule - 1) / granule * granule;
  const std::uint64_t kept = wanted.may_use_reserve ? 0 : heap.reserve.value();
  if (granted + kept > heap.size.value()) return false;
  for (std::uint64_t offset = 0; offset + granted <= heap.size.value(); offset += granule) {
    const std::uint64_t first = *heap.base + offset;
    const std::uint64_t last = first + (granted - 1);
    if (align != 0 && first % align != 0) continue;
    if (last > wanted.bounds.last) continue;
    if (boundary != 0 && first / boundary != last / boundary) continue;
    return true;
  }
  return false;
}

}  // namespace

TEST_CASE("what a heap can never meet: each base, size, alignment, boundary and limit of small ones") {
  for (const std::uint64_t granule : {1U, 2U}) {
    for (std::uint64_t base = 0; base < 12; base += granule) {
      for (std::uint64_t heap_size = granule; heap_size <= 10; heap_size += granule) {
        for (std::uint64_t size = 1; size <= 6; ++size) {
          for (const std::uint64_t align : {0U, 1U, 2U, 4U, 8U}) {
            for (const std::uint64_t boundary : {0U, 1U, 2U, 4U, 8U, 16U}) {
              for (std::uint64_t last = 0; last < 24; last += 1 + last / 8) {
                const HeapTraits heap{.size = heap_size, .granule = granule, .base = base, .reserve = base % 3 == 0 ? granule : 0};
                Constraints wanted{.size = size, .align = align, .bounds = {.last = last, .boundary = boundary}};
                wanted.may_use_reserve = base % 2 == 0;
                if (align > heap_size) continue;  // zones refuse it, wherever they lie
                const bool can = never_met(heap, wanted) == Constraint::none;
                if (can == has_place(heap, wanted)) continue;
                FAIL_CHECK("granule " << granule << " base " << base << " of " << heap_size << ": size " << size << " align "
                                      << align << " boundary " << boundary << " last " << last << " can " << can);
              }
            }
          }
        }
      }
    }
  }
}

TEST_CASE("at the top of the address space") {
  const std::uint64_t top = ~std::uint64_t{0};
  const HeapTraits heap{.size = 0x10000, .granule = 0x1000, .base = top - 0xffff};
  CHECK(never_met(heap, {.size = 0x10000}) == Constraint::none);
  CHECK(never_met(heap, {.size = 0x10000, .bounds = {.last = top - 1}}) == Constraint::address_limit);
  CHECK(never_met(heap, {.size = 0x8000, .align = 0x8000, .bounds = {.boundary = 0x8000}}) == Constraint::none);
  const HeapTraits odd{.size = 0xf000, .granule = 0x1000, .base = top - 0xefff};
  CHECK(never_met(odd, {.size = 0x8000, .align = 0x8000}) == Constraint::none);
  CHECK(never_met(odd, {.size = 0x8001, .align = 0x8000}) == Constraint::alignment);
  CHECK(never_met(odd, {.size = top}) == Constraint::size);
}

TEST_CASE("which constraint it is") {
  const HeapTraits heap{.id = 3, .size = 0x10000, .granule = 0x1000, .base = 0x9000, .reserve = 0x2000};
  CHECK(never_met(heap, {.size = 1}) == Constraint::none);
  CHECK(never_met(heap, {.size = 1, .heaps = HeapMask::of(4)}) == Constraint::heaps);
  CHECK(never_met(heap, {.size = 1, .cacheability = Cacheability::uncached}) == Constraint::cacheability);
  CHECK(never_met(heap, {.size = 1, .exportable = true}) == Constraint::exportable);
  CHECK(never_met(heap, {.size = 0}) == Constraint::size);
  CHECK(never_met(heap, {.size = 0x10001}) == Constraint::size);
  CHECK(never_met(heap, {.size = 0xe001}) == Constraint::reserve);
  CHECK(never_met(heap, {.size = 0xe001, .may_use_reserve = true}) == Constraint::none);
  CHECK(never_met(heap, {.size = 1, .align = 3}) == Constraint::alignment);
  CHECK(never_met(heap, {.size = 0xc000, .align = 0x10000, .may_use_reserve = true}) == Constraint::alignment);
  CHECK(never_met(heap, {.size = 0x2000, .bounds = {.boundary = 0x1000}}) == Constraint::boundary);
  CHECK(never_met(heap, {.size = 1, .bounds = {.boundary = 3}}) == Constraint::boundary);
  CHECK(never_met(heap, {.size = 1, .bounds = {.last = 0x8fff}}) == Constraint::address_limit);
  const HeapTraits nowhere{.size = 0x10000, .granule = 0x1000};
  CHECK(never_met(nowhere, {.size = 1, .align = 0x8000}) == Constraint::none);
  CHECK(never_met(nowhere, {.size = 1, .bounds = {.last = 0x8fff}}) == Constraint::address_limit);
  CHECK(never_met(nowhere, {.size = 1, .bounds = {.boundary = 0x1000}}) == Constraint::boundary);
}

TEST_CASE("masks") {
  CHECK(HeapMask().is_empty());
  CHECK(HeapMask::of(64).is_empty());
  CHECK(HeapMask::all().contains(63));
  CHECK(!HeapMask::all().contains(64));
  CHECK((HeapMask::of(3) | HeapMask::of(5)).bits() == 0x28);
  CHECK((HeapMask::all() & HeapMask::of(5)) == HeapMask::of(5));
}
