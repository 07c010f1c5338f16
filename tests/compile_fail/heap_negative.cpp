// expects: a_number_of_a_board_is_not_negative
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr int bytes = 4096;
#else
constexpr int bytes = -4096;
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<bytes>));
