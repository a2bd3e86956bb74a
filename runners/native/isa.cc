// The one place where a kernel is chosen.
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__arm__) && defined(__ARM_NEON)
#include <sys/auxv.h>
#endif

#include "error.h"
#include "kernels.h"

namespace bibench {
namespace {

struct Choice {
  const Kernels* kernels;
  bool supported;
};

#if defined(__x86_64__)
// Asked of the CPU itself: __builtin_cpu_supports() answers no to everything in a static musl build by zig.
struct X86 {
  bool avx2 = false, avx512 = false;

  X86() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool fma = c >> 12 & 1, saves = c >> 27 & 1;
    if (!saves) return;
    unsigned low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    const bool ymm = (low & 0x06) == 0x06, zmm = (low & 0xe6) == 0xe6;  // that the system keeps when it switches
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    avx2 = ymm && fma && (b >> 5 & 1);
    const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    avx512 = avx2 && zmm && (b & f_dq_bw_vl) == f_dq_bw_vl && (c >> 14 & 1);  // VPOPCNTDQ
  }
};
#endif

}  // namespace

const Kernels& choose_kernels() {
#if defined(__x86_64__)
  const X86 cpu;
#elif defined(__arm__) && defined(__ARM_NEON)
  const bool neon = getauxval(AT_HWCAP) >> 12 & 1;  // HWCAP_NEON
#endif
  // Fastest first.
  const Choice choices[] = {
#if defined(__x86_64__)
      {&kAvx512, cpu.avx512},
      {&kAvx2, cpu.avx2},
#elif defined(__aarch64__)
      {&kNeon, true},
#elif defined(__arm__) && defined(__ARM_NEON)
      {&kNeon, neon},
#endif
      {&kPortable, true},
  };
  const char* wanted = getenv("BIBENCH_ISA");
  const bool any = wanted == nullptr || *wanted == 0;
  for (const Choice& choice : choices) {
    if (any ? choice.supported : strcmp(wanted, choice.kernels->name) == 0) {
      if (!choice.supported) fail("BIBENCH_ISA=%.40s: this CPU does not have it", wanted);
      return *choice.kernels;
    }
  }
  fail("BIBENCH_ISA=%.40s: no such kernel in this build", wanted);
}

}  // namespace bibench
