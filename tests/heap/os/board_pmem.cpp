#include <freestone/heap/os/board_pmem.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "support/prefixes.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr const char* good = R"([[memory]]
name = "EBI1"
base = 0x2000_0000
size = "64M"

[[pmem]]
name = "pmem"
size = "32M"
allocator_type = "BITMAP"
cached = 1
memory_type = "EBI1"

[[pmem]]
name = "pmem_adsp"
size = "17M"
allocator_type = 3
quantum = "64K"
buffered = true
memory_type = 3
map_on_demand = true

[[pmem]]
name = "kernel"
size = 8192
allocator_type = "SYSTEM"
cached = true
reusable = true
)";

std::string one(const std::string& more, const std::string& name = "a") { return "[[pmem]]\nname = \"" + name + "\"\n" + more + "\n"; }
std::string fault_of(const std::string& text, PmemGeneration generation = PmemGeneration::qualcomm) {
  const auto board = read_pmem(text, generation);
  return board ? "" : describe(board.error());
}
// What the first that is left out says.
std::string left_out(const std::string& text, PmemGeneration generation = PmemGeneration::qualcomm) {
  const auto board = read_pmem(text, generation);
  REQUIRE_MESSAGE(board, describe(board.error()));
  return board->left_out.empty() ? "" : describe(board->left_out[0]);
}

}  // namespace

TEST_CASE("all that PMEM's platform data say") {
  const auto board = read_pmem(good);
  REQUIRE(board);
  CHECK(board->left_out.empty());
  REQUIRE(board->heaps.size() == 3);
  const BoardHeap& first = board->heaps[0];
  CHECK(first.name == "pmem");
  CHECK(first.id == 0);
  CHECK(first.size == 32_MiB);
  CHECK(first.granule == 4_KiB);
  CHECK(first.strategy == "bitmap");
  CHECK(first.cache == Cacheability::cached);
  CHECK(first.memory == "EBI1");
  const BoardHeap& second = board->heaps[1];
  CHECK(second.id == 1);
  CHECK(second.granule == 64_KiB);
  CHECK(second.strategy == "buddy");
  CHECK(second.cache == Cacheability::write_combined);
  CHECK(second.memory == "EBI1");
  CHECK(std::get<PmemPart>(second.part).map_on_demand);
  const BoardHeap& third = board->heaps[2];
  CHECK(third.strategy == "system");
  CHECK(third.backing == "anonymous");
  CHECK(third.memory.empty());
  CHECK(std::get<PmemPart>(third.part).reusable);
  CHECK(std::get<PmemPart>(third.part).map_on_demand);  // forced
}

TEST_CASE("generations have their own fields and numbers") {
  const auto strategy = [](const std::string& more, PmemGeneration generation) {
    const auto board = read_pmem(one(more), generation);
    REQUIRE_MESSAGE(board, describe(board.error()));
    REQUIRE(board->heaps.size() == 1);
    return board->heaps[0].strategy;
  };
  CHECK(strategy("size = 4096\nstart = 4096", PmemGeneration::google) == "buddy");
  CHECK(strategy("size = 4096\nstart = 4096\nno_allocator = 1", PmemGeneration::google) == "all_or_nothing");
  CHECK(strategy("size = 4096\nstart = 4096", PmemGeneration::caf) == "all_or_nothing");
  CHECK(strategy("size = 4096\nstart = 4096\nallocator_type = 1", PmemGeneration::caf) == "buddy");
  CHECK(strategy("size = 4096\nstart = 4096\nallocator_type = \"BITMAP\"", PmemGeneration::caf) == "bitmap");
  CHECK(strategy("size = 4096", PmemGeneration::qualcomm) == "bitmap");
  CHECK(strategy("size = 4096\nallocator_type = 2", PmemGeneration::qualcomm) == "all_or_nothing");
  CHECK(read_pmem(one("size = 4096\nstart = 0x1000"), PmemGeneration::caf)->heaps[0].base == 0x1000);
  CHECK(read_pmem(one("size = 4096\nunstable = true"), PmemGeneration::unpluggable)->heaps[0].memory == "unstable");
  CHECK(read_pmem(one("size = 4096"))->heaps[0].memory == "SMI_KERNEL");
  CHECK(fault_of(one("size = 4096\nstart = 0")).find("start: there is no such field") != std::string::npos);
  CHECK(fault_of(one("size = 4096"), PmemGeneration::google).find("start: it must be said") != std::string::npos);
  CHECK(fault_of(one("size = 4096\nmemory_type = 1\nstart=0"), PmemGeneration::caf).find("memory_type: there is no such field") != std::string::npos);
}

TEST_CASE("what is no such text ends the reading, with line and field") {
  CHECK(fault_of("") == "line 1, column 1: pmem: it must be said");
  CHECK(fault_of("pmem = 1") == "line 1, column 8: pmem: a value of another type belongs there: '1'");
  CHECK(fault_of("[[pmem]]\nsize = 4096\n") == "line 1, column 1: name: it must be said");
  CHECK(fault_of(one("")) == "line 1, column 1: heap 'a': size: it must be said");
  CHECK(fault_of(one("size = 4096", "")).find("line 2, column 8: name: a name has") == 0);
  CHECK(fault_of(one("size = 4096", std::string(32, 'n'))).find("line 2, column 8: name: a name has") == 0);
  CHECK(fault_of(one("size = -1")) == "line 3, column 8: heap 'a': size: a number out of range: '-1'");
  CHECK(fault_of(one("size = 1\nquantum = \"4Z\"")) == "line 4, column 11: heap 'a': quantum: no number: '4Z'");
  CHECK(fault_of(one("size = 1\ncached = 2")) == "line 4, column 10: heap 'a': cached: a number out of range: '2'");
  CHECK(fault_of(one("size = 1\nmemory_type = \"DDR\"")).find("line 4, column 15: heap 'a': memory_type: none of the words") == 0);
  CHECK(fault_of(one("size = 1\nmemory_type = 4")).find("memory_type: none of the words") != std::string::npos);
  CHECK(fault_of(one("size = 1\nrequest_region = 4")).find("request_region: there is no such field") != std::string::npos);
}

TEST_CASE("pmem_setup's refusals, in its order, and the others live") {
  CHECK(left_out(one("size = 0\nquantum = 5")) == "line 3, column 8: heap 'a': size: it has no bytes: '0'");
  CHECK(left_out(one("size = 1\nquantum = 2048")) == "line 4, column 11: heap 'a': quantum: less than a page of 4096 bytes: '2048'");
  CHECK(left_out(one("size = 1\nquantum = 12288")) == "line 4, column 11: heap 'a': quantum: no power of two: '12288'");
  CHECK(left_out(one("size = 5000\nallocator_type = 7")) == "line 3, column 8: heap 'a': size: no multiple of the granule: '5000'");
  CHECK(left_out(one("size = 4096\nallocator_type = 7")).find("line 4, column 18: heap 'a': allocator_type: none of the words") == 0);
  CHECK(left_out(one("size = 4096\nallocator_type = \"SLAB\"")).find("allocator_type: none of the words") != std::string::npos);
  CHECK(left_out(one("size = 4096") + one("size = 4096")).find("line 5, column 8: heap 'a': name: another has that name: 'a'") != std::string::npos);
  CHECK(left_out(one("size = 4096\nstart = 0x800"), PmemGeneration::unpluggable).find("start: no multiple of the granule") != std::string::npos);
  CHECK(left_out(one("size = 8192\nstart = \"0xffff_ffff_ffff_f000\""), PmemGeneration::caf).find("start: it ends behind") != std::string::npos);
  CHECK(left_out(one("size = 8192\nstart = 4096") + one("size = 4096\nstart = 8192", "b"), PmemGeneration::caf).find("heap 'b': start: it overlaps another ('a')") !=
        std::string::npos);
  const auto board = read_pmem(one("size = 0", "x") + one("size = 4096", "b") + one("size = 1", "c") + one("size = 4096", "d"));
  REQUIRE(board);
  REQUIRE(board->heaps.size() == 2);
  CHECK(board->heaps[0].id == 0);  // none was given to x
  CHECK(board->heaps[1].id == 2);  // c had one
  CHECK(board->left_out.size() == 2);
}

TEST_CASE("ten regions, and the kernel's two on top") {
  std::string text;
  for (char c = 'a'; c < 'a' + 10; ++c) text += one("size = 4096\nunstable = 1", std::string(1, c));
  text += one("size = 4096\nunstable = 1", "pmem_kernel_ebi1") + one("size = 4096\nunstable = 1", "pmem_kernel_smi");
  const auto board = read_pmem(text, PmemGeneration::unpluggable);
  REQUIRE(board);
  CHECK(board->heaps.size() == 12);
  CHECK(std::get<PmemPart>(board->heaps[11].part).kernel_only);
  CHECK(left_out(text + one("size = 4096\nunstable = 1", "k"), PmemGeneration::unpluggable).find("heap 'k': name: there are too many") !=
        std::string::npos);
  CHECK(left_out(text + one("size = 4096\nunstable = 1", "pmem_kernel_smi"), PmemGeneration::unpluggable).find("name: another has that name") !=
        std::string::npos);
  CHECK(left_out(one("size = 4096\nunstable = 1\ncached = 1", "pmem_kernel_smi"), PmemGeneration::unpluggable)
            .find("cached: this heap may not say that") != std::string::npos);
  CHECK(left_out(one("size = 4096\nunstable = 1\nallocator_type = \"SYSTEM\""), PmemGeneration::unpluggable)
            .find("allocator_type: this heap may not say that") != std::string::npos);
}

namespace {

const std::string ebi1 = "[[memory]]\nname = \"EBI1\"\nbase = 0x2000_0000\nsize = \"64M\"\n";

// Where each region begins, and why others do not: "a@20000000 b@- (line 7, ...)".
std::string all(const std::string& text, PmemGeneration generation = PmemGeneration::qualcomm) {
  const auto board = read_pmem(text, generation);
  if (!board) return describe(board.error());
  std::vector<HeapSpec> specs;
  std::string found;
  const auto add = [&](const std::string& more) { found += (found.empty() ? "" : " ") + more; };
  for (const BoardHeap& heap : board->heaps) {
    if (heap.backing == "numbers") specs.push_back(heap.spec());
    add(heap.name + "@" + (heap.base ? detail::hex(*heap.base).substr(2) : "-"));
  }
  if (!board->memory.empty()) CHECK(lay_out(specs, board->memories()));  // so it can be made
  for (const TextError& error : board->left_out) add("(" + describe(error) + ")");
  return found;
}

}  // namespace

TEST_CASE("a region that its memory has no room for is left out, and the others live") {
  CHECK(all(ebi1 + one("size = \"48M\"\nmemory_type = 3") + one("size = \"48M\"\nmemory_type = 3", "b") + one("size = \"1M\"\nmemory_type = 3", "c")) ==
        "a@20000000 c@23000000 (line 11, column 8: heap 'b': size: it fits in no memory of the board: '48M')");
  CHECK(all(ebi1 + one("size = 4096") + one("size = 4096\nmemory_type = 3", "b")) ==
        "b@20000000 (line 5, column 1: heap 'a': memory_type: no memory of the board has the name that it should lie in: 'SMI_KERNEL')");
  CHECK(all(ebi1 + one("size = \"80M\"\nmemory_type = 3") + one("size = \"1M\"\nmemory_type = 3")).find("a@20000000 (") == 0);  // its name is free again
  const auto board = read_pmem(ebi1 + one("size = \"80M\"\nmemory_type = 3") + one("size = \"1M\"\nmemory_type = 3", "b"));
  REQUIRE(board);
  CHECK(board->heaps.at(0).id == 1);  // the first had one
}

TEST_CASE("reusable regions begin in fmem, and unstable ones in what comes online") {
  const std::string fmem = "[[memory]]\nname = \"fmem\"\nbase = 0x3000_0000\nsize = \"16M\"\n";
  const std::string full = one("size = \"64M\"\nmemory_type = 3") + one("size = \"8M\"\nmemory_type = 3\nreusable = 1", "b");
  CHECK(all(ebi1 + fmem + full) == "a@20000000 b@30000000");
  CHECK(all(ebi1 + full).find("a@20000000 (line 9, column 1: heap 'b': memory_type: no memory of the board") == std::string::npos);
  CHECK(all(ebi1 + full).find("heap 'b': memory_type: no memory of the board has the name that it should lie in: 'fmem'") != std::string::npos);
  const std::string online = "[[memory]]\nname = \"unstable\"\nbase = 0x4000_0000\nsize = \"16M\"\n";
  CHECK(all(ebi1 + online + one("size = \"1M\"\nunstable = 1") + one("size = \"1M\"\nstart = 0x1000_0000", "b") + one("size = \"1M\"\nunstable = 1", "c"),
            PmemGeneration::unpluggable) == "a@40000000 b@10000000 c@40100000");
}

TEST_CASE("unstable regions lie one behind the other from their memory's start, and nowhere else") {
  const auto placed = [](const std::string& text) {
    return all("[[memory]]\nname = \"unstable\"\nbase = 0x4000_0000\nsize = \"1M\"\n" + text, PmemGeneration::unpluggable);
  };
  const auto region = [](const char* rest, const char* name) { return one(std::string("unstable = 1\n") + rest, name); };
  CHECK(placed(region("size = 4096", "a") + region("size = \"64K\"\nquantum = 0x1_0000", "b") + region("size = 4096", "c")) ==
        "a@40000000 c@40001000 (line 13, column 11: heap 'b': quantum: its first address is no multiple of its granule or alignment, or that is no "
        "power of two: '65536')");
  CHECK(placed(region("size = \"512K\"", "a") + region("size = \"1M\"", "b") + region("size = \"512K\"", "c")).find("a@40000000 c@40080000") == 0);
  CHECK(placed(one("size = 4096\nstart = 0x4000_1000", "s") + region("size = 4096", "a") + region("size = 4096", "b")).find("s@40001000 a@40000000 (") == 0);
}

TEST_CASE("`start` is kept, in a memory or not") {
  CHECK(all(ebi1 + one("size = \"64K\"\nstart = 0x8000_0000"), PmemGeneration::caf) == "a@80000000");
  CHECK(all(ebi1 + one("size = \"64K\"\nstart = 0x2000_1000"), PmemGeneration::google) == "a@20001000");
}

TEST_CASE("SYSTEM has no cache and takes no room, and where memory may go there is none") {
  const auto board = read_pmem(ebi1 + one("size = \"8M\"\nallocator_type = \"SYSTEM\"\nmemory_type = 3") + one("size = \"64M\"\nmemory_type = 3", "b"));
  REQUIRE(board);
  REQUIRE(board->heaps.size() == 2);
  CHECK(!board->heaps[0].cache);
  CHECK(!board->heaps[0].base);
  CHECK(board->heaps[1].base == 0x2000'0000);
  CHECK(left_out(one("size = \"1M\"\nstart = 0x1000\nallocator_type = \"SYSTEM\""), PmemGeneration::unpluggable) ==
        "line 5, column 18: heap 'a': allocator_type: this heap may not say that: 'SYSTEM'");
}

TEST_CASE("the kernel has two arenas, also where one of them is refused") {
  const auto board = read_pmem(one("size = 4096\nunstable = 1\nquantum = 5000", "pmem_kernel_smi") + one("size = 4096\nstart = 4096", "pmem_kernel_smi") +
                                   one("size = 4096\nstart = 8192", "pmem_kernel_ebi1"),
                               PmemGeneration::unpluggable);
  REQUIRE(board);
  REQUIRE(board->heaps.size() == 1);
  CHECK(board->heaps[0].id == 11);
  REQUIRE(board->left_out.size() == 2);
  CHECK(board->left_out[1].what == TextFault::too_many);
}

TEST_CASE("what is of the file") {
  CHECK(fault_of("order = \"nonsense\"\n" + one("size = 4096")) == "line 1, column 9: order: none of the words that may stand there: 'nonsense'");
  CHECK(fault_of("order = \"newest_first\"\n" + one("size = 4096")).empty());
  CHECK(fault_of("pmem = []") == "line 1, column 8: pmem: it must be said: 'an array'");
  CHECK(fault_of(ebi1 + ebi1 + one("size = 4096")).find("line 5: memory: ") == 0);
}

namespace {

const std::string sized = ebi1 + one("size = \"32M\"\nmemory_type = 3\ncommand_line = \"pmem_mdp_size\"", "pmem") +
                          one("size = \"17M\"\nmemory_type = 3\ncommand_line = \"pmem_adsp_size\"", "pmem_adsp") +
                          one("size = \"512K\"\nmemory_type = 3", "pmem_audio");

// The board with such a command line: its regions' sizes, what is left out, or what is wrong with it: "pmem 2000000 ...".
std::string with(const std::vector<const char*>& arguments, const std::string& text = sized,
                 PmemGeneration generation = PmemGeneration::qualcomm) {
  const auto words = read_size_words(arguments);
  if (!words) return describe(words.error());
  const auto board = read_pmem(text, generation, *words);
  if (!board) return describe(board.error());
  std::string found;
  for (const BoardHeap& heap : board->heaps) found += heap.name + ' ' + detail::hex(heap.size.value()).substr(2) + ' ';
  for (const TextError& error : board->left_out) found += '(' + describe(error) + ')';
  return found;
}

}  // namespace

TEST_CASE("sizes from the command line are in place of the text's") {
  CHECK(with({}) == "pmem 2000000 pmem_adsp 1100000 pmem_audio 80000 ");
  CHECK(with({"pmem_mdp_size=24M"}) == "pmem 1800000 pmem_adsp 1100000 pmem_audio 80000 ");
  CHECK(with({"pmem_adsp_size=0x100000", "pmem_mdp_size=512K"}) == "pmem 80000 pmem_adsp 100000 pmem_audio 80000 ");
  CHECK(with({"pmem_mdp_size=24M", "pmem_mdp_size=8388608"}) == "pmem 800000 pmem_adsp 1100000 pmem_audio 80000 ");  // the last one's
  CHECK(with({"pmem_mdp_size=46M"}) == "pmem 2e00000 pmem_adsp 1100000 pmem_audio 80000 ");
  const std::string caf = one("size = 8192\nstart = 4096\ncommand_line = \"s\"");
  CHECK(with({"s=4096"}, caf, PmemGeneration::caf) == "a 1000 ");
}

TEST_CASE("a size from the command line that is none for a region leaves it out, as the text's would") {
  CHECK(with({"pmem_mdp_size=0"}) == "pmem_adsp 1100000 pmem_audio 80000 (line 7: heap 'pmem': pmem_mdp_size: it has no bytes: '0')");
  CHECK(with({"pmem_adsp_size=5000"}) ==
        "pmem 2000000 pmem_audio 80000 (line 12: heap 'pmem_adsp': pmem_adsp_size: no multiple of the granule: '5000')");
  CHECK(with({"pmem_mdp_size=65M"}) ==
        "pmem_adsp 1100000 pmem_audio 80000 (line 7: heap 'pmem': pmem_mdp_size: it fits in no memory of the board: '65M')");
  CHECK(with({"pmem_mdp_size=47M"}) ==  // and what is another's own matter is said of that one
        "pmem 2f00000 pmem_adsp 1100000 (line 17, column 8: heap 'pmem_audio': size: it fits in no memory of the board: '512K')");
}

TEST_CASE("a word of the command line that no region has, or that is no number, is told by its name") {
  CHECK(with({"pmem_mdp_size=24M", "pmem_audio_size=1M"}) == "pmem_audio_size: no heap of the board has its size from there: '1M'");
  CHECK(with({"pmem=24M"}) == "pmem: no heap of the board has its size from there: '24M'");
  CHECK(with({"=24M"}) == "no heap of the board has its size from there: '24M'");
  CHECK(with({"pmem_mdp_size=24X"}) == "pmem_mdp_size: no number: '24X'");
  CHECK(with({"pmem_mdp_size=24MB"}) == "pmem_mdp_size: no number: '24MB'");
  CHECK(with({"pmem_mdp_size="}) == "pmem_mdp_size: no number");
  CHECK(with({"pmem_mdp_size"}) == "pmem_mdp_size: no number");
  CHECK(with({"pmem_mdp_size=-1"}) == "pmem_mdp_size: no number: '-1'");
  CHECK(with({"pmem_mdp_size=1=2"}) == "pmem_mdp_size: no number: '1=2'");
  CHECK(with({"pmem_mdp_size=0x1ffffffffffffffff"}) == "pmem_mdp_size: a number out of range: '0x1ffffffffffffffff'");
  CHECK(fault_of(one("size = 4096\ncommand_line = 1")) == "line 4, column 16: heap 'a': command_line: a value of another type belongs there: '1'");
  CHECK(fault_of(one("size = \"?\"\ncommand_line = \"s\"")).find("line 3, column 8: heap 'a': size: no number: '?'") == 0);
}

TEST_CASE("cut at every byte, and damaged, it is read or refused") {
  for (const PmemGeneration generation : {PmemGeneration::google, PmemGeneration::caf, PmemGeneration::unpluggable, PmemGeneration::qualcomm}) {
    std::size_t read = 0;
    const auto attempt = [&](std::string_view text) {
      const auto board = read_pmem(text, generation);
      read += board ? 1 : 0;
      if (!board) CHECK(board.error().line >= 1);
    };
    for_each_prefix(good, attempt);
    for_each_damaged(good, 1000, attempt);
    CHECK((read > 0) == (generation == PmemGeneration::qualcomm));
  }
}
