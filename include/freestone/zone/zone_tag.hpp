#pragma once

#include <cstdint>
#include <type_traits>

#include <freestone/core/seam.hpp>

namespace freestone::detail {

inline std::uint32_t zones_made = 0;

// A number that tells a zone from others, of this process and of those that it meets; never 0. Chance, not proof,
// across processes: one in 2^32.
// In constant evaluation there is only the name to tell zones apart.
constexpr std::uint32_t new_zone_tag(const std::uint64_t* notes, const char* name) noexcept {
  if (std::is_constant_evaluated()) {
    std::uint32_t hash = 2166136261U;  // FNV-1a
    for (; name != nullptr && *name != '\0'; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 16777619U;
    return hash | 1;
  }
  std::uint64_t mix = seam::ticks() ^ (std::uint64_t{CompilerAtomics::fetch_add_relaxed(zones_made, 1)} << 32) ^
                      reinterpret_cast<std::uintptr_t>(notes);
  mix = (mix ^ (mix >> 33)) * 0xFF51AFD7ED558CCDU;  // the finishing steps of MurmurHash3 spread the bits
  mix = (mix ^ (mix >> 33)) * 0xC4CEB9FE1A85EC53U;
  const auto tag = static_cast<std::uint32_t>(mix >> 32);
  return tag == 0 ? 1 : tag;
}

}  // namespace freestone::detail
