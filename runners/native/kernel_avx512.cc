// x86-64 with AVX-512 VPOPCNTDQ.
//
// Binary: a tile is 8 pixels × 32 filters. zmm of 16 sums of 32 bits, one lane a filter: 16 registers of sums, 2 of
// filter words, 1 of the pixel's word broadcast from memory, 2 for the xor's and popcount's results: 21 of 32. Each
// filter word loaded serves 8 pixels, each broadcast 32 filters: 10 loads for 16 × (xor, popcount, add), so the
// popcounts, which only one or two ports execute, are what limits. 16 sums hide the latency of popcount + add.
// Float: the same tile, 16 sums, 2 of filters, 1 broadcast; each sum is one fused multiply-add per channel.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx2,fma"))), apply_to = function)
#else
// gcc 12 warns about its own _mm512_undefined_ps().
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
// gcc schedules for no CPU in particular unless told; for these loops that costs 3 to 7 per cent (gcc 12 on Zen 4,
// measured by benchmarks/native_kernels.py: as clang is, with this).
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx2,fma,prefer-vector-width=512,tune=haswell")
#endif

#include "kernel_body.h"

namespace bibench {

struct Avx512 {
  using F = __m512;
  using W = __m512i;
  static constexpr int kLanes = 16, kBlocks = 2, kBinaryTile = 8, kFloatTile = 8, kMapTile = 4, kCeilingWords = 6;
  static constexpr bool kBytes = false, kExpands = false;
  static BIBENCH_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  static BIBENCH_INLINE void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static BIBENCH_INLINE F set(float x) { return _mm512_set1_ps(x); }
  static BIBENCH_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  static BIBENCH_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static BIBENCH_INLINE F fma(F s, F a, F b) { return _mm512_fmadd_ps(a, b, s); }
  // NaN in v stays: the second operand is returned when either is NaN.
  static BIBENCH_INLINE F max(F v, F b) { return _mm512_max_ps(b, v); }
  static BIBENCH_INLINE F min(F v, F b) { return _mm512_min_ps(b, v); }
  static BIBENCH_INLINE F prelu(F v, F slope) {
    return _mm512_mask_mul_ps(v, _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ), v, slope);
  }
  static BIBENCH_INLINE uint32_t below(F v, F t) { return _mm512_cmp_ps_mask(v, t, _CMP_NGE_UQ); }
  static BIBENCH_INLINE uint32_t above(W a, W b) { return _mm512_cmpgt_epi32_mask(a, b); }
  static BIBENCH_INLINE W zero() { return _mm512_setzero_si512(); }
  static BIBENCH_INLINE W load_words(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static BIBENCH_INLINE void store_words(uint32_t* p, W v) { _mm512_storeu_si512(p, v); }
  static BIBENCH_INLINE W set_words(uint32_t x) { return _mm512_set1_epi32(int(x)); }
  static BIBENCH_INLINE void hide(W& v) { asm volatile("" : "+v"(v)); }
  static BIBENCH_INLINE W count(W sum, W a, W b) {
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(a, b)));
  }
  static BIBENCH_INLINE W widen(W, W count) { return count; }
  static BIBENCH_INLINE F dot(W count, float taps) {
    return _mm512_fnmadd_ps(_mm512_set1_ps(2.0f), _mm512_cvtepi32_ps(count), _mm512_set1_ps(taps));  // exact
  }
};

const Kernels kAvx512 = Body<Avx512>::table("avx512");

}  // namespace bibench

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
