// Fences that are file descriptors: signalled once the file can be read.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include <freestone/backing/os/node.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/fence.hpp>

namespace freestone {

// A file that can be read once and from then on for ever, as long as nobody reads from it: an eventfd, a sync_file,
// the end of a pipe, a pidfd (signalled when that process has ended). It has a descriptor of its own, so what its
// maker does with his does not matter. Cost of a look: a system call.
class PolledFence {
 public:
  // Takes a descriptor of its own of the caller's file. Errors: os_failure (EBADF: it is not open), limit_reached.
  static Result<PolledFence> of(int fd) noexcept {
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) return failed();
    return PolledFence(backing::OwnedFd(own));
  }
  // Takes the file over. (One that is not open, as where a pidfd_open failed, is a fence that never signals: error().)
  explicit PolledFence(backing::OwnedFd fd) noexcept : fd_(std::move(fd)) {}

  bool has_signalled() const noexcept { return (look() & POLLIN) != 0; }

  bool wait(Timeout timeout) const noexcept {
    if (fd_.get() < 0) return false;  // ppoll would sleep
    const std::int64_t until = timeout.is_forever() ? 0 : end_of(timeout);
    while (true) {
      pollfd one{fd_.get(), POLLIN, 0};
      const timespec left = left_until(until);
      const int ready = ppoll(&one, 1, timeout.is_forever() ? nullptr : &left, nullptr);
      if (ready >= 0 || errno != EINTR) return ready > 0 && (one.revents & POLLIN) != 0;
    }
  }

  // os_failure: its descriptor is not open, or was closed behind its back (EBADF), or nobody is left who could signal
  // it (EPIPE).
  Error error() const noexcept {
    const int events = look();
    if ((events & POLLIN) != 0 || events == 0) return {};
    return {.code = ErrorCode::os_failure, .os_error = (events & POLLNVAL) != 0 ? EBADF : EPIPE};
  }

  // To be handed on, and not to be read from.
  int fd() const noexcept { return fd_.get(); }

 protected:
  // The error of a call that failed just now.
  static Error failed() noexcept {
    const bool is_limit = errno == EMFILE || errno == ENFILE;
    return {.code = is_limit ? ErrorCode::limit_reached : ErrorCode::os_failure, .os_error = errno};
  }

 private:
  static constexpr std::int64_t second = 1'000'000'000;

  int look() const noexcept {
    pollfd one{fd_.get(), POLLIN, 0};
    if (one.fd < 0) return POLLNVAL;  // poll would see nothing
    return poll(&one, 1, 0) > 0 ? one.revents : 0;
  }

  static std::int64_t now() noexcept {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * second + time.tv_nsec;
  }
  static std::int64_t end_of(Timeout timeout) noexcept {
    const std::int64_t begin = now();
    const auto most = static_cast<std::uint64_t>(INT64_MAX - begin);
    return timeout.nanoseconds() < most ? begin + static_cast<std::int64_t>(timeout.nanoseconds()) : INT64_MAX;
  }
  static timespec left_until(std::int64_t end) noexcept {
    const std::int64_t time = now();
    const std::int64_t left = time < end ? end - time : 0;
    const std::int64_t seconds = left / second;
    timespec result{};
    result.tv_sec = seconds < INT32_MAX ? static_cast<time_t>(seconds) : INT32_MAX;  // a time_t may have 32 bits
    result.tv_nsec = static_cast<long>(left % second);
    return result;
  }

  backing::OwnedFd fd_;
};

}  // namespace freestone
