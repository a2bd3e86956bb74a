"""Which float operators an engine takes, and in which form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bibench_deploy.graph import BinaryGraph
from support.fused_graphs import F, conv, head
from support.verdicts import both

CHANNEL = np.full((64, 1, 1), 0.5, F)
FC = {"w": np.ones((192, 10), F)}
GEMM = {"w": np.ones((10, 192), F), "b": np.ones(10, F)}


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
