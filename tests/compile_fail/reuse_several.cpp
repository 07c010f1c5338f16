// expects: ReuseCache: it is over one zone, layers round one, or a ZoneRef.
#include <freestone/heap/fallback.hpp>
#include <freestone/heap/reuse_cache.hpp>
#include "parts.hpp"

using namespace freestone;
using Z = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;
#ifdef ACCEPT
using Behind = Z;
#else
using Behind = Fallback<Z, Z>;
#endif

void use(Behind& behind) { ReuseCache<Behind, BlockSizes<4096>, 8, scrub::Nothing> cache(behind); }
