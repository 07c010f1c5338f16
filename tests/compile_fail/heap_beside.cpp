// expects: A heap lies beside one that is not on this board, or beside itself.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
#define OTHER "camera"
#else
#define OTHER "nobody"
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>),
                             heap<"firmware">(id<21>, zone<Numbers>, size<64_KiB>, beside<OTHER>));
