// PMEM's files used by several threads at once: the thread sanitizer looks on.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/effort.hpp"
#include "support/pmem_scene.hpp"
#include "support/pmem_text.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;
namespace pm = device::pmem;

namespace {

const std::string regions =
    regions_at("0x2000_0000", RegionText{"bitmap", "0x2_0000"}, RegionText{"buddy", "0x2_d000", "BUDDYBESTFIT"});

// Files that all threads have, as a process has its descriptors: who uses one keeps it.
class Descriptors {
 public:
  static constexpr std::size_t count = 12;

  explicit Descriptors(PmemScene& scene) : scene_(scene) {}
  std::shared_ptr<PmemOpen> get(std::size_t place) {
    const std::lock_guard turn(mutex_);
    return open_[place];
  }
  void open(std::size_t place) { put(place, std::make_shared<PmemOpen>(scene_, place % 2 == 0 ? "bitmap" : "buddy")); }
  void put(std::size_t place, std::shared_ptr<PmemOpen> file) {
    const std::lock_guard turn(mutex_);
    open_[place].swap(file);
  }

 private:
  PmemScene& scene_;
  std::mutex mutex_;
  std::array<std::shared_ptr<PmemOpen>, count> open_ = {};
};

struct Thread {
  Thread(Descriptors& all, std::uint64_t seed) : all(all), random(seed) {}

  void step() {
    const auto place = static_cast<std::size_t>(random.below(Descriptors::count)), other = static_cast<std::size_t>(random.below(Descriptors::count));
    const auto file = all.get(place), source = all.get(other);
    if (file == nullptr) return all.open(place);
    caller.open.clear();
    if (source != nullptr) caller.open[static_cast<std::int32_t>(other)] = &source->file;
    const std::uint64_t page = random.below(6), pages = random.from_to(1, 4);
    switch (random.below(9)) {
      case 0: all.put(place, nullptr); break;
      case 1: caller.call(*file, pm::allocate, pages * pmem_page); break;
      case 2: static_cast<void>(file->file.map(0, pages * pmem_page, 7)); break;
      case 3: caller.call(*file, pm::connect, other); break;
      case 4: caller.grant(*file, page, pages); break;
      case 5: caller.withdraw(*file, page, pages); break;
      case 6: caller.told(*file, pm::get_free_space); break;
      case 7: file->file.unmapped(); break;
      default: file->file.region().for_each_file([](const auto& listed) { CHECK(listed.grants.count() <= few_pmem.grants); });
    }
  }

  Descriptors& all;
  Random random;
  PmemCaller caller;
};

}  // namespace

TEST_CASE("row 25: files opened, allocated, connected, mapped, granted and closed by several threads; the regions are free at the end") {
  PmemScene scene(regions);
  {
    Descriptors all(scene);
    std::vector<std::thread> threads;
    for (std::uint64_t number = 0; number < 4; ++number) {
      threads.emplace_back([&, number] {
        Thread thread(all, seed() + number);
        const std::uint64_t steps = environment("FREESTONE_TEST_STEPS", 2'000'000) / 100;
        for (std::uint64_t step = 0; step < steps; ++step) thread.step();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  for (const char* name : {"bitmap", "buddy"}) {
    CHECK(scene.region(name).active() == 0);
    CHECK(scene.region(name).room().total == scene.region(name).settings().size.value());
    scene.region(name).for_each_allocation([](const device::PmemPlace&) { CHECK(false); });
    scene.region(name).for_each_file([](const auto&) { CHECK(false); });
  }
  CHECK(scene.device.client_count() == 0);
  CHECK(scene.device.buffer_count() == 0);
}
