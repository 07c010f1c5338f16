#include "zones.hpp"

#include <algorithm>
#include <boost/hana/for_each.hpp>

#include "../roster.hpp"

namespace freestone::bench::workloads {

namespace {

template <class S>
struct ZoneFamily {
  template <class L>
  using Target = ZoneTarget<S, L>;
  static constexpr bool shares_itself = false;
  static constexpr bool bounded = S::places;

  static std::optional<std::string> obstacle(const Setting& setting) {
    if (S::footprint(Granules(setting.zone_bytes / granule)) > Model<S>::most_notes / 8)
      return "its notes would take more than " + human_bytes(Model<S>::most_notes);
    const bool alone = setting.kind == Kind::pair;
    if (!alone && !holds_two()) return "it holds one block at a time";
    return std::nullopt;
  }

 private:
  static bool holds_two() {
    Target<lock::None> target(1 << 20);
    return target.allocate({.size = granule}) != target.none && target.allocate({.size = granule}) != target.none;
  }
};

}  // namespace

Subjects zone_subjects(const Contestants& contestants) {
  Subjects subjects;
  boost::hana::for_each(roster, [&]<class S>(const Entry<S>& entry) {
    const auto found = std::find_if(contestants.begin(), contestants.end(),
                                    [&](const auto& one) { return one->contender().type == entry.type; });
    if (found == contestants.end()) return;
    subjects.push_back(std::make_unique<SubjectOf<ZoneFamily<S>>>(std::string(entry.type), (*found)->contender().name));
  });
  return subjects;
}

}  // namespace freestone::bench::workloads
