// The paths that a server has: device nodes and reports, and the directories that lead to them.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <freestone/device/answer.hpp>
#include <freestone/platform/linux_user/open_file.hpp>
#include <freestone/platform/linux_user/protocol.hpp>

namespace freestone::linux_user {

// A node or a report. `open` makes what is behind it for one who opens it with these flags; or says why not.
struct Node {
  FileKind kind = FileKind::device;
  std::uint32_t mode = 0666;  // without its type
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  bool is_passing = false;  // it comes and goes, in a directory that is the server's alone
  std::function<std::shared_ptr<OpenFile>(ServerCall& call, int flags, device::Errno& why)> open = {};
};

// Nodes may come and go at any time. Any thread.
class Tree {
 public:
  // `path` is absolute. False where something else is there, or a node on the way to it.
  bool add(std::string path, Node node) {
    auto added = std::make_shared<const Node>(std::move(node));
    const std::lock_guard turn(mutex_);
    if (nodes_.contains(path) || directories_.contains(path) || !lead_to(path)) return false;
    return nodes_.emplace(std::move(path), std::move(added)).second;
  }
  // Who has found it keeps what he has. The directories that led to it stay.
  void remove(std::string_view path) noexcept {
    std::shared_ptr<const Node> gone;  // under no lock
    const std::lock_guard turn(mutex_);
    const auto found = nodes_.find(path);
    if (found == nodes_.end()) return;
    gone = std::move(found->second);
    nodes_.erase(found);
  }
  // It is a directory, and all below it is the server's, though nothing may be there now.
  void own(std::string directory) {
    const std::lock_guard turn(mutex_);
    if (!lead_to(directory + '/')) return;
    owned_.insert(std::move(directory));
  }

  std::shared_ptr<const Node> find(std::string_view path) const {
    const std::lock_guard turn(mutex_);
    const auto found = nodes_.find(path);
    return found == nodes_.end() ? nullptr : found->second;
  }
  bool is_directory(std::string_view path) const {
    const std::lock_guard turn(mutex_);
    return directories_.contains(path);
  }

  FileStatus status(std::string_view path) const {
    if (const auto node = find(path)) return status_of(path, *node);
    if (is_directory(path)) return {.kind = FileKind::directory, .mode = S_IFDIR | 0755, .inode = inode_of(path)};
    return {};
  }
  // Of a node that is at that path, or was, or will be.
  static FileStatus status_of(std::string_view path, const Node& node) noexcept {
    const std::uint32_t type = node.kind == FileKind::device ? S_IFCHR : S_IFREG;
    return {.kind = node.kind, .mode = type | node.mode, .major = node.major, .minor = node.minor,
            .inode = inode_of(path), .size = 0};
  }

  // What is in that directory, a line each; directories end with a '/'.
  std::string list(std::string_view directory) const {
    std::set<std::string> names;
    const std::string prefix = directory == "/" ? "/" : std::string(directory) + '/';
    const auto take = [&](const std::string& path, std::string_view mark) {
      if (!path.starts_with(prefix) || path.size() == prefix.size()) return;
      const std::string rest = path.substr(prefix.size());
      if (rest.find('/') == std::string::npos) names.insert(rest + std::string(mark));
    };
    const std::lock_guard turn(mutex_);
    for (const auto& [path, node] : nodes_) take(path, "");
    for (const std::string& path : directories_) take(path, "/");
    std::string text;
    for (const std::string& name : names) text += name + '\n';
    return text;
  }

  // Each path, a line each, for programs to tell at once which are not the server's; whole directories with a '/', for more may
  // come there.
  std::string paths() const {
    std::string text;
    const std::lock_guard turn(mutex_);
    for (const std::string& path : owned_) text += path + "/\n";
    for (const auto& [path, node] : nodes_) {
      if (!node->is_passing) text += path + '\n';
    }
    for (const std::string& path : directories_) {
      if (path != "/") text += path + '\n';  // which is nobody's alone
    }
    return text;
  }

 private:
  // Its directories are there from here on. False where one of them is a node.
  bool lead_to(std::string_view path) {
    std::set<std::string, std::less<>> leading = {"/"};
    for (std::size_t slash = path.rfind('/'); slash != 0 && slash != std::string_view::npos; slash = path.rfind('/', slash - 1))
      leading.emplace(path.substr(0, slash));
    if (std::ranges::any_of(leading, [&](const std::string& directory) { return nodes_.contains(directory); })) return false;
    directories_.merge(leading);
    return true;
  }

  // Of the path's letters (FNV-1a), so that it stays the same.
  static std::uint64_t inode_of(std::string_view path) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : path) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash >> 16;
  }

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Node>, std::less<>> nodes_;
  std::set<std::string, std::less<>> directories_;
  std::set<std::string> owned_;
};

}  // namespace freestone::linux_user
