"""Small binary graphs for the tests of the Larq engine, written in ONNX's text form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import compose, helper, numpy_helper, parser

from bibench_deploy.converters.engine import Emitted, TensorView
from bibench_deploy.converters.larq import lce
from bibench_deploy.graph import BinaryGraph, Source, add_domain

Arrays = Mapping[str, npt.NDArray[np.generic]]


def make_graph(
    body: str,
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str] = ("y",),
    constants: Arrays | None = None,
    opset: int = 20,
) -> BinaryGraph:
    """A binary graph from the text of its nodes.

    Args:
        body: nodes in ONNX's text form, such as ``y = Relu(x)``, one a line.
        inputs: name → shape, float32.
        outputs: names.
        constants: initializers.
        opset: version of the standard operators.
    """
    signature = ", ".join(f"float[{','.join(map(str, shape))}] {name}" for name, shape in inputs.items())
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": {opset}, "bibench": 1]>\n'
        f"g ({signature}) => ({', '.join(outputs)}) {{ {body} }}"
    )
    for name, array in (constants or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    reference = ir.from_proto(model)
    add_domain(reference)
    full = ir.to_proto(reference)
    for name, array in every_value(full).items():
        kind, shape = helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        if name in outputs:
            value = next(value for value in full.graph.output if value.name == name)
            value.CopyFrom(helper.make_tensor_value_info(name, kind, shape))
        elif name not in inputs:
            full.graph.value_info.append(helper.make_tensor_value_info(name, kind, shape))
    source = Source(Path("test.onnx"), "0" * 64, full)
    return BinaryGraph(ir.from_proto(full), source, ())


def merged(graphs: Mapping[str, BinaryGraph], x: str = "x", y: str = "y") -> BinaryGraph:
    """Several graphs of one input and one output as one graph, to convert many cases at once.

    Args:
        graphs: name → graph; its output becomes ``<name>_<y>``.
        x, y: names of the input, which all share, and of the output.
    """
    model = onnx.ModelProto()
    for name, graph in graphs.items():
        part = compose.add_prefix(graph.source.proto, f"{name}_", rename_functions=False)
        for node in part.graph.node:
            node.input[:] = [x if i == f"{name}_{x}" else i for i in node.input]
        if not model.graph.node:
            model.CopyFrom(part)
            model.graph.input[0].name = x
            continue
        model.graph.node.extend(part.graph.node)
        model.graph.initializer.extend(part.graph.initializer)
        model.graph.value_info.extend(part.graph.value_info)
        model.graph.output.extend(part.graph.output)
    return BinaryGraph(ir.from_proto(model), Source(Path("test.onnx"), "0" * 64, model), ())


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """onnxruntime, which executes the nodes as they stand."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def every_value(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.generic]]:
    """Every value that a node computes from zeros: for its shape and type, by executing the model once."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = [name for node in model.graph.node for name in node.output if name]
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = session_of(probe)
    feeds = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()}
    return dict(zip(names, session.run(names, feeds), strict=True))


def binary_layer(
    rng: np.random.Generator,
    x: str,
    y: str,
    weight: Sequence[int],
    pads: Sequence[int] = (),
    pad_value: float = 0.0,
    strides: Sequence[int] = (),
    dilations: Sequence[int] = (),
    group: int = 1,
    threshold: npt.NDArray[np.generic] | float = 0.0,
    direction: npt.NDArray[np.generic] | float = 1.0,
    multiplier: npt.NDArray[np.generic] | float = 1.0,
    bias: npt.NDArray[np.generic] | float = 0.0,
) -> tuple[str, dict[str, npt.NDArray[np.generic]]]:
    """Text and constants of a Binarize and a BinaryConv or BinaryLinear (by the rank of the weight)."""
    spatial = len(weight) - 2
    per_channel = (weight[0],) + (1,) * spatial

    def factor(value: npt.NDArray[np.generic] | float) -> npt.NDArray[np.float32]:
        array = np.asarray(value, np.float32)
        return array if array.ndim > spatial else np.broadcast_to(array, per_channel).copy()

    constants = {
        f"{y}_t": np.asarray(threshold, np.float32),
        f"{y}_d": np.asarray(direction, np.float32),
        f"{y}_w": rng.choice(np.array([-1, 1], np.int8), size=tuple(weight)),
        f"{y}_m": factor(multiplier)
        if spatial
        else np.broadcast_to(np.float32(multiplier), weight[:1]).copy(),
        f"{y}_b": factor(bias) if spatial else np.broadcast_to(np.float32(bias), weight[:1]).copy(),
    }
    common = f'layer: string = "{y}", scale: string = "channel", sources: strings = ["{y}"]'
    step = f"{y}_s = bibench.Binarize <at_threshold: float = 1.0, mean_shift: int = 0> ({x}, {y}_t, {y}_d)\n"
    arguments = f"({y}_s, {y}_w, {y}_m, {y}_b)"
    if not spatial:
        return step + f"{y} = bibench.BinaryLinear <{common}> {arguments}\n", constants
    half = list(pads) or [0] * (2 * spatial)
    flat = [0, 0, *half[:spatial], 0, 0, *half[spatial:]]
    return (
        step
        + f"{y} = bibench.BinaryConv <pads: ints = {flat}, pad_value: float = {float(pad_value)}, "
        + f"strides: ints = {list(strides) or [1] * spatial}, "
        + f"dilations: ints = {list(dilations) or [1] * spatial}, group: int = {group}, {common}> "
        + f"{arguments}\n",
        constants,
    )


def expected(
    graph: BinaryGraph, feeds: Arrays, names: Sequence[str] | None = None
) -> list[npt.NDArray[np.float32]]:
    """What onnxruntime computes, for the outputs or for any values."""
    proto = graph.proto()
    if names is not None:
        del proto.graph.output[:]
        proto.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = session_of(proto)
    result: list[npt.NDArray[np.float32]] = session.run(None, dict(feeds))
    return result


def executed(
    data: bytes,
    inputs: Sequence[TensorView],
    outputs: Mapping[int, TensorView],
    feeds: Arrays,
    indirect: bool = True,
) -> dict[str, npt.NDArray[np.generic]]:
    """What LCE's interpreter computes, seen as the model's tensors."""
    interpreter = lce.interpreter(data, 1, False, indirect, False)
    results = interpreter.predict([view.as_artefact(feeds[view.name]) for view in inputs])
    return {view.name: view.as_model(results[index]) for index, view in outputs.items()}


def run(emitted: Emitted, feeds: Arrays) -> dict[str, npt.NDArray[np.generic]]:
    """Execute an artefact."""
    return executed(emitted.data, emitted.inputs, dict(enumerate(emitted.outputs)), feeds)
