// expects: Magazines: the zone has a Lock that keeps nothing, so there is none to save.
#include <freestone/zone/layers/os/magazines.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
using Mine = lock::Spin;
#else
using Mine = lock::None;
#endif

using Plain = Zone<backing::Borrowed, strategy::Bitmap, Mine, cache::Coherent>;

static_assert(sizeof(layers::Magazines<Plain>) > sizeof(Plain));
