#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

// A buddy that gives the tail back: a place is a whole free block of a power of two, as the buddy finds it, of which
// the granules beyond the count asked for are free again at once. So a block has exactly what was asked for, but is
// placed only where the next power of two would be. ION's rule for its contiguous heap.
//
// Map: a bit a granule (a block starts here), then the buddy's own map, in which a block is as many nodes as its count
// has bits set, the largest first. Cost: place the buddy's, and for each of these nodes O(orders), as release; place_at
// O(words of the bit table) more.
//
// Fragmentation at worst: the buddy's, counted in granules asked for.
class TrimmedBuddy {
 public:
  static constexpr std::uint32_t id = map_id("TrimmedBuddy", Buddy::id);
  static constexpr bool exact_release = true;
  static constexpr bool places = true;

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    return bits::add_saturating(buddy_word(capacity), Buddy::footprint(capacity));
  }

  static constexpr Result<TrimmedBuddy> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check_notes(words, footprint(geometry.capacity)); error) return error;
    map_header::invalidate(words);
    const std::size_t end = buddy_word(geometry.capacity);
    for (std::uint64_t& word : words.subspan(starts_word, end - starts_word)) word = 0;
    const auto buddy = Buddy::format(words.subspan(end), geometry);
    if (!buddy) return buddy.error();
    map_header::write(words, id, geometry);
    return TrimmedBuddy(words.data(), geometry, *buddy);
  }

  static constexpr Result<TrimmedBuddy> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check(words, footprint(geometry.capacity), id, geometry); error) return error;
    const auto buddy = Buddy::attach(words.subspan(buddy_word(geometry.capacity)), geometry);
    if (!buddy) return buddy.error();
    return TrimmedBuddy(words.data(), geometry, *buddy);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    const std::optional<Extent> whole = buddy_.place(count, align);
    if (!whole) return std::nullopt;
    if (whole->count == count) return bits::set(starts_, whole->first.value()), whole;
    buddy_.release(whole->first);
    return take({whole->first, count});
  }

  // Where `place` could have put it: the power of two need not be free now, for its tail may be another's.
  constexpr std::optional<Extent> place_at(Extent extent) noexcept {
    if (!may_lie(extent) || !is_free(extent)) return std::nullopt;
    return take(extent);
  }

  constexpr Released release(Granules first) noexcept {
    if (length_of(first) == Granules(0)) return {.fault = fault_at(first)};
    bits::clear(starts_, first.value());
    Granules end = first;
    do {
      end += buddy_.release(end).count;
    } while (is_continued(end));
    return {.count = end - first};
  }

  constexpr Granules length_of(Granules first) const noexcept {
    if (first.value() >= capacity_ || !bits::test(starts_, first.value())) return Granules(0);
    Granules end = first + buddy_.length_of(first);
    while (is_continued(end)) end += buddy_.length_of(end);
    return end - first;
  }

  // Cost: a search for the start, O(granules / 64) at most.
  constexpr std::optional<Extent> containing(Granules granule) const noexcept {
    if (granule.value() >= capacity_) return std::nullopt;
    const std::uint64_t after_start = bits::end_of_last_set(starts_, 0, granule.value() + 1);
    if (after_start == 0) return std::nullopt;
    const Extent last{Granules(after_start - 1), length_of(Granules(after_start - 1))};
    return last.contains(granule) ? std::optional(last) : std::nullopt;
  }

  constexpr Granules free_granules() const noexcept { return buddy_.free_granules(); }
  constexpr Granules largest_free() const noexcept { return buddy_.largest_free(); }

  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    for (std::uint64_t start = bits::first_set(starts_, 0, capacity_); start < capacity_;) {
      const Extent block{Granules(start), length_of(Granules(start))};
      visit(block);
      start = bits::first_set(starts_, block.end().value(), capacity_);
    }
  }

 private:
  static constexpr std::size_t starts_word = map_header::words;

  static constexpr std::size_t buddy_word(Granules capacity) noexcept {
    return bits::add_saturating(starts_word, bits::words_for(capacity.value()));
  }

  constexpr TrimmedBuddy(std::uint64_t* words, const Geometry& geometry, const Buddy& buddy) noexcept
      : starts_(words + starts_word),
        capacity_(geometry.capacity.value()),
        origin_(geometry.origin.value()),
        buddy_(buddy) {}

  constexpr bool may_lie(Extent extent) const noexcept {
    const std::uint64_t first = extent.first.value();
    if (extent.count == Granules(0) || extent.count.value() > capacity_) return false;
    const std::uint64_t whole = std::uint64_t{1} << bits::ceil_log2(extent.count.value());
    return whole <= capacity_ && first <= capacity_ - whole && ((origin_ + first) & (whole - 1)) == 0;
  }

  // No block starts in there, and the last one before it ends before it.
  constexpr bool is_free(Extent extent) const noexcept {
    const std::uint64_t first = extent.first.value();
    const std::uint64_t end = extent.end().value();
    if (bits::first_set(starts_, first, end) != end) return false;
    const std::uint64_t after_start = bits::end_of_last_set(starts_, 0, first);
    return after_start == 0 || Granules(after_start - 1) + length_of(Granules(after_start - 1)) <= extent.first;
  }

  // `extent` is free, and at a multiple of its count's power of two: so is each of its nodes at one of its own size.
  constexpr Extent take(Extent extent) noexcept {
    bits::set(starts_, extent.first.value());
    for (Extent rest = extent; rest.count != Granules(0);) {
      const Granules node = Order(bits::floor_log2(rest.count.value())).granules();
      buddy_.place_at({rest.first, node});
      rest = {rest.first + node, rest.count - node};
    }
    return extent;
  }

  // Does a node of the block before begin at `granule`?
  constexpr bool is_continued(Granules granule) const noexcept {
    return granule.value() < capacity_ && !bits::test(starts_, granule.value()) &&
           buddy_.length_of(granule) != Granules(0);
  }

  // Where no block starts. The buddy would let go of a node that is a block's later part.
  constexpr ReleaseFault fault_at(Granules first) noexcept {
    return is_continued(first) ? ReleaseFault::inner : buddy_.release(first).fault;
  }

  std::uint64_t* starts_;
  std::uint64_t capacity_;
  std::uint64_t origin_;
  Buddy buddy_;
};

}  // namespace freestone::strategy
