#include <freestone/device/mmz/zones.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "support/effort.hpp"
#include "support/mmz_scene.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t page = 4096;

// Blocks by their addresses, of a client of his own; 0: there was none.
struct Placing {
  explicit Placing(std::string_view line, MmzGeneration generation = MmzGeneration::g4, std::string_view kernel_zones = {})
      : scene(line, generation, kernel_zones), client(*scene.device.open()) {}

  std::uint64_t put(const device::MmzWanted& wanted) {
    auto made = scene.mmz().allocate(client, wanted);
    if (!made) return 0;
    const std::uint64_t at = scene.mmz().physical_of(made);
    blocks.insert_or_assign(at, std::move(made));
    return at;
  }
  std::uint64_t put(std::uint64_t size, std::uint64_t align = 0) { return put({.size = size, .align = align}); }
  std::uint64_t pages(std::uint64_t count, std::uint64_t align = 0) { return put(count * page, align); }
  void drop(std::uint64_t at) { REQUIRE(blocks.erase(at) == 1); }
  std::uint64_t length(std::uint64_t at) { return blocks.at(at).parts().size.value(); }

  MmzScene scene;
  ClientId client;
  std::map<std::uint64_t, MmzScene::Shared::Ref> blocks = {};
};

// One of a vector's: a block asked for, and where it comes to lie (0: nowhere); or, of 0 bytes, the one there given back.
struct Step {
  device::MmzWanted wanted = {};
  std::uint64_t at = 0;
};
constexpr Step bytes(std::uint64_t size, std::uint64_t at, std::uint64_t align = 0) { return {{.size = size, .align = align}, at}; }
constexpr Step pages(std::uint64_t count, std::uint64_t at, std::uint64_t align = 0) { return bytes(count * page, at, align); }
constexpr Step high(std::uint64_t count, std::uint64_t at, std::uint64_t align = 0) {
  return {{.size = count * page, .align = align, .is_v2 = true, .order = device::MmzOrder::high_to_low}, at};
}
constexpr Step back(std::uint64_t at) { return {{}, at}; }

// `zone`: its start and size.
void check_vector(const std::string& zone, std::initializer_list<Step> steps) {
  Placing placing("mmz=anonymous,0," + zone + " mmz_allocator=hisi");
  for (const Step& step : steps) {
    const auto place = &step - steps.begin();
    CAPTURE(place);
    if (step.wanted.size == 0) {
      placing.drop(step.at);
    } else {
      CHECK(placing.put(step.wanted) == step.at);
    }
  }
}

}  // namespace

TEST_CASE("row 6: vectors A to F, what the driver's allocator places where") {
  SUBCASE("A: the smallest hole that is enough") {
    check_vector("0x46000000,32M", {pages(1, 0x46000000), pages(5, 0x46001000), pages(1, 0x46006000), pages(3, 0x46007000),
                                    pages(1, 0x4600a000), back(0x46001000), back(0x46007000), pages(2, 0x46007000), pages(5, 0x46001000),
                                    pages(2, 0x4600b000), bytes(0x1234, 0x46010000, 0x10000), bytes(1, 0x4600e000, 0x3000), bytes(32 << 20, 0)});
  }
  SUBCASE("B: of two, the lower one") {
    check_vector("0x46000000,1M", {pages(2, 0x46000000), pages(2, 0x46002000), pages(2, 0x46004000), pages(2, 0x46006000),
                                   pages(2, 0x46008000), back(0x46002000), back(0x46006000), pages(2, 0x46002000)});
  }
  SUBCASE("C: the end, where it is smaller") {
    check_vector("0x46000000,64K",
                 {pages(4, 0x46000000), pages(8, 0x46004000), pages(2, 0x4600c000), back(0x46004000), pages(2, 0x4600e000)});
  }
  SUBCASE("D: not the end, where it is as small") {
    check_vector("0x46000000,64K",
                 {pages(4, 0x46000000), pages(2, 0x46004000), pages(8, 0x46006000), back(0x46004000), pages(2, 0x46004000)});
  }
  SUBCASE("E: measured from the aligned start") {
    check_vector("0x46000000,1M", {pages(1, 0x46000000), pages(0x13, 0x46001000), pages(1, 0x46014000), pages(1, 0x46015000),
                                   pages(3, 0x46016000), pages(1, 0x46019000), back(0x46001000), back(0x46016000),
                                   pages(2, 0x46010000, 0x10000)});
  }
  SUBCASE("F: aligned beyond a zone that is empty") { check_vector("0x46100000,1M", {pages(1, 0, 16 << 20)}); }
}

TEST_CASE("row 7: vectors G and H are refused: no block outside of its zone, and none that somebody has") {
  check_vector("0x46100000,1M", {pages(1, 0x46100000), pages(1, 0, 16 << 20), bytes(1, 0, 0x50003000)});
  check_vector("0x46001000,0x1f000", {pages(1, 0x46001000), pages(14, 0x46002000), pages(16, 0x46010000), pages(1, 0, 0x10000)});
}

TEST_CASE("row 6: vector I, from the high end; an order that there is not is refused") {
  const Step no_order{{.size = page, .is_v2 = true, .order = device::MmzOrder(2)}, 0};
  check_vector("0x46000000,64K", {high(3, 0x4600d000), high(2, 0x46008000, 0x4000), high(1, 0x4600c000), pages(1, 0x4600a000), no_order});
}

TEST_CASE("row 6: vector J, lengths that ALLOC_V2 makes in zones of powers of two and of equal blocks") {
  Placing slab("mmz=anonymous,0,0x46000000,1M,1,0 mmz_allocator=hisi");
  const auto v2 = [](Placing& in, std::uint64_t size) { return in.length(in.put({.size = size, .is_v2 = true})); };
  CHECK(v2(slab, 3 * page) == 4 * page);
  CHECK(v2(slab, 5 * page) == 8 * page);
  CHECK(slab.length(slab.pages(3)) == 3 * page);  // ALLOC looks at no type
  Placing equal("mmz=anonymous,0,0x46000000,1M,2,0x5000 mmz_allocator=hisi");
  CHECK(v2(equal, 1) == 5 * page);
  CHECK(v2(equal, 0x5001) == 10 * page);
}

TEST_CASE("row 28: equal blocks of nothing, sizes and alignments that wrap are refused") {
  Placing none("mmz=anonymous,0,0x46000000,1M,2,0 mmz_allocator=hisi");
  CHECK(none.put({.size = page, .is_v2 = true}) == 0);
  CHECK(none.pages(1) == 0x46000000);
  Placing slab("mmz=anonymous,0,0x46000000,1M,1,0 mmz_allocator=hisi");
  for (const std::uint64_t huge : {~std::uint64_t{0}, ~std::uint64_t{0} - page, std::uint64_t{1} << 63, (std::uint64_t{1} << 30) + 1}) {
    CHECK(slab.put({.size = huge, .is_v2 = true}) == 0);
    CHECK(slab.put(huge) == 0);
    CHECK(slab.put(1, huge) == 0);
  }
  CHECK(slab.put(0) == 0);
  CHECK(slab.blocks.empty());
}

TEST_CASE("what one zone makes of a size is nothing to the next: no block is longer than its place") {
  Placing two("mmz=anonymous,0,0x47000000,1M:anonymous,0,0x46000000,16K,1,0 mmz_allocator=hisi");  // the second is asked first
  CHECK(two.put({.size = 3 * page, .is_v2 = true}) == 0x46000000);
  const std::uint64_t other = two.put({.size = 3 * page, .is_v2 = true});
  CHECK(other == 0x47000000);
  CHECK(two.length(other) == 3 * page);
}

TEST_CASE("row 5: zones by name and gfp, the newest first") {
  Placing placing("mmz=anonymous,0,0x46000000,16K:video,3,0x47000000,16K:anonymous,7,0x48000000,16K mmz_allocator=hisi");
  const auto in = [&](const char* zone, std::uint64_t gfp) { return placing.put({.size = page, .gfp = gfp, .zone = zone}); };
  CHECK(in("", 0) == 0x48000000);
  CHECK(in("anonymous", 7) == 0x48001000);
  CHECK(in("video", 0) == 0x47000000);
  CHECK(in("video", 3) == 0x47001000);
  CHECK(in("video", 7) == 0);
  CHECK(in("Video", 0) == 0);
  CHECK(in("vide", 0) == 0);
  CHECK(in("nobody", 0) == 0);
  CHECK(placing.pages(3) == 0x46000000);  // the newest has no room for it
  CHECK(placing.pages(2) == 0x48002000);
}

TEST_CASE("cma: blocks are aligned to their own size as a power of two, whatever is asked for, and to 1 MiB at most") {
  Placing placing("mmz=anonymous,0,0,0 mmz_allocator=cma", MmzGeneration::g3, "anonymous,0,0x46001000,8M");
  CHECK(placing.pages(1) == 0x46001000);
  CHECK(placing.pages(3) == 0x46004000);
  CHECK(placing.pages(1, 0x10000) == 0x46002000);
  CHECK(placing.put(3 << 20) == 0x46100000);
  CHECK(placing.put({.size = page, .is_v2 = true, .order = device::MmzOrder::high_to_low}) == 0x46003000);  // it knows no ends
}

namespace {

// Who has which addresses, as a list of them; what it answers is looked for hole by hole.
struct Intervals {
  std::uint64_t start, end;
  std::map<std::uint64_t, std::uint64_t> taken = {};  // the first address, and that behind the last

  // Is there a hole in which so many bytes begin at a multiple of `align`? (No zone has an alignment larger than itself.)
  bool has_room(std::uint64_t length, std::uint64_t align) const {
    if (align > end - start) return false;
    std::uint64_t free = start;
    for (const auto& [first, behind] : taken) {
      if (fits(free, first, length, align)) return true;
      free = behind;
    }
    return fits(free, end, length, align);
  }
  static bool fits(std::uint64_t from, std::uint64_t to, std::uint64_t length, std::uint64_t align) {
    const std::uint64_t at = (from + align - 1) / align * align;
    return at < to && to - at >= length;
  }
  // False: not all in the zone, or somebody's.
  bool take(std::uint64_t at, std::uint64_t length) {
    if (at < start || at >= end || length > end - at) return false;
    const auto next = taken.lower_bound(at);
    if (next != taken.end() && next->first < at + length) return false;
    if (next != taken.begin() && std::prev(next)->second > at) return false;
    return taken.emplace(at, at + length).second;
  }
};

}  // namespace

TEST_CASE("row 7: whatever is asked for lies in its zone, aligned, in nobody else's block; there is none where no hole is only") {
  Placing placing("mmz=anonymous,0,0x46003000,2M mmz_allocator=hisi");
  Intervals naive{0x46003000, 0x46203000};
  Random random(seed());
  const std::uint64_t steps = some_of(environment("FREESTONE_TEST_STEPS", 1'000'000));
  std::uint64_t wrong = 0, made = 0, refused = 0;
  for (std::uint64_t step = 0; step < steps; ++step) {
    if (placing.blocks.size() > 60 || (!placing.blocks.empty() && random.below(2) == 0)) {
      const auto at = std::next(placing.blocks.begin(), static_cast<std::ptrdiff_t>(random.below(placing.blocks.size())));
      wrong += naive.taken.erase(at->first) != 1;
      placing.blocks.erase(at);
      continue;
    }
    const std::uint64_t size = 1 + random.below(40 * page), length = (size + page - 1) / page * page;
    const std::uint64_t align = random.below(8) == 0 ? random.below(std::uint64_t{1} << 32) : random.below(20 * page);
    const std::uint64_t multiple = align == 0 ? page : (align + page - 1) / page * page;
    const std::uint64_t at = placing.put({.size = size, .align = align, .is_v2 = true, .order = device::MmzOrder(random.below(2))});
    wrong += (at != 0) != naive.has_room(length, multiple);
    ++(at == 0 ? refused : made);
    if (at != 0) wrong += at % multiple != 0 || placing.length(at) != length || !naive.take(at, length);
  }
  CHECK(wrong == 0);
  CHECK(made > steps / 4);
  CHECK(refused > steps / 50);
}

TEST_CASE("blocks of heaps beside the zones lie at no address of theirs") {
  Placing placing("mmz=anonymous,0,0x46000000,16K:video,0,0x47000000,16K mmz_allocator=hisi");
  MmzScene::Zones::Zone anonymous{.heap = &placing.scene.heap("anonymous"), .base = 0x46000000};
  const MmzScene::Zones zones(placing.scene.device, std::span(&anonymous, 1), MmzAllocator::hisi);
  CHECK(placing.put({.size = page, .zone = "video"}) == 0x47000000);
  CHECK_FALSE(zones.has_block(0));
  CHECK(placing.pages(1) == 0x46000000);
  CHECK(zones.has_block(0x46000fff));
}
