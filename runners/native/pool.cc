#include "pool.h"

#include "error.h"

#if defined(__linux__)
#include <sched.h>
#endif
#include <system_error>

namespace bibench {
namespace {

// Between two layers lie microseconds: workers wait awake for so long. They have a core each.
constexpr int kSpins = 4000;
constexpr int kTileBits = 24;
constexpr int64_t kMaxTiles = (1 << 23);  // leaves room for the takes that come too late
constexpr uint64_t kTileMask = (uint64_t{1} << kTileBits) - 1;

uint64_t tiles_of(uint64_t ticket) { return (ticket >> kTileBits) & kTileMask; }
uint64_t generation_of(uint64_t ticket) { return ticket >> (2 * kTileBits); }

// Whether the system lets the calling thread run on this CPU alone, as it does from now on.
bool pin(int cpu) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
#else
  (void)cpu;
  return false;
#endif
}

// CPUs that this process may run on, which taskset or a container may make fewer than the machine has; 0: unknown.
int usable_cpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return int(std::thread::hardware_concurrency());
}

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  asm volatile("yield");
#endif
}

}  // namespace

Pool::Pool(int threads, const std::vector<int>& cpus) {
  // A thread beyond the cores could only take one from another thread, which would then be waited for.
  const int cores = cpus.empty() ? usable_cpus() : int(cpus.size());
  const int used = cores > 0 && cores < threads ? cores : threads;
  // Each is tried here, where a failure can be told; this thread stays on the first.
  for (size_t i = cpus.empty() ? 0 : size_t(used); i-- > 0;)
    if (!pin(cpus[i])) fail("--cpus: the system lets no thread of this process be pinned to CPU %d", cpus[i]);
  try {
    for (int i = 1; i < used; i++)
      workers_.emplace_back([this, i, cpus] {
        if (!cpus.empty()) pin(cpus[size_t(i)]);
        work();
      });
  } catch (const std::system_error& error) {
    stop();  // a thread that runs must be joined before it may be forgotten
    fail("--threads: the system starts no more than %zu threads: %s", workers_.size() + 1, error.what());
  }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool Pool::take_one() {
  // Each thread fails once a job, so the tile field overruns by the number of threads at most.
  const uint64_t ticket = ticket_.fetch_add(1, std::memory_order_acq_rel);
  const uint64_t tile = ticket & kTileMask;
  if (tile >= tiles_of(ticket)) return false;
  // The job of this ticket can't be over before this tile is, so these are its own.
  call_.load(std::memory_order_relaxed)(context_.load(std::memory_order_relaxed), int64_t(tile));
  done_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

void Pool::start(int64_t n, Call call, const void* context) {
  for (int64_t first = 0; first < n; first += kMaxTiles) {
    struct Shifted {
      Call call;
      const void* context;
      int64_t first;
    } shifted{call, context, first};
    const int64_t tiles = n - first < kMaxTiles ? n - first : kMaxTiles;
    done_.store(0, std::memory_order_relaxed);
    call_.store([](const void* c, int64_t i) {
      const Shifted* s = static_cast<const Shifted*>(c);
      s->call(s->context, s->first + i);
    }, std::memory_order_relaxed);
    context_.store(&shifted, std::memory_order_relaxed);
    const uint64_t generation = (generation_of(ticket_.load(std::memory_order_relaxed)) + 1) & 0xffff;
    ticket_.store(generation << (2 * kTileBits) | uint64_t(tiles) << kTileBits, std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_all();
    }
    while (take_one()) {}
    for (int spin = 0; done_.load(std::memory_order_acquire) != tiles; spin++)
      if (spin < kSpins) pause();
      else std::this_thread::yield();
  }
}

void Pool::work() {
  uint64_t seen = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    const uint64_t ticket = ticket_.load(std::memory_order_seq_cst);
    if (generation_of(ticket) != seen) {
      seen = generation_of(ticket);
      while (take_one()) {}
      continue;
    }
    bool found = false;
    for (int spin = 0; spin < kSpins && !found; spin++) {
      pause();
      found = generation_of(ticket_.load(std::memory_order_relaxed)) != seen || stop_.load(std::memory_order_relaxed);
    }
    if (found) continue;
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [&] {
      return stop_.load() || generation_of(ticket_.load(std::memory_order_seq_cst)) != seen;
    });
    asleep_.fetch_sub(1, std::memory_order_relaxed);
  }
}

}  // namespace bibench
