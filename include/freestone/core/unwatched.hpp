// Before a function that looks at bytes which a tool was told nobody may touch: ASan and MSan look away in it. It calls
// nothing, for what it calls is watched, and its accesses are volatile, so that no compiler makes a memcpy of them.
#pragma once

#if defined(__clang__)
#define FREESTONE_UNWATCHED __attribute__((no_sanitize("address", "memory")))
#else
#define FREESTONE_UNWATCHED __attribute__((no_sanitize("address")))
#endif
