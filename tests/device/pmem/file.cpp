#include <freestone/device/pmem/file.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/device/os/stock_kinds.hpp>
#include <freestone/strategy/best_fit.hpp>

#include "support/pmem_scene.hpp"
#include "support/pmem_text.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;
using device::PmemNumbers;
using device::WordSize;

namespace {

constexpr std::uint64_t page = pmem_page;
constexpr std::int64_t EINVAL_ = -22, EBADF_ = -9, ENOMEM_ = -12, EAGAIN_ = -11, EFAULT_ = -14;
namespace pm = device::pmem;

// One region of each allocator, 16 pages each (the buddy's 13), none of which begins at 0; and one whose memory is not cached.
const std::string four = regions_at("0x2000_3000", RegionText{"bitmap", "0x1_0000", "BITMAP", "cached = true"},
                                    RegionText{"buddy", "0xd000", "BUDDYBESTFIT", "cached = true\nbuffered = true"},
                                    RegionText{"whole", "0x1_0000", "ALLORNOTHING"}, RegionText{"system", "0x1_0000", "SYSTEM"},
                                    RegionText{"uncached", "0x1_0000"});

std::uint64_t room_of(PmemScene& scene, std::string_view region) { return scene.region(region).room().total; }

}  // namespace

TEST_CASE("row 1: numbers, and structs of 32 and 64 bits; an unknown number is EINVAL") {
  CHECK(pm::get_phys.code == 0x40047001);
  CHECK(pm::allocate_aligned.code == 0x4004700f);
  CHECK(device::PmemRangeWire::length(WordSize::bits32) == 8);
  CHECK(device::PmemRangeWire::length(WordSize::bits64) == 16);
  CHECK(device::PmemCacheWire::length(WordSize::bits32) == 12);
  CHECK(device::PmemCacheWire::length(WordSize::bits64) == 24);
  CHECK(device::PmemFreeWire::length(WordSize::bits64) == 16);
  CHECK(device::PmemWantedWire::length(WordSize::bits32) == 8);
  CHECK(device::PmemWantedWire::length(WordSize::bits64) == 16);
  PmemScene scene(four);
  for (const WordSize word : {WordSize::bits32, WordSize::bits64}) {
    PmemCaller caller(word);
    PmemOpen node(scene, "bitmap");
    for (const unsigned number : {0U, 8U, 9U, 10U, 16U, 255U}) CHECK(caller.call(node, device::pmem_command(number), 0) == EINVAL_);
    CHECK(caller.call(node, {0xc0047001}, Caller::start) == EINVAL_);
    caller.fill(std::byte{0xaa});
    CHECK(caller.call(node, pm::get_total_size, Caller::start) == 0);
    CHECK(caller.word_at(0) == 0);
    CHECK(caller.word_at(1) == 0x10000);
    CHECK(caller.bytes()[2 * static_cast<std::size_t>(word)] == std::byte{0xaa});
  }
}

TEST_CASE("row 1: memory that faults is EFAULT, and nothing changed") {
  PmemScene scene(four);
  PmemCaller caller;
  PmemOpen node(scene, "bitmap");
  for (const auto command : {pm::get_phys, pm::get_size, pm::get_total_size, pm::get_free_space, pm::map, pm::unmap, pm::allocate_aligned,
                             pm::clean_caches}) {
    CHECK(caller.call(node, command, 4) == EFAULT_);
    CHECK(caller.call(node, command, Caller::start + Caller::length - 4) == EFAULT_);
  }
  CHECK(room_of(scene, "bitmap") == 0x10000);
}

TEST_CASE("row 4: a master is allocated by its first mapping, mapped again, and gives back at its end") {
  PmemScene scene(four);
  PmemCaller caller;
  {
    PmemOpen node(scene, "bitmap");
    CHECK(caller.told(node, pm::get_phys) == std::pair<std::uint64_t, std::uint64_t>(0, 0));
    CHECK(node.file.map(0, 3 * page, 7) == device::done);
    CHECK(caller.size_of(node) == 3 * page);
    CHECK(node.file.map(0, 2 * page, 7) == device::done);
    CHECK(node.file.map(0, 4 * page, 7).value() == EINVAL_);
    CHECK(node.file.map(page, page, 7).value() == EINVAL_);
    CHECK(node.file.map(0, 0, 7).value() == EINVAL_);
    CHECK(node.file.map(0, 100, 7).value() == EINVAL_);
    CHECK(caller.told(node, pm::get_free_space) == std::pair(13 * page, 13 * page));
    node.file.unmapped();
    CHECK(room_of(scene, "bitmap") == 13 * page);
  }
  CHECK(room_of(scene, "bitmap") == 16 * page);
  PmemOpen node(scene, "bitmap");
  CHECK(node.file.map(0, 17 * page, 7).value() == ENOMEM_);
  CHECK(node.file.map(0, 16 * page, 7) == device::done);
}

TEST_CASE("row 5: what ALLOCATE returns, of each allocator; the second is refused, and so is what has no room") {
  PmemScene scene(four);
  PmemCaller caller;
  PmemOpen first(scene, "bitmap"), second(scene, "bitmap");
  CHECK(caller.call(first, pm::allocate, 5 * page - 1) == 0);
  CHECK(caller.call(first, pm::allocate, page) == EINVAL_);
  CHECK(caller.call(second, pm::allocate, 12 * page) == ENOMEM_);
  CHECK(caller.call(second, pm::allocate, 0) == ENOMEM_);
  CHECK(caller.call(second, pm::allocate, 2 * page) == 5);
  CHECK(caller.size_of(first) == 5 * page);

  PmemOpen whole(scene, "whole");
  CHECK(caller.call(whole, pm::allocate, 0) == ENOMEM_);  // (there it took all)
  CHECK(caller.call(whole, pm::allocate, 16 * page + 1) == ENOMEM_);
  CHECK(caller.call(whole, pm::allocate, 5000) == 5000);
  CHECK(caller.size_of(whole) == 5000);

  PmemOpen system(scene, "system"), nothing(scene, "system");
  CHECK(caller.call(system, pm::allocate, 5000) == 0);  // (there it told an address of the kernel's)
  CHECK(caller.size_of(system) == 2 * page);
  CHECK(caller.call(nothing, pm::allocate, 0) == 0);
  CHECK(caller.size_of(nothing) == page);
}

TEST_CASE("row 5: Google's ALLOCATE says nothing of its failures") {
  PmemScene scene(four, PmemGeneration::qualcomm, PmemNumbers::google);
  PmemCaller caller;
  PmemOpen node(scene, "bitmap"), other(scene, "bitmap");
  CHECK(caller.call(node, pm::allocate, 17 * page) == 0);
  CHECK(caller.size_of(node) == 0);
  CHECK(caller.call(node, pm::allocate, 16 * page) == 0);
  CHECK(caller.size_of(node) == 16 * page);
  CHECK(other.file.map(0, page, 7).value() == EINVAL_);  // no room
  CHECK(node.file.map(0, page, 7) == device::done);
  CHECK(node.file.map(0, page, 7).value() == EINVAL_);  // once
  for (const unsigned number : {11U, 12U, 13U, 14U, 15U}) CHECK(caller.call(node, device::pmem_command(number), Caller::start) == EINVAL_);
}

TEST_CASE("row 6: ALLOCATE_ALIGNED: the physical address is aligned; what is refused leaves the file usable") {
  PmemScene scene(four);
  PmemCaller caller;
  PmemOpen node(scene, "bitmap");
  for (const std::uint64_t align : {0ULL, 3ULL, 2048ULL, 2ULL << 20, 12288ULL}) {
    CHECK(caller.call_with(node, pm::allocate_aligned, page, align) == EINVAL_);
    CHECK(caller.size_of(node) == 0);
  }
  CHECK(caller.call_with(node, pm::allocate_aligned, page, 16384) == 1);
  CHECK(caller.told(node, pm::get_phys).first == 0x2000'4000);
  PmemOpen buddy(scene, "buddy"), whole(scene, "whole");
  CHECK(caller.call_with(buddy, pm::allocate_aligned, page, 8192) == EINVAL_);
  CHECK(caller.call_with(whole, pm::allocate_aligned, page, 8192) == EINVAL_);
  CHECK(caller.call_with(buddy, pm::allocate_aligned, 2 * page, 4096) == 8);
  CHECK(caller.call_with(whole, pm::allocate_aligned, page, 4096) == 4096);
}

TEST_CASE("row 7: the buddy's vectors, in a region that begins at no power of two") {
  PmemScene scene(four);
  PmemCaller caller;
  const auto at = [&](std::uint64_t pages, std::int64_t wanted) {
    auto node = std::make_unique<PmemOpen>(scene, "buddy");
    CHECK(caller.call(*node, pm::allocate, pages * page) == wanted);
    return node;
  };
  {
    const auto two = at(2, 8), one = at(1, 12), other = at(1, 10), three = at(3, 0);
    CHECK(caller.size_of(*three) == 4 * page);  // rounded up, and told so
    CHECK(scene.region("buddy").room().total == 5 * page);
    CHECK(scene.region("buddy").room().largest == 4 * page);
  }
  CHECK(scene.region("buddy").room().total == 13 * page);
  CHECK(scene.region("buddy").room().largest == 8 * page);
  at(9, ENOMEM_);
  at(8, 0);
}

TEST_CASE("row 8: the bitmap's stride is right where the region begins at 0x3000") {
  PmemScene scene(regions_at("0x3000", RegionText{"odd", "0x4_0000"}, RegionText{"hundred", "0x6_4000"}));

  PmemCaller caller;
  std::vector<std::unique_ptr<PmemOpen>> nodes;
  for (std::int64_t turn = 0; turn < 15; ++turn) {
    nodes.push_back(std::make_unique<PmemOpen>(scene, "odd"));
    CHECK(caller.call_with(*nodes.back(), pm::allocate_aligned, 4 * page, 16384) == 1 + 4 * turn);
  }
  PmemOpen last(scene, "odd");
  CHECK(caller.call_with(last, pm::allocate_aligned, 4 * page, 16384) == ENOMEM_);
  nodes.clear();
  for (std::int64_t turn = 0; turn < 100; ++turn) {  // more than 64, and more than half
    nodes.push_back(std::make_unique<PmemOpen>(scene, "hundred"));
    CHECK(caller.call(*nodes.back(), pm::allocate, 1) == turn);
  }
  PmemOpen none(scene, "hundred");
  CHECK(caller.call(none, pm::allocate, 1) == ENOMEM_);
  CHECK(caller.told(none, pm::get_free_space) == std::pair<std::uint64_t, std::uint64_t>(0, 0));
}

TEST_CASE("row 9: GET_FREE_SPACE is what a count of the live ones says, whatever came before") {
  Random random(seed());
  for (const char* name : {"bitmap", "system"}) {
    PmemScene scene(four);
    PmemCaller caller;
    struct Live {
      std::unique_ptr<PmemOpen> node;
      std::uint64_t first, pages;
    };
    std::vector<Live> live;
    for (int turn = 0; turn < 2000; ++turn) {
      if (random.chance(40) && !live.empty()) {
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(random.below(live.size())));
      } else {
        auto node = std::make_unique<PmemOpen>(scene, name);
        const std::int64_t index = caller.call(*node, pm::allocate, random.from_to(1, 6 * page));
        if (index >= 0) {
          const std::uint64_t length = caller.size_of(*node);
          live.push_back({std::move(node), static_cast<std::uint64_t>(index), length / page});
        }
      }
      std::vector<bool> used(16);
      std::uint64_t total = 16, run = 0, largest = 0;
      for (const Live& one : live) {
        total -= one.pages;
        for (std::uint64_t at = 0; at < one.pages; ++at) used[static_cast<std::size_t>((one.first + at) % 16)] = true;
      }
      for (const bool is_used : used) largest = std::max(largest, run = is_used ? 0 : run + 1);
      const auto room = scene.region(name).room();
      CHECK(room.total == total * page);
      CHECK(room.largest == (name == std::string_view("system") ? total : largest) * page);
    }
  }
}

TEST_CASE("row 10: all or nothing: one owner, whose end gives it back") {
  PmemScene scene(four);
  PmemCaller caller;
  auto first = std::make_unique<PmemOpen>(scene, "whole");
  PmemOpen second(scene, "whole");
  CHECK(first->file.map(0, page, 7) == device::done);
  CHECK(caller.told(second, pm::get_free_space) == std::pair<std::uint64_t, std::uint64_t>(0, 0));
  CHECK(second.file.map(0, page, 8).value() == ENOMEM_);
  first.reset();
  CHECK(second.file.map(0, page, 8) == device::done);
}

TEST_CASE("row 11: the system's quota is over all that live") {
  PmemScene scene(four);
  PmemCaller caller;
  std::vector<std::unique_ptr<PmemOpen>> nodes;
  for (int turn = 0; turn < 16; ++turn) {
    nodes.push_back(std::make_unique<PmemOpen>(scene, "system"));
    CHECK(caller.call(*nodes.back(), pm::allocate, page) == 0);
  }
  PmemOpen one(scene, "system");
  CHECK(caller.call(one, pm::allocate, page) == ENOMEM_);
  for (int turn = 0; turn < 16; turn += 2) nodes[static_cast<std::size_t>(turn)].reset();
  CHECK(caller.call(one, pm::allocate, 8 * page) == 0);  // though no eight are side by side
}

TEST_CASE("row 12: CONNECT") {
  PmemScene scene(four);
  PmemCaller caller;
  PmemOpen master(scene, "bitmap"), sub(scene, "bitmap"), empty(scene, "bitmap"), other(scene, "uncached"), second(scene, "bitmap");
  caller.open = {{3, &master.file}, {4, &sub.file}, {5, &empty.file}, {6, &other.file}, {8, &second.file}, {9, &sub.file}};
  CHECK(caller.call(master, pm::allocate, 2 * page) == 0);
  CHECK(caller.call(second, pm::allocate, 2 * page) == 2);
  CHECK(caller.call(other, pm::allocate, page) == 0);
  CHECK(caller.call(sub, pm::connect, 99) == EBADF_);
  CHECK(caller.call(sub, pm::connect, 4) == EINVAL_);  // itself
  CHECK(caller.call(sub, pm::connect, 9) == EINVAL_);  // and again, as a dup
  CHECK(caller.call(sub, pm::connect, Caller::foreign_fd) == EINVAL_);
  CHECK(caller.call(sub, pm::connect, 5) == EINVAL_);     // has nothing
  CHECK(caller.call(sub, pm::connect, 6) == EINVAL_);     // another region's
  CHECK(caller.call(second, pm::connect, 3) == EINVAL_);  // has its own
  CHECK(caller.call(sub, pm::connect, 3) == 0);
  CHECK(caller.call(sub, pm::connect, 3) == 0);
  CHECK(caller.call(sub, pm::connect, 8) == EINVAL_);  // another allocation
  CHECK(caller.call(master, pm::connect, 4) == EINVAL_);  // its own sub, which tells the same index
  CHECK(caller.call(sub, pm::allocate, page) == EINVAL_);
  CHECK(caller.told(sub, pm::get_phys) == caller.told(master, pm::get_phys));
  PmemOpen chain(scene, "bitmap");
  CHECK(caller.call(chain, pm::connect, 4) == 0);  // of a sub
  CHECK(caller.size_of(chain) == 2 * page);
  CHECK(room_of(scene, "bitmap") == 12 * page);
}
TEST_CASE("row 12: Google's CONNECT with no such descriptor is EINVAL") {
  PmemScene scene(four, PmemGeneration::qualcomm, PmemNumbers::google);
  PmemCaller caller;
  PmemOpen sub(scene, "bitmap");
  CHECK(caller.call(sub, pm::connect, 99) == EINVAL_);
}

namespace {
// A master of 8 pages that its process has mapped, as descriptor 3, and a sub of it, as 4.
struct Pair {
  PmemScene scene{four};
  PmemCaller caller;
  std::optional<PmemOpen> master{std::in_place, scene, "bitmap"};
  PmemOpen sub{scene, "bitmap"};

  Pair() {
    caller.open = {{3, &master->file}, {4, &sub.file}};
    CHECK(master->file.map(0, 8 * page, 7) == device::done);
    CHECK(caller.call(sub, pm::connect, 3) == 0);
  }
  std::string shown() { return sub.screen.text(8); }
};
}  // namespace

TEST_CASE("row 13: a sub shows nothing, then just what is granted, be that before or after it is mapped") {
  Pair pair;
  CHECK(pair.caller.grant(pair.sub, 1, 2) == 0);
  CHECK(pair.shown() == "........");
  CHECK(pair.sub.file.map(0, 8 * page, 8) == device::done);
  CHECK(pair.shown() == ".MM.....");
  CHECK(pair.caller.grant(pair.sub, 5, 3) == 0);
  CHECK(pair.shown() == ".MM..MMM");
  CHECK(pair.caller.withdraw(pair.sub, 1, 2) == 0);
  CHECK(pair.shown() == ".....MMM");
  CHECK(pair.caller.withdraw(pair.sub, 5, 3) == 0);
  CHECK(pair.shown() == "........");
}

TEST_CASE("row 14: MAP's and UNMAP's arguments; grants that overlap keep what any of them covers") {
  Pair pair;
  PmemCaller& caller = pair.caller;
  CHECK(caller.call_with(pair.sub, pm::map, 1, page) == EINVAL_);
  CHECK(caller.call_with(pair.sub, pm::map, 0, page + 1) == EINVAL_);
  CHECK(caller.grant(pair.sub, 9, 1) == EINVAL_);
  CHECK(caller.grant(pair.sub, 0, 9) == EINVAL_);
  CHECK(caller.grant(pair.sub, 4, 5) == EINVAL_);
  CHECK(caller.call_with(pair.sub, pm::map, ~std::uint64_t{0xfff}, 2 * page) == EINVAL_);
  CHECK(caller.grant(pair.sub, 8, 0) == 0);
  CHECK(caller.grant(pair.sub, 1 << 20, 0) == 0);  // nothing, wherever
  CHECK(caller.withdraw(pair.sub, 0, 0) == 0);
  CHECK(caller.withdraw(pair.sub, 0, 1) == EINVAL_);  // never granted
  CHECK(pair.sub.file.map(0, 8 * page, 8) == device::done);
  CHECK(caller.grant(pair.sub, 1, 4) == 0);
  CHECK(caller.grant(pair.sub, 3, 4) == 0);
  CHECK(pair.shown() == ".MMMMMM.");
  CHECK(caller.withdraw(pair.sub, 1, 2) == EINVAL_);  // a part of one
  CHECK(caller.withdraw(pair.sub, 1, 4) == 0);
  CHECK(pair.shown() == "...MMMM.");
  for (int turn = 0; turn < 3; ++turn) CHECK(caller.grant(pair.sub, 0, 1) == 0);
  CHECK(caller.withdraw(pair.sub, 0, 1) == 0);  // all of them
  CHECK(pair.shown() == "...MMMM.");
  CHECK(caller.withdraw(pair.sub, 0, 1) == EINVAL_);
}

TEST_CASE("row 14: who is not the owner grants nothing") {
  Pair pair;
  PmemCaller stranger;
  stranger.open = {{4, &pair.sub.file}};
  CHECK(stranger.grant(pair.sub, 0, 1) == EINVAL_);
  stranger.open[3] = &pair.sub.file;  // something else under the master's number
  CHECK(stranger.grant(pair.sub, 0, 1) == EINVAL_);
  stranger.open = {{33, &pair.master->file}};  // the master under another
  CHECK(stranger.grant(pair.sub, 0, 1) == EINVAL_);
  PmemOpen other(pair.scene, "bitmap");
  stranger.open = {{3, &other.file}};  // another master, as after a close and an open
  CHECK(stranger.call(other, pm::allocate, page) == 8);
  CHECK(stranger.grant(pair.sub, 0, 1) == EINVAL_);
  CHECK(pair.caller.grant(pair.sub, 0, 1) == 0);
  CHECK(pair.caller.grant(other, 0, 1) == EINVAL_);  // a master that nobody has mapped
  CHECK(other.file.map(0, page, 7) == device::done);
  CHECK(pair.caller.grant(other, 0, 1) == 0);
  CHECK(pair.caller.withdraw(other, 0, 1) == 0);
}

TEST_CASE("row 15: a sub is mapped once, from its start, and no longer than there is; what is granted beyond it is not touched") {
  Pair pair;
  CHECK(pair.sub.file.map(0, 9 * page, 8).value() == EINVAL_);
  CHECK(pair.sub.file.map(page, page, 8).value() == EINVAL_);
  pair.sub.screen.mapped_pages = 3;  // whatever lies behind is somebody else's
  CHECK(pair.caller.grant(pair.sub, 2, 4) == 0);
  CHECK(pair.sub.file.map(0, 3 * page, 8) == device::done);
  CHECK(pair.shown() == "..M.....");
  CHECK(pair.caller.grant(pair.sub, 0, 8) == 0);
  CHECK(pair.shown() == "MMM.....");
  CHECK(pair.caller.withdraw(pair.sub, 0, 8) == 0);
  CHECK(pair.shown() == "..M.....");
  CHECK(pair.sub.file.map(0, 3 * page, 8).value() == EINVAL_);
  pair.sub.file.unmapped();
  CHECK(pair.sub.file.map(0, 3 * page, 8).value() == EINVAL_);
}

TEST_CASE("row 16: the master's end ends all its subs, mapped or not, mapped master or not, and nobody reaches who comes next") {
  for (const bool is_mapped : {false, true}) {
    PmemScene scene(four);
    PmemCaller caller;
    std::optional<PmemOpen> master(std::in_place, scene, "bitmap");
    PmemOpen mapped(scene, "bitmap"), waiting(scene, "bitmap"), gone(scene, "bitmap");
    caller.open = {{3, &master->file}};
    CHECK(caller.call(*master, pm::allocate, 16 * page) == 0);
    if (is_mapped) CHECK(master->file.map(0, 16 * page, 7) == device::done);
    for (PmemOpen* sub : {&mapped, &waiting, &gone}) CHECK(caller.call(*sub, pm::connect, 3) == 0);
    for (PmemOpen* sub : {&mapped, &waiting, &gone}) CHECK(caller.grant(*sub, 0, 4) == 0);
    CHECK(mapped.file.map(0, 16 * page, 8) == device::done);
    CHECK(gone.file.map(0, 16 * page, 8) == device::done);
    gone.file.unmapped();
    PmemOpen next(scene, "bitmap");
    CHECK(caller.call(next, pm::allocate, page) == ENOMEM_);
    master.reset();
    CHECK(mapped.screen.text(16) == "................");
    CHECK(caller.call(next, pm::allocate, 16 * page) == 0);
    CHECK(caller.grant(mapped, 0, 1) == EINVAL_);
    CHECK(caller.grant(waiting, 0, 1) == EINVAL_);
    CHECK(caller.grant(gone, 0, 1) == 0);  // as of any that is unmapped
    CHECK(waiting.file.map(0, page, 8).value() == EINVAL_);
    CHECK(caller.size_of(waiting) == 16 * page);  // the number stays
    CHECK(mapped.screen.text(16) == "................");
  }
}

TEST_CASE("row 16: with the master's end its subs have no grants, and nobody can grant them any") {
  Pair pair;
  PmemOpen chain(pair.scene, "bitmap");
  pair.caller.open[5] = &chain.file;
  CHECK(pair.caller.call(chain, pm::connect, 4) == 0);  // to a sub, which stays
  for (std::uint64_t turn = 0; turn < few_pmem.grants; ++turn) CHECK(pair.caller.grant(chain, turn, 1) == 0);
  pair.caller.open.erase(3);
  pair.master.reset();
  std::size_t grants = 0;
  pair.scene.region("bitmap").for_each_file([&](const auto& file) { grants += file.grants.count(); });
  CHECK(grants == 0);
  CHECK(pair.caller.grant(chain, 7, 1) == EINVAL_);
  CHECK(pair.caller.withdraw(chain, 0, 1) == EINVAL_);
}

TEST_CASE("row 17: a sub that was unmapped takes no grants, and says so to nobody") {
  Pair pair;
  CHECK(pair.caller.grant(pair.sub, 0, 1) == 0);
  CHECK(pair.sub.file.map(0, 8 * page, 8) == device::done);
  pair.sub.file.unmapped();
  CHECK(pair.caller.grant(pair.sub, 1, 1) == 0);
  CHECK(pair.caller.withdraw(pair.sub, 5, 1) == 0);
  CHECK(pair.shown() == "M.......");  // what is no mapping any more is not touched
  pair.master.reset();
}

TEST_CASE("row 19: how a file's mappings are cached") {
  PmemScene scene(four);
  const auto seen = [&](const char* region, std::uint32_t flags) { return PmemOpen(scene, region, flags).file.cacheability(); };
  constexpr std::uint32_t o_sync = 0x101000;
  CHECK(seen("bitmap", 2) == Cacheability::cached);
  CHECK(seen("bitmap", 2 | o_sync) == Cacheability::uncached);
  CHECK(seen("buddy", 2) == Cacheability::write_combined);
  CHECK(seen("buddy", 2 | o_sync) == Cacheability::uncached);
  CHECK(seen("uncached", 2) == Cacheability::uncached);
}

TEST_CASE("row 20: cache operations: checks in their order, and what they reach") {
  PmemScene scene(four);
  PmemCaller caller;
  PmemOpen node(scene, "bitmap"), uncached(scene, "uncached"), empty(scene, "bitmap");
  CHECK(caller.call_with(uncached, pm::clean_caches, 0, 0, page) == EINVAL_);
  CHECK(caller.call_with(uncached, pm::clean_caches, 5, ~std::uint64_t{0}, 2) == 0);  // nothing to do, whatever it is
  CHECK(caller.call_with(empty, pm::clean_caches, 5, 0, page) == EINVAL_);
  CHECK(caller.call(node, pm::allocate, 4 * page) == 0);
  caller.mapped_file = &node.file;
  caller.mapped_length = 4 * page;
  std::vector<std::string>* done = nullptr;
  node.file.with_own([&](const auto& buffer) { done = buffer.extra().memory().done.get(); });
  REQUIRE(done != nullptr);
  const std::uint64_t at = caller.mapped_at;
  CHECK(caller.call_with(node, pm::clean_caches, at, 0, 4 * page + 1) == EINVAL_);
  CHECK(caller.call_with(node, pm::clean_caches, at, 4 * page, 1) == EINVAL_);
  CHECK(caller.call_with(node, pm::clean_caches, at, ~std::uint64_t{0}, 2) == EINVAL_);  // a sum that wraps
  CHECK(caller.call_with(node, pm::clean_caches, 0, 0, page) == EINVAL_);
  CHECK(caller.call_with(node, pm::clean_caches, at - page, 0, page) == EINVAL_);  // none of its mappings
  CHECK(caller.call_with(node, pm::clean_caches, at + 3 * page, 0, 2 * page) == EINVAL_);
  CHECK(caller.call_with(node, pm::clean_caches, at, 0, 0) == 0);
  CHECK(done->empty());
  CHECK(caller.call_with(node, pm::clean_caches, at + page, page, 2 * page) == 0);
  CHECK(*done == std::vector<std::string>{"inner clean 4096 8192", "outer clean 536887296 8192"});
  done->clear();
  CHECK(caller.call_with(node, pm::inv_caches, at + 5, 5, 64) == 0);
  CHECK(*done == std::vector<std::string>{"outer inv 536883205 64", "inner inv 5 64"});  // outside first
  done->clear();
  CHECK(caller.call_with(node, pm::clean_inv_caches, at, 0, 4 * page) == 0);
  CHECK(*done == std::vector<std::string>{"inner clean_inv 0 16384", "outer clean_inv 536883200 16384"});
}

TEST_CASE("row 21: a flush is of the master's whole allocation, and of a sub's whole grant") {
  PmemScene scene(four, PmemGeneration::qualcomm, PmemNumbers::google);
  PmemCaller caller;
  PmemOpen master(scene, "bitmap"), sub(scene, "bitmap");
  caller.open = {{3, &master.file}};
  CHECK(master.file.map(0, 8 * page, 7) == device::done);
  CHECK(caller.call(sub, pm::connect, 3) == 0);
  CHECK(caller.grant(sub, 0, 6) == 0);
  CHECK(caller.grant(sub, 1, 3) == 0);
  std::vector<std::string>* done = nullptr;
  master.file.with_own([&](const auto& buffer) { done = buffer.extra().memory().done.get(); });
  REQUIRE(done != nullptr);
  const auto flush = [&](PmemOpen& node, std::uint64_t offset, std::uint64_t length) {
    done->clear();
    CHECK(caller.call_with(node, pm::cache_flush, offset, length) == 0);
    return done->empty() ? std::string() : done->back();
  };
  CHECK(flush(master, 100 * page, 1) == "whole clean_inv 0 32768");
  CHECK(flush(sub, page, 100) == "inner clean_inv 4096 12288");   // the newest that has it all
  CHECK(flush(sub, page, 5 * page) == "inner clean_inv 0 24576");
  CHECK(flush(sub, page, 6 * page) == "");
  CHECK(flush(sub, ~std::uint64_t{0}, 2) == "");
}

TEST_CASE("row 26: a master of all, divided by best fit, as gralloc does: a sub shows its own part alone, until that is taken back") {
  PmemScene scene(four);
  PmemCaller caller;
  PmemOpen master(scene, "bitmap");
  caller.open = {{3, &master.file}};
  CHECK(master.file.map(0, 16 * page, 7) == device::done);
  CHECK(room_of(scene, "bitmap") == 0);
  auto parts = *device::HeapZone<strategy::BestFit>::create({.name = "surfaces", .size = 16 * page, .granule = page});
  struct Surface {
    Block part;
    std::unique_ptr<PmemOpen> sub;
    std::size_t first() const { return static_cast<std::size_t>(part.offset().value() / page); }
    std::size_t pages() const { return static_cast<std::size_t>(part.size().value() / page); }
    std::string text() const { return std::string(first(), '.') + std::string(pages(), 'M') + std::string(16 - first() - pages(), '.'); }
  };
  std::vector<Surface> all;
  const auto take_back = [&](std::size_t place) {
    const Surface gone = std::move(all[place]);
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(place));
    CHECK(caller.withdraw(*gone.sub, gone.first(), gone.pages()) == 0);
    CHECK(gone.sub->screen.text(16) == "................");
    CHECK(parts.deallocate(gone.part));
  };
  Random random(seed());
  for (int turn = 0; turn < 500; ++turn) {
    if (!all.empty() && random.chance(45)) {
      take_back(static_cast<std::size_t>(random.below(all.size())));
    } else if (const auto part = parts.allocate({.size = random.from_to(1, 6) * page})) {
      all.push_back({*part, std::make_unique<PmemOpen>(scene, "bitmap")});
      const Surface& made = all.back();
      CHECK(caller.call(*made.sub, pm::connect, 3) == 0);
      CHECK(caller.grant(*made.sub, made.first(), made.pages()) == 0);
      CHECK(made.sub->file.map(0, 16 * page, 8) == device::done);
    }
    for (const Surface& one : all) CHECK(one.sub->screen.text(16) == one.text());
  }
  while (!all.empty()) take_back(0);
  CHECK(parts.stats().largest_free == 16 * page);
}

TEST_CASE("row 27: what has no room fails and changes nothing") {
  Pair pair;
  CHECK(pair.sub.file.map(0, 8 * page, 8) == device::done);
  for (std::uint64_t turn = 0; turn < few_pmem.grants; ++turn) CHECK(pair.caller.grant(pair.sub, turn, 1) == 0);
  CHECK(pair.caller.grant(pair.sub, 7, 1) == ENOMEM_);
  CHECK(pair.shown() == "MMMMMM..");
  CHECK(pair.caller.withdraw(pair.sub, 0, 1) == 0);
  pair.sub.screen.shows_left = 0;
  CHECK(pair.caller.grant(pair.sub, 7, 1) == EAGAIN_);
  CHECK(pair.caller.withdraw(pair.sub, 7, 1) == EINVAL_);  // it was not
  pair.sub.screen.shows_left = 1;
  CHECK(pair.caller.grant(pair.sub, 7, 1) == 0);
  CHECK(pair.shown() == ".MMMMM.M");
  PmemOpen other(pair.scene, "bitmap");
  pair.scene.platform.memories_left = 0;
  CHECK(pair.caller.call(other, pm::allocate, page) == ENOMEM_);
  CHECK(other.file.map(0, page, 7).value() == ENOMEM_);
  CHECK(room_of(pair.scene, "bitmap") == 8 * page);
  CHECK(pair.scene.region("bitmap").active() == 1);
  pair.scene.platform.memories_left = 1;
  CHECK(pair.caller.call(other, pm::allocate, page) == 8);
}

TEST_CASE("weakness 1: who may not see physical addresses is told places in the region") {
  PmemScene scene(four);
  PmemCaller caller;
  PmemOpen first(scene, "bitmap"), second(scene, "bitmap");
  CHECK(caller.call(first, pm::allocate, 3 * page) == 0);
  CHECK(caller.call(second, pm::allocate, page) == 3);
  CHECK(caller.told(second, pm::get_phys) == std::pair<std::uint64_t, std::uint64_t>(0x2000'6000, page));
  caller.is_root = false;
  CHECK(caller.told(second, pm::get_phys) == std::pair<std::uint64_t, std::uint64_t>(3 * page, page));
  CHECK(caller.told(second, pm::get_size) == std::pair<std::uint64_t, std::uint64_t>(3 * page, page));
}
