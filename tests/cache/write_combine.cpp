#include <freestone/cache/write_combine.hpp>

#include <doctest/doctest.h>

#include <array>
#include <type_traits>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;
using cache::WriteCombine;

TEST_CASE("write-combined memory is drained, and its bytes stay") {
  static_assert(CachePolicy<WriteCombine> && std::is_empty_v<WriteCombine>);
  using Z = Zone<backing::Borrowed, strategy::Bitmap, lock::None, WriteCombine>;
  std::array<std::uint64_t, Z::notes_words(64_KiB, 4_KiB)> notes{};
  alignas(4096) static std::array<std::byte, 65536> bytes{};
  auto zone = Z::create({}, backing::Borrowed(bytes, notes));
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  auto written = zone->cpu_write(*block);
  REQUIRE(written);
  written->bytes()[4095] = std::byte{7};
  CHECK(written->end());
  CHECK(zone->clean(*block));
  CHECK(zone->invalidate(*block));
  CHECK(zone->cpu_read(*block)->bytes()[4095] == std::byte{7});
}

TEST_CASE("only a backing that can map memory so takes it") {
  CHECK(backing::Borrowed::gives(Cacheability::write_combined));
  CHECK_FALSE(backing::Anonymous::gives(Cacheability::write_combined));
}

static_assert([] {
  WriteCombine policy;
  return policy.clean(CacheView{}) && policy.invalidate(CacheView{});
}());
