// BCONV and CONV: direct convolutions over an input that holds its own padding.
#include <algorithm>
#include <cstring>
#include <map>

#include "epilogue.h"
#include "error.h"

namespace bibench {
namespace {

constexpr uint64_t kMaxCorrection = uint64_t{1} << 32;
constexpr int64_t kFilterBytes = 16384;  // half of a first-level cache

// The rows (or columns) of the output by which of the kernel's taps fall into the padding. Class 0: none does.
struct Classes {
  std::vector<uint16_t> of;
  std::vector<std::vector<char>> outside;  // per class and tap

  Classes(int64_t size, int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t before) {
    std::map<std::vector<char>, uint16_t> known;
    outside.emplace_back(size_t(kernel), 0);
    known[outside[0]] = 0;
    for (int64_t o = 0; o < out; o++) {
      std::vector<char> taps(static_cast<size_t>(kernel));
      for (int64_t k = 0; k < kernel; k++) {
        const int64_t i = o * stride + k * dilation - before;
        taps[size_t(k)] = i < 0 || i >= size;
      }
      const auto [found, added] = known.try_emplace(taps, uint16_t(outside.size()));
      if (added) outside.push_back(taps);
      if (outside.size() > 0xffff) fail("refused: a padding of more than 65535 kinds of rows");
      of.push_back(found->second);
    }
  }
};

class ConvolutionStep : public Step {
 public:
  ConvolutionStep(const Engine& engine, const bbm::Operator& op)
      : op_(op), x_(engine.buffer(op.in[bbm::kX])), filters_(engine.model().tensor(op.in[bbm::kFilters])),
        binary_(op.opcode == bbm::kBConv), kernels_(engine.kernels()),
        stage_(engine, op, op.ints[bbm::kGroups] == 1 || (filters_.dims[0] / filters_.groups) % kBlock == 0) {
    const int32_t* a = op.ints;
    top_ = a[bbm::kPadTop], left_ = a[bbm::kPadLeft];
    const auto after = [&](int axis, int64_t out, int64_t size, int64_t before) {
      const int64_t last = (out - 1) * a[bbm::kStrideH + axis] +
                           (int64_t{filters_.dims[1 + axis]} - 1) * a[bbm::kDilationH + axis];
      return std::max<int64_t>(0, last - before - (size - 1));
    };
    bottom_ = after(0, stage_.height_, x_.h, top_);
    right_ = after(1, stage_.width_, x_.w, left_);
    copies_ = !binary_ && (top_ | left_ | bottom_ | right_) != 0;
    const double padded = double(x_.n) * uint64_t(top_ + x_.h + bottom_) *
                                     uint64_t(left_ + x_.w + right_) * x_.c * 4;
    if (copies_ && padded > kMaxTensorBytes) fail("refused: a padded input of more than 1 GiB");
    padded_bytes_ = copies_ ? uint64_t(padded) : 0;
  }

  uint64_t scratch() const override { return ceil_div(padded_bytes_, 64) * 64 + stage_.scratch(); }

  void bind(Engine& engine, uint8_t* scratch) override {
    const int32_t* a = op_.ints;
    const int64_t kh = filters_.dims[1], kw = filters_.dims[2], group_channels = filters_.dims[3];
    conv_.epilogue = stage_.bind(engine, scratch + ceil_div(padded_bytes_, 64) * 64);
    conv_.filters = engine.model().data(op_.in[bbm::kFilters]);
    conv_.groups = int32_t(filters_.groups);
    conv_.group_channels = int32_t(filters_.dims[0] / filters_.groups);
    conv_.group_blocks = int32_t(ceil_div(uint64_t(conv_.group_channels), kBlock));
    conv_.taps = float(kh * kw * group_channels);
    int64_t pixel, row, sample, unit;  // strides of the input; `unit`: what one group takes of a pixel
    if (binary_) {
      pixel = x_.words, row = x_.row_words(), sample = x_.sample_words(), unit = x_.group_words;
      conv_.in = x_.pixel(0, 0, 0) - top_ * row - left_ * pixel;
    } else {
      padded_ = reinterpret_cast<float*>(scratch);
      pixel = x_.c, row = (left_ + x_.w + right_) * pixel, sample = (top_ + x_.h + bottom_) * row, unit = group_channels;
      if (!copies_) row = x_.w * pixel, sample = x_.h * row;
      conv_.in = copies_ ? padded_ : x_.floats();
    }
    padded_row_ = row, padded_sample_ = sample;
    conv_.in_pixel = a[bbm::kStrideW] * pixel;
    conv_.in_row = a[bbm::kStrideH] * row;
    conv_.in_sample = sample;
    conv_.in_group = unit;
    conv_.depth = kh * kw * unit;
    // Neighbours under one row of the kernel lie side by side, unless dilation or groups part them.
    const bool runs = a[bbm::kDilationW] == 1 && unit == pixel;
    for (int64_t y = 0; y < kh; y++)
      for (int64_t x = 0; x < (runs ? 1 : kw); x++)
        add_run(y * a[bbm::kDilationH] * row + x * a[bbm::kDilationW] * pixel, runs ? kw * unit : unit);
    mark_flushes();
    conv_.segments = segments_.data();
    conv_.segment_count = int32_t(segments_.size());
    if (binary_ && (top_ | left_ | bottom_ | right_) != 0 && op_.floats[bbm::kPadValue] != 1.0f) correct();
    if (binary_ && stage_.limits(kh * kw * group_channels, &limit_, &limit_direction_)) {
      conv_.limit = limit_.data();
      conv_.limit_direction = limit_direction_.data();
    }
    samples_ = stage_.samples_;
    const bool point = kh == 1 && kw == 1 && a[bbm::kStrideH] == 1 && a[bbm::kStrideW] == 1;
    const bool dense = sample == int64_t{x_.h} * x_.w * pixel && row == x_.w * pixel && !copies_;
    const bool unpadded = (a[bbm::kPadTop] | a[bbm::kPadLeft] | a[bbm::kPadBottom] | a[bbm::kPadRight]) == 0;
    if (point && dense && unpadded && stage_.can_flatten()) {
      EpilogueStage::flatten(conv_.epilogue, samples_);
      samples_ = 1;
    }
    const int64_t most = binary_ ? kernels_.binary_tile : kernels_.float_tile, width = conv_.epilogue.width;
    const int64_t tiles = int64_t(ceil_div(uint64_t(width), uint64_t(most)));
    conv_.tile = int(ceil_div(uint64_t(width), uint64_t(tiles)));
  }

  void run(Pool& pool) override {
    stage_.begin();
    if (copies_) copy_padded(pool);
    // Some tiles a thread, so that the last one to finish is not waited for long; but rows stay together where
    // they can, because they share filters.
    const int64_t fitting = kFilterBytes / (conv_.depth * kBlock * 4) / 2 * 2;
    const int32_t blocks = int32_t(std::max<int64_t>(fitting, binary_ ? kernels_.binary_blocks : 2));
    const int64_t chunks = int64_t(ceil_div(uint64_t(conv_.group_blocks), uint64_t(blocks)));
    const int64_t rows = samples_ * conv_.epilogue.height, width = conv_.epilogue.width;
    const int64_t wanted = pool.threads() == 1 ? 1 : pool.threads() * 8;
    const int64_t split = std::max<int64_t>(1, wanted / (conv_.groups * chunks));
    const int64_t row_parts = std::min(rows, split);
    const int64_t row_step = int64_t(ceil_div(uint64_t(rows), uint64_t(row_parts)));
    const int64_t tiles = int64_t(ceil_div(uint64_t(width), uint64_t(conv_.tile)));
    const int64_t x_parts = std::min(tiles, std::max<int64_t>(1, split / row_parts));
    const int64_t x_step = int64_t(ceil_div(uint64_t(tiles), uint64_t(x_parts))) * conv_.tile;
    const auto kernel = binary_ ? kernels_.binary : kernels_.dense;
    pool.run(conv_.groups * chunks * row_parts * x_parts, [&](int64_t i) {
      Part part;
      part.x0 = i % x_parts * x_step;
      part.x1 = std::min(width, part.x0 + x_step);
      i /= x_parts;
      part.row0 = i % row_parts * row_step;
      part.row1 = std::min(rows, part.row0 + row_step);
      i /= row_parts;
      part.block0 = int32_t(i % chunks) * blocks;
      part.block1 = std::min(part.block0 + blocks, conv_.group_blocks);
      part.group = int32_t(i / chunks);
      kernel(conv_, part);
    });
    stage_.end(pool);
  }

 private:
  void add_run(int64_t offset, int64_t length) {
    const int64_t most = binary_ ? kMaxSegment : length;
    const int64_t pieces = int64_t(ceil_div(uint64_t(length), uint64_t(most)));
    const int64_t each = int64_t(ceil_div(uint64_t(length), uint64_t(pieces)));
    for (int64_t at = 0; at < length; at += each)
      segments_.push_back({offset + at, int32_t(std::min(each, length - at)), 0});
  }

  void mark_flushes() {
    int32_t pending = 0;
    for (size_t i = 0; i < segments_.size(); i++) {
      pending += segments_[i].length;
      if (i + 1 == segments_.size() || pending + segments_[i + 1].length > kMaxSegment) {
        segments_[i].flush = 1;
        pending = 0;
      }
    }
  }

  // The halo holds +1. A tap in it should have contributed value·weight, so (value − 1)·weight is added.
  void correct() {
    const int32_t* a = op_.ints;
    const int64_t kh = filters_.dims[1], kw = filters_.dims[2], unit = x_.group_words;
    const Classes rows(x_.h, stage_.height_, kh, a[bbm::kStrideH], a[bbm::kDilationH], top_);
    const Classes columns(x_.w, stage_.width_, kw, a[bbm::kStrideW], a[bbm::kDilationW], left_);
    row_class_ = rows.of, column_class_ = columns.of;
    const int64_t channels = filters_.dims[0], padded = channels + 2 * kBlock;
    const double work = double(rows.outside.size()) * double(columns.outside.size()) *
                                   uint64_t(kh * kw) * uint64_t(padded);
    if (work > kMaxCorrection) fail("refused: a padding of too many kinds");
    std::vector<float> sums(size_t(kh * kw * channels));  // of the weights of each tap
    const uint32_t* words = static_cast<const uint32_t*>(conv_.filters);
    for (int64_t c = 0; c < channels; c++) {
      const int64_t in_group = c % conv_.group_channels;
      const int64_t block = c / conv_.group_channels * conv_.group_blocks + in_group / kBlock;
      for (int64_t tap = 0; tap < kh * kw; tap++) {
        int64_t minus = 0;
        for (int64_t k = 0; k < unit; k++)
          minus += __builtin_popcount(words[(block * conv_.depth + tap * unit + k) * kBlock + in_group % kBlock]);
        sums[size_t(tap * channels + c)] = float(int64_t{filters_.dims[3]} - 2 * minus);
      }
    }
    const double change = double(op_.floats[bbm::kPadValue]) - 1.0;
    correction_.assign(rows.outside.size() * columns.outside.size() * size_t(padded), 0.0f);
    size_t at = 0;
    for (const std::vector<char>& r : rows.outside)
      for (const std::vector<char>& k : columns.outside) {
        for (int64_t c = 0; c < channels; c++) {
          double sum = 0;
          for (int64_t tap = 0; tap < kh * kw; tap++)
            if (r[size_t(tap / kw)] || k[size_t(tap % kw)]) sum += double(sums[size_t(tap * channels + c)]);
          correction_[at + size_t(c)] = float(change * sum);
        }
        at += size_t(padded);
      }
    conv_.correction = correction_.data();
    conv_.row_class = row_class_.data();
    conv_.column_class = column_class_.data();
    conv_.column_classes = int64_t(columns.outside.size());
    conv_.correction_channels = padded;
    // One run, since the padding lies at the two ends.
    const auto outside = [](uint16_t c) { return c != 0; };
    const auto first = std::find(column_class_.begin(), column_class_.end(), 0);
    conv_.inner0 = first - column_class_.begin();
    conv_.inner1 = std::find_if(first, column_class_.end(), outside) - column_class_.begin();
  }

  void copy_padded(Pool& pool) {
    const int64_t height = top_ + x_.h + bottom_, pixel = x_.c, used = x_.w * pixel;
    constexpr int64_t kRows = 8;
    pool.run(int64_t(ceil_div(uint64_t(x_.n * height), kRows)), [&](int64_t part) {
      for (int64_t i = part * kRows; i < std::min((part + 1) * kRows, x_.n * height); i++) {
        float* to = padded_ + i * padded_row_;
        const int64_t y = i % height - top_;
        if (y < 0 || y >= x_.h) {
          memset(to, 0, size_t(padded_row_) * 4);
          continue;
        }
        memset(to, 0, size_t(left_ * pixel) * 4);
        memcpy(to + left_ * pixel, x_.floats() + (i / height * x_.h + y) * used, size_t(used) * 4);
        memset(to + left_ * pixel + used, 0, size_t(right_ * pixel) * 4);
      }
    });
  }

  const bbm::Operator& op_;
  const Buffer& x_;
  const bbm::Tensor& filters_;
  const bool binary_;
  const Kernels& kernels_;
  EpilogueStage stage_;
  Convolution conv_{};
  int64_t top_, left_, bottom_, right_, samples_ = 0, padded_row_ = 0, padded_sample_ = 0;
  bool copies_;
  uint64_t padded_bytes_;
  float* padded_ = nullptr;
  std::vector<Segment> segments_;
  std::vector<float> correction_;
  std::vector<uint16_t> row_class_, column_class_, limit_direction_;
  std::vector<uint32_t> limit_;
};

}  // namespace

std::unique_ptr<Step> convolution_step(const Engine& engine, const bbm::Operator& op) {
  return std::make_unique<ConvolutionStep>(engine, op);
}

}  // namespace bibench
