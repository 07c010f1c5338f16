// expects: NamedBlocks over a ZoneRef, or over RuntimeHeaps, which are such, cannot zero what it grants: say Fresh::as_found, and zero it yourself.
#include <freestone/heap/named_blocks.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
constexpr Fresh fresh = Fresh::as_found;
#else
constexpr Fresh fresh = Fresh::zeroed;
#endif

static_assert(sizeof(NamedBlocks<ZoneRef, lock::None, 4, fresh>) != 0);
