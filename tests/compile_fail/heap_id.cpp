// expects: Each heap has an id from 0 to 63: id<20>.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr unsigned last = 63;
#else
constexpr unsigned last = 64;
#endif

inline constexpr auto board = heaps(heap<"last">(id<last>, zone<Numbers>, size<64_KiB>));
