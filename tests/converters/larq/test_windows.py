"""Convolutions and pools of every geometry against onnxruntime, upright and rotated; integers exactly."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from bibench_deploy.converters.larq.emitter import emit
from support.binary_graphs import binary_layer, expected, make_graph, run

pytestmark = pytest.mark.larq

SIZES = [(8, 8), (9, 9), (8, 11), (2, 5)]
FLOAT_KINDS = ("conv", "depthwise", "multiplied", "grouped")
POOLS = ("max", "average", "average with padding")
Results = dict[str, tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]]


def fits(size: tuple[int, int], kernel: int, pad: int, dilation: int) -> bool:
    """Whether there is a window."""
    return min(size) + 2 * pad >= (kernel - 1) * dilation + 1


@cache
def float_results(size: tuple[int, int], rotated: bool) -> Results:
    """All float operators of a size in one artefact: case → (found, wanted)."""
    rng = np.random.default_rng(1)
    body, constants, cases = "", {}, {}
    for kind, k, s, p, d in product(FLOAT_KINDS, (1, 2, 3, 5, 7), (1, 2, 3), range(4), (1, 2)):
        if not fits(size, k, p, d) or (kind != "conv" and k in (2, 7)):
            continue
        y = f"y{len(cases)}"
        group, outputs = {"conv": (1, 4), "depthwise": (4, 4), "multiplied": (4, 8), "grouped": (2, 4)}[kind]
        constants[f"{y}w"] = rng.integers(-4, 5, size=(outputs, 4 // group, k, k)).astype(np.float32)
        body += (
            f"{y} = Conv <strides = [{s}, {s}], pads = [{p}, {p}, {p}, {p}], dilations = [{d}, {d}], "
            f"group = {group}> (x, {y}w)\n"
        )
        cases[y] = f"{kind} k{k} s{s} p{p} d{d}"
    for kind, k, s, p, ceil in product(POOLS, (1, 2, 3, 5), (1, 2, 3), range(3), (0, 1)):
        if not fits(size, k, p, 1) or p > k // 2 or p >= k:
            continue
        y = f"y{len(cases)}"
        op = "MaxPool" if kind == "max" else "AveragePool"
        count = "" if kind == "max" else f", count_include_pad = {int(kind != 'average')}"
        body += (
            f"{y} = {op} <kernel_shape = [{k}, {k}], strides = [{s}, {s}], pads = [{p}, {p}, {p}, {p}], "
            f"ceil_mode = {ceil}{count}> (x)\n"
        )
        cases[y] = f"{kind} k{k} s{s} p{p} ceil{ceil}"
    return _both(body, constants, cases, size, rotated, 4)


@cache
def binary_results(size: tuple[int, int], rotated: bool) -> Results:
    """All binary convolutions of a size in one artefact: case → (found, wanted)."""
    rng = np.random.default_rng(2)
    body, constants, cases = "", {}, {}
    for k, s, p, d, value in product((1, 3, 5, 7), (1, 2, 3), range(5), (1, 2), (0.0, 1.0, -1.0, 0.5)):
        if not fits(size, k, p, d) or (k == 1 and d == 2) or (p == 0 and value) or (value == 0.5 and k > 3):
            continue
        y = f"y{len(cases)}"
        text, more = binary_layer(
            rng, "x", y, (4, 3, k, k), pads=(p,) * 4, pad_value=value, strides=(s, s), dilations=(d, d)
        )
        body, constants = body + text, {**constants, **more}
        cases[y] = f"binary k{k} s{s} p{p} d{d} value {value}"
    return _both(body, constants, cases, size, rotated, 3)


def _both(
    body: str,
    constants: dict[str, npt.NDArray[np.generic]],
    cases: dict[str, str],
    size: tuple[int, int],
    rotated: bool,
    channels: int,
) -> Results:
    graph = make_graph(body, {"x": (1, channels, *size)}, tuple(cases), constants)
    x = np.random.default_rng(3).integers(-20, 21, size=(1, channels, *size)).astype(np.float32)
    found = run(emit(graph, rotated), {"x": x})
    return {cases[y]: (found[y], want) for y, want in zip(cases, expected(graph, {"x": x}), strict=True)}


def differing(results: Results, prefix: str, exact: bool = True) -> dict[str, str]:
    """Cases of a kind that differ, with how much."""
    chosen = {case: pair for case, pair in results.items() if case.startswith(prefix)}
    assert chosen
    return {
        case: f"{found.shape} {wanted.shape}"
        for case, (found, wanted) in chosen.items()
        if not (np.array_equal(found, wanted) if exact else np.allclose(found, wanted, 1e-5, 1e-5))
    }


@pytest.mark.parametrize("rotated", [False, True], ids=["upright", "rotated"])
@pytest.mark.parametrize("size", SIZES, ids=str)
class TestEveryGeometry:
    @pytest.mark.parametrize("kind", [*FLOAT_KINDS, "max"])
    def test_float_operators_are_exact_on_integers(
        self, size: tuple[int, int], rotated: bool, kind: str
    ) -> None:
        assert differing(float_results(size, rotated), f"{kind} ") == {}

    @pytest.mark.parametrize("kind", ["average k", "average with padding"])
    def test_average_pools(self, size: tuple[int, int], rotated: bool, kind: str) -> None:
        assert differing(float_results(size, rotated), kind, exact=False) == {}

    @pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.5])
    def test_binary_convolutions_are_exact(self, size: tuple[int, int], rotated: bool, value: float) -> None:
        results = binary_results(size, rotated)
        chosen = {case: pair for case, pair in results.items() if case.endswith(f"value {value}")}
        assert differing(chosen, "binary") == {}
