#pragma once

#include <optional>
#include <string>
#include <vector>

namespace freestone::bench::workloads {

// What a program writes, once it has ended well; empty when it did not, or there is none. Its complaints go nowhere.
// `setting` is added to its environment: NAME=VALUE, or empty.
std::optional<std::string> output_of(std::vector<std::string> command, const std::string& setting = {});

// This program.
std::string own_path();

}  // namespace freestone::bench::workloads
