// expects: Two heaps lie beside the same one.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
#define OTHER "firmware"
#else
#define OTHER "camera"
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>),
                             heap<"firmware">(id<21>, zone<Numbers>, size<64_KiB>, beside<"camera">),
                             heap<"more">(id<22>, zone<Numbers>, size<64_KiB>, beside<OTHER>));
