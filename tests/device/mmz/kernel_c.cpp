// MMZ's kernel API in C: a driver that knows nothing but kernel.h (shared/spec: MMZ 3.5, 4.1 to 4.3, 5; rows 19, 20, 21).
#include <freestone/device/mmz/kernel_c.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/mmz_kernel_scene.hpp"

using namespace freestone::tests;

namespace {

constexpr std::uint64_t page = 4096;
std::optional<MmzKernelScene> loaded;

struct Load {
  Load() { loaded.emplace(); }
  ~Load() { loaded.reset(); }
};
struct mmb_place place_of(mmb* block) {
  struct mmb_place place {};
  CHECK(mmb_place(block, &place) == 0);
  return place;
}
std::vector<std::string> take_done() { return loaded->take_done(); }

}  // namespace

FREESTONE_MMZ_KERNEL_C(loaded->kernel)

TEST_CASE("row 20: zones by their calls") {
  const Load module;
  mmz_zone* const zone = mmz_create("spare", 7, mmz_spare, 8 * page);
  REQUIRE(zone != nullptr);
  CHECK(mmz_create(nullptr, 0, mmz_spare, page) == nullptr);
  CHECK(mmz_fill_in(zone, 1, 0) == 0);
  CHECK(mmz_register(zone) == 0);
  CHECK(mmz_fill_in(zone, 1, 0) == -1);
  CHECK(mmz_find(7, "spare") == zone);
  CHECK(mmz_find(6, "spare") == nullptr);
  mmb* const slab = mmb_alloc_v2("slab", 3 * page, 0, 7, "spare", 1);
  CHECK(place_of(slab).phys_addr == mmz_spare + 4 * page);
  CHECK(place_of(slab).length == 4 * page);
  CHECK(mmb_alloc_v2("slab", page, 0, 7, "spare", 2) == nullptr);
  mmb* const in = mmb_alloc_in("in", page, 2 * page, zone);
  CHECK(place_of(in).phys_addr == mmz_spare);
  CHECK(mmb_alloc("none", page, 0, 6, "spare") == nullptr);
  CHECK(mmz_unregister(zone) == -1);
  CHECK(mmb_free(in) + mmb_free(slab) == 0);
  CHECK(mmz_destroy(zone) == -1);
  CHECK(mmz_unregister(zone) == 0);
  CHECK(mmz_destroy(zone) == 0);
  CHECK(mmz_register(zone) == -1);
  CHECK(mmz_register(nullptr) == -1);
}

TEST_CASE("row 19: references and mappings of a block; what stands for it is nothing once it is gone") {
  const Load module;
  mmb* const block = mmb_alloc("block", page, 0, 0, nullptr);
  REQUIRE(block != nullptr);
  CHECK(mmb_get(block) == 0);
  void* const at = mmb_map2kern_cached(block);
  REQUIRE(at != nullptr);
  CHECK(mmb_map2kern(block) == nullptr);
  CHECK(mmb_map2kern_cached(block) == at);
  CHECK(mmb_free(block) == 0);
  const struct mmb_place place = place_of(block);
  CHECK(place.kvirt == at);
  CHECK(place.flags == (MMB_MAP2KERN | MMB_MAP2KERN_CACHED | MMB_RELEASED));
  CHECK(place.phy_ref == 1);
  CHECK(place.map_ref == 2);
  CHECK(mmb_unmap(block) == 1);
  CHECK(mmb_unmap(block) == 0);
  CHECK(mmb_unmap(block) == -1);
  CHECK(mmb_map2kern(block) == at);
  CHECK(mmb_unmap(block) == 0);
  CHECK(mmb_put(block) == 0);
  struct mmb_place none {};
  CHECK(mmb_place(block, &none) == -1);
  CHECK(mmb_put(block) == -1);
  CHECK(mmb_get(block) == -1);
  CHECK(mmb_free(block) == -1);
  CHECK(mmb_unmap(nullptr) == -1);
  CHECK(mmb_map2kern(nullptr) == nullptr);
}

TEST_CASE("look-ups and caches by address") {
  const Load module;
  mmb* const block = mmb_alloc("block", 2 * page, 0, 0, "anonymous");
  std::uint64_t offset = 0;
  CHECK(mmb_getby_phys(mmz_base) == block);
  CHECK(mmb_getby_phys(mmz_base + 1) == nullptr);
  CHECK(mmb_getby_phys_2(mmz_base + page + 1, &offset) == block);
  CHECK(offset == page + 1);
  CHECK(mmb_getby_phys_2(mmz_base + 2 * page, &offset) == nullptr);
  auto* const at = static_cast<std::byte*>(mmb_map2kern_cached(block));
  CHECK(mmb_getby_kvirt(at + 1) == block);
  CHECK(mmb_getby_kvirt(nullptr) == nullptr);
  CHECK(place_of(block).phy_ref == 3);

  CHECK(mmb_clean_byaddr(at, mmz_base, 64) == 0);
  CHECK(take_done().front() == "inner clean 0 64");
  CHECK(mmb_invalidate_byaddr(at, mmz_base, 64) == 0);
  CHECK(take_done().back() == "inner inv 0 64");
  CHECK(mmb_flush_byaddr(at, mmz_base, 64) == 0);
  CHECK(take_done().front() == "inner clean_inv 0 64");
  CHECK(mmb_flush_byaddr(nullptr, mmz_base, 64) == -22);
  CHECK(mmb_flush_byaddr(at, mmz_base, 2 * page + 1) == -1);
}

TEST_CASE("row 21: windows") {
  const Load module;
  void* const at = mmf_map(mmz_window, page);
  REQUIRE(at != nullptr);
  CHECK(mmf_map(mmz_window, (1 << 20) + 1) == nullptr);
  CHECK(mmf_map_cached(mmz_window, 1) != nullptr);
  CHECK(loaded->bytes.log == std::vector<std::string>{"0+4096", "0+1 cached"});
  CHECK(mmf_unmap(at) == 0);
  CHECK(mmf_unmap(at) == -1);
}
