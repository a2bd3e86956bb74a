"""Every kernel of the native engine against numpy, over geometries, paddings, groups and epilogues."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from support import native_engine
from support.bbm_files import (
    BCONV,
    BINARY_FILTERS,
    BITS,
    CONV,
    DWCONV,
    EXPAND,
    FLOAT_FILTERS,
    MAP,
    BbmFile,
    binary_filters,
    float_filters,
)


@dataclass(frozen=True)
class Case:
    h: int = 8
    w: int = 8
    c: int = 64
    o: int = 64
    kh: int = 3
    kw: int = 3
    stride: int = 1
    dilation: int = 1
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    groups: int = 1
    pad_value: float = 1.0
    n: int = 1


CASES = [
    Case(),
    Case(pad_value=-1.0),
    Case(pad_value=0.0),
    Case(pad_value=0.5),
    Case(c=3, o=5, pad_value=-1.0),
    Case(c=33, o=17, pad_value=0.0),
    Case(c=16, o=16, h=11, w=13, stride=2),
    Case(c=512, o=48, h=3, w=7, pad_value=0.0),
    Case(c=40, o=24, dilation=2, pads=(2, 2, 2, 2), pad_value=0.0),
    Case(c=64, o=32, h=9, w=10, kh=5, kw=1, pads=(0, 0, 3, 0), stride=3, pad_value=-1.0),
    Case(c=64, o=64, groups=2, pad_value=0.0),
    Case(c=48, o=40, groups=4, pad_value=-1.0),
    Case(c=6, o=6, groups=6),
    Case(c=64, o=64, kh=1, kw=1, pads=(0, 0, 0, 0), n=3),
    Case(h=1, w=1, c=100, o=10, kh=1, kw=1, pads=(0, 0, 0, 0), n=5),
    Case(h=4, w=4, c=32, o=20, kh=4, kw=4, pads=(0, 0, 0, 0), n=2),
    Case(h=1, w=50, c=20, o=33, kh=1, kw=9, pads=(0, 4, 0, 3), pad_value=0.0),
    Case(h=2, w=2, pads=(3, 3, 3, 3), pad_value=0.0),
]


def convolve(x: np.ndarray, w: np.ndarray, case: Case, value: float) -> np.ndarray:
    """NHWC convolution in float64; w is (O, C/groups, KH, KW)."""
    top, left, bottom, right = case.pads
    x = np.pad(x.astype(np.float64), ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)
    oh = (x.shape[1] - case.dilation * (case.kh - 1) - 1) // case.stride + 1
    ow = (x.shape[2] - case.dilation * (case.kw - 1) - 1) // case.stride + 1
    g, cg, og = case.groups, case.c // case.groups, len(w) // case.groups
    out = np.zeros((x.shape[0], oh, ow, g, og))
    for ky in range(case.kh):
        for kx in range(case.kw):
            y0, x0 = ky * case.dilation, kx * case.dilation
            tap = x[:, y0 : y0 + (oh - 1) * case.stride + 1 : case.stride]
            tap = tap[:, :, x0 : x0 + (ow - 1) * case.stride + 1 : case.stride]
            tap = tap.reshape(*tap.shape[:3], g, cg)
            out += np.einsum("nhwgc,goc->nhwgo", tap, w[:, :, ky, kx].reshape(g, og, cg).astype(np.float64))
    return out.reshape(*out.shape[:3], g * og)


def geometry(case: Case) -> dict[int, int]:
    top, left, bottom, right = case.pads
    s, d = case.stride, case.dilation
    return {0: s, 1: s, 2: d, 3: d, 4: top, 5: left, 6: bottom, 7: right, 8: case.groups}


@pytest.fixture(scope="session")
def engine() -> Path:
    return native_engine.build()


@pytest.fixture(params=["portable", "avx2", "avx512", "neon"])
def isa(request: pytest.FixtureRequest, engine: Path) -> str:
    if request.param not in native_engine.kernels(engine):
        pytest.skip(f"this CPU has no {request.param}")
    return str(request.param)


def steps(x: np.ndarray, threshold: np.ndarray, direction: np.ndarray) -> np.ndarray:
    return np.where(x >= threshold, direction, -direction).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_integer_parts_are_exact(tmp_path: Path, engine: Path, isa: str, case: Case, threads: int) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(case.n, case.h, case.w, case.c)).astype(np.float32)
    threshold = rng.normal(size=case.c).astype(np.float32)
    direction = rng.choice([-1.0, 1.0], case.c).astype(np.float32)
    signs = rng.choice([-1, 1], (case.o, case.c // case.groups, case.kh, case.kw))
    expected = convolve(steps(x, threshold, direction), signs, case, case.pad_value)

    bbm = BbmFile()
    xi = bbm.tensor(x.shape)
    s = bbm.tensor(x.shape, BITS, case.groups)
    bbm.operator(MAP, {0: xi, 9: bbm.channels(threshold), 10: bbm.channels(direction)}, {1: s})
    w = bbm.constant(
        binary_filters(signs, case.groups),
        (case.o, case.kh, case.kw, case.c // case.groups),
        BINARY_FILTERS,
        case.groups,
    )
    y = bbm.tensor(expected.shape)
    bbm.operator(BCONV, {0: s, 1: w}, {0: y}, geometry(case), {0: case.pad_value})
    bbm.inputs, bbm.outputs = [xi], [y]
    got = native_engine.execute([engine], bbm.write(tmp_path / "m.bbm"), [x], isa, threads)
    np.testing.assert_array_equal(got.reshape(expected.shape), expected.astype(np.float32))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float_convolution(tmp_path: Path, engine: Path, isa: str, case: Case) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(case.n, case.h, case.w, case.c)).astype(np.float32)
    weights = rng.normal(size=(case.o, case.c // case.groups, case.kh, case.kw)).astype(np.float32)
    expected = np.maximum(convolve(x, weights, case, 0.0), 0)
    bbm = BbmFile()
    xi, y = bbm.tensor(x.shape), bbm.tensor(expected.shape)
    dims = (case.o, case.kh, case.kw, case.c // case.groups)
    w = bbm.constant(float_filters(weights, case.groups), dims, FLOAT_FILTERS, case.groups)
    bbm.operator(CONV, {0: xi, 1: w}, {0: y}, {**geometry(case), 9: 1})
    bbm.inputs, bbm.outputs = [xi], [y]
    got = native_engine.execute([engine], bbm.write(tmp_path / "m.bbm"), [x], isa)
    np.testing.assert_allclose(got.reshape(expected.shape), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("c", [5, 16, 24])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise(tmp_path: Path, engine: Path, isa: str, c: int, stride: int) -> None:
    case = Case(c=c, o=c, groups=c, stride=stride, h=9, w=7, n=2)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 9, 7, c)).astype(np.float32)
    weights = rng.normal(size=(c, 1, 3, 3)).astype(np.float32)
    bias = rng.normal(size=c).astype(np.float32)
    expected = convolve(x, weights, case, 0.0) + bias
    bbm = BbmFile()
    xi, y = bbm.tensor(x.shape), bbm.tensor(expected.shape)
    w = bbm.constant(weights[:, 0].transpose(1, 2, 0), (1, 3, 3, c))
    bbm.operator(DWCONV, {0: xi, 1: w, 3: bbm.channels(bias)}, {0: y}, geometry(case))
    bbm.inputs, bbm.outputs = [xi], [y]
    got = native_engine.execute([engine], bbm.write(tmp_path / "m.bbm"), [x], isa)
    np.testing.assert_allclose(got.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)


def activation(v: np.ndarray, kind: int, slope: np.ndarray, shift: np.ndarray) -> np.ndarray:
    if kind == 1:
        return np.maximum(v, 0)
    if kind == 2:
        return np.clip(v, -1, 1)
    if kind == 3:
        u = v + shift
        return np.where(u < 0, u * slope, u) - shift
    return v


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("form", ["channel", "map", "factor", "scalar factor", "constant factor"])
@pytest.mark.parametrize("o", [24, 64])
def test_epilogue_is_the_same_bits_everywhere(
    tmp_path: Path, engine: Path, isa: str, kind: int, first: int, form: str, o: int
) -> None:
    """Multiplier, factor, bias, activation, residual, float and bits outputs, then a second binary layer."""
    rng = np.random.default_rng(4)
    case, second = Case(n=2, h=6, w=9, o=o, pad_value=0.0), Case(n=2, h=6, w=9, c=o, o=16, pad_value=-1.0)
    x = rng.normal(size=(2, 6, 9, 64)).astype(np.float32)
    residual = rng.normal(size=(2, 6, 9, o)).astype(np.float32)
    shape = (1, 6, 9, o) if form == "map" else (1, 1, 1, o)
    multiplier = rng.normal(size=shape).astype(np.float32) * np.float32(0.1)
    bias = rng.normal(size=shape).astype(np.float32)
    factor_shape = {"factor": (2, 6, 9, 1), "constant factor": (1, 6, 9, 1)}.get(form, (2, 1, 1, 1))
    factor = rng.uniform(0.5, 2, factor_shape).astype(np.float32)
    slope, shift, threshold = (rng.normal(size=o).astype(np.float32) for _ in range(3))
    signs, more = rng.choice([-1, 1], (o, 64, 3, 3)), rng.choice([-1, 1], (16, o, 3, 3))

    zero, one = np.zeros(64, np.float32), np.ones(64, np.float32)
    v = convolve(steps(x, zero, one), signs, case, 0.0).astype(np.float32) * multiplier
    if "factor" in form:
        v = v * factor
    v = v + bias
    before, after = (0.0, residual) if first else (residual, 0.0)
    v = activation(v + before, kind, slope, shift) + after
    direction = np.where(np.arange(o) % 3 == 0, -1, 1).astype(np.float32)
    z = convolve(steps(v, threshold, direction), more, second, -1.0)

    bbm = BbmFile()
    xi, ri, fi = bbm.tensor(x.shape), bbm.tensor(residual.shape), bbm.tensor(factor.shape)
    s, y, t = bbm.tensor(x.shape, BITS), bbm.tensor(v.shape), bbm.tensor(v.shape, BITS)
    zi = bbm.tensor(z.shape)
    bbm.operator(MAP, {0: xi, 9: bbm.channels(zero)}, {1: s})
    inputs = {
        0: s,
        1: bbm.constant(binary_filters(signs), (o, 3, 3, 64), BINARY_FILTERS),
        2: bbm.constant(multiplier, shape),
        3: bbm.constant(bias, shape),
        5: ri,
        6: bbm.channels(slope),
        7: bbm.channels(shift),
        8: bbm.channels(-shift),
        9: bbm.channels(threshold),
        10: bbm.channels(direction),
    }
    if "factor" in form:
        inputs[4] = bbm.constant(factor, factor_shape) if form == "constant factor" else fi
    bbm.operator(
        BCONV, inputs, {0: y, 1: t}, {**geometry(case), 9: kind, 10: first}, {0: 0.0, 1: -1.0, 2: 1.0}
    )
    w = bbm.constant(binary_filters(more), (16, 3, 3, o), BINARY_FILTERS)
    bbm.operator(BCONV, {0: t, 1: w}, {0: zi}, geometry(second), {0: -1.0})
    bbm.inputs, bbm.outputs = [xi, ri, fi], [y, zi]
    got = native_engine.execute([engine], bbm.write(tmp_path / "m.bbm"), [x, residual, factor], isa, 2)
    np.testing.assert_array_equal(got[: v.size].reshape(v.shape), v.astype(np.float32))
    np.testing.assert_array_equal(got[v.size :].reshape(z.shape), z.astype(np.float32))


@pytest.mark.parametrize(("kind", "falling"), [(0, False), (1, False), (2, False), (3, False), (3, True)])
@pytest.mark.parametrize(
    "case",
    [
        Case(o=64, w=19, pad_value=0.0),
        Case(o=24, h=5, w=9, n=2, pad_value=-1.0),
        Case(o=80, c=40, h=7, w=7),
        Case(o=96, groups=2, stride=2, h=9, w=9, pad_value=0.0),
    ],
    ids=str,
)
def test_bits_alone_are_those_of_the_floats(
    tmp_path: Path, engine: Path, isa: str, case: Case, kind: int, falling: bool
) -> None:
    """Thresholds that results meet exactly; multipliers of either sign and 0; falling slopes."""
    rng = np.random.default_rng(5)
    x = rng.choice([-1.0, 1.0], (case.n, case.h, case.w, case.c)).astype(np.float32)
    signs = rng.choice([-1, 1], (case.o, case.c // case.groups, case.kh, case.kw))
    dot = convolve(x, signs, case, case.pad_value).astype(np.float32)
    multiplier = (rng.normal(size=case.o) * (np.arange(case.o) % 5 > 0)).astype(np.float32)
    bias, shift = rng.normal(size=(2, case.o)).astype(np.float32)
    slope = rng.uniform(-1 if falling else 0, 1, case.o).astype(np.float32)
    v = activation(dot * multiplier + bias, kind, slope, shift)
    pixels = v.reshape(-1, case.o)
    threshold = pixels[rng.integers(len(pixels), size=case.o), np.arange(case.o)]
    above = np.nextafter(threshold[::7], np.float32(np.inf))
    # 32-bit NEON takes subnormal numbers as 0.
    threshold[::7] = np.where(np.abs(above) < np.finfo(np.float32).tiny, np.finfo(np.float32).tiny, above)
    direction = rng.choice([-1.0, 1.0], case.o).astype(np.float32)

    bbm = BbmFile()
    xi, s = bbm.tensor(x.shape), bbm.tensor(x.shape, BITS, case.groups)
    t, y = bbm.tensor(v.shape, BITS), bbm.tensor(v.shape)
    bbm.operator(MAP, {0: xi, 9: bbm.channels(np.zeros(case.c, np.float32))}, {1: s})
    dims = (case.o, case.kh, case.kw, case.c // case.groups)
    inputs = {0: s, 1: bbm.constant(binary_filters(signs, case.groups), dims, BINARY_FILTERS, case.groups)}
    constants = {2: multiplier, 3: bias, 9: threshold, 10: direction}
    if kind == 3:
        constants |= {6: slope, 7: shift, 8: -shift}
    inputs |= {slot: bbm.channels(array) for slot, array in constants.items()}
    bbm.operator(BCONV, inputs, {1: t}, {**geometry(case), 9: kind}, {0: case.pad_value, 1: -1.0, 2: 1.0})
    bbm.operator(EXPAND, {0: t}, {0: y})
    bbm.inputs, bbm.outputs = [xi], [y]
    got = native_engine.execute([engine], bbm.write(tmp_path / "m.bbm"), [x], isa, 2)
    np.testing.assert_array_equal(got.reshape(v.shape), steps(v, threshold, direction))
