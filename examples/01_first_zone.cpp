#include <cstdio>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>
#include <freestone/lock/os/mutex.hpp>

using namespace freestone;
using CameraZone = Zone<backing::MemoryFile, strategy::Buddy, lock::Mutex, cache::Coherent>;

int main() {
  auto zone = CameraZone::create({.name = "camera", .size = 64_MiB, .granule = 4_KiB});
  if (!zone) return std::puts(describe(zone.error()).c_str()), 1;
  auto frame = zone->allocate({.size = 3'110'400, .align = 64_KiB});
  if (!frame) return std::puts(describe(frame.error()).c_str()), 1;
  std::printf("a frame of %zu bytes at offset %ju\n", zone->data(*frame).size(), frame->offset().value());
  if (auto freed = zone->deallocate(*frame); !freed) return 1;
  auto again = zone->deallocate(*frame);  // the second time is an error value, always
  std::puts(describe(again.error()).c_str());
}
