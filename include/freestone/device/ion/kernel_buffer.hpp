// What the kernel's side of ION knows of a heap and of each of its buffers: who maps it, kernel, programs and devices, and
// whether it is secured. (shared/spec: ION 3.3 to 3.5, 4.)
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/address.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/heap_buffer.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/ion/calls.hpp>
#include <freestone/device/ion/iommu.hpp>
#include <freestone/device/ion/pieces.hpp>
#include <freestone/device/ion/region_hooks.hpp>
#include <freestone/device/ion/secure_heap.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/buffer_ref.hpp>
#include <freestone/share/map_counts.hpp>

namespace freestone::device {

// Where the platform's memory can be mapped into the kernel: map_kernel says where it is from here on, seen so, until
// unmap_kernel. At most one such mapping of a buffer is there at a time.
template <class M>
concept can_map_kernel = requires(M& memory, Cacheability seen) {
  { memory.map_kernel(seen) } noexcept -> std::same_as<Result<void*>>;
  { memory.unmap_kernel() } noexcept;
};

// A buffer that ended and is secured still: its memory goes to nobody, and it waits in its heap.
struct IonKeptBack {
  IonKeptBack* next_kept = nullptr;
  bool (*end_kept)(IonKeptBack&) = nullptr;  // false: as before
};

// What a board says of one heap, and what came of its buffers. B has the types Monitor, Hooks (SecureHeap's, RegionHooks',
// and void leaked(const IommuMap&) noexcept if it likes to hear of these) and Mmu. Outlives the heap. Any thread, as L lets
// them; its lock is held while a heap's first and last buffer make the board take and leave it.
template <class B, class L, std::size_t most_domains = 8>
class IonHeapOps {
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Hooks = typename B::Hooks;
  using Secure = SecureHeap<typename B::Monitor, Hooks, L>;
  using Region = RegionHooks<Hooks, L>;
  using Devices = Iommu<typename B::Mmu>;
  using Whole = WholeHeapMaps<typename B::Mmu, most_domains, L>;

  // What is nullptr the heap has not. It is in `whole` that devices see its buffers, if there is that, else in `devices`.
  struct Parts {
    PhysicalAddress base = PhysicalAddress(0);
    bool has_outer_cache = false;
    Secure* secure = nullptr;
    Region* region = nullptr;
    Devices* devices = nullptr;
    Whole* whole = nullptr;
    Hooks* hooks = nullptr;
  };
  explicit IonHeapOps(const Parts& parts) noexcept : parts_(parts) {}
  IonHeapOps(const IonHeapOps&) = delete;
  IonHeapOps& operator=(const IonHeapOps&) = delete;

  const Parts& parts() const noexcept { return parts_; }

  // A buffer's memory, from before its zone is asked for it until after that has it back.
  class Admission {
   public:
    constexpr Admission() noexcept = default;
    Admission(Admission&& other) noexcept : ops_(std::exchange(other.ops_, nullptr)), size_(other.size_) {}
    Admission& operator=(Admission&& other) noexcept {
      std::swap(ops_, other.ops_);
      std::swap(size_, other.size_);
      return *this;
    }
    ~Admission() {
      if (ops_ != nullptr) ops_->release(size_);
    }

   private:
    friend IonHeapOps;
    Admission(IonHeapOps& ops, Bytes size) noexcept : ops_(&ops), size_(size) {}

    IonHeapOps* ops_ = nullptr;
    Bytes size_ = {};
  };
  // Errors: SecureHeap's.
  Result<Admission> admit(Bytes size, bool is_secure) noexcept {
    if (parts_.secure == nullptr && parts_.whole == nullptr) return Admission();
    end_kept();
    const Turn turn(lock_);
    if (parts_.secure != nullptr) {
      const Answer answer = parts_.secure->admit(size, is_secure);
      if (answer.is_error()) return answer.error() == Errno::invalid ? ErrorCode::still_mapped : ErrorCode::no_space;
    }
    ++buffers_;
    return Admission(*this, size);
  }

  // --- where devices see its buffers (IommuMaps) ---

  bool has_devices() const noexcept { return parts_.whole != nullptr || parts_.devices != nullptr; }
  Result<DeviceAddress> map(const IommuBuffer& buffer, const IommuRequest& request) noexcept {
    return parts_.whole != nullptr ? parts_.whole->map(buffer, request) : parts_.devices->map(buffer, request);
  }
  void unmap(const IommuKey& key, DeviceAddress iova, Bytes length) noexcept {
    parts_.whole != nullptr ? parts_.whole->unmap(key, iova, length) : parts_.devices->unmap(key, iova, length);
  }

  // --- what came of buffers ---

  struct Figures {
    std::uint64_t leaked = 0;       // mappings of devices' that nobody unmapped before their buffer ended
    std::uint64_t forced = 0;       // the kernel's, that nobody unmapped before their handle ended
    std::uint64_t unbalanced = 0;   // buffers that ended secured more than once
    std::uint64_t kept_back = 0;    // that wait, secured still

    friend constexpr bool operator==(const Figures&, const Figures&) noexcept = default;
  };
  Figures figures() noexcept {
    const Turn turn(figures_lock_);
    return figures_;
  }
  void note_leaked(const IommuMap& map) noexcept {
    if constexpr (requires(Hooks& hooks) { hooks.leaked(map); }) {
      if (parts_.hooks != nullptr) parts_.hooks->leaked(map);
    }
    add(&Figures::leaked);
  }
  void note_forced() noexcept { add(&Figures::forced); }
  void note_unbalanced() noexcept { add(&Figures::unbalanced); }

  void keep_back(IonKeptBack& buffer) noexcept {
    const Turn turn(figures_lock_);
    ++figures_.kept_back;
    buffer.next_kept = std::exchange(kept_, &buffer);
  }
  // Tries again to end all that wait. (Whoever wants memory of the heap does that too.)
  void end_kept() noexcept {
    IonKeptBack* waiting = take_kept();
    while (waiting != nullptr) {
      IonKeptBack& one = *std::exchange(waiting, waiting->next_kept);
      if (!one.end_kept(one)) keep_back(one);
    }
  }

 private:
  void release(Bytes size) noexcept {
    const Turn turn(lock_);
    if (--buffers_ == 0 && parts_.whole != nullptr) parts_.whole->end();
    if (parts_.secure != nullptr) static_cast<void>(parts_.secure->release(size));
  }
  void add(std::uint64_t Figures::*which) noexcept {
    const Turn turn(figures_lock_);
    ++(figures_.*which);
  }
  IonKeptBack* take_kept() noexcept {
    const Turn turn(figures_lock_);
    figures_.kept_back = 0;
    return std::exchange(kept_, nullptr);
  }

  const Parts parts_;
  OwnLock<L> lock_;
  std::uint64_t buffers_ = 0;
  OwnLock<L> figures_lock_;
  Figures figures_ = {};
  IonKeptBack* kept_ = nullptr;
};

template <class D>
class IonUserMap;

// A heap as such buffers know it.
template <class Ops, class L>
struct IonHeapBase : HeapBase<L> {
  using HeapBase<L>::HeapBase;

  using Admission = typename Ops::Admission;
  Result<Admission> admit(Bytes size, std::uint32_t flags) noexcept {
    if (ops == nullptr) return Admission();
    return ops->admit(size, (flags & ion_flag::secure) != 0);
  }

  Ops* ops = nullptr;  // is set before anybody allocates; without, drivers in the kernel can do nothing with its buffers
};

// A HeapBuffer that drivers may map: a Device's extra. It has no more than that until one of them does. Its lock is held
// while the heap's parts work, and comes after a client's and before theirs.
template <class Memory, class L, class Ops, std::size_t most_pieces = 64, std::size_t most_device_maps = 8>
class IonBuffer : public HeapBuffer<Memory, L>, private IonKeptBack {
  using Base = HeapBuffer<Memory, L>;
  using Turn = typename OwnLock<L>::Turn;
  using Secure = typename Ops::Secure;

 public:
  using Heap = IonHeapBase<Ops, L>;
  using Until = typename Secure::Until;

  IonBuffer(Heap& heap, Memory&& memory, Bytes size) noexcept : Base(heap, std::move(memory), size), ops_(heap.ops) {}
  // While nobody knows it: before it is a buffer, and when it is none any more.
  IonBuffer(IonBuffer&& other) noexcept
      : Base(std::move(other)), ops_(other.ops_), admission_(std::move(other.admission_)) {}

  void keep(typename Heap::Admission&& admission) noexcept { admission_ = std::move(admission); }

  // nullptr: the heap has none.
  Ops* ops() const noexcept { return ops_; }

  // All that follow are for whoever has this hold on it, which is `self`.

  // The kernel's mapping, for one handle more. Errors: ENODEV; EAGAIN, it is secured, and `seen` would be cached; the board's
  // (request_region); the memory's. Then nothing changed.
  template <class R>
  Errno map_kernel(const R& self, Cacheability seen, void*& address) noexcept {
    if constexpr (can_map_kernel<Memory>) {
      if (ops_ == nullptr) return Errno::no_device;
      const Turn turn(lock_);
      State& state = state_for(self);
      if (state.handles == 0) {
        if (const Errno wrong = begin_kernel_map(state, seen); wrong != Errno::none) return wrong;
      }
      ++state.handles;
      address = state.address;
      return Errno::none;
    } else {
      return Errno::no_device;
    }
  }
  // For one that was.
  void unmap_kernel() noexcept {
    const Turn turn(lock_);
    if (--state_->handles == 0) end_kernel_map(*state_);
  }
  // Where the kernel sees it, if it does.
  void* kernel_address() noexcept {
    const Turn turn(lock_);
    return state_ && state_->handles != 0 ? state_->address : nullptr;
  }

  // A program's mapping, before it is made, and after it is gone. Errors: EAGAIN, it is secured; EINVAL, the board said no.
  template <class R>
  Errno map_user(const R& self) noexcept {
    if (ops_ == nullptr) return Errno::none;
    const Turn turn(lock_);
    State& state = state_for(self);
    if (const Errno wrong = show_user(state); wrong != Errno::none) return wrong;
    if (region() == nullptr) return Errno::none;
    const Errno wrong = region()->map_user().error();
    if (wrong != Errno::none) hide_user(state);
    return wrong;
  }
  // Both, as an object. Errors: the Device's, too.
  template <class D>
  static std::optional<IonUserMap<D>> map_program(const BufferRef<D>& self, Errno& error) noexcept {
    return IonUserMap<D>::make(self, error);
  }
  void unmap_user() noexcept {
    if (ops_ == nullptr) return;
    const Turn turn(lock_);
    if (region() != nullptr) static_cast<void>(region()->unmap());
    hide_user(*state_);
  }

  // Devices' mappings, as IommuMaps has them. Errors: ENODEV: devices see none of this heap's buffers; its own.
  template <class R>
  Errno map_iommu(const R& self, IommuRequest request, DeviceAddress& iova) noexcept {
    if (ops_ == nullptr || !ops_->has_devices()) return Errno::no_device;
    if (ops_->parts().whole != nullptr) request.iommu_flags &= ~unmap_delayed;
    const Turn turn(lock_);
    State& state = state_for(self);
    const bool is_first = state.devices.count() == 0;
    if (is_first) {
      if (const auto counted = self.device().count(self, Mapper::device); !counted) return errno_of(counted.error().code);
    }
    const auto mapped = state.devices.map(request);
    if (mapped) return iova = *mapped, Errno::none;
    if (is_first) static_cast<void>(self.device().uncount(self, Mapper::device));
    return iommu_errno(mapped.error().code);
  }
  // False: nobody mapped it there, or as many have unmapped it.
  template <class R>
  bool unmap_iommu(const R& self, const IommuKey& key) noexcept {
    const Turn turn(lock_);
    if (!state_ || !state_->devices.unmap(key)) return false;
    if (state_->devices.count() == 0) static_cast<void>(self.device().uncount(self, Mapper::device));
    return true;
  }

  // A cache operation, at addresses of the kernel's mapping: the memory's maintain(range, command), where it has that, for each
  // range. Errors: cache_operations'.
  template <class R>
  Errno maintain(const R& self, CacheCall call) noexcept {
    const Turn turn(lock_);
    State& state = state_for(self);
    const auto start = reinterpret_cast<std::uintptr_t>(state.address);
    if (state.handles != 0) call.mapping = CallerMapping{start, start + this->size().value(), 0};
    const CachedBuffer buffer{.size = this->size(),
                              .pieces = state.room.list(),
                              .reach = is_scattered(this->heap().type) ? CacheReach::every_page : CacheReach::asked,
                              .is_cached = self.device().info(self).cacheability == Cacheability::cached,
                              .has_outer_cache = ops_->parts().has_outer_cache};
    return cache_operations(buffer, call, [this](const auto& range, CacheCommand command) {
      if constexpr (requires { this->memory().maintain(range, command); }) this->memory().maintain(range, command);
    });
  }

  // Errors: EINVAL, it is mapped, by whomever; its heap is none that can; SecureHeap's.
  template <class R>
  Errno secure(const R& self, const Securing& wanted, Until until) noexcept {
    if (ops_ == nullptr || ops_->parts().secure == nullptr) return Errno::invalid;
    const Turn turn(lock_);
    State& state = state_for(self);
    const auto info = self.device().info(self);
    if (info.cpu_maps != 0 || info.device_maps != 0) return Errno::invalid;
    return ops_->parts().secure->secure(*state.secured, wanted, info.cacheability, until).error();
  }
  // Errors: EINVAL, it was not secured as often; the monitor's.
  Errno unsecure() noexcept {
    const Turn turn(lock_);
    if (!state_ || !state_->secured) return Errno::invalid;
    return ops_->parts().secure->unsecure(*state_->secured).error();
  }

  // visit(const IommuMap&) for each, under its lock: for reports.
  template <class Visit>
  void for_each_iommu_map(Visit&& visit) noexcept {
    const Turn turn(lock_);
    if (state_) state_->devices.for_each(visit);
  }

  // Devices see it no more, and it is not secured any more: then it goes the way of other buffers. Where it is secured still
  // it waits in its heap.
  template <class D>
  void bury(DeadBuffer<D>&& dead) noexcept {
    if (end_state()) return Base::bury(std::move(dead));
    static_assert(sizeof(DeadBuffer<D>) <= sizeof kept_);
    new (static_cast<void*>(kept_.data())) DeadBuffer<D>(std::move(dead));
    this->end_kept = &end_kept_of<D>;
    ops_->keep_back(*this);
  }

 private:
  struct Room {
    std::array<PhysicalPiece, most_pieces> pieces = {};
    std::size_t count = 0;

    template <class Parts>
    Room(const Parts& parts, PhysicalAddress base, Bytes size) noexcept {
      for_each_piece(base, parts.list(), size, [this](const PhysicalPiece& piece) { pieces[count++] = piece; });
    }
    std::span<const PhysicalPiece> list() const noexcept { return {pieces.data(), count}; }
  };
  struct State {
    template <class Parts>
    State(Ops& ops, const Parts& parts, const HeapInfo& heap, Bytes size) noexcept
        : room(parts, ops.parts().base, size), devices(ops, {room.list(), heap.type == HeapType::iommu}) {
      const bool is_secure = (parts.flags & ion_flag::secure) != 0;
      if (ops.parts().secure != nullptr) secured.emplace(SecureRange{room.list()[0].address, size}, is_secure);
    }

    Room room;
    IommuMaps<Ops, most_device_maps, L> devices;
    std::optional<typename Secure::Buffer> secured = {};  // while its heap can
    std::uint64_t handles = 0;                            // with mappings of the kernel's
    Cacheability seen = Cacheability::cached;             // by the kernel
    void* address = nullptr;
  };

  typename Ops::Region* region() const noexcept { return ops_->parts().region; }
  template <class R>
  State& state_for(const R& self) noexcept {
    static_assert(most_pieces >= decltype(self.parts().blocks)::size(), "IonBuffer: room for as many pieces as a buffer has blocks.");
    if (!state_) state_.emplace(*ops_, self.parts(), this->heap(), this->size());
    return *state_;
  }

  Errno show_user(State& state) noexcept {
    return state.secured ? ops_->parts().secure->map_user(*state.secured).error() : Errno::none;
  }
  void hide_user(State& state) noexcept {
    if (state.secured) static_cast<void>(ops_->parts().secure->unmap_user(*state.secured));
  }

  Errno begin_kernel_map(State& state, Cacheability seen) noexcept {
    Errno wrong = state.secured ? ops_->parts().secure->map_kernel(*state.secured, seen).error() : Errno::none;
    if (wrong != Errno::none) return wrong;
    state.seen = seen;
    wrong = region() != nullptr ? region()->map_kernel().error() : Errno::none;
    if (wrong != Errno::none) return hide_kernel(state), wrong;
    const auto mapped = this->memory().map_kernel(seen);
    if (!mapped) return leave_region(), hide_kernel(state), errno_of(mapped.error().code);
    state.address = *mapped;
    return Errno::none;
  }
  void end_kernel_map(State& state) noexcept {
    if constexpr (can_map_kernel<Memory>) this->memory().unmap_kernel();
    leave_region();
    hide_kernel(state);
  }
  void leave_region() noexcept {
    if (region() != nullptr) static_cast<void>(region()->unmap());
  }
  void hide_kernel(State& state) noexcept {
    if (state.secured) static_cast<void>(ops_->parts().secure->unmap_kernel(*state.secured, state.seen));
  }

  // False: the monitor failed.
  bool end_state() noexcept {
    if (!state_) return true;
    state_->devices.release([this](const IommuMap& map) { ops_->note_leaked(map); });
    if (state_->secured) {
      const auto told = ops_->parts().secure->retire(*state_->secured);
      if (told.error != Errno::none) return false;
      if (told.was_unbalanced) ops_->note_unbalanced();
    }
    state_.reset();
    return true;
  }
  template <class D>
  static bool end_kept_of(IonKeptBack& kept) noexcept {
    auto& self = static_cast<IonBuffer&>(kept);
    if (!self.end_state()) return false;
    auto* const there = std::launder(reinterpret_cast<DeadBuffer<D>*>(self.kept_.data()));
    DeadBuffer<D> dead(std::move(*there));
    there->~DeadBuffer<D>();
    static_cast<Base&>(self).bury(std::move(dead));
    return true;
  }

  Ops* ops_;
  typename Heap::Admission admission_ = {};
  OwnLock<L> lock_;
  std::optional<State> state_ = {};
  alignas(std::uint64_t) std::array<std::byte, 32> kept_;  // a DeadBuffer, while it waits
};

// The kernel's mapping of a buffer for one handle, while this lives; the buffer lives as long.
template <class D>
class IonKernelMap {
 public:
  IonKernelMap() noexcept = default;
  IonKernelMap(IonKernelMap&& other) noexcept { std::swap(map_, other.map_); }
  IonKernelMap& operator=(IonKernelMap&& other) noexcept { return std::swap(map_, other.map_), *this; }
  ~IonKernelMap() {
    if (map_) map_->buffer().extra().unmap_kernel();
  }

  // Of one that began.
  const typename D::Ref& buffer() const noexcept { return map_->buffer(); }
  // Seen as is wanted, else as it is. Errors: EEXIST, somebody maps it in another way; IonBuffer's. Then nothing changed.
  Errno begin(const typename D::Ref& buffer, std::optional<Cacheability> wanted, void*& address) noexcept {
    const Cacheability before = buffer.device().info(buffer).cacheability;
    auto counted = buffer.device().map(buffer, Mapper::cpu, wanted);
    if (!counted) return errno_of(counted.error().code);
    const Errno wrong = buffer.extra().map_kernel(buffer, wanted ? *wanted : before, address);
    if (wrong == Errno::none) return map_.emplace(*std::move(counted)), wrong;
    { const auto ended = *std::move(counted); }
    static_cast<void>(buffer.device().set_cacheability(buffer, before));  // where nobody else maps it by now
    return wrong;
  }

 private:
  std::optional<typename D::Map> map_ = {};
};

// A program's, the same way.
template <class D>
class IonUserMap {
 public:
  IonUserMap(IonUserMap&& other) noexcept { std::swap(map_, other.map_); }
  IonUserMap& operator=(IonUserMap&& other) noexcept { return std::swap(map_, other.map_), *this; }
  ~IonUserMap() {
    if (map_) map_->buffer().extra().unmap_user();
  }

  // Errors: IonBuffer's; the Device's. Then there is none.
  static std::optional<IonUserMap> make(const typename D::Ref& buffer, Errno& error) noexcept {
    auto counted = buffer.device().map(buffer, Mapper::cpu);
    error = counted ? buffer.extra().map_user(buffer) : errno_of(counted.error().code);
    if (error != Errno::none) return std::nullopt;
    return IonUserMap(*std::move(counted));
  }

 private:
  explicit IonUserMap(typename D::Map&& map) noexcept : map_(std::move(map)) {}

  std::optional<typename D::Map> map_ = {};
};

}  // namespace freestone::device
