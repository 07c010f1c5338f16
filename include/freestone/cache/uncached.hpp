#pragma once

#include <type_traits>

#include <freestone/cache/concept.hpp>

namespace freestone::cache {

// The CPU's mapping bypasses its caches, so there is nothing to clean or drop: only the order of accesses counts. What
// the CPU wrote is visible to a device once `clean` returned; what it reads after `invalidate` is no older than that.
struct Uncached {
  static constexpr Cacheability cacheability = Cacheability::uncached;

  constexpr Result<void> clean(const CacheView&) noexcept { return order(), Result<void>(); }
  constexpr Result<void> invalidate(const CacheView&) noexcept { return order(), Result<void>(); }

 private:
  static constexpr void order() noexcept {
    if (!std::is_constant_evaluated()) __atomic_thread_fence(__ATOMIC_SEQ_CST);
  }
};

}  // namespace freestone::cache
