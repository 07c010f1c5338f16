// Zones over each backing that the host gives memory for. Where a device is missing, a plain file stands in for it, and
// host_calls.cpp for its driver.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/cascade.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/backing/os/dma_heap.hpp>
#include <freestone/backing/os/file.hpp>
#include <freestone/backing/os/memory_file.hpp>
#include <freestone/backing/os/reserved.hpp>
#include <freestone/backing/os/shared_memory.hpp>
#include <freestone/backing/os/udmabuf.hpp>
#include <freestone/backing/scattered.hpp>
#include <freestone/backing/with_notes.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/cache/os/dma_buf_sync.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/zone/zone.hpp>
#include "faults/subjects.hpp"
#include "faults/sweep.hpp"

namespace freestone::tests {

namespace {

using namespace backing;

template <class B, class C = cache::Coherent, class S = strategy::Bitmap>
using ZoneOf = Zone<B, S, lock::Spin, C>;

ZoneOptions called(const char* name) { return {.name = name, .size = 1_MiB, .granule = 4_KiB}; }

// The subject is made anew for each fault, so that neither sees the other's.
template <class MakeSubject>
void both(const std::string& name, MakeSubject make) {
  sweep(name, make());
  run_out_of_files(name, make());
}
// make(name, is_first) makes the zone.
template <class Make>
void making(const std::string& name, Make make, Hints hints = {}) {
  both(name, [&] { return Making(make, hints); });
}
template <class Z>
auto with_settings(auto settings) {
  return [settings](const char* name, bool) { return Z::create(called(name), settings); };
}

std::string path_of(const char* name) { return folder + "/" + name; }

// A file of so many zeros, or of this text.
void make_file(const std::string& path, off_t size, std::string_view text = "") {
  std::FILE* const file = std::fopen(path.c_str(), "w");
  if (file == nullptr || ftruncate(fileno(file), size) != 0) std::perror(path.c_str()), std::abort();
  std::fwrite(text.data(), 1, text.size(), file);
  std::fclose(file);
}

constexpr std::string_view larger_pages[] = {"mmap of huge pages", "madvise as a hint"};
constexpr std::string_view folders[] = {"open of a folder", "fsync of a folder"};
constexpr std::string_view privileges[] = {"capget"};
constexpr std::string_view memory_info[] = {"open of what the kernel tells", "read"};
constexpr std::string_view all_of_a_heap[] = {"open of what the kernel tells", "read", "open", "ioctl", "mmap"};
constexpr std::string_view opening[] = {"open"};

void memory_of_this_process() {
  making("Anonymous", [](const char* name, bool) { return ZoneOf<Anonymous>::create(called(name)); });
  making("Anonymous, huge pages",
         [](const char* name, bool) {
           return ZoneOf<Anonymous>::create({.name = name, .size = 2_MiB, .granule = 4_KiB},
                                            Anonymous::Settings{.pages = Pages::huge_1g});
         },
         {.always = larger_pages});
  making("Anonymous, locked", with_settings<ZoneOf<Anonymous>>(Anonymous::Settings{.locked = true}),
         {.always = privileges});
  const auto of_node = with_settings<ZoneOf<Anonymous>>(Anonymous::Settings{.numa_node = 0});
  if (const auto made = of_node(subject_name, true)) {
    making("Anonymous, of a NUMA node", of_node);
  } else {
    std::printf("skipped: Anonymous, of a NUMA node: %s\n", describe(made.error()).c_str());
  }
  making("OffsetSpace", [](const char* name, bool) { return ZoneOf<OffsetSpace>::create(called(name)); });
  making("Modelled", [](const char* name, bool) { return ZoneOf<Anonymous, cache::Modelled>::create(called(name)); });
  using Lent = ZoneOf<Borrowed, cache::Modelled>;
  making("Borrowed, Modelled", [](const char* name, bool is_first) {
    static const std::size_t words = Lent::notes_words(1_MiB, 4_KiB);
    static std::vector<std::uint64_t> notes[] = {std::vector<std::uint64_t>(words), std::vector<std::uint64_t>(words)};
    static std::vector<std::byte> data[] = {std::vector<std::byte>(1 << 20), std::vector<std::byte>(1 << 20)};
    return Lent::create(called(name), Borrowed(data[is_first ? 0 : 1], notes[is_first ? 0 : 1], 0));
  });
}

void memory_of_several() {
  making("MemoryFile", [](const char* name, bool) { return ZoneOf<MemoryFile>::create(called(name)); });
  const std::string names[] = {shared_name + "other", shared_name + subject_name};
  making("SharedMemory", [&](const char* name, bool is_first) {
    return ZoneOf<SharedMemory>::create(called(name), SharedMemory::Settings{names[is_first].c_str()});
  });
  making("SharedMemory, attach_or_create", [&](const char* name, bool is_first) {
    return ZoneOf<SharedMemory>::attach_or_create(called(name), SharedMemory::Settings{names[is_first].c_str()});
  });
  const std::string paths[] = {path_of("other"), path_of(subject_name)};
  making("File",
         [&](const char* name, bool is_first) {
           return ZoneOf<File>::create(called(name), File::Settings{paths[is_first].c_str()});
         },
         {.always = folders});
  making("WithNotes",
         [](const char* name, bool) { return ZoneOf<WithNotes<MemoryFile, Anonymous>>::create(called(name)); });
}

void memory_of_devices() {
  const std::string node = path_of("memory");
  const std::string heap = path_of("system");
  make_file(node, 2 << 20);
  make_file(heap, 0);
  making("DevMem", [&](const char* name, bool is_first) {
    const DevMem::Settings there{.base = PhysicalAddress(is_first ? 0 : 1 << 20), .path = node.c_str()};
    return ZoneOf<DevMem, cache::Uncached>::create(called(name), there);
  });

  const std::string told = path_of("0:0");  // of a plain file's device
  for (const char* more : {"", "/maps", "/maps/map0", "/maps/map1"}) mkdir((told + more).c_str(), S_IRWXU);
  for (const char* map : {"/maps/map0", "/maps/map1"}) {
    make_file(told + map + "/addr", 0, "0x10000000\n");
    make_file(told + map + "/size", 0, "0x100000\n");
    make_file(told + map + "/offset", 0, "0x0\n");
  }
  making("Uio", [&](const char* name, bool is_first) {
    const Uio::Settings there{.path = node.c_str(), .map = is_first ? 0U : 1U, .sysfs = folder.c_str()};
    return ZoneOf<Uio, cache::Uncached>::create(called(name), there);
  });
  for (const char* map : {"/maps/map0", "/maps/map1"}) {
    for (const char* number : {"/addr", "/size", "/offset"}) unlink((told + map + number).c_str());
  }
  for (const char* more : {"/maps/map1", "/maps/map0", "/maps", ""}) rmdir((told + more).c_str());

  const auto buffers = [&](const char* kind, const DmaHeap::Settings& from, const Udmabuf::Settings& pages) {
    using Heap = ZoneOf<DmaHeap, cache::DmaBufSync>;
    const std::string what = kind;
    if (access(from.heap, R_OK) == 0) {
      making("DmaHeap" + what, with_settings<Heap>(from), {.always = memory_info});
      sweep("DmaHeap, DmaBufSync" + what, Using(*Heap::create(called(subject_name), from), [](Heap& zone) {
              const auto block = zone.allocate(8_KiB);
              if (!block) return block.error();
              auto written = zone.cpu_write(*block);
              Error error = written ? written->end().error() : written.error();
              if (!error) error = zone.invalidate(*block).error();
              const auto gone = zone.deallocate(*block);
              return error ? error : gone.error();
            }));
    } else {
      std::printf("skipped: DmaHeap%s: no %s here\n", kind, from.heap);
    }
    if (access(pages.node, R_OK | W_OK) == 0) {
      making("Udmabuf" + what, with_settings<ZoneOf<Udmabuf>>(pages));
    } else {
      std::printf("skipped: Udmabuf%s: no %s here\n", kind, pages.node);
    }
  };
  buffers("", {}, {});
  buffers(", a stand-in's", {.heap = heap.c_str()}, {.node = node.c_str()});

  using Two = WithNotes<Scattered<DmaHeap, 2>, Anonymous>;
  making("Scattered",
         [&](const char* name, bool) -> Result<ZoneOf<Two>> {
           const BackingRequest half{.name = name, .size = 1_MiB, .granule = 4_KiB};
           auto low = DmaHeap::create(half, {.heap = heap.c_str()});
           if (!low) return low.error();
           auto high = DmaHeap::create(half, {.heap = heap.c_str()});
           if (!high) return high.error();
           auto ranges = Scattered<DmaHeap, 2>::of(*std::move(low), *std::move(high));
           if (!ranges) return ranges.error();
           const std::size_t words = ZoneOf<Two>::notes_words(ranges->size(), 4_KiB);
           auto notes = Anonymous::create({.name = name, .granule = 4_KiB, .notes_words = words});
           if (!notes) return notes.error();
           return ZoneOf<Two>::create({.name = name, .granule = 4_KiB}, Two(*std::move(ranges), *std::move(notes)));
         },
         {.always = memory_info});

  using First = Cascade<DmaHeap, Anonymous>;
  making("Cascade", with_settings<ZoneOf<First>>(First::Settings{{{.heap = heap.c_str()}}, {}}),
         {.always = memory_info, .once = all_of_a_heap});
  const std::string none = path_of("none");
  making("Cascade, the first is not there", with_settings<ZoneOf<First>>(First::Settings{{{.heap = none.c_str()}}, {}}),
         {.once = opening});
  unlink(heap.c_str());
  unlink(node.c_str());
}

// Takes the zone up once more, and uses it.
template <class Z>
Error use_taken(Result<Z> taken) {
  return taken ? use(*taken) : taken.error();
}

void taking_up() {
  using Z = ZoneOf<MemoryFile>;
  const auto of = [](Z& zone) { return MemoryFile::Source{zone.backing().fd()}; };
  const auto keep_all = [](std::uint8_t) { return true; };
  both("MemoryFile, attach", [&] {
    return Using(*Z::create(called("other")),
                 [=](Z& zone) { return use_taken(Z::attach(called(subject_name), of(zone))); });
  });
  both("MemoryFile, attach_and_recover", [&] {
    return Using(*Z::create(called("other")),
                 [=](Z& zone) { return use_taken(Z::attach_and_recover(called(subject_name), of(zone), keep_all)); });
  });

  using Named = ZoneOf<SharedMemory>;
  const std::string name = shared_name + "other";
  const SharedMemory::Settings there{name.c_str()};
  const auto found = [&](const char* what, auto take) {
    both(what, [&] {
      remove_names();
      return Using(*Named::create(called("other"), there), [=](Named&) { return use_taken(take()); });
    });
  };
  found("SharedMemory, attach", [=] { return Named::attach(called(subject_name), there); });
  found("SharedMemory, attach_or_create what is there",
        [=] { return Named::attach_or_create(called(subject_name), there); });

  using Kept = ZoneOf<File>;
  const std::string path = path_of("other");
  const File::Settings file{path.c_str()};
  both("File, attach", [&] {
    remove_names();
    return Using(*Kept::create(called("other"), file),
                 [=](Kept&) { return use_taken(Kept::attach(called(subject_name), file)); });
  });
  remove_names();
}

// The name goes, and comes again with nothing failing.
template <class B>
class Removing : public Subject {
 public:
  explicit Removing(std::string name) : Subject({}), name_(std::move(name)) { make(); }
  bool state() const { return access((name_.front() == '/' ? name_ : "/dev/shm/" + name_).c_str(), F_OK) == 0; }
  const char* zone() const { return ""; }
  Error call() {
    const auto gone = B::remove(name_.c_str());
    if (gone) make();
    return gone.error();
  }

 private:
  void make() {
    const NoFaults here;
    static_cast<void>(*ZoneOf<B>::create(called("other"), typename B::Settings{name_.c_str()}));
  }
  std::string name_;
};

// What goes on in a zone that is there.
void using_it() {
  const auto commits = [](auto& zone) {
    const auto block = zone.allocate(64_KiB);
    if (!block) return block.error();
    Error error = zone.commit(*block).error();
    if (!error) error = zone.decommit(*block).error();
    const auto gone = zone.deallocate(*block);
    return error ? error : gone.error();
  };
  sweep("Anonymous, commit", Using(*ZoneOf<Anonymous>::create(called(subject_name)), commits));
  sweep("MemoryFile, commit", Using(*ZoneOf<MemoryFile>::create(called(subject_name)), commits));

  using Books = ZoneOf<Anonymous, cache::Coherent, strategy::System>;
  const auto uses = [](Books& zone) { return use(zone); };
  sweep("obtain", Using(*Books::create(called(subject_name)), uses));
  sweep("obtain, locked",
        Using(*Books::create(called(subject_name), Anonymous::Settings{.locked = true}), uses, {.always = privileges}));

  remove_names();
  const std::string path = path_of(subject_name);
  sweep("File, sync",
        Using(*ZoneOf<File>::create(called(subject_name), File::Settings{path.c_str()}), [](ZoneOf<File>& zone) {
          const auto written = zone.backing().sync();
          return written ? zone.backing().check_length().error() : written.error();
        }));
  remove_names();
  sweep("File, remove", Removing<File>(path));
  sweep("SharedMemory, remove", Removing<SharedMemory>(shared_name + subject_name));
  remove_names();
}

}  // namespace

void sweep_backings() {
  memory_of_this_process();
  memory_of_several();
  memory_of_devices();
  taking_up();
  using_it();
}

}  // namespace freestone::tests
