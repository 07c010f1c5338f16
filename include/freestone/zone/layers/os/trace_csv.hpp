// A Recorder's events as the CSV that `./dev bench` reads: op,id,size,align,timestamp (bench/traces/README.md).
#pragma once

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <span>
#include <unordered_map>

#include <freestone/core/events.hpp>
#include <freestone/core/result.hpp>

namespace freestone::layers {

// Writes events to a file that its caller opened, and closes or flushes. Sizes are as asked for, times in the
// recorder's units from its beginning. A resize is a free and an allocate; a call that failed is not written, as the
// bench replays what was granted. What it cannot know, because events were lost or came before the recorder: a free of
// a block that it has not seen is left out and counted, and a block that lies where another still does has ended that
// one's life. So it is always a history that the bench takes, where there is one allocation at least.
//
// For one thread at a time. Cost: a hash map's entry for each live block, from the heap.
class TraceCsv {
 public:
  explicit TraceCsv(std::FILE* file) noexcept : file_(file) {}
  TraceCsv(const TraceCsv&) = delete;
  TraceCsv& operator=(const TraceCsv&) = delete;

  // The next events, in the recorder's order; the first call writes the head of the table too. Fails with os_failure
  // where the file cannot be written (a stream may find that out later: see fclose); it is cut off there then.
  Result<void> write(std::span<const Event> events) {
    if (!has_head_ && std::fputs("op,id,size,align,timestamp\n", file_) == EOF) return failed();
    has_head_ = true;
    for (const Event& event : events) {
      if (!add(event.fields())) return failed();
    }
    return {};
  }

  // All that the recorder has.
  template <class Recorder>
  Result<void> write_all(Recorder& recorder) {
    std::array<Event, 256> events;
    while (true) {
      const std::span<Event> taken = recorder.take(events);
      if (const auto written = write(taken); !written || taken.empty()) return written;
    }
  }

  // How many frees were left out, ever.
  std::uint64_t left_out() const noexcept { return left_out_; }

 private:
  struct Live {
    std::uint64_t id;
    std::uint64_t size;
    std::uint64_t align;
  };

  static Result<void> failed() noexcept { return Error{.code = ErrorCode::os_failure, .os_error = errno}; }

  // False where the file cannot be written.
  bool add(const EventFields& event) {
    time_ += event.time;
    if (event.failed) return true;
    const auto live = live_.find(event.first.value());
    const bool is_known = live != live_.end();
    if (event.kind == EventKind::allocate) {
      return (!is_known || free(live->second)) && allocate(event, event.align.value());
    }
    if (!is_known) return ++left_out_, true;
    const std::uint64_t align = live->second.align;
    if (!free(live->second)) return false;
    if (event.kind == EventKind::resize) return allocate(event, align);
    live_.erase(live);
    return true;
  }
  bool allocate(const EventFields& event, std::uint64_t align) {
    const Live block{next_id_++, event.size.value(), align};
    live_[event.first.value()] = block;
    return line('a', block.id, block.size, align);
  }
  bool free(const Live& block) const { return line('f', block.id, block.size, 0); }

  bool line(char op, std::uint64_t id, std::uint64_t size, std::uint64_t align) const {
    return std::fprintf(file_, "%c,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", op, id, size, align, time_) > 0;
  }

  std::FILE* file_;
  std::unordered_map<std::uint64_t, Live> live_;  // by first granule
  std::uint64_t next_id_ = 0;
  std::uint64_t time_ = 0;
  std::uint64_t left_out_ = 0;
  bool has_head_ = false;
};

}  // namespace freestone::layers
