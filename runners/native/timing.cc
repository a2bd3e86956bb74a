#include "timing.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include <sys/resource.h>

#include "cost.h"
#include "handover.h"
#include "json.h"
#include "session.h"

namespace bibench {
namespace {

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
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

// As a member of a JSON object; nothing where it can't be told.
std::string handover(Pool& pool) {
  const double took = handover_ns(pool);
  char text[64] = "";
  if (took > 0) snprintf(text, sizeof text, ",\"handover_ns\":%.1f", took);
  return text;
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
           (unsigned long long)engine.arena_bytes(), (used() + handover(pool)).c_str());
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
             quoted(engine.model().text(op.name)).c_str(), opcode_name(op.opcode), (long long)median(samples[i]),
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

}  // namespace bibench
