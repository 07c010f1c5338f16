// What /proc/media-mem shows of MMZ's zones and blocks, to the letter of each generation, what a write there answers, and the line
// that the kernel logs of a block left behind: texts from plain rows, which whoever has the zones fills. Of g3's systems these are
// Hi3516CV300's; Hi3519V101 prints as g4 does. (shared/spec: MMZ 1.7, 2.5, 4.4.)
#pragma once

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/core/bits.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/os/report_text.hpp>
#include <freestone/heap/os/board_mmz.hpp>

namespace freestone::device::mmz_reports {

struct BlockRow {
  std::uint64_t physical = 0;
  std::uint64_t kernel = 0;  // where the kernel has it mapped, or 0
  std::uint64_t flags = 0;   // of these: 1 mapped by the kernel, 2 cached there, 4 freed while somebody has it
  std::uint64_t length = 0;
  std::string name = {};
  // g5's only
  bool is_kernels = false;  // shown to no program
  bool is_shared = false;   // with every process
  std::array<std::int32_t, 5> processes = {};  // who may have it, the one that allocated it first; 0: none
};

struct ZoneRow {
  std::string name = {};
  std::uint64_t gfp = 0;
  std::uint64_t start = 0;
  std::uint64_t size = 0;
  std::vector<BlockRow> blocks = {};  // in any order
};

// --- the parts of media_mem ---

// How a generation writes a block's address in the kernel; of g5's 64 bits it has all digits.
inline std::string kernel_address(std::uint64_t address, MmzGeneration generation, unsigned address_bits) {
  std::string text = generation == MmzGeneration::g3 ? "" : "0x";
  const bool is_pointer = generation == MmzGeneration::g1 || generation == MmzGeneration::g3;
  const int digits = generation == MmzGeneration::g5 && address_bits == 64 ? 16 : 8;
  if (is_pointer) detail::print_pointer(text, address, digits);
  if (!is_pointer) detail::print(text, "%0*" PRIX64, digits, address);
  return text;
}
// Flags; of g5 also who may have the block.
inline std::string rights(const BlockRow& block, MmzGeneration generation) {
  std::string text;
  const bool is_g5 = generation == MmzGeneration::g5;
  detail::print(text, is_g5 ? "flags=0x%" PRIX64 : "flags=0x%08" PRIX64, block.flags);
  if (!is_g5) return text;
  const auto& who = block.processes;
  detail::print(text, ", kernel_only=%d, share_all=%d ", block.is_kernels ? 1 : 0, block.is_shared ? 1 : 0);
  detail::print(text, "pid[%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRId32 "]", who[0], who[1], who[2], who[3], who[4]);
  return text;
}
// What stands before a name.
inline const char* gap(MmzGeneration generation) { return generation == MmzGeneration::g1 ? "\t" : "    "; }
inline const char* block_gap(MmzGeneration generation) { return generation == MmzGeneration::g3 ? " " : gap(generation); }

constexpr std::uint64_t end_of(const BlockRow& block) noexcept {
  return block.physical + bits::align_up(block.length, freestone::detail::mmz_page);
}

inline std::string block_line(const BlockRow& block, bool is_after_hole, MmzGeneration generation, unsigned address_bits) {
  std::string text = is_after_hole && generation == MmzGeneration::g5 ? "   *-MMB: " : "   |-MMB: ";
  detail::print(text, "phys(0x%08" PRIX64 ", 0x%08" PRIX64 "), kvirt=%s, %s, length=%" PRIu64 "KB,%sname=\"%s\"\n", block.physical,
                end_of(block) - 1, kernel_address(block.kernel, generation, address_bits).c_str(), rights(block, generation).c_str(),
                block.length / 1024, block_gap(generation), block.name.c_str());
  return text;
}

// A zone, and its blocks by their addresses. A hole is what lies free before a block: the first one's begins where the zone does.
inline std::string zone_lines(const ZoneRow& zone, MmzGeneration generation, unsigned address_bits) {
  std::string text;
  detail::print(text, "+---ZONE: PHYS(0x%08" PRIX64 ", 0x%08" PRIX64 "), GFP=%" PRIu64 ", nBYTES=%" PRIu64 "KB,%sNAME=\"%s\"\n", zone.start,
                zone.start + zone.size - 1, zone.gfp, zone.size / 1024, gap(generation), zone.name.c_str());
  std::vector<BlockRow> blocks = zone.blocks;
  std::ranges::sort(blocks, {}, &BlockRow::physical);
  std::uint64_t end = zone.start;
  for (const BlockRow& block : blocks) {
    text += block_line(block, block.physical > end, generation, address_bits);
    end = end_of(block);
  }
  return text;
}

// How much there is in all zones, where they have 1 KiB at all, and how much of it blocks have: in KiB, of 32 bits. What remains
// wraps where blocks have more.
inline std::string totals(std::span<const ZoneRow> zones) {
  std::uint64_t size = 0, length = 0;
  std::uint32_t blocks = 0;
  for (const ZoneRow& zone : zones) {
    size += zone.size;
    blocks += detail::low(zone.blocks.size());
    for (const BlockRow& block : zone.blocks) length += block.length;
  }
  std::string text;
  if (size < 1024) return text;
  const std::uint32_t total = detail::low(size / 1024), used = detail::low(length / 1024), rest = total - used;
  detail::print(text, "\n---MMZ_USE_INFO:\n total size=%" PRIu32 "KB(%" PRIu32 "MB),", total, total / 1024);
  detail::print(text, "used=%" PRIu32 "KB(%" PRIu32 "MB + %" PRIu32 "KB),", used, used / 1024, used % 1024);
  detail::print(text, "remain=%" PRIu32 "KB(%" PRIu32 "MB + %" PRIu32 "KB),", rest, rest / 1024, rest % 1024);
  detail::print(text, "zone_number=%" PRIu32 ",block_number=%" PRIu32 "\n", detail::low(zones.size()), blocks);
  return text;
}

// With what g5 was started.
inline std::string parameters(const MmzBoard& board) {
  std::string text;
  detail::print(text, " anony=1 mmz_allocator=%s mem_process_isolation=%d\n\n", board.allocator == MmzAllocator::cma ? "cma" : "ot",
                board.isolates_processes ? 1 : 0);
  if (board.windows.empty()) return text;
  char before = ':';
  text += " map_mmz_zone";
  for (const MmzWindow& window : board.windows) {
    detail::print(text, "%c(0x%" PRIX64 ", 0x%" PRIX64 ")", std::exchange(before, ' '), window.start, window.start + window.size - 1);
  }
  return text + "\n\n";
}

// --- the whole of it ---

// /proc/media-mem of a board whose zones these are, the newest first; of the board its generation counts, and what g5 was started
// with. Of the kernel's address_bits, 32 or 64, only g5 tells. A set-top kernel's text is none of these: it has g4's here.
inline std::string media_mem(const MmzBoard& board, std::span<const ZoneRow> zones, unsigned address_bits = 64) {
  std::string text = board.generation == MmzGeneration::g5 ? parameters(board) : std::string();
  for (const ZoneRow& zone : zones) text += zone_lines(zone, board.generation, address_bits);
  return text + totals(zones);
}

// --- what is written there ---

constexpr bool takes_zones(MmzGeneration generation) noexcept {
  return generation == MmzGeneration::g1 || generation == MmzGeneration::g2;
}
constexpr unsigned mode(MmzGeneration generation) noexcept { return takes_zones(generation) ? 0644 : 0444; }

// A list of zones, which the board has from then on, but for those that are refused: `left_out` of the board's tells. The answer is
// the text's length, even if each was; EIO, and the board is as it was, where that is 256 and more, and where no zones are taken.
// (Whoever cannot read what a caller writes answers 0.) Of `system` counts what add_mmz_zones says.
inline Answer add_zones(MmzBoard& board, std::string_view text, const MmzSystem& system = {}) {
  if (!takes_zones(board.generation)) return Errno::io;
  auto more = add_mmz_zones(board, text, system);
  if (!more) return Errno::io;
  board = std::move(*more);
  return Answer(static_cast<std::int64_t>(text.size()));
}

// --- what the kernel logs ---

// A block that its process had not freed when its file was closed. The line is without its end.
inline std::string leak(std::int32_t process, const BlockRow& block) {
  std::string text;
  detail::print(text, "MMB LEAK(pid=%" PRId32 "): 0x%" PRIX64 ", %" PRIu64 " bytes, '%s'", process, block.physical, block.length,
                block.name.c_str());
  return text;
}

}  // namespace freestone::device::mmz_reports
