// BINARY with broadcasting, and UNARY.
#include <algorithm>
#include <cmath>

#include "engine.h"

namespace bibench {
namespace {

// Calls f(operation) with the operation of a kind, so that each gets a loop of its own.
template <class F>
void with_binary(int32_t kind, F&& f) {
  switch (kind) {
    case bbm::kAdd: return f([](float a, float b) { return a + b; });
    case bbm::kSub: return f([](float a, float b) { return a - b; });
    case bbm::kMul: return f([](float a, float b) { return a * b; });
    case bbm::kDiv: return f([](float a, float b) { return a / b; });
    case bbm::kMinimum: return f([](float a, float b) { return b < a || std::isnan(b) ? b : a; });
    case bbm::kMaximum: return f([](float a, float b) { return b > a || std::isnan(b) ? b : a; });
    default: return f([](float a, float b) { return std::pow(a, b); });
  }
}

template <class F>
void with_unary(int32_t kind, float p, float q, F&& f) {
  switch (kind) {
    case bbm::kURelu: return f([](float x) { return x < 0 ? 0.0f : x; });
    case bbm::kUClip: return f([=](float x) { return x < p ? p : x > q ? q : x; });
    case bbm::kUAbs: return f([](float x) { return std::fabs(x); });
    case bbm::kUNeg: return f([](float x) { return -x; });
    case bbm::kUSigmoid: return f([](float x) { return 1.0f / (1.0f + std::exp(-x)); });
    case bbm::kUTanh: return f([](float x) { return std::tanh(x); });
    case bbm::kUExp: return f([](float x) { return std::exp(x); });
    case bbm::kULog: return f([](float x) { return std::log(x); });
    case bbm::kUSqrt: return f([](float x) { return std::sqrt(x); });
    case bbm::kUReciprocal: return f([](float x) { return 1.0f / x; });
    case bbm::kULeakyRelu: return f([=](float x) { return x < 0 ? p * x : x; });
    case bbm::kUElu: return f([=](float x) { return x < 0 ? p * std::expm1(x) : x; });
    case bbm::kUErf: return f([](float x) { return std::erf(x); });
    case bbm::kUGelu: return f([](float x) { return 0.5f * x * (1.0f + std::erf(x * 0.70710678118654752f)); });
    case bbm::kUHardSigmoid: return f([=](float x) { return std::max(0.0f, std::min(1.0f, p * x + q)); });
    case bbm::kUHardSwish: return f([](float x) { return x * std::max(0.0f, std::min(1.0f, x / 6.0f + 0.5f)); });
    case bbm::kUSoftplus: return f([](float x) { return std::max(x, 0.0f) + std::log1p(std::exp(-std::fabs(x))); });
    case bbm::kUFloor: return f([](float x) { return std::floor(x); });
    case bbm::kUCeil: return f([](float x) { return std::ceil(x); });
    case bbm::kURound: return f([](float x) { return std::nearbyint(x); });
    case bbm::kUSign: return f([](float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x; });
    case bbm::kUSin: return f([](float x) { return std::sin(x); });
    default: return f([](float x) { return std::cos(x); });
  }
}

constexpr int64_t kChunk = 8192;  // elements per tile of work

class UnaryStep : public Step {
 public:
  UnaryStep(const Engine&, const bbm::Operator& op) : op_(op) {}
  void bind(Engine& engine, uint8_t*) override {
    x_ = engine.floats(op_.in[0]);
    y_ = engine.buffer(op_.out[0]).floats();
    count_ = int64_t(engine.model().elements(op_.out[0]));
  }
  void run(Pool& pool) override {
    with_unary(op_.ints[0], op_.floats[0], op_.floats[1], [&](auto operation) {
      pool.run((count_ + kChunk - 1) / kChunk, [&](int64_t part) {
        const int64_t end = std::min(count_, (part + 1) * kChunk);
        for (int64_t i = part * kChunk; i < end; i++) y_[i] = operation(x_[i]);
      });
    });
  }

 private:
  const bbm::Operator& op_;
  const float* x_ = nullptr;
  float* y_ = nullptr;
  int64_t count_ = 0;
};

class BinaryStep : public Step {
 public:
  BinaryStep(const Engine&, const bbm::Operator& op) : op_(op) {}
  void bind(Engine& engine, uint8_t*) override {
    const Model& m = engine.model();
    a_ = engine.floats(op_.in[0]);
    b_ = engine.floats(op_.in[1]);
    y_ = engine.buffer(op_.out[0]).floats();
    // Axes along which both operands go on as they did are one axis.
    const uint32_t *a = m.tensor(op_.in[0]).dims, *b = m.tensor(op_.in[1]).dims, *y = m.tensor(op_.out[0]).dims;
    rank_ = 0;
    for (int i = 0; i < 4; i++) {
      if (y[i] == 1) continue;
      const bool a_moves = a[i] != 1, b_moves = b[i] != 1;
      if (rank_ > 0 && moves_[0][rank_ - 1] == a_moves && moves_[1][rank_ - 1] == b_moves) {
        dims_[rank_ - 1] *= y[i];
        continue;
      }
      dims_[rank_] = y[i];
      moves_[0][rank_] = a_moves, moves_[1][rank_] = b_moves;
      rank_++;
    }
    if (rank_ == 0) dims_[rank_] = 1, moves_[0][0] = moves_[1][0] = false, rank_ = 1;
    int64_t at_a = 1, at_b = 1;
    for (int i = rank_ - 1; i >= 0; i--) {
      strides_[0][i] = moves_[0][i] ? at_a : 0, strides_[1][i] = moves_[1][i] ? at_b : 0;
      if (moves_[0][i]) at_a *= dims_[i];
      if (moves_[1][i]) at_b *= dims_[i];
    }
  }
  void run(Pool& pool) override {
    const int64_t inner = dims_[rank_ - 1];
    int64_t outer = 1;
    for (int i = 0; i + 1 < rank_; i++) outer *= dims_[i];
    const int64_t rows = std::max<int64_t>(1, kChunk / inner);
    const int64_t columns = outer > 1 ? inner : std::min(inner, kChunk), across = (inner + columns - 1) / columns;
    with_binary(op_.ints[0], [&](auto operation) {
      pool.run((outer + rows - 1) / rows * across, [&](int64_t part) {
        const int64_t from = part % across * columns, to = std::min(inner, from + columns);
        const int64_t first = part / across * rows, end = std::min(outer, first + rows);
        for (int64_t row = first; row < end; row++) apply(operation, row, from, to);
      });
    });
  }

 private:
  template <class Operation>
  void apply(const Operation& operation, int64_t row, int64_t from, int64_t to) const {
    int64_t offset_a = 0, offset_b = 0, rest = row;
    for (int i = rank_ - 2; i >= 0; i--) {
      offset_a += rest % dims_[i] * strides_[0][i];
      offset_b += rest % dims_[i] * strides_[1][i];
      rest /= dims_[i];
    }
    const float *a = a_ + offset_a, *b = b_ + offset_b;
    float* y = y_ + row * dims_[rank_ - 1];
    const bool a_moves = strides_[0][rank_ - 1] != 0, b_moves = strides_[1][rank_ - 1] != 0;
    if (a_moves && b_moves) for (int64_t i = from; i < to; i++) y[i] = operation(a[i], b[i]);
    else if (a_moves) for (int64_t i = from; i < to; i++) y[i] = operation(a[i], *b);
    else if (b_moves) for (int64_t i = from; i < to; i++) y[i] = operation(*a, b[i]);
    else for (int64_t i = from; i < to; i++) y[i] = operation(*a, *b);
  }

  const bbm::Operator& op_;
  const float *a_ = nullptr, *b_ = nullptr;
  float* y_ = nullptr;
  int rank_ = 0;
  int64_t dims_[4] = {}, strides_[2][4] = {};
  bool moves_[2][4] = {};
};

}  // namespace

std::unique_ptr<Step> elementwise_step(const Engine& engine, const bbm::Operator& op) {
  if (op.opcode == bbm::kUnary) return std::make_unique<UnaryStep>(engine, op);
  return std::make_unique<BinaryStep>(engine, op);
}

}  // namespace bibench
