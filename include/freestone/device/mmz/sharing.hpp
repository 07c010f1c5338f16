// Which processes may have a block of MMZ's that another file has: G5's sharing. (shared/spec: MMZ 1.5, "G5 sharing".)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <freestone/device/answer.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/handle_table.hpp>

namespace freestone::device {

// A block, as others are told of it. Process 0 is none: it is what a system calls those that it does not see.
struct MmzSharedBlock {
  std::uint32_t handle = 0;  // a number of its own
  BufferId buffer = {};
  std::uint64_t physical = 0;
  std::uint64_t length = 0;  // in whole pages
  bool is_for_all = false;
  std::uint32_t count = 0;                     // of the processes that may have it
  std::array<std::int32_t, 5> processes = {};  // the one that allocated it, which is its owner, then the others; 0 behind them

  constexpr bool has(std::uint64_t at) const noexcept { return at >= physical && at - physical < length; }
  constexpr bool is_owner(std::int32_t process) const noexcept { return process != 0 && process == processes[0]; }
  constexpr bool lists(std::int32_t process) const noexcept { return place_of(process) != count; }
  constexpr bool may_have(std::int32_t process) const noexcept { return is_for_all || (process != 0 && lists(process)); }

  // Once. There is room for it.
  constexpr void add(std::int32_t process) noexcept {
    if (!lists(process)) processes[count++] = process;
  }
  // Those behind it move up. The owner stays.
  constexpr void remove(std::int32_t process) noexcept {
    std::uint32_t place = place_of(process);
    if (place == 0 || place == count) return;
    for (--count; place != count; ++place) processes[place] = processes[place + 1];
    processes[count] = 0;
  }

 private:
  // `count`: it is not there.
  constexpr std::uint32_t place_of(std::int32_t process) const noexcept {
    std::uint32_t place = 0;
    while (place != count && processes[place] != process) ++place;
    return place;
  }
};

// Up to `most` blocks, each from when it was allocated until it is freed. Where processes are not isolated everybody may have each,
// and nobody changes that. Any thread, as L lets them; it stays where it is. Cost of each call: O(blocks).
//
// A handle is a Number that counts up, and no address: that of a block which is gone is nobody's until all others have been somebody's.
template <class L, std::size_t most, class Number = std::uint32_t>
class MmzSharing {
  using Turn = typename OwnLock<L>::Turn;

 public:
  explicit MmzSharing(bool isolates_processes) noexcept : isolates_(isolates_processes) {}

  // A block of that process's: its handle. 0: there are so many already, and nobody else will ever have it.
  std::uint32_t add(BufferId buffer, std::uint64_t physical, std::uint64_t length, std::int32_t process) noexcept {
    const Turn turn(lock_);
    if (count_ == most) return 0;
    do ++last_;
    while (last_ == 0 || find(last_) != nullptr);
    blocks_[count_++] = {last_, buffer, physical, length, !isolates_, 1, {process}};
    return last_;
  }
  void remove(std::uint32_t handle) noexcept {
    const Turn turn(lock_);
    if (MmzSharedBlock* const block = find(handle)) *block = blocks_[--count_];
  }
  // Nothing is shared with that process any more; what it owns stays its own.
  void forget(std::int32_t process) noexcept {
    const Turn turn(lock_);
    for (std::size_t at = 0; at < count_; ++at) blocks_[at].remove(process);
  }

  // The block of that handle, and the one that has that byte, as they are at the moment.
  std::optional<MmzSharedBlock> of(std::uint64_t handle) noexcept {
    const Turn turn(lock_);
    const MmzSharedBlock* const found = find(handle);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  std::optional<MmzSharedBlock> at(std::uint64_t physical) noexcept {
    const Turn turn(lock_);
    for (std::size_t at = 0; at < count_; ++at) {
      if (blocks_[at].has(physical)) return blocks_[at];
    }
    return std::nullopt;
  }

  // --- commands of the process `caller`; EINVAL: no block has that handle; EPERM: anything else that is wrong ---

  Errno share(std::uint64_t handle, std::int32_t caller, std::int32_t with) noexcept {
    return change(handle, [&](MmzSharedBlock& block) {
      const bool is_full = block.count == block.processes.size();
      if (block.is_for_all || !block.is_owner(caller) || block.is_owner(with) || is_full) return Errno::not_permitted;
      return block.add(with), Errno::none;
    });
  }
  Errno unshare(std::uint64_t handle, std::int32_t caller, std::int32_t with) noexcept {
    return change(handle, [&](MmzSharedBlock& block) {
      if (block.is_for_all || !block.lists(with) || block.is_owner(with)) return Errno::not_permitted;
      if (!block.is_owner(caller) && caller != with) return Errno::not_permitted;
      return block.remove(with), Errno::none;
    });
  }
  // Everybody may have it, or those in its list.
  Errno share_all(std::uint64_t handle, std::int32_t caller, bool is_for_all) noexcept {
    return change(handle, [&](MmzSharedBlock& block) {
      if (block.is_for_all == is_for_all) return Errno::none;
      if (!block.is_owner(caller)) return Errno::not_permitted;
      return block.is_for_all = is_for_all, Errno::none;
    });
  }

 private:
  MmzSharedBlock* find(std::uint64_t handle) noexcept {
    for (std::size_t at = 0; at < count_; ++at) {
      if (blocks_[at].handle == handle) return &blocks_[at];
    }
    return nullptr;
  }
  template <class Act>
  Errno change(std::uint64_t handle, Act&& act) noexcept {
    const Turn turn(lock_);
    MmzSharedBlock* const block = find(handle);
    if (block == nullptr) return Errno::invalid;
    return isolates_ ? act(*block) : Errno::none;
  }

  const bool isolates_;
  OwnLock<L> lock_;  // of all that follows
  std::array<MmzSharedBlock, most> blocks_ = {};
  std::size_t count_ = 0;
  Number last_ = 0;
};

}  // namespace freestone::device
