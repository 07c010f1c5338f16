#include <freestone/platform/linux_user/open_file.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/fds.hpp"

using namespace freestone;
using namespace freestone::linux_user;
using namespace freestone::tests;
using backing::OwnedFd;

namespace {

std::atomic<int> living = 0;

class CountedFile final : public OpenFile {
 public:
  explicit CountedFile(FileKind kind, Bytes size) : served_(*ServedFile::create("test", size)), kind_(kind), size_(size) { ++living; }
  ~CountedFile() override { --living; }

  const ServedFile& served() const noexcept override { return served_; }
  FileStatus status() noexcept override { return {.kind = kind_, .size = size_.value()}; }

 private:
  ServedFile served_;
  FileKind kind_;
  Bytes size_;
};

struct Files {
  OpenFiles all{*FileWatch::create()};

  // One that somebody has.
  OwnedFd give(std::uint64_t process = 1, FileKind kind = FileKind::buffer, Bytes size = 4096) {
    auto file = std::make_shared<CountedFile>(kind, size);
    OwnedFd fd = *file->served().open(O_RDWR);
    CHECK(all.add(file, process));
    return fd;
  }
};

OwnedFd opened_anew(int fd) { return OwnedFd(::open(path_of(fd).c_str(), O_RDWR | O_CLOEXEC)); }

}  // namespace

TEST_CASE("a file is there until its last holder lets go") {
  const std::size_t before = open_fds();
  {
    Files files;
    OwnedFd fd = files.give();
    OwnedFd second(::dup(fd.get()));
    const auto found = files.all.find(second.get());
    REQUIRE(found != nullptr);
    CHECK(found == files.all.find(fd.get()));
    CHECK(found->served().identity() == *identity_of(fd.get()));
    CHECK(files.all.again() == -1);
    fd = OwnedFd(-1);
    files.all.reap();
    CHECK(files.all.count() == 1);
    second = OwnedFd(-1);
    files.all.reap();
    CHECK(files.all.count() == 0);
    CHECK(files.all.again() == -1);
    CHECK(living == 1);  // `found` is one that serves a call: it goes on
  }
  CHECK(living == 0);
  CHECK(open_fds() == before);
}

TEST_CASE("what else is a descriptor is none of them") {
  Files files;
  const OwnedFd fd = files.give();
  for (const KindOfFile& other : kinds_of_files("test", 4096)) {
    CAPTURE(other.kind);
    CHECK(files.all.find(other.fd.get()) == nullptr);
  }
  CHECK(files.all.find(-1) == nullptr);
  CHECK(files.all.find(1 << 20) == nullptr);
  CHECK(files.all.find(fd.get()) != nullptr);
}

TEST_CASE("a file that ended is not found again, though somebody kept its name") {
  Files files;
  OwnedFd fd = files.give();
  const OwnedFd name(::open(path_of(fd.get()).c_str(), O_PATH | O_CLOEXEC));
  fd = OwnedFd(-1);
  files.all.reap();
  CHECK(files.all.count() == 0);  // a name alone (O_PATH) counts for nobody
  CHECK(living == 0);
  const OwnedFd again = opened_anew(name.get());
  REQUIRE(again.get() >= 0);
  CHECK(files.all.find(again.get()) == nullptr);
}

TEST_CASE("who opened it for himself keeps it, and is looked at more and more seldom") {
  Files files;
  OwnedFd fd = files.give();
  OwnedFd own = opened_anew(fd.get());
  fd = OwnedFd(-1);
  int longest = 0;
  for (int i = 0; i < 100; ++i) {
    files.all.reap();
    CHECK(files.all.count() == 1);
    CHECK(files.all.again() >= longest);
    longest = files.all.again();
  }
  CHECK(longest >= 500);
  own = OwnedFd(-1);
  files.all.reap();
  CHECK(files.all.count() == 0);
  CHECK(files.all.again() == -1);
}

TEST_CASE("a mapping keeps it, until the last piece of it goes") {
  Files files;
  OwnedFd fd = files.give(1, FileKind::buffer, 3 * 4096);
  auto* const bytes = static_cast<std::byte*>(::mmap(nullptr, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  REQUIRE(bytes != MAP_FAILED);
  fd = OwnedFd(-1);
  for (const std::size_t piece : {1U, 0U, 2U}) {
    files.all.reap();
    CHECK(files.all.count() == 1);
    ::munmap(bytes + piece * 4096, 4096);
  }
  files.all.reap();
  CHECK(files.all.count() == 0);
}

TEST_CASE("where the kernel lost count of what it told, all are looked at") {
  Files files;
  std::vector<OwnedFd> fds;
  for (int i = 0; i < 10; ++i) fds.push_back(files.give());
  // More events than the queue has room for (fs.inotify.max_queued_events), and no two alike in a row.
  std::FILE* const most_file = std::fopen("/proc/sys/fs/inotify/max_queued_events", "r");
  REQUIRE(most_file != nullptr);
  int most = 0;
  CHECK(std::fscanf(most_file, "%d", &most) == 1);
  std::fclose(most_file);
  if (most > 100'000) return;
  for (int i = 0; i < most + 10; ++i) opened_anew(fds[static_cast<std::size_t>(i % 2)].get());
  fds.erase(fds.begin() + 2, fds.end());
  files.all.reap();
  CHECK(files.all.count() == 2);
  CHECK(living == 2);
  fds.clear();
  files.all.reap();
  CHECK(files.all.count() == 0);
}

TEST_CASE("what a process left open is told of, once") {
  Files files;
  const OwnedFd first = files.give(7, FileKind::buffer, 4096), second = files.give(7, FileKind::buffer, 3 * 4096);
  const OwnedFd node = files.give(7, FileKind::device, 0), other = files.give(8, FileKind::device, 0);
  files.all.leaving(9);
  CHECK(files.all.left_by_process().empty());
  for (int turn = 0; turn < 3; ++turn) files.all.leaving(7);  // it may say so as often as it likes
  files.all.leaving(8);
  const auto left = files.all.left_by_process();
  REQUIRE(left.size() == 2);
  CHECK(left[0].process == 7);
  CHECK(left[0].buffers == 2);
  CHECK(left[0].bytes == 4 * 4096);
  CHECK(left[0].others == 1);
  CHECK(left[1].process == 8);
  CHECK(left[1].buffers == 0);
  CHECK(left[1].bytes == 0);
  CHECK(left[1].others == 1);
}

TEST_CASE("nobody waits long for one who is being given a file, and takes his time") {
  Files files;
  const OpenFiles::Giving slow(files.all);
  OwnedFd fd = files.give();
  fd = OwnedFd(-1);
  const auto start = std::chrono::steady_clock::now();
  files.all.settle();
  CHECK(files.all.count() == 0);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));  // it is 20 ms, and what the machine is behind
}

TEST_CASE("threads that give, find, close and look at once leave nothing behind") {
  const std::size_t before = open_fds();
  {
    Files files;
    std::atomic<int> not_found = 0;
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < 4; ++number) {
      threads.emplace_back([&files, &not_found, number] {
        for (int i = 0; i < 300; ++i) {
          OwnedFd fd = files.give(number);
          const OwnedFd second(number == 0 ? opened_anew(fd.get()) : OwnedFd(::dup(fd.get())));
          if (files.all.find(fd.get()) == nullptr) ++not_found;
          fd = OwnedFd(-1);
          files.all.reap();
          if (files.all.find(second.get()) == nullptr) ++not_found;
          if (i % 50 == 0) files.all.leaving(number);
          if (i % 16 == 0) files.all.settle();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(not_found == 0);
    files.all.reap();
    CHECK(files.all.count() == 0);
    CHECK(living == 0);
  }
  CHECK(open_fds() == before);
}
