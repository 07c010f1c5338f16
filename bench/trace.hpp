// An allocation history, read from `op,id,size,align,timestamp` lines, plain or gzip. bench/traces/README.md has the
// format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace freestone::bench {

struct Event {
  std::uint32_t id = 0;
  bool frees = false;
};

struct Asked {
  std::uint64_t size = 0;
  std::uint64_t align = 0;  // 0: none asked for
};

struct Trace {
  std::string name;           // the file's, without folder and suffixes
  std::vector<Event> events;  // event i is line i + 2
  std::vector<Asked> asked;   // by id
};

// Throws BadInput, "file:line: what, expected what", when the file cannot be read or is no sound history.
Trace read_trace(const std::filesystem::path& file);

}  // namespace freestone::bench
