// expects: Two heaps have the same id.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr unsigned other = 21;
#else
constexpr unsigned other = 20;
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>),
                             heap<"audio">(id<other>, zone<Numbers>, size<64_KiB>));
