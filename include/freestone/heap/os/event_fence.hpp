// A fence that a thread or another process signals: an eventfd.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
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
  // The fence that another holds the eventfd of. Errors: PolledFence::of's.
  static Result<EventFence> of(int fd) noexcept {
    backing::OwnedFd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (own.get() < 0) return failed();
    return EventFence(std::move(own));
  }

  // Any thread, as often as one likes. Errors: os_failure where the descriptor is not an eventfd's any more.
  Result<void> signal() const noexcept {
    const std::uint64_t one = 1;
    while (write(fd(), &one, sizeof one) < 0) {
      if (errno == EAGAIN) return {};  // it has been signalled 2^64 - 2 times
      if (errno != EINTR) return failed();
    }
    return {};
  }

 private:
  using PolledFence::PolledFence;
};

}  // namespace freestone
