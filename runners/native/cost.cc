#include "cost.h"

namespace bibench {
namespace {

// Bytes of a tensor, as it is stored.
double stored_bytes(const Model& m, uint32_t id) {
  if (id == bbm::kNone) return 0;
  const bbm::Tensor& t = m.tensor(id);
  if (m.constant(id)) return double(t.data_size);
  if (t.dtype != bbm::kBits) return double(m.elements(id)) * 4;
  return double(t.dims[0]) * t.dims[1] * t.dims[2] * t.groups * double(ceil_div(t.dims[3] / t.groups, 32)) * 4;
}

}  // namespace

double moved_bytes(const Model& m, const bbm::Operator& op) {
  double bytes = 0;
  for (uint32_t id : op.in) bytes += stored_bytes(m, id);
  for (uint32_t id : op.out) bytes += stored_bytes(m, id);
  return bytes;
}

double binary_macs(const Model& m, const bbm::Operator& op) {
  if (op.opcode != bbm::kBConv) return 0;
  const uint32_t* w = m.tensor(op.in[bbm::kFilters]).dims;
  return double(m.elements(op.out[0] != bbm::kNone ? op.out[0] : op.out[1])) * w[1] * w[2] * double(ceil_div(w[3], 32)) * 32;
}

double float_macs(const Model& m, const bbm::Operator& op) {
  if (op.opcode == bbm::kMatMul) return double(m.elements(op.out[0])) * m.tensor(op.in[0]).dims[3];
  if (op.opcode != bbm::kConv && op.opcode != bbm::kDwConv) return 0;
  const uint32_t* w = m.tensor(op.in[bbm::kFilters]).dims;
  const double taps = double(w[1]) * w[2] * (op.opcode == bbm::kConv ? w[3] : 1);
  return double(m.elements(op.out[0] != bbm::kNone ? op.out[0] : op.out[1])) * taps;
}

}  // namespace bibench
