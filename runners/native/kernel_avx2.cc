// x86-64 with AVX2 and FMA, no vector popcount.
//
// Binary: a tile is 4 pixels × 16 filters. A popcount is two look-ups of 4 bits (vpshufb); its counts per byte are
// added up as bytes (at most 8 a word, so 31 words before they must be widened to the 8 sums of 32 bits, one a
// filter, that wait in the first-level cache). 8 registers of byte sums, the table, the mask, 2 of filter words,
// 1 broadcast, 3 for a count in progress: 16 of 16. The shuffles' port limits.
// Float: 6 pixels × 16 filters: 12 sums, 2 of filters, 1 broadcast.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#include "kernel_body.h"

namespace bibench {

struct Avx2 {
  using F = __m256;
  using W = __m256i;
  static constexpr int kLanes = 8, kBlocks = 1, kBinaryTile = 4, kFloatTile = 6, kMapTile = 2, kCeilingWords = 2;
  static constexpr bool kBytes = true, kExpands = false;
  static BIBENCH_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
  static BIBENCH_INLINE void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static BIBENCH_INLINE F set(float x) { return _mm256_set1_ps(x); }
  static BIBENCH_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
  static BIBENCH_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static BIBENCH_INLINE F fma(F s, F a, F b) { return _mm256_fmadd_ps(a, b, s); }
  // NaN in v stays: the second operand is returned when either is NaN.
  static BIBENCH_INLINE F max(F v, F b) { return _mm256_max_ps(b, v); }
  static BIBENCH_INLINE F min(F v, F b) { return _mm256_min_ps(b, v); }
  static BIBENCH_INLINE F prelu(F v, F slope) {
    return _mm256_blendv_ps(v, _mm256_mul_ps(v, slope), _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_LT_OQ));
  }
  static BIBENCH_INLINE uint32_t below(F v, F t) {
    return uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(v, t, _CMP_NGE_UQ)));
  }
  static BIBENCH_INLINE uint32_t above(W a, W b) {
    return uint32_t(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))));
  }
  static BIBENCH_INLINE W zero() { return _mm256_setzero_si256(); }
  static BIBENCH_INLINE W load_words(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const W*>(p)); }
  static BIBENCH_INLINE void store_words(uint32_t* p, W v) { _mm256_storeu_si256(reinterpret_cast<W*>(p), v); }
  static BIBENCH_INLINE W set_words(uint32_t x) { return _mm256_set1_epi32(int(x)); }
  static BIBENCH_INLINE void hide(W& v) { asm volatile("" : "+x"(v)); }
  static BIBENCH_INLINE W count(W sum, W a, W b) {
    const W table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const W mask = _mm256_set1_epi8(15), x = _mm256_xor_si256(a, b);
    const W low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, mask));
    const W high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), mask));
    return _mm256_add_epi8(sum, _mm256_add_epi8(low, high));
  }
  static BIBENCH_INLINE W widen(W total, W count) {
    const W pairs = _mm256_maddubs_epi16(count, _mm256_set1_epi8(1));
    return _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static BIBENCH_INLINE F dot(W count, float taps) {
    return _mm256_fnmadd_ps(_mm256_set1_ps(2.0f), _mm256_cvtepi32_ps(count), _mm256_set1_ps(taps));  // exact
  }
};

const Kernels kAvx2 = Body<Avx2>::table("avx2");

}  // namespace bibench

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
