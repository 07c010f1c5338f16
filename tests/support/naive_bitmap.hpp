// Bitmap's rules, each written as it is said: every place of every gap is looked at.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include <freestone/strategy/bitmap.hpp>
#include "support/naive.hpp"

namespace freestone::naive {

template <strategy::BitmapRule rule, unsigned order_per_bit>
class BitmapBy : public IntervalMap {
  static constexpr Number bit = Number{1} << order_per_bit;

 public:
  explicit BitmapBy(const Geometry& range)
      : IntervalMap({.capacity = Granules(range.capacity.value() / bit * bit), .origin = range.origin}) {}

  std::optional<Extent> place(Granules count, Granules align) {
    const Number bits = rounded_up(count.value()) / bit;
    const Number sixteenth = (capacity_ / bit + 15) / 16;
    const bool goes_high = rule.end == strategy::End::high || (rule.end == strategy::End::by_size && bits < sixteenth);
    if (rule.fit == strategy::Fit::first) return goes_high ? place_high(count, align) : place_low(count, align);
    return place_best(count, align, goes_high);
  }

  std::optional<Extent> place_high(Granules count, Granules align) {
    std::optional<Number> found;
    for_each_place(count, align, [&](Number, Number, Number first) {
      found = first;
      return true;
    });
    return found ? std::optional(take(*found, rounded_up(count.value()))) : std::nullopt;
  }

  std::optional<Extent> place_at(Extent extent) {
    const Number first = extent.first.value();
    const Number need = extent.count.value();
    if (need == 0 || need > capacity_ || first > capacity_ || first % bit != 0) return std::nullopt;
    if (rounded_up(need) > capacity_ - first || !is_free(first, rounded_up(need))) return std::nullopt;
    return take(first, rounded_up(need));
  }

  // With Start::order the longest that has a start in some gap.
  Granules largest_free() const {
    Number largest = 0;
    for_each_gap([&](Number from, Number end) {
      Number length = end - from;
      while (rule.start == strategy::Start::order && length > largest && !has_start(from, end, length)) length -= bit;
      largest = std::max(largest, length);
      return false;
    });
    return Granules(largest);
  }

 private:
  static bool has_start(Number from, Number end, Number length) {
    const Number whole = bit * power_of_two(length / bit);
    return (from + whole - 1) / whole * whole + length <= end;
  }
  static Number rounded_up(Number count) { return count / bit * bit + (count % bit != 0 ? bit : 0); }
  static Number power_of_two(Number n) {
    Number power = 1;
    while (power < n) power *= 2;
    return power;
  }

  std::optional<Extent> place_low(Granules count, Granules align) {
    std::optional<Number> found;
    for_each_place(count, align, [&](Number, Number, Number first) {
      if (!found) found = first;
      return false;
    });
    return found ? std::optional(take(*found, rounded_up(count.value()))) : std::nullopt;
  }
  std::optional<Extent> place_best(Granules count, Granules align, bool high) {
    std::optional<Number> found;
    Number length = 0;
    for_each_place(count, align, [&](Number from, Number end, Number first) {
      const bool is_better = !found || (high ? end - from <= length : end - from < length);
      if (is_better) found = first, length = end - from;
      return high;  // in the same gap a higher one is as good, and is wanted high
    });
    return found ? std::optional(take(*found, rounded_up(count.value()))) : std::nullopt;
  }

  // visit(gap's first, gap's end, place) for each place that will do, lowest first; the gap's next only where it says true.
  template <class Visitor>
  void for_each_place(Granules count, Granules align, Visitor&& visit) const {
    if (count == Granules(0) || count.value() > capacity_) return;
    const Number need = rounded_up(count.value());
    for_each_gap([&](Number from, Number end) {
      if (end - from < need) return false;
      for (Number first = from; first <= end - need; first += bit) {
        if (may_start_at(first, need, align.value()) && !visit(from, end, first)) break;
      }
      return false;
    });
  }
  bool may_start_at(Number first, Number need, Number align) const {
    const Number index = first / bit;
    if ((origin_ + first) % std::max<Number>(align, 1) != 0) return false;
    return rule.start == strategy::Start::any || index % power_of_two(need / bit) == 0;
  }
};

}  // namespace freestone::naive
