// Hooks: the stat family of 32-bit programs whose time_t has 64 bits.
#if __SIZEOF_POINTER__ == 4
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#endif
#include <features.h>

#if __SIZEOF_POINTER__ == 4 && defined(__USE_TIME_BITS64)
#include "next.hpp"
#include "status.hpp"

using namespace freestone::interposer;

namespace {
FREESTONE_NEXT(__stat64_time64, int(const char*, struct stat*));
FREESTONE_NEXT(__lstat64_time64, int(const char*, struct stat*));
FREESTONE_NEXT(__fstat64_time64, int(int, struct stat*));
FREESTONE_NEXT(__fstatat64_time64, int(int, const char*, struct stat*, int));
}  // namespace

FREESTONE_HOOK(int, __stat64_time64, const char* path, struct stat* to) {
  return status_anywhere(AT_FDCWD, path, 0, to, [&] { return next___stat64_time64(path, to); });
}
FREESTONE_HOOK(int, __lstat64_time64, const char* path, struct stat* to) {
  return status_anywhere(AT_FDCWD, path, 0, to, [&] { return next___lstat64_time64(path, to); });
}
FREESTONE_HOOK(int, __fstat64_time64, int fd, struct stat* to) {
  return to != nullptr && status_of_descriptor(fd, *to) ? 0 : next___fstat64_time64(fd, to);
}
FREESTONE_HOOK(int, __fstatat64_time64, int directory, const char* path, struct stat* to, int flags) {
  return status_anywhere(directory, path, flags, to,
                         [&] { return next___fstatat64_time64(directory, path, to, flags); });
}
#endif
