// MMZ's zones from the text that its module, or the kernel that it is built into, is started with:
//   mmz=anonymous,0,0x42000000,96M:window,0,0xE2100000,15M mmz_allocator=hisi map_mmz=0xE0000000,1M anony=1
// The grammar, and what is refused, are those of each generation of MMZ. What is refused in one zone ends the reading
// where the allocator is hisi (ot), and leaves that zone out where it is cma.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/core/bits.hpp>
#include <freestone/heap/mmz_generation.hpp>
#include <freestone/heap/name.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/text_number.hpp>

namespace freestone {

// What the text does not say.
struct MmzSystem {
  MmzGeneration generation = MmzGeneration::g4;
  unsigned address_bits = 64;          // 32 or 64: how far a zone may reach
  std::optional<Memory> kernel = {};   // the kernel's own memory, in which hisi takes no zone
  std::string_view kernel_zones = {};  // the kernel's own parameter mmz=, which cma has its zones from
  bool needs_a_zone = false;           // one port does not load where it is told of zones and refuses each of them
  bool is_built_in = false;            // the line is the kernel's: others' parameters are passed over (set_top: always)
};

// Zones as heaps, their ids in the order of registration, the newest to be asked first.
struct MmzBoard {
  BoardTable table = {};
  std::vector<MmzWindow> windows = {};
  MmzGeneration generation = MmzGeneration::g4;
  MmzAllocator allocator = MmzAllocator::cma;
  bool isolates_processes = false;
};

namespace detail {

constexpr std::uint64_t mmz_page = 4096;

class MmzReader {
 public:
  MmzReader(const MmzSystem& system, MmzBoard board) : system_(system), board_(std::move(board)) {
    board_.generation = system.generation;
  }

  // The parameters of the module, or of the kernel, each NAME=TEXT, blanks or line ends between.
  TextResult<MmzBoard> read(std::string_view line) {
    line_ = line;
    if (!take_parameters(line) || !choose_allocator() || !read_numbers()) return error_;
    if (zones_.data() != nullptr && !read_zones()) return error_;
    if (!windows_.empty() && !read_windows()) return error_;
    if (system_.needs_a_zone && zones_.data() != nullptr && board_.table.heaps.empty())
      return refuse(zones_, "mmz", TextFault::nothing_left), error_;
    return std::move(board_);
  }

  // Zones more, for those that are there already, in numbers of the module's. None that is refused ends it.
  TextResult<MmzBoard> add(std::string_view zones) {
    line_ = zones_ = zones;
    is_running_ = true;
    if (!fits(zones, 255, "mmz") || !read_zones()) return error_;
    return std::move(board_);
  }

 private:
  struct Zone {
    std::string name;
    MmzPart part;
  };
  // Who reads the numbers of a zone: nobody (cma, in the module's text), the module, the kernel (a G behind them too).
  enum class Numbers : std::uint8_t { nobodys, modules, kernels };

  bool is(MmzGeneration generation) const noexcept { return system_.generation == generation; }
  bool is_first_two() const noexcept { return is(MmzGeneration::g1) || is(MmzGeneration::g2); }
  bool by_kernel() const noexcept { return board_.allocator == MmzAllocator::cma && !is_running_; }
  std::uint64_t last_address() const noexcept {
    return system_.address_bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << system_.address_bits) - 1;
  }

  // Where in the line that part of it is.
  std::size_t column_of(std::string_view part) const noexcept {
    const bool is_inside = part.data() >= line_.data() && part.data() <= line_.data() + line_.size();
    return is_inside ? static_cast<std::size_t>(part.data() - line_.data()) + 1 : 1;
  }
  TextError& refuse(std::string_view part, const char* field, TextFault what, std::string heap = {}) {
    error_ = {.what = what,
              .line = 1,
              .column = column_of(part),
              .heap = std::move(heap),
              .field = field,
              .value = std::string(part)};
    return error_;
  }

  static std::string_view take_word(std::string_view& text) noexcept {
    const std::size_t at = text.find_first_of(" \t\r\n");
    const std::string_view front = text.substr(0, at);
    text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
    return front;
  }
  static std::vector<std::string_view> split(std::string_view text, char between) {
    std::vector<std::string_view> parts;
    for (;;) {
      const std::size_t at = text.find(between);
      parts.push_back(text.substr(0, at));
      if (at == std::string_view::npos) return parts;
      text.remove_prefix(at + 1);
    }
  }

  bool fits(std::string_view text, std::size_t most, const char* field) {
    return text.size() <= most || (refuse(text, field, TextFault::too_long), false);
  }

  bool take_parameters(std::string_view line) {
    while (!line.empty()) {
      std::string_view text = take_word(line);
      if (text.empty()) continue;
      const std::string_view name = text.substr(0, text.find('='));
      const bool has_value = name.size() != text.size();
      std::string_view* known = parameter(name);
      if ((known == nullptr || !has_value) && is_kernels_line()) continue;
      if (!has_value) return refuse(text, std::string(name).c_str(), TextFault::syntax), false;
      text.remove_prefix(name.size() + 1);
      if (known == nullptr) return refuse(text, std::string(name).c_str(), TextFault::unknown_field), false;
      *known = text;  // said twice: the last one counts
    }
    return fits(zones_, 255, "mmz") && fits(windows_, 255, "map_mmz") && fits(allocator_, 31, "mmz_allocator");
  }
  bool is_kernels_line() const noexcept { return system_.is_built_in || is(MmzGeneration::set_top); }
  std::string_view* parameter(std::string_view name) noexcept {
    const bool is_module = !is(MmzGeneration::set_top);
    if (name == "mmz") return &zones_;
    if (name == "map_mmz" && is_module) return &windows_;
    if (name == "anony" && is_module) return &anony_;
    if (name == "mmz_allocator" && is_module && !is_first_two()) return &allocator_;
    if (name == "mem_process_isolation" && is(MmzGeneration::g5)) return &isolation_;
    return nullptr;
  }

  bool choose_allocator() {
    const bool has_one_only = is_first_two() || is(MmzGeneration::set_top);
    board_.allocator = is_first_two() ? MmzAllocator::hisi : MmzAllocator::cma;
    if (has_one_only || allocator_.data() == nullptr || allocator_ == "cma") return true;
    board_.allocator = MmzAllocator::hisi;
    if (allocator_ == (is(MmzGeneration::g5) ? "ot" : "hisi")) return true;
    return refuse(allocator_, "mmz_allocator", TextFault::unknown_word), false;
  }
  bool read_numbers() {
    if (anony_.data() != nullptr && parse_number(anony_).fault != TextFault::none)
      return refuse(anony_, "anony", TextFault::bad_number), false;
    if (anony_.data() != nullptr && parse_number(anony_).value != 1)
      return refuse(anony_, "anony", TextFault::unknown_word), false;
    std::string_view digits = isolation_;
    if (!digits.empty() && digits[0] == '-') digits.remove_prefix(1);  // whether it is 0 is all that counts
    const TextNumber isolation = isolation_.data() == nullptr ? TextNumber{1} : parse_number(digits);
    if (isolation.fault != TextFault::none)
      return refuse(isolation_, "mem_process_isolation", TextFault::bad_number), false;
    board_.isolates_processes = is(MmzGeneration::g5) && isolation.value != 0;
    return true;
  }

  // A zone, or a window, that is refused: does the reading go on?
  bool goes_on() {
    board_.table.left_out.push_back(error_);
    return by_kernel() || is_running_;
  }

  bool read_zones() {
    for (const std::string_view item : split(zones_, ':')) {
      if (read_zone(item)) continue;
      const bool is_passed_over = error_.what == TextFault::field_count && is(MmzGeneration::g1);
      if (!goes_on() && !is_passed_over) return false;
    }
    return true;
  }

  bool read_zone(std::string_view item) {
    const Numbers read_by = !by_kernel()                 ? Numbers::modules
                            : is(MmzGeneration::set_top) ? Numbers::kernels
                                                         : Numbers::nobodys;
    auto zone = fields_of(item, read_by);
    if (zone && read_by == Numbers::nobodys) zone = kernel_zone(item, zone->name);
    return zone && check(item, *zone) && register_zone(item, *zone);
  }

  // name, gfp, start, size, and where there are six: type, block_align.
  std::optional<Zone> fields_of(std::string_view item, Numbers read_by) {
    static constexpr const char* names[] = {"name", "gfp", "start", "size", "type", "block_align"};
    auto fields = split(item, ',');
    const std::size_t most = is(MmzGeneration::g5) ? 4 : 6;
    if (fields.size() > most) fields.resize(most);
    Zone zone{std::string(fields[0].substr(0, most_name_length)), {}};
    if (fields.size() != 4 && fields.size() != 6) {
      refuse(item, "mmz", TextFault::field_count, zone.name).value = std::to_string(fields.size());
      return std::nullopt;
    }
    std::uint64_t numbers[6] = {};
    for (std::size_t at = 1; at < fields.size() && read_by != Numbers::nobodys; ++at) {
      const TextNumber number = parse_c_number(fields[at], read_by == Numbers::kernels ? "KMG" : "KM");
      if (number.fault != TextFault::none || number.value > last_address()) {
        return refuse(fields[at], names[at], TextFault::out_of_range, zone.name), std::nullopt;
      }
      numbers[at] = number.value;
    }
    zone.part = {
        .gfp = numbers[1], .start = numbers[2], .size = numbers[3], .type = numbers[4], .block_align = numbers[5]};
    return zone;
  }

  // cma takes all but the name from the kernel's zone of that name: there numbers may have a G too, and there are 64.
  std::optional<Zone> kernel_zone(std::string_view item, const std::string& name) {
    std::size_t count = 0;
    for (const std::string_view one : split(system_.kernel_zones, ':')) {
      if (system_.kernel_zones.empty() || ++count > most_heaps) break;
      if (one.substr(0, one.find(',')) == name) return fields_of(one, Numbers::kernels);
    }
    return refuse(item, "name", TextFault::unknown_zone, name), std::nullopt;
  }

  // In MMZ's order: no bytes, the kernel's memory, another zone (cma: the first only), the end of the addresses.
  bool check(std::string_view item, Zone& zone) {
    MmzPart& part = zone.part;
    if (part.size == 0) return refuse(item, "size", TextFault::zero_size, zone.name), false;
    const std::uint64_t bytes = part.size.value();
    if (!by_kernel() && !is_clear(item, part.start, bytes, zone.name)) return false;
    if (bytes - 1 > last_address() - part.start) return refuse(item, "size", TextFault::wraps, zone.name), false;
    const bool ends_at_the_top = bytes - 1 == last_address() - part.start;
    if (ends_at_the_top && !is_first_two()) part.size = bytes - (bytes < mmz_page ? bytes : mmz_page);
    return true;
  }
  bool is_clear(std::string_view item, std::uint64_t start, std::uint64_t bytes, const std::string& name) {
    if (touches_kernel(start, bytes)) return refuse(item, "start", TextFault::kernel_memory, name), false;
    for (const BoardHeap& heap : board_.table.heaps) {
      const MmzPart& other = std::get<MmzPart>(heap.part);
      if (!heap.base) continue;  // cma's, anywhere: where, the kernel says later
      if (!overlap(start, bytes, other.start, other.size.value())) continue;
      return refuse(item, "start", TextFault::overlap, name).other = heap.name, false;
    }
    return true;
  }
  bool touches_kernel(std::uint64_t start, std::uint64_t bytes) const noexcept {
    return system_.kernel && system_.kernel->size != 0 &&
           overlap(start, bytes, system_.kernel->base, system_.kernel->size.value());
  }
  static bool overlap(std::uint64_t a, std::uint64_t a_bytes, std::uint64_t b, std::uint64_t b_bytes) noexcept {
    return a <= last_of(b, b_bytes) && b <= last_of(a, a_bytes);
  }
  static std::uint64_t last_of(std::uint64_t start, std::uint64_t bytes) noexcept {
    return bytes - 1 > ~start ? ~std::uint64_t{0} : start + (bytes - 1);
  }

  // The heap has the whole pages of the zone: no other is ever placed in.
  bool register_zone(std::string_view item, Zone& zone) {
    const std::uint64_t pages = whole_pages(zone.part.start, zone.part.size.value());
    if (pages == 0) return refuse(item, "size", TextFault::zero_size, zone.name), false;
    if (board_.table.heaps.size() == most_heaps) return refuse(item, "mmz", TextFault::too_many, zone.name), false;
    if (by_kernel() && has(zone.name)) return refuse(item, "name", TextFault::duplicate_name, zone.name), false;
    BoardHeap heap{.name = zone.name,
                   .id = static_cast<unsigned>(board_.table.heaps.size()),
                   .size = pages * mmz_page,
                   .strategy = by_kernel() ? "bitmap" : "best_fit_mmz",
                   .part = zone.part,
                   .line = 1};
    const bool is_anywhere = by_kernel() && zone.part.start == 0;
    if (!is_anywhere) heap.base = bits::align_up(zone.part.start, mmz_page);
    board_.table.heaps.push_back(std::move(heap));
    return true;
  }
  static std::uint64_t whole_pages(std::uint64_t start, std::uint64_t bytes) noexcept {
    const std::uint64_t last = start + (bytes - 1);
    const std::uint64_t first_page = start / mmz_page + (start % mmz_page != 0 ? 1 : 0);
    const std::uint64_t end_page = last / mmz_page + (last % mmz_page == mmz_page - 1 ? 1 : 0);
    return bytes == 0 || end_page <= first_page ? 0 : end_page - first_page;
  }
  bool has(const std::string& name) const noexcept {
    for (const BoardHeap& heap : board_.table.heaps) {
      if (heap.name == name) return true;
    }
    return false;
  }

  bool read_windows() {
    for (const std::string_view item : split(windows_, ':')) {
      if (!read_window(item) && !goes_on()) return false;
    }
    return true;
  }
  bool read_window(std::string_view item) {
    const auto fields = split(item, ',');
    if (fields.size() != 2) {
      return refuse(item, "map_mmz", TextFault::field_count).value = std::to_string(fields.size()), false;
    }
    const TextNumber start = parse_c_number(fields[0], "KM");
    const TextNumber size = parse_c_number(fields[1], "KM");
    if (start.fault != TextFault::none || start.value > last_address())
      return refuse(fields[0], "map_mmz", TextFault::out_of_range), false;
    if (size.fault != TextFault::none || size.value > last_address())
      return refuse(fields[1], "map_mmz", TextFault::out_of_range), false;
    if (size.value == 0) return refuse(item, "map_mmz", TextFault::zero_size), false;
    if (!is_clear(item, start.value, size.value, {})) return error_.field = "map_mmz", false;
    for (const MmzWindow& other : board_.windows) {
      if (overlap(start.value, size.value, other.start, other.size))
        return refuse(item, "map_mmz", TextFault::overlap), false;
    }
    if (size.value - 1 > last_address() - start.value) return refuse(item, "map_mmz", TextFault::wraps), false;
    board_.windows.push_back({start.value, size.value});
    return true;
  }

  const MmzSystem& system_;
  MmzBoard board_;
  TextError error_ = {};
  std::string_view line_ = {};
  std::string_view zones_ = {};
  std::string_view windows_ = {};
  std::string_view allocator_ = {};
  std::string_view anony_ = {};
  std::string_view isolation_ = {};
  bool is_running_ = false;
};

}  // namespace detail

// Errors: syntax and unknown_field (of a module's line); too_long (mmz, map_mmz: 255 bytes, mmz_allocator: 31);
// unknown_word for an allocator, and where anony is not 1; nothing_left where the system needs a zone; and what is
// refused of zones and windows: field_count, out_of_range, zero_size, kernel_memory, overlap, wraps, unknown_zone (the
// kernel has 64), duplicate_name (two of cma's would be one), too_many (64).
//
// Names are cut to 31 characters; two zones may have the same. A zone that ends at the top of the addresses loses a
// page there (from g3 on). Unlike MMZ's, this reading takes no number modulo the addresses: what leaves them is
// refused, in g1 and g2 too, which do not look. A zone at address 0, which MMZ registers and then finds nothing in, is
// a zone like any other here. (Some kernels that have MMZ built in take map_mmz= for mmz=: that is not followed.)
inline TextResult<MmzBoard> read_mmz(std::string_view line, const MmzSystem& system = {}) {
  MmzBoard board;
  board.table.order = "newest_first";
  return detail::MmzReader(system, std::move(board)).read(line);
}

// What is written to /proc/media-mem of the first two generations: a list of zones more, of at most 255 bytes. Zones
// that are refused are left out, whatever they are; the write itself fails with too_long only. Of `system` the
// addresses and the kernel's memory count; the generation is the board's.
inline TextResult<MmzBoard> add_mmz_zones(MmzBoard board, std::string_view zones, MmzSystem system = {}) {
  system.generation = board.generation;
  return detail::MmzReader(system, std::move(board)).add(zones);
}

// The zones that a request may be served from: those of its name, and of its gfp unless that is 0. No name, or an empty
// one: "anonymous" (set_top: an empty one is every zone). With cma only the newest of them.
inline HeapMask mmz_zones(const MmzBoard& board, std::optional<std::string_view> name, std::uint64_t gfp) noexcept {
  const bool is_any = board.generation == MmzGeneration::set_top && name && name->empty();
  const std::string_view wanted = name && !name->empty() ? *name : "anonymous";
  HeapMask zones;
  for (std::size_t place = board.table.heaps.size(); place-- != 0;) {
    const BoardHeap& heap = board.table.heaps[place];
    const auto* part = std::get_if<MmzPart>(&heap.part);
    if (part == nullptr || (gfp != 0 && part->gfp != gfp) || (!is_any && heap.name != wanted)) continue;
    zones = zones | HeapMask::of(heap.id);
    if (board.allocator == MmzAllocator::cma) break;
  }
  return zones;
}

}  // namespace freestone
