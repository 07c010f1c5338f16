// A backing decides WHERE the bytes are: how they are obtained, which addresses they have, how they are mapped and
// shared. It also says where the zone's notes lie (the map, the lock's words, the ledger), which need not be the same
// memory. Not its job: which of the bytes are whose (strategy/).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <freestone/core/address.hpp>
#include <freestone/core/cacheability.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>

namespace freestone {

// What a zone asks of a backing that can be made.
struct BackingRequest {
  const char* name = "";
  Bytes size = {};  // of the data, a multiple of the granule
  Bytes granule = {};
  std::size_t notes_words = 0;
  bool block_by_block = false;  // no range at all: memory is asked for with obtain()
};

// `shared` says that another process may hold the same bytes and notes: the zone then also writes a ledger.
template <class B>
concept has_backing_constants = requires {
  { B::shared } -> std::convertible_to<bool>;
  { B::gives(Cacheability::cached) } -> std::convertible_to<bool>;
};

// `size` is that of the data. `base` is the number of its first byte in the space that all users share: physical, a
// device's, or 0 where there is none; never a process's own mapping. `notes` are the words for the zone's own use.
template <class B>
concept has_range = requires(B& b) {
  { std::as_const(b).size() } noexcept -> std::same_as<Bytes>;
  { std::as_const(b).base() } noexcept -> std::same_as<Bytes>;
  { b.notes() } noexcept -> std::same_as<std::span<std::uint64_t>>;
};

template <class B>
concept Backing = std::movable<B> && has_backing_constants<B> && has_range<B>;

// Abilities that a backing may have; the zone offers what is there.

// It can be made from a request alone. Fails with the host's error, and leaves nothing behind.
template <class B>
concept can_create = requires(const BackingRequest& request) {
  { B::create(request) } noexcept -> std::same_as<Result<B>>;
};

// The same with more to choose than a request says: which heap, which pages.
template <class B, class Settings>
concept can_create_with = requires(const BackingRequest& request, const Settings& settings) {
  { B::create(request, settings) } noexcept -> std::same_as<Result<B>>;
};

// It has a name, under which others find it from `publish` on: called once, when a new zone's words are whole. Fails
// where the name is taken; then the new one is never seen. One that is published already is no new zone's.
template <class B>
concept can_publish = requires(B& b) {
  { b.publish() } noexcept -> std::same_as<Result<void>>;
  { std::as_const(b).published() } noexcept -> std::same_as<bool>;
};

// Another's can be taken up: `Source` names it (a file descriptor, say).
template <class B>
concept can_attach = requires(const BackingRequest& request, const typename B::Source& source) {
  { B::attach(request, source) } noexcept -> std::same_as<Result<B>>;
};

// The CPU sees the bytes: where byte `offset` of the data is. Empty where this one is not mapped.
template <class B>
concept has_cpu_pointer = requires(const B& b, Bytes offset) {
  { b.cpu_pointer(offset) } noexcept -> std::same_as<std::optional<CpuPointer>>;
};

template <class B>
concept has_physical_address = requires(const B& b, Bytes offset) {
  { b.physical_address(offset) } noexcept -> std::same_as<std::optional<PhysicalAddress>>;
};

template <class B>
concept has_device_address = requires(const B& b, Bytes offset) {
  { b.device_address(offset) } noexcept -> std::same_as<std::optional<DeviceAddress>>;
};

// Its range has gaps in which there is nothing: for_each_gap(visit) calls visit(Bytes offset, Bytes size) for each,
// lowest first. No block of the zone lies across one. `static constexpr std::size_t most_ranges` says how many ranges
// there are at most between its gaps.
template <class B>
concept has_gaps = requires(const B& b, void (*visit)(Bytes, Bytes)) { b.for_each_gap(visit); };
template <class B>
concept has_most_ranges = requires {
  { B::most_ranges } -> std::convertible_to<std::size_t>;
};

// `static constexpr Bytes most_alignment` says that addresses are aligned as their numbers are up to that power of two
// only: the zone refuses to align by what does not divide it.
template <class B>
concept has_most_alignment = requires {
  { B::most_alignment } -> std::convertible_to<Bytes>;
};

// The bytes are those of a file, from its byte `file_offset()` on.
template <class B>
concept has_file = requires(const B& b) {
  { b.fd() } noexcept -> std::same_as<int>;
  { b.file_offset() } noexcept -> std::same_as<Bytes>;
};

// The bytes can be given memory, all of it now, and can lose it again with what they hold. Whole pages: commit takes
// those that the range touches, decommit those that lie in it. What is not committed gets its memory at first touch (and
// the process a signal, where the host has none left). Fails with the host's error, and then some of it may have
// memory. Any thread may call, at once with others; ranges that share a page are the caller's matter.
template <class B>
concept can_commit = requires(B& b, Bytes offset, Bytes size) {
  { b.commit(offset, size) } noexcept -> std::same_as<Result<void>>;
  { b.decommit(offset, size) } noexcept -> std::same_as<Result<void>>;
};

// Memory block by block, for strategies that keep books only: `slot` names the block from obtain to give_back.
// Obtaining fails when the host has none, and then nothing changed. Where the block lies, the backing knows:
// `obtained`.
template <class B>
concept can_obtain = requires(B& b, std::uint64_t slot, Bytes bytes) {
  { b.obtain(slot, bytes, bytes) } noexcept -> std::same_as<Result<void>>;
  { b.give_back(slot) } noexcept -> std::same_as<void>;
  { std::as_const(b).obtained(slot) } noexcept -> std::same_as<std::optional<CpuPointer>>;
};

template <class B>
consteval bool check_backing() {
  static_assert(has_backing_constants<B>,
                "A Backing must have the constant bool shared and static constexpr bool "
                "gives(Cacheability).");
  static_assert(has_range<B>,
                "A Backing must have Bytes size() const noexcept, Bytes base() const noexcept and "
                "std::span<std::uint64_t> notes() noexcept.");
  static_assert(std::movable<B>, "A Backing must be movable: the zone keeps it.");
  static_assert(!has_gaps<B> || has_most_ranges<B>,
                "A Backing with gaps must have the constant std::size_t most_ranges: how many ranges lie between them.");
  return Backing<B>;
}

}  // namespace freestone
