// /dev/ion of the generations with handles, call by call (shared/spec: ION 1.1 to 1.3; rows 1, 2, 5, 6, 9, 10, 11, 12, 20, 21, 25, 26).
#include <freestone/device/ion/handle_file.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/device_scene.hpp"
#include "support/heap_text.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

const std::string board = board_of(HeapText{"system", 0, "system", "16M"}, HeapText{"contig", 1, "system_contig", "1M"},
                                   HeapText{"carveout", 2, "carveout", "1M"}, HeapText{"chunk", 3, "chunk", "1M", "64K"},
                                   HeapText{"cma", 4, "cma", "1M"}, HeapText{"mm", 8, "cp", "1M"});
constexpr std::uint32_t system_heap = 1, contig = 2, carveout = 4, chunk = 8, cma = 16, mm = 256;

constexpr IonGeneration g1 = IonGeneration::g1, g2 = IonGeneration::g2, g3 = IonGeneration::g3;
constexpr std::uint64_t argument = Caller::start;

// Commands as the specification's tables have them.
struct Numbers {
  std::uint32_t allocate, free, map, share, import, custom;
};
template <IonGeneration generation>
constexpr Numbers numbers(WordSize word) {
  const bool is_64 = word == WordSize::bits64;
  if (generation == g3) return {is_64 ? 0xC0204900 : 0xC0144900, 0xC0044901, 0xC0084902, 0xC0084904, 0xC0084905, is_64 ? 0xC0104906 : 0xC0084906};
  const std::uint32_t allocate = is_64 ? 0xC0204900 : generation == g1 ? 0xC0104900 : 0xC0144900;
  if (is_64) return {allocate, 0xC0084901, 0xC0104902, 0xC0104904, 0xC0044905, 0xC0104906};
  return {allocate, 0xC0044901, 0xC0084902, 0xC0084904, 0xC0044905, 0xC0084906};
}

// A program with /dev/ion open.
template <IonGeneration generation>
struct Program {
  explicit Program(DeviceScene& scene, WordSize word = WordSize::bits64, std::uint32_t flags = 2)
      : caller(word), ion(scene.open_ion<generation>(flags)), number(numbers<generation>(word)), word(word) {}

  template <class W>
  Answer call(std::uint32_t code, typename W::Struct& values) {
    W::write(values, caller.bytes(), word);
    const Answer answer = ion.ioctl(caller, Command{code}, argument);
    values = W::read(caller.bytes(), word);
    return answer;
  }
  Answer allocate(std::uint64_t length, std::uint32_t mask, std::uint64_t& handle, std::uint64_t align = 0, std::uint32_t flags = 0) {
    IonAllocation wanted{.length = length, .align = align, .heap_mask = mask, .flags = flags, .handle = 0xdead};
    const Answer answer = call<IonAllocationWire<generation>>(number.allocate, wanted);
    handle = wanted.handle;
    return answer;
  }
  // It must be had.
  std::uint64_t buffer(std::uint32_t mask = carveout, std::uint64_t length = 8192) {
    std::uint64_t handle = 0;
    REQUIRE(allocate(length, mask, handle) == done);
    return handle;
  }
  Answer free(std::uint64_t handle) {
    IonHandle gone{handle};
    return call<IonHandleWire<generation>>(number.free, gone);
  }
  Answer share(std::uint64_t handle, std::int32_t& fd, bool as_map = false) {
    IonFd shared{.handle = handle, .fd = -1};
    const Answer answer = call<IonFdWire<generation>>(as_map ? number.map : number.share, shared);
    fd = shared.fd;
    return answer;
  }
  std::int32_t shared(std::uint64_t handle) {
    std::int32_t fd = -1;
    REQUIRE(share(handle, fd) == done);
    return fd;
  }
  Answer import(std::int32_t fd, std::uint64_t& handle) {
    IonFd wanted{.handle = 0xdead, .fd = fd};
    const Answer answer = call<IonFdWire<generation>>(number.import, wanted);
    handle = wanted.handle;
    return answer;
  }
  Answer get_flags(std::uint64_t handle, std::uint64_t& flags) {
    IonFlags wanted{.handle = handle, .flags = 0xdead};
    const Answer answer = call<IonFlagsWire>(word == WordSize::bits64 ? 0xC010490A : 0xC008490A, wanted);
    flags = wanted.flags;
    return answer;
  }

  Caller caller;
  IonHandleFile<DeviceScene::Shared, lock::Futex, generation> ion;
  Numbers number;
  WordSize word;
};

// Whose CUSTOM 77 frees the handle at its argument.
struct CustomPlatform : DevicePlatform {
  template <class Client>
  Answer ion_custom(Caller& call, Client& client, std::uint32_t command, std::uint64_t argument) noexcept {
    std::uint64_t handle = 0;
    if (command != 77) return Errno::no_such_command;
    if (!call.copy_in(std::as_writable_bytes(std::span(&handle, 1)), argument)) return Errno::fault;
    return client.free(handle, call.word());
  }
};

// How many buffers there are, of all heaps.
std::size_t buffers(DeviceScene& scene) { return scene.device.buffer_count(); }

template <class Act>
void for_each_word(Act&& act) {
  for (const WordSize word : {WordSize::bits32, WordSize::bits64}) act(word);
}

}  // namespace

TEST_CASE("row 1: layouts of ALLOC, the fd struct, cache operations and flags, for both widths") {
  for_each_word([](WordSize word) {
    const bool is_64 = word == WordSize::bits64;
    CHECK(IonAllocationWire<g1>::length(word) == (is_64 ? 32 : 16));
    CHECK(IonAllocationWire<g1>::offset<&IonAllocation::handle>(word) == (is_64 ? 24 : 12));
    CHECK(IonAllocationWire<g2>::length(word) == (is_64 ? 32 : 20));
    CHECK(IonAllocationWire<g2>::offset<&IonAllocation::handle>(word) == (is_64 ? 24 : 16));
    CHECK(IonAllocationWire<g3>::length(word) == (is_64 ? 32 : 20));
    CHECK(IonAllocationWire<g3>::offset<&IonAllocation::handle>(word) == (is_64 ? 24 : 16));
    CHECK(IonFdWire<g1>::length(word) == (is_64 ? 16 : 8));
    CHECK(IonFdWire<g3>::length(word) == 8);
    CHECK(IonCacheWire::length(word) == (is_64 ? 32 : 20));
    CHECK(IonCacheWire::offset<&IonCacheCall::offset>(word) == (is_64 ? 24 : 12));
    CHECK(IonFlagsWire::offset<&IonFlags::flags>(word) == (is_64 ? 8 : 4));
    CHECK(IonPrefetchWire::length(word) == (is_64 ? 16 : 8));
  });
}

TEST_CASE_TEMPLATE_DEFINE("rows 2, 9: handles are numbers of their client's, and gone after as many frees", G, handles) {
  for_each_word([](WordSize word) {
    DeviceScene scene(board);
    Program<G::value> program(scene, word), other(scene, word);
    CHECK(program.free(0) == Errno::invalid);  // by which libraries know this one
    const std::uint64_t handle = program.buffer();
    if (G::value == g3) CHECK(handle == 1);
    CHECK(other.free(handle) == Errno::invalid);
    for (const std::uint64_t none : {handle + 1, handle - 1, handle ^ 16, ~std::uint64_t{0}, handle + 4096})
      CHECK(program.free(none) == Errno::invalid);
    const std::int32_t fd = program.shared(handle);
    std::uint64_t again = 0, never = 0;
    CHECK(program.import(fd, again) == done);
    CHECK(again == handle);
    other.caller.files = program.caller.files;
    CHECK(other.import(fd, never) == done);  // another client's own
    CHECK(program.free(handle) == done);
    CHECK(program.free(handle) == done);
    CHECK(program.free(handle) == Errno::invalid);
    std::int32_t none = -1;
    CHECK(program.share(handle, none) == Errno::invalid);
    CHECK(buffers(scene) == 1);
    CHECK(other.free(never) == done);
    CHECK(buffers(scene) == 1);  // files have it
    program.caller.files.clear(), other.caller.files.clear();
    CHECK(buffers(scene) == 0);
  });
}
TEST_CASE_TEMPLATE_INVOKE(handles, std::integral_constant<IonGeneration, g1>, std::integral_constant<IonGeneration, g2>,
                          std::integral_constant<IonGeneration, g3>);

TEST_CASE("row 9: G3's handles are the lowest integers that are free") {
  DeviceScene scene(board);
  Program<g3> program(scene);
  for (std::uint64_t handle = 1; handle <= 5; ++handle) CHECK(program.buffer() == handle);
  CHECK(program.free(2) == done);
  CHECK(program.free(4) == done);
  CHECK(program.buffer() == 2);
  CHECK(program.buffer() == 4);
  CHECK(program.buffer() == 6);
}

TEST_CASE("row 9, weakness 4: G1's handles look like addresses, tell none, and no two clients' are alike") {
  for_each_word([](WordSize word) {
    DeviceScene scene(board);
    Program<g1> program(scene, word), other(scene, word);
    std::vector<std::uint64_t> seen;
    for (int turn = 0; turn < 50; ++turn) {
      auto& one = turn % 2 == 0 ? program : other;
      const std::uint64_t handle = one.buffer();
      const std::uint64_t kernel = word == WordSize::bits32 ? 0xc0000000 : 0xffffffc000000000;
      CHECK((handle & kernel) == kernel);
      CHECK((handle & 3) == 0);
      for (const std::uint64_t before : seen) CHECK(before != handle);
      seen.push_back(handle);
      CHECK((turn % 2 == 0 ? other : program).free(handle) == Errno::invalid);
      CHECK(one.free(handle) == done);
    }
  });
}

TEST_CASE_TEMPLATE_DEFINE("row 9: a client that closes lets go of all, in whatever number; files keep their buffers", G, closing) {
  DeviceScene scene(board);
  Caller::File kept;
  {
    Program<G::value> program(scene);
    for (int i = 0; i < 10; ++i) program.buffer();
    const std::uint64_t handle = program.buffer();
    const std::int32_t fd = program.shared(handle);
    std::uint64_t again = 0;
    for (int i = 0; i < 3; ++i) CHECK(program.import(fd, again) == done);
    CHECK(buffers(scene) == 11);
    kept = program.caller.files.front();
  }
  CHECK(buffers(scene) == 1);
  kept.file.reset();
  CHECK(buffers(scene) == 0);
  CHECK(scene.device.client_count() == 0);
}
TEST_CASE_TEMPLATE_INVOKE(closing, std::integral_constant<IonGeneration, g1>, std::integral_constant<IonGeneration, g2>,
                          std::integral_constant<IonGeneration, g3>);

TEST_CASE_TEMPLATE_DEFINE("row 10: each SHARE and MAP gives a file of the same buffer", G, sharing) {
  DeviceScene scene(board);
  Program<G::value> program(scene);
  const std::uint64_t handle = program.buffer();
  std::int32_t first = -1, second = -1;
  CHECK(program.share(handle, first) == done);
  CHECK(program.share(handle, second, true) == done);
  CHECK(first != second);
  REQUIRE(program.caller.files.size() == 2);
  auto& one = *static_cast<DeviceScene::Buffer*>(program.caller.files[0].file.get());
  auto& two = *static_cast<DeviceScene::Buffer*>(program.caller.files[1].file.get());
  CHECK(&one != &two);
  CHECK(one.buffer() == two.buffer());
  CHECK(&one.memory() == &two.memory());
  CHECK(one.seek(0, Whence::end) == Answer(8192));
  for (const auto& file : program.caller.files) CHECK(file.flags.bits == (OpenFlags::read_write | OpenFlags::close_on_exec));
}
TEST_CASE_TEMPLATE_INVOKE(sharing, std::integral_constant<IonGeneration, g1>, std::integral_constant<IonGeneration, g2>,
                          std::integral_constant<IonGeneration, g3>);

TEST_CASE("row 11: what is no buffer of ION's: G1 says nothing and gives no handle, the others say why") {
  DeviceScene scene(board);
  Program<g1> first(scene);
  Program<g3> third(scene);
  std::uint64_t handle = 1;
  CHECK(first.import(Caller::foreign_fd, handle) == done);
  CHECK(handle == 0);
  CHECK(first.import(-1, handle) == done);
  CHECK(handle == 0);
  CHECK(third.import(Caller::foreign_fd, handle) == Errno::invalid);
  CHECK(third.import(-1, handle) == Errno::bad_file);
  CHECK(third.import(99, handle) == Errno::bad_file);
}

TEST_CASE_TEMPLATE_DEFINE("A12: whose descriptor is not for reading and writing imports nothing: before G3 without an error", G, partly_open) {
  DeviceScene scene(board);
  Program<G::value> program(scene);
  const auto own = program.buffer();
  const auto fd = program.shared(own);
  std::uint64_t handle = 1;
  for (const std::uint32_t access : {0U, 1U}) {
    program.caller.files[0].flags = {access};
    CHECK(program.import(fd, handle) == (is_msm(G::value) ? done : Answer(Errno::no_access)));
    if (is_msm(G::value)) CHECK(handle == 0);
  }
  program.caller.files[0].flags = {OpenFlags::read_write};
  CHECK(program.import(fd, handle) == done);
  CHECK(handle == own);
  for (int time = 0; time < 2; ++time) CHECK(program.free(own) == done);
  CHECK(program.free(own) == Errno::invalid);  // as often as he was told of it
}
TEST_CASE_TEMPLATE_INVOKE(partly_open, std::integral_constant<IonGeneration, g1>, std::integral_constant<IonGeneration, g2>,
                          std::integral_constant<IonGeneration, g3>);

TEST_CASE("row 5: G1 and G2 ask heaps in ascending order, G3 in descending; the last one's error counts; ENODEV without any") {
  DeviceScene scene(board);
  const auto used = [&](const char* heap) { return scene.heap(heap).use().bytes.value(); };
  {
    Program<g1> program(scene);
    program.buffer(contig | carveout, 512 << 10);
    CHECK(used("contig") == 512 << 10);
    program.buffer(contig | carveout, 1 << 20);  // which the first has no room for
    CHECK(used("carveout") == 1 << 20);
    std::uint64_t handle = 0;
    CHECK(program.allocate(1 << 20, contig | carveout, handle) == Errno::no_memory);
    CHECK(program.allocate(4096, 1U << 30, handle) == Errno::no_device);
    CHECK(program.allocate(4096, 0, handle) == Errno::no_device);
    CHECK(program.allocate(4096, carveout | ion_flag::secure, handle) == Errno::no_device);
    CHECK(program.allocate(4096, mm | carveout | ion_flag::secure, handle) == done);
    CHECK(used("mm") == 4096);
  }
  {
    Program<g3> program(scene);
    program.buffer(contig | carveout, 512 << 10);
    CHECK(used("carveout") == 512 << 10);
    program.buffer(contig | carveout, 1 << 20);
    CHECK(used("contig") == 1 << 20);
    std::uint64_t handle = 0;
    CHECK(program.allocate(2 << 20, contig | carveout, handle) == Errno::no_memory);
    CHECK(program.allocate(4096, 1U << 30, handle) == Errno::no_device);
    CHECK(program.allocate(4096, cma | carveout, handle, 8192) == Errno::invalid);
  }
  CHECK(buffers(scene) == 0);
}

TEST_CASE("row 5: a client may use heaps of some types only") {
  DeviceScene scene(board);
  { auto file = scene.open_ion<g1>(); }  // the heaps are G1's from here on
  IonClient<DeviceScene::Shared, lock::Futex> client(scene.ion_heaps, *scene.device.open(), scene.cookies, 1U << 4);
  Errno error = Errno::none;
  CHECK(!client.allocate({.length = 4096, .mask = carveout}, error));
  CHECK(error == Errno::no_device);
  CHECK(client.allocate({.length = 4096, .mask = carveout | mm}, error));
  CHECK(scene.heap("mm").use().most_bytes == 4096);
}

TEST_CASE_TEMPLATE_DEFINE("row 6: no length, one that wraps, and more than the heap has", G, lengths) {
  for_each_word([](WordSize word) {
    DeviceScene scene(board);
    Program<G::value> program(scene, word);
    std::uint64_t handle = 0;
    CHECK(program.allocate(0, carveout, handle) == Errno::invalid);
    const std::uint64_t most = word == WordSize::bits64 ? ~std::uint64_t{0} : 0xffffffff;
    for (const std::uint64_t less : {0U, 1U, 4094U}) CHECK(program.allocate(most - less, carveout, handle) == Errno::invalid);
    CHECK(program.allocate(most - 4095, carveout, handle) == Errno::no_memory);
    CHECK(program.allocate((1 << 20) + 1, carveout, handle) == Errno::no_memory);
    CHECK(program.allocate(1, carveout, handle) == done);
    CHECK(scene.heap("carveout").use().bytes == 4096);
  });
}
TEST_CASE_TEMPLATE_INVOKE(lengths, std::integral_constant<IonGeneration, g1>, std::integral_constant<IonGeneration, g2>,
                          std::integral_constant<IonGeneration, g3>);

TEST_CASE("row 6: alignments: G1's are of addresses, and 0 is none; G3's are those that the heap has anyway") {
  DeviceScene scene(board);
  std::uint64_t handle = 0;
  {
    Program<g1> program(scene);
    CHECK(program.allocate(4096, carveout, handle) == done);
    CHECK(program.allocate(4096, carveout, handle, 64 << 10) == done);
    const auto at = [&] {
      std::uint64_t offset = 0;
      program.ion.client().for_each(WordSize::bits64, [&](std::uint64_t one, std::uint32_t, const auto& buffer) {
        if (one == handle) offset = buffer.parts().list()[0].offset().value();
      });
      return offset;
    };
    CHECK(at() == 64 << 10);
    CHECK(program.allocate(4096, carveout, handle, 3) == Errno::invalid);
    CHECK(program.allocate(4096, carveout, handle, ~std::uint64_t{0}) == Errno::invalid);
    CHECK(program.allocate(4096, carveout, handle, std::uint64_t{1} << 40) != done);
    CHECK(program.allocate(4096, system_heap, handle, 3) == done);
  }
  Program<g3> program(scene);
  for (const std::uint32_t heap : {system_heap, carveout, cma}) {
    CHECK(program.allocate(4096, heap, handle, 4096) == done);
    CHECK(program.allocate(4096, heap, handle, 4097) == Errno::invalid);
    CHECK(program.allocate(4096, heap, handle, ~std::uint64_t{0}) == Errno::invalid);
  }
  CHECK(program.allocate(5 * 4096, contig, handle, 8 * 4096) == done);
  CHECK(program.allocate(5 * 4096, contig, handle, 8 * 4096 + 1) == Errno::invalid);
  CHECK(program.allocate(~std::uint64_t{0} - 4095, contig, handle, 4096) == Errno::no_memory);  // no power of two is as long
  CHECK(program.allocate(4096, chunk, handle, 64 << 10) == done);
  CHECK(program.allocate(4096, chunk, handle, (64 << 10) + 1) == Errno::invalid);
  CHECK(program.allocate(4096, cma, handle, 0, ion_flag::cached) == Errno::invalid);
}

TEST_CASE("row 12: how /dev/ion was opened says how G1's buffer is cached; EEXIST while it is mapped in another way") {
  DeviceScene scene(board);
  Program<g1> cached(scene), uncached(scene, WordSize::bits64, 2 | OpenFlags::synchronous);
  const std::uint64_t handle = cached.buffer();
  std::uint64_t flags = 7, other = 0;
  CHECK(cached.get_flags(handle, flags) == done);
  CHECK(flags == 0);
  const std::int32_t fd = cached.shared(handle);
  CHECK(cached.get_flags(handle, flags) == done);
  CHECK(flags == 1);
  CHECK(cached.get_flags(handle + 64, flags) == Errno::invalid);
  uncached.caller.files = cached.caller.files;
  CHECK(uncached.import(fd, other) == done);
  std::int32_t more = -1;
  {
    auto& file = *static_cast<DeviceScene::Buffer*>(cached.caller.files[0].file.get());
    const auto map = scene.device.map(file.buffer(), Mapper::cpu);
    REQUIRE(map);
    CHECK(uncached.share(other, more) == Errno::exists);
    CHECK(cached.share(handle, more) == done);
  }
  CHECK(uncached.share(other, more) == done);
  CHECK(cached.get_flags(handle, flags) == done);
  CHECK(flags == 0);
}

TEST_CASE("row 12: G2's flags come with the allocation, and stay") {
  for_each_word([](WordSize word) {
    DeviceScene scene(board);
    Program<g2> program(scene, word);
    std::uint64_t handle = 0, flags = 0;
    CHECK(program.allocate(4096, carveout, handle, 0, ion_flag::cached | 1U << 30) == done);
    CHECK(program.get_flags(handle, flags) == done);
    CHECK(flags == (ion_flag::cached | 1U << 30));
    static_cast<void>(program.shared(handle));
    CHECK(program.get_flags(handle, flags) == done);
    CHECK(flags == (ion_flag::cached | 1U << 30));
  });
}

TEST_CASE("row 1: G2 takes G1's ALLOC from callers of 32 bits; those of 64 bits have one number for both") {
  DeviceScene scene(board);
  Program<g2> program(scene, WordSize::bits32);
  IonAllocation wanted{.length = 4096, .heap_mask = mm | ion_flag::secure};
  CHECK(program.call<IonAllocationWire<g1>>(0xC0104900, wanted) == done);
  CHECK(scene.heap("mm").use().buffers == 1);
  CHECK(program.free(wanted.handle) == done);
}

TEST_CASE_TEMPLATE_DEFINE("row 1: a command that there is not: ENOTTY", G, unknown) {
  for_each_word([](WordSize word) {
    DeviceScene scene(board);
    Program<G::value> program(scene, word);
    for (const std::uint32_t code : {0xC0044903U, 0xC00849FFU, 0x80044909U, 0xC0184900U, 0U, 0x5421U, 0xC0084900U})
      CHECK(program.ion.ioctl(program.caller, Command{code}, argument) == Errno::no_such_command);
    IonCustom custom{.command = 1, .argument = 2};
    CHECK(program.template call<IonCustomWire>(program.number.custom, custom) == Errno::no_such_command);
  });
}
TEST_CASE_TEMPLATE_INVOKE(unknown, std::integral_constant<IonGeneration, g1>, std::integral_constant<IonGeneration, g2>,
                          std::integral_constant<IonGeneration, g3>);

TEST_CASE("row 1: longer than any struct: G3 says EINVAL before it looks at the number") {
  DeviceScene scene(board);
  Program<g3> program(scene);
  CHECK(program.ion.ioctl(program.caller, Command{0xC0214900}, argument) == Errno::invalid);
  CHECK(program.ion.ioctl(program.caller, Command{0xC0204937}, argument) == Errno::no_such_command);
  CHECK(program.ion.ioctl(program.caller, Command{0xC0204937}, 0) == Errno::fault);
}

TEST_CASE_TEMPLATE_DEFINE("A3, row 28: whose memory faults has no handle, and nobody else has", G, faults) {
  DeviceScene scene(board);
  Program<G::value> program(scene);
  std::uint64_t handle = 0;
  program.caller.set_readable(31);
  CHECK(program.allocate(4096, carveout, handle) == Errno::fault);
  program.caller.set_readable(Caller::length);
  program.caller.set_writable(31);
  CHECK(program.allocate(4096, carveout, handle) == Errno::fault);
  CHECK(buffers(scene) == 0);
  program.caller.set_writable(Caller::length);
  const std::uint64_t kept = program.buffer();
  const std::int32_t fd = program.shared(kept);
  program.caller.set_writable(7);
  CHECK(program.import(fd, handle) == Errno::fault);
  std::int32_t none = -1;
  CHECK(program.share(kept, none) == Errno::fault);
  CHECK(program.caller.files.size() == 1);
  // What comes in only needs no memory that can be written.
  CHECK(program.free(kept) == done);
  CHECK(program.free(kept) == Errno::invalid);
}
TEST_CASE_TEMPLATE_INVOKE(faults, std::integral_constant<IonGeneration, g1>, std::integral_constant<IonGeneration, g2>,
                          std::integral_constant<IonGeneration, g3>);

TEST_CASE_TEMPLATE_DEFINE("row 28: without memory for the buffer, or without a place, nothing is left, and the next one goes well", G, no_memory) {
  DeviceScene scene(board, Freeing::later);
  Program<G::value> program(scene);
  std::uint64_t handle = 0;
  scene.platform.has_memory = false;
  for (const std::uint32_t heap : {system_heap, contig, carveout, chunk, cma, mm})
    CHECK(program.allocate(4096, heap, handle) == Errno::no_memory);
  CHECK(buffers(scene) == 0);
  scene.platform.has_memory = true;
  std::vector<std::uint64_t> all;
  while (program.allocate(4096, carveout, handle) == done) all.push_back(handle);
  CHECK(all.size() == scene_limits.buffers);
  CHECK(program.allocate(4096, carveout | cma, handle) == Errno::no_memory);
  CHECK(buffers(scene) == all.size());
  for (const std::uint64_t one : all) CHECK(program.free(one) == done);
  CHECK(program.allocate(4096, carveout, handle) == done);
}
TEST_CASE_TEMPLATE_INVOKE(no_memory, std::integral_constant<IonGeneration, g1>, std::integral_constant<IonGeneration, g2>,
                          std::integral_constant<IonGeneration, g3>);

TEST_CASE("rows 17, 20: what waits to be freed is to be had, of this heap and of all others") {
  DeviceScene scene(board, Freeing::later);
  Program<g3> program(scene);
  for (int round = 0; round < 3; ++round) {
    for (const std::uint32_t heap : {carveout, chunk}) {
      const std::uint64_t handle = program.buffer(heap, 1 << 20);
      CHECK(program.free(handle) == done);
    }
    CHECK(scene.later.waiting(2) == 1 << 20);
    CHECK(scene.later.waiting(3) == 1 << 20);
  }
  CHECK(buffers(scene) == 2);
  scene.later.drain(HeapMask::all());
  CHECK(buffers(scene) == 0);
}

TEST_CASE("A2, weakness 3: a handle that its client was not told of yet nobody can name") {
  DeviceScene scene(board);
  Program<g3> program(scene);
  Errno error = Errno::none;
  auto& client = program.ion.client();
  {
    auto draft = client.allocate({.length = 4096, .mask = carveout}, error);
    REQUIRE(draft);
    CHECK(draft->handle(WordSize::bits64) == 1);
    CHECK(client.free(1, WordSize::bits64) == Errno::invalid);
    CHECK(program.buffer() == 2);
  }
  CHECK(buffers(scene) == 1);
  CHECK(program.buffer() == 1);
  // One more reference that is on its way keeps the handle, and counts for no free.
  DeviceScene::Shared::Ref hold;
  CHECK(client.share(1, WordSize::bits64, hold) == Errno::none);
  {
    auto draft = client.import(hold, error);
    REQUIRE(draft);
    CHECK(program.free(1) == done);
    CHECK(program.free(1) == Errno::invalid);
    draft->keep();
  }
  CHECK(program.free(1) == done);
  CHECK(program.free(1) == Errno::invalid);
}

TEST_CASE("row 26: references end where their count does") {
  DeviceScene scene(board);
  { auto file = scene.open_ion<g3>(); }
  IonClient<DeviceScene::Shared, lock::Futex, 2, 3> client(scene.ion_heaps, *scene.device.open(), scene.cookies);
  Errno error = Errno::none;
  client.allocate({.length = 4096, .mask = carveout}, error)->keep();
  DeviceScene::Shared::Ref hold;
  CHECK(client.share(1, WordSize::bits64, hold) == Errno::none);
  client.import(hold, error)->keep();
  {
    const auto draft = client.import(hold, error);
    CHECK(!client.import(hold, error));
    CHECK(error == Errno::no_memory);
  }
  client.import(hold, error)->keep();
  CHECK(!client.import(hold, error));
  for (int i = 0; i < 3; ++i) CHECK(client.free(1, WordSize::bits64) == Errno::none);
  CHECK(client.free(1, WordSize::bits64) == Errno::invalid);
  // And handles where their table does.
  client.allocate({.length = 4096, .mask = carveout}, error)->keep();
  client.allocate({.length = 4096, .mask = carveout}, error)->keep();
  CHECK(!client.allocate({.length = 4096, .mask = carveout}, error));
  CHECK(error == Errno::no_memory);
  CHECK(buffers(scene) == 3);  // and what `hold` holds
}

TEST_CASE("row 20: a range is of a mapping of the buffer's own; G2 may mean all of it; a descriptor does for a handle") {
  for_each_word([](WordSize word) {
    DeviceScene scene(board);
    Program<g1> program(scene, word);
    const std::uint64_t handle = program.buffer();
    const std::int32_t fd = program.shared(handle);
    program.caller.mapped_length = 8192;
    const auto maintain = [&](std::uint64_t of, std::int32_t file, std::uint64_t address, std::uint32_t length) {
      IonCacheCall range{.handle = of, .fd = file, .address = address, .length = length};
      for (const unsigned number : {7U, 8U})
        CHECK(program.call<IonCacheWire>((word == WordSize::bits64 ? 0xC0204900 : 0xC0144900) | number, range) ==
              program.call<IonCacheWire>((word == WordSize::bits64 ? 0xC0204909 : 0xC0144909), range));
      return program.call<IonCacheWire>((word == WordSize::bits64 ? 0xC0204909 : 0xC0144909), range);
    };
    CHECK(maintain(handle, 0, 0x70000000, 8192) == done);
    CHECK(maintain(0, fd, 0x70000000, 4096) == done);
    CHECK(maintain(handle, 0, 0x70000000, 8193) == Errno::invalid);
    CHECK(maintain(handle, 0, 0, 4096) == Errno::invalid);
    CHECK(maintain(0, -1, 0x70000000, 4096) == Errno::invalid);
    CHECK(maintain(handle + 16, 0, 0x70000000, 4096) == Errno::invalid);
  });
}

TEST_CASE("row 1, 20: G2's CUSTOM: cache operations of all of a buffer, PREFETCH and DRAIN; other commands there are not") {
  for_each_word([](WordSize word) {
    const bool is_64 = word == WordSize::bits64;
    DeviceScene scene(board, Freeing::later);
    Program<g2> program(scene, word);
    const std::uint64_t handle = program.buffer();
    constexpr std::uint64_t inner = Caller::start + 0x800;
    const auto custom = [&](std::uint32_t code, const auto& values, auto wire) {
      using W = decltype(wire);
      W::write(values, program.caller.bytes().subspan(0x800), word);
      IonCustom call{.command = code, .argument = inner};
      return program.call<IonCustomWire>(program.number.custom, call);
    };
    for (std::uint32_t number = 0; number < 3; ++number) {
      const std::uint32_t code = (is_64 ? 0xC0204D00 : 0xC0144D00) | number;
      CHECK(custom(code, IonCacheCall{.handle = handle}, IonCacheWire()) == done);
      CHECK(custom(code, IonCacheCall{.handle = handle, .address = 0x1000, .length = 4096}, IonCacheWire()) == Errno::invalid);
      CHECK(custom(code, IonCacheCall{.handle = handle + 16}, IonCacheWire()) == Errno::invalid);
    }
    const std::uint32_t prefetch = is_64 ? 0xC0104D03 : 0xC0084D03, drain = prefetch + 1;
    for (const std::uint32_t code : {prefetch, drain}) {
      CHECK(custom(code, IonPrefetch{.heap = 2, .length = 1 << 20}, IonPrefetchWire()) == done);
      CHECK(custom(code, IonPrefetch{.heap = 2, .length = (1 << 20) + 1}, IonPrefetchWire()) == Errno::invalid);
      CHECK(custom(code, IonPrefetch{.heap = 7}, IonPrefetchWire()) == Errno::invalid);
      CHECK(custom(code, IonPrefetch{.heap = -1}, IonPrefetchWire()) == Errno::invalid);
    }
    CHECK(program.free(handle) == done);
    CHECK(scene.later.waiting(2) == 8192);
    CHECK(custom(drain, IonPrefetch{.heap = 2}, IonPrefetchWire()) == done);
    CHECK(scene.later.waiting(2) == 0);
    CHECK(custom(prefetch + 2, IonPrefetch{.heap = 2}, IonPrefetchWire()) == Errno::no_such_command);
  });
}

TEST_CASE("CUSTOM is the platform's, where it has one: with the caller's memory, and his handles") {
  SceneOver<CustomPlatform, scene_limits> scene(*read_toml(board));
  auto ion = scene.open_ion<g3>();
  Caller caller;
  const auto call = [&](std::uint32_t command, std::uint64_t value) {
    IonCustomWire::write({.command = command, .argument = value}, caller.bytes(), WordSize::bits64);
    return ion.ioctl(caller, Command{0xC0104906}, argument);
  };
  Errno error = Errno::none;
  ion.client().allocate({.length = 4096, .mask = carveout}, error)->keep();
  caller.put(0x100, std::uint64_t{1});
  CHECK(call(76, argument + 0x100) == Errno::no_such_command);
  CHECK(call(77, 0) == Errno::fault);
  CHECK(call(77, argument + 0x100) == done);
  CHECK(call(77, argument + 0x100) == Errno::invalid);
  CHECK(scene.device.buffer_count() == 0);
}

TEST_CASE("a custom heap is of the strategy that its board says") {
  DeviceScene scene(R"(
[[heap]]
name = "frames"
id = 6
type = "custom"
strategy = "system_contig"
size = "1M"
base = 0x6000_0000
)");
  Program<g3> program(scene);
  std::uint64_t handle = 0;
  CHECK(program.allocate(3 * 4096, 1 << 6, handle) == done);
  IonQuery query{.count = 1, .heaps = argument + 0x100};
  CHECK(program.call<IonQueryWire>(0xC0184908, query) == done);
  CHECK(program.caller.get<std::uint32_t>(0x100 + 32) == 5);
  BoardTable board_of{.heaps = {{.name = "x", .type = "nothing"}}};
  CHECK(take_types(board_of).what == TextFault::unknown_word);
}

TEST_CASE("row 21: HEAP_QUERY of G3 is G4's") {
  DeviceScene scene(board);
  Program<g3> program(scene);
  IonQuery query;
  CHECK(program.call<IonQueryWire>(0xC0184908, query) == done);
  CHECK(query.count == 6);
  query.reserved1 = 1;
  CHECK(program.call<IonQueryWire>(0xC0184908, query) == Errno::invalid);
}

TEST_CASE("SYNC: all of a buffer, and of nothing else") {
  DeviceScene scene(board);
  Program<g3> program(scene);
  const std::int32_t fd = program.shared(program.buffer());
  IonFd shared{.fd = fd};
  CHECK(program.call<IonFdWire<g3>>(0xC0084907, shared) == done);
  CHECK(static_cast<DeviceScene::Buffer*>(program.caller.files[0].file.get())->memory().synced.size() == 1);
  shared.fd = Caller::foreign_fd;
  CHECK(program.call<IonFdWire<g3>>(0xC0084907, shared) == Errno::invalid);
  shared.fd = -1;
  CHECK(program.call<IonFdWire<g3>>(0xC0084907, shared) == Errno::bad_file);
}
