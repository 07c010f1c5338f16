// Bytes that are a layer's for a moment: filled with a pattern, and looked at again. Where an Annotated further out
// said that nobody may touch them, ASan and MSan are told to look away here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <freestone/backing/concept.hpp>
#include <freestone/core/block.hpp>
#include <freestone/core/result.hpp>
#include <freestone/core/unwatched.hpp>

#if defined(__has_feature)
#define FREESTONE_STORES_ARE_SEEN (__has_feature(memory_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_THREAD__)
#define FREESTONE_STORES_ARE_SEEN 1
#else
#define FREESTONE_STORES_ARE_SEEN 0
#endif
#if defined(__x86_64__) && !FREESTONE_STORES_ARE_SEEN
#define FREESTONE_STORES_MANY 1
#else
#define FREESTONE_STORES_MANY 0
#endif

namespace freestone::layers {

// Does the CPU see the zone's bytes?
template <class Z>
concept has_data = requires(const Z& zone, const Block& block) { zone.data(block); };

// The live block that `block` names; none where it names none, or another zone's.
template <class Z>
constexpr std::optional<Block> live_block(Z& zone, const Block& block) noexcept {
  if (block.zone_tag() != zone.tag()) return std::nullopt;
  return zone.find(block.offset());
}

namespace bytes {

using Word [[gnu::may_alias]] = std::uint64_t;

inline std::size_t to_word(const volatile void* at, std::size_t most) noexcept {  // bytes before the next whole word
  const std::size_t bytes = (0 - reinterpret_cast<std::uintptr_t>(at)) & 7;
  return bytes < most ? bytes : most;
}

// Stores the word again and again, from a multiple of 8 on, where the processor has an instruction for that and as many
// are worth its start: as fast as memset there, of 4 KiB and more. Returns how many bytes it wrote, else 0. Where a tool
// must see each store (MSan, TSan) there is no such instruction.
FREESTONE_UNWATCHED inline std::size_t store_many([[maybe_unused]] volatile std::byte* at, std::size_t size,
                                                  [[maybe_unused]] std::uint64_t word) noexcept {
  constexpr std::size_t few = 512;
  if (!FREESTONE_STORES_MANY || size < few) return 0;
#if FREESTONE_STORES_MANY
  std::size_t words = size / 8;
  __asm__ __volatile__("rep stosq" : "+D"(at), "+c"(words) : "a"(word) : "memory");
#endif
  return size - size % 8;
}

// The pattern's 8 bytes as they lie in memory, again and again. Each store is made, whatever becomes of the bytes then,
// and whole words are: it is volatile, so that no compiler drops it or makes a memset of it, which tools watch.
FREESTONE_UNWATCHED inline void fill(std::span<std::byte> bytes, std::uint64_t pattern) noexcept {
  const auto* const each = reinterpret_cast<const std::byte*>(&pattern);
  volatile std::byte* const at = bytes.data();
  const std::size_t size = bytes.size();
  std::size_t i = 0;
  for (const std::size_t head = to_word(at, size); i < head; ++i) at[i] = each[i];
  std::uint64_t turned = 0;
  for (std::size_t k = 0; k < 8; ++k) reinterpret_cast<std::byte*>(&turned)[k] = each[(i + k) & 7];
  i += store_many(at + i, size - i, turned);
  for (; size - i >= 8; i += 8) *reinterpret_cast<volatile Word*>(at + i) = turned;
  for (; i < size; ++i) at[i] = each[i & 7];
}

// The first byte that is not the pattern's; bytes.size() where all are.
FREESTONE_UNWATCHED inline std::size_t first_other(std::span<const std::byte> bytes, std::uint64_t pattern) noexcept {
  const auto* const each = reinterpret_cast<const std::byte*>(&pattern);
  const volatile std::byte* const at = bytes.data();
  const std::size_t size = bytes.size();
  std::size_t i = 0;
  for (const std::size_t head = to_word(at, size); i < head; ++i) {
    if (at[i] != each[i]) return i;
  }
  std::uint64_t turned = 0;
  for (std::size_t k = 0; k < 8; ++k) reinterpret_cast<std::byte*>(&turned)[k] = each[(i + k) & 7];
  while (size - i >= 8 && *reinterpret_cast<const volatile Word*>(at + i) == turned) i += 8;
  while (i < size && at[i] == each[i & 7]) ++i;
  return i;
}

// The first 8 bytes as a word.
FREESTONE_UNWATCHED inline std::uint64_t load(std::span<const std::byte> bytes) noexcept {
  const volatile std::byte* const at = bytes.data();
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < 8; ++i) reinterpret_cast<std::byte*>(&word)[i] = at[i];
  return word;
}

// Fills `size` bytes of the block from its byte `from` on, as the CPU and devices see them; what a device wrote there
// is gone. Errors: os_failure where the CPU does not see them; the cache policy's own (at the end: the CPU's are filled).
template <class Z>
constexpr Result<void> overwrite(Z& zone, const Block& block, Bytes from, Bytes size, std::uint64_t pattern) noexcept {
  if constexpr (has_cpu_pointer<typename Z::Backing>) {
    auto access = zone.template cpu_read_write<false>(block, from, size);
    if (!access) return access.error();
    fill(access->bytes(), pattern);
    return access->end();
  } else {  // there are no brackets
    if (const auto done = zone.invalidate(block, from, size); !done) return done;
    fill(zone.data(block).subspan(static_cast<std::size_t>(from.value()), static_cast<std::size_t>(size.value())),
         pattern);
    return zone.clean(block, from, size);
  }
}

}  // namespace bytes
}  // namespace freestone::layers

#undef FREESTONE_STORES_ARE_SEEN
#undef FREESTONE_STORES_MANY
