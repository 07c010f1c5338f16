// Failure is a value with a reason. The text of one is in core/os/describe.hpp, for hosts that have strings.
#pragma once

#include <cstdint>

namespace freestone {

enum class ErrorCode : std::uint16_t {
  none,
  // The arguments of allocate.
  zero_size,
  size_overflow,  // rounding the size up to granules leaves 64 bits
  alignment_not_power_of_two,
  alignment_not_granules,  // of a strategy with any_alignment: no power of two, and no multiple of the granule either
  alignment_beyond_zone,   // larger than the zone
  size_beyond_zone,
  no_space,
  list_too_short,  // of allocate_list: the request takes more blocks than the caller has room for
  not_granules,    // of allocate_at, grow and shrink: the offset or the size is no multiple of the granule
  // The arguments of deallocate. Each is detected whenever the strategy has `exact_release`.
  double_release,  // no live block lies there
  inner_release,   // inside a live block, but not its start
  foreign_block,   // of another zone, or outside this one
  // The arguments of create.
  granule_zero,
  granule_not_power_of_two,
  zone_below_granule,
  zone_not_multiple,  // its size is no multiple of the granule
  zone_overflow,      // base + size leaves 64 bits
  base_misaligned,    // the base is no multiple of the granule
  notes_too_small,
  notes_misaligned,  // not where a 64-bit word may lie on this target
  data_too_small,    // the memory given is shorter than the zone
  equal_block_zero,  // sizes cannot be rounded up to multiples of 0
  // Taking up words that hold no map of this very kind.
  not_formatted,
  wrong_version,
  wrong_strategy,
  wrong_granule,
  wrong_capacity,
  wrong_origin,
  wrong_lock,  // the zone's users meet at another kind of lock
  cut_short,   // the map is longer than the words given, or the file shorter than the zone
  // The host's own.
  out_of_memory,
  os_failure,  // `os_error` says which
};

// Which zone, what was asked for and what was there: in bytes; where notes are too few, words; where a map is
// another's, the two numbers that differ, in the map's own units (granules, a version, a kind).
struct Error {
  ErrorCode code = ErrorCode::none;
  std::int32_t os_error = 0;  // errno, or 0
  std::uint64_t asked = 0;
  std::uint64_t available = 0;
  const char* zone = "";  // the name that its creator gave

  constexpr explicit operator bool() const noexcept { return code != ErrorCode::none; }

  friend constexpr bool operator==(const Error& a, const Error& b) noexcept {
    return a.code == b.code && a.os_error == b.os_error && a.asked == b.asked && a.available == b.available &&
           is_same_text(a.zone, b.zone);
  }

 private:
  static constexpr bool is_same_text(const char* a, const char* b) noexcept {
    for (; *a == *b; ++a, ++b) {
      if (*a == '\0') return true;
    }
    return false;
  }
};
static_assert(sizeof(Error) <= 32);

}  // namespace freestone
