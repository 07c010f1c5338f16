// A trace as it is replayed: with a granule, and with or without its alignments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <freestone/core/request.hpp>

#include "trace.hpp"

namespace freestone::bench {

struct Workload {
  std::string name;
  std::vector<Event> events;
  std::vector<Request> requests;  // by id
  std::uint64_t granule = 0;
  std::uint64_t peak = 0;      // the most that was ever live, each block rounded up to granules: no zone can be smaller
  std::size_t peak_event = 0;  // the event that first reached it

  std::uint64_t allocations() const { return requests.size(); }
  std::uint64_t frees() const { return events.size() - requests.size(); }
  std::uint64_t line_of(std::size_t event) const { return event + 2; }
  // Up to the next granule, for up to 2^63 bytes.
  std::uint64_t rounded(std::uint64_t bytes) const { return (bytes + granule - 1) & ~(granule - 1); }
};

// 16 bytes where the median size is below 512 bytes, 1 KiB where every size is a multiple of that but most are none of
// 4 KiB, else 4 KiB.
std::uint64_t choose_granule(const Trace& trace);

// Throws BadInput when the blocks, rounded up, leave 63 bits.
Workload make_workload(Trace trace, std::optional<std::uint64_t> granule, bool ignore_align);

}  // namespace freestone::bench
