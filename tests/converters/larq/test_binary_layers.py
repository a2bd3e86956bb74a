"""Binary layers: thresholds to the last bit, groups, linear layers, multipliers, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bibench_deploy.converters.larq.binary import affine_step, integer_step
from bibench_deploy.converters.larq.emitter import emit
from bibench_deploy.converters.larq.flatbuffer import parse
from bibench_deploy.errors import NotDeployableError
from bibench_deploy.graph import Step
from support.binary_graphs import binary_layer, expected, make_graph, run

TINY = float(np.finfo(np.float32).tiny)
SMALLEST = float(np.nextafter(np.float32(0), np.float32(1)))
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
Array = npt.NDArray[np.generic]


def flushed(x: float) -> np.float32:
    """As LCE sees a number: subnormal ones are zero."""
    return np.float32(0) if abs(x) < TINY else np.float32(x)


@given(
    FLOAT32,
    st.one_of(FLOAT32, st.sampled_from([math.inf, -math.inf, SMALLEST, -SMALLEST, TINY, -TINY])),
    st.sampled_from([1.0, -1.0]),
)
@example(0.0, SMALLEST, 1.0)  # x > 0
@example(0.0, SMALLEST, -1.0)  # not x > 0
@example(0.0, 0.0, -1.0)  # x < 0
@example(-0.0, 0.0, 1.0)
@example(0.0, -SMALLEST, 1.0)
@example(1.0, 1.0, -1.0)
@example(float(np.nextafter(np.float32(1), np.float32(0))), 1.0, 1.0)
def test_the_affine_step_is_the_step(x: float, threshold: float, direction: float) -> None:
    factor, addend = affine_step(np.array([threshold], np.float32), np.array([direction], np.float32))
    with np.errstate(over="ignore"):
        z = flushed(float(factor[0] * np.float32(x) + addend[0]))
    if 0 < abs(np.float32(x) - np.float32(threshold)) < TINY:
        return  # two numbers that near differ by less than LCE can tell
    wanted = direction * (1.0 if np.float32(x) >= np.float32(threshold) else -1.0)
    assert (1.0 if z >= 0 else -1.0) == wanted
    assert np.isfinite(addend).all()
    assert abs(factor[0]) == 1


@given(
    st.floats(-4, 4, width=32),
    st.floats(-40, 40, width=32),
    st.one_of(st.floats(-50, 50, width=32), st.sampled_from([math.inf, -math.inf, 0.0])),
    st.sampled_from([1.0, -1.0]),
    st.integers(1, 300),
)
@example(1.0, -2.0, 0.0, 1.0, 9)  # ties at an integer
@example(0.0, 1.0, 0.5, 1.0, 9)  # a channel that does not look at its input
def test_the_integer_step_decides_every_sum_as_floats_do(
    multiplier: float, bias: float, threshold: float, direction: float, reach: int
) -> None:
    m, b = np.array([multiplier], np.float32), np.array([bias], np.float32)
    step = Step(np.array([threshold], np.float32), np.array([direction], np.float32), 1.0, False)
    factor, addend = integer_step(m, b, reach, step)
    dots = np.arange(-reach, reach + 1, dtype=np.float32)
    wanted = direction * np.where(m * dots + b >= np.float32(threshold), 1, -1)
    np.testing.assert_array_equal(np.where(factor * dots + addend >= 0, 1, -1), wanted)
    assert abs(addend[0]) % 1 == 0.5


def both(
    graph_text: str,
    constants: dict[str, Array],
    shape: Sequence[int],
    x: Array | None = None,
    rotated: bool | None = None,
    ops: int = 1,
) -> tuple[Array, Array]:
    """(found, wanted) of a graph, its number of binary operators checked."""
    graph = make_graph(graph_text, {"x": shape}, constants=constants)
    if x is None:
        x = np.random.default_rng(3).normal(size=shape)
    feeds = {"x": x.astype(np.float32)}
    emitted = emit(graph, rotated)
    assert emitted.binary_ops == ops
    return run(emitted, feeds)["y"], expected(graph, feeds)[0]


@pytest.mark.larq
@pytest.mark.parametrize("rotated", [False, True])
def test_inputs_at_their_thresholds_go_the_right_way(rotated: bool) -> None:
    rng = np.random.default_rng(4)
    near = np.array([0.0, SMALLEST, -SMALLEST, TINY, 1.0, -1.0, 0.1, np.inf, -np.inf, 2.5, 1e30], np.float32)
    threshold = np.repeat(near, 2)[:, None, None]
    direction = np.tile(np.array([1, -1], np.float32), near.size)[:, None, None]
    finite = np.clip(np.where(np.abs(threshold) < TINY, 0, threshold), -1e38, 1e38)
    steps = np.array([-np.inf, -np.inf, 0, np.inf, np.inf], np.float32)
    columns = [np.nextafter(finite, np.where(s == 0, finite, s)) if s else finite for s in steps]
    x = np.concatenate(columns, 2).astype(np.float32)
    x[np.abs(x) < TINY] = 0  # LCE has no subnormal numbers
    shape = (1, near.size * 2, 1, 5)
    text, constants = binary_layer(
        rng, "x", "y", (64, near.size * 2, 1, 1), threshold=threshold, direction=direction
    )
    found, wanted = both(text, constants, shape, x[None], rotated)
    np.testing.assert_array_equal(found, wanted)


CONVOLUTIONS = {
    "1-D": {"shape": (1, 8, 11), "weight": (5, 8, 3), "pads": (1, 1), "strides": (2,)},
    "1-D, padding that SAME does not have": {"shape": (1, 8, 11), "weight": (5, 8, 3), "pads": (2, 0)},
    "batch of 3, with a map": {"shape": (3, 4, 6, 6), "weight": (5, 4, 3, 3), "pads": (2, 2, 2, 2)},
    "unequal strides, asymmetric pads": {
        "shape": (1, 4, 7, 8),
        "weight": (5, 4, 3, 5),
        "pads": (0, 2, 1, 1),
        "strides": (1, 2),
        "pad_value": 1.0,
    },
    "groups of whole words": {
        "shape": (1, 64, 6, 6),
        "weight": (8, 32, 3, 3),
        "pads": (1, 1, 1, 1),
        "group": 2,
    },
}


@pytest.mark.larq
@pytest.mark.parametrize("rotated", [False, True], ids=["upright", "rotated"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str, rotated: bool) -> None:
    case = dict(CONVOLUTIONS[name])
    shape = case.pop("shape")
    text, constants = binary_layer(np.random.default_rng(5), "x", "y", **case)  # type: ignore[arg-type]
    found, wanted = both(text, constants, shape, rotated=rotated)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.larq
def test_groups_that_fill_no_word_are_split() -> None:
    rng = np.random.default_rng(6)
    text, constants = binary_layer(
        rng, "x", "y", (6, 4, 3, 3), pads=(1,) * 4, group=3, threshold=rng.normal(size=(12, 1, 1))
    )
    graph = make_graph(text, {"x": (1, 12, 6, 6)}, constants=constants)
    assert emit(graph).forms == {"y": "same, split in 3"}
    found, wanted = both(text, constants, (1, 12, 6, 6), ops=3)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.larq
@pytest.mark.parametrize("shape", [(1, 20), (3, 20), (2, 5, 20), (1, 2, 3, 20)], ids=str)
def test_linear_layers_of_every_rank(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    text, constants = binary_layer(rng, "x", "y", (6, 20), threshold=rng.normal(size=20), multiplier=0.5)
    found, wanted = both(text, constants, shape)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.larq
@pytest.mark.parametrize("rotated", [False, True], ids=["upright", "rotated"])
def test_a_linear_layer_on_a_flattened_map_permutes_its_weights(rotated: bool) -> None:
    rng = np.random.default_rng(8)
    text, constants = binary_layer(rng, "f", "y", (6, 120), threshold=rng.normal(size=120))
    graph = make_graph("f = Flatten(x)\n" + text, {"x": (1, 6, 5, 4)}, constants=constants)
    emitted = emit(graph, rotated)
    assert "TRANSPOSE" not in {op.kind for op in parse(emitted.data).operators}
    x = rng.normal(size=(1, 6, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(run(emitted, {"x": x})["y"], expected(graph, {"x": x})[0])


MOVES = {
    "MaxPool": "m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (y_s)",
    "MaxPool with padding": "m = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1,1,1,1]> (y_s)",
    "Transpose": "m = Transpose <perm = [0, 1, 3, 2]> (y_s)",
    "Slice": "m = Slice(y_s, one, four, three)",
    "Pad with +1": "m = Pad(y_s, pads, plus)",
    "Pad with −1": "m = Pad(y_s, pads, minus)",
    "Concat": "m = Concat <axis = 2> (y_s, y_s)",
    "channel shuffle": "p = Reshape(y_s, split)\n q = Transpose <perm = [0,2,1,3,4]> (p)\n m = Reshape(q, t)",
}


@pytest.mark.larq
@pytest.mark.parametrize("rotated", [False, True], ids=["upright", "rotated"])
@pytest.mark.parametrize("move", MOVES)
def test_the_step_moves_behind_what_only_moves_data(move: str, rotated: bool) -> None:
    rng = np.random.default_rng(9)
    threshold, direction = rng.normal(size=(6, 1, 1)), rng.choice([-1.0, 1.0], (6, 1, 1))
    text, constants = binary_layer(rng, "x", "y", (4, 6, 1, 1), threshold=threshold, direction=direction)
    step, layer = text.splitlines()
    constants |= {
        "one": np.array([1]),
        "four": np.array([4]),
        "three": np.array([3]),
        "pads": np.array([0, 0, 1, 0, 0, 0, 1, 2]),
        "plus": np.float32(1),
        "minus": np.float32(-1),
        "split": np.array([1, 2, 3, 6, 6]),
        "t": np.array([1, 6, 6, 6]),
    }
    moved = f"{step}\n {MOVES[move]}\n {layer.replace('(y_s,', '(m,')}"
    found, wanted = both(moved, constants, (1, 6, 6, 6), rotated=rotated)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.larq
@pytest.mark.parametrize("pad_value", [0.0, 1.0])
def test_ties_between_two_binary_layers_are_settled_as_in_the_graph(pad_value: float) -> None:
    """m*dot + b == threshold for many dots; a threshold folded into b in float would turn some of them."""
    rng = np.random.default_rng(10)
    multiplier = rng.choice([0.1, -0.1, 1.0], (32, 1, 1))
    first, a = binary_layer(
        rng, "x", "h", (32, 8, 3, 3), pads=(1,) * 4, pad_value=pad_value, multiplier=multiplier, bias=-0.3
    )
    second, b = binary_layer(
        rng,
        "h",
        "y",
        (8, 32, 1, 1),
        threshold=rng.choice([np.float32(0.1), np.float32(SMALLEST), np.float32(-0.5)], (32, 1, 1)),
        direction=rng.choice([-1.0, 1.0], (32, 1, 1)),
    )
    found, wanted = both(first + second, {**a, **b}, (1, 8, 12, 12), ops=2)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.larq
def test_multiplier_and_bias_are_folded_into_the_binary_operator() -> None:
    rng = np.random.default_rng(11)
    multiplier, bias = rng.normal(size=(2, 16, 1, 1))
    text, constants = binary_layer(
        rng, "x", "y", (16, 8, 3, 3), pads=(1,) * 4, multiplier=multiplier, bias=bias
    )
    graph = make_graph(text, {"x": (1, 8, 6, 6)}, constants=constants)
    assert [op.kind for op in parse(emit(graph).data).operators] == ["LceQuantize", "LceBconv2d"]


@pytest.mark.larq
@pytest.mark.parametrize("after", ["Add", "Mul", "Sub", "Div"])
@pytest.mark.parametrize("shape", [(6, 5, 5), (5, 5), (5,), (), (6, 1, 1)], ids=str)
def test_a_constant_after_a_binary_convolution_does_not_break_it(after: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(12)
    text, constants = binary_layer(rng, "x", "h", (6, 4, 3, 3), pads=(1,) * 4, bias=0.5)
    constants["c"] = rng.normal(size=shape).astype(np.float32)
    found, wanted = both(f"{text} y = {after}(h, c)", constants, (1, 4, 5, 5))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.larq
def test_a_spatial_bias_is_exact() -> None:
    rng = np.random.default_rng(13)
    bias = rng.integers(-5, 6, (6, 5, 5)).astype(np.float32)
    text, constants = binary_layer(rng, "x", "y", (6, 4, 3, 3), pads=(1,) * 4, bias=bias)
    for rotated in (False, True):
        found, wanted = both(text, constants, (1, 4, 5, 5), rotated=rotated)
        np.testing.assert_array_equal(found, wanted)


def test_a_spatial_multiplier_is_refused_and_the_layer_named() -> None:
    rng = np.random.default_rng(14)
    text, constants = binary_layer(rng, "x", "y", (6, 4, 3, 3), multiplier=rng.normal(size=(6, 3, 3)))
    graph = make_graph(text, {"x": (1, 4, 5, 5)}, constants=constants)
    with pytest.raises(NotDeployableError, match="scaling factor of y varies over height or width"):
        emit(graph)


@pytest.mark.parametrize(
    "between",
    ["m = Pad(y_s, pads, zero)", "m = AveragePool <kernel_shape = [2, 2]> (y_s)", "m = Mul(y_s, half)"],
)
def test_what_is_no_longer_two_valued_is_refused(between: str) -> None:
    text, constants = binary_layer(np.random.default_rng(15), "x", "y", (4, 6, 1, 1))
    step, layer = text.splitlines()
    constants |= {
        "pads": np.array([0, 0, 1, 0, 0, 0, 1, 2]),
        "zero": np.float32(0),
        "half": np.float32(0.5),
    }
    graph = make_graph(
        f"{step}\n {between}\n {layer.replace('(y_s,', '(m,')}", {"x": (1, 6, 6, 6)}, constants=constants
    )
    with pytest.raises(NotDeployableError, match=r"its input m is not certain to be \+1 or -1"):
        emit(graph)
