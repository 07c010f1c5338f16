// expects: A heap's size is a multiple of its granule, which is a power of two, and not 0.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr auto bytes = 64_KiB;
#else
constexpr auto bytes = 65_KiB;
#endif

inline constexpr auto board = heaps(heap<"odd">(id<20>, zone<Numbers>, size<bytes>));
