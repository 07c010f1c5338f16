// A region of PMEM's: what is reserved under one name, and who has which part of it. (shared/spec: PMEM 2, 3.)
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/bit_tree.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/file_heap.hpp>
#include <freestone/device/pmem/calls.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/client.hpp>
#include <freestone/share/grants.hpp>
#include <freestone/share/view.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone::device {

// In Qualcomm's order.
enum class PmemAllocator : std::uint8_t { bitmap, system, all_or_nothing, buddy };

// How many there may be at once, in one region, and grants of one file.
struct PmemLimits {
  std::size_t allocations = 1024;
  std::size_t grants = 64;
};

// What of a region the platform knows better: memory that is there only while it is used, and commands of its own.
struct PmemHooks {
  void* context = nullptr;
  int (*request)(void* context) noexcept = nullptr;  // before the first allocation; other than 0: there will be none
  int (*release)(void* context) noexcept = nullptr;  // after the last, where the region is mapped on demand
  // A command that is none of PMEM's, of that file; a negative result is an error. And when the file is closed.
  std::int64_t (*ioctl)(void* file, unsigned command, std::uint64_t argument) noexcept = nullptr;
  int (*close)(void* file) noexcept = nullptr;
};

struct PmemSettings {
  const char* name = "";
  unsigned id = 0;  // as it was registered, which its node's minor number is
  PmemNumbers numbers = PmemNumbers::qualcomm;
  PmemAllocator allocator = PmemAllocator::bitmap;
  std::uint64_t base = 0;  // of its first byte, physical
  Bytes size = {};
  Bytes quantum = 4096;
  bool is_cached = false;
  bool is_buffered = false;
  bool is_mapped_on_demand = false;
  PmemHooks hooks = {};
};

// Where an allocation lies, and what callers are told of it.
struct PmemPlace {
  std::uint64_t start = 0;   // from the region's first byte
  std::uint64_t length = 0;  // as the allocator counts it
  std::int64_t index = 0;    // what ALLOCATE returns
  std::uint32_t slot = 0;    // the lowest that was free
};

namespace detail {
// Numbers below `most`, the lowest free one first. Callers take turns. Cost: O(log64 of most).
template <std::size_t most>
class LowestFree {
 public:
  LowestFree() noexcept {
    for (std::uint32_t number = 0; number < most; ++number) tree().insert(number);
  }
  std::optional<std::uint32_t> take() noexcept {
    const std::uint64_t number = tree().first_from(0);
    if (number == BitTree::none) return std::nullopt;
    tree().erase(number);
    return static_cast<std::uint32_t>(number);
  }
  void put(std::uint32_t number) noexcept { tree().insert(number); }

 private:
  BitTree tree() noexcept { return BitTree(words_.data(), most); }
  std::array<std::uint64_t, BitTree::words_for(most)> words_ = {};
};
}  // namespace detail

// Of the Device D, whose heap it is a part of alone. It stays where it is, and outlives its files.
template <class D, class L, PmemLimits limits = PmemLimits{}>
class PmemRegion {
  using Turn = typename OwnLock<L>::Turn;

 public:
  using Heap = FileHeap<D, L>;
  using Ref = typename D::Ref;
  using Window = View<D, limits.grants>;
  using Windows = Views<D, limits.grants>;

  // What a master has: it and its subs hold it. `turn` is taken before anything of `windows` is asked or changed, and held while
  // the platform shows and hides (LockRank::views).
  struct Allocation {
    OwnLock<L> turn;
    std::optional<Windows> windows;  // empty: it is none, or its master is closed
    Ref buffer = {};                 // its master's
    PmemPlace place = {};
    std::uint32_t holds = 0;  // under the region's lock
  };
  // One holder's. It stays what it is until its last holder is gone.
  class Hold {
   public:
    Hold() noexcept = default;
    Hold(const Hold& other) noexcept : region_(other.region_), at_(other.at_) {
      if (at_ != nullptr) region_->add_hold(*at_);
    }
    Hold(Hold&& other) noexcept : region_(other.region_), at_(std::exchange(other.at_, nullptr)) {}
    Hold& operator=(Hold other) noexcept {
      std::swap(region_, other.region_);
      std::swap(at_, other.at_);
      return *this;
    }
    ~Hold() {
      if (at_ != nullptr) region_->drop_hold(*at_);
    }
    explicit operator bool() const noexcept { return at_ != nullptr; }
    Allocation* operator->() const noexcept { return at_; }
    friend bool operator==(const Hold& a, const Hold& b) noexcept { return a.at_ == b.at_; }

   private:
    friend PmemRegion;
    Hold(PmemRegion& region, Allocation& at) noexcept : region_(&region), at_(&at) { region.add_hold(at); }
    PmemRegion* region_ = nullptr;
    Allocation* at_ = nullptr;
  };

  // `zone` is the heap's.
  PmemRegion(D& device, Heap& heap, ZoneRef zone, const PmemSettings& settings) noexcept
      : settings_(settings), device_(&device), heap_(&heap), zone_(zone) {}
  PmemRegion(const PmemRegion&) = delete;
  PmemRegion& operator=(const PmemRegion&) = delete;

  const PmemSettings& settings() const noexcept { return settings_; }
  D& device() const noexcept { return *device_; }
  ZoneRef zone() const noexcept { return zone_; }

  // --- allocations ---

  // In the name of that client, aligned so at its physical address. Empty: there is no room, of whatever kind (ENOMEM).
  // Nothing at all (0 bytes) is refused but where the allocator is the system's, which makes `align` bytes of it.
  Hold allocate(ClientId client, std::uint64_t length, std::uint64_t align) noexcept {
    const std::uint64_t granted = granted_for(length, align);
    if (granted == 0 || granted > settings_.size.value() || !activate()) return {};
    const auto number = take_numbers();
    if (!number) return deactivate(), Hold();
    auto buffer = heap_->allocate(client, {.size = bits::align_up(granted, page_size.value()), .align = align});
    if (!buffer) return put_numbers(*number), deactivate(), Hold();
    Allocation& made = allocations_[number->place];
    made.place = place_of(*buffer, granted, number->slot);
    auto own = device_->ref(buffer->id());
    if (!own) return put_numbers(*number), deactivate(), Hold();
    made.buffer = *std::move(own);
    made.windows.emplace(*std::move(buffer), page_size);
    Hold hold(*this, made);
    const Turn turn(lock_);
    at_slot_[number->slot] = &made;
    return hold;
  }
  // Its master is closed: its windows show nothing any more, of what was granted nothing is left, and then the memory goes back.
  // Once. It is listed no more before that, so that no two that are lie in one place. screen.forget(Window&): of that one's file.
  template <class Screen>
  void free(const Hold& hold, Screen& screen) noexcept {
    {
      const Turn turn(lock_);
      at_slot_[hold->place.slot] = nullptr;
    }
    {
      const Turn turn(hold->turn);
      hold->windows->for_each([&](auto& window) { screen.forget(window); });
      hold->windows->revoke(screen);
      hold->windows->let_go();
      hold->windows.reset();
      hold->buffer = Ref();
    }
    {
      const Turn turn(lock_);
      slots_.put(hold->place.slot);
    }
    deactivate();
  }

  struct Room {
    std::uint64_t total = 0;
    std::uint64_t largest = 0;
  };
  Room room() const noexcept {
    const Stats stats = zone_.stats();
    const bool is_whole = settings_.allocator == PmemAllocator::system;
    return {stats.free.value(), is_whole ? stats.free.value() : stats.largest_free.value()};
  }
  // How often it is in use.
  std::uint64_t active() noexcept {
    const Turn turn(activation_);
    return active_;
  }

  // --- files ---

  // A file as reports have it, newest first. It is in one region's list while it lives.
  struct Listed {
    std::uint32_t process = 0;  // who mapped it as its master; 0: nobody
    bool is_unmapped = false;   // what was mapped of a sub is no more, and never will be
    Grants<limits.grants> grants = {};
    const Ref* own = nullptr;  // where it is a master, while it is listed
    Listed* next = nullptr;
    Listed* previous = nullptr;
  };
  std::uint64_t add(Listed& file) noexcept {
    const Turn turn(lock_);
    file.next = newest_;
    if (newest_ != nullptr) newest_->previous = &file;
    newest_ = &file;
    return ++files_;
  }
  void remove(Listed& file) noexcept {
    const Turn turn(lock_);
    (file.previous == nullptr ? newest_ : file.previous->next) = file.next;
    if (file.next != nullptr) file.next->previous = file.previous;
  }
  // change(file), while nobody looks.
  template <class Change>
  auto change(Listed& file, Change&& change) noexcept {
    const Turn turn(lock_);
    return change(file);
  }
  // visit(const Listed&) for each, newest first. It calls nothing of this.
  template <class Visit>
  void for_each_file(Visit&& visit) noexcept {
    const Turn turn(lock_);
    for (const Listed* at = newest_; at != nullptr; at = at->next) visit(*at);
  }
  // visit(const PmemPlace&) for each allocation, by slots. It calls nothing of this.
  template <class Visit>
  void for_each_allocation(Visit&& visit) noexcept {
    const Turn turn(lock_);
    for (const Allocation* at : at_slot_) {
      if (at != nullptr) visit(at->place);
    }
  }

 private:
  struct Numbers {
    std::uint32_t place;
    std::uint32_t slot;
  };

  // What the allocator makes of a length; 0: nothing.
  std::uint64_t granted_for(std::uint64_t length, std::uint64_t align) const noexcept {
    const std::uint64_t size = settings_.size.value(), quantum = settings_.quantum.value();
    if (length > size) return 0;
    switch (settings_.allocator) {
      case PmemAllocator::bitmap: return bits::align_up(length, quantum);
      case PmemAllocator::buddy: return length == 0 ? 0 : std::bit_ceil(bits::align_up(length, quantum) / quantum) * quantum;
      case PmemAllocator::all_or_nothing: return length;
      case PmemAllocator::system: return bits::align_up(length == 0 ? align : length, page_size.value());
    }
    return 0;
  }
  PmemPlace place_of(const Ref& buffer, std::uint64_t granted, std::uint32_t slot) const noexcept {
    const std::uint64_t start = buffer.parts().list()[0].offset().value();
    PmemPlace place{.start = start, .length = granted, .slot = slot};
    switch (settings_.allocator) {
      case PmemAllocator::bitmap:
      case PmemAllocator::buddy: place.index = static_cast<std::int64_t>(start / settings_.quantum.value()); break;
      case PmemAllocator::all_or_nothing: place.index = static_cast<std::int64_t>(granted); break;
      case PmemAllocator::system: break;
    }
    return place;
  }

  std::optional<Numbers> take_numbers() noexcept {
    const Turn turn(lock_);
    const auto place = places_.take();
    if (!place) return std::nullopt;
    return Numbers{*place, *slots_.take()};  // each slot's allocation has a place
  }
  void put_numbers(const Numbers& numbers) noexcept {
    const Turn turn(lock_);
    places_.put(numbers.place);
    slots_.put(numbers.slot);
  }
  void add_hold(Allocation& allocation) noexcept {
    const Turn turn(lock_);
    ++allocation.holds;
  }
  void drop_hold(Allocation& allocation) noexcept {
    const Turn turn(lock_);
    if (--allocation.holds == 0) places_.put(static_cast<std::uint32_t>(&allocation - allocations_.data()));
  }

  // One more allocation may be made. False: the platform refuses.
  bool activate() noexcept {
    const Turn turn(activation_);
    if (!is_there_ && settings_.hooks.request != nullptr && settings_.hooks.request(settings_.hooks.context) != 0) return false;
    is_there_ = true;
    ++active_;
    return true;
  }
  void deactivate() noexcept {
    const Turn turn(activation_);
    if (--active_ != 0 || !settings_.is_mapped_on_demand) return;
    is_there_ = false;
    if (settings_.hooks.release != nullptr) static_cast<void>(settings_.hooks.release(settings_.hooks.context));
  }

  const PmemSettings settings_;
  D* device_;
  Heap* heap_;
  ZoneRef zone_;
  OwnLock<L> activation_;
  std::uint64_t active_ = 0;
  bool is_there_ = false;
  OwnLock<L> lock_;  // of all that follows; nothing else is taken under it
  detail::LowestFree<limits.allocations> places_, slots_;
  std::array<Allocation, limits.allocations> allocations_;
  std::array<const Allocation*, limits.allocations> at_slot_ = {};
  Listed* newest_ = nullptr;
  std::uint64_t files_ = 0;  // that there ever were
};

}  // namespace freestone::device
