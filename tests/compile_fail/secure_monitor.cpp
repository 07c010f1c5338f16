// expects: A secure monitor must have Errno call(const MonitorCallV1&) noexcept
#include <freestone/device/ion/secure_heap.hpp>
#include <freestone/lock/none.hpp>

namespace device = freestone::device;

struct Mine {
#ifdef ACCEPT
  device::Errno call(const device::MonitorCallV1&) noexcept { return device::Errno::none; }
#else
  device::Errno call(const device::MonitorCallV1&) { return device::Errno::none; }
#endif
};

template class device::SecureHeap<Mine, Mine, freestone::lock::None>;
