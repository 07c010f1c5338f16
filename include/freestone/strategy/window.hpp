// Which starts a request may have whose block must lie within bounds: below a last address, on one side of each multiple
// of a boundary. No strategy needs code for it: a zone asks one for these starts.
#pragma once

#include <cstdint>
#include <optional>

#include <freestone/core/bits.hpp>
#include <freestone/core/error.hpp>
#include <freestone/core/extent.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/units.hpp>

namespace freestone::strategy {

// Of blocks of `count` granules at multiples of `align`, counted from the space's zero. Cost: O(1), but for first_from where
// `align` is no power of two: O(boundaries in the range).
class Window {
 public:
  constexpr Window(const Geometry& range, Granules count, Granules align, const Bounds& bounds) noexcept
      : origin_(range.origin.value()),
        capacity_(range.capacity.value()),
        count_(count.value()),
        align_(align.value()),
        bounds_(bounds),
        granule_log2_(bits::floor_log2(range.granule.value())) {}

  // Why no block of that size can lie within, wherever the others are: boundary_not_power_of_two,
  // size_beyond_boundary, zone_beyond_limit.
  constexpr Error check() const noexcept {
    const std::uint64_t size = count_ << granule_log2_;
    const std::uint64_t boundary = bounds_.boundary.value();
    if ((boundary & (boundary - 1)) != 0) return {.code = ErrorCode::boundary_not_power_of_two, .asked = boundary};
    if (boundary != 0 && size > boundary) {
      return {.code = ErrorCode::size_beyond_boundary, .asked = size, .available = boundary};
    }
    if (end() < count_) return {.code = ErrorCode::zone_beyond_limit, .asked = size, .available = bounds_.last};
    return {};
  }

  constexpr bool allows(Extent extent) const noexcept {
    return extent.end().value() <= end() && !crosses(extent.first.value(), extent.count.value());
  }

  // The lowest start at `from` or above, at a multiple of `step` (a power of two) too, whose block ends at `before` at
  // most. Empty where there is none.
  constexpr std::optional<Extent> first_from(Granules from, Granules before, Granules step) const noexcept {
    const std::uint64_t most = before.value() < end() ? before.value() : end();
    std::uint64_t start = from.value();
    while (start <= most && most - start >= count_) {
      const std::uint64_t next = aligned_up(start, step.value());
      if (next > most || most - next < count_) return std::nullopt;
      if (!crosses(next, count_)) return Extent{Granules(next), Granules(count_)};
      start = ((origin_ + next) | (boundary() - 1)) + 1 - origin_;
    }
    return std::nullopt;
  }

 private:
  // Where the last granule that is allowed ends, from the range's first one on.
  constexpr std::uint64_t end() const noexcept {
    if (bounds_.last == bits::all) return capacity_;
    const std::uint64_t below = (bounds_.last + 1) >> granule_log2_;
    const std::uint64_t allowed = below > origin_ ? below - origin_ : 0;
    return allowed < capacity_ ? allowed : capacity_;
  }
  constexpr std::uint64_t boundary() const noexcept { return bounds_.boundary.value() >> granule_log2_; }
  constexpr bool crosses(std::uint64_t first, std::uint64_t count) const noexcept {
    if (bounds_.boundary == 0) return false;
    return ((origin_ + first) ^ (origin_ + first + count - 1)) >= boundary();
  }
  // (A multiple of both is one of the larger, where both are powers of two; else `step` is 1.)
  constexpr std::uint64_t aligned_up(std::uint64_t start, std::uint64_t step) const noexcept {
    const std::uint64_t over = bits::remainder(origin_ + start, align_ < step ? step : align_);
    return over == 0 ? start : start + (align_ < step ? step : align_) - over;
  }

  std::uint64_t origin_;
  std::uint64_t capacity_;
  std::uint64_t count_;
  std::uint64_t align_;
  Bounds bounds_;
  unsigned granule_log2_;
};

}  // namespace freestone::strategy
