// Heaps of which some keep pages that came back: a Device takes them for its heaps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/device/page_pools.hpp>
#include <freestone/heap/block_source.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/result.hpp>
#include <freestone/heap/reuse_cache.hpp>

namespace freestone::device {

// Over the heaps H, which outlive it. Requests in several blocks, of one heap that has pools, are served out of these and
// of its zone; all others by H. Where H has no room, what the heaps asked keep goes back to their zones, and H is asked
// once more.
//
// Whatever is given out is scrubbed by S: what comes of a zone when it is given, what a pool keeps when it came back. So a
// Device over it scrubs no more (scrub::Nothing). Any thread, as L and H's zones let them.
template <class H, class L, class S = scrub::Nothing>
class PooledHeaps {
 public:
  using Pools = PagePools<L>;

  explicit PooledHeaps(H& heaps, S scrubber = S()) noexcept
      : heaps_(heaps), source_(heaps), scrubber_(std::move(scrubber)) {}
  PooledHeaps(const PooledHeaps&) = delete;
  PooledHeaps& operator=(const PooledHeaps&) = delete;

  // The heap of that id, which keeps no reserve, has these pools, before its zone; they outlive this. Before anybody calls.
  void add(unsigned heap, Pools& pools) noexcept { pooled_[count_++] = {heap, &pools}; }

  std::span<const HeapTraits> traits() const noexcept { return heaps_.traits(); }
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    heaps_.for_each(visit);
  }

  // Errors: H's; S's, as `last`.
  HeapResult<HeapBlock> allocate(const Constraints& wanted) noexcept {
    const auto got = ask(wanted, [&] { return heaps_.allocate(wanted); });
    if (!got) return got;
    if (const auto done = scrub(got->block); !done) {
      static_cast<void>(heaps_.deallocate(got->block));
      return failed(done.error());
    }
    return got;
  }

  struct List {
    std::span<Block> blocks = {};
    unsigned heap = most_heaps;
  };
  HeapResult<List> allocate_list(const Constraints& wanted, std::span<Block> out) noexcept {
    if (const Pooled* pooled = pooled_for(wanted)) {
      const auto blocks =
          pooled->pools->allocate_list(wanted.size, out, [&](const Block& block) { return static_cast<bool>(scrub(block)); });
      if (!blocks.empty()) return List{blocks, pooled->heap};
    }
    const auto got = ask(wanted, [&] { return heaps_.allocate_list(wanted, out); });
    if (!got) return got.error();
    if (const auto done = scrub_all(got->blocks); !done) return failed(done.error());
    return List{got->blocks, got->heap};
  }

  // To a pool, scrubbed; where it cannot be scrubbed or is not kept, to its zone as it is. Errors: double_release of one
  // that is kept; H's.
  Result<void> deallocate(const Block& block) noexcept {
    if (Pools* const pools = pools_of(block)) {
      const auto is_wanted = pools->wants(block);
      if (!is_wanted) return is_wanted.error();
      if (*is_wanted && scrub(block)) {
        const auto is_kept = pools->put(block);
        if (!is_kept) return is_kept.error();
        if (*is_kept) return {};
      }
    }
    return heaps_.deallocate(block);
  }

 private:
  struct Pooled {
    unsigned heap = most_heaps;
    Pools* pools = nullptr;
  };

  std::span<const Pooled> pooled() const noexcept { return {pooled_.data(), count_}; }
  const Pooled* pooled_for(const Constraints& wanted) const noexcept {
    if (wanted.contiguous || wanted.bounds != Bounds() || wanted.align != 0 || wanted.cacheability || wanted.exportable) return nullptr;
    for (const Pooled& one : pooled()) {
      if (wanted.heaps == HeapMask::of(one.heap)) return &one;
    }
    return nullptr;
  }
  Pools* pools_of(const Block& block) const noexcept {
    for (const Pooled& one : pooled()) {
      if (one.pools->zone().tag() == block.zone_tag()) return one.pools;
    }
    return nullptr;
  }

  Result<void> scrub(const Block& block) noexcept { return source_.scrub(block, scrubber_); }
  // Of a request: all of them, or none is left.
  Result<void> scrub_all(std::span<Block> blocks) noexcept {
    for (const Block& block : blocks) {
      const auto done = scrub(block);
      if (done) continue;
      for (Block& one : blocks) static_cast<void>(heaps_.deallocate(std::exchange(one, Block())));
      return done;
    }
    return {};
  }
  static HeapError failed(const Error& error) noexcept {
    HeapError failed;
    failed.code = ErrorCode::none_satisfied;
    failed.last = error;
    return failed;
  }

  template <class Ask>
  auto ask(const Constraints& wanted, Ask&& ask) noexcept {
    const auto got = ask();
    return got || !wants_space(got.error()) || !drain(wanted.heaps) ? got : ask();
  }
  static bool wants_space(const HeapError& error) noexcept {
    for (const Refusal& refusal : error.refusals()) {
      if (is_want_of_space(refusal.code) || refusal.code == ErrorCode::list_too_short) return true;
    }
    return false;
  }
  // False: none of them has pools. (Where they were empty, somebody else may have drained them just before.)
  bool drain(HeapMask heaps) noexcept {
    bool has_pools = false;
    for (const Pooled& one : pooled()) {
      if (!heaps.contains(one.heap)) continue;
      one.pools->shrink(Pools::all);
      has_pools = true;
    }
    return has_pools;
  }

  H& heaps_;
  freestone::detail::BlockSource<H> source_;
  [[no_unique_address]] S scrubber_;
  std::array<Pooled, most_heaps> pooled_ = {};
  std::size_t count_ = 0;
};

}  // namespace freestone::device
