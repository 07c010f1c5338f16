#include <freestone/heap/os/reservations.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

using namespace freestone;
using detail::Reservations;

namespace {
BoardTable board(std::uint64_t base = 0x1000) {
  return {.memory = {{.name = "a", .base = base, .size = 64_KiB}, {.name = "b", .base = 0x10'0000, .size = 1_MiB}}};
}
}  // namespace

TEST_CASE("the lowest place that is left, in the memory that the heap names") {
  const BoardTable table = board();
  Reservations reserved;
  REQUIRE(!reserved.begin(table));
  reserved.take(0x2000, 4_KiB);
  reserved.take(0x8000'0000, 4_KiB);  // in none of them
  BoardHeap first{.size = 4_KiB};
  BoardHeap second{.size = 4_KiB, .memory = "a"};
  BoardHeap aligned{.size = 4_KiB, .align = 16_KiB};
  BoardHeap other{.size = 64_KiB, .granule = 64_KiB};
  for (BoardHeap* heap : {&first, &second, &aligned, &other}) CHECK(reserved.reserve(*heap) == LayoutFault::none);
  CHECK(first.base == 0x1000);
  CHECK(second.base == 0x3000);
  CHECK(aligned.base == 0x4000);
  CHECK(other.base == 0x10'0000);
}

TEST_CASE("who gets no place has none, and takes none from others") {
  const BoardTable table = board();
  Reservations reserved;
  REQUIRE(!reserved.begin(table));
  BoardHeap large{.size = 2_MiB};
  BoardHeap lost{.size = 4_KiB, .memory = "c"};
  BoardHeap odd{.size = 4_KiB, .align = 12288};
  BoardHeap last{.size = 64_KiB, .memory = "a"};
  CHECK(reserved.reserve(large) == LayoutFault::does_not_fit);
  CHECK(reserved.reserve(lost) == LayoutFault::unknown_memory);
  CHECK(reserved.reserve(odd) == LayoutFault::misaligned);
  CHECK(!large.base);
  CHECK(reserved.reserve(last) == LayoutFault::none);
  CHECK(last.base == 0x1000);
}

TEST_CASE("0 is no place") {
  const BoardTable table = board(0);
  Reservations reserved;
  REQUIRE(!reserved.begin(table));
  BoardHeap heap{.size = 4_KiB};
  CHECK(reserved.reserve(heap) == LayoutFault::does_not_fit);
  CHECK(!heap.base);
}

TEST_CASE("without memories nothing is placed, and nothing refused; two that overlap are an error") {
  Reservations reserved;
  REQUIRE(!reserved.begin({}));
  BoardHeap heap{.size = 4_KiB, .memory = "a"};
  CHECK(reserved.reserve(heap) == LayoutFault::none);
  CHECK(!heap.base);
  const TextError error = Reservations().begin(board(0xf'8000));
  CHECK(error.layout == LayoutFault::memories_overlap);
  CHECK(error.value == "b");
  CHECK(error.other == "a");
}

TEST_CASE("what is said of a heap that got no place") {
  const auto parsed = detail::parse_toml("name = 'x'\nsize = '4M'\n align = 3\n");
  REQUIRE(parsed);
  detail::TomlFields fields(*parsed);
  fields.belong_to("x");
  const BoardHeap heap{.memory = "dram"};
  CHECK(describe(no_place(fields, heap, LayoutFault::does_not_fit)) == "line 2, column 8: heap 'x': size: it fits in no memory of the board: '4M'");
  CHECK(describe(no_place(fields, heap, LayoutFault::misaligned)).find("line 3, column 10: heap 'x': align: its first address") == 0);
  CHECK(describe(no_place(fields, heap, LayoutFault::unknown_memory)) ==
        "line 1, column 1: heap 'x': memory_type: no memory of the board has the name that it should lie in: 'dram'");
}
