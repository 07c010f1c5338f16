#include <freestone/device/mmz/sharing.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <freestone/lock/none.hpp>

#include "support/effort.hpp"
#include "support/mmz_scene.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::tests;
using device::Errno;
using device::MmzCommand;
using device::MmzShareCall;

namespace {

constexpr std::uint64_t page = 4096, base = 0x5000'0000;
constexpr std::int64_t EPERM_ = -1, EINVAL_ = -22;
constexpr MmzGeneration g5 = MmzGeneration::g5;
constexpr std::int32_t owner = 77, friend_ = 78, stranger = 79;
constexpr std::string_view isolated = "mmz=anonymous,0,0x50000000,64K mmz_allocator=ot";
constexpr std::string_view open_to_all = "mmz=anonymous,0,0x50000000,64K mmz_allocator=ot mem_process_isolation=0";

using Processes = std::array<std::int32_t, 5>;
using Table = device::MmzSharing<lock::None, 4>;

// Two pages of a process's, and others that open the node for themselves.
struct Three {
  explicit Three(std::string_view line = isolated) : scene(line, g5) {
    REQUIRE(mine.allocate(node, 2 * page) == static_cast<std::int64_t>(base));
    MmzShareCall told{.physical = base};
    REQUIRE(mine.call(node, MmzCommand::memory_of_physical, told) == 0);
    handle = told.handle;
  }
  std::int64_t change(MmzCaller<g5>& by, MmzCommand command, std::int32_t process = 0) {
    MmzShareCall wanted{.handle = handle, .process = process};
    return by.call(node_of(by), command, wanted);
  }
  std::int64_t told(MmzCaller<g5>& by, MmzCommand command, MmzShareCall asked) {
    const std::int64_t answer = by.call(node_of(by), command, asked);
    if (answer == 0) last = asked;
    return answer;
  }
  Errno mapped(MmzCaller<g5>& by, std::uint64_t physical, std::uint64_t length) {
    Errno error = Errno::none;
    const auto made = node_of(by).file.map(physical, length, 3, error, by.process());
    CHECK(made.has_value() == (error == Errno::none));
    return error;
  }
  MmzOpen<g5>& node_of(const MmzCaller<g5>& by) { return &by == &mine ? node : &by == &theirs ? *second : *third; }
  Processes list() { return scene.mmz().sharing().of(handle)->processes; }

  MmzScene scene;
  MmzOpen<g5> node{scene, 2, owner};
  std::optional<MmzOpen<g5>> second{std::in_place, scene, 2U, static_cast<std::uint32_t>(friend_)};
  std::optional<MmzOpen<g5>> third{std::in_place, scene, 2U, static_cast<std::uint32_t>(stranger)};
  MmzCaller<g5> mine{scene, device::WordSize::bits64, owner}, theirs{scene, device::WordSize::bits64, friend_},
      others{scene, device::WordSize::bits32, stranger};
  std::uint64_t handle = 0;
  MmzShareCall last = {};
};

// The rules once more, as the specification's table has them: lists that grow, and every error with its turn.
class Naive {
 public:
  explicit Naive(bool isolates) : isolates_(isolates) {}

  void add(std::uint32_t handle, std::int32_t process) { blocks_[handle] = {!isolates_, {process}}; }
  void remove(std::uint32_t handle) { blocks_.erase(handle); }
  void forget(std::int32_t process) {
    for (auto& [handle, block] : blocks_) {
      const auto found = std::find(block.list.begin() + 1, block.list.end(), process);
      if (found != block.list.end()) block.list.erase(found);
    }
  }
  Errno share(std::uint32_t handle, std::int32_t caller, std::int32_t target) {
    if (!blocks_.contains(handle)) return Errno::invalid;
    Block& block = blocks_[handle];
    if (!isolates_) return Errno::none;
    if (block.is_for_all) return Errno::not_permitted;
    if (caller != block.list[0]) return Errno::not_permitted;
    if (target == block.list[0]) return Errno::not_permitted;
    if (block.list.size() == 5) return Errno::not_permitted;
    if (std::ranges::find(block.list, target) == block.list.end()) block.list.push_back(target);
    return Errno::none;
  }
  Errno unshare(std::uint32_t handle, std::int32_t caller, std::int32_t target) {
    if (!blocks_.contains(handle)) return Errno::invalid;
    Block& block = blocks_[handle];
    if (!isolates_) return Errno::none;
    if (block.is_for_all) return Errno::not_permitted;
    const auto found = std::ranges::find(block.list, target);
    if (found == block.list.end()) return Errno::not_permitted;
    if (found == block.list.begin()) return Errno::not_permitted;
    if (caller != block.list[0] && caller != target) return Errno::not_permitted;
    block.list.erase(found);
    return Errno::none;
  }
  Errno share_all(std::uint32_t handle, std::int32_t caller, bool is_for_all) {
    if (!blocks_.contains(handle)) return Errno::invalid;
    Block& block = blocks_[handle];
    if (!isolates_ || block.is_for_all == is_for_all) return Errno::none;
    if (caller != block.list[0]) return Errno::not_permitted;
    block.is_for_all = is_for_all;
    return Errno::none;
  }
  bool may_have(std::uint32_t handle, std::int32_t process) {
    const Block& block = blocks_.at(handle);
    return block.is_for_all || std::ranges::find(block.list, process) != block.list.end();
  }
  Processes list(std::uint32_t handle) {
    Processes all = {};
    std::ranges::copy(blocks_.at(handle).list, all.begin());
    return all;
  }

 private:
  struct Block {
    bool is_for_all = false;
    std::vector<std::int32_t> list = {};
  };
  const bool isolates_;
  std::map<std::uint32_t, Block> blocks_;
};

}  // namespace

TEST_CASE("row 24: a table of blocks and who may have them does what the naive one does, whatever comes") {
  Random random(seed());
  for (const bool isolates : {true, true, true, false}) {
    Table table(isolates);
    Naive naive(isolates);
    std::vector<std::uint32_t> live;
    std::uint32_t last = 0;
    for (unsigned step = 0; step < some_of(5'000U); ++step) {
      const auto process = [&] { return static_cast<std::int32_t>(random.from_to(1, 7)); };
      const auto any = static_cast<std::uint32_t>(random.below(last + 2));
      const std::uint32_t handle = live.empty() || random.chance(5) ? any : live[any % live.size()];
      const std::int32_t caller = process(), target = process();
      switch (random.below(8)) {
        case 0: {
          const std::uint32_t made = table.add({}, base + last * page, page, caller);
          REQUIRE((made == 0) == (live.size() == 4));
          if (made == 0) break;
          REQUIRE(made == ++last);
          naive.add(made, caller), live.push_back(made);
          break;
        }
        case 1:
          if (random.chance(60)) break;
          table.remove(handle), naive.remove(handle), std::erase(live, handle);
          break;
        case 2: table.forget(caller), naive.forget(caller); break;
        case 3: REQUIRE(table.unshare(handle, caller, target) == naive.unshare(handle, caller, target)); break;
        case 4: {
          const bool is_for_all = random.chance(30);
          REQUIRE(table.share_all(handle, caller, is_for_all) == naive.share_all(handle, caller, is_for_all));
          break;
        }
        default: REQUIRE(table.share(handle, caller, target) == naive.share(handle, caller, target));
      }
      for (const std::uint32_t one : live) {
        const auto block = table.of(one);
        REQUIRE(block);
        REQUIRE(block->processes == naive.list(one));
        REQUIRE(block->may_have(target) == naive.may_have(one, target));
        REQUIRE(table.at(block->physical + page - 1)->handle == one);
      }
    }
  }
}

TEST_CASE("SHARE's errors, in their order, and what it does") {
  Table table(true);
  const std::uint32_t handle = table.add({}, base, page, 1);
  CHECK(table.share(handle + 1, 1, 2) == Errno::invalid);
  CHECK(table.share(0, 1, 2) == Errno::invalid);
  CHECK(table.share(std::uint64_t{1} << 32 | handle, 1, 2) == Errno::invalid);
  CHECK(table.share(handle, 2, 2) == Errno::not_permitted);
  CHECK(table.share(handle, 1, 1) == Errno::not_permitted);
  CHECK(table.share(handle, 1, 2) == Errno::none);
  CHECK(table.share(handle, 1, 2) == Errno::none);  // once
  CHECK(table.share(handle, 2, 3) == Errno::not_permitted);  // he has it, and passes it to nobody
  for (const std::int32_t process : {3, 4, 5}) CHECK(table.share(handle, 1, process) == Errno::none);
  CHECK(table.of(handle)->processes == Processes{1, 2, 3, 4, 5});
  CHECK(table.share(handle, 1, 6) == Errno::not_permitted);
  CHECK(table.share(handle, 1, 2) == Errno::not_permitted);  // five are five
  CHECK(table.share_all(handle, 1, true) == Errno::none);
  CHECK(table.share(handle, 1, 2) == Errno::not_permitted);
  CHECK(table.of(handle)->may_have(6));
}

TEST_CASE("UNSHARE's errors, in their order, and what it does") {
  Table table(true);
  const std::uint32_t handle = table.add({}, base, page, 1);
  for (const std::int32_t process : {2, 3, 4, 5}) CHECK(table.share(handle, 1, process) == Errno::none);
  CHECK(table.unshare(handle + 1, 1, 2) == Errno::invalid);
  CHECK(table.unshare(handle, 1, 6) == Errno::not_permitted);
  CHECK(table.unshare(handle, 6, 6) == Errno::not_permitted);
  CHECK(table.unshare(handle, 1, 1) == Errno::not_permitted);
  CHECK(table.unshare(handle, 3, 2) == Errno::not_permitted);
  CHECK(table.unshare(handle, 3, 3) == Errno::none);  // his own
  CHECK(table.of(handle)->processes == Processes{1, 2, 4, 5, 0});
  CHECK(table.unshare(handle, 1, 2) == Errno::none);
  CHECK(table.of(handle)->processes == Processes{1, 4, 5, 0, 0});
  CHECK(!table.of(handle)->may_have(2));
  CHECK(table.share_all(handle, 1, true) == Errno::none);
  CHECK(table.unshare(handle, 1, 4) == Errno::not_permitted);
}

TEST_CASE("SHARE_ALL and UNSHARE_ALL: what it is already is no error, whoever says so; the list stays") {
  Table table(true);
  const std::uint32_t handle = table.add({}, base, page, 1);
  CHECK(table.share(handle, 1, 2) == Errno::none);
  CHECK(table.share_all(handle + 1, 1, true) == Errno::invalid);
  CHECK(table.share_all(handle, 2, false) == Errno::none);
  CHECK(table.share_all(handle, 2, true) == Errno::not_permitted);
  CHECK(table.share_all(handle, 1, true) == Errno::none);
  CHECK(table.share_all(handle, 2, true) == Errno::none);
  CHECK(table.of(handle)->may_have(9));
  CHECK(table.share_all(handle, 2, false) == Errno::not_permitted);
  CHECK(table.share_all(handle, 1, false) == Errno::none);
  CHECK(!table.of(handle)->may_have(9));
  CHECK(table.of(handle)->may_have(2));
}

TEST_CASE("where processes are not isolated everybody may have everything, and nothing of that changes") {
  Table table(false);
  const std::uint32_t handle = table.add({}, base, page, 1);
  CHECK(table.of(handle)->is_for_all);
  CHECK(table.of(handle)->may_have(9));
  CHECK(table.share(handle, 9, 1) == Errno::none);
  CHECK(table.unshare(handle, 9, 9) == Errno::none);
  CHECK(table.share_all(handle, 9, false) == Errno::none);
  CHECK(table.of(handle)->is_for_all);
  CHECK(table.of(handle)->processes == Processes{1});
  CHECK(table.share(handle + 1, 1, 2) == Errno::invalid);
  CHECK(table.unshare(handle + 1, 1, 2) == Errno::invalid);
  CHECK(table.share_all(handle + 1, 1, true) == Errno::invalid);
}

TEST_CASE("row 24: process 0, which is none that a server sees, owns nothing and has nothing") {
  Table table(true);
  const std::uint32_t unseen = table.add({}, base, page, 0), seen = table.add({}, base + page, page, 1);
  CHECK(table.share(unseen, 0, 2) == Errno::not_permitted);
  CHECK(!table.of(unseen)->may_have(0));
  CHECK(table.share_all(unseen, 0, true) == Errno::not_permitted);
  CHECK(table.share(seen, 1, 0) == Errno::none);
  CHECK(!table.of(seen)->may_have(0));
}

TEST_CASE("row 30: no two blocks have one handle, however many there were, and none is 0") {
  device::MmzSharing<lock::None, 4, std::uint8_t> table(true);
  CHECK(table.add({}, base, page, 1) == 1);
  for (unsigned turn = 0; turn < 1000; ++turn) {
    const std::uint32_t handle = table.add({}, base + page, page, 2);
    REQUIRE(handle == 2 + turn % 254);
    table.remove(handle);
  }
  CHECK(table.of(1)->physical == base);
}

TEST_CASE("row 30: a handle is a number of the block's own; that of a block which is gone is EINVAL, whoever lies there now") {
  Three three;
  CHECK(three.handle == 1);
  CHECK(three.mine.call(three.node, MmzCommand::free, base) == 0);
  CHECK(three.mine.allocate(three.node, 2 * page) == static_cast<std::int64_t>(base));
  for (const MmzCommand command : {MmzCommand::share, MmzCommand::unshare, MmzCommand::share_all, MmzCommand::unshare_all}) {
    CHECK(three.change(three.mine, command, friend_) == EINVAL_);
  }
  CHECK(three.told(three.mine, MmzCommand::memory_of_handle, {.handle = three.handle}) == EINVAL_);
  CHECK(three.told(three.mine, MmzCommand::memory_of_physical, {.physical = base}) == 0);
  CHECK(three.last.handle == 2);
  CHECK(three.mine.remap(three.node, base) > 0);
  CHECK(three.mine.call(three.node, MmzCommand::free, base) == -16);  // a promise: it is his until he unmaps it
  CHECK(three.told(three.mine, MmzCommand::memory_of_physical, {.physical = base}) == 0);
  CHECK(three.mine.call(three.node, MmzCommand::unmap, base) == 0);
  CHECK(three.told(three.mine, MmzCommand::memory_of_handle, {.handle = 2}) == EINVAL_);
}

TEST_CASE("row 1: a sharing command's struct, of both widths; shorter ones are filled up, longer ones refused") {
  Three three;
  const device::Command share = device::mmz_command<g5>(MmzCommand::share, device::WordSize::bits32);
  CHECK(share.code == 0x40147328);
  CHECK(device::mmz_command<g5>(MmzCommand::memory_of_handle, device::WordSize::bits64).code == 0xc028732e);
  const auto code = [&](MmzCaller<g5>& by, std::uint32_t length, std::uint64_t at = Caller::start) {
    return three.node_of(by).file.ioctl(by, {(share.code & 0xc000'ffff) | length << 16}, at).value();
  };
  three.mine.put(0, std::array<std::uint64_t, 5>{0, 0, three.handle, 0, friend_});
  CHECK(code(three.mine, 40) == 0);
  CHECK(three.list() == Processes{owner, friend_});
  CHECK(code(three.mine, 24) == 0);  // with process 0
  CHECK(three.list() == Processes{owner, friend_, 0});
  CHECK(code(three.mine, 41) == EINVAL_);
  CHECK(code(three.mine, 16) == EINVAL_);  // no handle
  CHECK(code(three.mine, 40, 0) == EINVAL_);
  CHECK(code(three.mine, 40, 8) == -14);
  CHECK(code(three.others, 40) == EINVAL_);  // as long as 64-bit callers have it, of zeros
  three.others.put(0, std::array<std::uint32_t, 5>{0, 0, 1, 0, 5});
  CHECK(code(three.others, 20) == EPERM_);
}

TEST_CASE("rows 23 and 24: a block of another file's is mapped by those that it is shared with, and ends where it ends") {
  Three three;
  CHECK(three.mapped(three.theirs, base, page) == Errno::not_permitted);
  CHECK(three.change(three.mine, MmzCommand::share, friend_) == 0);
  CHECK(three.mapped(three.theirs, base, 2 * page) == Errno::none);
  CHECK(three.mapped(three.theirs, base + page, page) == Errno::none);
  CHECK(three.mapped(three.theirs, base + page, 2 * page) == Errno::invalid);
  CHECK(three.mapped(three.theirs, base - page, 2 * page) == Errno::not_permitted);
  CHECK(three.mapped(three.others, base, page) == Errno::not_permitted);
  CHECK(three.change(three.theirs, MmzCommand::unshare, friend_) == 0);
  CHECK(three.mapped(three.theirs, base, page) == Errno::not_permitted);
  CHECK(three.change(three.mine, MmzCommand::share_all) == 0);
  CHECK(three.mapped(three.others, base, page) == Errno::none);
  CHECK(three.change(three.mine, MmzCommand::unshare_all) == 0);
  CHECK(three.mapped(three.others, base, page) == Errno::not_permitted);
  MmzOpen<g5> again(three.scene, 2, owner);
  Errno error = Errno::none;
  CHECK(again.file.map(base, page, 3, error, owner));  // one's own, by another file
  CHECK(!again.file.map(base, page, 5, error, owner));
  Three open(open_to_all);
  CHECK(open.mapped(open.others, base, 2 * page) == Errno::none);
  CHECK(open.mapped(open.others, base + 2 * page, page) == Errno::not_permitted);  // nobody's
}

TEST_CASE("row 24: no other generation has blocks of others' mapped") {
  MmzScene scene("mmz=anonymous,0,0x50000000,64K mmz_allocator=hisi");
  MmzOpen<> node(scene), other(scene);
  MmzCaller<> caller(scene);
  CHECK(caller.allocate(node, page) == static_cast<std::int64_t>(base));
  Errno error = Errno::none;
  CHECK(!other.file.map(base, page, 3, error, 77));
  CHECK(error == Errno::not_permitted);
}

TEST_CASE("how a shared block is seen: cached unless the file was opened with O_SYNC; as it is mapped already, where it is") {
  Three three;
  CHECK(three.change(three.mine, MmzCommand::share, friend_) == 0);
  Errno error = Errno::none;
  CHECK(three.second->file.map(base, page, 3, error, friend_)->seen == Cacheability::cached);
  MmzOpen<g5> synchronous(three.scene, 2U | 0x101000U, friend_);
  CHECK(synchronous.file.map(base, page, 3, error, friend_)->seen == Cacheability::write_combined);
  CHECK(three.mine.remap(three.node, base) > 0);
  CHECK(three.second->file.map(base, page, 3, error, friend_)->seen == Cacheability::write_combined);
  CHECK(three.mine.call(three.node, MmzCommand::unmap, base) == 0);
  CHECK(three.mine.remap(three.node, base, MmzCommand::remap_cached) > 0);
  CHECK(synchronous.file.map(base, page, 3, error, friend_)->seen == Cacheability::cached);
}

TEST_CASE("row 25: who maps what is shared keeps it when it is unshared, freed and its file closed; nobody new has it then") {
  MmzScene scene(isolated, g5);
  std::optional<MmzOpen<g5>> node(std::in_place, scene, 2U, 77U);
  MmzOpen<g5> second(scene, 2, friend_);
  MmzCaller<g5> mine(scene), theirs(scene, device::WordSize::bits64, friend_);
  CHECK(mine.allocate(*node, page) == static_cast<std::int64_t>(base));
  MmzShareCall told{.physical = base, .process = friend_};
  CHECK(mine.call(*node, MmzCommand::memory_of_physical, told) == 0);
  CHECK(mine.call(*node, MmzCommand::share, told) == 0);
  Errno error = Errno::none;
  auto mapped = second.file.map(base, page, 3, error, friend_);
  REQUIRE(mapped);
  node.reset();
  CHECK(scene.free_bytes("anonymous") == 15 * page);
  CHECK(!second.file.map(base, page, 3, error, friend_));
  CHECK(error == Errno::not_permitted);
  MmzShareCall asked{.physical = base};
  CHECK(theirs.call(second, MmzCommand::memory_of_physical, asked) == EINVAL_);
  mapped.reset();
  CHECK(scene.free_bytes("anonymous") == 16 * page);
}

TEST_CASE("what is told of a block: of what one sees, without asking whose it is; of addresses and handles, to those that may have it") {
  Three three;
  const auto at = static_cast<std::uint64_t>(three.mine.remap(three.node, base));
  const MmzShareCall seen{.address = at + page + 3, .process = 5};
  CHECK(three.told(three.mine, MmzCommand::memory_of_address, seen) == 0);
  CHECK(three.last.physical == base + page + 3);
  CHECK(three.last.offset == page + 3);
  CHECK(three.last.handle == three.handle);
  CHECK(three.last.address == seen.address);
  CHECK(three.last.process == 5);
  CHECK(three.told(three.mine, MmzCommand::memory_of_address, {.address = 0x1000}) == EINVAL_);
  CHECK(three.told(three.mine, MmzCommand::memory_of_address, {.address = MmzCaller<g5>::foreign_at}) == EINVAL_);

  const MmzShareCall physical{.physical = base + 5}, handle{.handle = three.handle};
  for (MmzCaller<g5>* const by : {&three.theirs, &three.others}) {
    CHECK(three.told(*by, MmzCommand::memory_of_physical, physical) == EPERM_);
    CHECK(three.told(*by, MmzCommand::memory_of_handle, handle) == EPERM_);
    CHECK(three.told(*by, MmzCommand::memory_of_physical, {.physical = base + 2 * page}) == EINVAL_);
    CHECK(three.told(*by, MmzCommand::memory_of_physical, {}) == EINVAL_);
    CHECK(three.told(*by, MmzCommand::memory_of_handle, {.handle = three.handle + 1}) == EINVAL_);
    CHECK(three.change(three.mine, MmzCommand::share, by->process()) == 0);
    CHECK(three.told(*by, MmzCommand::memory_of_physical, physical) == 0);
    CHECK(three.last.physical == base + 5);
    CHECK(three.last.offset == 5);
    CHECK(three.last.handle == three.handle);
    CHECK(three.told(*by, MmzCommand::memory_of_handle, handle) == 0);
    CHECK(three.last.physical == base);
    CHECK(three.last.offset == 0);
  }
}

TEST_CASE("what one does not see is not the block at address 0") {
  MmzScene scene("mmz=anonymous,0,0,64K mmz_allocator=ot", g5);
  MmzOpen<g5> node(scene);
  MmzCaller<g5> caller(scene);
  CHECK(caller.allocate(node, page) == 0);
  MmzShareCall asked{.address = 0x1000};
  CHECK(caller.call(node, MmzCommand::memory_of_address, asked) == EINVAL_);
  CHECK(caller.call(node, MmzCommand::memory_of_physical, asked) == 0);
}

TEST_CASE("when a file is closed nothing is shared with its opener any more, but by himself") {
  Three three;
  for (const std::int32_t process : {friend_, stranger}) CHECK(three.change(three.mine, MmzCommand::share, process) == 0);
  CHECK(three.theirs.allocate(*three.second, page) == static_cast<std::int64_t>(base + 2 * page));
  { MmzOpen<g5> more(three.scene, 2, friend_); }
  CHECK(three.list() == Processes{owner, stranger});
  CHECK(three.scene.mmz().sharing().at(base + 2 * page)->processes == Processes{friend_});
  { MmzOpen<g5> more(three.scene, 2, owner); }
  CHECK(three.list() == Processes{owner, stranger});
  three.third.reset();
  CHECK(three.list() == Processes{owner});
}

TEST_CASE("row 24: SYS_FLUSH_CACHE of a block of another file's, where it is shared; DIRTY and FREE of one's own only") {
  Three three;
  CHECK(three.change(three.mine, MmzCommand::share, friend_) == 0);
  Errno error = Errno::none;
  const auto at = static_cast<std::uint64_t>(three.theirs.map_block(*three.second->file.map(base, 2 * page, 3, error, friend_)).value());
  MmzCaller<g5>::Info range{.physical = base + page, .size = 64, .mapped = at + page};
  auto& done = *three.scene.platform.done;
  CHECK(three.theirs.call(*three.second, MmzCommand::flush_range, range) == 0);
  CHECK(done == std::vector<std::string>{"inner clean_inv 4096 64", "outer clean_inv " + std::to_string(base + page) + " 64"});
  done.clear();
  CHECK(three.theirs.flush_dirty(*three.second, base, at, 64) == EPERM_);
  CHECK(three.theirs.call(*three.second, MmzCommand::free, base) == EPERM_);
  CHECK(three.change(three.mine, MmzCommand::unshare, friend_) == 0);
  CHECK(three.theirs.call(*three.second, MmzCommand::flush_range, range) == EPERM_);
  CHECK(done.empty());
}
