#include <freestone/device/wire.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <doctest/doctest.h>

#include <freestone/device/command.hpp>
#include <freestone/device/dma_heap.hpp>
#include <freestone/device/ion.hpp>

using namespace freestone;
using namespace freestone::device;

namespace {

// As a C compiler of this machine lays it out.
struct Mixed {
  std::uint32_t first;
  std::int32_t second;
  unsigned long third;
  std::uint32_t fourth;
};
struct Values {
  std::uint32_t first = 0;
  std::int64_t second = 0;
  std::uint64_t third = 0;
  std::uint64_t fourth = 0;
};
using MixedWire = Wire<Values, Field<&Values::first, FieldType::u32>, Field<&Values::second, FieldType::s32>,
                       Field<&Values::third, FieldType::word>, Field<&Values::fourth, FieldType::u32>>;
constexpr WordSize here = sizeof(long) == 8 ? WordSize::bits64 : WordSize::bits32;

// ION's oldest ALLOC: lengths and offsets as the specification's table has them for both widths (ION 1.1, 1.3).
struct OldAllocation {
  std::uint64_t length = 0, align = 0, handle = 0;
  std::uint32_t flags = 0;
};
using OldWire = Wire<OldAllocation, Field<&OldAllocation::length, FieldType::word>,
                     Field<&OldAllocation::align, FieldType::word>, Field<&OldAllocation::flags, FieldType::u32>,
                     Field<&OldAllocation::handle, FieldType::word>>;

template <class W>
constexpr std::uint32_t code(Direction direction, char magic, unsigned number, WordSize word) {
  return Command::of(direction, magic, number, static_cast<std::uint32_t>(W::length(word))).code;
}

}  // namespace

TEST_CASE("numbers of commands are those of the specification") {
  for (const WordSize word : {WordSize::bits32, WordSize::bits64}) {
    CHECK(code<IonAllocationWire<IonGeneration::g4>>(Direction::both, 'I', 0, word) == 0xC0184900);
    CHECK(code<IonQueryWire>(Direction::both, 'I', 8, word) == 0xC0184908);
    CHECK(code<IonVersionWire>(Direction::read, 'I', 9, word) == 0x80044909);
    CHECK(code<DmaHeapWire>(Direction::both, 'H', 0, word) == 0xC0184800);
  }
  CHECK(code<OldWire>(Direction::both, 'I', 0, WordSize::bits32) == 0xC0104900);
  CHECK(code<OldWire>(Direction::both, 'I', 0, WordSize::bits64) == 0xC0204900);
  const Command command{0xC0184900};
  CHECK(command.number() == 0);
  CHECK(command.magic() == 'I');
  CHECK(command.length() == 24);
  CHECK(command.hands_in());
  CHECK(command.gets_back());
  CHECK(!Command{0x40086200}.gets_back());
  CHECK(!Command{0x80044909}.hands_in());
}

TEST_CASE("fields lie where the specification has them, for callers of either width") {
  CHECK(OldWire::offset<&OldAllocation::align>(WordSize::bits32) == 4);
  CHECK(OldWire::offset<&OldAllocation::align>(WordSize::bits64) == 8);
  CHECK(OldWire::offset<&OldAllocation::flags>(WordSize::bits64) == 16);
  CHECK(OldWire::offset<&OldAllocation::handle>(WordSize::bits32) == 12);
  CHECK(OldWire::offset<&OldAllocation::handle>(WordSize::bits64) == 24);
  CHECK(!OldWire::is_dense(WordSize::bits64));  // 4 bytes before the handle
  CHECK(OldWire::is_dense(WordSize::bits32));
  CHECK(IonAllocationWire<IonGeneration::g4>::offset<&IonAllocation::fd>(WordSize::bits32) == 16);
  CHECK(IonQueryWire::offset<&IonQuery::heaps>(WordSize::bits64) == 8);
  CHECK(DmaHeapWire::offset<&DmaHeapAllocation::fd_flags>(WordSize::bits64) == 12);
  CHECK(DmaHeapWire::offset<&DmaHeapAllocation::heap_flags>(WordSize::bits64) == 16);
}

TEST_CASE("a struct of a compiler's is read and written as it is") {
  Mixed mixed;
  std::memset(&mixed, 0xaa, sizeof mixed);
  mixed.first = 0x80000001U;
  mixed.second = -5;
  mixed.third = static_cast<unsigned long>(-3L);
  mixed.fourth = 0x89abcdefU;
  std::array<std::byte, sizeof mixed> bytes;
  std::memcpy(bytes.data(), &mixed, sizeof mixed);
  REQUIRE(MixedWire::length(here) == sizeof mixed);
  const Values values = MixedWire::read(bytes, here);
  CHECK(values.first == 0x80000001U);
  CHECK(values.second == -5);
  CHECK(values.third == static_cast<unsigned long>(-3L));
  CHECK(values.fourth == 0x89abcdefU);

  std::array<std::byte, sizeof mixed> back;
  std::memcpy(back.data(), &mixed, sizeof mixed);
  MixedWire::write({.first = 7, .second = -1, .third = 9, .fourth = 10}, back, here);
  Mixed changed;
  std::memcpy(&changed, back.data(), sizeof changed);
  CHECK(changed.first == 7);
  CHECK(changed.second == -1);
  CHECK(changed.third == 9);
  CHECK(changed.fourth == 10);
}

TEST_CASE("of a struct cut anywhere the whole fields are read, and only they are written") {
  std::array<std::byte, 24> bytes;
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    bytes.fill(std::byte{0x11});
    const auto part = std::span(bytes).first(length);
    const IonAllocation values = IonAllocationWire<IonGeneration::g4>::read(part, WordSize::bits64);
    CHECK(values.length == (length >= 8 ? 0x1111111111111111U : 0));
    CHECK(values.heap_mask == (length >= 12 ? 0x11111111U : 0));
    CHECK(values.unused == (length >= 24 ? 0x11111111U : 0));
    IonAllocationWire<IonGeneration::g4>::write({.length = 0, .heap_mask = 0, .flags = 0, .fd = 0, .unused = 0}, part, WordSize::bits64);
    const std::size_t whole = length < 8 ? 0 : length / 4 * 4;
    for (std::size_t at = 0; at < bytes.size(); ++at) CHECK((bytes[at] == std::byte{0}) == (at < whole));
  }
}
