// A zone over numbers only: 1 TiB of a device's address space, cut without touching (or having) a byte of it. The same
// sub-allocates a GPU buffer, blocks of a disk, or ids.
#include <cinttypes>
#include <cstdio>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>

using namespace freestone;
using AddressSpace = Zone<backing::OffsetSpace, strategy::Buddy, lock::None, cache::Coherent>;

void print(const char* what, const Block& block) {
  std::printf("%-9s %12" PRIu64 " KiB at %#14" PRIx64 "\n", what, block.size().value() >> 10, block.offset().value());
}

int main() {
  auto space = AddressSpace::create({.name = "device", .size = 1_TiB, .granule = 2_MiB});
  if (!space) return std::puts(describe(space.error()).c_str()), 1;

  // An Owned block goes back by itself; `*owned` is the block.
  auto weights = space->allocate_owned({.size = 300_GiB});
  auto window = space->allocate_owned({.size = 6_MiB, .align = 1_GiB});
  if (!weights || !window) return 1;
  print("weights", **weights);
  print("window", **window);

  // A buddy grants powers of two, so the second 300 GiB take the other half but for the window: it says what was free.
  auto more = space->allocate({.size = 300_GiB});
  if (!more) std::puts(describe(more.error()).c_str());

  const Stats stats = space->stats();
  std::printf("%" PRIu64 " blocks, largest free %" PRIu64 " GiB, notes of %" PRIu64 " KiB\n", stats.blocks,
              stats.largest_free.value() >> 30, stats.metadata.value() >> 10);
}
