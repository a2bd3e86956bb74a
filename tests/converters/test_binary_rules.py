"""Which binary layers an engine takes: factors, padding, kernels and maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bibench_deploy.converters.capabilities import PadForm
from bibench_deploy.converters.deployability import assess, parse_allow
from bibench_deploy.graph import BinaryGraph
from support.fused_graphs import RNG, conv, linear
from support.verdicts import DABNN, LARQ, NATIVE, both, codes


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
