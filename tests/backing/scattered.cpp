#include <freestone/backing/scattered.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/reserved.hpp>
#include <freestone/backing/with_notes.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;
using backing::Borrowed;
using backing::Reserved;
using backing::Scattered;
using backing::WithNotes;

namespace {

using Three = Scattered<Reserved, 3>;
template <class S>
using ZoneOf = Zone<WithNotes<Three, Borrowed>, S, lock::None, cache::Coherent>;

// The second begins where no 2 MiB do.
constexpr Reserved low({.physical = PhysicalAddress(0x8000'0000), .size = 2_MiB}, {});
constexpr Reserved middle({.physical = PhysicalAddress(0x20'0000'3000), .size = 1_MiB}, {});
constexpr Reserved high({.physical = PhysicalAddress(0x40'0000'0000), .size = 4_MiB}, {});

Three three() { return *Three::of(low, middle, high); }

template <class S>
struct Kept {
  std::vector<std::uint64_t> words;
  ZoneOf<S> zone;
  explicit Kept(std::vector<std::uint64_t> notes = std::vector<std::uint64_t>(ZoneOf<S>::notes_words(three().size(),
                                                                                                     4_KiB)))
      : words(std::move(notes)), zone(*ZoneOf<S>::create({.name = "camera"}, {three(), Borrowed::at(0, 0, words)})) {}
};

// Where block's first byte is; all others follow it.
template <class Z>
PhysicalAddress address_of(Z& zone, const Block& block) {
  const auto first = zone.physical_address(block);
  REQUIRE(first);
  for (Bytes at = 0; at < block.size(); at = at + zone.granule()) {
    CHECK(zone.backing().physical_address(block.offset() + at) == *first + at);
  }
  CHECK(zone.backing().physical_address(block.offset() + block.size() - 1) == *first + (block.size() - 1));
  return *first;
}

}  // namespace

TEST_CASE("offsets run on from one range to the next, aligned as addresses are") {
  const Three all = three();
  CHECK(all.base() == 0x8000'0000);
  std::vector<Bytes> gaps;
  all.for_each_gap([&](Bytes offset, Bytes size) { gaps.push_back(offset), gaps.push_back(size); });
  CHECK(gaps == std::vector<Bytes>{2_MiB, 0x3000, 3_MiB + 0x3000, 1_MiB - 0x3000});
  CHECK(all.size() == 8_MiB);
}

TEST_CASE("ranges that would meet, aligned as they are, have a gap between them too") {
  const auto met = Three::of(low, high);
  REQUIRE(met);
  met->for_each_gap([](Bytes offset, Bytes size) {
    CHECK(offset == 2_MiB);
    CHECK(size == 2_MiB);
  });
  CHECK(met->size() == 8_MiB);
}

TEST_CASE_TEMPLATE("no block lies across, and nothing but the gaps is lost", S, strategy::Bitmap, strategy::Buddy,
                   strategy::Segregated, strategy::BestFit) {
  for (const std::uint64_t size : {4096U, 5U * 4096, 16U * 4096, 1U << 20, 2U << 20}) {
    Kept<S> kept;
    Bytes sum = 0;
    while (const auto block = kept.zone.allocate(size)) {
      address_of(kept.zone, *block);
      sum = sum + block->size();
    }
    if (size == 4096) CHECK(sum == 7_MiB);
    CHECK(sum != 0);
  }
}

TEST_CASE("an alignment is the address's, in every range") {
  Kept<strategy::Segregated> kept;
  for (int blocks = 0; blocks < 5; ++blocks) {
    const auto block = kept.zone.allocate({.size = 4096, .align = 1_MiB});
    REQUIRE(block);
    CHECK(address_of(kept.zone, *block).value() % (1U << 20) == 0);
  }
}

TEST_CASE("an alignment that addresses would not have is refused") {
  Kept<strategy::BestFit> kept;  // any multiple of the granule
  CHECK(kept.zone.allocate({.size = 4096, .align = 2_MiB}));
  const auto more = kept.zone.allocate({.size = 4096, .align = 4_MiB});
  CHECK(more.error() ==
        Error{.code = ErrorCode::alignment_beyond_zone, .asked = 4 << 20, .available = 2 << 20, .zone = "camera"});
  CHECK(kept.zone.allocate({.size = 4096, .align = 12_KiB}).error().code == ErrorCode::alignment_beyond_zone);
}

TEST_CASE("what a range has for itself is asked of it") {
  const Three all = three();
  const auto place = all.range_at(4_MiB + 4096);
  REQUIRE(place);
  CHECK(place->range->physical_address(0) == PhysicalAddress(0x40'0000'0000));
  CHECK(place->offset == 4096);
  CHECK_FALSE(all.range_at(2_MiB));
  CHECK_FALSE(all.range_at(all.size()));
}

TEST_CASE("gaps are nothing: no block, not used, not free, and nobody's to give back") {
  Kept<strategy::Buddy> kept;
  CHECK_FALSE(kept.zone.backing().physical_address(2_MiB + 4096));
  CHECK_FALSE(kept.zone.backing().physical_address(kept.zone.size()));
  const Stats stats = kept.zone.stats();
  CHECK(stats.free == 7_MiB);
  CHECK(stats.used == 0);
  CHECK(stats.blocks == 0);
  CHECK(stats.capacity == 8_MiB);
  kept.zone.for_each_block([](const Block&) { FAIL("there is none"); });
  for (const Bytes inside : {2_MiB, 2_MiB + 4096, 2_MiB + 100, 3_MiB + 0x3000, 4_MiB - 4096}) {
    CHECK(kept.zone.deallocate_at(inside).error().code == ErrorCode::foreign_block);
    const Block forged(inside, 4_KiB, kept.zone.tag());
    CHECK_FALSE(kept.zone.owns(forged));
    CHECK_FALSE(kept.zone.allocate_at(inside.value() & ~std::uint64_t{4095}, 4096));
  }
  CHECK(kept.zone.stats().free == 7_MiB);
  CHECK(kept.zone.allocate(1_MiB));
  CHECK(kept.zone.stats().blocks == 1);
}

TEST_CASE("a block does not become longer across a gap") {
  Kept<strategy::Bitmap> kept;
  const auto last = kept.zone.allocate_at(2_MiB - 4096, 4096);
  REQUIRE(last);
  CHECK(kept.zone.resize(*last, 8_KiB).error().code == ErrorCode::no_space);
  CHECK_FALSE(kept.zone.resize(Block(2_MiB, 4_KiB, kept.zone.tag()), 8_KiB));
  CHECK(kept.zone.allocate(3_MiB)->offset() == 4_MiB);
}

TEST_CASE("who takes the zone up finds the same gaps") {
  Kept<strategy::Buddy> kept;
  const auto block = kept.zone.allocate(4_KiB);
  REQUIRE(block);
  const Bytes free = kept.zone.stats().free;
  auto other = ZoneOf<strategy::Buddy>::attach({}, WithNotes<Three, Borrowed>(three(), Borrowed::at(0, 0, kept.words)));
  REQUIRE(other);
  CHECK(other->physical_address(*block) == kept.zone.physical_address(*block));
  CHECK(other->stats().free == free);
}

TEST_CASE("ranges that lie otherwise than those that a zone was made over are refused, and nothing changes") {
  Kept<strategy::Bitmap> kept;
  const auto block = kept.zone.allocate(4_KiB);
  REQUIRE(block);
  const auto before = kept.words;
  const auto over = [&](Three ranges) {
    return ZoneOf<strategy::Bitmap>::attach({.name = "z", .size = 8_MiB},
                                            WithNotes<Three, Borrowed>(ranges, Borrowed::at(0, 0, kept.words)));
  };
  const Reserved longer({.physical = PhysicalAddress(0x40'0000'0000), .size = 8_MiB}, {});
  const Reserved shorter({.physical = PhysicalAddress(0x8000'0000), .size = 2_MiB - 4096}, {});
  const Reserved whole({.physical = PhysicalAddress(0x8000'0000), .size = 8_MiB}, {});
  CHECK(over(*Three::of(shorter, middle, high)).error() == Error{.code = ErrorCode::wrong_gaps, .zone = "z"});
  CHECK(over(*Three::of(low, longer)).error().code == ErrorCode::wrong_gaps);
  CHECK(over(*Three::of(low, middle, longer)));  // what is behind the zone's end does not matter
  CHECK(kept.words == before);
  auto plain = Zone<WithNotes<Reserved, Borrowed>, strategy::Bitmap, lock::None, cache::Coherent>::create(
      {}, {whole, Borrowed::at(0, 0, kept.words)});
  REQUIRE(plain);  // one range, and a block where a gap is
  REQUIRE(plain->allocate(3_MiB));
  CHECK(over(three()).error().code == ErrorCode::wrong_gaps);
}

namespace {
struct SharedReserved : Reserved {
  using Reserved::Reserved;
  static constexpr bool shared = true;
};
}  // namespace

TEST_CASE("a recovery keeps gaps out of use, and drops what lies across one") {
  using Two = Scattered<SharedReserved, 2>;
  using Z = Zone<Two, strategy::Bitmap, lock::None, cache::Coherent>;
  std::vector<std::uint64_t> words(10'000);
  const auto ranges = [&] {
    return *Two::of(SharedReserved({.physical = PhysicalAddress(4096), .size = 1_MiB}, words),
                    SharedReserved({.physical = PhysicalAddress(0x1'0000'0000), .size = 1_MiB}, {}));
  };
  auto zone = Z::create({}, ranges());
  REQUIRE(zone);
  auto again = Z::attach_and_recover({}, ranges(), [](std::uint8_t) { return false; });
  REQUIRE(again);
  CHECK(again->stats().used == 0);
  CHECK(again->stats().free == 2_MiB);
  const auto block = again->allocate(4_KiB);
  REQUIRE(block);

  // The same words over one range, where a gap is no gap.
  using One = Zone<SharedReserved, strategy::Bitmap, lock::None, cache::Coherent>;
  const auto all = [](std::uint8_t) { return true; };
  auto one = One::attach_and_recover(
      {}, SharedReserved({.physical = PhysicalAddress(4096), .size = again->size()}, words), all);
  REQUIRE(one);
  REQUIRE(one->allocate_at(1_MiB - 4096, 8_KiB));
  CHECK(Z::attach({}, ranges()).error().code == ErrorCode::wrong_gaps);
  const auto found = again->recover(all);
  CHECK(found.kept == 1);
  CHECK(found.lost == 1);
  CHECK(again->owns(*block));
  CHECK(again->stats().free == 2_MiB - 4096);
  REQUIRE(Z::attach({}, ranges()));
}

TEST_CASE("a zone that ends in a gap, or in a range") {
  const std::pair<Bytes, Bytes> sizes[] = {
      {1_MiB, 1_MiB}, {2_MiB + 4096, 2_MiB}, {3_MiB, 3_MiB - 0x3000}, {3_MiB + 0x4000, 3_MiB}, {7_MiB, 6_MiB}};
  for (const auto& [size, usable] : sizes) {
    std::vector<std::uint64_t> words(10'000);
    auto zone = ZoneOf<strategy::Bitmap>::create({.size = size}, {three(), Borrowed::at(0, 0, words)});
    REQUIRE(zone);
      Bytes sum = 0;
    while (const auto block = zone->allocate(4_KiB)) {
      address_of(*zone, *block);
      sum = sum + block->size();
    }
    CHECK(sum == usable);
  }
}

TEST_CASE("memory: each block's bytes are its own, where ranges are of no granule either") {
  using Two = Scattered<Borrowed, 3, 64>;
  using Z = Zone<Two, strategy::Bitmap, lock::None, cache::Coherent>;
  alignas(64) std::array<std::byte, 1000> first{};
  std::array<std::byte, 30> too_small{};
  std::array<std::byte, 1337> second{};
  std::array<std::uint64_t, 100> notes{};
  std::array<std::uint64_t, 7> fewer{};
  auto two = Two::of(Borrowed(first, fewer), Borrowed(too_small, notes), Borrowed(second, {}));
  REQUIRE(two);
  CHECK(two->notes().data() == notes.data());
  const Bytes whole = two->size().value() & ~std::uint64_t{63};
  auto zone = Z::create({.size = whole, .granule = 64}, *std::move(two));
  REQUIRE(zone);
  std::size_t bytes = 0;
  while (const auto block = zone->allocate(64)) {
    const auto data = zone->data(*block);
    REQUIRE(data.size() == 64);
    for (const auto byte : data) CHECK(byte == std::byte{0});
    std::memset(data.data(), 1, data.size());
    const bool is_first = data.data() >= first.data() && data.data() + 64 <= first.data() + first.size();
    const bool is_second = data.data() >= second.data() && data.data() + 64 <= second.data() + second.size();
    CHECK(is_first != is_second);
    CHECK(reinterpret_cast<std::uintptr_t>(data.data()) % 64 == 0);
    bytes += data.size();
  }
  CHECK(bytes >= 960 + 1337 - 63 - 64 - 63);
}

TEST_CASE("too many, and too far, are errors that change nothing") {
  Three all = three();
  const auto fourth = all.add(low);
  CHECK(fourth.error().code == ErrorCode::list_too_short);
  CHECK(all.size() == three().size());
  Three few(low);
  const auto endless = few.add(Reserved({.physical = PhysicalAddress(0), .size = ~std::uint64_t{0} - 0x8000'0000}, {}));
  CHECK(endless.error().code == ErrorCode::zone_overflow);
  CHECK(few.size() == 2_MiB);
  REQUIRE(few.add(middle));
  const auto three_of =
      Three::of(low, Reserved({.physical = PhysicalAddress(0), .size = ~std::uint64_t{0}}, {}), middle);
  REQUIRE_FALSE(three_of);
  CHECK(three_of.error().code == ErrorCode::zone_overflow);
}

TEST_CASE("a move takes all along") {
  Three one(high);
  CHECK(one.physical_address(4_MiB - 1) == PhysicalAddress(0x40'0000'0000 + (4U << 20) - 1));
  REQUIRE(one.add(low));
  CHECK(one.physical_address(0) == PhysicalAddress(0x40'0000'0000));
  Kept<strategy::Bitmap> kept;
  const auto block = kept.zone.allocate_high({.size = 4_KiB});
  REQUIRE(block);
  const auto moved = std::move(kept.zone);
  CHECK(moved.physical_address(*block) == PhysicalAddress(0x40'0000'0000 + (4U << 20) - 4096));
}

namespace {
struct Committing : Reserved {
  using Reserved::Reserved;
  static inline std::vector<std::uint64_t> calls;
  Result<void> commit(Bytes offset, Bytes size) noexcept {
    calls = {base().value(), offset.value(), size.value()};
    return {};
  }
  Result<void> decommit(Bytes offset, Bytes size) noexcept { return commit(offset, size); }
};
}  // namespace

TEST_CASE("memory is committed in the block's range") {
  using Two = Scattered<Committing, 2>;
  std::vector<std::uint64_t> words(10'000);
  const auto range = [&](std::uint64_t at) {
    return Committing({.physical = PhysicalAddress(at), .size = 2_MiB}, words);
  };
  using Z = Zone<Two, strategy::Bitmap, lock::None, cache::Coherent>;
  auto zone = Z::create({}, *Two::of(range(1U << 30), range(3U << 30)));
  REQUIRE(zone);
  REQUIRE(zone->allocate(2_MiB));
  REQUIRE(zone->allocate(4_KiB));
  const auto block = zone->allocate(8_KiB);
  REQUIRE(block);
  REQUIRE(zone->commit(*block));
  CHECK(Committing::calls == std::vector<std::uint64_t>{3U << 30, 4096, 8192});
  Committing::calls.clear();
  REQUIRE(zone->decommit(*block));
  CHECK(Committing::calls == std::vector<std::uint64_t>{3U << 30, 4096, 8192});
  const auto across = zone->backing().commit(0, 2_MiB + 1);
  CHECK(across.error().code == ErrorCode::size_beyond_zone);
}

static_assert([] {
  std::array<std::uint64_t, 1000> words{};
  const Reserved first({.physical = PhysicalAddress(0x8000'0000), .size = 64_KiB}, words);
  const Reserved second({.physical = PhysicalAddress(0x9000'0000), .size = 64_KiB}, {});
  using Two = Scattered<Reserved, 2, 4096>;
  using Z = Zone<Two, strategy::Buddy, lock::None, cache::Coherent>;
  auto zone = Z::create({.name = "board"}, *Two::of(first, second));
  if (!zone) return false;
  if (!zone->allocate(64_KiB)) return false;
  const auto block = zone->allocate(32_KiB);
  return block && zone->physical_address(*block)->value() >= 0x9000'0000;
}());
