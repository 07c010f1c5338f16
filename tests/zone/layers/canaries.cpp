#include <freestone/zone/layers/canaries.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/reserved.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/fault_injection.hpp>
#include <freestone/zone/layers/scrub.hpp>
#include <freestone/zone/layers/sized.hpp>
#include "support/backings.hpp"

using namespace freestone;
using layers::Canaries;
using layers::CanarySettings;
using layers::PowerOfTwoSizes;
using layers::Scrub;
using layers::ScrubSettings;
using layers::ScrubWhen;
using layers::Sized;

static_assert(Canaries<Zone<backing::Anonymous, strategy::BestFit, lock::None, cache::Coherent>>::sees_each_call);

namespace {

constexpr std::uint64_t max64 = ~std::uint64_t{0};

template <class S, class L = lock::None>
using Heap = Zone<backing::Anonymous, S, L, cache::Coherent>;
using Plain = Heap<strategy::BestFit>;
using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

template <class Z>
Result<Canaries<Z>> make(const CanarySettings& settings = {},
                         const ZoneOptions& options = {.name = "guarded", .size = 256_KiB}) {
  if constexpr (requires { typename Z::Settings; }) {
    return Canaries<Z>::create(options, settings, typename Z::Settings{});
  } else {
    return Canaries<Z>::create(options, settings);
  }
}

// Another byte for a while.
class Poke {
 public:
  explicit Poke(std::byte* at) : at_(at), was_(*at) { *at_ = ~was_; }
  ~Poke() { *at_ = was_; }
  Poke(const Poke&) = delete;
  Poke& operator=(const Poke&) = delete;

 private:
  std::byte* at_;
  std::byte was_;
};

}  // namespace

TEST_CASE_TEMPLATE("a byte behind the end, or before the start, is found out", Z, Heap<strategy::Bitmap>,
                   Heap<strategy::Buddy>, Heap<strategy::Segregated>, Heap<strategy::System>, Plain, Shared,
                   Sized<Plain, PowerOfTwoSizes>) {
  for (const unsigned before : {0U, 1U}) {
    const std::size_t front = before == 0 ? 0 : 4096;
    auto zone = make<Z>({.before = before});
    REQUIRE(zone);
    REQUIRE(zone->allocate(1));
    for (const unsigned size : {1U, 100U, 4064U, 4065U, 4080U, 4096U, 10000U}) {
      const auto block = zone->allocate(size);
      REQUIRE(block);
      const auto bytes = zone->data(*block);
      REQUIRE(bytes.size() == size);
      CHECK(block->size().value() >= front + size + 32);
      std::memset(bytes.data(), 0, bytes.size());
      CHECK(zone->check_block(*block));
      std::byte* const begin = bytes.data() - front;
      const auto granted = static_cast<std::size_t>(block->size().value());
      for (std::size_t i = 0; i < granted; ++i) {
        if (i >= front && i < front + size) continue;
        const Poke poke(begin + i);
        const auto found = zone->check_block(*block);
        REQUIRE(code_of(found) == ErrorCode::overrun);
        REQUIRE(found.error().asked == block->offset().value());
        REQUIRE(found.error().available == std::min(i, granted - 16));
      }
      CHECK(zone->check_block(*block));
      CHECK(zone->check_all());
      CHECK(zone->data(*block).size() == size);
      CHECK(zone->deallocate(*block));
    }
  }
}

TEST_CASE("an overrun keeps the block live, to be looked at, until it is forgiven") {
  auto zone = make<Plain>();
  REQUIRE(zone);
  const auto first = zone->allocate(50);
  const auto block = zone->allocate(100);
  REQUIRE(first);
  REQUIRE(block);
  const auto bytes = zone->data(*block);
  std::memset(bytes.data(), 'x', 100);
  bytes.data()[100] = std::byte{0};  // the end of a string
  const Stats before = zone->stats();
  for (const auto& result : {zone->deallocate(*block), zone->deallocate_at(block->offset()), zone->check_all(),
                             zone->check_block(*block)}) {
    CHECK(code_of(result) == ErrorCode::overrun);
    CHECK(result.error().asked == block->offset().value());
    CHECK(result.error().available == 100);
    CHECK(result.error().zone == std::string_view("guarded"));
  }
  CHECK(code_of(zone->resize(*block, 10)) == ErrorCode::overrun);
  CHECK(zone->stats() == before);
  CHECK(zone->owns(*block));
  CHECK(zone->data(*block).size() == 100);
  CHECK(zone->data(*block)[99] == std::byte{'x'});
  CHECK(zone->check_block(*first));
  REQUIRE(zone->forgive(block->offset()));
  CHECK(zone->check_all());
  CHECK(zone->deallocate(*block));
  CHECK(code_of(zone->check_block(*block)) == ErrorCode::dead_block);
  CHECK(code_of(zone->forgive(block->offset())) == ErrorCode::dead_block);
  CHECK(code_of(zone->deallocate(*block)) == ErrorCode::double_release);
  CHECK(zone->deallocate(*first));
}

TEST_CASE("where the end is damaged too, all that there is can be looked at") {
  for (const unsigned before : {0U, 4096U}) {
    auto zone = make<Plain>({.before = before});
    REQUIRE(zone);
    const auto block = zone->allocate(100);
    REQUIRE(block);
    const auto bytes = zone->data(*block);
    std::memset(bytes.data(), 0, 4096);
    CHECK(zone->data(*block).size() == 4096);
    CHECK(zone->data(*block).data() == bytes.data());
    const auto found = zone->deallocate(*block);
    CHECK(code_of(found) == ErrorCode::overrun);
    CHECK(found.error().available == before + 4080);
    REQUIRE(zone->forgive(block->offset()));
    CHECK(zone->data(*block).size() == 4080);
    CHECK(zone->deallocate(*block));
  }
}

TEST_CASE("no two blocks have the same pattern, no two handles, and no byte of it is 0") {
  std::vector<std::vector<std::byte>> seen;
  for (int i = 0; i < 3; ++i) {
    auto zone = make<Plain>();
    REQUIRE(zone);
    for (int k = 0; k < 3; ++k) {
      const auto block = zone->allocate(8);
      REQUIRE(block);
      const std::byte* const behind = zone->data(*block).data() + 8;
      CHECK(std::find(behind, behind + 4000, std::byte{0}) == behind + 4000);
      std::vector<std::byte> pattern(behind, behind + 8);
      CHECK(std::find(seen.begin(), seen.end(), pattern) == seen.end());
      seen.push_back(std::move(pattern));
    }
  }
  auto zone = make<Plain>({.secret = 1}, {.size = 64_KiB, .granule = 64});
  REQUIRE(zone);
  for (int i = 0; i < 1000; ++i) {
    const auto block = zone->allocate(8);
    REQUIRE(block);
    const std::byte* const behind = zone->data(*block).data() + 8;
    REQUIRE(std::find(behind, behind + 40, std::byte{0}) == behind + 40);
  }
}

TEST_CASE("a block that is resized is guarded at its new end") {
  for (const unsigned before : {0U, 4096U}) {
    auto zone = make<Plain>({.before = before});
    REQUIRE(zone);
    auto block = zone->allocate(5000);
    REQUIRE(block);
    const auto bytes = zone->data(*block);
    std::memset(bytes.data(), 'x', bytes.size());
    for (const unsigned size : {100U, 4000U, 20000U, 5000U, 1U}) {
      block = zone->resize(*block, size);
      REQUIRE(block);
      CHECK(zone->data(*block).size() == size);
      CHECK(zone->data(*block).data() == bytes.data());
      CHECK(bytes[0] == std::byte{'x'});
      CHECK(zone->check_all());
      bytes.data()[size] ^= std::byte{1};
      CHECK(code_of(zone->check_all()) == ErrorCode::overrun);
      bytes.data()[size] ^= std::byte{1};
    }
    const Stats stats = zone->stats();
    CHECK(code_of(zone->resize(*block, 0)) == ErrorCode::zero_size);
    CHECK(code_of(zone->resize(*block, max64)) == ErrorCode::size_overflow);
    CHECK(code_of(zone->resize(*block, 256_KiB)) == ErrorCode::size_beyond_zone);
    const auto next = zone->allocate_at(block->offset() + block->size(), 1);
    CHECK(next);
    CHECK(code_of(zone->resize(*block, 5000 + before)) == ErrorCode::no_space);
    CHECK(zone->data(*block).size() == 1);
    CHECK(zone->deallocate(*next));
    CHECK(zone->stats() == stats);
    CHECK(zone->deallocate(*block));
    CHECK(code_of(zone->resize(*block, 1)) == ErrorCode::double_release);
  }
}

TEST_CASE("what the zone refuses it refuses, and nothing changes") {
  auto zone = make<Plain>({.before = 1});
  REQUIRE(zone);
  const Stats before = zone->stats();
  CHECK(code_of(zone->allocate(0)) == ErrorCode::zero_size);
  CHECK(code_of(zone->allocate(max64)) == ErrorCode::size_overflow);
  CHECK(code_of(zone->allocate(max64 - 4200)) == ErrorCode::size_overflow);
  CHECK(code_of(zone->allocate(256_KiB)) == ErrorCode::size_beyond_zone);
  CHECK(code_of(zone->allocate({.size = 1, .align = 3})) == ErrorCode::alignment_not_granules);
  const auto aligned = zone->allocate({.size = 1, .align = 8_KiB});
  CHECK(code_of(aligned) == ErrorCode::alignment_beyond_zone);
  CHECK(aligned.error().asked == 8_KiB);
  CHECK(aligned.error().available == 4_KiB);
  CHECK(code_of(zone->deallocate(Block(0, 4_KiB, zone->tag()))) == ErrorCode::double_release);
  CHECK(code_of(zone->deallocate(Block(0, 4_KiB, zone->tag() + 1))) == ErrorCode::foreign_block);
  CHECK(code_of(zone->check_block(Block(0, 4_KiB, zone->tag() + 1))) == ErrorCode::dead_block);
  CHECK(zone->stats() == before);
  CHECK(zone->check_all());
  auto huge = make<Plain>({.behind = max64, .before = max64});
  REQUIRE(huge);
  CHECK(code_of(huge->allocate(1)) == ErrorCode::size_overflow);
}

TEST_CASE_TEMPLATE("and it says the same of it as without a guard", S, strategy::BestFit, strategy::Bitmap) {
  auto bare = Heap<S>::create({.size = 256_KiB});
  auto zone = make<Heap<S>>({.before = 1});
  REQUIRE(bare);
  REQUIRE(zone);
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, 300 * 1024 + std::uint64_t{0}, max64 - 4000}) {
    for (const std::uint64_t align : {0U, 3U, 64U, 4096U, 5000U, 8192U, 12288U, 12289U, 262144U, 524288U, 1U << 31}) {
      const auto plain = bare->allocate({.size = size, .align = align});
      const auto block = zone->allocate({.size = size, .align = align});
      if (plain) {
        CHECK(code_of(block) == (align > 4096 ? ErrorCode::alignment_beyond_zone : ErrorCode::none));
        REQUIRE(bare->deallocate(*plain));
        if (block) REQUIRE(zone->deallocate(*block));
      } else {
        CHECK(code_of(block) == plain.error().code);
      }
    }
  }
}

TEST_CASE("what a device writes behind the end is found out, and what it writes before is the owner's") {
  for (const unsigned before : {0U, 1U}) {
    using Z = Zone<backing::Anonymous, strategy::BestFit, lock::None, cache::Modelled>;
    auto zone = make<Z>({.before = before});
    REQUIRE(zone);
    const std::uint64_t front = before == 0 ? 0 : 4096;
    const auto block = zone->allocate(100);
    REQUIRE(block);
    const Bytes start = block->offset() + front;
    const std::array<std::byte, 100> own = {std::byte{1}};
    REQUIRE(zone->cache().device_write(start, own));
    CHECK(zone->check_block(*block));
    {
      const auto access = zone->cpu_write(*block);
      REQUIRE(access);
      CHECK(access->bytes()[0] == std::byte{1});
      access->bytes()[1] = std::byte{2};
    }
    CHECK(zone->check_all());
    std::array<std::byte, 2> seen;
    REQUIRE(zone->cache().device_read(start, seen));
    CHECK(seen == std::array{std::byte{1}, std::byte{2}});
    zone->data(*block)[2] = std::byte{3};  // not cleaned yet, and a look at the guards loses it not
    CHECK(zone->check_block(*block));
    CHECK(zone->data(*block)[2] == std::byte{3});

    for (const std::uint64_t at : {front + 100, front + 200, front + 4095, front - 1}) {
      if (at > front + 4095) continue;
      auto guarded = make<Z>({.before = before});
      REQUIRE(guarded);
      const auto other = guarded->allocate(100);
      REQUIRE(other);
      std::array<std::byte, 1> over;  // another byte than there is: one of the seal's may be any
      REQUIRE(guarded->cache().device_read(other->offset() + at, over));
      over[0] = ~over[0];
      REQUIRE(guarded->cache().device_write(other->offset() + at, over));
      CHECK(code_of(guarded->check_block(*other)) == ErrorCode::overrun);
      CHECK(code_of(guarded->check_all()) == ErrorCode::overrun);
      CHECK(code_of(guarded->deallocate(*other)) == ErrorCode::overrun);
      CHECK(guarded->forgive(other->offset()));
      CHECK(guarded->check_all());
      CHECK(guarded->deallocate(*other));
    }
  }
}

TEST_CASE("a new block's guards are in memory too, whatever a device left there") {
  using Z = Zone<backing::Anonymous, strategy::BestFit, lock::None, cache::Modelled>;
  auto zone = make<Z>({.secret = 7});
  REQUIRE(zone);
  const auto first = zone->allocate(100);
  REQUIRE(first);
  REQUIRE(zone->deallocate(*first));
  const std::array<std::byte, 64> late = {};
  REQUIRE(zone->cache().device_write(first->offset() + 100, late));
  const auto next = zone->allocate(100);  // the same pattern as before
  REQUIRE(next);
  REQUIRE(next->offset() == first->offset());
  std::array<std::byte, 64> seen;
  REQUIRE(zone->cache().device_read(next->offset() + 100, seen));
  CHECK(std::memcmp(seen.data(), zone->data(*next).data() + 100, 64) == 0);
  CHECK(zone->check_all());
  CHECK(zone->deallocate(*next));
}

TEST_CASE("a call that is refused behind it leaves the guards, whatever another layer wrote over them") {
  using layers::Call;
  using layers::FaultInjection;
  auto zone = Canaries<Scrub<FaultInjection<Plain>>>::create({.size = 64_KiB}, {}, ScrubSettings{ScrubWhen::gone_back});
  REQUIRE(zone);
  const auto block = zone->allocate(9000);
  REQUIRE(block);
  zone->fail_nth(Call::resize, 1);
  CHECK(code_of(zone->resize(*block, 10)) == ErrorCode::injected);
  CHECK(zone->check_all());
  CHECK(zone->data(*block).size() == 9000);
  zone->fail_nth(Call::deallocate, 1);
  CHECK(code_of(zone->deallocate(*block)) == ErrorCode::injected);
  CHECK(zone->check_all());
  CHECK(zone->data(*block).size() == 9000);
  CHECK(zone->deallocate(*block));
}

TEST_CASE("alignments hold for what is shown") {
  auto zone = make<Plain>({.before = 16_KiB});
  REQUIRE(zone);
  const auto base = reinterpret_cast<std::uintptr_t>(*zone->backing().cpu_pointer(0));
  for (const unsigned align : {4096U, 8192U, 16384U}) {
    const auto block = zone->allocate({.size = 1, .align = align});
    REQUIRE(block);
    CHECK((reinterpret_cast<std::uintptr_t>(zone->data(*block).data()) - base) % align == 0);
  }
  CHECK(code_of(zone->allocate({.size = 1, .align = 32_KiB})) == ErrorCode::alignment_beyond_zone);
  auto any = make<Plain>();
  REQUIRE(any);
  CHECK(any->allocate({.size = 1, .align = 64_KiB}));
}

TEST_CASE("accesses and ranges are of what was asked for, too") {
  auto zone = make<Plain>({.before = 1});
  REQUIRE(zone);
  const auto block = zone->allocate(100);
  REQUIRE(block);
  std::byte* const begin = zone->data(*block).data();
  {
    const auto access = zone->cpu_write(*block);
    REQUIRE(access);
    CHECK(access->data() == begin);
    CHECK(access->size() == 100);
  }
  {
    const auto access = zone->cpu_read(*block, 30, 70);
    REQUIRE(access);
    CHECK(access->data() == begin + 30);
    CHECK(access->size() == 70);
  }
  const auto beyond = zone->cpu_write(*block, 30, 71);
  CHECK(code_of(beyond) == ErrorCode::range_beyond_block);
  CHECK(beyond.error().asked == 71);
  CHECK(beyond.error().available == 100);
  CHECK(code_of(zone->cpu_write(*block, 101, 0)) == ErrorCode::range_beyond_block);
  CHECK(code_of(zone->clean(*block, 1, 100)) == ErrorCode::range_beyond_block);
  CHECK(code_of(zone->invalidate(*block, max64, 2)) == ErrorCode::range_beyond_block);
  CHECK(zone->clean(*block));
  CHECK(zone->clean_and_invalidate(*block, 0, 100));
  CHECK(zone->deallocate(*block));
}

TEST_CASE("a zone of single bytes") {
  auto zone = make<Heap<strategy::Bitmap>>({.behind = 3, .before = 5}, {.size = 400, .granule = 1});
  REQUIRE(zone);
  const auto block = zone->allocate(7);
  REQUIRE(block);
  CHECK(block->size() == 5 + 7 + 3 + 16);
  const auto next = zone->allocate(9);
  REQUIRE(next);
  for (const int i : {-5, -1, 7, 9, 10, 25}) {
    {
      const Poke poke(zone->data(*next).data() + i + (i > 0 ? 2 : 0));
      CHECK(code_of(zone->check_all()) == ErrorCode::overrun);
      CHECK(zone->check_all().error().asked == next->offset().value());
    }
    CHECK(zone->check_all());
  }
}

TEST_CASE("bytes that the CPU does not see cannot be guarded: such a block is not handed out") {
  using Unseen = Zone<tests::HostileBacking, strategy::Bitmap, lock::None, cache::Coherent>;
  auto zone = make<Unseen>();
  REQUIRE(zone);
  CHECK(code_of(zone->allocate(1)) == ErrorCode::os_failure);
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("other layers, before it and behind it") {
  using Scrubbed = Canaries<Scrub<Plain>>;
  auto guarded = Scrubbed::create({.size = 64_KiB}, {}, ScrubSettings{ScrubWhen::both});
  REQUIRE(guarded);
  const auto block = guarded->allocate(100);
  REQUIRE(block);
  CHECK(guarded->check_all());
  CHECK(guarded->deallocate(*block));

  auto scrub = Scrub<Canaries<Plain>>::create({.size = 64_KiB}, {ScrubWhen::both}, CanarySettings{.before = 1});
  REQUIRE(scrub);
  const auto zeroed = scrub->allocate(100);
  REQUIRE(zeroed);
  CHECK(scrub->check_all());
  const auto resized = scrub->resize(*zeroed, 9000);
  REQUIRE(resized);
  CHECK(scrub->check_block(*resized));
  const auto bytes = scrub->data(*resized);
  CHECK(std::count(bytes.begin(), bytes.end(), std::byte{0}) == 9000);
  const auto shorter = scrub->resize(*resized, 8);
  REQUIRE(shorter);
  CHECK(scrub->check_block(*shorter));
  CHECK(scrub->deallocate(*shorter));

  auto sized = Sized<Canaries<Plain>, PowerOfTwoSizes>::create({.size = 64_KiB}, {}, CanarySettings{});
  REQUIRE(sized);
  const auto rounded = sized->allocate(5000);
  REQUIRE(rounded);
  CHECK(sized->data(*rounded).size() == 8192);
  CHECK(rounded->size() == 12_KiB);
  CHECK(sized->deallocate(*rounded));
}

TEST_CASE("it moves with its handle, and a block that owns itself stays when it is damaged") {
  auto made = make<Plain>();
  REQUIRE(made);
  const auto kept = made->allocate(10);
  REQUIRE(kept);
  auto zone = *std::move(made);
  CHECK(zone.check_all());
  CHECK(zone.deallocate(*kept));
  Block damaged;
  {
    const auto owned = zone.allocate_owned({.size = 10});
    REQUIRE(owned);
    damaged = **owned;
    zone.data(damaged).data()[10] = std::byte{0};
  }
  CHECK(zone.owns(damaged));
}

TEST_CASE("handles of a shared zone that have one secret give back each other's blocks") {
  const ZoneOptions options{.size = 64_KiB};
  auto here = Canaries<Shared>::create(options, {.secret = 42});
  REQUIRE(here);
  const backing::MemoryFile::Source source{here->backing().fd()};
  auto there = Canaries<Shared>::attach(options, {.secret = 42}, source);
  auto stranger = Canaries<Shared>::attach(options, {}, source);
  REQUIRE(there);
  REQUIRE(stranger);
  const auto block = here->allocate(100);
  REQUIRE(block);
  CHECK(there->check_all());
  CHECK(there->data(*block).size() == 100);
  CHECK(code_of(stranger->check_all()) == ErrorCode::overrun);
  CHECK(code_of(stranger->deallocate(*block)) == ErrorCode::overrun);
  CHECK(there->deallocate(*block));
  const auto again = there->allocate(1);
  REQUIRE(again);
  auto last = Canaries<Shared>::attach_and_recover(options, {.secret = 42}, source, [](auto) { return true; });
  REQUIRE(last);
  CHECK(last->deallocate(*again));
}

TEST_CASE("several threads at once") {
  auto zone = make<Heap<strategy::Bitmap, lock::Spin>>();
  REQUIRE(zone);
  std::array<int, 4> bad{};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < bad.size(); ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 2000; ++i) {
        const auto block = zone->allocate(1 + (i * 7919 + t) % 20000);
        if (!block) continue;
        const auto bytes = zone->data(*block);
        std::memset(bytes.data(), static_cast<int>(t), bytes.size());
        const bool overruns = i % 16 == 0;
        if (overruns) bytes.data()[bytes.size()] ^= std::byte{8};
        if (code_of(zone->deallocate(*block)) != (overruns ? ErrorCode::overrun : ErrorCode::none)) ++bad[t];
        if (overruns && (!zone->forgive(block->offset()) || !zone->deallocate(*block))) ++bad[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(bad == std::array<int, 4>{});
  CHECK(zone->stats().blocks == 0);
}
