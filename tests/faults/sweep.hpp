// What is counted, and how a subject is taken through all that can fail in it.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <freestone/core/error.hpp>
#include <freestone/core/os/describe.hpp>
#include "faults/host_calls.hpp"

namespace freestone::tests {

inline constexpr std::uint64_t seed = 20080923;

struct Row {
  const char* fault;
  std::uint64_t runs = 0;
  std::uint64_t unusable = 0;  // the call failed without the error that tells why, or does not succeed afterwards
  std::uint64_t leaked = 0;    // something of it is left
  std::uint64_t corrupt = 0;   // what was there before is not as it was

  bool is_good() const { return runs != 0 && unusable + leaked + corrupt == 0; }
  void print() const;
  // What one subject adds to it.
  void add(const std::string& subject, const Row& more);

  bool no_subject_failed = true;
};
inline Row f4{.fault = "F4"};
inline Row f6{.fault = "F6"};

// What is wrong, for whoever looks for the reason: some lines at most.
void complain(const std::string& subject, const std::string& what);

// Does the error say what failed? `zone`: whose it must be.
bool tells(const Error& error, std::string_view call, int os_error, const char* zone);

// All n, one after another: `once(n, for_ever, os_error)` does it and says whether n was reached.
template <class Once>
void for_all_faults(Once&& once) {
  for (const int os_error : {ENOMEM, EIO, EMFILE, EACCES, ENOSPC}) {
    for (const bool for_ever : {false, true}) {
      for (int n = 1; once(n, for_ever, os_error); ++n) {
        if (n == 10'000) std::puts("there is no end to it"), std::abort();
      }
    }
  }
}

// A subject can `call` what may fail, which undoes itself where it succeeds. `state` is what must be the same before
// and after. Calls that are hints to the host (it can have its own: `hints`) may fail with no error, any other may not.
template <class Subject>
void sweep(const std::string& name, Subject&& subject) {
  Row row{.fault = "F4"};
  const auto bad = [&](std::uint64_t& count, const std::string& what) { ++count, complain(name, what); };
  if (const Error error = subject.call(); error) bad(row.unusable, "fails unasked: " + describe(error));
  for_all_faults([&](int n, bool for_ever, int os_error) {
    const auto state = subject.state();
    const Holdings held = holdings();
    host_fault = {.at = n, .for_ever = for_ever, .os_error = os_error, .hints = subject.hints(for_ever)};
    const Error error = subject.call();
    const HostFault fault = host_fault;
    host_fault = {};
    if (fault.failed == 0) return false;
    const bool is_left = holdings() != held;
    const std::string which = std::string(fault.what.empty() ? "a hint" : fault.what) + ", call " + std::to_string(n) +
                              (for_ever ? " and all after it, " : ", ") + std::strerror(os_error) + ": ";
    ++row.runs;
    if (fault.what.empty() ? static_cast<bool>(error) : !tells(error, fault.what, os_error, subject.zone())) {
      bad(row.unusable, which + "it said: " + describe(error));
    }
    if (is_left) bad(row.leaked, which + "something is left");
    if (subject.state() != state) bad(row.corrupt, which + "something is not as it was");
    if (const Error again = subject.call(); again) bad(row.unusable, which + "and then: " + describe(again));
    return true;
  });
  f4.add(name, row);
}

// As many files may be opened as a limit says, from none on.
class FileLimit {
 public:
  explicit FileLimit(unsigned more) noexcept;
  ~FileLimit();
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  std::uint64_t before_;
};

template <class Subject>
void run_out_of_files(const std::string& name, Subject&& subject) {
  Row row{.fault = "F6"};
  const auto bad = [&](std::uint64_t& count, const std::string& what) { ++count, complain(name, what); };
  for (unsigned more = 0; more <= 8; ++more) {
    const auto state = subject.state();
    const Holdings held = holdings();
    Error error;
    {
      const FileLimit limit(more);
      error = subject.call();
    }
    const bool is_left = holdings() != held;
    const std::string which = std::to_string(more) + " files: ";
    ++row.runs;
    if (error && (error.code != ErrorCode::limit_reached || error.os_error != EMFILE)) {
      bad(row.unusable, which + describe(error));
    }
    if (is_left) bad(row.leaked, which + "something is left");
    if (subject.state() != state) bad(row.corrupt, which + "something is not as it was");
    if (const Error again = subject.call(); again) bad(row.unusable, which + "and then: " + describe(again));
  }
  f6.add(name, row);
}

// The subjects, a source each.
void sweep_backings();
void sweep_gpus();
void sweep_layers();

}  // namespace freestone::tests
