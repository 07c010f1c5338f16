#include <freestone/heap/heaps.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/reserved.hpp>
#include <freestone/backing/scattered.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/heap/fallback.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/limit.hpp>
#include <freestone/zone/layers/quarantine.hpp>
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;
using namespace freestone::declare;

namespace {

using Carveout = Numbers<strategy::Bitmap>;
using Fit = Numbers<strategy::BestFit>;
using Lists = Numbers<strategy::OrderList<strategy::Buddy, 4, 0>>;
using Shared = Zone<backing::MemoryFile, strategy::Buddy, lock::Spin, cache::Coherent>;
using Plain = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;

constexpr auto soc = heaps(                                                                      //
    heap<"camera">(id<20>, zone<Carveout>, size<64_KiB>, base<0x8000'0000>),                     //
    heap<"audio">(id<28>, zone<Fit>, size<32_KiB>, base<0x1'0000'0000>, reserve<8_KiB>),         //
    heap<"shared">(id<5>, zone<Shared>, size<128_KiB>),                                          //
    heap<"system">(id<30>, zone<Lists>, size<256_KiB>, base<0x2'0000'0000>));

struct SmallestFirst {
  static constexpr std::uint64_t rank(const HeapTraits& heap, std::size_t) noexcept { return heap.size.value(); }
};

std::vector<std::string_view> names_of(const HeapError& error) {
  std::vector<std::string_view> names;
  for (const Refusal& refusal : error.refusals()) names.push_back(refusal.name);
  return names;
}
Constraint failed_at(const HeapError& error, std::string_view name) {
  for (const Refusal& refusal : error.refusals()) {
    if (refusal.name == name) return refusal.failed;
  }
  return Constraint::none;
}

}  // namespace

TEST_CASE("a zone for each heap, found by name and id when it is compiled") {
  auto heaps = soc.create();
  REQUIRE(heaps);
  CHECK(heaps->zone<"camera">().size() == 64_KiB);
  CHECK(&heaps->zone(id<28>) == &heaps->zone<"audio">());
  CHECK(std::string_view(heaps->zone<"shared">().name()) == "shared");
  CHECK(heaps->traits()[2].exportable);
  CHECK(!heaps->traits()[0].exportable);
  CHECK(heaps->traits()[0].base == 0x8000'0000);
  CHECK(!heaps->traits()[2].base);
  static_assert(soc.find("audio") == 1);
  static_assert(soc.find(20U) == 0);
  static_assert(soc.find("nobody") == soc.count);
}

TEST_CASE("the first heap in the board's order that meets all constraints") {
  auto heaps = soc.create();
  REQUIRE(heaps);
  SUBCASE("declared") {
    CHECK(heaps->allocate({.size = 4_KiB})->heap == 20);
    CHECK(heaps->allocate({.size = 4_KiB, .heaps = id<28> | id<5>})->heap == 28);
    CHECK(heaps->allocate({.size = 100_KiB})->heap == 5);
    CHECK(heaps->allocate({.size = 200_KiB})->heap == 30);
    CHECK(heaps->allocate({.size = 4_KiB, .exportable = true}).error().code == ErrorCode::none_satisfied);
  }
  SUBCASE("a full heap hands on") {
    CHECK(heaps->allocate({.size = 64_KiB})->heap == 20);
    CHECK(heaps->allocate({.size = 4_KiB})->heap == 28);
  }
  SUBCASE("a fallback drops no constraint") {
    REQUIRE(heaps->allocate({.size = 64_KiB, .heaps = id<20>}));
    const auto low = heaps->allocate({.size = 4_KiB, .bounds = {.last = 0xffff'ffff}});
    REQUIRE(!low);
    CHECK(low.error().code == ErrorCode::none_satisfied);
    CHECK(failed_at(low.error(), "camera") == Constraint::space);
    CHECK(failed_at(low.error(), "audio") == Constraint::address_limit);
    CHECK(failed_at(low.error(), "shared") == Constraint::address_limit);  // it knows no addresses
    CHECK(low.error().last.code == ErrorCode::no_space);
  }
}

TEST_CASE("a heap's reserve is for who may use it") {
  auto heaps = soc.create();
  REQUIRE(heaps);
  const auto big = heaps->allocate({.size = 20_KiB, .heaps = id<28>});
  REQUIRE(big);
  REQUIRE(heaps->allocate({.size = 4_KiB, .heaps = id<28>}));
  const auto kept = heaps->allocate({.size = 4_KiB, .heaps = id<28>});
  REQUIRE(!kept);
  CHECK(failed_at(kept.error(), "audio") == Constraint::reserve);
  CHECK(heaps->zone<"audio">().free() == 8_KiB);
  CHECK(heaps->allocate({.size = 8_KiB, .heaps = id<28>, .may_use_reserve = true}));
  const auto never = heaps->allocate({.size = 28_KiB, .heaps = id<28>});
  CHECK(never.error().code == ErrorCode::never_satisfied);
  CHECK(failed_at(never.error(), "audio") == Constraint::reserve);
}

TEST_CASE("what is wrong with a request is told at once, and each heap says why") {
  auto made = soc.create();
  REQUIRE(made);
  auto& heaps = *made;
  const auto error_of = [&](const Constraints& wanted) {
    const auto got = heaps.allocate(wanted);
    REQUIRE(!got);
    heaps.for_each([](auto& zone, const HeapTraits&) { CHECK(zone.stats().blocks == 0); });
    return got.error();
  };
  CHECK(error_of({.size = 4_KiB, .heaps = HeapMask()}).code == ErrorCode::empty_mask);
  CHECK(error_of({.size = 4_KiB, .heaps = id<1> | id<63>}).code == ErrorCode::unknown_heap);
  CHECK(error_of({.size = 0}).code == ErrorCode::zero_size);
  CHECK(error_of({.size = 1_MiB}).code == ErrorCode::never_satisfied);
  CHECK(names_of(error_of({.size = 1_MiB})) == std::vector<std::string_view>{"camera", "audio", "shared", "system"});
  CHECK(failed_at(error_of({.size = 1_MiB}), "camera") == Constraint::size);
  CHECK(failed_at(error_of({.size = 4_KiB, .heaps = id<20>, .exportable = true}), "camera") == Constraint::exportable);
  CHECK(failed_at(error_of({.size = 4_KiB, .cacheability = Cacheability::uncached}), "camera") ==
        Constraint::cacheability);
  CHECK(failed_at(error_of({.size = 4_KiB, .align = 1_MiB}), "camera") == Constraint::alignment);
  CHECK(failed_at(error_of({.size = 4_KiB, .align = 3}), "camera") == Constraint::alignment);
  CHECK(failed_at(error_of({.size = 8_KiB, .bounds = {.boundary = 4_KiB}}), "camera") == Constraint::boundary);
  CHECK(failed_at(error_of({.size = 8_KiB, .bounds = {.boundary = 12_KiB}}), "camera") == Constraint::boundary);
  CHECK(failed_at(error_of({.size = 8_KiB, .bounds = {.last = 0x8000'1ffe}}), "camera") == Constraint::address_limit);
  CHECK(error_of({.size = ~std::uint64_t{0}}).code == ErrorCode::never_satisfied);
  CHECK(HeapMask::of(64).is_empty());
}

TEST_CASE("several blocks where they will do, and the caller has room for them") {
  auto heaps = soc.create();
  REQUIRE(heaps);
  Block room[8];
  Block more[8];
  const auto list = heaps->allocate_list({.size = 72_KiB, .heaps = id<30>, .contiguous = false}, room);
  REQUIRE(list);
  CHECK(list->heap == 30);
  CHECK(list->blocks.size() == 3);  // 64 + 4 + 4
  const auto one = heaps->allocate_list({.size = 72_KiB, .heaps = id<30>}, more);
  REQUIRE(one);
  CHECK(one->blocks.size() == 1);
  const auto refused = heaps->allocate_list({.size = 24_KiB, .heaps = id<30>, .contiguous = false}, {more, 2});
  CHECK(failed_at(refused.error(), "system") == Constraint::contiguous);
  CHECK(heaps->allocate_list({.size = 4_KiB}, {}).error().code == ErrorCode::none_satisfied);
  for (const Block& block : list->blocks) CHECK(heaps->deallocate(block));
}

TEST_CASE("a block goes back to the heap that it is of") {
  auto heaps = soc.create();
  REQUIRE(heaps);
  const auto block = heaps->allocate({.size = 4_KiB, .heaps = id<5>});
  REQUIRE(block);
  CHECK(heaps->deallocate(*block));
  CHECK(code_of(heaps->deallocate(*block)) == ErrorCode::double_release);
  auto other = Carveout::create({.name = "other", .size = 4_KiB});
  CHECK(code_of(heaps->deallocate(*other->allocate(1))) == ErrorCode::foreign_block);
  CHECK(code_of(heaps->deallocate(Block())) == ErrorCode::foreign_block);
}

TEST_CASE("hints choose an end") {
  auto heaps = soc.create();
  REQUIRE(heaps);
  const auto kept = heaps->allocate({.size = 4_KiB, .lifetime = Lifetime::persistent});
  const auto frame = heaps->allocate({.size = 4_KiB, .lifetime = Lifetime::frame});
  CHECK(kept->block.offset() == Bytes(0));
  CHECK(frame->block.offset() == 60_KiB);
}

TEST_CASE("an address leads to heap and block, and both ends are looked at") {
  alignas(4096) static std::byte bytes[8 * 4096];
  using Window = Zone<backing::Reserved, strategy::Bitmap, lock::None, cache::Coherent>;
  constexpr auto board = declare::heaps(heap<"numbers">(id<1>, zone<Carveout>, size<64_KiB>),
                                        heap<"cpu">(id<2>, zone<Plain>, size<64_KiB>),
                                        heap<"window">(id<3>, zone<Window>, size<32_KiB>, base<0x4000'0000>));
  static std::uint64_t words[256];
  auto heaps = board.create(with<"window">(backing::Reserved({.physical = PhysicalAddress(0x4000'0000), .size = 32_KiB, .cpu = reinterpret_cast<std::uintptr_t>(bytes)}, words)));
  REQUIRE(heaps);
  const auto block = heaps->allocate({.size = 8_KiB, .heaps = id<2>});
  REQUIRE(block);
  const std::byte* first = heaps->zone<"cpu">().data(block->block).data();
  const auto found = heaps->find(first + 5000);
  REQUIRE(found);
  CHECK(found->block == *block);
  CHECK(found->offset == Bytes(5000));
  CHECK(std::string_view(found->heap_name) == "cpu");
  CHECK(!heaps->find(first + 8192));  // nobody's
  CHECK(!heaps->find(first - 1));
  CHECK(!heaps->find(static_cast<const void*>(nullptr)));
  const auto in_window = heaps->allocate({.size = 4_KiB, .heaps = id<3>});
  REQUIRE(in_window);
  CHECK(heaps->find(PhysicalAddress(0x4000'0fff))->block == *in_window);
  CHECK(!heaps->find(PhysicalAddress(0x4000'1000)));
  CHECK(!heaps->find(PhysicalAddress(0x3fff'ffff)));
  CHECK(!heaps->find(PhysicalAddress(0x4000'8000)));
  CHECK(heaps->find(static_cast<const void*>(bytes))->block == *in_window);
  CHECK(!heaps->find(DeviceAddress(0x4000'0000)));
}

TEST_CASE("zones with layers, and with what their backings are made of") {
  using Limited = layers::Limit<Carveout>;
  constexpr auto board = declare::heaps(heap<"limited">(id<0>, zone<Limited>, size<64_KiB>, base<0x1000>),
                                        heap<"rest">(id<1>, zone<Carveout>, size<64_KiB>));
  auto heaps = board.create(with<"limited">(Limited::Settings{.bytes = 8_KiB}, Bytes(0x1000)));
  REQUIRE(heaps);
  CHECK(heaps->allocate({.size = 8_KiB})->heap == 0);
  const auto beyond = heaps->allocate({.size = 4_KiB, .heaps = id<0>});
  CHECK(failed_at(beyond.error(), "limited") == Constraint::other);
  CHECK(beyond.error().last.code == ErrorCode::over_limit);
  CHECK(heaps->allocate({.size = 4_KiB})->heap == 1);
}

TEST_CASE("a zone that cannot be made leaves none, and says which") {
  constexpr auto board = declare::heaps(heap<"first">(id<0>, zone<Carveout>, size<64_KiB>),
                                        heap<"second">(id<1>, zone<Carveout>, size<64_KiB>, base<0x1'0000>));
  const auto heaps = board.create(with<"second">(Bytes(0x2'0000)));
  REQUIRE(!heaps);
  CHECK(heaps.error().code == ErrorCode::wrong_origin);
  CHECK(std::string_view(heaps.error().zone) == "second");
}

TEST_CASE("in constant evaluation") {
  constexpr auto board = declare::heaps(order::DescendingId(), heap<"low">(id<0>, zone<Carveout>, size<16_KiB>),
                                        heap<"high">(id<9>, zone<Fit>, size<8_KiB>));
  static_assert([&] {
    auto heaps = board.create();
    if (!heaps) return false;
    const auto one = heaps->allocate({.size = 8_KiB});
    const auto two = heaps->allocate({.size = 8_KiB});
    return one->heap == 9 && two->heap == 0 && heaps->deallocate(*one) && !heaps->allocate({.size = 16_KiB});
  }());
  constexpr Constraints possible = board.require({.size = 12_KiB});
  static_assert(possible.size == 12_KiB);
}

TEST_CASE("an order may look at all that is declared") {
  constexpr auto board = declare::heaps(SmallestFirst(), heap<"large">(id<0>, zone<Carveout>, size<64_KiB>),
                                        heap<"small">(id<1>, zone<Carveout>, size<8_KiB>));
  auto heaps = board.create();
  CHECK(heaps->allocate({.size = 4_KiB})->heap == 1);
}

TEST_CASE("bounds are promised only where a zone's numbers are addresses") {
  using Window = backing::Reserved;
  using Ranges = Zone<backing::Scattered<Window, 2>, strategy::Bitmap, lock::None, cache::Coherent>;
  using Words = Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>;
  static std::uint64_t words[512];
  static std::uint64_t more_words[512];
  auto ranges = backing::Scattered<Window, 2>::of(Window({.physical = PhysicalAddress(0x8000'0000), .size = 8_KiB}, words),
                                                  Window({.physical = PhysicalAddress(0x2'0000'0000), .size = 8_KiB}, {}));
  REQUIRE(ranges);
  constexpr auto board = declare::heaps(heap<"ranges">(id<0>, zone<Ranges>, size<16_KiB>),
                                        heap<"numbers">(id<1>, zone<Words>, size<64_KiB>, base<0x2'0000>));
  const auto numbers = [&](Bytes base) { return with<"numbers">(backing::Borrowed::at(base, 64_KiB, more_words)); };
  CHECK(code_of(board.create(with<"ranges">(*std::move(ranges)), numbers(0x3'0000))) == ErrorCode::wrong_origin);
  auto again = backing::Scattered<Window, 2>::of(Window({.physical = PhysicalAddress(0x8000'0000), .size = 8_KiB}, words),
                                                 Window({.physical = PhysicalAddress(0x2'0000'0000), .size = 8_KiB}, {}));
  auto heaps = board.create(with<"ranges">(*std::move(again)), numbers(0x2'0000));
  REQUIRE(heaps);
  const auto low = heaps->allocate({.size = 4_KiB, .bounds = {.last = 0xffff'ffff}, .heaps = id<0>});
  CHECK(failed_at(low.error(), "ranges") == Constraint::address_limit);  // where its second range lies nobody asks
  CHECK(heaps->allocate({.size = 4_KiB, .bounds = {.last = 0x2'ffff}})->heap == 1);
}

TEST_CASE("an address in any of several ranges leads to its block") {
  using Window = backing::Reserved;
  using Ranges = Zone<backing::Scattered<Window, 3>, strategy::Bitmap, lock::None, cache::Coherent>;
  static std::uint64_t words[512];
  auto ranges = backing::Scattered<Window, 3>::of(Window({.physical = PhysicalAddress(0x8000'0000), .size = 6_KiB}, words),
                                                  Window({.physical = PhysicalAddress(0x2'0000'0000), .size = 8_KiB}, {}),
                                                  Window({.physical = PhysicalAddress(0x4000'0000), .size = 4_KiB}, {}));
  REQUIRE(ranges);
  constexpr auto board = declare::heaps(heap<"numbers">(id<1>, zone<Carveout>, size<64_KiB>),
                                        heap<"ranges">(id<0>, zone<Ranges>, size<4_MiB + 4_KiB>));
  auto heaps = board.create(with<"ranges">(*std::move(ranges)));
  REQUIRE(heaps);
  auto& zone = heaps->zone<"ranges">();
  for (int blocks = 0; blocks < 4; ++blocks) {
    const auto got = heaps->allocate({.size = 4_KiB, .heaps = id<0>});
    REQUIRE(got);
    const auto first = zone.physical_address(got->block);
    REQUIRE(first);
    for (const std::uint64_t in : {0U, 1U, 4095U}) {
      const auto found = heaps->find(PhysicalAddress(first->value() + in));
      REQUIRE(found);
      CHECK(found->block == *got);
      CHECK(found->offset == Bytes(in));
      CHECK(std::string_view(found->heap_name) == "ranges");
    }
  }
  CHECK(!heaps->allocate({.size = 4_KiB, .heaps = id<0>}));
  CHECK(!heaps->find(PhysicalAddress(0x8000'1000)));  // less than a granule: in no block
  for (const std::uint64_t beside : {0x7fff'ffffU, 0x8000'1800U, 0x4000'1000U}) CHECK(!heaps->find(PhysicalAddress(beside)));
  CHECK(!heaps->find(PhysicalAddress(0x2'0000'2000)));
}

TEST_CASE("addresses behind the end of a zone are not its own, though they are its backing's") {
  using Window = backing::Reserved;
  using Ranges = Zone<backing::Scattered<Window, 2>, strategy::Bitmap, lock::None, cache::Coherent>;
  static std::uint64_t words[512];
  auto ranges = backing::Scattered<Window, 2>::of(Window({.physical = PhysicalAddress(0x8000'0000), .size = 8_KiB}, words),
                                                  Window({.physical = PhysicalAddress(0x2'0000'0000), .size = 8_KiB}, {}));
  REQUIRE(ranges);
  auto zone = Ranges::create({.name = "short", .size = 4_KiB}, *std::move(ranges));
  REQUIRE(zone);
  ZoneAddresses<freestone::detail::most_ranges_of<Ranges>> addresses;
  REQUIRE(addresses.add(*zone, 0));
  CHECK(addresses.find(PhysicalAddress(0x8000'0fff)));
  CHECK(!addresses.find(PhysicalAddress(0x8000'1000)));
  CHECK(!addresses.find(PhysicalAddress(0x2'0000'0000)));
}

TEST_CASE("what can never be is told so, although a zone was asked") {
  auto heaps = soc.create();
  REQUIRE(heaps);
  const auto code = [&](const Constraints& wanted) { return heaps->allocate(wanted).error().code; };
  CHECK(code({.size = 4_KiB, .align = 3}) == ErrorCode::never_satisfied);
  CHECK(code({.size = 100, .bounds = {.boundary = 128}}) == ErrorCode::never_satisfied);
  CHECK(code({.size = 4_KiB, .bounds = {.last = 0x8000'0000 + 4094}, .heaps = id<20>}) == ErrorCode::never_satisfied);
  CHECK(code({.size = 24_KiB + 1, .heaps = id<28>}) == ErrorCode::never_satisfied);  // with its last granule the reserve
  CHECK(code({.size = 4_KiB, .align = 32_KiB, .bounds = {.last = 0x7fff'ffff}, .heaps = id<20>}) == ErrorCode::never_satisfied);
}

TEST_CASE("which of two bounds it was") {
  auto heaps = soc.create();
  REQUIRE(heaps);
  auto& camera = heaps->zone<"camera">();
  REQUIRE(camera.allocate_at(0, 28_KiB));
  REQUIRE(camera.allocate_at(36_KiB, 28_KiB));
  const auto crossing = heaps->allocate({.size = 8_KiB, .bounds = {.last = 0xffff'ffff, .boundary = 32_KiB}, .heaps = id<20>});
  CHECK(failed_at(crossing.error(), "camera") == Constraint::boundary);
  const auto beyond = heaps->allocate({.size = 8_KiB, .bounds = {.last = 0x8000'6fff}, .heaps = id<20>});
  CHECK(failed_at(beyond.error(), "camera") == Constraint::address_limit);
}

TEST_CASE("heaps lie as they were laid out") {
  constexpr Memory memory{.name = "dram", .base = 0x10'0000, .size = 1_MiB};
  constexpr auto board = declare::heaps(heap<"a">(id<0>, zone<Carveout>, size<64_KiB>), heap<"b">(id<1>, zone<Carveout>, size<64_KiB>));
  auto heaps = board.create(board.lay_out({&memory, 1}));
  REQUIRE(heaps);
  CHECK(heaps->traits()[1].base == 0x11'0000);
  Layout layout = soc.lay_out({&memory, 1});
  CHECK(code_of(board.create(layout)) == ErrorCode::does_not_fit);  // another board's
  CHECK(code_of(board.create(Layout())) == ErrorCode::does_not_fit);
}

TEST_CASE("two handles of one shared zone are one place to give back to") {
  auto first = Shared::create({.name = "shared", .size = 64_KiB});
  REQUIRE(first);
  auto second = Shared::attach({.name = "shared", .size = 64_KiB}, backing::MemoryFile::Source{first->backing().fd()});
  REQUIRE(second);
  const auto block = first->allocate(4_KiB);
  Fallback both(*std::move(first), *std::move(second));
  CHECK(both.deallocate(*block));
}

TEST_CASE("a reserve counts what layers hold back as free") {
  using Held = layers::Quarantine<Carveout>;
  constexpr auto board = declare::heaps(heap<"held">(id<0>, zone<Held>, size<64_KiB>, reserve<8_KiB>));
  auto heaps = board.create(with<"held">(Held::Settings()));
  REQUIRE(heaps);
  for (int i = 0; i < 40; ++i) {
    const auto block = heaps->allocate({.size = 4_KiB});
    REQUIRE(block);
    CHECK(heaps->deallocate(*block));
    CHECK(!heaps->zone<"held">().find_containing(block->block.offset()));
    CHECK(heaps->zone<"held">().free() == heaps->zone<"held">().stats().free);
  }
  CHECK(heaps->allocate({.size = 4_KiB, .bounds = {.last = 4095}}));  // held there: it leaves
}
