// What the operating system's refusals are called where processes share.
#pragma once

#include <poll.h>

#include <cerrno>

#include <freestone/core/error.hpp>

namespace freestone::detail {

// The error of a call that failed just now, on what `node` names (a literal).
inline Error share_failure(const char* node) noexcept {
  const int os_error = errno;
  const bool is_limit = os_error == EMFILE || os_error == ENFILE || os_error == ETOOMANYREFS;
  const bool is_memory = os_error == ENOMEM || os_error == ENOBUFS;
  Error error = Error::of_node(
      is_limit ? ErrorCode::limit_reached : is_memory ? ErrorCode::out_of_memory : ErrorCode::node_failure, node, "");
  error.os_error = os_error;
  return error;
}

// Which of these events a descriptor has now (poll(2)): 0 where it is below 0, and -1 with errno where nobody says.
inline int events_now(int fd, short events) noexcept {
  pollfd one{fd, events, 0};
  int status = 0;
  do status = ::poll(&one, 1, 0);
  while (status < 0 && errno == EINTR);
  return status < 0 ? -1 : one.revents;
}

}  // namespace freestone::detail
