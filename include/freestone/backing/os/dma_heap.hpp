#pragma once

#include <fcntl.h>
#include <linux/dma-heap.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <freestone/backing/os/dma_buf.hpp>

namespace freestone::backing {

// One dma-buf of a heap under /dev/dma_heap, which a board names by what its memory is like: `system` gives pages from
// anywhere, another heap one contiguous range. The bytes come zeroed and stay where they are; a driver that imports
// `fd()` sees a block at `file_offset()` plus its offset.
//
// Mapped cached: where a device does not see what the CPU's caches hold, an access wants DMA_BUF_IOCTL_SYNC round it.
class DmaHeap : public DmaBuf {
 public:
  struct Settings {
    const char* heap = "/dev/dma_heap/system";
  };

  // not_pages where the size is 0 or no multiple of a page. Then, of the heap: no_device, no_access (the error says
  // what is missing), limit_reached (open files, of which it takes two and keeps one), out_of_memory, node_failure with
  // errno (ENOTTY: it is no heap). Of a heap named system or system-…, more than is available now is out_of_memory:
  // asked for it, Linux kills processes before it says no. Of the mapping: out_of_memory, limit_reached (locked memory:
  // mlockall). Costs time that grows with the size: the kernel takes all pages now, and zeroes them.
  static Result<DmaHeap> create(const BackingRequest& request) noexcept { return create(request, Settings{}); }
  static Result<DmaHeap> create(const BackingRequest& request, const Settings& settings) noexcept {
    if (auto right = check_size(request, settings.heap); !right) return right.error();
    auto buffer = allocate(request, settings.heap);
    if (!buffer) return buffer.error();
    const int fd = buffer->get();
    auto made = map(request, *std::move(buffer), fd, settings.heap);
    if (!made) return made.error();
    return DmaHeap(*std::move(made));
  }

 private:
  explicit DmaHeap(DmaBuf buffer) noexcept : DmaBuf(std::move(buffer)) {}

  static Result<OwnedFd> allocate(const BackingRequest& request, const char* heap) noexcept {
    auto node = open_node(heap, O_RDONLY, request.name, request.size);  // who may read it may allocate from it
    if (!node) return node.error();
    if (request.size > available_in(heap)) {
      Error error = Error::of_node(ErrorCode::out_of_memory, heap, request.name);
      error.asked = request.size.value();
      return error;
    }
    dma_heap_allocation_data data{};
    data.len = request.size.value();
    data.fd_flags = O_RDWR | O_CLOEXEC;
    if (ioctl(node->get(), DMA_HEAP_IOCTL_ALLOC, &data) != 0) return node_error(heap, request.name, request.size);
    return OwnedFd(static_cast<int>(data.fd));
  }

  // Bytes of main memory, which system heaps take from; of others, and where nobody says, no bound is known.
  static std::uint64_t available_in(const char* heap) noexcept {
    constexpr std::uint64_t unknown = UINT64_MAX;
    const char* slash = std::strrchr(heap, '/');
    if (std::strncmp(slash == nullptr ? heap : slash + 1, "system", 6) != 0) return unknown;
    const OwnedFd file(open("/proc/meminfo", O_RDONLY | O_CLOEXEC));
    char text[512] = {};
    if (file.get() < 0 || read(file.get(), text, sizeof(text) - 1) <= 0) return unknown;
    const char* line = std::strstr(text, "MemAvailable:");
    return line == nullptr ? unknown : std::strtoull(line + std::strlen("MemAvailable:"), nullptr, 10) << 10;
  }
};

}  // namespace freestone::backing
