// expects: Statistics: Slots must be a power of two, 4 or more.
#include <freestone/freestone.hpp>
#include <freestone/zone/layers/statistics.hpp>

using namespace freestone;

using Plain = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;

#ifdef ACCEPT
constexpr std::size_t slots = 128;
#else
constexpr std::size_t slots = 100;
#endif

static_assert(sizeof(layers::Statistics<Plain, 4, slots>) > sizeof(Plain));
