"""Networks whose work is known: chains of like binary convolutions; one layer more is so many per cent more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bibench_deploy.conversion import convert
from bibench_deploy.files import write_atomically
from bibench_deploy.runners.workspace import Artefact, read_artefact

CHANNELS, SIZE, LAYERS = 64, 16, 20


def chain(layers: int, seed: int) -> onnx.ModelProto:
    """``layers`` times sign and 3×3 convolution of ±1, padded with −1 so that the function is every engine's."""
    random = np.random.default_rng(seed)
    shape = [1, CHANNELS, SIZE, SIZE]
    zero, one, minus = (
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in (("zero", 0), ("one", 1), ("minus", -1))
    )
    pads = numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "pads")
    nodes, constants = [], [zero, one, minus, pads]
    value = "x"
    for number in range(layers):
        weight = f"w{number}"
        signs = np.where(random.random((CHANNELS, CHANNELS, 3, 3)) < 0.5, -1, 1).astype(np.float32)
        constants.append(numpy_helper.from_array(signs, weight))
        step, sign, padded, out = (f"{kind}{number}" for kind in ("step", "sign", "padded", "conv"))
        nodes += [
            helper.make_node("GreaterOrEqual", [value, "zero"], [step], name=step),
            helper.make_node("Where", [step, "one", "minus"], [sign], name=sign),
            helper.make_node("Pad", [sign, "pads", "minus"], [padded], name=padded),
            helper.make_node("Conv", [padded, weight], [out], name=out, kernel_shape=[3, 3]),
        ]
        value = out
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["y"], name="pool"))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CHANNELS, 1, 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model


def artefact(folder: Path, layers: int, seed: int) -> Artefact:
    """A chain as an artefact of the native engine, converted and verified as any model is.

    Raises:
        RuntimeError: it was refused.
    """
    source = folder / f"chain{layers}-{seed}.onnx"
    write_atomically(source, chain(layers, seed).SerializeToString())
    made = convert(source, folder, ["native"], twin=False)
    if not made.artefacts:
        raise RuntimeError(f"{source.name} was refused: {made.refused}")
    return read_artefact(made.artefacts[0].path)
