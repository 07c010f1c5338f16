// The heaps of a /dev/ion, in the order in which it asks them; what each generation refuses; and how they are told of.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/bits.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/file_heap.hpp>
#include <freestone/device/ion/calls.hpp>
#include <freestone/share/client.hpp>
#include <freestone/share/device.hpp>

namespace freestone::device {

// What somebody asks /dev/ion for.
struct IonWanted {
  std::uint64_t length = 0;
  std::uint64_t align = 0;
  std::uint32_t mask = 0;   // heaps, by their ids
  std::uint32_t flags = 0;  // ion_flag
  std::uint32_t types = ~std::uint32_t{0};  // of heaps, as Qualcomm counts them: what the client may use (g1, g2)
};

// As Qualcomm counts types of heaps. (shared/spec: ION 2.1.)
constexpr unsigned msm_number(HeapType type) noexcept {
  switch (type) {
    case HeapType::iommu: return 3;
    case HeapType::cp: return 4;
    case HeapType::chunk:
    case HeapType::dma:
    case HeapType::custom: return 5;
    default: return static_cast<unsigned>(type);
  }
}

// A board's heaps as one generation has them. Any thread.
template <class D, class L>
struct IonHeaps {
  using Heap = FileHeap<D, L>;
  using Ref = typename D::Ref;
  static constexpr std::size_t record_length = 52;
  static constexpr std::size_t name_length = 32;

  D* device;
  std::span<Heap* const> heaps;  // g1, g2: with the lowest id first; g3, g4: with the highest
  std::uint32_t abi_version = 0;  // what ABI_VERSION answers; 0: mainline, which has no such command
  IonGeneration generation = IonGeneration::g4;

  // A buffer of the first heap of the mask that can. ENODEV: none is in the mask; else as the last that was asked.
  // (shared/spec: ION 1.1, 1.3; its section 7 for lengths that wrap and alignments that are none.)
  Errno allocate(ClientId client, const IonWanted& wanted, Ref& buffer) const noexcept {
    const auto size = whole_pages(wanted.length);
    if (!size) return Errno::invalid;
    Errno error = Errno::no_device;
    for (Heap* heap : heaps) {
      if (!is_asked(heap->info(), wanted)) continue;
      error = take(*heap, client, *size, wanted, buffer);
      if (error == Errno::none) break;
    }
    return error;
  }

  // A buffer's flags as its holders are told. G1 has but one, and that is how it is cached.
  std::uint32_t flags_of(const BufferInfo& info) const noexcept {
    if (generation != IonGeneration::g1) return info.flags;
    return info.cacheability == Cacheability::cached ? ion_flag::cached : 0;
  }

  // HEAP_QUERY: how many heaps there are; or the records of as many as the caller has room for, and how many that were.
  template <class C>
  Outcome<> query(C& call, IonQuery& query) const noexcept {
    if (query.reserved0 != 0 || query.reserved1 != 0 || query.reserved2 != 0) return Errno::invalid;
    const auto all = static_cast<std::uint32_t>(heaps.size());
    if (query.heaps == 0) return query.count = all, done;
    if (query.count == 0) return Errno::invalid;
    if (query.count > all) query.count = all;
    for (std::uint32_t at = 0; at < query.count; ++at) {
      const auto record = record_of(heaps[at]->info(), call.word());
      if (!call.copy_out(query.heaps + at * record_length, record)) return Errno::fault;
    }
    return done;
  }

 private:
  // What is to be secure lies in a heap of that type.
  bool is_asked(const HeapInfo& heap, const IonWanted& wanted) const noexcept {
    if (heap.id >= 32 || (wanted.mask >> heap.id & 1) == 0) return false;
    if (!is_msm(generation)) return true;
    const bool is_allowed = (wanted.types >> msm_number(heap.type) & 1) != 0;
    return is_allowed && ((wanted.flags & ion_flag::secure) == 0 || heap.type == HeapType::cp);
  }
  Errno take(Heap& heap, ClientId client, Bytes size, const IonWanted& wanted, Ref& buffer) const noexcept {
    Bytes align = {};
    if (const Errno wrong = align_in(heap.info(), size, wanted, align); wrong != Errno::none) return wrong;
    auto made = heap.allocate(client, {.size = size, .align = align, .flags = wanted.flags, .seen = seen(wanted.flags)});
    if (!made) return errno_of(made.error().code);
    buffer = *std::move(made);
    return Errno::none;
  }

  // How CPUs see it until somebody says otherwise. In G1 nobody says so here: a buffer has no attribute yet, which reads
  // as not cached.
  std::optional<Cacheability> seen(std::uint32_t flags) const noexcept {
    if (generation == IonGeneration::g4) return std::nullopt;
    const bool is_cached = generation != IonGeneration::g1 && (flags & ion_flag::cached) != 0;
    return is_cached ? Cacheability::cached : Cacheability::uncached;
  }

  // What the zone is to be asked for.
  Errno align_in(const HeapInfo& heap, Bytes size, const IonWanted& wanted, Bytes& align) const noexcept {
    if (generation == IonGeneration::g4) return Errno::none;
    if (is_msm(generation)) {
      const bool is_placed = heap.type == HeapType::carveout || heap.type == HeapType::cp;
      if (!is_placed || wanted.align == 0) return Errno::none;
      align = wanted.align;
      return bits::is_power_of_two(wanted.align) ? Errno::none : Errno::invalid;
    }
    if (heap.type == HeapType::dma && (wanted.flags & ion_flag::cached) != 0) return Errno::invalid;
    return wanted.align <= most_align(heap, size) ? Errno::none : Errno::invalid;
  }
  // Each block of the heap is aligned so, without being asked. (Of what is longer than 2^63 it has none: any answer will do.)
  static std::uint64_t most_align(const HeapInfo& heap, Bytes size) noexcept {
    const unsigned order = bits::ceil_log2(size.value());
    switch (heap.type) {
      case HeapType::system_contig: return std::uint64_t{1} << (order < 64 ? order : 63);
      case HeapType::chunk: return heap.granule.value();
      default: return page_size.value();
    }
  }

  static std::array<std::byte, record_length> record_of(const HeapInfo& heap, WordSize word) noexcept {
    std::array<std::byte, record_length> record{};
    for (std::size_t at = 0; at + 1 < name_length && heap.name[at] != '\0'; ++at)
      record[at] = static_cast<std::byte>(heap.name[at]);
    IonHeapRecordWire::write({.type = static_cast<std::uint32_t>(heap.type), .id = heap.id},
                             std::span(record).subspan(name_length), word);
    return record;
  }
};

}  // namespace freestone::device
