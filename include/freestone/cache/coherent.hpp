#pragma once

#include <freestone/cache/concept.hpp>

namespace freestone::cache {

// Every device snoops the CPU's caches: nothing is to be done, and nothing is.
struct Coherent {
  static constexpr Cacheability cacheability = Cacheability::cached;

  constexpr Result<void> clean(const CacheView&) noexcept { return {}; }
  constexpr Result<void> invalidate(const CacheView&) noexcept { return {}; }
};

}  // namespace freestone::cache
