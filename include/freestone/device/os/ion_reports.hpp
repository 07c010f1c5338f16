// What debugfs shows of ION, to the letter: texts from plain rows, which whoever has a Device fills. (shared/spec: ION 6,
// G1 and G3.) A column is as wide as said, and wider where a text needs that.
#pragma once

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <freestone/core/address.hpp>
#include <freestone/device/os/report_text.hpp>

namespace freestone::device {

// What a client has in one heap. One that has nothing there is not shown.
struct ClientRow {
  std::string name;  // the task's; a client's own where that is no task but the kernel
  std::uint32_t pid = 0;
  std::uint64_t bytes = 0;
};

namespace detail {

inline std::string client_header() {
  std::string text;
  print(text, "%16s %16s %16s\n", "client", "pid", "size");
  return text;
}

}  // namespace detail

// MSM 3.4: /sys/kernel/debug/ion/.
namespace ion_g1 {

struct IommuRow {
  int domain = 0;
  int partition = 0;
  DeviceAddress address;
};

// One of a client's handles.
struct HandleRow {
  std::string heap;
  std::uint64_t size = 0;
  int references = 0;
  std::uint64_t buffer = 0;  // its cookie
  std::optional<PhysicalAddress> physical = {};  // only of system_contig, carveout, CP
  std::vector<IommuRow> iommu = {};
};

// <pid>: a client.
inline std::string client_report(std::span<const HandleRow> handles) {
  std::string text;
  detail::print(text, "%16.16s: %16.16s : %16.16s : %12.12s : %12.12s : %s\n", "heap_name", "size_in_bytes", "handle refcount",
                "buffer", "physical", "[domain,partition] - virt");
  for (const HandleRow& handle : handles) {
    detail::print(text, "%16.16s: %16" PRIx32 " : %16d : %12" PRIx64, handle.heap.c_str(), detail::low(handle.size),
                  handle.references, handle.buffer);
    if (handle.physical) detail::print(text, " : %12" PRIx64, handle.physical->value());
    if (!handle.physical) detail::print(text, " : %12s", "N/A");
    for (const IommuRow& map : handle.iommu) {
      detail::print(text, " : [%d,%d] - %8" PRIx64, map.domain, map.partition, map.address.value());
    }
    text += '\n';
  }
  return text;
}

// A buffer in a heap of one range, at a physical address there.
struct MapRow {
  std::uint64_t start = 0;
  std::uint64_t size = 0;
  std::optional<std::string> owner = {};  // the first client that holds it; none, where only files do
};

// What a heap says of itself; of `map`, in any order, no two overlap.
struct HeapRow {
  std::uint64_t allocated = 0;
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  std::vector<MapRow> map = {};
  std::uint64_t user_maps = 0;
  std::uint64_t kernel_maps = 0;
  bool is_protected = false;
  bool is_reusable = false;
};

// All of a heap's addresses, ascending: whose they are, or free.
inline std::string memory_map(std::uint64_t base, std::uint64_t size, std::vector<MapRow> buffers) {
  std::string text = "\nMemory Map\n";
  detail::print(text, "%16s %14s %14s %14s\n", "client", "start address", "end address", "size (hex)");
  const auto add = [&](const char* owner, std::uint64_t start, std::uint64_t length) {
    detail::print(text, "%16s %14" PRIx64 " %14" PRIx64 " %14" PRIu64 " (%" PRIx64 ")\n", owner, start, start + length - 1,
                  length, length);
  };
  std::ranges::sort(buffers, {}, &MapRow::start);
  std::uint64_t shown = 0;
  for (const MapRow& buffer : buffers) {
    const std::uint64_t offset = buffer.start - base;
    if (offset > shown) add("FREE", base + shown, offset - shown);
    add(buffer.owner ? buffer.owner->c_str() : "(null)", buffer.start, buffer.size);
    shown = offset + buffer.size;
  }
  if (size > shown) add("FREE", base + shown, size - shown);
  return text;
}

// A heap's own lines, which stand behind its heap_report; the iommu heap has none. Those of system and system_contig, with
// which all begin; and those with which carveout and CP begin.
inline std::string system_lines(const HeapRow& heap) {
  std::string text;
  detail::print(text, "total bytes currently allocated: %" PRIx64 "\n", heap.allocated);
  return text;
}
inline std::string total_lines(const HeapRow& heap) {
  std::string text = system_lines(heap);
  detail::print(text, "total heap size: %" PRIx64 "\n", heap.size);
  return text;
}
inline std::string carve_out_lines(const HeapRow& heap) {
  return total_lines(heap) + memory_map(heap.base, heap.size, heap.map);
}
inline std::string cp_lines(const HeapRow& heap) {
  std::string text = total_lines(heap);
  detail::print(text, "umapping count: %" PRIx64 "\nkmapping count: %" PRIx64 "\n", heap.user_maps, heap.kernel_maps);
  detail::print(text, "heap protected: %s\nreusable: %s\n", heap.is_protected ? "Yes" : "No", heap.is_reusable ? "Yes" : "No");
  return text + memory_map(heap.base, heap.size, heap.map);
}

// <heap name>: a heap, but for its own lines.
inline std::string heap_report(std::span<const ClientRow> clients) {
  std::string text = detail::client_header();
  for (const ClientRow& client : clients) {
    if (client.bytes == 0) continue;
    detail::print(text, "%16s %16" PRIu32 " %16" PRIu32 "\n", client.name.c_str(), client.pid,
                          detail::low(client.bytes));
  }
  return text;
}

// A buffer that no client has a handle to.
struct LeakRow {
  std::uint64_t buffer = 0;  // its cookie
  std::string heap;
  std::uint64_t size = 0;
  int references = 0;
};

// check_leaked_fds
inline std::string leaked_fds(std::span<const LeakRow> buffers) {
  std::string text;
  detail::print(text, "%16s %16s %16s %16s\n", "buffer", "heap", "size", "ref cnt");
  for (const LeakRow& row : buffers) {
    detail::print(text, "%16" PRIx32 " %16s %16" PRIx32 " %16d\n", detail::low(row.buffer), row.heap.c_str(),
                          detail::low(row.size), row.references);
  }
  return text;
}

}  // namespace ion_g1

// AOSP 3.10 to mainline 4.11: /sys/kernel/debug/ion/.
namespace ion_g3 {

// A buffer that no client has a handle to, and the task that had the last one.
struct OrphanRow {
  std::string task;
  std::uint32_t pid = 0;
  std::uint64_t size = 0;
  int kernel_maps = 0;
  int references = 0;
};

// What a pool of pages of one order keeps: so many of high memory, and of low.
struct PoolRow {
  unsigned order = 0;
  int high = 0;
  int low = 0;
};

struct HeapRow {
  std::uint64_t total = 0;  // bytes of all its buffers, each once, orphans too
  std::optional<std::uint64_t> deferred = {};  // bytes that wait to be freed, where the heap defers that
  std::vector<ClientRow> clients = {};
  std::vector<OrphanRow> orphans = {};
  std::vector<PoolRow> pools = {};  // the system heap's, in its order
};

// The parts of a heap_report.
inline constexpr const char dashes[] = "----------------------------------------------------\n";

inline std::string client_lines(std::span<const ClientRow> rows) {
  std::string text;
  for (const ClientRow& row : rows) {
    if (row.bytes == 0) continue;
    detail::print(text, "%16s %16" PRIu32 " %16" PRIu64 "\n", row.name.c_str(), row.pid, row.bytes);
  }
  return text;
}
inline std::string orphan_lines(std::span<const OrphanRow> rows) {
  std::string text = "orphaned allocations (info is from last known client):\n";
  for (const OrphanRow& row : rows) {
    detail::print(text, "%16s %16" PRIu32 " %16" PRIu64 " %d %d\n", row.task.c_str(), row.pid, row.size, row.kernel_maps,
                  row.references);
  }
  return text;
}
inline std::string total_lines(const HeapRow& heap) {
  std::string text;
  std::uint64_t orphaned = 0;
  for (const OrphanRow& row : heap.orphans) orphaned += row.size;
  const auto add = [&](const char* what, std::uint64_t bytes) { detail::print(text, "%16s %16" PRIu64 "\n", what, bytes); };
  add("total orphaned", orphaned);
  add("total ", heap.total);
  if (heap.deferred) add("deferred free", *heap.deferred);
  return text;
}
inline std::string pool_lines(std::span<const PoolRow> rows) {
  std::string text;
  for (const PoolRow& row : rows) {
    const auto add = [&](const char* memory, int count) {
      const std::uint64_t bytes = static_cast<std::uint64_t>(count) * 4096 << row.order;
      detail::print(text, "%d order %u %s pages in pool = %" PRIu64 " total\n", count, row.order, memory, bytes);
    };
    add("highmem", row.high);
    add("lowmem", row.low);
  }
  return text;
}

// heaps/<name>
inline std::string heap_report(const HeapRow& heap) {
  return detail::client_header() + dashes + client_lines(heap.clients) + dashes + orphan_lines(heap.orphans) + dashes +
         total_lines(heap) + dashes + pool_lines(heap.pools);
}

// One of a client's handles.
struct HandleRow {
  unsigned heap_id = 0;
  std::string heap;
  std::uint64_t size = 0;
};

// clients/<name>-<serial>
inline std::string client_report(std::span<const HandleRow> handles) {
  std::map<unsigned, HandleRow> heaps;  // the sizes added
  for (const HandleRow& handle : handles) {
    const auto [sum, is_first] = heaps.try_emplace(handle.heap_id, handle);
    if (!is_first) sum->second.size += handle.size;
  }
  std::string text;
  detail::print(text, "%16.16s: %16.16s\n", "heap_name", "size_in_bytes");
  for (const auto& [id, sum] : heaps) detail::print(text, "%16.16s: %16" PRIu64 "\n", sum.heap.c_str(), sum.size);
  return text;
}

struct ClientName {
  std::string name;
  std::uint64_t serial = 0;
};

// That of a client that comes to these, who live: 1 more than the highest of his name; from 0.
inline ClientName next_name(std::string_view name, std::span<const ClientName> clients) {
  ClientName next{std::string(name)};
  for (const ClientName& client : clients) {
    if (client.name == name) next.serial = std::max(next.serial, client.serial + 1);
  }
  return next;
}
inline std::string file_name(const ClientName& client) { return client.name + '-' + std::to_string(client.serial); }

// <name>_shrink of a heap that can: what is read there, where so many objects could be reclaimed. (Who writes another number
// than 0 there reclaims all.)
inline std::string shrink_file_name(std::string_view heap) { return std::string(heap) + "_shrink"; }
inline std::string shrink_report(std::uint64_t objects) { return std::to_string(objects) + '\n'; }

}  // namespace ion_g3
}  // namespace freestone::device
