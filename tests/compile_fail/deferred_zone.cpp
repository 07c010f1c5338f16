// expects: Deferred: it is over what has deallocate(Block), and owns(Block) and tag(), or for_each zone of several:
#include <freestone/heap/deferred.hpp>
#include <freestone/heap/timeline.hpp>
#include "parts.hpp"

using namespace freestone;
using Z = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;
using Point = Timeline<>::Fence;
#ifdef ACCEPT
using Behind = Z;
#else
using Behind = Deferred<Z, Point, 8>;
#endif

void use(Behind& behind) { Deferred<Behind, Point, 8> deferred(behind); }
