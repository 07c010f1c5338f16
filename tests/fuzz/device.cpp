// Sequences of (call, argument, descriptor) against the personalities of device/, from libFuzzer's bytes: three programs of
// 32 and 64 bits on one board open nodes, call ioctl with right, nearly right and wrong numbers and addresses, seek, map,
// duplicate, hand each other descriptors, close and end; some while another's call is under way. Each answer is checked,
// and when all is closed nothing may be left. FREESTONE_FUZZ_INPUT=HEX runs one input and tells each step.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/device_oracle.hpp"
#include "fuzz/device_programs.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

constexpr std::string_view board = R"(
[[heap]]
name = "system"
id = 0
type = "system"
size = "1M"
base = 0x4000_0000
[[heap]]
name = "contig"
id = 1
type = "system_contig"
size = "256K"
base = 0x5000_0000
[[heap]]
name = "carveout"
id = 2
type = "carveout"
size = "128K"
base = 0x6000_0000
[[heap]]
name = "chunk"
id = 3
type = "chunk"
size = "512K"
granule = "64K"
base = 0x7000_0000
[[heap]]
name = "cma"
id = 4
type = "cma"
size = "256K"
base = 0x8000_0000
)";

// --- inputs ---

// The first byte says how long the programs' words are (a bit each), and two bits what the board is like; then steps.
constexpr std::size_t header_length = 1;
constexpr std::size_t step_length = 16;
enum class Act : std::uint8_t { ioctl, open_ion, open_heap, close, duplicate, send, seek, map, unmap, faults, limits, end };
constexpr Act acts[] = {Act::ioctl, Act::ioctl,    Act::ioctl,     Act::ioctl, Act::ioctl, Act::ioctl, Act::ioctl,  Act::ioctl,
                        Act::ioctl, Act::open_ion, Act::open_heap, Act::close, Act::close, Act::duplicate, Act::send, Act::seek,
                        Act::map,   Act::unmap,    Act::faults,    Act::limits, Act::end};

struct Step {
  std::uint8_t act, who, file, command, twist, place;
  std::uint16_t a;
  std::uint32_t b, c;

  static constexpr std::uint8_t is_joined = 4;      // the next step is made while this one's call is under way
  static constexpr std::uint8_t memory_changes = 8;
  std::uint64_t wide() const { return std::uint64_t{c} << 32 | b; }
};
static_assert(sizeof(Step) == step_length);

std::uint64_t length_by(std::uint32_t choice) {
  constexpr std::uint64_t edges[] = {0,         1,        4095,      4096,     4097,    64 << 10,      65537,        128 << 10, 256 << 10,
                                     512 << 10, 524289, 1 << 20, 1ULL << 32, 1ULL << 63, ~0ULL - 4095, ~0ULL - 4094, ~0ULL};
  const std::uint32_t kind = choice & 0xff;
  return kind < 48 ? edges[kind % std::size(edges)] : ((choice >> 8) % (kind < 160 ? 8 : 70) + 1) * 4096;
}

constexpr std::uint32_t natural[3][4] = {{0xC0184900, 0xC0184900, 0xC0184908, 0x80044909},
                                         {0xC0184800, 0xC0184800, 0xC0184800, 0xC0184800},
                                         {0x40086200, 0x40086200, 0x40046201, 0x40086201}};
constexpr std::uint32_t others[] = {0xC0184900, 0xC0184908, 0x80044909, 0xC0184800, 0x40086200, 0x40046201, 0x40086201, 0xC0044901,
                                    0xC0204900, 0xC0144900, 0xC0104900, 0xC0084902, 0xC0084904, 0xC0104906, 0xC0086202, 0x5401};

device::Command command_of(const Step& step, std::size_t kind) {
  std::uint32_t code = step.command < 208 ? natural[kind][step.command % 4] : others[step.command % std::size(others)];
  if (step.twist < 160) return {code};
  switch (step.twist % 6) {
    case 0: return {(code & ~0x3fff0000U) | (step.b % 48) << 16};   // another length
    case 1: return {code ^ (step.b % 3 + 1) << 30};                 // another direction
    case 2: return {code ^ (step.b % 255 + 1) << 8};                // another magic
    case 3: return {code + 1};                                      // a neighbour
    case 4: return {code ^ 1U << step.b % 32};
    default: return {step.b};
  }
}

std::uint64_t address_of(const Step& step) {
  const std::uint64_t end = Caller::start + Caller::length;
  const unsigned near = step.a % 64;
  switch (step.place % 16) {
    case 8: return Caller::start + step.a % Caller::length;
    case 9: return end - near;
    case 10: return Caller::start - near;
    case 11: return Caller::start + 0x1000 - near;  // across a page's end
    case 12: return near;
    case 13: return ~std::uint64_t{0} - near;
    case 14: return step.wide();
    default: return Caller::start + 0x100;
  }
}

struct Argument {
  std::array<std::byte, 40> bytes = {};

  template <class T>
  void put(std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
};

std::uint64_t records_at(const Step& step, std::uint64_t address) {
  const std::uint64_t near = step.c >> 8 & 0xff;
  switch (step.c % 8) {
    case 0: return 0;
    case 1: return Caller::start + Caller::length - near;
    case 2: return Caller::start - near % 60;
    case 3: return address + near % 32 - 16;  // over the struct
    case 4: return ~std::uint64_t{0} - near;
    case 5: return step.c;
    default: return Caller::start + 0x400;
  }
}

Argument ion_argument(const Step& step, device::Command command, std::uint64_t address) {
  Argument argument;
  if (command.number() == 8) {
    argument.put(0, step.b % 16 == 15 ? step.b : step.b % 8);
    argument.put(8, records_at(step, address));
    if ((step.b >> 8) % 16 == 15) argument.put(step.b >> 12 & 1 ? 4 : step.b >> 13 & 1 ? 16 : 20, std::uint8_t{1});
    return argument;
  }
  argument.put(0, length_by(step.b));
  argument.put(8, step.c % 8 == 7 ? step.c : step.c >> 8 & 0x3f);
  argument.put(12, std::uint32_t{step.a});
  argument.put(16, std::uint64_t{0x6666666655555555});
  return argument;
}
Argument heap_argument(const Step& step) {
  constexpr std::uint32_t flags[] = {0x80002, 0x80000, 2, 0, 1, 3, 4, 0x80802};
  Argument argument;
  argument.put(0, length_by(step.b));
  argument.put(8, std::uint32_t{step.c % 16 == 15});
  argument.put(12, step.c >> 4 & 1 ? flags[(step.c >> 5) % 8] : flags[0]);
  argument.put(16, std::uint64_t{(step.c >> 8) % 16 == 15} << (step.c >> 12) % 64);
  return argument;
}
Argument buffer_argument(const Step& step, device::Command command) {
  Argument argument;
  if (command.number() == 0) return argument.put(0, step.b % 16 == 15 ? step.wide() : step.b % 10), argument;
  argument.bytes.fill(std::byte{'a' + 1});
  argument.bytes[step.b % argument.bytes.size()] = std::byte{0};
  return argument;
}

// --- what an input does ---

class Run {
 public:
  Run(FuzzScene& scene, std::span<const std::uint8_t> input, bool is_told) : scene_(scene), input_(input), is_told_(is_told) {
    const unsigned bits = input.empty() ? 0 : input[0];
    programs_.reserve(3);
    for (int number = 0; number < 3; ++number)
      programs_.emplace_back(bits >> number & 1 ? device::WordSize::bits32 : device::WordSize::bits64, number);
    scene_.ion_heaps.abi_version = bits >> 3 & 1 ? 2 : 0;
    scene_.platform.ends_late = (bits >> 4 & 1) != 0;
    scene_.platform.refusals = 0;
    next_ = header_length;
  }

  void all() {
    while (const auto step = take()) make(*step, nullptr);
    for (Program& program : programs_) end(program);
    scene_.platform.reclaim();
    check_all_gone();
  }

 private:
  std::optional<Step> take() {
    if (next_ + step_length > input_.size()) return std::nullopt;
    Step step;
    std::memcpy(&step, input_.data() + next_, step_length);
    next_ += step_length;
    return step;
  }

  // `calling`: whose call is under way; its memory, and what it has room for, are then left alone.
  void make(const Step& step, const Program* calling) {
    const Act act = acts[step.act % std::size(acts)];
    Program* program = &programs_[step.who % 4 % 3];
    if (program == calling && act != Act::close) program = &programs_[static_cast<std::size_t>(program->number + 1) % 3];
    scene_.platform.caller = program->number;
    if (is_told_) std::printf("%sprogram %d: act %d, file %d\n", calling ? "  meanwhile " : "", program->number, static_cast<int>(act), step.file);
    make(act, step, *program, calling != nullptr);
    if (calling != nullptr) scene_.platform.caller = calling->number;
    check_counts();
  }
  void make(Act act, const Step& step, Program& program, bool is_inner) {
    const std::size_t place = step.file % Program::most_descriptors;
    std::shared_ptr<Open>& chosen = program.descriptors[place];
    switch (act) {
      case Act::open_ion: return open_node(program, nullptr);
      case Act::open_heap: return open_node(program, &*std::next(scene_.heaps.begin(), step.file % 5));
      case Act::faults: return set_faults(step, program);
      case Act::limits:
        program.most_files = step.a % (Program::most_descriptors + 1);
        scene_.platform.refusals = step.b % 4;
        return;
      case Act::unmap:
        if (!program.mappings.empty()) let_go(program.mappings[step.file % program.mappings.size()]), std::erase(program.mappings, nullptr);
        return;
      case Act::end: return step.twist < 64 ? end(program) : void();
      default: break;
    }
    const std::shared_ptr<Open>& file = chosen != nullptr ? chosen : near(program, place);
    if (file == nullptr) return;
    switch (act) {
      case Act::ioctl: return ioctl(step, program, file, is_inner);
      case Act::close: return let_go(program.descriptors[step.twist < 128 ? place_of(program, file) : place]);
      case Act::duplicate: return give(program, file);
      case Act::send: return give(is_inner ? program : programs_[step.a % 3], file);
      case Act::seek: return seek(step, *file);
      default: return map(step, program, file);
    }
  }
  // Some descriptor that is open; empty where there is none.
  const std::shared_ptr<Open>& near(const Program& program, std::size_t place) const {
    for (std::size_t at = 0; at < Program::most_descriptors; ++at) {
      const auto& one = program.descriptors[(place + at) % Program::most_descriptors];
      if (one != nullptr) return one;
    }
    return program.descriptors[place];
  }
  static std::size_t place_of(const Program& program, const std::shared_ptr<Open>& file) {
    return static_cast<std::size_t>(&file - program.descriptors.data());
  }

  void let_go(std::shared_ptr<Open>& file) { scene_.platform.let_go(std::exchange(file, nullptr)); }
  void end(Program& program) {
    for (auto& file : program.descriptors) let_go(file);
    for (auto& file : program.mappings) let_go(file);
    program.mappings.clear();
  }
  // Nobody's place that a call under way is to use: it takes its own when it publishes.
  static void give(Program& to, const std::shared_ptr<Open>& file) {
    const std::size_t place = to.free_place();
    if (place != Program::most_descriptors) to.descriptors[place] = file;
  }

  // Who opens must be one of so many owners that have something open, and one of so many clients.
  void open_node(Program& program, FuzzHeap* heap) {
    std::set<int> owners{program.number};
    for (const Open* one : Open::live) owners.insert(one->owner);
    const bool has_room = scene_.device.client_count() < fuzz_limits.clients && owners.size() <= fuzz_limits.owners;
    const auto client = scene_.device.open();
    expect(static_cast<bool>(client) == has_room, "a node is opened while there is room for clients and owners, and only then");
    if (!client) return;
    auto file = heap == nullptr
                    ? std::make_shared<Open>(FuzzIon(scene_.ion_heaps, *client), program.number, nullptr, device::OpenFlags{})
                    : std::make_shared<Open>(FuzzNode(scene_.device, *heap, *client), program.number, heap, device::OpenFlags{});
    give(program, file);
    let_go_of(std::move(file));
  }
  template <class F>
  void let_go_of(F&& file) {
    scene_.platform.let_go(std::shared_ptr<void>(std::forward<F>(file)));
  }

  void set_faults(const Step& step, Program& program) {
    const std::size_t ends[] = {Caller::length, 0x100 + step.a % 48U, 0x1000, step.a % Caller::length, 0x400 + step.a % 300U};
    const std::size_t end = ends[step.b % std::size(ends)];
    for (Caller* memory : {static_cast<Caller*>(&program), static_cast<Caller*>(&program.should_be)}) {
      if (step.c % 4 != 0) memory->set_writable(end);
      if (step.c % 4 != 1) memory->set_readable(end);
    }
  }

  void ioctl(const Step& step, Program& program, std::shared_ptr<Open> file, bool is_inner) {
    const std::size_t kind = file->buffer() != nullptr ? 2 : file->is_heap_node() ? 1 : 0;
    const device::Command command = command_of(step, kind);
    const std::uint64_t address = address_of(step);
    put_argument(step, program, command, address, kind);
    Oracle oracle(scene_, program, *file);
    const bool is_joined = !is_inner && (step.who & Step::is_joined) != 0;
    program.begin(file->owner, (step.who & Step::memory_changes) != 0, is_joined ? meanwhile(program) : nullptr);
    const auto answer = std::visit([&](auto& one) { return one.ioctl(program, command, address); }, file->file);
    if (is_told_) {
      std::printf("  ioctl %08x at %llx: %lld\n", command.code, static_cast<unsigned long long>(address),
                  static_cast<long long>(answer.value()));
    }
    oracle.check(command, address, answer);
    program.end();
    let_go_of(std::move(file));
  }
  std::function<void()> meanwhile(const Program& program) {
    return [this, &program] {
      if (const auto step = take()) make(*step, &program);
    };
  }
  static void put_argument(const Step& step, Program& program, device::Command command, std::uint64_t address, std::size_t kind) {
    Argument argument = kind == 0 ? ion_argument(step, command, address) : kind == 1 ? heap_argument(step) : buffer_argument(step, command);
    if (step.place >= 240) {
      for (std::size_t at = 0; at < argument.bytes.size(); ++at) argument.bytes[at] = std::byte{reinterpret_cast<const std::uint8_t*>(&step)[at % step_length]};
    }
    program.poke(address, argument.bytes);
    program.should_be.poke(address, argument.bytes);
  }

  static void seek(const Step& step, Open& file) {
    FuzzBuffer* buffer = file.buffer();
    if (buffer == nullptr) return;
    const auto whence = static_cast<device::Whence>(step.a % 3);
    const auto offset = step.b % 2 == 0 ? std::int64_t{0} : static_cast<std::int64_t>(step.wide());
    const auto size = static_cast<std::int64_t>(buffer->size().value());
    const bool is_end = whence != device::Whence::current && offset == 0;
    const auto wanted = !is_end ? device::Answer(device::Errno::invalid) : device::Answer(whence == device::Whence::end ? size : 0);
    expect(buffer->seek(offset, whence) == wanted, "lseek tells the length, and goes nowhere between");
  }

  void map(const Step& step, Program& program, const std::shared_ptr<Open>& file) {
    FuzzBuffer* buffer = file->buffer();
    if (buffer == nullptr) return;
    const std::uint64_t size = buffer->size().value();
    const std::uint64_t edges[] = {0,          1,          4096,       size - 1,   size,         size + 1, size - 4096,
                                   1ULL << 31, 1ULL << 32, 1ULL << 63, ~0ULL - 4095, ~0ULL, ~0ULL - size + 1, step.b, step.wide()};
    const std::uint64_t offset = edges[(step.a & 0xff) % std::size(edges)];
    const std::uint64_t length = edges[(step.a >> 8) % std::size(edges)];
    const bool fits = length <= size && offset <= size && offset + length <= size;
    expect(buffer->map(offset, length) == (fits ? device::done : device::Answer(device::Errno::invalid)),
           "what is mapped lies in the buffer, and else it is EINVAL");
    if (fits && program.mappings.size() < 8) program.mappings.push_back(file);
  }

  // --- what always holds ---

  void check_counts() {
    std::size_t buffers = 0;
    std::size_t nodes = 0;
    std::array<std::uint64_t, Occupancy::heaps> bytes = {};
    for (Open* one : Open::live) {
      FuzzBuffer* buffer = one->buffer();
      ++(buffer != nullptr ? buffers : nodes);
      if (buffer != nullptr) bytes[buffer->buffer().parts().heap] += buffer->size().value();
    }
    expect(scene_.device.client_count() == nodes, "there is a client for each node that is open");
    expect(scene_.device.buffer_count() == buffers, "there is a buffer for each that is open");
    for (FuzzHeap& heap : scene_.heaps) {
      expect(heap.use().bytes == Bytes(bytes[heap.info().id]), "a heap's figures are those of its buffers");
    }
  }
  void check_all_gone() {
    check_counts();
    expect(Open::live.empty(), "all is closed");
    for (FuzzHeap& heap : scene_.heaps) {
      expect(heap.use().buffers == 0 && heap.use().bytes == Bytes(0), "a heap without buffers has figures of none");
      expect(scene_.free_bytes(heap.info().name) == heap.info().size.value(), "a heap without buffers is whole");
    }
    for (int number = 0; number < 3; ++number) {
      scene_.platform.caller = number;
      const auto client = scene_.device.open();
      expect(static_cast<bool>(client), "who has nothing leaves his place to others");
      const auto usage = scene_.device.usage(*client);
      expect(usage && usage->bytes == Bytes(0) && usage->buffers == 0, "who has nothing is charged for nothing");
      static_cast<void>(scene_.device.close(*client));
    }
  }

  FuzzScene& scene_;
  std::span<const std::uint8_t> input_;
  std::size_t next_ = 0;
  bool is_told_;
  std::vector<Program> programs_ = {};
};

void run(std::span<const std::uint8_t> input, bool is_told) {
  static FuzzScene scene(board);
  Run(scene, input, is_told).all();
}

// --- inputs to begin with, and how they are changed ---

constexpr std::uint8_t act_of(Act act) {
  for (std::uint8_t at = 0; at < std::size(acts); ++at) {
    if (acts[at] == act) return at;
  }
  return 0;
}

constexpr Step open_ion{act_of(Act::open_ion), 0, 0, 0, 0, 0, 0, 0, 0};
constexpr Step open_cma{act_of(Act::open_heap), 0, 4, 0, 0, 0, 0, 0, 0};
constexpr Step allocate_any{act_of(Act::ioctl), 0, 0, 0, 0, 0, 0, 0xf30, 0x1f00};
constexpr Step ask{act_of(Act::ioctl), 0, 0, 2, 0, 0, 0, 5, 6};
constexpr Step sync_first{act_of(Act::ioctl), 0, 1, 0, 0, 0, 0, 3, 0};
constexpr Step name_first{act_of(Act::ioctl), 0, 1, 3, 0, 0, 0, 9, 0};
constexpr Step map_first{act_of(Act::map), 0, 1, 0, 0, 0, 0x0400, 0, 0};
constexpr Step send_first{act_of(Act::send), 0, 1, 0, 0, 0, 1, 0, 0};
constexpr Step close_node{act_of(Act::close), 0, 0, 0, 0, 0, 0, 0, 0};
constexpr Step fault_late{act_of(Act::faults), 0, 0, 0, 0, 0, 20, 1, 1};
constexpr Step few_files{act_of(Act::limits), 0, 0, 0, 0, 0, 1, 0, 0};
constexpr Step refuse_one{act_of(Act::limits), 0, 0, 0, 0, 0, 16, 1, 0};

const std::vector<std::vector<Step>> seeds = {
    {open_ion, ask, allocate_any, sync_first, name_first, map_first, close_node},
    {open_cma, allocate_any, send_first, map_first, close_node, sync_first},
    {open_ion, fault_late, allocate_any, ask},
    {open_cma, few_files, allocate_any, allocate_any, refuse_one, allocate_any},
    {open_ion, allocate_any, allocate_any, allocate_any, allocate_any, allocate_any, allocate_any, allocate_any, allocate_any,
     allocate_any, allocate_any, allocate_any, allocate_any, allocate_any},
};

std::size_t begin_with_seed(std::span<std::uint8_t> to, std::uint32_t chance) {
  const std::vector<Step>& steps = seeds[chance % seeds.size()];
  to[0] = static_cast<std::uint8_t>(chance >> 8);
  std::memcpy(to.data() + header_length, steps.data(), steps.size() * step_length);
  return header_length + steps.size() * step_length;
}

}  // namespace

extern "C" {
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

int LLVMFuzzerInitialize(int*, char***) {
  const char* text = std::getenv("FREESTONE_FUZZ_INPUT");
  if (text == nullptr) return 0;
  std::vector<std::uint8_t> input;
  for (unsigned byte = 0; std::sscanf(text, "%2x", &byte) == 1; text += 2) {
    input.push_back(static_cast<std::uint8_t>(byte));
    if (text[1] == '\0') break;
  }
  run(input, true);
  std::exit(0);
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  run({data, size}, false);
  return 0;
}

// Half of the time by whole steps: one more by chance, one again elsewhere, one less, or one byte of one.
std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  std::minstd_rand random(seed + 1);
  const auto below = [&](std::size_t end) { return static_cast<std::size_t>(random()) % end; };
  if (most >= 512 && size < header_length + step_length) return begin_with_seed({data, most}, static_cast<std::uint32_t>(random() >> 4));
  const std::size_t steps = size < header_length ? 0 : (size - header_length) / step_length;
  if (steps == 0 || below(2) == 0) return LLVMFuzzerMutate(data, size, most);
  std::uint8_t* const from = data + header_length + below(steps) * step_length;
  std::uint8_t* const to = data + header_length + below(steps + 1) * step_length;
  std::uint8_t* const end = data + header_length + steps * step_length;
  const std::size_t chance = below(8);
  if (chance == 0) {
    std::memmove(from, from + step_length, static_cast<std::size_t>(end - from) - step_length);
    return size - step_length;
  }
  if (chance < 4) return from[below(step_length)] = static_cast<std::uint8_t>(random() >> 8), size;
  if (size + step_length > most) return size;
  std::array<std::uint8_t, step_length> step;
  std::memcpy(step.data(), from, step_length);
  if (chance >= 6) {
    for (std::uint8_t& byte : step) byte = static_cast<std::uint8_t>(random() >> 8);
  }
  std::memmove(to + step_length, to, static_cast<std::size_t>(data + size - to));
  std::memcpy(to, step.data(), step_length);
  return size + step_length;
}
}
