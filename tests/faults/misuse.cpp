// Misuse of zones and devices, F9: each kind over each strategy is refused with its own error, changes nothing, and what
// is right works after it. Then again and again by chance, FREESTONE_TEST_STEPS times in all. And F11: every combination
// of twelve sizes, alignments, last addresses and boundaries, of which what is granted lies within its zone, and as it was
// asked for.
#include <array>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/heap/heaps.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/share/device.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/zone.hpp>
#include "faults/fault_line.hpp"
#include "support/platforms.hpp"

using namespace freestone;
using namespace freestone::tests;
using namespace freestone::declare;

namespace {

FaultLine f9{.name = "F9"};
FaultLine f11{.name = "F11"};

constexpr ShareLimits limits{.clients = 4, .owners = 4, .buffers = 16, .handles = 8, .blocks = 1};

struct Processes : MinimalPlatform {
  int caller = 1;
  int process() noexcept { return caller; }
};

// A device over one heap of strategy S, in ordinary use: two clients, a shared buffer, one of each one's own.
template <class S>
struct Scene {
  using Pages = Zone<backing::Anonymous, S, lock::None, cache::Coherent>;
  static constexpr auto board =
      declare::heaps(heap<"pages">(id<1>, zone<Pages>, size<256_KiB>), heap<"other">(id<2>, zone<Pages>, size<64_KiB>));
  using All = Heaps<std::remove_const_t<decltype(board)>>;
  using Shared = Device<All, Processes, limits>;

  All heaps = std::move(*board.create());
  Processes platform;
  Shared device{heaps, platform, TagKey{seed(), 2}};
  Shared foreign{heaps, platform, TagKey{seed(), 3}};
  ClientId one = *device.open({.heaps = HeapMask::of(1)});
  ClientId two = *device.open_for(2, {.quota = {.bytes = 64_KiB}});
  ClientId stranger = *foreign.open();
  Handle own = *device.allocate(one, {.size = 12_KiB});
  Handle others = *device.allocate(two, {.size = 8_KiB});
  typename Shared::Ref shared = *device.share(one, own);
  Handle imported = *device.import(two, shared);
  Handle far = *foreign.allocate(stranger, {.size = 4_KiB});
  typename Shared::Ref far_ref = *foreign.share(stranger, far);

  // What misuse must leave as it is.
  std::vector<std::uint64_t> state() {
    std::vector<std::uint64_t> all = {device.buffer_count(), device.client_count(), foreign.buffer_count()};
    heaps.for_each([&](auto& zone, const HeapTraits&) {
      all.push_back(zone.stats().used.value());
      zone.for_each_block([&](Block block) { all.push_back(block.offset().value()); });
    });
    const auto tell = [&](ClientId client, Handle handle) {
      const auto info = device.info(client, handle);
      if (!info) return all.push_back(~std::uint64_t{0});
      for (const std::uint64_t figure : {std::uint64_t{info->references}, std::uint64_t{info->holds}, std::uint64_t{info->cpu_maps},
                                         std::uint64_t{info->device_maps}, info->size.value()}) {
        all.push_back(figure);
      }
    };
    tell(one, own), tell(two, others), tell(two, imported);
    for (const ClientId client : {one, two}) {
      if (const auto usage = device.usage(client)) all.push_back(usage->bytes.value()), all.push_back(usage->handles);
    }
    return all;
  }

  bool works() {
    const auto handle = device.allocate(one, {.size = 4_KiB});
    return handle && device.map(one, *handle, Mapper::cpu) && device.unmap(one, *handle, Mapper::cpu) && device.free(one, *handle);
  }
};

template <class T>
ErrorCode code_of(const Result<T>& result) {
  return result ? ErrorCode::none : result.error().code;
}

// Each kind: what is done, and the error that it must be. What it takes to get there it undoes.
template <class S>
struct Kind {
  const char* name;
  ErrorCode wanted;
  std::function<ErrorCode(Scene<S>&)> misuse;
};

template <class S>
std::vector<Kind<S>> kinds() {
  using X = Scene<S>;
  using E = ErrorCode;
  const auto freed = [](X& x) {
    const Handle handle = *x.device.allocate(x.one, {.size = 4_KiB});
    static_cast<void>(x.device.free(x.one, handle));
    return handle;
  };
  const auto closed = [](X& x) {
    const ClientId client = *x.device.open();
    static_cast<void>(x.device.close(client));
    return client;
  };
  const auto block = [](X& x) { return x.shared.parts().blocks[0]; };
  return {
      // Handles.
      {"free twice", E::bad_handle, [=](X& x) { return code_of(x.device.free(x.one, freed(x))); }},
      {"free of handle 0", E::bad_handle, [](X& x) { return code_of(x.device.free(x.one, Handle(0))); }},
      {"free of handle -1", E::bad_handle, [](X& x) { return code_of(x.device.free(x.one, Handle(~0U))); }},
      {"free of a handle with the top bit", E::bad_handle, [](X& x) { return code_of(x.device.free(x.one, Handle(x.own.value() | 1U << 31))); }},
      {"free of the handle's neighbour", E::bad_handle, [](X& x) { return code_of(x.device.free(x.one, Handle(x.own.value() + 1))); }},
      {"free of the same place, another tag", E::bad_handle, [](X& x) { return code_of(x.device.free(x.one, Handle(x.own.value() ^ 0x40U))); }},
      {"free of another client's handle", E::bad_handle, [](X& x) { return code_of(x.device.free(x.two, x.own)); }},
      {"free of another device's handle", E::bad_handle, [](X& x) { return code_of(x.device.free(x.one, x.far)); }},
      {"share of what was freed", E::bad_handle, [=](X& x) { return code_of(x.device.share(x.one, freed(x))); }},
      {"map of what was freed", E::bad_handle, [=](X& x) { return code_of(x.device.map(x.one, freed(x), Mapper::cpu)); }},
      {"info of what was freed", E::bad_handle, [=](X& x) { return code_of(x.device.info(x.one, freed(x))); }},
      {"an old handle after its place was used again", E::bad_handle,
       [=](X& x) {
         const Handle old = freed(x);
         for (int uses = 0; uses < 20; ++uses) freed(x);
         return code_of(x.device.free(x.one, old));
       }},
      // Mappings.
      {"unmap of what was never mapped", E::not_mapped, [](X& x) { return code_of(x.device.unmap(x.one, x.own, Mapper::cpu)); }},
      {"unmap twice", E::not_mapped,
       [](X& x) {
         static_cast<void>(x.device.map(x.one, x.own, Mapper::cpu));
         static_cast<void>(x.device.unmap(x.one, x.own, Mapper::cpu));
         return code_of(x.device.unmap(x.one, x.own, Mapper::cpu));
       }},
      {"unmap of another client's mapping", E::not_mapped,
       [](X& x) {
         static_cast<void>(x.device.map(x.one, x.own, Mapper::cpu));
         const E code = code_of(x.device.unmap(x.two, x.imported, Mapper::cpu));
         static_cast<void>(x.device.unmap(x.one, x.own, Mapper::cpu));
         return code;
       }},
      {"a device's unmap of a CPU's mapping", E::not_mapped,
       [](X& x) {
         static_cast<void>(x.device.map(x.one, x.own, Mapper::cpu));
         const E code = code_of(x.device.unmap(x.one, x.own, Mapper::device));
         static_cast<void>(x.device.unmap(x.one, x.own, Mapper::cpu));
         return code;
       }},
      {"another cacheability while others map", E::still_mapped,
       [](X& x) {
         const auto map = x.device.map(x.shared, Mapper::device);
         return code_of(x.device.set_cacheability(x.two, x.imported, Cacheability::uncached));
       }},
      {"free again while it is mapped", E::bad_handle,
       [](X& x) {
         const Handle handle = *x.device.allocate(x.one, {.size = 4_KiB});
         static_cast<void>(x.device.map(x.one, handle, Mapper::cpu));
         static_cast<void>(x.device.free(x.one, handle));
         const E code = code_of(x.device.free(x.one, handle));
         static_cast<void>(x.device.unmap(x.one, handle, Mapper::cpu));
         return code;
       }},
      // What is shared.
      {"import of nothing", E::no_buffer, [](X& x) { return code_of(x.device.import(x.one, {})); }},
      {"import from another device", E::no_buffer, [](X& x) { return code_of(x.device.import(x.one, x.far_ref)); }},
      {"map of another device's", E::no_buffer, [](X& x) { return code_of(x.device.map(x.far_ref, Mapper::cpu)); }},
      {"a hold on what is gone", E::no_buffer,
       [](X& x) {
         const Handle handle = *x.device.allocate(x.one, {.size = 4_KiB});
         const BufferId gone = x.device.share(x.one, handle)->id();
         static_cast<void>(x.device.free(x.one, handle));
         return code_of(x.device.ref(gone));
       }},
      {"a hold on no place", E::no_buffer, [](X& x) { return code_of(x.device.ref({limits.buffers, 0})); }},
      // Clients.
      {"allocate of a closed client", E::no_client, [=](X& x) { return code_of(x.device.allocate(closed(x), {.size = 1})); }},
      {"close twice", E::no_client, [=](X& x) { return code_of(x.device.close(closed(x))); }},
      {"free with a client's old id, after his place was used again", E::no_client,
       [=](X& x) {
         const ClientId old = closed(x);
         for (std::size_t uses = 0; uses < 2 * limits.clients; ++uses) closed(x);
         return code_of(x.device.free(old, x.own));
       }},
      {"a client of no place", E::no_client, [](X& x) { return code_of(x.device.free({limits.clients, 0}, x.own)); }},
      // Requests.
      {"nothing asked for", E::zero_size, [](X& x) { return code_of(x.device.allocate(x.one, {.size = 0})); }},
      {"a heap that the client may not use", E::empty_mask, [](X& x) { return code_of(x.device.allocate(x.one, {.size = 1, .heaps = id<2>})); }},
      {"more than the quota", E::over_quota, [](X& x) { return code_of(x.device.allocate(x.two, {.size = 60_KiB})); }},
      {"more than there is", E::never_satisfied, [](X& x) { return code_of(x.device.allocate(x.one, {.size = ~std::uint64_t{0}})); }},
      // Blocks, by whoever has the zone.
      {"deallocate twice", E::double_release,
       [](X& x) {
         auto& zone = x.heaps.template zone<"pages">();
         const Block gone = *zone.allocate(4_KiB);
         static_cast<void>(zone.deallocate(gone));
         return code_of(zone.deallocate(gone));
       }},
      {"deallocate of a block's inside", E::inner_release,
       [=](X& x) {
         const Block whole = block(x);
         return code_of(x.heaps.deallocate(Block(whole.offset() + 4_KiB, 4_KiB, whole.zone_tag())));
       }},
      {"deallocate between granules", E::inner_release,
       [=](X& x) {
         const Block whole = block(x);
         return code_of(x.heaps.deallocate(Block(whole.offset() + 1, 4_KiB, whole.zone_tag())));
       }},
      {"deallocate of another zone's block", E::foreign_block,
       [=](X& x) { return code_of(x.heaps.template zone<"other">().deallocate(block(x))); }},
      {"deallocate behind the zone's end", E::foreign_block,
       [=](X& x) { return code_of(x.heaps.deallocate(Block(1_GiB, 4_KiB, block(x).zone_tag()))); }},
      {"deallocate of no zone's block", E::foreign_block, [](X& x) { return code_of(x.heaps.deallocate(Block())); }},
  };
}

template <class S>
void misuse(const char* strategy, std::uint64_t times) {
  const auto all = kinds<S>();
  const auto scene = std::make_unique<Scene<S>>();
  const auto once = [&](const Kind<S>& kind) {
    const auto before = scene->state();
    const ErrorCode code = kind.misuse(*scene);
    const std::string subject = std::string(strategy) + ", " + kind.name;
    if (code != kind.wanted) f9.note(f9.corrupt, subject.c_str(), ("error " + std::to_string(static_cast<int>(code))).c_str());
    if (scene->state() != before) f9.note(f9.corrupt, subject.c_str(), "something changed");
  };
  for (const Kind<S>& kind : all) {
    once(kind);
    ++f9.runs;
    if (!scene->works()) f9.note(f9.unusable, strategy, kind.name);
  }
  Random random(seed());
  for (std::uint64_t time = 0; time < times; ++time) once(all[static_cast<std::size_t>(random.below(all.size()))]);
  static_cast<void>(scene->device.close(scene->one));
  static_cast<void>(scene->device.close(scene->two));
  static_cast<void>(scene->foreign.close(scene->stranger));
  scene->shared = {};
  scene->far_ref = {};
  if (scene->device.buffer_count() != 0) f9.note(f9.leaked, strategy, "a buffer is left");
  scene->heaps.for_each([&](auto& zone, const HeapTraits&) {
    if (zone.stats().blocks != 0) f9.note(f9.leaked, strategy, "a block is left");
  });
}

// --- F11 ---

constexpr std::array<std::uint64_t, 12> awkward = {
    0, 1, 4095, 4096, (1ULL << 31) - 1, (1ULL << 31) + 1, (1ULL << 32) - 1, (1ULL << 32) + 1, 1ULL << 63, ~0ULL - 4095, ~0ULL - 1, ~0ULL};

// May the block be what was asked for?
bool is_right(const Block& block, Bytes base, Bytes zone_size, const Constraints& wanted) {
  const std::uint64_t first = base.value() + block.offset().value();
  const std::uint64_t last = first + (block.size().value() - 1);
  const std::uint64_t boundary = wanted.bounds.boundary.value();
  if (wanted.size == 0 || block.size() < wanted.size || block.offset() >= zone_size || block.size() > zone_size - block.offset()) return false;
  if (last < first || last > wanted.bounds.last) return false;
  if (wanted.align != 0 && first % wanted.align.value() != 0) return false;
  return boundary == 0 || first / boundary == last / boundary;
}

template <class S>
void grid(const char* strategy, Bytes base, Bytes size) {
  using Numbers = Zone<backing::OffsetSpace, S, lock::None, cache::Coherent>;
  auto zone = Numbers::create({.name = "grid", .size = size}, base);
  if (!zone) return f11.note(f11.unusable, strategy, "no zone");
  const auto whole = zone->allocate(size);  // a buddy's only where it lies at a multiple of its size
  if (whole) static_cast<void>(zone->deallocate(*whole));
  Processes platform;
  using Shared = Device<Numbers, Processes, limits, scrub::Nothing>;
  const auto device = std::make_unique<Shared>(*zone, platform, TagKey{1, 2});
  const ClientId client = *device->open();
  for (const std::uint64_t wanted_size : awkward) {
    for (const std::uint64_t align : awkward) {
      for (const std::uint64_t last : awkward) {
        for (const std::uint64_t boundary : awkward) {
          const Constraints wanted{.size = wanted_size, .align = align, .bounds = {.last = last, .boundary = boundary}};
          const auto got = device->allocate(client, wanted);
          ++f11.runs;
          if (got) {
            const auto shared = device->share(client, *got);
            if (!is_right(shared->parts().blocks[0], base, size, wanted)) f11.note(f11.corrupt, strategy, "a block that is not what was asked for");
            if (!device->free(client, *got)) f11.note(f11.unusable, strategy, "a block does not go back");
          }
        }
      }
    }
  }
  static_cast<void>(device->close(client));
  if (zone->stats().blocks != 0) f11.note(f11.leaked, strategy, "a block is left");
  if (const auto all = zone->allocate(size); static_cast<bool>(all) != static_cast<bool>(whole)) f11.note(f11.unusable, strategy, "the whole zone cannot be had");
}

template <class S>
void grids(const char* strategy) {
  grid<S>(strategy, 0, 64_KiB);
  grid<S>(strategy, 1_GiB, 1_GiB);                  // across 2^31
  grid<S>(strategy, 0xffff'8000, 64_KiB);           // across 2^32
  grid<S>(strategy, Bytes(~0ULL - 0xffff), 64_KiB);  // at the top
}

}  // namespace

int main() {
  const std::uint64_t times = environment("FREESTONE_TEST_STEPS", 1'000'000) / 4;
  misuse<strategy::Bitmap>("Bitmap", times);
  misuse<strategy::Buddy>("Buddy", times);
  misuse<strategy::BestFit>("BestFit", times);
  misuse<strategy::Segregated>("Segregated", times);
  grids<strategy::Bitmap>("Bitmap");
  grids<strategy::Buddy>("Buddy");
  grids<strategy::BestFit>("BestFit");
  grids<strategy::Segregated>("Segregated");
  const bool is_good = f9.print();
  return f11.print() && is_good ? 0 : 1;
}
