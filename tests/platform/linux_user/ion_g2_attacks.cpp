// What programs that mean harm may do to the second generation's ION by what is its own: two layouts of ALLOC, and CUSTOM with its
// ranges of caches, PREFETCH and DRAIN. (What it shares with the others: ion_attacks.cpp.)
#include <freestone/platform/linux_user/server.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/command.hpp>
#include <freestone/device/ion/calls.hpp>

#include "support/ion_attackers.hpp"

using namespace freestone::linux_user;
using namespace freestone::tests;
using namespace freestone::tests::attackers;
using freestone::Connection;

namespace {

constexpr IonGeneration g1 = IonGeneration::g1, g2 = IonGeneration::g2;
constexpr std::uint32_t prefetch = 3, drain = 4;
constexpr std::int32_t no_fd = -1;
constexpr std::uint64_t argument_at = 0x7000;  // where what CUSTOM is about is said to be
constexpr std::uint64_t mapped_at = 0x10000;   // and a view
constexpr std::array<WordSize, 2> words = {WordSize::bits32, WordSize::bits64};

template <class W>
std::uint32_t code(char magic, unsigned number, WordSize word) {
  return wire::Command::of(wire::Direction::both, magic, number, static_cast<std::uint32_t>(W::length(word))).code;
}

struct G2Caller : IonCaller<g2> {
  using IonCaller<g2>::IonCaller;

  std::function<bool(const Reply&)> meanwhile;  // as `instead`, while CUSTOM is under way
  bool is_unreadable = false;                   // what CUSTOM is about
  unsigned looks = 0;                           // how often somebody looked at that

  template <class W>
  std::int64_t custom(std::uint32_t command, const typename W::Struct& values) {
    instead = [&](const Reply& step) {
      if (step.step != Step::copy_in || step.address != argument_at) return meanwhile != nullptr && meanwhile(step);
      ++looks;
      Request answer{.ask = Ask::copied};
      if (is_unreadable) answer.number = EFAULT;
      if (!is_unreadable) answer.payload_length = static_cast<std::uint32_t>(step.length);
      W::write(values, answer.payload, word);
      return client.send(answer);
    };
    wire::IonCustom wanted{.command = command, .argument = argument_at};
    const auto got = call<wire::IonCustomWire>(6, wanted).result;
    instead = nullptr;
    return got;
  }
  // CLEAN, INV or CLEAN_INV.
  std::int64_t maintain(unsigned number, const wire::IonCacheCall& range) {
    return custom<wire::IonCacheWire>(code<wire::IonCacheWire>('M', number, word), range);
  }
  std::int64_t maintain_all(std::uint64_t handle, int fd = no_fd) { return maintain(2, {.handle = handle, .fd = fd}); }
  // PREFETCH or DRAIN.
  std::int64_t reserve(unsigned number, std::int32_t heap, std::uint64_t length) {
    return custom<wire::IonPrefetchWire>(code<wire::IonPrefetchWire>('M', number, word), {.heap = heap, .length = length});
  }

  // ALLOC, as this generation has it, or in the first one's layout (which has a number of its own for callers of 32 bits).
  template <IonGeneration layout>
  std::int64_t allocate_as(std::uint64_t& handle, std::uint32_t mask = carveout, std::uint32_t flags = 0) {
    wire::IonAllocation wanted{.length = page, .heap_mask = mask, .flags = flags};
    const auto got = call<wire::IonAllocationWire<layout>>(0, wanted);
    handle = wanted.handle;
    return got.result;
  }
  std::int64_t allocate_old(std::uint64_t& handle, std::uint32_t mask = carveout) { return allocate_as<g1>(handle, mask); }
  // It must be had. Of one that is not cached no operation has anything to do.
  std::uint64_t cached(std::uint64_t length = page, std::uint32_t heaps = carveout) {
    wire::IonAllocation wanted{.length = length, .heap_mask = heaps, .flags = wire::ion_flag::cached};
    if (call<wire::IonAllocationWire<g2>>(0, wanted).result != 0) CHECK(false);
    return wanted.handle;
  }
};

// Each command that names a handle refuses it.
void check_refused(G2Caller& program, std::uint64_t handle) {
  CAPTURE(handle);
  CHECK(program.free(handle) == -EINVAL);
  CHECK(program.share(handle).result == -EINVAL);
  CHECK(program.share(handle, 2).result == -EINVAL);
  CHECK(program.get_flags(handle) == -EINVAL);
  for (unsigned number = 0; number < 3; ++number) CHECK(program.maintain(number, {.handle = handle, .fd = no_fd}) == -EINVAL);
}

}  // namespace

TEST_CASE("G2, A1 (CVE-2016-9120): FREE beside a cache operation, DRAIN and PREFETCH: each is done, or refused") {
  Scene<g2> scene;
  G2Caller one(scene.host.name), other(scene.host.name, one);
  for (std::uint64_t round = 0; round < 2 * rounds(); ++round) {
    const auto handle = one.cached(page, system_heap);
    std::int64_t freed = 1, done = 1;
    const auto act = [&] {
      if (round % 2 == 0) return other.maintain_all(handle);
      return other.reserve(round % 4 == 1 ? drain : prefetch, 0, 0);
    };
    at_once([&] { freed = one.free(handle); }, [&] { done = act(); });
    if (freed != 0) CHECK(freed == 0);
    if (done != 0 && (round % 2 != 0 || done != -EINVAL)) CHECK(done == 0);
  }
  CHECK(scene.has_buffers(0));
}

TEST_CASE("G2, A1, A16 (CVE-2021-0929): all that has the buffer ends in the middle of an operation on its cache") {
  Scene<g2> scene;
  const ControlLink control(scene.host.name);
  for (const WordSize word : words) {
    for (const bool is_by_handle : {true, false}) {
      for (const bool is_closed : {false, true}) {
        G2Caller program(scene.host.name, O_RDWR, word), other(scene.host.name, program);
        const auto handle = program.cached(2 * page);
        OwnedFd fd = program.shared(handle);
        const std::int64_t view = program.map(fd.get(), 0, 2 * page);
        program.view = {mapped_at, 2 * page, static_cast<std::uint64_t>(view), 0};
        bool is_asked = false;
        program.meanwhile = [&](const Reply& step) {
          if (step.step != Step::view_at) return false;
          is_asked = true;
          CHECK(other.free(handle) == 0);
          if (is_closed) fd = OwnedFd(-1), CHECK(other.free(handle) == -EINVAL);
          CHECK(scene.has_buffers(1));  // the operation's
          return false;
        };
        const wire::IonCacheCall range{.handle = is_by_handle ? handle : 0, .fd = fd.get(), .address = mapped_at, .length = page};
        const auto done = program.maintain(1, range);
        CHECK(is_asked);
        CHECK((done == 0 || (is_closed && is_by_handle && done == -EINVAL)));  // by then it may be nobody's
        CHECK(program.unmap(view) == 0);
        fd = OwnedFd(-1);
        CHECK(scene.has_buffers(0));
      }
    }
  }
}

TEST_CASE("G2, A1, A16: two processes and their threads import, maintain, drain and free the same buffers") {
  const std::string name = unused_name();
  const auto play = [steps = rounds() / 2](unsigned which, const std::string& server, const Connection& link) {
    G2Caller one(server), second(server, one);
    const ControlLink control(server);
    Random random(seed() + which);
    bool is_well = control.is_well;
    for (std::uint64_t step = 0; is_well && step < steps; ++step) {
      const auto handle = one.cached(page, random.chance(50) ? carveout : system_heap);
      if (!link.send(Other::Note{step}, one.shared(handle))) return false;
      auto came = link.receive<Other::Note, 1>();
      if (!came) return false;
      const OwnedFd fd = came->fds.take(0);
      const auto theirs = one.imported(fd.get());
      const std::int64_t view = one.map(fd.get(), 0, page);
      second.view = {mapped_at, page, static_cast<std::uint64_t>(view), 0};
      const wire::IonCacheCall range{.handle = random.chance(50) ? theirs : 0, .fd = fd.get(), .address = mapped_at, .length = page};
      std::int64_t freed = 1, done = 1;
      at_once([&] { freed = one.free(theirs); },
              [&] { done = random.chance(80) ? second.maintain(which % 3, range) : second.reserve(drain, 0, 0); });
      is_well = freed == 0 && (done == 0 || (range.handle != 0 && done == -EINVAL)) && view > 0;
      if (step > 50 || random.chance(50)) is_well = is_well && one.unmap(view) == 0;  // else it ends with the process
      is_well = is_well && one.free(handle) == 0 && one.free(handle) == -EINVAL;
    }
    return is_well;
  };
  Other first(name, [&](const std::string& server, const Connection& link) { return play(1, server, link); });
  Other second(name, [&](const std::string& server, const Connection& link) { return play(2, server, link); });
  Scene<g2> scene(name);
  first.begin(), second.begin();
  exchange(first, second);
}

TEST_CASE("G2, A2, row 26: he lets go as often as he got it, however he got it; what failed was none") {
  Scene<g2> scene;
  for (const WordSize word : words) {
    G2Caller owner(scene.host.name), program(scene.host.name, O_RDWR, word);
    const auto theirs = owner.cached();
    const OwnedFd fd = owner.shared(theirs);
    std::uint64_t handle = 0;
    for (int time = 0; time < 100; ++time) {
      handle = program.imported(fd.get());
      std::uint64_t none = 1;
      CHECK(program.import(program.node.get(), none) == 0);  // which is told by no handle
      CHECK(none == 0);
      CHECK(program.maintain_all(handle) == 0);  // they keep nothing
      CHECK(program.maintain_all(0, fd.get()) == 0);
    }
    for (int time = 0; time < 100; ++time) CHECK(program.free(handle) == 0);
    check_refused(program, handle);
    CHECK(owner.maintain_all(theirs) == 0);
    CHECK(owner.free(theirs) == 0);
    check_refused(owner, theirs);
  }
}

TEST_CASE("G2, A2: handles of ended clients, of others, of another word, and numbers near those that are there") {
  Scene<g2> scene;
  G2Caller program(scene.host.name), other(scene.host.name);
  std::vector<std::uint64_t> strange = {0, 1, ~std::uint64_t{0}, 0x80000000U, 0xc0000000U, other.cached(), other.cached()};
  {
    G2Caller gone(scene.host.name);
    strange.push_back(gone.cached());
  }
  const auto mine = program.cached(), freed = program.cached();
  CHECK(program.free(freed) == 0);
  strange.push_back(freed);
  for (unsigned bit = 0; bit < 64; ++bit) strange.push_back(mine ^ std::uint64_t{1} << bit);
  for (const std::uint64_t handle : strange) check_refused(program, handle);
  program.word = WordSize::bits32;
  check_refused(program, mine);
  program.word = WordSize::bits64;
  CHECK(program.free(mine) == 0);
}

TEST_CASE("G2, A3 (CVE-2022-50417): a handle that either ALLOC is just telling of is nobody's yet") {
  Scene<g2> scene;
  for (const WordSize word : words) {
    for (const bool is_old : {false, true}) {
      if (is_old && word == WordSize::bits64) continue;  // one number for both layouts: this generation's is read
      for (const bool faults : {false, true}) {
        G2Caller program(scene.host.name, O_RDWR, word), guesser(scene.host.name, program);
        std::uint64_t told = 0;
        program.faults_out = faults;
        program.instead = [&](const Reply& step) {
          if (step.step != Step::copy_out) return false;
          told = is_old ? wire::IonAllocationWire<g1>::read(step.payload, word).handle
                        : wire::IonAllocationWire<g2>::read(step.payload, word).handle;
          CHECK(told != 0);
          check_refused(guesser, told);
          return false;
        };
        std::uint64_t handle = 0;
        const auto got = is_old ? program.allocate_old(handle) : program.allocate_as<g2>(handle);
        CHECK(got == (faults ? -EFAULT : 0));
        program.instead = nullptr, program.faults_out = false;
        CHECK(told != 0);
        CHECK(program.free(told) == (faults ? -EINVAL : 0));
      }
    }
  }
}

TEST_CASE("G2, A5 (CVE-2022-22942): what cannot be read or written, of CUSTOM's two structs too: nothing is done, and nothing is left") {
  Scene<g2> scene;
  for (const WordSize word : words) {
    scene.check_as(scene.before);  // nothing of the word size before
    G2Caller maker(scene.host.name), program(scene.host.name, O_RDWR, word);
    const OwnedFd fd = maker.shared(maker.cached());
    const auto mine = program.imported(fd.get());
    for (auto* one : {&maker, &program}) CHECK(one->free(0) == -EINVAL);  // by now what their calls needed is closed in the server too
    const Counts counts = scene.counts();
    std::uint64_t handle = 0;
    for (int time = 0; time < 20; ++time) {
      program.faults_out = true;
      CHECK(program.allocate_as<g2>(handle) == -EFAULT);
      if (word == WordSize::bits32) CHECK(program.allocate_old(handle) == -EFAULT);
      CHECK(program.import(fd.get(), handle) == -EFAULT);
      CHECK(program.get_flags(mine) == -EFAULT);
      CHECK(program.maintain_all(mine) == 0);  // CUSTOM writes nothing
      CHECK(program.reserve(drain, 0, 0) == 0);
      program.faults_out = false, program.is_unreadable = true;
      CHECK(program.maintain_all(mine) == -EFAULT);
      CHECK(program.maintain_all(0, fd.get()) == -EFAULT);
      CHECK(program.reserve(drain, 0, 0) == -EFAULT);
      program.is_unreadable = false, program.faults_in = true;
      program.looks = 0;
      CHECK(program.maintain_all(mine) == -EFAULT);
      CHECK(program.looks == 0);
      program.faults_in = false;
      CHECK(program.maintain_all(mine) == 0);
      CHECK(program.looks == 1);  // so nobody changes it between two looks
    }
    scene.check_as(counts);
    CHECK(program.free(mine) == 0);
    CHECK(program.free(mine) == -EINVAL);
  }
}

TEST_CASE("G2, A6: addresses, offsets and lengths of a range at every edge: done where all of it is the buffer's, and else refused") {
  Scene<g2> scene;
  const ControlLink control(scene.host.name);
  constexpr std::uint64_t pages = 4, shown = 2 * page, last = ~std::uint64_t{0};
  constexpr std::array<std::uint64_t, 14> addresses = {0, 1, mapped_at - 1, mapped_at, mapped_at + 1, mapped_at + page,
                                                       mapped_at + shown - 1, mapped_at + shown, mapped_at + shown + 1, 0xfffff000,
                                                       0xffffffff, (std::uint64_t{1} << 32) + mapped_at, last - page + 1, last};
  constexpr std::array<std::uint32_t, 11> lengths = {0, 1, page - 1, page, page + 1, shown - 1, shown, shown + 1, 0x7fffffff, 0x80000000,
                                                     0xffffffff};
  constexpr std::array<std::uint32_t, 9> offsets = {0, 1, page, 3 * page, 4 * page - 1, 4 * page, 4 * page + 1, 0x80000000, 0xffffffff};
  for (const WordSize word : words) {
    G2Caller program(scene.host.name, O_RDWR, word);
    const auto handle = program.cached(pages * page);
    const OwnedFd fd = program.shared(handle);
    const std::int64_t view = program.map(fd.get(), page, shown);  // the middle of it
    program.view = {mapped_at, shown, static_cast<std::uint64_t>(view), 0};
    unsigned done = 0, number = 0;
    const auto expected = [&](std::uint64_t address, std::uint32_t length, std::uint32_t offset) {
      if (address == 0) return true;  // the whole buffer
      const bool is_at = address >= mapped_at && address < mapped_at + shown && length <= mapped_at + shown - address;
      return is_at && (length != 0 || address != mapped_at) && length <= pages * page && offset <= pages * page - length;
    };
    for (const std::uint64_t address : addresses) {
      const std::uint64_t cut = word == WordSize::bits32 ? address & 0xffffffff : address;
      for (const std::uint32_t length : lengths) {
        for (const std::uint32_t offset : offsets) {
          const bool is_good = expected(cut, length, offset);
          wire::IonCacheCall range{.handle = handle, .fd = no_fd, .address = address, .offset = offset, .length = length};
          if (++number % 2 == 0) range.handle = 0, range.fd = fd.get();
          const auto got = program.maintain(number % 3, range);
          done += got == 0 ? 1 : 0;
          if (got == (is_good ? 0 : -EINVAL)) continue;
          CAPTURE(address);
          CAPTURE(length);
          CAPTURE(offset);
          CHECK(got == (is_good ? 0 : -EINVAL));
        }
      }
    }
    CHECK(done > lengths.size() * offsets.size());
    CHECK(program.unmap(view) == 0);
  }
}

TEST_CASE("G2, A6: heaps and lengths of PREFETCH and DRAIN at every edge, and nothing that somebody has goes") {
  Scene<g2> scene;
  constexpr std::uint64_t system_size = 16 << 20;
  for (const WordSize word : words) {
    G2Caller program(scene.host.name, O_RDWR, word);
    const OwnedFd fd = program.shared(program.cached(page, system_heap));
    CHECK(::pwrite(fd.get(), "kept", 4, 0) == 4);
    for (const std::int32_t heap : {0, 1, 2, 31, 32, -1, 0x7fffffff, -0x7fffffff - 1}) {
      for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{1}, room, room + 1, system_size, system_size + 1,
                                         std::uint64_t{0xffffffff}, std::uint64_t{1} << 32, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        CAPTURE(heap);
        CAPTURE(length);
        const std::uint64_t cut = word == WordSize::bits32 ? length & 0xffffffff : length;
        const bool is_good = (heap == 0 && cut <= system_size) || (heap == 1 && cut <= room);
        for (const unsigned number : {prefetch, drain}) CHECK(program.reserve(number, heap, length) == (is_good ? 0 : -EINVAL));
      }
    }
    std::array<char, 4> bytes{};
    CHECK(::pread(fd.get(), bytes.data(), bytes.size(), 0) == 4);
    CHECK(std::memcmp(bytes.data(), "kept", 4) == 0);
  }
}

TEST_CASE("G2, A6: heaps are the mask's and flags are the flags': neither is taken for the other, in either layout") {
  Scene<g2> scene;
  G2Caller program(scene.host.name, O_RDWR, WordSize::bits32), wide(scene.host.name);
  std::uint64_t handle = 0;
  for (unsigned bit = 0; bit < 32; ++bit) {
    const std::uint32_t one = 1U << bit;
    CAPTURE(bit);
    CHECK(program.allocate_as<g2>(handle, 0, one) == -ENODEV);
    CHECK(program.allocate_as<g2>(handle, carveout, one) == (bit == 31 ? -ENODEV : 0));  // no heap here is secure
    if (bit != 31) CHECK(program.free(handle) == 0);
    for (const auto got : {program.allocate_old(handle, one), wide.allocate_as<g2>(handle, one)}) CHECK(got == (bit < 2 ? 0 : -ENODEV));
    CHECK(program.allocate_old(handle, carveout | one) == (bit == 31 ? -ENODEV : 0));
  }
}

TEST_CASE("G2, A12 (CVE-2021-39793): one who may only read has views that nobody can write, no handle, and operations that write nothing") {
  Scene<g2> scene;
  const ControlLink control(scene.host.name);
  G2Caller program(scene.host.name);
  const OwnedFd fd = program.shared(program.cached(2 * page));
  CHECK(::pwrite(fd.get(), "kept", 4, page) == 4);
  const OwnedFd to_read(::open(path_of(fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (to_read.get() < 0) return;  // another user's
  CHECK(program.map(to_read.get(), 0, page) == -EACCES);
  const std::int64_t view = program.map(to_read.get(), page, page, PROT_READ);
  REQUIRE(view > 0);
  program.view = {mapped_at, page, static_cast<std::uint64_t>(view), 0};
  for (unsigned number = 0; number < 3; ++number) {
    CHECK(program.maintain(number, {.fd = to_read.get(), .address = mapped_at, .length = page}) == 0);
    CHECK(program.maintain(number, {.fd = to_read.get()}) == 0);
  }
  std::uint64_t handle = 1;
  CHECK(program.import(to_read.get(), handle) == 0);  // which he could share again, to write
  CHECK(handle == 0);
  const auto parts = program.ask({.ask = Ask::parts, .number = static_cast<std::uint64_t>(view)});
  CHECK((::fcntl(parts.fd.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
  CHECK(::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, parts.fd.get(), page) == MAP_FAILED);
  std::array<char, 4> bytes{};
  CHECK(::pread(fd.get(), bytes.data(), bytes.size(), page) == 4);
  CHECK(std::memcmp(bytes.data(), "kept", 4) == 0);
  CHECK(program.unmap(view) == 0);
}

TEST_CASE("G2, A13 (CVE-2016-5340): IMPORT and cache operations of files that are no buffers of this device's") {
  Scene<g2> scene;
  RunningServer elsewhere(unused_name(), ion_board_of(g2));
  {
    G2Caller program(scene.host.name), stranger(elsewhere.name);
    auto files = kinds_of_files("dmabuf", page);
    files.push_back({"another server's buffer", stranger.shared(stranger.cached())});
    files.push_back({"/dev/ion", OwnedFd(::dup(program.node.get()))});
    files.push_back({"its own connection", OwnedFd(::dup(program.client.socket()))});
    files.push_back({"nothing", OwnedFd(-1)});
    for (const KindOfFile& one : files) {
      CAPTURE(one.kind);
      std::uint64_t handle = 1;
      CHECK(program.import(one.fd.get(), handle) == 0);
      CHECK(handle == 0);
      CHECK(program.maintain_all(0, one.fd.get()) == -EINVAL);
      CHECK(program.maintain(0, {.fd = one.fd.get(), .address = mapped_at, .length = page}) == -EINVAL);
    }
    for (const std::int32_t fd : {-2, -0x7fffffff - 1, 0x7fffffff}) CHECK(program.maintain_all(0, fd) == -EINVAL);
  }
  elsewhere.stop();
}

TEST_CASE("G2, A13 (CVE-2023-20768): CUSTOM with numbers of other words, generations, magics and lengths: ENOTTY before anything is read") {
  Scene<g2> scene;
  for (const WordSize word : words) {
    G2Caller program(scene.host.name, O_RDWR, word);
    const auto handle = program.cached();
    const WordSize other = word == WordSize::bits32 ? WordSize::bits64 : WordSize::bits32;
    std::vector<std::uint32_t> wrong = {0, ~std::uint32_t{0}, code<wire::IonCustomWire>('I', 6, word), 0xC0184D00, 0xC0184D02};
    for (unsigned number = 0; number < 3; ++number) {
      wrong.push_back(code<wire::IonCacheWire>('M', number, other));
      wrong.push_back(code<wire::IonCacheWire>('I', number + 7, word));
      wrong.push_back(code<wire::IonPrefetchWire>('M', number, word));
      CHECK(program.maintain(number, {.handle = handle, .fd = no_fd}) == 0);
    }
    for (unsigned number = 3; number < 16; ++number) wrong.push_back(code<wire::IonCacheWire>('M', number, word));
    for (unsigned bit = 2; bit < 32; ++bit) wrong.push_back(code<wire::IonCacheWire>('M', 0, word) ^ 1U << bit);
    program.looks = 0;
    for (const std::uint32_t one : wrong) {
      CAPTURE(one);
      CHECK(program.custom<wire::IonCacheWire>(one, {.handle = handle, .fd = no_fd}) == -ENOTTY);
    }
    CHECK(program.looks == 0);
    // Nor are they commands of the file's own.
    for (unsigned number = 0; number < 3; ++number) {
      wire::IonCacheCall range{.handle = handle, .fd = no_fd};
      CHECK(program.call<wire::IonCacheWire>(number + 7, range).result == -ENOTTY);
    }
  }
}
