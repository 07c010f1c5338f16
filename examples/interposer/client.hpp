// How a program of this house asks a device server: a connection, requests, and their answers.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <freestone/backing/os/node.hpp>
#include <freestone/core/result.hpp>
#include <freestone/platform/linux_user/protocol.hpp>
#include <freestone/platform/linux_user/server.hpp>
#include <freestone/share/os/failure.hpp>
#include <freestone/share/os/fd_message.hpp>

namespace freestone::linux_user {

// What the server answered: what the call returns, the payload (in `reply`), and a descriptor where one came (else -1).
struct Answer {
  std::int64_t result = 0;
  backing::OwnedFd fd = backing::OwnedFd(-1);
  Reply reply = {};

  // The payload as a T; false where it is none.
  template <class T>
  bool take(T& value) const noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    if (reply.payload_length != sizeof value) return false;
    std::memcpy(&value, reply.payload.data(), sizeof value);
    return true;
  }
};

// One connection, for one thread at a time. A request takes at most `patience`: a server that is mute for longer counts
// as gone.
//
// Errors of every request: node_failure, os_error: the server's refusal; connection_ended: it is gone, and so it is for
// every later request; limit_reached (EMFILE): this process has no room for the descriptor that came; others of
// Connection::send's, and then nothing was asked.
class Client {
 public:
  // A patience of 0 has no end. Errors: bad_name: too long, or empty; no_device: nobody serves there; no_access;
  // connection_ended: it has no room for one more; wrong_version: of the protocol; limit_reached, node_failure.
  static Result<Client> connect(std::string_view name, std::chrono::seconds patience) {
    sockaddr_un address;
    const socklen_t length = socket_address(name, address);
    if (length == 0) return ErrorCode::bad_name;
    backing::OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (socket.get() < 0) return detail::share_failure(node);
    const timeval most{.tv_sec = static_cast<time_t>(patience.count()), .tv_usec = 0};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
      if (::setsockopt(socket.get(), SOL_SOCKET, option, &most, sizeof most) != 0) return detail::share_failure(node);
    }
    int result = 0;
    do result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length);
    while (result != 0 && errno == EINTR);
    if (result != 0) return cannot_connect();
    auto connection = Connection::of(std::move(socket));
    if (!connection) return ErrorCode::connection_ended;
    Client client(*std::move(connection));
    const auto hello = client.paths();
    if (hello) return client;
    return hello.error().os_error == EINVAL ? Error{.code = ErrorCode::wrong_version} : hello.error();
  }

  // A request with a payload, and a descriptor that stays the caller's. Where the server asks back for memory, there is
  // none: that is EFAULT.
  Result<Answer> ask(Request request, std::span<const std::byte> payload = {}, int fd = -1) noexcept {
    if (payload.size() > most_payload) return refused(ENAMETOOLONG);
    request.word = sizeof(void*);
    request.payload_length = static_cast<std::uint32_t>(payload.size());
    if (!payload.empty()) std::memcpy(request.payload.data(), payload.data(), payload.size());
    if (const auto sent = connection_.send(request, std::span<const int>(&fd, fd < 0 ? 0 : 1)); !sent) {
      return of_connection(sent.error());
    }
    for (;;) {
      auto got = connection_.receive<Reply, 1>(0);
      if (!got) return of_connection(got.error());
      const Reply& reply = got->record;
      if (reply.payload_length > most_payload) return end();
      if (reply.step == Step::finish) {
        if (reply.result < 0) return refused(static_cast<int>(-reply.result));
        Answer answer{.result = reply.result, .reply = reply};
        if (got->fds.size() == 1) answer.fd = got->fds.take(0);
        return answer;
      }
      const Request copied{.ask = Ask::copied, .word = sizeof(void*), .number = EFAULT};
      if (const auto sent = connection_.send(copied); !sent) return of_connection(sent.error());
    }
  }
  // One about a path.
  Result<Answer> ask(Ask what, std::string_view path, std::uint64_t number = 0) noexcept {
    return ask({.ask = what, .number = number}, std::as_bytes(std::span(path)));
  }

  Result<FileStatus> look_up(std::string_view path) noexcept {
    const auto answer = ask(Ask::look_up, path);
    if (!answer) return answer.error();
    FileStatus status;
    if (!answer->take(status)) return end();
    return status;
  }
  // All paths that the server has, a line each; one that ends with '/' stands for all below it too.
  Result<std::string> paths() { return text_of(ask({.ask = Ask::hello, .number = protocol_version})); }
  // The names in a directory, a line each; directories end with '/'.
  Result<std::string> list(std::string_view path) { return text_of(ask(Ask::list, path)); }
  // `flags`: open's. The descriptor of what is there, for the requests that take one.
  Result<backing::OwnedFd> open(std::string_view path, int flags) noexcept {
    auto answer = ask(Ask::open, path, static_cast<std::uint64_t>(flags));
    if (!answer) return answer.error();
    if (answer->fd.get() < 0) return end();
    return std::move(answer->fd);
  }

  // The server is gone, and every request fails.
  bool has_ended() const noexcept { return has_ended_ || connection_.has_ended(); }
  // To be waited for (poll, POLLRDHUP): it stays the client's.
  int fd() const noexcept { return connection_.fd(); }

 private:
  static constexpr const char* node = "connection";

  explicit Client(Connection connection) noexcept : connection_(std::move(connection)) {}

  static Error cannot_connect() noexcept {
    if (errno == ECONNREFUSED || errno == ENOENT) return {.code = ErrorCode::no_device};
    if (errno == EACCES || errno == EPERM) return {.code = ErrorCode::no_access};
    return detail::share_failure(node);
  }
  static Error refused(int os_error) noexcept {
    Error error = Error::of_node(ErrorCode::node_failure, "server", "");
    error.os_error = os_error;
    return error;
  }
  // It did not keep to the protocol, or to the time: what it says from here on is no answer to anything.
  Error end() noexcept {
    has_ended_ = true;
    ::shutdown(connection_.fd(), SHUT_RDWR);
    return {.code = ErrorCode::connection_ended};
  }
  Error of_connection(const Error& error) noexcept {
    const bool is_mute = error.code == ErrorCode::node_failure && error.os_error == EAGAIN;
    if (is_mute || error.code == ErrorCode::connection_ended) return end();
    if (error.code != ErrorCode::bad_message) return error;
    const bool lacks_descriptor = error.asked == error.available;  // all came but that
    return lacks_descriptor ? Error{.code = ErrorCode::limit_reached, .os_error = EMFILE} : end();
  }

  // What the file that came along holds.
  Result<std::string> text_of(Result<Answer> answer) {
    if (!answer) return answer.error();
    if (answer->fd.get() < 0) return end();
    std::string text(static_cast<std::size_t>(answer->result), '\0');
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t length = ::pread(answer->fd.get(), text.data() + at, text.size() - at, static_cast<off_t>(at));
      if (length <= 0) return end();
      at += static_cast<std::size_t>(length);
    }
    return text;
  }

  Connection connection_;
  bool has_ended_ = false;
};

}  // namespace freestone::linux_user
