// What a program pays for a buffer of a device's: ALLOC, mmap, a write to each page, munmap, close; beside the same of a
// plain memfd. It knows nothing of Freestone and takes whatever devices the machine has; ./dev bench --devices runs it
// on those of a board.
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "failure.hpp"
#include "output.hpp"

// linux/ion.h, of 4.12 to 5.10
struct ion_allocation_data {
  __u64 len;
  __u32 heap_id_mask, flags, fd, unused;
};
struct ion_heap_query {
  __u32 cnt, reserved0;
  __u64 heaps;
  __u32 reserved1, reserved2;
};
struct ion_heap_data {
  char name[32];
  __u32 type, heap_id, reserved[3];
};
#define ION_IOC_ALLOC _IOWR('I', 0, struct ion_allocation_data)
#define ION_IOC_HEAP_QUERY _IOWR('I', 8, struct ion_heap_query)
// and of earlier ones, for 64-bit programs: H is a handle, a pointer before 3.10
template <class H>
struct ion_handle_allocation_data {
  __u64 len, align;
  __u32 heap_id_mask, flags;
  H handle;
};
template <class H>
struct ion_fd_data {
  H handle;
  int fd;
};

namespace freestone::bench {

namespace {

constexpr const char* usage =
    "usage: ./dev bench --devices [BOARD] [--cycles N] [--json FILE]\n"
    "What a program pays for a buffer of a device's, allocated, mapped, written to in each page, unmapped and closed,\n"
    "beside the same of a memfd. BOARD is a .toml, or a name that ./dev run-with lists; without it, one that has both\n"
    "/dev/ion and /dev/dma_heap. Where ION has handles, ALLOC is ALLOC, SHARE and FREE.\n"
    "  --cycles N    how often, of each size (default 5000)\n"
    "  --json FILE   the figures for programs too\n";

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

// --- whose buffers ---

int of_memfd(int, std::size_t bytes) {
  const int fd = ::memfd_create("bench", MFD_CLOEXEC);
  return fd >= 0 && ::ftruncate(fd, static_cast<off_t>(bytes)) == 0 ? fd : -1;
}
int of_dma_heap(int node, std::size_t bytes) {
  dma_heap_allocation_data data{.len = bytes, .fd = 0, .fd_flags = O_RDWR | O_CLOEXEC, .heap_flags = 0};
  return ::ioctl(node, DMA_HEAP_IOCTL_ALLOC, &data) == 0 ? static_cast<int>(data.fd) : -1;
}
// The heap of type system (0).
std::uint32_t ion_heap(int node) {
  std::array<ion_heap_data, 32> heaps{};
  ion_heap_query query{};
  if (::ioctl(node, ION_IOC_HEAP_QUERY, &query) != 0) fail("HEAP_QUERY");
  query.heaps = reinterpret_cast<std::uintptr_t>(heaps.data());
  query.cnt = std::min<std::uint32_t>(query.cnt, heaps.size());
  if (::ioctl(node, ION_IOC_HEAP_QUERY, &query) != 0) fail("HEAP_QUERY");
  const auto end = heaps.begin() + query.cnt;
  const auto found = std::find_if(heaps.begin(), end, [](const ion_heap_data& heap) { return heap.type == 0; });
  if (found == end) throw std::runtime_error("/dev/ion has no heap of type system");
  return found->heap_id;
}
int of_ion(int node, std::size_t bytes) {
  static const std::uint32_t mask = 1U << ion_heap(node);
  ion_allocation_data data{.len = bytes, .heap_id_mask = mask, .flags = 0, .fd = 0, .unused = 0};
  return ::ioctl(node, ION_IOC_ALLOC, &data) == 0 ? static_cast<int>(data.fd) : -1;
}
// Its descriptor keeps the buffer when its handle is gone.
template <class H>
int of_ion_handle(int node, std::size_t bytes) {
  constexpr __u32 vmalloc = 30;  // Qualcomm's, who have no HEAP_QUERY
  static const std::uint32_t mask = 1U << (std::is_pointer_v<H> ? vmalloc : ion_heap(node));
  ion_handle_allocation_data<H> data{.len = bytes, .align = 4096, .heap_id_mask = mask, .flags = 0, .handle = {}};
  if (::ioctl(node, _IOWR('I', 0, decltype(data)), &data) != 0) return -1;
  ion_fd_data<H> shared{.handle = data.handle, .fd = -1};
  const bool is_shared = ::ioctl(node, _IOWR('I', 4, decltype(shared)), &shared) == 0;
  const bool is_freed = ::ioctl(node, _IOWR('I', 1, H), &data.handle) == 0;
  return is_shared && is_freed ? shared.fd : -1;
}
// FREE of no handle: EINVAL where there are such handles, else ENOTTY.
template <class H>
bool has_handles(int node) {
  H none{};
  return ::ioctl(node, _IOWR('I', 1, H), &none) != 0 && errno == EINVAL;
}
auto allocate_of_ion(int node) {
  if (has_handles<void*>(node)) return of_ion_handle<void*>;
  return has_handles<__u32>(node) ? of_ion_handle<__u32> : of_ion;
}

struct Subject {
  const char* name;
  const char* node;  // null: it needs none
  int (*allocate)(int node, std::size_t bytes);
  int fd = -1;
};
// Those that are there; the memfd first.
std::vector<Subject> subjects() {
  std::vector<Subject> found{{"memfd", nullptr, of_memfd}};
  for (Subject one : {Subject{"ion", "/dev/ion", of_ion}, Subject{"dma_heap", "/dev/dma_heap/system", of_dma_heap}}) {
    one.fd = ::open(one.node, O_RDWR | O_CLOEXEC);
    if (one.fd < 0) continue;
    if (one.allocate == of_ion) one.allocate = allocate_of_ion(one.fd);
    found.push_back(one);
  }
  if (found.size() == 1) throw BadInput("neither /dev/ion nor /dev/dma_heap/system is there: ./dev bench --devices brings them");
  return found;
}

// --- measured ---

constexpr std::array<std::size_t, 3> sizes{4 << 10, 64 << 10, 1 << 20};

std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

struct Times {
  std::vector<std::int64_t> whole, allocation;  // nanoseconds
};

void cycle(const Subject& subject, std::size_t bytes, Times& times) {
  static const auto page = static_cast<std::size_t>(::getpagesize());
  const std::int64_t start = now();
  const int fd = subject.allocate(subject.fd, bytes);
  if (fd < 0) fail(std::string(subject.name) + ": an allocation");
  const std::int64_t allocated = now();
  void* const mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) fail(std::string(subject.name) + ": mmap");
  auto* const written = static_cast<volatile char*>(mapped);
  for (std::size_t at = 0; at < bytes; at += page) written[at] = 1;
  if (::munmap(mapped, bytes) != 0 || ::close(fd) != 0) fail(std::string(subject.name) + ": munmap and close");
  times.whole.push_back(now() - start);
  times.allocation.push_back(allocated - start);
}

// One of the sorted times, of which that share is no longer.
std::int64_t at_share(const std::vector<std::int64_t>& sorted, double share) {
  const auto count = static_cast<std::size_t>(share * static_cast<double>(sorted.size()) + 0.999999);
  return sorted[std::clamp<std::size_t>(count, 1, sorted.size()) - 1];
}

struct Row {
  const char* subject;
  std::size_t bytes, cycles;
  std::int64_t median, p90, p99, max, allocation;
  double ratio;  // of the median to the memfd's
};

Row row_of(const Subject& subject, std::size_t bytes, Times& times, std::int64_t base) {
  for (auto* list : {&times.whole, &times.allocation}) std::sort(list->begin(), list->end());
  const std::int64_t median = at_share(times.whole, 0.5);
  return {.subject = subject.name, .bytes = bytes, .cycles = times.whole.size(), .median = median,
          .p90 = at_share(times.whole, 0.9), .p99 = at_share(times.whole, 0.99), .max = times.whole.back(),
          .allocation = at_share(times.allocation, 0.5),
          .ratio = base == 0 ? 1 : static_cast<double>(median) / static_cast<double>(base)};
}

// Rounds of some cycles go round the subjects, so that whatever else the machine does is the same for all. The first
// round is a warm-up.
std::vector<Row> measure(std::size_t cycles) {
  constexpr std::size_t most_in_round = 100;
  const std::vector<Subject> all = subjects();
  std::vector<Row> rows;
  for (const std::size_t bytes : sizes) {
    std::vector<Times> times(all.size());
    for (std::size_t round = 0, left = cycles; left != 0; ++round) {
      const std::size_t count = std::min(left, most_in_round);
      for (std::size_t at = 0; at < all.size(); ++at) {
        for (std::size_t turn = 0; turn < count; ++turn) cycle(all[at], bytes, times[at]);
      }
      round == 0 ? times.assign(all.size(), {}) : void(left -= count);
    }
    const std::size_t first = rows.size();
    for (std::size_t at = 0; at < all.size(); ++at) {
      rows.push_back(row_of(all[at], bytes, times[at], at == 0 ? 0 : rows[first].median));
    }
  }
  for (const Subject& one : all) {
    if (one.fd >= 0) ::close(one.fd);
  }
  return rows;
}

// --- shown ---

void show(const std::vector<Row>& rows) {
  const auto us = [](std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1000; };
  std::printf("microseconds of a cycle: ALLOC, mmap, a write to each page, munmap, close; ALLOC alone: its median\n\n");
  std::printf("%-10s %6s %8s %8s %8s %9s %8s %12s\n", "", "KiB", "median", "p90", "p99", "max", "to memfd", "ALLOC alone");
  for (const Row& row : rows) {
    std::printf("%-10s %6zu %8.1f %8.1f %8.1f %9.1f %8.2f %12.1f\n", row.subject, row.bytes >> 10, us(row.median), us(row.p90),
                us(row.p99), us(row.max), row.ratio, us(row.allocation));
  }
}
std::string json_of(const std::vector<Row>& rows) {
  std::string text = "{\"schema\": 1, \"results\": [";
  for (const Row& row : rows) {
    std::array<char, 400> record;
    std::snprintf(record.data(), record.size(),
                  "%s\n  {\"subject\": \"%s\", \"bytes\": %zu, \"cycles\": %zu, \"median_ns\": %lld, \"p90_ns\": %lld, "
                  "\"p99_ns\": %lld, \"max_ns\": %lld, \"allocate_ns\": %lld, \"ratio\": %.3f}",
                  &row == rows.data() ? "" : ",", row.subject, row.bytes, row.cycles, static_cast<long long>(row.median),
                  static_cast<long long>(row.p90), static_cast<long long>(row.p99), static_cast<long long>(row.max),
                  static_cast<long long>(row.allocation), row.ratio);
    text += record.data();
  }
  return text + "]}\n";
}

struct Wanted {
  std::size_t cycles = 5000;
  std::string json = {};
};
Wanted read_arguments(int argc, char** argv) {
  Wanted wanted;
  for (int at = 1; at < argc; at += 2) {
    const std::string_view option = argv[at];
    if (option != "--cycles" && option != "--json") throw BadInput("not expected: " + std::string(option) + "\n" + usage);
    const std::string_view value = at + 1 < argc ? argv[at + 1] : "";
    if (value.empty()) throw BadInput(std::string(option) + ": a value is required");
    if (option == "--json") {
      wanted.json = value;
      continue;
    }
    const auto read = std::from_chars(value.data(), value.data() + value.size(), wanted.cycles);
    const bool is_number = read.ec == std::errc() && read.ptr == value.data() + value.size();
    if (!is_number || wanted.cycles == 0 || wanted.cycles > 10'000'000)
      throw BadInput("--cycles: '" + std::string(value) + "' is no number of cycles, expected 1 to 10000000");
  }
  return wanted;
}

int run(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") return std::fputs(usage, stdout), 0;
  const Wanted wanted = read_arguments(argc, argv);
  Output json("--json", wanted.json);
  const std::vector<Row> rows = measure(wanted.cycles);
  show(rows);
  if (json.wanted()) json.write(json_of(rows));
  return 0;
}

}  // namespace

}  // namespace freestone::bench

int main(int argc, char** argv) {
  try {
    return freestone::bench::run(argc, argv);
  } catch (const freestone::bench::BadInput& wrong) {
    std::fprintf(stderr, "freestone-devices: %s\n", wrong.what());
    return 2;
  } catch (const std::exception& wrong) {
    std::fprintf(stderr, "freestone-devices: %s\n", wrong.what());
    return 1;
  }
}
