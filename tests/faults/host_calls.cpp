#include "faults/host_calls.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

using freestone::tests::host_fault;

namespace {

bool fails() {
  ++host_fault.calls;
  const bool now = host_fault.at != 0 && (host_fault.calls == host_fault.at ||
                                          (host_fault.for_ever && host_fault.calls > host_fault.at));
  if (now) ++host_fault.failed, errno = host_fault.os_error;
  return now;
}

}  // namespace

extern "C" {

void* __real_mmap(void*, size_t, int, int, int, off_t);
void* __wrap_mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  return fails() ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}
int __real_madvise(void*, size_t, int);
int __wrap_madvise(void* at, size_t size, int advice) { return fails() ? -1 : __real_madvise(at, size, advice); }
int __real_mlock(const void*, size_t);
int __wrap_mlock(const void* at, size_t size) { return fails() ? -1 : __real_mlock(at, size); }
int __real_memfd_create(const char*, unsigned);
int __wrap_memfd_create(const char* name, unsigned flags) { return fails() ? -1 : __real_memfd_create(name, flags); }
int __real_ftruncate(int, off_t);
int __wrap_ftruncate(int fd, off_t length) { return fails() ? -1 : __real_ftruncate(fd, length); }
int __real_fallocate(int, int, off_t, off_t);
int __wrap_fallocate(int fd, int mode, off_t from, off_t size) {
  return fails() ? -1 : __real_fallocate(fd, mode, from, size);
}
ssize_t __real_pread(int, void*, size_t, off_t);
ssize_t __wrap_pread(int fd, void* to, size_t size, off_t from) { return fails() ? -1 : __real_pread(fd, to, size, from); }
ssize_t __real_pwrite(int, const void*, size_t, off_t);
ssize_t __wrap_pwrite(int fd, const void* from, size_t size, off_t to) {
  return fails() ? -1 : __real_pwrite(fd, from, size, to);
}
int __real_fstat(int, struct stat*);
int __wrap_fstat(int fd, struct stat* status) { return fails() ? -1 : __real_fstat(fd, status); }
int __real_fsync(int);
int __wrap_fsync(int fd) { return fails() ? -1 : __real_fsync(fd); }
int __real_linkat(int, const char*, int, const char*, int);
int __wrap_linkat(int from, const char* old_name, int to, const char* new_name, int flags) {
  return fails() ? -1 : __real_linkat(from, old_name, to, new_name, flags);
}
int __real_open(const char*, int, ...);
int __wrap_open(const char* name, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const auto mode = va_arg(rest, mode_t);
  va_end(rest);
  return fails() ? -1 : __real_open(name, flags, mode);
}
int __real_fcntl(int, int, ...);
int __wrap_fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  const long argument = va_arg(rest, long);
  va_end(rest);
  return fails() ? -1 : __real_fcntl(fd, command, argument);
}
int __real_ioctl(int, unsigned long, ...);
int __wrap_ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  return fails() ? -1 : __real_ioctl(fd, request, argument);
}
// operator new(std::size_t, const std::nothrow_t&): _ZnwmRKSt9nothrow_t.
void* __real__ZnwmRKSt9nothrow_t(size_t, const std::nothrow_t&);
void* __wrap__ZnwmRKSt9nothrow_t(size_t size, const std::nothrow_t& tag) {
  return fails() ? nullptr : __real__ZnwmRKSt9nothrow_t(size, tag);
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

Holdings holdings() {
  Holdings held;
  DIR* folder = opendir("/proc/self/fd");
  while (folder != nullptr && readdir(folder) != nullptr) ++held.fds;
  if (folder != nullptr) closedir(folder);
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  char line[512];
  while (maps != nullptr && std::fgets(line, sizeof(line), maps) != nullptr) {
    unsigned long long begin = 0, end = 0;
    if (std::strchr(line, '[') != nullptr || std::sscanf(line, "%llx-%llx", &begin, &end) != 2) continue;
    held.mapped += end - begin;
  }
  if (maps != nullptr) std::fclose(maps);
  return held;
}

}  // namespace freestone::tests
