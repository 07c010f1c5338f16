#include <freestone/zone/layers/fault_injection.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/layers/limit.hpp>
#include <freestone/zone/layers/sized.hpp>

using namespace freestone;
using layers::Call;
using layers::FaultInjection;
using layers::Limit;
using layers::LimitSettings;
using layers::PowerOfTwoSizes;
using layers::Sized;

namespace {

template <class S, class L = lock::None>
using Numbers = Zone<backing::OffsetSpace, S, L, cache::Coherent>;
using Plain = Numbers<strategy::Bitmap>;
using Shared = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

// Which of `count` calls fail: 'x'.
template <class Z>
std::string_view pattern(Z& zone, std::size_t count) {
  static std::array<char, 128> out;
  for (std::size_t i = 0; i < count; ++i) {
    const auto block = zone.allocate(1);
    out[i] = block ? '.' : 'x';
    if (block) REQUIRE(zone.deallocate(*block));
  }
  return {out.data(), count};
}

consteval bool holds_at_compile_time() {
  using Z = FaultInjection<Zone<backing::Borrowed, strategy::Bitmap, lock::None, cache::Coherent>>;
  std::array<std::uint64_t, 64> notes = {};
  auto zone = Z::create({.granule = 1}, backing::Borrowed::at(0, 64, notes));
  zone->fail_nth(Call::allocate, 2);
  return zone->allocate(1) && !zone->allocate(1) && zone->allocate(1) && zone->failed(Call::allocate) == 1;
}
static_assert(holds_at_compile_time());

// All that `use` does fails once, at each call in turn. How many calls it takes.
template <class Z, class Use>
std::uint64_t sweep(Z& zone, Use&& use) {
  for (std::uint64_t n = 1;; ++n) {
    zone.fail_nth(Call::any, n);
    use();
    if (zone.failed(Call::any) == 0) return n - 1;
    REQUIRE(n < 1000);
  }
}

}  // namespace

TEST_CASE("none fails unasked, the n-th once, from the n-th on for ever") {
  auto zone = FaultInjection<Plain>::create({.name = "mine", .size = 1_MiB});
  REQUIRE(zone);
  CHECK(pattern(*zone, 5) == ".....");
  CHECK(zone->calls(Call::allocate) == 5);
  CHECK(zone->calls(Call::deallocate) == 5);
  CHECK(zone->calls(Call::any) == 10);
  CHECK(zone->failed(Call::any) == 0);
  zone->fail_nth(Call::allocate, 3);
  CHECK(zone->calls(Call::allocate) == 0);
  CHECK(pattern(*zone, 6) == "..x...");
  CHECK(zone->failed(Call::allocate) == 1);
  CHECK(zone->calls(Call::allocate) == 6);
  zone->fail_from(Call::allocate, 3);
  CHECK(pattern(*zone, 6) == "..xxxx");
  CHECK(zone->failed(Call::allocate) == 4);
  zone->fail_nth(Call::allocate, 0);
  CHECK(pattern(*zone, 3) == "...");
  zone->fail_from(Call::allocate, 0);
  CHECK(pattern(*zone, 3) == "xxx");
  zone->fail_none(Call::allocate);
  CHECK(pattern(*zone, 3) == "...");
  CHECK(zone->stats().blocks == 0);
}

TEST_CASE("those in a list fail, in any order") {
  auto zone = FaultInjection<Plain>::create({.size = 1_MiB});
  REQUIRE(zone);
  const std::array<std::uint64_t, 4> numbers = {5, 1, 6, 1};
  zone->fail_listed(Call::allocate, numbers);
  CHECK(pattern(*zone, 8) == "x...xx..");
  CHECK(zone->failed(Call::allocate) == 3);
  zone->fail_listed(Call::allocate, {});
  CHECK(pattern(*zone, 3) == "...");
}

TEST_CASE("by seed: the same ones each time, as many as was said") {
  auto zone = FaultInjection<Plain>::create({.size = 1_MiB});
  REQUIRE(zone);
  const auto count = [&](std::uint64_t seed, std::uint64_t share, unsigned log2) {
    zone->fail_by_seed(Call::allocate, seed, share, log2);
    for (int i = 0; i < 4096; ++i) {
      const auto block = zone->allocate(1);
      if (block) REQUIRE(zone->deallocate(*block));
    }
    return zone->failed(Call::allocate);
  };
  CHECK(count(7, 0, 3) == 0);
  CHECK(count(7, 8, 3) == 4096);
  CHECK(count(7, 1, 0) == 4096);
  for (const std::uint64_t seed : {0U, 1U, 2U, 3U, 1000U}) {
    const std::uint64_t quarter = count(seed, 2, 3);
    CHECK(quarter > 900);
    CHECK(quarter < 1150);
    CHECK(count(seed, 2, 3) == quarter);
    const std::uint64_t few = count(seed, std::uint64_t{1} << 56, 63);  // 1 of 128
    CHECK(few > 8);
    CHECK(few < 70);
  }
  std::array<char, 64> first;
  zone->fail_by_seed(Call::allocate, 1, 1, 1);
  pattern(*zone, 64).copy(first.data(), 64);
  zone->fail_by_seed(Call::allocate, 1, 1, 1);
  CHECK(pattern(*zone, 64) == std::string_view(first.data(), 64));
  zone->fail_by_seed(Call::allocate, 2, 1, 1);
  CHECK(pattern(*zone, 64) != std::string_view(first.data(), 64));
}

TEST_CASE("each kind of call fails by its own rule, and nothing changes") {
  auto zone = FaultInjection<Numbers<strategy::BestFit>>::create({.name = "mine", .size = 64_KiB});
  REQUIRE(zone);
  const auto a = zone->allocate(8_KiB);
  REQUIRE(a);
  const Stats before = zone->stats();
  const auto check = [&](const auto& result, ErrorCode code, Bytes asked, std::uint64_t number) {
    REQUIRE_FALSE(result);
    CHECK(result.error() == Error{.code = code, .asked = asked.value(), .available = number, .zone = "mine"});
    CHECK(zone->stats() == before);
    CHECK(zone->owns(*a));
  };
  zone->fail_from(Call::allocate, 1);
  check(zone->allocate(5000), ErrorCode::injected, 5000, 1);
  check(zone->allocate_high({.size = 5000}), ErrorCode::injected, 5000, 2);
  check(zone->allocate_at(32_KiB, 5000), ErrorCode::injected, 5000, 3);
  check(zone->allocate_owned({.size = 5000}), ErrorCode::injected, 5000, 4);
  zone->fail_none(Call::allocate);

  zone->fail_nth(Call::resize, 2, ErrorCode::out_of_memory);
  REQUIRE(zone->resize(*a, 8_KiB));
  check(zone->resize(*a, 16_KiB), ErrorCode::out_of_memory, 16_KiB, 0);  // of the host's errors no call's number
  zone->fail_nth(Call::deallocate, 1, ErrorCode::none);  // that is none
  check(zone->deallocate(*a), ErrorCode::injected, a->offset(), 1);
  zone->fail_nth(Call::deallocate, 1, ErrorCode::holder_died);
  check(zone->deallocate_at(a->offset()), ErrorCode::holder_died, a->offset(), 1);
  CHECK(code_of(zone->deallocate_at(32_KiB)) == ErrorCode::double_release);  // as it is
  CHECK(zone->calls(Call::deallocate) == 2);
  REQUIRE(zone->deallocate(*a));
  CHECK(zone->stats().blocks == 0);

  auto lists = FaultInjection<Numbers<strategy::OrderList<strategy::Buddy, 1, 0>>>::create({.size = 64_KiB});
  REQUIRE(lists);
  lists->fail_nth(Call::list, 2, ErrorCode::no_space);
  std::array<Block, 8> out;
  REQUIRE(lists->allocate_list({.size = 8_KiB}, out));
  std::array<Block, 8> none;
  CHECK(code_of(lists->allocate_list({.size = 8_KiB}, none)) == ErrorCode::no_space);
  CHECK(none == std::array<Block, 8>());
  CHECK(lists->stats().used == 8_KiB);
}

TEST_CASE("a rule for any call goes before that for its kind, and both number it") {
  auto zone = FaultInjection<Plain>::create({.size = 1_MiB});
  REQUIRE(zone);
  zone->fail_nth(Call::any, 3, ErrorCode::no_space);
  zone->fail_from(Call::allocate, 2, ErrorCode::over_limit);
  const auto a = zone->allocate(1);
  REQUIRE(a);
  REQUIRE(zone->deallocate(*a));
  CHECK(code_of(zone->allocate(1)) == ErrorCode::no_space);
  CHECK(zone->allocate(1).error().available == 3);
  CHECK(zone->calls(Call::any) == 4);
  CHECK(zone->failed(Call::any) == 1);
  CHECK(zone->calls(Call::allocate) == 3);
  CHECK(zone->failed(Call::allocate) == 1);
}

TEST_CASE("an error of the host's, made to happen, can be described as any other") {
  auto zone = FaultInjection<Plain>::create({.name = "mine", .size = 64_KiB});
  REQUIRE(zone);
  for (const ErrorCode code : {ErrorCode::holder_died, ErrorCode::out_of_memory, ErrorCode::os_failure,
                               ErrorCode::no_access, ErrorCode::node_failure}) {
    zone->fail_from(Call::allocate, 1, code);
    const Error error = zone->allocate(1).error();
    CHECK(error.code == code);
    CHECK(std::string_view(error.node()) == "");
    CHECK(describe(error).find(describe(code)) != std::string::npos);
  }
}

namespace {

// A user that takes three blocks, makes one longer, and gives all back whatever fails; the zone is as it was after it.
template <class Z>
void check_sweep(const ZoneOptions& options) {
  auto zone = Z::create(options);
  REQUIRE(zone);
  const auto kept = zone->allocate(4_KiB);
  REQUIRE(kept);
  const Stats before = zone->stats();
  std::uint64_t expected = 6;
  const std::uint64_t calls = sweep(*zone, [&] {
    const auto free = [&](const Result<Block>& block) {
      if (block && !zone->deallocate(*block)) CHECK(zone->deallocate(*block));
    };
    std::array<Result<Block>, 3> blocks = {zone->allocate(1), zone->allocate(10000), zone->allocate(8_KiB)};
    if constexpr (requires { zone->resize(*kept, 1); }) {
      expected = 7;
      if (blocks[0]) {
        if (const auto shorter = zone->resize(*blocks[0], 1); shorter) blocks[0] = *shorter;
      }
    }
    for (const auto& block : blocks) free(block);
    CHECK(zone->owns(*kept));
    CHECK(zone->stats() == before);
  });
  CHECK(calls == expected);
}

}  // namespace

TEST_CASE("a sweep meets every call, over each kind of strategy") {
  const ZoneOptions options{.size = 1_MiB};
  check_sweep<FaultInjection<Plain>>(options);
  check_sweep<FaultInjection<Numbers<strategy::BestFit>>>(options);
  check_sweep<FaultInjection<Numbers<strategy::Buddy>>>(options);
  check_sweep<FaultInjection<Numbers<strategy::Segregated>>>(options);
  check_sweep<FaultInjection<Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>>>(options);
  check_sweep<FaultInjection<Shared>>(options);
}

TEST_CASE("over and under another layer") {
  auto inside = Sized<FaultInjection<Plain>, PowerOfTwoSizes>::create({.size = 1_MiB}, {});
  REQUIRE(inside);
  inside->fail_nth(Call::allocate, 1);
  CHECK(inside->allocate(9_KiB).error().asked == 16_KiB);
  auto outside = FaultInjection<Sized<Plain, PowerOfTwoSizes>>::create({.size = 1_MiB}, PowerOfTwoSizes());
  REQUIRE(outside);
  outside->fail_nth(Call::allocate, 1);
  CHECK(outside->allocate(9_KiB).error().asked == 9_KiB);

  // A limit counts nothing of what fails, on either side of it, and its callback is asked for a no_space only.
  auto limited = Limit<FaultInjection<Plain>>::create({.size = 1_MiB}, {.bytes = 8_KiB});
  REQUIRE(limited);
  unsigned asked = 0;
  limited->set_retry(
      [](void* count, const Request&, const Error&) noexcept { return ++*static_cast<unsigned*>(count) != 0; }, &asked);
  limited->fail_nth(Call::allocate, 1);
  CHECK(code_of(limited->allocate(8_KiB)) == ErrorCode::injected);
  CHECK(asked == 0);
  limited->fail_nth(Call::allocate, 1, ErrorCode::no_space);
  CHECK(limited->allocate(8_KiB));
  CHECK(asked == 1);
  auto over = FaultInjection<Limit<Plain>>::create({.size = 1_MiB}, LimitSettings{.bytes = 8_KiB});
  REQUIRE(over);
  over->fail_nth(Call::deallocate, 1);
  const auto block = over->allocate(8_KiB);
  CHECK(code_of(over->deallocate(*block)) == ErrorCode::injected);
  CHECK(over->use().bytes == 8_KiB);
  REQUIRE(over->deallocate(*block));
  CHECK(over->use().bytes == 0);
}

TEST_CASE("a handle that is moved goes on counting; other handles of the zone do not fail") {
  auto made = FaultInjection<Shared>::create({.size = 1_MiB});
  REQUIRE(made);
  made->fail_nth(Call::allocate, 2);
  REQUIRE(made->allocate(1));
  auto zone = *std::move(made);
  auto other = FaultInjection<Shared>::attach({.size = 1_MiB}, backing::MemoryFile::Source{zone.backing().fd()});
  REQUIRE(other);
  CHECK(other->allocate(1));
  CHECK(other->allocate(1));
  CHECK(code_of(zone.allocate(1)) == ErrorCode::injected);
  CHECK(zone.stats().blocks == 3);
  CHECK(zone.recover([](auto) { return false; }).dropped == 3);
  CHECK(zone.calls(Call::any) == 2);
}

TEST_CASE("threads: as many fail as was said, whoever's they are") {
  auto zone = FaultInjection<Numbers<strategy::Bitmap, lock::Spin>>::create({.size = 1_MiB});
  REQUIRE(zone);
  zone->fail_by_seed(Call::allocate, 42, 1, 2);
  std::array<unsigned, 4> failed = {};
  std::vector<std::thread> threads;
  for (unsigned& mine : failed) {
    threads.emplace_back([&zone, &mine] {
      for (int i = 0; i < 5000; ++i) {
        const auto block = zone->allocate(4_KiB);
        if (!block) ++mine;
        if (block && !zone->deallocate(*block)) mine = 1000000;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed[0] + failed[1] + failed[2] + failed[3] == zone->failed(Call::allocate));
  CHECK(zone->calls(Call::allocate) == 20000);
  CHECK(zone->failed(Call::allocate) > 4500);
  CHECK(zone->failed(Call::allocate) < 5500);
  CHECK(zone->stats().blocks == 0);
}
