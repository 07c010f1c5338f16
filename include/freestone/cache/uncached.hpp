#pragma once

#include <type_traits>

#include <freestone/cache/barrier.hpp>
#include <freestone/cache/concept.hpp>

namespace freestone::cache {

// The CPU's mapping bypasses its caches, so there is nothing to clean or drop: only the order of accesses counts. What
// the CPU wrote is visible to a device once `clean` returned; what it reads after `invalidate` is no older than that.
struct Uncached {
  static constexpr Cacheability cacheability = Cacheability::uncached;

  constexpr Result<void> clean(const CacheView&) noexcept {
    if (!std::is_constant_evaluated()) barrier::stores();
    return {};
  }
  constexpr Result<void> invalidate(const CacheView&) noexcept {
    if (!std::is_constant_evaluated()) barrier::all();
    return {};
  }
};

}  // namespace freestone::cache
