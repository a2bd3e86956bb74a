#include "timing.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include <sys/resource.h>

namespace bibench {
namespace {

const char* const kOpcodeNames[] = {"map",   "bconv", "conv",    "dwconv", "expand_bits", "max_pool", "avg_pool", "reduce", "binary",
                                    "unary", "concat", "softmax", "pad",   "slice",       "reshape",  "transpose", "matmul"};
static_assert(sizeof kOpcodeNames / sizeof *kOpcodeNames == bbm::kOpcodes, "one name an opcode");

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string quoted(const char* text) {
  std::string result = "\"";
  for (; *text != 0; text++) {
    if (*text == '"' || *text == '\\') result += '\\';
    if (uint8_t(*text) >= 32) result += *text;
  }
  return result + '"';
}

// Of this process, in bytes; 0 where it can't be told.
uint64_t peak_resident() {
#if defined(__APPLE__)
  rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? uint64_t(usage.ru_maxrss) : 0;
#else
  // Not ru_maxrss, which on Linux keeps what the process was before exec.
  unsigned long long kilobytes = 0;
  if (FILE* file = fopen("/proc/self/status", "r")) {
    char line[256];
    while (fgets(line, sizeof line, file) != nullptr)
      if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1) break;
    fclose(file);
  }
  return uint64_t(kilobytes) * 1024;
#endif
}

// What this process used so far, as members of a JSON object; nothing where the system does not tell.
std::string used() {
  rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return "";
  char text[256];
  snprintf(text, sizeof text,
           ",\"page_faults_minor\":%ld,\"page_faults_major\":%ld,\"context_switches_voluntary\":%ld,"
           "\"context_switches_involuntary\":%ld",
           long(usage.ru_minflt), long(usage.ru_majflt), long(usage.ru_nvcsw), long(usage.ru_nivcsw));
  return text;
}

// Bytes of a tensor, as it is stored.
double stored_bytes(const Model& m, uint32_t id) {
  if (id == bbm::kNone) return 0;
  const bbm::Tensor& t = m.tensor(id);
  if (m.constant(id)) return double(t.data_size);
  if (t.dtype != bbm::kBits) return double(m.elements(id)) * 4;
  return double(t.dims[0]) * t.dims[1] * t.dims[2] * double(ceil_div(t.dims[3], 32)) * 4;
}

// Bytes that an operator has to read and write at least: each of its tensors once.
double moved_bytes(const Model& m, const bbm::Operator& op) {
  double bytes = 0;
  for (uint32_t id : op.in) bytes += stored_bytes(m, id);
  for (uint32_t id : op.out) bytes += stored_bytes(m, id);
  return bytes;
}

// Bytes in a nanosecond that these threads read of a buffer that no cache holds: the best of a few times.
double read_bandwidth(Pool& pool) {
  constexpr int64_t kWords = int64_t{8} << 20, kTile = int64_t{1} << 14;  // 64 MiB in tiles of 128 KiB
  std::vector<uint64_t> memory(size_t(kWords), 1);
  std::vector<uint64_t> sums(size_t(kWords / kTile));
  double best = 0;
  for (int times = 0; times < 5; times++) {
    const int64_t before = now();
    pool.run(kWords / kTile, [&](int64_t tile) {
      const uint64_t* from = memory.data() + tile * kTile;
      uint64_t sum[8] = {};
      for (int64_t i = 0; i < kTile; i += 8)
        for (int k = 0; k < 8; k++) sum[k] += from[i + k];
      for (uint64_t part : sum) sums[size_t(tile)] += part;
    });
    best = std::max(best, double(kWords) * 8 / double(now() - before));
  }
  uint64_t total = 0;
  for (uint64_t sum : sums) total += sum;
  return total == 0 ? 0 : best;  // it is not 0, but that is more than a compiler knows
}

// ±1 multiply-accumulates of a BCONV, whole words counted; 0 for others.
double binary_macs(const Model& m, const bbm::Operator& op) {
  if (op.opcode != bbm::kBConv) return 0;
  const uint32_t* w = m.tensor(op.in[bbm::kFilters]).dims;
  return double(m.elements(op.out[0] != bbm::kNone ? op.out[0] : op.out[1])) * w[1] * w[2] * double(ceil_div(w[3], 32)) * 32;
}

// Float multiply-accumulates of the operators that are made of them; 0 for others.
double float_macs(const Model& m, const bbm::Operator& op) {
  if (op.opcode == bbm::kMatMul) return double(m.elements(op.out[0])) * m.tensor(op.in[0]).dims[3];
  if (op.opcode != bbm::kConv && op.opcode != bbm::kDwConv) return 0;
  const uint32_t* w = m.tensor(op.in[bbm::kFilters]).dims;
  const double taps = double(w[1]) * w[2] * (op.opcode == bbm::kConv ? w[3] : 1);
  return double(m.elements(op.out[0] != bbm::kNone ? op.out[0] : op.out[1])) * taps;
}

int64_t median(std::vector<int64_t> values) {
  std::nth_element(values.begin(), values.begin() + ptrdiff_t(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace

void measure(Engine& engine, const Options& options) {
  fill_inputs(engine);
  for (int threads : options.threads) {
    Pool pool(threads, options.cpus);
    for (int i = 0; i < options.warmup; i++) engine.run(pool);
    std::vector<int64_t> samples;
    const int64_t start = now();
    while (int(samples.size()) < options.min_runs || double(now() - start) < options.min_time * 1e9) {
      const int64_t before = now();
      engine.run(pool);
      samples.push_back(now() - before);
    }
    printf("{\"threads\":%d,\"workers\":%d,\"kernel\":\"%s\",\"median_ns\":%lld,\"peak_rss_bytes\":%llu,\"arena_bytes\":%llu%s,\"samples_ns\":[",
           threads, pool.threads(), engine.kernels().name, (long long)median(samples), (unsigned long long)peak_resident(),
           (unsigned long long)engine.arena_bytes(), used().c_str());
    for (size_t i = 0; i < samples.size(); i++) printf("%s%lld", i ? "," : "", (long long)samples[i]);
    printf("]}\n");
    fflush(stdout);
  }
}

void measure_operators(Engine& engine, const Options& options) {
  fill_inputs(engine);
  const uint32_t count = engine.model().operators();
  for (int threads : options.threads) {
    Pool pool(threads, options.cpus);
    for (int i = 0; i < options.warmup; i++) engine.run(pool);
    const double bandwidth = read_bandwidth(pool);
    std::vector<std::vector<int64_t>> samples(count);
    // What this core can do at best, measured between the operators: a clock that changes changes both.
    std::vector<int64_t> ceiling, float_ceiling;
    double ceiling_macs = 0, float_ceiling_macs = 0;
    const int64_t start = now();
    for (int runs = 0; runs < options.min_runs || double(now() - start) < options.min_time * 1e9; runs++) {
      const int64_t ceiling_start = now();
      ceiling_macs = engine.kernels().ceiling(8000);
      ceiling.push_back(now() - ceiling_start);
      const int64_t float_ceiling_start = now();
      float_ceiling_macs = engine.kernels().float_ceiling(8000);
      float_ceiling.push_back(now() - float_ceiling_start);
      for (uint32_t i = 0; i < count; i++) {
        const int64_t before = now();
        engine.run_operator(i, pool);
        samples[i].push_back(now() - before);
      }
    }
    const double per_ns = ceiling_macs / double(median(ceiling)) * pool.threads();
    const double float_per_ns = float_ceiling_macs / double(median(float_ceiling)) * pool.threads();
    for (uint32_t i = 0; i < count; i++) {
      const bbm::Operator& op = engine.model().op(i);
      printf("{\"threads\":%d,\"operator\":%u,\"name\":%s,\"opcode\":\"%s\",\"median_ns\":%lld,\"min_ns\":%lld", threads, i,
             quoted(engine.model().text(op.name)).c_str(), kOpcodeNames[op.opcode], (long long)median(samples[i]),
             (long long)*std::min_element(samples[i].begin(), samples[i].end()));
      printf(",\"bytes\":%.0f,\"read_gbs\":%.2f", moved_bytes(engine.model(), op), bandwidth);
      const double macs = binary_macs(engine.model(), op);
      if (macs > 0)
        printf(",\"binary_macs\":%.0f,\"ceiling_gmacs\":%.1f,\"percent_of_ceiling\":%.1f", macs, per_ns,
               100 * macs / double(median(samples[i])) / per_ns);
      const double floats = float_macs(engine.model(), op);
      if (floats > 0)
        printf(",\"float_macs\":%.0f,\"ceiling_gmacs\":%.1f,\"percent_of_ceiling\":%.1f", floats, float_per_ns,
               100 * floats / double(median(samples[i])) / float_per_ns);
      printf("}\n");
    }
    fflush(stdout);
  }
}

namespace {

// The first "model name", "Hardware" or implementer and part that the system tells.
std::string cpu_name() {
  std::string implementer, part;
  if (FILE* file = fopen("/proc/cpuinfo", "r")) {
    char line[1024];
    while (fgets(line, sizeof line, file) != nullptr) {
      line[strcspn(line, "\n")] = 0;
      const char* value = strchr(line, ':');
      if (value == nullptr) continue;
      value += value[1] == ' ' ? 2 : 1;
      if (strncmp(line, "model name", 10) == 0) {
        fclose(file);
        return value;
      }
      if (strncmp(line, "CPU implementer", 15) == 0 && implementer.empty()) implementer = value;
      if (strncmp(line, "CPU part", 8) == 0 && part.find(value) == std::string::npos) part += (part.empty() ? "" : "+") + std::string(value);
    }
    fclose(file);
  }
  return implementer.empty() ? "unknown" : "implementer " + implementer + " part " + part;
}

// CPUs grouped by the highest clock that cpufreq grants: big and little clusters.
std::string clusters(int cores) {
  std::string result;
  long last = -1;
  for (int cpu = 0; cpu < cores; cpu++) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/cpuinfo_max_freq", cpu);
    long kilohertz = 0;
    if (FILE* file = fopen(path, "r")) {
      if (fscanf(file, "%ld", &kilohertz) != 1) kilohertz = 0;
      fclose(file);
    }
    if (kilohertz != last) {
      char open[64];
      snprintf(open, sizeof open, "%s{\"max_khz\":%ld,\"cpus\":[", result.empty() ? "" : "]},", kilohertz);
      result += open;
    } else {
      result += ',';
    }
    last = kilohertz;
    result += std::to_string(cpu);
  }
  return result.empty() ? result : result + "]}";
}

}  // namespace

void print_info(const Engine* engine) {
  const int cores = int(std::thread::hardware_concurrency());
  printf("{\"cpu\":%s,\"cores\":%d,\"clusters\":[%s],\"kernel\":\"%s\"", quoted(cpu_name().c_str()).c_str(), cores,
         clusters(cores).c_str(), choose_kernels().name);
  if (engine != nullptr) {
    const Model& m = engine->model();
    uint32_t counts[bbm::kOpcodes] = {};
    for (uint32_t i = 0; i < m.operators(); i++) counts[m.op(i).opcode]++;
    printf(",\"operators\":{");
    const char* comma = "";
    for (uint32_t k = 0; k < bbm::kOpcodes; k++)
      if (counts[k] > 0) printf("%s\"%s\":%u", comma, kOpcodeNames[k], counts[k]), comma = ",";
    printf("},\"arena_bytes\":%llu", (unsigned long long)engine->arena_bytes());
    const auto list = [&](const char* key, const std::vector<uint32_t>& ids) {
      printf(",\"%s\":[", key);
      for (size_t i = 0; i < ids.size(); i++) {
        const uint32_t* d = m.tensor(ids[i]).dims;
        printf("%s{\"name\":%s,\"dims\":[%u,%u,%u,%u]}", i ? "," : "", quoted(m.name(ids[i])).c_str(), d[0], d[1], d[2], d[3]);
      }
      printf("]");
    };
    list("inputs", m.inputs());
    list("outputs", m.outputs());
  }
  printf("}\n");
}

}  // namespace bibench
