// PMEM's registration: what a board says of a region, what of it is refused, and who has which id. (shared/spec: PMEM 2.)
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/same_text.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/device/pmem/calls.hpp>
#include <freestone/device/pmem/region.hpp>
#include <freestone/heap/own_lock.hpp>

namespace freestone::device {

// The board's. `name` outlives the region.
struct PmemSetup {
  const char* name = nullptr;
  PmemNumbers numbers = PmemNumbers::qualcomm;
  unsigned allocator = 0;   // a PmemAllocator's number: others' are for whoever reads them
  std::uint64_t start = 0;  // physical; 0: wherever the region's own reservation is
  Bytes size = {};
  Bytes quantum = 0;  // 0: a page
  bool is_cached = false;
  bool is_buffered = false;
  unsigned memory_type = 0;
  bool is_mapped_on_demand = false;
  bool is_reusable = false;             // lent to others while nobody uses it: so it is mapped on demand, too
  PmemHooks hooks = {};                 // their context is the result of:
  void* (*setup)() noexcept = nullptr;  // called once, where all else is there; without: the context stays as it is
};

// Why not, in the order in which it is looked at; each is -1 to whoever calls pmem_setup.
enum class PmemRefusal : std::uint8_t {
  none,
  cached_arena,  // of the kernel's two
  duplicate_arena,
  too_many,  // ten of the users', two of the kernel's
  zero_size,
  quantum_below_page,  // from here on the id is spent
  quantum_not_power_of_two,
  start_not_multiple,  // of the quantum, as the next
  size_not_multiple,
  unknown_allocator,
  bad_name,  // there is none
  duplicate_name,
  no_resources,  // R's own
};

enum class PmemArenaKind : std::uint8_t { none, ebi1, smi };
// The kernel's own have no node, and are known by their names.
constexpr PmemArenaKind arena_kind_of(const char* name) noexcept {
  if (is_same_text(name, "pmem_kernel_ebi1")) return PmemArenaKind::ebi1;
  return is_same_text(name, "pmem_kernel_smi") ? PmemArenaKind::smi : PmemArenaKind::none;
}

// What the platform has for one region: whatever it took goes back with it.
template <class R>
concept PmemRegistered = requires(R& region, unsigned id, const PmemSetup& setup, PmemSettings& settings) {
  // Takes all that can be refused (notes, reports, node, reservation, window), and nobody sees it yet; settings.base is what it
  // reserved. False: something could not be had, and the region ends.
  { region.begin(id, setup, settings) } noexcept -> std::same_as<bool>;
  // All is there: it may be opened.
  { region.open(settings) } noexcept;
  // False: it is in use, and stays as it is. Else nobody gets in any more, and the region ends.
  { region.end() } noexcept -> std::same_as<bool>;
};

// What the kernel that they are registered in is built for.
struct PmemRules {
  bool takes_system = true;  // not where memory may be unplugged
};

// Up to ten regions, and the kernel's two. An id is given once, also where its region is removed or refused. It stays where it is;
// any thread, as L lets them. No lock is held while R is called, and none of a region's calls comes beside another.
template <PmemRegistered R, class L>
class PmemRegions {
  using Turn = typename OwnLock<L>::Turn;

 public:
  static constexpr unsigned most_users = 10, most_arenas = 2, most = most_users + most_arenas;

  explicit PmemRegions(PmemRules rules = {}) noexcept : rules_(rules) {}
  PmemRegions(const PmemRegions&) = delete;
  PmemRegions& operator=(const PmemRegions&) = delete;

  struct Registered {
    PmemRefusal refusal = PmemRefusal::none;
    unsigned id = most;  // users' from 0, the kernel's from most_users on; `most`: there is none
  };
  // Of R(arguments...). A refused one leaves nothing but its id spent.
  template <class... As>
  Registered setup(const PmemSetup& setup, As&&... arguments) noexcept {
    PmemSettings settings = settings_of(setup);
    const Registered registered = admit(setup, settings);
    if (registered.refusal != PmemRefusal::none) return registered;
    Place& place = places_[registered.id];
    R& region = place.region.emplace(std::forward<As>(arguments)...);
    if (!region.begin(registered.id, setup, settings)) return leave(place), Registered{PmemRefusal::no_resources, registered.id};
    if (setup.setup != nullptr) settings.hooks.context = setup.setup();
    region.open(settings);
    set(place, State::registered);
    return registered;
  }
  // Errors: EINVAL: nobody has that id, or somebody is about to; EBUSY: it is in use.
  Errno remove(unsigned id) noexcept {
    if (id >= most || !change(places_[id], State::registered, State::changing)) return Errno::invalid;
    if (!places_[id].region->end()) return set(places_[id], State::registered), Errno::busy;
    leave(places_[id]);
    return Errno::none;
  }

  // act(R&) of whoever has that id. False: nobody has. He is not removed meanwhile: act calls nothing of this.
  template <class Act>
  bool with(unsigned id, Act&& act) noexcept {
    const Turn turn(lock_);
    if (id >= most || places_[id].state != State::registered) return false;
    act(*places_[id].region);
    return true;
  }
  unsigned count() noexcept {
    const Turn turn(lock_);
    unsigned found = 0;
    for (const Place& place : places_) found += place.state == State::registered;
    return found;
  }

 private:
  enum class State : std::uint8_t { free, changing, registered };
  struct Place {
    State state = State::free;
    const char* name = nullptr;
    std::optional<R> region = {};
  };

  static PmemSettings settings_of(const PmemSetup& setup) noexcept {
    return {.name = setup.name,
            .numbers = setup.numbers,
            .allocator = static_cast<PmemAllocator>(setup.allocator),
            .base = setup.start,
            .size = setup.size,
            .quantum = setup.quantum == 0 ? page_size : setup.quantum,
            .is_cached = setup.is_cached,
            .is_buffered = setup.is_buffered,
            .is_mapped_on_demand = setup.is_mapped_on_demand || setup.is_reusable,
            .hooks = setup.hooks};
  }

  // A place of one's own, under that name, where nothing is wrong.
  Registered admit(const PmemSetup& setup, const PmemSettings& settings) noexcept {
    const bool is_arena = arena_kind_of(setup.name) != PmemArenaKind::none;
    const Turn turn(lock_);
    if (is_arena && setup.is_cached) return {PmemRefusal::cached_arena};
    if (is_arena && has(setup.name)) return {PmemRefusal::duplicate_arena};
    unsigned& given = is_arena ? arenas_ : users_;
    if (given == (is_arena ? most_arenas : most_users)) return {PmemRefusal::too_many};
    if (setup.size == 0) return {PmemRefusal::zero_size};
    const unsigned id = given++ + (is_arena ? most_users : 0);
    const PmemRefusal refusal = refusal_of(setup, settings);
    if (refusal == PmemRefusal::none) places_[id].state = State::changing, places_[id].name = setup.name;
    return {refusal, id};
  }
  PmemRefusal refusal_of(const PmemSetup& setup, const PmemSettings& settings) const noexcept {
    const std::uint64_t quantum = settings.quantum.value();
    if (quantum < page_size.value()) return PmemRefusal::quantum_below_page;
    if (!bits::is_power_of_two(quantum)) return PmemRefusal::quantum_not_power_of_two;
    if ((setup.start & (quantum - 1)) != 0) return PmemRefusal::start_not_multiple;
    if ((setup.size.value() & (quantum - 1)) != 0) return PmemRefusal::size_not_multiple;
    if (!knows(setup.allocator)) return PmemRefusal::unknown_allocator;
    if (setup.name == nullptr || *setup.name == '\0') return PmemRefusal::bad_name;
    return has(setup.name) ? PmemRefusal::duplicate_name : PmemRefusal::none;
  }
  bool knows(unsigned allocator) const noexcept {
    if (allocator == static_cast<unsigned>(PmemAllocator::system)) return rules_.takes_system;
    return allocator <= static_cast<unsigned>(PmemAllocator::buddy);
  }
  bool has(const char* name) const noexcept {
    for (const Place& place : places_) {
      if (place.state != State::free && is_same_text(place.name, name)) return true;
    }
    return false;
  }

  bool change(Place& place, State from, State to) noexcept {
    const Turn turn(lock_);
    if (place.state != from) return false;
    place.state = to;
    return true;
  }
  void set(Place& place, State state) noexcept {
    const Turn turn(lock_);
    place.state = state;
  }
  // The name is free when all that had it is gone.
  void leave(Place& place) noexcept {
    place.region.reset();
    set(place, State::free);
  }

  const PmemRules rules_;
  OwnLock<L> lock_;
  std::array<Place, most> places_ = {};
  unsigned users_ = 0, arenas_ = 0;  // ids that were given
};

}  // namespace freestone::device
