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

// Blocks of 2^order granules at multiples of their size. Place: the smallest free block that will do (the lowest of its
// order), split down to the order asked for, the lower half kept. Release: merged with its buddy at once, as far as
// that goes. PMEM's rules for its buddy: a capacity need not be a power of two, and a grant is the whole block.
//
// A block's buddy is at its absolute number with bit `order` flipped. The range starts out as the largest such blocks
// that tile it, so no merge ever leaves it; with an origin of 0 these are the capacity's set bits, largest first.
//
// Map: per order two bits for each place of that order, free and live (about 4 bits a granule in all), and a record.
// Cost: place O(orders + words of one order's bitmap), release O(orders).
class Buddy {
 public:
  static constexpr std::uint32_t id = map_id("Buddy");
  static constexpr bool exact_release = true;
  static constexpr bool places = true;

  static constexpr std::size_t footprint(Granules capacity) noexcept {
    std::size_t words = first_record_word;
    for (unsigned order = 0; order < orders_in(capacity.value()); ++order) {
      const std::size_t bitmap = bitmap_words(capacity.value(), order);
      words = bits::add_saturating(words, bits::add_saturating(words_a_record, bits::add_saturating(bitmap, bitmap)));
    }
    return words;
  }

  static constexpr Result<Buddy> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check_notes(words, footprint(geometry.capacity)); error) return error;
    map_header::invalidate(words);
    for (std::uint64_t& word : words.subspan(first_record_word, footprint(geometry.capacity) - first_record_word))
      word = 0;
    Buddy map(words.data(), geometry);
    map.lay_out();
    map_header::write(words, id, geometry);
    return map;
  }

  static constexpr Result<Buddy> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    if (const Error error = map_header::check(words, footprint(geometry.capacity), id, geometry); error) return error;
    return Buddy(words.data(), geometry);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    if (count.value() == 0 || count > free_granules()) return std::nullopt;
    const unsigned order = bits::ceil_log2(count.value());
    for (std::uint64_t left = orders_at_least(order); left != 0; left &= left - 1) {
      const auto found = static_cast<unsigned>(std::countr_zero(left));
      if (const auto number = lowest_free(found, align.value())) return split({*number, found}, *number, order);
    }
    return std::nullopt;
  }

  // The extent's count is rounded up to its order, as `place` does.
  constexpr std::optional<Extent> place_at(Extent extent) noexcept {
    const std::uint64_t count = extent.count.value();
    if (count == 0 || count > capacity_ || extent.first.value() > capacity_ - count) return std::nullopt;
    const std::uint64_t number = origin_ + extent.first.value();
    const unsigned order = bits::ceil_log2(count);
    if ((number & (size_of(order) - 1)) != 0) return std::nullopt;
    for (std::uint64_t left = orders_at_least(order); left != 0; left &= left - 1) {
      const auto found = static_cast<unsigned>(std::countr_zero(left));
      const Node node{number & ~(size_of(found) - 1), found};
      if (in_range(node) && is(free_bits, node)) return split(node, number, order);
    }
    return std::nullopt;
  }

  constexpr Released release(Granules first) noexcept {
    if (first.value() >= capacity_) return {.fault = ReleaseFault::outside};
    const std::uint64_t number = origin_ + first.value();
    const unsigned order = order_at(live_bits, number);
    if (order == none) return {.fault = is_inside_live(number) ? ReleaseFault::inner : ReleaseFault::not_live};
    Node node{number, order};
    clear(live_bits, node);
    words_[free_word] += size_of(order);
    for (Node buddy = buddy_of(node); in_range(buddy) && is(free_bits, buddy); buddy = buddy_of(node)) {
      remove_free(buddy);
      node = {node.number & buddy.number, node.order + 1};
    }
    add_free(node);
    return {.count = Granules(size_of(order))};
  }

  constexpr Granules length_of(Granules first) const noexcept {
    const unsigned order = first.value() < capacity_ ? order_at(live_bits, origin_ + first.value()) : none;
    return Granules(order == none ? 0 : size_of(order));
  }

  constexpr Granules free_granules() const noexcept { return Granules(words_[free_word]); }

  constexpr Granules largest_free() const noexcept {
    const std::uint64_t orders = words_[free_orders_word];
    return Granules(orders == 0 ? 0 : size_of(bits::floor_log2(orders)));
  }

  template <class Visitor>
  constexpr void for_each_block(Visitor&& visit) const {
    for_each_node([&](Extent extent, bool live) {
      if (live) visit(extent);
    });
  }

  // Every node, live and free, lowest first: they tile the range. visit(Extent, bool live). Cost: O(nodes).
  template <class Visitor>
  constexpr void for_each_node(Visitor&& visit) const {
    for (std::uint64_t index = 0; index < capacity_;) {
      const unsigned live_order = order_at(live_bits, origin_ + index);
      const unsigned order = live_order != none ? live_order : order_at(free_bits, origin_ + index);
      visit(Extent{Granules(index), Granules(size_of(order))}, live_order != none);
      index += size_of(order);
    }
  }

 private:
  // A place of one order: the absolute number of its first granule, a multiple of 2^order.
  struct Node {
    std::uint64_t number;
    unsigned order;
  };

  enum Bits : std::size_t { free_bits = 0, live_bits = 1 };  // the two bitmaps of an order, one behind the other
  static constexpr unsigned none = 64;                       // no order

  static constexpr std::size_t free_word = map_header::words;             // free granules
  static constexpr std::size_t free_orders_word = map_header::words + 1;  // bit k: some node of order k is free
  static constexpr std::size_t first_record_word = map_header::words + 2;
  // A record per order: where its bitmaps begin, how many nodes are free, and the lowest place that may be.
  enum Record : std::size_t { bitmaps = 0, free_count = 1, lowest = 2, words_a_record = 3 };

  constexpr Buddy(std::uint64_t* words, const Geometry& geometry) noexcept
      : words_(words),
        capacity_(geometry.capacity.value()),
        origin_(geometry.origin.value()),
        orders_(orders_in(capacity_)) {}

  static constexpr std::uint64_t size_of(unsigned order) noexcept { return std::uint64_t{1} << order; }
  static constexpr unsigned orders_in(std::uint64_t capacity) noexcept {
    return capacity == 0 ? 0 : bits::floor_log2(capacity) + 1;
  }
  // A range of n granules meets at most n / 2^order + 2 places of an order, wherever it begins.
  static constexpr std::size_t bitmap_words(std::uint64_t capacity, unsigned order) noexcept {
    return bits::words_for((capacity >> order) + 2);
  }

  constexpr void lay_out() noexcept {
    std::uint64_t word = first_record_word + std::uint64_t{words_a_record} * orders_;
    for (unsigned order = 0; order < orders_; ++order) {
      record(order)[bitmaps] = word;
      word += 2 * bitmap_words(capacity_, order);
    }
    words_[free_word] = capacity_;
    words_[free_orders_word] = 0;
    for (std::uint64_t index = 0; index < capacity_;) {
      const Node node{origin_ + index, largest_order_at(index)};
      add_free(node);
      index += size_of(node.order);
    }
  }

  // The largest block that may start at `index`: by its number's alignment, and by what is left of the range.
  constexpr unsigned largest_order_at(std::uint64_t index) const noexcept {
    const std::uint64_t number = origin_ + index;
    const unsigned by_room = bits::floor_log2(capacity_ - index);
    const auto by_number = number == 0 ? by_room : static_cast<unsigned>(std::countr_zero(number));
    return by_number < by_room ? by_number : by_room;
  }

  constexpr Node buddy_of(Node node) const noexcept { return {node.number ^ size_of(node.order), node.order}; }
  constexpr bool in_range(Node node) const noexcept {
    return node.order < orders_ && node.number >= origin_ && node.number - origin_ <= capacity_ - size_of(node.order);
  }

  constexpr std::uint64_t* record(unsigned order) const noexcept {
    return words_ + first_record_word + std::size_t{words_a_record} * order;
  }
  constexpr std::uint64_t* bitmap(Bits kind, unsigned order) const noexcept {
    return words_ + record(order)[bitmaps] + kind * bitmap_words(capacity_, order);
  }
  constexpr std::uint64_t place_of(Node node) const noexcept {
    return (node.number >> node.order) - (origin_ >> node.order);
  }

  constexpr bool is(Bits kind, Node node) const noexcept {
    return bits::test(bitmap(kind, node.order), place_of(node));
  }
  constexpr void set(Bits kind, Node node) noexcept { bits::set(bitmap(kind, node.order), place_of(node)); }
  constexpr void clear(Bits kind, Node node) noexcept { bits::clear(bitmap(kind, node.order), place_of(node)); }

  constexpr void add_free(Node node) noexcept {
    std::uint64_t* of_order = record(node.order);
    set(free_bits, node);
    if (of_order[free_count]++ == 0) words_[free_orders_word] |= size_of(node.order);
    if (place_of(node) < of_order[lowest]) of_order[lowest] = place_of(node);
  }
  constexpr void remove_free(Node node) noexcept {
    clear(free_bits, node);
    if (--record(node.order)[free_count] == 0) words_[free_orders_word] &= ~size_of(node.order);
  }

  constexpr std::uint64_t orders_at_least(unsigned order) const noexcept {
    return order >= orders_ ? 0 : words_[free_orders_word] & (bits::all << order);
  }

  // The number of the lowest free node of `order` (there is one) that lies at a multiple of `align`.
  constexpr std::optional<std::uint64_t> lowest_free(unsigned order, std::uint64_t align) noexcept {
    const std::uint64_t end = (capacity_ >> order) + 2;
    const std::uint64_t* free = bitmap(free_bits, order);
    std::uint64_t place = bits::first_set(free, record(order)[lowest], end);
    record(order)[lowest] = place;
    for (; place != end; place = bits::first_set(free, place + 1, end)) {
      const std::uint64_t number = (place + (origin_ >> order)) << order;
      if ((number & (align - 1)) == 0) return number;
    }
    return std::nullopt;
  }

  // Cuts the free `node` in halves until one of `order` starts at `number`, and makes that one live.
  constexpr Extent split(Node node, std::uint64_t number, unsigned order) noexcept {
    remove_free(node);
    while (node.order > order) {
      --node.order;
      const Node upper{node.number + size_of(node.order), node.order};
      const bool keep_upper = number >= upper.number;
      add_free(keep_upper ? node : upper);
      if (keep_upper) node = upper;
    }
    set(live_bits, node);
    words_[free_word] -= size_of(order);
    return {Granules(number - origin_), Granules(size_of(order))};
  }

  // The order of the node of that kind that starts at `number`, or `none`. A number's alignment bounds it: two tries on
  // the average.
  constexpr unsigned order_at(Bits kind, std::uint64_t number) const noexcept {
    const unsigned largest = largest_order_at(number - origin_);
    for (unsigned order = 0; order <= largest; ++order) {
      if (is(kind, {number, order})) return order;
    }
    return none;
  }

  constexpr bool is_inside_live(std::uint64_t number) const noexcept {
    for (unsigned order = 0; order < orders_; ++order) {
      const Node node{number & ~(size_of(order) - 1), order};
      if (in_range(node) && is(live_bits, node)) return true;
    }
    return false;
  }

  std::uint64_t* words_;
  std::uint64_t capacity_;
  std::uint64_t origin_;
  unsigned orders_;
};

}  // namespace freestone::strategy
