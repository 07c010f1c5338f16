#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bit_tree.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/cells.hpp>
#include <freestone/core/map_header.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

// hysteresis: of each order one block that was given back is kept as it is, and the next place of that order takes it,
// so that a place and a release by turns neither split nor merge. All are merged before anything is refused: a refusal
// changes what is live or free in nothing, but perhaps where the next block goes.
struct BuddyOptions {
  bool hysteresis = false;
};

// Blocks of 2^order granules at multiples of their size. Place: the smallest free block that will do (the lowest of its
// order), split down to the order asked for, the lower half kept. Release: merged with its buddy at once, as far as
// that goes. PMEM's rules for its buddy: a capacity need not be a power of two, and a grant is the whole block.
//
// A granule's number counts from a multiple of the largest block at or below the range's start, so it is aligned as
// the absolute number is. Of an order, the block at place p has the numbers from p * 2^order on, its buddy lies at
// place p ^ 1, and both are halves of place p / 2 of the next order. The range starts out as the largest such blocks
// that tile it, so no merge ever leaves it; with an origin of 0 these are the capacity's set bits, largest first.
//
// Map: a byte for every two granules (what starts there: half a byte a granule), then for each order the set of its
// free places (2 bits a granule for all of them). Cost: place and release O(orders), walking nothing. With an alignment
// beyond the block's size, place looks at one free block of each order for every multiple of the alignment at most. At
// most 1400 instructions a place with alignment 1 and 1750 a release, 16.5 times the median (x86-64, g++ 12 -O2, 2^20
// granules, 95 % full): 20 orders split or merged at once, where mostly it is one.
//
// Fragmentation at worst: n granules are never refused while fewer are live than there are places of n's power of two
// in the range, for of these one is free then.
template <BuddyOptions options = BuddyOptions{}>
class BuddyBy {
 public:
  static constexpr std::uint32_t id = options.hysteresis ? map_id("hysteresis", map_id("Buddy")) : map_id("Buddy");
  static constexpr bool exact_release = true;
  static constexpr bool places = true;

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    const unsigned orders = orders_in(capacity.value());
    const unsigned height = (orders + 6) / 6;  // numbers have one bit more than the capacity, at most
    std::size_t words = bits::add_saturating(table_word(orders), table_words(capacity.value()));
    words = bits::add_saturating(words, BitTrees::words_before_levels(orders, height));
    for (unsigned order = 0; order < orders; ++order) {
      const std::uint64_t most_places = ((capacity.value() - 1) >> order) + (order == 0 ? 1 : 2);
      words = bits::add_saturating(words, BitTrees::words_for_levels(most_places, height));
    }
    return words;
  }

  static constexpr Result<BuddyBy> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    const std::size_t needed = footprint(geometry.capacity);
    if (const Error error = map_header::check_notes(words, needed); error) return error;
    map_header::invalidate(words);
    for (std::uint64_t& word : words.subspan(free_word, needed - free_word)) word = 0;
    BuddyBy map(words.data(), geometry);
    map.lay_out();
    map_header::write(words, id, geometry);
    return map;
  }

  static constexpr Result<BuddyBy> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check(words, footprint(geometry.capacity), id, geometry); error) return error;
    return BuddyBy(words.data(), geometry);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    BuddyBy map = *this;  // a store through the words cannot change these members, so they are read once
    if (count.value() - 1 >= map.words_[free_word]) return std::nullopt;
    const unsigned order = bits::ceil_log2(count.value());
    if constexpr (options.hysteresis) {
      return map.has_kept(order, align.value()) ? map.take_kept(order) : place_unkept(order, align.value());
    } else {
      return map.place_free(order, align.value());
    }
  }

  // The extent's count is rounded up to its order, as `place` does.
  constexpr std::optional<Extent> place_at(Extent extent) noexcept {
    if (!is_within(extent)) return std::nullopt;
    const std::uint64_t number = number_of(extent.first);
    const unsigned order = bits::ceil_log2(extent.count.value());
    if ((number & (size_of(order) - 1)) != 0) return std::nullopt;
    unsigned found = free_order_of(number, order);
    if (found == none && merge_kept()) found = free_order_of(number, order);
    if (found == none) return std::nullopt;
    return cut(found, number, order);
  }

  // The upper halves are kept then.
  constexpr std::optional<Extent> place_high(Granules count, Granules align) noexcept {
    if (count.value() - 1 >= free_granules().value()) return std::nullopt;
    merge_kept();
    const unsigned order = bits::ceil_log2(count.value());
    std::uint64_t highest = nowhere;
    unsigned highest_in = none;
    for (std::uint64_t left = orders_from(order); left != 0; left &= left - 1) {
      const unsigned found = bits::lowest_bit(left);
      const std::uint64_t number = highest_aligned(found, order, align.value());
      if (number == nowhere || (highest != nowhere && number < highest)) continue;
      highest = number;
      highest_in = found;
    }
    if (highest == nowhere) return std::nullopt;
    return cut(highest_in, highest, order);
  }

  // Makes the live block that starts at `first` that long where it lies (rounded as place rounds): gives its upper
  // halves back, or takes its buddies. Empty, and nothing changed, when no live block starts there, `count` is 0, or
  // the larger block could not lie there or is not free. Cost: O(orders).
  constexpr std::optional<Extent> resize(Granules first, Granules count) noexcept {
    const Granules length = length_of(first);
    if (length == Granules(0) || count.value() - 1 >= capacity_) return std::nullopt;
    const std::uint64_t number = number_of(first);
    const unsigned order = bits::floor_log2(length.value());
    const unsigned wanted = bits::ceil_log2(count.value());
    if (!may_grow(number, order, wanted) && !(merge_kept() && may_grow(number, order, wanted))) return std::nullopt;
    for (unsigned k = wanted; k < order; ++k) trees_.insert(k, (number >> k) + 1);
    for (unsigned k = order; k < wanted; ++k) trees_.erase(k, (number >> k) + 1);
    words_[free_word] += size_of(order);
    clear_start(number);
    return take(number, wanted);
  }

  // Takes exactly these granules, as the largest blocks that tile them; visit(Extent) for each, lowest first. They are
  // given back one by one. False, and nothing changed, when any is not free or lies outside, or when there are none.
  // Cost: O(orders) for each of these blocks, of which there are O(orders).
  template <class Visitor>
  constexpr bool reserve(Extent extent, Visitor&& visit) noexcept {
    if (!is_within(extent) || !is_free(extent)) return false;
    const std::uint64_t end = number_of(extent.end());
    for (std::uint64_t number = number_of(extent.first); number != end;) {
      const unsigned order = largest_order(number, end);
      visit(*place_at(extent_of(number, order)));
      number += size_of(order);
    }
    return true;
  }

  constexpr Released release(Granules first) noexcept {
    BuddyBy map = *this;
    if (first.value() >= map.capacity_) return {.fault = ReleaseFault::outside};
    const std::uint64_t number = map.number_of(first);
    const unsigned start = map.start_at(number);
    if (!starts(start, number)) return {.fault = fault_at(number)};
    const unsigned order = order_of(start);
    map.clear_start(number);
    map.words_[free_word] += size_of(order);
    if constexpr (options.hysteresis) {
      if (!map.keep(order, number)) merge_unkept(order, number >> order);
    } else {
      map.merge(order, number >> order);
    }
    return {.count = Granules(size_of(order))};
  }

  constexpr Granules length_of(Granules first) const noexcept {
    if (first.value() >= capacity_) return Granules(0);
    const unsigned start = start_at(number_of(first));
    return Granules(starts(start, number_of(first)) ? size_of(order_of(start)) : 0);
  }

  // Cost: O(orders).
  constexpr std::optional<Extent> containing(Granules granule) const noexcept {
    return granule.value() < capacity_ ? block_around(number_of(granule)) : std::nullopt;
  }

  constexpr Granules free_granules() const noexcept { return Granules(words_[free_word]); }

  // With hysteresis: once all that is kept were merged, as `place` would do. Cost: O(orders), then O(orders^3).
  constexpr Granules largest_free() const noexcept {
    std::uint64_t orders = trees_.non_empty();
    if constexpr (options.hysteresis) {
      for (std::uint64_t left = words_[kept_word]; left != 0; left &= left - 1) {
        orders |= size_of(merged_order_of(bits::lowest_bit(left)));
      }
    }
    return Granules(orders == 0 ? 0 : size_of(bits::floor_log2(orders)));
  }

  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    for_each_node([&](Extent extent, bool live) {
      if (live) visit(extent);
    });
  }

  // Every node, live and free, lowest first: they tile the range. visit(Extent, bool live). Cost: O(nodes * orders).
  template <class Visitor>
  constexpr void for_each_node(Visitor&& visit) const {
    for (std::uint64_t number = window_; number != window_ + capacity_;) {
      const unsigned start = start_at(number);
      const bool live = starts(start, number);
      const unsigned order = live ? order_of(start) : node_order_of(number);
      visit(extent_of(number, order), live);
      number += size_of(order);
    }
  }

 private:
  static constexpr unsigned none = 64;  // no order
  static constexpr std::uint64_t nowhere = BitTrees::none;

  static constexpr std::size_t free_word = map_header::words;  // free granules, kept ones among them
  // With hysteresis only. Bit k: a block of order k is kept, its number stands k words behind the next one.
  static constexpr std::size_t kept_word = map_header::words + 1;
  static constexpr std::size_t table_word(unsigned orders) noexcept {
    return kept_word + (options.hysteresis ? 1 + std::size_t{orders} : 0);
  }
  static constexpr std::size_t table_words(std::uint64_t capacity) noexcept {
    const std::uint64_t words = (capacity >> 4) + 1;  // a byte for each of capacity / 2 + 1 pairs
    return words > SIZE_MAX ? SIZE_MAX : static_cast<std::size_t>(words);
  }

  constexpr BuddyBy(std::uint64_t* words, const Geometry& geometry) noexcept
      : words_(words),
        table_(words + table_word(orders_in(geometry.capacity.value()))),
        capacity_(geometry.capacity.value()),
        origin_(geometry.origin.value()),
        window_(origin_ & (size_of(bits::floor_log2(capacity_ | 1)) - 1)),
        trees_(table_ + table_words(capacity_), BitTrees::height_for(window_ + capacity_ - 1)) {}

  static constexpr std::uint64_t size_of(unsigned order) noexcept { return std::uint64_t{1} << order; }
  static constexpr unsigned orders_in(std::uint64_t capacity) noexcept {
    return capacity == 0 ? 0 : bits::floor_log2(capacity) + 1;
  }

  constexpr void lay_out() noexcept {
    const std::uint64_t end = window_ + capacity_;
    const unsigned orders = orders_in(capacity_);
    std::uint64_t word = BitTrees::words_before_levels(orders, BitTrees::height_for(end - 1));
    for (unsigned order = 0; order < orders; ++order) {
      word = trees_.lay_out(order, window_ >> order, (end - 1) >> order, word);
    }
    words_[free_word] = capacity_;
    for (std::uint64_t number = window_; number != end;) {
      const unsigned order = largest_order(number, end);
      trees_.insert(order, number >> order);
      number += size_of(order);
    }
  }

  // --- numbers ---

  constexpr std::uint64_t number_of(Granules granule) const noexcept { return window_ + granule.value(); }
  constexpr Extent extent_of(std::uint64_t number, unsigned order) const noexcept {
    return {Granules(number - window_), Granules(size_of(order))};
  }
  constexpr bool is_within(Extent extent) const noexcept {
    return extent.count.value() - 1 < capacity_ && extent.first.value() <= capacity_ - extent.count.value();
  }
  // The largest block that may start at `number` and ends at or before `end`.
  static constexpr unsigned largest_order(std::uint64_t number, std::uint64_t end) noexcept {
    const unsigned by_room = bits::floor_log2(end - number);
    return number == 0 || bits::lowest_bit(number) > by_room ? by_room : bits::lowest_bit(number);
  }
  // How far the absolute number is beyond ours.
  constexpr std::uint64_t base() const noexcept { return origin_ - window_; }
  // The first number from there on whose absolute one is a multiple of `align`. (Beyond the range where there is none.)
  constexpr std::uint64_t aligned_from(std::uint64_t number, std::uint64_t align) const noexcept {
    return bits::align_up(base() + number, align) - base();
  }

  // --- starts: of a pair of granules, bits 0 and 1 say that a live block starts at the even or odd one, and the bits
  // above hold the order. A block of more than one granule starts at an even one, and is alone. ---

  constexpr std::size_t pair_of(std::uint64_t number) const noexcept {
    return static_cast<std::size_t>((number >> 1) - (window_ >> 1));
  }
  static constexpr unsigned bit_of(std::uint64_t number) noexcept { return 1U << (number & 1); }
  static constexpr bool starts(unsigned start, std::uint64_t number) noexcept { return (start & bit_of(number)) != 0; }
  static constexpr unsigned order_of(unsigned start) noexcept { return start >> 2; }

  constexpr unsigned start_at(std::uint64_t number) const noexcept { return cells::load_byte(table_, pair_of(number)); }
  constexpr void clear_start(std::uint64_t number) noexcept {
    const unsigned left = start_at(number) & 3U & ~bit_of(number);
    cells::store_byte(table_, pair_of(number), static_cast<unsigned char>(left));
  }

  // Makes the block live; its granules are in no set.
  constexpr Extent take(std::uint64_t number, unsigned order) noexcept {
    const unsigned start = start_at(number) | order << 2 | bit_of(number);
    cells::store_byte(table_, pair_of(number), static_cast<unsigned char>(start));
    words_[free_word] -= size_of(order);
    return extent_of(number, order);
  }

  // Where no live block starts.
  [[gnu::cold, gnu::noinline]] constexpr ReleaseFault fault_at(std::uint64_t number) const noexcept {
    return block_around(number) ? ReleaseFault::inner : ReleaseFault::not_live;
  }
  constexpr std::optional<Extent> block_around(std::uint64_t number) const noexcept {
    for (unsigned order = 0; order < orders_in(capacity_); ++order) {
      const std::uint64_t first = number & ~(size_of(order) - 1);
      if (first < window_) break;
      const unsigned start = start_at(first);
      if (starts(start, first) && order_of(start) >= order) return extent_of(first, order_of(start));
    }
    return std::nullopt;
  }

  // --- free blocks ---

  constexpr std::uint64_t orders_from(unsigned order) const noexcept {
    return trees_.non_empty() & (bits::all << order);
  }
  // The order of the free block that `number` lies in, if that is at least `least`; otherwise none.
  constexpr unsigned free_order_of(std::uint64_t number, unsigned least) const noexcept {
    for (std::uint64_t left = orders_from(least); left != 0; left &= left - 1) {
      const unsigned order = bits::lowest_bit(left);
      if (trees_.contains(order, number >> order)) return order;
    }
    return none;
  }
  // The same of any order, kept or not.
  constexpr unsigned node_order_of(std::uint64_t number) const noexcept {
    const unsigned order = free_order_of(number, 0);
    return order != none ? order : kept_order_of(number);
  }
  constexpr bool is_free(Extent extent) const noexcept {
    const std::uint64_t end = number_of(extent.end());
    for (std::uint64_t number = number_of(extent.first); number < end;) {
      const unsigned order = node_order_of(number);
      if (order == none) return false;
      number = ((number >> order) + 1) << order;
    }
    return true;
  }
  // A block of that order at `number` may become one of order `wanted`.
  constexpr bool may_grow(std::uint64_t number, unsigned order, unsigned wanted) const noexcept {
    for (unsigned k = order; k < wanted; ++k) {
      if ((number & size_of(k)) != 0 || !trees_.contains(k, (number >> k) + 1)) return false;
    }
    return true;
  }

  constexpr std::optional<Extent> place_free(unsigned order, std::uint64_t align) noexcept {
    if (align > size_of(order)) return place_aligned(order, align);
    std::uint64_t orders = orders_from(order);
    if (orders == 0 && merge_kept()) orders = orders_from(order);
    if (orders == 0) return std::nullopt;
    const unsigned found = bits::lowest_bit(orders);
    const std::uint64_t number = trees_.take_lowest(found) << found;
    for (unsigned k = found; k-- > order;) trees_.insert_only(k, (number >> k) + 1);  // that order had none
    return take(number, order);
  }

  // These are out of line, so that place and release are short enough to be inlined.
  [[gnu::noinline]] constexpr std::optional<Extent> place_unkept(unsigned order, std::uint64_t align) noexcept {
    BuddyBy map = *this;
    return map.place_free(order, align);
  }
  [[gnu::noinline]] constexpr void merge_unkept(unsigned order, std::uint64_t place) noexcept {
    BuddyBy map = *this;
    map.merge(order, place);
  }
  [[gnu::noinline]] constexpr std::optional<Extent> place_aligned(unsigned order, std::uint64_t align) noexcept {
    for (std::uint64_t left = orders_from(order); left != 0; left &= left - 1) {
      const unsigned found = bits::lowest_bit(left);
      if (const std::uint64_t number = lowest_aligned(found, align); number != nowhere) {
        return cut(found, number, order);
      }
    }
    return merge_kept() ? place_aligned(order, align) : std::nullopt;
  }
  // The lowest free block of that order that starts at a multiple of `align`.
  constexpr std::uint64_t lowest_aligned(unsigned order, std::uint64_t align) const noexcept {
    const std::uint64_t step = align > size_of(order) ? align : size_of(order);
    for (std::uint64_t number = aligned_from(window_, step); number - window_ < capacity_;) {
      const std::uint64_t place = trees_.first_from(order, number >> order);
      if (place == BitTrees::none) return nowhere;
      number = aligned_from(place << order, step);
      if (number == place << order) return number;
    }
    return nowhere;
  }
  // In the free blocks of order `found`, the highest place for one of `order` at a multiple of `align`.
  constexpr std::uint64_t highest_aligned(unsigned found, unsigned order, std::uint64_t align) const noexcept {
    const std::uint64_t step = align > size_of(order) ? align : size_of(order);
    std::uint64_t number = window_ + capacity_ - 1;
    do {
      const std::uint64_t place = trees_.last_to(found, number >> found);
      if (place == BitTrees::none) return nowhere;
      if (step <= size_of(found)) return ((place + 1) << found) - step;
      number = ((base() + (place << found)) & ~(step - 1)) - base();
      if (number == place << found) return number;
    } while (number - window_ < capacity_);
    return nowhere;
  }

  // Cuts the free block of order `found` that holds `number` until one of `order` starts there, and makes that live.
  constexpr Extent cut(unsigned found, std::uint64_t number, unsigned order) noexcept {
    trees_.erase(found, number >> found);
    for (unsigned k = found; k-- > order;) trees_.insert(k, (number >> k) ^ 1);
    return take(number, order);
  }

  // No buddy outside the range is ever in a set, so the merge ends there by itself.
  constexpr void merge(unsigned order, std::uint64_t place) noexcept {
    for (; trees_.contains(order, place ^ 1); ++order, place >>= 1) trees_.erase(order, place ^ 1);
    trees_.insert(order, place);
  }

  // --- hysteresis: kept blocks are in no set ---

  constexpr std::uint64_t& kept(unsigned order) const noexcept { return words_[kept_word + 1 + order]; }

  constexpr bool has_kept(unsigned order, std::uint64_t align) const noexcept {
    if constexpr (!options.hysteresis) return false;
    if ((words_[kept_word] >> order & 1) == 0) return false;
    return align <= size_of(order) || aligned_from(kept(order), align) == kept(order);
  }
  constexpr Extent take_kept(unsigned order) noexcept {
    words_[kept_word] &= ~size_of(order);
    return take(kept(order), order);
  }
  // False when it already keeps one of that order.
  constexpr bool keep(unsigned order, std::uint64_t number) noexcept {
    if constexpr (!options.hysteresis) return false;
    if ((words_[kept_word] >> order & 1) != 0) return false;
    words_[kept_word] |= size_of(order);
    kept(order) = number;
    return true;
  }
  // False when nothing was kept.
  constexpr bool merge_kept() noexcept {
    if constexpr (!options.hysteresis) return false;
    const std::uint64_t orders = words_[kept_word];
    words_[kept_word] = 0;
    for (std::uint64_t left = orders; left != 0; left &= left - 1) {
      const unsigned order = bits::lowest_bit(left);
      merge(order, kept(order) >> order);
    }
    return orders != 0;
  }
  constexpr unsigned kept_order_of(std::uint64_t number) const noexcept {
    if constexpr (!options.hysteresis) return none;
    for (std::uint64_t left = words_[kept_word]; left != 0; left &= left - 1) {
      const unsigned order = bits::lowest_bit(left);
      if (kept(order) >> order == number >> order) return order;
    }
    return none;
  }
  // Of the block that the kept one of that order would be a part of.
  constexpr unsigned merged_order_of(unsigned order) const noexcept {
    std::uint64_t number = kept(order);
    for (;; number &= ~size_of(order++)) {
      const std::uint64_t buddy = number ^ size_of(order);
      const bool in_range = buddy >= window_ && is_within(extent_of(buddy, order));
      if (!in_range || !is_free(extent_of(buddy, order))) return order;
    }
  }

  std::uint64_t* words_;
  std::uint64_t* table_;
  std::uint64_t capacity_;
  std::uint64_t origin_;
  std::uint64_t window_;  // the number of the first granule
  BitTrees trees_;
};

using Buddy = BuddyBy<>;
// At most 3450 instructions a place with alignment 1 and 290 a release, 56 times the median: a place may have to merge
// all that was kept.
using LazyBuddy = BuddyBy<BuddyOptions{.hysteresis = true}>;

}  // namespace freestone::strategy
