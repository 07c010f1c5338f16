// A camera, an encoder and a display: three processes, and frames that go from one to the others by file descriptor.
// All memory is the camera's. A frame lives as long as anybody has it: until both have given it back, or died. Every
// 100 ms the camera kills one of the two and starts it again. Whatever that one had comes back, nobody ever sees a torn
// frame or another's bytes, and at the end nothing is left. `12_frames SECONDS` takes 10 s where none are said.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <freestone/backing/os/data_file.hpp>
#include <freestone/freestone.hpp>
#include <freestone/share/device.hpp>
#include <freestone/share/os/exports.hpp>
#include <freestone/share/os/peers.hpp>
#include <optional>
#include <random>
#include "support/is_good.hpp"
#include "support/one_process.hpp"
#include "support/role_process.hpp"

using namespace freestone;
using std::chrono::milliseconds, std::chrono::seconds, std::chrono::steady_clock;

constexpr std::size_t words = 8192;  // of 8 bytes, in a frame
std::uint64_t pixels(std::uint64_t number, std::size_t at) { return number << 32 | at; }

// What is said of a frame when it is sent, and when it is given back; its file goes along.
struct FrameRecord {
  std::uint64_t number;
  ExportRecord where;  // offset and length in the file, and that it may only be read
};

bool is_over(const auto& result) { return !result && result.error().code == ErrorCode::connection_ended; }

// --- the encoder and the display ---

struct Frame {
  FrameRecord record;
  ImportedRange range;

  bool is_whole() const {
    const auto* word = reinterpret_cast<const std::uint64_t*>(range.bytes().data());
    std::size_t at = 0;
    while (at < range.bytes().size() / 8 && word[at] == pixels(record.number, at)) ++at;
    return at == words;
  }
};

// It is mapped no more when the camera hears of it, which knows it by its file.
bool give_back(Frame&& frame, const Connection& camera) {
  const backing::OwnedFd file(dup(frame.range.fd()));
  const FrameRecord record = frame.record;
  { const ImportedRange unmapped = std::move(frame.range); }
  const auto sent = camera.send(record, file);
  return is_over(sent) || is_good(sent);
}

// Keeps the last frame, for the screen or to predict the next, and looks at it again before it goes back. The very last
// comes back without its doing, when this process ends.
bool consume(const Connection& camera) {
  for (std::optional<Frame> last;;) {
    auto message = camera.receive<FrameRecord, 1>();
    if (!message) return is_over(message) || is_good(message);
    auto range = ImportedRange::map(message->fds.take(0), message->record.where);
    if (!is_good(range)) return false;
    Frame next{message->record, *std::move(range)};
    if (!next.is_whole() || (last && !last->is_whole())) return std::fputs("a torn frame\n", stderr), false;
    if (last && !give_back(*std::move(last), camera)) return false;
    last.emplace(std::move(next));
  }
}

// --- the camera ---

struct Consumer {
  RoleProcess process;
  PeerId peer = {};
  std::uint64_t frames = 0;  // that it gave back
};

using Memory = Zone<backing::DataFile, strategy::Bitmap, lock::None, cache::Coherent>;
constexpr Bytes frame_size = 8 * words, memory_size = 8 * frame_size.value();  // full before there are 9 buffers
constexpr ShareLimits limits{.clients = 1, .owners = 1, .buffers = 9, .handles = 1, .blocks = 1};

struct Camera {
  using Shared = Device<Memory, OneProcess, limits>;

  Memory& memory;
  OneProcess platform = {};
  Shared device;
  ClientId client = *device.open();
  Exports<Shared, 8, lock::None> exports{device};  // which buffer is that file?
  Peers<Shared, 2, 16, lock::None> peers = {};     // who has which?
  Consumer encoder{RoleProcess("encoder")}, display{RoleProcess("display")};
  std::uint64_t sent = 0, kills = 0;

  explicit Camera(Memory& frames) : memory(frames), device(frames, platform, fresh_key()) {}

  // Bytes, buffers, handles, peers, open files and children.
  std::array<std::uint64_t, 6> held() {
    const auto usage = device.usage(client);
    return {memory.stats().used.value(), usage->buffers, usage->handles, peers.count(), open_files(), has_children()};
  }

  bool start(Consumer& one) {
    auto connection = one.process.start();
    if (!is_good(connection)) return false;
    const auto peer = peers.join(*std::move(connection), one.process.pidfd());
    one.peer = peer ? *peer : PeerId();
    return is_good(peer);
  }

  // Takes a frame and sends it to both; drops it where there is no room. It is theirs: the camera keeps no handle.
  bool send_frame() {
    const auto handle = device.allocate(client, {.size = frame_size});
    if (!handle) return is_want_of_space(handle.error().code) || is_good(handle);
    auto buffer = device.share(client, *handle);
    if (!is_good(buffer) || !is_good(device.free(client, *handle))) return false;
    const Block block = buffer->parts().blocks[0];
    auto* const word = reinterpret_cast<std::uint64_t*>(memory.data(block).data());
    for (std::size_t at = 0; at < words; ++at) word[at] = pixels(sent, at);
    const auto exported = export_block(memory, block, FileAccess::read_only);
    if (!is_good(exported) || !is_good(exports.put(*device.ref(buffer->id()), *exported))) return false;
    for (const Consumer* one : {&encoder, &display}) {
      if (!is_good(peers.give(one->peer, *device.ref(buffer->id())))) return false;
      const auto told = peers.connection(one->peer)->send(FrameRecord{sent, exported->record()}, exported->fd);
      if (!is_over(told) && !is_good(told)) return false;  // where it is over, reap is about to find him dead
    }
    return ++sent != 0;
  }

  // Where nobody holds it any more but `exports`, and whoever asks here, its bytes are to be free.
  void forget_unused(const Shared::Ref& buffer) {
    if (device.info(buffer).holds == 2) exports.withdraw(buffer.id());
  }
  bool take_back(Consumer& one, const Message<FrameRecord, 1>& message) {
    const auto found = exports.find(message.fds[0], message.record.where.offset);
    if (!is_good(found) || !is_good(peers.take_back(one.peer, found->buffer.id()))) return false;
    ++one.frames;
    return forget_unused(found->buffer), true;
  }
  bool take_back_all(Consumer& one) {
    for (const Connection* connection = peers.connection(one.peer); connection != nullptr;) {
      const auto message = connection->receive<FrameRecord, 1>(1, Waiting::no);
      if (!message) return message.error().code != ErrorCode::bad_message;  // none now, or none ever
      if (!take_back(one, *message)) return false;
    }
    return true;
  }

  // Until the next frame, 5 ms, or until somebody is gone: what he had comes back.
  bool wait() {
    bool is_well = take_back_all(encoder) && take_back_all(display);
    const auto returned = [&](const auto&, const Shared::Ref& buffer) { forget_unused(buffer); };
    peers.reap(Timeout::milliseconds(5), returned, [&](const auto& gone, std::size_t) {
      is_well &= (gone.peer == encoder.peer ? encoder : display).process.has_ended_well();
    });
    return is_well;
  }

  // For that long, and until both have looked at frames; then both hear that none will come, and end.
  bool run(seconds time) {
    std::minstd_rand random(std::random_device{}());
    const auto end = steady_clock::now() + time;
    auto next_kill = steady_clock::now() + milliseconds(100);
    while (steady_clock::now() < end || encoder.frames == 0 || display.frames == 0) {
      if (!encoder.process.is_there() && !start(encoder)) return false;
      if (!display.process.is_there() && !start(display)) return false;
      if (!send_frame() || !wait()) return false;
      if (steady_clock::now() < next_kill || next_kill >= end) continue;
      next_kill += milliseconds(100);
      kills += (random() % 2 == 0 ? encoder : display).process.kill();
    }
    for (const Consumer* one : {&encoder, &display}) {
      if (const auto* connection = peers.connection(one->peer)) shutdown(connection->fd(), SHUT_WR);
    }
    bool is_well = true;
    while (is_well && peers.count() != 0) is_well = wait();
    return is_well;
  }
};

int main(int argc, char** argv) {
  if (argc == 3) {
    const auto camera = Connection::of(backing::OwnedFd(std::atoi(argv[2])));
    return is_good(camera) && consume(*camera) ? 0 : 1;
  }
  auto memory = Memory::create({.name = "frames", .size = memory_size, .granule = frame_size});
  if (!is_good(memory)) return 1;
  Camera camera(*memory);
  const auto at_start = camera.held();
  if (!camera.run(seconds(argc == 2 ? std::atoi(argv[1]) : 10))) return 1;
  std::fprintf(stderr, "%llu frames sent, %llu encoded, %llu displayed, %llu kills\n", camera.sent + 0ULL,
               camera.encoder.frames + 0ULL, camera.display.frames + 0ULL, camera.kills + 0ULL);
  return camera.held() == at_start ? std::puts("nothing left"), 0 : 1;
}
