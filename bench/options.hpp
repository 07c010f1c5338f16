#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace freestone::bench {

struct Options {
  std::vector<std::filesystem::path> traces;  // none: those that ship
  std::vector<std::string> heaps;             // the heap that each trace is of; none: the traces are of no board
  std::filesystem::path json;                 // empty: not asked for
  std::filesystem::path html;
  std::optional<std::uint64_t> granule;
  std::optional<std::uint64_t> zone_bytes;
  std::vector<std::string> strategies;
  bool ignore_align = false;
  bool quick = false;

  // The rest is of the workloads.
  bool workloads = false;
  bool peers = false;
  bool instructions = false;
  std::vector<std::string> only;  // none: all
  std::optional<std::string> base;
  std::string round;    // in a child of ours: whose round it is
  std::string counted;  // in a child of ours: whose instructions are counted

  bool runs_workloads() const { return workloads || instructions || !round.empty() || !counted.empty(); }
};

// Empty when all was said already (--help). Throws BadInput.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace freestone::bench
