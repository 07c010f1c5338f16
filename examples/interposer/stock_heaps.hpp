// A board's heaps, of the types that devices tell apart. Compiled once, in stock_heaps.cpp: they take longer than all that uses
// them.
#pragma once

#include <freestone/device/os/stock_kinds.hpp>
#include <freestone/heap/os/runtime_heaps.hpp>

namespace freestone {

extern template class RuntimeHeaps<void, device::StockKinds>;

namespace linux_user {

using StockHeaps = RuntimeHeaps<void, device::StockKinds>;

}  // namespace linux_user
}  // namespace freestone
