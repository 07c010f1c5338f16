// The same for strategies that choose among holes: best fit, by going through all of them, and segregated fit, by one
// list of the holes in the order in which they came.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "support/naive.hpp"

namespace freestone::naive {

// A free extent that is as long as it can be.
struct Hole {
  Number first;
  Number end;

  Number count() const { return end - first; }

  // The first and the last place in it for `count` granules at a multiple of `align`, where granule 0 has the number
  // `origin`; nothing where there is none.
  std::optional<Number> first_place(Number count, Number align, Number origin) const {
    const Number over = (origin + first) % align;
    const Number place = over == 0 ? first : first + (align - over);
    return place <= end && end - place >= count ? std::optional(place) : std::nullopt;
  }
  std::optional<Number> last_place(Number count, Number align, Number origin) const {
    if (this->count() < count) return std::nullopt;
    const Number over = (origin + end - count) % align;
    return over <= this->count() - count ? std::optional(end - count - over) : std::nullopt;
  }
};

// What the best fits share. Each goes through all the holes, and says of each how bad it is.
class BestFits : public IntervalMap {
 public:
  using IntervalMap::IntervalMap;

  std::optional<Extent> place_at(Extent extent) {
    const Number first = extent.first.value();
    const Number need = extent.count.value();
    if (need == 0 || need > capacity_ || first > capacity_ - need || !is_free(first, need)) return std::nullopt;
    return take(first, need);
  }

  std::optional<Extent> place_high(Granules count, Granules align) {
    return place_in_best(high, count, align, [](Hole, Number) { return Number{0}; });
  }

  Granules largest_free() const {
    Number largest = 0;
    for_each_hole([&](Hole hole) { largest = std::max(largest, hole.count()); });
    return Granules(largest);
  }

 protected:
  enum End { low, high };

  // At that end of the hole that is the least bad; of those that are equally bad the one nearest to that end.
  template <class Bad>
  std::optional<Extent> place_in_best(End end, Granules count, Granules align, Bad&& how_bad) {
    if (count == Granules(0)) return std::nullopt;
    std::optional<Number> found;
    Number least = 0;
    for_each_hole([&](Hole hole) {
      const auto place = end == low ? hole.first_place(count.value(), align.value(), origin_)
                                    : hole.last_place(count.value(), align.value(), origin_);
      if (!place) return;
      const Number bad = how_bad(hole, *place);
      if (!found || bad < least || (bad == least && end == high)) found = place, least = bad;
    });
    return found ? std::optional(take(*found, count.value())) : std::nullopt;
  }
  std::optional<Extent> place_in_smallest(End end, Granules count, Granules align) {
    return place_in_best(end, count, align, [](Hole hole, Number) { return hole.count(); });
  }

  // Lowest first.
  template <class Visitor>
  void for_each_hole(Visitor&& visit) const {
    for_each_gap([&](Number from, Number end) {
      if (from != end) visit(Hole{from, end});
      return false;
    });
  }
};

class BestFit : public BestFits {
 public:
  using BestFits::BestFits;
  std::optional<Extent> place(Granules count, Granules align) { return place_in_smallest(low, count, align); }
};

class BestFitHigh : public BestFits {
 public:
  using BestFits::BestFits;
  std::optional<Extent> place(Granules count, Granules align) { return place_in_smallest(high, count, align); }
};

class BestFitTwoEnded : public BestFits {
 public:
  using BestFits::BestFits;
  std::optional<Extent> place(Granules count, Granules align) {
    if (count.value() > capacity_) return std::nullopt;
    return place_in_smallest(16 * count.value() >= capacity_ ? low : high, count, align);
  }
};

// What lies before the aligned place does not count.
class BestFitMmz : public BestFits {
 public:
  using BestFits::BestFits;
  std::optional<Extent> place(Granules count, Granules align) {
    return place_in_best(low, count, align, [](Hole hole, Number place) { return hole.end - place; });
  }
};

// Holes in bins by size: up to 15 granules a bin for each size, then eight bins to each power of two. A bin's front is
// the hole of it that came last. The hole of more than half the range has a bin behind all others.
class Segregated : public IntervalMap {
 public:
  explicit Segregated(const Geometry& range) : IntervalMap(range) { holes_.push_back({0, capacity_}); }

  std::optional<Extent> place(Granules count, Granules align) {
    const Number need = count.value();
    if (need == 0 || need > capacity_) return std::nullopt;
    const Number spare = std::min(align.value() - 1, capacity_ - need);
    auto place = place_in_front_from(need, need, align.value());
    if (!place) place = place_in_front_from(need + spare, need, align.value());
    if (!place) place = place_in_front_from(bin_of(need), need, align.value());
    return place ? std::optional(cut(*place, need)) : std::nullopt;
  }

  std::optional<Extent> place_at(Extent extent) {
    const Number first = extent.first.value();
    const Number need = extent.count.value();
    if (need == 0 || need > capacity_ || first > capacity_ - need || !is_free(first, need)) return std::nullopt;
    return cut(first, need);
  }

  Released release(Granules first) {
    const Released released = IntervalMap::release(first);
    if (released.count == Granules(0)) return released;
    Hole hole{first.value(), first.value() + released.count.value()};
    const auto below = std::find_if(holes_.begin(), holes_.end(), [&](Hole other) { return other.end == hole.first; });
    if (below != holes_.end()) hole.first = below->first, holes_.erase(below);
    const auto above = std::find_if(holes_.begin(), holes_.end(), [&](Hole other) { return other.first == hole.end; });
    if (above != holes_.end()) hole.end = above->end, holes_.erase(above);
    holes_.push_back(hole);
    return released;
  }

  // The hole behind the block moves its start, or goes, or comes.
  std::optional<Extent> resize(Granules first, Granules count) {
    const Granules before = length_of(first);
    if (before == Granules(0) || count == Granules(0)) return std::nullopt;
    const Number end = (first + before).value();
    const auto behind = std::find_if(holes_.begin(), holes_.end(), [&](Hole hole) { return hole.first == end; });
    const Number most = behind == holes_.end() ? end : behind->end;
    if (count.value() > most - first.value()) return std::nullopt;
    const Extent resized{first, count};
    if (count == before) return resized;
    if (behind != holes_.end()) holes_.erase(behind);
    if (resized.end() != Granules(most)) holes_.push_back({resized.end().value(), most});
    used_ = used_ + count.value() - before.value();
    live_[first.value()] = count.value();
    return resized;
  }

  // All that an answer may depend on: the blocks, and the holes of each bin in their order.
  std::vector<Number> state() const {
    std::vector<Hole> by_bin = holes_;
    std::stable_sort(by_bin.begin(), by_bin.end(), [&](Hole a, Hole b) { return bin_of(a) < bin_of(b); });
    std::vector<Number> numbers;
    for (const auto& [first, count] : live_) numbers.insert(numbers.end(), {first, count});
    for (const Hole hole : by_bin) numbers.insert(numbers.end(), {hole.first, hole.end});
    return numbers;
  }

  // Of the front of the highest bin.
  Granules largest_free() const {
    Hole last{0, 0};
    for (const Hole hole : holes_) {
      if (bin_of(hole) >= bin_of(last)) last = hole;
    }
    return Granules(last.count());
  }

 private:
  // A bin's number is its smallest size.
  static Number bin_of(Number count) {
    Number step = 1;
    while (count >= 16 * step) step *= 2;
    return count - count % step;
  }
  Number bin_of(Hole hole) const { return hole.count() > capacity_ / 2 ? ~Number{0} : bin_of(hole.count()); }

  // In the front of the lowest bin of that number or a higher one, if it will do.
  std::optional<Number> place_in_front_from(Number bin, Number count, Number align) const {
    std::optional<Hole> front;
    for (const Hole hole : holes_) {
      if (bin_of(hole) >= bin && (!front || bin_of(hole) <= bin_of(*front))) front = hole;
    }
    return front ? front->first_place(count, align, origin_) : std::nullopt;
  }

  Extent cut(Number first, Number count) {
    const auto around =
        std::find_if(holes_.begin(), holes_.end(), [&](Hole hole) { return hole.first <= first && first < hole.end; });
    const Hole hole = *around;
    holes_.erase(around);
    if (hole.first != first) holes_.push_back({hole.first, first});
    if (hole.end != first + count) holes_.push_back({first + count, hole.end});
    return take(first, count);
  }

  std::vector<Hole> holes_;  // the one that came last is last
};

// Which of two equal holes comes next matters to a segregated fit.
inline std::optional<Extent> resize(Segregated& naive, Granules first, Granules count) {
  return naive.resize(first, count);
}

}  // namespace freestone::naive
