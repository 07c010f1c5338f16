// /dev/msm_ion_test (shared/spec: ION 1.6, 1.7; rows 1, 5, 9, 12, 13, 15, 25, 28).
#include <freestone/device/ion/msm_test_file.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/device_calls.hpp"
#include "support/ion_kernel_scene.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

using Kernel = KernelScene::Kernel;
using File = IonMsmTestFile<Kernel, lock::Futex>;
constexpr IonGeneration g1 = IonGeneration::g1, g2 = IonGeneration::g2, g3 = IonGeneration::g3;
constexpr std::uint32_t all_types = ~std::uint32_t{0};
constexpr std::size_t at = 0x100, name_at = 0x1000;  // of the struct, and of the text, in the caller's memory

// The same for callers of 32 and of 64 bits.
enum Code : std::uint32_t {
  kclient_create = 0x40104D00,
  kclient_destroy = 0x00004D01,
  kalloc = 0x40184D02,
  kfree = 0x00004D03,
  kphys = 0x80104D04,
  kmap = 0x40044D05,
  kumap = 0x00004D06,
  uimport = 0x40044D07,
  write_verify = 0x40044D08,
  verify = 0x40044D09,
  ubuf_flags = 0x80044D0A,
  ubuf_size = 0x80084D0B,
  sec = 0x40104D0C,
  unsec = 0x40104D0D,
  find_proper_heap = 0xC0184D0E,
};
constexpr Code all_codes[] = {kclient_create, kclient_destroy, kalloc, kfree, kphys, kmap, kumap, uimport,
                              write_verify, verify, ubuf_flags, ubuf_size, sec, unsec, find_proper_heap};

// The node, opened, by a caller who writes his structs byte by byte.
struct Opened {
  explicit Opened(Kernel& kernel, WordSize word = WordSize::bits64) : caller(word), file(std::in_place, kernel) { name("tester"); }

  void name(const std::string& text) {
    for (std::size_t i = 0; i <= text.size(); ++i) caller.put(name_at + i, text.c_str()[i]);
  }
  Answer call(std::uint32_t code) { return file->ioctl(caller, Command{code}, Caller::start + at); }
  Answer number(Code code, std::uint32_t value) { return caller.put(at, value), call(code); }

  void put_client(std::uint32_t types, std::uint64_t name) {
    caller.put(at, name);
    caller.put(at + 8, types);
  }
  Answer create(std::uint32_t types = all_types, std::uint64_t name = Caller::start + name_at) {
    return put_client(types, name), call(kclient_create);
  }
  void put_wanted(std::uint32_t mask, std::uint64_t length, std::uint32_t flags, std::uint64_t align) {
    caller.put(at, length);
    caller.put(at + 8, align);
    caller.put(at + 16, mask);
    caller.put(at + 20, flags);
  }
  Answer alloc(std::uint32_t mask, std::uint64_t length = 8192, std::uint32_t flags = 0, std::uint64_t align = 0) {
    return put_wanted(mask, length, flags, align), call(kalloc);
  }
  Answer find(std::uint32_t mask, std::uint64_t length = 8192, std::uint32_t flags = 0) {
    return put_wanted(mask, length, flags, 0), call(find_proper_heap);
  }
  std::uint32_t found() const { return caller.get<std::uint32_t>(at + 16); }
  Answer secure(std::uint32_t mask, Code code = sec, std::uint32_t version = 1, std::uint64_t data = 0) {
    caller.put(at, mask);
    caller.put(at + 4, version);
    caller.put(at + 8, data);
    return call(code);
  }

  Caller caller;
  std::optional<File> file;
};

constexpr std::size_t view_words = 1 << 19;  // 2 MiB

struct Bench {
  explicit Bench(IonGeneration generation = g1) : scene(generation), kernel(scene.ion_heaps, scene.cookies) {
    board.kernel_view = view.data();
  }
  // A program's descriptor of a buffer of its own.
  std::int32_t descriptor(Opened& program, const char* heap, std::uint64_t length = 8192, std::uint32_t flags = 0) {
    auto made = scene.heap(heap).allocate(user, {.size = length, .flags = flags, .seen = Cacheability::uncached});
    REQUIRE(made);
    program.caller.files.push_back({std::make_shared<KernelScene::Buffer>(*std::move(made)), {OpenFlags::read_write}, &Caller::kind_of<KernelScene::Buffer>});
    return static_cast<std::int32_t>(Caller::first_fd + program.caller.files.size() - 1);
  }

  KernelScene scene;
  Kernel kernel;
  Board& board = scene.board;
  ClientId user = *scene.device.open();
  std::vector<std::uint32_t> view = std::vector<std::uint32_t>(view_words);
};

}  // namespace

TEST_CASE("row 1: the same numbers and layouts for callers of 32 and 64 bits; others there are not") {
  for (const WordSize word : {WordSize::bits32, WordSize::bits64}) {
    Bench bench;
    Opened test(bench.kernel, word);
    CHECK(test.create() == done);
    CHECK(test.alloc(heap_bit::carveout, 8192, 0, 65536) == done);
    CHECK(test.call(kphys) == done);
    CHECK(test.caller.get<std::uint64_t>(at) == carveout_base);
    CHECK(test.caller.get<std::uint64_t>(at + 8) == 8192);
    test.caller.fill(std::byte{0xff});
    CHECK(test.call(ubuf_flags) == done);
    CHECK(test.caller.get<std::uint64_t>(at) == 0xffff'ffff'0000'0000);  // 4 bytes
    CHECK(test.call(ubuf_size) == done);
    CHECK(test.caller.get<std::uint64_t>(at) == 8192);
    CHECK(test.caller.get<std::uint32_t>(at + 8) == 0xffff'ffff);
    CHECK(test.call(kfree) == done);
    CHECK(test.find(heap_bit::carveout | heap_bit::mm, 4096, 0) == done);
    CHECK(test.found() == heap_bit::carveout);
    CHECK(test.call(kclient_destroy) == done);
    CHECK(bench.scene.is_clean());
  }
  Bench bench;
  Opened test(bench.kernel);
  CHECK(test.call(0x4D0F) == Errno::no_such_command);
  CHECK(test.call(0x40184D0F) == Errno::no_such_command);
  for (const Code code : all_codes) {
    CHECK(test.call(code ^ 0x100) == Errno::no_such_command);             // magic
    CHECK(test.call(code ^ (1U << 31)) == Errno::no_such_command);        // direction
    CHECK(test.call(code ^ (1U << 16)) != Answer(done));                  // length
    CHECK(test.call(code | (0x20U << 16)) == Errno::invalid);             // longer than any
  }
  CHECK(bench.scene.is_clean());
}

TEST_CASE("clients: one at a time, by name and types; without one nothing is served") {
  Bench bench;
  Opened test(bench.kernel), other(bench.kernel);
  const std::int32_t fd = bench.descriptor(test, "carveout");
  for (const Code code : {kclient_destroy, kfree, kphys, kumap, ubuf_flags, ubuf_size, write_verify, verify})
    CHECK(test.call(code) == Errno::invalid);
  CHECK(test.alloc(heap_bit::carveout) == Errno::invalid);
  CHECK(test.find(heap_bit::carveout) == Errno::invalid);
  CHECK(test.number(kmap, 0) == Errno::invalid);
  CHECK(test.number(uimport, static_cast<std::uint32_t>(fd)) == Errno::invalid);

  CHECK(test.create(all_types, 0) == Errno::invalid);
  CHECK(test.create(1 << 2) == done);
  CHECK(test.create() == Errno::exists);
  CHECK(test.alloc(heap_bit::system | heap_bit::mm) == Errno::no_device);
  CHECK(test.alloc(heap_bit::system | heap_bit::carveout) == done);
  CHECK(other.call(kphys) == Errno::invalid);  // its own is not another's
  std::vector<std::string> names;
  const auto look = [&] { names.clear(), bench.kernel.for_each_client([&](const Kernel::Client& one) { names.push_back(one.name()); }); };
  look();
  CHECK(names == std::vector<std::string>{"tester"});
  CHECK(test.call(kclient_destroy) == done);
  CHECK(test.call(kclient_destroy) == Errno::invalid);
  CHECK(test.call(kphys) == Errno::invalid);

  const std::string longer(200, 'n');
  test.name(longer);
  CHECK(test.create() == done);
  look();
  CHECK(names == std::vector<std::string>{longer.substr(0, Kernel::Client::most_name - 1)});
  CHECK(test.call(kphys) == Errno::invalid);  // nothing is left of the former's
  std::vector<std::unique_ptr<Opened>> more;
  for (int i = 0; i < 3; ++i) CHECK(more.emplace_back(std::make_unique<Opened>(bench.kernel))->create() == done);
  CHECK(other.create() == Errno::no_memory);
  more.pop_back();  // a file's end is its client's
  CHECK(other.create() == done);
}

TEST_CASE("a client's name: its end may be the memory's, and no byte behind it is looked at") {
  Bench bench;
  Opened test(bench.kernel);
  test.name("abc");
  test.caller.set_readable(name_at + 4);
  CHECK(test.create() == done);
  CHECK(test.call(kclient_destroy) == done);
  for (std::size_t end = 0; end < 4; ++end) {
    test.caller.set_readable(name_at + end);
    CHECK(test.create() == Errno::fault);
  }
  CHECK(test.create(all_types, ~std::uint64_t{0}) == Errno::fault);
  CHECK(test.call(kclient_destroy) == Errno::invalid);
  test.caller.set_readable(Caller::length);
  test.name(std::string(Kernel::Client::most_name - 1, 'n'));
  test.caller.set_readable(name_at + Kernel::Client::most_name - 1);  // what is cut off is not looked at
  CHECK(test.create() == done);
}

TEST_CASE("row 9: one buffer at a time, allocated or imported, until KFREE") {
  Bench bench;
  Opened test(bench.kernel);
  CHECK(test.create() == done);
  CHECK(test.call(kfree) == Errno::invalid);
  CHECK(test.alloc(heap_bit::carveout, 0) == Errno::invalid);
  CHECK(test.alloc(heap_bit::carveout, ~std::uint64_t{0}) == Errno::invalid);
  CHECK(test.alloc(heap_bit::carveout, 4096, 0, 3) == Errno::invalid);
  CHECK(test.alloc(heap_bit::carveout, 2 << 20) == Errno::no_memory);
  CHECK(test.alloc(1U << 31) == Errno::no_device);
  CHECK(test.alloc(heap_bit::system) == done);
  CHECK(test.alloc(heap_bit::system) == Errno::exists);
  CHECK(test.call(kphys) == Errno::no_device);
  CHECK(bench.scene.device.buffer_count() == 1);
  CHECK(test.call(kfree) == done);
  CHECK(test.call(kfree) == Errno::invalid);
  CHECK(test.call(ubuf_size) == Errno::invalid);
  CHECK(bench.scene.is_clean());

  const auto fd = static_cast<std::uint32_t>(bench.descriptor(test, "carveout", 12288));
  for (const auto& [bad, why] : {std::pair{90, Errno::bad_file}, {-1, Errno::bad_file}, {Caller::foreign_fd, Errno::invalid}})
    CHECK(test.number(uimport, static_cast<std::uint32_t>(bad)) == why);
  CHECK(test.number(uimport, fd) == done);
  CHECK(test.number(uimport, fd) == Errno::exists);
  CHECK(test.alloc(heap_bit::system) == Errno::exists);
  CHECK(test.call(ubuf_size) == done);
  CHECK(test.caller.get<std::uint64_t>(at) == 12288);
  CHECK(test.call(kphys) == done);
  CHECK(test.caller.get<std::uint64_t>(at) == carveout_base);
  test.caller.files.clear();  // it holds it
  CHECK(bench.scene.device.buffer_count() == 1);
  CHECK(test.call(kphys) == done);
  CHECK(test.call(kfree) == done);
  CHECK(bench.scene.is_clean());
}

TEST_CASE("a buffer of another device's is not imported") {
  Bench bench, elsewhere;
  Opened test(bench.kernel);
  CHECK(test.create() == done);
  const auto fd = static_cast<std::uint32_t>(elsewhere.descriptor(test, "carveout"));
  CHECK(test.number(uimport, fd) == Errno::invalid);
  CHECK(test.call(kfree) == Errno::invalid);
}

TEST_CASE("A12: a buffer that he can only read, or only write, is not imported, and so the kernel's mapping writes nothing") {
  Bench bench;
  Opened test(bench.kernel);
  CHECK(test.create() == done);
  const auto fd = static_cast<std::uint32_t>(bench.descriptor(test, "carveout"));
  for (const std::uint32_t access : {0U, 1U}) {
    test.caller.files[0].flags = {access};
    CHECK(test.number(uimport, fd) == Errno::no_access);
    CHECK(test.number(kmap, 0) == Errno::invalid);
    CHECK(test.number(write_verify, 1) == Errno::invalid);
  }
  test.caller.files[0].flags = {OpenFlags::read_write};
  CHECK(test.number(uimport, fd) == done);
  CHECK(test.number(kmap, 0) == done);
}

TEST_CASE("UBUF_FLAGS: what it was allocated with, in each generation's words") {
  Bench bench(g2);
  Opened test(bench.kernel);
  CHECK(test.create() == done);
  const auto fd = static_cast<std::uint32_t>(bench.descriptor(test, "carveout", 4096, ion_flag::cached | ion_flag::force_contiguous));
  CHECK(test.number(uimport, fd) == done);
  CHECK(test.call(ubuf_flags) == done);
  CHECK(test.caller.get<std::uint32_t>(at) == (ion_flag::cached | ion_flag::force_contiguous));
  Bench first(g1);
  Opened old(first.kernel);
  CHECK(old.create() == done);
  CHECK(old.alloc(heap_bit::system) == done);
  CHECK(old.number(kmap, 1) == done);
  CHECK(old.call(ubuf_flags) == done);
  CHECK(old.caller.get<std::uint32_t>(at) == ion_flag::cached);
}

TEST_CASE("row 12: KMAP as it is, cached, uncached; counted; a clash is told") {
  Bench bench;
  Opened test(bench.kernel), other(bench.kernel);
  CHECK(test.create() == done);
  CHECK(test.number(kmap, 0) == Errno::invalid);  // nothing to map
  CHECK(test.alloc(heap_bit::system) == done);
  CHECK(test.number(kmap, 2) == Errno::invalid);  // system's are cached
  CHECK(test.number(kmap, 0) == Errno::invalid);
  CHECK(test.number(kmap, 3) == Errno::invalid);
  CHECK(test.call(kumap) == Errno::invalid);
  CHECK(bench.board.take_heard() == "");
  CHECK(test.number(kmap, 1) == done);
  CHECK(test.number(kmap, 1) == done);
  CHECK(test.number(kmap, 2) == Errno::invalid);
  CHECK(test.call(kumap) == done);
  CHECK(bench.board.take_heard() == "k");
  CHECK(test.call(kumap) == done);
  CHECK(bench.board.take_heard() == "u");
  CHECK(test.call(kumap) == Errno::invalid);
  CHECK(test.call(kfree) == done);

  const auto fd = static_cast<std::uint32_t>(bench.descriptor(test, "contig"));
  other.caller.files = test.caller.files;
  CHECK(other.create() == done);
  CHECK(test.number(uimport, fd) == done);
  CHECK(other.number(uimport, fd) == done);
  CHECK(test.number(kmap, 3) == Errno::invalid);
  CHECK(test.number(kmap, ~0U) == Errno::invalid);
  CHECK(test.number(kmap, 2) == done);
  CHECK(other.number(kmap, 1) == Errno::exists);
  CHECK(test.number(kmap, 1) == Errno::exists);
  CHECK(other.call(kumap) == Errno::invalid);  // what failed is not mapped
  CHECK(other.number(kmap, 0) == done);
  CHECK(test.call(kumap) == done);
  CHECK(other.number(kmap, 1) == Errno::exists);
  CHECK(other.call(kumap) == done);
  CHECK(other.number(kmap, 1) == done);
  CHECK(bench.board.take_heard() == "kuk");
}

TEST_CASE("row 13: KFREE and KCLIENT_DESTROY end a mapping that nobody ended, and the heap notes it") {
  for (const Code how : {kfree, kclient_destroy}) {
    Bench bench;
    Opened test(bench.kernel);
    CHECK(test.create() == done);
    CHECK(test.alloc(heap_bit::carveout) == done);
    CHECK(test.number(kmap, 0) == done);
    CHECK(test.number(kmap, 0) == done);
    CHECK(test.call(how) == done);
    CHECK(bench.scene.carveout.figures().forced == 1);
    CHECK(bench.scene.is_clean());
    if (how == kclient_destroy) CHECK(test.create() == done);
    CHECK(test.alloc(heap_bit::carveout) == done);
    CHECK(test.call(kumap) == Errno::invalid);  // the next is not mapped
    CHECK(test.number(verify, 1) == Errno::invalid);
  }
}

TEST_CASE("WRITE_VERIFY writes all of the buffer and no more; VERIFY sees each number of it") {
  Bench bench;
  Opened test(bench.kernel);
  const auto fd = static_cast<std::uint32_t>(bench.descriptor(test, "carveout", 8192));
  CHECK(test.create() == done);
  CHECK(test.number(uimport, fd) == done);
  CHECK(test.number(write_verify, 7) == Errno::invalid);
  CHECK(test.number(verify, 7) == Errno::invalid);
  CHECK(test.number(kmap, 0) == done);
  CHECK(test.number(verify, 7) == Errno::io);
  constexpr std::size_t words = 8192 / 4;
  bench.view[words] = 99;
  for (const std::uint32_t seed : {0U, 7U, 0xffff'ff00U}) {
    CHECK(test.number(write_verify, seed) == done);
    for (std::size_t i = 0; i < words; ++i) REQUIRE(bench.view[i] == seed + static_cast<std::uint32_t>(i));
    CHECK(test.number(verify, seed) == done);
    CHECK(test.number(verify, seed + 1) == Errno::io);
  }
  CHECK(bench.view[words] == 99);
  for (std::uint32_t i = 0; i < words; ++i) bench.view[i] = 1000 + i;  // a process, through its own mapping
  CHECK(test.number(verify, 1000) == done);
  for (std::size_t i = 0; i < words; ++i) {
    bench.view[i] ^= 1U << (i % 32);
    REQUIRE(test.number(verify, 1000) == Errno::io);
    bench.view[i] ^= 1U << (i % 32);
  }
  CHECK(test.number(verify, 1000) == done);
  CHECK(test.call(kumap) == done);
  CHECK(test.number(verify, 1000) == Errno::invalid);
}

TEST_CASE("WRITE_VERIFY: memory whose second page is its first does not keep what is written") {
  const int fd = ::memfd_create("twice", 0);
  REQUIRE(::ftruncate(fd, page) == 0);
  void* const both = ::mmap(nullptr, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(both != MAP_FAILED);
  for (std::size_t half = 0; half < 2; ++half)
    REQUIRE(::mmap(static_cast<std::byte*>(both) + half * page, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED);
  Bench bench;
  bench.board.kernel_view = both;
  Opened test(bench.kernel);
  CHECK(test.create() == done);
  CHECK(test.alloc(heap_bit::carveout, 2 * page) == done);
  CHECK(test.number(kmap, 0) == done);
  CHECK(test.number(write_verify, 1) == Errno::io);
  CHECK(test.call(kfree) == done);
  CHECK(test.alloc(heap_bit::carveout, page) == done);
  CHECK(test.number(kmap, 0) == done);
  CHECK(test.number(write_verify, 1) == done);
  ::munmap(both, 2 * page);
  ::close(fd);
}

TEST_CASE("row 15: SEC and UNSEC: of which heaps, as often, and by whom") {
  Bench bench;
  Opened test(bench.kernel), other(bench.kernel);  // neither has a client
  CHECK(test.secure(0) == Errno::invalid);
  CHECK(test.secure(heap_bit::mm | heap_bit::mfc) == Errno::invalid);
  CHECK(test.secure(heap_bit::carveout) == Errno::invalid);
  CHECK(test.secure(1 << 5) == Errno::no_device);
  CHECK(test.secure(heap_bit::mm, sec, 0) == Errno::invalid);
  CHECK(test.secure(heap_bit::mm, sec, 3) == Errno::invalid);
  CHECK(test.secure(heap_bit::mm, sec, 2, secure_usage::end) == Errno::invalid);
  CHECK(test.secure(heap_bit::mm, unsec) == Errno::invalid);
  CHECK(bench.board.take_heard() == "()");
  CHECK(test.secure(heap_bit::mm, sec, 2, secure_usage::video_pixel) == done);
  CHECK(test.secure(heap_bit::mm, sec, 2, secure_usage::video_pixel) == done);
  CHECK(bench.board.take_heard() == "(+");
  CHECK(other.secure(heap_bit::mm, unsec) == Errno::invalid);  // it has not secured it
  CHECK(other.secure(heap_bit::mm) == done);
  CHECK(test.secure(heap_bit::mm | heap_bit::mfc, unsec) == Errno::invalid);
  CHECK(test.secure(heap_bit::mfc, unsec) == Errno::invalid);
  CHECK(test.secure(heap_bit::mm, unsec) == done);
  CHECK(test.secure(heap_bit::mm, unsec) == done);
  CHECK(test.secure(heap_bit::mm, unsec) == Errno::invalid);
  CHECK(bench.scene.mm_secure.state().protected_times == 1);
  bench.board.faults.monitor = true;
  CHECK(other.secure(heap_bit::mm, unsec) == Errno::io);
  CHECK(test.secure(heap_bit::mfc) == Errno::io);
  bench.board.faults.monitor = false;
  CHECK(other.secure(heap_bit::mm, unsec) == done);  // what failed has changed nothing
  CHECK(test.secure(heap_bit::mfc, unsec) == Errno::invalid);
  CHECK(bench.scene.is_clean());
}

TEST_CASE("row 15: a secured heap is not touched, and one that is looked at is not secured") {
  Bench bench;
  Opened test(bench.kernel), other(bench.kernel);
  CHECK(test.create() == done);
  CHECK(test.alloc(heap_bit::mm, 8192, ion_flag::secure) == done);
  CHECK(test.number(kmap, 1) == done);
  CHECK(other.secure(heap_bit::mm) == Errno::invalid);  // the kernel has it cached
  CHECK(test.call(kumap) == done);
  CHECK(test.number(kmap, 2) == done);
  CHECK(test.number(write_verify, 5) == done);
  CHECK(other.secure(heap_bit::mm) == done);
  bench.view[0] = 77;
  CHECK(test.number(write_verify, 5) == Errno::try_again);
  CHECK(test.number(verify, 5) == Errno::try_again);
  CHECK(bench.view[0] == 77);
  CHECK(test.call(kumap) == done);
  CHECK(test.number(kmap, 1) == Errno::try_again);
  CHECK(test.call(kfree) == done);
  CHECK(test.alloc(heap_bit::mm) == Errno::no_memory);
  CHECK(other.secure(heap_bit::mm, unsec) == done);
  CHECK(test.alloc(heap_bit::mm) == done);
}

TEST_CASE("row 15: a file's end unsecures what it secured, as often, and no other's; so it secures a heap 255 times at most") {
  Bench bench;
  std::optional<Opened> test(std::in_place, bench.kernel);
  Opened other(bench.kernel);
  for (int i = 0; i < 255; ++i) REQUIRE(test->secure(heap_bit::mm) == done);
  CHECK(test->secure(heap_bit::mm) == Errno::no_memory);
  CHECK(test->secure(heap_bit::mfc) == done);
  CHECK(other.secure(heap_bit::mfc) == done);
  test.reset();
  CHECK(bench.scene.mm_secure.state().protected_times == 0);
  CHECK(bench.scene.mfc_secure.state().protected_times == 1);
  bench.board.faults.monitor = true;
  other.file.reset();  // what the monitor keeps
  CHECK(bench.scene.mfc_secure.state().protected_times == 1);
  bench.board.faults.monitor = false;
  CHECK(bench.kernel.unsecure_heap(heap_bit::mfc) == Errno::none);
  CHECK(bench.scene.is_clean());
}

TEST_CASE("row 5: FIND_PROPER_HEAP: the heap that KALLOC takes, which is not taken by that") {
  Bench bench, late(g3);
  Opened test(bench.kernel), last(late.kernel);
  CHECK(test.create(~(1U << 0)) == done);
  CHECK(last.create() == done);
  CHECK(test.find(~0U) == done);
  CHECK(test.found() == heap_bit::contig);  // system is not of his types
  CHECK(test.find(~0U, 8192, ion_flag::secure) == done);
  CHECK(test.found() == heap_bit::mm);
  CHECK(test.find(heap_bit::carveout | heap_bit::mm, 2 << 20) == done);
  CHECK(test.found() == heap_bit::mm);  // the first has no room
  CHECK(test.find(heap_bit::carveout, 2 << 20) == Errno::no_memory);
  CHECK(test.find(heap_bit::carveout, 0) == Errno::invalid);
  CHECK(test.find(1 << 5) == Errno::no_device);
  CHECK(last.find(heap_bit::carveout | heap_bit::iommu) == done);
  CHECK(last.found() == heap_bit::iommu);  // with the highest id
  CHECK(test.alloc(heap_bit::carveout, 1 << 20) == done);
  CHECK(test.find(heap_bit::carveout | heap_bit::bare) == done);
  CHECK(test.found() == heap_bit::bare);
  CHECK(test.call(kphys) == done);  // his own is still his
  CHECK(test.caller.get<std::uint64_t>(at) == carveout_base);
  CHECK(bench.scene.device.buffer_count() == 1);
}

TEST_CASE("the file's end, with everything open: nothing is left") {
  for (const std::uint32_t heap : {heap_bit::system, heap_bit::contig, heap_bit::carveout, heap_bit::mm, heap_bit::mfc, heap_bit::iommu}) {
    Bench bench;
    Opened test(bench.kernel);
    CHECK(test.create() == done);
    CHECK(test.alloc(heap) == done);
    CHECK(test.number(kmap, heap == heap_bit::system ? 1 : 2) == done);
    CHECK(test.number(kmap, 0) == done);
    if (heap == heap_bit::mm) CHECK(test.secure(heap) == done);
    CHECK(test.secure(heap_bit::mfc) == done);
    test.file.reset();
    CHECK(bench.scene.is_clean());
    CHECK(Opened(bench.kernel).call(kclient_destroy) == Errno::invalid);
  }
}

TEST_CASE("row 28: memory that faults at any byte, in and out: EFAULT, and nothing has changed") {
  Bench bench;
  Opened test(bench.kernel);
  const auto fd = static_cast<std::uint32_t>(bench.descriptor(test, "carveout"));
  const auto put = [&](Code code) {
    if (code == kclient_create) test.put_client(all_types, Caller::start + 0x80);  // which can be read
    if (code == kalloc || code == find_proper_heap) test.put_wanted(heap_bit::carveout, 4096, 0, 0);
    if (code == kmap || code == write_verify || code == verify) test.caller.put(at, std::uint32_t{0});
    if (code == uimport) test.caller.put(at, fd);
    if (code == sec || code == unsec) static_cast<void>(test.secure(0, code)), test.caller.put(at, heap_bit::mm);
  };
  // In an order in which each can be served; the faults before must have changed nothing.
  for (const Code code : {kclient_create, find_proper_heap, kalloc, kmap, write_verify, verify, kphys, ubuf_flags, ubuf_size, kumap, kfree,
                          uimport, sec, unsec, kfree, kclient_destroy}) {
    const Command command{code};
    const std::uint64_t buffers = bench.scene.device.buffer_count();
    for (std::size_t end = 0; end < command.length(); ++end) {
      put(code);
      if (command.hands_in()) {
        test.caller.set_readable(at + end);
        CHECK(test.call(code) == Errno::fault);
      }
      test.caller.set_readable(Caller::length);
      if (command.gets_back()) {
        test.caller.set_writable(at + end);
        CHECK(test.call(code) == Errno::fault);
      }
      test.caller.set_writable(Caller::length);
    }
    CHECK(bench.scene.device.buffer_count() == buffers);
    put(code);
    CHECK(test.call(code) == done);
  }
  test.caller.files.clear();
  CHECK(bench.scene.is_clean());
}

TEST_CASE("row 28: what the platform, the board or the device has not: its error, and nothing has changed") {
  Bench bench;
  Opened test(bench.kernel);
  CHECK(test.create() == done);
  BoardFaults& faults = bench.board.faults;
  faults.memory = true;
  CHECK(test.alloc(heap_bit::carveout) == Errno::no_memory);
  CHECK(test.find(heap_bit::carveout) == Errno::no_memory);
  faults.memory = false;
  CHECK(bench.scene.device.buffer_count() == 0);
  std::vector<KernelScene::Over::Shared::Ref> all;
  while (auto one = bench.scene.heap("iommu").allocate(bench.user, 4096)) all.push_back(*std::move(one));
  CHECK(test.alloc(heap_bit::carveout) == Errno::no_memory);
  all.clear();
  faults.first = true;
  CHECK(test.alloc(heap_bit::mm) == Errno::no_memory);
  CHECK(test.secure(heap_bit::mm) == Errno::no_memory);
  faults.first = false;
  CHECK(test.alloc(heap_bit::carveout) == done);
  faults.kernel_map = true;
  CHECK(test.number(kmap, 0) == Errno::no_memory);
  faults.kernel_map = false;
  faults.request = true;
  CHECK(test.number(kmap, 0).is_error());
  faults.request = false;
  CHECK(test.call(kumap) == Errno::invalid);
  CHECK(test.number(kmap, 0) == done);
  CHECK(test.number(write_verify, 3) == done);
  test.file.reset();
  CHECK(bench.scene.is_clean());
}

TEST_CASE("any commands in any order, beside a naive model of what there is") {
  Random random(seed());
  Bench bench;
  std::optional<Opened> test(std::in_place, bench.kernel);
  bool has_client = false, has_buffer = false;
  unsigned maps = 0, secured = 0;
  const auto expect = [](bool may, Errno otherwise) { return may ? Answer(done) : Answer(otherwise); };
  const auto forget = [&] { has_buffer = false, maps = 0; };
  for (int step = 0; step < 20000; ++step) {
    const Errno without = Errno::invalid;
    switch (random.below(12)) {
      case 0:
        REQUIRE(test->create() == expect(!has_client, Errno::exists));
        has_client = true;
        break;
      case 1:
        if (random.below(4) != 0) break;
        REQUIRE(test->call(kclient_destroy) == expect(has_client, without));
        has_client = false, forget();
        break;
      case 2: {
        const bool may = has_client && !has_buffer;
        REQUIRE(test->alloc(heap_bit::carveout, page) == expect(may, has_client ? Errno::exists : without));
        has_buffer |= may;
        break;
      }
      case 3:
        REQUIRE(test->call(kfree) == expect(has_buffer, without));
        forget();
        break;
      case 4:
        REQUIRE(test->number(kmap, 0) == expect(has_buffer, without));
        maps += has_buffer;
        break;
      case 5:
        REQUIRE(test->call(kumap) == expect(maps != 0, without));
        maps -= maps != 0;
        break;
      case 6: REQUIRE(test->number(write_verify, static_cast<std::uint32_t>(step)) == expect(maps != 0, without)); break;
      case 7: REQUIRE(test->call(kphys) == expect(has_buffer, without)); break;
      case 8:
        REQUIRE(test->secure(heap_bit::mm) == expect(secured < 255, Errno::no_memory));
        secured += secured < 255;
        break;
      case 9:
        REQUIRE(test->secure(heap_bit::mm, unsec) == expect(secured != 0, without));
        secured -= secured != 0;
        break;
      case 10: REQUIRE(test->find(heap_bit::carveout, page) == expect(has_client, without)); break;
      default:
        if (random.below(50) != 0) break;
        test.emplace(bench.kernel);
        has_client = false, secured = 0, forget();
    }
    REQUIRE(bench.scene.device.buffer_count() == (has_buffer ? 1 : 0));
    REQUIRE(bench.board.kernel_maps == (maps != 0 ? 1 : 0));
    REQUIRE(bench.scene.mm_secure.state().protected_times == secured);
    REQUIRE(bench.scene.monitor.locked.empty() == (secured == 0));
  }
  test.reset();
  CHECK(bench.scene.is_clean());
}

// Where the threads have the structs of each: what comes back overwrites none that goes in.
static constexpr std::size_t argument_of(Code code) {
  if (code == kclient_create) return 2 * at;
  if (code == sec || code == unsec) return 3 * at;
  if (code == kmap || code == uimport || code == write_verify || code == verify) return 4 * at;
  return code == kalloc || code == find_proper_heap ? at : 5 * at;
}

TEST_CASE("row 25: several threads of one file's, each with any command") {
  Bench bench;
  Opened first(bench.kernel);
  const std::uint64_t start = seed();
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      Random random(start + i);
      Caller caller;
      IonTestAllocationWire::write({.length = 4096, .heap_mask = heap_bit::carveout}, caller.bytes().subspan(at), WordSize::bits64);
      IonTestClientWire::write({.name = Caller::start, .types = all_types}, caller.bytes().subspan(2 * at), WordSize::bits64);
      IonTestSecuringWire::write({.heap_mask = heap_bit::mm, .version = 1}, caller.bytes().subspan(3 * at), WordSize::bits64);
      for (int step = 0; step < 2000; ++step) {
        const Code code = all_codes[random.below(std::size(all_codes))];
        static_cast<void>(first.file->ioctl(caller, Command{code}, Caller::start + argument_of(code)));
      }
    });
  }
  for (std::thread& one : threads) one.join();
  first.file.reset();
  CHECK(bench.scene.is_clean());
}
