// MMZ's commands: the structs behind them as each generation's callers lay them out, and their numbers. (shared/spec: MMZ 1.1, 1.2.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <freestone/device/command.hpp>
#include <freestone/device/wire.hpp>
#include <freestone/heap/mmz_generation.hpp>

namespace freestone::device {

// How many bytes a line of its systems' caches has.
constexpr std::uint64_t mmz_cache_line(MmzGeneration generation) noexcept {
  return generation == MmzGeneration::g1 || generation == MmzGeneration::g3 ? 32 : 64;
}

// struct mmb_info. Names end within their arrays, where they come from here.
template <std::size_t name_length>
struct MmbInfoOf {
  std::uint64_t physical = 0;
  std::uint64_t align = 0;
  std::uint64_t size = 0;
  std::uint32_t order = 0;
  std::uint64_t mapped = 0;  // a caller's address
  std::uint64_t bits = 0;    // MmbBits
  std::array<char, name_length> name = {};
  std::array<char, 32> zone = {};
  std::uint64_t gfp = 0;
};
template <MmzGeneration generation>
using MmbInfo = MmbInfoOf<generation == MmzGeneration::g5 ? 32 : 16>;

// What the word of bits has.
struct MmbBits {
  std::uint32_t protection = 0;  // mmap's, of 8 bits
  std::uint32_t flags = 0;       // mmap's, of 12
  bool is_promised = false;      // freed as soon as nobody has it mapped
  bool is_cached = false;

  static constexpr MmbBits of(std::uint64_t bits) noexcept {
    return {.protection = static_cast<std::uint32_t>(bits & 0xff),
            .flags = static_cast<std::uint32_t>(bits >> 8 & 0xfff),
            .is_promised = (bits >> 28 & 1) != 0,
            .is_cached = (bits >> 29 & 1) != 0};
  }
  constexpr std::uint64_t value() const noexcept {
    return protection | flags << 8 | std::uint32_t{is_promised} << 28 | std::uint32_t{is_cached} << 29;
  }
};

// A struct that the driver's header says to be aligned to 8 bytes: its fields lie as before, behind them it is filled up.
template <class W>
struct AlignedTo8 : W {
  static constexpr std::size_t length(WordSize word) noexcept { return (W::length(word) + 7) / 8 * 8; }
  static constexpr std::size_t most_length = length(WordSize::bits64);
};

template <class S>
using MmbInfoFields =
    Wire<S, Field<&S::physical, FieldType::word>, Field<&S::align, FieldType::word>, Field<&S::size, FieldType::word>,
         Field<&S::order, FieldType::u32>, Field<&S::mapped, FieldType::word>, Field<&S::bits, FieldType::word>,
         Field<&S::name, FieldType::text>, Field<&S::zone, FieldType::text>, Field<&S::gfp, FieldType::word>>;
template <MmzGeneration generation>
struct MmbInfoWireOf {
  using Type = AlignedTo8<MmbInfoFields<MmbInfo<generation>>>;
};
template <>
struct MmbInfoWireOf<MmzGeneration::g1> {
  using Type = MmbInfoFields<MmbInfo<MmzGeneration::g1>>;
};
template <>
struct MmbInfoWireOf<MmzGeneration::g2> {
  using Type = MmbInfoFields<MmbInfo<MmzGeneration::g2>>;
};
template <MmzGeneration generation>
using MmbInfoWire = typename MmbInfoWireOf<generation>::Type;

// What the kernel has of it: fields of its own behind the caller's, before G5. A caller may hand in as much.
template <MmzGeneration generation>
constexpr std::size_t mmb_kernel_length(WordSize word) noexcept {
  if (generation == MmzGeneration::g5) return MmbInfoWire<generation>::length(word);
  return word == WordSize::bits32 ? 96 : 136;
}

// struct dirty_area
struct MmzDirtyArea {
  std::uint64_t physical = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};
using MmzDirtyWire = Wire<MmzDirtyArea, Field<&MmzDirtyArea::physical, FieldType::word>,
                          Field<&MmzDirtyArea::address, FieldType::word>, Field<&MmzDirtyArea::size, FieldType::word>>;

// struct mmb_share_info, of G5.
struct MmzShareCall {
  std::uint64_t physical = 0;
  std::uint64_t address = 0;
  std::uint64_t handle = 0;
  std::uint64_t offset = 0;
  std::int32_t process = 0;
};
using MmzShareWire =
    Wire<MmzShareCall, Field<&MmzShareCall::physical, FieldType::word>, Field<&MmzShareCall::address, FieldType::word>,
         Field<&MmzShareCall::handle, FieldType::word>, Field<&MmzShareCall::offset, FieldType::word>,
         Field<&MmzShareCall::process, FieldType::s32>>;

// What QUERY tells, in KiB.
struct MmzRoom {
  std::uint32_t total = 0;
  std::uint32_t free = 0;
};
using MmzRoomWire = Wire<MmzRoom, Field<&MmzRoom::total, FieldType::u32>, Field<&MmzRoom::free, FieldType::u32>>;

// --- numbers ---

enum class MmzCommand : std::uint8_t {
  allocate,
  attributes,
  free,
  allocate_v2,
  remap,
  remap_cached,
  unmap,
  physical_of,
  flush_range,  // SYS_FLUSH_CACHE
  check_address,
  add_reference,
  drop_reference,
  flush,
  flush_dirty,
  test_cache,
  share,
  unshare,
  share_all,
  unshare_all,
  memory_of_address,
  memory_of_physical,
  memory_of_handle,
  query,
};

// What is behind a number.
enum class MmzArgument : std::uint8_t { info, physical, dirty_area, share_call, room };

struct MmzNumber {
  MmzCommand command;
  char magic;
  unsigned number;
  Direction direction;
  MmzArgument argument;
  MmzGeneration first, last;  // that have it
};

// All but the set-top boxes'.
inline constexpr auto mmz_numbers = [] {
  using enum MmzCommand;
  using enum MmzGeneration;
  using enum Direction;
  using A = MmzArgument;
  return std::array{
      MmzNumber{allocate, 'm', 10, both, A::info, g1, g5},
      MmzNumber{attributes, 'm', 11, read, A::info, g1, g5},
      MmzNumber{MmzCommand::free, 'm', 12, write, A::info, g1, g5},
      MmzNumber{allocate_v2, 'm', 13, both, A::info, g1, g4},
      MmzNumber{remap, 'm', 20, both, A::info, g1, g5},
      MmzNumber{remap_cached, 'm', 21, both, A::info, g1, g5},
      MmzNumber{unmap, 'm', 22, both, A::info, g1, g5},
      MmzNumber{physical_of, 'm', 23, both, A::info, g2, g5},
      MmzNumber{flush_range, 'm', 24, write, A::info, g5, g5},
      MmzNumber{check_address, 'm', 25, write, A::info, g5, g5},
      MmzNumber{add_reference, 'r', 30, none, A::physical, g1, g4},
      MmzNumber{drop_reference, 'r', 31, none, A::physical, g1, g4},
      MmzNumber{flush, 'c', 40, none, A::physical, g1, g4},
      MmzNumber{flush_dirty, 'd', 50, write, A::dirty_area, g1, g5},
      MmzNumber{test_cache, 't', 11, write, A::info, g1, g4},
      MmzNumber{share, 's', 40, write, A::share_call, g5, g5},
      MmzNumber{unshare, 's', 41, write, A::share_call, g5, g5},
      MmzNumber{share_all, 's', 42, write, A::share_call, g5, g5},
      MmzNumber{unshare_all, 's', 43, write, A::share_call, g5, g5},
      MmzNumber{memory_of_address, 's', 44, both, A::share_call, g5, g5},
      MmzNumber{memory_of_physical, 's', 45, both, A::share_call, g5, g5},
      MmzNumber{memory_of_handle, 's', 46, both, A::share_call, g5, g5},
      MmzNumber{query, 'q', 60, read, A::room, g5, g5},
  };
}();

constexpr const MmzNumber& mmz_number(MmzCommand command) noexcept { return mmz_numbers[static_cast<std::size_t>(command)]; }
constexpr bool has_command(MmzGeneration generation, MmzCommand command) noexcept {
  const MmzNumber& row = mmz_number(command);
  return row.first <= generation && generation <= row.last;
}
// As that generation's callers say it; 0: it is none of its commands.
template <MmzGeneration generation>
constexpr Command mmz_command(MmzCommand command, WordSize word) noexcept {
  if (!has_command(generation, command)) return {};
  const MmzNumber& row = mmz_number(command);
  const auto length = [&]() -> std::size_t {
    switch (row.argument) {
      case MmzArgument::info: return MmbInfoWire<generation>::length(word);
      case MmzArgument::physical: return 0;
      case MmzArgument::dirty_area: return MmzDirtyWire::length(word);
      case MmzArgument::share_call: return MmzShareWire::length(word);
      case MmzArgument::room: return MmzRoomWire::length(word);
    }
    return 0;
  };
  return Command::of(row.direction, row.magic, row.number, static_cast<std::uint32_t>(length()));
}

}  // namespace freestone::device
