// Which of the program's addresses show which bytes of which views, and how they come to show others.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "connection.hpp"

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

  std::uintptr_t end() const noexcept { return address + length; }
};

// One page of the file behind a view, which nobody may touch: as long as it is there the kernel counts the file as held, as
// it would for the mapping itself.
struct ViewAnchor {
  std::uint64_t view = 0;  // 0: none
  std::uintptr_t address = 0;
  std::uint64_t changes = 0;  // as often had its parts changed when they were shown
};

// All of the process. Everything but is_empty is done in one's turn (ViewTurn).
class ViewTable {
 public:
  static constexpr std::size_t most_ranges = 512;
  static constexpr std::size_t most_views = 256;
  using Ended = std::array<ViewAnchor, most_views>;

  // Cost: a look at one number.
  bool is_empty() const noexcept { return count_.load(std::memory_order_acquire) == 0; }
  // Whether these addresses may become ranges of their own; and whether there is room for a view.
  bool has_room(std::uintptr_t from, std::uintptr_t to) const noexcept {
    std::size_t more = 0;
    for (std::size_t at = 0; at < count(); ++at) {
      const ViewRange part = clipped(ranges_[at], from, to);
      if (part.length != 0) more += (part.address != ranges_[at].address) + (part.end() != ranges_[at].end());
    }
    return count() + more <= most_ranges;
  }
  bool has_room_for_view() const noexcept {
    return count() + 3 <= most_ranges && std::any_of(anchors_.begin(), anchors_.end(), [](const ViewAnchor& one) { return one.view == 0; });
  }

  void add(const ViewRange& range, const ViewAnchor& anchor) noexcept {
    *std::find_if(anchors_.begin(), anchors_.end(), [](const ViewAnchor& one) { return one.view == 0; }) = anchor;
    push(range);
  }
  // visit(range) for each that has some of these addresses, as if it had no others.
  template <class Visit>
  void for_each(std::uintptr_t from, std::uintptr_t to, Visit&& visit) const noexcept {
    for (std::size_t at = 0; at < count(); ++at) {
      const ViewRange part = clipped(ranges_[at], from, to);
      if (part.length != 0) visit(part);
    }
  }
  // The one that has that address; null: none.
  const ViewRange* at(std::uintptr_t address) const noexcept {
    const auto* const end = ranges_.data() + count();
    const auto* const found =
        std::find_if(ranges_.data(), end, [&](const ViewRange& one) { return address >= one.address && address < one.end(); });
    return found == end ? nullptr : found;
  }
  bool has_any(std::uintptr_t from, std::uintptr_t to) const noexcept {
    bool is_any = false;
    for_each(from, to, [&](const ViewRange&) { is_any = true; });
    return is_any;
  }
  // visit(range) for each of the view's that has some of these bytes of it, as if it had no others.
  template <class Visit>
  void for_each_of(std::uint64_t view, std::uint64_t at, std::uint64_t length, Visit&& visit) const noexcept {
    for (std::size_t place = 0; place < count(); ++place) {
      const ViewRange& range = ranges_[place];
      const std::uint64_t from = std::max(at, range.at), to = std::min(at + length, range.at + range.length);
      if (range.view != view || from >= to) continue;
      const std::uintptr_t start = range.address + static_cast<std::uintptr_t>(from - range.at);
      visit(clipped(range, start, start + static_cast<std::uintptr_t>(to - from)));
    }
  }

  // Nothing is there any more.
  void cut(std::uintptr_t from, std::uintptr_t to) noexcept {
    change(from, to, [](ViewRange& range) { range.length = 0; });
  }
  // change_one(range) for what is there, which is made a range of its own; those that are alike then are one again.
  template <class Change>
  void change(std::uintptr_t from, std::uintptr_t to, Change&& change_one) noexcept {
    for (std::size_t place = 0, all = count(); place < all; ++place) {
      const ViewRange whole = ranges_[place];
      ViewRange part = clipped(whole, from, to);
      if (part.length == 0) continue;
      const ViewRange before = clipped(whole, whole.address, part.address), after = clipped(whole, part.end(), whole.end());
      change_one(part);
      ranges_[place] = part;
      if (before.length != 0) push(before);
      if (after.length != 0) push(after);
    }
    count_.store(static_cast<std::size_t>(std::remove_if(ranges_.begin(), ranges_.begin() + static_cast<std::ptrdiff_t>(count()),
                                                         [](const ViewRange& one) { return one.length == 0; }) -
                                          ranges_.begin()),
                 std::memory_order_release);
    if (count() > most_ranges / 4) merge();
  }
  // The next of a view's changes is shown. (One that was shown with others before is not counted: then later more is
  // shown anew than must be.)
  void note_change(std::uint64_t view, std::uint64_t changes) noexcept {
    for (ViewAnchor& anchor : anchors_) {
      if (anchor.view == view && anchor.changes + 1 == changes) anchor.changes = changes;
    }
  }
  // visit(anchor) for each view.
  template <class Visit>
  void for_each_view(Visit&& visit) noexcept {
    for (ViewAnchor& anchor : anchors_) {
      if (anchor.view != 0) visit(anchor);
    }
  }
  // The anchors of views that have no range left, which are forgotten; how many.
  std::size_t take_ended(Ended& ended) noexcept {
    std::size_t found = 0;
    for (ViewAnchor& anchor : anchors_) {
      const auto* const end = ranges_.data() + count();
      const bool is_shown = std::any_of(static_cast<const ViewRange*>(ranges_.data()), end,
                                        [&](const ViewRange& range) { return range.view == anchor.view; });
      if (anchor.view != 0 && !is_shown) ended[found++] = std::exchange(anchor, {});
    }
    return found;
  }
  // The process is a child: what was not to be its is not. Those views are the parent's still.
  void become_child() noexcept {
    change(0, ~std::uintptr_t{0}, [](ViewRange& range) { range.length = range.is_in_children ? range.length : 0; });
    Ended ended;
    for (std::size_t at = 0, all = take_ended(ended); at < all; ++at) static_cast<void>(raw(SYS_munmap, ended[at].address, page_size()));
  }

  // The numbers of all views, from that place in the table on; how many, and `place` is behind them.
  std::size_t numbers(std::size_t& place, std::uint64_t* to, std::size_t most) const noexcept {
    std::size_t found = 0;
    for (; place < most_views && found < most; ++place) {
      if (anchors_[place].view != 0) to[found++] = anchors_[place].view;
    }
    return found;
  }

  pthread_mutex_t& mutex() noexcept { return mutex_; }

 private:
  std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
  void push(const ViewRange& range) noexcept {
    if (count() == most_ranges) return;  // has_room was asked
    ranges_[count()] = range;
    count_.store(count() + 1, std::memory_order_release);
  }
  void merge() noexcept {
    std::sort(ranges_.begin(), ranges_.begin() + static_cast<std::ptrdiff_t>(count()),
              [](const ViewRange& one, const ViewRange& other) { return one.address < other.address; });
    std::size_t kept = 0;
    for (std::size_t at = 1; at < count(); ++at) {
      ViewRange& last = ranges_[kept];
      const ViewRange& next = ranges_[at];
      const bool is_more = last.view == next.view && last.end() == next.address && last.at + last.length == next.at &&
                           last.protection == next.protection && last.is_in_children == next.is_in_children;
      is_more ? void(last.length += next.length) : void(ranges_[++kept] = next);
    }
    count_.store(kept + 1, std::memory_order_release);
  }
  static ViewRange clipped(ViewRange range, std::uintptr_t from, std::uintptr_t to) noexcept {
    const std::uintptr_t start = std::max(from, range.address), end = std::min(to, range.end());
    range.length = start < end ? end - start : 0;
    range.at += start < end ? start - range.address : 0;
    range.address = start;
    return range;
  }
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  std::atomic<std::size_t> count_ = 0;
  std::array<ViewRange, most_ranges> ranges_ = {};
  std::array<ViewAnchor, most_views> anchors_ = {};
};
inline constinit ViewTable views;

// No signal comes meanwhile: its handler may map too.
class ViewTurn {
 public:
  ViewTurn() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
    pthread_mutex_lock(&views.mutex());
  }
  ViewTurn(const ViewTurn&) = delete;
  ViewTurn& operator=(const ViewTurn&) = delete;
  ~ViewTurn() {
    pthread_mutex_unlock(&views.mutex());
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t before_;
};

inline bool find_view_at(std::uintptr_t address, linux_user::MappedView& there) noexcept {
  if (views.is_empty()) return false;
  const ViewTurn turn;
  const ViewRange* const range = views.at(address);
  if (range != nullptr) there = {range->address, range->length, range->view, range->at};
  return range != nullptr;
}

// --- in one's turn ---

// Bytes of that file at all of the range's addresses.
inline bool show_file(const ViewRange& range, int sharing, int fd, std::uint64_t offset) noexcept {
  if (range.length == 0) return true;
  if (!map_pages(range.address, range.length, range.protection, sharing, fd, offset)) return false;
  return range.is_in_children || raw(SYS_madvise, range.address, range.length, MADV_DONTFORK) == 0;
}
// Zeros of the program's own.
inline bool show_nothing(const ViewRange& range) noexcept {
  return show_file(range, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

// What the view has at this moment. False where the server does not say, or the program has no room: then there may be
// zeros.
inline bool show(const ViewRange& range) noexcept {
  const std::uint64_t end = range.at + range.length;
  const auto some = [&](std::uint64_t from, std::uint64_t to) {
    ViewRange part = range;
    part.address += static_cast<std::uintptr_t>(from - range.at);
    part.length = static_cast<std::size_t>(to - from);
    part.at = from;
    return part;
  };
  for (std::uint64_t at = range.at; at < end;) {
    Reply reply;
    CameFds fds;
    const std::int64_t told = ask({.ask = Ask::parts, .number = range.view, .address = at}, nullptr, 0, -1, reply, fds);
    if (told < 0 || static_cast<std::uint64_t>(told) <= at) return show_nothing(some(at, end)), false;
    const std::uint64_t to = std::min(end, static_cast<std::uint64_t>(told));
    bool is_shown = true;
    for (std::size_t place = 0; place + sizeof(linux_user::MapPart) <= reply.payload_length; place += sizeof(linux_user::MapPart)) {
      linux_user::MapPart part;
      std::memcpy(&part, reply.payload.data() + place, sizeof part);
      if (part.fd >= fds.size() || part.at < at || part.at >= to) continue;
      const std::uint64_t part_end = std::min(to, part.at + part.length);
      const ViewRange there = some(part.at, part_end);
      is_shown = show_nothing(some(at, part.at)) && is_shown;
      const bool is_there = show_file(there, range.sharing, fds[part.fd], part.offset);
      is_shown = (is_there || (show_nothing(there), false)) && is_shown;
      at = part_end;
    }
    is_shown = show_nothing(some(at, to)) && is_shown;
    if (!is_shown) return show_nothing(some(to, end)), false;
    at = to;
  }
  return true;
}

// Of each view what others may have changed while nobody told. What did not change is left alone: so what is private
// stays.
inline void show_changes() noexcept {
  views.for_each_view([](ViewAnchor& anchor) {
    Reply reply;
    CameFds fds;
    const std::int64_t told = ask({.ask = Ask::parts, .number = anchor.view}, nullptr, 0, -1, reply, fds);
    if (told >= 0 && std::exchange(anchor.changes, reply.address) == reply.address) return;
    views.for_each_of(anchor.view, 0, ~std::uint64_t{0}, [](const ViewRange& range) { show(range); });
  });
}

// --- not in one's turn ---

// Views that the program has no byte of any more, made before one's turn: at its end, which is after the turn's, the server
// hears of them.
class EndedViews {
 public:
  EndedViews() noexcept = default;
  EndedViews(const EndedViews&) = delete;
  EndedViews& operator=(const EndedViews&) = delete;
  ~EndedViews() {
    const KeptErrno kept;
    for (std::size_t at = 0; at < count_; ++at) {
      Reply reply;
      CameFds fds;
      static_cast<void>(ask({.ask = Ask::unmapped, .number = ended_[at].view}, nullptr, 0, -1, reply, fds));
      if (ended_[at].address != 0) static_cast<void>(raw(SYS_munmap, ended_[at].address, page_size()));
    }
  }

  // In one's turn.
  void take() noexcept { count_ = views.take_ended(ended_); }
  // One that never came to be.
  void add(const ViewAnchor& anchor) noexcept { ended_[count_++] = anchor; }

 private:
  ViewTable::Ended ended_;
  std::size_t count_ = 0;
};

// map() puts others at these addresses, or nothing: then no view is there any more. is_done(result) says whether it did.
template <class Map, class IsDone>
auto map_over(const void* address, std::size_t length, Map map, IsDone is_done) noexcept -> decltype(map()) {
  const auto from = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t to = from + whole_pages(length);
  EndedViews ended;
  const ViewTurn turn;
  if (!views.has_room(from, to)) return errno = ENOMEM, decltype(map())(std::intptr_t{-1});
  const auto result = map();
  if (is_done(result)) views.cut(from, to), ended.take();
  return result;
}
// map() changes the mappings at these addresses; change_one(range) says how those of views are then. EACCES where may(range)
// is false of one.
template <class Map, class May, class Change>
int change_anywhere(const void* address, std::size_t length, Map map, May may, Change change_one) noexcept {
  if (views.is_empty()) return map();
  const auto from = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t to = from + whole_pages(length);
  const ViewTurn turn;
  bool is_refused = false;
  views.for_each(from, to, [&](const ViewRange& range) { is_refused = is_refused || !may(range); });
  if (is_refused) return errno = EACCES, -1;
  if (!views.has_room(from, to)) return errno = ENOMEM, -1;
  const int result = map();
  if (result == 0) views.change(from, to, change_one);
  return result;
}

}  // namespace freestone::interposer
