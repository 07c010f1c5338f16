#pragma once

#include <string>
#include <vector>

#include "subject.hpp"

namespace freestone::bench::workloads {

// No allocator at all: what a workload costs by itself.
Subjects null_subject();

// Those of this process.
Subjects peer_subjects();

// A malloc, measured in a child that runs this program with it in the place of the host's. Those whose libraries are
// not there are left out, and a note says how to get them.
Subjects malloc_subjects(bool quick, std::vector<std::string>& notes);

// The child's side: the malloc that this process has, by the name of a subject; empty where it is not that one.
std::unique_ptr<Subject> own_malloc(const std::string& name);

}  // namespace freestone::bench::workloads
