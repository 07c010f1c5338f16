// A board as a text describes it: heaps and memories that own their strings; and what is wrong with such a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <freestone/core/cacheability.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/core/seam.hpp>
#include <freestone/core/units.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/layout.hpp>
#include <freestone/heap/os/layout_text.hpp>

namespace freestone {

enum class TextFault : std::uint8_t {
  none,
  // The text itself.
  syntax,    // `value`: what its parser says
  too_long,  // more bytes than the system takes
  unknown_field,
  missing_field,
  field_count,  // `value`: how many there are
  wrong_type,
  bad_number,
  out_of_range,  // a number that is negative, or larger than it can be
  bad_name,      // it has 0 characters or more than 31, or one that cannot be printed
  unknown_word,  // none of those that may stand there
  unused_word,   // of a command line: no heap has it
  // What it says.
  duplicate_name,
  duplicate_id,
  too_many,  // heaps or zones
  zero_size,
  below_page,  // less than 4096
  not_power_of_two,
  not_multiple,   // of the granule
  kernel_memory,  // it touches the kernel's own
  overlap,        // with `other`
  wraps,          // it ends behind the last address
  reserve_too_large,
  unknown_zone,   // the kernel has no zone of that name
  needs_base,     // there is no address that it could begin at
  takes_no_base,  // memory of that backing begins where it likes
  not_allowed,    // a heap that says this may not say that
  no_zone_type,   // the program has none with that strategy, backing and cache
  nothing_left,   // every zone was refused
  layout,         // `layout` says what
  zone,           // its zone cannot be made: `error` says why
};

// Which line and field, and what is wrong with it. Lines and columns count from 1; 0 where there is none.
struct TextError {
  TextFault what = TextFault::none;
  LayoutFault layout = LayoutFault::none;
  std::size_t line = 0;
  std::size_t column = 0;
  std::string heap = {};  // its name, where it has one so far
  std::string field = {};
  std::string value = {};  // as the text has it
  std::string other = {};  // the heap that it does not go together with
  Error error = {};

  explicit operator bool() const noexcept { return what != TextFault::none; }
};

// A value, or the error that says why there is none.
template <class T>
class [[nodiscard]] TextResult {
 public:
  TextResult(T value) : value_(std::move(value)) {}
  TextResult(TextError error) : error_(std::move(error)) {}

  explicit operator bool() const noexcept { return value_.has_value(); }
  T& operator*() & noexcept { return seam::expect(value_.has_value()), *value_; }
  const T& operator*() const& noexcept { return seam::expect(value_.has_value()), *value_; }
  T&& operator*() && noexcept { return seam::expect(value_.has_value()), std::move(*value_); }
  T* operator->() noexcept { return &**this; }
  const T* operator->() const noexcept { return &**this; }
  const TextError& error() const noexcept { return seam::expect(!value_.has_value()), error_; }

 private:
  std::optional<T> value_;
  TextError error_;
};

// What MMZ's text says of a zone beside: as it stands there, not cut to whole pages.
struct MmzPart {
  std::uint64_t gfp = 0;
  std::uint64_t start = 0;
  Bytes size = {};
  std::uint64_t type = 0;  // 0 default, 1 powers of two, 2 equal blocks
  Bytes block_align = {};
};
// What PMEM's platform data say beside.
struct PmemPart {
  unsigned id = 0;  // as PMEM counts regions
  bool cached = false;
  bool buffered = false;
  bool map_on_demand = false;
  bool reusable = false;
  bool unstable = false;
  bool kernel_only = false;  // it has no node
};
// What ION's platform data say beside.
struct IonPart {
  unsigned type = 0;  // as the generation counts them
  bool has_outer_cache = false;
  bool reusable = false;
  bool mem_is_fmem = false;
  bool iommu_map_all = false;
  bool iommu_2x_map_domain = false;
  bool no_nonsecure_alloc = false;
  std::string fixed_position = {};
  std::uint64_t permission_type = 0;
  std::uint64_t secure_base = 0;
  Bytes secure_size = {};
  std::uint64_t virt_addr = 0;
  std::uint64_t priv = 0;
};

// HeapSpec, with strings of its own, and what its zone is made of, by name.
struct BoardHeap {
  std::string name = {};
  unsigned id = most_heaps;
  Bytes size = {};
  Bytes align = 0;
  Bytes granule = 4096;
  std::optional<std::uint64_t> base = {};
  std::string beside = {};  // empty: beside none
  std::string memory = {};  // empty: any
  Bytes reserve = 0;
  bool may_be_outside = false;  // see HeapSpec
  std::string type = {};  // a device's word for what it is; empty: none
  std::string strategy = "bitmap";
  std::string backing = "numbers";
  std::optional<Cacheability> cache = {};  // empty: whatever the zone has
  std::variant<std::monostate, MmzPart, PmemPart, IonPart> part = {};
  std::size_t line = 0;

  // Valid until the heap changes, moves or goes.
  HeapSpec spec() const noexcept {
    return {.name = name.c_str(),
            .id = id,
            .size = size,
            .align = align,
            .granule = granule,
            .base = base,
            .beside = beside.empty() ? nullptr : beside.c_str(),
            .memory = memory.empty() ? nullptr : memory.c_str(),
            .reserve = reserve,
            .may_be_outside = may_be_outside};
  }
};

struct BoardMemory {
  std::string name = {};
  std::uint64_t base = 0;
  Bytes size = {};
  std::size_t line = 0;
};

// The heaps of a board in the order in which the text has them. `left_out`: those that the text has too, but that its
// system refuses while it goes on with the others, and why.
struct BoardTable {
  std::string order = "declared";  // also ascending_id, descending_id, newest_first
  std::vector<BoardMemory> memory = {};
  std::vector<BoardHeap> heaps = {};
  std::vector<TextError> left_out = {};

  // For lay_out: valid until the table changes, moves or goes.
  std::vector<HeapSpec> specs() const {
    std::vector<HeapSpec> specs;
    for (const BoardHeap& heap : heaps) specs.push_back(heap.spec());
    return specs;
  }
  std::vector<Memory> memories() const {
    std::vector<Memory> memories;
    for (const BoardMemory& one : memory) memories.push_back({one.name.c_str(), one.base, one.size});
    return memories;
  }
};

namespace detail {

inline TextError wrong(const BoardHeap& heap, const char* field, TextFault what, std::string value = {}) {
  return {.what = what, .line = heap.line, .heap = heap.name, .field = field, .value = std::move(value)};
}

// A field of a heap, and what it says.
using Said = std::pair<const char*, std::string>;

// What is no power of two; else the base; else what its neighbours cannot give it.
inline Said misaligned_field(const BoardHeap& heap) {
  const std::uint64_t align = heap.align.value();
  const bool is_align = (align & (align - 1)) != 0 || (!heap.base && heap.align > heap.granule);
  if (is_align) return {"align", short_size(align)};
  return heap.base ? Said("base", hex(*heap.base)) : Said("granule", short_size(heap.granule.value()));
}
// What gives it its place: its base, or its neighbour; else it is too large.
inline Said place_field(const BoardHeap& heap) {
  if (heap.base) return {"base", hex(*heap.base)};
  return heap.beside.empty() ? Said("size", short_size(heap.size.value())) : Said("beside", heap.beside);
}
// The field that a fault of the layout is about.
inline Said field_of(LayoutFault fault, const BoardHeap& heap) {
  const std::uint64_t granule = heap.granule.value();
  const bool is_granule = granule == 0 || (granule & (granule - 1)) != 0;
  switch (fault) {
    case LayoutFault::too_many_heaps: return {"id", std::to_string(heap.id)};
    case LayoutFault::size_not_granules:
      return is_granule ? Said("granule", short_size(granule)) : Said("size", short_size(heap.size.value()));
    case LayoutFault::does_not_fit: return {"size", short_size(heap.size.value())};
    case LayoutFault::misaligned: return misaligned_field(heap);
    case LayoutFault::unknown_beside:
    case LayoutFault::beside_taken: return {"beside", heap.beside};
    case LayoutFault::other_memory:
    case LayoutFault::unknown_memory: return {"memory", heap.memory};
    default: return place_field(heap);
  }
}
// Is the memory that the heap says, if any, one of the board's?
inline bool has_memory(const BoardTable& board, const BoardHeap& heap) noexcept {
  bool is_there = heap.memory.empty();
  for (const BoardMemory& memory : board.memory) is_there = is_there || memory.name == heap.memory;
  return is_there;
}
inline TextError wrong_memory(const Layout& layout, const std::vector<BoardMemory>& memories) {
  TextError error{.what = TextFault::layout, .layout = layout.fault, .field = "memory"};
  if (layout.heap >= memories.size()) return error;
  error.line = memories[layout.heap].line;
  error.value = memories[layout.heap].name;
  if (has_other(layout.fault) && layout.other < memories.size()) error.other = memories[layout.other].name;
  return error;
}
// `heaps` and `memories` are those that were laid out.
inline TextError wrong(const Layout& layout, const std::vector<const BoardHeap*>& heaps,
                       const std::vector<BoardMemory>& memories = {}) {
  if (is_of_memory(layout.fault)) return wrong_memory(layout, memories);
  if (layout.heap >= heaps.size()) return {.what = TextFault::too_many};
  const BoardHeap& heap = *heaps[layout.heap];
  const auto [field, value] = field_of(layout.fault, heap);
  TextError error = wrong(heap, field, TextFault::layout, value);
  error.layout = layout.fault;
  if (has_other(layout.fault) && layout.other < heaps.size()) error.other = heaps[layout.other]->name;
  return error;
}

}  // namespace detail

inline std::string_view describe(TextFault what) {
  switch (what) {
    case TextFault::none: return "no error";
    case TextFault::syntax: return "this is not how such a text is written";
    case TextFault::too_long: return "more text than there is room for";
    case TextFault::unknown_field: return "there is no such field";
    case TextFault::missing_field: return "it must be said";
    case TextFault::field_count: return "so many fields cannot be";
    case TextFault::wrong_type: return "a value of another type belongs there";
    case TextFault::bad_number: return "no number";
    case TextFault::out_of_range: return "a number out of range";
    case TextFault::bad_name: return "a name has 1 to 31 characters, all of which can be printed";
    case TextFault::unknown_word: return "none of the words that may stand there";
    case TextFault::unused_word: return "no heap of the board has its size from there";
    case TextFault::duplicate_name: return "another has that name";
    case TextFault::duplicate_id: return "another has that id";
    case TextFault::too_many: return "there are too many";
    case TextFault::zero_size: return "it has no bytes";
    case TextFault::below_page: return "less than a page of 4096 bytes";
    case TextFault::not_power_of_two: return "no power of two";
    case TextFault::not_multiple: return "no multiple of the granule";
    case TextFault::kernel_memory: return "the kernel's own memory lies there";
    case TextFault::overlap: return "it overlaps another";
    case TextFault::wraps: return "it ends behind the last address";
    case TextFault::reserve_too_large: return "larger than the heap";
    case TextFault::unknown_zone: return "the kernel has no zone of that name";
    case TextFault::needs_base: return "there is no address that it could begin at";
    case TextFault::takes_no_base: return "memory of that backing begins where it likes";
    case TextFault::not_allowed: return "this heap may not say that";
    case TextFault::no_zone_type: return "this program has no zone of that strategy, backing and cache";
    case TextFault::nothing_left: return "every zone was refused";
    case TextFault::layout: return "it has no place there";
    case TextFault::zone: return "its zone cannot be made";
  }
  return "a fault that this version does not know";
}

// line 7: heap 'audio': base: it overlaps ('camera'): '0x80001000'
inline std::string describe(const TextError& error) {
  std::string text;
  if (error.line != 0) text.append("line ").append(std::to_string(error.line));
  if (error.column != 0) text.append(", column ").append(std::to_string(error.column));
  if (!text.empty()) text += ": ";
  if (!error.heap.empty()) text.append("heap '").append(error.heap).append("': ");
  if (!error.field.empty()) text.append(error.field).append(": ");
  text += error.what == TextFault::layout ? describe(error.layout) : describe(error.what);
  if (!error.other.empty()) text.append(" ('").append(error.other).append("')");
  if (!error.value.empty()) text.append(": '").append(error.value).append("'");
  if (error.error) text.append(": ").append(describe(error.error));
  return text;
}

}  // namespace freestone
