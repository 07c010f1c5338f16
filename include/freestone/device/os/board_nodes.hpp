// The nodes of a board, as a table in TOML beside its heaps (heap/os/board_toml.hpp):
//
//   [[node]]
//   system = "ion-g4"              # dma-heap: a node for each heap; ion-g4
//   path = "/dev/ion"              # unless said as the system has it; of dma-heap the directory, /dev/dma_heap
//   mode = "0666"                  # octal
//   abi_version = 2                # of ion-g4: what ABI_VERSION answers; unless said there is no such command
//
// The heaps of such a board have types: system, system_contig, carveout, chunk, cma.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/toml_fields.hpp>

namespace freestone::device {

enum class NodeSystem : std::uint8_t { dma_heap, ion_g4 };

struct BoardNode {
  NodeSystem system = NodeSystem::dma_heap;
  std::string path = {};
  std::uint32_t mode = 0666;
  std::uint32_t abi_version = 0;
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

inline BoardNode read_node(freestone::detail::TomlFields& fields) {
  BoardNode node{.line = fields.line()};
  fields.allow({"system", "path", "mode", "abi_version"});
  fields.require({"system"});
  const auto system = fields.word("system", {"dma-heap", "ion-g4"});
  node.system = static_cast<NodeSystem>(system.value_or(0));
  node.path = fields.has("path") ? fields.text("path") : node.system == NodeSystem::ion_g4 ? "/dev/ion" : "/dev/dma_heap";
  const bool is_path = node.path.size() > 1 && node.path.size() < 200 && node.path.front() == '/' && node.path.back() != '/';
  if (!fields.error() && !is_path) fields.fail("path", TextFault::bad_name);
  node.mode = read_mode(fields, node.mode);
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
      if (other.path == node.path) one.fail("path", TextFault::duplicate_name);
    }
    nodes.push_back(std::move(node));
  });
  if (nodes.empty()) fields.fail("node", TextFault::missing_field);
  if (fields.error()) return fields.error();
  return nodes;
}

}  // namespace freestone::device
