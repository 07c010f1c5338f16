// What devices see of buffers: page tables that are looked at page by page (shared/spec: ION 1.7, 3.3 to 3.5, 4.2; rows 13, 14, 28).
#include <freestone/device/ion/iommu.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/core/units.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

#include "support/effort.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t page = 4096;
constexpr PhysicalAddress dummy(0xD000'0000);

// What a device sees: where each page of its domain leads, and how.
struct Seen {
  std::uint64_t physical;
  std::uint32_t flags;

  friend bool operator==(const Seen&, const Seen&) = default;
};
using Pages = std::map<std::pair<std::uint32_t, std::uint64_t>, Seen>;

// Page tables that say whether they were misused, and of which one call may fail.
class TestMmu {
  OwnLock<lock::Futex> lock_;

 public:
  Result<void> map(std::uint32_t domain, DeviceAddress iova, PhysicalAddress physical, Bytes length, std::uint32_t flags) noexcept {
    const OwnLock<lock::Futex>::Turn turn(lock_);
    if (++calls == failing) return Error{.code = ErrorCode::injected, .asked = calls};
    is_misused |= length == 0 || ((iova.value() | physical.value() | length.value()) & (page - 1)) != 0;
    ++of_length[length.value()];
    for (std::uint64_t at = 0; at < length.value(); at += page) {
      is_misused |= !pages.emplace(std::pair(domain, iova.value() + at), Seen{physical.value() + at, flags}).second;
    }
    return {};
  }
  void unmap(std::uint32_t domain, DeviceAddress iova, Bytes length) noexcept {
    const OwnLock<lock::Futex>::Turn turn(lock_);
    is_misused |= length == 0;
    for (std::uint64_t at = 0; at < length.value(); at += page) is_misused |= pages.erase({domain, iova.value() + at}) != 1;
  }

  Pages pages = {};
  std::map<std::uint64_t, int> of_length = {};
  bool is_misused = false;
  std::uint64_t calls = 0;
  std::uint64_t failing = 0;
};

using Addresses = Zone<backing::OffsetSpace, strategy::Bitmap, lock::Futex, cache::Coherent>;
using TestIommu = Iommu<TestMmu>;
using Maps = IommuMaps<TestIommu, 4, lock::Futex>;
using WholeHeap = WholeHeapMaps<TestMmu, 2, lock::Futex>;
using HeapMaps = IommuMaps<WholeHeap, 4, lock::Futex>;

constexpr IommuKey video{0, 0}, firmware{0, 1}, camera{1, 0}, display{2, 0};

Addresses addresses(Bytes base, Bytes size) {
  const Bytes granule = page;
  const std::size_t words = Addresses::notes_words(size, granule);
  auto backing = backing::OffsetSpace::create({.name = "iova", .size = size, .granule = granule, .notes_words = words}, base);
  return std::move(*Addresses::create({.name = "iova", .size = size, .granule = granule}, std::move(*backing)));
}

struct Scene {
  explicit Scene(Bytes size = 16_MiB) {
    const Bytes bases[] = {0x1000'0000, 0x2000'0000, 0x1000'0000, 0};
    const IommuKey keys[] = {video, firmware, camera, display};
    for (std::size_t at = 0; at < 4; ++at) partitions.push_back({keys[at], zones.emplace_back(addresses(bases[at], size))});
    iommu.emplace(mmu, partitions, dummy);
  }
  Scene(const Scene&) = delete;

  bool is_untouched() {
    for (auto& zone : zones) {
      if (zone.stats().blocks != 0) return false;
    }
    return mmu.pages.empty() && !mmu.is_misused;
  }
  std::optional<Seen> see(std::uint32_t domain, DeviceAddress iova) const {
    const auto found = mmu.pages.find({domain, iova.value()});
    return found == mmu.pages.end() ? std::nullopt : std::optional(found->second);
  }

  TestMmu mmu;
  std::list<Addresses> zones;
  std::vector<TestIommu::Partition> partitions;
  std::optional<TestIommu> iommu;
};

using Pieces = std::vector<PhysicalPiece>;
const Pieces scattered = {
    {PhysicalAddress(0x9000'0000), 1_MiB}, {PhysicalAddress(0x8800'0000), 64_KiB}, {PhysicalAddress(0x8000'0000), page}};
const Pieces one_page = {{PhysicalAddress(0x8000'0000), page}};
const Pieces four_pages = {{PhysicalAddress(0x8000'0000), 4 * page}};

template <class M>
std::vector<IommuMap> leaked(M& maps) {
  std::vector<IommuMap> found;
  maps.release([&](const IommuMap& map) { found.push_back(map); });
  return found;
}

template <class T>
Errno told(const Result<T>& result) {
  return result ? Errno::none : iommu_errno(result.error().code);
}

}  // namespace

TEST_CASE("row 14: each page of the buffer is where the device looks for it, and behind its end is the dummy") {
  Scene scene;
  const auto spaced = scene.zones.front().allocate({.size = page});  // the partition does not begin with a free address
  const IommuBuffer buffer{scattered, true};
  Maps maps(*scene.iommu, buffer);
  const Bytes extra = 3 * page;
  const auto iova = maps.map({.key = video, .align = 8192, .length = buffer.size() + extra, .iommu_flags = 6});
  REQUIRE(iova);
  CHECK(iova->value() == 0x1000'0000 + (1 << 20));  // at a multiple of its first piece
  std::uint64_t at = 0;
  for (const auto& piece : scattered) {
    for (std::uint64_t in_piece = 0; in_piece < piece.length.value(); in_piece += page, at += page) {
      REQUIRE(scene.see(0, *iova + at) == Seen{piece.address.value() + in_piece, 6});
    }
  }
  for (int count = 0; count < 3; ++count, at += page) CHECK(scene.see(0, *iova + at) == Seen{dummy.value(), 6});
  CHECK(scene.mmu.pages.size() == at / page);
  CHECK(scene.mmu.of_length[1 << 20] == 1);  // a piece is one call
  REQUIRE(maps.unmap(video));
  REQUIRE(scene.zones.front().deallocate(*spaced));
  CHECK(scene.is_untouched());
}

TEST_CASE("row 14: aligned as was asked, or as the first piece, whichever is more; others than an IOMMU heap's as was asked") {
  Scene scene;
  const auto in_the_way = scene.zones.front().allocate({.size = page});
  const auto place = [&](bool aligned_as_first, Bytes align) {
    Maps maps(*scene.iommu, {scattered, aligned_as_first});
    return maps.map({.key = video, .align = align})->value() - 0x1000'0000;
  };
  CHECK(place(true, 0) == 1 << 20);
  CHECK(place(true, 64_KiB) == 1 << 20);
  CHECK(place(true, 4_MiB) == 4 << 20);
  CHECK(place(false, 0) == page);
  CHECK(place(false, 16) == page);
  CHECK(place(false, 64_KiB) == 64 << 10);
  static_cast<void>(in_the_way);
}

TEST_CASE("row 14: who asks for the same key is told the same address, and each unmaps for himself") {
  Scene scene;
  Maps maps(*scene.iommu, {four_pages});
  const auto first = maps.map({.key = video, .iommu_flags = 4});
  const auto again = maps.map({.key = video, .align = 1_MiB, .length = 4 * page, .iommu_flags = 4});
  REQUIRE(first);
  REQUIRE(again);
  CHECK(*first == *again);
  CHECK(maps.count() == 2);
  CHECK(scene.mmu.calls == 1);
  for (const auto& other : {IommuRequest{.key = video, .length = 5 * page, .iommu_flags = 4}, IommuRequest{.key = video},
                            IommuRequest{.key = video, .iommu_flags = 4 | unmap_delayed}}) {
    const auto refused = maps.map(other);
    REQUIRE(!refused);
    CHECK(refused.error().code == ErrorCode::exists);
    CHECK(told(refused) == Errno::invalid);
  }
  CHECK(maps.count() == 2);
  REQUIRE(maps.map({.key = camera}));  // of another key anything goes
  REQUIRE(maps.map({.key = firmware, .length = 5 * page}));
  CHECK(maps.count() == 4);
  REQUIRE(maps.unmap(video));
  CHECK(scene.see(0, *first));
  REQUIRE(maps.unmap(video));
  CHECK(!scene.see(0, *first));
  CHECK(maps.count() == 2);
  CHECK(leaked(maps).size() == 2);
  CHECK(scene.is_untouched());
}

TEST_CASE("row 14: lengths, alignments, attributes and partitions that are refused, and nothing is mapped or counted") {
  Scene scene;
  Maps maps(*scene.iommu, {four_pages});
  const std::pair<IommuRequest, ErrorCode> refusals[] = {
      {{.key = video, .flags = map_cached}, ErrorCode::bad_cacheability},
      {{.key = video, .flags = map_cached | 2}, ErrorCode::bad_cacheability},
      {{.key = video, .length = page}, ErrorCode::range_beyond_block},
      {{.key = video, .length = 4 * page - 1}, ErrorCode::range_beyond_block},
      {{.key = video, .length = 4 * page + 1}, ErrorCode::not_pages},
      {{.key = video, .align = 3}, ErrorCode::alignment_not_power_of_two},
      {{.key = video, .align = -1}, ErrorCode::alignment_not_power_of_two},
      {{.key = {0, 2}}, ErrorCode::no_device},
      {{.key = {3, 0}}, ErrorCode::no_device},
  };
  for (const auto& [request, code] : refusals) {
    const auto refused = maps.map(request);
    REQUIRE(!refused);
    CHECK(refused.error().code == code);
    CHECK(told(refused) == Errno::invalid);
  }
  const auto too_long = maps.map({.key = video, .length = 0 - page});
  CHECK(told(too_long) == Errno::no_memory);
  CHECK(told(maps.map({.key = video, .length = 16_MiB + page})) == Errno::no_memory);
  CHECK(told(maps.map({.key = video, .align = Bytes(std::uint64_t{1} << 63)})) == Errno::no_memory);
  CHECK(maps.count() == 0);
  CHECK(scene.mmu.calls == 0);
  CHECK(scene.is_untouched());
  REQUIRE(maps.map({.key = video, .flags = 2}));  // not the bit that is looked at
}

TEST_CASE("row 14: what was never mapped, or unmapped by all, is told from what was") {
  Scene scene;
  Maps maps(*scene.iommu, {one_page});
  CHECK(maps.unmap(video).error().code == ErrorCode::not_mapped);
  REQUIRE(maps.map({.key = video}));
  CHECK(maps.unmap(firmware).error().code == ErrorCode::not_mapped);
  CHECK(maps.unmap(camera).error().code == ErrorCode::not_mapped);
  REQUIRE(maps.unmap(video));
  const auto twice = maps.unmap(video);
  CHECK(twice.error().code == ErrorCode::not_mapped);
  CHECK(told(twice) == Errno::invalid);
  CHECK(scene.is_untouched());
}

TEST_CASE("row 14: a delayed mapping survives its users until the buffer ends, and nobody drops its own reference") {
  Scene scene;
  std::optional<Maps> maps;
  maps.emplace(*scene.iommu, IommuBuffer{one_page});
  const IommuRequest request{.key = video, .iommu_flags = unmap_delayed | 8};
  const auto iova = maps->map(request);
  REQUIRE(iova);
  CHECK(maps->count() == 2);
  REQUIRE(maps->unmap(video));
  CHECK(maps->count() == 1);
  CHECK(scene.see(0, *iova) == Seen{one_page[0].address.value(), 8});
  CHECK(maps->unmap(video).error().code == ErrorCode::not_mapped);
  CHECK(scene.see(0, *iova));
  CHECK(*maps->map(request) == *iova);
  CHECK(scene.mmu.calls == 1);
  REQUIRE(maps->unmap(video));
  SUBCASE("row 13: with exactly one reference it is no leak") { CHECK(leaked(*maps).empty()); }
  SUBCASE("row 13: with another one it is") {
    REQUIRE(maps->map(request));
    const auto found = leaked(*maps);
    REQUIRE(found.size() == 1);
    CHECK(found[0].references() == 2);
    CHECK(found[0].iova == *iova);
    CHECK(found[0].is_delayed);
  }
  SUBCASE("nobody looks for leaks") { maps.reset(); }
  CHECK(scene.is_untouched());
}

TEST_CASE("row 13: a buffer's death forces all its mappings, and tells which were still used") {
  Scene scene;
  Maps maps(*scene.iommu, {one_page});
  REQUIRE(maps.map({.key = video, .length = 2 * page}));
  REQUIRE(maps.map({.key = video, .length = 2 * page}));
  REQUIRE(maps.map({.key = firmware, .iommu_flags = unmap_delayed}));
  REQUIRE(maps.map({.key = camera}));
  REQUIRE(maps.unmap(firmware));
  REQUIRE(maps.unmap(camera));
  std::vector<IommuKey> mapped;
  maps.for_each([&](const IommuMap& map) { mapped.push_back(map.key); });
  CHECK(mapped == std::vector{video, firmware});
  CHECK(maps.count() == 3);
  const auto found = leaked(maps);
  REQUIRE(found.size() == 1);
  CHECK(found[0].key == video);
  CHECK(found[0].length == 2 * page);
  CHECK(found[0].references() == 2);
  CHECK(maps.count() == 0);
  CHECK(scene.is_untouched());
  CHECK(leaked(maps).empty());
}

TEST_CASE("row 26: uses of a mapping are counted up to a limit, and refused from there on") {
  Scene scene;
  Maps maps(*scene.iommu, {one_page});
  for (std::uint32_t users = 0; users < Maps::most_users; ++users) REQUIRE(maps.map({.key = video}));
  const auto refused = maps.map({.key = video});
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::too_many_maps);
  CHECK(maps.count() == Maps::most_users);
  REQUIRE(maps.unmap(video));
  REQUIRE(maps.map({.key = video}));
}

TEST_CASE("row 14: without an IOMMU a device sees physical addresses, counted all the same") {
  TestIommu none;
  IommuMaps<TestIommu, 1, lock::Futex> maps(none, {four_pages});
  const IommuRequest request{.key = {7, 7}, .iommu_flags = unmap_delayed};
  CHECK(maps.map(request)->value() == four_pages[0].address.value());
  CHECK(maps.map(request)->value() == four_pages[0].address.value());
  CHECK(maps.count() == 3);
  CHECK(told(maps.map({.key = {7, 7}})) == Errno::invalid);
  REQUIRE(maps.unmap({7, 7}));
  CHECK(leaked(maps).size() == 1);

  const Pieces neighbours = {{PhysicalAddress(0x1000), page}, {PhysicalAddress(0x2000), page}};
  Maps of_neighbours(none, {neighbours});
  CHECK(of_neighbours.map({.key = video})->value() == 0x1000);
  Maps refused(none, {scattered, true});
  CHECK(refused.map({.key = video}).error().code == ErrorCode::no_device);
  CHECK(told(refused.map({.key = video})) == Errno::invalid);
  Maps empty(none, {});
  CHECK(empty.map({.key = video, .length = page}).error().code == ErrorCode::no_device);
  WholeHeap heap(none, {PhysicalAddress(0x8000'0000), 1_MiB});
  HeapMaps of_heap(heap, {four_pages});
  CHECK(of_heap.map({.key = video})->value() == four_pages[0].address.value());
}

TEST_CASE("row 14: the first buffer in a domain brings the whole heap, in pages of 64 KiB; the others lie where they lie in it") {
  Scene scene;
  const auto in_the_way = scene.zones.front().allocate({.size = page});
  WholeHeap heap(*scene.iommu, {PhysicalAddress(0x8000'0000), 1_MiB, 1});
  const Pieces later = {{PhysicalAddress(0x8000'0000 + 5 * page), page}, {PhysicalAddress(0x8000'0000 + 6 * page), page}};
  HeapMaps first(heap, {one_page}), second(heap, {later});
  const auto second_iova = second.map({.key = video, .iommu_flags = unmap_delayed | 2});
  REQUIRE(second_iova);
  const std::uint64_t start = 0x1000'0000 + (64 << 10);
  CHECK(second_iova->value() == start + 5 * page);
  CHECK(scene.mmu.of_length == std::map<std::uint64_t, int>{{64 << 10, 16}});
  REQUIRE(scene.mmu.pages.size() == 256);
  for (std::uint64_t at = 0; at < 1 << 20; at += page) {
    REQUIRE(scene.see(0, DeviceAddress(start + at)) == Seen{0x8000'0000 + at, 2});
  }
  CHECK(first.map({.key = video})->value() == start);
  CHECK(first.map({.key = firmware})->value() == start);  // of the domain, whichever part was asked for first
  CHECK(scene.mmu.calls == 16);
  SUBCASE("nothing is delayed, and the heap stays until it is empty") {
    REQUIRE(second.unmap(video));
    CHECK(second.count() == 0);
    CHECK(first.unmap(video));
    CHECK(leaked(first).size() == 1);
    CHECK(scene.mmu.pages.size() == 256);
    CHECK(second.map({.key = video})->value() == start + 5 * page);
    CHECK(scene.mmu.calls == 16);
    CHECK(second.unmap(video));
    heap.end();
    heap.end();
  }
  SUBCASE("a doubled domain sees dummies behind it; and then there is no room for a third") {
    REQUIRE(first.map({.key = camera}));
    CHECK(scene.mmu.pages.size() == 256 + 512);
    for (std::uint64_t at = 0; at < 1 << 20; at += page) {
      REQUIRE(scene.see(1, DeviceAddress(0x1000'0000 + at)) == Seen{0x8000'0000 + at, 0});
      REQUIRE(scene.see(1, DeviceAddress(0x1010'0000 + at)) == Seen{dummy.value(), 0});
    }
    CHECK(first.map({.key = display}).error().code == ErrorCode::too_many_maps);
    CHECK(first.count() == 3);
    heap.end();
    CHECK(first.unmap(camera));
  }
  CHECK(scene.mmu.pages.empty());
  CHECK(scene.zones.front().deallocate(*in_the_way));
  CHECK(scene.is_untouched());
}

TEST_CASE("row 14: a heap that is not all pages of 64 KiB, and a buffer that is none of the heap's, are refused") {
  Scene scene;
  const auto map = [&](std::uint64_t base, Bytes size, const Pieces& pieces) {
    WholeHeap heap(*scene.iommu, {PhysicalAddress(base), size});
    HeapMaps maps(heap, {pieces});
    const auto iova = maps.map({.key = video});
    CHECK(maps.count() == (iova ? 1 : 0));
    return iova ? ErrorCode::none : iova.error().code;
  };
  const auto at = [](std::uint64_t first, Bytes length) { return Pieces{{PhysicalAddress(first), length}}; };
  CHECK(map(0x8000'0000, 64_KiB, at(0x8000'0000, 64_KiB)) == ErrorCode::none);
  CHECK(map(0x8000'8000, 64_KiB, at(0x8000'8000, page)) == ErrorCode::base_misaligned);
  CHECK(map(0x8000'0000, 68_KiB, at(0x8000'0000, page)) == ErrorCode::zone_not_multiple);
  CHECK(iommu_errno(ErrorCode::base_misaligned) == Errno::invalid);
  CHECK(iommu_errno(ErrorCode::zone_not_multiple) == Errno::invalid);
  CHECK(map(0x8000'0000, 64_KiB, at(0x7FFF'F000, page)) == ErrorCode::foreign_block);
  CHECK(map(0x8000'0000, 64_KiB, at(0x8000'F000, 2 * page)) == ErrorCode::foreign_block);
  CHECK(map(0x8000'0000, 64_KiB, at(0x8001'0000, page)) == ErrorCode::foreign_block);
  CHECK(map(0x8000'0000, 64_KiB, at(0x8001'1000, page)) == ErrorCode::foreign_block);
  CHECK(map(0x8000'0000, 64_KiB, {}) == ErrorCode::foreign_block);
  CHECK(map(0x8000'0000, 64_KiB, at(0x8000'F000, page)) == ErrorCode::none);
  CHECK(map(0x8000'0000, 64_KiB, {{PhysicalAddress(0x8000'0000), page}, {PhysicalAddress(0x8000'2000), page}}) == ErrorCode::foreign_block);
  CHECK(map(0x8000'0000, 32_MiB, at(0x8000'0000, page)) == ErrorCode::size_beyond_zone);
  CHECK(scene.is_untouched());
}

TEST_CASE("row 28: whichever call of the page tables fails, its error comes out, and nothing is mapped, taken or counted") {
  for (const bool is_whole : {false, true}) {
    std::uint64_t failing = 1;
    for (bool has_failed = true; has_failed; ++failing) {
      Scene scene;
      WholeHeap heap(*scene.iommu, {PhysicalAddress(0x8000'0000), 128_KiB, 0});
      Maps of_pieces(*scene.iommu, {scattered, true});
      HeapMaps of_heap(heap, {one_page});
      const IommuRequest request{.key = video, .length = is_whole ? Bytes(0) : Bytes(2_MiB), .iommu_flags = unmap_delayed};
      scene.mmu.failing = failing;
      const auto iova = is_whole ? of_heap.map(request) : of_pieces.map(request);
      has_failed = !iova;
      CHECK(has_failed == (scene.mmu.calls == failing));
      if (!has_failed) break;
      CHECK(iova.error() == Error{.code = ErrorCode::injected, .asked = failing});
      CHECK(of_heap.count() + of_pieces.count() == 0);
      CHECK(scene.is_untouched());
      CHECK((is_whole ? of_heap.map(request) : of_pieces.map(request)));  // nothing stays behind that would be in the way
    }
    CHECK(failing == (is_whole ? 2 + 32 + 1 : 3 + 512 - 256 - 17 + 1));
  }
}

TEST_CASE("row 28: no room for addresses, and none in the table") {
  Scene scene(64_KiB);
  Maps first(*scene.iommu, {four_pages}), second(*scene.iommu, {four_pages});
  REQUIRE(first.map({.key = video, .length = 52_KiB}));
  const auto refused = second.map({.key = video});
  REQUIRE(!refused);
  CHECK(refused.error().code == ErrorCode::no_space);
  CHECK(told(refused) == Errno::no_memory);
  CHECK(second.count() == 0);
  REQUIRE(first.unmap(video));
  REQUIRE(second.map({.key = video}));

  IommuMaps<TestIommu, 2, lock::Futex> small(*scene.iommu, {one_page});
  REQUIRE(small.map({.key = video}));
  REQUIRE(small.map({.key = camera}));
  const auto calls = scene.mmu.calls;
  const auto full = small.map({.key = display});
  REQUIRE(!full);
  CHECK(full.error().code == ErrorCode::too_many_maps);
  CHECK(told(full) == Errno::no_memory);
  CHECK(scene.mmu.calls == calls);
  REQUIRE(small.map({.key = camera}));
  REQUIRE(small.unmap(video));
  REQUIRE(small.map({.key = display}));
}

TEST_CASE("row 14: mappings by chance, beside a model that knows where each page of each domain leads") {
  struct Model {
    std::uint64_t iova, length;
    std::uint32_t flags, users;
  };
  Random random(seed());
  Scene scene(512_KiB);
  constexpr std::size_t buffers = 5;
  const std::array keys = {video, firmware, camera, display, IommuKey{9, 9}};
  std::array<Pieces, buffers> pieces;
  std::array<std::optional<Maps>, buffers> maps;
  std::array<std::map<std::size_t, Model>, buffers> model;  // by the key's place
  std::uint64_t next_physical = 0x8000'0000;
  int mapped = 0, shared = 0, refused = 0, failed = 0;

  const auto size_of = [&](std::size_t buffer) { return IommuBuffer{pieces[buffer]}.size().value(); };
  const auto make = [&](std::size_t buffer) {
    pieces[buffer].clear();
    for (std::uint64_t count = 1 + random.below(4); count != 0; --count) {
      const std::uint64_t length = page << random.below(4);
      pieces[buffer].push_back({PhysicalAddress(next_physical), length});
      next_physical += length + page;
    }
    maps[buffer].emplace(*scene.iommu, IommuBuffer{pieces[buffer], random.chance(50)});
  };
  const auto expected = [&] {
    Pages all;
    bool overlap = false;
    for (std::size_t buffer = 0; buffer < buffers; ++buffer) {
      for (const auto& [key, one] : model[buffer]) {
        std::uint64_t at = one.iova;
        const std::uint32_t domain = keys[key].domain, flags = one.flags & ~unmap_delayed;
        for (const auto& piece : pieces[buffer]) {
          for (std::uint64_t in_piece = 0; in_piece < piece.length.value(); in_piece += page, at += page) {
            overlap |= !all.emplace(std::pair(domain, at), Seen{piece.address.value() + in_piece, flags}).second;
          }
        }
        for (; at < one.iova + one.length; at += page) overlap |= !all.emplace(std::pair(domain, at), Seen{dummy.value(), flags}).second;
      }
    }
    REQUIRE(!overlap);
    return all;
  };
  const auto map = [&](std::size_t buffer) {
    const auto key = static_cast<std::size_t>(random.below(keys.size()));
    IommuRequest request{.key = keys[key], .align = random.chance(20) ? Bytes(page << random.below(5)) : Bytes(0)};
    if (random.chance(30)) request.length = size_of(buffer) + page * random.below(3);
    if (random.chance(30)) request.iommu_flags = static_cast<std::uint32_t>(random.below(4));
    if (random.chance(10)) scene.mmu.failing = scene.mmu.calls + 1 + random.below(6);
    const auto found = model[buffer].find(key);
    const std::uint64_t length = request.length == 0 ? size_of(buffer) : request.length.value();
    const auto iova = maps[buffer]->map(request);
    if (found != model[buffer].end()) {
      Model& known = found->second;
      REQUIRE(static_cast<bool>(iova) == (known.length == length && known.flags == request.iommu_flags));
      if (!iova) return static_cast<void>(++refused);
      REQUIRE(iova->value() == known.iova);
      ++known.users, ++shared;
    } else if (iova) {
      REQUIRE(key != 4);
      model[buffer][key] = {iova->value(), length, request.iommu_flags, 1}, ++mapped;
    } else {
      const auto code = iova.error().code;
      const bool was_injected = scene.mmu.calls == scene.mmu.failing;
      const auto wanted = was_injected ? ErrorCode::injected : ErrorCode::no_space;
      REQUIRE(code == (model[buffer].size() == 4 ? ErrorCode::too_many_maps : key == 4 ? ErrorCode::no_device : wanted));
      ++failed;
    }
    scene.mmu.failing = 0;
  };
  const auto unmap = [&](std::size_t buffer) {
    const auto key = static_cast<std::size_t>(random.below(keys.size()));
    const auto found = model[buffer].find(key);
    const bool is_used = found != model[buffer].end() && found->second.users != 0;
    REQUIRE(static_cast<bool>(maps[buffer]->unmap(keys[key])) == is_used);
    if (!is_used) return;
    --found->second.users;
    if (found->second.users == 0 && (found->second.flags & unmap_delayed) == 0) model[buffer].erase(found);
  };
  const auto end = [&](std::size_t buffer) {
    std::size_t leaks = 0;
    for (const auto& [key, one] : model[buffer]) leaks += one.users != 0;
    REQUIRE(leaked(*maps[buffer]).size() == leaks);
    model[buffer].clear();
  };

  for (std::size_t buffer = 0; buffer < buffers; ++buffer) make(buffer);
  for (int round = 0; round < some_of(20'000); ++round) {
    const auto buffer = static_cast<std::size_t>(random.below(buffers));
    if (random.chance(3)) {
      end(buffer), make(buffer);
    } else if (random.chance(55)) {
      map(buffer);
    } else {
      unmap(buffer);
    }
    REQUIRE(scene.mmu.pages == expected());
    std::uint32_t references = 0;
    for (const auto& [key, one] : model[buffer]) references += one.users + (one.flags & unmap_delayed);
    REQUIRE(maps[buffer]->count() == references);
    REQUIRE(!scene.mmu.is_misused);
  }
  for (std::size_t buffer = 0; buffer < buffers; ++buffer) end(buffer);
  CHECK(scene.is_untouched());
  CHECK(mapped > 100);
  CHECK(shared > 100);
  CHECK(refused > 100);
  CHECK(failed > 100);
}

TEST_CASE("row 25: threads that map and unmap buffers of their own and common ones leave nothing behind") {
  Scene scene;
  WholeHeap heap(*scene.iommu, {PhysicalAddress(0x8000'0000), 128_KiB});
  Maps common(*scene.iommu, {scattered, true});
  const auto run = [&](unsigned number) {
    const Pieces pieces = {{PhysicalAddress(0x8000'0000 + page * number), page}};
    for (int round = 0; round < some_of(300); ++round) {
      Maps own(*scene.iommu, {pieces});
      HeapMaps of_heap(heap, {pieces});
      static_cast<void>(own.map({.key = video, .length = page * (1 + number)}));
      static_cast<void>(of_heap.map({.key = number == 0 ? video : camera}));
      if (common.map({.key = camera})) static_cast<void>(common.unmap(camera));
    }
  };
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 3; ++number) threads.emplace_back(run, number);
  for (auto& thread : threads) thread.join();
  CHECK(common.count() == 0);
  CHECK(scene.mmu.pages.size() == 2 * 32);
  heap.end();
  CHECK(scene.is_untouched());
}
