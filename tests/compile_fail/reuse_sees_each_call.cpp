// expects: ReuseCache: a layer behind it must see each call, and sees none that is served from what is kept:
#include <freestone/heap/reuse_cache.hpp>
#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/layers/limit.hpp>
#include <freestone/zone/layers/scrub.hpp>
#include "parts.hpp"

using namespace freestone;
using Z = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;
#ifdef ACCEPT
using Behind = layers::Scrub<layers::Limit<Z>>;
#else
using Behind = layers::Scrub<layers::Canaries<Z>>;
#endif

void use(Behind& behind) { ReuseCache<Behind, BlockSizes<4096>, 8> cache(behind); }
