// What a caller asks of several heaps at once, what a heap is, and which of the first the second cannot give.
#pragma once

#include <cstdint>
#include <optional>

#include <freestone/core/bits.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/units.hpp>

namespace freestone {

// Heaps have ids below this: a bit each in a mask.
inline constexpr unsigned most_heaps = 64;

// A set of heaps by their ids.
class HeapMask {
 public:
  constexpr HeapMask() noexcept = default;
  constexpr explicit HeapMask(std::uint64_t bits) noexcept : bits_(bits) {}
  static constexpr HeapMask all() noexcept { return HeapMask(~std::uint64_t{0}); }
  // Ids from 64 on are in no mask.
  static constexpr HeapMask of(unsigned id) noexcept { return HeapMask(id < most_heaps ? std::uint64_t{1} << id : 0); }

  constexpr bool contains(unsigned id) const noexcept { return (of(id).bits_ & bits_) != 0; }
  constexpr bool is_empty() const noexcept { return bits_ == 0; }
  constexpr std::uint64_t bits() const noexcept { return bits_; }

  friend constexpr HeapMask operator|(HeapMask a, HeapMask b) noexcept { return HeapMask(a.bits_ | b.bits_); }
  friend constexpr HeapMask operator&(HeapMask a, HeapMask b) noexcept { return HeapMask(a.bits_ & b.bits_); }
  friend constexpr bool operator==(HeapMask, HeapMask) noexcept = default;

 private:
  std::uint64_t bits_ = 0;
};

// How long the caller believes to keep a block: where a zone has two ends, blocks that are soon gone lie at the high one and
// all others at the low one. A hint: a wrong one costs room, nothing else.
enum class Lifetime : std::uint8_t { unknown, scratch, frame, persistent };

// All of these hold for whatever is granted, whichever heap it comes from. Each has a default that constrains nothing.
struct Constraints {
  Bytes size = {};
  Bytes align = 0;                              // as Request's
  Bounds bounds = {};                           // as Zone::allocate_within's
  HeapMask heaps = HeapMask::all();             // only these
  std::optional<Cacheability> cacheability = {};  // the CPU sees it so
  bool exportable = false;                      // it can be handed to another process
  bool contiguous = true;                       // one block; false: allocate_list may take several, where there are no bounds
  bool may_use_reserve = false;                 // it may take what a heap keeps back
  Lifetime lifetime = Lifetime::unknown;
  std::uint32_t tag = 0;  // for layers

  constexpr Request request() const noexcept { return {.size = size, .align = align, .tag = tag}; }
};

// What a caller can know of a heap.
struct HeapTraits {
  const char* name = "";
  unsigned id = 0;
  Bytes size = {};
  Bytes granule = 1;
  bool any_alignment = false;              // alignments need be no powers of two
  std::optional<std::uint64_t> base = {};  // the first address; empty where its zone knows none
  Cacheability cacheability = Cacheability::cached;
  bool exportable = false;
  // This many bytes stay free, but for who may use them. (Told after a block was granted, which then goes back: for a
  // moment others may find less than there is.)
  Bytes reserve = 0;
};

// Which of the constraints a heap did not meet.
enum class Constraint : std::uint8_t {
  none,
  heaps,  // its id is not in the mask
  size,
  alignment,
  boundary,
  address_limit,
  cacheability,
  exportable,
  reserve,     // it has the room, but keeps it back
  space,       // no room now
  contiguous,  // more blocks than the caller has room for
  other,       // the backing or a layer refused: its own error says why
};

// The first constraint that this heap can never meet, whatever is free in it and wherever it lies; none where it may.
constexpr Constraint never_met_anywhere(const HeapTraits& heap, const Constraints& wanted) noexcept {
  const std::uint64_t granule = heap.granule.value();
  const std::uint64_t align = wanted.align.value();
  const std::uint64_t boundary = wanted.bounds.boundary.value();
  if (!wanted.heaps.contains(heap.id)) return Constraint::heaps;
  if (wanted.cacheability && *wanted.cacheability != heap.cacheability) return Constraint::cacheability;
  if (wanted.exportable && !heap.exportable) return Constraint::exportable;
  if (wanted.size == 0 || wanted.size > heap.size) return Constraint::size;
  const Bytes granted = bits::align_up(wanted.size.value(), granule);
  if (!wanted.may_use_reserve && granted > heap.size - heap.reserve) return Constraint::reserve;
  const bool is_alignment = (align & (align - 1)) == 0 || (heap.any_alignment && (align & (granule - 1)) == 0);
  if (!is_alignment || wanted.align > heap.size) return Constraint::alignment;
  if (boundary != 0 && (!bits::is_power_of_two(boundary) || granted.value() > boundary)) return Constraint::boundary;
  return Constraint::none;
}

// The same where the heap's zone is known: nor can it where it lies. (Alignments that are no powers of two may still be
// refused with a boundary.)
constexpr Constraint never_met(const HeapTraits& heap, const Constraints& wanted) noexcept {
  const Constraint anywhere = never_met_anywhere(heap, wanted);
  if (anywhere != Constraint::none) return anywhere;
  const bool is_limited = wanted.bounds.last != Bounds().last;
  const std::uint64_t boundary = wanted.bounds.boundary.value();
  if (!heap.base) return is_limited ? Constraint::address_limit : boundary != 0 ? Constraint::boundary : Constraint::none;
  const std::uint64_t granted = bits::align_up(wanted.size.value(), heap.granule.value());
  const std::uint64_t over = wanted.align == 0 ? 0 : bits::remainder(*heap.base, wanted.align.value());
  const std::uint64_t first = over == 0 ? 0 : wanted.align.value() - over;  // the lowest offset that is aligned
  const auto fits = [&](std::uint64_t offset, std::uint64_t last) { return offset <= last && last - offset >= granted - 1; };
  const std::uint64_t last_of_heap = heap.size.value() - 1;
  if (!fits(first, last_of_heap)) return Constraint::alignment;
  if (wanted.bounds.last < *heap.base) return Constraint::address_limit;
  const std::uint64_t room = wanted.bounds.last - *heap.base;
  const std::uint64_t last = room < last_of_heap ? room : last_of_heap;
  if (!fits(first, last)) return Constraint::address_limit;
  if (boundary == 0) return Constraint::none;
  const std::uint64_t to_next = boundary - ((*heap.base + first) & (boundary - 1));
  if (granted <= to_next) return Constraint::none;
  return to_next <= last - first && fits(first + to_next, last) ? Constraint::none : Constraint::boundary;
}

}  // namespace freestone
