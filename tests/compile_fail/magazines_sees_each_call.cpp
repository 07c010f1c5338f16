// expects: Magazines: a layer behind it must see each call, and sees none that a magazine serves, so write that layer before it.
#include <freestone/zone/layers/os/magazines.hpp>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/freestone.hpp>
#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/layers/statistics.hpp>

using namespace freestone;
using namespace freestone::layers;

using Plain = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, cache::Coherent>;

#ifdef ACCEPT
using Mine = Canaries<Magazines<Statistics<Plain>>>;
#else
using Mine = Magazines<Statistics<Canaries<Plain>>>;
#endif

static_assert(sizeof(Mine) > sizeof(Plain));
