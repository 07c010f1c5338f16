// The kernel itself, past libc and past our own hooks: nothing here is a cancellation point, allocates, or changes
// errno.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace freestone::interposer {

// What the system call answers: -errno where it fails.
template <class... Arguments>
long raw(long number, Arguments... arguments) noexcept {
  const int saved = errno;
  long result = ::syscall(number, arguments...);
  if (result == -1) result = -errno;
  errno = saved;
  return result;
}

// What a hook returns: the result, or -1 and errno.
inline long returned(long result) noexcept {
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

class KeptErrno {
 public:
  KeptErrno() noexcept : saved_(errno) {}
  KeptErrno(const KeptErrno&) = delete;
  KeptErrno& operator=(const KeptErrno&) = delete;
  ~KeptErrno() { errno = saved_; }

 private:
  int saved_;
};

// While it is there no signal comes to this thread: those that do come wait for its end.
class NoSignals {
 public:
  NoSignals() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;
  ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// Which file a descriptor is of, however it was opened; no other file is ever the same one, even after its end.
struct Identity {
  std::uint64_t inode = 0;
  std::int64_t born_seconds = 0;
  std::uint32_t born_nanoseconds = 0;
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t reserved = 0;

  friend bool operator==(const Identity&, const Identity&) noexcept = default;
};
struct OpenDescriptor {
  Identity identity;
  std::uint64_t size = 0;
  std::uint32_t mode = 0;  // 0 where there is no such descriptor
};

inline OpenDescriptor look_at(int fd) noexcept {
  struct statx status;
  const unsigned wanted = STATX_TYPE | STATX_INO | STATX_SIZE | STATX_BTIME;
  if (raw(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, wanted, &status) < 0) return {};
  return {.identity = {.inode = status.stx_ino,
                       .born_seconds = status.stx_btime.tv_sec,
                       .born_nanoseconds = status.stx_btime.tv_nsec,
                       .major = status.stx_dev_major,
                       .minor = status.stx_dev_minor},
          .size = status.stx_size,
          .mode = status.stx_mode};
}

#ifdef SYS_fcntl64
inline constexpr long fcntl_number = SYS_fcntl64;
#else
inline constexpr long fcntl_number = SYS_fcntl;
#endif

// Where they are, or -errno (an address may look negative: but that).
inline long map_by_kernel(std::uintptr_t address, std::size_t length, int protection, int flags, int fd, std::uint64_t offset) noexcept {
#ifdef SYS_mmap2
  return raw(SYS_mmap2, address, length, protection, flags, fd, static_cast<long>(offset / 4096));
#else
  return raw(SYS_mmap, address, length, protection, flags, fd, static_cast<long>(offset));
#endif
}
constexpr bool is_errno(long result) noexcept { return result < 0 && result > -4096; }

// Pages at that very address; false where they cannot be had.
inline bool map_pages(std::uintptr_t address, std::size_t length, int protection, int flags, int fd, std::uint64_t offset) noexcept {
  return static_cast<std::uintptr_t>(map_by_kernel(address, length, protection, flags | MAP_FIXED, fd, offset)) == address;
}

// Zeros somewhere, which are no memory until they are touched; null where they cannot be had.
inline void* own_pages(std::size_t length) noexcept {
  const long result = map_by_kernel(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return is_errno(result) ? nullptr : reinterpret_cast<void*>(result);
}

inline void close_descriptor(int fd) noexcept { static_cast<void>(raw(SYS_close, fd)); }
inline bool is_memfd(int fd) noexcept { return raw(fcntl_number, fd, F_GET_SEALS, 0) >= 0; }
inline pid_t process_number() noexcept { return static_cast<pid_t>(raw(SYS_getpid)); }

// Where the next read begins; -errno.
inline std::int64_t position_of(int fd) noexcept {
#ifdef SYS__llseek
  std::int64_t position = 0;
  const long result = raw(SYS__llseek, fd, 0L, 0L, &position, SEEK_CUR);
  return result < 0 ? result : position;
#else
  return raw(SYS_lseek, fd, 0L, SEEK_CUR);
#endif
}

// The bytes of a file from there on, by a number whose halves go separately where words have 32 bits.
inline long read_at(int fd, void* to, std::size_t length, std::uint64_t offset) noexcept {
  if constexpr (sizeof(long) == 8) return raw(SYS_pread64, fd, to, length, static_cast<long>(offset));
  return raw(SYS_pread64, fd, to, length, static_cast<long>(offset), static_cast<long>(offset >> 32));
}

// Writes into the program's memory where that may be: false where it may not, whatever the program thinks of its
// address. (Where the first way is forbidden to the program, the second one takes a file.)
inline bool write_memory(std::uint64_t address, const void* from, std::size_t length) noexcept {
  const auto to = static_cast<std::uintptr_t>(address);
  if (length == 0) return true;
  if (to != address) return false;
  const iovec source{const_cast<void*>(from), length};
  const iovec target{reinterpret_cast<void*>(to), length};
  const long written = raw(SYS_process_vm_writev, process_number(), &source, 1UL, &target, 1UL, 0UL);
  if (written != -EPERM && written != -ENOSYS) return written == static_cast<long>(length);
  const long file = raw(SYS_memfd_create, "freestone", 1U);
  if (file < 0) return false;
  const int fd = static_cast<int>(file);
  const bool is_written = raw(SYS_write, fd, from, length) == static_cast<long>(length) &&
                          read_at(fd, reinterpret_cast<void*>(to), length, 0) == static_cast<long>(length);
  close_descriptor(fd);
  return is_written;
}

}  // namespace freestone::interposer
