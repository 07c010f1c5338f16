#include <freestone/backing/os/anonymous.hpp>

#include <doctest/doctest.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "support/child.hpp"

using namespace freestone;
using backing::Anonymous;
using backing::Pages;

TEST_CASE("a range of zeroed pages, aligned as far as its offsets are") {
  auto pages = Anonymous::create({.name = "a", .size = 4_MiB, .granule = 4_KiB, .notes_words = 10});
  REQUIRE(pages);
  CHECK(pages->size() == 4_MiB);
  CHECK(pages->base() == 0);
  CHECK(pages->notes().size() == 10);
  const auto start = pages->cpu_pointer(0);
  REQUIRE(start);
  CHECK(reinterpret_cast<std::uintptr_t>(*start) % (2U << 20) == 0);
  CHECK(*pages->cpu_pointer(100) == *start + 100);
  std::memset(*start, 1, 4U << 20);
  CHECK(pages->notes()[9] == 0);
}

TEST_CASE("block by block, each is a mapping of its own") {
  auto pages = Anonymous::create({.size = 1_MiB, .granule = 4_KiB, .notes_words = 1, .block_by_block = true});
  REQUIRE(pages);
  CHECK_FALSE(pages->cpu_pointer(0));
  CHECK_FALSE(pages->obtained(3));
  REQUIRE(pages->obtain(3, 8192, 64_KiB));
  const auto block = pages->obtained(3);
  REQUIRE(block);
  CHECK(reinterpret_cast<std::uintptr_t>(*block) % 65536 == 0);
  std::memset(*block, 1, 8192);
  Anonymous moved = *std::move(pages);
  CHECK(moved.obtained(3) == block);
  moved.give_back(3);
  CHECK_FALSE(moved.obtained(3));
  CHECK_FALSE(moved.obtained(256));
  REQUIRE(moved.obtain(255, 4096, 0));  // left for the destructor
}

TEST_CASE("more than the host has is an error") {
  const auto pages = Anonymous::create({.name = "huge", .size = std::uint64_t{1} << 62, .granule = 4_KiB});
  REQUIRE_FALSE(pages);
  CHECK(pages.error().code == ErrorCode::out_of_memory);
}

namespace {

// Which of the pages at this place are in memory?
std::vector<bool> in_memory(const std::byte* at, std::size_t pages) {
  std::vector<unsigned char> bits(pages);
  REQUIRE(mincore(const_cast<std::byte*>(at), pages * 4096, bits.data()) == 0);
  std::vector<bool> in(pages);
  for (std::size_t i = 0; i < pages; ++i) in[i] = (bits[i] & 1) != 0;
  return in;
}

// Asks the host for some huge pages of 2 MiB, and takes them away again.
class HugePages {
 public:
  explicit HugePages(long wanted) : before_(read()) {
    if (before_ < wanted) write(wanted);
  }
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;
  ~HugePages() {
    if (read() != before_) write(before_);
  }
  long count() const { return read(); }

 private:
  static constexpr const char* path = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

  static long read() {
    long value = 0;
    if (std::FILE* in = std::fopen(path, "r")) {
      if (std::fscanf(in, "%ld", &value) != 1) value = 0;
      std::fclose(in);
    }
    return value;
  }
  static void write(long value) {
    if (std::FILE* out = std::fopen(path, "w")) {
      std::fprintf(out, "%ld", value);
      std::fclose(out);
    }
  }

  long before_;
};

// What /proc/self/numa_maps says of the mapping that begins there.
std::string policy_at(const std::byte* start) {
  char address[32];
  std::snprintf(address, sizeof(address), "%08zx ", reinterpret_cast<std::size_t>(start));
  std::ifstream lines("/proc/self/numa_maps");
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(address)) return line.substr(std::strlen(address));
  }
  return "";
}

constexpr BackingRequest four_mib{.name = "a", .size = 4_MiB, .granule = 4_KiB, .notes_words = 10};

}  // namespace

TEST_CASE("bytes get their memory when committed, and lose it with what they hold") {
  auto pages = Anonymous::create(four_mib);
  REQUIRE(pages);
  std::byte* start = *pages->cpu_pointer(0);
  CHECK(in_memory(start, 4) == std::vector<bool>{false, false, false, false});
  REQUIRE(pages->commit(4096 + 100, 4096));  // touches two
  CHECK(in_memory(start, 4) == std::vector<bool>{false, true, true, false});
  std::memset(start, 0x5A, 4 * 4096);
  REQUIRE(pages->decommit(100, 2 * 4096));  // holds one
  CHECK(in_memory(start, 4) == std::vector<bool>{true, false, true, true});
  CHECK(start[4096] == std::byte{0});
  CHECK(start[4095] == std::byte{0x5A});
  REQUIRE(pages->decommit(100, 200));  // holds none
  CHECK(start[100] == std::byte{0x5A});
}

TEST_CASE("huge pages, where the host has some") {
  const HugePages host(2);
  if (host.count() < 2) {
    MESSAGE("this host gives no huge pages of 2 MiB");
    return;
  }
  auto huge = Anonymous::create(four_mib, {.pages = Pages::huge_1g});  // no multiple of 1 GiB
  REQUIRE(huge);
  CHECK(huge->page() == 2_MiB);
  CHECK(reinterpret_cast<std::uintptr_t>(*huge->cpu_pointer(0)) % (2U << 20) == 0);
  std::memset(*huge->cpu_pointer(0), 1, 4U << 20);
  CHECK(huge->notes()[9] == 0);
  REQUIRE(huge->decommit(4096, 4_MiB - Bytes(4096)));
  CHECK(**huge->cpu_pointer(0) == std::byte{1});
  CHECK(**huge->cpu_pointer(2_MiB) == std::byte{0});
  REQUIRE(huge->commit(2_MiB, 1));
}

TEST_CASE("smaller pages where the larger ones do not fit or are not there, and it says which") {
  const Bytes own = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const auto page_of = [](Bytes size, Pages pages) {
    const auto made = Anonymous::create({.name = "a", .size = size, .granule = 4_KiB}, {.pages = pages});
    return made ? made->page() : Bytes(0);
  };
  CHECK(page_of(4_MiB, Pages::small) == own);
  CHECK(page_of(4_MiB + 4_KiB, Pages::huge_1g) == own);  // a multiple of neither
  const Bytes more_than_there_are = static_cast<std::uint64_t>(HugePages(0).count() + 1) << 21;
  if (more_than_there_are <= 512_MiB) CHECK(page_of(more_than_there_are, Pages::huge_2m) == own);
}

TEST_CASE("memory of one NUMA node; one that is not there is an error") {
  auto pages = Anonymous::create(four_mib, {.numa_node = 0});
  if (!pages && pages.error().os_error == ENOSYS) {
    MESSAGE("this kernel has no NUMA");
    return;
  }
  REQUIRE(pages);
  std::memset(*pages->cpu_pointer(0), 1, 100);
  CHECK(policy_at(*pages->cpu_pointer(0)).starts_with("bind:0"));
  for (const int node : {1000, 5000}) {
    const auto none = Anonymous::create(four_mib, {.numa_node = node});
    REQUIRE(!none);
    CHECK(none.error().code == ErrorCode::no_device);
    CHECK(std::string(none.error().node()) == "NUMA node");
    CHECK(none.error().asked == static_cast<std::uint64_t>(node));
  }
}

TEST_CASE("blocks of their own are bound as asked for") {
  auto slots = Anonymous::create(
      {.name = "a", .size = 1_MiB, .granule = 4_KiB, .notes_words = 10, .block_by_block = true}, {.numa_node = 0});
  if (!slots && slots.error().os_error == ENOSYS) {
    MESSAGE("this kernel has no NUMA");
    return;
  }
  REQUIRE(slots);
  REQUIRE(slots->obtain(3, 64_KiB, 0));
  std::memset(*slots->obtained(3), 1, 100);
  CHECK(policy_at(*slots->obtained(3)).starts_with("bind:0"));
  auto nowhere = Anonymous::create(
      {.name = "a", .size = 1_MiB, .granule = 4_KiB, .notes_words = 10, .block_by_block = true}, {.numa_node = 1000});
  CHECK((!nowhere || !nowhere->obtain(3, 64_KiB, 0)));
}

// Its calls that lock memory do nothing.
#ifdef __SANITIZE_ADDRESS__
constexpr bool nothing_is_locked = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool nothing_is_locked = true;
#else
constexpr bool nothing_is_locked = false;
#endif
#else
constexpr bool nothing_is_locked = false;
#endif

TEST_CASE("locked memory is there at once; where so much may not be locked, that is the error" *
          doctest::skip(nothing_is_locked)) {
  const auto limited = [](rlim_t bytes) {
    const rlimit limit{.rlim_cur = bytes, .rlim_max = bytes};
    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && (setuid(65534) == 0 || getuid() != 0);
  };
  CHECK(tests::holds_in_child([&] {
    if (!limited(1 << 20)) return false;
    const auto pages = Anonymous::create(four_mib, {.locked = true});
    return !pages && pages.error().code == ErrorCode::limit_reached &&
           pages.error().missing == Privilege::cap_ipc_lock && std::string(pages.error().node()) == "locked memory";
  }));
  CHECK(tests::holds_in_child([&] {
    if (!limited(0)) return false;
    const auto pages = Anonymous::create(four_mib, {.locked = true});
    return !pages && pages.error().code == ErrorCode::no_access && pages.error().missing == Privilege::cap_ipc_lock;
  }));
  CHECK(tests::holds_in_child([&] {
    if (!limited(64 << 10)) return false;
    auto pages = Anonymous::create({.name = "a", .size = 16_KiB, .granule = 4_KiB}, {.locked = true});
    if (!pages) return false;
    unsigned char bits[4] = {};
    return mincore(*pages->cpu_pointer(0), 4 * 4096, bits) == 0 && (bits[0] & bits[1] & bits[2] & bits[3] & 1) == 1 &&
           !pages->decommit(0, 16_KiB);
  }));
  CHECK(tests::holds_in_child([&] {  // what is locked already counts
    if (!limited(6 << 20)) return false;
    const auto first = Anonymous::create(four_mib, {.locked = true});
    const auto second = Anonymous::create(four_mib, {.locked = true});
    return first && !second && second.error().code == ErrorCode::limit_reached;
  }));
  CHECK(tests::holds_in_child([&] {  // so does each block of its own
    if (!limited(1 << 20)) return false;
    auto slots = Anonymous::create({.name = "a", .size = 4_MiB, .granule = 4_KiB, .block_by_block = true},
                                   {.locked = true});
    if (!slots || !slots->obtain(0, 512_KiB, 0)) return false;
    const auto second = slots->obtain(1, 640_KiB, 0);
    return !second && second.error().code == ErrorCode::limit_reached && !slots->obtained(1);
  }));
  CHECK(tests::holds_in_child([&] {  // a process that locks all that it ever maps
    if (!limited(8 << 20) || mlockall(MCL_FUTURE) != 0) return false;
    const auto pages = Anonymous::create({.name = "a", .size = 32_MiB, .granule = 4_KiB});
    return !pages && pages.error().code == ErrorCode::limit_reached &&
           std::string(pages.error().node()) == "locked memory";
  }));
}
