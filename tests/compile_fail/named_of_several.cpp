// expects: NamedBlocks takes a zone, a layer round one, a ReuseCache, a ZoneRef or heaps
#include <freestone/heap/fallback.hpp>
#include <freestone/heap/named_blocks.hpp>
#include "parts.hpp"

using namespace freestone;
using Z = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;
#ifdef ACCEPT
using Source = Z;
#else
using Source = Fallback<Z, Z>;
#endif

void use(NamedBlocks<Source>& names) { static_cast<void>(names.find("a")); }
