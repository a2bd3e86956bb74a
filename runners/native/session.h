// An engine with its inputs and outputs in files.
#pragma once

#include <string>
#include <vector>

#include "engine.h"

namespace bibench {

void read_inputs(const Engine& engine, const std::vector<std::string>& files);
void write_outputs(const Engine& engine, const std::vector<std::string>& files);
// Values that are neither all alike nor too regular, the same on every machine.
void fill_inputs(const Engine& engine);
// Runs operator by operator and writes the tensor of this name, or all, before their memory serves another.
void run_and_dump(Engine& engine, Pool& pool, const std::string& name, const std::string& folder);
void serve(Engine& engine, Pool& pool);

}  // namespace bibench
