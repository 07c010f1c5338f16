// What open, read, write, lseek and access come to on the server's files.
#pragma once

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdint>

#include "known_files.hpp"
#include "paths.hpp"

namespace freestone::interposer {

// A directory of the server's as a descriptor. -errno.
inline long open_directory(const Path& path, int flags) noexcept {
  if ((flags & O_ACCMODE) != O_RDONLY && (flags & O_PATH) == 0) return -EISDIR;
  const long fd = open_list(path.text());
  if (fd < 0) return fd;
  const OpenDescriptor there = look_at(static_cast<int>(fd));
  if (!open_directories.put(there.identity, path.text())) return close_descriptor(static_cast<int>(fd)), -ENFILE;
  known_files.put(there.identity, Known::not_served, {});  // the list is this program's alone
  marked.mark(static_cast<int>(fd));
  if ((flags & O_CLOEXEC) == 0) static_cast<void>(raw(fcntl_number, fd, F_SETFD, 0));
  return fd;
}

// A path of the server's, opened. -errno.
inline long open_served(const Path& path, int flags) noexcept {
  if ((flags & O_DIRECTORY) != 0) {
    FileStatus status;
    if (const long error = look_up(path, status); error != 0) return error;
    return status.kind == FileKind::directory ? open_directory(path, flags) : -ENOTDIR;
  }
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
    FileStatus status;
    const long error = look_up(path, status);
    return error == 0 ? -EEXIST : error == -ENOENT ? -EACCES : error;
  }
  Reply reply;
  CameFds fds;
  const std::int64_t result = ask_path(Ask::open, path.text(), static_cast<std::uint32_t>(flags), reply, fds);
  if (result == -EISDIR) return open_directory(path, flags);
  if (result == -ENOENT && (flags & O_CREAT) != 0) return -EACCES;  // nobody makes files there
  if (result < 0) return static_cast<long>(result);
  const int fd = fds.take();
  if (fd < 0) return -EMFILE;
  note_new(fd, false);
  if ((flags & O_CLOEXEC) == 0) static_cast<void>(raw(fcntl_number, fd, F_SETFD, 0));
  return fd;
}

// As open, where `host` opens what is not the server's (and returns -1 and errno).
template <class Host>
int open_anywhere(int directory, const char* path, int flags, Host host) noexcept {
  const Path name(directory, path);
  if (name.is_served()) return static_cast<int>(returned(open_served(name, flags)));
  const int saved = errno;
  const int fd = host();
  if (fd >= 0 && name.is_near() && is_memfd(fd)) marked.mark(fd);  // /proc/self/fd/3
  if (fd >= 0) return fd;
  errno = name.error_or(errno);
  if (!name.is_merged() || errno != ENOENT) return fd;
  errno = saved;
  return static_cast<int>(returned(open_directory(name, flags)));
}

inline bool can_be_read(int fd) noexcept { return (raw(fcntl_number, fd, F_GETFL, 0) & O_ACCMODE) != O_WRONLY; }
inline bool can_be_written(int fd) noexcept { return (raw(fcntl_number, fd, F_GETFL, 0) & O_ACCMODE) != O_RDONLY; }

// Before bytes are read from there on: 0 where they then are to be read from the file itself, else what the call fails
// with. A report is made anew for whoever reads it from its start.
inline long before_read(int fd, bool is_at_position, std::int64_t offset) noexcept {
  OpenDirectories::Entry directory;
  FileStatus status;
  switch (kind_of_marked(fd, status)) {
    case FileKind::device:
    case FileKind::view_buffer:
    case FileKind::buffer: return can_be_read(fd) ? -EINVAL : -EBADF;
    case FileKind::report: break;
    default: return open_directories.find(fd, directory) ? -EISDIR : 0;
  }
  if (!can_be_read(fd)) return -EBADF;
  if ((is_at_position ? position_of(fd) : offset) != 0) return 0;
  Reply reply;
  CameFds fds;
  const std::int64_t result = ask({.ask = Ask::refresh}, nullptr, 0, fd, reply, fds);
  return result < 0 ? static_cast<long>(result) : 0;
}

// What a write of these parts comes to, where it is the server's: true, and the result. A report may take less than
// all.
inline bool write_served(int fd, const iovec* parts, int count, long& result) noexcept {
  FileStatus status;
  const FileKind kind = kind_of_marked(fd, status);
  if (kind == FileKind::none) return false;
  result = can_be_written(fd) ? -EINVAL : -EBADF;
  if (kind != FileKind::report || result == -EBADF || count < 0) return true;
  result = 0;
  for (int at = 0; at < count; ++at) {
    const std::size_t length = std::min(parts[at].iov_len, linux_user::most_payload);
    Reply reply;
    CameFds fds;
    const auto taken = static_cast<long>(ask({.ask = Ask::write}, parts[at].iov_base, length, fd, reply, fds));
    if (taken < 0) return result = result == 0 ? taken : result, true;
    result += taken;
    if (static_cast<std::size_t>(taken) < parts[at].iov_len) break;
  }
  return true;
}

// True where lseek is not the file's own, and what it comes to. Buffers tell their length, and nothing else (dma-buf);
// nodes have no position.
inline bool seek_served(int fd, std::int64_t offset, int whence, std::int64_t& result) noexcept {
  FileStatus status;
  switch (kind_of_marked(fd, status)) {
    case FileKind::device: return result = -ESPIPE, true;
    case FileKind::view_buffer:
    case FileKind::buffer: break;
    default: return false;
  }
  result = offset != 0          ? -EINVAL
           : whence == SEEK_END ? static_cast<std::int64_t>(status.size)
           : whence == SEEK_SET ? 0
                                : -EINVAL;
  return true;
}

// As access(2), for the rights that the thread had when it first asked the server: so its open is judged too.
inline long access_served(const Path& path, int mode) noexcept {
  Reply reply;
  CameFds fds;
  return static_cast<long>(ask_path(Ask::access, path.text(), static_cast<std::uint32_t>(mode), reply, fds));
}

}  // namespace freestone::interposer
