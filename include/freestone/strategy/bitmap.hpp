#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bit_tree.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/core/max_tree.hpp>
#include <freestone/strategy/concept.hpp>
#include <freestone/strategy/end.hpp>
#include <freestone/strategy/start_step.hpp>

namespace freestone::strategy {

// Of the holes that hold a request: the first from the preferred end on, or of the smallest ones the first.
enum class Fit : std::uint8_t { first, best };

// What a block's start is a multiple of, beside the alignment asked for. `order`: of the power of two that holds it,
// counted from the range's first granule (genalloc's order alignment).
enum class Start : std::uint8_t { any, order };

// Where in the range a request goes.
struct BitmapRule {
  Fit fit = Fit::first;
  End end = End::low;
  Start start = Start::any;

  friend constexpr bool operator==(const BitmapRule&, const BitmapRule&) noexcept = default;
};

// Placement at granule precision: a block is a run of exactly the granules asked for, in the lowest hole that holds it
// unless the rule says otherwise. Any capacity, any number of live blocks, alignment of the absolute granule number.
// PMEM's rules for its bitmap, CMA's, and with other rules genalloc's.
//
// With an `order_per_bit` counts are rounded up to a multiple of 2^order_per_bit granules, and starts are such
// multiples, from the range's first granule on (CMA). Granules beyond the last whole multiple are not used.
//
// Blocks and holes are the parts that tile the range. Map: a bit for the start of each part, in a BitTree, so that a
// part's end and its neighbours are found without a walk; a bit for each part that is a hole; and for every leaf of 64
// granules the length of the longest hole that starts in it, in a MaxTree, so that a search goes straight to the first
// leaf that has one. In all 2.3 bits a granule.
// Cost: place, place_at, resize and release O(levels of the trees). A place with an alignment or with Start::order also
// walks over the holes that are long enough but not there; Fit::best over all that are long enough; place_high over the
// holes of one leaf, at most 32. for_each_block O(blocks). First fit takes at most 810
// instructions a place with alignment 1 and 785 a release, 4.6 times the median (x86-64, g++ 12 -O2, 2^20 granules,
// 95 % full).
//
// Fragmentation at worst: n bits are never refused while fewer than capacity / n (rounded down) are live, for of the
// places of n side by side one is free then. First fit does better in the long run: while no more than M are ever live, i granules
// start at a only where a / i + i <= M, so small blocks do not fence off what lies high, and n granules are refused
// from about capacity / sqrt(2 * n) on only.
template <BitmapRule rule = BitmapRule{}, unsigned order_per_bit = 0>
class BitmapBy {
  static_assert(order_per_bit < 32, "BitmapBy's order_per_bit must be below 32.");

 public:
  static constexpr std::uint32_t id = map_id("Bitmap") + 64 * order_per_bit +
                                      16 * static_cast<std::uint32_t>(rule.fit) +
                                      4 * static_cast<std::uint32_t>(rule.end) + static_cast<std::uint32_t>(rule.start);
  static constexpr bool exact_release = true;
  static constexpr bool places = true;
  static constexpr bool any_extent = order_per_bit == 0;

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    return layout(capacity.value() >> order_per_bit).words;
  }

  // Cost: O(words).
  static constexpr Result<BitmapBy> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    const std::size_t needed = footprint(geometry.capacity);
    if (const Error error = map_header::check_notes(words, needed); error) return error;
    map_header::invalidate(words);
    for (std::uint64_t& word : words.subspan(map_header::words, needed - map_header::words)) word = 0;
    BitmapBy map(words.data(), geometry);
    map.words_[free_word] = map.capacity_;
    map.parts_.insert(map.capacity_);
    if (map.capacity_ != 0) {
      map.parts_.insert(0);
      map.add_hole(0, map.capacity_);
    }
    map_header::write(words, id, geometry);
    return map;
  }

  static constexpr Result<BitmapBy> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    const std::size_t needed = footprint(geometry.capacity);
    if (const Error error = map_header::check(words, needed, id, geometry); error) return error;
    return BitmapBy(words.data(), geometry);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    return place_by(rule, count, align);
  }

  // By another rule than the map's own: a map knows none.
  constexpr std::optional<Extent> place_by(BitmapRule by, Granules count, Granules align) noexcept {
    const std::uint64_t n = bits_of(count);
    if (n - 1 >= capacity_) return std::nullopt;
    const Grid grid = grid_of(by.start, n, align.value());
    BitmapBy map = *this;  // stores through the words may be to `this`, as far as a compiler knows; not to a copy
    const bool high = goes_high(by.end, n, map.capacity_);
    const Place found = by.fit == Fit::best ? map.find_best(n, grid, high)
                        : high              ? map.find_last(map.capacity_, n, grid)
                                            : map.find_first(n, grid);
    if (found.first == nowhere) return std::nullopt;
    return map.cut(found, n);
  }

  // The highest place of all.
  constexpr std::optional<Extent> place_high(Granules count, Granules align) noexcept {
    return place_by({.end = End::high, .start = rule.start}, count, align);
  }

  // The lowest place at `from` or above: for who cannot use what place gave (CMA, whose granules others are in), and looks further on.
  // Cost: place's.
  constexpr std::optional<Extent> place_from(Granules from, Granules count, Granules align) noexcept {
    const std::uint64_t n = bits_of(count);
    if (n - 1 >= capacity_) return std::nullopt;
    const Place found = find_from(bits_of(from), n, grid_of(rule.start, n, align.value()));
    if (found.first == nowhere) return std::nullopt;
    return cut(found, n);
  }

  constexpr std::optional<Extent> place_at(Extent extent) noexcept {
    const std::uint64_t first = bit_of(extent.first);
    const std::uint64_t n = bits_of(extent.count);
    if (!is_bit(extent.first) || n - 1 >= capacity_ || first > capacity_ - n) return std::nullopt;
    const std::uint64_t around = parts_.last_to(first);
    const std::uint64_t end = next_part(around);
    if (!is_hole(around) || end - first < n) return std::nullopt;
    return cut({around, end, first}, n);
  }

  constexpr Released release(Granules first) noexcept {
    const std::uint64_t start = bit_of(first);
    if (start >= capacity_) [[unlikely]]
      return {.fault = ReleaseFault::outside};
    if (!is_bit(first) || !is_block(start)) [[unlikely]]
      return {.fault = fault_at(start)};
    BitmapBy map = *this;  // as in place_by
    const std::uint64_t end = map.next_part(start);
    map.join(start, end);
    return {.count = granules_of(end - start)};
  }

  constexpr std::optional<Extent> resize(Granules first, Granules count) noexcept {
    const std::uint64_t start = bit_of(first);
    const std::uint64_t n = bits_of(count);
    if (n - 1 >= capacity_ || start > capacity_ - n || !is_bit(first) || !is_block(start)) return std::nullopt;
    const std::uint64_t end = next_part(start);
    if (n < end - start) {
      parts_.insert(start + n);
      join(start + n, end);
    } else if (n > end - start) {
      const std::uint64_t hole_end = is_hole(end) ? next_part(end) : end;
      if (hole_end - start < n) return std::nullopt;
      cut({end, hole_end, end}, start + n - end);
      parts_.erase(end);
    }
    return extent_of(start, n);
  }

  constexpr Granules length_of(Granules first) const noexcept {
    const std::uint64_t start = bit_of(first);
    return granules_of(start < capacity_ && is_bit(first) && is_block(start) ? next_part(start) - start : 0);
  }

  // Cost: O(levels).
  constexpr std::optional<Extent> containing(Granules granule) const noexcept {
    if (bit_of(granule) >= capacity_) return std::nullopt;
    const std::uint64_t part = parts_.last_to(bit_of(granule));
    return is_hole(part) ? std::nullopt : std::optional(extent_of(part, next_part(part) - part));
  }

  // The hole that `granule` lies in; empty where a block has it, or outside. Cost: O(levels).
  constexpr std::optional<Extent> hole_containing(Granules granule) const noexcept {
    if (bit_of(granule) >= capacity_) return std::nullopt;
    const std::uint64_t part = parts_.last_to(bit_of(granule));
    return is_hole(part) ? std::optional(extent_of(part, next_part(part) - part)) : std::nullopt;
  }

  constexpr Granules free_granules() const noexcept { return granules_of(words_[free_word]); }

  // The largest request that place would serve. Cost: O(levels); with holes of 2^15 - 1 bits and more a walk over these;
  // with Start::order one over all.
  constexpr Granules largest_free() const noexcept {
    std::uint64_t largest = lengths_.largest();
    if constexpr (rule.start == Start::order) {
      largest = largest_of_holes(1, [](std::uint64_t hole, std::uint64_t n) { return longest_on_steps(hole, n, 0); });
    } else if (largest == longest_told) {
      largest = largest_of_holes(longest_told, [](std::uint64_t, std::uint64_t n) { return n; });
    }
    return granules_of(largest);
  }

  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    for (std::uint64_t start = 0, end = 0; start < capacity_; start = end) {
      end = next_part(start);
      if (!is_hole(start)) visit(extent_of(start, end - start));
    }
  }

 private:
  static constexpr std::uint64_t nowhere = bits::all;
  static constexpr std::uint64_t longest_told = MaxTree::most;  // holes of that length and more are told as one


  static constexpr std::size_t free_word = map_header::words;  // free bits
  static constexpr std::size_t parts_word = map_header::words + 1;

  // Where a block of so many bits may start: where (bit + offset) & mask is 0.
  struct Grid {
    std::uint64_t mask;
    std::uint64_t offset;
  };
  static constexpr Grid nothing{bits::all, std::uint64_t{1} << 63};  // no bit of any range lies on it
  // The hole from bit `hole` up to `end`, and where in it the block goes.
  struct Place {
    std::uint64_t hole;
    std::uint64_t end;
    std::uint64_t first;
  };
  static constexpr Place no_place{0, 0, nowhere};

  // Behind the range is one more part, so that each part has one behind it.
  struct Layout {
    std::size_t holes_word;
    std::size_t lengths_word;
    std::size_t words;
  };
  static constexpr std::uint64_t leaves_in(std::uint64_t capacity) noexcept {
    return capacity == 0 ? 1 : ((capacity - 1) >> 6) + 1;
  }
  static constexpr Layout layout(std::uint64_t capacity) noexcept {
    if (capacity > bits::all >> 1) return {SIZE_MAX, SIZE_MAX, SIZE_MAX};
    const std::size_t holes = bits::add_saturating(parts_word, BitTree::words_for(capacity + 1));
    const std::size_t lengths = bits::add_saturating(holes, bits::words_for(capacity + 1));
    return {holes, lengths, bits::add_saturating(lengths, MaxTree::words_for(leaves_in(capacity)))};
  }

  constexpr BitmapBy(std::uint64_t* words, const Geometry& geometry) noexcept
      : BitmapBy(words, geometry, layout(geometry.capacity.value() >> order_per_bit)) {}
  constexpr BitmapBy(std::uint64_t* words, const Geometry& geometry, const Layout& layout) noexcept
      : words_(words),
        holes_(words + layout.holes_word),
        capacity_(geometry.capacity.value() >> order_per_bit),
        origin_(geometry.origin.value() >> order_per_bit),
        origin_below_bit_(geometry.origin.value() & below_bit),
        parts_(words + parts_word, capacity_ + 1),
        lengths_(words + layout.lengths_word, leaves_in(capacity_)) {}

  // --- granules and bits ---

  static constexpr std::uint64_t below_bit = (std::uint64_t{1} << order_per_bit) - 1;

  // Rounded up; 0 for 0 only.
  static constexpr std::uint64_t bits_of(Granules count) noexcept {
    return (count.value() >> order_per_bit) + ((count.value() & below_bit) != 0);
  }
  static constexpr Granules granules_of(std::uint64_t bits) noexcept { return Granules(bits << order_per_bit); }
  static constexpr Extent extent_of(std::uint64_t first, std::uint64_t n) noexcept {
    return {granules_of(first), granules_of(n)};
  }
  static constexpr std::uint64_t bit_of(Granules granule) noexcept { return granule.value() >> order_per_bit; }
  static constexpr bool is_bit(Granules granule) noexcept { return (granule.value() & below_bit) == 0; }

  constexpr Grid grid_of(Start start, std::uint64_t n, std::uint64_t align) const noexcept {
    if ((origin_below_bit_ & (align - (align != 0))) != 0) return nothing;  // no bit starts at such a multiple
    const std::uint64_t asked = (align >> order_per_bit) + (align >> order_per_bit == 0) - 1;
    if (start == Start::any) return {asked, origin_};
    const std::uint64_t whole = start_step(n, 0);
    const std::uint64_t both = asked < whole ? asked : whole - 1;  // the larger of the two masks holds the smaller one
    if ((origin_ & both) != 0) return nothing;
    return asked < whole ? Grid{whole - 1, 0} : Grid{asked, origin_};
  }

  // --- parts ---

  constexpr bool is_hole(std::uint64_t part) const noexcept { return bits::test(holes_, part); }
  constexpr bool is_block(std::uint64_t bit) const noexcept { return parts_.contains(bit) && !is_hole(bit); }
  constexpr const std::uint64_t* parts_words() const noexcept { return words_ + parts_word; }
  // Where the part that starts there ends, and the next one starts.
  constexpr std::uint64_t next_part(std::uint64_t part) const noexcept { return parts_.first_from(part + 1); }

  constexpr void add_hole(std::uint64_t first, std::uint64_t end) noexcept {
    bits::set(holes_, first);
    lengths_.raise(first >> 6, told(end - first));
  }
  // The hole that started there and had that length is no more, or shorter; the bits say so already.
  constexpr void forget_length(std::uint64_t first, std::uint64_t length) noexcept {
    const std::uint64_t leaf = first >> 6;
    if (told(length) == lengths_.at(leaf)) lengths_.lower(leaf, longest_in(leaf));
  }
  static constexpr std::uint64_t told(std::uint64_t length) noexcept {
    return length < longest_told ? length : longest_told;
  }

  // --- a leaf: a word of each table ---

  // A bit for each granule of the leaf that lies in one of these holes, all of which start in it.
  constexpr std::uint64_t granules_of_holes(std::size_t leaf, std::uint64_t holes) const noexcept {
    const std::uint64_t blocks = parts_words()[leaf] & ~holes_[leaf];
    return (blocks - holes) & ~blocks;  // the borrow runs from each hole up to the block behind it
  }
  constexpr std::uint64_t longest_in(std::uint64_t leaf) const noexcept {
    const auto word = static_cast<std::size_t>(leaf);
    const std::uint64_t holes = holes_[word];
    const std::uint64_t granules = granules_of_holes(word, holes);
    std::uint64_t longest = bits::longest_run(granules);
    if (granules >> 63 != 0) {
      const std::uint64_t last = (leaf << 6) + bits::floor_log2(holes);
      const std::uint64_t length = next_part(last) - last;
      longest = length > longest ? length : longest;
    }
    return told(longest);
  }

  // Makes `n` bits of the hole a block.
  constexpr Extent cut(const Place& place, std::uint64_t n) noexcept {
    const std::uint64_t behind = place.first + n;
    if (place.first == place.hole) {
      bits::clear(holes_, place.hole);
    } else {
      parts_.insert(place.first);
    }
    parts_.insert(behind);  // which it may be already; to ask would be a branch that nobody can predict
    holes_[bits::word_of(behind)] |= std::uint64_t{behind != place.end} << (behind & 63);
    if (behind >> 6 != place.hole >> 6 && behind < capacity_) lengths_.raise(behind >> 6, told(place.end - behind));
    forget_length(place.hole, place.end - place.hole);
    words_[free_word] -= n;
    return extent_of(place.first, n);
  }

  // Makes the block a hole, together with the holes beside it.
  constexpr void join(std::uint64_t first, std::uint64_t end) noexcept {
    words_[free_word] += end - first;
    std::uint64_t hole = first;
    std::uint64_t hole_end = end;
    if (is_hole(end)) {
      hole_end = next_part(end);
      parts_.erase(end);
      bits::clear(holes_, end);
      forget_length(end, hole_end - end);
    }
    if (first != 0) {
      const std::uint64_t before = parts_.last_to(first - 1);
      if (is_hole(before)) {
        hole = before;
        parts_.erase(first);
      }
    }
    add_hole(hole, hole_end);
  }

  [[gnu::cold, gnu::noinline]] constexpr ReleaseFault fault_at(std::uint64_t bit) const noexcept {
    return containing(granules_of(bit)) ? ReleaseFault::inner : ReleaseFault::not_live;
  }

  // --- the search ---

  // The first hole that starts there or above and has `n` bits, or one below it that has less; the last one that starts
  // below there, or one above it that has less.
  constexpr std::uint64_t hole_from(std::uint64_t from, std::uint64_t n) const noexcept {
    if ((from & 63) != 0) {
      if (const std::uint64_t hole = first_in_leaf(from, n); hole != nowhere) return hole;
      from += 64;
    }
    const std::uint64_t leaf = lengths_.first_from(from >> 6, told(n));
    return leaf == MaxTree::none ? nowhere : first_in_leaf(leaf << 6, n);
  }
  constexpr std::uint64_t hole_below(std::uint64_t to, std::uint64_t n) const noexcept {
    if ((to & 63) != 0) {
      if (const std::uint64_t hole = last_in_leaf(to, n); hole != nowhere) return hole;
      to &= ~std::uint64_t{63};
    }
    if (to == 0) return nowhere;
    const std::uint64_t leaf = lengths_.last_to((to >> 6) - 1, told(n));
    return leaf == MaxTree::none ? nowhere : last_in_leaf((leaf + 1) << 6, n);
  }
  constexpr std::uint64_t first_in_leaf(std::uint64_t from, std::uint64_t n) const noexcept {
    const auto word = static_cast<std::size_t>(from >> 6);
    const std::uint64_t holes = holes_[word] & (bits::all << (from & 63));
    if (holes == 0) return nowhere;
    const std::uint64_t starts = bits::starts_of_runs(granules_of_holes(word, holes), n < 64 ? n : 64);
    const unsigned last = bits::floor_log2(holes);  // it may go on in the next word
    return (from & ~std::uint64_t{63}) + (starts == 0 ? last : bits::lowest_bit(starts));
  }
  constexpr std::uint64_t last_in_leaf(std::uint64_t to, std::uint64_t n) const noexcept {
    const std::uint64_t first = (to - 1) & ~std::uint64_t{63};
    for (std::uint64_t end = bits::end_of_last_set(holes_, first, to); end != first;
         end = bits::end_of_last_set(holes_, first, end - 1)) {
      if (next_part(end - 1) - (end - 1) >= n) return end - 1;
    }
    return nowhere;
  }

  // Of what room(hole, length) says of the holes of `n` bits and more.
  template <class Room>
  constexpr std::uint64_t largest_of_holes(std::uint64_t n, Room&& room) const noexcept {
    std::uint64_t largest = 0;
    for (std::uint64_t hole = hole_from(0, n); hole != nowhere; hole = hole_from(next_part(hole), n)) {
      const std::uint64_t found = room(hole, next_part(hole) - hole);
      largest = found > largest ? found : largest;
    }
    return largest;
  }

  // In the hole from `hole` to `end`, not below `from`: the first place on the grid, or the last.
  static constexpr std::uint64_t first_on(const Grid& grid, std::uint64_t from, std::uint64_t end,
                                          std::uint64_t n) noexcept {
    const std::uint64_t pad = (0 - (from + grid.offset)) & grid.mask;
    return end - from >= n && pad <= end - from - n ? from + pad : nowhere;
  }
  static constexpr std::uint64_t last_on(const Grid& grid, std::uint64_t from, std::uint64_t end,
                                         std::uint64_t n) noexcept {
    const std::uint64_t pad = (end - n + grid.offset) & grid.mask;
    return end - from >= n && pad <= end - from - n ? end - n - pad : nowhere;
  }

  [[gnu::always_inline]] constexpr Place find_first(std::uint64_t n, const Grid& grid) const noexcept {
    const std::uint64_t leaf = lengths_.first(told(n));
    return leaf == MaxTree::none ? no_place : find_in(first_in_leaf(leaf << 6, n), n, grid);
  }
  constexpr Place find_above(std::uint64_t from, std::uint64_t n, const Grid& grid) const noexcept {
    return find_in(hole_from(from, n), n, grid);
  }
  // In that hole, or one above it.
  constexpr Place find_in(std::uint64_t hole, std::uint64_t n, const Grid& grid) const noexcept {
    while (hole != nowhere) {
      const std::uint64_t end = next_part(hole);
      const std::uint64_t first = first_on(grid, hole, end, n);
      if (first != nowhere) return {hole, end, first};
      hole = hole_from(end, n);
    }
    return no_place;
  }
  // The first place at `from` or above, which may lie within a hole.
  constexpr Place find_from(std::uint64_t from, std::uint64_t n, const Grid& grid) const noexcept {
    if (from >= capacity_) return no_place;
    const std::uint64_t around = parts_.last_to(from);
    if (is_hole(around)) {
      const std::uint64_t end = next_part(around);
      const std::uint64_t first = first_on(grid, from, end, n);
      if (first != nowhere) return {around, end, first};
      from = end;
    }
    return find_above(from, n, grid);
  }
  // The last place in a hole that starts below `to`.
  constexpr Place find_last(std::uint64_t to, std::uint64_t n, const Grid& grid) const noexcept {
    for (std::uint64_t hole = hole_below(to, n); hole != nowhere; hole = hole_below(hole, n)) {
      const std::uint64_t end = next_part(hole);
      const std::uint64_t first = last_on(grid, hole, end, n);
      if (first != nowhere) return {hole, end, first};
    }
    return no_place;
  }
  // A walk over the holes that are long enough, up to the first that is just as long.
  constexpr Place find_best(std::uint64_t n, const Grid& grid, bool high) const noexcept {
    Place best = no_place;
    const auto next = [&](const Place& place) {
      return high ? find_last(place.hole, n, grid) : find_above(place.end, n, grid);
    };
    for (Place found = high ? find_last(capacity_, n, grid) : find_first(n, grid); found.first != nowhere;
         found = next(found)) {
      if (best.first == nowhere || found.end - found.hole < best.end - best.hole) best = found;
      if (best.end - best.hole == n) break;
    }
    return best;
  }

  std::uint64_t* words_;
  std::uint64_t* holes_;
  std::uint64_t capacity_;  // in bits, as all that is private
  std::uint64_t origin_;
  std::uint64_t origin_below_bit_;  // in granules: all of the alignment that it spoils
  BitTree parts_;
  MaxTree lengths_;
};

using Bitmap = BitmapBy<>;

}  // namespace freestone::strategy
