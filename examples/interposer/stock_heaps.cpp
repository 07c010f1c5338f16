#include "stock_heaps.hpp"

template class freestone::RuntimeHeaps<void, freestone::device::StockKinds>;
