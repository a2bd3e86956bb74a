"""Verdicts and reasons on fused graphs written by hand: each table specifies one group of rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser

from bibench_deploy.converters.capabilities import PadForm, load
from bibench_deploy.converters.deployability import Allowed, Assessment, Reason, assess, parse_allow, verdict
from bibench_deploy.errors import InputError
from bibench_deploy.graph import BinaryGraph, Layer, Source, add_domain

LARQ, DABNN, NATIVE = (load(engine) for engine in ("larq", "dabnn", "native"))
ENGINES = {"larq": LARQ, "dabnn": DABNN}
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


def codes(assessment: Assessment) -> list[str]:
    return [reason.code for reason in assessment.reasons]


def both(graph: BinaryGraph, allowed: Allowed = Allowed()) -> dict[str, list[str]]:  # noqa: B008
    return {name: codes(assess(graph, capabilities, allowed)) for name, capabilities in ENGINES.items()}


@pytest.mark.parametrize(
    ("graph", "larq", "dabnn"),
    [
        pytest.param(conv(scale="none"), [], [], id="no factor"),
        pytest.param(conv(scale="channel"), [], [], id="a factor a channel"),
        pytest.param(conv(scale="input"), ["runtime-factor"], ["runtime-factor"], id="XNOR's K"),
        pytest.param(conv(scale="spatial"), ["spatial-factor"], ["spatial-factor"], id="XNOR++"),
        pytest.param(
            conv(multiplier=np.linspace(1, 2, 64 * 64, dtype=np.float32).reshape(64, 8, 8)),
            ["spatial-factor"],
            ["spatial-factor"],
            id="a multiplier that varies over the map, whatever it is called",
        ),
        pytest.param(conv(multiplier=np.ones((64, 8, 8), np.float32)), [], [], id="a map that doesn't vary"),
        pytest.param(conv(mean_shift=1, threshold=0.2), [], [], id="ReActNet's shift, absorbed on daBNN"),
        pytest.param(conv(threshold=0.2), [], [], id="batch-norm folded into the threshold"),
    ],
)
def test_factors_and_mean_shift(graph: BinaryGraph, larq: list[str], dabnn: list[str]) -> None:
    assert both(graph) == {"larq": larq, "dabnn": dabnn}


@pytest.mark.parametrize(
    ("graph", "larq", "dabnn"),
    [
        pytest.param(conv(pad_value=-1.0), [], [], id="−1"),
        pytest.param(conv(pad_value=0.0), [], [], id="0"),
        pytest.param(conv(pad_value=1.0), [], [], id="+1"),
        pytest.param(conv(pad_value=0.25), [], [], id="another value"),
        pytest.param(
            conv(pad_value=0.25, pads=(0, 0, 0, 0)), [], [], id="a value that nothing is padded with"
        ),
        pytest.param(
            conv(pad_value=0.0, pads=(0, 0, 1, 1), stride=2),
            [],
            ["asymmetric-padding"],
            id="TF SAME, stride 2",
        ),
        pytest.param(conv(pad_value=-1.0, stride=2), [], [], id="PyTorch's padding, stride 2"),
        pytest.param(conv(pads=(1, 0, 1, 0)), [], ["asymmetric-padding"], id="rows only"),
        pytest.param(conv(dilation=2, pads=(2, 2, 2, 2)), [], ["dilation"], id="dilation"),
        pytest.param(conv(group=2), [], ["group"], id="groups of whole words"),
        pytest.param(conv(group=4), [], ["group"], id="groups of half words"),
        pytest.param(conv(group=64), [], ["group"], id="depth-wise"),
        pytest.param(
            conv(kernel=(3, 1), pads=(1, 0, 1, 0)), [], ["kernel", "asymmetric-padding"], id="kernel 3×1"
        ),
        pytest.param(conv(size=(8, 16)), [], ["square-map"], id="map 8×16"),
        pytest.param(conv(size=(8, 16), kernel=(1, 1), pads=(0, 0, 0, 0)), [], [], id="map 8×16 under 1×1"),
        pytest.param(
            conv(size=(8, 16), kernel=(1, 1), pads=(0, 0, 0, 0), stride=2),
            [],
            ["square-map"],
            id="1×1, stride 2",
        ),
        pytest.param(conv(kernel=(5,), size=(32,)), [], ["rank", "rank"], id="Conv1d: layer and input"),
        pytest.param(
            conv(kernel=(3, 3, 3), size=(4, 4, 4), channels=4), ["rank"], ["rank", "rank"], id="Conv3d"
        ),
        pytest.param(linear(), [], [], id="linear"),
        pytest.param(linear(rank=3), [], ["rank", "rank"], id="linear on (N, L, C)"),
        pytest.param(linear(outputs=10), [], [], id="linear to 10 classes"),
        pytest.param(conv(batch=2), [], ["batch"], id="batch 2"),
    ],
)
def test_form_of_a_binary_layer(graph: BinaryGraph, larq: list[str], dabnn: list[str]) -> None:
    assert both(graph) == {"larq": larq, "dabnn": dabnn}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        # Direct kernels, each as measured on the library.
        pytest.param(conv(size=(14, 14)), [], id="64 channels at 14×14"),
        pytest.param(conv(size=(7, 7)), ["widened"], id="64 channels at odd width"),
        pytest.param(conv(size=(14, 14), stride=2), ["widened"], id="64 channels, 49 outputs"),
        pytest.param(conv(outputs=36), [], id="64 to an even number of channels"),
        pytest.param(conv(size=(336, 336)), ["widened"], id="64 channels, 112,896 outputs"),
        pytest.param(conv(channels=128, outputs=128, size=(7, 7)), [], id="128 channels at odd width"),
        pytest.param(conv(channels=128, outputs=64), ["widened"], id="128 to 64"),
        pytest.param(conv(channels=128, outputs=64, kernel=(1, 1)), [], id="128 to 64 by 1×1 goes by BGEMM"),
        # BGEMM's static buffer: the shapes that were measured to be right and wrong.
        pytest.param(conv(channels=96, outputs=32, size=(112, 112)), ["buffer-overflow"], id="112×112 96→32"),
        pytest.param(conv(channels=192, outputs=16, size=(68, 68)), ["buffer-overflow"], id="68×68 192→16"),
        pytest.param(conv(channels=320, outputs=16, size=(64, 64)), ["buffer-overflow"], id="64×64 320→16"),
        pytest.param(conv(channels=32, outputs=64, size=(112, 112)), [], id="112×112 32→64"),
        pytest.param(conv(channels=384, outputs=32, size=(56, 56)), [], id="56×56 384→32"),
        pytest.param(
            conv(channels=1250, outputs=4, kernel=(7, 7), size=(7, 7)), ["buffer-overflow"], id="deep sums"
        ),
        pytest.param(conv(channels=32, outputs=5, size=(7, 7)), [], id="rows of 35"),
        pytest.param(
            conv(channels=32, outputs=5, size=(7, 7), pad_value=0.0),
            ["channel-multiple"],
            id="a map on rows of 35",
        ),
    ],
)
def test_dabnn_kernels(graph: BinaryGraph, expected: list[str]) -> None:
    judged = assess(graph, DABNN)
    met = [note.code for note in judged.notes if note.code == "widened"]
    assert codes(judged) + met == expected
    assert codes(assess(graph, LARQ)) == []


@pytest.mark.parametrize(
    ("graph", "common"),
    [
        pytest.param(conv(at_threshold=0.0), None, id="the model's input"),
        pytest.param(conv(at_threshold=0.0, before="f = Relu (x)"), "ReLU", id="behind ReLU"),
        pytest.param(
            conv(at_threshold=0.0, before="r = Relu (x) f = MaxPool <kernel_shape=[1,1]> (r)"),
            "ReLU",
            id="behind ReLU and a pool",
        ),
        pytest.param(
            conv(at_threshold=0.0, before="r = Relu (x) f = Mul (r, k)", k=np.float32(2)),
            None,
            id="behind ReLU and something else",
        ),
        pytest.param(
            conv(
                at_threshold=0.0,
                threshold=1.0,
                before="f = Clip (x, lo, hi)",
                lo=np.float32(-1),
                hi=np.float32(1),
            ),
            "clip",
            id="a threshold at a clip's bound",
        ),
        pytest.param(
            conv(at_threshold=0.0, before="f = Clip (x, lo, hi)", lo=np.float32(-1), hi=np.float32(1)),
            None,
            id="a threshold inside a clip",
        ),
        pytest.param(conv(at_threshold=1.0, before="f = Relu (x)"), None, id="x >= 0 behind ReLU"),
    ],
)
def test_sign_of_zero(graph: BinaryGraph, common: str | None) -> None:
    """torch.sign's 0 is a note where equality is an accident, a change of function where it is common."""
    judged = assess(graph, LARQ)
    if common is None:
        assert judged.verdict == "deployable"
    else:
        (reason,) = judged.reasons
        assert judged.verdict == "changes_function"
        assert (reason.code, reason.layer, reason.allow) == ("sign-zero", "conv1", "sign-zero=+1")
        assert common in reason.message
        allowed = assess(graph, LARQ, parse_allow(["sign-zero=+1"]))
        assert allowed.verdict == "deployable"
        assert [(change.key, change.layer) for change in allowed.changes] == [("sign-zero", "conv1")]
        assert assess(graph, LARQ, parse_allow(["sign-zero=-1"])).verdict == "changes_function"


@pytest.mark.parametrize(
    ("bias", "pad_value", "verdict"),
    [
        pytest.param(0.0, -1.0, "changes_function", id="an even number of taps often sums to 0"),
        pytest.param(0.11, -1.0, "deployable", id="0.37·n + 0.11 is never 0"),
        pytest.param(0.37, -1.0, "deployable", id="0.37·n + 0.37 is 0 at an odd sum: impossible"),
        pytest.param(0.37, 0.0, "changes_function", id="... but not where padding leaves taps out"),
    ],
)
def test_sign_of_bare_integers(bias: float, pad_value: float, verdict: str) -> None:
    text = """
        m (float[1, 64, 8, 8] x) => (float[1, 64, 8, 8] y)
        <float[1, 64, 8, 8] c>
        {
            s = bibench.Binarize <at_threshold: float = 1.0, mean_shift: int = 0> (x, zero, one)
            c = bibench.BinaryConv <pads: ints = [0,0,1,1,0,0,1,1], pad_value: float = PAD,
                strides: ints = [1, 1], dilations: ints = [1, 1], group: int = 1, layer: string = "conv1",
                scale: string = "none", sources: strings = ["a"]> (s, weight, multiplier, bias)
            t = bibench.Binarize <at_threshold: float = 0.0, mean_shift: int = 0> (c, zero, one)
            y = bibench.BinaryConv <pads: ints = [0,0,1,1,0,0,1,1], pad_value: float = -1.0,
                strides: ints = [1, 1], dilations: ints = [1, 1], group: int = 1, layer: string = "conv2",
                scale: string = "none", sources: strings = ["b"]> (t, weight, multiplier, bias)
        }"""
    graph = fused(
        text.replace("PAD", str(pad_value)),
        zero=np.zeros((), np.float32),
        one=np.ones((), np.float32),
        weight=np.ones((64, 64, 3, 3), np.int8),
        multiplier=np.full((64, 1, 1), 0.37, np.float32),
        bias=np.full((64, 1, 1), bias, np.float32),
    )
    judged = assess(graph, LARQ)
    assert judged.verdict == verdict
    assert [reason.layer for reason in judged.reasons] == (["conv2"] if verdict != "deployable" else [])


F = np.float32
CHANNEL = np.full((64, 1, 1), 0.5, F)


@pytest.mark.parametrize(
    ("after", "constants", "out", "dabnn"),
    [
        ("y = Relu (c)", {}, (8, 8), []),
        ("y = Clip (c, lo, hi)", {"lo": F(-1), "hi": F(1)}, (8, 8), []),
        ("y = PRelu (c, k)", {"k": CHANNEL}, (8, 8), []),
        ("y = Add (c, x)", {}, (8, 8), []),
        ("y = Mul (c, k)", {"k": CHANNEL}, (8, 8), []),
        ("y = Div (c, k)", {"k": F(3)}, (8, 8), []),
        ("y = Add (c, k)", {"k": np.ones((1, 64, 8, 8), F)}, (8, 8), []),
        ("y = Mul (c, k)", {"k": np.ones((1, 64, 8, 8), F)}, (8, 8), ["operator-form"]),
        ("y = Mul (c, x)", {}, (8, 8), ["operator-form"]),
        ("y = Sub (c, x)", {}, (8, 8), ["operator-form"]),
        ("y = Div (k, c)", {"k": F(3)}, (8, 8), ["operator-form"]),
        ("y = Sigmoid (c)", {}, (8, 8), ["operator"]),
        ("y = Transpose <perm = [0, 1, 3, 2]> (c)", {}, (8, 8), ["operator"]),
        ("y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)", {}, (4, 4), []),
        ("y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (c)", {}, (4, 4), []),
        (
            "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 1, 1]> (c)",
            {},
            (4, 4),
            ["asymmetric-padding"],
        ),
        (
            "y = MaxPool <kernel_shape = [3, 3], strides = [3, 3], ceil_mode = 1> (c)",
            {},
            (3, 3),
            ["operator-form"],
        ),
        ("y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (c)", {}, (4, 4), []),
        ("y = MaxPool <kernel_shape = [2, 1], strides = [2, 1]> (c)", {}, (4, 8), ["kernel"]),
        ("y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (c)", {}, (8, 8), []),
        (
            "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (c)",
            {},
            (8, 8),
            ["operator-form"],
        ),
        (
            "y = AveragePool <kernel_shape = [2, 2], strides = [2, 2], pads = [1, 1, 1, 1]> (c)",
            {},
            (5, 5),
            ["operator-form"],
        ),
        (
            "y = AveragePool <kernel_shape = [2, 2], strides = [2, 2], pads = [1, 1, 1, 1],"
            " count_include_pad = 1> (c)",
            {},
            (5, 5),
            [],
        ),
        ("y = GlobalAveragePool (c)", {}, (1, 1), []),
        ("y = ReduceMean <keepdims = 1> (c, k)", {"k": np.array([2, 3])}, (1, 1), []),
        ("y = ReduceMean <keepdims = 1> (c, k)", {"k": np.array([-1, -2])}, (1, 1), []),
        ("y = ReduceMean <keepdims = 1> (c, k)", {"k": np.array([3])}, (8, 1), ["operator-form"]),
        (
            "y = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (c, k)",
            {"k": np.ones((64, 64, 3, 3), F)},
            (8, 8),
            [],
        ),
        (
            "y = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 2> (c, k)",
            {"k": np.ones((64, 32, 3, 3), F)},
            (8, 8),
            ["group"],
        ),
        (
            "y = Conv <kernel_shape = [3, 3], pads = [2, 2, 2, 2], dilations = [2, 2]> (c, k)",
            {"k": np.ones((64, 64, 3, 3), F)},
            (8, 8),
            ["dilation"],
        ),
        (
            "y = Conv <kernel_shape = [1, 3], pads = [0, 1, 0, 1]> (c, k)",
            {"k": np.ones((64, 64, 1, 3), F)},
            (8, 8),
            ["kernel", "asymmetric-padding"],
        ),
    ],
)
def test_float_operators(
    after: str, constants: dict[str, Any], out: tuple[int, ...], dabnn: list[str]
) -> None:
    assert both(conv(after=after, out=out, **constants)) == {"larq": [], "dabnn": dabnn}


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


FC = {"w": np.ones((192, 10), F)}
GEMM = {"w": np.ones((10, 192), F), "b": np.ones(10, F)}


@pytest.mark.parametrize(
    ("graph", "dabnn"),
    [
        pytest.param(head("f = Flatten (c) y = MatMul (f, w)", "1, 10", **FC), [], id="flatten, linear"),
        pytest.param(
            head("f = Reshape (c, n) y = Gemm <transB = 1> (f, w, b)", "1, 10", n=np.array([1, 192]), **GEMM),
            [],
            id="reshape, linear",
        ),
        pytest.param(
            head("f = Flatten (c) r = Relu (f) y = MatMul (r, w)", "1, 10", **FC),
            [],
            id="flatten, ReLU, linear: the same as ReLU, flatten, linear",
        ),
        pytest.param(
            head("f = Flatten (c) r = Mul (f, k) y = MatMul (r, w)", "1, 10", k=np.ones((1, 192), F), **FC),
            ["operator-form"],
            id="flatten, a number a feature, linear",
        ),
        pytest.param(
            head(
                "g = GlobalAveragePool (c) f = Flatten (g) r = Relu (f) y = MatMul (r, w)",
                "1, 10",
                w=np.ones((12, 10), F),
            ),
            [],
            id="flattening a 1×1 map is free",
        ),
        pytest.param(
            head(
                "f = Reshape (c, n) t = Transpose <perm = [0, 2, 1, 3, 4]> (f) y = Reshape (t, m)",
                "1, 12, 4, 4",
                n=np.array([1, 2, 6, 4, 4]),
                m=np.array([1, 12, 4, 4]),
            ),
            ["operator-form", "operator", "operator-form"],
            id="channel shuffle",
        ),
        pytest.param(head("y = Concat <axis = 1> (c, x)", "1, 24, 4, 4"), [], id="concat of two"),
        pytest.param(
            head("y = Concat <axis = 1> (c, x, x)", "1, 36, 4, 4"), ["operator-form"], id="concat of three"
        ),
        pytest.param(
            head("t = Concat <axis = 1> (c, x) y = Concat <axis = 1> (t, x)", "1, 36, 4, 4"),
            ["operator-form"],
            id="concat of unequal widths",
        ),
        pytest.param(
            head("y = Concat <axis = 2> (c, x)", "1, 12, 8, 4"), ["operator-form"], id="concat of rows"
        ),
        pytest.param(
            head("f = Flatten (c) l = MatMul (f, w) y = Softmax (l)", "1, 10", **FC),
            ["operator"],
            id="softmax",
        ),
        pytest.param(
            head(
                "k = Conv <kernel_shape = [2, 2]> (c, w) y = Relu (k)",
                "1, 3, 3, 3",
                w=np.ones((3, 12, 2, 2), F),
            ),
            [],
            id="ReLU on 27 numbers",
        ),
        pytest.param(
            head(
                "k = Conv (c, w) y = MaxPool <kernel_shape = [2, 2]> (k)",
                "1, 6, 3, 3",
                w=np.ones((6, 12, 1, 1), F),
            ),
            ["channel-multiple", "channel-multiple"],
            id="pool of 6 channels in rows of 18",
        ),
    ],
)
def test_heads(graph: BinaryGraph, dabnn: list[str]) -> None:
    assert both(graph) == {"larq": [], "dabnn": dabnn}


@pytest.mark.parametrize(
    ("between", "larq", "dabnn"),
    [
        ("p = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (s)", [], []),
        ("p = Transpose <perm = [0, 1, 3, 2]> (s)", [], ["operator"]),
        ("p = Relu (s)", ["operator-between"], ["operator-between"]),
        ("p = Selu (s)", ["operator"], ["operator"]),
    ],
)
def test_between_sign_and_layer(between: str, larq: list[str], dabnn: list[str]) -> None:
    assert both(conv(between=between)) == {"larq": larq, "dabnn": dabnn}


def test_padding_may_be_changed_where_that_is_cheaper() -> None:
    """daBNN's zero padding is exact at the cost of a constant map; a user may prefer −1 for nothing."""
    graph = conv(pad_value=0.0)
    exact = assess(graph, DABNN)
    assert "constant map" in next(note.message for note in exact.notes if note.code == "padding")
    changed = assess(graph, DABNN, parse_allow(["padding=-1"]))
    assert changed.verdict == "deployable"
    assert [(change.key, change.message) for change in changed.changes] == [
        ("padding", "pads −1 instead of 0")
    ]
    assert "padding" not in [note.code for note in changed.notes]
    # Larq pads 0 for nothing, so nothing is changed there.
    assert assess(graph, LARQ, parse_allow(["padding=-1"])).changes == ()


def test_padding_without_an_exact_form() -> None:
    """An engine that computes its own border only could run the model, but as another function."""
    own = PadForm(value=-1.0, how="native")
    engine = LARQ.model_copy(update={"binary": LARQ.binary.model_copy(update={"padding": (own,)})})
    judged = assess(conv(pad_value=0.0), engine)
    assert (judged.verdict, codes(judged), judged.reasons[0].allow) == (
        "changes_function",
        ["pad-value"],
        "padding=-1",
    )
    assert assess(conv(pad_value=0.0), engine, parse_allow(["padding=+1"])).verdict == "changes_function"
    allowed = assess(conv(pad_value=0.0), engine, parse_allow(["padding=-1"]))
    assert (allowed.verdict, [change.layer for change in allowed.changes]) == ("deployable", ["conv1"])


def reason(allow: str | None) -> Reason:
    return Reason("n", "l", "pad-value", "m", "r", allow)


@pytest.mark.parametrize(
    ("allows", "expected"),
    [
        ([], "deployable"),
        (["padding=-1"], "changes_function"),
        (["padding=-1", "sign-zero=+1"], "changes_function"),
        ([None], "not_deployable"),
        (["padding=-1", None], "not_deployable"),
    ],
)
def test_one_reason_without_a_way_out_decides(allows: list[str | None], expected: str) -> None:
    assert verdict(map(reason, allows)) == expected


def test_a_planned_engine_is_never_deployable() -> None:
    judged = assess(conv(), NATIVE.model_copy(update={"status": "planned"}))
    assert (judged.verdict, judged.reasons) == ("planned", ())


@pytest.mark.parametrize(
    "options",
    [
        {"scale": "input"},
        {"scale": "spatial", "multiplier": RNG.normal(size=(64, 8, 8)).astype(np.float32)},
        {"mean_shift": 1},
        {"pad_value": 0.25},
        {"dilation": 2, "pads": (2, 2, 2, 2)},
        {"pads": (1, 0, 1, 0)},
        {"group": 4},
        {"channels": 3, "outputs": 5},
        {"batch": 3},
    ],
    ids=str,
)
def test_the_native_engine_has_no_such_limits(options: dict[str, Any]) -> None:
    assert assess(conv(**options), NATIVE).verdict == "deployable"


def test_a_model_without_binary_layers_is_refused_by_every_engine() -> None:
    graph = fused("m (float[1, 4, 4, 4] x) => (float[1, 4, 4, 4] y) { y = Relu (x) }")
    assert both(graph) == {"larq": ["no-binary-layer"], "dabnn": ["no-binary-layer"]}


def test_layers_that_only_look_binary_are_noted() -> None:
    suspicious = Layer(
        "conv2",
        ("Conv_9",),
        "float",
        "conv2d",
        (8, 8, 3, 3),
        576,
        0,
        why_not_binary="3 magnitudes",
        looks_binary=True,
    )
    ordinary = replace(suspicious, name="conv3", looks_binary=False)
    judged = assess(replace(conv(), layers=(suspicious, ordinary)), LARQ)
    (note,) = [note for note in judged.notes if note.code == "looks-binary"]
    assert (note.layer, note.node, "3 magnitudes" in note.message) == ("conv2", "Conv_9", True)


def test_every_reason_names_its_node_its_layer_and_a_way_out() -> None:
    graph = conv(scale="input", group=64, mean_shift=1, pads=(0, 0, 1, 1), dilation=2, size=(9, 8))
    for capabilities in ENGINES.values():
        reasons = assess(graph, capabilities).reasons
        assert reasons
        assert all(each.node and each.layer == "conv1" and each.message and each.remedy for each in reasons)


def test_two_inputs() -> None:
    graph = fused("m (float[1, 4, 4, 4] x, float[1, 4, 4, 4] z) => (float[1, 4, 4, 4] y) { y = Add (x, z) }")
    assert "inputs" in both(graph)["dabnn"]
    assert "inputs" not in both(graph)["larq"]


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ([], Allowed()),
        (["padding=-1"], Allowed(padding=-1.0)),
        (["padding=−1"], Allowed(padding=-1.0)),
        (["padding=0", "sign-zero=+1"], Allowed(padding=0.0, sign_zero=1.0)),
    ],
)
def test_allow(options: list[str], allowed: Allowed) -> None:
    assert parse_allow(options) == allowed


@pytest.mark.parametrize(
    "options",
    [
        ["pading=-1"],
        ["padding"],
        ["padding=2"],
        ["padding=nan"],
        ["sign-zero=0"],
        ["padding=1", "padding=0"],
    ],
)
def test_allow_refuses(options: list[str]) -> None:
    with pytest.raises(InputError, match="--allow"):
        parse_allow(options)


def test_an_unknown_key_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError) as error:
        parse_allow(["scale=none"])
    assert error.value.remedy is not None
    assert "padding=" in error.value.remedy
    assert "sign-zero=" in error.value.remedy


@pytest.mark.parametrize(
    ("graph", "larq", "dabnn"),
    [
        pytest.param(
            head("k = Abs (c) y = PRelu (c, k)", "1, 12, 4, 4"),
            ["operator-form"],
            ["operator", "operator-form"],
            id="a slope",
        ),
        pytest.param(
            head("k = Reshape (c, n) y = Conv (c, k)", "1, 1, 1, 1", n=np.array([1, 12, 4, 4])),
            ["operator-form"],
            ["operator-form", "operator-form"],
            id="weights",
        ),
        pytest.param(
            head("y = MatMul (c, c)", "1, 12, 4, 4"), [], ["operator-form"], id="one of two activations"
        ),
    ],
)
def test_inputs_that_must_be_constant(graph: BinaryGraph, larq: list[str], dabnn: list[str]) -> None:
    assert both(graph) == {"larq": larq, "dabnn": dabnn}


def test_dilated_pools() -> None:
    graph = head("y = MaxPool <kernel_shape = [2, 2], dilations = [2, 2]> (c)", "1, 12, 2, 2")
    assert both(graph) == {"larq": ["dilation"], "dabnn": ["dilation"]}


def test_a_mean_shift_is_absorbed_on_dabnn_and_says_where() -> None:
    """Table 4 denies it, and daBNN itself takes none: see docs/engines/dabnn.md."""
    judged = assess(conv(mean_shift=1, threshold=0.2), DABNN)
    assert judged.verdict == "deployable"
    (note,) = (note for note in judged.notes if note.code == "mean-shift-absorbed")
    assert (note.layer, note.node) == ("conv1", "Binarize_1")
    assert not DABNN.factors.mean_shift


def test_signs_that_something_else_reads() -> None:
    """daBNN has no signs but those that a binary layer takes itself."""
    graph = conv(after="y = Add (c, s)")
    assert both(graph) == {"larq": [], "dabnn": ["operator-between"]}
    (reason,) = assess(graph, DABNN).reasons
    assert reason.message.startswith("Add reads the signs themselves")


@pytest.mark.parametrize(
    ("size", "threshold", "expected"),
    [
        ("2, 2", np.float32(0.5), []),
        ("2, 2", np.repeat(np.arange(16), 4), []),
        ("2, 2", np.arange(64), ["mean-shift"]),
        ("1, 4", np.float32(0.5), ["square-map"]),
    ],
    ids=["one shift", "a shift a channel", "a shift a feature", "a map of 1×4"],
)
def test_a_linear_layer_on_a_flattened_map(size: str, threshold: Any, expected: list[str]) -> None:
    text = f"""
        m (float[1, 16, {size}] x) => (float[1, 8] y)
        {{
            f = Flatten (x)
            s = bibench.Binarize <at_threshold: float = 1.0, mean_shift: int = 0> (f, threshold, direction)
            y = bibench.BinaryLinear
                <layer: string = "fc1", scale: string = "none", sources: strings = ["Gemm_0"]>
                (s, weight, multiplier, bias)
        }}"""
    graph = fused(
        text,
        threshold=np.asarray(threshold, np.float32),
        direction=np.ones((), np.float32),
        weight=np.ones((8, 64), np.int8),
        multiplier=np.ones(8, np.float32),
        bias=np.zeros(8, np.float32),
    )
    assert both(graph) == {"larq": [], "dabnn": expected}
