// How one heap is asked: the same for a zone and for a ZoneRef. For the heaps' own use.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>

#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/result.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone::detail {

// Which constraint it was that a zone did not meet.
constexpr Constraint constraint_of(ErrorCode code, const HeapTraits& heap, const Constraints& wanted) noexcept {
  switch (code) {
    case ErrorCode::none: return Constraint::none;
    case ErrorCode::no_space: return Constraint::space;
    case ErrorCode::nothing_within:
      return heap.base && wanted.bounds.last - *heap.base < heap.size.value() - 1 ? Constraint::address_limit
                                                                                 : Constraint::boundary;
    case ErrorCode::zone_beyond_limit: return Constraint::address_limit;
    case ErrorCode::boundary_not_power_of_two:
    case ErrorCode::size_beyond_boundary: return Constraint::boundary;
    case ErrorCode::alignment_not_power_of_two:
    case ErrorCode::alignment_not_granules:
    case ErrorCode::alignment_beyond_zone: return Constraint::alignment;
    case ErrorCode::zero_size:
    case ErrorCode::size_overflow:
    case ErrorCode::size_beyond_zone: return Constraint::size;
    case ErrorCode::list_too_short: return Constraint::contiguous;
    default: return Constraint::other;
  }
}

// One block. Constant abilities are decided when it is compiled.
template <class Z>
constexpr Result<Block> ask_for_block(Z& zone, const Constraints& wanted) noexcept {
  const Request request = wanted.request();
  if (wanted.bounds != Bounds()) {
    if constexpr (requires { zone.allocate_within(request, wanted.bounds); }) {
      return zone.allocate_within(request, wanted.bounds);
    } else {
      return Error{.code = ErrorCode::nothing_within, .asked = request.size.value(), .zone = zone.name()};
    }
  }
  const bool is_short_lived = wanted.lifetime == Lifetime::scratch || wanted.lifetime == Lifetime::frame;
  if constexpr (requires { zone.allocate_high(request); }) {
    if (is_short_lived) return zone.allocate_high(request);
  }
  return zone.allocate(request);
}

// Several where they will do: the first of `out`.
template <class Z>
constexpr Result<std::span<Block>> ask_for_blocks(Z& zone, const Constraints& wanted, std::span<Block> out) noexcept {
  if (!wanted.contiguous && wanted.bounds == Bounds()) {
    if constexpr (std::is_same_v<const Z, const ZoneRef>) {
      if (zone.abilities().allocates_lists) return zone.allocate_list(wanted.request(), out);
    } else if constexpr (abilities_of<Z>().allocates_lists) {
      return zone.allocate_list(wanted.request(), out);
    }
  }
  if (out.empty()) return Error{.code = ErrorCode::list_too_short, .asked = wanted.size.value(), .zone = zone.name()};
  const auto block = ask_for_block(zone, wanted);
  if (!block) return block.error();
  out[0] = *block;
  return out.first(1);
}

// Asks the zone of that heap, unless it can be told before that it never will; what was granted leaves its reserve
// alone, or goes back. Empty: `error` has one refusal more, and what the zone said.
template <class Z>
constexpr std::optional<std::span<Block>> ask(Z& zone, const HeapTraits& heap, const Constraints& wanted,
                                              std::span<Block> out, HeapError& error) noexcept {
  const auto refuse = [&](Constraint failed, ErrorCode code) {
    error.add({.name = heap.name, .id = static_cast<std::uint8_t>(heap.id), .failed = failed, .code = code});
  };
  if (const Constraint failed = never_met(heap, wanted); failed != Constraint::none) {
    return refuse(failed, ErrorCode::none), std::nullopt;
  }
  const auto blocks = ask_for_blocks(zone, wanted, out);
  if (!blocks) {
    error.last = blocks.error();
    return refuse(constraint_of(error.last.code, heap, wanted), error.last.code), std::nullopt;
  }
  if (heap.reserve != 0 && !wanted.may_use_reserve && zone.free() < heap.reserve) {
    for (Block& block : *blocks) {
      static_cast<void>(zone.deallocate(block));
      block = Block();
    }
    error.last = {.code = ErrorCode::no_space, .asked = wanted.size.value(), .zone = zone.name()};
    return refuse(Constraint::reserve, ErrorCode::no_space), std::nullopt;
  }
  return *blocks;
}

// What is wrong with the request, after all heaps that could have served it refused.
constexpr ErrorCode code_of(const HeapError& error, const Constraints& wanted) noexcept {
  if (wanted.heaps.is_empty()) return ErrorCode::empty_mask;
  if (wanted.size == 0) return ErrorCode::zero_size;
  bool has_id = false;
  bool may_serve = false;  // at another time
  for (const Refusal& refusal : error.refusals()) {
    const bool is_other = refusal.failed == Constraint::other || refusal.failed == Constraint::contiguous;
    has_id = has_id || refusal.failed != Constraint::heaps;
    may_serve = may_serve || is_other || is_want_of_space(refusal.code);
  }
  if (!has_id) return ErrorCode::unknown_heap;
  return may_serve ? ErrorCode::none_satisfied : ErrorCode::never_satisfied;
}

}  // namespace freestone::detail
