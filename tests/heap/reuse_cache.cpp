#include <freestone/heap/reuse_cache.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <list>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/backing/scattered.hpp>
#include <freestone/heap/deferred.hpp>
#include <freestone/heap/named_blocks.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/canaries.hpp>
#include <freestone/zone/zone_ref.hpp>
#include "support/fences.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

namespace {

using Memory = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;
using Fit = Numbers<strategy::Bitmap>;
using Small = BlockSizes<4 << 10, 16 << 10>;
template <class Z, std::size_t most>
using Bare = ReuseCache<Z, Small, most, scrub::Nothing>;

template <class Z>
Z make(Bytes size) {
  return std::move(*Z::create({.name = "memory", .size = size}));
}

bool is_all(std::span<const std::byte> bytes, int value) {
  return std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == std::byte(value); });
}

template <class C>
bool has_kept(C& cache, std::uint64_t blocks, Bytes bytes) {
  return cache.kept() == typename C::Kept{blocks, bytes};
}

}  // namespace

TEST_CASE("which sizes belong together") {
  static_assert(Small::ascend() && !BlockSizes<2, 2>::ascend() && !BlockSizes<0, 1>::ascend());
  const std::vector<std::array<std::uint64_t, 2>> cases = {
      {0, 0},    {1, 0},        {2048, 0},      {2049, 4096}, {4096, 4096},          {4097, 0},
      {8192, 0}, {8193, 16384}, {16384, 16384}, {16385, 0},   {~std::uint64_t{0}, 0}};
  for (const auto& one : cases) {
    CAPTURE(one[0]);
    CHECK(Small::size_for(one[0]) == one[1]);
  }
}

TEST_CASE("kept for the next who asks for the size, the oldest first") {
  auto zone = make<Fit>(64_KiB);
  Bare<Fit, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  const Block b = *cache.allocate(4_KiB);
  const Block c = *cache.allocate(9_KiB);
  const Block odd = *cache.allocate(8_KiB);
  CHECK(c.size() == 16_KiB);
  CHECK(odd.size() == 8_KiB);
  for (const Block& block : {b, c, a, odd}) CHECK(cache.deallocate(block));
  CHECK(has_kept(cache, 3, 24 << 10));
  CHECK(zone.stats().blocks == 3);  // to the zone they are live
  CHECK(!cache.owns(a));
  CHECK(zone.owns(a));
  CHECK(*cache.allocate(4_KiB) == b);
  CHECK(*cache.allocate(3_KiB) == a);
  CHECK(cache.owns(a));
  CHECK(*cache.allocate(16_KiB) == c);
  CHECK(has_kept(cache, 0, 0));
}

TEST_CASE("no more than may be: the oldest go back") {
  auto zone = make<Fit>(128_KiB);
  {
    Bare<Fit, 2> cache(zone);
    std::vector<Block> blocks;
    for (int i = 0; i < 3; ++i) blocks.push_back(*cache.allocate(4_KiB));
    for (const Block& block : blocks) CHECK(cache.deallocate(block));
    CHECK(blocks_of(zone) == std::vector<Block>{blocks[1], blocks[2]});
  }
  CHECK(zone.stats().blocks == 0);  // with its end all go back
  Bare<Fit, 8> cache(zone, 20_KiB);
  const Block a = *cache.allocate(4_KiB);
  const Block b = *cache.allocate(4_KiB);
  const Block large = *cache.allocate(16_KiB);
  CHECK(cache.deallocate(a));
  CHECK(cache.deallocate(b));
  CHECK(cache.deallocate(large));
  CHECK(has_kept(cache, 2, 20 << 10));
  CHECK(!zone.owns(a));
  Bare<Fit, 8> tiny(zone, 4_KiB);
  const Block other = *tiny.allocate(16_KiB);
  CHECK(tiny.deallocate(other));
  CHECK(tiny.kept().blocks == 0);
}

TEST_CASE("shrink gives the oldest back and says how much; 0 counts only") {
  auto zone = make<Fit>(128_KiB);
  Bare<Fit, 8> cache(zone);
  std::vector<Block> blocks;
  for (const Bytes size : {4_KiB, 16_KiB, 4_KiB, 4_KiB}) blocks.push_back(*cache.allocate(size));
  for (const Block& block : blocks) CHECK(cache.deallocate(block));
  CHECK(cache.shrink(0) == 28_KiB);
  CHECK(cache.kept().blocks == 4);
  CHECK(cache.shrink(5_KiB) == 20_KiB);
  CHECK(blocks_of(zone) == std::vector<Block>{blocks[2], blocks[3]});
  CHECK(cache.shrink(1) == 4_KiB);
  CHECK(cache.shrink(1_MiB) == 4_KiB);
  CHECK(cache.shrink(1_MiB) == 0);
  CHECK(cache.shrink(0) == 0);
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("what is kept can be had by whoever wants space") {
  auto zone = make<Fit>(32_KiB);
  Bare<Fit, 8> cache(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(*cache.allocate(4_KiB));
  for (std::size_t i = 0; i < 8; i += 2) CHECK(cache.deallocate(blocks[i]));
  CHECK(code_of(cache.allocate(32_KiB)) == ErrorCode::no_space);
  CHECK(cache.kept().blocks == 0);
  for (std::size_t i = 1; i < 8; i += 2) CHECK(cache.deallocate(blocks[i]));
  CHECK(cache.allocate(32_KiB));
  auto little = make<Fit>(12_KiB);
  Bare<Fit, 8> of_little(little);
  const auto block = of_little.allocate(9_KiB);  // there is no room for a whole one, but for what was asked for
  REQUIRE(block);
  CHECK(block->size() == 12_KiB);
}

TEST_CASE("alignment counts from the zone's base") {
  using Z = Zone<backing::OffsetSpace, strategy::Bitmap, lock::None, cache::Coherent>;
  auto zone = std::move(*Z::create({.name = "numbers", .size = 64_KiB}, Bytes(0x1'0000'3000)));
  Bare<Z, 8> cache(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 6; ++i) blocks.push_back(*cache.allocate(4_KiB));
  for (const Block& block : blocks) CHECK(cache.deallocate(block));
  const auto wide = cache.allocate(Request{.size = 4_KiB, .align = 16_KiB});
  REQUIRE(wide);
  CHECK(wide->offset() == 0x1000);
  CHECK(*cache.allocate(Request{.size = 4_KiB, .align = 8_KiB}) == blocks[3]);
  CHECK(code_of(cache.allocate(Request{.size = 4_KiB, .align = 3})) == ErrorCode::alignment_not_power_of_two);
  CHECK(code_of(cache.allocate(Request{.size = 4_KiB, .align = 128_KiB})) == ErrorCode::alignment_beyond_zone);
  CHECK(cache.kept().blocks == 4);
}

TEST_CASE("nobody gets a former owner's bytes") {
  auto zone = make<Memory>(64_KiB);
  ReuseCache<Memory, Small, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  std::memset(zone.data(a).data(), 0x5A, zone.data(a).size());
  CHECK(cache.deallocate(a));
  CHECK(is_all(zone.data(a), 0));
  CHECK(*cache.allocate(4_KiB) == a);
  std::memset(zone.data(a).data(), 0x5A, zone.data(a).size());
  CHECK(cache.deallocate_to_zone(a));  // when memory is wanted nobody takes the time
  CHECK(is_all(zone.data(*zone.allocate(4_KiB)), 0x5A));
}

TEST_CASE("nor does a device, where caches are not coherent") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Modelled>;
  auto zone = make<Z>(64_KiB);
  ReuseCache<Z, Small, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  std::vector<std::byte> secret(4096, std::byte(0x5A)), seen(4096);
  REQUIRE(zone.cache().device_write(a.offset(), secret));  // the CPU has not seen it
  CHECK(cache.deallocate(a));
  REQUIRE(zone.cache().device_read(a.offset(), seen));
  CHECK(is_all(seen, 0));
  zone.cache().evict(1);
  zone.cache().evict(2);
  REQUIRE(cache.allocate(4_KiB));
  CHECK(is_all(zone.cpu_read(a)->bytes(), 0));
  CHECK(zone.cache().dirty_lines() == 0);
}

TEST_CASE("a scrubber of one's own, where the CPU does not see the bytes") {
  struct Counts {
    int* done;
    bool* fails;
    Result<void> operator()(Fit&, const Block& block) noexcept {
      if (*fails) return Error{.code = ErrorCode::os_failure, .asked = block.size().value()};
      return ++*done, Result<void>();
    }
  };
  int done = 0;
  bool fails = false;
  auto zone = make<Fit>(64_KiB);
  ReuseCache<Fit, Small, 4, Counts> cache(zone, 1_MiB, Counts{&done, &fails});
  const Block a = *cache.allocate(4_KiB);
  const Block odd = *cache.allocate(8_KiB);
  CHECK(cache.deallocate(odd));
  CHECK(done == 0);  // it is not kept
  fails = true;
  CHECK(code_of_unchanging(zone, [&] { return cache.deallocate(a); }) == ErrorCode::os_failure);
  CHECK(cache.owns(a));
  CHECK(cache.kept().blocks == 0);
  fails = false;
  CHECK(cache.deallocate(a));
  CHECK(done == 1);
}

TEST_CASE("a block that somebody still writes is not taken") {
  auto zone = make<Memory>(64_KiB);
  ReuseCache<Memory, Small, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  if constexpr (accesses_are_checked) {
    auto access = zone.cpu_write(a);
    REQUIRE(access);
    CHECK(code_of(cache.deallocate(a)) == ErrorCode::access_open);
    CHECK(cache.owns(a));
  }
  CHECK(cache.deallocate(a));
}

TEST_CASE("each refusal is its own, and changes nothing") {
  auto zone = make<Fit>(64_KiB);
  auto other = make<Fit>(64_KiB);
  Bare<Fit, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  const Block b = *cache.allocate(16_KiB);
  const Block gone = *cache.allocate(8_KiB);
  REQUIRE(cache.deallocate(gone));
  REQUIRE(cache.deallocate(a));
  const auto unchanged = [&](auto&& call) {
    const auto before = cache.kept();
    const ErrorCode code = code_of_unchanging(zone, call);
    CHECK(cache.kept() == before);
    return code;
  };
  CHECK(unchanged([&] { return cache.deallocate(a); }) == ErrorCode::double_release);
  CHECK(unchanged([&] { return cache.deallocate_to_zone(a); }) == ErrorCode::double_release);
  CHECK(unchanged([&] { return cache.deallocate(Block(a.offset(), 8_KiB, a.zone_tag())); }) ==
        ErrorCode::double_release);
  CHECK(unchanged([&] { return cache.deallocate(gone); }) == ErrorCode::double_release);
  CHECK(unchanged([&] { return cache.deallocate(Block(b.offset() + 4096, 4_KiB, b.zone_tag())); }) ==
        ErrorCode::inner_release);
  CHECK(unchanged([&] { return cache.deallocate(*other.allocate(4_KiB)); }) == ErrorCode::foreign_block);
  CHECK(unchanged([&] { return cache.allocate(0); }) == ErrorCode::zero_size);
  CHECK(unchanged([&] { return cache.allocate(1_MiB); }) == ErrorCode::size_beyond_zone);
}

TEST_CASE("over a ZoneRef, and behind fences") {
  auto zone = make<Fit>(64_KiB);
  ZoneRef ref(zone);
  Bare<ZoneRef, 4> by_ref(ref);
  const Block a = *by_ref.allocate(4_KiB);
  CHECK(by_ref.deallocate(a));
  CHECK(*by_ref.allocate(Request{.size = 4_KiB, .align = 64_KiB}) == a);

  std::atomic<bool> done = false;
  Bare<Fit, 4> cache(zone);
  Deferred<Bare<Fit, 4>, Flag, 4> deferred(cache);
  const Block b = *deferred.allocate(4_KiB);
  CHECK(deferred.deallocate_after(b, Flag(done)));
  CHECK(cache.kept().blocks == 0);
  done = true;
  CHECK(deferred.collect().blocks == 1);
  CHECK(cache.kept().blocks == 1);
  CHECK(code_of(deferred.deallocate_after(b, Flag(done))) == ErrorCode::dead_block);
  CHECK(*deferred.allocate(4_KiB) == b);
}

TEST_CASE("nor may one be touched that nobody scrubs") {
  auto zone = make<Memory>(64_KiB);
  Bare<Memory, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  if constexpr (accesses_are_checked) {
    const auto access = zone.cpu_read(a);
    REQUIRE(access);
    const auto refused = cache.deallocate(a);
    CHECK(code_of(refused) == ErrorCode::access_open);
    CHECK(refused.error().asked == a.offset().value());
    CHECK(std::string_view(refused.error().zone) == "memory");
    CHECK(cache.owns(a));
    CHECK(has_kept(cache, 0, 0));
  }
  CHECK(cache.deallocate(a));
  CHECK(has_kept(cache, 1, 4_KiB));
}

TEST_CASE("a block that could not be scrubbed drives out no other") {
  struct Fails {
    bool* fails;
    Result<void> operator()(Fit&, const Block&) noexcept {
      if (*fails) return ErrorCode::os_failure;
      return {};
    }
  };
  bool fails = false;
  auto zone = make<Fit>(64_KiB);
  ReuseCache<Fit, Small, 1, Fails> cache(zone, bits::all, Fails{&fails});
  const Block a = *cache.allocate(4_KiB);
  const Block b = *cache.allocate(4_KiB);
  CHECK(cache.deallocate(a));
  fails = true;
  CHECK(code_of_unchanging(zone, [&] { return cache.deallocate(b); }) == ErrorCode::os_failure);
  CHECK(has_kept(cache, 1, 4_KiB));
  CHECK(code_of(cache.deallocate(a)) == ErrorCode::double_release);
  fails = false;
  CHECK(cache.deallocate(b));
  CHECK(*cache.allocate(4_KiB) == b);
}

TEST_CASE("while one is scrubbed it is nobody's, and everybody has his turn") {
  struct Calls {
    std::function<void(const Block&)>* meanwhile;
    Result<void> operator()(Memory&, const Block& block) noexcept { return (*meanwhile)(block), Result<void>(); }
  };
  auto zone = make<Memory>(64_KiB);
  std::function<void(const Block&)> meanwhile = [](const Block&) {};
  ReuseCache<Memory, Small, 1, Calls> cache(zone, bits::all, Calls{&meanwhile});
  const Block a = *cache.allocate(4_KiB);
  const Block b = *cache.allocate(4_KiB);
  int done = 0;
  meanwhile = [&](const Block& block) {
    CHECK(block == (done++ == 0 ? a : b));
    CHECK(!cache.owns(block));
    CHECK(!cache.find(block.offset()));
    CHECK(!cache.find_containing(block.offset() + 5));
    CHECK(has_kept(cache, 0, 0));
    CHECK(cache.shrink(1_MiB) == 0);
    CHECK(code_of(cache.deallocate(block)) == ErrorCode::double_release);
    CHECK(code_of(cache.deallocate_to_zone(block)) == ErrorCode::double_release);
    CHECK(code_of(cache.scrub(block)) == ErrorCode::double_release);
    CHECK(code_of(cache.deallocate_scrubbed(block)) == ErrorCode::double_release);
    if (done == 1) CHECK(cache.deallocate(b));  // and takes the only place
    CHECK(zone.owns(block));
  };
  CHECK(cache.deallocate(a));
  CHECK(done == 2);
  CHECK(has_kept(cache, 1, 4_KiB));
  CHECK(!zone.owns(b));  // the oldest
  CHECK(*cache.allocate(4_KiB) == a);
}

TEST_CASE("in two steps") {
  auto zone = make<Memory>(64_KiB);
  ReuseCache<Memory, Small, 4> cache(zone);
  const Block a = *cache.allocate(4_KiB);
  const Block odd = *cache.allocate(8_KiB);
  for (const Block& block : {a, odd}) std::memset(zone.data(block).data(), 0x5A, zone.data(block).size());
  CHECK(cache.scrub(a));
  CHECK(cache.scrub(odd));
  CHECK(is_all(zone.data(a), 0));
  CHECK(is_all(zone.data(odd), 0x5A));  // it is not kept
  CHECK(cache.owns(a));
  CHECK(cache.deallocate_scrubbed(a));
  CHECK(cache.deallocate_scrubbed(odd));
  CHECK(blocks_of(zone) == std::vector<Block>{a});
  CHECK(has_kept(cache, 1, 4_KiB));
  CHECK(code_of(cache.scrub(a)) == ErrorCode::double_release);
  CHECK(cache.scrub(odd));  // it is not looked at
  CHECK(code_of(cache.deallocate_scrubbed(odd)) == ErrorCode::double_release);
}

// Numbers tell of addresses there up to that alignment only.
TEST_CASE("no alignment is granted that the backing does not keep") {
  using B = backing::Scattered<backing::Borrowed, 2, 65536>;
  using Z = Zone<B, strategy::Bitmap, lock::None, cache::Coherent>;
  std::vector<std::uint64_t> notes(10'000);
  std::vector<std::byte> room(3 << 20);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(room.data()) & ((std::size_t{1} << 20) - 1);
  std::byte* const memory = room.data() + ((std::size_t{1} << 20) - past);
  const std::size_t part = 65536;
  auto both = B::of(backing::Borrowed({memory, part}, notes), backing::Borrowed({memory + 3 * part, 16 * part}, {}));
  REQUIRE(both);
  auto zone = Z::create({.name = "scattered"}, *std::move(both));
  REQUIRE(zone);
  ZoneRef ref(*zone);
  CHECK(ref.abilities().most_alignment == 64_KiB);
  Bare<Z, 512> cache(*zone);
  Bare<ZoneRef, 512> by_ref(ref);
  CHECK(ZoneRef(cache).abilities().most_alignment == 64_KiB);
  CHECK(by_ref.abilities().most_alignment == 64_KiB);
  const Request wide{.size = 4_KiB, .align = 256_KiB};
  const auto check = [&](auto& keeps) {
    std::vector<Block> blocks;
    while (const auto block = keeps.allocate(4_KiB)) blocks.push_back(*block);
    for (const Block& block : blocks) CHECK(keeps.deallocate(block));
    CHECK(code_of(keeps.allocate(wide)) == ErrorCode::alignment_beyond_zone);
    const auto kept = keeps.kept();
    const auto served = keeps.allocate(Request{.size = 4_KiB, .align = 64_KiB});
    REQUIRE(served);
    CHECK(keeps.kept().blocks == kept.blocks - 1);
    CHECK(reinterpret_cast<std::uintptr_t>(zone->data(*served).data()) % (64 << 10) == 0);
    CHECK(keeps.deallocate_to_zone(*served));
    keeps.shrink(bits::all);
    CHECK(zone->stats().blocks == 0);
  };
  check(cache);
  check(by_ref);
}

TEST_CASE("alignments that are no powers of two, where the strategy has them") {
  auto zone = make<Numbers<strategy::BestFit>>(64_KiB);
  Bare<Numbers<strategy::BestFit>, 8> cache(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(*cache.allocate(4_KiB));
  for (const Block& block : blocks) CHECK(cache.deallocate(block));
  const auto got = cache.allocate(Request{.size = 4_KiB, .align = 12_KiB});
  REQUIRE(got);
  CHECK(bits::remainder(got->offset().value(), 12 << 10) == 0);
  CHECK(cache.kept().blocks == 7);
}

TEST_CASE("a Scrub behind it; and behind a ZoneRef nothing whose bytes are a layer's too") {
  using Clean = layers::Scrub<Memory>;
  auto clean = std::move(*Clean::create({.name = "clean", .size = 64_KiB}, {}));
  ReuseCache<Clean, Small, 4> cache(clean);
  const Block a = *cache.allocate(4_KiB);
  CHECK(cache.deallocate(a));
  CHECK(*cache.allocate(4_KiB) == a);

  using Guarded = layers::Canaries<Memory>;
  auto guarded = std::move(*Guarded::create({.name = "guarded", .size = 64_KiB}, {}));
  ZoneRef ref(guarded);
  Bare<ZoneRef, 4> by_ref(ref);
  const Block b = *by_ref.allocate(4_KiB - 32_B);
  CHECK(b.size() == 8_KiB);
  const Block c = *by_ref.allocate(16_KiB - 32_B);
  for (const Block& block : {b, c}) CHECK(by_ref.deallocate(block));
  CHECK(has_kept(by_ref, 0, 0));
  CHECK(guarded.stats().blocks == 0);
}

TEST_CASE("it looks like a zone, and a ZoneRef sees it as one") {
  auto zone = make<Memory>(64_KiB);
  ReuseCache<Memory, Small, 4> cache(zone);
  const ZoneRef ref = cache;
  const Block a = *ref.allocate({.size = 4_KiB});
  const Block b = *ref.allocate({.size = 16_KiB});
  CHECK(ref.data(a).data() == zone.data(a).data());
  CHECK(ref.find(a.offset()) == a);
  CHECK(ref.find_containing(a.offset() + 100) == a);
  CHECK(ref.stats() == zone.stats());
  CHECK(ref.deallocate(a));
  CHECK(has_kept(cache, 1, 4_KiB));
  CHECK(!ref.owns(a));
  CHECK(!ref.find(a.offset()));
  CHECK(!ref.find_containing(a.offset() + 100));
  CHECK(ref.free() == 48_KiB);
  CHECK(zone.free() == 44_KiB);
  const Stats all = ref.stats();
  CHECK(all.blocks == 1);
  CHECK(all.used == 16_KiB);
  CHECK(all.free == 48_KiB);
  CHECK(all.capacity == 64_KiB);
  CHECK(code_of(ref.deallocate(a)) == ErrorCode::double_release);
  CHECK(ref.size() == 64_KiB);
  CHECK(ref.granule() == 4_KiB);
  CHECK(ref.base() == zone.backing().base());
  CHECK(ref.tag() == zone.tag());
  CHECK(std::string_view(ref.name()) == "memory");
  CHECK(!ref.physical_address(b));
  CHECK(ref.abilities().places);
  CHECK(ref.abilities().most_alignment == 0);
  CHECK(!ref.abilities().allocates_lists);
  std::array<Block, 2> room;
  CHECK(ref.allocate_list({.size = 4_KiB}, room)->size() == 1);
  CHECK(room[0] == a);
  CHECK(ref.deallocate(room[0]));
  // Within bounds, and from above: of the zone, which gets back what is kept where it needs it.
  CHECK(ref.allocate_within({.size = 4_KiB}, {.last = 4095})->offset() == 0);
  CHECK(has_kept(cache, 0, 0));
  CHECK(ref.deallocate(b));
  CHECK(has_kept(cache, 1, 16_KiB));
  CHECK(ref.allocate_high({.size = 4_KiB})->offset() == 60_KiB);
  CHECK(has_kept(cache, 1, 16_KiB));
  CHECK(code_of(ref.allocate_high({.size = 60_KiB})) == ErrorCode::no_space);
  CHECK(has_kept(cache, 0, 0));
  CHECK(ref.allocate_high({.size = 56_KiB}));
}

TEST_CASE("a ZoneRef of one over numbers, and over a strategy that keeps books only") {
  auto zone = make<Fit>(64_KiB);
  Bare<Fit, 4> cache(zone);
  const ZoneRef ref = cache;
  CHECK(!ref.abilities().has_cpu_pointers);
  CHECK(ref.data(*ref.allocate({.size = 4_KiB})).empty());
  using Books = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
  auto books = make<Books>(64_KiB);
  ReuseCache<Books, Small, 4> of_books(books);
  const ZoneRef by_ref = of_books;
  const Block a = *by_ref.allocate({.size = 4_KiB});
  CHECK(by_ref.deallocate(a));
  CHECK(!by_ref.find_containing(a.offset()));
  CHECK(by_ref.allocate({.size = 4_KiB, .align = 64_KiB})->offset() != a.offset());  // who knows where that lies
  CHECK(*by_ref.allocate({.size = 4_KiB}) == a);
}

TEST_CASE("names beside it: what they give back is kept, and zeroed again for the next") {
  auto zone = make<Memory>(64_KiB);
  ReuseCache<Memory, Small, 4> cache(zone);
  NamedBlocks<decltype(cache)> named(cache);
  const auto first = named.request("frame", 4_KiB);
  REQUIRE(first);
  std::memset(zone.data(first->block).data(), 0x5A, 4096);
  CHECK(*named.release("frame") == ReleaseOutcome::gone);
  CHECK(has_kept(cache, 1, 4_KiB));
  const auto second = named.request("other", Constraints{.size = 4_KiB, .align = 8_KiB});
  REQUIRE(second);
  CHECK(second->block == first->block);
  CHECK(is_all(zone.data(second->block), 0));
  CHECK(named.request("other", Constraints{.size = 4_KiB, .align = 8_KiB}));
  const auto low = named.request("low", Constraints{.size = 4_KiB, .bounds = {.last = 8191}});
  REQUIRE(low);
  CHECK(low->block.offset() == 4096);

  ZoneRef ref(zone);
  Bare<ZoneRef, 4> by_ref(ref);
  NamedBlocks<decltype(by_ref), lock::None, 4, Fresh::as_found> of_ref(by_ref);
  CHECK(of_ref.request("frame", 4_KiB));
  CHECK(*of_ref.release("frame") == ReleaseOutcome::gone);
  CHECK(has_kept(by_ref, 1, 4_KiB));
}

TEST_CASE("against a model: a list, and what each held wrote") {
  constexpr std::size_t most = 6;
  constexpr std::uint64_t most_bytes = 60 << 10;
  Random random(seed());
  for (int round = 0; round < 10; ++round) {
    auto zone = make<Memory>(256_KiB);
    ReuseCache<Memory, Small, most> cache(zone, most_bytes);
    std::vector<std::pair<Block, int>> held;
    std::list<Block> kept;
    const auto bytes = [&] {
      std::uint64_t all = 0;
      for (const Block& block : kept) all += block.size().value();
      return all;
    };
    for (int step = 0; step < 500; ++step) {
      const std::uint64_t what = random.below(100);
      if (what < 50) {
        const Bytes size = 512 * random.from_to(1, 48);
        const Bytes whole = Small::size_for(size);
        const auto found =
            std::find_if(kept.begin(), kept.end(), [&](const Block& one) { return one.size() == whole; });
        const bool is_kept = found != kept.end();
        const auto block = cache.allocate(size);
        if (is_kept) {
          REQUIRE(block);
          CHECK(*block == *found);
          CHECK(is_all(zone.data(*block), 0));
          kept.erase(found);
        } else if (cache.kept().blocks == 0) {
          kept.clear();  // it wanted space, or there were none
        }
        if (!block) {
          CHECK(block.error().code == ErrorCode::no_space);
          CHECK(zone.stats().largest_free < size);
          continue;
        }
        const int mark = static_cast<int>(random.from_to(1, 255));
        std::memset(zone.data(*block).data(), mark, zone.data(*block).size());
        held.emplace_back(*block, mark);
      } else if (what < 92 && !held.empty()) {
        const auto at = static_cast<std::size_t>(random.below(held.size()));
        const Block block = held[at].first;
        CHECK(is_all(zone.data(block), held[at].second));  // nobody else wrote to it
        CHECK(cache.deallocate(block));
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
        if (!Small::contains(block.size())) continue;
        while (kept.size() == most || bytes() + block.size().value() > most_bytes) kept.pop_front();
        kept.push_back(block);
      } else if (what < 95) {
        const std::uint64_t wanted = random.below(20 << 10);
        std::uint64_t gone = wanted == 0 ? bytes() : 0;
        while (gone < wanted && !kept.empty()) {
          gone += kept.front().size().value();
          kept.pop_front();
        }
        CHECK(cache.shrink(wanted) == gone);
      } else if (!kept.empty()) {
        CHECK(code_of(cache.deallocate(kept.back())) == ErrorCode::double_release);
      }
      CHECK(cache.kept().blocks == kept.size());
      CHECK(cache.kept().bytes == bytes());
      CHECK(zone.stats().blocks == kept.size() + held.size());
    }
  }
}

TEST_CASE("threads: behind fences, with scrubs under no lock") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, cache::Coherent>;
  auto zone = make<Z>(64_KiB);
  using C = ReuseCache<Z, Small, 6, scrub::Zero, lock::Spin>;
  C cache(zone);
  Deferred<C, Timeline<>::Fence, 8, lock::Spin> deferred(cache);
  std::atomic<bool> wrong = false;
  std::vector<std::thread> threads;
  for (int t = 1; t <= 3; ++t) {
    threads.emplace_back([&, t] {
      Timeline device;
      for (std::uint64_t round = 1; round <= 400; ++round) {
        const auto block = deferred.allocate(round % 5 == 0 ? 16_KiB : 4_KiB);
        device.raise_to(round - 1);  // only now it is through with the one before
        if (!block) {
          std::this_thread::yield();
          continue;
        }
        const auto bytes = zone.data(*block);
        if (block->size() == 4_KiB && round % 7 == 0 && !deferred.deallocate(*block)) wrong = true;
        if (block->size() == 4_KiB && round % 7 == 0) continue;
        std::memset(bytes.data(), t, bytes.size());
        if (round % 50 == 0) static_cast<void>(deferred.shrink(4_KiB));
        if (!is_all(bytes, t)) wrong = true;
        if (const auto done = deferred.deallocate_after(*block, device.at(round)); !done) {
          if (done.error().code != ErrorCode::too_many_blocks || !deferred.deallocate(*block)) wrong = true;
        }
      }
      device.raise_to(bits::all);
      static_cast<void>(deferred.drain([&]() noexcept { return !wrong; }));
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(!wrong);
  CHECK(deferred.pending().blocks == 0);
  CHECK(zone.stats().blocks == cache.kept().blocks);
}

TEST_CASE("threads: a block is one's own, and clean") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, cache::Coherent>;
  auto zone = make<Z>(64_KiB);
  ReuseCache<Z, Small, 6, scrub::Zero, lock::Spin> cache(zone);
  std::atomic<bool> wrong = false;
  std::vector<std::thread> threads;
  for (int t = 1; t <= 3; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 400; ++round) {
        const auto block = cache.allocate(round % 5 == 0 ? 16_KiB : 4_KiB);
        if (!block) {
          std::this_thread::yield();
          continue;
        }
        const auto bytes = zone.data(*block);
        if (!is_all(bytes, 0)) wrong = true;
        std::memset(bytes.data(), t, bytes.size());
        if (round % 50 == 0) static_cast<void>(cache.shrink(4_KiB));
        if (!is_all(bytes, t)) wrong = true;
        if (!cache.deallocate(*block)) wrong = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(!wrong);
  CHECK(zone.stats().blocks == cache.kept().blocks);
}
