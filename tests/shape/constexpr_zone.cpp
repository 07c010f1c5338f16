// A zone in constant evaluation: what it does is proved by the compiler, and is the same at run time.
#include <array>
#include <cstdint>
#include <cstdio>

#include <freestone/backing/borrowed.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/zone.hpp>

namespace {

using namespace freestone;

template <class S>
using Numbers = Zone<backing::Borrowed, S, lock::None, cache::Coherent>;
using NumberZone = Numbers<strategy::Bitmap>;
constexpr Bytes base = 12_KiB;
constexpr Bytes size = 64_KiB;
constexpr Bytes granule = 4_KiB;

// Runs `proof` on a fresh zone of 16 granules whose first has the number 3.
template <class Tried = NumberZone, class Proof>
constexpr bool holds(Proof proof) {
  std::array<std::uint64_t, Tried::notes_words(size, granule)> notes{};
  auto zone = Tried::create({.name = "numbers", .granule = granule}, backing::Borrowed::at(base, size, notes));
  return zone && proof(*zone);
}

constexpr bool is(const auto& result, ErrorCode code) { return !result && result.error().code == code; }

constexpr auto allocates = [](NumberZone& zone) {
  const auto first = zone.allocate(1);
  const auto second = zone.allocate(2 * 4096 + 1);
  return first && first->offset() == 0 && first->size() == 4_KiB && second && second->offset() == 4_KiB &&
         second->size() == 12_KiB && zone.owns(*first) && !zone.owns(Block(0, 8_KiB, zone.tag()));
};

// Alignment counts from the numbers' zero: offset 4 KiB is number 16 KiB.
constexpr auto aligns = [](NumberZone& zone) {
  const auto a = zone.allocate({.size = 1, .align = 16_KiB});
  const auto b = zone.allocate({.size = 1, .align = 32_KiB});
  return a && a->offset() == 4_KiB && b && b->offset() == 20_KiB &&
         is(zone.allocate({.size = 1, .align = 3}), ErrorCode::alignment_not_power_of_two) &&
         is(zone.allocate({.size = 1, .align = 128_KiB}), ErrorCode::alignment_beyond_zone);
};

constexpr auto runs_out = [](NumberZone& zone) {
  const auto most = zone.allocate(60_KiB);
  const auto more = zone.allocate(8_KiB);
  return most && is(more, ErrorCode::no_space) && more.error().asked == 8192 && more.error().available == 4096 &&
         zone.allocate(4_KiB) && is(zone.allocate(1), ErrorCode::no_space) &&
         is(zone.allocate(0), ErrorCode::zero_size) && is(zone.allocate(65_KiB), ErrorCode::size_beyond_zone) &&
         is(zone.allocate(-1), ErrorCode::size_overflow);
};

constexpr auto refuses_wrong_releases = [](NumberZone& zone) {
  const auto block = zone.allocate(8_KiB);
  const Block of_another(0, 8_KiB, zone.tag() + 1);
  return is(zone.deallocate(of_another), ErrorCode::foreign_block) &&
         is(zone.deallocate_at(4_KiB), ErrorCode::inner_release) &&
         is(zone.deallocate_at(1), ErrorCode::inner_release) &&
         is(zone.deallocate_at(64_KiB), ErrorCode::foreign_block) && zone.owns(*block) && zone.deallocate(*block) &&
         is(zone.deallocate(*block), ErrorCode::double_release);
};

constexpr auto tells = [](NumberZone& zone) {
  const auto first = zone.allocate(4_KiB);
  const auto second = zone.allocate(8_KiB);
  if (!first || !second || !zone.deallocate(*first)) return false;
  Block seen;
  int blocks = 0;
  zone.for_each_block([&](const Block& block) { seen = block, ++blocks; });
  return blocks == 1 && seen == *second &&
         zone.stats() == Stats{.capacity = size,
                               .used = 8_KiB,
                               .free = 56_KiB,
                               .largest_free = 52_KiB,
                               .blocks = 1,
                               .metadata = 8 * NumberZone::notes_words(size, granule)};
};

constexpr auto owned_goes_back = [](NumberZone& zone) {
  Bytes free_while_owned;
  {
    auto owned = zone.allocate_owned({.size = 8_KiB});
    if (!owned || !zone.owns(**owned)) return false;
    free_while_owned = zone.stats().free;
  }
  return free_while_owned == 56_KiB && zone.stats().free == size;
};

// Two holes, of 8 granules and of 4 between blocks: a good fit takes the smaller one, and its neighbours come back.
constexpr auto fits_well = [](auto& zone) {
  const auto large = zone.allocate(32_KiB);
  const auto wall = zone.allocate(4_KiB);
  const auto small = zone.allocate(16_KiB);
  const auto rest = zone.allocate(12_KiB);
  if (!large || !wall || !small || !rest || !zone.deallocate(*large) || !zone.deallocate(*small)) return false;
  const auto fitting = zone.allocate({.size = 1, .align = 16_KiB});
  return fitting && fitting->offset() == 36_KiB && zone.deallocate(*wall) && zone.deallocate(*fitting) &&
         zone.deallocate(*rest) && is(zone.deallocate(*rest), ErrorCode::double_release) && zone.allocate(size);
};

static_assert(holds(allocates));
static_assert(holds(aligns));
static_assert(holds(runs_out));
static_assert(holds(refuses_wrong_releases));
static_assert(holds(tells));
static_assert(holds(owned_goes_back));
static_assert(holds<Numbers<strategy::Segregated>>(fits_well));
static_assert(holds<Numbers<strategy::BestFit>>(fits_well));

}  // namespace

int main() {
  const bool same = holds(allocates) && holds(aligns) && holds(runs_out) && holds(refuses_wrong_releases) &&
                    holds(tells) && holds(owned_goes_back) && holds<Numbers<strategy::Segregated>>(fits_well) &&
                    holds<Numbers<strategy::BestFit>>(fits_well);
  std::puts(same ? "as at compile time" : "not as at compile time");
  return same ? 0 : 1;
}
