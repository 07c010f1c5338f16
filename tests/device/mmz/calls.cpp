#include <freestone/device/mmz/calls.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

#include <doctest/doctest.h>

using namespace freestone;
using namespace freestone::device;

namespace {

constexpr WordSize w32 = WordSize::bits32, w64 = WordSize::bits64;

// Row 2: the table of 1.1, of which a 32-bit caller of a 64-bit kernel has the 64-bit row.
struct Layout {
  std::size_t length, kernel_length, physical, align, size, order, mapped, bits, name, zone, gfp;
  friend constexpr bool operator==(const Layout&, const Layout&) = default;
};
template <MmzGeneration generation>
constexpr Layout layout_of(WordSize word) {
  using W = MmbInfoWire<generation>;
  using S = MmbInfo<generation>;
  return {W::length(word),
          mmb_kernel_length<generation>(word),
          W::template offset<&S::physical>(word),
          W::template offset<&S::align>(word),
          W::template offset<&S::size>(word),
          W::template offset<&S::order>(word),
          W::template offset<&S::mapped>(word),
          W::template offset<&S::bits>(word),
          W::template offset<&S::name>(word),
          W::template offset<&S::zone>(word),
          W::template offset<&S::gfp>(word)};
}
constexpr Layout first_two{76, 96, 0, 4, 8, 12, 16, 20, 24, 40, 72};
constexpr Layout aligned{80, 96, 0, 4, 8, 12, 16, 20, 24, 40, 72};
constexpr Layout wide{104, 136, 0, 8, 16, 24, 32, 40, 48, 64, 96};
static_assert(layout_of<MmzGeneration::g1>(w32) == first_two);
static_assert(layout_of<MmzGeneration::g2>(w32) == first_two);
static_assert(layout_of<MmzGeneration::g3>(w32) == aligned);
static_assert(layout_of<MmzGeneration::g4>(w32) == aligned);
static_assert(layout_of<MmzGeneration::g3>(w64) == wide);
static_assert(layout_of<MmzGeneration::g4>(w64) == wide);
static_assert(layout_of<MmzGeneration::g5>(w64) == Layout{120, 120, 0, 8, 16, 24, 32, 40, 48, 80, 112});
static_assert(layout_of<MmzGeneration::g5>(w32) == Layout{96, 96, 0, 4, 8, 12, 16, 20, 24, 56, 88});
static_assert(MmzDirtyWire::length(w32) == 12 && MmzDirtyWire::length(w64) == 24);
static_assert(MmzDirtyWire::offset<&MmzDirtyArea::address>(w64) == 8 && MmzDirtyWire::offset<&MmzDirtyArea::size>(w64) == 16);
static_assert(MmzShareWire::length(w32) == 20 && MmzShareWire::length(w64) == 40);
static_assert(MmzShareWire::offset<&MmzShareCall::offset>(w32) == 12 && MmzShareWire::offset<&MmzShareCall::process>(w64) == 32);
static_assert(MmzRoomWire::length(w32) == 8 && MmzRoomWire::length(w64) == 8);

struct Row {
  MmzCommand command;
  std::uint32_t g2_32, g4_32, g4_64, g5_64;  // 0: that generation has none such
};
using enum MmzCommand;
constexpr Row rows[] = {
    {allocate, 0xc04c6d0a, 0xc0506d0a, 0xc0686d0a, 0xc0786d0a},
    {attributes, 0x804c6d0b, 0x80506d0b, 0x80686d0b, 0x80786d0b},
    {MmzCommand::free, 0x404c6d0c, 0x40506d0c, 0x40686d0c, 0x40786d0c},
    {allocate_v2, 0xc04c6d0d, 0xc0506d0d, 0xc0686d0d, 0},
    {remap, 0xc04c6d14, 0xc0506d14, 0xc0686d14, 0xc0786d14},
    {remap_cached, 0xc04c6d15, 0xc0506d15, 0xc0686d15, 0xc0786d15},
    {unmap, 0xc04c6d16, 0xc0506d16, 0xc0686d16, 0xc0786d16},
    {physical_of, 0xc04c6d17, 0xc0506d17, 0xc0686d17, 0xc0786d17},
    {flush_range, 0, 0, 0, 0x40786d18},
    {check_address, 0, 0, 0, 0x40786d19},
    {add_reference, 0x0000721e, 0x0000721e, 0x0000721e, 0},
    {drop_reference, 0x0000721f, 0x0000721f, 0x0000721f, 0},
    {flush, 0x00006328, 0x00006328, 0x00006328, 0},
    {flush_dirty, 0x400c6432, 0x400c6432, 0x40186432, 0x40186432},
    {test_cache, 0x404c740b, 0x4050740b, 0x4068740b, 0},
    {share, 0, 0, 0, 0x40287328},
    {unshare, 0, 0, 0, 0x40287329},
    {share_all, 0, 0, 0, 0x4028732a},
    {unshare_all, 0, 0, 0, 0x4028732b},
    {memory_of_address, 0, 0, 0, 0xc028732c},
    {memory_of_physical, 0, 0, 0, 0xc028732d},
    {memory_of_handle, 0, 0, 0, 0xc028732e},
    {query, 0, 0, 0, 0x8008713c},
};

}  // namespace

TEST_CASE("row 1: numbers of each generation and word size are those of the table in 1.2") {
  REQUIRE(std::size(rows) == mmz_numbers.size());
  for (const Row& row : rows) {
    CAPTURE(static_cast<int>(row.command));
    CHECK(mmz_number(row.command).command == row.command);
    CHECK(mmz_command<MmzGeneration::g2>(row.command, w32).code == row.g2_32);
    CHECK(mmz_command<MmzGeneration::g3>(row.command, w32).code == row.g4_32);
    CHECK(mmz_command<MmzGeneration::g4>(row.command, w32).code == row.g4_32);
    CHECK(mmz_command<MmzGeneration::g4>(row.command, w64).code == row.g4_64);
    CHECK(mmz_command<MmzGeneration::g5>(row.command, w64).code == row.g5_64);
  }
  CHECK(mmz_command<MmzGeneration::g1>(physical_of, w32).code == 0);
}

TEST_CASE("row 1: G5's numbers for 32-bit callers") {
  constexpr std::array<std::uint32_t, 9> codes = {0xc0606d0a, 0x80606d0b, 0x40606d0c, 0xc0606d14, 0xc0606d15,
                                                  0xc0606d16, 0xc0606d17, 0x40606d18, 0x40606d19};
  constexpr std::array<MmzCommand, 9> commands = {allocate,     attributes, MmzCommand::free, remap, remap_cached,
                                                  unmap,        physical_of, flush_range,     check_address};
  for (std::size_t at = 0; at < codes.size(); ++at)
    CHECK(mmz_command<MmzGeneration::g5>(commands[at], w32).code == codes[at]);
  CHECK(mmz_command<MmzGeneration::g5>(share, w32).code == 0x40147328);
  CHECK(mmz_command<MmzGeneration::g5>(memory_of_handle, w32).code == 0xc014732e);
  CHECK(mmz_command<MmzGeneration::g5>(query, w32).code == 0x8008713c);
}

TEST_CASE("the word of bits: what writers pass, and what the kernel's side has in it") {
  const MmbBits writer = MmbBits::of(0x103);
  CHECK(writer.protection == 3);
  CHECK(writer.flags == 1);
  CHECK(!writer.is_promised);
  CHECK(!writer.is_cached);
  CHECK(MmbBits::of(0x1000'0000).is_promised);
  CHECK(MmbBits::of(0x2000'0000).is_cached);
  CHECK(MmbBits::of(0xc000'0000'0ff0'0000).value() == 0);  // reserved bits, and those beyond 32
  CHECK(MmbBits{.protection = 0xff, .flags = 0xfff, .is_promised = true, .is_cached = true}.value() == 0x300f'ffff);
}

TEST_CASE("row 2: names go in and out as they are, whichever word the caller has") {
  using W = MmbInfoWire<MmzGeneration::g4>;
  MmbInfo<MmzGeneration::g4> info{.physical = 0x4200'0000, .align = 1, .size = 2, .order = 3, .mapped = 4, .bits = 0x103, .gfp = 5};
  for (std::size_t at = 0; at < info.name.size(); ++at) info.name[at] = static_cast<char>('a' + at);
  for (std::size_t at = 0; at < info.zone.size(); ++at) info.zone[at] = static_cast<char>('A' + at);
  for (const WordSize word : {w32, w64}) {
    std::array<std::byte, W::most_length> bytes{};
    W::write(info, std::span(bytes).first(W::length(word)), word);
    CHECK(bytes[word == w32 ? 24 : 48] == std::byte{'a'});
    CHECK(bytes[word == w32 ? 39 : 63] == std::byte{'p'});
    CHECK(bytes[word == w32 ? 40 : 64] == std::byte{'A'});
    CHECK(bytes[word == w32 ? 72 : 96] == std::byte{5});
    const auto back = W::read(bytes, word);
    CHECK(back.physical == info.physical);
    CHECK(back.order == 3);
    CHECK(back.bits == 0x103);
    CHECK(back.name == info.name);
    CHECK(back.zone == info.zone);
    CHECK(back.gfp == 5);
    const auto cut = W::read(std::span(bytes).first(word == w32 ? 60 : 90), word);  // in the middle of the second name
    CHECK(cut.name == info.name);
    CHECK(cut.zone == std::array<char, 32>{});
  }
}
