#include <freestone/heap/os/board_toml.hpp>

#include <doctest/doctest.h>

#include <string>

#include "support/prefixes.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr const char* good = R"(# a board
order = "descending_id"

[[memory]]
name = "dram"
base = 0x4000_0000
size = "512M"

[[heap]]
name = "camera"
id = 20
size = "64M"
granule = "8K"
align = "1M"
memory = "dram"
reserve = "4M"
strategy = "best_fit"
cache = "uncached"

[[heap]]
name = "codec"
id = 8
size = 0x100_0000
base = 0x5000_0000

[[heap]]
name = "firmware"
id = 9
size = 2097152
beside = "codec"

[[heap]]
name = "bytes"
id = 63
size = "1M"
backing = "memory_file"
)";

std::string heap_text(const std::string& name, unsigned id, const std::string& more = "size = \"64K\"") {
  return "[[heap]]\nname = \"" + name + "\"\nid = " + std::to_string(id) + "\n" + more + "\n";
}
std::string fault_of(const std::string& text) {
  std::string fault;
  try_exactly(text, [&](std::string_view exact) {
    const auto board = read_toml(exact);
    fault = board ? "" : describe(board.error());
  });
  return fault;
}

}  // namespace

TEST_CASE("all that a board says") {
  const auto board = read_toml(good);
  REQUIRE(board);
  CHECK(board->order == "descending_id");
  REQUIRE(board->memory.size() == 1);
  CHECK(board->memory[0].size == 512_MiB);
  REQUIRE(board->heaps.size() == 4);
  const BoardHeap& camera = board->heaps[0];
  CHECK(camera.name == "camera");
  CHECK(camera.id == 20);
  CHECK(camera.size == 64_MiB);
  CHECK(camera.granule == 8_KiB);
  CHECK(camera.align == 1_MiB);
  CHECK(camera.memory == "dram");
  CHECK(camera.reserve == 4_MiB);
  CHECK(camera.strategy == "best_fit");
  CHECK(camera.backing == "numbers");
  CHECK(camera.cache == Cacheability::uncached);
  CHECK(!camera.base);
  CHECK(camera.line == 9);
  CHECK(board->heaps[1].base == 0x5000'0000);
  CHECK(board->heaps[1].strategy == "bitmap");
  CHECK(!board->heaps[1].cache);
  CHECK(board->heaps[2].beside == "codec");
  CHECK(board->heaps[3].backing == "memory_file");
  CHECK(board->left_out.empty());
  const auto specs = board->specs();
  const auto memories = board->memories();
  const Layout layout = lay_out(specs, memories);
  REQUIRE(layout);
  CHECK(layout.places[0].base == 0x4000'0000);
  CHECK(layout.places[2].base == 0x4fe0'0000);
}

TEST_CASE("cut at every byte it is a board, or says in which line it is none") {
  std::size_t boards = 0;
  for_each_prefix(good, [&](std::string_view text) {
    const auto board = read_toml(text);
    if (board) {
      ++boards;
      CHECK(!board->heaps.empty());
    } else {
      CHECK(!describe(board.error()).empty());
      CHECK(board.error().line >= 1);
    }
  });
  CHECK(boards > 10);
}

TEST_CASE("damaged by chance it is a board, or none") {
  std::size_t boards = 0;
  for_each_damaged(good, 4000, [&](std::string_view text) { boards += read_toml(text) ? 1 : 0; });
  CHECK(boards > 0);
  CHECK(boards < 4000);
}

TEST_CASE("each rejection names line and field") {
  struct Case {
    std::string text;
    std::string fault;
  };
  const Case cases[] = {
      {"", "line 1, column 1: heap: it must be said"},
      {"heap = 3", "line 1, column 8: heap: a value of another type belongs there: '3'"},
      {"heap = []", "line 1, column 8: heap: it must be said: 'an array'"},
      {"heap = [1]", "line 1, column 8: heap: a value of another type belongs there: 'an array'"},
      {"[heap]\nname = \"a\"\n", "line 1, column 1: heap: a value of another type belongs there: 'a table'"},
      {"[[heap]\n", "line 1, column 8: this is not how such a text is written"},
      {heap_text("a", 1) + "size = 3\n", "line 5, column 8: this is not how such a text is written"},
      {"order = \"up\"\n" + heap_text("a", 1), "line 1, column 9: order: none of the words that may stand there: 'up'"},
      {"orders = 1\n" + heap_text("a", 1), "line 1, column 10: orders: there is no such field: '1'"},
      {"[[heap]]\nid = 1\nsize = 4096\n", "line 1, column 1: name: it must be said"},
      {"[[heap]]\nname = \"a\"\nsize = 4096\n", "line 1, column 1: heap 'a': id: it must be said"},
      {"[[heap]]\nname = \"a\"\nid = 1\n", "line 1, column 1: heap 'a': size: it must be said"},
      {heap_text("", 1), "line 2, column 8: name: a name has 1 to 31 characters, all of which can be printed"},
      {heap_text(std::string(32, 'n'), 1), "line 2, column 8: name: a name has 1 to 31 characters"},
      {heap_text("a", 64), "line 3, column 6: heap 'a': id: a number out of range: '64'"},
      {"[[heap]]\nname = \"a\"\nid = -1\nsize = 4096\n", "line 3, column 6: heap 'a': id: a number out of range: '-1'"},
      {"[[heap]]\nname = \"a\"\nid = \"x\"\nsize = 4096\n", "line 3, column 6: heap 'a': id: no number: 'x'"},
      {heap_text("a", 1, "size = 1.5"), "line 4, column 8: heap 'a': size: a value of another type belongs there"},
      {heap_text("a", 1, "size = \"64Q\""), "line 4, column 8: heap 'a': size: no number: '64Q'"},
      {heap_text("a", 1, "size = \"16777216T\""), "line 4, column 8: heap 'a': size: a number out of range"},
      {heap_text("a", 1, "size = 99999999999999999999"), "line 4, column "},
      {heap_text("a", 1, "size = 0"), "line 1: heap 'a': size: its size is 0 or no multiple of its granule"},
      {heap_text("a", 1, "size = 5000"), "line 1: heap 'a': size: its size is 0 or no multiple of its granule"},
      {heap_text("a", 1, "size = 6144\ngranule = 3072"), "line 1: heap 'a': granule: its size is 0 or no multiple of its granule"},
      {heap_text("a", 1, "size = 4096\ngranule = 0"), "line 1: heap 'a': granule: "},
      {heap_text("a", 1, "size = 4096\nalign = 12288\nbase = 4096"), "line 1: heap 'a': align: its first address is no multiple"},
      {heap_text("a", 1, "size = 4096\nalign = 3\nbase = 4096"), "line 1: heap 'a': align: its first address is no multiple"},
      {heap_text("a", 1, "size = 4096\nmemory = \"dram\""),
       "line 1: heap 'a': memory: no memory of the board has the name that it should lie in: 'dram'"},
      {"[[memory]]\nname = \"m\"\nbase = 0\nsize = 8192\n[[memory]]\nname = \"n\"\nbase = 4096\nsize = 4096\n" + heap_text("a", 1),
       "line 5: memory: it overlaps another memory ('m'): 'n'"},
      {heap_text("a", 1, "size = 4096\nbase = 0x800"), "line 1: heap 'a': base: its first address is no multiple"},
      {heap_text("a", 1, "size = 4096\nbase = 4096\nalign = 8192"), "line 1: heap 'a': base: its first address is no multiple"},
      {heap_text("a", 1, "size = 8192\nbase = \"0xffff_ffff_ffff_f000\""), "line 1: heap 'a': base: it ends behind the last address"},
      {heap_text("a", 1, "size = 4096\nreserve = 4097"), "line 5, column 11: heap 'a': reserve: larger than the heap: '4097'"},
      {heap_text("a", 1, "size = 4096\nbeside = \"b\""), "line 1: heap 'a': beside: it lies beside a heap that is not on the board"},
      {heap_text("a", 1, "size = 4096\nbeside = \"a\""), "line 1: heap 'a': beside: "},
      {heap_text("a", 1, "size = 4096\ncache = \"cold\""), "line 5, column 9: heap 'a': cache: none of the words"},
      {heap_text("a", 1, "size = 4096\ncolour = 3"), "line 5, column 10: heap 'a': colour: there is no such field: '3'"},
      {heap_text("a", 1, "size = 4096\nstrategy = 3"), "line 5, column 12: heap 'a': strategy: a value of another type"},
      {heap_text("a", 1) + heap_text("a", 2), "line 6, column 8: heap 'a': name: another has that name: 'a'"},
      {heap_text("a", 1) + heap_text("b", 1), "line 7, column 6: heap 'b': id: another has that id: '1'"},
      {heap_text("a", 1, "size = 8192\nbase = 4096") + heap_text("b", 2, "size = 4096\nbase = 8192"),
       "line 6: heap 'b': base: it overlaps ('a'): '0x2000'"},
      {heap_text("a", 1) + heap_text("b", 2, "size = 4096\nbeside = \"a\"") + heap_text("c", 3, "size = 4096\nbeside = \"a\""),
       "line 10: heap 'c': beside: another heap lies beside that one already ('a'): 'a'"},
      {"[[memory]]\nname = \"m\"\nbase = 0\n" + heap_text("a", 1), "line 1, column 1: size: it must be said"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.text);
    const std::string fault = fault_of(one.text);
    CHECK_MESSAGE(fault.compare(0, one.fault.size(), one.fault) == 0, fault);
  }
}

TEST_CASE("64 heaps and no more; at the top of the addresses") {
  std::string text;
  for (unsigned id = 0; id < 64; ++id) text += heap_text("h" + std::to_string(id), id);
  REQUIRE(read_toml(text));
  CHECK(fault_of(text + heap_text("one more", 7)).find("id: there are too many") != std::string::npos);
  CHECK(read_toml(heap_text(std::string(31, 'n'), 63, "size = 4096\nbase = \"0xffff_ffff_ffff_f000\"")));
}

TEST_CASE("other systems' tables are no matter of this reader's") {
  const auto board = read_toml("has_outer_cache = true\n" + heap_text("a", 1) +
                               "[[pmem]]\nname = \"p\"\nsize = \"8M\"\n[[ion]]\ntype = \"SYSTEM\"\nid = 30\nname = \"v\"\n");
  REQUIRE(board);
  CHECK(board->heaps.size() == 1);
  CHECK(fault_of("[[pmem]]\nname = \"p\"\nsize = \"8M\"\n") == "line 1, column 1: heap: it must be said");
}

TEST_CASE("lines end as they like, and deep nesting ends") {
  std::string text = heap_text("a", 1);
  std::string dos;
  for (const char c : text) dos += c == '\n' ? std::string("\r\n") : std::string(1, c);
  CHECK(read_toml(dos));
  CHECK(!read_toml("heap = " + std::string(100'000, '[')));
  CHECK(!read_toml(std::string("\0\0\0", 3)));
  CHECK(!read_toml("\xff\xfe"));
}
