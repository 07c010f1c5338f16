// Which of the program's addresses show which bytes of which views. libc alone is used, and nothing is allocated: it is
// asked inside hooks, beside threads, and in children.
#pragma once

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>

#include "system.hpp"

namespace freestone::interposer {

inline std::size_t page_size() noexcept { return static_cast<std::size_t>(::getpagesize()); }
inline std::size_t whole_pages(std::size_t length) noexcept { return (length + page_size() - 1) & ~(page_size() - 1); }

// Bytes of a view, from `at` on, at addresses of the program's.
struct ViewRange {
  std::uintptr_t address = 0;
  std::size_t length = 0;
  std::uint64_t view = 0;
  std::uint64_t at = 0;
  int protection = 0;
  int sharing = MAP_SHARED;    // or MAP_PRIVATE
  bool is_in_children = true;  // not: MADV_DONTFORK
  bool is_only_read = false;   // a shared one of a descriptor that is
  std::uint16_t anchor = 0;    // its view's number in the table, which says it

  std::uintptr_t end() const noexcept { return address + length; }
};

// One page of the file behind a view, which nobody may touch: as long as it is there the kernel counts the file as held, as
// it would for the mapping itself.
struct ViewAnchor {
  std::uint64_t view = 0;  // 0: none
  std::uintptr_t address = 0;
  std::uint64_t changes = 0;  // as often had its parts changed when they were shown
  std::uintptr_t lowest = 0;  // no range of the view begins below, says the table
  bool is_to_be_shown = false;
  std::uint16_t ranges = 0;  // of the view, which the table counts
  std::uint16_t next = 0;    // of those that are free, or that ended together; 0: none
};
inline void unmap_anchor(const ViewAnchor& anchor) noexcept {
  if (anchor.address != 0) static_cast<void>(raw(SYS_munmap, anchor.address, page_size()));
}

// All of the process. Everything but is_empty and for_each_ended is done in one's turn (ViewTurn).
// Its memory is taken when there is room to be for a first view: 0.6 MiB of addresses, of which only the pages that have
// ranges and anchors are ever touched.
// Cost, with n ranges: what is asked or changed by addresses is found in log n, and n ranges are moved at worst where one comes
// or goes; what is asked by a view's number looks at all numbers, eight bytes each, and at what lies between the view's ranges.
class ViewTable {
 public:
  static constexpr std::size_t most_views = 4096;
  static constexpr std::size_t most_ranges = 2 * most_views;

  // Views that ended, one after the other.
  struct Ended {
    std::uint16_t first = 0;
    std::uint32_t forks = 0;
  };

  // Cost: a look at one number.
  bool is_empty() const noexcept { return count_.load(std::memory_order_acquire) == 0; }
  // Whether ranges may end at all of these addresses, and others begin.
  bool has_room(std::initializer_list<std::uintptr_t> addresses) const noexcept {
    const auto is_inside = [&](std::uintptr_t address) {
      const ViewRange* const there = at(address);
      return there != nullptr && there->address != address;
    };
    return count() + static_cast<std::size_t>(std::count_if(addresses.begin(), addresses.end(), is_inside)) <= most_ranges;
  }
  // Whether there is room for a view.
  bool has_room_for_view() noexcept {
    if (room_ == nullptr) room_ = static_cast<Room*>(own_pages(sizeof(Room)));
    return room_ != nullptr && count() + 3 <= most_ranges && (free_ != 0 || used_ != most_views);
  }

  // Where nothing is.
  void add(ViewRange range, const ViewAnchor& anchor) noexcept {
    range.anchor = free_ != 0 ? free_ : ++used_;
    ViewAnchor& place = anchor_of(range);
    if (free_ != 0) free_ = place.next;
    place = anchor;
    place.lowest = range.address;
    room_->numbers[range.anchor - 1U] = anchor.view;
    insert(place_of(range.address), range);
  }
  // visit(range) for each that has some of these addresses, as if it had no others.
  template <class Visit>
  void for_each(std::uintptr_t from, std::uintptr_t to, Visit&& visit) const noexcept {
    for (std::size_t place = place_of(from); place < count() && ranges()[place].address < to; ++place) {
      visit(clipped(ranges()[place], from, to));
    }
  }
  // The one that has that address; null: none.
  const ViewRange* at(std::uintptr_t address) const noexcept {
    const std::size_t place = place_of(address);
    return place < count() && ranges()[place].address <= address ? &ranges()[place] : nullptr;
  }
  bool has_any(std::uintptr_t from, std::uintptr_t to) const noexcept {
    const std::size_t place = place_of(from);
    return place < count() && ranges()[place].address < to;
  }
  // The first of the view's that has some of these addresses; null: none.
  const ViewRange* first_of(std::uint64_t view, std::uintptr_t from, std::uintptr_t to) const noexcept {
    for (std::size_t place = place_of(from); place < count() && ranges()[place].address < to; ++place) {
      if (ranges()[place].view == view) return &ranges()[place];
    }
    return nullptr;
  }
  // visit(range) for each of the view's that has some of these bytes of it, as if it had no others.
  template <class Visit>
  void for_each_of(std::uint64_t view, std::uint64_t at, std::uint64_t length, Visit&& visit) const noexcept {
    const ViewAnchor* const anchor = find(view);
    if (anchor == nullptr) return;
    std::size_t left = anchor->ranges;
    for (std::size_t place = place_of(anchor->lowest); left != 0 && place < count(); ++place) {
      const ViewRange& range = ranges()[place];
      if (range.view != view) continue;
      --left;
      const std::uint64_t from = std::max(at, range.at), to = std::min(at + length, range.at + range.length);
      if (from >= to) continue;
      const std::uintptr_t start = range.address + static_cast<std::uintptr_t>(from - range.at);
      visit(clipped(range, start, start + static_cast<std::uintptr_t>(to - from)));
    }
  }

  // Nothing is there any more.
  void cut(std::uintptr_t from, std::uintptr_t to) noexcept {
    if (from >= to) return;
    const std::size_t first = split(from), last = split(to);
    for (std::size_t place = first; place < last; ++place) let_go(ranges()[place]);
    erase(first, last);
  }
  // change_one(range), but for its addresses, for what is there, which is made a range of its own; those that are alike then are
  // one again.
  template <class Change>
  void change(std::uintptr_t from, std::uintptr_t to, Change&& change_one) noexcept {
    if (from >= to) return;
    const std::size_t first = split(from), last = split(to);
    for (std::size_t place = first; place < last; ++place) change_one(ranges()[place]);
    merge(first, last);
  }
  // What was there begins at `address` now, where nothing is.
  void move(std::uintptr_t from, std::uintptr_t to, std::uintptr_t address) noexcept {
    if (from >= to || from == address) return;
    const std::size_t first = split(from), last = split(to), behind = place_of(address);
    const bool is_up = address > from;
    const std::size_t moved = is_up ? behind - (last - first) : behind;
    for (std::size_t place = first; place < last; ++place) {
      ViewRange& range = ranges()[place];
      range.address += address - from;
      anchor_of(range).lowest = std::min(anchor_of(range).lowest, range.address);
    }
    ViewRange* const all = ranges().data();
    is_up ? std::rotate(all + first, all + last, all + behind) : std::rotate(all + behind, all + first, all + last);
    merge(moved, moved + (last - first));
  }
  // The next of a view's changes is shown. (One that was shown with others before is not counted: then later more is
  // shown anew than must be.)
  void note_change(std::uint64_t view, std::uint64_t changes) noexcept {
    ViewAnchor* const anchor = find(view);
    if (anchor != nullptr && anchor->changes + 1 == changes) anchor->changes = changes;
  }
  // visit(anchor) for each view.
  template <class Visit>
  void for_each_view(Visit&& visit) noexcept {
    for (std::uint16_t place = 1; place <= used_; ++place) {
      if (anchor_at(place).ranges != 0) visit(anchor_at(place));
    }
  }
  ViewAnchor& anchor_of(const ViewRange& range) const noexcept { return anchor_at(range.anchor); }

  // The views that have lost their last range since this was asked last. They are the caller's, who asks and tells of them
  // as he likes, and lets them be forgotten.
  Ended take_ended() noexcept { return {std::exchange(ended_, std::uint16_t{0}), forks_}; }
  // visit(number) for each. Not in one's turn.
  template <class Visit>
  void for_each_ended(const Ended& ended, Visit&& visit) const noexcept {
    for (std::uint16_t place = ended.first; place != 0 && ended.forks == forks_; place = anchor_at(place).next) {
      visit(anchor_at(place).view);
    }
  }
  void forget(const Ended& ended) noexcept {
    for (std::uint16_t place = ended.first, next = 0; place != 0 && ended.forks == forks_; place = next) {
      next = anchor_at(place).next;
      set_free(place);
    }
  }
  // The process is a child: what was not to be its is not. Those views are the parent's still, as are those that ended and
  // which somebody there tells of.
  void become_child() noexcept {
    ++forks_;
    std::size_t kept = 0;
    for (const ViewRange& range : ranges()) range.is_in_children ? void(ranges()[kept++] = range) : let_go(range);
    count_.store(kept, std::memory_order_release);
    free_ = ended_ = 0;
    for (std::uint16_t place = used_; place != 0; --place) {
      if (anchor_at(place).ranges == 0) set_free(place);
    }
  }

  // The numbers of all views, from that place in the table on; how many, and `place` is behind them.
  std::size_t numbers(std::size_t& place, std::uint64_t* to, std::size_t most) const noexcept {
    std::size_t found = 0;
    for (; place < used_ && found < most; ++place) {
      const ViewAnchor& anchor = room_->anchors[place];
      if (anchor.ranges != 0) to[found++] = anchor.view;
    }
    return found;
  }

  pthread_mutex_t& mutex() noexcept { return mutex_; }

 private:
  struct Room {
    std::array<ViewRange, most_ranges> ranges;  // ascending
    std::array<ViewAnchor, most_views> anchors;
    std::array<std::uint64_t, most_views> numbers;  // of the anchors' views: side by side, where one is looked for
  };

  std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
  std::span<ViewRange> ranges() const noexcept { return {room_ == nullptr ? nullptr : room_->ranges.data(), count()}; }
  ViewAnchor& anchor_at(std::uint16_t place) const noexcept { return room_->anchors[place - 1U]; }

  // The anchor of the view of that number; null: there is none.
  ViewAnchor* find(std::uint64_t view) const noexcept {
    if (used_ == 0) return nullptr;
    const std::uint64_t* const first = room_->numbers.data();
    const std::uint64_t* const found = std::find(first, first + used_, view);
    return found == first + used_ ? nullptr : &room_->anchors[static_cast<std::size_t>(found - first)];
  }
  // Of the first range that ends behind that address.
  std::size_t place_of(std::uintptr_t address) const noexcept {
    const auto all = ranges();
    return static_cast<std::size_t>(
        std::partition_point(all.begin(), all.end(), [&](const ViewRange& one) { return one.end() <= address; }) - all.begin());
  }
  // None lies across that address any more. The place of the first behind it.
  std::size_t split(std::uintptr_t address) noexcept {
    const std::size_t place = place_of(address);
    if (place == count() || ranges()[place].address >= address) return place;
    ViewRange& before = ranges()[place];
    const ViewRange behind = clipped(before, address, before.end());
    before.length = address - before.address;
    insert(place + 1, behind);
    return place + 1;
  }
  // Those at these places and beside them that are alike are one.
  void merge(std::size_t first, std::size_t last) noexcept {
    first -= first != 0;
    last = std::min(last + 1, count());
    std::size_t kept = first;
    for (std::size_t place = first + 1; place < last; ++place) {
      ViewRange& before = ranges()[kept];
      const ViewRange& next = ranges()[place];
      const bool is_more = before.view == next.view && before.end() == next.address && before.at + before.length == next.at &&
                           before.protection == next.protection && before.is_in_children == next.is_in_children;
      is_more ? void((before.length += next.length, --anchor_of(next).ranges)) : void(ranges()[++kept] = next);
    }
    erase(kept + 1, last);
  }
  void insert(std::size_t place, const ViewRange& range) noexcept {
    if (count() == most_ranges) return;  // has_room was asked
    ViewRange* const all = room_->ranges.data();
    std::copy_backward(all + place, all + count(), all + count() + 1);
    all[place] = range;
    ++anchor_of(range).ranges;
    count_.store(count() + 1, std::memory_order_release);
  }
  void erase(std::size_t first, std::size_t last) noexcept {
    if (first >= last) return;
    ViewRange* const all = ranges().data();
    std::copy(all + last, all + count(), all + first);
    count_.store(count() - (last - first), std::memory_order_release);
  }
  // One range of that view less.
  void let_go(const ViewRange& range) noexcept {
    ViewAnchor& anchor = anchor_of(range);
    if (--anchor.ranges == 0) anchor.next = std::exchange(ended_, range.anchor);
  }
  void set_free(std::uint16_t place) noexcept {
    unmap_anchor(anchor_at(place));
    anchor_at(place) = {.next = std::exchange(free_, place)};
    room_->numbers[place - 1U] = 0;
  }
  static ViewRange clipped(ViewRange range, std::uintptr_t from, std::uintptr_t to) noexcept {
    const std::uintptr_t start = std::max(from, range.address), end = std::min(to, range.end());
    range.length = start < end ? end - start : 0;
    range.at += start < end ? start - range.address : 0;
    range.address = start;
    return range;
  }

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  std::atomic<std::size_t> count_ = 0;  // of ranges
  Room* room_ = nullptr;
  std::uint16_t used_ = 0;   // so many anchors were ever any view's, the first
  std::uint16_t free_ = 0;   // the first of those that are no view's any more
  std::uint16_t ended_ = 0;  // the first of those whose views ended, and which nobody took
  std::uint32_t forks_ = 0;
};

}  // namespace freestone::interposer
