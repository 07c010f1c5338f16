#include <freestone/heap/layout.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr Memory dram{.name = "dram", .base = 0x8000'0000, .size = 256_MiB};

LayoutFault fault_of(const std::vector<HeapSpec>& heaps, const std::vector<Memory>& memories = {dram}) {
  return lay_out(heaps, memories).fault;
}

}  // namespace

TEST_CASE("heaps lie one behind the other, aligned, in the order of their declaration") {
  const std::vector<HeapSpec> heaps = {{.name = "a", .size = 12_KiB},
                                       {.name = "b", .size = 1_MiB, .align = 1_MiB},
                                       {.name = "c", .size = 4_KiB}};
  const Layout layout = lay_out(heaps, {&dram, 1});
  REQUIRE(layout);
  CHECK(layout.count == 3);
  CHECK(layout.places[0].base == 0x8000'0000);
  CHECK(layout.places[1].base == 0x8010'0000);
  CHECK(layout.places[1].padding == 1_MiB - 12_KiB);
  CHECK(layout.places[2].base == 0x8000'3000);  // the lowest room that is left: in the padding
}

TEST_CASE("who has its place keeps it, and the others go round it") {
  const std::vector<HeapSpec> heaps = {{.name = "a", .size = 8_KiB},
                                       {.name = "fixed", .size = 4_KiB, .base = 0x8000'1000}};
  const Layout layout = lay_out(heaps, {&dram, 1});
  REQUIRE(layout);
  CHECK(layout.places[0].base == 0x8000'2000);
}

TEST_CASE("two heaps side by side in one reservation, as ION's carve-out beside its heap") {
  const std::vector<HeapSpec> heaps = {{.name = "mm", .size = 0x1800000},
                                       {.name = "first", .size = 4_KiB},
                                       {.name = "mm_fw", .size = 0x200000, .align = 128_KiB, .beside = "mm"}};
  const Layout layout = lay_out(heaps, {&dram, 1});
  REQUIRE(layout);
  const std::uint64_t block = layout.places[2].base;
  CHECK(block % 0x20000 == 0);
  CHECK(layout.places[0].base == block + 0x200000);  // and the secured range is [block, block + 0x1A00000)
  SUBCASE("one of the two has its place") {
    for (const std::size_t given : {std::size_t{0}, std::size_t{2}}) {
      std::vector<HeapSpec> one_given = heaps;
      one_given[given].base = given == 0 ? 0x8040'0000 : 0x8020'0000;
      const Layout placed = lay_out(one_given, {&dram, 1});
      REQUIRE(placed);
      CHECK(placed.places[2].base == 0x8020'0000);
      CHECK(placed.places[0].base == 0x8040'0000);
    }
  }
  SUBCASE("both have, and not side by side") {
    std::vector<HeapSpec> both = heaps;
    both[0].base = 0x8080'0000;
    both[2].base = 0x8020'0000;
    for (int turn = 0; turn < 2; ++turn) {
      const Layout layout_of_both = lay_out(both, {&dram, 1});
      CHECK(layout_of_both.fault == LayoutFault::not_beside);
      CHECK(layout_of_both.heap + layout_of_both.other == 2);  // the two, whichever is declared first
      std::swap(both[0], both[2]);
    }
  }
}

TEST_CASE("what cannot be is a fault, and says which heap") {
  CHECK(fault_of({{.name = "a", .size = 0}}) == LayoutFault::size_not_granules);
  CHECK(fault_of({{.name = "a", .size = 5000}}) == LayoutFault::size_not_granules);
  CHECK(fault_of({{.name = "a", .size = 3000, .granule = 3000}}) == LayoutFault::size_not_granules);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .align = 12_KiB}}) == LayoutFault::misaligned);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .base = 0x8000'0800}}) == LayoutFault::misaligned);
  CHECK(fault_of({{.name = "a", .size = 8_KiB, .base = ~std::uint64_t{0xfff}}}) == LayoutFault::wraps);
  CHECK(fault_of({{.name = "a", .size = 8_KiB, .beside = "b"}, {.name = "b", .size = 4_KiB, .base = 0x1000}}) ==
        LayoutFault::wraps);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .base = 0x1000}}) == LayoutFault::outside_memory);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .beside = "nobody"}}) == LayoutFault::unknown_beside);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .beside = "a"}}) == LayoutFault::unknown_beside);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .beside = "b"}, {.name = "b", .size = 4_KiB, .beside = "a"}}) ==
        LayoutFault::unknown_beside);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .beside = "c"},
                  {.name = "b", .size = 4_KiB, .beside = "c"},
                  {.name = "c", .size = 4_KiB}}) == LayoutFault::beside_taken);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .memory = "sram"}}) == LayoutFault::unknown_memory);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .base = 0x8000'0000, .memory = "sram"}}) == LayoutFault::unknown_memory);
  const Memory sram{.name = "sram", .base = 0x2000'0000, .size = 64_KiB};
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .base = 0x8000'0000, .memory = "sram"}}, {dram, sram}) ==
        LayoutFault::outside_memory);
  CHECK(fault_of({{.name = "a", .size = 512_MiB}}) == LayoutFault::does_not_fit);
  CHECK(fault_of({{.name = "a", .size = 4_KiB}}, {}) == LayoutFault::does_not_fit);
  CHECK(fault_of(std::vector<HeapSpec>(65, {.name = "a", .size = 4_KiB})) == LayoutFault::too_many_heaps);
  const std::vector<HeapSpec> crossing = {{.name = "a", .size = 8_KiB, .base = 0x8000'0000},
                                          {.name = "b", .size = 4_KiB},
                                          {.name = "c", .size = 8_KiB, .base = 0x8000'1000}};
  const Layout layout = lay_out(crossing, {&dram, 1});
  CHECK(layout.fault == LayoutFault::overlap);
  CHECK(layout.heap == 2);
  CHECK(layout.other == 0);
}

TEST_CASE("the top of the address space is a place like any other") {
  const Memory top{.name = "top", .base = ~std::uint64_t{0} - 0xffff, .size = 64_KiB};
  const std::vector<HeapSpec> heaps = {{.name = "a", .size = 60_KiB}, {.name = "b", .size = 4_KiB}};
  const Layout layout = lay_out(heaps, {&top, 1});
  REQUIRE(layout);
  CHECK(layout.places[1].base == ~std::uint64_t{0xfff});
  CHECK(fault_of({{.name = "a", .size = 64_KiB}, {.name = "b", .size = 4_KiB}}, {top}) == LayoutFault::does_not_fit);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .base = ~std::uint64_t{0xfff}, .beside = "b"}, {.name = "b", .size = 4_KiB}}, {}) ==
        LayoutFault::wraps);
}

TEST_CASE("whatever is laid out lies in its memory, aligned, and apart") {
  Random random(seed());
  int laid = 0;
  for (int round = 0; round < 3'000; ++round) {
    std::vector<Memory> memories;
    for (std::uint64_t i = 0, base = 0; i < random.from_to(1, 3); ++i) {
      base += random.below(64) * 4096;
      memories.push_back({.name = i == 0 ? "m0" : i == 1 ? "m1" : "m2", .base = base, .size = random.from_to(1, 200) * 4096});
      base += memories.back().size.value();
    }
    const char* const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    std::vector<HeapSpec> heaps;
    for (std::uint64_t i = 0; i < random.from_to(1, 8); ++i) {
      HeapSpec heap{.name = names[i], .size = random.from_to(1, 40) * 4096, .align = 4096U << random.below(4)};
      if (random.chance(20)) heap.base = random.below(256) * 4096;
      if (random.chance(20)) heap.memory = memories[static_cast<std::size_t>(random.below(memories.size()))].name;
      if (random.chance(25)) heap.beside = names[random.below(8)];
      heaps.push_back(heap);
    }
    const Layout layout = lay_out(heaps, memories);
    if (!layout) continue;
    ++laid;
    for (std::size_t a = 0; a < heaps.size(); ++a) {
      const std::uint64_t begin = layout.places[a].base;
      const std::uint64_t end = begin + heaps[a].size.value();
      const Memory& memory = memories[layout.places[a].memory];
      CHECK(begin >= memory.base);
      if (heaps[a].memory != nullptr && heaps[a].beside == nullptr) CHECK(std::string_view(memory.name) == heaps[a].memory);
      CHECK(end <= memory.base + memory.size.value());
      if (heaps[a].base) CHECK(begin == *heaps[a].base);
      for (std::size_t b = 0; b < heaps.size(); ++b) {
        const bool is_beside = heaps[a].beside != nullptr && std::string_view(heaps[a].beside) == heaps[b].name;
        if (is_beside) CHECK(layout.places[b].base == end);
        if (a != b) CHECK((layout.places[b].base >= end || layout.places[b].base + heaps[b].size.value() <= begin));
      }
    }
  }
  CHECK(laid > 500);
}
