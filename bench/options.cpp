#include "options.hpp"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cstdio>

#include <freestone/core/bits.hpp>
#include <freestone/heap/constraints.hpp>
#include <freestone/heap/name.hpp>

#include "failure.hpp"
#include "text.hpp"

namespace freestone::bench {

namespace {

constexpr const char* description =
    "Replays allocation traces over every strategy and says which one a heap should use.\n"
    "Without a TRACE it takes those that ship with it (bench/traces/). With HEAP=TRACE for each heap of a board it also\n"
    "prints that board, one line to paste.\n"
    "With --workloads, --peers or --instructions: what each strategy does on made-up work, W1 to W8 (bench/README.md).";

constexpr const char* footer =
    "Sizes are bytes, or with a suffix binary multiples: 4096, 0x1000, 4K, 64M, 64MiB, 1G.\n"
    "By default the granule is 16 bytes where a trace's median size is below 512 bytes, 1 KiB where every size is a\n"
    "multiple of 1 KiB but most are none of 4 KiB, and else 4 KiB.\n"
    "By default the zone is the smallest in which one of the thriftiest strategies serves the whole trace.\n"
    "`./dev bench --with HEADER TYPE` takes a strategy of your own into the comparison, `./dev bench --micro` runs\n"
    "Google Benchmark. Exit status: 0 done, 1 the bench failed, 2 bad input or options.";

constexpr const char* of_work = "Workloads";

// What the command line says, before it means anything.
struct Words {
  std::vector<std::string> traces;
  std::string granule;
  std::string zone;
  std::string strategies;
  std::string only;
  bool with = false;
  bool micro = false;
};

std::uint64_t size_of(const std::string& option, const std::string& text) {
  const auto size = parse_size(text);
  if (!size) throw BadInput(fmt::format("{}: '{}' is no size, expected one like 4096, 4K or 64MiB", option, text));
  return *size;
}

std::uint64_t granule_of(const std::string& text) {
  const std::uint64_t granule = size_of("--granule", text);
  if (bits::is_power_of_two(granule)) return granule;
  throw BadInput(fmt::format("--granule: {} is no power of two, expected one like 16, 1K or 4K", text));
}

// TRACE, or HEAP=TRACE: all of them or none. A file that is there is a trace, whatever its name.
void split_heaps(const std::vector<std::string>& words, Options& options) {
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    const bool is_heap = equals != std::string::npos && word.find('/') > equals && !std::filesystem::exists(word);
    options.traces.emplace_back(is_heap ? word.substr(equals + 1) : word);
    if (!is_heap) continue;
    const std::string heap = word.substr(0, equals);
    if (heap.empty() || heap.size() > most_name_length || heap.find_first_of("\"\\") != std::string::npos) {
      throw BadInput(fmt::format("{}: '{}' is no heap's name, expected 1 to {} characters", word, heap, most_name_length));
    }
    if (std::find(options.heaps.begin(), options.heaps.end(), heap) != options.heaps.end()) {
      throw BadInput(fmt::format("{}: a heap '{}' was there already, expected each once", word, heap));
    }
    options.heaps.push_back(heap);
  }
  if (options.heaps.size() > most_heaps) throw BadInput(fmt::format("{} heaps, expected {} at most", options.heaps.size(), most_heaps));
  if (!options.heaps.empty() && options.heaps.size() != options.traces.size()) {
    throw BadInput("some of the traces are of a heap and some are not, expected HEAP=TRACE for each, or for none");
  }
}

// At the commas; an empty name stays one, and is unknown.
std::vector<std::string> names_in(const std::string& list) {
  std::vector<std::string> names(1);
  int depth = 0;  // of template arguments
  for (const char c : list) {
    depth += (c == '<') - (c == '>');
    if (c == ',' && depth == 0) {
      names.emplace_back();
    } else {
      names.back() += c;
    }
  }
  return names;
}

// What makes sense with one of the two kinds of work only.
void check_kind(const CLI::App& app, const Options& options) {
  const auto refuse = [&](std::initializer_list<const char*> names, const char* remedy) {
    for (const char* name : names) {
      if (app.count(name) != 0) throw BadInput(fmt::format("{}: {}", name, remedy));
    }
  };
  if (options.runs_workloads()) {
    refuse({"TRACE", "--html", "--granule", "--zone", "--ignore-align"},
           "that is of traces, expected without --workloads, --peers and --instructions");
  } else {
    refuse({"--only", "--base"}, "that is of the workloads, expected with --workloads, --peers or --instructions");
  }
}

void interpret(const CLI::App& app, const Words& words, Options& options) {
  if (words.with)
    throw BadInput(
        "--with: this program is compiled already, expected `./dev bench --with HEADER TYPE`, which compiles it anew");
  if (words.micro) throw BadInput("--micro: that is freestone-micro, expected `./dev bench --micro`, which runs it");
  if (app.count("--granule") != 0) options.granule = granule_of(words.granule);
  if (app.count("--zone") != 0) options.zone_bytes = size_of("--zone", words.zone);
  if (app.count("--strategies") != 0) options.strategies = names_in(words.strategies);
  if (app.count("--only") != 0) options.only = names_in(words.only);
  split_heaps(words.traces, options);
  options.workloads |= options.peers;
  check_kind(app, options);
  const auto empty_path = [&](const char* option, const std::filesystem::path& path) {
    if (app.count(option) != 0 && path.empty())
      throw BadInput(fmt::format("{}: the path is empty, expected a file to write", option));
  };
  empty_path("--json", options.json);
  empty_path("--html", options.html);
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  Words words;
  CLI::App app(description, "freestone-bench");
  app.footer(footer);
  app.get_formatter()->column_width(28);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_help_flag("--help", "This text");
  app.add_option("TRACE", words.traces, "Traces to replay, CSV or gzip of it; HEAP=TRACE: of a board's heap")
      ->type_name("[HEAP=]TRACE.csv[.gz]")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--json", options.json, "Also write every figure and the advice as JSON")->type_name("FILE");
  app.add_option("--html", options.html, "Also write a page with tables and pictures")->type_name("FILE");
  app.add_option("--granule", words.granule, "The smallest unit that is placed, a power of two")->type_name("N");
  app.add_option("--zone", words.zone, "The zone in which refusals are counted")->type_name("SIZE");
  app.add_option("--strategies", words.strategies, "Compare these only: names with commas between")->type_name("LIST");
  app.add_flag("--ignore-align", options.ignore_align, "Replay without the alignments that were asked for");
  app.add_flag("--quick", options.quick,
               "Fewer rounds, fewer operations, and without shipped traces of over 100,000 events");
  app.add_flag("--workloads", options.workloads, "Run the workloads W1 to W8 over every strategy instead")
      ->group(of_work);
  app.add_flag("--peers", options.peers, "The same, beside the allocators that Debian has")->group(of_work);
  app.add_flag("--instructions", options.instructions,
               "Count instructions of W1, W2, W3 under callgrind; the times too with --workloads or --peers")
      ->group(of_work);
  app.add_option("--only", words.only, "These workloads only: names with commas between")
      ->type_name("LIST")
      ->group(of_work);
  app.add_option("--base", options.base, "Whom the second column of ratios is to")->type_name("NAME")->group(of_work);
  app.add_option("--round", options.round)->group("");
  app.add_option("--counted", options.counted)->group("");
  app.add_flag("--with", words.with)->group("");
  app.add_flag("--micro", words.micro)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    throw BadInput(fmt::format("{} (--help lists the options)", error.what()));
  }
  interpret(app, words, options);
  return options;
}

}  // namespace freestone::bench
