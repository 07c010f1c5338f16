#include <freestone/platform/linux_user/served_file.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/share/os/fd_message.hpp>

using namespace freestone;
using namespace freestone::linux_user;
using backing::OwnedFd;

namespace {

struct Watched {
  ServedFile file = *ServedFile::create("test", 2 * 4096);
  FileWatch watch = *FileWatch::create();
  int number = *watch.add(file);

  // How many events came. They are there when close, munmap or the death of a child has returned.
  int events() {
    int count = 0;
    watch.take([&](int which) {
      CHECK(which == number);
      ++count;
    });
    return count;
  }
};

struct Record {
  std::uint64_t number = 0;
};

}  // namespace

TEST_CASE("nobody has a file until it is opened for him, and nobody once he has closed it") {
  for (const int flags : {O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_DSYNC | O_NONBLOCK}) {
    Watched one;
    CHECK(one.file.is_only_ours());
    OwnedFd fd = *one.file.open(flags);
    CHECK((::fcntl(fd.get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (flags & (O_ACCMODE | O_NONBLOCK)));
    CHECK(!one.file.is_only_ours());
    CHECK(one.events() == 0);
    OwnedFd second(::dup(fd.get()));
    fd = OwnedFd(-1);
    CHECK(!one.file.is_only_ours());
    CHECK(one.events() == 0);
    second = OwnedFd(-1);
    CHECK(one.events() == 1);
    CHECK(one.file.is_only_ours());
  }
}

TEST_CASE("a mapping has it, also when part of it is unmapped, moved, or left to a child") {
  Watched one;
  OwnedFd fd = *one.file.open(O_RDWR);
  auto* const bytes = static_cast<std::byte*>(::mmap(nullptr, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  REQUIRE(bytes != MAP_FAILED);
  fd = OwnedFd(-1);
  CHECK(!one.file.is_only_ours());
  ::munmap(bytes, 4096);
  CHECK(!one.file.is_only_ours());
  const pid_t child = ::fork();
  if (child == 0) ::pause(), ::_exit(0);
  ::munmap(bytes + 4096, 4096);
  CHECK(!one.file.is_only_ours());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(one.events() >= 1);
  CHECK(one.file.is_only_ours());
}

TEST_CASE("so has a message on its way, and a process into which it came") {
  Watched one;
  auto ends = *Connection::pair();
  {
    const OwnedFd fd = *one.file.open(O_RDWR);
    REQUIRE(ends.here.send(Record{1}, fd));
  }
  CHECK(!one.file.is_only_ours());
  {
    const auto message = ends.there.receive<Record, 1>();
    REQUIRE(message);
    CHECK(!one.file.is_only_ours());
    CHECK(*identity_of(message->fds[0]) == one.file.identity());
    CHECK(one.events() == 0);
  }
  CHECK(one.events() == 1);
  CHECK(one.file.is_only_ours());
  {
    const OwnedFd fd = *one.file.open(O_RDWR);
    REQUIRE(ends.here.send(Record{2}, fd));
  }
  { const auto gone = std::move(ends.there); }
  CHECK(one.events() == 1);  // it was never received
  CHECK(one.file.is_only_ours());
}

TEST_CASE("who opens it anew through his own descriptor has it too") {
  Watched one;
  OwnedFd fd = *one.file.open(O_RDONLY);
  std::array<char, 32> path;
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd.get());
  const int anew = ::open(path.data(), O_RDWR | O_CLOEXEC);
  REQUIRE(anew >= 0);
  fd = OwnedFd(-1);
  CHECK(one.events() == 1);
  CHECK(!one.file.is_only_ours());
  ::close(anew);
  CHECK(one.file.is_only_ours());
}

TEST_CASE("nobody can make it shorter or longer, or seal it") {
  Watched one;
  const OwnedFd fd = *one.file.open(O_RDWR);
  CHECK(::ftruncate(fd.get(), 4096) != 0);
  CHECK(::ftruncate(fd.get(), 3 * 4096) != 0);
  CHECK(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE) != 0);
  CHECK(::lseek(fd.get(), 0, SEEK_END) == 2 * 4096);
  const auto text = ServedFile::create_text("text");
  REQUIRE(text);
  const OwnedFd reader = *text->open(O_RDONLY);
  for (const std::string_view said : {"first line\n", "second\n", ""}) {
    CHECK(text->write_text(said.data(), said.size()));
    std::array<char, 64> read{};
    CHECK(::pread(reader.get(), read.data(), read.size(), 0) == static_cast<ssize_t>(said.size()));
    CHECK(std::string_view(read.data()) == said);
  }
}

TEST_CASE("one that is first opened to be read is never written, but for a text by its owner") {
  for (const int flags : {O_RDONLY, O_RDONLY | O_NONBLOCK, O_WRONLY, O_RDWR}) {
    const auto file = *ServedFile::create("test", 4096);
    const OwnedFd first = *file.open(flags);
    const OwnedFd other = *file.open(O_RDWR);
    const bool is_written = (flags & O_ACCMODE) != O_RDONLY;
    CHECK((::pwrite(other.get(), "x", 1, 0) == 1) == is_written);
    void* const bytes = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other.get(), 0);
    CHECK((bytes != MAP_FAILED) == is_written);
    if (bytes != MAP_FAILED) ::munmap(bytes, 4096);
    CHECK(::fcntl(other.get(), F_ADD_SEALS, F_SEAL_WRITE) != 0);
  }
}

TEST_CASE("of many files each is known, and told of by its own number") {
  const FileWatch watch = *FileWatch::create();
  std::vector<ServedFile> files;
  std::vector<int> numbers;
  for (int i = 0; i < 100; ++i) {
    files.push_back(*ServedFile::create("one of many", 4096));
    numbers.push_back(*watch.add(files.back()));
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) REQUIRE(!(files[i].identity() == files[j].identity()));
    { const OwnedFd fd = *files[i].open(O_RDWR); }
    std::vector<int> told;
    watch.take([&](int which) { told.push_back(which); });
    CHECK(told == std::vector<int>{numbers[i]});
  }
}
