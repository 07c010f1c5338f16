// expects: Recorder: the Clock must be callable as std::uint64_t(), noexcept: what time it is.
#include <freestone/freestone.hpp>
#include <freestone/zone/layers/recorder.hpp>

using namespace freestone;

struct Stopped {
#ifdef ACCEPT
  std::uint64_t operator()() const noexcept { return 0; }
#else
  std::uint64_t operator()() const { return 0; }
#endif
};

using Plain = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;

static_assert(sizeof(layers::Recorder<Plain, Stopped>) > sizeof(Plain));
