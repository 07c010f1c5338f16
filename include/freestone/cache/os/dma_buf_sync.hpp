#pragma once

#include <linux/dma-buf.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

#include <freestone/cache/concept.hpp>

namespace freestone::cache {

// The kernel knows what the devices of a dma-buf need, and is told when the CPU begins and ends (DMA_BUF_IOCTL_SYNC). It
// knows the whole buffer only: a call for one block is one for all of them.
//
// Errors: node_failure of the node "dma-buf" with errno (ENOTTY: the file is none).
class DmaBufSync {
 public:
  static constexpr Cacheability cacheability = Cacheability::cached;
  static constexpr bool needs_file = true;

  Result<void> begin(const CacheView& view, Access access) noexcept {
    return sync(view, DMA_BUF_SYNC_START | flags_of(access));
  }
  Result<void> end(const CacheView& view, Access access) noexcept {
    return sync(view, DMA_BUF_SYNC_END | flags_of(access));
  }

  // For whoever touched the bytes outside a bracket: one that is empty.
  Result<void> clean(const CacheView& view) noexcept { return bracket(view, Access::write); }
  Result<void> invalidate(const CacheView& view) noexcept { return bracket(view, Access::read); }

 private:
  static std::uint64_t flags_of(Access access) noexcept {
    return (access != Access::write ? DMA_BUF_SYNC_READ : 0U) | (writes(access) ? DMA_BUF_SYNC_WRITE : 0U);
  }
  Result<void> bracket(const CacheView& view, Access access) noexcept {
    if (const auto begun = begin(view, access); !begun) return begun;
    return end(view, access);
  }
  static Result<void> sync(const CacheView& view, std::uint64_t flags) noexcept {
    if (view.size == 0) return {};
    const dma_buf_sync call{.flags = flags};
    const int fd = view.fd.value_or(-1);
    int status = -1;
    do {
      status = ioctl(fd, DMA_BUF_IOCTL_SYNC, &call);
    } while (status != 0 && (errno == EINTR || errno == EAGAIN));
    if (status == 0) return {};
    Error error = Error::of_node(ErrorCode::node_failure, "dma-buf", "");
    error.os_error = errno;
    error.asked = view.size.value();
    return error;
  }
};

}  // namespace freestone::cache
