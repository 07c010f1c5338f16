// PMEM's regions as their board has them, and callers who open them, for the tests of device/pmem/.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/device/os/stock_kinds.hpp>
#include <freestone/device/pmem/file.hpp>
#include <freestone/device/pmem/region.hpp>
#include <freestone/heap/os/board_pmem.hpp>
#include <freestone/share/device.hpp>

#include "support/device_calls.hpp"
#include "support/device_scene_over.hpp"
#include "support/maintained_memory.hpp"

namespace freestone::tests {

inline constexpr std::uint64_t pmem_page = 4096;
inline constexpr ShareLimits pmem_scene_limits{.clients = 200, .owners = 4, .buffers = 200, .handles = 8, .blocks = 64, .maps = 4};
inline constexpr device::PmemLimits few_pmem{.allocations = 160, .grants = 6};

struct PmemPlatform {
  using Memory = MaintainedMemory;

  int process() const noexcept { return 1; }
  Result<Memory> memory(Bytes size) noexcept {
    if (memories_left.load() == 0) return ErrorCode::out_of_memory;
    --memories_left;
    return Memory{size.value()};
  }
  std::atomic<std::uint64_t> memories_left = ~std::uint64_t{0};
};

// What a sub's mapping shows, page by page. Only what is hidden is shown, only what is shown is hidden, and nothing beyond it.
struct PageScreen {
  std::vector<bool> shown = std::vector<bool>(64);
  std::uint64_t mapped_pages = 64;
  std::uint64_t shows_left = ~std::uint64_t{0};

  template <class Ref>
  Result<void> show(const Ref& buffer, const ByteRange& range) noexcept {
    REQUIRE(static_cast<bool>(buffer));
    if (shows_left == 0) return ErrorCode::out_of_memory;
    --shows_left;
    put(range, true);
    return {};
  }
  void hide(const ByteRange& range) noexcept { put(range, false); }
  // A letter for each page of the first so many: what is shown.
  std::string text(std::size_t pages) const {
    std::string text;
    for (std::size_t page = 0; page < pages; ++page) text += shown[page] ? 'M' : '.';
    return text;
  }

 private:
  void put(const ByteRange& range, bool is_shown) {
    REQUIRE(!range.is_empty());
    REQUIRE(range.is_multiple_of(pmem_page));
    REQUIRE(range.is_within(mapped_pages * pmem_page));
    for (std::uint64_t page = range.offset.value() / pmem_page; page < range.end().value() / pmem_page; ++page) {
      REQUIRE(shown[static_cast<std::size_t>(page)] != is_shown);
      shown[static_cast<std::size_t>(page)] = is_shown;
    }
  }
};

class PmemScene : public SceneOver<PmemPlatform, pmem_scene_limits> {
  using Over = SceneOver<PmemPlatform, pmem_scene_limits>;

 public:
  using File = device::PmemFile<Shared, lock::Futex, PageScreen, few_pmem>;
  using Region = File::Region;

  explicit PmemScene(std::string_view toml, PmemGeneration generation = PmemGeneration::qualcomm,
                     device::PmemNumbers numbers = device::PmemNumbers::qualcomm)
      : PmemScene(taken(toml, generation), numbers) {}

  Region& region(std::string_view name) {
    for (Region& one : regions) {
      if (name == one.settings().name) return one;
    }
    FAIL("no such region");
    return regions.front();
  }
  std::list<Region> regions = {};

 private:
  PmemScene(BoardTable board, device::PmemNumbers numbers) : Over(std::move(board), Freeing::at_once, false) {
    for (Heap& heap : heaps) {
      const BoardHeap& text = zones().text(regions.size());
      regions.emplace_back(device, heap, *zones().zone(text.id), device::pmem_settings_of(text, numbers));
    }
  }
  static BoardTable taken(std::string_view toml, PmemGeneration generation) {
    auto board = read_pmem(toml, generation);
    REQUIRE(board);
    device::take_pmem_types(*board);
    return *std::move(board);
  }
};

// An open node, and who has it.
struct PmemOpen {
  explicit PmemOpen(PmemScene& scene, std::string_view region, std::uint32_t flags = 2)
      : file(scene.region(region), *scene.device.open(), device::OpenFlags{flags}, screen) {}

  PageScreen screen;
  PmemScene::File file;
};

// A process: what it has under which descriptor, and memory for its structs.
struct PmemCaller : Caller {
  using Caller::Caller;

  template <class F, class Act>
  device::Answer with_file(std::int32_t fd, Act&& act) noexcept {
    if (fd == foreign_fd) return device::Errno::invalid;
    const auto found = open.find(fd);
    return found == open.end() ? device::Answer(device::Errno::bad_file) : act(*found->second);
  }
  template <class F>
  std::optional<device::CallerMapping> mapping_of(std::uint64_t address, const F& file) const noexcept {
    if (&file != mapped_file || address < mapped_at || address - mapped_at >= mapped_length) return std::nullopt;
    return device::CallerMapping{mapped_at, mapped_at + mapped_length, 0};
  }
  bool sees_physical_addresses() const noexcept { return is_root; }

  std::int64_t call(PmemOpen& node, device::Command command, std::uint64_t argument) {
    return node.file.ioctl(*this, command, argument).value();
  }
  // A struct of words that goes in, or comes out.
  std::int64_t call_with(PmemOpen& node, device::Command command, std::uint64_t first, std::uint64_t second, std::uint64_t third = 0) {
    put_words({first, second, third});
    return call(node, command, start);
  }
  std::int64_t grant(PmemOpen& node, std::uint64_t first_page, std::uint64_t pages) {
    return call_with(node, device::pmem::map, first_page * pmem_page, pages * pmem_page);
  }
  std::int64_t withdraw(PmemOpen& node, std::uint64_t first_page, std::uint64_t pages) {
    return call_with(node, device::pmem::unmap, first_page * pmem_page, pages * pmem_page);
  }
  std::uint64_t word_at(std::size_t place) const {
    return word() == device::WordSize::bits32 ? get<std::uint32_t>(place * 4) : get<std::uint64_t>(place * 8);
  }
  std::uint64_t size_of(PmemOpen& node) {
    CHECK(call(node, device::pmem::get_size, start) == 0);
    return word_at(1);
  }
  std::pair<std::uint64_t, std::uint64_t> told(PmemOpen& node, device::Command command) {
    fill(std::byte{0xaa});
    CHECK(call(node, command, start) == 0);
    return {word_at(0), word_at(1)};
  }

  std::map<std::int32_t, PmemScene::File*> open = {};
  const PmemScene::File* mapped_file = nullptr;
  bool is_root = true;

 private:
  void put_words(std::initializer_list<std::uint64_t> words) {
    std::size_t place = 0;
    for (const std::uint64_t value : words) {
      word() == device::WordSize::bits32 ? put(4 * place, static_cast<std::uint32_t>(value)) : put(8 * place, value);
      ++place;
    }
  }
};

}  // namespace freestone::tests
