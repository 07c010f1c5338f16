// What a system reserves of its memories at boot, one piece after the other. For the readers of platform data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <freestone/core/units.hpp>
#include <freestone/heap/layout.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/toml_fields.hpp>

namespace freestone::detail {

class Reservations {
 public:
  // The names stay the table's. Errors: two memories that overlap.
  TextError begin(const BoardTable& board) {
    memories_ = board.memories();
    const Layout layout = lay_out({}, memories_);
    return layout ? TextError() : wrong(layout, {}, board.memory);
  }

  // A piece that has its place, which may be in none of the memories.
  void take(std::uint64_t base, Bytes size) { pieces_.push_back({.size = size, .base = base, .may_be_outside = true}); }

  // The lowest place that is left for the heap in its memory becomes its base. Where there are no memories, nothing
  // happens. Faults, and then it has none: unknown_memory, does_not_fit (also where only 0 is left, which is how these
  // systems say so), misaligned (the alignment is no power of two).
  LayoutFault reserve(BoardHeap& heap) {
    if (memories_.empty()) return LayoutFault::none;
    const char* const memory = heap.memory.empty() ? nullptr : heap.memory.c_str();
    pieces_.push_back({.size = heap.size, .align = heap.align, .granule = heap.granule, .memory = memory});
    const Layout layout = lay_out(pieces_, memories_);
    const std::size_t last = pieces_.size() - 1;
    pieces_.pop_back();
    if (!layout) return layout.fault;
    if (layout.places[last].base == 0) return LayoutFault::does_not_fit;
    heap.base = layout.places[last].base;
    take(*heap.base, heap.size);
    return LayoutFault::none;
  }

 private:
  std::vector<Memory> memories_ = {};
  std::vector<HeapSpec> pieces_ = {};
};

// What to say of a heap that got no place.
inline TextError no_place(const TomlFields& fields, const BoardHeap& heap, LayoutFault fault) {
  const bool is_memory = fault == LayoutFault::unknown_memory;
  const bool is_align = fault == LayoutFault::misaligned;
  TextError error = fields.error_at(is_memory ? "memory_type" : is_align ? "align" : "size", TextFault::layout);
  error.layout = fault;
  if (is_memory) error.value = heap.memory;
  return error;
}

}  // namespace freestone::detail
