// What is behind a descriptor of a device node's: what a personality makes of open, ioctl, mmap, lseek and the last
// close, whichever system calls it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/platform.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/command.hpp>
#include <freestone/device/wire.hpp>

namespace freestone::device {

// How somebody opens a node, in Linux's bits (asm-generic/fcntl.h).
struct OpenFlags {
  std::uint32_t bits = 0;

  static constexpr std::uint32_t access_mask = 3;         // O_RDONLY, O_WRONLY, O_RDWR
  static constexpr std::uint32_t read_write = 2;          // O_RDWR
  static constexpr std::uint32_t synchronous = 0x1000;    // O_DSYNC
  static constexpr std::uint32_t close_on_exec = 0x80000;  // O_CLOEXEC

  constexpr std::uint32_t access() const noexcept { return bits & access_mask; }
  constexpr bool is_synchronous() const noexcept { return (bits & synchronous) != 0; }
  constexpr bool closes_on_exec() const noexcept { return (bits & close_on_exec) != 0; }
};

// Where in the struct that goes back the number of the new descriptor stands, which only the system knows.
struct FdField {
  std::size_t offset = 0;
  std::size_t length = 4;
};

// One call of one caller, while it lasts: his memory, and a way to give him a file. Both may take as long as he likes:
// no lock is held meanwhile.
template <class C>
concept Call = can_copy<C> && requires(C& call) {
  { call.word() } noexcept -> std::same_as<WordSize>;
};

// What a command came to before its caller knows. A file that it made is given to him with the struct that goes back, or
// ends when either cannot be: so a caller whose memory faults has nothing, and nobody else has. What has keep() is no file: the
// struct alone tells of it, and it is kept once that was copied.
struct NoFile {};
template <class F = NoFile>
struct Outcome {
  using File = F;

  Answer answer;
  std::optional<F> file = {};
  OpenFlags flags = {};  // of the file

  Outcome(Answer answer) noexcept : answer(answer) {}
  Outcome(Errno error) noexcept : answer(error) {}
  explicit Outcome(F&& made) noexcept : answer(done), file(std::move(made)) {}
  Outcome(F&& made, OpenFlags flags) noexcept : answer(done), file(std::move(made)), flags(flags) {}
};

// lseek's.
enum class Whence : std::uint8_t { set = 0, current = 1, end = 2 };

}  // namespace freestone::device
