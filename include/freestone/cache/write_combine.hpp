#pragma once

#include <type_traits>

#include <freestone/cache/barrier.hpp>
#include <freestone/cache/concept.hpp>

namespace freestone::cache {

// Reads bypass the CPU's caches, writes wait in its buffers: `clean` drains them, so that a device reads them once it
// returned; what is read after `invalidate` is no older than that. Read such bytes as rarely as you can: each read is
// one of the bus.
struct WriteCombine {
  static constexpr Cacheability cacheability = Cacheability::write_combined;

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
