// expects: A Lock must have void lock() noexcept and void unlock() noexcept.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_lock::Locking;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_lock::Constants, parts::of_lock::Words<Mine> {};

static_assert(freestone::check_lock<Mine>());
