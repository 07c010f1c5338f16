// A board's layout for others to read: a table, a linker script, a device tree's reserved memory, a C header, a picture.
// All print the same Layout, so that they cannot disagree.
#pragma once

#include <algorithm>
#include <cctype>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <freestone/heap/layout.hpp>

namespace freestone {

// A board and where its heaps lie. The lists are their caller's.
struct BoardLayout {
  std::string_view name;
  std::span<const HeapSpec> heaps;
  std::span<const Memory> memories;
  const Layout& layout;
};

inline std::string_view describe(LayoutFault fault) {
  switch (fault) {
    case LayoutFault::none: return "no fault";
    case LayoutFault::too_many_heaps: return "more than 64 heaps";
    case LayoutFault::size_not_granules: return "its size is 0 or no multiple of its granule, or that is no power of two";
    case LayoutFault::misaligned: return "its first address is no multiple of its granule or alignment, or that is no power of two";
    case LayoutFault::wraps: return "it ends behind the last address, or would begin before the first";
    case LayoutFault::overlap: return "it overlaps";
    case LayoutFault::not_beside: return "it should lie side by side with another, and both have other places";
    case LayoutFault::unknown_beside: return "it lies beside a heap that is not on the board, or beside itself";
    case LayoutFault::beside_taken: return "another heap lies beside that one already";
    case LayoutFault::takes_no_base:
      return "memory of that backing begins where it likes: it has no base, memory or neighbour";
    case LayoutFault::other_memory: return "it lies side by side with another, and should lie in another memory";
    case LayoutFault::unknown_memory: return "no memory of the board has the name that it should lie in";
    case LayoutFault::outside_memory: return "its place is in none of the board's memories";
    case LayoutFault::does_not_fit: return "it fits in no memory of the board";
    case LayoutFault::memories_overlap: return "it overlaps another memory";
    case LayoutFault::memory_wraps: return "the memory ends behind the last address";
  }
  return "a fault that this version does not know";
}

namespace detail {
// Does `Layout::other` say something?
constexpr bool has_other(LayoutFault fault) noexcept {
  return fault == LayoutFault::overlap || fault == LayoutFault::beside_taken || fault == LayoutFault::not_beside ||
         fault == LayoutFault::takes_no_base || fault == LayoutFault::other_memory ||
         fault == LayoutFault::memories_overlap;
}
template <class T>
std::string describe_fault(const Layout& layout, const char* kind, std::span<const T> list) {
  std::string text;
  if (layout.heap < list.size()) text.append(kind).append(" '").append(list[layout.heap].name).append("': ");
  text += describe(layout.fault);
  const bool is_said = has_other(layout.fault) && layout.other != layout.heap && layout.other < list.size();
  if (is_said) text.append(": '").append(list[layout.other].name).append("'");
  return text;
}
}  // namespace detail

// heap 'audio': it overlaps: 'camera'
inline std::string describe(const Layout& layout, std::span<const HeapSpec> heaps,
                            std::span<const Memory> memories = {}) {
  return is_of_memory(layout.fault) ? detail::describe_fault(layout, "memory", memories)
                                    : detail::describe_fault(layout, "heap", heaps);
}

namespace detail {

inline std::string hex(std::uint64_t number) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIx64, number);
  return text;
}

// 64M, 12K, 5000: as linker scripts and command lines have it too.
inline std::string short_size(std::uint64_t bytes) {
  const char* const units[] = {"", "K", "M", "G", "T"};
  std::size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit < 4) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + units[unit];
}

// A name for compilers: what is no letter or digit becomes an underscore.
inline std::string identifier(std::string_view name) {
  std::string text;
  for (const char c : name) text += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) != 0) text.insert(0, "_");
  return text;
}
inline std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}
// For comments and attributes: nothing in a name ends them.
inline std::string harmless(std::string_view name) {
  std::string text;
  for (const char c : name) {
    switch (c) {
      case '<': text += "&lt;"; break;
      case '>': text += "&gt;"; break;
      case '&': text += "&amp;"; break;
      case '"': text += "&quot;"; break;
      case '*': text += "·"; break;
      default: text += std::iscntrl(static_cast<unsigned char>(c)) != 0 ? '?' : c;
    }
  }
  return text;
}
// Each heap's name as an identifier; with its id behind it, as often as it takes, where another has it already.
inline std::vector<std::string> identifiers(std::span<const HeapSpec> heaps) {
  std::vector<std::string> names;
  for (const HeapSpec& heap : heaps) {
    std::string name = identifier(heap.name);
    const auto is_same = [&](const std::string& other) { return upper(other) == upper(name); };
    while (std::any_of(names.begin(), names.end(), is_same)) name += "_" + std::to_string(heap.id);
    names.push_back(name);
  }
  return names;
}

inline std::vector<std::size_t> heaps_that(const BoardLayout& board, bool are_placed) {
  std::vector<std::size_t> heaps;
  for (std::size_t heap = 0; heap < board.heaps.size(); ++heap) {
    if (board.layout.places[heap].is_placed == are_placed) heaps.push_back(heap);
  }
  return heaps;
}
// The places in the list of those heaps that have an address, lowest first.
inline std::vector<std::size_t> by_address(const BoardLayout& board) {
  std::vector<std::size_t> order = heaps_that(board, true);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return board.layout.places[a].base < board.layout.places[b].base;
  });
  return order;
}
inline std::uint64_t bytes_in(const BoardLayout& board, std::size_t memory) {
  std::uint64_t bytes = 0;
  for (const std::size_t heap : heaps_that(board, true)) {
    if (board.layout.places[heap].memory == memory) bytes += board.heaps[heap].size.value();
  }
  return bytes;
}

}  // namespace detail

// A line a heap, lowest address first (those without one last), and a line a memory: what is used, free, and of that
// lost to alignment.
inline std::string to_table(const BoardLayout& board) {
  std::string text = "heap                             id  first address       last address        size      padding\n";
  const auto padded = [](std::string value, std::size_t width) {
    value.resize(std::max(value.size(), width), ' ');
    return value + " ";
  };
  std::vector<std::uint64_t> padding(board.memories.size() + 1);
  for (const std::size_t heap : detail::by_address(board)) {
    const HeapSpec& spec = board.heaps[heap];
    const HeapPlace& place = board.layout.places[heap];
    padding[std::min(place.memory, board.memories.size())] += place.padding.value();
    text += padded(spec.name, 32) + padded(std::to_string(spec.id), 3) + padded(detail::hex(place.base), 19) +
            padded(detail::hex(place.base + (spec.size.value() - 1)), 19) + padded(detail::short_size(spec.size.value()), 9) +
            (place.padding == 0 ? "-" : detail::short_size(place.padding.value())) + "\n";
  }
  for (const std::size_t heap : detail::heaps_that(board, false)) {
    const HeapSpec& spec = board.heaps[heap];
    text += padded(spec.name, 32) + padded(std::to_string(spec.id), 3) + padded("-", 19) + padded("-", 19) +
            padded(detail::short_size(spec.size.value()), 9) + "-\n";
  }
  for (std::size_t memory = 0; memory < board.memories.size(); ++memory) {
    const Memory& one = board.memories[memory];
    const std::uint64_t used = detail::bytes_in(board, memory);
    text += std::string("memory ") + one.name + ": " + detail::short_size(one.size.value()) + " from " + detail::hex(one.base) +
            ", " + detail::short_size(used) + " used, " + detail::short_size(one.size.value() - used) + " free, " +
            detail::short_size(padding[memory]) + " of that before aligned heaps\n";
  }
  return text;
}

// MEMORY and the symbols __heap_NAME_start, __heap_NAME_end (behind the last byte: 0 where the heap ends at the top of
// 64 bits), for ld. Heaps without an address are left out.
inline std::string to_linker_script(const BoardLayout& board) {
  const auto names = detail::identifiers(board.heaps);
  std::string text = "/* Heaps of the board " + detail::harmless(board.name) + ". */\nMEMORY\n{\n";
  for (const std::size_t heap : detail::by_address(board)) {
    text += "  heap_" + names[heap] + " (rw) : ORIGIN = " + detail::hex(board.layout.places[heap].base) +
            ", LENGTH = " + detail::hex(board.heaps[heap].size.value()) + "\n";
  }
  text += "}\n";
  for (const std::size_t heap : detail::by_address(board)) {
    const std::uint64_t base = board.layout.places[heap].base;
    text += "__heap_" + names[heap] + "_start = " + detail::hex(base) + ";\n";
    text += "__heap_" + names[heap] + "_end = " + detail::hex(base + board.heaps[heap].size.value()) + ";\n";
  }
  return text;
}

// A child of /reserved-memory a heap, with 64-bit cells. The kernel keeps its hands off: no-map. A node's name is cut
// to 31 characters, as the devicetree specification has it; its address tells it from others. Heaps without an address
// are left out.
inline std::string to_device_tree(const BoardLayout& board) {
  const auto names = detail::identifiers(board.heaps);
  const auto cells = [](std::uint64_t number) { return detail::hex(number >> 32) + " " + detail::hex(number & 0xffff'ffff); };
  std::string text = "/dts-v1/;\n/* Heaps of the board " + detail::harmless(board.name) + ". */\n/ {\n\t#address-cells = <2>;\n"
                     "\t#size-cells = <2>;\n\n\treserved-memory {\n\t\t#address-cells = <2>;\n\t\t#size-cells = <2>;\n\t\tranges;\n";
  for (const std::size_t heap : detail::by_address(board)) {
    const std::uint64_t base = board.layout.places[heap].base;
    std::string node = ("heap-" + names[heap]).substr(0, 31);
    std::replace(node.begin(), node.end(), '_', '-');
    text += "\n\t\theap_" + names[heap] + ": " + node + "@" + detail::hex(base).substr(2) + " {\n\t\t\treg = <" +
            cells(base) + " " + cells(board.heaps[heap].size.value()) + ">;\n\t\t\tno-map;\n\t\t};\n";
  }
  return text + "\t};\n};\n";
}

// HEAP_NAME_ID, _BASE (where it has an address) and _SIZE, for C and assembly alike.
inline std::string to_c_header(const BoardLayout& board) {
  const auto names = detail::identifiers(board.heaps);
  const std::string guard = "HEAPS_OF_" + detail::upper(detail::identifier(board.name)) + "_H";
  std::string text = "/* Heaps of the board " + detail::harmless(board.name) + ". */\n#ifndef " + guard + "\n#define " + guard + "\n";
  const auto define = [&](std::size_t heap) {
    const std::string start = "#define HEAP_" + detail::upper(names[heap]);
    const HeapPlace& place = board.layout.places[heap];
    text += "\n" + start + "_ID " + std::to_string(board.heaps[heap].id) + "\n";
    if (place.is_placed) text += start + "_BASE " + detail::hex(place.base) + "\n";
    text += start + "_SIZE " + detail::hex(board.heaps[heap].size.value()) + "\n";
  };
  for (const std::size_t heap : detail::by_address(board)) define(heap);
  for (const std::size_t heap : detail::heaps_that(board, false)) define(heap);
  return text + "\n#endif\n";
}

// Each memory as a column, lowest address at the bottom, each heap in it as high as it is large (but high enough to be
// read). One SVG, nothing beside it.
inline std::string to_svg(const BoardLayout& board) {
  constexpr double column = 300;
  constexpr double height = 560;
  constexpr double top = 46;
  const char* const colours[] = {"#4878a8", "#6a9f58", "#c87f3c", "#9467a4", "#b5524f", "#5fa2a2", "#8c8c4a", "#7f7f7f"};
  const auto number = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return std::string(text);
  };
  std::vector<Memory> memories(board.memories.begin(), board.memories.end());
  const auto order = detail::by_address(board);
  if (memories.empty() && !order.empty()) {  // all that there is, as one
    const std::uint64_t first = board.layout.places[order.front()].base;
    const std::uint64_t last = board.layout.places[order.back()].base + (board.heaps[order.back()].size.value() - 1);
    memories.push_back({.name = "addresses", .base = first, .size = last - first + 1});
  }
  const double width = 40 + static_cast<double>(memories.size()) * (column + 180);
  std::string text = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width) + " " + number(height + 80) +
                     "\" font-family=\"sans-serif\" font-size=\"13\">\n<title>Heaps of the board " + detail::harmless(board.name) +
                     "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
  for (std::size_t memory = 0; memory < memories.size(); ++memory) {
    const Memory& one = memories[memory];
    // Where the column is cut, as addresses and as heights: parts are at least a line of text high.
    struct Part {
      std::uint64_t base;
      std::uint64_t size;
      std::size_t heap;  // or none
    };
    const std::size_t nobody = board.heaps.size();
    std::vector<Part> parts;
    std::uint64_t done = 0;
    for (const std::size_t heap : order) {
      const HeapPlace& place = board.layout.places[heap];
      if (!board.memories.empty() && place.memory != memory) continue;
      const std::uint64_t offset = place.base - one.base;
      if (offset > done) parts.push_back({one.base + done, offset - done, nobody});
      parts.push_back({place.base, board.heaps[heap].size.value(), heap});
      done = offset + board.heaps[heap].size.value();
    }
    if (one.size.value() > done) parts.push_back({one.base + done, one.size.value() - done, nobody});
    const double least = std::min(20.0, height / static_cast<double>(parts.size()));
    const double rest = height - least * static_cast<double>(parts.size());
    const double left = 20 + static_cast<double>(memory) * (column + 180);
    text += "<text x=\"" + number(left) + "\" y=\"26\" font-weight=\"bold\">" + detail::harmless(one.name) + ", " +
            detail::short_size(one.size.value()) + "</text>\n";
    double bottom = top + height;
    for (const Part& part : parts) {
      const double share = static_cast<double>(part.size) / (static_cast<double>(one.size.value() - 1) + 1);
      const double high = least + rest * share;
      const bool is_free = part.heap == nobody;
      const std::string label = is_free ? "free, " + detail::short_size(part.size)
                                        : detail::harmless(board.heaps[part.heap].name) + " (id " +
                                              std::to_string(board.heaps[part.heap].id) + "), " + detail::short_size(part.size);
      bottom -= high;
      text += "<rect x=\"" + number(left) + "\" y=\"" + number(bottom) + "\" width=\"" + number(column) + "\" height=\"" +
              number(high) + "\" fill=\"" + (is_free ? "#f0f0f0" : colours[part.heap % 8]) +
              "\" stroke=\"#ffffff\"><title>" + label + " from " + detail::hex(part.base) + "</title></rect>\n";
      text += "<text x=\"" + number(left + 10) + "\" y=\"" + number(bottom + high / 2 + 5) + "\" fill=\"" +
              (is_free ? "#606060" : "#ffffff") + "\">" + label + "</text>\n<text x=\"" + number(left + column + 6) + "\" y=\"" +
              number(bottom + high) + "\" fill=\"#606060\">" + detail::hex(part.base) + "</text>\n";
    }
    text += "<text x=\"" + number(left + column + 6) + "\" y=\"" + number(top + 4) + "\" fill=\"#606060\">" +
            detail::hex(one.base + (one.size.value() - 1)) + "</text>\n";
  }
  return text + "</svg>\n";
}

}  // namespace freestone
