// What blocks are asked of, whatever it is: a zone, a layer round one, a ZoneRef, or heaps. For the heaps' own use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/ask.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/result.hpp>
#include <freestone/zone/layers/bytes.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone::detail {

constexpr bool is_of_kind(const HeapTraits& heap, const Constraints& wanted) noexcept {
  return (!wanted.cacheability || *wanted.cacheability == heap.cacheability) && (!wanted.exportable || heap.exportable);
}

// Do `size` bytes from this address on lie as the constraints want? No, where the alignment or the boundary is no power
// of two.
constexpr bool lies_as_wanted(std::uint64_t first, std::uint64_t size, const Constraints& wanted) noexcept {
  const std::uint64_t align = wanted.align.value();
  const std::uint64_t boundary = wanted.bounds.boundary.value();
  const std::uint64_t last = first + (size - 1);
  if (align != 0 && ((align & (align - 1)) != 0 || (first & (align - 1)) != 0)) return false;
  if (boundary != 0 && ((boundary & (boundary - 1)) != 0 || ((first ^ last) & ~(boundary - 1)) != 0)) return false;
  return last <= wanted.bounds.last;
}

// A view of the zone or the heaps, which must outlive it and stay where they are.
template <class Z>
class BlockSource {
 public:
  static constexpr bool has_heaps = requires(Z& heaps) { heaps.traits(); };
  static constexpr bool has_brackets = !std::is_same_v<std::remove_const_t<Z>, ZoneRef>;

  explicit BlockSource(Z& zone) noexcept : zone_(&zone) {}

  // One block. Errors: the zone's; HeapError's code where there are several. Sets `may_change` where it may be granted
  // once blocks have gone back.
  Result<HeapBlock> allocate(const Constraints& wanted, bool& may_change) noexcept {
    if constexpr (has_heaps) {
      const auto got = zone_->allocate(wanted);
      if (got) return *got;
      for (const Refusal& refusal : got.error().refusals()) may_change = may_change || is_want_of_space(refusal.code);
      const Error& last = got.error().last;
      const std::uint64_t asked = wanted.size.value();
      return Error{.code = got.error().code, .asked = asked, .available = last.available, .zone = last.zone};
    } else {
      if (!is_of_kind(traits(), wanted)) return fail(ErrorCode::never_satisfied, wanted.size, 0);
      const auto got = ask_for_block(*zone_, wanted);
      if (got) return HeapBlock{.block = *got};
      may_change = is_want_of_space(got.error().code);
      return got.error();
    }
  }
  Result<void> deallocate(const Block& block) noexcept { return zone_->deallocate(block); }

  // Would these constraints, whatever size they ask for, have allowed this block?
  bool meets(const HeapBlock& kept, const Constraints& wanted) noexcept {
    bool met = false;
    for_zone_of(kept.block, [&](auto& zone, const HeapTraits& heap) {
      const bool is_allowed = !has_heaps || wanted.heaps.contains(heap.id);
      const std::uint64_t first = (base_of(zone) + kept.block.offset()).value();
      met = is_allowed && is_of_kind(heap, wanted) && lies_as_wanted(first, kept.block.size().value(), wanted);
    });
    return met;
  }

  // Zeroes the block where this CPU sees it, as a write of the CPU's. Errors: the cache policy's, access_open.
  Result<void> zero(const Block& block) noexcept
    requires has_brackets
  {
    Result<void> done;
    for_zone_of(block, [&](auto& zone, const HeapTraits&) { done = zero_in(zone, block); });
    return done;
  }

  // No block is larger.
  Bytes most() noexcept {
    if constexpr (has_heaps) {
      Bytes most = 0;
      for (const HeapTraits& heap : zone_->traits()) most = heap.size > most ? heap.size : most;
      return most;
    } else {
      return zone_->size();
    }
  }

  // The only zone's tag.
  std::uint32_t tag() const noexcept
    requires(!has_heaps)
  {
    return zone_->tag();
  }
  Error fail(ErrorCode code, Bytes asked, Bytes available) noexcept {
    Error error{.code = code, .asked = asked.value(), .available = available.value()};
    if constexpr (!has_heaps) error.zone = zone_->name();
    return error;
  }

 private:
  template <class One>
  static Bytes base_of(One& zone) noexcept {
    if constexpr (requires { zone.base(); }) {
      return zone.base();
    } else {
      return zone.backing().base();
    }
  }

  ZoneAbilityFlags abilities() const noexcept {
    if constexpr (has_brackets) {
      return abilities_of<Z>();
    } else {
      return zone_->abilities();
    }
  }
  // The only zone, as a heap.
  HeapTraits traits() noexcept
    requires(!has_heaps)
  {
    const ZoneAbilityFlags can = abilities();
    return {.name = zone_->name(),
            .size = zone_->size(),
            .cacheability = can.cacheability,
            .exportable = can.exportable};
  }

  template <class Do>
  void for_zone_of(const Block& block, Do&& act) noexcept {
    if constexpr (has_heaps) {
      zone_->for_each([&](auto& zone, const HeapTraits& heap) {
        if (zone.tag() == block.zone_tag()) act(zone, heap);
      });
    } else {
      act(*zone_, traits());
    }
  }

  template <class One>
  static Result<void> zero_in(One& zone, const Block& block) noexcept {
    if constexpr (requires { zone.data(block); }) {
      const std::span<std::byte> bytes = zone.data(block);
      if (bytes.empty()) return {};
      if constexpr (requires { zone.cpu_write(block); }) {
        auto access = zone.cpu_write(block);
        if (!access) return access.error();
        layers::bytes::fill(access->bytes(), 0);
        return access->end();
      } else {
        layers::bytes::fill(bytes, 0);
        return zone.clean(block);
      }
    } else {
      return {};
    }
  }

  Z* zone_;
};

}  // namespace freestone::detail
