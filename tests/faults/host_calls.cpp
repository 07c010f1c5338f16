#include "faults/host_calls.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace freestone::tests {

bool host_call_fails(std::string_view call) noexcept {
  HostFault& fault = host_fault;
  ++fault.calls;
  if (fault.at == 0 || fault.calls < fault.at || (fault.calls > fault.at && !fault.for_ever)) return false;
  ++fault.failed;
  const bool is_hint = !fault.is_told || std::find(fault.hints.begin(), fault.hints.end(), call) != fault.hints.end();
  if (!is_hint && fault.what.empty()) fault.what = call;
  errno = fault.os_error;
  return true;
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
  return fails("fcntl") ? -1 : __real_fcntl(fd, command, argument);
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
  const char* const what = number == SYS_capget ? "capget" : number == SYS_mbind ? "mbind" : "syscall";
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
