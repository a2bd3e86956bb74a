"""Fusion keeps the function and absorbs all that it can: random layers and what stands behind them."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.graph import BinaryGraph
from support.onnx_models import execute, float_values, make_model, save

Floats = npt.NDArray[np.float32]

SIGN = "above = GreaterOrEqual (x, zero) s = Where (above, one, minus)"
#: Relative rounding of one float32 operation, of a sum of about a hundred terms in any order.
ROUNDING = 2e-6


@dataclass
class Net:
    """A weighted layer on x, a chain of operators behind it, and perhaps a second reader in between.

    Attributes:
        layer: the operator, its weights binary or not.
        channels, spatial: of the layer's output (N, C, *spatial), or (N, *spatial, C) if linear.
        chain: (operator, whether the layer absorbs it).
        gains: of the chain's operators: by how much each may enlarge an error.
        read_twice: position in the chain whose value is read by someone else too; None where none is.
    """

    binary: bool
    layer: str
    batch: int
    channels: int
    spatial: tuple[int, ...]
    x_shape: tuple[int, ...]
    body: list[str] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    chain: list[tuple[str, bool]] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    read_twice: int | None = None
    outputs: list[str] = field(default_factory=lambda: ["y"])

    @property
    def linear(self) -> bool:
        return self.layer in ("Gemm", "MatMul")

    @property
    def shape(self) -> tuple[int, ...]:
        """One sample of the output."""
        return (*self.spatial, self.channels) if self.linear else (self.channels, *self.spatial)

    @property
    def absorbed(self) -> int:
        """How many operators of the chain join the layer."""
        stop = len(self.chain) if self.read_twice is None else self.read_twice
        return next((i for i, (_, joins) in enumerate(self.chain) if not joins or i == stop), stop)

    def model(self) -> onnx.ModelProto:
        inputs = f"float[{', '.join(map(str, self.x_shape))}] x"
        return make_model(" ".join(self.body), self.constants, inputs=inputs, outputs=self.outputs, opset=20)

    def input(self, seed: int) -> Floats:
        return np.random.default_rng(seed).standard_normal(self.x_shape).astype(np.float32)


@st.composite
def nets(draw: st.DrawFn) -> Net:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    net = draw_layer(draw, rng)
    value = "v0"
    length = draw(st.integers(0, 5))
    net.read_twice = draw(st.none() | st.integers(0, length))
    for index in range(1, length + 1):
        result = f"v{index}"
        net.body.append(draw_operator(draw, rng, net, value, result))
        value = result
    if net.read_twice is None:
        net.body[-1] = net.body[-1].replace(f"{value} =", "y =", 1)
        return net
    kept = f"v{net.read_twice}"
    if draw(st.booleans()):
        net.outputs.append(kept)
        net.body.append(f"y = Abs ({value})")
    else:
        net.body.append(f"branch = Sigmoid ({kept}) y = Add ({value}, branch)")
    return net


def draw_layer(draw: st.DrawFn, rng: np.random.Generator) -> Net:
    binary, kind = draw(st.booleans()), draw(st.sampled_from(["Conv1", "Conv2", "Gemm", "MatMul", "MatMul3"]))
    batch = draw(st.sampled_from([1, 1, 3]))
    layer = kind.rstrip("123")
    bias: Any = None
    if layer == "Conv":
        rank = int(kind[-1])
        group = draw(st.sampled_from([1, 1, 2]))
        channels, inner = group * draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([2, 3]))
        sizes = [draw(st.integers(5, 7)) for _ in range(rank)]
        kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
        strides, dilations = ([draw(st.sampled_from([1, 1, 2])) for _ in range(rank)] for _ in range(2))
        pads = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
        spatial = tuple(
            (size + pads[i] + pads[i + rank] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
            for i, size in enumerate(sizes)
        )
        weight_shape: tuple[int, ...] = (channels, inner, *kernel)
        x_shape: tuple[int, ...] = (batch, group * inner, *sizes)
        attributes = f"<group = {group}, strides = {strides}, dilations = {dilations}, pads = {pads}>"
        if draw(st.booleans()):
            bias = rng.uniform(-2, 2, channels)
    else:
        channels, inner = draw(st.sampled_from([2, 3, 5])), 6
        spatial = (draw(st.sampled_from([2, 3, 4])),) if kind == "MatMul3" else ()
        x_shape = (batch, *spatial, inner)
        transposed = layer == "Gemm" and draw(st.booleans())
        weight_shape = (channels, inner)
        attributes = f"<transB = {int(transposed)}>" if layer == "Gemm" else ""
        if layer == "Gemm" and draw(st.booleans()):
            bias = rng.uniform(-2, 2, draw(st.sampled_from([(channels,), (1, channels), (1,), ()])))
    per_channel = rng.uniform(0.3, 2, (channels,) + (1,) * (len(weight_shape) - 1))
    signs = rng.choice([-1.0, 1.0], weight_shape)
    weight = (signs * per_channel if binary else rng.standard_normal(weight_shape)).astype(np.float32)
    weight = weight if layer == "Conv" or (layer == "Gemm" and transposed) else np.ascontiguousarray(weight.T)
    net = Net(binary, layer, batch, channels, spatial, x_shape)
    net.constants |= {"w": weight, "zero": np.float32(0), "one": np.float32(1), "minus": np.float32(-1)}
    if bias is not None:
        net.constants["b"] = np.asarray(bias, np.float32)
    arguments = ("s" if binary else "x") + ", w" + (", b" if bias is not None else "")
    net.body += [SIGN] if binary else []
    net.body.append(f"v0 = {layer} {attributes} ({arguments})")
    return net


def draw_operator(draw: st.DrawFn, rng: np.random.Generator, net: Net, value: str, result: str) -> str:
    """One operator of the chain; notes in the net whether the layer can absorb it."""
    op = draw(st.sampled_from(["Mul", "Div", "Add", "Sub", "Neg", "BatchNormalization", "from the left"]))
    layer_takes = not (net.layer == "MatMul" and not net.binary and net.spatial)
    if op == "Neg":
        net.chain.append((op, layer_takes))
        net.gains.append(1.0)
        return f"{result} = Neg ({value})"
    if op == "BatchNormalization":
        return draw_batch_norm(draw, rng, net, value, result)
    shape, varies = draw_shape(draw, net)
    magnitudes = rng.uniform(0.3, 3, shape)
    constant = (magnitudes * rng.choice([-1.0, 1.0], shape)).astype(np.float32)
    name = f"c_{result}"
    net.constants[name] = constant
    free = {"scalar", "channel"} | ({"location", "everything"} if net.binary and not net.linear else set())
    joins = varies in free and layer_takes
    left = draw(st.booleans())
    if op == "from the left":  # c / v: no affine function; v is kept away from 0
        net.chain.append((op, False))
        net.gains.append(3.0)
        guard = f"{result}_abs = Abs ({value}) {result}_g = Add ({result}_abs, one)"
        return f"{guard} {result} = Div ({name}, {result}_g)"
    net.chain.append((op, joins))
    net.gains.append({"Mul": 3.0, "Div": 1 / 0.3}.get(op, 1.0))
    swapped = left and op != "Div"
    return f"{result} = {op} ({name}, {value})" if swapped else f"{result} = {op} ({value}, {name})"


def draw_shape(draw: st.DrawFn, net: Net) -> tuple[tuple[int, ...], str]:
    """A constant's shape, and over what it varies."""
    sample = net.shape
    channel = len(sample) - 1 if net.linear else 0
    axes = draw(
        st.sampled_from(
            [
                (),
                (),
                (channel,),
                (channel,),
                tuple(range(len(sample))),
                *((axis,) for axis in range(len(sample))),
            ]
        )
    )
    shape = tuple(size if axis in axes else 1 for axis, size in enumerate(sample))
    really = {axis for axis in axes if sample[axis] > 1}
    varies = "scalar" if not really else "channel" if really == {channel} else "location"
    if net.batch > 1 and draw(st.integers(0, 7)) == 0:
        return (net.batch, *shape), "sample"
    if draw(st.booleans()):
        return (1, *shape), varies
    while len(shape) > 0 and shape[0] == 1 and draw(st.booleans()):
        shape = shape[1:]
    return shape, varies


def draw_batch_norm(draw: st.DrawFn, rng: np.random.Generator, net: Net, value: str, result: str) -> str:
    """With factors that are negative, tiny or zero. Its channels are axis 1, whatever the layer's are."""
    axis = (net.batch, *net.shape)[1]
    gamma = rng.uniform(0.3, 2, axis) * rng.choice([-1.0, 1.0, 1e-6, -1e-6, 0.0], axis)
    arrays = {
        "gamma": gamma,
        "beta": rng.uniform(-1, 1, axis),
        "mean": rng.uniform(-3, 3, axis),
        "variance": rng.uniform(0.5, 9, axis),
    }
    names = []
    for label, array in arrays.items():
        names.append(f"{label}_{result}")
        net.constants[names[-1]] = array.astype(np.float32)
    on_channels = not net.linear or not net.spatial
    layer_takes = net.binary or not net.spatial or not net.linear
    net.chain.append(("BatchNormalization", on_channels and layer_takes))
    net.gains.append(float(np.abs(gamma).max() / math.sqrt(0.5)))
    epsilon = draw(st.sampled_from(["", " <epsilon = 0.001>"]))
    return f"{result} = BatchNormalization{epsilon} ({value}, {', '.join(names)})"


def stages(net: Net) -> tuple[onnx.ModelProto, BinaryGraph, BinaryGraph]:
    """As the file has it, recognised, fused."""
    with tempfile.TemporaryDirectory() as folder:
        graph = read(save(Path(folder) / "net.onnx", net.model()))
    return graph.source.proto, graph, fuse(graph)


def allowed_error(net: Net, values: dict[str, Any]) -> float:
    """Rounding of the layer and of every operator behind it, enlarged by those that follow."""
    error = 0.0
    for index, gain in enumerate([1.0, *net.gains]):
        name = f"v{index}" if f"v{index}" in values else "y"
        error = gain * error + ROUNDING * (1 + float(np.abs(values[name]).max()) * max(gain, 1))
    return error


@given(nets(), st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_every_value_that_a_stage_still_has_holds_the_same_numbers(net: Net, seed: int) -> None:
    source, recognised, fused = stages(net)
    feeds = {"x": net.input(seed)}
    names = float_values(source)
    truth = execute(source, feeds, sorted(names))
    allowed = allowed_error(net, truth)
    for graph in (recognised, fused):
        proto = graph.proto()
        common = sorted(names & {name for node in proto.graph.node for name in node.output})
        assert set(net.outputs) <= set(common)
        for name, array in execute(proto, feeds, common).items():
            np.testing.assert_allclose(array, truth[name], rtol=0, atol=allowed, err_msg=name)


@given(nets())
@settings(max_examples=60, deadline=None)
def test_what_can_be_absorbed_is(net: Net) -> None:
    _, _, fused = stages(net)
    operators = [node.op_type for node in fused.model.graph]
    assert "BatchNormalization" not in operators
    left = [op for op, _ in net.chain[net.absorbed :]]
    more = sum({"BatchNormalization": 2, "from the left": 3}.get(op, 1) for op in left)
    tail = 0 if net.read_twice is None else 1 if len(net.outputs) == 2 else 2
    assert len(operators) == 1 + net.binary + more + tail, operators


@given(nets().filter(lambda net: net.binary))
@settings(max_examples=40, deadline=None)
def test_a_binary_layer_has_its_standard_form(net: Net) -> None:
    """Multiplier and bias are (O,) for a linear layer, (O, 1, ...) or (O, *spatial) for a convolution."""
    (layer,) = stages(net)[2].binary_layers
    forms = {(net.channels,) + (1,) * (0 if net.linear else len(net.spatial))}
    forms |= set() if net.linear else {(net.channels, *net.spatial)}
    assert {layer.multiplier.shape, layer.bias.shape} <= forms
    assert set(np.unique(layer.signs)) <= {-1, 1}


def test_the_graph_given_is_left_alone(tmp_path: Path) -> None:
    model = make_model(
        f"{SIGN} v = Conv (s, w) y = Mul (v, c)",
        {"w": np.ones((2, 4, 3, 3), "f"), "c": np.float32(2), "zero": np.float32(0)}
        | {"one": np.float32(1), "minus": np.float32(-1)},
    )
    graph = read(save(tmp_path / "m.onnx", model))
    before = graph.proto().SerializeToString(deterministic=True)
    assert [node.op_type for node in fuse(graph).model.graph] == ["Binarize", "BinaryConv"]
    assert graph.proto().SerializeToString(deterministic=True) == before


def test_a_fused_layer_knows_all_the_nodes_that_it_came_from(tmp_path: Path) -> None:
    model = make_model(
        f"{SIGN} v = Conv (s, w) u = Mul (v, c) y = Add (u, d)",
        {"w": np.ones((2, 4, 3, 3), "f"), "c": np.float32(2), "d": np.float32(1), "zero": np.float32(0)}
        | {"one": np.float32(1), "minus": np.float32(-1)},
    )
    (layer,) = fuse(read(save(tmp_path / "m.onnx", model))).binary_layers
    assert layer.sources == ("/above/GreaterOrEqual", "/s/Where", "/v/Conv", "/u/Mul", "/y/Add")


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        pytest.param(np.arange(12.0).reshape(4, 3), ["Gemm", "Mul"], id="a matrix"),
        pytest.param(np.arange(4.0).reshape(4, 1), ["Gemm", "Mul"], id="one a sample"),
        pytest.param(np.arange(3.0).reshape(1, 3), ["Gemm"], id="one a channel"),
    ],
)
def test_what_a_gemm_adds_is_a_bias_only_if_it_varies_over_channels(
    added: Any, expected: list[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    model = make_model(
        "v = Gemm (x, w, c) y = Mul (v, k)",
        {
            "w": rng.standard_normal((6, 3)).astype("f"),
            "c": added.astype("f"),
            "k": np.array([2, 3, 4], "f"),
        },
        inputs="float[4, 6] x",
    )
    graph = fuse(read(save(tmp_path / "m.onnx", model)))
    assert [node.op_type for node in graph.model.graph] == expected
    assert_same(graph)


def test_layers_that_share_their_weights_are_fused_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = make_model(
        "a = Conv (x, w) b = Mul (a, two) c = Conv (x, w) d = Mul (c, three) y = Add (b, d)",
        {"w": rng.standard_normal((2, 4, 3, 3)).astype("f"), "two": np.float32(2), "three": np.float32(3)},
    )
    graph = fuse(read(save(tmp_path / "m.onnx", model)))
    assert_same(graph)


@pytest.mark.parametrize(
    ("body", "shape", "inputs", "expected"),
    [
        pytest.param("v = Conv (x, w)", (4,), "float[1, 4, 4, 4] x", "Conv Mul", id="over the width"),
        pytest.param("v = Conv (x, w)", (4, 1), "float[1, 4, 4, 4] x", "Conv Mul", id="over the height"),
        pytest.param("v = Conv (x, w)", (4, 1, 1), "float[1, 4, 4, 4] x", "Conv", id="over channels"),
        pytest.param("v = MatMul (x, m)", (4, 1), "float[1, 4, 4] x", "MatMul Mul", id="over a sequence"),
    ],
)
def test_a_factor_over_another_axis_of_the_same_size_is_no_channel_factor(
    body: str, shape: tuple[int, ...], inputs: str, expected: str, tmp_path: Path
) -> None:
    constants = {
        "w": np.random.default_rng(0).standard_normal((4, 4, 1, 1)).astype("f"),
        "m": np.random.default_rng(0).standard_normal((4, 4)).astype("f"),
        "k": np.array([1, 2, 3, 4], "f").reshape(shape),
    }
    graph = fuse(
        read(save(tmp_path / "m.onnx", make_model(f"{body} y = Mul (v, k)", constants, inputs=inputs)))
    )
    assert [node.op_type for node in graph.model.graph] == expected.split()
    assert_same(graph)


@pytest.mark.parametrize("binary", [True, False])
def test_batch_norm_behind_a_linear_layer_over_a_sequence_is_over_the_sequence(
    binary: bool, tmp_path: Path
) -> None:
    """Its channels are axis 1, the layer's the last one; both have four."""
    layer = f"{SIGN} v = MatMul (s, w)" if binary else "v = MatMul (x, w)"
    rng = np.random.default_rng(0)
    constants = {name: np.float32(value) for name, value in (("zero", 0), ("one", 1), ("minus", -1))}
    constants |= {name: np.array([1, 2, 3, 4], "f") for name in ("g", "b", "m", "v2")}
    constants["w"] = rng.choice([-1, 1], (4, 4)).astype("f")
    body = f"{layer} y = BatchNormalization (v, g, b, m, v2)"
    graph = fuse(read(save(tmp_path / "m.onnx", make_model(body, constants, inputs="float[1, 4, 4] x"))))
    assert "BatchNormalization" not in [node.op_type for node in graph.model.graph]
    assert_same(graph)


def assert_same(graph: BinaryGraph) -> None:
    """The graph computes its source model, on one random input."""
    (x,) = graph.source.proto.graph.input
    shape = [dim.dim_value for dim in x.type.tensor_type.shape.dim]
    feeds = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    expected = execute(graph.source.proto, feeds)
    for name, array in execute(graph.proto(), feeds).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1), (3, 3), (1, 3), (3,), (1, 1)])
def test_what_a_binary_gemm_adds(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Three samples and three channels: only the shape tells them apart."""
    rng = np.random.default_rng(0)
    constants = {"zero": np.float32(0), "one": np.float32(1), "minus": np.float32(-1)}
    constants |= {"w": rng.choice([-1, 1], (6, 3)).astype("f"), "c": rng.standard_normal(shape).astype("f")}
    model = make_model(f"{SIGN} y = Gemm (s, w, c)", constants, inputs="float[3, 6] x")
    graph = fuse(read(save(tmp_path / "m.onnx", model)))
    assert len(graph.binary_layers) == (shape not in ((3, 1), (3, 3)))
    assert_same(graph)
