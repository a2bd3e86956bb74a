#include "engine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/mman.h>

#include "error.h"

namespace bibench {
namespace {

std::unique_ptr<Step> make_step(const Engine& engine, const bbm::Operator& op) {
  switch (op.opcode) {
    case bbm::kMap: return map_step(engine, op);
    case bbm::kBConv: case bbm::kConv: return convolution_step(engine, op);
    case bbm::kDwConv: return depthwise_step(engine, op);
    case bbm::kMaxPool: case bbm::kAvgPool: return pool_step(engine, op);
    case bbm::kBinary: case bbm::kUnary: return elementwise_step(engine, op);
    case bbm::kReduce: case bbm::kSoftmax: case bbm::kMatMul: return reduce_step(engine, op);
    default: return movement_step(engine, op);
  }
}

uint64_t aligned(uint64_t bytes) { return ceil_div(bytes, bbm::kAlign) * bbm::kAlign; }

}  // namespace

Engine::Engine(const Model& model) : model_(model), kernels_(choose_kernels()) {
  lay_out();
  for (uint32_t i = 0; i < model.operators(); i++) {
    steps_.push_back(make_step(*this, model.op(i)));
    scratch_.push_back(steps_.back()->scratch());
  }
  plan();
}

Engine::~Engine() {
  if (arena_ != nullptr) munmap(arena_, arena_bytes_);
}

// Sizes and lifetimes of all activations.
void Engine::lay_out() {
  buffers_.resize(model_.tensors());
  for (uint32_t id = 0; id < model_.tensors(); id++) {
    const bbm::Tensor& t = model_.tensor(id);
    Buffer& b = buffers_[id];
    b.n = t.dims[0], b.h = t.dims[1], b.w = t.dims[2], b.c = t.dims[3];
    if (t.dtype == bbm::kBits) {
      b.groups = t.groups;
      b.group_words = uint32_t(ceil_div(b.c / b.groups, 32));
      b.words = b.groups * b.group_words;
    }
  }
  const auto use = [&](uint32_t id, int at) {
    if (id == bbm::kNone || model_.constant(id)) return;
    Buffer& b = buffers_[id];
    b.used = true;
    if (b.first < 0) b.first = at;
    b.last = std::max(b.last, at);
  };
  for (uint32_t id : model_.inputs()) use(id, 0);
  const int count = int(model_.operators());
  for (int i = 0; i < count; i++) {
    const bbm::Operator& op = model_.op(uint32_t(i));
    for (uint32_t id : op.in) use(id, i);
    for (uint32_t id : op.out) use(id, i);
    if (op.opcode != bbm::kBConv) continue;
    Buffer& b = buffers_[op.in[bbm::kX]];
    const bbm::Tensor& w = model_.tensor(op.in[bbm::kFilters]);
    const uint32_t* out = model_.tensor(op.out[0] != bbm::kNone ? op.out[0] : op.out[1]).dims;
    const int32_t* a = op.ints;
    const auto after = [&](int axis, int64_t size) {
      const int64_t before = a[bbm::kPadTop + axis];
      return (int64_t{out[1 + axis]} - 1) * a[bbm::kStrideH + axis] +
             (int64_t{w.dims[1 + axis]} - 1) * a[bbm::kDilationH + axis] - before - (size - 1);
    };
    b.top = std::max<int64_t>(b.top, a[bbm::kPadTop]);
    b.left = std::max<int64_t>(b.left, a[bbm::kPadLeft]);
    b.bottom = std::max(b.bottom, after(0, b.h));
    b.right = std::max(b.right, after(1, b.w));
  }
  // A model's inputs and outputs are always there: an inference can be repeated, and its results read.
  for (uint32_t id : model_.inputs()) buffers_[id].first = -1, buffers_[id].last = count;
  for (uint32_t id : model_.outputs()) buffers_[id].last = count;
  for (uint32_t id = 0; id < model_.tensors(); id++) {
    Buffer& b = buffers_[id];
    if (!b.used) continue;
    if (model_.tensor(id).dtype == bbm::kFloat32) {
      b.bytes = uint64_t{b.n} * b.h * b.w * b.c * 4;
      continue;
    }
    const double words = double(b.n) * uint64_t(b.top + b.h + b.bottom) *
                                    uint64_t(b.left + b.w + b.right) * b.words;
    if (words > kMaxTensorBytes / 4) fail("refused: tensor %.80s needs more than 1 GiB", model_.name(id));
    b.bytes = uint64_t(words) * 4;
  }
}

// Greedy by size: the largest buffer first, each at the lowest offset where it meets none that lives at its time.
void Engine::plan() {
  struct Item {
    uint64_t bytes, offset;
    int first, last;
    uint64_t* result;
  };
  std::vector<Item> items;
  for (Buffer& b : buffers_)
    if (b.used) items.push_back({aligned(b.bytes), 0, b.first, b.last, &b.offset});
  std::vector<uint64_t> scratch_at(scratch_.size(), 0);
  for (size_t i = 0; i < scratch_.size(); i++)
    if (scratch_[i] > 0) items.push_back({aligned(scratch_[i]), 0, int(i), int(i), &scratch_at[i]});
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.bytes > b.bytes; });
  std::vector<const Item*> placed;  // by offset
  uint64_t total = 0;
  for (Item& item : items) {
    uint64_t at = 0;
    for (const Item* other : placed) {
      if (other->last < item.first || item.last < other->first) continue;
      if (at + item.bytes <= other->offset) break;
      at = std::max(at, other->offset + other->bytes);
    }
    item.offset = *item.result = at;
    total = std::max(total, at + item.bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), &item,
                                   [](const Item* a, const Item* b) { return a->offset < b->offset; }),
                  &item);
  }
  if (total > kMaxArenaBytes) fail("refused: the model's activations need %llu MB", (unsigned long long)(total >> 20));
  arena_bytes_ = aligned(total) + 4096;
  void* memory = mmap(nullptr, arena_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("no memory for %llu MB of activations", (unsigned long long)(total >> 20));
  arena_ = static_cast<uint8_t*>(memory);
  for (Buffer& b : buffers_)
    if (b.used) b.data = arena_ + b.offset;
  for (size_t i = 0; i < steps_.size(); i++) steps_[i]->bind(*this, arena_ + scratch_at[i]);
}

void Engine::run(Pool& pool) {
  for (const std::unique_ptr<Step>& step : steps_) step->run(pool);
}

std::vector<float> Engine::values(uint32_t id) const {
  const Buffer& b = buffers_[id];
  std::vector<float> result(size_t{b.n} * b.h * b.w * b.c);
  if (model_.tensor(id).dtype == bbm::kFloat32) {
    memcpy(result.data(), b.data, result.size() * 4);
    return result;
  }
  const uint32_t group = b.c / b.groups;
  size_t at = 0;
  for (uint32_t n = 0; n < b.n; n++)
    for (uint32_t y = 0; y < b.h; y++)
      for (uint32_t x = 0; x < b.w; x++)
        for (uint32_t c = 0; c < b.c; c++) {
          const uint32_t in_group = c % group;
          const uint32_t word = b.pixel(n, y, x)[(c / group) * b.group_words + in_group / 32];
          result[at++] = word >> (in_group % 32) & 1 ? -1.0f : 1.0f;
        }
  return result;
}

}  // namespace bibench
