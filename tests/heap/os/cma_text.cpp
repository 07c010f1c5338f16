#include <freestone/heap/os/cma_text.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

using namespace freestone;

TEST_CASE("CMA, row 8: the parameter") {
  const auto is = [](const char* text, std::uint64_t size, std::uint64_t base, std::uint64_t limit, bool is_fixed) {
    const auto read = read_cma(text);
    return read && read->size == size && read->base == base && read->limit == limit && read->is_fixed == is_fixed;
  };
  CHECK(is("16M", 16 << 20, 0, 0, false));
  CHECK(is("16M@0x40000000", 16 << 20, 0x40000000, 0x41000000, true));
  CHECK(is("16M@0x40000000-0x60000000", 16 << 20, 0x40000000, 0x60000000, false));
  CHECK(is("0x1000", 0x1000, 0, 0, false));
  CHECK(is("1G@1G-2G", 1 << 30, 1 << 30, std::uint64_t{2} << 30, false));
  CHECK(is("64k", 64 << 10, 0, 0, false));
  CHECK(is("16M@0", 16 << 20, 0, 16 << 20, true));
  CHECK(is("16M-3", 16 << 20, 0, 0, false));
  CHECK_FALSE(read_cma("0"));
  CHECK_FALSE(read_cma("0@0x40000000"));
  CHECK_FALSE(read_cma(""));
  CHECK_FALSE(read_cma("M"));
}

TEST_CASE("CMA, rows 6 and 10: what debugfs and sysfs show") {
  using Area = CmaArea<>;
  const Area::Settings settings{"linux,cma", {0x26400, 160}, 2};
  std::vector<std::uint64_t> words(Area::words_for(settings));
  Area area(settings, words);
  REQUIRE(area.allocate(5));
  REQUIRE(area.allocate(1, 4));
  REQUIRE(area.allocate(40, 5));
  REQUIRE_FALSE(area.allocate(100));
  REQUIRE(area.release(0x26400, 5));
  using Files = std::vector<std::pair<std::string, std::string>>;
  CHECK(cma_debug_files(area) == Files{{"base_pfn", "156672\n"},
                                       {"count", "160\n"},
                                       {"order_per_bit", "2\n"},
                                       {"used", "44\n"},
                                       {"maxchunk", "88\n"},
                                       {"bitmap", "261904 0\n"}});
  CHECK(cma_sysfs_files(area) == Files{{"alloc_pages_success", "46\n"},
                                       {"alloc_pages_fail", "100\n"},
                                       {"release_pages_success", "5\n"},
                                       {"total_pages", "160\n"},
                                       {"available_pages", "116\n"}});
}
