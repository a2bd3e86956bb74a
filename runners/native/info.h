// What this machine is and what a model holds, as a JSON line on stdout.
#pragma once

#include "engine.h"

namespace bibench {

// Without an engine: the machine alone.
void print_info(const Engine* engine);

}  // namespace bibench
