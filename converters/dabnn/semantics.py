"""A model of daBNN's runtime: executes ``.dab`` files with numpy as the library computes them.

It reads the file, not the emitter's records. What makes the library different from ONNX is modelled as it was
measured on the library itself (docs/engines/dabnn.md): a binary convolution gives the number of mismatching
bits, binarizes its input by x > 0 and pads with −1; Affine, Add, Relu and PRelu write over their input; a 2×2
average at stride 2 counts its padding. What the library would refuse, or compute wrong, is refused here.

Binary convolutions and maxima are exact; float convolutions are summed in another order than the library's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from bibench_deploy.errors import ArtefactError

from .dab import Kind, Layer, Shape, parse
from .limits import ViolationError, output_shape, shapes
from .packing import unpack

Floats = npt.NDArray[np.float32]
# numpy's stubs don't know several axes.
_windows: Callable[..., Floats] = sliding_window_view
_LOWEST = float(-np.finfo(np.float32).max)


class Net:
    """A file, ready to run.

    Args:
        data: the file.

    Attributes:
        input: name of the picture; shape: its (H, W, C).

    Raises:
        ArtefactError: not a ``.dab`` file, or one that the runtime would not execute correctly.
    """

    def __init__(self, data: bytes) -> None:
        self._model = parse(data)
        try:
            self._shapes = shapes(self._model)
        except ViolationError as found:
            raise ArtefactError(
                f"daBNN would not compute this file: {found.message}",
                where=f"layer {found.layer}",
                remedy="convert the model again",
            ) from found
        self.input, self.shape = self._model.input, self._model.shape
        self._signs: dict[str, Floats] = {}

    @property
    def blobs(self) -> dict[str, Shape]:
        """Shape of every blob by name."""
        return self._shapes

    def run(self, picture: Floats) -> dict[str, Floats]:
        """Every blob (H, W, C) as it is when all layers have run, by each of its names.

        Args:
            picture: float32 (H, W, C).
        """
        memory = self._memory(picture)
        for layer in self._model.layers:
            self._execute(layer, memory)
        return memory

    def trace(self, picture: Floats) -> Iterator[tuple[Layer, Floats]]:
        """Every layer with the blob that it wrote; what is put into it meanwhile, the next layer reads."""
        memory = self._memory(picture)
        for layer in self._model.layers:
            self._execute(layer, memory)
            yield layer, memory[layer.output]

    def _memory(self, picture: Floats) -> dict[str, Floats]:
        memory = {
            tensor.name: tensor.data.reshape(tensor.shape[1:]).astype(np.float32)
            for tensor in self._model.tensors.values()
            if tensor.name in self._shapes
        }
        memory[self.input] = np.array(picture, np.float32).reshape(self.shape)
        return memory

    def _execute(self, layer: Layer, memory: dict[str, Floats]) -> None:
        x = memory[layer.inputs[0]]
        tensors = [self._model.tensors[name] for name in layer.tensors]
        floats = [tensor.data.astype(np.float32) for tensor in tensors if not tensor.bits]
        if layer.kind == Kind.AFFINE:  # a fused multiply-add: exact in double, rounded once
            x[...] = (floats[0].astype(np.float64) * x + floats[1]).astype(np.float32)
        elif layer.kind == Kind.ADD:
            x += memory[layer.inputs[1]]
        elif layer.kind == Kind.RELU:
            np.maximum(x, 0, out=x)
        elif layer.kind == Kind.PRELU:
            x[...] = np.where(x < 0, x * floats[0].ravel(), x)
        elif layer.kind == Kind.CONCAT:
            memory[layer.output] = np.concatenate([memory[name] for name in layer.inputs], axis=2)
            return
        else:
            after = output_shape(layer, [self._shapes[layer.inputs[0]]], tensors)
            if layer.kind == Kind.MAX_POOL:
                memory[layer.output] = _maximum(layer, x, after)
            elif layer.kind == Kind.AVE_POOL:
                memory[layer.output] = _average(layer, x, after)
            elif layer.kind == Kind.FP_CONV:
                memory[layer.output] = _convolved(layer, x, floats[0], 0.0).reshape(after)
                if len(floats) > 1:
                    memory[layer.output] += floats[1].ravel()
            else:
                weight = self._filters(layer.tensors[0])
                signs = np.where(x > 0, np.float32(1), np.float32(-1))
                dot = _convolved(layer, signs, weight, -1.0).reshape(after)
                memory[layer.output] = (weight[0].size - dot) / 2
            return
        memory[layer.output] = x

    def _filters(self, name: str) -> Floats:
        if name not in self._signs:
            tensor = self._model.tensors[name]
            self._signs[name] = unpack(tensor.data, tensor.shape).astype(np.float32)
        return self._signs[name]


def _padded(x: Floats, pad: int, value: float) -> Floats:
    return np.pad(x, ((pad, pad), (pad, pad), (0, 0)), constant_values=value) if pad else x


def _convolved(layer: Layer, x: Floats, weight: Floats, border: float) -> Floats:
    """Outputs (Ho·Wo, O) of a convolution with weights (O, KH, KW, C)."""
    filters, kh, kw, channels = weight.shape
    windows = _windows(_padded(x, layer.pad, border), (kh, kw), axis=(0, 1))
    windows = windows[:: layer.stride, :: layer.stride].transpose(0, 1, 3, 4, 2)
    columns = np.ascontiguousarray(windows).reshape(-1, kh * kw * channels)
    result: Floats = columns @ weight.reshape(filters, -1).T
    return result


def _taps(layer: Layer, x: Floats, after: Shape, border: float) -> Iterator[Floats]:
    """What each tap of a window sees, in the library's order."""
    padded = _padded(x, layer.pad, border)
    for kh in range(layer.kernel):
        for kw in range(layer.kernel):
            rows = slice(kh, kh + (after[0] - 1) * layer.stride + 1, layer.stride)
            yield padded[rows, kw : kw + (after[1] - 1) * layer.stride + 1 : layer.stride]


def _maximum(layer: Layer, x: Floats, after: Shape) -> Floats:
    result = np.full(after, _LOWEST, np.float32)
    for tap in _taps(layer, x, after, _LOWEST):
        np.maximum(result, tap, out=result)
    return result


def _average(layer: Layer, x: Floats, after: Shape) -> Floats:
    if layer.kernel == layer.stride == 2 and x.shape[2] % 4 == 0:  # counts its padding
        a, b, c, d = _taps(layer, x, after, 0.0)
        return ((a + b) + (c + d)) / np.float32(4)
    total = np.zeros(after, np.float32)
    for tap in _taps(layer, x, after, 0.0):
        total += tap
    inside = np.zeros(after, np.float32)
    for tap in _taps(layer, np.ones_like(x), after, 0.0):
        inside += tap
    return total / inside
