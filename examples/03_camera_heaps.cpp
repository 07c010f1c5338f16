// One camera, three heaps, three answers to the same four questions. Which strategy a real trace needs, `./dev bench` says.
#include <cinttypes>
#include <cstdio>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>
#include <freestone/lock/os/mutex.hpp>

using namespace freestone;

// Frames: few, large, all of one size, and other processes show them: a file. A frame of 3,110,400 bytes would cost a
// buddy 4 MiB, so a bitmap, whose blocks are exact in granules. The driver and the application call: a lock that waits
// across processes.
using FrameHeap = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;

// The codec: tiles and bitstreams of many sizes come and go all the time, and what is free must come together again. A
// buddy places and merges in O(log n) however full it is. Only threads of this process call: a mutex.
using CodecHeap = Zone<backing::Anonymous, strategy::Buddy, lock::Mutex, cache::Coherent>;

// Metadata: one small table for the sensor, at a place of its own, taken at start and kept. Seven words of notes are
// enough, and nobody else calls: no lock. Its words and bytes are ours: no system call, good on bare metal too.
using TableHeap = Zone<backing::Borrowed, strategy::AllOrNothing, lock::None, cache::Coherent>;

template <class Heap>
void report(Heap& heap, Bytes asked) {
  const Stats stats = heap.stats();
  std::printf("%-7s %3" PRIu64 " blocks of %7" PRIu64 " bytes cost %8" PRIu64 " of %8" PRIu64 ", notes %5" PRIu64 "\n",
              heap.name(), stats.blocks, asked.value(), stats.used.value(), stats.capacity.value(), stats.metadata.value());
}

// Takes blocks of one size until the heap refuses, and says what they cost.
template <class Heap>
void fill(Heap& heap, const Request& request) {
  auto block = heap.allocate(request);
  while (block) block = heap.allocate(request);
  report(heap, request.size);
  std::printf("        then %s\n", describe(block.error()).c_str());
}

int main() {
  auto frames = FrameHeap::create({.name = "frames", .size = 16_MiB, .granule = 4_KiB});
  auto codec = CodecHeap::create({.name = "codec", .size = 1_MiB, .granule = 4_KiB});
  alignas(64) static std::byte bytes[4096];
  static std::uint64_t notes[TableHeap::notes_words(sizeof(bytes), 64)];
  auto table = TableHeap::create({.name = "table", .granule = 64}, backing::Borrowed(bytes, notes));
  if (!frames || !codec || !table) return std::puts("no heap"), 1;

  fill(*frames, {.size = 3'110'400, .align = 64_KiB});
  fill(*codec, {.size = 20'000});
  fill(*table, {.size = 2'000});
}
