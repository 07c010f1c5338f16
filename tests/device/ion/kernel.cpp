// ION's kernel API, call by call (shared/spec: ION 1.7, 3.3 to 3.5, 4; rows 5, 9, 13, 14, 15, 16, 20, 28).
#include <freestone/device/ion/kernel.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "support/effort.hpp"
#include "support/ion_kernel_scene.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

using Kernel = KernelScene::Kernel;
using KernelClient = Kernel::Client;
constexpr IonGeneration g1 = IonGeneration::g1, g2 = IonGeneration::g2, g3 = IonGeneration::g3;
constexpr Cacheability cached = Cacheability::cached, uncached = Cacheability::uncached;
constexpr Securing v1{SecureVersion::v1, 0}, pixel{SecureVersion::v2, secure_usage::video_pixel};
constexpr std::uint32_t all_types = ~std::uint32_t{0};

// A driver with a client of its own, until it ends.
struct Driver {
  explicit Driver(KernelScene& scene, Kernel& kernel, std::uint32_t types = all_types, const char* name = "driver") : scene(scene), kernel(kernel) {
    REQUIRE(kernel.client_create(types, name, client) == Errno::none);
  }
  ~Driver() { static_cast<void>(kernel.client_destroy(client)); }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  Errno alloc(std::uint64_t length, std::uint32_t mask, std::uint64_t& handle, std::uint32_t flags = 0) {
    return kernel.alloc(*client, {.length = length, .mask = mask, .flags = flags}, handle);
  }
  // It must be had.
  std::uint64_t buffer(std::uint32_t mask, std::uint64_t length = 8192, std::uint32_t flags = 0) {
    std::uint64_t handle = 0;
    REQUIRE(alloc(length, mask, handle, flags) == Errno::none);
    return handle;
  }
  Errno free(std::uint64_t handle) { return kernel.free(*client, handle); }
  Errno map(std::uint64_t handle, std::optional<Cacheability> wanted = {}) {
    void* address = nullptr;
    const Errno error = kernel.map_kernel(*client, handle, wanted, address);
    CHECK((error == Errno::none) == (address != nullptr));
    return error;
  }
  Answer unmap(std::uint64_t handle) { return kernel.unmap_kernel(*client, handle); }
  Errno map_iommu(std::uint64_t handle, const IommuRequest& request, std::uint64_t* iova = nullptr) {
    Kernel::DeviceView view;
    const Errno error = kernel.map_iommu(*client, handle, request, view);
    if (iova != nullptr) *iova = view.iova.value();
    return error;
  }
  Answer unmap_iommu(std::uint64_t handle, IommuKey key = {}) { return kernel.unmap_iommu(*client, handle, key); }
  // The same buffer, for another.
  std::uint64_t pass(std::uint64_t handle, Driver& to) {
    std::optional<Kernel::Buffer> file;
    REQUIRE(kernel.share_dma_buf(*client, handle, file) == Errno::none);
    std::uint64_t own = 0;
    REQUIRE(kernel.import_dma_buf(*to.client, *file, own) == Errno::none);
    return own;
  }
  BufferInfo info(std::uint64_t handle) {
    std::optional<Kernel::Buffer> file;
    REQUIRE(kernel.share_dma_buf(*client, handle, file) == Errno::none);
    return scene.device.info(file->buffer());
  }

  KernelScene& scene;
  Kernel& kernel;
  KernelClient* client = nullptr;
};

struct Bench {
  explicit Bench(IonGeneration generation = g1) : scene(generation), kernel(scene.ion_heaps, scene.cookies) {}
  KernelScene scene;
  Kernel kernel;
  Board& board = scene.board;
};

}  // namespace

TEST_CASE("clients: a name is needed; there is room for so many; a destroyed one is none") {
  Bench bench;
  KernelClient* client = nullptr;
  CHECK(bench.kernel.client_create(all_types, nullptr, client) == Errno::invalid);
  std::vector<KernelClient*> all;
  while (bench.kernel.client_create(all_types, "video", client) == Errno::none) all.push_back(client);
  CHECK(all.size() == 4);
  CHECK(bench.kernel.client_create(all_types, "video", client) == Errno::no_memory);
  CHECK(std::string(all[0]->name()) == "video");
  CHECK(bench.kernel.find(all[1]) == all[1]);
  CHECK(bench.kernel.client_destroy(all[1]) == Errno::none);
  CHECK(bench.kernel.find(all[1]) == nullptr);
  CHECK(bench.kernel.client_destroy(all[1]) == Errno::invalid);
  CHECK(bench.kernel.client_destroy(nullptr) == Errno::invalid);
  int seen = 0;
  bench.kernel.for_each_client([&](const KernelClient& one) { seen += &one != all[1]; });
  CHECK(seen == 3);
  const std::string longer(100, 'n');
  CHECK(bench.kernel.client_create(all_types, longer.c_str(), client) == Errno::none);
  CHECK(client->name() == longer.substr(0, KernelClient::most_name - 1));
}

TEST_CASE("clients: as many as the device has room for; a refused one leaves his place free") {
  Bench bench;
  std::vector<ClientId> others;
  while (const auto id = bench.scene.device.open()) others.push_back(*id);
  KernelClient* client = nullptr;
  for (int i = 0; i < 10; ++i) CHECK(bench.kernel.client_create(all_types, "video", client) == Errno::no_memory);
  CHECK(bench.scene.device.close(others[0]));
  CHECK(bench.kernel.client_create(all_types, "video", client) == Errno::none);
}

TEST_CASE("row 5: a client's heap types; rows 6, 9: alloc and free as the commands") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel), cp_only(bench.scene, bench.kernel, 1U << 4);
  std::uint64_t handle = 0, none = 0;
  CHECK(cp_only.alloc(4096, heap_bit::carveout, handle) == Errno::no_device);
  CHECK(cp_only.alloc(4096, heap_bit::carveout | heap_bit::mm, handle) == Errno::none);
  CHECK(driver.alloc(0, heap_bit::carveout, none) == Errno::invalid);
  CHECK(driver.alloc(2 << 20, heap_bit::carveout, none) == Errno::no_memory);
  CHECK(driver.free(handle) == Errno::invalid);  // another's: the original stops the system
  CHECK(driver.free(0) == Errno::invalid);
  CHECK(cp_only.free(handle) == Errno::none);
  CHECK(cp_only.free(handle) == Errno::invalid);
  CHECK(bench.scene.is_clean());
}

TEST_CASE("row 9: import gives the client's own handle again, and each is to be freed; another device's buffer is none") {
  Bench bench, other;
  Driver driver(bench.scene, bench.kernel), second(bench.scene, bench.kernel), foreign(other.scene, other.kernel);
  const std::uint64_t handle = driver.buffer(heap_bit::carveout);
  CHECK(driver.pass(handle, driver) == handle);
  const std::uint64_t own = driver.pass(handle, second);
  std::optional<Kernel::Buffer> file;
  CHECK(driver.kernel.share_dma_buf(*driver.client, handle, file) == Errno::none);
  std::uint64_t none = 0;
  CHECK(foreign.kernel.import_dma_buf(*foreign.client, *file, none) == Errno::invalid);
  CHECK(driver.kernel.share_dma_buf(*driver.client, own, file) == Errno::invalid);
  file.reset();
  CHECK(driver.free(handle) == Errno::none);
  CHECK(driver.free(handle) == Errno::none);
  CHECK(driver.free(handle) == Errno::invalid);
  CHECK(bench.scene.device.buffer_count() == 1);
  CHECK(second.free(own) == Errno::none);
  CHECK(bench.scene.is_clean());
}

TEST_CASE("phys, sg_table, size and flags: where the memory is; ENODEV of heaps without; EINVAL of handles that are none") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  PhysicalPiece piece;
  static_cast<void>(driver.buffer(heap_bit::carveout, 4096));
  const std::uint64_t second = driver.buffer(heap_bit::carveout, 12288);
  CHECK(driver.kernel.phys(*driver.client, second, piece) == Errno::none);
  CHECK(piece == PhysicalPiece{PhysicalAddress(carveout_base + 4096), 12288});
  for (const std::uint32_t mask : {heap_bit::system, heap_bit::iommu, heap_bit::bare})
    CHECK(driver.kernel.phys(*driver.client, driver.buffer(mask), piece) == Errno::no_device);

  std::vector<PhysicalPiece> pieces;
  const auto note = [&](const PhysicalPiece& one) { pieces.push_back(one); };
  const std::uint64_t scattered = driver.buffer(heap_bit::system, (1 << 20) + (64 << 10) + 4096);
  CHECK(driver.kernel.sg_table(*driver.client, scattered, note) == Errno::none);
  CHECK(pieces.size() == 3);
  CHECK(pieces[0].length == 1_MiB);
  CHECK(pieces[2].length == 4096);
  CHECK(driver.kernel.sg_table(*driver.client, driver.buffer(heap_bit::bare), note) == Errno::no_device);

  Bytes size;
  std::uint32_t flags = 7;
  CHECK(driver.kernel.handle_get_size(*driver.client, scattered, size) == Errno::none);
  CHECK(size == (1 << 20) + (64 << 10) + 4096);
  CHECK(driver.kernel.handle_get_flags(*driver.client, scattered, flags) == Errno::none);
  CHECK(flags == 0);
  CHECK(driver.map(scattered, cached) == Errno::none);
  CHECK(driver.kernel.handle_get_flags(*driver.client, scattered, flags) == Errno::none);
  CHECK(flags == 1);

  void* address = nullptr;
  Kernel::DeviceView view;
  std::optional<Kernel::Buffer> file;
  auto& kernel = driver.kernel;
  for (const std::uint64_t none : {std::uint64_t{0}, std::uint64_t{1}, second + 16, ~std::uint64_t{0}}) {
    CHECK(kernel.phys(*driver.client, none, piece) == Errno::invalid);
    CHECK(kernel.sg_table(*driver.client, none, note) == Errno::invalid);
    CHECK(kernel.handle_get_size(*driver.client, none, size) == Errno::invalid);
    CHECK(kernel.handle_get_flags(*driver.client, none, flags) == Errno::invalid);
    CHECK(kernel.share_dma_buf(*driver.client, none, file) == Errno::invalid);
    CHECK(kernel.map_kernel(*driver.client, none, {}, address) == Errno::invalid);
    CHECK(kernel.unmap_kernel(*driver.client, none) == Errno::invalid);
    CHECK(kernel.map_iommu(*driver.client, none, {}, view) == Errno::invalid);
    CHECK(kernel.unmap_iommu(*driver.client, none, {}) == Errno::invalid);
    CHECK(kernel.secure_buffer(*driver.client, none, v1) == Errno::invalid);
    CHECK(kernel.unsecure_buffer(*driver.client, none) == Errno::invalid);
    CHECK(kernel.do_cache_op(*driver.client, none, 0, 0, 1, CacheCommand::clean) == Errno::invalid);
  }
}

TEST_CASE("row 15: a secure buffer of whole MiB is listed as the monitor takes it") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  std::vector<PhysicalPiece> pieces;
  const auto note = [&](const PhysicalPiece& one) { pieces.push_back(one); };
  CHECK(driver.kernel.sg_table(*driver.client, driver.buffer(heap_bit::mm, 2 << 20, ion_flag::secure), note) == Errno::none);
  CHECK(pieces == std::vector<PhysicalPiece>{{PhysicalAddress(mm_base), 1_MiB}, {PhysicalAddress(mm_base + (1 << 20)), 1_MiB}});
  pieces.clear();
  CHECK(driver.kernel.sg_table(*driver.client, driver.buffer(heap_bit::mm, 1 << 20), note) == Errno::none);
  CHECK(pieces.size() == 1);
}

TEST_CASE("row 13: the first mapping of a handle counts in its buffer, the others in the handle; the memory is mapped once") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel), second(bench.scene, bench.kernel);
  const std::uint64_t handle = driver.buffer(heap_bit::contig), own = driver.pass(handle, second);
  for (int i = 0; i < 3; ++i) CHECK(driver.map(handle) == Errno::none);
  CHECK(driver.info(handle).cpu_maps == 1);
  CHECK(second.map(own) == Errno::none);
  CHECK(driver.info(handle).cpu_maps == 2);
  CHECK(bench.board.take_heard() == "k");
  for (int i = 0; i < 3; ++i) CHECK(driver.unmap(handle) == done);
  CHECK(driver.unmap(handle) == was_not_mapped);  // another's is not his to end
  CHECK(driver.info(handle).cpu_maps == 1);
  CHECK(bench.board.heard.empty());
  CHECK(second.unmap(own) == done);
  CHECK(second.unmap(own) == was_not_mapped);
  CHECK(bench.board.take_heard() == "u");
  CHECK(driver.info(handle).cpu_maps == 0);
}

TEST_CASE("row 13: a handle that ends takes its mappings along, and its heap notes that; others' stay") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  const std::uint64_t handle = driver.buffer(heap_bit::carveout);
  {
    Driver second(bench.scene, bench.kernel);
    const std::uint64_t own = driver.pass(handle, second);
    CHECK(second.map(own) == Errno::none);
    CHECK(second.map(own) == Errno::none);
    CHECK(driver.map(handle) == Errno::none);
    CHECK(second.free(own) == Errno::none);
    CHECK(bench.scene.carveout.figures().forced == 1);
    CHECK(driver.info(handle).cpu_maps == 1);
    CHECK(second.map(driver.pass(handle, second)) == Errno::none);
    CHECK(bench.scene.carveout.figures().forced == 1);
  }
  CHECK(bench.scene.carveout.figures().forced == 2);
  CHECK(bench.board.take_heard() == "[k");
  CHECK(driver.unmap(handle) == done);
  CHECK(bench.board.take_heard() == "u]");
  CHECK(driver.free(handle) == Errno::none);
  CHECK(bench.scene.carveout.figures().forced == 2);
  CHECK(bench.scene.is_clean());
}

TEST_CASE("row 12: G1's mapping sets how a buffer is seen; EEXIST while it is mapped in another way, by whomever") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel), second(bench.scene, bench.kernel);
  const std::uint64_t handle = driver.buffer(heap_bit::carveout), own = driver.pass(handle, second);
  CHECK(driver.map(handle, cached) == Errno::none);
  CHECK(driver.map(handle, uncached) == Errno::exists);
  CHECK(second.map(own, uncached) == Errno::exists);
  CHECK(driver.info(handle).cacheability == cached);
  CHECK(second.map(own, cached) == Errno::none);
  CHECK(driver.unmap(handle) == done);
  CHECK(second.unmap(own) == done);
  CHECK(driver.unmap(handle) == was_not_mapped);
  CHECK(second.map(own, uncached) == Errno::none);
  CHECK(driver.info(handle).cacheability == uncached);
  CHECK(second.unmap(own) == done);
  CHECK(driver.map_iommu(handle, {}) == Errno::none);
  CHECK(driver.map(handle, cached) == Errno::exists);
  CHECK(driver.unmap_iommu(handle) == done);
  CHECK(driver.map(handle, cached) == Errno::none);
  CHECK(driver.unmap(handle) == done);
  // The system's are seen cached, or not at all.
  const std::uint64_t system = driver.buffer(heap_bit::system);
  CHECK(driver.map(system, uncached) == Errno::invalid);
  CHECK(driver.map(system) == Errno::invalid);
  CHECK(driver.map_iommu(system, {}) == Errno::invalid);
  CHECK(driver.map(system, cached) == Errno::none);
  CHECK(driver.map_iommu(system, {}) == Errno::none);
}

TEST_CASE("row 12: G2 and G3 see it as its allocation said") {
  for (const IonGeneration generation : {g2, g3}) {
    Bench bench(generation);
    Driver driver(bench.scene, bench.kernel);
    const std::uint64_t handle = driver.buffer(heap_bit::system, 8192, ion_flag::cached), other = driver.buffer(heap_bit::system);
    CHECK(driver.map(handle) == Errno::none);
    CHECK(driver.map(other) == Errno::none);
    CHECK(driver.info(handle).cacheability == cached);
    CHECK(driver.info(other).cacheability == uncached);
    std::uint32_t flags = 0;
    CHECK(driver.kernel.handle_get_flags(*driver.client, handle, flags) == Errno::none);
    CHECK(flags == ion_flag::cached);
  }
}

TEST_CASE("row 16: a carve-out's region is there from its first mapping to its last, the kernel's and programs' together") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  const std::uint64_t one = driver.buffer(heap_bit::carveout), two = driver.buffer(heap_bit::carveout);
  CHECK(driver.map(one) == Errno::none);
  CHECK(driver.map(two) == Errno::none);
  CHECK(bench.board.take_heard() == "[kk");
  std::optional<Kernel::Buffer> file;
  CHECK(driver.kernel.share_dma_buf(*driver.client, one, file) == Errno::none);
  Errno error = Errno::none;
  auto map = IonUserMap<KernelScene::Shared>::make(file->buffer(), error);
  CHECK(map);
  CHECK(driver.unmap(one) == done);
  CHECK(driver.unmap(two) == done);
  CHECK(bench.board.take_heard() == "uu");
  map.reset();
  CHECK(bench.board.take_heard() == "]");
  map = IonUserMap<KernelScene::Shared>::make(file->buffer(), error);
  CHECK(bench.board.take_heard() == "[");
  map.reset();
  CHECK(bench.board.take_heard() == "]");
}

TEST_CASE("rows 16, 28: where a part of a mapping fails, what went before is undone, and how it was seen is as it was") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  const std::uint64_t handle = driver.buffer(heap_bit::carveout), secure = driver.buffer(heap_bit::mm, 1 << 20, ion_flag::secure);
  std::optional<Kernel::Buffer> file;
  CHECK(driver.kernel.share_dma_buf(*driver.client, handle, file) == Errno::none);
  Errno error = Errno::none;
  CHECK(bench.board.take_heard() == "(");
  bench.board.faults.request = true;
  CHECK(driver.map(handle, cached) == Errno::io);
  CHECK(!IonUserMap<KernelScene::Shared>::make(file->buffer(), error));
  CHECK(error == Errno::invalid);
  CHECK(bench.board.take_heard() == "[![!");
  CHECK(bench.scene.region.maps() == 0);
  bench.board.faults = {.kernel_map = true};
  CHECK(driver.map(handle, cached) == Errno::no_memory);
  CHECK(bench.board.take_heard() == "[k!]");
  CHECK(driver.map(secure, cached) == Errno::no_memory);
  CHECK(bench.scene.mm_secure.state().maps == SecureMaps());
  CHECK(driver.info(handle).cpu_maps == 0);
  CHECK(driver.info(handle).cacheability == uncached);
  bench.board.faults = {.release = true};
  CHECK(driver.map(handle, cached) == Errno::none);
  CHECK(driver.unmap(handle) == done);  // the mapping is gone, whatever the board says
  CHECK(bench.board.kernel_maps == 0);
  CHECK(driver.unmap(handle) == was_not_mapped);
}

TEST_CASE("row 14: same place, same addresses; each unmaps for himself; what differs is EINVAL") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel), second(bench.scene, bench.kernel);
  const std::uint64_t handle = driver.buffer(heap_bit::carveout, 3 * page), own = driver.pass(handle, second);
  std::uint64_t iova = 0, again = 1, other = 2;
  CHECK(driver.map_iommu(handle, {.flags = map_cached}) == Errno::invalid);
  CHECK(driver.map_iommu(handle, {.length = 2 * page}) == Errno::invalid);
  CHECK(driver.map_iommu(handle, {.length = 3 * page + 1}) == Errno::invalid);
  CHECK(driver.map_iommu(handle, {.align = 3}) == Errno::invalid);
  CHECK(driver.map_iommu(handle, {.key = {7, 0}}) != Errno::none);
  CHECK(driver.info(handle).device_maps == 0);
  CHECK(driver.map_iommu(handle, {.length = 4 * page}, &iova) == Errno::none);
  CHECK(bench.scene.mmu.pages.size() == 4);
  CHECK(bench.scene.mmu.pages.at({0, iova}) == carveout_base);
  CHECK(bench.scene.mmu.pages.at({0, iova + 3 * page}) == dummy_page.value());
  CHECK(second.map_iommu(own, {.length = 4 * page}, &again) == Errno::none);
  CHECK(again == iova);
  CHECK(second.map_iommu(own, {.length = 3 * page}) == Errno::invalid);
  CHECK(second.map_iommu(own, {.length = 4 * page, .iommu_flags = 4}) == Errno::invalid);
  CHECK(second.map_iommu(own, {.key = {1, 0}}, &other) == Errno::none);
  CHECK(driver.info(handle).device_maps == 1);
  CHECK(driver.unmap_iommu(handle) == done);
  CHECK(bench.scene.mmu.pages.size() == 7);
  CHECK(second.unmap_iommu(own) == done);
  CHECK(second.unmap_iommu(own) == was_not_mapped);
  CHECK(second.unmap_iommu(own, {1, 0}) == done);
  CHECK(driver.info(handle).device_maps == 0);
  CHECK(bench.scene.mmu.pages.empty());
  CHECK(driver.map_iommu(driver.buffer(heap_bit::contig), {}) == Errno::no_device);
  CHECK(driver.map_iommu(driver.buffer(heap_bit::bare), {}) == Errno::no_device);
  CHECK(driver.unmap_iommu(driver.buffer(heap_bit::bare)) == was_not_mapped);
}

TEST_CASE("rows 14, 28: where the page tables fail the caller hears it, at whichever page, and nothing is mapped or counted") {
  for (std::uint64_t failing = 1; failing <= 4; ++failing) {
    Bench bench;
    Driver driver(bench.scene, bench.kernel);
    const std::uint64_t handle = driver.buffer(heap_bit::carveout, 3 * page);
    bench.board.faults.mmu_call = failing;
    // One call for the buffer's one piece; each page behind its end is another.
    CHECK(driver.map_iommu(handle, {.length = 6 * page}) == Errno::no_memory);
    CHECK(bench.scene.mmu.pages.empty());
    CHECK(driver.info(handle).device_maps == 0);
    bench.board.faults = {};
    CHECK(driver.map_iommu(handle, {.length = 6 * page}) == Errno::none);
    CHECK(driver.unmap_iommu(handle) == done);
    CHECK(driver.free(handle) == Errno::none);
    CHECK(bench.scene.is_clean());
  }
}

TEST_CASE("rows 13, 14: a buffer's end takes its devices' mappings along: one is a leak, unless it was delayed and nobody used it") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  const std::uint64_t delayed = driver.buffer(heap_bit::carveout), used = driver.buffer(heap_bit::carveout);
  CHECK(driver.map_iommu(delayed, {.iommu_flags = unmap_delayed}) == Errno::none);
  CHECK(driver.unmap_iommu(delayed) == done);
  CHECK(bench.scene.mmu.pages.size() == 2);
  CHECK(driver.unmap_iommu(delayed) == was_not_mapped);  // the buffer's own is not his
  CHECK(driver.info(delayed).device_maps == 1);
  CHECK(driver.map_iommu(used, {.key = {1, 0}, .iommu_flags = unmap_delayed}) == Errno::none);
  CHECK(driver.free(delayed) == Errno::none);
  CHECK(bench.scene.carveout.figures().leaked == 0);
  CHECK(driver.free(used) == Errno::none);
  CHECK(bench.scene.carveout.figures().leaked == 1);
  CHECK(bench.board.leaked.size() == 1);
  CHECK(bench.board.leaked[0].key == IommuKey{1, 0});
  CHECK(bench.scene.is_clean());
}

TEST_CASE("row 14: a heap that is mapped as a whole: one mapping for all buffers, gone when the last is") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  const std::uint64_t one = driver.buffer(heap_bit::mfc, 64 << 10), two = driver.buffer(heap_bit::mfc, 64 << 10);
  std::uint64_t first = 0, second = 0;
  CHECK(driver.map_iommu(one, {.iommu_flags = unmap_delayed}, &first) == Errno::none);
  CHECK(driver.map_iommu(two, {}, &second) == Errno::none);
  CHECK(second == first + (64 << 10));
  CHECK(bench.scene.mmu.pages.size() == 256);
  CHECK(driver.unmap_iommu(one) == done);
  CHECK(driver.info(one).device_maps == 0);  // nothing is delayed there
  CHECK(driver.unmap_iommu(two) == done);
  CHECK(driver.free(one) == Errno::none);
  CHECK(bench.scene.mmu.pages.size() == 256);
  CHECK(driver.free(two) == Errno::none);
  CHECK(bench.scene.mmu.pages.empty());
  CHECK(bench.scene.is_clean());
}

TEST_CASE("row 15: a CP heap's first and last buffer, however many come between; what fails is rolled back") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  const std::uint64_t one = driver.buffer(heap_bit::mm), two = driver.buffer(heap_bit::mm);
  CHECK(bench.board.take_heard() == "(");
  CHECK(bench.scene.mm_secure.state().allocated == 16384);
  CHECK(driver.free(one) == Errno::none);
  CHECK(bench.board.heard.empty());
  CHECK(driver.free(two) == Errno::none);
  CHECK(bench.board.take_heard() == ")");
  std::uint64_t none = 0;
  CHECK(driver.alloc(8 << 20, heap_bit::mm, none) == Errno::no_memory);
  CHECK(bench.board.take_heard() == "()");
  bench.board.faults.memory = true;
  CHECK(driver.alloc(8192, heap_bit::mm, none) == Errno::no_memory);
  CHECK(bench.board.take_heard() == "()");
  bench.board.faults = {.first = true};
  CHECK(driver.alloc(8192, heap_bit::mm, none) == Errno::no_memory);
  CHECK(bench.board.take_heard() == "(!");
  bench.board.faults = {};
  CHECK(bench.scene.is_clean());
}

TEST_CASE("row 15: a protected heap: no plain buffer, no program's mapping, the kernel's uncached only") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  auto& kernel = driver.kernel;
  const std::uint64_t handle = driver.buffer(heap_bit::mm, 1 << 20, ion_flag::secure);
  std::optional<Kernel::Buffer> file;
  CHECK(kernel.share_dma_buf(*driver.client, handle, file) == Errno::none);
  CHECK(driver.map(handle, cached) == Errno::none);
  CHECK(kernel.secure_heap(heap_bit::mm, v1) == Errno::invalid);
  CHECK(driver.unmap(handle) == done);
  CHECK(kernel.secure_heap(heap_bit::mm, {SecureVersion::v2, secure_usage::end}) == Errno::invalid);
  bench.board.take_heard();
  CHECK(kernel.secure_heap(heap_bit::mm, pixel) == Errno::none);
  CHECK(kernel.secure_heap(heap_bit::mm, pixel) == Errno::none);
  CHECK(bench.board.take_heard() == "+");
  std::uint64_t none = 0;
  CHECK(driver.alloc(4096, heap_bit::mm, none) == Errno::no_memory);
  CHECK(driver.free(driver.buffer(heap_bit::mm, 4096, ion_flag::secure)) == Errno::none);
  Errno error = Errno::none;
  CHECK(!IonUserMap<KernelScene::Shared>::make(file->buffer(), error));
  CHECK(error == Errno::try_again);
  CHECK(driver.map(handle, cached) == Errno::try_again);
  CHECK(driver.map(handle, uncached) == Errno::none);
  CHECK(driver.unmap(handle) == done);
  CHECK(kernel.unsecure_heap(heap_bit::mm) == Errno::none);
  bench.board.take_heard();
  bench.board.faults.monitor = true;
  CHECK(kernel.unsecure_heap(heap_bit::mm) == Errno::io);
  bench.board.faults = {};
  CHECK(kernel.unsecure_heap(heap_bit::mm) == Errno::none);
  CHECK(kernel.unsecure_heap(heap_bit::mm) == Errno::invalid);
  CHECK(bench.board.take_heard() == "-!-");
  for (const std::uint32_t unknown : {0U, 1U << 30, 1U << 31}) {
    CHECK(kernel.secure_heap(unknown, v1) == Errno::no_device);
    CHECK(kernel.unsecure_heap(unknown) == Errno::no_device);
  }
  for (const std::uint32_t other : {heap_bit::carveout, heap_bit::bare, heap_bit::system}) CHECK(kernel.secure_heap(other, v1) == Errno::invalid);
}

TEST_CASE("row 15: secure_buffer: what was allocated so, uncached and mapped by nobody; counted; and always in one way") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  auto& kernel = driver.kernel;
  auto& client = *driver.client;
  const std::uint64_t handle = driver.buffer(heap_bit::mm, 1 << 20, ion_flag::secure), plain = driver.buffer(heap_bit::mm, 1 << 20);
  CHECK(kernel.secure_buffer(client, plain, pixel) == Errno::invalid);
  CHECK(kernel.secure_buffer(client, driver.buffer(heap_bit::carveout), pixel) == Errno::invalid);
  CHECK(kernel.secure_buffer(client, driver.buffer(heap_bit::bare), pixel) == Errno::invalid);
  CHECK(kernel.unsecure_buffer(client, plain) == Errno::invalid);
  CHECK(driver.map(handle, uncached) == Errno::none);
  CHECK(kernel.secure_buffer(client, handle, pixel) == Errno::invalid);
  CHECK(driver.unmap(handle) == done);
  CHECK(driver.map_iommu(handle, {}) == Errno::none);
  CHECK(kernel.secure_buffer(client, handle, pixel) == Errno::invalid);
  CHECK(driver.unmap_iommu(handle) == done);
  CHECK(driver.map(handle, cached) == Errno::none);
  CHECK(driver.unmap(handle) == done);
  CHECK(kernel.secure_buffer(client, handle, pixel) == Errno::invalid);  // cached
  CHECK(driver.map(handle, uncached) == Errno::none);
  CHECK(driver.unmap(handle) == done);
  bench.board.take_heard();
  bench.board.faults.monitor = true;
  CHECK(kernel.secure_buffer(client, handle, pixel) == Errno::io);
  bench.board.faults = {};
  CHECK(kernel.secure_buffer(client, handle, pixel) == Errno::none);
  CHECK(kernel.secure_buffer(client, handle, pixel) == Errno::none);
  CHECK(kernel.secure_buffer(client, handle, v1) == Errno::invalid);
  CHECK(bench.scene.monitor.locked == std::map<std::uint64_t, std::uint64_t>{{mm_base, mm_base + (1 << 20)}});
  CHECK(driver.map(handle, cached) == Errno::try_again);
  CHECK(driver.info(handle).cacheability == uncached);
  CHECK(kernel.unsecure_buffer(client, handle) == Errno::none);
  CHECK(bench.board.take_heard() == "+!+");
  CHECK(kernel.unsecure_buffer(client, handle) == Errno::none);
  CHECK(kernel.unsecure_buffer(client, handle) == Errno::invalid);
  CHECK(bench.board.take_heard() == "-");
}

TEST_CASE("row 15: kept secure until the buffer ends; and secured more than once, which is told") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  auto& kernel = driver.kernel;
  const std::uint64_t kept = driver.buffer(heap_bit::mm, 1 << 20, ion_flag::secure), twice = driver.buffer(heap_bit::mm, 1 << 20, ion_flag::secure);
  CHECK(kernel.secure_buffer(*driver.client, kept, pixel, Kernel::Until::retired) == Errno::none);
  CHECK(kernel.unsecure_buffer(*driver.client, kept) == Errno::none);
  CHECK(bench.scene.monitor.locked.size() == 1);
  for (int i = 0; i < 2; ++i) CHECK(kernel.secure_buffer(*driver.client, twice, v1) == Errno::none);
  bench.board.take_heard();
  CHECK(driver.free(kept) == Errno::none);
  CHECK(bench.scene.mm.figures().unbalanced == 0);
  CHECK(driver.free(twice) == Errno::none);
  CHECK(bench.scene.mm.figures().unbalanced == 1);
  CHECK(bench.board.take_heard() == "--)");
  CHECK(bench.scene.is_clean());
}

TEST_CASE("rows 15, 28: a buffer that the monitor does not let go of is nobody's memory, until it does") {
  Bench bench;
  Driver driver(bench.scene, bench.kernel);
  auto& kernel = driver.kernel;
  std::array<std::uint64_t, 3> handles{};
  for (auto& handle : handles) {
    handle = driver.buffer(heap_bit::mm, 1 << 20, ion_flag::secure);
    CHECK(kernel.secure_buffer(*driver.client, handle, pixel) == Errno::none);
    CHECK(driver.map_iommu(handle, {}) == Errno::none);
  }
  bench.board.faults.monitor = true;
  for (const std::uint64_t handle : handles) CHECK(driver.free(handle) == Errno::none);
  CHECK(bench.scene.mm.figures().kept_back == 3);
  CHECK(bench.scene.mm.figures().leaked == 3);
  CHECK(bench.scene.mmu.pages.empty());  // devices do not see it
  std::uint64_t handle = 0;
  CHECK(driver.alloc(2 << 20, heap_bit::mm, handle, ion_flag::secure) == Errno::no_memory);
  CHECK(bench.scene.mm.figures().kept_back == 3);
  bench.board.faults = {};
  CHECK(driver.alloc(4 << 20, heap_bit::mm, handle, ion_flag::secure) == Errno::none);
  CHECK(bench.scene.mm.figures() == TestOps::Figures{.leaked = 3});
  CHECK(driver.free(handle) == Errno::none);
  CHECK(bench.scene.is_clean());
}

TEST_CASE("rows 13, 15: a client that is destroyed with everything that a handle can have") {
  Bench bench;
  {
    Driver driver(bench.scene, bench.kernel);
    const std::uint64_t mapped = driver.buffer(heap_bit::carveout), devices = driver.buffer(heap_bit::system);
    const std::uint64_t secured = driver.buffer(heap_bit::mm, 1 << 20, ion_flag::secure);
    for (int i = 0; i < 3; ++i) CHECK(driver.pass(mapped, driver) == mapped);
    for (int i = 0; i < 2; ++i) CHECK(driver.map(mapped) == Errno::none);
    CHECK(driver.map(devices, cached) == Errno::none);
    CHECK(driver.map_iommu(devices, {}) == Errno::none);
    CHECK(driver.kernel.secure_buffer(*driver.client, secured, pixel) == Errno::none);
    CHECK(driver.map(secured, uncached) == Errno::none);
    CHECK(driver.map_iommu(secured, {.key = {1, 0}, .iommu_flags = unmap_delayed}) == Errno::none);
  }
  CHECK(bench.scene.is_clean());
  CHECK(bench.scene.carveout.figures() == TestOps::Figures{.forced = 1});
  CHECK(bench.scene.system.figures() == TestOps::Figures{.leaked = 1, .forced = 1});
  CHECK(bench.scene.mm.figures() == TestOps::Figures{.leaked = 1, .forced = 1});
  CHECK(bench.scene.device.client_count() == 0);
}

TEST_CASE("row 20: a cache operation is on the kernel's own mapping; G2's address 0 is all of it; uncached is no work") {
  for (const IonGeneration generation : {g1, g2}) {
    Bench bench(generation);
    Driver driver(bench.scene, bench.kernel);
    const std::uint32_t flags = generation == g2 ? ion_flag::cached : 0;
    const std::uint64_t handle = driver.buffer(heap_bit::carveout, 3 * page, flags);
    const auto wanted = generation == g1 ? std::optional(cached) : std::nullopt;
    const auto op = [&](std::uint64_t address, std::uint64_t offset, std::uint64_t length, CacheCommand command = CacheCommand::clean) {
      bench.board.maintained.clear();
      return driver.kernel.do_cache_op(*driver.client, handle, address, offset, length, command);
    };
    constexpr std::uint64_t at = 0x1000'0000;
    CHECK(op(at, 0, page) == Errno::invalid);  // not mapped
    CHECK(driver.map(handle, wanted) == Errno::none);
    CHECK(op(at + page, page, page) == Errno::none);
    CHECK(bench.board.maintained == std::vector<std::string>{"inner 4096 4096", "outer " + std::to_string(carveout_base + page) + " 4096"});
    CHECK(op(at, 0, 3 * page + 1) == Errno::invalid);
    CHECK(op(at, 0, page, static_cast<CacheCommand>(7)) == Errno::invalid);
    CHECK(op(0, 0, page) == (generation == g2 ? Errno::none : Errno::invalid));
    CHECK(bench.board.maintained.size() == (generation == g2 ? 1 : 0));
    CHECK(driver.unmap(handle) == done);
    if (generation == g1) {
      CHECK(driver.map(handle, uncached) == Errno::none);
      CHECK(op(at, 0, page) == Errno::none);
      CHECK(bench.board.maintained.empty());
    }
  }
}

namespace {

// What the kernel's side counts, naively: two drivers with handles to the same four buffers, two of them carve-outs, two secure.
struct NaiveBuffer {
  std::uint32_t references[2] = {}, kernel[2] = {};
  Cacheability seen = uncached;
  std::uint32_t users[2] = {};  // of devices' mappings, by domain
  bool is_delayed[2] = {};
  std::uint32_t secured = 0;
  bool is_secure = false;
  std::uint64_t handles[2] = {};

  bool is_known() const { return references[0] + references[1] != 0; }
  bool has_devices() const { return users[0] + users[1] != 0 || is_delayed[0] || is_delayed[1]; }
  std::uint32_t mapped_handles() const { return std::uint32_t{kernel[0] != 0} + std::uint32_t{kernel[1] != 0}; }
};

struct Naive {
  Errno map(NaiveBuffer& buffer, std::size_t who, std::optional<Cacheability> wanted) const {
    if (buffer.references[who] == 0) return Errno::invalid;
    const bool is_mapped = buffer.mapped_handles() != 0 || buffer.has_devices();
    if (wanted && is_mapped && *wanted != buffer.seen) return Errno::exists;
    const Cacheability seen = wanted ? *wanted : buffer.seen;
    if (buffer.mapped_handles() == 0 && seen == cached && buffer.secured != 0) return Errno::try_again;
    buffer.seen = seen;
    ++buffer.kernel[who];
    return Errno::none;
  }
  Answer unmap(NaiveBuffer& buffer, std::size_t who) const {
    if (buffer.references[who] == 0) return Errno::invalid;
    if (buffer.kernel[who] == 0) return was_not_mapped;
    --buffer.kernel[who];
    return done;
  }
  Errno map_iommu(NaiveBuffer& buffer, std::size_t who, std::size_t domain, bool delays) const {
    if (buffer.references[who] == 0) return Errno::invalid;
    const bool is_there = buffer.users[domain] != 0 || buffer.is_delayed[domain];
    if (is_there && buffer.is_delayed[domain] != delays) return Errno::invalid;
    ++buffer.users[domain];
    buffer.is_delayed[domain] = delays;
    return Errno::none;
  }
  Answer unmap_iommu(NaiveBuffer& buffer, std::size_t who, std::size_t domain) const {
    if (buffer.references[who] == 0) return Errno::invalid;
    if (buffer.users[domain] == 0) return was_not_mapped;
    --buffer.users[domain];
    return done;
  }
  Errno secure(NaiveBuffer& buffer, std::size_t who) const {
    const bool is_mapped = buffer.mapped_handles() != 0 || buffer.has_devices();
    if (buffer.references[who] == 0 || !buffer.is_secure || is_mapped || buffer.seen == cached) return Errno::invalid;
    ++buffer.secured;
    return Errno::none;
  }
  Errno unsecure(NaiveBuffer& buffer, std::size_t who) const {
    if (buffer.references[who] == 0 || buffer.secured == 0) return Errno::invalid;
    --buffer.secured;
    return Errno::none;
  }
  // The carve-outs' maps that were forced, and the mappings that leaked.
  Errno free(NaiveBuffer& buffer, std::size_t who) {
    if (buffer.references[who] == 0) return Errno::invalid;
    if (--buffer.references[who] == 0) forced += std::exchange(buffer.kernel[who], 0) != 0;
    if (!buffer.is_known()) {
      leaked += std::uint64_t{buffer.users[0] != 0} + std::uint64_t{buffer.users[1] != 0};
      unbalanced += buffer.secured > 1;
    }
    return Errno::none;
  }
  std::uint64_t forced = 0, leaked = 0, unbalanced = 0;
};

}  // namespace

TEST_CASE("rows 13 to 16: any calls in any order, beside a naive model") {
  Random random(seed());
  for (int round = 0; round < some_of(100); ++round) {
    Bench bench;
    Naive model;
    {
      Driver one(bench.scene, bench.kernel), two(bench.scene, bench.kernel);
      Driver* const drivers[2] = {&one, &two};
      std::array<NaiveBuffer, 4> buffers{};
      for (int step = 0; step < 300; ++step) {
        const auto at = static_cast<std::size_t>(random.below(4)), who = static_cast<std::size_t>(random.below(2));
        const auto domain = static_cast<std::size_t>(random.below(2));
        const bool coin = random.below(2) != 0;
        NaiveBuffer& buffer = buffers[at];
        Driver& driver = *drivers[who];
        if (!buffer.is_known()) {
          buffer = {.is_secure = at >= 2};
          buffer.handles[who] = driver.buffer(at < 2 ? heap_bit::carveout : heap_bit::mm, 1 << 18, at < 2 ? 0 : ion_flag::secure);
          buffer.references[who] = 1;
        }
        const std::uint64_t handle = buffer.handles[who];
        const IommuKey key{static_cast<std::uint32_t>(domain), 0};
        INFO("round ", round, " step ", step);
        switch (random.below(9)) {
          case 0:
          case 1: {
            const auto wanted = coin ? std::optional(domain == 0 ? cached : uncached) : std::nullopt;
            REQUIRE(driver.map(handle, wanted) == model.map(buffer, who, wanted));
            break;
          }
          case 2:
          case 3: REQUIRE(driver.unmap(handle) == model.unmap(buffer, who)); break;
          case 4:
            REQUIRE(driver.map_iommu(handle, {.key = key, .iommu_flags = coin ? unmap_delayed : 0}) == model.map_iommu(buffer, who, domain, coin));
            break;
          case 5: REQUIRE(driver.unmap_iommu(handle, key) == model.unmap_iommu(buffer, who, domain)); break;
          case 6: REQUIRE(driver.kernel.secure_buffer(*driver.client, handle, v1) == model.secure(buffer, who)); break;
          case 7: REQUIRE(driver.kernel.unsecure_buffer(*driver.client, handle) == model.unsecure(buffer, who)); break;
          default:
            if (coin && buffer.references[who] != 0) {
              buffer.handles[1 - who] = driver.pass(handle, *drivers[1 - who]);
              ++buffer.references[1 - who];
            } else {
              REQUIRE(driver.free(handle) == model.free(buffer, who));
            }
        }
        std::uint64_t pages = 0, kernel_maps = 0, regions = 0;
        for (std::size_t of = 0; of < 4; ++of) {
          const NaiveBuffer& each = buffers[of];
          if (!each.is_known()) continue;
          kernel_maps += each.mapped_handles() != 0;
          regions += of < 2 && each.mapped_handles() != 0;
          for (std::size_t in = 0; in < 2; ++in) pages += each.users[in] != 0 || each.is_delayed[in] ? 64U : 0U;
          Driver& holder = *drivers[each.references[0] != 0 ? 0 : 1];
          const BufferInfo info = holder.info(each.handles[each.references[0] != 0 ? 0 : 1]);
          REQUIRE(info.cpu_maps == each.mapped_handles());
          REQUIRE(info.device_maps == std::uint32_t{each.has_devices()});
          REQUIRE(info.cacheability == each.seen);
        }
        REQUIRE(bench.board.kernel_maps == kernel_maps);
        REQUIRE(bench.scene.region.maps() == regions);
        REQUIRE(bench.scene.region_hooks.is_requested == (regions != 0));
        REQUIRE(bench.scene.mmu.pages.size() == pages);
        REQUIRE(bench.board.wrong == 0);
      }
      for (std::size_t who = 0; who < 2; ++who) {
        for (NaiveBuffer& buffer : buffers) {
          while (buffer.references[who] != 0) static_cast<void>(model.free(buffer, who));
        }
      }
    }
    CHECK(bench.scene.is_clean());
    const auto carveout = bench.scene.carveout.figures(), mm = bench.scene.mm.figures();
    CHECK(carveout.forced + mm.forced == model.forced);
    CHECK(carveout.leaked + mm.leaked == model.leaked);
    CHECK(mm.unbalanced == model.unbalanced);
  }
}

TEST_CASE("row 25: two threads do as they like with one client's handles, and with each other's buffers") {
  Bench bench;
  {
    Driver shared(bench.scene, bench.kernel), other(bench.scene, bench.kernel);
    std::array<std::atomic<std::uint64_t>, 4> handles{};
    const auto work = [&](std::uint64_t start) {
      Random random(start);
      auto& kernel = bench.kernel;
      for (int step = 0; step < some_of(8000); ++step) {
        const auto at = static_cast<std::size_t>(random.below(4));
        KernelScene::Kernel::Client& client = *(random.chance(70) ? shared : other).client;
        const std::uint64_t handle = handles[at];
        const IommuKey key{static_cast<std::uint32_t>(random.below(2)), 0};
        void* address = nullptr;
        Kernel::DeviceView view;
        std::optional<Kernel::Buffer> file;
        std::uint64_t made = 0;
        switch (random.below(9)) {
          case 0: {
            const std::uint32_t mask = at == 0 ? heap_bit::carveout : at == 1 ? heap_bit::mfc : heap_bit::mm;
            const IonWanted wanted{.length = 1 << 16, .mask = mask, .flags = at >= 2 ? ion_flag::secure : 0};
            if (kernel.alloc(client, wanted, made) == Errno::none) static_cast<void>(kernel.free(client, handles[at].exchange(made)));
            break;
          }
          case 1: static_cast<void>(kernel.map_kernel(client, handle, random.chance(50) ? cached : uncached, address)); break;
          case 2: static_cast<void>(kernel.unmap_kernel(client, handle)); break;
          case 3: static_cast<void>(kernel.map_iommu(client, handle, {.key = key}, view)); break;
          case 4: static_cast<void>(kernel.unmap_iommu(client, handle, key)); break;
          case 5: static_cast<void>(kernel.secure_buffer(client, handle, v1)); break;
          case 6: static_cast<void>(kernel.unsecure_buffer(client, handle)); break;
          case 7: static_cast<void>(kernel.free(client, handle)); break;
          default:
            if (kernel.share_dma_buf(client, handle, file) == Errno::none) static_cast<void>(kernel.import_dma_buf(*other.client, *file, made));
        }
      }
    };
    std::thread one(work, 1), two(work, 2);
    one.join(), two.join();
  }
  CHECK(bench.scene.is_clean());
}
