// libfreestone-interposer.so: loaded into a program with LD_PRELOAD, it lets the program's calls on a device server's
// files be served. Without FREESTONE_SERVER in the environment it does nothing. Hooks: descriptors and what is read,
// written, mapped and asked through them.
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "files.hpp"
#include "ioctl.hpp"
#include "maps.hpp"
#include "next.hpp"
#include "own_files.hpp"
#include "polling.hpp"

using namespace freestone::interposer;

namespace {
FREESTONE_NEXT(openat, int(int, const char*, int, ...));
FREESTONE_NEXT(fopen, FILE*(const char*, const char*));
FREESTONE_NEXT(fopen64, FILE*(const char*, const char*));
FREESTONE_NEXT(freopen, FILE*(const char*, const char*, FILE*));
FREESTONE_NEXT(freopen64, FILE*(const char*, const char*, FILE*));
FREESTONE_NEXT(ioctl, int(int, unsigned long, ...));
FREESTONE_NEXT(read, ssize_t(int, void*, std::size_t));
FREESTONE_NEXT(readv, ssize_t(int, const iovec*, int));
FREESTONE_NEXT(pread, ssize_t(int, void*, std::size_t, off_t));
FREESTONE_NEXT(pread64, ssize_t(int, void*, std::size_t, off64_t));
FREESTONE_NEXT(preadv, ssize_t(int, const iovec*, int, off_t));
FREESTONE_NEXT(preadv64, ssize_t(int, const iovec*, int, off64_t));
FREESTONE_NEXT(write, ssize_t(int, const void*, std::size_t));
FREESTONE_NEXT(writev, ssize_t(int, const iovec*, int));
FREESTONE_NEXT(pwrite, ssize_t(int, const void*, std::size_t, off_t));
FREESTONE_NEXT(pwrite64, ssize_t(int, const void*, std::size_t, off64_t));
FREESTONE_NEXT(pwritev, ssize_t(int, const iovec*, int, off_t));
FREESTONE_NEXT(pwritev64, ssize_t(int, const iovec*, int, off64_t));
FREESTONE_NEXT(lseek, off_t(int, off_t, int));
FREESTONE_NEXT(lseek64, off64_t(int, off64_t, int));
FREESTONE_NEXT(mmap, void*(void*, std::size_t, int, int, int, off_t));
FREESTONE_NEXT(mmap64, void*(void*, std::size_t, int, int, int, off64_t));
FREESTONE_NEXT(mremap, void*(void*, std::size_t, std::size_t, int, ...));
FREESTONE_NEXT(munmap, int(void*, std::size_t));
FREESTONE_NEXT(mprotect, int(void*, std::size_t, int));
FREESTONE_NEXT(pkey_mprotect, int(void*, std::size_t, int, int));
FREESTONE_NEXT(madvise, int(void*, std::size_t, int));
FREESTONE_NEXT(close, int(int));
FREESTONE_NEXT(close_range, int(unsigned, unsigned, int));
FREESTONE_NEXT(dup, int(int));
FREESTONE_NEXT(dup2, int(int, int));
FREESTONE_NEXT(dup3, int(int, int, int));
FREESTONE_NEXT(fcntl, int(int, int, ...));
FREESTONE_NEXT(fcntl64, int(int, int, ...));
FREESTONE_NEXT(epoll_ctl, int(int, int, int, struct epoll_event*));
FREESTONE_NEXT(recvmsg, ssize_t(int, msghdr*, int));
FREESTONE_NEXT(recvmmsg, int(int, mmsghdr*, unsigned, int, timespec*));

void before_fork() noexcept {
  find_all_next();
  forked_views.before();
}
void in_parent() noexcept { forked_views.in_parent(); }
void in_child() noexcept {
  forget_connections();
  forked_views.in_child();
}

__attribute__((constructor)) void begin() {
  if (!is_on()) return;
  prepare_connections();
  pthread_atfork(before_fork, in_parent, in_child);
  mark_inherited();
}
__attribute__((destructor)) void end() {
  if (is_on()) say_that_we_leave();
}
}  // namespace

// --- open ---

namespace {
int open_or_next(int directory, const char* path, int flags, mode_t mode) noexcept {
  return open_anywhere(directory, path, flags, [&] { return next_openat(directory, path, flags, mode); });
}
bool has_mode(int flags) noexcept { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }
constexpr int large = sizeof(long) == 4 ? 0100000 : 0;  // O_LARGEFILE, which is 0 in headers for 64 bits
}  // namespace

#define FREESTONE_OPEN_HOOKS(suffix, more)                                                \
  FREESTONE_HOOK(int, open##suffix, const char* path, int flags, ...) {                   \
    std::va_list list;                                                                    \
    va_start(list, flags);                                                                \
    const mode_t mode = has_mode(flags) ? va_arg(list, mode_t) : 0;                       \
    va_end(list);                                                                         \
    return open_or_next(AT_FDCWD, path, flags | (more), mode);                            \
  }                                                                                       \
  FREESTONE_HOOK(int, openat##suffix, int directory, const char* path, int flags, ...) {  \
    std::va_list list;                                                                    \
    va_start(list, flags);                                                                \
    const mode_t mode = has_mode(flags) ? va_arg(list, mode_t) : 0;                       \
    va_end(list);                                                                         \
    return open_or_next(directory, path, flags | (more), mode);                           \
  }                                                                                       \
  FREESTONE_HOOK(int, creat##suffix, const char* path, mode_t mode) {                     \
    return open_or_next(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | (more), mode);     \
  }                                                                                       \
  FREESTONE_HOOK(int, __open##suffix##_2, const char* path, int flags) {                  \
    if (has_mode(flags)) std::abort();                                                    \
    return open_or_next(AT_FDCWD, path, flags | (more), 0);                               \
  }                                                                                       \
  FREESTONE_HOOK(int, __openat##suffix##_2, int directory, const char* path, int flags) { \
    if (has_mode(flags)) std::abort();                                                    \
    return open_or_next(directory, path, flags | (more), 0);                              \
  }
FREESTONE_OPEN_HOOKS(, 0)
FREESTONE_OPEN_HOOKS(64, large)

namespace {
// What open is told for a mode of fopen's.
int flags_of(const char* mode) noexcept {
  int flags = std::strchr(mode, '+') != nullptr ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
  if (*mode == 'w') flags |= O_CREAT | O_TRUNC;
  if (*mode == 'a') flags |= O_CREAT | O_APPEND;
  if (std::strchr(mode, 'x') != nullptr) flags |= O_EXCL;
  return std::strchr(mode, 'e') != nullptr ? flags | O_CLOEXEC : flags;
}
// libc opens inside, where no hook sees it: so it is opened here, and libc makes a stream of the descriptor.
template <class Host>
FILE* fopen_anywhere(const char* path, const char* mode, Host host) noexcept {
  const Path name(AT_FDCWD, path);
  if (!name.is_served() || mode == nullptr) {
    FILE* const stream = host();
    if (stream == nullptr) errno = name.error_or(errno);
    return stream;
  }
  const long fd = returned(open_served(name, flags_of(mode)));
  if (fd < 0) return nullptr;
  FILE* const stream = ::fdopen(static_cast<int>(fd), mode);
  if (stream == nullptr) close_descriptor(static_cast<int>(fd));
  return stream;
}
template <class Host>
FILE* freopen_anywhere(const char* path, const char* mode, FILE* stream, Host host) noexcept {
  const Path name(AT_FDCWD, path);
  if (!name.is_served() || mode == nullptr) return host(path);
  const long fd = returned(open_served(name, flags_of(mode) | O_CLOEXEC));
  if (fd < 0) return std::fclose(stream), nullptr;
  // The same file once more, by a name that libc can open.
  char link[32];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", static_cast<int>(fd));
  FILE* const again = host(link);
  if (again != nullptr) marked.mark(::fileno(again));
  close_descriptor(static_cast<int>(fd));
  return again;
}
}  // namespace
FREESTONE_HOOK(FILE*, fopen, const char* path, const char* mode) {
  return fopen_anywhere(path, mode, [&] { return next_fopen(path, mode); });
}
FREESTONE_HOOK(FILE*, fopen64, const char* path, const char* mode) {
  return fopen_anywhere(path, mode, [&] { return next_fopen64(path, mode); });
}
FREESTONE_HOOK(FILE*, freopen, const char* path, const char* mode, FILE* stream) {
  return freopen_anywhere(path, mode, stream, [&](const char* there) { return next_freopen(there, mode, stream); });
}
FREESTONE_HOOK(FILE*, freopen64, const char* path, const char* mode, FILE* stream) {
  return freopen_anywhere(path, mode, stream, [&](const char* there) { return next_freopen64(there, mode, stream); });
}

// --- ioctl ---

FREESTONE_HOOK(int, ioctl, int fd, unsigned long command, ...) {
  std::va_list list;
  va_start(list, command);
  void* const argument = va_arg(list, void*);
  va_end(list);
  if (!is_on() || is_of_every_file(command) || !is_served(fd)) return next_ioctl(fd, command, argument);
  return static_cast<int>(
      returned(ioctl_served(fd, static_cast<std::uint32_t>(command), reinterpret_cast<std::uintptr_t>(argument))));
}
FREESTONE_SAME_HOOK(int, __ioctl_time64, ioctl, int fd, unsigned long command, ...);

// --- read and write; a number that is not marked is told from ours by one bit ---

#define FREESTONE_READ(fd, is_at_position, offset)                                                      \
  if (marked.is_marked(fd)) {                                                                           \
    if (const long error = before_read(fd, is_at_position, offset); error != 0) return returned(error); \
  }
FREESTONE_HOOK(ssize_t, read, int fd, void* to, std::size_t size) {
  FREESTONE_READ(fd, true, 0)
  return next_read(fd, to, size);
}
FREESTONE_HOOK(ssize_t, readv, int fd, const iovec* parts, int count) {
  FREESTONE_READ(fd, true, 0)
  return next_readv(fd, parts, count);
}
FREESTONE_HOOK(ssize_t, pread, int fd, void* to, std::size_t size, off_t offset) {
  FREESTONE_READ(fd, false, offset)
  return next_pread(fd, to, size, offset);
}
FREESTONE_HOOK(ssize_t, pread64, int fd, void* to, std::size_t size, off64_t offset) {
  FREESTONE_READ(fd, false, offset)
  return next_pread64(fd, to, size, offset);
}
FREESTONE_HOOK(ssize_t, preadv, int fd, const iovec* parts, int count, off_t offset) {
  FREESTONE_READ(fd, false, offset)
  return next_preadv(fd, parts, count, offset);
}
FREESTONE_HOOK(ssize_t, preadv64, int fd, const iovec* parts, int count, off64_t offset) {
  FREESTONE_READ(fd, false, offset)
  return next_preadv64(fd, parts, count, offset);
}
FREESTONE_HOOK(ssize_t, __read_chk, int fd, void* to, std::size_t size, std::size_t room) {
  if (size > room) std::abort();
  return hook_read(fd, to, size);
}
FREESTONE_HOOK(ssize_t, __pread_chk, int fd, void* to, std::size_t size, off_t offset, std::size_t room) {
  if (size > room) std::abort();
  return hook_pread(fd, to, size, offset);
}
FREESTONE_HOOK(ssize_t, __pread64_chk, int fd, void* to, std::size_t size, off64_t offset, std::size_t room) {
  if (size > room) std::abort();
  return hook_pread64(fd, to, size, offset);
}

#define FREESTONE_WRITE(fd, parts, count) \
  if (long result = 0; marked.is_marked(fd) && write_served(fd, parts, count, result)) return returned(result);
#define FREESTONE_WRITE_ONE(fd, from, size)       \
  const iovec one{const_cast<void*>(from), size}; \
  FREESTONE_WRITE(fd, &one, 1)
FREESTONE_HOOK(ssize_t, write, int fd, const void* from, std::size_t size) {
  FREESTONE_WRITE_ONE(fd, from, size)
  return next_write(fd, from, size);
}
FREESTONE_HOOK(ssize_t, writev, int fd, const iovec* parts, int count) {
  FREESTONE_WRITE(fd, parts, count)
  return next_writev(fd, parts, count);
}
FREESTONE_HOOK(ssize_t, pwrite, int fd, const void* from, std::size_t size, off_t offset) {
  FREESTONE_WRITE_ONE(fd, from, size)
  return next_pwrite(fd, from, size, offset);
}
FREESTONE_HOOK(ssize_t, pwrite64, int fd, const void* from, std::size_t size, off64_t offset) {
  FREESTONE_WRITE_ONE(fd, from, size)
  return next_pwrite64(fd, from, size, offset);
}
FREESTONE_HOOK(ssize_t, pwritev, int fd, const iovec* parts, int count, off_t offset) {
  FREESTONE_WRITE(fd, parts, count)
  return next_pwritev(fd, parts, count, offset);
}
FREESTONE_HOOK(ssize_t, pwritev64, int fd, const iovec* parts, int count, off64_t offset) {
  FREESTONE_WRITE(fd, parts, count)
  return next_pwritev64(fd, parts, count, offset);
}

FREESTONE_HOOK(off64_t, lseek64, int fd, off64_t offset, int whence) {
  std::int64_t result = 0;
  if (!marked.is_marked(fd) || !seek_served(fd, offset, whence, result)) return next_lseek64(fd, offset, whence);
  return result < 0 ? returned(static_cast<long>(result)) : result;
}
FREESTONE_HOOK(off_t, lseek, int fd, off_t offset, int whence) {
  std::int64_t result = 0;
  if (!marked.is_marked(fd) || !seek_served(fd, offset, whence, result)) return next_lseek(fd, offset, whence);
  if (static_cast<off_t>(result) != result) result = -EOVERFLOW;
  return static_cast<off_t>(returned(static_cast<long>(result)));
}

// --- mappings ---

FREESTONE_HOOK(void*, mmap64, void* address, std::size_t length, int protection, int flags, int fd, off64_t offset) {
  return map_anywhere(address, length, protection, flags, fd, static_cast<std::uint64_t>(offset),
                      [](void* at, std::size_t size, int how, int more, int file, std::uint64_t from) {
                        return next_mmap64(at, size, how, more, file, static_cast<off64_t>(from));
                      });
}
FREESTONE_HOOK(void*, mmap, void* address, std::size_t length, int protection, int flags, int fd, off_t offset) {
  // A negative offset of 32 bits is no large one of 64: libc's own says so.
  return map_anywhere(address, length, protection, flags, fd, static_cast<std::make_unsigned_t<off_t>>(offset),
                      [](void* at, std::size_t size, int how, int more, int file, std::uint64_t from) {
                        return next_mmap(at, size, how, more, file, static_cast<off_t>(from));
                      });
}
FREESTONE_HOOK(void*, mremap, void* old, std::size_t old_size, std::size_t size, int flags, ...) {
  std::va_list list;
  va_start(list, flags);
  void* const wanted = (flags & MREMAP_FIXED) != 0 ? va_arg(list, void*) : nullptr;
  va_end(list);
  return remap_anywhere(old, old_size, size, flags, wanted, [&] { return next_mremap(old, old_size, size, flags, wanted); });
}

FREESTONE_HOOK(int, munmap, void* address, std::size_t length) {
  return unmap_anywhere(address, length, [&] { return next_munmap(address, length); });
}
FREESTONE_HOOK(int, mprotect, void* address, std::size_t length, int protection) {
  return protect_anywhere(address, length, protection, [&] { return next_mprotect(address, length, protection); });
}
FREESTONE_HOOK(int, pkey_mprotect, void* address, std::size_t length, int protection, int key) {
  return protect_anywhere(address, length, protection, [&] { return next_pkey_mprotect(address, length, protection, key); });
}
FREESTONE_HOOK(int, madvise, void* address, std::size_t length, int advice) {
  return advise_anywhere(address, length, advice, [&] { return next_madvise(address, length, advice); });
}

// --- descriptors ---

FREESTONE_HOOK(int, close, int fd) {
  if (own_files.is_own(fd)) return errno = EBADF, -1;
  stand_ins.forget(fd);
  marked.unmark(fd);
  return next_close(fd);
}
FREESTONE_HOOK(int, close_range, unsigned first, unsigned last, int flags) {
  if (!is_on() || first > last) return next_close_range(first, last, flags);
  // Numbers stay marked where no call sees them go: but stand-ins would wait on for those that are gone.
  for (unsigned fd = first; (static_cast<unsigned>(flags) & CLOSE_RANGE_CLOEXEC) == 0 && fd <= last && fd < 4096;
       ++fd) {
    stand_ins.forget(static_cast<int>(fd));
  }
  std::array<unsigned, OwnFiles::most> ours;
  const std::size_t count = own_files.list(first, last, ours);
  for (std::size_t at = 0; at < count; ++at) {
    if (first < ours[at] && next_close_range(first, ours[at] - 1, flags) != 0) return -1;
    first = ours[at] + 1;
  }
  return first <= last ? next_close_range(first, last, flags) : 0;
}
FREESTONE_HOOK(void, closefrom, int first) {
  static_cast<void>(hook_close_range(first < 0 ? 0U : static_cast<unsigned>(first), ~0U, 0));
}

FREESTONE_HOOK(int, dup, int fd) {
  const int made = next_dup(fd);
  marked.copy(fd, made);
  return made;
}
namespace {
void before_dup_to(int from, int to) noexcept {
  if (from == to) return;
  own_files.move_away(to);
  stand_ins.forget(to);
}
}  // namespace
FREESTONE_HOOK(int, dup2, int from, int to) {
  if (own_files.is_own(from)) return errno = EBADF, -1;
  before_dup_to(from, to);
  const int made = next_dup2(from, to);
  if (made >= 0) marked.copy(from, made);
  return made;
}
FREESTONE_HOOK(int, dup3, int from, int to, int flags) {
  if (own_files.is_own(from)) return errno = EBADF, -1;
  before_dup_to(from, to);
  const int made = next_dup3(from, to, flags);
  if (made >= 0) marked.copy(from, made);
  return made;
}

namespace {
// The kernel's answers for a memfd that a device's file would not give: those about seals.
template <class Host>
int fcntl_anywhere(int fd, int command, Host host) noexcept {
  if (own_files.is_own(fd)) return errno = EBADF, -1;
  if ((command == F_GET_SEALS || command == F_ADD_SEALS) && is_on() && is_served(fd)) return errno = EINVAL, -1;
  const int result = host();
  if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC)) marked.copy(fd, result);
  return result;
}
}  // namespace
FREESTONE_HOOK(int, fcntl64, int fd, int command, ...) {
  std::va_list list;
  va_start(list, command);
  void* const argument = va_arg(list, void*);
  va_end(list);
  return fcntl_anywhere(fd, command, [&] { return next_fcntl64(fd, command, argument); });
}
FREESTONE_SAME_HOOK(int, __fcntl_time64, fcntl64, int fd, int command, ...);
FREESTONE_HOOK(int, fcntl, int fd, int command, ...) {
  std::va_list list;
  va_start(list, command);
  void* const argument = va_arg(list, void*);
  va_end(list);
  return fcntl_anywhere(fd, command, [&] { return next_fcntl(fd, command, argument); });
}

FREESTONE_HOOK(int, epoll_ctl, int epoll, int operation, int fd, struct epoll_event* event) {
  FileStatus status;
  if (!freestone::linux_user::is_buffer(kind_of_marked(fd, status))) return next_epoll_ctl(epoll, operation, fd, event);
  return stand_ins.control(epoll, operation, fd, event, [](int in, int what, int of, struct epoll_event* with) {
    return next_epoll_ctl(in, what, of, with);
  });
}

// --- descriptors that come from others ---

namespace {
void mark_received(msghdr& message) noexcept {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; CMSG_LEN((at + 1) * sizeof(int)) <= header->cmsg_len; ++at) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + at * sizeof fd, sizeof fd);
      if (is_memfd(fd)) marked.mark(fd);
    }
  }
}
}  // namespace
FREESTONE_HOOK(ssize_t, recvmsg, int socket, msghdr* message, int flags) {
  const ssize_t length = next_recvmsg(socket, message, flags);
  if (length >= 0 && message->msg_controllen != 0 && is_on()) mark_received(*message);
  return length;
}
FREESTONE_SAME_HOOK(ssize_t, __recvmsg64, recvmsg, int socket, msghdr* message, int flags);
FREESTONE_HOOK(int, recvmmsg, int socket, mmsghdr* messages, unsigned count, int flags, timespec* limit) {
  const int received = next_recvmmsg(socket, messages, count, flags, limit);
  for (int at = 0; at < received && is_on(); ++at) {
    if (messages[at].msg_hdr.msg_controllen != 0) mark_received(messages[at].msg_hdr);
  }
  return received;
}
