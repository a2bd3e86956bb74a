"""Fused graphs written by hand, as short as what matters in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper, parser

from bibench_deploy.graph import BinaryGraph, Layer, Source, add_domain

F = np.float32
RNG = np.random.default_rng(7)


def fused(text: str, layers: tuple[Layer, ...] = (), **constants: Any) -> BinaryGraph:
    """A fused graph from ONNX text and its constants, with shapes inferred."""
    proto = parser.parse_model(f'<ir_version: 9, opset_import: ["": 18, "bibench": 1]>\n{text}')
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()
    )
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    model = ir.from_proto(proto)
    add_domain(model)
    inferred = onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True, data_prop=True)
    return BinaryGraph(ir.from_proto(inferred), Source(Path("m.onnx"), "0" * 64, proto), layers)


def conv(
    *,
    channels: int = 64,
    outputs: int = 64,
    kernel: tuple[int, ...] = (3, 3),
    size: tuple[int, ...] = (8, 8),
    pads: tuple[int, ...] | None = None,
    pad_value: float = -1.0,
    stride: int = 1,
    dilation: int = 1,
    group: int = 1,
    scale: str = "channel",
    at_threshold: float = 1.0,
    threshold: float = 0.0,
    mean_shift: int = 0,
    multiplier: Any = None,
    bias: Any = None,
    batch: int = 1,
    before: str = "",
    between: str = "",
    after: str = "",
    out: tuple[int, ...] | None = None,
    **constants: Any,
) -> BinaryGraph:
    """One binary convolution ``conv1`` on x, with float operators before, between sign and layer, and after.

    ``before`` maps x to f, ``between`` maps s to p, ``after`` maps c to y.
    """
    rank = len(kernel)
    sides = pads if pads is not None else tuple(extent // 2 for extent in kernel) * 2
    extents = [
        (size[axis] + sides[axis] + sides[axis + rank] - dilation * (kernel[axis] - 1) - 1) // stride + 1
        for axis in range(rank)
    ]
    onnx_pads = [0, 0, *sides[:rank], 0, 0, *sides[rank:]]
    repeat = ", ".join([str(stride)] * rank), ", ".join([str(dilation)] * rank)
    result = ", ".join(map(str, (batch, outputs, *(out or tuple(extents)))))
    shape = ", ".join(map(str, (batch, channels, *size)))
    text = f"""
        m (float[{shape}] x) => (float[{result}] y)
        <float[{", ".join(map(str, (batch, outputs, *extents)))}] c>
        {{
            {before or "f = Identity (x)"}
            s = bibench.Binarize <at_threshold: float = {at_threshold}, mean_shift: int = {mean_shift}>
                (f, threshold, direction)
            {between or "p = Identity (s)"}
            c = bibench.BinaryConv <pads: ints = {onnx_pads}, pad_value: float = {pad_value},
                strides: ints = [{repeat[0]}], dilations: ints = [{repeat[1]}], group: int = {group},
                layer: string = "conv1", scale: string = "{scale}", sources: strings = ["Conv_0"]>
                (p, weight, multiplier, bias)
            {after or "y = Identity (c)"}
        }}"""
    per_channel = (outputs, *(1,) * rank)
    return _without_identities(
        fused(
            text,
            threshold=np.full((channels, *(1,) * rank), threshold, np.float32),
            direction=np.ones((), np.float32),
            weight=np.sign(RNG.standard_normal((outputs, channels // group, *kernel)) + 1e-9).astype(np.int8),
            multiplier=np.full(per_channel, 0.37, np.float32) if multiplier is None else multiplier,
            bias=np.full(per_channel, 0.11, np.float32) if bias is None else bias,
            **constants,
        )
    )


def _without_identities(graph: BinaryGraph) -> BinaryGraph:
    """Fused graphs have no Identity node; the text of the tests needs one where nothing is given."""
    for node in list(graph.model.graph):
        if node.op_type == "Identity" and not node.outputs[0].is_graph_output():
            source = node.inputs[0]
            assert source is not None
            node.outputs[0].replace_all_uses_with(source)
            graph.model.graph.remove(node, safe=True)
        elif node.op_type == "Identity":
            source = node.inputs[0]
            assert source is not None
            graph.model.graph.outputs[0] = source
            graph.model.graph.remove(node, safe=True)
    return graph


def linear(*, rank: int = 2, outputs: int = 32, features: int = 64) -> BinaryGraph:
    """One binary linear layer on (1, 64) or (1, 5, 64)."""
    lead = ", ".join(map(str, [1, 5][: rank - 1]))
    text = f"""
        m (float[{lead}, {features}] x) => (float[{lead}, {outputs}] y)
        {{
            s = bibench.Binarize <at_threshold: float = 1.0, mean_shift: int = 0> (x, threshold, direction)
            y = bibench.BinaryLinear
                <layer: string = "fc1", scale: string = "none", sources: strings = ["Gemm_0"]>
                (s, weight, multiplier, bias)
        }}"""
    return fused(
        text,
        threshold=np.zeros((), np.float32),
        direction=np.ones((), np.float32),
        weight=np.ones((outputs, features), np.int8),
        multiplier=np.full(outputs, 0.5, np.float32),
        bias=np.full(outputs, 0.3, np.float32),
    )


def head(text: str, result: str, **constants: Any) -> BinaryGraph:
    """A model of which only the float head after a binary convolution matters: ``c`` (1, 12, 4, 4) to y."""
    return fused(
        f"""
        m (float[1, 12, 4, 4] x) => (float[{result}] y)
        <float[1, 12, 4, 4] c>
        {{
            s = bibench.Binarize <at_threshold: float = 1.0, mean_shift: int = 0> (x, zero, one)
            c = bibench.BinaryConv <pads: ints = [0,0,1,1,0,0,1,1], pad_value: float = -1.0,
                strides: ints = [1, 1], dilations: ints = [1, 1], group: int = 1, layer: string = "conv1",
                scale: string = "none", sources: strings = ["a"]> (s, weight, multiplier, multiplier)
            {text}
        }}""",
        zero=np.zeros((), F),
        one=np.ones((), F),
        weight=np.ones((12, 12, 3, 3), np.int8),
        multiplier=np.full((12, 1, 1), 0.37, F),
        **constants,
    )
