#include "picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include <freestone/core/bits.hpp>

#include "text.hpp"

namespace freestone::bench {

namespace {

constexpr double width = 1000;
constexpr double full_height = 300;
constexpr unsigned refused_class = SizeClasses::most;

struct Rectangle {
  double x, y, w, h;  // y upwards, from the zone's first byte
  unsigned colour;
};

class Scale {
 public:
  Scale(const Workload& work, std::uint64_t full_scale)
      : x_(width / static_cast<double>(work.events.size())), y_(full_height / static_cast<double>(full_scale)) {}

  double x(double events) const { return events * x_; }
  double y(double bytes) const { return bytes * y_; }

 private:
  double x_;
  double y_;
};

Rectangle whole(const Life& life, const Scale& scale, unsigned colour) {
  return {.x = scale.x(static_cast<double>(life.born)),
          .y = scale.y(static_cast<double>(life.offset)),
          .w = scale.x(static_cast<double>(life.died - life.born)),
          .h = scale.y(static_cast<double>(life.size)),
          .colour = colour};
}

// Which block lies at each point of a grid over the zone and the trace.
class Raster {
 public:
  Raster(std::size_t events, std::uint64_t bytes)
      : moment_(static_cast<double>(events) / sampled_moments),
        height_(static_cast<double>(bytes) / sampled_heights),
        cells_(sampled_moments * sampled_heights, free_cell) {}

  void add(const Life& life, unsigned colour) {
    const auto [left, right] =
        points(static_cast<double>(life.born), static_cast<double>(life.died), moment_, sampled_moments);
    const auto bottom = static_cast<double>(life.offset);
    const auto [low, high] = points(bottom, bottom + static_cast<double>(life.size), height_, sampled_heights);
    for (std::size_t row = low; row < high; ++row) {
      for (std::size_t column = left; column < right; ++column) cells_[row * sampled_moments + column] = colour;
    }
  }

  // Equal neighbours of a row are one rectangle.
  std::vector<Rectangle> rectangles(const Scale& scale) const {
    std::vector<Rectangle> found;
    for (std::size_t row = 0; row < sampled_heights; ++row) {
      for (std::size_t column = 0; column < sampled_moments;) {
        const std::size_t start = column;
        const unsigned colour = cell(row, start);
        while (column < sampled_moments && cell(row, column) == colour) ++column;
        if (colour != free_cell) found.push_back(run(row, start, column, colour, scale));
      }
    }
    return found;
  }

 private:
  static constexpr unsigned free_cell = UINT32_MAX;

  unsigned cell(std::size_t row, std::size_t column) const { return cells_[row * sampled_moments + column]; }

  // The points (i + 1/2) * step that lie in [from, to).
  static std::pair<std::size_t, std::size_t> points(double from, double to, double step, std::size_t count) {
    const auto index = [&](double at) {
      return std::min(count, static_cast<std::size_t>(std::max(0.0, at / step + 0.5)));
    };
    return {index(from), index(to)};
  }

  Rectangle run(std::size_t row, std::size_t from, std::size_t to, unsigned colour, const Scale& scale) const {
    return {.x = scale.x(static_cast<double>(from) * moment_),
            .y = scale.y(static_cast<double>(row) * height_),
            .w = scale.x(static_cast<double>(to - from) * moment_),
            .h = scale.y(height_),
            .colour = colour};
  }

  double moment_;
  double height_;
  std::vector<unsigned> cells_;
};

// One path a colour: some 25 bytes a rectangle.
std::string paths_of(const std::vector<Rectangle>& rectangles, double top) {
  std::array<std::string, SizeClasses::most + 1> paths;
  for (const Rectangle& r : rectangles) {
    paths[r.colour] += fmt::format("M{:.1f} {:.1f}h{:.1f}v-{:.1f}h-{:.1f}z", r.x, top - r.y, r.w, r.h, r.w);
  }
  std::string text;
  for (unsigned colour = 0; colour < paths.size(); ++colour) {
    if (paths[colour].empty()) continue;
    text += fmt::format("<path class=\"{}\" d=\"{}\"/>\n",
                        colour == refused_class ? "refused" : fmt::format("s{}", colour), paths[colour]);
  }
  return text;
}

std::string frame(const TraceResult& result, const Record& record, const std::vector<Rectangle>& rectangles,
                  const Scale& scale) {
  const double zone = scale.y(static_cast<double>(*record.needed_bytes));
  const double peak = zone - scale.y(static_cast<double>(result.work.peak));
  return fmt::format(
      "<svg viewBox=\"0 0 {0:.0f} {1:.1f}\" role=\"img\" aria-label=\"{2}: the map of its zone over the trace\">\n"
      "<rect class=\"zone\" width=\"{0:.0f}\" height=\"{1:.1f}\"/>\n{3}"
      "<path class=\"peak\" d=\"M0 {4:.1f}h{0:.0f}\"/>\n</svg>\n",
      width, zone, record.contender().name, paths_of(rectangles, zone), peak);
}

}  // namespace

SizeClasses::SizeClasses(const Workload& work) {
  std::uint64_t least = UINT64_MAX;
  for (const Request& request : work.requests) {
    least = std::min(least, request.size.value());
    largest_ = std::max(largest_, request.size.value());
  }
  lowest_ = bits::ceil_log2(least);
  width_ = (bits::ceil_log2(largest_) - lowest_) / most + 1;
}

unsigned SizeClasses::of(std::uint64_t size) const { return (bits::ceil_log2(size) - lowest_) / width_; }

std::uint64_t SizeClasses::upper_bound(unsigned size_class) const {
  return std::uint64_t{1} << std::min(63U, lowest_ + (size_class + 1) * width_ - 1);
}

Picture draw(const TraceResult& result, const Record& record, std::uint64_t full_scale) {
  const Workload& work = result.work;
  const Scale scale(work, full_scale);
  const SizeClasses classes(work);
  const std::vector<Life> lives = record.contestant->lives(work, *record.needed_bytes);
  const std::vector<bool> refused = record.refused.value_or(0) > 0 ? record.contestant->refused(work, result.zone_bytes)
                                                                   : std::vector<bool>(work.requests.size());
  const auto colour = [&](const Life& life) {
    return refused[life.id] ? refused_class : classes.of(work.requests[life.id].size.value());
  };
  Picture picture{.svg = {}, .sampled = lives.size() > most_whole_blocks};
  std::vector<Rectangle> rectangles;
  if (picture.sampled) {
    Raster raster(work.events.size(), *record.needed_bytes);
    for (const Life& life : lives) raster.add(life, colour(life));
    rectangles = raster.rectangles(scale);
  } else {
    for (const Life& life : lives) rectangles.push_back(whole(life, scale, colour(life)));
  }
  picture.svg = frame(result, record, rectangles, scale);
  return picture;
}

}  // namespace freestone::bench
