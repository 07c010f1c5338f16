// Eight heaps of a board and requests with every kind of constraint, by chance: whatever is granted meets all of them and
// comes from the first heap that could, whatever is refused could not be had, and nothing is anybody else's. The model
// knows who has which granule, and nothing of strategies. FREESTONE_TEST_STEPS says how many calls; with --long, again
// and again from other seeds for FREESTONE_LONG_MINUTES.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include "support/long.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;
using namespace freestone::declare;

namespace {

constexpr std::uint64_t granule_bytes = 4096;

template <class S, class C = cache::Coherent>
using Numbers = Zone<backing::OffsetSpace, S, lock::None, C>;
using File = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;
using Pages = Zone<backing::Anonymous, strategy::BestFit, lock::None, cache::Coherent>;

template <class O>
constexpr auto board_in(O order) {
  return heaps(order,  //
               heap<"low">(id<3>, zone<Numbers<strategy::Bitmap>>, size<256_KiB>, base<0x4000'3000>),
               heap<"high">(id<17>, zone<Numbers<strategy::BestFit>>, size<512_KiB>, base<0x1'0010'5000>),
               heap<"kept">(id<9>, zone<Numbers<strategy::Bitmap>>, size<256_KiB>, base<0x8000'0000>, reserve<64_KiB>),
               heap<"uncached">(id<40>, zone<Numbers<strategy::BestFit, cache::Uncached>>, size<256_KiB>, base<0x9000'0000>),
               heap<"file">(id<5>, zone<File>, size<256_KiB>),  //
               heap<"pages">(id<0>, zone<Pages>, size<128_KiB>),
               heap<"fit">(id<63>, zone<Numbers<strategy::BestFit>>, size<128_KiB>, base<0xffff'0000>),
               heap<"top">(id<62>, zone<Numbers<strategy::Bitmap>>, size<64_KiB>, base<~std::uint64_t{0xffff}>));
}

[[noreturn]] void fail(const char* what, std::uint64_t step) {
  std::printf("FAILED: %s, step %llu\n", what, static_cast<unsigned long long>(step));
  std::exit(1);
}

// One heap as the model has it.
struct Model {
  HeapTraits traits;
  std::vector<bool> used;

  std::uint64_t free() const { return granule_bytes * static_cast<std::uint64_t>(std::count(used.begin(), used.end(), false)); }
  bool is_free(std::uint64_t first, std::uint64_t count) const {
    for (std::uint64_t at = first; at < first + count; ++at) {
      if (used[static_cast<std::size_t>(at)]) return false;
    }
    return true;
  }
};

std::uint64_t granules_of(Bytes size) { return (size.value() + granule_bytes - 1) / granule_bytes; }

bool lies_within(const HeapTraits& heap, std::uint64_t offset, std::uint64_t bytes, const Constraints& wanted) {
  const std::uint64_t align = std::max(wanted.align.value(), granule_bytes);
  const std::uint64_t first = heap.base.value_or(0) + offset;
  const std::uint64_t last = first + (bytes - 1);
  const std::uint64_t boundary = wanted.bounds.boundary.value();
  if (first % align != 0 || last > wanted.bounds.last) return false;
  return boundary == 0 || first / boundary == last / boundary;
}

bool may_serve(const HeapTraits& heap, const Constraints& wanted) {
  if (!wanted.heaps.contains(heap.id)) return false;
  if (wanted.cacheability && *wanted.cacheability != heap.cacheability) return false;
  if (wanted.exportable && !heap.exportable) return false;
  return heap.base || wanted.bounds == Bounds();
}

bool could_serve(const Model& heap, const Constraints& wanted) {
  const std::uint64_t count = granules_of(wanted.size);
  if (!may_serve(heap.traits, wanted) || count > heap.used.size() || wanted.align > heap.traits.size) return false;
  if (!wanted.may_use_reserve && heap.free() < count * granule_bytes + heap.traits.reserve.value()) return false;
  for (std::uint64_t first = 0; first + count <= heap.used.size(); ++first) {
    if (heap.is_free(first, count) && lies_within(heap.traits, first * granule_bytes, count * granule_bytes, wanted)) return true;
  }
  return false;
}

Constraints some_constraints(Random& random) {
  Constraints wanted{.size = random.from_to(1, random.chance(10) ? 300'000 : 40'000)};
  if (random.chance(30)) wanted.align = granule_bytes << random.below(6);
  if (random.chance(20)) wanted.bounds.last = std::array<std::uint64_t, 4>{0xffff'ffff, 0x4000'ffff, 0x8001'ffff, 0x1'0014'0fff}[static_cast<std::size_t>(random.below(4))];
  if (random.chance(20)) wanted.bounds.boundary = granule_bytes << random.below(7);
  if (random.chance(30)) wanted.heaps = HeapMask(random.next());
  if (random.chance(5)) wanted.heaps = HeapMask::of(static_cast<unsigned>(random.below(80)));
  if (random.chance(10)) wanted.cacheability = random.chance(50) ? Cacheability::uncached : Cacheability::cached;
  wanted.exportable = random.chance(10);
  wanted.may_use_reserve = random.chance(30);
  wanted.lifetime = static_cast<Lifetime>(random.below(4));
  return wanted;
}

// What is wrong with a request that no heap served: could one when it is empty, then only the time.
ErrorCode code_of(const std::vector<Model>& empty, const Constraints& wanted) {
  const auto any = [&](auto&& holds) { return std::any_of(empty.begin(), empty.end(), holds); };
  if (wanted.heaps.is_empty()) return ErrorCode::empty_mask;
  if (!any([&](const Model& heap) { return wanted.heaps.contains(heap.traits.id); })) return ErrorCode::unknown_heap;
  const bool is_for_now = any([&](const Model& heap) { return could_serve(heap, wanted); });
  return is_for_now ? ErrorCode::none_satisfied : ErrorCode::never_satisfied;
}

template <class O>
void run(std::uint64_t steps, std::uint64_t start) {
  constexpr auto board = board_in(O());
  auto made = board.create();
  if (!made) fail("the heaps cannot be made", 0);
  auto& all = *made;
  std::vector<Model> models;
  for (const HeapTraits& traits : all.traits()) models.push_back({traits, std::vector<bool>(static_cast<std::size_t>(traits.size.value() / granule_bytes))});
  const std::vector<Model> empty = models;
  std::array<std::uint8_t, board.count> asked;
  arrange<O>(all.traits(), asked);
  const auto model_of = [&](unsigned id) -> Model& {
    return *std::find_if(models.begin(), models.end(), [&](const Model& model) { return model.traits.id == id; });
  };
  const auto mark = [&](const HeapBlock& block, bool used) {
    const std::uint64_t first = block.block.offset().value() / granule_bytes;
    for (std::uint64_t at = 0; at < granules_of(block.block.size()); ++at) model_of(block.heap).used[static_cast<std::size_t>(first + at)] = used;
  };

  Random random(start);
  std::vector<HeapBlock> live;
  std::uint64_t granted = 0;
  std::uint64_t refused = 0;
  for (std::uint64_t step = 0; step < steps; ++step) {
    if (!live.empty() && random.chance(live.size() > 60 ? 70 : 48)) {
      const auto at = static_cast<std::size_t>(random.below(live.size()));
      if (!all.deallocate(live[at])) fail("a live block does not go back", step);
      if (all.deallocate(live[at])) fail("a block goes back twice", step);
      mark(live[at], false);
      live[at] = live.back();
      live.pop_back();
      continue;
    }
    const Constraints wanted = some_constraints(random);
    const auto got = all.allocate(wanted);
    unsigned expected = most_heaps;
    for (const std::uint8_t place : asked) {
      if (expected == most_heaps && could_serve(models[place], wanted)) expected = models[place].traits.id;
    }
    if ((got ? got->heap : most_heaps) != expected) fail("another heap than the first that could", step);
    if (!got) {
      if (got.error().refusals().size() != board.count) fail("not every heap says why", step);
      if (got.error().code != code_of(empty, wanted)) fail("another error than what is wrong", step);
      ++refused;
      continue;
    }
    Model& model = model_of(got->heap);
    const std::uint64_t offset = got->block.offset().value();
    if (got->block.size() < wanted.size || offset % granule_bytes != 0 || offset / granule_bytes + granules_of(got->block.size()) > model.used.size()) {
      fail("a block that is too small, or beyond its heap", step);
    }
    if (!lies_within(model.traits, offset, got->block.size().value(), wanted)) fail("a block where it must not lie", step);
    if (!model.is_free(offset / granule_bytes, granules_of(got->block.size()))) fail("a block of somebody else", step);
    mark(*got, true);
    if (!wanted.may_use_reserve && model.free() < model.traits.reserve.value()) fail("the reserve was taken", step);
    live.push_back(*got);
    ++granted;
  }
  if (granted < steps / 10 || refused < steps / 100) fail("too little was tried", steps);
}

std::uint64_t round_of_orders(std::uint64_t steps, std::uint64_t start) {
  run<freestone::order::Declared>(steps / 4, start);
  run<freestone::order::AscendingId>(steps / 4, start + 1);
  run<freestone::order::DescendingId>(steps / 4, start + 2);
  run<freestone::order::NewestFirst>(steps / 4, start + 3);
  return steps / 4 * 4;
}

}  // namespace

int main(int count, char** arguments) {
  if (is_long(count, arguments)) {
    return go_on("calls", 4, [](std::uint64_t start) { return round_of_orders(1'000'000, start); });
  }
  const std::uint64_t done = round_of_orders(environment("FREESTONE_TEST_STEPS", 1'000'000), seed());
  std::printf("%llu calls, no constraint violated\n", static_cast<unsigned long long>(done));
}
