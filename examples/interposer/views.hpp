// How the program's addresses come to show what its views have, and others when these change.
#pragma once

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "connection.hpp"
#include "view_table.hpp"

namespace freestone::interposer {

inline constinit ViewTable views;

// No signal comes meanwhile: its handler may map too.
class ViewTurn {
 public:
  ViewTurn() noexcept { pthread_mutex_lock(&views.mutex()); }
  ViewTurn(const ViewTurn&) = delete;
  ViewTurn& operator=(const ViewTurn&) = delete;
  ~ViewTurn() { pthread_mutex_unlock(&views.mutex()); }

 private:
  const NoSignals no_signals_;
};

inline bool find_view_at(std::uintptr_t address, linux_user::MappedView& there) noexcept {
  if (views.is_empty()) return false;
  const ViewTurn turn;
  const ViewRange* const range = views.at(address);
  if (range != nullptr) {
    there = {range->address, range->length, range->view, range->at, static_cast<std::uint32_t>(range->protection), 0};
  }
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
    const std::int64_t told = ask({.ask = Ask::parts, .number = anchor.view, .address = linux_user::no_part}, nullptr, 0, -1, reply, fds);
    anchor.is_to_be_shown = told < 0 || std::exchange(anchor.changes, reply.address) != reply.address;
  });
  views.for_each(0, ~std::uintptr_t{0}, [](const ViewRange& range) {
    if (views.anchor_of(range).is_to_be_shown) show(range);
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
    if (never_made_.view != 0) tell(never_made_.view), unmap_anchor(never_made_);
    if (ended_.first == 0) return;
    views.for_each_ended(ended_, tell);
    const ViewTurn turn;
    views.forget(ended_);
  }

  // In one's turn.
  void take() noexcept { ended_ = views.take_ended(); }
  // One that never came to be.
  void add(const ViewAnchor& anchor) noexcept { never_made_ = anchor; }

 private:
  static void tell(std::uint64_t view) noexcept {
    Reply reply;
    CameFds fds;
    static_cast<void>(ask({.ask = Ask::unmapped, .number = view}, nullptr, 0, -1, reply, fds));
  }

  ViewTable::Ended ended_;
  ViewAnchor never_made_;
};

// map() puts others at these addresses, or nothing: then no view is there any more. is_done(result) says whether it did.
template <class Map, class IsDone>
auto map_over(const void* address, std::size_t length, Map map, IsDone is_done) noexcept -> decltype(map()) {
  const auto from = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t to = from + whole_pages(length);
  EndedViews ended;
  const ViewTurn turn;
  if (!views.has_room({from, to})) return errno = ENOMEM, decltype(map())(std::intptr_t{-1});
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
  if (!views.has_room({from, to})) return errno = ENOMEM, -1;
  const int result = map();
  if (result == 0) views.change(from, to, change_one);
  return result;
}

}  // namespace freestone::interposer
