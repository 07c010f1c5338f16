// What sysfs shows of a board's PMEM: files in a server's tree, whose texts are made of a region when somebody reads them.
// (shared/spec: PMEM 6.)
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <freestone/device/os/pmem_reports.hpp>
#include <freestone/device/pmem/calls.hpp>
#include <freestone/device/pmem/region.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/tree.hpp>

#include "reports.hpp"
#include "unstable_memory.hpp"

namespace freestone::linux_user {

// Of a region, which outlives them, and others may use meanwhile. R: its PmemRegion.
template <class R>
class PmemReports {
 public:
  // `unstable` is its part of a block that comes and goes; none: its memory stays.
  static void add(Tree& tree, R& region, const UnstableRegion* unstable = nullptr) {
    const PmemReports reports(region, unstable);
    if (region.settings().numbers == device::PmemNumbers::google) return reports.add_google_file(tree);
    reports.add_files(tree);
  }

 private:
  PmemReports(R& region, const UnstableRegion* unstable) noexcept : region_(&region), unstable_(unstable) {}
  using Text = std::string (PmemReports::*)() const;

  const device::PmemSettings& settings() const noexcept { return region_->settings(); }

  // --- which files there are ---

  void add_google_file(Tree& tree) const { add_file(tree, "/sys/kernel/debug/", settings().name, &PmemReports::mapped_regions); }
  void add_files(Tree& tree) const {
    const std::string regions = "/sys/kernel/pmem_regions", folder = regions + '/' + settings().name + '/';
    const auto add = [&](const char* name, Text text) { add_file(tree, folder, name, text); };
    tree.own(regions);
    add("base", &PmemReports::base);
    add("size", &PmemReports::size);
    add("allocator_type", &PmemReports::allocator_type);
    add("mapped_regions", &PmemReports::mapped_regions);
    if (is(device::PmemAllocator::all_or_nothing)) add("allocated", &PmemReports::allocated);
    if (is(device::PmemAllocator::buddy)) add("buddy_bitmap_dump", &PmemReports::buddy_bitmap_dump);
    if (is(device::PmemAllocator::bitmap)) {
      add("free_quanta", &PmemReports::free_quanta);
      add("bits_allocated", &PmemReports::bits_allocated);
    }
    if (!device::pmem_reports::has_quanta(settings().allocator)) return;
    add("quantum_size", &PmemReports::quantum_size);
    add("total_entries", &PmemReports::total_entries);
  }
  bool is(device::PmemAllocator allocator) const noexcept { return settings().allocator == allocator; }
  void add_file(Tree& tree, const std::string& folder, const char* name, Text text) const {
    add_report(tree, folder + name, [own = *this, text] { return device::pmem_reports::one_page((own.*text)()); });
  }

  // --- texts ---

  std::string base() const { return device::pmem_reports::address(unstable_ != nullptr ? unstable_->base() : settings().base); }
  std::string size() const { return device::pmem_reports::address(settings().size.value()); }
  std::string allocator_type() const { return device::pmem_reports::allocator_type(settings().allocator); }
  std::string allocated() const { return device::pmem_reports::allocated(!places().empty()); }
  std::string quantum_size() const { return device::pmem_reports::quantum_size(quantum()); }
  std::string total_entries() const { return device::pmem_reports::total_entries(quanta()); }
  std::string free_quanta() const { return device::pmem_reports::free_quanta(region_->room().total / quantum()); }
  std::string mapped_regions() const {
    std::string text = device::pmem_reports::mapped_header;
    bool is_whole = true;  // nothing may be thrown while the region shows its files
    region_->for_each_file([&](const auto& file) {
      is_whole = is_whole && has_memory([&] { device::pmem_reports::add_file(text, file.process, file.grants); });
    });
    return is_whole ? std::move(text) : throw std::bad_alloc();
  }
  std::string buddy_bitmap_dump() const {
    std::vector<device::pmem_reports::BuddyBlock> blocks;
    for (const device::PmemPlace& place : places()) {
      blocks.push_back({place.start / quantum(), static_cast<unsigned>(std::countr_zero(place.length / quantum())), true});
    }
    std::ranges::sort(blocks, {}, &device::pmem_reports::BuddyBlock::index);
    return device::pmem_reports::buddy_bitmap_dump(quanta(), quantum(), blocks);
  }
  std::string bits_allocated() const {
    std::string text = device::pmem_reports::bits_header(settings().id);
    for (const device::PmemPlace& place : places()) device::pmem_reports::add_bits(text, place, quantum());
    return text;
  }

  // --- what is looked at ---

  std::uint64_t quantum() const noexcept { return settings().quantum.value(); }
  std::uint64_t quanta() const noexcept { return settings().size.value() / quantum(); }
  // By slots; no two overlap.
  std::vector<device::PmemPlace> places() const {
    SeenList<device::PmemPlace> all;
    region_->for_each_allocation([&](const device::PmemPlace& place) { all.add(place); });
    return all.take();
  }

  R* region_;
  const UnstableRegion* unstable_;
};

}  // namespace freestone::linux_user
