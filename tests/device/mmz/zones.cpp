#include <freestone/device/mmz/zones.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

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

}  // namespace

TEST_CASE("row 6: vectors A to F, what the driver's allocator places where") {
  {
    Placing a("mmz=anonymous,0,0x46000000,32M mmz_allocator=hisi");
    CHECK(a.pages(1) == 0x46000000);
    CHECK(a.pages(5) == 0x46001000);
    CHECK(a.pages(1) == 0x46006000);
    CHECK(a.pages(3) == 0x46007000);
    CHECK(a.pages(1) == 0x4600a000);
    a.drop(0x46001000);
    a.drop(0x46007000);
    CHECK(a.pages(2) == 0x46007000);
    CHECK(a.pages(5) == 0x46001000);
    CHECK(a.pages(2) == 0x4600b000);
    CHECK(a.put(0x1234, 0x10000) == 0x46010000);
    CHECK(a.put(1, 0x3000) == 0x4600e000);
    CHECK(a.put(32 << 20) == 0);
  }
  {
    Placing b("mmz=anonymous,0,0x46000000,1M mmz_allocator=hisi");
    for (unsigned at = 0; at < 5; ++at) CHECK(b.pages(2) == 0x46000000 + at * 2 * page);
    b.drop(0x46002000);
    b.drop(0x46006000);
    CHECK(b.pages(2) == 0x46002000);
  }
  {
    Placing c("mmz=anonymous,0,0x46000000,64K mmz_allocator=hisi");
    CHECK(c.pages(4) == 0x46000000);
    CHECK(c.pages(8) == 0x46004000);
    CHECK(c.pages(2) == 0x4600c000);
    c.drop(0x46004000);
    CHECK(c.pages(2) == 0x4600e000);
  }
  {
    Placing d("mmz=anonymous,0,0x46000000,64K mmz_allocator=hisi");
    CHECK(d.pages(4) == 0x46000000);
    CHECK(d.pages(2) == 0x46004000);
    CHECK(d.pages(8) == 0x46006000);
    d.drop(0x46004000);
    CHECK(d.pages(2) == 0x46004000);
  }
  {
    Placing e("mmz=anonymous,0,0x46000000,1M mmz_allocator=hisi");
    CHECK(e.pages(1) == 0x46000000);
    CHECK(e.pages(0x13) == 0x46001000);
    CHECK(e.pages(1) == 0x46014000);
    CHECK(e.pages(1) == 0x46015000);
    CHECK(e.pages(3) == 0x46016000);
    CHECK(e.pages(1) == 0x46019000);
    e.drop(0x46001000);
    e.drop(0x46016000);
    CHECK(e.pages(2, 0x10000) == 0x46010000);
  }
  Placing f("mmz=anonymous,0,0x46100000,1M mmz_allocator=hisi");
  CHECK(f.pages(1, 16 << 20) == 0);
}

TEST_CASE("row 7: vectors G and H are refused: no block outside of its zone, and none that somebody has") {
  Placing g("mmz=anonymous,0,0x46100000,1M mmz_allocator=hisi");
  CHECK(g.pages(1) == 0x46100000);
  CHECK(g.pages(1, 16 << 20) == 0);
  CHECK(g.put(1, 0x50003000) == 0);
  Placing h("mmz=anonymous,0,0x46001000,0x1f000 mmz_allocator=hisi");
  CHECK(h.pages(1) == 0x46001000);
  CHECK(h.pages(14) == 0x46002000);
  CHECK(h.pages(16) == 0x46010000);
  CHECK(h.pages(1, 0x10000) == 0);
}

TEST_CASE("row 6: vector I, from the high end; an order that there is not is refused") {
  Placing placing("mmz=anonymous,0,0x46000000,64K mmz_allocator=hisi");
  const auto high = [&](std::uint64_t size, std::uint64_t align = 0) {
    return placing.put({.size = size, .align = align, .is_v2 = true, .order = device::MmzOrder::high_to_low});
  };
  CHECK(high(3 * page) == 0x4600d000);
  CHECK(high(2 * page, 0x4000) == 0x46008000);
  CHECK(high(page) == 0x4600c000);
  CHECK(placing.pages(1) == 0x4600a000);
  CHECK(placing.put({.size = page, .is_v2 = true, .order = device::MmzOrder(2)}) == 0);
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

TEST_CASE("row 7: whatever is asked for lies in its zone, aligned, and in nobody else's block") {
  Placing placing("mmz=anonymous,0,0x46003000,2M mmz_allocator=hisi");
  Random random(seed());
  for (unsigned step = 0; step < 20'000; ++step) {
    if (placing.blocks.size() > 60 || (!placing.blocks.empty() && random.below(2) == 0)) {
      auto at = placing.blocks.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(random.below(placing.blocks.size())));
      placing.blocks.erase(at);
      continue;
    }
    const std::uint64_t size = 1 + random.below(40 * page);
    const std::uint64_t align = random.below(8) == 0 ? random.below(std::uint64_t{1} << 32) : random.below(20 * page);
    const std::size_t before = placing.blocks.size();
    const std::uint64_t at = placing.put({.size = size, .align = align, .is_v2 = true, .order = device::MmzOrder(random.below(2))});
    if (at == 0) continue;
    REQUIRE(placing.blocks.size() == before + 1);
    REQUIRE(at >= 0x46003000);
    REQUIRE(at + placing.length(at) <= 0x46203000);
    const std::uint64_t step_of = align == 0 ? page : (align + page - 1) / page * page;
    REQUIRE(at % step_of == 0);
    const auto own = placing.blocks.find(at);
    if (own != placing.blocks.begin()) {
      REQUIRE(std::prev(own)->first + placing.length(std::prev(own)->first) <= at);
    }
    if (std::next(own) != placing.blocks.end()) {
      REQUIRE(at + placing.length(at) <= std::next(own)->first);
    }
  }
}
