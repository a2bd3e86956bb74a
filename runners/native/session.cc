#include "session.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>

#include "error.h"
#include "files.h"
#include "json.h"

namespace bibench {
namespace {

// A name that may be anything, as part of a file's name.
std::string file_name(const char* name) {
  std::string result;
  for (; *name != 0; name++) {
    const bool plain = (*name >= '0' && *name <= '9') || (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z');
    result += plain || *name == '-' || (*name == '.' && !result.empty()) ? *name : '_';
  }
  return result.substr(0, 120);
}

}  // namespace

void read_inputs(const Engine& engine, const std::vector<std::string>& files) {
  const std::vector<uint32_t>& ids = engine.model().inputs();
  if (files.size() != 1 && files.size() != ids.size()) fail("the model has %zu inputs, not %zu", ids.size(), files.size());
  size_t next = 0;
  File file;
  for (uint32_t id : ids) {
    if (next < files.size()) file = open_file(files[next++], "rb");
    const size_t count = size_t(engine.model().elements(id));
    if (fread(engine.buffer(id).data, 4, count, file.get()) != count)
      fail("%s: shorter than input %.80s, %zu floats", files[next - 1].c_str(), engine.model().name(id), count);
    const bool ends = files.size() > 1 || id == ids.back();
    if (ends && fgetc(file.get()) != EOF) fail("%s: longer than the model's input", files[next - 1].c_str());
  }
}

void write_outputs(const Engine& engine, const std::vector<std::string>& files) {
  const std::vector<uint32_t>& ids = engine.model().outputs();
  if (files.size() != 1 && files.size() != ids.size()) fail("the model has %zu outputs, not %zu", ids.size(), files.size());
  std::deque<NewFile> written;
  for (uint32_t id : ids) {
    if (written.size() < files.size()) {
      if (!written.empty()) written.back().close();
      written.emplace_back(files[written.size()]);
    }
    written.back().write(engine.buffer(id).floats(), size_t(engine.model().elements(id)));
  }
  written.back().close();
  for (NewFile& file : written) file.keep();
}

void fill_inputs(const Engine& engine) {
  uint32_t state = 1;
  for (uint32_t id : engine.model().inputs())
    for (uint64_t i = 0; i < engine.model().elements(id); i++) {
      state = state * 1664525u + 1013904223u;
      engine.buffer(id).floats()[i] = float(int32_t(state)) * (1.0f / 2147483648.0f);
    }
}

void run_and_dump(Engine& engine, Pool& pool, const std::string& name, const std::string& folder) {
  const Model& m = engine.model();
  size_t count = 0;
  const auto dump = [&](uint32_t id) {
    if (id == bbm::kNone || (name != "all" && name != m.name(id))) return;
    const std::vector<float> values = engine.values(id);
    char number[16];
    snprintf(number, sizeof number, "%05u-", id);
    const std::string file = (name == "all" ? number : "") + file_name(m.name(id)) + ".raw";
    NewFile written(folder + "/" + file);
    written.write(values.data(), values.size());
    written.close();
    written.keep();
    const uint32_t* d = m.tensor(id).dims;
    printf("{\"tensor\":%s,\"id\":%u,\"dims\":[%u,%u,%u,%u],\"file\":%s}\n", quoted(m.name(id)).c_str(), id, d[0], d[1],
           d[2], d[3], quoted(file.c_str()).c_str());
    count++;
  };
  for (uint32_t id : m.inputs()) dump(id);
  for (uint32_t i = 0; i < m.operators(); i++) {
    engine.run_operator(i, pool);
    for (uint32_t id : m.op(i).out) dump(id);
  }
  if (count == 0) fail("the model has no tensor '%.200s'", name.c_str());
}

void serve(Engine& engine, Pool& pool) {
  char line[8192];
  while (fgets(line, sizeof line, stdin) != nullptr) {
    line[strcspn(line, "\r\n")] = 0;
    if (strcmp(line, "quit") == 0) return;
    // Paths are parted by a tab, or by a space where they hold none.
    char* rest = line + 4;
    char* middle = strncmp(line, "run ", 4) != 0 ? nullptr : strchr(rest, '\t') ? strchr(rest, '\t') : strchr(rest, ' ');
    if (middle == nullptr) {
      printf("error expected: run INPUT OUTPUT\n");
    } else {
      *middle = 0;
      try {
        read_inputs(engine, {rest});
        const auto start = std::chrono::steady_clock::now();
        engine.run(pool);
        const auto time = std::chrono::steady_clock::now() - start;
        write_outputs(engine, {middle + 1});
        printf("ok %lld\n", (long long)std::chrono::nanoseconds(time).count());
      } catch (const Error& error) {
        printf("error %s\n", error.what());
      }
    }
    fflush(stdout);
  }
}

}  // namespace bibench
