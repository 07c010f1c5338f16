// What the bytes of an input mean: the first one how the board is, and then steps, each of which is something that one of
// three programs does. Any bytes are an input; most are nearly right calls.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <type_traits>

#include <freestone/device/command.hpp>
#include "support/device_calls.hpp"

namespace freestone::tests {

// Of the first byte. The lowest three bits: that program's words have 32 bits.
inline constexpr std::uint8_t is_android = 8;  // there is ABI_VERSION
inline constexpr std::uint8_t ends_late = 16;  // files that nobody has any more end when somebody looks
inline constexpr std::uint8_t frees_late = 32;  // and their memory goes back when somebody needs it, or has time; pages are kept
inline constexpr std::uint8_t has_msm = 64;  // /dev/ion is of generation G1 or G2; else of G3 or G4, and there are nodes of dma-heap
inline constexpr std::uint8_t is_uncached = 128;  // PMEM's region

enum class Act : std::uint8_t { ioctl, open_ion, open_heap, open_pmem, close, duplicate, send, seek, map, unmap, faults, limits, end };
// As often as they are worth it.
inline constexpr Act acts[] = {Act::ioctl, Act::ioctl,    Act::ioctl,     Act::ioctl, Act::ioctl, Act::ioctl,     Act::ioctl,
                               Act::ioctl, Act::ioctl,    Act::open_ion,  Act::close, Act::close, Act::open_heap, Act::send,
                               Act::seek,  Act::duplicate, Act::map,      Act::unmap, Act::faults, Act::limits,   Act::open_pmem,
                               Act::end};

struct Step {
  std::uint8_t act_number = 0;
  std::uint8_t who = 0;
  std::uint8_t file = 0;     // which descriptor, mapping, or heap to open
  std::uint8_t command = 0;  // of those that the file knows; from 208 on, of all
  std::uint8_t twist = 0;    // from 160 on the command's number is changed
  std::uint8_t place = 0;    // where the argument is; from 240 on the argument is this step's bytes
  std::uint16_t a = 0;       // numbers, of whatever the act wants some
  std::uint32_t b = 0;
  std::uint32_t c = 0;

  constexpr Act act() const { return acts[act_number % std::size(acts)]; }
  constexpr std::size_t program() const { return who % 4 % 3; }
  constexpr bool is_joined() const { return (who & 4) != 0; }  // the next step is made while this one's call is under way
  constexpr bool memory_changes() const { return (who & 8) != 0; }
  constexpr bool is_late() const { return (who & 16) != 0; }  // it is made when the call gives back, not when it has read
  constexpr std::uint64_t wide() const { return std::uint64_t{c} << 32 | b; }
};
inline constexpr std::size_t header_length = 1;
inline constexpr std::size_t step_length = sizeof(Step);
static_assert(step_length == 16 && std::has_unique_object_representations_v<Step>);

// An input, step after step.
class Steps {
 public:
  explicit Steps(std::span<const std::uint8_t> input) : input_(input) {}

  std::uint8_t board() const { return input_.empty() ? std::uint8_t{0} : input_[0]; }
  std::optional<Step> take() {
    if (next_ + step_length > input_.size()) return std::nullopt;
    Step step;
    std::memcpy(&step, input_.data() + next_, step_length);
    next_ += step_length;
    return step;
  }

 private:
  std::span<const std::uint8_t> input_;
  std::size_t next_ = header_length;
};

// --- a call ---

constexpr bool is_raw(const Step& step) { return step.place >= 240; }

enum class FileKind : std::uint8_t { ion, heap_node, buffer, pmem, ion_g1, ion_g2, ion_g3 };

// Where ION's generations with handles have what, for callers with words of so many bytes.
struct IonLayout {
  std::size_t word;
  FileKind kind;

  constexpr bool has_pointers() const { return kind != FileKind::ion_g3; }
  constexpr bool has_flags() const { return kind != FileKind::ion_g1; }
  // ALLOC's; its length and its alignment are the first two words
  constexpr std::size_t mask() const { return 2 * word; }
  constexpr std::size_t flags() const { return 2 * word + 4; }  // where there are some
  constexpr std::size_t handle() const { return has_flags() ? 2 * word + 8 : 3 * word; }
  constexpr std::size_t allocation() const { return word == 8 ? 32 : has_flags() ? 20 : 16; }
  // of a handle, which others begin with; then there is a descriptor
  constexpr std::size_t handle_length() const { return has_pointers() ? word : 4; }
  constexpr std::size_t with_fd() const { return 2 * handle_length(); }
};

// The low byte below 48: one of the edges. Else pages, as many as the next byte says.
constexpr std::uint64_t length_by(std::uint32_t choice) {
  constexpr std::uint64_t edges[] = {0,         1,       4095,      4096,       4097,          65536,         65537, 1 << 17, 1 << 18,
                                     1 << 19, 524289, 1 << 20, 1ULL << 32, 1ULL << 63, ~0ULL - 4095, ~0ULL - 4094, ~0ULL};
  const std::uint32_t kind = choice & 0xff;
  return kind < 48 ? edges[kind % std::size(edges)] : ((choice >> 8) % (kind < 160 ? 8 : 70) + 1) * 4096;
}

// G2's ALLOC in G1's layout, where that has a number of its own.
inline constexpr std::uint32_t old_allocation32 = 0xC0104900;
constexpr IonLayout layout_of(IonLayout layout, device::Command command) {
  const bool is_old = layout.kind == FileKind::ion_g2 && layout.word == 4 && command.code == old_allocation32;
  return is_old ? IonLayout{layout.word, FileKind::ion_g1} : layout;
}

// The last two: SYNC and HEAP_QUERY, or GET_FLAGS and, of G1, cache operations; G2's are CUSTOM's.
enum class IonCall : std::uint8_t { allocate, free, share, import, map, custom, sync_or_flags, query_or_cache };
constexpr std::uint32_t ion_command(IonCall call, const IonLayout& layout) {
  constexpr std::uint32_t g1_64[] = {0xC0204900, 0xC0084901, 0xC0104904, 0xC0044905, 0xC0104902, 0xC0104906, 0xC010490A, 0xC0204909};
  constexpr std::uint32_t g1_32[] = {0xC0104900, 0xC0044901, 0xC0084904, 0xC0044905, 0xC0084902, 0xC0084906, 0xC008490A, 0xC0144909};
  constexpr std::uint32_t g2_64[] = {0xC0204900, 0xC0084901, 0xC0104904, 0xC0044905, 0xC0104902, 0xC0104906, 0xC010490A, 0xC0104906};
  constexpr std::uint32_t g2_32[] = {0xC0144900, 0xC0044901, 0xC0084904, 0xC0044905, 0xC0084902, 0xC0084906, 0xC008490A, 0xC0084906};
  constexpr std::uint32_t g3_64[] = {0xC0204900, 0xC0044901, 0xC0084904, 0xC0084905, 0xC0084902, 0xC0104906, 0xC0084907, 0xC0184908};
  constexpr std::uint32_t g3_32[] = {0xC0144900, 0xC0044901, 0xC0084904, 0xC0084905, 0xC0084902, 0xC0084906, 0xC0084907, 0xC0184908};
  const bool is_64 = layout.word == 8;
  const auto at = static_cast<std::size_t>(call);
  switch (layout.kind) {
    case FileKind::ion_g1: return is_64 ? g1_64[at] : g1_32[at];
    case FileKind::ion_g2: return is_64 ? g2_64[at] : g2_32[at];
    default: return is_64 ? g3_64[at] : g3_32[at];
  }
}
// CUSTOM's commands in G2: CLEAN, INV and CLEAN_INV, and, `prefetch` and `drain`, of a heap.
inline constexpr unsigned prefetch = 3, drain = 4;
constexpr std::uint32_t msm_command(unsigned number, std::size_t word) {
  const std::size_t length = number >= prefetch ? 2 * word : word == 8 ? 32 : 20;
  return 0xC0004D00 | static_cast<std::uint32_t>(length) << 16 | number;
}
// Those that are worth it twice.
inline constexpr IonCall ion_calls[] = {IonCall::allocate, IonCall::free,          IonCall::share,          IonCall::import,
                                        IonCall::map,      IonCall::custom,        IonCall::sync_or_flags,  IonCall::query_or_cache,
                                        IonCall::allocate, IonCall::free,          IonCall::share,          IonCall::import,
                                        IonCall::allocate, IonCall::sync_or_flags, IonCall::query_or_cache, IonCall::import};

// PMEM's, and one that is the region's own. Those that are worth it twice.
enum class PmemCall : std::uint8_t {
  place = 1, map, size, unmap, allocate, connect, total, of_region = 9, clean_inv = 11, clean, inv, room, aligned
};
inline constexpr PmemCall pmem_calls[] = {PmemCall::allocate,  PmemCall::connect, PmemCall::map,     PmemCall::unmap,
                                          PmemCall::clean_inv, PmemCall::clean,   PmemCall::inv,     PmemCall::room,
                                          PmemCall::aligned,   PmemCall::place,   PmemCall::total,   PmemCall::of_region,
                                          PmemCall::map,       PmemCall::unmap,   PmemCall::connect, PmemCall::size};
constexpr std::uint32_t pmem_command(PmemCall call) { return 0x40047000 | static_cast<std::uint32_t>(call); }

constexpr device::Command command_of(const Step& step, FileKind kind, const IonLayout& layout) {
  constexpr std::uint32_t known[][4] = {{0xC0184900, 0xC0184900, 0xC0184908, 0x80044909},
                                        {0xC0184800, 0xC0184800, 0xC0184800, 0x40184800},
                                        {0x40086200, 0x40086200, 0x40046201, 0x40086201}};
  constexpr std::uint32_t all[] = {0xC0184900, 0xC0184908, 0x80044909, 0xC0184800, 0x40086200, 0x40046201, 0x40086201, 0xC0044901,
                                   0xC0204900, 0xC0144900, 0xC0104900, 0xC0084902, 0xC0084904, 0xC0104906, 0xC0086202, 0x5401};
  const auto own = [&] {
    const bool is_old = kind == FileKind::ion_g2 && layout.word == 4 && step.c % 8 == 4;
    const IonCall call = ion_calls[step.command % 16];
    if (is_old && call == IonCall::allocate) return old_allocation32;
    if (kind == FileKind::pmem) return pmem_command(pmem_calls[step.command % 16]);
    if (kind > FileKind::pmem) return ion_command(call, layout);
    return known[static_cast<std::size_t>(kind)][step.command % 4];
  };
  const std::uint32_t code = step.command < 208 ? own() : all[step.command % 16];
  if (step.twist < 160) return {code};
  switch (step.twist % 6) {
    case 0: return {(code & ~0x3fff0000U) | (step.b % 48) << 16};  // another length
    case 1: return {code ^ (step.b % 3 + 1) << 30};                // another direction
    case 2: return {code ^ (step.b % 255 + 1) << 8};               // another magic
    case 3: return {code + 1};                                     // a neighbour
    case 4: return {code ^ 1U << step.b % 32};
    default: return {step.b};
  }
}

inline constexpr std::uint64_t argument_place = Caller::start + 0x100;
inline constexpr std::uint64_t records_place = Caller::start + 0x400;
inline constexpr std::uint64_t memory_end = Caller::start + Caller::length;

constexpr std::uint64_t address_of(const Step& step) {
  const unsigned near = step.a % 64;
  switch (step.place % 16) {
    case 8: return Caller::start + step.a % Caller::length;
    case 9: return memory_end - near;
    case 10: return Caller::start - near;
    case 11: return Caller::start + 0x1000 - near;  // across a page's end
    case 12: return near;
    case 13: return ~std::uint64_t{0} - near;
    case 14: return step.wide();
    default: return argument_place;
  }
}

struct Argument {
  std::array<std::byte, 40> bytes = {};

  template <class T>
  void put(std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  // As many of its low bytes.
  void put(std::size_t at, std::uint64_t value, std::size_t length) { std::memcpy(bytes.data() + at, &value, length); }
};

// The step itself, twice.
inline Argument raw_argument(const Step& step) {
  Argument argument;
  argument.put(0, step);
  argument.put(step_length, step);
  return argument;
}
inline Argument ion_allocation(const Step& step) {
  Argument argument;
  argument.put(0, length_by(step.b));
  argument.put(8, step.c % 8 == 7 ? step.c : step.c >> 8 & 0x3f);  // heaps; there are five
  argument.put(12, std::uint32_t{step.a});
  argument.put(16, std::uint64_t{0x6666666655555555});
  return argument;
}
inline Argument ion_query(const Step& step) {
  const std::uint64_t near = step.c >> 8 & 0xff;
  const std::uint64_t records[] = {0,          records_place, records_place, memory_end - near, Caller::start - near % 60,
                                   address_of(step) + near % 32 - 16,  // over the struct
                                   ~std::uint64_t{0} - near, step.c};
  Argument argument;
  argument.put(0, step.b % 16 == 15 ? step.b : step.b % 8);
  argument.put(8, records[step.c % 8]);
  constexpr std::size_t reserved[] = {4, 16, 20};
  if ((step.b >> 8) % 16 == 15) argument.put(reserved[(step.b >> 12) % 3], std::uint8_t{1});
  return argument;
}
inline Argument heap_allocation(const Step& step) {
  constexpr std::uint32_t flags[] = {0x80002, 0x80002, 0x80000, 2, 0, 3, 4, 0x80802};
  Argument argument;
  argument.put(0, length_by(step.b));
  argument.put(8, std::uint32_t{step.c % 16 == 15});
  argument.put(12, flags[(step.c >> 4) % 8]);
  argument.put(16, std::uint64_t{(step.c >> 8) % 16 == 15} << (step.c >> 12) % 64);
  return argument;
}
inline Argument brackets(const Step& step) {
  Argument argument;
  argument.put(0, step.b % 16 == 15 ? step.wide() : step.b % 10);
  return argument;
}
inline Argument text(const Step& step) {
  Argument argument;
  argument.bytes.fill(std::byte{'b'});
  argument.bytes[step.b % argument.bytes.size()] = std::byte{0};
  return argument;
}

// Of the generations with handles. The handle, the descriptor and the address of a mapping are chosen by whoever knows them.
inline Argument handle_allocation(const Step& step, const IonLayout& layout) {
  const unsigned choice = step.a / 8;
  const std::uint64_t aligns[] = {0, 0, 0, 4096, 4096, std::uint64_t{1} << choice % 64, step.a, ~std::uint64_t{choice}};
  Argument argument;
  argument.put(0, length_by(step.b), layout.word);
  argument.put(layout.word, aligns[step.a % 8], layout.word);
  const std::uint32_t secure = step.c % 8 == 6 ? 1U << 31 : 0;
  argument.put(layout.mask(), step.c % 8 == 7 ? step.c : (step.c >> 8 & 0x3f) | secure);
  if (layout.has_flags()) argument.put(layout.flags(), step.c >> 16 | secure);
  argument.put(layout.handle(), std::uint64_t{0x6666666655555555}, layout.handle_length());
  return argument;
}
struct HandleChoice {
  std::uint64_t handle;
  std::int32_t fd;
  std::uint64_t address;
};
inline Argument handle_and_fd(const IonLayout& layout, const HandleChoice& choice) {
  Argument argument;
  argument.put(0, choice.handle, layout.handle_length());
  argument.put(layout.handle_length(), choice.fd);
  return argument;
}
inline Argument cache_range(const Step& step, const IonLayout& layout, const HandleChoice& choice) {
  const std::uint32_t lengths[] = {4096, 0, 1, 8192, 65536, step.c >> 24, step.c, ~step.c};
  Argument argument = handle_and_fd(layout, choice);
  argument.put(2 * layout.word, choice.address, layout.word);
  argument.put(3 * layout.word, lengths[step.c >> 20 & 7]);
  argument.put(3 * layout.word + 4, lengths[step.c >> 16 & 7]);
  return argument;
}

// CUSTOM, by the high byte of `a`: which command of G2's, and where it finds what that is about. The platform's have a number.
inline constexpr unsigned msm_customs = 14;
constexpr bool is_msm_custom(const Step& step, const IonLayout& layout) {
  return layout.kind == FileKind::ion_g2 && (step.a >> 8 & 15) < msm_customs;
}
constexpr std::uint32_t custom_command(const Step& step, const IonLayout& layout) {
  const unsigned choice = step.a >> 8 & 15;
  if (!is_msm_custom(step, layout)) return step.b % 8;
  if (choice == 13) return msm_command(step.b % 5, 12 - layout.word);  // that of the other word
  return msm_command(choice % 5, layout.word) ^ (choice == 12 ? 1U << step.b % 32 : 0);
}
constexpr std::uint64_t custom_place(const Step& step) {
  switch (step.a >> 12) {
    case 12: return argument_place + step.b % 48 - 16;  // over the struct
    case 13: return memory_end - step.b % 40;
    case 14: return step.wide();
    default: return records_place;
  }
}
// What stands there.
inline Argument custom_struct(const Step& step, const IonLayout& layout, const HandleChoice& choice) {
  if ((custom_command(step, layout) & 0xff) < prefetch) return cache_range(step, layout, choice);
  Argument argument;
  argument.put(0, step.b % 8 == 7 ? step.b : step.b % 8);  // a heap; there are five
  argument.put(layout.word, length_by(step.c), layout.word);
  return argument;
}

inline Argument handle_argument(const Step& step, const IonLayout& layout, device::Command command, const HandleChoice& choice) {
  Argument argument;
  switch (command.number()) {
    case 0: return handle_allocation(step, layout_of(layout, command));
    case 6:
      argument.put(0, custom_command(step, layout));
      argument.put(layout.word, is_msm_custom(step, layout) ? custom_place(step) : step.c, layout.word);
      return argument;
    case 7: return layout.kind == FileKind::ion_g1 ? cache_range(step, layout, choice) : handle_and_fd(layout, choice);
    case 8: return layout.kind == FileKind::ion_g3 ? ion_query(step) : cache_range(step, layout, choice);
    case 9: return cache_range(step, layout, choice);
    default: return handle_and_fd(layout, choice);
  }
}

// --- PMEM's ---

// The low byte of `b`: the first page, and how many. The next bits: one of them is another, at an edge.
struct PmemBytes {
  std::uint64_t offset;
  std::uint64_t length;
};
constexpr PmemBytes pmem_bytes(const Step& step) {
  constexpr std::uint64_t edges[] = {1, 0xfff, 0x1001, 1ULL << 20, 1ULL << 31, 0xfffff000, ~0ULL - 0xfff, ~0ULL};
  const std::uint64_t edge = edges[step.b >> 12 & 7];
  const PmemBytes bytes{(step.b & 15) * std::uint64_t{4096}, (step.b >> 4 & 15) * std::uint64_t{4096}};
  switch (step.b >> 8 & 15) {
    case 10:
    case 11:
    case 12:
    case 13: return {edge, ~edge + 1 + bytes.length};  // their sum wraps
    case 14: return {bytes.offset, edge};
    case 15: return {edge, bytes.length};
    default: return bytes;
  }
}
// Or, from the second byte on: one that was granted, and so is withdrawn; or one that overlaps it by all but a page.
constexpr PmemBytes pmem_bytes(const Step& step, std::span<const PmemBytes> grants) {
  const unsigned kind = step.b >> 8 & 15;
  if (grants.empty() || kind == 0 || kind > 9) return pmem_bytes(step);
  const PmemBytes granted = grants[(step.b >> 12) % grants.size()];
  if (kind == 8) return {granted.offset, granted.length + 4096};
  return kind == 9 ? PmemBytes{granted.offset + 4096, granted.length} : granted;
}
// `bytes`: what it is about. A cache operation's address is that of the offset in the mapping that was chosen; or no address.
inline Argument pmem_argument(const Step& step, std::size_t word, device::Command command, const PmemBytes& bytes, std::uint64_t mapping) {
  const std::uint64_t aligns[] = {4096, 8192, 65536, 1 << 20, 0, 2048, 12288, 1 << 21, step.a, 1ULL << step.a / 16 % 32};
  const std::uint64_t address = mapping == 0 ? 0 : mapping + bytes.offset;
  Argument argument;
  if (command.code == pmem_command(PmemCall::aligned)) {
    argument.put(0, length_by(step.b), word);
    argument.put(word, aligns[step.a % std::size(aligns)], 4);
    return argument;
  }
  const bool is_cache = command.number() >= 11;
  if (is_cache) argument.put(0, address, word);
  argument.put(is_cache ? word : 0, bytes.offset, word);
  argument.put(is_cache ? 2 * word : word, bytes.length, word);
  return argument;
}

inline Argument argument_of(const Step& step, FileKind kind, device::Command command) {
  switch (kind) {
    case FileKind::ion: return command.number() == 8 ? ion_query(step) : ion_allocation(step);
    case FileKind::heap_node: return heap_allocation(step);
    default: return command.number() == 0 ? brackets(step) : text(step);
  }
}

}  // namespace freestone::tests
