// A stranger's program: sub-allocates a buffer that some API gave him.
#include <cstdio>
#include <freestone/freestone.hpp>

using namespace freestone;
using Heap = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

int main() {
  auto heap = Heap::create({.name = "vertices", .size = 1_MiB, .granule = 256});
  if (!heap) return 1;
  const auto block = heap->allocate({.size = 1000, .align = 512});
  if (!block) return 1;
  std::printf("%llu bytes at %llu\n", static_cast<unsigned long long>(block->size().value()),
              static_cast<unsigned long long>(block->offset().value()));
  return heap->deallocate(*block) ? 0 : 1;
}
