// The descriptors that this library keeps in the program's table, where the program should not find them.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "system.hpp"

namespace freestone::interposer {

// One of them. Another thread may move it to another number.
struct OwnFile {
  std::atomic<int> fd = -1;
  std::atomic<std::uint32_t> inode = 0;
  std::atomic<bool> is_taken = false;

  // Whether that number is still ours: a program may have closed all there are, and opened others.
  bool is_open() const noexcept {
    const int number = fd.load(std::memory_order_acquire);
    return number >= 0 && look_inode(number) == inode.load(std::memory_order_relaxed);
  }
  static std::uint32_t look_inode(int number) noexcept {
    const OpenDescriptor there = look_at(number);
    return there.mode == 0 ? 0 : static_cast<std::uint32_t>(there.identity.inode) | 1;
  }
};

class OwnFiles {
 public:
  static constexpr std::size_t most = 2048;

  // Takes the descriptor over, and moves it to a high number. Null where there are too many; then it is closed.
  OwnFile* keep(int fd) noexcept {
    for (OwnFile& file : files_) {
      if (file.is_taken.load(std::memory_order_relaxed) || file.is_taken.exchange(true)) continue;
      const int moved = move_up(fd);
      file.inode.store(OwnFile::look_inode(moved), std::memory_order_relaxed);
      set(moved, true);
      file.fd.store(moved, std::memory_order_release);
      return &file;
    }
    close_descriptor(fd);
    return nullptr;
  }
  // Closes it, unless the number is somebody else's by now.
  void drop(OwnFile& file) noexcept {
    const bool is_open = file.is_open();
    const int fd = file.fd.exchange(-1);
    if (fd >= 0) set(fd, false);
    if (is_open) close_descriptor(fd);
    file.is_taken.store(false, std::memory_order_release);
  }
  void drop_all() noexcept {
    for (OwnFile& file : files_) {
      if (file.is_taken.load()) drop(file);
    }
  }

  // Cost where it is not: a look at one bit.
  bool is_own(int fd) const noexcept { return find(fd) != nullptr; }
  // The program wants that number.
  void move_away(int fd) noexcept {
    OwnFile* const file = find(fd);
    if (file == nullptr) return;
    const long moved = raw(fcntl_number, fd, F_DUPFD_CLOEXEC, fd + 1);
    const int there =
        moved >= 0 ? static_cast<int>(moved) : static_cast<int>(raw(fcntl_number, fd, F_DUPFD_CLOEXEC, 3));
    set(fd, false);
    if (there >= 0) set(there, true);
    file->fd.store(there, std::memory_order_release);
  }
  // Their numbers from `first` to `last`, in order; how many.
  std::size_t list(unsigned first, unsigned last, std::array<unsigned, most>& numbers) const noexcept {
    std::size_t count = 0;
    for (const OwnFile& file : files_) {
      const int fd = file.fd.load();
      if (fd < 0 || static_cast<unsigned>(fd) < first || static_cast<unsigned>(fd) > last || !file.is_open()) continue;
      numbers[count++] = static_cast<unsigned>(fd);
    }
    std::sort(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }

 private:
  static constexpr int known_numbers = 1 << 16;  // what lies above is found in the slow way

  OwnFile* find(int fd) const noexcept {
    if (fd < 0) return nullptr;
    if (fd < known_numbers && (bits_[word(fd)].load(std::memory_order_relaxed) & bit(fd)) == 0) return nullptr;
    for (const OwnFile& file : files_) {
      if (file.fd.load(std::memory_order_relaxed) == fd) return file.is_open() ? const_cast<OwnFile*>(&file) : nullptr;
    }
    return nullptr;
  }
  static int move_up(int fd) noexcept {
    struct {
      std::uint64_t soft, hard;
    } limit = {0, 0};
    if (raw(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit) < 0) return fd;
    const auto high = static_cast<int>(std::min<std::uint64_t>(limit.soft / 8 * 7, 4096));
    const long moved = raw(fcntl_number, fd, F_DUPFD_CLOEXEC, high);
    if (moved < 0) return fd;
    close_descriptor(fd);
    return static_cast<int>(moved);
  }
  static std::size_t word(int fd) noexcept { return static_cast<std::size_t>(fd) / 32; }
  static std::uint32_t bit(int fd) noexcept { return std::uint32_t{1} << (fd % 32); }
  void set(int fd, bool is_own) noexcept {
    if (fd >= known_numbers) return;
    is_own ? bits_[word(fd)].fetch_or(bit(fd)) : bits_[word(fd)].fetch_and(~bit(fd));
  }

  std::array<OwnFile, most> files_ = {};
  std::array<std::atomic<std::uint32_t>, known_numbers / 32> bits_ = {};
};

inline constinit OwnFiles own_files;

}  // namespace freestone::interposer
