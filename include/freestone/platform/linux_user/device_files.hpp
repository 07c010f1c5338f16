// Personalities behind a server's descriptors: what a Device asks of this platform, and each of its files as one of the
// server's.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <freestone/core/result.hpp>
#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/command.hpp>
#include <freestone/device/mmz/leak.hpp>
#include <freestone/platform/linux_user/idle_thread.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/server_call.hpp>

namespace freestone::linux_user {

// The bytes of a buffer: a file of its own, of zeros. So nobody ever sees another's, and where the buffer lies among
// its heap's addresses is a matter of numbers.
struct BufferMemory {
  ServedFile file;
  bool is_viewed = false;  // each mapping of it is a view

  // Programs' mappings are of the same pages: there is nothing to do.
  void sync(std::uint64_t) noexcept {}

  // Bytes within it. False: the kernel has no memory for them.
  bool read(std::uint64_t offset, std::span<std::byte> to) const noexcept {
    return ::pread(file.fd(), to.data(), to.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(to.size());
  }
  bool write(std::uint64_t offset, std::span<const std::byte> from) const noexcept {
    return ::pwrite(file.fd(), from.data(), from.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(from.size());
  }
};

// What a Device needs of the platform.
class ServerPlatform {
 public:
  using Memory = BufferMemory;

  // The program that this thread serves.
  std::uint64_t process() const noexcept { return served_process; }
  // Errors: ServedFile's.
  Result<Memory> memory(Bytes size) noexcept {
    auto file = ServedFile::create("dmabuf", size);
    if (!file) return file.error();
    if (are_viewed_ && !file->keep_mode(0700)) return Error{.code = ErrorCode::os_failure, .os_error = errno};
    return Memory{*std::move(file), are_viewed_};
  }
  // From now on the server is to know of all mappings. Before anybody allocates.
  void view_all() noexcept { are_viewed_ = true; }

  // Buffers that nobody has any more go back. A device asks before it says that there is no room.
  void reclaim() noexcept {
    if (files_ != nullptr) files_->settle();
  }
  // Somebody who hears of MMZ's blocks that were left behind.
  void hear_leaks(void (*hear)(const device::MmzLeak&)) noexcept { hear_leak_ = hear; }
  void mmz_leaked(const device::MmzLeak& leak) noexcept {
    if (hear_leak_ != nullptr) hear_leak_(leak);
  }
  // Buffers wait to be freed.
  void dead_waits() noexcept {
    if (idle_ != nullptr) idle_->wake();
  }
  // None, until somebody looks after them.
  OpenFiles* files() const noexcept { return files_; }
  // From now on, before anybody calls.
  void look_after(OpenFiles& files, IdleThread& idle) noexcept { files_ = &files, idle_ = &idle; }

  static inline constinit thread_local std::uint64_t served_process = 0;

 private:
  OpenFiles* files_ = nullptr;
  IdleThread* idle_ = nullptr;
  void (*hear_leak_)(const device::MmzLeak&) = nullptr;
  bool are_viewed_ = false;
};

// A device node, opened: F is the personality's file.
template <class F>
class DeviceFile final : public OpenFile {
 public:
  // make() returns the F.
  template <class Make>
  DeviceFile(ServedFile served, const FileStatus& status, Make&& make)
      : served_(std::move(served)), file_(make()), status_(status) {}

  const ServedFile& served() const noexcept override { return served_; }
  FileStatus status() noexcept override { return status_; }
  device::Answer ioctl(ServerCall& call, device::Command command, std::uint64_t argument) noexcept override {
    return file_.ioctl(call, command, argument);
  }

 private:
  ServedFile served_;
  F file_;
  FileStatus status_;
};

// A buffer: its bytes are the file.
template <class B>
class BufferFile final : public OpenFile {
 public:
  explicit BufferFile(B&& buffer) noexcept : buffer_(std::move(buffer)) {}

  const ServedFile& served() const noexcept override { return buffer_.memory().file; }
  FileStatus status() noexcept override {
    return {.kind = buffer_.memory().is_viewed ? FileKind::view_buffer : FileKind::buffer,
            .mode = S_IFREG | 0600,
            .inode = served().identity().inode,
            .size = buffer_.size().value()};
  }
  device::Answer ioctl(ServerCall& call, device::Command command, std::uint64_t argument) noexcept override {
    return buffer_.ioctl(call, command, argument);
  }
  void* buffer_of(const void* exporter) noexcept override { return exporter == nullptr || buffer_.exporter() == exporter ? &buffer_ : nullptr; }
  device::Answer map(ServerCall&, std::uint64_t offset, std::uint64_t length, int, Kept& kept) noexcept override {
    if (!buffer_.memory().is_viewed) return device::Errno::no_device;  // who has the descriptor maps it
    if (const auto answer = buffer_.map(offset, length); answer.is_error()) return answer;
    device::Errno error = device::Errno::none;
    auto map = buffer_.map_for_process(error);
    if (!map) return error;
    const bool has_room = has_memory([&] { kept = std::make_shared<std::remove_reference_t<decltype(*map)>>(*std::move(map)); });
    return has_room ? device::done : device::Answer(device::Errno::no_memory);
  }
  std::optional<MapPiece> piece(std::uint64_t at) noexcept override {
    if (at >= buffer_.size().value()) return std::nullopt;
    auto fd = served().open(O_RDWR);
    if (!fd) return std::nullopt;
    return MapPiece{.at = 0, .length = buffer_.size().value(), .offset = 0, .fd = *std::move(fd)};
  }
  // As bufinfo has it: open to be read and written, by one, for how many they are only the kernel knows; and no device
  // is attached to it.
  std::string buffer_text() override {
    const auto name = buffer_.name();
    std::array<char, 256> text;
    std::snprintf(text.data(), text.size(), "%08llu\t%08x\t%08x\t%08d\t%s\t%08llu\t%s\n\tAttached Devices:\nTotal 0 devices attached\n\n",
                  static_cast<unsigned long long>(buffer_.size().value()), 2U, 0x80007U, 1, buffer_.heap().name,
                  static_cast<unsigned long long>(served().identity().inode), name[0] == '\0' ? "<none>" : name.data());
    return text.data();
  }
  B& buffer() noexcept { return buffer_; }

 private:
  B buffer_;
};

// The kernel's list of all buffers, /sys/kernel/debug/dma_buf/bufinfo, as those who print it show it.
inline std::string bufinfo(OpenFiles& files) {
  std::string text = "\nDma-buf Objects:\nsize    \tflags   \tmode    \tcount   \texp_name\tino     \tname\n";
  std::uint64_t count = 0, bytes = 0;
  files.for_each([&](OpenFile& file) {
    const std::string lines = file.buffer_text();
    if (lines.empty()) return;
    text += lines;
    ++count, bytes += file.status().size;
  });
  return text + "\nTotal " + std::to_string(count) + " objects, " + std::to_string(bytes) + " bytes\n";
}

template <class F>
std::shared_ptr<OpenFile> open_file_of(F&& file) {
  return std::make_shared<BufferFile<std::remove_reference_t<F>>>(std::forward<F>(file));
}

// A report: its text is made when it is opened, and again when somebody reads it from its start. What it is of may be gone
// by then.
class ReportFile final : public OpenFile {
 public:
  struct Report {
    std::function<std::string()> text;
    std::function<device::Answer(std::string_view)> write = {};
  };

  ReportFile(ServedFile served, std::shared_ptr<const Report> report, const FileStatus& status) noexcept
      : served_(std::move(served)), report_(std::move(report)), status_(status) {}

  const ServedFile& served() const noexcept override { return served_; }
  FileStatus status() noexcept override { return status_; }
  device::Answer refresh() noexcept override {
    std::string text;
    if (!has_memory([&] { text = report_->text(); })) return device::Errno::no_memory;
    return served_.write_text(text.data(), text.size()) ? device::done : device::Answer(device::Errno::no_memory);
  }
  device::Answer write(std::string_view bytes) noexcept override {
    return report_->write ? report_->write(bytes) : device::Answer(device::Errno::invalid);
  }

 private:
  ServedFile served_;
  std::shared_ptr<const Report> report_;
  FileStatus status_;
};

}  // namespace freestone::linux_user
