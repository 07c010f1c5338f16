// An area of the contiguous memory allocator: pages that movable owners use until somebody wants a run of them. (shared/spec: MSYS 6.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/core/bits.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/heap/own_lock.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/release_range.hpp>

namespace freestone {

// Pages are counted from address 0.
struct CmaRange {
  std::uint64_t first_page = 0;
  std::uint64_t pages = 0;

  constexpr std::uint64_t end() const noexcept { return first_page + pages; }
  constexpr bool has(const CmaRange& other) const noexcept {
    return other.first_page >= first_page && other.pages <= pages && other.first_page - first_page <= pages - other.pages;
  }
  constexpr bool overlaps(const CmaRange& other) const noexcept { return first_page < other.end() && other.first_page < end(); }

  friend constexpr bool operator==(const CmaRange&, const CmaRange&) noexcept = default;
};

// What came of moving owners out of some pages: they are gone; one could not be moved now; it is no use to try others.
enum class Evacuation : std::uint8_t { done, busy, failed };

// Pages that nobody uses meanwhile. In their place:
//   Evacuation evacuate(const CmaRange&)   whoever is in these pages has moved. No two calls at a time
//   void zero(const CmaRange&)             may be there: pages are zeros when they are given
//   void release(const CmaRange&)          may be there: these are for others to use again. The area's lock is held: it calls nothing of it
struct UnusedPages {
  Evacuation evacuate(const CmaRange&) noexcept { return Evacuation::done; }
};

// The order of the smallest power of two of pages that holds so many.
constexpr unsigned page_order(std::uint64_t pages) noexcept { return bits::ceil_log2(pages); }

// L: who may call at once. While pages are evacuated others allocate and release. It stays where it is.
//
// Other than Linux's: what was not allocated, or only a part of what a bit stands for, is not given back.
template <class L = lock::None, class Pages = UnusedPages>
class CmaArea {
  using Turn = typename OwnLock<L>::Turn;

 public:
  struct Settings {
    const char* name = "";
    CmaRange range = {};
    unsigned order_per_bit = 0;  // the pages of 2^order_per_bit are taken and given back together
  };
  // In pages, as asked for.
  struct Counts {
    std::uint64_t allocated = 0;
    std::uint64_t failed = 0;
    std::uint64_t released = 0;
  };

  static constexpr std::size_t words_for(const Settings& settings) noexcept {
    return strategy::Bitmap::footprint(Granules(settings.range.pages >> settings.order_per_bit));
  }

  // `words`: words_for of them, which outlive it. (Pages that are no whole 2^order_per_bit at its end are not used.)
  CmaArea(const Settings& settings, std::span<std::uint64_t> words, Pages pages = {}) noexcept
      : settings_(settings),
        map_(*strategy::Bitmap::format(words, {.capacity = Granules(settings.range.pages >> settings.order_per_bit),
                                               .granule = 1,
                                               .origin = Granules(settings.range.first_page >> settings.order_per_bit)})),
        pages_(static_cast<Pages&&>(pages)) {}
  CmaArea(const CmaArea&) = delete;
  CmaArea& operator=(const CmaArea&) = delete;

  const Settings& settings() const noexcept { return settings_; }

  // The lowest run of so many pages, its first one a multiple of 2^align_order, that can be evacuated: the first page. Where it is busy
  // the next such place is tried. Errors: zero_size; size_beyond_zone; no_space.
  Result<std::uint64_t> allocate(std::uint64_t pages, unsigned align_order = 0) noexcept {
    const auto made = find(pages, align_order);
    const Turn turn(lock_);
    (made ? counts_.allocated : counts_.failed) += pages;
    return made;
  }

  // False, and nothing changed: not all of it is this area's, and allocated; or it is a part of what a bit stands for.
  bool release(std::uint64_t first_page, std::uint64_t pages) noexcept {
    const CmaRange range{first_page, pages};
    if (pages == 0 || !settings_.range.has(range)) return false;
    const Turn turn(lock_);
    if (!release_bits(first_page - settings_.range.first_page, pages)) return false;
    counts_.released += pages;
    give(range);
    return true;
  }

  std::uint64_t total() const noexcept { return settings_.range.pages; }
  std::uint64_t available() noexcept {
    const Turn turn(lock_);
    return pages_of(map_.free_granules());
  }
  std::uint64_t used() noexcept { return pages_of(Granules(total() >> settings_.order_per_bit)) - available(); }
  // The longest run that is free.
  std::uint64_t largest_free() noexcept {
    const Turn turn(lock_);
    return pages_of(map_.largest_free());
  }
  Counts counts() noexcept {
    const Turn turn(lock_);
    return counts_;
  }
  // visit(range) for each run of pages that is allocated, lowest first, at one moment; it calls nothing of the area.
  template <class Visit>
  void for_each_used(Visit&& visit) noexcept {
    const Turn turn(lock_);
    map_.for_each_block([&](Extent block) {
      visit(CmaRange{settings_.range.first_page + pages_of(block.first), pages_of(block.count)});
    });
  }

 private:
  std::uint64_t pages_of(Granules bits) const noexcept { return bits.value() << settings_.order_per_bit; }
  Granules bits_of(std::uint64_t pages) const noexcept {
    const std::uint64_t below = (std::uint64_t{1} << settings_.order_per_bit) - 1;
    return Granules((pages >> settings_.order_per_bit) + ((pages & below) != 0));
  }

  Result<std::uint64_t> find(std::uint64_t pages, unsigned align_order) noexcept {
    const Granules count = bits_of(pages);
    if (pages == 0) return Error{.code = ErrorCode::zero_size};
    if (pages > total()) return Error{.code = ErrorCode::size_beyond_zone, .asked = pages, .available = total()};
    const unsigned in_bits = align_order > settings_.order_per_bit ? align_order - settings_.order_per_bit : 0;
    const Granules align(std::uint64_t{1} << (in_bits < 63 ? in_bits : 63));
    for (Granules from = {};;) {
      const auto placed = take(from, count, align);
      if (!placed) return Error{.code = ErrorCode::no_space, .asked = pages, .available = available()};
      const CmaRange range{settings_.range.first_page + pages_of(placed->first), pages};
      const Evacuation came = evacuate(range);
      if (came == Evacuation::done) return zero(range), range.first_page;
      const Turn turn(lock_);
      map_.release(placed->first);
      if (came == Evacuation::failed) return Error{.code = ErrorCode::no_space, .asked = pages};
      from = placed->first + align;
    }
  }
  std::optional<Extent> take(Granules from, Granules count, Granules align) noexcept {
    const Turn turn(lock_);
    return count > map_.free_granules() ? std::nullopt : map_.place_from(from, count, align);
  }
  Evacuation evacuate(const CmaRange& range) noexcept {
    const Turn turn(evacuating_);
    return pages_.evacuate(range);
  }
  void zero(const CmaRange& range) noexcept {
    if constexpr (requires { pages_.zero(range); }) pages_.zero(range);
  }
  void give(const CmaRange& range) noexcept {
    if constexpr (requires { pages_.release(range); }) pages_.release(range);
  }
  bool release_bits(std::uint64_t offset, std::uint64_t pages) noexcept {
    const Granules first = bits_of(offset), count = bits_of(pages);
    if (settings_.order_per_bit == 0) return strategy::release_range(map_, {first, count});
    const bool is_whole = pages_of(first) == offset && map_.length_of(first) == count;
    return is_whole && map_.release(first).fault == ReleaseFault::none;
  }

  const Settings settings_;
  OwnLock<L> lock_;
  strategy::Bitmap map_;
  Counts counts_;
  OwnLock<L> evacuating_;
  [[no_unique_address]] Pages pages_;
};

// Allocations made by hand, as Linux's debugfs makes them: the last one is given back first. Up to `most`.
template <class Area, std::size_t most = 64>
class CmaByHand {
 public:
  // ENOMEM of Linux's: it cannot be had, or there are too many already.
  Result<void> allocate(Area& area, std::uint64_t pages) noexcept {
    if (count_ == most) return Error{.code = ErrorCode::too_many_blocks, .asked = most + 1, .available = most};
    const auto made = area.allocate(pages);
    if (!made) return made.error();
    runs_[count_++] = {*made, pages};
    return {};
  }
  // So many pages of the last ones, of one of several as far as it goes, which is a part only where a page has a bit of its own. How many
  // went.
  std::uint64_t release(Area& area, std::uint64_t pages) noexcept {
    std::uint64_t gone = 0;
    while (count_ != 0 && gone < pages) {
      CmaRange& last = runs_[count_ - 1];
      const std::uint64_t wanted = pages - gone;
      const bool is_whole = last.pages <= wanted;
      const std::uint64_t now = is_whole ? last.pages : wanted;
      if (!is_whole && area.settings().order_per_bit != 0) break;
      if (!area.release(last.first_page, now)) break;
      gone += now;
      last = {last.first_page + now, last.pages - now};
      if (is_whole) --count_;
    }
    return gone;
  }

 private:
  CmaRange runs_[most] = {};
  std::size_t count_ = 0;
};

}  // namespace freestone
