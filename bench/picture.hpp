// A zone's map over time as SVG: events to the right, offsets upwards, a rectangle for each block.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "result.hpp"

namespace freestone::bench {

// Up to six classes of block sizes, each a power-of-two range as wide as the others.
class SizeClasses {
 public:
  static constexpr unsigned most = 6;

  explicit SizeClasses(const Workload& work);
  unsigned of(std::uint64_t size) const;
  unsigned count() const { return of(largest_) + 1; }
  std::uint64_t upper_bound(unsigned size_class) const;  // inclusive

 private:
  unsigned lowest_ = 0;  // log2
  unsigned width_ = 1;
  std::uint64_t largest_ = 0;
};

struct Picture {
  std::string svg;
  bool sampled = false;  // too many blocks: points on a grid, not every block
};

inline constexpr std::size_t most_whole_blocks = 2'000;  // past this a picture is sampled
inline constexpr std::size_t sampled_moments = 200;
inline constexpr std::size_t sampled_heights = 100;

// The zone that the record's strategy needs, drawn so that `full_scale` bytes are as high as any picture gets. Blocks
// that are refused in the result's given zone are marked.
Picture draw(const TraceResult& result, const Record& record, std::uint64_t full_scale);

}  // namespace freestone::bench
