// The same strategies, written so plainly that one can see that they are right: a sorted list of blocks, searched from
// its start. Slow, on the heap, and sharing no line with the library's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include <freestone/strategy/concept.hpp>

namespace freestone::naive {

using Number = std::uint64_t;

// Live blocks: first granule -> count.
class IntervalMap {
 public:
  explicit IntervalMap(const Geometry& range) : capacity_(range.capacity.value()), origin_(range.origin.value()) {}

  Released release(Granules first) {
    if (first.value() >= capacity_) return {.fault = ReleaseFault::outside};
    const Granules count = length_of(first);
    if (count == Granules(0))
      return {.fault = is_free(first.value(), 1) ? ReleaseFault::not_live : ReleaseFault::inner};
    live_.erase(first.value());
    used_ -= count.value();
    return {.count = count};
  }

  Granules length_of(Granules first) const {
    const auto block = live_.find(first.value());
    return Granules(block == live_.end() ? 0 : block->second);
  }

  Granules free_granules() const { return Granules(capacity_ - used_); }

  template <class Visitor>
  void for_each_block(Visitor&& visit) const {
    for (const auto& [first, count] : live_) visit(Extent{Granules(first), Granules(count)});
  }

 protected:
  bool is_free(Number first, Number count) const {
    const auto next = live_.lower_bound(first + count);
    if (next == live_.begin()) return true;
    const auto last_before = std::prev(next);
    return last_before->first + last_before->second <= first;
  }

  Extent take(Number first, Number count) {
    live_.emplace(first, count);
    used_ += count;
    return {Granules(first), Granules(count)};
  }

  // visit(first, end) for each run of free granules, lowest first, until it says true.
  template <class Visitor>
  void for_each_gap(Visitor&& visit) const {
    Number from = 0;
    for (const auto& [first, count] : live_) {
      if (visit(from, first)) return;
      from = first + count;
    }
    visit(from, capacity_);
  }

  std::map<Number, Number> live_;
  Number capacity_;
  Number origin_;
  Number used_ = 0;
};

class Bitmap : public IntervalMap {
 public:
  using IntervalMap::IntervalMap;

  std::optional<Extent> place(Granules count, Granules align) {
    const Number need = count.value();
    if (need == 0 || need > capacity_) return std::nullopt;
    std::optional<Number> found;
    for_each_gap([&](Number from, Number end) {
      const Number over = (origin_ + from) % align.value();
      const Number first = over == 0 ? from : from + (align.value() - over);
      if (first <= end && end - first >= need) found = first;
      return found.has_value();
    });
    return found ? std::optional(take(*found, need)) : std::nullopt;
  }

  std::optional<Extent> place_at(Extent extent) {
    const Number first = extent.first.value();
    const Number need = extent.count.value();
    if (need == 0 || need > capacity_ || first > capacity_ - need || !is_free(first, need)) return std::nullopt;
    return take(first, need);
  }

  Granules largest_free() const {
    Number largest = 0;
    for_each_gap([&](Number from, Number end) {
      if (end - from > largest) largest = end - from;
      return false;
    });
    return Granules(largest);
  }
};

class AllOrNothing : public IntervalMap {
 public:
  using IntervalMap::IntervalMap;

  std::optional<Extent> place(Granules count, Granules align) {
    return origin_ % align.value() == 0 ? place_at({Granules(0), count}) : std::nullopt;
  }
  std::optional<Extent> place_at(Extent extent) {
    const Number need = extent.count.value();
    if (!live_.empty() || extent.first != Granules(0) || need == 0 || need > capacity_) return std::nullopt;
    return take(0, need);
  }
  Granules free_granules() const { return Granules(live_.empty() ? capacity_ : 0); }
  Granules largest_free() const { return free_granules(); }
};

class Buddy {
 public:
  struct Node {
    Number number;  // counted from the space's zero
    unsigned order;
    bool live;

    Number size() const { return Number{1} << order; }
    Number end() const { return number + size(); }
    friend bool operator==(const Node&, const Node&) = default;
  };

  explicit Buddy(const Geometry& range) : origin_(range.origin.value()), end_(origin_ + range.capacity.value()) {
    for (Number number = origin_; number < end_; number = nodes_.back().end()) {
      Node node{number, 0, false};
      while (number % (2 * node.size()) == 0 && number + 2 * node.size() <= end_) ++node.order;
      nodes_.push_back(node);
    }
  }

  std::optional<Extent> place(Granules count, Granules align) {
    if (count.value() == 0 || count.value() > end_ - origin_) return std::nullopt;
    const unsigned order = order_of(count.value());
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      const bool fits = !node.live && node.order >= order && node.number % align.value() == 0;
      if (fits && (!best || node.order < nodes_[*best].order)) best = i;
    }
    return best ? std::optional(cut(*best, nodes_[*best].number, order)) : std::nullopt;
  }

  std::optional<Extent> place_at(Extent extent) {
    const Number count = extent.count.value();
    const Number first = extent.first.value();
    if (count == 0 || count > end_ - origin_ || first > end_ - origin_ - count) return std::nullopt;
    const unsigned order = order_of(count);
    const Number number = origin_ + first;
    if (number % (Number{1} << order) != 0) return std::nullopt;
    const std::size_t i = index_of(number);
    if (nodes_[i].live || nodes_[i].order < order) return std::nullopt;
    return cut(i, number, order);
  }

  Released release(Granules first) {
    if (first.value() >= end_ - origin_) return {.fault = ReleaseFault::outside};
    std::size_t i = index_of(origin_ + first.value());
    if (!nodes_[i].live) return {.fault = ReleaseFault::not_live};
    if (nodes_[i].number != origin_ + first.value()) return {.fault = ReleaseFault::inner};
    const Granules count(nodes_[i].size());
    nodes_[i].live = false;
    while (merge(i)) {
    }
    return {.count = count};
  }

  Granules length_of(Granules first) const {
    if (first.value() >= end_ - origin_) return Granules(0);
    const Node& node = nodes_[index_of(origin_ + first.value())];
    return Granules(node.live && node.number == origin_ + first.value() ? node.size() : 0);
  }

  Granules free_granules() const {
    Granules sum;
    for (const Node& node : nodes_) sum += Granules(node.live ? 0 : node.size());
    return sum;
  }
  Granules largest_free() const {
    Granules largest;
    for (const Node& node : nodes_) {
      if (!node.live && Granules(node.size()) > largest) largest = Granules(node.size());
    }
    return largest;
  }

  template <class Visitor>
  void for_each_block(Visitor&& visit) const {
    for (const Node& node : nodes_) {
      if (node.live) visit(Extent{Granules(node.number - origin_), Granules(node.size())});
    }
  }

  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  static unsigned order_of(Number count) {
    unsigned order = 0;
    while ((Number{1} << order) < count) ++order;
    return order;
  }

  // Of the node that holds that granule.
  std::size_t index_of(Number number) const {
    std::size_t i = 0;
    while (nodes_[i].end() <= number) ++i;
    return i;
  }

  Extent cut(std::size_t i, Number number, unsigned order) {
    while (nodes_[i].order > order) {
      --nodes_[i].order;
      const Node upper{nodes_[i].end(), nodes_[i].order, false};
      nodes_.insert(nodes_.begin() + static_cast<std::ptrdiff_t>(i) + 1, upper);
      if (number >= upper.number) ++i;
    }
    nodes_[i].live = true;
    return {Granules(number - origin_), Granules(nodes_[i].size())};
  }

  // Makes node i and its buddy one where both are free; i follows.
  bool merge(std::size_t& i) {
    const bool is_lower = nodes_[i].number % (2 * nodes_[i].size()) == 0;
    if (is_lower ? i + 1 == nodes_.size() : i == 0) return false;
    const std::size_t other = is_lower ? i + 1 : i - 1;
    if (nodes_[other].live || nodes_[other].order != nodes_[i].order) return false;
    if (!is_lower) --i;
    ++nodes_[i].order;
    nodes_.erase(nodes_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    return true;
  }

  Number origin_;
  Number end_;
  std::vector<Node> nodes_;  // they tile the range
};

// Slots: the one given back last is taken first.
class System {
 public:
  explicit System(const Geometry& range) : capacity_(range.capacity.value()) {}

  std::optional<Extent> place(Granules count, Granules) {
    if (count == Granules(0) || count > free_granules()) return std::nullopt;
    if (vacant_.empty()) {
      vacant_.push_back(slots_.size());
      slots_.emplace_back();
    }
    const std::size_t slot = vacant_.back();
    vacant_.pop_back();
    slots_[slot] = count;
    return Extent{Granules(slot), count};
  }

  Released release(Granules first) {
    if (first.value() >= capacity_) return {.fault = ReleaseFault::outside};
    const Granules count = length_of(first);
    if (count == Granules(0)) return {.fault = ReleaseFault::not_live};
    slots_[static_cast<std::size_t>(first.value())] = Granules(0);
    vacant_.push_back(static_cast<std::size_t>(first.value()));
    return {.count = count};
  }

  Granules length_of(Granules first) const {
    return first.value() < slots_.size() ? slots_[static_cast<std::size_t>(first.value())] : Granules(0);
  }
  Granules free_granules() const {
    Granules used;
    for (const Granules count : slots_) used += count;
    return Granules(capacity_) - used;
  }
  Granules largest_free() const { return free_granules(); }

  template <class Visitor>
  void for_each_block(Visitor&& visit) const {
    for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
      if (slots_[slot] != Granules(0)) visit(Extent{Granules(slot), slots_[slot]});
    }
  }

 private:
  Number capacity_;
  std::vector<Granules> slots_;  // 0: vacant
  std::vector<std::size_t> vacant_;
};

// A buddy that keeps only what was asked for: of each gap the largest blocks that tile it are the free nodes.
class TrimmedBuddy : public IntervalMap {
 public:
  using IntervalMap::IntervalMap;

  std::optional<Extent> place(Granules count, Granules align) {
    if (count.value() == 0 || count.value() > capacity_) return std::nullopt;
    std::optional<Number> found;
    Number found_size = 0;
    for_each_free_node([&](Number first, Number size) {
      const bool fits = size >= count.value() && (origin_ + first) % align.value() == 0;
      if (fits && (!found || size < found_size)) found = first, found_size = size;
    });
    return found ? std::optional(take(*found, count.value())) : std::nullopt;
  }

  std::optional<Extent> place_at(Extent extent) {
    const Number first = extent.first.value();
    const Number count = extent.count.value();
    if (count == 0 || count > capacity_) return std::nullopt;
    Number whole = 1;
    while (whole < count) whole *= 2;
    const bool may_lie = whole <= capacity_ && first <= capacity_ - whole && (origin_ + first) % whole == 0;
    return may_lie && is_free(first, count) ? std::optional(take(first, count)) : std::nullopt;
  }

  Granules largest_free() const {
    Number largest = 0;
    for_each_free_node([&](Number, Number size) { largest = size > largest ? size : largest; });
    return Granules(largest);
  }

 private:
  template <class Visitor>
  void for_each_free_node(Visitor&& visit) const {
    for_each_gap([&](Number from, Number end) {
      while (from < end) {
        Number size = 1;
        while ((origin_ + from) % (2 * size) == 0 && from + 2 * size <= end) size *= 2;
        visit(from, size);
        from += size;
      }
      return false;
    });
  }
};

// A request in parts: the whole list at once, by the rule's own words.
template <class Inner, unsigned... orders>
class OrderList : public Inner {
 public:
  using Inner::Inner;

  // Empty, and nothing is left behind, when it cannot be had or takes more than `most` extents.
  std::vector<Extent> place_list(Granules count, Granules align, std::size_t most) {
    std::vector<Extent> list;
    Number before = ~Number{0};
    for (Number left = count.value(); left != 0;) {
      const std::optional<Extent> part = list.size() < most ? largest(left, align, before) : std::nullopt;
      if (!part) {
        for (const Extent extent : list) Inner::release(extent.first);
        return {};
      }
      list.push_back(*part);
      before = part->count.value();
      left = left > before ? left - before : 0;
    }
    return list;
  }

 private:
  // Of the orders that are no more than what is left and than the one before, the largest that can be had.
  std::optional<Extent> largest(Number left, Granules align, Number before) {
    std::optional<Extent> found;
    for (const Number size : {(Number{1} << orders)...}) {
      const bool is_smallest = size == std::min({(Number{1} << orders)...});
      if (!found && size <= before && (size <= left || is_smallest)) found = Inner::place(Granules(size), align);
    }
    return found;
  }
};

}  // namespace freestone::naive
