// A Recorder's events as the CSV that `./dev bench` reads: op,id,size,align,timestamp (bench/traces/README.md).
#pragma once

#include <search.h>

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <new>
#include <span>

#include <freestone/core/events.hpp>
#include <freestone/core/result.hpp>

namespace freestone::layers {

// Writes events to a file that its caller opened, and closes or flushes. Sizes are as asked for, times in the
// recorder's units from its beginning. A resize is a free and an allocate; a call that failed is not written, as the
// bench replays what was granted. What it cannot know, because events were lost or came before the recorder: a free of
// a block that it has not seen is left out and counted, and a block that lies where another still does has ended that
// one's life. So it is always a history that the bench takes, where there is one allocation at least.
//
// For one thread at a time. Cost: a node of a tree for each live block, from the heap; O(log blocks) an event.
class TraceCsv {
 public:
  explicit TraceCsv(std::FILE* file) noexcept : file_(file) {}
  ~TraceCsv() {
    while (live_ != nullptr) forget(*static_cast<Live**>(live_));
  }
  TraceCsv(const TraceCsv&) = delete;
  TraceCsv& operator=(const TraceCsv&) = delete;

  // The next events, in the recorder's order; the first call writes the head of the table too. Fails with os_failure
  // where the file cannot be written (a stream may find that out later: see fclose); it is cut off there then. Fails
  // with out_of_memory where no more live blocks can be known; then this event and those behind it are missing.
  Result<void> write(std::span<const Event> events) noexcept {
    if (!has_head_ && std::fputs("op,id,size,align,timestamp\n", file_) == EOF) return failed();
    has_head_ = true;
    for (const Event& event : events) {
      if (const auto added = add(event.fields()); !added) return added;
    }
    return {};
  }

  // All that the recorder has. Where it fails, what was not written may be taken from the recorder all the same: up to
  // 256 events are gone, and it does not count them as lost.
  template <class Recorder>
  Result<void> write_all(Recorder& recorder) noexcept {
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
    std::uint64_t first = 0;  // granule
    std::uint64_t id = 0;
    std::uint64_t size = 0;
    std::uint64_t align = 0;
  };

  static Result<void> failed() noexcept { return Error{.code = ErrorCode::os_failure, .os_error = errno}; }

  Result<void> add(const EventFields& event) noexcept {
    time_ += event.time;
    if (event.failed) return {};
    const bool is_new = event.kind == EventKind::allocate;
    Live* live = find(event.first.value());
    if (live == nullptr) {
      if (!is_new) return ++left_out_, Result<void>();
      live = remember(event.first.value());
      if (live == nullptr) return ErrorCode::out_of_memory;
    } else if (!line('f', live->id, live->size, 0)) {
      return failed();
    }
    if (event.kind == EventKind::deallocate) return forget(live), Result<void>();
    live->id = next_id_++;
    live->size = event.size.value();
    if (is_new) live->align = event.align.value();
    return line('a', live->id, live->size, live->align) ? Result<void>() : failed();
  }

  // The tree is the C library's, which says so where there is no memory.
  static int order(const void* a, const void* b) noexcept {
    const std::uint64_t left = static_cast<const Live*>(a)->first;
    const std::uint64_t right = static_cast<const Live*>(b)->first;
    return left < right ? -1 : left > right;
  }
  Live* find(std::uint64_t first) const noexcept {
    const Live wanted{.first = first};
    void* const node = tfind(&wanted, &live_, order);
    return node == nullptr ? nullptr : *static_cast<Live**>(node);
  }
  Live* remember(std::uint64_t first) noexcept {
    Live* const live = new (std::nothrow) Live{.first = first};
    if (live == nullptr || tsearch(live, &live_, order) != nullptr) return live;
    delete live;
    return nullptr;
  }
  void forget(Live* live) noexcept {
    tdelete(live, &live_, order);
    delete live;
  }

  bool line(char op, std::uint64_t id, std::uint64_t size, std::uint64_t align) const noexcept {
    return std::fprintf(file_, "%c,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", op, id, size, align, time_) > 0;
  }

  std::FILE* file_;
  void* live_ = nullptr;  // the root
  std::uint64_t next_id_ = 0;
  std::uint64_t time_ = 0;
  std::uint64_t left_out_ = 0;
  bool has_head_ = false;
};

}  // namespace freestone::layers
