// PMEM's unstable regions, served: what programs see of memory that comes and goes, and that it stays while any of them has some of it.
// (shared/spec: PMEM 2.1, row 28.)
#include "../../../examples/interposer/unstable_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>

#include <freestone/device/pmem/calls.hpp>

#include "support/ion_attackers.hpp"
#include "support/pmem_program.hpp"
#include "support/server_client.hpp"
#include "support/views_shown.hpp"

using namespace freestone::linux_user;
using namespace freestone::tests;
using namespace freestone::tests::attackers;
using freestone::Connection;
using freestone::TagKey;
using freestone::TextFault;
using freestone::backing::OwnedFd;

namespace {

namespace pmem = freestone::device::pmem;

constexpr std::uint64_t size = 4 * page;
constexpr std::string_view board = R"(
[[memory]]
name = "unstable"
base = 0x4000_0000
size = "16M"
[[pmem]]
name = "pmem_a"
size = "1M"
unstable = true
[[pmem]]
name = "pmem_stable"
size = "64K"
start = 0x2000_0000
[[pmem]]
name = "pmem_kernel_ebi1"
size = "64K"
unstable = true
[[pmem]]
name = "pmem_b"
size = "64K"
allocator_type = "BUDDYBESTFIT"
unstable = true
[[node]]
system = "pmem-unpluggable"
)";
constexpr const char* state = "/sys/devices/system/memory/memory64/state";

struct User : PmemProgram {
  using PmemProgram::PmemProgram;

  std::string base(const std::string& region) { return text("/sys/kernel/pmem_regions/" + region + "/base"); }
  // What a write of that word to the block's state comes to.
  std::int64_t set(std::string_view word, int flags = O_WRONLY) {
    const auto file = client.open(state, flags | O_CLOEXEC);
    return file.result < 0 ? file.result : ask(ServerClient::with_path(Ask::write, word), file.fd.get()).result;
  }
  bool goes_offline() {
    return soon([&] { return set("offline\n") == 8; });
  }
};

}  // namespace

TEST_CASE("row 28: regions have their nodes and files before they have memory; then they lie in it as they were registered") {
  const RunningServer host(unused_name(), board);
  User user(host.name);
  CHECK(host.board->left_out().empty());
  CHECK(host.board->tree().status(state).mode == (S_IFREG | 0644));
  for (int turn = 0; turn < 3; ++turn) {
    CHECK(user.text(state) == "offline\n");
    for (const char* region : {"pmem_a", "pmem_b"}) {
      CHECK(host.board->tree().status(std::string("/dev/") + region).mode == (S_IFCHR | 0666));
      CHECK(user.open(std::string("/dev/") + region) == -ENODEV);
      CHECK(user.base(region) == "0(0)\n");
    }
    CHECK(user.base("pmem_kernel_ebi1") == "0(0)\n");
    CHECK(user.base("pmem_stable") == "536870912(0x20000000)\n");
    CHECK(user.text("/sys/kernel/pmem_regions/pmem_a/size") == "1048576(0x100000)\n");
    CHECK(user.text("/sys/kernel/pmem_regions/pmem_a/free_quanta") == "256\n");
    CHECK(user.text("/sys/kernel/pmem_regions/pmem_b/mapped_regions") == "pid #: mapped regions (offset, len) (offset,len)...\n");
    CHECK(user.set("online") == 6);
    CHECK(user.text(state) == "online\n");
    CHECK(user.base("pmem_a") == "1073741824(0x40000000)\n");
    CHECK(user.base("pmem_kernel_ebi1") == "1074790400(0x40100000)\n");
    CHECK(user.base("pmem_b") == "1074855936(0x40110000)\n");
    for (const char* region : {"pmem_a", "pmem_b"}) {
      CHECK(user.open(std::string("/dev/") + region) == 0);
      CHECK(user.allocate(size) == 0);
      CHECK(user.set("online\n") == 7);  // it is
      CHECK(user.set("offline\n") == -EAGAIN);
      CHECK(user.text(state) == "online\n");
      user.close();
    }
    CHECK(user.open("/dev/pmem_stable") == 0);  // which is in no block that goes
    CHECK(user.goes_offline());
    CHECK(user.allocate(page) >= 0);
    CHECK(user.set("offline") == 7);
    user.close();
  }
}

TEST_CASE("row 28: the block stays while another process has a file or a mapping of a region's, and comes again as zeros") {
  const std::string name = unused_name();
  // A step for each number that it is told.
  Other child(name, [](const std::string& server, const Connection& link) {
    std::optional<ControlLink> control(server);  // which answers nothing, and is then asked no more
    User master(server), sub(server);
    std::int64_t view = 0;
    void* mapped = nullptr;
    const auto step = [&](std::uint64_t number) {
      switch (number) {
        case 1: return master.open("/dev/pmem_a") == 0 && master.allocate(size) == 0;
        case 2: return (view = master.map(size)) > 0 && ::pwrite(shown(server, view).first.get(), "x", 1, 0) == 1;
        case 3:  // a mapping alone, as a program's is
          mapped = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, master.node.get(), 0);
          return master.close(), mapped != MAP_FAILED && master.unmap(view) == 0;
        case 4: return ::munmap(mapped, page) == 0;
        case 5: return master.open("/dev/pmem_b") == 0 && master.allocate(size) == 0;
        case 6: return sub.open("/dev/pmem_b") == 0 && sub.connect(master) == 0 && sub.grant(page, page) == 0 && (view = sub.map(size)) > 0;
        case 7: return master.close(), true;  // its sub shows nothing any more, and is open
        case 8: return sub.close(), sub.unmap(view) == 0;
        case 9: return control.emplace(server), master.open("/dev/pmem_a") == 0 && (view = master.map(size)) > 0;
        default: return false;
      }
    };
    for (auto told = link.receive<Other::Note>(); told; told = link.receive<Other::Note>()) {
      if (!link.send(Other::Note{step(told->record.number) ? 1U : 2U})) return false;
    }
    return true;
  });
  CountedServer scene(name, board);
  child.begin();
  const auto tell = [&](std::uint64_t number) {
    CAPTURE(number);
    CHECK(child.link().send(Other::Note{number}));
    CHECK(child.next_note() == 1);
  };
  {
    const ControlLink control(name);
    User user(name);
    CHECK(user.set("online\n") == 7);
    for (const std::uint64_t number : {1U, 2U, 3U}) {
      tell(number);
      CHECK(user.set("offline\n") == -EAGAIN);
      CHECK(user.base("pmem_a") == "1073741824(0x40000000)\n");
    }
    tell(4);
    CHECK(user.goes_offline());
    CHECK(user.open("/dev/pmem_a") == -ENODEV);
    CHECK(user.set("online\n") == 7);
    CHECK(user.open("/dev/pmem_a") == 0);
    CHECK(user.room() == 1 << 20);
    const auto view = user.map(size);
    CHECK(view > 0);
    char byte = 1;
    CHECK(::pread(shown(name, view).first.get(), &byte, 1, 0) == 1);
    CHECK(byte == 0);
    CHECK(user.unmap(view) == 0);
    user.close();
    for (const std::uint64_t number : {5U, 6U, 7U}) {
      tell(number);
      CHECK(user.set("offline\n") == -EAGAIN);
    }
    tell(8);
    CHECK(user.goes_offline());
    CHECK(user.set("online\n") == 7);
    tell(9);
    CHECK(user.set("offline\n") == -EAGAIN);
    child.kill();  // as he is
    CHECK(user.goes_offline());
  }
  scene.check_as(scene.before);
}

TEST_CASE("the block's state: other words are refused, and who may only read it changes nothing") {
  const RunningServer host(unused_name(), board);
  User user(host.name);
  for (const std::string_view word : {"", "\n", "on", "online_movable", "offlin", "0", "1", " online", "online "}) {
    CAPTURE(word);
    CHECK(user.set(word) == -EINVAL);
  }
  CHECK(user.text(state) == "offline\n");
  CHECK(user.set("online\n", O_RDONLY) == -EINVAL);
  CHECK(user.text(state) == "offline\n");
  CHECK(user.set("online\n", O_RDWR) == 7);
  CHECK(user.set("offline\n", O_RDONLY) == -EINVAL);
  CHECK(user.text(state) == "online\n");
}

TEST_CASE("a board whose unstable regions have no memory to be in, or whose block's file is something else's, says which line") {
  const auto error = [](const std::string& text) { return DeviceBoard::create(text, TagKey{1, 2}).error(); };
  const std::string all(board);
  const auto nowhere = error(all.substr(all.find("[[pmem]]")));
  CHECK(nowhere.line == 1);
  CHECK(nowhere.heap == "pmem_a");
  CHECK(nowhere.field == "memory");
  const auto clash = error("[[heap]]\nname = \"h\"\nid = 0\ntype = \"system\"\nsize = \"1M\"\nbase = 0x4080_0000\n" + all +
                           "[[node]]\nsystem = \"ion-g4\"\npath = \"" + state + "\"\n");
  CHECK(clash.what == TextFault::duplicate_name);
  CHECK(clash.line == 8);
  CHECK(clash.field == "base");
}

TEST_CASE("opens beside the block's going and coming: whoever has a file has memory, and what goes has nobody's") {
  CountedServer scene(unused_name(), board);
  {
    User owner(scene.host.name), user(scene.host.name);
    std::uint64_t opened = 0, gone = 0;
    for (std::uint64_t round = 0; round < rounds(); ++round) {
      if (owner.set("online") != 6) CHECK(false);
      std::int64_t open = 0, offline = 0;
      const auto open_later = [&] {
        for (std::uint64_t turn = round % 4; turn != 0; --turn) static_cast<void>(user.client.hello());
        open = user.open("/dev/pmem_a");
      };
      at_once(open_later, [&] { offline = owner.set("offline"); });
      const bool is_right = open == 0 ? offline == -EAGAIN : open == -ENODEV && offline == 7;
      if (!is_right) CHECK(is_right);
      ++(open == 0 ? opened : gone);
      if (open == 0 && user.allocate(page) < 0) CHECK(false);
      user.close();
    }
    MESSAGE(opened, " opens came first, and ", gone, " did not");
    CHECK(owner.goes_offline());
  }
  scene.check_as(scene.before);
}
