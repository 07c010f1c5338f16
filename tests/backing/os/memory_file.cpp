#include <freestone/backing/os/memory_file.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <cstring>
#include <utility>

using namespace freestone;
using backing::MemoryFile;

namespace {
constexpr BackingRequest request{.name = "frames", .size = 64 << 10, .granule = 4096, .notes_words = 100};
}

TEST_CASE("a memory file can be neither cut nor grown") {
  auto file = MemoryFile::create(request);
  REQUIRE(file);
  CHECK(ftruncate(file->fd(), 0) == -1);
  CHECK(ftruncate(file->fd(), 1 << 20) == -1);
  CHECK((fcntl(file->fd(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(file->notes().size() >= 100);
}

TEST_CASE("attach maps the same bytes and notes, and leaves the caller's fd alone") {
  auto file = MemoryFile::create(request);
  REQUIRE(file);
  std::memset(*file->cpu_pointer(0), 0x5A, 100);
  file->notes()[99] = 42;
  const int fd = fcntl(file->fd(), F_DUPFD_CLOEXEC, 0);
  {
    auto other = MemoryFile::attach(request, {fd});
    REQUIRE(other);
    CHECK(*(*other->cpu_pointer(99)) == std::byte{0x5A});
    CHECK(other->notes()[99] == 42);
    CHECK(other->fd() != fd);
  }
  CHECK(fcntl(fd, F_GETFD) >= 0);
  close(fd);
}

TEST_CASE("attach refuses what is no such file") {
  const auto code = [](int fd) {
    const auto file = MemoryFile::attach(request, {fd});
    return file ? ErrorCode::none : file.error().code;
  };
  CHECK(code(-1) == ErrorCode::os_failure);
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(code(ends[0]) == ErrorCode::os_failure);
  close(ends[0]);
  close(ends[1]);
  const int unsealed = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  REQUIRE(ftruncate(unsealed, 1 << 20) == 0);
  CHECK(code(unsealed) == ErrorCode::os_failure);
  close(unsealed);
  auto small = MemoryFile::create({.name = "small", .size = 4096, .granule = 4096, .notes_words = 1});
  REQUIRE(small);
  CHECK(code(small->fd()) == ErrorCode::wrong_capacity);
  const int empty = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  REQUIRE(fcntl(empty, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  CHECK(code(empty) == ErrorCode::cut_short);
  close(empty);
}
