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
// One file may have other systems' tables too: each reader looks at its own. What is no such text is an error. What the
// system itself refuses is left out, as the system does, and the others live.
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
    board.allow({"order", "memory", "heap", "pmem", "ion", "has_outer_cache"});
    table_.order = is_msm() ? "ascending_id" : "descending_id";
    table_.memory = read_memories(board);
    has_outer_cache_ = board.flag("has_outer_cache");
    board.require({"ion"});
    board.each("ion", [&](TomlFields& fields) { read_one(fields); });
    if (board.error()) return board.error();
    if (const TextError error = check_overlaps(); error) return error;
    place_neighbours();
    for (std::size_t at = 0; at < listed_.size(); ++at) register_heap(at);
    return std::move(table_);
  }

 private:
  static constexpr std::uint64_t least_page = 4096;
  enum Type : std::size_t { system, system_contig, carveout, iommu, cp, chunk, dma, custom, unknown };
  // A heap of the list, before it is known whether it lives.
  struct Listed {
    BoardHeap heap;
    Type type;
    std::optional<std::uint64_t> neighbour;
  };

  bool is_msm() const noexcept { return system_.family == IonFamily::msm; }
  static bool is_pool(Type type) noexcept { return type == carveout || type == cp || type == chunk; }

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
    heap.memory = memory == 1 ? "SMI" : "EBI";
    heap.part = part_of(fields, static_cast<unsigned>(number_of(type)));
    listed_.push_back({std::move(heap), type, fields.number("adjacent_mem_id", 31)});
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

  // A carve-out that has no base yet, and names a heap of the list: one reservation for both, it first, in the memory
  // of that heap.
  void place_neighbours() {
    for (Listed& one : listed_) {
      if (one.type != carveout || one.heap.base || !one.neighbour) continue;
      for (Listed& next : listed_) {
        if (next.heap.id != *one.neighbour || &next == &one || is_fixed_in_fmem(next.heap)) continue;
        one.heap.beside = next.heap.name;
        one.heap.memory = next.heap.memory;
        break;
      }
    }
  }
  static bool is_fixed_in_fmem(const BoardHeap& heap) {
    const auto& part = std::get<IonPart>(heap.part);
    return part.mem_is_fmem && part.fixed_position == "MIDDLE";
  }
  bool has_neighbour(const BoardHeap& heap) const noexcept {
    if (!heap.beside.empty()) return true;
    for (const Listed& one : listed_) {
      if (one.heap.beside == heap.name) return true;
    }
    return false;
  }

  // ion_heap_create's and ion_device_add_heap's refusals.
  void register_heap(std::size_t at) {
    const Listed& listed = listed_[at];
    BoardHeap heap = listed.heap;
    if (listed.type == unknown || listed.type == custom) return leave_out(heap, "type", TextFault::unknown_word);
    if (is_pool(listed.type)) {
      if (heap.size == 0) return leave_out(heap, "size", TextFault::zero_size);
      if ((heap.size.value() & (least_page - 1)) != 0)
        return leave_out(heap, "size", TextFault::not_multiple, short_size(heap.size.value()));
      if (heap.base && (*heap.base & (least_page - 1)) != 0)
        return leave_out(heap, "base", TextFault::not_multiple, hex(*heap.base));
      if (!heap.base && heap.align == 0 && !has_neighbour(heap)) return leave_out(heap, "base", TextFault::needs_base);
    } else {
      use_own_memory(listed.type, heap);
    }
    for (const BoardHeap& other : table_.heaps) {
      if (other.id == heap.id) return leave_out(heap, "id", TextFault::duplicate_id, std::to_string(heap.id));
    }
    table_.heaps.push_back(std::move(heap));
  }
  void leave_out(const BoardHeap& heap, const char* field, TextFault what, std::string value = {}) {
    table_.left_out.push_back(wrong(heap, field, what, std::move(value)));
    for (BoardHeap& one : table_.heaps) {
      if (one.beside == heap.name) one.beside.clear();
    }
    for (Listed& one : listed_) {
      if (one.heap.beside == heap.name && one.heap.line != heap.line) one.heap.beside.clear();
    }
  }

  // Heaps that take what the system has: there is a quota, and no place of their own.
  void use_own_memory(Type type, BoardHeap& heap) const {
    if (type == dma && heap.base) return;
    if (heap.size == 0) heap.size = system_.system_size;
    heap.size = bits::align_up(heap.size.value(), least_page);
    heap.backing = "anonymous";
    heap.strategy = type == system || type == iommu ? "system" : type == system_contig ? "buddy" : "bitmap";
    heap.base.reset();
    heap.align = 0;
    heap.memory.clear();
  }

  IonSystem system_;
  BoardTable table_ = {};
  std::vector<Listed> listed_ = {};
  bool has_outer_cache_ = false;
};

}  // namespace detail

// Errors: what is no such text, and two heaps whose bases are given and overlap (ION stops the system). Left out, as
// ION's probe has it: unknown_word for the type, zero_size and not_multiple of a page, needs_base where there is
// neither base nor align nor neighbour, duplicate_id.
inline TextResult<BoardTable> read_ion(std::string_view text, const IonSystem& system = {}) {
  const auto parsed = detail::parse_toml(text);
  if (!parsed) return parsed.error();
  detail::TomlFields fields(*parsed);
  return detail::IonReader(system).read(fields);
}

}  // namespace freestone
