// The epilogue of one operator: constants padded to whole vectors, and the way of its results into bits.
#pragma once

#include <memory>
#include <vector>

#include "engine.h"

namespace bibench {

class EpilogueStage {
 public:
  // `blocks_aligned`: whether every block of 16 results starts at a multiple of 16 channels.
  EpilogueStage(const Engine& engine, const bbm::Operator& op, bool blocks_aligned);

  // Floats that are needed before they can become bits, where no kernel can write such bits itself.
  uint64_t scratch() const { return packs_ && !has_floats_ ? uint64_t(samples_) * height_ * width_ * channels_ * 4 : 0; }
  Epilogue bind(const Engine& engine, uint8_t* scratch);

  // Bits that follow from how many of `taps` ±1 products are −1: (count > limit) is −1, turned where `turned` is set
  // (one bit a channel, per block). False where floats are needed to tell. Exact: the same arithmetic is searched for
  // the count at which its result passes the threshold, which it does once, since each of its steps is monotonic.
  bool limits(int64_t taps, std::vector<uint32_t>* limit, std::vector<uint16_t>* turned) const;

  // Before and after the kernels: the halo, and bits that are packed from floats.
  void begin() const;
  void end(Pool& pool) const;

  // Whether the operator's pixels may be seen as one long row.
  bool can_flatten() const;
  static void flatten(Epilogue& epilogue, int64_t samples);

  int64_t samples_ = 0, height_ = 0, width_ = 0, channels_ = 0;

 private:
  std::vector<float> padded(const Engine& engine, int slot, float missing) const;
  void clear_halo() const;
  float value(int64_t channel, float dot) const;

  const bbm::Operator& op_;
  bool has_floats_ = false, has_bits_ = false, packs_ = false, maps_ = false, simple_factor_ = true;
  std::vector<float> multiplier_, bias_, slope_, shift_in_, shift_out_, threshold_, sign_;
  std::vector<uint16_t> direction_;
  const Buffer* bits_ = nullptr;
  const float* packed_from_ = nullptr;
};

}  // namespace bibench
