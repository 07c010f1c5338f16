#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <freestone/core/bit_tree.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/core/units.hpp>
#include <freestone/strategy/boundary_tags.hpp>
#include <freestone/strategy/end.hpp>

namespace freestone::strategy {

// What makes a hole the smallest that will do. `hole`: its length. `aligned`: its length from the first place on that
// has the alignment asked for (MMZ's rule).
enum class Measure : std::uint8_t { hole, aligned };

// Exact best fit: the smallest hole that holds the request at its alignment; among its equals the one nearest to the
// end of the range that it is cut from. An alignment may be any number.
//
// The holes are an ordered set of keys: a hole's size, then where it lies. Sizes above 2^k and up to 2^(k+1) are an
// octave, with a mark at every multiple of 2^k. Each of its holes holds a mark, and no two the same one, so the first
// mark inside says where a hole lies, and all the octave's keys fit into as many bits as the range has granules. At
// that mark the tags (boundary_tags.hpp) tell the hole's first granule: its own tag, or the way back to it.
//
// Map: 4 bytes a granule for the tags, and log2(capacity) + 1 rows of a bit a granule, where the capacity counts as
// rounded up to a power of two. Cost: place and release O(levels of the keys' BitTree), walking nothing. With an
// alignment, place also walks over the holes that are large enough but not there, or not as good. At most 408
// instructions a place with alignment 1 and 313 a release, 2.8 times the median (x86-64, g++ 12 -O2, 2^20 granules,
// 95 % full).
//
// Fragmentation at worst: n granules are never refused while fewer than capacity / n (rounded down) are live, for of the
// places of n side by side one is free then.
template <End end, Measure measure = Measure::hole>
class BestFitBy : public BoundaryTags<BestFitBy<end, measure>> {
  static_assert(measure == Measure::hole || end == End::low, "Measure::aligned is a rule for the low end only.");

  using Tags = BoundaryTags<BestFitBy>;
  using typename Tags::Hole;
  using typename Tags::Tag;

 public:
  // Their maps are alike, but users with different rules in one zone would be a mistake.
  static constexpr std::uint32_t id =
      map_id("BestFit") + 2 * static_cast<std::uint32_t>(end) + static_cast<std::uint32_t>(measure);
  static constexpr bool any_alignment = true;

  constexpr Granules largest_free() const noexcept {
    const std::uint64_t key = keys_.last_to(keys_in(capacity_));
    return Granules(key == BitTree::none ? 0 : size_of(key));
  }

  // The highest place of all that will do, whatever the hole (MMZ's order HIGH_TO_LOW). Cost: O(blocks).
  constexpr std::optional<Extent> place_high(Granules count, Granules align) noexcept {
    const std::uint64_t n = count.value();
    const std::uint64_t step = align.value() == 0 ? 1 : align.value();  // as in place
    if (n - 1 >= capacity_) return std::nullopt;
    Hole highest;
    this->for_each_hole([&](Hole hole) {
      if (fits(hole, n, step, true)) highest = hole;
    });
    if (highest.count == 0) return std::nullopt;
    return this->cut(highest, place_in(highest, n, step, true), n);
  }

 private:
  friend Tags;
  using Tags::capacity_;
  using Tags::origin_;
  static constexpr std::uint64_t nowhere = Tags::nowhere;

  constexpr BestFitBy(std::uint64_t* words, const Geometry& geometry) noexcept
      : Tags(words, words + Tags::own_words, geometry),
        row_log2_(bits::ceil_log2(capacity_)),
        keys_(words + Tags::own_words + tag_words(capacity_), keys_in(capacity_)) {}

  static constexpr std::size_t tag_words(std::uint64_t capacity) noexcept {
    return static_cast<std::size_t>(capacity / 2) + 2;  // with one cell before the granules, and one behind
  }
  static constexpr std::uint64_t keys_in(std::uint64_t capacity) noexcept {
    const unsigned log2 = bits::ceil_log2(capacity);
    return std::uint64_t{log2 + 1} << log2;
  }
  static constexpr std::size_t words_for(std::uint64_t capacity) noexcept {
    return bits::add_saturating(tag_words(capacity), BitTree::words_for(keys_in(capacity)));
  }
  constexpr void lay_out() noexcept {}

  static constexpr std::size_t tag_cell(std::uint64_t granule) noexcept {
    return 1 + static_cast<std::size_t>(granule);
  }

  // --- keys: rows of 2^row_log2_ bits, one for size 1 and one for each octave; in a row the sizes upwards, of each
  // size the marks upwards ---

  // log2 of the distance of the marks. (Of the sizes 1 and 2 each granule is one.)
  static constexpr unsigned step_of(std::uint64_t size) noexcept { return bits::floor_log2((size - 1) | 1); }
  static constexpr std::uint64_t mark_of(Hole hole) noexcept {
    return bits::align_up(hole.first, std::uint64_t{1} << step_of(hole.count));
  }
  // The first key of that size.
  constexpr std::uint64_t key_of(std::uint64_t size) const noexcept {
    const unsigned step = step_of(size);
    return (std::uint64_t{step} << row_log2_) + ((size - 1) << (row_log2_ - step));
  }
  constexpr std::uint64_t key_of(Hole hole, std::uint64_t mark) const noexcept {
    return key_of(hole.count) + (mark >> step_of(hole.count));
  }

  constexpr unsigned step_in(std::uint64_t key) const noexcept {
    const auto row = static_cast<unsigned>(key >> row_log2_);
    return row - (row != 0);
  }
  constexpr std::uint64_t size_of(std::uint64_t key) const noexcept {
    const unsigned step = step_in(key);
    return ((key - (std::uint64_t{step} << row_log2_)) >> (row_log2_ - step)) + 1;
  }
  constexpr std::uint64_t first_of(std::uint64_t key) const noexcept {
    const std::uint64_t mark = (key << step_in(key)) & ((std::uint64_t{1} << row_log2_) - 1);
    const Tag way_back = this->tag(mark);
    return Tags::is_free(way_back) ? mark : mark - way_back;
  }
  constexpr Hole hole_of(std::uint64_t key) const noexcept { return {first_of(key), size_of(key)}; }

  constexpr void insert(Hole hole) noexcept {
    const std::uint64_t mark = mark_of(hole);
    if (mark != hole.first) this->set_tag(mark, static_cast<Tag>(mark - hole.first));
    keys_.insert(key_of(hole, mark));
  }
  constexpr void erase(Hole hole) noexcept { keys_.erase(key_of(hole, mark_of(hole))); }

  // --- the search ---

  constexpr bool goes_high(std::uint64_t count) const noexcept { return strategy::goes_high(end, count, capacity_); }

  constexpr std::uint64_t find(std::uint64_t count) const noexcept {
    std::uint64_t key = keys_.first_from(key_of(count));
    if (key == BitTree::none) return nowhere;
    if (goes_high(count)) key = keys_.last_to(key_of(size_of(key) + 1) - 1);
    return first_of(key);
  }
  constexpr std::uint64_t start_in(Hole hole, std::uint64_t count) const noexcept {
    return goes_high(count) ? hole.end() - count : hole.first;
  }

  constexpr std::uint64_t find_aligned(std::uint64_t count, std::uint64_t align) const noexcept {
    if constexpr (measure == Measure::aligned) return find_least(count, align);
    return goes_high(count) ? find_down(count, align) : find_up(count, align);
  }
  constexpr std::uint64_t aligned_start_in(Hole hole, std::uint64_t count, std::uint64_t align) const noexcept {
    return place_in(hole, count, align, goes_high(count));
  }

  constexpr std::uint64_t find_up(std::uint64_t count, std::uint64_t align) const noexcept {
    for (std::uint64_t key = keys_.first_from(key_of(count)); key != BitTree::none; key = keys_.first_from(key + 1)) {
      if (fits(hole_of(key), count, align, false)) return first_of(key);
    }
    return nowhere;
  }
  // Size by size, in each of them downwards.
  constexpr std::uint64_t find_down(std::uint64_t count, std::uint64_t align) const noexcept {
    std::uint64_t first = keys_.first_from(key_of(count));
    while (first != BitTree::none) {
      const std::uint64_t behind = key_of(size_of(first) + 1);
      for (std::uint64_t key = keys_.last_to(behind - 1);; key = keys_.last_to(key - 1)) {
        if (fits(hole_of(key), count, align, true)) return first_of(key);
        if (key == first) break;
      }
      first = keys_.first_from(behind);
    }
    return nowhere;
  }
  // From its first aligned place on a hole is at most `align - 1` shorter: that ends the walk.
  constexpr std::uint64_t find_least(std::uint64_t count, std::uint64_t align) const noexcept {
    std::uint64_t found = nowhere;
    std::uint64_t least = bits::all;
    for (std::uint64_t key = keys_.first_from(key_of(count)); key != BitTree::none; key = keys_.first_from(key + 1)) {
      const Hole hole = hole_of(key);
      if (found != nowhere && hole.count - least >= align) break;
      if (!fits(hole, count, align, false)) continue;
      const std::uint64_t length = hole.end() - place_in(hole, count, align, false);
      if (length > least || (length == least && hole.first > found)) continue;
      found = hole.first;
      least = length;
    }
    return found;
  }

  // How far the first place at a multiple of `align` lies behind the hole's first granule, or the last one before the
  // last place of `count` granules.
  constexpr std::uint64_t pad_in(Hole hole, std::uint64_t count, std::uint64_t align, bool high) const noexcept {
    if (high) return bits::remainder(origin_ + hole.end() - count, align);
    const std::uint64_t over = bits::remainder(origin_ + hole.first, align);
    return over == 0 ? 0 : align - over;
  }
  constexpr bool fits(Hole hole, std::uint64_t count, std::uint64_t align, bool high) const noexcept {
    return hole.count >= count && pad_in(hole, count, align, high) <= hole.count - count;
  }
  constexpr std::uint64_t place_in(Hole hole, std::uint64_t count, std::uint64_t align, bool high) const noexcept {
    const std::uint64_t pad = pad_in(hole, count, align, high);
    return high ? hole.end() - count - pad : hole.first + pad;
  }

  unsigned row_log2_;
  BitTree keys_;
};

using BestFit = BestFitBy<End::low>;
using BestFitHigh = BestFitBy<End::high>;
using BestFitTwoEnded = BestFitBy<End::by_size>;
using BestFitMmz = BestFitBy<End::low, Measure::aligned>;

}  // namespace freestone::strategy
