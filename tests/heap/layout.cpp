#include <freestone/heap/layout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
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
  CHECK(layout.places[2].base == 0x8000'3000);  // the lowest room that is left: in the padding
  CHECK(layout.places[1].padding == 1_MiB - 16_KiB);
}

TEST_CASE("padding is what is left free before an aligned heap, when all have their places") {
  const std::vector<HeapSpec> heaps = {{.name = "a", .size = 4_KiB},
                                       {.name = "b", .size = 1_MiB, .align = 1_MiB},
                                       {.name = "c", .size = 64_KiB, .align = 64_KiB},
                                       {.name = "d", .size = 1020_KiB - 124_KiB},
                                       {.name = "e", .size = 4_KiB, .base = 0x8030'0000}};
  const Layout layout = lay_out(heaps, {&dram, 1});
  REQUIRE(layout);
  CHECK(layout.places[2].base == 0x8001'0000);
  CHECK(layout.places[2].padding == 60_KiB);
  CHECK(layout.places[3].base == 0x8002'0000);
  CHECK(layout.places[1].padding == 0);  // a fifth of it is c's, and d has the rest
  CHECK(layout.places[4].padding == 0);  // it has its place: what is free before it is not lost to alignment
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
  SUBCASE("of three two have, and the one between says nothing") {
    const std::vector<HeapSpec> row = {{.name = "a", .size = 4_KiB, .base = 0x8000'0000, .beside = "b"},
                                       {.name = "b", .size = 4_KiB, .beside = "c"},
                                       {.name = "c", .size = 4_KiB, .base = 0x8001'0000}};
    const Layout placed = lay_out(row, {&dram, 1});
    CHECK(placed.fault == LayoutFault::not_beside);
    CHECK(placed.heap + placed.other == 2);
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

TEST_CASE("a row begins where each of its heaps is aligned") {
  const std::vector<HeapSpec> heaps = {{.name = "first", .size = 4_KiB},
                                       {.name = "fw", .size = 4_KiB, .align = 8_KiB, .beside = "mm"},
                                       {.name = "mm", .size = 64_KiB, .granule = 4_KiB, .beside = "tail"},
                                       {.name = "tail", .size = 64_KiB, .granule = 64_KiB}};
  const std::vector<HeapSpec> two = {heaps[0], {.name = "fw", .size = 4_KiB, .beside = "mm"}, {.name = "mm", .size = 64_KiB, .granule = 64_KiB}};
  const Layout layout = lay_out(two, {&dram, 1});
  REQUIRE(layout);
  CHECK(layout.places[1].base == 0x8000'f000);
  CHECK(layout.places[2].base == 0x8001'0000);
  CHECK(layout.places[1].padding == 0xe000);
  const Layout never = lay_out(heaps, {&dram, 1});  // fw at a multiple of 8K is none of 64K less 68K
  CHECK(never.fault == LayoutFault::misaligned);
  CHECK(never.heap == 3);
}

TEST_CASE("memories are apart, and end where addresses do") {
  const Memory sram{.name = "sram", .base = 0x8fff'f000, .size = 64_KiB};
  const Layout crossing = lay_out({}, std::vector<Memory>{{.name = "low", .size = 4_KiB}, dram, sram});
  CHECK(crossing.fault == LayoutFault::memories_overlap);
  CHECK(crossing.heap == 2);  // in the list of memories
  CHECK(crossing.other == 1);
  CHECK(fault_of({}, {dram, dram}) == LayoutFault::memories_overlap);
  CHECK(fault_of({}, {{.name = "top", .base = ~std::uint64_t{0xfff}, .size = 8_KiB}}) == LayoutFault::memory_wraps);
  CHECK(fault_of({}, {{.name = "top", .base = ~std::uint64_t{0xfff}, .size = 4_KiB}, {.name = "low", .size = 4_KiB}}) == LayoutFault::none);
  CHECK(fault_of({}, {dram, {.name = "none", .base = 0x8000'0000}}) == LayoutFault::none);  // of no bytes
  const std::vector<Memory> twice = {{.name = "dram", .base = 0x1000, .size = 4_KiB}, {.name = "dram", .base = 0x4000, .size = 8_KiB}};
  const std::vector<HeapSpec> one = {{.name = "a", .size = 8_KiB, .memory = "dram"}};  // one name: either will do
  CHECK(lay_out(one, twice).places[0].base == 0x4000);
}

TEST_CASE("a row lies in one memory") {
  const std::vector<Memory> banks = {{.name = "low", .base = 0x1000, .size = 8_KiB}, {.name = "high", .base = 0x3000, .size = 16_KiB}};
  std::vector<HeapSpec> row = {{.name = "a", .size = 8_KiB, .beside = "b"}, {.name = "b", .size = 4_KiB}};
  CHECK(lay_out(row, banks).places[0].base == 0x3000);
  row[0].base = 0x1000;
  CHECK(fault_of(row, banks) == LayoutFault::outside_memory);
  row = {{.name = "a", .size = 4_KiB, .beside = "b", .memory = "low"}, {.name = "b", .size = 4_KiB, .beside = "c"}, {.name = "c", .size = 4_KiB, .memory = "high"}};
  const Layout layout = lay_out(row, banks);
  CHECK(layout.fault == LayoutFault::other_memory);
  CHECK(layout.heap == 2);
  CHECK(layout.other == 0);
  CHECK(lay_out_given(row).fault == LayoutFault::other_memory);
}

TEST_CASE("a heap that begins where it likes has no part in a layout") {
  const std::vector<HeapSpec> heaps = {{.name = "file", .size = 512_MiB, .takes_base = false}, {.name = "a", .size = 4_KiB}};
  const Layout layout = lay_out(heaps, {&dram, 1});
  REQUIRE(layout);
  CHECK(!layout.places[0].is_placed);
  CHECK(layout.places[1].is_placed);
  CHECK(layout.places[1].base == 0x8000'0000);
  CHECK(fault_of({{.name = "f", .size = 4_KiB, .base = 0x8000'0000, .takes_base = false}}) == LayoutFault::takes_no_base);
  CHECK(fault_of({{.name = "f", .size = 4_KiB, .memory = "dram", .takes_base = false}}) == LayoutFault::takes_no_base);
  CHECK(fault_of({{.name = "f", .size = 4_KiB, .beside = "a", .takes_base = false}, {.name = "a", .size = 4_KiB}}) == LayoutFault::takes_no_base);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .beside = "f"}, {.name = "f", .size = 4_KiB, .takes_base = false}}) == LayoutFault::takes_no_base);
}

TEST_CASE("the same when it is compiled") {
  static constexpr std::array<HeapSpec, 4> heaps = {{{.name = "mm", .size = 64_KiB, .granule = 64_KiB},
                                                     {.name = "file", .size = 4_KiB, .takes_base = false},
                                                     {.name = "fw", .size = 12_KiB, .beside = "mm"},
                                                     {.name = "last", .size = 128_KiB, .align = 128_KiB}}};
  static constexpr Layout compiled = lay_out(heaps, {&dram, 1});
  static_assert(compiled);
  const std::vector<HeapSpec> again(heaps.begin(), heaps.end());
  const Layout layout = lay_out(again, {&dram, 1});
  for (std::size_t heap = 0; heap < heaps.size(); ++heap) {
    CHECK(layout.places[heap].base == compiled.places[heap].base);
    CHECK(layout.places[heap].padding == compiled.places[heap].padding);
    CHECK(layout.places[heap].is_placed == compiled.places[heap].is_placed);
  }
}

TEST_CASE("what cannot be is a fault, and says which heap") {
  CHECK(fault_of({{.name = "a", .size = 0}}) == LayoutFault::size_not_granules);
  CHECK(fault_of({{.name = "a", .size = 5000}}) == LayoutFault::size_not_granules);
  CHECK(fault_of({{.name = "a", .size = 3000, .granule = 3000}}) == LayoutFault::size_not_granules);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .align = 12_KiB}}) == LayoutFault::misaligned);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .align = 3, .base = 0x8000'0000}}) == LayoutFault::misaligned);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .align = 512, .base = 0x8000'0000}}) == LayoutFault::none);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .base = 0x8000'0800}}) == LayoutFault::misaligned);
  CHECK(fault_of({{.name = "a", .size = 8_KiB, .base = ~std::uint64_t{0xfff}}}) == LayoutFault::wraps);
  CHECK(fault_of({{.name = "a", .size = 8_KiB, .beside = "b"}, {.name = "b", .size = 4_KiB, .base = 0x1000}}) ==
        LayoutFault::wraps);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .base = 0x1000}}) == LayoutFault::outside_memory);
  CHECK(fault_of({{.name = "a", .size = 4_KiB, .base = 0x1000, .may_be_outside = true}}) == LayoutFault::none);
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

namespace {

constexpr std::uint64_t page = 4096;

// All that may be laid out, tried at every page of its memories: for few heaps and small memories.
class EveryPlace {
 public:
  EveryPlace(const std::vector<HeapSpec>& heaps, const std::vector<Memory>& memories) : heaps_(heaps), memories_(memories), at_(heaps.size()) {}

  // Is there any layout at all?
  bool exists() { return place_from(0); }

  // In the order of the list, each row (those with a base first) at the lowest page that is free in the first memory
  // that has one. Empty where one has none.
  std::optional<std::vector<std::uint64_t>> lowest() {
    at_.assign(heaps_.size(), std::nullopt);
    for (const bool is_given : {true, false}) {
      for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
        const std::vector<std::size_t> row = row_of(heap);
        const bool has_base = std::any_of(row.begin(), row.end(), [&](std::size_t one) { return heaps_[one].base.has_value(); });
        if (row.front() == heap && has_base == is_given && !place_lowest(row)) return std::nullopt;
      }
    }
    std::vector<std::uint64_t> places;
    for (const auto& place : at_) places.push_back(*place);
    return places;
  }

 private:
  bool place_from(std::size_t heap) {
    if (heap == heaps_.size()) return true;
    for (const Memory& memory : memories_) {
      for (std::uint64_t base = memory.base; base < memory.base + memory.size.value(); base += page) {
        at_[heap] = base;
        if (is_good(heap) && place_from(heap + 1)) return true;
      }
    }
    at_[heap].reset();
    return false;
  }
  bool place_lowest(const std::vector<std::size_t>& row) {
    for (const Memory& memory : memories_) {
      for (std::uint64_t base = memory.base; base < memory.base + memory.size.value(); base += page) {
        std::uint64_t next = base;
        for (const std::size_t heap : row) next += (at_[heap] = next, heaps_[heap].size.value());
        if (std::all_of(row.begin(), row.end(), [&](std::size_t heap) { return is_good(heap); })) return true;
        for (const std::size_t heap : row) at_[heap].reset();
      }
    }
    return false;
  }
  std::optional<std::size_t> before(std::size_t heap) const {
    for (std::size_t one = 0; one < heaps_.size(); ++one) {
      if (heaps_[one].beside != nullptr && std::string_view(heaps_[one].beside) == heaps_[heap].name) return one;
    }
    return std::nullopt;
  }
  std::vector<std::size_t> row_of(std::size_t heap) const {
    while (before(heap)) heap = *before(heap);
    std::vector<std::size_t> row = {heap};
    while (heaps_[row.back()].beside != nullptr) {
      std::size_t next = 0;
      while (std::string_view(heaps_[next].name) != heaps_[row.back()].beside) ++next;
      row.push_back(next);
    }
    return row;
  }
  // Does this heap keep what it says, beside those that have places?
  bool is_good(std::size_t heap) const {
    const HeapSpec& spec = heaps_[heap];
    const std::uint64_t base = *at_[heap];
    const std::uint64_t step = before(heap) ? spec.granule.value() : std::max(spec.granule.value(), spec.align.value());
    if (base % step != 0 || (spec.base && *spec.base != base)) return false;
    const Memory* mine = memory_of(heap);
    if (mine == nullptr || (spec.memory != nullptr && std::string_view(spec.memory) != mine->name)) return false;
    for (std::size_t other = 0; other < heaps_.size(); ++other) {
      if (other == heap || !at_[other]) continue;
      if (base < *at_[other] + heaps_[other].size.value() && *at_[other] < base + spec.size.value()) return false;
      const bool is_beside = spec.beside != nullptr && std::string_view(spec.beside) == heaps_[other].name;
      const bool has_beside = before(heap) == other;
      if (is_beside && *at_[other] != base + spec.size.value()) return false;
      if (has_beside && *at_[other] + heaps_[other].size.value() != base) return false;
      if ((is_beside || has_beside) && memory_of(other) != mine) return false;
    }
    return true;
  }
  const Memory* memory_of(std::size_t heap) const {
    for (const Memory& memory : memories_) {
      const std::uint64_t end = *at_[heap] + heaps_[heap].size.value();
      if (*at_[heap] >= memory.base && end <= memory.base + memory.size.value()) return &memory;
    }
    return nullptr;
  }

  const std::vector<HeapSpec>& heaps_;
  const std::vector<Memory>& memories_;
  std::vector<std::optional<std::uint64_t>> at_;
};

bool is_about_names(LayoutFault fault) {
  return fault == LayoutFault::unknown_beside || fault == LayoutFault::beside_taken || fault == LayoutFault::other_memory;
}

}  // namespace

TEST_CASE("every place of small memories: what is laid out is the lowest, and what is refused cannot be") {
  Random random(seed());
  const char* const names[] = {"a", "b", "c", "d"};
  int laid = 0;
  int refused = 0;
  int full = 0;
  for (int round = 0; round < 6'000; ++round) {
    std::vector<Memory> memories = {{.name = "m0", .base = random.below(4) * page, .size = random.from_to(4, 14) * page}};
    if (random.chance(40)) {
      const std::uint64_t base = memories[0].base + memories[0].size.value() + random.below(3) * page;
      memories.push_back({.name = "m1", .base = base, .size = random.from_to(1, 8) * page});
    }
    std::vector<HeapSpec> heaps;
    const std::uint64_t count = random.from_to(1, 4);
    for (std::uint64_t i = 0; i < count; ++i) {
      HeapSpec heap{.name = names[i], .granule = page << random.below(3)};
      heap.size = heap.granule.value() * random.from_to(1, 3);
      if (random.chance(30)) heap.align = page << random.below(4);
      if (random.chance(30)) heap.beside = names[random.below(count)];
      if (random.chance(15)) heap.base = random.below(24) * page;
      if (random.chance(10)) heap.memory = random.chance(50) ? "m0" : "m1";
      heaps.push_back(heap);
    }
    const Layout layout = lay_out(heaps, memories);
    if (is_about_names(layout.fault)) continue;
    EveryPlace model(heaps, memories);
    const auto lowest = model.lowest();
    REQUIRE(static_cast<bool>(layout) == lowest.has_value());
    if (layout) {
      ++laid;
      for (std::size_t heap = 0; heap < heaps.size(); ++heap) CHECK(layout.places[heap].base == (*lowest)[heap]);
    } else if (layout.fault == LayoutFault::does_not_fit) {
      ++full;  // beside the others as they lie
    } else {
      ++refused;
      CHECK(!EveryPlace(heaps, memories).exists());
    }
  }
  CHECK(laid > 500);
  CHECK(refused > 500);
  CHECK(full > 500);
}
