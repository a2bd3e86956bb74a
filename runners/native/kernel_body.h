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
// Arrays of vectors live in registers only where every index is known.
#if defined(__clang__)
#define BIBENCH_UNROLL _Pragma("unroll")
#else
#define BIBENCH_UNROLL _Pragma("GCC unroll 32")
#endif
#define BIBENCH_FOR(i, n) BIBENCH_UNROLL for (int i = 0; i < (n); i++)

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

  template <int P, int V>
  static BIBENCH_INLINE void activate_tile(const Epilogue& e, F (&t)[P][V], int64_t c) {
    if (e.activation == bbm::kNoActivation) return;
    if (e.activation == bbm::kRelu) {
      BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) t[p][v] = I::max(t[p][v], I::set(0.0f));
    } else if (e.activation == bbm::kClip) {
      const F low = I::set(e.low), high = I::set(e.high);
      BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) t[p][v] = I::min(I::max(t[p][v], low), high);
    } else {
      BIBENCH_FOR(v, V) {
        const F slope = I::load(e.slope + c + v * I::kLanes);
        if (e.shift_in) {
          const F shift = I::load(e.shift_in + c + v * I::kLanes);
          BIBENCH_FOR(p, P) t[p][v] = I::add(t[p][v], shift);
        }
        BIBENCH_FOR(p, P) t[p][v] = I::prelu(t[p][v], slope);
        if (e.shift_out) {
          const F shift = I::load(e.shift_out + c + v * I::kLanes);
          BIBENCH_FOR(p, P) t[p][v] = I::add(t[p][v], shift);
        }
      }
    }
  }

  // The same for a whole tile in registers: every decision is taken once for P × B blocks, each channel's constants
  // are loaded once for P pixels.
  template <int P, int B>
  static BIBENCH_INLINE void finish_tile(const Epilogue& e, int64_t n, int64_t y, int64_t x, int64_t c, F (&t)[P][B * kVectors]) {
    constexpr int V = B * kVectors, L = I::kLanes;
    const int64_t in_sample = y * e.width + x;
    const int64_t at = ((n * e.height + y) * e.width + x) * e.channels + c;
    if (e.multiplier && e.multiplier_pixel == 0) {
      BIBENCH_FOR(v, V) {
        const F m = I::load(e.multiplier + c + v * L);
        BIBENCH_FOR(p, P) t[p][v] = I::mul(t[p][v], m);
      }
    } else if (e.multiplier) {
      const float* m = e.multiplier + in_sample * e.channels + c;
      BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) t[p][v] = I::mul(t[p][v], I::load(m + p * e.channels + v * L));
    }
    if (e.factor) {
      const float* f = e.factor + n * e.factor_sample + y * e.factor_row + x * e.factor_pixel;
      BIBENCH_FOR(p, P) {
        const F factor = I::set(f[p * e.factor_pixel]);
        BIBENCH_FOR(v, V) t[p][v] = I::mul(t[p][v], factor);
      }
    }
    if (e.bias && e.bias_pixel == 0) {
      BIBENCH_FOR(v, V) {
        const F b = I::load(e.bias + c + v * L);
        BIBENCH_FOR(p, P) t[p][v] = I::add(t[p][v], b);
      }
    } else if (e.bias) {
      const float* b = e.bias + in_sample * e.channels + c;
      BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) t[p][v] = I::add(t[p][v], I::load(b + p * e.channels + v * L));
    }
    if (e.activation_first) activate_tile<P, V>(e, t, c);
    if (e.residual) {
      const float* r = e.residual + at;
      BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) t[p][v] = I::add(t[p][v], I::load(r + p * e.channels + v * L));
    }
    if (!e.activation_first) activate_tile<P, V>(e, t, c);
    if (e.out) {
      float* out = e.out + at;
      BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) I::store(out + p * e.channels + v * L, t[p][v]);
    }
    if (e.bits) {
      uint32_t bits[P] = {};
      BIBENCH_FOR(v, V) {
        const F threshold = I::load(e.threshold + c + v * L);
        BIBENCH_FOR(p, P) bits[p] |= I::below(t[p][v], threshold) << (v * L);
      }
      const int64_t block = c / kBlock, step = e.bits_pixel;
      uint32_t direction = e.direction[block];
      if (B == 2) direction |= uint32_t{e.direction[block + B - 1]} << 16;
      uint8_t* to = e.bits + n * e.bits_sample + y * e.bits_row + x * step + block * 2;
      const bool clears = block + B + 1 == e.bits_halves;  // one half is left over, and nobody else's
      BIBENCH_FOR(p, P) {
        bits[p] ^= direction;
        memcpy(to + p * step, &bits[p], 2 * B);
        if (clears) memset(to + p * step + 2 * B, 0, 2);
      }
    }
  }

  template <int P, int B>
  static BIBENCH_INLINE void finish_blocks(const Convolution& conv, int64_t n, int64_t y, int64_t x, int32_t group,
                                           int32_t block, F (&t)[P][B * kVectors]) {
    const int64_t c = int64_t{block} * kBlock, first = int64_t{group} * conv.group_channels + c;
    if (c + B * kBlock <= conv.group_channels) return finish_tile<P, B>(conv.epilogue, n, y, x, first, t);
    F copy[P][B * kVectors];  // the odd block is indexed by numbers known at run time only, and `t` is not to be
    memcpy(copy, t, sizeof copy);
    for (int p = 0; p < P; p++)
      for (int b = 0; b < B; b++) {
        const int64_t left = conv.group_channels - c - b * kBlock;
        if (left > 0)
          finish(conv.epilogue, n, y, x + p, first + b * kBlock, left < kBlock ? left : kBlock, &copy[p][b * kVectors]);
      }
  }

  template <int P, int B>
  static void binary_tile(const Convolution& conv, const uint32_t* base, const uint32_t* filters, int64_t n, int64_t y,
                          int64_t x, int32_t group, int32_t block) {
    constexpr int V = B * kVectors;
    const int64_t block_words = conv.depth * kBlock, step = conv.in_pixel;
    W total[P][V];
    W count[P][V];
    BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) count[p][v] = total[p][v] = I::zero();
    for (const Segment *s = conv.segments, *end = s + conv.segment_count; s != end; s++) {
      const uint32_t* a[P];
      BIBENCH_FOR(p, P) a[p] = base + s->offset + p * step;
      for (int32_t k = 0; k < s->length; k++, filters += kBlock) {
        W w[V];
        BIBENCH_FOR(v, V)
          w[v] = I::load_words(filters + (v / kVectors) * block_words + (v % kVectors) * I::kLanes);
        BIBENCH_FOR(p, P) {
          const W d = I::set_words(a[p][k]);
          BIBENCH_FOR(v, V) count[p][v] = I::count(count[p][v], d, w[v]);
        }
      }
      if (I::kBytes && s->flush)
        BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) {
            total[p][v] = I::widen(total[p][v], count[p][v]);
            count[p][v] = I::zero();
          }
    }
    const int64_t first = int64_t{group} * conv.group_channels + int64_t{block} * kBlock;
    F t[P][V];
    BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) t[p][v] = I::dot(I::kBytes ? total[p][v] : count[p][v], conv.taps);
    if (conv.correction) {
      const int64_t row = int64_t{conv.row_class[y]} * conv.column_classes;
      BIBENCH_FOR(p, P) {
        const int64_t which = row + conv.column_class[x + p];
        if (which == 0) continue;
        const float* correction = conv.correction + which * conv.correction_channels + first;
        BIBENCH_FOR(v, V) t[p][v] = I::add(t[p][v], I::load(correction + v * I::kLanes));
      }
    }
    finish_blocks<P, B>(conv, n, y, x, group, block, t);
  }

  template <int P, int B>
  static void float_tile(const Convolution& conv, const float* base, const float* filters, int64_t n, int64_t y,
                         int64_t x, int32_t group, int32_t block) {
    constexpr int V = B * kVectors;
    const int64_t block_floats = conv.depth * kBlock, step = conv.in_pixel;
    F sum[P][V];
    BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) sum[p][v] = I::set(0.0f);
    for (const Segment *s = conv.segments, *end = s + conv.segment_count; s != end; s++) {
      const float* a[P];
      BIBENCH_FOR(p, P) a[p] = base + s->offset + p * step;
      for (int32_t k = 0; k < s->length; k++, filters += kBlock) {
        F w[V];
        BIBENCH_FOR(v, V) w[v] = I::load(filters + (v / kVectors) * block_floats + (v % kVectors) * I::kLanes);
        BIBENCH_FOR(p, P) {
          const F d = I::set(a[p][k]);
          BIBENCH_FOR(v, V) sum[p][v] = I::fma(sum[p][v], d, w[v]);
        }
      }
    }
    finish_blocks<P, B>(conv, n, y, x, group, block, sum);
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
    const Epilogue e = m.epilogue;  // a copy: what is stored can't change it
    for (int64_t row = row0; row < row1; row++)
      for (int64_t x = 0; x < e.width; x++) {
        const float* in = m.in + (row * e.width + x) * e.channels;
        int64_t c = 0;
        for (; c + kBlock <= e.channels; c += kBlock) {
          F v[1][kVectors];
          BIBENCH_FOR(i, kVectors) v[0][i] = I::load(in + c + i * I::kLanes);
          finish_tile<1, 1>(e, row / e.height, row % e.height, x, c, v);
        }
        if (c < e.channels) {
          const int64_t left = e.channels - c;
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
    W sum[N];
    const W a = I::set_words(0x9e3779b9u);
    BIBENCH_FOR(i, N) sum[i] = I::set_words(uint32_t(i));
    for (int64_t r = 0; r < rounds; r++) BIBENCH_FOR(i, N) sum[i] = I::count(sum[i], a, sum[i]);
    uint32_t lanes[I::kLanes], keep = 0;
    BIBENCH_FOR(i, N) {
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
