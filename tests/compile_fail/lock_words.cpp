// expects: A Lock L must have static L format(std::uint64_t* words) noexcept and attach, the same.
#include "parts.hpp"

struct Mine;
#ifdef ACCEPT
using Part = parts::of_lock::Words<Mine>;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_lock::Constants, parts::of_lock::Locking {};

static_assert(freestone::check_lock<Mine>());
