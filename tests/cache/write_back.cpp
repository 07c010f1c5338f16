#include <freestone/cache/write_back.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;
using cache::BasicWriteBack;
using cache::HostLines;
using cache::WriteBack;

namespace {

// What is done to lines of 32 bytes, in order; 'w' is the wait.
struct Logged {
  struct Call {
    char what;
    std::uintptr_t line;
    friend bool operator==(const Call&, const Call&) = default;
  };
  static inline std::vector<Call> calls;
  static constexpr bool there_are = true;
  static std::uintptr_t size() noexcept { return 32; }
  static void clean(std::byte* line) noexcept { add('c', line); }
  static void invalidate(std::byte* line) noexcept { add('i', line); }
  static void clean_and_invalidate(std::byte* line) noexcept { add('b', line); }
  static void wait() noexcept { calls.push_back({'w', 0}); }
  static void add(char what, std::byte* line) { calls.push_back({what, reinterpret_cast<std::uintptr_t>(line)}); }
};
using Calls = std::vector<Logged::Call>;

alignas(256) std::array<std::byte, 1024> bytes{};
CacheView view(std::uint64_t from, std::uint64_t size) { return {.data = bytes.data() + from, .size = size}; }
std::uintptr_t line(std::uint64_t from) { return reinterpret_cast<std::uintptr_t>(bytes.data() + from); }

template <class Do>
Calls calls_of(Do&& act) {
  Logged::calls.clear();
  CHECK(act(BasicWriteBack<Logged>()));
  return Logged::calls;
}

}  // namespace

TEST_CASE("a range is rounded out to lines, and waited for once") {
  static_assert(CachePolicy<WriteBack> && std::is_empty_v<WriteBack> && can_maintain_list<WriteBack> &&
                can_clean_and_invalidate<WriteBack>);
  CHECK(calls_of([](auto c) { return c.clean(view(40, 60)); }) ==
        Calls{{'c', line(32)}, {'c', line(64)}, {'c', line(96)}, {'w', 0}});
  CHECK(calls_of([](auto c) { return c.invalidate(view(64, 64)); }) ==
        Calls{{'i', line(64)}, {'i', line(96)}, {'w', 0}});
  CHECK(calls_of([](auto c) { return c.clean_and_invalidate(view(95, 2)); }) ==
        Calls{{'b', line(64)}, {'b', line(96)}, {'w', 0}});
  CHECK(calls_of([](auto c) { return c.clean(view(10, 0)); }).empty());
  CHECK(calls_of([](auto c) { return c.clean(CacheView{}); }).empty());
}

TEST_CASE("lines that sorted ranges share are done once; others are all done") {
  const auto cleaned = [](std::vector<CacheView> views) { return calls_of([&](auto c) { return c.clean(views); }); };
  CHECK(cleaned({view(0, 40), view(40, 10), view(50, 30), view(128, 1)}) ==
        Calls{{'c', line(0)}, {'c', line(32)}, {'c', line(64)}, {'c', line(128)}, {'w', 0}});
  CHECK(cleaned({view(64, 32), view(0, 32)}) == Calls{{'c', line(64)}, {'c', line(0)}, {'w', 0}});  // not sorted
  CHECK(cleaned({view(0, 200), view(40, 10), view(64, 160), view(300, 1), view(300, 30)}) ==
        Calls{{'c', line(0)},   {'c', line(32)},  {'c', line(64)},  {'c', line(96)}, {'c', line(128)},
              {'c', line(160)}, {'c', line(192)}, {'c', line(288)}, {'c', line(320)}, {'w', 0}});
  CHECK(cleaned({view(64, 32), view(32, 96)}) ==
        Calls{{'c', line(64)}, {'c', line(32)}, {'c', line(64)}, {'c', line(96)}, {'w', 0}});  // nor these
  CHECK(cleaned({}).empty());
  CHECK(cleaned({view(5, 0), CacheView{}}).empty());
}

TEST_CASE("a range may end where addresses do") {
  const std::uintptr_t last = ~std::uintptr_t{31};
  const CacheView end{.data = reinterpret_cast<std::byte*>(last - 16), .size = 48};
  CHECK(calls_of([&](auto c) { return c.clean(end); }) == Calls{{'c', last - 32}, {'c', last}, {'w', 0}});
  CHECK(calls_of([&](auto c) { return c.clean(std::vector{end, end}); }) ==
        Calls{{'c', last - 32}, {'c', last}, {'w', 0}});
}

TEST_CASE("of many blocks each sixteen are waited for") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::None, BasicWriteBack<Logged>>;
  auto zone = Z::create({.name = "z", .size = 64_KiB, .granule = 16});
  REQUIRE(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 18; ++i) blocks.push_back(*zone->allocate(16));
  blocks.erase(blocks.begin());  // so that 8 and a half lines are the first sixteen
  const auto first = reinterpret_cast<std::uintptr_t>(zone->data(blocks[0]).data()) - 16;
  Logged::calls.clear();
  CHECK(zone->clean(blocks));
  Calls all;
  for (std::uintptr_t i = 0; i < 9; ++i) all.push_back({'c', first + 32 * i});
  all.insert(all.end(), {{'w', 0}, {'c', first + 32 * 8}, {'w', 0}});
  CHECK(Logged::calls == all);
}

TEST_CASE("the same on this CPU's own lines: every byte stays as it is") {
  if (!HostLines::there_are) {
    MESSAGE("a program may not touch the caches of this target");
    return;
  }
  const std::uintptr_t size = HostLines::size();
  CHECK((size >= 16 && size <= 2048 && (size & (size - 1)) == 0));
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::None, WriteBack>;
  auto zone = Z::create({.name = "z", .size = 1_MiB});
  REQUIRE(zone);
  std::array<Block, 20> blocks;
  for (Block& block : blocks) {
    block = *zone->allocate(8_KiB);
    auto written = zone->cpu_write(block);
    REQUIRE(written);
    std::fill(written->bytes().begin(), written->bytes().end(), static_cast<std::byte>(&block - blocks.data()));
    REQUIRE(written->end());
  }
  CHECK(zone->clean(blocks));
  CHECK(zone->invalidate(blocks));
  CHECK(zone->clean_and_invalidate(blocks[3]));
  for (const Block& block : blocks) {
    const auto read = zone->cpu_read(block);
    REQUIRE(read);
    for (const std::byte byte : read->bytes()) REQUIRE(byte == static_cast<std::byte>(&block - blocks.data()));
  }
}
