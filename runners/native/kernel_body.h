// The loops that every kernel shares, written once over an instruction set I, which says
//   F, W            vectors of I::kLanes floats, and of as many 32-bit words
//   kBinaryTile, kFloatTile, kBlocks   pixels and blocks of 16 filters held in registers
//   kBytes          count() returns counts per byte (which must be widened before they overflow), or per word
// It is included only by kernel_*.cc, inside of their region of target options: everything here is a template
// over I, so that no function compiled for one instruction set can be linked in place of another's.
#pragma once

#include <cstdint>
#include <cstring>

#include "bbm.h"
#include "kernels.h"

#define BIBENCH_INLINE inline __attribute__((always_inline))

namespace bibench {

template <class I>
struct Body {
  using F = typename I::F;
  using W = typename I::W;
  static constexpr int kVectors = kBlock / I::kLanes;  // per block

  static BIBENCH_INLINE F load_part(const float* p, int64_t left) {
    if (left >= I::kLanes) return I::load(p);
    float lanes[I::kLanes] = {};
    for (int64_t i = 0; i < left; i++) lanes[i] = p[i];
    return I::load(lanes);
  }
  static BIBENCH_INLINE void store_part(float* p, F v, int64_t left) {
    if (left >= I::kLanes) return I::store(p, v);
    float lanes[I::kLanes];
    I::store(lanes, v);
    for (int64_t i = 0; i < left; i++) p[i] = lanes[i];
  }

  static BIBENCH_INLINE F activate(const Epilogue& e, F v, int64_t c) {
    switch (e.activation) {
      case bbm::kRelu: return I::max(v, I::set(0.0f));
      case bbm::kClip: return I::min(I::max(v, I::set(e.low)), I::set(e.high));
      case bbm::kPRelu: {
        if (e.shift_in) v = I::add(v, I::load(e.shift_in + c));
        v = I::prelu(v, I::load(e.slope + c));
        return e.shift_out ? I::add(v, I::load(e.shift_out + c)) : v;
      }
      default: return v;
    }
  }

  // One block of one pixel: channels [c, c + left), at most 16.
  static BIBENCH_INLINE void finish(const Epilogue& e, int64_t n, int64_t y, int64_t x, int64_t c, int64_t left, F* v) {
    const int64_t in_sample = y * e.width + x;
    const int64_t at = ((n * e.height + y) * e.width + x) * e.channels + c;
    uint32_t bits = 0;
    for (int i = 0; i < kVectors; i++) {
      const int64_t k = c + i * I::kLanes, rest = left - i * I::kLanes;
      if (rest <= 0) break;
      F t = v[i];
      if (e.multiplier) {
        const float* m = e.multiplier + in_sample * e.multiplier_pixel + k;
        t = I::mul(t, e.multiplier_pixel ? load_part(m, rest) : I::load(m));
      }
      if (e.factor)
        t = I::mul(t, I::set(e.factor[n * e.factor_sample + y * e.factor_row + x * e.factor_pixel]));
      if (e.bias) {
        const float* b = e.bias + in_sample * e.bias_pixel + k;
        t = I::add(t, e.bias_pixel ? load_part(b, rest) : I::load(b));
      }
      if (e.activation_first) t = activate(e, t, k);
      if (e.residual) t = I::add(t, load_part(e.residual + at + i * I::kLanes, rest));
      if (!e.activation_first) t = activate(e, t, k);
      if (e.out) store_part(e.out + at + i * I::kLanes, t, rest);
      if (e.bits) bits |= I::below(t, I::load(e.threshold + k)) << (i * I::kLanes);
    }
    if (e.bits) {
      const int64_t block = c / kBlock;
      bits ^= e.direction[block];
      if (left < kBlock) bits &= (1u << left) - 1;
      uint8_t* to = e.bits + n * e.bits_sample + y * e.bits_row + x * e.bits_pixel + block * 2;
      const uint16_t half = uint16_t(bits);
      memcpy(to, &half, 2);
      if (block + 2 == e.bits_halves && c + left == e.channels) memset(to + 2, 0, 2);
    }
  }

  template <int P, int B>
  static void binary_tile(const Convolution& conv, const uint32_t* base, const uint32_t* filters, int64_t n, int64_t y,
                          int64_t x, int32_t group, int32_t block) {
    constexpr int V = B * kVectors;
    const int64_t block_words = conv.depth * kBlock, step = conv.in_pixel;
    W total[P][V];
    W count[P][V];
    for (int p = 0; p < P; p++)
      for (int v = 0; v < V; v++) count[p][v] = I::zero();
    if (I::kBytes)
      for (int p = 0; p < P; p++)
        for (int v = 0; v < V; v++) total[p][v] = I::zero();
    for (const Segment *s = conv.segments, *end = s + conv.segment_count; s != end; s++) {
      const uint32_t* a[P];
      for (int p = 0; p < P; p++) a[p] = base + s->offset + p * step;
      for (int32_t k = 0; k < s->length; k++, filters += kBlock) {
        W w[V];
        for (int v = 0; v < V; v++)
          w[v] = I::load_words(filters + (v / kVectors) * block_words + (v % kVectors) * I::kLanes);
        for (int p = 0; p < P; p++) {
          const W d = I::set_words(a[p][k]);
          for (int v = 0; v < V; v++) count[p][v] = I::count(count[p][v], d, w[v]);
        }
      }
      if (I::kBytes && s->flush)
        for (int p = 0; p < P; p++)
          for (int v = 0; v < V; v++) {
            total[p][v] = I::widen(total[p][v], count[p][v]);
            count[p][v] = I::zero();
          }
    }
    const int64_t channel = int64_t{block} * kBlock;
    for (int p = 0; p < P; p++) {
      const int64_t corrected =
          conv.correction ? int64_t{conv.row_class[y]} * conv.column_classes + conv.column_class[x + p] : 0;
      for (int b = 0; b < B; b++) {
        const int64_t c = channel + b * kBlock;
        int64_t left = conv.group_channels - c;
        if (left <= 0) continue;
        if (left > kBlock) left = kBlock;
        F out[kVectors];
        for (int v = 0; v < kVectors; v++) {
          out[v] = I::dot(I::kBytes ? total[p][b * kVectors + v] : count[p][b * kVectors + v], conv.taps);
          if (corrected)
            out[v] = I::add(out[v], I::load(conv.correction + corrected * conv.correction_channels +
                                            int64_t{group} * conv.group_channels + c + v * I::kLanes));
        }
        finish(conv.epilogue, n, y, x + p, int64_t{group} * conv.group_channels + c, left, out);
      }
    }
  }

  template <int P, int B>
  static void float_tile(const Convolution& conv, const float* base, const float* filters, int64_t n, int64_t y,
                         int64_t x, int32_t group, int32_t block) {
    constexpr int V = B * kVectors;
    const int64_t block_floats = conv.depth * kBlock, step = conv.in_pixel;
    F sum[P][V];
    for (int p = 0; p < P; p++)
      for (int v = 0; v < V; v++) sum[p][v] = I::set(0.0f);
    for (const Segment *s = conv.segments, *end = s + conv.segment_count; s != end; s++) {
      const float* a[P];
      for (int p = 0; p < P; p++) a[p] = base + s->offset + p * step;
      for (int32_t k = 0; k < s->length; k++, filters += kBlock) {
        F w[V];
        for (int v = 0; v < V; v++) w[v] = I::load(filters + (v / kVectors) * block_floats + (v % kVectors) * I::kLanes);
        for (int p = 0; p < P; p++) {
          const F d = I::set(a[p][k]);
          for (int v = 0; v < V; v++) sum[p][v] = I::fma(sum[p][v], d, w[v]);
        }
      }
    }
    for (int p = 0; p < P; p++)
      for (int b = 0; b < B; b++) {
        const int64_t c = int64_t{block + b} * kBlock;
        int64_t left = conv.group_channels - c;
        if (left <= 0) continue;
        if (left > kBlock) left = kBlock;
        finish(conv.epilogue, n, y, x + p, int64_t{group} * conv.group_channels + c, left, &sum[p][b * kVectors]);
      }
  }

  // Tiles of 1 to P pixels: the last of a row is a smaller one, so that nothing outside of the row is read.
  template <int P>
  static void binary_row(const Convolution& conv, const uint32_t* base, const uint32_t* filters, int64_t n, int64_t y,
                         int64_t x, int64_t pixels, int32_t group, int32_t block, int32_t blocks) {
    if constexpr (P > 0) {
      if (pixels != P) return binary_row<P - 1>(conv, base, filters, n, y, x, pixels, group, block, blocks);
      if (blocks >= I::kBlocks) binary_tile<P, I::kBlocks>(conv, base, filters, n, y, x, group, block);
      else binary_tile<P, 1>(conv, base, filters, n, y, x, group, block);
    }
  }
  template <int P>
  static void float_row(const Convolution& conv, const float* base, const float* filters, int64_t n, int64_t y,
                        int64_t x, int64_t pixels, int32_t group, int32_t block, int32_t blocks) {
    if constexpr (P > 0) {
      if (pixels != P) return float_row<P - 1>(conv, base, filters, n, y, x, pixels, group, block, blocks);
      if (blocks >= I::kBlocks) float_tile<P, I::kBlocks>(conv, base, filters, n, y, x, group, block);
      else float_tile<P, 1>(conv, base, filters, n, y, x, group, block);
    }
  }

  template <class T, bool kBinary>
  static BIBENCH_INLINE void convolve(const Convolution& conv, const Part& part) {
    const T* in = static_cast<const T*>(conv.in) + part.group * conv.in_group;
    const T* filters = static_cast<const T*>(conv.filters) + int64_t{part.group} * conv.group_blocks * conv.depth * kBlock;
    // Filters outermost: a block stays in the first-level cache while the rows pass by.
    for (int32_t block = part.block0; block < part.block1; block += I::kBlocks) {
      const T* w = filters + block * conv.depth * kBlock;
      for (int64_t row = part.row0; row < part.row1; row++) {
        const int64_t n = row / conv.epilogue.height, y = row % conv.epilogue.height;
        const T* line = in + n * conv.in_sample + y * conv.in_row;
        for (int64_t x = part.x0; x < part.x1; x += conv.tile) {
          const int64_t pixels = part.x1 - x < conv.tile ? part.x1 - x : conv.tile;
          if constexpr (kBinary)
            binary_row<I::kBinaryTile>(conv, line + x * conv.in_pixel, w, n, y, x, pixels, part.group, block, part.block1 - block);
          else
            float_row<I::kFloatTile>(conv, line + x * conv.in_pixel, w, n, y, x, pixels, part.group, block, part.block1 - block);
        }
      }
    }
  }
  static void binary(const Convolution& conv, const Part& part) { convolve<uint32_t, true>(conv, part); }
  static void dense(const Convolution& conv, const Part& part) { convolve<float, false>(conv, part); }

  static void map(const Map& m, int64_t row0, int64_t row1) {
    const Epilogue& e = m.epilogue;
    for (int64_t row = row0; row < row1; row++)
      for (int64_t x = 0; x < e.width; x++) {
        const float* in = m.in + (row * e.width + x) * e.channels;
        for (int64_t c = 0; c < e.channels; c += kBlock) {
          const int64_t left = e.channels - c < kBlock ? e.channels - c : kBlock;
          F v[kVectors];
          for (int i = 0; i < kVectors; i++)
            v[i] = left - i * I::kLanes > 0 ? load_part(in + c + i * I::kLanes, left - i * I::kLanes) : I::set(0.0f);
          finish(e, row / e.height, row % e.height, x, c, left, v);
        }
      }
  }

  static void depthwise(const DepthwiseConvolution& d, int64_t row0, int64_t row1) {
    const Epilogue& e = d.epilogue;
    for (int64_t row = row0; row < row1; row++) {
      const int64_t n = row / e.height, y = row % e.height;
      for (int64_t x = 0; x < e.width; x++) {
        const float* in = d.in + n * d.in_sample + y * d.in_row + x * d.in_pixel;
        for (int64_t c = 0; c < e.channels; c += kBlock) {
          const int64_t left = e.channels - c < kBlock ? e.channels - c : kBlock;
          F v[kVectors];
          for (int i = 0; i < kVectors; i++) {
            v[i] = I::set(0.0f);
            const int64_t at = c + i * I::kLanes, rest = e.channels - at;
            if (rest <= 0) continue;
            for (int32_t t = 0; t < d.taps; t++)
              v[i] = I::fma(v[i], load_part(in + d.offsets[t] + at, rest), load_part(d.filters + t * e.channels + at, rest));
          }
          finish(e, n, y, x, c, left, v);
        }
      }
    }
  }

  static void maximum(float* y, const float* x, int64_t n) {
    int64_t i = 0;
    // The first operand wins a comparison with NaN, so it must be x.
    for (; i + I::kLanes <= n; i += I::kLanes) I::store(y + i, I::max(I::load(y + i), I::load(x + i)));
    for (; i < n; i++) y[i] = x[i] > y[i] ? x[i] : y[i];
  }
  static void accumulate(float* y, const float* x, int64_t n) {
    int64_t i = 0;
    for (; i + I::kLanes <= n; i += I::kLanes) I::store(y + i, I::add(I::load(y + i), I::load(x + i)));
    for (; i < n; i++) y[i] += x[i];
  }

  // What one core can do at best: nothing but xor, popcount and add on registers. The sums feed the next round,
  // so that no compiler can take the loop apart.
  static double ceiling(int64_t rounds) {
    constexpr int N = I::kCeilingChains;
    W sum[N], a[N];
    for (int i = 0; i < N; i++) {
      sum[i] = I::zero();
      a[i] = I::set_words(0x9e3779b9u * uint32_t(i + 1));
    }
    for (int64_t r = 0; r < rounds; r++)
      for (int i = 0; i < N; i++) sum[i] = I::count(sum[i], a[i], sum[i]);
    uint32_t lanes[I::kLanes], keep = 0;
    for (int i = 0; i < N; i++) {
      I::store_words(lanes, sum[i]);
      for (uint32_t lane : lanes) keep += lane;
    }
    // `keep` is never this value, but that is more than a compiler knows.
    return double(rounds) * N * I::kLanes * 32 + (keep == 0x12345678u ? 1e-9 : 0.0);
  }

  static constexpr Kernels table(const char* name) {
    return Kernels{name,      I::kBinaryTile, I::kFloatTile, binary,     dense,
                   map,       depthwise,      maximum,       accumulate, ceiling};
  }
};

}  // namespace bibench
