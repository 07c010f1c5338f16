// A zone with no lock, no cache policy's work and no ledger, and what one would write by hand in its place. The
// functions below are what bare_zone.py counts the instructions of; they must also give the same results.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>

#include <freestone/backing/borrowed.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/zone/zone.hpp>

#include "bare_zone_stub.hpp"

namespace freestone::shape {

using BareZone = Zone<backing::Borrowed, StubStrategy, lock::None, cache::Coherent>;

struct HandWritten {
  backing::Borrowed memory;
  StubStrategy strategy;
  std::uint64_t capacity;  // granules
  unsigned granule_log2;
  std::uint32_t tag;
  const char* name;

  Error fail(ErrorCode code, std::uint64_t asked, std::uint64_t available) const {
    return {.code = code, .asked = asked, .available = available, .zone = name};
  }

  [[gnu::cold, gnu::noinline]] Error wrong_argument(std::uint64_t size, std::uint64_t align) const {
    const std::uint64_t bytes = capacity << granule_log2;
    if (size == 0) return fail(ErrorCode::zero_size, 0, 0);
    if ((align & (align - 1)) != 0) return fail(ErrorCode::alignment_not_power_of_two, align, 0);
    if (size > ~((std::uint64_t{1} << granule_log2) - 1)) return fail(ErrorCode::size_overflow, size, bytes);
    if (size > bytes) return fail(ErrorCode::size_beyond_zone, size, bytes);
    return fail(ErrorCode::alignment_beyond_zone, align, bytes);
  }

  Result<Block> allocate(const Request& request) {
    const std::uint64_t size = request.size.value();
    const std::uint64_t align = request.align.value();
    const std::uint64_t rest = size & ((std::uint64_t{1} << granule_log2) - 1);
    const std::uint64_t count = (size >> granule_log2) + (rest != 0);
    const std::uint64_t align_granules = align >> granule_log2;
    if (count - 1 >= capacity || (align & (align - 1)) != 0 || align_granules > capacity) [[unlikely]] {
      return wrong_argument(size, align);
    }
    const auto extent = strategy.place(Granules(count), Granules(align_granules == 0 ? 1 : align_granules));
    if (!extent) return fail(ErrorCode::no_space, size, strategy.free_granules().value() << granule_log2);
    return Block(extent->first.value() << granule_log2, extent->count.value() << granule_log2, tag);
  }

  Result<void> deallocate(const Block& block) {
    const std::uint64_t offset = block.offset().value();
    if (block.zone_tag() != tag) [[unlikely]]
      return fail(ErrorCode::foreign_block, offset, 0);
    if ((offset & ((std::uint64_t{1} << granule_log2) - 1)) != 0) [[unlikely]] {
      return fail(offset >> granule_log2 >= capacity ? ErrorCode::foreign_block : ErrorCode::double_release, offset, 0);
    }
    switch (strategy.release(Granules(offset >> granule_log2)).fault) {
      [[likely]] case ReleaseFault::none : return {};
      case ReleaseFault::inner: return fail(ErrorCode::inner_release, offset, 0);
      case ReleaseFault::outside: return fail(ErrorCode::foreign_block, offset, 0);
      default: return fail(ErrorCode::double_release, offset, 0);
    }
  }
};

static_assert(sizeof(BareZone) == sizeof(HandWritten), "no lock, no cache policy and no ledger take no byte");

}  // namespace freestone::shape

using freestone::shape::BareZone;
using freestone::shape::HandWritten;
using BlockResult = freestone::Result<freestone::Block>;

// One call each, alike from outside.
[[gnu::noinline]] BlockResult zone_allocate(BareZone& zone, const freestone::Request& request) {
  return zone.allocate(request);
}
[[gnu::noinline]] BlockResult hand_allocate(HandWritten& hand, const freestone::Request& request) {
  return hand.allocate(request);
}
[[gnu::noinline]] freestone::Result<void> zone_deallocate(BareZone& zone, const freestone::Block& block) {
  return zone.deallocate(block);
}
[[gnu::noinline]] freestone::Result<void> hand_deallocate(HandWritten& hand, const freestone::Block& block) {
  return hand.deallocate(block);
}
// A bracket and, by hand, what it is a bracket round.
[[gnu::noinline]] bool zone_write(BareZone& zone, const freestone::Block& block) {
  auto write = zone.cpu_write(block);
  if (!write) return false;
  write->bytes()[0] = std::byte{1};
  return true;
}
[[gnu::noinline]] bool hand_write(BareZone& zone, const freestone::Block& block) {
  const auto bytes = zone.data(block);
  if (bytes.empty()) return false;
  bytes[0] = std::byte{1};
  return true;
}

namespace freestone::shape {
namespace {

// One zone and one twin, called alike.
class Pair {
 public:
  Pair() : zone_(*BareZone::create({.name = "bare", .granule = 4_KiB}, memory())), hand_(twin()) {}

  bool allocates_alike(const Request& request) {
    const auto a = zone_allocate(zone_, request);
    const auto b = hand_allocate(hand_, request);
    return a ? b && *a == *b : !b && a.error() == b.error();
  }
  bool deallocates_alike(const Block& block) {
    return zone_deallocate(zone_, block).error() == hand_deallocate(hand_, block).error();
  }
  bool writes_alike(const Block& block) { return zone_write(zone_, block) == hand_write(zone_, block); }
  Block block_at(Bytes offset) const { return {offset, 4_KiB, zone_.tag()}; }
  Block foreign_block() const { return {4_KiB, 4_KiB, zone_.tag() + 1}; }

 private:
  backing::Borrowed memory() {
    static std::array<std::byte, 1 << 20> bytes;
    return backing::Borrowed(bytes, notes_, 0);
  }
  HandWritten twin() { return {memory(), StubStrategy(notes_), 256, 12, zone_.tag(), zone_.name()}; }

  std::array<std::uint64_t, 16> notes_{};
  BareZone zone_;
  HandWritten hand_;
};

constexpr Request good_request{.size = 9000, .align = 8192};
constexpr std::uint64_t sizes[] = {0, 1, 9 << 12, 2 << 20, ~std::uint64_t{0}};
constexpr std::uint64_t aligns[] = {0, 1, 3, 4096, 1 << 20, 1 << 30};
constexpr std::uint64_t offsets[] = {0, 1, 4096, 1 << 21, (1 << 21) + 1};

bool everything_is_alike() {
  Pair pair;
  bool alike = pair.deallocates_alike(pair.foreign_block()) && pair.writes_alike(pair.foreign_block());
  for (const std::uint64_t size : sizes) {
    for (const std::uint64_t align : aligns) alike &= pair.allocates_alike({.size = size, .align = align});
  }
  for (const std::uint64_t offset : offsets) alike &= pair.deallocates_alike(pair.block_at(offset));
  return alike;
}

bool successes_are_alike(int calls) {
  Pair pair;
  bool alike = true;
  for (int i = 0; i < calls; ++i)
    alike &= pair.allocates_alike(good_request) && pair.deallocates_alike(pair.block_at(4096)) &&
             pair.writes_alike(pair.block_at(4096));
  return alike;
}

}  // namespace
}  // namespace freestone::shape

// bare_zone [CALLS]: with a number, that many calls of each kind that succeed, and no others.
int main(int argc, char** argv) {
  const bool alike =
      argc < 2 ? freestone::shape::everything_is_alike() : freestone::shape::successes_are_alike(std::atoi(argv[1]));
  return alike ? 0 : 1;
}
