// The words in which a board's heaps are declared. All of it is in types, so that what is wrong is told when it is
// compiled, in one sentence.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include <freestone/backing/concept.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/layout.hpp>
#include <freestone/heap/name.hpp>
#include <freestone/heap/order.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone {

// A heap of a board: its name, and what was said of it.
template <Text name_text, class... Parts>
struct Heap {
  static constexpr auto text = name_text;

  static constexpr HeapSpec spec() noexcept {
    HeapSpec spec;
    spec.name = text.text;
    (Parts::say(spec), ...);
    return spec;
  }
};

namespace detail {
constexpr bool is_each_once(std::initializer_list<unsigned> kinds) noexcept {
  std::uint64_t seen = 0;
  for (const unsigned kind : kinds) {
    if ((seen >> kind & 1) != 0) return false;
    seen |= std::uint64_t{1} << kind;
  }
  return true;
}
}  // namespace detail

namespace declare {

namespace detail {
// Never defined: what the compiler says when it is called in constant evaluation is its name.
void a_number_of_a_board_is_not_negative();
}  // namespace detail

// A number that a type can hold: 64_MiB, or 0x4000'0000.
struct Number {
  std::uint64_t value;

  consteval Number(Bytes bytes) noexcept : value(bytes.value()) {}
  template <std::integral T>
  consteval Number(T number) noexcept : value(static_cast<std::uint64_t>(number)) {
    if constexpr (std::is_signed_v<T>) {
      if (number < 0) detail::a_number_of_a_board_is_not_negative();
    }
  }
};

namespace detail {
// Does memory of that backing begin where it is told? What is made of a request alone begins where it likes. (What is
// handed in begins where its maker says: Heaps::create looks whether that is the heap's base.)
template <class B>
inline constexpr bool takes_base = can_create_with<B, Bytes> || !can_create<B>;

template <unsigned n>
struct Id {
  static constexpr unsigned kind = 0;
  static constexpr unsigned value = n;
  static constexpr void say(HeapSpec& spec) noexcept { spec.id = n; }
  constexpr operator HeapMask() const noexcept { return HeapMask::of(n); }
};
template <unsigned a, unsigned b>
constexpr HeapMask operator|(Id<a>, Id<b>) noexcept {
  return HeapMask::of(a) | HeapMask::of(b);
}
template <class Z>
struct Of {
  static_assert(has_own_backing<Z>,
                "A heap is of a zone, or of a layer round one: of several zones that look like one, make a heap each.");
  static constexpr unsigned kind = 1;
  using Zone = Z;
  static constexpr void say(HeapSpec& spec) noexcept {
    if constexpr (has_own_backing<Z>) spec.takes_base = takes_base<typename Z::Backing>;
  }
};
// One field of a heap. `kind` tells what was said already.
template <unsigned number, auto field, Number n>
struct Says {
  static constexpr unsigned kind = number;
  static constexpr void say(HeapSpec& spec) noexcept { spec.*field = n.value; }
};
template <unsigned number, auto field, Text name>
struct Names {
  static constexpr unsigned kind = number;
  static constexpr auto text = name;
  static constexpr void say(HeapSpec& spec) noexcept { spec.*field = text.text; }
};
}  // namespace detail

template <unsigned n>
inline constexpr detail::Id<n> id = {};  // 0 to 63, no two heaps the same; also a mask
template <class Z>
inline constexpr detail::Of<Z> zone = {};  // Zone<...>, or a layer round one
template <Number n>
inline constexpr detail::Says<2, &HeapSpec::size, n> size = {};  // a multiple of the granule
template <Number n>
inline constexpr detail::Says<3, &HeapSpec::granule, n> granule = {};  // 4 KiB unless said
template <Number n>
inline constexpr detail::Says<4, &HeapSpec::align, n> align = {};  // of the first address
template <Number n>
inline constexpr detail::Says<5, &HeapSpec::base, n> base = {};  // the first address, where it is given
template <Number n>
inline constexpr detail::Says<6, &HeapSpec::reserve, n> reserve = {};  // stays free, but for those who may use it
template <Text name>
inline constexpr detail::Names<7, &HeapSpec::beside, name> beside = {};  // it ends where that heap begins
template <Text name>
inline constexpr detail::Names<8, &HeapSpec::memory, name> in = {};  // that memory of the board

template <Text name, class... Parts>
consteval Heap<name, Parts...> heap(Parts...) noexcept {
  static_assert(freestone::detail::is_each_once({Parts::kind...}), "Something is said of a heap twice: two ids, two sizes, ...");
  return {};
}

}  // namespace declare

namespace detail {

template <class T>
struct IsZonePart : std::false_type {};
template <class Z>
struct IsZonePart<declare::detail::Of<Z>> : std::true_type {};

template <class Part, class... More>
constexpr auto zone_part(Part part, More... more) noexcept {
  if constexpr (IsZonePart<Part>::value) {
    return part;
  } else {
    return zone_part(more...);
  }
}
template <class H>
struct ZoneOfHeap;
template <Text name, class... Parts>
struct ZoneOfHeap<Heap<name, Parts...>> {
  static constexpr bool is_said = (IsZonePart<Parts>::value + ... + 0) == 1;
  using Part = decltype(zone_part(Parts()...));
  using type = typename Part::Zone;
};

template <std::size_t n, class Same>
constexpr bool has_two(const std::array<HeapSpec, n>& heaps, Same&& same) noexcept {
  for (std::size_t a = 0; a < n; ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      if (same(heaps[a], heaps[b])) return true;
    }
  }
  return false;
}
template <std::size_t n, class Holds>
constexpr bool all_heaps(const std::array<HeapSpec, n>& heaps, Holds&& holds) noexcept {
  for (const HeapSpec& heap : heaps) {
    if (!holds(heap)) return false;
  }
  return true;
}
constexpr std::size_t length_of_name(const char* name) noexcept {
  std::size_t length = 0;
  while (name[length] != '\0') ++length;
  return length;
}

}  // namespace detail

template <class B>
class Heaps;  // heap/heaps.hpp

namespace detail {
// Never defined: what the compiler says when it is called in constant evaluation is its name.
void no_heap_of_this_board_can_ever_meet_these_constraints();

// What is known of a heap before its zone is made. A base that is found out then is left out here.
template <class H>
constexpr HeapTraits traits_before() noexcept {
  constexpr HeapSpec spec = H::spec();
  constexpr ZoneAbilityFlags can = abilities_of<typename ZoneOfHeap<H>::type>();
  return {.name = spec.name,
          .id = spec.id,
          .size = spec.size,
          .granule = spec.granule,
          .any_alignment = has_any_alignment<typename ZoneOfHeap<H>::type::Strategy>,
          .base = spec.base,
          .cacheability = can.cacheability,
          .exportable = can.exportable,
          .reserve = spec.reserve};
}
}  // namespace detail

// The heaps of a board, in the order of their declaration, and the order in which they are asked.
template <HeapOrder O, class... Hs>
struct Board {
  static constexpr std::size_t count = sizeof...(Hs);
  static constexpr std::array<HeapSpec, count> specs = {Hs::spec()...};
  using Order = O;

  // A zone for each heap: see Heaps::create.
  template <class... Given>
  static constexpr Result<Heaps<Board>> create(Given&&... given) noexcept {
    return Heaps<Board>::create(Board(), static_cast<Given&&>(given)...);
  }

  // These constraints, in constant evaluation: does not compile where no heap of the board can ever meet them. (What
  // depends on addresses that are known only when the zones are made is left to `allocate`.)
  static consteval Constraints require(Constraints wanted) {
    if (!(may_meet<Hs>(wanted) || ...)) detail::no_heap_of_this_board_can_ever_meet_these_constraints();
    return wanted;
  }

  // Where each lies in these memories: static_assert(board.lay_out(memories)). See heap/layout.hpp. Heaps whose memory
  // begins where it likes (files, anonymous pages, a device's own) have no part in it.
  static constexpr Layout lay_out(std::span<const Memory> memories) noexcept {
    return freestone::lay_out(specs, memories);
  }
  // The place of the heap with that name or id in the list; `count` where there is none.
  static constexpr std::size_t find(const char* name) noexcept {
    std::size_t at = 0;
    while (at < count && !detail::is_same_name(specs[at].name, name)) ++at;
    return at;
  }
  static constexpr std::size_t find(unsigned id) noexcept {
    std::size_t at = 0;
    while (at < count && specs[at].id != id) ++at;
    return at;
  }

 private:
  template <class H>
  static constexpr bool may_meet(const Constraints& wanted) noexcept {
    constexpr HeapTraits heap = detail::traits_before<H>();
    return (heap.base ? never_met(heap, wanted) : never_met_anywhere(heap, wanted)) == Constraint::none;
  }
};

// One plain sentence for each thing that cannot be.
template <class... Hs>
consteval bool check_heaps() {
  using detail::all_heaps;
  using detail::has_two;
  static_assert(sizeof...(Hs) >= 1 && sizeof...(Hs) <= most_heaps, "A board has 1 to 64 heaps.");
  static_assert((detail::ZoneOfHeap<Hs>::is_said && ...), "Each heap is of one zone type: zone<Zone<...>>.");
  if constexpr (sizeof...(Hs) >= 1 && sizeof...(Hs) <= most_heaps) {
    constexpr std::array<HeapSpec, sizeof...(Hs)> specs = {Hs::spec()...};
    constexpr bool has_names = all_heaps(specs, [](const HeapSpec& heap) {
      const std::size_t length = detail::length_of_name(heap.name);
      return length >= 1 && length <= most_name_length;
    });
    static_assert(has_names, "A heap's name has 1 to 31 characters.");
    static_assert(all_heaps(specs, [](const HeapSpec& heap) { return heap.id < most_heaps; }),
                  "Each heap has an id from 0 to 63: id<20>.");
    static_assert(!has_two(specs, [](const HeapSpec& a, const HeapSpec& b) { return a.id == b.id; }),
                  "Two heaps have the same id.");
    static_assert(!has_two(specs, [](const HeapSpec& a, const HeapSpec& b) { return detail::is_same_name(a.name, b.name); }),
                  "Two heaps have the same name.");
    static_assert(all_heaps(specs, [](const HeapSpec& heap) { return heap.reserve <= heap.size; }),
                  "A heap's reserve is larger than the heap.");
    constexpr LayoutFault fault = lay_out_given(specs).fault;
    static_assert(fault != LayoutFault::size_not_granules,
                  "A heap's size is a multiple of its granule, which is a power of two, and not 0.");
    static_assert(fault != LayoutFault::misaligned,
                  "A heap's base is no multiple of its granule or alignment (a power of two).");
    static_assert(fault != LayoutFault::wraps, "A heap ends behind the last address.");
    static_assert(fault != LayoutFault::overlap, "Two heaps overlap.");
    static_assert(fault != LayoutFault::not_beside, "Two heaps should lie side by side, and both have other bases.");
    static_assert(fault != LayoutFault::unknown_beside, "A heap lies beside one that is not on this board, or beside itself.");
    static_assert(fault != LayoutFault::beside_taken, "Two heaps lie beside the same one.");
    static_assert(
        fault != LayoutFault::takes_no_base,
        "A heap has a base, a memory or a neighbour, and memory of its zone's backing begins where it likes.");
    static_assert(fault != LayoutFault::other_memory,
                  "Two heaps lie side by side, and should lie in different memories.");
  }
  return true;
}

namespace declare {

// The heaps of a board, asked in the order in which they are declared, or in the one that is given first.
template <class... Hs>
consteval auto heaps(Hs...) noexcept {
  static_assert(check_heaps<Hs...>());
  return Board<order::Declared, Hs...>();
}
template <HeapOrder O, class... Hs>
consteval auto heaps(O, Hs...) noexcept {
  static_assert(check_heaps<Hs...>());
  return Board<O, Hs...>();
}

}  // namespace declare

}  // namespace freestone
