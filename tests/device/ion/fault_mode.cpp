// Buffers that come into their mappings page by page (shared/spec: ION 4.6, row 19).
#include <freestone/device/ion/fault_mode.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/lock/none.hpp>
#include <freestone/lock/os/futex.hpp>

#include "support/effort.hpp"
#include "support/random.hpp"

using namespace freestone;
using namespace freestone::device;
using namespace freestone::tests;

namespace {

using Mapping = int;

// What a platform sees: which pages are in which mapping, and what was synced.
struct TestPlatform {
  Result<void> insert(const Mapping& mapping, std::uint64_t page) noexcept {
    if (fails) return ErrorCode::injected;
    present[mapping].insert(page);
    return {};
  }
  void zap(const Mapping& mapping, const PageRun& pages) noexcept {
    zapped.emplace_back(mapping, pages);
    const auto found = present.find(mapping);
    if (found == present.end()) return;
    for (const std::uint64_t page : found->second) is_misused |= !pages.contains(page);
    present.erase(found);
  }
  void sync(const PageRun& run) noexcept {
    is_misused |= !present.empty();  // somebody could write to it meanwhile
    synced.push_back(run);
  }
  // Those of one sync.
  std::vector<PageRun> take_synced() {
    for (std::size_t at = 0; at < synced.size(); ++at) {
      is_misused |= synced[at].count == 0;
      is_misused |= at != 0 && synced[at - 1].first + synced[at - 1].count >= synced[at].first;  // they could be one run
    }
    return std::exchange(synced, {});
  }

  std::map<Mapping, std::set<std::uint64_t>> present = {};
  std::vector<std::pair<Mapping, PageRun>> zapped = {};
  std::vector<PageRun> synced = {};
  bool fails = false;
  bool is_misused = false;
};

template <class L = lock::None>
struct SceneOf {
  using Mode = FaultMode<TestPlatform, Mapping, L>;

  explicit SceneOf(std::uint64_t pages, std::size_t mappings = 8) : words(bits::words_for(pages), ~std::uint64_t{0}), places(mappings) {}

  TestPlatform platform = {};
  std::vector<std::uint64_t> words;  // not zeros before
  std::vector<typename Mode::Place> places;
};

struct Scene : SceneOf<> {
  explicit Scene(std::uint64_t pages, std::size_t mappings = 8) : SceneOf(pages, mappings), mode(platform, pages, words, places) {}

  std::vector<PageRun> sync() {
    mode.sync_for_device();
    return platform.take_synced();
  }

  Mode mode;
};

using Runs = std::vector<PageRun>;

}  // namespace

TEST_CASE("row 19: only pages that were touched are synced, runs of them at once, and only once") {
  Scene scene(200);
  REQUIRE(scene.mode.add(1, {0, 200}));
  CHECK(scene.sync().empty());
  for (const std::uint64_t page : {199U, 0U, 62U, 63U, 64U, 65U, 127U, 130U, 129U}) REQUIRE(scene.mode.fault(1, page));
  CHECK(scene.mode.is_touched(64));
  CHECK(!scene.mode.is_touched(66));
  CHECK(!scene.mode.is_touched(200));
  CHECK(scene.mode.sync_for_device() == 9);
  CHECK(scene.platform.take_synced() == Runs{{0, 1}, {62, 4}, {127, 1}, {129, 2}, {199, 1}});
  CHECK(!scene.mode.is_touched(64));
  CHECK(scene.mode.sync_for_device() == 0);
  CHECK(scene.platform.take_synced().empty());
  for (std::uint64_t page = 0; page < 200; ++page) REQUIRE(scene.mode.fault(1, page));
  CHECK(scene.sync() == Runs{{0, 200}});
  CHECK(!scene.platform.is_misused);
}

TEST_CASE("row 19: each mapping is zapped, and the next touch faults again") {
  Scene scene(8);
  REQUIRE(scene.mode.add(1, {0, 8}));
  REQUIRE(scene.mode.add(2, {4, 4}));
  REQUIRE(scene.mode.fault(1, 2));
  REQUIRE(scene.mode.fault(1, 2));
  CHECK(scene.platform.present[1] == std::set<std::uint64_t>{2});
  scene.platform.present.erase(2);
  CHECK(scene.sync() == Runs{{2, 1}});
  CHECK(scene.platform.zapped == std::vector<std::pair<Mapping, PageRun>>{{1, {0, 8}}, {2, {4, 4}}});
  CHECK(scene.platform.present.empty());
  REQUIRE(scene.mode.fault(2, 4));
  CHECK(scene.platform.present[2] == std::set<std::uint64_t>{4});
  CHECK(scene.sync() == Runs{{4, 1}});
}

TEST_CASE("row 19: a copy at a fork and both parts of a split are zapped; what is gone is not") {
  Scene scene(10);
  REQUIRE(scene.mode.add(1, {2, 6}));
  REQUIRE(scene.mode.copy(1, 2));
  REQUIRE(scene.mode.split(2, 4, 3));
  CHECK(scene.mode.mapping_count() == 3);
  CHECK(scene.mode.fault(2, 6).error().code == ErrorCode::range_beyond_block);
  CHECK(scene.mode.fault(3, 5).error().code == ErrorCode::range_beyond_block);
  CHECK(scene.mode.fault(1, 8).error().code == ErrorCode::range_beyond_block);
  CHECK(scene.mode.fault(1, 1).error().code == ErrorCode::range_beyond_block);
  REQUIRE(scene.mode.fault(3, 7));
  REQUIRE(scene.mode.fault(2, 2));
  REQUIRE(scene.mode.fault(1, 3));
  CHECK(scene.sync() == Runs{{2, 2}, {7, 1}});
  CHECK(scene.platform.zapped == std::vector<std::pair<Mapping, PageRun>>{{1, {2, 6}}, {2, {2, 4}}, {3, {6, 2}}});
  CHECK(!scene.platform.is_misused);
  scene.platform.zapped.clear();
  REQUIRE(scene.mode.fault(1, 4));
  scene.platform.present.clear();  // it is unmapped; what was written stays written
  REQUIRE(scene.mode.remove(1));
  CHECK(scene.sync() == Runs{{4, 1}});
  CHECK(scene.platform.zapped == std::vector<std::pair<Mapping, PageRun>>{{3, {6, 2}}, {2, {2, 4}}});
}

TEST_CASE("row 19: what is refused changes nothing") {
  Scene scene(10, 2);
  CHECK(scene.mode.add(1, {0, 0}).error().code == ErrorCode::zero_size);
  CHECK(scene.mode.add(1, {10, 1}).error().code == ErrorCode::range_beyond_block);
  CHECK(scene.mode.add(1, {1, 10}).error().code == ErrorCode::range_beyond_block);
  CHECK(scene.mode.add(1, {~std::uint64_t{0}, 2}).error().code == ErrorCode::range_beyond_block);
  CHECK(scene.mode.add(1, {2, ~std::uint64_t{0}}).error().code == ErrorCode::range_beyond_block);
  CHECK(scene.mode.fault(1, 0).error().code == ErrorCode::not_mapped);
  CHECK(scene.mode.copy(1, 2).error().code == ErrorCode::not_mapped);
  CHECK(scene.mode.split(1, 1, 2).error().code == ErrorCode::not_mapped);
  CHECK(scene.mode.remove(1).error().code == ErrorCode::not_mapped);
  CHECK(scene.mode.mapping_count() == 0);
  REQUIRE(scene.mode.add(1, {4, 6}));
  CHECK(scene.mode.add(1, {0, 1}).error().code == ErrorCode::exists);
  CHECK(scene.mode.copy(1, 1).error().code == ErrorCode::exists);
  CHECK(scene.mode.split(1, 2, 1).error().code == ErrorCode::exists);
  CHECK(scene.mode.split(1, 0, 2).error().code == ErrorCode::range_beyond_block);
  CHECK(scene.mode.split(1, 6, 2).error().code == ErrorCode::range_beyond_block);
  CHECK(scene.mode.split(1, ~std::uint64_t{0}, 2).error().code == ErrorCode::range_beyond_block);
  REQUIRE(scene.mode.split(1, 5, 2));
  CHECK(scene.mode.split(1, 1, 3).error().code == ErrorCode::too_many_maps);
  CHECK(scene.mode.copy(1, 3).error().code == ErrorCode::too_many_maps);
  CHECK(scene.mode.add(3, {0, 1}).error().code == ErrorCode::too_many_maps);
  REQUIRE(scene.mode.fault(1, 8));
  REQUIRE(scene.mode.remove(2));
  CHECK(scene.mode.mapping_count() == 1);
  REQUIRE(scene.mode.add(3, {9, 1}));
  CHECK(scene.sync() == Runs{{8, 1}});
}

TEST_CASE("row 28: a page that cannot be inserted is not touched by that; one that was stays so") {
  Scene scene(4);
  REQUIRE(scene.mode.add(1, {0, 4}));
  REQUIRE(scene.mode.fault(1, 1));
  scene.platform.fails = true;
  CHECK(scene.mode.fault(1, 1).error().code == ErrorCode::injected);
  CHECK(scene.mode.fault(1, 2).error().code == ErrorCode::injected);
  CHECK(scene.sync() == Runs{{1, 1}});
}

TEST_CASE("row 19: buffers that are cached and not their users' to sync") {
  CHECK(is_faulted_in(1));
  CHECK(is_faulted_in(1 | 1U << 16));
  CHECK(!is_faulted_in(0));
  CHECK(!is_faulted_in(2));
  CHECK(!is_faulted_in(3));
}

TEST_CASE("row 19: touches, forks, splits, ends and devices by chance, beside a model of pages") {
  Random random(seed());
  for (const std::uint64_t pages : {1U, 63U, 64U, 65U, 300U}) {
    constexpr std::size_t room = 6;
    Scene scene(pages, room);
    std::map<Mapping, PageRun> model;
    std::set<std::uint64_t> touched;
    Mapping next = 0;
    const auto any = [&] {
      if (model.empty() || random.chance(5)) return Mapping{-1};  // of none
      return std::next(model.begin(), static_cast<std::ptrdiff_t>(random.below(model.size())))->first;
    };
    // The platform's part of what a fork and a split do.
    const auto give_pages = [&](Mapping from, Mapping to, PageRun run, bool moves) {
      auto& present = scene.platform.present;
      const auto found = present.find(from);
      if (found == present.end()) return;
      std::set<std::uint64_t> given;
      std::copy_if(found->second.begin(), found->second.end(), std::inserter(given, given.end()),
                   [&](std::uint64_t page) { return run.contains(page); });
      if (moves) {
        for (const std::uint64_t page : given) found->second.erase(page);
      }
      if (found->second.empty()) present.erase(found);
      if (!given.empty()) present[to] = given;
    };
    for (int round = 0; round < some_of(5000); ++round) {
      const std::uint64_t what = random.below(100);
      const Mapping mapping = any();
      const bool is_known = model.count(mapping) != 0;
      if (what < 10) {
        const PageRun run{random.below(pages + 1), random.below(pages + 1)};
        const bool fits = run.count != 0 && run.first + run.count <= pages && model.size() < room;
        REQUIRE(static_cast<bool>(scene.mode.add(++next, run)) == fits);
        if (fits) model[next] = run;
      } else if (what < 15) {
        const bool fits = is_known && model.size() < room;
        REQUIRE(static_cast<bool>(scene.mode.copy(mapping, ++next)) == fits);
        if (fits) give_pages(mapping, next, model[mapping], false), model[next] = model[mapping];
      } else if (what < 20) {
        const std::uint64_t at = random.below(pages + 1);
        const bool fits = is_known && at > 0 && at < model[mapping].count && model.size() < room;
        REQUIRE(static_cast<bool>(scene.mode.split(mapping, at, ++next)) == fits);
        if (fits) {
          const PageRun whole = model[mapping];
          model[mapping].count = at;
          model[next] = {whole.first + at, whole.count - at};
          give_pages(mapping, next, model[next], true);
        }
      } else if (what < 30) {
        REQUIRE(static_cast<bool>(scene.mode.remove(mapping)) == is_known);
        scene.platform.present.erase(mapping);
        model.erase(mapping);
      } else if (what < 90) {
        const std::uint64_t page = random.below(pages);
        scene.platform.fails = random.chance(5);
        const bool fits = is_known && model[mapping].contains(page) && !scene.platform.fails;
        REQUIRE(static_cast<bool>(scene.mode.fault(mapping, page)) == fits);
        scene.platform.fails = false;
        if (fits) touched.insert(page);
      } else {
        std::set<std::uint64_t> synced;
        scene.platform.zapped.clear();
        for (const PageRun& run : scene.sync()) {
          for (std::uint64_t page = run.first; page < run.first + run.count; ++page) synced.insert(page);
        }
        REQUIRE(synced == touched);
        touched.clear();
        REQUIRE(std::map<Mapping, PageRun>(scene.platform.zapped.begin(), scene.platform.zapped.end()) == model);
        REQUIRE(scene.platform.zapped.size() == model.size());
        REQUIRE(scene.platform.present.empty());
      }
      REQUIRE(scene.mode.mapping_count() == model.size());
      for (const auto& [of, present] : scene.platform.present) {
        for (const std::uint64_t page : present) REQUIRE((model[of].contains(page) && scene.mode.is_touched(page)));
      }
      REQUIRE(!scene.platform.is_misused);
    }
  }
}

TEST_CASE("row 25: threads that touch, fork and unmap while devices take the buffer: what is in a mapping is known to be touched") {
  constexpr std::uint64_t pages = 100;
  SceneOf<lock::Futex> scene(pages, 16);
  SceneOf<lock::Futex>::Mode mode(scene.platform, pages, scene.words, scene.places);
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 3; ++number) {
    threads.emplace_back([&mode, number] {
      Random random(number);
      const auto mapping = static_cast<Mapping>(number * 2), copy = mapping + 1;
      for (int round = 0; round < some_of(200); ++round) {
        static_cast<void>(mode.add(mapping, {number, pages - number}));
        for (int touch = 0; touch < 10; ++touch) static_cast<void>(mode.fault(mapping, number + random.below(pages - number)));
        static_cast<void>(mode.copy(mapping, copy));
        static_cast<void>(mode.fault(copy, pages - 1));
        mode.sync_for_device();
        static_cast<void>(mode.remove(copy));
        static_cast<void>(mode.remove(mapping));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  mode.sync_for_device();
  CHECK(mode.mapping_count() == 0);
  CHECK(!scene.platform.is_misused);
  CHECK(!scene.platform.synced.empty());
  for (std::uint64_t page = 0; page < pages; ++page) CHECK(!mode.is_touched(page));
  CHECK(mode.sync_for_device() == 0);
}
