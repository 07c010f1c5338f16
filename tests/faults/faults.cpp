// The failure sweep: the n-th call of the host's, or of the zone behind a layer, fails, once or for ever, n from 1 until
// none is left that could; and every limit on open files from none on. After each: the call's error is a value, what was
// there is as it was, nothing is left behind, and the same call then succeeds. A line for each subject, and in the end one
// for each fault:
//
//   fault=F4 seed=… runs=… unusable=0 leaked=0 corrupt=0
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <freestone/backing/cascade.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/dma_heap.hpp>
#include <freestone/backing/os/file.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/os/reserved.hpp>
#include <freestone/backing/os/shared_memory.hpp>
#include <freestone/backing/os/udmabuf.hpp>
#include <freestone/backing/with_notes.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/cache/os/dma_buf_sync.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/core/os/describe.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/zone.hpp>

#include "faults/host_calls.hpp"
#include "faults/layers.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::uint64_t seed = 20080923;

struct Row {
  const char* fault;
  std::uint64_t runs = 0;
  std::uint64_t unusable = 0;  // the call failed without an error, or does not succeed afterwards
  std::uint64_t leaked = 0;    // something of it is left
  std::uint64_t corrupt = 0;   // what was there before is not as it was

  bool is_good() const { return runs != 0 && unusable + leaked + corrupt == 0; }
  void print() const {
    std::printf("fault=%s seed=%llu runs=%llu unusable=%llu leaked=%llu corrupt=%llu\n", fault,
                static_cast<unsigned long long>(seed), static_cast<unsigned long long>(runs),
                static_cast<unsigned long long>(unusable), static_cast<unsigned long long>(leaked),
                static_cast<unsigned long long>(corrupt));
  }
  // What one subject adds to it.
  void add(const char* subject, const Row& more) {
    std::printf("  %s %s: %llu runs", fault, subject, static_cast<unsigned long long>(more.runs));
    if (!more.is_good()) {
      std::printf(", UNUSABLE %llu, LEAKED %llu, CORRUPT %llu", static_cast<unsigned long long>(more.unusable),
                  static_cast<unsigned long long>(more.leaked), static_cast<unsigned long long>(more.corrupt));
      no_subject_failed = false;
    }
    std::putchar('\n');
    std::fflush(stdout);
    runs += more.runs;
    unusable += more.unusable;
    leaked += more.leaked;
    corrupt += more.corrupt;
  }

  bool no_subject_failed = true;
};
Row f4{.fault = "F4"};
Row f6{.fault = "F6"};

std::string folder;  // of this run's own
std::string shared_name;

// A subject can `call` what may fail, which undoes itself where it succeeds: false where it failed, and then with an
// error. `state` is what must be the same before and after.
template <class Subject>
void sweep(const char* name, Subject&& subject) {
  Row row{.fault = "F4"};
  for (const int os_error : {ENOMEM, EIO, EMFILE}) {
    for (const bool for_ever : {false, true}) {
      for (int n = 1;; ++n) {
        const Holdings held = holdings();
        const auto state = subject.state();
        host_fault = {.at = n, .for_ever = for_ever, .os_error = os_error};
        const Error error = subject.call();
        const bool was_hit = host_fault.failed != 0;
        host_fault = {};
        if (!was_hit) {
          row.unusable += static_cast<bool>(error);
          break;
        }
        ++row.runs;
        row.leaked += holdings() != held;
        row.corrupt += subject.state() != state;
        const Error again = subject.call();
        row.unusable += static_cast<bool>(again);
        if (n > 10'000) {
          std::printf("%s: there is no end to it\n", name);
          std::exit(1);
        }
      }
    }
  }
  f4.add(name, row);
}

// As many files may be opened as `more` says, from none on.
template <class Subject>
void run_out_of_files(const char* name, Subject&& subject) {
  Row row{.fault = "F6"};
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  for (rlim_t more = 0; more <= 8; ++more) {
    const Holdings held = holdings();
    const auto state = subject.state();
    const int lowest = dup(STDERR_FILENO);
    close(lowest);
    const rlimit now{.rlim_cur = static_cast<rlim_t>(lowest) + more, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &now);
    const Error error = subject.call();
    setrlimit(RLIMIT_NOFILE, &before);
    ++row.runs;
    row.unusable += error && error.code != ErrorCode::limit_reached;
    row.leaked += holdings() != held;
    row.corrupt += subject.state() != state;
    row.unusable += static_cast<bool>(subject.call());
  }
  f6.add(name, row);
}

const ZoneOptions options{.name = "faults", .size = 1_MiB, .granule = 4_KiB};

// Makes a zone, uses it once, and lets it go.
template <class Z, class... Settings>
class Making {
 public:
  explicit Making(Settings... settings) : settings_(std::move(settings)...) {}
  int state() const { return access(folder.c_str(), F_OK); }
  Error call() {
    auto zone = std::apply([](const auto&... s) { return Z::create(options, s...); }, settings_);
    if (!zone) return zone.error();
    const auto block = zone->allocate(8_KiB);
    if (!block) return block.error();
    if constexpr (requires { zone->backing().published(); }) remove_name<typename Z::Backing>();
    const auto gone = zone->deallocate(*block);
    return gone.error();
  }

 private:
  template <class B>
  static void remove_name() {
    unlink((folder + "/zone").c_str());
    static_cast<void>(backing::SharedMemory::remove(shared_name.c_str()));
  }
  std::tuple<Settings...> settings_;
};

// Takes up a zone in which there are blocks.
template <class Z, class Source, class... Settings>
class TakingUp {
 public:
  TakingUp(Z zone, Source source) : zone_(std::move(zone)), source_(std::move(source)) {
    for (int i = 0; i < 5; ++i) blocks_.push_back(*zone_.allocate(8_KiB));
    std::memset(zone_.data(blocks_[3]).data(), 0x5A, 8192);
  }
  std::pair<Stats, std::uint64_t> state() {
    std::uint64_t right = 0;
    for (const Block& block : blocks_) right += zone_.owns(block);
    for (const std::byte byte : zone_.data(blocks_[3])) right += byte == std::byte{0x5A};
    return {zone_.stats(), right};
  }
  Error call() {
    auto other = Z::attach(options, source_);
    if (!other) return other.error();
    const auto block = other->allocate(4_KiB);
    if (!block) return block.error();
    return other->deallocate(*block).error();
  }

 private:
  Z zone_;
  Source source_;
  std::vector<Block> blocks_;
};

// Commits and decommits a block beside others.
template <class Z>
class Committing {
 public:
  explicit Committing(Z zone) : zone_(std::move(zone)), kept_(*zone_.allocate(64_KiB)), block_(*zone_.allocate(64_KiB)) {
    std::memset(zone_.data(kept_).data(), 0x5A, 65536);
  }
  std::pair<Stats, std::uint64_t> state() {
    std::uint64_t right = 0;
    for (const std::byte byte : zone_.data(kept_)) right += byte == std::byte{0x5A};
    return {zone_.stats(), right};
  }
  Error call() {
    if (const auto there = zone_.commit(block_); !there) return there.error();
    return zone_.decommit(block_).error();
  }

 private:
  Z zone_;
  Block kept_;
  Block block_;
};

// A block that is a mapping of its own.
class Obtaining {
 public:
  using Z = Zone<backing::Anonymous, strategy::System, lock::None, cache::Coherent>;
  Obtaining() : zone_(*Z::create(options)), kept_(*zone_.allocate(64_KiB)) {}
  Stats state() { return zone_.stats(); }
  Error call() {
    const auto block = zone_.allocate(64_KiB);
    if (!block) return block.error();
    return zone_.deallocate(*block).error();
  }

 private:
  Z zone_;
  Block kept_;
};

template <class B, class C = cache::Coherent>
using ZoneOf = Zone<B, strategy::Bitmap, lock::Spin, C>;

void backings() {
  using namespace backing;
  const std::string path = folder + "/zone";
  const std::string node = folder + "/memory";
  const auto both = [&](const char* name, auto make) {
    sweep(name, make());
    run_out_of_files(name, make());
  };
  both("Anonymous", [] { return Making<ZoneOf<Anonymous>>(); });
  both("Anonymous,huge,locked", [] {
    return Making<ZoneOf<Anonymous>, Anonymous::Settings>({.pages = Pages::huge_1g, .locked = true});
  });
  both("MemoryFile", [] { return Making<ZoneOf<MemoryFile>>(); });
  both("SharedMemory", [] { return Making<ZoneOf<SharedMemory>, SharedMemory::Settings>({shared_name.c_str()}); });
  both("File", [&] { return Making<ZoneOf<File>, File::Settings>({path.c_str()}); });
  both("WithNotes", [] { return Making<ZoneOf<WithNotes<MemoryFile, Anonymous>>>(); });
  both("Modelled", [] { return Making<ZoneOf<Anonymous, cache::Modelled>>(); });
  both("DevMem", [&] {
    return Making<ZoneOf<DevMem, cache::Uncached>, DevMem::Settings>({.base = PhysicalAddress(0), .path = node.c_str()});
  });
  const auto where_there_is = [&](const char* name, const char* device, auto make) {
    if (access(device, R_OK | W_OK) == 0) return both(name, make);
    std::printf("skipped: %s: no %s here\n", name, device);
  };
  where_there_is("DmaHeap", "/dev/dma_heap/system",
                 [] { return Making<ZoneOf<DmaHeap, cache::DmaBufSync>, DmaHeap::Settings>({}); });
  where_there_is("Udmabuf", "/dev/udmabuf", [] { return Making<ZoneOf<Udmabuf>>(); });

  both("attach MemoryFile", [] {
    auto zone = ZoneOf<MemoryFile>::create(options);
    const MemoryFile::Source source{zone->backing().fd()};
    return TakingUp<ZoneOf<MemoryFile>, MemoryFile::Source>(*std::move(zone), source);
  });
  both("attach File", [&] {
    unlink(path.c_str());
    return TakingUp<ZoneOf<File>, File::Source>(*ZoneOf<File>::create(options, File::Settings{path.c_str()}),
                                               File::Source{path.c_str()});
  });
  unlink(path.c_str());
  sweep("commit Anonymous", Committing<ZoneOf<Anonymous>>(*ZoneOf<Anonymous>::create(options)));
  sweep("commit MemoryFile", Committing<ZoneOf<MemoryFile>>(*ZoneOf<MemoryFile>::create(options)));
  sweep("obtain", Obtaining());
}

// A script over a zone with layers, of which the innermost makes the n-th call fail.
template <class Subject>
void sweep_layer(const char* name) {
  Row row{.fault = "F4"};
  for (const bool for_ever : {false, true}) {
    for (std::uint64_t n = 1;; ++n) {
      const LayerRun run = run_layer<Subject>(n, for_ever);
      if (!run.was_hit) {
        row.unusable += run.failed;
        break;
      }
      ++row.runs;
      row.unusable += run.unusable;
      row.leaked += run.leaked;
      row.corrupt += run.corrupt;
    }
  }
  f4.add((std::string("layer ") + name).c_str(), row);
}

}  // namespace

int main() {
  char path[] = "/tmp/freestone-faults-XXXXXX";
  if (mkdtemp(path) == nullptr) return std::perror(path), 1;
  folder = path;
  shared_name = "freestone-faults-" + std::to_string(getpid());
  const std::string node = folder + "/memory";
  if (std::FILE* memory = std::fopen(node.c_str(), "w")) {
    static_cast<void>(ftruncate(fileno(memory), 2 << 20));
    std::fclose(memory);
  }
  static_cast<void>(holdings());  // what it allocates once it keeps
  backings();
  for_each_layer([]<class Subject>(const char* name) { sweep_layer<Subject>(name); });
  unlink(node.c_str());
  if (rmdir(path) != 0) std::printf("  something is left in %s\n", path), ++f4.leaked;
  f4.print();
  f6.print();
  return f4.is_good() && f6.is_good() && f4.no_subject_failed && f6.no_subject_failed ? 0 : 1;
}
