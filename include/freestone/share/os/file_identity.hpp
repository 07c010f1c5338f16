// Which file a descriptor is of: told by what the kernel says of the file, never by a name.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdint>

#include <freestone/core/result.hpp>

namespace freestone {

namespace detail {

// What the kernel knows of the file; who serves its file system is not asked. Errors: foreign_file with errno.
inline Result<struct statx> status_of(int fd, unsigned wanted) noexcept {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, wanted, &status) == 0) return status;
  return Error{.code = ErrorCode::foreign_file, .os_error = errno};
}

}  // namespace detail

// Equal only for descriptors of one and the same file, as long as that file is open anywhere. The time of its birth
// belongs to it where the kernel knows it: where inode numbers have 32 bits, one comes again after 2^32 files.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t born_seconds = 0;
  std::uint32_t born_nanoseconds = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) noexcept = default;

  // Of a descriptor through which the file can be read: of one that is just a path (O_PATH) or for writing only,
  // foreign_file; so too, with errno, where the kernel refuses to say (EBADF: it is not open). Nothing is asked of a file
  // system that somebody else serves (FUSE, NFS): he could leave the call waiting for ever.
  static Result<FileIdentity> of(int fd) noexcept {
    const int mode = ::fcntl(fd, F_GETFL);
    if (mode < 0 || (mode & O_PATH) != 0 || (mode & O_ACCMODE) == O_WRONLY) return foreign(mode < 0 ? errno : 0);
    const auto status = detail::status_of(fd, STATX_INO | STATX_BTIME);
    if (!status) return status.error();
    FileIdentity identity{.device = std::uint64_t{status->stx_dev_major} << 32 | status->stx_dev_minor,
                          .inode = status->stx_ino};
    if ((status->stx_mask & STATX_BTIME) == 0) return identity;
    identity.born_seconds = status->stx_btime.tv_sec;
    identity.born_nanoseconds = status->stx_btime.tv_nsec;
    return identity;
  }

 private:
  static Error foreign(int os_error) noexcept { return {.code = ErrorCode::foreign_file, .os_error = os_error}; }
};

namespace detail {

// The kind of its file system (linux/magic.h), which is asked itself: for files that the kernel serves. Errors:
// foreign_file with errno, where the kernel does not say.
inline Result<std::uint32_t> file_system_of(int fd) noexcept {
  struct statfs status {};
  if (::fstatfs(fd, &status) == 0) return static_cast<std::uint32_t>(status.f_type);
  return Error{.code = ErrorCode::foreign_file, .os_error = errno};
}

// A dma-buf's inode has no type (linux/fs/libfs.c, alloc_anon_inode). Of a file that has one nothing is asked of its file
// system: it may be somebody's own (FUSE), who never answers. Errors: as above.
inline Result<bool> look_for_dma_buf(int fd) noexcept {
  constexpr std::uint32_t dma_buf_magic = 0x444d4142;
  const auto status = status_of(fd, STATX_TYPE);
  if (!status) return status.error();
  if ((status->stx_mode & S_IFMT) != 0) return false;
  const auto file_system = file_system_of(fd);
  if (!file_system) return file_system.error();
  return *file_system == dma_buf_magic;
}

}  // namespace detail

// A dma-buf: its length never changes, and its file is its own. (Before Linux 5.3 all of them are one file; those are
// none here.) False also where the kernel does not say.
inline bool is_dma_buf(int fd) noexcept {
  const auto found = detail::look_for_dma_buf(fd);
  return found && *found;
}

}  // namespace freestone
