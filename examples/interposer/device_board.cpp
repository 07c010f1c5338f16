#include "device_board.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include <freestone/device/dma_heap.hpp>
#include <freestone/device/ion.hpp>
#include <freestone/device/ion/test_file.hpp>
#include <freestone/heap/os/board_ion.hpp>
#include <freestone/heap/os/board_toml.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>

namespace freestone::linux_user {

TextResult<std::unique_ptr<DeviceBoard>> DeviceBoard::create(std::string_view text, const TagKey& key) {
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

DeviceBoard::~DeviceBoard() = default;

void DeviceBoard::look_after(OpenFiles& files) {
  platform_.look_after(files, idle_);
  if (has_ion() && idle_.start([this] { return later_.work(); })) later_.begin();
}

DeviceBoard::DeviceBoard(Heaps heaps, std::vector<device::BoardNode> nodes, device::HeapModes modes, const TagKey& key)
    : zones_(std::move(heaps)),
      nodes_(std::move(nodes)),
      modes_(std::move(modes)),
      pooled_(zones_),
      device_(pooled_, platform_, key) {
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

DeviceBoard::Pooled::Pools* DeviceBoard::pools_of(const device::HeapInfo& info, const BoardHeap& heap) {
  if (!has_ion() || info.type != device::HeapType::system || heap.reserve != 0) return nullptr;
  Pools& pools = pools_.emplace_back(*zones_.zone(info.id));
  pooled_.add(info.id, pools.pools);
  return &pools.pools;
}

// A node whose opener gets the file that make(call, client, flags) makes, in a client's name of his own, who may use
// heaps(standing), and so many bytes (0: no limit).
template <class HeapsFor, class Make>
void DeviceBoard::add_node(const std::string& path, Node node, Bytes quota, HeapsFor heaps, Make make) {
  node.open = [this, path, quota, heaps, make](ServerCall& call, int flags,
                                               device::Errno& why) -> std::shared_ptr<OpenFile> {
    auto served = ServedFile::create(path.c_str() + path.rfind('/') + 1, 0);
    if (!served) return why = ServerCall::errno_of_host(served.error()), nullptr;
    const auto client = open_client(heaps(call.program().standing), quota);
    if (!client) return why = device::Errno::no_memory, nullptr;
    const auto made = [&] { return make(call, *client, device::OpenFlags{static_cast<std::uint32_t>(flags)}); };
    std::shared_ptr<OpenFile> file;
    const auto open = [&] {
      file = std::make_shared<DeviceFile<decltype(made())>>(*std::move(served), tree_.status(path), made);
    };
    if (!has_memory(open)) static_cast<void>(device_.close(*client)), why = device::Errno::no_memory;  // nobody's yet
    return file;
  };
  tree_.add(path, std::move(node));
}
// Where there is no room, it may be that of some whose end is just being told, or whose buffers wait to be freed.
Result<ClientId> DeviceBoard::open_client(HeapMask heaps, Bytes quota) {
  ClientSettings settings{.heaps = heaps};
  if (quota != 0) settings.quota.bytes = quota;
  const auto client = device_.open(settings);
  if (client) return client;
  platform_.reclaim();
  later_.drain(HeapMask::all());
  return device_.open(settings);
}
// All but those whose own modes keep him from them.
HeapMask DeviceBoard::heaps_for(Standing standing) const {
  HeapMask heaps;
  for (const FileHeap& heap : heaps_) {
    if (allows(mode_of(heap, 0666), standing, R_OK | W_OK)) heaps = heaps | HeapMask::of(heap.info().id);
  }
  return heaps;
}
std::uint32_t DeviceBoard::mode_of(const FileHeap& heap, std::uint32_t otherwise) const {
  const auto own = modes_.find(heap.info().name);
  return own != modes_.end() ? own->second : otherwise;
}

void DeviceBoard::add(const device::BoardNode& node) {
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
void DeviceBoard::add_ion(const device::BoardNode& node) {
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
void DeviceBoard::add_handle_node(const device::BoardNode& node, const Ion& ion) {
  using File = device::IonHandleFile<Shared, Lock, generation>;
  Reports& reports = reports_.emplace_back(tree_, ion, shown_heaps());
  add_ion_node(node, [this, &ion, &reports](ServerCall& call, ClientId client, device::OpenFlags flags) {
    return Reports::ShownFile<File>(reports,
                                    [&] { return File(ion, client, cookies_, flags, holder_of(call.program())); });
  });
}
void DeviceBoard::add_fd_node(const device::BoardNode& node, const Ion& ion) {
  add_ion_node(node, [&ion](ServerCall&, ClientId client, device::OpenFlags) {
    return device::IonFile<Shared, Lock>(ion, client);
  });
  add_ion_g4_reports(tree_, ion.heaps);
}
template <class Make>
void DeviceBoard::add_ion_node(const device::BoardNode& node, Make make) {
  add_node(
      node.path, {.mode = node.mode, .major = 10, .minor = next_minor_--}, node.quota,
      [this](Standing who) { return heaps_for(who); }, make);
}
std::vector<DeviceBoard::Reports::Heap> DeviceBoard::shown_heaps() {
  std::vector<Reports::Heap> shown;
  for (FileHeap& heap : heaps_) {
    const BoardHeap& text = zones_.text(shown.size());
    const auto* const part = std::get_if<IonPart>(&text.part);
    shown.push_back({&heap, zones_.zone(text.id)->base().value(), part != nullptr && part->reusable});
  }
  return shown;
}
void DeviceBoard::add_dma_heap(const device::BoardNode& node) {
  tree_.own(node.path);
  std::uint32_t minor = 0;
  for (FileHeap& heap : heaps_) {
    add_node(
        node.path + '/' + heap.info().name, {.mode = mode_of(heap, node.mode), .major = 250, .minor = minor++},
        node.quota, [](Standing) { return HeapMask::all(); },
        [this, &heap](ServerCall&, ClientId client, device::OpenFlags) {
          return device::DmaHeapFile<Shared, Lock>(device_, heap, client);
        });
  }
  add_bufinfo();
}

// What debugfs has of dma-heap's buffers, and all others (shared/spec: ION 6, G5); once.
void DeviceBoard::add_bufinfo() {
  const std::string folder = "/sys/kernel/debug/dma_buf";
  if (tree_.find(folder + "/bufinfo") != nullptr) return;
  tree_.own(folder);
  add_report(tree_, folder + "/bufinfo",
             [this] { return platform_.files() == nullptr ? std::string() : bufinfo(*platform_.files()); });
}

}  // namespace freestone::linux_user
