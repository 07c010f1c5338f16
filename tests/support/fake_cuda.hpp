// A stand-in for CUDA's driver library, to see what the backings ask of it: how much of each thing lives, and what
// happens when the GPU has no more or any one call fails. It has two GPUs, and serves one call after another. It is no
// GPU; where there is one, the same tests run on it too.
#pragma once

#include <dlfcn.h>

#include <doctest/doctest.h>

#include <string>

#include <freestone/backing/os/cuda.hpp>
#include "laws/backing.hpp"
#include "support/fake_cuda_state.hpp"

namespace freestone::tests {

inline FakeCudaState& fake_cuda() {
  static void* library = dlopen(FREESTONE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  return *static_cast<FakeCudaState*>(dlsym(library, "fake_cuda_state"));
}
inline bool nothing_is_left() {
  const FakeCudaState& state = fake_cuda();
  return state.contexts == 0 && state.current == 0 && state.reservations == 0 && state.pieces == 0 &&
         state.handles == 0 && state.pinned == 0 && !state.misused;
}

inline constexpr backing::cuda::Gpu::Settings fake_gpu{.device = 0, .library = FREESTONE_FAKE_CUDA};

inline bool has_gpu() { return static_cast<bool>(backing::cuda::Gpu::open({}, "")); }

template <class B>
void keeps_the_laws() {
  CHECK(laws::GivesWhatWasAsked::holds<B>());
  CHECK(laws::DataAndNotesLieApart::holds<B>());
  CHECK(laws::AMoveTakesEverything::holds<B>());
  CHECK(laws::TwoShareNothing::holds<B>());
}
// Over the stand-in, and on a GPU where there is one.
template <class OnStandIn, class OnGpu>
void keep_the_laws() {
  keeps_the_laws<OnStandIn>();
  CHECK(nothing_is_left());
  if (!has_gpu()) {
    MESSAGE("there is no GPU: tried over a stand-in for its driver only");
    return;
  }
  keeps_the_laws<OnGpu>();
}

// Does the action once for each of the driver's calls in it, which fails, until none is left that can; `then` sees what
// it left. Each error names the library and the zone. How many calls there are.
template <class Action, class Then>
int fail_each_call(const std::string& zone, Action&& action, Then&& then) {
  FakeCudaState& state = fake_cuda();
  for (int call = 1;; ++call) {
    INFO("the driver's call ", call, " fails");
    state.calls = 0;
    state.fails_at = call;
    const auto done = action();
    state.fails_at = 0;
    if (done) return call - 1;
    REQUIRE(state.calls >= call);  // else it failed of something else
    CHECK(done.error().code == ErrorCode::node_failure);
    CHECK(done.error().os_error == -fake_cuda_failure);
    CHECK(std::string(done.error().node()) == FREESTONE_FAKE_CUDA);
    CHECK(std::string(done.error().zone) == zone);
    then();
  }
}

}  // namespace freestone::tests
