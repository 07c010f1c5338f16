// A stand-in for CUDA's driver library, to see what the backings ask of it: how much of each thing lives, and what
// happens when the GPU has no more. It is no GPU; where there is one, the same tests run on it too.
#pragma once

#include <dlfcn.h>

#include <doctest/doctest.h>

#include <freestone/backing/os/cuda.hpp>

namespace freestone::tests {

// All that somebody has to give back; and how many pieces the GPU still has.
struct FakeCudaState {
  int contexts = 0;
  int current = 0;  // contexts that were pushed and not popped
  int reservations = 0;
  int pieces = 0;  // made, and neither let go of nor unmapped
  int pinned = 0;
  int pieces_left = 1000;
  bool misused = false;  // a call that CUDA would refuse, or would not survive
};

inline FakeCudaState& fake_cuda() {
  static void* library = dlopen(FREESTONE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  return *static_cast<FakeCudaState*>(dlsym(library, "fake_cuda_state"));
}
inline bool nothing_is_left() {
  const FakeCudaState& state = fake_cuda();
  return state.contexts == 0 && state.current == 0 && state.reservations == 0 && state.pieces == 0 &&
         state.pinned == 0 && !state.misused;
}

inline constexpr backing::cuda::Gpu::Settings fake_gpu{.device = 0, .library = FREESTONE_FAKE_CUDA};

inline bool has_gpu() { return static_cast<bool>(backing::cuda::Gpu::open({}, "")); }

}  // namespace freestone::tests
