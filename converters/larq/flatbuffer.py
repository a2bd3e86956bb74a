"""What is read from a .tflite file: its operators with the names of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LCE_CONV = "LceBconv2d"
LCE_QUANTIZE = "LceQuantize"
#: Operators of LCE; any other custom operator is one that no device can execute.
LCE_OPERATORS = (LCE_CONV, LCE_QUANTIZE, "LceDequantize", "LceBMaxPool2d")
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Operator:
    """One operator of the main subgraph.

    Attributes:
        kind: TFLite's name (CONV_2D) or the name of a custom operator (LceBconv2d).
        custom: whether it is a custom one.
        inputs, outputs: indices of tensors, −1 for an absent one.
        names: of the output tensors.
    """

    kind: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Tensor:
    """One tensor of the main subgraph.

    Attributes:
        name: as in the file: names of the GraphDef nodes that were fused, joined by ``;``, result first.
        shape: its static shape.
        is_float: whether it is float32.
        is_constant: whether the file holds its data.
    """

    name: str
    shape: tuple[int, ...]
    is_float: bool
    is_constant: bool

    @property
    def node(self) -> str:
        """The GraphDef node whose output the tensor is."""
        return self.name.split(";")[0]


@dataclass(frozen=True)
class Artefact:
    """A .tflite file, its main subgraph."""

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def parse(data: bytes) -> Artefact:
    """The main subgraph of a .tflite file."""
    import tflite

    model = tflite.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    tensors = []
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        shape = tuple(tensor.Shape(j) for j in range(tensor.ShapeLength()))
        constant = model.Buffers(tensor.Buffer()).DataLength() > 0
        tensors.append(
            Tensor(tensor.Name().decode(), shape, tensor.Type() == tflite.TensorType.FLOAT32, constant)
        )
    operators = []
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        code = model.OperatorCodes(op.OpcodeIndex())
        custom = code.CustomCode()
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = custom.decode() if custom else tflite.opcode2name(number)
        inputs = tuple(op.Inputs(j) for j in range(op.InputsLength()))
        outputs = tuple(op.Outputs(j) for j in range(op.OutputsLength()))
        names = tuple(tensors[j].name for j in outputs)
        operators.append(Operator(kind, bool(custom), inputs, outputs, names))
    return Artefact(
        tuple(operators),
        tuple(tensors),
        tuple(graph.Inputs(i) for i in range(graph.InputsLength())),
        tuple(graph.Outputs(i) for i in range(graph.OutputsLength())),
    )


@dataclass(frozen=True)
class Signature:
    """Names of a SavedModel's inputs and outputs: index of a tensor → name."""

    inputs: Mapping[int, str]
    outputs: Mapping[int, str]


def signature(data: bytes) -> Signature:
    """The first signature of a .tflite file that was made from a SavedModel."""
    import tflite

    found = tflite.Model.GetRootAs(data, 0).SignatureDefs(0)
    inputs = [found.Inputs(i) for i in range(found.InputsLength())]
    outputs = [found.Outputs(i) for i in range(found.OutputsLength())]
    return Signature(
        {entry.TensorIndex(): entry.Name().decode() for entry in inputs},
        {entry.TensorIndex(): entry.Name().decode() for entry in outputs},
    )


def weights(data: bytes, tensor: int) -> npt.NDArray[np.float32]:
    """The constant of a float32 tensor."""
    import tflite

    model = tflite.Model.GetRootAs(data, 0)
    found = model.Subgraphs(0).Tensors(tensor)
    shape = [found.Shape(i) for i in range(found.ShapeLength())]
    raw = model.Buffers(found.Buffer()).DataAsNumpy()
    return np.frombuffer(raw.tobytes(), np.float32).reshape(shape)
