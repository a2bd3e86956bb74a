// REDUCE, SOFTMAX and MATMUL.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine.h"

namespace bibench {
namespace {

class ReduceStep : public Step {
 public:
  ReduceStep(const Engine& engine, const bbm::Operator& op)
      : op_(op), x_(engine.buffer(op.in[0])), y_(engine.buffer(op.out[0])), kernels_(engine.kernels()) {}
  void bind(Engine&, uint8_t*) override {}
  void run(Pool& pool) override {
    const int mask = op_.ints[0];
    // One tile per kept N, H, W; channels lie side by side and are reduced as a vector, or one by one.
    pool.run(int64_t{y_.n} * y_.h * y_.w, [&](int64_t i) {
      const int64_t w = i % y_.w, h = i / y_.w % y_.h, n = i / y_.w / y_.h;
      reduce(mask & 1 ? 0 : n, mask & 1 ? x_.n : n + 1, mask & 2 ? 0 : h, mask & 2 ? x_.h : h + 1, mask & 4 ? 0 : w,
             mask & 4 ? x_.w : w + 1, y_.floats() + i * y_.c);
    });
  }

 private:
  static float combine(int kind, float a, float b) {
    if (kind == bbm::kMax) return b > a || std::isnan(b) ? b : a;
    if (kind == bbm::kMin) return b < a || std::isnan(b) ? b : a;
    return a + b;
  }
  void reduce(int64_t n0, int64_t n1, int64_t h0, int64_t h1, int64_t w0, int64_t w1, float* to) const {
    const int kind = op_.ints[1];
    const bool over_channels = op_.ints[0] & 8, sums = kind == bbm::kMean || kind == bbm::kSum;
    const float infinity = std::numeric_limits<float>::infinity();
    const float start = kind == bbm::kMax ? -infinity : kind == bbm::kMin ? infinity : 0.0f;
    double total = 0;
    float one = start;
    std::fill(to, to + y_.c, start);
    for (int64_t n = n0; n < n1; n++)
      for (int64_t h = h0; h < h1; h++)
        for (int64_t w = w0; w < w1; w++) {
          const float* from = x_.floats() + ((n * x_.h + h) * x_.w + w) * x_.c;
          if (over_channels && sums) {
            // Eight sums, so that additions need not wait for each other.
            float parts[8] = {};
            int64_t c = 0;
            for (; c + 8 <= x_.c; c += 8)
              for (int k = 0; k < 8; k++) parts[k] += from[c + k];
            for (; c < x_.c; c++) parts[0] += from[c];
            for (float part : parts) total += double(part);
          } else if (over_channels) {
            for (int64_t c = 0; c < x_.c; c++) one = combine(kind, one, from[c]);
          } else if (sums) {
            kernels_.accumulate(to, &from, 1, x_.c);
          } else {
            for (int64_t c = 0; c < x_.c; c++) to[c] = combine(kind, to[c], from[c]);
          }
        }
    if (over_channels) to[0] = sums ? float(total) : one;
    if (kind != bbm::kMean) return;
    const float count = float((n1 - n0) * (h1 - h0) * (w1 - w0) * (over_channels ? int64_t{x_.c} : 1));
    for (int64_t c = 0; c < y_.c; c++) to[c] /= count;
  }

  const bbm::Operator& op_;
  const Buffer &x_, &y_;
  const Kernels& kernels_;
};

class SoftmaxStep : public Step {
 public:
  SoftmaxStep(const Engine& engine, const bbm::Operator& op) : op_(op), x_(engine.buffer(op.in[0])), y_(engine.buffer(op.out[0])) {}
  void bind(Engine&, uint8_t*) override {}
  void run(Pool& pool) override {
    const int64_t dims[4] = {x_.n, x_.h, x_.w, x_.c};
    const int axis = op_.ints[0];
    int64_t inner = 1, outer = 1;
    for (int i = 0; i < 4; i++) (i < axis ? outer : i > axis ? inner : outer) *= i == axis ? 1 : dims[i];
    const int64_t size = dims[axis];
    pool.run(outer, [&](int64_t o) {
      for (int64_t i = 0; i < inner; i++) {
        const float* x = x_.floats() + o * size * inner + i;
        float* y = y_.floats() + o * size * inner + i;
        float most = -std::numeric_limits<float>::infinity(), sum = 0;
        for (int64_t k = 0; k < size; k++) most = std::max(most, x[k * inner]);
        for (int64_t k = 0; k < size; k++) sum += y[k * inner] = std::exp(x[k * inner] - most);
        for (int64_t k = 0; k < size; k++) y[k * inner] /= sum;
      }
    });
  }

 private:
  const bbm::Operator& op_;
  const Buffer &x_, &y_;
};

class MatMulStep : public Step {
 public:
  MatMulStep(const Engine&, const bbm::Operator& op) : op_(op) {}
  void bind(Engine& engine, uint8_t*) override {
    a_ = engine.floats(op_.in[0]);
    b_ = engine.floats(op_.in[1]);
    y_ = engine.buffer(op_.out[0]).floats();
    da_ = engine.model().tensor(op_.in[0]).dims;
    db_ = engine.model().tensor(op_.in[1]).dims;
    dy_ = engine.model().tensor(op_.out[0]).dims;
  }
  void run(Pool& pool) override {
    const int64_t rows = dy_[2], columns = dy_[3], depth = da_[3];
    pool.run(int64_t{dy_[0]} * dy_[1] * rows, [&](int64_t i) {
      const int64_t row = i % rows, h = i / rows % dy_[1], n = i / rows / dy_[1];
      const auto at = [&](const uint32_t* d) {
        return ((d[0] > 1 ? n : 0) * d[1] + (d[1] > 1 ? h : 0)) * int64_t{d[2]} * d[3];
      };
      const float *a = a_ + at(da_) + row * depth, *b = b_ + at(db_);
      float* y = y_ + i * columns;
      std::fill(y, y + columns, 0.0f);
      for (int64_t k = 0; k < depth; k++)
        for (int64_t c = 0; c < columns; c++) y[c] += a[k] * b[k * columns + c];
    });
  }

 private:
  const bbm::Operator& op_;
  const float *a_ = nullptr, *b_ = nullptr;
  float* y_ = nullptr;
  const uint32_t *da_ = nullptr, *db_ = nullptr, *dy_ = nullptr;
};

}  // namespace

std::unique_ptr<Step> reduce_step(const Engine& engine, const bbm::Operator& op) {
  if (op.opcode == bbm::kReduce) return std::make_unique<ReduceStep>(engine, op);
  if (op.opcode == bbm::kSoftmax) return std::make_unique<SoftmaxStep>(engine, op);
  return std::make_unique<MatMulStep>(engine, op);
}

}  // namespace bibench
