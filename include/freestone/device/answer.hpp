// What a call of a device node answers: a number from 0 on, or why not, as Linux counts its reasons.
#pragma once

#include <cstdint>

#include <freestone/core/error.hpp>

namespace freestone::device {

// Linux's, of asm-generic/errno-base.h and errno.h; named in words, because the names there are macros.
enum class Errno : std::int32_t {
  none = 0,
  not_permitted = 1,        // EPERM
  no_entry = 2,             // ENOENT
  interrupted = 4,          // EINTR
  io = 5,                   // EIO
  bad_file = 9,             // EBADF
  try_again = 11,           // EAGAIN
  no_memory = 12,           // ENOMEM
  no_access = 13,           // EACCES
  fault = 14,               // EFAULT
  busy = 16,                // EBUSY
  exists = 17,              // EEXIST
  no_device = 19,           // ENODEV
  is_directory = 21,        // EISDIR
  invalid = 22,             // EINVAL
  too_many_files_here = 23, // ENFILE
  too_many_files = 24,      // EMFILE
  no_such_command = 25,     // ENOTTY
  no_room = 28,             // ENOSPC
  no_seek = 29,             // ESPIPE
  name_too_long = 36,       // ENAMETOOLONG
};

class [[nodiscard]] Answer {
 public:
  constexpr Answer(Errno error) noexcept : value_(-static_cast<std::int64_t>(error)) {}
  constexpr explicit Answer(std::int64_t value) noexcept : value_(value) {}

  constexpr bool is_error() const noexcept { return value_ < 0; }
  constexpr Errno error() const noexcept { return is_error() ? static_cast<Errno>(-value_) : Errno::none; }
  // As a system call returns it in the kernel: an error is -errno.
  constexpr std::int64_t value() const noexcept { return value_; }

  friend constexpr bool operator==(Answer, Answer) noexcept = default;

 private:
  std::int64_t value_;
};

inline constexpr Answer done = Answer(std::int64_t{0});

// What all four systems answer where a heap or a table of the sharing layer refuses.
constexpr Errno errno_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::none: return Errno::none;
    case ErrorCode::zero_size:
    case ErrorCode::alignment_not_power_of_two:
    case ErrorCode::alignment_not_granules:
    case ErrorCode::bad_handle:
    case ErrorCode::no_buffer:
    case ErrorCode::not_mapped:
    case ErrorCode::bad_cacheability:
    case ErrorCode::foreign_file: return Errno::invalid;
    case ErrorCode::unknown_heap:
    case ErrorCode::empty_mask:
    case ErrorCode::no_client: return Errno::no_device;
    case ErrorCode::still_mapped: return Errno::exists;
    case ErrorCode::still_used: return Errno::busy;
    case ErrorCode::limit_reached: return Errno::too_many_files_here;  // a platform's files
    default: return Errno::no_memory;
  }
}

}  // namespace freestone::device
