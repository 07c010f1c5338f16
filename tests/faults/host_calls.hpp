// The host's calls that the library makes, so that any one of them can be made to fail. Each is linked under the name
// __wrap_… (ld's --wrap), numbered, and handed on; operator new is the test's own (heap_calls.cpp).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace freestone::tests {

// The n-th call from now on fails with `os_error`, or it and all after it. Hints are calls that may fail with nobody
// being told.
struct HostFault {
  int at = 0;  // 0: none
  bool for_ever = false;
  int os_error = 0;
  std::span<const std::string_view> hints = {};
  std::span<const std::string_view> only = {};  // empty: any call; otherwise no other is numbered
  bool is_told = true;  // false: all are hints, for what ends cannot say what failed
  int calls = 0;
  int failed = 0;
  std::string_view what = "";  // the first that failed and is no hint
};
inline HostFault host_fault;

// One more call: is it to fail? Then errno is set.
bool host_call_fails(std::string_view call) noexcept;

// While it lives nothing is numbered, nothing fails, and no limit holds: for what the test does itself.
class NoFaults {
 public:
  NoFaults() noexcept;
  ~NoFaults();
  NoFaults(const NoFaults&) = delete;
  NoFaults& operator=(const NoFaults&) = delete;

 private:
  HostFault before_;
  std::uint64_t files_;  // limits
  std::uint64_t bytes_;
};

// What else a host can be like: without SO_PEERPIDFD, as before Linux 6.5; and every file looks like a dma-buf.
inline bool has_peer_pidfd = true;
inline bool files_are_dma_bufs = false;

inline std::string folder;       // of this run's own
inline std::string shared_name;  // what its shared memories' names begin with

// What a process holds that a failed call could leave behind.
struct Holdings {
  int fds = 0;
  int files = 0;             // in the folder, and names of shared memory
  std::uint64_t mapped = 0;  // bytes, but for the heap's and the stack's; under a sanitizer 0
  std::int64_t heap = 0;     // blocks of operator new and calloc

  friend bool operator==(const Holdings&, const Holdings&) = default;
};
Holdings holdings();
std::int64_t heap_blocks() noexcept;
void count_heap_blocks(int more) noexcept;

}  // namespace freestone::tests
