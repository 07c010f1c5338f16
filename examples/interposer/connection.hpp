// How the program asks its server: a connection for each thread, made when the thread first needs one.
#pragma once

#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <freestone/platform/linux_user/protocol.hpp>

#include "own_files.hpp"
#include "settings.hpp"
#include "system.hpp"

namespace freestone::interposer {

using linux_user::Ask;
using linux_user::Reply;
using linux_user::Request;
using linux_user::Step;

// Descriptors that came with an answer. Those that nobody took are closed at its end.
class CameFds {
 public:
  static constexpr std::size_t most = 8;

  CameFds() noexcept = default;
  CameFds(const CameFds&) = delete;
  CameFds& operator=(const CameFds&) = delete;
  ~CameFds() { close_all(); }

  std::size_t size() const noexcept { return count_; }
  int operator[](std::size_t at) const noexcept { return fds_[at]; }
  int take() noexcept { return count_ == 0 ? -1 : fds_[--count_]; }
  void add(int fd) noexcept { count_ < most ? void(fds_[count_++] = fd) : close_descriptor(fd); }
  void close_all() noexcept {
    while (count_ != 0) close_descriptor(take());
  }

 private:
  std::array<int, most> fds_ = {};
  std::size_t count_ = 0;
};

// What a thread has: a connection to ask on, and one more for what it asks in the middle of a request, because the server wanted
// something done, or a signal's handler asks too. They are the process's that made them: a child that was forked makes its own.
struct ThreadConnection {
  static constexpr unsigned most = 2;

  OwnFile* files[most];
  pid_t process;
  unsigned busy;  // so many of them
};
inline thread_local ThreadConnection mine __attribute__((tls_model("initial-exec"))) = {};
inline constinit pthread_key_t thread_end = 0;   // its destructor closes the thread's connection
inline constinit std::atomic<int> asked_by = 0;  // the process that has ever asked
inline constinit std::atomic<bool> was_told = false;
// Of all the server's files: its user and group.
inline constinit std::atomic<std::uint32_t> owner_user = 0, owner_group = 0;

inline void note_owner(int connection) noexcept {
  ucred who{};
  socklen_t length = sizeof who;
  if (raw(SYS_getsockopt, connection, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0) return;
  owner_user.store(who.uid, std::memory_order_relaxed);
  owner_group.store(who.gid, std::memory_order_relaxed);
}

inline void tell_that_it_is_gone() noexcept {
  if (was_told.exchange(true)) return;
  const char* const name = settings.server.value();
  const iovec text[] = {
      {const_cast<char*>("freestone: the device server "), 29},
      {const_cast<char*>(name), std::strlen(name)},
      {const_cast<char*>(" is not there (any more): its devices answer ENODEV\n"), 52},
  };
  static_cast<void>(raw(SYS_writev, 2, text, 3));
}

// A new connection. Null, and why: -EMFILE..., -ENODEV: nobody serves.
inline OwnFile* connect_server(long& error) noexcept {
  const auto fail = [&](long why) -> OwnFile* {
    error = why == -EMFILE || why == -ENFILE || why == -ENOMEM ? why : -ENODEV;
    if (error == -ENODEV) tell_that_it_is_gone();
    return nullptr;
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const char* const name = settings.server.value();
  const std::size_t length = std::strlen(name);
  if (length >= sizeof address.sun_path) return fail(-ENODEV);
  std::memcpy(address.sun_path, name, length);
  if (name[0] == '@') address.sun_path[0] = '\0';
  const long made = raw(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (made < 0) return fail(made);
  const int fd = static_cast<int>(made);
  long result = 0;
  do result = raw(SYS_connect, fd, &address, offsetof(sockaddr_un, sun_path) + length);
  while (result == -EINTR);
  if (result < 0) return close_descriptor(fd), fail(-ENODEV);
  note_owner(fd);
  OwnFile* const kept = own_files.keep(fd);
  return kept != nullptr ? kept : fail(-EMFILE);
}

// One request, and the steps to its answer.
class Talk {
 public:
  // Over a connection that is somebody else's, and stays so.
  explicit Talk(OwnFile& borrowed) noexcept : other_(&borrowed), is_borrowed_(true) {}
  Talk() noexcept {
    const pid_t process = process_number();
    const bool is_ours = mine.files[0] == nullptr || mine.process == process;
    if (is_ours && mine.busy != ThreadConnection::most) {
      mine_ = &mine.files[mine.busy++];
      if (*mine_ != nullptr && !(*mine_)->is_open()) own_files.drop(**mine_), *mine_ = nullptr;
      if (*mine_ == nullptr && (*mine_ = connect_server(error_)) != nullptr) pthread_setspecific(thread_end, &mine);
      mine.process = process;
    } else {
      other_ = connect_server(error_);  // a handler's, or that of a child which shares our memory (vfork)
    }
    if (file() != nullptr) asked_by.store(process, std::memory_order_relaxed);
  }
  Talk(const Talk&) = delete;
  Talk& operator=(const Talk&) = delete;
  ~Talk() {
    if (other_ != nullptr && !is_borrowed_) own_files.drop(*other_);
    if (mine_ != nullptr) --mine.busy;
  }

  // 0, or why there is none: -EMFILE..., -ENODEV: nobody serves.
  long error() const noexcept { return error_; }

  // The request, with `length` bytes at `bytes`, which may be no memory at all: -EFAULT, and nothing was sent.
  long send(Request& request, const void* bytes, std::size_t length, int fd) noexcept {
    static constexpr std::array<std::byte, linux_user::most_payload> zeros = {};
    constexpr std::size_t head = offsetof(Request, payload);
    request.word = sizeof(void*);
    request.payload_length = static_cast<std::uint32_t>(length);
    iovec parts[] = {{&request, head},
                     {const_cast<void*>(bytes), length},
                     {const_cast<std::byte*>(zeros.data()), sizeof(Request) - head - length}};
    alignas(cmsghdr) std::byte control[CMSG_SPACE(sizeof fd)] = {};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 3;
    if (fd >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof fd);
      std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    long sent = 0;
    do sent = raw(SYS_sendmsg, number(), &message, MSG_NOSIGNAL);
    while (sent == -EINTR);
    return sent < 0 && is_end(sent) ? gone() : std::min(sent, 0L);
  }

  // -EFAULT: the program has no such descriptor, and nothing was sent.
  long send_descriptor(Request& request, int fd) noexcept {
    return raw(fcntl_number, fd, F_GETFD, 0) < 0 ? -EFAULT : send(request, nullptr, 0, fd);
  }

  // 0; -ENODEV: the server is gone; -EMFILE: the program has no room for a descriptor that came.
  long receive(Reply& reply, CameFds& fds) noexcept {
    iovec part{&reply, sizeof reply};
    alignas(cmsghdr) std::byte control[CMSG_SPACE(CameFds::most * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    long length = 0;
    do length = raw(SYS_recvmsg, number(), &message, MSG_CMSG_CLOEXEC);
    while (length == -EINTR || length == -ECONNRESET);
    if (length != sizeof reply || reply.payload_length > linux_user::most_payload) return gone();
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t at = 0; at < count; ++at) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + at * sizeof fd, sizeof fd);
        fds.add(fd);
      }
    }
    return (message.msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : 0;
  }

 private:
  OwnFile* file() const noexcept { return mine_ != nullptr ? *mine_ : other_; }
  int number() const noexcept { return file()->fd.load(std::memory_order_acquire); }
  static bool is_end(long error) noexcept {
    return error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN || error == -EBADF || error == -ENOTSOCK;
  }
  // A later call tries again: somebody may have started the server anew.
  long gone() noexcept {
    if (mine_ != nullptr && *mine_ != nullptr) own_files.drop(**mine_), *mine_ = nullptr;
    if (!is_borrowed_) tell_that_it_is_gone();
    return -ENODEV;
  }

  OwnFile* other_ = nullptr;
  long error_ = 0;
  OwnFile** mine_ = nullptr;  // of this thread's
  bool is_borrowed_ = false;
};

// What the program has of views at that address (views.hpp, which asks too).
bool find_view_at(std::uintptr_t address, linux_user::MappedView& there) noexcept;
// What a server has it map and unmap (maps.hpp, which asks meanwhile): the address, or 0; or -errno.
std::int64_t map_for_server(const Reply& wanted, int fd) noexcept;
std::int64_t unmap_for_server(const Reply& wanted) noexcept;

// Serves the server's steps until the answer is there, to a request about that descriptor. Returns what the call came to before it:
// 0, or -errno.
inline long finish(Talk& talk, Reply& reply, CameFds& fds, int about = -1) noexcept {
  for (;;) {
    if (const long error = talk.receive(reply, fds); error != 0) return error;
    if (reply.step == Step::finish) return 0;
    Request copied{.ask = Ask::copied};
    const auto address = static_cast<std::uintptr_t>(reply.address);
    const bool is_address = address == reply.address;
    long sent = -EFAULT;
    if (reply.step == Step::copy_in && is_address && reply.length <= linux_user::most_payload) {
      sent = talk.send(copied, reinterpret_cast<const void*>(address), static_cast<std::size_t>(reply.length), -1);
    } else if (reply.step == Step::copy_out &&
               write_memory(reply.address, reply.payload.data(), reply.payload_length)) {
      sent = talk.send(copied, nullptr, 0, -1);
    } else if (reply.step == Step::descriptor) {
      const int fd = static_cast<int>(static_cast<std::uint32_t>(reply.address));
      sent = fd < 0 || own_files.is_own(fd) || raw(fcntl_number, fd, F_GETFD, 0) < 0 ? -EBADF : talk.send_descriptor(copied, fd);
    } else if (reply.step == Step::view_at && is_address) {
      linux_user::MappedView there;
      if (find_view_at(address, there)) sent = talk.send(copied, &there, sizeof there, -1);
    } else if (reply.step == Step::map || reply.step == Step::unmap) {
      const std::int64_t result = reply.step == Step::map ? map_for_server(reply, about) : unmap_for_server(reply);
      (result < 0 ? copied.number : copied.address) = static_cast<std::uint64_t>(result < 0 ? -result : result);
      sent = talk.send(copied, nullptr, 0, -1);
    }
    if (sent == -EFAULT || (sent == -EBADF && reply.step == Step::descriptor)) {
      copied.number = static_cast<std::uint64_t>(-sent);
      sent = talk.send(copied, nullptr, 0, -1);
    }
    if (sent != 0) return sent;
  }
}

// Asks, with `length` bytes (most_payload at most) and a descriptor or -1. Returns what the server answers: -errno.
inline std::int64_t ask(Request request, const void* bytes, std::size_t length, int fd, Reply& reply,
                        CameFds& fds) noexcept {
  Talk talk;
  if (talk.error() != 0) return talk.error();
  long result = talk.send(request, bytes, length, fd);
  if (result == -EFAULT) result = talk.send(request, nullptr, 0, fd);  // then the server asks for them, and is told
  if (result == 0) result = finish(talk, reply, fds, fd);
  return result != 0 ? result : reply.result;
}

// Once, where this process has ever asked: what it still has from here on, it left so.
inline void say_that_we_leave() noexcept {
  int process = process_number();
  if (!asked_by.compare_exchange_strong(process, 0)) return;
  Talk talk;
  Request request{.ask = Ask::leaving};
  Reply reply;
  CameFds fds;
  if (talk.error() == 0 && talk.send(request, nullptr, 0, -1) == 0) static_cast<void>(finish(talk, reply, fds));
}

// Before a program's first thread asks anything. Its child has none of these connections.
inline void prepare_connections() noexcept {
  pthread_key_create(&thread_end, [](void*) {
    for (OwnFile* const one : mine.files) {
      if (one != nullptr && mine.process == process_number()) own_files.drop(*one);
    }
    mine = {};
  });
}
inline void forget_connections() noexcept {
  own_files.drop_all();
  mine = {};
  asked_by.store(0, std::memory_order_relaxed);
}

}  // namespace freestone::interposer
