// What the tests of all backings over a dma-buf ask.
#pragma once

#include <doctest/doctest.h>
#include <grp.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <typeinfo>
#include <utility>

#include <freestone/backing/os/dma_buf.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "laws/backing.hpp"
#include "support/child.hpp"

namespace freestone::tests {

inline constexpr BackingRequest frames{.name = "frames", .size = 64 << 10, .granule = 4096, .notes_words = 100};

// Is the node there? The guest of ./dev vm must have it; elsewhere the test says what it lacks, and ends.
inline bool is_there(const char* node) {
  if (access(node, R_OK | W_OK) == 0) return true;
  const std::string why = std::string(node) + ": " + std::strerror(errno);
  REQUIRE_MESSAGE(std::getenv("FREESTONE_VM") == nullptr, why << ", and this is the guest, which has one");
  MESSAGE("skipped: " << why << " (./dev vm has one)");
  return false;
}

inline std::ptrdiff_t open_files() {
  const std::filesystem::directory_iterator files("/proc/self/fd");
  return std::distance(begin(files), end(files));
}

// What the action fails with; none where it does not. It leaves no file open.
template <class Action>
Error error_of(Action&& action) {
  const auto before = open_files();
  const auto made = action();
  const Error error = made ? Error{} : made.error();
  if (!made) CHECK(open_files() == before);
  return error;
}

// The same with room for `more` open files only.
template <class Action>
Error error_with_files(unsigned more, Action&& action) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  int limit = 0;
  for (unsigned free = 0; free < more || fcntl(limit, F_GETFD) >= 0; ++limit) free += fcntl(limit, F_GETFD) < 0;
  const rlimit low{static_cast<rlim_t>(limit), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &low);
  const auto made = action();
  const Error error = made ? Error{} : made.error();
  setrlimit(RLIMIT_NOFILE, &before);
  return error;
}

// Becomes nobody, but for one group, which may be 65534. Of a child only.
inline bool become_nobody(gid_t group) {
  return geteuid() != 0 || (setgroups(1, &group) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
}

// Locks all memory from now on as it is mapped, and so little of it may be locked that nothing can be mapped. By the
// system call, for sanitizers leave mlockall() out.
inline bool lock_what_is_mapped() {
  const rlimit low{4096, 4096};
  return setrlimit(RLIMIT_MEMLOCK, &low) == 0 && syscall(SYS_mlockall, MCL_FUTURE) == 0;
}

// All laws of what it has.
template <class B>
void check_laws() {
  boost::hana::for_each(
      boost::hana::tuple_t<laws::GivesWhatWasAsked, laws::DataAndNotesLieApart, laws::AMoveTakesEverything,
                           laws::TwoShareNothing, laws::TheFileHoldsTheBytes>,
      [](auto law) {
        using Law = typename decltype(law)::type;
        INFO(typeid(Law).name());
        CHECK(Law::template holds<B>());
      });
}

// The file again, as a driver or another process has it.
class Import {
 public:
  explicit Import(int fd, std::size_t bytes) : fd_(dup(fd)), bytes_(bytes) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (at != MAP_FAILED) data_ = static_cast<std::byte*>(at);
  }
  Import(const Import&) = delete;
  ~Import() {
    if (data_ != nullptr) munmap(data_, bytes_);
    close(fd_);
  }
  std::byte* data() const { return data_; }
  bool is_dma_buf() const {
    dma_buf_sync sync{DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW};
    if (ioctl(fd_, DMA_BUF_IOCTL_SYNC, &sync) != 0) return false;
    sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW;
    return ioctl(fd_, DMA_BUF_IOCTL_SYNC, &sync) == 0;
  }

 private:
  int fd_;
  std::size_t bytes_;
  std::byte* data_ = nullptr;
};

// Whoever has the fd finds a block's bytes at the file's offset plus the block's, and has them for as long as he likes.
template <class B>
void check_round_trip() {
  const auto files = open_files();
  std::optional<Import> import;
  std::size_t at = 0;
  {
    auto zone = Zone<B, strategy::Bitmap, lock::None, cache::Coherent>::create({.name = "frames", .size = 1_MiB});
    REQUIRE(zone);
    REQUIRE(zone->allocate({.size = 12'288}));
    auto block = zone->allocate({.size = 8192, .align = 64_KiB});
    REQUIRE(block);
    at = static_cast<std::size_t>((zone->backing().file_offset() + block->offset()).value());
    CHECK(at == 65'536);
    import.emplace(zone->backing().fd(), std::size_t{1} << 20);
    REQUIRE(import->data() != nullptr);
    CHECK(import->is_dma_buf());
    CHECK((fcntl(zone->backing().fd(), F_GETFD) & FD_CLOEXEC) != 0);
    const auto bytes = zone->data(*block);
    CHECK(bytes.data() != import->data() + at);
    CHECK(bytes[0] == std::byte{0});
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
    CHECK(std::equal(bytes.begin(), bytes.end(), import->data() + at));
    import->data()[at + 5000] = std::byte{0xA5};
    CHECK(bytes[5000] == std::byte{0xA5});
    CHECK(zone->deallocate(*block));
  }
  CHECK(import->data()[at + 1] == std::byte{8});  // the zone is gone
  CHECK(import->data()[at + 5000] == std::byte{0xA5});
  import.reset();
  CHECK(open_files() == files);
}

// A size that no dma-buf has is refused before anything is opened.
template <class B>
void check_sizes() {
  for (const std::uint64_t size : {0U, 1U, 4095U, 4097U, 65'000U}) {
    const Error error = error_of([&] { return B::create({.name = "frames", .size = size, .granule = 1}); });
    CHECK(error.code == ErrorCode::not_pages);
    CHECK(error.asked == size);
    CHECK(error.node() != std::string());
  }
  const Error no_memory = error_of([] { return B::create({.size = ~std::uint64_t{4095}}); });
  CHECK(no_memory.code == ErrorCode::out_of_memory);
  CHECK(no_memory.node() != std::string());
}

// Errors of what is named instead of the device; `settings` makes the backing's of a name.
template <class B, class SettingsOf>
void check_names(SettingsOf&& settings) {
  const auto create = [&](const char* node) { return error_of([&] { return B::create(frames, settings(node)); }); };
  const Error none = create("/dev/freestone_has_none");
  CHECK(none.code == ErrorCode::no_device);
  CHECK(
      describe(none) ==
      "zone 'frames': /dev/freestone_has_none: there is none, or it is gone: No such file or directory (asked 65536)");
  const Error no_buffers = create("/dev/null");
  CHECK(no_buffers.code == ErrorCode::node_failure);
  CHECK(no_buffers.os_error == ENOTTY);
  CHECK(no_buffers.node() == std::string("/dev/null"));
  char plain[] = "/tmp/freestone_plain_XXXXXX";
  const int file = mkstemp(plain);
  REQUIRE(file >= 0);
  const Error a_file = create(plain);
  CHECK(a_file.code == ErrorCode::node_failure);
  CHECK(a_file.os_error == ENOTTY);
  CHECK(describe(a_file).find(plain) != std::string::npos);
  close(file);
  unlink(plain);
}

// In the guest, where the node is given to group 44: who is not in it learns its name, who is in it may go on.
template <class B>
void check_group(const char* node) {
  if (geteuid() != 0 || std::getenv("FREESTONE_VM") == nullptr) {
    MESSAGE("skipped: changing who may open " << std::string(node) << " is for the guest of ./dev vm");
    return;
  }
  struct stat before {};
  REQUIRE(stat(node, &before) == 0);
  REQUIRE((chown(node, 0, 44) == 0 && chmod(node, 0660) == 0));
  CHECK(holds_in_child([] {
    if (!become_nobody(65534)) return false;
    const auto files = open_files();
    const auto made = B::create(frames);
    return !made && made.error().code == ErrorCode::no_access && made.error().missing == Privilege::group_of_node &&
           describe(made.error()).find("in group 'video'") != std::string::npos && open_files() == files;
  }));
  CHECK(holds_in_child([] { return become_nobody(44) && static_cast<bool>(B::create(frames)); }));
  CHECK(holds_in_child([] {
    if (!become_nobody(44) || !lock_what_is_mapped()) return false;
    const auto files = open_files();
    const auto made = B::create(frames);
    return !made && made.error().code == ErrorCode::limit_reached && made.error().os_error == EAGAIN &&
           made.error().node() == std::string("locked memory") && open_files() == files;
  }));
  CHECK((chown(node, before.st_uid, before.st_gid) == 0 && chmod(node, before.st_mode & 07777) == 0));
}

}  // namespace freestone::tests
