// What drivers in the kernel ask of MMZ: its API, call by call. (shared/spec: MMZ 3.5, 4.1 to 4.3, 5.)
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <freestone/core/address.hpp>
#include <freestone/core/bits.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/mmz/calls.hpp>
#include <freestone/device/mmz/zones.hpp>
#include <freestone/device/own_client.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/heap/mmz_generation.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/client.hpp>
#include <freestone/share/map_counts.hpp>

namespace freestone::device {

// What a zone is made of; of its name 31 letters.
struct MmzZoneSettings {
  const char* name = "";
  std::uint64_t gfp = 0;
  std::uint64_t start = 0;  // physical; whole pages of these bytes are the zone
  std::uint64_t size = 0;
  std::uint64_t type = 0;  // as MmzZone's
  Bytes block_align = {};
};

// What a driver did of which only the log tells.
enum class MmzMisuse : std::uint8_t { freed_while_used, freed_twice, got_freed, put_freed };
struct MmzWarning {
  MmzMisuse what = MmzMisuse::freed_while_used;
  std::uint64_t physical = 0;
  const char* name = "";
};

// What a driver is given for a zone or a block. It is nobody's any more when that is gone: whoever uses it then is refused. (A
// number comes again when its place was had as often as the number's upper bits count: 2^24 times on 32 bits.)
template <class Tag>
struct MmzHandle {
  std::uintptr_t number = 0;  // 0: nothing

  explicit operator bool() const noexcept { return number != 0; }
  friend bool operator==(MmzHandle, MmzHandle) noexcept = default;
};

// Up to `most` things that stay where they are, each under a number of its own. Callers take turns.
template <class T, std::size_t most>
class MmzTable {
 public:
  // A new one, and its number; null: there are too many.
  T* add(std::uintptr_t& number) noexcept {
    for (Place& place : places_) {
      if (place.thing) continue;
      place.turn = place.turn == last_turn ? 1 : place.turn + 1;
      number = number_of(place);
      return &place.thing.emplace();
    }
    return nullptr;
  }
  T* find(std::uintptr_t number) noexcept {
    Place& place = places_[number % most];
    return place.thing && number == number_of(place) ? &*place.thing : nullptr;
  }
  // The number of the first that is(thing); 0: there is none.
  template <class Is>
  std::uintptr_t find_if(Is&& is) noexcept {
    for (Place& place : places_) {
      if (place.thing && is(*place.thing)) return number_of(place);
    }
    return 0;
  }
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    for (Place& place : places_) {
      if (place.thing) visit(*place.thing);
    }
  }
  // Of one that is there.
  void remove(std::uintptr_t number) noexcept { places_[number % most].thing.reset(); }

 private:
  static constexpr std::uintptr_t last_turn = std::numeric_limits<std::uintptr_t>::max() / most - 1;
  struct Place {
    std::uintptr_t turn = 0;
    std::optional<T> thing = {};
  };
  std::uintptr_t number_of(const Place& place) const noexcept {
    return place.turn * most + static_cast<std::uintptr_t>(&place - places_.data());
  }

  std::array<Place, most> places_ = {};
};

// Whoever has the memory of the kernel's zones, and of the windows, as MmzKernel asks him. (H: FileHeap.)
template <class T, class H>
concept MmzKernelMemory = requires(T& memory, const MmzZoneSettings& zone, H* heap, std::uint64_t number, Cacheability seen, void* address) {
  // A heap of the zone's whole pages, whose name is the zone's; it stays until `end`. Null: there is no memory, or it is the kernel's.
  { memory.begin(zone) } noexcept -> std::same_as<H*>;
  // It has no blocks (the last may still be on its way back), and is asked for none.
  { memory.end(heap) } noexcept;
  // (physical, length): where the kernel sees these bytes of a window until `unmap`; null: nowhere.
  { memory.map(number, number, seen) } noexcept -> std::same_as<void*>;
  { memory.unmap(address, number) } noexcept;
};

// Of the zones Z (MmzZones), whose blocks' memory may have kernel_address(): where the kernel sees it while it is allocated. M: see
// above. At once up to `most_blocks` that drivers have something of, `most_zones` that they know, `most_windows` mappings of windows.
// Any thread, as L lets them; it stays where it is.
//
// A block that a driver allocated is live until somebody frees it: then it is gone; or, where it is referred to or mapped, it is
// released, and gone with the last of these. Programs' blocks are found, too, and are theirs all the time: a driver keeps them
// from their end only, as he does with those that are released. Whatever refers to what is gone is refused.
//
// The platform may have mmz_misused(const MmzWarning&), which is called under a lock.
//
// Other than the drivers': what is looked up is referred to once more, until it is put; no count falls below 0 or wraps; a block
// is mapped as programs have it mapped, or not at all; mmf_map maps windows only, and keeps account of them.
template <class Z, class L, class M, std::size_t most_blocks = 256, std::size_t most_zones = 64, std::size_t most_windows = 16>
class MmzKernel {
  using Turn = typename OwnLock<L>::Turn;
  using D = std::remove_reference_t<decltype(std::declval<Z&>().device())>;
  using Ref = typename D::Ref;
  using Zone = typename Z::Zone;
  static_assert(MmzKernelMemory<M, std::remove_pointer_t<decltype(Zone::heap)>>);

 public:
  using ZoneHandle = MmzHandle<struct MmzZoneTag>;
  using BlockHandle = MmzHandle<struct MmzBlockTag>;
  static constexpr int failed = -1;

  // The client is the kernel's from here on. All that it is given outlives it.
  MmzKernel(Z& zones, ClientId client, M& memory, std::span<const MmzWindow> windows, MmzGeneration generation) noexcept
      : zones_(zones), client_(zones.device(), client), memory_(memory), windows_(windows), line_(mmz_cache_line(generation)) {}
  MmzKernel(const MmzKernel&) = delete;
  MmzKernel& operator=(const MmzKernel&) = delete;
  // Drivers' references and mappings end. No program may have a block of a zone of theirs.
  ~MmzKernel() {
    while (const std::uintptr_t block = blocks_.find_if([](const Block&) { return true; })) blocks_.remove(block);
    while (const std::uintptr_t zone = known_.find_if([](const Known&) { return true; })) {
      seam::expect(!known_.find(zone)->is_own() || !known_.find(zone)->is_registered || mmz_unregister({zone}) == 0);
      known_.remove(zone);
    }
    for (const Window& window : mapped_) {
      if (window.address != nullptr) memory_.unmap(window.address, window.length);
    }
  }

  // --- zones ---

  // One that nobody allocates from yet. Empty: it has no name, or there are too many.
  ZoneHandle mmz_create(const MmzZoneSettings& settings) noexcept {
    const Turn turn(zones_lock_);
    std::uintptr_t number = 0;
    Known* const made = settings.name == nullptr ? nullptr : known_.add(number);
    if (made == nullptr) return {};
    made->settings = settings;
    for (std::size_t at = 0; at + 1 < made->name.size() && settings.name[at] != '\0'; ++at) made->name[at] = settings.name[at];
    made->settings.name = made->name.data();
    return {number};
  }
  // What ALLOC_V2's blocks in it are, as MmzZone's. -1: it is none, or is registered.
  int mmz_fill_in(ZoneHandle handle, std::uint64_t type, Bytes block_align) noexcept {
    const Turn turn(zones_lock_);
    Known* const known = known_.find(handle.number);
    if (known == nullptr || known->is_registered || !known->is_own()) return failed;
    known->settings.type = type;
    known->settings.block_align = block_align;
    return 0;
  }
  // From here on it is the newest. -1: it is none, or is registered; it has no whole page, leaves the addresses, or touches another
  // or a window; it has no memory.
  int mmz_register(ZoneHandle handle) noexcept {
    const Turn turn(zones_lock_);
    Known* const known = known_.find(handle.number);
    if (known == nullptr || known->is_registered || !is_free(known->settings)) return failed;
    if (known->is_own() && !begin(*known)) return failed;
    zones_.add(known->zone());
    known->is_registered = true;
    return 0;
  }
  // It gives no blocks any more. -1: it is none, or has blocks.
  int mmz_unregister(ZoneHandle handle) noexcept {
    const Turn turn(zones_lock_);
    Known* const known = known_.find(handle.number);
    if (known == nullptr || !known->is_registered || !zones_.remove(known->zone())) return failed;
    known->is_registered = false;
    if (known->is_own()) memory_.end(std::exchange(known->own.heap, nullptr));
    return 0;
  }
  // It is gone. -1: it is none, or still registered.
  int mmz_destroy(ZoneHandle handle) noexcept {
    const Turn turn(zones_lock_);
    const Known* const known = known_.find(handle.number);
    if (known == nullptr || known->is_registered) return failed;
    known_.remove(handle.number);
    return 0;
  }
  // The newest that is registered, whoever did it, of that name and gfp, as requests name them. Empty: there is none, or too many are
  // known.
  ZoneHandle mmz_find(const char* name, std::uint64_t gfp) noexcept {
    const Turn turn(zones_lock_);
    Zone* found = nullptr;
    zones_.for_each([&](Zone& zone) {
      if (found == nullptr && Z::is_wanted(zone, {.gfp = gfp, .zone = name == nullptr ? "" : name})) found = &zone;
    });
    if (found == nullptr) return {};
    std::uintptr_t number = known_.find_if([&](Known& known) { return &known.zone() == found; });
    if (number == 0) know(*found, number);
    return {number};
  }

  // --- blocks ---

  // A live one that nobody refers to, of `wanted`. Empty: as MmzZones; there are too many. Without a name its own is "<null>".
  BlockHandle mmb_alloc(const MmzWanted& wanted) noexcept {
    return keep(zones_.allocate(client_.id(), named(wanted)));
  }
  // The same of that zone. Nobody does anything to zones meanwhile.
  BlockHandle mmb_alloc_in(ZoneHandle handle, const MmzWanted& wanted) noexcept {
    const Turn turn(zones_lock_);
    Known* const known = known_.find(handle.number);
    return known == nullptr ? BlockHandle() : keep(zones_.allocate_in(known->zone(), client_.id(), named(wanted)));
  }
  // 0. -1: it is none.
  int mmb_free(BlockHandle handle) noexcept {
    Ref gone;
    const Turn turn(lock_);
    Block* const block = blocks_.find(handle.number);
    if (block == nullptr) return failed;
    if (block->is_released) return warn(*block, MmzMisuse::freed_twice), 0;
    if (block->is_cached()) maintain(block->buffer, WholeBuffer{}, CacheCommand::clean_invalidate);
    if (block->is_used()) warn(*block, MmzMisuse::freed_while_used);
    block->is_live = false;
    block->is_released = true;
    gone = take_if_unused(handle, *block);
    return 0;
  }
  // 0. -1: it is none; so often that nobody counts it.
  int mmb_get(BlockHandle handle) noexcept {
    const Turn turn(lock_);
    Block* const block = blocks_.find(handle.number);
    if (block == nullptr || block->references == most_counted) return failed;
    if (block->is_released) warn(*block, MmzMisuse::got_freed);
    ++block->references;
    return 0;
  }
  // 0. -1: it is none; nobody refers to it.
  int mmb_put(BlockHandle handle) noexcept {
    Ref gone;
    const Turn turn(lock_);
    Block* const block = blocks_.find(handle.number);
    if (block == nullptr || block->references == 0) return failed;
    if (block->is_released) warn(*block, MmzMisuse::put_freed);
    --block->references;
    gone = take_if_unused(handle, *block);
    return 0;
  }

  // Where the kernel sees it, cached or not, until it is unmapped as often. Null: it is none; the kernel, or a program, has it mapped
  // in the other way; the kernel cannot see it; so often that nobody counts it.
  void* mmb_map2kern(BlockHandle handle, bool is_cached) noexcept {
    const Turn turn(lock_);
    Block* const block = blocks_.find(handle.number);
    if (block == nullptr || block->maps == most_counted) return nullptr;
    if (block->maps == 0 ? !map_first(*block, is_cached) : block->is_cached() != is_cached) return nullptr;
    ++block->maps;
    return block->address;
  }
  // How often it still is mapped. -1: it is none, or is not mapped.
  int mmb_unmap(BlockHandle handle) noexcept {
    Ref gone;
    std::optional<Map> ended;
    const Turn turn(lock_);
    Block* const block = blocks_.find(handle.number);
    if (block == nullptr || block->maps == 0) return failed;
    if (block->is_cached()) maintain(block->buffer, WholeBuffer{}, CacheCommand::clean_invalidate);
    if (--block->maps != 0) return static_cast<int>(block->maps);
    ended.swap(block->map);
    block->address = nullptr;
    gone = take_if_unused(handle, *block);
    return 0;
  }

  struct Place {
    std::uint64_t physical = 0;
    std::uint64_t length = 0;
    void* kernel = nullptr;  // null: it is not mapped
    bool is_cached = false;
    bool is_released = false;
    std::uint32_t references = 0;
    std::uint32_t maps = 0;

    // As reports write them: 1 mapped, 2 cached, 4 released.
    std::uint32_t flags() const noexcept { return (maps != 0 ? 1U : 0U) | (is_cached ? 2U : 0U) | (is_released ? 4U : 0U); }
  };
  // -1: it is none.
  int mmb_place(BlockHandle handle, Place& place) noexcept {
    const Turn turn(lock_);
    Block* const block = blocks_.find(handle.number);
    if (block == nullptr) return failed;
    place = {.physical = zones_.physical_of(block->buffer),
             .length = block->length(),
             .kernel = block->address,
             .is_cached = block->is_cached(),
             .is_released = block->is_released,
             .references = block->references,
             .maps = block->maps};
    return 0;
  }

  // --- look-ups: whoever's block it is, referred to once more. Empty: there is none; so often, or so many, that nobody counts them ---

  // Whose first byte it is. Cost, as of the next: O(buffers).
  BlockHandle getby_phys(std::uint64_t physical) noexcept {
    Ref found = zones_.block_at(physical);
    return found && zones_.physical_of(found) == physical ? refer(std::move(found)) : BlockHandle();
  }
  // Whose byte it is, and which.
  BlockHandle getby_phys_2(std::uint64_t physical, std::uint64_t& offset) noexcept {
    Ref found = zones_.block_at(physical);
    if (!found) return {};
    offset = physical - zones_.physical_of(found);
    return refer(std::move(found));
  }
  // Whose byte the kernel sees there.
  BlockHandle getby_kvirt(const void* address) noexcept {
    const Turn turn(lock_);
    const std::uintptr_t number = mapped_at(number_of(address), 1);
    Block* const block = blocks_.find(number);
    return block == nullptr || block->references == most_counted ? BlockHandle() : (++block->references, BlockHandle{number});
  }

  // --- caches ---

  // Of bytes that the kernel sees at that address: whole lines, of which those that have others' bytes too are written before they
  // are dropped. Where it is mapped uncached there is nothing to do. Errors: EINVAL: no address; EPERM: not all of a block that the
  // kernel has mapped, or at another physical address.
  Errno maintain_byaddr(const void* address, std::uint64_t physical, std::uint64_t length, CacheCommand command) noexcept {
    if (address == nullptr) return Errno::invalid;
    const Turn turn(lock_);
    Block* const block = blocks_.find(mapped_at(number_of(address), length));
    if (block == nullptr) return Errno::not_permitted;
    const std::uint64_t offset = number_of(address) - number_of(block->address);
    if (physical != zones_.physical_of(block->buffer) + offset) return Errno::not_permitted;
    if (block->is_cached() && length != 0) maintain_lines(*block, offset, length, command);
    return Errno::none;
  }

  // --- windows ---

  // Where the kernel sees physical bytes that are all in one window, until mmf_unmap of that address. Null: they are not, or there are
  // none; there are too many; the memory's.
  void* mmf_map(std::uint64_t physical, std::uint64_t length, bool is_cached) noexcept {
    const bool is_allowed = is_in_window(physical, length);
    void* const address = is_allowed ? memory_.map(physical, length, seen_as(is_cached)) : nullptr;
    const Turn turn(lock_);
    Window* const place = address == nullptr ? nullptr : window_at(nullptr);
    if (place != nullptr) return *place = {address, physical, length}, address;
    ++refused_;
    if (address != nullptr) memory_.unmap(address, length);
    return nullptr;
  }
  // -1: mmf_map has given no such address, or it is unmapped.
  int mmf_unmap(void* address) noexcept {
    Window ended;
    {
      const Turn turn(lock_);
      Window* const place = address == nullptr ? nullptr : window_at(address);
      if (place == nullptr) return failed;
      ended = std::exchange(*place, Window());
    }
    memory_.unmap(address, ended.length);
    return 0;
  }

  // What drivers have at the moment, and what mmf_map has refused.
  struct Figures {
    std::uint64_t blocks = 0;
    std::uint64_t references = 0;
    std::uint64_t maps = 0;
    std::uint64_t windows = 0;
    std::uint64_t refused = 0;
  };
  Figures figures() noexcept {
    const Turn turn(lock_);
    Figures all{.refused = refused_};
    blocks_.for_each([&](const Block& block) {
      ++all.blocks;
      all.references += block.references;
      all.maps += block.maps;
    });
    for (const Window& window : mapped_) all.windows += window.address != nullptr ? 1U : 0U;
    return all;
  }

 private:
  using Map = typename D::Map;
  static constexpr std::uint32_t most_counted = std::numeric_limits<int>::max();

  struct Known {
    bool is_own() const noexcept { return others == nullptr; }
    Zone& zone() noexcept { return is_own() ? own : *others; }

    std::array<char, 32> name = {};
    MmzZoneSettings settings = {};
    Zone own = {};
    Zone* others = nullptr;  // one that was there before
    bool is_registered = false;
  };
  struct Block {
    bool is_used() const noexcept { return references != 0 || maps != 0; }
    bool is_cached() const noexcept { return map && seen == Cacheability::cached; }
    std::uint64_t length() const noexcept { return buffer.parts().size.value(); }

    Ref buffer = {};
    std::uint32_t references = 0;
    std::uint32_t maps = 0;
    bool is_live = false;      // the kernel's, and not freed
    bool is_released = false;  // freed, and used
    // While it is mapped.
    std::optional<Map> map = {};
    Cacheability seen = Cacheability::write_combined;
    void* address = nullptr;
  };
  struct Window {
    void* address = nullptr;  // null: nobody's
    std::uint64_t physical = 0;
    std::uint64_t length = 0;
  };

  static std::uintptr_t number_of(const void* address) noexcept { return reinterpret_cast<std::uintptr_t>(address); }
  static Cacheability seen_as(bool is_cached) noexcept { return is_cached ? Cacheability::cached : Cacheability::write_combined; }

  // --- zones; under zones_lock_ ---

  static constexpr std::uint64_t last_of(std::uint64_t start, std::uint64_t size) noexcept { return start + (size - 1); }
  static constexpr bool touch(std::uint64_t start, std::uint64_t last, std::uint64_t other, std::uint64_t other_last) noexcept {
    return start <= other_last && other <= last;
  }
  bool is_free(const MmzZoneSettings& zone) const noexcept {
    const std::uint64_t page = page_size.value(), base = bits::align_up(zone.start, page), last = last_of(zone.start, zone.size);
    if (zone.size == 0 || last < zone.start || base < zone.start || base > last || last - base < page - 1) return false;
    bool is_free = true;
    zones_.for_each([&](const Zone& other) {
      is_free &= !touch(zone.start, last, other.base, last_of(other.base, other.heap->info().size.value()));
    });
    for (const MmzWindow& window : windows_) is_free &= !touch(zone.start, last, window.start, last_of(window.start, window.size));
    return is_free;
  }
  bool begin(Known& known) noexcept {
    const MmzZoneSettings& is = known.settings;
    known.own = {memory_.begin(is), bits::align_up(is.start, page_size.value()), is.gfp, is.type, is.block_align};
    return known.own.heap != nullptr;
  }
  void know(Zone& zone, std::uintptr_t& number) noexcept {
    Known* const known = known_.add(number);
    if (known == nullptr) return;
    const HeapInfo& info = zone.heap->info();
    known->settings = {info.name, zone.gfp, zone.base, info.size.value(), zone.type, zone.block_align};
    known->others = &zone;
    known->is_registered = true;
  }

  // --- blocks; under lock_ ---

  static MmzWanted named(MmzWanted wanted) noexcept {
    if (wanted.name == nullptr) wanted.name = "<null>";
    if (wanted.zone == nullptr) wanted.zone = "";
    return wanted;
  }
  // What is known of that block from here on; `made` stays whose it is where something is already. Null: there are too many.
  Block* know(Ref& made, std::uintptr_t& number) noexcept {
    number = blocks_.find_if([&](const Block& block) { return block.buffer == made; });
    if (number != 0) return blocks_.find(number);
    Block* const block = blocks_.add(number);
    if (block != nullptr) block->buffer = std::move(made);
    return block;
  }
  BlockHandle keep(Ref made) noexcept {
    if (!made) return {};
    const Turn turn(lock_);
    std::uintptr_t number = 0;
    Block* const block = know(made, number);
    if (block == nullptr) return {};
    block->is_live = true;
    return {number};
  }
  BlockHandle refer(Ref found) noexcept {
    const Turn turn(lock_);
    std::uintptr_t number = 0;
    Block* const block = know(found, number);
    if (block == nullptr || block->references == most_counted) return {};
    ++block->references;
    return {number};
  }
  // Its hold, where nobody has anything of it: the block ends with that, under no lock.
  Ref take_if_unused(BlockHandle handle, Block& block) noexcept {
    if (block.is_live || block.is_used()) return {};
    Ref hold = std::move(block.buffer);
    blocks_.remove(handle.number);
    return hold;
  }
  bool map_first(Block& block, bool is_cached) noexcept {
    auto& memory = block.buffer.extra().memory();
    if constexpr (requires { memory.kernel_address(); }) {
      auto map = zones_.device().map(block.buffer, Mapper::cpu, seen_as(is_cached));
      void* const address = map ? memory.kernel_address() : nullptr;
      if (address == nullptr) return false;
      block.map.emplace(*std::move(map));
      block.seen = seen_as(is_cached);
      block.address = address;
    }
    return block.address != nullptr;
  }
  // The number of the block all of whose bytes these are, where the kernel sees it; 0: there is none.
  std::uintptr_t mapped_at(std::uintptr_t address, std::uint64_t length) noexcept {
    return blocks_.find_if([&](const Block& block) {
      const std::uint64_t offset = address - number_of(block.address);
      return block.maps != 0 && address >= number_of(block.address) && offset < block.length() && length <= block.length() - offset;
    });
  }
  void warn(const Block& block, MmzMisuse what) noexcept {
    auto& platform = zones_.device().platform();
    const MmzWarning warning{what, zones_.physical_of(block.buffer), block.buffer.extra().name().data()};
    if constexpr (requires { platform.mmz_misused(warning); }) platform.mmz_misused(warning);
  }

  void maintain_lines(const Block& block, std::uint64_t offset, std::uint64_t length, CacheCommand command) noexcept {
    const std::uint64_t end = offset + length, first = offset & ~(line_ - 1), last = bits::align_up(end, line_);
    const std::uint64_t whole = bits::align_up(offset, line_), whole_end = end & ~(line_ - 1);
    if (command != CacheCommand::invalidate) return maintain_both(block, first, last, command);
    if (whole >= whole_end) return maintain_both(block, first, last, CacheCommand::clean_invalidate);
    maintain_both(block, first, whole, CacheCommand::clean_invalidate);
    maintain_both(block, whole, whole_end, command);
    maintain_both(block, whole_end, last, CacheCommand::clean_invalidate);
  }
  // In both caches, in the order that cache_range.hpp tells.
  void maintain_both(const Block& block, std::uint64_t begin, std::uint64_t end, CacheCommand command) noexcept {
    if (begin == end) return;
    const InnerRange inner{number_of(block.address) + begin, begin, end - begin};
    const OuterRange outer{PhysicalAddress(zones_.physical_of(block.buffer) + begin), end - begin};
    if (command == CacheCommand::invalidate) maintain(block.buffer, outer, command);
    maintain(block.buffer, inner, command);
    if (command != CacheCommand::invalidate) maintain(block.buffer, outer, command);
  }

  // --- windows ---

  bool is_in_window(std::uint64_t physical, std::uint64_t length) const noexcept {
    for (const MmzWindow& window : windows_) {
      if (window.has(physical, length)) return length != 0;
    }
    return false;
  }
  // Under lock_. Null: there is none.
  Window* window_at(const void* address) noexcept {
    for (Window& window : mapped_) {
      if (window.address == address) return &window;
    }
    return nullptr;
  }

  Z& zones_;
  OwnClient<D> client_;
  M& memory_;
  const std::span<const MmzWindow> windows_;
  const std::uint64_t line_;
  OwnLock<L> zones_lock_;  // of the next
  MmzTable<Known, most_zones> known_ = {};
  OwnLock<L> lock_;  // of all that follows
  MmzTable<Block, most_blocks> blocks_ = {};
  std::array<Window, most_windows> mapped_ = {};
  std::uint64_t refused_ = 0;
};

}  // namespace freestone::device
