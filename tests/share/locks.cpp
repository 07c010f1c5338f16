#include <freestone/share/locks.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include <freestone/lock/spin.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/fenced_holds.hpp>
#include <freestone/share/names.hpp>
#include <freestone/share/view.hpp>
#include <freestone/strategy/bitmap.hpp>
#include "support/fences.hpp"
#include "support/platforms.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

static_assert(LockRank::views < LockRank::names && LockRank::names < LockRank::clients);
static_assert(LockRank::clients < LockRank::client && LockRank::client < LockRank::buffers);
static_assert(LockRank::buffers < LockRank::accounts && LockRank::accounts < LockRank::fences);
static_assert(LockRank::fences < LockRank::exports && LockRank::exports < LockRank::peers);
static_assert(std::is_same_v<PlainLocks<lock::Spin>::At<LockRank::names>, lock::Spin>);
static_assert(std::is_same_v<PlainLocks<lock::None>::At<LockRank::client>, lock::None>);

// What the only thread holds, and what was seen since this was made. (share/os/ranked.cpp has the threads, and the order.)
struct Seen {
  std::uint32_t held = 0;  // a bit for each rank
  std::array<std::uint64_t, 8> taken = {};
  std::uint64_t zone_asked = 0;
  std::uint64_t scrubbed = 0;
  std::uint64_t platform_called = 0;
  std::uint64_t wrong = 0;

  void outside(std::uint64_t& calls) {
    ++calls;
    wrong += (held & ~bit_of(LockRank::views)) != 0;
  }
  static constexpr std::uint32_t bit_of(LockRank rank) { return std::uint32_t{1} << static_cast<unsigned>(rank); }
};
Seen seen;

template <LockRank rank>
struct Noted : lock::None {
  static Noted format(std::uint64_t*) noexcept { return {}; }
  static Noted attach(std::uint64_t*) noexcept { return {}; }
  void lock() noexcept {
    seen.wrong += seen.held >= Seen::bit_of(rank);
    seen.held |= Seen::bit_of(rank);
    ++seen.taken[static_cast<std::size_t>(rank)];
  }
  void unlock() noexcept { seen.held &= ~Seen::bit_of(rank); }
};
struct NotedLocks {
  template <LockRank rank>
  using At = Noted<rank>;
};

struct ZoneLock : lock::None {
  static ZoneLock format(std::uint64_t*) noexcept { return {}; }
  static ZoneLock attach(std::uint64_t*) noexcept { return {}; }
  void lock() noexcept { seen.outside(seen.zone_asked); }
};
struct Scrubber {
  template <class Z>
  Result<void> operator()(Z&, const Block&) const noexcept {
    seen.outside(seen.scrubbed);
    return {};
  }
};
struct Called : MinimalPlatform {
  int process() noexcept { return seen.outside(seen.platform_called), 1; }
};
struct Screens {
  template <class V>
  Result<void> show(V&, const ByteRange&) noexcept {
    return seen.outside(seen.platform_called), Result<void>();
  }
  template <class V>
  void hide(V&, const ByteRange&) noexcept {
    seen.outside(seen.platform_called);
  }
};

using Asked = Zone<backing::OffsetSpace, strategy::Bitmap, ZoneLock, cache::Coherent>;
constexpr ShareLimits limits{.clients = 3, .owners = 2, .buffers = 8, .handles = 4, .blocks = 1};
using D = Device<Asked, Called, limits, Scrubber, NotedLocks>;
using Known = Names<D, 2, NotedLocks::At<LockRank::names>>;
using Waiting = FencedHolds<D, Flag, 3, NotedLocks::At<LockRank::fences>>;

Asked asked() { return std::move(*Asked::create({.name = "asked", .size = 24_KiB})); }

}  // namespace

TEST_CASE("no lock is held while a zone is asked, bytes are scrubbed or the platform is called") {
  seen = {};
  Asked zone = asked();
  Called platform;
  D device(zone, platform, TagKey{1, 2});
  Known names(device);
  std::atomic<bool> signalled = false;
  Waiting waiting(device);
  std::vector<ClientId> clients = {*device.open()};
  std::vector<Handle> handles = {Handle(5)};  // nobody's
  std::vector<D::Map> maps;
  Random random(seed());
  for (int step = 0; step < 20'000; ++step) {
    const ClientId client = clients[static_cast<std::size_t>(random.below(clients.size()))];
    const Handle handle = handles[static_cast<std::size_t>(random.below(handles.size()))];
    const BlockName<> name = random.chance(50) ? BlockName<>("a") : BlockName<>("b");
    const auto mapper = static_cast<Mapper>(random.below(2));
    switch (random.below(16)) {
      case 0:
        if (const auto opened = device.open({.quota = {.bytes = 12_KiB}})) clients.push_back(*opened);
        break;
      case 1:
        if (random.chance(30)) static_cast<void>(device.close(client));
        if (clients.size() > 8) static_cast<void>(device.close(clients[0])), clients.erase(clients.begin());
        break;
      case 2:
      case 3:
      case 4:
        if (const auto got = device.allocate(client, {.size = random.below(9) * 1024})) handles.push_back(*got);
        if (handles.size() > 12) handles.erase(handles.begin());
        break;
      case 5:
      case 6: static_cast<void>(device.free(client, handle)); break;
      case 7:
        if (const auto ref = device.share(client, handle)) {
          static_cast<void>(names.publish(1, name, *ref, static_cast<NamePolicy>(random.below(2))));
        }
        break;
      case 8:
        if (const auto ref = names.open(name)) static_cast<void>(device.import(client, *ref));
        break;
      case 9: static_cast<void>(names.withdraw(static_cast<int>(random.below(2)), name)); break;
      case 10: names.for_each([](const Known::Published&) {}); break;
      case 11:
        if (auto ref = device.share(client, handle)) static_cast<void>(waiting.hold_until(*std::move(ref), Flag(signalled)));
        break;
      case 12:
        signalled = true;
        static_cast<void>(waiting.collect());
        signalled = false;
        break;
      case 13:
        static_cast<void>(device.map(client, handle, mapper));
        static_cast<void>(device.set_cacheability(client, handle, Cacheability::uncached));
        break;
      case 14: static_cast<void>(device.unmap(client, handle, mapper)); break;
      default:
        if (auto ref = device.share(client, handle)) {
          if (auto map = device.map(*ref, mapper)) maps.push_back(*std::move(map));
        }
        if (maps.size() > 3 || random.chance(30)) maps.clear();
        static_cast<void>(device.info(client, handle)), static_cast<void>(device.usage(client));
    }
    REQUIRE(seen.held == 0);
    REQUIRE(seen.wrong == 0);
  }
  maps.clear();
  for (const char* left : {"a", "b"}) static_cast<void>(names.withdraw_any(*BlockName<>::of(left)));
  signalled = true;
  static_cast<void>(waiting.collect());
  for (const ClientId client : clients) static_cast<void>(device.close(client));
  CHECK(device.retire());
  CHECK(zone.stats().blocks == 0);
  CHECK(seen.wrong == 0);
  for (const LockRank rank : {LockRank::names, LockRank::clients, LockRank::client, LockRank::buffers, LockRank::accounts,
                              LockRank::fences}) {
    CHECK(seen.taken[static_cast<std::size_t>(rank)] > 100);
  }
  for (const std::uint64_t calls : {seen.zone_asked, seen.scrubbed, seen.platform_called}) CHECK(calls > 100);
}

TEST_CASE("but for views': theirs is held while the platform shows and hides, and while the owner's hold ends") {
  seen = {};
  Asked zone = asked();
  Called platform;
  D device(zone, platform, TagKey{1, 2});
  const ClientId client = *device.open();
  auto ref = *device.share(client, *device.allocate(client, {.size = 4096}));
  View<D> view;
  Screens screen;
  Views<D> views(*device.ref(ref.id()), 4096);
  REQUIRE(device.close(client));
  Noted<LockRank::views> lock;
  lock.lock();
  CHECK(views.connect(view, std::move(ref)));
  CHECK(views.grant(view, {0, 4096}, screen));
  CHECK(view.map(4096, screen));
  const std::uint64_t shown = seen.platform_called;
  views.revoke(screen);
  CHECK(seen.platform_called > shown);
  CHECK(view.unmap());
  lock.unlock();
  CHECK(zone.stats().blocks == 0);
  CHECK(seen.wrong == 0);
}
