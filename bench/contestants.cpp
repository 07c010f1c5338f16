#include "contestants.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/hana/for_each.hpp>

#include "failure.hpp"
#include "roster.hpp"

namespace freestone::bench {

namespace {

const Contestant* find(const Contestants& all, std::string_view name) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return one->contender().name == name; });
  return found == all.end() ? nullptr : found->get();
}

// A user's own `my::Bitmap` stays `my::Bitmap`: names tell contestants apart.
template <class S>
std::string name_beside(const Contestants& all, const Entry<S>& entry) {
  return std::string(find(all, entry.name()) == nullptr ? entry.name() : entry.type);
}

Contestants everyone() {
  Contestants all;
  boost::hana::for_each(roster, [&]<class S>(const Entry<S>& entry) {
    all.push_back(make_contestant<S>(name_beside(all, entry), std::string(entry.type), std::string(entry.header)));
  });
  return all;
}

void check_names(const Contestants& all, const std::vector<std::string>& names) {
  std::string known;
  for (const auto& one : all) known += (known.empty() ? "" : ", ") + one->contender().name;
  for (const std::string& name : names) {
    if (find(all, name) != nullptr) continue;
    throw BadInput(fmt::format("--strategies: unknown strategy '{}', expected some of {}", name, known));
  }
}

}  // namespace

Contestants pick_contestants(const std::vector<std::string>& names) {
  Contestants all = everyone();
  check_names(all, names);
  if (names.empty()) return all;
  std::erase_if(all, [&](const auto& one) {
    return std::find(names.begin(), names.end(), one->contender().name) == names.end();
  });
  return all;
}

}  // namespace freestone::bench
