#include <freestone/strategy/window.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <vector>

#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/trimmed_buddy.hpp>
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t max64 = ~std::uint64_t{0};

bool is_within(std::uint64_t base, const Block& block, const Bounds& bounds) {
  const std::uint64_t first = base + block.offset().value();
  const std::uint64_t last = first + block.size().value() - 1;
  const std::uint64_t boundary = bounds.boundary.value();
  return last <= bounds.last && (boundary == 0 || first / boundary == last / boundary);
}

// Whether any start would do: told from the live blocks alone, granule by granule.
template <class Z>
bool has_place(Z& zone, std::uint64_t base, const Request& request, const Bounds& bounds) {
  const std::uint64_t granule = zone.granule().value();
  const std::uint64_t size = (request.size.value() + granule - 1) / granule * granule;
  const std::uint64_t align = request.align.value() < granule ? granule : request.align.value();
  std::vector<bool> used(static_cast<std::size_t>(zone.size().value() / granule));
  zone.for_each_block([&](Block block) {
    for (std::uint64_t at = 0; at < block.size().value(); at += granule) used[static_cast<std::size_t>((block.offset().value() + at) / granule)] = true;
  });
  for (std::uint64_t first = 0; first + size <= zone.size().value(); first += granule) {
    if ((base + first) % align != 0 || !is_within(base, Block(first, size, 0), bounds)) continue;
    bool is_free = true;
    for (std::uint64_t at = 0; at < size; at += granule) is_free = is_free && !used[static_cast<std::size_t>((first + at) / granule)];
    if (is_free) return true;
  }
  return false;
}

template <class S>
void walk(std::uint64_t base, bool exact) {
  Random random(seed() + base);
  auto zone = Numbers<S>::create({.name = "window", .size = 96 * 16, .granule = 16}, Bytes(base));
  REQUIRE(zone);
  std::vector<Block> live;
  int served = 0;
  int refused = 0;
  for (int i = 0; i < 3'000; ++i) {
    if (!live.empty() && random.chance(45)) {
      const auto at = static_cast<std::size_t>(random.below(live.size()));
      REQUIRE(zone->deallocate(live[at]));
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
      continue;
    }
    const Request request{.size = random.from_to(1, 10 * 16), .align = random.chance(50) ? 0U : 16U << random.below(4)};
    const Bounds bounds{.last = random.chance(50) ? base + random.below(120 * 16) : max64,
                        .boundary = random.chance(50) ? 16U << random.below(6) : 0U};
    const bool possible = has_place(*zone, base, request, bounds);
    const auto blocks = blocks_of(*zone);
    const auto block = zone->allocate_within(request, bounds);
    if (!block) {
      CHECK((!exact || !possible));
      CHECK(blocks_of(*zone) == blocks);
      ++refused;
      continue;
    }
    CHECK(is_within(base, *block, bounds));
    CHECK((base + block->offset().value()) % (request.align.value() < 16 ? 16 : request.align.value()) == 0);
    CHECK(zone->owns(*block));
    live.push_back(*block);
    ++served;
  }
  CHECK(served > 300);
  CHECK(refused > 300);
}

}  // namespace

TEST_CASE("a request with bounds gets what it asked for, and wherever there is a place") {
  for (const std::uint64_t base : {0U, 16U * 5, 1U << 20}) {
    walk<strategy::Bitmap>(base, true);
    walk<strategy::BestFit>(base, true);
    walk<strategy::Segregated>(base, false)  /* it looks at some holes only */;
    walk<strategy::Elastic<strategy::BestFit>>(base, true);
    walk<strategy::Buddy>(base, false);
    walk<strategy::LazyBuddy>(base, false);
    walk<strategy::TrimmedBuddy>(base, false);
  }
}

TEST_CASE("a buddy finds the lower half when the upper one is not allowed") {
  auto zone = Numbers<strategy::Buddy>::create({.name = "buddy", .size = 64 * 16, .granule = 16}, Bytes(0));
  REQUIRE(zone);
  std::vector<Block> sixteenths;
  for (int i = 0; i < 16; ++i) sixteenths.push_back(*zone->allocate(4 * 16));
  for (const int i : {2, 3, 5, 14, 15}) REQUIRE(zone->deallocate(sixteenths[static_cast<std::size_t>(i)]));
  const auto low = zone->allocate_within({.size = 4 * 16}, {.last = 4 * 64 - 1});
  REQUIRE(low);
  CHECK(low->offset() < Bytes(4 * 64));
}

TEST_CASE("what no place can satisfy is told at once, and names the bound") {
  auto made = Numbers<strategy::Bitmap>::create({.name = "high", .size = 1_MiB, .granule = 4_KiB}, Bytes(4_GiB));
  REQUIRE(made);
  auto& zone = *made;
  const auto code = [&](const Request& request, const Bounds& bounds) {
    return code_of_unchanging(zone, [&] { return zone.allocate_within(request, bounds); });
  };
  CHECK(code({.size = 4_KiB}, {.last = Bytes(4_GiB).value() - 1}) == ErrorCode::zone_beyond_limit);
  CHECK(code({.size = 8_KiB}, {.last = Bytes(4_GiB).value() + 4096}) == ErrorCode::zone_beyond_limit);
  CHECK(code({.size = 4_KiB}, {.last = Bytes(4_GiB).value() + 4094}) == ErrorCode::zone_beyond_limit);
  CHECK(code({.size = 4_KiB}, {.boundary = 12_KiB}) == ErrorCode::boundary_not_power_of_two);
  CHECK(code({.size = 8_KiB}, {.boundary = 4_KiB}) == ErrorCode::size_beyond_boundary);
  CHECK(code({.size = 1}, {.boundary = 2_KiB}) == ErrorCode::size_beyond_boundary);  // a block is a granule at least
  CHECK(code({.size = 0}, {}) == ErrorCode::zero_size);
  CHECK(code({.size = 4_KiB, .align = 3}, {}) == ErrorCode::alignment_not_power_of_two);
  CHECK(code({.size = max64}, {.last = 0}) == ErrorCode::size_overflow);

  const auto first = zone.allocate_within({.size = 4_KiB}, {.last = Bytes(4_GiB).value() + 4095});
  REQUIRE(first);
  CHECK(first->offset() == Bytes(0));
  CHECK(code({.size = 4_KiB}, {.last = Bytes(4_GiB).value() + 4095}) == ErrorCode::nothing_within);
  const auto rest = zone.allocate(1_MiB - 4_KiB);
  REQUIRE(rest);
  CHECK(code({.size = 4_KiB}, {.last = Bytes(4_GiB).value() + 4095}) == ErrorCode::no_space);
}

TEST_CASE("bounds at the very top of the address space") {
  auto zone = Numbers<strategy::Bitmap>::create({.name = "top", .size = 64_KiB, .granule = 4_KiB}, 0 - 64_KiB);
  REQUIRE(zone);
  for (int i = 0; i < 8; ++i) CHECK(zone->allocate_within({.size = 8_KiB}, {.last = max64, .boundary = 8_KiB}));
  CHECK(code_of(zone->allocate_within({.size = 4_KiB}, {.last = max64})) == ErrorCode::no_space);
}

TEST_CASE("a last address counts at the very top too, in granules of one") {
  auto zone = Numbers<strategy::Bitmap>::create({.name = "top", .size = 16, .granule = 1}, Bytes(0) - 16);
  REQUIRE(zone);
  CHECK(code_of(zone->allocate_within({.size = 1}, {.last = 5})) == ErrorCode::zone_beyond_limit);
  for (int i = 0; i < 4; ++i) CHECK(zone->allocate_within({.size = 1}, {.last = max64 - 12}));
  CHECK(code_of(zone->allocate_within({.size = 1}, {.last = max64 - 12})) == ErrorCode::nothing_within);
}

TEST_CASE("who has no place_at gives what it chose, or nothing") {
  auto zone = Numbers<strategy::AllOrNothing>::create({.name = "one", .size = 64_KiB, .granule = 4_KiB}, 4_KiB);
  REQUIRE(zone);
  CHECK(zone->allocate_within({.size = 4_KiB}, {.last = Bytes(64_KiB).value()}));
}
