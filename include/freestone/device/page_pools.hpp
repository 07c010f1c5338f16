// A heap that keeps pages which came back, in a pool for each order, and serves requests in several blocks out of them.
// (shared/spec: ION 3.1.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone::device {

// Before a zone that grants powers of two of granules, of the orders 8, 4 and 0. To the zone, kept blocks are live; all
// that is kept can go back (shrink). Threads take turns at the lock, which is held while blocks go back to the zone, so
// that whoever shrinks and asks the zone again finds them; not while it is asked for one, or bytes are scrubbed.
template <class L>
class PagePools {
  using Turn = typename OwnLock<L>::Turn;

 public:
  static constexpr std::array<unsigned, 3> orders = {8, 4, 0};
  static constexpr std::uint64_t all = std::numeric_limits<std::uint64_t>::max();

  // Addresses from `first_high` on are high memory. The zone and the room must outlive it.
  PagePools(ZoneRef zone, std::span<KeptBlocks::Place> room, std::optional<std::uint64_t> first_high = {}) noexcept
      : zone_(zone), first_high_(first_high), kept_(room) {
    for (std::size_t at = 0; at < orders.size(); ++at) pools_[at] = PagePool(zone.granule().value() << orders[at]);
  }

  const ZoneRef& zone() const noexcept { return zone_; }

  // Blocks that together are so many bytes, whole granules: each time of the largest order that is no more than what is
  // left, and no more than the order before; of its pool, else of the zone. scrub(block) makes one of the zone's fit for
  // others, and says whether that was done; those of the pools are. Empty: there is not that much, `out` has no room for
  // so many, or one could not be scrubbed. Then none is taken.
  template <class Scrub>
  std::span<Block> allocate_list(Bytes size, std::span<Block> out, Scrub&& scrub) noexcept {
    if (size == 0 || size > zone_.size()) return {};
    std::size_t count = 0;
    std::size_t at = 0;
    for (Bytes left = bits::align_up(size.value(), zone_.granule().value()); left != 0;) {
      const auto block = next(left, at, scrub);
      if (!block) return put_back(out.first(count)), std::span<Block>();
      if (count == out.size()) return give_back(*block), put_back(out), std::span<Block>();
      out[count++] = *block;
      left = left - block->size();
    }
    return out.first(count);
  }

  // Is it a block that may be kept? No also while nobody keeps any. Errors: double_release of one that is kept.
  Result<bool> wants(const Block& block) noexcept {
    PagePool* const pool = pool_of(block.size());
    if (pool == nullptr || !zone_.owns(block)) return false;
    const Turn turn(lock_);
    if (pool->contains(kept_, block)) return twice(block);
    return skips_ == 0 && kept_.has_room();
  }
  // Keeps a block that wants() was true of, and that is scrubbed by now. False: it is to go to the zone. Errors: as wants.
  Result<bool> put(const Block& block) noexcept {
    PagePool& pool = *pool_of(block.size());
    const Turn turn(lock_);
    if (pool.contains(kept_, block)) return twice(block);
    if (skips_ != 0 || !kept_.has_room()) return false;
    pool.put(kept_, block, is_high(block));
    return true;
  }

  // While one of these lives nothing is kept: memory is wanted.
  class Skip {
   public:
    explicit Skip(PagePools& pools) noexcept : pools_(pools) { pools_.add_skip(1); }
    Skip(const Skip&) = delete;
    Skip& operator=(const Skip&) = delete;
    ~Skip() { pools_.add_skip(-1); }

   private:
    PagePools& pools_;
  };

  // As PagePool::shrink, of all orders, the largest first.
  std::uint64_t shrink(std::uint64_t pages, bool may_take_high = true) noexcept {
    const Turn turn(lock_);
    std::uint64_t gone = 0;
    for (PagePool& pool : pools_) {
      if (pages != 0 && gone >= pages) break;
      gone += pool.shrink(kept_, pages == 0 ? 0 : pages - gone, may_take_high,
                          [&](const Block& block) { return static_cast<bool>(zone_.deallocate(block)); });
    }
    return gone;
  }
  // In pages.
  std::uint64_t kept() noexcept { return shrink(0); }
  // How many blocks of each order, at one moment.
  struct Count {
    unsigned order = 0;
    std::size_t high = 0;
    std::size_t low = 0;
  };
  std::array<Count, orders.size()> counts() noexcept {
    const Turn turn(lock_);
    std::array<Count, orders.size()> all;
    for (std::size_t at = 0; at < orders.size(); ++at) all[at] = {orders[at], pools_[at].count(true), pools_[at].count(false)};
    return all;
  }

 private:
  static Error twice(const Block& block) noexcept {
    return {.code = ErrorCode::double_release, .asked = block.offset().value()};
  }
  PagePool* pool_of(Bytes size) noexcept {
    for (PagePool& pool : pools_) {
      if (pool.size() == size) return &pool;
    }
    return nullptr;
  }
  bool is_high(const Block& block) const noexcept {
    return first_high_ && (zone_.base() + block.offset()).value() >= *first_high_;
  }

  // Of the order at `at`, or a lower one, which is then the first for the next.
  template <class Scrub>
  std::optional<Block> next(Bytes left, std::size_t& at, Scrub& scrub) noexcept {
    for (; at < orders.size(); ++at) {
      if (pools_[at].size() > left) continue;
      if (const auto kept = take(pools_[at])) return kept;
      const auto fresh = zone_.allocate({.size = pools_[at].size()});
      if (!fresh) continue;
      if (scrub(*fresh)) return *fresh;
      give_back(*fresh);
      return std::nullopt;
    }
    return std::nullopt;
  }
  std::optional<Block> take(PagePool& pool) noexcept {
    const Turn turn(lock_);
    return pool.take(kept_);
  }
  void give_back(const Block& block) noexcept { static_cast<void>(zone_.deallocate(block)); }
  // They are scrubbed, and nobody had them.
  void put_back(std::span<Block> blocks) noexcept {
    for (Block& block : blocks) {
      const auto is_kept = put(block);
      if (is_kept && !*is_kept) give_back(block);
      block = Block();
    }
  }
  void add_skip(int one) noexcept {
    const Turn turn(lock_);
    skips_ += one;
  }

  ZoneRef zone_;
  std::optional<std::uint64_t> first_high_;
  OwnLock<L> lock_;
  KeptBlocks kept_;
  std::array<PagePool, orders.size()> pools_;
  int skips_ = 0;
};

}  // namespace freestone::device
