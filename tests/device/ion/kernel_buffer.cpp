// Buffers that drivers may map, below the API: what needs no client (shared/spec: ION 3.3 to 3.5, 4.1, 4.2; rows 13 to 17).
#include <freestone/device/ion/kernel_buffer.hpp>

#include <cstdint>
#include <optional>
#include <type_traits>

#include <doctest/doctest.h>

#include "support/device_calls.hpp"
#include "support/ion_kernel_scene.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

// Whoever has no such buffers pays for none of it.
static_assert(std::is_empty_v<HeapBase<lock::Futex>::Admission>);
static_assert(can_map_kernel<KernelMemory> && !can_map_kernel<CountedMemory>);

namespace {

using Shared = KernelScene::Shared;
using Ref = Shared::Ref;

Ref buffer(KernelScene& scene, const char* heap, std::uint32_t flags = 0, Bytes size = 8192) {
  const auto client = *scene.device.open();
  auto made = scene.heap(heap).allocate(client, {.size = size, .flags = flags, .seen = Cacheability::uncached});
  REQUIRE(made);
  CHECK(scene.device.close(client));
  return *std::move(made);
}

}  // namespace

TEST_CASE("a memory that the kernel cannot map: ENODEV, and nothing is counted") {
  using Scene = SceneOver<DevicePlatform, kernel_limits, IonBuffer<CountedMemory, lock::Futex, TestOps>>;
  KernelBoard board;
  Scene scene(*read_toml(kernel_board));
  scene.heap("carveout").base().ops = &board.carveout;
  auto made = scene.heap("carveout").allocate(*scene.device.open(), Bytes(8192));
  REQUIRE(made);
  void* address = nullptr;
  IonKernelMap<Scene::Shared> map;
  CHECK(map.begin(*made, {}, address) == Errno::no_device);
  CHECK(scene.device.info(*made).cpu_maps == 0);
  CHECK(board.board.heard.empty());
}

TEST_CASE("a heap of which the board says nothing: programs map its buffers, the kernel and devices do not") {
  KernelScene scene;
  const Ref own = buffer(scene, "bare");
  void* address = nullptr;
  DeviceAddress iova(0);
  CHECK(own.extra().map_kernel(own, Cacheability::cached, address) == Errno::no_device);
  CHECK(own.extra().map_iommu(own, {}, iova) == Errno::no_device);
  CHECK(!own.extra().unmap_iommu(own, {}));
  CHECK(own.extra().secure(own, {}, KernelExtra::Until::unsecured) == Errno::invalid);
  CHECK(own.extra().unsecure() == Errno::invalid);
  Errno error = Errno::io;
  CHECK(IonUserMap<Shared>::make(own, error));
  CHECK(error == Errno::none);
  CHECK(scene.device.info(own).cpu_maps == 0);
}

TEST_CASE("a failed first mapping leaves how the buffer is seen as it was; who maps it meanwhile decides otherwise") {
  KernelScene scene;
  const Ref own = buffer(scene, "carveout");
  void* address = nullptr;
  IonKernelMap<Shared> map;
  scene.board.faults.kernel_map = true;
  CHECK(map.begin(own, Cacheability::cached, address) == Errno::no_memory);
  CHECK(scene.device.info(own).cacheability == Cacheability::uncached);
  scene.board.faults = {};
  CHECK(map.begin(own, Cacheability::cached, address) == Errno::none);
  CHECK(own.extra().kernel_address() == address);
  IonKernelMap<Shared> moved(std::move(map));
  moved = IonKernelMap<Shared>();
  CHECK(own.extra().kernel_address() == nullptr);
  CHECK(scene.device.info(own).cpu_maps == 0);
  CHECK(scene.board.kernel_maps == 0);
}

TEST_CASE("rows 13, 17: a buffer that waits to be freed is seen by no device, and its heap has it still") {
  KernelScene scene;
  scene.later.begin();
  {
    const Ref own = buffer(scene, "carveout");
    DeviceAddress iova(0);
    CHECK(own.extra().map_iommu(own, {}, iova) == Errno::none);
    int maps = 0;
    own.extra().for_each_iommu_map([&](const IommuMap& map) { maps += map.iova == iova; });
    CHECK(maps == 1);
    CHECK(scene.mmu.pages.size() == 2);
  }
  CHECK(scene.mmu.pages.empty());
  CHECK(scene.carveout.figures().leaked == 1);
  CHECK(scene.device.buffer_count() == 1);
  CHECK(scene.later.work());
  CHECK(scene.is_clean());
}

TEST_CASE("rows 15, 28: what waits, secured still, is in its heap's count, and ends when the monitor lets it, each in turn") {
  KernelScene scene;
  {
    const Ref one = buffer(scene, "mm", ion_flag::secure, 1_MiB), two = buffer(scene, "mm", ion_flag::secure, 1_MiB);
    CHECK(one.extra().secure(one, {}, KernelExtra::Until::unsecured) == Errno::none);
    CHECK(two.extra().secure(two, {}, KernelExtra::Until::retired) == Errno::none);
    scene.board.faults.monitor = true;
  }
  CHECK(scene.mm.figures().kept_back == 2);
  CHECK(scene.mm_secure.state().allocated == 2_MiB);
  CHECK(scene.mm_hooks.is_taken);
  scene.mm.end_kept();
  CHECK(scene.mm.figures().kept_back == 2);
  CHECK(scene.device.buffer_count() == 2);
  scene.board.faults = {};
  scene.mm.end_kept();
  CHECK(scene.mm.figures().kept_back == 0);
  scene.mm.end_kept();
  CHECK(scene.is_clean());
}

TEST_CASE("row 14: a heap that devices see as a whole is theirs no more once its last buffer has ended, and again with the next") {
  KernelScene scene;
  for (int round = 0; round < 3; ++round) {
    const Ref own = buffer(scene, "mfc");
    DeviceAddress iova(0);
    CHECK(own.extra().map_iommu(own, {.iommu_flags = unmap_delayed}, iova) == Errno::none);
    CHECK(scene.mmu.pages.size() == 256);
    CHECK(own.extra().unmap_iommu(own, {}));
  }
  CHECK(scene.is_clean());
  CHECK(scene.mfc.figures() == TestOps::Figures());
}

TEST_CASE("row 15: a program's mapping keeps a heap from being secured, and a secured buffer from being mapped") {
  KernelScene scene;
  const Ref own = buffer(scene, "mm", ion_flag::secure, 1_MiB);
  Errno error = Errno::none;
  const KernelScene::Buffer file(*scene.device.ref(own.id()));  // as a program has it
  auto map = file.map_for_process(error);
  REQUIRE(map);
  CHECK(scene.mm_secure.secure({}) == Errno::invalid);
  CHECK(own.extra().secure(own, {}, KernelExtra::Until::unsecured) == Errno::invalid);
  map.reset();
  CHECK(own.extra().secure(own, {}, KernelExtra::Until::unsecured) == Errno::none);
  CHECK(!file.map_for_process(error));
  CHECK(error == Errno::try_again);
  CHECK(scene.device.info(own).cpu_maps == 0);
  CHECK(own.extra().unsecure() == Errno::none);
}

TEST_CASE("rows 15, 16, 28: where a CP heap's board refuses the region, the heap counts no mapping, of the kernel's nor of a program's") {
  KernelScene scene;
  const Ref own = buffer(scene, "mfc", ion_flag::secure, 64_KiB);
  void* address = nullptr;
  Errno error = Errno::none;
  scene.board.faults.request = true;
  CHECK(IonKernelMap<Shared>().begin(own, {}, address) == Errno::io);
  CHECK(!KernelExtra::map_program(own, error));
  CHECK(error == Errno::invalid);
  CHECK(scene.mfc_secure.state().maps == SecureMaps());
  scene.board.faults = {.kernel_map = true};
  CHECK(IonKernelMap<Shared>().begin(own, {}, address) == Errno::no_memory);
  CHECK(scene.mfc_secure.state().maps == SecureMaps());
  CHECK(scene.mfc_region.maps() == 0);
  scene.board.faults = {};
  {
    const auto program = KernelExtra::map_program(own, error);
    IonKernelMap<Shared> kernel;
    CHECK(kernel.begin(own, {}, address) == Errno::none);
    CHECK(scene.mfc_secure.state().maps == SecureMaps{.user = 1, .kernel_uncached = 1});
    CHECK(scene.mfc_region.maps() == 2);
  }
  CHECK(scene.mfc_secure.state().maps == SecureMaps());
  CHECK(scene.mfc_region.maps() == 0);
}
