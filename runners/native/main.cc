// bibench-run: runs and measures a model on the device it was pushed to.
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <unistd.h>

#include "error.h"
#include "info.h"
#include "options.h"
#include "session.h"
#include "timing.h"

#ifndef BIBENCH_VERSION
#define BIBENCH_VERSION "0.1.0"
#endif

namespace {

void run(const bibench::Options& options) {
  using namespace bibench;
  if (options.help) return void(fputs(kUsage, stdout));
  if (options.version) return void(printf("bibench-run %s, .bbm version %u\n", BIBENCH_VERSION, bbm::kVersion));
  if (options.model.empty()) return print_info(nullptr);
  const Model model(options.model);
  Engine engine(model);
  if (options.info) return print_info(&engine);
  if (options.serve || !options.inputs.empty()) {
    Pool pool(options.threads[0], options.cpus);
    if (options.serve) return serve(engine, pool);
    read_inputs(engine, options.inputs);
    if (options.dump.empty()) engine.run(pool);
    else run_and_dump(engine, pool, options.dump, options.dump_dir);
    if (!options.outputs.empty()) write_outputs(engine, options.outputs);
    return;
  }
  if (options.per_op) measure_operators(engine, options);
  else measure(engine, options);
}

// A mapped page that can't be had: the file was cut off, or its medium fails, while it was in use.
extern "C" void lost_page(int) {
  static const char text[] = "bibench-run: the model's file was cut off or became unreadable while it was in use\n";
  (void)!write(STDERR_FILENO, text, sizeof text - 1);
  _exit(2);
}

}  // namespace

int main(int count, char** words) {
  signal(SIGBUS, lost_page);
  signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of writing it
  try {
    run(bibench::parse_options(count, words));
    if (fflush(stdout) != 0 || ferror(stdout)) bibench::fail("the output can't be written");
    return 0;
  } catch (const std::bad_alloc&) {
    fputs("bibench-run: not enough memory\n", stderr);
    return 2;
  } catch (const std::exception& error) {
    fprintf(stderr, "bibench-run: %s\n", error.what());
    return 2;
  }
}
