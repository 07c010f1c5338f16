#include <freestone/zone/layers/os/magazines.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/fault_injection.hpp>
#include <freestone/zone/layers/limit.hpp>
#include <freestone/zone/layers/os/annotated.hpp>
#include <freestone/zone/layers/sized.hpp>

using namespace freestone;
using layers::Call;
using layers::FaultInjection;
using layers::Limit;
using layers::Magazines;
using layers::PowerOfTwoSizes;
using layers::Sized;

namespace {

template <class S>
using Numbers = Zone<backing::OffsetSpace, S, lock::Spin, cache::Coherent>;
using Plain = Numbers<strategy::Bitmap>;
using Books = Zone<backing::Anonymous, strategy::System, lock::Spin, cache::Coherent>;

// How often the zone behind is called: faults that never come.
template <class Z, std::size_t Classes = 4, std::size_t Rounds = 4>
using Counted = Magazines<FaultInjection<Z>, Classes, Rounds>;

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

template <class Function>
void in_thread(Function&& function) {
  std::thread(std::forward<Function>(function)).join();
}

}  // namespace

TEST_CASE("a block that comes back serves the next request, and the zone is not asked") {
  auto zone = Counted<Plain>::create({.size = 1_MiB});
  REQUIRE(zone);
  const auto a = zone->allocate(5000);
  REQUIRE(a);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(zone->deallocate(*a));
    CHECK(*zone->allocate(8_KiB) == *a);
  }
  CHECK(zone->calls(Call::any) == 1);
  REQUIRE(zone->deallocate(*a));
  CHECK(*zone->allocate({.size = 8_KiB, .align = 4_KiB}) == *a);
  const auto large = zone->allocate(20_KiB);  // no class for it
  REQUIRE(large);
  REQUIRE(zone->deallocate(*large));
  CHECK(zone->calls(Call::deallocate) == 1);
  REQUIRE(zone->deallocate(*a));
  const auto aligned = zone->allocate({.size = 8_KiB, .align = 16_KiB});  // none is looked for
  CHECK(zone->calls(Call::allocate) == 3);
  REQUIRE(aligned);
  REQUIRE(zone->deallocate_at(aligned->offset()));
  CHECK(zone->calls(Call::deallocate) == 1);
}

TEST_CASE("two full stacks of a size at most, and up and down by one stays off the zone") {
  auto zone = Counted<Plain>::create({.size = 1_MiB});
  REQUIRE(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 20; ++i) blocks.push_back(*zone->allocate(4_KiB));
  for (const Block& block : blocks) REQUIRE(zone->deallocate(block));
  CHECK(zone->stats().blocks == 0);
  CHECK(zone->calls(Call::deallocate) == 12);
  for (int i = 0; i < 100; ++i) {
    const auto a = zone->allocate(1);
    const auto b = zone->allocate(1);
    REQUIRE(zone->deallocate(*a));
    REQUIRE(zone->deallocate(*b));
  }
  CHECK(zone->calls(Call::deallocate) == 12);
  CHECK(zone->calls(Call::allocate) == 20);
}

TEST_CASE("a block in a magazine is free to every call") {
  using Z = Magazines<Numbers<strategy::BestFit>, 4, 4>;
  auto zone = Z::create({.name = "mine", .size = 64_KiB});
  REQUIRE(zone);
  const Bytes metadata = zone->stats().metadata;
  CHECK(metadata == zone->Numbers<strategy::BestFit>::stats().metadata + 16);
  const auto kept = zone->allocate(4_KiB);
  const auto a = zone->allocate(12_KiB);
  REQUIRE(a);
  REQUIRE(zone->deallocate(*a));
  const Stats before = zone->stats();
  CHECK(before.blocks == 1);
  CHECK(before.used == 4_KiB);
  CHECK(before.free == 60_KiB);
  CHECK_FALSE(zone->owns(*a));
  CHECK_FALSE(zone->find(a->offset()));
  CHECK(zone->owns(*kept));
  int seen = 0;
  zone->for_each_block([&](const Block& block) { seen += block == *kept ? 1 : 100; });
  CHECK(seen == 1);

  const auto gone = zone->deallocate(*a);
  CHECK(gone.error() == Error{.code = ErrorCode::double_release, .asked = a->offset().value(), .zone = "mine"});
  CHECK(code_of(zone->deallocate_at(a->offset())) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate_at(a->offset() + 4_KiB)) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate_at(a->offset() + 1)) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate_at(kept->offset() + 1)) == ErrorCode::inner_release);
  CHECK(code_of(zone->resize(*a, 1)) == ErrorCode::double_release);
  CHECK(code_of(zone->resize(Block(a->offset() + 4_KiB, 1, zone->tag()), 1)) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate(Block(0, 4_KiB, zone->tag() + 1))) == ErrorCode::foreign_block);
  CHECK(code_of(zone->deallocate_at(1_MiB)) == ErrorCode::foreign_block);
  CHECK(zone->stats() == before);

  REQUIRE(zone->flush());
  CHECK(code_of(zone->deallocate(*a)) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate_at(a->offset() + 4_KiB)) == ErrorCode::double_release);
  CHECK(zone->stats().used == before.used);
  CHECK(zone->stats().largest_free == 60_KiB);
  CHECK(code_of(zone->allocate(0)) == ErrorCode::zero_size);
  CHECK(code_of(zone->allocate(~std::uint64_t{0})) == ErrorCode::size_overflow);
  CHECK(code_of(zone->allocate(65_KiB)) == ErrorCode::size_beyond_zone);
  CHECK(code_of(zone->allocate({.size = 1, .align = 3})) == ErrorCode::alignment_not_granules);
}

TEST_CASE("an inner offset of a live block is one, whatever was there before") {
  auto zone = Magazines<Numbers<strategy::BestFit>, 4, 4>::create({.size = 64_KiB});
  REQUIRE(zone);
  std::vector<Block> small;
  for (int i = 0; i < 4; ++i) small.push_back(*zone->allocate(4_KiB));
  for (const Block& block : small) REQUIRE(zone->deallocate(block));
  REQUIRE(zone->flush());
  const auto large = zone->allocate_at(0, 16_KiB);
  REQUIRE(large);
  for (unsigned i = 1; i < 4; ++i) CHECK(code_of(zone->deallocate_at(i * (4_KiB).value())) == ErrorCode::inner_release);
  REQUIRE(zone->deallocate(*large));
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("an inner offset of a live block is one, whatever lies in a magazine before it") {
  const auto check = [](auto zone, Bytes within) {
    REQUIRE(zone);
    const auto a = zone->allocate(8_KiB);
    const auto b = zone->allocate(8_KiB);
    REQUIRE(b);
    REQUIRE(zone->deallocate(*a));
    CHECK(code_of(zone->deallocate_at(b->offset() + within)) == ErrorCode::inner_release);
    CHECK(code_of(zone->deallocate_at(a->offset() + 1)) == ErrorCode::double_release);
    CHECK(zone->owns(*b));
  };
  check(Magazines<Numbers<strategy::BestFit>>::create({.size = 64_KiB}), 4_KiB);
  check(Magazines<Books>::create({.size = 64_KiB}), 1);
}

TEST_CASE("what has another size lies in another magazine") {
  auto zone = Magazines<Numbers<strategy::BestFit>, 4, 4>::create({.size = 64_KiB});
  REQUIRE(zone);
  const auto a = zone->allocate(16_KiB);
  const auto shorter = zone->resize(*a, 4_KiB);
  REQUIRE(shorter);
  REQUIRE(zone->deallocate(*shorter));
  CHECK(zone->allocate(16_KiB)->offset() == 4_KiB);
  const auto b = zone->allocate(4_KiB);
  CHECK(b->offset() == 0);
  const auto c = zone->allocate_high({.size = 16_KiB});
  const auto longer = zone->resize(*zone->allocate(16_KiB), 24_KiB);  // of no class any more
  REQUIRE(longer);
  REQUIRE(zone->deallocate(*longer));
  CHECK(code_of(zone->deallocate(*longer)) == ErrorCode::double_release);
  REQUIRE(zone->deallocate(*b));
  REQUIRE(zone->deallocate(*c));
  CHECK(zone->stats().used == 16_KiB);
}

TEST_CASE("no space in the zone is none only when nothing lies in a magazine, of any thread") {
  auto zone = Magazines<Numbers<strategy::BestFit>, 4, 16>::create({.size = 64_KiB});
  REQUIRE(zone);
  std::vector<Block> blocks;
  const auto fill_and_free = [&] {
    blocks.clear();
    for (int i = 0; i < 16; ++i) blocks.push_back(*zone->allocate(4_KiB));
    for (const Block& block : blocks) REQUIRE(zone->deallocate(block));
  };
  fill_and_free();
  std::atomic<bool> filled = false;
  std::atomic<bool> ends = false;
  const auto all = zone->allocate(64_KiB);
  REQUIRE(all);
  REQUIRE(zone->deallocate(*all));
  std::thread other([&] {
    fill_and_free();
    filled = true;
    while (!ends) std::this_thread::yield();
  });
  while (!filled) std::this_thread::yield();
  SUBCASE("allocate") { CHECK(zone->allocate(64_KiB)); }
  SUBCASE("allocate_at") { CHECK(zone->allocate_at(8_KiB, 8_KiB)); }
  SUBCASE("allocate_high") { CHECK(zone->allocate_high({.size = 32_KiB})); }
  SUBCASE("resize") {
    const auto a = zone->allocate_at(0, 4_KiB);
    REQUIRE(a);
    std::vector<Block> rest;
    while (const auto block = zone->allocate(4_KiB)) rest.push_back(*block);
    for (const Block& block : rest) REQUIRE(zone->deallocate(block));
    CHECK(zone->resize(*a, 64_KiB)->size() == 64_KiB);
  }
  ends = true;
  other.join();
}

TEST_CASE("a list is made of what lies in magazines too") {
  auto zone = Magazines<Numbers<strategy::OrderList<strategy::Buddy, 1, 0>>, 4, 16>::create({.size = 64_KiB});
  REQUIRE(zone);
  std::array<Block, 16> out;
  const auto first = zone->allocate_list({.size = 64_KiB}, out);
  REQUIRE(first);
  for (const Block& block : *first) REQUIRE(zone->deallocate(block));
  CHECK(zone->Numbers<strategy::OrderList<strategy::Buddy, 1, 0>>::stats().used == 64_KiB);
  std::array<Block, 16> again;
  CHECK(zone->allocate_list({.size = 64_KiB}, again));
  CHECK(zone->stats().used == 64_KiB);
}

TEST_CASE("at the end of a thread all that it has goes back") {
  auto zone = Counted<Plain>::create({.size = 64_KiB});
  REQUIRE(zone);
  in_thread([&] {
    const auto a = zone->allocate(4_KiB);
    const auto b = zone->allocate(8_KiB);
    REQUIRE(zone->deallocate(*a));
    REQUIRE(zone->deallocate(*b));
    CHECK(zone->calls(Call::deallocate) == 0);
  });
  CHECK(zone->calls(Call::deallocate) == 2);
  CHECK(zone->Plain::stats().blocks == 0);
}

TEST_CASE("at the end of the handle too, and threads may outlive it; another has none of it") {
  for (int i = 0; i < 20; ++i) {
    auto zone = Magazines<Books, 4, 4>::create({.size = 64_KiB});  // a leak would be one of the host's
    REQUIRE(zone);
    std::vector<Block> blocks;
    for (int n = 0; n < 8; ++n) blocks.push_back(*zone->allocate(4_KiB));
    for (const Block& block : blocks) {
      REQUIRE(zone->deallocate(block));
      CHECK(code_of(zone->deallocate(block)) == ErrorCode::double_release);
    }
    CHECK(zone->allocate(1));
  }
  using Lent = Zone<backing::Borrowed, strategy::Bitmap, lock::Spin, cache::Coherent>;
  std::vector<std::uint64_t> notes(Lent::notes_words(64_KiB, 4_KiB));
  {
    auto zone = Magazines<Lent>::create({.size = 64_KiB}, backing::Borrowed::at(0, 64_KiB, notes));
    REQUIRE(zone);
    REQUIRE(zone->deallocate(*zone->allocate(1)));
  }
  CHECK(Lent::attach({.size = 64_KiB}, backing::Borrowed::at(0, 64_KiB, notes))->stats().blocks == 0);
  std::optional<Magazines<Plain>> zone = *Magazines<Plain>::create({.size = 64_KiB});
  std::atomic<int> step = 0;
  std::thread other([&] {
    REQUIRE(zone->deallocate(*zone->allocate(1)));
    step = 1;
    while (step != 2) std::this_thread::yield();
  });
  while (step != 1) std::this_thread::yield();
  zone.reset();
  step = 2;
  other.join();
}

TEST_CASE("a handle that is moved has its magazines") {
  auto made = Counted<Plain>::create({.size = 64_KiB});
  REQUIRE(made);
  const auto a = made->allocate(1);
  REQUIRE(made->deallocate(*a));
  auto zone = *std::move(made);
  CHECK(code_of(zone.deallocate(*a)) == ErrorCode::double_release);
  CHECK(*zone.allocate(1) == *a);
  CHECK(zone.calls(Call::any) == 1);
  REQUIRE(zone.deallocate(*a));
  zone = *Counted<Plain>::create({.size = 128_KiB});
  CHECK(zone.size() == 128_KiB);
  { REQUIRE(zone.allocate_owned({.size = 1})); }
  CHECK(zone.stats().blocks == 0);
  CHECK(zone.calls(Call::any) == 1);
  in_thread([&] { CHECK(zone.allocate(1)); });
  REQUIRE(zone.flush());
  CHECK(zone.Plain::stats().blocks == 1);
}

TEST_CASE("what the layers behind do not take back stays where it is") {
  auto zone = Counted<Plain, 1, 1>::create({.size = 64_KiB});
  REQUIRE(zone);
  std::array<Block, 3> blocks;
  for (Block& block : blocks) block = *zone->allocate(1);
  zone->fail_from(Call::deallocate, 1);
  REQUIRE(zone->deallocate(blocks[0]));
  REQUIRE(zone->deallocate(blocks[1]));
  CHECK(code_of(zone->deallocate(blocks[2])) == ErrorCode::injected);
  CHECK(zone->owns(blocks[2]));
  CHECK(zone->stats().blocks == 1);
  CHECK(code_of(zone->flush()) == ErrorCode::injected);
  CHECK(code_of(zone->deallocate(blocks[0])) == ErrorCode::double_release);
  CHECK(zone->allocate(1));
  CHECK(zone->allocate(1));
  CHECK(zone->calls(Call::allocate) == 3);
  zone->fail_none(Call::deallocate);
  REQUIRE(zone->deallocate(blocks[2]));
  CHECK(zone->stats().blocks == 2);
}

TEST_CASE("what they do not take at the end of a thread stays, until they do or the handle ends") {
  const auto check = [](auto&& use) {
    auto zone = Counted<Plain>::create({.size = 64_KiB});
    REQUIRE(zone);
    const auto kept = zone->allocate(4_KiB);
    for (int i = 0; i < 2; ++i) {  // two threads leave something
      in_thread([&] {
        const auto a = zone->allocate(4_KiB);
        const auto b = zone->allocate(8_KiB);
        zone->fail_nth(Call::deallocate, 1);
        REQUIRE(zone->deallocate(*a));
        REQUIRE(zone->deallocate(*b));
      });
    }
    CHECK(zone->stats().blocks == 1);
    CHECK(zone->Plain::stats().blocks == 3);
    use(*zone);
    CHECK(zone->owns(*kept));
  };
  check([](auto& zone) {
    zone.fail_nth(Call::deallocate, 1);
    CHECK(code_of(zone.flush()) == ErrorCode::injected);
    CHECK(zone.Plain::stats().blocks == 2);
    CHECK(zone.flush());
    CHECK(zone.Plain::stats().blocks == 1);
    CHECK(zone.flush());
  });
  check([](auto& zone) { CHECK(zone.allocate(60_KiB)); });  // all of the rest
  check([](auto& zone) {
    auto moved = std::move(zone);
    CHECK(code_of(moved.deallocate_at(4_KiB)) == ErrorCode::double_release);
    CHECK(moved.flush());
    CHECK(moved.Plain::stats().blocks == 1);
    zone = std::move(moved);
  });
  check([](auto&) {});
}

namespace {

using PlainMagazines = Magazines<Plain>;

// Gives its block back when its thread ends.
struct GivesBack {
  PlainMagazines* zone = nullptr;
  Block block;
  ErrorCode code = ErrorCode::none;

  ~GivesBack() {
    if (zone == nullptr) return;
    code = code_of(zone->deallocate(block));
    block = Block();
    const auto again = zone->allocate(4_KiB);  // as ever
    if (!again || !zone->deallocate(*again)) code = ErrorCode::no_space;
    if (code != ErrorCode::none) std::abort();
  }
};

}  // namespace

TEST_CASE("a thread_local that gives back after the thread's magazines are gone") {
  auto zone = PlainMagazines::create({.size = 64_KiB});
  REQUIRE(zone);
  for (int i = 0; i < 3; ++i) {
    in_thread([&] {
      static thread_local GivesBack first;  // made before the magazines, so it ends after them
      first.zone = &*zone;
      first.block = *zone->allocate(4_KiB);
      const auto other = zone->allocate(4_KiB);
      REQUIRE(zone->deallocate(*other));
    });
  }
  CHECK(zone->stats().blocks == 0);
  CHECK(zone->Plain::stats().blocks == 0);
}

namespace {

// A layer of somebody's that holds something too.
template <class Z>
class Holder : public layers::Layer<Holder<Z>, Z> {
  using Base = layers::Layer<Holder, Z>;
  friend Base;

 public:
  int flushed = 0;
  ErrorCode code = ErrorCode::none;
  Result<void> flush() noexcept {
    ++flushed;
    return code == ErrorCode::none ? Result<void>() : Result<void>(code);
  }

 private:
  Holder(Z&& zone, const layers::NoSettings&) noexcept : Base(std::move(zone)) {}
};

}  // namespace

TEST_CASE("flush goes through to layers behind, and comes through those before") {
  auto behind = Magazines<Holder<FaultInjection<Plain>>>::create({.size = 64_KiB});
  REQUIRE(behind);
  REQUIRE(behind->deallocate(*behind->allocate(1)));
  behind->fail_nth(Call::deallocate, 1);
  CHECK(code_of(behind->flush()) == ErrorCode::injected);
  CHECK(behind->flushed == 1);
  behind->code = ErrorCode::written_when_dead;
  CHECK(code_of(behind->flush()) == ErrorCode::written_when_dead);
  CHECK(behind->flushed == 2);
  CHECK(behind->Plain::stats().blocks == 0);

  using Heap = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, cache::Coherent>;
  auto before = layers::AnnotatedFor<Magazines<Heap>, layers::NoTool>::create({.size = 64_KiB});
  REQUIRE(before);
  REQUIRE(before->deallocate(*before->allocate(1)));
  CHECK(before->Heap::stats().blocks == 1);
  CHECK(before->flush());
  CHECK(before->Heap::stats().blocks == 0);
}

TEST_CASE("where accesses are checked, a block in a magazine is dead") {
  using Heap = Zone<backing::Anonymous, strategy::Bitmap, lock::Spin, cache::Coherent>;
  const auto check = [](auto made) {
    REQUIRE(made);
    auto& zone = *made;
    const auto block = zone.allocate(100);
    CHECK(zone.template cpu_write<true>(*block));
    CHECK(zone.template cpu_read<true>(*block, 10, 20));
    if (accesses_are_checked) {
      const auto open = zone.template cpu_write<true>(*block);
      CHECK(code_of(zone.deallocate(*block)) == ErrorCode::access_open);
      CHECK(zone.owns(*block));
    }
    REQUIRE(zone.deallocate(*block));
    CHECK(code_of(zone.template cpu_read<true>(*block)) == ErrorCode::dead_block);
    CHECK(code_of(zone.template cpu_write<true>(*block)) == ErrorCode::dead_block);
    CHECK(code_of(zone.template cpu_read_write<true>(*block, 0, 10)) == ErrorCode::dead_block);
    CHECK(code_of(zone.template cpu_read<true>(Block(block->offset(), 4_KiB, block->zone_tag() + 1))) ==
          ErrorCode::foreign_block);
    CHECK(zone.template cpu_read<false>(*block));
    REQUIRE(*zone.allocate(100) == *block);
    CHECK(zone.template cpu_read_write<true>(*block));
  };
  check(Magazines<Heap>::create({.size = 64_KiB}));
  check(Magazines<Books>::create({.size = 64_KiB}));
}

TEST_CASE("a zone shrinks by what lies in magazines") {
  auto zone = Magazines<Numbers<strategy::Elastic<strategy::Bitmap>>>::create({.size = 64_KiB});
  REQUIRE(zone);
  std::vector<Block> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(*zone->allocate(4_KiB));
  for (const Block& block : blocks) REQUIRE(zone->deallocate(block));
  CHECK(zone->shrink(8_KiB));
  CHECK(zone->stats().free == 56_KiB);
  CHECK(zone->grow(4_KiB));
  REQUIRE(zone->allocate(60_KiB));
  CHECK(code_of(zone->shrink(4_KiB)) == ErrorCode::no_space);
  CHECK(code_of(zone->shrink(1)) == ErrorCode::not_granules);
}

TEST_CASE("over and under other layers") {
  auto limited = Limit<Magazines<Plain>>::create({.size = 1_MiB}, {.bytes = 8_KiB});
  REQUIRE(limited);
  const auto a = limited->allocate(8_KiB);
  REQUIRE(limited->deallocate(*a));
  CHECK(limited->use().bytes == 0);
  CHECK(*limited->allocate(8_KiB) == *a);
  limited->forget_gone();
  CHECK(limited->use().bytes == 8_KiB);

  auto over = Magazines<Limit<Plain>>::create({.size = 1_MiB}, layers::LimitSettings{.bytes = 8_KiB});
  REQUIRE(over);
  const auto b = over->allocate(8_KiB);
  REQUIRE(over->deallocate(*b));
  CHECK(over->use().bytes == 8_KiB);  // it lies between the two
  CHECK(over->allocate(4_KiB));       // there is room for it, without the magazines
  CHECK(over->use().bytes == 4_KiB);

  // Rounded up behind it: the class is that of what is granted.
  auto sized = Magazines<FaultInjection<Sized<Plain, PowerOfTwoSizes>>>::create({.size = 1_MiB}, PowerOfTwoSizes());
  REQUIRE(sized);
  for (int i = 0; i < 10; ++i) REQUIRE(sized->deallocate(*sized->allocate(12_KiB)));
  CHECK(sized->calls(Call::any) == 1);
  auto first = Sized<Magazines<FaultInjection<Plain>>, PowerOfTwoSizes>::create({.size = 1_MiB}, {});
  REQUIRE(first);
  for (int i = 0; i < 10; ++i) REQUIRE(first->deallocate(*first->allocate(12_KiB)));
  CHECK(first->calls(Call::any) == 1);
}

namespace {

// Threads that take, keep, hand on and give back; each writes its number into the notes of its blocks' granules, so
// that two who have the same are found out.
template <class Z>
void check_threads() {
  auto zone = Z::create({.size = 1_MiB});
  REQUIRE(zone);
  std::array<std::atomic<int>, 256> holder = {};
  std::array<std::atomic<std::uint64_t>, 8> handed = {};  // offset + 1, of a block of one granule
  std::atomic<int> wrong = 0;
  const auto holder_of = [&](const Block& block) -> std::atomic<int>& {
    return holder[static_cast<std::size_t>(block.offset().value() / 4096)];
  };
  const auto run = [&](int me) {
    std::uint64_t random = static_cast<std::uint64_t>(me) * 88172645463325252U + 1;
    std::vector<Block> mine;
    const auto give = [&](const Block& block) {
      if (holder_of(block).exchange(0) == 0) ++wrong;
      if (!zone->deallocate(block)) ++wrong;
    };
    for (int i = 0; i < 4000; ++i) {
      random ^= random << 13;
      random ^= random >> 7;
      random ^= random << 17;
      if ((random & 1) != 0 && mine.size() < 24) {
        const auto block = zone->allocate(4096 * ((random >> 8) % 10 == 0 ? 9 : (random >> 16) % 4 + 1));
        if (!block) continue;
        if (holder_of(*block).exchange(me) != 0) ++wrong;
        mine.push_back(*block);
      } else if (!mine.empty()) {
        const Block block = mine.back();
        mine.pop_back();
        if (block.size() == 4096) {  // another gives it back
          const std::uint64_t other = handed[(random >> 24) & 7].exchange(block.offset().value() + 1);
          if (other != 0) give(Block(other - 1, 4096, zone->tag()));
        } else {
          give(block);
        }
      }
      if (random % 512 == 3 && !zone->flush()) ++wrong;
      if (random % 512 == 5 && zone->stats().blocks > 256) ++wrong;
    }
    for (const Block& block : mine) give(block);
  };
  for (int round = 0; round < 3; ++round) {
    std::vector<std::thread> threads;
    for (int t = 1; t <= 4; ++t) threads.emplace_back(run, t);
    for (std::thread& thread : threads) thread.join();
  }
  for (auto& one : handed) {
    if (const std::uint64_t at = one.exchange(0); at != 0) CHECK(zone->deallocate_at(at - 1));
  }
  CHECK(wrong == 0);
  CHECK(zone->stats().blocks == 0);
  CHECK(zone->flush());
  CHECK(zone->stats().free == 1_MiB);
  CHECK(zone->stats().largest_free == 1_MiB);
}

}  // namespace

TEST_CASE("threads: nobody has what another has, over each kind of strategy") {
  check_threads<Magazines<Plain, 4, 3>>();
  check_threads<Magazines<Numbers<strategy::Buddy>>>();
  check_threads<Magazines<Numbers<strategy::Segregated>>>();
  check_threads<Magazines<Zone<backing::OffsetSpace, strategy::BestFit, lock::Mutex, cache::Coherent>, 4, 8>>();
  check_threads<Magazines<Books>>();
}

TEST_CASE("threads: of two who give the same block back, one is told") {
  auto zone = Magazines<Plain, 4, 2>::create({.size = 1_MiB});
  REQUIRE(zone);
  for (int i = 0; i < 300; ++i) {
    const auto block = zone->allocate(4_KiB);
    REQUIRE(block);
    std::array<ErrorCode, 2> codes = {};
    std::thread other([&] { codes[1] = code_of(zone->deallocate(*block)); });
    codes[0] = code_of(zone->deallocate(*block));
    other.join();
    REQUIRE((codes[0] == ErrorCode::none) != (codes[1] == ErrorCode::none));
    REQUIRE((codes[0] == ErrorCode::double_release) != (codes[1] == ErrorCode::double_release));
  }
  CHECK(zone->stats().blocks == 0);
}
