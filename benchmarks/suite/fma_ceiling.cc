// What one core can do at best in float32: nothing but multiply-adds on registers. Prints GMAC/s (10⁹ multiply-adds a second).
// Compiled once for each instruction set: BIBENCH_LANES floats a vector, with fused multiply-add where the flags say so.
#include <chrono>
#include <cstdint>
#include <cstdio>

typedef float Vector __attribute__((vector_size(BIBENCH_LANES * 4)));

#if defined(__x86_64__)
#define BIBENCH_HIDE(v) asm volatile("" : "+x"(v))
#else
#define BIBENCH_HIDE(v) asm volatile("" : "+w"(v))
#endif

// Independent chains: more than latency (4) × units (2), few enough for 16 registers with x, w and a product.
constexpr int kSums = 12;

// BIBENCH_HIDE makes a register seem new at the cost of no instruction: no compiler can take the loop apart.
static float rounds(int64_t count) {
  Vector sum[kSums] = {}, x = {}, w = {};
  for (Vector& s : sum) BIBENCH_HIDE(s);
#pragma GCC unroll 4
  for (int64_t r = 0; r < count; r++) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; i++) {
      BIBENCH_HIDE(x);
      sum[i] += x * w;
    }
  }
  float total = 0;
  for (const Vector& s : sum)
    for (int lane = 0; lane < BIBENCH_LANES; lane++) total += s[lane];
  return total;
}

int main() {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kCount = 200000;
  float keep = rounds(kCount);  // warms up
  double best = 0;
  // The best of short runs: a run that was interrupted says nothing of the core.
  for (int run = 0; run < 20; run++) {
    const auto start = Clock::now();
    keep += rounds(kCount);
    const double ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    const double rate = double(kCount) * kSums * BIBENCH_LANES / ns;
    best = rate > best ? rate : best;
  }
  printf("%.3f\n", best);
  return keep == 12345.0f;
}
