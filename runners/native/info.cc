#include "info.h"

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "json.h"

namespace bibench {
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
      if (counts[k] > 0) printf("%s\"%s\":%u", comma, opcode_name(k), counts[k]), comma = ",";
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
