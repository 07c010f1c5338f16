// mmap and mremap of the server's files.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "known_files.hpp"

namespace freestone::interposer {

inline bool is_failed(const void* mapped) noexcept { return mapped == MAP_FAILED; }
inline void* failed_map(long error) noexcept { return returned(error), MAP_FAILED; }

// A device's own memory, in parts, where host(address, length, protection, flags, fd, offset) maps.
template <class Host>
void* map_device(void* address, std::size_t length, int protection, int flags, int fd, std::uint64_t offset,
                 Host host) noexcept {
  Reply reply;
  CameFds fds;
  const auto how =
      static_cast<std::uint64_t>(static_cast<std::uint32_t>(flags)) << 32 | static_cast<std::uint32_t>(protection);
  const std::int64_t result =
      ask({.ask = Ask::map, .number = how, .address = offset, .length = length}, nullptr, 0, fd, reply, fds);
  if (result < 0) return failed_map(static_cast<long>(result));
  // The room first: a mapping that cannot be made as a whole is none.
  void* const room = host(address, length, PROT_NONE,
                          (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (is_failed(room)) return room;
  for (std::size_t at = 0; at + sizeof(linux_user::MapPart) <= reply.payload_length;
       at += sizeof(linux_user::MapPart)) {
    linux_user::MapPart part;
    std::memcpy(&part, reply.payload.data() + at, sizeof part);
    const bool fits = part.at <= length && part.length <= length - part.at && part.fd < fds.size();
    const int how_part = (flags & (MAP_POPULATE | MAP_LOCKED)) | MAP_SHARED | MAP_FIXED;
    if (fits && !is_failed(host(static_cast<char*>(room) + part.at, static_cast<std::size_t>(part.length), protection,
                                how_part, fds[part.fd], part.offset))) {
      continue;
    }
    const int saved = fits ? errno : EINVAL;
    static_cast<void>(raw(SYS_munmap, room, length));
    errno = saved;
    return MAP_FAILED;
  }
  return room;
}

// As mmap. A buffer is mapped by the host, if it has the bytes: else pages behind its end would be there, and kill
// whoever touches them.
template <class Host>
void* map_anywhere(void* address, std::size_t length, int protection, int flags, int fd, std::uint64_t offset,
                   Host host) noexcept {
  FileStatus status;
  if (fd < 0 || (flags & MAP_ANONYMOUS) != 0 || !is_on() ||
      find_file(fd, Known::kind_and_size, status) < Known::kind_and_size) {
    return host(address, length, protection, flags, fd, offset);
  }
  if (status.kind == FileKind::device) return map_device(address, length, protection, flags, fd, offset, host);
  if (status.kind != FileKind::buffer) return failed_map(-ENODEV);
  const auto page = static_cast<std::uint64_t>(::getpagesize());
  const std::uint64_t pages = length / page + (length % page != 0 ? 1 : 0);
  const std::uint64_t all = status.size / page, first = offset / page;
  if (pages > all || first > all - pages) return failed_map(-EINVAL);
  return host(address, length, protection, flags, fd, offset);
}

// The lines of /proc/self/maps, one after the other, with no memory but the stack's.
class MapLines {
 public:
  struct Line {
    std::uint64_t start, end, inode;
    std::uint32_t major, minor;
  };

  MapLines() noexcept : fd_(static_cast<int>(raw(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC))) {}
  MapLines(const MapLines&) = delete;
  MapLines& operator=(const MapLines&) = delete;
  ~MapLines() {
    if (fd_ >= 0) close_descriptor(fd_);
  }

  // START-END PROT OFFSET MAJOR:MINOR INODE NAME; all numbers but the inode in base 16.
  bool next(Line& line) noexcept {
    std::uint64_t protection = 0, offset = 0, major = 0, minor = 0;
    if (!number(16, line.start) || !number(16, line.end)) return false;
    number(0, protection), number(16, offset), number(16, major), number(16, minor), number(10, line.inode);
    line.major = static_cast<std::uint32_t>(major);
    line.minor = static_cast<std::uint32_t>(minor);
    for (int letter = last_; letter >= 0 && letter != '\n'; letter = get()) {
    }
    return true;
  }

 private:
  int get() noexcept {
    if (at_ == length_) {
      const long length = fd_ < 0 ? -1 : raw(SYS_read, fd_, buffer_.data(), buffer_.size());
      if (length <= 0) return last_ = -1;
      at_ = 0;
      length_ = static_cast<std::size_t>(length);
    }
    return last_ = static_cast<unsigned char>(buffer_[at_++]);
  }
  // The next word, as a number of that base (0: it is none), and one letter behind it. False at the end.
  bool number(unsigned base, std::uint64_t& value) noexcept {
    value = 0;
    std::size_t letters = 0;
    for (int letter = get(); letter >= 0; letter = get(), ++letters) {
      const unsigned digit = letter >= '0' && letter <= '9'   ? static_cast<unsigned>(letter - '0')
                             : letter >= 'a' && letter <= 'f' ? static_cast<unsigned>(letter - 'a') + 10
                                                              : 99;
      if (base != 0 ? digit >= base : letter == ' ') return true;
      value = value * base + digit;
    }
    return letters != 0;
  }

  std::array<char, 1024> buffer_;
  std::size_t at_ = 0, length_ = 0;
  int last_ = 0;
  int fd_;
};

// Whether a mapping at that address may become longer: one of the server's may not. (Asked of the kernel, which knows
// what is mapped there after whatever calls.)
inline bool may_grow(const void* address) noexcept {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  MapLines lines;
  for (MapLines::Line line; lines.next(line);) {
    if (wanted < line.start || wanted >= line.end) continue;
    return line.inode == 0 || !known_files.is_served(line.major, line.minor, line.inode);
  }
  return true;
}

}  // namespace freestone::interposer
