// Zone types by the words that a text has for them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/core/result.hpp>
#include <freestone/heap/name.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/zone_addresses.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/strategy/trimmed_buddy.hpp>
#include <freestone/zone/zone.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone {

// A zone type by the words that a text has for it: of several with the same, the first that has the text's cache. A
// kind of one's own derives from it, and may have its own `create`.
template <Text strategy_word, Text backing_word, class Z>
struct ZoneKind {
  using Zone = Z;
  static constexpr std::string_view strategy = strategy_word.text;
  static constexpr std::string_view backing = backing_word.text;
  // It begins where the text says.
  static constexpr bool takes_base = can_create_with<typename Z::Backing, Bytes>;

  static Result<Z> create(const ZoneOptions& options, const BoardHeap& heap) noexcept {
    if constexpr (takes_base) {
      if (heap.base) return Z::create(options, Bytes(*heap.base));
    }
    return Z::create(options);
  }
};
template <class... Ks>
struct ZoneKinds {};

namespace detail {
template <class S, class L>
using ZoneOfNumbers = Zone<backing::OffsetSpace, S, L, cache::Coherent>;
template <class S, class L>
using ZoneOfPages = Zone<backing::Anonymous, S, L, cache::Coherent>;
template <class S, class L>
using ZoneOfFile = Zone<backing::MemoryFile, S, L, cache::Coherent>;
}  // namespace detail

// What a program has unless it says otherwise. (L: for several threads, and in a memory_file for several processes.)
template <class L = lock::Futex>
using StockKinds = ZoneKinds<ZoneKind<"bitmap", "numbers", detail::ZoneOfNumbers<strategy::Bitmap, L>>,
                             ZoneKind<"buddy", "numbers", detail::ZoneOfNumbers<strategy::Buddy, L>>,
                             ZoneKind<"trimmed_buddy", "numbers", detail::ZoneOfNumbers<strategy::TrimmedBuddy, L>>,
                             ZoneKind<"best_fit", "numbers", detail::ZoneOfNumbers<strategy::BestFit, L>>,
                             ZoneKind<"best_fit_mmz", "numbers", detail::ZoneOfNumbers<strategy::BestFitMmz, L>>,
                             ZoneKind<"segregated", "numbers", detail::ZoneOfNumbers<strategy::Segregated, L>>,
                             ZoneKind<"all_or_nothing", "numbers", detail::ZoneOfNumbers<strategy::AllOrNothing, L>>,
                             ZoneKind<"bitmap", "anonymous", detail::ZoneOfPages<strategy::Bitmap, L>>,
                             ZoneKind<"buddy", "anonymous", detail::ZoneOfPages<strategy::Buddy, L>>,
                             ZoneKind<"best_fit", "anonymous", detail::ZoneOfPages<strategy::BestFit, L>>,
                             ZoneKind<"system", "anonymous", detail::ZoneOfPages<strategy::System, L>>,
                             ZoneKind<"bitmap", "memory_file", detail::ZoneOfFile<strategy::Bitmap, L>>,
                             ZoneKind<"buddy", "memory_file", detail::ZoneOfFile<strategy::Buddy, L>>,
                             ZoneKind<"best_fit", "memory_file", detail::ZoneOfFile<strategy::BestFit, L>>>;

namespace detail {

// A heap's own text, and behind it its zone, which has its name from there: it never moves.
struct OwnedHeap {
  explicit OwnedHeap(BoardHeap text) : text(std::move(text)) {}
  OwnedHeap(const OwnedHeap&) = delete;
  OwnedHeap& operator=(const OwnedHeap&) = delete;
  virtual ~OwnedHeap() = default;

  BoardHeap text;
  HeapTraits traits = {};
};
template <class Z>
struct HeapWithZone final : OwnedHeap {
  using OwnedHeap::OwnedHeap;
  std::optional<Z> zone = {};
};

using RuntimeAddresses = ZoneAddresses<2 * most_heaps>;  // some have gaps

// What can be asked of a kind before it is known which.
struct KindEntry {
  // The heap and its zone behind `owner` and `zone`, and its addresses among the others'.
  using Make = Result<void> (*)(BoardHeap&& heap, std::size_t place, std::unique_ptr<OwnedHeap>& owner,
                                std::optional<ZoneRef>& zone, RuntimeAddresses& addresses);

  std::string_view strategy;
  std::string_view backing;
  Cacheability cacheability;
  bool is_seen;  // by the CPU; else any cache will do
  bool takes_base;
  Make make;

  bool is_of(const BoardHeap& heap) const noexcept {
    return heap.strategy == strategy && heap.backing == backing &&
           (!is_seen || !heap.cache || *heap.cache == cacheability);
  }
};

inline std::string word_of(Cacheability cache) {
  switch (cache) {
    case Cacheability::cached: return "cached";
    case Cacheability::uncached: return "uncached";
    case Cacheability::write_combined: return "write_combined";
  }
  return "";
}

template <class K>
Result<void> make_zone(BoardHeap&& heap, std::size_t place, std::unique_ptr<OwnedHeap>& owner,
                       std::optional<ZoneRef>& ref, RuntimeAddresses& addresses) {
  using Z = typename K::Zone;
  auto made = std::make_unique<HeapWithZone<Z>>(std::move(heap));
  const BoardHeap& text = made->text;
  auto zone = K::create({.name = text.name.c_str(), .size = text.size, .granule = text.granule}, text);
  if (!zone) return zone.error();
  const std::uint64_t base = zone->backing().base().value();
  if (text.base && base != *text.base) {
    return Error{.code = ErrorCode::wrong_origin, .asked = *text.base, .available = base};
  }
  made->zone.emplace(*std::move(zone));
  made->traits = traits_of(*made->zone, text.spec());
  if (!abilities_of<Z>().has_cpu_pointers && text.cache) made->traits.cacheability = *text.cache;
  if (!addresses.add(*made->zone, place)) {
    return Error{.code = ErrorCode::list_too_short, .asked = most_ranges_of<Z>, .available = 2 * most_heaps};
  }
  ref.emplace(*made->zone);
  owner = std::move(made);
  return {};
}

template <class K>
constexpr KindEntry entry_of() noexcept {
  constexpr ZoneAbilityFlags can = abilities_of<typename K::Zone>();
  return {.strategy = K::strategy,
          .backing = K::backing,
          .cacheability = can.cacheability,
          .is_seen = can.has_cpu_pointers,
          .takes_base = K::takes_base,
          .make = make_zone<K>};
}
template <class Ks>
inline constexpr std::array<KindEntry, 0> entries = {};
template <class... Ks>
inline constexpr std::array<KindEntry, sizeof...(Ks)> entries<ZoneKinds<Ks...>> = {entry_of<Ks>()...};

}  // namespace detail

// Does memory of that backing begin where it is told? Only such heaps have a part in a layout. Of a backing that none
// of these kinds has: yes.
template <class Kinds = StockKinds<>>
constexpr bool takes_base(std::string_view backing) noexcept {
  bool is_known = false;
  for (const detail::KindEntry& one : detail::entries<Kinds>) {
    if (one.backing != backing) continue;
    if (one.takes_base) return true;
    is_known = true;
  }
  return !is_known;
}

}  // namespace freestone
