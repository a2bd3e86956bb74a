// The command line.
#pragma once

#include <string>
#include <vector>

namespace bibench {

struct Options {
  std::string model;
  std::vector<int> threads{1};
  std::vector<int> cpus;
  std::vector<std::string> inputs, outputs;
  std::string dump, dump_dir;
  bool per_op = false, info = false, serve = false, version = false, help = false;
  double min_time = 1.0;
  int min_runs = 10, warmup = 3;
};

Options parse_options(int count, char** words);
extern const char kUsage[];

}  // namespace bibench
