#include "options.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "error.h"

namespace bibench {

const char kUsage[] =
    R"(usage: bibench-run MODEL.bbm [options]     measure: one JSON line per number of threads
       bibench-run MODEL.bbm --input X.raw --output Y.raw [--dump NAME|all --dump-dir DIR]
       bibench-run --info | --version

  --threads LIST    1,2,4 (default 1; execution and --serve use the first)
  --cpus LIST       pin threads to these CPUs, in turn
  --min-time S      measure for at least so many seconds (default 1)
  --min-runs N      and so many runs (default 10)
  --warmup N        runs before (default 3)
  --per-op          time every operator
  --input FILE      raw float32, little-endian, in the model's layout (NHWC): one file per input, or one with all
  --output FILE     the same for outputs; files are whole or not there
  --dump NAME       also write a tensor (bits as ±1), or all of them, to --dump-dir
  --serve           read "run INPUT OUTPUT" lines, answer "ok NANOSECONDS" or "error TEXT"; "quit" or the end stops
  --info            what this CPU has and what is chosen; with a model, what the model holds
BIBENCH_ISA=portable|avx2|avx512|neon overrides the choice of kernels.
)";

namespace {

double number(const char* option, const char* text, double low, double high) {
  char* end = nullptr;
  errno = 0;
  const double value = strtod(text, &end);
  if (end == text || *end != 0 || errno != 0 || !(value >= low && value <= high))
    fail("%s: '%.60s' is not a number from %g to %g", option, text, low, high);
  return value;
}

int whole(const char* option, const char* text, int low, int high) {
  const double value = number(option, text, low, high);
  if (value != std::floor(value)) fail("%s: '%.60s' is not a whole number", option, text);
  return int(value);
}

std::vector<int> list(const char* option, const char* text, int low, int high) {
  std::vector<int> values;
  std::string rest = text;
  for (size_t at = 0; at <= rest.size();) {
    const size_t comma = std::min(rest.find(',', at), rest.size());
    values.push_back(whole(option, rest.substr(at, comma - at).c_str(), low, high));
    at = comma + 1;
  }
  return values;
}

}  // namespace

Options parse_options(int count, char** words) {
  Options o;
  for (int i = 1; i < count; i++) {
    const std::string word = words[i];
    const auto value = [&]() -> const char* {
      if (i + 1 >= count) fail("%s needs a value", word.c_str());
      return words[++i];
    };
    if (word == "--threads") o.threads = list("--threads", value(), 1, 1024);
    else if (word == "--cpus") o.cpus = list("--cpus", value(), 0, 1023);
    else if (word == "--min-time") o.min_time = number("--min-time", value(), 0, 86400);
    else if (word == "--min-runs") o.min_runs = whole("--min-runs", value(), 1, 1000000);
    else if (word == "--warmup") o.warmup = whole("--warmup", value(), 0, 1000000);
    else if (word == "--input") o.inputs.push_back(value());
    else if (word == "--output") o.outputs.push_back(value());
    else if (word == "--dump") o.dump = value();
    else if (word == "--dump-dir") o.dump_dir = value();
    else if (word == "--per-op") o.per_op = true;
    else if (word == "--info") o.info = true;
    else if (word == "--serve") o.serve = true;
    else if (word == "--version") o.version = true;
    else if (word == "--help" || word == "-h") o.help = true;
    else if (word.size() > 1 && word[0] == '-') fail("unknown option %.60s (see --help)", word.c_str());
    else if (!o.model.empty()) fail("one model at a time, not also %.200s", word.c_str());
    else o.model = word;
  }
  if (o.model.empty() && !(o.info || o.version || o.help)) fail("which model? (see --help)");
  if (o.dump.empty() != o.dump_dir.empty()) fail("--dump and --dump-dir belong together");
  if (!o.outputs.empty() && o.inputs.empty()) fail("--output needs --input");
  for (const std::string& path : o.outputs)
    if (std::count(o.outputs.begin(), o.outputs.end(), path) > 1) fail("--output names %.200s twice", path.c_str());
  if (!o.dump.empty() && o.inputs.empty()) fail("--dump needs --input");
  return o;
}

}  // namespace bibench
