// expects: A Fence must have bool has_signalled() const noexcept.
#include <freestone/heap/fence.hpp>

struct Mine {
#ifdef ACCEPT
  bool has_signalled() const noexcept;
#else
  bool has_signalled() noexcept;
#endif
};

static_assert(freestone::check_fence<Mine>());
