// Programs that say to a served node, or to /dev/ion of a generation with handles, what a test tells them to, as threads and as
// processes of their own; and the server that nothing of theirs may stay in.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <doctest/doctest.h>

#include <freestone/device/command.hpp>
#include <freestone/device/ion/calls.hpp>
#include <freestone/platform/linux_user/protocol.hpp>

#include "support/fds.hpp"
#include "support/random.hpp"
#include "support/server_client.hpp"

// In a namespace of its own, as other tests of the same program have callers and scenes too.
namespace freestone::tests::attackers {

using backing::OwnedFd;
using device::IonGeneration;
using device::WordSize;
using linux_user::MappedView;
namespace wire = freestone::device;

inline constexpr const char* ion = "/dev/ion";
inline constexpr std::uint64_t page = 4096, room = 1 << 20;
inline constexpr std::uint32_t system_heap = 1, carveout = 2;
inline constexpr std::byte filler{0xaa};

// server_board's heaps (a system heap, and a carve-out of `room` bytes) with a node of that generation.
inline std::string ion_board_of(IonGeneration generation) {
  const std::string heaps(server_board.substr(0, server_board.find("[[node]]")));
  return heaps + "[[node]]\nsystem = \"ion-g" + static_cast<char>('1' + static_cast<int>(generation)) + "\"\n";
}

// How often a race is run: two million steps are 200 of them.
inline std::uint64_t rounds() { return std::clamp<std::uint64_t>(environment("FREESTONE_TEST_STEPS", 2'000'000) / 10'000, 20, 20'000); }

// --- who attacks ---

// A connection, and how its program answers what the server asks in the middle of a call: as it should, until a test says otherwise.
class Caller {
 public:
  explicit Caller(const std::string& name, WordSize of = WordSize::bits64) : client(name), word(of) {}

  ServerClient client;
  WordSize word;
  bool faults_in = false, faults_out = false;  // its memory cannot be read, or written
  MappedView view;                             // what it says that it has, wherever it is asked; none: EFAULT
  std::function<bool(const Reply&)> instead;   // true: that step is answered

  Answered ask(Request request, int fd = -1) {
    request.word = static_cast<std::uint32_t>(word);
    if (!client.send(request, fd)) return ended();
    for (;;) {
      Answered got = client.receive();
      if (got.has_ended) return got;
      check_that_nothing_comes_along(got.reply);
      if (got.reply.step == Step::finish) return got;
      if (instead != nullptr && instead(got.reply)) continue;
      if (!answer(got.reply)) return ended();
    }
  }
  bool answer(const Reply& step) {
    Request answer{.ask = Ask::copied};
    int fd = -1;
    if (step.step == Step::descriptor) {
      fd = static_cast<int>(step.address);
      if (::fcntl(fd, F_GETFD) < 0) fd = -1, answer.number = EBADF;
    } else if (step.step == Step::view_at) {
      if (view.view == 0) answer.number = EFAULT;
      answer.payload_length = sizeof view;
      std::memcpy(answer.payload.data(), &view, sizeof view);
    } else if (step.step == Step::copy_in ? faults_in : faults_out) {
      answer.number = EFAULT;
    } else {
      answer = client.copied(step);
    }
    if (client.send(answer, fd)) return true;
    if (fd < 0 || errno != EBADF) return false;
    answer.number = EBADF;  // another thread has just closed it
    return client.send(answer);
  }
  // A report's; "none".
  std::string text(std::string_view path) {
    const auto file = client.open(path, O_RDONLY | O_CLOEXEC);
    std::string all(1 << 16, '\0');
    const ssize_t length = ::pread(file.fd.get(), all.data(), all.size(), 0);
    return length < 0 ? "none" : (all.resize(static_cast<std::size_t>(length)), all);
  }

 private:
  static Answered ended() { return {.result = -1, .has_ended = true}; }
  static void check_that_nothing_comes_along(const Reply& reply) {
    const auto rest = std::span(reply.payload).subspan(reply.payload_length);
    if (std::ranges::any_of(rest, [](std::byte one) { return one != std::byte{0}; })) CHECK(false);
  }
};

// One that has a node open, or none yet.
struct NodeCaller : Caller {
  explicit NodeCaller(const std::string& name) : Caller(name) {}
  NodeCaller(const std::string& name, std::string_view path, int flags = O_RDWR, WordSize of = WordSize::bits64)
      : Caller(name, of), node(client.open(path, flags).fd) {}
  // Another thread of the same program.
  NodeCaller(const std::string& name, const NodeCaller& other)
      : Caller(name, other.word), node(::fcntl(other.node.get(), F_DUPFD_CLOEXEC, 0)) {}

  OwnedFd node = OwnedFd(-1);

  // Another node, instead.
  std::int64_t open(std::string_view path, int flags = O_RDWR) {
    auto got = client.open(path, flags);
    node = std::move(got.fd);
    return got.result;
  }
  void close() { node = OwnedFd(-1); }
  // A command of the node's, by that struct. What lies between and behind the fields is as it was.
  template <class W>
  Answered call(wire::Command command, typename W::Struct& values) {
    const std::size_t length = W::length(word);
    std::array<std::byte, 160> bytes, fields{};
    bytes.fill(std::byte{0xff});
    W::write(W::read(bytes, word), fields, word);
    bytes.fill(filler);
    W::write(values, bytes, word);
    const auto before = bytes;
    Answered got = ask({.ask = Ask::ioctl, .number = command.code, .address = reinterpret_cast<std::uintptr_t>(bytes.data())}, node.get());
    if (!got.has_ended && got.reply.payload_length != 0 && !faults_out) {
      if (got.reply.payload_length > length) CHECK(false);
      std::memcpy(bytes.data(), got.reply.payload.data(), got.reply.payload_length);
    }
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      if (fields[at] == std::byte{0} && bytes[at] != before[at]) CHECK(bytes[at] == before[at]);
    }
    values = W::read(bytes, word);
    return got;
  }
  // A view of that descriptor's, as mmap asks for one: its number, or -errno.
  std::int64_t map(int fd, std::uint64_t offset, std::uint64_t length, int protection = PROT_READ | PROT_WRITE, int flags = MAP_SHARED) {
    const auto how = static_cast<std::uint64_t>(static_cast<std::uint32_t>(flags)) << 32 | static_cast<std::uint32_t>(protection);
    return ask({.ask = Ask::map, .number = how, .address = offset, .length = length}, fd).result;
  }
  std::int64_t unmap(std::int64_t view) { return ask({.ask = Ask::unmapped, .number = static_cast<std::uint64_t>(view)}).result; }
};

// One that has /dev/ion open.
template <IonGeneration generation>
struct IonCaller : NodeCaller {
  explicit IonCaller(const std::string& name, int flags = O_RDWR, WordSize of = WordSize::bits64) : NodeCaller(name, ion, flags, of) {}
  explicit IonCaller(const std::string& name, const IonCaller& other) : NodeCaller(name, other) {}

  template <class W>
  Answered call(unsigned number, typename W::Struct& values, std::size_t said_length = 0) {
    const auto length = static_cast<std::uint32_t>(said_length != 0 ? said_length : W::length(word));
    return NodeCaller::call<W>(wire::Command::of(wire::Direction::both, 'I', number, length), values);
  }
  std::int64_t allocate(std::uint64_t& handle, std::uint64_t length = page, std::uint32_t heaps = carveout, std::uint64_t align = 0) {
    wire::IonAllocation wanted{.length = length, .align = align, .heap_mask = heaps};
    const auto got = call<wire::IonAllocationWire<generation>>(0, wanted);
    handle = wanted.handle;
    return got.result;
  }
  // It must be had.
  std::uint64_t buffer(std::uint64_t length = page, std::uint32_t heaps = carveout) {
    std::uint64_t handle = 0;
    if (allocate(handle, length, heaps) != 0) CHECK(false);
    return handle;
  }
  std::int64_t free(std::uint64_t handle) {
    wire::IonHandle gone{handle};
    return call<wire::IonHandleWire<generation>>(1, gone).result;
  }
  Answered share(std::uint64_t handle, unsigned number = 4) {
    wire::IonFd wanted{.handle = handle};
    return call<wire::IonFdWire<generation>>(number, wanted);
  }
  // It must be had.
  OwnedFd shared(std::uint64_t handle) {
    auto got = share(handle);
    if (got.result != 0 || got.fd.get() < 0) CHECK(false);
    return std::move(got.fd);
  }
  std::int64_t import(int fd, std::uint64_t& handle) {
    wire::IonFd wanted{.handle = 0xdead, .fd = fd};
    const auto got = call<wire::IonFdWire<generation>>(5, wanted, is_msm(generation) ? 4 : 0);
    handle = wanted.handle;
    return got.result;
  }
  std::uint64_t imported(int fd) {
    std::uint64_t handle = 0;
    if (import(fd, handle) != 0 || handle == 0) CHECK(false);
    return handle;
  }
  std::int64_t get_flags(std::uint64_t handle) {
    wire::IonFlags wanted{.handle = handle};
    return call<wire::IonFlagsWire>(10, wanted).result;
  }
  // G1's CLEAN.
  std::int64_t clean(std::uint64_t handle, std::uint64_t address, std::uint32_t offset, std::uint32_t length, int fd = -1) {
    wire::IonCacheCall wanted{.handle = handle, .fd = fd, .address = address, .offset = offset, .length = length};
    return call<wire::IonCacheWire>(7, wanted).result;
  }
  // G3's SYNC.
  std::int64_t sync(int fd) {
    wire::IonFd wanted{.fd = fd};
    return call<wire::IonFdWire<generation>>(7, wanted).result;
  }
};

// By which a process may have views.
struct ControlLink : ServerClient {
  explicit ControlLink(const std::string& name) : ServerClient(name) { is_well = ask({.ask = Ask::control, .number = 1}).result == 0; }
  bool is_well = false;
};

// --- whom they attack ---

struct Counts {
  std::size_t buffers, clients, files, views, connections, fds, threads;

  // A thread that was ending then may be gone by now.
  bool are_as(const Counts& then) const {
    return all_but_threads() == then.all_but_threads() && threads <= then.threads;
  }
  std::string text() const {
    std::string all;
    for (const std::size_t one : all_but_threads()) all += std::to_string(one) + ' ';
    return all + std::to_string(threads);
  }

 private:
  std::array<std::size_t, 6> all_but_threads() const { return {buffers, clients, files, views, connections, fds}; }
};

// A server, and what it and its callers had at its start.
struct CountedServer {
  explicit CountedServer(std::string name, std::string_view board) : host(std::move(name), board), before(counts()) {}

  Counts counts() {
    auto& device = host.board->device();
    return {device.buffer_count(),
            device.client_count(),
            host.server->files().count(),
            host.server->views().count(),
            host.server->connection_count(),
            open_fds(),
            threads()};
  }
  // They are so again, soon.
  void check_as(const Counts& then) {
    const bool is_again = soon([&] { return host.server->files().reap(), counts().are_as(then); });
    if (!is_again) MESSAGE("buffers, clients, files, views, connections, descriptors, threads: ", then.text(), " became ", counts().text());
    CHECK(is_again);
  }

  RunningServer host;
  const Counts before;
};

// When a scene ends all of its counts are what they were at its start.
template <IonGeneration generation>
struct Scene : CountedServer {
  explicit Scene(std::string name = unused_name()) : CountedServer(std::move(name), ion_board_of(generation)) {}
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene() {
    check_as(before);
    CHECK(host.board->device().lost().blocks == 0);
    {
      IonCaller<generation> other(host.name);
      CHECK(other.free(other.buffer(room)) == 0);  // the whole carve-out
    }
    check_as(before);
  }
  // Nobody has more than these, soon.
  bool has_buffers(std::size_t count) {
    return soon([&] { return host.server->files().reap(), host.board->device().buffer_count() == count; });
  }
};

// One of two that run at once, as closely as threads do.
template <class One, class Other>
void at_once(One&& one, Other&& other) {
  std::atomic<int> ready = 0;
  const auto start = [&] {
    for (++ready; ready != 2;) std::this_thread::yield();
  };
  std::thread first([&] { start(), one(); });
  start(), other();
  first.join();
}

// A process of its own, made while this one has no threads yet, which acts from `begin` on, once there is a server of that name; it
// and this process may send each other descriptors.
class Other {
 public:
  struct Note {
    std::uint64_t number = 0;
  };
  // act(name, link): false: something is wrong.
  template <class Act>
  Other(const std::string& name, Act&& act) : Other(Connection::pair(), name, act) {}
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;
  ~Other() { kill(); }

  void begin() const { CHECK(link_.send(Note{})); }
  const Connection& link() const { return link_; }
  pid_t process() const { return pid_; }
  // Its word.
  std::uint64_t next_note() const {
    const auto came = link_.receive<Note>();
    return came ? came->record.number : 0;
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  bool ended_well() {
    int status = -1;
    return pid_ > 0 && ::waitpid(std::exchange(pid_, -1), &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  template <class Pair, class Act>
  Other(Pair&& pair, const std::string& name, Act& act) : link_(std::move(pair->here)) {
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      link_ = std::move(pair->there);
      const bool is_begun = static_cast<bool>(link_.receive<Note>());
      ::_exit(is_begun && act(name, link_) ? 0 : 1);
    }
    const Connection gone = std::move(pair->there);
  }

  Connection link_;
  pid_t pid_ = -1;
};

// What one of the two sends goes to the other, until both have ended: well, or they are killed.
inline void exchange(Other& first, Other& second) {
  const std::array<Other*, 2> both = {&first, &second};
  std::array<bool, 2> is_there = {true, true};
  while (is_there[0] || is_there[1]) {
    std::array<pollfd, 2> ready{};
    for (std::size_t at = 0; at < 2; ++at) ready[at] = {is_there[at] ? both[at]->link().fd() : -1, POLLIN, 0};
    if (::poll(ready.data(), ready.size(), 10'000) <= 0) break;
    for (std::size_t at = 0; at < 2; ++at) {
      if (ready[at].revents == 0) continue;
      auto came = both[at]->link().receive<Other::Note, 1>();
      is_there[at] = static_cast<bool>(came);
      if (came) static_cast<void>(both[1 - at]->link().send(came->record, came->fds.take(0), Waiting::no));
    }
  }
  if (is_there[0] || is_there[1]) first.kill(), second.kill();
  CHECK(first.ended_well());
  CHECK(second.ended_well());
}

}  // namespace freestone::tests::attackers
