// expects: Limit: Blocks must be 1 at least, for it follows each block that is live.
#include <freestone/zone/layers/limit.hpp>

#include <freestone/freestone.hpp>

using namespace freestone;

#ifdef ACCEPT
constexpr std::size_t blocks = 1;
#else
constexpr std::size_t blocks = 0;
#endif

using Plain = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;

static_assert(sizeof(layers::Limit<Plain, 0, blocks>) > sizeof(Plain));
