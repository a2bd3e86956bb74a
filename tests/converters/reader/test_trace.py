"""From a layer's input back to the real tensor that was binarized: where the step stands, and what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bibench_deploy.converters.reader import read
from bibench_deploy.graph import BinaryGraph, Step, steps
from support.onnx_models import execute, make_model, save

F = np.float32
RNG = np.random.default_rng(12)
TINY = float(np.finfo(F).tiny)


def signs(*shape: int) -> Any:
    return RNG.choice(np.array([-1, 1], F), shape)


CONSTANTS: dict[str, Any] = {
    "zero": F(0),
    "one": F(1),
    "minus": F(-1),
    "half": F(0.5),
    "tiny": F(1e-40),
    "guard": F(1e-20),
    "w": signs(6, 4, 3, 3),
    "w8": signs(6, 8, 3, 3),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "shift": np.array([0.5, -0.5, 0.25, 0], F).reshape(1, 4, 1, 1),
    "flat": np.array([1, -1]),
    "fc": signs(144, 5),
    "groups": np.array([1, 2, 2, 6, 6]),
    "back": np.array([1, 4, 6, 6]),
}
STEP = "c = GreaterOrEqual (v, zero) s = Where (c, one, minus)"
CONV = "y = Conv <pads = [1, 1, 1, 1]> (s, w)"
TWO = "kernel_shape = [2, 2]"
POOLED = "v = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r)"
SHUFFLED = "r = Reshape (s, groups) t = Transpose <perm = [0, 2, 1, 3, 4]> (r) p = Reshape (t, back)"


def recognised(body: str, folder: Path) -> BinaryGraph:
    return read(save(folder / "m.onnx", make_model(body, CONSTANTS)))


def assert_same(graph: BinaryGraph) -> None:
    """On numbers where signs turn, and as the file computes it."""
    turning = np.array([0, -0.0, 0.5, -0.5, 0.25, 1, -1, 1e-20, -1e-20], F)
    for _ in range(10):
        x = np.where(
            RNG.random((1, 4, 6, 6)) < 0.5, RNG.choice(turning, (1, 4, 6, 6)), RNG.normal(size=(1, 4, 6, 6))
        )
        feeds = {"x": x.astype(F)}
        np.testing.assert_allclose(
            execute(graph.proto(), feeds)["y"], execute(graph.source.proto, feeds)["y"], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    ("body", "tensor", "expected"),
    [
        pytest.param(
            f"v = Clip (x, minus, one) {STEP} {CONV}",
            "x",
            {"threshold": 0},
            id="a clip before a sign is dead",
        ),
        pytest.param(
            f"v = Tanh (x) {STEP} {CONV}",
            "x",
            {"direction": 1, "mean_shift": False},
            id="a tanh before a sign is dead",
        ),
        pytest.param(
            f"v = Add (x, guard) {STEP} {CONV}", "x", {"mean_shift": False}, id="a guard against sign(0)"
        ),
        pytest.param(f"v = Sub (x, shift) {STEP} {CONV}", "x", {"mean_shift": True}, id="a learned shift"),
        pytest.param(f"s = Sign (x) {CONV}", "x", {"at_threshold": 0}, id="torch.sign"),
        pytest.param(
            f"v = Relu (x) s = Sign (v) {CONV}", "x", {"at_threshold": 1}, id="torch.sign of a ReLU is 0 or 1"
        ),
        pytest.param(
            f"r = Relu (x) {POOLED} s = Sign (v) {CONV}", "v", {"at_threshold": 1}, id="... behind a pooling"
        ),
        pytest.param(f"v = Neg (x) {STEP} {CONV}", "x", {"direction": -1}, id="turned round"),
        pytest.param(
            f"c = GreaterOrEqual (x, tiny) s = Where (c, one, minus) {CONV}",
            "x",
            {"threshold": TINY},
            id="subnormal thresholds are engines' zeros",
        ),
        pytest.param(
            f"v = Pad (x, pads, minus) {STEP} y = Conv (s, w)",
            "x",
            {"pad_value": -1.0},
            id="padding before the step",
        ),
        pytest.param(
            "v = Pad (x, pads, zero) s = Sign (v) y = Conv (s, w)",
            "x",
            {"pad_value": 0.0},
            id="padding at the step of torch.sign",
        ),
        pytest.param(
            f"c = GreaterOrEqual (x, zero) s = Where (c, one, zero) {CONV}",
            "x",
            {"pad_value": -1.0},
            id="values 0 and 1, padded with their low one",
        ),
    ],
)
def test_where_the_step_stands(body: str, tensor: str, expected: dict[str, Any], tmp_path: Path) -> None:
    graph = recognised(body, tmp_path)
    (layer,) = graph.binary_layers
    (node,) = steps(graph.model.graph)
    assert node.inputs[0] is not None
    assert node.inputs[0].name == tensor
    step = Step.of(node)
    found = {
        "threshold": float(step.threshold[0]),
        "direction": float(step.direction[0]),
        "at_threshold": step.at_threshold,
        "mean_shift": step.mean_shift,
        "pad_value": layer.pad_value,
    }
    assert {key: found[key] for key in expected} == expected
    assert_same(graph)


@pytest.mark.parametrize(
    ("moves", "layer"),
    [
        (
            "p = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (s)",
            "y = Conv <pads = [1, 1, 1, 1]> (p, w)",
        ),
        ("p = Flatten (s)", "y = MatMul (p, fc)"),
        ("p = Reshape (s, flat)", "y = MatMul (p, fc)"),
        (SHUFFLED, "y = Conv (p, w)"),
        ("p = Concat <axis = 1> (s, s)", "y = Conv (p, w8)"),
        ("p = Transpose <perm = [0, 1, 3, 2]> (s)", "y = Conv (p, w)"),
    ],
    ids=["max-pooled", "flattened", "reshaped", "channels shuffled", "joined", "transposed"],
)
def test_signs_may_be_moved(moves: str, layer: str, tmp_path: Path) -> None:
    graph = recognised(f"v = Identity (x) {STEP} {moves} {layer}", tmp_path)
    assert len(graph.binary_layers) == 1
    assert len(list(steps(graph.model.graph))) == 1
    assert_same(graph)


def test_layers_that_share_a_sign_share_it_still(tmp_path: Path) -> None:
    body = f"v = Abs (x) {STEP} a = Conv (s, w) b = Conv (s, w) d = Neg (b) e = Exp (a) y = Add (d, e)"
    graph = recognised(body, tmp_path)
    assert len(list(steps(graph.model.graph))) == 1


def test_a_sign_that_others_read_too_keeps_its_values(tmp_path: Path) -> None:
    graph = recognised(
        f"v = Identity (x) {STEP} a = Conv <pads = [1, 1, 1, 1]> (s, w) m = ReduceMean (s) y = Add (a, m)",
        tmp_path,
    )
    assert len(graph.binary_layers) == 1
    assert_same(graph)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("y = Conv (x, w)", "network's input"),
        ("s = Relu (x) y = Conv (s, w)", "its input is real-valued"),
        ("a = Abs (x) r = Round (x) s = Clip (r, minus, one) y = Conv (s, w)", "three-valued"),
        (
            f"v = Identity (x) {STEP} h = Mul (s, half) j = Concat <axis = 1> (s, h) y = Conv (j, w8)",
            "different two values",
        ),
        (
            f"v = Identity (x) {STEP} p = Pad (s, pads, half) q = MaxPool <{TWO}> (p) y = Conv (q, w)",
            "no bit can hold",
        ),
        (
            f"v = Identity (x) {STEP} p = AveragePool <kernel_shape = [2, 2]> (s) y = Conv (p, w)",
            "real-valued",
        ),
        (f"v = Identity (x) {STEP} a = Abs (x) k = Mul (s, a) y = Conv (k, w)", "varies within a sample"),
    ],
    ids=["input", "relu", "ternary", "two scales joined", "half padded", "averaged", "a factor a pixel"],
)
def test_what_is_not_two_valued_says_why(body: str, reason: str, tmp_path: Path) -> None:
    graph = recognised(body, tmp_path)
    assert graph.binary_layers == []
    (layer,) = graph.layers
    assert reason in (layer.why_not_binary or "")
    assert_same(graph)
