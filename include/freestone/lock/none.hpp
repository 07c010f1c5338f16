#pragma once

#include <cstddef>
#include <cstdint>

namespace freestone::lock {

// No lock: the caller sees to it that calls come one at a time, across processes too where the zone is shared. Costs
// nothing: no word, no instruction, no byte of the zone.
struct None {
  static constexpr std::size_t words = 0;
  static constexpr bool process_shared = true;

  static constexpr None format(std::uint64_t*) noexcept { return {}; }
  static constexpr None attach(std::uint64_t*) noexcept { return {}; }

  constexpr void lock() noexcept {}
  constexpr void unlock() noexcept {}
};

}  // namespace freestone::lock
