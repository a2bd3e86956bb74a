// libFuzzer target: a file with its checksum put right is refused with an Error, or runs.
//
//   clang++ -O1 -g -std=c++17 -ffp-contract=off -pthread -fsanitize=fuzzer,address,undefined
//       $(ls *.cc | grep -v main.cc) fuzz/fuzz_model.cc -o fuzz_model
//   ./fuzz_model NEW ../../tests/native/corpus
#include <cstdlib>
#include <cstring>

#include "../engine.h"
#include "../error.h"

namespace {

uint32_t crc32(const uint8_t* bytes, size_t size) {
  uint32_t c = 0xffffffffu;
  for (size_t i = 0; i < size; i++) {
    c ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
  }
  return c ^ 0xffffffffu;
}

// A field of the tables, or one behind them: bytes changed blindly hardly ever leave tables that can be read.
size_t table_field(const uint8_t* data, size_t size, uint32_t random) {
  uint32_t counts[2];
  memcpy(counts, data + 24, sizeof counts);
  const uint64_t tables = sizeof(bbm::Header) + sizeof(bbm::Tensor) * uint64_t{counts[0]} + sizeof(bbm::Operator) * uint64_t{counts[1]};
  const uint64_t end = tables < size ? tables : size;
  return 24 + random % ((end - 24) / 4) * 4;
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  const auto next = [&seed] { return (seed = seed * 1664525u + 1013904223u) >> 8; };
  if (size < sizeof(bbm::Header) || next() % 16 == 0) return LLVMFuzzerMutate(data, size, most);
  for (uint32_t i = 0; i <= next() % 4; i++) {
    uint8_t* field = data + table_field(data, size, next());
    uint32_t old;
    memcpy(&old, field, 4);
    const uint32_t values[] = {0, 1, 2, 3, old + 1, old - 1, old * 2, old / 2, old ^ 1u << next() % 32, next() % 64, 0xffff,
                               0x7fffffff, 0x80000000, 0xffffffff, 0x7f800000, 0x7fc00000};
    memcpy(field, &values[next() % (sizeof values / sizeof *values)], 4);
  }
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < sizeof(bbm::Header)) return 0;
  // A mapped file starts at a page: what reads floats in place may rely on it. Exactly `size` bytes are addressable.
  uint8_t* bytes = static_cast<uint8_t*>(aligned_alloc(64, (size + 63) / 64 * 64));
  uint8_t* start = bytes;
  memcpy(start, data, size);
  memcpy(start, bbm::kMagic, sizeof bbm::kMagic);
  const uint64_t file_size = size;
  memcpy(start + 16, &file_size, 8);
  const uint32_t checksum = crc32(start + 16, size - 16);
  memcpy(start + 12, &checksum, 4);
  try {
    const bibench::Model model(start, size);
    if (model.work() < (1 << 22)) {
      bibench::Engine engine(model);
      if (engine.arena_bytes() < (uint64_t{1} << 26)) {
        bibench::Pool pool(1);
        for (uint32_t id : model.inputs()) memset(engine.buffer(id).data, 0x3f, model.elements(id) * 4);
        engine.run(pool);
      }
    }
  } catch (const bibench::Error&) {
  }
  free(bytes);
  return 0;
}
