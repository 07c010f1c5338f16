#include <freestone/zone/abilities.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
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
using strategy::Change;

template <class S>
using Shared = Zone<backing::MemoryFile, S, lock::Spin, cache::Coherent>;
using Fit = Numbers<strategy::BestFit>;
using ElasticFit = Numbers<strategy::Elastic<strategy::BestFit>>;

// An ability that a composition has not does not exist on its type.
template <class Z>
concept places_at = requires(Z zone) {
  zone.allocate_at(0, 1);
};
template <class Z>
concept places_high = requires(Z zone) {
  zone.allocate_high({});
};
template <class Z>
concept reserves = requires(Z zone) {
  zone.reserve(0, 1, [](Block) {});
};
template <class Z>
concept resizes = requires(Z zone) {
  zone.resize({}, 1);
};
template <class Z>
concept grows = requires(Z zone) {
  zone.grow(1), zone.shrink(1);
};
template <class Z>
concept snapshots = requires(Z zone, std::span<std::uint64_t> words) {
  zone.snapshot(words), zone.restore(words), zone.diff(words, [](Block, Change) {}), zone.snapshot_words();
};
template <class Z>
concept has_lists = requires(Z zone, std::span<Block> out) {
  zone.allocate_list({}, out);
};

static_assert(places_at<Fit> && places_high<Fit> && reserves<Fit> && resizes<Fit> && snapshots<Fit>);
static_assert(!grows<Fit> && !has_lists<Fit>);
static_assert(grows<ElasticFit> && places_high<ElasticFit> && resizes<ElasticFit>);
using SharedElastic = Shared<strategy::Elastic<strategy::BestFit>>;
static_assert(resizes<SharedElastic> && reserves<SharedElastic>);
static_assert(!grows<SharedElastic> && !snapshots<SharedElastic>);  // their changes would not be in the ledger
using Least = Numbers<MinimalStrategy>;
static_assert(snapshots<Least> && !places_at<Least> && !places_high<Least> && !reserves<Least> && !resizes<Least>);
using Books = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
static_assert(!snapshots<Books> && !places_at<Books> && !reserves<Books> && !resizes<Books> && !grows<Books>);

constexpr bool in_constant_evaluation() {
  auto zone = *ElasticFit::create({.name = "constant", .size = 64_KiB});
  const auto block = zone.allocate_at(8_KiB, 4_KiB);
  if (!block || !zone.resize(*block, 12_KiB) || !zone.shrink(4_KiB) || !zone.grow(4_KiB)) return false;
  return bool(zone.reserve(60_KiB, 1, [](Block) {}));
}
static_assert(in_constant_evaluation());

// The blocks' offsets and sizes in KiB.
using InKiB = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
template <class Z>
InKiB kib(Z& zone) {
  InKiB told;
  for (const Block& block : blocks_of(zone))
    told.emplace_back(block.offset().value() / 1024, block.size().value() / 1024);
  return told;
}

}  // namespace

TEST_CASE("a block can be had at an offset of one's own choice") {
  auto zone = Fit::create({.name = "at", .size = 64_KiB});
  REQUIRE(zone);
  const auto block = zone->allocate_at(20_KiB, 5000);
  REQUIRE(block);
  CHECK(block->offset() == 20_KiB);
  CHECK(block->size() == 8_KiB);
  CHECK(zone->owns(*block));
  const auto code = [&](Bytes offset, Bytes size) {
    return code_of_unchanging(*zone, [&] { return zone->allocate_at(offset, size); });
  };
  CHECK(code(20_KiB, 1) == ErrorCode::no_space);
  CHECK(code(16_KiB, 4_KiB + 1) == ErrorCode::no_space);
  CHECK(code(30_KiB, 1) == ErrorCode::not_granules);
  CHECK(code(0, 0) == ErrorCode::zero_size);
  CHECK(code(0, max64) == ErrorCode::size_overflow);
  CHECK(code(0, 65_KiB) == ErrorCode::size_beyond_zone);
  CHECK(code(60_KiB, 4_KiB + 1) == ErrorCode::size_beyond_zone);
  CHECK(code(64_KiB, 1) == ErrorCode::size_beyond_zone);
  CHECK(code(max64 - 4095, 4_KiB) == ErrorCode::size_beyond_zone);
  CHECK(zone->allocate_at(20_KiB, 1).error() ==
        Error{.code = ErrorCode::no_space, .asked = 1, .available = 56 * 1024, .zone = "at"});
  CHECK(zone->allocate_at(16_KiB, 4_KiB));
  CHECK(zone->allocate_at(28_KiB, 36_KiB));
  CHECK(kib(*zone) == InKiB{{16, 4}, {20, 8}, {28, 36}});
  auto buddies = Numbers<strategy::Buddy>::create({.size = 64_KiB});
  REQUIRE(buddies);
  CHECK(code_of(buddies->allocate_at(4_KiB, 8_KiB)) == ErrorCode::no_space);  // no buddy lies there
  CHECK(buddies->allocate_at(16_KiB, 12_KiB)->size() == 16_KiB);
}

TEST_CASE("every granule that is touched by what is reserved is out of use, and no other") {
  auto zone = Fit::create({.name = "reserved", .size = 64_KiB});
  REQUIRE(zone);
  std::vector<Block> told;
  const auto tell = [&](Block block) { told.push_back(block); };
  CHECK(zone->reserve(5_KiB, 3_KiB, tell));   // within a granule
  CHECK(zone->reserve(12_KiB - 1, 2, tell));  // two granules
  CHECK(zone->reserve(64_KiB - 1, 1, tell));  // the last byte
  CHECK(zone->reserve(16_KiB, 4_KiB, tell));  // exactly one
  CHECK(kib(*zone) == InKiB{{4, 4}, {8, 8}, {16, 4}, {60, 4}});
  REQUIRE(told.size() == 4);
  for (const Block& block : told) CHECK(zone->owns(block));
  const auto code = [&](Bytes offset, Bytes size) {
    told.clear();
    const ErrorCode code = code_of_unchanging(*zone, [&] { return zone->reserve(offset, size, tell); });
    CHECK(told.empty());
    return code;
  };
  CHECK(code(4_KiB - 1, 2) == ErrorCode::no_space);
  CHECK(code(0, 0) == ErrorCode::zero_size);
  CHECK(code(64_KiB, 1) == ErrorCode::size_beyond_zone);
  CHECK(code(32_KiB, 33_KiB) == ErrorCode::size_beyond_zone);
  CHECK(code(max64, 2) == ErrorCode::size_beyond_zone);
  for (const Block& block : blocks_of(*zone)) CHECK(zone->deallocate(block));
  CHECK(zone->reserve(0, 64_KiB, tell));
}

TEST_CASE("what is reserved may be several blocks, each of which goes back by itself") {
  auto zone = Shared<HostileStrategy>::create({.size = 64_KiB, .owner = 3});
  REQUIRE(zone);
  std::vector<Block> told;
  REQUIRE(zone->reserve(4_KiB, 12_KiB, [&](Block block) { told.push_back(block); }));
  CHECK(kib(*zone) == InKiB{{4, 4}, {8, 4}, {12, 4}});
  CHECK(told == blocks_of(*zone));
  CHECK(zone->deallocate(told[1]));
  CHECK(zone->recover([](std::uint8_t owner) { return owner == 3; }).kept == 2);  // all of them are in the ledger
  CHECK(kib(*zone) == InKiB{{4, 4}, {12, 4}});
}

TEST_CASE("a block becomes longer or shorter where it lies, or stays as it was") {
  auto zone = Fit::create({.name = "resized", .size = 64_KiB});
  REQUIRE(zone);
  const Block first = *zone->allocate(8_KiB);
  const Block second = *zone->allocate_at(20_KiB, 4_KiB);
  const auto longer = zone->resize(first, 16_KiB + 1);
  REQUIRE(longer);
  CHECK(longer->offset() == first.offset());
  CHECK(longer->size() == 20_KiB);
  CHECK(zone->owns(*longer));
  CHECK_FALSE(zone->owns(first));
  CHECK(kib(*zone) == InKiB{{0, 20}, {20, 4}});
  const auto code = [&](const Block& block, Bytes size) {
    return code_of_unchanging(*zone, [&] { return zone->resize(block, size); });
  };
  CHECK(code(*longer, 20_KiB + 1) == ErrorCode::no_space);
  CHECK(code(second, 45_KiB) == ErrorCode::no_space);
  CHECK(code(second, 0) == ErrorCode::zero_size);
  CHECK(code(second, 65_KiB) == ErrorCode::size_beyond_zone);
  CHECK(code(second, max64) == ErrorCode::size_overflow);
  CHECK(code({20_KiB, 4_KiB, zone->tag() + 1}, 1) == ErrorCode::foreign_block);
  CHECK(code({64_KiB, 4_KiB, zone->tag()}, 1) == ErrorCode::foreign_block);
  CHECK(code({max64 - 4095, 4_KiB, zone->tag()}, 1) == ErrorCode::foreign_block);
  CHECK(code({40_KiB, 4_KiB, zone->tag()}, 1) == ErrorCode::double_release);
  CHECK(code({4_KiB, 4_KiB, zone->tag()}, 1) == ErrorCode::inner_release);
  CHECK(code({20_KiB + 1, 4_KiB, zone->tag()}, 1) == ErrorCode::inner_release);
  CHECK(code({40_KiB + 1, 4_KiB, zone->tag()}, 1) == ErrorCode::double_release);
  CHECK(zone->resize(second, 44_KiB)->size() == 44_KiB);
  CHECK(zone->resize(*longer, 1)->size() == 4_KiB);
  CHECK(kib(*zone) == InKiB{{0, 4}, {20, 44}});
  CHECK(zone->resize(first, 4_KiB)->size() == 4_KiB);  // nothing to do
  CHECK(zone->stats().free == 16_KiB);
}

TEST_CASE("a shared zone's ledger knows what was put, reserved and resized") {
  auto zone = Shared<strategy::BestFit>::create({.size = 1_MiB, .owner = 7});
  REQUIRE(zone);
  const auto block = zone->allocate_at(100_KiB, 8_KiB);
  const auto other = zone->allocate_at(0, 100_KiB);
  REQUIRE((block && other));
  REQUIRE(zone->reserve(512_KiB, 256_KiB, [](Block) {}));
  REQUIRE(zone->resize(*block, 412_KiB));
  REQUIRE(zone->resize(*other, 50_KiB));
  const InKiB before{{0, 52}, {100, 412}, {512, 256}};
  CHECK(kib(*zone) == before);
  const Recovery found = zone->recover([](std::uint8_t owner) { return owner == 7; });
  CHECK(found.kept == 3);
  CHECK(found.lost == 0);
  CHECK(kib(*zone) == before);
  CHECK(zone->deallocate(*block));
  CHECK(zone->recover([](std::uint8_t) { return true; }).kept == 2);
}

TEST_CASE("a zone's end moves") {
  auto zone = ElasticFit::create({.name = "elastic", .size = 64_KiB});
  REQUIRE(zone);
  REQUIRE(zone->shrink(48_KiB));
  CHECK(zone->size() == 64_KiB);
  CHECK(zone->stats().free == 16_KiB);
  const auto block = zone->allocate(16_KiB);
  REQUIRE(block);
  CHECK(code_of(zone->allocate(1)) == ErrorCode::no_space);
  const auto grow = [&](Bytes size) { return code_of_unchanging(*zone, [&] { return zone->grow(size); }); };
  const auto shrink = [&](Bytes size) { return code_of_unchanging(*zone, [&] { return zone->shrink(size); }); };
  CHECK(grow(0) == ErrorCode::zero_size);
  CHECK(grow(1) == ErrorCode::not_granules);
  CHECK(grow(52_KiB) == ErrorCode::size_beyond_zone);
  CHECK(grow(max64 - 4095) == ErrorCode::size_beyond_zone);
  CHECK(shrink(0) == ErrorCode::zero_size);
  CHECK(shrink(4_KiB + 1) == ErrorCode::not_granules);
  CHECK(shrink(4_KiB) == ErrorCode::no_space);
  CHECK(shrink(68_KiB) == ErrorCode::size_beyond_zone);
  CHECK(zone->shrink(4_KiB).error() ==
        Error{.code = ErrorCode::no_space, .asked = 4096, .available = 0, .zone = "elastic"});
  CHECK(zone->grow(48_KiB));
  CHECK(zone->allocate(48_KiB)->offset() == 16_KiB);
  CHECK(zone->deallocate(*block));
  CHECK(shrink(4_KiB) == ErrorCode::no_space);
}

TEST_CASE("what a zone knew can be put back, and compared") {
  auto zone = Fit::create({.name = "kept", .size = 64_KiB});
  REQUIRE(zone);
  const Block stays = *zone->allocate(8_KiB);
  const Block goes = *zone->allocate(4_KiB);
  const Block resized = *zone->allocate(4_KiB);
  std::vector<std::uint64_t> kept(zone->snapshot_words());
  REQUIRE(zone->snapshot(kept));
  const auto before = kib(*zone);
  REQUIRE(zone->deallocate(goes));
  REQUIRE(zone->resize(resized, 12_KiB));
  REQUIRE(zone->allocate_high({.size = 4_KiB}));
  std::vector<std::pair<std::uint64_t, Change>> told;
  REQUIRE(zone->diff(kept, [&](Block block, Change change) {
    CHECK(block.zone_tag() == zone->tag());
    told.emplace_back(block.offset().value() / 1024, change);
  }));
  CHECK(told == std::vector<std::pair<std::uint64_t, Change>>{
                    {8, Change::went}, {12, Change::went}, {12, Change::came}, {60, Change::came}});
  REQUIRE(zone->restore(kept));
  CHECK(kib(*zone) == before);
  CHECK(zone->owns(goes));
  CHECK(zone->deallocate(goes));
  CHECK(zone->deallocate(resized));
  CHECK(zone->deallocate(stays));
}

TEST_CASE("words that are no snapshot of this zone are refused, and nothing changes") {
  auto zone = Fit::create({.name = "kept", .size = 64_KiB});
  auto other = Fit::create({.name = "other", .size = 128_KiB});
  REQUIRE((zone && other));
  REQUIRE(zone->allocate(8_KiB));
  std::vector<std::uint64_t> words(zone->snapshot_words());
  const auto restored = [&](std::span<std::uint64_t> from) {
    return code_of_unchanging(*zone, [&] { return zone->restore(from); });
  };
  const auto compared = [&](std::span<std::uint64_t> from) { return code_of(zone->diff(from, [](Block, Change) {})); };
  CHECK(restored(words) == ErrorCode::not_formatted);
  CHECK(compared(words) == ErrorCode::not_formatted);
  CHECK(zone->restore(words).error().zone == std::string_view("kept"));
  std::vector<std::uint64_t> others(other->snapshot_words());
  REQUIRE(other->snapshot(others));
  CHECK(restored(others) == ErrorCode::wrong_capacity);
  CHECK(compared(others) == ErrorCode::wrong_capacity);
  CHECK(code_of(zone->snapshot(std::span(words).first(words.size() - 1))) == ErrorCode::notes_too_small);
  REQUIRE(zone->snapshot(words));
  CHECK(restored(std::span(words).first(words.size() - 1)) == ErrorCode::cut_short);
  CHECK(restored(words) == ErrorCode::none);
  CHECK(compared(words) == ErrorCode::none);
}

namespace {

using Orders = strategy::OrderList<strategy::Buddy, 2, 0>;

static_assert(has_lists<Numbers<Orders>> && !has_lists<Numbers<strategy::Buddy>>);

// Whatever is asked for, a list is refused with that code, no word changes, and no block is named.
template <class Z>
ErrorCode code_of_refused_list(Z& zone, const std::vector<std::uint64_t>& notes, const Request& request,
                               std::size_t room) {
  const auto before = notes;
  std::vector<Block> out(room);
  const ErrorCode code = code_of(zone.allocate_list(request, out));
  CHECK(notes == before);
  CHECK(out == std::vector<Block>(room));
  return code;
}

}  // namespace

TEST_CASE("a list of blocks serves one request, and each goes back by itself") {
  auto zone = Numbers<Orders>::create({.size = 64_KiB});
  REQUIRE(zone);
  std::array<Block, 5> out;
  const auto list = zone->allocate_list({.size = 21'000, .align = 8_KiB}, out);
  REQUIRE(list);
  REQUIRE(list->data() == out.data());
  REQUIRE(list->size() == 3);
  CHECK(blocks_of(*zone) == std::vector<Block>(list->begin(), list->end()));
  CHECK(out[0].size() == 16_KiB);
  CHECK(out[1].size() == 4_KiB);
  CHECK(out[2].size() == 4_KiB);
  CHECK(out[3] == Block());
  for (const Block& block : *list) CHECK(block.offset().value() % 8192 == 0);
  CHECK(zone->deallocate(out[1]));
  CHECK(code_of(zone->deallocate(out[1])) == ErrorCode::double_release);
  CHECK(zone->owns(out[0]));
  CHECK(zone->owns(out[2]));
}

TEST_CASE("a list that cannot be had changes no word") {
  using Z = OverWords<strategy::OrderList<strategy::Bitmap, 2, 0>>;
  std::vector<std::uint64_t> notes(Z::notes_words(64_KiB, 4_KiB));
  auto zone = Z::create({.name = "lists"}, backing::Borrowed::at(0, 64_KiB, notes));
  REQUIRE(zone);
  const auto code = [&](Bytes size, Bytes align = 0, std::size_t room = 16) {
    return code_of_refused_list(*zone, notes, {.size = size, .align = align}, room);
  };
  CHECK(code(0) == ErrorCode::zero_size);
  CHECK(code(max64) == ErrorCode::size_overflow);
  CHECK(code(64_KiB + 1) == ErrorCode::size_beyond_zone);
  CHECK(code(1, 3) == ErrorCode::alignment_not_power_of_two);
  CHECK(code(1, 128_KiB) == ErrorCode::alignment_beyond_zone);
  CHECK(code(1, 0, 0) == ErrorCode::list_too_short);
  CHECK(code(28_KiB, 0, 3) == ErrorCode::list_too_short);  // 16 + 3 times 4
  CHECK(code(28_KiB, 32_KiB) == ErrorCode::no_space);      // two such places, four blocks
  REQUIRE(zone->allocate(60_KiB));
  CHECK(code(4_KiB, 0, 0) == ErrorCode::list_too_short);
  CHECK(code(8_KiB, 0, 0) == ErrorCode::no_space);  // however long the list were
  CHECK(code(8_KiB) == ErrorCode::no_space);
}

TEST_CASE("a list is said to be too short only where a longer one would have had a next block") {
  using Fours = strategy::OrderList<strategy::Buddy, 2>;
  auto zone = Numbers<Fours>::create({.name = "lists", .size = 64_KiB});
  REQUIRE(zone);
  std::array<Block, 16> singles;
  for (Block& single : singles) single = *zone->allocate(4_KiB);
  for (const std::size_t gone : {0U, 1U, 2U, 3U, 5U, 7U, 9U, 11U}) REQUIRE(zone->deallocate(singles[gone]));
  std::array<Block, 8> out;  // 8 granules are free, but only the first 4 side by side
  const auto code = [&](std::size_t room) {
    return zone->allocate_list({.size = 32_KiB}, std::span(out).first(room)).error().code;
  };
  CHECK(code(0) == ErrorCode::list_too_short);
  CHECK(code(1) == ErrorCode::no_space);
  CHECK(code(8) == ErrorCode::no_space);
}

TEST_CASE("a strategy that has a highest place is asked for it") {
  auto zone = Numbers<strategy::BestFit>::create({.name = "high", .size = 64_KiB});
  REQUIRE(zone);
  const auto top = zone->allocate_high({.size = 5_KiB});
  REQUIRE(top);
  CHECK(top->offset() == 56_KiB);
  CHECK(top->size() == 8_KiB);
  CHECK(zone->allocate_high({.size = 4_KiB, .align = 12_KiB})->offset() == 48_KiB);
  CHECK(zone->allocate(4_KiB)->offset() == 52_KiB);
  CHECK(zone->allocate_high({.size = 64_KiB}).error().code == ErrorCode::no_space);
  CHECK(zone->allocate_high({.size = 0}).error().code == ErrorCode::zero_size);
}

TEST_CASE("the error of a list tells what there was") {
  auto zone = Numbers<Orders>::create({.name = "lists", .size = 64_KiB});
  REQUIRE(zone);
  std::array<Block, 2> out;
  const auto too_long = zone->allocate_list({.size = 28_KiB}, out);
  CHECK(too_long.error() ==
        Error{.code = ErrorCode::list_too_short, .asked = 28 * 1024, .available = 20 * 1024, .zone = "lists"});
  std::array<Block, 9> wide;
  const auto scattered = zone->allocate_list({.size = 28_KiB, .align = 32_KiB}, wide);
  CHECK(scattered.error() ==
        Error{.code = ErrorCode::no_space, .asked = 28 * 1024, .available = 64 * 1024, .zone = "lists"});
}

TEST_CASE("a shared zone's ledger knows each block of a list, and none of a list that failed") {
  auto zone = Shared<Orders>::create({.size = 64_KiB, .owner = 7});
  REQUIRE(zone);
  std::array<Block, 8> out;
  const auto list = zone->allocate_list({.size = 28_KiB}, out);
  REQUIRE(list);
  REQUIRE(list->size() == 4);
  std::array<Block, 3> short_by_one;
  const auto refused = code_of_unchanging(*zone, [&] { return zone->allocate_list({.size = 28_KiB}, short_by_one); });
  CHECK(refused == ErrorCode::list_too_short);
  CHECK(zone->deallocate(out[2]));
  CHECK(zone->recover([](std::uint8_t owner) { return owner == 7; }).kept == 3);
  CHECK(blocks_of(*zone) == std::vector<Block>{out[0], out[1], out[3]});
  CHECK(zone->recover([](std::uint8_t owner) { return owner != 7; }).dropped == 3);
}

namespace {
// Has memory for two blocks at a time.
struct ForTwo : tests::LikeHeap<ForTwo> {
  using LikeHeap::LikeHeap;
  Result<void> obtain(std::uint64_t slot, Bytes bytes, Bytes align) noexcept {
    if (blocks_.size() == 2) return ErrorCode::out_of_memory;
    return LikeHeap::obtain(slot, bytes, align);
  }
};
}  // namespace

TEST_CASE("where the host refuses a later block of a list, the first ones go back to it") {
  auto zone = Zone<ForTwo, strategy::OrderList<strategy::System, 1, 0>, lock::None, cache::Coherent>::create(
      {.name = "host", .size = 64_KiB});
  REQUIRE(zone);
  std::array<Block, 8> out;
  const auto refused = code_of_unchanging(*zone, [&] { return zone->allocate_list({.size = 20_KiB}, out); });
  CHECK(refused == ErrorCode::out_of_memory);
  CHECK(out[0] == Block());
  const auto list = zone->allocate_list({.size = 12_KiB}, out);  // the room of both is there again
  REQUIRE(list);
  CHECK(list->size() == 2);
  CHECK(zone->data(out[0]).size() == 8192);
  CHECK(zone->deallocate(out[0]));
  CHECK(zone->deallocate(out[1]));
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("a block's memory comes and goes; that of another zone does not") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;
  auto zone = Z::create({.name = "pages", .size = 1_MiB, .granule = 4_KiB});
  auto other = Z::create({.name = "others", .size = 1_MiB, .granule = 4_KiB});
  REQUIRE(zone);
  REQUIRE(other);
  const auto before = zone->allocate(64_KiB);
  const auto block = zone->allocate(64_KiB);
  REQUIRE(before);
  REQUIRE(block);
  std::memset(zone->data(*before).data(), 1, 65536);
  std::memset(zone->data(*block).data(), 2, 65536);
  REQUIRE(zone->commit(*block));
  REQUIRE(zone->decommit(*block));
  CHECK(zone->data(*block)[0] == std::byte{0});
  CHECK(zone->data(*before)[65535] == std::byte{1});
  CHECK(zone->owns(*block));
  CHECK(other->commit(*block).error() == Error{.code = ErrorCode::foreign_block, .asked = 65536, .zone = "others"});
  CHECK(other->decommit(*block).error().code == ErrorCode::foreign_block);
}

// Its blocks lie anywhere, and their offsets are no offsets into the backing.
using BooksOnly = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
template <class Z>
concept commits_blocks = requires(Z& zone, const Block& block) { zone.commit(block); } ||
                         requires(Z& zone, const Block& block) { zone.decommit(block); };
static_assert(!commits_blocks<BooksOnly>);
static_assert(commits_blocks<Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>>);
