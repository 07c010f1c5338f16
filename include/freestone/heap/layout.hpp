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
};

// A range of addresses that heaps may lie in.
struct Memory {
  const char* name = "";
  std::uint64_t base = 0;
  Bytes size = {};
};

enum class LayoutFault : std::uint8_t {
  none,
  too_many_heaps,
  size_not_granules,  // 0, or no multiple of the granule, which is a power of two
  misaligned,         // its place is no multiple of its alignment (a power of two) or granule
  wraps,              // it ends behind the last address
  overlap,            // with `other`
  not_beside,         // it and `other` have their places, and one does not end where the other begins
  unknown_beside,     // no heap, or itself, has the name that it should lie beside
  beside_taken,       // two heaps cannot both end where `other` begins
  unknown_memory,
  outside_memory,     // it has a place, and that is in none of the memories
  does_not_fit,
};

// Where a heap lies.
struct HeapPlace {
  std::uint64_t base = 0;
  Bytes padding = 0;       // bytes lost in front of it to its alignment
  std::size_t memory = 0;  // which one; meaningless where no memories were given
};

struct Layout {
  LayoutFault fault = LayoutFault::none;
  std::size_t heap = 0;   // at fault: places in the list of heaps
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
    if (check_each() && find_neighbours() && place_given() && all) place_rest();
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

  constexpr bool check_each() noexcept {
    for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
      const std::uint64_t granule = heaps_[heap].granule.value();
      if (size(heap) == 0 || !bits::is_power_of_two(granule) || (size(heap) & (granule - 1)) != 0) {
        return fail(LayoutFault::size_not_granules, heap), false;
      }
      if (!bits::is_power_of_two(align(heap))) return fail(LayoutFault::misaligned, heap), false;
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
      if (before_[next] != nobody) return fail(LayoutFault::beside_taken, heap, next), false;
      behind_[heap] = next;
      before_[next] = heap;
    }
    return true;
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
      if (!heaps_[heap].base) continue;
      const std::size_t first = row_start(heap);
      std::uint64_t base = *heaps_[heap].base;
      for (std::size_t one = heap; one != first;) {
        one = before_[one];
        if (base < size(one)) return fail(LayoutFault::wraps, one), false;
        base -= size(one);
      }
      if (!put_row(first, base)) return false;
    }
    return true;
  }

  constexpr bool place_rest() noexcept {
    for (std::size_t heap = 0; heap < heaps_.size(); ++heap) {
      if (before_[heap] != nobody || row_is_given(heap)) continue;
      const std::optional<std::uint64_t> base = find_room(heap);
      if (layout_.fault != LayoutFault::none) return false;
      if (!base) return fail(LayoutFault::does_not_fit, heap), false;
      if (!put_row(heap, *base)) return false;
    }
    return true;
  }

  // Puts the row's heaps, one behind the other, from `base` on, unless they are there already.
  constexpr bool put_row(std::size_t first, std::uint64_t base) noexcept {
    for (std::size_t heap = first; heap != nobody; heap = behind_[heap]) {
      if (heaps_[heap].base && *heaps_[heap].base != base) {
        return fail(LayoutFault::not_beside, heap, before_[heap] == nobody ? behind_[heap] : before_[heap]), false;
      }
      if (!put(heap, base)) return false;
      base += size(heap);
      if (base == 0 && behind_[heap] != nobody) return fail(LayoutFault::wraps, behind_[heap]), false;
    }
    return true;
  }
  constexpr bool put(std::size_t heap, std::uint64_t base) noexcept {
    if (is_placed_[heap] && layout_.places[heap].base == base) return true;
    const std::uint64_t step = before_[heap] == nobody ? align(heap) : heaps_[heap].granule.value();
    if ((base & (step - 1)) != 0) return fail(LayoutFault::misaligned, heap), false;
    if (size(heap) - 1 > ~base) return fail(LayoutFault::wraps, heap), false;
    if (const std::size_t other = in_the_way(base, size(heap)); other != nobody) {
      return fail(LayoutFault::overlap, heap, other), false;
    }
    std::size_t memory = 0;
    bool is_known = heaps_[heap].memory == nullptr;
    for (; memory < memories_.size(); ++memory) {
      const bool is_wanted = heaps_[heap].memory == nullptr || is_same_name(memories_[memory].name, heaps_[heap].memory);
      is_known = is_known || is_wanted;
      if (is_wanted && holds(memories_[memory], base, size(heap))) break;
    }
    if (!memories_.empty() && !is_known) return fail(LayoutFault::unknown_memory, heap), false;
    if (!memories_.empty() && memory == memories_.size()) return fail(LayoutFault::outside_memory, heap), false;
    layout_.places[heap].base = base;
    layout_.places[heap].memory = memory;
    is_placed_[heap] = true;
    return true;
  }

  // The lowest place for the row that begins with `first`.
  constexpr std::optional<std::uint64_t> find_room(std::size_t first) noexcept {
    std::uint64_t total = 0;
    const char* wanted = nullptr;
    for (std::size_t heap = first; heap != nobody; heap = behind_[heap]) {
      total = size(heap) > bits::all - total ? bits::all : total + size(heap);
      if (heaps_[heap].memory != nullptr) wanted = heaps_[heap].memory;
    }
    bool is_known = wanted == nullptr;
    for (const Memory& memory : memories_) {
      if (wanted != nullptr && !is_same_name(memory.name, wanted)) continue;
      is_known = true;
      std::uint64_t from = memory.base;
      for (;;) {
        const std::uint64_t base = bits::align_up(from, align(first));
        if (base < from || !holds(memory, base, total)) break;
        const std::size_t other = in_the_way(base, total);
        if (other == nobody) {
          layout_.places[first].padding = base - from;
          return base;
        }
        from = layout_.places[other].base + size(other);
        if (from == 0) break;  // it ends at the very top
      }
    }
    if (!is_known) fail(LayoutFault::unknown_memory, first);
    return std::nullopt;
  }

  constexpr std::size_t in_the_way(std::uint64_t base, std::uint64_t bytes) const noexcept {
    for (std::size_t other = 0; other < heaps_.size(); ++other) {
      if (!is_placed_[other]) continue;
      const std::uint64_t begin = layout_.places[other].base;
      if (base <= begin + (size(other) - 1) && begin <= base + (bytes - 1)) return other;
    }
    return nobody;
  }
  static constexpr bool holds(const Memory& memory, std::uint64_t base, std::uint64_t bytes) noexcept {
    return base >= memory.base && bytes <= memory.size.value() && base - memory.base <= memory.size.value() - bytes;
  }

  std::span<const HeapSpec> heaps_;
  std::span<const Memory> memories_;
  Layout layout_ = {};
  std::array<std::size_t, most_heaps> before_ = {};  // in one reservation
  std::array<std::size_t, most_heaps> behind_ = {};
  std::array<bool, most_heaps> is_placed_ = {};
};

}  // namespace detail

// Where each heap lies. Those with a base keep it; one that is beside another takes it, or gives it, its place in one
// reservation, which is aligned as its first heap wants; the others get the lowest place that is left, in the order in
// which they are declared. Where no memories are given, heaps without a place do not fit. At fault: which heap, and the
// other one where there are two. Cost: O(n^2), n <= 64.
constexpr Layout lay_out(std::span<const HeapSpec> heaps, std::span<const Memory> memories = {}) noexcept {
  return detail::LayoutMaker(heaps, memories).run(true);
}

// The same for a board whose other heaps have no addresses, or get them later: only what has a place is looked at.
constexpr Layout lay_out_given(std::span<const HeapSpec> heaps) noexcept {
  return detail::LayoutMaker(heaps, {}).run(false);
}

}  // namespace freestone
