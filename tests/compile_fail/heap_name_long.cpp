// expects: A heap's name has 1 to 31 characters.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
#define NAME "a234567890123456789012345678901"
#else
#define NAME "a2345678901234567890123456789012"
#endif

inline constexpr auto board = heaps(heap<NAME>(id<20>, zone<Numbers>, size<64_KiB>));
