"""The operators of the binary graph, each defined by an ONNX function in standard operators.

The binary graph is an ONNX model (held in memory by onnx-ir) in which what was recognised as binary stands
as nodes of the domain ``bibench``. Since every one of them has a body in standard operators, onnxruntime
executes a recognised or fused graph like any other model, and Netron shows it.

All tensors are NCHW (N, C, *spatial) for convolutions and (..., C) for linear layers.

``Binarize(x, threshold, direction) -> s``
    ``s = direction * (+1 if x >= threshold else -1)``, float32, one of ±1.
    threshold, direction: float32, broadcastable to one sample of x: (), (C, 1, 1), (C, 1) or (C,).
    Every spelling of a two-valued step of float32 has this form exactly: ``x > t`` is ``x >= nextafter(t)``.
    at_threshold (float attribute): what the model gives at ``x == threshold``, before the direction: 1.0, or
    0.0 where the model was trained with ``torch.sign`` (a value that no bit can hold; engines give +1).
    mean_shift (int attribute): 1 where the threshold is a learned per-channel shift (ReActNet's RSign).

``BinaryConv(s, weight, multiplier, bias) -> y``
    ``y = multiplier * dot + bias`` with ``dot`` the integer convolution of s with weight.
    s: (N, C, *spatial) of ±1; weight: int8 ±1, (O, C/group, *kernel);
    multiplier, bias: float32, (O, 1, 1) per channel, or (O, H, W) where a spatial factor was folded in.
    pads: ONNX Pad's order over all axes [0, 0, top, left, 0, 0, bottom, right]; pad_value in ±1 terms.
    strides, dilations, group as ONNX Conv.

``BinaryLinear(s, weight, multiplier, bias) -> y``
    ``y = multiplier * (s @ weight.T) + bias``; s: (..., C), weight: int8 ±1 (O, C), multiplier, bias: (O,).

Both carry ``layer`` (its name), ``scale`` (none, channel, spatial, input: the scaling factor of the trained
model, before batch-norm joined it) and ``sources`` (names of the ONNX nodes it came from).
"""

from __future__ import annotations

import onnx_ir as ir
from onnx import parser

DOMAIN = "bibench"
VERSION = 1
BINARIZE = "Binarize"
BINARY_CONV = "BinaryConv"
BINARY_LINEAR = "BinaryLinear"

#: Oldest operator set of a binary graph: models below are upgraded when they are read. From 18 on, axes of
#: reductions, pads, squeezes are inputs, so no stage has to know two spellings.
MIN_OPSET = 18

_BODIES = {
    BINARIZE: """
        <at_threshold, mean_shift> (x, threshold, direction) => (s)
        {
            one = Constant <value_float: float = 1.0> ()
            minus_one = Constant <value_float: float = -1.0> ()
            at = Constant <value_float: float = @at_threshold> ()
            below = Less (x, threshold)
            above = Greater (x, threshold)
            upper = Where (above, one, at)
            step = Where (below, minus_one, upper)
            s = Mul (step, direction)
        }""",
    BINARY_CONV: """
        <pads, pad_value, strides, dilations, group, layer, scale, sources> (s, weight, multiplier, bias) => (y)
        {
            all_pads = Constant <value_ints: ints = @pads> ()
            value = Constant <value_float: float = @pad_value> ()
            padded = Pad <mode: string = "constant"> (s, all_pads, value)
            w = Cast <to: int = 1> (weight)
            dot = Conv <strides: ints = @strides, dilations: ints = @dilations, group: int = @group> (padded, w)
            scaled = Mul (dot, multiplier)
            y = Add (scaled, bias)
        }""",
    BINARY_LINEAR: """
        <layer, scale, sources> (s, weight, multiplier, bias) => (y)
        {
            w = Cast <to: int = 1> (weight)
            wt = Transpose <perm: ints = [1, 0]> (w)
            dot = MatMul (s, wt)
            scaled = Mul (dot, multiplier)
            y = Add (scaled, bias)
        }""",
}


def functions(opset: int) -> list[ir.Function]:
    """The function bodies of the domain's operators, for a model of the given operator set."""
    header = f'<domain: "{DOMAIN}", opset_import: ["": {opset}]>'
    protos = [parser.parse_function(f"{header}\n{name} {body}") for name, body in _BODIES.items()]
    return [ir.serde.deserialize_function(proto) for proto in protos]


def add_domain(model: ir.Model) -> None:
    """Declare the domain in a model and attach its functions, so that onnxruntime can execute it."""
    model.opset_imports[DOMAIN] = VERSION
    for function in functions(model.opset_imports[""]):
        model.functions[function.identifier()] = function


def is_binary_layer(node: ir.Node) -> bool:
    """Whether a node is a BinaryConv or a BinaryLinear."""
    return node.domain == DOMAIN and node.op_type in (BINARY_CONV, BINARY_LINEAR)


def is_binarize(node: ir.Node | None) -> bool:
    """Whether a node is a Binarize."""
    return node is not None and node.domain == DOMAIN and node.op_type == BINARIZE
