// The models that laws and zones are tried with, as Hana lists: what is added here is tried everywhere.
#pragma once

#include <string>

#include <boost/hana/cartesian_product.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

#include <freestone/cache/coherent.hpp>
#include <freestone/cache/os/modelled.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/cache/write_back.hpp>
#include <freestone/cache/write_combine.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/os/futex.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/os/process_shared.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/eighths.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/from_start.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/strategy/trimmed_buddy.hpp>
#include "support/caches.hpp"
#include "support/locks.hpp"
#include "support/strategies.hpp"

namespace freestone::tests {

// Says which types a check that failed was about.
template <class... Types>
std::string names_of() {
  return __PRETTY_FUNCTION__;
}

inline constexpr auto all_strategies =
    boost::hana::tuple_t<strategy::Bitmap, strategy::Buddy, strategy::AllOrNothing, strategy::System,
                         strategy::TrimmedBuddy, strategy::OrderList<strategy::Buddy, 8, 4, 0>, strategy::Segregated,
                         strategy::BestFit, MinimalStrategy, HostileStrategy>;
// Where a block goes is all that these do otherwise than another one, so a zone need not try them.
inline constexpr auto variants =
    boost::hana::tuple_t<strategy::BestFitHigh, strategy::BestFitTwoEnded, strategy::BestFitMmz, strategy::LazyBuddy,
                         strategy::BuddyEighths, strategy::BuddyEighthsTwoEnded,
                         strategy::BitmapBy<strategy::BitmapRule{.fit = strategy::Fit::best}>,
                         strategy::BitmapBy<strategy::BitmapRule{.start = strategy::Start::order}>,
                         strategy::Elastic<strategy::Bitmap>, strategy::FromStart<strategy::Buddy>, Ended<strategy::Bitmap>,
                         Ended<strategy::Buddy>>;
inline constexpr auto all_locks = boost::hana::tuple_t<lock::None, lock::Spin, YieldingTicketSpin, lock::Mutex,
                                                       lock::Futex, lock::ProcessShared, MinimalLock, HostileLock>;
inline constexpr auto all_caches =
    boost::hana::tuple_t<cache::Coherent, cache::Uncached, cache::WriteCombine, cache::WriteBack, cache::Modelled, MinimalCache, HostileCache>;

// Strategies x locks x caches. (The locks and the cache that are not here differ from others in nothing that a zone
// could notice.)
inline constexpr auto matrix = boost::hana::cartesian_product(boost::hana::make_tuple(
    all_strategies, boost::hana::tuple_t<lock::None, lock::Spin, lock::Mutex, lock::ProcessShared, HostileLock>,
    boost::hana::tuple_t<cache::Coherent, cache::Uncached, HostileCache>));

}  // namespace freestone::tests
