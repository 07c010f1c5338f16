// expects: A heap is of a zone, or of a layer round one: of several zones that look like one, make a heap each.
#include <freestone/heap/fallback.hpp>
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
using Mine = Numbers;
#else
using Mine = Fallback<Numbers, Numbers>;
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Mine>, size<64_KiB>));
