#include <freestone/heap/os/board_ion.hpp>

#include <doctest/doctest.h>

#include <string>

#include "support/prefixes.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr const char* good = R"(has_outer_cache = true
[[memory]]
name = "EBI"
base = 0x2000_0000
size = "64M"

[[ion]]
type = "SYSTEM"
id = 30
name = "vmalloc"

[[ion]]
type = "CARVEOUT"
id = 20
name = "camera_preview"
size = "16M"
align = "4K"

[[ion]]
type = 4
id = 8
name = "mm"
size = 0x180_0000
align = "128K"
permission_type = 1
fixed_position = "LOW"
iommu_map_all = true

[[ion]]
type = "CARVEOUT"
id = 29
name = "mm_fw"
size = 0x20_0000
align = "128K"
adjacent_mem_id = 8
)";

std::string one(const std::string& more, const std::string& name = "a", const std::string& type = "\"CARVEOUT\"", const std::string& id = "3") {
  return "[[ion]]\ntype = " + type + "\nid = " + id + "\nname = \"" + name + "\"\n" + more + "\n";
}
constexpr IonSystem aosp{.family = IonFamily::aosp};
std::string fault_of(const std::string& text, const IonSystem& system = {}) {
  const auto board = read_ion(text, system);
  return board ? "" : describe(board.error());
}
std::string left_out(const std::string& text, const IonSystem& system = {}) {
  const auto board = read_ion(text, system);
  REQUIRE_MESSAGE(board, describe(board.error()));
  return board->left_out.empty() ? "" : describe(board->left_out[0]);
}

}  // namespace

TEST_CASE("all that ION's platform data say, and a carve-out before its neighbour") {
  const auto board = read_ion(good);
  REQUIRE(board);
  CHECK(board->left_out.empty());
  CHECK(board->order == "ascending_id");
  REQUIRE(board->heaps.size() == 4);
  CHECK(board->heaps[0].strategy == "system");
  CHECK(board->heaps[0].backing == "anonymous");
  CHECK(board->heaps[0].size == 64_MiB);
  CHECK(board->heaps[1].strategy == "bitmap");
  CHECK(board->heaps[1].memory == "EBI");
  const IonPart& part = std::get<IonPart>(board->heaps[2].part);
  CHECK(part.type == 4);
  CHECK(part.has_outer_cache);
  CHECK(part.permission_type == 1);
  CHECK(part.fixed_position == "LOW");
  CHECK(part.iommu_map_all);
  CHECK(board->heaps[3].beside == "mm");

  std::vector<HeapSpec> specs = board->specs();
  specs.erase(specs.begin());  // it has no place
  const Layout layout = lay_out(specs, board->memories());
  REQUIRE(layout);
  const std::uint64_t block = layout.places[2].base;
  CHECK(block % (128 << 10) == 0);
  CHECK(layout.places[1].base == block + 0x20'0000);
}

TEST_CASE("families have their own types") {
  const auto strategy = [](const std::string& type, const IonSystem& system) {
    const auto board = read_ion(one("base = 4096\nsize = 4096", "a", type), system);
    REQUIRE_MESSAGE(board, describe(board.error()));
    return board->heaps.empty() ? "none" : board->heaps[0].strategy + " " + board->heaps[0].backing;
  };
  CHECK(strategy("0", {}) == "system anonymous");
  CHECK(strategy("1", {}) == "buddy anonymous");
  CHECK(strategy("2", {}) == "bitmap numbers");
  CHECK(strategy("3", {}) == "system anonymous");  // IOMMU
  CHECK(strategy("4", {}) == "bitmap numbers");    // CP
  CHECK(strategy("3", aosp) == "bitmap numbers");  // CHUNK
  CHECK(strategy("4", aosp) == "bitmap numbers");  // DMA, where it is told
  CHECK(strategy("\"CHUNK\"", {}) == "none");
  CHECK(strategy("5", {}) == "none");
  CHECK(read_ion(one("", "a", "\"DMA\""), aosp)->heaps[0].backing == "anonymous");
  CHECK(read_ion(one("base = 4096\nsize = 4096"), aosp)->order == "descending_id");
}

TEST_CASE("what is no such text ends the reading, with line and field") {
  CHECK(fault_of("") == "line 1, column 1: ion: it must be said");
  CHECK(fault_of("[[ion]]\nid = 1\nname = \"a\"\n") == "line 1, column 1: heap 'a': type: it must be said");
  CHECK(fault_of("[[ion]]\ntype = 1\nname = \"a\"\n") == "line 1, column 1: heap 'a': id: it must be said");
  CHECK(fault_of("[[ion]]\ntype = 1\nid = 1\n") == "line 1, column 1: name: it must be said");
  CHECK(fault_of(one("", "")).find("line 4, column 8: name: a name has") == 0);
  CHECK(fault_of(one("", std::string(32, 'n'))).find("line 4, column 8: name: a name has") == 0);
  CHECK(fault_of(one("", "a", "1", "31")) == "line 3, column 6: heap 'a': id: a number out of range: '31'");  // SECURE
  CHECK(fault_of(one("", "a", "1", "31"), aosp).empty());
  CHECK(fault_of(one("", "a", "1", "32"), aosp).find("id: a number out of range") != std::string::npos);
  CHECK(fault_of(one("size = \"x\"")) == "line 5, column 8: heap 'a': size: no number: 'x'");
  CHECK(fault_of(one("memory_type = \"DDR\"")).find("memory_type: none of the words") != std::string::npos);
  CHECK(fault_of(one("fixed_position = \"NORTH\"")).find("fixed_position: none of the words") != std::string::npos);
  CHECK(fault_of(one("adjacent_mem_id = 32")).find("adjacent_mem_id: a number out of range") != std::string::npos);
  CHECK(fault_of(one("extra_data = 1")).find("extra_data: there is no such field") != std::string::npos);
  CHECK(fault_of("has_outer_cache = \"x\"\n" + one("")).find("has_outer_cache: no number") != std::string::npos);
}

TEST_CASE("overlaps are refused before anything is made") {
  const std::string a = one("base = 0x1000\nsize = 0x3000");
  CHECK(fault_of(a + one("base = 0x3000\nsize = 0x1000", "b", "2", "4")) == "line 7: heap 'b': base: it overlaps another ('a'): '0x3000'");
  CHECK(fault_of(a + one("base = 0x1000\nsize = 0", "b", "2", "4")).find("overlaps") != std::string::npos);
  CHECK(fault_of(a + one("base = 0x3000\nsize = 0x1000", "b", "99", "4")).find("overlaps") != std::string::npos);  // though its type is unknown
  CHECK(fault_of(a + one("base = 0x4000\nsize = 0x1000", "b", "2", "4")).empty());
  CHECK(fault_of(one("base = \"0xffff_ffff_ffff_f000\"\nsize = 0x2000")).find("base: it ends behind the last address") != std::string::npos);
}

TEST_CASE("the probe's refusals, and the others live") {
  const std::string rest = one("base = 0x10000\nsize = 4096", "z", "2", "9");
  const auto alone = [&](const std::string& text) {
    const auto board = read_ion(text + rest);
    REQUIRE_MESSAGE(board, describe(board.error()));
    CHECK(board->heaps.size() == 1);
    CHECK(board->heaps[0].name == "z");
    REQUIRE(board->left_out.size() == 1);
    return describe(board->left_out[0]);
  };
  CHECK(alone(one("", "a", "17")).find("line 1: heap 'a': type: none of the words") == 0);
  CHECK(alone(one("", "a", "\"CUSTOM\"")).find("type: none of the words") != std::string::npos);
  CHECK(alone(one("base = 4096")) == "line 1: heap 'a': size: it has no bytes");
  CHECK(alone(one("base = 4096\nsize = 5000")) == "line 1: heap 'a': size: no multiple of the granule: '5000'");
  CHECK(alone(one("base = 4000\nsize = 4096")) == "line 1: heap 'a': base: no multiple of the granule: '0xfa0'");
  CHECK(alone(one("size = 4096")) == "line 1: heap 'a': base: there is no address that it could begin at");
  CHECK(alone(one("base = 0\nsize = 4096")) == "line 1: heap 'a': base: there is no address that it could begin at");
  CHECK(left_out(rest + one("base = 4096\nsize = 4096", "b", "2", "9")) == "line 7: heap 'b': id: another has that id: '9'");
}

TEST_CASE("a neighbour that is not there, or is left out, is none") {
  const auto beside = [](const std::string& text) {
    const auto board = read_ion(text);
    REQUIRE(board);
    return board->heaps.at(0).beside;
  };
  const std::string fw = one("size = 4096\nalign = 4096\nadjacent_mem_id = 8", "fw");
  CHECK(beside(fw) == "");
  CHECK(beside(fw + one("size = 4096", "mm", "4", "8")) == "mm");  // a base comes with it
  CHECK(beside(fw + one("size = 0", "mm", "4", "8")) == "");
  CHECK(beside(fw + one("size = 4096\nmem_is_fmem = 1\nfixed_position = \"MIDDLE\"\nbase = 4096", "mm", "4", "8")) == "");
  CHECK(beside(one("base = 4096\nsize = 4096\nadjacent_mem_id = 8", "fw") + one("size = 4096\nalign = 1", "mm", "4", "8")) == "");
  CHECK(beside(one("size = 4096\nalign = 4096\nadjacent_mem_id = 3", "fw")) == "");  // itself
}

TEST_CASE("cut at every byte, and damaged, it is read or refused") {
  std::size_t read = 0;
  const auto attempt = [&](std::string_view text) {
    for (const IonSystem& system : {IonSystem{}, aosp}) {
      const auto board = read_ion(text, system);
      read += board ? 1 : 0;
      if (!board) CHECK(board.error().line >= 1);
    }
  };
  for_each_prefix(good, attempt);
  for_each_damaged(good, 1500, attempt);
  CHECK(read > 50);
}
