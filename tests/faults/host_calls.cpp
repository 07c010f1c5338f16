#include "faults/host_calls.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/magic.h>
#include <linux/udmabuf.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace freestone::tests {

bool host_call_fails(std::string_view call) noexcept {
  HostFault& fault = host_fault;
  const auto is_in = [&](std::span<const std::string_view> calls) {
    return std::find(calls.begin(), calls.end(), call) != calls.end();
  };
  if (!fault.only.empty() && !is_in(fault.only)) return false;
  ++fault.calls;
  if (fault.at == 0 || fault.calls < fault.at || (fault.calls > fault.at && !fault.for_ever)) return false;
  ++fault.failed;
  const bool is_hint = !fault.is_told || is_in(fault.hints);
  if (!is_hint && fault.what.empty()) fault.what = call;
  errno = fault.os_error;
  return true;
}

namespace {
rlim_t replace_limit(__rlimit_resource_t what, rlim_t wanted) noexcept {
  rlimit limit{};
  getrlimit(what, &limit);
  const rlim_t before = std::exchange(limit.rlim_cur, std::min(wanted, limit.rlim_max));
  setrlimit(what, &limit);
  return before;
}
}  // namespace

NoFaults::NoFaults() noexcept
    : before_(std::exchange(host_fault, {})),
      files_(replace_limit(RLIMIT_NOFILE, 1024)),
      bytes_(replace_limit(RLIMIT_AS, RLIM_INFINITY)) {}

NoFaults::~NoFaults() {
  replace_limit(RLIMIT_AS, static_cast<rlim_t>(bytes_));
  replace_limit(RLIMIT_NOFILE, static_cast<rlim_t>(files_));
  host_fault = before_;
}

}  // namespace freestone::tests

extern "C" long __real_syscall(long, ...);

namespace {

bool fails(std::string_view call) noexcept { return freestone::tests::host_call_fails(call); }

// What the driver would say to a plain file in a device's place: the buffers are memfds.
int driver(unsigned long request, void* argument) {
  if (request == DMA_HEAP_IOCTL_ALLOC) {
    auto& asked = *static_cast<dma_heap_allocation_data*>(argument);
    const int buffer = static_cast<int>(__real_syscall(SYS_memfd_create, "buffer", MFD_CLOEXEC));
    if (buffer < 0 || __real_syscall(SYS_ftruncate, buffer, asked.len) != 0) return -1;
    asked.fd = static_cast<__u32>(buffer);
    return 0;
  }
  if (request == UDMABUF_CREATE) {
    return static_cast<int>(
        __real_syscall(SYS_fcntl, static_cast<udmabuf_create*>(argument)->memfd, F_DUPFD_CLOEXEC, 0));
  }
  if (request == DMA_BUF_IOCTL_SYNC) return 0;
  return errno = ENOTTY, -1;
}

}  // namespace

extern "C" {

void* __real_mmap(void*, size_t, int, int, int, off_t);
void* __wrap_mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  const bool failed = fails((flags & MAP_HUGETLB) != 0 ? "mmap of huge pages" : "mmap");
  return failed ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}
int __real_madvise(void*, size_t, int);
int __wrap_madvise(void* at, size_t size, int advice) {
  return fails(advice == MADV_HUGEPAGE ? "madvise as a hint" : "madvise") ? -1 : __real_madvise(at, size, advice);
}
int __real_mlock(const void*, size_t);
int __wrap_mlock(const void* at, size_t size) { return fails("mlock") ? -1 : __real_mlock(at, size); }
int __real_memfd_create(const char*, unsigned);
int __wrap_memfd_create(const char* name, unsigned flags) {
  return fails("memfd_create") ? -1 : __real_memfd_create(name, flags);
}
int __real_ftruncate(int, off_t);
int __wrap_ftruncate(int fd, off_t length) { return fails("ftruncate") ? -1 : __real_ftruncate(fd, length); }
int __real_fallocate(int, int, off_t, off_t);
int __wrap_fallocate(int fd, int mode, off_t from, off_t size) {
  return fails("fallocate") ? -1 : __real_fallocate(fd, mode, from, size);
}
ssize_t __real_read(int, void*, size_t);
ssize_t __wrap_read(int fd, void* to, size_t size) { return fails("read") ? -1 : __real_read(fd, to, size); }
ssize_t __real_pread(int, void*, size_t, off_t);
ssize_t __wrap_pread(int fd, void* to, size_t size, off_t from) {
  return fails("pread") ? -1 : __real_pread(fd, to, size, from);
}
ssize_t __real_pwrite(int, const void*, size_t, off_t);
ssize_t __wrap_pwrite(int fd, const void* from, size_t size, off_t to) {
  return fails("pwrite") ? -1 : __real_pwrite(fd, from, size, to);
}
int __real_fstat(int, struct stat*);
int __wrap_fstat(int fd, struct stat* status) { return fails("fstat") ? -1 : __real_fstat(fd, status); }
int __real_fsync(int);
int __wrap_fsync(int fd) {
  struct stat status {};
  const bool is_folder = __real_fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
  return fails(is_folder ? "fsync of a folder" : "fsync") ? -1 : __real_fsync(fd);
}
int __real_linkat(int, const char*, int, const char*, int);
int __wrap_linkat(int from, const char* old_name, int to, const char* new_name, int flags) {
  return fails("linkat") ? -1 : __real_linkat(from, old_name, to, new_name, flags);
}
int __real_unlink(const char*);
int __wrap_unlink(const char* name) { return fails("unlink") ? -1 : __real_unlink(name); }
int __real_open(const char*, int, ...);
int __wrap_open(const char* name, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const auto mode = va_arg(rest, mode_t);
  va_end(rest);
  const bool is_folder = (flags & O_DIRECTORY) != 0 && (flags & O_TMPFILE) != O_TMPFILE;
  const bool is_kernels = std::strncmp(name, "/proc/", 6) == 0 || std::strncmp(name, "/sys/", 5) == 0;
  const char* const what = is_folder ? "open of a folder" : is_kernels ? "open of what the kernel tells" : "open";
  return fails(what) ? -1 : __real_open(name, flags, mode);
}
int __real_fcntl(int, int, ...);
int __wrap_fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  const long argument = va_arg(rest, long);
  va_end(rest);
  const bool is_of_seals = command == F_GET_SEALS || command == F_ADD_SEALS;
  if (fails(is_of_seals ? "fcntl of seals" : command == F_GETFL ? "fcntl of the mode" : "fcntl")) return -1;
  if (is_of_seals && freestone::tests::files_are_dma_bufs) return errno = EINVAL, -1;
  return __real_fcntl(fd, command, argument);
}
int __real_statx(int, const char*, int, unsigned, struct statx*);
int __wrap_statx(int fd, const char* name, int flags, unsigned mask, struct statx* status) {
  if (fails("statx") || __real_statx(fd, name, flags, mask, status) != 0) return -1;
  if (freestone::tests::files_are_dma_bufs) status->stx_mode &= static_cast<__u16>(~S_IFMT);
  return 0;
}
int __real_fstatfs(int, struct statfs*);
int __wrap_fstatfs(int fd, struct statfs* status) {
  struct stat file {};
  const bool has_type = __real_fstat(fd, &file) == 0 && (file.st_mode & S_IFMT) != 0;
  const bool is_kernels = freestone::tests::files_are_dma_bufs || !has_type || __real_fcntl(fd, F_GET_SEALS) >= 0;
  if (fails(is_kernels ? "fstatfs" : "fstatfs of what somebody may serve")) return -1;
  if (__real_fstatfs(fd, status) != 0) return -1;
  if (freestone::tests::files_are_dma_bufs) status->f_type = DMA_BUF_MAGIC;
  return 0;
}
off_t __real_lseek(int, off_t, int);
off_t __wrap_lseek(int fd, off_t offset, int from) { return fails("lseek") ? -1 : __real_lseek(fd, offset, from); }
int __real_socketpair(int, int, int, int*);
int __wrap_socketpair(int domain, int type, int protocol, int* ends) {
  return fails("socketpair") ? -1 : __real_socketpair(domain, type, protocol, ends);
}
int __real_getsockopt(int, int, int, void*, socklen_t*);
int __wrap_getsockopt(int fd, int level, int name, void* value, socklen_t* length) {
  constexpr int peer_pidfd = 77;  // SO_PEERPIDFD, which older headers lack
  if (fails("getsockopt")) return -1;
  if (name == peer_pidfd && !freestone::tests::has_peer_pidfd) return errno = ENOPROTOOPT, -1;
  return __real_getsockopt(fd, level, name, value, length);
}
int __real_setsockopt(int, int, int, const void*, socklen_t);
int __wrap_setsockopt(int fd, int level, int name, const void* value, socklen_t length) {
  return fails("setsockopt") ? -1 : __real_setsockopt(fd, level, name, value, length);
}
int __real_getpeername(int, sockaddr*, socklen_t*);
int __wrap_getpeername(int fd, sockaddr* name, socklen_t* length) {
  return fails("getpeername") ? -1 : __real_getpeername(fd, name, length);
}
ssize_t __real_sendmsg(int, const msghdr*, int);
ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
  return fails("sendmsg") ? -1 : __real_sendmsg(fd, message, flags);
}
ssize_t __real_recvmsg(int, msghdr*, int);
ssize_t __wrap_recvmsg(int fd, msghdr* message, int flags) {
  return fails("recvmsg") ? -1 : __real_recvmsg(fd, message, flags);
}
int __real_poll(pollfd*, nfds_t, int);
int __wrap_poll(pollfd* fds, nfds_t count, int timeout) {
  return fails("poll") ? -1 : __real_poll(fds, count, timeout);
}
int __real_ppoll(pollfd*, nfds_t, const timespec*, const sigset_t*);
int __wrap_ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  return fails("ppoll") ? -1 : __real_ppoll(fds, count, timeout, mask);
}
int __real_ioctl(int, unsigned long, ...);
int __wrap_ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  if (fails(request == DMA_BUF_IOCTL_SYNC ? "ioctl of a dma-buf" : "ioctl")) return -1;
  const int status = __real_ioctl(fd, request, argument);
  return status < 0 && errno == ENOTTY ? driver(request, argument) : status;
}
long __wrap_syscall(long number, ...) {
  va_list rest;
  va_start(rest, number);
  long more[6] = {};
  const int count = number == SYS_capget ? 2 : 6;
  for (int i = 0; i < count; ++i) more[i] = va_arg(rest, long);
  va_end(rest);
  const char* const what = number == SYS_capget       ? "capget"
                           : number == SYS_mbind      ? "mbind"
                           : number == SYS_pidfd_open ? "pidfd_open"
                                                      : "syscall";
  return fails(what) ? -1 : __real_syscall(number, more[0], more[1], more[2], more[3], more[4], more[5]);
}

// What they are called with _FILE_OFFSET_BITS=64: the same.
[[gnu::alias("__wrap_mmap")]] void* __wrap_mmap64(void*, size_t, int, int, int, off_t);
[[gnu::alias("__wrap_ftruncate")]] int __wrap_ftruncate64(int, off_t);
[[gnu::alias("__wrap_fallocate")]] int __wrap_fallocate64(int, int, off_t, off_t);
[[gnu::alias("__wrap_pread")]] ssize_t __wrap_pread64(int, void*, size_t, off_t);
[[gnu::alias("__wrap_pwrite")]] ssize_t __wrap_pwrite64(int, const void*, size_t, off_t);
[[gnu::alias("__wrap_fstat")]] int __wrap_fstat64(int, struct stat*);
[[gnu::alias("__wrap_open")]] int __wrap_open64(const char*, int, ...);
[[gnu::alias("__wrap_fcntl")]] int __wrap_fcntl64(int, int, ...);
[[gnu::alias("__wrap_fstatfs")]] int __wrap_fstatfs64(int, struct statfs*);
[[gnu::alias("__wrap_lseek")]] off_t __wrap_lseek64(int, off_t, int);

}  // extern "C"

namespace freestone::tests {

namespace {

int names_in(const char* path, std::string_view beginning) {
  int names = 0;
  DIR* const in = opendir(path);
  while (in != nullptr) {
    const dirent* const entry = readdir(in);
    if (entry == nullptr) break;
    names += std::string_view(entry->d_name).starts_with(beginning);
  }
  if (in != nullptr) closedir(in);
  return names;
}

std::uint64_t mapped_bytes() {
  std::uint64_t mapped = 0;
#if !defined(__SANITIZE_ADDRESS__)  // it maps and unmaps as it likes
  std::FILE* const maps = std::fopen("/proc/self/maps", "r");
  char line[512];
  while (maps != nullptr && std::fgets(line, sizeof(line), maps) != nullptr) {
    unsigned long long begin = 0, end = 0;
    if (std::strchr(line, '[') != nullptr || std::sscanf(line, "%llx-%llx", &begin, &end) != 2) continue;
    mapped += end - begin;
  }
  if (maps != nullptr) std::fclose(maps);
#endif
  return mapped;
}

}  // namespace

Holdings holdings() {
  return {.fds = names_in("/proc/self/fd", ""),
          .files = names_in(folder.c_str(), "") + names_in("/dev/shm", shared_name),
          .mapped = mapped_bytes(),
          .heap = heap_blocks()};
}

}  // namespace freestone::tests
