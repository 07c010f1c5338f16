// Zones over a GPU, of which a stand-in for its driver's library plays the part: its calls are numbered with the
// host's.
#include <dlfcn.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include <freestone/backing/os/cuda_device.hpp>
#include <freestone/backing/os/cuda_pinned.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/zone/zone.hpp>
#include "faults/subjects.hpp"
#include "faults/sweep.hpp"
#include "support/fake_cuda_state.hpp"

extern "C" {
void* __real_dlopen(const char*, int);
void* __wrap_dlopen(const char* name, int flags) {
  return freestone::tests::host_call_fails("dlopen") ? nullptr : __real_dlopen(name, flags);
}
}  // extern "C"

namespace freestone::tests {

namespace {

constexpr backing::cuda::Gpu::Settings gpu{.device = 0, .library = FREESTONE_FAKE_CUDA};

template <class B>
using ZoneOf = Zone<B, strategy::Bitmap, lock::Spin, cache::Coherent>;

ZoneOptions called(const char* name) { return {.name = name, .size = 6_MiB, .granule = 4_KiB}; }

// What the driver has handed out is part of what must be the same.
template <class Inner>
class Counted : public Inner {
 public:
  Counted(FakeCudaState& driver, Inner inner) : Inner(std::move(inner)), driver_(driver) {}
  auto state() {
    const FakeCudaState& d = driver_;
    return std::tuple(Inner::state(), d.contexts, d.current, d.reservations, d.pieces, d.handles, d.pinned, d.misused);
  }

 private:
  FakeCudaState& driver_;
};

}  // namespace

void sweep_gpus() {
  void* const library = dlopen(FREESTONE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return ++f4.unusable, complain("the stand-in for CUDA", dlerror());
  auto& driver = *static_cast<FakeCudaState*>(dlsym(library, "fake_cuda_state"));
  driver.also_fails = [] { return host_call_fails("driver"); };
  const auto both = [&](const std::string& name, auto make) {
    const auto subject = [&] { return Counted(driver, Making(make)); };
    sweep(name, subject());
    run_out_of_files(name, subject());
  };
  using Device = ZoneOf<backing::CudaDevice>;
  using Settings = backing::CudaDevice::Settings;
  both("CudaDevice", [](const char* name, bool) { return Device::create(called(name), Settings{.gpu = gpu}); });
  both("CudaPinned", [](const char* name, bool) { return ZoneOf<backing::CudaPinned>::create(called(name), gpu); });
  auto commits =
      Using(*Device::create(called(subject_name), Settings{.gpu = gpu, .committed = false}), [](Device& zone) {
        const auto block = zone.allocate(4_MiB);
        if (!block) return block.error();
        const Error error = zone.commit(*block).error();
        const NoFaults here;
        if (const auto gone = zone.decommit(*block); !gone) return gone.error();
        const auto gone = zone.deallocate(*block);
        return error ? error : gone.error();
      });
  sweep("CudaDevice, commit", Counted(driver, std::move(commits)));
  driver.also_fails = nullptr;
  dlclose(library);
}

}  // namespace freestone::tests
