// 32-bit ARM with NEON (ARMv7-A): 16 registers of 128 bits.
//
// Binary: a tile is 2 pixels × 16 filters. 8 registers of counts per byte, 4 of filter words, 1 of a pixel's word in
// all four lanes, 2 for VEOR and VCNT in progress: 15 of 16, of which clang's order of loads spills one. Three
// instructions (VEOR, VCNT, VADD) for 128 MACs; the sums of 32 bits, to which bytes are widened (VPADDL, VPADAL) after
// 31 words at most, wait in the first-level cache.
// VLD1 to all lanes is one load, so words are not broadcast ahead as on AArch64: that would only add stores.
// Float: 2 pixels × 16 filters: 8 sums, 4 of filters, 1 broadcast. VMLA, which rounds the product: a fused one is not
// in every ARMv7. NEON takes subnormal numbers as 0.
#if defined(__arm__) && defined(__ARM_NEON)
#include <arm_neon.h>

#include "kernel_body.h"

namespace bibench {

struct Neon32 {
  using F = float32x4_t;
  using W = uint32x4_t;
  static constexpr int kLanes = 4, kBlocks = 1, kBinaryTile = 2, kFloatTile = 2, kMapTile = 1, kCeilingWords = 3;
  static constexpr bool kBytes = true, kExpands = false;
  static BIBENCH_INLINE F load(const float* p) { return vld1q_f32(p); }
  static BIBENCH_INLINE void store(float* p, F v) { vst1q_f32(p, v); }
  static BIBENCH_INLINE F set(float x) { return vdupq_n_f32(x); }
  static BIBENCH_INLINE F add(F a, F b) { return vaddq_f32(a, b); }
  static BIBENCH_INLINE F mul(F a, F b) { return vmulq_f32(a, b); }
  static BIBENCH_INLINE F fma(F s, F a, F b) { return vmlaq_f32(s, a, b); }
  static BIBENCH_INLINE F max(F v, F b) { return vmaxq_f32(v, b); }
  static BIBENCH_INLINE F min(F v, F b) { return vminq_f32(v, b); }
  static BIBENCH_INLINE F prelu(F v, F slope) { return vbslq_f32(vcltq_f32(v, set(0.0f)), vmulq_f32(v, slope), v); }
  // One bit a lane.
  static BIBENCH_INLINE uint32_t gathered(W lanes) {
    const W bits = {1, 2, 4, 8};
    const W each = vandq_u32(lanes, bits);
    const uint32x2_t pair = vorr_u32(vget_low_u32(each), vget_high_u32(each));
    return vget_lane_u32(vpadd_u32(pair, pair), 0);
  }
  static BIBENCH_INLINE uint32_t below(F v, F t) { return gathered(vmvnq_u32(vcgeq_f32(v, t))); }
  static BIBENCH_INLINE uint32_t above(W a, W b) {
    return gathered(vcgtq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b)));
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
    return vmlsq_n_f32(vdupq_n_f32(taps), vcvtq_f32_u32(count), 2.0f);  // exact
  }
};

const Kernels kNeon = Body<Neon32>::table("neon");

}  // namespace bibench
#endif
