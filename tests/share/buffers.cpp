#include <freestone/share/buffers.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/zone/layers/fault_injection.hpp>
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;
using layers::Call;

namespace {

// Blocks of 16 and of 4 KiB.
using Lists = layers::FaultInjection<Numbers<strategy::OrderList<strategy::Buddy, 2, 0>>>;
using Table = Buffers<Lists, 5, 4, lock::None>;

// Whatever the zone is asked, `asked` is called first.
std::function<void()> asked = [] {};
struct AskedLock : lock::None {
  static AskedLock format(std::uint64_t*) noexcept { return {}; }
  static AskedLock attach(std::uint64_t*) noexcept { return {}; }
  void lock() noexcept { asked(); }
};
using Watched = Zone<backing::OffsetSpace, strategy::Buddy, AskedLock, cache::Coherent>;

Lists lists(Bytes size = 1_MiB) { return std::move(*Lists::create({.name = "lists", .size = size})); }
constexpr Constraints several(Bytes size) { return {.size = size, .contiguous = false}; }

BufferId published(Table& table, Bytes size, std::uint32_t account = 0) {
  return table.publish(*table.draft(several(size)), account, 0, Cacheability::cached);
}

// What a buffer was, where the hold was the last.
struct Ended {
  std::uint32_t account;
  Bytes size;
};
std::optional<Ended> drop(Table& table, BufferId id) {
  std::optional<Ended> ended;
  if (table.drop(id)) table.end(id, [&](std::uint32_t account, Bytes size) { ended = Ended{account, size}; });
  return ended;
}

// Notes what it is asked to scrub, and fails at the block that it is told to.
struct Notes {
  std::vector<Block> scrubbed = {};
  std::size_t fails_after = ~std::size_t{0};

  Result<void> operator()(Lists&, const Block& block) {
    if (scrubbed.size() == fails_after) return ErrorCode::os_failure;
    scrubbed.push_back(block);
    return {};
  }
};

}  // namespace

TEST_CASE("a buffer is there from publish to the last drop, and what it is made of does not change") {
  auto zone = lists();
  Table table(zone);
  const auto draft = table.draft(several(36_KiB));
  REQUIRE(draft);
  CHECK(draft->size == 36_KiB);
  const BufferId id = table.publish(*draft, 7, 0x1234, Cacheability::uncached);
  CHECK(table.holds(id) == 1);
  CHECK(table.maps(id).cacheability() == Cacheability::uncached);
  const auto& parts = table.parts(id);
  CHECK(parts.list().size() == 3);
  CHECK(std::vector<Block>(parts.list().begin(), parts.list().end()) == blocks_of(zone));
  CHECK(parts.size == 36_KiB);
  CHECK(table.account(id) == 7);
  CHECK(parts.flags == 0x1234);
  CHECK(parts.number == id.number);
  CHECK(parts.heap == 0);  // there is only a zone
  CHECK(table.take(id) == ErrorCode::none);
  CHECK(!drop(table, id));
  CHECK(zone.stats().used == 36_KiB);
  const auto ended = drop(table, id);
  REQUIRE(ended);
  CHECK(ended->size == 36_KiB);
  CHECK(ended->account == 7);
  CHECK(zone.stats().blocks == 0);
  CHECK(table.count() == 0);
}

TEST_CASE("the last drop gives the blocks back, settles, and only then is the buffer counted no more") {
  auto zone = lists();
  Table table(zone);
  const BufferId id = published(table, 36_KiB, 3);
  table.account(id) = 4;  // it counts as another's
  REQUIRE(table.take(id) == ErrorCode::none);
  CHECK(!table.drop(id));
  int settled = 0;
  REQUIRE(table.drop(id));
  CHECK(zone.stats().blocks != 0);  // until somebody ends it
  CHECK(table.take(id) == ErrorCode::no_buffer);
  table.end(id, [&](std::uint32_t account, Bytes size) {
    ++settled;
    CHECK(account == 4);
    CHECK(size == 36_KiB);
    CHECK(zone.stats().blocks == 0);
    CHECK(table.count() == 1);
    CHECK(table.take(id) == ErrorCode::no_buffer);
    for (std::uint32_t place = 0; place < 5; ++place) CHECK(!table.take_any(place));
  });
  CHECK(settled == 1);
  CHECK(table.count() == 0);
}

TEST_CASE("no place is used again before the blocks that lay there went back") {
  auto zone = Watched::create({.name = "watched", .size = 64_KiB});
  REQUIRE(zone);
  Buffers<Watched, 2, 1, lock::None> table(*zone);
  const auto draft = table.draft({.size = 4_KiB});
  const BufferId id = table.publish(*draft, 0, 0, Cacheability::cached);
  asked = [&] { CHECK(table.count() == 1); };
  REQUIRE(table.drop(id));
  table.end(id, [](std::uint32_t, Bytes) {});
  CHECK(table.count() == 0);
  asked = [] {};
  const auto next = table.draft({.size = 4_KiB});
  asked = [&] { CHECK(table.count() == 1); };
  table.discard(*next);
  asked = [] {};
  CHECK(table.count() == 0);
}

TEST_CASE("a hold on whatever lies in a place, and on nothing where nothing does") {
  auto zone = lists();
  Table table(zone);
  for (std::uint32_t place = 0; place < 5; ++place) CHECK(!table.take_any(place));
  const auto draft = table.draft(several(4_KiB));
  CHECK(!table.take_any(draft->place));  // nobody knows it yet
  const BufferId id = table.publish(*draft, 0, 0);
  CHECK(table.maps(id).cacheability() == Cacheability::cached);  // as the zone is
  CHECK(table.take_any(id.place) == id);
  CHECK(table.holds(id) == 2);
  while (table.take(id) == ErrorCode::none) {}
  CHECK(!table.take_any(id.place));
  for (std::uint32_t holds = Holds<>::most; holds > 1; --holds) REQUIRE(!drop(table, id));
  CHECK(drop(table, id));
  CHECK(!table.take_any(id.place));
}

TEST_CASE("a single zone is heap 0") {
  auto zone = lists();
  Table table(zone);
  for (const HeapMask mask : {HeapMask(), HeapMask::of(1), HeapMask(~std::uint64_t{1})}) {
    CHECK(code_of(table.draft({.size = 4_KiB, .heaps = mask})) == ErrorCode::empty_mask);
  }
  const auto draft = table.draft({.size = 4_KiB, .heaps = HeapMask::of(0)});
  REQUIRE(draft);
  table.discard(*draft);
  CHECK(table.count() == 0);
}

TEST_CASE("who names no buffer, or one that is gone, gets no hold") {
  auto zone = lists();
  Table table(zone);
  const BufferId id = published(table, 4_KiB);
  for (const BufferId other : {BufferId{}, BufferId{5, id.generation, 1}, BufferId{id.place + 1, id.generation, 1},
                               BufferId{id.place, id.generation + 1, 1}, BufferId{id.place, id.generation - 1, 1}}) {
    CHECK(table.take(other) == ErrorCode::no_buffer);
  }
  CHECK(table.holds(id) == 1);
  CHECK(drop(table, id));
  CHECK(table.take(id) == ErrorCode::no_buffer);
  for (std::uint64_t number = 1; number <= 10; ++number) {  // each place is used in turn, and counts its buffers
    const BufferId next = published(table, 4_KiB);
    CHECK(next.place == number % 5);
    CHECK(next.number == (number + 5) / 5);
    CHECK(table.take(id) == ErrorCode::no_buffer);
    CHECK(drop(table, next));
  }
}

TEST_CASE("a draft that comes to nothing, and one that cannot be had, leave nothing") {
  auto zone = lists(64_KiB);
  Table table(zone);
  const auto draft = table.draft(several(36_KiB));
  CHECK(table.count() == 1);
  CHECK(code_of_unchanging(zone, [&] { return table.draft(several(32_KiB)); }) == ErrorCode::no_space);
  CHECK(code_of_unchanging(zone, [&] { return table.draft(several(0)); }) == ErrorCode::zero_size);
  CHECK(code_of_unchanging(zone, [&] { return table.draft({.size = 4_KiB, .exportable = true}); }) ==
        ErrorCode::never_satisfied);
  CHECK(table.count() == 1);
  table.discard(*draft);
  CHECK(table.count() == 0);
  CHECK(zone.stats().blocks == 0);
  CHECK(code_of_unchanging(zone, [&] { return table.draft(several(44_KiB)); }) == ErrorCode::list_too_short);  // five
  CHECK(table.count() == 0);
}

TEST_CASE("as many as there are places") {
  auto zone = lists();
  Table table(zone);
  std::vector<BufferId> ids;
  for (int buffers = 0; buffers < 5; ++buffers) ids.push_back(published(table, 4_KiB));
  const auto beyond = table.draft(several(4_KiB));
  REQUIRE(!beyond);
  CHECK(beyond.error() == Error{.code = ErrorCode::too_many_buffers, .asked = 6, .available = 5});
  CHECK(zone.stats().blocks == 5);
  CHECK(drop(table, ids[3]));
  CHECK(published(table, 4_KiB).place == ids[3].place);
}

TEST_CASE("each block is scrubbed, once, until one cannot be") {
  auto zone = lists();
  Table table(zone);
  const auto draft = table.draft(several(36_KiB));
  Notes all;
  CHECK(table.scrub(*draft, all));
  CHECK(all.scrubbed == blocks_of(zone));
  Notes some{.fails_after = 2};
  CHECK(code_of(table.scrub(*draft, some)) == ErrorCode::os_failure);
  CHECK(some.scrubbed.size() == 2);
  table.discard(*draft);
}

TEST_CASE("a block that the zone does not take back is counted, and nobody gets it") {
  auto zone = lists(64_KiB);
  Table table(zone);
  const BufferId id = published(table, 36_KiB, 3);
  const Block second = table.parts(id).list()[1];
  zone.fail_nth(Call::deallocate, 2);
  const auto ended = drop(table, id);
  REQUIRE(ended);
  CHECK(ended->size == 36_KiB);  // all of it is its maker's no more
  CHECK(table.count() == 0);
  CHECK(table.take(id) == ErrorCode::no_buffer);
  CHECK(blocks_of(zone) == std::vector{second});
  const auto said = [](const Block& block, std::uint64_t call) {
    return Error{.code = ErrorCode::injected, .asked = block.offset().value(), .available = call, .zone = "lists"};
  };
  CHECK(table.lost() == LostBlocks{.blocks = 1, .bytes = second.size(), .refused = said(second, 2)});

  zone.fail_from(Call::deallocate, 1, ErrorCode::holder_died);
  table.discard(*table.draft(several(8_KiB)));
  CHECK(zone.stats().blocks == 3);
  CHECK(table.lost().blocks == 3);
  CHECK(table.lost().bytes == second.size() + 8_KiB);
  CHECK(table.lost().refused.code == ErrorCode::holder_died);  // the last
  CHECK(table.lost().refused.available == 2);
  CHECK(table.count() == 0);
  zone.fail_none(Call::deallocate);

  CHECK(code_of(table.draft(several(44_KiB))) == ErrorCode::no_space);  // not all of what would be left
  Bytes had = 0;
  while (const auto block = zone.allocate(4_KiB)) had = had + block->size();
  CHECK(had == 64_KiB - table.lost().bytes);
}

TEST_CASE("whatever is taken, dropped and refused, the table is the model's") {
  struct Model {
    std::uint32_t holds;
    std::uint32_t account;
    std::vector<Block> blocks;
  };
  Random random(seed());
  for (int round = 0; round < 20; ++round) {
    auto zone = lists(128_KiB);
    Table table(zone);
    std::map<std::uint32_t, std::pair<BufferId, Model>> model;
    std::vector<BufferId> gone;
    LostBlocks lost;
    zone.fail_by_seed(Call::deallocate, random.next(), 1, 5);
    for (int step = 0; step < 1'000; ++step) {
      const auto what = random.below(10);
      auto at = model.begin();
      if (!model.empty()) std::advance(at, static_cast<int>(random.below(model.size())));
      if (what < 3) {
        const auto account = static_cast<std::uint32_t>(random.below(9));
        const auto draft = table.draft(several(4096 * random.from_to(1, 7)));
        if (!draft) {
          REQUIRE((model.size() == 5 || code_of(draft) == ErrorCode::no_space || code_of(draft) == ErrorCode::list_too_short));
          continue;
        }
        const BufferId id = table.publish(*draft, account, 0, Cacheability::cached);
        const auto list = table.parts(id).list();
        REQUIRE(model.emplace(id.place, std::pair{id, Model{1, account, {list.begin(), list.end()}}}).second);
      } else if (what < 6 && at != model.end()) {
        REQUIRE(table.take(at->second.first) == ErrorCode::none);
        ++at->second.second.holds;
      } else if (what < 9 && at != model.end()) {
        auto& [id, buffer] = at->second;
        const std::uint64_t refused = zone.failed(Call::deallocate);
        const auto ended = drop(table, id);
        REQUIRE(static_cast<bool>(ended) == (--buffer.holds == 0));
        if (!ended) continue;
        REQUIRE(ended->account == buffer.account);
        lost.blocks += zone.failed(Call::deallocate) - refused;
        for (const Block& block : buffer.blocks) lost.bytes = zone.owns(block) ? lost.bytes + block.size() : lost.bytes;
        gone.push_back(id);
        model.erase(at);
      } else if (!gone.empty()) {
        REQUIRE(table.take(gone[static_cast<std::size_t>(random.below(gone.size()))]) == ErrorCode::no_buffer);
      }
      Bytes used = lost.bytes;
      for (const auto& [place, one] : model) {
        REQUIRE(table.holds(one.first) == one.second.holds);
        for (const Block& block : one.second.blocks) used = used + block.size();
      }
      REQUIRE(zone.stats().used == used);
      REQUIRE(table.count() == model.size());
      REQUIRE(table.lost().blocks == lost.blocks);
      REQUIRE(table.lost().bytes == lost.bytes);
    }
    for (auto& [place, one] : model) {
      while (one.second.holds-- != 0) static_cast<void>(drop(table, one.first));
    }
  }
}
