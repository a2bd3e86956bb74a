// What happens to results in registers before anything is stored, for every kernel: written once over an instruction
// set I, which says
//   F, W            vectors of I::kLanes floats, and of as many 32-bit words
// It is included only by kernel_*.cc, inside of their region of target options: everything here is a template over I,
// so that no function compiled for one instruction set can be linked in place of another's.
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
struct Finish {
  using F = typename I::F;
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
      store_bits<P, B>(e, e.direction, n, y, x, c, bits);
    }
  }

  // B blocks of P pixels; channels whose direction is set are turned around.
  template <int P, int B>
  static BIBENCH_INLINE void store_bits(const Epilogue& e, const uint16_t* direction, int64_t n, int64_t y, int64_t x,
                                        int64_t c, uint32_t (&bits)[P]) {
    const int64_t block = c / kBlock, step = e.bits_pixel;
    uint32_t turned = direction[block];
    if (B == 2) turned |= uint32_t{direction[block + B - 1]} << 16;
    uint8_t* to = e.bits + n * e.bits_sample + y * e.bits_row + x * step + block * 2;
    const bool clears = block + B + 1 == e.bits_halves;  // one half is left over, and nobody else's
    BIBENCH_FOR(p, P) {
      bits[p] ^= turned;
      memcpy(to + p * step, &bits[p], 2 * B);
      if (clears) memset(to + p * step + 2 * B, 0, 2);
    }
  }
};

}  // namespace bibench
