// expects: No heap of this board has that id.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr unsigned asked = 20;
#else
constexpr unsigned asked = 21;
#endif

Bytes size_of(Heaps<decltype(heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>)))>& all) { return all.zone(id<asked>).size(); }
