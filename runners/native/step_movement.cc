// What moves values and computes nothing: EXPAND_BITS, CONCAT, PAD, SLICE, RESHAPE, TRANSPOSE.
#include <algorithm>
#include <cstring>

#include "engine.h"

namespace bibench {
namespace {

class MovementStep : public Step {
 public:
  MovementStep(const Engine&, const bbm::Operator& op) : op_(op) {}
  void bind(Engine& engine, uint8_t*) override {
    engine_ = &engine;
    y_ = &engine.buffer(op_.out[0]);
  }
  void run(Pool& pool) override {
    switch (op_.opcode) {
      case bbm::kExpandBits: return expand(pool);
      case bbm::kConcat: return concat();
      case bbm::kPad: return pad(pool);
      case bbm::kSlice: return slice(pool);
      case bbm::kReshape:
        memcpy(y_->data, engine_->floats(op_.in[0]), size_t(y_->bytes));
        return;
      default: return transpose(pool);
    }
  }

 private:
  const uint32_t* dims(int slot) const { return engine_->model().tensor(op_.in[slot]).dims; }

  void expand(Pool& pool) {
    const Buffer& b = engine_->buffer(op_.in[0]);
    const uint32_t group = b.c / b.groups;
    pool.run(int64_t{b.n} * b.h, [&](int64_t row) {
      float* to = y_->floats() + row * b.w * b.c;
      for (uint32_t x = 0; x < b.w; x++) {
        const uint32_t* words = b.pixel(row / b.h, row % b.h, x);
        for (uint32_t c = 0; c < b.c; c++) {
          const uint32_t k = c % group;
          *to++ = words[c / group * b.group_words + k / 32] >> (k % 32) & 1 ? -1.0f : 1.0f;
        }
      }
    });
  }

  void concat() {
    const int axis = op_.ints[0];
    const uint32_t out[4] = {y_->n, y_->h, y_->w, y_->c};
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; i++) outer *= out[i];
    for (int i = axis + 1; i < 4; i++) inner *= out[i];
    int64_t at = 0;
    for (int k = 0; k < op_.ints[1]; k++) {
      const int64_t length = dims(k)[axis] * inner;
      const float* from = engine_->floats(op_.in[k]);
      for (int64_t o = 0; o < outer; o++)
        memcpy(y_->floats() + o * out[axis] * inner + at, from + o * length, size_t(length) * 4);
      at += length;
    }
  }

  // The input's index of an output's index along an axis, or −1 for the padding value.
  int64_t padded_from(int axis, int64_t i, int64_t size) const {
    i -= op_.ints[axis];
    if (i >= 0 && i < size) return i;
    if (op_.ints[8] == bbm::kPadEdge) return i < 0 ? 0 : size - 1;
    if (op_.ints[8] == bbm::kPadReflect) return i < 0 ? -i : 2 * (size - 1) - i;
    return -1;
  }

  void pad(Pool& pool) {
    const float *from = engine_->floats(op_.in[0]), value = op_.floats[0];
    const uint32_t* d = dims(0);
    pool.run(int64_t{y_->n} * y_->h, [&](int64_t row) {
      const int64_t n = padded_from(0, row / y_->h, d[0]), h = padded_from(1, row % y_->h, d[1]);
      float* to = y_->floats() + row * y_->w * y_->c;
      for (int64_t x = 0; x < y_->w; x++) {
        const int64_t w = padded_from(2, x, d[2]);
        for (int64_t k = 0; k < y_->c; k++) {
          const int64_t c = padded_from(3, k, d[3]);
          *to++ = n < 0 || h < 0 || w < 0 || c < 0 ? value : from[((n * d[1] + h) * d[2] + w) * d[3] + c];
        }
      }
    });
  }

  void slice(Pool& pool) {
    const float* from = engine_->floats(op_.in[0]);
    const uint32_t* d = dims(0);
    const int32_t *start = op_.ints, *step = op_.ints + 4;
    pool.run(int64_t{y_->n} * y_->h, [&](int64_t row) {
      const int64_t n = start[0] + row / y_->h * step[0], h = start[1] + row % y_->h * step[1];
      float* to = y_->floats() + row * y_->w * y_->c;
      for (int64_t x = 0; x < y_->w; x++) {
        const float* pixel = from + ((n * d[1] + h) * d[2] + start[2] + x * step[2]) * d[3] + start[3];
        for (int64_t c = 0; c < y_->c; c++) *to++ = pixel[c * step[3]];
      }
    });
  }

  void transpose(Pool& pool) {
    const int rank = op_.ints[0];
    const int32_t *shape = op_.ints + 1, *perm = op_.ints + 7;
    int64_t strides[6], steps[6], sizes[6], stride = 1;
    for (int i = rank - 1; i >= 0; i--) strides[i] = stride, stride *= shape[i];
    for (int i = 0; i < rank; i++) sizes[i] = shape[perm[i]], steps[i] = strides[perm[i]];
    const int64_t inner = sizes[rank - 1], step = steps[rank - 1], outer = stride / inner;
    const float* from = engine_->floats(op_.in[0]);
    const int64_t rows = std::max<int64_t>(1, 4096 / inner);
    pool.run((outer + rows - 1) / rows, [&](int64_t part) {
      for (int64_t row = part * rows; row < std::min(outer, (part + 1) * rows); row++) {
        int64_t offset = 0, rest = row;
        for (int i = rank - 2; i >= 0; i--) {
          offset += rest % sizes[i] * steps[i];
          rest /= sizes[i];
        }
        float* to = y_->floats() + row * inner;
        for (int64_t i = 0; i < inner; i++) to[i] = from[offset + i * step];
      }
    });
  }

  const bbm::Operator& op_;
  const Engine* engine_ = nullptr;
  const Buffer* y_ = nullptr;
};

}  // namespace

std::unique_ptr<Step> movement_step(const Engine& engine, const bbm::Operator& op) {
  return std::make_unique<MovementStep>(engine, op);
}

}  // namespace bibench
