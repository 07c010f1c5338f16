// Reports of all systems: files in a server's tree, whose texts are made when somebody reads them.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/device/answer.hpp>
#include <freestone/platform/linux_user/device_files.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/out_of_memory.hpp>
#include <freestone/platform/linux_user/server_call.hpp>
#include <freestone/platform/linux_user/tree.hpp>

namespace freestone::linux_user {

// The node of a file at that path, whose text is made when somebody reads it.
inline Node report_node(const std::string& path, std::uint32_t mode, std::function<std::string()> text,
                        std::function<device::Answer(std::string_view)> write = {}) {
  Node node{.kind = FileKind::report, .mode = mode};
  const auto read = std::make_shared<const ReportFile::Report>(ReportFile::Report{text});
  const auto written = std::make_shared<const ReportFile::Report>(ReportFile::Report{std::move(text), std::move(write)});
  node.open = [name = path.substr(path.rfind('/') + 1), read, written, status = Tree::status_of(path, node)](
                  ServerCall&, int flags, device::Errno& why) -> std::shared_ptr<OpenFile> {
    const auto& report = (flags & O_ACCMODE) == O_RDONLY ? read : written;  // who may not write it cannot
    auto served = ServedFile::create_text(name.c_str());
    if (!served) return why = ServerCall::errno_of_host(served.error()), nullptr;
    auto file = std::make_shared<ReportFile>(*std::move(served), report, status);
    static_cast<void>(file->refresh());
    return file;
  };
  return node;
}
// What shows addresses is for nobody but the server's user and root.
inline constexpr std::uint32_t for_anybody = 0444, for_owner = 0400;
inline void add_report(Tree& tree, const std::string& path, std::function<std::string()> text, std::uint32_t mode = for_anybody) {
  tree.add(path, report_node(path, mode, std::move(text)));
}

// A list that is filled where nothing may be thrown.
template <class T>
class SeenList {
 public:
  void add(const T& one) noexcept {
    is_whole_ = is_whole_ && has_memory([&] { all_.push_back(one); });
  }
  // Throws std::bad_alloc where there was no memory for all of them.
  std::vector<T> take() { return is_whole_ ? std::move(all_) : throw std::bad_alloc(); }

 private:
  std::vector<T> all_;
  bool is_whole_ = true;
};

}  // namespace freestone::linux_user
