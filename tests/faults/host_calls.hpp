// The host's calls that the library makes, so that any one of them can be made to fail: each is linked under the name
// __wrap_… (ld's --wrap), counted, and handed on.
#pragma once

#include <cstdint>

namespace freestone::tests {

// The n-th call from now on fails with `os_error`, or it and all after it.
struct HostFault {
  int at = 0;  // 0: none
  bool for_ever = false;
  int os_error = 0;
  int calls = 0;
  int failed = 0;
};
inline HostFault host_fault;

// What a process holds that a failed call could leave behind.
struct Holdings {
  int fds = 0;
  std::uint64_t mapped = 0;  // bytes, but for the heap's and the stack's

  friend bool operator==(const Holdings&, const Holdings&) = default;
};
Holdings holdings();

}  // namespace freestone::tests
