"""Constants are folded and identities applied; the function stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.converters.reader.ranges import bounds
from bibench_deploy.converters.reader.simplify import simplify
from bibench_deploy.errors import UnsupportedModelError
from support.onnx_models import execute, make_model

F = np.float32
RNG = np.random.default_rng(9)
SHAPE = (2, 3, 4, 4)
X = RNG.standard_normal(SHAPE).astype(F)
CONSTANTS: dict[str, Any] = {
    "zero": F(0),
    "one": F(1),
    "minus": F(-1),
    "half": F(0.5),
    "zeros": np.zeros(SHAPE, F),
    "ones": np.ones((1, 3, 1, 1), F),
    "wide_one": np.ones((5, 1, 1, 1, 1), F),
    "true": np.asarray(True),
    "false": np.zeros((1, 3, 1, 1), bool),
    "some": np.array([True, False, True]).reshape(1, 3, 1, 1),
    "shape": np.array(SHAPE),
    "flat": np.array([2, 48]),
    "axes": np.array([1, 2, 3]),
    "w": RNG.standard_normal((6, 3, 3, 3)).astype(F),
    "two": np.array(2),
}


TO_INT = "a = Cast <to = 7> (x) b = Cast <to = 1> (a) y = Abs (b)"
TO_HALF = TO_INT.replace("7", "10")
WEIGHTS = "a = Abs (w) m = ReduceMean (a, axes) s = Sign (w) k = Mul (s, m) y = Conv (x, k)"
SHAPES = "s = Shape <start = 2> (x) c = Cast <to = 1> (s) p = ReduceProd <keepdims = 0> (c) y = Div (x, p)"
MASKED = (
    "m = Less (x, half) i = NonZero (m) t = Transpose (i) n = Shape (t) g ="
    " Slice (n, nought, first) e = Expand (minus, g) y = ScatterND (x, t, e)"
)
POOL = "kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1"


def simplified(body: str, opset: int = 18) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The model, and what is left of it."""
    inputs = f"float[{', '.join(map(str, SHAPE))}] x, float[{', '.join(map(str, SHAPE))}] v"
    before = make_model(body, CONSTANTS, inputs=inputs, opset=opset, ir_version=10)
    before = onnx.shape_inference.infer_shapes(before)
    model = ir.from_proto(before)
    simplify(model, "m.onnx")
    return before, ir.to_proto(model)


def assert_same(before: onnx.ModelProto, after: onnx.ModelProto, **tolerance: float) -> None:
    turning = RNG.choice(np.array([0, -0.0, 1, -1, 0.5], F), SHAPE)
    for x in (X, turning):
        feeds = {"x": x, "v": X[::-1].copy()}
        np.testing.assert_allclose(
            execute(after, feeds)["y"], execute(before, feeds)["y"], **({"rtol": 0, "atol": 0} | tolerance)
        )


@pytest.mark.parametrize(
    ("body", "left"),
    [
        pytest.param("a = Sub (x, v) b = Add (a, v) y = Abs (b)", "Abs", id="(x − v) + v"),
        pytest.param("a = Sub (x, v) b = Add (v, a) y = Abs (b)", "Abs", id="v + (x − v)"),
        pytest.param("a = Add (x, v) b = Sub (a, v) y = Abs (b)", "Abs", id="(x + v) − v"),
        pytest.param("a = Add (v, x) b = Sub (a, v) y = Abs (b)", "Abs", id="(v + x) − v"),
        pytest.param("a = Sub (v, x) b = Sub (v, a) y = Abs (b)", "Abs", id="v − (v − x)"),
        pytest.param("n = Neg (v) a = Add (v, x) b = Add (n, a) y = Abs (b)", "Abs", id="−v + (v + x)"),
        pytest.param("a = Sub (x, v) b = Sub (a, v) y = Abs (b)", "Abs Sub Sub", id="(x − v) − v stays"),
        pytest.param("a = Sub (v, x) b = Add (a, v) y = Abs (b)", "Abs Add Sub", id="(v − x) + v stays"),
        pytest.param("a = Mul (v, zero) b = Add (x, a) y = Abs (b)", "Abs", id="x + 0·v"),
        pytest.param("a = Add (zeros, x) y = Abs (a)", "Abs", id="0 + x"),
        pytest.param("a = Sub (x, zero) y = Abs (a)", "Abs", id="x − 0"),
        pytest.param("a = Sub (zero, x) y = Exp (a)", "Exp Sub", id="0 − x stays"),
        pytest.param("a = Mul (ones, x) y = Abs (a)", "Abs", id="1·x"),
        pytest.param("a = Div (x, one) y = Abs (a)", "Abs", id="x / 1"),
        pytest.param("a = Div (one, x) y = Atan (a)", "Atan Div", id="1 / x stays"),
        pytest.param("a = Mul (x, wide_one) y = Abs (a)", "Abs Mul", id="1·x that broadcasts stays"),
        pytest.param("a = Cast <to = 11> (x) b = Cast <to = 1> (a) y = Abs (b)", "Abs", id="to double and back"),
        pytest.param(TO_INT, "Abs Cast Cast", id="to int and back stays"),
        pytest.param(TO_HALF, "Abs Cast Cast", id="to half and back stays"),
        pytest.param("a = Cast <to = 1> (x) y = Abs (a)", "Abs", id="float → float"),
        pytest.param("a = Where (true, x, v) y = Abs (a)", "Abs", id="always x"),
        pytest.param("a = Where (false, v, x) y = Abs (a)", "Abs", id="never v"),
        pytest.param("a = Where (some, v, x) y = Abs (a)", "Abs Where", id="sometimes stays"),
        pytest.param("c = Greater (x, v) a = Where (c, x, x) y = Abs (a)", "Abs", id="x either way"),
        pytest.param("a = Reshape (x, shape) y = Abs (a)", "Abs", id="reshaped to its own shape"),
        pytest.param("a = Reshape (x, flat) y = Abs (a)", "Abs Reshape", id="reshaped stays"),
        pytest.param("s = Shape (v) a = Expand (x, s) y = Abs (a)", "Abs", id="expanded to its own shape"),
        pytest.param("a = Transpose <perm = [0, 1, 2, 3]> (x) y = Abs (a)", "Abs", id="transposed to itself"),
        pytest.param("a = Transpose <perm = [0, 1, 3, 2]> (x) y = Abs (a)", "Abs Transpose", id="transposed stays"),
        pytest.param("a = Dropout (x) y = Abs (a)", "Abs", id="dropout"),
        pytest.param("a = Concat <axis = 1> (x) y = Abs (a)", "Abs", id="one concatenated"),
        pytest.param("a = Sum (x) y = Abs (a)", "Abs", id="a sum of one"),
        pytest.param("a = Identity (x) b = Identity (a) y = Abs (b)", "Abs", id="identities"),
        pytest.param(WEIGHTS, "Conv", id="weights computed from constants"),
        pytest.param(SHAPES, "Div", id="arithmetic of shapes"),
        pytest.param("n = Size (x) c = Cast <to = 1> (n) y = Div (x, c)", "Div", id="a size"),
        pytest.param(MASKED, "Less Where", id="masked assignment"),
        pytest.param("y = Identity (x)", "Identity", id="an output needs a node"),
        pytest.param("y = Add (x, zero)", "Add", id="an output that is the input"),
        pytest.param("y = Mul (half, minus)", "Mul", id="a constant output"),
    ],
)  # fmt: skip
def test_what_is_left(body: str, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONSTANTS, "nought", np.array([0]))
    monkeypatch.setitem(CONSTANTS, "first", np.array([1]))
    before, after = simplified(body)
    assert " ".join(sorted(node.op_type for node in after.graph.node)) == left
    assert [value.name for value in after.graph.output] == ["y"]
    # (x − v) + v differs from x by its rounding
    assert_same(before, after, atol=1e-6 if "x, v)" in body or "v, x)" in body else 0)


def test_a_mask_that_is_assigned_numbers_which_differ_is_refused() -> None:
    body = "m = Less (x, half) i = NonZero (m) t = Transpose (i) g = GatherND (v, t) y = ScatterND (x, t, g)"
    with pytest.raises(UnsupportedModelError, match="depends on the data"):
        simplified(body)


def test_random_numbers_are_no_constants() -> None:
    _, after = simplified("r = RandomNormal <shape = [3, 1, 1], seed = 1.0> () y = Add (x, r)")
    assert [node.op_type for node in after.graph.node] == ["RandomNormal", "Add"]


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """Chains of operators that the identities are about, in any order, on two inputs."""
    lines, values = [], ["x", "v"]
    for index in range(draw(st.integers(1, 8))):
        op = draw(
            st.sampled_from(["Add", "Sub", "Mul", "Where", "Neg", "Identity", "Reshape", "Sum", "Sign"])
        )
        pick = st.sampled_from([*values, *values[-2:]])
        left, right = (
            draw(pick),
            draw(pick | st.sampled_from(["zero", "one", "ones", "minus", "half", "zeros"])),
        )
        name = f"t{index}"
        if op in ("Add", "Sub", "Mul"):
            operands = f"{left}, {right}" if draw(st.booleans()) else f"{right}, {left}"
            lines.append(f"{name} = {op} ({operands})")
        elif op == "Where":
            lines.append(
                f"{name} = Where ({draw(st.sampled_from(['true', 'false', 'some']))}, {left}, {draw(pick)})"
            )
        elif op == "Reshape":
            lines.append(f"{name} = Reshape ({left}, shape)")
        else:
            lines.append(f"{name} = {op} ({left})")
        values.append(name)
    return " ".join([*lines, f"y = Abs ({values[-1]})"])


@given(bodies())
@settings(max_examples=150, deadline=None)
def test_random_chains_keep_their_function(body: str) -> None:
    """On numbers that are exact in float32: (u − v) + v would differ by its rounding."""
    before, after = simplified(body)
    names = {name for node in before.graph.node for name in node.output}
    feeds = {"x": np.round(X * 4) / 4, "v": np.round(X[::-1] * 4) / 4}
    scale = max(float(np.abs(array).max()) for array in execute(before, feeds, sorted(names)).values())
    if scale < 2**20:
        np.testing.assert_array_equal(execute(after, feeds)["y"], execute(before, feeds)["y"])
    assert len(after.graph.node) <= len(before.graph.node)


# Bounds


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Relu (x)", (0, np.inf)),
        ("a = Clip (x, minus, half) y = Identity (a)", (-1, 0.5)),
        ("a = Clip (x, minus, half) y = Relu (a)", (0, 0.5)),
        ("a = Clip (x, minus) y = Abs (a)", (0, np.inf)),
        ("a = Sigmoid (x) b = Add (a, one) y = MaxPool <kernel_shape = [2, 2]> (b)", (1, 2)),
        ("a = Tanh (x) b = Relu (v) y = Concat <axis = 1> (a, b)", (-1, np.inf)),
        ("a = Sigmoid (x) b = Sigmoid (v) y = Mul (a, b)", (0, np.inf)),
        ("a = Tanh (x) b = Tanh (v) y = Mul (a, b)", (-np.inf, np.inf)),
        ("y = Exp (x)", (0, np.inf)),
        ("y = Neg (x)", (-np.inf, np.inf)),
        (f"a = Sigmoid (x) y = AveragePool <{POOL}> (a)", (0, 1)),
        (f"a = Clip (x, half, one) y = AveragePool <{POOL}> (a)", (0, 1)),
        ("a = Tanh (x) b = Relu (v) y = Max (a, b)", (0, np.inf)),
        ("a = Tanh (x) b = Sigmoid (v) y = Min (a, b)", (-1, 1)),
    ],
)  # fmt: skip
def test_bounds_hold_for_every_input(body: str, expected: tuple[float, float]) -> None:
    inputs = f"float[{', '.join(map(str, SHAPE))}] x, float[{', '.join(map(str, SHAPE))}] v"
    proto = make_model(body, CONSTANTS, inputs=inputs, opset=18, ir_version=10)
    lower, upper = bounds(ir.from_proto(proto).graph.outputs[0])
    assert (lower, upper) == expected
    for scale in (0.1, 1, 100):
        feeds = {"x": (RNG.standard_normal(SHAPE) * scale).astype(F), "v": (X * scale).astype(F)}
        numbers = execute(proto, feeds)["y"]
        assert lower <= numbers.min()
        assert numbers.max() <= upper
