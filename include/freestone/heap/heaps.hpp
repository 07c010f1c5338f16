// The heaps of a board: a zone behind each id and name, and requests that go to whichever meets their constraints.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <boost/hana/at.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/unpack.hpp>

#include <freestone/core/result.hpp>
#include <freestone/heap/declare.hpp>
#include <freestone/heap/heap_requests.hpp>
#include <freestone/heap/result.hpp>
#include <freestone/heap/zone_addresses.hpp>
#include <freestone/zone/zone.hpp>

namespace freestone {

namespace detail {
// What the zone of one heap is made with, besides its options.
template <Text name, class... Arguments>
struct With {
  static constexpr auto text = name;
  boost::hana::tuple<Arguments...> arguments;
};
template <class T>
struct IsWith : std::false_type {};
template <Text name, class... Arguments>
struct IsWith<With<name, Arguments...>> : std::true_type {};
}  // namespace detail

namespace declare {
// with<"camera">(MemoryFile::Source{fd}): the zone of that heap is made with these behind its options, and they are moved
// into it.
template <Text name, class... Arguments>
constexpr freestone::detail::With<name, std::decay_t<Arguments>...> with(Arguments&&... arguments) {
  return {boost::hana::tuple<std::decay_t<Arguments>...>(std::forward<Arguments>(arguments)...)};
}
}  // namespace declare

// One zone for each heap of a board. It moves as long as nobody holds anything of it. Who may call at once is a matter of
// each zone's lock; the heaps keep nothing beside them that changes.
template <class O, class... Hs>
class Heaps<Board<O, Hs...>> : public HeapRequests<Heaps<Board<O, Hs...>>> {
  using Requests = HeapRequests<Heaps>;

 public:
  using Board = freestone::Board<O, Hs...>;
  static constexpr std::size_t count = Board::count;
  using Zones = boost::hana::tuple<typename detail::ZoneOfHeap<Hs>::type...>;
  template <std::size_t place>
  using ZoneAt = std::remove_reference_t<decltype(boost::hana::at_c<place>(std::declval<Zones&>()))>;

  // Makes each zone, in the order of their declaration: with its name, size and granule, and with<"name">(...) behind
  // these; where there is none of that and the heap has a base, with its base if its backing takes one. Errors: the
  // first zone's that cannot be made; wrong_origin where one does not begin at its heap's base. Then none is left.
  template <class... Given>
  static constexpr Result<Heaps> create(Board, Given&&... given) noexcept {
    return create_with(Board::specs, given...);
  }
  // The same for heaps that lie as they were laid out. Also an error: does_not_fit, of a layout that has a fault, or is of
  // another number of heaps.
  template <class L, class... Given>
    requires std::is_same_v<std::decay_t<L>, Layout>
  static constexpr Result<Heaps> create(Board, L&& layout, Given&&... given) noexcept {
    if (!layout || layout.count != count) return Error{.code = ErrorCode::does_not_fit, .zone = layout.heap < count ? Board::specs[layout.heap].name : ""};
    auto specs = Board::specs;
    for (std::size_t place = 0; place < count; ++place) {
      if (layout.places[place].is_placed) specs[place].base = layout.places[place].base;
    }
    return create_with(specs, given...);
  }

  // The zone of that name or id: found when it is compiled.
  template <Text name>
  constexpr auto& zone() noexcept {
    constexpr std::size_t place = Board::find(name.text);
    static_assert(place != count, "No heap of this board has that name.");
    return boost::hana::at_c<place>(zones_);
  }
  template <unsigned id>
  constexpr auto& zone(declare::detail::Id<id>) noexcept {
    constexpr std::size_t place = Board::find(id);
    static_assert(place != count, "No heap of this board has that id.");
    return boost::hana::at_c<place>(zones_);
  }

  // What each is, in the order of their declaration.
  constexpr std::span<const HeapTraits> traits() const noexcept { return traits_; }

  // visit(zone, traits) for each, in the order of their declaration.
  template <class Visitor>
  constexpr void for_each(Visitor&& visit) noexcept {
    for_each_of(visit, std::index_sequence_for<Hs...>());
  }

  using Requests::allocate;  // in the board's order
  using Requests::allocate_list;
  using Requests::deallocate;

  // Gives a block back to the heap that it is of. Errors: the zone's; foreign_block where it is of none of them.
  constexpr Result<void> deallocate(const Block& block) noexcept {
    Result<void> done = Error{.code = ErrorCode::foreign_block, .asked = block.offset().value()};
    bool is_found = false;  // two may be handles of one shared zone
    for_each([&](auto& zone, const HeapTraits&) {
      if (is_found || zone.tag() != block.zone_tag()) return;
      is_found = true;
      done = zone.deallocate(block);
    });
    return done;
  }

  // The live block that the address is in, and its heap; of zones that place. Cost: O(log ranges), and the strategy's
  // `containing`.
  std::optional<Located> find(const void* address) noexcept {
    return locate(addresses_.find(address));
  }
  constexpr std::optional<Located> find(PhysicalAddress address) noexcept { return locate(addresses_.find(address)); }
  constexpr std::optional<Located> find(DeviceAddress address) noexcept { return locate(addresses_.find(address)); }

 private:
  friend Requests;
  using List = typename Requests::List;
  using Addresses = ZoneAddresses<(detail::most_ranges_of<typename detail::ZoneOfHeap<Hs>::type> + ...)>;

  // The places of the heaps in the order in which they are asked.
  static constexpr std::array<std::uint8_t, count> asked = [] {
    const std::array<HeapTraits, count> traits = {detail::traits_before<Hs>()...};
    std::array<std::uint8_t, count> places = {};
    arrange<O>(traits, places);
    return places;
  }();

  constexpr explicit Heaps(Zones&& zones) noexcept : zones_(std::move(zones)) {
    std::size_t place = 0;
    for_each([&](auto& zone, const HeapTraits&) {
      traits_[place] = detail::traits_of(zone, Board::specs[place]);
      addresses_.add(zone, place++);
    });
  }

  using Specs = std::array<HeapSpec, count>;

  template <class... Given>
  static constexpr Result<Heaps> create_with(const Specs& specs, Given&... given) noexcept {
    static_assert((detail::IsWith<std::decay_t<Given>>::value && ...),
                  "create: what a zone is made with is given as with<...>(...), with the name of its heap.");
    static_assert(((Board::find(std::decay_t<Given>::text.text) != count) && ...),
                  "create: a with<...>(...) names no heap of this board.");
    return create_from<0>(specs, boost::hana::tuple<Given&...>(given...));
  }

  // The zones from `place` on, behind those that are made.
  template <std::size_t place, class Given, class... Made>
  static constexpr Result<Heaps> create_from(const Specs& specs, const Given& given, Made&&... made) noexcept {
    if constexpr (place == count) {
      return Heaps(Zones(std::move(made)...));
    } else {
      const HeapSpec& spec = specs[place];
      auto zone = boost::hana::unpack(given, [&](auto&... one) { return make<place>(spec, one...); });
      if (!zone) return zone.error();
      const auto base = detail::first_address(zone->backing());
      if (spec.base && base && *base != *spec.base) {
        return Error{.code = ErrorCode::wrong_origin, .asked = *spec.base, .available = *base, .zone = spec.name};
      }
      return create_from<place + 1>(specs, given, std::move(made)..., *std::move(zone));
    }
  }

  static constexpr ZoneOptions options_of(const HeapSpec& spec) noexcept {
    return {.name = spec.name, .size = spec.size, .granule = spec.granule};
  }
  template <std::size_t place>
  static constexpr Result<ZoneAt<place>> make(const HeapSpec& spec) noexcept {
    using Z = ZoneAt<place>;
    if constexpr (can_create_with<typename Z::Backing, Bytes>) {
      if (spec.base) return Z::create(options_of(spec), Bytes(*spec.base));
    }
    return Z::create(options_of(spec));
  }
  template <std::size_t place, class First, class... More>
  static constexpr Result<ZoneAt<place>> make(const HeapSpec& spec, First& first, More&... more) noexcept {
    if constexpr (Board::find(First::text.text) == place) {
      return boost::hana::unpack(first.arguments, [&](auto&... arguments) {
        return ZoneAt<place>::create(options_of(spec), std::move(arguments)...);
      });
    } else {
      return make<place>(spec, more...);
    }
  }

  template <class Visitor, std::size_t... places>
  constexpr void for_each_of(Visitor& visit, std::index_sequence<places...>) noexcept {
    (visit(boost::hana::at_c<places>(zones_), std::as_const(traits_[places])), ...);
  }

  constexpr List ask_in_order(const Constraints& wanted, detail::Blocks number, std::span<Block> out,
                              HeapError& error) noexcept {
    return ask_each(wanted, number, out, error, std::index_sequence_for<Hs...>());
  }
  template <std::size_t... turns>
  constexpr List ask_each(const Constraints& wanted, detail::Blocks number, std::span<Block> out, HeapError& error,
                          std::index_sequence<turns...>) noexcept {
    List list;
    const auto serves = [&](auto& zone, const HeapTraits& heap) {
      list = {detail::ask(zone, heap, wanted, number, out, error), heap.id};
      return !list.blocks.empty();
    };
    const bool is_served = ((wanted.heaps.contains(Board::specs[asked[turns]].id) &&
                             serves(boost::hana::at_c<asked[turns]>(zones_), traits_[asked[turns]])) || ...);
    if (!is_served) detail::complete(error, traits_, asked, wanted);
    return list;
  }

  constexpr std::optional<Located> locate(const std::optional<typename Addresses::Found>& found) noexcept {
    if (!found) return std::nullopt;
    std::optional<Located> located;
    std::size_t place = 0;
    for_each([&](auto& zone, const HeapTraits& heap) {
      if (place++ != found->heap) return;
      if constexpr (requires { zone.find_containing(found->offset); }) {
        const auto block = zone.find_containing(found->offset);
        if (block) located = Located{{*block, heap.id}, heap.name, found->offset - block->offset()};
      }
    });
    return located;
  }

  Zones zones_;
  std::array<HeapTraits, count> traits_ = {};
  Addresses addresses_;
};

}  // namespace freestone
