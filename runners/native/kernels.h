// What a kernel is given, and the one table through which it is called.
#pragma once

#include <cstdint>

namespace bibench {

constexpr int kBlock = 16;      // filters that lie side by side
constexpr int kMaxSegment = 31; // words: 8 counts a byte and word must not pass 255

// What happens to results before anything is stored. Per-channel arrays are padded to whole blocks; maps are not.
struct Epilogue {
  int64_t height, width, channels;  // of the output
  const float* multiplier;          // or null
  const float* bias;                // or null
  int64_t multiplier_pixel, bias_pixel;  // floats from pixel to pixel: 0 per channel, `channels` for a map
  const float* factor;              // or null
  int64_t factor_sample, factor_row, factor_pixel;
  const float* residual;            // or null
  int activation;                   // bbm::Activation
  bool activation_first;
  float low, high;
  const float *slope, *shift_in, *shift_out;  // shifts or null
  const float* threshold;
  const uint16_t* direction;        // per block, one bit a filter: 1 for −1
  float* out;                       // or null
  uint8_t* bits;                    // or null; the first pixel behind the halo
  int64_t bits_sample, bits_row, bits_pixel;  // bytes
  int64_t bits_halves;              // uint16 to write per pixel (a last empty half is cleared)
};

// A run of consecutive words (or floats) under one row of the kernel. Whole counts are flushed after a segment
// where the next one could make a byte overflow.
struct Segment {
  int64_t offset;
  int32_t length;
  int32_t flush;
};

// A direct convolution over an input that already holds its padding.
struct Convolution {
  const void* in;      // uint32 words or floats; the window of output (0, 0, 0)
  const void* filters; // [group][block][segment words][16]
  int64_t in_sample, in_row, in_pixel, in_group;  // from output to output, in words or floats
  int64_t depth;       // words or floats per filter and group
  const Segment* segments;
  int32_t segment_count;
  int32_t groups, group_channels, group_blocks;
  float taps;          // binary: ±1 taps in a filter, so that dot = taps − 2·count
  // Binary, padding other than +1: what the padding changes, per class of row and column. Class 0: nothing.
  const float* correction;
  const uint16_t *row_class, *column_class;
  int64_t column_classes, correction_channels;
  int64_t inner0, inner1;  // columns of class 0
  // Where bits alone are wanted and follow from the count: −1 above the limit, turned where direction is set. Or null.
  const uint32_t* limit;
  const uint16_t* limit_direction;
  int tile;            // pixels per tile
  Epilogue epilogue;
};

// A rectangle of work: rows are counted through samples, [x0, x1) within the row, blocks within one group.
struct Part {
  int64_t row0, row1, x0, x1;
  int32_t group, block0, block1;
};

struct Map {
  const float* in;
  Epilogue epilogue;
};

struct DepthwiseConvolution {
  const float* in;  // padded
  const float* filters;  // [kh][kw][channels]
  int64_t in_sample, in_row, in_pixel;
  int32_t taps;
  const int64_t* offsets;  // per tap
  Epilogue epilogue;
};

struct Kernels {
  const char* name;
  int binary_tile, float_tile;  // most pixels of a tile
  int binary_blocks;            // of filters that a part should hold
  void (*binary)(const Convolution&, const Part&);
  void (*dense)(const Convolution&, const Part&);
  void (*map)(const Map&, int64_t row0, int64_t row1);
  void (*depthwise)(const DepthwiseConvolution&, int64_t row0, int64_t row1);
  // y[i] = max(y[i], taps[0][i], taps[1][i], …), and the sum of the same, added up in this order.
  void (*maximum)(float* y, const float* const* taps, int count, int64_t n);
  void (*accumulate)(float* y, const float* const* taps, int count, int64_t n);
  double (*ceiling)(int64_t rounds);  // binary MACs done by the bare xor+popcount+add loop
  double (*float_ceiling)(int64_t rounds);  // float MACs done by the bare fused multiply-add loop
};

extern const Kernels kPortable;
extern const Kernels kAvx2;
extern const Kernels kAvx512;
extern const Kernels kNeon;

// The fastest that this CPU executes, or what BIBENCH_ISA names. isa.cc
const Kernels& choose_kernels();

}  // namespace bibench
