// expects: allocate_list: one of the layers round this zone cannot follow a request in several blocks.
#include <freestone/freestone.hpp>

using namespace freestone;
using List = Zone<backing::OffsetSpace, strategy::OrderList<strategy::Buddy, 8, 4, 0>, lock::None, cache::Coherent>;

// It knows no lists, and what it stands round does.
template <class Z>
struct Plain : layers::Layer<Plain<Z>, Z> {
  Plain(Z&& zone, const layers::NoSettings&) : layers::Layer<Plain, Z>(std::move(zone)) {}
};

#ifdef ACCEPT
using Mine = layers::Statistics<List>;
#else
using Mine = Plain<layers::Statistics<List>>;
#endif

bool take(Mine& zone, std::span<Block> out) { return bool(zone.allocate_list({.size = 1_MiB}, out)); }
