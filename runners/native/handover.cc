#include "handover.h"

#include <algorithm>
#include <chrono>

namespace bibench {
namespace {

// Threads of which any two may be the pair: several pairs are seen. All of it takes a tenth of a millisecond.
constexpr int kRounds = 20, kExchanges = 50;
// A thread that waits in vain for so long, some 100 µs, has no core beside it.
constexpr int kPatience = 1 << 16;
constexpr int kGivenUp = -1;

double now_ns() {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Exchange {
  alignas(64) std::atomic<int> step{0};

  bool reaches(int wanted) {
    for (int spins = 0; spins < kPatience; spins++) {
      const int found = step.load(std::memory_order_acquire);
      if (found == wanted) return true;
      if (found == kGivenUp) return false;
    }
    step.store(kGivenUp, std::memory_order_relaxed);
    return false;
  }

  // Of one handover; 0 where the other thread does not answer. The first pair is left out: it waits for a thread to come.
  double serve() {
    double begun = 0;
    for (int i = 0; i < kExchanges; i++) {
      if (i == 1) begun = now_ns();
      step.store(2 * i + 1, std::memory_order_release);
      if (!reaches(2 * i + 2)) return 0;
    }
    return (now_ns() - begun) / (2 * (kExchanges - 1));
  }

  void answer() {
    for (int i = 0; i < kExchanges && reaches(2 * i + 1); i++) step.store(2 * i + 2, std::memory_order_release);
  }
};

}  // namespace

double handover_ns(Pool& pool) {
  if (pool.threads() < 2) return 0;
  std::vector<double> seen;
  for (int round = 0; round < kRounds; round++) {
    Exchange exchange;
    double took = 0;
    pool.run(2, [&](int64_t tile) {
      if (tile == 0) took = exchange.serve();
      else exchange.answer();
    });
    if (took > 0) seen.push_back(took);
  }
  if (seen.empty()) return 0;
  std::nth_element(seen.begin(), seen.begin() + ptrdiff_t(seen.size() / 2), seen.end());
  return seen[seen.size() / 2];
}

}  // namespace bibench
