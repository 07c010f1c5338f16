// expects: A Fence must be movable, and noexcept: it is kept until it has signalled.
#include <freestone/heap/fence.hpp>

struct Mine {
#ifndef ACCEPT
  Mine(Mine&&);
#endif
  bool has_signalled() const noexcept;
};

static_assert(freestone::check_fence<Mine>());
