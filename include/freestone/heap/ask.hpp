// How one heap is asked: the same for a zone and for a ZoneRef. For the heaps' own use.
#pragma once

#include <cstddef>
#include <cstdint>
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

// One block, or as many of `out` as the caller can do with.
enum class Blocks : bool { one, several };

template <class Z>
constexpr Result<std::span<Block>> ask_for_blocks(Z& zone, const Constraints& wanted, Blocks blocks,
                                                  std::span<Block> out) noexcept {
  if (blocks == Blocks::several && !wanted.contiguous && wanted.bounds == Bounds()) {
    if constexpr (std::is_same_v<const Z, const ZoneRef>) {
      if (zone.abilities().allocates_lists) return zone.allocate_list(wanted.request(), out);
    } else if constexpr (has_own_backing<Z>) {
      if constexpr (abilities_of<Z>().allocates_lists) return zone.allocate_list(wanted.request(), out);
    }
  }
  if (out.empty()) return Error{.code = ErrorCode::list_too_short, .asked = wanted.size.value(), .zone = zone.name()};
  const auto block = ask_for_block(zone, wanted);
  if (!block) return block.error();
  out[0] = *block;
  return out.first(1);
}

// Is the zone the one to ask? It tells by itself what else it cannot give.
constexpr bool is_worth_asking(const HeapTraits& heap, const Constraints& wanted) noexcept {
  return (!wanted.cacheability || *wanted.cacheability == heap.cacheability) && (!wanted.exportable || heap.exportable) &&
         (heap.base || wanted.bounds == Bounds()) &&
         (heap.reserve == 0 || wanted.may_use_reserve || never_met(heap, wanted) == Constraint::none);
}

constexpr Refusal refusal_of(const HeapTraits& heap, Constraint failed, ErrorCode code) noexcept {
  return {.name = heap.name, .id = static_cast<std::uint8_t>(heap.id), .failed = failed, .code = code};
}

// Why a heap in the mask gave nothing: never, or what its zone said.
constexpr void refuse(HeapError& error, const HeapTraits& heap, const Constraints& wanted, const Error& said) noexcept {
  const Constraint never = never_met(heap, wanted);
  if (never != Constraint::none) return error.add(refusal_of(heap, never, ErrorCode::none));
  error.last = said;
  error.add(refusal_of(heap, constraint_of(said.code, heap, wanted), said.code));
}

// Asks the zone of that heap, which is in the mask; what was granted leaves its reserve alone, or goes back. Empty:
// `error` has one refusal more, and what the zone said.
template <class Z>
constexpr std::span<Block> ask(Z& zone, const HeapTraits& heap, const Constraints& wanted, Blocks number,
                               std::span<Block> out, HeapError& error) noexcept {
  if (!is_worth_asking(heap, wanted)) return refuse(error, heap, wanted, Error()), std::span<Block>();
  const auto blocks = ask_for_blocks(zone, wanted, number, out);
  if (!blocks) return refuse(error, heap, wanted, blocks.error()), std::span<Block>();
  if (heap.reserve != 0 && !wanted.may_use_reserve && zone.free() < heap.reserve) {
    for (Block& block : *blocks) {
      static_cast<void>(zone.deallocate(block));
      block = Block();
    }
    error.last = {.code = ErrorCode::no_space, .asked = wanted.size.value(), .zone = zone.name()};
    error.add(refusal_of(heap, Constraint::reserve, ErrorCode::no_space));
    return {};
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

// All heaps refused, and `error` has why those in the mask did, in the order in which they were asked: now the others
// too, and what is wrong with the request.
constexpr void complete(HeapError& error, std::span<const HeapTraits> traits, std::span<const std::uint8_t> asked,
                        const Constraints& wanted) noexcept {
  HeapError all;
  all.last = error.last;
  std::size_t next = 0;
  for (const std::uint8_t place : asked) {
    const HeapTraits& heap = traits[place];
    if (wanted.heaps.contains(heap.id)) {
      all.add(error.refusals()[next++]);
    } else {
      all.add(refusal_of(heap, Constraint::heaps, ErrorCode::none));
    }
  }
  all.code = code_of(all, wanted);
  error = all;
}

}  // namespace freestone::detail
