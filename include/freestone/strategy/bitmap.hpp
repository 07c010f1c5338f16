#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

// First fit at granule precision: a block is a run of exactly the granules asked for, as low as it can lie. PMEM's
// rules for its bitmap; any capacity, any number of live blocks, alignment of the absolute granule number
// throughout.
//
// Map: two bits a granule (used, start of a block) behind two counters. A block ends where the next one starts or where
// use ends, so no length is kept.
// Cost: place O(words between the lowest free granule and the place), release O(words of the block), largest_free and
// for_each_block O(words of the map).
class Bitmap {
 public:
  static constexpr std::uint32_t id = map_id("Bitmap");
  static constexpr bool exact_release = true;
  static constexpr bool places = true;

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    const std::size_t bitmap = bits::words_for(capacity.value());
    return bits::add_saturating(bits::add_saturating(bitmap, bitmap), first_bitmap_word);
  }

  static constexpr Result<Bitmap> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check_notes(words, footprint(geometry.capacity)); error) return error;
    map_header::invalidate(words);
    for (std::uint64_t& word : words.subspan(first_bitmap_word, footprint(geometry.capacity) - first_bitmap_word))
      word = 0;
    words[free_word] = geometry.capacity.value();
    words[lowest_word] = 0;
    map_header::write(words, id, geometry);
    return Bitmap(words.data(), geometry);
  }

  static constexpr Result<Bitmap> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check(words, footprint(geometry.capacity), id, geometry); error) return error;
    return Bitmap(words.data(), geometry);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    const std::uint64_t need = count.value();
    if (need == 0 || need > words_[free_word]) return std::nullopt;
    const std::uint64_t lowest = bits::first_clear(used_, words_[lowest_word], capacity_);
    for (std::uint64_t from = lowest;; from = bits::first_clear(used_, from, capacity_)) {
      const std::uint64_t first = bits::align_up(origin_ + from, align.value()) - origin_;
      if (first < from || first > capacity_ - need) return std::nullopt;  // `first < from`: there is no such multiple
      from = bits::end_of_last_set(used_, first, first + need);
      if (from != first) continue;
      words_[lowest_word] = first == lowest ? first + need : lowest;
      return take({Granules(first), count});
    }
  }

  constexpr std::optional<Extent> place_at(Extent extent) noexcept {
    const std::uint64_t first = extent.first.value();
    const std::uint64_t need = extent.count.value();
    if (need == 0 || need > capacity_ || first > capacity_ - need) return std::nullopt;
    if (bits::first_set(used_, first, first + need) != first + need) return std::nullopt;
    return take(extent);
  }

  constexpr Released release(Granules first) noexcept {
    const std::uint64_t start = first.value();
    if (start >= capacity_) return {.fault = ReleaseFault::outside};
    if (!bits::test(starts_, start)) {
      return {.fault = bits::test(used_, start) ? ReleaseFault::inner : ReleaseFault::not_live};
    }
    const std::uint64_t end = end_of(start);
    bits::clear(starts_, start);
    bits::clear_range(used_, start, end);
    words_[free_word] += end - start;
    if (start < words_[lowest_word]) words_[lowest_word] = start;
    return {.count = Granules(end - start)};
  }

  constexpr Granules length_of(Granules first) const noexcept {
    const std::uint64_t start = first.value();
    return Granules(start < capacity_ && bits::test(starts_, start) ? end_of(start) - start : 0);
  }

  constexpr Granules free_granules() const noexcept { return Granules(words_[free_word]); }

  constexpr Granules largest_free() const noexcept {
    std::uint64_t largest = 0;
    for (std::uint64_t from = bits::first_clear(used_, words_[lowest_word], capacity_); from < capacity_;) {
      const std::uint64_t end = bits::first_set(used_, from, capacity_);
      if (end - from > largest) largest = end - from;
      from = bits::first_clear(used_, end, capacity_);
    }
    return Granules(largest);
  }

  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    for (std::uint64_t start = bits::first_set(starts_, 0, capacity_); start < capacity_;) {
      const std::uint64_t end = end_of(start);
      visit(Extent{Granules(start), Granules(end - start)});
      start = bits::first_set(starts_, end, capacity_);
    }
  }

 private:
  static constexpr std::size_t free_word = map_header::words;        // free granules
  static constexpr std::size_t lowest_word = map_header::words + 1;  // no granule below this one is free
  static constexpr std::size_t first_bitmap_word = map_header::words + 2;

  constexpr Bitmap(std::uint64_t* words, const Geometry& geometry) noexcept
      : words_(words),
        used_(words + first_bitmap_word),
        starts_(used_ + bits::words_for(geometry.capacity.value())),
        capacity_(geometry.capacity.value()),
        origin_(geometry.origin.value()) {}

  constexpr Extent take(Extent extent) noexcept {
    bits::set(starts_, extent.first.value());
    bits::set_range(used_, extent.first.value(), extent.end().value());
    words_[free_word] -= extent.count.value();
    return extent;
  }

  // A word at a time in both tables, so that no more is read than the block has.
  constexpr std::uint64_t end_of(std::uint64_t start) const noexcept {
    for (std::uint64_t from = start + 1; from < capacity_; from = (from | 63) + 1) {
      const std::size_t word = bits::word_of(from);
      const std::uint64_t ends = (~used_[word] | starts_[word]) & (bits::all << (from & 63));
      const std::uint64_t end = (from & ~std::uint64_t{63}) + static_cast<unsigned>(std::countr_zero(ends));
      if (ends != 0) return end < capacity_ ? end : capacity_;
    }
    return capacity_;
  }

  std::uint64_t* words_;
  std::uint64_t* used_;
  std::uint64_t* starts_;
  std::uint64_t capacity_;
  std::uint64_t origin_;
};

}  // namespace freestone::strategy
