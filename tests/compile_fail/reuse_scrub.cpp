// expects: ReuseCache: the blocks of this zone cannot be scrubbed so.
#include <freestone/heap/reuse_cache.hpp>
#include "parts.hpp"

using namespace freestone;
using Z = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;
#ifdef ACCEPT
using Scrubber = scrub::Nothing;
#else
using Scrubber = scrub::Zero;
#endif

void use(Z& zone) { ReuseCache<Z, BlockSizes<4096>, 8, Scrubber> cache(zone); }
