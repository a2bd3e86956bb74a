// Any CPU: GCC's and Clang's vectors of 16 bytes, which become SSE2, NEON, RVV or scalar code.
//
// Binary: a tile is 2 pixels × 16 filters. 8 vectors of counts per byte, 4 of filter words, 1 broadcast; the rest
// of a 16-register file is left to the popcount by shifts and masks, which costs eleven operations.
// Float: 2 pixels × 16 filters: 8 sums, 4 of filters, 1 broadcast. No fused multiply-add is assumed.
#include "kernel_body.h"

namespace bibench {

struct Portable {
  typedef float F __attribute__((vector_size(16)));
  typedef uint32_t W __attribute__((vector_size(16)));
  typedef int32_t S __attribute__((vector_size(16)));
  typedef uint8_t B __attribute__((vector_size(16)));
  static constexpr int kLanes = 4, kBlocks = 1, kBinaryTile = 2, kFloatTile = 2, kMapTile = 1, kCeilingWords = 2;
  static constexpr bool kBytes = true, kExpands = false;
  static BIBENCH_INLINE F load(const float* p) { F v; memcpy(&v, p, 16); return v; }
  static BIBENCH_INLINE void store(float* p, F v) { memcpy(p, &v, 16); }
  static BIBENCH_INLINE F set(float x) { return F{x, x, x, x}; }
  static BIBENCH_INLINE F add(F a, F b) { return a + b; }
  static BIBENCH_INLINE F mul(F a, F b) { return a * b; }
  static BIBENCH_INLINE F fma(F s, F a, F b) { return s + a * b; }
  static BIBENCH_INLINE F select(S mask, F yes, F no) { return F((S(yes) & mask) | (S(no) & ~mask)); }
  // NaN in v stays.
  static BIBENCH_INLINE F max(F v, F b) { return select(b > v, b, v); }
  static BIBENCH_INLINE F min(F v, F b) { return select(b < v, b, v); }
  static BIBENCH_INLINE F prelu(F v, F slope) { return select(v < set(0.0f), v * slope, v); }
  static BIBENCH_INLINE uint32_t below(F v, F t) {
    const S at_least = v >= t;
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++) bits |= (at_least[i] ? 0u : 1u) << i;
    return bits;
  }
  static BIBENCH_INLINE uint32_t above(W a, W b) {
    const S greater = S(a) > S(b);
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++) bits |= (greater[i] ? 1u : 0u) << i;
    return bits;
  }
  static BIBENCH_INLINE W zero() { return W{0, 0, 0, 0}; }
  static BIBENCH_INLINE W load_words(const uint32_t* p) { W v; memcpy(&v, p, 16); return v; }
  static BIBENCH_INLINE void store_words(uint32_t* p, W v) { memcpy(p, &v, 16); }
  static BIBENCH_INLINE W set_words(uint32_t x) { return W{x, x, x, x}; }
  static BIBENCH_INLINE void hide(W& v) { asm volatile("" : : "g"(&v) : "memory"); }
  static BIBENCH_INLINE W count(W sum, W a, W b) {
    W x = a ^ b;
    x = x - ((x >> 1) & set_words(0x55555555u));
    x = (x & set_words(0x33333333u)) + ((x >> 2) & set_words(0x33333333u));
    return sum + ((x + (x >> 4)) & set_words(0x0f0f0f0fu));  // no byte passes 255, so none carries into the next
  }
  static BIBENCH_INLINE W widen(W total, W count) {
    const W pairs = (count & set_words(0x00ff00ffu)) + ((count >> 8) & set_words(0x00ff00ffu));
    return total + (pairs & set_words(0xffffu)) + (pairs >> 16);
  }
  static BIBENCH_INLINE F dot(W count, float taps) {
    F v;
    for (int i = 0; i < 4; i++) v[i] = taps - float(2 * count[i]);
    return v;
  }
};

const Kernels kPortable = Body<Portable>::table("portable");

}  // namespace bibench
