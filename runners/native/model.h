// A mapped `.bbm` file whose every record has been checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bbm.h"

namespace bibench {

// More than this and a file is refused rather than the device brought to its knees.
constexpr uint64_t kMaxTensorBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxArenaBytes = uint64_t{1} << 31;
constexpr uint32_t kMaxTensors = 1 << 16;
constexpr uint64_t kMaxWork = uint64_t{1} << 42;  // elementary steps of one inference

class Model {
 public:
  explicit Model(const std::string& path);
  // Bytes that somebody else keeps, aligned to 64 (the fuzz target).
  Model(const uint8_t* bytes, size_t size);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  uint32_t tensors() const { return header_->tensors; }
  uint32_t operators() const { return header_->operators; }
  const bbm::Tensor& tensor(uint32_t id) const { return tensors_[id]; }
  const bbm::Operator& op(uint32_t index) const { return operators_[index]; }
  // Elementary steps of one inference.
  uint64_t work() const { return work_; }
  const std::vector<uint32_t>& inputs() const { return inputs_; }
  const std::vector<uint32_t>& outputs() const { return outputs_; }
  const char* text(uint32_t offset) const { return strings_ + offset; }
  const char* name(uint32_t id) const { return text(tensor(id).name); }
  bool constant(uint32_t id) const { return tensor(id).storage == bbm::kConstant; }
  const uint8_t* data(uint32_t id) const { return bytes_ + tensor(id).data_offset; }
  const float* floats(uint32_t id) const { return reinterpret_cast<const float*>(data(id)); }
  uint64_t elements(uint32_t id) const {
    const uint32_t* d = tensor(id).dims;
    return uint64_t{d[0]} * d[1] * d[2] * d[3];
  }

 private:
  void open_tables();
  void check_tensor(uint32_t id) const;

  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
  bool mapped_ = false;
  uint64_t work_ = 0;
  const bbm::Header* header_ = nullptr;
  const bbm::Tensor* tensors_ = nullptr;
  const bbm::Operator* operators_ = nullptr;
  const char* strings_ = nullptr;
  std::vector<uint32_t> inputs_, outputs_;
};

// Every operator's operands, attributes and shapes, and the order of reading and writing; returns the work. check.cc
uint64_t check_operators(const Model& model);

// As --info and --per-op print it.
const char* opcode_name(uint32_t opcode);

inline uint64_t ceil_div(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

}  // namespace bibench
