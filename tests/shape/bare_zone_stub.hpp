// A strategy whose work is done elsewhere: all that is left to look at is the zone round it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/strategy/concept.hpp>

namespace freestone::shape {

class StubStrategy {
 public:
  static constexpr std::uint32_t id = 0x42554253;
  static constexpr bool exact_release = true;
  static constexpr bool places = true;

  static constexpr std::size_t footprint(Granules) noexcept { return 1; }
  static Result<StubStrategy> format(std::span<std::uint64_t> words, const Geometry&) noexcept {
    return StubStrategy(words);
  }
  static Result<StubStrategy> attach(std::span<std::uint64_t> words, const Geometry&) noexcept {
    return StubStrategy(words);
  }

  explicit StubStrategy(std::span<std::uint64_t> words) noexcept : words_(words.data()) {}

  // Hand out the same extents again and again; in a unit of their own.
  std::optional<Extent> place(Granules count, Granules align) noexcept;
  Released release(Granules first) noexcept;
  Granules free_granules() const noexcept;

  Granules length_of(Granules) const noexcept { return Granules(0); }
  Granules largest_free() const noexcept { return free_granules(); }
  template <class Visitor>
  void for_each_block(Visitor&&) const {}

 private:
  std::uint64_t* words_;
};

}  // namespace freestone::shape
