// expects: A Lock must have the constants std::size_t words and bool process_shared.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_lock::Constants;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_lock::Words<Mine>, parts::of_lock::Locking {};

static_assert(freestone::check_lock<Mine>());
