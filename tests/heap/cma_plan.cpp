#include <freestone/heap/cma_plan.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <vector>

using namespace freestone;

namespace {

constexpr std::uint64_t page = 4096, minimum = 0x400000;
constexpr std::uint64_t MiB = 0x100000;

// 64 MiB of memory at 0x20000000.
constexpr CmaRange memory[] = {{0x20000, 0x4000}};

template <std::size_t most = 64>
struct Plan : CmaPlan<most> {
  explicit Plan(std::uint64_t high_page = ~std::uint64_t{0}) : CmaPlan<most>(memory, minimum, high_page) {}

  CmaRefusal refusal(const CmaWanted& wanted) { return this->declare(wanted).refusal; }
  std::uint64_t place(const CmaWanted& wanted) { return this->declare(wanted).area.range.first_page * page; }
};

}  // namespace

TEST_CASE("CMA, row 1: why there is no such area, in order, each with its number") {
  Plan<2> plan(0x22000);
  CHECK(plan.refusal({.size = 0, .alignment = 3}) == CmaRefusal::zero_size);
  CHECK(plan.refusal({.base = 1, .size = 1, .alignment = 3, .is_fixed = true}) == CmaRefusal::alignment_not_power_of_two);
  CHECK(plan.refusal({.base = 0x20100000, .size = 1, .is_fixed = true}) == CmaRefusal::base_misaligned);
  CHECK(plan.refusal({.base = 0x20400000, .size = 1, .alignment = 8 * MiB, .is_fixed = true}) == CmaRefusal::base_misaligned);
  CHECK(plan.refusal({.base = 0x21c00000, .size = 8 * MiB, .limit = 1, .order_per_bit = 11, .is_fixed = true}) ==
        CmaRefusal::crosses_high_memory);
  CHECK(plan.refusal({.base = 0x21c00000, .size = 4 * MiB, .order_per_bit = 11, .is_fixed = true}) == CmaRefusal::size_not_whole_bits);
  CHECK(plan.refusal({.size = ~std::uint64_t{0}}) == CmaRefusal::size_not_whole_bits);  // rounded it is none
  CHECK(plan.refusal({.base = 0x20400000, .size = 8 * MiB, .limit = 0x20bfffff}) == CmaRefusal::beyond_limit);
  CHECK(plan.refusal({.base = 0x23c00000, .size = 8 * MiB, .is_fixed = true}) == CmaRefusal::beyond_limit);
  CHECK(plan.refusal({.size = 65 * MiB}) == CmaRefusal::no_room);
  CHECK(plan.refusal({.base = 0x10000000, .size = 4 * MiB, .is_fixed = true}) == CmaRefusal::taken);
  REQUIRE(plan.refusal({.base = 0x20400000, .size = 4 * MiB, .is_fixed = true}) == CmaRefusal::none);
  CHECK(plan.refusal({.base = 0x20000000, .size = 8 * MiB, .is_fixed = true}) == CmaRefusal::taken);
  REQUIRE(plan.refusal({.size = 1}) == CmaRefusal::none);
  CHECK(plan.refusal({.size = 0}) == CmaRefusal::no_slot);

  CHECK(cma_errno(CmaRefusal::none) == 0);
  CHECK(cma_errno(CmaRefusal::no_slot) == -28);
  CHECK(cma_errno(CmaRefusal::taken) == -16);
  CHECK(cma_errno(CmaRefusal::no_room) == -12);
  for (unsigned refusal = 2; refusal < 8; ++refusal) CHECK(cma_errno(static_cast<CmaRefusal>(refusal)) == -22);
}

TEST_CASE("CMA: an area that may lie anywhere lies high, below its limit, beside others, and not across high memory") {
  Plan plan(0x22000);
  CHECK(plan.place({.size = 5 * MiB}) == 0x23800000);                             // 8 MiB
  CHECK(plan.place({.size = 4 * MiB, .alignment = 16 * MiB}) == 0x22000000);      // 16 MiB
  CHECK(plan.place({.size = 4 * MiB, .limit = 0x21000000}) == 0x20c00000);
  CHECK(plan.place({.base = 0x21000000, .size = 4 * MiB, .limit = 0x21800000}) == 0x21400000);
  CHECK(plan.place({.base = 0x22000000, .size = 4 * MiB, .limit = 0x23000000}) == 0);
  CHECK(plan.place({.size = 24 * MiB}) == 0);
  REQUIRE(plan.reserve({0x23000, 0x800}));
  CHECK(plan.place({.size = 8 * MiB}) == 0x21800000);
  CHECK(plan.place({.size = 4 * MiB}) == 0x21000000);
}

TEST_CASE("CMA, row 13: nodes of reserved memory: fixed, anywhere, no-map, the default, two devices of one") {
  Plan plan;
  const CmaRange fixed{0x20400, 0x400};
  const auto area = plan.add({.is_shared_dma_pool = true, .is_reusable = true, .reg = fixed}, false);
  CHECK(area.use == ReservedUse::area);
  CHECK(area.range == fixed);
  CHECK_FALSE(area.is_default);
  const auto pool = plan.add({.is_shared_dma_pool = true, .is_no_map = true, .reg = CmaRange{0x20801, 3}}, false);
  CHECK(pool.use == ReservedUse::private_pool);
  CHECK(pool.range == CmaRange{0x20801, 3});
  CHECK(plan.add({.reg = CmaRange{0x20810, 1}}, false).use == ReservedUse::reserved);
  CHECK(plan.add({.is_shared_dma_pool = true, .reg = CmaRange{0x20811, 1}}, false).use == ReservedUse::reserved);
  CHECK(plan.add({.reg = CmaRange{0x20810, 2}}, false).refusal == CmaRefusal::taken);

  const CmaRange windows[] = {{0x21000, 0x800}, {0x20c00, 0x400}};
  const auto dynamic = plan.add({.is_shared_dma_pool = true, .is_reusable = true, .is_cma_default = true, .size = 8 * MiB, .ranges = windows}, false);
  CHECK(dynamic.refusal == CmaRefusal::none);
  CHECK(dynamic.is_default);
  CHECK(dynamic.range == CmaRange{0x21000, 0x800});
  CHECK(plan.add({.size = 2 * page, .alignment = 2 * page, .ranges = windows}, false).range == CmaRange{0x20ffe, 2});
  CHECK(plan.add({.size = 8 * MiB, .ranges = windows}, false).refusal == CmaRefusal::no_room);

  const ReservedNode standard{.is_shared_dma_pool = true, .is_reusable = true, .is_cma_default = true, .size = 4 * MiB};
  CHECK(plan.add(standard, true).refusal == CmaRefusal::taken);
  CHECK(plan.add({.is_shared_dma_pool = true, .is_reusable = true, .size = MiB}, false).refusal == CmaRefusal::base_misaligned);
  CHECK(plan.add({.is_shared_dma_pool = true, .is_reusable = true, .reg = CmaRange{0x23001, 0x400}}, false).refusal ==
        CmaRefusal::base_misaligned);
}

namespace {

struct Areas {
  using Area = CmaArea<>;
  struct One {
    explicit One(std::uint64_t first) : settings{"", {first, 16}, 0}, words(Area::words_for(settings)), area(settings, words) {}
    Area::Settings settings;
    std::vector<std::uint64_t> words;
    Area area;
  };
  One own{0x100}, near{0x200}, standard{0x300};
  std::vector<unsigned> asked = {};

  DmaPages<Area> take(std::uint64_t pages, bool has_own, bool has_near, bool may_wait = true) {
    const DmaAreas<Area> areas{has_own ? &own.area : nullptr, has_near ? &near.area : nullptr, &standard.area, 2};
    const auto made = allocate_dma(areas, pages, may_wait, [&](unsigned order) -> Result<std::uint64_t> {
      asked.push_back(order);
      if (order > 4) return Error{.code = ErrorCode::no_space};
      return std::uint64_t{0x9000};
    });
    return made ? *made : DmaPages<Area>{};
  }
};

}  // namespace

TEST_CASE("CMA, row 9: the device's own area first, one page is not the default area's, and the buddy has the rest") {
  Areas areas;
  CHECK(areas.take(1, true, true).area == &areas.own.area);
  CHECK(areas.take(6, true, true).first_page == 0x104);  // its alignment goes up to 4 pages
  CHECK(areas.take(12, true, true).area == nullptr);     // there is room in the others, which are not its
  CHECK(areas.asked == std::vector<unsigned>{4});
  CHECK(areas.take(2, false, true).area == &areas.near.area);
  CHECK(areas.take(15, false, true).area == &areas.standard.area);
  CHECK(areas.take(2, false, false).area == nullptr);
  CHECK(areas.take(1, false, true).area == nullptr);
  CHECK(areas.take(2, true, true, false).area == nullptr);
  CHECK(areas.asked == std::vector<unsigned>{4, 1, 0, 1});
  CHECK(areas.take(17, false, true).pages == 0);
  CHECK(areas.take(0, true, true).pages == 0);
  // Two devices of one area.
  CHECK(areas.take(1, true, false).first_page == 0x101);
}
