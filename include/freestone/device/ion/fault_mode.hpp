// Which pages of a cached buffer its users have touched since devices had it: pages come into their mappings one by one,
// when they are touched. (shared/spec: ION 4.6.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/heap/own_lock.hpp>

namespace freestone::device {

// Is a buffer of those flags mapped page by page? It is cached (bit 0), and its users do not sync it (bit 1).
constexpr bool is_faulted_in(std::uint32_t flags) noexcept { return (flags & 3U) == 1; }

// Pages of a buffer.
struct PageRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;

  constexpr bool contains(std::uint64_t page) const noexcept { return page >= first && page - first < count; }
  friend constexpr bool operator==(const PageRun&, const PageRun&) noexcept = default;
};

// A buffer's touched pages, and who maps it. V is the platform's name of a mapping, that no two have at once. The
// platform's calls, none of which calls back:
//   insert(const V&, std::uint64_t page)  that page comes into the mapping; a Result<void>
//   zap(const V&, const PageRun&)         all pages leave the mapping, and whoever touches one faults
//   sync(const PageRun&)                  devices see what CPUs wrote to these pages
// Any thread, as L lets them; the lock is held during these calls, so nobody touches a page for the first time while it
// is synced. Cost: of mappings, O(mappings).
template <class P, class V, class L>
class FaultMode {
  using Turn = typename OwnLock<L>::Turn;

 public:
  struct Place {
    V mapping = {};
    PageRun pages = {};
  };

  // A buffer of so many pages, in room for a bit each (bits::words_for), and for as many mappings as there may be. All of
  // it outlives this.
  FaultMode(P& platform, std::uint64_t pages, std::span<std::uint64_t> touched, std::span<Place> room) noexcept
      : platform_(platform), pages_(pages), touched_(touched), room_(room) {
    seam::expect(touched.size() >= bits::words_for(pages));
    bits::clear_range(touched.data(), 0, pages);
  }
  FaultMode(const FaultMode&) = delete;
  FaultMode& operator=(const FaultMode&) = delete;

  // A new mapping, none of whose pages is there. Errors: zero_size; range_beyond_block; exists; too_many_maps.
  Result<void> add(const V& mapping, const PageRun& pages) noexcept {
    if (pages.count == 0) return ErrorCode::zero_size;
    if (pages.first > pages_ || pages.count > pages_ - pages.first) return beyond(pages.first, pages_);
    const Turn turn(lock_);
    return put(mapping, pages);
  }
  // A process forked: `copy` maps what `mapping` does. Errors: not_mapped; exists, too_many_maps, and then the copy may
  // have no page.
  Result<void> copy(const V& mapping, const V& copy) noexcept {
    const Turn turn(lock_);
    const Place* const found = find(mapping);
    return found == nullptr ? Result<void>(ErrorCode::not_mapped) : put(copy, found->pages);
  }
  // From its page number `at` on, of its own, a mapping is `upper`; what is before it stays. Errors: not_mapped;
  // range_beyond_block where one of the two would have no page; exists; too_many_maps.
  Result<void> split(const V& mapping, std::uint64_t at, const V& upper) noexcept {
    const Turn turn(lock_);
    Place* const found = find(mapping);
    if (found == nullptr) return ErrorCode::not_mapped;
    const PageRun pages = found->pages;
    if (at == 0 || at >= pages.count) return beyond(at, pages.count);
    const auto added = put(upper, {pages.first + at, pages.count - at});
    if (added) found->pages.count = at;
    return added;
  }
  // It is gone, and its pages with it. Errors: not_mapped.
  Result<void> remove(const V& mapping) noexcept {
    const Turn turn(lock_);
    Place* const found = find(mapping);
    if (found == nullptr) return ErrorCode::not_mapped;
    *found = room_[--count_];
    return {};
  }

  // Somebody touched that page of the buffer through a mapping. Errors: not_mapped; range_beyond_block, it is none of the
  // mapping's; the platform's. Then the page is as it was.
  Result<void> fault(const V& mapping, std::uint64_t page) noexcept {
    const Turn turn(lock_);
    const Place* const found = find(mapping);
    if (found == nullptr) return ErrorCode::not_mapped;
    if (!found->pages.contains(page)) return beyond(page, found->pages.count);
    const auto inserted = platform_.insert(found->mapping, page);
    if (inserted) bits::set(touched_.data(), page);
    return inserted;
  }

  // A device gets the buffer, or a user asks for SYNC: the touched pages are synced, a run of them at once, and are so no
  // more; and how many these were. First each mapping loses its pages, so that what is written from then on is noticed.
  std::uint64_t sync_for_device() noexcept {
    const Turn turn(lock_);
    for (const Place& place : mappings()) platform_.zap(place.mapping, place.pages);
    std::uint64_t synced = 0;
    for (PageRun run = next_run(0); run.count != 0; run = next_run(run.first + run.count)) {
      platform_.sync(run);
      synced += run.count;
    }
    bits::clear_range(touched_.data(), 0, pages_);
    return synced;
  }

  bool is_touched(std::uint64_t page) noexcept {
    const Turn turn(lock_);
    return page < pages_ && bits::test(touched_.data(), page);
  }
  std::size_t mapping_count() noexcept {
    const Turn turn(lock_);
    return count_;
  }

 private:
  static Error beyond(std::uint64_t asked, std::uint64_t available) noexcept {
    return {.code = ErrorCode::range_beyond_block, .asked = asked, .available = available};
  }

  std::span<Place> mappings() const noexcept { return room_.first(count_); }
  Place* find(const V& mapping) noexcept {
    for (Place& place : mappings()) {
      if (place.mapping == mapping) return &place;
    }
    return nullptr;
  }
  Result<void> put(const V& mapping, const PageRun& pages) noexcept {
    if (find(mapping) != nullptr) return ErrorCode::exists;
    if (count_ == room_.size()) return Error{.code = ErrorCode::too_many_maps, .asked = count_ + 1, .available = count_};
    room_[count_++] = {mapping, pages};
    return {};
  }

  // Of touched pages, from that one on; empty where there are none.
  PageRun next_run(std::uint64_t from) const noexcept {
    const std::uint64_t first = bits::first_set(touched_.data(), from, pages_);
    return {first, bits::first_clear(touched_.data(), first, pages_) - first};
  }

  P& platform_;
  const std::uint64_t pages_;
  std::span<std::uint64_t> touched_;
  std::span<Place> room_;
  OwnLock<L> lock_;
  std::size_t count_ = 0;
};

}  // namespace freestone::device
