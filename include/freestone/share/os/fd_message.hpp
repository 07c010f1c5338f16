// Records and file descriptors between two processes, over a connected Unix socket.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/backing/os/node.hpp>
#include <freestone/core/result.hpp>
#include <freestone/share/os/failure.hpp>

namespace freestone {

// Up to `most` descriptors. Those that nobody took out are closed at its end.
template <std::size_t most>
class FdList {
 public:
  FdList() noexcept { fds_.fill(-1); }
  FdList(FdList&& other) noexcept : FdList() { swap(other); }
  FdList& operator=(FdList&& other) noexcept {
    FdList next(std::move(other));
    swap(next);
    return *this;
  }
  ~FdList() {
    for (std::size_t at = 0; at < count_; ++at) static_cast<void>(take(at));
  }

  std::size_t size() const noexcept { return count_; }
  // It stays the list's. -1 where none came, or it was taken out. (at < most; so of `take`)
  int operator[](std::size_t at) const noexcept { return fds_[at]; }
  backing::OwnedFd take(std::size_t at) noexcept { return backing::OwnedFd(std::exchange(fds_[at], -1)); }

  // The list's from here on. False where it has `most`, and then it is still the caller's.
  bool add(int fd) noexcept {
    if (count_ == most) return false;
    fds_[count_++] = fd;
    return true;
  }

 private:
  void swap(FdList& other) noexcept {
    std::swap(fds_, other.fds_);
    std::swap(count_, other.count_);
  }

  std::array<int, most> fds_;
  std::size_t count_ = 0;
};

// A record may go from process to process: plain bytes, and none of them padding, in which something else of the
// sender's would go along. Whoever receives one may find any bits in it, so let all its fields be integers, and check
// them. This is not looked at here, for nothing tells what a struct's fields are: a bool or an enumeration with bits that
// none of its values has may be undefined behaviour, and a pointer shows where the sender's memory lies.
template <class R>
concept MessageRecord = std::is_trivially_copyable_v<R> && std::has_unique_object_representations_v<R>;

template <MessageRecord R, std::size_t most>
struct Message {
  R record;
  FdList<most> fds;
};

// Whether a call may sleep until the other side has done something.
enum class Waiting : bool { no, yes };

// Who made the other end, as the kernel knows it.
struct PeerProcess {
  pid_t pid = 0;  // as this process's PID namespace counts; 0 where it is not in it
  uid_t uid = 0;
  gid_t gid = 0;
  backing::OwnedFd process = backing::OwnedFd(-1);  // a pidfd: can be read (poll) once the process has died

  // False also where the kernel does not say.
  bool has_died() const noexcept {
    const int seen = detail::events_now(process.get(), POLLIN);
    return seen > 0 && (seen & POLLIN) != 0;
  }
};

// One end of a connection: a Unix socket of type SOCK_SEQPACKET, on which records stay apart. Several threads may send
// and receive; each record comes once, whole or not at all.
class Connection {
 public:
  static constexpr std::size_t most_fds = 253;  // that Linux sends at once (unix(7), SCM_RIGHTS)

  struct Ends;
  // Both ends, for a child that is about to be forked. Errors: limit_reached, out_of_memory, node_failure.
  static Result<Ends> pair() noexcept;

  // A socket that somebody connected or accepted; it is closed where it is none of these: foreign_file, with errno where
  // the kernel refused to say. Whatever else it was told to receive with each message (SO_PASSCRED, SO_PASSPIDFD...) it
  // is told no more; whoever has a copy of it can tell it again, and then its messages are bad ones, or as they are.
  static Result<Connection> of(backing::OwnedFd socket) noexcept {
    sockaddr_storage other{};
    socklen_t length = sizeof other;
    errno = 0;
    const bool is_one = option(socket.get(), SO_DOMAIN) == AF_UNIX && option(socket.get(), SO_TYPE) == SOCK_SEQPACKET &&
                        ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&other), &length) == 0;
    if (!is_one) return Error{.code = ErrorCode::foreign_file, .os_error = errno};
    for (const int asked : {SO_PASSCRED, SO_PASSSEC, SO_TIMESTAMP, pass_pidfd}) {
      const int off = 0;
      static_cast<void>(::setsockopt(socket.get(), SOL_SOCKET, asked, &off, sizeof off));  // not all kernels know all
    }
    return Connection(std::move(socket));
  }

  // The record, and descriptors that stay the caller's. Errors: connection_ended; node_failure (EAGAIN: there is no
  // room now, and it is not to wait; EINVAL: more than most_fds; EBADF: one is not open), limit_reached (too many
  // descriptors on their way), out_of_memory; then nothing was sent. No signal is raised.
  //
  // A server does not wait (Waiting::no): else whoever reads nothing stops it. connection_ended says that the other side
  // reads no more; it may live and send, so has_ended may be false then. (Peers::send minds both.)
  template <MessageRecord R>
  Result<void> send(const R& record, std::span<const int> fds = {}, Waiting waiting = Waiting::yes) const noexcept {
    if (fds.size() > most_fds) return errno = EINVAL, detail::share_failure(node);
    iovec bytes{const_cast<R*>(&record), sizeof record};
    alignas(cmsghdr) std::byte control[CMSG_SPACE(most_fds * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    if (!fds.empty()) put_fds(message, control, fds);
    const int flags = MSG_NOSIGNAL | (waiting == Waiting::no ? MSG_DONTWAIT : 0);
    ssize_t sent = 0;
    do sent = ::sendmsg(socket_.get(), &message, flags);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? failure() : Error{};
  }
  template <MessageRecord R>
  Result<void> send(const R& record, const backing::OwnedFd& fd, Waiting waiting = Waiting::yes) const noexcept {
    const int one = fd.get();
    return send(record, std::span<const int>(&one, 1), waiting);
  }

  // The next record, with `least` to `most` descriptors, which no program that is started inherits. Errors:
  // connection_ended: no more will come; bad_message: it is shorter or longer, or with more or fewer descriptors (fewer
  // also where this process may open no more), and then it is gone and all that came with it is closed; node_failure
  // (EAGAIN: there is none now, and it is not to wait), out_of_memory, limit_reached, and then it is still there.
  //
  // To close what came, here or later, may take as long as its sender likes, also with Waiting::no: of a file that he
  // serves himself (FUSE, fuse(4)), or of a TCP socket that he told to linger (SO_LINGER, socket(7)). Whose server
  // serves others meanwhile receives, and closes, on a thread that may wait.
  template <MessageRecord R, std::size_t most = 0>
  Result<Message<R, most>> receive(std::size_t least = most, Waiting waiting = Waiting::yes) const noexcept {
    static_assert(most <= most_fds, "No message has more descriptors than 253.");
    Message<R, most> got{};
    iovec bytes{&got.record, sizeof got.record};
    alignas(cmsghdr) std::byte control[CMSG_SPACE((most == 0 ? 1 : most) * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t length = receive(message, waiting);
    if (length < 0) return failure();
    const bool is_right = take_fds(message, got.fds) && length == sizeof got.record && got.fds.size() >= least;
    if (is_right && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) return got;
    if (length == 0 && message.msg_controllen == 0) {
      if (const Error end = error_of_last(); end) return end;
    }
    return Error{.code = ErrorCode::bad_message, .asked = sizeof got.record, .available = static_cast<std::uint64_t>(length)};
  }

  // Who connected, or who listened where this end connected; of a pair, who made it, so this process itself. It is the
  // process of that time: whoever was given the end since is not asked. Errors: connection_ended, where it has died and
  // nothing is left of it; limit_reached; node_failure, also of a process in a PID namespace that this one does not see
  // (a container's, from inside another) before Linux 6.5: it has no number here, and there is only its number to go by.
  Result<PeerProcess> peer() const noexcept {
    ucred who{};
    socklen_t length = sizeof who;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) return failure();
    auto process = peer_process(who.pid);
    if (!process) return process.error();
    return PeerProcess{.pid = who.pid, .uid = who.uid, .gid = who.gid, .process = *std::move(process)};
  }

  // Nothing is sent or comes any more, but for what came already. False also where the kernel does not say.
  bool has_ended() const noexcept { return error_of_end().code == ErrorCode::connection_ended; }

  // To be waited for (poll): it stays the connection's.
  int fd() const noexcept { return socket_.get(); }

  // For kernels that have no SO_PEERPIDFD (before 6.5): the process of that number, as long as the connection has not
  // ended; for a process that dies takes its end along, and its number is given out again only later. (One that left its
  // end to a child of its own is not noticed: then it may be another's number.) Errors: as peer().
  Result<backing::OwnedFd> process_by_number(pid_t pid) const noexcept {
    backing::OwnedFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (process.get() < 0) return errno == ESRCH ? Error{.code = ErrorCode::connection_ended} : detail::share_failure(node);
    if (const Error end = error_of_end(); end) return end;
    return process;
  }

 private:
  static constexpr const char* node = "connection";
  // Of asm-generic/socket.h, which x86 and arm have; older headers lack them.
  static constexpr int pass_pidfd = 76;      // SO_PASSPIDFD
  static constexpr int peer_pidfd = 77;      // SO_PEERPIDFD
  static constexpr int message_pidfd = 0x04;  // SCM_PIDFD

  explicit Connection(backing::OwnedFd socket) noexcept : socket_(std::move(socket)) {}

  static int option(int socket, int name) noexcept {
    int value = -1;
    socklen_t length = sizeof value;
    return ::getsockopt(socket, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
  }

  // None as long as it has not ended; that of poll, where the kernel does not say.
  Error error_of_end() const noexcept {
    const int seen = detail::events_now(socket_.get(), POLLRDHUP);
    if (seen < 0) return detail::share_failure(node);
    return {.code = (seen & (POLLRDHUP | POLLHUP)) != 0 ? ErrorCode::connection_ended : ErrorCode::none};
  }

  // The same, but none while records lie here that the other side sent before: an empty one looks like the end.
  Error error_of_last() const noexcept {
    const Error end = error_of_end();
    if (end.code != ErrorCode::connection_ended) return end;
    int bytes = 0;
    if (::ioctl(socket_.get(), FIONREAD, &bytes) != 0) return detail::share_failure(node);
    return bytes == 0 ? end : Error();
  }

  static Error failure() noexcept {
    const bool is_end = errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN || errno == ESRCH;
    return is_end ? Error{.code = ErrorCode::connection_ended} : detail::share_failure(node);
  }

  static void put_fds(msghdr& message, std::byte* control, std::span<const int> fds) noexcept {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }

  // That the other end went with records unread (ECONNRESET) is said once, and before those of its own that came.
  ssize_t receive(msghdr& message, Waiting waiting) const noexcept {
    const int flags = MSG_CMSG_CLOEXEC | (waiting == Waiting::no ? MSG_DONTWAIT : 0);
    ssize_t length = 0;
    do length = ::recvmsg(socket_.get(), &message, flags);
    while (length < 0 && (errno == EINTR || errno == ECONNRESET));
    return length;
  }

  // All that came is in the list, or closed: false where there was too much. A process that the kernel adds, because
  // somebody asked it to, is none of the sender's files.
  template <std::size_t most>
  static bool take_fds(msghdr& message, FdList<most>& fds) noexcept {
    bool fit = true;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET) continue;
      const bool is_sent = header->cmsg_type == SCM_RIGHTS;
      if (!is_sent && header->cmsg_type != message_pidfd) continue;
      const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t at = 0; at < count; ++at) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + at * sizeof(int), sizeof fd);
        if (is_sent && fds.add(fd)) continue;
        if (fd >= 0) ::close(fd);
        fit = fit && !is_sent;
      }
    }
    return fit;
  }

  Result<backing::OwnedFd> peer_process(pid_t pid) const noexcept {
    int fd = -1;
    socklen_t length = sizeof fd;
    if (::getsockopt(socket_.get(), SOL_SOCKET, peer_pidfd, &fd, &length) == 0) return backing::OwnedFd(fd);
    if (errno == EINVAL) return ErrorCode::connection_ended;  // Linux 6.12 says so of who has died and was waited for
    if (errno != ENOPROTOOPT) return failure();
    return process_by_number(pid);
  }

  backing::OwnedFd socket_;
};

struct Connection::Ends {
  Connection here;
  Connection there;
};

inline Result<Connection::Ends> Connection::pair() noexcept {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return detail::share_failure(node);
  return Ends{Connection(backing::OwnedFd(ends[0])), Connection(backing::OwnedFd(ends[1]))};
}

}  // namespace freestone
