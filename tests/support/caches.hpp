// Cache policies for the laws: the smallest legal one, an unpleasant one, and one for each way to be wrong.
#pragma once

#include <cstddef>
#include <cstdint>

#include <freestone/cache/concept.hpp>

namespace freestone::tests {

struct MinimalCache {
  static constexpr Cacheability cacheability = Cacheability::cached;
  Result<void> clean(const CacheView&) noexcept { return {}; }
  Result<void> invalidate(const CacheView&) noexcept { return {}; }
};

// Legal and unpleasant: keeps a state, and rewrites each byte with what it was.
struct HostileCache {
  static constexpr Cacheability cacheability = Cacheability::cached;
  Result<void> clean(const CacheView& view) noexcept { return rewrite(view); }
  Result<void> invalidate(const CacheView& view) noexcept { return rewrite(view); }

 private:
  Result<void> rewrite(const CacheView& view) noexcept {
    ++calls_;
    for (std::uint64_t i = 0; i < view.size.value(); ++i) {
      volatile std::byte& byte = view.data[static_cast<std::size_t>(i)];
      byte = static_cast<std::byte>(byte);
    }
    return {};
  }
  std::uint64_t calls_ = 0;
};

// --- Each breaks one law. ---

struct InvalidateZeroes : MinimalCache {
  Result<void> invalidate(const CacheView& view) noexcept {
    for (std::uint64_t i = 0; i < view.size.value(); ++i) view.data[static_cast<std::size_t>(i)] = std::byte{0};
    return {};
  }
};

struct CleansTheNextByteToo : MinimalCache {
  Result<void> clean(const CacheView& view) noexcept {
    if (view.data != nullptr) view.data[static_cast<std::size_t>(view.size.value())] = std::byte{0};
    return {};
  }
};

struct TouchesEmptyViews : MinimalCache {
  Result<void> clean(const CacheView& view) noexcept {
    volatile std::byte& first = *view.data;
    first = static_cast<std::byte>(first);
    return {};
  }
};

}  // namespace freestone::tests
