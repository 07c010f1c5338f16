// expects: a_name_has_no_0_inside
#include <freestone/heap/block_name.hpp>

#ifdef ACCEPT
constexpr freestone::BlockName<> name = "emac1";
#else
constexpr freestone::BlockName<> name = "ema\0c";
#endif

static_assert(name.length() == 5);
