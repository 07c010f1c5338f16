#include <freestone/platform/linux_user/tree.hpp>

#include <set>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

using namespace freestone::linux_user;

namespace {

std::set<std::string> lines(const std::string& text) {
  std::set<std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) CHECK(all.insert(line).second);
  return all;
}
using Lines = std::set<std::string>;

Tree a_tree() {
  Tree tree;
  tree.add("/dev/ion", {.mode = 0640, .major = 10, .minor = 60});
  tree.add("/dev/dma_heap/system", {.major = 250});
  tree.add("/dev/dma_heap/reserved", {.major = 250, .minor = 1});
  tree.own("/dev/dma_heap");
  tree.add("/sys/kernel/debug/ion/system/num_of_buffers", {.kind = FileKind::report, .mode = 0444});
  return tree;
}

}  // namespace

TEST_CASE("a path is a node, a directory that leads to one, or nothing") {
  const Tree tree = a_tree();
  REQUIRE(tree.find("/dev/ion") != nullptr);
  CHECK(tree.find("/dev/ion")->minor == 60);
  for (const char* path : {"/", "/dev", "/dev/dma_heap", "/sys", "/sys/kernel/debug/ion/system"}) {
    CAPTURE(path);
    CHECK(tree.is_directory(path));
    CHECK(tree.find(path) == nullptr);
    CHECK(tree.status(path).kind == FileKind::directory);
    CHECK(tree.status(path).mode == (S_IFDIR | 0755));
  }
  using std::string_view_literals::operator""sv;
  for (const auto path : {""sv, "//"sv, "dev/ion"sv, "/dev/ion/"sv, "/dev/io"sv, "/dev/ion2"sv, "/dev/ion\0"sv, "/de"sv}) {
    CAPTURE(path);
    CHECK(tree.find(path) == nullptr);
    CHECK(!tree.is_directory(path));
    CHECK(tree.status(path).kind == FileKind::none);
  }
}

TEST_CASE("what stat says of each") {
  const Tree tree = a_tree();
  const FileStatus node = tree.status("/dev/ion");
  CHECK(node.kind == FileKind::device);
  CHECK(node.mode == (S_IFCHR | 0640));
  CHECK(node.major == 10);
  CHECK(node.minor == 60);
  const FileStatus report = tree.status("/sys/kernel/debug/ion/system/num_of_buffers");
  CHECK(report.kind == FileKind::report);
  CHECK(report.mode == (S_IFREG | 0444));
  CHECK(node.inode != 0);
  CHECK(node.inode != report.inode);
  CHECK(node.inode == a_tree().status("/dev/ion").inode);
}

TEST_CASE("a directory's names, and all paths") {
  const Tree tree = a_tree();
  CHECK(lines(tree.list("/")) == Lines{"dev/", "sys/"});
  CHECK(lines(tree.list("/dev")) == Lines{"dma_heap/", "ion"});
  CHECK(lines(tree.list("/dev/dma_heap")) == Lines{"reserved", "system"});
  CHECK(lines(tree.list("/sys/kernel")) == Lines{"debug/"});
  CHECK(tree.list("/dev/ion").empty());
  CHECK(tree.list("/nothing").empty());
  const Lines paths = lines(tree.paths());
  for (const char* path : {"/dev/dma_heap/", "/dev/ion", "/dev/dma_heap/system", "/dev", "/sys/kernel/debug/ion"}) {
    CHECK(paths.contains(path));
  }
  CHECK(!paths.contains("/"));
  CHECK(Tree().status("/").kind == FileKind::none);
  CHECK(!paths.contains("/dev/"));  // whose other files are not the server's
}
