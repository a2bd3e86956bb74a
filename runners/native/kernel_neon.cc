// AArch64.
//
// Binary: a tile is 4 pixels × 16 filters. 16 registers of counts per byte, 4 of filter words, 4 of a pixel's word in
// all four lanes, 4 for EOR and CNT in progress: 28 of 32. Three instructions (EOR, CNT, ADD) for 128 MACs; a
// byte takes 31 words before it must be widened (UADDLP, UADALP) to the four sums of 32 bits, one a filter.
// LD1R takes a vector pipe on A72 and A76 beside the load, so words are broadcast once per tile into a first-level
// cache's worth of stack, and the loop over the filters has nothing but plain loads beside the three instructions.
// ADD on bytes rather than UADALP in the loop: UADALP runs on one pipe only on A72 and A76.
// Float: 6 pixels × 16 filters: 24 sums, 4 of filters, 2 broadcast.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "kernel_body.h"

namespace bibench {

struct Neon {
  using F = float32x4_t;
  using W = uint32x4_t;
  static constexpr int kLanes = 4, kBlocks = 1, kBinaryTile = 4, kFloatTile = 6, kMapTile = 2, kCeilingWords = 6;
  static constexpr bool kBytes = true, kExpands = true;
  static BIBENCH_INLINE F load(const float* p) { return vld1q_f32(p); }
  static BIBENCH_INLINE void store(float* p, F v) { vst1q_f32(p, v); }
  static BIBENCH_INLINE F set(float x) { return vdupq_n_f32(x); }
  static BIBENCH_INLINE F add(F a, F b) { return vaddq_f32(a, b); }
  static BIBENCH_INLINE F mul(F a, F b) { return vmulq_f32(a, b); }
  static BIBENCH_INLINE F fma(F s, F a, F b) { return vfmaq_f32(s, a, b); }
  static BIBENCH_INLINE F max(F v, F b) { return vmaxq_f32(v, b); }
  static BIBENCH_INLINE F min(F v, F b) { return vminq_f32(v, b); }
  static BIBENCH_INLINE F prelu(F v, F slope) { return vbslq_f32(vcltzq_f32(v), vmulq_f32(v, slope), v); }
  static BIBENCH_INLINE uint32_t below(F v, F t) {
    const uint32x4_t bit = {1, 2, 4, 8};
    return vaddvq_u32(vbicq_u32(bit, vcgeq_f32(v, t)));
  }
  static BIBENCH_INLINE uint32_t above(W a, W b) {
    const uint32x4_t bit = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(bit, vcgtq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b))));
  }
  static BIBENCH_INLINE W zero() { return vdupq_n_u32(0); }
  static BIBENCH_INLINE W load_words(const uint32_t* p) { return vld1q_u32(p); }
  static BIBENCH_INLINE void store_words(uint32_t* p, W v) { vst1q_u32(p, v); }
  static BIBENCH_INLINE W set_words(uint32_t x) { return vdupq_n_u32(x); }
  static BIBENCH_INLINE void hide(W& v) { asm volatile("" : "+w"(v)); }
  static BIBENCH_INLINE W count(W sum, W a, W b) {
    return vreinterpretq_u32_u8(
        vaddq_u8(vreinterpretq_u8_u32(sum), vcntq_u8(vreinterpretq_u8_u32(veorq_u32(a, b)))));
  }
  static BIBENCH_INLINE W widen(W total, W count) {
    return vpadalq_u16(total, vpaddlq_u8(vreinterpretq_u8_u32(count)));
  }
  static BIBENCH_INLINE F dot(W count, float taps) {
    return vfmsq_n_f32(vdupq_n_f32(taps), vcvtq_f32_u32(count), 2.0f);  // exact
  }
};

const Kernels kNeon = Body<Neon>::table("neon");

}  // namespace bibench
#endif
