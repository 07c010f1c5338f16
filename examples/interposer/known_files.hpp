// Which descriptors are the server's, and what is behind them.
#pragma once

#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <freestone/platform/linux_user/protocol.hpp>

#include "connection.hpp"
#include "slot.hpp"
#include "system.hpp"

namespace freestone::interposer {

using linux_user::FileKind;
using linux_user::FileStatus;

// Numbers that may be descriptors of the server's: each way in which one comes marks its number here, and those that go
// away unseen stay marked. So a number that is not marked needs no system call to be told from ours. (A descriptor that
// came past libc is found, and marked, by its first ioctl or mmap.)
class MarkedNumbers {
 public:
  void mark(int fd) noexcept {
    if (fd < 0) return;
    fd < most ? void(bits_[word(fd)].fetch_or(bit(fd), std::memory_order_relaxed)) : others_.store(true);
  }
  void unmark(int fd) noexcept {
    if (is_marked(fd) && fd < most) bits_[word(fd)].fetch_and(~bit(fd), std::memory_order_relaxed);
  }
  bool is_marked(int fd) const noexcept {
    if (fd < 0) return false;
    return fd < most ? (bits_[word(fd)].load(std::memory_order_relaxed) & bit(fd)) != 0 : others_.load();
  }
  // A copy's number is marked as the number it is a copy of.
  void copy(int from, int to) noexcept { is_marked(from) ? mark(to) : unmark(to); }

 private:
  static constexpr int most = 1 << 16;
  static std::size_t word(int fd) noexcept { return static_cast<std::size_t>(fd) / 32; }
  static std::uint32_t bit(int fd) noexcept { return std::uint32_t{1} << (fd % 32); }

  std::array<std::atomic<std::uint32_t>, most / 32> bits_ = {};
  std::atomic<bool> others_ = false;
};
inline constinit MarkedNumbers marked;

// How much of a file is known. What is more is asked of the server, once.
enum class Known : std::uint32_t { nothing, not_served, served, kind_and_size, all };

class KnownFiles {
 public:
  Known find(const Identity& identity, FileStatus& status) const noexcept {
    Entry entry;
    if (!slot_of(identity).read(entry) || entry.identity != identity) return Known::nothing;
    status = entry.status;
    return entry.known;
  }
  // By what /proc/self/maps says of it.
  bool is_served(std::uint32_t major, std::uint32_t minor, std::uint64_t inode) const noexcept {
    Entry entry;
    if (!slots_[static_cast<std::size_t>(inode % slots_.size())].read(entry)) return false;
    const Identity& there = entry.identity;
    return there.inode == inode && there.major == major && there.minor == minor && entry.known >= Known::served;
  }
  void put(const Identity& identity, Known known, const FileStatus& status) noexcept {
    Entry entry;
    std::memset(static_cast<void*>(&entry), 0, sizeof entry);
    entry.identity = identity;
    entry.status = status;
    entry.known = known;
    static_cast<void>(slot_of(identity).write(entry));
  }

 private:
  struct Entry {
    Identity identity;
    FileStatus status;
    Known known = Known::nothing;
    std::uint32_t reserved = 0;
  };
  const Slot<Entry>& slot_of(const Identity& identity) const noexcept {
    return slots_[static_cast<std::size_t>(identity.inode % slots_.size())];
  }
  Slot<Entry>& slot_of(const Identity& identity) noexcept {
    return slots_[static_cast<std::size_t>(identity.inode % slots_.size())];
  }

  std::array<Slot<Entry>, 1024> slots_ = {};
};
inline constinit KnownFiles known_files;

// What stat is to say, and Known::all; not_served where the server does not have it.
inline Known ask_who(int fd, const Identity& identity, FileStatus& status) noexcept {
  Reply reply;
  CameFds fds;
  const std::int64_t result = ask({.ask = Ask::who}, nullptr, 0, fd, reply, fds);
  if (result < 0 && result != -EBADF) return Known::nothing;
  Known known = Known::not_served;
  if (result >= 0 && reply.payload_length == sizeof status) {
    std::memcpy(&status, reply.payload.data(), sizeof status);
    known = Known::all;
  }
  known_files.put(identity, known, status);
  return known;
}

// What the descriptor is, known as well as `needed`. Anything below Known::served: it is not the server's.
// Cost: one system call where it is no memfd or was asked about before.
inline Known find_file(int fd, Known needed, FileStatus& status) noexcept {
  const OpenDescriptor there = look_at(fd);
  if (!S_ISREG(there.mode)) return Known::not_served;
  const Known known = known_files.find(there.identity, status);
  if (known == Known::not_served || known >= needed) return known;
  if (known == Known::nothing && !is_memfd(fd)) return Known::not_served;
  const Known asked = ask_who(fd, there.identity, status);
  if (asked >= Known::served) marked.mark(fd);
  return asked == Known::nothing ? known : asked;
}
inline bool is_served(int fd) noexcept {
  FileStatus status;
  return find_file(fd, Known::served, status) >= Known::served;
}
// The same where the number is not even looked at unless it is marked.
inline FileKind kind_of_marked(int fd, FileStatus& status) noexcept {
  if (!marked.is_marked(fd) || find_file(fd, Known::kind_and_size, status) < Known::kind_and_size)
    return FileKind::none;
  return status.kind;
}

// A descriptor that just came from the server: all of a buffer that matters is known without another question.
inline void note_new(int fd, bool is_buffer) noexcept {
  marked.mark(fd);
  const OpenDescriptor there = look_at(fd);
  FileStatus status;
  const bool is_viewed = (there.mode & (S_IRWXG | S_IRWXO)) == 0;
  if (is_buffer)
    status = {.kind = is_viewed ? FileKind::view_buffer : FileKind::buffer, .mode = there.mode, .inode = there.identity.inode, .size = there.size};
  known_files.put(there.identity, is_buffer ? Known::kind_and_size : Known::served, status);
}

// A program may have been started with some: found among its descriptors by what they are.
inline void mark_inherited() noexcept {
  alignas(8) char entries[1024];
  const long directory = raw(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  for (;;) {
    const long length = raw(SYS_getdents64, directory, entries, sizeof entries);
    if (length <= 0) break;
    for (long at = 0; at < length;) {
      unsigned short size = 0;
      std::memcpy(&size, entries + at + 16, sizeof size);  // linux_dirent64: inode, offset, size, type, name
      int fd = 0;
      const char* digit = entries + at + 19;
      for (; *digit >= '0' && *digit <= '9'; ++digit) fd = fd * 10 + (*digit - '0');
      if (*digit == '\0' && digit != entries + at + 19 && is_memfd(fd)) marked.mark(fd);
      at += size;
    }
  }
  close_descriptor(static_cast<int>(directory));
}

}  // namespace freestone::interposer
