// expects: A Backing with gaps must have the constant std::size_t most_ranges: how many ranges lie between them.
#include "parts.hpp"

struct Mine : parts::of_backing::Range, parts::of_backing::Constants {
#ifdef ACCEPT
  static constexpr std::size_t most_ranges = 2;
#endif
  template <class Visitor>
  void for_each_gap(Visitor&&) const noexcept {}
};

static_assert(freestone::check_backing<Mine>());
