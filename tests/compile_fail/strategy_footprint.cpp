// expects: A Strategy must have static std::size_t footprint(Granules capacity) noexcept: the words that its map takes.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::of_strategy::Footprint;
#else
using Part = parts::Nothing;
#endif

struct Mine : Part, parts::of_strategy::Constants, parts::of_strategy::Format<Mine>, parts::of_strategy::Place,
              parts::of_strategy::Release, parts::of_strategy::Tell {};

static_assert(freestone::check_strategy<Mine>());
