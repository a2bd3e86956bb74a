// MAP (an epilogue on floats, a model's Binarize among them) and DWCONV.
#include <algorithm>
#include <cstring>

#include "epilogue.h"
#include "error.h"

namespace bibench {
namespace {

// Rows per tile of work, for some 16 tiles in all.
int64_t rows_per_tile(int64_t rows, const Pool& pool) {
  return pool.threads() == 1 ? rows : std::max<int64_t>(1, rows / (pool.threads() * 8));
}

class MapStep : public Step {
 public:
  MapStep(const Engine& engine, const bbm::Operator& op)
      : op_(op), kernels_(engine.kernels()), stage_(engine, op, true) {}
  uint64_t scratch() const override { return stage_.scratch(); }
  void bind(Engine& engine, uint8_t* scratch) override {
    map_.epilogue = stage_.bind(engine, scratch);
    map_.in = engine.floats(op_.in[bbm::kX]);
  }
  void run(Pool& pool) override {
    stage_.begin();
    const int64_t rows = stage_.samples_ * stage_.height_, each = rows_per_tile(rows, pool);
    pool.run(int64_t(ceil_div(uint64_t(rows), uint64_t(each))),
             [&](int64_t i) { kernels_.map(map_, i * each, std::min(rows, (i + 1) * each)); });
    stage_.end(pool);
  }

 private:
  const bbm::Operator& op_;
  const Kernels& kernels_;
  EpilogueStage stage_;
  Map map_{};
};

class DepthwiseStep : public Step {
 public:
  DepthwiseStep(const Engine& engine, const bbm::Operator& op)
      : op_(op), x_(engine.buffer(op.in[bbm::kX])), filters_(engine.model().tensor(op.in[bbm::kFilters])),
        kernels_(engine.kernels()), stage_(engine, op, true) {
    const int32_t* a = op.ints;
    height_ = std::max<int64_t>(int64_t{a[bbm::kPadTop]} + x_.h,
                                (stage_.height_ - 1) * a[bbm::kStrideH] + (int64_t{filters_.dims[1]} - 1) * a[bbm::kDilationH] + 1);
    width_ = std::max<int64_t>(int64_t{a[bbm::kPadLeft]} + x_.w,
                               (stage_.width_ - 1) * a[bbm::kStrideW] + (int64_t{filters_.dims[2]} - 1) * a[bbm::kDilationW] + 1);
    copies_ = height_ != x_.h || width_ != x_.w;
    const double bytes = double(x_.n) * uint64_t(height_) * uint64_t(width_) * x_.c * 4;
    if (copies_ && bytes > kMaxTensorBytes) fail("refused: a padded input of more than 1 GiB");
    bytes_ = copies_ ? uint64_t(bytes) : 0;
  }
  uint64_t scratch() const override { return ceil_div(bytes_, 64) * 64 + stage_.scratch(); }
  void bind(Engine& engine, uint8_t* scratch) override {
    d_.epilogue = stage_.bind(engine, scratch + ceil_div(bytes_, 64) * 64);
    padded_ = reinterpret_cast<float*>(scratch);
    const int32_t* a = op_.ints;
    const int64_t row = width_ * x_.c;
    d_.in = copies_ ? padded_ : x_.floats();
    d_.filters = engine.model().floats(op_.in[bbm::kFilters]);
    d_.in_sample = height_ * row;
    d_.in_row = a[bbm::kStrideH] * row;
    d_.in_pixel = int64_t{a[bbm::kStrideW]} * x_.c;
    for (uint32_t y = 0; y < filters_.dims[1]; y++)
      for (uint32_t x = 0; x < filters_.dims[2]; x++)
        offsets_.push_back(int64_t{y} * a[bbm::kDilationH] * row + int64_t{x} * a[bbm::kDilationW] * x_.c);
    d_.taps = int32_t(offsets_.size());
    d_.offsets = offsets_.data();
  }
  void run(Pool& pool) override {
    stage_.begin();
    if (copies_) copy_padded();
    const int64_t rows = stage_.samples_ * stage_.height_, each = rows_per_tile(rows, pool);
    pool.run(int64_t(ceil_div(uint64_t(rows), uint64_t(each))),
             [&](int64_t i) { kernels_.depthwise(d_, i * each, std::min(rows, (i + 1) * each)); });
    stage_.end(pool);
  }

 private:
  void copy_padded() {
    const int64_t top = op_.ints[bbm::kPadTop], left = op_.ints[bbm::kPadLeft], row = width_ * x_.c;
    memset(padded_, 0, bytes_);
    for (int64_t n = 0; n < x_.n; n++)
      for (int64_t y = 0; y < x_.h; y++)
        memcpy(padded_ + (n * height_ + top + y) * row + left * x_.c, x_.floats() + (n * x_.h + y) * x_.w * x_.c,
               size_t{x_.w} * x_.c * 4);
  }

  const bbm::Operator& op_;
  const Buffer& x_;
  const bbm::Tensor& filters_;
  const Kernels& kernels_;
  EpilogueStage stage_;
  DepthwiseConvolution d_{};
  int64_t height_, width_;
  bool copies_;
  uint64_t bytes_;
  float* padded_ = nullptr;
  std::vector<int64_t> offsets_;
};

}  // namespace

std::unique_ptr<Step> map_step(const Engine& engine, const bbm::Operator& op) {
  return std::make_unique<MapStep>(engine, op);
}
std::unique_ptr<Step> depthwise_step(const Engine& engine, const bbm::Operator& op) {
  return std::make_unique<DepthwiseStep>(engine, op);
}

}  // namespace bibench
