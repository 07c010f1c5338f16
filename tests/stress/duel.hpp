// A strategy and its naive double, asked the same.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/system.hpp>
#include "support/map.hpp"
#include "support/naive.hpp"
#include "support/random.hpp"

namespace freestone::tests {

template <class S>
struct Double;
template <>
struct Double<strategy::Bitmap> {
  using Naive = naive::Bitmap;
  static constexpr const char* name = "Bitmap";
};
template <>
struct Double<strategy::Buddy> {
  using Naive = naive::Buddy;
  static constexpr const char* name = "Buddy";
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

// Ends the program with the place where the two went apart.
[[noreturn]] inline void differ(const char* strategy, const char* call, const Geometry& range, std::uint64_t step) {
  std::printf("FAILED: %s differs from the naive one in %s, capacity %llu, origin %llu, step %llu\n", strategy, call,
              static_cast<unsigned long long>(range.capacity.value()),
              static_cast<unsigned long long>(range.origin.value()), static_cast<unsigned long long>(step));
  std::exit(1);
}

}  // namespace freestone::tests
