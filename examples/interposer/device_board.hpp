// A board's heaps as a Device, and its nodes as a server's tree.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <freestone/device/deferred_free.hpp>
#include <freestone/device/file_heap.hpp>
#include <freestone/device/heap_buffer.hpp>
#include <freestone/device/ion/client.hpp>
#include <freestone/device/ion/heaps.hpp>
#include <freestone/device/os/board_nodes.hpp>
#include <freestone/device/os/stock_kinds.hpp>
#include <freestone/device/page_pools.hpp>
#include <freestone/device/pmem/file.hpp>
#include <freestone/device/pmem/region.hpp>
#include <freestone/device/pooled_heaps.hpp>
#include <freestone/heap/os/board_text.hpp>
#include <freestone/heap/os/size_words.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/platform/linux_user/device_files.hpp>
#include <freestone/platform/linux_user/idle_thread.hpp>
#include <freestone/platform/linux_user/mmz_files.hpp>
#include <freestone/platform/linux_user/pmem_files.hpp>
#include <freestone/platform/linux_user/tree.hpp>
#include <freestone/share/device.hpp>

#include "growing_heaps.hpp"
#include "ion_reports_of.hpp"
#include "stock_heaps.hpp"
#include "unstable_memory.hpp"

namespace freestone::linux_user {

// Open nodes, programs that have some, buffers; handles are for as long as an ALLOC takes, so for as many threads in
// one node's. A buffer of a scattered heap has a block for each MiB at least, and more where the heap is in pieces.
inline constexpr ShareLimits server_limits{
    .clients = 4096, .owners = 1024, .buffers = 4096, .handles = 32, .blocks = 1024, .maps = 4};

// Each open file has one allocation at most.
inline constexpr device::PmemLimits pmem_limits{.allocations = server_limits.clients, .grants = 64};

class DeviceBoard {
 public:
  using Lock = lock::Futex;
  using Heaps = StockHeaps;
  // Each buffer's bytes are a file of their own, of zeros: there is nothing to scrub.
  using Pooled = device::PooledHeaps<GrowingHeaps<Heaps>, Lock>;
  using Extra = device::HeapBuffer<ServerPlatform::Memory, Lock>;
  using Shared =
      Device<Pooled, ServerPlatform, server_limits, scrub::Nothing, PlainLocks<Lock>, CompilerAtomics, Extra>;
  using Later = device::DeferredFree<Shared, Lock>;
  using FileHeap = device::FileHeap<Shared, Lock>;
  using Ion = device::IonHeaps<Shared, Lock>;
  using Reports = IonReports<Shared, Lock>;
  using MmzZone = device::MmzZone<Shared, Lock>;
  using Pmem = device::PmemFile<Shared, Lock, WindowScreen, pmem_limits>;

  // `words` are a command line's. Errors: line and field of what the text has wrong, or the word that no heap has.
  static TextResult<std::unique_ptr<DeviceBoard>> create(std::string_view text, const TagKey& key, std::span<const SizeWord> words = {});
  ~DeviceBoard();

  // Heaps that the text has and the system refuses; the others live.
  const std::vector<TextError>& left_out() const noexcept { return left_out_; }

  const Tree& tree() const noexcept { return tree_; }
  // Of the server that serves the tree; before it runs.
  void look_after(OpenFiles& files);
  Shared& device() noexcept { return device_; }

 private:
  DeviceBoard(Heaps heaps, std::vector<device::BoardNode> nodes, device::HeapModes modes, MmzBoard mmz, const TagKey& key, const BoardMemory* unstable);

  bool has(device::NodeSystem system) const noexcept {
    return std::ranges::any_of(nodes_, [&](const auto& node) { return node.system == system; });
  }
  // Pools, and buffers that are freed later, are of ION's last two generations; dma-heap and earlier ones have neither.
  bool has_ion() const noexcept { return has(device::NodeSystem::ion_g3) || has(device::NodeSystem::ion_g4); }
  bool has_msm() const noexcept { return has(device::NodeSystem::ion_g1) || has(device::NodeSystem::ion_g2); }
  Pooled::Pools* pools_of(const device::HeapInfo& info, const BoardHeap& heap);

  // Each of these is false where something else has its path, or one that leads there.
  template <class HeapsFor, class Open>
  bool add_opened(const std::string& path, Node node, Bytes quota, HeapsFor heaps, Open open);
  template <class HeapsFor, class Make>
  bool add_node(const std::string& path, Node node, Bytes quota, HeapsFor heaps, Make make);
  Result<ClientId> open_client(HeapMask heaps, Bytes quota);
  HeapMask heaps_for(Standing standing) const;
  std::uint32_t mode_of(const FileHeap& heap, std::uint32_t otherwise) const;

  void add(const device::BoardNode& node);
  void add_ion(const device::BoardNode& node);
  template <device::IonGeneration generation>
  void add_handle_node(const device::BoardNode& node, const Ion& ion);
  void add_fd_node(const device::BoardNode& node, const Ion& ion);
  template <class Make>
  void add_ion_node(const device::BoardNode& node, Make make);
  std::vector<Reports::Heap> shown_heaps();
  void add_dma_heap(const device::BoardNode& node);
  void add_bufinfo();
  void add_state();
  void add_pmem(const device::BoardNode& node);
  void add_region(const device::BoardNode& node, FileHeap& heap, const BoardHeap& text);
  void add_mmz(const device::BoardNode& node);
  template <MmzGeneration generation>
  void add_mmz_node(const device::BoardNode& node);
  HeapMask mmz_heaps() const;
  device::Answer add_mmz_zones(std::string_view text);
  TextError add_mmz_zone(const BoardHeap& zone);

  struct Pools {
    explicit Pools(ZoneRef zone) : room(8192), pools(zone, room) {}

    std::vector<device::KeptBlocks::Place> room;
    Pooled::Pools pools;
  };

  ServerPlatform platform_;
  Heaps zones_;
  const std::vector<device::BoardNode> nodes_;
  const device::HeapModes modes_;
  const MmzBoard mmz_;  // as the text has it
  WindowMemory window_memory_;
  std::vector<TextError> left_out_;
  TextError wrong_;  // what of the nodes cannot be served, if anything
  std::list<Pools> pools_;
  GrowingHeaps<Heaps> all_heaps_{zones_};
  Pooled pooled_;
  Shared device_;
  std::vector<Later::Place> dead_ = std::vector<Later::Place>(server_limits.buffers);
  Later later_{dead_};
  std::list<FileHeap> heaps_;
  std::vector<FileHeap*> walk_, ascending_;  // as ION asks them; none of PMEM's
  device::IonCookies<Lock> cookies_;
  std::list<Ion> ions_;
  std::list<Pmem::Region> regions_;
  std::vector<MmzZone> mmz_list_;  // in the order of registration
  std::optional<device::MmzZones<Shared, Lock>> mmz_zones_;
  std::mutex mmz_lock_;  // of zones that are added while it runs, and all of the next three
  MmzBoard mmz_now_;
  std::list<FileHeap> added_heaps_;
  std::list<MmzZone> added_zones_;
  std::optional<UnstableMemory> unstable_;  // none: all memory stays
  std::uint32_t next_minor_ = 127;
  Tree tree_;
  std::list<Reports> reports_;
  IdleThread idle_;  // ends first
};

}  // namespace freestone::linux_user
