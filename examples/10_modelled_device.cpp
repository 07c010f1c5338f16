// A camera's buffer, and a device that does not see the CPU's caches. Both are played here by cache::Modelled, so that a
// forgotten clean shows on any machine; on the board the same code has cache::WriteBack or cache::DmaBufSync in its type.
#include <cstdio>
#include <cstring>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>

using namespace freestone;
using CameraZone = Zone<backing::Anonymous, strategy::Buddy, lock::None, cache::Modelled>;

// What the display's hardware finds in memory.
const char* seen_by_device(CameraZone& zone, const Block& frame) {
  static char text[32];
  if (!zone.cache().device_read(frame.offset(), std::as_writable_bytes(std::span(text)))) return "?";
  return *text == '\0' ? "(nothing)" : text;
}

int main() {
  auto zone = CameraZone::create({.name = "camera", .size = 1_MiB, .granule = 4_KiB});
  if (!zone) return std::puts(describe(zone.error()).c_str()), 1;
  const auto frame = zone->allocate(64_KiB);
  if (!frame) return std::puts(describe(frame.error()).c_str()), 1;

  std::strcpy(reinterpret_cast<char*>(zone->data(*frame).data()), "a frame");
  std::printf("written, and the clean forgotten: the device sees %s\n", seen_by_device(*zone, *frame));

  if (auto picture = zone->cpu_write(*frame)) std::strcpy(reinterpret_cast<char*>(picture->data()), "a frame");
  std::printf("written in a bracket:             the device sees %s\n", seen_by_device(*zone, *frame));

  const char cooked[] = "the device's";
  if (!zone->cache().device_write(frame->offset(), std::as_bytes(std::span(cooked)))) return 1;
  std::printf("read, and the invalidate forgotten: the CPU sees %s\n",
              reinterpret_cast<const char*>(zone->data(*frame).data()));
  if (const auto picture = zone->cpu_read(*frame)) {
    std::printf("read in a bracket:                  the CPU sees %s\n", reinterpret_cast<const char*>(picture->data()));
  }
}
