// Which addresses show which bytes of which views, beside a model that says so of each page.
#include "../../examples/interposer/view_table.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include <doctest/doctest.h>

using namespace freestone::interposer;

namespace {

constexpr std::size_t page = 4096;
constexpr std::uintptr_t base = 0x1000'0000, everywhere = ~std::uintptr_t{0};

// What a page shows.
struct Shown {
  std::uint64_t view = 0;  // 0: nothing
  std::uint64_t at = 0;
  int protection = 0;
  bool is_in_children = true;

  bool is_followed_by(const Shown& next) const {
    return view == next.view && at + page == next.at && protection == next.protection && is_in_children == next.is_in_children;
  }
};

class Scene {
 public:
  explicit Scene(std::size_t pages, unsigned seed) : pages_(pages), random_(seed) {}

  std::size_t below(std::size_t end) { return std::uniform_int_distribution<std::size_t>(0, end - 1)(random_); }
  static std::uintptr_t address(std::size_t place) { return base + place * page; }

  void add(std::size_t place, std::size_t length) {
    table_.cut(address(place), address(place + length));
    clear(place, length);
    REQUIRE(table_.has_room_for_view());
    const std::uint64_t view = ++last_view_ * 7919;
    table_.add({.address = address(place), .length = length * page, .view = view}, {.view = view});
    for (std::size_t at = 0; at < length; ++at) pages_[place + at] = {view, at * page, 0, true};
    views_.insert(view);
  }
  void cut(std::size_t place, std::size_t length) {
    table_.cut(address(place), address(place + length));
    clear(place, length);
  }
  void protect(std::size_t place, std::size_t length, int protection) {
    table_.change(address(place), address(place + length), [&](ViewRange& range) { range.protection = protection; });
    for (std::size_t at = place; at < place + length; ++at) pages_[at].protection = protection;
  }
  void advise(std::size_t place, std::size_t length, bool is_in_children) {
    table_.change(address(place), address(place + length), [&](ViewRange& range) { range.is_in_children = is_in_children; });
    for (std::size_t at = place; at < place + length; ++at) pages_[at].is_in_children = is_in_children;
  }
  // As mremap, which does not let the two meet.
  void move(std::size_t place, std::size_t length, std::size_t to) {
    if (to < place + length && place < to + length) return;
    table_.cut(address(to), address(to + length));
    clear(to, length);
    table_.move(address(place), address(place + length), address(to));
    for (std::size_t at = 0; at < length; ++at) pages_[to + at] = std::exchange(pages_[place + at], {});
  }
  void become_child() {
    table_.become_child();
    for (Shown& one : pages_) one = one.is_in_children ? one : Shown{};
    views_ = shown();
  }
  bool has_room_for_view() { return table_.has_room_for_view(); }

  void act() {
    const std::size_t place = below(pages_.size()), length = 1 + below(std::min<std::size_t>(pages_.size() - place, 12));
    switch (below(9)) {
      case 0: case 1: case 2: return has_room_for_view() ? add(place, length) : check_ended();
      case 3: return cut(place, length);
      case 4: return protect(place, length, static_cast<int>(below(3)));
      case 5: return advise(place, length, below(4) != 0);
      case 6: case 7: return move(place, length, below(pages_.size() - length + 1));
      default: return below(20) == 0 ? become_child() : check_ended();
    }
  }

  // Those that ended, which are forgotten.
  void check_ended() {
    const auto ended = table_.take_ended();
    std::set<std::uint64_t> told, wanted;
    table_.for_each_ended(ended, [&](std::uint64_t view) { REQUIRE(told.insert(view).second); });
    table_.forget(ended);
    const std::set<std::uint64_t> now = shown();
    std::ranges::set_difference(views_, now, std::inserter(wanted, wanted.end()));
    REQUIRE(told == wanted);
    views_ = now;
    REQUIRE(table_.take_ended().first == 0);
  }
  // All of it.
  void check() {
    std::map<std::uint64_t, std::uint16_t> ranges;
    std::size_t place = 0, count = 0;
    table_.for_each(0, everywhere, [&](const ViewRange& range) {
      for (; address(place) < range.address; ++place) REQUIRE(pages_[place].view == 0);
      for (std::uint64_t at = range.at; address(place) < range.end(); ++place, at += page) {
        REQUIRE(pages_[place].view == range.view);
        REQUIRE(pages_[place].at == at);
        REQUIRE(pages_[place].protection == range.protection);
        REQUIRE(pages_[place].is_in_children == range.is_in_children);
      }
      REQUIRE(table_.anchor_of(range).view == range.view);
      ++ranges[range.view], ++count;
    });
    for (; place < pages_.size(); ++place) REQUIRE(pages_[place].view == 0);
    std::size_t runs = 0;
    for (place = 0; place < pages_.size(); ++place) {
      runs += pages_[place].view != 0 && (place == 0 || !pages_[place - 1].is_followed_by(pages_[place]));
    }
    REQUIRE(count == runs);
    REQUIRE(table_.is_empty() == (runs == 0));
    std::size_t views = 0;
    table_.for_each_view([&](const ViewAnchor& anchor) { REQUIRE(anchor.ranges == ranges[anchor.view]), ++views; });
    REQUIRE(views == ranges.size());
    std::set<std::uint64_t> told;
    std::uint64_t numbers[32];
    std::size_t from = 0, some = 32;
    while (some == 32) some = table_.numbers(from, numbers, 32), told.insert(numbers, numbers + some);
    REQUIRE(told == shown());
  }
  // Some addresses, and some bytes of a view.
  void look() {
    const std::size_t place = below(pages_.size()), length = 1 + below(pages_.size() - place);
    const ViewRange* const there = table_.at(address(place) + below(page));
    REQUIRE((there == nullptr) == (pages_[place].view == 0));
    if (there != nullptr) REQUIRE(there->at + (address(place) - there->address) == pages_[place].at);
    std::size_t seen = 0, wanted = 0;
    table_.for_each(address(place), address(place + length), [&](const ViewRange& range) {
      REQUIRE(range.address >= address(place));
      REQUIRE(range.end() <= address(place + length));
      REQUIRE(pages_[(range.address - base) / page].at == range.at);
      seen += range.length / page;
    });
    for (std::size_t at = place; at < place + length; ++at) wanted += pages_[at].view != 0;
    REQUIRE(seen == wanted);
    REQUIRE(table_.has_any(address(place), address(place + length)) == (wanted != 0));
    look_for_first(pages_[below(pages_.size())].view, place, place + length);
    const std::uint64_t view = pages_[place].view, at = below(12) * page, bytes = below(6) * page;
    std::set<std::uintptr_t> told, is;
    table_.for_each_of(view, at, bytes, [&](const ViewRange& range) {
      for (std::uintptr_t one = range.address; one < range.end(); one += page) told.insert(one);
    });
    for (std::size_t one = 0; view != 0 && one < pages_.size(); ++one) {
      if (pages_[one].view == view && pages_[one].at >= at && pages_[one].at < at + bytes) is.insert(address(one));
    }
    REQUIRE(told == is);
  }
  void look_for_first(std::uint64_t view, std::size_t from, std::size_t to) {
    const ViewRange* const first = table_.first_of(view, address(from), address(to));
    while (from < to && (view == 0 || pages_[from].view != view)) ++from;
    REQUIRE((first == nullptr) == (from == to));
    if (first != nullptr) REQUIRE((first->view == view && first->address <= address(from) && first->end() > address(from)));
  }

 private:
  void clear(std::size_t place, std::size_t length) { std::fill_n(pages_.begin() + static_cast<std::ptrdiff_t>(place), length, Shown{}); }
  std::set<std::uint64_t> shown() const {
    std::set<std::uint64_t> views;
    for (const Shown& one : pages_) {
      if (one.view != 0) views.insert(one.view);
    }
    return views;
  }

  std::vector<Shown> pages_;
  std::mt19937 random_;
  ViewTable table_;
  std::set<std::uint64_t> views_;
  std::uint64_t last_view_ = 0;
};

bool is_mapped(const char* at) { return ::msync(const_cast<char*>(at), page, MS_ASYNC) == 0; }

// Views of a page each, with a hole behind it, and their anchors.
struct Many {
  explicit Many(std::size_t count)
      : count(count), anchors(static_cast<char*>(::mmap(nullptr, count * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    REQUIRE(anchors != MAP_FAILED);
    for (std::size_t place = 0; place < count; ++place) add(place);
  }
  Many(const Many&) = delete;
  Many& operator=(const Many&) = delete;
  ~Many() { ::munmap(anchors, count * page); }

  static std::uintptr_t address(std::size_t place) { return base + 3 * place * page; }
  char* anchor(std::size_t place) const { return anchors + place * page; }
  void add(std::size_t place) {
    REQUIRE(table.has_room_for_view());
    table.add({.address = address(place), .length = 2 * page, .view = place + 1},
              {.view = place + 1, .address = reinterpret_cast<std::uintptr_t>(anchor(place))});
  }
  void cut(std::size_t place) { table.cut(address(place), address(place) + 2 * page); }
  void forget_ended() { table.forget(table.take_ended()); }

  std::size_t count;
  char* anchors;
  ViewTable table;
};

}  // namespace

TEST_CASE("each of a few pages, after each step") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Scene scene(40, seed);
    for (int step = 0; step < 1500; ++step) scene.act(), scene.check(), scene.look();
    scene.check_ended();
  }
}

TEST_CASE("thousands of views") {
  Scene scene(60'000, 1);
  for (std::size_t place = 0; place < 60'000; place += 20) scene.add(scene.below(59'000), 1 + scene.below(12));
  scene.check_ended();
  for (int step = 0; step < 20'000; ++step) {
    if (scene.has_room_for_view()) scene.act();
    if (step % 2000 == 0) scene.check_ended(), scene.check(), scene.look();
  }
  scene.check();
  scene.cut(0, 60'000);
  scene.check_ended();
  scene.check();
}

TEST_CASE("nothing is there, and no memory, before the first view") {
  ViewTable table;
  CHECK(table.is_empty());
  CHECK(table.at(base) == nullptr);
  CHECK_FALSE(table.has_any(0, everywhere));
  CHECK(table.first_of(1, 0, everywhere) == nullptr);
  CHECK(table.has_room({0, base, everywhere}));
  table.cut(0, everywhere);
  table.change(0, everywhere, [](ViewRange&) { FAIL("a range"); });
  table.move(base, base + page, base + 2 * page);
  table.become_child();
  table.for_each(0, everywhere, [](const ViewRange&) { FAIL("a range"); });
  table.for_each_view([](ViewAnchor&) { FAIL("a view"); });
  std::size_t place = 0;
  std::uint64_t number = 0;
  CHECK(table.numbers(place, &number, 1) == 0);
  CHECK(table.take_ended().first == 0);
  CHECK(table.is_empty());
}

TEST_CASE("as many views as there may be, and no more; the anchor of each that ends goes") {
  Many many(ViewTable::most_views);
  CHECK_FALSE(many.table.has_room_for_view());
  std::mt19937 random(7);
  std::vector<std::size_t> order(many.count);
  for (std::size_t place = 0; place < many.count; ++place) order[place] = place;
  for (int turn = 0; turn < 2; ++turn) {
    std::ranges::shuffle(order, random);
    for (std::size_t done = 0; done < many.count; ++done) {
      many.cut(order[done]);
      CHECK_FALSE((done == 0 && many.table.has_room_for_view()));  // it is not forgotten yet
      if (done % 3 == 0) many.forget_ended();
    }
    many.forget_ended();
    CHECK(many.table.is_empty());
    for (std::size_t place = 0; place < many.count; ++place) REQUIRE_FALSE(is_mapped(many.anchor(place)));
    REQUIRE(::mmap(many.anchors, many.count * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == many.anchors);
    for (const std::size_t place : order) many.add(place);
    CHECK_FALSE(many.table.has_room_for_view());
  }
}

TEST_CASE("as many ranges as there may be: what needs no more goes on") {
  constexpr std::size_t pages = ViewTable::most_ranges + 100;
  const auto address = [](std::size_t place) { return base + place * page; };
  ViewTable table;
  REQUIRE(table.has_room_for_view());
  table.add({.address = address(0), .length = pages * page, .view = 1}, {.view = 1});
  std::size_t place = 1;
  for (; table.has_room({address(place), address(place + 1)}); place += 2) {
    table.change(address(place), address(place + 1), [](ViewRange& range) { range.protection = 1; });
  }
  std::size_t count = 0;
  table.for_each(0, everywhere, [&](const ViewRange&) { ++count; });
  CHECK(count == place);
  CHECK(count + 1 == ViewTable::most_ranges);
  CHECK_FALSE(table.has_room_for_view());
  CHECK(table.has_room({address(0), address(pages)}));
  CHECK(table.has_room({address(3), address(4)}));
  CHECK(table.has_room({address(place), address(pages)}));
  CHECK_FALSE(table.has_room({address(place), address(place + 1)}));
  CHECK(table.has_room({address(3), address(4), 0, everywhere}));
  table.move(address(3), address(4), address(pages + 5));
  CHECK(table.at(address(3)) == nullptr);
  REQUIRE(table.at(address(pages + 5)) != nullptr);
  CHECK(table.at(address(pages + 5))->at == 3 * page);
  table.change(0, everywhere, [](ViewRange& range) { range.protection = 0; });
  count = 0;
  table.for_each(0, everywhere, [&](const ViewRange&) { ++count; });
  CHECK(count == 3);
  CHECK(table.has_room_for_view());
  CHECK(table.take_ended().first == 0);
}

TEST_CASE("a child has all but what is not to be its, whatever its parent's threads were doing") {
  Many many(3000);
  for (std::size_t place = 0; place < many.count; place += 3) {
    many.table.change(many.address(place), many.address(place) + 2 * page, [](ViewRange& range) { range.is_in_children = false; });
  }
  many.table.change(many.address(1), many.address(1) + page, [](ViewRange& range) { range.is_in_children = false; });
  for (std::size_t place = 100; place < 200; ++place) many.cut(place);
  const auto told = many.table.take_ended();  // by a thread that the child does not have
  for (std::size_t place = 200; place < 300; ++place) many.cut(place);
  const auto is_there = [&](std::size_t place) { return place % 3 != 0 && (place < 100 || place >= 300); };
  const auto check = [&] {
    std::size_t wrong = 0, count = 0;
    for (std::size_t place = 0; place < many.count; ++place) {
      const ViewRange* const there = many.table.at(many.address(place) + page);
      wrong += (there != nullptr) != is_there(place) || is_mapped(many.anchor(place)) != is_there(place);
      wrong += there != nullptr && there->length != (place == 1 ? page : 2 * page);
      count += is_there(place);
    }
    many.table.for_each_view([&](const ViewAnchor& anchor) { wrong += anchor.ranges != 1; });
    for (std::size_t turn = 0; turn < 2; ++turn) {  // whoever told of some goes on
      many.table.for_each_ended(told, [&](std::uint64_t) { ++wrong; });
      many.table.forget(told);
    }
    wrong += many.table.take_ended().first != 0;
    for (std::uintptr_t at = many.address(5000); many.table.has_room_for_view(); at += page, ++count) {
      many.table.add({.address = at, .length = page, .view = 5000 + count}, {.view = 5000 + count});
    }
    return wrong + (count != ViewTable::most_views);
  };
  const pid_t child = ::fork();
  if (child == 0) {
    many.table.become_child();
    ::_exit(check() != 0);
  }
  int status = -1;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  std::size_t count = 0;
  many.table.for_each_ended(told, [&](std::uint64_t view) { CHECK((view > 100 && view <= 200)), ++count; });
  CHECK(count == 100);
  many.table.forget(told);
  many.forget_ended();
  for (std::size_t place = 0; place < many.count; ++place) REQUIRE(is_mapped(many.anchor(place)) == (place < 100 || place >= 300));
}

TEST_CASE("what moves away and back, up and down, is one with its neighbours again") {
  for (const std::size_t away : {std::size_t{1}, std::size_t{30}}) {
    const auto address = [](std::size_t place) { return base + place * page; };
    ViewTable table;
    REQUIRE(table.has_room_for_view());
    table.add({.address = address(10), .length = 6 * page, .view = 1}, {.view = 1});
    table.move(address(12), address(14), address(away));
    REQUIRE(table.at(address(away)) != nullptr);
    CHECK(table.at(address(away))->at == 2 * page);
    CHECK(table.at(address(12)) == nullptr);
    table.move(address(away), address(away + 2), address(12));
    std::size_t count = 0;
    table.for_each(0, everywhere, [&](const ViewRange& range) { CHECK(range.length == 6 * page), ++count; });
    CHECK(count == 1);
  }
}
