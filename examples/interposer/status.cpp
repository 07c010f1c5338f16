// Hooks: the stat family, access, and paths as such.
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "files.hpp"
#include "next.hpp"
#include "status.hpp"

using namespace freestone::interposer;

namespace {
FREESTONE_NEXT(stat, int(const char*, struct stat*));
FREESTONE_NEXT(lstat, int(const char*, struct stat*));
FREESTONE_NEXT(fstat, int(int, struct stat*));
FREESTONE_NEXT(fstatat, int(int, const char*, struct stat*, int));
FREESTONE_NEXT(stat64, int(const char*, struct stat64*));
FREESTONE_NEXT(lstat64, int(const char*, struct stat64*));
FREESTONE_NEXT(fstat64, int(int, struct stat64*));
FREESTONE_NEXT(fstatat64, int(int, const char*, struct stat64*, int));
FREESTONE_NEXT(__xstat, int(int, const char*, struct stat*));
FREESTONE_NEXT(__lxstat, int(int, const char*, struct stat*));
FREESTONE_NEXT(__fxstat, int(int, int, struct stat*));
FREESTONE_NEXT(__fxstatat, int(int, int, const char*, struct stat*, int));
FREESTONE_NEXT(__xstat64, int(int, const char*, struct stat64*));
FREESTONE_NEXT(__lxstat64, int(int, const char*, struct stat64*));
FREESTONE_NEXT(__fxstat64, int(int, int, struct stat64*));
FREESTONE_NEXT(__fxstatat64, int(int, int, const char*, struct stat64*, int));
FREESTONE_NEXT(statx, int(int, const char*, int, unsigned, struct statx*));
FREESTONE_NEXT(access, int(const char*, int));
FREESTONE_NEXT(euidaccess, int(const char*, int));
FREESTONE_NEXT(faccessat, int(int, const char*, int, int));
FREESTONE_NEXT(readlink, ssize_t(const char*, char*, std::size_t));
FREESTONE_NEXT(readlinkat, ssize_t(int, const char*, char*, std::size_t));
FREESTONE_NEXT(getxattr, ssize_t(const char*, const char*, void*, std::size_t));
FREESTONE_NEXT(lgetxattr, ssize_t(const char*, const char*, void*, std::size_t));
FREESTONE_NEXT(listxattr, ssize_t(const char*, char*, std::size_t));
FREESTONE_NEXT(llistxattr, ssize_t(const char*, char*, std::size_t));
FREESTONE_NEXT(realpath, char*(const char*, char*));

template <class Host>
int access_anywhere(int directory, const char* path, int mode, Host host) noexcept {
  const Path name(directory, path);
  if (name.is_served()) return static_cast<int>(returned(access_served(name, mode)));
  const int saved = errno;
  const int result = host();
  if (result == 0) return result;
  errno = name.error_or(errno);
  if (!name.is_merged() || errno != ENOENT) return result;
  errno = saved;
  return static_cast<int>(returned(access_served(name, mode)));
}

// A question to which there is one answer for all that is the server's.
template <class Host>
ssize_t answer_anywhere(int directory, const char* path, long answer, Host host) noexcept {
  const Path name(directory, path);
  const int saved = errno;
  if (!name.is_served()) {
    const ssize_t result = host();
    if (result >= 0 || !name.is_merged() || errno != ENOENT) return result;
  }
  FileStatus status;
  const long error = look_up(name, status);
  if (error == 0 && answer >= 0) errno = saved;
  return static_cast<ssize_t>(returned(error == 0 ? answer : error));
}
constexpr long no_link = -EINVAL, no_attribute = -ENODATA, no_list = 0;
}  // namespace

// The four of one struct, and those that were called until glibc 2.33.
#define FREESTONE_STATUS_HOOKS(s, suffix)                                                                          \
  FREESTONE_HOOK(int, stat##suffix, const char* path, struct s* to) {                                              \
    return status_anywhere(AT_FDCWD, path, 0, to, [&] { return next_stat##suffix(path, to); });                    \
  }                                                                                                                \
  FREESTONE_HOOK(int, lstat##suffix, const char* path, struct s* to) {                                             \
    return status_anywhere(AT_FDCWD, path, 0, to, [&] { return next_lstat##suffix(path, to); });                   \
  }                                                                                                                \
  FREESTONE_HOOK(int, fstat##suffix, int fd, struct s* to) {                                                       \
    return to != nullptr && status_of_descriptor(fd, *to) ? 0 : next_fstat##suffix(fd, to);                        \
  }                                                                                                                \
  FREESTONE_HOOK(int, fstatat##suffix, int directory, const char* path, struct s* to, int flags) {                 \
    return status_anywhere(directory, path, flags, to,                                                             \
                           [&] { return next_fstatat##suffix(directory, path, to, flags); });                      \
  }                                                                                                                \
  FREESTONE_HOOK(int, __xstat##suffix, int version, const char* path, struct s* to) {                              \
    return status_anywhere(AT_FDCWD, path, 0, to, [&] { return next___xstat##suffix(version, path, to); });        \
  }                                                                                                                \
  FREESTONE_HOOK(int, __lxstat##suffix, int version, const char* path, struct s* to) {                             \
    return status_anywhere(AT_FDCWD, path, 0, to, [&] { return next___lxstat##suffix(version, path, to); });       \
  }                                                                                                                \
  FREESTONE_HOOK(int, __fxstat##suffix, int version, int fd, struct s* to) {                                       \
    return to != nullptr && status_of_descriptor(fd, *to) ? 0 : next___fxstat##suffix(version, fd, to);            \
  }                                                                                                                \
  FREESTONE_HOOK(int, __fxstatat##suffix, int version, int directory, const char* path, struct s* to, int flags) { \
    return status_anywhere(directory, path, flags, to,                                                             \
                           [&] { return next___fxstatat##suffix(version, directory, path, to, flags); });          \
  }
FREESTONE_STATUS_HOOKS(stat, )
FREESTONE_STATUS_HOOKS(stat64, 64)

FREESTONE_HOOK(int, statx, int directory, const char* path, int flags, unsigned mask, struct statx* to) {
  return status_anywhere(directory, path, flags, to, [&] { return next_statx(directory, path, flags, mask, to); });
}

FREESTONE_HOOK(int, access, const char* path, int mode) {
  return access_anywhere(AT_FDCWD, path, mode, [&] { return next_access(path, mode); });
}
FREESTONE_HOOK(int, euidaccess, const char* path, int mode) {
  return access_anywhere(AT_FDCWD, path, mode, [&] { return next_euidaccess(path, mode); });
}
FREESTONE_SAME_HOOK(int, eaccess, euidaccess, const char* path, int mode);
FREESTONE_HOOK(int, faccessat, int directory, const char* path, int mode, int flags) {
  return access_anywhere(directory, path, mode, [&] { return next_faccessat(directory, path, mode, flags); });
}

FREESTONE_HOOK(ssize_t, readlink, const char* path, char* to, std::size_t size) {
  return answer_anywhere(AT_FDCWD, path, no_link, [&] { return next_readlink(path, to, size); });
}
FREESTONE_HOOK(ssize_t, __readlink_chk, const char* path, char* to, std::size_t size, std::size_t room) {
  if (size > room) std::abort();
  return hook_readlink(path, to, size);
}
FREESTONE_HOOK(ssize_t, readlinkat, int directory, const char* path, char* to, std::size_t size) {
  return answer_anywhere(directory, path, no_link, [&] { return next_readlinkat(directory, path, to, size); });
}

FREESTONE_HOOK(char*, realpath, const char* path, char* to) {
  const Path name(AT_FDCWD, path);
  if (!name.is_served()) return next_realpath(path, to);
  FileStatus status;
  if (const long error = look_up(name, status); error != 0) return returned(error), nullptr;
  if (to == nullptr) return ::strdup(name.c_str());
  return std::strcpy(to, name.c_str());
}
FREESTONE_HOOK(char*, __realpath_chk, const char* path, char* to, std::size_t room) {
  if (room < PATH_MAX) std::abort();
  return hook_realpath(path, to);
}
FREESTONE_HOOK(char*, canonicalize_file_name, const char* path) { return hook_realpath(path, nullptr); }

// ls -l asks for these.
FREESTONE_HOOK(ssize_t, getxattr, const char* path, const char* name, void* to, std::size_t size) {
  return answer_anywhere(AT_FDCWD, path, no_attribute, [&] { return next_getxattr(path, name, to, size); });
}
FREESTONE_HOOK(ssize_t, lgetxattr, const char* path, const char* name, void* to, std::size_t size) {
  return answer_anywhere(AT_FDCWD, path, no_attribute, [&] { return next_lgetxattr(path, name, to, size); });
}
FREESTONE_HOOK(ssize_t, listxattr, const char* path, char* to, std::size_t size) {
  return answer_anywhere(AT_FDCWD, path, no_list, [&] { return next_listxattr(path, to, size); });
}
FREESTONE_HOOK(ssize_t, llistxattr, const char* path, char* to, std::size_t size) {
  return answer_anywhere(AT_FDCWD, path, no_list, [&] { return next_llistxattr(path, to, size); });
}
