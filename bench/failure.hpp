#pragma once

#include <stdexcept>

namespace freestone::bench {

// What the user gave is wrong: one line for him, and exit status 2.
struct BadInput : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace freestone::bench
