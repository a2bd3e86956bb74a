// The loops that every kernel shares, written once over an instruction set I (see kernel_epilogue.h), which says
//   kBinaryTile, kFloatTile, kBlocks   pixels and blocks of 16 filters held in registers
//   kMapTile        pixels of 16 channels that MAP takes at a time
//   kBytes          count() returns counts per byte (which must be widened before they overflow), or per word
//   kExpands        a broadcast from memory costs an instruction: pixels are broadcast once for many filters
#pragma once

#include "kernel_epilogue.h"

namespace bibench {

template <class I>
struct Body : Finish<I> {
  using F = typename I::F;
  using W = typename I::W;
  using Finish<I>::kVectors;
  using Finish<I>::finish;
  using Finish<I>::load_part;
  template <int P, int B>
  static BIBENCH_INLINE void store_bits(const Epilogue& e, const uint16_t* direction, int64_t n, int64_t y, int64_t x,
                                        int64_t c, uint32_t (&bits)[P]) {
    Finish<I>::template store_bits<P, B>(e, direction, n, y, x, c, bits);
  }

  // 32 KB of a thread's stack: a first-level cache. Deeper convolutions take the other way.
  static constexpr int64_t kExpandedWords = 8192;

  template <int P, int B>
  static BIBENCH_INLINE void finish_blocks(const Convolution& conv, int64_t n, int64_t y, int64_t x, int32_t group,
                                           int32_t block, F (&t)[P][B * kVectors]) {
    const int64_t c = int64_t{block} * kBlock, first = int64_t{group} * conv.group_channels + c;
    if (c + B * kBlock <= conv.group_channels) return Finish<I>::template finish_tile<P, B>(conv.epilogue, n, y, x, first, t);
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
  static BIBENCH_INLINE void finish_counts(const Convolution& conv, int64_t n, int64_t y, int64_t x, int32_t group,
                                           int32_t block, const W (&count)[P][B * kVectors]) {
    constexpr int V = B * kVectors;
    const int64_t first = int64_t{group} * conv.group_channels + int64_t{block} * kBlock;
    const bool corrected = conv.correction && (conv.row_class[y] != 0 || x < conv.inner0 || x + P > conv.inner1);
    if (conv.limit && !corrected && (block + B) * kBlock <= conv.group_channels) {
      uint32_t bits[P] = {};
      BIBENCH_FOR(v, V) {
        const W limit = I::load_words(conv.limit + first + v * I::kLanes);
        BIBENCH_FOR(p, P) bits[p] |= I::above(count[p][v], limit) << (v * I::kLanes);
      }
      return store_bits<P, B>(conv.epilogue, conv.limit_direction, n, y, x, first, bits);
    }
    F t[P][V];
    BIBENCH_FOR(p, P) BIBENCH_FOR(v, V) t[p][v] = I::dot(count[p][v], conv.taps);
    if (corrected) {
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
    finish_counts<P, B>(conv, n, y, x, group, block, I::kBytes ? total : count);
  }

  // Words of P pixels, each as a whole vector, in the order of the loop that reads them.
  template <int P>
  static BIBENCH_INLINE void expand(const Convolution& conv, const uint32_t* base, uint32_t* to) {
    for (const Segment *s = conv.segments, *end = s + conv.segment_count; s != end; s++)
      for (int32_t k = 0; k < s->length; k++)
        BIBENCH_FOR(p, P) {
          I::store_words(to, I::set_words(base[s->offset + p * conv.in_pixel + k]));
          to += I::kLanes;
        }
  }

  template <int P>
  static void expanded_tile(const Convolution& conv, const uint32_t* expanded, const uint32_t* filters, int64_t n,
                            int64_t y, int64_t x, int32_t group, int32_t block) {
    W total[P][kVectors], count[P][kVectors];
    BIBENCH_FOR(p, P) BIBENCH_FOR(v, kVectors) total[p][v] = I::zero();
    for (int64_t rest = conv.depth; rest > 0; rest -= kMaxSegment) {
      BIBENCH_FOR(p, P) BIBENCH_FOR(v, kVectors) count[p][v] = I::zero();
      const uint32_t* end = filters + (rest < kMaxSegment ? rest : kMaxSegment) * kBlock;
      for (; filters != end; filters += kBlock, expanded += P * I::kLanes) {
        W w[kVectors];
        BIBENCH_FOR(v, kVectors) w[v] = I::load_words(filters + v * I::kLanes);
        BIBENCH_FOR(p, P) {
          const W d = I::load_words(expanded + p * I::kLanes);
          BIBENCH_FOR(v, kVectors) count[p][v] = I::count(count[p][v], d, w[v]);
        }
      }
      BIBENCH_FOR(p, P) BIBENCH_FOR(v, kVectors) total[p][v] = I::widen(total[p][v], count[p][v]);
    }
    finish_counts<P, 1>(conv, n, y, x, group, block, total);
  }

  template <int P>
  static void expanded_row(const Convolution& conv, const uint32_t* base, const uint32_t* filters, int64_t n, int64_t y,
                           int64_t x, int64_t pixels, const Part& part) {
    if constexpr (P > 0) {
      if (pixels != P) return expanded_row<P - 1>(conv, base, filters, n, y, x, pixels, part);
      alignas(64) uint32_t expanded[kExpandedWords];
      expand<P>(conv, base, expanded);
      for (int32_t block = part.block0; block < part.block1; block++)
        expanded_tile<P>(conv, expanded, filters + block * conv.depth * kBlock, n, y, x, part.group, block);
    }
  }

  // Pixels outermost: each tile's words are broadcast once and pass by all filters.
  static void expanded(const Convolution& conv, const Part& part) {
    const uint32_t* in = static_cast<const uint32_t*>(conv.in) + part.group * conv.in_group;
    const uint32_t* filters =
        static_cast<const uint32_t*>(conv.filters) + int64_t{part.group} * conv.group_blocks * conv.depth * kBlock;
    for (int64_t row = part.row0; row < part.row1; row++) {
      const int64_t n = row / conv.epilogue.height, y = row % conv.epilogue.height;
      const uint32_t* line = in + n * conv.in_sample + y * conv.in_row;
      for (int64_t x = part.x0; x < part.x1; x += conv.tile) {
        const int64_t pixels = part.x1 - x < conv.tile ? part.x1 - x : conv.tile;
        expanded_row<I::kBinaryTile>(conv, line + x * conv.in_pixel, filters, n, y, x, pixels, part);
      }
    }
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
    // A part holds no more filters than stay in the first-level cache while its rows pass by.
    // Meanwhile the filters of the part behind this one are fetched, an even share a row: some kilobytes of bits.
    const char* next = reinterpret_cast<const char*>(filters + part.block1 * conv.depth * kBlock);
    const int64_t rows = part.row1 - part.row0, blocks = part.block1 - part.block0;
    const bool fetches = kBinary && rows > 1 && part.block1 + blocks <= conv.group_blocks;
    const int64_t share = fetches ? blocks * conv.depth * kBlock * 4 / rows : 0;
    for (int64_t row = part.row0; row < part.row1; row++) {
      const int64_t n = row / conv.epilogue.height, y = row % conv.epilogue.height;
      const T* line = in + n * conv.in_sample + y * conv.in_row;
      for (int64_t i = 0; i < share; i += 64) __builtin_prefetch(next + (row - part.row0) * share + i, 0, 2);
      for (int32_t block = part.block0; block < part.block1; block += I::kBlocks) {
        const T* w = filters + block * conv.depth * kBlock;
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
  static void binary(const Convolution& conv, const Part& part) {
    if constexpr (I::kExpands)
      if (conv.depth * conv.tile * I::kLanes <= kExpandedWords) return expanded(conv, part);
    convolve<uint32_t, true>(conv, part);
  }
  static void dense(const Convolution& conv, const Part& part) { convolve<float, false>(conv, part); }

  template <int P>
  static BIBENCH_INLINE void map_block(const Epilogue& e, const float* in, int64_t n, int64_t y, int64_t x, int64_t c) {
    F v[P][kVectors];
    BIBENCH_FOR(p, P) BIBENCH_FOR(i, kVectors) v[p][i] = I::load(in + p * e.channels + c + i * I::kLanes);
    Finish<I>::template finish_tile<P, 1>(e, n, y, x, c, v);
  }
  static void map(const Map& m, int64_t row0, int64_t row1) {
    constexpr int P = I::kMapTile;
    const Epilogue e = m.epilogue;  // a copy: what is stored can't change it
    for (int64_t row = row0; row < row1; row++) {
      const int64_t n = row / e.height, y = row % e.height;
      const float* in = m.in + row * e.width * e.channels;
      for (int64_t x = 0; x < e.width;) {
        const int64_t pixels = e.width - x < P ? 1 : P;
        int64_t c = 0;
        for (; c + kBlock <= e.channels; c += kBlock)
          if (pixels == P) map_block<P>(e, in, n, y, x, c);
          else map_block<1>(e, in, n, y, x, c);
        if (c < e.channels) {
          const int64_t left = e.channels - c;
          for (int64_t p = 0; p < pixels; p++) {
            const float* from = in + p * e.channels + c;
            F v[kVectors];
            BIBENCH_FOR(i, kVectors)
              v[i] = left - i * I::kLanes > 0 ? load_part(from + i * I::kLanes, left - i * I::kLanes) : I::set(0.0f);
            finish(e, n, y, x + p, c, left, v);
          }
        }
        x += pixels;
        in += pixels * e.channels;
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

  struct Maximum {
    static BIBENCH_INLINE F vectors(F y, F x) { return I::max(y, x); }
    static BIBENCH_INLINE float numbers(float y, float x) { return x > y ? x : y; }
  };
  struct Sum {
    static BIBENCH_INLINE F vectors(F y, F x) { return I::add(y, x); }
    static BIBENCH_INLINE float numbers(float y, float x) { return y + x; }
  };
  // V vectors stay in registers while all taps pass by.
  template <class Operation, int V>
  static BIBENCH_INLINE int64_t combine_vectors(float* y, const float* const* taps, int count, int64_t i, int64_t n) {
    for (; i + V * I::kLanes <= n; i += V * I::kLanes) {
      F result[V];
      BIBENCH_FOR(v, V) result[v] = I::load(y + i + v * I::kLanes);
      for (int t = 0; t < count; t++)
        BIBENCH_FOR(v, V) result[v] = Operation::vectors(result[v], I::load(taps[t] + i + v * I::kLanes));
      BIBENCH_FOR(v, V) I::store(y + i + v * I::kLanes, result[v]);
    }
    return i;
  }
  template <class Operation>
  static void combine(float* y, const float* const* taps, int count, int64_t n) {
    int64_t i = combine_vectors<Operation, 4>(y, taps, count, 0, n);
    i = combine_vectors<Operation, 1>(y, taps, count, i, n);
    for (; i < n; i++)
      for (int t = 0; t < count; t++) y[i] = Operation::numbers(y[i], taps[t][i]);
  }

  // What one core can do at best: nothing but xor, popcount and add on registers. hide() makes words seem new in every
  // round, so that no compiler can take the loop apart, at the cost of no instruction.
  static double ceiling(int64_t rounds) {
    constexpr int A = I::kCeilingWords, N = 2 * A;
    W sum[N], a[A], w[2];
    BIBENCH_FOR(i, N) sum[i] = I::zero();
    BIBENCH_FOR(i, A) a[i] = I::set_words(0x9e3779b9u * uint32_t(i + 1));
    BIBENCH_FOR(i, 2) w[i] = I::set_words(0x85ebca6bu * uint32_t(i + 1));
    for (int64_t r = 0; r < rounds; r++) {
      BIBENCH_FOR(i, A) I::hide(a[i]);
      BIBENCH_FOR(i, N) sum[i] = I::count(sum[i], a[i % A], w[i / A]);
    }
    uint32_t lanes[I::kLanes], keep = 0;
    BIBENCH_FOR(i, N) {
      I::store_words(lanes, sum[i]);
      for (uint32_t lane : lanes) keep += lane;
    }
    // `keep` is never this value, but that is more than a compiler knows.
    return double(rounds) * N * I::kLanes * 32 + (keep == 0x12345678u ? 1e-9 : 0.0);
  }

  // The same for fused multiply-adds (a multiplication and an addition where the CPU has none): independent chains
  // v = 1 + v/2, which stay away from denormal numbers and infinity. Twelve: more than the four cycles of two pipes
  // need, and they leave room for the constants in sixteen registers.
  static double float_ceiling(int64_t rounds) {
    constexpr int N = 12;
    F sum[N];
    const F half = I::set(0.5f), one = I::set(1.0f);
    BIBENCH_FOR(i, N) sum[i] = I::set(float(i));
    for (int64_t r = 0; r < rounds; r++) BIBENCH_FOR(i, N) sum[i] = I::fma(one, sum[i], half);
    float lanes[I::kLanes], keep = 0;
    BIBENCH_FOR(i, N) {
      I::store(lanes, sum[i]);
      for (float lane : lanes) keep += lane;
    }
    return double(rounds) * N * I::kLanes + (keep == -1.0f ? 1e-9 : 0.0);  // it is not negative, ever
  }

  static constexpr Kernels table(const char* name) {
    return Kernels{name,      I::kBinaryTile, I::kFloatTile, I::kExpands ? 16 : 2, binary,     dense,
                   map,       depthwise,      combine<Maximum>, combine<Sum>, ceiling,
                   float_ceiling};
  }
};

}  // namespace bibench
