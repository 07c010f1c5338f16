// What the stand-in for CUDA's driver library and its tests share.
#pragma once

namespace freestone::tests {

// All that somebody has to give back; how many pieces the GPUs still have; and which call is to fail.
struct FakeCudaState {
  int contexts = 0;
  int current = 0;  // contexts that were pushed and not popped
  int reservations = 0;
  int pieces = 0;   // made, and neither let go of nor unmapped
  int handles = 0;  // made, and not let go of
  int pinned = 0;
  int pieces_left = 1000;
  int calls = 0;         // of those that may fail, whatever they are of
  int fails_at = 0;      // which of them does, with fake_cuda_failure; none at 0
  bool is_slow = false;  // another thread may come between the calls
  bool misused = false;  // a call that CUDA would refuse, or would not survive
  bool (*also_fails)() = nullptr;  // asked of each such call that giving back can do without: does it?
};

inline constexpr int fake_cuda_failure = 999;

}  // namespace freestone::tests
