#include <freestone/cache/uncached.hpp>

#include <doctest/doctest.h>

#include <array>
#include <type_traits>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;

TEST_CASE("uncached touches no byte of the block") {
  static_assert(CachePolicy<cache::Uncached> && std::is_empty_v<cache::Uncached>);
  using Z = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Uncached>;
  std::array<std::uint64_t, Z::notes_words(64_KiB, 4_KiB)> notes{};
  auto zone = Z::create({}, backing::Borrowed::at(0x1000'0000, 64_KiB, notes));  // no memory is there to be touched
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  CHECK(zone->clean(*block));
  CHECK(zone->invalidate(*block));
  CHECK(zone->owns(*block));
}

TEST_CASE("only a backing that can map memory so takes it") {
  CHECK(backing::Borrowed::gives(Cacheability::uncached));
  CHECK_FALSE(backing::Anonymous::gives(Cacheability::uncached));
}
