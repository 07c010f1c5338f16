// expects: Two heaps have the same name.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
#define OTHER "audio"
#else
#define OTHER "camera"
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>),
                             heap<OTHER>(id<21>, zone<Numbers>, size<64_KiB>));
