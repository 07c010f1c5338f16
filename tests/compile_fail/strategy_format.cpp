// expects: A Strategy S must have static Result<S> format(std::span<std::uint64_t>, const Geometry&) noexcept and attach, the same.
#include "parts.hpp"

struct Mine;
#ifdef ACCEPT
using Part = parts::of_strategy::Format<Mine>;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_strategy::Constants, parts::of_strategy::Footprint, parts::of_strategy::Place,
              parts::of_strategy::Release, parts::of_strategy::Tell {};

static_assert(freestone::check_strategy<Mine>());
