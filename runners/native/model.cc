#include "model.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

namespace bibench {
namespace {

uint32_t crc32(const uint8_t* bytes, size_t size) {
  // Eight tables: 46 MB in some 30 ms instead of 130.
  static uint32_t table[8][256];
  if (table[0][1] == 0) {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = i;
      for (int bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
      table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
      for (int t = 1; t < 8; t++) table[t][i] = (table[t - 1][i] >> 8) ^ table[0][table[t - 1][i] & 255];
  }
  uint32_t c = 0xffffffffu;
  for (; size >= 8; size -= 8, bytes += 8) {
    uint32_t a, b;
    memcpy(&a, bytes, 4);
    memcpy(&b, bytes + 4, 4);
    a ^= c;
    c = table[7][a & 255] ^ table[6][(a >> 8) & 255] ^ table[5][(a >> 16) & 255] ^ table[4][a >> 24] ^
        table[3][b & 255] ^ table[2][(b >> 8) & 255] ^ table[1][(b >> 16) & 255] ^ table[0][b >> 24];
  }
  for (; size > 0; size--, bytes++) c = table[0][(c ^ *bytes) & 255] ^ (c >> 8);
  return c ^ 0xffffffffu;
}

const char* const kOpcodeNames[] = {"map",   "bconv", "conv",    "dwconv", "expand_bits", "max_pool", "avg_pool", "reduce", "binary",
                                    "unary", "concat", "softmax", "pad",   "slice",       "reshape",  "transpose", "matmul"};
static_assert(sizeof kOpcodeNames / sizeof *kOpcodeNames == bbm::kOpcodes, "one name an opcode");

// Whether `count` records of `size` bytes lie in the file from `offset` on, aligned.
bool inside(uint64_t file, uint64_t offset, uint64_t count, uint64_t size, uint64_t align) {
  return offset >= sizeof(bbm::Header) && offset % align == 0 && offset <= file && count <= (file - offset) / size;
}

}  // namespace

const char* opcode_name(uint32_t opcode) { return kOpcodeNames[opcode]; }

Model::Model(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail("%s: %s", path.c_str(), strerror(errno));
  struct stat status;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < int64_t{sizeof(bbm::Header)}) {
    close(file);
    fail("%s: not a .bbm file", path.c_str());
  }
  size_ = size_t(status.st_size);
  void* map = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (map == MAP_FAILED) fail("%s: can't be mapped: %s", path.c_str(), strerror(errno));
  bytes_ = static_cast<const uint8_t*>(map);
  mapped_ = true;
  try {
    open_tables();
    work_ = check_operators(*this);
  } catch (const Error& error) {
    munmap(map, size_);
    fail("%s: %s", path.c_str(), error.what());
  }
}

Model::Model(const uint8_t* bytes, size_t size) : bytes_(bytes), size_(size) {
  if (size < sizeof(bbm::Header)) fail("not a .bbm file");
  open_tables();
  work_ = check_operators(*this);
}

Model::~Model() {
  if (mapped_) munmap(const_cast<uint8_t*>(bytes_), size_);
}

void Model::open_tables() {
  header_ = reinterpret_cast<const bbm::Header*>(bytes_);
  const bbm::Header& h = *header_;
  if (memcmp(h.magic, bbm::kMagic, sizeof h.magic) != 0) fail("not a .bbm file");
  if (h.version != bbm::kVersion) fail("version %u; this engine reads version %u", h.version, bbm::kVersion);
  if (h.file_size != size_)
    fail("damaged: %llu bytes where the header says %llu", (unsigned long long)size_, (unsigned long long)h.file_size);
  if (crc32(bytes_ + 16, size_ - 16) != h.crc32) fail("damaged: the checksum differs");
  if (!inside(size_, h.tensors_offset, h.tensors, sizeof(bbm::Tensor), 8)) fail("damaged: tensor table");
  if (!inside(size_, h.operators_offset, h.operators, sizeof(bbm::Operator), 8)) fail("damaged: operator table");
  if (!inside(size_, h.io_offset, uint64_t{h.inputs} + h.outputs, 4, 4)) fail("damaged: inputs and outputs");
  if (!inside(size_, h.strings_offset, h.strings_size, 1, 1) || h.strings_size == 0 ||
      bytes_[h.strings_offset + h.strings_size - 1] != 0)
    fail("damaged: strings");
  if (h.tensors > kMaxTensors || h.operators > kMaxTensors) fail("refused: more than %u tensors or operators", kMaxTensors);
  if (h.inputs == 0 || h.outputs == 0) fail("damaged: no inputs or no outputs");
  tensors_ = reinterpret_cast<const bbm::Tensor*>(bytes_ + h.tensors_offset);
  operators_ = reinterpret_cast<const bbm::Operator*>(bytes_ + h.operators_offset);
  strings_ = reinterpret_cast<const char*>(bytes_ + h.strings_offset);
  for (uint32_t id = 0; id < h.tensors; id++) check_tensor(id);
  for (uint32_t i = 0; i < h.operators; i++)
    if (operators_[i].name >= h.strings_size) fail("damaged: name of operator %u", i);
  const uint32_t* ids = reinterpret_cast<const uint32_t*>(bytes_ + h.io_offset);
  inputs_.assign(ids, ids + h.inputs);
  outputs_.assign(ids + h.inputs, ids + h.inputs + h.outputs);
  for (uint32_t id : inputs_)
    if (id >= h.tensors || constant(id) || tensor(id).dtype != bbm::kFloat32) fail("damaged: model inputs");
  for (uint32_t id : outputs_)
    if (id >= h.tensors || constant(id) || tensor(id).dtype != bbm::kFloat32) fail("damaged: model outputs");
}

void Model::check_tensor(uint32_t id) const {
  const bbm::Tensor& t = tensors_[id];
  if (t.name >= header_->strings_size) fail("damaged: name of tensor %u", id);
  if (t.dtype > bbm::kFloatFilters || t.storage > bbm::kConstant) fail("damaged: kind of tensor %u", id);
  if ((t.dtype == bbm::kBits && t.storage == bbm::kConstant) ||
      (t.dtype >= bbm::kBinaryFilters && t.storage != bbm::kConstant))
    fail("damaged: storage of tensor %u", id);
  uint64_t elements = 1;
  for (uint32_t dim : t.dims) {
    if (dim == 0 || (elements *= dim) > kMaxTensorBytes / 4) fail("damaged: dims of tensor %u", id);
  }
  const bool grouped = t.dtype != bbm::kFloat32;
  const uint32_t channels = t.dtype == bbm::kBits ? t.dims[3] : t.dims[0];
  if (grouped && (t.groups == 0 || channels % t.groups != 0)) fail("damaged: groups of tensor %u", id);
  if (t.storage == bbm::kActivation) return;
  uint64_t bytes = elements * 4;
  if (t.dtype >= bbm::kBinaryFilters) {
    const uint64_t blocks = t.groups * ceil_div(t.dims[0] / t.groups, 16);
    const uint64_t depth = t.dtype == bbm::kBinaryFilters ? ceil_div(t.dims[3], 32) : t.dims[3];
    bytes = blocks * t.dims[1] * t.dims[2] * depth * 64;  // each factor is below 2^28, their product below 2^40
  }
  if (t.data_size != bytes) fail("damaged: size of tensor %u", id);
  if (!inside(size_, t.data_offset, bytes, 1, bbm::kAlign)) fail("damaged: data of tensor %u", id);
}

}  // namespace bibench
