#include <freestone/backing/os/file.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include <freestone/cache/coherent.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/zone/zone.hpp>
#include "support/child.hpp"

using namespace freestone;
using namespace freestone::literals;
using backing::File;
using Kept = Zone<File, strategy::Bitmap, lock::None, cache::Coherent>;

namespace {

// A folder of its own, which is gone afterwards with the files that were named here.
class Folder {
 public:
  Folder() { REQUIRE(mkdtemp(path_) != nullptr); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    for (const char* file : {"zone", "text", "locked"}) unlink(in(file).c_str());
    rmdir(path_);
  }
  std::string in(const char* file) const { return std::string(path_) + "/" + file; }

 private:
  char path_[32] = "/tmp/freestone-file-XXXXXX";
};

Kept::Options options_for(const std::string& path) { return {.name = path.c_str(), .size = 1_MiB}; }

template <class R>
ErrorCode code_of(const R& result) {
  return result ? ErrorCode::none : result.error().code;
}
template <class Z = Kept>
ErrorCode attach_code(const std::string& path) {
  return code_of(Z::attach({.name = path.c_str(), .size = 1_MiB}, File::Source{}));
}

}  // namespace

TEST_CASE("a file keeps its blocks and bytes when nobody holds it") {
  const Folder folder;
  const std::string path = folder.in("zone");
  Bytes offset = 0;
  {
    auto zone = Kept::create(options_for(path));
    REQUIRE(zone);
    REQUIRE(zone->allocate(4_KiB));
    const auto block = zone->allocate(10'000);
    REQUIRE(block);
    offset = block->offset();
    std::memcpy(zone->data(*block).data(), "kept", 5);
    REQUIRE(zone->backing().sync());
  }
  auto zone = Kept::attach(options_for(path), File::Source{});
  REQUIRE(zone);
  CHECK(zone->stats().blocks == 2);
  zone->for_each_block([&](const Block& block) {
    if (block.offset() == offset) CHECK(std::memcmp(zone->data(block).data(), "kept", 5) == 0);
  });
  CHECK(zone->deallocate_at(offset));
}

TEST_CASE("of several that make the same file at once, one is first") {
  const Folder folder;
  const std::string path = folder.in("zone");
  for (int round = 0; round < 20; ++round) {
    constexpr int makers = 4;
    pid_t children[makers];
    for (pid_t& child : children) {
      child = fork();
      if (child != 0) continue;
      const auto zone = Kept::create(options_for(path));
      _exit(zone ? 10 : zone.error().code == ErrorCode::exists ? 11 : 12);
    }
    int first = 0;
    int late = 0;
    for (const pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      first += WIFEXITED(status) && WEXITSTATUS(status) == 10;
      late += WIFEXITED(status) && WEXITSTATUS(status) == 11;
    }
    REQUIRE(first == 1);
    REQUIRE(late == makers - 1);
    REQUIRE(attach_code(path) == ErrorCode::none);
    REQUIRE(unlink(path.c_str()) == 0);
  }
}

TEST_CASE("files of another kind, version or length are refused, and left as they are") {
  const Folder folder;
  const std::string path = folder.in("zone");
  CHECK(attach_code(path) == ErrorCode::no_device);
  REQUIRE(Kept::create(options_for(path)));
  CHECK(attach_code<Zone<File, strategy::Buddy, lock::None, cache::Coherent>>(path) == ErrorCode::wrong_strategy);
  const auto longer = Kept::attach({.name = path.c_str(), .size = 2_MiB}, File::Source{});
  CHECK(longer.error() ==
        Error{.code = ErrorCode::data_too_small, .asked = 2 << 20, .available = 1 << 20, .zone = path.c_str()});
  CHECK(code_of(Kept::attach({.name = path.c_str(), .size = 512_KiB}, File::Source{})) == ErrorCode::wrong_capacity);
  CHECK(code_of(Kept::attach({.name = path.c_str(), .size = 1_MiB, .granule = 8_KiB}, File::Source{})) ==
        ErrorCode::wrong_granule);

  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(fd >= 0);
  std::uint64_t header[5];  // magic, version, size, where the notes begin, and all that there is
  REQUIRE(pread(fd, header, sizeof(header), 0) == sizeof(header));
  const auto code_with = [&](int word, std::uint64_t value) {
    const auto at = static_cast<off_t>(8 * word);
    REQUIRE(pwrite(fd, &value, 8, at) == 8);
    const ErrorCode code = attach_code(path);
    REQUIRE(pwrite(fd, &header[word], 8, at) == 8);
    return code;
  };
  CHECK(code_with(0, 0) == ErrorCode::not_formatted);
  CHECK(code_with(1, 99) == ErrorCode::wrong_version);
  CHECK(code_with(2, 4096) == ErrorCode::data_too_small);
  CHECK(code_with(2, header[4]) == ErrorCode::cut_short);
  CHECK(code_with(3, header[4] + 1) == ErrorCode::cut_short);
  CHECK(code_with(3, header[4]) == ErrorCode::cut_short);  // no notes at all
  CHECK(code_with(4, ~std::uint64_t{0}) == ErrorCode::cut_short);
  CHECK(attach_code(path) == ErrorCode::none);

  // Notes that were never finished: the words behind the data are all 0.
  const std::string zeros(static_cast<std::size_t>(header[4] - header[3]), '\0');
  REQUIRE(pwrite(fd, zeros.data(), zeros.size(), static_cast<off_t>(65536 + header[3])) ==
          static_cast<ssize_t>(zeros.size()));
  CHECK(attach_code(path) == ErrorCode::not_formatted);
  struct stat status {};
  REQUIRE(fstat(fd, &status) == 0);
  REQUIRE(ftruncate(fd, status.st_size - 4096) == 0);
  const Error cut = Kept::attach({.name = path.c_str(), .size = 1_MiB}, File::Source{}).error();
  CHECK(cut.code == ErrorCode::cut_short);
  CHECK(cut.asked == static_cast<std::uint64_t>(status.st_size));
  CHECK(cut.available == static_cast<std::uint64_t>(status.st_size) - 4096);
  REQUIRE(ftruncate(fd, 10) == 0);
  CHECK(attach_code(path) == ErrorCode::not_formatted);
  close(fd);
}

TEST_CASE("notes that are cut short are found out at any length") {
  const Folder folder;
  const std::string path = folder.in("zone");
  REQUIRE(Kept::create(options_for(path)));
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  for (off_t length = status.st_size - 1; length > 0; length = length * 3 / 4) {
    REQUIRE(truncate(path.c_str(), length) == 0);
    const ErrorCode code = attach_code(path);
    CAPTURE(length);
    CHECK((code == ErrorCode::cut_short || code == ErrorCode::not_formatted));
  }
}

TEST_CASE("each reason why a file cannot be made or opened is an error of its own, which names it") {
  const Folder folder;
  CHECK(code_of(Kept::create({.name = "", .size = 1_MiB})) == ErrorCode::bad_name);
  CHECK(code_of(Kept::create(options_for(std::string(5000, 'x')))) == ErrorCode::bad_name);
  CHECK(code_of(Kept::create(options_for(folder.in(std::string(300, 'x').c_str())))) == ErrorCode::bad_name);
  CHECK(code_of(Kept::create(options_for(folder.in("none/zone")))) == ErrorCode::no_device);
  CHECK(attach_code(folder.in("")) == ErrorCode::node_failure);  // a folder
  const std::string path = folder.in("zone");
  REQUIRE(Kept::create(options_for(path)));
  CHECK(code_of(Kept::create(options_for(path))) == ErrorCode::exists);
  CHECK(tests::holds_in_child([&] {
    if (chmod(path.c_str(), 0640) != 0 || setgid(65534) != 0 || setuid(65534) != 0) return getuid() != 0;
    const auto zone = Kept::attach(options_for(path), File::Source{});
    return !zone && zone.error().code == ErrorCode::no_access && zone.error().missing == Privilege::cap_dac_override &&
           zone.error().node() == path;
  }));
  CHECK(tests::holds_in_child([&] {
    const rlimit none{.rlim_cur = 3, .rlim_max = 3};
    return setrlimit(RLIMIT_NOFILE, &none) == 0 && attach_code(path) == ErrorCode::limit_reached;
  }));
  const Error taken = Kept::create(options_for(path)).error();
  CHECK(taken.node() == path);
  CHECK(taken.zone == path);
  CHECK(tests::holds_in_child([&] {  // the file would be longer than it may be
    const rlimit small{.rlim_cur = 4096, .rlim_max = 4096};
    const std::string text = folder.in("text");
    return setrlimit(RLIMIT_FSIZE, &small) == 0 && code_of(Kept::create(options_for(text))) == ErrorCode::limit_reached &&
           access(text.c_str(), F_OK) != 0;
  }));
}

TEST_CASE("a disk that is full is an error, and no signal") {
  const Folder folder;
  const auto fills = [&](const char* size) {
    return tests::holds_in_child([&] {
      if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return getuid() != 0;
      if (mount("small", folder.in("").c_str(), "tmpfs", 0, size) != 0) return false;
      const std::string path = folder.in("zone");
      const auto zone = Kept::create({.name = path.c_str(), .size = 64_MiB, .granule = 64});
      return !zone && zone.error().code == ErrorCode::node_failure && zone.error().os_error == ENOSPC &&
             zone.error().node() == path && access(path.c_str(), F_OK) != 0;
    });
  };
  CHECK(fills("size=4k"));
  CHECK(fills("size=8k"));
  CHECK(fills("size=128k"));
}

TEST_CASE("one of whatever size it is, is taken up whole where none is asked for") {
  const Folder folder;
  const std::string path = folder.in("zone");
  using Small = Zone<File, strategy::Bitmap, lock::None, cache::Coherent>;
  REQUIRE(Small::create({.name = path.c_str(), .size = 64 * 1001, .granule = 64}));
  const auto zone = Small::attach({.name = path.c_str(), .granule = 64}, File::Source{});
  REQUIRE(zone);
  CHECK(zone->size() == 64 * 1001);
  CHECK(code_of(Small::create({.name = path.c_str(), .granule = 64})) == ErrorCode::zone_below_granule);
  CHECK(code_of(Small::attach({.name = path.c_str(), .granule = 0}, File::Source{})) == ErrorCode::granule_zero);
}

TEST_CASE("a backing that has a name is not made anew: the blocks in it stay") {
  const Folder folder;
  const std::string path = folder.in("zone");
  auto zone = Kept::create(options_for(path));
  REQUIRE(zone);
  REQUIRE(zone->allocate(4_KiB));
  const BackingRequest request{.name = path.c_str(), .size = 1_MiB, .granule = 4_KiB};
  CHECK(code_of(Kept::create(options_for(path), *File::attach(request, {}))) == ErrorCode::exists);
  CHECK(zone->stats().blocks == 1);
  REQUIRE(File::remove(path.c_str()));
  CHECK(File::remove(path.c_str()).error().code == ErrorCode::no_device);
  CHECK(File::remove("").error().code == ErrorCode::bad_name);
}

TEST_CASE("of several who come at once, one makes it and all have it") {
  const Folder folder;
  const std::string path = folder.in("zone");
  for (int round = 0; round < 20; ++round) {
    constexpr int comers = 4;
    pid_t children[comers];
    for (pid_t& child : children) {
      child = fork();
      if (child != 0) continue;
      auto zone = Kept::attach_or_create({.name = "kept", .size = 1_MiB}, File::Source{path.c_str()});
      _exit(zone && zone->size() == 1_MiB ? 10 : 11);
    }
    for (const pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 10));
    }
    REQUIRE(File::remove(path.c_str()));
  }
  CHECK(code_of(Kept::attach_or_create({.name = "kept", .size = 1_MiB}, File::Source{""})) == ErrorCode::bad_name);
  const std::string none = folder.in("none/zone");
  CHECK(code_of(Kept::attach_or_create({.name = "kept", .size = 1_MiB}, File::Source{none.c_str()})) ==
        ErrorCode::no_device);
}

TEST_CASE("a link that leads nowhere can neither be found nor made, and that is said") {
  const Folder folder;
  const std::string path = folder.in("text");
  REQUIRE(symlink(folder.in("none").c_str(), path.c_str()) == 0);
  CHECK(tests::holds_in_child([&] {
    return code_of(Kept::attach_or_create({.name = "kept", .size = 1_MiB}, File::Source{path.c_str()})) ==
           ErrorCode::exists;
  }));
}

TEST_CASE("what is no file does not hold up whoever opens it") {
  const Folder folder;
  REQUIRE(mkfifo(folder.in("text").c_str(), 0600) == 0);
  CHECK(tests::holds_in_child([&] { return attach_code(folder.in("text")) != ErrorCode::none; }));
}
