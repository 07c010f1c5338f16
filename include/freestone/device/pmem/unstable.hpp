// Regions of PMEM's whose memory may be powered off: they have a node from the start, and memory while a block of it is online.
// (shared/spec: PMEM 2.1, row 28.)
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/core/address.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/pmem/region.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/grants.hpp>

namespace freestone::device {

// The platform's part of a region.
template <class R>
concept PmemUnstableRegion = requires(R& region, PhysicalAddress base) {
  // Its memory begins there from here on. False: it cannot have that (notes, mappings), and nothing has changed.
  { region.arm(base) } noexcept -> std::same_as<bool>;
  // Its memory is about to go; nobody has the region open.
  { region.disarm() } noexcept;
};

// Without memory it cannot be opened. A stable region is never a member of PmemUnstable.
enum class PmemState : std::uint8_t { stable, unstable_no_memory, unstable_with_memory };

// All unstable regions of a board. Any thread, as L lets them; it stays where it is, and regions outlive it. R is called under its
// lock, and calls nothing of this.
template <PmemUnstableRegion R, class L, std::size_t most = 10>
class PmemUnstable {
  using Turn = typename OwnLock<L>::Turn;

 public:
  PmemUnstable() noexcept = default;
  PmemUnstable(const PmemUnstable&) = delete;
  PmemUnstable& operator=(const PmemUnstable&) = delete;

  // Registered, in this order; it has no memory before the next block comes online. Errors: EINVAL: the allocator is the system's, or
  // it is there; ENOMEM: there are too many.
  Errno add(R& region, const PmemSettings& settings) noexcept {
    const Turn turn(lock_);
    if (settings.allocator == PmemAllocator::system || find(region) != nullptr) return Errno::invalid;
    if (count_ == most) return Errno::no_memory;
    members_[count_++] = {.region = &region, .size = settings.size.value()};
    return Errno::none;
  }

  PmemState state(const R& region) noexcept {
    const Turn turn(lock_);
    const Member* const member = find(region);
    if (member == nullptr) return PmemState::stable;
    return member->has_memory ? PmemState::unstable_with_memory : PmemState::unstable_no_memory;
  }

  // A file of it is about to be opened; each is to be closed. Of a stable one there is nothing to do. Errors: ENODEV: it has no memory.
  Errno open(const R& region) noexcept {
    const Turn turn(lock_);
    const Member* const member = find(region);
    if (member == nullptr) return Errno::none;
    if (!member->has_memory) return Errno::no_device;
    ++files_;
    return Errno::none;
  }
  // After all that the file had is gone.
  void close(const R& region) noexcept {
    const Turn turn(lock_);
    if (find(region) != nullptr) --files_;
  }

  // Memory is there: all regions get their part of it, one behind the other from its start, as they were registered. One for which
  // there is no room, or that cannot have it, takes none. Where one of them has memory nothing happens.
  void online(PhysicalAddress start, Bytes length) noexcept {
    const Turn turn(lock_);
    if (!block_.is_empty()) return;
    std::uint64_t taken = 0;
    for (Member& member : members()) {
      if (member.size > length.value() - taken || !member.region->arm(start + Bytes(taken))) continue;
      member.has_memory = true;
      taken += member.size;
    }
    if (taken != 0) block_ = {start.value(), length};
  }
  // Memory is to go. Errors: EAGAIN: it has some of their memory, and somebody has one of them open; then it must stay.
  Errno offline(PhysicalAddress start, Bytes length) noexcept {
    const Turn turn(lock_);
    if (ByteRange{start.value(), length}.clipped_to(block_).is_empty()) return Errno::none;
    if (files_ != 0) return Errno::try_again;
    for (Member& member : members()) {
      if (member.has_memory) member.region->disarm();
      member.has_memory = false;
    }
    block_ = {};
    return Errno::none;
  }

 private:
  struct Member {
    R* region = nullptr;
    std::uint64_t size = 0;
    bool has_memory = false;
  };
  std::span<Member> members() noexcept { return std::span(members_).first(count_); }
  const Member* find(const R& region) noexcept {
    for (const Member& member : members()) {
      if (member.region == &region) return &member;
    }
    return nullptr;
  }

  OwnLock<L> lock_;  // of all that follows
  std::array<Member, most> members_ = {};
  std::size_t count_ = 0;
  std::uint64_t files_ = 0;  // open, of all of them
  ByteRange block_ = {};     // that they are in; empty: none has memory
};

}  // namespace freestone::device
