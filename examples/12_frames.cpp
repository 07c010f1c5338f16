// A camera, an encoder and a display: three processes, and frames that go from one to the others by file descriptor.
// All memory is the camera's. A frame lives as long as anybody has it: until both have given it back, or died. Every
// 100 ms the camera kills one of the two and starts it again. Whatever that one had comes back, nobody ever sees a torn
// frame, and at the end nothing is left. `12_frames SECONDS` takes 10 s where none are said.
//
// The camera waits for neither, and who talks nonsense to it is dismissed. But all frames lie in one file, of which both
// may see the whole (share/os/export.hpp): this is for consumers who may see each other's frames.
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
constexpr std::size_t most_of_one = 3;  // frames: neither has all of the memory
constexpr ShareLimits limits{.clients = 1, .owners = 1, .buffers = 9, .handles = 1, .blocks = 1};

struct Camera {
  using Shared = Device<Memory, OneProcess, limits>;

  Memory& memory;
  OneProcess platform = {};
  Shared device;
  ClientId client = *device.open();
  Exports<Shared, 8, lock::None> exports{device};  // which buffer is that file?
  Peers<Shared, 2, 16, lock::None> peers = {};     // who has which?
  using Departure = decltype(peers)::Departure;
  Consumer encoder{RoleProcess("encoder")}, display{RoleProcess("display")};
  std::uint64_t sent = 0, kills = 0;
  bool is_well = true;  // so far no consumer has found anything wrong

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
    for (const Consumer* one : {&encoder, &display}) give(*one, *buffer, *exported);
    let_go(*std::move(buffer));
    return ++sent != 0;
  }
  // He gets it where he has not too many already and reads what he is sent; else he misses it.
  void give(const Consumer& one, const Shared::Ref& buffer, const Exported& exported) {
    if (peers.held_by(one.peer) == most_of_one || !peers.give(one.peer, *device.ref(buffer.id()))) return;
    const auto told = peers.send(one.peer, FrameRecord{sent, exported.record()}, exported.fd);
    if (!told && !is_over(told)) static_cast<void>(peers.take_back(one.peer, buffer.id()));
  }
  // Where nobody holds it any more but `exports`, its bytes are free.
  void let_go(Shared::Ref buffer) {
    const BufferId id = buffer.id();
    buffer = {};
    exports.withdraw_unused(id);
  }

  // False where that is no frame of ours, or he does not have it.
  bool take_back(Consumer& one, const Message<FrameRecord, 1>& message) {
    auto found = exports.find(message.fds[0], message.record.where.offset);
    if (!found || !peers.take_back(one.peer, found->buffer.id())) return false;
    ++one.frames;
    return let_go(std::move(found->buffer)), true;
  }
  // What he has sent, as much as he may have: who sends without end does not keep the other waiting.
  void listen_to(Consumer& one) {
    for (std::size_t turns = 0; turns < most_of_one; ++turns) {
      const Connection* const connection = peers.connection(one.peer);
      if (connection == nullptr) return;
      const auto message = connection->receive<FrameRecord, 1>(1, Waiting::no);
      if (!message && message.error().code != ErrorCode::bad_message) return;  // none now, or none ever
      if (!message || !take_back(one, *message)) return dismiss(one);
    }
  }

  // Whoever is gone is so as a process too, though he would rather live on.
  void end(const Departure& gone) {
    RoleProcess& process = (gone.peer == encoder.peer ? encoder : display).process;
    process.kill();
    is_well &= process.has_ended_well();
  }
  void dismiss(Consumer& one) {
    static_cast<void>(peers.dismiss(
        one.peer, [&](const auto&, Shared::Ref buffer) { let_go(std::move(buffer)); },
        [&](const Departure& gone, std::size_t) { end(gone); }));
  }
  void reap() {
    peers.reap(
        Timeout::milliseconds(0), [&](const auto&, Shared::Ref buffer) { let_go(std::move(buffer)); },
        [&](const Departure& gone, std::size_t) { end(gone); });
  }

  // Until the next frame: what is given back, and who is gone, is seen at once.
  void wait() {
    const auto next = steady_clock::now() + milliseconds(5);
    for (auto now = next - milliseconds(5); now < next; now = steady_clock::now()) {
      peers.wait(Timeout::nanoseconds(static_cast<std::uint64_t>(std::chrono::nanoseconds(next - now).count())));
      listen_to(encoder);
      listen_to(display);
      reap();
    }
  }

  // For that long, and until both have looked at frames; then both hear that none will come, and end.
  bool run(seconds time) {
    std::minstd_rand random(std::random_device{}());
    const auto end = steady_clock::now() + time;
    auto next_kill = steady_clock::now() + milliseconds(100);
    while (is_well && (steady_clock::now() < end || encoder.frames == 0 || display.frames == 0)) {
      if (!encoder.process.is_there() && !start(encoder)) return false;
      if (!display.process.is_there() && !start(display)) return false;
      if (!send_frame()) return false;
      wait();
      if (steady_clock::now() < next_kill || next_kill >= end) continue;
      next_kill += milliseconds(100);
      kills += (random() % 2 == 0 ? encoder : display).process.kill();
    }
    for (const Consumer* one : {&encoder, &display}) {
      if (const auto* connection = peers.connection(one->peer)) shutdown(connection->fd(), SHUT_WR);
    }
    for (const auto last = steady_clock::now() + seconds(5); peers.count() != 0 && steady_clock::now() < last;) wait();
    dismiss(encoder);  // where it has not ended
    dismiss(display);
    return is_well;
  }
};

int main(int argc, char** argv) {
  if (argc == 3) {
    const auto camera = Connection::of(backing::OwnedFd(std::atoi(argv[2])));
    _exit(is_good(camera) && consume(*camera) ? 0 : 1);  // its connection ends with the process, not before
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
