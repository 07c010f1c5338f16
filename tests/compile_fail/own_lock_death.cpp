// expects: This lies in one process, and nobody here hears a Lock that tells of dead holders: take another.
#include <freestone/heap/timeline.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/os/process_shared.hpp>

#ifdef ACCEPT
using Lock = freestone::lock::Mutex;
#else
using Lock = freestone::lock::ProcessShared;
#endif

void use() { freestone::Timeline<Lock> timeline; }
