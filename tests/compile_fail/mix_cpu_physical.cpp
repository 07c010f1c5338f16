// expects g++: invalid conversion from 'freestone::CpuPointer'
// expects clang++: no matching constructor for initialization of 'freestone::PhysicalAddress'
#include <freestone/core/address.hpp>

using namespace freestone;

std::byte storage[16];
CpuPointer seen = storage;

#ifdef ACCEPT
PhysicalAddress where(0x1000);
#else
PhysicalAddress where(seen);
#endif
