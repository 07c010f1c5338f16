// A call to a zone in 16 bytes, for traces.
#pragma once

#include <cstdint>
#include <optional>

#include <freestone/core/bits.hpp>
#include <freestone/core/units.hpp>

namespace freestone {

enum class EventKind : std::uint8_t {
  allocate,
  deallocate,
  resize,
  open,  // not through yet: only a recorder sees such ones
};

// What an event says.
struct EventFields {
  EventKind kind = EventKind::allocate;
  bool failed = false;     // it was refused, and nothing changed
  std::uint8_t tag = 0;    // the request's; 255: that or more
  Granules first = {};     // where the block begins; 0 where there is none
  Bytes size = {};         // as asked for; of deallocate, as granted
  Bytes align = 0;         // 0: a granule will do
  std::uint64_t time = 0;  // since the event before, in units of the recorder's clock
};

// Two words: from bit 0 on kind 2, failed 1, align 6 (its log2), tag 8, size 47; time 16, first 48. A size of 2^47 - 1
// is that or more. An alignment that is no power of two is kept as the largest one that divides it. Times from 2048 on
// are rounded down to 12 bits that count, so by less than 1/2048, and end at 2^42: whoever writes events counts the
// next time from what this one says, then nothing adds up.
class Event {
 public:
  static constexpr std::uint64_t most_size = (std::uint64_t{1} << 47) - 1;

  constexpr Event() noexcept = default;

  // Nothing where `first` has more than 48 bits.
  static constexpr std::optional<Event> of(const EventFields& fields) noexcept {
    if (fields.first.value() >> 48 != 0) return std::nullopt;
    const std::uint64_t size = fields.size.value();
    const std::uint64_t align = fields.align.value();
    Event event;
    event.what_ = static_cast<std::uint64_t>(fields.kind) | std::uint64_t{fields.failed} << 2 |
                  std::uint64_t{align == 0 ? 0 : bits::lowest_bit(align)} << 3 | std::uint64_t{fields.tag} << 9 |
                  (size < most_size ? size : most_size) << 17;
    event.where_ = packed(fields.time) | fields.first.value() << 16;
    return event;
  }

  constexpr EventKind kind() const noexcept { return static_cast<EventKind>(what_ & 3); }
  constexpr EventFields fields() const noexcept {
    const auto log2 = static_cast<unsigned>((what_ >> 3) & 63);
    return {.kind = kind(),
            .failed = ((what_ >> 2) & 1) != 0,
            .tag = static_cast<std::uint8_t>(what_ >> 9),
            .first = Granules(where_ >> 16),
            .size = what_ >> 17,
            .align = log2 == 0 ? 0 : std::uint64_t{1} << log2,
            .time = unpacked(where_ & 0xFFFF)};
  }
  // The same event, ended: how it was, and what of.
  constexpr void end(EventKind kind, bool failed) noexcept {
    what_ = (what_ & ~std::uint64_t{7}) | static_cast<std::uint64_t>(kind) | std::uint64_t{failed} << 2;
  }

  friend constexpr bool operator==(Event, Event) noexcept = default;

 private:
  // 11 bits, and 5 for how far they are shifted; 0 for numbers below 2048.
  static constexpr std::uint64_t packed(std::uint64_t time) noexcept {
    if (time >> 11 == 0) return time;
    const unsigned shift = bits::floor_log2(time) - 11;
    return shift > 30 ? 0xFFFF : std::uint64_t{shift + 1} << 11 | ((time >> shift) & 2047);
  }
  static constexpr std::uint64_t unpacked(std::uint64_t said) noexcept {
    const auto shift = static_cast<unsigned>(said >> 11);
    return shift == 0 ? said : ((said & 2047) | 2048) << (shift - 1);
  }

  std::uint64_t what_ = 0;
  std::uint64_t where_ = 0;
};
static_assert(sizeof(Event) == 16);

}  // namespace freestone
