// Prints where a board's heaps lie: for people, linkers, kernels and C. Of a header, which is compiled into it, or of a
// text: tables in TOML, or the line that MMZ is started with. `./dev layout BOARD` builds and runs it.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>

#include <freestone/heap/os/layout_text.hpp>
#ifdef FREESTONE_BOARD
#include FREESTONE_BOARD  // declares `board` (heap/declare.hpp) and `memories`
#else
#include <freestone/heap/os/board_ion.hpp>
#include <freestone/heap/os/board_mmz.hpp>
#include <freestone/heap/os/board_pmem.hpp>
#include <freestone/heap/os/board_toml.hpp>
#include <freestone/heap/os/zone_kinds.hpp>
#endif

using namespace freestone;

namespace {

struct Format {
  const char* name;
  const char* suffix;
  std::string (*print)(const BoardLayout&);
};
constexpr Format formats[] = {{"table", ".txt", to_table},
                              {"ld", ".ld", to_linker_script},
                              {"dts", ".dts", to_device_tree},
                              {"c", ".h", to_c_header},
                              {"svg", ".svg", to_svg}};

int complain(const std::string& what) {
  std::fprintf(stderr, "layout: %s\n", what.c_str());
  return 1;
}

// FOLDER/NAME.ld and its like.
int write_all(const BoardLayout& board, const std::string& folder) {
  for (const Format& format : formats) {
    const std::string path = folder + "/" + std::string(board.name) + format.suffix;
    std::ofstream file(path, std::ios::binary);
    file << format.print(board);
    file.close();
    if (!file) return complain(path + ": cannot be written");
    std::printf("%s\n", path.c_str());
  }
  return 0;
}

int print(const BoardLayout& board, const std::string& wanted, const std::string& folder) {
  if (!board.layout)
    return complain(std::string(board.name) + ": " + describe(board.layout, board.heaps, board.memories));
  if (!folder.empty()) return write_all(board, folder);
  for (const Format& format : formats) {
    if (wanted == format.name) std::cout << format.print(board);
  }
  return 0;
}

std::string stem_of(const std::string& path) {
  const std::string file = path.substr(path.rfind('/') + 1);
  return file.substr(0, file.rfind('.'));
}

#ifndef FREESTONE_BOARD
// A system, in one of its generations, and who reads its text.
struct System {
  const char* name;
  const char* table;  // which of the file's it reads; empty: it is no TOML
  TextResult<BoardTable> (*read)(std::string_view text);
};
template <PmemGeneration generation>
TextResult<BoardTable> read_pmem_of(std::string_view text) {
  return read_pmem(text, generation);
}
template <IonFamily family>
TextResult<BoardTable> read_ion_of(std::string_view text) {
  return read_ion(text, {.family = family});
}
template <MmzGeneration generation>
TextResult<BoardTable> read_mmz_of(std::string_view text) {
  auto board = read_mmz(text, {.generation = generation});
  if (!board) return board.error();
  return std::move(board->table);
}
constexpr System systems[] = {{"heap", "heap", read_toml},
                              {"pmem", "pmem", read_pmem_of<PmemGeneration::qualcomm>},
                              {"ion", "ion", read_ion_of<IonFamily::msm>},
                              {"pmem-google", "", read_pmem_of<PmemGeneration::google>},
                              {"pmem-caf", "", read_pmem_of<PmemGeneration::caf>},
                              {"pmem-unpluggable", "", read_pmem_of<PmemGeneration::unpluggable>},
                              {"ion-aosp", "", read_ion_of<IonFamily::aosp>},
                              {"mmz", "", read_mmz_of<MmzGeneration::g4>},
                              {"mmz-g1", "", read_mmz_of<MmzGeneration::g1>},
                              {"mmz-g2", "", read_mmz_of<MmzGeneration::g2>},
                              {"mmz-g3", "", read_mmz_of<MmzGeneration::g3>},
                              {"mmz-g4", "", read_mmz_of<MmzGeneration::g4>},
                              {"mmz-g5", "", read_mmz_of<MmzGeneration::g5>},
                              {"mmz-set_top", "", read_mmz_of<MmzGeneration::set_top>}};

std::vector<std::string> names_of_systems() {
  std::vector<std::string> names;
  for (const System& system : systems) names.push_back(system.name);
  return names;
}

// The table by the system of that name, or unless one is said by the one whose tables the text has.
TextResult<BoardTable> read(std::string_view text, const std::string& name) {
  std::vector<TextResult<BoardTable>> found;
  std::string with;
  for (const System& system : systems) {
    if (!name.empty() && name == system.name) return system.read(text);
    if (!name.empty() || *system.table == '\0') continue;
    auto table = system.read(text);
    if (!table && table.error().what == TextFault::missing_field && table.error().field == system.table) continue;
    with += with.empty() ? system.name : std::string(", ") + system.name;
    found.push_back(std::move(table));
  }
  if (found.empty()) return read_toml(text);
  const bool is_any_good = std::any_of(found.begin(), found.end(), [](const auto& table) { return bool(table); });
  if (found.size() == 1 || !is_any_good) return std::move(found.front());
  return TextError{.what = TextFault::missing_field, .field = "--system", .value = with};
}

// Those whose memory begins where it likes, and the kernel's that lie anywhere, have no place here.
std::vector<HeapSpec> specs_of(const BoardTable& table) {
  std::vector<HeapSpec> specs = table.specs();
  for (std::size_t heap = 0; heap < specs.size(); ++heap) {
    const BoardHeap& text = table.heaps[heap];
    const bool is_anywhere = std::holds_alternative<MmzPart>(text.part) && !text.base;
    specs[heap].takes_base = takes_base(text.backing) && !is_anywhere;
  }
  return specs;
}

int print_text(const std::string& path, const std::string& system, const std::string& format,
               const std::string& folder) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return complain(path + ": cannot be read");
  const auto table = read(text.str(), system);
  if (!table) return complain(path + ": " + describe(table.error()));
  for (const TextError& error : table->left_out) complain(path + ": left out: " + describe(error));
  const std::vector<HeapSpec> heaps = specs_of(*table);
  const std::vector<Memory> memories = table->memories();
  const Layout layout = lay_out(heaps, memories);
  return print({stem_of(path), heaps, memories, layout}, format, folder);
}
#endif

}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Where a board's heaps lie: for people, linkers, kernels and C.", "./dev layout");
  std::string path;
  std::string format = "table";
  std::string folder;
  app.add_option("BOARD", path, "a header that declares `board` and `memories`, a .toml, or MMZ's line")->required();
  app.add_option("--format", format, "table, ld (linker script), dts (device tree), c (C header), svg (picture)")
      ->check(CLI::IsMember({"table", "ld", "dts", "c", "svg"}))->capture_default_str();
  app.add_option("--output", folder, "a folder: one file of each format goes there")->check(CLI::ExistingDirectory);
#ifndef FREESTONE_BOARD
  std::string system;
  app.add_option("--system", system, "whose text it is; unless said: heap, pmem or ion, by the tables that it has")
      ->check(CLI::IsMember(names_of_systems()));
#endif
  CLI11_PARSE(app, count, arguments);

#ifdef FREESTONE_BOARD
  const Layout layout = board.lay_out(memories);
  return print({stem_of(path), board.specs, memories, layout}, format, folder);
#else
  return print_text(path, system, format, folder);
#endif
}
