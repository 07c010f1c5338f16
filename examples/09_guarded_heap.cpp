// A heap that finds a double free, an overrun and a use after free, and says which block it was. Canaries lie round
// each block; blocks that went back are held for a while, filled with a pattern. Nothing but the type of the heap is
// another: leave the layers away, and the program is as it was.
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>
#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/layers/quarantine.hpp>

using namespace freestone;
using layers::Canaries, layers::CanarySettings, layers::Quarantine, layers::QuarantineSettings;
using Bare = Zone<backing::Anonymous, strategy::Segregated, lock::None, cache::Coherent>;
using GuardedHeap = Canaries<Quarantine<Bare>>;

void report(const char* what, const Result<void>& result) {
  if (result) return void(std::printf("%s: nothing was found\n", what));
  const Error& error = result.error();
  std::printf("%s, the block at %" PRIu64 ", byte %" PRIu64 ": %s\n", what, error.asked, error.available,
              describe(error.code));
}

int main() {
  auto heap = GuardedHeap::create({.name = "guarded", .size = 1_MiB, .granule = 64}, CanarySettings{},
                                  QuarantineSettings{.bytes = 64_KiB});
  if (!heap) return std::puts(describe(heap.error()).c_str()), 1;
  auto name = heap->allocate(10);
  auto frame = heap->allocate(1000);
  if (!name || !frame) return 1;

  // Ten bytes were asked for, and the end of this string is the eleventh.
  char* text = reinterpret_cast<char*>(heap->data(*name).data());
  std::strcpy(text, "ten bytes!");
  report("overrun", heap->deallocate(*name));
  std::printf("it is still there to be looked at: '%s'\n", text);
  if (!heap->forgive(name->offset()) || !heap->deallocate(*name)) return 1;

  const auto bytes = heap->data(*frame);
  if (!heap->deallocate(*frame)) return 1;
  report("double free", heap->deallocate(*frame));

  bytes[500] = std::byte{1};
  report("use after free", heap->check_all());
  if (!heap->forgive(frame->offset())) return 1;
  report("at the end", heap->check_all());
  std::printf("%" PRIu64 " blocks are live\n", heap->stats().blocks);
}
