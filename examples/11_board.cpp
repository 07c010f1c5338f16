// A board's heaps, all in one header: that they fit is proved when this is compiled, and whoever asks for memory says what
// it must be, not where it lies. `./dev layout examples/boards/camera_board.hpp` prints the layout for linker, kernel and
// people.
#include <cstdio>

#include <freestone/core/os/describe.hpp>
#include <freestone/heap/os/describe.hpp>
#include <freestone/heap/os/layout_text.hpp>
#include "boards/camera_board.hpp"

using namespace freestone;
using namespace freestone::declare;

static_assert(board.lay_out(memories), "the heaps of the camera's board do not fit into its memories");
constexpr Layout layout = board.lay_out(memories);
static_assert(layout.places[board.find("codec")].base == layout.places[board.find("firmware")].base + 0x20'0000);

// No heap of the board could ever serve a frame that the code below asks for? Then this does not compile.
constexpr Constraints frame = board.require({.size = 4 * 1920 * 1080, .align = 64_KiB, .heaps = id<20> | id<8>});

int main() {
  std::fputs(to_table({"camera_board", board.specs, memories, layout}).c_str(), stdout);

  auto heaps = board.create(layout);
  if (!heaps) return std::puts(describe(heaps.error()).c_str()), 1;

  for (int i = 1;; ++i) {
    const auto block = heaps->allocate(frame);
    if (!block) {
      std::printf("frame %d: %s\n", i, describe(block.error()).c_str());
      break;
    }
    std::printf("frame %d: heap %u, %llu bytes from %llx\n", i, block->heap,
                static_cast<unsigned long long>(block->block.size().value()),
                static_cast<unsigned long long>(heaps->traits()[board.find(block->heap)].base.value() +
                                                block->block.offset().value()));
  }
  return 0;
}
