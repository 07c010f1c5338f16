// Buffers that nobody has any more, and that are freed when there is time for it. (shared/spec: ION 4.5.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/units.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/share/buffer_ref.hpp>

namespace freestone::device {

// Dead buffers of all heaps of the Device D, each heap's last one first, and how many bytes of each heap wait. Somebody
// with time to spare calls work(); whoever needs memory at once, drain(). Where nobody works, or as many wait as there is
// room for, nothing is taken, and whoever let go frees by himself.
//
// Two locks: that of the lists is held for no call of anybody else's; the other while a buffer's blocks go back, so that
// whoever drains waits for what another is just freeing, and then finds it free. A buffer's bytes end under neither.
template <class D, class L>
class DeferredFree {
  using Turn = typename OwnLock<L>::Turn;

 public:
  struct Place {
    std::optional<DeadBuffer<D>> dead = {};
    Bytes size = {};
    std::uint32_t next = 0;
  };

  // Room for as many as may wait; it must outlive this, and the device too: nobody works any more when that ends.
  explicit DeferredFree(std::span<Place> room) noexcept : room_(room) {
    for (std::size_t at = 0; at < room.size(); ++at) room[at].next = static_cast<std::uint32_t>(at + 1);
    lists_.fill(none);
  }
  DeferredFree(const DeferredFree&) = delete;
  DeferredFree& operator=(const DeferredFree&) = delete;

  // From now on somebody works; or nobody does, and nothing waits any more.
  void begin() noexcept { set_working(true); }
  void end() noexcept {
    set_working(false);
    drain(HeapMask::all());
  }

  // False, and `dead` as it was: the caller is to free it.
  bool add(unsigned heap, DeadBuffer<D>& dead) noexcept {
    const Turn turn(lists_lock_);
    if (!is_working_ || free_ == room_.size()) return false;
    const std::uint32_t at = free_;
    Place& place = room_[at];
    free_ = place.next;
    place.size = dead.parts().size;
    place.dead.emplace(std::move(dead));
    place.next = std::exchange(lists_[heap], at);
    bytes_[heap] = bytes_[heap] + place.size;
    return true;
  }

  // Frees one; false where there is none.
  bool work() noexcept { return free_one(HeapMask::all()) != 0; }
  // Frees those of these heaps, until so many bytes are free, or all of them; and says how many bytes those were. Whoever
  // was at it before is through when this returns.
  Bytes drain(HeapMask heaps, Bytes enough = std::numeric_limits<std::uint64_t>::max()) noexcept {
    Bytes freed;
    while (freed < enough) {
      const Bytes one = free_one(heaps);
      if (one == 0) break;
      freed = freed + one;
    }
    return freed;
  }

  // What act() returns, while which nobody frees any: so each waits still, or is free.
  template <class Act>
  auto at_rest(Act&& act) noexcept {
    const Turn turn(freeing_lock_);
    return act();
  }
  // Of that heap.
  Bytes waiting(unsigned heap) noexcept {
    const Turn turn(lists_lock_);
    return bytes_[heap];
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  void set_working(bool is_working) noexcept {
    const Turn turn(lists_lock_);
    is_working_ = is_working;
  }

  // How many bytes it had; a buffer has some.
  Bytes free_one(HeapMask heaps) noexcept {
    std::optional<typename D::Extra> rest;  // its bytes end with it, when nobody waits for that
    const Turn turn(freeing_lock_);
    std::optional<DeadBuffer<D>> dead;
    const Bytes size = take(heaps, dead);
    if (dead) rest.emplace(dead->end());
    return size;
  }
  Bytes take(HeapMask heaps, std::optional<DeadBuffer<D>>& dead) noexcept {
    const Turn turn(lists_lock_);
    for (unsigned heap = 0; heap < most_heaps; ++heap) {
      const std::uint32_t at = lists_[heap];
      if (at == none || !heaps.contains(heap)) continue;
      Place& place = room_[at];
      dead.emplace(*std::move(place.dead));
      place.dead.reset();
      lists_[heap] = std::exchange(place.next, free_);
      free_ = at;
      bytes_[heap] = bytes_[heap] - place.size;
      return place.size;
    }
    return 0;
  }

  std::span<Place> room_;
  OwnLock<L> freeing_lock_;  // taken before the other
  OwnLock<L> lists_lock_;
  bool is_working_ = false;
  std::uint32_t free_ = 0;
  std::array<std::uint32_t, most_heaps> lists_;
  std::array<Bytes, most_heaps> bytes_ = {};
};

}  // namespace freestone::device
