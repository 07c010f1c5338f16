// expects: A heap's reserve is larger than the heap.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr auto kept = 64_KiB;
#else
constexpr auto kept = 65_KiB;
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>, reserve<kept>));
