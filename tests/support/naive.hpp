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

  std::optional<Extent> place_high(Granules count, Granules align) {
    const Number need = count.value();
    if (need == 0) return std::nullopt;
    std::optional<Number> found;
    for_each_gap([&](Number from, Number end) {
      if (end - from < need) return false;
      const Number over = (origin_ + end - need) % align.value();
      if (over <= end - need - from) found = end - need - over;
      return false;
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
    bool kept = false;  // free, and not to be merged yet

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
      const bool fits = !node.live && !node.kept && node.order >= order && node.number % align.value() == 0;
      if (fits && (!best || node.order < nodes_[*best].order)) best = i;
    }
    return best ? std::optional(cut(*best, nodes_[*best].number, order)) : std::nullopt;
  }

  // Every place from the highest down.
  std::optional<Extent> place_high(Granules count, Granules align) {
    if (count.value() == 0 || count.value() > end_ - origin_) return std::nullopt;
    const Number size = Number{1} << order_of(count.value());
    for (Number number = end_; number-- > origin_;) {
      if (number % size != 0 || number % align.value() != 0) continue;
      const std::size_t i = index_of(number);
      if (!nodes_[i].live && nodes_[i].size() >= size) return cut(i, number, order_of(count.value()));
    }
    return std::nullopt;
  }

  std::optional<Extent> place_at(Extent extent) {
    const Number count = extent.count.value();
    const Number first = extent.first.value();
    if (count == 0 || count > end_ - origin_ || first > end_ - origin_ - count) return std::nullopt;
    const unsigned order = order_of(count);
    const Number number = origin_ + first;
    if (number % (Number{1} << order) != 0) return std::nullopt;
    const std::size_t i = index_of(number);
    if (nodes_[i].live || nodes_[i].kept || nodes_[i].order < order) return std::nullopt;
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

 protected:
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
    if (nodes_[other].live || nodes_[other].kept || nodes_[other].order != nodes_[i].order) return false;
    if (!is_lower) --i;
    ++nodes_[i].order;
    nodes_.erase(nodes_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    return true;
  }

  Number origin_;
  Number end_;
  std::vector<Node> nodes_;  // they tile the range
};

// With hysteresis: of each order one block is kept unmerged, for the next place of that order.
class LazyBuddy : public Buddy {
 public:
  using Buddy::Buddy;

  std::optional<Extent> place(Granules count, Granules align) {
    if (count == Granules(0) || count > free_granules()) return std::nullopt;
    const unsigned order = order_of(count.value());
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (!nodes_[i].kept || nodes_[i].order != order || nodes_[i].number % align.value() != 0) continue;
      nodes_[i].kept = false;
      return cut(i, nodes_[i].number, order);
    }
    return or_merged([&] { return Buddy::place(count, align); });
  }

  std::optional<Extent> place_at(Extent extent) {
    const bool is_one = extent.count != Granules(0) && extent.count <= Granules(end_ - origin_);
    if (!is_one || extent.first > Granules(end_ - origin_) - extent.count) return std::nullopt;
    const Number number = origin_ + extent.first.value();
    if (number % (Number{1} << order_of(extent.count.value())) != 0) return std::nullopt;
    return or_merged([&] { return Buddy::place_at(extent); });
  }

  std::optional<Extent> place_high(Granules count, Granules align) {
    if (count == Granules(0) || count > free_granules()) return std::nullopt;
    merge_kept();
    return Buddy::place_high(count, align);
  }

  Released release(Granules first) {
    const Granules count = length_of(first);
    if (count == Granules(0)) return Buddy::release(first);
    const unsigned order = order_of(count.value());
    if (std::any_of(nodes_.begin(), nodes_.end(), [&](const Node& n) { return n.kept && n.order == order; })) {
      return Buddy::release(first);
    }
    Node& node = nodes_[index_of(origin_ + first.value())];
    node.live = false;
    node.kept = true;
    return {.count = count};
  }

  std::optional<Extent> resize(Granules first, Granules count) {
    if (length_of(first) == Granules(0) || count == Granules(0) || count > Granules(end_ - origin_))
      return std::nullopt;
    return or_merged([&] { return resize_as_it_is(first, count); });
  }

  Granules largest_free() const {
    LazyBuddy merged = *this;
    merged.merge_kept();
    return merged.Buddy::largest_free();
  }

  // All that decides what it will do.
  std::vector<Number> state() const {
    std::vector<Number> numbers;
    for (const Node& node : nodes_) {
      for (const Number n : {node.number, Number{node.order}, Number{node.live}, Number{node.kept}}) {
        numbers.push_back(n);
      }
    }
    return numbers;
  }

 private:
  template <class Call>
  std::optional<Extent> or_merged(Call&& call) {
    if (const auto extent = call()) return extent;
    merge_kept();
    return call();
  }

  void merge_kept() {
    for (Node& node : nodes_) node.kept = false;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      while (!nodes_[i].live && merge(i)) {
      }
    }
  }

  std::optional<Extent> resize_as_it_is(Granules first, Granules count) {
    const Number number = origin_ + first.value();
    const unsigned wanted = order_of(count.value());
    const std::size_t i = index_of(number);
    const std::vector<Node> before = nodes_;
    while (nodes_[i].order < wanted) {
      const bool has_free_buddy = number % (2 * nodes_[i].size()) == 0 && i + 1 < nodes_.size() &&
                                  !nodes_[i + 1].live && !nodes_[i + 1].kept && nodes_[i + 1].order == nodes_[i].order;
      if (!has_free_buddy) {
        nodes_ = before;
        return std::nullopt;
      }
      ++nodes_[i].order;
      nodes_.erase(nodes_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
    return cut(i, number, wanted);
  }
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

// A start at a multiple of an eighth of the power of two that holds the block.
template <class Inner>
class Eighths : public Inner {
 public:
  using Inner::Inner;

  std::optional<Extent> place(Granules count, Granules align) { return Inner::place(count, coarser(count, align)); }
  std::optional<Extent> place_high(Granules count, Granules align) {
    return Inner::place_high(count, coarser(count, align));
  }
  Granules largest_free() const {
    Number largest = 0;
    this->for_each_gap([&](Number from, Number end) {
      Number length = end - from;
      while (length > largest && !has_start(from, end, length)) --length;
      largest = std::max(largest, length);
      return false;
    });
    return Granules(largest);
  }

 private:
  bool has_start(Number from, Number end, Number length) const {
    const Number step = coarser(Granules(length), Granules(1)).value();
    const Number over = (this->origin_ + from) % step;
    return from + (over == 0 ? 0 : step - over) + length <= end;
  }
  static Granules coarser(Granules count, Granules align) {
    Number eighth = 1;
    while (8 * eighth < count.value() && eighth < (Number{1} << 60)) eighth *= 2;
    return std::max(align, Granules(eighth));
  }
};

// A range whose end moves: the capacity does.
template <class Inner>
class Elastic : public Inner {
 public:
  explicit Elastic(const Geometry& range) : Inner(range), most_(range.capacity.value()) {}

  bool grow(Granules count) {
    if (count == Granules(0) || count.value() > most_ - this->capacity_) return false;
    this->capacity_ += count.value();
    return true;
  }
  bool shrink(Granules count) {
    if (count == Granules(0) || count.value() > this->capacity_) return false;
    if (!this->is_free(this->capacity_ - count.value(), count.value())) return false;
    this->capacity_ -= count.value();
    return true;
  }

 private:
  Number most_;
};

// A resize by the concept's own words: the block goes, and comes again with the new length, or as it was.
template <class Naive>
std::optional<Extent> resize(Naive& naive, Granules first, Granules count) {
  const Granules before = naive.length_of(first);
  if (before == Granules(0)) return std::nullopt;
  naive.release(first);
  const auto resized = naive.place_at({first, count});
  if (!resized) naive.place_at({first, before});
  return resized;
}

inline std::optional<Extent> resize(LazyBuddy& naive, Granules first, Granules count) {
  return naive.resize(first, count);
}

}  // namespace freestone::naive
