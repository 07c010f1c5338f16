// Blocks of one order that nobody has: what ION's system heap keeps of what came back, for whoever asks next.
// (shared/spec: ION 3.1.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/units.hpp>

namespace freestone::device {

inline constexpr Bytes page_size = 4096;

constexpr std::uint64_t pages_of(Bytes size) noexcept { return size.value() >> 12; }

// Places that several lists of blocks share: as many blocks as the maker has room for, in whichever of the lists.
class KeptBlocks {
 public:
  struct Place {
    Block block = {};
    std::uint32_t next = 0;
  };

  // The room must outlive it.
  explicit KeptBlocks(std::span<Place> room) noexcept : room_(room) {
    for (std::size_t at = 0; at < room.size(); ++at) room[at].next = static_cast<std::uint32_t>(at + 1);
  }
  KeptBlocks(const KeptBlocks&) = delete;
  KeptBlocks& operator=(const KeptBlocks&) = delete;

  bool has_room() const noexcept { return free_ != room_.size(); }

 private:
  friend class BlockQueue;

  std::span<Place> room_;
  std::uint32_t free_ = 0;  // the first of those that nobody uses
};

// First in, first out. One thread at a time.
class BlockQueue {
 public:
  // There must be room.
  void put(KeptBlocks& kept, const Block& block) noexcept {
    const std::uint32_t place = kept.free_;
    kept.free_ = kept.room_[place].next;
    kept.room_[place].block = block;
    if (count_++ != 0) kept.room_[last_].next = place;
    if (count_ == 1) first_ = place;
    last_ = place;
  }
  std::optional<Block> take(KeptBlocks& kept) noexcept {
    if (count_ == 0) return std::nullopt;
    const std::uint32_t place = first_;
    first_ = kept.room_[place].next;
    kept.room_[place].next = kept.free_;
    kept.free_ = place;
    --count_;
    return kept.room_[place].block;
  }
  bool contains(const KeptBlocks& kept, const Block& block) const noexcept {
    std::uint32_t at = first_;
    for (std::size_t left = count_; left != 0; --left, at = kept.room_[at].next) {
      if (kept.room_[at].block.offset() == block.offset()) return true;
    }
    return false;
  }
  std::size_t count() const noexcept { return count_; }

 private:
  std::size_t count_ = 0;
  std::uint32_t first_ = 0;
  std::uint32_t last_ = 0;
};

// Blocks of `size` bytes each, all of one zone: those of high memory, which not everybody can use, and the others. One
// thread at a time.
class PagePool {
 public:
  constexpr PagePool() noexcept = default;
  explicit constexpr PagePool(Bytes size) noexcept : size_(size) {}

  Bytes size() const noexcept { return size_; }
  std::size_t count(bool is_high) const noexcept { return (is_high ? high_ : low_).count(); }

  // There must be room.
  void put(KeptBlocks& kept, const Block& block, bool is_high) noexcept { (is_high ? high_ : low_).put(kept, block); }
  // A high one where there is one: low memory serves everybody.
  std::optional<Block> take(KeptBlocks& kept) noexcept { return (high_.count() != 0 ? high_ : low_).take(kept); }
  bool contains(const KeptBlocks& kept, const Block& block) const noexcept {
    return low_.contains(kept, block) || high_.contains(kept, block);
  }

  // When memory is wanted: blocks go back by give_back(block) until that many pages have gone, low ones first, then high
  // ones where the caller may take these; and how many pages went. 0: how many could go. Where give_back says no the
  // block stays, and that is all for this time.
  template <class GiveBack>
  std::uint64_t shrink(KeptBlocks& kept, std::uint64_t pages, bool may_take_high, GiveBack&& give_back) noexcept {
    if (pages == 0) return (low_.count() + (may_take_high ? high_.count() : 0)) * pages_of(size_);
    std::uint64_t gone = 0;
    while (gone < pages) {
      BlockQueue& from = low_.count() == 0 && may_take_high ? high_ : low_;
      const auto block = from.take(kept);
      if (!block) break;
      if (!give_back(*block)) {
        from.put(kept, *block);
        break;
      }
      gone += pages_of(size_);
    }
    return gone;
  }

 private:
  Bytes size_ = {};
  BlockQueue low_;
  BlockQueue high_;
};

}  // namespace freestone::device
