// What blocks are asked of, whatever it is: a zone, a layer round one, a ZoneRef, or heaps. For the heaps' own use.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <freestone/core/bits.hpp>
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

// Would a zone that can do that grant this address where it is asked for `align`?
constexpr bool is_aligned(const ZoneAbilityFlags& can, Bytes granule, std::uint64_t address, Bytes align) noexcept {
  if (align == 0) return true;
  if (can.most_alignment != 0 && align > can.most_alignment) return false;
  const bool is_of_granules = (align.value() & (granule.value() - 1)) == 0;
  if (!bits::is_power_of_two(align.value()) && !(can.any_alignment && is_of_granules)) return false;
  return bits::remainder(address, align.value()) == 0;
}

// Are `size` bytes from this address on within the bounds? No, where the boundary is no power of two.
constexpr bool is_within(const Bounds& bounds, std::uint64_t first, std::uint64_t size) noexcept {
  const std::uint64_t boundary = bounds.boundary.value();
  const std::uint64_t last = first + (size - 1);
  if (boundary != 0 && (!bits::is_power_of_two(boundary) || ((first ^ last) & ~(boundary - 1)) != 0)) return false;
  return last <= bounds.last;
}

// What tells like a zone how long it is, and what it can do.
template <class Z>
concept tells_like_zone = requires(Z& zone, const Request& request) {
  zone.allocate(request);
  zone.name();
  zone.tag();
  zone.size();
  zone.granule();
} && (has_own_backing<Z> || requires(Z& zone) { zone.abilities(); });

// It shows no bytes; or it has a way to them that minds their caches.
template <class Z>
concept can_be_zeroed = !requires(Z& zone, const Block& block) { zone.data(block); } ||
                        requires(Z& zone, const Block& block) { zone.cpu_write(block); } ||
                        requires(Z& zone, const Block& block) { zone.clean(block); };

template <class Z>
concept has_heaps = requires(Z& heaps, const Constraints& wanted) {
  heaps.traits();
  heaps.allocate(wanted);
};
template <class Z>
concept has_heaps_behind_refs = has_heaps<Z> && requires(Z& heaps) {
  { heaps.zone(0U) } -> std::same_as<Result<ZoneRef>>;
};

// A view of the zone or the heaps, which must outlive it and stay where they are.
template <class Z>
class BlockSource {
 public:
  static constexpr bool has_heaps = detail::has_heaps<Z>;
  static constexpr bool is_source = has_heaps || tells_like_zone<Z>;
  static constexpr bool can_zero = has_heaps ? !has_heaps_behind_refs<Z> : can_be_zeroed<Z>;

  explicit BlockSource(Z& zone) noexcept : zone_(&zone) {}

  // One block. Errors: the zone's; HeapError's code where there are several. Sets `may_change` where it may be granted
  // once blocks have gone back.
  Result<HeapBlock> allocate(const Constraints& wanted, bool& may_change) noexcept {
    if constexpr (has_heaps) {
      const auto got = zone_->allocate(wanted);
      if (got) return *got;
      for (const Refusal& refusal : got.error().refusals()) may_change = may_change || is_want_of_space(refusal.code);
      return error_of(got.error(), wanted);
    } else {
      if (!is_of_kind(traits(), wanted)) return fail(ErrorCode::never_satisfied, wanted.size, 0);
      const auto got = ask_for_block(*zone_, wanted);
      if (got) return HeapBlock{.block = *got};
      may_change = is_want_of_space(got.error().code);
      return got.error();
    }
  }
  // Several where the constraints and the source allow it: the first of `out`. Errors: as allocate's.
  struct List {
    std::span<Block> blocks = {};
    unsigned heap = most_heaps;
  };
  Result<List> allocate_list(const Constraints& wanted, std::span<Block> out) noexcept {
    if constexpr (has_heaps) {
      const auto got = zone_->allocate_list(wanted, out);
      if (!got) return error_of(got.error(), wanted);
      return List{got->blocks, got->heap};
    } else {
      if (!is_of_kind(traits(), wanted)) return fail(ErrorCode::never_satisfied, wanted.size, 0);
      const auto got = ask_for_blocks(*zone_, wanted, Blocks::several, out);
      if (!got) return got.error();
      return List{*got};
    }
  }
  Result<void> deallocate(const Block& block) noexcept { return zone_->deallocate(block); }

  // What S does to the block: Result<void> operator()(zone, block). Errors: S's.
  template <class S>
  Result<void> scrub(const Block& block, S& scrubber) noexcept {
    Result<void> done;
    for_zone_of(block, [&](auto& zone, const HeapTraits&) { done = scrubber(zone, block); });
    return done;
  }

  // How CPUs see it, as its heap says.
  Cacheability cacheability_of(const Block& block) noexcept {
    Cacheability seen = Cacheability::cached;
    for_zone_of(block, [&](auto&, const HeapTraits& heap) { seen = heap.cacheability; });
    return seen;
  }

  // Would these constraints, whatever size they ask for, have allowed this block? No, where nobody can tell.
  bool meets(const HeapBlock& kept, const Constraints& wanted) noexcept {
    bool met = false;
    for_zone_of(kept.block, [&](auto& zone, const HeapTraits& heap) {
      const bool is_allowed = !has_heaps || wanted.heaps.contains(heap.id);
      met = is_allowed && is_of_kind(heap, wanted) && lies_as_wanted(zone, heap, kept.block, wanted);
    });
    return met;
  }

  // Zeroes the block where this CPU sees it, as a write of the CPU's. Errors: the cache policy's, access_open.
  Result<void> zero(const Block& block) noexcept
    requires can_zero
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
  static Error error_of(const HeapError& error, const Constraints& wanted) noexcept {
    const Error& last = error.last;
    return {.code = error.code, .asked = wanted.size.value(), .available = last.available, .zone = last.zone};
  }

  template <class One>
  static Bytes base_of(One& zone) noexcept {
    if constexpr (requires { zone.base(); }) {
      return zone.base();
    } else {
      return zone.backing().base();
    }
  }

  template <class One>
  static ZoneAbilityFlags abilities_of_zone(const One& zone) noexcept {
    if constexpr (requires { zone.abilities(); }) {
      return zone.abilities();
    } else {
      return abilities_of<One>();
    }
  }

  // Where a strategy keeps books only, blocks have no numbers, and any address: then no bounds are met. Neither are
  // they in a heap that knows no addresses.
  template <class One>
  static bool lies_as_wanted(One& zone, const HeapTraits& heap, const Block& block,
                             const Constraints& wanted) noexcept {
    const ZoneAbilityFlags can = abilities_of_zone(zone);
    const bool has_numbers = can.places && (!has_heaps || heap.base);
    if ((!has_numbers && wanted.bounds != Bounds()) || wanted.align > zone.size()) return false;
    const std::uint64_t first = can.places ? (base_of(zone) + block.offset()).value() : pointer_to(zone, block);
    return is_aligned(can, zone.granule(), first, wanted.align) &&
           (!has_numbers || is_within(wanted.bounds, first, block.size().value()));
  }
  // Where the CPU sees it; 1, which nothing is aligned at, where it does not.
  template <class One>
  static std::uint64_t pointer_to(One& zone, const Block& block) noexcept {
    if constexpr (requires { zone.data(block); }) {
      const auto bytes = zone.data(block);
      if (!bytes.empty()) return reinterpret_cast<std::uintptr_t>(bytes.data());
    }
    return 1;
  }

  // The only zone, as a heap.
  HeapTraits traits() noexcept
    requires(!has_heaps)
  {
    const ZoneAbilityFlags can = abilities_of_zone(*zone_);
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
