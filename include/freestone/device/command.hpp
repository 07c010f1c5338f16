// Numbers of ioctl commands: magic, number, direction and length of the argument, in Linux's generic encoding
// (asm-generic/ioctl.h; of x86, arm and arm64).
#pragma once

#include <cstdint>

namespace freestone::device {

// Seen by the caller: `write` hands an argument in, `read` gets one back.
enum class Direction : std::uint8_t { none = 0, write = 1, read = 2, both = 3 };

struct Command {
  std::uint32_t code = 0;

  static constexpr Command of(Direction direction, char magic, unsigned number, std::uint32_t length) noexcept {
    return {static_cast<std::uint32_t>(direction) << 30 | length << 16 |
            static_cast<std::uint32_t>(static_cast<unsigned char>(magic)) << 8 | number};
  }

  constexpr unsigned number() const noexcept { return code & 0xff; }
  constexpr char magic() const noexcept { return static_cast<char>(code >> 8 & 0xff); }
  constexpr std::uint32_t length() const noexcept { return code >> 16 & 0x3fff; }
  constexpr bool hands_in() const noexcept { return (code >> 30 & 1) != 0; }
  constexpr bool gets_back() const noexcept { return (code >> 31) != 0; }

  friend constexpr bool operator==(Command, Command) noexcept = default;
};

}  // namespace freestone::device
