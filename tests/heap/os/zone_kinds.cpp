#include <freestone/heap/os/zone_kinds.hpp>

#include <doctest/doctest.h>

#include <string>

#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/heap/os/runtime_heaps.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/zone/layers/limit.hpp>

using namespace freestone;

namespace {

template <class S, class C = cache::Coherent>
using Numbers = Zone<backing::OffsetSpace, S, lock::None, C>;
using Limited = layers::Limit<Numbers<strategy::Bitmap>>;

// A kind with settings of its own.
struct LimitedKind : ZoneKind<"limited", "numbers", Limited> {
  static Result<Limited> create(const ZoneOptions& options, const BoardHeap& heap) noexcept {
    return Limited::create(options, Limited::Settings{.bytes = heap.size.value() / 2}, Bytes(heap.base.value_or(0)));
  }
};
// One that begins elsewhere than it is told.
struct StubbornKind : ZoneKind<"stubborn", "numbers", Numbers<strategy::Bitmap>> {
  static Result<Numbers<strategy::Bitmap>> create(const ZoneOptions& options, const BoardHeap&) noexcept {
    return Numbers<strategy::Bitmap>::create(options, Bytes(0x1000));
  }
};
using File = Zone<backing::MemoryFile, strategy::Bitmap, lock::Futex, cache::Coherent>;

using Own = ZoneKinds<ZoneKind<"lists", "numbers", Numbers<strategy::OrderList<strategy::Buddy, 4, 0>>>, LimitedKind, StubbornKind,
                      ZoneKind<"bitmap", "file", File>>;
using OwnHeaps = RuntimeHeaps<void, Own>;

BoardTable table(BoardHeap heap) {
  BoardTable board;
  board.heaps.push_back(std::move(heap));
  return board;
}
std::string fault_of(BoardHeap heap) {
  const auto heaps = OwnHeaps::create(table(std::move(heap)));
  return heaps ? "" : describe(heaps.error());
}

}  // namespace

TEST_CASE("a program's own kinds, by its own words") {
  auto heaps = OwnHeaps::create(table({.name = "a", .id = 1, .size = 256_KiB, .strategy = "lists"}));
  REQUIRE(heaps);
  Block room[8];
  const auto list = heaps->allocate_list({.size = 72_KiB, .contiguous = false}, room);
  REQUIRE(list);
  CHECK(list->blocks.size() == 3);

  auto limited = OwnHeaps::create(table({.name = "a", .id = 1, .size = 64_KiB, .base = 0x1000, .strategy = "limited"}));
  REQUIRE(limited);
  CHECK(limited->traits()[0].base == 0x1000);
  CHECK(limited->allocate({.size = 32_KiB}));
  CHECK(limited->allocate({.size = 4_KiB}).error().last.code == ErrorCode::over_limit);
}

TEST_CASE("which kind a heap is, or why it is none") {
  CHECK(fault_of({.name = "a", .id = 1, .size = 4096, .strategy = "best", .line = 5}) ==
        "line 5: heap 'a': strategy: none of the words that may stand there: 'best'");
  CHECK(fault_of({.name = "a", .id = 1, .size = 4096, .strategy = "lists", .backing = "stone", .line = 5}) ==
        "line 5: heap 'a': backing: none of the words that may stand there: 'stone'");
  CHECK(fault_of({.name = "a", .id = 1, .size = 4096, .strategy = "lists", .backing = "file"}) ==
        "heap 'a': strategy: this program has no zone of that strategy, backing and cache: 'lists, file'");
  CHECK(fault_of({.name = "a", .id = 1, .size = 4096, .strategy = "bitmap", .backing = "file", .cache = Cacheability::uncached}) ==
        "heap 'a': cache: this program has no zone of that strategy, backing and cache: 'uncached'");
  CHECK(fault_of({.name = "a", .id = 1, .size = 4096, .strategy = "bitmap", .backing = "file", .cache = Cacheability::cached}).empty());
  CHECK(fault_of({.name = "a", .id = 1, .size = 4096, .base = 4096, .strategy = "bitmap", .backing = "file"}) ==
        "heap 'a': base: memory of that backing begins where it likes: '0x1000'");
  CHECK(fault_of({.name = "a", .id = 1, .size = 4096, .memory = "m", .strategy = "bitmap", .backing = "file"})
            .find("memory: memory of that backing") != std::string::npos);
  CHECK(fault_of({.name = "a", .id = 1, .size = 4096, .beside = "m", .strategy = "bitmap", .backing = "file"})
            .find("beside: memory of that backing") != std::string::npos);
  CHECK(fault_of({.name = "a", .id = 1, .size = 4096, .base = 0x2000, .strategy = "stubborn"}).find("base: its zone cannot be made") !=
        std::string::npos);
}

TEST_CASE("whose memory begins where it is told") {
  static_assert(takes_base("numbers"));
  static_assert(!takes_base("memory_file"));
  static_assert(!takes_base("anonymous"));
  static_assert(takes_base("a program's own"));
  static_assert(!takes_base<Own>("file"));
  const auto beside = OwnHeaps::create({.heaps = {{.name = "f", .id = 1, .size = 4096, .backing = "file"},
                                                  {.name = "a", .id = 2, .size = 4096, .beside = "f", .strategy = "lists", .line = 4}}});
  CHECK(describe(beside.error()) == "line 4: heap 'a': beside: memory of that backing begins where it likes: 'f'");
}

TEST_CASE("numbers are seen by nobody: the text says what cache they have") {
  auto heaps = OwnHeaps::create(table({.name = "a", .id = 1, .size = 64_KiB, .strategy = "lists", .cache = Cacheability::uncached}));
  REQUIRE(heaps);
  CHECK(heaps->traits()[0].cacheability == Cacheability::uncached);
  CHECK(heaps->allocate({.size = 4096, .cacheability = Cacheability::uncached}));
  CHECK(!heaps->allocate({.size = 4096, .cacheability = Cacheability::cached}));
}
