#include <freestone/share/os/fd_message.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include <cstring>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/fds.hpp"
#include "support/listener.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

struct Note {
  std::uint64_t number = 0;
  std::uint32_t kind = 0;
  std::uint32_t more = 0;
};
struct Padded {
  std::uint8_t a = 0;
  std::uint64_t b = 0;
};
static_assert(MessageRecord<Note>);
static_assert(!MessageRecord<Padded>);
static_assert(!MessageRecord<backing::OwnedFd>);

backing::OwnedFd memory() { return backing::OwnedFd(memfd_create("note", MFD_CLOEXEC)); }

// Bytes and descriptors that `send` would not send.
void send_raw(int socket, std::size_t bytes, std::vector<int> fds) {
  std::vector<std::byte> record(bytes + 1);
  std::vector<std::byte> control(CMSG_SPACE(fds.size() * sizeof(int)));
  iovec part{record.data(), bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  REQUIRE(sendmsg(socket, &message, 0) == static_cast<ssize_t>(bytes));
}

}  // namespace

TEST_CASE("a record and its descriptors arrive as they were sent") {
  const std::size_t before = open_fds();
  {
    auto ends = Connection::pair();
    REQUIRE(ends);
    const auto one = memory();
    const auto other = memory();
    const int fds[] = {one.get(), other.get()};
    REQUIRE(ends->here.send(Note{7, 8, 9}, fds));
    REQUIRE(ends->here.send(Note{10, 11, 12}));
    auto got = ends->there.receive<Note, 2>();
    REQUIRE(got);
    CHECK(got->record.number == 7);
    CHECK(got->record.kind == 8);
    CHECK(got->record.more == 9);
    CHECK(got->fds.size() == 2);
    struct stat sent {}, came {};
    fstat(other.get(), &sent);
    const auto taken = got->fds.take(1);
    CHECK(got->fds[1] == -1);
    fstat(taken.get(), &came);
    CHECK(sent.st_ino == came.st_ino);
    CHECK((fcntl(taken.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((fcntl(got->fds[0], F_GETFD) & FD_CLOEXEC) != 0);
    const auto next = ends->there.receive<Note, 2>(0);
    REQUIRE(next);
    CHECK(next->record.number == 10);
    CHECK(next->fds.size() == 0);
    const auto none = ends->there.receive<Note>(0, Waiting::no);
    CHECK(none.error().os_error == EAGAIN);
  }
  CHECK(open_fds() == before);
}

TEST_CASE("a record of another length, or with more or fewer descriptors, is an error and all that came is closed") {
  auto ends = Connection::pair();
  REQUIRE(ends);
  const auto file = memory();
  const std::size_t before = open_fds();
  for (const std::size_t bytes : {0U, 1U, 15U, 16U, 17U, 100U, 5000U}) {
    for (const std::size_t count : {0U, 1U, 2U, 3U, 4U, 5U, 100U, 253U}) {
      CAPTURE(bytes);
      CAPTURE(count);
      send_raw(ends->here.fd(), bytes, std::vector<int>(count, file.get()));
      const bool is_right = bytes == sizeof(Note) && (count == 2 || count == 3);
      {
        const auto got = ends->there.receive<Note, 3>(2);
        CHECK(code_of(got) == (is_right ? ErrorCode::none : ErrorCode::bad_message));
        if (got) CHECK(got->fds.size() == count);
      }
      CHECK(open_fds() == before);
      send_raw(ends->here.fd(), bytes, std::vector<int>(count, file.get()));
      CHECK(static_cast<bool>(ends->there.receive<Note>()) == (bytes == sizeof(Note) && count == 0));
      CHECK(open_fds() == before);
    }
  }
  REQUIRE(ends->here.send(Note{1, 2, 3}));
  CHECK(ends->there.receive<Note>()->record.number == 1);  // what came behind is whole
}

TEST_CASE("where no more may be opened, what came in part is closed") {
  auto ends = Connection::pair();
  REQUIRE(ends);
  const auto file = memory();
  const std::size_t before = open_fds();
  const int four[] = {file.get(), file.get(), file.get(), file.get()};
  int highest = 0;
  for (int fd = 0; fd < 1000; ++fd) highest = fcntl(fd, F_GETFD) >= 0 ? fd : highest;
  for (rlim_t room = 0; room <= 4; ++room) {
    CHECK(holds_in_child([&] {
      // All numbers up to the last one are taken, then there is room for so many.
      int last = dup(0);
      while (last >= 0 && last <= highest) last = dup(0);
      const rlimit limit{static_cast<rlim_t>(last) + 1 + room, static_cast<rlim_t>(last) + 1 + room};
      if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || !ends->here.send(Note{}, four)) return false;
      const auto got = ends->there.receive<Note, 4>();
      const bool is_right = (room < 4) == (code_of(got) == ErrorCode::bad_message);
      std::size_t left = 0;
      while (!got && dup(0) >= 0) ++left;
      return is_right && (got || left == room);
    }));
    if (room == 4) continue;
    CHECK(open_fds() == before);
  }
}

TEST_CASE("the end of a connection is a result of its own, after all that came before it") {
  auto ends = Connection::pair();
  REQUIRE(ends);
  CHECK(!ends->here.has_ended());
  REQUIRE(ends->there.send(Note{5, 0, 0}));
  REQUIRE(ends->here.send(Note{6, 0, 0}));  // nobody reads it
  { const Connection gone = std::move(ends->there); }
  CHECK(ends->here.has_ended());
  CHECK(ends->here.receive<Note>()->record.number == 5);
  CHECK(code_of(ends->here.receive<Note>()) == ErrorCode::connection_ended);
  CHECK(code_of(ends->here.receive<Note>(0, Waiting::no)) == ErrorCode::connection_ended);
  CHECK(code_of(ends->here.send(Note{})) == ErrorCode::connection_ended);  // and no SIGPIPE
}

TEST_CASE("an empty record is not the end, though the sender has gone: what he sent behind it comes") {
  for (int empty = 1; empty <= 3; ++empty) {
    CAPTURE(empty);
    auto ends = Connection::pair();
    for (int at = 0; at < empty; ++at) send_raw(ends->there.fd(), 0, {});
    REQUIRE(ends->there.send(Note{7, 0, 0}));
    { const Connection gone = std::move(ends->there); }
    for (int at = 0; at < empty; ++at) CHECK(code_of(ends->here.receive<Note>()) == ErrorCode::bad_message);
    CHECK(ends->here.receive<Note>()->record.number == 7);
    CHECK(code_of(ends->here.receive<Note>()) == ErrorCode::connection_ended);
    CHECK(code_of(ends->here.receive<Note>()) == ErrorCode::connection_ended);
  }
}

TEST_CASE("who reads no more gets nothing more, and that is said when something is sent to him") {
  auto ends = Connection::pair();
  REQUIRE(shutdown(ends->there.fd(), SHUT_RD) == 0);
  CHECK(!ends->here.has_ended());  // the kernel tells it to who sends only
  CHECK(code_of(ends->here.send(Note{})) == ErrorCode::connection_ended);
  REQUIRE(ends->there.send(Note{4, 0, 0}));
  CHECK(ends->here.receive<Note>()->record.number == 4);
}

TEST_CASE("what cannot be sent is an error, and nothing was sent") {
  auto ends = Connection::pair();
  REQUIRE(ends);
  const auto file = memory();
  CHECK(ends->here.send(Note{}, std::vector<int>(254, file.get())).error().os_error == EINVAL);
  CHECK(ends->here.send(Note{}, backing::OwnedFd(-1)).error().os_error == EBADF);
  CHECK(ends->there.receive<Note, 3>(0, Waiting::no).error().os_error == EAGAIN);
  Result<void> sent;
  int count = 0;
  while ((sent = ends->here.send(Note{}, {}, Waiting::no))) ++count;
  CHECK(sent.error().os_error == EAGAIN);
  for (int at = 0; at < count; ++at) REQUIRE(ends->there.receive<Note>(0, Waiting::no));
  CHECK(!ends->there.receive<Note>(0, Waiting::no));
}

TEST_CASE("a signal does not disturb who waits") {
  auto ends = Connection::pair();
  REQUIRE(ends);
  struct sigaction act {}, old {};
  act.sa_handler = [](int) {};
  REQUIRE(sigaction(SIGUSR1, &act, &old) == 0);
  const pthread_t self = pthread_self();
  std::thread other([&] {
    for (int at = 0; at < 20; ++at) pthread_kill(self, SIGUSR1), usleep(1000);
    static_cast<void>(ends->there.send(Note{3, 0, 0}));
  });
  CHECK(ends->here.receive<Note>()->record.number == 3);
  other.join();
  sigaction(SIGUSR1, &old, nullptr);
}

TEST_CASE("only a connected socket that keeps records apart is a connection") {
  const std::size_t before = open_fds();
  for (auto& one : kinds_of_files("note", 4096)) {
    const char* const kind = one.kind;
    auto& fd = one.fd;
    CAPTURE(kind);
    CHECK(code_of(Connection::of(std::move(fd))) == ErrorCode::foreign_file);
  }
  CHECK(code_of(Connection::of(backing::OwnedFd(-1))) == ErrorCode::foreign_file);
  CHECK(code_of(Connection::of(backing::OwnedFd(socket(AF_UNIX, SOCK_SEQPACKET, 0)))) == ErrorCode::foreign_file);
  CHECK(open_fds() == before);
}

// A socket that somebody else made: he may have asked the kernel to put things of its own into each message.
TEST_CASE("whatever was asked of a socket before it became a connection, messages come as they were sent") {
  constexpr int pass_pidfd = 76;  // SO_PASSPIDFD, which older headers lack
  constexpr int pass_credentials = SO_PASSCRED, pass_label = SO_PASSSEC, pass_time = SO_TIMESTAMP;
  const auto file = memory();
  for (const int asked : {pass_pidfd, pass_credentials, pass_label, pass_time}) {
    CAPTURE(asked);
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    const int on = 1;
    const bool is_known = setsockopt(ends[0], SOL_SOCKET, asked, &on, sizeof on) == 0;
    if (!is_known) MESSAGE("not tested: this kernel does not know it");
    const backing::OwnedFd kept_copy(dup(ends[0]));
    const auto here = Connection::of(backing::OwnedFd(ends[0]));
    const auto there = Connection::of(backing::OwnedFd(ends[1]));
    REQUIRE(here);
    const std::size_t before = open_fds();
    for (int at = 0; at < 20; ++at) {
      REQUIRE(there->send(Note{1, 0, 0}));
      CHECK(here->receive<Note>());
      REQUIRE(there->send(Note{1, 0, 0}, file));
      CHECK(here->receive<Note, 1>());
      REQUIRE(there->send(Note{1, 0, 0}, file));
      CHECK(here->receive<Note, 8>(1));
    }
    CHECK(open_fds() == before);

    // Who kept a copy asks again. What comes then is whole or refused, and nothing stays open.
    if (is_known) REQUIRE(setsockopt(kept_copy.get(), SOL_SOCKET, asked, &on, sizeof on) == 0);
    for (int at = 0; at < 20; ++at) {
      REQUIRE(there->send(Note{1, 0, 0}));
      const auto none = here->receive<Note>();
      CHECK((none || code_of(none) == ErrorCode::bad_message));
      REQUIRE(there->send(Note{1, 0, 0}, file));
      const auto one = here->receive<Note, 1>();
      CHECK((one ? one->fds.size() == 1 : code_of(one) == ErrorCode::bad_message));
      REQUIRE(there->send(Note{1, 0, 0}, file));
      const auto many = here->receive<Note, 8>(1);
      CHECK((many ? many->fds.size() == 1 : code_of(many) == ErrorCode::bad_message));
    }
    CHECK(open_fds() == before);
  }
}

TEST_CASE("a descriptor that did not come is none: not that of number 0") {
  auto ends = Connection::pair();
  REQUIRE(ends->there.send(Note{}));
  auto got = ends->here.receive<Note, 2>(0);
  REQUIRE(got);
  CHECK(got->fds[0] == -1);
  CHECK(got->fds.take(1).get() == -1);

  // Nor has a list anything that was moved out of it.
  FdList<2> list;
  REQUIRE(list.add(dup(0)));
  const FdList<2> other = std::move(list);
  CHECK(other[0] > 0);
  CHECK(list[0] == -1);
}

TEST_CASE("a list that is assigned closes what it had") {
  const std::size_t before = open_fds();
  FdList<2> list, next;
  REQUIRE(list.add(dup(0)));
  REQUIRE(next.add(dup(0)));
  list = std::move(next);
  CHECK(open_fds() == before + 1);
  CHECK(next.size() == 0);
  list = FdList<2>();
  CHECK(open_fds() == before);
}

TEST_CASE("the peer is the process that connected, for as long as it lives") {
  const std::size_t before = open_fds();
  {
    const Listener listener;
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      const int fd = listener.connect();
      char byte = 0;
      _exit(fd >= 0 && read(fd, &byte, 1) == 1 ? 0 : 1);
    }
    auto connection = listener.accept();
    REQUIRE(connection);
    auto peer = connection->peer();
    REQUIRE(peer);
    CHECK(peer->pid == child);
    CHECK(peer->uid == getuid());
    CHECK((fcntl(peer->process.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(!peer->has_died());
    const auto by_number = connection->process_by_number(peer->pid);
    REQUIRE(by_number);
    REQUIRE(write(connection->fd(), "", 1) == 1);
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(peer->has_died());
    pollfd one{by_number->get(), POLLIN, 0};
    CHECK(poll(&one, 1, 0) == 1);
    const auto late = connection->peer();  // a process that is no more, or that fact
    if (late) CHECK(late->has_died());
    if (!late) CHECK(late.error().code == ErrorCode::connection_ended);
    CHECK(code_of(connection->process_by_number(child)) == ErrorCode::connection_ended);
    // The number is another's now, as it were: the connection has ended, so it is not believed.
    CHECK(code_of(connection->process_by_number(getpid())) == ErrorCode::connection_ended);
  }
  CHECK(open_fds() == before);
}

TEST_CASE("a pair's peer is who made it") {
  auto ends = Connection::pair();
  REQUIRE(ends);
  CHECK(ends->here.peer()->pid == getpid());
  CHECK(!ends->here.peer()->has_died());
}

TEST_CASE("whatever a hostile sender sends, each message is taken whole or refused, and nothing stays open") {
  auto ends = Connection::pair();
  REQUIRE(ends);
  Random random(seed());
  const auto file = memory();
  const std::size_t before = open_fds();
  for (int step = 0; step < 3'000; ++step) {
    const auto bytes = static_cast<std::size_t>(random.chance(50) ? sizeof(Note) : random.below(40));
    const auto count = static_cast<std::size_t>(random.below(6));
    send_raw(ends->here.fd(), bytes, std::vector<int>(count, file.get()));
    const auto least = static_cast<std::size_t>(random.below(5));
    const auto got = ends->there.receive<Note, 4>(least);
    CHECK(static_cast<bool>(got) == (bytes == sizeof(Note) && count >= least && count <= 4));
    if (!got) CHECK(got.error().code == ErrorCode::bad_message);
    if (!got) CHECK(open_fds() == before);
  }
  CHECK(open_fds() == before);
}
