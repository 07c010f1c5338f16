#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace freestone::bench {

struct Options {
  std::vector<std::filesystem::path> traces;  // none: those that ship
  std::filesystem::path json;                 // empty: not asked for
  std::filesystem::path html;
  std::optional<std::uint64_t> granule;
  std::optional<std::uint64_t> zone_bytes;
  std::vector<std::string> strategies;
  bool ignore_align = false;
  bool quick = false;
};

// Empty when all was said already (--help). Throws BadInput.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace freestone::bench
