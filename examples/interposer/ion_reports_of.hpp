// What debugfs shows of a board's /dev/ion: files in a server's tree, whose texts are made of its Device when somebody reads
// them. (shared/spec: ION 6.)
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <freestone/backing/os/node.hpp>
#include <freestone/core/address.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/dma_buf.hpp>
#include <freestone/device/file_heap.hpp>
#include <freestone/device/heap_buffer.hpp>
#include <freestone/device/ion/client.hpp>
#include <freestone/device/ion/heaps.hpp>
#include <freestone/device/os/ion_reports.hpp>
#include <freestone/platform/linux_user/device_files.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/server_call.hpp>
#include <freestone/platform/linux_user/tree.hpp>
#include <freestone/share/handle_table.hpp>

#include "reports.hpp"

namespace freestone::linux_user {

inline const std::string ion_folder = "/sys/kernel/debug/ion/";

inline std::string line_of(std::uint64_t value) { return std::to_string(value) + '\n'; }
// A shrinker's file: what could go is read there; shrink(number) is what a written number comes to.
template <class Heap, class Shrink>
void add_shrinker(Tree& tree, const std::string& folder, Heap& heap, Shrink shrink) {
  if (!heap.can_shrink()) return;
  const auto write = [shrink](std::string_view text) -> device::Answer {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, number);
    const bool is_number = read.ec == std::errc() && std::all_of(read.ptr, end, [](char c) { return c == '\n' || c == ' '; });
    if (!is_number) return device::Errno::invalid;
    shrink(number);
    return device::Answer(static_cast<std::int64_t>(text.size()));
  };
  const std::string path = folder + device::ion_g3::shrink_file_name(heap.info().name);
  tree.add(path, report_node(path, 0644, [&heap] { return device::ion_g3::shrink_report(heap.shrink(0)); }, write));
}

// G4's, of each heap. All of it outlives the tree's files.
template <class Heap>
void add_ion_g4_reports(Tree& tree, std::span<Heap* const> heaps) {
  tree.own(ion_folder.substr(0, ion_folder.size() - 1));
  for (Heap* const heap : heaps) {
    const std::string folder = ion_folder + heap->info().name + '/';
    add_report(tree, folder + "num_of_buffers", [heap] { return line_of(heap->use().buffers); });
    add_report(tree, folder + "num_of_alloc_bytes", [heap] { return line_of(heap->use().bytes.value()); });
    add_report(tree, folder + "alloc_bytes_wm", [heap] { return line_of(heap->use().most_bytes.value()); });
    add_shrinker(tree, folder, *heap, [heap](std::uint64_t pages) { heap->shrink(pages == 0 ? Heap::all : pages); });
  }
}

// The process that asks, by the name that its task has now; its number where that cannot be read.
inline device::Holder holder_of(const Program& program) noexcept {
  device::Holder holder{.task = {}, .process = static_cast<std::uint32_t>(program.process)};
  std::array<char, 40> path;
  std::snprintf(path.data(), path.size(), "/proc/%llu/comm", static_cast<unsigned long long>(program.process));
  const backing::OwnedFd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
  const ssize_t length = file.get() < 0 ? -1 : ::read(file.get(), holder.task.data(), holder.task.size());
  if (length > 0) holder.task[static_cast<std::size_t>(length) - 1] = '\0';  // its line's end
  if (length <= 0) std::to_chars(holder.task.data(), holder.task.data() + holder.task.size() - 1, holder.process);
  return holder;
}

// A buffer in somebody's hands, at one moment.
struct SeenBuffer {
  const device::HeapInfo* heap = nullptr;
  BufferId id = {};
  Bytes size = {};
  std::uint64_t offset = 0;       // of its first block
  std::uint32_t references = 0;   // of a client's handle; of one without handles: its file's
  std::uint32_t brackets = 0;     // open there
  device::Holder last = {};       // who had its last handle

  template <class Ref>
  static SeenBuffer of(const Ref& buffer) noexcept {
    return {.heap = &buffer.extra().heap(),
            .id = buffer.id(),
            .size = buffer.extra().size(),
            .offset = buffer.parts().list().front().offset().value()};
  }
  // No address of anybody's, though it looks like one of the kernel's: the same in each report, and no other buffer's for long.
  std::uint64_t cookie() const noexcept { return 0xc000'0000U | (id.number & 0x3fff) << 16 | (id.place & 0xfff) << 4; }
  std::pair<std::uint32_t, std::uint64_t> key() const noexcept { return {id.place, id.number}; }
};

using SeenBuffers = SeenList<SeenBuffer>;

// The clients of one /dev/ion, in the order in which they came. Any thread.
template <class Client>
class IonClients {
 public:
  // One of them, for who makes a text about him. He may be gone meanwhile: then he has nothing.
  class One {
   public:
    One(Client& client, device::ion_g3::ClientName name) : name(std::move(name)), holder(client.holder()), client_(&client) {}

    std::vector<SeenBuffer> handles() {
      SeenBuffers all;
      const std::lock_guard turn(mutex_);
      if (client_ == nullptr) return {};
      client_->for_each(device::WordSize::bits64, [&](std::uint64_t, std::uint32_t references, const auto& buffer) {
        SeenBuffer one = SeenBuffer::of(buffer);
        one.references = references;
        all.add(one);
      });
      return all.take();
    }
    // Nobody looks at the client after that.
    void end() noexcept {
      const std::lock_guard turn(mutex_);
      client_ = nullptr;
    }

    const device::ion_g3::ClientName name;  // his process' number, and which of those he is
    const device::Holder holder;

   private:
    std::mutex mutex_;  // taken before the client's lock
    Client* client_;
  };
  using Shared = std::shared_ptr<One>;

  Shared add(Client& client) {
    const std::string name = std::to_string(client.holder().process);
    const std::lock_guard turn(mutex_);
    std::vector<device::ion_g3::ClientName> same;
    for (const Shared& one : all_) {
      if (one->name.name == name) same.push_back(one->name);
    }
    return all_.emplace_back(std::make_shared<One>(client, device::ion_g3::next_name(name, same)));
  }
  void remove(const Shared& gone) noexcept {
    const std::lock_guard turn(mutex_);
    std::erase(all_, gone);
  }
  std::vector<Shared> all() const {
    const std::lock_guard turn(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Shared> all_;
};

// The files of one /dev/ion of G1, G2 or G3. What they are made of outlives them; so does this.
template <class D, class L>
class IonReports {
  using Client = device::IonClient<D, L>;
  using Clients = IonClients<Client>;
  using Buffer = device::DmaBuf<D, L>;

 public:
  struct Heap {
    device::FileHeap<D, L>* heap;
    std::uint64_t base;  // the physical address of its first byte, where it has one
    bool is_reusable;

    const device::HeapInfo& info() const noexcept { return heap->info(); }
  };

  IonReports(Tree& tree, const device::IonHeaps<D, L>& ion, std::vector<Heap> heaps)
      : tree_(tree), ion_(ion), heaps_(std::move(heaps)) {
    tree_.own(ion_folder.substr(0, ion_folder.size() - 1));
    is_msm(ion_.generation) ? add_msm_files() : add_g3_files();
  }
  IonReports(const IonReports&) = delete;
  IonReports& operator=(const IonReports&) = delete;

  // A client is shown for as long as this lives, and has a file of his own.
  class Shown {
   public:
    Shown(IonReports& reports, Client& client) : Shown(reports, reports.clients_.add(client)) {
      std::string path = reports.path_of(one_->name);
      if (reports.add_client_file(path, one_)) path_ = std::move(path);
    }
    Shown(const Shown&) = delete;
    Shown& operator=(const Shown&) = delete;
    // His file goes first, so that nobody of his name comes to a place that is not free yet.
    ~Shown() {
      if (!path_.empty()) reports_.tree_.remove(path_);
      one_->end();
      reports_.clients_.remove(one_);
    }

   private:
    Shown(IonReports& reports, typename Clients::Shared one) : reports_(reports), one_(std::move(one)) {}

    IonReports& reports_;
    typename Clients::Shared one_;
    std::string path_ = {};
  };

  // /dev/ion, opened: F is the personality's file, which make() returns.
  template <class F>
  class ShownFile {
   public:
    template <class Make>
    ShownFile(IonReports& reports, Make&& make) : file_(make()), shown_(reports, file_.client()) {}

    template <class C>
    device::Answer ioctl(C& call, device::Command command, std::uint64_t argument) noexcept {
      return file_.ioctl(call, command, argument);
    }

   private:
    F file_;
    Shown shown_;  // ends first
  };

 private:
  // --- which files there are ---

  void add_msm_files() {
    for (const Heap& heap : heaps_) {
      add_report(tree_, ion_folder + heap.info().name, [this, &heap] { return msm_heap_text(heap); },
                 has_map(heap.info().type) ? for_owner : for_anybody);
    }
    add_report(tree_, ion_folder + "check_leaked_fds", [this] { return leaks_text(); });
  }
  void add_g3_files() {
    tree_.own(ion_folder + "clients");
    for (const Heap& heap : heaps_) {
      add_report(tree_, ion_folder + "heaps/" + heap.info().name, [this, &heap] { return g3_heap_text(heap); });
      add_shrinker(tree_, ion_folder + "heaps/", *heap.heap, [&heap](std::uint64_t number) {
        if (number != 0) heap.heap->shrink(device::FileHeap<D, L>::all);
      });
    }
  }
  std::string path_of(const device::ion_g3::ClientName& client) const {
    return is_msm(ion_.generation) ? ion_folder + client.name : ion_folder + "clients/" + device::ion_g3::file_name(client);
  }
  bool add_client_file(const std::string& path, const typename Clients::Shared& client) {
    Node node = is_msm(ion_.generation) ? report_node(path, for_owner, [this, client] { return msm_client_text(*client); })
                                        : report_node(path, for_anybody, [client] { return g3_client_text(*client); });
    node.is_passing = true;
    return tree_.add(path, std::move(node));
  }

  static constexpr bool has_map(device::HeapType type) noexcept {
    return type == device::HeapType::carveout || type == device::HeapType::cp;
  }
  static constexpr bool has_addresses(device::HeapType type) noexcept {
    return has_map(type) || type == device::HeapType::system_contig;
  }
  std::uint64_t base_of(const device::HeapInfo& info) const noexcept {
    return std::ranges::find(heaps_, &info, [](const Heap& heap) { return &heap.info(); })->base;
  }

  // --- what is looked at ---

  // What each client has of the heap; and of each buffer there the first who holds it.
  using Owners = std::map<std::pair<std::uint32_t, std::uint64_t>, std::string>;
  std::vector<device::ClientRow> clients_of(const Heap& heap, Owners* owners = nullptr) {
    std::vector<device::ClientRow> rows;
    for (const auto& client : clients_.all()) {
      device::ClientRow row{client->holder.task.data(), client->holder.process};
      for (const SeenBuffer& buffer : client->handles()) {
        if (buffer.heap != &heap.info()) continue;
        row.bytes += buffer.size.value();
        if (owners != nullptr) owners->try_emplace(buffer.key(), client->name.name);
      }
      rows.push_back(std::move(row));
    }
    return rows;
  }
  // All of the heap, where they lie; of two of which one came where the other went meanwhile, one. And how often processes map them.
  std::vector<SeenBuffer> buffers_of(const Heap& heap, std::uint64_t& maps) {
    SeenBuffers seen;
    ion_.device->for_each_buffer([&](const auto& shown) {
      if (&shown.buffer.extra().heap() != &heap.info()) return;
      seen.add(SeenBuffer::of(shown.buffer));
      maps += ion_.device->info(shown.buffer).cpu_maps;
    });
    std::vector<SeenBuffer> all = seen.take();
    std::ranges::sort(all, {}, &SeenBuffer::offset);
    std::uint64_t end = 0;
    std::erase_if(all, [&](const SeenBuffer& buffer) {
      const bool is_behind = buffer.offset >= end;
      if (is_behind) end = buffer.offset + buffer.size.value();
      return !is_behind;
    });
    return all;
  }
  // Those that had handles once, and that now only a file holds: all descriptors of a buffer are one file here.
  std::vector<SeenBuffer> unhandled() {
    std::vector<SeenBuffer> all;
    const auto look_at = [&](OpenFile& file) {
      auto* const buffer = static_cast<Buffer*>(file.buffer_of(&ion_));
      const auto last = buffer == nullptr ? std::nullopt : buffer->buffer().extra().holders().last();
      if (!last) return;
      SeenBuffer& one = all.emplace_back(SeenBuffer::of(buffer->buffer()));
      one.references = 1;
      one.brackets = buffer->open_brackets();
      one.last = *last;
    };
    if (OpenFiles* const files = ion_.device->platform().files()) files->for_each(look_at);
    return all;
  }

  // --- texts ---

  std::string msm_client_text(typename Clients::One& client) {
    std::vector<device::ion_g1::HandleRow> rows;
    for (const SeenBuffer& buffer : client.handles()) {
      rows.push_back({buffer.heap->name, buffer.size.value(), static_cast<int>(buffer.references), buffer.cookie()});
      if (has_addresses(buffer.heap->type)) rows.back().physical = PhysicalAddress(base_of(*buffer.heap) + buffer.offset);
    }
    return device::ion_g1::client_report(rows);
  }
  std::string msm_heap_text(const Heap& heap) {
    Owners owners;
    const std::string text = device::ion_g1::heap_report(clients_of(heap, &owners));
    device::ion_g1::HeapRow row{.allocated = heap.heap->use().bytes.value(), .base = heap.base, .size = heap.info().size.value()};
    row.is_reusable = heap.is_reusable;
    if (has_map(heap.info().type)) {
      for (const SeenBuffer& buffer : buffers_of(heap, row.user_maps)) {
        const auto owner = owners.find(buffer.key());
        row.map.push_back({heap.base + buffer.offset, buffer.size.value(),
                           owner == owners.end() ? std::nullopt : std::optional(owner->second)});
      }
    }
    switch (heap.info().type) {
      case device::HeapType::system:
      case device::HeapType::system_contig: return text + device::ion_g1::system_lines(row);
      case device::HeapType::carveout: return text + device::ion_g1::carve_out_lines(row);
      case device::HeapType::cp: return text + device::ion_g1::cp_lines(row);
      default: return text;
    }
  }
  std::string leaks_text() {
    std::vector<device::ion_g1::LeakRow> rows;
    for (const SeenBuffer& buffer : unhandled()) {
      rows.push_back({buffer.cookie(), buffer.heap->name, buffer.size.value(), static_cast<int>(buffer.references)});
    }
    return device::ion_g1::leaked_fds(rows);
  }

  static std::string g3_client_text(typename Clients::One& client) {
    std::vector<device::ion_g3::HandleRow> rows;
    for (const SeenBuffer& buffer : client.handles()) rows.push_back({buffer.heap->id, buffer.heap->name, buffer.size.value()});
    return device::ion_g3::client_report(rows);
  }
  std::string g3_heap_text(const Heap& heap) {
    device::ion_g3::HeapRow row{.total = heap.heap->use().bytes.value()};
    if (const auto waiting = heap.heap->waiting()) row.deferred = waiting->value();
    row.clients = clients_of(heap);
    for (const SeenBuffer& buffer : unhandled()) {
      if (buffer.heap != &heap.info()) continue;
      row.orphans.push_back({buffer.last.task.data(), buffer.last.process, buffer.size.value(), static_cast<int>(buffer.brackets),
                             static_cast<int>(buffer.references)});
    }
    if (auto* const pools = heap.heap->pools()) {
      for (const auto& [order, high, low] : pools->counts()) row.pools.push_back({order, static_cast<int>(high), static_cast<int>(low)});
    }
    return device::ion_g3::heap_report(row);
  }

  Tree& tree_;
  const device::IonHeaps<D, L>& ion_;
  const std::vector<Heap> heaps_;
  Clients clients_;
};

}  // namespace freestone::linux_user
