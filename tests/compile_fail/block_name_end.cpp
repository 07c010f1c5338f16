// expects: a_name_ends_with_a_0
#include <freestone/heap/block_name.hpp>

#ifdef ACCEPT
constexpr char text[] = {'a', 'b', '\0'};
#else
constexpr char text[] = {'a', 'b'};
#endif
constexpr freestone::BlockName<> name(text);

static_assert(!name.is_empty());
