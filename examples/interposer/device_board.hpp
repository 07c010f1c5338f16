// A board's heaps as a Device, and its nodes as a server's tree.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <freestone/device/deferred_free.hpp>
#include <freestone/device/dma_heap.hpp>
#include <freestone/device/ion.hpp>
#include <freestone/device/ion/test_file.hpp>
#include <freestone/device/os/board_nodes.hpp>
#include <freestone/device/os/stock_kinds.hpp>
#include <freestone/device/page_pools.hpp>
#include <freestone/device/pooled_heaps.hpp>
#include <freestone/heap/os/board_ion.hpp>
#include <freestone/heap/os/board_toml.hpp>
#include <freestone/heap/os/runtime_heaps.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/platform/linux_user/device_files.hpp>
#include <freestone/platform/linux_user/idle_thread.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/tree.hpp>
#include <freestone/share/device.hpp>

#include "ion_reports_of.hpp"

namespace freestone::linux_user {

// Open nodes, programs that have some, buffers; handles are for as long as an ALLOC takes, so for as many threads in one
// node's. A buffer of a scattered heap has a block for each MiB at least, and more where the heap is in pieces.
inline constexpr ShareLimits server_limits{.clients = 4096, .owners = 1024, .buffers = 4096, .handles = 32, .blocks = 1024, .maps = 4};

class DeviceBoard {
 public:
  using Lock = lock::Futex;
  using Heaps = RuntimeHeaps<void, device::StockKinds>;
  // Each buffer's bytes are a file of their own, of zeros: there is nothing to scrub.
  using Pooled = device::PooledHeaps<Heaps, Lock>;
  using Extra = device::HeapBuffer<ServerPlatform::Memory, Lock>;
  using Shared = Device<Pooled, ServerPlatform, server_limits, scrub::Nothing, PlainLocks<Lock>, CompilerAtomics, Extra>;
  using Later = device::DeferredFree<Shared, Lock>;
  using FileHeap = device::FileHeap<Shared, Lock>;
  using Ion = device::IonHeaps<Shared, Lock>;
  using Reports = IonReports<Shared, Lock>;

  // Errors: line and field of what the text has wrong.
  static TextResult<std::unique_ptr<DeviceBoard>> create(std::string_view text, const TagKey& key) {
    auto nodes = device::read_nodes(text);
    if (!nodes) return nodes.error();
    auto modes = device::read_heap_modes(text);
    if (!modes) return modes.error();
    auto board = device::has_ion_tables(text) ? read_ion(text) : read_toml(text);
    if (!board) return board.error();
    device::take_ion_types(*board);
    if (const TextError error = device::take_types(*board); error) return error;
    auto left_out = std::move(board->left_out);
    auto heaps = Heaps::create(*std::move(board));
    if (!heaps) return heaps.error();
    std::unique_ptr<DeviceBoard> made(new DeviceBoard(*std::move(heaps), *std::move(nodes), *std::move(modes), key));
    made->left_out_ = std::move(left_out);
    return made;
  }

  // Heaps that the text has and the system refuses; the others live.
  const std::vector<TextError>& left_out() const noexcept { return left_out_; }

  const Tree& tree() const noexcept { return tree_; }
  // Of the server that serves the tree; before it runs.
  void look_after(OpenFiles& files) {
    platform_.look_after(files, idle_);
    if (has_ion() && idle_.start([this] { return later_.work(); })) later_.begin();
  }
  Shared& device() noexcept { return device_; }

 private:
  DeviceBoard(Heaps heaps, std::vector<device::BoardNode> nodes, device::HeapModes modes, const TagKey& key)
      : zones_(std::move(heaps)), nodes_(std::move(nodes)), modes_(std::move(modes)), pooled_(zones_), device_(pooled_, platform_, key) {
    for (std::size_t place = 0; place < zones_.count(); ++place) {
      const BoardHeap& heap = zones_.text(place);
      const device::HeapInfo info = device::heap_info_of(heap, !has_msm(), has(device::NodeSystem::ion_g1));
      heaps_.emplace_back(device_, info, &later_, pools_of(info, heap));
      walk_.push_back(&heaps_.back());
    }
    std::ranges::sort(walk_, [](const FileHeap* a, const FileHeap* b) { return a->info().id > b->info().id; });
    ascending_.assign(walk_.rbegin(), walk_.rend());
    if (has_msm()) platform_.view_all();  // whose buffers know who maps them
    for (const device::BoardNode& node : nodes_) add(node);
  }

  bool has(device::NodeSystem system) const noexcept {
    return std::ranges::any_of(nodes_, [&](const auto& node) { return node.system == system; });
  }
  // Pools, and buffers that are freed later, are of ION's last two generations; dma-heap and earlier ones have neither.
  bool has_ion() const noexcept { return has(device::NodeSystem::ion_g3) || has(device::NodeSystem::ion_g4); }
  bool has_msm() const noexcept { return has(device::NodeSystem::ion_g1) || has(device::NodeSystem::ion_g2); }
  Pooled::Pools* pools_of(const device::HeapInfo& info, const BoardHeap& heap) {
    if (!has_ion() || info.type != device::HeapType::system || heap.reserve != 0) return nullptr;
    Pools& pools = pools_.emplace_back(*zones_.zone(info.id));
    pooled_.add(info.id, pools.pools);
    return &pools.pools;
  }

  // A node whose opener gets the file that make(call, client, flags) makes, in a client's name of his own, who may use heaps(standing),
  // and so many bytes (0: no limit).
  template <class HeapsFor, class Make>
  void add_node(const std::string& path, Node node, Bytes quota, HeapsFor heaps, Make make) {
    node.open = [this, path, quota, heaps, make](ServerCall& call, int flags, device::Errno& why) -> std::shared_ptr<OpenFile> {
      auto served = ServedFile::create(path.c_str() + path.rfind('/') + 1, 0);
      if (!served) return why = ServerCall::errno_of_host(served.error()), nullptr;
      const auto client = open_client(heaps(call.program().standing), quota);
      if (!client) return why = device::Errno::no_memory, nullptr;
      const auto made = [&] { return make(call, *client, device::OpenFlags{static_cast<std::uint32_t>(flags)}); };
      std::shared_ptr<OpenFile> file;
      const auto open = [&] { file = std::make_shared<DeviceFile<decltype(made())>>(*std::move(served), tree_.status(path), made); };
      if (!has_memory(open)) static_cast<void>(device_.close(*client)), why = device::Errno::no_memory;  // nobody's yet
      return file;
    };
    tree_.add(path, std::move(node));
  }
  // Where there is no room, it may be that of some whose end is just being told, or whose buffers wait to be freed.
  Result<ClientId> open_client(HeapMask heaps, Bytes quota) {
    ClientSettings settings{.heaps = heaps};
    if (quota != 0) settings.quota.bytes = quota;
    const auto client = device_.open(settings);
    if (client) return client;
    platform_.reclaim();
    later_.drain(HeapMask::all());
    return device_.open(settings);
  }
  // All but those whose own modes keep him from them.
  HeapMask heaps_for(Standing standing) const {
    HeapMask heaps;
    for (const FileHeap& heap : heaps_) {
      if (allows(mode_of(heap, 0666), standing, R_OK | W_OK)) heaps = heaps | HeapMask::of(heap.info().id);
    }
    return heaps;
  }
  std::uint32_t mode_of(const FileHeap& heap, std::uint32_t otherwise) const {
    const auto own = modes_.find(heap.info().name);
    return own != modes_.end() ? own->second : otherwise;
  }

  void add(const device::BoardNode& node) {
    if (device::is_ion(node.system)) return add_ion(node);
    if (node.system == device::NodeSystem::dma_heap) return add_dma_heap(node);
    Node test{.mode = node.mode, .major = 10, .minor = next_minor_--};
    test.open = [this, path = node.path](ServerCall&, int, device::Errno& why) -> std::shared_ptr<OpenFile> {
      auto served = ServedFile::create("ion-test", 0);
      if (!served) return why = ServerCall::errno_of_host(served.error()), nullptr;
      using File = device::IonTestFile<Shared, Lock>;
      return std::make_shared<DeviceFile<File>>(*std::move(served), tree_.status(path), [] { return File(); });
    };
    tree_.add(node.path, std::move(test));
  }
  void add_ion(const device::BoardNode& node) {
    const auto generation = static_cast<device::IonGeneration>(static_cast<unsigned>(node.system) - 1);
    ions_.push_back({.device = &device_,
                     .heaps = device::is_msm(generation) ? ascending_ : walk_,
                     .abi_version = node.abi_version,
                     .generation = generation});
    const Ion& ion = ions_.back();
    switch (generation) {
      case device::IonGeneration::g1: return add_handle_node<device::IonGeneration::g1>(node, ion);
      case device::IonGeneration::g2: return add_handle_node<device::IonGeneration::g2>(node, ion);
      case device::IonGeneration::g3: return add_handle_node<device::IonGeneration::g3>(node, ion);
      case device::IonGeneration::g4: return add_fd_node(node, ion);
    }
  }
  template <device::IonGeneration generation>
  void add_handle_node(const device::BoardNode& node, const Ion& ion) {
    using File = device::IonHandleFile<Shared, Lock, generation>;
    Reports& reports = reports_.emplace_back(tree_, ion, shown_heaps());
    add_ion_node(node, [this, &ion, &reports](ServerCall& call, ClientId client, device::OpenFlags flags) {
      return Reports::ShownFile<File>(reports, [&] { return File(ion, client, cookies_, flags, holder_of(call.program())); });
    });
  }
  void add_fd_node(const device::BoardNode& node, const Ion& ion) {
    add_ion_node(node, [&ion](ServerCall&, ClientId client, device::OpenFlags) { return device::IonFile<Shared, Lock>(ion, client); });
    add_ion_g4_reports(tree_, ion.heaps);
  }
  template <class Make>
  void add_ion_node(const device::BoardNode& node, Make make) {
    add_node(
        node.path, {.mode = node.mode, .major = 10, .minor = next_minor_--}, node.quota, [this](Standing who) { return heaps_for(who); },
        make);
  }
  std::vector<Reports::Heap> shown_heaps() {
    std::vector<Reports::Heap> shown;
    for (FileHeap& heap : heaps_) {
      const BoardHeap& text = zones_.text(shown.size());
      const auto* const part = std::get_if<IonPart>(&text.part);
      shown.push_back({&heap, zones_.zone(text.id)->base().value(), part != nullptr && part->reusable});
    }
    return shown;
  }
  void add_dma_heap(const device::BoardNode& node) {
    tree_.own(node.path);
    std::uint32_t minor = 0;
    for (FileHeap& heap : heaps_) {
      add_node(
          node.path + '/' + heap.info().name, {.mode = mode_of(heap, node.mode), .major = 250, .minor = minor++}, node.quota,
          [](Standing) { return HeapMask::all(); },
          [this, &heap](ServerCall&, ClientId client, device::OpenFlags) {
            return device::DmaHeapFile<Shared, Lock>(device_, heap, client);
          });
    }
    add_bufinfo();
  }

  // What debugfs has of dma-heap's buffers, and all others (shared/spec: ION 6, G5); once.
  void add_bufinfo() {
    const std::string folder = "/sys/kernel/debug/dma_buf";
    if (tree_.find(folder + "/bufinfo") != nullptr) return;
    tree_.own(folder);
    add_report(tree_, folder + "/bufinfo", [this] { return platform_.files() == nullptr ? std::string() : bufinfo(*platform_.files()); });
  }
  struct Pools {
    explicit Pools(ZoneRef zone) : room(8192), pools(zone, room) {}

    std::vector<device::KeptBlocks::Place> room;
    Pooled::Pools pools;
  };

  ServerPlatform platform_;
  Heaps zones_;
  const std::vector<device::BoardNode> nodes_;
  const device::HeapModes modes_;
  std::vector<TextError> left_out_;
  std::list<Pools> pools_;
  Pooled pooled_;
  Shared device_;
  std::vector<Later::Place> dead_ = std::vector<Later::Place>(server_limits.buffers);
  Later later_{dead_};
  std::list<FileHeap> heaps_;
  std::vector<FileHeap*> walk_, ascending_;  // as ION asks them
  device::IonCookies<Lock> cookies_;
  std::list<Ion> ions_;
  std::uint32_t next_minor_ = 127;
  Tree tree_;
  std::list<Reports> reports_;
  IdleThread idle_;  // ends first
};

}  // namespace freestone::linux_user
