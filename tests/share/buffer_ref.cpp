#include <freestone/share/buffer_ref.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/boards.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using D = Shared<lock::None>;
using Ref = D::Ref;
using Map = D::Map;

static_assert(!std::is_copy_constructible_v<Ref> && !std::is_copy_assignable_v<Ref>);
static_assert(!std::is_copy_constructible_v<Map> && !std::is_copy_assignable_v<Map>);
static_assert(std::is_nothrow_move_constructible_v<Ref> && std::is_nothrow_move_assignable_v<Ref>);
static_assert(std::is_nothrow_move_constructible_v<Map> && std::is_nothrow_move_assignable_v<Map>);
static_assert(!std::is_default_constructible_v<Map>);  // there is no mapping of nothing

void move_to_itself(auto& one) {
  auto& same = one;
  one = std::move(same);
}

}  // namespace

TEST_CASE("a ref is one hold, wherever it is moved") {
  Board<> board;
  Ref first = board.buffer();
  const BufferId id = first.id();
  const auto holds = [&](const Ref& ref) { return board.device.info(ref).holds; };
  CHECK(holds(first) == 1);
  Ref second = std::move(first);
  CHECK(!first);
  CHECK(first.id() == BufferId());
  CHECK(second);
  CHECK(second.id() == id);
  CHECK(holds(second) == 1);
  move_to_itself(second);
  CHECK(holds(second) == 1);
  Ref third = *board.device.ref(id);
  CHECK(holds(third) == 2);
  second = std::move(third);  // what it held goes no later than the one that it came from
  third = Ref();
  CHECK(holds(second) == 1);
  CHECK(board.buffers() == 1);
  second = {};
  CHECK(!second);
  CHECK(board.buffers() == 0);
}

TEST_CASE("refs are equal where they are of the same buffer") {
  Board<> board, other_board;
  const Ref one = board.buffer();
  const Ref again = *board.device.ref(one.id());
  const Ref next = board.buffer();
  const Ref foreign = other_board.buffer();
  CHECK(one.id() == foreign.id());
  CHECK(one == one);
  CHECK(one == again);
  CHECK(one != next);
  CHECK(one != foreign);
  CHECK(one != Ref());
  CHECK(Ref() != one);
  CHECK(Ref() == Ref());
  Ref gone = board.buffer();
  const Ref kept = std::move(gone);
  CHECK(gone == Ref());  // whatever it was of
  CHECK(gone != kept);
}

TEST_CASE("a mapping is one mapping and one hold, wherever it is moved") {
  Board<> board;
  Ref ref = board.buffer();
  const auto counts = [&] {
    const BufferInfo info = board.device.info(ref);
    return std::vector{info.holds, info.cpu_maps, info.device_maps};
  };
  using Counts = std::vector<std::uint32_t>;
  {
    Map cpu = *board.device.map(ref, Mapper::cpu);
    CHECK(counts() == Counts{2, 1, 0});
    CHECK(cpu.buffer() == ref);
    Map moved = std::move(cpu);
    CHECK(!cpu.buffer());
    CHECK(moved.buffer() == ref);
    CHECK(counts() == Counts{2, 1, 0});
    move_to_itself(moved);
    CHECK(counts() == Counts{2, 1, 0});
    {
      Map device = *board.device.map(ref, Mapper::device);
      CHECK(counts() == Counts{3, 1, 1});
      CHECK(moved.mapper() == Mapper::cpu);
      moved = std::move(device);
      CHECK(moved.mapper() == Mapper::device);
      CHECK(moved.buffer() == ref);
    }
    CHECK(counts() == Counts{2, 0, 1});  // the CPU's went at the end of the one that it came to
  }
  CHECK(counts() == Counts{1, 0, 0});
  const Map last = *board.device.map(ref, Mapper::cpu);
  ref = {};
  CHECK(board.buffers() == 1);
}

TEST_CASE("however refs and mappings are moved about, a buffer has as many holds as there are of them") {
  Random random(seed());
  Board<> board, other_board;
  Board<>* const boards[] = {&board, &other_board};
  for (int round = 0; round < 20; ++round) {
    struct Known {
      Ref ref;
      int buffer = -1;  // none
    };
    std::vector<Known> refs(8);
    std::vector<std::pair<Map, int>> maps;
    int made = 0;
    for (int step = 0; step < 500; ++step) {
      Known& one = refs[static_cast<std::size_t>(random.below(refs.size()))];
      Known& other = refs[static_cast<std::size_t>(random.below(refs.size()))];
      const bool is_other_board = one.buffer % 2 != 0;  // -1 counts as there, and has nothing there
      switch (random.below(6)) {
        case 0:
          one = {};
          one = {boards[made % 2]->buffer(), made};
          ++made;
          break;
        case 1: one = {}; break;
        case 2:
          if (&one != &other && one.ref) other = {}, other = {*boards[is_other_board]->device.ref(one.ref.id()), one.buffer};
          break;
        case 3: std::swap(one, other); break;
        case 4:
          if (one.ref && maps.size() < 6) maps.emplace_back(*boards[is_other_board]->device.map(one.ref, Mapper::cpu), one.buffer);
          break;
        default:
          if (!maps.empty()) std::swap(maps[static_cast<std::size_t>(random.below(maps.size()))], maps.back()), maps.pop_back();
      }
      for (const Known& a : refs) {
        std::uint32_t holds = 0, mapped = 0;
        for (const Known& b : refs) {
          REQUIRE((a.ref == b.ref) == (a.buffer == b.buffer));
          holds += a.buffer == b.buffer;
        }
        if (!a.ref) continue;
        for (const auto& [map, buffer] : maps) mapped += a.buffer == buffer;
        const BufferInfo info = boards[a.buffer % 2]->device.info(a.ref);
        REQUIRE(info.holds == holds + mapped);
        REQUIRE(info.cpu_maps == mapped);
      }
    }
  }
  CHECK(board.buffers() == 0);
  CHECK(other_board.buffers() == 0);
}
