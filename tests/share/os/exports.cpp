#include <freestone/share/os/exports.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/os/data_file.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/os/udmabuf.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/os/fd_message.hpp>
#include <freestone/share/os/ranked.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include "support/child.hpp"
#include "support/fds.hpp"
#include "support/platforms.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

template <class B>
using FileZone = Zone<B, strategy::Bitmap, lock::Mutex, cache::Coherent>;
using Private = FileZone<backing::DataFile>;

constexpr ShareLimits few{.clients = 4, .owners = 4, .buffers = 24, .handles = 24, .blocks = 1};
template <class Z>
using Shared = Device<Z, MinimalPlatform, few, scrub::Zero, Ranked<lock::Mutex>>;
constexpr TagKey key{1, 2};

template <class Z>
Z zone_of(const char* name = "frames") {
  auto made = Z::create({.name = name, .size = 256_KiB});
  REQUIRE(made);
  return *std::move(made);
}

// A device over a zone, with one client and a table.
template <class Z, std::size_t most = 16>
struct World {
  using D = Shared<Z>;
  using Table = Exports<D, most, Ranked<lock::Mutex>::At<LockRank::exports>>;

  Z zone;
  MinimalPlatform platform = {};
  D device{zone, platform, key};
  ClientId client = *device.open();
  Table table{device};

  explicit World(const char* name = "frames") : zone(zone_of<Z>(name)) {}

  typename D::Ref buffer(Bytes size = 4_KiB) {
    const auto handle = device.allocate(client, {.size = size});
    REQUIRE(handle);
    auto ref = device.share(client, *handle);
    REQUIRE(ref);
    REQUIRE(device.free(client, *handle));
    return *std::move(ref);
  }
  Exported exported(const typename D::Ref& ref, FileAccess access = FileAccess::read_write) {
    auto made = export_block(zone, ref.parts().blocks[0], access);
    REQUIRE(made);
    return *std::move(made);
  }
};

}  // namespace

TEST_CASE("a file that comes back is the buffer that it was") {
  const std::size_t before = open_fds();
  {
    World<Private> world;
    auto ref = world.buffer();
    auto next = world.buffer();
    const BufferId id = ref.id();
    const BufferId other = next.id();
    const Exported exported = world.exported(ref);
    const Exported beside = world.exported(next);
    const Exported again = world.exported(ref);
    REQUIRE(world.table.put(std::move(ref), exported));
    CHECK(!ref);
    auto found = world.table.find(exported.fd.get());
    REQUIRE(found);
    CHECK(found->buffer.id() == id);
    CHECK(found->access == FileAccess::read_write);
    CHECK(world.table.put(std::move(found->buffer), again));  // once more is nothing new
    CHECK(world.table.count() == 1);
    REQUIRE(world.table.put(std::move(next), beside));
    CHECK(world.table.find(exported.fd.get(), exported.offset)->buffer.id() == id);
    CHECK(world.table.find(beside.fd.get(), exported.offset)->buffer.id() == id);  // one file
    CHECK(world.table.find(exported.fd.get(), beside.offset)->buffer.id() == other);
    CHECK(code_of(world.table.find(exported.fd.get(), beside.offset + 4_KiB)) == ErrorCode::foreign_file);
    CHECK(code_of(world.table.find(exported.fd.get(), beside.offset + 1)) == ErrorCode::foreign_file);
    CHECK(code_of(world.table.find(exported.fd.get())) == ErrorCode::foreign_file);  // which of the two?
    CHECK(world.table.withdraw(id) == 1);
    CHECK(world.table.withdraw(id) == 0);
    CHECK(code_of(world.table.find(exported.fd.get(), exported.offset)) == ErrorCode::foreign_file);
    CHECK(world.table.find(beside.fd.get())->buffer.id() == other);
    CHECK(world.device.buffer_count() == 1);
    CHECK(world.table.withdraw(other) == 1);
    CHECK(world.device.buffer_count() == 0);
  }
  CHECK(open_fds() == before);
}

TEST_CASE("a descriptor of any other kind is refused, whatever its name") {
  World<Private> world("frames");
  World<Private> twin("frames");  // another zone of that name, with a buffer at the same place
  auto ref = world.buffer();
  auto strange = twin.buffer();
  const Exported exported = world.exported(ref);
  const Exported foreign = twin.exported(strange);
  CHECK(exported.offset == foreign.offset);
  CHECK(exported.size == foreign.size);
  REQUIRE(world.table.put(std::move(ref), exported));
  REQUIRE(twin.table.put(std::move(strange), foreign));
  auto ends = Connection::pair();
  const std::size_t before = open_fds();
  const auto is_refused = [&](int fd) {
    return code_of(world.table.find(fd)) == ErrorCode::foreign_file &&
           code_of(world.table.find(fd, exported.offset)) == ErrorCode::foreign_file;
  };
  std::size_t kinds = 0;
  for (const auto& one : kinds_of_files("frames", 256 * 1024)) {
    const char* const kind = one.kind;
    const auto& fd = one.fd;
    CAPTURE(kind);
    CHECK(is_refused(fd.get()));
    ++kinds;
  }
  CHECK(kinds >= 12);
  CHECK(is_refused(foreign.fd.get()));
  CHECK(is_refused(twin.zone.backing().fd()));
  CHECK(is_refused(ends->here.fd()));  // our own control socket
  CHECK(is_refused(ends->there.fd()));
  CHECK(is_refused(-1));
  CHECK(is_refused(INT32_MAX));
  int closed = dup(exported.fd.get());
  close(closed);
  CHECK(is_refused(closed));
  const backing::OwnedFd path(open(path_of(exported.fd.get()).c_str(), O_PATH | O_CLOEXEC));
  CHECK(is_refused(path.get()));
  const backing::OwnedFd writer(open(path_of(exported.fd.get()).c_str(), O_WRONLY | O_CLOEXEC));
  CHECK(is_refused(writer.get()));
  if (auto pinned = FileZone<backing::Udmabuf>::create({.name = "frames", .size = 256_KiB})) {
    CHECK(is_refused(pinned->backing().fd()));
  }
  CHECK(world.table.find(exported.fd.get()));
  CHECK(open_fds() == before + 2);  // path, writer
}

TEST_CASE("who may only read the file may only read the buffer") {
  World<Private> world;
  auto ref = world.buffer();
  const Exported exported = world.exported(ref);
  REQUIRE(world.table.put(std::move(ref), exported));
  const backing::OwnedFd reader(open(path_of(exported.fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
  CHECK(world.table.find(reader.get())->access == FileAccess::read_only);
  CHECK(world.table.find(exported.fd.get())->access == FileAccess::read_write);
  World<Private> sealed;
  auto other = sealed.buffer();
  const Exported shown = sealed.exported(other, FileAccess::read_only);
  REQUIRE(sealed.table.put(std::move(other), shown));
  CHECK(sealed.table.find(shown.fd.get())->access == FileAccess::read_only);
  CHECK(sealed.table.find(sealed.zone.backing().fd())->access == FileAccess::read_only);
}

TEST_CASE("what cannot be put is still the caller's") {
  World<Private, 2> world;
  auto ref = world.buffer();
  auto next = world.buffer();
  auto third = world.buffer();
  const Exported exported = world.exported(ref);
  const BufferId id = ref.id();
  const std::size_t before = open_fds();
  const auto put = [&](auto&& buffer, const Exported& at) {
    const ErrorCode code = code_of(world.table.put(std::move(buffer), at));
    CHECK((code == ErrorCode::none || code == ErrorCode::no_buffer) == !buffer);
    return code;
  };
  CHECK(put(Shared<Private>::Ref(), exported) == ErrorCode::no_buffer);
  for (auto& one : kinds_of_files("frames", 4096)) {
    const char* const kind = one.kind;
    auto& fd = one.fd;
    CAPTURE(kind);
    if (std::string(kind) == "memfd of our name, length and seals") continue;
    const Exported wrong{std::move(fd), 0, 4096, FileAccess::read_write};
    CHECK(put(ref, wrong) != ErrorCode::none);
  }
  CHECK(put(ref, {backing::OwnedFd(-1), 0, 4096, FileAccess::read_write}) == ErrorCode::foreign_file);
  CHECK(world.table.count() == 0);
  CHECK(open_fds() == before);
  CHECK(holds_in_child([&] {
    const rlimit none{1, 1};
    setrlimit(RLIMIT_NOFILE, &none);
    return put(ref, exported) == ErrorCode::limit_reached && world.table.count() == 0;
  }));
  const Exported beside = world.exported(next);
  const Exported last = world.exported(third);
  CHECK(put(ref, exported) == ErrorCode::none);
  CHECK(put(next, exported) == ErrorCode::exists);
  CHECK(put(next, beside) == ErrorCode::none);
  CHECK(put(third, last) == ErrorCode::too_many_holds);
  CHECK(world.table.withdraw(id) == 1);
  CHECK(put(third, last) == ErrorCode::none);
}

TEST_CASE("one descriptor a file stays open, however many buffers it has and whichever goes first") {
  World<Private> world;
  Random random(seed());
  std::map<std::uint32_t, Exported> kept;  // by the buffer's place
  std::map<std::uint32_t, BufferId> ids;
  const std::size_t before = open_fds();
  for (int step = 0; step < 2'000; ++step) {
    if (random.chance(55) && kept.size() < 16) {
      auto ref = world.buffer(4096 * random.from_to(1, 2));
      const BufferId id = ref.id();
      Exported exported = world.exported(ref);
      REQUIRE(world.table.put(std::move(ref), exported));
      ids.emplace(id.place, id);
      kept.emplace(id.place, std::move(exported));
    } else if (!kept.empty()) {
      auto at = kept.begin();
      std::advance(at, static_cast<int>(random.below(kept.size())));
      const Exported gone = std::move(at->second);
      REQUIRE(world.table.withdraw(ids[at->first]) == 1);
      ids.erase(at->first);
      kept.erase(at);
      CHECK(code_of(world.table.find(gone.fd.get(), gone.offset)) == ErrorCode::foreign_file);
    }
    CHECK(world.table.count() == kept.size());
    CHECK(world.device.buffer_count() == kept.size());
    CHECK(open_fds() == before + kept.size() + (kept.empty() ? 0 : 1));
    for (const auto& [place, exported] : kept) {
      const auto found = world.table.find(exported.fd.get(), exported.offset);
      REQUIRE(found);
      CHECK(found->buffer.id() == ids[place]);
    }
  }
}

TEST_CASE("a buffer of several blocks is the only one of its file, however often it was put") {
  using Orders = Zone<backing::DataFile, strategy::OrderList<strategy::Buddy, 2, 0>, lock::Mutex, cache::Coherent>;
  using D = Device<Orders, MinimalPlatform, ShareLimits{.clients = 2, .owners = 2, .buffers = 4, .handles = 4, .blocks = 16}>;
  Orders zone = zone_of<Orders>();
  MinimalPlatform platform;
  D device(zone, platform, key);
  const ClientId client = *device.open();
  Exports<D, 16, lock::None> table(device);
  const auto buffer = [&](Bytes size) {
    const auto handle = device.allocate(client, {.size = size, .contiguous = false});
    auto ref = device.share(client, *handle);
    REQUIRE(device.free(client, *handle));
    return *std::move(ref);
  };
  const auto put = [&](const D::Ref& ref) {
    for (const Block& block : ref.parts().list()) {
      REQUIRE(table.put(*device.ref(ref.id()), *export_block(zone, block, FileAccess::read_write)));
    }
  };
  const auto wide = buffer(36_KiB);
  REQUIRE(wide.parts().count > 1);
  put(wide);
  CHECK(table.count() == wide.parts().count);
  CHECK(table.find(zone.backing().fd())->buffer.id() == wide.id());
  const auto other = buffer(4_KiB);
  put(other);
  CHECK(code_of(table.find(zone.backing().fd())) == ErrorCode::foreign_file);  // which of the two?
  CHECK(table.withdraw_unused(wide.id()) == 0);
  CHECK(table.withdraw(wide.id()) == wide.parts().count);
  CHECK(table.find(zone.backing().fd())->buffer.id() == other.id());
}

TEST_CASE("a buffer that nobody has but the table goes, and no other") {
  World<Private> world;
  auto ref = world.buffer();
  auto next = world.buffer();
  const BufferId id = ref.id();
  const Exported exported = world.exported(ref);
  REQUIRE(world.table.put(*world.device.ref(id), exported));
  REQUIRE(world.table.put(*world.device.ref(next.id()), world.exported(next)));
  CHECK(world.table.withdraw_unused(id) == 0);
  CHECK(world.table.withdraw_unused({}) == 0);
  const Handle handle = *world.device.import(world.client, ref);
  ref = {};
  CHECK(world.table.withdraw_unused(id) == 0);
  auto map = world.device.map(*world.device.ref(id), Mapper::cpu);
  REQUIRE(world.device.free(world.client, handle));
  CHECK(world.table.withdraw_unused(id) == 0);
  REQUIRE(map);
  map = ErrorCode::no_buffer;
  CHECK(world.device.buffer_count() == 2);
  CHECK(world.table.withdraw_unused(id) == 1);
  CHECK(world.table.withdraw_unused(id) == 0);
  CHECK(world.device.buffer_count() == 1);
  CHECK(world.table.count() == 1);
  CHECK(code_of(world.table.find(exported.fd.get(), exported.offset)) == ErrorCode::foreign_file);
  CHECK(world.table.find(exported.fd.get())->buffer.id() == next.id());
}

// Each looks when he has let go. One of them is the last, and he sees it.
TEST_CASE("whoever lets go last, of several threads, the buffer goes") {
  for (int round = 0; round < 300; ++round) {
    World<Private> world;
    auto ref = world.buffer();
    const BufferId id = ref.id();
    REQUIRE(world.table.put(*world.device.ref(id), world.exported(ref)));
    std::array<Shared<Private>::Ref, 3> refs = {std::move(ref), *world.device.ref(id), *world.device.ref(id)};
    std::vector<std::thread> threads;
    for (auto& mine : refs) {
      threads.emplace_back([&] {
        mine = {};
        static_cast<void>(world.table.withdraw_unused(id));
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(world.table.count() == 0);
    REQUIRE(world.device.buffer_count() == 0);
  }
}

TEST_CASE("a buffer that is withdrawn while others look it up is found whole or not at all") {
  World<Private> world;
  const int rounds = 2'000;
  auto first = world.buffer();
  const Exported exported = world.exported(first);
  const BufferId id = first.id();
  auto kept = world.device.ref(id);
  REQUIRE(world.table.put(std::move(first), exported));
  std::vector<std::thread> finders;
  std::uint32_t wrong[2] = {};
  for (std::uint32_t& mine : wrong) {
    finders.emplace_back([&] {
      for (int round = 0; round < rounds; ++round) {
        const auto found = world.table.find(exported.fd.get(), exported.offset);
        mine += found ? !(found->buffer.id() == id) : found.error().code != ErrorCode::foreign_file;
      }
    });
  }
  for (int round = 0; round < rounds / 4; ++round) {
    static_cast<void>(world.table.withdraw(id));
    auto ref = world.device.ref(id);
    if (ref) static_cast<void>(world.table.put(*std::move(ref), exported));
  }
  for (std::thread& finder : finders) finder.join();
  CHECK(wrong[0] + wrong[1] == 0);
  CHECK(world.table.withdraw(id) <= 1);
  CHECK(world.device.info(*kept).holds == 1);
}
