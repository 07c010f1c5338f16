// expects: No heap of this board has that name.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
#define NAME "camera"
#else
#define NAME "Camera"
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>));
Bytes size_of(Heaps<decltype(heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>)))>& all) { return all.zone<NAME>().size(); }
