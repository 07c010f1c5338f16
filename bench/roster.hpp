// Every strategy that the benches compare: one line each.
#pragma once

#include <boost/hana/tuple.hpp>
#include <string_view>

#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/eighths.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/strategy/trimmed_buddy.hpp>

// `./dev bench --with HEADER TYPE` compiles these programs with two macros more.
#ifdef FREESTONE_WITH_HEADER
#include FREESTONE_WITH_HEADER

#define FREESTONE_TEXT_OF(...) #__VA_ARGS__
#define FREESTONE_TEXT(...) FREESTONE_TEXT_OF(__VA_ARGS__)

namespace freestone_with {
using Type = FREESTONE_WITH_TYPE;  // as the user wrote it: found from outside our namespaces
}
#endif

namespace freestone::bench {

template <class S>
struct Entry {
  using Strategy = S;
  std::string_view type;
  std::string_view header;
  std::string_view shown = {};  // where the type's own last component would say too little, or too much

  // What people call it: the type's last component, with its template arguments, unless something else is to be shown.
  constexpr std::string_view name() const {
    if (!shown.empty()) return shown;
    const auto colon = type.substr(0, type.find('<')).rfind(':');
    return colon == std::string_view::npos ? type : type.substr(colon + 1);
  }
};

inline constexpr auto roster = boost::hana::make_tuple(
    Entry<strategy::Segregated>{"freestone::strategy::Segregated", "freestone/strategy/segregated.hpp"},
    Entry<strategy::BestFit>{"freestone::strategy::BestFit", "freestone/strategy/best_fit.hpp"},
    Entry<strategy::BestFitTwoEnded>{"freestone::strategy::BestFitTwoEnded", "freestone/strategy/best_fit.hpp",
                                     "BestFit/two-ended"},
    Entry<strategy::Bitmap>{"freestone::strategy::Bitmap", "freestone/strategy/bitmap.hpp"},
    Entry<strategy::Buddy>{"freestone::strategy::Buddy", "freestone/strategy/buddy.hpp"},
    Entry<strategy::BuddyEighths>{"freestone::strategy::BuddyEighths", "freestone/strategy/eighths.hpp",
                                  "Eighths"},
    Entry<strategy::BuddyEighthsTwoEnded>{"freestone::strategy::BuddyEighthsTwoEnded",
                                          "freestone/strategy/eighths.hpp", "Eighths/two-ended"},
    Entry<strategy::LazyBuddy>{"freestone::strategy::LazyBuddy", "freestone/strategy/buddy.hpp"},
    Entry<strategy::TrimmedBuddy>{"freestone::strategy::TrimmedBuddy", "freestone/strategy/trimmed_buddy.hpp"},
    Entry<strategy::AllOrNothing>{"freestone::strategy::AllOrNothing", "freestone/strategy/all_or_nothing.hpp"},
    Entry<strategy::System>{"freestone::strategy::System", "freestone/strategy/system.hpp"}
#ifdef FREESTONE_WITH_HEADER
    ,
    Entry<freestone_with::Type>{FREESTONE_TEXT(FREESTONE_WITH_TYPE), FREESTONE_WITH_HEADER}
#endif
);

}  // namespace freestone::bench
