// MMZ's node as a server's: REMAP has its caller map a block, and its caller is asked what he sees where.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <freestone/core/cacheability.hpp>
#include <freestone/core/result.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/command.hpp>
#include <freestone/device/file.hpp>
#include <freestone/device/mmz/file.hpp>
#include <freestone/device/page_pool.hpp>
#include <freestone/heap/mmz_generation.hpp>
#include <freestone/platform/linux_user/device_files.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/server_call.hpp>
#include <freestone/platform/linux_user/views.hpp>
#include <freestone/share/map_counts.hpp>

namespace freestone::linux_user {

// The memory of MMZ's windows: of each a file of zeros, which is made when somebody first maps some of it, and stays. Any thread.
class WindowMemory {
 public:
  // They outlive it.
  explicit WindowMemory(std::span<const MmzWindow> windows) : windows_(windows), files_(windows.size()) {}

  // For somebody else, from the window's first page on. Errors: ServedFile's.
  Result<backing::OwnedFd> open(const MmzWindow& window) noexcept {
    const std::lock_guard turn(mutex_);
    auto& file = files_[static_cast<std::size_t>(&window - windows_.data())];
    if (!file) {
      auto made = ServedFile::create("mmz-window", window.start % device::page_size.value() + window.size);
      if (!made) return made.error();
      file.emplace(*std::move(made));
    }
    return file->open(O_RDWR);
  }

 private:
  const std::span<const MmzWindow> windows_;
  std::mutex mutex_;
  std::vector<std::optional<ServedFile>> files_;
};

// What is mapped of a node: blocks and windows at their physical addresses, as offsets. For itself it takes turns.
template <class Mapping>
class MappedBlocks {
 public:
  explicit MappedBlocks(WindowMemory& windows) noexcept : windows_(windows) {}

  // From there on until this ends.
  class One {
   public:
    One(std::shared_ptr<MappedBlocks> blocks, std::uint64_t physical, Mapping&& mapping)
        : blocks_(std::move(blocks)), physical_(physical), mapping_(std::move(mapping)) {
      const std::lock_guard turn(blocks_->mutex_);
      blocks_->all_.push_back(this);
    }
    One(const One&) = delete;
    One& operator=(const One&) = delete;
    ~One() {
      const std::lock_guard turn(blocks_->mutex_);
      std::erase(blocks_->all_, this);
    }

   private:
    friend MappedBlocks;
    std::uint64_t end() const noexcept { return physical_ + mapping_.length; }

    const std::shared_ptr<MappedBlocks> blocks_;
    const std::uint64_t physical_;
    const Mapping mapping_;
  };

  // The first that ends behind that address.
  std::optional<MapPiece> piece(std::uint64_t at) noexcept {
    const std::lock_guard turn(mutex_);
    const One* first = nullptr;
    for (const One* one : all_) {
      if (one->end() > at && (first == nullptr || one->physical_ < first->physical_)) first = one;
    }
    if (first == nullptr) return std::nullopt;
    auto fd = open(first->mapping_);
    if (!fd) return std::nullopt;
    return MapPiece{first->physical_, first->mapping_.length, first->mapping_.offset, *std::move(fd)};
  }
  // How what is mapped there is cached; all that is mapped of a block is so in one way.
  bool is_cached(std::uint64_t physical) noexcept {
    const std::lock_guard turn(mutex_);
    return std::ranges::any_of(all_, [&](const One* one) {
      return physical >= one->physical_ && physical < one->end() && one->mapping_.seen == Cacheability::cached;
    });
  }

 private:
  Result<backing::OwnedFd> open(const Mapping& mapping) noexcept {
    return mapping.hold ? mapping.hold->buffer().extra().memory().file.open(O_RDWR) : windows_.open(*mapping.window);
  }

  WindowMemory& windows_;
  std::mutex mutex_;
  std::vector<One*> all_;
};

// The node, opened. F: the MmzFile.
template <class F>
class MmzNodeFile final : public OpenFile, public std::enable_shared_from_this<MmzNodeFile<F>> {
 public:
  using Mapping = typename F::Mapping;

  MmzNodeFile(ServedFile served, const FileStatus& status, const typename F::Zones& zones, WindowMemory& windows, ClientId client,
              device::OpenFlags flags, std::uint32_t process)
      : served_(std::move(served)),
        status_(status),
        zones_(zones),
        windows_(windows),
        mapped_(std::make_shared<MappedBlocks<Mapping>>(windows)),
        file_(zones, client, flags, process) {}

  const ServedFile& served() const noexcept override { return served_; }
  FileStatus status() noexcept override { return status_; }
  void* node_of(const void* kind) noexcept override { return kind == &node_kind<MmzNodeFile> ? this : nullptr; }
  device::Answer ioctl(ServerCall& call, device::Command command, std::uint64_t argument) noexcept override {
    Call of_node(*this, call);
    return file_.ioctl(of_node, command, argument);
  }
  // What REMAP wants of this caller at the moment, or what he wants himself.
  device::Answer map(ServerCall& call, std::uint64_t offset, std::uint64_t length, int protection, Kept& kept) noexcept override {
    device::Errno error = device::Errno::none;
    auto mapping = wanted_mapping(call.program().process, offset, length, error);
    if (!mapping && error == device::Errno::none) {
      mapping = file_.map(offset, length, static_cast<std::uint32_t>(protection), error, process_of(call));
    }
    if (!mapping) return error;
    if (mapping->window != nullptr && !windows_.open(*mapping->window)) return device::Errno::no_memory;
    const bool is_kept = has_memory([&] {
      kept = std::make_shared<typename MappedBlocks<Mapping>::One>(mapped_, offset, *std::move(mapping));
    });
    return is_kept ? device::done : device::Answer(device::Errno::no_memory);
  }
  std::optional<MapPiece> piece(std::uint64_t at) noexcept override { return mapped_->piece(at); }

 private:
  // A call of MmzFile's.
  class Call {
   public:
    Call(MmzNodeFile& node, ServerCall& call) noexcept : node_(node), call_(call) {}

    device::WordSize word() const noexcept { return call_.word(); }
    Result<void> copy_in(std::span<std::byte> to, std::uint64_t address) noexcept { return call_.copy_in(to, address); }
    Result<void> copy_out(std::uint64_t address, std::span<const std::byte> from) noexcept { return call_.copy_out(address, from); }
    device::Answer map_block(Mapping&& mapping) noexcept { return node_.map_in(call_, std::move(mapping)); }
    device::Errno unmap_block(std::uint64_t address, std::uint64_t physical, std::uint64_t length) noexcept {
      return node_.unmap_in(call_, address, physical, length);
    }
    device::MmzView view_at(std::uint64_t address) noexcept { return node_.view_in(call_, address); }
    std::int32_t process() const noexcept { return process_of(call_); }

   private:
    MmzNodeFile& node_;
    ServerCall& call_;
  };

  static std::int32_t process_of(const ServerCall& call) noexcept { return static_cast<std::int32_t>(call.program().process); }

  // What REMAP wants mapped, while the caller is at it. His other threads may map the same: they do not take it from him, who would
  // then wait for this file's turn, which REMAP has.
  struct Wanted {
    std::uint64_t process = 0;
    std::uint64_t physical = 0;
    std::optional<Mapping> mapping;
    bool is_mapped = false;  // he has it
  };
  // What it has mapped, of which block.
  struct Mapped {
    std::uint64_t physical = 0;
    std::uint64_t view = 0;
  };

  // Under the MmzFile's lock: so one is wanted at a time.
  device::Answer map_in(ServerCall& call, Mapping&& mapping) noexcept {
    const std::uint64_t physical = zones_.physical_of(mapping.hold->buffer()) + mapping.offset;
    const std::uint64_t length = mapping.length;
    const auto protection = static_cast<int>(mapping.protection);
    want({call.program().process, physical, std::move(mapping)});
    const device::Answer address = call.map(physical, length, protection);
    const bool is_mapped = want({}).is_mapped;
    if (address.is_error()) return address;
    const auto seen = call.seen_at(static_cast<std::uint64_t>(address.value()));
    const bool is_ours = is_mapped && seen && seen->view.which == this && seen->view.offset == physical && seen->view.length == length;
    if (!is_ours || !has_memory([&] { remapped_.push_back({physical, seen->there.view}); })) return device::Errno::fault;
    return address;
  }
  // What is left of it.
  device::Errno unmap_in(ServerCall& call, std::uint64_t address, std::uint64_t physical, std::uint64_t length) noexcept {
    const auto found = std::ranges::find(remapped_, physical, &Mapped::physical);
    if (found == remapped_.end()) return device::Errno::none;
    const std::uint64_t view = found->view;
    remapped_.erase(found);
    return call.unmap(view, address, length);
  }
  device::MmzView view_in(ServerCall& call, std::uint64_t address) noexcept {
    const auto seen = call.seen_at(address);
    const auto file = seen ? seen->view.file.lock() : nullptr;
    auto* const node = file == nullptr ? nullptr : static_cast<MmzNodeFile*>(file->node_of(&node_kind<MmzNodeFile>));
    std::byte one{};
    if (!seen) return {.is_mapped = static_cast<bool>(call.copy_in({&one, 1}, address))};
    const MappedView& there = seen->there;
    device::MmzView view{.is_mapped = true,
                         .is_writable = (there.protection & PROT_WRITE) != 0,
                         .start = there.address,
                         .end = there.address + there.length};
    if (node == nullptr || address - there.address >= there.length) return view;
    const std::uint64_t physical = seen->view.offset + there.at + (address - there.address);
    if (zones_.window_of(physical, 1) == nullptr) view.physical = physical;
    view.is_cached = node->mapped_->is_cached(physical);
    return view;
  }

  // What was wanted before, which ends under no lock.
  Wanted want(Wanted&& wanted) noexcept {
    const std::lock_guard turn(wanting_);
    return std::exchange(wanted_, std::move(wanted));
  }
  // One more of what is wanted; empty: that is not it, or `error`.
  std::optional<Mapping> wanted_mapping(std::uint64_t process, std::uint64_t physical, std::uint64_t length, device::Errno& error) noexcept {
    const std::lock_guard turn(wanting_);
    const auto& wanted = wanted_.mapping;
    if (!wanted || wanted_.process != process || wanted_.physical != physical || wanted->length != length) return std::nullopt;
    auto hold = zones_.device().map(wanted->hold->buffer(), Mapper::cpu, wanted->seen);
    if (!hold) return error = device::Errno::no_memory, std::nullopt;
    wanted_.is_mapped = true;
    return Mapping{.hold = *std::move(hold), .offset = wanted->offset, .length = wanted->length, .protection = wanted->protection, .seen = wanted->seen};
  }

  ServedFile served_;
  const FileStatus status_;
  const typename F::Zones& zones_;
  WindowMemory& windows_;
  const std::shared_ptr<MappedBlocks<Mapping>> mapped_;
  std::vector<Mapped> remapped_;  // under the MmzFile's lock
  std::mutex wanting_;
  Wanted wanted_;
  F file_;
};

}  // namespace freestone::linux_user
