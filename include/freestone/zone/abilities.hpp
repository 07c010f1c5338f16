// What a zone can do where its strategy, or its backing, has the ability: each call is there for such ones only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/backing/concept.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/strategy/concept.hpp>
#include <freestone/strategy/snapshot.hpp>
#include <freestone/strategy/window.hpp>

namespace freestone {

// An empty part of the zone Z, of B and S. All calls are made under its lock, and a ledger is told like of allocate; so
// each may also fail with holder_died, where the lock tells of that.
template <class Z, class B, class S>
class ZoneAbilities {
 public:
  // As allocate, as high in the zone as it can lie.
  constexpr Result<Block> allocate_high(const Request& request) noexcept
    requires can_place_high<S>
  {
    return zone().allocate_by(
        request, [](S& strategy, Granules count, Granules align) { return strategy.place_high(count, align); });
  }

  // As allocate, with every byte of the block within `bounds`. Errors: allocate's; boundary_not_power_of_two,
  // size_beyond_boundary, zone_beyond_limit (with the last address that a block could end at); nothing_within where only
  // addresses that are not allowed are free. Then nothing changed. Cost: allocate's where the place that the strategy
  // would choose is allowed. Else, with a place_at, a walk over the live blocks for the lowest start that is allowed, at
  // a multiple of the size's power of two unless the strategy says any_extent, and once more for each start it refuses.
  constexpr Result<Block> allocate_within(const Request& request, const Bounds& bounds) noexcept
    requires S::places
  {
    Z& z = zone();
    const Granules count(z.granules_of(request.size.value()));
    if (z.is_refused(count.value(), request.align.value())) return z.refuse(request);
    const Granules align = z.align_granules(request.align.value());
    const strategy::Window window(z.geometry(), count, align, bounds);
    if (const Error error = window.check(); error) return z.named(error);
    const typename Z::Guard guard(z);
    if (!guard) return z.holder_died();
    const auto chosen = z.strategy_.place(count, align);
    if (!chosen) return no_space(request.size);
    if (window.allows(*chosen)) return z.grant(*chosen, request.align.value());
    z.strategy_.release(chosen->first);
    if constexpr (can_place_at<S>) {
      if (const auto extent = place_in(window, count)) return z.grant(*extent, request.align.value());
    }
    return z.fail(ErrorCode::nothing_within, request.size.value(),
                  z.bytes_of(z.strategy_.free_granules()).value());
  }

  // The block that begins at `offset`, of at least `size`. Errors: not_granules; allocate's, size_beyond_zone also
  // where it would end behind the zone; no_space where any of it is taken or this strategy puts no block of that size.
  constexpr Result<Block> allocate_at(Bytes offset, Bytes size) noexcept
    requires S::places && can_place_at<S>
  {
    Z& z = zone();
    if ((offset.value() & z.granule_mask()) != 0) return z.fail(ErrorCode::not_granules, offset.value(), 0);
    if (const Error error = check_range(offset, size); error) return error;
    const typename Z::Guard guard(z);
    if (!guard) return z.holder_died();
    const auto extent = z.strategy_.place_at({z.granule_at(offset), Granules(z.granules_of(size.value()))});
    if (!extent) return no_space(size);
    return z.grant(*extent, 0);
  }

  // Takes the `size` bytes from `offset` on out of use: every granule that they touch, and no other. They become one
  // block or more, each given back by itself: visit(Block), lowest first, under the lock; it may call nothing of the
  // zone but views. Errors: zero_size, size_overflow, size_beyond_zone, no_space where any of it is taken; then nothing
  // changed. Whoever dies in here owns what was visited.
  template <class Visitor>
  constexpr Result<void> reserve(Bytes offset, Bytes size, Visitor&& visit) noexcept
    requires S::places && can_take_any_extent<S>
  {
    Z& z = zone();
    if (const Error error = check_range(offset, size); error) return error;
    const Granules first = z.granule_at(offset);
    const Granules last = z.granule_at(offset + size - 1);
    const typename Z::Guard guard(z);
    if (!guard) return z.holder_died();
    const bool taken = take_exactly(z.strategy_, {first, last - first + Granules(1)},
                                    [&](Extent extent) { visit(*z.grant(extent, 0)); });
    if (!taken) return no_space(size);
    return {};
  }

  // The block where it lies, with `size` bytes at least. The old value names it no more. Errors: foreign_block,
  // double_release, inner_release where it is no live block; zero_size, size_overflow, size_beyond_zone; no_space where
  // it cannot become longer there. Then nothing changed, and the block is as it was. Whose block it was keeps it. Cost:
  // the strategy's; to tell what is wrong with a dead block, a walk over the blocks.
  constexpr Result<Block> resize(const Block& block, Bytes size) noexcept
    requires S::places && can_resize<S>
  {
    Z& z = zone();
    if (block.zone_tag() != z.tag_) return z.fail(ErrorCode::foreign_block, block.offset().value(), 0);
    const Granules count(z.granules_of(size.value()));
    if (z.is_refused(count.value(), 0)) return z.refuse({.size = size});
    const Granules first = z.granule_at(block.offset());
    const typename Z::Guard guard(z);
    if (!guard) return z.holder_died();
    const Granules before = z.length_of(first);
    if (before == Granules(0) || (block.offset().value() & z.granule_mask()) != 0) {
      return z.fail(z.fault_within(first), block.offset().value(), 0);
    }
    const auto extent = z.strategy_.resize(first, count);
    if (!extent) return no_space(size);
    if constexpr (Z::has_ledger) z.ledger_.resize({first, before}, extent->count);
    return z.block_of(*extent);
  }

  // As many blocks as it takes to make up the size asked for, each at a multiple of the alignment and each given back
  // by itself: the first of `out`, as they came. Errors: allocate's, list_too_short (with what `out` had room for; the
  // next block would have been there); then nothing changed, and `out` names no block of this call. Whoever dies in
  // here owns what he had so far. Cost: the strategy's for each block, and the lock's once.
  constexpr Result<std::span<Block>> allocate_list(const Request& request, std::span<Block> out) noexcept
    requires can_place_part<S>
  {
    Z& z = zone();
    const Granules count(z.granules_of(request.size.value()));
    if (z.is_refused(count.value(), request.align.value())) [[unlikely]]
      return z.refuse(request);
    const typename Z::Guard guard(z);
    if (!guard) return z.holder_died();
    std::size_t blocks = 0;
    const Error error = fill(out, blocks, request, count);
    if (!error) return out.first(blocks);
    while (blocks != 0) {
      Block& block = out[--blocks];
      z.take_back(z.granule_at(block.offset()));
      block = Block();
    }
    return error;
  }

  // Is it there? (A layer round the zone may take it away.)
  static consteval bool allocates_lists() noexcept { return can_place_part<S>; }

  // The zone's end moves: its next `size` bytes join, its last ones leave. `size()` stays the most that it can be; what
  // it is now is `used + free` of its stats. Errors: zero_size, not_granules; size_beyond_zone where it cannot be so
  // large (grow), or never was (shrink); no_space where what should leave is not all free. Not in a shared zone, whose ledger knows of no end.
  constexpr Result<void> grow(Bytes size) noexcept
    requires can_grow<S> && (!B::shared)
  {
    if (const Error error = check_step(size); error) return error;
    const typename Z::Guard guard(zone());
    if (!guard) return zone().holder_died();
    if (!zone().strategy_.grow(zone().granule_at(size))) return beyond_zone(size);
    return {};
  }
  constexpr Result<void> shrink(Bytes size) noexcept
    requires can_grow<S> && (!B::shared)
  {
    if (const Error error = check_step(size); error) return error;
    const typename Z::Guard guard(zone());
    if (!guard) return zone().holder_died();
    if (!zone().strategy_.shrink(zone().granule_at(size))) return no_space(size);
    return {};
  }

  // All that the zone knows of its blocks, to be put back or compared later (strategy/snapshot.hpp); the bytes in them
  // stay as they are. Not in a shared zone: its ledger would have to go back too, store by store. Cost: O(words), diff
  // O(granules).
  constexpr std::size_t snapshot_words() const noexcept
    requires S::places && (!B::shared)
  {
    return S::footprint(Granules(zone().capacity_));
  }
  // Errors: notes_too_small where `out` has less words than that.
  constexpr Result<void> snapshot(std::span<std::uint64_t> out) noexcept
    requires S::places && (!B::shared)
  {
    const typename Z::Guard guard(zone());
    if (!guard) return zone().holder_died();
    return zone().named(strategy::snapshot<S>(map(), zone().geometry(), out));
  }
  // Blocks that came since name none any more, and those that went are back. Errors: attach's, of words that are no
  // snapshot of a zone like this; then nothing changed.
  constexpr Result<void> restore(std::span<std::uint64_t> kept) noexcept
    requires S::places && (!B::shared)
  {
    const typename Z::Guard guard(zone());
    if (!guard) return zone().holder_died();
    return zone().named(strategy::restore<S>(map(), zone().geometry(), kept));
  }
  // visit(Block, strategy::Change) for what went and came since, under the lock. Errors: restore's.
  template <class Visitor>
  constexpr Result<void> diff(std::span<std::uint64_t> kept, Visitor&& visit) noexcept
    requires S::places && (!B::shared)
  {
    const typename Z::Guard guard(zone());
    if (!guard) return zone().holder_died();
    return zone().named(strategy::diff<S>(kept, map(), zone().geometry(), [&](Extent extent, strategy::Change change) {
      visit(zone().block_of(extent), change);
    }));
  }

  // Gives the block's bytes memory now, or takes it away again with what they hold (whole pages: can_commit). The block
  // stays the caller's. Errors: foreign_block, the backing's own. Takes no lock, for it
  // may take long.
  constexpr Result<void> commit(const Block& block) noexcept
    requires S::places && can_commit<B>
  {
    if (!zone().is_inside(block)) return foreign(block);
    return zone().named(zone().backing_.commit(block.offset(), block.size()));
  }
  constexpr Result<void> decommit(const Block& block) noexcept
    requires S::places && can_commit<B>
  {
    if (!zone().is_inside(block)) return foreign(block);
    return zone().named(zone().backing_.decommit(block.offset(), block.size()));
  }

 private:
  constexpr Z& zone() noexcept { return static_cast<Z&>(*this); }
  constexpr const Z& zone() const noexcept { return static_cast<const Z&>(*this); }

  constexpr std::span<std::uint64_t> map() noexcept { return Z::Notes::map_of(zone().backing_.notes()); }

  constexpr Error no_space(Bytes size) const noexcept {
    return zone().fail(ErrorCode::no_space, size.value(), zone().bytes_of(zone().strategy_.free_granules()).value());
  }
  constexpr Error foreign(const Block& block) const noexcept {
    return zone().fail(ErrorCode::foreign_block, block.offset().value(), 0);
  }
  constexpr Error beyond_zone(Bytes size) const noexcept {
    return zone().fail(ErrorCode::size_beyond_zone, size.value(), zone().size().value());
  }

  // Why there can be no `size` bytes from `offset` on; code none where there can.
  constexpr Error check_range(Bytes offset, Bytes size) const noexcept {
    const Z& z = zone();
    if (z.is_refused(z.granules_of(size.value()), 0)) return z.refuse({.size = size});
    if (offset >= z.size() || size > z.size() - offset) return beyond_zone(size);
    return {};
  }
  constexpr Error check_step(Bytes size) const noexcept {
    if (size == 0) return zone().fail(ErrorCode::zero_size, 0, 0);
    if ((size.value() & zone().granule_mask()) != 0) return zone().fail(ErrorCode::not_granules, size.value(), 0);
    return size > zone().size() ? beyond_zone(size) : Error{};
  }

  // The lowest place in the window that the strategy takes.
  constexpr std::optional<Extent> place_in(const strategy::Window& window, Granules count) noexcept {
    constexpr bool any_start = requires { requires S::any_extent; };
    const Granules step(any_start ? 1 : std::uint64_t{1} << bits::ceil_log2(count.value()));
    S& strategy = zone().strategy_;
    auto start = lowest_start(window, Granules(0), step);
    while (start) {
      const auto extent = strategy.place_at(*start);
      if (extent && window.allows(*extent)) return extent;
      if (extent) strategy.release(extent->first);
      if (any_start) break;  // it lies behind the end that this strategy has now
      start = lowest_start(window, start->first + Granules(1), step);
    }
    return std::nullopt;
  }
  constexpr std::optional<Extent> lowest_start(const strategy::Window& window, Granules from, Granules step) const noexcept {
    std::optional<Extent> found;
    zone().strategy_.for_each_block([&](Extent block) {
      if (found || block.end() <= from) return;
      found = window.first_from(from, block.first, step);
      from = block.end();
    });
    return found ? found : window.first_from(from, Granules(zone().capacity_), step);
  }

  // Blocks of `count` granules together; counted in `blocks`, also when it ends with an error before the last.
  constexpr Error fill(std::span<Block> out, std::size_t& blocks, const Request& request, Granules count) noexcept {
    Z& z = zone();
    const Error none_fits = no_space(request.size);
    if (count > z.strategy_.free_granules()) return none_fits;
    const std::uint64_t align = request.align.value();
    Granules most(~std::uint64_t{0});
    for (Granules left = count; left != Granules(0); left -= most < left ? most : left) {
      const auto extent = z.strategy_.place_part(left, z.align_granules(align), most);
      if (!extent) return none_fits;
      if (blocks == out.size()) {  // with more room there would have been a next one at least
        z.strategy_.release(extent->first);
        return z.fail(ErrorCode::list_too_short, request.size.value(), z.bytes_of(count - left).value());
      }
      const auto block = z.grant(*extent, align);
      if (!block) return block.error();
      out[blocks++] = *block;
      most = extent->count;
    }
    return {};
  }
};

}  // namespace freestone
