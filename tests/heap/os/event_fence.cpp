#include <freestone/heap/os/event_fence.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "support/dma_bufs.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("signalled once, as often as one likes") {
  static_assert(check_fence<EventFence>());
  static_assert(can_wait<EventFence> && can_break<EventFence>);
  auto event = EventFence::create();
  REQUIRE(event);
  CHECK((fcntl(event->fd(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(!event->has_signalled());
  CHECK(!event->wait(Timeout::milliseconds(0)));
  auto other = EventFence::of(event->fd());
  REQUIRE(other);
  CHECK(event->signal());
  CHECK(event->signal());
  CHECK(event->has_signalled());
  CHECK(other->has_signalled());
  CHECK(event->wait(Timeout::milliseconds(0)));
}

TEST_CASE("signalled so often that the counter is full") {
  auto event = EventFence::create();
  REQUIRE(event);
  const std::uint64_t most = ~std::uint64_t{0} - 1;
  REQUIRE(write(event->fd(), &most, sizeof most) == sizeof most);
  CHECK(event->signal());
  CHECK(event->has_signalled());
  CHECK(!event->error());
}

TEST_CASE("another's that blocks, and that others filled") {
  const int fd = eventfd(0, EFD_CLOEXEC);
  REQUIRE(fd >= 0);
  auto event = EventFence::of(fd);
  REQUIRE(event);
  const std::uint64_t most = ~std::uint64_t{0} - 1;
  REQUIRE(write(fd, &most, sizeof most) == sizeof most);
  const pid_t child = fork();
  if (child == 0) {
    alarm(5);
    _exit(event->signal() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  close(fd);
}

TEST_CASE("nothing else is taken for an eventfd") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int memory = memfd_create("memory", MFD_CLOEXEC);
  REQUIRE(ftruncate(memory, 4096) == 0);
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {ends[0], ends[1], memory, timer, poller, null}) {
    REQUIRE(fd >= 0);
    const auto before = open_files();
    const auto fence = EventFence::of(fd);
    REQUIRE(!fence);
    CHECK(fence.error().code == ErrorCode::os_failure);
    CHECK(fence.error().os_error == EINVAL);
    CHECK(open_files() == before);
    close(fd);
  }
}

TEST_CASE("another process signals") {
  auto event = EventFence::create();
  REQUIRE(event);
  const pid_t child = fork();
  if (child == 0) _exit(event->signal() ? 0 : 1);
  CHECK(event->wait(Timeout::milliseconds(10'000)));
  waitpid(child, nullptr, 0);
  CHECK(event->has_signalled());
}

TEST_CASE("what cannot be had") {
  const auto none = EventFence::of(-1);
  REQUIRE(!none);
  CHECK(none.error().os_error == EBADF);
  auto event = EventFence::create();
  REQUIRE(event);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit low{0, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &low);
  const auto made = EventFence::create();
  const auto copied = EventFence::of(event->fd());
  setrlimit(RLIMIT_NOFILE, &before);
  CHECK(code_of(made) == ErrorCode::limit_reached);
  CHECK(!copied);  // fcntl says EINVAL where no number is allowed at all
  close(event->fd());
  CHECK(code_of(event->signal()) == ErrorCode::os_failure);
  CHECK(event->error().os_error == EBADF);
}
