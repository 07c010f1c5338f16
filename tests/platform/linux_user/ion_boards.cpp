// Boards with ION's own tables, served (shared/spec: ION 2.3; rows 3, 4, 5, 27).
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <freestone/device/ion/calls.hpp>

#include "support/server_client.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

constexpr const char* ion = "/dev/ion";

// Four heaps that are right, and one of each kind that the probe refuses.
constexpr std::string_view good_and_bad = R"(
[[memory]]
name = "EBI"
base = 0x8000_0000
size = "64M"
[[ion]]
type = "SYSTEM"
id = 30
name = "vmalloc"
[[ion]]
type = "CARVEOUT"
id = 20
name = "camera"
size = "8M"
align = "4K"
[[ion]]
type = "CARVEOUT"
id = 20
name = "same_id"
size = "8M"
align = "4K"
[[ion]]
type = "CARVEOUT"
id = 21
name = "no_base"
size = "8M"
[[ion]]
type = "CARVEOUT"
id = 22
name = "too_large"
size = "1G"
align = "4K"
[[ion]]
type = "CARVEOUT"
id = 23
name = "no_size"
align = "4K"
[[ion]]
type = "CP"
id = 8
name = "mm"
size = "8M"
align = "1M"
[[ion]]
type = "IOMMU"
id = 25
name = "iommu"
[[node]]
system = "ion-g1"
quota = "16M"
)";

// ALLOC of the first generation.
std::int64_t allocate(ServerClient& client, int node, std::uint64_t length, std::uint32_t mask) {
  const device::IonAllocation wanted{.length = length, .heap_mask = mask};
  alignas(8) std::array<std::byte, 32> bytes{};
  IonAllocationWire<IonGeneration::g1>::write(wanted, bytes, WordSize::bits64);
  return client.ioctl(node, 0xC0204900, bytes.data()).result;
}

}  // namespace

TEST_CASE("row 4: what the probe refuses is told with its line, and the other heaps are there") {
  RunningServer host(unused_name(), good_and_bad);
  const auto& left_out = host.board->left_out();
  REQUIRE(left_out.size() == 4);
  const TextFault faults[] = {TextFault::duplicate_id, TextFault::needs_base, TextFault::layout, TextFault::zero_size};
  const char* const names[] = {"same_id", "no_base", "too_large", "no_size"};
  for (std::size_t at = 0; at < 4; ++at) {
    CHECK(left_out[at].what == faults[at]);
    CHECK(left_out[at].heap == names[at]);
    CHECK(left_out[at].line > 0);
  }
  ServerClient client(host.name);
  const auto node = client.open(ion);
  for (const unsigned id : {30U, 20U, 8U, 25U}) CHECK(allocate(client, node.fd.get(), 4096, 1U << id) == 0);
  for (const unsigned id : {21U, 22U, 23U, 0U}) CHECK(allocate(client, node.fd.get(), 4096, 1U << id) == -ENODEV);
}

TEST_CASE("row 4: a board that is none at all says why, and nothing is made") {
  std::string text(good_and_bad);
  const auto error = [&] { return linux_user::DeviceBoard::create(text, TagKey{1, 2}).error(); };
  text += "[[ion]]\ntype = \"CHUNK\"\nid = 3\nname = \"x\"\nsize = \"1M\"\n";
  CHECK(linux_user::DeviceBoard::create(text, TagKey{1, 2}));  // which Qualcomm's family does not have: left out
  text = std::string(good_and_bad) + "[[ion]]\ntype = \"CARVEOUT\"\nid = 1\nname = \"a\"\nsize = \"1M\"\nbase = 0x9000_0000\n"
         "[[ion]]\ntype = \"CARVEOUT\"\nid = 2\nname = \"b\"\nsize = \"1M\"\nbase = 0x900f_f000\n";
  CHECK(error().what == TextFault::overlap);
  text = std::string(good_and_bad) + "[[node]]\nsystem = \"ion-g9\"\npath = \"/dev/other\"\n";
  CHECK(error().what == TextFault::unknown_word);
}

TEST_CASE("a name that would be two nodes' is told with its line and field, whichever of them comes first, and nothing is made") {
  const auto why = [](const std::string& text) {
    const auto board = linux_user::DeviceBoard::create(text, TagKey{1, 2});
    return board ? std::string("none") : describe(board.error());
  };
  const std::string ion_node = "[[node]]\nsystem = \"ion-g4\"\n", heaps_node = "[[node]]\nsystem = \"dma-heap\"\n";
  const std::string pmem_node = "[[node]]\nsystem = \"pmem-caf\"\n";
  const auto region = [](const char* name) {
    return std::string("[[heap]]\nname = \"h\"\nid = 0\ntype = \"system\"\nsize = \"1M\"\nbase = 0x4000_0000\n[[pmem]]\nname = \"") + name +
           "\"\nsize = \"64K\"\nstart = 0x6000_0000\n";
  };
  CHECK(why(region("pmem") + ion_node + pmem_node) == "none");
  CHECK(why(region("ion") + ion_node + pmem_node) == "line 7: heap 'ion': name: another has that name: '/dev/ion'");
  CHECK(why(region("ion") + pmem_node + ion_node) == "line 13: path: another has that name: '/dev/ion'");
  CHECK(why(region("ion-test") + pmem_node + "[[node]]\nsystem = \"ion-test\"\n") == "line 13: path: another has that name: '/dev/ion-test'");
  CHECK(why(region("dma_heap") + heaps_node + pmem_node) == "line 7: heap 'dma_heap': name: another has that name: '/dev/dma_heap'");
  CHECK(why(region("dma_heap") + pmem_node + heaps_node) == "line 13: path: another has that name: '/dev/dma_heap'");
}

TEST_CASE("MMZ's node of each generation, and its zones with their table's line") {
  const char* const systems[] = {"mmz-g1", "mmz-g2", "mmz-g3", "mmz-g4", "mmz-g5"};
  for (unsigned place = 0; place < 5; ++place) {
    const auto nodes = device::read_nodes("[[node]]\nsystem = \"" + std::string(systems[place]) + "\"\n");
    REQUIRE(nodes);
    CHECK(nodes->front().system == static_cast<device::NodeSystem>(static_cast<unsigned>(device::NodeSystem::mmz_g1) + place));
    CHECK(device::is_mmz(nodes->front().system));
    CHECK(!device::is_ion(nodes->front().system));
    CHECK(!device::is_pmem(nodes->front().system));
    CHECK(nodes->front().path == "/dev/mmz_userdev");
  }
  CHECK(device::read_mmz_board("[[node]]\nsystem = \"mmz-g4\"\n", MmzGeneration::g4)->table.heaps.empty());
  const std::string zones = "# two\n\n[[mmz]]\nline = \"mmz=anonymous,0,0x42000000,32M:jpeg,1,0x44000000,1M mmz_allocator=hisi anony=1\"\n";
  const auto board = device::read_mmz_board(zones, MmzGeneration::g4);
  REQUIRE(board);
  REQUIRE(board->table.heaps.size() == 2);
  CHECK(board->allocator == MmzAllocator::hisi);
  CHECK(board->table.heaps[1].name == "jpeg");
  for (const BoardHeap& zone : board->table.heaps) CHECK(zone.line == 3);
  const auto skipped = device::read_mmz_board("\n[[mmz]]\nline = \"mmz=a,0,0x42000000:b,0,0x44000000,1M anony=1\"\n", MmzGeneration::g1);
  REQUIRE(skipped);
  CHECK(skipped->table.heaps.size() == 1);
  REQUIRE(skipped->table.left_out.size() == 1);
  CHECK(skipped->table.left_out.front().line == 2);
}

TEST_CASE("what MMZ's table or line has wrong is told with line and field, and nothing is made") {
  const std::string node = "[[node]]\nsystem = \"mmz-g4\"\n", good = "[[mmz]]\nline = \"mmz=anonymous,0,0x42000000,32M mmz_allocator=hisi anony=1\"\n";
  const auto why = [&](const std::string& text) {
    const auto board = linux_user::DeviceBoard::create(text + node, TagKey{1, 2});
    return board ? std::string("none") : describe(board.error());
  };
  const auto with = [](const std::string& line) { return "\n[[mmz]]\nline = \"" + line + "\"\n"; };
  CHECK(why(good) == "none");
  CHECK(why("[[mmz]]\n") == "line 1, column 1: line: it must be said");
  CHECK(why("[[mmz]]\nline = 7\n") == "line 2, column 8: line: a value of another type belongs there: '7'");
  CHECK(why("[[mmz]]\nzones = \"x\"\n") == "line 2, column 9: zones: there is no such field: 'x'");
  CHECK(why(good + good) == "line 4, column 8: line: another has that name: 'mmz=anonymous,0,0x42000000,32M mmz_allocator=hisi anony=1'");
  CHECK(why(with("mmz=anonymous,0,0x42000000 mmz_allocator=hisi anony=1")) == "line 3, column 13: heap 'anonymous': mmz: so many fields cannot be: '3'");
  CHECK(why(with("mmz=anonymous,0,0x42000000,32M mmz_allocator=slab anony=1")) == "line 3, column 54: mmz_allocator: none of the words that may stand there: 'slab'");
  CHECK(why(with("mmz=anonymous,0,0x42000000,32M mmz_allocator=hisi anony=0")) == "line 3, column 65: anony: none of the words that may stand there: '0'");
  CHECK(why(with("mmz=a,0,0x42000000,32M:b,0,0x43000000,32M mmz_allocator=hisi anony=1")) == "line 3, column 32: heap 'b': start: it overlaps another ('a'): 'b,0,0x43000000,32M'");
  CHECK(why(good + "[[node]]\nsystem = \"mmz-g9\"\n") == "line 4, column 10: system: none of the words that may stand there: 'mmz-g9'");
  CHECK(why(good + "[[node]]\nsystem = \"ion-g4\"\npath = \"/dev/mmz_userdev\"\n") == "line 6, column 1: path: another has that name");
}

TEST_CASE("row 27: what a process may have of all together is a matter of the node's quota") {
  RunningServer host(unused_name(), good_and_bad);
  ServerClient client(host.name);
  const auto node = client.open(ion), again = client.open(ion);
  CHECK(allocate(client, node.fd.get(), 12 << 20, 1U << 30) == 0);
  CHECK(allocate(client, node.fd.get(), (4 << 20) + 4096, 1U << 30) == -ENOMEM);
  CHECK(allocate(client, again.fd.get(), (4 << 20) + 4096, 1U << 20) == -ENOMEM);
  CHECK(allocate(client, again.fd.get(), 4 << 20, 1U << 20) == 0);
}
