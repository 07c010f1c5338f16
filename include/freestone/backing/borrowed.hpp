#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/backing/concept.hpp>

namespace freestone::backing {

// Memory that somebody else owns, and words for the notes that may lie anywhere: the caller keeps both until the zone
// is gone. With a pointer the base is its number, unless another is given (memory that several processes map is 0, or
// physical); with a number alone the zone has no CPU pointers, and works in constant evaluation.
class Borrowed {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability) noexcept { return true; }  // as the owner mapped it

  Borrowed(std::span<std::byte> data, std::span<std::uint64_t> notes) noexcept
      : Borrowed(data, notes, reinterpret_cast<std::uintptr_t>(data.data())) {}
  constexpr Borrowed(std::span<std::byte> data, std::span<std::uint64_t> notes, Bytes base) noexcept
      : Borrowed(base, data.size(), notes, data.data()) {}

  static constexpr Borrowed at(Bytes base, Bytes size, std::span<std::uint64_t> notes) noexcept {
    return Borrowed(base, size, notes, nullptr);
  }

  constexpr Bytes size() const noexcept { return size_; }
  constexpr Bytes base() const noexcept { return base_; }
  constexpr std::span<std::uint64_t> notes() noexcept { return notes_; }

  constexpr std::optional<CpuPointer> cpu_pointer(Bytes offset) const noexcept {
    if (data_ == nullptr) return std::nullopt;
    return data_ + static_cast<std::size_t>(offset.value());
  }

 private:
  constexpr Borrowed(Bytes base, Bytes size, std::span<std::uint64_t> notes, CpuPointer data) noexcept
      : base_(base), size_(size), notes_(notes), data_(data) {}

  Bytes base_;
  Bytes size_;
  std::span<std::uint64_t> notes_;
  CpuPointer data_;
};

}  // namespace freestone::backing
