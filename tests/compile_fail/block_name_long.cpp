// expects: A name is not longer than it may be.
#include <freestone/heap/block_name.hpp>

#ifdef ACCEPT
constexpr freestone::BlockName<> name = "123456789012345";
#else
constexpr freestone::BlockName<> name = "1234567890123456";
#endif

static_assert(name.length() == 15);
