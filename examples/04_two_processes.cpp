// A zone that two processes use at once: it lies in a memfd, map and lock and all. The parent hands the file descriptor to a
// child that is another program as far as the kernel is concerned; each allocates, and each reads the other's block.
#include <sys/wait.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/freestone.hpp>
#include <string>

using namespace freestone;

// lock::Mutex would not compile here: it orders threads of one process only, and `attach` says so.
using SharedZone = Zone<backing::MemoryFile, strategy::Bitmap, lock::Spin, cache::Coherent>;
constexpr ZoneOptions options{.name = "mailbox", .size = 1_MiB, .granule = 4_KiB};

// A block's offset means the same in every process; its address does not.
Result<Block> write_text(SharedZone& zone, const char* text) {
  auto block = zone.allocate({.size = std::strlen(text) + 1});
  if (block) std::memcpy(zone.data(*block).data(), text, std::strlen(text) + 1);
  return block;
}

void print_texts(SharedZone& zone, const char* who) {
  zone.for_each_block([&](const Block& block) {
    std::printf("%s reads at %5" PRIu64 ": %s\n", who, block.offset().value(),
                reinterpret_cast<const char*>(zone.data(block).data()));
  });
  std::fflush(stdout);
}

int child(int fd) {
  auto zone = SharedZone::attach(options, backing::MemoryFile::Source{fd});
  if (!zone) return std::puts(describe(zone.error()).c_str()), 1;
  print_texts(*zone, "child ");
  return write_text(*zone, "the child was here") ? 0 : 1;
}

// The same program again, as child(fd); true when it ended well.
bool run_child(const char* program, int fd) {
  const pid_t pid = fork();
  if (pid == 0) {
    const int inherited = dup(fd);  // unlike the zone's own, it stays open across exec
    execl(program, program, std::to_string(inherited).c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char** argv) {
  if (argc == 2) return child(std::atoi(argv[1]));
  auto zone = SharedZone::create(options);
  if (!zone) return std::puts(describe(zone.error()).c_str()), 1;
  if (!write_text(*zone, "hello from the parent") || !run_child("/proc/self/exe", zone->backing().fd())) return 1;
  print_texts(*zone, "parent");
}
