// Threads that take small tiles of work from one counter, so that a slow core never holds up a fast one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace bibench {

class Pool {
 public:
  // threads ≥ 1, the caller's included; no more of them than there are cores, or entries of `cpus`. With `cpus`,
  // thread i is pinned to cpus[i]; an Error where the system does not do so, or starts too few threads.
  explicit Pool(int threads, const std::vector<int>& cpus = {});
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return int(workers_.size()) + 1; }

  // Calls f(i) for every i in [0, n), in any order and from any thread; returns when all have returned.
  template <class Function>
  void run(int64_t n, const Function& f) {
    if (n <= 0) return;
    if (workers_.empty() || n == 1) {
      for (int64_t i = 0; i < n; i++) f(i);
      return;
    }
    start(n, [](const void* context, int64_t i) { (*static_cast<const Function*>(context))(i); }, &f);
  }

 private:
  using Call = void (*)(const void*, int64_t);
  void start(int64_t n, Call call, const void* context);
  void work();
  void stop();
  bool take_one();

  // [generation: 16 bits][tiles: 24][next tile: 24], so that one fetch-and-add tells which job a tile is of: a
  // thread that wakes up late can neither miss a job nor take a tile of one that is over.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int64_t> done_{0};
  std::atomic<Call> call_{nullptr};
  std::atomic<const void*> context_{nullptr};
  std::atomic<bool> stop_{false};
  std::atomic<int> asleep_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace bibench
