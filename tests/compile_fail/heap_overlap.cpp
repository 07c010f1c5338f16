// expects: Two heaps overlap.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr std::uint64_t other = 0x2'0000;
#else
constexpr std::uint64_t other = 0x1'f000;
#endif

inline constexpr auto board = heaps(heap<"camera">(id<20>, zone<Numbers>, size<64_KiB>, base<0x1'0000>),
                             heap<"audio">(id<21>, zone<Numbers>, size<64_KiB>, base<other>));
