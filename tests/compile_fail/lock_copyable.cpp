// expects: A Lock must be copyable: it is a view of words.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::Nothing;
#else
using Part = parts::NotCopyable;
#endif

struct Mine : Part, parts::of_lock::Constants, parts::of_lock::Words<Mine>, parts::of_lock::Locking {};

static_assert(freestone::check_lock<Mine>());
