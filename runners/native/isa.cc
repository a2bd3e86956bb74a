// The one place where a kernel is chosen.
#include <cstdlib>
#include <cstring>

#include "error.h"
#include "kernels.h"

namespace bibench {
namespace {

struct Choice {
  const Kernels* kernels;
  bool supported;
};

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vpopcntdq");
}
#endif

}  // namespace

const Kernels& choose_kernels() {
  // Fastest first.
  const Choice choices[] = {
#if defined(__x86_64__)
      {&kAvx512, has_avx512()},
      {&kAvx2, has_avx2()},
#elif defined(__aarch64__)
      {&kNeon, true},
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
