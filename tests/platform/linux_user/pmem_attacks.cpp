// What programs that mean harm may do to PMEM's masters and subs: the attack cases A7, A9, A10, A13 and A17, clients that do not answer,
// and races of all that ends. Whatever they do, the region is as free after it as before.
#include <freestone/platform/linux_user/server.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/pmem/calls.hpp>

#include "support/fds.hpp"
#include "support/ion_attackers.hpp"
#include "support/pmem_program.hpp"
#include "support/pmem_text.hpp"
#include "support/server_client.hpp"
#include "support/views_shown.hpp"

using namespace freestone::linux_user;
using namespace freestone::tests;
using namespace freestone::tests::attackers;
using freestone::Connection;
using freestone::backing::OwnedFd;
using freestone::device::WordSize;

namespace {

namespace pmem = freestone::device::pmem;

constexpr std::uint64_t pages = 4, size = pages * page, region_size = 1 << 20;
const std::string pmem_board =
    regions_at("0x2000_0000", RegionText{"pmem", "0x10_0000"}, RegionText{"pmem_adsp", "0x10_0000"},
               RegionText{"pmem_buddy", "0x10_0000", "BUDDYBESTFIT"}, RegionText{"pmem_whole", "0x10_0000", "ALLORNOTHING"},
               RegionText{"pmem_system", "0x10_0000", "SYSTEM"}) +
    "[[node]]\nsystem = \"pmem\"\n";

// One that has a region open.
struct PmemCaller : PmemProgram {
  explicit PmemCaller(const std::string& name, WordSize of = WordSize::bits64) : PmemProgram(name, "/dev/pmem", O_RDWR, of) {}
  PmemCaller(const std::string& name, const PmemCaller& other) : PmemProgram(name, other) {}
};

// A server. When a scene ends its regions, clients, files and views are what they were at its start.
struct PmemScene : CountedServer {
  explicit PmemScene(std::string name = unused_name()) : CountedServer(std::move(name), pmem_board) {}
  PmemScene(const PmemScene&) = delete;
  PmemScene& operator=(const PmemScene&) = delete;
  ~PmemScene() {
    check_as(before);
    CHECK(is_free());
    check_as(before);
  }
  bool is_free() {
    PmemCaller other(host.name);
    return soon([&] { return other.room() == region_size; });
  }
};

// As many descriptors as this user may have: each file is one here, and one of the server's.
class ManyFiles {
 public:
  ManyFiles() {
    CHECK(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit all{before_.rlim_max, before_.rlim_max};
    CHECK(::setrlimit(RLIMIT_NOFILE, &all) == 0);
  }
  ~ManyFiles() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// A mapped master of four pages, and a sub of it.
struct Pair {
  explicit Pair(const std::string& name) : master(name), sub(name), view(master.map(size)) {
    CHECK(view > 0);
    CHECK(sub.connect(master) == 0);
  }
  void end_master() {
    CHECK(master.unmap(view) == 0);
    master.close();
    static_cast<void>(master.client.hello());  // by now it has ended, or does
  }

  PmemCaller master, sub;
  std::int64_t view;
};

}  // namespace

TEST_CASE("A7 (CVE-2023-2008): mmap of every offset and length: from the start, whole pages, not beyond the end; and parts lie within") {
  constexpr std::array<std::uint64_t, 14> values = {0,         1,          page - 1,    page,        page + 1,         size - page,
                                                    size,      size + 1,   size + page, region_size, std::uint64_t{1} << 32,
                                                    std::uint64_t{1} << 63, ~std::uint64_t{0} - page + 1, ~std::uint64_t{0}};
  PmemScene scene;
  const Answering control(scene.host.name);
  PmemCaller master(scene.host.name);
  CHECK(master.allocate(size) == 0);
  PmemCaller last(scene.host.name);
  CHECK(last.allocate(page) == pages);  // who lies behind it
  for (const bool is_sub : {false, true}) {
    for (const std::uint64_t offset : values) {
      for (const std::uint64_t length : values) {
        std::optional<PmemCaller> sub;
        if (is_sub) sub.emplace(scene.host.name), CHECK(sub->connect(master) == 0), CHECK(sub->grant(page, 2 * page) == 0);
        PmemCaller& caller = is_sub ? *sub : master;
        const bool may = offset == 0 && length != 0 && length % page == 0 && length <= size;
        const auto view = caller.map(length, offset);
        if ((view > 0) != may || (!may && view != -EINVAL)) CHECK(may == (view > 0));
        if (view <= 0) continue;
        const auto all = shown(scene.host.name, view);
        CHECK(all.until == static_cast<std::int64_t>(length));
        CHECK(all.pages_of(length / page) == std::string(is_sub ? ".oo." : "oooo").substr(0, static_cast<std::size_t>(length / page)));
        for (const MapPart& part : all.parts) CHECK((part.offset == part.at && part.at + part.length <= length));
        for (const std::uint64_t at : values) {
          const auto some = shown(scene.host.name, view, at);
          CHECK(some.until == (at > length && at != no_part ? -ENOENT : static_cast<std::int64_t>(length)));
          for (const MapPart& part : some.parts) CHECK((part.at >= at && part.at + part.length <= length));
        }
        CHECK(caller.unmap(view) == 0);
      }
    }
  }
  PmemCaller none(scene.host.name);  // the first mmap allocates, or has no room
  for (const std::uint64_t length : values) {
    const auto view = length > region_size - size ? none.map(length) : -EINVAL;
    if (view != -EINVAL && view != -ENOMEM) CHECK(view == -ENOMEM);
  }
  CHECK(none.length() == 0);
}

TEST_CASE("A9 (CVE-2021-1905, CVE-2023-4211): a view that a child has too: all orders in which it and the files end") {
  const std::string name = unused_name();
  // A child: it has the view of that number; is told to unmap it (1), to end what it has with the server (2), and to begin again (3).
  Other child(name, [](const std::string& server, const Connection& link) {
    for (auto came = link.receive<Other::Note>(); came && came->record.number != 0; came = link.receive<Other::Note>()) {
      const std::uint64_t view = came->record.number;
      auto talk = std::make_unique<Caller>(server);
      auto control = std::make_unique<Answering>(server, [] {}, std::span(&view, 1));
      if (!link.send(Other::Note{1})) return false;
      for (auto told = link.receive<Other::Note>(); told && told->record.number != 3; told = link.receive<Other::Note>()) {
        if (told->record.number == 1 && talk != nullptr) {
          const Request unmapped{.ask = Ask::unmapped, .number = view};
          if (talk->ask(unmapped).result != 0 || talk->ask(unmapped).result != 0) return false;  // twice is once
        } else if (told->record.number == 2) {
          control = nullptr, talk = nullptr;
        }
        if (!link.send(Other::Note{1})) return false;
      }
      control = nullptr, talk = nullptr;
      if (!link.send(Other::Note{1})) return false;
    }
    return true;
  });
  PmemScene scene(name);
  child.begin();
  const auto tell = [&](std::uint64_t what) {
    CHECK(child.link().send(Other::Note{what}));
    CHECK(child.next_note() == 1);
  };
  std::array<int, 5> order = {0, 1, 2, 3, 4};
  do {
    const Answering control(name);
    Pair pair(name);
    PmemCaller talk(name);
    CHECK(pair.sub.grant(page, page) == 0);
    const auto view = pair.sub.map(size);
    CHECK(view > 0);
    tell(static_cast<std::uint64_t>(view));
    bool is_ended = false;
    std::array<bool, 5> is_done{};
    for (const int what : order) {
      if (what == 0) pair.end_master(), is_ended = true;
      if (what == 1) pair.sub.close(), static_cast<void>(talk.room());
      if (what == 2) CHECK(pair.sub.unmap(view) == 0);
      if (what == 3) tell(1);
      if (what == 4) tell(2);
      is_done[static_cast<std::size_t>(what)] = true;
      const bool is_mapped = !is_done[2] || !(is_done[3] || is_done[4]);
      const auto is_right = [&] {  // a file that nobody has open shows nothing: here no mapping keeps it, as a program's does
        const auto now = shown(name, view);
        return is_mapped ? now.pages_of(pages) == (is_ended || is_done[1] ? "...." : ".o..") : now.until == -ENOENT;
      };
      if (!soon(is_right)) CHECK(is_right());
    }
    CHECK(soon([&] { return talk.room() == region_size; }));
    tell(3);
  } while (std::ranges::next_permutation(order).found);
  CHECK(child.link().send(Other::Note{0}));
  CHECK(child.ended_well());
}

// One after the other, of every allocator, while up to three others of its region live; 10^5 are FREESTONE_TEST_STEPS=20000000.
TEST_CASE("A10 (CVE-2015-8950), row 18: memory that somebody filled is zeros for the next, and structs tell nothing behind their fields") {
  struct Held {
    OwnedFd node;
    std::int64_t view;
  };
  struct Region {
    std::string name;
    std::size_t most;  // that live beside the next
    std::vector<Held> held = {};
  };
  PmemScene scene;
  const Answering control(scene.host.name);
  const auto talk = *Connection::of(ServerClient::connected(scene.host.name));
  PmemCaller caller(scene.host.name);
  std::array<Region, 4> regions = {Region{"pmem", 3}, {"pmem_buddy", 3}, {"pmem_whole", 0}, {"pmem_system", 3}};
  const auto end = [&](Region& region, std::uint64_t which) {  // by its file, or by its view
    Held gone = std::move(region.held[static_cast<std::size_t>(which)]);
    region.held.erase(region.held.begin() + static_cast<std::ptrdiff_t>(which));
    if (which % 2 == 0) gone.node = OwnedFd(-1);
    if (caller.unmap(gone.view) != 0) CHECK(false);
  };
  Random random(seed());
  std::vector<char> bytes, zeros(size), full(size, '\xaa');
  for (std::uint64_t turn = 0; turn < 50 * rounds(); ++turn) {
    Region& region = regions[static_cast<std::size_t>(turn % 4)];
    while (region.held.size() > random.below(region.most + 1)) end(region, random.below(region.held.size()));
    caller.open("/dev/" + region.name);
    caller.word = turn / 4 % 2 == 0 ? WordSize::bits32 : WordSize::bits64;
    const auto length = static_cast<std::size_t>(random.from_to(1, pages) * page);
    std::int64_t view = 0;
    if (!soon([&] { return (view = caller.map(length)) > 0; }) || caller.length() < length) CHECK(view > 0);
    const auto all = shown(talk, view);
    REQUIRE(all.parts.size() == 1);
    const auto at = static_cast<off_t>(all.parts[0].offset);
    bytes.assign(length, 1);
    const bool is_read = ::pread(all.first.get(), bytes.data(), length, at) == static_cast<ssize_t>(length);
    if (!is_read || std::memcmp(bytes.data(), zeros.data(), length) != 0) CHECK_MESSAGE(false, region.name, ", turn ", turn);
    if (::pwrite(all.first.get(), full.data(), length, at) != static_cast<ssize_t>(length)) CHECK(false);
    region.held.push_back({std::move(caller.node), view});
  }
  for (Region& region : regions) {
    while (!region.held.empty()) end(region, 0);
  }
}

TEST_CASE("A13 (CVE-2016-5340), weakness 15: CONNECT to files that are no masters of this region's") {
  PmemScene scene;
  RunningServer elsewhere(unused_name(), pmem_board);
  {
    PmemCaller master(scene.host.name), sub(scene.host.name), other(scene.host.name), empty(scene.host.name), stranger(elsewhere.name);
    other.open("/dev/pmem_adsp");
    CHECK(master.allocate(size) == 0);
    CHECK(other.allocate(size) == 0);
    CHECK(stranger.allocate(size) == 0);
    auto files = kinds_of_files("pmem", size);
    files.push_back({"another server's master", OwnedFd(::dup(stranger.node.get()))});
    files.push_back({"another region's master", OwnedFd(::dup(other.node.get()))});
    files.push_back({"one without an allocation", OwnedFd(::dup(empty.node.get()))});
    files.push_back({"itself", OwnedFd(::dup(sub.node.get()))});
    files.push_back({"its own connection", OwnedFd(::dup(sub.client.socket()))});
    files.push_back({"a report", sub.client.open("/sys/kernel/pmem_regions/pmem/size", O_RDONLY).fd});
    for (const KindOfFile& one : files) {
      CAPTURE(one.kind);
      REQUIRE(one.fd.get() >= 0);
      CHECK(sub.connect(one.fd.get()) == -EINVAL);
      CHECK(sub.length() == 0);
    }
    CHECK(sub.connect(-1) == -EBADF);
    CHECK(sub.connect(master) == 0);
  }
  elsewhere.stop();
}

TEST_CASE("A17 (CVE-2024-0582): the server stops while masters and subs are mapped") {
  for (const bool is_mute : {false, true}) {
    const std::string name = unused_name();
    auto host = std::make_unique<RunningServer>(name, pmem_board);
    std::optional<Answering> answering;
    std::optional<ControlLink> mute;
    is_mute ? void(mute.emplace(name)) : void(answering.emplace(name));
    Pair pair(name);
    CHECK(pair.sub.grant(0, page) == 0);
    CHECK(pair.sub.map(size) > 0);
    const auto all = shown(name, pair.view);
    REQUIRE(all.parts.size() == 1);
    host->stop();
    CHECK(::pwrite(all.first.get(), "x", 1, 0) == 1);  // whoever has it mapped has it still
    host = nullptr;
    CHECK(::pwrite(all.first.get(), "x", 1, 0) == 1);
  }
}

TEST_CASE("A17: the master ends while its subs are mapped: they show nothing, and the next owner's memory is none that they know") {
  PmemScene scene;
  const Answering control(scene.host.name);
  Pair pair(scene.host.name);
  CHECK(pair.sub.grant(0, size) == 0);
  const auto view = pair.sub.map(size);
  const auto before = shown(scene.host.name, view);
  REQUIRE(before.first.get() >= 0);
  pair.end_master();
  CHECK(soon([&] { return shown(scene.host.name, view).parts.empty(); }));
  CHECK(scene.is_free());
  CHECK(::pwrite(before.first.get(), "x", 1, 0) == 1);  // who kept what he should have let go
  PmemCaller next(scene.host.name);
  const auto other = next.map(size);
  const auto theirs = shown(scene.host.name, other);
  char byte = 1;
  CHECK(::pread(theirs.first.get(), &byte, 1, 0) == 1);
  CHECK(byte == 0);
  CHECK(pair.sub.map(size) == -EINVAL);
  CHECK(pair.sub.grant(0, page) != -EAGAIN);
  CHECK(next.unmap(other) == 0);
  CHECK(pair.sub.unmap(view) == 0);
}

TEST_CASE("a client that answers nothing: the owner's MAP, UNMAP and close return, and show what they should") {
  for (int act = 0; act < 3; ++act) {
    PmemScene scene;
    auto mute = std::make_unique<ControlLink>(scene.host.name);
    Pair pair(scene.host.name);
    CHECK(pair.sub.grant(0, page) == 0);
    const auto view = pair.sub.map(size);
    const auto began = std::chrono::steady_clock::now();
    if (act == 0) CHECK(pair.sub.grant(page, page) == 0);
    if (act == 1) CHECK(pair.sub.withdraw(0, page) == 0);
    if (act == 2) pair.end_master();
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(20));
    const std::string wanted = act == 0 ? "oo.." : "....";
    CHECK(soon([&] { return shown(scene.host.name, view).pages_of(pages) == wanted; }));
    CHECK(pair.sub.unmap(view) == 0);
    if (act != 2) pair.end_master();
  }
}

TEST_CASE("while a client is asked of a sub, all others are served: other files of the region, other subs of the same master") {
  PmemScene scene;
  PmemCaller other(scene.host.name), second(scene.host.name);
  std::atomic<bool> is_asked = false, is_meanwhile = false;
  // On a machine that is too slow for that the client is asked no more before he answers; then it is tried with another one.
  const auto is_served = [&] {
    const Answering control(scene.host.name, [&] {
      const bool is_right = other.room() == region_size - size && second.length() == 0;
      if (is_right && is_asked) is_meanwhile = true;
    });
    Pair pair(scene.host.name);
    const auto view = pair.sub.map(size);
    is_asked = true;
    CHECK(pair.sub.grant(0, page) == 0);
    is_asked = false;
    CHECK(pair.sub.withdraw(0, page) == 0);
    CHECK(pair.sub.unmap(view) == 0);
    pair.end_master();
    return is_meanwhile.load();
  };
  bool is_ever = false;
  for (int turn = 0; turn < 30 && !is_ever; ++turn) is_ever = is_served();
  CHECK(is_ever);
}

TEST_CASE("a client that is slow to answer, of many ranges and subs: the master's end waits for all of it as long as for one") {
  PmemScene scene;
  std::atomic<bool> is_slow = false;
  const Answering control(scene.host.name, [&] {
    if (is_slow) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  });
  PmemCaller master(scene.host.name), other(scene.host.name);
  CHECK(master.allocate(64 * page) == 0);
  std::vector<std::pair<std::unique_ptr<PmemCaller>, std::int64_t>> subs;
  for (int count = 0; count < 3; ++count) {
    auto& [sub, view] = subs.emplace_back(std::make_unique<PmemCaller>(scene.host.name), 0);
    CHECK(sub->connect(master) == 0);
    for (std::uint64_t place = 0; place < 32; ++place) CHECK(sub->grant(2 * place * page, page) == 0);
    view = sub->map(64 * page);
    CHECK(view > 0);
  }
  const unsigned before = control.asked();
  is_slow = true;
  master.close();
  CHECK(soon([&] { return other.room() == region_size; }));
  CHECK(control.asked() - before <= 15);  // of 96
  is_slow = false;
  for (auto& [sub, view] : subs) {
    CHECK(shown(scene.host.name, view).parts.empty());
    CHECK(sub->unmap(view) == 0);
  }
}

TEST_CASE("CONNECT beside the master's close: a sub of what is there no more, or EINVAL; and it never shows anything") {
  PmemScene scene;
  const Answering control(scene.host.name);
  for (std::uint64_t round = 0; round < 2 * rounds(); ++round) {  // which is not the last descriptor
    PmemCaller master(scene.host.name), sub(scene.host.name);
    if (master.allocate(size) != 0) CHECK(false);
    const OwnedFd going(::fcntl(master.node.get(), F_DUPFD_CLOEXEC, 0));
    std::int64_t result = 1;
    at_once([&] { master.close(), static_cast<void>(master.client.hello()); },
            [&] { result = sub.connect(going.get()); });
    if (result != 0) CHECK(result == 0);
    const auto view = sub.map(size);
    if (view > 0 && sub.unmap(view) != 0) CHECK(false);
  }
  for (std::uint64_t round = 0; round < rounds(); ++round) {
    auto master = std::make_unique<PmemCaller>(scene.host.name);
    PmemCaller sub(scene.host.name);
    if (master->allocate(size) != 0) CHECK(false);
    sub.instead = [&](const Reply& step) {  // it is closed as soon as the server has been given it
      if (step.step != Step::descriptor) return false;
      const bool is_sent = sub.answer(step);
      master->close();
      return is_sent;
    };
    const auto result = sub.connect(*master);
    sub.instead = nullptr;
    if (result != 0 && result != -EINVAL) CHECK(result == -EINVAL);
    if (sub.length() != (result == 0 ? size : 0)) CHECK(sub.length() == 0);
    const auto view = result == 0 ? sub.map(page) : -EINVAL;
    if (view > 0 && !shown(scene.host.name, view).parts.empty()) CHECK(view < 0);
    if (view > 0 && sub.unmap(view) != 0) CHECK(false);
  }
}

TEST_CASE("MAP beside UNMAP, mmap, munmap and the master's close, from threads") {
  PmemScene scene;
  const Answering control(scene.host.name);
  for (std::uint64_t round = 0; round < rounds(); ++round) {
    Pair pair(scene.host.name);
    PmemCaller second(scene.host.name, pair.sub);
    const auto is_known = [](std::int64_t result) { return result == 0 || result == -EINVAL; };
    std::int64_t view = round % 2 == 0 ? pair.sub.map(size) : 0;
    std::array<std::int64_t, 3> results{};
    at_once(
        [&] {
          results[0] = second.grant(page, 2 * page);
          results[1] = second.withdraw(0, 2 * page);
        },
        [&] {
          results[2] = pair.sub.grant(0, 2 * page);
          if (round % 2 != 0) view = pair.sub.map(size);
          if (round % 4 < 2) pair.end_master();
          if (round % 3 == 0 && view > 0 && pair.sub.unmap(std::exchange(view, 0)) != 0) CHECK(false);
        });
    for (const std::int64_t result : results) {
      if (!is_known(result)) CHECK(result == -EINVAL);
    }
    if (view > 0) {
      const std::string now = shown(scene.host.name, view).pages_of(pages);
      if (now != "...." && now != ".oo." && now != "ooo." && now != "oo..") CHECK(now == "....");
      if (pair.sub.unmap(view) != 0) CHECK(false);
    }
    second.close(), pair.sub.close();
    if (round % 4 >= 2) pair.end_master();
  }
}

TEST_CASE("two thousand opens, one in eight a master, the others subs; each one's end leaves the region as free as before") {
  const ManyFiles limit;
  PmemScene scene;
  {
    Caller talk(scene.host.name);
    PmemCaller master(scene.host.name);
    CHECK(master.allocate(page) == 0);
    PmemCaller watch(scene.host.name);
    const auto free = watch.room();
    std::vector<OwnedFd> files;
    for (std::uint64_t count = 0; count < 2000; ++count) {
      auto opened = talk.client.open("/dev/pmem");
      if (opened.fd.get() < 0) CHECK(opened.result == 0);
      const bool is_master = count % 8 == 0;
      const auto code = is_master ? pmem::allocate : pmem::connect;
      const std::uint64_t argument = is_master ? page : static_cast<std::uint64_t>(master.node.get());
      const auto got = talk.ask({.ask = Ask::ioctl, .number = code.code, .address = argument}, opened.fd.get()).result;
      const bool is_full = is_master && count / 8 + 1 >= region_size / page;
      if (is_full ? got != -ENOMEM : got < 0) CHECK(got == 0);
      files.push_back(std::move(opened.fd));
    }
    while (!files.empty()) files.pop_back();
    CHECK(soon([&] { return watch.room() == free; }));
  }
}
