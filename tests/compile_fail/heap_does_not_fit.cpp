// expects: the heaps of this board do not fit
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr auto dram = 128_KiB;
#else
constexpr auto dram = 124_KiB;
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>),
                             heap<"audio">(id<21>, zone<Numbers>, size<64_KiB>));
constexpr Memory memories[] = {{.name = "dram", .base = 0x8000'0000, .size = dram}};
static_assert(board.lay_out(memories), "the heaps of this board do not fit");
