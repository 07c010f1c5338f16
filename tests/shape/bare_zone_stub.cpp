#include "bare_zone_stub.hpp"

namespace freestone::shape {

std::optional<Extent> StubStrategy::place(Granules count, Granules align) noexcept {
  *words_ += 1;
  if (count > free_granules()) return std::nullopt;
  return Extent{align, count};
}

Released StubStrategy::release(Granules first) noexcept {
  *words_ -= 1;
  if (first == Granules(0)) return {.fault = ReleaseFault::inner};
  return {.count = Granules(1)};
}

Granules StubStrategy::free_granules() const noexcept { return Granules(8); }

}  // namespace freestone::shape
