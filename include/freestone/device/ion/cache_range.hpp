// What one cache operation of ION's touches: all is checked first, and then it is ranges of the buffer, whatever lies at the
// caller's address by then. (shared/spec: ION 5, 7 #9.)
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/address.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/ion/pieces.hpp>

namespace freestone::device {

// In the order of the commands' numbers, in G1 (from 7 on) as in G2 (from 0 on). Others may come: they are refused.
enum class CacheCommand : std::uint32_t { clean = 0, invalidate = 1, clean_invalidate = 2 };

// What a heap's operations reach in the outer cache. nothing: the heap has no cache operations at all. asked: carveout,
// CP, system_contig (all that was asked for; the original did one page only of the last). every_page: system, iommu.
enum class CacheReach : std::uint8_t { nothing, asked, every_page };

struct CachedBuffer {
  Bytes size = {};
  std::span<const PhysicalPiece> pieces = {};  // in order; of no fewer bytes than `size`
  CacheReach reach = CacheReach::asked;
  bool is_cached = true;
  bool has_outer_cache = false;
};

// A mapping of this buffer by the caller, as it was recorded: these addresses show the buffer from `offset` on.
struct CallerMapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;  // behind its last byte
  std::uint64_t offset = 0;
};

struct CacheCall {
  CacheCommand command = CacheCommand::clean;
  std::uint64_t address = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::optional<CallerMapping> mapping = {};  // that in which `address` is, if any
  bool null_is_whole = false;                 // G2: at address 0, the whole buffer
};

// What is to be done, with a command: bytes of the buffer in the inner cache, which the caller sees at `address`; bytes
// of the memory in the outer cache; all of the buffer in both.
struct InnerRange {
  std::uint64_t address;
  Bytes offset;
  Bytes length;
};
struct OuterRange {
  PhysicalAddress start;
  Bytes length;
};
struct WholeBuffer {};

namespace detail {

// As Linux looks for it: an empty range must have bytes of the mapping on both of its sides.
constexpr bool is_inside(const CacheCall& call) noexcept {
  const std::uint64_t end = call.address + call.length;
  if (!call.mapping || end < call.address) return false;
  return call.mapping->start <= call.address && call.mapping->start < end && call.address < call.mapping->end &&
         end <= call.mapping->end;
}
constexpr bool is_within(Bytes size, std::uint64_t offset, std::uint64_t length) noexcept {
  return length <= size.value() && offset <= size.value() - length;
}

// act(range, command) for each part that lies in one piece.
template <class Act>
constexpr void each_outer(std::span<const PhysicalPiece> pieces, std::uint64_t offset, std::uint64_t length,
                          CacheCommand command, Act& act) noexcept {
  std::uint64_t begin = 0;
  for (const PhysicalPiece& piece : pieces) {
    const std::uint64_t end = begin + piece.length.value();
    const std::uint64_t from = offset > begin ? offset : begin;
    const std::uint64_t to = offset + length < end ? offset + length : end;
    if (from < to) act(OuterRange{piece.address + Bytes(from - begin), to - from}, command);
    begin = end;
  }
}

}  // namespace detail

// G1's and G2's CLEAN, INV and CLEAN_INV: act(range, command) for each range to do, in the order in which to do them; none is
// empty. Errors, and then nothing is done, in the order in which they are looked for:
//   EINVAL  the range wraps, or is not all in the mapping; of length 0, it must have bytes of it on both sides.
//   0       the buffer is uncached: no work, whatever else was asked for.
//   ENODEV  the heap has no cache operations.
//   EINVAL  no such command.
//   EINVAL  `offset` and `length`, or what the mapping shows there, are not all in the buffer.
// Two of these are stricter than the original. There any mapping of the caller's would do, of whatever it was: here it must
// be of this buffer, and whoever names another gets the EINVAL of him who names none (of an uncached buffer too). And
// offset and length had no bounds there: here they have the buffer's size on every heap, on those too that only look at
// the address. Where address 0 asks for the whole buffer, neither is looked at (there they still chose for the outer
// cache). That `offset` is another than the address shows is allowed, as it was: it chooses for the outer cache, the address
// for the inner one.
// Cost: O(pieces).
template <class Act>
constexpr Errno cache_operations(const CachedBuffer& buffer, const CacheCall& call, Act&& act) noexcept {
  const bool is_whole = call.null_is_whole && call.address == 0;
  if (!is_whole && !detail::is_inside(call)) return Errno::invalid;
  if (!buffer.is_cached) return Errno::none;
  if (buffer.reach == CacheReach::nothing) return Errno::no_device;
  if (call.command > CacheCommand::clean_invalidate) return Errno::invalid;
  if (is_whole) return act(WholeBuffer{}, call.command), Errno::none;

  const std::uint64_t in_mapping = call.address - call.mapping->start;
  if (!detail::is_within(buffer.size, call.mapping->offset, in_mapping + call.length)) return Errno::invalid;
  if (!detail::is_within(buffer.size, call.offset, call.length)) return Errno::invalid;
  const InnerRange inner{call.address, call.mapping->offset + in_mapping, call.length};
  const auto do_inner = [&] {
    if (inner.length != 0) act(inner, call.command);
  };
  const auto do_outer = [&] {
    if (!buffer.has_outer_cache) return;
    const bool all = buffer.reach == CacheReach::every_page;
    detail::each_outer(buffer.pieces, all ? 0 : call.offset, all ? buffer.size.value() : call.length, call.command, act);
  };
  // What is written goes outwards; what is dropped goes outside first, or the inner cache would fetch it from there again.
  if (call.command == CacheCommand::invalidate) return do_outer(), do_inner(), Errno::none;
  return do_inner(), do_outer(), Errno::none;
}

// G3's SYNC: whatever the buffer is, a device may read it.
template <class Act>
constexpr void sync_operation(Act&& act) noexcept {
  act(WholeBuffer{}, CacheCommand::clean);
}

}  // namespace freestone::device
