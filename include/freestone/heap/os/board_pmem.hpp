// PMEM's platform data as tables in TOML, in PMEM's own field names:
//
//   [[memory]]                  # what reservations come from, by memory_type
//   name = "EBI1"
//   base = 0x4000_0000
//   size = "256M"
//
//   [[pmem]]                    # one pmem_setup each, in this order
//   name = "pmem_adsp"
//   size = "8M"
//   command_line = "pmem_adsp_size"  # the word of the command line (heap/os/size_words.hpp) that says another size; unless said none
//   allocator_type = "BITMAP"   # SYSTEM, ALLORNOTHING, BUDDYBESTFIT, or the generation's number; unless said, its 0
//   quantum = 4096
//   cached = true               # buffered, map_on_demand, reusable
//   memory_type = "EBI1"        # SMI_KERNEL (unless said), SMI, EBI0, or 0 to 3
//
// One file may have other systems' tables too: each reader looks at its own, and at the memories that these name. What
// is no such text is an error; so is a name of more than 31 characters, of which PMEM itself keeps 15. What the system
// itself refuses is left out, as the system does, and the others live: also a region that its memory has no room for.
// Each has the base then that is reserved for it. Where the text has no memories at all, only `start` gives one:
// whoever has the table gives it memories.
//
// Two memories have names of their own. "fmem": `reusable` regions begin there, and take no room in their memory_type
// (all at its beginning, PMEM says; here one behind the other). "unstable": what comes online, for unstable regions,
// which lie one behind the other from its start, as PMEM has it: one whose quantum does not go with that is left out.
// SYSTEM takes no room: PMEM reserves some for it, and never uses it. What is code is not a text's matter:
// request_region, release_region and setup_region.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/core/bits.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/reservations.hpp>
#include <freestone/heap/os/size_words.hpp>
#include <freestone/heap/os/toml_fields.hpp>

namespace freestone {

// google: `start` and `no_allocator`. caf: `start`, another numbering of allocators. unpluggable: `start`, `unstable`
// and the two arenas of the kernel. qualcomm: `memory_type`, and the rest of the fields.
enum class PmemGeneration : std::uint8_t { google, caf, unpluggable, qualcomm };

namespace detail {

class PmemReader {
 public:
  PmemReader(PmemGeneration generation, std::span<const SizeWord> words) noexcept : generation_(generation), words_(words) {}

  TextResult<BoardTable> read(TomlFields& board) {
    allow_systems(board);
    board.require_some("pmem");
    table_.memory = read_memories(board);
    if (board.error()) return board.error();
    if (const TextError error = reserved_.begin(table_); error) return error;
    board.each("pmem", [&](TomlFields& fields) { read_one(fields); });
    if (board.error()) return board.error();
    if (const TextError error = unused_word(words_, named_); error) return error;
    return std::move(table_);
  }

 private:
  static constexpr std::uint64_t least_page = 4096;
  static constexpr unsigned most_users = 10;
  static constexpr unsigned most_kernels = 2;
  enum Allocator : std::size_t { bitmap, system, all_or_nothing, buddy, unknown };

  bool is(PmemGeneration generation) const noexcept { return generation_ == generation; }

  void read_one(TomlFields& fields) {
    BoardHeap heap{.name = fields.name("name"), .line = fields.line()};
    fields.belong_to(heap.name);
    allow_fields(fields);
    fields.require({"name", "size"});
    heap.size = fields.bytes("size");
    word_ = word_of(fields);
    if (word_ != nullptr) heap.size = word_->size;
    heap.granule = fields.number("quantum").value_or(0);
    if (heap.granule == 0) heap.granule = least_page;
    PmemPart part{.map_on_demand = fields.flag("map_on_demand"),
                  .reusable = fields.flag("reusable"),
                  .unstable = fields.flag("unstable")};
    part.map_on_demand = part.map_on_demand || part.reusable;
    part.kernel_only =
        is(PmemGeneration::unpluggable) && (heap.name == "pmem_kernel_ebi1" || heap.name == "pmem_kernel_smi");
    const bool is_cached = part.cached = fields.flag("cached");
    const bool is_buffered = part.buffered = fields.flag("buffered");
    heap.cache = is_cached ? Cacheability::cached : is_buffered ? Cacheability::write_combined : Cacheability::uncached;
    heap.part = part;
    place(fields, part, heap);
    const Allocator allocator = allocator_of(fields);
    if (!fields.error() && passes(fields, part, is_cached, allocator, heap)) add(allocator, std::move(heap));
  }

  void allow_fields(TomlFields& fields) {
    switch (generation_) {
      case PmemGeneration::google: return fields.allow({"name", "start", "size", "command_line", "no_allocator", "cached", "buffered"});
      case PmemGeneration::caf:
        return fields.allow({"name", "start", "size", "command_line", "allocator_type", "quantum", "cached", "buffered"});
      case PmemGeneration::unpluggable:
        return fields.allow({"name", "start", "size", "command_line", "allocator_type", "quantum", "cached", "buffered", "unstable"});
      case PmemGeneration::qualcomm:
        return fields.allow({"name", "size", "command_line", "allocator_type", "quantum", "cached", "buffered", "memory_type",
                             "map_on_demand", "reusable"});
    }
  }

  // What the command line says of its size, if anything.
  const SizeWord* word_of(TomlFields& fields) {
    if (!fields.has("command_line")) return nullptr;
    named_.push_back(fields.name("command_line"));
    return find_word(words_, named_.back());
  }

  void place(TomlFields& fields, const PmemPart& part, BoardHeap& heap) {
    if (is(PmemGeneration::qualcomm)) {
      static constexpr const char* names[] = {"SMI_KERNEL", "SMI", "EBI0", "EBI1"};
      const std::size_t memory = fields.word_or_number("memory_type", {"SMI_KERNEL", "SMI", "EBI0", "EBI1"});
      if (memory == 4) return fields.fail("memory_type", TextFault::unknown_word);
      heap.memory = part.reusable ? "fmem" : names[memory];
    } else if (part.unstable) {
      heap.memory = "unstable";  // one behind the other in what comes online
    } else {
      fields.require({"start"});
      heap.base = fields.number("start");
      heap.may_be_outside = true;
    }
  }

  Allocator allocator_of(TomlFields& fields) {
    if (is(PmemGeneration::google)) return fields.flag("no_allocator") ? all_or_nothing : buddy;
    if (is(PmemGeneration::caf)) {
      const Allocator numbered[] = {all_or_nothing, buddy, bitmap, unknown};
      return numbered[fields.word_or_number("allocator_type", {"ALLORNOTHING", "BUDDYBESTFIT", "BITMAP"})];
    }
    return static_cast<Allocator>(
        fields.word_or_number("allocator_type", {"BITMAP", "SYSTEM", "ALLORNOTHING", "BUDDYBESTFIT"}));
  }

  // pmem_setup's refusals in its order. An id that was given is given once.
  bool passes(TomlFields& fields, const PmemPart& part, bool is_cached, Allocator allocator, BoardHeap& heap) {
    const std::uint64_t quantum = heap.granule.value();
    if (part.kernel_only && is_cached) return leave_out(fields, "cached", TextFault::not_allowed);
    if (part.kernel_only && has(heap.name)) return leave_out(fields, "name", TextFault::duplicate_name);
    const bool is_full = part.kernel_only ? kernels_ == most_kernels : users_ == most_users;
    if (is_full) return leave_out(fields, "name", TextFault::too_many);
    if (heap.size == 0) return leave_out(fields, "size", TextFault::zero_size);
    heap.id = part.kernel_only ? most_users + kernels_++ : users_++;
    std::get<PmemPart>(heap.part).id = heap.id;
    if (quantum < least_page) return leave_out(fields, "quantum", TextFault::below_page);
    if (!bits::is_power_of_two(quantum)) return leave_out(fields, "quantum", TextFault::not_power_of_two);
    if (heap.base && (*heap.base & (quantum - 1)) != 0) return leave_out(fields, "start", TextFault::not_multiple);
    if ((heap.size.value() & (quantum - 1)) != 0) return leave_out(fields, "size", TextFault::not_multiple);
    if (allocator == unknown) return leave_out(fields, "allocator_type", TextFault::unknown_word);
    if (is(PmemGeneration::unpluggable) && allocator == system)
      return leave_out(fields, "allocator_type", TextFault::not_allowed);
    if (has(heap.name)) return leave_out(fields, "name", TextFault::duplicate_name);
    if (allocator == system) return true;
    if (part.unstable) return finds_unstable_room(fields, heap);
    return heap.base ? has_room(fields, heap) : finds_room(fields, heap);
  }
  // Just behind the last one, where it is when its memory comes online; so it may not lie anywhere else.
  bool finds_unstable_room(TomlFields& fields, BoardHeap& heap) {
    const auto memory = std::ranges::find(table_.memory, heap.memory, &BoardMemory::name);
    if (memory == table_.memory.end()) return finds_room(fields, heap);  // or says that it is not there
    const std::uint64_t base = memory->base + unstable_;
    if ((base & (heap.granule.value() - 1)) != 0) {
      TextError error = fields.error_at("quantum", TextFault::layout);
      error.layout = LayoutFault::misaligned;
      return leave_out(std::move(error));
    }
    const bool fits = base != 0 && heap.size.value() <= memory->size.value() - unstable_;
    if (!fits) return leave_out(no_place(fields, heap, LayoutFault::does_not_fit));
    heap.base = base;
    if (!has_room(fields, heap)) return false;
    unstable_ += heap.size.value();
    return true;
  }
  bool finds_room(TomlFields& fields, BoardHeap& heap) {
    const LayoutFault fault = reserved_.reserve(heap);
    if (fault == LayoutFault::none) return true;
    return leave_out(no_place(fields, heap, fault));
  }
  // (PMEM leaves this to whoever reserves the memory.)
  bool has_room(TomlFields& fields, const BoardHeap& heap) {
    if (heap.size.value() - 1 > ~*heap.base) return leave_out(fields, "start", TextFault::wraps);
    for (const BoardHeap& other : table_.heaps) {
      if (!other.base || *other.base > *heap.base + (heap.size.value() - 1) ||
          *heap.base > *other.base + (other.size.value() - 1))
        continue;
      leave_out(fields, "start", TextFault::overlap);
      table_.left_out.back().other = other.name;
      return false;
    }
    reserved_.take(*heap.base, heap.size);
    return true;
  }

  bool has(const std::string& name) const noexcept {
    for (const BoardHeap& heap : table_.heaps) {
      if (heap.name == name) return true;
    }
    return false;
  }
  bool leave_out(TomlFields& fields, std::string_view field, TextFault what) { return leave_out(fields.error_at(field, what)); }
  // What is wrong with a size is wrong with the word that says it.
  bool leave_out(TextError error) {
    if (word_ != nullptr && error.field == "size") error.field = word_->name, error.value = word_->text, error.column = 0;
    table_.left_out.push_back(std::move(error));
    return false;
  }

  void add(Allocator allocator, BoardHeap heap) {
    static constexpr const char* strategies[] = {"bitmap", "system", "all_or_nothing", "buddy"};
    heap.strategy = strategies[allocator];
    if (allocator == system) {
      heap.granule = least_page;
      heap.backing = "anonymous";
      heap.cache.reset();  // the CPU's own memory
      heap.memory.clear();
    }
    table_.heaps.push_back(std::move(heap));
  }

  PmemGeneration generation_;
  std::span<const SizeWord> words_;
  std::vector<std::string> named_ = {};  // words that regions have
  const SizeWord* word_ = nullptr;       // of the region that is read
  BoardTable table_ = {};
  Reservations reserved_ = {};
  std::uint64_t unstable_ = 0;  // of that memory, from its start
  unsigned users_ = 0;
  unsigned kernels_ = 0;
};

}  // namespace detail

// `words` are the command line's. Errors: what is no such text, with line and field; memories that overlap; unused_word. Left out, as pmem_setup has it and in its
// order: too_many (ten, and the kernel's two), zero_size, below_page and not_power_of_two of the quantum, not_multiple
// of start (which PMEM itself asks of `unpluggable` only; but no zone of the others could begin there) and size,
// unknown_word for the allocator, duplicate_name, overlap and wraps of `start`, `layout` where its memory is not there
// or has no room; and where it is `unpluggable`: not_allowed for a cached arena of the kernel's, and for SYSTEM. An id
// counts from 0, and is not given again where it is left out after the first two of these.
inline TextResult<BoardTable> read_pmem(std::string_view text, PmemGeneration generation = PmemGeneration::qualcomm,
                                        std::span<const SizeWord> words = {}) {
  const auto parsed = detail::parse_toml(text);
  if (!parsed) return parsed.error();
  detail::TomlFields fields(*parsed);
  return detail::PmemReader(generation, words).read(fields);
}

}  // namespace freestone
