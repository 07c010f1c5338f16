// expects: Sized: the Sizing must be callable as Bytes(Bytes), const and noexcept: the size to ask for.
#include <freestone/freestone.hpp>

using namespace freestone;

struct Twice {
#ifdef ACCEPT
  Bytes operator()(Bytes size) const noexcept { return size + size; }
#else
  Bytes operator()(Bytes size) { return size + size; }
#endif
};

using Plain = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;

static_assert(sizeof(layers::Sized<Plain, Twice>) == sizeof(Plain));
