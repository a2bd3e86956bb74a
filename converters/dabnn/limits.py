"""What the runtime demands of a file and checks only when it runs, or not at all: the audit of an artefact.

``shapes`` walks a file as the runtime would and says the first thing that would throw, crash or silently be
wrong. It runs over every file that is emitted and over every file that is executed by ``semantics``; so no rule
of ``check`` that is too lax can let a wrong file out. Every demand was measured on the runtime
(docs/engines/dabnn.md); the numbers of the binary kernels are those of ``capabilities.toml``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from ..capabilities import Binary, Direct, load
from ..kernel_limits import gemm_words
from .dab import IN_PLACE, Kind, Layer, Model, Shape, Tensor
from .packing import words_per_filter

#: Names that the runtime gives to buffers of its own [layers/*.cpp].
RESERVED = ("binaized_for_", "pad_for_", "col_for_", "trans_")
#: Kinds whose rows must fill 16 bytes, a single number excepted [mat.h].
_ROWS = frozenset({Kind.AFFINE, Kind.ADD, Kind.MAX_POOL, Kind.AVE_POOL})
_LANES = 4
#: Words of an input with its border, and of all filters, that the direct kernels' buffers hold [bconv.h].
_DIRECT_INPUT_WORDS = 9_999_999
_DIRECT_FILTER_WORDS = 999_999
_WORD = 64
_WEIGHT_RANK = 4
#: Kernels of MaxPool that work on four channels at a time [layers/MaxPool.cpp].
_VECTOR_POOLS = (2, 3)


class ViolationError(Exception):
    """Why the runtime would not compute a layer, or compute something else.

    Attributes:
        layer: its output.
        message: in words.
    """

    def __init__(self, layer: str, message: str) -> None:
        super().__init__(f"{layer}: {message}")
        self.layer = layer
        self.message = message


@cache
def binary_limits() -> Binary:
    """The limits of the binary kernels."""
    return load("dabnn").binary


def direct_kernel(kernel: int, channels: int) -> Direct | None:
    """The kernel that the runtime chooses for a binary convolution; None for its matrix product."""
    for direct in binary_limits().direct:
        if direct.kernel == (kernel, kernel) and channels in direct.in_channels:
            return direct
    return None


def shapes(model: Model) -> dict[str, Shape]:
    """The shape (H, W, C) of every blob.

    Raises:
        ViolationError: the runtime would throw, crash or be wrong.
    """
    found: dict[str, Shape] = {model.input: model.shape}
    for tensor in model.tensors.values():
        if len(tensor.shape) == 4 and not tensor.bits and tensor.shape[0] == 1:
            found[tensor.name] = (tensor.shape[1], tensor.shape[2], tensor.shape[3])
    buffer = {name: name for name in found}  # whose memory a name stands for
    for layer in model.layers:
        missing = [name for name in layer.inputs if name not in found]
        if missing:
            raise ViolationError(layer.output, f"it reads '{missing[0]}', which nothing has written")
        lost = [name for name in layer.tensors if name not in model.tensors]
        if lost:
            raise ViolationError(layer.output, f"there is no tensor '{lost[0]}'")
        if layer.output in found or layer.output in model.tensors or layer.output.startswith(RESERVED):
            raise ViolationError(layer.output, "its name is taken")
        inputs = [found[name] for name in layer.inputs]
        for message in _problems(layer, inputs, [model.tensors[name] for name in layer.tensors]):
            raise ViolationError(layer.output, message)
        if layer.kind in IN_PLACE:
            owner = buffer[layer.inputs[0]]
            if owner == model.input or owner in model.tensors:
                raise ViolationError(
                    layer.output, f"it would overwrite '{owner}', which is not the network's own"
                )
        else:
            owner = layer.output
        buffer[layer.output] = owner
        found[layer.output] = output_shape(layer, inputs, [model.tensors[name] for name in layer.tensors])
    return found


def output_shape(layer: Layer, inputs: list[Shape], tensors: list[Tensor]) -> Shape:
    """The shape that a layer writes."""
    height, width, channels = inputs[0]
    if layer.kind in IN_PLACE:
        return inputs[0]
    if layer.kind == Kind.CONCAT:
        return height, width, sum(shape[2] for shape in inputs)
    kernel = layer.kernel
    if layer.kind in (Kind.FP_CONV, Kind.BIN_CONV):
        kernel, channels = tensors[0].shape[1], tensors[0].shape[0]
    size = [(axis + 2 * layer.pad - kernel) // layer.stride + 1 for axis in (height, width)]
    return size[0], size[1], channels


def _problems(layer: Layer, inputs: list[Shape], tensors: list[Tensor]) -> Iterator[str]:
    height, width, channels = inputs[0]
    if layer.kind in _ROWS:
        yield from _rows(inputs[0])
    if layer.kind == Kind.RELU and height * width * channels % _LANES:
        yield f"the last {height * width * channels % _LANES} of its numbers would stay as they are"
    elif layer.kind == Kind.AFFINE and any(tensor.shape != (channels,) for tensor in tensors):
        yield f"its factors are not one for each of {channels} channels"
    elif layer.kind == Kind.PRELU and tensors[0].shape not in ((1,), (channels,)):
        yield f"its slopes are not one, or one for each of {channels} channels"
    elif layer.kind == Kind.ADD and inputs[0] != inputs[1]:
        yield f"it adds {inputs[0]} and {inputs[1]}"
    elif layer.kind == Kind.CONCAT and (len(inputs) != 2 or inputs[0] != inputs[1]):
        yield f"it joins {' and '.join(map(str, inputs))}: only two equal shapes are right"
    elif layer.kind in (Kind.FP_CONV, Kind.BIN_CONV):
        yield from _convolution(layer, inputs[0], tensors)
    elif layer.kind in (Kind.MAX_POOL, Kind.AVE_POOL):
        yield from _window(layer, inputs[0], (layer.kernel, layer.kernel))
        yield from _rows(output_shape(layer, inputs, tensors))
        if layer.kind == Kind.MAX_POOL and layer.kernel in _VECTOR_POOLS and channels % _LANES:
            yield f"it pools {channels} channels four at a time"


def _rows(shape: Shape) -> Iterator[str]:
    height, width, channels = shape
    # The runtime has H and W exchanged, so both are asked.
    for row in {height * channels, width * channels}:
        if row % _LANES and height * width * channels != 1:
            yield f"its rows of {row} numbers don't fill 16 bytes"


def _window(layer: Layer, shape: Shape, kernel: tuple[int, int]) -> Iterator[str]:
    height, width, _ = shape
    plain = kernel == (1, 1) and layer.stride == 1 and layer.pad == 0
    if kernel[0] != kernel[1]:
        yield f"its kernel is {kernel[0]}×{kernel[1]}, not a square"
    elif height != width and not plain:
        yield f"its map is {height}×{width}, not a square"
    elif height + 2 * layer.pad < kernel[0]:
        yield f"its kernel is larger than its map of {height}×{width}"


def _convolution(layer: Layer, shape: Shape, tensors: list[Tensor]) -> Iterator[str]:
    if len(tensors[0].shape) != _WEIGHT_RANK:
        yield f"its filters have {len(tensors[0].shape)} axes, not {_WEIGHT_RANK}"
        return
    filters, kh, kw, depth = tensors[0].shape
    if depth != shape[2]:
        yield f"its filters are for {depth} channels, its input has {shape[2]}"
    if (layer.kind == Kind.BIN_CONV) != tensors[0].bits:
        yield "its filters are of the wrong type"
    if len(tensors) > 1 and tensors[1].data.size != filters:
        yield f"it has {tensors[1].data.size} biases for {filters} filters"
    yield from _window(layer, shape, (kh, kw))
    if layer.kind == Kind.BIN_CONV:
        yield from _binary(layer, shape, tensors[0], output_shape(layer, [shape], tensors))


def _binary(layer: Layer, before: Shape, weight: Tensor, after: Shape) -> Iterator[str]:
    filters, kh, kw, depth = weight.shape
    if weight.data.size != filters * words_per_filter(kh, kw, depth):
        yield f"it has {weight.data.size} words for {filters} filters"
    direct, gemm = direct_kernel(kh, depth), binary_limits().gemm
    outputs = after[0] * after[1]
    if direct is not None:
        words = depth // _WORD
        bordered = (before[0] + 2 * layer.pad) * (before[1] + 2 * layer.pad) * words
        if filters % direct.out_channel_multiple:
            yield f"its kernel gives multiples of {direct.out_channel_multiple} channels, not {filters}"
        if (direct.even_width and before[1] % 2) or (direct.even_outputs and outputs % 2):
            yield "its kernel needs an even width and an even number of outputs"
        if direct.max_outputs is not None and outputs > direct.max_outputs:
            yield f"its kernel holds {direct.max_outputs} outputs, not {outputs}"
        if bordered >= _DIRECT_INPUT_WORDS or weight.data.size >= _DIRECT_FILTER_WORDS:
            yield "its map or its filters are larger than its kernel's buffers"
    elif gemm is not None:
        if kh * kw * depth > gemm.max_depth:
            yield f"it sums {kh * kw * depth} products an output, more than {gemm.max_depth}"
        elif gemm_words(kh * kw * depth, outputs, gemm) > gemm.max_buffer_words:
            yield f"it overflows a buffer of {gemm.max_buffer_words} words"
