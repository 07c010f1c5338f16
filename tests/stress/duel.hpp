// A strategy and its naive double, asked the same.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/eighths.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/strategy/trimmed_buddy.hpp>
#include "support/map.hpp"
#include "support/naive.hpp"
#include "support/naive_bitmap.hpp"
#include "support/naive_holes.hpp"
#include "support/random.hpp"

namespace freestone::tests {

template <class S>
struct Double;
template <>
struct Double<strategy::Bitmap> {
  using Naive = naive::Bitmap;
  static constexpr const char* name = "Bitmap";
};
template <strategy::BitmapRule rule, unsigned order_per_bit>
struct Double<strategy::BitmapBy<rule, order_per_bit>> {
  using Naive = naive::BitmapBy<rule, order_per_bit>;
  static constexpr const char* name = "BitmapBy";
};
template <>
struct Double<strategy::Buddy> {
  using Naive = naive::Buddy;
  static constexpr const char* name = "Buddy";
};
template <>
struct Double<strategy::LazyBuddy> {
  using Naive = naive::LazyBuddy;
  static constexpr const char* name = "LazyBuddy";
};
template <>
struct Double<strategy::AllOrNothing> {
  using Naive = naive::AllOrNothing;
  static constexpr const char* name = "AllOrNothing";
};
template <>
struct Double<strategy::System> {
  using Naive = naive::System;
  static constexpr const char* name = "System";
};

template <>
struct Double<strategy::TrimmedBuddy> {
  using Naive = naive::TrimmedBuddy;
  static constexpr const char* name = "TrimmedBuddy";
};
template <class Inner>
struct Double<strategy::Elastic<Inner>> {
  using Naive = naive::Elastic<typename Double<Inner>::Naive>;
  static constexpr const char* name = "Elastic";
};
template <class Inner>
struct Double<strategy::Eighths<Inner>> {
  using Naive = naive::Eighths<typename Double<Inner>::Naive>;
  static constexpr const char* name = "Eighths";
};
template <class Inner, unsigned... orders>
struct Double<strategy::OrderList<Inner, orders...>> {
  using Naive = naive::OrderList<typename Double<Inner>::Naive, orders...>;
  static constexpr const char* name = "OrderList";
};
template <>
struct Double<strategy::Segregated> {
  using Naive = naive::Segregated;
  static constexpr const char* name = "Segregated";
};
template <>
struct Double<strategy::BestFit> {
  using Naive = naive::BestFit;
  static constexpr const char* name = "BestFit";
};
template <>
struct Double<strategy::BestFitHigh> {
  using Naive = naive::BestFitHigh;
  static constexpr const char* name = "BestFitHigh";
};
template <>
struct Double<strategy::BestFitTwoEnded> {
  using Naive = naive::BestFitTwoEnded;
  static constexpr const char* name = "BestFitTwoEnded";
};
template <>
struct Double<strategy::BestFitMmz> {
  using Naive = naive::BestFitMmz;
  static constexpr const char* name = "BestFitMmz";
};

// A request in at most `most` parts, as a zone makes one of them; empty, and nothing is left behind, when it cannot.
template <class S>
std::vector<Extent> place_list(S& strategy, Granules count, Granules align, std::size_t most) {
  std::vector<Extent> list;
  for (Granules left = count, before(~std::uint64_t{0}); left != Granules(0); left -= std::min(left, before)) {
    const auto part = list.size() < most ? strategy.place_part(left, align, before) : std::nullopt;
    if (!part) {
      for (const Extent extent : list) strategy.release(extent.first);
      return {};
    }
    list.push_back(*part);
    before = part->count;
  }
  return list;
}

// Ends the program with the place where the two went apart.
[[noreturn]] inline void differ(const char* strategy, const char* call, const Geometry& range, std::uint64_t step) {
  std::printf("FAILED: %s differs from the naive one in %s, capacity %llu, origin %llu, step %llu\n", strategy, call,
              static_cast<unsigned long long>(range.capacity.value()),
              static_cast<unsigned long long>(range.origin.value()), static_cast<unsigned long long>(step));
  std::exit(1);
}

}  // namespace freestone::tests
