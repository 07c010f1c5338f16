// expects: Statistics: the Clock must be callable as std::uint64_t(), noexcept: what time it is; or be NoClock.
#include <freestone/freestone.hpp>
#include <freestone/zone/layers/statistics.hpp>

using namespace freestone;

struct Stopped {
#ifdef ACCEPT
  std::uint64_t operator()() const noexcept { return 0; }
#else
  const char* operator()() const noexcept { return ""; }
#endif
};

using Plain = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;

static_assert(sizeof(layers::Statistics<Plain, 4, 64, Stopped>) > sizeof(Plain));
