#include <freestone/core/block.hpp>

#include <type_traits>

#include <doctest/doctest.h>

using namespace freestone;

static_assert(std::is_trivially_copyable_v<Block> && sizeof(Block) <= 24);

TEST_CASE("a block says which bytes of which zone") {
  constexpr Block block(8192, 4096, 7);
  CHECK(block.offset() == 8192);
  CHECK(block.size() == 4096);
  CHECK(block.zone_tag() == 7);
  CHECK(block == Block(8192, 4096, 7));
  CHECK(block != Block(8192, 4096, 8));
  CHECK(block != Block(8192, 8192, 7));
  CHECK(block != Block(0, 4096, 7));
}

TEST_CASE("a block by default is of no zone") {
  CHECK(Block().zone_tag() == 0);
  CHECK(Block().size() == 0);
}
