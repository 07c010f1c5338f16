#include <freestone/heap/os/polled_fence.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

struct Pipe {
  int out, in;
  Pipe() {
    int ends[2] = {-1, -1};
    REQUIRE(pipe(ends) == 0);
    out = ends[0], in = ends[1];
  }
};

}  // namespace

TEST_CASE("it has a descriptor of its own, which no other program gets") {
  Pipe ends;
  auto fence = PolledFence::of(ends.out);
  REQUIRE(fence);
  CHECK(fence->fd() != ends.out);
  CHECK((fcntl(fence->fd(), F_GETFD) & FD_CLOEXEC) != 0);
  close(ends.out);
  CHECK(!fence->has_signalled());
  REQUIRE(write(ends.in, "x", 1) == 1);
  close(ends.in);
  CHECK(fence->has_signalled());
  CHECK(fence->wait(Timeout::forever()));
  CHECK(!fence->error());
  const int fd = fence->fd();
  { const PolledFence moved = std::move(*fence); }
  CHECK(fcntl(fd, F_GETFD) == -1);
}

TEST_CASE("none of what is not open") {
  const auto fence = PolledFence::of(-1);
  REQUIRE(!fence);
  CHECK(fence.error().code == ErrorCode::os_failure);
  CHECK(fence.error().os_error == EBADF);
  Pipe ends;
  close(ends.in);
  CHECK(code_of(PolledFence::of(ends.in)) == ErrorCode::os_failure);
  close(ends.out);
}

TEST_CASE("closed behind its back, or with nobody left to signal: never, and it says why") {
  Pipe ends;
  auto fence = PolledFence::of(ends.out);
  REQUIRE(fence);
  close(ends.in);
  CHECK(!fence->has_signalled());
  CHECK(fence->error().os_error == EPIPE);
  CHECK(!fence->wait(Timeout::forever()));  // it does not wait for what will never come
  close(fence->fd());
  CHECK(!fence->has_signalled());
  CHECK(fence->error().code == ErrorCode::os_failure);
  CHECK(fence->error().os_error == EBADF);
  CHECK(!fence->wait(Timeout::forever()));
  close(ends.out);
}

TEST_CASE("over no file, or moved away: never, and it says why") {
  Pipe ends;
  auto fence = PolledFence::of(ends.out);
  REQUIRE(fence);
  const PolledFence moved = std::move(*fence);
  const PolledFence none{backing::OwnedFd(-1)};  // as where a pidfd_open failed
  CHECK(!moved.error());
  for (const PolledFence* never : {&none, static_cast<const PolledFence*>(&*fence)}) {
    CHECK(!never->has_signalled());
    CHECK(never->error().code == ErrorCode::os_failure);
    CHECK(never->error().os_error == EBADF);
    const auto begin = std::chrono::steady_clock::now();
    CHECK(!never->wait(Timeout::milliseconds(500)));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(250));
  }
  close(ends.in);
  close(ends.out);
}

TEST_CASE("waiting goes on through signals, and not beyond the timeout") {
  Pipe ends;
  auto fence = PolledFence::of(ends.out);
  REQUIRE(fence);
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, &before);
  const pthread_t waiter = pthread_self();
  std::thread other([&] {
    for (int i = 0; i < 10; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      pthread_kill(waiter, SIGUSR1);
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  CHECK(!fence->wait(Timeout::milliseconds(50)));
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(50));
  other.join();
  sigaction(SIGUSR1, &before, nullptr);
  std::thread late([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    CHECK(write(ends.in, "x", 1) == 1);
  });
  CHECK(fence->wait(Timeout::nanoseconds(~std::uint64_t{0} - 1)));  // later than any clock can say
  late.join();
  close(ends.out);
  close(ends.in);
}

TEST_CASE("the end of a process is a fence too") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    char one;
    close(ends[1]);
    _exit(read(ends[0], &one, 1) < 0);
  }
  close(ends[0]);
  const auto fd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  REQUIRE(fd >= 0);
  auto fence = PolledFence(backing::OwnedFd(fd));
  CHECK(!fence.has_signalled());
  CHECK(!fence.error());
  close(ends[1]);
  CHECK(fence.wait(Timeout::milliseconds(10'000)));
  CHECK(fence.has_signalled());
  waitpid(child, nullptr, 0);
  CHECK(fence.has_signalled());
}
