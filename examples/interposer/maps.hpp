// mmap, munmap, mremap, mprotect and madvise of the server's files.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "control.hpp"
#include "known_files.hpp"
#include "views.hpp"

namespace freestone::interposer {

inline bool is_failed(const void* mapped) noexcept { return mapped == MAP_FAILED; }
inline void* failed_map(long error) noexcept { return returned(error), MAP_FAILED; }

// A view of a device's memory (linux_user::MapPart), where host(address, length, protection, flags, fd, offset) maps.
template <class Host>
void* map_view(void* address, std::size_t length, int protection, int flags, int fd, std::uint64_t offset, Host host) noexcept {
  const auto access = raw(fcntl_number, fd, F_GETFL, 0) & O_ACCMODE;
  const bool is_shared = (flags & MAP_TYPE) != MAP_PRIVATE;
  if (length == 0 || whole_pages(length) < length || offset % page_size() != 0) return failed_map(-EINVAL);
  if (access == O_WRONLY || (access == O_RDONLY && is_shared && (protection & PROT_WRITE) != 0)) return failed_map(-EACCES);
  length = whole_pages(length);
  {
    const ViewTurn turn;
    if (!views.has_room_for_view()) return failed_map(-ENOMEM);
    if (const long error = control_thread.begin(); error != 0) return failed_map(error);
  }
  Reply reply;
  CameFds fds;
  const auto how = static_cast<std::uint64_t>(static_cast<std::uint32_t>(flags)) << 32 | static_cast<std::uint32_t>(protection);
  const std::int64_t view = ask({.ask = Ask::map, .number = how, .address = offset, .length = length}, nullptr, 0, fd, reply, fds);
  if (view < 0) return failed_map(static_cast<long>(view));

  EndedViews ended;
  const ViewAnchor anchor{static_cast<std::uint64_t>(view), reinterpret_cast<std::uintptr_t>(host(nullptr, page_size(), PROT_NONE, MAP_SHARED, fd, 0))};
  if (is_failed(reinterpret_cast<void*>(anchor.address))) return ended.add({anchor.view, 0}), MAP_FAILED;
  const ViewTurn turn;
  constexpr int placing = MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT;
  void* const mapped = views.has_room_for_view()
                           ? host(address, length, protection, (flags & placing) | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                           : failed_map(-ENOMEM);
  if (is_failed(mapped)) return ended.add(anchor), mapped;
  const ViewRange range{.address = reinterpret_cast<std::uintptr_t>(mapped),
                        .length = length,
                        .view = anchor.view,
                        .at = 0,
                        .protection = protection,
                        .sharing = is_shared ? MAP_SHARED : MAP_PRIVATE,
                        .is_only_read = is_shared && access == O_RDONLY};
  views.cut(range.address, range.end());
  views.add(range, anchor);
  if (!show(range)) {
    static_cast<void>(raw(SYS_munmap, range.address, range.length));
    views.cut(range.address, range.end());
    return ended.take(), failed_map(-ENOMEM);
  }
  return ended.take(), mapped;
}

// --- what a server wants done in the middle of a request ---

// Not by libc's, which may be in the middle of something.
inline std::int64_t map_for_server(const Reply& wanted, int fd) noexcept {
  const KeptErrno kept;
  const auto how = static_cast<std::uint64_t>(wanted.result);
  const auto host = [](void* at, std::size_t size, int protection, int flags, int file, std::uint64_t from) {
    const long mapped = map_by_kernel(reinterpret_cast<std::uintptr_t>(at), size, protection, flags, file, from);
    return is_errno(mapped) ? failed_map(mapped) : reinterpret_cast<void*>(mapped);
  };
  const auto length = static_cast<std::size_t>(wanted.length);
  if (fd < 0 || length != wanted.length) return -EINVAL;
  void* const mapped = map_view(nullptr, length, static_cast<int>(how & 0xffffffff), static_cast<int>(how >> 32), fd, wanted.address, host);
  return is_failed(mapped) ? -errno : static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(mapped));
}
inline std::int64_t unmap_for_server(const Reply& wanted) noexcept {
  const KeptErrno kept;
  const auto from = static_cast<std::uintptr_t>(wanted.address), to = from + static_cast<std::uintptr_t>(wanted.length);
  EndedViews ended;
  const ViewTurn turn;
  while (const ViewRange* const range = views.first_of(static_cast<std::uint64_t>(wanted.result), from, to)) {
    const std::uintptr_t start = std::max(from, range->address), end = std::min(to, range->end());
    if (!views.has_room({start, end})) return -ENOMEM;
    if (const long error = raw(SYS_munmap, start, end - start); error < 0) return error;
    views.cut(start, end);
  }
  return ended.take(), 0;
}

// What is not a view, maybe where one was.
template <class Host>
void* map_by_host(void* address, std::size_t length, int protection, int flags, int fd, std::uint64_t offset, Host host) noexcept {
  const auto map = [&] { return host(address, length, protection, flags, fd, offset); };
  if ((flags & MAP_FIXED) == 0 || views.is_empty()) return map();
  return map_over(address, length, map, [](const void* mapped) { return !is_failed(mapped); });
}

// As mmap. A buffer is mapped by the host, if it has the bytes: else pages behind its end would be there, and kill
// whoever touches them.
template <class Host>
void* map_anywhere(void* address, std::size_t length, int protection, int flags, int fd, std::uint64_t offset,
                   Host host) noexcept {
  FileStatus status;
  if (fd < 0 || (flags & MAP_ANONYMOUS) != 0 || !is_on() ||
      find_file(fd, Known::kind_and_size, status) < Known::kind_and_size) {
    return map_by_host(address, length, protection, flags, fd, offset, host);
  }
  if (status.kind == FileKind::device || status.kind == FileKind::view_buffer) return map_view(address, length, protection, flags, fd, offset, host);
  if (status.kind != FileKind::buffer) return failed_map(-ENODEV);
  const auto page = static_cast<std::uint64_t>(::getpagesize());
  const std::uint64_t pages = length / page + (length % page != 0 ? 1 : 0);
  const std::uint64_t all = status.size / page, first = offset / page;
  if (pages > all || first > all - pages) return failed_map(-EINVAL);
  return map_by_host(address, length, protection, flags, fd, offset, host);
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

// As munmap, mremap, mprotect and madvise, where map() asks the host.
inline constexpr int dont_unmap = 4;  // MREMAP_DONTUNMAP, since Linux 5.7
template <class Map>
int unmap_anywhere(const void* address, std::size_t length, Map map) noexcept {
  return views.is_empty() ? map() : map_over(address, length, map, [](int result) { return result == 0; });
}
// `wanted`: where it is to be, or null.
template <class Map>
void* remap_anywhere(void* old, std::size_t old_size, std::size_t size, int flags, const void* wanted, Map map) noexcept {
  if (size > old_size && is_on() && !may_grow(old)) return failed_map(-EFAULT);
  if (views.is_empty()) return map();
  const auto from = reinterpret_cast<std::uintptr_t>(old), there = reinterpret_cast<std::uintptr_t>(wanted);
  const std::size_t old_length = whole_pages(old_size), length = whole_pages(size);
  EndedViews ended;
  const ViewTurn turn;
  const bool is_view = views.has_any(from, from + std::max(old_length, std::size_t{1}));
  if (is_view && length > old_length) return failed_map(-EFAULT);  // as of a device's memory
  if (is_view && (flags & dont_unmap) != 0) return failed_map(-EINVAL);
  const std::uintptr_t kept = from + std::min(length, old_length), there_end = wanted == nullptr ? 0 : there + length;
  if (!views.has_room({from, kept, from + old_length, there, there_end})) return failed_map(-ENOMEM);
  void* const moved = map();
  if (is_failed(moved)) return moved;
  const auto to = reinterpret_cast<std::uintptr_t>(moved);
  views.cut(from + length, from + old_length);
  if (to != from) views.cut(to, to + length);
  views.move(from, kept, to);
  ended.take();
  return moved;
}
template <class Map>
int protect_anywhere(void* address, std::size_t length, int protection, Map map) noexcept {
  // A hole is memory of the program's own, which the kernel would let be written.
  const auto may = [&](const ViewRange& range) { return (protection & PROT_WRITE) == 0 || !range.is_only_read; };
  return change_anywhere(address, length, map, may, [&](ViewRange& range) { range.protection = protection; });
}
template <class Map>
int advise_anywhere(void* address, std::size_t length, int advice, Map map) noexcept {
  if (advice != MADV_DONTFORK && advice != MADV_DOFORK) return map();
  const auto may = [](const ViewRange&) { return true; };
  return change_anywhere(address, length, map, may, [&](ViewRange& range) { range.is_in_children = advice == MADV_DOFORK; });
}

}  // namespace freestone::interposer
