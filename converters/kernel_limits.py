"""Rules about the kernels that a library chooses by itself for a binary layer, and about their buffers."""

from __future__ import annotations

from collections.abc import Iterator

from bibench_deploy.graph import BinaryLayer

from .capabilities import Direct, Gemm
from .findings import Code, Context, Finding, Note, by, layer_reason, shape, size

_REGISTER = 128  # bits: filters are padded to whole registers
_WORD = 64


def kernel_findings(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    """What the kernel that the library will choose for a convolution demands."""
    binary = context.capabilities.binary
    for direct in binary.direct:
        if (
            layer.signs.shape[2:] == direct.kernel
            and layer.signs.shape[1] in direct.in_channels
            and len(set(layer.strides)) == 1
        ):
            yield from _direct(layer, direct, context)
            return
    if binary.gemm is not None:
        yield from _gemm(layer, binary.gemm, context)


def _direct(layer: BinaryLayer, direct: Direct, context: Context) -> Iterator[Finding]:
    title = context.title
    outputs, channels = layer.signs.shape[:2]
    before, after = shape(layer.node.inputs[0])[2:], shape(layer.node.outputs[0])[2:]
    kernel = f"{title}'s {by(direct.kernel)} kernel for {channels} channels"
    if outputs % direct.out_channel_multiple:
        yield _demand(
            layer,
            context,
            code="channel-multiple",
            message=f"gives {outputs} channels; {kernel} gives multiples of {direct.out_channel_multiple}",
            remedy=f"train with {_up(outputs, direct.out_channel_multiple)} output channels",
            met="dummy filters and a 1×1 float convolution that drops them",
        )
    odd = (direct.even_width and before[-1] % 2) or (direct.even_outputs and size(after) % 2)
    if odd or (direct.max_outputs is not None and size(after) > direct.max_outputs):
        needs = (
            "an even width and an even output"
            if odd
            else f"at most {direct.max_outputs} outputs of a channel"
        )
        yield _demand(
            layer,
            context,
            code="map-size" if odd else "buffer-overflow",
            message=f"maps {by(before)} to {by(after)}; {kernel} needs {needs}",
            remedy="choose another input size, or 128 channels here",
            met=f"the kernel for {2 * channels} channels, each of the {channels} taken twice",
        )


def _demand(
    layer: BinaryLayer, context: Context, *, code: Code, message: str, remedy: str, met: str
) -> Finding:
    """What a kernel demands: met at a cost where the emitter can, else in the way."""
    if context.capabilities.binary.widens:
        return Note(layer.node.name or "", layer.name, "widened", f"{message}: computed with {met}")
    return layer_reason(layer, code=code, message=message, remedy=remedy)


def _gemm(layer: BinaryLayer, gemm: Gemm, context: Context) -> Iterator[Finding]:
    yield from depth_findings(layer, context)
    depth = size(layer.signs.shape[1:])
    needed = gemm_words(depth, size(shape(layer.node.outputs[0])[2:]), gemm)
    if needed > gemm.max_buffer_words:
        yield layer_reason(
            layer,
            code="buffer-overflow",
            message=f"needs {needed} words of a buffer that holds {gemm.max_buffer_words}: {context.title} would "
            "silently compute something else",
            remedy="use a smaller map or fewer channels, or 64, 128, 256 or 512 channels with a 3×3 kernel",
        )


def depth_findings(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    """The longest sum that the matrix product takes."""
    gemm, depth = context.capabilities.binary.gemm, layer.signs[0].size
    if gemm is not None and depth > gemm.max_depth:
        yield layer_reason(
            layer,
            code="buffer-overflow",
            message=f"sums {depth} products an output; {context.title} takes at most {gemm.max_depth}",
            remedy="use fewer channels or a smaller kernel",
        )


def gemm_words(depth: int, outputs: int, gemm: Gemm) -> int:
    """Words that the matrix product of one layer writes into the library's static buffer."""
    words = _up(depth, _REGISTER) // _WORD
    rows = outputs // gemm.buffer_row_multiple * gemm.buffer_row_multiple
    return min(words, gemm.buffer_filter_words) * rows


def map_findings(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    """A constant map that is added to a layer's result by an Add, whose rows must fill whole vectors."""
    conditions = context.capabilities.operators.conditions
    if "Add" not in conditions.row_operators:
        return
    dims = shape(layer.node.outputs[0])
    row = dims[1] * dims[-1]
    if row % conditions.row_multiple and size(dims) != 1:
        yield layer_reason(
            layer,
            code="channel-multiple",
            message=f"gives rows of {row} numbers, to which a constant map is added; {context.title}'s Add needs "
            f"multiples of {conditions.row_multiple}",
            remedy=f"train with output channels in multiples of {conditions.row_multiple}",
        )


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
