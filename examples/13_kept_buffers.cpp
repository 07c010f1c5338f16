// A camera that changes its mode. A mode's buffers go with it, but for those that it has published under a name: the
// next mode finds these again, with what is in them. So the exposure is not learned anew, and the preview can show what
// was recorded last.
#include <cstdint>
#include <cstdio>
#include <freestone/backing/os/anonymous.hpp>
#include <freestone/freestone.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/names.hpp>
#include "support/is_good.hpp"
#include "support/one_process.hpp"

using namespace freestone;

using Memory = Zone<backing::Anonymous, strategy::Bitmap, lock::None, cache::Coherent>;
constexpr ShareLimits limits{.clients = 2, .owners = 1, .buffers = 16, .handles = 16, .blocks = 1};

struct Camera {
  using Shared = Device<Memory, OneProcess, limits>;

  Memory& memory;
  OneProcess platform = {};
  Shared device;
  Names<Shared> names{device};

  explicit Camera(Memory& all) : memory(all), device(all, platform, fresh_key()) {}

  void print(const char* when) {
    std::printf("%s: %u KiB in use, kept:", when, static_cast<unsigned>(memory.stats().used.value() / 1024));
    names.for_each([](const auto& one) { std::printf(" %s", one.name.c_str()); });
    std::puts("");
  }
};

// A mode is a client: all that it holds goes back at its end.
struct Mode {
  Camera& camera;
  ClientId client = *camera.device.open();

  ~Mode() { static_cast<void>(camera.device.close(client)); }

  // A buffer that nobody else finds.
  bool take(Bytes size) { return is_good(camera.device.allocate(client, {.size = size})); }

  // The buffer of that name, in which a number lies. Where there is none yet, a new one, and 0. nullptr: it failed.
  std::uint64_t* kept(const BlockName<>& name, Bytes size) {
    auto buffer = camera.names.open(name);
    const bool is_new = !buffer;
    if (is_new) buffer = publish(name, size);
    if (!is_good(buffer) || !is_good(camera.device.import(client, *buffer))) return nullptr;
    auto* number = reinterpret_cast<std::uint64_t*>(camera.memory.data(buffer->parts().blocks[0]).data());
    std::printf("  %s, %s: %u\n", name.c_str(), is_new ? "new" : "found", static_cast<unsigned>(*number));
    return number;
  }
  Result<Camera::Shared::Ref> publish(const BlockName<>& name, Bytes size) {
    const auto handle = camera.device.allocate(client, {.size = size});
    if (!handle) return handle.error();
    auto buffer = camera.device.share(client, *handle);
    if (!buffer) return buffer;
    const auto known = camera.names.publish(camera.platform.process(), name, *buffer, NamePolicy::kept);
    if (!known) return known.error();
    return buffer;
  }
};

// It learns the exposure from the frames that it sees, and leaves the last of them behind.
bool run(Camera& camera, const char* title, std::uint64_t frames, Bytes own_buffer) {
  Mode mode{camera};
  std::uint64_t* const exposure = mode.kept("exposure", 4_KiB);
  std::uint64_t* const last_frame = mode.kept("last_frame", 512_KiB);
  if (exposure == nullptr || last_frame == nullptr || !mode.take(own_buffer)) return false;
  *exposure += frames;
  *last_frame = frames;
  return camera.print(title), true;
}

int main() {
  auto memory = Memory::create({.name = "camera", .size = 8_MiB, .granule = 4_KiB});
  if (!is_good(memory)) return 1;
  Camera camera(*memory);
  if (!run(camera, "preview", 120, 1_MiB) || !run(camera, "recording", 300, 4_MiB)) return 1;
  if (!run(camera, "preview", 60, 1_MiB)) return 1;
  camera.print("switched off");
  if (!is_good(camera.names.withdraw(camera.platform.process(), "last_frame"))) return 1;
  camera.print("withdrawn");
  if (!is_good(camera.names.withdraw(camera.platform.process(), "exposure"))) return 1;
  camera.print("at the end");
  return camera.device.buffer_count() == 0 && memory->stats().used == 0 ? 0 : 1;
}
