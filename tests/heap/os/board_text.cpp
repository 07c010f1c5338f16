#include <freestone/heap/os/board_text.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace freestone;

TEST_CASE("every fault has its own words") {
  std::set<std::string_view> texts;
  int count = 0;
  for (int what = 0; what <= static_cast<int>(TextFault::zone); ++what, ++count) texts.insert(describe(static_cast<TextFault>(what)));
  CHECK(texts.size() == static_cast<std::size_t>(count));
  CHECK(texts.count("a fault that this version does not know") == 0);
  CHECK(describe(static_cast<TextFault>(200)) == "a fault that this version does not know");
}

TEST_CASE("an error names line, heap and field") {
  CHECK(describe(TextError{.what = TextFault::bad_number, .line = 4, .column = 8, .heap = "a", .field = "size", .value = "64Q"}) ==
        "line 4, column 8: heap 'a': size: no number: '64Q'");
  CHECK(describe(TextError{.what = TextFault::unknown_word, .field = "order", .value = "up"}) ==
        "order: none of the words that may stand there: 'up'");
  CHECK(describe(TextError{.what = TextFault::zone, .heap = "a", .field = "size", .error = {.code = ErrorCode::out_of_memory}}) ==
        "heap 'a': size: its zone cannot be made: the host has no memory for it");
  CHECK(!TextError{});
}

TEST_CASE("a fault of the layout is told of the field that has it") {
  BoardTable board;
  board.heaps = {{.name = "a", .id = 1, .size = 8192, .base = 0x1000, .line = 3}, {.name = "b", .id = 2, .size = 4096, .base = 0x2000, .line = 9}};
  const auto told = [&] {
    std::vector<const BoardHeap*> heaps;
    for (const BoardHeap& heap : board.heaps) heaps.push_back(&heap);
    const auto memories = board.memories();
    const auto specs = board.specs();
    return describe(detail::wrong(memories.empty() ? lay_out_given(specs) : lay_out(specs, memories), heaps, board.memory));
  };
  CHECK(told() == "line 9: heap 'b': base: it overlaps ('a'): '0x2000'");
  board.heaps[1].base = 0x2800;
  CHECK(told().find("heap 'b': base: its first address is no multiple") != std::string::npos);
  board.heaps[1] = {.name = "b", .id = 2, .size = 4096, .beside = "c", .line = 9};
  CHECK(told().find("line 9: heap 'b': beside: ") == 0);
  board.heaps[1] = {.name = "b", .id = 2, .size = 5000, .line = 9};
  CHECK(told().find("line 9: heap 'b': size: ") == 0);
  board.heaps = {{.name = "b", .id = 2, .size = 4096, .align = 3 << 12, .line = 9}};
  CHECK(told().find("line 9: heap 'b': align: ") == 0);
  board.heaps = {{.name = "b", .id = 2, .size = 4096, .memory = "dram", .line = 9}};
  board.memory = {{.name = "sram", .base = 0, .size = 4096}};
  CHECK(told().find("line 9: heap 'b': memory: ") == 0);
  board.heaps[0].memory = "";
  board.heaps[0].size = 8192;
  CHECK(told().find("line 9: heap 'b': size: it fits in no memory") == 0);
  board.heaps = {{.name = "b", .id = 2, .size = 6144, .granule = 3072, .line = 9}};
  CHECK(told().find("line 9: heap 'b': granule: its size is 0 or no multiple of its granule, or that is no power of two: '3K'") == 0);
  board.heaps = {{.name = "b", .id = 2, .size = 4096, .align = 3 << 12, .base = 4096, .line = 9}};
  CHECK(told().find("line 9: heap 'b': align: its first address is no multiple of its granule or alignment, or that is no power of two: '12K'") == 0);
  board.memory[0].line = 4;
  board.memory.push_back({.name = "dram", .base = 0, .size = 8192, .line = 6});
  CHECK(told() == "line 6: memory: it overlaps another memory ('sram'): 'dram'");
}

TEST_CASE("a fault of a row is told of what the heap itself says") {
  BoardTable board;
  const auto told = [&](BoardHeap first, BoardHeap second) {
    first.line = 3;
    second.line = 9;
    board.heaps = {std::move(first), std::move(second)};
    const std::vector<const BoardHeap*> heaps = {&board.heaps[0], &board.heaps[1]};
    const auto specs = board.specs();
    const auto memories = board.memories();
    return describe(detail::wrong(memories.empty() ? lay_out_given(specs) : lay_out(specs, memories), heaps, board.memory));
  };
  CHECK(told({.name = "a", .size = 4096, .base = 4096, .beside = "b"}, {.name = "b", .size = 4096, .base = 0x10000}) ==
        "line 9: heap 'b': base: it should lie side by side with another, and both have other places ('a'): '0x10000'");
  CHECK(told({.name = "a", .size = 8192, .beside = "b"}, {.name = "b", .size = 4096, .base = 4096}) ==
        "line 3: heap 'a': beside: it ends behind the last address, or would begin before the first: 'b'");
  CHECK(told({.name = "a", .size = 4096, .base = 4096, .beside = "b"}, {.name = "b", .size = 0x10000, .granule = 0x10000}) ==
        "line 9: heap 'b': granule: its first address is no multiple of its granule or alignment, or that is no power of two: '64K'");
  CHECK(told({.name = "a", .size = 4096, .memory = "x"}, {.name = "b", .size = 4096, .beside = "a", .memory = "y"}) ==
        "line 3: heap 'a': memory: it lies side by side with another, and should lie in another memory ('b'): 'x'");
  board.memory = {{.name = "m", .base = 0, .size = 1 << 20}};
  CHECK(told({.name = "a", .size = 4096, .granule = 8192}, {.name = "b", .size = 4096}).find("line 3: heap 'a': size: ") == 0);
  CHECK(told({.name = "a", .size = 4096, .align = 8192, .beside = "b"}, {.name = "b", .size = 8192, .granule = 8192}) ==
        "line 9: heap 'b': granule: its first address is no multiple of its granule or alignment, or that is no power of two: '8K'");
}

TEST_CASE("a result is a value or an error") {
  const TextResult<int> value(3);
  CHECK(value);
  CHECK(*value == 3);
  const TextResult<int> none(TextError{.what = TextFault::syntax});
  CHECK(!none);
  CHECK(none.error().what == TextFault::syntax);
}
