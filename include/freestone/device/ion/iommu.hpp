// What devices see of buffers through an IOMMU: addresses, the page tables behind them, and who counts on them.
// (shared/spec: ION 1.7, 3.3 to 3.5, 4.2.)
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/address.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/ion/pieces.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/grants.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone::device {

// The address space that a device sees, and which part of it.
struct IommuKey {
  std::uint32_t domain = 0;
  std::uint32_t partition = 0;

  friend constexpr bool operator==(const IommuKey&, const IommuKey&) noexcept = default;
};

struct IommuBuffer {
  std::span<const PhysicalPiece> pieces;  // whole pages
  bool aligned_as_first = false;  // an IOMMU heap's: devices see it at multiples of its first piece's length

  constexpr Bytes size() const noexcept {
    Bytes sum;
    for (const PhysicalPiece& piece : pieces) sum = sum + piece.length;
    return sum;
  }
  constexpr Bytes least_align() const noexcept { return aligned_as_first && !pieces.empty() ? pieces[0].length : page_size; }
  constexpr bool is_contiguous() const noexcept {
    for (std::size_t at = 1; at < pieces.size(); ++at) {
      if (pieces[at].address != pieces[at - 1].address + pieces[at - 1].length) return false;
    }
    return !pieces.empty();
  }
};

inline constexpr std::uint32_t map_cached = 1;     // of `flags`: not to be had
inline constexpr std::uint32_t unmap_delayed = 1;  // of `iommu_flags`: mapped until the buffer ends

struct IommuRequest {
  IommuKey key = {};
  Bytes align = 0;   // a power of two; 0: a page will do
  Bytes length = 0;  // of addresses, whole pages, the buffer's at least; 0: as the buffer
  std::uint32_t flags = 0;
  std::uint32_t iommu_flags = 0;  // unmap_delayed; the others are the page tables' own
};

// What the caller of map_iommu or unmap_iommu is told.
constexpr Errno iommu_errno(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::bad_cacheability:
    case ErrorCode::not_pages:
    case ErrorCode::range_beyond_block:
    case ErrorCode::exists:
    case ErrorCode::no_device:
    case ErrorCode::foreign_block:
    case ErrorCode::base_misaligned:
    case ErrorCode::zone_not_multiple: return Errno::invalid;
    default: return errno_of(code);
  }
}

// A platform's page tables. Both calls are of whole pages, and may come from several threads at once, also of one domain,
// but never of the same pages. map of pages that are not mapped: from `iova` on `length` bytes are the memory at
// `physical`; where it fails none of them is mapped. unmap of pages that are; then no device sees them any more.
template <class M>
concept can_map_pages = requires(M& mmu, std::uint32_t domain, DeviceAddress iova, PhysicalAddress physical, Bytes length,
                                 std::uint32_t iommu_flags) {
  { mmu.map(domain, iova, physical, length, iommu_flags) } noexcept -> std::same_as<Result<void>>;
  { mmu.unmap(domain, iova, length) } noexcept;
};

// Domains, in whose partitions a Zone of numbers says where there is room. Any thread, as these zones' locks let them.
template <class Mmu>
class Iommu {
  static_assert(can_map_pages<Mmu>, "Iommu: page tables have map(domain, iova, physical, length, flags), which returns a "
                                    "Result<void>, and unmap(domain, iova, length); neither throws.");

 public:
  struct Partition {
    IommuKey key;
    ZoneRef addresses;
  };
  class Pages;

  // Of a machine that has none: devices see physical addresses.
  Iommu() noexcept = default;
  // All of it outlives this. The dummy page is what devices see behind the ends of buffers.
  Iommu(Mmu& mmu, std::span<const Partition> partitions, PhysicalAddress dummy_page) noexcept
      : mmu_(&mmu), partitions_(partitions), dummy_page_(dummy_page) {}

  bool is_there() const noexcept { return mmu_ != nullptr; }

  // The buffer's pages, then the dummy as far as the length goes, which here is the buffer's at least. Where there is no
  // IOMMU: the physical address. Errors: no_device where there is no such partition, or none is there and the buffer is not
  // contiguous; the zone's; the page tables'. Then nothing is mapped.
  Result<DeviceAddress> map(const IommuBuffer& buffer, const IommuRequest& request) noexcept {
    if (!is_there()) return physical(buffer);
    IommuRequest wanted = request;
    if (buffer.least_align() > wanted.align) wanted.align = buffer.least_align();
    return map_with(wanted, [&](Pages& pages) -> Result<void> {
      for (const PhysicalPiece& piece : buffer.pieces) {
        if (const auto added = pages.add(piece.address, piece.length, piece.length); !added) return added;
      }
      return pages.add_dummies();
    });
  }
  // What map answered, with the length that it was asked for.
  void unmap(const IommuKey& key, DeviceAddress iova, Bytes length) noexcept {
    if (!is_there()) return;
    mmu_->unmap(key.domain, iova, length);
    const ZoneRef& addresses = find(key)->addresses;
    if (const auto block = addresses.find(iova.value() - addresses.base().value())) give_back(addresses, *block);
  }

  // As many addresses of a partition as the request says, at multiples of its alignment, which is a page at least; and
  // fill(pages), which returns a Result<void>, maps them from the first on. Errors: as map, and fill's; then nothing is
  // mapped. An IOMMU must be there.
  template <class Fill>
  Result<DeviceAddress> map_with(const IommuRequest& request, Fill&& fill) noexcept {
    const Partition* const partition = find(request.key);
    if (partition == nullptr) return Error{.code = ErrorCode::no_device, .asked = request.key.domain};
    const ZoneRef& addresses = partition->addresses;
    const auto block = addresses.allocate({.size = request.length, .align = request.align});
    if (!block) return block.error();
    const DeviceAddress iova((addresses.base() + block->offset()).value());
    Pages pages(*this, iova, request);
    const Result<void> filled = fill(pages);
    if (filled) return iova;
    pages.clear();
    give_back(addresses, *block);
    return filled.error();
  }

  // Addresses of which the first ones are mapped.
  class Pages {
   public:
    // The next `length` ones are this memory, `step` bytes a call of the page tables. What fails is the page tables'.
    Result<void> add(PhysicalAddress physical, Bytes length, Bytes step) noexcept {
      for (Bytes at = 0; at < length; at = at + step) {
        if (const auto mapped = add_one(physical + at, step); !mapped) return mapped;
      }
      return {};
    }
    // All that are left are the dummy.
    Result<void> add_dummies() noexcept {
      while (mapped_ < request_.length) {
        if (const auto mapped = add_one(iommu_.dummy_page_, page_size); !mapped) return mapped;
      }
      return {};
    }
    void clear() noexcept {
      if (mapped_ != 0) iommu_.mmu_->unmap(request_.key.domain, iova_, mapped_);
    }

   private:
    friend class Iommu;

    Pages(Iommu& iommu, DeviceAddress iova, const IommuRequest& request) noexcept
        : iommu_(iommu), iova_(iova), request_(request) {}

    Result<void> add_one(PhysicalAddress physical, Bytes length) noexcept {
      const std::uint32_t flags = request_.iommu_flags & ~unmap_delayed;
      const auto mapped = iommu_.mmu_->map(request_.key.domain, iova_ + mapped_, physical, length, flags);
      if (mapped) mapped_ = mapped_ + length;
      return mapped;
    }

    Iommu& iommu_;
    const DeviceAddress iova_;
    const IommuRequest& request_;
    Bytes mapped_ = 0;
  };

 private:
  static Result<DeviceAddress> physical(const IommuBuffer& buffer) noexcept {
    if (!buffer.is_contiguous()) return ErrorCode::no_device;
    return DeviceAddress(buffer.pieces[0].address.value());
  }
  const Partition* find(const IommuKey& key) const noexcept {
    for (const Partition& partition : partitions_) {
      if (partition.key == key) return &partition;
    }
    return nullptr;
  }
  static void give_back(const ZoneRef& addresses, const Block& block) noexcept {
    static_cast<void>(addresses.deallocate(block));
  }

  Mmu* mmu_ = nullptr;
  std::span<const Partition> partitions_ = {};
  PhysicalAddress dummy_page_ = PhysicalAddress(0);
};

// A heap that each domain sees as a whole (ION 3.5, iommu_map_all): the first buffer that is mapped into a domain brings
// all of the heap with it, and the others find their place there. Up to `most` domains. Any thread, as L lets them.
template <class Mmu, std::size_t most, class L>
class WholeHeapMaps {
  using Turn = typename OwnLock<L>::Turn;

 public:
  struct Heap {
    PhysicalAddress base;
    Bytes size;
    std::optional<std::uint32_t> doubled_domain = {};  // it sees as many dummies behind the heap
  };
  static constexpr Bytes step = 64_KiB;  // so large are its pages
  static constexpr bool outlives_buffers = true;

  WholeHeapMaps(Iommu<Mmu>& iommu, const Heap& heap) noexcept : iommu_(iommu), heap_(heap) {}
  WholeHeapMaps(const WholeHeapMaps&) = delete;
  WholeHeapMaps& operator=(const WholeHeapMaps&) = delete;
  ~WholeHeapMaps() { end(); }

  // Where in the heap's addresses the buffer lies. Its own alignment and length are not looked at: it is aligned as it is
  // in the heap, if that is up to 64 KiB, and what follows it there follows it here. Errors: foreign_block, it is not in
  // the heap; base_misaligned and zone_not_multiple, the heap's, of 64 KiB; too_many_maps, of domains; Iommu's.
  Result<DeviceAddress> map(const IommuBuffer& buffer, const IommuRequest& request) noexcept {
    if (!iommu_.is_there()) return iommu_.map(buffer, request);
    if (!is_mine(buffer)) return ErrorCode::foreign_block;
    const Turn turn(lock_);
    const auto first = of_domain(request);
    if (!first) return first;
    return *first + (buffer.pieces[0].address.value() - heap_.base.value());
  }
  // The domain sees the heap still.
  void unmap(const IommuKey&, DeviceAddress, Bytes) noexcept {}

  // No domain sees the heap any more. Nobody has a buffer of it now, and nobody gets one before this returns.
  void end() noexcept {
    const Turn turn(lock_);
    for (auto& domain : domains_) {
      if (domain) iommu_.unmap(domain->key, domain->iova, length_in(domain->key.domain));
      domain.reset();
    }
  }

 private:
  struct Domain {
    IommuKey key;
    DeviceAddress iova;
  };

  bool is_mine(const IommuBuffer& buffer) const noexcept {
    if (!buffer.is_contiguous()) return false;
    const Bytes offset = buffer.pieces[0].address.value() - heap_.base.value();  // below the heap: far behind its end
    return ByteRange{offset, buffer.size()}.is_within(heap_.size);
  }
  Bytes length_in(std::uint32_t domain) const noexcept {
    return heap_.doubled_domain == domain ? heap_.size + heap_.size : heap_.size;
  }

  Result<DeviceAddress> of_domain(const IommuRequest& request) noexcept {
    std::optional<Domain>* free = nullptr;
    for (auto& domain : domains_) {
      if (domain && domain->key.domain == request.key.domain) return domain->iova;
      if (!domain) free = &domain;
    }
    if (free == nullptr) return Error{.code = ErrorCode::too_many_maps, .asked = most + 1, .available = most};
    const auto iova = map_all(request);
    if (iova) *free = Domain{request.key, *iova};
    return iova;
  }
  Result<DeviceAddress> map_all(const IommuRequest& request) noexcept {
    if ((heap_.base.value() & (step.value() - 1)) != 0) return Error{.code = ErrorCode::base_misaligned, .asked = heap_.base.value()};
    if ((heap_.size.value() & (step.value() - 1)) != 0) return Error{.code = ErrorCode::zone_not_multiple, .asked = heap_.size.value()};
    const IommuRequest whole{
        .key = request.key, .align = step, .length = length_in(request.key.domain), .iommu_flags = request.iommu_flags};
    return iommu_.map_with(whole, [&](auto& pages) -> Result<void> {
      if (const auto added = pages.add(heap_.base, heap_.size, step); !added) return added;
      return pages.add_dummies();
    });
  }

  Iommu<Mmu>& iommu_;
  const Heap heap_;
  OwnLock<L> lock_;
  std::array<std::optional<Domain>, most> domains_ = {};
};

// One of a buffer's mappings.
struct IommuMap {
  IommuKey key;
  DeviceAddress iova;
  Bytes length;
  std::uint32_t iommu_flags;
  bool is_delayed;          // it has a reference of its own, until the buffer ends
  std::uint32_t users = 1;  // how often it was mapped, less how often it was unmapped

  constexpr std::uint32_t references() const noexcept { return users + is_delayed; }
  // When the buffer ends: somebody still counts on these addresses.
  constexpr bool is_leaked() const noexcept { return users != 0; }
};

// A buffer's mappings, up to `most`. H is how the buffer's heap maps, which outlives this: an Iommu, or WholeHeapMaps. Any
// thread, as L lets them; the lock is held while H works.
template <class H, std::size_t most, class L>
class IommuMaps {
  using Turn = typename OwnLock<L>::Turn;

 public:
  static constexpr std::uint32_t most_users = 65535;  // of one mapping

  // The buffer's pieces outlive this, and its memory does.
  IommuMaps(H& heap, const IommuBuffer& buffer) noexcept : heap_(heap), buffer_(buffer) {}
  IommuMaps(const IommuMaps&) = delete;
  IommuMaps& operator=(const IommuMaps&) = delete;
  ~IommuMaps() {
    release([](const IommuMap&) {});
  }

  // Where devices of that domain see the buffer; who asks again is told the same, and each unmaps for himself. Errors:
  // bad_cacheability of a cached one; alignment_not_power_of_two; range_beyond_block where the length is less than the
  // buffer's; not_pages; exists where it is mapped there with another length or other iommu_flags; too_many_maps, of the
  // buffer's or of one's users; H's. Then nothing changed.
  Result<DeviceAddress> map(const IommuRequest& request) noexcept {
    const Bytes size = buffer_.size();
    IommuRequest wanted = request;
    if (wanted.length == 0) wanted.length = size;
    if (const Error error = check(wanted, size); error) return error;
    const Turn turn(lock_);
    std::optional<IommuMap>* const found = find(wanted.key);
    return found != nullptr ? map_again(**found, wanted) : map_anew(wanted);
  }

  // One use less; the last one unmaps, where unmap_delayed was not asked for. Errors: not_mapped, also by as many as
  // mapped it: the buffer's own reference is nobody's to drop.
  Result<void> unmap(const IommuKey& key) noexcept {
    const Turn turn(lock_);
    std::optional<IommuMap>* const found = find(key);
    if (found == nullptr || (*found)->users == 0) return Error{.code = ErrorCode::not_mapped, .asked = key.domain};
    --(*found)->users;
    if ((*found)->references() == 0) end(*found);
    return {};
  }

  // The buffer ends: unmaps all there is, and tells report(const IommuMap&) which of these are leaked.
  template <class Report>
  void release(Report&& report) noexcept {
    const Turn turn(lock_);
    for (auto& map : maps_) {
      if (!map) continue;
      if (map->is_leaked()) report(*map);
      end(map);
    }
  }

  // References of all mappings.
  std::uint32_t count() noexcept {
    std::uint32_t sum = 0;
    for_each([&](const IommuMap& map) { sum += map.references(); });
    return sum;
  }
  // visit(const IommuMap&) for each, under the lock.
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    const Turn turn(lock_);
    for (const auto& map : maps_) {
      if (map) visit(*map);
    }
  }

 private:
  static Error check(const IommuRequest& request, Bytes size) noexcept {
    const Bytes align = request.align, length = request.length;
    if ((request.flags & map_cached) != 0) return {.code = ErrorCode::bad_cacheability, .asked = request.flags};
    if (align != 0 && !bits::is_power_of_two(align.value())) {
      return {.code = ErrorCode::alignment_not_power_of_two, .asked = align.value()};
    }
    if (length < size) return {.code = ErrorCode::range_beyond_block, .asked = length.value(), .available = size.value()};
    if ((length.value() & (page_size.value() - 1)) != 0) return {.code = ErrorCode::not_pages, .asked = length.value()};
    return {};
  }

  std::optional<IommuMap>* find(const IommuKey& key) noexcept {
    for (auto& map : maps_) {
      if (map && map->key == key) return &map;
    }
    return nullptr;
  }
  static Result<DeviceAddress> map_again(IommuMap& map, const IommuRequest& request) noexcept {
    if (map.length != request.length || map.iommu_flags != request.iommu_flags) {
      return Error{.code = ErrorCode::exists, .asked = request.length.value(), .available = map.length.value()};
    }
    if (map.users == most_users) return Error{.code = ErrorCode::too_many_maps, .available = most_users};
    ++map.users;
    return map.iova;
  }
  Result<DeviceAddress> map_anew(const IommuRequest& request) noexcept {
    for (auto& map : maps_) {
      if (map) continue;
      const auto iova = heap_.map(buffer_, request);
      if (iova) map = IommuMap{request.key, *iova, request.length, request.iommu_flags, delays(request)};
      return iova;
    }
    return Error{.code = ErrorCode::too_many_maps, .asked = most + 1, .available = most};
  }
  // Where devices see the heap as long as there is any buffer, nothing is left to be delayed.
  static bool delays(const IommuRequest& request) noexcept {
    if constexpr (requires { H::outlives_buffers; }) return false;
    return (request.iommu_flags & unmap_delayed) != 0;
  }
  void end(std::optional<IommuMap>& map) noexcept {
    heap_.unmap(map->key, map->iova, map->length);
    map.reset();
  }

  H& heap_;
  const IommuBuffer buffer_;
  OwnLock<L> lock_;
  std::array<std::optional<IommuMap>, most> maps_ = {};
};

}  // namespace freestone::device
