// Which strategy should this heap use? A heap that writes down what it is asked for, keeps each purpose to its budget and
// counts it, in three lines of its type. The trace is what the bench reads:
//
//   ./08_traced_heap camera.csv && ./dev bench camera.csv
//
// Without an argument the trace is what it prints.
#include <array>
#include <cinttypes>
#include <cstdio>
#include <deque>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>
#include <freestone/zone/layers/limit.hpp>
#include <freestone/zone/layers/os/trace_csv.hpp>
#include <freestone/zone/layers/recorder.hpp>
#include <freestone/zone/layers/statistics.hpp>

using namespace freestone;

// The trace's unit of time is ours to choose: here, the number of the frame. (By default, the processor's own counter.)
struct FrameNumber {
  static inline std::uint64_t now = 0;
  std::uint64_t operator()() const noexcept { return now; }
};

using CameraZone = Zone<backing::MemoryFile, strategy::Segregated, lock::Spin, cache::Coherent>;
using TracedZone = layers::Recorder<CameraZone, FrameNumber>;
using BudgetedZone = layers::Limit<TracedZone, 3>;
using CameraHeap = layers::Statistics<BudgetedZone>;

enum Purpose : std::uint32_t { raw, picture, stream };

// A camera: each frame is a raw image for 1 frame, a picture made of it for 3, and a piece of the stream, whose length
// nobody knows before, for 8. Whatever there is no room for is dropped.
void run(CameraHeap& heap, int frames) {
  struct Held {
    Block block;
    std::uint64_t until;
  };
  std::deque<Held> held;
  const auto hold = [&](const Request& request, std::uint64_t for_frames) {
    if (auto block = heap.allocate(request)) held.push_back({*block, FrameNumber::now + for_frames});
  };
  for (int i = 0; i < frames; ++i, ++FrameNumber::now) {
    std::erase_if(held, [&](const Held& h) { return h.until == FrameNumber::now && heap.deallocate(h.block); });
    hold({.size = 1920 * 1080 * 2, .align = 64_KiB, .tag = raw}, 1);
    hold({.size = 1920 * 1080 * 3 / 2, .align = 4_KiB, .tag = picture}, 3);
    hold({.size = 20'000 + i * 7919 % 50'000 + (i % 6 == 0 ? 300'000 : 0), .tag = stream}, 8);
  }
}

int main(int argc, char** argv) {
  std::array<Event, 512> ring;  // what happens between two looks at it must find room here
  auto heap = CameraHeap::create({.name = "camera", .size = 16_MiB, .granule = 4_KiB},
                                 layers::LimitSettings{.bytes = 14_MiB}, std::span<Event>(ring));
  if (!heap) return std::puts(describe(heap.error()).c_str()), 1;
  if (auto set = heap->set_budget(stream, 640_KiB); !set) return std::puts(describe(set.error()).c_str()), 1;

  std::FILE* const file = argc > 1 ? std::fopen(argv[1], "w") : stdout;
  if (file == nullptr) return std::perror(argv[1]), 1;
  layers::TraceCsv csv(file);
  run(*heap, 24);
  if (auto written = csv.write_all(*heap); !written) return std::puts(describe(written.error()).c_str()), 1;
  if (heap->lost() != 0) return std::puts("the ring is too small"), 1;
  if (file == stdout) return 0;
  if (std::fclose(file) != 0) return std::perror(argv[1]), 1;

  const char* const names[] = {"raw", "picture", "stream"};
  for (const Purpose purpose : {raw, picture, stream}) {
    const layers::TagStats stats = heap->tag_stats(purpose);
    std::printf("%-8s %3" PRIu64 " calls, %" PRIu64 " refused, at most %" PRIu64 " KiB at once\n", names[purpose],
                stats.calls, stats.refusals, stats.most_bytes.value() >> 10);
  }
}
