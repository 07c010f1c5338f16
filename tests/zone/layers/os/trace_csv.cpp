#include <freestone/zone/layers/os/trace_csv.hpp>

#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/zone/layers/recorder.hpp>

#include "support/child.hpp"
#include "support/random.hpp"
#include "support/zones.hpp"

using namespace freestone;
using layers::Recorder;
using layers::TraceCsv;
using tests::code_of;
using tests::Numbers;

namespace {

const std::string head = "op,id,size,align,timestamp\n";

struct StepClock {
  static inline std::uint64_t now = 0;
  static inline std::uint64_t step = 0;
  std::uint64_t operator()() const noexcept { return now += step; }
};

// A stream whose text can be asked for.
class Text {
 public:
  Text() : file_(open_memstream(&text_, &length_)) { REQUIRE(file_ != nullptr); }
  ~Text() {
    std::fclose(file_);
    std::free(text_);
  }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  std::FILE* file() const { return file_; }
  std::string text() const {
    std::fflush(file_);
    return {text_, length_};
  }

 private:
  char* text_ = nullptr;
  std::size_t length_ = 0;
  std::FILE* file_;
};

Event event(const EventFields& fields) { return *Event::of(fields); }

// The rules of bench/traces/README.md.
void check_history(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  REQUIRE(std::getline(lines, line));
  REQUIRE(line + "\n" == head);
  std::map<std::uint64_t, std::uint64_t> live;
  std::uint64_t next = 0;
  std::uint64_t last = 0;
  while (std::getline(lines, line)) {
    char op = 0;
    unsigned long long id = 0;
    unsigned long long size = 0;
    unsigned long long align = 0;
    unsigned long long time = 0;
    REQUIRE(std::sscanf(line.c_str(), "%c,%llu,%llu,%llu,%llu", &op, &id, &size, &align, &time) == 5);
    REQUIRE(time >= last);
    last = time;
    REQUIRE(size != 0);
    REQUIRE((align & (align - 1)) == 0);
    if (op == 'a') {
      REQUIRE(id == next++);
      live[id] = size;
    } else {
      REQUIRE(op == 'f');
      REQUIRE(live.count(id) == 1);
      REQUIRE(live[id] == size);
      live.erase(id);
    }
  }
}

}  // namespace

TEST_CASE("what a zone was asked for, as the bench reads it") {
  StepClock::step = 10;
  std::array<Event, 16> ring;
  auto zone = Recorder<Numbers<strategy::BestFit>, StepClock>::create({.size = 64_KiB}, ring);
  REQUIRE(zone);
  const auto a = zone->allocate({.size = 5000, .align = 8_KiB});
  const auto b = zone->allocate(1);
  REQUIRE(a);
  REQUIRE(b);
  CHECK_FALSE(zone->allocate(1_MiB));
  REQUIRE(zone->deallocate(*a));
  CHECK_FALSE(zone->deallocate(*a));
  REQUIRE(zone->resize(*b, 6000));
  REQUIRE(zone->allocate(7));
  const Text out;
  TraceCsv csv(out.file());
  REQUIRE(csv.write_all(*zone));
  CHECK(out.text() == head +
                          "a,0,5000,8192,10\n"
                          "a,1,1,0,20\n"
                          "f,0,5000,0,40\n"
                          "f,1,1,0,60\n"
                          "a,2,6000,0,60\n"
                          "a,3,7,0,70\n");
  REQUIRE(zone->deallocate(*b));
  REQUIRE(csv.write_all(*zone));
  check_history(out.text());
  CHECK(out.text().ends_with("a,3,7,0,70\nf,2,6000,0,80\n"));
  CHECK(csv.left_out() == 0);
}

TEST_CASE("a resize keeps the alignment") {
  const Text out;
  TraceCsv csv(out.file());
  const std::vector<Event> events{
      event({.first = Granules(2), .size = 10, .align = 64}),
      event({.kind = EventKind::resize, .first = Granules(2), .size = 20}),
  };
  REQUIRE(csv.write(events));
  CHECK(out.text() == head + "a,0,10,64,0\nf,0,10,0,0\na,1,20,64,0\n");
}

TEST_CASE("no event: the head alone, once") {
  const Text out;
  TraceCsv csv(out.file());
  REQUIRE(csv.write({}));
  REQUIRE(csv.write({}));
  CHECK(out.text() == head);
}

TEST_CASE("where events are missing, what is left is a history still") {
  const Text out;
  TraceCsv csv(out.file());
  const std::vector<Event> events{
      event({.kind = EventKind::deallocate, .first = Granules(9), .size = 4096, .time = 5}),  // from before
      event({.kind = EventKind::resize, .first = Granules(9), .size = 4096, .time = 5}),
      event({.first = Granules(1), .size = 10, .time = 5}),
      event({.first = Granules(1), .size = 20, .time = 5}),  // the free is lost
      event({.kind = EventKind::deallocate, .first = Granules(1), .size = 4096}),
      event({.kind = EventKind::deallocate, .first = Granules(1), .size = 4096}),
  };
  REQUIRE(csv.write(events));
  CHECK(out.text() == head + "a,0,10,0,15\nf,0,10,0,20\na,1,20,0,20\nf,1,20,0,20\n");
  CHECK(csv.left_out() == 3);
}

TEST_CASE("a file that cannot be written is an error with the system's reason") {
  std::FILE* const full = std::fopen("/dev/full", "w");
  if (full == nullptr) return;
  std::setvbuf(full, nullptr, _IONBF, 0);
  TraceCsv csv(full);
  const auto written = csv.write({});
  CHECK(code_of(written) == ErrorCode::os_failure);
  CHECK(written.error().os_error == ENOSPC);
  std::fclose(full);
}

// Its allocator ends the program where there is no memory.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool dies_without_memory = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
constexpr bool dies_without_memory = true;
#else
constexpr bool dies_without_memory = false;
#endif
#else
constexpr bool dies_without_memory = false;
#endif

TEST_CASE("no memory for one more live block is an error, and what comes later is a history still" *
          doctest::skip(dies_without_memory)) {
  std::vector<Event> events;
  for (std::uint64_t i = 0; i < 300'000; ++i) events.push_back(event({.first = Granules(i), .size = 10}));
  const std::vector<Event> later{event({.kind = EventKind::deallocate, .first = Granules(299'999), .size = 4096}),
                                 event({.kind = EventKind::deallocate, .first = Granules(0), .size = 4096}),
                                 event({.first = Granules(0), .size = 20})};
  CHECK(tests::holds_in_child([&] {
    std::FILE* const file = std::tmpfile();
    TraceCsv csv(file);
    rlimit before = {};
    if (!csv.write({}) || std::fflush(file) != 0 || getrlimit(RLIMIT_AS, &before) != 0) return false;
    const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    if (setrlimit(RLIMIT_AS, &none) != 0) return false;
    const auto written = csv.write(events);
    if (setrlimit(RLIMIT_AS, &before) != 0 || code_of(written) != ErrorCode::out_of_memory) return false;
    if (!csv.write(later) || csv.left_out() != 1 || std::fflush(file) != 0) return false;
    std::string text(static_cast<std::size_t>(std::ftell(file)), ' ');
    std::rewind(file);
    if (std::fread(text.data(), 1, text.size(), file) != text.size()) return false;
    check_history(text);
    return text.find("\nf,0,10,0,0\na,") != std::string::npos && text.ends_with(",20,0,0\n");
  }));
}

TEST_CASE("any calls through a ring that is too small are a history") {
  StepClock::step = 3;
  tests::Random random(tests::seed());
  std::array<Event, 32> ring;
  auto zone = Recorder<Numbers<strategy::Segregated>, StepClock>::create({.size = 1_MiB}, ring);
  REQUIRE(zone);
  const Text out;
  TraceCsv csv(out.file());
  std::vector<Block> live;
  for (int i = 0; i < 5000; ++i) {
    if (random.chance(52)) {
      const auto block = zone->allocate({.size = random.from_to(0, 40000), .align = random.chance(50) ? 8_KiB : 0_B});
      if (block) live.push_back(*block);
    } else if (!live.empty()) {
      const auto chosen = static_cast<std::size_t>(random.below(live.size()));
      REQUIRE(zone->deallocate(live[chosen]));
      live[chosen] = live.back();
      live.pop_back();
    }
    if (random.chance(4)) REQUIRE(csv.write_all(*zone));
  }
  REQUIRE(csv.write_all(*zone));
  CHECK(zone->lost() > 0);
  CHECK(csv.left_out() > 0);
  check_history(out.text());
}
