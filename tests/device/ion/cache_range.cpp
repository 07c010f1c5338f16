#include <freestone/device/ion/cache_range.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/file_heap.hpp>
#include <freestone/device/heap_buffer.hpp>
#include <freestone/device/ion/handle_file.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/share/device.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>

#include "support/device_calls.hpp"

using namespace freestone;
using namespace freestone::device;

namespace {

constexpr auto no_such = static_cast<CacheCommand>(3);
constexpr std::uint64_t most = ~std::uint64_t{0};

// What was done: each byte's number of the buffer, as the inner cache was told, and each byte's physical address.
struct Touched {
  std::vector<std::uint64_t> inner = {};
  std::vector<std::uint64_t> addresses = {};
  std::vector<std::uint64_t> outer = {};
  unsigned whole = 0;
  bool is_empty_told = false;
  bool is_outer_first = false;
  std::optional<CacheCommand> command = {};

  bool operator==(const Touched&) const = default;

  void operator()(const InnerRange& range, CacheCommand told) {
    command = told;
    is_empty_told |= range.length == 0;
    for (std::uint64_t at = 0; at < range.length.value(); ++at) {
      inner.push_back(range.offset.value() + at);
      addresses.push_back(range.address + at);
    }
  }
  void operator()(const OuterRange& range, CacheCommand told) {
    command = told;
    is_empty_told |= range.length == 0;
    is_outer_first |= inner.empty();
    for (std::uint64_t at = 0; at < range.length.value(); ++at) outer.push_back(range.start.value() + at);
  }
  void operator()(WholeBuffer, CacheCommand told) {
    command = told;
    ++whole;
  }
};

struct Ran {
  Errno error;
  Touched touched;
};

Ran run(const CachedBuffer& buffer, const CacheCall& call) {
  Ran ran{};
  ran.error = cache_operations(buffer, call, ran.touched);
  return ran;
}

// The same, byte by byte.
std::vector<std::uint64_t> addresses_of(std::span<const PhysicalPiece> pieces) {
  std::vector<std::uint64_t> all;
  for (const PhysicalPiece& piece : pieces) {
    for (std::uint64_t at = 0; at < piece.length.value(); ++at) all.push_back(piece.address.value() + at);
  }
  return all;
}
bool is_in_mapping(const CacheCall& call) {
  if (!call.mapping) return false;
  const auto has = [&](std::uint64_t address) { return address >= call.mapping->start && address < call.mapping->end; };
  for (std::uint64_t at = 0; at < call.length; ++at) {
    if (call.address > most - at - 1 || !has(call.address + at)) return false;  // its end would be address 0
  }
  return call.length != 0 || (has(call.address) && call.address != 0 && has(call.address - 1));
}
// Every border between bytes that the range touches is one of the buffer's.
bool is_in_buffer(std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
  for (std::uint64_t at = 0; at <= length; ++at) {
    if (offset > most - at || offset + at > size) return false;
  }
  return true;
}

Ran model(const CachedBuffer& buffer, const CacheCall& call) {
  const bool is_whole = call.null_is_whole && call.address == 0;
  if (!is_whole && !is_in_mapping(call)) return {Errno::invalid, {}};
  if (!buffer.is_cached) return {Errno::none, {}};
  if (buffer.reach == CacheReach::nothing) return {Errno::no_device, {}};
  if (call.command == no_such) return {Errno::invalid, {}};
  Touched touched;
  touched.command = call.command;
  if (is_whole) return touched.whole = 1, Ran{Errno::none, touched};

  const std::uint64_t size = buffer.size.value();
  std::uint64_t shown = call.mapping->offset;
  for (std::uint64_t address = call.mapping->start; address != call.address; ++address) ++shown;
  if (!is_in_buffer(size, shown, call.length) || !is_in_buffer(size, call.offset, call.length)) return {Errno::invalid, {}};
  const auto physical = addresses_of(buffer.pieces);
  for (std::size_t at = 0; at < size; ++at) {
    if (at >= shown && at < shown + call.length) {
      touched.inner.push_back(at);
      touched.addresses.push_back(call.address + (at - shown));
    }
    const bool is_asked = at >= call.offset && at < call.offset + call.length;
    if (buffer.has_outer_cache && (is_asked || buffer.reach == CacheReach::every_page)) touched.outer.push_back(physical[at]);
  }
  if (touched.inner.empty() && touched.outer.empty()) touched.command.reset();
  touched.is_outer_first = !touched.outer.empty() && (touched.inner.empty() || call.command == CacheCommand::invalidate);
  return {Errno::none, touched};
}

bool agrees(const CachedBuffer& buffer, const CacheCall& call) {
  const Ran is = run(buffer, call);
  const Ran should = model(buffer, call);
  if (is.error == should.error && is.touched == should.touched) return true;
  INFO("address ", call.address, " offset ", call.offset, " length ", call.length, " command ", static_cast<unsigned>(call.command));
  INFO("mapping ", call.mapping ? call.mapping->start : most, " to ", call.mapping ? call.mapping->end : most, " at ",
       call.mapping ? call.mapping->offset : most, " reach ", static_cast<unsigned>(buffer.reach));
  CHECK(is.error == should.error);
  CHECK(is.touched == should.touched);
  return false;
}

// Three pieces, the last of which has two bytes more than the buffer, and one that is next to another.
const std::array<PhysicalPiece, 3> pieces{PhysicalPiece{PhysicalAddress(0x1000), 2}, PhysicalPiece{PhysicalAddress(0x1002), 1},
                                          PhysicalPiece{PhysicalAddress(0x800), 4}};
constexpr std::uint64_t size = 5;

// Each address, offset and length that makes a difference, round a mapping of some bytes that begins at `first`: small ones, and
// those that wrap. False at the first that is not as the model has it.
bool all_ranges_agree(const CachedBuffer& buffer, CacheCall call, std::uint64_t first) {
  for (int address = -1; address <= 7; ++address) {
    for (int length = -6; length <= 8; ++length) {
      for (int offset = -1; offset <= 6; ++offset) {
        call.address = first + static_cast<std::uint64_t>(address);
        call.length = static_cast<std::uint64_t>(length);
        call.offset = static_cast<std::uint64_t>(offset);
        if (!agrees(buffer, call)) return false;
      }
    }
  }
  return true;
}

bool all_mappings_agree(const CachedBuffer& buffer, CacheCall call, std::uint64_t first) {
  call.mapping.reset();
  if (!all_ranges_agree(buffer, call, first)) return false;
  for (const std::uint64_t length : {0U, 1U, 2U, 5U, 7U}) {
    for (std::uint64_t offset = 0; offset <= 3; ++offset) {
      call.mapping = CallerMapping{first, first + length, offset};
      if (first + length >= first && !all_ranges_agree(buffer, call, first)) return false;
    }
  }
  return true;
}

bool all_buffers_agree(const CacheCall& call, std::uint64_t first) {
  for (const CacheReach reach : {CacheReach::nothing, CacheReach::asked, CacheReach::every_page}) {
    for (const bool is_cached : {true, false}) {
      for (const bool has_outer_cache : {true, false}) {
        const CachedBuffer buffer{size, pieces, reach, is_cached, has_outer_cache};
        if (!all_mappings_agree(buffer, call, first)) return false;
      }
    }
  }
  return true;
}

// A buffer of one piece, all of it mapped at 0x10000.
const std::array<PhysicalPiece, 1> one_piece{PhysicalPiece{PhysicalAddress(0x40000000), 0x3000}};
constexpr CallerMapping all_of_it{0x10000, 0x13000, 0};

}  // namespace

TEST_CASE("row 20: each range touches what a walk byte by byte finds") {
  for (const CacheCommand command : {CacheCommand::clean, CacheCommand::invalidate, CacheCommand::clean_invalidate, no_such}) {
    for (const bool null_is_whole : {false, true}) {
      const CacheCall call{.command = command, .null_is_whole = null_is_whole};
      CHECK(all_buffers_agree(call, 1));  // from NULL on
      CHECK(all_buffers_agree(call, most - 5));  // up to the last address
    }
  }
}

TEST_CASE("row 20: what a caller asks for, in both caches") {
  const CachedBuffer buffer{0x3000, one_piece, CacheReach::asked, true, true};
  const CacheCall call{CacheCommand::clean_invalidate, 0x10800, 0x800, 0x1800, all_of_it};
  const auto [error, touched] = run(buffer, call);
  CHECK(error == Errno::none);
  CHECK(touched.command == CacheCommand::clean_invalidate);
  REQUIRE(touched.addresses.size() == 0x1800);
  CHECK(touched.addresses.front() == 0x10800);
  CHECK(touched.inner.front() == 0x800);
  REQUIRE(touched.outer.size() == 0x1800);  // more than the one page of the original's contiguous system heap
  CHECK(touched.outer.front() == 0x40000800);
  CHECK(touched.outer.back() == 0x40001fff);
}

TEST_CASE("row 20: of a scattered heap the outer cache is told of every page, of an empty range too") {
  const CachedBuffer buffer{size, pieces, CacheReach::every_page, true, true};
  const CacheCall call{CacheCommand::clean, 0x101, 0, 0, CallerMapping{0x100, 0x105, 0}};
  const auto [error, touched] = run(buffer, call);
  CHECK(error == Errno::none);
  CHECK(touched.inner.empty());
  CHECK(touched.outer == std::vector<std::uint64_t>{0x1000, 0x1001, 0x1002, 0x800, 0x801});
}

TEST_CASE("row 20: where a range is bad: outside of the mapping, wrapping, empty at its start") {
  const CachedBuffer buffer{0x3000, one_piece, CacheReach::asked, true, true};
  struct Case {
    std::uint64_t address, length;
    Errno error;
  };
  const Case cases[] = {
      {0x10000, 0x3000, Errno::none},    {0x10000, 0x3001, Errno::invalid}, {0xffff, 1, Errno::invalid},
      {0xffff, 2, Errno::invalid},       {0x12fff, 1, Errno::none},         {0x13000, 1, Errno::invalid},
      {0x10000, 0, Errno::invalid},      {0x10001, 0, Errno::none},         {0x12fff, 0, Errno::none},
      {0x13000, 0, Errno::invalid},      {0x10001, most, Errno::invalid},   {0x10001, most - 0x10000, Errno::invalid},
      {0x10001, most - 0xffff, Errno::invalid}, {most, 1, Errno::invalid},  {0, 0, Errno::invalid},
  };
  for (const Case& one : cases) {
    INFO("address ", one.address, " length ", one.length);
    const CacheCall call{CacheCommand::clean, one.address, 0, one.length, all_of_it};
    const auto [error, touched] = run(buffer, call);
    CHECK(error == one.error);
    CHECK(touched.inner.size() == (error == Errno::none ? one.length : 0));
  }
}

TEST_CASE("row 20: weakness 9: neither another's mapping nor an offset leads out of the buffer") {
  const CachedBuffer buffer{0x3000, one_piece, CacheReach::asked, true, true};
  const auto answer = [&](const CachedBuffer& of, std::uint64_t offset, std::uint64_t length, std::optional<CallerMapping> mapping) {
    const auto [error, touched] = run(of, {CacheCommand::invalidate, 0x10001, offset, length, mapping});
    CHECK((error == Errno::none || touched == Touched{}));
    return error;
  };
  CHECK(answer(buffer, 0, 1, std::nullopt) == Errno::invalid);
  CHECK(answer(buffer, 0x2fff, 1, all_of_it) == Errno::none);
  CHECK(answer(buffer, 0x3000, 1, all_of_it) == Errno::invalid);
  CHECK(answer(buffer, 0x3000, 0, all_of_it) == Errno::none);
  CHECK(answer(buffer, 0x3001, 0, all_of_it) == Errno::invalid);
  CHECK(answer(buffer, most, 1, all_of_it) == Errno::invalid);
  CHECK(answer(buffer, most, 2, all_of_it) == Errno::invalid);
  CHECK(answer(buffer, 0, 0x1000, CallerMapping{0x10000, 0x13000, 0x1000}) == Errno::none);
  CHECK(answer(buffer, 0, 0x2000, CallerMapping{0x10000, 0x13000, 0x1000}) == Errno::invalid);
  CHECK(answer(buffer, 0, 1, CallerMapping{0x10000, 0x13000, most}) == Errno::invalid);
  CachedBuffer scattered = buffer;
  scattered.reach = CacheReach::every_page;
  CHECK(answer(scattered, 0x3000, 1, all_of_it) == Errno::invalid);
  CachedBuffer uncached = buffer;
  uncached.is_cached = false;
  CHECK(answer(uncached, most, 2, all_of_it) == Errno::none);  // there is no work that could lead out
  CHECK(answer(uncached, 0, 1, std::nullopt) == Errno::invalid);
}

TEST_CASE("row 20: at NULL the whole buffer in the second generation, whatever offset and length are; in the first an error") {
  CachedBuffer buffer{0x3000, one_piece, CacheReach::asked, true, true};
  CacheCall call{CacheCommand::invalidate, 0, most, most, std::nullopt, true};
  const auto [error, touched] = run(buffer, call);
  CHECK(error == Errno::none);
  CHECK(touched == Touched{.whole = 1, .command = CacheCommand::invalidate});
  call.command = no_such;
  CHECK(run(buffer, call).error == Errno::invalid);
  buffer.reach = CacheReach::nothing;
  CHECK(run(buffer, call).error == Errno::no_device);
  buffer.is_cached = false;
  CHECK(run(buffer, call).error == Errno::none);
  CHECK(run(buffer, call).touched == Touched{});
  call.null_is_whole = false;
  CHECK(run(buffer, call).error == Errno::invalid);
}

// A board's own tables can be held against it when they are compiled.
static_assert([] {
  const PhysicalPiece piece{PhysicalAddress(0x40000000), 0x3000};
  std::uint64_t bytes = 0;
  const auto act = [&](const auto& range, CacheCommand) {
    if constexpr (requires { range.length; }) bytes += range.length.value();
  };
  const CachedBuffer buffer{.size = 0x3000, .pieces = {&piece, 1}, .has_outer_cache = true};
  return cache_operations(buffer, {.address = 0x10000, .length = 0x10, .mapping = all_of_it}, act) == Errno::none && bytes == 0x20;
}());

TEST_CASE("row 20: the third generation's SYNC is one clean of all") {
  Touched touched;
  sync_operation(touched);
  CHECK(touched == Touched{.whole = 1, .command = CacheCommand::clean});
}

// --- A11 of the attacks: over a cache that no device sees (CVE-2023-4272, CVE-2022-0330) ---

namespace {

using namespace freestone::literals;
using tests::Caller;
using L = lock::None;
using CachedZone = Zone<backing::Anonymous, strategy::Bitmap, L, cache::Modelled>;

// A buffer's bytes in that cache, where they lie once somebody has said so.
struct CachedMemory {
  CachedZone* zone;
  Block block = {};

  void maintain(const InnerRange& range, CacheCommand command) { act(range.offset, range.length, command); }
  void maintain(WholeBuffer, CacheCommand command) { act(0, block.size(), command); }
  void sync(std::uint64_t flags) {
    act(0, block.size(), (flags & AccessBrackets::end) != 0 ? CacheCommand::clean : CacheCommand::invalidate);
  }

 private:
  void act(Bytes offset, Bytes length, CacheCommand command) {
    if (command != CacheCommand::invalidate) CHECK(zone->clean(block, offset, length));
    if (command != CacheCommand::clean) CHECK(zone->invalidate(block, offset, length));
  }
};
struct CachedPlatform {
  using Memory = CachedMemory;

  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes) noexcept { return Memory{zone}; }
  CachedZone* zone;
};

using CachedDevice = Device<CachedZone, CachedPlatform, ShareLimits{.clients = 4, .buffers = 4, .handles = 4, .blocks = 1},
                            scrub::Zero, PlainLocks<L>, CompilerAtomics, HeapBuffer<CachedMemory, L>>;

struct CachedScene {
  explicit CachedScene(IonGeneration generation)
      : ion{.device = &device, .heaps = walk, .generation = generation} {}

  CachedZone zone = std::move(*CachedZone::create({.name = "cached", .size = 64_KiB}));
  CachedPlatform platform{&zone};
  CachedDevice device{zone, platform, TagKey{1, 2}};
  FileHeap<CachedDevice, L> heap{device, {.name = "carveout", .type = HeapType::carveout, .id = 0, .size = 64_KiB}};
  std::array<FileHeap<CachedDevice, L>*, 1> walk{&heap};
  IonHeaps<CachedDevice, L> ion;
  IonCookies<L> cookies;

  void evict() {
    for (std::uint64_t seed = 1; seed < 20; ++seed) zone.cache().evict(seed);
  }
};

// A program with a buffer that its CPU sees at `mapped_at`, and a device that is told where it lies.
template <IonGeneration generation>
struct CachedProgram {
  explicit CachedProgram(CachedScene& scene, std::uint64_t length = 64 << 10)
      : scene(scene), ion(scene.ion, *scene.device.open(), scene.cookies, OpenFlags{OpenFlags::read_write}) {
    IonAllocation wanted{.length = length, .heap_mask = 1, .flags = ion_flag::cached};
    REQUIRE(call<IonAllocationWire<generation>>('I', 0, wanted) == done);
    handle = wanted.handle;
    IonFd shared{.handle = handle};
    REQUIRE(call<IonFdWire<generation>>('I', 4, shared) == done);  // by which in the first generation it is cached
    fd = shared.fd;
    CachedDevice::Ref buffer;
    REQUIRE(ion.client().share(handle, WordSize::bits64, buffer) == Errno::none);
    block = buffer.parts().blocks[0];
    buffer.extra().memory().block = block;
    caller.mapped_length = length;
    caller.mapped_place = buffer.id().place;
  }

  template <class W>
  Answer call(char magic, unsigned number, typename W::Struct& values) {
    W::write(values, caller.bytes(), WordSize::bits64);
    const Answer answer = ion.ioctl(caller, code<W>(magic, number), Caller::start);
    values = W::read(caller.bytes(), WordSize::bits64);
    return answer;
  }
  // CLEAN, INV or CLEAN_INV of what its CPU sees there; of all, where the generation knows no less.
  Answer maintain(CacheCommand command, std::uint64_t offset, std::uint32_t length) {
    const auto number = static_cast<unsigned>(command);
    IonCacheCall range{.handle = handle, .address = caller.mapped_at + offset, .length = length};
    range.offset = static_cast<std::uint32_t>(offset);
    if constexpr (generation == IonGeneration::g1) {
      return call<IonCacheWire>('I', 7 + number, range);
    } else if constexpr (generation == IonGeneration::g2) {
      IonCacheWire::write(range, caller.bytes().subspan(0x800), WordSize::bits64);
      IonCustom custom{.command = code<IonCacheWire>('M', number).code, .argument = Caller::start + 0x800};
      return call<IonCustomWire>('I', 6, custom);
    } else {
      IonFd shared{.fd = fd};
      return call<IonFdWire<generation>>('I', 7, shared);
    }
  }
  // It ends as programs do: all of what it had goes.
  void end() {
    IonHandle gone{handle};
    CHECK(call<IonHandleWire<generation>>('I', 1, gone) == done);
    caller.files.clear();
  }

  std::span<std::byte> cpu() { return scene.zone.data(block); }
  void cpu_fills(std::uint8_t with) { std::ranges::fill(cpu(), std::byte{with}); }
  bool cpu_sees(std::uint8_t what, std::size_t offset = 0, std::size_t length = std::dynamic_extent) {
    return std::ranges::all_of(cpu().subspan(offset, length), [&](std::byte one) { return one == std::byte{what}; });
  }
  void device_fills(std::uint8_t with) {
    const std::vector<std::byte> bytes(cpu().size(), std::byte{with});
    REQUIRE(scene.zone.cache().device_write(block.offset(), bytes));
  }
  bool device_sees(std::uint8_t what, std::size_t offset = 0, std::size_t length = std::dynamic_extent) {
    std::vector<std::byte> seen(length == std::dynamic_extent ? cpu().size() - offset : length);
    return scene.zone.cache().device_read(block.offset() + offset, seen) &&
           std::ranges::all_of(seen, [&](std::byte one) { return one == std::byte{what}; });
  }

  CachedScene& scene;
  Caller caller;
  IonHandleFile<CachedDevice, L, generation> ion;
  std::uint64_t handle = 0;
  std::int32_t fd = -1;
  Block block = {};

 private:
  template <class W>
  static Command code(char magic, unsigned number) {
    return Command::of(Direction::both, magic, number, static_cast<std::uint32_t>(W::length(WordSize::bits64)));
  }
};
using G1 = std::integral_constant<IonGeneration, IonGeneration::g1>;
using G2 = std::integral_constant<IonGeneration, IonGeneration::g2>;
using G3 = std::integral_constant<IonGeneration, IonGeneration::g3>;

constexpr std::uint8_t nothing = 0, secret = 0xa5, older = 0x5a, own = 7;
constexpr std::uint32_t page = 4096;

}  // namespace

TEST_CASE_TEMPLATE("A11: ION: what a former owner left in the cache is never seen by the next, nor written over his bytes", G, G1, G2, G3) {
  CachedScene scene(G::value);
  for (std::uint64_t turn = 1; turn <= 10; ++turn) {
    {
      CachedProgram<G::value> former(scene);
      former.device_fills(older);  // in memory, and the CPU's lines are others
      former.cpu_fills(secret);    // and nobody cleans them
      scene.zone.cache().evict(turn);
      CHECK(scene.zone.cache().dirty_lines() != 0);
      if (turn % 2 == 0) former.end();  // else with its client
    }
    CachedProgram<G::value> next(scene);
    CHECK(scene.zone.cache().dirty_lines() == 0);
    CHECK(next.cpu_sees(0));
    CHECK(next.device_sees(0));
    scene.evict();
    CHECK(next.cpu_sees(0));
    CHECK(next.device_sees(0));
    next.device_fills(own);
    scene.evict();
    CHECK(next.device_sees(own));
    CHECK(next.maintain(CacheCommand::invalidate, 0, 64 << 10) == done);
    CHECK(next.device_sees(own));
  }
}

TEST_CASE_TEMPLATE("A11: ION: what the CPU wrote is a device's after CLEAN of that range (G3: SYNC), and not before", G, G1, G2, G3) {
  CachedScene scene(G::value);
  CachedProgram<G::value> program(scene);
  for (const CacheCommand command : {CacheCommand::clean, CacheCommand::clean_invalidate}) {
    const bool is_first = command == CacheCommand::clean;
    const std::uint8_t now = is_first ? own : older, before = is_first ? nothing : own;
    program.cpu_fills(now);
    CHECK(program.device_sees(before));
    CHECK(program.maintain(command, page, page) == done);
    CHECK(program.device_sees(now, page, page));
    if (G::value != IonGeneration::g3) CHECK((program.device_sees(before, 0, page) && program.device_sees(before, 2 * page)));
    CHECK(program.maintain(command, 0, 64 << 10) == done);
    CHECK(program.device_sees(now));
    CHECK(program.cpu_sees(now));
  }
}

TEST_CASE_TEMPLATE("A11: ION: what a device wrote is the CPU's after INV of that range, and not before", G, G1, G2) {
  CachedScene scene(G::value);
  CachedProgram<G::value> program(scene);
  program.device_fills(own);
  CHECK(program.cpu_sees(0));
  CHECK(program.maintain(CacheCommand::clean, 0, 64 << 10) == done);  // of no use, and no harm: nothing was written
  CHECK(program.cpu_sees(0));
  CHECK(program.device_sees(own));
  CHECK(program.maintain(CacheCommand::invalidate, page, page) == done);
  CHECK(program.cpu_sees(own, page, page));
  CHECK((program.cpu_sees(0, 0, page) && program.cpu_sees(0, 2 * page)));
  CHECK(program.maintain(CacheCommand::clean_invalidate, 0, 64 << 10) == done);
  CHECK(program.cpu_sees(own));
}

TEST_CASE("A11: G3: what a device wrote is the CPU's after the descriptor's SYNC that begins an access, and not after ION's") {
  CachedScene scene(IonGeneration::g3);
  CachedProgram<IonGeneration::g3> program(scene);
  program.device_fills(own);
  CHECK(program.maintain(CacheCommand::clean, 0, 0) == done);
  CHECK(program.cpu_sees(0));
  program.caller.put(0, std::uint64_t{AccessBrackets::read});
  CHECK(program.caller.with_buffer<DmaBuf<CachedDevice, L>>(program.fd, nullptr, [&](auto& buffer) {
    return buffer.ioctl(program.caller, Command{0x40086200}, Caller::start);
  }) == done);
  CHECK(program.cpu_sees(own));
}

TEST_CASE("A11: G2: at NULL all of the buffer's lines, and none of another's") {
  CachedScene scene(IonGeneration::g2);
  CachedProgram<IonGeneration::g2> program(scene, 32 << 10), other(scene, 32 << 10);
  program.caller.mapped_at = 0;
  other.cpu_fills(secret);
  program.device_fills(own);
  CHECK(program.maintain(CacheCommand::invalidate, 0, 0) == done);
  CHECK(program.cpu_sees(own));
  program.cpu_fills(older);
  CHECK(program.maintain(CacheCommand::clean, 0, 0) == done);
  CHECK(program.device_sees(older));
  CHECK(other.cpu_sees(secret));
  CHECK(other.device_sees(0));
}

TEST_CASE_TEMPLATE("A11, weakness 9: no range of one buffer's drops or writes out the lines of the next one's", G, G1, G2) {
  CachedScene scene(G::value);
  CachedProgram<G::value> program(scene, 32 << 10), other(scene, 32 << 10);
  other.cpu_fills(secret);
  program.caller.mapped_length = 64 << 10;  // says he
  for (const CacheCommand command : {CacheCommand::clean, CacheCommand::invalidate, CacheCommand::clean_invalidate}) {
    CHECK(program.maintain(command, 0, 64 << 10) == Errno::invalid);
    CHECK(program.maintain(command, (32 << 10) - 1, 2) == Errno::invalid);
    CHECK(program.maintain(command, 32 << 10, page) == Errno::invalid);
    CHECK(program.maintain(command, 0, 32 << 10) == done);
    CHECK(other.cpu_sees(secret));
    CHECK(other.device_sees(0));
  }
}
