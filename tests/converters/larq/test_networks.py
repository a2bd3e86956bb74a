"""Whole networks: audit, probe, forms, rotation, random graphs, and LCE's converter failing."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bibench_deploy.converters import larq
from bibench_deploy.converters.engine import load_engine
from bibench_deploy.converters.larq import lce
from bibench_deploy.converters.larq.audit import audit
from bibench_deploy.converters.larq.emitter import emit, lower
from bibench_deploy.converters.larq.flatbuffer import Operator, parse
from bibench_deploy.converters.larq.geometry import should_rotate
from bibench_deploy.converters.larq.graphdef import GraphBuilder
from bibench_deploy.errors import ConversionError, MissingExtraError
from bibench_deploy.graph import BinaryGraph
from support.binary_graphs import binary_layer, executed, expected, make_graph, run

Array = npt.NDArray[np.generic]


def residual_network(seed: int = 0, size: int = 16, stride: int = 2) -> tuple[BinaryGraph, tuple[int, ...]]:
    """A small ResNet: float stem, pool, two binary blocks (one strided), global pool, linear."""
    rng = np.random.default_rng(seed)
    constants: dict[str, Array] = {
        "stem": rng.normal(size=(8, 3, 7, 7)).astype(np.float32) / 12,
        "fc": rng.normal(size=(10, 16)).astype(np.float32),
    }
    body = (
        "c = Conv <strides = [2, 2], pads = [3, 3, 3, 3]> (x, stem)\n"
        "p = MaxPool <kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1]> (c)\n"
    )
    for x, y, weight, s, k in [
        ("p", "a", (16, 8, 3, 3), stride, 3),
        ("p", "d", (16, 8, 1, 1), stride, 1),
        ("r", "b", (16, 16, 3, 3), 1, 3),
    ]:
        text, more = binary_layer(
            rng,
            x,
            y,
            weight,
            pads=(k // 2,) * 4,
            strides=(s, s),
            threshold=rng.normal(size=(weight[1], 1, 1)) / 4,
            multiplier=rng.normal(size=(weight[0], 1, 1)) / 8,
            bias=rng.normal(size=(weight[0], 1, 1)),
        )
        body, constants = body + text, {**constants, **more}
        body += "r = Add(a, d)\n" if y == "d" else ""
    body += "q = Add(b, r)\n g = GlobalAveragePool(q)\n f = Flatten(g)\n y = Gemm <transB = 1> (f, fc)"
    shape = (1, 3, size, size)
    return make_graph(body, {"x": shape}, constants=constants), shape


def pictures(shape: tuple[int, ...]) -> dict[str, npt.NDArray[np.float32]]:
    """One random picture."""
    return {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}


@pytest.mark.larq
class TestAResidualNetwork:
    def test_it_computes_what_onnxruntime_computes_either_way(self) -> None:
        graph, shape = residual_network()
        for rotated in (False, True):
            found = run(emit(graph, rotated), pictures(shape))["y"]
            np.testing.assert_allclose(found, expected(graph, pictures(shape))[0], rtol=1e-4, atol=1e-5)

    def test_it_is_rotated_so_that_nothing_but_the_layers_is_executed(self) -> None:
        graph, _ = residual_network()
        assert should_rotate(graph)
        emitted = larq.emit(graph)
        kinds = Counter(op.kind for op in parse(emitted.data).operators)
        assert kinds["LceBconv2d"] == emitted.binary_ops == 3
        assert kinds["REVERSE_V2"] == 1  # the picture
        assert kinds["PAD"] + kinds["PADV2"] + kinds["MUL"] == 0
        assert kinds["STRIDED_SLICE"] == 1  # the strided 1x1
        assert emitted.forms == {"a": "same", "d": "valid", "b": "same"}

    def test_without_strides_it_stays_upright(self) -> None:
        rng = np.random.default_rng(2)
        text, constants = binary_layer(rng, "x", "y", (4, 4, 3, 3), pads=(1,) * 4)
        assert not should_rotate(make_graph(text, {"x": (1, 4, 8, 8)}, constants=constants))

    @pytest.mark.parametrize("rotated", [False, True])
    def test_every_point_of_the_probe_holds_the_graphs_value(self, rotated: bool) -> None:
        graph, shape = residual_network()
        emitted = emit(graph, rotated)
        assert emitted.probe is not None
        found = executed(emitted.probe.data, emitted.inputs, emitted.probe.points, pictures(shape))
        assert {"c", "p", "a", "d", "r", "b", "q", "y"} <= set(found)
        values = dict(zip(found, expected(graph, pictures(shape), list(found)), strict=True))
        for name, array in found.items():
            np.testing.assert_allclose(array, values[name], rtol=1e-4, atol=1e-4, err_msg=name)

    def test_the_probe_is_the_artefact_with_more_outputs(self) -> None:
        graph, shape = residual_network()
        emitted = emit(graph)
        assert emitted.probe is not None
        assert parse(emitted.probe.data).operators == parse(emitted.data).operators
        found = executed(emitted.probe.data, emitted.inputs, emitted.probe.points, pictures(shape))
        np.testing.assert_array_equal(found["y"], run(emitted, pictures(shape))["y"])

    def test_inputs_and_outputs_are_upright_nhwc_pictures(self) -> None:
        graph, shape = residual_network()
        emitted = emit(graph, rotated=True)
        (view,) = emitted.inputs
        assert (view.name, view.shape, view.artefact_shape, view.flip) == ("x", shape, (1, 16, 16, 3), ())
        x = pictures(shape)["x"]
        np.testing.assert_array_equal(view.as_artefact(x), x.transpose(0, 2, 3, 1))


@pytest.mark.larq
def test_several_inputs_and_outputs_keep_their_names() -> None:
    graph = make_graph(
        "s = Add(left, right)\n t = Sub(left, right)\n u = Relu(s)",
        {"right": (1, 2, 3, 4), "left": (1, 2, 3, 4)},
        ("u", "t", "s"),
    )
    rng = np.random.default_rng(3)
    feeds = {name: rng.normal(size=(1, 2, 3, 4)).astype(np.float32) for name in ("left", "right")}
    found = run(emit(graph), feeds)
    assert list(found) == ["u", "t", "s"]
    for name, want in zip(found, expected(graph, feeds), strict=True):
        np.testing.assert_array_equal(found[name], want)


@pytest.mark.larq
@pytest.mark.parametrize(
    ("body", "shapes", "outputs"),
    [
        ("y = Relu(x)", {"x": (1, 6), "unused": (1, 3)}, ("y",)),
        ("y = Flatten(x)", {"x": (1, 6)}, ("y",)),
        ("y = Relu(x)\n z = Relu(x)", {"x": (1, 2, 3, 4)}, ("y", "z")),
    ],
    ids=["an input that nothing uses", "an output that is an input", "two outputs that are one tensor"],
)
def test_inputs_and_outputs_that_lces_converter_could_merge_or_drop(
    body: str, shapes: dict[str, tuple[int, ...]], outputs: tuple[str, ...]
) -> None:
    graph = make_graph(body, shapes, outputs)
    rng = np.random.default_rng(6)
    feeds = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    emitted = emit(graph)
    assert [view.name for view in emitted.inputs] == list(shapes)
    found = run(emitted, feeds)
    for name, want in zip(outputs, expected(graph, feeds), strict=True):
        np.testing.assert_array_equal(found[name], want)


@pytest.mark.larq
class TestTheAudit:
    def artefact(self, zero: bool) -> tuple[bytes, dict[str, list[str]]]:
        """One binary convolution; with one weight 0 LCE's converter falls back to float without a word."""
        builder = GraphBuilder()
        x = builder.placeholder("x", (1, 6, 6, 8))
        weight = np.random.default_rng(4).choice([-1.0, 1.0], (3, 3, 8, 8)).astype(np.float32)
        weight[0, 0, 0, 0] *= not zero
        y = builder.conv(builder.step(x, "s"), weight, (1, 1), (1, 1), "SAME", "layer/dot")
        return lce.convert(builder.serialized(), [(x, (1, 6, 6, 8))], [y]), {"my.layer": [y]}

    def test_it_counts_the_binary_operators_of_the_artefact(self) -> None:
        data, layers = self.artefact(zero=False)
        assert audit(parse(data), layers) == 1

    def test_a_layer_that_stayed_float_is_named(self) -> None:
        data, layers = self.artefact(zero=True)
        with pytest.raises(ConversionError, match=r"0 binary operators .* need 1; float in it: my\.layer"):
            audit(parse(data), layers, "model.onnx")

    def test_an_operator_that_no_interpreter_has_is_named(self) -> None:
        data, layers = self.artefact(zero=False)
        artefact = parse(data)
        strange = Operator("Digamma", True, (0,), (1,), ("y",))
        with pytest.raises(ConversionError, match="lacks: Digamma"):
            audit(dataclasses.replace(artefact, operators=(*artefact.operators, strange)), layers)


@pytest.mark.larq
class TestLcesConverter:
    def test_a_graph_that_it_refuses_is_an_error_that_names_the_file(self) -> None:
        builder = GraphBuilder()
        builder.placeholder("x", (1, 4))
        with pytest.raises(ConversionError, match="LCE's converter failed") as caught:
            lce.convert(builder.serialized(), [("x", (1, 4))], ["nowhere"], where="model.onnx")
        assert caught.value.where == "model.onnx"

    def test_a_crash_of_it_is_an_error_and_not_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        killer = ["sh", "-c", "kill -ABRT $$"]
        monkeypatch.setattr(lce, "_command", lambda *_: killer)
        with pytest.raises(ConversionError, match="was killed by signal 6"):
            lce.convert(b"", [("x", (1,))], ["y"])

    def test_a_hang_of_it_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lce, "_command", lambda *_: ["sleep", "60"])
        monkeypatch.setattr(lce, "TIMEOUT_S", 0.1)
        with pytest.raises(ConversionError, match="no result within"):
            lce.convert(b"", [("x", (1,))], ["y"])

    @pytest.mark.parametrize(
        ("chatter", "told"),
        [
            ("loc(\"a\"): error: 'tfl.x' op is bad\nnote: see\n", "'tfl.x' op is bad"),
            ("one\ntwo\n", "two"),
            ("", "it printed nothing"),
            ("error: a\nerror: a\nerror: b\n", "a; b"),
        ],
    )
    def test_its_diagnostics_are_what_it_calls_errors(self, chatter: str, told: str) -> None:
        assert lce.diagnostics(chatter) == told


class TestVersions:
    @pytest.mark.larq
    def test_they_are_those_that_are_installed(self) -> None:
        assert larq.versions()["larq-compute-engine"] == lce.VERSION

    @pytest.mark.parametrize(
        ("installed", "words"),
        [
            ({"larq-compute-engine": None}, "'larq-compute-engine' is not installed"),
            ({"larq-compute-engine": "0.15.0"}, "0.16.0, not 0.15.0"),
            ({"tensorboard": None}, "'tensorboard' is not installed"),
            ({"numpy": "2.1.0"}, "numpy below 2, not 2.1.0"),
        ],
    )
    def test_a_missing_or_foreign_part_is_named(
        self, installed: dict[str, str | None], words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good = {"larq-compute-engine": "0.16.0", "numpy": "1.26.4"} | installed

        def version(name: str) -> str:
            found = good.get(name, "1.0")
            if found is None:
                raise lce.metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(lce.metadata, "version", version)
        with pytest.raises(MissingExtraError, match=words):
            larq.versions()

    def test_the_entry_point_is_an_engine(self) -> None:
        engine = load_engine("larq")
        assert engine.name == "larq"


@st.composite
def networks(draw: st.DrawFn) -> tuple[BinaryGraph, tuple[int, ...], bool]:
    """A random chain of layers on a random picture, with or without rotation."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.integers(1, 5))
    size = (draw(st.integers(4, 9)), draw(st.integers(4, 9)))
    shape = (1, channels, *size)
    body, x = "", "x"
    constants: dict[str, Array] = {}
    for i in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["binary", "binary", "float", "pool", "mean", "act", "add", "prelu"]))
        y = f"h{i}"
        k, s = draw(st.sampled_from([1, 3])), draw(st.integers(1, 2))
        p = draw(st.integers(0, 2))
        if kind == "binary":
            outputs = draw(st.integers(1, 5))
            text, more = binary_layer(
                rng,
                x,
                y,
                (outputs, channels, k, k),
                pads=tuple(draw(st.tuples(*[st.integers(1, 2)] * 4))),
                pad_value=draw(st.sampled_from([0.0, 1.0, -1.0, 0.25])),
                strides=(s, draw(st.integers(1, 2))),
                threshold=rng.integers(-2, 3, (channels, 1, 1)) + 0.5,
                direction=rng.choice([-1.0, 1.0], (channels, 1, 1)),
                multiplier=rng.choice([-0.5, 0.5, 1.0, 2.0], (outputs, 1, 1)),
                bias=rng.integers(-2, 3, (outputs, 1, 1)),
            )
            channels = outputs
            constants |= more
        elif kind == "float":
            constants[f"{y}w"] = rng.integers(-2, 3, (3, channels, k, k)).astype(np.float32)
            text = f"{y} = Conv <strides = [{s}, {s}], pads = [{p}, {p}, 1, 1]> ({x}, {y}w)\n"
            channels = 3
        elif kind == "pool":
            text = f"{y} = MaxPool <kernel_shape = [2, 2], strides = [{s}, {s}], pads = [1, 0, 0, 1]> ({x})\n"
        elif kind == "mean":
            window = "kernel_shape = [2, 2], pads = [0, 1, 1, 0], count_include_pad = 1"
            text = f"{y} = AveragePool <{window}> ({x})\n"
        elif kind == "add":
            text = f"{y}r = Relu({x})\n {y} = Add({y}r, {x})\n"
        elif kind == "prelu":
            constants[f"{y}a"] = rng.choice([0.25, 0.5], (channels, 1, 1)).astype(np.float32)
            text = f"{y} = PRelu({x}, {y}a)\n"
        else:
            text = f"{y} = Relu({x})\n"
        body, x = body + text, y
    tail = draw(st.sampled_from(["Flatten", "Relu", "GlobalAveragePool"]))
    return (
        make_graph(f"{body} y = {tail}({x})", {"x": shape}, constants=constants),
        shape,
        draw(st.booleans()),
    )


@pytest.mark.larq
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_random_networks_are_exact(
    case: tuple[BinaryGraph, tuple[int, ...], bool],
) -> None:
    """Every number is a small multiple of a power of two, so that no order of summation rounds."""
    graph, shape, rotated = case
    feeds = {"x": np.random.default_rng(5).integers(-4, 5, shape).astype(np.float32)}
    emitted = emit(graph, rotated)
    wanted = expected(graph, feeds)[0]
    found = run(emitted, feeds)["y"]
    if "GlobalAveragePool" in {node.op_type for node in graph.model.graph}:
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, wanted)


def test_lowering_alone_needs_no_lce(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, _ = residual_network()
    monkeypatch.setattr(lce, "convert", None)
    assert set(lower(graph).binary) == {"a", "b", "d"}
