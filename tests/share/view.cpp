#include <freestone/share/view.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/share/device.hpp>
#include <freestone/strategy/bitmap.hpp>
#include "support/effort.hpp"
#include "support/platforms.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::literals;
using namespace freestone::tests;

namespace {

using Offsets = Numbers<strategy::Bitmap>;
struct NoScrub {
  template <class Z>
  Result<void> operator()(Z&, const Block&) const noexcept {
    return {};
  }
};
constexpr ShareLimits few{.clients = 2, .owners = 2, .buffers = 16, .handles = 16, .blocks = 1};
using D = Device<Offsets, MinimalPlatform, few, NoScrub>;
using Ref = D::Ref;

constexpr std::uint64_t page = 4096;
constexpr std::size_t most_pages = 16;
constexpr std::size_t most = 6;
constexpr ByteRange pages(std::uint64_t first, std::uint64_t count) { return {first * page, count * page}; }

Offsets zone_of(Bytes size = 1_MiB) { return std::move(*Offsets::create({.name = "numbers", .size = size})); }

// What a mapping shows, page by page.
struct Shown : std::array<bool, most_pages> {
  bool& operator[](std::uint64_t at) { return std::array<bool, most_pages>::operator[](static_cast<std::size_t>(at)); }
};

// A view as a platform has it: with what its mapping shows.
struct Sub : View<D, most> {
  Shown shown = {};
};

// A platform's part, that looks how it is called: only what is hidden is shown, only what is shown is hidden, and the
// ranges of a call ascend and do not touch.
struct Pages {
  std::uint64_t mapped_pages = most_pages;  // nothing beyond them is ever touched
  std::uint64_t shows_left = ~std::uint64_t{0};
  std::vector<ByteRange> calls = {};

  Result<void> show(View<D, most>& view, const ByteRange& range) noexcept {
    if (shows_left == 0) return ErrorCode::out_of_memory;
    --shows_left;
    put(view, range, true);
    calls.push_back(range);
    return {};
  }
  void hide(View<D, most>& view, const ByteRange& range) noexcept {
    put(view, range, false);
    calls.push_back(range);
  }
  void put(View<D, most>& view, const ByteRange& range, bool is_shown) {
    REQUIRE(!range.is_empty());
    REQUIRE(range.is_multiple_of(page));
    REQUIRE(range.is_within(mapped_pages * page));
    auto& shown = static_cast<Sub&>(view).shown;
    for (std::uint64_t at = range.offset.value() / page; at < range.end().value() / page; ++at) {
      REQUIRE(shown[at] != is_shown);
      shown[at] = is_shown;
    }
  }
  std::vector<ByteRange> take() { return std::exchange(calls, {}); }
};
using Calls = std::vector<ByteRange>;

// A device with one client, who makes buffers of so many pages.
struct Board {
  Offsets zone = zone_of();
  MinimalPlatform platform;
  D device{zone, platform, TagKey{1, 2}};
  ClientId client = *device.open();

  Ref buffer(std::uint64_t count) {
    const Handle handle = *device.allocate(client, {.size = count * page});
    Ref ref = *device.share(client, handle);
    CHECK(device.free(client, handle));
    return ref;
  }
  Ref again(const Ref& ref) { return *device.ref(ref.id()); }
  std::uint64_t buffers() { return zone.stats().blocks; }
};

std::vector<ByteRange> grants_of(const View<D, most>& view) {
  std::vector<ByteRange> ranges;
  view.for_each_grant([&](const ByteRange& range) { ranges.push_back(range); });
  return ranges;
}
std::vector<ByteRange> shown_of(const View<D, most>& view) {
  std::vector<ByteRange> ranges;
  view.for_each_shown([&](const ByteRange& range) { ranges.push_back(range); });
  return ranges;
}

}  // namespace

// PMEM's checklist, row 13.
TEST_CASE("a view shows nothing, then just what is granted, be that before or after it is mapped") {
  Board board;
  Views<D, most> views(board.buffer(8), page);
  Sub sub;
  Pages screen;
  CHECK(sub.state() == ViewState::nobodys);
  CHECK(!sub.buffer());
  REQUIRE(views.connect(sub, board.again(views.buffer())));
  CHECK(sub.state() == ViewState::connected);
  REQUIRE(views.grant(sub, pages(1, 2), screen));
  CHECK(screen.take().empty());
  REQUIRE(sub.map(8 * page, screen));
  CHECK(screen.take() == Calls{pages(1, 2)});
  REQUIRE(views.grant(sub, pages(5, 1), screen));
  CHECK(screen.take() == Calls{pages(5, 1)});
  REQUIRE(views.grant(sub, pages(0, 8), screen));
  CHECK(screen.take() == Calls{pages(0, 1), pages(3, 2), pages(6, 2)});
  CHECK(shown_of(sub) == Calls{pages(0, 8)});
  CHECK(grants_of(sub) == Calls{pages(0, 8), pages(5, 1), pages(1, 2)});
  REQUIRE(views.withdraw(sub, pages(1, 2), screen));
  CHECK(screen.take().empty());
  REQUIRE(views.withdraw(sub, pages(0, 8), screen));
  CHECK(screen.take() == Calls{pages(0, 5), pages(6, 2)});
  REQUIRE(views.withdraw(sub, pages(5, 1), screen));
  CHECK(screen.take() == Calls{pages(5, 1)});
  CHECK(sub.unmap());
  views.revoke(screen);
  CHECK(board.buffers() == 0);
}

// Row 14. Each refusal leaves everything as it was.
TEST_CASE("what is refused, and why") {
  Board board;
  Views<D, most> views(board.buffer(4), page);
  Views<D, most> others(board.buffer(4), page);
  Sub sub, foreign, lonely;
  Pages screen;
  REQUIRE(views.connect(sub, board.again(views.buffer())));
  REQUIRE(others.connect(foreign, board.again(others.buffer())));
  REQUIRE(views.grant(sub, pages(0, 2), screen));
  REQUIRE(sub.map(4 * page, screen));
  screen.take();
  const auto refused = [&](auto&& call) {
    const auto grants = grants_of(sub);
    const auto shown = sub.shown;
    const ErrorCode code = code_of(call());
    CHECK(grants_of(sub) == grants);
    CHECK(sub.shown == shown);
    CHECK(screen.take().empty());
    return code;
  };
  const auto grant = [&](ByteRange range) {
    return refused([&] { return views.grant(sub, range, screen); });
  };
  const auto withdraw = [&](ByteRange range) {
    return refused([&] { return views.withdraw(sub, range, screen); });
  };
  constexpr std::uint64_t all = ~std::uint64_t{0};
  for (const std::uint64_t odd : {std::uint64_t{1}, page - 1, page + 1, all, all - page}) {
    CHECK(grant({odd, page}) == ErrorCode::not_granules);
    CHECK(grant({page, odd}) == ErrorCode::not_granules);
    CHECK(withdraw({odd, page}) == ErrorCode::not_granules);
    CHECK(grant({odd, 0}) == ErrorCode::not_granules);
  }
  const std::uint64_t edges[] = {0, page, 4 * page, 5 * page, std::uint64_t{1} << 31, std::uint64_t{1} << 32,
                                 std::uint64_t{1} << 63, all - 2 * page + 1, all - page + 1};
  for (const std::uint64_t offset : edges) {
    for (const std::uint64_t length : edges) {
      if (offset <= 4 * page && length <= 4 * page - offset) continue;
      CHECK(grant({offset, length}) == ErrorCode::range_beyond_block);
      CHECK(withdraw({offset, length}) == ErrorCode::range_beyond_block);
    }
  }
  CHECK(grant({page, 0}) == ErrorCode::none);  // nothing
  CHECK(withdraw({page, 0}) == ErrorCode::none);
  for (const ByteRange never : {pages(0, 1), pages(1, 1), pages(0, 3), pages(2, 2)}) {
    CHECK(withdraw(never) == ErrorCode::not_granted);
  }
  CHECK(refused([&] { return others.grant(sub, pages(0, 1), screen); }) == ErrorCode::not_owner);
  CHECK(refused([&] { return others.withdraw(sub, pages(0, 2), screen); }) == ErrorCode::not_owner);
  CHECK(refused([&] { return others.revoke(sub, screen); }) == ErrorCode::not_owner);
  CHECK(code_of(views.grant(foreign, pages(0, 1), screen)) == ErrorCode::not_owner);
  CHECK(code_of(views.grant(lonely, pages(0, 1), screen)) == ErrorCode::not_owner);
  for (std::size_t grants = 1; grants < most; ++grants) REQUIRE(views.grant(sub, pages(0, 1), screen));
  CHECK(grant(pages(0, 2)) == ErrorCode::too_many_grants);
  CHECK(withdraw(pages(0, 3)) == ErrorCode::not_granted);
  CHECK(sub.unmap());
  views.revoke(screen);
  others.revoke(screen);
}

// Rows 12 and 15, weaknesses 5 and 6.
TEST_CASE("a view is of one buffer, and mapped once") {
  Board board, other_board;
  Views<D, most> views(board.buffer(4), page);
  Views<D, most> others(board.buffer(4), page);
  Views<D, most> beyond(other_board.buffer(4), page);  // its buffer has the number of the first, on another device
  CHECK(views.buffer().id() == beyond.buffer().id());
  Sub sub;
  Pages screen;
  CHECK(code_of(sub.map(page, screen)) == ErrorCode::no_buffer);
  CHECK(code_of(sub.unmap()) == ErrorCode::not_mapped);
  CHECK(code_of(views.connect(sub, Ref())) == ErrorCode::no_buffer);
  CHECK(code_of(views.connect(sub, board.again(others.buffer()))) == ErrorCode::no_buffer);
  CHECK(code_of(views.connect(sub, other_board.again(beyond.buffer()))) == ErrorCode::no_buffer);
  CHECK(sub.state() == ViewState::nobodys);
  REQUIRE(views.connect(sub, board.again(views.buffer())));
  CHECK(views.connect(sub, board.again(views.buffer())));
  CHECK(board.device.info(views.buffer()).holds == 2);
  CHECK(code_of(others.connect(sub, board.again(others.buffer()))) == ErrorCode::has_buffer);
  CHECK(code_of(sub.map(0, screen)) == ErrorCode::zero_size);
  CHECK(code_of(sub.map(page - 1, screen)) == ErrorCode::not_granules);
  CHECK(code_of(sub.map(5 * page, screen)) == ErrorCode::range_beyond_block);
  CHECK(code_of(sub.map(~std::uint64_t{0} - page + 1, screen)) == ErrorCode::range_beyond_block);
  CHECK(sub.state() == ViewState::connected);
  REQUIRE(sub.map(4 * page, screen));
  CHECK(code_of(sub.map(4 * page, screen)) == ErrorCode::mapped_before);
  CHECK(views.connect(sub, board.again(views.buffer())));
  REQUIRE(sub.unmap());
  CHECK(code_of(sub.unmap()) == ErrorCode::not_mapped);
  CHECK(code_of(sub.map(4 * page, screen)) == ErrorCode::mapped_before);
  CHECK(code_of(views.connect(sub, board.again(views.buffer()))) == ErrorCode::has_buffer);
  CHECK(code_of(views.grant(sub, pages(0, 1), screen)) == ErrorCode::not_mapped);  // row 17: nothing is kept of it
  CHECK(code_of(views.withdraw(sub, pages(0, 1), screen)) == ErrorCode::not_mapped);
  CHECK(board.device.info(views.buffer()).holds == 1);
  views.revoke(screen);
  others.revoke(screen);
  beyond.revoke(screen);
}

// Weakness 8.
TEST_CASE("a mapping shorter than a grant is never touched beyond its end") {
  Board board;
  Views<D, most> views(board.buffer(8), page);
  Sub sub;
  Pages screen{.mapped_pages = 3};
  REQUIRE(views.connect(sub, board.again(views.buffer())));
  REQUIRE(views.grant(sub, pages(2, 6), screen));
  REQUIRE(sub.map(3 * page, screen));
  CHECK(screen.take() == Calls{pages(2, 1)});
  REQUIRE(views.grant(sub, pages(3, 2), screen));
  REQUIRE(views.grant(sub, pages(0, 8), screen));
  CHECK(screen.take() == Calls{pages(0, 2)});
  REQUIRE(views.withdraw(sub, pages(2, 6), screen));
  REQUIRE(views.withdraw(sub, pages(3, 2), screen));
  CHECK(screen.take().empty());
  views.revoke(screen);
  CHECK(screen.take() == Calls{pages(0, 3)});
  CHECK(sub.unmap());
}

TEST_CASE("what cannot be shown leaves all as it was") {
  Board board;
  Views<D, most> views(board.buffer(8), page);
  Sub sub;
  Pages screen;
  REQUIRE(views.connect(sub, board.again(views.buffer())));
  for (const std::uint64_t at : {1U, 3U, 5U}) REQUIRE(views.grant(sub, pages(at, 1), screen));
  for (std::uint64_t shows = 0; shows < 3; ++shows) {
    screen.shows_left = shows;
    CHECK(code_of(sub.map(8 * page, screen)) == ErrorCode::out_of_memory);
    CHECK(sub.shown == decltype(sub.shown){});
    CHECK(sub.state() == ViewState::connected);
  }
  screen.shows_left = 3;
  REQUIRE(sub.map(8 * page, screen));
  const auto before = sub.shown;
  for (std::uint64_t shows = 0; shows < 4; ++shows) {
    screen.shows_left = shows;
    CHECK(code_of(views.grant(sub, pages(0, 8), screen)) == ErrorCode::out_of_memory);
    CHECK(sub.shown == before);
    CHECK(grants_of(sub) == Calls{pages(5, 1), pages(3, 1), pages(1, 1)});
  }
  screen.shows_left = 4;
  CHECK(views.grant(sub, pages(0, 8), screen));
  CHECK(sub.unmap());
  views.revoke(screen);
}

// Row 16, weaknesses 3, 4 and 16; A17 of the attacks: memory goes only when nobody can see it any more.
TEST_CASE("the owner's end ends each view, and the buffer stays until mappings are taken back") {
  Board board;
  auto views = std::make_unique<Views<D, most>>(board.buffer(4), page);
  Sub mapped, unmapped, never, later;
  Pages screen;
  for (Sub* sub : {&mapped, &unmapped, &never}) {
    REQUIRE(views->connect(*sub, board.again(views->buffer())));
    REQUIRE(views->grant(*sub, pages(0, 2), screen));
  }
  REQUIRE(mapped.map(4 * page, screen));
  REQUIRE(unmapped.map(4 * page, screen));
  REQUIRE(unmapped.unmap());
  Ref hold = board.again(views->buffer());
  screen.take();
  views->revoke(screen);
  views->revoke(screen);
  CHECK(screen.take() == Calls{pages(0, 2)});
  CHECK(mapped.shown == decltype(mapped.shown){});
  CHECK(board.device.info(hold).holds == 2);  // this one, and that of the mapping
  CHECK(mapped.state() == ViewState::blanked);
  CHECK(never.state() == ViewState::revoked);
  for (Sub* sub : {&mapped, &unmapped, &never}) CHECK(grants_of(*sub).empty());
  CHECK(code_of(views->grant(mapped, pages(0, 1), screen)) == ErrorCode::revoked);
  CHECK(code_of(views->grant(never, pages(0, 1), screen)) == ErrorCode::revoked);
  CHECK(code_of(views->withdraw(mapped, pages(0, 2), screen)) == ErrorCode::revoked);
  CHECK(code_of(views->grant(unmapped, pages(0, 1), screen)) == ErrorCode::not_mapped);
  CHECK(code_of(never.map(4 * page, screen)) == ErrorCode::revoked);
  CHECK(code_of(mapped.map(4 * page, screen)) == ErrorCode::revoked);
  CHECK(code_of(views->connect(later, board.again(hold))) == ErrorCode::revoked);
  hold = {};
  CHECK(board.buffers() == 1);
  SUBCASE("all at once") { views->let_go(); }
  SUBCASE("each by itself, after the owner is gone") {
    views.reset();
    CHECK(mapped.unmap());
  }
  SUBCASE("by its client") { CHECK(mapped.unmap()); }
  CHECK(board.buffers() == 0);
  CHECK(mapped.state() == ViewState::revoked);
  CHECK(code_of(mapped.unmap()) == ErrorCode::not_mapped);
  CHECK(screen.take().empty());
}

TEST_CASE("one view is revoked, and the others see what they saw") {
  Board board;
  Views<D, most> views(board.buffer(4), page);
  Sub one, other;
  Pages screen;
  for (Sub* sub : {&one, &other}) {
    REQUIRE(views.connect(*sub, board.again(views.buffer())));
    REQUIRE(sub->map(4 * page, screen));
    REQUIRE(views.grant(*sub, pages(1, 2), screen));
  }
  REQUIRE(views.revoke(one, screen));
  CHECK(code_of(views.revoke(one, screen)) == ErrorCode::revoked);
  CHECK(shown_of(one).empty());
  CHECK(shown_of(other) == Calls{pages(1, 2)});
  CHECK(code_of(views.connect(one, board.again(views.buffer()))) == ErrorCode::has_buffer);
  views.let_go();  // nothing to the other
  CHECK(one.state() == ViewState::revoked);
  CHECK(other.state() == ViewState::mapped);
  std::vector<const View<D, most>*> listed;
  views.for_each([&](const View<D, most>& view) { listed.push_back(&view); });
  CHECK(listed == std::vector<const View<D, most>*>{&other});
  REQUIRE(other.unmap());
  views.revoke(screen);
}

// Weakness 18 and A9 of the attacks: a fork and a split in every order, with the ends of both.
TEST_CASE("a mapping that is copied or split lets go once, and its copies show nothing") {
  std::array<int, 5> order{0, 1, 2, 3, 4};
  do {
    Board board;
    Views<D, most> views(board.buffer(6), page);
    Sub sub;
    Pages screen;
    REQUIRE(views.connect(sub, board.again(views.buffer())));
    REQUIRE(views.grant(sub, pages(0, 6), screen));
    REQUIRE(sub.map(6 * page, screen));
    Shown forked = {};
    bool is_mapped = true, is_revoked = false;
    for (const int what : order) {
      if (what == 0) {  // a fork: the system copies what is shown, and the platform blanks the copy
        forked = sub.shown;
        sub.for_each_shown([&](const ByteRange& range) {
          for (std::uint64_t at = range.offset.value() / page; at < range.end().value() / page; ++at) forked[at] = false;
        });
        CHECK(forked == decltype(forked){});
      } else if (what == 1) {  // the page in the middle is unmapped: the view keeps what lies behind
        CHECK(code_of(sub.cut(pages(3, 3), screen)) == (is_mapped ? ErrorCode::none : ErrorCode::not_mapped));
      } else if (what == 2) {
        const bool is_over = sub.state() == ViewState::unmapped;  // before it could be revoked
        CHECK(code_of(views.grant(sub, pages(1, 4), screen)) ==
              (is_over ? ErrorCode::not_mapped : is_revoked ? ErrorCode::revoked : ErrorCode::none));
      } else if (what == 3) {
        CHECK(sub.unmap());
        is_mapped = false;
        sub.shown = {};
      } else {
        views.revoke(screen);
        is_revoked = true;
        CHECK(sub.shown == decltype(sub.shown){});
      }
      if (is_revoked && !is_mapped) CHECK(board.buffers() == 0);
      if (is_mapped || !is_revoked) CHECK(board.buffers() == 1);
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("of a split mapping just what the view keeps is shown from then on") {
  Board board;
  Views<D, most> views(board.buffer(8), page);
  Sub sub;
  Pages screen;
  REQUIRE(views.connect(sub, board.again(views.buffer())));
  CHECK(code_of(sub.cut(pages(0, 1), screen)) == ErrorCode::not_mapped);
  REQUIRE(views.grant(sub, pages(1, 6), screen));
  REQUIRE(sub.map(7 * page, screen));
  screen.take();
  CHECK(code_of(sub.cut(pages(0, 8), screen)) == ErrorCode::range_beyond_block);
  CHECK(code_of(sub.cut(pages(0, 9), screen)) == ErrorCode::range_beyond_block);
  CHECK(code_of(sub.cut({page, 0}, screen)) == ErrorCode::zero_size);
  CHECK(code_of(sub.cut({page, 1}, screen)) == ErrorCode::not_granules);
  CHECK(screen.take().empty());
  REQUIRE(sub.cut(pages(2, 3), screen));
  CHECK(screen.take() == Calls{pages(1, 1), pages(5, 2)});
  CHECK(code_of(sub.cut(pages(1, 4), screen)) == ErrorCode::range_beyond_block);
  REQUIRE(views.grant(sub, pages(0, 8), screen));
  CHECK(screen.take().empty());
  REQUIRE(views.withdraw(sub, pages(1, 6), screen));
  REQUIRE(views.withdraw(sub, pages(0, 8), screen));
  CHECK(screen.take() == Calls{pages(2, 3)});
  REQUIRE(views.grant(sub, pages(0, 3), screen));
  CHECK(screen.take() == Calls{pages(2, 1)});
  CHECK(sub.unmap());
  views.revoke(screen);
}

// Row 17: a client is gone, before or after something was granted to him.
TEST_CASE("a view that ends leaves nothing behind") {
  Board board;
  Views<D, most> views(board.buffer(4), page);
  Pages screen;
  for (int round = 0; round < 100; ++round) {
    Sub sub;
    REQUIRE(views.connect(sub, board.again(views.buffer())));
    if (round % 2 == 0) REQUIRE(views.grant(sub, pages(0, 1), screen));
    if (round % 3 == 0) REQUIRE(sub.map(page, screen));
    if (round % 3 == 0) REQUIRE(sub.unmap());
  }
  CHECK(board.device.info(views.buffer()).holds == 1);
  views.for_each([](const View<D, most>&) { FAIL("it is gone"); });
  views.revoke(screen);
}

// --- by chance, beside a model that counts for each page ---

namespace {

struct ModelView {
  std::unique_ptr<Sub> sub = std::make_unique<Sub>();
  int buffer = -1;
  ViewState state = ViewState::nobodys;
  std::uint64_t first = 0, end = 0;  // pages that are mapped
  std::vector<ByteRange> grants = {};

  bool shows(std::uint64_t at) const {
    if (state != ViewState::mapped || at < first || at >= end) return false;
    return std::any_of(grants.begin(), grants.end(), [&](const ByteRange& range) {
      return at * page >= range.offset.value() && at * page < range.end().value();
    });
  }
  bool holds() const {
    return state == ViewState::connected || state == ViewState::mapped || state == ViewState::blanked;
  }
};
struct ModelBuffer {
  std::unique_ptr<Views<D, most>> views;
  std::uint64_t size;
  BufferId id;
};

}  // namespace

TEST_CASE("whatever is granted to whom, what is seen is the model's") {
  Random random(seed());
  for (int round = 0; round < 25; ++round) {
    Board board;
    Pages screen;
    std::vector<ModelBuffer> buffers;
    std::vector<ModelView> views;
    const auto add_buffer = [&](std::size_t at) {
      const std::uint64_t size = random.from_to(1, most_pages);
      Ref ref = board.buffer(size);
      const BufferId id = ref.id();
      ModelBuffer made{std::make_unique<Views<D, most>>(std::move(ref), page), size, id};
      at == buffers.size() ? buffers.push_back(std::move(made)) : static_cast<void>(buffers[at] = std::move(made));
    };
    for (std::size_t at = 0; at < 3; ++at) add_buffer(at);
    for (int at = 0; at < 6; ++at) views.emplace_back();
    std::vector<std::pair<BufferId, std::uint64_t>> gone;  // buffers of owners who ended, and their views' holds

    for (int step = 0; step < some_of(4'000); ++step) {
      ModelView& view = views[static_cast<std::size_t>(random.below(views.size()))];
      Sub& sub = *view.sub;
      const auto chosen = static_cast<int>(random.below(buffers.size()));
      const int of = view.buffer >= 0 && random.chance(85) ? view.buffer : chosen;
      ModelBuffer& buffer = buffers[static_cast<std::size_t>(of)];
      const std::uint64_t start = random.below(most_pages);
      ByteRange range = pages(start, random.from_to(0, most_pages - start));
      if (random.chance(50) && !view.grants.empty()) {
        range = view.grants[static_cast<std::size_t>(random.below(view.grants.size()))];
      }
      const bool is_within = range.end().value() <= buffer.size * page;
      const auto refusal = [&]() -> ErrorCode {
        if (view.state == ViewState::blanked || view.state == ViewState::revoked) return ErrorCode::revoked;
        if (view.state == ViewState::unmapped) return ErrorCode::not_mapped;
        if (view.buffer != of) return ErrorCode::not_owner;
        return is_within ? ErrorCode::none : ErrorCode::range_beyond_block;
      };
      const auto what = random.below(100);
      if (what < 10) {
        Ref hold = board.again(buffer.views->buffer());
        const ErrorCode expected = view.buffer == of && (view.state == ViewState::connected || view.state == ViewState::mapped)
                                       ? ErrorCode::none
                                   : view.state == ViewState::nobodys ? ErrorCode::none
                                                                      : ErrorCode::has_buffer;
        REQUIRE(code_of(buffer.views->connect(sub, std::move(hold))) == expected);
        if (view.state == ViewState::nobodys) view.buffer = of, view.state = ViewState::connected;
      } else if (what < 45) {
        ErrorCode expected = refusal();
        if (expected == ErrorCode::none && !range.is_empty() && view.grants.size() == most) expected = ErrorCode::too_many_grants;
        screen.shows_left = random.chance(15) ? random.below(3) : ~std::uint64_t{0};
        const ErrorCode code = code_of(buffer.views->grant(sub, range, screen));
        if (code != ErrorCode::out_of_memory) REQUIRE(code == expected);
        if (code == ErrorCode::out_of_memory) REQUIRE(expected == ErrorCode::none);
        if (code == ErrorCode::none && !range.is_empty()) view.grants.push_back(range);
        screen.shows_left = ~std::uint64_t{0};
      } else if (what < 75) {
        ErrorCode expected = refusal();
        const auto at = std::find(view.grants.rbegin(), view.grants.rend(), range);
        if (expected == ErrorCode::none && !range.is_empty() && at == view.grants.rend()) expected = ErrorCode::not_granted;
        REQUIRE(code_of(buffer.views->withdraw(sub, range, screen)) == expected);
        if (expected == ErrorCode::none && !range.is_empty()) view.grants.erase(std::next(at).base());
      } else if (what < 83) {
        const std::uint64_t length = random.from_to(1, most_pages);
        const bool can = view.state == ViewState::connected && length <= buffers[static_cast<std::size_t>(view.buffer)].size;
        REQUIRE(static_cast<bool>(sub.map(length * page, screen)) == can);
        if (can) view.state = ViewState::mapped, view.first = 0, view.end = length;
      } else if (what < 87) {
        const bool has_mapping = view.state == ViewState::mapped || view.state == ViewState::blanked;
        const bool can = has_mapping && !range.is_empty() && range.offset.value() >= view.first * page &&
                         range.end().value() <= view.end * page;
        REQUIRE(static_cast<bool>(sub.cut(range, screen)) == can);
        if (can) view.first = range.offset.value() / page, view.end = range.end().value() / page;
      } else if (what < 90) {
        const bool can = view.state == ViewState::mapped || view.state == ViewState::blanked;
        REQUIRE(static_cast<bool>(sub.unmap()) == can);
        if (can) {
          view.state = view.state == ViewState::mapped ? ViewState::unmapped : ViewState::revoked;
          view.grants.clear();
          sub.shown = {};  // there is nothing there any more
        }
      } else if (what < 92) {
        const bool can = refusal() == ErrorCode::none || refusal() == ErrorCode::range_beyond_block;
        REQUIRE(static_cast<bool>(buffer.views->revoke(sub, screen)) == can);
        if (can) {
          view.state = view.state == ViewState::mapped ? ViewState::blanked : ViewState::revoked;
          view.grants.clear();
        }
      } else if (what < 93) {
        buffer.views->revoke(screen);
        const bool take_back = random.chance(50);
        if (take_back) buffer.views->let_go();
        for (ModelView& one : views) {
          if (one.buffer != of) continue;
          if (one.holds()) {
            one.grants.clear();
            one.state = one.state != ViewState::connected && !take_back ? ViewState::blanked : ViewState::revoked;
          }
          one.buffer = -1;  // of none that is left
        }
        add_buffer(static_cast<std::size_t>(of));
      } else if (view.state == ViewState::unmapped || view.state == ViewState::revoked || view.state == ViewState::nobodys ||
                 view.state == ViewState::connected) {
        view = ModelView();  // its client is gone, and another comes
      }

      std::uint64_t blanked = 0;
      for (const ModelView& one : views) {
        REQUIRE(one.sub->state() == one.state);
        for (std::uint64_t at = 0; at < most_pages; ++at) REQUIRE(one.sub->shown[at] == one.shows(at));
        const auto grants = grants_of(*one.sub);
        REQUIRE(std::equal(grants.begin(), grants.end(), one.grants.rbegin(), one.grants.rend()));
        Calls runs;
        for (std::uint64_t at = 0; at < most_pages; ++at) {
          if (!one.shows(at)) continue;
          if (runs.empty() || runs.back().end() != at * page) runs.push_back(pages(at, 0));
          runs.back().length = runs.back().length + page;
        }
        REQUIRE(shown_of(*one.sub) == runs);
        REQUIRE(static_cast<bool>(one.sub->buffer()) == one.holds());
        blanked += one.holds() && one.buffer == -1;
      }
      REQUIRE(board.buffers() >= buffers.size());
      REQUIRE(board.buffers() <= buffers.size() + blanked);
      if (blanked == 0) REQUIRE(board.buffers() == buffers.size());
      for (std::size_t at = 0; at < buffers.size(); ++at) {
        const auto holders = std::count_if(views.begin(), views.end(), [&](const ModelView& one) {
          return one.buffer == static_cast<int>(at) && one.holds();
        });
        REQUIRE(board.device.info(buffers[at].views->buffer()).holds == holders + 1);
      }
      screen.take();
    }
    for (ModelBuffer& buffer : buffers) buffer.views->revoke(screen), buffer.views->let_go();
    buffers.clear();
    for (ModelView& view : views) static_cast<void>(view.sub->unmap());
    REQUIRE(board.buffers() == 0);
  }
}

// Through a view that is mapped for 4 of its buffer's 5 pages: 30 things can be done, and every 4 of them in a row are;
// in a slow build every 3, and then some.
TEST_CASE("all that 4 grants and withdrawals let a view of 5 granules see") {
  Board board;
  Views<D, most> views(board.buffer(5), page);
  Sub sub;
  Pages screen{.mapped_pages = 4};
  REQUIRE(views.connect(sub, board.again(views.buffer())));
  REQUIRE(sub.map(4 * page, screen));
  std::vector<ByteRange> ranges;
  for (std::uint64_t first = 0; first < 5; ++first) {
    for (std::uint64_t count = 1; count <= 5 - first; ++count) ranges.push_back(pages(first, count));
  }
  std::vector<int> granted(ranges.size(), 0);
  std::uint64_t sequences = 0;
  Turns turns;
  const auto is_right = [&] {
    for (std::uint64_t at = 0; at < most_pages; ++at) {
      bool is_covered = false;
      for (std::size_t i = 0; i < ranges.size(); ++i) {
        is_covered = is_covered || (granted[i] != 0 && at * page >= ranges[i].offset.value() && at * page < ranges[i].end().value());
      }
      if (sub.shown[at] != (is_covered && at < 4)) return false;
    }
    return true;
  };
  const auto go = [&](auto&& self, int depth) -> bool {
    if (!is_right()) return false;
    if (depth == 4) return ++sequences, screen.calls.clear(), true;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      if (depth == 3 && !turns.is_next()) continue;
      if (!views.grant(sub, ranges[i], screen)) return false;
      ++granted[i];
      if (!self(self, depth + 1) || !views.withdraw(sub, ranges[i], screen)) return false;
      --granted[i];
      const bool is_there = granted[i] != 0;
      if (static_cast<bool>(views.withdraw(sub, ranges[i], screen)) != is_there) return false;
      granted[i] -= is_there;
      if (!self(self, depth + 1)) return false;
      granted[i] += is_there;
      if (is_there && !views.grant(sub, ranges[i], screen)) return false;
    }
    return true;
  };
  CHECK(go(go, 0));
  CHECK(sequences == 2 * some_of(405'000U));
  CHECK(sub.unmap());
  views.revoke(screen);
}
