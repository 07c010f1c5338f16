#pragma once

#include <span>

#include "measure.hpp"

namespace freestone::bench::workloads {

// Those that can be counted: named, of one phase and one thread; of all W1, W2 and W3. Throws BadInput where there is
// none, or no callgrind.
std::vector<Setting> pick_countable(const std::vector<std::string>& names);

// Every subject, each of this process, into the report: it runs in a child, shortened, under callgrind. What peer::null
// needs is taken off the others. Not a matter of chance: one run.
void measure_instructions(std::span<const std::unique_ptr<Subject>> subjects, const std::vector<Setting>& settings,
                          Progress& progress, Report& report);

// The child's side: prints how many operations were counted.
void count_instructions(const Subject& subject, const Setting& setting);

}  // namespace freestone::bench::workloads
