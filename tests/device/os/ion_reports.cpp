#include <freestone/device/os/ion_reports.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace freestone;
using namespace freestone::device;

namespace {

constexpr std::uint64_t most = ~std::uint64_t{0};

const std::string client_header =
    "       heap_name:    size_in_bytes :  handle refcount :       buffer :     physical : [domain,partition] - virt\n";
const std::string maps_header = "\nMemory Map\n"
                               "          client  start address    end address     size (hex)\n";

// The lines of a heap of the third generation's in their frame.
std::string framed(const std::string& clients, const std::string& orphans, const std::string& totals) {
  const std::string dashes = std::string(52, '-') + '\n';
  return "          client              pid             size\n" + dashes + clients + dashes +
         "orphaned allocations (info is from last known client):\n" + orphans + dashes + totals + dashes;
}

}  // namespace

TEST_CASE("row 24: G1, a client: each handle, its physical address where it has one, its IOMMU maps") {
  CHECK(ion_g1::client_report({}) == client_header);
  const std::vector<ion_g1::HandleRow> handles = {
      {"camera_preview", 0x300000, 2, 0xc6b2e180, PhysicalAddress(0x2a400000)},
      {"vmalloc", 0x1000, 1, 0xc6b2e240},
      {"iommu", 0xffff0000, 12, 0xc6b2e300, {}, {{0, 1, DeviceAddress(0x10000)}, {2, 0, DeviceAddress(0xfedcba9876)}}},
      {"kmalloc", 0, 1, 0xc0, PhysicalAddress(0)},
  };
  CHECK(ion_g1::client_report(handles) ==
        client_header +
            "  camera_preview:           300000 :                2 :     c6b2e180 :     2a400000\n"
            "         vmalloc:             1000 :                1 :     c6b2e240 :          N/A\n"
            "           iommu:         ffff0000 :               12 :     c6b2e300 :          N/A : [0,1] -    10000 : [2,0] - fedcba9876\n"
            "         kmalloc:                0 :                1 :           c0 :            0\n");
}

TEST_CASE("row 24: G1, a client: long names are cut, wide numbers are not, and a size has 32 bits") {
  const std::vector<ion_g1::HandleRow> handles = {
      {"exactly_16_chars", 0x123456789a, 2147483647, 0xffffffc012345678, PhysicalAddress(most), {{-1, -2, DeviceAddress(most)}}},
      {"seventeen_letters", 0x100000000, -1, 0xfff},
  };
  CHECK(ion_g1::client_report(handles) ==
        client_header +
            "exactly_16_chars:         3456789a :       2147483647 : ffffffc012345678 : ffffffffffffffff : [-1,-2] - ffffffffffffffff\n"
            "seventeen_letter:                0 :               -1 :          fff :          N/A\n");
}

TEST_CASE("row 24: G1, a heap: who has how much of it") {
  const std::string header = "          client              pid             size\n";
  CHECK(ion_g1::heap_report({}) == header);
  const std::vector<ClientRow> clients = {{"mediaserver", 131, 3145728},
                                          {"has nothing here", 5, 0},
                                          {"a_name_of_19_letter", 4294967295, 4294967295},
                                          {"", 0, 0x100000001}};
  CHECK(ion_g1::heap_report(clients) == header +
                                            "     mediaserver              131          3145728\n"
                                            "a_name_of_19_letter       4294967295       4294967295\n"
                                            "                                0                1\n");
}

TEST_CASE("row 24: G1, a heap's own lines: system, carveout, CP") {
  const ion_g1::HeapRow heap{.allocated = 0x12000, .base = 0x2a400000, .size = 0x200000, .map = {{0x2a400000, 0x12000, "camera"}}};
  const std::string map = maps_header +
                          "          camera       2a400000       2a411fff          73728 (12000)\n"
                          "            FREE       2a412000       2a5fffff        2023424 (1ee000)\n";
  CHECK(ion_g1::system_lines(heap) == "total bytes currently allocated: 12000\n");
  CHECK(ion_g1::system_lines({}) == "total bytes currently allocated: 0\n");
  CHECK(ion_g1::carve_out_lines(heap) == "total bytes currently allocated: 12000\ntotal heap size: 200000\n" + map);
  ion_g1::HeapRow cp = heap;
  CHECK(ion_g1::cp_lines(cp) ==
        "total bytes currently allocated: 12000\ntotal heap size: 200000\numapping count: 0\nkmapping count: 0\n"
        "heap protected: No\nreusable: No\n" + map);
  cp.user_maps = 0x1f, cp.kernel_maps = 10, cp.is_protected = true;
  CHECK(ion_g1::cp_lines(cp) ==
        "total bytes currently allocated: 12000\ntotal heap size: 200000\numapping count: 1f\nkmapping count: a\n"
        "heap protected: Yes\nreusable: No\n" + map);
  cp.is_protected = false, cp.is_reusable = true;
  CHECK(ion_g1::cp_lines(cp) ==
        "total bytes currently allocated: 12000\ntotal heap size: 200000\numapping count: 1f\nkmapping count: a\n"
        "heap protected: No\nreusable: Yes\n" + map);
}

TEST_CASE("row 24: G1, the memory map: ascending, with every gap, and nobody's buffers") {
  CHECK(ion_g1::memory_map(0x80000000, 0x10000, {{0x8000c000, 0x1000, {}}, {0x80004000, 0x2000, "audio"}, {0x80006000, 0x1000, "sf"}}) ==
        maps_header +
            "            FREE       80000000       80003fff          16384 (4000)\n"
            "           audio       80004000       80005fff           8192 (2000)\n"
            "              sf       80006000       80006fff           4096 (1000)\n"
            "            FREE       80007000       8000bfff          20480 (5000)\n"
            "          (null)       8000c000       8000cfff           4096 (1000)\n"
            "            FREE       8000d000       8000ffff          12288 (3000)\n");
  CHECK(ion_g1::memory_map(0x80000000, 0x2000, {{0x80001000, 0x1000, "above"}, {0x80000000, 0x1000, ""}}) ==
        maps_header +
            "                       80000000       80000fff           4096 (1000)\n"
            "           above       80001000       80001fff           4096 (1000)\n");
  CHECK(ion_g1::memory_map(0x80000000, 0x2000, {}) ==
        maps_header + "            FREE       80000000       80001fff           8192 (2000)\n");
  CHECK(ion_g1::memory_map(0x80000000, 0, {}) == maps_header);
}

TEST_CASE("row 24: G1, the memory map: a heap that ends at the last address, and one of nearly all") {
  CHECK(ion_g1::memory_map(0xffffffffffffe000, 0x2000, {{0xffffffffffffe000, 0x1000, "a_name_of_19_letter"}}) ==
        maps_header +
            "a_name_of_19_letter ffffffffffffe000 ffffffffffffefff           4096 (1000)\n"
            "            FREE fffffffffffff000 ffffffffffffffff           4096 (1000)\n");
  CHECK(ion_g1::memory_map(0xffffffffffffe000, 0x2000, {{0xfffffffffffff000, 0x1000, "last"}}) ==
        maps_header +
            "            FREE ffffffffffffe000 ffffffffffffefff           4096 (1000)\n"
            "            last fffffffffffff000 ffffffffffffffff           4096 (1000)\n");
  CHECK(ion_g1::memory_map(0, most, {}) ==
        maps_header + "            FREE              0 fffffffffffffffe 18446744073709551615 (ffffffffffffffff)\n");
}

TEST_CASE("row 24: G1, leaked files") {
  const std::string header = "          buffer             heap             size          ref cnt\n";
  CHECK(ion_g1::leaked_fds({}) == header);
  const std::vector<ion_g1::LeakRow> leaks = {{0xc6b2e180, "camera_preview", 0x300000, 1},
                                              {0xffffffc012345678, "a_name_of_19_letter", 0x100000000, 0}};
  CHECK(ion_g1::leaked_fds(leaks) == header +
                                         "        c6b2e180   camera_preview           300000                1\n"
                                         "        12345678 a_name_of_19_letter                0                0\n");
}

TEST_CASE("row 24: G3, a heap: clients, orphans, totals") {
  CHECK(ion_g3::heap_report({}) == framed("", "",
                                          "  total orphaned                0\n"
                                          "          total                 0\n"));
  const ion_g3::HeapRow heap{
      .total = 9437184,
      .deferred = 12288,
      .clients = {{"surfaceflinger", 120, 8294400}, {"has nothing here", 5, 0}, {"a_name_of_19_letter", 4294967295, most}},
      .orphans = {{"app_process", 812, 1048576, 0, 1}, {"a_name_of_19_letter", 4294967295, 4294967296, 12, 3}}};
  CHECK(ion_g3::heap_report(heap) == framed("  surfaceflinger              120          8294400\n"
                                            "a_name_of_19_letter       4294967295 18446744073709551615\n",
                                            "     app_process              812          1048576 0 1\n"
                                            "a_name_of_19_letter       4294967295       4294967296 12 3\n",
                                            "  total orphaned       4296015872\n"
                                            "          total           9437184\n"
                                            "   deferred free            12288\n"));
}

TEST_CASE("row 24: G3, a heap: it defers, and has nothing that waits; its pools") {
  const ion_g3::HeapRow heap{.deferred = 0, .pools = {{8, 3, 0}, {4, 0, 2}, {0, 1048577, 7}}};
  CHECK(ion_g3::heap_report(heap) == framed("", "",
                                            "  total orphaned                0\n"
                                            "          total                 0\n"
                                            "   deferred free                0\n") +
                                         "3 order 8 highmem pages in pool = 3145728 total\n"
                                         "0 order 8 lowmem pages in pool = 0 total\n"
                                         "0 order 4 highmem pages in pool = 0 total\n"
                                         "2 order 4 lowmem pages in pool = 131072 total\n"
                                         "1048577 order 0 highmem pages in pool = 4294971392 total\n"
                                         "7 order 0 lowmem pages in pool = 28672 total\n");
}

TEST_CASE("row 24: G3, a client: what it has in each heap, ascending by id") {
  const std::string header = "       heap_name:    size_in_bytes\n";
  CHECK(ion_g3::client_report({}) == header);
  const std::vector<ion_g3::HandleRow> handles = {{4, "cma", 4096}, {0, "system", 8192}, {31, "seventeen_letters", most},
                                                  {0, "system", 4294967296}, {2, "carveout", 0}, {4, "cma", 1}};
  CHECK(ion_g3::client_report(handles) == header +
                                              "          system:       4294975488\n"
                                              "        carveout:                0\n"
                                              "             cma:             4097\n"
                                              "seventeen_letter: 18446744073709551615\n");
}

TEST_CASE("row 24: G3, a client's file: its name, and 1 more than the highest of that name that lives") {
  using ion_g3::ClientName;
  const auto next = [](const std::vector<ClientName>& clients) { return ion_g3::file_name(ion_g3::next_name("812", clients)); };
  CHECK(next({}) == "812-0");
  CHECK(next({{"812", 0}}) == "812-1");
  CHECK(next({{"812", 4}, {"812", 1}}) == "812-5");  // those between are not used again
  CHECK(next({{"813", 7}, {"81", 3}, {"8120", 3}, {"", 9}}) == "812-0");
  CHECK(next({{"813", 7}, {"812", 2147483647}}) == "812-2147483648");
  CHECK(ion_g3::file_name(ion_g3::next_name("", {})) == "-0");
}

TEST_CASE("row 24: G3, the shrinker's file") {
  CHECK(ion_g3::shrink_file_name("system") == "system_shrink");
  CHECK(ion_g3::shrink_report(0) == "0\n");
  CHECK(ion_g3::shrink_report(most) == "18446744073709551615\n");
}
