#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/backing/concept.hpp>

namespace freestone::backing {

// A fixed window of physical addresses that the board, the linker or the device tree keeps free for it. Offsets count
// from its physical address, so what is aligned is that. The CPU sees it at a number that the caller gives: the same
// one where nothing translates, or none. The notes are the caller's words, in memory of another kind if need be.
//
// All of it is numbers until a pointer is asked for: constinit, and a zone over it works in constant evaluation. Who
// has an operating system takes DevMem or Uio (os/reserved.hpp), which map the window themselves.
class Reserved {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability) noexcept { return true; }  // as the board maps it

  struct Window {
    PhysicalAddress physical;
    Bytes size = {};
    std::optional<std::uintptr_t> cpu = std::nullopt;  // the CPU's number for its first byte
  };

  constexpr Reserved(const Window& window, std::span<std::uint64_t> notes) noexcept : window_(window), notes_(notes) {}

  constexpr Bytes size() const noexcept { return window_.size; }
  constexpr Bytes base() const noexcept { return window_.physical.value(); }
  constexpr std::span<std::uint64_t> notes() noexcept { return notes_; }

  constexpr std::optional<PhysicalAddress> physical_address(Bytes offset) const noexcept {
    return window_.physical + offset;
  }
  constexpr std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    if (!window_.cpu) return std::nullopt;
    return reinterpret_cast<CpuPointer>(*window_.cpu + static_cast<std::uintptr_t>(offset.value()));
  }

 private:
  Window window_;
  std::span<std::uint64_t> notes_;
};

}  // namespace freestone::backing
