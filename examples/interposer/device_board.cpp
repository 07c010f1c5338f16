#include "device_board.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include <freestone/core/bits.hpp>
#include <freestone/device/dma_heap.hpp>
#include <freestone/device/ion.hpp>
#include <freestone/device/ion/test_file.hpp>
#include <freestone/heap/os/board_ion.hpp>
#include <freestone/heap/os/board_pmem.hpp>
#include <freestone/heap/os/board_toml.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>

#include "mmz_reports_of.hpp"
#include "pmem_reports_of.hpp"

namespace freestone::linux_user {

namespace {

PmemGeneration generation_of(const std::vector<device::BoardNode>& nodes) {
  for (const device::BoardNode& node : nodes) {
    if (device::is_pmem(node.system)) {
      return static_cast<PmemGeneration>(static_cast<unsigned>(node.system) - static_cast<unsigned>(device::NodeSystem::pmem_google));
    }
  }
  return PmemGeneration::qualcomm;
}
MmzGeneration mmz_generation_of(const std::vector<device::BoardNode>& nodes) {
  const auto found = std::ranges::find_if(nodes, [](const device::BoardNode& node) { return device::is_mmz(node.system); });
  if (found == nodes.end()) return MmzGeneration::g4;
  return static_cast<MmzGeneration>(static_cast<unsigned>(found->system) - static_cast<unsigned>(device::NodeSystem::mmz_g1));
}
// PMEM's regions and MMZ's zones come behind the others, and have ids that these leave.
void add_behind(BoardTable& board, BoardTable&& regions) {
  unsigned id = most_heaps;
  const auto has_id = [&] { return std::ranges::any_of(board.heaps, [&](const BoardHeap& heap) { return heap.id == id; }); };
  for (BoardHeap& region : regions.heaps) {
    do --id;
    while (id != 0 && has_id());
    region.id = id;
    board.heaps.push_back(std::move(region));
  }
  for (TextError& one : regions.left_out) board.left_out.push_back(std::move(one));
  if (board.memory.empty()) board.memory = std::move(regions.memory);
}
// A text may have ION's tables, or heaps of its own, or neither; and PMEM's and MMZ's beside.
TextResult<BoardTable> read_heaps(std::string_view text, const std::vector<device::BoardNode>& nodes, std::span<const SizeWord> words) {
  const bool has_ion = device::has_tables(text, "ion"), has_pmem = device::has_tables(text, "pmem");
  const bool has_others = has_pmem || device::has_tables(text, "mmz");
  TextResult<BoardTable> board = has_ion ? read_ion(text) : device::has_tables(text, "heap") || !has_others ? read_toml(text) : BoardTable();
  if (!board) return board;
  if (!has_pmem && !words.empty()) return unused_word(words, {});
  if (!has_pmem) return board;
  auto regions = read_pmem(text, generation_of(nodes), words);
  if (!regions) return regions.error();
  add_behind(*board, *std::move(regions));
  return board;
}

// The block that unstable regions are in; null where there are none.
const BoardMemory* unstable_memory_of(const BoardTable& board) {
  const auto is_unstable = [](const BoardHeap& heap) { return device::is_pmem(heap) && std::get<PmemPart>(heap.part).unstable; };
  if (std::ranges::none_of(board.heaps, is_unstable)) return nullptr;
  const auto found = std::ranges::find(board.memory, "unstable", &BoardMemory::name);
  return found == board.memory.end() ? nullptr : &*found;
}
DeviceBoard::MmzZone mmz_zone_of(DeviceBoard::FileHeap& heap, const BoardHeap& text) {
  const MmzPart& part = std::get<MmzPart>(text.part);
  return {&heap, text.base.value_or(0), part.gfp, part.type, part.block_align};
}
bool touch(const HeapTraits& heap, const BoardHeap& zone) {
  const std::uint64_t start = zone.base.value_or(0), other = heap.base.value_or(0);
  return heap.base && start <= other + (heap.size.value() - 1) && other <= start + (zone.size.value() - 1);
}
// A node that another one is in the way of.
TextError taken(const device::BoardNode& node) {
  return {.what = TextFault::duplicate_name, .line = node.line, .field = "path", .value = node.path};
}
TextError taken(const BoardHeap& region, std::string path) {
  return {.what = TextFault::duplicate_name, .line = region.line, .heap = region.name, .field = "name", .value = std::move(path)};
}

}  // namespace

TextResult<std::unique_ptr<DeviceBoard>> DeviceBoard::create(std::string_view text, const TagKey& key, std::span<const SizeWord> words) {
  auto nodes = device::read_nodes(text);
  if (!nodes) return nodes.error();
  auto modes = device::read_heap_modes(text);
  if (!modes) return modes.error();
  auto board = read_heaps(text, *nodes, words);
  if (!board) return board.error();
  auto mmz = device::read_mmz_board(text, mmz_generation_of(*nodes));
  if (!mmz) return mmz.error();
  add_behind(*board, BoardTable(mmz->table));
  mmz->table.left_out.clear();  // they are told as the board's
  device::take_ion_types(*board);
  device::take_mmz_types(*board);
  device::take_pmem_types(*board);
  if (const TextError error = device::take_types(*board); error) return error;
  auto left_out = std::move(board->left_out);
  const BoardMemory* const found = unstable_memory_of(*board);
  const BoardMemory unstable = found == nullptr ? BoardMemory() : *found;
  auto heaps = Heaps::create(*std::move(board));
  if (!heaps) return heaps.error();
  std::unique_ptr<DeviceBoard> made(
      new DeviceBoard(*std::move(heaps), *std::move(nodes), *std::move(modes), *std::move(mmz), key, found == nullptr ? nullptr : &unstable));
  if (made->wrong_) return made->wrong_;
  made->left_out_ = std::move(left_out);
  return made;
}

DeviceBoard::~DeviceBoard() = default;

void DeviceBoard::look_after(OpenFiles& files) {
  platform_.look_after(files, idle_);
  if (has_ion() && idle_.start([this] { return later_.work(); })) later_.begin();
}

DeviceBoard::DeviceBoard(Heaps heaps, std::vector<device::BoardNode> nodes, device::HeapModes modes, MmzBoard mmz, const TagKey& key,
                         const BoardMemory* unstable)
    : zones_(std::move(heaps)),
      nodes_(std::move(nodes)),
      modes_(std::move(modes)),
      mmz_(std::move(mmz)),
      window_memory_(mmz_.windows),
      pooled_(all_heaps_),
      device_(pooled_, platform_, key),
      mmz_now_(mmz_) {
  for (std::size_t place = 0; place < zones_.count(); ++place) {
    const BoardHeap& heap = zones_.text(place);
    const bool is_plain = !device::is_pmem(heap) && !device::is_mmz(heap);
    const device::HeapInfo info = device::heap_info_of(heap, !has_msm() && is_plain, has(device::NodeSystem::ion_g1));
    heaps_.emplace_back(device_, info, is_plain ? &later_ : nullptr, is_plain ? pools_of(info, heap) : nullptr);
    if (is_plain) walk_.push_back(&heaps_.back());
    if (device::is_mmz(heap)) mmz_list_.push_back(mmz_zone_of(heaps_.back(), heap));
  }
  std::ranges::sort(walk_, [](const FileHeap* a, const FileHeap* b) { return a->info().id > b->info().id; });
  ascending_.assign(walk_.rbegin(), walk_.rend());
  if (has_msm()) platform_.view_all();  // whose buffers know who maps them
  mmz_zones_.emplace(device_, mmz_list_, mmz_.allocator,
                     device::MmzVisible{.windows = mmz_.windows, .isolates_processes = mmz_.isolates_processes});
  platform_.hear_leaks(&log_leak);
  if (unstable != nullptr) unstable_.emplace(*unstable);
  for (const device::BoardNode& node : nodes_) add(node);
  if (unstable_) add_state();
}

DeviceBoard::Pooled::Pools* DeviceBoard::pools_of(const device::HeapInfo& info, const BoardHeap& heap) {
  if (!has_ion() || info.type != device::HeapType::system || heap.reserve != 0) return nullptr;
  Pools& pools = pools_.emplace_back(*zones_.zone(info.id));
  pooled_.add(info.id, pools.pools);
  return &pools.pools;
}

// A node whose opener gets what open(call, served, client, flags, why) makes, in a client's name of his own, who may use
// heaps(standing), and so many bytes (0: no limit).
template <class HeapsFor, class Open>
bool DeviceBoard::add_opened(const std::string& path, Node node, Bytes quota, HeapsFor heaps, Open open) {
  node.open = [this, path, quota, heaps, open](ServerCall& call, int flags,
                                               device::Errno& why) -> std::shared_ptr<OpenFile> {
    auto served = ServedFile::create(path.c_str() + path.rfind('/') + 1, 0);
    if (!served) return why = ServerCall::errno_of_host(served.error()), nullptr;
    const auto client = open_client(heaps(call.program().standing), quota);
    if (!client) return why = device::Errno::no_memory, nullptr;
    std::shared_ptr<OpenFile> file;
    const auto make = [&] {
      file = open(call, *std::move(served), *client, device::OpenFlags{static_cast<std::uint32_t>(flags)}, why);
    };
    if (!has_memory(make)) why = device::Errno::no_memory;
    if (file == nullptr) static_cast<void>(device_.close(*client));  // nobody's yet
    return file;
  };
  return tree_.add(path, std::move(node));
}
// The same with the personality's file that make(call, client, flags) makes.
template <class HeapsFor, class Make>
bool DeviceBoard::add_node(const std::string& path, Node node, Bytes quota, HeapsFor heaps, Make make) {
  return add_opened(path, std::move(node), quota, heaps,
                    [this, path, make](ServerCall& call, ServedFile&& served, ClientId client, device::OpenFlags flags, device::Errno&) {
                      const auto made = [&] { return make(call, client, flags); };
                      return std::make_shared<DeviceFile<decltype(made())>>(std::move(served), tree_.status(path), made);
                    });
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
  if (device::is_pmem(node.system)) return add_pmem(node);
  if (device::is_mmz(node.system)) return add_mmz(node);
  if (node.system == device::NodeSystem::dma_heap) return add_dma_heap(node);
  Node test{.mode = node.mode, .major = 10, .minor = next_minor_--};
  test.open = [this, path = node.path](ServerCall&, int, device::Errno& why) -> std::shared_ptr<OpenFile> {
    auto served = ServedFile::create("ion-test", 0);
    if (!served) return why = ServerCall::errno_of_host(served.error()), nullptr;
    using File = device::IonTestFile<Shared, Lock>;
    return std::make_shared<DeviceFile<File>>(*std::move(served), tree_.status(path), [] { return File(); });
  };
  if (!tree_.add(node.path, std::move(test))) wrong_ = taken(node);
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
  const bool is_added = add_node(
      node.path, {.mode = node.mode, .major = 10, .minor = next_minor_--}, node.quota,
      [this](Standing who) { return heaps_for(who); }, make);
  if (!is_added) wrong_ = taken(node);
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
    if (std::ranges::find(walk_, &heap) == walk_.end()) continue;
    const bool is_added = add_node(
        node.path + '/' + heap.info().name, {.mode = mode_of(heap, node.mode), .major = 250, .minor = minor++},
        node.quota, [](Standing) { return HeapMask::all(); },
        [this, &heap](ServerCall&, ClientId client, device::OpenFlags) {
          return device::DmaHeapFile<Shared, Lock>(device_, heap, client);
        });
    if (!is_added) wrong_ = taken(node);
  }
  add_bufinfo();
}

// The block's file: who writes it has its regions' memory come and go.
void DeviceBoard::add_state() {
  const std::string path = unstable_->path();
  const auto write = [this](std::string_view text) { return unstable_->write(text, [this] { platform_.reclaim(); }); };
  if (tree_.add(path, report_node(path, 0644, [this] { return unstable_->state(); }, write))) return;
  wrong_ = {.what = TextFault::duplicate_name, .line = unstable_->line(), .field = "base", .value = path};
}
void DeviceBoard::add_pmem(const device::BoardNode& node) {
  std::size_t place = 0;
  for (FileHeap& heap : heaps_) {
    const BoardHeap& text = zones_.text(place++);
    if (device::is_pmem(text)) add_region(node, heap, text);
  }
}
void DeviceBoard::add_region(const device::BoardNode& node, FileHeap& heap, const BoardHeap& text) {
  const device::PmemSettings settings = device::pmem_settings_of(text, device::numbers_of(node.system));
  Pmem::Region& region = regions_.emplace_back(device_, heap, *zones_.zone(text.id), settings);
  const PmemPart& part = std::get<PmemPart>(text.part);
  UnstableRegion* const unstable = part.unstable ? &unstable_->region_of(settings) : nullptr;
  PmemReports<Pmem::Region>::add(tree_, region, unstable);
  if (part.kernel_only) return;
  const std::string path = node.path + '/' + text.name;
  const bool is_added = add_opened(
      path, {.mode = node.mode, .major = 10, .minor = settings.id}, node.quota,
      [&heap](Standing) { return HeapMask::of(heap.info().id); },
      [this, path, &region, unstable](ServerCall& call, ServedFile&& served, ClientId client, device::OpenFlags flags,
                                      device::Errno& why) -> std::shared_ptr<OpenFile> {
        OpenFile::Kept kept;
        if (unstable != nullptr && (why = unstable_->open(*unstable, kept)) != device::Errno::none) return nullptr;
        return std::make_shared<PmemNodeFile<Pmem>>(std::move(served), tree_.status(path), call.views(), pmem_limits.grants, region, client,
                                                    flags, std::move(kept));
      });
  if (!is_added) wrong_ = taken(text, path);
}

void DeviceBoard::add_mmz(const device::BoardNode& node) {
  switch (mmz_.generation) {
    case MmzGeneration::g1: return add_mmz_node<MmzGeneration::g1>(node);
    case MmzGeneration::g2: return add_mmz_node<MmzGeneration::g2>(node);
    case MmzGeneration::g3: return add_mmz_node<MmzGeneration::g3>(node);
    case MmzGeneration::g5: return add_mmz_node<MmzGeneration::g5>(node);
    case MmzGeneration::g4:
    case MmzGeneration::set_top: return add_mmz_node<MmzGeneration::g4>(node);
  }
}
template <MmzGeneration generation>
void DeviceBoard::add_mmz_node(const device::BoardNode& node) {
  using File = device::MmzFile<Shared, Lock, generation>;
  const bool is_added = add_opened(
      node.path, {.mode = node.mode, .major = 10, .minor = next_minor_--}, node.quota,
      [this](Standing) { return mmz_heaps(); },
      [this, path = node.path](ServerCall& call, ServedFile&& served, ClientId client, device::OpenFlags flags,
                               device::Errno& why) -> std::shared_ptr<OpenFile> {
        why = device::Errno::not_permitted;
        if (device::mmz_needs_raw_io(generation) && !call.sees_physical_addresses()) return nullptr;
        return std::make_shared<MmzNodeFile<File>>(std::move(served), tree_.status(path), *mmz_zones_, window_memory_, client,
                                                   flags, static_cast<std::uint32_t>(call.program().process));
      });
  if (!is_added) wrong_ = taken(node);
  const std::string report = "/proc/media-mem";
  const auto text = [this] { return media_mem_of(mmz_, *mmz_zones_); };
  std::function<device::Answer(std::string_view)> write;
  if (device::mmz_reports::takes_zones(generation)) {
    write = [this](std::string_view zones) {
      device::Answer answer = device::Errno::no_memory;
      static_cast<void>(has_memory([&] { answer = add_mmz_zones(zones); }));
      return answer;
    };
  }
  if (!tree_.add(report, report_node(report, device::mmz_reports::mode(generation), text, write))) wrong_ = taken(node);
}
// Those that are there, and those that may be added: all that are nobody else's.
HeapMask DeviceBoard::mmz_heaps() const {
  std::uint64_t others = 0;
  for (std::size_t place = 0; place < zones_.count(); ++place) {
    if (!device::is_mmz(zones_.text(place))) others |= HeapMask::of(zones_.text(place).id).bits();
  }
  return HeapMask(~others);
}
// Zones that cannot be had are told where the server's own messages go: whoever writes hears of none.
device::Answer DeviceBoard::add_mmz_zones(std::string_view text) {
  const std::lock_guard turn(mmz_lock_);
  MmzBoard more = mmz_now_;
  const device::Answer taken = device::mmz_reports::add_zones(more, text);
  if (taken.is_error()) return taken;
  for (const TextError& one : more.table.left_out) log_left_out(one);
  std::vector<BoardHeap>& known = mmz_now_.table.heaps;
  known.reserve(more.table.heaps.size());
  for (BoardHeap& zone : std::span(more.table.heaps).subspan(known.size())) {
    const TextError wrong = add_mmz_zone(zone);
    wrong ? log_left_out(wrong) : known.push_back(std::move(zone));
  }
  return taken;
}
TextError DeviceBoard::add_mmz_zone(const BoardHeap& zone) {
  std::uint64_t ids = 0;
  for (const HeapTraits& heap : all_heaps_.traits()) {
    if (touch(heap, zone)) return {.what = TextFault::overlap, .heap = zone.name, .field = "start", .other = heap.name};
    ids |= HeapMask::of(heap.id).bits();
  }
  if (HeapMask(ids) == HeapMask::all()) return {.what = TextFault::too_many, .heap = zone.name, .field = "mmz"};
  BoardTable table;
  table.heaps.push_back(zone);
  table.heaps[0].id = bits::floor_log2(~ids);
  device::take_mmz_types(table);
  if (const TextError error = device::take_types(table); error) return error;
  auto made = Heaps::create(std::move(table));
  if (!made) return made.error();
  const BoardHeap& text = all_heaps_.add(*std::move(made)).text(0);
  FileHeap& heap = added_heaps_.emplace_back(device_, device::heap_info_of(text, false));
  mmz_zones_->add(added_zones_.emplace_back(mmz_zone_of(heap, text)));
  return {};
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
