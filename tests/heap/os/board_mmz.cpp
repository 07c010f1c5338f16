#include <freestone/heap/os/board_mmz.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/prefixes.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr MmzSystem g1{.generation = MmzGeneration::g1};
constexpr MmzSystem g2{.generation = MmzGeneration::g2};
constexpr MmzSystem g4{.generation = MmzGeneration::g4};
constexpr MmzSystem g5{.generation = MmzGeneration::g5};
constexpr MmzSystem set_top{.generation = MmzGeneration::set_top};

std::string hisi(const std::string& zones) { return "mmz_allocator=hisi mmz=" + zones; }
std::string fault_of(const std::string& line, const MmzSystem& system = g4) {
  std::string fault;
  try_exactly(line, [&](std::string_view exact) {
    const auto board = read_mmz(exact, system);
    fault = board ? "" : describe(board.error());
  });
  return fault;
}
// The names of the zones that live.
std::string names_of(const MmzBoard& board) {
  std::string names;
  for (const BoardHeap& heap : board.table.heaps) names += heap.name + " ";
  return names;
}
const MmzPart& part_of(const MmzBoard& board, std::size_t place) { return std::get<MmzPart>(board.table.heaps[place].part); }

}  // namespace

TEST_CASE("lines that boards are started with") {
  const auto one = read_mmz("anony=1 mmz_allocator=hisi mmz=anonymous,0,0x46000000,32M", g4);
  REQUIRE(one);
  REQUIRE(one->table.heaps.size() == 1);
  CHECK(one->table.order == "newest_first");
  CHECK(one->table.heaps[0].base == 0x4600'0000);
  CHECK(one->table.heaps[0].size == 32_MiB);
  CHECK(one->table.heaps[0].strategy == "best_fit_mmz");
  const auto two = read_mmz("mmz=anonymous,0,0xE3000000,80M:window,0,0xE2100000,15M anony=1", g2);
  REQUIRE(two);
  CHECK(names_of(*two) == "anonymous window ");
  CHECK(two->table.heaps[1].id == 1);
  const auto six = read_mmz(hisi("ddr,7,0x46000000,1m,2,64k"), g4);
  REQUIRE(six);
  CHECK(part_of(*six, 0).gfp == 7);
  CHECK(part_of(*six, 0).type == 2);
  CHECK(part_of(*six, 0).block_align == 64_KiB);
  const MmzSystem kernel{.kernel_zones = "anonymous,0,0x42000000,96M"};
  const auto cma = read_mmz("mmz=anonymous,0,0x42000000,96M mmz_allocator=cma", kernel);
  REQUIRE(cma);
  CHECK(cma->allocator == MmzAllocator::cma);
  CHECK(cma->table.heaps.at(0).size == 96_MiB);
  const auto ddr = read_mmz("mmz=ddr,0,0,160M:low,0,292M,1G", set_top);
  REQUIRE(ddr);
  CHECK(!ddr->table.heaps.at(0).base);  // anywhere
  CHECK(ddr->table.heaps.at(1).base == 292 << 20);
  CHECK(ddr->table.heaps.at(1).size == 1_GiB);
}

TEST_CASE("numbers: C's, with k and m, and whatever follows is ignored") {
  const auto board = read_mmz(hisi("a,010,0x10000000,2Gig:b,x,536870912,1Mwhatever"), g4);
  CHECK(!board);  // 2 bytes: no whole page
  const auto good = read_mmz(hisi("a,010,0x10000000,0x10k:b,x,536870912,1Mwhatever"), g4);
  REQUIRE(good);
  CHECK(part_of(*good, 0).gfp == 8);
  CHECK(good->table.heaps[0].size == 16_KiB);
  CHECK(part_of(*good, 1).gfp == 0);
  CHECK(good->table.heaps[1].size == 1_MiB);
}

TEST_CASE("4 or 6 fields; g5 has 4, and drops what is more") {
  for (const char* zone : {"a", "a,0", "a,0,0x10000000", "a,0,0x10000000,1M,0", ""}) {
    CAPTURE(zone);
    CHECK(fault_of(hisi(zone)).find("mmz: so many fields cannot be: '") != std::string::npos);
    CHECK(fault_of(std::string("mmz=") + zone, g1).empty());  // passes over it
    CHECK(!fault_of(std::string("mmz=") + zone, g2).empty());
    const auto by_cma = read_mmz(std::string("mmz=") + zone, g4);
    REQUIRE(by_cma);
    CHECK(by_cma->table.left_out.size() == 1);
  }
  CHECK(fault_of(hisi("a,0,0x10000000,1M,0,0,9,9")).empty());
  CHECK(fault_of("mmz_allocator=ot mmz=a,0,0x10000000,1M,0", g5).empty());
  CHECK(fault_of("mmz_allocator=ot mmz=a,0,0x10000000", g5).find("field") != std::string::npos);
  CHECK(fault_of(hisi("a,0,0x10000000,1M:")).find("line 1, column 42: mmz: so many fields cannot be: '1'") == 0);
  const auto passed = read_mmz("mmz=a,0,0x10000000,1M:b,1:c,0,0x20000000,1M", g1);
  REQUIRE(passed);
  CHECK(names_of(*passed) == "a c ");
}

TEST_CASE("names are cut to 31 characters, and may be empty or the same") {
  const auto board = read_mmz(hisi(std::string(32, 'n') + ",0,0x10000000,1M:,0,0x20000000,1M:x,1,0x30000000,1M:x,2,0x40000000,1M"), g4);
  REQUIRE(board);
  CHECK(board->table.heaps[0].name == std::string(31, 'n'));
  CHECK(board->table.heaps[1].name.empty());
  CHECK(mmz_zones(*board, "x", 0) == HeapMask(0b1100));
  CHECK(mmz_zones(*board, "x", 2) == HeapMask(0b1000));
  CHECK(mmz_zones(*board, "x", 3).is_empty());
}

TEST_CASE("hisi ends where a zone is refused, cma goes on, and each names the field") {
  const MmzSystem kernel{.kernel = Memory{.name = "ram", .base = 0x4000'0000, .size = 64_MiB}};
  CHECK(fault_of(hisi("a,0,0x10000000,0")) == "line 1, column 24: heap 'a': size: it has no bytes: 'a,0,0x10000000,0'");
  CHECK(fault_of(hisi("a,0,0x41000000,1M"), kernel).find("heap 'a': start: the kernel's own memory lies there") != std::string::npos);
  CHECK(fault_of(hisi("a,0,0x3ff00000,2M"), kernel).find("kernel's own") != std::string::npos);
  CHECK(fault_of(hisi("a,0,0x3ff00000,1M"), kernel).empty());
  CHECK(fault_of(hisi("a,0,0x44000000,1M"), kernel).empty());
  CHECK(fault_of(hisi("a,0,0x10000000,2M:b,0,0x10100000,1M")).find("heap 'b': start: it overlaps another ('a')") != std::string::npos);
  CHECK(fault_of(hisi("a,0,0x10000000,1M:b,0,0x10100000,1M")).empty());
  CHECK(fault_of(hisi("a,0,0x1ffffffffffffffff,1M")).find("heap 'a': start: a number out of range: '0x1ffffffffffffffff'") != std::string::npos);
  CHECK(fault_of(hisi("a,99999999999999999999,1M,1M")).find("heap 'a': gfp: a number out of range") != std::string::npos);
  CHECK(fault_of(hisi("a,0,0x100000000,1M"), {.address_bits = 32}).find("heap 'a': start: a number out of range") != std::string::npos);
  const auto cma = read_mmz("mmz=a,0,0,0:b,0,0,0:c,0,0,0", {.kernel_zones = "a,0,0,0:c,3,1G,1G"});
  REQUIRE(cma);
  CHECK(names_of(*cma) == "c ");
  CHECK(cma->table.heaps[0].base == 1 << 30);
  CHECK(part_of(*cma, 0).gfp == 3);
  REQUIRE(cma->table.left_out.size() == 2);
  CHECK(cma->table.left_out[0].what == TextFault::zero_size);
  CHECK(cma->table.left_out[1].what == TextFault::unknown_zone);
  CHECK(cma->table.left_out[1].heap == "b");
  const auto twice = read_mmz("mmz=c,0,0,0:c,0,0,0", {.kernel_zones = "c,3,1G,1G"});
  REQUIRE(twice);
  CHECK(twice->table.left_out.at(0).what == TextFault::duplicate_name);
  CHECK(!read_mmz("mmz=x,0,0,0", {.needs_a_zone = true}));
}

TEST_CASE("the top of the addresses") {
  const auto top = read_mmz(hisi("a,0,0xfffffffffff00000,1M"), g4);
  REQUIRE(top);
  CHECK(top->table.heaps[0].size == 1_MiB - 4_KiB);
  const auto top32 = read_mmz(hisi("a,0,0xfff00000,1M"), {.address_bits = 32});
  REQUIRE(top32);
  CHECK(top32->table.heaps[0].size == 1_MiB - 4_KiB);
  const auto uncut = read_mmz("mmz=a,0,0xfff00000,1M", {.generation = MmzGeneration::g2, .address_bits = 32});
  REQUIRE(uncut);
  CHECK(uncut->table.heaps[0].size == 1_MiB);
  CHECK(fault_of(hisi("a,0,0xfff01000,1M"), {.address_bits = 32}).find("size: it ends behind the last address") != std::string::npos);
  CHECK(fault_of(hisi("a,0,0xfffffffffff01000,1M")).find("size: it ends behind the last address") != std::string::npos);
  CHECK(fault_of(hisi("a,0,0xfffffffffffff000,4k")).find("size: it has no bytes") != std::string::npos);
  CHECK(fault_of(hisi("a,0,0xfff00000,1M:b,0,0xfffff000,4k"), {.address_bits = 32}) != "");
}

TEST_CASE("only whole pages are a heap's") {
  const auto board = read_mmz(hisi("a,0,0x10000800,0x3000:b,0,1,4096"), g4);
  CHECK(!board);
  CHECK(board.error().heap == "b");
  const auto cut = read_mmz(hisi("a,0,0x10000800,0x3000"), g4);
  REQUIRE(cut);
  CHECK(cut->table.heaps[0].base == 0x1000'1000);
  CHECK(cut->table.heaps[0].size == 8_KiB);
  CHECK(part_of(*cut, 0).start == 0x1000'0800);
  CHECK(part_of(*cut, 0).size == 12_KiB);
}

TEST_CASE("the other parameters") {
  CHECK(fault_of("anony=0") == "line 1, column 7: anony: none of the words that may stand there: '0'");
  CHECK(fault_of("anony=yes").find("anony: no number") != std::string::npos);
  CHECK(fault_of("mmz_allocator=ion").find("mmz_allocator: none of the words that may stand there: 'ion'") != std::string::npos);
  CHECK(!fault_of("mmz_allocator=").empty());
  CHECK(!fault_of("mmz_allocator=ot").empty());
  CHECK(!fault_of("mmz_allocator=hisi", g5).empty());
  CHECK(!fault_of("mmz_allocator=hisi", g2).empty());
  CHECK(fault_of("colour=1").find("colour: there is no such field") != std::string::npos);
  CHECK(fault_of("mmz").find("not how such a text is written") != std::string::npos);
  CHECK(fault_of("mem_process_isolation=1").find("no such field") != std::string::npos);
  CHECK(read_mmz("mem_process_isolation=0", g5)->isolates_processes == false);
  CHECK(read_mmz("", g5)->isolates_processes);
  CHECK(read_mmz("mem_process_isolation=-1", g5)->isolates_processes);
  CHECK(read_mmz("mem_process_isolation=-0", g5)->isolates_processes == false);
  CHECK(fault_of("mem_process_isolation=-", g5).find("mem_process_isolation: no number: '-'") != std::string::npos);
  CHECK(read_mmz("", g4)->allocator == MmzAllocator::cma);
  CHECK(read_mmz("", g2)->allocator == MmzAllocator::hisi);
  CHECK(fault_of("mmz=" + std::string(256, 'x')).find("mmz: more text than there is room for") != std::string::npos);
  CHECK(fault_of("map_mmz=" + std::string(256, 'x')).find("map_mmz: more text") != std::string::npos);
  CHECK(fault_of("mmz_allocator=" + std::string(32, 'x')).find("mmz_allocator: more text") != std::string::npos);
}

TEST_CASE("blanks and lines' ends are between parameters") {
  const auto board = read_mmz("  mmz_allocator=hisi\t mmz=a,0,0x10000000,1M\r\nanony=1\n", g4);
  REQUIRE(board);
  CHECK(names_of(*board) == "a ");
  CHECK(fault_of("mmz_allocator=hisi\n").empty());
}

TEST_CASE("the kernel's own line has other parameters too") {
  const char* const line = "console=ttyS0,115200 root=/dev/ram0 mmz=ddr,0,0,160M quiet";
  CHECK(names_of(*read_mmz(line, set_top)) == "ddr ");
  CHECK(fault_of(line, g4).find("console: there is no such field") != std::string::npos);  // a module's line has not
  const auto built_in = read_mmz("quiet anony=1 mmz_allocator=hisi loglevel=7 mmz=a,0,0x10000000,1M", {.is_built_in = true});
  REQUIRE(built_in);
  CHECK(built_in->allocator == MmzAllocator::hisi);
  CHECK(names_of(*built_in) == "a ");
  CHECK(fault_of("quiet mmz_allocator=ion", {.is_built_in = true}).find("mmz_allocator: none of the words") != std::string::npos);
}

TEST_CASE("a load that fails where each zone that it names is refused") {
  const MmzSystem port{.kernel_zones = "a,0,0,1M", .needs_a_zone = true};
  CHECK(fault_of("", port).empty());  // it names none
  CHECK(fault_of("mmz=a,0,0,0:x,0,0,0", port).empty());
  CHECK(fault_of("mmz=x,0,0,0:y,0,0,0", port) == "line 1, column 5: mmz: every zone was refused: 'x,0,0,0:y,0,0,0'");
  CHECK(fault_of("mmz=", port) == "line 1, column 5: mmz: every zone was refused");
}

TEST_CASE("the kernel has 64 zones, and none where it was told of none") {
  std::string zones;
  for (int i = 0; i < 70; ++i) zones += (i == 0 ? "z" : ":z") + std::to_string(i) + ",0," + std::to_string(i + 1) + "M,1M";
  const MmzSystem kernel{.kernel_zones = zones};
  CHECK(read_mmz("mmz=z63,0,0,0", kernel)->table.heaps.size() == 1);
  const auto beyond = read_mmz("mmz=z64,0,0,0", kernel);
  REQUIRE(beyond);
  CHECK(beyond->table.heaps.empty());
  CHECK(beyond->table.left_out.at(0).what == TextFault::unknown_zone);
  const auto unnamed = read_mmz("mmz=,0,0,0", g4);
  REQUIRE(unnamed);
  CHECK(unnamed->table.left_out.at(0).what == TextFault::unknown_zone);
  CHECK(names_of(*read_mmz("mmz=,0,0,0", {.kernel_zones = ",0,1M,1M"})) == " ");  // a name may be empty
}

TEST_CASE("windows to be mapped") {
  const MmzSystem kernel{.kernel = Memory{.name = "ram", .base = 0x4000'0000, .size = 64_MiB}};
  const auto fault = [&](const std::string& windows) { return fault_of(hisi("a,0,0x10000000,1M") + " map_mmz=" + windows, kernel); };
  const auto board = read_mmz("map_mmz=0x20000000,1M:0x30000000,0x2000 " + hisi("a,0,0x10000000,1M"), kernel);
  REQUIRE(board);
  CHECK(board->windows.size() == 2);
  CHECK(board->windows[1].size == 8192);
  CHECK(fault("0x20000000").find("map_mmz: so many fields cannot be: '1'") != std::string::npos);
  CHECK(fault("0x20000000,0").find("map_mmz: it has no bytes") != std::string::npos);
  CHECK(fault("0x41000000,1M").find("map_mmz: the kernel's own") != std::string::npos);
  CHECK(fault("0x10000000,4k").find("map_mmz: it overlaps another ('a')") != std::string::npos);
  CHECK(fault("0x20000000,8k:0x20001000,4k").find("map_mmz: it overlaps another") != std::string::npos);
  CHECK(fault("0xfffffffffffff000,8k").find("map_mmz: it ends behind") != std::string::npos);
  CHECK(fault("0x1ffffffffffffffff,8k").find("map_mmz: a number out of range") != std::string::npos);
  CHECK(fault("0xfffffffffffff000,4k").empty());
}

TEST_CASE("a zone that lies anywhere is in no window's way") {
  const auto board = read_mmz("map_mmz=0x1000000,1M mmz=a,0,0,0:b,0,0,0", {.kernel_zones = "a,0,0,160M:b,0,256M,1M"});
  REQUIRE(board);
  CHECK(names_of(*board) == "a b ");
  CHECK(board->windows.size() == 1);
  CHECK(board->table.left_out.empty());
  const auto under = read_mmz("map_mmz=256M,4k mmz=b,0,0,0", {.kernel_zones = "a,0,0,160M:b,0,256M,1M"});
  REQUIRE(under);
  CHECK(under->windows.empty());
  CHECK(under->table.left_out.at(0).what == TextFault::overlap);
}

TEST_CASE("a zone at address 0 is a zone, and one that ends behind the addresses is none in any generation") {
  const auto board = read_mmz(hisi("a,0,0,1M"), g4);
  REQUIRE(board);
  CHECK(board->table.heaps[0].base == 0);
  for (const MmzGeneration generation : {MmzGeneration::g1, MmzGeneration::g2, MmzGeneration::g3}) {
    CAPTURE(static_cast<int>(generation));
    const char* const line = generation == MmzGeneration::g3 ? "mmz_allocator=hisi mmz=a,0,0xfff01000,1M" : "mmz=a,0,0xfff01000,1M";
    CHECK(fault_of(line, {.generation = generation, .address_bits = 32}).find("size: it ends behind the last address") != std::string::npos);
  }
}

TEST_CASE("which zones a request may be served from") {
  const auto board = read_mmz(hisi("anonymous,0,0x10000000,1M:a,1,0x20000000,1M:anonymous,2,0x30000000,1M"), g4);
  REQUIRE(board);
  CHECK(mmz_zones(*board, "", 0) == HeapMask(0b101));
  CHECK(mmz_zones(*board, std::nullopt, 2) == HeapMask(0b100));
  CHECK(mmz_zones(*board, "A", 0).is_empty());  // case counts
  CHECK(mmz_zones(*board, "a", 1) == HeapMask(0b010));
  CHECK(mmz_zones(*board, "a", 2).is_empty());
  const auto tv = read_mmz("mmz=anonymous,0,0,1M:ddr,0,0,1M", set_top);
  REQUIRE(tv);
  CHECK(mmz_zones(*tv, std::nullopt, 0) == HeapMask(0b01));
  CHECK(mmz_zones(*tv, "", 0) == HeapMask(0b10));  // every zone; cma: the newest of them
}

TEST_CASE("zones more, while it runs") {
  const auto board = read_mmz("mmz=a,0,0x10000000,1M", g2);
  REQUIRE(board);
  const auto more = add_mmz_zones(*board, "b,0,0x10000000,1M:c:d,0,0x20000000,64k\n", g2);
  REQUIRE(more);
  CHECK(names_of(*more) == "a d ");
  CHECK(more->table.left_out.size() == 2);
  CHECK(more->table.heaps[1].id == 1);
  CHECK(add_mmz_zones(*board, std::string(256, 'x'), g2).error().what == TextFault::too_long);
  CHECK(more->generation == MmzGeneration::g2);
}

TEST_CASE("zones more are read as the board's own, and change nothing else of it") {
  const auto first = read_mmz("mmz=a,0,0x10000000,1M", g1);
  REQUIRE(first);
  const auto more = add_mmz_zones(*first, "b,0,0x20000000,1M");  // a system of which nothing is said
  REQUIRE(more);
  CHECK(names_of(*more) == "a b ");
  CHECK(more->generation == MmzGeneration::g1);
  CHECK(more->allocator == MmzAllocator::hisi);
  const auto cma = read_mmz("mmz=a,0,0,0:x,0,0,0", {.kernel_zones = "a,0,0,1M:x,0,16M,1M"});
  REQUIRE(cma);
  const auto both = add_mmz_zones(*cma, "x,0,0x80000,1M:y,0,0x1080000,1M");  // a lies anywhere, y in x
  REQUIRE(both);
  CHECK(both->allocator == MmzAllocator::cma);
  CHECK(names_of(*both) == "a x x ");
  CHECK(both->table.left_out.at(0).what == TextFault::overlap);
  CHECK(mmz_zones(*both, "x", 0) == HeapMask(0b100));  // cma: the newest
}

TEST_CASE("64 zones") {
  MmzBoard board;
  for (int i = 0; i < 64; ++i) {
    auto more = add_mmz_zones(std::move(board), "z,0," + std::to_string(4096 * i) + ",4k", g2);
    REQUIRE(more);
    board = *std::move(more);
  }
  CHECK(board.table.heaps.size() == 64);
  const auto beyond = add_mmz_zones(board, "z,0,1M,4k", g2);
  REQUIRE(beyond);
  CHECK(beyond->table.left_out.at(0).what == TextFault::too_many);
}

TEST_CASE("cut at every byte, and damaged, it is read or refused") {
  const std::string line = "anony=1 mmz_allocator=hisi map_mmz=0x20000000,1M mmz=anonymous,0,0xE3000000,80M,1,64k:window,3,0xE2100000,15M";
  const std::string by_cma = "mmz=anonymous,0,0x42000000,96M:b,0,0,1 mmz_allocator=cma";
  const MmzSystem kernel{.kernel_zones = by_cma.c_str() + 4};
  std::size_t read = 0;
  const auto attempt = [&](std::string_view text) {
    for (const MmzSystem& system : {g1, g2, g4, g5, set_top, kernel}) {
      const auto board = read_mmz(text, system);
      read += board ? 1 : 0;
      if (!board) CHECK(board.error().line == 1);
      if (!board) CHECK(board.error().column <= text.size() + 1);
    }
    static_cast<void>(add_mmz_zones({}, text, g2));
  };
  for_each_prefix(line, attempt);
  for_each_prefix(by_cma, attempt);
  for_each_damaged(line, 3000, attempt);
  for_each_damaged(by_cma, 3000, attempt);
  CHECK(read > 100);
}

TEST_CASE("zones by chance, as sets of pages have it") {
  Random random(seed());
  const std::uint64_t pages = std::uint64_t{1} << 20;  // of 32 bits of addresses
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<bool> used(64);
    used[20] = used[21] = true;  // the kernel's
    const std::uint64_t first = pages - 64;
    std::string zones;
    bool is_good = true;
    std::uint64_t total = 0;
    for (std::uint64_t n = random.from_to(1, 5); n != 0 && is_good; --n) {
      const std::uint64_t start = random.below(64);
      const std::uint64_t size = random.below(9);
      zones += (zones.empty() ? "z,0," : ":z,0,") + std::to_string((first + start) * 4096) + "," + std::to_string(4 * size) + "k";
      is_good = size != 0 && start + size <= 64;
      for (std::uint64_t at = start; at < start + size && is_good; ++at) is_good = !used[static_cast<std::size_t>(at)];
      for (std::uint64_t at = start; at < start + size && is_good; ++at) used[static_cast<std::size_t>(at)] = true;
      const std::uint64_t cut = start + size == 64 ? 1 : 0;  // the page at the top
      is_good = is_good && size != cut;
      total += size - (is_good ? cut : 0);
      if (is_good && cut != 0) used[63] = false;
    }
    const auto board = read_mmz(hisi(zones), {.address_bits = 32, .kernel = Memory{.base = (first + 20) * 4096, .size = 8192}});
    CAPTURE(zones);
    CHECK(static_cast<bool>(board) == is_good);
    std::uint64_t bytes = 0;
    if (board) {
      for (const BoardHeap& heap : board->table.heaps) bytes += heap.size.value();
      CHECK(bytes == total * 4096);
    }
    refused += board ? 0 : 1;
  }
  CHECK(refused > 300);
  CHECK(refused < 2900);
}
