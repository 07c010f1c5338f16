// A file keeps its blocks over a restart, whatever ended the run before. The first run makes the zone, writes a text into
// a block and is killed; the second finds both, and gives the block back; the third finds an empty zone and does as the
// first. (Here one program plays all three, in a folder that it removes.)
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <freestone/backing/os/file.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>
#include <string>

using namespace freestone;
using backing::File;
using KeptZone = Zone<File, strategy::Bitmap, lock::Spin, cache::Coherent>;

// The zone that is there, as whoever died inside left it and made whole again; or a new one. (One process at a time uses
// this file: a recovery with this lock wants the zone for itself.)
Result<KeptZone> open_zone(const char* path) {
  const ZoneOptions options{.name = "kept", .size = 1_MiB, .granule = 4_KiB};
  const auto keep_all = [](std::uint8_t) { return true; };
  auto zone = KeptZone::attach_and_recover(options, File::Source{path}, keep_all);
  if (zone || zone.error().code != ErrorCode::no_device) return zone;
  return KeptZone::create(options, File::Settings{path});
}

int run(const char* path) {
  auto zone = open_zone(path);
  if (!zone) return std::puts(describe(zone.error()).c_str()), 1;
  const std::uint64_t blocks = zone->stats().blocks;
  std::printf("%" PRIu64 " blocks\n", blocks);
  if (blocks == 0) {
    auto block = zone->allocate(100);
    if (!block) return 1;
    std::strcpy(reinterpret_cast<char*>(zone->data(*block).data()), "what the first run wrote");
    if (!zone->backing().sync()) return 1;
    std::fflush(stdout);
    raise(SIGKILL);
  }
  std::uint64_t offset = 0;
  zone->for_each_block([&](const Block& block) {
    std::printf("at %" PRIu64 ": %s\n", block.offset().value(),
                reinterpret_cast<const char*>(zone->data(block).data()));
    offset = block.offset().value();
  });
  return zone->deallocate_at(offset) ? 0 : 1;
}

int main() {
  char folder[] = "/tmp/freestone-example-XXXXXX";
  if (mkdtemp(folder) == nullptr) return std::perror(folder), 1;
  const std::string path = std::string(folder) + "/kept.zone";
  int failed = 0;
  for (int i = 0; i < 3; ++i) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) std::exit(run(path.c_str()));
    int status = 1;
    const bool ended = waitpid(child, &status, 0) == child;
    failed |= !ended || (i == 1 ? status != 0 : !WIFSIGNALED(status));
  }
  failed |= !File::remove(path.c_str());
  rmdir(folder);
  return failed;
}
