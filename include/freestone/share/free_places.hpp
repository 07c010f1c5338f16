// Which places of a table are free; the one that has been for longest is used next.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace freestone {

// All `most` are free at first. Callers take turns. Cost: O(1).
template <std::size_t most>
class FreePlaces {
 public:
  constexpr FreePlaces() noexcept {
    for (std::uint32_t place = 0; place < most; ++place) ring_[place] = place;
  }

  // Empty where all are used.
  constexpr std::optional<std::uint32_t> take() noexcept {
    if (used_ == most) return std::nullopt;
    const std::uint32_t place = ring_[first_];
    first_ = first_ + 1 == most ? 0 : first_ + 1;
    ++used_;
    return place;
  }
  // One that was taken, once.
  constexpr void put(std::uint32_t place) noexcept {
    const std::size_t end = first_ + (most - used_);
    ring_[end >= most ? end - most : end] = place;
    --used_;
  }
  constexpr std::size_t used() const noexcept { return used_; }

 private:
  std::array<std::uint32_t, most> ring_ = {};
  std::size_t first_ = 0;
  std::size_t used_ = 0;
};

}  // namespace freestone
