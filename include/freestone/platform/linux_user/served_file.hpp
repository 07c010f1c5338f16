// A memfd that others are given: a descriptor of a device's, a report, or a buffer's bytes; and whether they still have it.
#pragma once

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <utility>

#include <freestone/backing/os/node.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/share/os/failure.hpp>
#include <freestone/share/os/file_identity.hpp>

namespace freestone::linux_user {

// Which file a descriptor is of, however it was opened. Nothing is asked of a file system that somebody else serves.
inline Result<FileIdentity> identity_of(int fd) noexcept {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_BTIME, &status) != 0) {
    return detail::share_failure("descriptor");
  }
  return FileIdentity{.device = std::uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor,
                      .inode = status.stx_ino,
                      .born_seconds = status.stx_btime.tv_sec,
                      .born_nanoseconds = status.stx_btime.tv_nsec};
}

// The kernel counts who has the file: descriptors in whatever processes, those on their way between them, mappings. This
// process has it open once itself, which is not counted.
class ServedFile {
 public:
  // A file of so many zeros, with that name in /proc/PID/maps. Once it is opened nobody can make it shorter or longer, or
  // seal it in another way. Errors: limit_reached, out_of_memory, node_failure.
  static Result<ServedFile> create(const char* name, Bytes size) noexcept { return make(name, size); }
  // One whose text changes.
  static Result<ServedFile> create_text(const char* name) noexcept {
    auto file = make(name, 0);
    if (file && ::fcntl(file->fd(), F_ADD_SEALS, F_SEAL_SEAL) != 0) return detail::share_failure(name);
    return file;
  }

  const FileIdentity& identity() const noexcept { return identity_; }
  int fd() const noexcept { return own_.get(); }

  // It opened once more, with these flags of open's, for somebody else. Where the first is opened to be read, nobody can
  // ever write it, however he opens it again (/proc/self/fd), but for a text. Errors: as create.
  Result<backing::OwnedFd> open(int flags) const noexcept {
    const int never_written = (flags & O_ACCMODE) == O_RDONLY ? F_SEAL_FUTURE_WRITE : 0;
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | never_written;
    if (::fcntl(own_.get(), F_ADD_SEALS, seals) != 0 && errno != EPERM) return detail::share_failure("memfd");
    return reopen(own_.get(), flags);
  }

  // Whether nobody else has it, at this moment: then nobody can get it any more. The kernel grants a lease for writing
  // (fcntl(2), F_SETLEASE) to who alone has a file open. Cost: two system calls.
  bool is_only_ours() const noexcept {
    if (::fcntl(own_.get(), F_SETLEASE, F_WRLCK) != 0) return false;
    static_cast<void>(::fcntl(own_.get(), F_SETLEASE, F_UNLCK));
    return true;
  }

  // False: the kernel refuses.
  bool keep_mode(mode_t mode) const noexcept { return ::fchmod(own_.get(), mode) == 0; }

  // The text from now on. Whoever reads meanwhile may see some of each. False where there is no room.
  bool write_text(const char* text, std::size_t length) const noexcept {
    return ::ftruncate(own_.get(), 0) == 0 && ::pwrite(own_.get(), text, length, 0) == static_cast<ssize_t>(length);
  }

 private:
  ServedFile(backing::OwnedFd own, const FileIdentity& identity) noexcept
      : own_(std::move(own)), identity_(identity) {}

  static Result<ServedFile> make(const char* name, Bytes size) noexcept {
    const backing::OwnedFd made(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (made.get() < 0) return detail::share_failure(name);
    if (::ftruncate(made.get(), static_cast<off_t>(size.value())) != 0) return detail::share_failure(name);
    // What memfd_create opened is no writer in the kernel's count; what open opened is.
    auto own = reopen(made.get(), O_RDWR);
    if (!own) return own.error();
    const auto identity = identity_of(own->get());
    if (!identity) return identity.error();
    return ServedFile(*std::move(own), *identity);
  }

  static Result<backing::OwnedFd> reopen(int fd, int flags) noexcept {
    std::array<char, 32> path;
    std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd);
    backing::OwnedFd opened(::open(path.data(), flags | O_CLOEXEC));
    if (opened.get() < 0) return detail::share_failure("/proc/self/fd");
    return opened;
  }

  backing::OwnedFd own_;
  FileIdentity identity_;
};

// Tells when files may have lost their last holder: each time somebody's last descriptor or mapping of one goes.
class FileWatch {
 public:
  // Errors: limit_reached (fs.inotify.max_user_instances), out_of_memory.
  static Result<FileWatch> create() noexcept {
    backing::OwnedFd queue(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (queue.get() < 0) return detail::share_failure("inotify");
    return FileWatch(std::move(queue));
  }

  // The number that its events will have. Errors: no_space (fs.inotify.max_user_watches), out_of_memory.
  Result<int> add(const ServedFile& file) const noexcept {
    std::array<char, 32> path;
    std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", file.fd());
    const int watch = ::inotify_add_watch(queue_.get(), path.data(), IN_CLOSE);
    if (watch < 0) return detail::share_failure("inotify");
    return watch;
  }
  void remove(int watch) const noexcept { static_cast<void>(::inotify_rm_watch(queue_.get(), watch)); }

  // visit(watch) for each event that has come; visit(-1) where some were lost, and it may be any.
  template <class Visit>
  void take(Visit&& visit) const noexcept {
    alignas(inotify_event) std::array<char, 4096> bytes;
    // A read takes all that there is room for: where the longest would still have had room, there was no more.
    constexpr auto full = static_cast<ssize_t>(bytes.size() - sizeof(inotify_event) - NAME_MAX);
    for (ssize_t length = full; length >= full;) {
      length = ::read(queue_.get(), bytes.data(), bytes.size());
      if (length <= 0) return;
      for (const char* at = bytes.data(); at < bytes.data() + length;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        at += sizeof *event + event->len;
        if ((event->mask & IN_Q_OVERFLOW) != 0) visit(-1);
        if ((event->mask & IN_CLOSE) != 0) visit(event->wd);
      }
    }
  }

  // To be waited for (poll): it stays the watch's.
  int fd() const noexcept { return queue_.get(); }

 private:
  explicit FileWatch(backing::OwnedFd queue) noexcept : queue_(std::move(queue)) {}

  backing::OwnedFd queue_;
};

}  // namespace freestone::linux_user
