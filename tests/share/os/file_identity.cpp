#include <freestone/share/os/file_identity.hpp>

#include <doctest/doctest.h>

#include <vector>

#include "support/child.hpp"
#include "support/fds.hpp"
#include "support/silent_folder.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

TEST_CASE("a file is itself by whatever descriptor, and no other") {
  std::vector<FileIdentity> seen;
  for (const auto& one : kinds_of_files("frames", 4096)) {
    const char* const kind = one.kind;
    const auto& fd = one.fd;
    CAPTURE(kind);
    const std::string name = kind;
    const auto identity = FileIdentity::of(fd.get());
    if (name == "pipe, to write") {
      CHECK(code_of(identity) == ErrorCode::foreign_file);
      continue;
    }
    REQUIRE(identity);
    const backing::OwnedFd copy(dup(fd.get()));
    CHECK(*FileIdentity::of(copy.get()) == *identity);
    CHECK(!is_dma_buf(fd.get()));
    // Those that Linux has one file for are one here too: why exports takes none of them.
    const bool is_shared = name == "epoll" || name == "timerfd" || name == "inotify" || name == "signalfd";
    for (const FileIdentity& other : seen) CHECK((is_shared || !(other == *identity)));
    seen.push_back(*identity);
  }
}

TEST_CASE("a path to a file is not the file, nor is a descriptor that is not open") {
  const backing::OwnedFd memory(memfd_create("frames", MFD_CLOEXEC));
  const auto as = [&](int flags) { return backing::OwnedFd(open(path_of(memory.get()).c_str(), flags | O_CLOEXEC)); };
  CHECK(*FileIdentity::of(as(O_RDONLY).get()) == *FileIdentity::of(memory.get()));
  CHECK(*FileIdentity::of(as(O_RDWR).get()) == *FileIdentity::of(memory.get()));
  CHECK(code_of(FileIdentity::of(as(O_WRONLY).get())) == ErrorCode::foreign_file);
  CHECK(code_of(FileIdentity::of(as(O_PATH).get())) == ErrorCode::foreign_file);
  CHECK(FileIdentity::of(-1).error().os_error == EBADF);
}

TEST_CASE("a file system that somebody else serves, and that never answers, keeps nobody waiting") {
  if (!holds_in_child([] { return SilentFolder().fd() >= 0; })) {
    MESSAGE("not tested: this system has no FUSE, or none for users without privileges");
    return;
  }
  CHECK(holds_in_child([] {
    const SilentFolder folder;
    return FileIdentity::of(folder.fd()) && !is_dma_buf(folder.fd());
  }));
}
