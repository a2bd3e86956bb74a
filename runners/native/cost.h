// What an operator has to do at least, whatever kernel does it.
#pragma once

#include "model.h"

namespace bibench {

// Bytes read and written: each of its tensors once.
double moved_bytes(const Model& model, const bbm::Operator& op);
// ±1 multiply-accumulates of a BCONV, whole words counted; 0 for others.
double binary_macs(const Model& model, const bbm::Operator& op);
// Float multiply-accumulates of the operators that are made of them; 0 for others.
double float_macs(const Model& model, const bbm::Operator& op);

}  // namespace bibench
