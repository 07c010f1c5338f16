#include <freestone/backing/os/dma_heap.hpp>

#include <doctest/doctest.h>

#include "support/dma_bufs.hpp"

using namespace freestone;
using namespace freestone::tests;
using backing::DmaHeap;

namespace {
constexpr const char* heap = "/dev/dma_heap/system";
}
static_assert(check_backing<DmaHeap>() && can_create_with<DmaHeap, DmaHeap::Settings> && has_file<DmaHeap>);

TEST_CASE("a dma-heap keeps the laws of a backing") {
  if (is_there(heap)) check_laws<DmaHeap>();
}

TEST_CASE("a block of a dma-heap's zone is where the exported file has it") {
  if (is_there(heap)) check_round_trip<DmaHeap>();
}

TEST_CASE("a dma-heap has whole pages only") { check_sizes<DmaHeap>(); }

TEST_CASE("what is no dma-heap is an error that names it") {
  check_names<DmaHeap>([](const char* node) { return DmaHeap::Settings{.heap = node}; });
}

TEST_CASE("a dma-heap of another group is an error that names the group") {
  if (is_there(heap)) check_group<DmaHeap>(heap);
}

TEST_CASE("with no room for two more open files there is no dma-heap") {
  const auto create = [] { return DmaHeap::create(frames); };
  CHECK(error_with_files(0, create).code == ErrorCode::limit_reached);
  if (!is_there(heap)) return;
  const auto files = open_files();
  CHECK(error_with_files(1, create).code == ErrorCode::limit_reached);
  CHECK(open_files() == files);
  CHECK(error_with_files(2, create).code == ErrorCode::none);
  CHECK(open_files() == files);
}

TEST_CASE("more of the system's heap than there is memory is an error, and nobody is killed") {
  if (sizeof(void*) < 8 || !is_there(heap)) return;  // 32 bits cannot map so much in any case
  CHECK(holds_in_child([] {
    const auto made = DmaHeap::create({.name = "frames", .size = 1024_GiB, .granule = 4096});
    return !made && made.error().code == ErrorCode::out_of_memory && made.error().asked == 1024_GiB &&
           made.error().node() == std::string(heap);
  }));
}
