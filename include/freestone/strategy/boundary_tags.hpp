#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/cells.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

// What strategies with boundary tags (Knuth) share: how a hole is cut, and how a release finds its neighbours.
//
// Blocks and holes (a hole is a free extent, as long as it can be) tile the range. A tag is a 32-bit cell for each
// granule: at a block's first granule `live` and its count; at a hole's first and last `free` and its count; at a
// block's last, where it is not the first too, 0. All other tags mean nothing, but none of them says `live`. So one
// look says whether a block starts at a granule, and one to each side of a block whether a hole lies there.
//
// S is the strategy (`class Segregated : public BoundaryTags<Segregated>`). It keeps the set of holes, and has:
//   words_for(capacity)         how many words it takes behind `own_words`, the tags among them
//   tag_cell(granule)           its tag, as a cell of `tags_`; of granules -1 and `capacity` one that stays 0
//   lay_out()                   makes the empty set, out of words that are 0
//   insert(hole), erase(hole)   a hole's tags are written before it is inserted
//   find(count)                 the first granule of the hole to cut, or `nowhere`
//   start_in(hole, count)       where in that hole the block will lie
//   find_aligned(count, align)  the same two for an alignment of 2 and more
//   aligned_start_in(hole, count, align)
template <class S>
class BoundaryTags {
 public:
  static constexpr bool exact_release = true;
  static constexpr bool places = true;
  static constexpr bool any_extent = true;

  // A tag has 30 bits for a count: with more granules than that no span is long enough.
  static constexpr std::uint64_t most_granules = (std::uint64_t{1} << 30) - 1;

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    return capacity.value() > most_granules ? SIZE_MAX
                                            : bits::add_saturating(own_words, S::words_for(capacity.value()));
  }

  // Cost: O(granules).
  static constexpr Result<S> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    const std::size_t needed = footprint(geometry.capacity);
    if (const Error error = map_header::check_notes(words, needed); error) return error;
    map_header::invalidate(words);
    for (std::uint64_t& word : words.subspan(map_header::words, needed - map_header::words)) word = 0;
    S map(words.data(), geometry);
    map.lay_out();
    map.words_[free_word] = map.capacity_;
    if (map.capacity_ != 0) map.put({0, map.capacity_});
    map_header::write(words, S::id, geometry);
    return map;
  }

  static constexpr Result<S> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    const std::size_t needed = footprint(geometry.capacity);
    if (const Error error = map_header::check(words, needed, S::id, geometry); error) return error;
    return S(words.data(), geometry);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    const std::uint64_t n = count.value();
    if (n - 1 >= capacity_) return std::nullopt;
    if (align.value() > 1) return place_aligned(n, align.value());
    S map = self();  // stores through the words may be to `this`, as far as a compiler knows; to a copy they are not
    const std::uint64_t found = map.find(n);
    if (found == nowhere) return std::nullopt;
    const Hole hole{found, count_of(map.tag(found))};
    return map.cut(hole, map.start_in(hole, n), n);
  }

  // Cost: O(blocks) to find the hole; O(1) behind the block that was put last, so lowest first is quick.
  constexpr std::optional<Extent> place_at(Extent extent) noexcept {
    const std::uint64_t first = extent.first.value();
    const std::uint64_t n = extent.count.value();
    if (n - 1 >= capacity_ || first > capacity_ - n) return std::nullopt;
    const Hole around = part_around(first);
    if (is_live(tag(around.first)) || around.end() - first < n) return std::nullopt;
    words_[hint_word] = first;
    return cut(around, first, n);
  }

  // Cost: O(1).
  constexpr std::optional<Extent> resize(Granules first, Granules count) noexcept {
    const std::uint64_t start = first.value();
    const std::uint64_t n = count.value();
    if (start >= capacity_ || n - 1 >= capacity_ || !is_live(tag(start))) return std::nullopt;
    const Hole block{start, count_of(tag(start))};
    const Tag next = tag(block.end());
    const Hole behind{block.end(), is_free(next) ? count_of(next) : 0};
    if (n > block.count + behind.count) return std::nullopt;
    if (n != block.count) move_end(block, behind, n);
    return Extent{first, count};
  }

  // Cost: O(1). A refusal within the range walks over the blocks.
  constexpr Released release(Granules first) noexcept {
    const std::uint64_t start = first.value();
    if (start >= capacity_) [[unlikely]]
      return {.fault = ReleaseFault::outside};
    cells::prefetch(tags_, S::tag_cell(start) + cells_a_line);  // of a small block the end lies in the next line
    const Tag own = tag(start);
    if (!is_live(own)) [[unlikely]]
      return {.fault = fault_at(start)};
    S map = self();  // as in place
    map.join({start, count_of(own)});
    return {.count = Granules(count_of(own))};
  }

  constexpr Granules length_of(Granules first) const noexcept {
    if (first.value() >= capacity_) return Granules(0);
    const Tag own = tag(first.value());
    return Granules(is_live(own) ? count_of(own) : 0);
  }

  // Cost: a walk from a block that is known to lie before it, or from the start.
  constexpr std::optional<Extent> containing(Granules granule) const noexcept {
    if (granule.value() >= capacity_) return std::nullopt;
    const Hole part = part_around(granule.value());
    if (!is_live(tag(part.first))) return std::nullopt;
    return Extent{Granules(part.first), Granules(part.count)};
  }

  constexpr Granules free_granules() const noexcept { return Granules(words_[free_word]); }

  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    for_each_part([&](Hole part, bool is_block) {
      if (is_block) visit(Extent{Granules(part.first), Granules(part.count)});
    });
  }

 protected:
  using Tag = cells::Cell;

  struct Hole {
    std::uint64_t first = 0;
    std::uint64_t count = 0;

    constexpr std::uint64_t end() const noexcept { return first + count; }
  };
  static constexpr std::uint64_t nowhere = bits::all;

  static constexpr std::size_t own_words = map_header::words + 2;

  constexpr BoundaryTags(std::uint64_t* words, std::uint64_t* tags, const Geometry& geometry) noexcept
      : words_(words), tags_(tags), capacity_(geometry.capacity.value()), origin_(geometry.origin.value()) {}

  static constexpr bool is_live(Tag tag) noexcept { return (tag & live) != 0; }
  static constexpr bool is_free(Tag tag) noexcept { return (tag & free) != 0; }
  static constexpr std::uint64_t count_of(Tag tag) noexcept { return tag & (free - 1); }

  constexpr Tag tag(std::uint64_t granule) const noexcept { return cells::load(tags_, S::tag_cell(granule)); }
  constexpr void set_tag(std::uint64_t granule, Tag value) noexcept {
    cells::store(tags_, S::tag_cell(granule), value);
  }

  // Makes the `count` granules from `first` on, which lie in that hole, a block.
  [[gnu::always_inline]] constexpr Extent cut(Hole hole, std::uint64_t first, std::uint64_t count) noexcept {
    const std::uint64_t end = first + count;
    const Hole front{hole.first, first - hole.first};
    const Hole rest{end, hole.end() - end};
    if (front.count != 0) {
      replace(hole, front);
      if (rest.count != 0) put(rest);
    } else if (rest.count != 0) {
      replace(hole, rest);
    } else {
      self().erase(hole);
    }
    set_tag(end - 1, 0);
    set_tag(first, live | static_cast<Tag>(count));
    words_[free_word] -= count;
    return {Granules(first), Granules(count)};
  }

  template <class Visitor>
  constexpr void for_each_hole(Visitor&& visit) const {
    for_each_part([&](Hole part, bool is_block) {
      if (!is_block) visit(part);
    });
  }

  std::uint64_t* words_;
  std::uint64_t* tags_;
  std::uint64_t capacity_;
  std::uint64_t origin_;

 private:
  static constexpr std::size_t free_word = map_header::words;      // free granules
  static constexpr std::size_t hint_word = map_header::words + 1;  // where place_at put a block, perhaps long ago

  static constexpr Tag live = Tag{1} << 31;
  static constexpr Tag free = Tag{1} << 30;

  static constexpr std::size_t cells_a_line = 16;

  constexpr S& self() noexcept { return static_cast<S&>(*this); }
  constexpr const S& self() const noexcept { return static_cast<const S&>(*this); }

  [[gnu::always_inline]] constexpr void put(Hole hole) noexcept {
    const Tag value = free | static_cast<Tag>(hole.count);
    set_tag(hole.first, value);
    set_tag(hole.end() - 1, value);
    self().insert(hole);
  }
  [[gnu::always_inline]] constexpr void replace(Hole old, Hole hole) noexcept {
    self().erase(old);
    put(hole);
  }

  [[gnu::noinline]] constexpr std::optional<Extent> place_aligned(std::uint64_t count, std::uint64_t align) noexcept {
    S map = self();
    const std::uint64_t found = map.find_aligned(count, align);
    if (found == nowhere) return std::nullopt;
    const Hole hole{found, count_of(map.tag(found))};
    return map.cut(hole, map.aligned_start_in(hole, count, align), count);
  }

  [[gnu::cold, gnu::noinline]] constexpr ReleaseFault fault_at(std::uint64_t granule) const noexcept {
    return containing(Granules(granule)) ? ReleaseFault::inner : ReleaseFault::not_live;
  }

  // Makes the block a hole, together with the holes beside it.
  [[gnu::always_inline]] constexpr void join(Hole block) noexcept {
    words_[free_word] += block.count;
    const Tag next = tag(block.end());
    const Tag before = tag(block.first - 1);
    Hole hole = block;
    if (is_free(next)) hole.count += count_of(next);
    if (is_free(before)) {
      const Hole left{block.first - count_of(before), count_of(before)};
      hole = {left.first, left.count + hole.count};
      set_tag(block.first, 0);
      if (is_free(next)) self().erase({block.end(), count_of(next)});
      replace(left, hole);
    } else if (is_free(next)) {
      replace({block.end(), count_of(next)}, hole);
    } else {
      put(hole);
    }
  }

  // Makes the block `count` granules long, of those that it and the hole behind it (perhaps of none) have.
  constexpr void move_end(Hole block, Hole behind, std::uint64_t count) noexcept {
    const std::uint64_t end = block.first + count;
    const Hole rest{end, behind.end() - end};
    if (behind.count != 0) self().erase(behind);
    if (rest.count != 0) put(rest);
    set_tag(end - 1, 0);
    set_tag(block.first, live | static_cast<Tag>(count));
    words_[free_word] = words_[free_word] + block.count - count;
  }

  // Blocks and holes, lowest first: visit(part, is_block).
  template <class Visitor>
  constexpr void for_each_part(Visitor&& visit) const {
    for (std::uint64_t first = 0; first < capacity_; first += count_of(tag(first))) {
      visit(Hole{first, count_of(tag(first))}, is_live(tag(first)));
    }
  }

  // The block or hole that `granule` lies in.
  constexpr Hole part_around(std::uint64_t granule) const noexcept {
    const std::uint64_t hint = words_[hint_word];
    std::uint64_t first = hint <= granule && is_live(tag(hint)) ? hint : 0;
    while (granule - first >= count_of(tag(first))) first += count_of(tag(first));
    return {first, count_of(tag(first))};
  }
};

}  // namespace freestone::strategy
