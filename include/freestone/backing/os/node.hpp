// What is opened by its name: a device, a heap, a file. Its errors say which one, and what it would have taken.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>

namespace freestone::backing {

// The error of a call that failed just now, on no node.
inline Error os_error(const char* zone, Bytes asked) noexcept {
  return {.code = errno == ENOMEM ? ErrorCode::out_of_memory : ErrorCode::os_failure,
          .os_error = errno,
          .asked = asked.value(),
          .zone = zone};
}

constexpr ErrorCode node_code_of(int os_error) noexcept {
  switch (os_error) {
    case ENOENT:
    case ENODEV:
    case ENXIO: return ErrorCode::no_device;
    case EACCES:
    case EPERM: return ErrorCode::no_access;
    case EMFILE:
    case ENFILE: return ErrorCode::limit_reached;
    case EAGAIN:
    case EBUSY: return ErrorCode::in_use;
    case EEXIST: return ErrorCode::exists;
    case EROFS: return ErrorCode::read_only;
    case ENAMETOOLONG: return ErrorCode::bad_name;
    case ENOMEM: return ErrorCode::out_of_memory;
    default: return ErrorCode::node_failure;
  }
}

// What EACCES on that node takes: to be in its group, where the group may do that (S_IRGRP, S_IWGRP); otherwise to be its
// owner.
inline Privilege privilege_for(const char* node, mode_t wanted) noexcept {
  struct stat status {};
  const bool group_may = node[0] == '/' && stat(node, &status) == 0 && (status.st_mode & wanted) == wanted &&
                         status.st_gid != getegid() && group_member(status.st_gid) == 0;
  return group_may ? Privilege::group_of_node : Privilege::cap_dac_override;
}

// The error of a call on that node that failed just now. `capability` is what EPERM means there, `wanted` what the group
// would have to have.
inline Error node_error(const char* node, const char* zone, Bytes asked, Privilege capability = Privilege::none,
                        mode_t wanted = S_IRGRP | S_IWGRP) noexcept {
  const int os_error = errno;
  Error error = Error::of_node(node_code_of(os_error), node, zone);
  error.os_error = os_error;
  error.asked = asked.value();
  if (os_error == EPERM) error.missing = capability;
  if (os_error == EACCES) error.missing = privilege_for(node, wanted);
  return error;
}

// Would a file of that length be longer than this process may make one? (Who makes it is killed: SIGXFSZ.)
inline bool exceeds_file_size_limit(std::uint64_t bytes) noexcept {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur;
}

// A file descriptor that ends with its owner.
class OwnedFd {
 public:
  explicit OwnedFd(int fd) noexcept : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    OwnedFd old(std::exchange(fd_, std::exchange(other.fd_, -1)));
    return *this;
  }
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

inline Result<OwnedFd> open_node(const char* node, int flags, const char* zone, Bytes asked,
                                 Privilege capability = Privilege::none) noexcept {
  OwnedFd file(open(node, flags | O_CLOEXEC));
  const mode_t wanted = (flags & O_ACCMODE) == O_RDONLY ? S_IRGRP : S_IRGRP | S_IWGRP;
  if (file.get() < 0) return node_error(node, zone, asked, capability, wanted);
  return file;
}

}  // namespace freestone::backing
