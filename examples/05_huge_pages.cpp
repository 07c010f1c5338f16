// A zone on huge pages, which says what it got. It asks for pages of 1 GiB; where the host has none, or the zone is no
// multiple of them, for pages of 2 MiB; and takes the machine's own pages when there is nothing larger.
#include <cinttypes>
#include <cstdio>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>

using namespace freestone;
using FrameZone = Zone<backing::Anonymous, strategy::Segregated, lock::None, cache::Coherent>;

int main() {
  const backing::Anonymous::Settings settings{.pages = backing::Pages::huge_1g};
  auto zone = FrameZone::create({.name = "frames", .size = 8_MiB, .granule = 4_KiB}, settings);
  if (!zone) return std::puts(describe(zone.error()).c_str()), 1;
  // To stderr, for it differs from machine to machine.
  std::fprintf(stderr, "pages of %" PRIu64 " KiB\n", zone->backing().page().value() / 1024);
  auto frame = zone->allocate({.size = 3'110'400, .align = 64_KiB});
  if (!frame) return std::puts(describe(frame.error()).c_str()), 1;
  if (auto there = zone->commit(*frame); !there) return std::puts(describe(there.error()).c_str()), 1;
  std::printf("a frame of %zu bytes that no page fault will interrupt\n", zone->data(*frame).size());
}
