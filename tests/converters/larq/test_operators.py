"""Every operator that Larq takes computes what onnxruntime computes, upright and rotated."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from bibench_deploy.converters.larq.emitter import HANDLERS, emit
from bibench_deploy.errors import NotDeployableError
from support.binary_graphs import expected, make_graph, merged, run

pytestmark = pytest.mark.larq
RNG = np.random.default_rng(7)

PICTURE = (1, 6, 5, 4)
SEQUENCE = (1, 6, 7)
ROWS = (3, 6)


def real(*shape: int) -> npt.NDArray[np.float32]:
    """Random numbers."""
    return RNG.normal(size=shape).astype(np.float32)


def whole(*numbers: int) -> npt.NDArray[np.int64]:
    """Axes, pads, shapes."""
    return np.array(numbers, np.int64)


@dataclass(frozen=True)
class Case:
    """Text of one or more nodes on input x, their constants, and the shapes of x to try."""

    body: str
    constants: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = (PICTURE, SEQUENCE, ROWS)
    positive: bool = False

    def __str__(self) -> str:
        return self.body


def on(shape: tuple[int, ...], body: str, **constants: npt.NDArray[np.generic]) -> Case:
    """A case on one shape."""
    return Case(body, constants, (shape,))


SCALAR = np.float32(0.7)
CASES = [
    *(
        Case(f"y = {op}(x)")
        for op in ("Relu", "Sigmoid", "Tanh", "Exp", "Abs", "Neg", "Floor", "Ceil", "Elu")
    ),
    *(Case(f"y = {op}(x)") for op in ("Softplus", "Softsign", "HardSwish", "LeakyRelu", "HardSigmoid")),
    *(Case(f"y = {op}(x)") for op in ("Sin", "Cos", "Sign", "Ceil")),
    *(Case(f"y = {op}(x)", positive=True) for op in ("Sqrt", "Log", "Reciprocal")),
    Case("y = LeakyRelu <alpha: float = 0.3> (x)"),
    Case("y = HardSigmoid <alpha: float = 0.3, beta: float = 0.4> (x)"),
    Case("y = Clip(x, a, b)", {"a": np.float32(-1), "b": np.float32(1)}),
    Case("y = Clip(x, a, b)", {"a": np.float32(0), "b": np.float32(6)}),
    Case("y = Clip(x, a, b)", {"a": np.float32(0), "b": np.float32(0.5)}),
    Case("y = Clip(x, a)", {"a": np.float32(-0.2)}),
    Case("y = Clip(x, , b)", {"b": np.float32(0.2)}),
    *(Case(f"y = {op}(x, c)", {"c": SCALAR}) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    *(Case(f"y = {op}(c, x)", {"c": SCALAR}, positive=True) for op in ("Add", "Sub", "Mul", "Div", "Pow")),
    Case("y = Pow(x, c)", {"c": np.float32(2)}),
    Case("y = Pow(x, c)", {"c": np.float32(1.5)}, positive=True),
    *(on(PICTURE, f"y = {op}(x, c)", c=real(6, 1, 1)) for op in ("Add", "Sub", "Mul", "Div", "PRelu")),
    *(on(PICTURE, f"y = {op}(x, c)", c=real(6, 5, 4)) for op in ("Add", "Sub", "Mul", "PRelu")),
    *(on(PICTURE, f"y = {op}(c, x)", c=real(1, 6, 1, 1)) for op in ("Sub", "Div")),
    *(on(PICTURE, "y = Add(x, c)", c=real(*shape)) for shape in ((5, 4), (4,), (1, 5, 1), PICTURE)),
    *(on(SEQUENCE, f"y = {op}(x, c)", c=real(6, 1)) for op in ("Add", "PRelu")),
    on(SEQUENCE, "y = Add(x, c)", c=real(7)),
    *(on(ROWS, f"y = {op}(x, c)", c=real(6)) for op in ("Add", "Sub", "PRelu")),
    Case("y = PRelu(x, c)", {"c": real(1)}),
    Case("r = Relu(x)\n y = Add(r, x)"),
    Case("r = Relu(x)\n y = Max(r, x, c)", {"c": SCALAR}),
    on(PICTURE, "g = GlobalAveragePool(x)\n s = Sigmoid(g)\n y = Mul(x, s)"),
    on(PICTURE, "m = ReduceMean <keepdims: int = 0> (x, a)\n y = Sub(x, m)", a=whole(0, 1)),
    on(PICTURE, "y = GlobalAveragePool(x)"),
    on(PICTURE, "y = GlobalMaxPool(x)"),
    on(SEQUENCE, "y = GlobalAveragePool(x)"),
    *(
        on(PICTURE, f"y = {op} <keepdims: int = {keep}> (x, a)", a=whole(*axes))
        for op in ("ReduceMean", "ReduceMax", "ReduceSum", "ReduceMin")
        for keep in (0, 1)
        for axes in ((2, 3), (1,), (-1,))
    ),
    on(SEQUENCE, "c = Conv(x, w)\n y = ReduceMean <keepdims: int = 0> (c, a)", a=whole(2), w=real(5, 6, 3)),
    on(SEQUENCE, "c = Conv(x, w)\n y = ReduceMean <keepdims: int = 1> (c, a)", a=whole(2), w=real(5, 6, 3)),
    Case("y = ReduceMean <keepdims: int = 1> (x)"),
    *(Case(f"y = Softmax <axis: int = {axis}> (x)") for axis in (-1, 0, 1)),
    on(PICTURE, "y = LogSoftmax <axis: int = 2> (x)"),
    # linear layers, on what lies flat in memory and what does not
    on(PICTURE, "f = Flatten(x)\n y = Gemm(f, w, b)", w=real(120, 7), b=real(7)),
    on(PICTURE, "f = Reshape(x, s)\n y = Gemm <transB: int = 1> (f, w)", s=whole(1, -1), w=real(7, 120)),
    on(PICTURE, "f = Flatten(x)\n r = Relu(f)\n q = Add(r, f)\n y = MatMul(q, w)", w=real(120, 3)),
    on(PICTURE, "f = Flatten(x)\n a = Mul(f, c)\n y = PRelu(a, c)", c=real(120)),
    on(ROWS, "y = Gemm <alpha: float = 2.0, beta: float = 0.5> (x, w, b)", w=real(6, 4), b=real(4)),
    on(ROWS, "y = Gemm(x, w, b)", w=real(6, 4), b=real(3, 4)),
    on(SEQUENCE, "y = MatMul(x, w)", w=real(7, 5)),
    on(SEQUENCE, "t = Transpose <perm: ints = [0, 2, 1]> (x)\n y = MatMul(x, t)"),
    on(ROWS, "y = MatMul(w, x)", w=real(4, 3)),
    # moving data
    Case("y = Flatten(x)"),
    on(PICTURE, "y = Flatten <axis: int = 2> (x)"),
    on(PICTURE, "y = Flatten <axis: int = 0> (x)"),
    *(
        on(PICTURE, "y = Reshape(x, s)", s=whole(*s))
        for s in ((1, 6, 20), (6, 20), (1, 12, 10), (1, 6, 2, 10))
    ),
    *(on(PICTURE, "y = Reshape(x, s)", s=whole(*s)) for s in ((2, 3, 5, 4), (120,), (1, 6, 20, 1))),
    on(PICTURE, "f = Flatten(x)\n y = Reshape(f, s)", s=whole(1, 6, 5, 4)),
    on(ROWS, "y = Reshape(x, s)", s=whole(3, 6, 1, 1)),
    *(on(PICTURE, f"y = Transpose <perm: ints = {p}> (x)") for p in ("[0,2,3,1]", "[0,1,3,2]", "[0,3,1,2]")),
    on(SEQUENCE, "y = Transpose <perm: ints = [0, 2, 1]> (x)"),
    on(SEQUENCE, "c = Conv(x, w)\n y = Transpose <perm: ints = [0, 2, 1]> (c)", w=real(5, 6, 3)),
    on(SEQUENCE, "c = Conv(x, w)\n y = Transpose <perm: ints = [2, 0, 1]> (c)", w=real(5, 6, 3)),
    on(ROWS, "y = Transpose(x)"),
    on((1, 6, 1, 1), "y = Squeeze(x, a)", a=whole(2, 3)),
    on((1, 6, 1, 4), "y = Squeeze(x, a)", a=whole(2)),
    on(SEQUENCE, "y = Unsqueeze(x, a)", a=whole(3)),
    on(ROWS, "y = Unsqueeze(x, a)", a=whole(2, 3)),
    *(on(PICTURE, f"r = Relu(x)\n y = Concat <axis: int = {a}> (x, r)") for a in (0, 1, 2, 3, -1)),
    on(PICTURE, "y = Concat <axis: int = 1> (x, c)", c=real(1, 2, 5, 4)),
    on(ROWS, "y = Concat <axis: int = 1> (x, x)"),
    on(PICTURE, "y = Slice(x, a, b)", a=whole(0, 1), b=whole(1, 5)),
    on(PICTURE, "y = Slice(x, a, b, c, d)", a=whole(1, -3), b=whole(100, -1), c=whole(2, 3), d=whole(2, 1)),
    on(
        PICTURE,
        "a, b = Split <axis: int = 1> (x, s)\n r = Relu(a)\n y = Concat <axis: int = 1> (b, r)",
        s=whole(2, 4),
    ),
    on(PICTURE, "a, b = Split <axis: int = 2> (x, s)\n y = Concat <axis: int = 2> (b, a)", s=whole(2, 3)),
    on(PICTURE, "y = Pad(x, p)", p=whole(0, 1, 2, 0, 0, 2, 0, 3)),
    on(PICTURE, "y = Pad(x, p, v)", p=whole(0, 0, 2, -1, 0, 0, 1, 3), v=np.float32(1.5)),
    on(PICTURE, 'y = Pad <mode = "reflect"> (x, p)', p=whole(0, 0, 2, 1, 0, 0, 0, 3)),
    on(PICTURE, "y = Pad(x, p, v, a)", p=whole(1, 2), v=np.float32(0), a=whole(3)),
    on(
        PICTURE,
        "a = Reshape(x, s)\n b = Transpose <perm: ints = [0, 2, 1, 3, 4]> (a)\n y = Reshape(b, t)",
        s=whole(1, 2, 3, 5, 4),
        t=whole(1, 6, 5, 4),
    ),
    # what only float parts use
    *(
        Case(f"g = {op}(x, c)\n y = Where(g, x, c)", {"c": np.float32(0.1)})
        for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ),
    on(PICTURE, "g = Greater(x, c)\n r = Relu(x)\n y = Where(g, d, r)", c=real(6, 1, 1), d=real(5, 4)),
    on(PICTURE, "f = Flatten(x)\n g = Less(f, c)\n n = Not(g)\n y = Where(n, f, c)", c=real(120)),
    Case("r = Relu(x)\n e = Equal(r, x)\n y = Cast <to: int = 1> (e)"),
    *(
        Case(
            f"a = Less(x, c)\n b = Greater(x, d)\n e = {op}(a, b)\n y = Cast <to: int = 1> (e)",
            {"c": np.float32(c), "d": np.float32(-c)},
        )
        for op, c in (("And", 0.7), ("Or", -0.7))
    ),
    Case("y = Cast <to: int = 1> (x)"),
    Case("y = Identity(x)"),
    Case("y = Erf(x)"),
    Case("y = Round(x)"),
    Case("y = Gelu(x)"),
    Case('y = Gelu <approximate = "tanh"> (x)'),
    on(SEQUENCE, "y = LayerNormalization <axis: int = -1> (x, a, b)", a=real(7), b=real(7)),
    on(PICTURE, "y = LayerNormalization <axis: int = 2, epsilon: float = 0.1> (x, a)", a=real(5, 4)),
    on(PICTURE, "y = Expand(x, s)", s=whole(2, 1, 5, 4)),
    on((1, 6, 1, 1), "y = Expand(x, s)", s=whole(1, 6, 3, 2)),
    on(ROWS, "y = Expand(x, s)", s=whole(2, 3, 6)),
    on(PICTURE, "y = Gather <axis: int = 1> (x, i)", i=whole(5, 0, -2, 1)),
    on(PICTURE, "y = Gather <axis: int = 3> (x, i)", i=whole(2, 0)),
    on(PICTURE, "y = Gather <axis: int = 2> (x, i)", i=np.int64(-1)),
    on(SEQUENCE, "y = Gather <axis: int = 2> (x, i)", i=np.int64(3)),
    # windowed operators beyond test_windows: one dimension, bias, unequal strides, padding before, auto_pad
    on(SEQUENCE, "y = Conv <pads: ints = [2, 1], strides: ints = [2]> (x, w, b)", w=real(5, 6, 3), b=real(5)),
    on(SEQUENCE, "y = Conv <group: int = 6, strides: ints = [2]> (x, w)", w=real(6, 1, 3)),
    on(SEQUENCE, "y = Conv <dilations: ints = [2], group: int = 2> (x, w)", w=real(4, 3, 3)),
    on(SEQUENCE, "y = MaxPool <kernel_shape: ints = [3], strides: ints = [2], pads: ints = [1, 1]> (x)"),
    on(SEQUENCE, "y = AveragePool <kernel_shape: ints = [2], strides: ints = [2], ceil_mode: int = 1> (x)"),
    on(PICTURE, "y = Conv <strides: ints = [2, 1], pads: ints = [1, 0, 1, 2]> (x, w)", w=real(4, 6, 3, 3)),
    on(PICTURE, "y = Conv <strides: ints = [2, 1], group: int = 6> (x, w)", w=real(6, 1, 3, 3)),
    on(PICTURE, 'y = Conv <auto_pad = "SAME_UPPER", strides: ints = [2, 2]> (x, w)', w=real(4, 6, 3, 3)),
    on(PICTURE, 'y = Conv <auto_pad = "SAME_LOWER", strides: ints = [2, 2]> (x, w)', w=real(4, 6, 3, 3)),
    on(PICTURE, 'y = Conv <auto_pad = "VALID"> (x, w)', w=real(4, 6, 3, 3)),
    *(
        on((1, 3, 8, 8), f"q = Pad(x, p)\n y = {op}", p=whole(0, 0, 1, 1, 0, 0, 1, 1), w=real(4, 3, 3, 3))
        for op in (
            "Conv <strides: ints = [2, 2]> (q, w)",
            "MaxPool <kernel_shape: ints = [3, 3], strides: ints = [2, 2]> (q)",
            "AveragePool <kernel_shape: ints = [3, 3], strides: ints = [2, 2]> (q)",
        )
    ),
    on(
        (2, 3, 8, 8),
        "y = Conv <strides: ints = [2, 2], pads: ints = [1, 1, 1, 1]> (x, w)",
        w=real(4, 3, 3, 3),
    ),
    on(
        PICTURE,
        "c = Conv(x, w)\n d = Mul(c, m)\n y = Add(d, a)",
        w=real(6, 6, 1, 1),
        m=real(6, 1, 1),
        a=real(6, 5, 4),
    ),
]


SHAPES = sorted({shape for case in CASES for shape in case.shapes}, key=str)


def feed(case: Case, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """The same numbers for all cases of a shape, so that they can be converted together."""
    x = np.random.default_rng(11).normal(size=shape).astype(np.float32)
    return np.abs(x) + np.float32(0.1) if case.positive else x


@cache
def results(shape: tuple[int, ...], rotated: bool, positive: bool) -> dict[int, npt.NDArray[np.generic]]:
    """What one artefact that holds all cases of a shape computes: number of the case → output."""
    cases = {
        f"case{i}": make_graph(case.body, {"x": shape}, constants=case.constants)
        for i, case in enumerate(CASES)
        if shape in case.shapes and case.positive == positive
    }
    found = run(emit(merged(cases), rotated), {"x": feed(CASES[int(next(iter(cases))[4:])], shape)})
    return {int(name.removeprefix("case").removesuffix("_y")): array for name, array in found.items()}


@pytest.mark.parametrize("rotated", [False, True], ids=["upright", "rotated"])
@pytest.mark.parametrize(
    ("number", "shape"), [(i, shape) for i, case in enumerate(CASES) for shape in case.shapes]
)
def test_it_computes_what_onnxruntime_computes(number: int, shape: tuple[int, ...], rotated: bool) -> None:
    case = CASES[number]
    graph = make_graph(case.body, {"x": shape}, constants=case.constants)
    (wanted,) = expected(graph, {"x": feed(case, shape)})
    found = results(shape, rotated, case.positive)[number]
    assert found.shape == wanted.shape, case.body
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5, err_msg=case.body)


def test_every_operator_that_is_lowered_is_tested() -> None:
    used = {op for case in CASES for op in HANDLERS if f"{op[1]}(" in case.body or f"{op[1]} <" in case.body}
    windowed = {("", "Conv"), ("", "MaxPool"), ("", "AveragePool")}  # test_windows has their grid
    assert {op for op in HANDLERS if op[0] == ""} - used - windowed == set()


@pytest.mark.parametrize(
    ("body", "constants", "words"),
    [
        ("y = Asin(x)", {}, "no operator Asin"),
        (
            "y = Conv <pads = [6, 0, 0, 0], strides = [9, 1]> (x, w)",
            {"w": real(4, 6, 3, 3)},
            "reads the image",
        ),
        ("y = Cast <to: int = 7> (x)", {}, "float32 only"),
        ("g = Less(x, c)\n y = Flatten(g)", {"c": SCALAR}, "result of a comparison"),
        ("y = Where(b, x, c)", {"b": np.ones((5, 4), np.bool_), "c": SCALAR}, "not a comparison"),
        ("y = ConvTranspose(x, w)", {"w": real(6, 4, 3, 3)}, "no operator ConvTranspose"),
        ("y = Elu <alpha: float = 0.5> (x)", {}, "alpha"),
        ("y = MaxPool <kernel_shape: ints = [2, 2], dilations: ints = [2, 2]> (x)", {}, "dilated"),
        ("r = Relu(x)\n g = GlobalAveragePool(r)\n y = PRelu(x, g)", {}, "slope is computed"),
        ('y = Pad <mode = "edge"> (x, p)', {"p": whole(0, 0, 1, 1, 0, 0, 1, 1)}, "mode is edge"),
        ("y = Slice(x, a, b, c, d)", dict(zip("abcd", map(whole, (3, 0, 2, -1)), strict=True)), "reverses"),
    ],
)
def test_what_larq_lacks_is_refused_by_name(
    body: str, constants: dict[str, npt.NDArray[np.generic]], words: str
) -> None:
    graph = make_graph(body, {"x": PICTURE}, constants=constants)
    with pytest.raises(NotDeployableError, match=words) as caught:
        emit(graph)
    assert caught.value.where is not None
    assert caught.value.where.startswith("node ")


def test_inputs_that_are_not_float32_are_refused() -> None:
    graph = make_graph("y = Relu(x)", {"x": ROWS})
    graph.model.graph.inputs[0].dtype = ir.DataType.INT64
    with pytest.raises(NotDeployableError, match="float32"):
        emit(graph)
