// The file format `.bbm`, version 1, as it lies on disk. docs/formats/bbm.md is its specification.
//
// Little-endian, fixed-size records, no pointers: a file is mapped and its weights are used where they lie.
// Nothing here may be trusted before model.cc has checked it.
#pragma once

#include <cstdint>

namespace bbm {

constexpr unsigned char kMagic[8] = {'B', 'B', 'M', 0, '\r', '\n', 0x1a, '\n'};
constexpr uint32_t kVersion = 1;
constexpr uint32_t kNone = 0xffffffffu;  // an optional tensor that is absent
constexpr uint64_t kAlign = 64;          // of every constant's data

enum DType : uint32_t {
  kFloat32 = 0,        // NHWC, C fastest
  kBits = 1,           // signs of an activation
  kBinaryFilters = 2,  // packed filters of BCONV
  kFloatFilters = 3,   // packed filters of CONV
};

enum Storage : uint32_t { kActivation = 0, kConstant = 1 };

enum Opcode : uint32_t {
  kMap = 0,
  kBConv = 1,
  kConv = 2,
  kDwConv = 3,
  kExpandBits = 4,
  kMaxPool = 5,
  kAvgPool = 6,
  kReduce = 7,
  kBinary = 8,
  kUnary = 9,
  kConcat = 10,
  kSoftmax = 11,
  kPad = 12,
  kSlice = 13,
  kReshape = 14,
  kTranspose = 15,
  kMatMul = 16,
  kOpcodes = 17,
};

enum Activation : int32_t { kNoActivation = 0, kRelu = 1, kClip = 2, kPRelu = 3, kActivations = 4 };
enum Reduction : int32_t { kMean = 0, kSum = 1, kMax = 2, kMin = 3, kReductions = 4 };
enum BinaryKind : int32_t { kAdd = 0, kSub, kMul, kDiv, kMinimum, kMaximum, kPow, kBinaryKinds };
enum UnaryKind : int32_t {
  kURelu = 0, kUClip, kUAbs, kUNeg, kUSigmoid, kUTanh, kUExp, kULog, kUSqrt, kUReciprocal, kULeakyRelu, kUElu,
  kUErf, kUGelu, kUHardSigmoid, kUHardSwish, kUSoftplus, kUFloor, kUCeil, kURound, kUSign, kUSin, kUCos,
  kUnaryKinds,
};
enum PadMode : int32_t { kPadConstant = 0, kPadEdge = 1, kPadReflect = 2, kPadModes = 3 };

struct Header {
  unsigned char magic[8];
  uint32_t version;
  uint32_t crc32;  // zlib's, of bytes [16, file_size)
  uint64_t file_size;
  uint32_t tensors, operators, inputs, outputs;
  uint64_t tensors_offset, operators_offset, io_offset, strings_offset, strings_size;
  uint8_t reserved[48];
};
static_assert(sizeof(Header) == 128, "on-disk record");

struct Tensor {
  uint32_t dtype, storage;
  uint32_t dims[4];
  uint32_t groups;
  uint32_t name;         // offset into the strings
  uint64_t data_offset;  // from the file's start; constants only
  uint64_t data_size;
  uint8_t reserved[16];
};
static_assert(sizeof(Tensor) == 64, "on-disk record");

struct Operator {
  uint32_t opcode, name;
  uint32_t in[12];
  uint32_t out[4];
  int32_t ints[24];
  float floats[8];
  uint8_t reserved[56];
};
static_assert(sizeof(Operator) == 256, "on-disk record");

// Slots of the operators with an epilogue: MAP, BCONV, CONV, DWCONV.
enum In { kX = 0, kFilters, kMultiplier, kBias, kFactor, kResidual, kSlope, kShiftIn, kShiftOut, kThreshold, kDirection };
enum Out { kFloatOut = 0, kBitsOut = 1 };
enum Int {
  kStrideH = 0, kStrideW, kDilationH, kDilationW, kPadTop, kPadLeft, kPadBottom, kPadRight, kGroups,
  kActivationKind, kActivationFirst,
};
enum Float { kPadValue = 0, kClipLow, kClipHigh };

}  // namespace bbm
