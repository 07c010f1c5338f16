// Where the heaps of a board lie: some have their place, some are beside another, the rest goes where there is room. The
// same at compile time and at run time; nothing is allocated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/units.hpp>
#include <freestone/heap/constraints.hpp>

namespace freestone {

// A heap as a board declares it.
struct HeapSpec {
  const char* name = "";
  unsigned id = most_heaps;
  Bytes size = {};
  Bytes align = 0;  // of its first address; 0: a granule. (Behind another that lies beside it: a granule always.)
  Bytes granule = 4096;
  std::optional<std::uint64_t> base = {};  // its first address, where that is given
  const char* beside = nullptr;            // it ends where the heap of that name begins, in one reservation
  const char* memory = nullptr;            // which of the board's memories; empty: the first that has room
  Bytes reserve = 0;                       // see HeapTraits
  bool takes_base = true;                  // false: its memory begins where it likes, and has no part in a layout
  bool may_be_outside = false;             // its base may be in none of the memories
};

// A range of addresses that heaps may lie in. Where two have one name, either will do.
struct Memory {
  const char* name = "";
  std::uint64_t base = 0;
  Bytes size = {};
};

enum class LayoutFault : std::uint8_t {
  none,
  too_many_heaps,
  size_not_granules,  // 0, or no multiple of the granule, which is a power of two
  misaligned,         // its place, or each that its row could give it, is no multiple of its alignment or granule
  wraps,              // it ends behind the last address, or would have to begin before the first
  overlap,            // with `other`
  not_beside,         // it and `other` of the same row have their bases, and these do not go together
  unknown_beside,     // no heap, or itself, has the name that it should lie beside
  beside_taken,       // two heaps cannot both end where `other` begins
  takes_no_base,      // it, or the heap that it should lie beside, begins where it likes
  other_memory,       // it lies in one row with `other`, and they should lie in different memories
  unknown_memory,
  outside_memory,     // it has a place, and that is in none of the memories, or in another than its row
  does_not_fit,
  memories_overlap,   // `heap` and `other` are places in the list of memories
  memory_wraps,       // as a heap; `heap` is its place in the list of memories
};
// Is it told of a memory, and of no heap?
constexpr bool is_of_memory(LayoutFault fault) noexcept {
  return fault == LayoutFault::memories_overlap || fault == LayoutFault::memory_wraps;
}

// Where a heap lies.
struct HeapPlace {
  std::uint64_t base = 0;
  Bytes padding = 0;       // bytes in front of it that are free for its row's alignment only, and still are at the end
  std::size_t memory = 0;  // which one; their number: none; meaningless where no memories were given
  bool is_placed = false;  // false: it has no place, and the rest says nothing
};

struct Layout {
  LayoutFault fault = LayoutFault::none;
  std::size_t heap = 0;  // at fault: places in the list of heaps, or (is_of_memory) of memories
  std::size_t other = 0;
  std::size_t count = 0;
  std::array<HeapPlace, most_heaps> places = {};

  constexpr explicit operator bool() const noexcept { return fault == LayoutFault::none; }
};

namespace detail {

constexpr bool is_same_name(const char* a, const char* b) noexcept {
  for (; *a == *b; ++a, ++b) {
    if (*a == '\0') return true;
  }
  return false;
}

class LayoutMaker {
 public:
  constexpr LayoutMaker(std::span<const HeapSpec> heaps, std::span<const Memory> memories) noexcept
      : heaps_(heaps), memories_(memories) {}

  constexpr Layout run(bool all) noexcept {
    layout_.count = heaps_.size();
    if (heaps_.size() > most_heaps) return fail(LayoutFault::too_many_heaps, most_heaps);
    if (check_memories() && check_each() && find_neighbours() && place_given() && all && place_rest()) find_padding();
    return layout_;
  }

 private:
  static constexpr std::size_t nobody = most_heaps;

  constexpr Layout& fail(LayoutFault fault, std::size_t heap, std::size_t other = 0) noexcept {
    layout_.fault = fault;
    layout_.heap = heap;
    layout_.other = other;
    return layout_;
  }

  constexpr std::uint64_t size(std::size_t heap) const noexcept { return heaps_[heap].size.value(); }
  constexpr std::uint64_t align(std::size_t heap) const noexcept {
    const std::uint64_t asked = heaps_[heap].align.value();
    const std::uint64_t granule = heaps_[heap].granule.value();
    return asked > granule ? asked : granule;
  }
  constexpr std::size_t find(const char* name) const noexcept {
    for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
      if (is_same_name(heaps_[heap].name, name)) return heap;
    }
    return nobody;
  }

  constexpr bool check_memories() noexcept {
    for (std::size_t one = 0; one < memories_.size(); ++one) {
      const Memory& memory = memories_[one];
      if (memory.size == 0) continue;
      if (memory.size.value() - 1 > ~memory.base) return fail(LayoutFault::memory_wraps, one), false;
      for (std::size_t other = 0; other < one; ++other) {
        const Memory& before = memories_[other];
        if (before.size != 0 && overlap(memory.base, memory.size.value(), before.base, before.size.value())) {
          return fail(LayoutFault::memories_overlap, one, other), false;
        }
      }
    }
    return true;
  }

  constexpr bool check_each() noexcept {
    for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
      const HeapSpec& spec = heaps_[heap];
      const std::uint64_t granule = heaps_[heap].granule.value();
      if (size(heap) == 0 || !bits::is_power_of_two(granule) || (size(heap) & (granule - 1)) != 0) {
        return fail(LayoutFault::size_not_granules, heap), false;
      }
      if (spec.align != 0 && !bits::is_power_of_two(spec.align.value()))
        return fail(LayoutFault::misaligned, heap), false;
      if (!spec.takes_base && (spec.base || spec.beside != nullptr || spec.memory != nullptr)) {
        return fail(LayoutFault::takes_no_base, heap, heap), false;
      }
    }
    return true;
  }

  constexpr bool find_neighbours() noexcept {
    for (std::size_t& heap : before_) heap = nobody;
    for (std::size_t& heap : behind_) heap = nobody;
    for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
      if (heaps_[heap].beside == nullptr) continue;
      const std::size_t next = find(heaps_[heap].beside);
      if (next == nobody || is_in_row_of(next, heap)) return fail(LayoutFault::unknown_beside, heap), false;
      if (!heaps_[next].takes_base) return fail(LayoutFault::takes_no_base, heap, next), false;
      if (before_[next] != nobody) return fail(LayoutFault::beside_taken, heap, next), false;
      behind_[heap] = next;
      before_[next] = heap;
    }
    return agree_on_memories();
  }
  constexpr bool agree_on_memories() noexcept {
    for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
      if (heaps_[heap].memory == nullptr) continue;
      const std::size_t other = who_wants_memory(row_start(heap));
      if (!is_same_name(heaps_[other].memory, heaps_[heap].memory))
        return fail(LayoutFault::other_memory, heap, other), false;
    }
    return true;
  }
  // The first of a row that says which memory; nobody where none does.
  constexpr std::size_t who_wants_memory(std::size_t first) const noexcept {
    while (first != nobody && heaps_[first].memory == nullptr) first = behind_[first];
    return first;
  }
  // Is `heap` the one, or further on in its row?
  constexpr bool is_in_row_of(std::size_t one, std::size_t heap) const noexcept {
    for (; one != nobody; one = behind_[one]) {
      if (one == heap) return true;
    }
    return false;
  }
  constexpr std::size_t row_start(std::size_t heap) const noexcept {
    while (before_[heap] != nobody) heap = before_[heap];
    return heap;
  }
  constexpr bool row_is_given(std::size_t first) const noexcept {
    for (std::size_t heap = first; heap != nobody; heap = behind_[heap]) {
      if (heaps_[heap].base) return true;
    }
    return false;
  }

  // The rows (of one heap, mostly) in which one has its place: so has each of the others.
  constexpr bool place_given() noexcept {
    for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
      if (!heaps_[heap].base || layout_.places[heap].is_placed) continue;
      const std::size_t first = row_start(heap);
      std::uint64_t base = *heaps_[heap].base;
      for (std::size_t one = heap; one != first;) {
        one = before_[one];
        if (base < size(one)) return fail(LayoutFault::wraps, one), false;
        base -= size(one);
      }
      if (!put_row(first, base, heap)) return false;
    }
    return true;
  }

  constexpr bool place_rest() noexcept {
    for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
      if (before_[heap] != nobody || !heaps_[heap].takes_base || row_is_given(heap)) continue;
      const std::optional<std::uint64_t> base = find_room(heap);
      if (layout_.fault != LayoutFault::none) return false;
      if (!base) return fail(LayoutFault::does_not_fit, heap), false;
      if (!put_row(heap, *base, heap)) return false;
    }
    return true;
  }

  // Puts the row's heaps, one behind the other, from `base` on, where `known` has its place.
  constexpr bool put_row(std::size_t first, std::uint64_t base, std::size_t known) noexcept {
    for (std::size_t heap = first; heap != nobody; heap = behind_[heap]) {
      if (heaps_[heap].base && *heaps_[heap].base != base) return fail(LayoutFault::not_beside, heap, known), false;
      if (!put(heap, base)) return false;
      base += size(heap);
      if (base == 0 && behind_[heap] != nobody) return fail(LayoutFault::wraps, behind_[heap]), false;
    }
    return true;
  }
  constexpr bool put(std::size_t heap, std::uint64_t base) noexcept {
    if ((base & (step(heap) - 1)) != 0) return fail(LayoutFault::misaligned, heap), false;
    if (size(heap) - 1 > ~base) return fail(LayoutFault::wraps, heap), false;
    if (const std::size_t other = in_the_way(base, size(heap)); other != nobody) {
      return fail(LayoutFault::overlap, heap, other), false;
    }
    const std::size_t memory = memory_of(heap, base);
    if (layout_.fault != LayoutFault::none) return false;
    layout_.places[heap].base = base;
    layout_.places[heap].memory = memory;
    layout_.places[heap].is_placed = true;
    return true;
  }
  // Which memory it lies in there: the one of its row. Or a fault.
  constexpr std::size_t memory_of(std::size_t heap, std::uint64_t base) noexcept {
    const char* wanted = heaps_[heap].memory;
    bool is_known = wanted == nullptr;
    std::size_t found = memories_.size();
    for (std::size_t memory = 0; memory < memories_.size(); ++memory) {
      if (wanted != nullptr && !is_same_name(memories_[memory].name, wanted)) continue;
      is_known = true;
      if (holds(memories_[memory], base, size(heap))) found = memory;
    }
    const bool is_in_row = before_[heap] == nobody || layout_.places[before_[heap]].memory == found;
    if (memories_.empty()) return 0;
    if (!is_known) fail(LayoutFault::unknown_memory, heap);
    const bool is_outside = found == memories_.size() && !heaps_[heap].may_be_outside;
    if (is_known && (is_outside || !is_in_row)) fail(LayoutFault::outside_memory, heap);
    return found;
  }

  // What the address of a heap is a multiple of: behind another of its row, of its granule only.
  constexpr std::uint64_t step(std::size_t heap) const noexcept {
    return before_[heap] == nobody ? align(heap) : heaps_[heap].granule.value();
  }
  // Where a row may begin, that each of its heaps is aligned: at `rest` above each multiple of `step`, a power of two.
  struct Beginnings {
    std::uint64_t step = 1;
    std::uint64_t rest = 0;

    constexpr std::uint64_t next(std::uint64_t from) const noexcept { return from + ((rest - from) & (step - 1)); }
  };
  // Or a fault, where two of them never agree.
  constexpr Beginnings beginnings_of(std::size_t first) noexcept {
    Beginnings row;
    std::uint64_t before = 0;
    for (std::size_t heap = first; heap != nobody; heap = behind_[heap]) {
      const Beginnings one = {step(heap), (std::uint64_t{0} - before) & (step(heap) - 1)};
      const Beginnings& coarse = one.step > row.step ? one : row;
      const Beginnings& fine = one.step > row.step ? row : one;
      if ((coarse.rest & (fine.step - 1)) != fine.rest) fail(LayoutFault::misaligned, heap);
      row = coarse;
      before += size(heap);
    }
    return row;
  }

  // The lowest place for the row that begins with `first`.
  constexpr std::optional<std::uint64_t> find_room(std::size_t first) noexcept {
    std::uint64_t total = 0;
    for (std::size_t heap = first; heap != nobody; heap = behind_[heap]) {
      total = size(heap) > bits::all - total ? bits::all : total + size(heap);
    }
    const Beginnings beginnings = beginnings_of(first);
    if (layout_.fault != LayoutFault::none) return std::nullopt;
    const std::size_t chooser = who_wants_memory(first);
    bool is_known = chooser == nobody;
    for (const Memory& memory : memories_) {
      if (chooser != nobody && !is_same_name(memory.name, heaps_[chooser].memory)) continue;
      is_known = true;
      const std::optional<std::uint64_t> base = find_room_in(memory, first, total, beginnings);
      if (base) return base;
    }
    if (!is_known) fail(LayoutFault::unknown_memory, chooser);
    return std::nullopt;
  }
  constexpr std::optional<std::uint64_t> find_room_in(const Memory& memory, std::size_t first, std::uint64_t total,
                                                      const Beginnings& beginnings) noexcept {
    for (std::uint64_t from = memory.base;;) {
      const std::uint64_t base = beginnings.next(from);
      if (base < from || !holds(memory, base, total)) return std::nullopt;
      const std::size_t other = in_the_way(base, total);
      if (other == nobody) {
        layout_.places[first].padding = base - from;
        return base;
      }
      from = layout_.places[other].base + size(other);
      if (from == 0) return std::nullopt;  // it ends at the very top
    }
  }
  // What others were put into before an aligned heap is not lost.
  constexpr void find_padding() noexcept {
    for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
      HeapPlace& place = layout_.places[heap];
      for (std::size_t other = 0; other < heaps_.size(); ++other) {
        const HeapPlace& before = layout_.places[other];
        if (!before.is_placed || before.base >= place.base) continue;
        const Bytes gap = place.base - (before.base + size(other));
        if (gap < place.padding) place.padding = gap;
      }
    }
  }

  constexpr std::size_t in_the_way(std::uint64_t base, std::uint64_t bytes) const noexcept {
    for (std::size_t other = 0; other < heaps_.size(); ++other) {
      const HeapPlace& place = layout_.places[other];
      if (place.is_placed && overlap(base, bytes, place.base, size(other))) return other;
    }
    return nobody;
  }
  static constexpr bool overlap(std::uint64_t a, std::uint64_t a_bytes, std::uint64_t b,
                                std::uint64_t b_bytes) noexcept {
    return a <= b + (b_bytes - 1) && b <= a + (a_bytes - 1);
  }
  static constexpr bool holds(const Memory& memory, std::uint64_t base, std::uint64_t bytes) noexcept {
    return base >= memory.base && bytes <= memory.size.value() && base - memory.base <= memory.size.value() - bytes;
  }

  std::span<const HeapSpec> heaps_;
  std::span<const Memory> memories_;
  Layout layout_ = {};
  std::array<std::size_t, most_heaps> before_ = {};  // in one reservation
  std::array<std::size_t, most_heaps> behind_ = {};
};

}  // namespace detail

// Where each heap lies. Those with a base keep it; one that is beside another takes it, or gives it, its place in one
// reservation, in one memory, which is aligned as its first heap wants, and so that the granules of all are; the others
// get the lowest place that is left, in the order in which they are declared (so that one may not fit which would in
// another order). Where no memories are given, heaps without a place do not fit. Memories do not overlap. At fault:
// which heap, and the other one where there are two. Cost: O(n^3) where rows are searched, n <= 64.
constexpr Layout lay_out(std::span<const HeapSpec> heaps, std::span<const Memory> memories = {}) noexcept {
  return detail::LayoutMaker(heaps, memories).run(true);
}

// The same for a board whose other heaps have no addresses, or get them later: only what has a place is looked at.
constexpr Layout lay_out_given(std::span<const HeapSpec> heaps) noexcept {
  return detail::LayoutMaker(heaps, {}).run(false);
}

}  // namespace freestone
