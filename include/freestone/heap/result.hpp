// What comes of asking several heaps: a block and whose it is, or each heap that was looked at and why it had none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/core/block.hpp>
#include <freestone/core/error.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/heap/constraints.hpp>

namespace freestone {

// A block, and the id of the heap that it is of.
struct HeapBlock {
  Block block = {};
  unsigned heap = most_heaps;  // of none

  friend constexpr bool operator==(const HeapBlock&, const HeapBlock&) noexcept = default;
};

// A block that an address is in.
struct Located {
  HeapBlock block = {};
  const char* heap_name = "";
  Bytes offset = {};  // of the address, from the block's first byte
};

// A heap that was looked at, and what it did not meet. (No defaults: an array of them costs nothing to make.)
struct Refusal {
  const char* name;
  std::uint8_t id;
  Constraint failed;
  ErrorCode code;  // the zone's own, where it was asked

  friend constexpr bool operator==(const Refusal& a, const Refusal& b) noexcept {
    return a.id == b.id && a.failed == b.failed && a.code == b.code;
  }
};

// Why no heap served a request. `code`: unknown_heap (no heap has any of the ids), empty_mask, zero_size,
// never_satisfied (no heap will, whatever is free), none_satisfied (none now). `refusals`: each heap in the order in
// which they were looked at. `last`: the error of the last zone that was asked, code none where none was.
class HeapError {
 public:
  constexpr HeapError() noexcept {}  // who is served pays nothing for refusals that never were
  constexpr HeapError(const HeapError& other) noexcept : code(other.code), last(other.last) { copy(other); }
  constexpr HeapError& operator=(const HeapError& other) noexcept {
    code = other.code;
    last = other.last;
    copy(other);
    return *this;
  }

  ErrorCode code = ErrorCode::none;
  Error last = {};

  constexpr std::span<const Refusal> refusals() const noexcept { return {refusals_, count_}; }
  constexpr void add(const Refusal& refusal) noexcept {
    if (count_ < most_heaps) refusals_[count_++] = refusal;
  }

  constexpr explicit operator bool() const noexcept { return code != ErrorCode::none; }

 private:
  constexpr void copy(const HeapError& other) noexcept {
    count_ = other.count_;
    for (std::size_t i = 0; i < count_; ++i) refusals_[i] = other.refusals_[i];
  }

  std::size_t count_ = 0;
  Refusal refusals_[most_heaps];  // the first `count_` of them
};

// As Result, with a HeapError. (T is a plain value.)
template <class T>
class [[nodiscard]] HeapResult {
 public:
  constexpr HeapResult(const T& value) noexcept : value_(value), has_value_(true) {}
  constexpr HeapResult(const HeapError& error) noexcept : error_(error) {}

  constexpr explicit operator bool() const noexcept { return has_value_; }
  constexpr const T& operator*() const noexcept { return seam::expect(has_value_), value_; }
  constexpr const T* operator->() const noexcept { return &**this; }
  constexpr const HeapError& error() const noexcept { return seam::expect(!has_value_), error_; }

 private:
  T value_ = {};
  HeapError error_;
  bool has_value_ = false;
};

}  // namespace freestone
