"""Files that no model can be read from, each with what has to be said about it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from bibench_deploy.errors import InputError, ModelFileError, UnsupportedModelError

from .onnx_models import make_model, save


@dataclass(frozen=True)
class BadModel:
    """A file and the error that it has to end with.

    Attributes:
        make: writes it into a folder and returns the path to give.
        says: a part of the message.
    """

    name: str
    make: Callable[[Path], Path]
    error: type[InputError]
    says: str


def weights(*shape: int) -> Any:
    return np.random.default_rng(4).standard_normal(shape).astype(np.float32)


def good(**changes: Any) -> onnx.ModelProto:
    """A convolution that is all right, but for the changes."""
    arguments = {"body": "y = Conv (x, w)", "constants": {"w": weights(2, 4, 3, 3)}} | changes
    return make_model(**arguments)


def with_external_data(folder: Path, **entries: Any) -> Path:
    """A model whose weights lie beside it in ``data.bin``, with some entries of the reference changed."""
    model = good()
    (tensor,) = model.graph.initializer
    (folder / "data.bin").write_bytes(tensor.raw_data)
    external_data_helper.set_external_data(tensor, "data.bin", offset=0, length=len(tensor.raw_data))
    tensor.ClearField("raw_data")
    found = {entry.key: entry.value for entry in tensor.external_data}
    del tensor.external_data[:]
    for key, value in (found | entries).items():
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=str(value)))
    return save(folder / "model.onnx", model)


def bytes_in(data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(data)
        return path

    return make


def model(change: Callable[[onnx.ModelProto], Any] | None = None, **changes: Any) -> Callable[[Path], Path]:
    """The good model with other arguments, and changed."""

    def make(folder: Path) -> Path:
        proto = good(**changes)
        if change is not None:
            change(proto)
        return save(folder / "model.onnx", proto)

    return make


def truncated(share: float) -> Callable[[Path], Path]:
    data = good().SerializeToString()
    return bytes_in(data[: max(1, min(int(len(data) * share), len(data) - 1))])


def a_zip(folder: Path) -> Path:
    path = folder / "model.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02}q\x00." * 50)
    return path


def leaving_link(folder: Path) -> Path:
    """The data file is a link to one outside of the model's folder."""
    inner = folder / "inner"
    inner.mkdir()
    path = with_external_data(inner)
    (inner / "data.bin").rename(folder / "data.bin")
    (inner / "data.bin").symlink_to(folder / "data.bin")
    return path


def external_without(folder: Path) -> Path:
    path = with_external_data(folder)
    (folder / "data.bin").unlink()
    return path


def external_cut(folder: Path) -> Path:
    path = with_external_data(folder)
    (folder / "data.bin").write_bytes((folder / "data.bin").read_bytes()[:-4])
    return path


def external_folder(folder: Path) -> Path:
    (folder / "sub").mkdir()
    return with_external_data(folder, location="sub")


def folder_itself(folder: Path) -> Path:
    return folder


def absent(folder: Path) -> Path:
    return folder / "nowhere" / "model.onnx"


def behind_a_file(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(good().SerializeToString())
    return folder / "model.onnx" / "model.onnx"


def nameless_input_shape(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.ClearField("shape")


def sequence_input(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [1, 4]))


def weights_of_type(dtype: Any) -> Callable[[onnx.ModelProto], None]:
    def change(proto: onnx.ModelProto) -> None:
        array = numpy_helper.to_array(proto.graph.initializer[0]).astype(dtype)
        proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, "w"))

    return change


def weight_value(value: float) -> dict[str, Any]:
    array = weights(2, 4, 3, 3)
    array[1, 2, 0, 1] = value
    return {"constants": {"w": array}}


def weight_in_constant_node(proto: onnx.ModelProto) -> None:
    array = weight_value(np.nan)["constants"]["w"]
    node = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(array))
    del proto.graph.initializer[:]
    proto.graph.node.insert(0, node)


def damaged_tensor(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-4]


def of_type(number: int) -> Callable[[onnx.ModelProto], None]:
    def change(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[0].data_type = number

    return change


def no_text(folder: Path) -> Path:
    """A name of which one byte has flipped: protobuf reads it without a word."""
    path = folder / "model.onnx"
    path.write_bytes(
        good(body="conv = Conv (x, w) y = Relu (conv)").SerializeToString().replace(b"conv", b"con\xf6")
    )
    return path


def reversed_nodes(proto: onnx.ModelProto) -> None:
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def no_standard_operators(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].domain = "somewhere.else"


def foreign_in_branch(proto: onnx.ModelProto) -> None:
    def branch(op: str, domain: str) -> onnx.GraphProto:
        node = helper.make_node(op, ["x"], ["b"], domain=domain, name="inner")
        return helper.make_graph([node], op, [], [helper.make_empty_tensor_value_info("b")])

    condition = numpy_helper.from_array(np.asarray(True), "c")
    proto.graph.initializer.append(condition)
    node = helper.make_node(
        "If",
        ["c"],
        ["y"],
        then_branch=branch("Relu", ""),
        else_branch=branch("Foo", "my.ops"),
    )
    del proto.graph.node[:]
    proto.graph.node.append(node)
    proto.opset_import.append(helper.make_opsetid("my.ops", 1))


PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00\x00\x00\x01\x00\x08\x06\x00\x00\x00" + b"\x00" * 200
)
DAMAGED, UNSUPPORTED = ModelFileError, UnsupportedModelError

TRAINING: dict[str, Any] = {
    "body": "c = Conv (x, w) y, m, n = BatchNormalization <training_mode = 1> (c, v, v, v, v)",
    "constants": {"w": weights(2, 4, 3, 3), "v": np.ones(2, np.float32)},
}

BAD_MODELS = [
    BadModel("no such file", absent, DAMAGED, "there is no such file"),
    BadModel("a path through a file", behind_a_file, DAMAGED, "there is no such file"),
    BadModel("a folder", folder_itself, DAMAGED, "is a folder"),
    BadModel("empty", bytes_in(b""), DAMAGED, "the file is empty"),
    BadModel("random bytes", bytes_in(np.random.default_rng(0).bytes(4000)), DAMAGED, "not an ONNX file"),
    BadModel("a picture", bytes_in(PNG), DAMAGED, "not an ONNX file"),
    BadModel("a torch checkpoint", a_zip, DAMAGED, "a file of PyTorch"),
    BadModel(
        "a Keras file", lambda folder: a_zip(folder).rename(folder / "m.keras"), DAMAGED, "a Keras file"
    ),
    BadModel("a torch checkpoint of old", bytes_in(b"\x80\x02\x8a\nl\xfc\x9c"), DAMAGED, "a file of PyTorch"),
    BadModel("JSON", bytes_in(b'{"model": "resnet18"}'), DAMAGED, "not an ONNX file"),
    BadModel("text", bytes_in(b"version https://git-lfs.github.com/spec/v1\n"), DAMAGED, "not an ONNX file"),
    *(
        BadModel(f"truncated to {share:g}", truncated(share), DAMAGED, "a truncated or damaged one")
        for share in (0, 0.01, 0.1, 0.5, 0.9, 0.99, 1)
    ),
    BadModel("weights too short", model(damaged_tensor), DAMAGED, "tensor w is damaged"),
    BadModel("weights of no type", model(of_type(0)), DAMAGED, "tensor w is damaged (there is no type 0)"),
    BadModel("weights of type 99", model(of_type(99)), DAMAGED, "tensor w is damaged (there is no type 99)"),
    BadModel("a name that is no text", no_text, DAMAGED, "or damaged one"),
    BadModel("operator set 10", model(opset=10), UNSUPPORTED, "operator set 10 is older than 11"),
    BadModel("operator set 999", model(opset=999), UNSUPPORTED, "operator set 999 is newer"),
    BadModel("in training mode", model(**TRAINING), UNSUPPORTED, "a batch-norm in training mode"),
    BadModel("no standard operators", model(no_standard_operators), UNSUPPORTED, "no standard operator set"),
    *(
        BadModel(
            f"{kind} input",
            model(inputs=f"{kind}[1, 4, 6, 6] x", body="v = Cast <to = 1> (x) y = Conv (v, w)"),
            UNSUPPORTED,
            f"input x is {says}",
        )
        for kind, says in (
            ("float16", "float16"),
            ("bfloat16", "bfloat16"),
            ("double", "float64"),
            ("uint8", "not a tensor of known type"),
        )
    ),
    BadModel("float16 weights", model(weights_of_type(np.float16)), UNSUPPORTED, "tensor w is float16"),
    BadModel("float64 weights", model(weights_of_type(np.float64)), UNSUPPORTED, "tensor w is float64"),
    BadModel(
        "free height", model(inputs="float[1, 4, H, 6] x"), UNSUPPORTED, "axis 2 of input x is free ('H')"
    ),
    BadModel("free channels", model(inputs="float[N, C, 6, 6] x"), UNSUPPORTED, "axis 1 of input x is free"),
    BadModel("height of 0", model(inputs="float[1, 4, 0, 6] x"), UNSUPPORTED, "axis 2 of input x is free"),
    BadModel(
        "input without shape", model(nameless_input_shape), UNSUPPORTED, "input x is not a tensor of known"
    ),
    BadModel("a sequence as input", model(sequence_input), UNSUPPORTED, "input x is not a tensor of known"),
    BadModel("no input", model(inputs="", body="y = Relu (w)"), UNSUPPORTED, "it has no input"),
    BadModel("NaN weights", model(**weight_value(np.nan)), UNSUPPORTED, "tensor w holds 1 NaN of 72"),
    BadModel("infinite weights", model(**weight_value(-np.inf)), UNSUPPORTED, "tensor w holds 1 infinit"),
    BadModel(
        "NaN in a Constant node", model(weight_in_constant_node), UNSUPPORTED, "tensor w holds 1 NaN of 72"
    ),
    BadModel(
        "operator of another domain",
        model(body="y = my.ops.Foo (x)", domains={"my.ops": 1}),
        UNSUPPORTED,
        "node /y/Foo: operator my.ops.Foo is not standard",
    ),
    BadModel(
        "operator of another domain in a branch",
        model(foreign_in_branch),
        UNSUPPORTED,
        "node inner: operator my.ops.Foo",
    ),
    BadModel(
        "quantized to more bits",
        model(body="y = qonnx.custom_op.general.Quant (x, w)", domains={"qonnx.custom_op.general": 1}),
        UNSUPPORTED,
        "more than one bit",
    ),
    BadModel("an operator that does not exist", model(body="y = Konv (x, w)"), UNSUPPORTED, "Konv"),
    BadModel(
        "weights that don't fit",
        model(constants={"w": weights(2, 5, 3, 3)}),
        UNSUPPORTED,
        "kernel channels",
    ),
    BadModel("a value that nothing computes", model(body="y = Add (x, nowhere)"), UNSUPPORTED, "nowhere"),
    BadModel(
        "nodes in the wrong order",
        model(reversed_nodes, body="v = Relu (x) y = Conv (v, w)"),
        UNSUPPORTED,
        "/y/Conv",
    ),
    BadModel(
        "a value computed twice", model(body="v = Relu (x) v = Abs (x) y = Conv (v, w)"), UNSUPPORTED, "v"
    ),
    BadModel("a missing operand", model(body="y = Conv (x)"), UNSUPPORTED, "Conv"),
    BadModel("an unknown attribute", model(body="y = Conv <pedals = [1, 1]> (x, w)"), UNSUPPORTED, "pedals"),
    BadModel("external data missing", external_without, DAMAGED, "'data.bin' is missing"),
    BadModel("external data truncated", external_cut, DAMAGED, "'data.bin' is truncated"),
    BadModel(
        "external data at an absolute path",
        lambda folder: with_external_data(folder, location=folder / "data.bin"),
        DAMAGED,
        "leaves the model's folder",
    ),
    *(
        BadModel(
            f"external data at {location!r}",
            lambda folder, location=location: with_external_data(folder, location=location),  # type: ignore[misc]
            DAMAGED,
            "leaves the model's folder",
        )
        for location in (
            "../data.bin",
            "sub/../../data.bin",
            "..\\data.bin",
            "C:\\data.bin",
            "",
            "/etc/passwd",
        )
    ),
    BadModel("external data behind a link", leaving_link, DAMAGED, "leaves the model's folder"),
    BadModel("external data in a folder", external_folder, DAMAGED, "can't be read"),
    *(
        BadModel(
            f"external data with {key} {value!r}",
            lambda folder, key=key, value=value: with_external_data(folder, **{key: value}),  # type: ignore[misc]
            DAMAGED,
            says,
        )
        for key, value, says in (
            ("offset", "first", "damaged"),
            ("offset", -4, "damaged"),
            ("length", "all", "damaged"),
            ("length", -1, "damaged"),
            ("offset", 4, "truncated"),
            ("length", 1 << 40, "truncated"),
            ("length", 4, "tensor w is damaged"),
            ("location", "data\0.bin", "leaves the model's folder"),
        )
    ),
]
