#include <freestone/device/os/pmem_reports.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/share/grants.hpp>

#include "support/random.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;
using pmem_reports::BuddyBlock;

namespace {

constexpr std::uint64_t page = 4096, most = ~std::uint64_t{0};

// The rows of such a buddy: "0,3 8,2+" is (0, order 3), free, and (8, order 2), allocated.
std::string tiled(std::uint64_t quanta, const std::vector<BuddyBlock>& allocated) {
  std::string text;
  pmem_reports::for_each_buddy(quanta, allocated, [&](const BuddyBlock& block) {
    text += (text.empty() ? "" : " ") + std::to_string(block.index) + ',' + std::to_string(block.order) + (block.is_allocated ? "+" : "");
  });
  return text;
}

}  // namespace

TEST_CASE("row 23: the files of one line") {
  CHECK(pmem_reports::address(0x2000'0000) == "536870912(0x20000000)\n");
  CHECK(pmem_reports::address(0) == "0(0)\n");
  CHECK(pmem_reports::address(most) == "18446744073709551615(0xffffffffffffffff)\n");
  CHECK(pmem_reports::allocator_type(PmemAllocator::all_or_nothing) == "All or Nothing\n");
  CHECK(pmem_reports::allocator_type(PmemAllocator::buddy) == "Buddy Bestfit\n");
  CHECK(pmem_reports::allocator_type(PmemAllocator::bitmap) == "Bitmap\n");
  CHECK(pmem_reports::allocator_type(PmemAllocator::system) == "System heap\n");
  CHECK(pmem_reports::allocated(true) == "is allocated\n");
  CHECK(pmem_reports::allocated(false) == "is NOT allocated\n");
  CHECK(pmem_reports::quantum_size(4096) == "4096 (0x1000)\n");
  CHECK(pmem_reports::quantum_size(0x1'0001'0000) == "65536 (0x10000)\n");  // 32 bits
  CHECK(pmem_reports::total_entries(8192) == "8192\n");
  CHECK(pmem_reports::total_entries(most) == "18446744073709551615\n");
  CHECK(pmem_reports::free_quanta(0) == "0\n");
  CHECK(pmem_reports::free_quanta(0x1'0000'0007) == "7\n");
}

TEST_CASE("row 23: mapped_regions, a file's line: its grants, newest first") {
  std::string text = pmem_reports::mapped_header;
  CHECK(text == "pid #: mapped regions (offset, len) (offset,len)...\n");
  Grants<4> grants;
  text.clear();
  pmem_reports::add_file(text, 0, grants);
  CHECK(text == "pid 0:\n");
  grants.add({0x3000, 0x1000});
  grants.add({0, 0x1f000});
  grants.add({0x3000, 0x1000});  // once more is another
  pmem_reports::add_file(text, 4294967295, grants);
  CHECK(text == "pid 0:\npid 4294967295:(3000,1000) (0,1f000) (3000,1000) \n");
}

TEST_CASE("row 23: what is free of a buddy lies in the blocks that its buddies merge to") {
  CHECK(tiled(13, {}) == "0,3 8,2 12,0");
  CHECK(tiled(6, {}) == "0,2 4,1");
  CHECK(tiled(1, {}) == "0,0");
  CHECK(tiled(0, {}).empty());
  CHECK(tiled(std::uint64_t{1} << 63, {}) == "0,63");
  CHECK(tiled(13, {{0, 2, true}, {8, 1, true}, {10, 0, true}, {12, 0, true}}) == "0,2+ 4,2 8,1+ 10,0+ 11,0 12,0+");
  CHECK(tiled(13, {{3, 0, true}}) == "0,1 2,0 3,0+ 4,2 8,2 12,0");
  CHECK(tiled(13, {{8, 2, true}}) == "0,3 8,2+ 12,0");
  CHECK(tiled(6, {{0, 2, true}, {4, 1, true}}) == "0,2+ 4,1+");
}

TEST_CASE("a buddy's free blocks are those that a buddy of PMEM's own rules has, whatever is allocated and freed") {
  Random random(seed());
  for (int turn = 0; turn < 300; ++turn) {
    const std::uint64_t quanta = 1 + random.below(200);
    std::vector<BuddyBlock> blocks;  // ascending
    for (std::uint64_t at = 0; at < quanta; at = blocks.back().end()) {
      blocks.push_back({at, static_cast<unsigned>(std::bit_width(quanta - at)) - 1});
    }
    const auto split = [&](std::size_t at) {
      const unsigned order = --blocks[at].order;
      blocks.insert(blocks.begin() + static_cast<std::ptrdiff_t>(at) + 1, BuddyBlock{blocks[at].end(), order});
    };
    const auto merged = [&] {
      for (std::size_t at = 0; at + 1 < blocks.size(); ++at) {
        const BuddyBlock one = blocks[at], other = blocks[at + 1];
        const bool are_buddies = one.order == other.order && (one.index ^ other.index) == std::uint64_t{1} << one.order;
        if (!are_buddies || one.is_allocated || other.is_allocated) continue;
        ++blocks[at].order;
        blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at) + 1);
        return true;
      }
      return false;
    };
    for (int step = 0; step < 40; ++step) {
      const auto at = static_cast<std::size_t>(random.below(blocks.size()));
      if (blocks[at].is_allocated) {
        blocks[at].is_allocated = false;
        while (merged()) {
        }
      } else {
        for (std::uint64_t more = random.below(4); more != 0 && blocks[at].order != 0; --more) split(at);
        blocks[at].is_allocated = true;
      }
      std::vector<BuddyBlock> allocated, all;
      std::erase_if(allocated = blocks, [](const BuddyBlock& block) { return !block.is_allocated; });
      pmem_reports::for_each_buddy(quanta, allocated, [&](const BuddyBlock& block) { all.push_back(block); });
      REQUIRE(all == blocks);
    }
  }
}

TEST_CASE("row 23: buddy_bitmap_dump and bits_allocated, line by line") {
  CHECK(pmem_reports::buddy_bitmap_dump(13, page, std::vector<BuddyBlock>{{0, 2, true}, {8, 1, true}, {10, 0, true}, {12, 0, true}}) ==
        "index\torder\tlength\tallocated\n"
        "0\t2\t16384\t1\n4\t2\t16384\t0\n8\t1\t8192\t1\n10\t0\t4096\t1\n11\t0\t4096\t0\n12\t0\t4096\t1\n");
  CHECK(pmem_reports::buddy_bitmap_dump(3, 65536, {}) == "index\torder\tlength\tallocated\n0\t1\t131072\t0\n2\t0\t65536\t0\n");
  std::string text = pmem_reports::bits_header(2);
  pmem_reports::add_bits(text, {.start = 3 * page, .length = 5 * page, .slot = 7}, page);
  CHECK(text == "id: 2\nbitnum\tindex\tquanta allocated\n7\t3\t5\n");
}

TEST_CASE("row 23: buddy_bitmap_dump: all of it allocated, none of it, and a length of 4 GiB; what is behind its page is not looked for") {
  const std::string header = "index\torder\tlength\tallocated\n";
  CHECK(pmem_reports::buddy_bitmap_dump(0, page, {}) == header);
  CHECK(pmem_reports::buddy_bitmap_dump(1, page, std::vector<BuddyBlock>{{0, 0, true}}) == header + "0\t0\t4096\t1\n");
  CHECK(pmem_reports::buddy_bitmap_dump(std::uint64_t{1} << 20, page, {}) == header + "0\t20\t0\t0\n");  // 32 bits of 4 GiB
  std::vector<BuddyBlock> every;
  for (std::uint64_t at = 0; at < 1000; ++at) every.push_back({at, 0, true});
  const std::string dump = pmem_reports::buddy_bitmap_dump(1000, page, every);
  CHECK(dump.size() >= pmem_reports::most_length);
  CHECK(dump.size() < pmem_reports::most_length + 100);
  CHECK(dump.starts_with(header + "0\t0\t4096\t1\n1\t0\t4096\t1\n"));
  CHECK(dump.ends_with("\t0\t4096\t1\n"));
}

TEST_CASE("row 23: bits_allocated: numbers beyond 16 bits, and of 32 at most") {
  CHECK(pmem_reports::bits_header(4294967295) == "id: 4294967295\nbitnum\tindex\tquanta allocated\n");
  std::string text;
  pmem_reports::add_bits(text, {.start = 65536 * page, .length = 65537 * page, .slot = 1023}, page);
  pmem_reports::add_bits(text, {.start = 0, .length = page - 1, .slot = 0}, page);
  constexpr std::uint64_t beyond = std::uint64_t{1} << 32;
  pmem_reports::add_bits(text, {.start = beyond * page, .length = (beyond + 7) * page, .slot = 2}, page);
  CHECK(text == "1023\t65536\t65537\n0\t0\t0\n2\t0\t7\n");
}

TEST_CASE("row 23: only a buddy and a bitmap have quanta") {
  CHECK(pmem_reports::has_quanta(PmemAllocator::buddy));
  CHECK(pmem_reports::has_quanta(PmemAllocator::bitmap));
  CHECK(!pmem_reports::has_quanta(PmemAllocator::all_or_nothing));
  CHECK(!pmem_reports::has_quanta(PmemAllocator::system));
}

TEST_CASE("row 23: a text ends with its page") {
  CHECK(pmem_reports::one_page(std::string(4096, 'x')).size() == 4096);
  CHECK(pmem_reports::one_page(std::string(4095, 'x') + "yz") == std::string(4095, 'x') + 'y');
  CHECK(pmem_reports::one_page({}).empty());
}
