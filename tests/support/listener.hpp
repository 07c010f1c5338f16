// Processes that connect to this one.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <doctest/doctest.h>

#include <freestone/share/os/fd_message.hpp>

namespace freestone::tests {

// A listening socket with a name that the kernel chose, in no folder.
struct Listener {
  backing::OwnedFd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  socklen_t length = sizeof(sa_family_t);

  Listener() {
    address.sun_family = AF_UNIX;
    REQUIRE(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    length = sizeof address;
    REQUIRE(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    REQUIRE(listen(socket.get(), 8) == 0);
  }
  int connect() const {
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), length) == 0 ? fd : -1;
  }
  Result<Connection> accept() const {
    return Connection::of(backing::OwnedFd(accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }
};

}  // namespace freestone::tests
