"""A second reading of docs/formats/bbm.md: executes .bbm files with numpy, with none of the engine's code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bibench_deploy.converters.native.bbm import DType, Model, Op, Operator, Tensor

F32 = np.float32
Array = npt.NDArray[np.float32]


def unpacked(tensor: Tensor) -> npt.NDArray[Any]:
    """A constant as an array: filters (O, KH, KW, C/groups), binary ones as ±1."""
    assert tensor.data is not None
    o, kh, kw, c = tensor.dims
    if tensor.dtype == DType.FLOAT:
        return np.frombuffer(tensor.data, "<f4").reshape(tensor.dims)
    blocks = -(-(o // tensor.groups) // 16)
    if tensor.dtype == DType.FLOAT_FILTERS:
        packed = np.frombuffer(tensor.data, "<f4").reshape(tensor.groups, blocks, kh, kw, c, 16)
    else:
        words = np.frombuffer(tensor.data, "<u4").reshape(tensor.groups, blocks, kh, kw, -1, 1, 16)
        bits = words >> np.arange(32, dtype=np.uint32)[:, None] & 1
        assert not bits.reshape(tensor.groups, blocks, kh, kw, -1, 16)[..., c:, :].any()
        packed = 1.0 - 2.0 * bits.reshape(tensor.groups, blocks, kh, kw, -1, 16)[..., :c, :]
    flat = packed.transpose(0, 1, 5, 2, 3, 4).reshape(tensor.groups, blocks * 16, kh, kw, c)
    return flat[:, : o // tensor.groups].reshape(o, kh, kw, c)


def windows(
    x: npt.NDArray[Any], op: Operator, kernel: tuple[int, int], out: tuple[int, ...], fill: float
) -> Any:
    """Taps (N, Ho, Wo, KH, KW, C) of a convolution."""
    sh, sw, dh, dw, top, left, bottom, right = op.ints[:8]
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    rows = np.arange(out[1])[:, None] * sh + np.arange(kernel[0])[None] * dh
    columns = np.arange(out[2])[:, None] * sw + np.arange(kernel[1])[None] * dw
    return padded[:, rows][:, :, :, columns].transpose(0, 1, 3, 2, 4, 5)


def convolved(
    x: npt.NDArray[Any], w: npt.NDArray[Any], groups: int, op: Operator, out: tuple[int, ...]
) -> Any:
    o, kh, kw, c = w.shape
    fill = op.floats[0] if op.op == Op.BCONV else 0.0
    taps = windows(x.astype(np.float64), op, (kh, kw), out, fill)
    n, h, wo = taps.shape[:3]
    grouped = taps.reshape(n, h, wo, kh, kw, groups, c)
    weights = w.reshape(groups, o // groups, kh, kw, c).astype(np.float64)
    return np.einsum("nhwklgc,goklc->nhwgo", grouped, weights, optimize=True).reshape(n, h, wo, o)


def activated(v: Array, op: Operator, get: Any) -> Array:
    kind = op.ints[9]
    if kind == 1:
        return np.maximum(v, F32(0))
    if kind == 2:
        return np.clip(v, F32(op.floats[1]), F32(op.floats[2]))
    if kind == 3:
        u = v + get(7, F32(0))
        return np.where(u >= 0, u, get(6, None) * u) + get(8, F32(0))
    return v


class Reference:
    """A file made ready."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.constants = {i: unpacked(t) for i, t in enumerate(model.tensors) if t.data is not None}

    def __call__(self, *inputs: npt.NDArray[Any]) -> list[Array]:
        self.values: dict[int, npt.NDArray[Any]] = dict(self.constants)
        self.values |= dict(zip(self.model.inputs, (i.astype(F32) for i in inputs), strict=True))
        for op in self.model.operators:
            self.execute(op)
        return [self.values[i] for i in self.model.outputs]

    def store(self, op: Operator, slot: int, value: npt.NDArray[Any]) -> None:
        index = op.outputs[slot]
        assert index is not None
        assert index not in self.values
        assert value.shape == self.model.tensors[index].dims, (op, value.shape)
        self.values[index] = value.astype(F32)

    def get(self, op: Operator, slot: int, missing: Any = None) -> Any:
        index = op.inputs[slot] if slot < len(op.inputs) else None
        return missing if index is None else self.values[index]

    def execute(self, op: Operator) -> None:
        x = self.get(op, 0)
        index = next(i for i in op.outputs if i is not None)
        out = self.model.tensors[index].dims
        if op.op <= Op.DWCONV:
            return self.epilogue(op, self.dot(op, x, out))
        return self.store(op, 0, SIMPLE[op.op](self, op, x, out))

    def dot(self, op: Operator, x: Any, out: tuple[int, ...]) -> Any:
        if op.op == Op.MAP:
            return x
        w = self.get(op, 1)
        if op.op == Op.DWCONV:
            return (windows(x.astype(np.float64), op, w.shape[1:3], out, 0.0) * w[0]).sum(axis=(3, 4))
        return convolved(x, w, op.ints[8], op, out)

    def epilogue(self, op: Operator, dot: Any) -> None:
        def get(slot: int, missing: Any) -> Any:
            return self.get(op, slot, missing)

        v = (get(2, F32(1)) * dot.astype(F32) * get(4, F32(1)) + get(3, F32(0))).astype(F32)
        first = op.ints[10] == 1
        v = activated(v, op, get) if first else v
        v = v + get(5, F32(0))
        v = v if first else activated(v, op, get)
        if op.outputs[0] is not None:
            self.store(op, 0, v)
        if op.outputs[1] is not None:
            self.store(op, 1, get(10, F32(1)) * np.where(v >= get(9, None), F32(1), F32(-1)))


def pooled(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    kh, kw, sh, sw, dh, dw, top, left, bottom, right, counted = op.ints[:11]
    y = np.zeros(out, np.float64)
    _, h, w, _ = x.shape
    for i in range(out[1]):
        for j in range(out[2]):
            rows = [i * sh - top + k * dh for k in range(kh)]
            columns = [j * sw - left + k * dw for k in range(kw)]
            area = sum(r < h + bottom for r in rows) * sum(c < w + right for c in columns)
            taken = x[:, [r for r in rows if 0 <= r < h]][:, :, [c for c in columns if 0 <= c < w]]
            if op.op == Op.MAXPOOL:
                y[:, i, j] = taken.max(axis=(1, 2))
            else:
                number = area if counted else taken.shape[1] * taken.shape[2]
                y[:, i, j] = taken.astype(np.float64).sum(axis=(1, 2)) / number
    return y.astype(F32)


def reduced(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    axes = tuple(i for i in range(4) if op.ints[0] >> i & 1)
    function = (np.mean, np.sum, np.max, np.min)[op.ints[1]]
    return np.asarray(function(x.astype(np.float64), axis=axes, keepdims=True), F32)


def unary(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    kind, (a, b) = op.ints[0], op.floats[:2]
    d = x.astype(np.float64)
    erf = np.vectorize(math.erf)
    with np.errstate(all="ignore"):
        results = {
            0: lambda: np.maximum(d, 0), 1: lambda: np.clip(d, a, b), 2: lambda: np.abs(d), 3: lambda: -d,
            4: lambda: 1 / (1 + np.exp(-d)), 5: lambda: np.tanh(d), 6: lambda: np.exp(d), 7: lambda: np.log(d),
            8: lambda: np.sqrt(d), 9: lambda: 1 / d, 10: lambda: np.where(d >= 0, d, a * d),
            11: lambda: np.where(d >= 0, d, a * np.expm1(d)), 12: lambda: erf(d),
            13: lambda: d / 2 * (1 + erf(d / math.sqrt(2))), 14: lambda: np.clip(a * d + b, 0, 1),
            15: lambda: d * np.clip(d / 6 + 0.5, 0, 1), 16: lambda: np.logaddexp(0, d), 17: lambda: np.floor(d),
            18: lambda: np.ceil(d), 19: lambda: np.round(d), 20: lambda: np.sign(d), 21: lambda: np.sin(d),
            22: lambda: np.cos(d),
        }  # fmt: skip
        return np.asarray(results[kind](), F32)


def binary(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    functions = (np.add, np.subtract, np.multiply, np.divide, np.minimum, np.maximum, np.power)
    return np.asarray(functions[op.ints[0]](x, self.get(op, 1)), F32)


def concatenated(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    return np.concatenate([self.get(op, i) for i in range(op.ints[1])], axis=op.ints[0])


def softmax(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    powers = np.exp(x.astype(np.float64) - x.max(axis=op.ints[0], keepdims=True))
    return (powers / powers.sum(axis=op.ints[0], keepdims=True)).astype(F32)


def padded(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    pairs = list(zip(op.ints[:4], op.ints[4:8], strict=True))
    if op.ints[8] == 0:
        return np.pad(x, pairs, constant_values=F32(op.floats[0]))
    return np.pad(x, pairs, mode=("edge", "reflect")[op.ints[8] - 1])  # type: ignore[call-overload,no-any-return]


def sliced(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    indices = [op.ints[i] + op.ints[4 + i] * np.arange(out[i]) for i in range(4)]
    return x[np.ix_(*indices)]


def transposed(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    rank = op.ints[0]
    return x.reshape(op.ints[1 : 1 + rank]).transpose(op.ints[7 : 7 + rank]).reshape(out)


def multiplied(self: Reference, op: Operator, x: Array, out: tuple[int, ...]) -> Array:
    return np.asarray(np.matmul(x.astype(np.float64), self.get(op, 1).astype(np.float64)), F32)


SIMPLE: Mapping[Op, Any] = {
    Op.EXPAND_BITS: lambda self, op, x, out: x,
    Op.MAXPOOL: pooled,
    Op.AVGPOOL: pooled,
    Op.REDUCE: reduced,
    Op.BINARY: binary,
    Op.UNARY: unary,
    Op.CONCAT: concatenated,
    Op.SOFTMAX: softmax,
    Op.PAD: padded,
    Op.SLICE: sliced,
    Op.RESHAPE: lambda self, op, x, out: x.reshape(out),
    Op.TRANSPOSE: transposed,
    Op.MATMUL: multiplied,
}


def opener(data: bytes, inputs: Any, outputs: Any) -> Any:
    """As ``runners.session.opener`` gives one."""
    from bibench_deploy.converters.native.bbm import parse

    reference = Reference(parse(data))

    def run(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        results = reference(*(view.as_artefact(arrays[view.name]) for view in inputs))
        return {view.name: view.as_model(result) for view, result in zip(outputs, results, strict=True)}

    return run
