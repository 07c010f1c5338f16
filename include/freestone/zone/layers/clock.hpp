// What layers measure time with: a type that is made and called, so that a test's own needs no time.
#pragma once

#include <cstdint>
#include <type_traits>

#include <freestone/core/seam.hpp>

namespace freestone::layers {

// seam::ticks: units of the host's own, 0 in constant evaluation and where there is no counter.
struct Ticks {
  constexpr std::uint64_t operator()() const noexcept { return std::is_constant_evaluated() ? 0 : seam::ticks(); }
};

// For layers that can do without: they measure nothing, and cost that much less.
struct NoClock {};

template <class C>
inline constexpr bool is_clock = std::is_nothrow_invocable_r_v<std::uint64_t, C&>;

// Another core's counter may be a little behind this one's.
constexpr std::uint64_t ticks_between(std::uint64_t before, std::uint64_t after) noexcept {
  return after > before ? after - before : 0;
}

}  // namespace freestone::layers
