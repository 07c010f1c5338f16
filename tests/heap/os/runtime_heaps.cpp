#include <freestone/heap/os/runtime_heaps.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/cache/uncached.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/heap/os/board_ion.hpp>
#include <freestone/heap/os/board_mmz.hpp>
#include <freestone/heap/os/board_pmem.hpp>
#include <freestone/heap/os/board_toml.hpp>
#include <freestone/heap/os/describe.hpp>
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;
using namespace freestone::declare;

namespace {

constexpr const char* text = R"(order = "descending_id"
[[heap]]
name = "low"
id = 3
size = "256K"
base = 0x4000_3000

[[heap]]
name = "high"
id = 17
size = "512K"
base = 0x1_0010_5000
strategy = "best_fit"

[[heap]]
name = "kept"
id = 9
size = "256K"
base = 0x8000_0000
reserve = "64K"
strategy = "segregated"

[[heap]]
name = "uncached"
id = 40
size = "256K"
base = 0x9000_0000
strategy = "buddy"
cache = "uncached"

[[heap]]
name = "file"
id = 5
size = "256K"
backing = "memory_file"

[[heap]]
name = "pages"
id = 0
size = "128K"
backing = "anonymous"
strategy = "best_fit"

[[heap]]
name = "top"
id = 62
size = "64K"
base = "0xffff_ffff_ffff_0000"
)";

template <class S, class C = cache::Coherent>
using Of = Zone<backing::OffsetSpace, S, lock::None, C>;
constexpr auto board = declare::heaps(
    order::DescendingId(), heap<"low">(id<3>, zone<Of<strategy::Bitmap>>, size<256_KiB>, base<0x4000'3000>),
    heap<"high">(id<17>, zone<Of<strategy::BestFit>>, size<512_KiB>, base<0x1'0010'5000>),
    heap<"kept">(id<9>, zone<Of<strategy::Segregated>>, size<256_KiB>, base<0x8000'0000>, reserve<64_KiB>),
    heap<"uncached">(id<40>, zone<Zone<backing::OffsetSpace, strategy::Buddy, lock::None, cache::Uncached>>, size<256_KiB>,
                     base<0x9000'0000>),
    heap<"file">(id<5>, zone<Zone<backing::MemoryFile, strategy::Bitmap, lock::Futex, cache::Coherent>>, size<256_KiB>),
    heap<"pages">(id<0>, zone<Zone<backing::Anonymous, strategy::BestFit, lock::None, cache::Coherent>>, size<128_KiB>),
    heap<"top">(id<62>, zone<Of<strategy::Bitmap>>, size<64_KiB>, base<~std::uint64_t{0xffff}>));

BoardTable table() {
  auto read = read_toml(text);
  REQUIRE(read);
  return *std::move(read);
}
RuntimeHeaps<> made_of(const char* written) {
  auto read = read_toml(written);
  REQUIRE_MESSAGE(read, describe(read.error()));
  auto made = RuntimeHeaps<>::create(*std::move(read));
  REQUIRE_MESSAGE(made, describe(made.error()));
  return *std::move(made);
}
std::string fault_of(BoardTable written) {
  const auto made = RuntimeHeaps<>::create(std::move(written));
  return made ? "" : describe(made.error());
}

Constraints some_constraints(Random& random) {
  Constraints wanted{.size = random.from_to(0, random.chance(10) ? 300'000 : 40'000)};
  if (random.chance(30)) wanted.align = 4096 << random.below(6);
  if (random.chance(20)) wanted.bounds.last = std::array<std::uint64_t, 4>{0xffff'ffff, 0x4000'ffff, 0x8001'ffff, 0x1'0014'0fff}[static_cast<std::size_t>(random.below(4))];
  if (random.chance(20)) wanted.bounds.boundary = 4096 << random.below(7);
  if (random.chance(30)) wanted.heaps = HeapMask(random.next());
  if (random.chance(10)) wanted.cacheability = random.chance(50) ? Cacheability::uncached : Cacheability::cached;
  wanted.exportable = random.chance(10);
  wanted.contiguous = random.chance(70);
  wanted.may_use_reserve = random.chance(30);
  wanted.lifetime = static_cast<Lifetime>(random.below(4));
  return wanted;
}

bool is_same(const Block& a, const Block& b) { return a.offset() == b.offset() && a.size() == b.size(); }
// All that an error says, the zones' tags aside.
bool is_same(const HeapError& a, const HeapError& b) {
  const auto said = [](const HeapError& error) { return std::vector<Refusal>(error.refusals().begin(), error.refusals().end()); };
  return a.code == b.code && a.last == b.last && said(a) == said(b) && describe(a) == describe(b);
}

}  // namespace

TEST_CASE("the heaps of a text: traits, names, ids") {
  auto heaps = made_of(text);
  REQUIRE(heaps.count() == 7);
  const HeapTraits& low = heaps.traits()[0];
  CHECK(std::string_view(low.name) == "low");
  CHECK(low.id == 3);
  CHECK(low.base == 0x4000'3000);
  CHECK(heaps.traits()[2].reserve == 64_KiB);
  CHECK(heaps.traits()[3].cacheability == Cacheability::uncached);
  CHECK(heaps.traits()[4].exportable);
  CHECK(!heaps.traits()[4].base);
  CHECK(heaps.zone("pages")->size() == 128_KiB);
  CHECK(std::string_view(heaps.zone(9)->name()) == "kept");
  CHECK(*heaps.zone(9) == *heaps.zone("kept"));
  CHECK(heaps.zone("nobody").error().code == ErrorCode::unknown_heap);
  CHECK(std::string_view(heaps.zone("nobody").error().zone) == "nobody");
  CHECK(heaps.zone(64).error().code == ErrorCode::unknown_heap);
  CHECK(heaps.zone(64).error().asked == 64);
  CHECK(heaps.zone("").error().code == ErrorCode::unknown_heap);
  CHECK(heaps.named("kept") == HeapMask::of(9));
  CHECK(heaps.named("nobody").is_empty());
  CHECK(heaps.text(1).strategy == "best_fit");
  std::string names;
  heaps.for_each([&](const ZoneRef& zone, const HeapTraits& heap) {
    CHECK(std::string_view(zone.name()) == heap.name);
    names += heap.name;
  });
  CHECK(names == "lowhighkeptuncachedfilepagestop");
}

TEST_CASE("10^5 calls: the same answers as of the board that is compiled in") {
  auto compiled = board.create();
  REQUIRE(compiled);
  auto heaps = made_of(text);
  REQUIRE(compiled->traits().size() == heaps.count());
  for (std::size_t place = 0; place < heaps.count(); ++place) {
    const HeapTraits& a = compiled->traits()[place];
    const HeapTraits& b = heaps.traits()[place];
    CHECK(std::string_view(a.name) == b.name);
    CHECK(std::pair(a.id, a.size) == std::pair(b.id, b.size));
    CHECK(a.base == b.base);
    CHECK(std::pair(a.cacheability, a.exportable) == std::pair(b.cacheability, b.exportable));
    CHECK(a.reserve == b.reserve);
  }

  struct Pair {
    Block a;
    Block b;
  };
  Random random(seed());
  std::vector<Pair> live;
  std::size_t granted = 0;
  std::size_t differences = 0;
  Block room_a[6];
  Block room_b[6];
  for (int step = 0; step < 100'000 && differences == 0; ++step) {
    if (!live.empty() && random.chance(live.size() > 60 ? 70 : 48)) {
      const auto at = static_cast<std::size_t>(random.below(live.size()));
      const Pair gone = live[at];
      differences += !compiled->deallocate(gone.a) || !heaps.deallocate(gone.b);
      differences += code_of(compiled->deallocate(gone.a)) != code_of(heaps.deallocate(gone.b));  // twice
      live[at] = live.back();
      live.pop_back();
    } else if (random.chance(20)) {
      const Constraints wanted = some_constraints(random);
      const auto room = static_cast<std::size_t>(random.below(7));
      const auto a = compiled->allocate_list(wanted, {room_a, room});
      const auto b = heaps.allocate_list(wanted, {room_b, room});
      if (static_cast<bool>(a) != static_cast<bool>(b)) {
        ++differences;
      } else if (!a) {
        differences += !is_same(a.error(), b.error());
      } else {
        differences += a->heap != b->heap || a->blocks.size() != b->blocks.size();
        for (std::size_t i = 0; i < a->blocks.size() && differences == 0; ++i) {
          differences += !is_same(a->blocks[i], b->blocks[i]);
          live.push_back({a->blocks[i], b->blocks[i]});
        }
        ++granted;
      }
    } else {
      const Constraints wanted = some_constraints(random);
      const auto a = compiled->allocate(wanted);
      const auto b = heaps.allocate(wanted);
      if (static_cast<bool>(a) != static_cast<bool>(b)) {
        ++differences;
      } else if (!a) {
        differences += !is_same(a.error(), b.error());
      } else {
        differences += a->heap != b->heap || !is_same(a->block, b->block);
        live.push_back({a->block, b->block});
        ++granted;
      }
    }
    CHECK_MESSAGE(differences == 0, step);
  }
  CHECK(granted > 10'000);
  for (const Pair& pair : live) {
    CHECK(heaps.deallocate(pair.b));
    CHECK(compiled->deallocate(pair.a));
  }
  heaps.for_each([](const ZoneRef& zone, const HeapTraits&) { CHECK(zone.stats().blocks == 0); });
}

TEST_CASE("blocks of nobody, and addresses to blocks") {
  auto heaps = made_of(text);
  auto others = made_of(text);
  const auto foreign = others.allocate({.size = 4096});
  REQUIRE(foreign);
  CHECK(heaps.deallocate(*foreign).error().code == ErrorCode::foreign_block);
  CHECK(heaps.deallocate(Block()).error().code == ErrorCode::foreign_block);
  const auto block = heaps.allocate({.size = 8_KiB, .heaps = HeapMask::of(0)});
  REQUIRE(block);
  const std::byte* first = heaps.zone("pages")->data(block->block).data();
  REQUIRE(first != nullptr);
  const auto found = heaps.find(first + 5000);
  REQUIRE(found);
  CHECK(found->block == *block);
  CHECK(found->offset == Bytes(5000));
  CHECK(std::string_view(found->heap_name) == "pages");
  CHECK(!heaps.find(first + 8192));
  CHECK(!heaps.find(first - 1));
  CHECK(!heaps.find(PhysicalAddress(0x4000'3000)));  // numbers are nobody's addresses
  CHECK(!heaps.find(DeviceAddress(0x4000'3000)));
  CHECK(heaps.deallocate(*block));
  CHECK(heaps.deallocate(*block).error().code == ErrorCode::double_release);
}

TEST_CASE("heaps that move keep their zones and names") {
  auto heaps = made_of("[[heap]]\nname = \"a\"\nid = 1\nsize = \"64K\"\n");
  const auto block = heaps.allocate({.size = 4096});
  REQUIRE(block);
  const ZoneRef zone = *heaps.zone(1);
  RuntimeHeaps<> moved = std::move(heaps);
  CHECK(*moved.zone("a") == zone);
  CHECK(std::string_view(moved.traits()[0].name) == "a");
  CHECK(moved.deallocate(*block));
}

TEST_CASE("the order is the text's, or the program's") {
  const auto first_of = [](auto heaps) {
    REQUIRE(heaps);
    return heaps->allocate({.size = 4096})->heap;
  };
  const auto ordered = [](const char* order) {
    BoardTable written{.order = order};
    for (const unsigned id : {5U, 9U, 1U}) written.heaps.push_back({.name = "h" + std::to_string(id), .id = id, .size = 64_KiB});
    return written;
  };
  CHECK(first_of(RuntimeHeaps<>::create(ordered("declared"))) == 5);
  CHECK(first_of(RuntimeHeaps<>::create(ordered("ascending_id"))) == 1);
  CHECK(first_of(RuntimeHeaps<>::create(ordered("descending_id"))) == 9);
  CHECK(first_of(RuntimeHeaps<>::create(ordered("newest_first"))) == 1);
  CHECK(first_of(RuntimeHeaps<freestone::order::AscendingId>::create(ordered("declared"))) == 1);
  CHECK(fault_of(ordered("up")) == "order: none of the words that may stand there: 'up'");
}

TEST_CASE("heaps without a base get one in the text's memories") {
  const auto heaps = made_of(
      "[[memory]]\nname = \"m\"\nbase = 0x1000\nsize = \"1M\"\n"
      "[[heap]]\nname = \"a\"\nid = 1\nsize = \"64K\"\n"
      "[[heap]]\nname = \"f\"\nid = 4\nsize = \"2M\"\nbacking = \"memory_file\"\n"  // takes none of it
      "[[heap]]\nname = \"b\"\nid = 2\nsize = \"8K\"\n"
      "[[heap]]\nname = \"c\"\nid = 3\nsize = \"4K\"\nbeside = \"a\"\n");
  CHECK(heaps.traits()[2].base == 0x1000);
  CHECK(heaps.traits()[3].base == 0x3000);
  CHECK(heaps.traits()[0].base == 0x4000);
}

TEST_CASE("a board lies where the same board that is compiled in does: files and pages have no part in it") {
  using File = Zone<backing::MemoryFile, strategy::Bitmap, lock::Futex, cache::Coherent>;
  using Pages = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
  static constexpr auto compiled = declare::heaps(
      heap<"a">(id<1>, zone<Of<strategy::Bitmap>>, size<64_KiB>), heap<"f">(id<4>, zone<File>, size<2_MiB>),
      heap<"p">(id<5>, zone<Pages>, size<128_KiB>),
      heap<"mm">(id<2>, zone<Of<strategy::Bitmap>>, size<64_KiB>, granule<64_KiB>),
      heap<"fw">(id<3>, zone<Of<strategy::Bitmap>>, size<4_KiB>, beside<"mm">));
  static constexpr Memory memory{.name = "m", .base = 0x1000'0000, .size = 1_MiB};
  constexpr Layout layout = compiled.lay_out({&memory, 1});
  static_assert(layout);
  static_assert(!layout.places[1].is_placed && !layout.places[2].is_placed);
  const auto heaps = made_of(
      "[[memory]]\nname = \"m\"\nbase = 0x1000_0000\nsize = \"1M\"\n"
      "[[heap]]\nname = \"a\"\nid = 1\nsize = \"64K\"\n"
      "[[heap]]\nname = \"f\"\nid = 4\nsize = \"2M\"\nbacking = \"memory_file\"\n"
      "[[heap]]\nname = \"p\"\nid = 5\nsize = \"128K\"\nstrategy = \"system\"\nbacking = \"anonymous\"\n"
      "[[heap]]\nname = \"mm\"\nid = 2\nsize = \"64K\"\ngranule = \"64K\"\n"
      "[[heap]]\nname = \"fw\"\nid = 3\nsize = \"4K\"\nbeside = \"mm\"\n");
  const auto made = compiled.create(layout);
  REQUIRE(made);
  for (const std::size_t place : {std::size_t{0}, std::size_t{3}, std::size_t{4}}) {
    CHECK(heaps.traits()[place].base == layout.places[place].base);
    CHECK(made->traits()[place].base == layout.places[place].base);
  }
  CHECK(!heaps.traits()[1].base);
}

TEST_CASE("a neighbour or a memory that cannot be kept is an error, not a base of 0") {
  CHECK(fault_of({.heaps = {{.name = "a", .id = 1, .size = 4096, .beside = "b", .line = 2}, {.name = "b", .id = 2, .size = 4096}}}) ==
        "line 2: heap 'a': beside: there is no address that it could begin at: 'b'");
  CHECK(fault_of({.heaps = {{.name = "a", .id = 1, .size = 4096, .memory = "dram", .line = 2}}}) ==
        "line 2: heap 'a': memory: no memory of the board has the name that it should lie in: 'dram'");
  CHECK(fault_of({.heaps = {{.name = "a", .id = 1, .size = 4096, .beside = "b"}, {.name = "b", .id = 2, .size = 4096, .base = 4096}}}).empty());
  const BoardTable crossing = {.memory = {{.name = "m", .base = 0, .size = 8192}, {.name = "n", .base = 4096, .size = 8192, .line = 4}}};
  CHECK(fault_of(crossing) == "line 4: memory: it overlaps another memory ('m'): 'n'");
}

TEST_CASE("what heaps have moved away from finds nothing") {
  auto heaps = made_of("[[heap]]\nname = \"p\"\nid = 1\nsize = \"64K\"\nbacking = \"anonymous\"\n");
  const auto block = heaps.allocate({.size = 4096});
  REQUIRE(block);
  const std::byte* first = heaps.zone(1)->data(block->block).data();
  const RuntimeHeaps<> moved = std::move(heaps);
  CHECK(moved.find(first));
  CHECK(!heaps.find(first));
  CHECK(heaps.count() == 0);
}

TEST_CASE("what no program can make of a table says which line") {
  CHECK(fault_of({}).empty());
  BoardTable written = table();
  written.heaps[1].id = 64;
  CHECK(fault_of(written) == "line 8: heap 'high': id: a number out of range: '64'");
  written.heaps[1].id = 3;
  CHECK(fault_of(written) == "line 8: heap 'high': id: another has that id: '3'");
  written = table();
  written.heaps[1].reserve = 513_KiB;
  CHECK(fault_of(written) == "line 8: heap 'high': reserve: larger than the heap: '513K'");
  written = table();
  written.heaps[1].base = 0x4000'3000;
  CHECK(fault_of(written) == "line 8: heap 'high': base: it overlaps ('low'): '0x40003000'");
  written = table();
  written.heaps[4].size = 5000;
  CHECK(fault_of(written).find("heap 'file': size: its zone cannot be made: the zone's size is no multiple of the granule") != std::string::npos);
  written = table();
  written.memory.push_back({.name = "m", .base = 0, .size = 4096});
  CHECK(fault_of(written).find("heap 'low': base: its place is in none of the board's memories") != std::string::npos);
  written = table();
  written.heaps[4].size = std::uint64_t{1} << 62;
  CHECK(fault_of(written).find("heap 'file': size: its zone cannot be made: ") != std::string::npos);
  std::vector<BoardHeap> many;
  for (unsigned id = 0; id < 65; ++id) many.push_back({.name = "h" + std::to_string(id), .id = id % 64, .size = 4096});
  CHECK(fault_of({.heaps = many}) == "heap 'h64': id: another has that id: '0'");
  CHECK(RuntimeHeaps<>::create({})->allocate({.size = 1}).error().code == ErrorCode::unknown_heap);
}

TEST_CASE("MMZ's zones, newest first, by name and gfp") {
  auto read = read_mmz("mmz_allocator=hisi mmz=anonymous,0,0x46000000,1M:a,1,0x48000000,64k:anonymous,2,0x4a000000,1M");
  REQUIRE(read);
  auto heaps = RuntimeHeaps<>::create(read->table);
  REQUIRE(heaps);
  CHECK(heaps->allocate({.size = 4096, .heaps = mmz_zones(*read, "", 0)})->heap == 2);
  CHECK(heaps->allocate({.size = 4096, .heaps = mmz_zones(*read, "", 1)}).error().code == ErrorCode::empty_mask);
  CHECK(heaps->allocate({.size = 4096, .heaps = mmz_zones(*read, "a", 1)})->heap == 1);
  CHECK(heaps->named("anonymous") == HeapMask(0b101));
  CHECK(*heaps->zone("anonymous") == *heaps->zone(2));
  CHECK(heaps->allocate({.size = 1_MiB, .heaps = heaps->named("anonymous")})->heap == 0);
}

TEST_CASE("PMEM's and ION's heaps, placed in their memories") {
  const char* const platform =
      "[[memory]]\nname = \"EBI\"\nbase = 0x2000_0000\nsize = \"64M\"\n[[memory]]\nname = \"EBI1\"\nbase = 0x3000_0000\nsize = \"64M\"\n"
      "[[pmem]]\nname = \"pmem\"\nsize = \"32M\"\nmemory_type = \"EBI1\"\n"
      "[[pmem]]\nname = \"pmem_adsp\"\nsize = \"8M\"\nmemory_type = \"EBI1\"\nallocator_type = \"ALLORNOTHING\"\n"
      "[[pmem]]\nname = \"kernel\"\nsize = \"8M\"\nallocator_type = \"SYSTEM\"\ncached = true\n"
      "[[ion]]\ntype = \"SYSTEM\"\nid = 30\nname = \"vmalloc\"\n"
      "[[ion]]\ntype = \"CARVEOUT\"\nid = 29\nname = \"mm_fw\"\nsize = 0x20_0000\nalign = \"128K\"\nadjacent_mem_id = 8\n"
      "[[ion]]\ntype = \"CP\"\nid = 8\nname = \"mm\"\nsize = 0x180_0000\n";
  auto pmem = RuntimeHeaps<>::create(*read_pmem(platform));
  REQUIRE_MESSAGE(pmem, describe(pmem.error()));
  CHECK(pmem->traits()[1].base == 0x3200'0000);
  CHECK(pmem->allocate({.size = 4096, .heaps = pmem->named("kernel")}));
  CHECK(pmem->allocate({.size = 4096, .heaps = pmem->named("pmem_adsp")}));
  CHECK(!pmem->allocate({.size = 4096, .heaps = pmem->named("pmem_adsp")}));
  auto ion = RuntimeHeaps<>::create(*read_ion(platform));
  REQUIRE_MESSAGE(ion, describe(ion.error()));
  CHECK(ion->traits()[1].base == 0x2000'0000);
  CHECK(ion->traits()[2].base == 0x2020'0000);
  CHECK(ion->allocate({.size = 4096})->heap == 8);  // ascending ids
}
