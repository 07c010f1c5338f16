// What went wrong, on stderr.
#pragma once

#include <cstdio>

#include <freestone/core/os/describe.hpp>
#include <freestone/core/result.hpp>

bool is_good(const auto& result) {
  if (!result) std::fprintf(stderr, "%s\n", describe(result.error()).c_str());
  return static_cast<bool>(result);
}
