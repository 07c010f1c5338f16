// Prints where a board's heaps lie: for people, linkers, kernels and C. Of a header, which is compiled into it, or of a
// TOML file. `./dev layout BOARD` builds and runs it.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <freestone/heap/os/layout_text.hpp>
#ifdef FREESTONE_BOARD
#include FREESTONE_BOARD  // declares `board` (heap/declare.hpp) and `memories`
#else
#include <freestone/heap/os/board_toml.hpp>
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
  if (!board.layout) return complain(std::string(board.name) + ": " + describe(board.layout, board.heaps));
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

}  // namespace

int main(int count, char** arguments) {
  CLI::App app("Where a board's heaps lie: for people, linkers, kernels and C.", "./dev layout");
  std::string path;
  std::string format = "table";
  std::string folder;
  app.add_option("BOARD", path, "a header that declares `board` and `memories`, or a .toml")->required();
  app.add_option("--format", format, "table, ld (linker script), dts (device tree), c (C header), svg (picture)")
      ->check(CLI::IsMember({"table", "ld", "dts", "c", "svg"}))->capture_default_str();
  app.add_option("--output", folder, "a folder: one file of each format goes there")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, count, arguments);

#ifdef FREESTONE_BOARD
  const Layout layout = board.lay_out(memories);
  return print({stem_of(path), board.specs, memories, layout}, format, folder);
#else
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return complain(path + ": cannot be read");
  const auto table = read_toml(text.str());
  if (!table) return complain(path + ":" + describe(table.error()));
  const std::vector<HeapSpec> heaps = table->specs();
  const std::vector<Memory> memories = table->memories();
  const Layout layout = lay_out(heaps, memories);
  return print({stem_of(path), heaps, memories, layout}, format, folder);
#endif
}
