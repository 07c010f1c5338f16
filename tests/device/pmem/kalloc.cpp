// pmem_kalloc and pmem_kfree, over the kernel's two arenas (shared/spec: PMEM 1.6, row 24).
#include <freestone/device/pmem/kalloc.hpp>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/backing/offset_space.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/from_start.hpp>
#include <freestone/zone/zone.hpp>

using namespace freestone;
using namespace freestone::device;

namespace {

using Arenas = PmemArenas<lock::Futex>;
constexpr std::uint32_t ebi1 = pmem_kernel::ebi1, smi = pmem_kernel::smi, align_4k = pmem_kernel::align_4k, align_1m = pmem_kernel::align_1m;
constexpr std::uint64_t low = 0x4000'0000, other = 0x1000'0000, high = 0x8000'0000;

template <class S>
struct Memory {
  using Z = Zone<backing::OffsetSpace, S, lock::Futex, cache::Coherent>;
  Memory(std::uint64_t base, Bytes size, Bytes quantum = 4096) : zone(make(base, size, quantum)), base(base), quantum(quantum) {}
  static Z make(std::uint64_t base, Bytes size, Bytes quantum) {
    auto backing = backing::OffsetSpace::create(
        {.name = "arena", .size = size, .granule = quantum, .notes_words = Z::notes_words(size, quantum)}, base);
    return std::move(*Z::create({.name = "arena", .size = size, .granule = quantum}, std::move(*backing)));
  }
  PmemArena arena(PmemAllocator allocator) { return {.zone = ZoneRef(zone), .base = PhysicalAddress(base), .allocator = allocator, .quantum = quantum}; }
  bool is_free() { return zone.stats().blocks == 0; }

  Z zone;
  std::uint64_t base;
  Bytes quantum;
};
using Bitmap = Memory<strategy::Bitmap>;
using Buddy = Memory<strategy::FromStart<strategy::Buddy>>;
using Whole = Memory<strategy::AllOrNothing>;

Answer at(std::uint64_t address) { return Answer(static_cast<std::int64_t>(address)); }

}  // namespace

TEST_CASE("arenas: the two that there are, each once") {
  Bitmap memory(low, 1_MiB);
  Arenas arenas;
  for (const std::uint32_t none : {0U, 3U, 4U, 7U, 9U}) CHECK(arenas.add(none, memory.arena(PmemAllocator::bitmap)) == Errno::invalid);
  CHECK(arenas.add(ebi1, memory.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(arenas.add(ebi1, memory.arena(PmemAllocator::bitmap)) == Errno::exists);
}

TEST_CASE("row 24: kalloc's checks in their order") {
  Bitmap memory(low, 1_MiB);
  Arenas arenas;
  CHECK(arenas.kalloc(4096, align_4k | ebi1) == Errno::invalid);  // none is registered
  CHECK(arenas.add(smi, {}) == Errno::none);
  for (const std::uint32_t wrong : {0U, align_4k | align_1m}) CHECK(arenas.kalloc(4096, wrong | smi) == Errno::invalid);
  CHECK(arenas.kalloc(4096, align_4k | smi) == Errno::no_memory);  // it has no allocator
  CHECK(arenas.add(ebi1, memory.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(arenas.kalloc(4096, align_4k | smi) == Errno::no_memory);  // and another's is not asked then
  for (const std::uint32_t none : {0U, 3U, 4U, 7U}) CHECK(arenas.kalloc(4096, align_4k | none) == Errno::invalid);
  CHECK(arenas.kalloc(0, align_4k | ebi1) == Errno::no_memory);
  CHECK(arenas.kalloc(~std::uint64_t{0}, align_4k | ebi1) == Errno::no_memory);
  CHECK(arenas.kalloc((1 << 20) + 1, align_4k | ebi1) == Errno::no_memory);
  CHECK(memory.is_free());
  CHECK(arenas.kalloc(1 << 20, align_4k | ebi1) == at(low));
}

TEST_CASE("row 24: addresses are aligned at 4 KiB or 1 MiB, physically, wherever the arena begins") {
  Bitmap memory(low + 0x3000, 4_MiB);
  Arenas arenas;
  CHECK(arenas.add(ebi1, memory.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(arenas.kalloc(1, align_4k | ebi1) == at(low + 0x3000));
  CHECK(arenas.kalloc(4097, align_1m | ebi1) == at(low + 0x10'0000));
  CHECK(arenas.kalloc(1, align_1m | ebi1) == at(low + 0x20'0000));
  CHECK(arenas.kalloc(1, align_1m | ebi1) == at(low + 0x30'0000));
  CHECK(arenas.kalloc(1 << 20, align_1m | ebi1) == Errno::no_memory);
  CHECK(arenas.kalloc(4096, align_4k | ebi1) == at(low + 0x4000));

  Buddy buddy(other + 0x3000, 4_MiB);  // whose places count from its own start
  Arenas second;
  CHECK(second.add(smi, buddy.arena(PmemAllocator::buddy)) == Errno::none);
  CHECK(second.add(ebi1, memory.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(arenas.kfree(low + 0x10'0000) == Errno::none);
  CHECK(second.kalloc(4096, align_1m | smi) == at(low + 0x10'0000));
  CHECK(buddy.is_free());
  CHECK(second.kalloc(4096, align_4k | smi) == at(other + 0x3000));
}

TEST_CASE("row 24: where smi has no room, ebi1 is asked, once; where there is none, EINVAL; ebi1 has nobody else") {
  Bitmap first(other, 16_KiB), second(low, 16_KiB);
  Arenas arenas;
  CHECK(arenas.add(smi, first.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(arenas.kalloc(32 << 10, align_4k | smi) == Errno::invalid);
  CHECK(arenas.add(ebi1, second.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(arenas.kalloc(12 << 10, align_4k | smi) == at(other));
  CHECK(arenas.kalloc(12 << 10, align_4k | smi) == at(low));
  CHECK(arenas.kalloc(12 << 10, align_4k | smi) == Errno::no_memory);
  CHECK(arenas.kalloc(4096, align_4k | smi) == at(other + (12 << 10)));
  CHECK(arenas.kalloc(4096, align_4k | ebi1) == at(low + (12 << 10)));
  CHECK(arenas.kalloc(4096, align_4k | ebi1) == Errno::no_memory);
  CHECK(arenas.kfree(other) == Errno::none);
  CHECK(arenas.kalloc(4096, align_4k | ebi1) == Errno::no_memory);  // there would be room in smi
  CHECK(arenas.kalloc(4096, align_4k | smi) == at(other));

  Arenas empty;
  CHECK(empty.add(smi, first.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(empty.add(ebi1, {}) == Errno::none);
  CHECK(empty.kalloc(32 << 10, align_4k | smi) == Errno::no_memory);
}

TEST_CASE("row 24: kfree: of a bitmap or a buddy any byte of a block's first quantum, and no other") {
  Bitmap bitmap(other, 1_MiB, 16_KiB);
  Buddy buddy(low, 1_MiB, 16_KiB);
  Arenas arenas;
  CHECK(arenas.add(smi, bitmap.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(arenas.add(ebi1, buddy.arena(PmemAllocator::buddy)) == Errno::none);
  for (const std::uint32_t kind : {smi, ebi1}) {
    const std::uint64_t base = kind == smi ? other : low;
    for (const std::uint64_t inner : {0U, 1U, 4096U, (16U << 10) - 1}) {
      CHECK(arenas.kalloc(32 << 10, align_4k | kind) == at(base));
      CHECK(arenas.kfree(base + (16 << 10)) == Errno::invalid);
      CHECK(arenas.kfree(base + (32 << 10)) == Errno::invalid);
      CHECK(arenas.kfree(base + inner) == Errno::none);
      CHECK(arenas.kfree(base + inner) == Errno::invalid);
    }
    CHECK(arenas.kfree(base - 1) == Errno::invalid);
    CHECK(arenas.kfree(base + (1 << 20)) == Errno::invalid);
  }
  for (const std::uint64_t none : {std::uint64_t{0}, ~std::uint64_t{0}}) CHECK(arenas.kfree(none) == Errno::invalid);
  CHECK(bitmap.is_free());
  CHECK(buddy.is_free());
}

TEST_CASE("row 24: all or nothing: the arena's first byte, and only that goes back") {
  Whole memory(low, 1_MiB);
  Arenas arenas;
  CHECK(arenas.add(ebi1, memory.arena(PmemAllocator::all_or_nothing)) == Errno::none);
  CHECK(arenas.kalloc(0, align_4k | ebi1) == Errno::no_memory);
  CHECK(arenas.kalloc(5000, align_1m | ebi1) == at(low));
  CHECK(arenas.kalloc(4096, align_4k | ebi1) == Errno::no_memory);
  for (const std::uint64_t inner : {1U, 4095U, 4096U}) CHECK(arenas.kfree(low + inner) == Errno::invalid);
  CHECK(arenas.kfree(low) == Errno::none);
  CHECK(arenas.kfree(low) == Errno::invalid);
  CHECK(arenas.kalloc(1 << 20, align_4k | ebi1) == at(low));
}

TEST_CASE("addresses from 2 GiB on are no errors; where an int is to hold them they are not given, and nothing is taken") {
  Bitmap memory(high - 0x2000, 1_MiB), beyond(std::uint64_t{1} << 33, 1_MiB);
  Arenas arenas;
  CHECK(arenas.add(ebi1, memory.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(arenas.add(smi, beyond.arena(PmemAllocator::bitmap)) == Errno::none);
  CHECK(kalloc_int32(arenas, 0x3000, align_4k | ebi1) == -12);  // its last bytes are too high
  CHECK(memory.is_free());
  CHECK(kalloc_int32(arenas, 0x1000, align_4k | ebi1) == static_cast<std::int32_t>(high - 0x2000));
  CHECK(kalloc_int32(arenas, 0x1000, align_4k | smi) == static_cast<std::int32_t>(high - 0x1000));  // ebi1's, in its stead
  CHECK(kalloc_int32(arenas, 0x1000, align_4k | ebi1) == -12);
  CHECK(kalloc_int32(arenas, 0x1000, align_4k | smi) == -12);
  CHECK(kalloc_int32(arenas, 0x1000, 0) == -22);
  CHECK(beyond.is_free());
  CHECK(memory.zone.stats().blocks == 2);
  const Answer told = arenas.kalloc(0x1000, align_4k | ebi1), far = arenas.kalloc(0x1000, align_4k | smi);
  CHECK(!told.is_error());
  CHECK(told == at(high));
  CHECK(far == at(std::uint64_t{1} << 33));
  CHECK(arenas.kfree(high) == Errno::none);
  CHECK(arenas.kfree(std::uint64_t{1} << 33) == Errno::none);
}

TEST_CASE("threads that take and give back: nobody's block is another's, and each is freed once") {
  Bitmap first(other, 64_KiB);
  Buddy second(low, 64_KiB);
  Arenas arenas;
  REQUIRE(arenas.add(smi, first.arena(PmemAllocator::bitmap)) == Errno::none);
  REQUIRE(arenas.add(ebi1, second.arena(PmemAllocator::buddy)) == Errno::none);
  std::atomic<int> freed = 0, made = 0;
  std::atomic<std::int64_t> last = 0;  // what two may free at once
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const Answer answer = arenas.kalloc(8192, align_4k | (i % 2 == 0 ? smi : ebi1));
        if (!answer.is_error()) ++made, last = answer.value();
        freed += arenas.kfree(static_cast<std::uint64_t>(last.load())) == Errno::none;
      }
    });
  }
  for (std::thread& one : threads) one.join();
  for (std::uint64_t at = 0; at < 65536; at += 4096) {
    freed += arenas.kfree(other + at) == Errno::none;
    freed += arenas.kfree(low + at) == Errno::none;
  }
  CHECK(made == freed);
  CHECK(first.is_free());
  CHECK(second.is_free());
}
