#include <freestone/share/device.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include <freestone/backing/os/anonymous.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/order_list.hpp>
#include "support/platforms.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

using Pages = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;

// The process that calls is whoever the test says.
struct Processes : MinimalPlatform {
  int caller = 1;
  int process() noexcept { return caller; }
};

constexpr ShareLimits few{.clients = 6, .owners = 4, .buffers = 24, .handles = 8, .blocks = 4};
constexpr TagKey key{0x0123456789abcdef, 0xfedcba9876543210};

template <class Z, ShareLimits limits = few, class S = scrub::Zero>
using Shared = Device<Z, Processes, limits, S>;

Pages pages(Bytes size = 1_MiB) { return std::move(*Pages::create({.name = "pages", .size = size})); }

}  // namespace

TEST_CASE("a buffer lives as long as anybody has it") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId camera = *device.open();
  const ClientId display = *device.open();
  const auto frame = device.allocate(camera, {.size = 100'000});
  REQUIRE(frame);
  CHECK(zone.stats().used == 102'400);

  auto shared = device.share(camera, *frame);
  REQUIRE(shared);
  const auto seen = device.import(display, *shared);
  REQUIRE(seen);
  CHECK(device.import(display, *shared)->value() == seen->value());  // the same one again
  CHECK(device.info(display, *seen)->references == 2);
  CHECK(device.info(*shared).holds == 3);

  CHECK(device.free(camera, *frame));
  CHECK(code_of(device.free(camera, *frame)) == ErrorCode::bad_handle);
  CHECK(device.free(display, *seen));
  CHECK(device.free(display, *seen));
  CHECK(code_of(device.free(display, *seen)) == ErrorCode::bad_handle);
  CHECK(zone.stats().used == 102'400);
  *shared = {};
  CHECK(zone.stats().used == 0);
}

TEST_CASE("a mapping outlives the client who made it, and keeps the buffer and how it is cached") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId one = *device.open();
  const ClientId other = *device.open();
  const Handle handle = *device.allocate(one, {.size = 4_KiB});
  auto shared = device.share(one, handle);
  const Handle seen = *device.import(other, *shared);
  auto map = device.map(*shared, Mapper::cpu);
  REQUIRE(map);
  *shared = {};
  CHECK(device.set_cacheability(other, seen, Cacheability::cached));  // as it is
  CHECK(code_of(device.set_cacheability(other, seen, Cacheability::uncached)) == ErrorCode::still_mapped);
  CHECK(device.close(one));
  CHECK(code_of(device.set_cacheability(other, seen, Cacheability::uncached)) == ErrorCode::still_mapped);
  CHECK(code_of(device.unmap(other, seen, Mapper::cpu)) == ErrorCode::not_mapped);  // it is not his
  CHECK(device.free(other, seen));
  CHECK(zone.stats().blocks == 1);
  {
    const auto gone = *std::move(map);
    CHECK(gone.buffer().parts().size == 4_KiB);
  }
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("who frees what he still maps keeps the mapping, and nothing else") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  const Handle handle = *device.allocate(client, {.size = 4_KiB});
  CHECK(device.map(client, handle, Mapper::device));
  CHECK(device.map(client, handle, Mapper::device));
  CHECK(device.free(client, handle));
  CHECK(code_of(device.free(client, handle)) == ErrorCode::bad_handle);
  CHECK(code_of(device.share(client, handle)) == ErrorCode::bad_handle);
  CHECK(code_of(device.map(client, handle, Mapper::cpu)) == ErrorCode::bad_handle);
  CHECK(zone.stats().blocks == 1);
  CHECK(device.unmap(client, handle, Mapper::device));
  CHECK(code_of(device.unmap(client, handle, Mapper::cpu)) == ErrorCode::not_mapped);
  CHECK(device.unmap(client, handle, Mapper::device));
  CHECK(zone.stats().blocks == 0);
  CHECK(code_of(device.unmap(client, handle, Mapper::device)) == ErrorCode::bad_handle);
}

TEST_CASE("a handle is nothing to anybody else, nor to its own client when it is old") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId one = *device.open();
  const ClientId other = *device.open();
  const Handle first = *device.allocate(one, {.size = 4_KiB});
  const Handle second = *device.allocate(other, {.size = 4_KiB});
  CHECK(first != second);
  CHECK(code_of(device.free(other, first)) == ErrorCode::bad_handle);
  for (const std::uint32_t value : {0U, 1U, first.value() + 1, first.value() ^ 0x100U, 0x7fff'ffffU, ~0U}) {
    CHECK(code_of(device.free(one, Handle(value))) == ErrorCode::bad_handle);
  }
  REQUIRE(device.free(one, first));
  for (int again = 0; again < 20; ++again) {
    const Handle next = *device.allocate(one, {.size = 4_KiB});
    CHECK(next != first);
    REQUIRE(device.free(one, next));
  }
  CHECK(code_of(device.free(one, first)) == ErrorCode::bad_handle);
  REQUIRE(device.close(one));
  const ClientId next = *device.open();
  CHECK(next != one);
  CHECK(code_of(device.allocate(one, {.size = 4_KiB})) == ErrorCode::no_client);
  CHECK(code_of(device.close(one)) == ErrorCode::no_client);
  CHECK(code_of(device.close({99, 0})) == ErrorCode::no_client);
  CHECK(code_of(device.close({})) == ErrorCode::no_client);
}

TEST_CASE("an old client's id is nobody's, however many came after him") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId old = *device.open();
  REQUIRE(device.close(old));
  ClientId last;
  for (std::uint32_t opens = 0; opens < few.clients * (Holds<>::most_generations + 2); ++opens) {
    last = *device.open();
    if (opens % 97 == 0) REQUIRE(code_of(device.usage(old)) == ErrorCode::no_client);
    if (last.place == old.place && last.generation == old.generation) {
      REQUIRE(code_of(device.close(old)) == ErrorCode::no_client);
      REQUIRE(device.usage(last));
    }
    REQUIRE(device.close(last));
  }
  CHECK(device.client_count() == 0);
}

TEST_CASE("what one made counts as his owner's until it is gone") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientSettings small{.quota = {.bytes = 64_KiB, .buffers = 3}};
  platform.caller = 7;
  const ClientId thrifty = *device.open(small);
  platform.caller = 8;
  const ClientId accomplice = *device.open();
  CHECK(code_of(device.allocate(thrifty, {.size = 64_KiB + 1})) == ErrorCode::over_quota);
  const Handle most = *device.allocate(thrifty, {.size = 60_KiB - 1});
  const auto beyond = device.allocate(thrifty, {.size = 4_KiB + 1});
  CHECK(beyond.error() == Error{.code = ErrorCode::over_quota, .asked = 4097, .available = 4096});
  auto shared = device.share(thrifty, most);
  const Handle kept = *device.import(accomplice, *shared);
  *shared = {};
  REQUIRE(device.free(thrifty, most));
  CHECK(code_of(device.allocate(thrifty, {.size = 8_KiB})) == ErrorCode::over_quota);  // given away is not gone
  REQUIRE(device.close(thrifty));
  platform.caller = 7;
  const ClientId again = *device.open({});  // nor is it gone with the client, and what his quota is was said
  CHECK(code_of(device.allocate(again, {.size = 8_KiB})) == ErrorCode::over_quota);
  CHECK(device.usage(again)->bytes == 60_KiB);
  REQUIRE(device.free(accomplice, kept));
  CHECK(device.usage(again)->bytes == 0);
  for (int buffers = 0; buffers < 3; ++buffers) CHECK(device.allocate(again, {.size = 4_KiB}));
  CHECK(code_of(device.allocate(again, {.size = 4_KiB})) == ErrorCode::over_quota);
}

TEST_CASE("each table that is full says which") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages, ShareLimits{.clients = 3, .owners = 2, .buffers = 5, .handles = 4, .blocks = 1}> device(zone, platform, key);
  const ClientId first = *device.open_for(1);
  const ClientId second = *device.open_for(2);
  CHECK(code_of(device.open_for(3)) == ErrorCode::too_many_owners);
  CHECK(device.open_for(2));
  CHECK(code_of(device.open_for(2)) == ErrorCode::too_many_clients);
  for (int handles = 0; handles < 4; ++handles) REQUIRE(device.allocate(first, {.size = 1}));
  CHECK(code_of(device.allocate(first, {.size = 1})) == ErrorCode::too_many_handles);
  REQUIRE(device.allocate(second, {.size = 1}));
  CHECK(code_of(device.allocate(second, {.size = 1})) == ErrorCode::too_many_buffers);
  CHECK(zone.stats().blocks == 5);
  CHECK(device.usage(first)->buffers == 4);
  CHECK(code_of(device.retire()) == ErrorCode::still_used);
  CHECK(code_of(device.open_for(1)) == ErrorCode::retired);
}

TEST_CASE("counts that are full refuse, and nothing is lost") {
  Pages zone = pages();
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  const Handle handle = *device.allocate(client, {.size = 1});
  for (std::uint32_t maps = 0; maps < MapCounts<>::most; ++maps) REQUIRE(device.map(client, handle, Mapper::cpu));
  CHECK(code_of(device.map(client, handle, Mapper::cpu)) == ErrorCode::too_many_maps);
  CHECK(device.map(client, handle, Mapper::device));
  auto shared = device.share(client, handle);
  CHECK(code_of(device.map(*shared, Mapper::cpu)) == ErrorCode::too_many_maps);
  std::vector<Shared<Pages>::Ref> refs;
  while (auto ref = device.ref(shared->id())) refs.push_back(*std::move(ref));
  CHECK(device.info(*shared).holds == Holds<>::most);
  CHECK(code_of(device.share(client, handle)) == ErrorCode::too_many_holds);
  CHECK(code_of(device.import(client, *shared)) == ErrorCode::too_many_holds);
  refs.clear();
  *shared = {};
  REQUIRE(device.close(client));
  CHECK(zone.stats().blocks == 0);
}

TEST_CASE("no byte of a former owner") {
  Pages zone = pages(64_KiB);
  Processes platform;
  Shared<Pages> device(zone, platform, key);
  const ClientId client = *device.open();
  for (int round = 0; round < 100; ++round) {
    const Handle handle = *device.allocate(client, {.size = 60_KiB});
    const auto shared = device.share(client, handle);
    for (const std::byte byte : zone.data(shared->parts().blocks[0])) REQUIRE(byte == std::byte{0});
    for (std::byte& byte : zone.data(shared->parts().blocks[0])) byte = std::byte{0xaa};
    REQUIRE(device.free(client, handle));
  }
}

TEST_CASE("a buffer of several blocks, from heaps that a client may use") {
  using Lists = Zone<backing::Anonymous, strategy::OrderList<strategy::Buddy, 2, 0>, lock::None, cache::Coherent>;
  using namespace freestone::declare;
  constexpr auto board = declare::heaps(heap<"lists">(id<1>, zone<Lists>, size<64_KiB>), heap<"pages">(id<2>, zone<Pages>, size<64_KiB>));
  auto heaps = board.create();
  REQUIRE(heaps);
  Processes platform;
  Shared<std::remove_reference_t<decltype(*heaps)>> device(*heaps, platform, key);
  const ClientId all = *device.open();
  const ClientId some = *device.open({.heaps = HeapMask::of(2)});
  const auto list = device.allocate(all, {.size = 36_KiB, .contiguous = false});
  REQUIRE(list);
  const auto shared = device.share(all, *list);
  CHECK(shared->parts().count == 3);
  CHECK(shared->parts().heap == 1);
  CHECK(shared->parts().size == 36_KiB);
  CHECK(device.info(some, *device.allocate(some, {.size = 4_KiB}))->heap == 2);
  CHECK(code_of(device.allocate(some, {.size = 4_KiB, .heaps = HeapMask::of(1)})) == ErrorCode::empty_mask);
}

// --- by chance, beside a model that only counts ---

namespace {

struct ModelBuffer {
  Bytes size;
  int maker;
  int refs = 0;
  int cpu_maps = 0;  // of BufferMaps
};
struct ModelHandle {
  std::uint64_t buffer;
  std::uint32_t references = 1;
  std::uint32_t maps[2] = {0, 0};
};
struct ModelClient {
  ClientId id;
  int owner;
  std::map<std::uint32_t, ModelHandle> handles = {};
};

}  // namespace

TEST_CASE("whatever clients do, the counts are the model's") {
  using D = Shared<Pages>;
  Pages zone = pages(512_KiB);
  Processes platform;
  Random random(seed());
  for (int round = 0; round < 20; ++round) {
    std::optional<D> made;
    D& device = made.emplace(zone, platform, TagKey{random.next(), random.next()});
    std::map<std::uint64_t, ModelBuffer> buffers;
    std::vector<ModelClient> clients;
    std::vector<std::pair<D::Ref, std::uint64_t>> refs;
    std::vector<std::pair<D::Map, std::uint64_t>> maps;
    std::vector<std::uint32_t> old_handles;
    std::uint64_t next_buffer = 0;

    const auto holds_of = [&](std::uint64_t buffer) {
      std::uint32_t holds = static_cast<std::uint32_t>(buffers[buffer].refs + buffers[buffer].cpu_maps);
      for (const auto& client : clients) {
        for (const auto& [value, handle] : client.handles) holds += handle.buffer == buffer;
      }
      return holds;
    };
    const auto maps_of = [&](std::uint64_t buffer, Mapper mapper) {
      std::uint32_t count = mapper == Mapper::cpu ? static_cast<std::uint32_t>(buffers[buffer].cpu_maps) : 0;
      for (const auto& client : clients) {
        for (const auto& [value, handle] : client.handles) {
          if (handle.buffer == buffer) count += handle.maps[static_cast<int>(mapper)];
        }
      }
      return count;
    };
    const auto sweep = [&] { std::erase_if(buffers, [&](const auto& one) { return holds_of(one.first) == 0; }); };

    for (int step = 0; step < 3'000; ++step) {
      const auto what = random.below(100);
      if (clients.empty() || what < 3) {
        platform.caller = static_cast<int>(random.below(3));
        const auto id = device.open();
        CHECK(static_cast<bool>(id) == (clients.size() < few.clients));
        if (id) clients.push_back({*id, platform.caller});
        continue;
      }
      ModelClient& client = clients[static_cast<std::size_t>(random.below(clients.size()))];
      auto at = client.handles.begin();
      if (!client.handles.empty()) std::advance(at, static_cast<int>(random.below(client.handles.size())));
      const bool has_one = at != client.handles.end();
      if (what < 5) {
        REQUIRE(device.close(client.id));
        CHECK(code_of(device.close(client.id)) == ErrorCode::no_client);
        std::swap(client, clients.back());
        clients.pop_back();
        sweep();
      } else if (what < 25) {
        const Bytes size = 4096 * random.from_to(1, 12);
        const auto got = device.allocate(client.id, {.size = size});
        if (!got) {
          const ErrorCode code = got.error().code;
          const bool is_full = client.handles.size() == few.handles;
          CHECK((code == ErrorCode::no_space || (code == ErrorCode::too_many_buffers && buffers.size() == few.buffers) ||
                 (code == ErrorCode::too_many_handles && is_full)));
          continue;
        }
        buffers[next_buffer] = {.size = size, .maker = client.owner};
        CHECK(client.handles.emplace(got->value(), ModelHandle{next_buffer++}).second);
      } else if (what < 40 && has_one) {
        const bool is_released = at->second.references == 0;
        CHECK(static_cast<bool>(device.free(client.id, Handle(at->first))) == !is_released);
        if (is_released) continue;
        ModelHandle& handle = at->second;
        if (--handle.references == 0 && handle.maps[0] + handle.maps[1] == 0) {
          old_handles.push_back(at->first);
          client.handles.erase(at);
        }
        sweep();
      } else if (what < 50 && has_one) {
        auto ref = device.share(client.id, Handle(at->first));
        CHECK(static_cast<bool>(ref) == (at->second.references != 0));
        if (!ref) continue;
        ++buffers[at->second.buffer].refs;
        refs.emplace_back(*std::move(ref), at->second.buffer);
      } else if (what < 60 && !refs.empty()) {
        const auto& [ref, buffer] = refs[static_cast<std::size_t>(random.below(refs.size()))];
        const auto had = std::find_if(client.handles.begin(), client.handles.end(),
                                      [&, &wanted = buffer](const auto& one) { return one.second.buffer == wanted; });
        const auto got = device.import(client.id, ref);
        if (had != client.handles.end()) {
          REQUIRE(got);
          CHECK(got->value() == had->first);
          ++had->second.references;
        } else if (got) {
          CHECK(client.handles.emplace(got->value(), ModelHandle{buffer}).second);
        } else {
          CHECK((code_of(got) == ErrorCode::too_many_handles && client.handles.size() == few.handles));
        }
      } else if (what < 70 && !refs.empty()) {
        const auto gone = static_cast<std::size_t>(random.below(refs.size()));
        --buffers[refs[gone].second].refs;
        std::swap(refs[gone], refs.back());
        refs.pop_back();
        sweep();
      } else if (what < 76 && !refs.empty()) {
        const auto& [ref, buffer] = refs[static_cast<std::size_t>(random.below(refs.size()))];
        auto map = device.map(ref, Mapper::cpu);
        REQUIRE(map);
        ++buffers[buffer].cpu_maps;
        maps.emplace_back(*std::move(map), buffer);
      } else if (what < 80 && !maps.empty()) {
        --buffers[maps.back().second].cpu_maps;
        maps.pop_back();
        sweep();
      } else if (what < 90 && has_one) {
        const auto mapper = static_cast<Mapper>(random.below(2));
        const bool can = at->second.references != 0;
        CHECK(static_cast<bool>(device.map(client.id, Handle(at->first), mapper)) == can);
        if (can) ++at->second.maps[static_cast<int>(mapper)];
      } else if (what < 96 && has_one) {
        const auto mapper = static_cast<Mapper>(random.below(2));
        ModelHandle& handle = at->second;
        const bool can = handle.maps[static_cast<int>(mapper)] != 0;
        CHECK(static_cast<bool>(device.unmap(client.id, Handle(at->first), mapper)) == can);
        if (can && --handle.maps[static_cast<int>(mapper)] == 0 && handle.references + handle.maps[0] + handle.maps[1] == 0) {
          client.handles.erase(at);
        }
        sweep();
      } else if (!old_handles.empty()) {
        const std::uint32_t old = old_handles[static_cast<std::size_t>(random.below(old_handles.size()))];
        if (client.handles.count(old) == 0) CHECK(code_of(device.info(client.id, Handle(old))) == ErrorCode::bad_handle);
      }

      Bytes used = 0;
      for (const auto& [id, buffer] : buffers) used = used + buffer.size;
      REQUIRE(zone.stats().used == used);
      REQUIRE(device.buffer_count() == buffers.size());
      if (step % 16 != 0) continue;
      for (const auto& one : clients) {
        const auto usage = device.usage(one.id);
        Bytes own = 0;
        for (const auto& [id, buffer] : buffers) own = buffer.maker == one.owner ? own + buffer.size : own;
        REQUIRE(usage->bytes == own);
        REQUIRE(usage->handles == one.handles.size());
        for (const auto& [value, handle] : one.handles) {
          if (handle.references == 0) continue;
          const auto info = device.info(one.id, Handle(value));
          REQUIRE(info);
          REQUIRE(info->references == handle.references);
          REQUIRE(info->holds == holds_of(handle.buffer));
          REQUIRE(info->cpu_maps == maps_of(handle.buffer, Mapper::cpu));
          REQUIRE(info->device_maps == maps_of(handle.buffer, Mapper::device));
        }
      }
    }
    refs.clear();
    maps.clear();
    made.reset();
    REQUIRE(zone.stats().blocks == 0);
  }
}
