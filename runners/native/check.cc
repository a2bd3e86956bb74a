// Every operator before it is used: operands, enumerations, attributes, shapes that follow from each other.
#include <cmath>
#include <cstring>

#include "error.h"
#include "model.h"

namespace bibench {
namespace {

constexpr int64_t kMaxGeometry = 1 << 16;  // kernels, strides, dilations, pads

class Checker {
 public:
  Checker(const Model& model, uint32_t index, std::vector<char>& written)
      : m_(model), op_(model.op(index)), index_(index), written_(written) {}

  uint64_t check() {
    if (op_.opcode >= bbm::kOpcodes) bad("opcode");
    for (uint32_t id : op_.in) if (id != bbm::kNone) readable(id);
    for (float value : op_.floats) if (std::isnan(value)) bad("float attributes");
    const uint64_t work = dispatch();
    for (uint32_t id : op_.out) {
      if (id == bbm::kNone) continue;
      if (written_[id]) bad("output, which is written already");
      written_[id] = 1;
    }
    return work;
  }

 private:
  [[noreturn]] void bad(const char* what) const {
    fail("damaged: operator %u (%.80s): bad %s", index_, m_.text(op_.name), what);
  }
  void need(bool condition, const char* what) const { if (!condition) bad(what); }
  void readable(uint32_t id) const {
    need(id < m_.tensors(), "input");
    need(m_.constant(id) || written_[id], "input, which nothing has written");
  }
  bool has(int slot) const { return op_.in[slot] != bbm::kNone; }
  const uint32_t* dims(uint32_t id) const { return m_.tensor(id).dims; }
  int64_t integer(int slot, int64_t low, int64_t high, const char* what) const {
    need(op_.ints[slot] >= low && op_.ints[slot] <= high, what);
    return op_.ints[slot];
  }

  uint32_t float_input(int slot, bool may_be_constant = false) const {
    need(has(slot), "input");
    const uint32_t id = op_.in[slot];
    need(m_.tensor(id).dtype == bbm::kFloat32 && (may_be_constant || !m_.constant(id)), "input");
    return id;
  }
  uint32_t output(int slot, uint32_t dtype) const {
    const uint32_t id = op_.out[slot];
    need(id < m_.tensors() && !m_.constant(id) && m_.tensor(id).dtype == dtype, "output");
    return id;
  }
  void only_outputs(int count) const {
    for (int i = count; i < 4; i++) need(op_.out[i] == bbm::kNone, "output");
  }
  void same(const uint32_t* a, const uint32_t* b) const { need(memcmp(a, b, 16) == 0, "shape"); }

  void channel_constant(int slot, uint32_t channels, bool required = false) const {
    if (!has(slot)) { need(!required, "input"); return; }
    const uint32_t id = op_.in[slot];
    const uint32_t* d = dims(id);
    need(m_.constant(id) && m_.tensor(id).dtype == bbm::kFloat32, "constant");
    need(d[0] == 1 && d[1] == 1 && d[2] == 1 && d[3] == channels, "shape of a constant");
  }
  void map_constant(int slot, const uint32_t* out) const {
    if (!has(slot)) return;
    const uint32_t id = op_.in[slot];
    const uint32_t* d = dims(id);
    need(m_.constant(id) && m_.tensor(id).dtype == bbm::kFloat32 && d[0] == 1 && d[3] == out[3], "constant");
    need((d[1] == 1 && d[2] == 1) || (d[1] == out[1] && d[2] == out[2]), "shape of a constant");
  }

  // Dims of the results of an operator with an epilogue: those of its outputs, which must agree.
  const uint32_t* results() const {
    const uint32_t a = op_.out[bbm::kFloatOut], b = op_.out[bbm::kBitsOut];
    need(a != bbm::kNone || b != bbm::kNone, "output");
    only_outputs(2);
    if (a != bbm::kNone) output(0, bbm::kFloat32);
    if (b != bbm::kNone) output(1, bbm::kBits);
    need(a != b, "output");
    if (a != bbm::kNone && b != bbm::kNone) same(dims(a), dims(b));
    return dims(a != bbm::kNone ? a : b);
  }
  void epilogue(const uint32_t* out) const {
    map_constant(bbm::kMultiplier, out);
    map_constant(bbm::kBias, out);
    if (has(bbm::kFactor)) {
      const uint32_t* d = dims(float_input(bbm::kFactor, true));
      for (int i = 0; i < 3; i++) need(d[i] == out[i] || d[i] == 1, "shape of the factor");
      need(d[3] == 1, "shape of the factor");
    }
    if (has(bbm::kResidual)) same(dims(float_input(bbm::kResidual)), out);
    const int64_t kind = integer(bbm::kActivationKind, 0, bbm::kActivations - 1, "activation");
    integer(bbm::kActivationFirst, 0, 1, "activation");
    if (kind == bbm::kClip) need(op_.floats[bbm::kClipLow] <= op_.floats[bbm::kClipHigh], "clip");
    channel_constant(bbm::kSlope, out[3], kind == bbm::kPRelu);
    channel_constant(bbm::kShiftIn, out[3]);
    channel_constant(bbm::kShiftOut, out[3]);
    channel_constant(bbm::kThreshold, out[3], op_.out[bbm::kBitsOut] != bbm::kNone);
    channel_constant(bbm::kDirection, out[3]);
    if (has(bbm::kDirection)) {
      const float* d = m_.floats(op_.in[bbm::kDirection]);
      for (uint32_t c = 0; c < out[3]; c++) need(d[c] == 1 || d[c] == -1, "direction");
    }
    need(op_.in[11] == bbm::kNone, "input");
  }
  void window(int64_t in, int64_t out, int64_t kernel, int stride, int dilation, int before, int after) const {
    const int64_t s = integer(stride, 1, kMaxGeometry, "stride"), d = integer(dilation, 1, kMaxGeometry, "dilation");
    const int64_t padded = in + integer(before, 0, kMaxGeometry, "padding") + integer(after, 0, kMaxGeometry, "padding");
    const int64_t span = padded - d * (kernel - 1) - 1;
    need(kernel <= kMaxGeometry && span >= 0 && span / s + 1 == out, "geometry");
  }
  uint64_t convolution() const {
    const bool binary = op_.opcode == bbm::kBConv, deep = op_.opcode != bbm::kDwConv;
    need(has(bbm::kX) && has(bbm::kFilters), "input");
    const bbm::Tensor& x = m_.tensor(op_.in[bbm::kX]);
    const bbm::Tensor& w = m_.tensor(op_.in[bbm::kFilters]);
    need(x.storage == bbm::kActivation && x.dtype == (binary ? bbm::kBits : bbm::kFloat32), "input");
    const uint32_t filters = binary ? bbm::kBinaryFilters : deep ? bbm::kFloatFilters : bbm::kFloat32;
    need(w.dtype == filters && w.storage == bbm::kConstant, "filters");
    const uint32_t* out = results();
    need(out[0] == x.dims[0], "shape");
    if (deep) {
      const int64_t groups = integer(bbm::kGroups, 1, 1 << 28, "groups");
      need(w.groups == groups && (!binary || x.groups == groups), "groups");
      need(x.dims[3] == uint64_t{w.dims[3]} * w.groups && out[3] == w.dims[0], "channels");
    } else {
      need(w.dims[0] == 1 && w.dims[3] == x.dims[3] && out[3] == x.dims[3], "channels");
    }
    window(x.dims[1], out[1], w.dims[1], bbm::kStrideH, bbm::kDilationH, bbm::kPadTop, bbm::kPadBottom);
    window(x.dims[2], out[2], w.dims[2], bbm::kStrideW, bbm::kDilationW, bbm::kPadLeft, bbm::kPadRight);
    need(std::isfinite(op_.floats[bbm::kPadValue]), "padding value");
    epilogue(out);
    return uint64_t{w.dims[1]} * w.dims[2] * (deep ? ceil_div(w.dims[3], binary ? 32 : 1) : 1);
  }
  uint64_t map() const {
    const uint32_t x = float_input(bbm::kX);
    need(!has(bbm::kFilters), "input");
    const uint32_t* out = results();
    same(dims(x), out);
    epilogue(out);
    return 1;
  }
  uint64_t pool() const {
    const uint32_t* x = dims(float_input(0));
    const uint32_t* y = dims(output(0, bbm::kFloat32));
    need(x[0] == y[0] && x[3] == y[3], "shape");
    uint64_t taps = 1;
    for (int axis = 0; axis < 2; axis++) {
      const int64_t kernel = integer(axis, 1, kMaxGeometry, "kernel"), stride = integer(2 + axis, 1, kMaxGeometry, "stride");
      const int64_t dilation = integer(4 + axis, 1, kMaxGeometry, "dilation");
      const int64_t before = integer(6 + axis, 0, kMaxGeometry, "padding"), after = integer(8 + axis, 0, kMaxGeometry, "padding");
      const int64_t span = int64_t{x[1 + axis]} + before + after - dilation * (kernel - 1) - 1;
      need(span >= 0, "geometry");
      const int64_t down = span / stride + 1, up = (span + stride - 1) / stride + 1;
      need(y[1 + axis] == down || y[1 + axis] == up, "geometry");
      taps *= uint64_t(kernel);
    }
    integer(10, 0, 1, "count of padding");
    return taps;
  }
  uint64_t reduce() const {
    const uint32_t* x = dims(float_input(0));
    const uint32_t* y = dims(output(0, bbm::kFloat32));
    const int64_t mask = integer(0, 1, 15, "axes");
    integer(1, 0, bbm::kReductions - 1, "kind");
    uint64_t work = 1;
    for (int i = 0; i < 4; i++) {
      need(y[i] == (mask >> i & 1 ? 1 : x[i]), "shape");
      if (mask >> i & 1) work *= x[i];
    }
    return work;
  }
  uint64_t binary() const {
    const uint32_t* a = dims(float_input(0, true));
    const uint32_t* b = dims(float_input(1, true));
    const uint32_t* y = dims(output(0, bbm::kFloat32));
    integer(0, 0, bbm::kBinaryKinds - 1, "kind");
    for (int i = 0; i < 4; i++) {
      need((a[i] == y[i] || a[i] == 1) && (b[i] == y[i] || b[i] == 1), "shape");
      need(a[i] == y[i] || b[i] == y[i], "shape");
    }
    return 1;
  }
  uint64_t concat() const {
    const uint32_t* y = dims(output(0, bbm::kFloat32));
    const int64_t axis = integer(0, 0, 3, "axis"), count = integer(1, 1, 12, "number of inputs");
    uint64_t along = 0;
    for (int i = 0; i < count; i++) {
      const uint32_t* x = dims(float_input(i, true));
      for (int k = 0; k < 4; k++) need(k == axis || x[k] == y[k], "shape");
      along += x[axis];
    }
    need(along == y[axis], "shape");
    return 1;
  }
  uint64_t pad() const {
    const uint32_t* x = dims(float_input(0));
    const uint32_t* y = dims(output(0, bbm::kFloat32));
    const int64_t mode = integer(8, 0, bbm::kPadModes - 1, "mode");
    for (int i = 0; i < 4; i++) {
      const int64_t before = integer(i, 0, 1 << 28, "padding"), after = integer(4 + i, 0, 1 << 28, "padding");
      need(before + after + x[i] == y[i], "shape");
      need(mode != bbm::kPadReflect || (before < x[i] && after < x[i]), "padding");
    }
    return 1;
  }
  uint64_t slice() const {
    const uint32_t* x = dims(float_input(0));
    const uint32_t* y = dims(output(0, bbm::kFloat32));
    for (int i = 0; i < 4; i++) {
      const int64_t start = integer(i, 0, int64_t{x[i]} - 1, "start");
      const int64_t last = start + int64_t{op_.ints[4 + i]} * (int64_t{y[i]} - 1);
      need(last >= 0 && last < x[i], "step");
    }
    return 1;
  }
  uint64_t transpose() const {
    const uint32_t x = float_input(0), y = output(0, bbm::kFloat32);
    need(m_.elements(x) == m_.elements(y), "shape");
    const int64_t rank = integer(0, 1, 6, "rank");
    uint64_t elements = 1;
    unsigned seen = 0;
    for (int i = 0; i < rank; i++) {
      elements *= uint64_t(integer(1 + i, 1, 1 << 28, "shape"));
      need(elements <= m_.elements(x), "shape");
      seen |= 1u << integer(7 + i, 0, rank - 1, "permutation");
    }
    need(elements == m_.elements(x) && seen == (1u << rank) - 1, "permutation");
    return 1;
  }
  uint64_t matmul() const {
    const uint32_t* a = dims(float_input(0, true));
    const uint32_t* b = dims(float_input(1, true));
    const uint32_t* y = dims(output(0, bbm::kFloat32));
    for (int i = 0; i < 2; i++) need((a[i] == y[i] || a[i] == 1) && (b[i] == y[i] || b[i] == 1), "shape");
    need(a[3] == b[2] && a[2] == y[2] && b[3] == y[3], "shape");
    return a[3];
  }
  uint64_t plain(bool bits) const {
    need(has(0) && m_.tensor(op_.in[0]).dtype == (bits ? bbm::kBits : bbm::kFloat32) && !m_.constant(op_.in[0]), "input");
    same(dims(op_.in[0]), dims(output(0, bbm::kFloat32)));
    return 1;
  }
  uint64_t dispatch() const {
    if (op_.opcode > bbm::kDwConv) only_outputs(1);
    switch (op_.opcode) {
      case bbm::kMap: return map();
      case bbm::kBConv: case bbm::kConv: case bbm::kDwConv: return convolution();
      case bbm::kExpandBits: return plain(true);
      case bbm::kMaxPool: case bbm::kAvgPool: return pool();
      case bbm::kReduce: return reduce();
      case bbm::kBinary: return binary();
      case bbm::kUnary: integer(0, 0, bbm::kUnaryKinds - 1, "kind"); return plain(false);
      case bbm::kConcat: return concat();
      case bbm::kSoftmax: integer(0, 0, 3, "axis"); return plain(false);
      case bbm::kPad: return pad();
      case bbm::kSlice: return slice();
      case bbm::kReshape:
        need(m_.elements(float_input(0)) == m_.elements(output(0, bbm::kFloat32)), "shape");
        return 1;
      case bbm::kTranspose: return transpose();
      default: return matmul();
    }
  }

  const Model& m_;
  const bbm::Operator& op_;
  const uint32_t index_;
  std::vector<char>& written_;
};

}  // namespace

uint64_t check_operators(const Model& model) {
  std::vector<char> written(model.tensors(), 0);
  for (uint32_t id : model.inputs()) {
    if (written[id]) fail("damaged: a model input stands there twice");
    written[id] = 1;
  }
  uint64_t work = 0;
  for (uint32_t i = 0; i < model.operators(); i++) {
    const uint64_t each = Checker(model, i, written).check();
    uint64_t elements = 1;
    for (uint32_t id : model.op(i).out) if (id != bbm::kNone) elements = model.elements(id);
    if (each > kMaxWork / elements || (work += each * elements) > kMaxWork)
      fail("refused: one inference takes more than 2^42 steps");
  }
  for (uint32_t id : model.outputs())
    if (!written[id]) fail("damaged: a model output is never written");
  return work;
}

}  // namespace bibench
