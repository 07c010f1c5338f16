// What programs that mean harm may do to MMZ's node: the attack cases A6 to A10, A17 and A18, answers to REMAP's and UNMAP's steps that
// are no answers, and races of all that ends. Whatever they do, the zones are as free after it as before. (shared/spec: MMZ 6, 7.)
#include <freestone/platform/linux_user/mmz_files.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/mmz/calls.hpp>

#include "support/ion_attackers.hpp"
#include "support/server_client.hpp"
#include "support/views_shown.hpp"

using namespace freestone::linux_user;
using namespace freestone::tests;
using namespace freestone::tests::attackers;
using freestone::Connection;
using freestone::MmzGeneration;
using freestone::Waiting;
using freestone::backing::OwnedFd;
using wire::MmzCommand;

namespace {

constexpr MmzGeneration g2 = MmzGeneration::g2, g5 = MmzGeneration::g5;
constexpr std::uint64_t zone = 0x5000'0000, zone_size = 1 << 20, window = zone + zone_size, window_size = 16 * page;
constexpr std::uint64_t read_write = 0x103, only_read = 0x101;

// Two zones. (The nodes of these two generations are for everybody.)
std::string board_of(MmzGeneration generation) {
  const std::string name = generation == g2 ? "g2" : "g5", allocator = generation == g2 ? "" : "mmz_allocator=ot ";
  return "[[mmz]]\nline = \"mmz=anonymous,0,0x50000000,1M:window,0,0x50100000,64K " + allocator +
         "anony=1\"\n[[node]]\nsystem = \"mmz-" + name + "\"\n";
}

// What a process has mapped where, at addresses that are only said; of all its threads.
class Addresses {
 public:
  std::uint64_t add(std::int64_t view, std::uint64_t length, std::uint32_t protection) {
    const std::lock_guard turn(mutex_);
    const std::uint64_t address = std::exchange(next_, next_ + length + page);
    return all_[address] = {address, length, static_cast<std::uint64_t>(view), 0, protection, 0}, address;
  }
  std::optional<MappedView> at(std::uint64_t address) {
    const std::lock_guard turn(mutex_);
    const auto behind = all_.upper_bound(address);
    if (behind == all_.begin()) return std::nullopt;
    const MappedView& there = std::prev(behind)->second;
    return address - there.address < there.length ? std::optional(there) : std::nullopt;
  }
  // False: it was not there.
  bool remove(std::uint64_t address) {
    const std::lock_guard turn(mutex_);
    return all_.erase(address) != 0;
  }

 private:
  std::mutex mutex_;
  std::map<std::uint64_t, MappedView> all_;
  std::uint64_t next_ = 0x7000'0000;
};

// One that has the node open, and does in the middle of REMAP and UNMAP what it is asked to, unless a test says otherwise.
template <MmzGeneration generation>
struct MmzProgram : NodeCaller {
  using Info = wire::MmbInfo<generation>;

  explicit MmzProgram(const std::string& name, int flags = O_RDWR, WordSize of = WordSize::bits64)
      : NodeCaller(name, "/dev/mmz_userdev", flags, of), middle(name) {
    instead = [this](const Reply& step) { return act(step); };
  }
  // Another thread of the same program.
  MmzProgram(const std::string& name, const MmzProgram& other) : NodeCaller(name, other), addresses(other.addresses), middle(name) {
    instead = [this](const Reply& step) { return act(step); };
  }

  // --- commands ---

  std::int64_t command(MmzCommand command, Info& info) {
    return call<wire::MmbInfoWire<generation>>(wire::mmz_command<generation>(command, word), info).result;
  }
  std::int64_t command(MmzCommand one, std::uint64_t physical, std::uint64_t bits = 0) {
    Info info{.physical = physical, .bits = bits};
    return command(one, info);
  }
  // Where it lies, or -errno.
  std::int64_t allocate(std::uint64_t size, std::uint64_t align = 0, std::string_view in = {}, std::string_view name = "block") {
    Info info{.align = align, .size = size};
    std::ranges::copy(name, info.name.begin());
    std::ranges::copy(in, info.zone.begin());
    const auto result = command(MmzCommand::allocate, info);
    return result != 0 ? result : static_cast<std::int64_t>(info.physical);
  }
  // It must be had.
  std::uint64_t block(std::uint64_t size = page, std::string_view name = "block") {
    const auto made = allocate(size, 0, {}, name);
    if (made <= 0) CHECK(made > 0);
    return static_cast<std::uint64_t>(made);
  }
  std::int64_t free(std::uint64_t physical) { return command(MmzCommand::free, physical); }
  // At which address, or -errno.
  std::int64_t remap(std::uint64_t physical, std::uint64_t bits = read_write, MmzCommand one = MmzCommand::remap) {
    Info info{.physical = physical, .bits = bits};
    const auto result = command(one, info);
    return result != 0 ? result : static_cast<std::int64_t>(info.mapped);
  }
  std::int64_t unmap_block(std::uint64_t physical) { return command(MmzCommand::unmap, physical); }
  // As VIRT_GET_PHYS tells it, or -errno.
  std::int64_t physical_of(std::uint64_t address) {
    Info info{.mapped = address};
    const auto result = command(MmzCommand::physical_of, info);
    return result != 0 ? result : static_cast<std::int64_t>(info.physical);
  }
  std::int64_t flush_dirty(std::uint64_t physical, std::uint64_t address, std::uint64_t size) {
    wire::MmzDirtyArea area{physical, address, size};
    return call<wire::MmzDirtyWire>(wire::mmz_command<generation>(MmzCommand::flush_dirty, word), area).result;
  }
  // mmap by physical address: a view's number, or -errno.
  std::int64_t map(std::uint64_t physical, std::uint64_t length, int protection = PROT_READ | PROT_WRITE) {
    return NodeCaller::map(node.get(), physical, length, protection);
  }

  // --- what it does when it is asked to ---

  bool act(const Reply& step) {
    if (step.step == Step::map) return map_for(step);
    if (step.step == Step::unmap) return unmap_for(step);
    if (step.step == Step::view_at) return say_view(addresses->at(step.address));
    return step.step == Step::copy_in && step.length == 1 && say(EFAULT);  // nothing is there
  }
  bool map_for(const Reply& step) {
    const auto view = view_for(step);
    return view < 0 ? say(static_cast<std::uint64_t>(-view)) : say(0, place(view, step));
  }
  // Its number, or -errno.
  std::int64_t view_for(const Reply& step) {
    const Request wanted{.ask = Ask::map, .number = static_cast<std::uint64_t>(step.result), .address = step.address, .length = step.length};
    return middle.ask(wanted, node.get()).result;
  }
  std::uint64_t place(std::int64_t view, const Reply& step) {
    return addresses->add(view, step.length, static_cast<std::uint32_t>(step.result & 0xffffffff));
  }
  bool unmap_for(const Reply& step) {
    const auto there = addresses->at(step.address);
    const bool is_it = there && there->view == static_cast<std::uint64_t>(step.result) && there->length <= step.length;
    if (is_it && addresses->remove(step.address)) static_cast<void>(middle.ask({.ask = Ask::unmapped, .number = there->view}));
    return client.send(Request{.ask = Ask::copied});
  }
  bool say_view(const std::optional<MappedView>& there) {
    Request said{.ask = Ask::copied, .number = there ? 0U : static_cast<unsigned>(EFAULT)};
    if (there) said.payload_length = sizeof *there, std::memcpy(said.payload.data(), &*there, sizeof *there);
    return client.send(said);
  }
  bool say(std::uint64_t number, std::uint64_t address = 0) {
    return client.send(Request{.ask = Ask::copied, .number = number, .address = address});
  }

  std::shared_ptr<Addresses> addresses = std::make_shared<Addresses>();
  ServerClient middle;  // on which it asks in the middle of a request
};

// What /proc/media-mem says: all of it must be right.
struct Report {
  explicit Report(const std::string& text) {
    std::istringstream in(text);
    std::uint64_t sum = 0, count = 0, end = 0;
    for (std::string line; std::getline(in, line);) {
      std::uint64_t start = 0, last = 0, length = 0, kernel = 0;
      unsigned in_zone = 0, total_mb = 0, used_mb = 0, used_kb = 0, rest_mb = 0, rest_kb = 0;
      if (std::sscanf(line.c_str(), "+---ZONE: PHYS(0x%" SCNx64 ", 0x%" SCNx64 "), GFP=0, nBYTES=%" SCNu64 "KB", &start, &last, &length) == 3) {
        end = start, total_of_zones += length;
      } else if (std::sscanf(line.c_str(), "   %*1[|*]-MMB: phys(0x%" SCNx64 ", 0x%" SCNx64 "), kvirt=0x%" SCNx64, &start, &last, &kernel) == 3) {
        const auto at = line.find("length=");
        const bool is_there = at != line.npos && std::sscanf(line.c_str() + at, "length=%" SCNu64 "KB,    name=\"b%u\"", &length, &in_zone) == 2;
        is_right = is_right && is_there && kernel == 0 && start >= end && last + 1 - start == length * 1024;
        is_right = is_right && (is_g2(line) || (line[3] == '*') == (start > end));
        end = last + 1, sum += length, ++count;
      } else if (line.starts_with(" total size=")) {
        const int found = std::sscanf(line.c_str(), " total size=%" SCNu64 "KB(%uMB),used=%" SCNu64 "KB(%uMB + %uKB),remain=%" SCNu64
                                                    "KB(%uMB + %uKB),zone_number=%u,block_number=%" SCNu64,
                                      &total, &total_mb, &used, &used_mb, &used_kb, &remain, &rest_mb, &rest_kb, &zones, &blocks);
        is_right = is_right && found == 10 && total_mb == total / 1024 && used_mb * 1024 + used_kb == used && rest_mb * 1024 + rest_kb == remain;
      }
    }
    is_right = is_right && total == total_of_zones && zones == 2 && used == sum && blocks == count && remain == total - used;
  }
  static bool is_g2(const std::string& line) { return line.find("kernel_only") == line.npos; }

  bool is_right = true;
  std::uint64_t total_of_zones = 0, total = 0, used = 0, remain = 0, blocks = 0;
  unsigned zones = 0;
};

// A server. When a scene ends its zones, clients, files and views are what they were at its start.
struct MmzScene : CountedServer {
  explicit MmzScene(MmzGeneration generation = g5, std::string name = unused_name()) : CountedServer(std::move(name), board_of(generation)) {}
  MmzScene(const MmzScene&) = delete;
  MmzScene& operator=(const MmzScene&) = delete;
  ~MmzScene() {
    check_as(before);
    CHECK(is_free());
    check_as(before);
  }
  // KiB that blocks have.
  std::uint64_t used() {
    NodeCaller reader(host.name);
    return used(reader);
  }
  static std::uint64_t used(NodeCaller& reader) { return Report(reader.text("/proc/media-mem")).used; }
  bool is_free() {
    return soon([&] { return used() == 0; });
  }
};

// What this process, and with it the server, says on stderr meanwhile.
class Messages {
 public:
  Messages() : before_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)), file_(::memfd_create("messages", MFD_CLOEXEC)) {
    CHECK(::dup2(file_.get(), STDERR_FILENO) == STDERR_FILENO);
  }
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;
  ~Messages() { ::dup2(before_.get(), STDERR_FILENO); }

  // Lines, in their order.
  std::vector<std::string> all() const {
    std::string text(1 << 16, '\0');
    const ssize_t length = ::pread(file_.get(), text.data(), text.size(), 0);
    std::istringstream in(text.substr(0, length < 0 ? 0 : static_cast<std::size_t>(length)));
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

 private:
  OwnedFd before_, file_;
};
std::string leak(std::int64_t process, std::uint64_t physical, std::uint64_t length, const char* name) {
  std::array<char, 128> line;
  std::snprintf(line.data(), line.size(), "freestone-server: MMB LEAK(pid=%d): 0x%" PRIX64 ", %" PRIu64 " bytes, '%s'",
                static_cast<int>(process), physical, length, name);
  return line.data();
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("A6 (CVE-2022-21743, CVE-2013-2596): every size with every alignment: ENOMEM, or a block in its zone", G, edges) {
  constexpr std::array<std::uint64_t, 14> values = {0,          1,          page - 1,    page,          page + 1,           3 * page,
                                                    zone_size,  zone_size + 1, 0x7fff'ffff, 0xffff'ffff, std::uint64_t{1} << 32,
                                                    std::uint64_t{1} << 63, ~std::uint64_t{0} - page + 1, ~std::uint64_t{0}};
  MmzScene scene(G::value);
  MmzProgram<G::value> program(scene.host.name);
  const auto first = program.block();
  for (const std::uint64_t size : values) {
    for (const std::uint64_t align : values) {
      const auto made = program.allocate(size, align);
      if (made == -ENOMEM) continue;
      const auto at = static_cast<std::uint64_t>(made);
      const std::uint64_t step = std::max(page, (align + page - 1) / page * page);
      const bool is_right = made > 0 && at >= zone + page && size != 0 && size <= zone + zone_size - at && at % step == 0;
      if (!is_right) CHECK_MESSAGE(is_right, size, " bytes at a multiple of ", align, ": ", made);
      if (program.free(at) != 0) CHECK(false);
    }
    if (size != 0 && size <= 3 * page) CHECK(program.free(static_cast<std::uint64_t>(program.allocate(size, page))) == 0);
  }
  CHECK(program.free(first) == 0);
}
template <MmzGeneration generation>
using Of = std::integral_constant<MmzGeneration, generation>;
TEST_CASE_TEMPLATE_INVOKE(edges, Of<g2>, Of<g5>);

TEST_CASE("A6: a range to be flushed that wraps, or ends behind its block, is refused") {
  constexpr std::array<std::uint64_t, 9> sizes = {4 * page + 1, 5 * page, std::uint64_t{1} << 31, std::uint64_t{1} << 32, std::uint64_t{1} << 63,
                                                  ~std::uint64_t{0} - zone, ~std::uint64_t{0} - page + 1, ~std::uint64_t{0} - 1, ~std::uint64_t{0}};
  MmzScene scene;
  const ControlLink control(scene.host.name);
  MmzProgram<g5> program(scene.host.name);
  const auto block = program.block(4 * page), next = program.block();
  const auto address = program.remap(block, read_write, MmzCommand::remap_cached);
  REQUIRE(address > 0);
  const auto there = static_cast<std::uint64_t>(address);
  for (const std::uint64_t offset : {std::uint64_t{0}, page, 4 * page - 1}) {
    for (const std::uint64_t size : sizes) {
      CAPTURE(size);
      CHECK(program.flush_dirty(block + offset, there + offset, size) == -EFAULT);
      MmzProgram<g5>::Info info{.physical = block + offset, .size = size, .mapped = there + offset};
      CHECK(program.command(MmzCommand::flush_range, info) == -EPERM);
      MmzProgram<g5>::Info range{.physical = block + offset, .size = size};
      if (size > zone_size + window_size) CHECK(program.command(MmzCommand::check_address, range) == -EPERM);
    }
    CHECK(program.flush_dirty(block + offset, there + offset, 4 * page - offset) == 0);
  }
  CHECK(program.unmap_block(block) == 0);
  CHECK(program.free(block) == 0);
  CHECK(program.free(next) == 0);
}

TEST_CASE("A7 (CVE-2023-2008, CVE-2023-33106), row 23: mmap of every offset and length: whole pages of one block, and parts lie within") {
  constexpr std::uint64_t size = 4 * page;
  constexpr std::array<std::uint64_t, 12> offsets = {0, 1, page - 1, page, 2 * page, 3 * page, size, size + page, zone_size, 0 - page, 0 - zone, 1 - page};
  constexpr std::array<std::uint64_t, 12> lengths = {0,       1,        page - 1,          page,     2 * page,
                                                     3 * page, size,     size + 1,          5 * page, std::uint64_t{1} << 32,
                                                     std::uint64_t{1} << 63, ~std::uint64_t{0} - page + 1};
  MmzScene scene;
  const ControlLink control(scene.host.name);
  MmzProgram<g5> program(scene.host.name);
  const auto block = program.block(size), next = program.block();  // which lies behind it
  CHECK(next == block + size);
  for (const std::uint64_t offset : offsets) {
    for (const std::uint64_t length : lengths) {
      const std::uint64_t room_there = offset < size ? size - offset : offset == size ? page : 0;
      const bool may = length != 0 && length % page == 0 && offset % page == 0 && length <= room_there;
      const auto view = program.map(block + offset, length);
      const bool is_known = may ? view > 0 : view == (length == 0 || room_there == 0 ? -EPERM : -EINVAL);
      if (!is_known) CHECK_MESSAGE(is_known, length, " bytes at ", static_cast<std::int64_t>(offset), ": ", view);
      if (view <= 0) continue;
      const auto all = shown(scene.host.name, view);
      CHECK(all.until == static_cast<std::int64_t>(length));
      CHECK(all.pages_of(length / page) == std::string(static_cast<std::size_t>(length / page), 'o'));
      for (const MapPart& part : all.parts) CHECK((part.offset + part.length <= (offset < size ? size : page)));
      CHECK(program.unmap(view) == 0);
    }
  }
  CHECK(program.free(block) == 0);
  CHECK(program.free(next) == 0);
}

TEST_CASE("A8 (CVE-2012-6422, CVE-2020-0069), row 24: an address that is none of one's own blocks' is nothing that can be had") {
  MmzScene scene;
  const ControlLink control(scene.host.name);
  MmzProgram<g5> owner(scene.host.name), program(scene.host.name);
  const auto theirs = owner.block(2 * page), own = program.block();
  const auto address = owner.remap(theirs);
  REQUIRE(address > 0);
  std::vector<std::uint64_t> wrong = {0,      1,      page,        zone - page,  zone - 1, theirs, theirs + page, theirs + 1, own - 1, own + page, zone + zone_size - page,
                                      window, window + window_size - page, window + window_size, std::uint64_t{1} << 32, std::uint64_t{1} << 63, ~std::uint64_t{0} - page + 1,
                                      ~std::uint64_t{0}};
  for (const std::uint64_t physical : wrong) {
    CAPTURE(physical);
    const bool is_theirs = physical - theirs < 2 * page;
    for (const auto one : {MmzCommand::attributes, MmzCommand::free, MmzCommand::remap, MmzCommand::remap_cached, MmzCommand::unmap}) {
      CHECK(program.command(one, physical, read_write) == -EPERM);
    }
    CHECK(program.flush_dirty(physical, static_cast<std::uint64_t>(address), page) == (is_theirs ? -EPERM : -EFAULT));
    MmzProgram<g5>::Info info{.physical = physical, .size = page, .mapped = static_cast<std::uint64_t>(address)};
    CHECK(program.command(MmzCommand::flush_range, info) == -EPERM);
    // Of its own process's blocks, whose file is another (interposer/mmz_share has those of other processes), it may have all.
    for (const std::uint64_t length : {page, 2 * page, zone_size}) {
      const std::uint64_t from = physical & ~(page - 1);
      const auto view = program.map(from, length);
      const bool is_whole = is_theirs && length <= theirs + 2 * page - from;
      CHECK((is_whole ? view > 0 : view == (is_theirs ? -EINVAL : -EPERM)));
      if (view > 0) CHECK(program.unmap(view) == 0);
    }
  }
  CHECK(owner.physical_of(static_cast<std::uint64_t>(address)) == static_cast<std::int64_t>(theirs));
  CHECK(owner.unmap_block(theirs) == 0);
  CHECK(owner.free(theirs) == 0);
  CHECK(program.free(own) == 0);
}

TEST_CASE("A9 (CVE-2021-1905, CVE-2023-4211), row 25: a block that a child maps too: all orders in which it, its file and its mappings end") {
  const std::string name = unused_name();
  // A child: it has the view of that number; is told to unmap it (1), to end what it has with the server (2), and to begin again (3).
  Other child(name, [](const std::string& server, const Connection& link) {
    for (auto came = link.receive<Other::Note>(); came && came->record.number != 0; came = link.receive<Other::Note>()) {
      const std::uint64_t view = came->record.number;
      auto talk = std::make_unique<Caller>(server);
      auto control = std::make_unique<Answering>(server, [] {}, std::span(&view, 1));
      if (!link.send(Other::Note{1})) return false;
      for (auto told = link.receive<Other::Note>(); told && told->record.number != 3; told = link.receive<Other::Note>()) {
        const Request unmapped{.ask = Ask::unmapped, .number = view};
        if (told->record.number == 1 && talk != nullptr && talk->ask(unmapped).result != 0) return false;
        if (told->record.number == 2) control = nullptr, talk = nullptr;
        if (!link.send(Other::Note{1})) return false;
      }
      control = nullptr, talk = nullptr;
      if (!link.send(Other::Note{1})) return false;
    }
    return true;
  });
  MmzScene scene(g5, name);
  child.begin();
  const auto tell = [&](std::uint64_t what) {
    CHECK(child.link().send(Other::Note{what}));
    CHECK(child.next_note() == 1);
  };
  const Messages quiet;
  NodeCaller reader(name);
  std::array<int, 5> order = {0, 1, 2, 3, 4};
  do {
    const ControlLink control(name);
    MmzProgram<g5> program(name);
    const auto block = program.block(4 * page);
    const auto view = program.map(block + page, 2 * page);
    CHECK(view > 0);
    tell(static_cast<std::uint64_t>(view));
    std::array<bool, 5> is_done{};
    for (const int what : order) {
      if (what == 0 && !is_done[1]) CHECK(program.free(block) == 0);
      if (what == 1) program.close(), static_cast<void>(program.client.hello());
      if (what == 2) CHECK(program.unmap(view) == 0);
      if (what == 3) tell(1);
      if (what == 4) tell(2);
      is_done[static_cast<std::size_t>(what)] = true;
      const bool is_mapped = !is_done[2] || !(is_done[3] || is_done[4]);
      const bool is_kept = is_mapped || !(is_done[0] || is_done[1]);
      const bool is_right = is_kept ? scene.used(reader) == 16 : soon([&] { return scene.used(reader) == 0; });
      if (!is_right) CHECK_MESSAGE(is_right, what, ": kept ", is_kept);
    }
    tell(3);
  } while (std::ranges::next_permutation(order).found);
  CHECK(child.link().send(Other::Note{0}));
  CHECK(child.ended_well());
}

TEST_CASE("A9: what a program says of pieces of a mapping counts as far as its view goes (after munmap and mremap of parts)") {
  MmzScene scene;
  const ControlLink control(scene.host.name);
  MmzProgram<g5> program(scene.host.name);
  const auto block = program.block(4 * page);
  const auto view = static_cast<std::uint64_t>(program.map(block, 3 * page));
  const auto physical_where = [&](std::uint64_t address, const MappedView& said) {
    program.instead = [&](const Reply& step) { return step.step == Step::view_at ? program.say_view(said) : program.act(step); };
    return program.physical_of(address);
  };
  constexpr std::uint64_t at = 0x10'0000;
  const auto is = [&](std::uint64_t offset) { return static_cast<std::int64_t>(block + offset); };
  CHECK(physical_where(at + 8, {at, 3 * page, view, 0}) == is(8));
  CHECK(physical_where(at + 8, {at, page, view, 2 * page}) == is(2 * page + 8));
  CHECK(physical_where(at + page, {at, 2 * page, view, page}) == is(2 * page));
  const auto none = ~std::uint64_t{0};
  const std::vector<MappedView> others = {
      {at, 4 * page, view, 0},      {at, page, view, 3 * page},     {at, 2 * page, view, 2 * page},      {at, page, view, none - page + 1},
      {at, none, view, 0},          {at, none, view, page},         {at, 0, view, 0},                    {at, page, view + 1, 0},
      {at, page, 0, 0},             {at + page, page, view, 0},     {at - page, page, view, 0},          {none - page, 2 * page, view, 0}};
  for (const MappedView& wrong : others) {
    CAPTURE(wrong.address);
    CHECK(physical_where(at, wrong) == -EINVAL);
    MmzProgram<g5>::Info info{.physical = block, .size = page, .mapped = at};
    CHECK(program.command(MmzCommand::flush_range, info) == -EPERM);
  }
  CHECK(program.unmap(static_cast<std::int64_t>(view)) == 0);
  CHECK(physical_where(at, {at, page, view, 0}) == -EINVAL);
  CHECK(program.free(block) == 0);
}

// One after the other, while up to three others live; 10^5 are FREESTONE_TEST_STEPS=200000000.
TEST_CASE("A10 (CVE-2015-8950), row 26: a block that somebody filled is zeros for the next client, and structs tell nothing behind their fields") {
  struct Held {
    MmzProgram<g5>* owner;
    std::uint64_t block;
    std::int64_t view;
  };
  MmzScene scene;
  const ControlLink control(scene.host.name);
  const auto talk = *Connection::of(ServerClient::connected(scene.host.name));
  MmzProgram<g5> first(scene.host.name), second(scene.host.name), third(scene.host.name, O_RDWR, WordSize::bits32);
  const std::array<MmzProgram<g5>*, 3> clients = {&first, &second, &third};
  std::vector<Held> held;
  const auto end = [&](std::uint64_t which) {  // its mapping first, or the block
    const Held gone = held[static_cast<std::size_t>(which)];
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
    if (which % 2 == 0 && gone.owner->unmap(gone.view) != 0) CHECK(false);
    if (gone.owner->free(gone.block) != 0) CHECK(false);
    if (which % 2 != 0 && gone.owner->unmap(gone.view) != 0) CHECK(false);
  };
  Random random(seed());
  std::vector<char> bytes, zeros(4 * page), full(4 * page, '\xaa');
  for (std::uint64_t turn = 0; turn < 5 * rounds(); ++turn) {
    while (held.size() > random.below(4)) end(random.below(held.size()));
    const auto length = static_cast<std::size_t>(random.from_to(1, 4) * page);
    MmzProgram<g5>& next = *clients[static_cast<std::size_t>(turn % clients.size())];
    const auto block = next.block(length);
    const auto view = next.map(block, length);
    REQUIRE(view > 0);
    const auto all = shown(talk, view);
    REQUIRE(all.parts.size() == 1);
    const auto at = static_cast<off_t>(all.parts[0].offset);
    bytes.assign(length, 1);
    const bool is_read = ::pread(all.first.get(), bytes.data(), length, at) == static_cast<ssize_t>(length);
    if (!is_read || std::memcmp(bytes.data(), zeros.data(), length) != 0) CHECK_MESSAGE(false, "turn ", turn);
    if (::pwrite(all.first.get(), full.data(), length, at) != static_cast<ssize_t>(length)) CHECK(false);
    held.push_back({&next, block, view});
  }
  while (!held.empty()) end(0);
}

TEST_CASE("A17 (CVE-2024-0582): the server stops while a block is mapped, and in the middle of REMAP") {
  const Messages quiet;
  const std::string name = unused_name();
  auto host = std::make_unique<RunningServer>(name, board_of(g5));
  std::optional<ControlLink> control(name);
  MmzProgram<g5> program(name), second(name);
  const auto block = program.block(), other = second.block();
  CHECK(program.remap(block) > 0);
  const auto view = program.addresses->at(0x7000'0000)->view;
  const auto all = shown(name, static_cast<std::int64_t>(view));
  REQUIRE(all.parts.size() == 1);
  second.instead = [&](const Reply& step) {
    if (step.step == Step::map) return host->stop(), true;
    return second.act(step);
  };
  CHECK(second.remap(other) < 0);
  CHECK(::pwrite(all.first.get(), "x", 1, 0) == 1);  // whoever has it mapped has it still
  host = nullptr;
  CHECK(::pwrite(all.first.get(), "x", 1, 0) == 1);
}

TEST_CASE("A18 (CVE-2023-26083), row 30: neither structs nor reports tell an address of the server's, or what a caller put there") {
  MmzScene scene;
  const ControlLink control(scene.host.name);
  MmzProgram<g5> program(scene.host.name);
  MmzProgram<g5>::Info info{.align = 0, .size = page, .order = 0, .mapped = 0xffff'8000'dead'0000, .bits = ~std::uint64_t{0}};
  std::ranges::copy(std::string_view("b1"), info.name.begin());
  CHECK(program.command(MmzCommand::allocate, info) == 0);
  const auto block = info.physical;
  const auto check = [&](std::uint64_t mapped, std::uint64_t bits) {
    MmzProgram<g5>::Info told{.physical = block, .mapped = 1, .bits = 1};
    CHECK(program.command(MmzCommand::attributes, told) == 0);
    CHECK(told.mapped == mapped);
    CHECK(told.bits == bits);
    for (const std::uint64_t one : {told.physical, told.align, told.size, told.mapped, told.bits, told.gfp}) CHECK((one >> 47) == 0);
    CHECK(Report(program.text("/proc/media-mem")).is_right);
  };
  check(0, only_read);
  const auto address = program.remap(block, 0, MmzCommand::remap_cached);
  REQUIRE(address > 0);
  check(static_cast<std::uint64_t>(address), only_read | 1U << 29);
  CHECK(program.unmap_block(block) == 0);
  check(0, only_read | 1U << 29);
  CHECK(program.free(block) == 0);
}

TEST_CASE("row 12: UNMAP of what REMAP has not mapped is EIO, and nothing is unmapped") {
  MmzScene scene;
  const ControlLink control(scene.host.name);
  MmzProgram<g5> program(scene.host.name);
  const auto block = program.block(2 * page);
  CHECK(program.unmap_block(block) == -EIO);
  const auto view = program.map(block, page);
  CHECK(view > 0);
  CHECK(program.unmap_block(block) == -EIO);
  CHECK(shown(scene.host.name, view).pages_of(1) == "o");
  CHECK(program.unmap(view) == 0);
  CHECK(program.remap(block) > 0);
  CHECK(program.remap(block + page) > 0);
  for (const std::int64_t wanted : {0, 0, -EIO, -EIO}) CHECK(program.unmap_block(block) == wanted);
  CHECK(program.free(block) == 0);
  CHECK(program.unmap_block(block) == -EPERM);
}

TEST_CASE("row 17: close frees everything, with a line for each block in its order; a second descriptor puts that off; a kill does the same") {
  const std::string name = unused_name();
  Other victim(name, [](const std::string& server, const Connection& link) {
    const ControlLink control(server);
    MmzProgram<g5> program(server);
    const auto first = program.block(2 * page, "v1"), second = program.block(page, "v2"), third = program.block(page, "v3");
    const bool is_well = program.remap(first) > 0 && program.map(second, page) > 0;
    return link.send(Other::Note{is_well ? third : 0}) && link.receive<Other::Note>() && false;
  });
  const std::int64_t victims = victim.process();
  MmzScene scene(g5, name);
  const Messages messages;
  const auto says = [&](const std::vector<std::string>& lines) {
    return soon([&] { return scene.host.server->files().reap(), messages.all() == lines; });
  };
  MmzProgram<g5> program(name);
  const auto first = program.block(3 * page, "b1"), gone = program.block(page, "b2"), last = program.block(page + 1, "b3");
  CHECK(program.free(gone) == 0);
  OwnedFd second(::fcntl(program.node.get(), F_DUPFD_CLOEXEC, 0));
  program.close();
  static_cast<void>(program.client.hello());
  CHECK(scene.used() == 20);
  CHECK(messages.all().empty());
  second = OwnedFd(-1);
  std::vector<std::string> lines = {leak(::getpid(), first, 3 * page, "b1"), leak(::getpid(), last, 2 * page, "b3")};
  CHECK(says(lines));
  CHECK(scene.is_free());
  victim.begin();
  const auto third = victim.next_note();
  REQUIRE(third == zone + 3 * page);
  CHECK(scene.used() == 16);
  victim.kill();
  lines.push_back(leak(victims, zone, 2 * page, "v1"));
  lines.push_back(leak(victims, zone + 2 * page, page, "v2"));
  lines.push_back(leak(victims, third, page, "v3"));
  CHECK(says(lines));
}

TEST_CASE_TEMPLATE_DEFINE("row 18: /proc/media-mem is right at any moment, while blocks come and go", G, report) {
  MmzScene scene(G::value);
  const auto act = [&](unsigned number) {
    MmzProgram<G::value> program(scene.host.name);
    Random random(seed() + number);
    std::vector<std::uint64_t> blocks;
    for (std::uint64_t turn = 0; turn < 2 * rounds(); ++turn) {
      if (blocks.size() < 12) blocks.push_back(program.block(random.from_to(1, 5) * page, number == 0 ? "b10" : "b11"));
      const auto which = blocks.begin() + static_cast<std::ptrdiff_t>(random.below(blocks.size()));
      if (random.below(3) != 0 && program.free(*which) == 0) blocks.erase(which);
    }
    for (const std::uint64_t one : blocks) CHECK(program.free(one) == 0);
  };
  std::thread one([&] { act(0); }), other([&] { act(1); });
  NodeCaller reader(scene.host.name);
  for (std::uint64_t turn = 0; turn < 2 * rounds(); ++turn) {
    const std::string text = reader.text("/proc/media-mem");
    if (!Report(text).is_right) CHECK_MESSAGE(false, text);
  }
  one.join(), other.join();
}
TEST_CASE_TEMPLATE_INVOKE(report, Of<g2>, Of<g5>);

TEST_CASE("row 27: what is read-only stays so, and nothing is executed") {
  MmzScene scene;
  const ControlLink control(scene.host.name);
  MmzProgram<g5> program(scene.host.name);
  const auto block = program.block();
  std::uint64_t asked = 0;
  program.instead = [&](const Reply& step) {
    if (step.step == Step::map) asked = static_cast<std::uint64_t>(step.result);
    return program.act(step);
  };
  for (const std::uint64_t how : {std::uint64_t{0}, only_read, read_write}) {
    REQUIRE(program.remap(block, how) > 0);
    CHECK(asked == (std::uint64_t{MAP_SHARED} << 32 | (how == read_write ? PROT_READ | PROT_WRITE : PROT_READ)));
    CHECK(program.unmap_block(block) == 0);
  }
  asked = 0;
  for (const std::uint64_t how : {0x104U, 0x105U, 0x107U, 0x4U}) CHECK(program.remap(block, how) == -EPERM);
  for (const std::uint64_t how : {0x201U, 0x303U, 0xfff01U}) CHECK(program.remap(block, how) == -EINVAL);
  CHECK(asked == 0);
  for (const int how : {PROT_EXEC, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC}) CHECK(program.map(block, page, how) == -EPERM);

  MmzProgram<g5> reader(scene.host.name, O_RDONLY);
  const auto read = reader.block();
  CHECK(reader.map(read, page) == -EACCES);
  CHECK(reader.remap(read) == -EACCES);
  const auto view = reader.map(read, page, PROT_READ);
  REQUIRE(view > 0);
  const auto all = shown(scene.host.name, view);
  CHECK((::fcntl(all.first.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
  CHECK(::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, all.first.get(), 0) == MAP_FAILED);
  CHECK(reader.unmap(view) == 0);
  CHECK(reader.free(read) == 0);
  CHECK(program.free(block) == 0);
}

TEST_CASE_TEMPLATE_DEFINE("row 29: threads on one file, each with blocks of its own: none is lost, and each is its owner's", G, threads_of) {
  MmzScene scene(G::value);
  const ControlLink control(scene.host.name);
  const MmzProgram<G::value> program(scene.host.name);
  const auto act = [&](unsigned number) {
    MmzProgram<G::value> own(scene.host.name, program);
    Random random(seed() + number);
    for (std::uint64_t turn = 0; turn < rounds(); ++turn) {
      const auto block = own.block(random.from_to(1, 3) * page);
      const auto address = random.below(2) == 0 ? own.remap(block) : 0;
      const bool is_mapped = address > 0 && own.physical_of(static_cast<std::uint64_t>(address)) == static_cast<std::int64_t>(block);
      if (address != 0 && !is_mapped) CHECK(is_mapped);
      const auto freed = random.below(2) == 0 ? own.free(block) : 1;
      if (freed != 1 && freed != (is_mapped ? -EBUSY : 0)) CHECK(freed == 0);
      if (is_mapped && own.unmap_block(block) != 0) CHECK(false);
      if (freed == 1 && own.free(block) != 0) CHECK(false);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 3; ++number) threads.emplace_back([&act, number] { act(number); });
  for (std::thread& one : threads) one.join();
  CHECK(scene.used() == 0);
}
TEST_CASE_TEMPLATE_INVOKE(threads_of, Of<g2>, Of<g5>);

TEST_CASE("row 29: threads on one file that all use, map, unmap and free the same few blocks") {
  MmzScene scene;
  const ControlLink control(scene.host.name);
  {
    MmzProgram<g5> program(scene.host.name);
    const auto act = [&](unsigned number) {
      MmzProgram<g5> own(scene.host.name, program);
      Random random(seed() + number);
      for (std::uint64_t turn = 0; turn < 3 * rounds(); ++turn) {
        const std::uint64_t place = zone + random.below(4) * page;
        std::int64_t result = 0;
        switch (random.below(8)) {
          case 0: case 1: result = own.allocate(page) > 0 ? 0 : -ENOMEM; break;
          case 2: case 3: result = std::min(own.remap(place), std::int64_t{0}); break;
          case 4: case 5: result = own.unmap_block(place); break;
          case 6: result = own.command(MmzCommand::attributes, place); break;
          default: result = own.free(place); break;
        }
        const bool is_known = result == 0 || result == -EPERM || result == -EIO || result == -EBUSY || result == -ENOMEM;
        if (!is_known) CHECK(result == 0);
      }
    };
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < 3; ++number) threads.emplace_back([&act, number] { act(number); });
    for (std::thread& one : threads) one.join();
    for (std::uint64_t at = zone; at < zone + zone_size; at += page) {
      while (program.unmap_block(at) == 0) {
      }
      static_cast<void>(program.free(at));
    }
    CHECK(scene.used() == 0);
  }
}

TEST_CASE("row 29: processes, of which some are killed in the middle of anything") {
  const std::string name = unused_name();
  const auto act = [](const std::string& server, const Connection& link) {
    const ControlLink control(server);
    MmzProgram<g5> program(server);
    Random random(seed() + static_cast<std::uint64_t>(::getpid()));
    std::vector<std::uint64_t> blocks;
    for (std::uint64_t turn = 0; !link.receive<Other::Note>(0, Waiting::no); ++turn) {
      if (blocks.size() < 8) blocks.push_back(program.block(random.from_to(1, 4) * page));
      const auto block = blocks[static_cast<std::size_t>(random.below(blocks.size()))];
      const auto address = program.remap(block);
      if (address <= 0 || program.physical_of(static_cast<std::uint64_t>(address)) != static_cast<std::int64_t>(block)) return false;
      if (program.unmap_block(block) != 0) return false;
      if (random.below(2) == 0 && program.free(block) == 0) std::erase(blocks, block);
      if (turn == 20 && !link.send(Other::Note{1})) return false;
    }
    return std::ranges::all_of(blocks, [&](std::uint64_t block) { return program.free(block) == 0; });
  };
  Other first(name, act), second(name, act), third(name, act);
  MmzScene scene(g5, name);
  const Messages quiet;
  for (Other* const one : {&first, &second, &third}) one->begin();
  for (Other* const one : {&first, &second, &third}) CHECK(one->next_note() == 1);
  second.kill(), third.kill();
  CHECK(first.link().send(Other::Note{2}));
  CHECK(first.ended_well());
  CHECK(scene.is_free());
}

// --- what is no answer to a step ---

namespace {

// A block, of which REMAP asks a program that is up to no good.
struct Deceived {
  explicit Deceived(const std::string& name) : control(name), program(name), block(program.block(size)) {}
  // Nobody is the worse for it: the block can be mapped and freed as ever.
  void check_that_all_is_well() {
    program.instead = [this](const Reply& step) { return program.act(step); };
    CHECK(program.unmap_block(block) == -EIO);
    CHECK(program.remap(block) > 0);
    CHECK(program.unmap_block(block) == 0);
    CHECK(program.free(block) == 0);
  }
  static constexpr std::uint64_t size = 4 * page;

  const ControlLink control;
  MmzProgram<g5> program;
  std::uint64_t block;
};

}  // namespace

TEST_CASE("REMAP's step answered with an error, or with an address where nothing is: an error, and the block is as before") {
  MmzScene scene;
  for (const std::uint64_t number : {std::uint64_t{1}, std::uint64_t{ENOMEM}, std::uint64_t{4095}, std::uint64_t{4096}, ~std::uint64_t{0}}) {
    CAPTURE(number);
    Deceived scene_of(scene.host.name);
    scene_of.program.instead = [&](const Reply& step) { return step.step == Step::map && scene_of.program.say(number, page); };
    const auto wanted = (number & 0xfff) == 0 ? -EFAULT : -static_cast<std::int64_t>(number & 0xfff);
    CHECK(scene_of.program.remap(scene_of.block) == wanted);
    scene_of.check_that_all_is_well();
  }
  for (const std::uint64_t address : {std::uint64_t{0}, page, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    CAPTURE(address);
    Deceived scene_of(scene.host.name);
    MmzProgram<g5>& program = scene_of.program;
    program.instead = [&](const Reply& step) { return step.step == Step::map ? program.say(0, address) : program.act(step); };
    CHECK(program.remap(scene_of.block) == -EFAULT);
    scene_of.check_that_all_is_well();
  }
}

TEST_CASE("REMAP's step answered with a mapping of another block, another length, or one that is not his") {
  MmzScene scene;
  Deceived all(scene.host.name);
  MmzProgram<g5>& program = all.program;
  MmzProgram<g5> stranger(scene.host.name);
  const auto other = program.block(all.size), foreign = stranger.block(all.size);
  const auto mapped = [&](MmzProgram<g5>& by, std::uint64_t physical, std::uint64_t length) {
    const auto view = by.map(physical, length);
    CHECK(view > 0);
    return MappedView{program.addresses->add(view, length, PROT_READ | PROT_WRITE), length, static_cast<std::uint64_t>(view), 0};
  };
  const std::vector<MappedView> views = {mapped(program, other, all.size), mapped(program, all.block, page), mapped(program, all.block + page, 3 * page),
                                         mapped(stranger, foreign, all.size)};
  for (const MappedView& one : views) {
    for (const bool is_mapped_too : {false, true}) {
      std::int64_t view = 0;
      program.instead = [&](const Reply& step) {
        if (step.step != Step::map) return program.act(step);
        if (is_mapped_too) view = program.view_for(step);
        return program.say(0, one.address);
      };
      CHECK(program.remap(all.block) == -EFAULT);
      CHECK((view > 0) == is_mapped_too);
      if (view > 0) CHECK(program.unmap(view) == 0);
    }
  }
  all.check_that_all_is_well();  // but its mapped part is its still
  CHECK(scene.used() == 48);
  for (const MappedView& one : views) CHECK(program.unmap(static_cast<std::int64_t>(one.view)) == 0);
  CHECK(program.free(other) == 0);
  CHECK(stranger.free(foreign) == 0);
}

TEST_CASE("REMAP's step: mapped, and then an error, no view, or a view that does not have the address: an error, and the mapping is his own matter") {
  MmzScene scene;
  for (int what = 0; what < 5; ++what) {
    CAPTURE(what);
    Deceived all(scene.host.name);
    MmzProgram<g5>& program = all.program;
    std::int64_t view = 0;
    program.instead = [&](const Reply& step) {
      const auto number = static_cast<std::uint64_t>(view);
      if (step.step == Step::map) {
        view = program.view_for(step);
        return what == 0 ? program.say(EAGAIN) : program.say(0, 8 * page);
      }
      if (step.step != Step::view_at) return program.act(step);
      if (what == 1) return program.say_view({});
      if (what == 2) return program.say_view(MappedView{8 * page, 5 * page, number, 0});
      if (what == 3) return program.say_view(MappedView{8 * page, 4 * page, number, page});
      return program.say_view(MappedView{8 * page, 4 * page, number + 1, 0});
    };
    CHECK(program.remap(all.block) == (what == 0 ? -EAGAIN : -EFAULT));
    CHECK(view > 0);
    program.instead = [&](const Reply& step) { return program.act(step); };
    CHECK(program.unmap_block(all.block) == -EIO);
    CHECK(program.free(all.block) == 0);
    CHECK(scene.used() == 16);  // it is mapped
    CHECK(program.unmap(view) == 0);
  }
}

TEST_CASE("REMAP's step: mapped with another protection than was wanted: it counts as it is mapped") {
  MmzScene scene;
  Deceived all(scene.host.name);
  MmzProgram<g5>& program = all.program;
  program.instead = [&](const Reply& step) {
    Reply less = step;
    if (step.step == Step::map) less.result = static_cast<std::int64_t>(std::uint64_t{MAP_SHARED} << 32 | PROT_READ);
    return program.act(less);
  };
  const auto address = program.remap(all.block);
  REQUIRE(address > 0);
  CHECK(program.flush_dirty(all.block, static_cast<std::uint64_t>(address), page) == -EFAULT);
  CHECK(program.unmap_block(all.block) == 0);
  all.check_that_all_is_well();
}

TEST_CASE_TEMPLATE_DEFINE("while a thread is asked to map for REMAP, another one maps the very same: both have it, and REMAP ends", G, both_map) {
  MmzScene scene(G::value);
  const ControlLink control(scene.host.name);
  MmzProgram<G::value> program(scene.host.name), thread(scene.host.name, program), other_file(scene.host.name);
  const auto block = program.block(4 * page);
  for (const bool is_first : {true, false}) {
    std::int64_t view = 0;
    program.instead = [&](const Reply& step) {
      if (step.step != Step::map) return program.act(step);
      const auto other = other_file.map(block, 4 * page);  // whose block it is not; of the fifth generation it is the process's
      CHECK((G::value == g2 ? other == -EPERM : other > 0));
      if (other > 0) CHECK(other_file.unmap(other) == 0);
      if (is_first) view = thread.map(block, 4 * page);
      return program.act(step);
    };
    const auto address = program.remap(block);
    REQUIRE(address > 0);
    CHECK((view > 0) == is_first);
    CHECK(thread.map(block, 4 * page) == (G::value == g2 ? -EPERM : -EIO));
    CHECK(program.unmap_block(block) == 0);
    if (view > 0) CHECK(thread.unmap(view) == 0);
  }
  CHECK(program.free(block) == 0);
}
TEST_CASE_TEMPLATE_INVOKE(both_map, Of<g2>, Of<g5>);

TEST_CASE("while a thread is asked to map for REMAP, what others ask of the same file waits; and of other files it does not") {
  MmzScene scene;
  Deceived all(scene.host.name);
  MmzProgram<g5>& program = all.program;
  MmzProgram<g5> thread(scene.host.name, program), other(scene.host.name);
  std::thread waiting;
  std::int64_t mapped = 0;
  program.instead = [&](const Reply& step) {
    if (step.step == Step::map) {
      waiting = std::thread([&] { mapped = thread.map(all.block, page); });
      CHECK(scene.used() == 16);
      CHECK(other.free(other.block()) == 0);
      CHECK(other.physical_of(page) == -EINVAL);
    }
    return program.act(step);
  };
  CHECK(program.remap(all.block) > 0);
  waiting.join();
  CHECK(mapped == -EIO);
  CHECK(program.unmap_block(all.block) == 0);
  all.check_that_all_is_well();
}

TEST_CASE("two threads REMAP one block at once: it is mapped once, for both") {
  MmzScene scene;
  Deceived all(scene.host.name);
  MmzProgram<g5> thread(scene.host.name, all.program);
  for (std::uint64_t round = 0; round < rounds(); ++round) {
    std::int64_t one = 0, other = 0;
    at_once([&] { one = all.program.remap(all.block); }, [&] { other = thread.remap(all.block + page); });
    if (one <= 0 || other != one + static_cast<std::int64_t>(page)) CHECK(one == other);
    if (scene.host.server->views().count() != 1) CHECK(scene.host.server->views().count() == 1);
    std::int64_t first = 1, second = 1;
    at_once([&] { first = all.program.unmap_block(all.block); }, [&] { second = thread.unmap_block(all.block); });
    if (first != 0 || second != 0) CHECK(first == second);
    if (scene.host.server->views().count() != 0) CHECK(scene.host.server->views().count() == 0);
  }
  all.check_that_all_is_well();
}

TEST_CASE("UNMAP's step answered with an error: that is what it comes to; what is mapped still keeps its block") {
  MmzScene scene;
  for (const std::uint64_t number : {std::uint64_t{EPERM}, std::uint64_t{ENOMEM}, std::uint64_t{4095}, std::uint64_t{4096}}) {
    Deceived all(scene.host.name);
    MmzProgram<g5>& program = all.program;
    const auto address = program.remap(all.block);
    REQUIRE(address > 0);
    const auto view = program.addresses->at(static_cast<std::uint64_t>(address))->view;
    program.instead = [&](const Reply& step) {
      if (step.step != Step::unmap) return program.act(step);
      CHECK(static_cast<std::uint64_t>(step.result) == view);
      CHECK(step.address == static_cast<std::uint64_t>(address));
      CHECK(step.length == all.size);
      return program.say(number);
    };
    const auto wanted = (number & 0xfff) == 0 ? -EFAULT : -static_cast<std::int64_t>(number & 0xfff);
    CHECK(program.unmap_block(all.block) == wanted);
    CHECK(program.unmap_block(all.block) == -EIO);
    CHECK(program.free(all.block) == 0);
    CHECK(scene.used() == 16);
    CHECK(program.unmap(static_cast<std::int64_t>(view)) == 0);
    CHECK(scene.is_free());
  }
}

TEST_CASE("who answers nothing and closes, in the middle of REMAP and UNMAP: the file is usable, and nothing is left") {
  MmzScene scene;
  for (const Step where : {Step::map, Step::view_at, Step::unmap}) {
    for (const bool is_mapped : {false, true}) {
      Deceived all(scene.host.name);
      MmzProgram<g5>& program = all.program;
      MmzProgram<g5> thread(scene.host.name, program);
      program.instead = [&](const Reply& step) {
        if (step.step != where) return program.act(step);
        if (where == Step::map && is_mapped) program.place(program.view_for(step), step);
        return program.client.disconnect(), true;
      };
      const auto address = program.remap(all.block);
      CHECK((address > 0) == (where == Step::unmap));
      if (address > 0) CHECK(program.unmap_block(all.block) < 0);
      CHECK(thread.unmap_block(all.block) == -EIO);
      CHECK(thread.free(all.block) == 0);
      const auto there = program.addresses->at(0x7000'0000);
      if (there) CHECK(thread.unmap(static_cast<std::int64_t>(there->view)) == 0);
      CHECK(scene.is_free());
    }
  }
}

TEST_CASE("who is killed in the middle of REMAP and UNMAP leaves nothing, and the others are served") {
  const std::string name = unused_name();
  constexpr std::array<Step, 4> steps = {Step::map, Step::map, Step::view_at, Step::unmap};
  std::vector<std::unique_ptr<Other>> victims;
  for (std::size_t which = 0; which < steps.size(); ++which) {
    victims.push_back(std::make_unique<Other>(name, [&steps, which](const std::string& server, const Connection& link) {
      Deceived all(server);
      MmzProgram<g5>& program = all.program;
      program.instead = [&](const Reply& step) {
        if (step.step != steps[which]) return program.act(step);
        if (which == 1) program.place(program.view_for(step), step);
        return link.send(Other::Note{1}) && !link.receive<Other::Note>();
      };
      return program.remap(all.block) > 0 && program.unmap_block(all.block) == 0;
    }));
  }
  MmzScene scene(g5, name);
  const Messages quiet;
  for (auto& victim : victims) {
    victim->begin();
    CHECK(victim->next_note() == 1);
    Deceived other(name);
    CHECK(scene.used() == 32);
    other.check_that_all_is_well();
    victim->kill();
    CHECK(scene.is_free());
  }
}

// --- what is mapped of a node ---

namespace {

// A mapping as MappedBlocks sees one.
struct SeenMapping {
  struct Hold {
    BufferMemory* bytes;
    const Hold& buffer() const { return *this; }
    const Hold& extra() const { return *this; }
    BufferMemory& memory() const { return *bytes; }
  };
  std::optional<Hold> hold;
  std::uint64_t offset = 0, length = 0;
  freestone::Cacheability seen = freestone::Cacheability::write_combined;
  const freestone::MmzWindow* window = nullptr;
};

}  // namespace

TEST_CASE("of what is mapped the first piece that ends behind an address, and whether it is cached there; it ends with its mapping") {
  using Blocks = MappedBlocks<SeenMapping>;
  BufferMemory first{*ServedFile::create("first", 8 * page)}, second{*ServedFile::create("second", page)};
  const freestone::MmzWindow windows[] = {{50 * page, 2 * page}};
  WindowMemory window_memory(windows);
  const auto blocks = std::make_shared<Blocks>(window_memory);
  CHECK(!blocks->piece(0));
  CHECK(!blocks->is_cached(0));
  auto behind = std::make_unique<Blocks::One>(blocks, 40 * page, SeenMapping{SeenMapping::Hold{&second}, 0, page});
  const auto part = std::make_unique<Blocks::One>(blocks, 12 * page, SeenMapping{SeenMapping::Hold{&first}, 2 * page, 3 * page, freestone::Cacheability::cached});
  const auto is = [&](std::uint64_t at, std::uint64_t wanted, std::uint64_t offset, std::uint64_t length, const BufferMemory& memory) {
    const auto piece = blocks->piece(at);
    REQUIRE(piece);
    CHECK(piece->at == wanted);
    CHECK(piece->offset == offset);
    CHECK(piece->length == length);
    CHECK(*identity_of(piece->fd.get()) == memory.file.identity());
  };
  for (const std::uint64_t at : {std::uint64_t{0}, 12 * page, 15 * page - 1}) is(at, 12 * page, 2 * page, 3 * page, first);
  for (const std::uint64_t at : {15 * page, 40 * page, 41 * page - 1}) is(at, 40 * page, 0, page, second);
  CHECK(!blocks->piece(41 * page));
  CHECK(!blocks->is_cached(12 * page - 1));
  CHECK(blocks->is_cached(12 * page));
  CHECK(blocks->is_cached(15 * page - 1));
  CHECK(!blocks->is_cached(15 * page));
  CHECK(!blocks->is_cached(40 * page));
  behind = nullptr;
  CHECK(!blocks->piece(15 * page));

  const auto window = std::make_unique<Blocks::One>(
      blocks, 51 * page, SeenMapping{std::nullopt, page, page, freestone::Cacheability::write_combined, &windows[0]});
  const auto of_window = window_memory.open(windows[0]);
  REQUIRE(of_window);
  CHECK(*identity_of(blocks->piece(15 * page)->fd.get()) == *identity_of(of_window->get()));
  CHECK(blocks->piece(15 * page)->offset == page);
}
