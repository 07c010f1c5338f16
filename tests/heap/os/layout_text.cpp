#include <freestone/heap/os/layout_text.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace freestone;

namespace {

const std::vector<Memory> memories = {{.name = "dram", .base = 0x8000'0000, .size = 256_MiB}};
const std::vector<HeapSpec> two = {{.name = "camera", .id = 20, .size = 64_MiB, .align = 2_MiB},
                                   {.name = "a b*/", .id = 3, .size = 12_KiB}};

std::string print(std::string (*format)(const BoardLayout&), const std::vector<HeapSpec>& heaps = two) {
  const Layout layout = lay_out(heaps, memories);
  REQUIRE(layout);
  return format({"demo", heaps, memories, layout});
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("each format says the same addresses, and names that its reader can read") {
  CHECK(has(print(to_table), "camera                           20  0x80000000          0x83ffffff          64M       -\n"));
  CHECK(has(print(to_table), "memory dram: 256M from 0x80000000, 65548K used, 196596K free, 0 of that before aligned heaps\n"));
  CHECK(has(print(to_linker_script), "  heap_a_b__ (rw) : ORIGIN = 0x84000000, LENGTH = 0x3000\n"));
  CHECK(has(print(to_linker_script), "__heap_camera_end = 0x84000000;\n"));
  CHECK(has(print(to_device_tree), "heap_camera: heap-camera@80000000 {\n\t\t\treg = <0x0 0x80000000 0x0 0x4000000>;"));
  CHECK(has(print(to_c_header), "#define HEAP_CAMERA_SIZE 0x4000000\n"));
  CHECK(has(print(to_svg), "camera (id 20), 64M"));
  CHECK(!has(print(to_svg), "*/"));
}

TEST_CASE("of two names that would be one identifier one gets its id behind it") {
  const std::vector<HeapSpec> alike = {{.name = "a-b", .id = 1, .size = 4_KiB}, {.name = "A.B", .id = 2, .size = 4_KiB}};
  CHECK(has(print(to_c_header, alike), "HEAP_A_B_BASE"));
  CHECK(has(print(to_c_header, alike), "HEAP_A_B_2_BASE"));
  const std::vector<HeapSpec> three = {{.name = "a_2", .id = 3, .size = 4_KiB},
                                       {.name = "A", .id = 1, .size = 4_KiB},
                                       {.name = "a", .id = 2, .size = 4_KiB}};
  CHECK(has(print(to_c_header, three), "HEAP_A_2_BASE"));
  CHECK(has(print(to_c_header, three), "HEAP_A_2_2_BASE"));
  CHECK(has(print(to_c_header, {{.name = "3d", .id = 1, .size = 4_KiB}}), "HEAP__3D_ID 1"));
}

TEST_CASE("what cannot be laid out is said with the names of both") {
  const std::vector<HeapSpec> crossing = {{.name = "a", .size = 8_KiB, .base = 0x8000'0000},
                                          {.name = "b", .size = 8_KiB, .base = 0x8000'1000}};
  CHECK(describe(lay_out(crossing, memories), crossing) == "heap 'b': it overlaps: 'a'");
  const std::vector<HeapSpec> lost = {{.name = "a", .size = 8_KiB, .memory = "nowhere"}};
  CHECK(describe(lay_out(lost, memories), lost) == "heap 'a': no memory of the board has the name that it should lie in");
}
