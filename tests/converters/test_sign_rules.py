"""Which signs an engine takes in front of a binary layer: equality, shifts, and what else reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser

from bibench_deploy.converters.deployability import assess, parse_allow
from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.graph import BinaryGraph
from support.fused_graphs import conv, fused
from support.verdicts import DABNN, LARQ, both


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
    "spelling",
    [
        "s = Sign (x)",
        "g = GreaterOrEqual (x, zero) s = Where (g, one, minus)",
        "g = Less (x, zero) s = Where (g, minus, one)",
    ],
)
def test_signs_that_something_else_reads_as_exporters_write_them(spelling: str, tmp_path: Path) -> None:
    """The nodes that spell the sign stay in the graph: the reason is who reads them, not what they are."""
    proto = parser.parse_model(
        f"""<ir_version: 9, opset_import: ["": 18]>
        m (float[1, 8, 4, 4] x) => (float[1, 8, 4, 4] y)
        {{ {spelling} c = Conv <pads = [1, 1, 1, 1]> (s, w) y = Add (c, s) }}"""
    )
    weight = np.where(np.arange(576) % 3, 0.5, -0.5).reshape(8, 8, 3, 3)
    arrays = {"zero": 0.0, "one": 1.0, "minus": -1.0, "w": weight}
    for name, array in arrays.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
    for index, node in enumerate(proto.graph.node):
        node.name = f"{node.op_type}_{index}"
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    reasons = [reason for reason in assess(fuse(read(path)), DABNN).reasons if reason.allow is None]
    assert [(reason.code, reason.message.split(";")[0]) for reason in reasons] == [
        ("operator-between", "Add reads the signs themselves")
    ]


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
