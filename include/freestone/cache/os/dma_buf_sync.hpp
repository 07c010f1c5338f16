#pragma once

#include <linux/dma-buf.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

#include <freestone/cache/concept.hpp>

namespace freestone::cache {

// DMA_BUF_IOCTL_SYNC itself: 0, or -1 with errno.
struct DmaBufIoctl {
  static int sync(int fd, std::uint64_t flags) noexcept {
    const dma_buf_sync call{.flags = flags};
    return ioctl(fd, DMA_BUF_IOCTL_SYNC, &call);
  }
};

// The kernel knows what the devices of a dma-buf need, and is told when the CPU begins and ends (DMA_BUF_IOCTL_SYNC). It
// knows the whole buffer only: a call for one block is one for all of them.
//
// A bracket that writes says that it reads too, at both ends: what a device wrote beside the bytes in question, in their
// lines and in the rest of the buffer, must be current before anything is written back.
//
// Errors: node_failure of the node "dma-buf" with errno (ENOTTY: the file is none).
template <class Kernel>
class BasicDmaBufSync {
 public:
  static constexpr Cacheability cacheability = Cacheability::cached;
  static constexpr bool needs_file = true;

  Result<void> begin(const CacheView& view, Access access) noexcept {
    return sync(view, DMA_BUF_SYNC_START | flags_of(access));
  }
  Result<void> end(const CacheView& view, Access access) noexcept {
    return sync(view, DMA_BUF_SYNC_END | flags_of(access));
  }

  // For whoever touched the bytes outside a bracket: one that is empty. (That of `clean` does not read: its start would
  // drop what was written.)
  Result<void> clean(const CacheView& view) noexcept { return bracket(view, DMA_BUF_SYNC_WRITE); }
  Result<void> invalidate(const CacheView& view) noexcept { return bracket(view, DMA_BUF_SYNC_READ); }

 private:
  static std::uint64_t flags_of(Access access) noexcept {
    return writes(access) ? DMA_BUF_SYNC_RW : DMA_BUF_SYNC_READ;
  }
  static Result<void> bracket(const CacheView& view, std::uint64_t flags) noexcept {
    if (const auto begun = sync(view, DMA_BUF_SYNC_START | flags); !begun) return begun;
    return sync(view, DMA_BUF_SYNC_END | flags);
  }
  static Result<void> sync(const CacheView& view, std::uint64_t flags) noexcept {
    if (view.size == 0) return {};
    int status = -1;
    do {
      status = Kernel::sync(view.fd.value_or(-1), flags);
    } while (status != 0 && (errno == EINTR || errno == EAGAIN));
    if (status == 0) return {};
    Error error = Error::of_node(ErrorCode::node_failure, "dma-buf", "");
    error.os_error = errno;
    error.asked = view.size.value();
    return error;
  }
};

using DmaBufSync = BasicDmaBufSync<DmaBufIoctl>;

}  // namespace freestone::cache
