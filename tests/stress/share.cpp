// Threads share, import, map, free and close at once, some of them what is not theirs: whoever has a buffer finds in it
// what its maker wrote, and when all are gone nothing is left. FREESTONE_TEST_STEPS says how many calls in all; with
// --long, again and again from other seeds for FREESTONE_LONG_MINUTES.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
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

struct Threads : MinimalPlatform {
  int process() noexcept { return 1; }
};
using Shared = Device<Pages, Threads, limits, scrub::Zero, PlainLocks<lock::Futex>>;

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

void work(Pages& zone, Shared& device, Market& market, std::uint64_t start, std::uint64_t steps) {
  Random random(start);
  ClientId client;
  std::vector<Handle> handles;
  std::vector<Shared::Map> maps;
  for (std::uint64_t step = 0; step < steps; ++step) {
    const auto what = random.below(100);
    const Handle handle = handles.empty() ? Handle(static_cast<std::uint32_t>(random.next()))
                                          : handles[static_cast<std::size_t>(random.below(handles.size()))];
    if (what < 2) {
      static_cast<void>(device.close(random.chance(50) ? client : market.client(random)));
    } else if (what < 4 || client == ClientId()) {
      static_cast<void>(device.close(client));
      handles.clear();
      if (const auto opened = device.open()) market.put(random, client = *opened);
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
    } else {
      static_cast<void>(device.info(client, handle));
      static_cast<void>(device.usage(random.chance(50) ? client : market.client(random)));
    }
    if (maps.size() > 8) maps.clear();
    if (handles.size() > 24) handles.erase(handles.begin());
  }
  static_cast<void>(device.close(client));
}

std::uint64_t run(std::uint64_t steps, std::uint64_t start) {
  std::uint64_t done = 0;
  for (unsigned threads = 2; threads <= 8; threads += 2) {
    auto zone = Pages::create({.name = "shared", .size = 32_KiB, .granule = 64});
    if (!zone) fail("no zone");
    Threads platform;
    const auto device = std::make_unique<Shared>(*zone, platform, TagKey{start, threads});
    {
      Market market;
      std::vector<std::thread> workers;
      for (unsigned worker = 0; worker < threads; ++worker) {
        workers.emplace_back([&, worker] { work(*zone, *device, market, start + 100 * threads + worker, steps / 4 / threads); });
      }
      for (std::thread& worker : workers) worker.join();
      done += steps / 4 / threads * threads;
    }
    if (device->client_count() != 0) fail("a client is left");
    if (device->buffer_count() != 0 || zone->stats().blocks != 0) fail("a buffer is left");
    if (!device->retire()) fail("a device that nobody uses is used");
  }
  return done;
}

}  // namespace

int main(int count, char** arguments) {
  if (is_long(count, arguments)) return go_on("calls", 1'000, [](std::uint64_t start) { return run(1'000'000, start); });
  f16.runs = run(environment("FREESTONE_TEST_STEPS", 1'000'000), seed());
  return f16.print() ? 0 : 1;
}
