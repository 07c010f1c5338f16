#pragma once

#include "../options.hpp"

namespace freestone::bench::workloads {

// `./dev bench --workloads`, `--peers`, `--instructions`. Throws BadInput.
void run(const Options& options);

}  // namespace freestone::bench::workloads
