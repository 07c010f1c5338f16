#include <freestone/heap/os/board_ion.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "support/prefixes.hpp"
#include "support/random.hpp"

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

TEST_CASE("row 3: all that ION's platform data say, and a carve-out before its neighbour") {
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

TEST_CASE("row 4: overlaps are refused before anything is made") {
  const std::string a = one("base = 0x1000\nsize = 0x3000");
  CHECK(fault_of(a + one("base = 0x3000\nsize = 0x1000", "b", "2", "4")) == "line 7: heap 'b': base: it overlaps another ('a'): '0x3000'");
  CHECK(fault_of(a + one("base = 0x1000\nsize = 0", "b", "2", "4")).find("overlaps") != std::string::npos);
  CHECK(fault_of(a + one("base = 0x3000\nsize = 0x1000", "b", "99", "4")).find("overlaps") != std::string::npos);  // though its type is unknown
  CHECK(fault_of(a + one("base = 0x4000\nsize = 0x1000", "b", "2", "4")).empty());
  CHECK(fault_of(one("base = \"0xffff_ffff_ffff_f000\"\nsize = 0x2000")).find("base: it ends behind the last address") != std::string::npos);
}

TEST_CASE("row 4: the probe's refusals, and the others live") {
  const std::string rest = one("base = 0x10000\nsize = 4096", "z", "2", "9");
  const auto alone = [&](const std::string& text) {
    const auto board = read_ion(text + rest);
    REQUIRE_MESSAGE(board, describe(board.error()));
    CHECK(board->heaps.size() == 1);
    CHECK(board->heaps[0].name == "z");
    REQUIRE(board->left_out.size() == 1);
    return describe(board->left_out[0]);
  };
  CHECK(alone(one("", "a", "17")).find("line 2, column 8: heap 'a': type: none of the words that may stand there: '17'") == 0);
  CHECK(alone(one("", "a", "\"CUSTOM\"")).find("type: none of the words that may stand there: 'CUSTOM'") != std::string::npos);
  CHECK(alone(one("base = 4096")) == "line 1, column 1: heap 'a': size: it has no bytes");
  CHECK(alone(one("base = 4096\nsize = 5000")) == "line 6, column 8: heap 'a': size: no multiple of the granule: '5000'");
  CHECK(alone(one("base = 4000\nsize = 4096")) == "line 5, column 8: heap 'a': base: no multiple of the granule: '4000'");
  CHECK(alone(one("size = 4096")) == "line 1, column 1: heap 'a': base: there is no address that it could begin at");
  CHECK(alone(one("base = 0\nsize = 4096")) == "line 5, column 8: heap 'a': base: there is no address that it could begin at: '0'");
  CHECK(left_out(rest + one("base = 4096\nsize = 4096", "b", "2", "9")) == "line 9, column 6: heap 'b': id: another has that id: '9'");
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

namespace {

const std::string ebi = "[[memory]]\nname = \"EBI\"\nbase = 0x2000_0000\nsize = \"64M\"\n";

// Where each heap begins, and why others do not: "a@20000000 b@- (line 7, ...)".
std::string all(const std::string& text, const IonSystem& system = {}) {
  const auto board = read_ion(text, system);
  if (!board) return describe(board.error());
  std::vector<HeapSpec> specs = board->specs();
  std::erase_if(specs, [](const HeapSpec& heap) { return std::string_view(heap.name) == "vmalloc"; });
  if (!board->memory.empty()) CHECK(lay_out(specs, board->memories()));  // so it can be made
  std::string found;
  const auto add = [&](const std::string& more) { found += (found.empty() ? "" : " ") + more; };
  for (const BoardHeap& heap : board->heaps) add(heap.name + "@" + (heap.base ? detail::hex(*heap.base).substr(2) : "-") + (heap.beside.empty() ? "" : "|" + heap.beside));
  for (const TextError& error : board->left_out) add("(" + describe(error) + ")");
  return found;
}

}  // namespace

TEST_CASE("neighbours are found by id, and no two heaps have one name") {
  const std::string fw = one("size = \"1M\"\nadjacent_mem_id = 8", "fw", "2", "29");
  CHECK(all(ebi + one("size = \"1M\"\nalign = 4096") + one("size = \"2M\"\nalign = 4096", "a", "4", "8") + fw) ==
        "a@20000000 (line 14, column 8: heap 'a': name: another has that name: 'a') "
        "(line 17, column 1: heap 'fw': base: there is no address that it could begin at)");
  CHECK(all(one("size = \"1M\"", "mm", "4", "8") + fw + one("size = 0", "mm", "2", "3")) == "mm@- fw@-|mm (line 16, column 8: heap 'mm': size: it has no bytes: '0')");
  CHECK(all(one("size = 0", "mm", "2", "3") + fw + one("size = \"1M\"", "mm", "4", "8")) == "fw@-|mm mm@- (line 5, column 8: heap 'mm': size: it has no bytes: '0')");
}

TEST_CASE("heaps in one line are still several") {
  CHECK(all("memory = [{name = \"EBI\", base = 0x20000000, size = \"64M\"}]\nion = [{type = \"CP\", id = 8, name = \"mm\", size = 0}, "
            "{type = \"CARVEOUT\", id = 29, name = \"fw\", size = \"1M\", align = 4096, adjacent_mem_id = 8}]\n") ==
        "fw@20000000 (line 2, column 50: heap 'mm': size: it has no bytes: '0')");
}

TEST_CASE("who needs a base is the same in any order") {
  const std::string fw = one("size = \"1M\"\nadjacent_mem_id = 8", "fw", "2", "29");
  const std::string no_mm = one("size = 0", "mm", "4", "8");
  const std::string mm = one("size = \"1M\"", "mm", "4", "8");
  const std::string no_fw = one("size = 5000\nadjacent_mem_id = 8", "fw", "2", "29");
  for (const std::string& memory : {ebi, std::string()}) {
    for (const std::string& text : {fw + no_mm, no_mm + fw, mm + no_fw, no_fw + mm}) {
      const auto board = read_ion(memory + text);
      REQUIRE(board);
      CHECK(board->heaps.empty());
      CHECK(board->left_out.size() == 2);
    }
  }
}

TEST_CASE("row 4: a heap that its memory has no room for is left out, and the others live") {
  const std::string rest = one("size = \"1M\"\nalign = 4096", "z", "2", "9");
  CHECK(all(ebi + one("size = \"48M\"\nalign = 4096") + one("size = \"48M\"\nalign = 4096", "b", "2", "4") + rest) ==
        "a@20000000 z@23000000 (line 15, column 8: heap 'b': size: it fits in no memory of the board: '48M')");
  CHECK(all(ebi + one("size = 4096\nalign = 4096\nmemory_type = \"SMI\"") + rest) ==
        "z@20000000 (line 11, column 15: heap 'a': memory_type: no memory of the board has the name that it should lie in: 'SMI')");
  CHECK(all(ebi + one("size = 4096\nalign = 12288") + rest) == "z@20000000 (line 10, column 9: heap 'a': align: no power of two: '12288')");
  CHECK(all("[[memory]]\nname = \"EBI\"\nbase = 0\nsize = \"64M\"\n" + one("size = 4096\nalign = 4096")).find("fits in no memory") != std::string::npos);  // 0 says no
  // A row that has no room: each goes on alone, where it can.
  CHECK(all(ebi + one("size = \"40M\"\nalign = 4096", "mm", "4", "8") + one("size = \"30M\"\nalign = 4096\nadjacent_mem_id = 8", "fw", "2", "29") +
            one("size = \"1M\"\nadjacent_mem_id = 8", "fx", "2", "28")) == "mm@20100000 fx@20000000|mm (line 15, column 8: heap 'fw': size: it fits in no memory of the board: '30M')");
}

TEST_CASE("ION places neighbours first, then the others in their order") {
  const std::string a = one("size = \"40M\"\nalign = 4096");
  const std::string fw = one("size = \"1M\"\nalign = \"128K\"\nadjacent_mem_id = 8", "fw", "2", "29");
  const std::string mm = one("size = \"30M\"\nalign = 12288", "mm", "4", "8");  // its own alignment is not looked at
  CHECK(all(ebi + a + fw + mm) == "fw@20000000|mm mm@20100000 (line 9, column 8: heap 'a': size: it fits in no memory of the board: '40M')");
  // A base that the neighbour has is left for the reservation.
  CHECK(all(ebi + fw + one("size = \"2M\"\nbase = 0x3000_0000", "mm", "4", "8")) == "fw@20000000|mm mm@20100000");
  // Of two carve-outs with one neighbour the last has it; the first keeps its place.
  CHECK(all(ebi + one("size = \"1M\"", "mm", "4", "8") + fw + one("size = \"1M\"\nadjacent_mem_id = 8", "fx", "2", "28")) == "mm@20300000 fw@20000000 fx@20200000|mm");
  CHECK(all(one("size = \"1M\"", "mm", "4", "8") + fw + one("size = \"1M\"\nadjacent_mem_id = 8", "fx", "2", "28")) == "mm@- fw@- fx@-|mm");
  // One of a row is the neighbour of none before it.
  CHECK(all(ebi + one("size = \"1M\"\nadjacent_mem_id = 4", "x", "2", "3") + one("size = \"1M\"\nadjacent_mem_id = 3", "y", "2", "4")) == "x@20000000|y y@20100000");
  // The system's own memory is nobody's neighbour.
  CHECK(all(ebi + one("", "vmalloc", "0", "30") + one("size = \"1M\"\nalign = 4096\nadjacent_mem_id = 30", "fw", "2", "29")) == "vmalloc@- fw@20000000");
}

TEST_CASE("row 3: what is secured: a carve-out and its neighbour") {
  const auto secured = [](const std::string& text) {
    const auto board = read_ion(text);
    REQUIRE(board);
    for (const BoardHeap& heap : board->heaps) {
      const IonPart& part = std::get<IonPart>(heap.part);
      if (heap.id == 8) return detail::hex(part.secure_base) + " " + detail::hex(part.secure_size.value());
    }
    return std::string();
  };
  const std::string fw = one("size = 0x20_0000\nalign = \"128K\"\nadjacent_mem_id = 8", "mm_fw", "2", "29");
  CHECK(secured(ebi + fw + one("size = 0x180_0000\nsecure_base = 4096\nsecure_size = 1", "mm", "4", "8")) == "0x20000000 0x1a00000");
  CHECK(secured(fw + one("size = 0x180_0000", "mm", "4", "8")) == "0x0 0x0");  // it lies nowhere yet
  const std::string given = one("base = 0x100_0000\nsize = 0x20_0000\nadjacent_mem_id = 8", "mm_fw", "2", "29");
  const std::string fixed = "base = 0x200_0000\nsize = 0x180_0000\nmem_is_fmem = true\nfixed_position = \"MIDDLE\"\n";
  CHECK(secured(given + one(fixed, "mm", "4", "8")) == "0x1000000 0x1a00000");
  CHECK(secured(given + one(fixed + "secure_base = 0x300_0000\nsecure_size = 0x1000", "mm", "4", "8")) == "0x3000000 0x1000");
  CHECK(secured(given + one("base = 0x200_0000\nsize = 4096", "mm", "4", "8")) == "0x0 0x0");
}

TEST_CASE("a base that is given is kept, wherever it is") {
  CHECK(all(ebi + one("base = 0x2000_1000\nsize = \"1M\"\nalign = \"128K\"")) == "a@20001000");
  CHECK(all(ebi + one("base = 0x8000_0000\nsize = \"1M\"")) == "a@80000000");
  CHECK(all("[[memory]]\nname = \"EBI1\"\nbase = 0x2000_0000\nsize = \"64M\"\n" + one("base = 0x8000_0000\nsize = \"1M\"")) == "a@80000000");
  CHECK(all(ebi + one("base = 0x2000_0000\nsize = \"1M\"") + one("size = \"1M\"\nalign = 4096", "b", "2", "4")) == "a@20000000 b@20100000");
}

TEST_CASE("what comes from fmem") {
  const std::string fmem = ebi + "[[memory]]\nname = \"fmem\"\nbase = 0x3000_0000\nsize = \"32M\"\n";
  const std::string mm = one("size = \"20M\"\nreusable = true", "mm", "4", "8");
  CHECK(all(fmem + one("size = \"64M\"\nalign = 4096") + mm + one("size = \"1M\"\nmem_is_fmem = true\nfixed_position = \"HIGH\"", "mfc", "4", "12")) ==
        "a@20000000 mm@30000000 mfc@31400000");
  CHECK(all(fmem + mm + one("size = \"1M\"\nalign = \"128K\"\nadjacent_mem_id = 8", "fw", "2", "29")) == "mm@30100000 fw@30000000|mm");
  CHECK(all(ebi + mm).find("memory_type: no memory of the board has the name that it should lie in: 'fmem'") != std::string::npos);
}

TEST_CASE("aosp places heaps anywhere, and DMA as it places the others") {
  CHECK(all(ebi + one("size = \"1M\"") + one("size = \"1M\"\nalign = \"128K\"", "b", "\"CHUNK\"", "4"), aosp) == "a@20000000 b@20100000");
  CHECK(all("[[memory]]\nname = \"dram\"\nbase = 0x2000_0000\nsize = \"64M\"\n" + one("size = \"1M\""), aosp) == "a@20000000");
  CHECK(all(one("base = 4096\nsize = 0", "d", "\"DMA\"") + one("base = 0x20_0000\nsize = \"1M\"", "a", "2", "4"), aosp) ==
        "a@200000 (line 6, column 8: heap 'd': size: it has no bytes: '0')");
  CHECK(all(one("base = 4096\nsize = 4096\nalign = 12288", "d", "\"DMA\""), aosp) == "d@1000");
}

TEST_CASE("what is of the file") {
  CHECK(fault_of("order = \"nonsense\"\n" + one("base = 4096\nsize = 4096")) == "line 1, column 9: order: none of the words that may stand there: 'nonsense'");
  CHECK(fault_of("order = \"declared\"\n" + one("base = 4096\nsize = 4096")).empty());
  CHECK(fault_of("ion = []") == "line 1, column 7: ion: it must be said: 'an array'");
  CHECK(fault_of(ebi + ebi + one("base = 4096\nsize = 4096")).find("line 5: memory: ") == 0);
}

TEST_CASE("whatever heaps a text has, each is placed or left out, and the board can be made") {
  const std::string memory = ebi + "[[memory]]\nname = \"SMI\"\nbase = 0x1000_0000\nsize = \"8M\"\n[[memory]]\nname = \"fmem\"\nbase = 0x3000_0000\nsize = \"16M\"\n";
  Random random(seed());
  const auto some = [&](std::initializer_list<const char*> words) { return std::string(words.begin()[random.below(words.size())]) + "\n"; };
  std::size_t placed = 0;
  std::size_t rows = 0;
  for (int round = 0; round < 400; ++round) {
    std::string text = memory;
    const std::uint64_t count = random.from_to(1, 7);
    for (std::uint64_t i = 0; i < count; ++i) {
      text += one("size = " + some({"4096", "0x10_0000", "\"3M\"", "\"9M\"", "\"20M\"", "\"20M\"", "\"40M\"", "0", "5000"}) + some({"", "align = 4096", "align = \"128K\"", "align = 3", "align = 0"}) +
                      some({"", "", "memory_type = 1", "reusable = 1", "mem_is_fmem = 1"}) + some({"", "", "fixed_position = \"MIDDLE\""}) +
                      (random.chance(4) ? "base = 0x" + std::to_string(random.from_to(1, 5)) + "0_000_000\n" : std::string()) +
                      (random.chance(60) ? "adjacent_mem_id = " + std::to_string(random.below(9)) : std::string()),
                  "h" + std::to_string(random.below(20)), random.chance(90) ? std::to_string(random.chance(50) ? 2 : 4) : std::to_string(random.below(4)), std::to_string(random.below(9)));
    }
    CAPTURE(text);
    for (const IonSystem& system : {IonSystem{}, aosp}) {
      const auto board = read_ion(text, system);
      if (!board) continue;  // two that are given overlap
      CHECK(board->heaps.size() + board->left_out.size() == count);
      std::vector<HeapSpec> specs;
      for (const BoardHeap& heap : board->heaps) {
        CHECK((heap.backing == "anonymous") == !heap.base);
        if (heap.base) specs.push_back(heap.spec());
      }
      const Layout layout = lay_out(specs, board->memories());
      CHECK_MESSAGE(layout, describe(layout, specs));
      placed += specs.size();
      for (const BoardHeap& heap : board->heaps) rows += heap.beside.empty() ? 0 : 1;
    }
  }
  CHECK(placed > 400);
  CHECK(rows > 20);
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
