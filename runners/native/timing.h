// Measuring, as JSON lines on stdout.
#pragma once

#include "engine.h"
#include "options.h"

namespace bibench {

void measure(Engine& engine, const Options& options);
void measure_operators(Engine& engine, const Options& options);

}  // namespace bibench
