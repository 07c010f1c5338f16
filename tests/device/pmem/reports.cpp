// What sysfs shows of PMEM's regions, as a server has it (shared/spec: PMEM 6; row 23).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/os/node.hpp>

#include "support/pmem_text.hpp"
#include "support/server_client.hpp"

using namespace freestone;
using namespace freestone::tests;
using backing::OwnedFd;

namespace {

constexpr std::uint64_t page = 4096;
const std::string regions =
    regions_at("0x2000_3000", RegionText{"nothing", "0"}, RegionText{"bits", "0x10_0000"}, RegionText{"refused", "5000"},
               RegionText{"buddy", "0xd000", "BUDDYBESTFIT"}, RegionText{"whole", "0x1_0000", "ALLORNOTHING"},
               RegionText{"own", "0x1_0000", "SYSTEM"}, RegionText{"large", "0x40_0000", "BITMAP", "quantum = 8192"}) +
    "[[node]]\nsystem = \"pmem\"\n";
constexpr std::string_view arenas = R"(
[[pmem]]
name = "pmem_adsp"
size = "1M"
start = 0x2000_0000
allocator_type = "BITMAP"
[[pmem]]
name = "pmem_kernel_ebi1"
size = "1M"
start = 0x2010_0000
allocator_type = "BITMAP"
[[node]]
system = "pmem-unpluggable"
)";
constexpr std::string_view google_regions = R"(
[[pmem]]
name = "pmem_adsp"
size = "1M"
start = 0x2000_0000
[[node]]
system = "pmem-google"
)";

// A program of that server's.
class User : public ServerClient {
 public:
  using ServerClient::ServerClient;

  OwnedFd region(const std::string& name) { return std::move(open("/dev/" + name).fd); }
  std::int64_t allocate(const OwnedFd& fd, std::uint64_t length) {
    return ask({.ask = Ask::ioctl, .number = 0x40047005, .address = length}, fd.get()).result;
  }
  // A command by which the server asks for what this program has under a number: `other`.
  std::int64_t told_of(const OwnedFd& other, const OwnedFd& fd, std::uint64_t command, std::uint64_t argument) {
    CHECK(send({.ask = Ask::ioctl, .number = command, .address = argument}, fd.get()));
    Answered got = receive();
    for (; !got.has_ended && got.reply.step != Step::finish; got = receive()) {
      const bool is_asked = got.reply.step == Step::descriptor;
      CHECK((is_asked ? send({.ask = Ask::copied}, other.get()) : send(copied(got.reply))));
    }
    return got.result;
  }
  OwnedFd connected(const std::string& name, const OwnedFd& master) {
    OwnedFd window = region(name);
    CHECK(told_of(master, window, 0x40047006, 5) == 0);
    return window;
  }
  void grant(const OwnedFd& window, const OwnedFd& master, std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t range[] = {offset, length};
    CHECK(told_of(master, window, 0x40047002, reinterpret_cast<std::uintptr_t>(range)) == 0);
  }

  // What is there; "none" where nothing can be had.
  static std::string read(const OwnedFd& fd) {
    std::string text(1 << 16, '\0');
    const ssize_t length = ::pread(fd.get(), text.data(), text.size(), 0);
    return length < 0 ? "none" : (text.resize(static_cast<std::size_t>(length)), text);
  }
  std::string text(const std::string& path) { return read(open("/sys/kernel/" + path, O_RDONLY | O_CLOEXEC).fd); }
  std::string list(const std::string& path) {
    const Answered listed = ask(with_path(Ask::list, "/sys/kernel/" + path));
    return listed.result < 0 ? "none" : read(listed.fd);
  }
};

const std::string sysfs = "pmem_regions/", bitmap = sysfs + "bits/", buddy = sysfs + "buddy/", whole = sysfs + "whole/";
const std::string bits_header = "id: 0\nbitnum\tindex\tquanta allocated\n", dump_header = "index\torder\tlength\tallocated\n";
const std::string mapped_header = "pid #: mapped regions (offset, len) (offset,len)...\n";

}  // namespace

TEST_CASE("row 23: each allocator's regions have its files, for everybody") {
  const RunningServer host(unused_name(), regions);
  User program(host.name);
  const std::string all = "allocator_type\nbase\n", quanta = "mapped_regions\nquantum_size\nsize\ntotal_entries\n";
  CHECK(program.list("pmem_regions") == "bits/\nbuddy/\nlarge/\nown/\nwhole/\n");
  CHECK(program.list(sysfs + "bits") == all + "bits_allocated\nfree_quanta\n" + quanta);
  CHECK(program.list(sysfs + "buddy") == all + "buddy_bitmap_dump\n" + quanta);
  CHECK(program.list(sysfs + "whole") == "allocated\n" + all + "mapped_regions\nsize\n");
  CHECK(program.list(sysfs + "own") == all + "mapped_regions\nsize\n");
  CHECK(host.board->tree().status("/sys/kernel/" + bitmap + "base").mode == (S_IFREG | 0444));
}

TEST_CASE("row 23: what does not change while programs use a region") {
  const RunningServer host(unused_name(), regions);
  User program(host.name);
  CHECK(program.text(bitmap + "base") == "536883200(0x20003000)\n");
  CHECK(program.text(bitmap + "size") == "1048576(0x100000)\n");
  CHECK(program.text(buddy + "base") == "537931776(0x20103000)\n");
  CHECK(program.text(buddy + "size") == "53248(0xd000)\n");
  CHECK(program.text(bitmap + "allocator_type") == "Bitmap\n");
  CHECK(program.text(buddy + "allocator_type") == "Buddy Bestfit\n");
  CHECK(program.text(whole + "allocator_type") == "All or Nothing\n");
  CHECK(program.text(sysfs + "own/allocator_type") == "System heap\n");
  CHECK(program.text(bitmap + "quantum_size") == "4096 (0x1000)\n");
  CHECK(program.text(sysfs + "large/quantum_size") == "8192 (0x2000)\n");
  CHECK(program.text(bitmap + "total_entries") == "256\n");
  CHECK(program.text(buddy + "total_entries") == "13\n");
  CHECK(program.text(sysfs + "large/total_entries") == "512\n");
}

TEST_CASE("row 23: bits_allocated and free_quanta; a slot is the lowest that was free") {
  const RunningServer host(unused_name(), regions);
  User program(host.name);
  CHECK(program.text(bitmap + "bits_allocated") == bits_header);
  CHECK(program.text(bitmap + "free_quanta") == "256\n");
  CHECK(program.text(sysfs + "large/bits_allocated") == "id: 5\nbitnum\tindex\tquanta allocated\n");  // one had no id, one was refused
  std::vector<OwnedFd> files;
  for (const std::uint64_t count : {2U, 3U, 4U, 1U}) {
    files.push_back(program.region("bits"));
    CHECK(program.allocate(files.back(), count * page - 1) >= 0);
  }
  CHECK(program.text(bitmap + "bits_allocated") == bits_header + "0\t0\t2\n1\t2\t3\n2\t5\t4\n3\t9\t1\n");
  CHECK(program.text(bitmap + "free_quanta") == "246\n");
  files[2] = OwnedFd(-1), files[1] = OwnedFd(-1);
  CHECK(soon([&] { return program.text(bitmap + "bits_allocated") == bits_header + "0\t0\t2\n3\t9\t1\n"; }));
  CHECK(soon([&] { return program.text(bitmap + "free_quanta") == "253\n"; }));
  files[1] = program.region("bits"), files[2] = program.region("bits");
  CHECK(program.allocate(files[1], 20 * page) == 10);  // behind the others, in a slot between theirs
  CHECK(program.allocate(files[2], page) == 2);
  CHECK(program.text(bitmap + "bits_allocated") == bits_header + "0\t0\t2\n1\t10\t20\n2\t2\t1\n3\t9\t1\n");
  CHECK(program.text(sysfs + "large/free_quanta") == "512\n");  // each region has its own
}

TEST_CASE("row 23: buddy_bitmap_dump: the worked sample, where the region's base is 3 quanta behind a multiple, and back") {
  const RunningServer host(unused_name(), regions);
  User program(host.name);
  const std::string initial = dump_header + "0\t3\t32768\t0\n8\t2\t16384\t0\n12\t0\t4096\t0\n";
  CHECK(program.text(buddy + "buddy_bitmap_dump") == initial);
  std::vector<OwnedFd> files;
  const std::pair<std::uint64_t, std::int64_t> sequence[] = {{2, 8}, {1, 12}, {1, 10}, {3, 0}};
  for (const auto& [count, index] : sequence) {
    files.push_back(program.region("buddy"));
    CHECK(program.allocate(files.back(), count * page) == index);
  }
  CHECK(program.text(buddy + "buddy_bitmap_dump") ==
        dump_header + "0\t2\t16384\t1\n4\t2\t16384\t0\n8\t1\t8192\t1\n10\t0\t4096\t1\n11\t0\t4096\t0\n12\t0\t4096\t1\n");
  files[2] = OwnedFd(-1);
  CHECK(soon([&] {
    return program.text(buddy + "buddy_bitmap_dump") ==
           dump_header + "0\t2\t16384\t1\n4\t2\t16384\t0\n8\t1\t8192\t1\n10\t1\t8192\t0\n12\t0\t4096\t1\n";
  }));
  files.clear();
  CHECK(soon([&] { return program.text(buddy + "buddy_bitmap_dump") == initial; }));
}

TEST_CASE("row 23: allocated, of a region that one has or nobody") {
  const RunningServer host(unused_name(), regions);
  User program(host.name);
  OwnedFd file = program.region("whole");
  CHECK(program.text(whole + "allocated") == "is NOT allocated\n");
  CHECK(program.allocate(file, page) == page);
  CHECK(program.text(whole + "allocated") == "is allocated\n");
  file = OwnedFd(-1);
  CHECK(soon([&] { return program.text(whole + "allocated") == "is NOT allocated\n"; }));
}

TEST_CASE("row 23: mapped_regions: a line for each open file, the newest first, and so its grants; one page at most") {
  const RunningServer host(unused_name(), regions);
  User program(host.name);
  CHECK(program.text(bitmap + "mapped_regions") == mapped_header);
  const OwnedFd master = program.region("bits");
  CHECK(program.allocate(master, 16 * page) == 0);
  OwnedFd first = program.connected("bits", master);
  const OwnedFd second = program.connected("bits", master);
  program.grant(first, master, 0, page);
  program.grant(first, master, 2 * page, 3 * page);
  program.grant(first, master, 15 * page, page);
  program.grant(second, master, 0, 16 * page);
  CHECK(program.text(bitmap + "mapped_regions") == mapped_header + "pid 0:(0,10000) \npid 0:(f000,1000) (2000,3000) (0,1000) \npid 0:\n");
  CHECK(program.text(buddy + "mapped_regions") == mapped_header);
  for (int grant = 0; grant < 60; ++grant) program.grant(first, master, page, page);
  first = OwnedFd(-1);
  CHECK(soon([&] { return program.text(bitmap + "mapped_regions") == mapped_header + "pid 0:(0,10000) \npid 0:\n"; }));
  std::vector<OwnedFd> many;
  std::string all = "pid 0:(0,10000) \npid 0:\n";
  for (int file = 0; file < 12; ++file) {
    std::string line = "pid 0:";
    many.push_back(program.connected("bits", master));
    for (int grant = 0; grant < 50; ++grant) program.grant(many.back(), master, page, page), line += "(1000,1000) ";
    all = line + '\n' + all;
  }
  CHECK((mapped_header + all).size() > 4096);
  CHECK(program.text(bitmap + "mapped_regions") == (mapped_header + all).substr(0, 4096));
}

TEST_CASE("row 23: reports are whole while others allocate and free") {
  const RunningServer host(unused_name(), regions);
  std::thread worker([&] {
    User program(host.name);
    for (int turn = 0; turn < 300; ++turn) {
      const OwnedFd file = program.region("buddy"), other = program.region("buddy");
      CHECK(program.allocate(file, page << turn % 3) != -1);
      static_cast<void>(program.allocate(other, page << turn % 2));
    }
  });
  User program(host.name);
  for (int turn = 0; turn < 200; ++turn) {
    const std::string text = program.text(buddy + "buddy_bitmap_dump");
    CHECK(text.starts_with(dump_header));
    std::uint64_t end = 0;
    for (std::size_t at = dump_header.size(); at < text.size(); at = text.find('\n', at) + 1) {
      const std::uint64_t index = std::stoull(text.substr(at)), order = std::stoull(text.substr(text.find('\t', at)));
      CHECK(index == end);
      end = index + (std::uint64_t{1} << order);
    }
    CHECK(end == 13);
  }
  worker.join();
}

TEST_CASE("row 23: the kernel's own arenas have no nodes, but reports") {
  const RunningServer host(unused_name(), arenas);
  User program(host.name);
  CHECK(program.list("pmem_regions") == "pmem_adsp/\npmem_kernel_ebi1/\n");
  CHECK(program.region("pmem_adsp").get() >= 0);
  CHECK(program.region("pmem_kernel_ebi1").get() < 0);
  CHECK(program.text(sysfs + "pmem_kernel_ebi1/base") == "537919488(0x20100000)\n");
  CHECK(program.text(sysfs + "pmem_kernel_ebi1/bits_allocated") == "id: 10\nbitnum\tindex\tquanta allocated\n");
}

TEST_CASE("Google's regions have one file in debugfs") {
  const RunningServer host(unused_name(), google_regions);
  User program(host.name);
  CHECK(program.list("debug") == "pmem_adsp\n");
  CHECK(program.list("pmem_regions") == "none");
  CHECK(program.text("debug/pmem_adsp") == mapped_header);
  const OwnedFd file = program.region("pmem_adsp");
  CHECK(program.text("debug/pmem_adsp") == mapped_header + "pid 0:\n");
}
