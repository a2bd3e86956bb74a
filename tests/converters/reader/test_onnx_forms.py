"""Forms that PyTorch's exporters don't write themselves, as ONNX text: QONNX, auto_pad, others' habits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.errors import UnsupportedModelError
from bibench_deploy.graph import BinaryGraph

RNG = np.random.default_rng(1)
F = np.float32
QONNX = "qonnx.custom_op.general"


def signs(*shape: int) -> Any:
    return np.where(RNG.random(shape) < 0.5, -1, 1).astype(F)


#: Constants of the models below, by name.
CONSTANTS: dict[str, Any] = {
    "w": signs(6, 4, 3, 3) * np.linspace(0.2, 1.3, 6, dtype=F).reshape(6, 1, 1, 1),
    "latent": RNG.standard_normal((6, 4, 3, 3)).astype(F),
    "dead_channel": signs(6, 4, 3, 3) * np.array([1, 0, 2, 1, 3, 1], F).reshape(6, 1, 1, 1),
    "b": RNG.standard_normal(6).astype(F),
    "fc": signs(5, 4 * 36) * F(0.25),
    "fcb": RNG.standard_normal(5).astype(F),
    "left": signs(3, 6),
    "zero": np.zeros((), F),
    "one": np.ones((), F),
    "minus": -np.ones((), F),
    "half": F(0.5),
    "directions": np.array([1, -2, 0.5, -1], F).reshape(1, 4, 1, 1),
    "some_dead": np.array([1, 0, 0, -1], F).reshape(1, 4, 1, 1),
    "shifts": np.array([0.3, 0.25, -0.25, 0], F).reshape(1, 4, 1, 1),
    "chart": RNG.standard_normal((1, 4, 6, 6)).astype(F),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "pads_c": np.array([0, 1, 0, 0, 0, 1, 0, 0]),
    "index": np.zeros((), np.int64),
    "offsets": np.zeros((3,), F),
    "wider": signs(6, 6, 3, 3),
}
STEP = "t = GreaterOrEqual (x, zero) s = Where (t, one, minus)"
CONV = "y = Conv <pads = [1, 1, 1, 1]> (s, w, b)"


def write(path: Path, text: str, *, opset: int = 17, qonnx: bool = False) -> Path:
    """One model on x (1, 4, 6, 6); initializers are those of CONSTANTS that it names."""
    domains = f'"": {opset}' + (f', "{QONNX}": 1' if qonnx else "")
    proto = parser.parse_model(
        f"<ir_version: 8, opset_import: [{domains}]> m (float[1, 4, 6, 6] x) => (float y) {{ {text} }}"
    )
    used = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in CONSTANTS.items() if name in used
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(proto, path)
    return path


def run(model: onnx.ModelProto, x: Any) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


def assert_same_function(graph: BinaryGraph) -> None:
    """On numbers of which many are exactly 0 or a threshold; the reference is the file's own model."""
    turning = np.array([0, -0.0, 0.25, -0.25, 0.3, 1, 1e-38, -1e-38], F)
    shape = (1, 4, 6, 6)
    for _ in range(20):
        x = np.where(RNG.random(shape) < 0.5, RNG.choice(turning, shape), RNG.standard_normal(shape))
        expected = run(graph.source.proto, x.astype(F))
        for proto in (graph.proto(), fuse(graph).proto()):
            np.testing.assert_allclose(run(proto, x.astype(F)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"{STEP} {CONV}", {"pad_value": 0.0}, id="plain"),
        pytest.param(
            f'{STEP} y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (s, w, b)',
            {"pad_value": 0.0, "pads": ((0, 1), (0, 1))},
            id="auto_pad SAME_UPPER",
        ),
        pytest.param(
            f'{STEP} y = Conv <auto_pad = "SAME_LOWER", strides = [2, 2]> (s, w, b)',
            {"pad_value": 0.0, "pads": ((1, 0), (1, 0))},
            id="auto_pad SAME_LOWER",
        ),
        pytest.param(
            f'{STEP} y = Conv <auto_pad = "VALID"> (s, w, b)',
            {"pad_value": None, "pads": ((0, 0), (0, 0))},
            id="auto_pad VALID",
        ),
        pytest.param(
            f"{STEP} p = Pad (s, pads, minus) y = Conv (p, w, b)", {"pad_value": -1.0}, id="explicit pad −1"
        ),
        pytest.param(
            f"{STEP} p = Pad (s, pads, minus) y = Conv <pads = [1, 1, 1, 1]> (p, w, b)",
            {"pad_value": 0.0, "pads": ((1, 1), (1, 1))},
            id="two paddings of different values",
        ),
        pytest.param(
            f"{STEP} p = Pad (s, pads, zero) y = Conv <pads = [1, 1, 1, 1]> (p, w, b)",
            {"pad_value": 0.0, "pads": ((2, 2), (2, 2))},
            id="two paddings of one value",
        ),
        pytest.param(
            f"{STEP} p = Pad (s, pads_c, one) y = Conv (p, wider, b)",
            {"pad_value": None},
            id="padded channels",
        ),
        pytest.param(
            "d = Mul (x, directions) t = GreaterOrEqual (d, zero) s = Where (t, one, minus) " + CONV,
            {},
            id="a direction a channel",
        ),
        pytest.param(
            "d = Sub (x, shifts) s = Sign (d) " + CONV,
            {"mean_shift": True, "at_threshold": 0.0},
            id="a shift a channel",
        ),
        pytest.param("s = Sign (x) " + CONV, {"at_threshold": 0.0}, id="torch.sign"),
        pytest.param(
            "a = Sign (x) b1 = Add (a, half) s = Sign (b1) " + CONV, {"at_threshold": 1.0}, id="sign twice"
        ),
        pytest.param(
            f"{STEP} y = Conv <pads = [1, 1, 1, 1]> (s, dead_channel, b)", {}, id="a channel of zeros"
        ),
        pytest.param(
            "k = Sign (latent) a = Abs (latent) m = ReduceMean <axes = [1, 2, 3]> (a) v = Mul (k, m) "
            f"{STEP} y = Conv <pads = [1, 1, 1, 1]> (s, v)",
            {},
            id="weights computed in the graph",
        ),
        pytest.param(
            f"{STEP} f = Flatten (s) y = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (f, fc, fcb)",
            {},
            id="Gemm with alpha and beta",
        ),
        pytest.param(
            "i = Add (index, index) h = Gather (offsets, i) t = GreaterOrEqual (x, h) "
            f"s = Where (t, one, minus) {CONV}",
            {"mean_shift": False},
            id="a folded number keeps its rank 0",
        ),
        pytest.param(
            f"{STEP} o = Identity (s) q = Cast <to = 1> (o) y = Conv (q, w)", {}, id="Identity, Cast"
        ),
    ],
)
def test_recognised(text: str, expected: dict[str, Any], tmp_path: Path) -> None:
    graph = read(write(tmp_path / "m.onnx", text))
    (layer,) = graph.binary_layers
    (summary,) = [each for each in graph.layers if each.kind == "binary"]
    step = layer.step
    found = {
        "pad_value": layer.pad_value,
        "pads": layer.pads,
        "mean_shift": summary.mean_shift,
        "at_threshold": None if step is None else step.at_threshold,
    }
    assert {key: found[key] for key in expected} == expected
    assert_same_function(graph)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(
            f'{STEP} p = Pad <mode = "reflect"> (s, pads) y = Conv (p, w, b)', "mode", id="reflected border"
        ),
        pytest.param(
            f"{STEP} p = AveragePool <kernel_shape = [2, 2]> (s) y = Conv (p, w, b)",
            "real-valued",
            id="averaged signs",
        ),
        pytest.param(
            "n = Abs (x) s = Mul (x, n) y = Conv (s, w, b)", "real-valued", id="overflows at the grid's ends"
        ),
        pytest.param(
            "r = Relu (x) a = Sign (x) s = Add (a, r) y = Conv (s, w, b)",
            "its weights are binary",
            id="a sign and something",
        ),
        pytest.param(
            f"{STEP} m = ReduceMean <axes = [0, 2, 3], keepdims = 0> (x) r = ReduceSum <keepdims = 0> (m) "
            "k = Mul (w, r) y = Conv (s, k, b)",
            "run time",
            id="weights computed at run time",
        ),
        pytest.param(
            f"{STEP} y = MatMul (left, s)", "from the left", id="weights that multiply from the left"
        ),
        pytest.param("y = Conv (x, w, b)", "network's input", id="binary weights on the input"),
    ],
)
def test_refused_with_the_reason(text: str, reason: str, tmp_path: Path) -> None:
    graph = read(write(tmp_path / "m.onnx", text))
    stayed = [layer.why_not_binary or "" for layer in graph.layers if layer.kind == "float"]
    assert graph.binary_layers == []
    assert stayed
    assert all(reason in each for each in stayed), stayed
    assert_same_function(graph)


def test_a_threshold_a_location(tmp_path: Path) -> None:
    """The shift stays a subtraction in front of a step at 0."""
    text = f"d = Sub (x, chart) {STEP.replace('(x, zero)', '(d, zero)')} {CONV}"
    graph = read(write(tmp_path / "m.onnx", text))
    assert len(graph.binary_layers) == 1
    assert_same_function(graph)


def test_channels_whose_step_never_turns(tmp_path: Path) -> None:
    """A batch-norm factor of 0 before the sign leaves constants: any form is right that computes them."""
    text = (
        "d = Mul (x, some_dead) e = Add (d, shifts) t = GreaterOrEqual (e, zero) s = Where (t, one, minus) "
    )
    assert_same_function(read(write(tmp_path / "m.onnx", text + CONV)))


def test_qonnx_bipolar_quant(tmp_path: Path) -> None:
    """QONNX's operator has a definition but no implementation in onnxruntime."""
    text = (
        f"v = {QONNX}.BipolarQuant (latent, half) s = {QONNX}.BipolarQuant (x, half) "
        "y = Conv <pads = [1, 1, 1, 1]> (s, v, b)"
    )
    graph = read(write(tmp_path / "m.onnx", text, qonnx=True))
    (layer,) = graph.binary_layers
    assert (layer.scale, layer.pad_value) == ("channel", 0.0)
    np.testing.assert_array_equal(layer.signs, np.where(CONSTANTS["latent"] >= 0, 1, -1))
    np.testing.assert_allclose(layer.multiplier.ravel(), 0.25)
    x = RNG.standard_normal((1, 4, 6, 6)).astype(F)
    weights = np.where(CONSTANTS["latent"] >= 0, F(0.5), F(-0.5))
    plain = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> m (float[1, 4, 6, 6] x) => (float[1, 6, 6, 6] y) {'
        "t = GreaterOrEqual (x, zero) s = Where (t, one, minus) y = Conv <pads = [1, 1, 1, 1]> (s, v, b) }"
    )
    arrays = {"zero": F(0), "one": F(0.5), "minus": F(-0.5), "v": weights, "b": CONSTANTS["b"]}
    plain.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()
    )
    np.testing.assert_allclose(run(fuse(graph).proto(), x), run(plain, x), rtol=1e-5, atol=1e-5)


def test_qonnx_of_more_bits_is_refused(tmp_path: Path) -> None:
    text = f"s = {QONNX}.Quant (x, half, zero, one) y = Conv (s, w, b)"
    with pytest.raises(UnsupportedModelError, match="Quant"):
        read(write(tmp_path / "m.onnx", text, qonnx=True))
