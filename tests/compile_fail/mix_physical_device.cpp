// expects g++: from 'Address<freestone::PhysicalSpace>' to 'Address<freestone::DeviceSpace>'
// expects clang++: from 'Address<struct PhysicalSpace>' to 'Address<struct DeviceSpace>'
#include <freestone/core/address.hpp>

using namespace freestone;

DeviceAddress program(DeviceAddress where) { return where; }

#ifdef ACCEPT
DeviceAddress dma = program(DeviceAddress(0x1000));
#else
DeviceAddress dma = program(PhysicalAddress(0x1000));
#endif
