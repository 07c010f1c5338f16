#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/backing/concept.hpp>

namespace freestone::backing {

// 64-bit numbers and no memory at all: sub-allocates a buffer that some API owns, a device's window, disk blocks, ids.
// Its notes lie on the heap; `WithNotes` puts them elsewhere.
class OffsetSpace {
 public:
  static constexpr bool shared = false;
  static constexpr bool gives(Cacheability) noexcept { return true; }  // nobody looks

  // out_of_memory when the heap has no room for the notes.
  static constexpr Result<OffsetSpace> create(const BackingRequest& request) noexcept { return create(request, 0); }
  // The first number is `base`: a multiple of the granule.
  static constexpr Result<OffsetSpace> create(const BackingRequest& request, Bytes base) noexcept {
    const std::size_t words = request.notes_words;
    std::uint64_t* notes = nullptr;
    if (std::is_constant_evaluated()) {
      notes = new std::uint64_t[words]();
    } else if (words <= SIZE_MAX / 2 / sizeof(std::uint64_t)) {
      notes = new (std::nothrow) std::uint64_t[words]();
    }
    if (notes == nullptr) return no_room(request);
    return OffsetSpace(base, request.size, {notes, request.notes_words});
  }

  constexpr OffsetSpace(OffsetSpace&& other) noexcept
      : base_(other.base_), size_(other.size_), notes_(std::exchange(other.notes_, {})) {}
  constexpr OffsetSpace& operator=(OffsetSpace&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(size_, other.size_);
    std::swap(notes_, other.notes_);
    return *this;
  }
  constexpr ~OffsetSpace() { delete[] notes_.data(); }

  constexpr Bytes size() const noexcept { return size_; }
  constexpr Bytes base() const noexcept { return base_; }
  constexpr std::span<std::uint64_t> notes() noexcept { return notes_; }

 private:
  constexpr OffsetSpace(Bytes base, Bytes size, std::span<std::uint64_t> notes) noexcept
      : base_(base), size_(size), notes_(notes) {}

  static constexpr Error no_room(const BackingRequest& request) noexcept {
    return {.code = ErrorCode::out_of_memory, .asked = request.notes_words, .zone = request.name};
  }

  Bytes base_;
  Bytes size_;
  std::span<std::uint64_t> notes_;
};

}  // namespace freestone::backing
