#include <freestone/device/pmem/region.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "support/pmem_scene.hpp"
#include "support/pmem_text.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t page = pmem_page;
const std::string board = regions_at("0x2000_0000", RegionText{"bitmap", "0x1_0000", "BITMAP", "quantum = 8192\ncached = true"});

// A board's say, counted.
struct Board {
  int requests = 0, releases = 0;
  int answer = 0;
  std::function<void()> at_release = [] {};

  static int request(void* board) noexcept { return ++static_cast<Board*>(board)->requests, static_cast<Board*>(board)->answer; }
  static int release(void* board) noexcept { return ++static_cast<Board*>(board)->releases, static_cast<Board*>(board)->at_release(), 0; }
  device::PmemHooks hooks() { return {this, request, release}; }
};
struct Hooked {
  explicit Hooked(bool is_on_demand) : scene(board), region(scene.device, scene.heaps.front(), *scene.zones().zone(scene.heaps.front().info().id), settings(is_on_demand)) {}
  device::PmemSettings settings(bool is_on_demand) {
    device::PmemSettings settings = scene.regions.front().settings();
    settings.is_mapped_on_demand = is_on_demand;
    settings.hooks = says.hooks();
    return settings;
  }
  auto open() { return std::make_unique<Node>(*this); }

  struct Node {
    explicit Node(Hooked& hooked) : file(hooked.region, *hooked.scene.device.open(), {}, screen) {}
    std::int64_t take(std::uint64_t length) { return file.ioctl(caller, device::pmem::allocate, length).value(); }
    PmemCaller caller;
    PageScreen screen;
    PmemScene::File file;
  };

  Board says;
  PmemScene scene;
  PmemScene::Region region;
};

}  // namespace

TEST_CASE("row 22: a region that is mapped on demand is asked for with the first allocation, and released after the last") {
  Hooked hooked(true);
  auto first = hooked.open(), second = hooked.open();
  CHECK(first->take(17 * page) < 0);  // more than there is: nobody is asked
  CHECK(hooked.says.requests == 0);
  CHECK(first->take(page) == 0);
  CHECK(second->take(page) == 1);
  CHECK(hooked.says.requests == 1);
  CHECK(hooked.region.active() == 2);
  first.reset();
  CHECK(hooked.says.releases == 0);
  second.reset();
  CHECK(hooked.says.releases == 1);
  CHECK(hooked.region.active() == 0);
  auto third = hooked.open();
  CHECK(third->take(page) == 0);
  CHECK(hooked.says.requests == 2);
}
TEST_CASE("row 22: where the board refuses there is no allocation, and the count is what it was") {
  Hooked hooked(true);
  hooked.says.answer = 1;
  auto node = hooked.open();
  CHECK(node->take(page) == -12);
  CHECK(hooked.region.active() == 0);
  CHECK(hooked.says.releases == 0);
  hooked.says.answer = 0;
  CHECK(node->take(page) == 0);
  CHECK(hooked.region.active() == 1);
  auto other = hooked.open();
  CHECK(other->take(15 * page) == -12);  // no room: it was asked for already
  CHECK(hooked.says.requests == 2);
  CHECK(hooked.region.active() == 1);
}
TEST_CASE("row 22: what fails gives the board's memory back at once") {
  Hooked hooked(true);
  hooked.scene.platform.memories_left = 0;
  auto node = hooked.open();
  CHECK(node->take(page) == -12);
  CHECK(hooked.says.requests == 1);
  CHECK(hooked.says.releases == 1);
  CHECK(hooked.region.active() == 0);
}
TEST_CASE("row 22: else it is asked for once, and never released") {
  Hooked hooked(false);
  for (int turn = 0; turn < 3; ++turn) {
    auto node = hooked.open();
    CHECK(node->take(page) == 0);
  }
  CHECK(hooked.says.requests == 1);
  CHECK(hooked.says.releases == 0);
}
TEST_CASE("weakness 17: what a board gets back is nobody's memory any more") {
  Hooked hooked(true);
  std::uint64_t free_then = 0;
  hooked.says.at_release = [&] { free_then = hooked.region.room().total; };
  hooked.open()->take(3 * page);
  CHECK(hooked.says.releases == 1);
  CHECK(free_then == 16 * page);
  free_then = 0;
  hooked.scene.platform.memories_left = 0;
  CHECK(hooked.open()->take(3 * page) == -12);
  CHECK(hooked.says.releases == 2);
  CHECK(free_then == 16 * page);
}

TEST_CASE("a quantum larger than a page: lengths and indices are its multiples") {
  PmemScene scene(board);
  PmemCaller caller;
  PmemOpen first(scene, "bitmap"), second(scene, "bitmap");
  CHECK(caller.call(first, device::pmem::allocate, page) == 0);
  CHECK(caller.call(second, device::pmem::allocate, 3 * page) == 1);
  CHECK(caller.size_of(first) == 2 * page);
  CHECK(caller.size_of(second) == 4 * page);
}

TEST_CASE("an allocation has the lowest slot that is free, and is told of in their order") {
  PmemScene scene(board);
  PmemCaller caller;
  std::vector<std::unique_ptr<PmemOpen>> nodes(8);
  Random random(seed());
  std::set<std::uint32_t> used;
  for (int turn = 0; turn < 500; ++turn) {
    const auto place = static_cast<std::size_t>(random.below(nodes.size()));
    std::vector<device::PmemPlace> before, after;
    auto& region = scene.region("bitmap");
    region.for_each_allocation([&](const device::PmemPlace& one) { before.push_back(one); });
    if (nodes[place] != nullptr) {
      nodes[place].reset();
    } else {
      nodes[place] = std::make_unique<PmemOpen>(scene, "bitmap");
      CHECK(caller.call(*nodes[place], device::pmem::allocate, 1) >= 0);
    }
    region.for_each_allocation([&](const device::PmemPlace& one) { after.push_back(one); });
    std::uint32_t lowest = 0;
    while (lowest < before.size() && before[lowest].slot == lowest) ++lowest;
    std::uint32_t last = 0;
    bool has_lowest = false;
    for (const device::PmemPlace& one : after) {
      CHECK((one.slot >= last));
      last = one.slot;
      has_lowest = has_lowest || one.slot == lowest;
    }
    CHECK((after.size() < before.size() || has_lowest));
  }
}

TEST_CASE("files are told of newest first, and only while they are open") {
  PmemScene scene(board);
  PmemCaller caller;
  auto& region = scene.region("bitmap");
  const auto processes = [&] {
    std::vector<std::uint32_t> all;
    region.for_each_file([&](const auto& file) { all.push_back(file.process); });
    return all;
  };
  auto first = std::make_unique<PmemOpen>(scene, "bitmap"), second = std::make_unique<PmemOpen>(scene, "bitmap");
  auto third = std::make_unique<PmemOpen>(scene, "bitmap");
  CHECK(first->file.map(0, page, 11) == device::done);
  CHECK(third->file.map(0, page, 33) == device::done);
  CHECK(processes() == std::vector<std::uint32_t>{33, 0, 11});
  second.reset();
  CHECK(processes() == std::vector<std::uint32_t>{33, 11});
  third.reset();
  CHECK(processes() == std::vector<std::uint32_t>{11});
  first.reset();
  CHECK(processes().empty());
}

TEST_CASE("no more allocations than there are places") {
  PmemScene scene(regions_at("0x2000_0000", RegionText{"many", "0x40_0000"}));

  PmemCaller caller;
  std::vector<std::unique_ptr<PmemOpen>> nodes;
  for (std::size_t turn = 0; turn <= few_pmem.allocations; ++turn) {
    nodes.push_back(std::make_unique<PmemOpen>(scene, "many"));
    CHECK(caller.call(*nodes.back(), device::pmem::allocate, 1) == (turn < few_pmem.allocations ? static_cast<std::int64_t>(turn) : -12));
  }
  nodes[5].reset();
  CHECK(caller.call(*nodes.back(), device::pmem::allocate, 1) == 5);
  CHECK(scene.region("many").active() == few_pmem.allocations);
}
