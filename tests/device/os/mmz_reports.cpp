#include <freestone/device/os/mmz_reports.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <regex.h>

#include <doctest/doctest.h>

using namespace freestone;
using namespace freestone::device;
using mmz_reports::BlockRow;
using mmz_reports::media_mem;
using mmz_reports::ZoneRow;

namespace {

constexpr std::uint64_t most = ~std::uint64_t{0};
constexpr MmzGeneration all_generations[] = {MmzGeneration::g1, MmzGeneration::g2, MmzGeneration::g3,
                                             MmzGeneration::g4, MmzGeneration::g5, MmzGeneration::set_top};
const std::string g5_first = " anony=1 mmz_allocator=cma mem_process_isolation=0\n\n";

MmzBoard board_of(MmzGeneration generation) { return {.generation = generation}; }
std::string text_of(MmzGeneration generation, const std::vector<ZoneRow>& zones, unsigned address_bits = 64) {
  return media_mem(board_of(generation), zones, address_bits);
}
// The lines of one block in a zone of its size.
std::string lines_of(MmzGeneration generation, const BlockRow& block, unsigned address_bits = 64) {
  return mmz_reports::zone_lines({"z", 0, block.physical, block.length, {block}}, generation, address_bits);
}
std::string trailer(const std::string& line) { return "\n---MMZ_USE_INFO:\n " + line + "\n"; }

// What programs read: the first `total size=([0-9]+)KB`, or nothing.
std::string total_size(const std::string& text) {
  regex_t expression;
  REQUIRE(regcomp(&expression, "total size=([0-9]+)KB", REG_EXTENDED) == 0);
  regmatch_t found[2];
  const bool is_there = regexec(&expression, text.c_str(), 2, found, 0) == 0;
  regfree(&expression);
  if (!is_there) return {};
  return text.substr(static_cast<std::size_t>(found[1].rm_so), static_cast<std::size_t>(found[1].rm_eo - found[1].rm_so));
}

// A camera's two zones, the newer first. Blocks are out of order, and there are holes before and between.
std::vector<ZoneRow> two_zones() {
  const BlockRow vb{.physical = 0x4601'0000, .kernel = 0xc4a0'0000, .flags = 3, .length = 0x20'0000, .name = "vb_pool0",
                    .is_shared = true, .processes = {812, 813}};
  const BlockRow vpss{.physical = 0x4600'1000, .flags = 0, .length = 0x1000, .name = "VPSS", .processes = {812}};
  const BlockRow venc{.physical = 0x4600'2000, .flags = 4, .length = 0x5000, .name = "VENC(0)", .is_kernels = true};
  return {{"window", 3, 0x8000'0000, 15 << 20}, {"anonymous", 0, 0x4600'0000, 32 << 20, {vb, vpss, venc}}};
}
const std::string totals_of_two = trailer(
    "total size=48128KB(47MB),used=2072KB(2MB + 24KB),remain=46056KB(44MB + 1000KB),zone_number=2,block_number=3");

}  // namespace

TEST_CASE("row 18: no zones: nothing, but g5's parameters") {
  for (const MmzGeneration generation : all_generations) {
    const std::string text = text_of(generation, {});
    CHECK(text == (generation == MmzGeneration::g5 ? g5_first : ""));
    CHECK(total_size(text) == "");
  }
}

TEST_CASE("row 18: one zone without blocks") {
  const std::vector<ZoneRow> zones = {{"anonymous", 0, 0x4200'0000, 96 << 20}};
  const std::string line = "+---ZONE: PHYS(0x42000000, 0x47FFFFFF), GFP=0, nBYTES=98304KB,    NAME=\"anonymous\"\n";
  const std::string totals = trailer(
      "total size=98304KB(96MB),used=0KB(0MB + 0KB),remain=98304KB(96MB + 0KB),zone_number=1,block_number=0");
  CHECK(text_of(MmzGeneration::g1, zones) ==
        "+---ZONE: PHYS(0x42000000, 0x47FFFFFF), GFP=0, nBYTES=98304KB,\tNAME=\"anonymous\"\n" + totals);
  for (const auto generation : {MmzGeneration::g2, MmzGeneration::g3, MmzGeneration::g4}) {
    CHECK(text_of(generation, zones) == line + totals);
  }
  CHECK(text_of(MmzGeneration::g5, zones) == g5_first + line + totals);
}

TEST_CASE("row 18: g1, two zones and blocks: a pointer behind 0x, a tab before a name") {
  CHECK(text_of(MmzGeneration::g1, two_zones()) ==
        "+---ZONE: PHYS(0x80000000, 0x80EFFFFF), GFP=3, nBYTES=15360KB,\tNAME=\"window\"\n"
        "+---ZONE: PHYS(0x46000000, 0x47FFFFFF), GFP=0, nBYTES=32768KB,\tNAME=\"anonymous\"\n"
        "   |-MMB: phys(0x46001000, 0x46001FFF), kvirt=0x  (null), flags=0x00000000, length=4KB,\tname=\"VPSS\"\n"
        "   |-MMB: phys(0x46002000, 0x46006FFF), kvirt=0x  (null), flags=0x00000004, length=20KB,\tname=\"VENC(0)\"\n"
        "   |-MMB: phys(0x46010000, 0x4620FFFF), kvirt=0xc4a00000, flags=0x00000003, length=2048KB,\tname=\"vb_pool0\"\n" +
            totals_of_two);
}

TEST_CASE("row 18: g2 and g4, two zones and blocks") {
  const std::string text =
      "+---ZONE: PHYS(0x80000000, 0x80EFFFFF), GFP=3, nBYTES=15360KB,    NAME=\"window\"\n"
      "+---ZONE: PHYS(0x46000000, 0x47FFFFFF), GFP=0, nBYTES=32768KB,    NAME=\"anonymous\"\n"
      "   |-MMB: phys(0x46001000, 0x46001FFF), kvirt=0x00000000, flags=0x00000000, length=4KB,    name=\"VPSS\"\n"
      "   |-MMB: phys(0x46002000, 0x46006FFF), kvirt=0x00000000, flags=0x00000004, length=20KB,    name=\"VENC(0)\"\n"
      "   |-MMB: phys(0x46010000, 0x4620FFFF), kvirt=0xC4A00000, flags=0x00000003, length=2048KB,    name=\"vb_pool0\"\n" +
      totals_of_two;
  CHECK(text_of(MmzGeneration::g2, two_zones()) == text);
  CHECK(text_of(MmzGeneration::g4, two_zones()) == text);
  CHECK(text_of(MmzGeneration::g4, two_zones(), 32) == text);
}

TEST_CASE("row 18: g3, two zones and blocks: a bare pointer, one space before a block's name") {
  CHECK(text_of(MmzGeneration::g3, two_zones()) ==
        "+---ZONE: PHYS(0x80000000, 0x80EFFFFF), GFP=3, nBYTES=15360KB,    NAME=\"window\"\n"
        "+---ZONE: PHYS(0x46000000, 0x47FFFFFF), GFP=0, nBYTES=32768KB,    NAME=\"anonymous\"\n"
        "   |-MMB: phys(0x46001000, 0x46001FFF), kvirt=  (null), flags=0x00000000, length=4KB, name=\"VPSS\"\n"
        "   |-MMB: phys(0x46002000, 0x46006FFF), kvirt=  (null), flags=0x00000004, length=20KB, name=\"VENC(0)\"\n"
        "   |-MMB: phys(0x46010000, 0x4620FFFF), kvirt=c4a00000, flags=0x00000003, length=2048KB, name=\"vb_pool0\"\n" +
            totals_of_two);
}

TEST_CASE("row 18: g5, two zones and blocks: parameters first, who may have a block, holes") {
  const std::string before = g5_first +
                             "+---ZONE: PHYS(0x80000000, 0x80EFFFFF), GFP=3, nBYTES=15360KB,    NAME=\"window\"\n"
                             "+---ZONE: PHYS(0x46000000, 0x47FFFFFF), GFP=0, nBYTES=32768KB,    NAME=\"anonymous\"\n";
  CHECK(text_of(MmzGeneration::g5, two_zones()) ==
        before +
            "   *-MMB: phys(0x46001000, 0x46001FFF), kvirt=0x0000000000000000, flags=0x0, kernel_only=0, share_all=0 "
            "pid[812,0,0,0,0], length=4KB,    name=\"VPSS\"\n"
            "   |-MMB: phys(0x46002000, 0x46006FFF), kvirt=0x0000000000000000, flags=0x4, kernel_only=1, share_all=0 "
            "pid[0,0,0,0,0], length=20KB,    name=\"VENC(0)\"\n"
            "   *-MMB: phys(0x46010000, 0x4620FFFF), kvirt=0x00000000C4A00000, flags=0x3, kernel_only=0, share_all=1 "
            "pid[812,813,0,0,0], length=2048KB,    name=\"vb_pool0\"\n" +
            totals_of_two);
  CHECK(text_of(MmzGeneration::g5, two_zones(), 32) ==
        before +
            "   *-MMB: phys(0x46001000, 0x46001FFF), kvirt=0x00000000, flags=0x0, kernel_only=0, share_all=0 "
            "pid[812,0,0,0,0], length=4KB,    name=\"VPSS\"\n"
            "   |-MMB: phys(0x46002000, 0x46006FFF), kvirt=0x00000000, flags=0x4, kernel_only=1, share_all=0 "
            "pid[0,0,0,0,0], length=20KB,    name=\"VENC(0)\"\n"
            "   *-MMB: phys(0x46010000, 0x4620FFFF), kvirt=0xC4A00000, flags=0x3, kernel_only=0, share_all=1 "
            "pid[812,813,0,0,0], length=2048KB,    name=\"vb_pool0\"\n" +
            totals_of_two);
}

TEST_CASE("row 18: g5, what it was started with, and windows where there are any") {
  MmzBoard board{.generation = MmzGeneration::g5, .allocator = MmzAllocator::hisi, .isolates_processes = true};
  CHECK(media_mem(board, {}) == " anony=1 mmz_allocator=ot mem_process_isolation=1\n\n");
  board.windows = {{0xe000'0000, 0x10'0000}};
  CHECK(media_mem(board, {}) == " anony=1 mmz_allocator=ot mem_process_isolation=1\n\n map_mmz_zone:(0xE0000000, 0xE00FFFFF)\n\n");
  board.allocator = MmzAllocator::cma;
  board.windows.push_back({0, 1});
  CHECK(media_mem(board, {}) ==
        " anony=1 mmz_allocator=cma mem_process_isolation=1\n\n map_mmz_zone:(0xE0000000, 0xE00FFFFF) (0x0, 0x0)\n\n");
  board.generation = MmzGeneration::g4;
  CHECK(media_mem(board, {}) == "");
}

TEST_CASE("row 18: g5, a hole is what lies free before a block") {
  ZoneRow zone{"z", 0, 0x1'0000, 0x1'0000};
  // Of each line the mark and the address.
  const auto marks_in = [&](MmzGeneration generation) {
    std::string marks;
    const std::string text = mmz_reports::zone_lines(zone, generation, 64);
    for (std::size_t at = text.find("-MMB"); at != std::string::npos; at = text.find("-MMB", at + 1)) {
      marks += text[at - 1] + text.substr(at + 16, 5) + ' ';
    }
    return marks;
  };
  zone.blocks = {{.physical = 0x1'0000, .length = 0x1000}};
  CHECK(marks_in(MmzGeneration::g5) == "|10000 ");
  zone.blocks.push_back({.physical = 0x1'1000, .length = 0x1001});  // two pages
  zone.blocks.push_back({.physical = 0x1'3000, .length = 0x1000});
  zone.blocks.push_back({.physical = 0x1'5000, .length = 0x1000});
  zone.blocks.push_back({.physical = 0x1'6000, .length = 0x1000});
  CHECK(marks_in(MmzGeneration::g5) == "|10000 |11000 |13000 *15000 |16000 ");
  zone.blocks.erase(zone.blocks.begin());
  CHECK(marks_in(MmzGeneration::g5) == "*11000 |13000 *15000 |16000 ");
  CHECK(marks_in(MmzGeneration::g4) == "|11000 |13000 |15000 |16000 ");
}

TEST_CASE("row 18: a Hi3516EV200's") {
  ZoneRow zone{"anonymous", 0, 0x4400'0000, 0x400'0000};
  for (std::uint64_t i = 0; i < 6; ++i) zone.blocks.push_back({.physical = 0x4400'0000 + 0x1000 * i, .length = 0x1000});
  zone.blocks.push_back({.physical = 0x4401'0000, .length = (11320 - 6 * 4) * 1024});
  const std::string text = text_of(MmzGeneration::g4, {zone});
  CHECK(text.starts_with("+---ZONE: PHYS(0x44000000, 0x47FFFFFF), GFP=0, nBYTES=65536KB,    NAME=\"anonymous\"\n"
                         "   |-MMB: phys(0x44000000, 0x44000FFF), "));
  CHECK(text.ends_with(trailer("total size=65536KB(64MB),used=11320KB(11MB + 56KB),remain=54216KB(52MB + 968KB),"
                               "zone_number=1,block_number=7")));
  CHECK(total_size(text) == "65536");
}

TEST_CASE("row 18: the total is found in each generation's text") {
  for (const MmzGeneration generation : all_generations) CHECK(total_size(text_of(generation, two_zones())) == "48128");
}

TEST_CASE("row 18: the totals are there from 1 KiB on, and add bytes") {
  CHECK(mmz_reports::totals(std::vector<ZoneRow>{{"a", 0, 0, 1023}}) == "");
  CHECK(mmz_reports::totals(std::vector<ZoneRow>{{"a", 0, 0, 1024}}) ==
        trailer("total size=1KB(0MB),used=0KB(0MB + 0KB),remain=1KB(0MB + 1KB),zone_number=1,block_number=0"));
  CHECK(mmz_reports::totals(std::vector<ZoneRow>{{"a", 0, 0, 512}, {"b", 0, 4096, 512}}) ==
        trailer("total size=1KB(0MB),used=0KB(0MB + 0KB),remain=1KB(0MB + 1KB),zone_number=2,block_number=0"));
  CHECK(mmz_reports::totals(std::vector<ZoneRow>{{"a", 0, 0, 4096, {{.length = 8192}}}}) ==
        trailer("total size=4KB(0MB),used=8KB(0MB + 8KB),remain=4294967292KB(4194303MB + 1020KB),zone_number=1,block_number=1"));
  CHECK(mmz_reports::totals(std::vector<ZoneRow>{{"a", 0, 0, (1ull << 42) + 4096}}) ==  // 32 bits
        trailer("total size=4KB(0MB),used=0KB(0MB + 0KB),remain=4KB(0MB + 4KB),zone_number=1,block_number=0"));
}

TEST_CASE("row 18: names of full length, none, and any letters") {
  const std::string zone_name(31, 'z'), block_name(15, 'b');
  const std::vector<ZoneRow> zones = {{zone_name, 0, 0, 4096, {{.length = 4096, .name = block_name}}}, {"", 0, 4096, 512, {}}};
  const std::string totals = trailer("total size=4KB(0MB),used=4KB(0MB + 4KB),remain=0KB(0MB + 0KB),zone_number=2,block_number=1");
  CHECK(text_of(MmzGeneration::g4, zones) ==
        "+---ZONE: PHYS(0x00000000, 0x00000FFF), GFP=0, nBYTES=4KB,    NAME=\"" + zone_name + "\"\n"
        "   |-MMB: phys(0x00000000, 0x00000FFF), kvirt=0x00000000, flags=0x00000000, length=4KB,    name=\"" + block_name + "\"\n"
        "+---ZONE: PHYS(0x00001000, 0x000011FF), GFP=0, nBYTES=0KB,    NAME=\"\"\n" + totals);
  const std::string g5_name(31, '5');
  CHECK(lines_of(MmzGeneration::g5, {.length = 4096, .name = g5_name}).ends_with(", length=4KB,    name=\"" + g5_name + "\"\n"));
  CHECK(lines_of(MmzGeneration::g4, {.length = 4096, .name = "<null>"}).ends_with(",    name=\"<null>\"\n"));
  CHECK(lines_of(MmzGeneration::g4, {.length = 4096, .name = "a\"%s\xff"}).ends_with(",    name=\"a\"%s\xff\"\n"));
}

TEST_CASE("row 18: wide numbers: longs have 64 bits, a block ends with its page") {
  const BlockRow block{.physical = 0x1'2345'6000, .kernel = 0xffff'ff80'0abc'd000, .flags = 0x1'0000'0007, .length = 0x1'0000'0001,
                       .name = "x", .processes = {-1, 2147483647, 3, 4, -5}};
  const std::string physical = "   |-MMB: phys(0x123456000, 0x223456FFF), kvirt=";
  const std::string end = ", length=4194304KB,";
  CHECK(lines_of(MmzGeneration::g1, block).ends_with(physical + "0xffffff800abcd000, flags=0x100000007" + end + "\tname=\"x\"\n"));
  CHECK(lines_of(MmzGeneration::g3, block).ends_with(physical + "ffffff800abcd000, flags=0x100000007" + end + " name=\"x\"\n"));
  CHECK(lines_of(MmzGeneration::g4, block).ends_with(physical + "0xFFFFFF800ABCD000, flags=0x100000007" + end + "    name=\"x\"\n"));
  CHECK(lines_of(MmzGeneration::g5, block)
            .ends_with(physical + "0xFFFFFF800ABCD000, flags=0x100000007, kernel_only=0, share_all=0 pid[-1,2147483647,3,4,-5]" + end +
                       "    name=\"x\"\n"));
  CHECK(mmz_reports::zone_lines({"top", most, most - 0xfff, 0x1000}, MmzGeneration::g4, 64) ==
        "+---ZONE: PHYS(0xFFFFFFFFFFFFF000, 0xFFFFFFFFFFFFFFFF), GFP=18446744073709551615, nBYTES=4KB,    NAME=\"top\"\n");
}

TEST_CASE("section 2.5: who may write there") {
  for (const MmzGeneration generation : all_generations) {
    const bool takes = generation == MmzGeneration::g1 || generation == MmzGeneration::g2;
    CHECK(mmz_reports::mode(generation) == (takes ? 0644u : 0444u));
    MmzBoard board = board_of(generation);
    CHECK(mmz_reports::add_zones(board, "a,0,0x10000000,1M\n") == (takes ? Answer(18) : Answer(Errno::io)));
    CHECK(board.table.heaps.size() == (takes ? 1 : 0));
  }
}

TEST_CASE("section 2.5: a write answers its length, whatever becomes of its zones; 256 bytes are too many") {
  MmzBoard board = board_of(MmzGeneration::g1);
  const auto write = [&](const std::string& text) { return mmz_reports::add_zones(board, text).value(); };
  CHECK(write("a,0,0x10000000,1M,1,64k:b,7,0x20000000,64k\n") == 43);
  REQUIRE(board.table.heaps.size() == 2);
  CHECK(board.table.heaps[1].name == "b");
  CHECK(board.table.heaps[1].base == 0x2000'0000);
  CHECK(board.table.heaps[1].size == 64_KiB);
  CHECK(board.table.left_out.empty());
  CHECK(write("c,0,0x10000000,1M\n") == 18);  // a lies there
  CHECK(write("\n") == 1);
  CHECK(write("") == 0);
  CHECK(board.table.heaps.size() == 2);
  CHECK(board.table.left_out.size() == 3);
  const std::string zone = "d,0,0x30000000,4k";
  CHECK(write(zone + std::string(256 - zone.size(), ' ')) == Answer(Errno::io).value());
  CHECK(board.table.heaps.size() == 2);
  CHECK(board.table.left_out.size() == 3);
  CHECK(write(zone + std::string(255 - zone.size(), ' ')) == 255);
  CHECK(board.table.heaps.size() == 3);
}

TEST_CASE("row 17: the line that is logged of a block left behind") {
  const BlockRow block{.physical = 0x4600'a000, .length = 12288, .name = "exactly_15_char"};
  CHECK(mmz_reports::leak(812, block) == "MMB LEAK(pid=812): 0x4600A000, 12288 bytes, 'exactly_15_char'");
  CHECK(mmz_reports::leak(0, {}) == "MMB LEAK(pid=0): 0x0, 0 bytes, ''");
  CHECK(mmz_reports::leak(-1, {.physical = 0x1'0000'0000, .length = most, .name = "<null>"}) ==
        "MMB LEAK(pid=-1): 0x100000000, 18446744073709551615 bytes, '<null>'");
}
