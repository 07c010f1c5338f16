// expects: A heap's base is no multiple of its granule or alignment (a power of two).
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr unsigned first = 0x1000;
#else
constexpr unsigned first = 0x1800;
#endif

inline constexpr auto board = heaps(heap<"odd">(id<20>, zone<Numbers>, size<64_KiB>, base<first>));
