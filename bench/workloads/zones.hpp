#pragma once

#include "../contestants.hpp"
#include "subject.hpp"

namespace freestone::bench::workloads {

// The contestants, each as a bare zone.
Subjects zone_subjects(const Contestants& contestants);

}  // namespace freestone::bench::workloads
