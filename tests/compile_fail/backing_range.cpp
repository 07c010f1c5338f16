// expects: A Backing must have Bytes size() const noexcept, Bytes base() const noexcept and std::span<std::uint64_t> notes() noexcept.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_backing::Range;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_backing::Constants {};

static_assert(freestone::check_backing<Mine>());
