// What several heaps say, in words.
#pragma once

#include <string>
#include <string_view>

#include <freestone/core/os/describe.hpp>
#include <freestone/heap/result.hpp>

namespace freestone {

inline std::string_view describe(Constraint failed) {
  switch (failed) {
    case Constraint::none: return "nothing failed";
    case Constraint::heaps: return "not in the mask";
    case Constraint::size: return "too small";
    case Constraint::alignment: return "cannot align so";
    case Constraint::boundary: return "crosses the boundary";
    case Constraint::address_limit: return "beyond the last address";
    case Constraint::cacheability: return "the CPU sees it otherwise";
    case Constraint::exportable: return "cannot be exported";
    case Constraint::reserve: return "keeps a reserve";
    case Constraint::space: return "no room";
    case Constraint::contiguous: return "in more blocks than there is room for";
    case Constraint::other: return "refused";
  }
  return "a constraint that this version does not know";
}

// no heap meets these constraints now: sensor (20): no room; codec (8): keeps a reserve; audio (28): not in the mask
inline std::string describe(const HeapError& error) {
  std::string text(describe(error.code));
  const char* between = ": ";
  for (const Refusal& refusal : error.refusals()) {
    text.append(between).append(refusal.name).append(" (").append(std::to_string(refusal.id)).append("): ");
    text += refusal.failed == Constraint::other ? describe(refusal.code) : describe(refusal.failed);
    between = "; ";
  }
  return text;
}

}  // namespace freestone
