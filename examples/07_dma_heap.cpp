// A zone over one dma-buf of the system's dma-heap: a camera or an encoder imports it once, and a frame is then a pair
// of numbers, its offset and its length in that file. Where there is no heap, or none that we may use, it says so.
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <freestone/backing/os/dma_heap.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>

using namespace freestone;
using FrameZone = Zone<backing::DmaHeap, strategy::BestFit, lock::None, cache::Coherent>;

constexpr backing::DmaHeap::Settings settings{.heap = "/dev/dma_heap/system"};

// The memory may be cached while the device does not see caches: each access of the CPU says when it begins and ends.
bool sync(int fd, std::uint64_t what) {
  dma_buf_sync request{what};
  return ioctl(fd, DMA_BUF_IOCTL_SYNC, &request) == 0;
}

// Stands for the device: it has the file descriptor and two numbers, and nothing else of ours.
void print_as_device(int fd, std::uint64_t offset, std::size_t length) {
  void* frame = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset));
  if (frame == MAP_FAILED) return;
  std::printf("the device reads at %7" PRIu64 ": %s\n", offset, static_cast<const char*>(frame));
  munmap(frame, length);
}

int main() {
  auto zone = FrameZone::create({.name = "frames", .size = 16_MiB, .granule = 4_KiB}, settings);
  if (!zone) {
    std::puts(describe(zone.error()).c_str());
    const ErrorCode code = zone.error().code;
    const bool lacks_it = code == ErrorCode::no_device || code == ErrorCode::no_access;
    return lacks_it ? 77 : 1;  // 77, to a test: this machine lacks what it takes
  }
  const int fd = zone->backing().fd();
  for (const char* text : {"the first frame", "the second frame"}) {
    auto frame = zone->allocate({.size = 3'110'400, .align = 64_KiB});
    if (!frame || !sync(fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE)) return 1;
    std::memcpy(zone->data(*frame).data(), text, std::strlen(text) + 1);
    if (!sync(fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE)) return 1;
    const Bytes offset = zone->backing().file_offset() + frame->offset();
    print_as_device(fd, offset.value(), zone->data(*frame).size());
  }
  std::printf("%" PRIu64 " of %" PRIu64 " bytes are in use\n", zone->stats().used.value(),
              zone->backing().size().value());
}
