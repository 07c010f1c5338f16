// A strategy over words of its own, spoken to in plain numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <freestone/strategy/concept.hpp>

namespace freestone::tests {

constexpr Extent extent(std::uint64_t first, std::uint64_t count) { return {Granules(first), Granules(count)}; }
constexpr Geometry geometry(std::uint64_t capacity, std::uint64_t origin = 0) {
  return {.capacity = Granules(capacity), .granule = 4096, .origin = Granules(origin)};
}

// All that can be seen of a strategy from outside.
struct Observed {
  Granules free = {};
  Granules largest = {};
  std::vector<Extent> blocks = {};

  friend constexpr bool operator==(const Observed&, const Observed&) = default;
};

template <class S>
constexpr Observed observe(const S& strategy) {
  Observed seen{.free = strategy.free_granules(), .largest = strategy.largest_free()};
  strategy.for_each_block([&](Extent block) { seen.blocks.push_back(block); });
  return seen;
}

template <class S>
class Map {
 public:
  constexpr explicit Map(std::uint64_t capacity, std::uint64_t origin = 0) : Map(geometry(capacity, origin)) {}
  constexpr explicit Map(const Geometry& range, std::uint64_t filled_with = 0)
      : geometry_(range), words_(S::footprint(range.capacity), filled_with), strategy_(*S::format(words_, range)) {}
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  constexpr S& strategy() { return strategy_; }
  constexpr S* operator->() { return &strategy_; }
  constexpr std::vector<std::uint64_t>& words() { return words_; }
  constexpr const Geometry& range() const { return geometry_; }

  // The first granule of the place.
  constexpr std::optional<std::uint64_t> place(std::uint64_t count, std::uint64_t align = 1) {
    const auto placed = strategy_.place(Granules(count), Granules(align));
    return placed ? std::optional(placed->first.value()) : std::nullopt;
  }
  constexpr bool place_at(std::uint64_t first, std::uint64_t count) {
    return strategy_.place_at(extent(first, count)).has_value();
  }
  // How many granules came back; 0 when it was refused.
  constexpr std::uint64_t release(std::uint64_t first) { return strategy_.release(Granules(first)).count.value(); }
  constexpr std::uint64_t length_of(std::uint64_t first) const { return strategy_.length_of(Granules(first)).value(); }
  constexpr std::uint64_t free() const { return strategy_.free_granules().value(); }
  constexpr std::uint64_t largest() const { return strategy_.largest_free().value(); }
  constexpr std::vector<Extent> blocks() const { return observe(strategy_).blocks; }

  // Refused, for that reason, and no bit of the map changed.
  constexpr bool refuses_release(std::uint64_t first, ReleaseFault fault) {
    const std::vector<std::uint64_t> before = words_;
    return strategy_.release(Granules(first)) == Released{.count = Granules(0), .fault = fault} && words_ == before;
  }
  constexpr bool refuses_place_at(std::uint64_t first, std::uint64_t count) {
    const std::vector<std::uint64_t> before = words_;
    return !place_at(first, count) && words_ == before;
  }

 private:
  Geometry geometry_;
  std::vector<std::uint64_t> words_;
  S strategy_;
};

}  // namespace freestone::tests
