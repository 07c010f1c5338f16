// Which file a descriptor is of: told by what the kernel says of the file, never by a name.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdint>

#include <freestone/core/result.hpp>

namespace freestone {

// Equal only for descriptors of one and the same file, as long as that file is open anywhere. The time of its birth
// belongs to it where the kernel knows it: where inode numbers have 32 bits, one comes again after 2^32 files.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t born_seconds = 0;
  std::uint32_t born_nanoseconds = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) noexcept = default;

  // Of a descriptor through which the file can be read: of one that is just a path (O_PATH) or for writing only,
  // foreign_file; so too where it is not open (EBADF). Nothing is asked of a file system that somebody else serves.
  static Result<FileIdentity> of(int fd) noexcept {
    const int mode = ::fcntl(fd, F_GETFL);
    if (mode < 0 || (mode & O_PATH) != 0 || (mode & O_ACCMODE) == O_WRONLY) return foreign(mode < 0 ? errno : 0);
    struct statx status {};
    if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_BTIME, &status) != 0) return foreign(errno);
    FileIdentity identity{.device = std::uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor,
                          .inode = status.stx_ino};
    if ((status.stx_mask & STATX_BTIME) == 0) return identity;
    identity.born_seconds = status.stx_btime.tv_sec;
    identity.born_nanoseconds = status.stx_btime.tv_nsec;
    return identity;
  }

 private:
  static Error foreign(int os_error) noexcept { return {.code = ErrorCode::foreign_file, .os_error = os_error}; }
};

// A dma-buf: its length never changes, and its file is its own. (Before Linux 5.3 all of them are one file; those are
// none here.)
inline bool is_dma_buf(int fd) noexcept {
  constexpr std::uint32_t dma_buf_magic = 0x444d4142;  // linux/magic.h
  struct statfs status {};
  return ::fstatfs(fd, &status) == 0 && static_cast<std::uint32_t>(status.f_type) == dma_buf_magic;
}

}  // namespace freestone
