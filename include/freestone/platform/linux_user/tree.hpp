// The paths that a server has: device nodes and reports, and the directories that lead to them.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
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
  std::function<std::shared_ptr<OpenFile>(ServerCall& call, int flags, device::Errno& why)> open = {};
};

// Filled before anybody asks; then any thread may.
class Tree {
 public:
  // `path` is absolute, and of nobody else.
  void add(std::string path, Node node) {
    directories_.insert("/");
    for (std::size_t slash = path.rfind('/'); slash != 0 && slash != std::string::npos; slash = path.rfind('/', slash - 1))
      directories_.insert(path.substr(0, slash));
    nodes_.emplace(std::move(path), std::move(node));
  }
  // All below this directory is the server's, though nothing may be there now.
  void own(std::string directory) { owned_.insert(std::move(directory)); }

  const Node* find(std::string_view path) const {
    const auto found = nodes_.find(path);
    return found == nodes_.end() ? nullptr : &found->second;
  }
  bool is_directory(std::string_view path) const { return directories_.contains(path); }

  FileStatus status(std::string_view path) const {
    if (const Node* node = find(path)) {
      const std::uint32_t type = node->kind == FileKind::device ? S_IFCHR : S_IFREG;
      return {.kind = node->kind, .mode = type | node->mode, .major = node->major, .minor = node->minor,
              .inode = inode_of(path), .size = 0};
    }
    if (is_directory(path)) return {.kind = FileKind::directory, .mode = S_IFDIR | 0755, .inode = inode_of(path)};
    return {};
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
    for (const auto& [path, node] : nodes_) take(path, "");
    for (const std::string& path : directories_) take(path, "/");
    std::string text;
    for (const std::string& name : names) text += name + '\n';
    return text;
  }

  // Each path, a line each, for programs to tell at once which are not the server's; whole directories with a '/'.
  std::string paths() const {
    std::string text;
    for (const std::string& path : owned_) text += path + "/\n";
    for (const auto& [path, node] : nodes_) text += path + '\n';
    for (const std::string& path : directories_) {
      if (path != "/") text += path + '\n';  // which is nobody's alone
    }
    return text;
  }

 private:
  // Of the path's letters (FNV-1a), so that it stays the same.
  static std::uint64_t inode_of(std::string_view path) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : path) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash >> 16;
  }

  std::map<std::string, Node, std::less<>> nodes_;
  std::set<std::string, std::less<>> directories_;
  std::set<std::string> owned_;
};

}  // namespace freestone::linux_user
