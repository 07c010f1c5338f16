// CMA in texts: its parameter, and what debugfs and sysfs show of an area. (shared/spec: MSYS 6.1, 6.5.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/heap/cma_area.hpp>
#include <freestone/heap/cma_plan.hpp>
#include <freestone/heap/os/text_number.hpp>

namespace freestone {

// `cma=`: SIZE[@BASE[-LIMIT]], numbers with K, M, G behind. A base alone is fixed; a window is not. Empty: no area is wanted (size 0).
// What follows a number is nothing to it.
inline std::optional<CmaWanted> read_cma(std::string_view text) noexcept {
  const auto number = [](std::string_view& left) {
    const TextNumber read = parse_c_number(left, "KMG");
    const std::size_t end = left.find_first_of("@-");
    left = end == std::string_view::npos ? std::string_view() : left.substr(end);
    return read.value;
  };
  CmaWanted wanted{.size = number(text)};
  if (wanted.size == 0) return std::nullopt;
  if (text.empty() || text.front() != '@') return wanted;
  text.remove_prefix(1);
  wanted.base = number(text);
  wanted.is_fixed = text.empty() || text.front() != '-';
  if (!wanted.is_fixed) text.remove_prefix(1);
  wanted.limit = wanted.is_fixed ? wanted.base + wanted.size : number(text);
  return wanted;
}

// The files of /sys/kernel/debug/cma/NAME, but those that are written.
template <class Area>
std::vector<std::pair<std::string, std::string>> cma_debug_files(Area& area) {
  const auto& settings = area.settings();
  const std::uint64_t bits = area.total() >> settings.order_per_bit;
  std::vector<std::uint32_t> words(static_cast<std::size_t>((bits + 31) / 32));
  area.for_each_used([&](const CmaRange& used) {
    const std::uint64_t first = (used.first_page - settings.range.first_page) >> settings.order_per_bit;
    for (std::uint64_t bit = first; bit < first + (used.pages >> settings.order_per_bit); ++bit) {
      words[static_cast<std::size_t>(bit / 32)] |= std::uint32_t{1} << bit % 32;
    }
  });
  std::string bitmap;
  for (const std::uint32_t word : words) bitmap += (bitmap.empty() ? "" : " ") + std::to_string(word);
  const auto line = [](std::uint64_t value) { return std::to_string(value) + '\n'; };
  return {{"base_pfn", line(settings.range.first_page)},
          {"count", line(area.total())},
          {"order_per_bit", line(settings.order_per_bit)},
          {"used", line(area.used())},
          {"maxchunk", line(area.largest_free())},
          {"bitmap", bitmap + '\n'}};
}
// The files of /sys/kernel/mm/cma/NAME.
template <class Area>
std::vector<std::pair<std::string, std::string>> cma_sysfs_files(Area& area) {
  const auto counts = area.counts();
  const auto line = [](std::uint64_t value) { return std::to_string(value) + '\n'; };
  return {{"alloc_pages_success", line(counts.allocated)},
          {"alloc_pages_fail", line(counts.failed)},
          {"release_pages_success", line(counts.released)},
          {"total_pages", line(area.total())},
          {"available_pages", line(area.available())}};
}

}  // namespace freestone
