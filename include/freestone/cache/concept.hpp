// A cache policy decides what must be done to the CPU's caches before and after somebody touches a block's bytes. Not
// its job: mapping (backing/), ordering of calls (lock/).
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>

#include <freestone/core/cacheability.hpp>
#include <freestone/core/units.hpp>

namespace freestone {

// The bytes in question: as the CPU sees them and, where the kernel must be asked, as a range of a file.
struct CacheView {
  std::byte* data = nullptr;
  Bytes size = {};
  std::optional<int> fd = {};
  Bytes offset = 0;  // of `data` in the file
};

// Which mapping the policy is for.
template <class C>
concept has_cacheability = requires {
  { C::cacheability } -> std::convertible_to<Cacheability>;
};

// `clean` writes back what the CPU has written, so that a device reads it. `invalidate` drops what the CPU has cached,
// so that it reads what a device wrote. Neither fails; both may cost O(size / line). An empty view is no work.
template <class C>
concept can_maintain = requires(C c, const CacheView& view) {
  { c.clean(view) } noexcept -> std::same_as<void>;
  { c.invalidate(view) } noexcept -> std::same_as<void>;
};

template <class C>
concept CachePolicy = std::default_initializable<C> && std::copyable<C> && has_cacheability<C> && can_maintain<C>;

template <class C>
consteval bool check_cache_policy() {
  static_assert(has_cacheability<C>, "A CachePolicy must have the constant Cacheability cacheability.");
  static_assert(can_maintain<C>,
                "A CachePolicy must have void clean(const CacheView&) noexcept and void "
                "invalidate(const CacheView&) noexcept.");
  static_assert(std::default_initializable<C> && std::copyable<C>,
                "A CachePolicy must be default-constructible and "
                "copyable.");
  return CachePolicy<C>;
}

}  // namespace freestone
