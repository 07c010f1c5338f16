// The heaps of a board that a text describes: read_toml's, read_mmz's, read_pmem's or read_ion's table, as
// heap/heaps.hpp has one that is compiled in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <freestone/core/result.hpp>
#include <freestone/heap/heap_requests.hpp>
#include <freestone/heap/order.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/zone_kinds.hpp>
#include <freestone/heap/result.hpp>
#include <freestone/heap/zone_addresses.hpp>
#include <freestone/zone/zone_ref.hpp>

namespace freestone {

namespace detail {

// Takes a table until each heap has its kind and its place; or says which line is wrong.
class TablePlan {
 public:
  TablePlan(BoardTable& board, std::span<const KindEntry> kinds) : board_(board), kinds_(kinds) {}

  TextError run() {
    if (TextError error = check_ids(); error) return error;
    if (TextError error = choose_kinds(); error) return error;
    return lay_out_numbers();
  }
  const KindEntry& kind(std::size_t place) const noexcept { return *chosen_[place]; }

 private:
  TextError check_ids() const {
    std::uint64_t seen = 0;
    for (const BoardHeap& heap : board_.heaps) {
      const std::uint64_t bit = HeapMask::of(heap.id).bits();
      if (bit == 0) return wrong(heap, "id", TextFault::out_of_range, std::to_string(heap.id));
      if ((seen & bit) != 0) return wrong(heap, "id", TextFault::duplicate_id, std::to_string(heap.id));
      if (heap.reserve > heap.size)
        return wrong(heap, "reserve", TextFault::reserve_too_large, short_size(heap.reserve.value()));
      seen |= bit;
    }
    return {};
  }

  TextError choose_kinds() {
    for (const BoardHeap& heap : board_.heaps) {
      const KindEntry* found = nullptr;
      bool has_strategy = false;
      bool has_backing = false;
      bool has_both = false;
      for (const KindEntry& one : kinds_) {
        has_strategy = has_strategy || one.strategy == heap.strategy;
        has_backing = has_backing || one.backing == heap.backing;
        has_both = has_both || (one.strategy == heap.strategy && one.backing == heap.backing);
        if (found == nullptr && one.is_of(heap)) found = &one;
      }
      if (!has_strategy) return wrong(heap, "strategy", TextFault::unknown_word, heap.strategy);
      if (!has_backing) return wrong(heap, "backing", TextFault::unknown_word, heap.backing);
      if (!has_both) return wrong(heap, "strategy", TextFault::no_zone_type, heap.strategy + ", " + heap.backing);
      if (found == nullptr) return wrong(heap, "cache", TextFault::no_zone_type, word_of(*heap.cache));
      chosen_.push_back(found);
    }
    return check_bases();
  }
  // Who begins where it likes says no place, and nobody lies beside it.
  TextError check_bases() const {
    for (std::size_t place = 0; place < board_.heaps.size(); ++place) {
      const BoardHeap& heap = board_.heaps[place];
      const bool takes_base = chosen_[place]->takes_base;
      if (!takes_base && heap.base) return wrong(heap, "base", TextFault::takes_no_base, hex(*heap.base));
      if (!heap.beside.empty() && !(takes_base && neighbour_takes_base(heap)))
        return wrong(heap, "beside", TextFault::takes_no_base, heap.beside);
      if (!takes_base && !heap.memory.empty()) return wrong(heap, "memory", TextFault::takes_no_base, heap.memory);
    }
    return {};
  }
  bool neighbour_takes_base(const BoardHeap& heap) const noexcept {
    for (std::size_t place = 0; place < board_.heaps.size(); ++place) {
      if (board_.heaps[place].name == heap.beside) return chosen_[place]->takes_base;
    }
    return true;  // there is none: the layout says so
  }

  // Those that begin where they are told. Without memories, those that have no base begin at 0, unless they say that
  // they lie in a memory, or beside another.
  TextError lay_out_numbers() {
    std::vector<const BoardHeap*> heaps;
    std::vector<HeapSpec> specs;
    for (std::size_t place = 0; place < board_.heaps.size(); ++place) {
      if (!chosen_[place]->takes_base) continue;
      heaps.push_back(&board_.heaps[place]);
      specs.push_back(board_.heaps[place].spec());
    }
    const auto memories = board_.memories();
    const Layout layout = memories.empty() ? lay_out_given(specs) : lay_out(specs, memories);
    if (!layout) return wrong(layout, heaps, board_.memory);
    std::size_t at = 0;
    for (std::size_t place = 0; place < board_.heaps.size(); ++place) {
      if (!chosen_[place]->takes_base) continue;
      BoardHeap& heap = board_.heaps[place];
      const HeapPlace& found = layout.places[at++];
      if (found.is_placed) heap.base = found.base;
      if (!heap.base && !heap.beside.empty()) return wrong(heap, "beside", TextFault::needs_base, heap.beside);
      if (!heap.base && !has_memory(board_, heap))
        return wrong({.fault = LayoutFault::unknown_memory, .heap = at - 1}, heaps);
    }
    return {};
  }

  BoardTable& board_;
  std::span<const KindEntry> kinds_;
  std::vector<const KindEntry*> chosen_ = {};
};

}  // namespace detail

// One zone for each heap of a table, owned. What it answers is what Heaps answers for the same board. `O` is the order
// in which heaps are asked; void: the one that the text names. It moves at any time; its zones stay where they are. Who
// may call at once is a matter of each zone's lock.
template <class O = void, class Kinds = StockKinds<>>
class RuntimeHeaps : public HeapRequests<RuntimeHeaps<O, Kinds>> {
  using Requests = HeapRequests<RuntimeHeaps>;

 public:
  // Makes each zone, in the order of the table: with its name, size and granule, and its base where it has one, or gets
  // one in the table's memories. Errors: line and field of what this program cannot do, or has no room for; `zone` with
  // the first zone's own that cannot be made. Then none is left.
  static TextResult<RuntimeHeaps> create(BoardTable board) {
    detail::TablePlan plan(board, detail::entries<Kinds>);
    if (TextError error = plan.run(); error) return error;
    RuntimeHeaps heaps;
    for (std::size_t place = 0; place < board.heaps.size(); ++place) {
      const BoardHeap said = board.heaps[place];
      const Result<void> made = heaps.make(plan.kind(place), std::move(board.heaps[place]));
      if (!made) return refusal(said, made.error());
    }
    if (!heaps.arrange_by(board.order)) {
      return TextError{.what = TextFault::unknown_word, .field = "order", .value = board.order};
    }
    return heaps;
  }

  std::size_t count() const noexcept { return zones_.size(); }
  // What each is, in the order of the table.
  std::span<const HeapTraits> traits() const noexcept { return traits_; }

  // The zone of that id or name; of several with one name (MMZ's), the one that is asked first. Errors: unknown_heap.
  Result<ZoneRef> zone(unsigned id) const noexcept {
    for (std::size_t place = 0; place < count(); ++place) {
      if (traits_[place].id == id) return zones_[place];
    }
    return Error{.code = ErrorCode::unknown_heap, .asked = id};
  }
  Result<ZoneRef> zone(const char* name) const noexcept {
    for (const std::uint8_t place : asked_) {
      if (std::string_view(traits_[place].name) == name) return zones_[place];
    }
    return Error{.code = ErrorCode::unknown_heap, .zone = name};
  }
  // All heaps of that name, for Constraints; empty where there is none.
  HeapMask named(std::string_view name) const noexcept {
    HeapMask mask;
    for (const HeapTraits& heap : traits_) {
      if (name == heap.name) mask = mask | HeapMask::of(heap.id);
    }
    return mask;
  }
  // What the text said of the heap at that place of the table, its base as it is now.
  const BoardHeap& text(std::size_t place) const noexcept { return owned_[place]->text; }

  // visit(const ZoneRef&, traits) for each, in the order of the table.
  template <class Visitor>
  void for_each(Visitor&& visit) noexcept {
    for (std::size_t place = 0; place < count(); ++place)
      visit(std::as_const(zones_[place]), std::as_const(traits_[place]));
  }

  using Requests::allocate;  // in the order of the table, or of O
  using Requests::allocate_list;
  using Requests::deallocate;

  // Gives a block back to the heap that it is of. Errors: the zone's; foreign_block where it is of none of them.
  Result<void> deallocate(const Block& block) noexcept {
    for (const ZoneRef& zone : zones_) {
      if (zone.tag() == block.zone_tag()) return zone.deallocate(block);
    }
    return Error{.code = ErrorCode::foreign_block, .asked = block.offset().value()};
  }

  // The live block that the address is in, and its heap. Cost: O(log heaps), and the strategy's `containing`.
  std::optional<Located> find(const void* address) const noexcept { return locate(addresses_.find(address)); }
  std::optional<Located> find(PhysicalAddress address) const noexcept { return locate(addresses_.find(address)); }
  std::optional<Located> find(DeviceAddress address) const noexcept { return locate(addresses_.find(address)); }

 private:
  friend Requests;
  using List = typename Requests::List;

  RuntimeHeaps() = default;

  static TextError refusal(const BoardHeap& heap, const Error& error) {
    const bool is_base = error.code == ErrorCode::base_misaligned || error.code == ErrorCode::wrong_origin;
    const bool is_granule = error.code == ErrorCode::granule_zero || error.code == ErrorCode::granule_not_power_of_two;
    TextError refused = detail::wrong(heap, is_base ? "base" : is_granule ? "granule" : "size", TextFault::zone);
    refused.error = error;
    refused.error.zone = "";  // its name went with it, and is in `heap`
    return refused;
  }

  Result<void> make(const detail::KindEntry& kind, BoardHeap&& heap) {
    std::unique_ptr<detail::OwnedHeap> owner;
    std::optional<ZoneRef> zone;
    const Result<void> made = kind.make(std::move(heap), count(), owner, zone, addresses_);
    if (!made) return made;
    zones_.push_back(*zone);
    traits_.push_back(owner->traits);
    owned_.push_back(std::move(owner));
    return {};
  }

  template <class Order>
  bool arrange_in() {
    asked_.resize(count());
    arrange<Order>(traits_, asked_);
    return true;
  }
  bool arrange_by(std::string_view name) {
    if constexpr (!std::is_void_v<O>) {
      return arrange_in<O>();
    } else {
      if (name == "declared") return arrange_in<order::Declared>();
      if (name == "ascending_id") return arrange_in<order::AscendingId>();
      if (name == "descending_id") return arrange_in<order::DescendingId>();
      return name == "newest_first" && arrange_in<order::NewestFirst>();
    }
  }

  List ask_in_order(const Constraints& wanted, detail::Blocks number, std::span<Block> out, HeapError& error) noexcept {
    for (const std::uint8_t place : asked_) {
      const HeapTraits& heap = traits_[place];
      if (!wanted.heaps.contains(heap.id)) continue;
      const auto blocks = detail::ask(std::as_const(zones_[place]), heap, wanted, number, out, error);
      if (!blocks.empty()) return {blocks, heap.id};
    }
    detail::complete(error, traits_, asked_, wanted);
    return {};
  }

  std::optional<Located> locate(const std::optional<detail::RuntimeAddresses::Found>& found) const noexcept {
    if (!found || found->heap >= count()) return std::nullopt;  // moved from: it has addresses left, and no zones
    const auto block = zones_[found->heap].find_containing(found->offset);
    if (!block) return std::nullopt;
    const HeapTraits& heap = traits_[found->heap];
    return Located{{*block, heap.id}, heap.name, found->offset - block->offset()};
  }

  std::vector<std::unique_ptr<detail::OwnedHeap>> owned_ = {};
  std::vector<ZoneRef> zones_ = {};
  std::vector<HeapTraits> traits_ = {};
  std::vector<std::uint8_t> asked_ = {};
  detail::RuntimeAddresses addresses_ = {};
};

}  // namespace freestone
