// Threads share, import, map, free and close at once, some of them what is not theirs: whoever has a buffer finds in it
// what its maker wrote, and no owner ever has more than his quota. Each time they rest, all counts are what the clients,
// handles and refs that there are make them; then the last refs go while the device retires, and nothing is left.
// FREESTONE_TEST_STEPS says how many calls in all; with --long, again and again from other seeds for
// FREESTONE_LONG_MINUTES.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/share/device.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "faults/fault_line.hpp"
#include "support/long.hpp"
#include "support/platforms.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using Pages = Zone<backing::Anonymous, strategy::Bitmap, lock::Futex, cache::Coherent>;
constexpr ShareLimits limits{.clients = 20, .owners = 8, .buffers = 96, .handles = 12, .blocks = 1};

using Shared = Device<Pages, MinimalPlatform, limits, scrub::Zero, PlainLocks<lock::Futex>>;

constexpr int owners = 5;  // two of them of two threads where there are eight: that is too few for nobody to be refused
constexpr Quota quota{.bytes = 5'000, .buffers = 16};

FaultLine f16{.name = "F16"};

[[noreturn]] void fail(const char* what) {
  f16.note(f16.corrupt, "threads", what);
  f16.print();
  std::exit(1);
}

// What all threads know of one another: clients and refs that lie about for whoever wants them.
class Market {
 public:
  void put(Random& random, Shared::Ref&& ref) {
    const std::lock_guard guard(mutex_);
    std::swap(refs_[static_cast<std::size_t>(random.below(refs_.size()))], ref);
  }
  Shared::Ref take(Random& random) {
    const std::lock_guard guard(mutex_);
    return std::move(refs_[static_cast<std::size_t>(random.below(refs_.size()))]);
  }
  void put(Random& random, ClientId client) {
    const std::lock_guard guard(mutex_);
    clients_[static_cast<std::size_t>(random.below(clients_.size()))] = client;
  }
  // Those that are in it stay.
  template <class Visitor>
  void for_each_ref(Visitor&& visit) {
    for (const Shared::Ref& ref : refs_) {
      if (ref) visit(ref);
    }
  }
  std::array<Shared::Ref, 12> take_all() { return std::move(refs_); }
  ClientId client(Random& random) {
    const std::lock_guard guard(mutex_);
    return clients_[static_cast<std::size_t>(random.below(clients_.size()))];
  }

 private:
  std::mutex mutex_;
  std::array<Shared::Ref, 12> refs_;
  std::array<ClientId, 12> clients_ = {};
};

// A maker writes the buffer's own number all over it; nobody writes after that.
void write(Pages& zone, const Shared::Ref& ref) {
  const auto bytes = zone.data(ref.parts().blocks[0]);
  for (const std::byte byte : bytes) {
    if (byte != std::byte{0}) fail("a byte of a former owner");
  }
  std::memset(bytes.data(), static_cast<int>(ref.parts().flags | 1), bytes.size());
}
void check(Pages& zone, const Shared::Ref& ref) {
  for (const std::byte byte : zone.data(ref.parts().blocks[0])) {
    if (byte != static_cast<std::byte>(ref.parts().flags | 1)) fail("a buffer that is somebody else's");
  }
}

void check_quota(Pages& zone, Shared& device, ClientId client) {
  const auto usage = device.usage(client);
  if (usage && (usage->bytes > quota.bytes || usage->buffers > quota.buffers)) fail("an owner has more than his quota");
  if (zone.stats().used > owners * quota.bytes.value()) fail("all owners have more than their quotas");
}

void work(Pages& zone, Shared& device, Market& market, int owner, std::uint64_t start, std::uint64_t steps) {
  Random random(start);
  ClientId client;
  std::vector<Handle> handles;
  std::vector<Shared::Map> maps;
  for (std::uint64_t step = 0; step < steps; ++step) {
    const auto what = random.below(100);
    const Handle handle = handles.empty() ? Handle(static_cast<std::uint32_t>(random.next()))
                                          : handles[static_cast<std::size_t>(random.below(handles.size()))];
    if (what < 1) {
      static_cast<void>(device.close(market.client(random)));
    } else if (what < 3 || client == ClientId()) {
      static_cast<void>(device.close(std::exchange(client, {})));
      handles.clear();
      if (const auto opened = device.open_for(owner, {.quota = quota})) market.put(random, client = *opened);
    } else if (what < 26) {
      const auto got = device.allocate(client, {.size = 64 * random.from_to(1, 8)}, static_cast<std::uint32_t>(random.below(256)));
      if (!got) continue;
      const auto ref = device.share(client, *got);  // another may have closed the client meanwhile
      if (!ref) continue;
      write(zone, *ref);
      handles.push_back(*got);
    } else if (what < 40) {
      if (device.free(client, handle) && random.chance(90)) std::erase(handles, handle);
    } else if (what < 55) {
      if (auto ref = device.share(client, handle)) {
        check(zone, *ref);
        market.put(random, *std::move(ref));
      }
    } else if (what < 72) {
      const Shared::Ref ref = market.take(random);
      if (!ref) continue;
      check(zone, ref);
      if (const auto got = device.import(client, ref)) handles.push_back(*got);
    } else if (what < 80) {
      const Shared::Ref ref = market.take(random);
      if (!ref) continue;
      if (auto map = device.map(ref, Mapper::cpu)) maps.push_back(*std::move(map));
    } else if (what < 88) {
      if (maps.empty()) continue;
      check(zone, maps.back().buffer());
      maps.pop_back();
    } else if (what < 92) {
      if (device.map(client, handle, Mapper::device) && random.chance(70)) static_cast<void>(device.unmap(client, handle, Mapper::device));
    } else if (what < 94) {
      static_cast<void>(device.set_cacheability(client, handle, static_cast<Cacheability>(random.below(3))));
    } else if (what < 97) {
      static_cast<void>(device.free(market.client(random), handle));  // somebody else's client
    } else if (what < 98) {
      if (const Shared::Ref ref = market.take(random)) static_cast<void>(device.give(client, ref));
    } else if (!device.usage(client)) {
      client = {};  // another closed him
    } else {
      static_cast<void>(device.info(client, handle));
      check_quota(zone, device, random.chance(50) ? client : market.client(random));
    }
    if (maps.size() > 8) maps.clear();
    if (handles.size() > 24) handles.erase(handles.begin());
  }
  if (random.chance(50)) static_cast<void>(device.close(client));  // else he stays, for whoever looks
}

// Nobody calls: is each count what the handles and refs that there are make it?
void check_counts(Pages& zone, Shared& device, Market& market) {
  using Place = std::uint32_t;
  std::map<Place, std::uint32_t> holds, maps;
  std::map<int, std::pair<std::uint64_t, std::uint64_t>> had;  // bytes and buffers
  std::map<int, ClientId> client_of;
  std::size_t clients = 0, buffers = 0;
  std::uint64_t used = 0;
  market.for_each_ref([&](const Shared::Ref& ref) { ++holds[ref.id().place]; });
  device.for_each_client([&](const Shared::ShownClient& client) {
    ++clients;
    client_of[client.owner] = client.id;
    std::size_t handles = 0;
    const auto count = [&](const Shared::ShownHandle& shown) {
      ++handles;
      ++holds[shown.buffer.id().place];
      maps[shown.buffer.id().place] += shown.device_maps;
      if (shown.references + shown.device_maps == 0 || shown.cpu_maps != 0) fail("a handle that nobody has");
    };
    if (!device.for_each_handle(client.id, count) || handles != client.handles) fail("handles");
  });
  device.for_each_buffer([&](const Shared::ShownBuffer& shown) {
    const BufferInfo info = device.info(shown.buffer);
    if (info.holds != holds[shown.buffer.id().place] + 1) fail("holds");
    if (info.cpu_maps != 0 || info.device_maps != maps[shown.buffer.id().place]) fail("mappings");
    ++buffers;
    used += info.size.value();
    had[shown.owner].first += info.size.value();
    ++had[shown.owner].second;
  });
  if (clients != device.client_count() || buffers != device.buffer_count() || used != zone.stats().used) fail("a count of all");
  for (const auto& [owner, client] : client_of) {
    const auto usage = device.usage(client);
    if (usage->bytes != had[owner].first || usage->buffers != had[owner].second) fail("an owner's usage");
  }
}

void close_all(Shared& device) {
  device.for_each_client([&](const Shared::ShownClient& client) { static_cast<void>(device.close(client.id)); });
  if (device.client_count() != 0) fail("a client is left");
}

// The refs go in two threads, and the device as soon as it says that it may.
void end(std::unique_ptr<Shared> device, std::array<Shared::Ref, 12> refs) {
  const auto drop = [&](std::size_t from) {
    for (std::size_t at = from; at < refs.size(); at += 2) refs[at] = {};
  };
  std::thread one(drop, 0), other(drop, 1);
  while (!device->retire()) std::this_thread::yield();
  if (device->lost() != LostBlocks()) fail("a block is lost");
  device.reset();
  one.join();
  other.join();
}

constexpr std::uint64_t rests = 8;  // of each number of threads

std::uint64_t run(std::uint64_t steps, std::uint64_t start) {
  std::uint64_t done = 0;
  for (unsigned threads = 2; threads <= 8; threads += 2) {
    auto zone = Pages::create({.name = "shared", .size = 32_KiB, .granule = 64});
    if (!zone) fail("no zone");
    MinimalPlatform platform;
    auto device = std::make_unique<Shared>(*zone, platform, TagKey{start | 1, threads});
    Market market;
    const std::uint64_t each = steps / 4 / rests / threads;
    for (std::uint64_t rest = 0; rest < rests; ++rest) {
      std::vector<std::thread> workers;
      for (unsigned worker = 0; worker < threads; ++worker) {
        const std::uint64_t own = start + 1000 * rest + 100 * threads + worker;
        workers.emplace_back([&, worker, own] { work(*zone, *device, market, static_cast<int>(worker % owners), own, each); });
      }
      for (std::thread& worker : workers) worker.join();
      check_counts(*zone, *device, market);
      close_all(*device);
      done += each * threads;
    }
    end(std::move(device), market.take_all());
    if (zone->stats().blocks != 0) fail("a buffer is left");
  }
  return done;
}

}  // namespace

int main(int count, char** arguments) {
  if (is_long(count, arguments)) return go_on("calls", 1'000, [](std::uint64_t start) { return run(1'000'000, start); });
  f16.runs = run(environment("FREESTONE_TEST_STEPS", 1'000'000), seed());
  return f16.print() ? 0 : 1;
}
