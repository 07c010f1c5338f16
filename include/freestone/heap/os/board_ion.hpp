// ION's platform data as tables in TOML, in ION's own field names:
//
//   has_outer_cache = true      # of the device, for every heap
//
//   [[memory]]                  # what reservations come from, by memory_type
//   name = "EBI"
//   base = 0x4000_0000
//   size = "256M"
//
//   [[ion]]                     # one platform_heap each, in this order
//   type = "CARVEOUT"           # or the family's number
//   id = 20
//   name = "camera_preview"
//   size = "16M"
//   memory_type = "EBI"         # or SMI
//   align = "128K"
//   adjacent_mem_id = 8         # of a carve-out: one reservation with that heap, and before it
//
// One file may have other systems' tables too: each reader looks at its own, and at the memories that these name. What
// is no such text is an error. What the system itself refuses is left out, as the system does, and the others live:
// also a heap that its memory has no room for.
//
// Who has no base gets one, as ION's probe reserves: first the carve-outs with their neighbours, which leave a base
// that they have, and are secured together with them; then the others, in their order. (A heap that ION refuses takes
// no room here.) A base that is given is kept, whether or not it is in a memory, and aligned. Where the text has no
// memories at all, nobody gets a base, and nothing is secured: whoever has the table gives it memories.
//
// The memory of the name "fmem" is all that fmem reserved, from its low end to its high one. A CP heap that is
// `reusable` or mem_is_fmem begins there, behind a carve-out that is its neighbour. One that is fixed in the MIDDLE of
// fmem does not become part of the carve-out's reservation; they are secured together, unless the text says what is.
// Virtual addresses stay as the text has them. What is code is not a text's matter: request_region, release_region and
// setup_region.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/core/bits.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/reservations.hpp>
#include <freestone/heap/os/toml_fields.hpp>

namespace freestone {

// msm: 3.0 to 3.10 of Qualcomm; aosp: from 3.10 on. Their numbers for types differ.
enum class IonFamily : std::uint8_t { msm, aosp };

struct IonSystem {
  IonFamily family = IonFamily::msm;
  Bytes system_size =
      std::uint64_t{64} << 20;  // what a heap of the system's own memory may have, where the text says no size
};

namespace detail {

class IonReader {
 public:
  explicit IonReader(const IonSystem& system) noexcept : system_(system) {}

  TextResult<BoardTable> read(TomlFields& board) {
    allow_systems(board);
    board.require_some("ion");
    table_.order = is_msm() ? "ascending_id" : "descending_id";
    table_.memory = read_memories(board);
    has_outer_cache_ = board.flag("has_outer_cache");
    board.each("ion", [&](TomlFields& fields) { read_one(fields); });
    if (board.error()) return board.error();
    if (const TextError error = reserved_.begin(table_); error) return error;
    if (const TextError error = check_overlaps(); error) return error;
    for (Listed& one : listed_) check_alone(one);
    for (Listed& one : listed_) join_neighbour(one);
    for (Listed& one : listed_) place_alone(one);
    for (Listed& one : listed_) {
      if (one.refusal)
        table_.left_out.push_back(std::move(one.refusal));
      else
        table_.heaps.push_back(std::move(one.heap));
    }
    return std::move(table_);
  }

 private:
  static constexpr std::uint64_t least_page = 4096;
  enum Type : std::size_t { system, system_contig, carveout, iommu, cp, chunk, dma, custom, unknown };
  // A heap of the list, and why it does not live, where that is known.
  struct Listed {
    TomlFields fields;
    BoardHeap heap;
    Type type;
    std::optional<std::uint64_t> neighbour;
    TextError refusal = {};

    void refuse(const char* field, TextFault what) {
      if (!refusal) refusal = fields.error_at(field, what);
    }
    bool has_place_of_its_own() const noexcept { return !refusal && heap.backing == "numbers"; }
  };

  bool is_msm() const noexcept { return system_.family == IonFamily::msm; }
  // Not what takes the system's own memory.
  static bool is_pool(const Listed& one) noexcept {
    return one.type == carveout || one.type == cp || one.type == chunk || (one.type == dma && one.heap.base);
  }

  void read_one(TomlFields& fields) {
    BoardHeap heap{.name = fields.name("name"), .line = fields.line()};
    fields.belong_to(heap.name);
    fields.allow({"type", "id", "name", "base", "size", "memory_type", "align", "priv", "adjacent_mem_id",
                  "fixed_position", "reusable", "mem_is_fmem", "permission_type", "secure_base", "secure_size",
                  "iommu_map_all", "iommu_2x_map_domain", "no_nonsecure_alloc", "virt_addr"});
    fields.require({"type", "id", "name"});
    const Type type = type_of(fields);
    heap.id =
        static_cast<unsigned>(fields.number("id", is_msm() ? 30 : 31).value_or(most_heaps));  // msm's 31 is SECURE
    heap.size = fields.bytes("size");
    heap.align = fields.bytes("align");
    if (fields.number("base").value_or(0) != 0) heap.base = fields.number("base");
    const std::size_t memory = fields.word_or_number("memory_type", {"EBI", "SMI"});
    if (memory == 2) fields.fail("memory_type", TextFault::unknown_word);
    if (is_msm() || fields.has("memory_type")) heap.memory = memory == 1 ? "SMI" : "EBI";
    const IonPart part = part_of(fields, static_cast<unsigned>(number_of(type)));
    if (type == cp && (part.reusable || part.mem_is_fmem)) heap.memory = "fmem";
    heap.part = part;
    const auto neighbour = fields.number("adjacent_mem_id", 31);
    listed_.push_back({fields, std::move(heap), type, neighbour});
  }

  IonPart part_of(TomlFields& fields, unsigned type) const {
    const auto position = fields.word("fixed_position", {"LOW", "MIDDLE", "HIGH"});
    IonPart part{.type = type, .has_outer_cache = has_outer_cache_, .reusable = fields.flag("reusable")};
    part.mem_is_fmem = fields.flag("mem_is_fmem");
    part.iommu_map_all = fields.flag("iommu_map_all");
    part.iommu_2x_map_domain = fields.flag("iommu_2x_map_domain");
    part.no_nonsecure_alloc = fields.flag("no_nonsecure_alloc");
    if (position) part.fixed_position = fields.text("fixed_position");
    part.permission_type = fields.number("permission_type").value_or(0);
    part.secure_base = fields.number("secure_base").value_or(0);
    part.secure_size = fields.bytes("secure_size");
    part.virt_addr = fields.number("virt_addr").value_or(0);
    part.priv = fields.number("priv").value_or(0);
    return part;
  }

  Type type_of(TomlFields& fields) const {
    if (is_msm()) {
      const Type types[] = {system, system_contig, carveout, iommu, cp, custom, unknown};
      return types[fields.word_or_number("type", {"SYSTEM", "SYSTEM_CONTIG", "CARVEOUT", "IOMMU", "CP", "CUSTOM"})];
    }
    const Type types[] = {system, system_contig, carveout, chunk, dma, custom, unknown};
    return types[fields.word_or_number("type", {"SYSTEM", "SYSTEM_CONTIG", "CARVEOUT", "CHUNK", "DMA", "CUSTOM"})];
  }
  static std::size_t number_of(Type type) noexcept {
    constexpr std::size_t numbers[] = {0, 1, 2, 3, 4, 3, 4, 5, 6};
    return numbers[type];
  }

  // ION looks last, when all are live, and stops the system; here none is made.
  TextError check_overlaps() const {
    for (const Listed& one : listed_) {
      if (!one.heap.base) continue;
      if (one.heap.size != 0 && one.heap.size.value() - 1 > ~*one.heap.base)
        return wrong(one.heap, "base", TextFault::wraps, hex(*one.heap.base));
      for (const Listed& other : listed_) {
        if (&other == &one) break;
        if (!other.heap.base || !overlap(one.heap, other.heap)) continue;
        TextError error = wrong(one.heap, "base", TextFault::overlap, hex(*one.heap.base));
        error.other = other.heap.name;
        return error;
      }
    }
    return {};
  }
  static bool overlap(const BoardHeap& a, const BoardHeap& b) noexcept {
    return *a.base == *b.base || starts_in(a, b) || starts_in(b, a);
  }
  static bool starts_in(const BoardHeap& a, const BoardHeap& b) noexcept {
    return *a.base >= *b.base && *a.base - *b.base < b.size.value();
  }

  // What is wrong with a heap wherever it lies. (ION takes two of one name; but here others find heaps by their names.)
  void check_alone(Listed& one) {
    BoardHeap& heap = one.heap;
    if (one.type == unknown || one.type == custom) one.refuse("type", TextFault::unknown_word);
    if (is_pool(one)) {
      check_range(one);
    } else {
      use_own_memory(one.type, heap);
    }
    for (const Listed& other : listed_) {
      if (&other == &one) break;
      if (!other.refusal && other.heap.id == heap.id) one.refuse("id", TextFault::duplicate_id);
      if (!other.refusal && other.heap.name == heap.name) one.refuse("name", TextFault::duplicate_name);
    }
    if (heap.base && !one.refusal) reserved_.take(*heap.base, heap.size);
  }
  static void check_range(Listed& one) {
    BoardHeap& heap = one.heap;
    if (heap.size == 0) one.refuse("size", TextFault::zero_size);
    if ((heap.size.value() & (least_page - 1)) != 0) one.refuse("size", TextFault::not_multiple);
    if (!heap.base) return;
    if ((*heap.base & (least_page - 1)) != 0) one.refuse("base", TextFault::not_multiple);
    heap.may_be_outside = true;
    heap.align = 0;
  }
  // Heaps that take what the system has: there is a quota, and no place of their own.
  void use_own_memory(Type type, BoardHeap& heap) const {
    if (heap.size == 0) heap.size = system_.system_size;
    heap.size = bits::align_up(heap.size.value(), least_page);
    heap.backing = "anonymous";
    heap.strategy = type == system || type == iommu ? "system" : type == system_contig ? "buddy" : "bitmap";
    heap.base.reset();
    heap.align = 0;
    heap.memory.clear();
  }

  // A carve-out that has no base yet, and names a heap of the list: one reservation for both, it first, in the memory
  // of that heap. Where there is no room for it, each goes on alone.
  void join_neighbour(Listed& one) {
    Listed* const next = find_neighbour(one);
    if (next == nullptr) return;
    if (is_fixed_in_fmem(next->heap)) return secure(*next, one.heap, false);
    const bool is_joined = one.heap.base || is_in_row(one.heap);
    const bool is_too_large = next->heap.size.value() > ~one.heap.size.value();
    if (is_joined || is_too_large || !is_power_of_two_or_0(one.heap.align)) return;
    BoardHeap both = one.heap;
    both.size = one.heap.size + next->heap.size;
    both.memory = next->heap.memory;
    if (both.memory == "fmem") both.align = 0;
    if (reserved_.reserve(both) != LayoutFault::none) return;
    join(one, *next, both);
  }
  Listed* find_neighbour(const Listed& one) noexcept {
    if (one.type != carveout || one.refusal || !one.neighbour) return nullptr;
    for (Listed& next : listed_) {
      if (&next != &one && next.heap.id == *one.neighbour && next.has_place_of_its_own()) return &next;
    }
    return nullptr;
  }
  static bool is_fixed_in_fmem(const BoardHeap& heap) {
    const auto& part = std::get<IonPart>(heap.part);
    return part.mem_is_fmem && part.fixed_position == "MIDDLE";
  }
  static bool is_power_of_two_or_0(Bytes align) noexcept { return (align.value() & (align.value() - 1)) == 0; }
  // `both` has a base, unless there are no memories.
  void join(Listed& one, Listed& next, const BoardHeap& both) {
    for (Listed& other : listed_) {
      if (other.heap.beside == next.heap.name) other.heap.beside.clear();
    }
    one.heap.beside = next.heap.name;
    one.heap.memory = next.heap.memory;
    one.heap.align = both.align;
    one.heap.base = both.base;
    next.heap.beside.clear();
    next.heap.align = 0;  // it begins where the carve-out ends
    next.heap.may_be_outside = false;
    next.heap.base.reset();
    if (!both.base) return;
    next.heap.base = *both.base + one.heap.size.value();
    secure(next, one.heap, true);
  }
  static void secure(Listed& heap, const BoardHeap& carveout, bool always) {
    auto& part = std::get<IonPart>(heap.heap.part);
    if (!always && part.secure_size != 0) return;
    part.secure_base = carveout.base.value_or(0);
    part.secure_size = carveout.size + heap.heap.size;
  }
  bool is_in_row(const BoardHeap& heap) const noexcept {
    if (!heap.beside.empty()) return true;
    for (const Listed& one : listed_) {
      if (one.heap.beside == heap.name) return true;
    }
    return false;
  }

  void place_alone(Listed& one) {
    BoardHeap& heap = one.heap;
    if (heap.may_be_outside) heap.memory.clear();
    if (!one.has_place_of_its_own() || heap.base || is_in_row(heap)) return;
    const bool is_from_fmem = heap.memory == "fmem";
    if (is_from_fmem) heap.align = 0;
    if (is_msm() && heap.align == 0 && !is_from_fmem) return one.refuse("base", TextFault::needs_base);
    if (!is_power_of_two_or_0(heap.align)) return one.refuse("align", TextFault::not_power_of_two);
    const LayoutFault fault = reserved_.reserve(heap);
    if (fault != LayoutFault::none) one.refusal = no_place(one.fields, heap, fault);
  }

  IonSystem system_;
  BoardTable table_ = {};
  Reservations reserved_ = {};
  std::vector<Listed> listed_ = {};
  bool has_outer_cache_ = false;
};

}  // namespace detail

// Errors: what is no such text, memories that overlap, and two heaps whose bases are given and overlap (ION stops the
// system). Left out, as ION's probe has it: unknown_word for the type, zero_size and not_multiple of a page,
// duplicate_id of a heap before it; needs_base where there is neither base nor align nor neighbour (msm's; aosp's need
// no align), `layout` where its memory is not there or has no room. Also duplicate_name, which ION takes, and
// not_power_of_two.
inline TextResult<BoardTable> read_ion(std::string_view text, const IonSystem& system = {}) {
  const auto parsed = detail::parse_toml(text);
  if (!parsed) return parsed.error();
  detail::TomlFields fields(*parsed);
  return detail::IonReader(system).read(fields);
}

}  // namespace freestone
