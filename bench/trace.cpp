#include "trace.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include <freestone/core/bits.hpp>

#include "failure.hpp"
#include "text.hpp"

namespace freestone::bench {

namespace {

constexpr std::string_view header = "op,id,size,align,timestamp";
constexpr std::uint64_t largest_size = std::uint64_t{1} << 63;

[[noreturn]] void fail(const std::filesystem::path& file, std::uint64_t line, std::string_view what,
                       std::string_view expected) {
  throw BadInput(fmt::format("{}:{}: {}, expected {}", file.string(), line, what, expected));
}

std::uint64_t lines_in(std::string_view text) {
  return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

// The whole file, unpacked.
std::string read_file(const std::filesystem::path& file) {
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> input(gzopen(file.c_str(), "rb"), &gzclose);
  if (!input) fail(file, 1, fmt::format("cannot open it ({})", std::strerror(errno)), "a trace");
  std::string text;
  std::array<char, 1 << 16> part;
  int count = 0;
  while ((count = gzread(input.get(), part.data(), part.size())) > 0)
    text.append(part.data(), static_cast<std::size_t>(count));
  int status = Z_OK;
  const char* reason = gzerror(input.get(), &status);
  if (status == Z_ERRNO) fail(file, 1, fmt::format("cannot read it ({})", std::strerror(errno)), "a trace");
  if (status != Z_OK) fail(file, lines_in(text) + 1, fmt::format("broken gzip ({})", reason), "a whole gzip file");
  if (file.extension() == ".gz" && gzdirect(input.get()) != 0)
    fail(file, 1, "this is no gzip", "a gzip file, as its suffix says");
  return text;
}

class Reader {
 public:
  Reader(const std::filesystem::path& file, Trace& trace) : file_(file), trace_(trace) {}

  void read(std::string_view text) {
    check_header(next_line(text));
    while (!text.empty()) add(fields_of(next_line(text)));
    if (trace_.events.empty()) fail_here("the trace ends here", "at least one allocation");
  }

 private:
  using Fields = std::array<std::string_view, 5>;

  [[noreturn]] void fail_here(std::string_view what, std::string_view expected) const {
    fail(file_, line_, what, expected);
  }

  std::string_view next_line(std::string_view& text) {
    ++line_;
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }

  void check_header(std::string_view line) const {
    if (line != header) fail_here(fmt::format("the columns are '{}'", line.substr(0, 60)), fmt::format("'{}'", header));
  }

  Fields fields_of(std::string_view line) const {
    const auto found = static_cast<std::size_t>(std::count(line.begin(), line.end(), ',')) + 1;
    Fields fields;
    if (found != fields.size()) {
      fail_here(fmt::format("wrong columns: {} of them", found), fmt::format("{}: {}", fields.size(), header));
    }
    for (std::string_view& field : fields) {
      const auto end = std::min(line.find(','), line.size());
      field = line.substr(0, end);
      line.remove_prefix(std::min(end + 1, line.size()));
    }
    return fields;
  }

  std::uint64_t number(std::string_view field, std::string_view name) const {
    const auto value = parse_number(field);
    if (!value) fail_here(fmt::format("{} '{}' is no number of 64 bits", name, field), "a whole number, 0 or above");
    return *value;
  }

  void add(const Fields& fields) {
    const auto id = number(fields[1], "id");
    const Asked asked{.size = number(fields[2], "size"), .align = number(fields[3], "align")};
    check_size(asked);
    check_time(number(fields[4], "timestamp"));
    if (fields[0] == "a") return allocate(id, asked);
    if (fields[0] == "f") return free(id, asked.size);
    fail_here(fmt::format("unknown op '{}'", fields[0]), "'a' or 'f'");
  }

  void check_size(const Asked& asked) const {
    if (asked.size == 0) fail_here("size 0", "at least 1 byte");
    if (asked.size > largest_size) fail_here(fmt::format("size {}", asked.size), "at most 2^63 bytes");
    if (asked.align != 0 && !bits::is_power_of_two(asked.align)) {
      fail_here(fmt::format("alignment {} is no power of two", asked.align), "a power of two, or 0 for none");
    }
  }

  void check_time(std::uint64_t time) {
    if (time < time_)
      fail_here(fmt::format("timestamp {} falls", time), fmt::format("at least {}, the one before", time_));
    time_ = time;
  }

  void allocate(std::uint64_t id, const Asked& asked) {
    const std::uint64_t next = trace_.asked.size();
    if (id < next && live_[static_cast<std::size_t>(id)])
      fail_here(fmt::format("id {} is live already", id), fmt::format("{}", next));
    if (id != next) fail_here(fmt::format("id {} is out of order", id), fmt::format("{}: ids count up from 0", next));
    if (id > UINT32_MAX) fail_here("the trace is too long", "at most 2^32 allocations");
    if (asked.size > largest_size - live_bytes_)
      fail_here("the live blocks grow past 2^63 bytes", "at most that, all together");
    live_bytes_ += asked.size;
    trace_.asked.push_back(asked);
    live_.push_back(true);
    trace_.events.push_back({.id = static_cast<std::uint32_t>(id), .frees = false});
  }

  void free(std::uint64_t id, std::uint64_t size) {
    if (id >= live_.size()) fail_here(fmt::format("free of the unknown id {}", id), "an id that is live");
    const auto index = static_cast<std::size_t>(id);
    if (!live_[index]) fail_here(fmt::format("id {} is freed a second time", id), "an id that is live");
    if (size != trace_.asked[index].size) {
      fail_here(fmt::format("id {} is freed with size {}", id, size),
                fmt::format("{}, as allocated", trace_.asked[index].size));
    }
    live_[index] = false;
    live_bytes_ -= size;
    trace_.events.push_back({.id = static_cast<std::uint32_t>(id), .frees = true});
  }

  const std::filesystem::path& file_;
  Trace& trace_;
  std::vector<bool> live_;
  std::uint64_t live_bytes_ = 0;
  std::uint64_t time_ = 0;
  std::uint64_t line_ = 0;
};

std::string name_of(std::filesystem::path file) {
  file = file.filename();
  if (file.extension() == ".gz") file.replace_extension();
  if (file.extension() == ".csv") file.replace_extension();
  return file.string();
}

}  // namespace

Trace read_trace(const std::filesystem::path& file) {
  Trace trace{.name = name_of(file), .events = {}, .asked = {}};
  Reader(file, trace).read(read_file(file));
  return trace;
}

}  // namespace freestone::bench
