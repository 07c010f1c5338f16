// expects: nodiscard
#include <freestone/freestone.hpp>

using namespace freestone;
using Plain = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;

bool give_back(Plain& heap, const Block& block) {
#ifdef ACCEPT
  return bool(heap.deallocate(block));
#else
  heap.deallocate(block);
  return true;
#endif
}
