// What a kernel or a board would compile: every header that needs no operating system, and the zones that need nothing but
// memory that somebody lends. Its object says what the library asks of the outside.
#include <all_headers.hpp>

namespace freestone {

// A zone that other processes hold too, so that it keeps a ledger.
struct SharedWords : backing::Borrowed {
  using Borrowed::Borrowed;
  static constexpr bool shared = true;
};

struct Ranges : backing::Scattered<backing::Borrowed, 2> {
  Ranges(std::span<std::byte> data, std::span<std::uint64_t> notes) noexcept
      : Scattered(*of(backing::Borrowed(data.first(data.size() / 2), notes),
                      backing::Borrowed(data.subspan(data.size() / 2), {}))) {}
};

template class strategy::Ledger<>;
template class WordClaim<CompilerAtomics>;

template <class Z>
bool use_abilities(Z& zone, std::span<std::uint64_t> words) {
  using S = typename Z::Strategy;
  if constexpr (can_place_at<S>) {
    const auto block = zone.allocate_at(zone.granule(), 1);
    if (!block) return false;
    if constexpr (can_take_any_extent<S>) {
      if (!zone.reserve(0, 1, [](const Block&) {})) return false;
    }
    if constexpr (can_resize<S>) {
      if (!zone.resize(*block, zone.size())) return false;
    }
  }
  if constexpr (!Z::Backing::shared) {
    if constexpr (can_grow<S>) {
      if (!zone.shrink(zone.granule()) || !zone.grow(zone.granule())) return false;
    }
    std::uint64_t changes = 0;
    const auto count = [&](const Block&, strategy::Change) { ++changes; };
    if (!zone.snapshot(words) || !zone.diff(words, count) || !zone.restore(words)) return false;
    return changes == 0 && zone.snapshot_words() != 0;
  }
  return true;
}

template <class Z>
bool use(std::span<std::byte> data, std::span<std::uint64_t> notes, const Request& request) {
  auto zone = Z::create({.name = "board"}, typename Z::Backing(data, notes));
  if (!zone) return false;
  const auto block = zone->allocate_owned(request);
  bool maintained = true;
  zone->for_each_block([&](const Block& live) {
    maintained = zone->clean(live) && zone->invalidate(live) && zone->cpu_write(live) && maintained;
  });
  if (!maintained) return false;
  if (!block || !zone->owns(**block) || zone->data(**block).empty() || zone->stats().blocks == 0) return false;
  Block parts[4];
  if constexpr (can_place_part<typename Z::Strategy>) {
    if (!zone->allocate_list(request, parts)) return false;
  }
  if constexpr (can_place_high<typename Z::Strategy>) {
    if (!zone->allocate_high(request)) return false;
  }
  if (!use_abilities(*zone, notes)) return false;
  if constexpr (Z::Backing::shared) zone->recover([](std::uint8_t owner) { return owner != 0; });
  return bool(Z::attach({.name = "again"}, typename Z::Backing(data, notes)));
}

bool use_layers(std::span<std::byte> data, std::span<std::uint64_t> notes, const Request& request) {
  using Bare = Zone<backing::Borrowed, strategy::Bitmap, lock::Spin, cache::Coherent>;
  using Guarded = layers::Canaries<layers::Quarantine<layers::Scrub<layers::FaultInjection<Bare>>, 8>>;
  using Counted = layers::Statistics<layers::Limit<Guarded, 1, 16>, 2, 16>;
  static std::array<Event, 8> events;
  auto zone = layers::Recorder<Counted>::create({.name = "board"}, std::span(events), layers::LimitSettings{},
                                                layers::CanarySettings{.secret = 1}, layers::QuarantineSettings{},
                                                layers::ScrubSettings{}, backing::Borrowed(data, notes));
  if (!zone) return false;
  const auto block = zone->allocate(request);
  return block && zone->deallocate(*block) && zone->take(events).size() == 2;
}

template <class Strategy, class Lock, class Cache>
bool use_zones(std::span<std::byte> data, std::span<std::uint64_t> notes, const Request& request) {
  return use<Zone<backing::Borrowed, Strategy, Lock, Cache>>(data, notes, request) &&
         use<Zone<SharedWords, Strategy, Lock, Cache>>(data, notes, request);
}

template <class Strategy>
bool use_policies(std::span<std::byte> data, std::span<std::uint64_t> notes, const Request& request) {
  return use_zones<Strategy, lock::None, cache::Coherent>(data, notes, request) &&
         use_zones<Strategy, lock::TicketSpin, cache::Uncached>(data, notes, request);
}

// Several heaps, and one of their zones behind a border.
bool use_heaps(std::span<std::byte> data, std::span<std::uint64_t> notes, const Request& request) {
  using namespace declare;
  using Window = Zone<backing::Reserved, strategy::Bitmap, lock::Spin, cache::Coherent>;
  using Words = Zone<backing::Borrowed, strategy::BestFit, lock::None, cache::Coherent>;
  constexpr auto board = heaps(order::DescendingId(),  //
                               heap<"window">(id<1>, zone<Window>, declare::size<64_KiB>, base<0x8000'0000>),
                               heap<"words">(id<2>, zone<Words>, declare::size<4_KiB>, granule<64>, reserve<1_KiB>));
  const backing::Reserved::Window window{.physical = PhysicalAddress(0x8000'0000), .size = 64_KiB};
  auto all = board.create(with<"window">(backing::Reserved(window, notes.first(notes.size() / 2))),
                          with<"words">(backing::Borrowed(data, notes.subspan(notes.size() / 2))));
  if (!all) return false;
  const auto block = all->allocate({.size = request.size, .align = request.align, .bounds = {.last = 0x8000'8000}});
  const ZoneRef behind = all->zone<"words">();
  return block && all->find(PhysicalAddress(0x8000'0010)) && all->deallocate(*block) && behind.allocate(request);
}

// Blocks that wait for fences, and blocks that are kept.
bool use_fences(std::span<std::byte> data, std::span<std::uint64_t> notes, const Request& request) {
  using Z = Zone<backing::Borrowed, strategy::Bitmap, lock::Spin, cache::Coherent>;
  using Kept = ReuseCache<Z, BlockSizes<4096, 65536>, 8, scrub::Zero, lock::Spin>;
  auto zone = Z::create({.name = "board"}, backing::Borrowed(data, notes));
  if (!zone) return false;
  Kept kept(*zone);
  Timeline<lock::Spin> timeline;
  Epoch<4> epoch;
  Deferred<Kept, Timeline<lock::Spin>::Fence, 8, lock::Spin> after_device(kept);
  Deferred<Z, Epoch<4>::Fence, 8> after_readers(*zone);
  const auto block = after_device.allocate(request);
  const auto other = after_readers.allocate(request);
  auto reader = epoch.join();
  if (!block || !other || !reader) return false;
  const auto stay = reader->stay();
  if (!after_device.deallocate_after(*block, timeline.at(timeline.raise() + 1))) return false;
  if (!after_readers.deallocate_after(*other, epoch.fence())) return false;
  after_device.drain([&]() noexcept { return timeline.raise() != 0; });
  return after_readers.pending().blocks == 1 && DeviceTimeline<>(notes.data()).at(1).has_signalled();
}

}  // namespace freestone

extern "C" bool use_freestone(std::byte* data, std::uint64_t* notes, std::size_t size, const freestone::Request& request) {
  using namespace freestone;
  return use_policies<strategy::Bitmap>({data, size}, {notes, size}, request) &&
         use_policies<strategy::Buddy>({data, size}, {notes, size}, request) &&
         use_policies<strategy::TrimmedBuddy>({data, size}, {notes, size}, request) &&
         use_policies<strategy::OrderList<strategy::Buddy, 8, 4, 0>>({data, size}, {notes, size}, request) &&
         use_policies<strategy::Segregated>({data, size}, {notes, size}, request) &&
         use_policies<strategy::BestFit>({data, size}, {notes, size}, request) &&
         use_policies<strategy::BestFitMmz>({data, size}, {notes, size}, request) &&
         use_policies<strategy::Elastic<strategy::Bitmap>>({data, size}, {notes, size}, request) &&
         use_zones<strategy::Bitmap, lock::Spin, cache::Coherent>({data, size}, {notes, size}, request) &&
         use<Zone<Ranges, strategy::Bitmap, lock::None, cache::Coherent>>({data, size}, {notes, size}, request) &&
         use_layers({data, size}, {notes, size}, request) && use_heaps({data, size}, {notes, size}, request) &&
         use_fences({data, size}, {notes, size}, request) &&
         use_policies<strategy::AllOrNothing>({data, size}, {notes, size}, request) &&
         layers::EqualBlocks{request.align}(request.size) < layers::PowerOfTwoSizes()(request.size);
}
