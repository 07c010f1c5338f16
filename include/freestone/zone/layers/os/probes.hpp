// Static probes for perf, bpftrace and SystemTap: in programs that are built where <sys/sdt.h> is there (Debian:
// systemtap-sdt-dev), and nothing at all elsewhere.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include <freestone/core/block.hpp>
#include <freestone/core/error.hpp>
#include <freestone/core/request.hpp>
#include <freestone/core/result.hpp>
#include <freestone/zone/layers/layer.hpp>

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#endif
#ifdef DTRACE_PROBE5
#define FREESTONE_PROBE(count, name, ...) DTRACE_PROBE##count(freestone, name, __VA_ARGS__)
#else
#define FREESTONE_PROBE(count, name, ...) static_cast<void>(0)
#endif

namespace freestone::layers {

// A zone whose calls are seen from outside, while nobody looks for a nop each. Sizes are bytes, `zone` is its name:
//
//   freestone:allocate    zone, offset, size granted, alignment asked for, Request::tag: after the call
//   freestone:deallocate  zone, offset, size (0: a deallocate_at of no live block): before the call, as the place may
//                         be another's after it
//   freestone:resize      zone, offset, size granted: after the call
//   freestone:refused     zone, ErrorCode, asked, available: after any of these calls that failed, a deallocate too
//
// A list is an allocate for each of its blocks. What other handles do, or a recovery drops, is not seen.
//
//   bpftrace -e 'usdt:./program:freestone:allocate { @[str(arg0), arg4] = hist(arg2); }'
template <class Z>
class Probes : public Layer<Probes<Z>, Z> {
  using Base = Layer<Probes, Z>;
  friend Base;

 public:
#ifdef DTRACE_PROBE5
  static constexpr bool are_there = true;
#else
  static constexpr bool are_there = false;
#endif

  template <class Next>
  Result<Block> around_allocate(const Request& request, Next&& next) noexcept {
    const Result<Block> block = next(request);
    block ? tell(request, *block) : tell(block.error());
    return block;
  }
  template <class Next>
  Result<std::span<Block>> around_list(const Request& request, Next&& next) noexcept {
    const Result<std::span<Block>> blocks = next(request);
    if (!blocks) return tell(blocks.error()), blocks;
    for (const Block& block : *blocks) tell(request, block);
    return blocks;
  }
  template <class Next>
  Result<Block> around_resize(const Block& block, Bytes size, Next&& next) noexcept {
    const Result<Block> resized = next(block, size);
    if (!resized) return tell(resized.error()), resized;
    FREESTONE_PROBE(3, resize, this->name(), resized->offset().value(), resized->size().value());
    return resized;
  }
  template <class Next>
  Result<void> around_deallocate(const Block& block, Next&& next) noexcept {
    FREESTONE_PROBE(3, deallocate, this->name(), block.offset().value(), block.size().value());
    const Result<void> result = next(block);
    if (!result) tell(result.error());
    return result;
  }
  constexpr void after_recover() noexcept {}

 private:
  constexpr Probes(Z&& zone, const NoSettings&) noexcept : Base(std::move(zone)) {}

  void tell([[maybe_unused]] const Request& request, [[maybe_unused]] const Block& block) const noexcept {
    FREESTONE_PROBE(5, allocate, this->name(), block.offset().value(), block.size().value(), request.align.value(),
                    request.tag);
  }
  void tell([[maybe_unused]] const Error& error) const noexcept {
    FREESTONE_PROBE(4, refused, this->name(), static_cast<std::uint32_t>(error.code), error.asked, error.available);
  }
};

}  // namespace freestone::layers

#undef FREESTONE_PROBE
