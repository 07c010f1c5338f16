// Core, the policies that need no operating system, and the zone. What needs one lies in an os/ folder of its layer.
#pragma once

#include <freestone/backing/borrowed.hpp>
#include <freestone/backing/offset_space.hpp>
#include <freestone/backing/with_notes.hpp>
#include <freestone/cache/coherent.hpp>
#include <freestone/cache/uncached.hpp>
#include <freestone/core/address.hpp>
#include <freestone/core/platform.hpp>
#include <freestone/core/word_claim.hpp>
#include <freestone/lock/none.hpp>
#include <freestone/lock/spin.hpp>
#include <freestone/strategy/all_or_nothing.hpp>
#include <freestone/strategy/best_fit.hpp>
#include <freestone/strategy/bitmap.hpp>
#include <freestone/strategy/buddy.hpp>
#include <freestone/strategy/eighths.hpp>
#include <freestone/strategy/elastic.hpp>
#include <freestone/strategy/order_list.hpp>
#include <freestone/strategy/segregated.hpp>
#include <freestone/strategy/snapshot.hpp>
#include <freestone/strategy/system.hpp>
#include <freestone/strategy/trimmed_buddy.hpp>
#include <freestone/zone/layers/sized.hpp>
#include <freestone/zone/zone.hpp>
