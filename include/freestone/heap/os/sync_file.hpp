// A fence that a driver of the kernel signals: a sync_file (a dma-fence as a file, as GPUs and displays hand out).
#pragma once

#include <linux/sync_file.h>
#include <sys/ioctl.h>

#include <utility>

#include <freestone/heap/os/polled_fence.hpp>

namespace freestone {

// Signalled when all work behind it is done, also where some of it failed: nobody uses the memory then either way.
class SyncFile : public PolledFence {
 public:
  // Takes a descriptor of its own of the caller's sync_file. Errors: PolledFence::of's; os_failure (ENOTTY, of some
  // files EINVAL) where it is another kind of file, which might be readable from the first.
  static Result<SyncFile> of(int fd) noexcept {
    backing::OwnedFd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (own.get() < 0) return failed();
    sync_file_info info{};
    if (ioctl(own.get(), SYNC_IOC_FILE_INFO, &info) != 0) return failed();
    return SyncFile(std::move(own));
  }

 private:
  using PolledFence::PolledFence;
};

}  // namespace freestone
