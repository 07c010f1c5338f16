// MMZ's kernel API, call by call (shared/spec: MMZ 3.5, 4.1 to 4.3, 5; rows 19, 20, 21, 29, 30).
#include <freestone/device/mmz/kernel.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/effort.hpp"
#include "support/mmz_kernel_scene.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

using Kernel = MmzKernelScene::Kernel;
using Mmb = Kernel::BlockHandle;
constexpr std::uint64_t page = 4096, base = mmz_base;
constexpr MmzZoneSettings spare{.name = "spare", .gfp = 7, .start = mmz_spare, .size = 32 << 10};
constexpr std::uint64_t all_pages = 16;

std::uint64_t start_of(Kernel& kernel, Mmb block) {
  Kernel::Place place;
  return kernel.mmb_place(block, place) == 0 ? place.physical : 0;
}
std::vector<std::string> inner_and_outer(const char* what, std::uint64_t offset, std::uint64_t length) {
  const std::string tail = std::string(" ") + what + ' ', size = ' ' + std::to_string(length);
  return {"inner" + tail + std::to_string(offset) + size, "outer" + tail + std::to_string(base + offset) + size};
}

}  // namespace

TEST_CASE("row 20: a zone with blocks is not unregistered; after the last free it is, and gives no blocks any more") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  const auto zone = kernel.mmz_create(spare);
  REQUIRE(zone);
  CHECK(!kernel.mmb_alloc_in(zone, {.size = page}));
  CHECK(!kernel.mmb_alloc({.size = page, .zone = "spare"}));
  CHECK(kernel.mmz_unregister(zone) == -1);
  CHECK(!kernel.mmz_find("spare", 7));
  CHECK(kernel.mmz_register(zone) == 0);
  CHECK(kernel.mmz_register(zone) == -1);
  CHECK(kernel.mmz_find("spare", 7) == zone);
  CHECK(kernel.mmz_find("spare", 0) == zone);
  CHECK(!kernel.mmz_find("spare", 6));

  MmzOpen<> node(scene);
  MmzCaller<> program(scene);
  CHECK(program.allocate(node, page, 0, "spare") == mmz_spare);
  const Mmb own = kernel.mmb_alloc_in(zone, {.size = 1});
  CHECK(start_of(kernel, own) == mmz_spare + page);
  CHECK(kernel.mmz_unregister(zone) == -1);
  CHECK(program.call(node, MmzCommand::free, mmz_spare) == 0);
  CHECK(kernel.mmz_unregister(zone) == -1);
  CHECK(kernel.mmb_get(own) == 0);
  CHECK(kernel.mmb_free(own) == 0);
  CHECK(kernel.mmz_unregister(zone) == -1);  // it is released
  CHECK(kernel.mmz_destroy(zone) == -1);
  CHECK(kernel.mmb_put(own) == 0);
  CHECK(scene.bytes.is_taken);
  CHECK(kernel.mmz_unregister(zone) == 0);
  CHECK(!scene.bytes.is_taken);
  CHECK(!kernel.mmb_alloc_in(zone, {.size = page}));
  CHECK(program.allocate(node, page, 0, "spare") == -12);
  CHECK(kernel.mmz_unregister(zone) == -1);
  CHECK(kernel.mmz_register(zone) == 0);
  CHECK(kernel.mmz_unregister(zone) == 0);
  CHECK(kernel.mmz_destroy(zone) == 0);
  CHECK(kernel.mmz_destroy(zone) == -1);
  CHECK(kernel.mmz_register(zone) == -1);
  CHECK(kernel.mmz_create(spare).number != zone.number);
}

TEST_CASE("a board's zone is found, unregistered and registered as a driver's is; the newest is asked first") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  const auto anonymous = kernel.mmz_find(nullptr, 0), jpeg = kernel.mmz_find("jpeg", 3);
  REQUIRE(anonymous);
  REQUIRE(jpeg);
  CHECK(kernel.mmz_find("", 0) == anonymous);
  CHECK(kernel.mmz_find("anonymous", 0) == anonymous);
  CHECK(start_of(kernel, kernel.mmb_alloc_in(jpeg, {.size = page})) == 0x48000000);
  CHECK(kernel.mmz_unregister(jpeg) == -1);
  CHECK(kernel.mmz_unregister(anonymous) == 0);
  CHECK(!kernel.mmb_alloc({.size = page}));
  CHECK(!kernel.mmz_find("anonymous", 0));
  CHECK(kernel.mmz_register(anonymous) == 0);
  CHECK(start_of(kernel, kernel.mmb_alloc({.size = page})) == base);
  CHECK(kernel.mmz_fill_in(anonymous, 1, 0) == -1);
}

TEST_CASE("zones that are not: without a name or memory, not a page, beyond the addresses, where another or a window is; too many") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  CHECK(!kernel.mmz_create({.name = nullptr, .start = mmz_spare, .size = page}));
  const auto refuses = [&](std::uint64_t start, std::uint64_t size) {
    const auto zone = kernel.mmz_create({.name = "spare", .start = start, .size = size});
    REQUIRE(zone);
    const bool is_refused = kernel.mmz_register(zone) == -1;
    if (!is_refused) CHECK(kernel.mmz_unregister(zone) == 0);
    CHECK(kernel.mmz_destroy(zone) == 0);
    return is_refused;
  };
  CHECK(!refuses(mmz_spare, page));
  CHECK(refuses(mmz_spare, 0));
  CHECK(refuses(mmz_spare, page - 1));
  CHECK(refuses(mmz_spare + 1, 2 * page - 2));
  CHECK(refuses(mmz_spare, ~std::uint64_t{0}));
  CHECK(refuses(~std::uint64_t{0} - page, 2 * page));
  CHECK(refuses(~std::uint64_t{0}, 1));
  CHECK(refuses(mmz_spare, 0x48000001 - mmz_spare));
  CHECK(refuses(base + 15 * page, page));
  CHECK(refuses(0x49000000, page));  // no memory
  scene.windows[1].start = mmz_spare + page - 1;
  CHECK(refuses(mmz_spare, page));
  for (unsigned i = 0; i < 4; ++i) CHECK(kernel.mmz_create(spare));
  CHECK(!kernel.mmz_create(spare));
  CHECK(!kernel.mmz_find("jpeg", 0));
}

TEST_CASE("what a zone is filled in with: slab and equal blocks, of alloc_v2's only") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  const auto zone = kernel.mmz_create(spare);
  const auto length = [&](bool is_v2, std::uint64_t size) {
    const Mmb block = kernel.mmb_alloc_in(zone, {.size = size, .is_v2 = is_v2});
    Kernel::Place place;
    REQUIRE(kernel.mmb_place(block, place) == 0);
    CHECK(kernel.mmb_free(block) == 0);
    return place.length;
  };
  CHECK(kernel.mmz_fill_in(zone, 1, 0) == 0);
  REQUIRE(kernel.mmz_register(zone) == 0);
  CHECK(kernel.mmz_fill_in(zone, 2, 0x5000) == -1);
  CHECK(length(true, 3 * page) == 4 * page);
  CHECK(length(false, 3 * page) == 3 * page);
  CHECK(kernel.mmz_unregister(zone) == 0);
  CHECK(kernel.mmz_fill_in(zone, 2, 0x5000) == 0);
  REQUIRE(kernel.mmz_register(zone) == 0);
  CHECK(length(true, 1) == 5 * page);
  CHECK(start_of(kernel, kernel.mmb_alloc({.size = page, .zone = "spare", .is_v2 = true, .order = MmzOrder::high_to_low})) ==
        mmz_spare + 3 * page);
}

TEST_CASE("blocks: refused as programs' are; so many at once; without a name") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  CHECK(!kernel.mmb_alloc({.size = 0}));
  CHECK(!kernel.mmb_alloc({.size = all_pages * page + 1}));
  CHECK(!kernel.mmb_alloc({.size = page, .gfp = 1}));
  CHECK(!kernel.mmb_alloc({.size = page, .align = 32 << 20, .zone = "jpeg"}));
  CHECK(!kernel.mmb_alloc({.size = ~std::uint64_t{0}}));
  CHECK(!kernel.mmb_alloc({.size = page, .order = static_cast<MmzOrder>(2)}));
  CHECK(!kernel.mmb_alloc_in({}, {.size = page}));
  std::vector<Mmb> all;
  for (unsigned i = 0; i < 8; ++i) all.push_back(kernel.mmb_alloc({.size = page, .zone = nullptr, .name = nullptr}));
  CHECK(start_of(kernel, all[6]) == base + 6 * page);
  CHECK(!kernel.mmb_alloc({.size = page}));
  CHECK(scene.device.buffer_count() == 8);
  std::string name;
  scene.device.for_each_buffer([&](const auto& shown) { name = shown.buffer.extra().name().data(); });
  CHECK(name == "<null>");
  CHECK(kernel.figures().blocks == 8);
  CHECK(kernel.mmb_free(all[3]) == 0);
  CHECK(kernel.mmb_free(all[3]) == -1);
  CHECK(start_of(kernel, kernel.mmb_alloc({.size = page})) == base + 3 * page);
  CHECK(kernel.mmb_free(all[3]) == -1);  // a number is not given twice
}

TEST_CASE("what is none is refused by every call") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  const Mmb gone = kernel.mmb_alloc({.size = page});
  REQUIRE(kernel.mmb_free(gone) == 0);
  Kernel::Place place;
  for (const Mmb block : {Mmb(), gone, Mmb{~std::uintptr_t{0}}}) {
    CHECK(kernel.mmb_free(block) == -1);
    CHECK(kernel.mmb_get(block) == -1);
    CHECK(kernel.mmb_put(block) == -1);
    CHECK(kernel.mmb_map2kern(block, false) == nullptr);
    CHECK(kernel.mmb_unmap(block) == -1);
    CHECK(kernel.mmb_place(block, place) == -1);
  }
  CHECK(scene.platform.misuses.empty());
  CHECK(kernel.mmz_register({}) == -1);
  CHECK(kernel.mmz_unregister({}) == -1);
  CHECK(kernel.mmz_destroy({}) == -1);
  CHECK(kernel.mmz_fill_in({}, 1, 0) == -1);
}

TEST_CASE("row 19: free while it is used: released, and gone with the last put or unmap; warnings; what is released still counts") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  const Mmb block = kernel.mmb_alloc({.size = page});
  CHECK(kernel.mmb_put(block) == -1);
  CHECK(kernel.mmb_get(block) == 0);
  CHECK(kernel.mmb_put(block) == 0);
  CHECK(scene.device.buffer_count() == 1);
  CHECK(kernel.mmb_get(block) == 0);
  CHECK(scene.platform.misuses.empty());
  CHECK(kernel.mmb_free(block) == 0);
  CHECK(kernel.mmb_free(block) == 0);
  CHECK(kernel.mmb_get(block) == 0);
  CHECK(kernel.mmb_map2kern(block, true) != nullptr);
  CHECK(kernel.mmb_put(block) == 0);
  CHECK(kernel.mmb_put(block) == 0);
  CHECK(kernel.mmb_put(block) == -1);
  using enum MmzMisuse;
  CHECK(scene.take_misuses() == std::vector{freed_while_used, freed_twice, got_freed, put_freed, put_freed});
  Kernel::Place place;
  CHECK(kernel.mmb_place(block, place) == 0);
  CHECK(place.flags() == 7);
  CHECK(kernel.mmb_unmap(block) == 0);
  CHECK(kernel.mmb_place(block, place) == -1);
  CHECK(scene.device.buffer_count() == 0);
  CHECK(scene.take_misuses().empty());
}

namespace {

// What 4.2 says of a block, written down anew. A program's is live in its owner's name, and nothing to drivers that have nothing of it.
struct Model {
  enum class Act { get, put, free, map, map_cached, unmap, last = unmap };

  bool is_programs;
  unsigned references = 0, maps = 0, warnings = 0, cleans = 0;
  bool is_cached = false, is_released = false, is_gone = false;

  bool ends() const { return references == 0 && maps == 0 && (is_released || is_programs); }
  // What the call answers; a map's: 1 where there is an address.
  int does(Act act) {
    if (act == Act::get) return warnings += is_released, ++references, 0;
    if (act == Act::put) {
      if (references == 0) return -1;
      return warnings += is_released, --references, is_gone = ends(), 0;
    }
    if (act == Act::free) {
      if (is_released) return ++warnings, 0;
      cleans += maps != 0 && is_cached;
      warnings += references != 0 || maps != 0;
      return is_released = true, is_gone = ends(), 0;
    }
    if (act == Act::unmap) {
      if (maps == 0) return -1;
      cleans += is_cached;
      return --maps, is_gone = ends(), static_cast<int>(maps);
    }
    const bool wants_cached = act == Act::map_cached;
    if (maps != 0 && is_cached != wants_cached) return 0;
    return is_cached = wants_cached, ++maps, 1;
  }
};
int does(Kernel& kernel, Mmb block, Model::Act act) {
  switch (act) {
    case Model::Act::get: return kernel.mmb_get(block);
    case Model::Act::put: return kernel.mmb_put(block);
    case Model::Act::free: return kernel.mmb_free(block);
    case Model::Act::unmap: return kernel.mmb_unmap(block);
    default: return kernel.mmb_map2kern(block, act == Model::Act::map_cached) != nullptr ? 1 : 0;
  }
}

constexpr unsigned acts = static_cast<unsigned>(Model::Act::last) + 1;
constexpr unsigned depth = is_slow_build ? 4 : 5;
using Acts = std::array<unsigned, depth>;

struct Trial {
  explicit Trial(bool is_programs) : is_programs(is_programs) {}

  // The acts in that order, until the block is gone: behind how many that was, or `depth`.
  unsigned run(const Acts& order) {
    Model model{.is_programs = is_programs, .references = is_programs ? 1U : 0U};
    MmzScene::Shared::Ref programs;
    if (is_programs) programs = scene.mmz().allocate(program, {.size = page});
    const Mmb block = is_programs ? kernel.getby_phys(base) : kernel.mmb_alloc({.size = page});
    unsigned at = 0;
    while (at < depth && !model.is_gone) {
      const auto act = static_cast<Model::Act>(order[at++]);
      const int expected = model.does(act);
      wrong += does(kernel, block, act) != expected;
      compare(block, model);
    }
    end(block, model);
    return at;
  }
  void compare(Mmb block, const Model& model) {
    Kernel::Place place;
    const bool is_there = kernel.mmb_place(block, place) == 0;
    wrong += is_there == model.is_gone;
    wrong += scene.platform.misuses.size() != model.warnings || scene.platform.done->size() != model.cleans;
    wrong += scene.device.buffer_count() != (is_programs || !model.is_gone ? 1U : 0U);
    if (!is_there) return;
    const unsigned flags = (model.maps != 0 ? 1U : 0U) | (model.maps != 0 && model.is_cached ? 2U : 0U) | (model.is_released ? 4U : 0U);
    wrong += place.references != model.references || place.maps != model.maps || place.flags() != flags;
    wrong += (place.kernel != nullptr) != (model.maps != 0);
  }
  // What is left goes back; and whoever still names it is refused, though its place is another's.
  void end(Mmb block, Model& model) {
    while (model.references != 0) wrong += does(kernel, block, Model::Act::put) != model.does(Model::Act::put);
    while (model.maps != 0) wrong += does(kernel, block, Model::Act::unmap) != model.does(Model::Act::unmap);
    if (!model.is_gone) wrong += does(kernel, block, Model::Act::free) != model.does(Model::Act::free);
    compare(block, model);
    const Mmb next = kernel.mmb_alloc({.size = page});
    for (unsigned act = 0; act < acts; ++act) {
      const bool is_map = act == static_cast<unsigned>(Model::Act::map) || act == static_cast<unsigned>(Model::Act::map_cached);
      wrong += does(kernel, block, static_cast<Model::Act>(act)) != (is_map ? 0 : -1);
    }
    wrong += kernel.mmb_free(next) != 0 || kernel.figures().blocks != 0;
    scene.platform.misuses.clear();
    scene.platform.done->clear();
  }

  const bool is_programs;
  MmzKernelScene scene = {};
  Kernel& kernel = scene.kernel;
  const ClientId program = *scene.device.open();
  std::uint64_t wrong = 0;
};

// The next order, of those that differ in one of the first `used`. False: there is none.
bool advance(Acts& order, unsigned used) {
  while (used != 0 && order[used - 1] + 1 == acts) --used;
  if (used == 0) return false;
  ++order[used - 1];
  for (unsigned at = used; at < depth; ++at) order[at] = 0;
  return true;
}

}  // namespace

TEST_CASE("row 19: get, put, free, map and unmap in every order, beside a model: a driver's block, and a program's") {
  for (const bool is_programs : {false, true}) {
    Trial trial(is_programs);
    Acts order = {};
    std::uint64_t orders = 0;
    unsigned used = 0;
    do {
      used = trial.run(order);
      ++orders;
    } while (advance(order, used));
    CHECK(trial.wrong == 0);
    CHECK(orders > (is_slow_build ? 500U : 3'000U));
  }
}

TEST_CASE("map2kern: one way at a time, the kernel's as programs'; null where the kernel does not see it") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  MmzOpen<> node(scene);
  MmzCaller<> program(scene);
  const Mmb own = kernel.mmb_alloc({.size = 2 * page});
  void* const at = kernel.mmb_map2kern(own, false);
  REQUIRE(at != nullptr);
  CHECK(kernel.mmb_map2kern(own, true) == nullptr);
  CHECK(kernel.mmb_map2kern(own, false) == at);
  CHECK(kernel.mmb_unmap(own) == 1);
  CHECK(kernel.mmb_unmap(own) == 0);
  CHECK(kernel.mmb_unmap(own) == -1);
  CHECK(scene.take_done().empty());
  CHECK(kernel.mmb_map2kern(own, true) == at);
  CHECK(kernel.mmb_map2kern(own, true) == at);
  CHECK(kernel.mmb_free(own) == 0);
  CHECK(kernel.mmb_unmap(own) == 1);
  CHECK(kernel.mmb_unmap(own) == 0);
  CHECK(scene.take_done() == std::vector<std::string>(3, "whole clean_inv 0 8192"));

  const auto physical = static_cast<std::uint64_t>(program.allocate(node, page));
  REQUIRE(program.remap(node, physical) > 0);
  const Mmb programs = kernel.getby_phys(physical);
  CHECK(kernel.mmb_map2kern(programs, true) == nullptr);
  CHECK(kernel.mmb_map2kern(programs, false) != nullptr);
  CHECK(program.call(node, MmzCommand::unmap, physical) == 0);
  CHECK(program.remap(node, physical, MmzCommand::remap_cached) == -22);
  CHECK(program.attributes(node, physical).mapped == 0);  // row 30
  CHECK(kernel.mmb_unmap(programs) == 0);
  CHECK(program.remap(node, physical, MmzCommand::remap_cached) > 0);
  scene.platform.has_kernel_view = false;
  CHECK(kernel.mmb_map2kern(kernel.mmb_alloc({.size = page}), false) == nullptr);
  CHECK(kernel.figures().maps == 0);
}

TEST_CASE("row 29: what is looked up is referred to: it outlives its owner's free, and is nobody else's until it is put") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  std::optional<MmzOpen<>> node(std::in_place, scene);
  MmzCaller<> program(scene);
  REQUIRE(program.allocate(*node, 3 * page) == base);
  const Mmb own = kernel.mmb_alloc({.size = page});
  std::uint64_t offset = 7;
  CHECK(!kernel.getby_phys(base + 1));
  CHECK(!kernel.getby_phys(base - page));
  CHECK(!kernel.getby_phys_2(base + 4 * page, offset));
  CHECK(!kernel.getby_phys_2(0, offset));
  CHECK(offset == 7);
  const Mmb block = kernel.getby_phys(base);
  REQUIRE(block);
  CHECK(kernel.getby_phys_2(base + 3 * page - 1, offset) == block);
  CHECK(offset == 3 * page - 1);
  CHECK(kernel.getby_phys(base + 3 * page) == own);
  CHECK(kernel.mmb_free(own) == 0);
  CHECK(kernel.getby_phys(base + 3 * page) == own);  // it is released, and there
  CHECK(kernel.figures().references == 4);

  CHECK(program.call(*node, MmzCommand::free, base) == 0);
  node.reset();
  CHECK(start_of(kernel, kernel.mmb_alloc({.size = page})) == base + 4 * page);
  CHECK(kernel.mmb_put(block) == 0);
  CHECK(kernel.getby_phys(base) == block);
  CHECK(kernel.mmb_put(block) == 0);
  CHECK(kernel.mmb_put(block) == 0);
  CHECK(kernel.mmb_put(block) == -1);
  CHECK(!kernel.getby_phys(base));
  CHECK(start_of(kernel, kernel.mmb_alloc({.size = 3 * page})) == base);
}

TEST_CASE("by where the kernel sees it: any of its bytes, while it is mapped") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  const Mmb block = kernel.mmb_alloc({.size = page});
  const auto* const at = static_cast<std::byte*>(kernel.mmb_map2kern(block, false));
  CHECK(kernel.getby_kvirt(at) == block);
  CHECK(kernel.getby_kvirt(at + page - 1) == block);
  CHECK(!kernel.getby_kvirt(at + page));
  CHECK(!kernel.getby_kvirt(at - 1));
  CHECK(!kernel.getby_kvirt(nullptr));
  CHECK(kernel.figures().references == 2);
  CHECK(kernel.mmb_unmap(block) == 0);
  CHECK(!kernel.getby_kvirt(at));
}

TEST_CASE("a program's block that a driver frees stays the program's; drivers' references end as they are put") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  MmzOpen<> node(scene);
  MmzCaller<> program(scene);
  REQUIRE(program.allocate(node, page) == base);
  const Mmb block = kernel.getby_phys(base);
  CHECK(kernel.mmb_free(block) == 0);
  CHECK(scene.take_misuses() == std::vector{MmzMisuse::freed_while_used});
  CHECK(kernel.mmb_put(block) == 0);
  CHECK(kernel.mmb_put(block) == -1);
  CHECK(program.attributes(node, base).size == page);
  CHECK(program.call(node, MmzCommand::free, base) == 0);
  CHECK(scene.device.buffer_count() == 0);
}

TEST_CASE("caches by address: clean, invalidate and both are three; what is dropped is whole lines, and others' bytes are written first") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  const Mmb block = kernel.mmb_alloc({.size = 2 * page});
  const auto* const at = static_cast<std::byte*>(kernel.mmb_map2kern(block, true));
  using enum CacheCommand;
  const auto maintain = [&](std::uint64_t offset, std::uint64_t length, CacheCommand command) {
    return kernel.maintain_byaddr(at + offset, base + offset, length, command);
  };
  CHECK(maintain(70, 1, clean) == Errno::none);
  CHECK(scene.take_done() == inner_and_outer("clean", 64, 64));
  CHECK(maintain(64, 65, clean_invalidate) == Errno::none);
  CHECK(scene.take_done() == inner_and_outer("clean_inv", 64, 128));
  CHECK(maintain(128, 256, invalidate) == Errno::none);
  const auto dropped = [](std::uint64_t offset, std::uint64_t length) {
    auto both = inner_and_outer("inv", offset, length);
    std::swap(both[0], both[1]);
    return both;
  };
  CHECK(scene.take_done() == dropped(128, 256));
  CHECK(maintain(130, 2, invalidate) == Errno::none);
  CHECK(scene.take_done() == inner_and_outer("clean_inv", 128, 64));
  CHECK(maintain(130, 62 + 64, invalidate) == Errno::none);
  auto expected = inner_and_outer("clean_inv", 128, 64);
  for (const std::string& one : dropped(192, 64)) expected.push_back(one);
  CHECK(scene.take_done() == expected);
  CHECK(maintain(128, 65, invalidate) == Errno::none);
  expected = dropped(128, 64);
  for (const std::string& one : inner_and_outer("clean_inv", 192, 64)) expected.push_back(one);
  CHECK(scene.take_done() == expected);
  CHECK(maintain(2 * page - 1, 1, invalidate) == Errno::none);
  CHECK(scene.take_done() == inner_and_outer("clean_inv", 2 * page - 64, 64));

  CHECK(maintain(64, 0, clean) == Errno::none);
  CHECK(kernel.maintain_byaddr(nullptr, base, 64, clean) == Errno::invalid);
  CHECK(kernel.maintain_byaddr(at, base + 1, 64, clean) == Errno::not_permitted);
  CHECK(kernel.maintain_byaddr(at - 1, base - 1, 64, clean) == Errno::not_permitted);
  CHECK(maintain(0, 2 * page + 1, clean) == Errno::not_permitted);
  CHECK(maintain(1, ~std::uint64_t{0}, clean) == Errno::not_permitted);
  CHECK(maintain(2 * page, 0, clean) == Errno::not_permitted);
  CHECK(scene.take_done().empty());
  CHECK(kernel.mmb_unmap(block) == 0);
  scene.take_done();
  CHECK(maintain(0, 64, clean) == Errno::not_permitted);
  CHECK(kernel.mmb_map2kern(block, false) == at);
  CHECK(maintain(0, 64, clean_invalidate) == Errno::none);
  CHECK(scene.take_done().empty());
}

TEST_CASE("row 21: mmf_map: all in one window; one byte more, none, or what wraps is refused, and counted; unmapped once") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  constexpr std::uint64_t window = mmz_window, size = 1 << 20;
  void* const all = kernel.mmf_map(window, size, false);
  void* const last = kernel.mmf_map(window + size - 1, 1, true);
  REQUIRE(all != nullptr);
  REQUIRE(last != nullptr);
  CHECK(kernel.mmf_map(0xf0000100, 0x80, false) != nullptr);
  CHECK(kernel.figures().windows == 3);
  CHECK(kernel.mmf_map(window, 1, false) == nullptr);  // they are too many
  CHECK(kernel.figures().refused == 1);
  CHECK(kernel.mmf_unmap(last) == 0);
  CHECK(kernel.mmf_unmap(last) == -1);
  CHECK(kernel.mmf_unmap(nullptr) == -1);
  CHECK(scene.bytes.log == std::vector<std::string>{"0+1048576", "1048575+1 cached", "268435712+128", "0+1", "-1", "-1"});
  scene.bytes.log.clear();

  CHECK(kernel.mmf_map(window, size + 1, false) == nullptr);
  CHECK(kernel.mmf_map(window - 1, 2, false) == nullptr);
  CHECK(kernel.mmf_map(window + size, 1, false) == nullptr);
  CHECK(kernel.mmf_map(window + page, size - page + 1, false) == nullptr);
  CHECK(kernel.mmf_map(window, 0, false) == nullptr);
  CHECK(kernel.mmf_map(window + 1, ~std::uint64_t{0}, false) == nullptr);
  CHECK(kernel.mmf_map(window + 1, std::uint64_t{0} - window, false) == nullptr);
  CHECK(kernel.mmf_map(0, page, false) == nullptr);
  CHECK(kernel.mmf_map(base, page, false) == nullptr);  // a zone's
  CHECK(scene.bytes.log.empty());
  scene.bytes.has_map = false;
  CHECK(kernel.mmf_map(window, page, false) == nullptr);
  CHECK(kernel.figures().refused == 11);
  CHECK(kernel.figures().windows == 2);
  CHECK(kernel.mmf_unmap(all) == 0);
}

TEST_CASE("what drivers leave ends with the kernel: blocks, mappings, zones, windows") {
  std::optional<MmzKernelScene> scene(std::in_place);
  Kernel& kernel = scene->kernel;
  const auto zone = kernel.mmz_create(spare);
  REQUIRE(kernel.mmz_register(zone) == 0);
  const Mmb block = kernel.mmb_alloc_in(zone, {.size = page});
  REQUIRE(kernel.mmb_map2kern(block, true) != nullptr);
  REQUIRE(kernel.mmb_get(block) == 0);
  REQUIRE(kernel.mmf_map(mmz_window, page, false) != nullptr);
  REQUIRE(kernel.mmb_alloc({.size = page}));
  scene.reset();  // a device with a buffer left does not end
}

TEST_CASE("row 29: drivers look blocks up, map and put them while programs allocate and free them, and a zone comes and goes") {
  MmzKernelScene scene;
  Kernel& kernel = scene.kernel;
  std::atomic<std::uint64_t> wrong = 0, found = 0;
  std::atomic<bool> is_over = false;
  std::vector<std::thread> programs, threads;
  for (unsigned thread = 0; thread < 2; ++thread) {
    programs.emplace_back([&] {
      MmzOpen<> node(scene);
      MmzCaller<> program(scene);
      for (unsigned round = 0; round < 200 || found < 100; ++round) {
        const std::int64_t at = program.allocate(node, page);
        std::this_thread::yield();
        wrong += at <= 0 || program.call(node, MmzCommand::free, static_cast<std::uint64_t>(at)) != 0;
      }
    });
    threads.emplace_back([&] {  // a driver
      std::uint64_t offset = 0;
      while (!is_over) {
        const Mmb block = kernel.getby_phys_2(base + 5, offset);
        if (!block) continue;
        ++found;
        wrong += offset != 5 || start_of(kernel, block) != base;
        wrong += kernel.mmb_map2kern(block, false) == nullptr || kernel.mmb_unmap(block) < 0 || kernel.mmb_put(block) != 0;
      }
    });
  }
  threads.emplace_back([&] {
    while (!is_over) {
      const auto zone = kernel.mmz_create(spare);
      const Mmb block = kernel.mmz_register(zone) == 0 ? kernel.mmb_alloc_in(zone, {.size = page}) : Mmb();
      wrong += kernel.mmb_free(block) != 0;
      while (kernel.mmz_unregister(zone) != 0) std::this_thread::yield();  // somebody may be looking at the block
      wrong += kernel.mmz_destroy(zone) != 0;
    }
  });
  for (std::thread& program : programs) program.join();
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(kernel.figures().blocks == 0);
  CHECK(scene.device.buffer_count() == 0);
}
