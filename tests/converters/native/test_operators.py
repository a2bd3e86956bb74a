"""What the emitter lowers, operator by operator, executed by bibench-run and compared with onnxruntime."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bibench_deploy.converters import native
from bibench_deploy.converters.native.bbm import Op, parse
from bibench_deploy.errors import NotDeployableError
from bibench_deploy.graph import BinaryGraph
from bibench_deploy.runners.native_engine import NativeSession
from support.binary_graphs import binary_layer, expected, make_graph
from support.extras import needs_bibench_run


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    needs_bibench_run()


def kinds(graph: BinaryGraph) -> list[Op]:
    return [operator.op for operator in parse(native.emit(graph).data).operators]


def agree(graph: BinaryGraph, feeds: dict[str, npt.NDArray[np.float32]], exact: bool = False) -> None:
    """The engine's outputs and onnxruntime's."""
    emitted = native.emit(graph)
    found = NativeSession(emitted.data, emitted.inputs, emitted.outputs).run(feeds)
    names = [value.name or "" for value in graph.model.graph.outputs]
    for name, want in zip(names, expected(graph, feeds), strict=True):
        if exact:
            np.testing.assert_array_equal(found[name], want)
        else:
            np.testing.assert_allclose(found[name], want, rtol=2e-5, atol=2e-5)


def numbers(*shape: int, seed: int = 1) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "weight", "options"),
    [
        ((1, 3, 7, 6), (5, 3, 3, 3), {"pads": (1, 1, 1, 1)}),
        ((2, 40, 7, 6), (33, 40, 3, 3), {"pads": (1, 1, 1, 1), "pad_value": 1.0}),
        ((1, 64, 8, 8), (64, 64, 3, 3), {"pads": (1, 1, 1, 1), "pad_value": -1.0, "strides": (2, 2)}),
        ((1, 8, 9, 5), (4, 8, 3, 2), {"pads": (0, 2, 1, 0), "pad_value": 0.25, "strides": (2, 1)}),
        ((1, 8, 9, 9), (4, 8, 3, 3), {"pads": (2, 2, 2, 2), "dilations": (2, 2), "pad_value": 1.0}),
        ((1, 12, 5, 5), (8, 3, 3, 3), {"pads": (1, 1, 1, 1), "group": 4}),
        ((1, 6, 5, 5), (6, 1, 3, 3), {"pads": (1, 1, 1, 1), "group": 6, "pad_value": -1.0}),
        ((1, 130, 4, 4), (17, 130, 1, 1), {}),
        ((1, 16, 11), (8, 16, 5), {"pads": (2, 2), "pad_value": 0.0}),
        ((3, 70), (9, 70), {}),
        ((2, 5, 70), (9, 70), {}),
    ],
    ids=str,
)
def test_a_binary_layer_is_exact(
    x: tuple[int, ...], weight: tuple[int, ...], options: dict[str, Any]
) -> None:
    """Multipliers and biases are powers of two and integers, so that nothing rounds."""
    rng = np.random.default_rng(3)
    channel = (x[1],) + (1,) * (len(x) - 2) if len(weight) > 2 else x[-1:]
    text, constants = binary_layer(
        rng,
        "x",
        "y",
        weight,
        threshold=rng.integers(-1, 2, channel) / 2,
        direction=rng.choice([-1.0, 1.0], channel),
        multiplier=rng.choice([-0.5, 2.0], weight[:1] + (1,) * (len(weight) - 2)),
        bias=rng.integers(-2, 3, weight[:1] + (1,) * (len(weight) - 2)),
        **options,
    )
    graph = make_graph(text, {"x": x}, constants=constants)
    assert kinds(graph) == [Op.MAP, Op.BCONV]
    agree(graph, {"x": np.round(numbers(*x) * 4) / 4}, exact=True)


def test_factors_may_vary_over_the_map() -> None:
    rng = np.random.default_rng(4)
    scale = rng.choice([0.5, 2.0, -1.0], (6, 5, 4))
    text, constants = binary_layer(rng, "x", "y", (6, 8, 3, 3), pads=(1,) * 4, multiplier=scale, bias=-scale)
    agree(make_graph(text, {"x": (2, 8, 5, 4)}, constants=constants), {"x": numbers(2, 8, 5, 4)}, exact=True)


def test_a_map_that_is_channel_times_plane_is_stored_as_the_two() -> None:
    """XNOR++: the exporter writes channel ⊗ height ⊗ width as one constant."""
    rng = np.random.default_rng(7)
    channel, height, width = (rng.uniform(-2, 2, n).astype(np.float32) for n in (6, 5, 4))
    scale = channel[:, None, None] * (height[:, None] * width)
    text, constants = binary_layer(rng, "x", "y", (6, 8, 3, 3), pads=(1,) * 4, multiplier=scale)
    graph = make_graph(text, {"x": (2, 8, 5, 4)}, constants=constants)
    model = parse(native.emit(graph).data)
    layer = next(operator for operator in model.operators if operator.op == Op.BCONV)
    assert [model.tensors[layer.inputs[slot]].dims for slot in (2, 4)] == [(1, 1, 1, 6), (1, 5, 4, 1)]
    agree(graph, {"x": numbers(2, 8, 5, 4)})


def test_a_run_time_factor_is_computed_first_and_fused() -> None:
    rng = np.random.default_rng(5)
    text, constants = binary_layer(rng, "x", "d", (6, 8, 3, 3), pads=(1,) * 4)
    body = (
        f"{text} a = Abs(x)\n m = ReduceMean(a, axes)\n"
        "k = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (m)\n y = Mul(d, k)"
    )
    constants["axes"] = np.asarray([1], np.int64)
    graph = make_graph(body, {"x": (1, 8, 5, 5)}, constants=constants)
    assert kinds(graph) == [Op.MAP, Op.UNARY, Op.REDUCE, Op.AVGPOOL, Op.BCONV]
    agree(graph, {"x": numbers(1, 8, 5, 5)})


def test_a_sign_in_front_of_a_clip_is_taken_from_behind_it_only_where_that_is_the_same() -> None:
    rng = np.random.default_rng(6)
    for threshold, fused in ((0.5, True), (1.0, True), (-1.0, False), (1.5, False)):
        first, constants = binary_layer(rng, "x", "a", (8, 8, 3, 3), pads=(1,) * 4, multiplier=0.25)
        second, more = binary_layer(rng, "a", "b", (8, 8, 3, 3), pads=(1,) * 4, threshold=threshold)
        limits = {"low": np.float32(-1), "high": np.float32(1)}
        body = f"{first} c = Clip(a, low, high)\n {second} y = Add(b, c)"
        graph = make_graph(body, {"x": (1, 8, 5, 5)}, constants={**constants, **more, **limits})
        assert kinds(graph).count(Op.MAP) == (1 if fused else 2)
        agree(graph, {"x": numbers(1, 8, 5, 5)}, exact=True)


def test_a_sign_in_front_of_a_clip_does_not_see_what_is_added_behind_it() -> None:
    rng = np.random.default_rng(6)
    first, constants = binary_layer(rng, "x", "a", (8, 8, 3, 3), pads=(1,) * 4, multiplier=0.25)
    second, more = binary_layer(rng, "a", "b", (8, 8, 3, 3), pads=(1,) * 4, threshold=0.5)
    limits = {"low": np.float32(-1), "high": np.float32(1)}
    body = f"{first} c = Clip(a, low, high)\n z = Add(c, x)\n {second} y = Add(b, z)"
    graph = make_graph(body, {"x": (1, 8, 5, 5)}, constants={**constants, **more, **limits})
    agree(graph, {"x": numbers(1, 8, 5, 5)})


def test_groups_of_a_value_that_is_held_in_another_order() -> None:
    """The sum of a sequence with its transpose has its last axis along the tensor's channels: 3, not 4."""
    text, constants = binary_layer(np.random.default_rng(6), "t", "y", (4, 2, 1), group=2)
    body = f"r = Relu(x)\n t = Transpose <perm = [0, 2, 1]> (r)\n {text}"
    graph = make_graph(body, {"x": (1, 3, 4)}, constants=constants)
    agree(graph, {"x": numbers(1, 3, 4)}, exact=True)


def test_signs_with_other_thresholds_are_operators_of_their_own() -> None:
    rng = np.random.default_rng(7)
    parts, constants = [], {"r": numbers(1, 8, 5, 5)}
    for name, threshold in (("a", 0.0), ("b", 0.5), ("c", 0.0)):
        text, more = binary_layer(rng, "z", name, (8, 8, 1, 1), threshold=threshold)
        parts.append(text)
        constants |= more
    body = f"z = Relu(x)\n {''.join(parts)} p = Add(a, b)\n y = Add(p, c)"
    graph = make_graph(body, {"x": (1, 8, 5, 5)}, constants=constants)
    # The ReLU with the sign that two layers share, the other sign, and the second sum.
    assert kinds(graph) == [Op.MAP, Op.MAP, Op.BCONV, Op.BCONV, Op.BCONV, Op.MAP]
    agree(graph, {"x": numbers(1, 8, 5, 5)}, exact=True)


@pytest.mark.parametrize("between", ["MaxPool <kernel_shape = [2, 2]>", "Transpose <perm = [0, 1, 3, 2]>"])
def test_what_moves_signs_may_stand_behind_them(between: str) -> None:
    rng = np.random.default_rng(8)
    text, constants = binary_layer(rng, "x", "y", (4, 8, 2, 2))
    sign, layer = text.splitlines()
    body = f"{sign}\n m = {between} (y_s)\n {layer.replace('(y_s,', '(m,')}"
    agree(make_graph(body, {"x": (1, 8, 5, 6)}, constants=constants), {"x": numbers(1, 8, 5, 6)}, exact=True)


def test_a_layer_on_numbers_that_are_no_signs_is_refused() -> None:
    text, constants = binary_layer(np.random.default_rng(9), "x", "y", (4, 8, 3, 3))
    layer = text.splitlines()[1].replace("(y_s,", "(x,")
    with pytest.raises(NotDeployableError, match="not from a sign"):
        native.emit(make_graph(layer, {"x": (1, 8, 5, 5)}, constants=constants))


def indices(*values: int) -> npt.NDArray[np.int64]:
    return np.asarray(values, np.int64)


C: dict[str, Any] = {
    "w": numbers(6, 4, 3, 3),
    "dw": numbers(4, 1, 3, 3),
    "w1": numbers(6, 4, 3),
    "b": numbers(6),
    "fc": numbers(5, 80),
    "m": numbers(5, 7),
    "c": numbers(4, 1, 1),
    "map": numbers(4, 4, 5),
    "slope": numbers(4, 1, 1),
    "s": np.float32(0.5),
    "low": np.float32(-0.5),
    "high": np.float32(0.5),
    "two": np.float32(2),
    "g": numbers(5),
    "h": numbers(5),
    "ax": indices(1),
    "hw": indices(2, 3),
    "p": indices(0, 0, 1, 0, 0, 0, 0, 2),
    "st": indices(1),
    "en": indices(-1),
    "sp": indices(1, 3),
    "sh": indices(1, 2, 2, 4, 5),
    "back": indices(1, 4, 4, 5),
}
IMAGE, SEQUENCE, ROW = (1, 4, 4, 5), (1, 4, 6), (2, 5)


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        *((IMAGE, f"y = {op}(x)") for op in ("Relu", "Abs", "Neg", "Sigmoid", "Tanh", "Exp", "Erf", "HardSwish")),
        *((IMAGE, f"y = {op}(x)") for op in ("Softplus", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Gelu")),
        *((IMAGE, f"y = {op}(x)") for op in ("HardSigmoid", "Elu", "LeakyRelu")),
        *((IMAGE, f"y = {op}(x)") for op in ("GlobalAveragePool", "GlobalMaxPool")),
        *((IMAGE, f"a = Exp(x)\n y = {op}(a)") for op in ("Log", "Sqrt", "Reciprocal")),
        *((IMAGE, f"y = {op}(x, {c})") for op in ("Add", "Sub", "Mul", "Div") for c in ("c", "map", "s")),
        *((IMAGE, f"y = {op}(c, x)") for op in ("Sub", "Add")),
        *((IMAGE, f"r = Relu(x)\n y = {op}(r, x)") for op in ("Add", "Sub", "Mul", "Min", "Max")),
        (IMAGE, "a = Abs(x)\n y = Pow(a, two)"),
        (IMAGE, "y = Clip(x, low, high)"),
        (IMAGE, "y = PRelu(x, slope)"),
        (IMAGE, "y = PRelu(x, map)"),
        (IMAGE, "a = Add(x, x)\n r = Add(a, c)\n q = PRelu(r, slope)\n y = Sub(q, c)"),
        (IMAGE, "y = Conv <pads = [1, 0, 1, 2], strides = [2, 1]> (x, w, b)"),
        (IMAGE, "y = Conv <pads = [1, 1, 1, 1], group = 4> (x, dw)"),
        (SEQUENCE, "y = Conv <pads = [1, 1], dilations = [2]> (x, w1, b)"),
        (SEQUENCE, "y = MaxPool <kernel_shape = [2], strides = [2]> (x)"),
        (IMAGE, "y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2], ceil_mode = 1> (x)"),
        (IMAGE, "y = AveragePool <kernel_shape = [2, 3], pads = [1, 1, 0, 1]> (x)"),
        (IMAGE, "y = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)"),
        (IMAGE, "f = Flatten(x)\n y = Gemm <transB = 1, alpha = 0.5> (f, fc)"),
        (IMAGE, "f = Flatten(x)\n r = Relu(f)\n y = Gemm <transB = 1> (r, fc)"),
        (ROW, "y = MatMul(x, m)"),
        (SEQUENCE, "t = Transpose <perm = [0, 2, 1]> (x)\n y = MatMul(x, t)"),
        *((IMAGE, f"y = Reduce{op}(x, {a})") for op in ("Mean", "Sum", "Max", "Min") for a in ("ax", "hw")),
        (IMAGE, "y = ReduceMean <keepdims = 0> (x, hw)"),
        (IMAGE, "y = ReduceMean <keepdims = 0> (x, ax)"),
        (IMAGE, "y = Softmax <axis = 1> (x)"),
        (ROW, "y = Softmax(x)"),
        (ROW, "y = LogSoftmax(x)"),
        (ROW, "y = LayerNormalization(x, g, h)"),
        (IMAGE, "r = Relu(x)\n y = Concat <axis = 1> (x, r)"),
        (IMAGE, "r = Relu(x)\n y = Concat <axis = -1> (x, r)"),
        (IMAGE, "y = Slice(x, st, en, ax)"),
        (IMAGE, "y, z = Split <axis = 1> (x, sp)"),
        (IMAGE, "y = Pad(x, p, s)"),
        (IMAGE, "y = Pad <mode = \"reflect\"> (x, p)"),
        (IMAGE, "y = Transpose <perm = [0, 2, 3, 1]> (x)"),
        (IMAGE, "y = Flatten(x)"),
        (IMAGE, "r = Reshape(x, sh)\n t = Transpose <perm = [0, 2, 1, 3, 4]> (r)\n y = Reshape(t, back)"),
        (IMAGE, "q = GlobalAveragePool(x)\n f = Flatten(q)\n y = Add(f, f)"),
    ],
)  # fmt: skip
def test_an_operator(shape: tuple[int, ...], body: str) -> None:
    used = {name: C[name] for name in C if re.search(rf"[(,] ?{name}\b", body)}
    outputs = ("y", "z") if "Split" in body else ("y",)
    agree(make_graph(body, {"x": shape}, outputs, used), {"x": numbers(*shape)})


def test_two_outputs_that_are_the_same_are_both_there() -> None:
    """What removes common subexpressions leaves an Identity in front of the second."""
    body = "y = Mul(x, s)\n z = Mul(x, s)"
    graph = make_graph(body, {"x": IMAGE}, ("y", "z"), {"s": C["s"]})
    agree(graph, {"x": numbers(*IMAGE)}, exact=True)


@pytest.mark.parametrize("body", ["y = Mod <fmod = 1> (x, two)", 'y = Gelu <approximate = "tanh"> (x)'])
def test_what_it_lacks_is_refused_by_name(body: str) -> None:
    graph = make_graph(body, {"x": IMAGE}, constants={"two": C["two"]})
    with pytest.raises(NotDeployableError, match="the engine can't execute it") as caught:
        native.emit(graph)
    assert "node " in (caught.value.where or "")
