// A fence that a thread or another process signals: an eventfd.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <utility>

#include <freestone/heap/os/polled_fence.hpp>

namespace freestone {

// Whoever has the descriptor may signal: this process, one that it was sent to, a driver that was told of it. Nobody
// may read from it: that would take the signal back.
class EventFence : public PolledFence {
 public:
  // Errors: limit_reached, os_failure.
  static Result<EventFence> create() noexcept {
    backing::OwnedFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (fd.get() < 0) return failed();
    return EventFence(std::move(fd));
  }
  // The fence that another holds the eventfd of. Errors: PolledFence::of's; os_failure (EINVAL) where it is another
  // kind of file, which might be readable from the first, and be written to (ENOENT: there is no /proc to tell).
  static Result<EventFence> of(int fd) noexcept {
    backing::OwnedFd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (own.get() < 0) return failed();
    if (const Error error = check_kind(own.get()); error) return error;
    return EventFence(std::move(own));
  }

  // Any thread, as often as one likes; it does not wait where others did so too often. Errors: os_failure where the
  // descriptor is not open any more.
  Result<void> signal() const noexcept {
    if (has_signalled()) return {};
    const std::uint64_t one = 1;
    while (write(fd(), &one, sizeof one) < 0) {
      if (errno == EAGAIN) return {};  // it has been signalled 2^64 - 2 times
      if (errno != EINTR) return failed();
    }
    return {};
  }

 private:
  using PolledFence::PolledFence;

  static Error check_kind(int fd) noexcept {
    constexpr std::string_view eventfd = "anon_inode:[eventfd]";
    char path[32], kind[64];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(path, kind, sizeof kind);
    if (size < 0) return failed();
    if (std::string_view(kind, static_cast<std::size_t>(size)) == eventfd) return {};
    return {.code = ErrorCode::os_failure, .os_error = EINVAL};
  }
};

}  // namespace freestone
