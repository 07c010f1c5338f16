// A cache policy decides what must be done to the CPU's caches before and after somebody touches a block's bytes. Not
// its job: mapping (backing/), ordering of calls (lock/).
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <span>

#include <freestone/core/cacheability.hpp>
#include <freestone/core/result.hpp>
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
// so that it reads what a device wrote. Both fail only as the host does, and may cost O(size / line). An empty view is
// no work.
template <class C>
concept can_maintain = requires(C c, const CacheView& view) {
  { c.clean(view) } noexcept -> std::same_as<Result<void>>;
  { c.invalidate(view) } noexcept -> std::same_as<Result<void>>;
};

// Abilities that a policy may have.

// Several ranges in one go: each line once where they are sorted, and one wait at the end.
template <class C>
concept can_maintain_list = requires(C c, std::span<const CacheView> views) {
  { c.clean(views) } noexcept -> std::same_as<Result<void>>;
  { c.invalidate(views) } noexcept -> std::same_as<Result<void>>;
};

// Both in one walk.
template <class C>
concept can_clean_and_invalidate = requires(C c, const CacheView& view) {
  { c.clean_and_invalidate(view) } noexcept -> std::same_as<Result<void>>;
};

// It must be told when the CPU begins and when it ends, each with what it does. Other policies invalidate first, and
// clean after a write.
template <class C>
concept has_bracket = requires(C c, const CacheView& view, Access access) {
  { c.begin(view, access) } noexcept -> std::same_as<Result<void>>;
  { c.end(view, access) } noexcept -> std::same_as<Result<void>>;
};

// `static constexpr bool needs_file = true`: it asks the kernel, and for that the backing must be a file.
template <class C>
concept needs_file = requires { requires C::needs_file; };

// It must see all the bytes once, before anybody uses them: C::over(all). Fails as the host does.
template <class C>
concept sees_all_first = requires(const CacheView& all) {
  { C::over(all) } noexcept -> std::same_as<Result<C>>;
};

template <class C>
concept CachePolicy = std::default_initializable<C> && std::copyable<C> && has_cacheability<C> && can_maintain<C>;

// What is to be done before the CPU touches the bytes, and after. (Before a write too: a line that is written in part
// keeps the rest of its bytes, which a device may have written.)
template <class C>
constexpr Result<void> begin_access(C& cache, const CacheView& view, Access access) noexcept {
  if constexpr (has_bracket<C>) {
    return cache.begin(view, access);
  } else {
    return cache.invalidate(view);
  }
}
template <class C>
constexpr Result<void> end_access(C& cache, const CacheView& view, Access access) noexcept {
  if constexpr (has_bracket<C>) {
    return cache.end(view, access);
  } else {
    return writes(access) ? cache.clean(view) : Result<void>();
  }
}

template <class C>
consteval bool check_cache_policy() {
  static_assert(has_cacheability<C>, "A CachePolicy must have the constant Cacheability cacheability.");
  static_assert(can_maintain<C>,
                "A CachePolicy must have Result<void> clean(const CacheView&) noexcept and Result<void> "
                "invalidate(const CacheView&) noexcept.");
  static_assert(std::default_initializable<C> && std::copyable<C>,
                "A CachePolicy must be default-constructible and "
                "copyable.");
  return CachePolicy<C>;
}

}  // namespace freestone
