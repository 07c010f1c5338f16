// What debugfs shows of /dev/ion while programs use it, to the letter (shared/spec: ION 6; rows 24, 25 and 27).
#include <freestone/device/os/ion_reports.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/child.hpp"
#include "support/server_client.hpp"

using namespace freestone::linux_user;
using namespace freestone::tests;
using freestone::backing::OwnedFd;

namespace {

constexpr const char* ion = "/dev/ion";
const std::string folder = "/sys/kernel/debug/ion/";
constexpr std::uint64_t page = 4096;

constexpr std::string_view g1_board = R"(
[[heap]]
name = "vmalloc"
id = 30
type = "system"
size = "16M"
base = 0x4000_0000
[[heap]]
name = "kmalloc"
id = 21
type = "system_contig"
size = "1M"
base = 0x5000_0000
[[heap]]
name = "camera"
id = 20
type = "carveout"
size = "1M"
base = 0x6000_0000
[[heap]]
name = "mm"
id = 8
type = "cp"
size = "1M"
base = 0x7000_0000
[[heap]]
name = "iommu"
id = 25
type = "iommu"
size = "1M"
base = 0x8000_0000
[[node]]
system = "ion-g1"
)";
constexpr std::uint32_t vmalloc = 1U << 30, kmalloc = 1U << 21, camera = 1U << 20, mm = 1U << 8, iommu = 1U << 25;

constexpr std::string_view g3_board = R"(
[[heap]]
name = "system"
id = 0
type = "system"
size = "16M"
base = 0x4000_0000
[[heap]]
name = "carveout"
id = 1
type = "carveout"
size = "1M"
base = 0x6000_0000
[[heap]]
name = "cma"
id = 4
type = "cma"
size = "1M"
base = 0x8000_0000
[[node]]
system = "ion-g3"
)";
constexpr std::uint32_t system_heap = 1, carveout = 2, cma = 16;

// Structs and numbers of callers with 64 bits (shared/spec: ION 1.1, 1.3).
struct G1 {
  struct Allocation {
    std::uint64_t length, align = 0;
    std::uint32_t mask, pad = 0;
    std::uint64_t handle = 0;
  };
  struct Fd {
    std::uint64_t handle = 0;
    std::int32_t fd = -1;
    std::int32_t pad = 0;
  };
  using Handle = std::uint64_t;
  static constexpr std::uint64_t allocate = 0xC0204900, free = 0xC0084901, share = 0xC0104904, import = 0xC0044905;
  static constexpr std::string_view board = g1_board;
};
struct G3 {
  struct Allocation {
    std::uint64_t length, align = 0;
    std::uint32_t mask, flags = 0;
    std::int32_t handle = 0, pad = 0;
  };
  struct Fd {
    std::int32_t handle = 0, fd = -1;
  };
  using Handle = std::int32_t;
  static constexpr std::uint64_t allocate = 0xC0204900, free = 0xC0044901, share = 0xC0084904, import = 0xC0084905;
  static constexpr std::string_view board = g3_board;
};

// A program of that server's.
class User : public ServerClient {
 public:
  using ServerClient::ServerClient;

  OwnedFd node() { return std::move(open(ion).fd); }
  template <class G>
  typename G::Handle allocated(const OwnedFd& node, std::uint32_t mask, std::uint64_t length) {
    typename G::Allocation wanted{.length = length, .mask = mask};
    CHECK(ioctl(node.get(), G::allocate, &wanted).result == 0);
    return wanted.handle;
  }
  template <class G>
  void freed(const OwnedFd& node, typename G::Handle handle) {
    CHECK(ioctl(node.get(), G::free, &handle).result == 0);
  }
  template <class G>
  OwnedFd shared(const OwnedFd& node, typename G::Handle handle) {
    typename G::Fd wanted{.handle = handle};
    Answered answer = ioctl(node.get(), G::share, &wanted);
    CHECK(answer.result == 0);
    return std::move(answer.fd);
  }
  template <class G>
  typename G::Handle imported(const OwnedFd& node, const OwnedFd& buffer) {
    typename G::Fd wanted{.fd = buffer.get()};
    CHECK(send({.ask = Ask::ioctl, .number = G::import, .address = reinterpret_cast<std::uintptr_t>(&wanted)}, node.get()));
    Answered got = receive();
    for (; !got.has_ended && got.reply.step != Step::finish; got = receive()) {
      const bool is_asked = got.reply.step == Step::descriptor;
      CHECK((is_asked ? send({.ask = Ask::copied}, buffer.get()) : send(copied(got.reply))));
    }
    CHECK(got.result == 0);
    return wanted.handle;
  }

  // What is in a report; "none" where it cannot be had.
  static std::string read(const OwnedFd& fd) {
    std::string text(1 << 16, '\0');
    const ssize_t length = ::pread(fd.get(), text.data(), text.size(), 0);
    return length < 0 ? "none" : (text.resize(static_cast<std::size_t>(length)), text);
  }
  std::string text(const std::string& path) { return read(open(folder + path, O_RDONLY | O_CLOEXEC).fd); }
  std::string list(const std::string& path) {
    const Answered listed = ask(with_path(Ask::list, folder.substr(0, folder.size() - 1) + path));
    return listed.result < 0 ? "none" : read(listed.fd);
  }
  std::int64_t written(const std::string& path, std::string_view text) {
    const Answered opened = open(folder + path);
    return opened.result < 0 ? opened.result : ask(with_path(Ask::write, text), opened.fd.get()).result;
  }
};

std::string right(std::string_view text, std::size_t width = 16) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ') + std::string(text);
}
const std::string self = std::to_string(::getpid());
std::string task() {
  std::array<char, 17> name{};
  ::prctl(PR_GET_NAME, name.data());
  return name.data();
}
// That of the process, whichever thread asks.
const std::string own_task = task();

const std::string client_header = "          client              pid             size\n";
std::string client_row(std::string_view name, std::string_view pid, std::uint64_t size) {
  return right(name) + ' ' + right(pid) + ' ' + right(std::to_string(size)) + '\n';
}
const std::string handle_header =
    "       heap_name:    size_in_bytes :  handle refcount :       buffer :     physical : [domain,partition] - virt\n";
const std::string map_header = "\nMemory Map\n"
                               "          client  start address    end address     size (hex)\n";
const std::string leak_header = "          buffer             heap             size          ref cnt\n";
const std::string dashes = std::string(52, '-') + '\n';

// The lines of a heap of the third generation's in their frame.
std::string framed(const std::string& clients, const std::string& orphans, const std::string& totals, const std::string& pools = {}) {
  return client_header + dashes + clients + dashes + "orphaned allocations (info is from last known client):\n" + orphans + dashes +
         totals + dashes + pools;
}
// That row's fourth column.
std::string cookie_in(const std::string& text, std::size_t row) {
  std::size_t at = 0;
  for (std::size_t line = 0; line <= row; ++line) at = text.find('\n', at) + 1;
  return text.substr(at + 16 + 18 + 19 + 3, 12);
}

}  // namespace

TEST_CASE("row 24: G1, a client's file: his handles, with addresses where they have some") {
  const RunningServer host(unused_name(), g1_board);
  User program(host.name), other(host.name);
  CHECK(program.list("") == "camera\ncheck_leaked_fds\niommu\nkmalloc\nmm\nvmalloc\n");
  const OwnedFd node = program.node();
  CHECK(program.list("") == self + "\ncamera\ncheck_leaked_fds\niommu\nkmalloc\nmm\nvmalloc\n");
  CHECK(program.text(self) == handle_header);

  program.allocated<G1>(node, camera, 2 * page);
  const auto second = program.allocated<G1>(node, camera, page);
  program.allocated<G1>(node, vmalloc, 3 * page);
  program.allocated<G1>(node, kmalloc, page + 1);
  program.allocated<G1>(node, mm, page);
  program.allocated<G1>(node, iommu, page);
  const OwnedFd buffer = program.shared<G1>(node, second);
  CHECK(program.imported<G1>(node, buffer) == second);

  const std::string text = program.text(self);
  std::vector<std::string> cookies;
  for (std::size_t row = 0; row < 6; ++row) cookies.push_back(cookie_in(text, row));
  CHECK(text == handle_header +
                    "          camera:             2000 :                1 : " + cookies[0] + " :     60000000\n"
                    "          camera:             1000 :                2 : " + cookies[1] + " :     60002000\n"
                    "         vmalloc:             3000 :                1 : " + cookies[2] + " :          N/A\n"
                    "         kmalloc:             2000 :                1 : " + cookies[3] + " :     50000000\n"
                    "              mm:             1000 :                1 : " + cookies[4] + " :     70000000\n"
                    "           iommu:             1000 :                1 : " + cookies[5] + " :          N/A\n");
  for (std::size_t row = 0; row < 6; ++row) {
    CHECK(cookies[row].starts_with("    c"));  // 32 bits, as a pointer of such a kernel's
    for (std::size_t before = 0; before < row; ++before) CHECK(cookies[row] != cookies[before]);
  }
  const OwnedFd second_node = other.node();  // of the same process: nothing of it is in the file
  other.allocated<G1>(second_node, camera, page);
  CHECK(program.text(self) == text);
}

TEST_CASE("row 24: G1, a heap's file: who has how much, and the map with its gaps") {
  const RunningServer host(unused_name(), g1_board);
  User program(host.name);
  CHECK(program.text("vmalloc") == client_header + "total bytes currently allocated: 0\n");
  CHECK(program.text("kmalloc") == client_header + "total bytes currently allocated: 0\n");
  CHECK(program.text("iommu") == client_header);
  const std::string free_map = "            FREE       60000000       600fffff        1048576 (100000)\n";
  CHECK(program.text("camera") == client_header + "total bytes currently allocated: 0\ntotal heap size: 100000\n" + map_header + free_map);

  const OwnedFd node = program.node(), second = program.node();
  const auto first = program.allocated<G1>(node, camera, 2 * page);
  const auto kept = program.allocated<G1>(node, camera, page);
  program.allocated<G1>(node, camera, 4 * page);
  program.allocated<G1>(node, vmalloc, 3 * page);
  OwnedFd buffer = program.shared<G1>(node, kept);
  const auto imported = program.imported<G1>(second, buffer);
  CHECK(program.text("vmalloc") == client_header + client_row(own_task, self, 3 * page) + "total bytes currently allocated: 3000\n");
  CHECK(program.text("kmalloc") == client_header + "total bytes currently allocated: 0\n");

  program.freed<G1>(node, first);
  program.freed<G1>(node, kept);
  const std::string clients = client_row(own_task, self, 4 * page);
  const std::string totals = "total bytes currently allocated: 5000\ntotal heap size: 100000\n";
  const auto map = [&](const std::string& owner) {
    return map_header + "            FREE       60000000       60001fff           8192 (2000)\n" +
           right(owner) + "       60002000       60002fff           4096 (1000)\n" +
           right(self) + "       60003000       60006fff          16384 (4000)\n" +
           "            FREE       60007000       600fffff        1019904 (f9000)\n";
  };
  CHECK(program.text("camera") == client_header + clients + client_row(own_task, self, page) + totals + map(self));
  program.freed<G1>(second, imported);
  CHECK(program.text("camera") == client_header + clients + totals + map("(null)"));
}

TEST_CASE("row 24: G1, a buffer that only files hold: check_leaked_fds has it, the map has it as nobody's") {
  const RunningServer host(unused_name(), g1_board);
  User program(host.name);
  OwnedFd node = program.node();
  CHECK(program.text("check_leaked_fds") == leak_header);
  const auto handle = program.allocated<G1>(node, camera, 2 * page), other = program.allocated<G1>(node, vmalloc, page);
  const std::string cookie = right(cookie_in(program.text(self), 0));
  OwnedFd one = program.shared<G1>(node, handle), two = program.shared<G1>(node, handle), three = program.shared<G1>(node, other);
  CHECK(program.text("check_leaked_fds") == leak_header);
  program.freed<G1>(node, handle);
  const std::string leak = leak_header + cookie + "           camera             2000                1\n";
  CHECK(program.text("check_leaked_fds") == leak);  // two descriptors, one file
  one = OwnedFd(-1);
  CHECK(program.text("check_leaked_fds") == leak);
  const std::string heap = client_header + "total bytes currently allocated: 2000\ntotal heap size: 100000\n" + map_header +
                           "          (null)       60000000       60001fff           8192 (2000)\n"
                           "            FREE       60002000       600fffff        1040384 (fe000)\n";
  CHECK(program.text("camera") == heap);
  program.imported<G1>(node, two);  // somebody's again
  CHECK(program.text("check_leaked_fds") == leak_header);
  CHECK(program.text("camera") != heap);
  node = OwnedFd(-1);  // and all that he had is not
  CHECK(program.text("camera") == heap);
  std::string leaks = program.text("check_leaked_fds");
  CHECK(leaks.find(cookie + "           camera             2000                1\n") != std::string::npos);
  CHECK(leaks.find("          vmalloc             1000                1\n") != std::string::npos);
  CHECK(leaks.size() == leak_header.size() * 3);
  two = OwnedFd(-1), three = OwnedFd(-1);
  CHECK(program.text("check_leaked_fds") == leak_header);
}

TEST_CASE("row 24: G1, a heap of the type CP, and how often processes map its buffers") {
  const RunningServer host(unused_name(), g1_board);
  User program(host.name), control(host.name);
  const OwnedFd node = program.node();
  const auto handle = program.allocated<G1>(node, mm, page);
  const auto text = [&](int maps) {
    return client_header + client_row(own_task, self, page) + "total bytes currently allocated: 1000\ntotal heap size: 100000\n" +
           "umapping count: " + std::to_string(maps) + "\nkmapping count: 0\nheap protected: No\nreusable: No\n" + map_header +
           right(self) + "       70000000       70000fff           4096 (1000)\n" +
           "            FREE       70001000       700fffff        1044480 (ff000)\n";
  };
  CHECK(program.text("mm") == text(0));
  OwnedFd buffer = program.shared<G1>(node, handle);
  REQUIRE(control.ask({.ask = Ask::control, .number = 1}).result == 0);
  const auto map = [&] { return program.ask({.ask = Ask::map, .number = PROT_READ, .address = 0, .length = page}, buffer.get()).result; };
  const std::int64_t view = map();
  CHECK(view > 0);
  CHECK(map() > 0);
  CHECK(program.text("mm") == text(2));
  CHECK(program.ask({.ask = Ask::unmapped, .number = static_cast<std::uint64_t>(view)}).result == 0);
  CHECK(program.text("mm") == text(1));
}

TEST_CASE("row 24: G1, the first client of a process has its file, and only he") {
  const RunningServer host(unused_name(), g1_board);
  User program(host.name);
  OwnedFd first = program.node(), second = program.node();
  program.allocated<G1>(second, camera, page);
  CHECK(program.text(self) == handle_header);
  first = OwnedFd(-1);
  CHECK(program.text(self) == "none");
  CHECK(program.list("").find(self) == std::string::npos);
  CHECK(program.text("camera").find(client_row(own_task, self, page)) != std::string::npos);
  first = program.node();
  CHECK(program.text(self) == handle_header);
  second = OwnedFd(-1);
  CHECK(program.text(self) == handle_header);
}

TEST_CASE("row 24: G2 has G1's files") {
  std::string board(g1_board);
  board.replace(board.find("ion-g1"), 6, "ion-g2");
  const RunningServer host(unused_name(), board);
  User program(host.name);
  const OwnedFd node = program.node();
  CHECK(program.list("") == self + "\ncamera\ncheck_leaked_fds\niommu\nkmalloc\nmm\nvmalloc\n");
  CHECK(program.text(self) == handle_header);
  CHECK(program.text("check_leaked_fds") == leak_header);
}

TEST_CASE("row 27: files that show addresses are for root and the server's user, the others for all") {
  const auto mode = [](User& program, const std::string& path) {
    const Answered answer = program.ask(ServerClient::with_path(Ask::look_up, folder + path));
    return answer.result < 0 ? 0 : answer.payload<FileStatus>().mode;
  };
  {
    const RunningServer host(unused_name(), g1_board);
    User program(host.name);
    const OwnedFd node = program.node();
    for (const std::string& path : {self, std::string("camera"), std::string("mm")}) CHECK(mode(program, path) == (S_IFREG | 0400));
    for (const char* path : {"vmalloc", "kmalloc", "iommu", "check_leaked_fds"}) CHECK(mode(program, path) == (S_IFREG | 0444));
  }
  {
    const RunningServer host(unused_name(), g3_board);
    User program(host.name);
    const OwnedFd node = program.node();
    for (const auto& path : {"clients/" + self + "-0", std::string("heaps/carveout")}) CHECK(mode(program, path) == (S_IFREG | 0444));
    CHECK(mode(program, "heaps/system_shrink") == (S_IFREG | 0644));
  }
  if (::geteuid() != 0) return;
  const ServerProcess host([] {}, g1_board);
  CHECK(holds_in_child([&] {
    if (::setgid(1299) != 0 || ::setuid(1299) != 0) return false;
    User program(host.name);
    const OwnedFd node = program.node();
    const auto opened = [&](const std::string& path) { return program.open(folder + path, O_RDONLY).result; };
    return opened(std::to_string(::getpid())) == -EACCES && opened("camera") == -EACCES && opened("vmalloc") == 0;
  }));
}

TEST_CASE("row 24: G3, a client's file: what he has in each heap") {
  const RunningServer host(unused_name(), g3_board);
  User program(host.name);
  CHECK(program.list("") == "clients/\nheaps/\n");
  CHECK(program.list("/clients").empty());
  CHECK(program.list("/heaps") == "carveout\ncarveout_shrink\ncma\nsystem\nsystem_shrink\n");
  OwnedFd node = program.node();
  const std::string header = "       heap_name:    size_in_bytes\n", file = "clients/" + self + "-0";
  CHECK(program.text(file) == header);
  program.allocated<G3>(node, cma, page);
  const auto handle = program.allocated<G3>(node, system_heap, 3 * page);
  program.allocated<G3>(node, cma, 2 * page);
  CHECK(program.text(file) == header + "          system:            12288\n             cma:            12288\n");
  program.freed<G3>(node, handle);
  CHECK(program.text(file) == header + "             cma:            12288\n");
}

TEST_CASE("row 24: G3, clients come and go: each has a number that nobody of his name has") {
  const RunningServer host(unused_name(), g3_board);
  User program(host.name);
  const std::string hello = User::read(program.hello().fd);
  CHECK(hello.find(folder.substr(0, folder.size()) + "clients/\n") != std::string::npos);
  const auto file = [](int serial) { return self + '-' + std::to_string(serial) + '\n'; };
  OwnedFd a = program.node(), b = program.node(), c = program.node();
  CHECK(program.list("/clients") == file(0) + file(1) + file(2));
  CHECK(User::read(program.hello().fd) == hello);  // who was told of the directory finds all of it
  b = OwnedFd(-1);
  CHECK(program.list("/clients") == file(0) + file(2));
  OwnedFd d = program.node();
  CHECK(program.list("/clients") == file(0) + file(2) + file(3));
  d = OwnedFd(-1);
  c = program.node();  // 3, then 2 goes
  CHECK(program.list("/clients") == file(0) + file(3));
  a = OwnedFd(-1), c = OwnedFd(-1);
  CHECK(program.list("/clients").empty());
  a = program.node();
  CHECK(program.list("/clients") == file(0));
}

TEST_CASE("row 24: G3, a heap's file: clients, orphans, and what waits or stays") {
  const RunningServer host(unused_name(), g3_board);
  User program(host.name);
  const auto totals = [](std::uint64_t orphaned, std::uint64_t total) {
    return "  total orphaned " + right(std::to_string(orphaned)) + "\n          total  " + right(std::to_string(total)) + '\n';
  };
  const std::string deferred = "   deferred free                0\n";
  const auto pools = [](int pages) {
    return "0 order 8 highmem pages in pool = 0 total\n0 order 8 lowmem pages in pool = 0 total\n"
           "0 order 4 highmem pages in pool = 0 total\n0 order 4 lowmem pages in pool = 0 total\n"
           "0 order 0 highmem pages in pool = 0 total\n" +
           std::to_string(pages) + " order 0 lowmem pages in pool = " + std::to_string(pages * 4096) + " total\n";
  };
  CHECK(program.text("heaps/system") == framed("", "", totals(0, 0) + deferred, pools(0)));
  CHECK(program.text("heaps/carveout") == framed("", "", totals(0, 0) + deferred));
  CHECK(program.text("heaps/cma") == framed("", "", totals(0, 0)));

  OwnedFd node = program.node(), second = program.node();
  const auto handle = program.allocated<G3>(node, system_heap, 3 * page), of_cma = program.allocated<G3>(node, cma, page);
  OwnedFd one = program.shared<G3>(node, handle), two = program.shared<G3>(node, handle);
  program.imported<G3>(second, one);
  const std::string row = client_row(own_task, self, 3 * page);
  CHECK(program.text("heaps/system") == framed(row + row, "", totals(0, 3 * page) + deferred, pools(0)));
  program.freed<G3>(node, handle);
  CHECK(program.text("heaps/system") == framed(row, "", totals(0, 3 * page) + deferred, pools(0)));
  second = OwnedFd(-1);
  const auto orphan = [&](int brackets) {
    return right(own_task) + ' ' + right(self) + "            12288 " + std::to_string(brackets) + " 1\n";
  };
  CHECK(program.text("heaps/system") == framed("", orphan(0), totals(3 * page, 3 * page) + deferred, pools(0)));
  std::uint64_t bracket = 3;  // the CPU's access begins
  CHECK(program.ioctl(one.get(), dma_buf_sync, &bracket).result == 0);
  CHECK(program.text("heaps/system") == framed("", orphan(1), totals(3 * page, 3 * page) + deferred, pools(0)));
  bracket |= 4;  // and ends, by the other descriptor: both are of one file
  CHECK(program.ioctl(two.get(), dma_buf_sync, &bracket).result == 0);
  one = OwnedFd(-1);
  CHECK(program.text("heaps/system") == framed("", orphan(0), totals(3 * page, 3 * page) + deferred, pools(0)));
  CHECK(program.text("heaps/cma") == framed(client_row(own_task, self, page), "", totals(0, page)));
  program.freed<G3>(node, of_cma);
  CHECK(program.text("heaps/cma") == framed("", "", totals(0, 0)));
  two = OwnedFd(-1);
  CHECK(soon([&] { return program.text("heaps/system") == framed("", "", totals(0, 0) + deferred, pools(3)); }));

  // Whoever writes another number than 0 wants all.
  const std::string shrinker = "heaps/system_shrink";
  CHECK(program.text(shrinker) == "3\n");
  CHECK(program.written(shrinker, "all") == -EINVAL);
  CHECK(program.written(shrinker, "0\n") == 2);
  CHECK(program.text(shrinker) == "3\n");
  CHECK(program.written(shrinker, "1\n") == 2);
  CHECK(program.text(shrinker) == "0\n");
  CHECK(program.text("heaps/system") == framed("", "", totals(0, 0) + deferred, pools(0)));
  CHECK(program.text("heaps/cma_shrink") == "none");
}

TEST_CASE("row 24: several programs: each by its task's name, the last one's with what he left") {
  const ServerProcess host([] {}, g3_board);
  User program(host.name);
  std::array<int, 2> ready{}, go{};
  REQUIRE(::pipe(ready.data()) == 0);
  REQUIRE(::pipe(go.data()) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NAME, "a camera's app!");
    User own(host.name);
    OwnedFd node = own.node();
    const auto kept = own.allocated<G3>(node, cma, page), left = own.allocated<G3>(node, cma, 2 * page);
    static_cast<void>(kept);
    const OwnedFd buffer = own.shared<G3>(node, left);
    own.freed<G3>(node, left);
    ::prctl(PR_SET_NAME, "another");  // he is known by the name that he opened with
    char byte = 0;
    static_cast<void>(!::write(ready[1], &byte, 1));
    static_cast<void>(!::read(go[0], &byte, 1));
    ::_exit(0);
  }
  char byte = 0;
  CHECK(::read(ready[0], &byte, 1) == 1);
  const std::string pid = std::to_string(child);
  const auto totals = [](std::uint64_t orphaned, std::uint64_t total) {
    return "  total orphaned " + right(std::to_string(orphaned)) + "\n          total  " + right(std::to_string(total)) + '\n';
  };
  {
    const OwnedFd node = program.node();
    program.allocated<G3>(node, cma, 3 * page);
    CHECK(program.list("/clients").find(pid + "-0\n") != std::string::npos);
    CHECK(program.text("heaps/cma") == framed(client_row("a camera's app!", pid, page) + client_row(own_task, self, 3 * page),
                                              client_row("a camera's app!", pid, 2 * page).insert(50, " 0 1"), totals(2 * page, 6 * page)));
  }
  CHECK(program.list("/clients") == pid + "-0\n");
  CHECK(::write(go[1], &byte, 1) == 1);
  ::waitpid(child, nullptr, 0);
  CHECK(soon([&] { return program.list("/clients").empty(); }));
  CHECK(program.text("heaps/cma") == framed("", "", totals(0, 0)));
  for (const int fd : {ready[0], ready[1], go[0], go[1]}) ::close(fd);
}

TEST_CASE("a report of a client who is gone can be read, and has nothing") {
  for (const std::string_view board : {g1_board, g3_board}) {
    const RunningServer host(unused_name(), board);
    User program(host.name);
    const bool is_g1 = board == g1_board;
    OwnedFd node = program.node();
    is_g1 ? void(program.allocated<G1>(node, camera, page)) : void(program.allocated<G3>(node, carveout, page));
    const std::string path = is_g1 ? self : "clients/" + self + "-0";
    const Answered opened = program.open(folder + path, O_RDONLY | O_CLOEXEC);
    const std::string before = User::read(opened.fd);
    CHECK(before.size() > before.find('\n') + 1);
    node = OwnedFd(-1);
    CHECK(program.text(path) == "none");
    CHECK(User::read(opened.fd) == before);
    CHECK(program.ask({.ask = Ask::refresh}, opened.fd.get()).result == 0);
    CHECK(User::read(opened.fd) == before.substr(0, before.find('\n') + 1));
    CHECK(program.who(opened.fd.get()).payload<FileStatus>().kind == FileKind::report);
    node = program.node();  // another's, though of the same name
    is_g1 ? void(program.allocated<G1>(node, camera, page)) : void(program.allocated<G3>(node, carveout, page));
    CHECK(program.ask({.ask = Ask::refresh}, opened.fd.get()).result == 0);
    CHECK(User::read(opened.fd) == before.substr(0, before.find('\n') + 1));
  }
}

TEST_CASE("a board with several of them: each file is of whom came first, and buffers of others are nobody's leaks") {
  std::string board(g3_board);
  board += "[[node]]\nsystem = \"ion-g1\"\npath = \"/dev/ion-1\"\n[[node]]\nsystem = \"ion-g4\"\npath = \"/dev/ion-4\"\n"
           "[[node]]\nsystem = \"dma-heap\"\n";
  const RunningServer host(unused_name(), board);
  User program(host.name);
  const std::string names = program.list("");
  CHECK(names.find("carveout\ncheck_leaked_fds\n") != std::string::npos);
  CHECK(names.find("heaps/\n") != std::string::npos);
  CHECK(program.text("carveout/num_of_buffers") == "none");
  const OwnedFd heap = std::move(program.open("/dev/dma_heap/cma").fd), g4 = std::move(program.open("/dev/ion-4").fd);
  const DmaHeapAllocation wanted{.length = page};
  const Answered one = program.ioctl(heap.get(), dma_heap_alloc, &wanted), two = program.allocate(g4.get(), page, cma);
  CHECK(one.result == 0);
  CHECK(two.result == 0);
  CHECK(program.text("check_leaked_fds") == leak_header);
  CHECK(program.text("heaps/cma").find(": \n") == std::string::npos);
  CHECK(program.text("heaps/cma").find("  total orphaned                0\n          total              8192\n") != std::string::npos);
}

namespace {

// One opens, allocates, shares and closes, others list and read, until he has done so that often.
template <class G>
void use_at_once(std::uint32_t mask, const std::string& of_clients) {
  const RunningServer host(unused_name(), G::board);
  std::atomic<int> using_it = 3;
  const auto use = [&] {
    User program(host.name);
    for (int turn = 0; turn < 150; ++turn) {
      const OwnedFd node = program.node();
      const auto first = program.allocated<G>(node, mask, page);
      program.allocated<G>(node, mask, 2 * page);
      const OwnedFd buffer = program.shared<G>(node, first);
      program.freed<G>(node, first);
    }
    --using_it;
  };
  const auto look = [&] {
    User program(host.name);
    while (using_it != 0) {
      for (const std::string& at : {std::string(), std::string("/clients/"), std::string("/heaps/")}) {
        const std::string names = program.list(at.empty() ? at : at.substr(0, at.size() - 1));
        for (std::size_t from = 0; names != "none" && from < names.size();) {
          const std::size_t end = names.find('\n', from);
          const std::string name = names.substr(from, end - from);
          if (!name.ends_with('/')) CHECK(!program.text((at.empty() ? at : at.substr(1)) + name).empty());
          from = end + 1;
        }
      }
    }
  };
  std::vector<std::thread> all;
  for (int i = 0; i < 3; ++i) all.emplace_back(use);
  for (int i = 0; i < 2; ++i) all.emplace_back(look);
  for (std::thread& one : all) one.join();
  User program(host.name);
  CHECK(program.list(of_clients).find(self) == std::string::npos);
  CHECK(soon([&] { return host.server->files().count() == 0; }));
  CHECK(soon([&] { return host.board->device().buffer_count() == 0; }));
  CHECK(host.board->device().client_count() == 0);
}

}  // namespace

TEST_CASE("row 25: nodes that are opened and closed while others list and read: G1") { use_at_once<G1>(camera | mm, ""); }
TEST_CASE("row 25: nodes that are opened and closed while others list and read: G3") {
  use_at_once<G3>(system_heap | carveout, "/clients");
}
