// pmem_kalloc and pmem_kfree: physically contiguous memory for drivers, out of the two arenas that programs never see.
// (shared/spec: PMEM 1.6, 2.1.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <freestone/core/address.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/pmem/region.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone::device {

// Of pmem_kalloc's flags: the arena, and the alignment.
namespace pmem_kernel {
inline constexpr std::uint32_t arena_bits = 0x7, ebi1 = 1, smi = 2;
inline constexpr std::uint32_t align_bits = 0x18, align_4k = 0x08, align_1m = 0x10;
}  // namespace pmem_kernel

// A registered arena. Its zone is nobody else's, and outlives it; without one it has no allocator.
struct PmemArena {
  std::optional<ZoneRef> zone = {};
  PhysicalAddress base = PhysicalAddress(0);
  PmemAllocator allocator = PmemAllocator::bitmap;
  Bytes quantum = 4096;
};

// Any thread, as L lets them; it stays where it is. An arena's lock is held while anything in it is looked for or changed, by kfree
// too (not the original's).
template <class L>
class PmemArenas {
  using Turn = typename OwnLock<L>::Turn;

 public:
  PmemArenas() noexcept = default;
  PmemArenas(const PmemArenas&) = delete;
  PmemArenas& operator=(const PmemArenas&) = delete;

  // That one is registered from here on. Errors: EINVAL: the kernel has no such arena; EEXIST: it is registered.
  Errno add(std::uint32_t kind, const PmemArena& arena) noexcept {
    Place* const place = place_of(kind);
    if (place == nullptr) return Errno::invalid;
    const Turn turn(place->turn);
    if (place->arena) return Errno::exists;
    place->arena = arena;
    return Errno::none;
  }

  // The address of the first byte, aligned as was asked, whichever the arena's allocator is. Where smi has no room, ebi1's. `highest`:
  // the last address that the caller can be told; what goes beyond is not given. Errors: EINVAL: an alignment or an arena that there
  // is not, also where that is the one that is asked in smi's stead; ENOMEM: no allocator, or no room.
  Answer kalloc(std::uint64_t size, std::uint32_t flags, std::uint64_t highest = most_answer) noexcept {
    const std::uint32_t align_flag = flags & pmem_kernel::align_bits, kind = flags & pmem_kernel::arena_bits;
    if (align_flag != pmem_kernel::align_4k && align_flag != pmem_kernel::align_1m) return Errno::invalid;
    const std::uint64_t align = align_flag == pmem_kernel::align_4k ? 4096 : 1 << 20;
    const Wanted wanted{size, align, highest < most_answer ? highest : most_answer};
    Answer answer = allocate(kind, wanted);
    if (answer == Errno::no_room && kind == pmem_kernel::smi) answer = allocate(pmem_kernel::ebi1, wanted);
    return answer == Errno::no_room ? Errno::no_memory : answer;
  }
  // What begins there; of a bitmap's or a buddy's, any byte of its first quantum will do. Errors: EINVAL: nothing does.
  Errno kfree(std::uint64_t address) noexcept {
    for (Place& place : places_) {
      const Turn turn(place.turn);
      if (!place.arena || !place.arena->zone) continue;
      const std::uint64_t offset = address - place.arena->base.value();  // wraps where it is below
      if (offset < place.arena->zone->size().value()) return free(*place.arena, offset);
    }
    return Errno::invalid;
  }

 private:
  static constexpr std::uint64_t most_answer = ~std::uint64_t{0} >> 1;
  struct Place {
    OwnLock<L> turn;  // of what follows
    std::optional<PmemArena> arena = {};
  };
  struct Wanted {
    std::uint64_t size;
    std::uint64_t align;
    std::uint64_t highest;

    bool admits(std::uint64_t address) const noexcept {
      return (address & (align - 1)) == 0 && address <= highest && size - 1 <= highest - address;
    }
  };

  Place* place_of(std::uint32_t kind) noexcept {
    return kind == pmem_kernel::ebi1 || kind == pmem_kernel::smi ? &places_[kind - pmem_kernel::ebi1] : nullptr;
  }
  // Errors: EINVAL: no such arena; ENOMEM: no allocator; ENOSPC: no room.
  Answer allocate(std::uint32_t kind, const Wanted& wanted) noexcept {
    Place* const place = place_of(kind);
    if (place == nullptr) return Errno::invalid;
    const Turn turn(place->turn);
    if (!place->arena) return Errno::invalid;
    if (!place->arena->zone) return Errno::no_memory;
    const ZoneRef zone = *place->arena->zone;
    const auto block = zone.allocate({.size = wanted.size, .align = wanted.align});
    if (!block) return Errno::no_room;
    const std::uint64_t address = place->arena->base.value() + block->offset().value();
    if (wanted.admits(address)) return Answer(static_cast<std::int64_t>(address));
    static_cast<void>(zone.deallocate(*block));
    return Errno::no_room;
  }
  static Errno free(const PmemArena& arena, std::uint64_t offset) noexcept {
    const bool has_quanta = arena.allocator == PmemAllocator::bitmap || arena.allocator == PmemAllocator::buddy;
    const std::uint64_t start = has_quanta ? offset & ~(arena.quantum.value() - 1) : offset;
    const auto block = arena.zone->find(start);
    return block && block->offset() == start && arena.zone->deallocate(*block) ? Errno::none : Errno::invalid;
  }

  std::array<Place, 2> places_ = {};
};

// As pmem_kalloc gives it: a negative number is an error, and what is an address is none. So only what lies below 2 GiB can be
// told, and what does not is not given (ENOMEM): kalloc gives it, whose answers have room for it.
template <class L>
std::int32_t kalloc_int32(PmemArenas<L>& arenas, std::uint64_t size, std::uint32_t flags) noexcept {
  return static_cast<std::int32_t>(arenas.kalloc(size, flags, 0x7fff'ffff).value());
}

}  // namespace freestone::device
