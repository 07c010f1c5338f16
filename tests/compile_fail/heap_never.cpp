// expects: no_heap_of_this_board_can_ever_meet_these_constraints
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr auto wanted = 64_KiB;
#else
constexpr auto wanted = 65_KiB;
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>));
inline constexpr Constraints frame = board.require({.size = wanted});
