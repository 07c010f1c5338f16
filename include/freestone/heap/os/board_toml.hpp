// A board as a table in TOML (https://toml.io), in the words that heap/declare.hpp has for it.
//
//   order = "descending_id"        # declared (unless said), ascending_id, descending_id, newest_first
//
//   [[memory]]                     # where heaps without a base may lie; any number of them
//   name = "dram"
//   base = 0x4000_0000
//   size = "512M"
//
//   [[heap]]
//   name = "camera"                # 1 to 31 characters, no two the same
//   id = 20                        # 0 to 63, no two the same
//   size = "64M"                   # a multiple of the granule
//   granule = "4K"                 # a power of two; 4096 unless said
//   base = 0x8000_0000             # its first address; unless said it gets one in a memory
//   align = "1M"                   # of its first address
//   memory = "dram"                # that memory; unless said the first that has room
//   beside = "codec"               # it ends where that heap begins
//   reserve = "4M"                 # stays free, but for those who may use it
//   type = "carveout"              # for devices that tell heaps by their types (device/os/board_nodes.hpp)
//   mode = "0600"                  # for devices: who may have buffers of it (there too)
//   strategy = "best_fit"          # bitmap unless said; the others: runtime_heaps.hpp
//   backing = "numbers"            # also memory_file, anonymous
//   cache = "uncached"             # cached, uncached, write_combined; unless said as its zone has it
//
// A number is an integer, or a text: "64M", "0xffff_ffff_0000_0000" (TOML's own integers end at 63 bits).
//
// One file may have other tables too ([[pmem]], [[ion]], [[node]]): each reader looks at its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/toml_fields.hpp>

namespace freestone {

namespace detail {

inline BoardHeap read_heap(TomlFields& fields) {
  BoardHeap heap;
  heap.line = fields.line();
  heap.name = fields.name("name");
  fields.belong_to(heap.name);
  fields.allow({"name", "id", "size", "granule", "base", "align", "memory", "beside", "reserve", "type", "mode",
                "strategy", "backing", "cache"});
  fields.require({"name", "id", "size"});
  heap.id = static_cast<unsigned>(fields.number("id", most_heaps - 1).value_or(most_heaps));
  heap.size = fields.bytes("size");
  heap.granule = fields.number("granule").value_or(4096);
  heap.base = fields.number("base");
  heap.align = fields.bytes("align");
  heap.memory = fields.name("memory");
  heap.beside = fields.name("beside");
  heap.reserve = fields.bytes("reserve");
  heap.type = fields.text("type");
  if (fields.has("strategy")) heap.strategy = fields.text("strategy");
  if (fields.has("backing")) heap.backing = fields.text("backing");
  const auto cache = fields.word("cache", {"cached", "uncached", "write_combined"});
  if (cache) heap.cache = static_cast<Cacheability>(*cache);
  if (heap.reserve > heap.size) fields.fail("reserve", TextFault::reserve_too_large);
  return heap;
}

// Is another there already that has this one's name or id?
inline void check_new(const std::vector<BoardHeap>& heaps, const BoardHeap& heap, TomlFields& fields) {
  if (heaps.size() == most_heaps) fields.fail("id", TextFault::too_many);
  for (const BoardHeap& other : heaps) {
    if (other.name == heap.name) fields.fail("name", TextFault::duplicate_name);
    if (other.id == heap.id) fields.fail("id", TextFault::duplicate_id);
  }
}

// What can be told before it is known which heaps get addresses.
inline TextError check_given(const BoardTable& board) {
  const auto memories = board.memories();
  if (const Layout layout = lay_out({}, memories); !layout) return wrong(layout, {}, board.memory);
  std::vector<const BoardHeap*> heaps;
  for (const BoardHeap& heap : board.heaps) heaps.push_back(&heap);
  const auto specs = board.specs();
  if (const Layout layout = lay_out_given(specs); !layout) return wrong(layout, heaps);
  for (std::size_t heap = 0; heap < heaps.size(); ++heap) {
    if (!has_memory(board, *heaps[heap])) return wrong({.fault = LayoutFault::unknown_memory, .heap = heap}, heaps);
  }
  return {};
}

}  // namespace detail

// Errors: each with its line and field. Whether the program has the strategies and backings is not looked at here, nor
// whether there is room for those without a base. (The text's own copies come from the heap: where that is exhausted,
// std::string says so in its way. The same holds for all that reads texts.)
inline TextResult<BoardTable> read_toml(std::string_view text) {
  const auto parsed = detail::parse_toml(text);
  if (!parsed) return parsed.error();
  detail::TomlFields fields(*parsed);
  detail::allow_systems(fields);
  BoardTable board;
  if (fields.has("order")) board.order = fields.text("order");
  board.memory = detail::read_memories(fields);
  fields.each("heap", [&](detail::TomlFields& one) {
    BoardHeap heap = detail::read_heap(one);
    detail::check_new(board.heaps, heap, one);
    board.heaps.push_back(std::move(heap));
  });
  if (board.heaps.empty()) fields.fail("heap", TextFault::missing_field);
  if (fields.error()) return fields.error();
  if (const TextError error = detail::check_given(board); error) return error;
  return board;
}

}  // namespace freestone
