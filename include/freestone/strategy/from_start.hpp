// A strategy for a range whose own first granule is what its places count from, wherever the range begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/core/extent.hpp>
#include <freestone/core/result.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

// S with an origin of 0, whatever the range's is: blocks are aligned as their distance from the range's start is, and an
// alignment that a caller asks for counts from there too. PMEM's buddy: the blocks that tile a region are its capacity's set bits,
// largest first. Map, with its id, and cost: S's.
template <Strategy S>
class FromStart : public S {
 public:
  static constexpr Result<FromStart> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return made(S::format(words, from_start(geometry)));
  }
  static constexpr Result<FromStart> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return made(S::attach(words, from_start(geometry)));
  }

 private:
  constexpr explicit FromStart(const S& strategy) noexcept : S(strategy) {}
  static constexpr Geometry from_start(Geometry geometry) noexcept {
    geometry.origin = {};
    return geometry;
  }
  static constexpr Result<FromStart> made(const Result<S>& strategy) noexcept {
    if (!strategy) return strategy.error();
    return FromStart(*strategy);
  }
};

}  // namespace freestone::strategy
