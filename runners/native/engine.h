// A model made ready to run: buffers in one arena, one step an operator.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels.h"
#include "model.h"
#include "pool.h"

namespace bibench {

// Where an activation lies. Bits carry a halo of +1, as wide as the widest padding of the convolutions that read them.
struct Buffer {
  uint32_t n = 0, h = 0, w = 0, c = 0;
  bool used = false;
  uint64_t bytes = 0, offset = 0;
  int first = -1, last = -1;  // operators that write it first, read it last
  uint8_t* data = nullptr;
  // bits only
  uint32_t groups = 1, group_words = 0, words = 0;  // words per group, per pixel
  int64_t top = 0, left = 0, bottom = 0, right = 0;

  int64_t row_words() const { return (left + w + right) * int64_t(words); }
  int64_t sample_words() const { return (top + h + bottom) * row_words(); }
  uint32_t* pixel(int64_t in, int64_t iy, int64_t ix) const {
    return reinterpret_cast<uint32_t*>(data) + in * sample_words() + (iy + top) * row_words() + (ix + left) * words;
  }
  float* floats() const { return reinterpret_cast<float*>(data); }
  // No group's channels share a 32-bit word with another's: channel c is bit c of the pixel.
  bool plain() const { return groups == 1 || (c / groups) % 32 == 0; }
};

class Engine;

class Step {
 public:
  virtual ~Step() = default;
  // Bytes that it needs of the arena while it runs.
  virtual uint64_t scratch() const { return 0; }
  virtual void bind(Engine&, uint8_t* scratch) = 0;
  virtual void run(Pool&) = 0;
};

class Engine {
 public:
  explicit Engine(const Model& model);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void run(Pool& pool);
  void run_operator(uint32_t index, Pool& pool) { steps_[index]->run(pool); }

  const Model& model() const { return model_; }
  const Kernels& kernels() const { return kernels_; }
  const Buffer& buffer(uint32_t id) const { return buffers_[id]; }
  // Floats of a tensor, activation or constant.
  const float* floats(uint32_t id) const {
    return model_.constant(id) ? model_.floats(id) : buffers_[id].floats();
  }
  uint64_t arena_bytes() const { return arena_bytes_; }
  // Values of an activation as float32 NHWC, bits as ±1.
  std::vector<float> values(uint32_t id) const;

 private:
  void lay_out();
  void plan();

  const Model& model_;
  const Kernels& kernels_;
  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<uint64_t> scratch_;
  uint8_t* arena_ = nullptr;
  uint64_t arena_bytes_ = 0;
};

// Makers of steps, one file each.
std::unique_ptr<Step> convolution_step(const Engine&, const bbm::Operator&);  // BCONV, CONV
std::unique_ptr<Step> depthwise_step(const Engine&, const bbm::Operator&);
std::unique_ptr<Step> map_step(const Engine&, const bbm::Operator&);
std::unique_ptr<Step> pool_step(const Engine&, const bbm::Operator&);
std::unique_ptr<Step> elementwise_step(const Engine&, const bbm::Operator&);
std::unique_ptr<Step> reduce_step(const Engine&, const bbm::Operator&);  // REDUCE, SOFTMAX, MATMUL
std::unique_ptr<Step> movement_step(const Engine&, const bbm::Operator&);  // CONCAT … TRANSPOSE, EXPAND_BITS

}  // namespace bibench
