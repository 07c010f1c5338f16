// What holds for every backing that can be made from a request.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include <freestone/backing/concept.hpp>

namespace freestone::laws {

inline constexpr BackingRequest a_request{.name = "law", .size = 64 * 4096, .granule = 4096, .notes_words = 300};
inline constexpr BackingRequest a_request_of_blocks{
    .name = "law", .size = 64 * 4096, .granule = 4096, .notes_words = 300, .block_by_block = true};

template <class B>
void fill_notes(B& backing) {
  for (std::uint64_t i = 0; i < backing.notes().size(); ++i) backing.notes()[static_cast<std::size_t>(i)] = i * i;
}
template <class B>
bool notes_are_kept(B& backing) {
  for (std::uint64_t i = 0; i < backing.notes().size(); ++i) {
    if (backing.notes()[static_cast<std::size_t>(i)] != i * i) return false;
  }
  return true;
}

// At least the bytes and words that were asked for, the words aligned, the base a multiple of the granule.
struct GivesWhatWasAsked {
  template <class B>
  static bool holds() {
    auto backing = B::create(a_request);
    if (!backing) return false;
    const std::uint64_t base = backing->base().value();
    return backing->size() >= a_request.size && base % a_request.granule.value() == 0 &&
           backing->size().value() - 1 <= ~base && backing->notes().size() >= a_request.notes_words &&
           reinterpret_cast<std::uintptr_t>(backing->notes().data()) % 8 == 0;
  }
};

// Every byte is memory of its own, in the order of its offset, and none of it is a note.
struct DataAndNotesLieApart {
  template <class B>
  static bool holds() {
    auto backing = B::create(a_request);
    if (!backing) return false;
    fill_notes(*backing);
    if constexpr (has_cpu_pointer<B>) {
      const auto first = backing->cpu_pointer(0);
      for (const std::uint64_t offset : {std::uint64_t{1}, a_request.granule.value(), a_request.size.value() - 1}) {
        if (first && backing->cpu_pointer(offset) != *first + offset) return false;
      }
      if (first) std::memset(*first, 0xFF, static_cast<std::size_t>(a_request.size.value()));
    }
    return notes_are_kept(*backing);
  }
};

// A move takes everything along, and the one moved from may go.
struct AMoveTakesEverything {
  template <class B>
  static bool holds() {
    auto made = B::create(a_request);
    if (!made) return false;
    const Bytes size = made->size();
    const Bytes base = made->base();
    fill_notes(*made);
    B moved = *std::move(made);
    auto other = B::create(a_request);
    if (!other) return false;
    *other = std::move(moved);
    return other->size() == size && other->base() == base && notes_are_kept(*other);
  }
};

// Two that were made share nothing.
struct TwoShareNothing {
  template <class B>
  static bool holds() {
    auto one = B::create(a_request);
    auto two = B::create(a_request);
    if (!one || !two) return false;
    fill_notes(*one);
    std::fill(two->notes().begin(), two->notes().end(), 0U);
    return notes_are_kept(*one);
  }
};

// Blocks come aligned and apart, and are gone when given back.
struct BlocksAreObtainedOneByOne {
  template <class B>
  static bool holds() {
    if constexpr (can_obtain<B>) {
      auto backing = B::create(a_request_of_blocks);
      return backing && holds_on(*backing);
    }
    return true;
  }

 private:
  template <class B>
  static bool holds_on(B& backing) {
    constexpr std::uint64_t slots = 4;
    for (std::uint64_t slot = 0; slot < slots; ++slot) {
      const std::uint64_t align = std::uint64_t{4096} << slot;
      if (backing.obtained(slot) || !backing.obtain(slot, 4096 * (slot + 1), align)) return false;
      const auto pointer = backing.obtained(slot);
      if (!pointer || reinterpret_cast<std::uintptr_t>(*pointer) % align != 0) return false;
      for (std::uint64_t other = 0; other < slot; ++other) {
        if (backing.obtained(other) == pointer) return false;
      }
      std::memset(*pointer, static_cast<int>(slot + 1), static_cast<std::size_t>(4096 * (slot + 1)));
    }
    backing.give_back(1);
    if (backing.obtained(1)) return false;
    for (const std::uint64_t slot : {0U, 2U, 3U}) {
      const auto* first = *backing.obtained(slot);
      const auto* end = first + 4096 * (slot + 1);
      if (std::count(first, end, static_cast<std::byte>(slot + 1)) != end - first) return false;
    }
    return backing.obtain(1, 4096, 0) && backing.obtained(1);
  }
};

// Committing changes no byte; decommitting empties whole pages and no others, and they may be used again.
struct MemoryComesAndGoes {
  template <class B>
  static bool holds() {
    if constexpr (can_commit<B> && has_cpu_pointer<B>) {
      auto backing = B::create(a_request);
      return backing && (!backing->cpu_pointer(0) || holds_on(*backing));
    }
    return true;
  }

 private:
  template <class B>
  static bool holds_on(B& backing) {
    const auto half = static_cast<std::size_t>(a_request.size.value() / 2);
    std::byte* start = *backing.cpu_pointer(0);
    std::memset(start, 0x5A, 2 * half);
    if (!backing.commit(0, 0) || !backing.decommit(4096, 0)) return false;
    if (!backing.commit(1, a_request.size - 2) || all(start, 2 * half, 0x5A) == false) return false;
    if (!backing.decommit(0, half) || !all(start, half, 0) || !all(start + half, half, 0x5A)) return false;
    std::memset(start, 0x33, half);
    return backing.decommit(1, 2) && all(start, half, 0x33) && backing.commit(0, half);
  }
  static bool all(const std::byte* start, std::size_t bytes, int value) {
    return std::count(start, start + bytes, static_cast<std::byte>(value)) == static_cast<std::ptrdiff_t>(bytes);
  }
};

// Nobody sees it before it is published; then everybody does, and it is the only one of that name.
struct AppearsOnce {
  template <class B>
  static bool holds() {
    if constexpr (can_publish<B> && can_attach<B>) {
      const bool right = appears_once<B>();
      return B::remove(a_request.name) && right;
    }
    return true;
  }

 private:
  template <class B>
  static bool appears_once() {
    const auto code_of = [](const auto& result) { return result ? ErrorCode::none : result.error().code; };
    auto one = B::create(a_request);
    auto two = B::create(a_request);
    if (!one || !two || one->published()) return false;
    if (code_of(B::attach(a_request, {})) != ErrorCode::no_device) return false;
    if (!one->publish() || !one->published() || code_of(two->publish()) != ErrorCode::exists) return false;
    fill_notes(*one);
    auto other = B::attach(a_request, {});
    return other && other->published() && other->size() == a_request.size && notes_are_kept(*other) &&
           !two->published();
  }
};

// What the CPU writes is what another mapping of the file shows.
struct TheFileHoldsTheBytes {
  template <class B>
  static bool holds() {
    if constexpr (has_file<B> && has_cpu_pointer<B>) {
      auto backing = B::create(a_request);
      if (!backing) return false;
      **backing->cpu_pointer(5000) = std::byte{42};
      const auto from = static_cast<off_t>(backing->file_offset().value());
      const auto bytes = static_cast<std::size_t>(a_request.size.value());
      void* seen = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, backing->fd(), from);
      if (seen == MAP_FAILED) return false;
      const bool found = static_cast<const std::byte*>(seen)[5000] == std::byte{42};
      munmap(seen, bytes);
      return found;
    }
    return true;
  }
};

}  // namespace freestone::laws
