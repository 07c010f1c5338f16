// A client of a device server that says exactly what a test tells it to, right or wrong; and servers to say it to.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <freestone/platform/linux_user/protocol.hpp>
#include <freestone/platform/linux_user/server.hpp>
#include <freestone/share/keyed_tag.hpp>
#include <freestone/share/os/fd_message.hpp>

#include "../../examples/interposer/device_board.hpp"

namespace freestone::tests {

using linux_user::Ask;
using linux_user::Reply;
using linux_user::Request;
using linux_user::Step;

// ION's ALLOC since 4.12, dma-heap's, and two of dma-buf's, as linux/ion.h, dma-heap.h and dma-buf.h number them.
struct IonAllocation {
  std::uint64_t length = 0;
  std::uint32_t mask = 0;
  std::uint32_t flags = 0;
  std::uint32_t fd = 0;
  std::uint32_t unused = 0;
};
struct DmaHeapAllocation {
  std::uint64_t length = 0;
  std::uint32_t fd = 0;
  std::uint32_t fd_flags = O_RDWR;
  std::uint64_t heap_flags = 0;
};
inline constexpr std::uint64_t ion_alloc = 0xC0184900, dma_heap_alloc = 0xC0184800;
inline constexpr std::uint64_t dma_buf_sync = 0x40086200, dma_buf_set_name = 0x40086201;

inline constexpr const char* reports = "/sys/kernel/debug/ion/";

// What came of a request. `has_ended`: no answer came, and none will.
struct Answered {
  std::int64_t result = 0;
  backing::OwnedFd fd = backing::OwnedFd(-1);
  Reply reply = {};
  bool has_ended = false;

  template <class T>
  T payload() const {
    T value{};
    std::memcpy(&value, reply.payload.data(), sizeof value);
    return value;
  }
};

// Its memory is the calling process's own.
class ServerClient {
 public:
  static backing::OwnedFd connected(const std::string& name) {
    sockaddr_un address;
    const socklen_t length = linux_user::socket_address(name, address);
    backing::OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const bool is_there = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0;
    return is_there ? std::move(socket) : backing::OwnedFd(-1);
  }
  explicit ServerClient(const std::string& name) : socket_(connected(name)) {}

  bool is_connected() const { return socket_.get() >= 0; }
  int socket() const { return socket_.get(); }
  void disconnect() { socket_ = backing::OwnedFd(-1); }

  // Any bytes, with any descriptors. False where the other side has ended.
  bool send_bytes(std::span<const std::byte> bytes, std::span<const int> fds = {}, int flags = 0) {
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(8 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(fds.size_bytes());
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    return ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | flags) == static_cast<ssize_t>(bytes.size());
  }
  bool send(const Request& request, int fd = -1) {
    return send_bytes(std::as_bytes(std::span(&request, 1)), std::span<const int>(&fd, fd < 0 ? 0 : 1));
  }
  // What comes next: an answer or a step.
  Answered receive() {
    Answered got;
    iovec part{&got.reply, sizeof got.reply};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t length = 0;
    do length = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    got.has_ended = length != static_cast<ssize_t>(sizeof got.reply);
    got.result = got.has_ended ? -1 : got.reply.result;
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return got;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    got.fd = backing::OwnedFd(fd);
    return got;
  }
  // The server sends nothing for so long.
  bool is_mute_for(int milliseconds) {
    pollfd one{socket_.get(), POLLIN, 0};
    return ::poll(&one, 1, milliseconds) == 0;
  }

  // The answer to a step.
  Request copied(const Reply& step) {
    Request answer{.ask = Ask::copied};
    void* const there = reinterpret_cast<void*>(static_cast<std::uintptr_t>(step.address));
    if (step.step == Step::copy_in) {
      answer.payload_length = static_cast<std::uint32_t>(step.length);
      std::memcpy(answer.payload.data(), there, static_cast<std::size_t>(step.length));
    } else {
      std::memcpy(there, step.payload.data(), step.payload_length);
    }
    return answer;
  }
  // A request, and all steps to its answer.
  Answered ask(const Request& request, int fd = -1) {
    if (!send(request, fd)) return {.result = -1, .has_ended = true};
    for (;;) {
      Answered got = receive();
      if (got.has_ended || got.reply.step == Step::finish) return got;
      if (!send(copied(got.reply))) return {.result = -1, .has_ended = true};
    }
  }

  static Request with_path(Ask what, std::string_view path, std::uint64_t number = 0) {
    Request request{.ask = what, .number = number, .payload_length = static_cast<std::uint32_t>(path.size())};
    std::memcpy(request.payload.data(), path.data(), path.size());
    return request;
  }
  Answered hello(std::uint64_t version = linux_user::protocol_version) { return ask({.ask = Ask::hello, .number = version}); }
  Answered open(std::string_view path, int flags = O_RDWR | O_CLOEXEC) {
    return ask(with_path(Ask::open, path, static_cast<std::uint64_t>(flags)));
  }
  Answered ioctl(int fd, std::uint64_t command, const void* argument) {
    return ask({.ask = Ask::ioctl, .number = command, .address = reinterpret_cast<std::uintptr_t>(argument)}, fd);
  }
  Answered allocate(int ion, std::uint64_t length, std::uint32_t mask = 1) {
    const IonAllocation wanted{.length = length, .mask = mask};
    return ioctl(ion, ion_alloc, &wanted);
  }
  Answered who(int fd) { return ask({.ask = Ask::who}, fd); }
  // The number in a report; -1: there is none.
  long long number(const std::string& report) {
    const Answered opened = open(reports + report, O_RDONLY | O_CLOEXEC);
    std::array<char, 64> text{};
    if (opened.fd.get() < 0 || ::pread(opened.fd.get(), text.data(), text.size() - 1, 0) <= 0) return -1;
    return std::atoll(text.data());
  }

 private:
  backing::OwnedFd socket_;
};

inline constexpr std::string_view server_board = R"(
[[heap]]
name = "system"
id = 0
type = "system"
size = "16M"
base = 0x4000_0000
[[heap]]
name = "carveout"
id = 1
type = "carveout"
size = "1M"
base = 0x6000_0000
[[node]]
system = "ion-g4"
[[node]]
system = "dma-heap"
)";

inline std::string unused_name() {
  static int count = 0;
  return "@freestone-test-" + std::to_string(::getpid()) + '-' + std::to_string(++count);
}

// Of that board, in this process.
class RunningServer {
 public:
  explicit RunningServer(std::string socket = unused_name(), std::string_view text = server_board)
      : name(std::move(socket)),
        board(*linux_user::DeviceBoard::create(text, TagKey{1, 2})),
        server(*linux_user::Server::create(board->tree(), name)) {
    board->look_after(server->files());
    thread_ = std::thread([this] { server->run(); });
  }
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;
  ~RunningServer() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    server->stop();
    thread_.join();
  }

  const std::string name;
  const std::unique_ptr<linux_user::DeviceBoard> board;
  const std::unique_ptr<linux_user::Server> server;

 private:
  std::thread thread_;
};

// The same in a process of its own, so that this one has no threads and may fork. prepare() is called there first.
class ServerProcess {
 public:
  template <class Prepare>
  explicit ServerProcess(Prepare&& prepare, std::string_view text = server_board) : name(unused_name()) {
    std::fflush(nullptr);
    pid = ::fork();
    if (pid == 0) ::_exit(serve(prepare, text));
    for (int turn = 0; turn < 3000 && ServerClient::connected(name).get() < 0; ++turn) ::usleep(10'000);
  }
  ServerProcess() : ServerProcess([] {}) {}
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess() { static_cast<void>(stop()); }
  // Its exit status: 0; other numbers where a sanitizer found something; -1: it crashed.
  int stop() {
    if (pid <= 0) return 0;
    int status = -1;
    ::kill(pid, SIGTERM);
    ::waitpid(std::exchange(pid, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string of_process(const char* what) const { return "/proc/" + std::to_string(pid) + '/' + what; }

  const std::string name;
  pid_t pid = -1;

 private:
  static inline linux_user::Server* running = nullptr;

  template <class Prepare>
  int serve(Prepare& prepare, std::string_view text) {
    prepare();
    const auto board = *linux_user::DeviceBoard::create(text, TagKey{1, 2});
    const auto server = *linux_user::Server::create(board->tree(), name);
    board->look_after(server->files());
    running = server.get();
    ::signal(SIGTERM, [](int) { running->stop(); });
    server->run();
    return server->files().count() == 0 ? 0 : 3;
  }
};

// Within ten seconds.
template <class Predicate>
bool soon(Predicate&& holds) {
  for (int turn = 0; turn < 10'000; ++turn) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

}  // namespace freestone::tests
