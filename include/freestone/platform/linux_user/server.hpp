// A server of devices: programs connect, and a thread serves each connection.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/backing/os/node.hpp>
#include <freestone/core/result.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/platform/linux_user/access.hpp>
#include <freestone/platform/linux_user/device_files.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/protocol.hpp>
#include <freestone/platform/linux_user/server_call.hpp>
#include <freestone/platform/linux_user/tree.hpp>
#include <freestone/platform/linux_user/views.hpp>
#include <freestone/share/os/failure.hpp>
#include <freestone/share/os/fd_message.hpp>

namespace freestone::linux_user {

// The address of a socket's name; one that begins with '@' is no file. Empty where it is too long.
inline socklen_t socket_address(std::string_view name, sockaddr_un& address) noexcept {
  address = {};
  address.sun_family = AF_UNIX;
  if (name.empty() || name.size() >= sizeof address.sun_path) return 0;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (name.front() == '@') address.sun_path[0] = '\0';
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
}

// Serves the nodes of a tree to whoever connects, as far as their modes let him. The tree outlives it.
class Server {
 public:
  // Listens under that name. Errors: in_use, bad_name, limit_reached, node_failure.
  static Result<std::unique_ptr<Server>> create(const Tree& tree, const std::string& name) {
    sockaddr_un address;
    const socklen_t length = socket_address(name, address);
    if (length == 0) return ErrorCode::bad_name;
    backing::OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.get() < 0) return detail::share_failure("server");
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
        ::listen(socket.get(), 128) != 0) {
      return errno == EADDRINUSE ? Error{.code = ErrorCode::in_use} : detail::share_failure("server");
    }
    auto watch = FileWatch::create();
    if (!watch) return watch.error();
    backing::OwnedFd stop(::eventfd(0, EFD_CLOEXEC));
    if (stop.get() < 0) return detail::share_failure("server");
    ::signal(SIGIO, SIG_IGN);  // a lease of ours that somebody's open breaks
    return std::unique_ptr<Server>(new Server(tree, std::move(socket), *std::move(watch), std::move(stop)));
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() { wait_for_connections(); }

  // Until `stop`. Then connections are ended, and their threads.
  void run() {
    pollfd ready[] = {{socket_.get(), POLLIN, 0}, {files_.fd(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    while ((ready[2].revents & POLLIN) == 0) {
      const int rest = soonest(ready[0].fd < 0 ? 20 : -1, ready[1].fd < 0 ? 10 : -1);
      const int came = ::poll(ready, 3, soonest(files_.again(), rest));
      if (came < 0 && errno == EINTR) continue;
      if (came < 0) break;
      // Who asks looks himself who let go before. So where it is told of often, it is looked at here now and then only,
      // and does not stand in the way of who is being served.
      const bool is_told = (ready[1].revents & POLLIN) != 0;
      if (came == 0 || is_told) files_.reap();
      ready[1].fd = is_told ? -1 : files_.fd();
      // Where there is no room for one more, who connects waits; after a while it is tried again.
      const bool is_full = (ready[0].revents & POLLIN) != 0 && !accept_one();
      ready[0].fd = is_full ? -1 : socket_.get();
    }
    wait_for_connections();
    files_.reap();
  }
  // From any thread, or a signal handler.
  void stop() noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(stop_.get(), &one, sizeof one));
  }

  OpenFiles& files() noexcept { return files_; }
  Views& views() noexcept { return views_; }
  std::size_t connection_count() {
    const std::lock_guard turn(mutex_);
    return served_.size();
  }

 private:
  struct Served {
    Served(Server& server, Connection connection) : server(server), connection(std::move(connection)) {}

    Server& server;
    Connection connection;
    Program program;
    std::vector<std::uint64_t> inherited = {};   // views, told by Ask::control
    std::shared_ptr<Control> control = nullptr;  // where the server asks, and not the program
    std::list<Served>::iterator place;
  };

  static constexpr std::size_t most_parts = most_payload / sizeof(MapPart);
  static constexpr std::size_t most_views = 4096;  // of a process that begins with some

  Server(const Tree& tree, backing::OwnedFd socket, FileWatch watch, backing::OwnedFd stop)
      : tree_(tree), socket_(std::move(socket)), stop_(std::move(stop)), files_(std::move(watch)) {
    files_.before_settling([this] { wait_for_ended(); });
  }

  // Of two waits in milliseconds the shorter; -1: without end.
  static int soonest(int one, int other) noexcept {
    return one < 0 ? other : other < 0 ? one : std::min(one, other);
  }

  // False where this process has no room for one more connection.
  bool accept_one() {
    backing::OwnedFd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket.get() < 0) return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
    ucred who{};
    socklen_t length = sizeof who;
    const bool is_known = ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) == 0;
    if (!is_known) return true;
    const Program program{.process = static_cast<std::uint64_t>(who.pid), .standing = standing_of(socket.get(), who)};
    static_cast<void>(has_memory([&] { start(std::move(socket), program); }));  // where not, he finds it closed
    return true;
  }
  void start(backing::OwnedFd socket, const Program& program) {
    auto connection = Connection::of(std::move(socket));
    if (!connection) return;
    const std::lock_guard turn(mutex_);
    const auto served = served_.emplace(served_.end(), *this, *std::move(connection));
    served->place = served;
    served->program = program;
    if (!start_thread(*served)) served_.erase(served);
  }
  // A thread of its own, with as much stack as serving takes.
  static bool start_thread(Served& served) noexcept {
    pthread_attr_t attributes;
    if (::pthread_attr_init(&attributes) != 0) return false;
    pthread_t thread;
    const bool is_started = ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                            ::pthread_attr_setstacksize(&attributes, std::size_t{512} << 10) == 0 &&
                            ::pthread_create(&thread, &attributes, &serve_in_thread, &served) == 0;
    ::pthread_attr_destroy(&attributes);
    return is_started;
  }
  static void* serve_in_thread(void* one) {
    auto& served = *static_cast<Served*>(one);
    served.server.serve(served.place);
    return nullptr;
  }

  void serve(std::list<Served>::iterator served) {
    ServerPlatform::served_process = served->program.process;
    while (serve_one(*served)) {
    }
    if (served->control != nullptr) views_.remove(served->control), served->control->end();
    const std::lock_guard turn(mutex_);
    const std::uint64_t process = served->program.process;
    served_.erase(served);
    const bool is_gone = std::ranges::none_of(served_, [&](const Served& one) { return one.program.process == process; });
    if (is_gone) views_.forget(process);
    gone_.notify_all();
  }
  // Until those are gone whose programs are; but no longer than 20 ms. So what a dead process mapped is not his any more.
  void wait_for_ended() {
    std::unique_lock turn(mutex_);
    const auto has_ended = [](const Served& one) {
      pollfd end{one.connection.fd(), 0, 0};
      return ::poll(&end, 1, 0) > 0;
    };
    gone_.wait_for(turn, std::chrono::milliseconds(20), [&] { return std::ranges::none_of(served_, has_ended); });
  }
  void wait_for_connections() {
    std::unique_lock turn(mutex_);
    for (const Served& one : served_) ::shutdown(one.connection.fd(), SHUT_RDWR);
    gone_.wait(turn, [&] { return served_.empty(); });
  }

  // False where there will be no more.
  bool serve_one(Served& served) {
    if (served.control != nullptr) return wait_for_end(served.connection), false;
    auto message = served.connection.receive<Request, 1>(0);
    if (!message) return ServerCall::is_cut(message.error()) && refuse_cut(served);
    const Request& request = message->record;
    if (request.payload_length > most_payload) return false;
    if (request.ask == Ask::parts || request.ask == Ask::control) return serve_view(served, request);
    files_.reap();
    ServerCall call(served.connection, request, served.program, files_, &views_);
    // Its descriptor goes before the answer does: so what the program closes after that is closed.
    auto file = message->fds.size() == 1 ? files_.find(message->fds[0]) : nullptr;
    const int opened_for = request.ask == Ask::map && file != nullptr ? ::fcntl(message->fds[0], F_GETFL) & O_ACCMODE : 0;
    message->fds = {};
    bool is_known = true;
    const auto answer = [&] { is_known = serve(call, request, served.program, std::move(file), opened_for); };
    if (!has_memory(answer)) refuse(call, device::Errno::no_memory);
    if (!is_known) return false;
    if (!call.is_finished()) call.finish(-static_cast<std::int64_t>(device::Errno::invalid));
    return !call.is_broken();
  }

  // False where there is no such request. `opened_for`: O_RDONLY and so on, of the descriptor that came, where it is to be mapped.
  bool serve(ServerCall& call, const Request& request, const Program& program, std::shared_ptr<OpenFile> file, int opened_for) {
    switch (request.ask) {
      case Ask::hello: hello(call, request); break;
      case Ask::look_up: look_up(call, path_of(request)); break;
      case Ask::list: list(call, path_of(request)); break;
      case Ask::open: open(call, path_of(request), static_cast<int>(request.number)); break;
      case Ask::access: access(call, path_of(request), request.number); break;
      case Ask::unmapped: views_.close(request.number, program.process), call.finish(0); break;
      case Ask::leaving: files_.leaving(program.process), call.finish(0); break;
      case Ask::map: map(call, request, program, std::move(file), opened_for); break;
      case Ask::ioctl:
      case Ask::who:
      case Ask::refresh:
      case Ask::write: of_file(call, request, std::move(file)); break;
      default: return false;
    }
    return true;
  }

  void map(ServerCall& call, const Request& request, const Program& program, std::shared_ptr<OpenFile> file, int opened_for) {
    const auto protection = static_cast<int>(request.number & 0xffffffff);
    const bool is_shared = (request.number >> 32 & MAP_TYPE) != MAP_PRIVATE;
    if (file == nullptr) return refuse(call, device::Errno::bad_file);
    if (opened_for == O_WRONLY || (opened_for == O_RDONLY && is_shared && (protection & PROT_WRITE) != 0)) {
      return refuse(call, device::Errno::no_access);
    }
    OpenFile::Kept kept;
    const auto answer = file->map(call, request.address, request.length, protection, kept);
    if (answer.is_error()) return refuse(call, answer.error());
    const auto view = views_.open(file, request.address, request.length, opened_for == O_RDONLY, program.process, std::move(kept));
    file = nullptr, kept = nullptr;
    call.finish(view.value());
  }

  // What a program asks because the server asked it: who waits for that may be in the middle of `reap`.
  bool serve_view(Served& served, const Request& request) {
    ServerCall call(served.connection, request, served.program, files_);
    const auto answer = [&] { request.ask == Ask::parts ? send_parts(call, request) : take_control(call, served, request); };
    if (!has_memory(answer)) refuse(call, device::Errno::no_memory);
    return !call.is_broken();
  }
  void send_parts(ServerCall& call, const Request& request) {
    const auto view = views_.find(request.number);
    if (!view || (request.address > view->length && request.address != no_part)) return refuse(call, device::Errno::no_entry);
    const auto file = view->file.lock();
    std::array<MapPart, most_parts> parts;
    std::array<MapPiece, most_parts> pieces;
    std::array<int, most_parts> fds{};
    std::size_t count = 0;
    const std::uint64_t end = view->offset + view->length;
    std::uint64_t at = view->offset + std::min(request.address, view->length);
    while (at < end && count != most_parts) {
      auto piece = file == nullptr ? std::nullopt : file->piece(at);
      if (!piece || piece->at >= end) {
        at = end;
        break;
      }
      const std::uint64_t from = std::max(at, piece->at), to = std::min(end, piece->at + piece->length);
      parts[count] = {from - view->offset, piece->offset + (from - piece->at), to - from, static_cast<std::uint32_t>(count), 0};
      if (view->is_only_read && !make_only_read(piece->fd)) return refuse(call, device::Errno::too_many_files_here);
      fds[count] = piece->fd.get();
      pieces[count++] = *std::move(piece);
      at = to;
    }
    const Reply reply{.step = Step::finish, .result = static_cast<std::int64_t>(at - view->offset), .address = view->changes};
    call.finish(reply, std::as_bytes(std::span(parts).first(count)), std::span(fds).first(count));
  }
  // So no mapping of it can ever be written (mprotect).
  static bool make_only_read(backing::OwnedFd& fd) noexcept {
    std::array<char, 32> path;
    std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd.get());
    fd = backing::OwnedFd(::open(path.data(), O_RDONLY | O_CLOEXEC));
    return fd.get() >= 0;
  }
  void take_control(ServerCall& call, Served& served, const Request& request) {
    std::array<std::uint64_t, most_payload / sizeof(std::uint64_t)> numbers{};
    std::memcpy(numbers.data(), request.payload.data(), request.payload_length);
    const auto came = std::span(numbers).first(request.payload_length / sizeof(std::uint64_t));
    if (served.inherited.size() + came.size() > most_views) return refuse(call, device::Errno::invalid);
    served.inherited.insert(served.inherited.end(), came.begin(), came.end());
    if (request.number != 0) {
      served.control = std::make_shared<Control>(served.connection, served.program.process);
      views_.add(served.control, served.inherited);
    }
    call.finish(0);
  }
  static void wait_for_end(const Connection& connection) noexcept {
    pollfd end{connection.fd(), POLLRDHUP, 0};
    while (::poll(&end, 1, -1) < 0 && errno == EINTR) {
    }
  }

  bool refuse_cut(Served& served) {
    const Request none;
    ServerCall call(served.connection, none, served.program, files_);
    refuse(call, device::Errno::too_many_files_here);
    return !call.is_broken();
  }

  static std::string_view path_of(const Request& request) noexcept {
    return {reinterpret_cast<const char*>(request.payload.data()), request.payload_length};
  }
  static void refuse(ServerCall& call, device::Errno why) { call.finish(-static_cast<std::int64_t>(why)); }

  // A text as a file that its reader has to himself.
  void send_text(ServerCall& call, const std::string& text) {
    const auto file = ServedFile::create_text("freestone");
    if (!file) return refuse(call, ServerCall::errno_of_host(file.error()));
    if (!file->write_text(text.data(), text.size())) return refuse(call, device::Errno::no_memory);
    const auto fd = file->open(O_RDONLY);
    if (!fd) return refuse(call, device::Errno::too_many_files_here);
    call.finish(static_cast<std::int64_t>(text.size()), *fd);
  }
  void hello(ServerCall& call, const Request& request) {
    if (request.number != protocol_version) return refuse(call, device::Errno::invalid);
    send_text(call, tree_.paths());
  }
  void list(ServerCall& call, std::string_view path) {
    if (!tree_.is_directory(path)) return refuse(call, device::Errno::no_entry);
    send_text(call, tree_.list(path));
  }
  static void send_status(ServerCall& call, const FileStatus& status) {
    call.finish({.step = Step::finish, .result = 0}, std::as_bytes(std::span(&status, 1)));
  }
  void look_up(ServerCall& call, std::string_view path) {
    const FileStatus status = tree_.status(path);
    if (status.kind == FileKind::none) return refuse(call, device::Errno::no_entry);
    send_status(call, status);
  }
  void access(ServerCall& call, std::string_view path, std::uint64_t wanted) {
    const FileStatus status = tree_.status(path);
    if (status.kind == FileKind::none) return refuse(call, device::Errno::no_entry);
    if (wanted > (R_OK | W_OK | X_OK)) return refuse(call, device::Errno::invalid);
    const bool may = allows(status.mode, call.program().standing, static_cast<std::uint32_t>(wanted));
    may ? call.finish(0) : refuse(call, device::Errno::no_access);
  }
  void open(ServerCall& call, std::string_view path, int flags) {
    const auto node = tree_.find(path);
    if (node == nullptr) return refuse(call, tree_.is_directory(path) ? device::Errno::is_directory : device::Errno::no_entry);
    if (!allows(node->mode, call.program().standing, wanted_by(flags))) return refuse(call, device::Errno::no_access);
    auto why = device::Errno::no_memory;
    const auto file = node->open(call, flags, why);
    if (file == nullptr) return refuse(call, why);
    constexpr int kept = O_ACCMODE | O_DSYNC | O_SYNC | O_NONBLOCK | O_APPEND;
    const auto fd = call.give(file, flags & kept);
    if (!fd) return refuse(call, ServerCall::errno_of_host(fd.error()));
    call.finish(0, *fd, static_cast<std::uint32_t>(flags & O_CLOEXEC));
  }
  // Once the answer is out the program may close the file: so it is no more this call's then.
  void of_file(ServerCall& call, const Request& request, std::shared_ptr<OpenFile> file) {
    if (file == nullptr) return refuse(call, device::Errno::bad_file);
    if (request.ask == Ask::who) {
      const FileStatus status = file->status();
      return file = nullptr, send_status(call, status);
    }
    const auto answer = request.ask == Ask::ioctl     ? file->ioctl(call, device::Command{static_cast<std::uint32_t>(request.number)}, request.address)
                        : request.ask == Ask::refresh ? file->refresh()
                                                      : file->write(path_of(request));
    file = nullptr;
    call.finish(answer.value());
  }

  const Tree& tree_;
  backing::OwnedFd socket_;
  backing::OwnedFd stop_;
  Views views_;
  OpenFiles files_;
  std::mutex mutex_;
  std::condition_variable gone_;
  std::list<Served> served_;
};

}  // namespace freestone::linux_user
