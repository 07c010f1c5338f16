// expects: Each heap is of one zone type: zone<Zone<...>>.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
#define OF zone<Numbers>,
#else
#define OF
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, OF size<64_KiB>));
