// How near to each other the cores are that a pool's threads run on.
#pragma once

#include "pool.h"

namespace bibench {

// Nanoseconds that a cache line takes from one thread of the pool to another: some 30 where they share a cache, 150
// where they don't. A virtual machine's cores may be moved from the one to the other while it runs, and layers of
// microseconds become slower by half. 0 with one thread, and where another program had the core meanwhile.
double handover_ns(Pool& pool);

}  // namespace bibench
