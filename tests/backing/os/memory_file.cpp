#include <freestone/backing/os/memory_file.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "support/child.hpp"

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
  CHECK(code(-1) == ErrorCode::node_failure);
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(code(ends[0]) == ErrorCode::node_failure);
  close(ends[0]);
  close(ends[1]);
  const int unsealed = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  REQUIRE(ftruncate(unsealed, 1 << 20) == 0);
  CHECK(code(unsealed) == ErrorCode::no_access);
  REQUIRE(fcntl(unsealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE) == 0);
  CHECK(code(unsealed) == ErrorCode::read_only);
  close(unsealed);
  auto small = MemoryFile::create({.name = "small", .size = 4096, .granule = 4096, .notes_words = 1});
  REQUIRE(small);
  CHECK(code(small->fd()) == ErrorCode::data_too_small);
  const int empty = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  REQUIRE(fcntl(empty, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  CHECK(code(empty) == ErrorCode::not_formatted);
  close(empty);
}

TEST_CASE("attach refuses a file that may not be written, of another version, or cut short") {
  auto made = MemoryFile::create(request);
  REQUIRE(made);
  const auto code = [](int fd) {
    const auto file = MemoryFile::attach(request, {fd});
    return file ? ErrorCode::none : file.error().code;
  };
  const std::string path = "/proc/self/fd/" + std::to_string(made->fd());
  const int reader = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(reader >= 0);
  CHECK(code(reader) == ErrorCode::read_only);
  std::uint64_t header[5];
  REQUIRE(pread(reader, header, sizeof(header), 0) == sizeof(header));
  close(reader);
  const auto code_of_copy = [&](off_t length) {
    const int copy = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    REQUIRE(ftruncate(copy, length) == 0);
    REQUIRE(pwrite(copy, header, sizeof(header), 0) == sizeof(header));
    REQUIRE(fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    const ErrorCode found = code(copy);
    close(copy);
    return found;
  };
  const auto whole = static_cast<off_t>(made->file_offset().value() + header[4]);
  CHECK(code_of_copy(whole) == ErrorCode::none);
  CHECK(code_of_copy(whole - 1) == ErrorCode::cut_short);
  CHECK(code_of_copy(100) == ErrorCode::cut_short);
  ++header[1];
  CHECK(code_of_copy(whole) == ErrorCode::wrong_version);
  ++header[0];
  CHECK(code_of_copy(whole) == ErrorCode::not_formatted);
}

TEST_CASE("pages that are decommitted hold nothing, until they are touched again") {
  auto made = MemoryFile::create(request);
  REQUIRE(made);
  const auto pages = [&] {
    struct stat status {};
    fstat(made->fd(), &status);
    return status.st_blocks / 8;
  };
  const auto before = pages();
  REQUIRE(made->commit(4096, 3 * 4096));
  CHECK(pages() == before + 3);
  std::memset(*made->cpu_pointer(4096), 0x5A, 3 * 4096);
  REQUIRE(made->decommit(4096 + 1, 3 * 4096 - 1));  // the first one not in whole
  CHECK(pages() == before + 1);
  CHECK(**made->cpu_pointer(4096 + 4095) == std::byte{0x5A});
  CHECK(**made->cpu_pointer(8192) == std::byte{0});
  REQUIRE(made->decommit(100, 100));  // no whole page
}

TEST_CASE("a name too long, and no more open files, are errors of their own") {
  const auto code_of_name = [](std::size_t length) {
    const std::string name(length, 'x');
    const auto file = MemoryFile::create({.name = name.c_str(), .size = 4096, .granule = 4096, .notes_words = 1});
    return file ? ErrorCode::none : file.error().code;
  };
  CHECK(code_of_name(249) == ErrorCode::none);
  CHECK(code_of_name(250) == ErrorCode::bad_name);
  CHECK(tests::holds_in_child([] {
    const rlimit none{.rlim_cur = 3, .rlim_max = 3};
    const auto file = setrlimit(RLIMIT_NOFILE, &none) == 0 ? MemoryFile::create(request) : ErrorCode::none;
    return !file && file.error().code == ErrorCode::limit_reached;
  }));
}
