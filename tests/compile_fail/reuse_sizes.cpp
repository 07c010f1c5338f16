// expects: ReuseCache: the sizes of blocks must ascend, and none may be 0.
#include <freestone/heap/reuse_cache.hpp>
#include "parts.hpp"

using namespace freestone;
using Z = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;
#ifdef ACCEPT
using Sizes = BlockSizes<4096, 65536>;
#else
using Sizes = BlockSizes<65536, 4096>;
#endif

void use(Z& zone) { ReuseCache<Z, Sizes, 8> cache(zone); }
