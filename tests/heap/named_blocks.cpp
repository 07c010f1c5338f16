// Rows are those of the checklist of MSYS's dmem.
#include <freestone/heap/named_blocks.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/scattered.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/heap/os/runtime_heaps.hpp>
#include <freestone/heap/reuse_cache.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/strategy/trimmed_buddy.hpp>
#include <freestone/zone/layers/limit.hpp>
#include "support/caches.hpp"
#include "support/effort.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using Cma = Numbers<strategy::Bitmap>;
using Plain = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;
using Name = BlockName<>;

constexpr std::uint64_t cma_base = 0x2640'0000;

Name name_of(const std::string& text) { return *Name::of(text.c_str()); }

// CMA's alignment: the order of the pages, 64 KiB at most.
Constraints cma(std::uint64_t size) {
  const unsigned order = bits::ceil_log2((size + 4095) >> 12);
  return {.size = size, .align = Bytes(std::uint64_t{4096} << std::min(order, 4U))};
}

// The text of MSYS's `dmem`.
template <class N>
std::string listing(N& names) {
  std::string text;
  char line[80];
  unsigned at = 0;
  std::uint64_t total = 0;
  names.for_each([&](const auto& kept) {
    std::snprintf(line, sizeof line, "%04u : 0x%08X@%08X [%s]\n", at++, static_cast<unsigned>(kept.length.value()),
                  static_cast<unsigned>(cma_base + kept.block.offset().value()), kept.name.c_str());
    text += line;
    total += kept.length.value();
  });
  std::snprintf(line, sizeof line, "\nTOTAL: 0x%08X\n\n", static_cast<unsigned>(total));
  return text + line;
}

// All that is seen of it, to tell whether a failed call changed something.
template <class N, class Z>
struct Seen {
  std::string text;
  std::vector<Block> blocks;
  Stats stats;

  Seen(N& names, Z& zone) : text(listing(names)), blocks(blocks_of(zone)), stats(zone.stats()) {
    names.for_each([&](const auto& kept) {
      text += std::to_string(kept.holders) + (kept.is_pinned ? "p" : "") + (kept.until == KeptUntil::released ? "r" : "");
    });
    names.for_each_pin([&](const Name& name) { text += name.c_str(); });
  }
  bool operator==(const Seen&) const = default;
};
template <class N, class Z, class Call>
ErrorCode code_unchanging(N& names, Z& zone, Call&& call) {
  const Seen before(names, zone);
  const ErrorCode code = tests::code_of(call());
  CHECK(Seen(names, zone) == before);
  return code;
}

// A compaction that gives a block back when it is asked for the `when`-th time, and a clock that is a list.
template <class Z>
struct Helper {
  Z* zone = nullptr;
  Block block = {};
  unsigned when = 1;
  unsigned stops_at = ~0U;
  std::vector<unsigned> numbers = {};
  std::vector<std::uint32_t> waits = {};
  std::string name = {};
  ErrorCode why = ErrorCode::none;
  Bytes size = {};

  static bool compact(void* context, const FailedTry& failed) noexcept {
    auto& self = *static_cast<Helper*>(context);
    self.numbers.push_back(failed.number);
    self.name = failed.name;
    self.why = failed.why.code;
    self.size = failed.wanted.size;
    if (failed.number == self.when && self.zone != nullptr) CHECK(self.zone->deallocate(self.block));
    return failed.number < self.stops_at;
  }
  static void wait(void* context, std::uint32_t milliseconds) noexcept {
    static_cast<Helper*>(context)->waits.push_back(milliseconds);
  }
  NamedSettings settings(unsigned retries) {
    return {.retries = retries, .compact = compact, .wait = wait, .context = this};
  }
};

Cma cma_area() { return *Cma::create({.name = "cma", .size = 2_MiB}, Bytes(cma_base)); }

}  // namespace

TEST_CASE("rows 14 and 16: MSYS's addresses and its list, state by state") {
  auto zone = cma_area();
  REQUIRE(zone.reserve(0, 0x48000, [](Block) {}));  // the first pages are in use
  NamedBlocks<Cma> names(zone);
  std::vector<std::string> lines;
  std::uint64_t total = 0;
  const auto check_listing = [&] {
    std::string text;
    for (std::size_t i = lines.size(); i-- != 0;) {
      char number[8];
      std::snprintf(number, sizeof number, "%04u", static_cast<unsigned>(lines.size() - 1 - i));
      text += number + lines[i];
    }
    char end[40];
    std::snprintf(end, sizeof end, "\nTOTAL: 0x%08X\n\n", static_cast<unsigned>(total));
    CHECK(listing(names) == text + end);
  };
  const auto add = [&](const char* name, std::uint64_t size, const char* line) {
    REQUIRE(names.request(name_of(name), cma(size)));
    lines.push_back(line);
    total += size;
    check_listing();
  };
  add("BDMA", 0x840, " : 0x00000840@26448000 [BDMA]\n");
  add("emac0_buff", 0x812, " : 0x00000812@26449000 [emac0_buff]\n");
  REQUIRE(zone.allocate(1)->offset() == Bytes(0x4a000));  // somebody without a name
  add("emac1_buff", 0x60812, " : 0x00060812@26450000 [emac1_buff]\n");
  add("test3", 0xFA000, " : 0x000FA000@264C0000 [test3]\n");
  add("AESDMA_ENG", 0x1000, " : 0x00001000@2644B000 [AESDMA_ENG]\n");
  add("AESDMA_ENG1", 0x1000, " : 0x00001000@2644C000 [AESDMA_ENG1]\n");
  CHECK(total == 0x15D864);
  CHECK(*names.release("test3") == ReleaseOutcome::gone);
  lines.erase(lines.begin() + 3);
  total -= 0xFA000;
  CHECK(total == 0x63864);
  check_listing();
  add("new1k", 0x400, " : 0x00000400@2644D000 [new1k]\n");
  CHECK(total == 0x63C64);
}

TEST_CASE("row 4: a new block is whole granules, its length is as asked for, and all of it is zeroed") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Modelled>;
  auto zone = Z::create({.size = 64_KiB});
  REQUIRE(zone);
  {
    const auto dirty = zone->allocate(64_KiB);
    for (std::byte& byte : zone->data(*dirty)) byte = std::byte{0xee};
    REQUIRE(zone->clean(*dirty));
    REQUIRE(zone->deallocate(*dirty));
  }
  NamedBlocks<Z> names(*zone);
  const auto got = names.request("BDMA", 0x840);
  REQUIRE(got);
  CHECK(got->is_fresh);
  CHECK(got->length == 0x840);
  CHECK(got->block.size() == 4_KiB);
  CHECK(got->heap == most_heaps);
  const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
  const auto bytes = zone->data(got->block);
  CHECK(std::all_of(bytes.begin(), bytes.end(), is_zero));
  std::vector<std::byte> device(4096, std::byte{1});
  zone->cache().device_read(got->block.offset(), device);
  CHECK(std::all_of(device.begin(), device.end(), is_zero));
  CHECK(zone->data(*zone->allocate(1))[0] == std::byte{0xee});  // nobody else's
}

TEST_CASE("a new block is as it was found, where that was chosen") {
  auto zone = Plain::create({.size = 8_KiB});
  zone->data(*zone->allocate(1))[0] = std::byte{7};
  REQUIRE(zone->deallocate_at(0));
  NamedBlocks<Plain, lock::None, 4, Fresh::as_found> names(*zone);
  CHECK(zone->data(names.request("a", 1)->block)[0] == std::byte{7});
}

TEST_CASE("rows 5 and 22: the same name again is the same block, its contents, its length, and no line more") {
  auto zone = Plain::create({.size = 64_KiB});
  NamedBlocks<Plain> names(*zone);
  const auto first = names.request("emac1_buff", 0x812);
  REQUIRE(first);
  zone->data(first->block)[5] = std::byte{42};
  REQUIRE(names.request("other", 1));
  for (const std::uint64_t size : {0x812U, 1U}) {
    const auto again = names.request("emac1_buff", size);
    REQUIRE(again);
    CHECK(!again->is_fresh);
    CHECK(!again->replaced);
    CHECK(again->block == first->block);
    CHECK(again->length == 0x812);
    CHECK(zone->data(again->block)[5] == std::byte{42});
  }
  CHECK(names.find("emac1_buff")->holders == 3);
  unsigned lines = 0;
  names.for_each([&](const auto& kept) { CHECK(kept.name == (lines++ == 0 ? Name("other") : Name("emac1_buff"))); });
  CHECK(lines == 2);
}

TEST_CASE("row 7: whole names are compared, in either order") {
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone);
  const auto eng = names.request("AESDMA_ENG", 0x1000);
  const auto eng1 = names.request("AESDMA_ENG1", 0x1000);
  CHECK(eng->block != eng1->block);
  CHECK(names.request("AESDMA_ENG", 0x1000)->block == eng->block);
  CHECK(*names.release("AESDMA_ENG") == ReleaseOutcome::held);
  CHECK(*names.release("AESDMA_ENG") == ReleaseOutcome::gone);
  CHECK(names.find("AESDMA_ENG1")->block == eng1->block);
  CHECK(tests::code_of(names.release("AESDMA_ENG")) == ErrorCode::unknown_name);
  const auto longer = names.request("BDMA2", 1);
  CHECK(names.request("BDMA", 1)->block != longer->block);
  CHECK(!names.find("B"));
  REQUIRE(names.pin("AESDMA"));
  CHECK(!names.find("AESDMA_ENG1")->is_pinned);
  CHECK(*names.release("AESDMA_ENG1") == ReleaseOutcome::gone);
  CHECK(!names.unpin("AES"));
  CHECK(names.unpin("AESDMA"));
}

TEST_CASE("row 6: the empty name is nobody's") {
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone);
  REQUIRE(names.request("a", 1));
  CHECK(code_unchanging(names, zone, [&] { return names.request(Name(), 1); }) == ErrorCode::bad_name);
  CHECK(code_unchanging(names, zone, [&] { return names.release(Name()); }) == ErrorCode::unknown_name);
  CHECK(code_unchanging(names, zone, [&] { return names.pin(Name()); }) == ErrorCode::bad_name);
  CHECK(!names.find(Name()));
}

TEST_CASE("row 21: nobody gets a short block; row 8: with realloc a block of another length takes its place") {
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone, {.retries = 0});
  const auto old = names.request("test", 0x1000);
  REQUIRE(old);
  SUBCASE("refused") {
    const auto got = names.request("test", 0x1001);
    REQUIRE(!got);
    CHECK(got.error() == Error{.code = ErrorCode::kept_unfit, .asked = 0x1001, .available = 0x1000, .zone = "cma"});
    CHECK(code_unchanging(names, zone, [&] { return names.request("test", 8_KiB); }) == ErrorCode::kept_unfit);
    CHECK(names.request("test", 0x800)->block == old->block);
  }
  SUBCASE("kept, however short") {
    names.change_settings([](NamedSettings& settings) { settings.kept = KeptPolicy::keep; });
    const auto got = names.request("test", 1_MiB);
    CHECK(got->block == old->block);
    CHECK(got->length == 0x1000);
    CHECK(tests::code_of(names.request("test", 3_MiB)) == ErrorCode::size_beyond_zone);
    CHECK(tests::code_of(names.request("test", 0)) == ErrorCode::zero_size);
  }
  SUBCASE("reallocated, and nobody held the old one: it goes back") {
    names.change_settings([](NamedSettings& settings) { settings.kept = KeptPolicy::reallocate; });
    REQUIRE(names.request("test", 0x1000, KeptUntil::released)->block == old->block);
    CHECK(*names.leave(old->block) == ReleaseOutcome::held);
    CHECK(*names.leave(old->block) == ReleaseOutcome::kept);
    for (const std::uint64_t size : {0x2000U, 0x10U}) {
      const Block before = names.find("test")->block;
      const auto got = names.request("test", size, KeptUntil::released);
      REQUIRE(got);
      CHECK(got->is_fresh);
      CHECK(got->length == size);
      CHECK(got->block != before);
      CHECK(got->replaced == before);
      CHECK(zone.stats().blocks == 1);
      CHECK(*names.leave(got->block) == ReleaseOutcome::kept);
    }
    CHECK(!names.request("test", 0x10)->is_fresh);
  }
  SUBCASE("reallocated while it is held: it has no name more, and lives until its holders are through") {
    names.change_settings([](NamedSettings& settings) { settings.kept = KeptPolicy::reallocate; });
    REQUIRE(names.request("test", 0x1000));
    const auto got = names.request("test", 0x3000);
    REQUIRE(got);
    CHECK(got->replaced == old->block);
    CHECK(zone.owns(old->block));
    CHECK(names.find(old->block)->name.is_empty());
    CHECK(names.name_of(old->block)->is_empty());
    CHECK(names.find("test")->block == got->block);
    CHECK(*names.release("test") == ReleaseOutcome::gone);
    CHECK(*names.release(old->block) == ReleaseOutcome::held);
    CHECK(*names.leave(old->block) == ReleaseOutcome::gone);
    CHECK(zone.stats().blocks == 0);
  }
  SUBCASE("a failure keeps the old one") {
    names.change_settings([](NamedSettings& settings) { settings.kept = KeptPolicy::reallocate; });
    CHECK(code_unchanging(names, zone, [&] { return names.request("test", 2_MiB); }) == ErrorCode::no_space);
    CHECK(names.request("test", 0x1000)->block == old->block);
  }
  SUBCASE("what is pinned is not replaced") {
    names.change_settings([](NamedSettings& settings) { settings.kept = KeptPolicy::reallocate; });
    REQUIRE(names.pin("test"));
    CHECK(code_unchanging(names, zone, [&] { return names.request("test", 8_KiB); }) == ErrorCode::kept_unfit);
    CHECK(names.request("test", 0x800)->block == old->block);
  }
}

TEST_CASE("a kept block that lies where it must not, by the constraints of who asks again") {
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone);
  REQUIRE(names.request("first", 4_KiB));
  const auto second = names.request("second", 8_KiB);
  CHECK(second->block.offset() == 4_KiB);
  const auto asks = [&](Constraints wanted) {
    wanted.size = 4_KiB;
    return code_unchanging(names, zone, [&] {
      const auto got = names.request("second", wanted);
      if (got) CHECK(names.release("second"));
      return got;
    });
  };
  CHECK(asks({.align = 4_KiB}) == ErrorCode::none);
  CHECK(asks({.align = 8_KiB}) == ErrorCode::kept_unfit);
  CHECK(asks({.align = 3}) == ErrorCode::kept_unfit);
  CHECK(asks({.bounds = {.last = cma_base + 0x2fff}}) == ErrorCode::none);
  CHECK(asks({.bounds = {.last = cma_base + 0x2ffe}}) == ErrorCode::kept_unfit);
  CHECK(asks({.bounds = {.boundary = 8_KiB}}) == ErrorCode::kept_unfit);
  CHECK(asks({.bounds = {.boundary = 16_KiB}}) == ErrorCode::none);
  CHECK(asks({.bounds = {.boundary = 12_KiB}}) == ErrorCode::kept_unfit);
  CHECK(asks({.cacheability = Cacheability::uncached}) == ErrorCode::kept_unfit);
  CHECK(asks({.exportable = true}) == ErrorCode::kept_unfit);
  CHECK(code_unchanging(names, zone, [&] { return names.request("new", {.size = 1, .exportable = true}); }) ==
        ErrorCode::never_satisfied);
  names.change_settings([](NamedSettings& settings) { settings.kept = KeptPolicy::reallocate; });
  const auto moved = names.request("second", {.size = 8_KiB, .align = 8_KiB});
  CHECK(moved->replaced == second->block);
  CHECK(moved->block.offset() == 16_KiB);
}

TEST_CASE("row 9: retries with a compaction and a clock") {
  auto zone = cma_area();
  Helper<Cma> helper{.zone = &zone, .block = *zone.allocate(2_MiB)};
  SUBCASE("the third helps") {
    helper.when = 3;
    NamedBlocks<Cma> names(zone, helper.settings(16));
    const auto got = names.request("late", 0x1234);
    REQUIRE(got);
    CHECK(got->retries == 3);
    CHECK(got->is_fresh);
    CHECK(helper.numbers == std::vector<unsigned>{1, 2, 3});
    CHECK(helper.waits == std::vector<std::uint32_t>{1000, 1000, 1000});
    CHECK(helper.name == "late");
    CHECK(helper.why == ErrorCode::no_space);
    CHECK(helper.size == 0x1234);
  }
  SUBCASE("none helps") {
    helper.when = 0;
    NamedBlocks<Cma> names(zone, helper.settings(16));
    CHECK(code_unchanging(names, zone, [&] { return names.request("never", 1); }) == ErrorCode::no_space);
    CHECK(helper.numbers.size() == 16);
    CHECK(helper.waits.size() == 16);
  }
  SUBCASE("one try") {
    NamedBlocks<Cma> names(zone, helper.settings(0));
    CHECK(code_unchanging(names, zone, [&] { return names.request("once", 1); }) == ErrorCode::no_space);
    CHECK(helper.numbers.empty());
    CHECK(helper.waits.empty());
  }
  SUBCASE("the compaction gives up") {
    helper.when = 0;
    helper.stops_at = 2;
    NamedBlocks<Cma> names(zone, helper.settings(16));
    CHECK(tests::code_of(names.request("never", 1)) == ErrorCode::no_space);
    CHECK(helper.numbers.size() == 2);
    CHECK(helper.waits.size() == 1);
  }
  SUBCASE("a clock alone, and nothing at all") {
    NamedBlocks<Cma> names(zone, {.retries = 5, .delay = 7, .wait = Helper<Cma>::wait, .context = &helper});
    CHECK(tests::code_of(names.request("never", 1)) == ErrorCode::no_space);
    CHECK(helper.waits == std::vector<std::uint32_t>(5, 7));
    names.change_settings([](NamedSettings& settings) { settings = {}; });
    CHECK(tests::code_of(names.request("never", 1)) == ErrorCode::no_space);
  }
  SUBCASE("a replacement retries too, and the old one stays until then") {
    CHECK(zone.deallocate(helper.block));
    NamedBlocks<Cma> names(zone, helper.settings(4));
    names.change_settings([](NamedSettings& settings) { settings.kept = KeptPolicy::reallocate; });
    const auto old = names.request("it", 1_MiB);
    helper.block = *zone.allocate(1_MiB);
    helper.when = 2;
    const auto got = names.request("it", 4_KiB);
    REQUIRE(got);
    CHECK(got->retries == 2);
    CHECK(got->replaced == old->block);
  }
}

TEST_CASE("row 10: what the compaction does with the table itself") {
  struct Freeing {
    NamedBlocks<Cma>* names;
    static bool free(void* context, const FailedTry&) noexcept {
      auto& names = *static_cast<Freeing*>(context)->names;
      unsigned lines = 0;
      names.for_each([&](const auto&) { ++lines; });
      CHECK(lines == 1);
      CHECK(*names.release("large") == ReleaseOutcome::gone);
      CHECK(names.request("small", 4_KiB));
      return true;
    }
  } freeing{};
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone, {.retries = 1, .compact = Freeing::free, .context = &freeing});
  freeing.names = &names;
  REQUIRE(names.request("large", 2_MiB));
  REQUIRE(names.request("other", 1_MiB));
  CHECK(names.find("small"));
  CHECK(!names.find("large"));
}

TEST_CASE("row 9: a name that another made while this one waited is given as it is") {
  struct Making {
    NamedBlocks<Cma>* names;
    Cma* zone;
    static bool make(void* context, const FailedTry& failed) noexcept {
      auto& self = *static_cast<Making*>(context);
      CHECK(failed.wanted.size == 8_KiB);
      CHECK(self.zone->deallocate_at(0));
      CHECK(self.names->request("it", 16_KiB)->is_fresh);
      CHECK(self.zone->allocate(2_MiB - 16_KiB));
      return true;
    }
  } making{};
  auto zone = cma_area();
  REQUIRE(zone.allocate(2_MiB));
  NamedBlocks<Cma> names(zone, {.retries = 1, .compact = Making::make, .context = &making});
  making.names = &names;
  making.zone = &zone;
  const auto got = names.request("it", 8_KiB);
  REQUIRE(got);
  CHECK(!got->is_fresh);
  CHECK(got->length == 16_KiB);
  CHECK(got->retries == 1);
}

TEST_CASE("row 11: a release by name, by the block where the name misses, or of nothing") {
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone);
  const auto a = names.request("a", 1);
  const auto b = names.request("b", 8_KiB);
  CHECK(*names.release("a") == ReleaseOutcome::gone);
  CHECK(!zone.owns(a->block));
  CHECK(code_unchanging(names, zone, [&] { return names.release("a"); }) == ErrorCode::unknown_name);
  CHECK(code_unchanging(names, zone, [&] { return names.release(a->block); }) == ErrorCode::unknown_name);
  CHECK(code_unchanging(names, zone, [&] { return names.leave(Block()); }) == ErrorCode::unknown_name);
  const Block inner(b->block.offset() + 4096, 4_KiB, b->block.zone_tag());
  CHECK(code_unchanging(names, zone, [&] { return names.release(inner); }) == ErrorCode::unknown_name);
  CHECK(*names.release(b->block) == ReleaseOutcome::gone);
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("row 12: what is pinned stays, while pins hold; to pin needs no block") {
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone);
  REQUIRE(names.pin("a"));
  REQUIRE(names.pin("a"));
  REQUIRE(names.request("a", 1));
  REQUIRE(names.request("a", 1));
  CHECK(names.find("a")->is_pinned);
  CHECK(*names.release("a") == ReleaseOutcome::held);
  SUBCASE("until it is unpinned") {
    CHECK(*names.release("a") == ReleaseOutcome::pinned);
    CHECK(*names.release("a") == ReleaseOutcome::pinned);
    CHECK(*names.leave(names.find("a")->block) == ReleaseOutcome::pinned);
    CHECK(names.unpin("a"));
    CHECK(!names.unpin("a"));
    CHECK(names.find("a")->holders == 0);
    CHECK(*names.release("a") == ReleaseOutcome::gone);
  }
  SUBCASE("until pins do not hold") {
    CHECK(*names.release("a") == ReleaseOutcome::pinned);
    names.change_settings([](NamedSettings& settings) { settings.pins_hold = false; });
    CHECK(!names.find("a")->is_pinned);
    CHECK(*names.release("a") == ReleaseOutcome::gone);
    names.change_settings([](NamedSettings& settings) { settings.pins_hold = true; });
    REQUIRE(names.request("a", 1));
    CHECK(*names.release("a") == ReleaseOutcome::pinned);
  }
  SUBCASE("newest first, and whoever holds again") {
    REQUIRE(names.pin("b"));
    std::string pins;
    names.for_each_pin([&](const Name& name) { pins += name.c_str(); });
    CHECK(pins == "ba");
    CHECK(*names.release("a") == ReleaseOutcome::pinned);
    CHECK(!names.request("a", 1)->is_fresh);
    CHECK(names.find("a")->holders == 1);
  }
}

TEST_CASE("row 18: the last holder gives it back, or who releases what is kept until then") {
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone);
  const auto a = names.request("a", 1);
  REQUIRE(names.request("a", 1));
  CHECK(*names.leave(a->block) == ReleaseOutcome::held);
  CHECK(*names.leave(a->block) == ReleaseOutcome::gone);
  const auto b = names.request("b", 1, KeptUntil::released);
  REQUIRE(names.request("b", 1));
  CHECK(*names.leave(b->block) == ReleaseOutcome::held);
  CHECK(*names.leave(b->block) == ReleaseOutcome::kept);
  CHECK(*names.leave(b->block) == ReleaseOutcome::kept);
  CHECK(names.request("b", 1)->block == b->block);
  CHECK(*names.release("b") == ReleaseOutcome::gone);
  CHECK(names.request("b", 1)->is_fresh);
  REQUIRE(names.request("b", 1, KeptUntil::released));  // it is said later
  CHECK(*names.release("b") == ReleaseOutcome::held);
  CHECK(*names.leave(names.find("b")->block) == ReleaseOutcome::kept);
  CHECK(*names.release("b") == ReleaseOutcome::gone);
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("row 20: what never comes is refused at once") {
  auto zone = cma_area();
  Helper<Cma> helper;
  NamedBlocks<Cma> names(zone, helper.settings(16));
  REQUIRE(names.request("kept", 1));
  const auto asks = [&](const Constraints& wanted) {
    return code_unchanging(names, zone, [&] { return names.request("new", wanted); });
  };
  CHECK(asks({.size = 0}) == ErrorCode::zero_size);
  CHECK(asks({.size = 2_MiB + 1}) == ErrorCode::size_beyond_zone);
  CHECK(asks({.size = ~std::uint64_t{0}}) == ErrorCode::size_beyond_zone);
  CHECK(asks({.size = 0xFFFF'F001}) == ErrorCode::size_beyond_zone);
  CHECK(asks({.size = -1}) == ErrorCode::size_beyond_zone);
  CHECK(asks({.size = 1, .align = 3}) == ErrorCode::alignment_not_power_of_two);
  CHECK(asks({.size = 1, .align = 4_MiB}) == ErrorCode::alignment_beyond_zone);
  CHECK(asks({.size = 8_KiB, .bounds = {.boundary = 4_KiB}}) == ErrorCode::size_beyond_boundary);
  CHECK(asks({.size = 1, .bounds = {.last = 5}}) == ErrorCode::zone_beyond_limit);
  CHECK(code_unchanging(names, zone, [&] { return names.request("kept", 0); }) == ErrorCode::zero_size);
  CHECK(helper.numbers.empty());
  CHECK(helper.waits.empty());
}

TEST_CASE("row 13: looked up by its name, by the block, by a byte of it") {
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone);
  REQUIRE(names.request("a", 0x1000));
  const auto b = names.request("b", 0x1812, KeptUntil::released);
  CHECK(!names.find("c"));
  const auto found = names.find("b");
  REQUIRE(found);
  CHECK(found->name == Name("b"));
  CHECK(found->block == b->block);
  CHECK(found->length == 0x1812);
  CHECK(found->until == KeptUntil::released);
  CHECK(*names.name_of(b->block) == Name("b"));
  CHECK(!names.name_of(Block()));
  CHECK(names.find_containing(0x1000)->name == Name("b"));
  CHECK(names.find_containing(0x2811)->name == Name("b"));
  CHECK(!names.find_containing(0x2812));  // the block is longer, but nobody asked for it
  CHECK(names.find_containing(0xfff)->name == Name("a"));
  CHECK(names.find_containing(zone.tag(), 0)->name == Name("a"));
  CHECK(!names.find_containing(zone.tag() + 1, 0));
  CHECK(!names.find_containing(~std::uint64_t{0}));
}

TEST_CASE("the tables end, and say so") {
  auto zone = cma_area();
  NamedBlocks<Cma, lock::None, 2> names(zone, {.kept = KeptPolicy::reallocate});
  REQUIRE(names.request("a", 1));
  REQUIRE(names.request("b", 1));
  CHECK(code_unchanging(names, zone, [&] { return names.request("c", 1); }) == ErrorCode::too_many_names);
  CHECK(code_unchanging(names, zone, [&] { return names.request("b", 2); }) == ErrorCode::too_many_names);
  CHECK(names.request("b", 1));
  REQUIRE(names.pin("x"));
  REQUIRE(names.pin("y"));
  CHECK(code_unchanging(names, zone, [&] { return names.pin("z"); }) == ErrorCode::too_many_names);
  CHECK(names.pin("y"));
  CHECK(names.unpin("x"));
  CHECK(names.pin("z"));
  CHECK(*names.release("a") == ReleaseOutcome::gone);
  CHECK(names.request("c", 1));
  CHECK(names.unpin("y"));
  REQUIRE(names.pin("b"));
  CHECK(*names.release("b") == ReleaseOutcome::held);
  CHECK(*names.release("b") == ReleaseOutcome::pinned);
  CHECK(names.unpin("b"));  // nobody holds it: it would go for the new one, which takes a place beside it all the same
  CHECK(code_unchanging(names, zone, [&] { return names.request("b", 2); }) == ErrorCode::too_many_names);
}

TEST_CASE("a block that went back behind the table's back is out of it") {
  auto zone = cma_area();
  NamedBlocks<Cma> names(zone);
  const auto a = names.request("a", 1);
  CHECK(zone.deallocate(a->block));
  CHECK(tests::code_of(names.release("a")) == ErrorCode::double_release);
  CHECK(!names.find("a"));
  CHECK(names.request("a", 1)->is_fresh);
}

namespace {

// A policy whose clean fails, or waits, when it is told to.
struct Told : MinimalCache {
  static inline std::atomic<bool> fails = false;
  static inline std::atomic<bool> waits = false;
  static inline std::atomic<bool> is_inside = false;

  Result<void> clean(const CacheView&) noexcept {
    is_inside = true;
    while (waits) std::this_thread::yield();
    return fails ? Result<void>(ErrorCode::os_failure) : Result<void>();
  }
};

}  // namespace

TEST_CASE("a block that cannot be zeroed is not granted, and what it should have replaced stays") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::None, Told>;
  auto zone = Z::create({.size = 64_KiB});
  NamedBlocks<Z> names(*zone, {.kept = KeptPolicy::reallocate});
  REQUIRE(names.request("a", 4_KiB));
  Told::fails = true;
  CHECK(code_unchanging(names, *zone, [&] { return names.request("b", 4_KiB); }) == ErrorCode::os_failure);
  CHECK(code_unchanging(names, *zone, [&] { return names.request("a", 8_KiB); }) == ErrorCode::os_failure);
  CHECK(!names.request("a", 4_KiB)->is_fresh);
  Told::fails = false;
  CHECK(names.request("b", 4_KiB)->is_fresh);
  if (accesses_are_checked) {
    const auto stale = zone->cpu_read(*zone->allocate(4_KiB));
    REQUIRE(stale);
    CHECK(zone->deallocate_at<false>(8_KiB));  // as a unit that checks nothing would
    CHECK(tests::code_of(names.request("c", 1)) == ErrorCode::access_open);  // and the place is live while it is open
  }
}

TEST_CASE("a block that neither can be zeroed nor goes back is out of the table as soon as it can go back") {
  if (!accesses_are_checked) return;
  auto zone = Plain::create({.size = 64_KiB});
  NamedBlocks<Plain, lock::None, 1> names(*zone);
  {
    const auto stale = zone->cpu_read(*zone->allocate(4_KiB));
    REQUIRE(stale);
    CHECK(zone->deallocate_at<false>(0));  // as a unit that checks nothing would
    CHECK(tests::code_of(names.request("a", 1)) == ErrorCode::access_open);
    CHECK(!names.find("a"));
    names.for_each([&](const auto& kept) {
      CHECK(kept.name.is_empty());
      CHECK(kept.holders == 0);
      CHECK(zone->owns(kept.block));
    });
    CHECK(code_unchanging(names, *zone, [&] { return names.request("a", 1); }) == ErrorCode::too_many_names);
  }
  CHECK(names.request("a", 1)->is_fresh);
  CHECK(zone->stats().blocks == 1);
  CHECK(*names.release("a") == ReleaseOutcome::gone);
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("a name that is pinned while a new block is zeroed for it keeps its block") {
  struct Hooked : Plain {  // what its bracket calls is what another thread would do then
    using Plain::Plain;
    explicit Hooked(Plain&& zone) : Plain(std::move(zone)) {}
    auto cpu_write(const Block& block) noexcept {
      if (names != nullptr) CHECK(names->pin("a"));
      return Plain::cpu_write(block);
    }
    NamedBlocks<Hooked>* names = nullptr;
  } zone(*Plain::create({.size = 64_KiB}));
  NamedBlocks<Hooked> names(zone, {.kept = KeptPolicy::reallocate});
  const auto old = names.request("a", 4_KiB, KeptUntil::released);
  REQUIRE(old);
  bool is_held = true;
  SUBCASE("while it is held") {}
  SUBCASE("while nobody holds it") {
    is_held = false;
    CHECK(*names.leave(old->block) == ReleaseOutcome::kept);
  }
  zone.names = &names;
  const auto longer = names.request("a", 8_KiB);
  REQUIRE(!longer);
  CHECK(longer.error().code == ErrorCode::kept_unfit);
  CHECK(longer.error().available == 4_KiB);
  CHECK(zone.owns(old->block));
  CHECK(zone.stats().blocks == 1);
  CHECK(names.find("a")->block == old->block);
  CHECK(names.find("a")->holders == is_held);
  CHECK(names.unpin("a"));
  const auto shorter = names.request("a", 1);  // which the old one is long enough for
  REQUIRE(shorter);
  CHECK(!shorter->is_fresh);
  CHECK(!shorter->replaced);
  CHECK(shorter->block == old->block);
  CHECK(zone.stats().blocks == 1);
}

// --- What Z calls while it is asked for a block ---

namespace {

using Spinning = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, cache::Coherent>;
using Limited = layers::Limit<Spinning>;

}  // namespace

TEST_CASE_TEMPLATE("a limit's retry may call the table", L, lock::None, lock::Spin, lock::Mutex) {
  using Names = NamedBlocks<Limited, L, 3>;
  auto zone = Limited::create({.size = 64_KiB}, {.bytes = 8_KiB});
  REQUIRE(zone);
  Names names(*zone);
  REQUIRE(names.request("old", 4_KiB));
  REQUIRE(names.request("other", 4_KiB));
  const auto retry = [](void* context, const Request& request, const Error& why) noexcept {
    auto& table = *static_cast<Names*>(context);
    CHECK(request.size == 5000);
    CHECK(why.code == ErrorCode::over_limit);
    CHECK(!table.find("new"));
    CHECK(tests::code_of(table.release("new")) == ErrorCode::unknown_name);
    CHECK(!table.request("other", 4_KiB)->is_fresh);
    CHECK(*table.release("other") == ReleaseOutcome::held);
    CHECK(*table.release("old") == ReleaseOutcome::gone);
    CHECK(*table.release("other") == ReleaseOutcome::gone);
    const auto small = table.request("old", 1);
    CHECK(small->is_fresh);
    CHECK(table.request("third", 1)->is_fresh);
    CHECK(tests::code_of(table.request("fourth", 1)) == ErrorCode::too_many_names);  // one place is that of "new"
    CHECK(*table.release(small->block) == ReleaseOutcome::gone);
    CHECK(*table.release("third") == ReleaseOutcome::gone);
    return true;
  };
  zone->set_retry([](void*, const Request&, const Error&) noexcept { return false; });
  CHECK(code_unchanging(names, *zone, [&] { return names.request("new", 5000); }) == ErrorCode::over_limit);
  struct Once {
    static bool first(void* context, const Request& request, const Error& why) noexcept {
      auto& [table, limited, next] = *static_cast<std::tuple<Names*, Limited*, decltype(retry)*>*>(context);
      limited->set_retry(nullptr);
      return (*next)(table, request, why);
    }
  };
  std::tuple<Names*, Limited*, decltype(retry)*> context(&names, &*zone, &retry);
  zone->set_retry(Once::first, &context);
  const auto got = names.request("new", 5000);
  REQUIRE(got);
  CHECK(got->is_fresh);
  CHECK(got->retries == 0);
  unsigned lines = 0;
  names.for_each([&](const auto& kept) {
    CHECK(kept.name == Name("new"));
    CHECK(kept.block == got->block);
    ++lines;
  });
  CHECK(lines == 1);
  CHECK(zone->stats().blocks == 1);
}

TEST_CASE("a retry that asks for more than the table has places, or for the very name: refused, and nothing is lost") {
  using Names = NamedBlocks<Limited, lock::None, 1>;
  auto zone = Limited::create({.size = 64_KiB}, {.bytes = 8_KiB});
  struct Asking {
    Names* names;
    Limited* zone;
    Block block;
    unsigned asked = 0;
    static bool retry(void* context, const Request&, const Error&) noexcept {
      auto& self = *static_cast<Asking*>(context);
      ++self.asked;
      CHECK(self.zone->deallocate(self.block));
      CHECK(tests::code_of(self.names->request("b", 4_KiB)) == ErrorCode::too_many_names);
      CHECK(tests::code_of(self.names->request("a", 4_KiB)) == ErrorCode::in_use);
      return true;
    }
  };
  Names names(*zone);
  Asking asking{&names, &*zone, *zone->allocate(8_KiB)};
  zone->set_retry(Asking::retry, &asking);
  const auto got = names.request("a", 4_KiB);
  REQUIRE(got);
  CHECK(asking.asked == 1);
  CHECK(names.find("a")->block == got->block);
  unsigned lines = 0;
  names.for_each([&](const auto&) { ++lines; });
  CHECK(lines == 1);
  CHECK(*names.release("a") == ReleaseOutcome::gone);
  CHECK(names.request("b", 4_KiB)->is_fresh);
}

TEST_CASE("over a ZoneRef, a layer, a zone that keeps books only, and a file") {
  SUBCASE("a reference") {
    auto zone = cma_area();
    ZoneRef ref(zone);
    NamedBlocks<ZoneRef, lock::None, 4, Fresh::as_found> names(ref);
    const auto got = names.request("a", {.size = 4_KiB, .align = 64_KiB});
    CHECK(names.find_containing(17)->block == got->block);
    CHECK(tests::code_of(names.request("b", {.size = 4_KiB, .exportable = true})) == ErrorCode::never_satisfied);
    CHECK(!names.request("a", {.size = 1, .align = 64_KiB})->is_fresh);
    CHECK(*names.release("a") == ReleaseOutcome::held);
    CHECK(tests::code_of(names.request("b", 3_MiB)) == ErrorCode::size_beyond_zone);
    CHECK(*names.release("a") == ReleaseOutcome::gone);
    CHECK(zone.stats().blocks == 0);
  }
  SUBCASE("a layer: its limit may change, so it is tried again") {
    using Limited = layers::Limit<Cma>;
    auto zone = Limited::create({.size = 64_KiB}, {.bytes = 8_KiB});
    Helper<Limited> helper{.zone = &*zone, .block = *zone->allocate(8_KiB)};
    NamedBlocks<Limited> names(*zone, helper.settings(2));
    CHECK(names.request("a", 4_KiB)->retries == 1);
    CHECK(helper.why == ErrorCode::over_limit);
  }
  SUBCASE("books") {
    using System = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
    auto zone = System::create({.size = 64_KiB});
    NamedBlocks<System> names(*zone);
    const auto got = names.request("a", 10);
    REQUIRE(got);
    CHECK(zone->data(got->block)[9] == std::byte{0});
    CHECK(*names.release("a") == ReleaseOutcome::gone);
  }
  SUBCASE("a file can be handed on") {
    using File = Zone<backing::MemoryFile, strategy::BestFit, lock::Spin, cache::Coherent>;
    auto zone = File::create({.name = "file", .size = 64_KiB});
    NamedBlocks<File, lock::Mutex> names(*zone);
    CHECK(names.request("a", {.size = 1, .exportable = true})->is_fresh);
    CHECK(!names.request("a", {.size = 1, .exportable = true})->is_fresh);
  }
}

TEST_CASE("over a ReuseCache: what the last holder releases is kept there for the next name") {
  using Cache = ReuseCache<Plain, BlockSizes<4096, 8192>, 4>;
  auto zone = Plain::create({.size = 64_KiB});
  Cache cache(*zone);
  NamedBlocks<Cache> names(cache);
  const auto a = names.request("a", 4_KiB);
  REQUIRE(a);
  zone->data(a->block)[5] = std::byte{7};
  CHECK(*names.release("a") == ReleaseOutcome::gone);
  CHECK(cache.kept().blocks == 1);
  CHECK(zone->stats().blocks == 1);
  const auto b = names.request("b", 3000);
  REQUIRE(b);
  CHECK(b->is_fresh);
  CHECK(b->block == a->block);
  CHECK(zone->data(b->block)[5] == std::byte{0});
  CHECK(cache.kept().blocks == 0);
  CHECK(tests::code_of(cache.deallocate(a->block)) == ErrorCode::none);  // behind the table's back
  CHECK(tests::code_of(names.release("b")) == ErrorCode::double_release);
  CHECK(!names.find("b"));
  CHECK(names.request("c", {.size = 4_KiB, .bounds = {.last = 0xffff}}));
  CHECK(tests::code_of(names.request("d", {.size = 4_KiB, .exportable = true})) == ErrorCode::never_satisfied);
  CHECK(names.request("e", 60_KiB - 8192)->is_fresh);  // what is kept goes for it
  CHECK(tests::code_of(names.request("f", 128_KiB)) == ErrorCode::size_beyond_zone);
  SUBCASE("behind a ZoneRef, and over one") {
    ZoneRef of_cache(cache);
    NamedBlocks<ZoneRef, lock::None, 4, Fresh::as_found> more(of_cache);
    CHECK(more.request("a", 4_KiB)->is_fresh);
    ZoneRef of_zone(*zone);
    using OverRef = ReuseCache<ZoneRef, BlockSizes<4096>, 4, scrub::Nothing>;
    OverRef over(of_zone);
    NamedBlocks<OverRef, lock::None, 4, Fresh::as_found> most(over);
    CHECK(*more.release("a") == ReleaseOutcome::gone);
    CHECK(cache.shrink(1_MiB) == 4_KiB);
    CHECK(most.request("a", 4_KiB)->is_fresh);
    CHECK(*most.release("a") == ReleaseOutcome::gone);
    CHECK(over.kept().blocks == 1);
  }
}

TEST_CASE("over heaps: the one that it is of, and constraints that choose among them") {
  using namespace freestone::declare;
  constexpr auto board = heaps(heap<"low">(id<3>, zone<Cma>, size<64_KiB>, base<0x4000'1000>),
                               heap<"pages">(id<7>, zone<Plain>, size<32_KiB>));
  auto heaps = board.create();
  REQUIRE(heaps);
  Block full = heaps->zone<"pages">().allocate(32_KiB).operator*();
  heaps->zone<"pages">().data(full)[0] = std::byte{9};
  struct Freeing {
    decltype(&*heaps) all;
    Block* full;
    unsigned asked = 0;
    static bool free(void* context, const FailedTry& failed) noexcept {
      auto& self = *static_cast<Freeing*>(context);
      CHECK(failed.why.code == ErrorCode::none_satisfied);
      ++self.asked;
      CHECK(self.all->deallocate(*self.full));
      return true;
    }
  } freeing{&*heaps, &full};
  NamedBlocks<std::remove_reference_t<decltype(*heaps)>> names(*heaps, {.compact = Freeing::free, .context = &freeing});
  const auto low = names.request("a", {.size = 4_KiB, .align = 8_KiB});
  REQUIRE(low);
  CHECK(low->heap == 3);
  CHECK(low->block.offset() == 4_KiB);
  const auto pages = names.request("b", {.size = 4_KiB, .heaps = id<7>});
  REQUIRE(pages);
  CHECK(pages->heap == 7);
  CHECK(freeing.asked == 1);
  CHECK(heaps->zone<"pages">().data(pages->block)[0] == std::byte{0});
  CHECK(names.find("b")->heap == 7);
  CHECK(!names.request("a", {.size = 4_KiB, .align = 8_KiB, .heaps = id<3>})->is_fresh);
  CHECK(tests::code_of(names.request("a", {.size = 4_KiB, .heaps = id<7>})) == ErrorCode::kept_unfit);
  CHECK(tests::code_of(names.request("a", {.size = 4_KiB, .align = 16_KiB})) == ErrorCode::kept_unfit);
  CHECK(tests::code_of(names.request("c", {.size = 4_KiB, .heaps = id<9>})) == ErrorCode::unknown_heap);
  CHECK(tests::code_of(names.request("c", {.size = 48_KiB, .heaps = id<7>})) == ErrorCode::never_satisfied);
  CHECK(tests::code_of(names.request("c", 1_MiB)) == ErrorCode::size_beyond_zone);
  CHECK(freeing.asked == 1);
  CHECK(names.find_containing(heaps->zone<"low">().tag(), 4_KiB)->name == Name("a"));
  CHECK(*names.release("a") == ReleaseOutcome::held);
  CHECK(*names.release("a") == ReleaseOutcome::gone);
  CHECK(*names.release(pages->block) == ReleaseOutcome::gone);
}

// --- Who asks again ---

namespace {

// What no zone or heap like it will ever grant, or calls a mistake.
bool is_for_good(ErrorCode code, bool places) {
  switch (code) {
    case ErrorCode::alignment_not_power_of_two:
    case ErrorCode::alignment_not_granules:
    case ErrorCode::alignment_beyond_zone:
    case ErrorCode::boundary_not_power_of_two:
    case ErrorCode::size_beyond_boundary:
    case ErrorCode::zone_beyond_limit:
    case ErrorCode::never_satisfied: return true;
    case ErrorCode::nothing_within: return !places;
    default: return false;
  }
}

// Who says the same again gets the kept block, and whatever he says he gets none that lies otherwise, or that is refused
// for good to who asks first. number_of(block): what bounds are about; address_of(block): what is aligned.
template <class Z, class NumberOf, class AddressOf>
void ask_again(Z& zone, std::uint64_t size, std::uint64_t from, bool places, NumberOf number_of, AddressOf address_of) {
  NamedBlocks<Z, lock::None, 16, Fresh::as_found> names(zone);
  Random random(seed());
  unsigned counts[3] = {};
  for (unsigned step = 0; step < some_of(6'000U); ++step) {
    CAPTURE(step);
    const auto some = [&] {
      Constraints wanted{.size = 1 + random.below(random.chance(20) ? size / 4 : 12_KiB .value())};
      if (random.chance(60)) wanted.align = std::uint64_t{1} << random.below(bits::floor_log2(size) + 3);
      if (random.chance(20)) wanted.align = 4096 * (1 + random.below(12));
      if (random.chance(5)) wanted.align = random.below(size);
      if (random.chance(30)) wanted.bounds.last = from + random.below(size + size / 8);
      if (random.chance(20)) wanted.bounds.boundary = std::uint64_t{4096} << random.below(8);
      if (random.chance(2)) wanted.bounds.boundary = random.below(size);
      if (random.chance(5)) wanted.heaps = HeapMask(random.below(32));
      return wanted;
    };
    names.change_settings([&](NamedSettings& settings) {
      settings.kept = random.chance(50) ? KeptPolicy::refuse : KeptPolicy::reallocate;
    });
    const Name filler = name_of(std::string("f") + static_cast<char>('a' + random.below(9)));
    if (!names.release(filler)) static_cast<void>(names.request(filler, some()));
    const Constraints wanted = some();
    const auto first = names.request("it", wanted);
    if (!first) continue;
    ++counts[0];
    const auto again = names.request("it", wanted);
    REQUIRE(again);
    REQUIRE(!again->is_fresh);
    REQUIRE(again->block == first->block);
    names.change_settings([&](NamedSettings& settings) { settings.kept = KeptPolicy::refuse; });
    for (unsigned i = 0; i < 4; ++i) {
      Constraints other = some();
      if (other.size > wanted.size) other.size = wanted.size;
      const auto kept = names.request("it", other);
      const auto fresh = names.request("new", other);
      if (fresh) REQUIRE(names.release("new"));
      if (!kept) continue;
      ++counts[1];
      REQUIRE(kept->block == first->block);
      const auto code = tests::code_of(fresh);
      CAPTURE(static_cast<unsigned>(code));
      REQUIRE(!is_for_good(code, places));
      const std::uint64_t begin = number_of(kept->block);
      const std::uint64_t end = begin + (kept->block.size().value() - 1);
      CAPTURE(begin);
      CAPTURE(other.align.value());
      if (other.align != 0) REQUIRE(address_of(kept->block) % other.align.value() == 0);
      REQUIRE(end <= other.bounds.last);
      if (other.bounds.boundary != 0) {
        REQUIRE(begin / other.bounds.boundary.value() == end / other.bounds.boundary.value());
      }
      counts[2] += other.bounds != Bounds() || other.align > 4096;
      REQUIRE(names.release("it"));
    }
    REQUIRE(*names.release("it") == ReleaseOutcome::held);
    REQUIRE(*names.release("it") == ReleaseOutcome::gone);
  }
  CHECK(counts[0] > some_of(400U));
  CHECK(counts[1] > some_of(400U));
  CHECK(counts[2] > some_of(50U));
}
template <class Z, class NumberOf>
void ask_again(Z& zone, std::uint64_t size, std::uint64_t from, bool places, NumberOf number_of) {
  ask_again(zone, size, from, places, number_of, number_of);
}

}  // namespace

TEST_CASE_TEMPLATE("the same request again is the kept block: strategies", S, strategy::Bitmap, strategy::Buddy,
                   strategy::TrimmedBuddy, strategy::BestFit, strategy::Segregated) {
  constexpr std::uint64_t from = 0x4000'3000;
  auto zone = Numbers<S>::create({.size = 1_MiB}, Bytes(from));
  REQUIRE(zone);
  const auto number_of = [](const Block& block) { return from + block.offset().value(); };
  SUBCASE("a zone") { ask_again(*zone, (1_MiB).value(), from, true, number_of); }
  SUBCASE("behind a ZoneRef") {
    ZoneRef ref(*zone);
    ask_again(ref, (1_MiB).value(), from, true, number_of);
  }
}

TEST_CASE("the same request again is the kept block: a strategy that keeps books only") {
  using System = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
  auto zone = System::create({.size = 1_MiB});
  REQUIRE(zone);
  const auto number_of = [&](const Block& block) { return reinterpret_cast<std::uintptr_t>(zone->data(block).data()); };
  SUBCASE("a zone") { ask_again(*zone, (1_MiB).value(), 0, false, number_of); }
  SUBCASE("behind a ZoneRef") {
    ZoneRef ref(*zone);
    ask_again(ref, (1_MiB).value(), 0, false, number_of);
  }
}

TEST_CASE("the same request again is the kept block: a backing that keeps small alignments only") {
  constexpr std::uint64_t kept = 64 << 10;
  using Two = backing::Scattered<backing::Borrowed, 2, kept>;
  using Z = Zone<Two, strategy::BestFit, lock::None, cache::Coherent>;
  std::vector<std::byte> memory((4_MiB).value());
  std::vector<std::uint64_t> notes(20'000);
  auto* const start = memory.data() + (-reinterpret_cast<std::uintptr_t>(memory.data()) & 0xfffff);  // of a MiB
  auto both = Two::of(backing::Borrowed({start, kept}, notes), backing::Borrowed({start + 3 * kept, 16 * kept}, {}));
  REQUIRE(both);
  auto zone = Z::create({.name = "two"}, *std::move(both));
  REQUIRE(zone);
  const auto number_of = [](const Block& block) { return block.offset().value(); };
  const auto address_of = [&](const Block& block) {
    return reinterpret_cast<std::uintptr_t>(zone->data(block).data());
  };
  SUBCASE("a zone") { ask_again(*zone, (1_MiB).value(), 0, true, number_of, address_of); }
  SUBCASE("behind a ZoneRef") {
    ZoneRef ref(*zone);
    ask_again(ref, (1_MiB).value(), 0, true, number_of, address_of);
  }
}

TEST_CASE("the same request again is the kept block: a cache of blocks") {
  constexpr std::uint64_t from = 0x4000'3000;
  using Fit = Numbers<strategy::BestFit>;
  auto zone = Fit::create({.size = 1_MiB}, Bytes(from));
  REQUIRE(zone);
  ReuseCache<Fit, BlockSizes<4096, 8192, 65536>, 8, scrub::Nothing> cache(*zone);
  const auto number_of = [](const Block& block) { return from + block.offset().value(); };
  SUBCASE("itself") { ask_again(cache, (1_MiB).value(), from, true, number_of); }
  SUBCASE("behind a ZoneRef") {
    ZoneRef ref(cache);
    ask_again(ref, (1_MiB).value(), from, true, number_of);
  }
}

TEST_CASE("the same request again is the kept block: heaps") {
  using namespace freestone::declare;
  using Pages = Zone<backing::Anonymous, strategy::Buddy, lock::None, cache::Coherent>;
  using System = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
  constexpr std::uint64_t from = 0x4000'1000;
  const auto number_in = [](auto& zone, const HeapTraits& heap, const Block& block) {
    if (!zone.data(block).empty() && block.size().value() != 0 && std::string_view(heap.name) == "books") {
      return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(zone.data(block).data()));
    }
    return heap.base.value_or(0) + block.offset().value();
  };
  const auto check = [&](auto& heaps) {
    ask_again(heaps, (256_KiB).value(), from, false, [&](const Block& block) {
      std::uint64_t number = 1;
      heaps.for_each([&](auto& zone, const HeapTraits& heap) {
        if (zone.tag() != block.zone_tag()) return;
        if constexpr (requires { zone.data(block); }) {
          number = number_in(zone, heap, block);
        } else {
          number = heap.base.value_or(0) + block.offset().value();
        }
      });
      return number;
    });
  };
  SUBCASE("that are compiled in") {
    constexpr auto board = heaps(heap<"low">(id<1>, zone<Numbers<strategy::BestFit>>, size<64_KiB>, base<from>),
                                 heap<"books">(id<2>, zone<System>, size<64_KiB>),
                                 heap<"pages">(id<3>, zone<Pages>, size<256_KiB>));
    auto made = board.create();
    REQUIRE(made);
    check(*made);
  }
  SUBCASE("that a text describes") {
    using Kinds = ZoneKinds<ZoneKind<"best_fit", "numbers", Numbers<strategy::BestFit>>,
                            ZoneKind<"system", "anonymous", System>, ZoneKind<"buddy", "anonymous", Pages>>;
    BoardTable table;
    table.heaps.push_back({.name = "low", .id = 1, .size = 64_KiB, .base = from, .strategy = "best_fit"});
    table.heaps.push_back({.name = "books", .id = 2, .size = 64_KiB, .strategy = "system", .backing = "anonymous"});
    table.heaps.push_back({.name = "pages", .id = 3, .size = 256_KiB, .strategy = "buddy", .backing = "anonymous"});
    auto made = RuntimeHeaps<void, Kinds>::create(std::move(table));
    REQUIRE(made);
    check(*made);
  }
}

TEST_CASE("a kept block of a heap that knows no addresses is under no limit") {
  using namespace freestone::declare;
  constexpr auto board = heaps(heap<"pages">(id<7>, zone<Plain>, size<64_KiB>));
  auto heaps = board.create();
  NamedBlocks<std::remove_reference_t<decltype(*heaps)>> names(*heaps);
  REQUIRE(names.request("a", 4_KiB));
  const auto asks = [&](const char* name, const Bounds& bounds) {
    return tests::code_of(names.request(name_of(name), {.size = 4_KiB, .bounds = bounds}));
  };
  CHECK(asks("a", {.last = 0xffff'ffff}) == ErrorCode::kept_unfit);
  CHECK(asks("b", {.last = 0xffff'ffff}) == ErrorCode::never_satisfied);
  CHECK(asks("a", {.boundary = 1_MiB}) == ErrorCode::kept_unfit);
  CHECK(asks("b", {.boundary = 1_MiB}) == ErrorCode::never_satisfied);
  CHECK(asks("a", {}) == ErrorCode::none);
}

// --- Calls by chance, beside a table that is as plain as can be ---

namespace {

struct Model {
  struct Kept {
    std::string name;  // "": replaced
    Block block;
    std::uint64_t length;
    std::uint64_t holders;
    bool until_released;
  };
  std::vector<Kept> all;  // the oldest first
  std::vector<std::string> pins;
  KeptPolicy kept = KeptPolicy::refuse;
  bool pins_hold = true;

  Kept* find(const std::string& name) {
    for (Kept& one : all) {
      if (!name.empty() && one.name == name) return &one;
    }
    return nullptr;
  }
  Kept* find(const Block& block) {
    for (Kept& one : all) {
      if (one.block == block) return &one;
    }
    return nullptr;
  }
  bool is_pinned(const std::string& name) const {
    return pins_hold && std::find(pins.begin(), pins.end(), name) != pins.end();
  }
  void erase(const Block& block) {
    std::erase_if(all, [&](const Kept& one) { return one.block == block; });
  }
  std::optional<ReleaseOutcome> let_go(Kept* one, bool for_good) {
    if (one == nullptr) return std::nullopt;
    if (one->holders > 1) return --one->holders, ReleaseOutcome::held;
    one->holders = 0;
    if (is_pinned(one->name)) return ReleaseOutcome::pinned;
    if (!for_good && one->until_released) return ReleaseOutcome::kept;
    return erase(Block(one->block)), ReleaseOutcome::gone;
  }
};

}  // namespace

TEST_CASE("10^5 calls by chance, beside a plain table") {
  constexpr std::size_t most = 12;
  Random random(seed());
  auto zone = Cma::create({.size = 64_KiB});
  NamedBlocks<Cma, lock::None, most> names(*zone);
  Model model;
  const char* const texts[] = {"a", "ab", "abc", "B", "BDMA", "BDMA2", "emac1", "emac1_buff", "123456789012345", "x"};
  unsigned counts[4] = {};
  for (unsigned step = 0; step < some_of(100'000U); ++step) {
    CAPTURE(step);
    const std::string text = texts[random.below(std::size(texts))];
    const Name name = name_of(text);
    const std::uint64_t what = random.below(100);
    if (what < 40) {
      const std::uint64_t size = random.chance(3) ? random.below(2) * 100'000 : 1 + random.below(random.chance(20) ? 20'000 : 5'000);
      const bool until_released = random.chance(30);
      const bool may_fit = zone->stats().largest_free.value() >= ((size + 4095) & ~std::uint64_t{4095});
      Model::Kept* const kept = model.find(text);
      const bool is_replaced = kept != nullptr && model.kept == KeptPolicy::reallocate && !model.is_pinned(text) && kept->length != size;
      ErrorCode expected = ErrorCode::none;
      if (size == 0) {
        expected = ErrorCode::zero_size;
      } else if (size > 65536) {
        expected = ErrorCode::size_beyond_zone;
      } else if (kept != nullptr && !is_replaced) {
        if (model.kept != KeptPolicy::keep && size > kept->length) expected = ErrorCode::kept_unfit;
      } else if (model.all.size() == most) {
        expected = ErrorCode::too_many_names;
      } else if (!may_fit) {
        expected = ErrorCode::no_space;
      }
      const auto got = names.request(name, size, until_released ? KeptUntil::released : KeptUntil::nobody_holds);
      REQUIRE(tests::code_of(got) == expected);
      if (got) {
        REQUIRE(got->is_fresh == (kept == nullptr || is_replaced));
        REQUIRE(got->replaced.has_value() == is_replaced);
        if (got->is_fresh) {
          if (is_replaced) {
            REQUIRE(*got->replaced == kept->block);
            kept->name.clear();
            kept->until_released = false;
            if (kept->holders == 0) model.erase(Block(kept->block));
          }
          REQUIRE(model.find(got->block) == nullptr);
          REQUIRE(got->length == size);
          model.all.push_back({text, got->block, size, 1, until_released});
        } else {
          REQUIRE(got->block == kept->block);
          REQUIRE(got->length == kept->length);
          ++kept->holders;
          kept->until_released = kept->until_released || until_released;
        }
      }
      ++counts[got ? 0 : 1];
    } else if (what < 85) {
      Model::Kept* one = model.find(text);
      std::optional<ReleaseOutcome> expected;
      std::optional<ReleaseOutcome> got;
      const bool by_block = what >= 65 && !model.all.empty();
      if (by_block) one = &model.all[static_cast<std::size_t>(random.below(model.all.size()))];
      const Block block = by_block ? one->block : Block();
      const bool for_good = what < 75;
      expected = model.let_go(one, for_good || !by_block);
      const auto done = !by_block ? names.release(name) : for_good ? names.release(block) : names.leave(block);
      if (done) got = *done;
      REQUIRE(got == expected);
      if (!done) REQUIRE(done.error().code == ErrorCode::unknown_name);
      ++counts[2];
    } else if (what < 90) {
      const bool was = std::find(model.pins.begin(), model.pins.end(), text) != model.pins.end();
      if (random.chance(50)) {
        REQUIRE(names.pin(name));
        if (!was) model.pins.push_back(text);
      } else {
        REQUIRE(names.unpin(name) == was);
        std::erase(model.pins, text);
      }
    } else if (what < 92) {
      model.kept = static_cast<KeptPolicy>(random.below(3));
      model.pins_hold = random.chance(60);
      names.change_settings([&](NamedSettings& settings) {
        settings.kept = model.kept;
        settings.pins_hold = model.pins_hold;
      });
    } else {
      const auto found = names.find(name);
      const Model::Kept* const one = model.find(text);
      REQUIRE(found.has_value() == (one != nullptr));
      if (found) {
        REQUIRE(found->block == one->block);
        REQUIRE(*names.name_of(one->block) == name);
        REQUIRE(names.find_containing(one->block.offset() + (one->length - 1))->block == one->block);
      }
    }
    std::size_t at = model.all.size();
    names.for_each([&](const auto& kept) {
      REQUIRE(at != 0);
      const Model::Kept& one = model.all[--at];
      const bool is_same = kept.name.c_str() == one.name && kept.block == one.block && kept.length == one.length &&
                           kept.holders == one.holders && kept.is_pinned == model.is_pinned(one.name) &&
                           (kept.until == KeptUntil::released) == one.until_released;
      REQUIRE(is_same);
    });
    REQUIRE(at == 0);
    if (step % 64 == 0) REQUIRE(zone->stats().blocks == model.all.size());
    ++counts[3];
  }
  CHECK(counts[0] > some_of(10'000U));
  CHECK(counts[1] > some_of(1'000U));
  CHECK(counts[2] > some_of(10'000U));
}

// --- Threads ---

namespace {

void wait_for(const std::atomic<bool>& flag) {
  while (!flag) std::this_thread::yield();
}

// Threads that all begin at once, again and again.
template <class Work>
void at_once(unsigned count, unsigned rounds, Work work) {
  std::atomic<unsigned> arrived = 0;
  std::vector<std::thread> threads;
  for (unsigned id = 0; id < count; ++id) {
    threads.emplace_back([&, id] {
      for (unsigned round = 0; round < rounds; ++round) {
        ++arrived;
        while (arrived < count * (round + 1)) std::this_thread::yield();
        work(id, round);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

template <class L>
using ForThreads = Zone<backing::Anonymous, strategy::Bitmap, L, cache::Coherent>;

}  // namespace

TEST_CASE_TEMPLATE("threads that ask for one name at once get one block, and it is zeroed", L, lock::Spin, lock::Mutex) {
  using Z = ForThreads<lock::Spin>;
  constexpr unsigned count = 4;
  auto zone = Z::create({.size = 64_KiB});
  NamedBlocks<Z, L> names(*zone);
  std::atomic<unsigned> fresh = 0;
  std::atomic<unsigned> faults = 0;
  std::atomic<unsigned> gone = 0;
  at_once(count, 200, [&](unsigned, unsigned) {
    const auto got = names.request("shared", 16_KiB);
    if (!got) return void(++faults);
    fresh += got->is_fresh;
    if (zone->data(got->block).size() != 16384) return void(++faults);
    std::atomic_ref<unsigned> users(*reinterpret_cast<unsigned*>(zone->data(got->block).data()));
    if (users.fetch_add(1) >= count || zone->data(got->block)[8192] != std::byte{0}) ++faults;
    users.fetch_sub(1);
    const auto done = names.release("shared");
    if (!done) return void(++faults);
    gone += *done == ReleaseOutcome::gone;
  });
  CHECK(faults == 0);
  CHECK(fresh == gone);
  CHECK(fresh >= 200 / count);
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("threads whose names share the blocks that a ReuseCache keeps: nobody sees another's bytes") {
  using Z = ForThreads<lock::Spin>;
  using Cache = ReuseCache<Z, BlockSizes<4096, 8192>, 4, scrub::Zero, lock::Spin>;
  auto zone = Z::create({.size = 64_KiB});
  Cache cache(*zone);
  NamedBlocks<Cache, lock::Mutex> names(cache);
  std::atomic<unsigned> faults = 0;
  at_once(4, 1, [&](unsigned id, unsigned) {
    Random random(seed() + id);
    const Name name = name_of(std::string(1, static_cast<char>('a' + id)));
    for (unsigned step = 0; step < 2'000; ++step) {
      const auto got = names.request(name, 1 + random.below(8_KiB .value()));
      if (!got) return void(++faults);
      std::byte& byte = zone->data(got->block)[static_cast<std::size_t>(random.below(got->block.size().value()))];
      if (byte != std::byte{0}) ++faults;
      byte = std::byte{1};
      if (!names.release(name)) ++faults;
    }
  });
  CHECK(faults == 0);
  CHECK(zone->stats().blocks == cache.kept().blocks);
}

TEST_CASE("while a block is zeroed its name is waited for, and others are served") {
  using Z = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, Told>;
  struct Clock {
    std::atomic<bool> was_asked = false;
    static void wait(void* context, std::uint32_t milliseconds) noexcept {
      CHECK(milliseconds == 0);
      static_cast<Clock*>(context)->was_asked = true;
      std::this_thread::yield();
    }
  } clock;
  auto zone = Z::create({.size = 64_KiB});
  NamedBlocks<Z, lock::Spin> names(*zone, {.wait = Clock::wait, .context = &clock});
  REQUIRE(names.request("other", 1));
  std::optional<Block> first;
  std::optional<Block> second;
  bool second_is_fresh = true;
  Told::is_inside = false;
  Told::waits = true;
  std::thread maker([&] { first = names.request("slow", 8_KiB)->block; });
  wait_for(Told::is_inside);
  std::thread other([&] {
    const auto got = names.request("slow", 8_KiB);
    second = got->block;
    second_is_fresh = got->is_fresh;
  });
  wait_for(clock.was_asked);
  CHECK(!names.request("other", 1)->is_fresh);
  CHECK(*names.release("other") == ReleaseOutcome::held);
  CHECK(!names.find("slow"));
  CHECK(!names.find_containing(4_KiB));
  CHECK(tests::code_of(names.release("slow")) == ErrorCode::unknown_name);
  unsigned lines = 0;
  names.for_each([&](const auto&) { ++lines; });
  CHECK(lines == 1);
  Told::waits = false;
  maker.join();
  other.join();
  CHECK(first == second);
  CHECK(!second_is_fresh);
  CHECK(names.find("slow")->holders == 2);
}

TEST_CASE("row 10: a request that retries stops nobody else") {
  using Z = ForThreads<lock::Spin>;
  struct Clock {
    std::atomic<bool> is_waiting = false;
    std::atomic<bool> goes_on = false;
    static void wait(void* context, std::uint32_t) noexcept {
      auto& self = *static_cast<Clock*>(context);
      self.is_waiting = true;
      wait_for(self.goes_on);
    }
  } clock;
  auto zone = Z::create({.size = 64_KiB});
  NamedBlocks<Z, lock::Mutex> names(*zone, {.wait = Clock::wait, .context = &clock});
  REQUIRE(names.request("large", 60_KiB));
  unsigned retries = 0;
  std::thread waiter([&] { retries = names.request("late", 32_KiB)->retries; });
  wait_for(clock.is_waiting);
  CHECK(names.request("small", 4_KiB)->is_fresh);
  CHECK(!names.request("large", 4_KiB)->is_fresh);
  CHECK(*names.release("small") == ReleaseOutcome::gone);
  CHECK(names.pin("small"));
  unsigned lines = 0;
  names.for_each([&](const auto& kept) {
    CHECK(kept.name == Name("large"));
    ++lines;
  });
  CHECK(lines == 1);
  CHECK(*names.release("large") == ReleaseOutcome::held);
  CHECK(*names.release("large") == ReleaseOutcome::gone);
  clock.goes_on = true;
  waiter.join();
  CHECK(retries == 1);
  CHECK(names.find("late")->length == 32_KiB);
}

TEST_CASE("row 10: nor does a zone that takes its time; whoever asks for that name waits for the one block") {
  struct Slow {
    std::atomic<bool> is_inside = false;
    std::atomic<bool> goes_on = false;
    Limited* zone = nullptr;
    Block block = {};
    static bool retry(void* context, const Request&, const Error&) noexcept {
      auto& self = *static_cast<Slow*>(context);
      self.is_inside = true;
      wait_for(self.goes_on);
      CHECK(self.zone->deallocate(self.block));
      return true;
    }
  } slow;
  auto zone = Limited::create({.size = 64_KiB}, {.bytes = 16_KiB, .retry = Slow::retry, .context = &slow, .tries = 1});
  NamedBlocks<Limited, lock::Spin> names(*zone);
  REQUIRE(names.request("small", 4_KiB));
  slow.zone = &*zone;
  slow.block = *zone->allocate(8_KiB);
  Result<decltype(names)::Granted> grants[2] = {ErrorCode::none, ErrorCode::none};
  std::thread first([&] { grants[0] = names.request("late", 12_KiB); });
  wait_for(slow.is_inside);
  std::thread second([&] { grants[1] = names.request("late", 12_KiB); });
  CHECK(!names.request("small", 4_KiB)->is_fresh);
  CHECK(names.request("more", 4_KiB)->is_fresh);
  CHECK(*names.release("more") == ReleaseOutcome::gone);
  CHECK(!names.find("late"));
  slow.goes_on = true;
  first.join();
  second.join();
  REQUIRE(grants[0]);
  REQUIRE(grants[1]);
  CHECK(grants[0]->is_fresh);
  CHECK(!grants[1]->is_fresh);
  CHECK(grants[0]->block == grants[1]->block);
  CHECK(names.find("late")->holders == 2);
}

TEST_CASE("row 23: a list while others request, replace and release is of one moment") {
  using Z = ForThreads<lock::Spin>;
  constexpr std::size_t most = 64;
  auto zone = Z::create({.size = 1_MiB});
  NamedBlocks<Z, lock::Mutex, most> names(*zone, {.kept = KeptPolicy::reallocate});
  std::atomic<unsigned> faults = 0;
  std::atomic<bool> is_over = false;
  std::thread lister([&] {
    while (!is_over) {
      std::set<std::string> seen;
      std::set<std::uint64_t> places;
      names.for_each([&](const auto& kept) {
        if (!kept.name.is_empty() && !seen.insert(kept.name.c_str()).second) ++faults;
        if (!places.insert(kept.block.offset().value()).second) ++faults;
        if (kept.holders > 4 || kept.length > kept.block.size()) ++faults;
      });
      std::this_thread::yield();
    }
  });
  at_once(4, 1, [&](unsigned id, unsigned) {
    Random random(seed() + id);
    for (unsigned step = 0; step < 4'000; ++step) {
      const std::string text(1, static_cast<char>('a' + random.below(4)));
      const auto got = names.request(name_of(text), 1 + 4096 * random.below(3));
      if (!got) return void(++faults);
      std::atomic_ref<unsigned char> byte(*reinterpret_cast<unsigned char*>(zone->data(got->block).data()));
      const unsigned char before = byte.exchange(static_cast<unsigned char>(text[0]));
      if (before != 0 && before != static_cast<unsigned char>(text[0])) ++faults;
      if (!(random.chance(50) ? names.release(got->block) : names.leave(got->block))) ++faults;
    }
  });
  is_over = true;
  lister.join();
  CHECK(faults == 0);
  CHECK(zone->stats().blocks == 0);
}
