// Measuring, as JSON lines on stdout.
#pragma once

#include "engine.h"
#include "options.h"
#include "session.h"

namespace bibench {

void measure(Engine& engine, const Options& options);
void measure_operators(Engine& engine, const Options& options);
void print_info(const Engine* engine);

}  // namespace bibench
