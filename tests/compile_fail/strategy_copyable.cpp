// expects: A Strategy must be copyable: it is a view of words.
#include "parts.hpp"

#ifdef ACCEPT
using Part = parts::Nothing;
#else
using Part = parts::NotCopyable;
#endif

struct Mine : Part, parts::of_strategy::Constants, parts::of_strategy::Footprint, parts::of_strategy::Format<Mine>,
              parts::of_strategy::Place, parts::of_strategy::Release, parts::of_strategy::Tell {};

static_assert(freestone::check_strategy<Mine>());
