// ION's kernel API in C: a driver of that time, which knows nothing but kernel.h (shared/spec: ION 1.7; rows 5, 9, 13 to 16, 20).
#include <freestone/device/ion/kernel_c.hpp>

#include <optional>
#include <string>

#include <doctest/doctest.h>

#include "support/ion_kernel_scene.hpp"

using namespace freestone::tests;

namespace {

struct Module {
  KernelScene scene = KernelScene(freestone::device::IonGeneration::g1);
  KernelScene::Kernel kernel{scene.ion_heaps, scene.cookies};
  freestone::device::IonKernelC<KernelScene::Kernel, freestone::lock::Futex, 3> calls{kernel};
};
std::optional<Module> loaded;

// The module is there while this is.
struct Load {
  Load() { loaded.emplace(); }
  ~Load() { loaded.reset(); }
};

constexpr int no_memory = -12, try_again = -11, exists = -17, no_device = -19, invalid = -22;

ion_client* client_of(const char* name = "video", unsigned types = ~0U) {
  ion_client* const client = ion_client_create(ion_device_get(), types, name);
  REQUIRE(!ion_is_err(client));
  return client;
}
ion_handle* buffer_of(ion_client* client, unsigned mask = heap_bit::carveout, std::size_t length = 8192) {
  ion_handle* const handle = ion_alloc(client, length, 4096, mask);
  REQUIRE(!ion_is_err(handle));
  return handle;
}

}  // namespace

FREESTONE_ION_KERNEL_C(loaded->calls)

TEST_CASE("what is no pointer of these calls' is refused, before it is looked at") {
  const Load module;
  ion_client* const client = client_of();
  ion_handle* const handle = buffer_of(client);
  const auto other = reinterpret_cast<ion_device*>(client);
  CHECK(ion_ptr_err(ion_client_create(other, ~0U, "x")) == invalid);
  CHECK(ion_ptr_err(ion_client_create(ion_device_get(), ~0U, nullptr)) == invalid);
  CHECK(ion_secure_heap(other, heap_bit::mm, 1, 0) == invalid);
  CHECK(ion_unsecure_heap(nullptr, heap_bit::mm) == invalid);
  unsigned long value = 7, more = 7;
  std::size_t length = 7;
  ion_phys_addr_t address = 7;
  for (ion_client* const none : {static_cast<ion_client*>(nullptr), reinterpret_cast<ion_client*>(handle), reinterpret_cast<ion_client*>(8)}) {
    CHECK(ion_ptr_err(ion_alloc(none, 4096, 0, heap_bit::carveout)) == invalid);
    CHECK(ion_free(none, handle) == invalid);
    CHECK(ion_ptr_err(ion_share_dma_buf(none, handle)) == invalid);
    CHECK(ion_ptr_err(ion_import_dma_buf(none, nullptr)) == invalid);
    CHECK(ion_phys(none, handle, &address, &length) == invalid);
    CHECK(ion_sg_table(none, handle, nullptr, 0) == invalid);
    CHECK(ion_handle_get_flags(none, handle, &value) == invalid);
    CHECK(ion_handle_get_size(none, handle, &value) == invalid);
    CHECK(ion_ptr_err(ion_map_kernel(none, handle, ION_CACHED)) == invalid);
    CHECK(ion_unmap_kernel(none, handle) == invalid);
    CHECK(ion_map_iommu(none, handle, 0, 0, 0, 0, &value, &more, 0, 0) == invalid);
    CHECK(ion_unmap_iommu(none, handle, 0, 0) == invalid);
    CHECK(ion_do_cache_op(none, handle, nullptr, 0, 1, ION_CLEAN_CACHES) == invalid);
    CHECK(ion_secure_buffer(none, handle, 1, 0, 0) == invalid);
    CHECK(ion_unsecure_buffer(none, handle) == invalid);
    CHECK(ion_client_destroy(none) == invalid);
  }
  CHECK(ion_phys(client, nullptr, &address, &length) == invalid);
  CHECK(ion_ptr_err(ion_import_dma_buf(client, reinterpret_cast<dma_buf*>(handle))) == invalid);
  CHECK(ion_dma_buf_put(nullptr) == invalid);
  CHECK(value == 7);
  CHECK(length == 7);
  CHECK(address == 7);
  CHECK(ion_client_destroy(client) == 0);
  CHECK(ion_client_destroy(client) == invalid);
  CHECK(ion_free(client, handle) == invalid);
  CHECK(loaded->scene.is_clean());
}

TEST_CASE("row 5: heaps by mask and by the client's types; ION_SECURE is of CP heaps only") {
  const Load module;
  ion_client* const client = client_of("camera", 1U << 4);
  CHECK(ion_ptr_err(ion_alloc(client, 4096, 0, heap_bit::carveout)) == no_device);
  CHECK(!ion_is_err(ion_alloc(client, 4096, 0, heap_bit::carveout | heap_bit::mm)));
  CHECK(ion_ptr_err(ion_alloc(client, 0, 0, heap_bit::mm)) == invalid);
  CHECK(ion_ptr_err(ion_alloc(client, 4096, 3, heap_bit::mm)) == invalid);
  CHECK(ion_ptr_err(ion_alloc(client, 8 << 20, 0, heap_bit::mm)) == no_memory);
  CHECK(ion_ptr_err(ion_alloc(client_of(), 4096, 0, heap_bit::carveout | ION_SECURE)) == no_device);
}

TEST_CASE("row 9: a buffer goes to another client; there is room for so many on their way") {
  const Load module;
  ion_client *const one = client_of(), *const two = client_of("other");
  ion_handle* const handle = buffer_of(one);
  dma_buf* shared[3];
  for (dma_buf*& each : shared) {
    each = ion_share_dma_buf(one, handle);
    REQUIRE(!ion_is_err(each));
  }
  CHECK(ion_ptr_err(ion_share_dma_buf(one, handle)) == no_memory);
  CHECK(ion_import_dma_buf(one, shared[0]) == handle);
  ion_handle* const own = ion_import_dma_buf(two, shared[1]);
  CHECK(!ion_is_err(own));
  CHECK(ion_free(two, handle) == invalid);
  CHECK(ion_free(one, handle) == 0);
  CHECK(ion_free(one, handle) == 0);
  CHECK(ion_free(one, handle) == invalid);
  for (dma_buf* each : shared) CHECK(ion_dma_buf_put(each) == 0);
  CHECK(ion_dma_buf_put(shared[0]) == invalid);
  CHECK(loaded->scene.device.buffer_count() == 1);
  CHECK(ion_free(two, own) == 0);
  CHECK(loaded->scene.is_clean());
}

TEST_CASE("phys, sg_table, flags and size") {
  const Load module;
  ion_client* const client = client_of();
  ion_phys_addr_t address = 0;
  std::size_t length = 0;
  unsigned long flags = 7, size = 0;
  ion_handle* const handle = buffer_of(client);
  CHECK(ion_phys(client, handle, &address, &length) == 0);
  CHECK(address == carveout_base);
  CHECK(length == 8192);
  CHECK(ion_handle_get_size(client, handle, &size) == 0);
  CHECK(size == 8192);
  CHECK(ion_handle_get_flags(client, handle, &flags) == 0);
  CHECK(flags == 0);
  ion_handle* const scattered = buffer_of(client, heap_bit::system, (64 << 10) + 8192);
  CHECK(ion_phys(client, scattered, &address, &length) == no_device);
  ion_piece pieces[4] = {{7, 7}, {7, 7}, {7, 7}, {7, 7}};
  CHECK(ion_sg_table(client, scattered, pieces, 2) == 3);
  CHECK(pieces[0].length == 64 << 10);
  CHECK(pieces[1].length == 4096);
  CHECK(pieces[2].length == 7);
  CHECK(ion_sg_table(client, scattered, pieces, 4) == 3);
  CHECK(pieces[2].length == 4096);
}

TEST_CASE("rows 12, 13, 16, 20: the kernel's mapping; EEXIST; what is unmapped twice is a warning") {
  const Load module;
  ion_client* const client = client_of();
  ion_handle* const handle = buffer_of(client);
  Board& board = loaded->scene.board;
  void* const address = ion_map_kernel(client, handle, ION_CACHED);
  CHECK(!ion_is_err(address));
  CHECK(ion_map_kernel(client, handle, ION_CACHED) == address);
  CHECK(ion_ptr_err(ion_map_kernel(client, handle, ION_UNCACHED)) == exists);
  unsigned long flags = 0;
  CHECK(ion_handle_get_flags(client, handle, &flags) == 0);
  CHECK(flags == 1);
  CHECK(ion_do_cache_op(client, handle, address, 0, 4096, ION_CLEAN_CACHES) == 0);
  CHECK(board.maintained.size() == 2);
  CHECK(ion_do_cache_op(client, handle, address, 0, 8193, ION_CLEAN_CACHES) == invalid);
  CHECK(ion_do_cache_op(client, handle, address, 0, 4096, 3) == invalid);
  CHECK(ion_unmap_kernel(client, handle) == 0);
  CHECK(ion_unmap_kernel(client, handle) == 0);
  CHECK(ion_unmap_kernel(client, handle) == ION_WAS_NOT_MAPPED);
  CHECK(board.take_heard() == "[ku]");
}

TEST_CASE("row 14: addresses of devices") {
  const Load module;
  ion_client* const client = client_of();
  ion_handle* const handle = buffer_of(client);
  unsigned long iova = 0, again = 0, size = 0;
  CHECK(ion_map_iommu(client, handle, 0, 0, 0, 0, &iova, &size, 1, 0) == invalid);  // cached
  CHECK(ion_map_iommu(client, handle, 0, 0, 8192, 16384, &iova, &size, 0, 0) == 0);
  CHECK(size == 8192);
  CHECK(iova % 8192 == 0);
  CHECK(loaded->scene.mmu.pages.size() == 4);
  CHECK(ion_map_iommu(client, handle, 0, 0, 8192, 16384, &again, &size, 0, 0) == 0);
  CHECK(again == iova);
  CHECK(ion_map_iommu(client, handle, 0, 0, 0, 8192, &again, &size, 0, 0) == invalid);
  CHECK(ion_map_iommu(client, handle, 1, 0, 0, 0, &again, &size, 0, ION_IOMMU_UNMAP_DELAYED) == 0);
  CHECK(ion_unmap_iommu(client, handle, 0, 0) == 0);
  CHECK(ion_unmap_iommu(client, handle, 0, 0) == 0);
  CHECK(ion_unmap_iommu(client, handle, 0, 0) == ION_WAS_NOT_MAPPED);
  CHECK(ion_unmap_iommu(client, handle, 1, 0) == 0);
  CHECK(loaded->scene.mmu.pages.size() == 2);  // delayed
  CHECK(ion_free(client, handle) == 0);
  CHECK(loaded->scene.is_clean());
}

TEST_CASE("row 15: heaps and buffers that are secured") {
  const Load module;
  ion_client* const client = client_of();
  ion_device* const device = ion_device_get();
  ion_handle* const handle = buffer_of(client, heap_bit::mm | ION_SECURE, 1 << 20);
  CHECK(ion_secure_heap(device, 1U << 30, 1, 0) == no_device);
  CHECK(ion_secure_heap(device, heap_bit::mm, 3, 0) == invalid);
  CHECK(ion_secure_heap(device, heap_bit::mm, 0, 0) == invalid);
  CHECK(ion_secure_heap(device, heap_bit::mm, 2, 4) == invalid);
  CHECK(ion_secure_heap(device, heap_bit::mm, 2, 1) == 0);
  CHECK(ion_ptr_err(ion_map_kernel(client, handle, ION_CACHED)) == try_again);
  CHECK(ion_unsecure_heap(device, heap_bit::mm) == 0);
  CHECK(ion_unsecure_heap(device, heap_bit::mm) == invalid);
  CHECK(ion_secure_buffer(client, handle, 0, 0, 0) == invalid);
  CHECK(ion_secure_buffer(client, handle, 2, 1, 0) == 0);
  CHECK(ion_secure_buffer(client, handle, 2, 2, 0) == invalid);
  CHECK(ion_unsecure_buffer(client, handle) == 0);
  CHECK(loaded->scene.monitor.locked.empty());
  CHECK(ion_secure_buffer(client, handle, 1, 0, ION_UNSECURE_DELAYED) == 0);
  CHECK(ion_unsecure_buffer(client, handle) == 0);
  CHECK(loaded->scene.monitor.locked.size() == 1);
  CHECK(ion_client_destroy(client) == 0);
  CHECK(loaded->scene.is_clean());
}
