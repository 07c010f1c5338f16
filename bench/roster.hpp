// Every strategy that the benches compare: one line each.
#pragma once

#include <boost/hana/tuple.hpp>
#include <string_view>

#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/system.hpp>

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

  // The type's last component, with its template arguments.
  constexpr std::string_view name() const {
    const auto colon = type.substr(0, type.find('<')).rfind(':');
    return colon == std::string_view::npos ? type : type.substr(colon + 1);
  }
};

inline constexpr auto roster = boost::hana::make_tuple(
    Entry<strategy::Bitmap>{"freestone::strategy::Bitmap", "freestone/strategy/bitmap.hpp"},
    Entry<strategy::Buddy>{"freestone::strategy::Buddy", "freestone/strategy/buddy.hpp"},
    Entry<strategy::AllOrNothing>{"freestone::strategy::AllOrNothing", "freestone/strategy/all_or_nothing.hpp"},
    Entry<strategy::System>{"freestone::strategy::System", "freestone/strategy/system.hpp"}
#ifdef FREESTONE_WITH_HEADER
    ,
    Entry<freestone_with::Type>{FREESTONE_TEXT(FREESTONE_WITH_TYPE), FREESTONE_WITH_HEADER}
#endif
);

}  // namespace freestone::bench
