"""Rules about the kernels that a library chooses by itself for a binary layer, and about their buffers."""

from __future__ import annotations

from collections.abc import Iterator

from bibench_deploy.graph import BinaryLayer

from .capabilities import Direct, Gemm
from .findings import Context, Finding, by, layer_reason, shape, size

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
            yield from _direct(layer, direct, context.title)
            return
    if binary.gemm is not None:
        yield from _gemm(layer, binary.gemm, context.title)


def _direct(layer: BinaryLayer, direct: Direct, title: str) -> Iterator[Finding]:
    outputs, channels = layer.signs.shape[:2]
    before, after = shape(layer.node.inputs[0])[2:], shape(layer.node.outputs[0])[2:]
    kernel = f"{title}'s {by(direct.kernel)} kernel for {channels} channels"
    if outputs % direct.out_channel_multiple:
        yield layer_reason(
            layer,
            code="channel-multiple",
            message=f"gives {outputs} channels; {kernel} gives multiples of {direct.out_channel_multiple}",
            remedy=f"train with {_up(outputs, direct.out_channel_multiple)} output channels",
        )
    if (direct.even_width and before[-1] % 2) or (direct.even_outputs and size(after) % 2):
        yield layer_reason(
            layer,
            code="map-size",
            message=f"maps {by(before)} to {by(after)}; {kernel} needs an even width and an even output",
            remedy="choose an input size that keeps this map even, or 128 channels here",
        )
    if direct.max_outputs is not None and size(after) > direct.max_outputs:
        yield layer_reason(
            layer,
            code="buffer-overflow",
            message=f"gives a map of {by(after)}; {kernel} holds at most {direct.max_outputs} outputs",
            remedy="use a smaller input",
        )


def _gemm(layer: BinaryLayer, gemm: Gemm, title: str) -> Iterator[Finding]:
    depth = size(layer.signs.shape[1:])
    if depth > gemm.max_depth:
        yield layer_reason(
            layer,
            code="buffer-overflow",
            message=f"sums {depth} products an output; {title} takes at most {gemm.max_depth}",
            remedy="use fewer channels or a smaller kernel",
        )
    needed = gemm_words(depth, size(shape(layer.node.outputs[0])[2:]), gemm)
    if needed > gemm.max_buffer_words:
        yield layer_reason(
            layer,
            code="buffer-overflow",
            message=f"needs {needed} words of a buffer that holds {gemm.max_buffer_words}: {title} would "
            "silently compute something else",
            remedy="use a smaller map or fewer channels, or 64, 128, 256 or 512 channels with a 3×3 kernel",
        )


def gemm_words(depth: int, outputs: int, gemm: Gemm) -> int:
    """Words that the matrix product of one layer writes into the library's static buffer."""
    words = _up(depth, _REGISTER) // _WORD
    rows = outputs // gemm.buffer_row_multiple * gemm.buffer_row_multiple
    return min(words, gemm.buffer_filter_words) * rows


def affine_findings(layer: BinaryLayer, context: Context) -> Iterator[Finding]:
    """The factor and bias of a layer run as an Affine, whose rows must fill whole vectors."""
    conditions = context.capabilities.operators.conditions
    if "Affine" not in conditions.row_operators:
        return
    dims = shape(layer.node.outputs[0])
    row = dims[1] * dims[-1] if layer.is_conv else dims[-1]
    if row % conditions.row_multiple and row != 1:
        yield layer_reason(
            layer,
            code="channel-multiple",
            message=f"gives rows of {row} numbers; {context.title}'s Affine needs multiples of "
            f"{conditions.row_multiple}",
            remedy=f"train with output channels in multiples of {conditions.row_multiple}",
        )


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
