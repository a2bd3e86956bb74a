"""What is held in one blob for several readers: nothing of it is lost, on a grid or out of proportion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from bibench_deploy.converters.dabnn import emit
from bibench_deploy.converters.dabnn.dab import Kind, parse
from bibench_deploy.converters.dabnn.sizes import size_of
from bibench_deploy.converters.verification import Reference, verify
from bibench_deploy.graph import BinaryGraph
from bibench_deploy.runners.session import opener
from support.binary_graphs import binary_layer, every_value, expected, make_graph

F = np.float32
Array = npt.NDArray[np.generic]
PAD = (1, 1, 1, 1)
INPUT = (1, 8, 6, 6)


def graph(*parts: str | tuple[str, dict[str, Array]], **constants: Array | float) -> BinaryGraph:
    """Of lines, and of binary layers with their constants."""
    lines, arrays = [], {name: np.asarray(array, F) for name, array in constants.items()}
    for part in parts:
        text, more = (part, {}) if isinstance(part, str) else part
        lines.append(text)
        arrays |= {name: np.asarray(array) for name, array in more.items()}
    return make_graph("\n".join(lines), {"x": INPUT}, constants=arrays)


def binary(
    x: str, y: str, threshold: float, pad_value: float = -1, **options: object
) -> tuple[str, dict[str, Array]]:
    given: dict[str, object] = {"multiplier": 0.25, "bias": 0.5} | options
    rng = np.random.default_rng(sum(y.encode()))
    return binary_layer(rng, x, y, (8, 8, 3, 3), pads=PAD, pad_value=pad_value, threshold=threshold, **given)  # type: ignore[arg-type]


GRIDS = {
    # Behind the float next to 0.5, 3 would no longer be 3 for the second sign.
    "two thresholds": graph(
        "r = Relu (x)", binary("r", "b", 0.5), binary("r", "c", 3), "s = Add (b, c)", "y = Add (s, r)"
    ),
    "one sign, two layers": graph("r = Relu (x)", binary("r", "b", 0.5), binary("r", "c", 0.5), "y = Add (b, c)"),
    # b and c are multiples of 1/4 that never are 0.5; their sum is.
    "a sum meets what neither term does": graph(
        binary("x", "b", 0, bias=0.125),
        binary("x", "c", 0.5, bias=0.375),
        "s = Add (b, c)",
        binary("s", "y", 0.5),
    ),
    "behind a PReLU": graph(
        "r = PRelu (x, k)", binary("r", "b", 1), binary("r", "c", 2.5), "y = Add (b, c)", k=0.5
    ),
    "behind constants": graph(
        "m = Mul (x, k)", "r = Sub (k, m)", binary("r", "b", 0.25), "y = Add (b, r)", k=0.5
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
def test_values_on_a_grid(name: str) -> None:
    """Multiples of 1/2, so that thresholds are met exactly: every sign is right."""
    emitted = emit(GRIDS[name])
    run = opener("dabnn")(emitted.data, emitted.inputs, emitted.outputs)
    for seed in range(4):
        x = np.random.default_rng(seed).integers(-8, 9, INPUT).astype(F) / 2
        assert np.array_equal(run({"x": x})["y"], expected(GRIDS[name], {"x": x})[0])


def stem(factor: float, addend: float, shift: float) -> BinaryGraph:
    """A stream that is read as it is, behind a batch-norm with a ReLU, and by shifted signs."""
    rng = np.random.default_rng(9)
    half = np.arange(8).reshape(8, 1, 1) % 2 == 0  # of the channels
    return graph(
        "s = Conv (x, w, k)",
        "m = Mul (s, f)",
        "n = Add (m, a)",
        "r = Relu (n)",
        binary("s", "b", shift, bias=rng.standard_normal((8, 1, 1))),
        binary("r", "c", 0, 0, multiplier=rng.standard_normal((8, 1, 1))),
        "t = Add (b, c)",
        "u = Add (t, s)",
        "y = Add (u, r)",
        w=rng.standard_normal((8, 8, 1, 1)),
        k=rng.standard_normal(8),
        f=np.where(half, factor, 1),
        a=np.where(half, addend, 0),
    )


@pytest.mark.parametrize(
    ("factor", "addend", "shift"),
    [(1, 0, 0.5), (0, 1, 0.5), (-1, 1, 0.5), (1e-6, 1, 0), (1e-30, 1, 0.5), (1e-42, 0, 0), (1e-30, 0, -1),
     (1, 1e6, 0), (1e6, 0, 0), (1, 0, 1e6), (-1e-30, -1e3, 1e4)],
)  # fmt: skip
def test_a_stream_survives_its_readers(factor: float, addend: float, shift: float) -> None:
    """A pruned channel's factor is next to 0; an Affine over the stream could not be undone."""
    model = stem(factor, addend, shift)
    rows = [{"x": np.random.default_rng(seed).standard_normal(INPUT).astype(F)} for seed in range(3)]
    found = verify(Reference(model, rows), emit(model), opener("dabnn"))
    assert found.problem is None
    assert max(piece.relative for piece in found.layers) < 1e-5


def test_only_a_shift_out_of_proportion_costs_a_copy() -> None:
    trained, absurd = (parse(emit(stem(1, 0, shift)).data) for shift in (0.5, 1e6))
    copies = [sum(layer.kind == Kind.MAX_POOL for layer in model.layers) for model in (trained, absurd)]
    assert copies == [1, 2]  # the first one is the ReLU's


def test_sizes_are_of_the_numbers_order() -> None:
    """Within a factor of 8 of the root mean square of each channel for normally distributed inputs."""
    model = graph(
        "s = Conv <pads = [1, 1, 1, 1]> (x, w, k)",
        "m = Mul (s, f)",
        "n = Sub (m, a)",
        "p = PRelu (n, g)",
        "c = Clip (p, lo, hi)",
        "q = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (p)",
        binary("p", "b", 0),
        "t = Add (b, p)",
        "j = Concat <axis = 1> (t, c)",
        "h = Flatten (q)",
        "y = Gemm <transB = 1> (h, v)",
        w=np.random.default_rng(1).standard_normal((8, 8, 3, 3)),
        k=np.ones(8),
        f=np.arange(1, 9).reshape(8, 1, 1) / 100,
        a=np.ones((8, 1, 1)),
        g=2.0,
        lo=-1.0,
        hi=1.0,
        v=np.random.default_rng(2).standard_normal((10, 72)),
    )
    known = {model.model.graph.inputs[0]: np.ones(8)}
    names = list(every_value(model.proto()))
    x = np.random.default_rng(3).standard_normal(INPUT).astype(F)
    values = dict(zip(names, expected(model, {"x": x}, names), strict=True))
    for node in model.model.graph:
        known[node.outputs[0]] = found = size_of(node, known)
        real = values[node.outputs[0].name].astype(np.float64).reshape(len(found), -1)
        ratio = found / np.sqrt((real**2).mean(axis=1))
        assert (ratio > 1 / 8).all(), node.outputs[0].name
        assert (ratio < 8).all() or node.op_type == "Gemm", node.outputs[0].name
