"""The files of a model: the ONNX file, and the numbers that lie beside it.

Only files inside the model's folder are opened, whatever the model says.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, external_data_helper

from bibench_deploy.errors import ModelFileError

_TORCH_FILES = (b"PK\x03\x04", b"\x80\x02")  # torch.save's zip, and its pickles of old


def read_model(path: Path) -> tuple[onnx.ModelProto, str]:
    """A model with all its numbers, and the sha256 of all that it consists of.

    Raises:
        ModelFileError: no such file, not an ONNX file, truncated, or its external data is missing or lies outside
            the model's folder.
    """
    proto, data = _read(path)
    digest = hashlib.sha256(data)
    for tensor in _external(proto):
        digest.update(_load_external(tensor, path))
    return proto, digest.hexdigest()


def files_of(path: Path) -> dict[str, bytes]:
    """All that a model consists of: its file and its external data, by their names in the model's folder.

    Raises:
        ModelFileError: as ``read_model``.
    """
    proto, data = _read(path)
    found = {path.name: data}
    for tensor in _external(proto):
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        _load_external(tensor, path)  # which refuses what may not be read
        if location not in found:
            found[location] = (path.resolve().parent / location).read_bytes()
    return found


def _read(path: Path) -> tuple[onnx.ModelProto, bytes]:
    where = str(path)
    if path.is_dir():
        raise ModelFileError("is a folder, not an ONNX file", where=where, remedy="name the .onnx file in it")
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelFileError("there is no such file", where=where, remedy="check the path") from error
    except OSError as error:
        raise _unreadable(error, where) from error
    if not data:
        raise ModelFileError("the file is empty", where=where, remedy="export the model again")
    if path.suffix == ".keras":
        raise ModelFileError(
            "a Keras file, not an ONNX file",
            where=where,
            remedy="only convert takes it, for Larq; or export it to ONNX",
        )
    if data.startswith(_TORCH_FILES):
        raise ModelFileError(
            "a file of PyTorch (or another zip or pickle), not an ONNX file",
            where=where,
            remedy="load the model in Python and export it: torch.onnx.export(model.eval(), (x,), 'model.onnx')",
        )
    proto = onnx.ModelProto()
    damaged = ModelFileError(
        "not an ONNX file, or a truncated or damaged one",
        where=where,
        remedy="export or copy the model again",
    )
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise damaged from error
    if not (proto.opset_import and proto.graph.node and proto.graph.output and _is_text(proto)):
        raise damaged
    return proto, data


def _is_text(message: Message) -> bool:
    """Whether every text of a message is one: protobuf reads what is no UTF-8 without a word, as bytes."""
    for field, value in message.ListFields():
        if field.message_type is None and field.type != FieldDescriptor.TYPE_STRING:
            continue
        for part in (value,) if isinstance(value, (Message, str, bytes)) else value:
            if not _is_text(part) if isinstance(part, Message) else isinstance(part, bytes):
                return False
    return True


def _external(proto: onnx.ModelProto) -> list[TensorProto]:
    """Tensors whose numbers lie in other files."""
    tensors = external_data_helper._get_all_tensors(proto)
    return [tensor for tensor in tensors if external_data_helper.uses_external_data(tensor)]


def _load_external(tensor: TensorProto, model: Path) -> bytes:
    """Read one tensor's external data into it. Only files inside the model's folder are opened."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    folder = model.resolve().parent
    where = f"{model}: tensor {tensor.name}"
    outside = (
        not location
        or "\0" in location
        or PurePosixPath(location).is_absolute()
        or PureWindowsPath(location).is_absolute()
        or ".." in PurePosixPath(location.replace("\\", "/")).parts
        or not (folder / location).resolve().is_relative_to(folder)
    )
    if outside:
        raise ModelFileError(
            f"its external data '{location}' leaves the model's folder and is not read",
            where=where,
            remedy="save the model with its data file beside it",
        )
    offset, length = (_natural(entries.get(key), where) for key in ("offset", "length"))
    try:
        with (folder / location).open("rb") as file:
            available = os.fstat(file.fileno()).st_size - (offset or 0)
            wanted = available if length is None else length
            file.seek(offset or 0)
            data = file.read(wanted) if 0 <= wanted <= available else b""
    except FileNotFoundError as error:
        raise ModelFileError(
            f"its external data file '{location}' is missing",
            where=where,
            remedy="copy it beside the model",
        ) from error
    except OSError as error:
        raise _unreadable(error, where, f"its external data file '{location}' ") from error
    if len(data) != wanted:
        raise ModelFileError(
            f"its external data file '{location}' is truncated", where=where, remedy="copy the file again"
        )
    tensor.raw_data = data
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
    return data


def _natural(text: str | None, where: str) -> int | None:
    """A number in a reference to external data."""
    if text is None or (text.isascii() and text.isdecimal()):
        return None if text is None else int(text)
    raise ModelFileError(
        f"its reference to external data is damaged ('{text}' is no number of bytes)",
        where=where,
        remedy="export the model again",
    )


def _unreadable(error: OSError, where: str, what: str = "") -> ModelFileError:
    return ModelFileError(
        f"{what}can't be read ({os.strerror(error.errno or 0)})", where=where, remedy="check its permissions"
    )
