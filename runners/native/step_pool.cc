// MAXPOOL and AVGPOOL: all taps of a pixel at once, channels side by side.
#include <algorithm>
#include <cstring>
#include <limits>

#include "engine.h"

namespace bibench {
namespace {

class PoolStep : public Step {
 public:
  PoolStep(const Engine& engine, const bbm::Operator& op)
      : op_(op), x_(engine.buffer(op.in[0])), y_(engine.buffer(op.out[0])), kernels_(engine.kernels()) {
    for (int64_t y = 0; y < y_.h; y++) rows_.push_back(window(0, y, x_.h));
    for (int64_t x = 0; x < y_.w; x++) columns_.push_back(window(1, x, x_.w));
  }
  void bind(Engine&, uint8_t*) override {}
  void run(Pool& pool) override {
    pool.run(int64_t{y_.n} * y_.h, [&](int64_t row) { pool_row(row / y_.h, row % y_.h); });
  }

 private:
  static constexpr int kTaps = 64;  // that are combined at a time

  // The taps [first, last) of an axis that fall on existing input, and how many fall on input or padding.
  struct Window {
    int64_t start, first, last, counted;
  };
  Window window(int axis, int64_t out, int64_t size) const {
    const int64_t kernel = op_.ints[axis], stride = op_.ints[2 + axis], dilation = op_.ints[4 + axis];
    const int64_t before = op_.ints[6 + axis], after = op_.ints[8 + axis];
    Window w;
    w.start = out * stride - before;
    w.first = w.start >= 0 ? 0 : std::min(kernel, (-w.start + dilation - 1) / dilation);
    const auto below = [&](int64_t end) {
      return end <= w.start ? 0 : std::min(kernel, (end - w.start + dilation - 1) / dilation);
    };
    w.last = std::max(w.first, below(size));
    w.counted = below(size + after);
    return w;
  }

  void pool_row(int64_t n, int64_t y) const {
    const bool mean = op_.opcode == bbm::kAvgPool;
    const int64_t dh = op_.ints[4], dw = op_.ints[5], channels = x_.c;
    const Window& v = rows_[size_t(y)];
    float* to = y_.floats() + (n * y_.h + y) * y_.w * channels;
    for (int64_t x = 0; x < y_.w; x++, to += channels) {
      const Window& h = columns_[size_t(x)];
      std::fill(to, to + channels, mean ? 0.0f : -std::numeric_limits<float>::infinity());
      const float* taps[kTaps];
      int count = 0;
      for (int64_t ky = v.first; ky < v.last; ky++) {
        const float* row = x_.floats() + ((n * x_.h + v.start + ky * dh) * x_.w + h.start) * channels;
        for (int64_t kx = h.first; kx < h.last; kx++) {
          taps[count++] = row + kx * dw * channels;
          if (count == kTaps) combine(to, taps, &count);
        }
      }
      combine(to, taps, &count);
      if (!mean) continue;
      const int64_t divisor = op_.ints[10] ? v.counted * h.counted : (v.last - v.first) * (h.last - h.first);
      for (int64_t c = 0; c < channels; c++) to[c] /= float(divisor);
    }
  }

  void combine(float* to, const float* const* taps, int* count) const {
    (op_.opcode == bbm::kAvgPool ? kernels_.accumulate : kernels_.maximum)(to, taps, *count, x_.c);
    *count = 0;
  }

  const bbm::Operator& op_;
  const Buffer &x_, &y_;
  const Kernels& kernels_;
  std::vector<Window> rows_, columns_;
};

}  // namespace

std::unique_ptr<Step> pool_step(const Engine& engine, const bbm::Operator& op) {
  return std::make_unique<PoolStep>(engine, op);
}

}  // namespace bibench
