// PMEM's commands: their numbers, and the structs behind them. (shared/spec: PMEM 1.1, 1.2.)
#pragma once

#include <cstdint>

#include <freestone/device/command.hpp>
#include <freestone/device/wire.hpp>

namespace freestone::device {

// What a command's number means: Google's, or Qualcomm's, of which earlier ones end before GET_FREE_SPACE.
enum class PmemNumbers : std::uint8_t { google, caf, qualcomm };

// Every number is declared with four bytes that are handed in, whatever is really copied, and which way.
constexpr Command pmem_command(unsigned number) noexcept { return Command::of(Direction::write, 'p', number, 4); }

namespace pmem {
inline constexpr Command get_phys = pmem_command(1);
inline constexpr Command map = pmem_command(2);
inline constexpr Command get_size = pmem_command(3);
inline constexpr Command unmap = pmem_command(4);
inline constexpr Command allocate = pmem_command(5);  // the length is the argument itself
inline constexpr Command connect = pmem_command(6);   // and so is the descriptor
inline constexpr Command get_total_size = pmem_command(7);
// Google's.
inline constexpr Command cache_flush = pmem_command(8);
// Qualcomm's.
inline constexpr Command clean_inv_caches = pmem_command(11);
inline constexpr Command clean_caches = pmem_command(12);
inline constexpr Command inv_caches = pmem_command(13);
// Qualcomm's last.
inline constexpr Command get_free_space = pmem_command(14);
inline constexpr Command allocate_aligned = pmem_command(15);
}  // namespace pmem

// struct pmem_region
struct PmemRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
using PmemRangeWire = Wire<PmemRange, Field<&PmemRange::offset, FieldType::word>, Field<&PmemRange::length, FieldType::word>>;

// struct pmem_addr
struct PmemCacheCall {
  std::uint64_t address = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
using PmemCacheWire = Wire<PmemCacheCall, Field<&PmemCacheCall::address, FieldType::word>,
                           Field<&PmemCacheCall::offset, FieldType::word>, Field<&PmemCacheCall::length, FieldType::word>>;

// struct pmem_freespace
struct PmemFreeSpace {
  std::uint64_t total = 0;
  std::uint64_t largest = 0;
};
using PmemFreeWire =
    Wire<PmemFreeSpace, Field<&PmemFreeSpace::total, FieldType::word>, Field<&PmemFreeSpace::largest, FieldType::word>>;

// struct pmem_allocation
struct PmemWanted {
  std::uint64_t size = 0;
  std::uint32_t align = 0;
};
using PmemWantedWire = Wire<PmemWanted, Field<&PmemWanted::size, FieldType::word>, Field<&PmemWanted::align, FieldType::u32>>;

}  // namespace freestone::device
