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

TEST_CASE("a heap that begins where it likes has a line in the table, and no address anywhere") {
  const std::vector<HeapSpec> heaps = {{.name = "file", .id = 4, .size = 512_MiB, .takes_base = false}, two[0]};
  CHECK(has(print(to_table, heaps), "file                             4   -                   -                   512M      -\n"));
  CHECK(has(print(to_table, heaps), "memory dram: 256M from 0x80000000, 64M used, 192M free, 0 of that before aligned heaps\n"));
  CHECK(!has(print(to_linker_script, heaps), "file"));
  CHECK(!has(print(to_device_tree, heaps), "file"));
  CHECK(!has(print(to_svg, heaps), "file"));
  CHECK(has(print(to_c_header, heaps), "#define HEAP_FILE_ID 4\n#define HEAP_FILE_SIZE 0x20000000\n"));
  CHECK(!has(print(to_c_header, heaps), "HEAP_FILE_BASE"));
}

TEST_CASE("what is free and lost to alignment is told as it is when all have their places") {
  const std::vector<HeapSpec> heaps = {{.name = "a", .id = 1, .size = 4_KiB},
                                       {.name = "b", .id = 2, .size = 1_MiB, .align = 1_MiB},
                                       {.name = "c", .id = 3, .size = 1012_KiB}};
  CHECK(has(print(to_table, heaps), "2040K used, 260104K free, 8K of that before aligned heaps\n"));
}

TEST_CASE("a node's name has 31 characters at most") {
  const std::vector<HeapSpec> heaps = {{.name = "a_name_of_thirty_one_characters", .id = 1, .size = 4_KiB}};
  CHECK(has(print(to_device_tree, heaps), "heap_a_name_of_thirty_one_characters: heap-a-name-of-thirty-one-chara@80000000 {"));
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
  const std::vector<Memory> crossed = {memories[0], {.name = "sram", .base = 0x8000'0000, .size = 4_KiB}};
  CHECK(describe(lay_out(two, crossed), two, crossed) == "memory 'sram': it overlaps another memory: 'dram'");
  CHECK(describe(lay_out(two, crossed), two) == "it overlaps another memory");
  const std::vector<HeapSpec> apart = {{.name = "a", .size = 4_KiB, .beside = "b", .memory = "dram"}, {.name = "b", .size = 4_KiB, .memory = "sram"}};
  CHECK(describe(lay_out(apart, memories), apart) == "heap 'b': it lies side by side with another, and should lie in another memory: 'a'");
}
