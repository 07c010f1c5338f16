// What stat and statx say of the server's files.
#pragma once

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdint>
#include <cstring>
#include <ctime>

#include "known_files.hpp"
#include "paths.hpp"

namespace freestone::interposer {

inline constexpr std::uint32_t status_major = 0, status_minor = 5;  // of the file system that they seem to be on
inline constexpr std::uint32_t status_block = 4096;

// What follows is each file's own (static): libc's structs have one name and two layouts, by the macros of the file.
static inline timespec time_now() noexcept {
  struct timespec now {};
  static_cast<void>(::clock_gettime(CLOCK_REALTIME, &now));
  return now;
}

// S: any of libc's structs of the name stat.
template <class S>
static void fill(S& to, const FileStatus& from) noexcept {
  std::memset(&to, 0, sizeof to);
  to.st_dev = makedev(status_major, status_minor);
  to.st_ino = static_cast<decltype(to.st_ino)>(from.inode);
  to.st_mode = from.mode;
  to.st_nlink = from.kind == FileKind::directory ? 2 : 1;
  to.st_uid = owner_user.load(std::memory_order_relaxed);
  to.st_gid = owner_group.load(std::memory_order_relaxed);
  to.st_rdev = makedev(from.major, from.minor);
  to.st_size = static_cast<decltype(to.st_size)>(from.size);
  to.st_blksize = status_block;
  to.st_blocks = static_cast<decltype(to.st_blocks)>((from.size + 511) / 512);
  const timespec now = time_now();
  to.st_atim.tv_sec = to.st_mtim.tv_sec = to.st_ctim.tv_sec = now.tv_sec;
}

static inline void fill(struct statx& to, const FileStatus& from) noexcept {
  std::memset(&to, 0, sizeof to);
  to.stx_mask = STATX_BASIC_STATS;
  to.stx_blksize = status_block;
  to.stx_nlink = from.kind == FileKind::directory ? 2 : 1;
  to.stx_uid = owner_user.load(std::memory_order_relaxed);
  to.stx_gid = owner_group.load(std::memory_order_relaxed);
  to.stx_mode = static_cast<std::uint16_t>(from.mode);
  to.stx_ino = from.inode;
  to.stx_size = from.size;
  to.stx_blocks = (from.size + 511) / 512;
  to.stx_rdev_major = from.major;
  to.stx_rdev_minor = from.minor;
  to.stx_dev_major = status_major;
  to.stx_dev_minor = status_minor;
  to.stx_atime.tv_sec = to.stx_mtime.tv_sec = to.stx_ctime.tv_sec = time_now().tv_sec;
}

// Of a descriptor; true where it is the server's.
template <class S>
static bool status_of_descriptor(int fd, S& to) noexcept {
  if (!marked.is_marked(fd)) return false;
  FileStatus status;
  if (OpenDirectories::Entry directory; open_directories.find(fd, directory)) {
    if (look_up(Path(AT_FDCWD, directory.path.data()), status) != 0) return false;
  } else if (find_file(fd, Known::all, status) != Known::all) {
    return false;
  }
  fill(to, status);
  return true;
}

// As fstatat, where host() asks the host (and returns -1 and errno).
template <class S, class Host>
static int status_anywhere(int directory, const char* path, int flags, S* to, Host host) noexcept {
  if (!is_on() || to == nullptr || path == nullptr) return host();
  if (*path == '\0' && (flags & AT_EMPTY_PATH) != 0) return status_of_descriptor(directory, *to) ? 0 : host();
  const Path name(directory, path);
  FileStatus status;
  const int saved = errno;
  if (!name.is_served()) {
    const int result = host();
    if (result == 0) return result;
    errno = name.error_or(errno);
    if (!name.is_merged() || errno != ENOENT) return result;
  }
  if (const long error = look_up(name, status); error != 0) return static_cast<int>(returned(error));
  errno = saved;
  fill(*to, status);
  return 0;
}

}  // namespace freestone::interposer
