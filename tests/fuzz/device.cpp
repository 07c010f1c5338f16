// Sequences of (call, argument, descriptor) against the personalities of device/, from libFuzzer's bytes: three programs of
// 32 and 64 bits on one board open nodes (of ION's generations G3 and G4 and of dma-heap, or of G1 and G2; and of PMEM), call ioctl
// with right, nearly right and wrong numbers and addresses, seek, map, duplicate, hand each other descriptors, close and end; some while
// another's call is under way. Each answer is checked, and when all is closed nothing may be left.
//
// It begins with the seeds, which reach each answer that the oracle knows. --replay HEX runs one input and tells each step.
#include <algorithm>
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

#include "../../examples/interposer/stock_heaps.cpp"  // this unit is by itself
#include "fuzz/device_handle_oracle.hpp"
#include "fuzz/device_oracle.hpp"
#include "fuzz/device_planted.hpp"
#include "fuzz/device_pmem_oracle.hpp"
#include "fuzz/device_programs.hpp"
#include "fuzz/device_seeds.hpp"
#include "fuzz/device_steps.hpp"

using namespace freestone;
using namespace freestone::tests;

namespace {

BoardTable board(bool is_cached) {
  const auto heap = [](const char* type, unsigned id, Bytes size, std::uint64_t base) {
    return BoardHeap{.name = type, .id = id, .size = size, .granule = id == 3 ? 64_KiB : 4_KiB, .base = base, .type = type};
  };
  BoardHeap pmem{.name = "pmem", .id = Occupancy::pmem, .size = 128_KiB, .granule = 8_KiB, .base = 0x9000'6000, .type = "custom"};
  pmem.part = PmemPart{.cached = is_cached};
  return {.heaps = {heap("system", 0, 1_MiB, 0x4000'0000), heap("system_contig", 1, 256_KiB, 0x5000'0000),
                    heap("carveout", 2, 128_KiB, 0x6000'0000), heap("chunk", 3, 512_KiB, 0x7000'0000),
                    heap("cma", 4, 256_KiB, 0x8000'0000), pmem}};
}

class Run {
 public:
  Run(std::span<const std::uint8_t> input, bool is_told) : steps_(input), is_told_(is_told) {
    programs_.reserve(3);
    for (int number = 0; number < 3; ++number)
      programs_.emplace_back(steps_.board() >> number & 1 ? device::WordSize::bits32 : device::WordSize::bits64, number);
    scene_.ion_heaps.heaps = descending_;
    scene_.ion_heaps.abi_version = (steps_.board() & is_android) != 0 ? 2 : 0;
    scene_.platform.ends_late = (steps_.board() & ends_late) != 0;
  }

  void all() {
    while (const auto step = steps_.take()) make(*step, nullptr);
    for (Program& program : programs_) end(program);
    scene_.platform.reclaim();
    for (FuzzHeap& heap : scene_.heaps) heap.shrink(~std::uint64_t{0});
    scene_.later.end();
    check_all_gone();
  }

 private:
  // `calling`: whose call is under way; its memory, and what it has room for, are then left alone.
  void make(const Step& step, const Program* calling) {
    Program* program = &programs_[step.program()];
    if (program == calling && step.act() != Act::close) program = &programs_[(step.program() + 1) % 3];
    scene_.platform.caller = program->number;
    if (is_told_) {
      std::printf("%sprogram %d: act %d, file %d\n", calling ? "  meanwhile " : "", program->number, static_cast<int>(step.act()),
                  step.file);
    }
    act(step, *program, calling != nullptr);
    if (calling != nullptr) scene_.platform.caller = calling->number;
    check_counts();
  }
  void act(const Step& step, Program& program, bool is_inner) {
    switch (step.act()) {
      case Act::open_ion: return open_ion(step, program);
      case Act::open_heap: return is_msm_board() ? void() : open_heap(program, *std::next(scene_.heaps.begin(), step.file % 5));
      case Act::open_pmem: return open_pmem(program);
      case Act::faults: return set_faults(step, program);
      case Act::limits: return set_limits(step, program);
      case Act::unmap: return program.mappings.empty() ? void() : unmap(program, step.file % program.mappings.size());
      case Act::end: return step.twist < 64 ? end(program) : void();
      default: return use(step, program, is_inner);
    }
  }
  // Of a descriptor: the one that is meant, or else the next that is open.
  void use(const Step& step, Program& program, bool is_inner) {
    std::size_t place = step.file % Program::most_descriptors;
    for (std::size_t more = 0; program.descriptors[place] == nullptr; ++more) {
      if (more == Program::most_descriptors) return;
      place = (place + 1) % Program::most_descriptors;
    }
    const std::shared_ptr<Open>& file = program.descriptors[place];
    switch (step.act()) {
      case Act::ioctl: return ioctl(step, program, file, is_inner);
      case Act::close: return let_go(program.descriptors[place]);
      case Act::duplicate: return give(program, file);
      case Act::send: return give(is_inner ? program : programs_[step.a % 3], file);
      case Act::seek: return seek(step, *file);
      default: return file->pmem_node() == nullptr ? map(step, program, file) : map_pmem(step, program, file);
    }
  }

  void let_go(std::shared_ptr<Open>& file) { scene_.platform.let_go(std::exchange(file, nullptr)); }
  void end(Program& program) {
    for (auto& file : program.descriptors) let_go(file);
    while (!program.mappings.empty()) unmap(program, program.mappings.size() - 1);
  }
  // If there is room.
  static void give(Program& to, std::shared_ptr<Open> file) {
    const std::size_t place = to.free_place();
    if (place != Program::most_descriptors) to.descriptors[place] = std::move(file);
  }

  bool is_msm_board() const { return (steps_.board() & has_msm) != 0; }
  bool is_uncached_board() const { return (steps_.board() & is_uncached) != 0; }
  void open_ion(const Step& step, Program& program) {
    const device::OpenFlags flags{step.b % 2 != 0 ? 2 | device::OpenFlags::synchronous : 2};
    const auto client = open_client(program);
    if (!client) return;
    const bool is_odd = step.a % 2 != 0;
    if (is_msm_board() && is_odd) return give_node<FuzzG2>(program, g2_heaps_, *client, flags);
    if (is_msm_board()) return give_node<FuzzG1>(program, g1_heaps_, *client, flags);
    if (is_odd) return give_node<FuzzG3>(program, g3_heaps_, *client, flags);
    give_new(program, FuzzIon(scene_.ion_heaps, *client), flags, nullptr, &scene_.ion_heaps);
  }
  template <class Node>
  void give_node(Program& program, const FuzzHeaps& heaps, ClientId client, device::OpenFlags flags) {
    give_new(program, Node(heaps, client, scene_.cookies, flags), flags, nullptr, &heaps);
  }
  void open_heap(Program& program, FuzzHeap& heap) {
    if (const auto client = open_client(program)) give_new(program, FuzzNode(scene_.device, heap, *client), {}, &heap);
  }
  void open_pmem(Program& program) {
    if (const auto client = open_client(program)) give_new(program, FuzzPmem(region_, *client, scene_.platform), {}, nullptr);
  }
  // There are so many clients, and so many owners that have something open.
  std::optional<ClientId> open_client(const Program& program) {
    std::set<int> owners{program.number};
    for (const Open* one : Open::live) owners.insert(one->owner);
    const bool has_room = scene_.device.client_count() < fuzz_limits.clients && owners.size() <= fuzz_limits.owners;
    auto client = scene_.device.open();
    if (!client) scene_.later.drain(HeapMask::all()), client = scene_.device.open();  // as servers do
    must_be(has_room ? rules::open_done : rules::open_full, client ? device::done : device::errno_of(client.error().code));
    return client ? std::optional(*client) : std::nullopt;
  }
  template <class F>
  void give_new(Program& program, F&& opened, device::OpenFlags flags, FuzzHeap* heap, const FuzzHeaps* heaps = nullptr) {
    auto file = std::make_shared<Open>(std::forward<F>(opened), program.number, flags, heap, heaps);
    give(program, file);
    let_go(file);
  }

  static void set_faults(const Step& step, Program& program) {
    const std::size_t ends[] = {Caller::length, 0x100 + step.a % 48U, 0x1000, step.a % Caller::length, 0x400 + step.a % 300U};
    const std::size_t end = ends[step.b % std::size(ends)];
    for (Caller* memory : {static_cast<Caller*>(&program), static_cast<Caller*>(&program.should_be)}) {
      if (step.c % 4 != 0) memory->set_writable(end);
      if (step.c % 4 != 1) memory->set_readable(end);
    }
  }
  void set_limits(const Step& step, Program& program) {
    program.most_files = step.a % (Program::most_descriptors + 1);
    scene_.platform.refusals = step.b % 4;
    if (step.c % 2 != 0) static_cast<void>(scene_.later.work());
    if (step.c % 16 == 2) std::next(scene_.heaps.begin(), step.c / 16 % 5)->shrink(step.b % 512);
  }

  void ioctl(const Step& step, Program& program, std::shared_ptr<Open> file, bool is_inner) {
    const device::Command command = command_of(step, file->kind(), {static_cast<std::size_t>(program.word()), file->kind()});
    const std::uint64_t address = file->pmem_node() == nullptr ? address_of(step) : pmem_address(step, program, *file, command);
    put_argument(step, program, *file, command, address);
    program.begin(*file, step.memory_changes(), !is_inner && step.is_joined() ? meanwhile(program, *file) : nullptr, step.is_late());
    program.is_interrupted = untold_ != 0;
    judge(program, *file, command, address);
    program.end();
    let_go(file);
  }
  // ALLOCATE's and CONNECT's arguments are what they are about.
  static std::uint64_t pmem_address(const Step& step, const Program& program, const Open& file, device::Command command) {
    if (command.code == pmem_command(PmemCall::allocate)) return is_raw(step) ? step.wide() : length_by(step.b);
    const bool is_connect = command.code == pmem_command(PmemCall::connect);
    return is_connect ? static_cast<std::uint32_t>(choice_of(step, program, file).fd) : address_of(step);
  }
  static void put_argument(const Step& step, Program& program, const Open& file, device::Command command, std::uint64_t address) {
    if (file.has_handles()) return put_handle_argument(step, program, file, command, address);
    if (is_raw(step)) return program.put(address, raw_argument(step));
    if (file.kind() != FileKind::pmem) return program.put(address, argument_of(step, file.kind(), command));
    const std::uint64_t mapping = choice_of(step, program, file).address;
    const PmemBytes bytes = pmem_bytes(step, file.pmem.grants);
    program.put(address, pmem_argument(step, static_cast<std::size_t>(program.word()), command, bytes, mapping));
  }
  static void put_handle_argument(const Step& step, Program& program, const Open& file, device::Command command, std::uint64_t address) {
    const IonLayout layout{static_cast<std::size_t>(program.word()), file.kind()};
    const HandleChoice choice = choice_of(step, program, file);
    if (command.number() == 6 && is_msm_custom(step, layout)) program.put(custom_place(step), custom_struct(step, layout, choice));
    program.put(address, is_raw(step) ? raw_argument(step) : handle_argument(step, layout, command, choice));
  }
  void judge(Program& program, Open& file, device::Command command, std::uint64_t address) {
    if (file.has_handles()) return judge<HandleOracle>(program, file, command, address);
    file.kind() == FileKind::pmem ? judge<PmemOracle>(program, file, command, address) : judge<Oracle>(program, file, command, address);
  }
  template <class O>
  void judge(Program& program, Open& file, device::Command command, std::uint64_t address) {
    O oracle(scene_, program, file);
    auto answer = std::visit([&](auto& one) { return one.ioctl(program, command, address); }, file.file);
    spoil(program, file, command, address, answer);
    if (is_told_) {
      std::printf("  ioctl %08x at %llx: %lld\n", command.code, static_cast<unsigned long long>(address),
                  static_cast<long long>(answer.value()));
    }
    oracle.check(command, address, answer);
  }
  // A call for a handle may have a buffer that nobody was told of yet.
  std::function<void()> meanwhile(const Program& program, const Open& file) {
    return [this, &program, has_handles = file.has_handles()] {
      untold_ = has_handles ? 1 : 0;
      if (const auto step = steps_.take()) make(*step, &program);
      untold_ = 0;
    };
  }
  // A handle of the file's, one that was, another client's, or one that nobody has; and a descriptor; and where he maps something,
  // or no address.
  static HandleChoice choice_of(const Step& step, const Program& program, const Open& file) {
    const unsigned which = step.b >> 4;
    const std::int32_t fds[] = {-1, 0, 39, 56, 1 << 30, -1 << 31, static_cast<std::int32_t>(step.c >> 3), 7};
    const bool is_descriptor = step.c % 8 != 7;
    const std::uint64_t mapped = Program::first_mapping + Program::each_mapping * ((step.c >> 8) % 8);
    return {.handle = handle_of(step.b % 16, which, step, program, file),
            .fd = is_descriptor ? static_cast<std::int32_t>(Program::first_fd + (step.c >> 3) % 16) : fds[(step.c >> 3) % 8],
            .address = step.c % 8 == 5 ? 0 : mapped + (step.c % 8 == 6 ? step.a : 0)};
  }
  static std::uint64_t handle_of(unsigned kind, unsigned which, const Step& step, const Program& program, const Open& file) {
    const auto told = [&](const Open& of) {
      return of.handles.empty() ? 0 : file.told(of.handles[which % of.handles.size()].number, program.word());
    };
    const std::uint64_t edges[] = {0, 1, 4, 16, 1024, 1025, ~0ULL, 1ULL << 31, 0xc0000010, 0xffffffc000000010};
    std::vector<const Open*> others;
    std::ranges::copy_if(Open::live, std::back_inserter(others), [&](const Open* one) { return one != &file && !one->handles.empty(); });
    switch (kind) {
      case 9: return file.told(file.gone, program.word());
      case 10:
      case 11: return others.empty() ? 1 : told(*others[which % others.size()]);
      case 12: return told(file) + 1;
      case 13: return told(file) ^ 1ULL << which % 64;
      case 14: return edges[which % std::size(edges)];
      case 15: return step.wide();
      default: return told(file);
    }
  }

  static void seek(const Step& step, const Open& file) {
    const FuzzBuffer* buffer = file.buffer();
    if (buffer == nullptr) return;
    const auto whence = static_cast<device::Whence>(step.a % 3);
    const auto offset = step.b % 2 == 0 ? std::int64_t{0} : static_cast<std::int64_t>(step.wide());
    const bool is_end = whence != device::Whence::current && offset == 0;
    const std::uint64_t told = whence == device::Whence::end ? buffer->size().value() : 0;
    must_be(is_end ? rules::seek_told : rules::seek_between, buffer->seek(offset, whence), static_cast<std::int64_t>(told));
  }

  static void map(const Step& step, Program& program, const std::shared_ptr<Open>& file) {
    const FuzzBuffer* buffer = file->buffer();
    if (buffer == nullptr) return;
    const std::uint64_t size = buffer->size().value();
    const std::uint64_t edges[] = {0,          1,          4096,       size - 1,     size,  size + 1,         size - 4096,
                                   1ULL << 31, 1ULL << 32, 1ULL << 63, ~0ULL - 4095, ~0ULL, ~0ULL - size + 1, step.b, step.wide()};
    const std::uint64_t offset = edges[(step.a & 0xff) % std::size(edges)];
    const std::uint64_t length = edges[(step.a >> 8) % std::size(edges)];
    const bool fits = length <= size && offset <= size && offset + length <= size;
    Rule& outside = offset + length < offset ? rules::map_wrapped : rules::map_outside;
    must_be(fits ? rules::map_inside : outside, buffer->map(offset, length));
    if (!fits || program.mappings.size() == 8) return;
    device::Errno error = device::Errno::none;
    auto counted = buffer->map_for_process(error);
    expect(counted && error == device::Errno::none, "a mapping is counted");
    ++file->known->mapped;
    program.mappings.push_back({file, size, std::move(counted)});
  }
  void map_pmem(const Step& step, Program& program, const std::shared_ptr<Open>& file) {
    if (program.mappings.size() == 8) return;
    const std::uint64_t offset = step.a % 8 == 7 ? step.wide() : 0, length = length_by(step.b);
    PmemOracle oracle(scene_, program, *file);
    program.is_interrupted = untold_ != 0;
    const device::Answer answer = file->pmem_node()->file().map(offset, length, static_cast<std::uint32_t>(program.number) + 1);
    oracle.check_map(offset, length, answer);
    if (answer == device::done) program.mappings.push_back({file, length, {}});
  }
  void unmap(Program& program, std::size_t place) {
    auto one = std::move(program.mappings[place]);
    program.mappings.erase(program.mappings.begin() + static_cast<std::ptrdiff_t>(place));
    if (one.file->buffer() != nullptr) --one.file->known->mapped;
    if (one.file->pmem_node() != nullptr && !is_mapped(*one.file)) {
      one.file->pmem_node()->file().unmapped();
      one.file->pmem.is_unmapped = true;
    }
    one.counted.reset();
    let_go(one.file);
  }
  bool is_mapped(const Open& file) const {
    const auto is_of_it = [&](const Program::Mapping& one) { return one.file.get() == &file; };
    return std::ranges::any_of(programs_, [&](const Program& one) { return std::ranges::any_of(one.mappings, is_of_it); });
  }

  // --- what always holds ---

  void check_counts() {
    std::size_t nodes = 0;
    for (Open* one : Open::live) {
      if (one->buffer() == nullptr) ++nodes;
      if (one->has_handles()) check_handles(*one);
      if (one->pmem_node() != nullptr) check_screen(*one);
    }
    std::array<std::uint64_t, Occupancy::heaps> bytes = {};
    for (const Known* one : Known::live) {
      bytes[one->heap] += one->size;
      expect(one->memory->maintained == one->maintained, "a cache is told what is right, and nothing else");
    }
    const std::size_t buffers = Known::live.size();
    expect(scene_.device.client_count() == nodes, "there is a client for each node that is open");
    std::uint64_t waiting = 0;
    for (unsigned heap = 0; heap < Occupancy::heaps; ++heap) waiting += scene_.later.waiting(heap).value();
    const std::size_t count = scene_.device.buffer_count();
    expect(count == buffers || count == buffers + untold_ || (waiting != 0 && count > buffers),
           "there is a buffer for each that somebody has, and others while some wait to be freed");
    for (FuzzHeap& heap : scene_.heaps) {
      const Bytes known = bytes[heap.info().id];
      expect(heap.use().bytes == known || (untold_ != 0 && heap.use().bytes > known), "a heap's figures are those of its buffers");
    }
  }
  static void check_screen(Open& file) {
    expect(file.pmem_node()->screen().shown == file.pmem.seen(), "a sub sees what it was granted, while its master is there, and no more");
  }
  static void check_handles(Open& file) {
    constexpr auto word = device::WordSize::bits64;
    std::size_t count = 0;
    bool is_right = true;
    file.client().for_each(word, [&](std::uint64_t handle, std::uint32_t references, const auto& buffer) {
      const ToldHandle* const one = file.find(handle, word);
      is_right = is_right && one != nullptr && one->references == references && one->buffer->id == buffer.id();
      ++count;
    });
    expect(is_right && count == file.handles.size(), "a client has the handles that he was told of, as often as he got them");
  }
  void check_all_gone() {
    check_counts();
    expect(Open::live.empty() && Known::live.empty(), "all is closed");
    expect(scene_.device.buffer_count() == 0, "nobody has anything");
    expect(region_.active() == 0, "a region of which nobody has anything is not in use");
    for (FuzzHeap& heap : scene_.heaps) {
      expect(heap.use().buffers == 0, "a heap without buffers has figures of none");
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

  Steps steps_;
  FuzzScene scene_{board(!is_uncached_board()), (steps_.board() & frees_late) != 0 ? Freeing::later : Freeing::at_once};
  // In the order in which each generation asks them: the highest first; the lowest first. PMEM's, the highest of all, is none of theirs.
  const std::span<FuzzHeap* const> descending_ = scene_.ion_heaps.heaps.subspan(1);
  const std::vector<FuzzHeap*> ascending_{descending_.rbegin(), descending_.rend()};
  const FuzzHeaps g1_heaps_{.device = &scene_.device, .heaps = ascending_, .generation = device::IonGeneration::g1};
  const FuzzHeaps g2_heaps_{.device = &scene_.device, .heaps = ascending_, .generation = device::IonGeneration::g2};
  const FuzzHeaps g3_heaps_{.device = &scene_.device, .heaps = descending_, .generation = device::IonGeneration::g3};
  FuzzPmem::Region region_{scene_.device, scene_.heaps.back(), *scene_.zones().zone(Occupancy::pmem),
                           device::pmem_settings_of(scene_.zones().text(Occupancy::pmem), device::PmemNumbers::qualcomm)};
  bool is_told_;
  unsigned untold_ = 0;  // buffers of a call that is under way
  std::vector<Program> programs_ = {};
};

void replay(const char* text) {
  std::setvbuf(stdout, nullptr, _IONBF, 0);  // what is told is there though the run does not come to its end
  std::vector<std::uint8_t> input;
  for (unsigned byte = 0; std::sscanf(text, "%2x", &byte) == 1; text += 2) {
    input.push_back(static_cast<std::uint8_t>(byte));
    if (text[1] == '\0' || text[2] == '\0') break;
  }
  Run(input, true).all();
  std::puts("nothing wrong");
}

void run_seeds() {
  for (const Seed& seed : seeds) {
    const auto input = seed.input();
    std::fputs("seed ", stderr);
    for (const std::uint8_t byte : input) std::fprintf(stderr, "%02x", byte);
    std::fputc('\n', stderr);
    Run(input, false).all();
  }
  for (const Rule* rule : Rule::all) {
    if (!rule->is_reached) std::fprintf(stderr, "%s\n", rule->text);
  }
  expect(std::ranges::all_of(Rule::all, &Rule::is_reached), "no seed reaches these");
  std::printf("%zu seeds reach each of %zu answers\n", std::size(seeds), Rule::all.size());
}

// Its length; 0: there is no room for it.
std::size_t write_seed(std::span<std::uint8_t> to, std::size_t number) {
  const auto input = seeds[number].input();
  if (input.size() > to.size()) return 0;
  std::memcpy(to.data(), input.data(), input.size());
  return input.size();
}

}  // namespace

extern "C" {
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

int LLVMFuzzerInitialize(int* count, char*** arguments) {
  if (*count == 3 && std::string_view((*arguments)[1]) == "--replay") replay((*arguments)[2]), std::exit(0);
  run_seeds();
  return 0;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Run({data, size}, false).all();
  return 0;
}

// By whole steps: one less, one more by chance, one again elsewhere or all but it, or the bytes of one; or how the board is. Mostly one byte, for
// each has its own meaning; most of what libFuzzer does would shift them. And now and then from a seed on, so that each is there long before
// the end.
std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  std::minstd_rand random(seed + 1);
  const auto below = [&](std::size_t end) { return static_cast<std::size_t>(random() >> 4) % end; };
  const auto byte = [&] { return static_cast<std::uint8_t>(random() >> 8); };
  if (size < header_length + step_length || below(64) == 0) return write_seed({data, most}, below(std::size(seeds)));
  const std::size_t steps = (size - header_length) / step_length;
  std::uint8_t* const from = data + header_length + below(steps) * step_length;
  std::uint8_t* const to = data + header_length + below(steps + 1) * step_length;
  const std::size_t chance = below(16);
  if (chance == 0) return data[0] = byte(), size;
  if (chance == 1) {
    std::memmove(from, from + step_length, static_cast<std::size_t>(data + size - from) - step_length);
    return size - step_length;
  }
  if (chance >= 14) return LLVMFuzzerMutate(from, step_length, step_length), size;
  if (chance >= 6 || size + step_length > most) return from[below(step_length)] = byte(), size;
  std::array<std::uint8_t, step_length> step;
  if (chance < 4) std::ranges::generate(step, byte);
  if (chance >= 4) std::memcpy(step.data(), from, step_length);
  if (chance == 5) step[below(step_length)] = byte();
  std::memmove(to + step_length, to, static_cast<std::size_t>(data + size - to));
  std::memcpy(to, step.data(), step_length);
  return size + step_length;
}
}
