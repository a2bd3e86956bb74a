#include "epilogue.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace bibench {

EpilogueStage::EpilogueStage(const Engine& engine, const bbm::Operator& op, bool blocks_aligned) : op_(op) {
  const Model& m = engine.model();
  const uint32_t float_out = op.out[bbm::kFloatOut], bits_out = op.out[bbm::kBitsOut];
  has_floats_ = float_out != bbm::kNone;
  has_bits_ = bits_out != bbm::kNone;
  const uint32_t* d = m.tensor(has_floats_ ? float_out : bits_out).dims;
  samples_ = d[0], height_ = d[1], width_ = d[2], channels_ = d[3];
  packs_ = has_bits_ && !(blocks_aligned && engine.buffer(bits_out).plain());
  const auto is_map = [&](int slot) {
    if (op.in[slot] == bbm::kNone) return false;
    const uint32_t* s = m.tensor(op.in[slot]).dims;
    return s[1] != 1 || s[2] != 1;
  };
  maps_ = is_map(bbm::kMultiplier) || is_map(bbm::kBias);
  if (!is_map(bbm::kMultiplier)) multiplier_ = padded(engine, bbm::kMultiplier, 1);
  if (!is_map(bbm::kBias)) bias_ = padded(engine, bbm::kBias, 0);
  slope_ = padded(engine, bbm::kSlope, 1);
  shift_in_ = padded(engine, bbm::kShiftIn, 0);
  shift_out_ = padded(engine, bbm::kShiftOut, 0);
  threshold_ = padded(engine, bbm::kThreshold, 0);
#if defined(__arm__)
  // NEON of 32 bits takes subnormal numbers as 0. "x > 0" is x >= the smallest of them: 0 must stay below it.
  for (float& t : threshold_)
    if (t > 0 && t < std::numeric_limits<float>::min()) t = std::numeric_limits<float>::min();
#endif
  sign_ = padded(engine, bbm::kDirection, 1);
  direction_.assign(size_t(channels_) / kBlock + 2, 0);
  for (int64_t c = 0; c < channels_ && !sign_.empty(); c++)
    if (sign_[size_t(c)] < 0) direction_[size_t(c / kBlock)] |= uint16_t(1u << (c % kBlock));
  if (op.in[bbm::kFactor] != bbm::kNone) {
    const uint32_t* f = m.tensor(op.in[bbm::kFactor]).dims;
    simple_factor_ = (f[0] == d[0] && f[1] == d[1] && f[2] == d[2]) || (f[0] == 1 && f[1] == 1 && f[2] == 1);
  }
}

std::vector<float> EpilogueStage::padded(const Engine& engine, int slot, float missing) const {
  const uint32_t id = op_.in[slot];
  if (id == bbm::kNone) return {};
  // A group's last block may start anywhere and is read whole.
  std::vector<float> result(size_t(channels_) + 2 * kBlock, missing);
  memcpy(result.data(), engine.model().floats(id), size_t(channels_) * 4);
  return result;
}

Epilogue EpilogueStage::bind(const Engine& engine, uint8_t* scratch) {
  const auto pointer = [](const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); };
  Epilogue e{};
  e.height = height_, e.width = width_, e.channels = channels_;
  e.multiplier = pointer(multiplier_);
  e.bias = pointer(bias_);
  if (multiplier_.empty() && op_.in[bbm::kMultiplier] != bbm::kNone) {
    e.multiplier = engine.floats(op_.in[bbm::kMultiplier]);
    e.multiplier_pixel = channels_;
  }
  if (bias_.empty() && op_.in[bbm::kBias] != bbm::kNone) {
    e.bias = engine.floats(op_.in[bbm::kBias]);
    e.bias_pixel = channels_;
  }
  if (op_.in[bbm::kFactor] != bbm::kNone) {
    const uint32_t* f = engine.model().tensor(op_.in[bbm::kFactor]).dims;
    e.factor = engine.floats(op_.in[bbm::kFactor]);
    e.factor_pixel = f[2] > 1;
    e.factor_row = f[1] > 1 ? f[2] : 0;
    e.factor_sample = f[0] > 1 ? int64_t{f[1]} * f[2] : 0;
  }
  if (op_.in[bbm::kResidual] != bbm::kNone) e.residual = engine.floats(op_.in[bbm::kResidual]);
  e.activation = op_.ints[bbm::kActivationKind];
  e.activation_first = op_.ints[bbm::kActivationFirst] != 0;
  e.low = op_.floats[bbm::kClipLow], e.high = op_.floats[bbm::kClipHigh];
  e.slope = pointer(slope_), e.shift_in = pointer(shift_in_), e.shift_out = pointer(shift_out_);
  e.threshold = pointer(threshold_);
  e.direction = direction_.data();
  if (has_floats_) e.out = engine.buffer(op_.out[bbm::kFloatOut]).floats();
  if (!has_bits_) return e;
  bits_ = &engine.buffer(op_.out[bbm::kBitsOut]);
  if (packs_) {
    if (!has_floats_) e.out = reinterpret_cast<float*>(scratch);
    packed_from_ = e.out;
    return e;
  }
  e.bits = reinterpret_cast<uint8_t*>(bits_->pixel(0, 0, 0));
  e.bits_sample = bits_->sample_words() * 4;
  e.bits_row = bits_->row_words() * 4;
  e.bits_pixel = int64_t{bits_->words} * 4;
  e.bits_halves = int64_t{bits_->words} * 2;
  return e;
}

// The epilogue of one number, in the kernels' order of operations.
float EpilogueStage::value(int64_t channel, float dot) const {
  const size_t c = size_t(channel);
  float v = dot;
  if (!multiplier_.empty()) v *= multiplier_[c];
  if (!bias_.empty()) v += bias_[c];
  switch (op_.ints[bbm::kActivationKind]) {
    case bbm::kRelu: return v > 0 ? v : 0.0f;
    case bbm::kClip: return std::min(std::max(v, op_.floats[bbm::kClipLow]), op_.floats[bbm::kClipHigh]);
    case bbm::kPRelu:
      if (!shift_in_.empty()) v += shift_in_[c];
      if (v < 0) v *= slope_[c];
      return shift_out_.empty() ? v : v + shift_out_[c];
    default: return v;
  }
}

bool EpilogueStage::limits(int64_t taps, std::vector<uint32_t>* limit, std::vector<uint16_t>* turned) const {
  constexpr int64_t kExact = 1 << 24;  // a dot product is a float32 without rounding
  if (!has_bits_ || has_floats_ || packs_ || maps_ || taps >= kExact) return false;
  if (op_.in[bbm::kFactor] != bbm::kNone || op_.in[bbm::kResidual] != bbm::kNone) return false;
  limit->assign(size_t(channels_) + 2 * kBlock, 0);
  turned->assign(direction_.size(), 0);
  for (int64_t c = 0; c < channels_; c++) {
    const auto at = [&](int64_t count) { return value(c, float(taps - 2 * count)); };
    const auto minus = [&](int64_t count) { return !(at(count) >= threshold_[size_t(c)]); };
    const bool falls = op_.ints[bbm::kActivationKind] == bbm::kPRelu && !(slope_[size_t(c)] >= 0);
    if (falls || !std::isfinite(at(0)) || !std::isfinite(at(taps))) return false;
    // The first count whose bit is another than that of 0.
    const bool first = minus(0);
    int64_t low = 0, high = taps + 1;
    if (minus(taps) == first) low = taps;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (minus(middle) == first ? low : high) = middle;
    }
    (*limit)[size_t(c)] = uint32_t(low);
    const bool direction = direction_[size_t(c / kBlock)] >> (c % kBlock) & 1;
    if (first != direction) (*turned)[size_t(c / kBlock)] |= uint16_t(1u << (c % kBlock));
  }
  return true;
}

bool EpilogueStage::can_flatten() const {
  if (maps_ || !simple_factor_ || packs_) return false;
  return bits_ == nullptr || (bits_->top | bits_->left | bits_->bottom | bits_->right) == 0;
}

void EpilogueStage::flatten(Epilogue& e, int64_t samples) {
  e.width *= e.height * samples;
  e.height = 1;
  if (e.factor_pixel == 0 && e.factor_row + e.factor_sample > 0) e.factor_pixel = 1;
}

void EpilogueStage::begin() const {
  if (bits_ != nullptr) clear_halo();
}

void EpilogueStage::clear_halo() const {
  const Buffer& b = *bits_;
  if ((b.top | b.left | b.bottom | b.right) == 0) return;
  const int64_t row = b.row_words() * 4, pixel = int64_t{b.words} * 4;
  for (int64_t n = 0; n < b.n; n++) {
    uint8_t* at = b.data + n * b.sample_words() * 4;
    memset(at, 0, size_t(b.top * row));
    at += b.top * row;
    for (int64_t y = 0; y < b.h; y++, at += row) {
      memset(at, 0, size_t(b.left * pixel));
      memset(at + (b.left + b.w) * pixel, 0, size_t(b.right * pixel));
    }
    memset(at, 0, size_t(b.bottom * row));
  }
}

void EpilogueStage::end(Pool& pool) const {
  if (!packs_) return;
  const int64_t group = channels_ / bits_->groups;
  pool.run(samples_ * height_, [&](int64_t row) {
    for (int64_t x = 0; x < width_; x++) {
      const float* v = packed_from_ + (row * width_ + x) * channels_;
      uint32_t* words = bits_->pixel(row / height_, row % height_, x);
      memset(words, 0, size_t{bits_->words} * 4);
      for (int64_t c = 0; c < channels_; c++) {
        const bool direction = direction_[size_t(c / kBlock)] >> (c % kBlock) & 1;
        const bool minus = !(v[c] >= threshold_[size_t(c)]) != direction;
        words[(c / group) * bits_->group_words + (c % group) / 32] |= uint32_t{minus} << ((c % group) % 32);
      }
    }
  });
}

}  // namespace bibench
