// What programs that mean harm may do to ION's handles, and to what is shared by them: the attack cases A1 to A16, on the
// generations that have handles. Whatever they do, nobody else notices, and nothing of theirs stays.
#include <freestone/platform/linux_user/server.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/command.hpp>
#include <freestone/device/ion/calls.hpp>

#include "support/fds.hpp"
#include "support/ion_attackers.hpp"
#include "support/random.hpp"
#include "support/server_client.hpp"

using namespace freestone::linux_user;
using namespace freestone::tests;
using namespace freestone::tests::attackers;
using freestone::Connection;
using freestone::backing::OwnedFd;
using freestone::device::IonGeneration;
using freestone::device::WordSize;

namespace {

constexpr IonGeneration g1 = IonGeneration::g1, g3 = IonGeneration::g3;
using G1 = std::integral_constant<IonGeneration, g1>;
using G3 = std::integral_constant<IonGeneration, g3>;

constexpr std::uint64_t looked_at = 0x10000;  // where a program says that it has something mapped

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("A1 (CVE-2016-9120): FREE beside FREE: one of the two has it, and nobody twice", G, free_beside_free) {
  Scene<G::value> scene;
  IonCaller<G::value> one(scene.host.name), other(scene.host.name, one);
  for (std::uint64_t round = 0; round < rounds(); ++round) {
    const auto handle = one.buffer();
    std::int64_t first = 1, second = 1;
    at_once([&] { first = one.free(handle); }, [&] { second = other.free(handle); });
    if (first + second != -EINVAL || first * second != 0) CHECK(first + second == -EINVAL);
  }
  CHECK(scene.has_buffers(0));
}
TEST_CASE_TEMPLATE_INVOKE(free_beside_free, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A1 (CVE-2016-9120): FREE beside SHARE and MAP: a descriptor of the buffer, or EINVAL", G, free_beside_share) {
  Scene<G::value> scene;
  IonCaller<G::value> one(scene.host.name), other(scene.host.name, one);
  std::uint64_t shared = 0;
  for (std::uint64_t round = 0; round < 2 * rounds(); ++round) {
    const auto handle = one.buffer();
    std::int64_t freed = 1;
    Answered got;
    at_once([&] { freed = one.free(handle); }, [&] { got = other.share(handle, round % 2 == 0 ? 2 : 4); });
    if (freed != 0) CHECK(freed == 0);
    const bool is_shared = got.result == 0;
    if (!is_shared && got.result != -EINVAL) CHECK(got.result == -EINVAL);
    if (is_shared != (got.fd.get() >= 0)) CHECK(is_shared == (got.fd.get() >= 0));
    shared += is_shared ? 1 : 0;
    // What was shared outlives its handle; its bytes are there.
    if (is_shared && ::pwrite(got.fd.get(), "x", 1, page - 1) != 1) CHECK(false);
    if (is_shared && one.client.who(got.fd.get()).result != 0) CHECK(false);
  }
  CAPTURE(shared);
  CHECK(scene.has_buffers(0));
}
TEST_CASE_TEMPLATE_INVOKE(free_beside_share, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A1 (CVE-2016-9120): FREE beside IMPORT of the same buffer: its handle is there after, once", G,
                          free_beside_import) {
  Scene<G::value> scene;
  IonCaller<G::value> one(scene.host.name), other(scene.host.name, one);
  for (std::uint64_t round = 0; round < rounds(); ++round) {
    const auto handle = one.buffer();
    const OwnedFd fd = one.shared(handle);
    std::int64_t freed = 1, imported = 1;
    std::uint64_t again = 0;
    at_once([&] { freed = one.free(handle); }, [&] { imported = other.import(fd.get(), again); });
    if (freed != 0 || imported != 0) CHECK(freed + imported == 0);
    if (one.free(again) != 0) CHECK(false);
    if (one.free(again) != -EINVAL) CHECK(false);
  }
  CHECK(scene.has_buffers(0));
}
TEST_CASE_TEMPLATE_INVOKE(free_beside_import, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A1: the last descriptor is closed beside SHARE, IMPORT and a view of the buffer", G, last_put) {
  Scene<G::value> scene;
  const ControlLink control(scene.host.name);
  CHECK(control.is_well);
  IonCaller<G::value> one(scene.host.name), other(scene.host.name, one);
  for (std::uint64_t round = 0; round < 3 * rounds(); ++round) {
    const auto handle = one.buffer();
    OwnedFd last = one.shared(handle);
    const OwnedFd going(::fcntl(last.get(), F_DUPFD_CLOEXEC, 0));  // on its way when the last one of the program's is closed
    if (round % 3 != 0 && one.free(handle) != 0) CHECK(false);
    std::int64_t result = 1;
    std::uint64_t imported = 0;
    OwnedFd shared(-1);
    const auto act = [&] {
      if (round % 3 == 0) {
        auto got = other.share(handle);
        result = got.result, shared = std::move(got.fd);
      } else if (round % 3 == 1) {
        result = other.import(going.get(), imported);
      } else {
        result = other.map(going.get(), 0, page);
      }
    };
    at_once([&] { last = OwnedFd(-1), one.client.hello(); }, act);
    if (result < 0 && (round % 3 != 2 || G::value == g1 || result != -ENODEV)) CHECK(result == 0);
    if (round % 3 == 0 && one.free(handle) != 0) CHECK(false);
    if (round % 3 == 1 && one.free(imported) != 0) CHECK(false);
    if (round % 3 == 2 && result > 0 && one.unmap(result) != 0) CHECK(false);
  }
  CHECK(scene.host.server->views().count() == 0);
  CHECK(scene.has_buffers(0));
}
TEST_CASE_TEMPLATE_INVOKE(last_put, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A1: /dev/ion is closed while a call of its own is under way: that call ends well, and then all does", G,
                          close_beside_ioctl) {
  Scene<G::value> scene;
  const std::string name = scene.host.name;
  Caller witness(name);
  const auto files = [&] {
    static_cast<void>(witness.client.open("/dev/none"));  // what is closed is gone by now
    return scene.host.server->files().count();
  };
  for (const bool faults : {false, true}) {
    IonCaller<G::value> caller(name);
    const auto held = caller.buffer();
    const OwnedFd fd = caller.shared(held);
    caller.faults_out = faults;
    caller.instead = [&](const Reply& step) {
      if (step.step != Step::copy_out) return false;
      caller.node = OwnedFd(-1);
      CHECK(files() == 1);  // the buffer's
      return false;
    };
    std::uint64_t handle = 0;
    CHECK(caller.allocate(handle) == (faults ? -EFAULT : 0));
    CHECK(files() == 1);
    CHECK(scene.has_buffers(1));  // that which is shared
  }
  for (std::uint64_t round = 0; round < rounds(); ++round) {
    IonCaller<G::value> one(name), other(name, one);
    const auto handle = one.buffer();
    OwnedFd fd = one.shared(handle);
    std::uint64_t got = 0;
    const auto act = [&] {
      switch (round % 4) {
        case 0: return other.allocate(got);
        case 1: return other.import(fd.get(), got);
        case 2: return other.free(handle);
        default: return other.share(handle).result;
      }
    };
    std::int64_t result = 1;
    at_once([&] { one.node = OwnedFd(-1), one.client.hello(); }, [&] { result = act(), other.node = OwnedFd(-1); });
    if (result != 0) CHECK(result == 0);
  }
  CHECK(scene.has_buffers(0));
}
TEST_CASE_TEMPLATE_INVOKE(close_beside_ioctl, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A1, A16: two processes and their threads free, share, import and synchronise the same buffers", G,
                          in_processes) {
  const std::string name = unused_name();
  const auto steps = rounds() / 2;
  const auto play = [steps](unsigned which, const std::string& server, const Connection& link) {
    IonCaller<G::value> one(server), second(server, one);
    const ControlLink control(server);
    Random random(seed() + which);
    bool is_well = control.is_well;
    for (std::uint64_t step = 0; is_well && step < steps; ++step) {
      const auto handle = one.buffer(page, random.chance(50) ? carveout : system_heap);
      if (!link.send(Other::Note{step}, one.shared(handle))) return false;
      auto came = link.receive<Other::Note, 1>();
      if (!came) return false;
      {
        const OwnedFd fd = came->fds.take(0);
        const auto theirs = one.imported(fd.get());
        const std::int64_t view = one.map(fd.get(), 0, page);
        const std::uint64_t flags = random.chance(50) ? 3 : 7;
        std::int64_t freed = 1;
        at_once([&] { freed = one.free(theirs); },
                [&] { is_well = is_well && second.client.ioctl(fd.get(), dma_buf_sync, &flags).result == 0; });
        is_well = is_well && freed == 0 && (G::value == g1 ? view > 0 : true);
        if (view > 0 && random.chance(50)) is_well = is_well && one.unmap(view) == 0;  // else it ends with the process
      }
      is_well = is_well && one.free(handle) == 0 && one.free(handle) == -EINVAL;
    }
    return is_well;
  };
  Other first(name, [&](const std::string& server, const Connection& link) { return play(1, server, link); });
  Other second(name, [&](const std::string& server, const Connection& link) { return play(2, server, link); });
  Scene<G::value> scene(name);
  first.begin(), second.begin();
  exchange(first, second);
}
TEST_CASE_TEMPLATE_INVOKE(in_processes, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A2, row 26: each lets go as often as he got it, and never of another's", G, imbalance) {
  const std::string name = unused_name();
  Other thief(name, [](const std::string& server, const Connection& link) {
    IonCaller<G::value> caller(server);
    auto came = link.receive<Other::Note, 1>();
    if (!came || came->fds.size() != 1) return false;
    const auto theirs = came->record.number;
    const OwnedFd fd = came->fds.take(0);
    bool is_well = caller.free(theirs) == -EINVAL && caller.share(theirs).result == -EINVAL;  // he has no such handle
    std::uint64_t handle = 0;
    for (int time = 0; time < 1000; ++time) handle = caller.imported(fd.get());
    for (int time = 0; time < 1000; ++time) is_well = is_well && caller.free(handle) == 0;
    for (int time = 0; time < 100; ++time) is_well = is_well && caller.free(handle) == -EINVAL;
    for (int time = 0; time < 100; ++time) handle = caller.imported(fd.get());  // and he ends with these
    return is_well && static_cast<bool>(link.send(Other::Note{1}));
  });
  Scene<G::value> scene(name);
  thief.begin();
  IonCaller<G::value> owner(name);
  auto handle = owner.buffer();
  while (G::value == g3 && handle < 5) handle = owner.buffer();  // the other one's integers are lower ones
  OwnedFd fd = owner.shared(handle);
  CHECK(thief.link().send(Other::Note{handle}, fd));
  fd = OwnedFd(-1);
  CHECK(thief.next_note() == 1);
  CHECK(thief.ended_well());
  fd = owner.shared(handle);
  CHECK(owner.imported(fd.get()) == handle);
  CHECK(owner.free(handle) == 0);
  CHECK(owner.free(handle) == 0);
  CHECK(owner.free(handle) == -EINVAL);
  CHECK(scene.host.server->files().count() == 2);
}
TEST_CASE_TEMPLATE_INVOKE(imbalance, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A2: handles of ended clients, of other clients, of other servers, and numbers near those that are there", G,
                          strangers) {
  Scene<G::value> scene;
  IonCaller<G::value> caller(scene.host.name);
  std::vector<std::uint64_t> strange = {0, 1, ~std::uint64_t{0}, 0x80000000U, 0x7fffffffU, 1024, 1025};
  {
    IonCaller<G::value> gone(scene.host.name);
    for (int time = 0; time < 4; ++time) strange.push_back(gone.buffer());
  }
  IonCaller<G::value> other(scene.host.name);
  for (int time = 0; time < 4; ++time) strange.push_back(other.buffer());
  const auto mine = caller.buffer(), freed = caller.buffer();
  CHECK(caller.free(freed) == 0);
  strange.push_back(freed);
  for (unsigned bit = 0; bit < (G::value == g1 ? 64 : 32); ++bit) strange.push_back(mine ^ std::uint64_t{1} << bit);
  std::erase(strange, mine);
  for (const std::uint64_t handle : strange) {
    CAPTURE(handle);
    if (G::value == g1 && handle == 0) continue;  // of a cache operation: by the descriptor
    CHECK(caller.free(handle) == -EINVAL);
    CHECK(caller.share(handle).result == -EINVAL);
    CHECK(caller.share(handle, 2).result == -EINVAL);
    if (G::value == g1) CHECK(caller.get_flags(handle) == -EINVAL);
    if (G::value == g1) CHECK(caller.clean(handle, 0, 0, page) == -EINVAL);
  }
  // A handle of callers of 64 bits is no handle of those of 32.
  caller.word = WordSize::bits32;
  if (G::value == g1) CHECK(caller.free(mine) == -EINVAL);
  caller.word = WordSize::bits64;
  CHECK(caller.free(mine) == 0);
}
TEST_CASE_TEMPLATE_INVOKE(strangers, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A3 (CVE-2022-50417): a handle whose caller is just being told of it, and others free it", G, guessed) {
  Scene<G::value> scene;
  IonCaller<G::value> caller(scene.host.name), guesser(scene.host.name, caller);
  for (const bool faults : {false, true}) {
    for (const bool is_import : {false, true}) {
      IonCaller<G::value> maker(scene.host.name);
      const OwnedFd fd = maker.shared(maker.buffer());
      std::uint64_t told = 0;
      caller.faults_out = faults;
      caller.instead = [&](const Reply& step) {
        if (step.step != Step::copy_out) return false;
        const auto handle = is_import ? wire::IonFdWire<G::value>::read(step.payload, WordSize::bits64).handle
                                      : wire::IonAllocationWire<G::value>::read(step.payload, WordSize::bits64).handle;
        CHECK(handle != 0);
        CHECK(guesser.free(handle) == -EINVAL);
        CHECK(guesser.share(handle).result == -EINVAL);
        for (std::uint64_t number = 0; number < 20; ++number) CHECK(guesser.free(number) == -EINVAL);
        told = handle;
        return false;
      };
      std::uint64_t handle = 0;
      const std::int64_t result = is_import ? caller.import(fd.get(), handle) : caller.allocate(handle);
      caller.instead = nullptr, caller.faults_out = false;
      CHECK(result == (faults ? -EFAULT : 0));
      CHECK(told != 0);
      CHECK(caller.free(told) == (faults ? -EINVAL : 0));
    }
  }
  // While he gets a handle once more, he frees it as often as he had it: one reference is his after that.
  const auto handle = caller.buffer();
  const OwnedFd fd = caller.shared(handle);
  caller.instead = [&](const Reply& step) {
    if (step.step == Step::copy_out) CHECK(guesser.free(handle) == 0), CHECK(guesser.free(handle) == -EINVAL);
    return false;
  };
  CHECK(caller.imported(fd.get()) == handle);
  caller.instead = nullptr;
  CHECK(caller.free(handle) == 0);
  CHECK(caller.free(handle) == -EINVAL);
}
TEST_CASE_TEMPLATE_INVOKE(guessed, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A5 (CVE-2022-22942): a struct that cannot be written: no handle and no descriptor is left, whatever the command",
                          G, faults) {
  Scene<G::value> scene;
  for (const WordSize word : {WordSize::bits32, WordSize::bits64}) {
    scene.check_as(scene.before);  // nothing of the word size before
    IonCaller<G::value> maker(scene.host.name), caller(scene.host.name, O_RDWR, word);
    const OwnedFd fd = maker.shared(maker.buffer());
    const auto mine = caller.imported(fd.get());
    for (auto* one : {&maker, &caller}) CHECK(one->free(0) == -EINVAL);  // by now what their calls needed is closed in the server too
    const Counts counts = scene.counts();
    for (int time = 0; time < 50; ++time) {
      std::uint64_t handle = 0;
      caller.faults_out = true;
      if (caller.allocate(handle) != -EFAULT) CHECK(false);
      if (caller.import(fd.get(), handle) != -EFAULT) CHECK(false);
      if (G::value == g1 && caller.get_flags(mine) != -EFAULT) CHECK(false);
      static_cast<void>(caller.share(mine));  // whose struct faults closes what came with it
      caller.faults_out = false, caller.faults_in = true;
      for (const std::int64_t result :
           {caller.allocate(handle), caller.import(fd.get(), handle), caller.free(mine), caller.share(mine).result}) {
        if (result != -EFAULT) CHECK(result == -EFAULT);
      }
      caller.faults_in = false;
    }
    scene.check_as(counts);
    CHECK(caller.free(mine) == 0);
    CHECK(caller.free(mine) == -EINVAL);  // no reference more of the imports that failed
  }
}
TEST_CASE_TEMPLATE_INVOKE(faults, G1, G3);

TEST_CASE("A5: HEAP_QUERY whose records cannot be written") {
  Scene<g3> scene;
  IonCaller<g3> caller(scene.host.name);
  std::array<std::byte, 3 * 52> records;
  records.fill(filler);
  wire::IonQuery query{.count = 3, .heaps = reinterpret_cast<std::uintptr_t>(records.data())};
  CHECK(caller.call<wire::IonQueryWire>(8, query).result == 0);
  CHECK(query.count == 2);
  CHECK(std::all_of(records.begin() + 2 * 52, records.end(), [](std::byte one) { return one == filler; }));
  // Behind each name, and in what is reserved, are zeros.
  CHECK(std::all_of(records.begin() + 10, records.begin() + 32, [](std::byte one) { return one == std::byte{0}; }));
  CHECK(std::all_of(records.begin() + 40, records.begin() + 52, [](std::byte one) { return one == std::byte{0}; }));
  caller.faults_out = true;
  for (int time = 0; time < 10; ++time) {
    wire::IonQuery again{.count = 2, .heaps = reinterpret_cast<std::uintptr_t>(records.data())};
    CHECK(caller.call<wire::IonQueryWire>(8, again).result == -EFAULT);
  }
}

TEST_CASE_TEMPLATE_DEFINE("A6: lengths, alignments, masks, handles and offsets at every edge: refused, or granted and given back", G,
                          edges) {
  Scene<G::value> scene;
  constexpr std::array<std::uint64_t, 14> values = {0,
                                                    1,
                                                    page - 1,
                                                    page,
                                                    page + 1,
                                                    room,
                                                    room + 1,
                                                    0x7fffffff,
                                                    0x80000001,
                                                    0xffffffff,
                                                    0x100000001,
                                                    std::uint64_t{1} << 63,
                                                    ~std::uint64_t{0} - page + 1,
                                                    ~std::uint64_t{0}};
  for (const WordSize word : {WordSize::bits32, WordSize::bits64}) {
    IonCaller<G::value> caller(scene.host.name, O_RDWR, word);
    const auto mine = caller.buffer();
    for (const std::uint64_t length : values) {
      for (const std::uint64_t align : values) {
        std::uint64_t handle = 0;
        const auto got = caller.allocate(handle, length, carveout, align);
        const bool is_known = got == 0 || got == -EINVAL || got == -ENOMEM;
        const auto cut = word == WordSize::bits32 ? length & 0xffffffff : length;
        if (!is_known || (got == 0) != (handle != 0 && caller.free(handle) == 0)) CHECK(got == 0);
        if (got == 0 && (cut == 0 || cut > room)) CHECK(cut <= room);
      }
      std::uint64_t handle = 0;
      if (const auto got = caller.allocate(handle, page, static_cast<std::uint32_t>(length)); got == 0) CHECK(caller.free(handle) == 0);
      if (caller.share(length).result == 0) CHECK((G::value == g1 ? length : length & 0xffffffff) == mine);
      if (static_cast<std::uint32_t>(length) > 2 && G::value == g3) CHECK(caller.free(length) == -EINVAL);
      for (const std::uint64_t other : values) {
        if (G::value == g1 && caller.clean(mine, length, static_cast<std::uint32_t>(other), static_cast<std::uint32_t>(length)) == 0)
          CHECK(false);
      }
    }
  }
}
TEST_CASE_TEMPLATE_INVOKE(edges, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A10 (CVE-2015-8950): who gets memory that somebody filled sees zeros, of each heap", G, zeros) {
  Scene<G::value> scene;
  static constexpr std::array<std::byte, page> none = {};
  const auto is_zero = [](int fd) {
    std::array<std::byte, page> bytes;
    for (std::uint64_t at = 0; at < room; at += page) {
      if (::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)) != static_cast<ssize_t>(page)) return false;
      if (std::memcmp(bytes.data(), none.data(), bytes.size()) != 0) return false;
    }
    return true;
  };
  std::array<std::byte, page> full;
  full.fill(filler);
  for (const std::uint32_t heap : {system_heap, carveout}) {
    for (int time = 0; time < 20; ++time) {
      IonCaller<G::value> caller(scene.host.name);
      const auto handle = caller.buffer(room, heap);
      OwnedFd fd = caller.shared(handle);
      if (!is_zero(fd.get())) CHECK(false);
      for (std::uint64_t at = 0; at < room; at += page) {
        if (::pwrite(fd.get(), full.data(), full.size(), static_cast<off_t>(at)) != static_cast<ssize_t>(page)) CHECK(false);
      }
      // It ends by its handle, by its descriptor, or with its client: the next one waits for nothing.
      if (time % 3 == 0) fd = OwnedFd(-1), CHECK(caller.free(handle) == 0);
      if (time % 3 == 1) CHECK(caller.free(handle) == 0), fd = OwnedFd(-1);
    }
  }
}
TEST_CASE_TEMPLATE_INVOKE(zeros, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A12 (CVE-2021-39793): who has a descriptor for less than reading and writing does not import, and so shares nothing", G,
                          read_only) {
  Scene<G::value> scene;
  IonCaller<G::value> maker(scene.host.name), caller(scene.host.name);
  const OwnedFd fd = maker.shared(maker.buffer());
  for (const int access : {O_RDONLY, O_WRONLY, O_PATH}) {
    CAPTURE(access);
    const OwnedFd part(::open(path_of(fd.get()).c_str(), access | O_CLOEXEC));
    if (part.get() < 0) return;  // another user's
    std::uint64_t handle = 1;
    CHECK(caller.import(part.get(), handle) == (G::value == g1 ? 0 : -EACCES));
    CHECK(handle == (G::value == g1 ? 0 : 0xdead));  // G1's learns of no error
    CHECK(maker.import(part.get(), handle) == (G::value == g1 ? 0 : -EACCES));  // though he has it
    if (G::value == g3 && access == O_RDONLY) CHECK(caller.sync(part.get()) == 0);  // which writes nothing
  }
  CHECK(caller.free(caller.imported(fd.get())) == 0);
}
TEST_CASE_TEMPLATE_INVOKE(read_only, G1, G3);

TEST_CASE("A12: nor does /dev/ion-test write for him") {
  constexpr std::uint32_t set_fd = 0x49F0;
  RunningServer host(unused_name(), ion_board_of(g3) + "[[node]]\nsystem = \"ion-test\"\n");
  {
    IonCaller<g3> caller(host.name);
    const auto test = caller.client.open("/dev/ion-test", O_RDWR);
    const auto set = [&](int fd) {
      return caller.ask({.ask = Ask::ioctl, .number = set_fd, .address = static_cast<std::uint64_t>(fd)}, test.fd.get()).result;
    };
    const OwnedFd fd = caller.shared(caller.buffer());
    const OwnedFd to_read(::open(path_of(fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
    if (to_read.get() >= 0) CHECK(set(to_read.get()) == -EACCES);  // else it is another user's
    CHECK(set(fd.get()) == 0);
    CHECK(set(-1) == 0);
  }
  host.stop();
}

TEST_CASE("A12: a descriptor that was opened again to be read has views that nobody can write") {
  Scene<g1> scene;
  const ControlLink control(scene.host.name);
  IonCaller<g1> caller(scene.host.name);
  const OwnedFd fd = caller.shared(caller.buffer(2 * page));
  const OwnedFd to_read(::open(path_of(fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
  const OwnedFd to_write(::open(path_of(fd.get()).c_str(), O_WRONLY | O_CLOEXEC));
  if (to_read.get() < 0) return;  // another user's
  CHECK(caller.map(to_read.get(), 0, page) == -EACCES);
  CHECK(caller.map(to_write.get(), 0, page, PROT_READ) == -EACCES);
  for (const auto& [protection, flags] : {std::pair{PROT_READ, MAP_SHARED}, {PROT_READ | PROT_WRITE, MAP_PRIVATE}}) {
    const std::int64_t view = caller.map(to_read.get(), page, page, protection, flags);
    REQUIRE(view > 0);
    const auto parts = caller.ask({.ask = Ask::parts, .number = static_cast<std::uint64_t>(view)});
    CHECK(parts.result == page);
    const auto part = parts.payload<MapPart>();
    CHECK(part.offset == page);
    CHECK(part.length == page);
    CHECK((::fcntl(parts.fd.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
    CHECK(::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, parts.fd.get(), page) == MAP_FAILED);
    CHECK(caller.unmap(view) == 0);
  }
}

TEST_CASE_TEMPLATE_DEFINE("A13 (CVE-2016-5340): IMPORT and SYNC of files that are no buffers of this device's", G, kinds) {
  Scene<G::value> scene;
  RunningServer elsewhere(unused_name(), ion_board_of(G::value));
  {
    IonCaller<G::value> caller(scene.host.name), stranger(elsewhere.name);
    auto files = kinds_of_files("dmabuf", page);
    files.push_back({"another server's buffer", stranger.shared(stranger.buffer())});
    files.push_back({"another server's /dev/ion", OwnedFd(::dup(stranger.node.get()))});
    files.push_back({"/dev/ion", OwnedFd(::dup(caller.node.get()))});
    files.push_back({"its own connection", OwnedFd(::dup(caller.client.socket()))});
    files.push_back({"nothing", OwnedFd(-1)});
    for (const KindOfFile& one : files) {
      CAPTURE(one.kind);
      const std::int64_t why = one.fd.get() < 0 ? -EBADF : -EINVAL;
      std::uint64_t handle = 1;
      CHECK(caller.import(one.fd.get(), handle) == (G::value == g1 ? 0 : why));
      CHECK(handle == (G::value == g1 ? 0 : 0xdead));
      if (G::value == g3) CHECK(caller.sync(one.fd.get()) == why);
      if (G::value == g1) CHECK(caller.clean(0, 0, 0, page, one.fd.get()) == -EINVAL);
    }
  }
  elsewhere.stop();
}
TEST_CASE_TEMPLATE_INVOKE(kinds, G1, G3);

TEST_CASE("A14 (CVE-2022-38181): all that the system heap keeps is taken while buffers come, are shared and go") {
  RunningServer host(unused_name(), ion_board_of(g3) + "[[node]]\nsystem = \"ion-g4\"\npath = \"/dev/ion4\"\n");
  IonCaller<g3> caller(host.name);
  ServerClient shrinker(host.name);
  const auto opened = shrinker.open(reports + std::string("system/system_shrink"));
  REQUIRE(opened.result == 0);
  Request all{.ask = Ask::write, .payload_length = 2};
  std::memcpy(all.payload.data(), "0\n", 2);
  for (std::uint64_t round = 0; round < rounds(); ++round) {
    bool is_well = true;
    at_once([&] { is_well = shrinker.ask(all, opened.fd.get()).result == 2; },
            [&] {
              const auto handle = caller.buffer(17 * page, system_heap);
              const OwnedFd fd = caller.shared(handle);
              if (caller.free(handle) != 0 || ::pwrite(fd.get(), "x", 1, 16 * page) != 1) CHECK(false);
              if (caller.free(caller.imported(fd.get())) != 0) CHECK(false);
            });
    if (!is_well) CHECK(is_well);
  }
  CHECK(soon([&] { return shrinker.number("system/num_of_buffers") == 0 && host.board->device().buffer_count() == 0; }));
  CHECK(shrinker.ask(all, opened.fd.get()).result == 2);
  CHECK(shrinker.number("system/system_shrink") == 0);
  CHECK(host.board->device().lost().blocks == 0);
}

TEST_CASE_TEMPLATE_DEFINE("A15: programs that are killed with handles, descriptors and views leave nothing", G, killed) {
  const std::string name = unused_name();
  std::vector<std::unique_ptr<Other>> victims;
  for (unsigned number = 0; number < 12; ++number) {
    victims.push_back(std::make_unique<Other>(name, [](const std::string& server, const Connection& link) {
      const ControlLink control(server);
      std::vector<OwnedFd> kept;
      for (unsigned turn = 0; control.is_well; ++turn) {
        IonCaller<G::value> one(server), other(server);
        const auto handle = one.buffer(page, turn % 2 == 0 ? carveout : system_heap);
        kept.push_back(one.shared(handle));
        static_cast<void>(one.map(kept.back().get(), 0, page));
        static_cast<void>(other.imported(kept.back().get()));
        if (turn % 8 == 7) kept.clear();
        if (turn == 3 && !link.send(Other::Note{1})) return false;
      }
      return false;
    }));
  }
  Scene<G::value> scene(name);
  for (const auto& victim : victims) victim->begin();
  for (const auto& victim : victims) {
    CHECK(victim->next_note() == 1);
    victim->kill();
  }
  CHECK(scene.has_buffers(0));
}
TEST_CASE_TEMPLATE_INVOKE(killed, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A15: a thousand SHAREs of one buffer are as many descriptors of the program's, and one file of the server's", G,
                          flood) {
  Scene<G::value> scene;
  IonCaller<G::value> caller(scene.host.name);
  const auto handle = caller.buffer();
  std::vector<OwnedFd> fds;
  fds.push_back(caller.shared(handle));
  CHECK(caller.free(0) == -EINVAL);  // by now what the call before it needed is closed in the server too
  const Counts one = scene.counts();
  for (std::size_t number = 1; number < 900; ++number) {
    fds.push_back(caller.shared(handle));
    if (fds.back().get() < 0) break;
  }
  CHECK(caller.free(0) == -EINVAL);
  const Counts many = scene.counts();
  CHECK(many.files == one.files);
  CHECK(many.fds - one.fds == fds.size() - 1);  // this process is the program and the server
  CHECK(caller.free(handle) == 0);
  fds.erase(fds.begin() + 1, fds.end());
  CHECK(::pwrite(fds[0].get(), "x", 1, 0) == 1);
  CHECK(caller.free(caller.imported(fds[0].get())) == 0);
}
TEST_CASE_TEMPLATE_INVOKE(flood, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("A4, A15: SHAREs whose answers nobody reads keep the server from nothing, and end with their connection", G,
                          unread) {
  Scene<G::value> scene;
  IonCaller<G::value> maker(scene.host.name);
  const auto handle = maker.buffer();
  {
    IonCaller<G::value> greedy(scene.host.name, maker);
    std::array<std::byte, 16> bytes{};
    wire::IonFdWire<G::value>::write({.handle = handle}, bytes, WordSize::bits64);
    const auto length = static_cast<std::uint32_t>(wire::IonFdWire<G::value>::length(WordSize::bits64));
    Request share{.ask = Ask::ioctl, .number = wire::Command::of(wire::Direction::both, 'I', 4, length).code, .payload_length = length};
    std::memcpy(share.payload.data(), bytes.data(), length);
    const int node = greedy.node.get();
    int asked = 0;
    for (; asked < 10'000; ++asked) {
      pollfd space{greedy.client.socket(), POLLOUT, 0};
      if (::poll(&space, 1, 100) == 0) break;
      if (!greedy.client.send_bytes(std::as_bytes(std::span(&share, 1)), std::span(&node, 1), MSG_DONTWAIT)) break;
    }
    CHECK(asked > 10);
    CHECK(maker.shared(handle).get() >= 0);
    CHECK(maker.free(maker.buffer()) == 0);
  }
  CHECK(maker.free(handle) == 0);
}
TEST_CASE_TEMPLATE_INVOKE(unread, G1, G3);

namespace {

// How a step is answered wrongly. `dies`: in a process of its own, which is killed there.
enum class Lie {
  is_late,
  is_too_short,
  is_too_long,
  refuses,
  refuses_oddly,
  is_no_answer,
  has_a_stranger,
  has_two,
  has_none,
  hangs_up,
  dies
};
constexpr std::array<Lie, 10> lies = {Lie::is_late,      Lie::is_too_short,   Lie::is_too_long, Lie::refuses,  Lie::refuses_oddly,
                                      Lie::is_no_answer, Lie::has_a_stranger, Lie::has_two,     Lie::has_none, Lie::hangs_up};

// True where the step is answered, or never will be.
template <IonGeneration generation>
bool tell(IonCaller<generation>& caller, IonCaller<generation>& other, Lie lie, const Reply& step) {
  Request answer{.ask = Ask::copied};
  OwnedFd pipe_end(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  switch (lie) {
    case Lie::is_late:
      for (int time = 0; time < 3; ++time) {
        std::uint64_t handle = 0;
        if (other.allocate(handle) == 0) CHECK(other.free(handle) == 0);
      }
      return false;
    case Lie::is_too_short: answer.payload_length = 1; break;
    case Lie::is_too_long: answer.payload_length = most_payload; break;
    case Lie::refuses: answer.number = EFAULT; break;
    case Lie::refuses_oddly: answer.number = ~std::uint64_t{0} << 12; break;
    case Lie::is_no_answer: answer.ask = Ask::hello; break;
    case Lie::has_a_stranger: return caller.client.send(answer, pipe_end.get());
    case Lie::has_two: {
      const std::array<int, 2> two = {caller.node.get(), caller.node.get()};
      return caller.client.send_bytes(std::as_bytes(std::span(&answer, 1)), two);
    }
    case Lie::has_none: break;
    case Lie::hangs_up: return caller.client.disconnect(), true;
    case Lie::dies: return ::raise(SIGKILL) == 0;
  }
  if (step.step == Step::copy_in && lie == Lie::has_none) answer.payload_length = 0;
  return caller.client.send(answer);
}

// Each command that asks something back; false: there is no such one.
template <IonGeneration generation>
bool do_command(IonCaller<generation>& caller, unsigned command, std::uint64_t handle, int fd) {
  std::uint64_t made = 0;
  switch (command) {
    case 0: return caller.allocate(made), true;
    case 1: return caller.import(fd, made), true;
    case 2: return caller.share(handle), true;
    case 3: return generation == g1 ? caller.clean(0, page, 0, page, fd) : caller.sync(fd), true;
    case 4: return generation == g1 ? caller.clean(handle, page, 0, page) : caller.free(0), true;
    case 5: {
      std::array<std::byte, 3 * 52> records;
      wire::IonQuery query{.count = 3, .heaps = reinterpret_cast<std::uintptr_t>(records.data())};
      return generation == g1 ? caller.get_flags(handle) : caller.template call<wire::IonQueryWire>(8, query).result, true;
    }
    case 6: return caller.free(handle), true;
    default: return false;
  }
}
// Does it with a lie at that step. False: it has fewer.
template <IonGeneration generation>
bool lies_at(IonCaller<generation>& caller, IonCaller<generation>& other, unsigned command, std::uint64_t handle, int fd, unsigned at,
             Lie lie) {
  unsigned steps = 0;
  caller.instead = [&](const Reply& step) { return steps++ == at && tell(caller, other, lie, step); };
  do_command(caller, command, handle, fd);
  return steps > at;
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("each step of each command answered late, wrongly or never: his own calls fail, and nothing stays", G, lying) {
  Scene<G::value> scene;
  IonCaller<G::value> other(scene.host.name);
  unsigned told = 0;
  for (unsigned command = 0; command < 7; ++command) {
    for (const Lie lie : lies) {
      for (unsigned at = 0; at < 8; ++at) {
        IonCaller<G::value> caller(scene.host.name);
        const auto handle = caller.buffer();
        const OwnedFd fd = caller.shared(handle);
        if (!lies_at(caller, other, command, handle, fd.get(), at, lie)) break;
        ++told;
        // Of the same client: what he had he has, and no more than that.
        IonCaller<G::value> again(scene.host.name, caller);
        const bool is_freed = command == 6 && (lie == Lie::is_late || lie == Lie::has_a_stranger);
        CAPTURE(command);
        CAPTURE(static_cast<int>(lie));
        CAPTURE(at);
        const auto left = again.free(handle);
        if (left != 0 && command != 6) CHECK(left == (is_freed ? -EINVAL : 0));
      }
    }
  }
  CHECK(told > 80);
}
TEST_CASE_TEMPLATE_INVOKE(lying, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("programs that die in each step of each command", G, dying) {
  const std::string name = unused_name();
  std::vector<std::unique_ptr<Other>> victims;
  for (unsigned command = 0; command < 7; ++command) {
    for (unsigned at = 0; at < 3; ++at) {
      victims.push_back(std::make_unique<Other>(name, [command, at](const std::string& server, const Connection&) {
        IonCaller<G::value> caller(server), other(server);
        const auto handle = caller.buffer();
        const OwnedFd fd = caller.shared(handle);
        return !lies_at(caller, other, command, handle, fd.get(), at, Lie::dies);
      }));
    }
  }
  Scene<G::value> scene(name);
  for (const auto& victim : victims) victim->begin();
  unsigned lived = 0;
  for (const auto& victim : victims) lived += victim->ended_well() ? 1 : 0;
  CHECK(lived < victims.size() - 7);
  CHECK(scene.has_buffers(0));
}
TEST_CASE_TEMPLATE_INVOKE(dying, G1, G3);

TEST_CASE_TEMPLATE_DEFINE("row 25: a descriptor that is closed while its IMPORT is under way: the handle has the same bytes", G,
                          closed_while_imported) {
  Scene<G::value> scene;
  for (const bool is_closed_first : {false, true}) {
    IonCaller<G::value> maker(scene.host.name), caller(scene.host.name);
    const auto made = maker.buffer();
    OwnedFd fd = maker.shared(made);
    CHECK(::pwrite(fd.get(), "bytes", 5, 100) == 5);
    const auto close_all = [&] {
      fd = OwnedFd(-1);
      CHECK(maker.free(made) == 0);
    };
    caller.instead = [&](const Reply& step) {
      if (step.step == Step::copy_out) {
        if (!is_closed_first) close_all();
        // Nobody has its file any more; the handle that is just being made has the buffer.
        CHECK(soon([&] { return scene.host.server->files().reap(), scene.host.server->files().count() == 2; }));
        CHECK(scene.has_buffers(1));
      }
      if (step.step != Step::descriptor || !is_closed_first) return false;
      CHECK(caller.answer(step));
      close_all();
      return true;
    };
    const auto handle = caller.imported(fd.get());
    caller.instead = nullptr;
    const OwnedFd again = caller.shared(handle);
    std::array<char, 5> bytes{};
    CHECK(::pread(again.get(), bytes.data(), 5, 100) == 5);
    CHECK(std::memcmp(bytes.data(), "bytes", 5) == 0);
    CHECK(caller.client.who(again.get()).template payload<FileStatus>().size == page);
    CHECK(maker.imported(again.get()) != 0);
  }
}
TEST_CASE_TEMPLATE_INVOKE(closed_while_imported, G1, G3);

TEST_CASE(
    "A4, F6: a server that has no room for a descriptor in the middle of IMPORT and SHARE: that call fails, and the next one does not") {
  constexpr int few = 40;
  ServerProcess host(
      [] {
        for (int inherited = few; inherited < 1024; ++inherited) ::close(inherited);
        const rlimit limit{.rlim_cur = few, .rlim_max = few};
        ::setrlimit(RLIMIT_NOFILE, &limit);
      },
      ion_board_of(g3));
  IonCaller<g3> caller(host.name), filler_up(host.name);
  const auto handle = caller.buffer();
  const OwnedFd fd = caller.shared(handle);
  std::vector<Answered> held;
  std::vector<ServerClient> others;
  constexpr std::size_t most = few + 2;  // . and ..
  const auto fds = [&] { return entries_of(host.of_process("fd").c_str()); };
  const auto fill = [&] {
    while (held.empty() || held.back().result == 0) held.push_back(filler_up.client.open(ion));
    // Connections take what is left, and those that wait whatever else is let go.
    for (std::size_t have = fds(); have < most + 4; ++have) others.emplace_back(host.name);
    unsigned alike = 0;
    return soon([&] { return alike = fds() == most ? alike + 1 : 0, alike == 50; });
  };
  caller.instead = [&](const Reply& step) {
    if (step.step == Step::descriptor) CHECK(fill());
    return false;
  };
  std::uint64_t imported = 0;
  const auto refused = caller.import(fd.get(), imported);
  caller.instead = nullptr;
  CHECK(refused == -ENFILE);
  CHECK(soon([&] { return caller.share(handle).result == -ENFILE; }));
  held.clear(), others.clear();
  CHECK(soon([&] { return caller.share(handle).result == 0; }));
  CHECK(caller.import(fd.get(), imported) == 0);
  CHECK(imported == handle);
  CHECK(caller.free(handle) == 0);
  CHECK(caller.free(handle) == 0);
  CHECK(caller.free(handle) == -EINVAL);
  caller.client.disconnect(), filler_up.client.disconnect();
}

TEST_CASE("mmap of a buffer of the first generation: all of it, parts of it, and nothing beyond its end") {
  Scene<g1> scene;
  const ControlLink control(scene.host.name);
  IonCaller<g1> caller(scene.host.name);
  constexpr std::uint64_t pages = 4;
  const OwnedFd fd = caller.shared(caller.buffer(pages * page));
  for (std::uint64_t number = 0; number < pages; ++number) {
    const char mark = static_cast<char>('a' + number);
    CHECK(::pwrite(fd.get(), &mark, 1, static_cast<off_t>(number * page)) == 1);
  }
  for (std::uint64_t first = 0; first < pages + 2; ++first) {
    for (std::uint64_t count = 1; count < pages + 2; ++count) {
      CAPTURE(first);
      CAPTURE(count);
      const std::int64_t view = caller.map(fd.get(), first * page, count * page);
      const bool is_inside = first + count <= pages;
      CHECK((is_inside ? view > 0 : view == -EINVAL));
      if (view <= 0) continue;
      const auto parts = caller.ask({.ask = Ask::parts, .number = static_cast<std::uint64_t>(view)});
      CHECK(parts.result == static_cast<std::int64_t>(count * page));
      CHECK(parts.payload<MapPart>().offset == first * page);
      CHECK(parts.payload<MapPart>().length == count * page);
      void* const at =
          ::mmap(nullptr, static_cast<std::size_t>(count * page), PROT_READ, MAP_SHARED, parts.fd.get(), static_cast<off_t>(first * page));
      REQUIRE(at != MAP_FAILED);
      CHECK(*static_cast<const char*>(at) == static_cast<char>('a' + first));
      ::munmap(at, static_cast<std::size_t>(count * page));
      CHECK(caller.unmap(view) == 0);
    }
  }
  constexpr std::array<std::uint64_t, 6> far = {
      pages * page + 1, std::uint64_t{1} << 32, std::uint64_t{1} << 63, ~std::uint64_t{0} - page + 1, ~std::uint64_t{0} - pages * page + 1,
      ~std::uint64_t{0}};
  for (const std::uint64_t one : far) {
    for (const std::uint64_t other : {std::uint64_t{0}, page, one}) {
      CHECK(caller.map(fd.get(), one, other) == -EINVAL);
      CHECK(caller.map(fd.get(), other, one) == -EINVAL);
    }
  }
  CHECK(scene.host.server->views().count() == 0);
  CHECK(caller.map(caller.node.get(), 0, page) == -ENODEV);
}

TEST_CASE("row 12: EEXIST while another process maps the buffer in another way; its end makes the change possible") {
  const std::string name = unused_name();
  const auto map_one = [](const std::string& server, const Connection& link) {
    const ControlLink control(server);
    IonCaller<g1> caller(server);
    auto came = link.receive<Other::Note, 1>();
    const OwnedFd fd = came ? came->fds.take(0) : OwnedFd(-1);
    const std::int64_t view = caller.map(fd.get(), 0, page);
    if (caller.free(0) != -EINVAL) return false;  // by now what the call before it needed is closed in the server too
    if (!link.send(Other::Note{view > 0 ? 1U : 2U}) || !link.receive<Other::Note>()) return false;  // until it is killed, or told
    return caller.unmap(view) == 0 && static_cast<bool>(link.send(Other::Note{3}));
  };
  Other first(name, map_one), second(name, map_one);
  Scene<g1> scene(name);
  first.begin(), second.begin();
  const ControlLink control(name);
  IonCaller<g1> cached(name), uncached(name, O_RDWR | O_DSYNC);
  const auto handle = cached.buffer(2 * page);
  const OwnedFd fd = cached.shared(handle);
  const auto theirs = uncached.imported(fd.get());
  CHECK(uncached.share(theirs).result == 0);  // nobody maps it
  CHECK(cached.share(handle).result == 0);
  for (const Other* other : {&first, &second}) {
    CHECK(other->link().send(Other::Note{}, fd));
    CHECK(other->next_note() == 1);
  }
  CHECK(cached.free(0) == -EINVAL);
  CHECK(uncached.free(0) == -EINVAL);  // by now what their SHAREs needed is closed in the server too
  const Counts mapped = scene.counts();
  for (int time = 0; time < 20; ++time) {
    CHECK(uncached.share(theirs).result == -EEXIST);
    CHECK(uncached.share(theirs, 2).result == -EEXIST);
    CHECK(cached.share(handle).result == 0);
  }
  scene.check_as(mapped);
  CHECK(first.link().send(Other::Note{}));
  CHECK(first.next_note() == 3);
  CHECK(uncached.share(theirs).result == -EEXIST);
  second.kill();
  CHECK(soon([&] { return uncached.share(theirs).result == 0; }));
  // What is uncached now is not to be cached while this process maps it.
  const std::int64_t view = uncached.map(fd.get(), 0, page);
  CHECK(view > 0);
  CHECK(cached.share(handle).result == -EEXIST);
  CHECK(uncached.unmap(view) == 0);
  CHECK(cached.share(handle).result == 0);
}

TEST_CASE("row 20, weakness 9: lies about what is mapped where a cache operation asks for it") {
  const std::string name = unused_name();
  Other other(name, [](const std::string& server, const Connection& link) {
    const ControlLink control(server);
    IonCaller<g1> caller(server);
    auto came = link.receive<Other::Note, 1>();
    const OwnedFd fd = came ? came->fds.take(0) : OwnedFd(-1);
    const std::int64_t view = caller.map(fd.get(), 0, 2 * page);
    return link.send(Other::Note{static_cast<std::uint64_t>(view)}) && link.receive<Other::Note>();
  });
  Scene<g1> scene(name);
  other.begin();
  const ControlLink control(name);
  IonCaller<g1> caller(name);
  const auto handle = caller.buffer(4 * page), another = caller.buffer(4 * page);
  const OwnedFd fd = caller.shared(handle), fd_of_another = caller.shared(another);
  CHECK(other.link().send(Other::Note{}, fd));
  const auto of_other_process = other.next_note();
  const auto mine = static_cast<std::uint64_t>(caller.map(fd.get(), page, 2 * page));
  const auto of_another = static_cast<std::uint64_t>(caller.map(fd_of_another.get(), 0, 2 * page));
  constexpr std::uint64_t at = looked_at;
  const auto says = [&](const MappedView& view, std::uint64_t address = looked_at, std::uint32_t length = page) {
    caller.view = view;
    const auto by_handle = caller.clean(handle, address, 0, length);
    CHECK(caller.clean(0, address, 0, length, fd.get()) == by_handle);
    return by_handle;
  };
  CHECK(says({at, 2 * page, mine, 0}) == 0);
  CHECK(says({at, page, mine, page}) == 0);
  CHECK(says({at - page, 2 * page, mine, 0}) == 0);
  CHECK(says({}) == -EINVAL);
  CHECK(says({at, 2 * page, of_another, 0}) == -EINVAL);
  CHECK(says({at, 2 * page, of_other_process, 0}) == -EINVAL);
  for (const std::uint64_t nobodys : {std::uint64_t{1}, mine + 1, ~std::uint64_t{0}}) CHECK(says({at, 2 * page, nobodys, 0}) == -EINVAL);
  // Not at that address, or not all of it.
  CHECK(says({at + page, 2 * page, mine, 0}) == -EINVAL);
  CHECK(says({at - page, page, mine, 0}) == -EINVAL);
  CHECK(says({at, 2 * page, mine, 0}, at, 2 * page + 1) == -EINVAL);
  CHECK(says({at, 2 * page, mine, 0}, at + page + 1) == -EINVAL);
  // More than the view has.
  constexpr auto last = ~std::uint64_t{0};
  for (const auto& [length, of_view] : {std::pair{3 * page, std::uint64_t{0}},
                                        {2 * page, page},
                                        {page, 2 * page},
                                        {last, std::uint64_t{0}},
                                        {page, last - page + 1},
                                        {2 * page, last},
                                        {last - at, last - page}}) {
    CHECK(says({at, length, mine, of_view}) == -EINVAL);
  }
  CHECK(says({last - page + 1, 2 * page, mine, 0}, last - page + 1, 2 * page) == -EINVAL);
  CHECK(caller.unmap(static_cast<std::int64_t>(mine)) == 0);
  CHECK(says({at, 2 * page, mine, 0}) == -EINVAL);
  CHECK(other.link().send(Other::Note{}));
  CHECK(other.ended_well());
}
