// A buffer's pieces: all of its bytes, in order, and none behind its end.
#include <freestone/device/ion/pieces.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

using namespace freestone;
using namespace freestone::device;

namespace {

std::vector<PhysicalPiece> pieces(const std::vector<Block>& blocks, Bytes size, Bytes entry) {
  std::vector<PhysicalPiece> all;
  for_each_piece(PhysicalAddress(0x1000), blocks, size, entry, [&](const PhysicalPiece& piece) { all.push_back(piece); });
  return all;
}

}  // namespace

TEST_CASE("the bytes of the blocks, one after the other, as many as the buffer has; an entry is cut off at its length") {
  const std::vector<Block> blocks{{64, 8, 1}, {0, 4, 1}, {32, 8, 1}};
  for (std::uint64_t size = 0; size <= 20; ++size) {
    for (std::uint64_t entry = 1; entry <= 9; ++entry) {
      std::vector<std::uint64_t> wanted, seen;
      for (const Block& block : blocks) {
        for (std::uint64_t at = 0; at < block.size().value() && wanted.size() < size; ++at) wanted.push_back(0x1000 + block.offset().value() + at);
      }
      for (const PhysicalPiece& piece : pieces(blocks, size, entry)) {
        CHECK(piece.length != 0);
        CHECK(piece.length <= entry);
        for (std::uint64_t at = 0; at < piece.length.value(); ++at) seen.push_back(piece.address.value() + at);
      }
      CHECK(seen == wanted);
    }
  }
}

TEST_CASE("without an entry's length, a piece is a block") {
  const std::vector<Block> blocks{{64, 8, 1}, {0, 4, 1}};
  std::vector<PhysicalPiece> all;
  for_each_piece(PhysicalAddress(0), blocks, 10, [&](const PhysicalPiece& piece) { all.push_back(piece); });
  CHECK(all == std::vector<PhysicalPiece>{{PhysicalAddress(64), 8}, {PhysicalAddress(0), 2}});
}
