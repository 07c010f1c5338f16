// What drivers in the kernel ask of ION: its API, call by call. (shared/spec: ION 1.7.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/address.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/dma_buf.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/ion/calls.hpp>
#include <freestone/device/ion/client.hpp>
#include <freestone/device/ion/heaps.hpp>
#include <freestone/device/ion/iommu.hpp>
#include <freestone/device/ion/kernel_buffer.hpp>
#include <freestone/device/ion/pieces.hpp>
#include <freestone/device/ion/secure_heap.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/client.hpp>

namespace freestone::device {

// What unmap_kernel and unmap_iommu answer whoever unmaps what is not mapped: nothing happens. The original warns.
inline constexpr Answer was_not_mapped = Answer(std::int64_t{1});

// How often a handle's client has its buffer mapped: the buffer itself is, or is not. Where the handle ends and it is, its heap
// notes that.
template <class D>
class IonHandleMaps {
 public:
  IonHandleMaps() noexcept = default;
  ~IonHandleMaps() {
    if (times_ != 0) map_.buffer().extra().ops()->note_forced();
  }
  IonHandleMaps(IonHandleMaps&& other) noexcept : times_(std::exchange(other.times_, 0)), map_(std::move(other.map_)) {}
  IonHandleMaps& operator=(IonHandleMaps&& other) noexcept {
    std::swap(times_, other.times_);
    map_ = std::move(other.map_);
    return *this;
  }

  // Errors: as IonKernelMap; ENOMEM: so often that nobody counts it.
  Errno map(const typename D::Ref& buffer, std::optional<Cacheability> wanted, void*& address) noexcept {
    if (times_ == ~std::uint32_t{0}) return Errno::no_memory;
    if (times_ == 0) {
      if (const Errno wrong = map_.begin(buffer, wanted, address); wrong != Errno::none) return wrong;
    } else {
      if (wanted && *wanted != buffer.device().info(buffer).cacheability) return Errno::exists;
      address = buffer.extra().kernel_address();
    }
    ++times_;
    return Errno::none;
  }
  // False: it is not mapped. `ended` is what ends with the last.
  bool unmap(IonKernelMap<D>& ended) noexcept {
    if (times_ == 0) return false;
    if (--times_ == 0) ended = std::move(map_);
    return true;
  }
 private:
  std::uint32_t times_ = 0;
  IonKernelMap<D> map_ = {};
};

// The Device D's extra is an IonBuffer. Up to `most_clients` at once, each with up to `most_handles` handles. What a call gives
// back stands in its last argument, and means nothing where the call fails; a call that fails has changed nothing. Handles
// are numbers: EINVAL is what each call answers where it is none of this client's. Any thread, as L lets them; it stays
// where it is.
template <class D, class L, std::size_t most_clients = 16, std::size_t most_handles = 256>
class IonKernel {
  using Turn = typename OwnLock<L>::Turn;
  using Ref = typename D::Ref;
  using Maps = IonHandleMaps<D>;
  using Handles = IonClient<D, L, most_handles, ~std::uint32_t{0}, Maps>;
  static constexpr WordSize word = sizeof(void*) == 8 ? WordSize::bits64 : WordSize::bits32;

 public:
  using Heaps = IonHeaps<D, L>;
  using Buffer = DmaBuf<D, L>;
  using Handle = std::uint64_t;
  static constexpr std::size_t most_handles_each = most_handles;
  using Until = typename D::Extra::Until;

  // `cookies`: those of all clients of these heaps. Both outlive it.
  IonKernel(const Heaps& heaps, IonCookies<L>& cookies) noexcept : heaps_(heaps), cookies_(cookies) {}
  IonKernel(const IonKernel&) = delete;
  IonKernel& operator=(const IonKernel&) = delete;

  // --- clients ---

  class Client {
   public:
    static constexpr std::size_t most_name = 64;  // with its end; what is longer is cut off

    Client(const Heaps& heaps, ClientId id, IonCookies<L>& cookies, std::uint32_t types, const char* name) noexcept
        : handles_(heaps, id, cookies, types) {
      for (std::size_t at = 0; at + 1 < most_name && name[at] != '\0'; ++at) name_[at] = name[at];
    }
    const char* name() const noexcept { return name_.data(); }

   private:
    friend IonKernel;
    Handles handles_;
    std::array<char, most_name> name_ = {};
  };

  // `types`: of heaps, that he may use, as Qualcomm counts them (g1, g2). Errors: EINVAL: there is no name; ENOMEM: there are too
  // many; as the Device's open.
  Errno client_create(std::uint32_t types, const char* name, Client*& client) noexcept {
    if (name == nullptr) return Errno::invalid;
    Slot* const slot = change_slot(SlotState::free, SlotState::changing, [](const Slot&) { return true; });
    if (slot == nullptr) return Errno::no_memory;
    const auto id = heaps_.device->open();
    if (id) client = &slot->client.emplace(heaps_, *id, cookies_, types, name);
    set_slot(*slot, id ? SlotState::open : SlotState::free);
    return id ? Errno::none : errno_of(id.error().code);
  }
  // All his handles end, in whatever number; buffers that others have live on. He calls nothing any more. Errors: EINVAL: he
  // is none, or was destroyed before.
  Errno client_destroy(const Client* client) noexcept {
    Slot* const slot = change_slot(SlotState::open, SlotState::changing, [&](Slot& one) { return &*one.client == client; });
    if (slot == nullptr) return Errno::invalid;
    slot->client.reset();
    set_slot(*slot, SlotState::free);
    return Errno::none;
  }
  // Whoever that is, if he is one: for those who have a pointer of somebody's.
  Client* find(const void* client) noexcept {
    Slot* const slot = change_slot(SlotState::open, SlotState::open, [&](Slot& one) { return &*one.client == client; });
    return slot == nullptr ? nullptr : &*slot->client;
  }

  // --- buffers ---

  // As ALLOC: IonHeaps.
  Errno alloc(Client& client, const IonWanted& wanted, Handle& handle) noexcept {
    Errno error = Errno::none;
    return hand_over(client.handles_.allocate(wanted, error), error, handle);
  }
  Errno free(Client& client, Handle handle) noexcept {
    return client.handles_.free(handle, word);
  }
  // Where he has a handle to it, that one, which he is to free once more. Errors: EINVAL: another device's; ENOMEM.
  Errno import_dma_buf(Client& client, const Buffer& buffer, Handle& handle) noexcept {
    if (&buffer.buffer().device() != heaps_.device) return Errno::invalid;
    Errno error = Errno::none;
    return hand_over(client.handles_.import(buffer.buffer(), error), error, handle);
  }
  Errno share_dma_buf(Client& client, Handle handle, std::optional<Buffer>& buffer) noexcept {
    return with_buffer(client, handle, [&](Ref& own) { return buffer.emplace(std::move(own)), Errno::none; });
  }

  // Errors: ENODEV: it is of a heap whose buffers are of several pieces, or which nobody gave a place.
  Errno phys(Client& client, Handle handle, PhysicalPiece& piece) noexcept {
    return with_parts(client, handle, [&](Ref& own, const auto& parts) {
      if (is_scattered(own.extra().heap().type)) return Errno::no_device;
      piece = {parts.base + own.parts().list()[0].offset(), own.extra().size()};
      return Errno::none;
    });
  }
  // visit(const PhysicalPiece&) for each of the buffer's pieces: of a secure one as the monitor takes them. Errors: ENODEV, as
  // phys.
  template <class Visit>
  Errno sg_table(Client& client, Handle handle, Visit&& visit) noexcept {
    return with_parts(client, handle, [&](Ref& own, const auto& parts) {
      const bool is_secure = (own.parts().flags & ion_flag::secure) != 0;
      const Bytes size = own.extra().size();
      for_each_piece(parts.base, own.parts().list(), size, scatter_entry(size, is_secure), visit);
      return Errno::none;
    });
  }
  Errno handle_get_flags(Client& client, Handle handle, std::uint32_t& flags) noexcept {
    return with_buffer(client, handle, [&](Ref& own) { return flags = heaps_.flags_of(own.device().info(own)), Errno::none; });
  }
  Errno handle_get_size(Client& client, Handle handle, Bytes& size) noexcept {
    return with_buffer(client, handle, [&](Ref& own) { return size = own.extra().size(), Errno::none; });
  }

  // --- mappings ---

  // Where the kernel sees it; each time is to be unmapped. `wanted` is how, in G1 (from here on, where nobody maps it); without
  // it is seen as it is. Errors: ENODEV: the platform's memory is not the kernel's to map; EEXIST: it is mapped in another way;
  // EINVAL: one of system's, uncached (G1); IonBuffer's; ENOMEM.
  Errno map_kernel(Client& client, Handle handle, std::optional<Cacheability> wanted, void*& address) noexcept {
    return client.handles_.with(handle, word, [&](const Ref& buffer, Maps& maps) {
      if (must_be_cached(buffer, wanted)) return Errno::invalid;
      return maps.map(buffer, wanted, address);
    });
  }
  // Answers was_not_mapped where this client has none.
  Answer unmap_kernel(Client& client, Handle handle) noexcept {
    IonKernelMap<D> ended;  // under no lock
    bool was_mapped = false;
    const Errno error = client.handles_.with(handle, word, [&](const Ref&, Maps& maps) {
      was_mapped = maps.unmap(ended);
      return Errno::none;
    });
    return error == Errno::none && !was_mapped ? was_not_mapped : Answer(error);
  }

  // Where devices of a domain see it, and how many bytes. Errors: EINVAL: cached; one of system's that is not (G1); as
  // IommuMaps, which are answers of this call (the original's was 0). ENODEV: devices see none of its heap's buffers.
  struct DeviceView {
    DeviceAddress iova = DeviceAddress(0);
    Bytes size = {};
  };
  Errno map_iommu(Client& client, Handle handle, const IommuRequest& request, DeviceView& view) noexcept {
    if ((request.flags & map_cached) != 0) return Errno::invalid;
    return with_buffer(client, handle, [&](Ref& own) {
      if (must_be_cached(own, {})) return Errno::invalid;
      view.size = own.extra().size();
      return own.extra().map_iommu(own, request, view.iova);
    });
  }
  // Answers was_not_mapped where nobody mapped it there.
  Answer unmap_iommu(Client& client, Handle handle, const IommuKey& key) noexcept {
    bool was_mapped = false;
    const Errno error = with_buffer(client, handle, [&](Ref& own) {
      was_mapped = own.extra().unmap_iommu(own, key);
      return Errno::none;
    });
    return error == Errno::none && !was_mapped ? was_not_mapped : Answer(error);
  }

  // On the kernel's mapping, at addresses in it (G2: at 0, all of it). Where the memory has maintain(range, command), that is
  // called for each range that cache_operations finds; else nothing has caches. Errors: cache_operations'.
  Errno do_cache_op(Client& client, Handle handle, std::uint64_t address, std::uint64_t offset, std::uint64_t length,
                    CacheCommand command) noexcept {
    CacheCall call{.command = command, .address = address, .offset = offset, .length = length};
    call.null_is_whole = heaps_.generation == IonGeneration::g2;
    return with_parts(client, handle, [&](Ref& own, const auto&) { return own.extra().maintain(own, call); });
  }

  // --- securing ---

  // Of the heap whose bit that is. Errors: ENODEV: there is none (the original says 0); EINVAL: it is none that can; SecureHeap's.
  Errno secure_heap(std::uint32_t mask, const Securing& as) noexcept {
    return with_secure(mask, [&](auto& ops) { return ops.parts().secure->secure(as).error(); });
  }
  // What could not be unsecured when it ended is tried once more.
  Errno unsecure_heap(std::uint32_t mask) noexcept {
    return with_secure(mask, [&](auto& ops) {
      const Errno error = ops.parts().secure->unsecure().error();
      ops.end_kept();
      return error;
    });
  }
  // Errors: IonBuffer's.
  Errno secure_buffer(Client& client, Handle handle, const Securing& as, Until until = Until::unsecured) noexcept {
    return with_buffer(client, handle, [&](Ref& own) { return own.extra().secure(own, as, until); });
  }
  Errno unsecure_buffer(Client& client, Handle handle) noexcept {
    return with_buffer(client, handle, [&](Ref& own) { return own.extra().unsecure(); });
  }

  // visit(const Client&) for each, under a lock: it calls nothing of this.
  template <class Visit>
  void for_each_client(Visit&& visit) noexcept {
    const Turn turn(lock_);
    for (const Slot& slot : slots_) {
      if (slot.state == SlotState::open) visit(*slot.client);
    }
  }

 private:
  enum class SlotState : std::uint8_t { free, changing, open };
  struct Slot {
    SlotState state = SlotState::free;
    std::optional<Client> client = {};
  };
  // The first in that state that is_meant(slot) is in the other from here on. nullptr: there is none.
  template <class Is>
  Slot* change_slot(SlotState from, SlotState to, Is&& is_meant) noexcept {
    const Turn turn(lock_);
    for (Slot& slot : slots_) {
      if (slot.state == from && is_meant(slot)) return slot.state = to, &slot;
    }
    return nullptr;
  }
  void set_slot(Slot& slot, SlotState state) noexcept {
    const Turn turn(lock_);
    slot.state = state;
  }

  static Errno hand_over(std::optional<typename Handles::Draft>&& draft, const Errno& error, Handle& handle) noexcept {
    if (!draft) return error;
    handle = draft->handle(word);
    draft->keep();
    return Errno::none;
  }
  // act(hold) with a hold of one's own, under no lock. Errors: EINVAL; ENOMEM: it has too many; act's.
  template <class Act>
  static Errno with_buffer(Client& client, Handle handle, Act&& act) noexcept {
    Ref own;
    const Errno wrong = client.handles_.share(handle, word, own);
    return wrong != Errno::none ? wrong : act(own);
  }
  // act(hold, parts) where its board said something of its heap. Errors: ENODEV, too.
  template <class Act>
  static Errno with_parts(Client& client, Handle handle, Act&& act) noexcept {
    return with_buffer(client, handle, [&](Ref& own) {
      return own.extra().ops() == nullptr ? Errno::no_device : act(own, own.extra().ops()->parts());
    });
  }
  template <class Act>
  Errno with_secure(std::uint32_t mask, Act&& act) noexcept {
    for (auto* heap : heaps_.heaps) {
      if (heap->info().id >= 32 || (mask >> heap->info().id & 1) == 0) continue;
      auto* const ops = heap->base().ops;
      return ops == nullptr || ops->parts().secure == nullptr ? Errno::invalid : act(*ops);
    }
    return Errno::no_device;
  }
  bool must_be_cached(const Ref& buffer, std::optional<Cacheability> wanted) const noexcept {
    if (heaps_.generation != IonGeneration::g1 || buffer.extra().heap().type != HeapType::system) return false;
    return (wanted ? *wanted : buffer.device().info(buffer).cacheability) != Cacheability::cached;
  }

  const Heaps& heaps_;
  IonCookies<L>& cookies_;
  OwnLock<L> lock_;
  std::array<Slot, most_clients> slots_ = {};
};

}  // namespace freestone::device
