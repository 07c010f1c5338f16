// What is counted, and how a subject is taken through all that can fail in it.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
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

// The same as a subject has it, where it has rules of its own.
template <class Subject>
bool tells(Subject& subject, const Error& error, std::string_view call, int os_error) {
  if constexpr (requires { subject.tells(error, call, os_error); }) return subject.tells(error, call, os_error);
  return tells(error, call, os_error, subject.zone());
}

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
  const auto before = subject.state();
  const Holdings held_before = holdings();
  const Error unasked = subject.call();
  const bool is_more = holdings() != held_before;
  if (unasked) bad(row.unusable, "fails unasked: " + describe(unasked));
  if (is_more) bad(row.leaked, "something is left though it succeeds");
  if (subject.state() != before) bad(row.corrupt, "something is not as it was though it succeeds");
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
    if (fault.what.empty() ? static_cast<bool>(error) : !tells(subject, error, fault.what, os_error)) {
      bad(row.unusable, which + "it said: " + describe(error));
    }
    if (is_left) bad(row.leaked, which + "something is left");
    if (subject.state() != state) bad(row.corrupt, which + "something is not as it was");
    if (const Error again = subject.call(); again) bad(row.unusable, which + "and then: " + describe(again));
    return true;
  });
  f4.add(name, row);
}

// A signal comes at each of the calls that one interrupts, which changes nothing.
template <class Subject>
void interrupt(const std::string& name, Subject&& subject) {
  static constexpr std::string_view interrupted[] = {"sendmsg", "recvmsg", "poll", "ppoll"};
  Row row{.fault = "F4"};
  const auto bad = [&](std::uint64_t& count, const std::string& what) { ++count, complain(name, what); };
  for (int n = 1;; ++n) {
    const auto state = subject.state();
    const Holdings held = holdings();
    host_fault = {.at = n, .os_error = EINTR, .only = interrupted};
    const Error error = subject.call();
    const HostFault fault = host_fault;
    host_fault = {};
    if (fault.failed == 0) break;
    const bool is_left = holdings() != held;
    const std::string which = std::string(fault.what) + ", call " + std::to_string(n) + ", a signal: ";
    ++row.runs;
    if (error) bad(row.unusable, which + describe(error));
    if (is_left) bad(row.leaked, which + "something is left");
    if (subject.state() != state) bad(row.corrupt, which + "something is not as it was");
  }
  f4.add(name + ", signals", row);
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

// So many pages more than now may be mapped; under a sanitizer, which maps as it likes, any.
class PageLimit {
 public:
#if defined(__SANITIZE_ADDRESS__)
  static constexpr bool is_kept = false;
#else
  static constexpr bool is_kept = true;
#endif
  explicit PageLimit(unsigned more) noexcept;
  ~PageLimit();
  PageLimit(const PageLimit&) = delete;
  PageLimit& operator=(const PageLimit&) = delete;

 private:
  std::uint64_t before_;
};

// The call under each of these limits: it succeeds, or its error is of the limit, as `is_of_it(error)` says.
template <class Limit, class Subject, class Ask>
std::uint64_t run_out(const std::string& name, Subject&& subject, std::span<const unsigned> limits, const char* unit,
                      Ask&& is_of_it) {
  Row row{.fault = "F6"};
  std::uint64_t failed = 0;
  const auto bad = [&](std::uint64_t& count, const std::string& what) { ++count, complain(name, what); };
  for (const unsigned more : limits) {
    const auto state = subject.state();
    const Holdings held = holdings();
    Error error;
    {
      const Limit limit(more);
      error = subject.call();
    }
    const bool is_left = holdings() != held;
    const std::string which = std::to_string(more) + unit;
    ++row.runs;
    failed += static_cast<bool>(error);
    if (error && !is_of_it(error)) bad(row.unusable, which + describe(error));
    if (is_left) bad(row.leaked, which + "something is left");
    if (subject.state() != state) bad(row.corrupt, which + "something is not as it was");
    if (const Error again = subject.call(); again) bad(row.unusable, which + "and then: " + describe(again));
  }
  f6.add(name, row);
  return failed;
}

template <class Subject>
void run_out_of_files(const std::string& name, Subject&& subject) {
  static constexpr unsigned limits[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  run_out<FileLimit>(name, subject, limits, " files: ", [&](const Error& error) {
    if constexpr (requires { subject.tells_limit(error); }) return subject.tells_limit(error);
    return error.code == ErrorCode::limit_reached && error.os_error == EMFILE;
  });
}
// Of a call that maps something, less than 16 MiB.
template <class Subject>
void run_out_of_pages(const std::string& name, Subject&& subject) {
  static constexpr unsigned limits[] = {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
  const Error unasked = subject.call();  // and its stack is as long as it will be
  const auto tells_it = [](const Error& e) { return e.code == ErrorCode::out_of_memory && e.os_error == ENOMEM; };
  const std::uint64_t failed = run_out<PageLimit>(name + ", pages", subject, limits, " pages: ", tells_it);
  const bool is_felt = failed != 0 && failed != std::size(limits);
  if (unasked || is_felt != PageLimit::is_kept) ++f6.unusable, complain(name, "no limit makes a difference");
}

// The subjects, a source each.
void sweep_backings();
void sweep_gpus();
void sweep_layers();
void sweep_sharing();

}  // namespace freestone::tests
