// expects: Something is said of a heap twice: two ids, two sizes, ...
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
#define AGAIN
#else
#define AGAIN , id<7>
#endif

inline constexpr auto board = heaps(heap<"last">(id<6>, zone<Numbers>, size<64_KiB> AGAIN));
