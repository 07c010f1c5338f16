#include "setting.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "../failure.hpp"

namespace freestone::bench::workloads {

namespace {

constexpr std::uint64_t mebibytes(std::uint64_t count) { return count << 20; }
constexpr std::uint64_t gibibytes(std::uint64_t count) { return count << 30; }

constexpr std::array settings = {
    Setting{.name = "W1",
            .summary = "64 KiB comes and goes in an empty zone of 1 GiB",
            .kind = Kind::pair,
            .zone_bytes = gibibytes(1),
            .steps = 1'000'000,
            .quick_steps = 200'000},
    Setting{.name = "W1-lifo64",
            .summary = "64 blocks of 64 KiB come, and go the last one first, in an empty zone of 1 GiB",
            .kind = Kind::lifo,
            .zone_bytes = gibibytes(1),
            .steps = 16'000,
            .quick_steps = 3'000},
    Setting{.name = "W2",
            .summary = "one at random goes, another comes: 4 KiB to 4 MiB, 1 GiB, 75 % full",
            .kind = Kind::random,
            .zone_bytes = gibibytes(1),
            .largest = 1024,
            .load_percent = 75,
            .steps = 500'000,
            .quick_steps = 100'000},
    Setting{.name = "W2h",
            .summary = "W2, 50 % full",
            .kind = Kind::random,
            .zone_bytes = gibibytes(1),
            .largest = 1024,
            .load_percent = 50,
            .steps = 500'000,
            .quick_steps = 100'000},
    Setting{.name = "W3",
            .summary = "one at random goes, another comes: 4 KiB to 64 KiB, 4 GiB, 95 % full",
            .kind = Kind::random,
            .zone_bytes = gibibytes(4),
            .largest = 16,
            .load_percent = 95,
            .steps = 500'000,
            .quick_steps = 100'000},
    Setting{.name = "W3h",
            .summary = "W3, 60 % full",
            .kind = Kind::random,
            .zone_bytes = gibibytes(4),
            .largest = 16,
            .load_percent = 60,
            .steps = 500'000,
            .quick_steps = 100'000},
    Setting{.name = "W4",
            .summary = "W2, each block aligned to 4 KiB to 2 MiB",
            .kind = Kind::random,
            .zone_bytes = gibibytes(1),
            .largest = 1024,
            .load_percent = 75,
            .aligned = true,
            .steps = 500'000,
            .quick_steps = 100'000},
    Setting{.name = "W5",
            .summary = "how full it gets: 4 KiB to 4 MiB in 1 GiB",
            .kind = Kind::occupancy,
            .zone_bytes = gibibytes(1),
            .largest = 1024},
    Setting{.name = "W5-small",
            .summary = "how full it gets: 4 KiB to 64 KiB in 256 MiB",
            .kind = Kind::occupancy,
            .zone_bytes = mebibytes(256),
            .largest = 16},
    Setting{.name = "W6",
            .summary = "three rings of video frames, first in first out, in 256 MiB",
            .kind = Kind::rings,
            .zone_bytes = mebibytes(256),
            .steps = 40'000,
            .quick_steps = 10'000},
    Setting{.name = "W7-order0",
            .summary = "frames of 4 KiB in 4 GiB",
            .kind = Kind::frames,
            .zone_bytes = gibibytes(4),
            .steps = 1 << 19,
            .quick_steps = 1 << 17},
    Setting{.name = "W7-order9",
            .summary = "frames of 2 MiB in 16 GiB",
            .kind = Kind::frames,
            .zone_bytes = gibibytes(16),
            .smallest = 512,
            .largest = 512,
            .steps = 1 << 19,
            .quick_steps = 1 << 17},
    Setting{.name = "W8",
            .summary = "threads that each hold 30 % of 1 GiB: one at random goes, another comes, 4 KiB to 1 MiB",
            .kind = Kind::threads,
            .zone_bytes = gibibytes(1),
            .largest = 256,
            .load_percent = 30,
            .steps = 500'000,
            .quick_steps = 100'000},
};

void check_names(const std::vector<std::string>& names) {
  std::string known;
  for (const Setting& one : settings) known += fmt::format("{}{}", known.empty() ? "" : ", ", one.name);
  for (const std::string& name : names) {
    const auto is_it = [&](const Setting& one) { return one.name == name; };
    if (std::any_of(settings.begin(), settings.end(), is_it)) continue;
    throw BadInput(fmt::format("--only: unknown workload '{}', expected some of {}", name, known));
  }
}

}  // namespace

std::vector<Setting> pick_settings(const std::vector<std::string>& names) {
  check_names(names);
  std::vector<Setting> picked(settings.begin(), settings.end());
  if (names.empty()) return picked;
  std::erase_if(picked,
                [&](const Setting& one) { return std::find(names.begin(), names.end(), one.name) == names.end(); });
  return picked;
}

}  // namespace freestone::bench::workloads
