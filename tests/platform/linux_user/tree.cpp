#include <freestone/platform/linux_user/tree.hpp>

#include <atomic>
#include <set>
#include <sstream>
#include <string>
#include <thread>

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

struct ATree : Tree {
  ATree() {
    add("/dev/ion", {.mode = 0640, .major = 10, .minor = 60});
    add("/dev/dma_heap/system", {.major = 250});
    add("/dev/dma_heap/reserved", {.major = 250, .minor = 1});
    own("/dev/dma_heap");
    add("/sys/kernel/debug/ion/system/num_of_buffers", {.kind = FileKind::report, .mode = 0444});
  }
};

}  // namespace

TEST_CASE("a path is a node, a directory that leads to one, or nothing") {
  const ATree tree;
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
  const ATree tree;
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
  CHECK(node.inode == ATree().status("/dev/ion").inode);
}

TEST_CASE("a directory's names, and all paths") {
  const ATree tree;
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

TEST_CASE("nodes come and go: a path is one node's at a time, and directories stay") {
  ATree tree;
  const std::string path = "/dev/dma_heap/later";
  CHECK(tree.add(path, {.minor = 2}));
  CHECK(!tree.add(path, {.minor = 3}));
  const auto held = tree.find(path);
  REQUIRE(held != nullptr);
  tree.remove(path);
  tree.remove(path);
  tree.remove("/dev");
  CHECK(tree.find(path) == nullptr);
  CHECK(tree.status(path).kind == FileKind::none);
  CHECK(held->minor == 2);  // for who found it
  CHECK(lines(tree.list("/dev/dma_heap")) == Lines{"reserved", "system"});
  CHECK(tree.add(path, {.minor = 3}));
  CHECK(tree.find(path)->minor == 3);
  CHECK(tree.status(path).inode == Tree::status_of(path, *held).inode);

  tree.remove("/sys/kernel/debug/ion/system/num_of_buffers");
  CHECK(tree.is_directory("/sys/kernel/debug/ion/system"));
  CHECK(tree.list("/sys/kernel/debug/ion/system").empty());
  CHECK(!tree.add("/sys/kernel/debug/ion/system", {}));  // a directory
  CHECK(!tree.add("/dev/ion/below", {}));                // of what is none
  CHECK(!tree.is_directory("/dev/ion"));
  tree.own("/dev/ion");
  CHECK(!tree.is_directory("/dev/ion"));
  CHECK(!lines(tree.paths()).contains("/dev/ion/"));
}

TEST_CASE("a directory of the server's is there before anything is in it; programs are told of it, and need no more") {
  Tree tree;
  tree.own("/sys/kernel/debug/ion/clients");
  CHECK(tree.status("/sys/kernel/debug/ion/clients").kind == FileKind::directory);
  CHECK(lines(tree.list("/sys/kernel/debug/ion")) == Lines{"clients/"});
  const Lines before = lines(tree.paths());
  CHECK(before.contains("/sys/kernel/debug/ion/clients/"));
  CHECK(tree.add("/sys/kernel/debug/ion/clients/7-0", {.is_passing = true}));
  CHECK(lines(tree.paths()) == before);
  CHECK(tree.add("/sys/kernel/debug/ion/clients2", {}));
  CHECK(lines(tree.paths()).contains("/sys/kernel/debug/ion/clients2"));
}

TEST_CASE("row 25: nodes that come and go while others look for them") {
  Tree tree;
  tree.own("/dev/dma_heap");
  std::atomic<bool> is_over = false;
  std::thread looking([&] {
    while (!is_over) {
      const auto node = tree.find("/dev/dma_heap/one");
      if (node != nullptr) CHECK(node->minor == 7);
      const std::string names = tree.list("/dev/dma_heap");
      CHECK((names.empty() || names == "one\n"));
      const FileKind kind = tree.status("/dev/dma_heap/one").kind;
      CHECK((kind == FileKind::none || kind == FileKind::device));
      CHECK(tree.is_directory("/dev/dma_heap"));
      static_cast<void>(tree.paths());
    }
  });
  for (int turn = 0; turn < 20'000; ++turn) {
    CHECK(tree.add("/dev/dma_heap/one", {.minor = 7}));
    tree.remove("/dev/dma_heap/one");
  }
  is_over = true;
  looking.join();
}
