// One map, programs of two widths. Built for 64 bits and for 32; the first runs the second:
//   map_across_widths OTHER          all of it: each of the two formats maps that the other uses
//   map_across_widths STEP FOLDER    one step in one process: format, change or check
// The maps lie in files and describe ranges that no 32-bit number can count in bytes, some not even in granules.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include <freestone/backing/borrowed.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/ledger.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/zone.hpp>

namespace freestone {
namespace {

void require(bool truth, const std::string& what) {
  if (truth) return;
  std::fprintf(stderr, "%u-bit program: not so: %s\n", static_cast<unsigned>(sizeof(void*) * 8), what.c_str());
  std::exit(1);
}

// The words of a file, for as long as this lives.
class FileWords {
 public:
  FileWords(const std::string& path, std::size_t words) : bytes_(words * sizeof(std::uint64_t)) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat status {};
    require(fd >= 0 && fstat(fd, &status) == 0, "can open " + path);
    if (status.st_size == 0) require(ftruncate(fd, static_cast<off_t>(bytes_)) == 0, "can make " + path);
    if (status.st_size != 0)
      require(static_cast<std::size_t>(status.st_size) == bytes_, path + " is as long as its map");
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    require(data_ != MAP_FAILED, "can map " + path);
    close(fd);
  }
  ~FileWords() { munmap(data_, bytes_); }
  FileWords(const FileWords&) = delete;
  FileWords& operator=(const FileWords&) = delete;

  std::span<std::uint64_t> span() const { return {static_cast<std::uint64_t*>(data_), bytes_ / sizeof(std::uint64_t)}; }

 private:
  std::size_t bytes_;
  void* data_;
};

enum class Step { format, change, check };

struct Range {
  const char* name;
  Bytes base;
  Bytes size;
  Bytes granule;
};
constexpr Range ranges[] = {
    {"8GiB", 0, 8_GiB, 4_KiB}, {"8GiB-high", std::uint64_t{3} << 52, 8_GiB, 4_KiB}, {"1TiB", 4_GiB, 1_TiB, 1_MiB}};
constexpr Range wide = {"16EiB", 0, std::uint64_t{1} << 62, 4_KiB};  // for a map whose size is not its range's

// Sizes that are the same in every process: from a granule to some dozens.
constexpr std::uint64_t granules_of(std::size_t i) { return 1 + (i * 7919) % 60; }
constexpr std::size_t most_blocks = 100;

// The blocks that should live, as the one writes them for the other: first granule and length, or 0 for none.
struct Expected {
  std::uint64_t first;
  std::uint64_t count;
};
std::span<Expected> expected_in(const FileWords& table) {
  return {reinterpret_cast<Expected*>(table.span().data()), most_blocks};
}

// What a subject of the test can do: a zone, or the ledger alone. `place` gives nothing where there is no room.
template <class S>
class ZoneMap {
 public:
  using Shared = Zone<backing::Borrowed, S, lock::None, cache::Coherent>;

  static std::size_t words(const Range& range) { return Shared::notes_words(range.size, range.granule); }

  ZoneMap(const Range& range, std::span<std::uint64_t> words, bool formats) : zone_(*open(range, words, formats)) {}

  Extent place(std::size_t i) {
    // Every seventh lies beyond 2^32: alignment there takes all 64 bits.
    const Bytes align = i % 7 == 3 ? largest_align() : zone_.granule();
    const auto block = zone_.allocate({.size = zone_.granule().value() * granules_of(i), .align = align});
    require(static_cast<bool>(block), "there is room for block " + std::to_string(i));
    return extent_of(*block);
  }
  void release(Extent extent) {
    require(static_cast<bool>(zone_.deallocate_at(extent.first.value() * zone_.granule().value())),
            "a live block goes back");
    require(!zone_.deallocate_at(extent.first.value() * zone_.granule().value()), "and only once");
  }
  std::vector<Extent> blocks() {
    std::vector<Extent> found;
    zone_.for_each_block([&](const Block& block) { found.push_back(extent_of(block)); });
    return found;
  }

 private:
  static Result<Shared> open(const Range& range, std::span<std::uint64_t> words, bool formats) {
    const ZoneOptions options{.name = range.name, .granule = range.granule};
    const auto backing = backing::Borrowed::at(range.base, range.size, words);
    return formats ? Shared::create(options, backing) : Shared::attach(options, backing);
  }
  Bytes largest_align() const { return zone_.size().value() >> 5; }
  Extent extent_of(const Block& block) const {
    return {Granules(block.offset().value() / zone_.granule().value()),
            Granules(block.size().value() / zone_.granule().value())};
  }

  Shared zone_;
};

class LedgerMap {
 public:
  using Ledger = strategy::Ledger<>;

  static std::size_t words(const Range& range) { return Ledger::footprint(capacity_of(range)); }

  LedgerMap(const Range& range, std::span<std::uint64_t> words, bool formats)
      : ledger_(*open(range, words, formats)), stride_(capacity_of(range).value() / (2 * most_blocks)) {}

  // It is told where: all over the range.
  Extent place(std::size_t i) {
    const Extent extent{Granules(((i * 37) % (2 * most_blocks)) * stride_), Granules(granules_of(i))};
    ledger_.place(extent, owner_at(extent.first));
    return extent;
  }
  void release(Extent extent) { ledger_.release(extent); }
  std::vector<Extent> blocks() {
    std::vector<Extent> found;
    ledger_.for_each_block([&](Extent extent, std::uint8_t owner) {
      require(owner == owner_at(extent.first), "an owner is as it was written");
      found.push_back(extent);
    });
    return found;
  }

 private:
  static Granules capacity_of(const Range& range) { return Granules(range.size.value() / range.granule.value()); }
  static std::uint8_t owner_at(Granules first) { return static_cast<std::uint8_t>(1 + first.value() % 251); }
  static Result<Ledger> open(const Range& range, std::span<std::uint64_t> words, bool formats) {
    const Geometry geometry{.capacity = capacity_of(range),
                            .granule = range.granule,
                            .origin = Granules(range.base.value() / range.granule.value())};
    return formats ? Ledger::format(words, geometry) : Ledger::attach(words, geometry);
  }

  Ledger ledger_;
  std::uint64_t stride_;
};

template <class Map>
class Play {
 public:
  Play(const std::string& path, const Range& range, std::size_t blocks, Step step)
      : table_(path + ".table", sizeof(Expected) / sizeof(std::uint64_t) * most_blocks),
        words_(path + ".map", Map::words(range)),
        map_(range, words_.span(), step == Step::format),
        expected_(expected_in(table_).first(blocks)) {
    if (step == Step::format) fill(0, 1);
    check();
    if (step == Step::change) change();
    check();
  }

 private:
  void fill(std::size_t from, std::size_t stride) {
    for (std::size_t i = from; i < expected_.size(); i += stride) {
      const Extent extent = map_.place(i);
      expected_[i] = {extent.first.value(), extent.count.value()};
    }
  }

  // Every second one goes, others come in their stead.
  void change() {
    for (std::size_t i = 0; i < expected_.size(); i += 2) {
      if (expected_[i].count != 0) map_.release({Granules(expected_[i].first), Granules(expected_[i].count)});
      expected_[i] = {};
    }
    check();
    fill(0, 4);
  }

  void check() {
    std::vector<Extent> live;
    for (const Expected& e : expected_) {
      if (e.count != 0) live.push_back({Granules(e.first), Granules(e.count)});
    }
    std::sort(live.begin(), live.end(), [](const Extent& a, const Extent& b) { return a.first < b.first; });
    require(map_.blocks() == live, "the live blocks are those that were written down");
  }

  FileWords table_;
  FileWords words_;
  Map map_;
  std::span<Expected> expected_;
};

void play_all(const std::string& folder, Step step) {
  for (const Range& range : ranges) {
    const std::string path = folder + "/" + range.name;
    Play<ZoneMap<strategy::Bitmap>>(path + "-bitmap", range, most_blocks, step);
    Play<ZoneMap<strategy::Buddy>>(path + "-buddy", range, most_blocks, step);
    Play<ZoneMap<strategy::Segregated>>(path + "-segregated", range, most_blocks, step);
    Play<ZoneMap<strategy::BestFit>>(path + "-best", range, most_blocks, step);
    Play<ZoneMap<strategy::BestFitHigh>>(path + "-best-high", range, most_blocks, step);
    Play<ZoneMap<strategy::Elastic<strategy::BestFit>>>(path + "-elastic", range, most_blocks, step);
    Play<ZoneMap<strategy::AllOrNothing>>(path + "-all", range, 1, step);
    Play<LedgerMap>(path + "-ledger", range, most_blocks, step);
  }
  Play<ZoneMap<strategy::AllOrNothing>>(folder + "/" + wide.name, wide, 1, step);
}

bool run_step(const std::string& program, const char* step, const std::string& folder) {
  return std::system(("'" + program + "' " + step + " '" + folder + "'").c_str()) == 0;
}

// One formats, the other uses and changes, and the first finds what the other left.
bool there_and_back(const std::string& one, const std::string& other) {
  std::string folder = "/tmp/freestone-XXXXXX";
  require(mkdtemp(folder.data()) != nullptr, "there is a place for files");
  const bool good = run_step(one, "format", folder) && run_step(other, "change", folder) &&
                    run_step(one, "check", folder) && run_step(one, "change", folder) &&
                    run_step(other, "check", folder);
  require(std::system(("rm -r '" + folder + "'").c_str()) == 0, "the files can go");
  return good;
}

}  // namespace
}  // namespace freestone

int main(int argc, char** argv) {
  using namespace freestone;
  if (argc == 2) {
    const bool good = there_and_back(argv[0], argv[1]) && there_and_back(argv[1], argv[0]);
    if (good) std::printf("maps of %zu ranges, both ways: the same blocks\n", std::size(ranges) + 1);
    return good ? 0 : 1;
  }
  const std::string step = argc == 3 ? argv[1] : "";
  require(step == "format" || step == "change" || step == "check", "one or two arguments: see the head of the source");
  play_all(argv[2], step == "format" ? Step::format : step == "change" ? Step::change : Step::check);
}
