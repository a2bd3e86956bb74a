/* A plugin for QEMU's user mode: how many guest instructions were executed, appended to the file given as out=FILE.
 *
 *     gcc -O2 -shared -fPIC count_instructions.c -o count.so;  qemu-aarch64 -plugin ./count.so,out=FILE PROGRAM
 *
 * No distribution packages the plugin header, so the few prototypes that are needed stand here
 * (QEMU 7.2, docs/devel/tcg-plugins.rst, plugin API version 1). */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum { QEMU_PLUGIN_CB_NO_REGS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

static uint64_t executed[64]; /* per virtual CPU: no two threads write to one */
static char out[4096];

static void block_executed(unsigned cpu, void *instructions) { executed[cpu & 63] += (uintptr_t)instructions; }

static void block_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  void *instructions = (void *)(uintptr_t)qemu_plugin_tb_n_insns(tb);
  qemu_plugin_register_vcpu_tb_exec_cb(tb, block_executed, QEMU_PLUGIN_CB_NO_REGS, instructions);
}

static void finished(qemu_plugin_id_t id, void *data) {
  (void)id;
  (void)data;
  uint64_t total = 0;
  for (int cpu = 0; cpu < 64; cpu++) total += executed[cpu];
  FILE *file = fopen(out, "a");
  if (file == NULL) return; /* whoever asked finds no figure, and says so */
  fprintf(file, "%llu\n", (unsigned long long)total);
  fclose(file);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
  (void)info;
  for (int i = 0; i < argc; i++)
    if (strncmp(argv[i], "out=", 4) == 0) snprintf(out, sizeof out, "%s", argv[i] + 4);
  qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
  qemu_plugin_register_atexit_cb(id, finished, NULL);
  return out[0] == 0;
}
