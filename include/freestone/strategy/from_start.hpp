// A strategy for a range whose own first granule is what its places count from, wherever the range begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/extent.hpp>
#include <freestone/core/result.hpp>
#include <freestone/strategy/concept.hpp>

namespace freestone::strategy {

// S as if the range began at 0: where a block goes does not depend on where the range lies. PMEM's buddy: the blocks that tile a
// region are its capacity's set bits, largest first. An alignment that the range's own start does not have is refused. Map, with its
// id, and cost: S's.
template <Strategy S>
class FromStart : public S {
 public:
  static constexpr Result<FromStart> format(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return made(S::format(words, from_start(geometry)), geometry);
  }
  static constexpr Result<FromStart> attach(std::span<std::uint64_t> words, const Geometry& geometry) noexcept {
    return made(S::attach(words, from_start(geometry)), geometry);
  }

  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    return can_align(align) ? S::place(count, align) : std::nullopt;
  }

 private:
  void place_high() noexcept;  // it has none: the highest place of all with an alignment is none that S counts by
  constexpr FromStart(const S& strategy, Granules origin) noexcept : S(strategy), origin_(origin) {}
  static constexpr Geometry from_start(Geometry geometry) noexcept {
    geometry.origin = {};
    return geometry;
  }
  static constexpr Result<FromStart> made(const Result<S>& strategy, const Geometry& geometry) noexcept {
    if (!strategy) return strategy.error();
    return FromStart(*strategy, geometry.origin);
  }
  constexpr bool can_align(Granules align) const noexcept { return align.value() != 0 && origin_.value() % align.value() == 0; }

  Granules origin_;
};

}  // namespace freestone::strategy
