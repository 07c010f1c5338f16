#include <freestone/zone/layers/sized.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>

using namespace freestone;
using layers::EqualBlocks;
using layers::PowerOfTwoSizes;
using layers::Sized;

namespace {

constexpr std::uint64_t max64 = ~std::uint64_t{0};

template <class S>
using Numbers = Zone<backing::OffsetSpace, S, lock::None, cache::Coherent>;
using Plain = Numbers<strategy::Bitmap>;
using Slab = Sized<Plain, PowerOfTwoSizes>;
using Equal = Sized<Plain, EqualBlocks>;

static_assert(sizeof(Slab) == sizeof(Plain), "a rule without a value takes no byte");

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

// The size granted, and all is given back.
template <class Z>
Bytes granted(Z& zone, Bytes size) {
  const auto block = zone.allocate(size);
  REQUIRE(block);
  REQUIRE(zone.owns(*block));
  REQUIRE(zone.deallocate(*block));
  return block->size();
}

static_assert(PowerOfTwoSizes()(1) == 1 && PowerOfTwoSizes()(3) == 4 && PowerOfTwoSizes()(4) == 4);
static_assert(PowerOfTwoSizes()(std::uint64_t{1} << 63) == std::uint64_t{1} << 63);
static_assert(PowerOfTwoSizes()((std::uint64_t{1} << 63) + 1) == max64);
static_assert(EqualBlocks{max64}(1) == max64 && EqualBlocks{max64}(max64) == max64);
static_assert(EqualBlocks{10}(max64) == max64 && EqualBlocks{1}(max64) == max64);
static_assert(EqualBlocks{std::uint64_t{1} << 63}((std::uint64_t{1} << 63) + 1) == max64);

}  // namespace

TEST_CASE("MMZ's vector: slabs are powers of two of granules") {
  auto zone = Slab::create({.size = 1_MiB}, {});
  REQUIRE(zone);
  CHECK(granted(*zone, 12_KiB) == 16_KiB);
  CHECK(granted(*zone, 20_KiB) == 32_KiB);
  CHECK(granted(*zone, 1) == 4_KiB);
  CHECK(granted(*zone, 8193) == 16_KiB);
}

TEST_CASE("MMZ's vector: equal blocks are multiples of any number") {
  auto zone = Equal::create({.size = 1_MiB}, {0x5000});
  REQUIRE(zone);
  CHECK(granted(*zone, 1) == 0x5000);
  CHECK(granted(*zone, 0x5000) == 0x5000);
  CHECK(granted(*zone, 0x5001) == 0xA000);
}

TEST_CASE("a size is rounded to granules first, then by the rule, then to granules again") {
  auto zone = Equal::create({.size = 1_MiB}, {0x1800});
  REQUIRE(zone);
  CHECK(granted(*zone, 1) == 0x2000);
  CHECK(granted(*zone, 0x1700) == 0x3000);  // 0x2000, and no multiple of 0x1800
}

TEST_CASE("every small size and block") {
  for (std::uint64_t block = 1; block <= 40; ++block) {
    for (std::uint64_t size = 0; size <= 200; ++size) {
      REQUIRE(EqualBlocks{block}(size) == (size + block - 1) / block * block);
    }
  }
  for (const std::uint64_t block : {std::uint64_t{3}, std::uint64_t{0x123456789}, (std::uint64_t{1} << 63) + 5}) {
    for (const std::uint64_t size : {std::uint64_t{1} << 32, (std::uint64_t{1} << 62) + 1, std::uint64_t{1} << 63}) {
      REQUIRE(EqualBlocks{block}(size) == (size / block + (size % block != 0)) * block);
    }
  }
}

TEST_CASE("equal blocks of 0 are refused, and nothing is touched") {
  using Z = Sized<Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>, EqualBlocks>;
  std::vector<std::uint64_t> notes(Z::notes_words(64_KiB, 4_KiB), 42);
  const auto before = notes;
  const auto zone = Z::create({.name = "none"}, {0}, backing::Borrowed::at(0, 64_KiB, notes));
  CHECK(code_of(zone) == ErrorCode::equal_block_zero);
  CHECK(zone.error().zone == std::string_view("none"));
  CHECK(code_of(Z::attach({}, {0}, backing::Borrowed::at(0, 64_KiB, notes))) == ErrorCode::equal_block_zero);
  CHECK(notes == before);
}

TEST_CASE("what the zone refuses, it refuses with a rule too, and nothing changes") {
  auto zone = Slab::create({.name = "small", .size = 96_KiB}, {});
  REQUIRE(zone);
  const Stats before = zone->stats();
  CHECK(code_of(zone->allocate(0)) == ErrorCode::zero_size);
  CHECK(code_of(zone->allocate(max64)) == ErrorCode::size_overflow);
  CHECK(code_of(zone->allocate((std::uint64_t{1} << 63) + 1)) == ErrorCode::size_overflow);
  CHECK(code_of(zone->allocate(std::uint64_t{1} << 63)) == ErrorCode::size_beyond_zone);
  CHECK(code_of(zone->allocate(65_KiB)) == ErrorCode::size_beyond_zone);  // 128 KiB
  CHECK(code_of(zone->allocate({.size = 1, .align = 3})) == ErrorCode::alignment_not_power_of_two);
  CHECK(zone->stats() == before);
  CHECK(code_of(Slab::create({.size = 1}, {})) == ErrorCode::zone_below_granule);
}

TEST_CASE("an error tells the rounded size") {
  auto zone = Equal::create({.size = 1_MiB}, {0x5000});
  REQUIRE(zone);
  REQUIRE(zone->allocate(1_MiB - 0x10000));
  const auto block = zone->allocate(0x10000);
  REQUIRE_FALSE(block);
  CHECK(block.error().code == ErrorCode::no_space);
  CHECK(block.error().asked == 0x14000);
}

TEST_CASE("all else is the zone's own") {
  auto zone = Slab::create({.name = "slabs", .size = 64_KiB}, {});
  REQUIRE(zone);
  Block inside;
  {
    const auto owned = zone->allocate_owned({.size = 5 * 4096, .align = 16_KiB});
    REQUIRE(owned);
    inside = **owned;
    CHECK(inside.size() == 32_KiB);
    CHECK(zone->stats().used == 32_KiB);
    CHECK(code_of(zone->deallocate_at(inside.offset() + 4_KiB)) == ErrorCode::inner_release);
  }
  CHECK(code_of(zone->deallocate(inside)) == ErrorCode::double_release);
  CHECK(zone->name() == std::string_view("slabs"));
}

TEST_CASE("a rule holds for the highest place as well") {
  auto zone = Sized<Numbers<strategy::BestFit>, PowerOfTwoSizes>::create({.size = 64_KiB}, {});
  REQUIRE(zone);
  CHECK(zone->allocate_high({.size = 3 * 4096})->offset() == 48_KiB);
}

TEST_CASE("a rule holds at an offset of one's own choice, and for a new size") {
  auto zone = Sized<Numbers<strategy::BestFit>, PowerOfTwoSizes>::create({.size = 64_KiB}, {});
  REQUIRE(zone);
  const auto block = zone->allocate_at(12_KiB, 9_KiB);
  REQUIRE(block);
  CHECK(block->offset() == 12_KiB);
  CHECK(block->size() == 16_KiB);
  CHECK(zone->resize(*block, 17_KiB)->size() == 32_KiB);
  CHECK(zone->resize(*block, 1)->size() == 4_KiB);
  CHECK(code_of(zone->resize(*block, 33_KiB)) == ErrorCode::no_space);  // 64
}

TEST_CASE("a rule for a list is one for the whole list") {
  using Z = Sized<Numbers<strategy::OrderList<strategy::Buddy, 1, 0>>, EqualBlocks>;
  auto zone = Z::create({.size = 64_KiB}, {0x5000});
  REQUIRE(zone);
  std::array<Block, 8> out;
  const auto list = zone->allocate_list({.size = 0x5001}, out);
  REQUIRE(list);
  CHECK(list->size() == 5);
  CHECK(zone->stats().used == 0xA000);
}

TEST_CASE("each handle of a zone has its own rule") {
  using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;
  const ZoneOptions options{.size = 1_MiB};
  auto slabs = Sized<Shared, PowerOfTwoSizes>::create(options, {});
  REQUIRE(slabs);
  const backing::MemoryFile::Source source{slabs->backing().fd()};
  auto equal = Sized<Shared, EqualBlocks>::attach(options, {0x5000}, source);
  REQUIRE(equal);
  CHECK(granted(*slabs, 0x5000) == 0x8000);
  CHECK(granted(*equal, 0x5001) == 0xA000);
  const auto block = slabs->allocate(1);
  REQUIRE(block);
  auto again = Sized<Shared, EqualBlocks>::attach_and_recover(options, {0x3000}, source, [](auto) { return true; });
  REQUIRE(again);
  CHECK(again->owns(*block));
  CHECK(granted(*again, 1) == 0x3000);
}
