#include <freestone/zone/zone.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/os/process_shared.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/lock/ticket_spin.hpp>
#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/system.hpp>
#include "support/backings.hpp"
#include "support/strategies.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t max64 = ~std::uint64_t{0};

using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;

// First fit at multiples of any number of granules.
class AnyMultiple : public tests::LikeBitmap<AnyMultiple> {
 public:
  using LikeBitmap::LikeBitmap;
  static constexpr bool any_alignment = true;
  constexpr std::optional<Extent> place(Granules count, Granules align) noexcept {
    for (std::uint64_t first = 0; first < geometry_.capacity.value(); ++first) {
      if ((geometry_.origin.value() + first) % align.value() != 0) continue;
      if (const auto placed = bitmap_.place_at({Granules(first), count})) return placed;
    }
    return std::nullopt;
  }
};
static_assert(check_strategy<AnyMultiple>() && has_any_alignment<AnyMultiple> && !has_any_alignment<strategy::Bitmap>);
struct OnesOfTwo : AnyMultiple {
  static constexpr bool any_alignment = false;
};
static_assert(!has_any_alignment<OnesOfTwo>);

using Robust = Zone<backing::MemoryFile, strategy::Bitmap, lock::ProcessShared, cache::Coherent>;
template <class S>
using RobustOverWords = Zone<backing::Borrowed, S, lock::ProcessShared, cache::Coherent>;
using ListOfBuddy = strategy::OrderList<strategy::Buddy, 4, 0>;
constexpr auto keep_all = [](std::uint8_t) { return true; };

// A thread ends while it holds the zone's lock.
template <class Z>
void let_holder_die(Z& zone) {
  std::thread([&] { lock::ProcessShared::attach(zone.backing().notes().data() + 8).lock(); }).join();
}

// All that any zone can be asked under its lock.
template <class Z>
void check_that_all_say_holder_died(Z& zone, const Block& block) {
  CHECK(code_of(zone.allocate(4_KiB)) == ErrorCode::holder_died);
  CHECK(code_of(zone.allocate_owned({.size = 4_KiB})) == ErrorCode::holder_died);
  CHECK(code_of(zone.deallocate(block)) == ErrorCode::holder_died);
  CHECK(code_of(zone.deallocate_at(block.offset() + 1)) == ErrorCode::holder_died);
  CHECK(std::string_view(zone.allocate(4_KiB).error().zone) == zone.name());
  CHECK_FALSE(zone.owns(block));
  CHECK(blocks_of(zone).empty());
  const Stats stats = zone.stats();
  CHECK(stats == Stats{.capacity = zone.size(), .metadata = stats.metadata});
  if constexpr (can_place_high<typename Z::Strategy>) {
    CHECK(code_of(zone.allocate_high({.size = 4_KiB})) == ErrorCode::holder_died);
  }
  if constexpr (can_place_at<typename Z::Strategy>) {
    CHECK(code_of(zone.allocate_at(16_KiB, 4_KiB)) == ErrorCode::holder_died);
  }
  if constexpr (can_take_any_extent<typename Z::Strategy>) {
    CHECK(code_of(zone.reserve(16_KiB, 4_KiB, [](const Block&) {})) == ErrorCode::holder_died);
  }
  if constexpr (can_resize<typename Z::Strategy>) {
    CHECK(code_of(zone.resize(block, 8_KiB)) == ErrorCode::holder_died);
  }
  if constexpr (can_place_part<typename Z::Strategy>) {
    Block parts[2];
    CHECK(code_of(zone.allocate_list({.size = 4_KiB}, parts)) == ErrorCode::holder_died);
  }
}

}  // namespace

TEST_CASE("create refuses what can be no zone, each with its own error") {
  using Z = Numbers<strategy::Bitmap>;
  const auto code = [](Bytes size, Bytes granule) { return code_of(Z::create({.size = size, .granule = granule})); };
  CHECK(code(64_KiB, 4_KiB) == ErrorCode::none);
  CHECK(code(64_KiB, 0) == ErrorCode::granule_zero);
  CHECK(code(64_KiB, 3000) == ErrorCode::granule_not_power_of_two);
  CHECK(code(1_KiB, 4_KiB) == ErrorCode::zone_below_granule);
  CHECK(code(0, 4_KiB) == ErrorCode::zone_below_granule);
  CHECK(code(64_KiB + 1, 4_KiB) == ErrorCode::zone_not_multiple);
  CHECK(code(std::uint64_t{1} << 63, 1) == ErrorCode::out_of_memory);  // its notes alone
}

TEST_CASE("create looks at the words and the base that it was given") {
  using Z = OverWords<strategy::Bitmap>;
  std::vector<std::uint64_t> notes(Z::notes_words(64_KiB, 4_KiB) + 1);
  const std::span<std::uint64_t> enough(notes.data(), notes.size() - 1);
  const auto code = [](backing::Borrowed backing, Bytes size = 64_KiB) {
    return code_of(Z::create({.size = size}, std::move(backing)));
  };
  CHECK(code(backing::Borrowed::at(0, 64_KiB, enough)) == ErrorCode::none);
  CHECK(code(backing::Borrowed::at(0, 64_KiB, enough.first(enough.size() - 1))) == ErrorCode::notes_too_small);
  CHECK(code(backing::Borrowed::at(0, 64_KiB, {})) == ErrorCode::notes_too_small);
  CHECK(code(backing::Borrowed::at(0, 60_KiB, enough)) == ErrorCode::data_too_small);
  CHECK(code(backing::Borrowed::at(0x1800, 64_KiB, enough)) == ErrorCode::base_misaligned);
  CHECK(code(backing::Borrowed::at(max64 - 0xFFF, 64_KiB, enough)) == ErrorCode::zone_overflow);
  CHECK(code(backing::Borrowed::at(max64 - 0xFFFF, 64_KiB, enough)) == ErrorCode::none);  // up to the last byte
  auto* off_by_two = reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::byte*>(notes.data()) + 2);
  CHECK(code(backing::Borrowed::at(0, 64_KiB, {off_by_two, enough.size()})) == ErrorCode::notes_misaligned);
}

TEST_CASE("a size of 0 means all that the backing has") {
  using Z = OverWords<strategy::Bitmap>;
  std::vector<std::uint64_t> notes(Z::notes_words(64_KiB, 4_KiB));
  auto zone = Z::create({}, backing::Borrowed::at(0, 64_KiB, notes));
  REQUIRE(zone);
  CHECK(zone->size() == 64_KiB);
}

TEST_CASE_TEMPLATE("allocate refuses bad requests, each with its own error, and nothing changes", S, strategy::Bitmap,
                   strategy::Buddy, strategy::AllOrNothing) {
  auto zone = Numbers<S>::create({.name = "small", .size = 64_KiB, .granule = 4_KiB});
  REQUIRE(zone);
  const auto code = [&](Bytes size, Bytes align = 0) {
    return code_of_unchanging(*zone, [&] { return zone->allocate({.size = size, .align = align}); });
  };
  CHECK(code(0) == ErrorCode::zero_size);
  CHECK(code(max64) == ErrorCode::size_overflow);
  CHECK(code(max64 - 4094) == ErrorCode::size_overflow);
  CHECK(code(max64 - 4095) == ErrorCode::size_beyond_zone);
  CHECK(code(-1) == ErrorCode::size_overflow);
  CHECK(code(64_KiB + 1) == ErrorCode::size_beyond_zone);
  CHECK(code(1, 3) == ErrorCode::alignment_not_power_of_two);
  CHECK(code(1, max64) == ErrorCode::alignment_not_power_of_two);
  CHECK(code(1, 128_KiB) == ErrorCode::alignment_beyond_zone);
  CHECK(code(1, std::uint64_t{1} << 63) == ErrorCode::alignment_beyond_zone);
  CHECK(code(0, 3) == ErrorCode::zero_size);

  const auto all = zone->allocate({.size = 64_KiB});
  REQUIRE(all);
  const auto full = zone->allocate({.size = 1});
  REQUIRE_FALSE(full);
  CHECK(full.error().code == ErrorCode::no_space);
  CHECK(full.error().asked == 1);
  CHECK(full.error().available == 0);
  CHECK(std::string_view(full.error().zone) == "small");
}

TEST_CASE_TEMPLATE("deallocate tells double, inner and foreign apart, and nothing changes", S, strategy::Bitmap,
                   strategy::Buddy, strategy::AllOrNothing) {
  auto zone = Numbers<S>::create({.size = 64_KiB, .granule = 4_KiB});
  auto other = Numbers<S>::create({.size = 64_KiB, .granule = 4_KiB});
  REQUIRE(zone);
  REQUIRE(other);
  const auto block = zone->allocate({.size = 16_KiB});
  REQUIRE(block);
  const auto code = [&](auto&& what) {
    return code_of_unchanging(*zone, [&] {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(what)>, Block>) {
        return zone->deallocate(what);
      } else {
        return zone->deallocate_at(what);
      }
    });
  };
  const Bytes offset = block->offset();
  CHECK(code(offset + 4_KiB) == ErrorCode::inner_release);
  CHECK(code(offset + 1) == ErrorCode::inner_release);
  CHECK(code(offset + 16_KiB) == ErrorCode::double_release);
  CHECK(code(offset + 16_KiB + 1) == ErrorCode::double_release);
  CHECK(code(64_KiB) == ErrorCode::foreign_block);
  CHECK(code(64_KiB + 1) == ErrorCode::foreign_block);
  CHECK(code(Bytes(max64)) == ErrorCode::foreign_block);
  CHECK(code(Block(offset, 16_KiB, zone->tag() + 1)) == ErrorCode::foreign_block);
  CHECK(code(Block()) == ErrorCode::foreign_block);
  const auto foreign = other->allocate({.size = 16_KiB});
  REQUIRE(foreign);
  CHECK(foreign->offset() == offset);
  CHECK(code(*foreign) == ErrorCode::foreign_block);

  CHECK(zone->deallocate(*block));
  CHECK(code(*block) == ErrorCode::double_release);
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("a size is rounded up to granules and an offset is a multiple of the alignment of its absolute number") {
  std::vector<std::uint64_t> notes(OverWords<strategy::Bitmap>::notes_words(1_MiB, 4_KiB));
  auto zone = OverWords<strategy::Bitmap>::create({}, backing::Borrowed::at(0x3000, 1_MiB, notes));
  REQUIRE(zone);
  const auto block = zone->allocate({.size = 4097, .align = 16_KiB});
  REQUIRE(block);
  CHECK(block->size() == 8_KiB);
  CHECK(block->offset() == 0x1000);  // 0x3000 + 0x1000 is the first multiple of 16 KiB
  CHECK(zone->owns(*block));
  CHECK_FALSE(zone->owns(Block(0x1000, 4_KiB, zone->tag())));
  CHECK_FALSE(zone->owns(Block(0x2000, 4_KiB, zone->tag())));
  CHECK_FALSE(zone->owns(Block(0x1000, 8_KiB, zone->tag() + 1)));
}

TEST_CASE("stats and for_each_block tell what is live") {
  auto zone = Numbers<strategy::Bitmap>::create({.size = 64_KiB, .granule = 4_KiB});
  REQUIRE(zone);
  const auto a = zone->allocate(4_KiB);
  const auto b = zone->allocate(8_KiB);
  const auto c = zone->allocate(4_KiB);
  REQUIRE((a && b && c));
  REQUIRE(zone->deallocate(*b));
  const Stats stats = zone->stats();
  CHECK(stats.capacity == 64_KiB);
  CHECK(stats.used == 8_KiB);
  CHECK(stats.free == 56_KiB);
  CHECK(stats.largest_free == 48_KiB);
  CHECK(stats.blocks == 2);
  CHECK(stats.metadata == 8 * Numbers<strategy::Bitmap>::notes_words(64_KiB, 4_KiB));
  CHECK(blocks_of(*zone) == std::vector<Block>{*a, *c});
}

TEST_CASE("a second handle over the same words sees the same zone, and its blocks may be given back by either") {
  using Z = OverWords<strategy::Buddy>;
  std::vector<std::uint64_t> notes(Z::notes_words(64_KiB, 4_KiB));
  auto first = Z::create({.size = 64_KiB}, backing::Borrowed::at(0, 64_KiB, notes));
  REQUIRE(first);
  const auto block = first->allocate({.size = 8_KiB});
  REQUIRE(block);
  auto second = Z::attach({.size = 64_KiB}, backing::Borrowed::at(0, 64_KiB, notes));
  REQUIRE(second);
  CHECK(second->tag() == first->tag());
  CHECK(second->owns(*block));
  CHECK(second->deallocate(*block));
  CHECK_FALSE(first->owns(*block));
}

TEST_CASE("attach refuses words that hold another map, and changes nothing") {
  using Z = OverWords<strategy::Bitmap>;
  std::vector<std::uint64_t> notes(Z::notes_words(64_KiB, 4_KiB));
  const auto at = [&](Bytes base = 0x10000) { return backing::Borrowed::at(base, 64_KiB, notes); };
  const auto code = [&](ZoneOptions options, backing::Borrowed backing) {
    const auto before = notes;
    const ErrorCode found = code_of(Z::attach(options, std::move(backing)));
    CHECK(notes == before);
    return found;
  };
  const ZoneOptions good{.size = 64_KiB, .granule = 4_KiB};
  CHECK(code(good, at()) == ErrorCode::not_formatted);
  REQUIRE(Z::create(good, at()));
  CHECK(code(good, at()) == ErrorCode::none);
  CHECK(code({.size = 60_KiB, .granule = 4_KiB}, at()) == ErrorCode::wrong_capacity);
  CHECK(code({.size = 64_KiB, .granule = 8_KiB}, at()) == ErrorCode::wrong_granule);
  CHECK(code(good, at(0x20000)) == ErrorCode::wrong_origin);
  CHECK(code(good, backing::Borrowed::at(0x10000, 64_KiB, std::span(notes).first(8))) == ErrorCode::cut_short);
  CHECK(code(good, backing::Borrowed::at(0x10000, 64_KiB, std::span(notes).first(3))) == ErrorCode::cut_short);
  CHECK(code(good, backing::Borrowed::at(0x10000, 64_KiB, {})) == ErrorCode::cut_short);
  CHECK(code_of(OverWords<strategy::AllOrNothing>::attach(good, at())) == ErrorCode::wrong_strategy);
  cells::store(notes.data() + 1, map_header::version_cell, map_header::version + 1);  // the map begins at word 1
  CHECK(code(good, at()) == ErrorCode::wrong_version);
}

TEST_CASE("a block's bytes are where the backing says, and nowhere for a stranger's block") {
  alignas(4096) static std::array<std::byte, 64 * 1024> memory;
  using Z = OverWords<strategy::Bitmap>;
  std::vector<std::uint64_t> notes(Z::notes_words(64_KiB, 4_KiB));
  auto zone = Z::create({}, backing::Borrowed(memory, notes));
  REQUIRE(zone);
  const auto block = zone->allocate({.size = 8_KiB, .align = 8_KiB});
  REQUIRE(block);
  const auto bytes = zone->data(*block);
  CHECK(bytes.data() == memory.data() + block->offset().value());
  CHECK(bytes.size() == 8192);
  CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 8192 == 0);
  CHECK(zone->data(Block(0, 4_KiB, zone->tag() + 1)).empty());
  CHECK(zone->data(Block(60_KiB, 8_KiB, zone->tag())).empty());
  CHECK(zone->data(Block(64_KiB, 4_KiB, zone->tag())).empty());

  auto numbers = Z::create({}, backing::Borrowed::at(0, 64_KiB, notes));
  REQUIRE(numbers);
  CHECK(numbers->data(*numbers->allocate(4_KiB)).empty());
}

TEST_CASE("System: the backing gives each block, the quota holds for their sum") {
  using Z = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
  auto zone = Z::create({.size = 1_MiB, .granule = 4_KiB});
  REQUIRE(zone);
  const auto a = zone->allocate({.size = 500'000, .align = 256_KiB});
  const auto b = zone->allocate(500'000);
  REQUIRE((a && b));
  const auto bytes = zone->data(*a);
  CHECK(bytes.size() == 123 * 4096);
  CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % (256 * 1024) == 0);
  std::memset(bytes.data(), 0xA5, bytes.size());
  CHECK(code_of(zone->allocate(100'000)) == ErrorCode::no_space);
  CHECK(zone->deallocate(*a));
  CHECK(zone->data(*a).empty());
  CHECK(code_of(zone->deallocate(*a)) == ErrorCode::double_release);
  CHECK(zone->allocate(100'000));
}

TEST_CASE("a shared zone keeps a ledger, and its map can be rebuilt from it") {
  auto zone = Shared::create({.name = "shared", .size = 1_MiB, .owner = 7});
  REQUIRE(zone);
  auto other =
      Shared::attach({.name = "shared", .size = 1_MiB, .owner = 9}, backing::MemoryFile::Source{zone->backing().fd()});
  REQUIRE(other);
  const auto mine = zone->allocate(8_KiB);
  const auto his = other->allocate(12_KiB);
  const auto also_mine = zone->allocate(4_KiB);
  REQUIRE((mine && his && also_mine));
  REQUIRE(zone->deallocate(*mine));
  const Recovery all = zone->recover([](std::uint8_t) { return true; });
  CHECK(all.kept == 2);
  CHECK(all.dropped == 0);
  CHECK(blocks_of(*zone) == std::vector<Block>{*his, *also_mine});
  const Recovery without = zone->recover([](std::uint8_t owner) { return owner != 9; });
  CHECK(without.kept == 1);
  CHECK(without.dropped == 1);
  CHECK(blocks_of(*other) == std::vector<Block>{*also_mine});
  CHECK(zone->stats().free == 1_MiB - 4_KiB);
}

TEST_CASE("attach_and_recover does not believe the strategy's map") {
  auto zone = Shared::create({.size = 1_MiB});
  REQUIRE(zone);
  const auto block = zone->allocate(8_KiB);
  REQUIRE(block);
  const backing::MemoryFile::Source source{zone->backing().fd()};
  const ZoneOptions options{.size = 1_MiB};
  // Somebody died while he wrote a fresh map: behind the tag's and the lock's lines its magic is missing.
  map_header::invalidate(zone->backing().notes().subspan(16));
  CHECK(code_of(Shared::attach(options, source)) == ErrorCode::not_formatted);
  auto again = Shared::attach_and_recover(options, source, [](std::uint8_t) { return true; });
  REQUIRE(again);
  CHECK(blocks_of(*again) == std::vector<Block>{*block});
  CHECK(Shared::attach(options, source));
}

TEST_CASE("two handles of one process see the same bytes of a memory file") {
  auto zone = Shared::create({.size = 1_MiB});
  REQUIRE(zone);
  auto other = Shared::attach({.size = 1_MiB}, backing::MemoryFile::Source{zone->backing().fd()});
  REQUIRE(other);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  zone->data(*block)[17] = std::byte{0x5A};
  CHECK(other->data(*block)[17] == std::byte{0x5A});
  CHECK(other->data(*block).data() != zone->data(*block).data());
}

TEST_CASE("recovery opens a lock that a dead holder left shut") {
  auto zone = Shared::create({.size = 1_MiB});
  REQUIRE(zone);
  const auto block = zone->allocate(8_KiB);
  REQUIRE(block);
  const std::span<std::uint64_t> notes = zone->backing().notes();
  lock::Spin::attach(notes.data() + 8).lock();
  auto again = Shared::attach_and_recover({.size = 1_MiB}, backing::MemoryFile::Source{zone->backing().fd()},
                                          [](std::uint8_t) { return true; });
  REQUIRE(again);
  CHECK(again->owns(*block));
  lock::Spin::attach(notes.data() + 8).lock();
  CHECK(zone->recover([](std::uint8_t) { return true; }).kept == 1);
  CHECK(zone->owns(*block));
}

TEST_CASE("nobody takes up a zone whose recovery is not through") {
  auto zone = Shared::create({.size = 1_MiB});
  REQUIRE(zone);
  REQUIRE(zone->allocate(8_KiB));
  const backing::MemoryFile::Source source{zone->backing().fd()};
  const ZoneOptions options{.size = 1_MiB};
  const auto while_recovering = [&](std::uint8_t) {
    CHECK(code_of(Shared::attach(options, source)) == ErrorCode::not_formatted);
    return true;
  };
  zone->recover(while_recovering);
  CHECK(Shared::attach(options, source));
  REQUIRE(Shared::attach_and_recover(options, source, while_recovering));
  CHECK(Shared::attach(options, source));
}

TEST_CASE("a zone is taken up with the strategy and the lock that it was made with, recovery or not") {
  auto zone = Shared::create({.size = 1_MiB});
  REQUIRE(zone);
  const auto block = zone->allocate(8_KiB);
  REQUIRE(block);
  const backing::MemoryFile::Source source{zone->backing().fd()};
  const ZoneOptions options{.size = 1_MiB};
  const auto keep = [](std::uint8_t) { return true; };
  using OtherLock = Zone<backing::MemoryFile, strategy::Bitmap, lock::None, cache::Coherent>;
  CHECK_FALSE(OtherLock::attach(options, source));
  using OtherStrategy = Zone<backing::MemoryFile, strategy::Buddy, lock::Spin, cache::Coherent>;
  CHECK(code_of(OtherStrategy::attach(options, source)) == ErrorCode::wrong_strategy);
  CHECK_FALSE(OtherStrategy::attach_and_recover(options, source, keep));
  CHECK(zone->owns(*block));
  CHECK(Shared::attach(options, source));
}

TEST_CASE("users of a zone meet at one kind of lock") {
  using WithSpin = Zone<backing::Borrowed, strategy::Bitmap, lock::Spin, cache::Coherent>;
  using WithMutex = Zone<backing::Borrowed, strategy::Bitmap, lock::Mutex, cache::Coherent>;
  std::vector<std::uint64_t> notes(WithSpin::notes_words(64_KiB, 4_KiB));
  REQUIRE(WithSpin::create({}, backing::Borrowed::at(0, 64_KiB, notes)));
  CHECK(WithSpin::attach({}, backing::Borrowed::at(0, 64_KiB, notes)));
  CHECK(code_of(WithMutex::attach({}, backing::Borrowed::at(0, 64_KiB, notes))) == ErrorCode::wrong_lock);
}

TEST_CASE("a memory file of another size is of another capacity, or too small") {
  auto zone = Shared::create({.size = 64_KiB});
  REQUIRE(zone);
  const backing::MemoryFile::Source source{zone->backing().fd()};
  for (const Bytes size : {32_KiB, 60_KiB}) {
    CHECK(code_of(Shared::attach({.size = size}, source)) == ErrorCode::wrong_capacity);
  }
  for (const Bytes size : {68_KiB, 128_KiB, 1_GiB}) {
    CHECK(code_of(Shared::attach({.size = size}, source)) == ErrorCode::data_too_small);
  }
  CHECK(code_of(Shared::attach({.size = 64_KiB, .granule = 8_KiB}, source)) == ErrorCode::wrong_granule);
}

TEST_CASE("a small zone's pointers are aligned as its offsets are") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;
  std::vector<Z> zones;
  for (int i = 0; i < 8; ++i) {
    auto zone = Z::create({.size = 512_KiB});
    REQUIRE(zone);
    const auto block = zone->allocate({.size = 4_KiB, .align = 256_KiB});
    REQUIRE(block);
    CHECK(reinterpret_cast<std::uintptr_t>(zone->data(*block).data()) % (256 * 1024) == 0);
    zones.push_back(*std::move(zone));
  }
}

TEST_CASE("System's blocks begin at multiples of the granule") {
  using Z = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
  auto zone = Z::create({.size = 8_MiB, .granule = 64_KiB});
  REQUIRE(zone);
  for (int i = 0; i < 8; ++i) {
    const auto block = zone->allocate(1);
    REQUIRE(block);
    CHECK(reinterpret_cast<std::uintptr_t>(zone->data(*block).data()) % (64 * 1024) == 0);
  }
}

TEST_CASE("a strategy that takes any alignment is asked for any multiple of the granule") {
  std::vector<std::uint64_t> notes(OverWords<AnyMultiple>::notes_words(64_KiB, 4_KiB));
  auto zone = OverWords<AnyMultiple>::create({}, backing::Borrowed::at(0x1000, 64_KiB, notes));
  REQUIRE(zone);
  const auto at = [&](Bytes align) {
    const auto block = zone->allocate({.size = 1, .align = align});
    REQUIRE(block);
    return 0x1000 + block->offset();
  };
  CHECK(at(0x3000) == 0x3000);
  CHECK(at(0x3000) == 0x6000);
  CHECK(at(0x5000) == 0x5000);
  CHECK(at(0x8000) == 0x8000);
  CHECK(at(512) == 0x1000);
  CHECK(at(0) == 0x2000);
  const auto code = [&](Bytes align) {
    return code_of_unchanging(*zone, [&] { return zone->allocate({.size = 1, .align = align}); });
  };
  CHECK(code(3) == ErrorCode::alignment_not_granules);
  CHECK(code(0x1800) == ErrorCode::alignment_not_granules);
  CHECK(code(max64) == ErrorCode::alignment_not_granules);
  CHECK(code(0x11000) == ErrorCode::alignment_beyond_zone);
  CHECK(at(0x10000) == 0x10000);
  auto twos = Numbers<strategy::Bitmap>::create({.size = 64_KiB});
  REQUIRE(twos);
  CHECK(code_of(twos->allocate({.size = 1, .align = 0x3000})) == ErrorCode::alignment_not_power_of_two);
}

namespace {
// Two boards made at compile time, told apart by their names.
constexpr bool named_zones_differ = [] {
  auto a = Numbers<strategy::Bitmap>::create({.name = "a", .size = 64_KiB});
  auto b = Numbers<strategy::Bitmap>::create({.name = "b", .size = 64_KiB});
  const auto of_a = a->allocate(4_KiB);
  const auto of_b = b->allocate(4_KiB);
  return of_a && of_b && !b->deallocate(*of_a) && b->deallocate(*of_b);
}();
static_assert(named_zones_differ);
}  // namespace

TEST_CASE("a dead holder comes out as a value of every call, until somebody recovers the zone") {
  auto zone = Robust::create({.name = "robust", .size = 64_KiB, .owner = 7});
  REQUIRE(zone);
  const backing::MemoryFile::Source source{zone->backing().fd()};
  const ZoneOptions options{.name = "robust", .size = 64_KiB, .owner = 9};
  auto other = Robust::attach(options, source);
  REQUIRE(other);
  const auto mine = zone->allocate(8_KiB);
  const auto his = other->allocate(4_KiB);
  REQUIRE((mine && his));
  for (int deaths = 0; deaths < 3; ++deaths) {
    let_holder_die(*zone);
    for (Robust* handle : {&*zone, &*other, &*zone}) check_that_all_say_holder_died(*handle, *mine);
    CHECK(code_of(Robust::attach(options, source)) == ErrorCode::holder_died);
    const Recovery found = (deaths == 0 ? *zone : *other).recover(keep_all);
    CHECK(found.kept == 2);
    CHECK(blocks_of(*zone) == std::vector<Block>{*mine, *his});
    CHECK(Robust::attach(options, source));
  }
  CHECK(other->deallocate(*mine));
  CHECK(zone->deallocate(*his));
  CHECK(zone->allocate(64_KiB));
}

TEST_CASE_TEMPLATE("in a zone without a ledger a dead holder is a value for ever", S, strategy::Bitmap, ListOfBuddy,
                   strategy::Elastic<strategy::Bitmap>) {
  using Z = RobustOverWords<S>;
  std::vector<std::uint64_t> notes(Z::notes_words(64_KiB, 4_KiB));
  auto zone = Z::create({.name = "threads"}, backing::Borrowed::at(0, 64_KiB, notes));
  REQUIRE(zone);
  const auto block = zone->allocate(4_KiB);
  REQUIRE(block);
  std::vector<std::uint64_t> kept(zone->snapshot_words());
  REQUIRE(zone->snapshot(kept));
  let_holder_die(*zone);
  const auto before = notes;
  check_that_all_say_holder_died(*zone, *block);
  CHECK(code_of(zone->snapshot(kept)) == ErrorCode::holder_died);
  CHECK(code_of(zone->restore(kept)) == ErrorCode::holder_died);
  CHECK(code_of(zone->diff(kept, [](const Block&, strategy::Change) {})) == ErrorCode::holder_died);
  if constexpr (can_grow<S>) {
    CHECK(code_of(zone->shrink(4_KiB)) == ErrorCode::holder_died);
    CHECK(code_of(zone->grow(4_KiB)) == ErrorCode::holder_died);
  }
  CHECK(code_of(Z::attach({}, backing::Borrowed::at(0, 64_KiB, notes))) == ErrorCode::holder_died);
  const auto map = [](const std::vector<std::uint64_t>& words) {
    return std::vector<std::uint64_t>(words.begin() + 16, words.end());
  };
  CHECK(map(notes) == map(before));
}

TEST_CASE("a zone with a good lock is recovered while others use it") {
  auto zone = Robust::create({.size = 64_KiB});
  REQUIRE(zone);
  const backing::MemoryFile::Source source{zone->backing().fd()};
  const auto block = zone->allocate(8_KiB);
  REQUIRE(block);
  const auto while_recovering = [&](std::uint8_t) {
    CHECK(code_of(Robust::attach({.size = 64_KiB}, source)) == ErrorCode::holder_died);
    return true;
  };
  auto other = Robust::attach_and_recover({.size = 64_KiB}, source, while_recovering);
  REQUIRE(other);
  CHECK(zone->owns(*block));
  let_holder_die(*zone);
  other = Robust::attach_and_recover({.size = 64_KiB}, source, while_recovering);
  REQUIRE(other);
  CHECK(zone->owns(*block));
  // Whoever recovered before died while he wrote a fresh map: behind the tag's and the lock's lines its magic is
  // missing.
  map_header::invalidate(zone->backing().notes().subspan(16));
  let_holder_die(*zone);
  CHECK(code_of(zone->allocate(4_KiB)) == ErrorCode::holder_died);
  CHECK(code_of(Robust::attach({.size = 64_KiB}, source)) == ErrorCode::holder_died);
  other = Robust::attach_and_recover({.size = 64_KiB}, source, while_recovering);
  REQUIRE(other);
  CHECK(zone->owns(*block));
}

TEST_CASE("with a good lock others wait while one recovers, and then go on") {
  auto zone = Robust::create({.size = 64_KiB});
  REQUIRE(zone);
  auto other = Robust::attach({.size = 64_KiB}, backing::MemoryFile::Source{zone->backing().fd()});
  REQUIRE(other);
  REQUIRE(zone->allocate(4_KiB));
  let_holder_die(*zone);
  CHECK(code_of(other->allocate(4_KiB)) == ErrorCode::holder_died);
  std::atomic<bool> came_in = false;
  ErrorCode code = ErrorCode::out_of_memory;
  std::thread waiter;
  zone->recover([&](std::uint8_t) {
    waiter = std::thread([&] {
      code = code_of(other->allocate(8_KiB));
      came_in = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK_FALSE(came_in);
    return true;
  });
  waiter.join();
  CHECK(code == ErrorCode::none);
  CHECK(zone->stats().blocks == 2);
}

TEST_CASE_TEMPLATE("locks of as many words are told apart, recovery or not", L, lock::TicketSpin, lock::Futex,
                   lock::ProcessShared) {
  using Z = Zone<backing::MemoryFile, strategy::Bitmap, L, cache::Coherent>;
  auto zone = Z::create({.size = 64_KiB});
  REQUIRE(zone);
  const backing::MemoryFile::Source source{zone->backing().fd()};
  const ZoneOptions options{.size = 64_KiB};
  CHECK(code_of(Shared::attach(options, source)) == ErrorCode::wrong_lock);
  CHECK(code_of(Shared::attach_and_recover(options, source, keep_all)) == ErrorCode::wrong_lock);
  CHECK(Z::attach(options, source));
  auto spin = Shared::create(options);
  REQUIRE(spin);
  const backing::MemoryFile::Source of_spin{spin->backing().fd()};
  CHECK(code_of(Z::attach(options, of_spin)) == ErrorCode::wrong_lock);
  CHECK(code_of(Z::attach_and_recover(options, of_spin, keep_all)) == ErrorCode::wrong_lock);
  CHECK(Shared::attach(options, of_spin));
}
