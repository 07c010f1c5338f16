// The nodes of a board, as a table in TOML beside its heaps (heap/os/board_toml.hpp):
//
//   [[node]]
//   system = "ion-g4"              # dma-heap: a node for each heap; ion-g1, ion-g2, ion-g3, ion-g4: its generation; ion-test
//                                  # pmem: a node for each region; pmem-google, pmem-caf, pmem-unpluggable: its generation
//                                  # mmz-g1 to mmz-g5: MMZ of that generation
//   path = "/dev/ion"              # unless said as the system has it; of dma-heap the directory, /dev/dma_heap, of pmem /dev.
//                                  # of MMZ /dev/mmz_userdev. In /dev, /proc or /sys; no node lies below another
//   mode = "0666"                  # octal
//   quota = "64M"                 # what all buffers of a process that opens it may have together; unless said as much as there is
//   abi_version = 2                # of ion-g4: what ABI_VERSION answers; unless said there is no such command
//
// The heaps of such a board have types: system, system_contig, carveout, chunk, cma; iommu and cp of ion-g1 and ion-g2. (These
// may also be ION's own tables, heap/os/board_ion.hpp; PMEM's regions are always PMEM's own, heap/os/board_pmem.hpp, and MMZ's zones those of its
// module's line: [[mmz]] line = "mmz=anonymous,0,0x42000000,32M anony=1", heap/os/board_mmz.hpp.) A heap that has a mode of its own
// (mode = "0600") has it instead of dma-heap's node; and who may not read and write it has no buffers of it from ION either.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <freestone/device/pmem/calls.hpp>
#include <freestone/heap/os/board_mmz.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/toml_fields.hpp>

namespace freestone::device {

enum class NodeSystem : std::uint8_t {
  dma_heap, ion_g1, ion_g2, ion_g3, ion_g4, ion_test, mmz_g1, mmz_g2, mmz_g3, mmz_g4, mmz_g5, pmem_google, pmem_caf, pmem_unpluggable, pmem,
};
constexpr bool is_ion(NodeSystem system) noexcept { return system >= NodeSystem::ion_g1 && system <= NodeSystem::ion_g4; }
constexpr bool is_mmz(NodeSystem system) noexcept { return system >= NodeSystem::mmz_g1 && system <= NodeSystem::mmz_g5; }
constexpr bool is_pmem(NodeSystem system) noexcept { return system >= NodeSystem::pmem_google; }
constexpr PmemNumbers numbers_of(NodeSystem system) noexcept {
  return system == NodeSystem::pmem_google ? PmemNumbers::google : system == NodeSystem::pmem_caf ? PmemNumbers::caf : PmemNumbers::qualcomm;
}

struct BoardNode {
  NodeSystem system = NodeSystem::dma_heap;
  std::string path = {};
  std::uint32_t mode = 0666;
  std::uint32_t abi_version = 0;
  Bytes quota = {};  // 0: none
  std::size_t line = 0;
};

namespace detail {

inline std::uint32_t read_mode(freestone::detail::TomlFields& fields, std::uint32_t otherwise) {
  if (!fields.has("mode")) return otherwise;
  const std::string text = fields.text("mode");
  std::uint32_t mode = 0;
  bool is_octal = !text.empty() && text.size() <= 4;
  for (const char c : text) {
    is_octal = is_octal && c >= '0' && c <= '7';
    mode = mode << 3 | static_cast<std::uint32_t>((c - '0') & 7);
  }
  if (!is_octal || mode > 0777) fields.fail("mode", TextFault::bad_number);
  return mode;
}

// Programs look for devices there, and name them without detours.
inline bool is_node_path(std::string_view path) {
  const bool is_there = path.starts_with("/dev/") || path.starts_with("/proc/") || path.starts_with("/sys/");
  if (!is_there || path.size() >= 200 || path.back() == '/') return false;
  const std::string whole = std::string(path) + '/';
  return whole.find("//") == std::string::npos && whole.find("/./") == std::string::npos && whole.find("/../") == std::string::npos &&
         path.find('\n') == std::string_view::npos;
}
// Neither is the other, nor leads to it. (PMEM's regions in /dev have names of their own there.)
inline bool are_apart(const std::string& one, const std::string& other) {
  if ((one == "/dev") != (other == "/dev")) return true;
  return !(one + '/').starts_with(other + '/') && !(other + '/').starts_with(one + '/');
}

constexpr const char* default_path(NodeSystem system) noexcept {
  if (is_pmem(system)) return "/dev";
  if (is_mmz(system)) return "/dev/mmz_userdev";
  return is_ion(system) ? "/dev/ion" : system == NodeSystem::ion_test ? "/dev/ion-test" : "/dev/dma_heap";
}

inline BoardNode read_node(freestone::detail::TomlFields& fields) {
  BoardNode node{.line = fields.line()};
  fields.allow({"system", "path", "mode", "abi_version", "quota"});
  fields.require({"system"});
  const auto system = fields.word("system", {"dma-heap", "ion-g1", "ion-g2", "ion-g3", "ion-g4", "ion-test", "mmz-g1", "mmz-g2", "mmz-g3",
                                             "mmz-g4", "mmz-g5", "pmem-google", "pmem-caf", "pmem-unpluggable", "pmem"});
  node.system = static_cast<NodeSystem>(system.value_or(0));
  node.path = fields.has("path") ? fields.text("path") : default_path(node.system);
  const bool is_all = is_pmem(node.system) && node.path == "/dev";  // whose regions have names there
  if (!fields.error() && !is_all && !is_node_path(node.path)) fields.fail("path", TextFault::bad_name);
  node.mode = read_mode(fields, node.mode);
  node.quota = fields.bytes("quota");
  node.abi_version = static_cast<std::uint32_t>(fields.number("abi_version", 0xffffffffU).value_or(0));
  return node;
}

}  // namespace detail

// Errors: each with its line and field; a board without nodes is one.
inline TextResult<std::vector<BoardNode>> read_nodes(std::string_view text) {
  const auto parsed = freestone::detail::parse_toml(text);
  if (!parsed) return parsed.error();
  freestone::detail::TomlFields fields(*parsed);
  freestone::detail::allow_systems(fields);
  std::vector<BoardNode> nodes;
  fields.each("node", [&](freestone::detail::TomlFields& one) {
    BoardNode node = detail::read_node(one);
    for (const BoardNode& other : nodes) {
      if (!detail::are_apart(other.path, node.path)) one.fail("path", TextFault::duplicate_name);
    }
    nodes.push_back(std::move(node));
  });
  if (nodes.empty()) fields.fail("node", TextFault::missing_field);
  if (fields.error()) return fields.error();
  return nodes;
}

// Whether it has ION's own tables ("ion"), or PMEM's. False of what is no such text.
inline bool has_tables(std::string_view text, const char* system) {
  const auto parsed = freestone::detail::parse_toml(text);
  return parsed && freestone::detail::TomlFields(*parsed).has(system);
}

// MMZ's zones, as the line of that generation's module has them; none where the text has no such table. Errors: as read_nodes, and
// what the module's line has wrong, where it is said.
inline TextResult<MmzBoard> read_mmz_board(std::string_view text, MmzGeneration generation) {
  const auto parsed = freestone::detail::parse_toml(text);
  if (!parsed) return parsed.error();
  freestone::detail::TomlFields fields(*parsed);
  MmzBoard board{.generation = generation};
  TextError wrong;
  fields.each("mmz", [&](freestone::detail::TomlFields& one) {
    one.allow({"line"});
    one.require({"line"});
    if (!board.table.heaps.empty()) one.fail("line", TextFault::duplicate_name);
    auto read = read_mmz(one.text("line"), {.generation = generation});
    if (!read && !wrong) {
      const TextError there = one.error_at("line", TextFault::none);
      wrong = read.error(), wrong.line = there.line, wrong.column += there.column;  // behind the quote
    }
    if (read) board = *std::move(read);
    for (BoardHeap& zone : board.table.heaps) zone.line = one.line();
    for (TextError& left_out : board.table.left_out) left_out.line = one.line();
  });
  if (fields.error()) return fields.error();
  if (wrong) return wrong;
  return board;
}

// The modes of those heaps that have one of their own, by their names. Errors: as read_nodes.
using HeapModes = std::map<std::string, std::uint32_t>;
inline TextResult<HeapModes> read_heap_modes(std::string_view text) {
  const auto parsed = freestone::detail::parse_toml(text);
  if (!parsed) return parsed.error();
  freestone::detail::TomlFields fields(*parsed);
  HeapModes modes;
  fields.each("heap", [&](freestone::detail::TomlFields& one) {
    if (one.has("mode")) modes.emplace(one.text("name"), detail::read_mode(one, 0));
  });
  if (fields.error()) return fields.error();
  return modes;
}

}  // namespace freestone::device
