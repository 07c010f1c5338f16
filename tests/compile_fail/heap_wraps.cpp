// expects: A heap ends behind the last address.
#include <freestone/heap/heaps.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;
using namespace freestone::declare;

using Numbers = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr auto most = 64_KiB;
#else
constexpr auto most = 68_KiB;
#endif

inline constexpr auto board = heaps(heap<"top">(id<20>, zone<Numbers>, size<most>, base<~std::uint64_t{0xffff}>));
