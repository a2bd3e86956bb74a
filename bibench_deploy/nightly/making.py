"""One model made into one engine's artefacts, somewhere: bytes in, bytes out.

What is done here runs in other processes, perhaps on other machines that share no disk, and perhaps twice.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bibench_deploy.errors import BibenchError, InfrastructureError, NotDeployableError

if TYPE_CHECKING:
    from bibench_deploy.conversion import Refusal
    from bibench_deploy.converters.deployability import Reason

FULL_PRECISION = "fp32"
BINARIZED = "binarized"
_DATA = "data.npz"
#: What the artefact's bytes depend on, beside the engine's own code: rooms, then single modules.
_ROOMS = ("bibench_deploy.converters", "bibench_deploy.graph")
_MODULES = ("conversion.py", "artefacts.py", "evaluation_data.py")
_LIBRARIES = ("numpy", "onnx", "onnx-ir", "onnxruntime")
_CODE = (".py", ".toml")


@dataclass(frozen=True)
class Order:
    """All that is needed to convert a model for an engine, without any file.

    Attributes:
        name: the model's file name, which names the artefacts.
        files: the model and its external data, by their names in one folder.
        twin: whether the fp32 twin is wanted.
        allow: as ``convert --allow``.
        data: an .npz file to verify with; None for none.
        tool: ``fingerprint(engine)`` of whoever orders.
    """

    name: str
    files: Mapping[str, bytes]
    engine: str
    twin: bool
    allow: tuple[str, ...]
    data: bytes | None
    tool: str


@dataclass(frozen=True)
class Made:
    """What came of an order; exactly one of ``files``, ``refused`` and ``error`` holds something.

    Attributes:
        algorithm: that the model is binarized with; "" where it was not understood.
        artefacts: "binarized" or "fp32" → file name.
        files: all files, by name: artefacts, manifests, rows to verify them with.
        refused: why the engine can't take the model.
        error: as ``runners.worker.describe`` writes it.
        seconds: that it took.
    """

    algorithm: str = ""
    artefacts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None
    seconds: float = 0.0


def make(order: Order) -> Made:
    """Carry out an order.

    Errors that the tool reports on purpose come back as data, so that they survive the way between processes.
    """
    from bibench_deploy.runners.worker import describe

    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bibench-convert-") as name:
        folder = Path(name)
        try:
            made = _converted(order, folder)
        except NotDeployableError as error:
            made = Made(refused=(_local(error.message, folder),))
        except BibenchError as error:
            described = describe(error)
            made = Made(error={key: value and _local(value, folder) for key, value in described.items()})
    return Made(
        made.algorithm, made.artefacts, made.files, made.refused, made.error, time.monotonic() - begun
    )


def _converted(order: Order, folder: Path) -> Made:
    from bibench_deploy.conversion import convert
    from bibench_deploy.converters.deployability import parse_allow
    from bibench_deploy.converters.reader.algorithm import algorithm_of

    if fingerprint(order.engine) != order.tool:
        import socket

        raise InfrastructureError(
            "this worker has another version of bibench-deploy or of the engine's libraries",
            where=socket.gethostname(),
            remedy="install the same versions there as here, or leave --dask out",
        )
    model = _written(order, folder)
    data = folder / _DATA if order.data is not None else None
    out = folder / "out"
    result = convert(model, out, [order.engine], data, parse_allow(order.allow), order.twin)
    assert result.graph is not None, "an ONNX model has a graph"
    if result.refused:
        return Made(algorithm_of(result.graph), refused=tuple(_reasons(result.refused[0])))
    return Made(
        algorithm_of(result.graph),
        {
            FULL_PRECISION if artefact.manifest.variant == FULL_PRECISION else BINARIZED: artefact.path.name
            for artefact in result.artefacts
        },
        {file.name: file.read_bytes() for file in sorted(out.iterdir())},
    )


def _written(order: Order, folder: Path) -> Path:
    """The order's files, in a folder of their own; the path of the model."""
    inside = folder / "model"
    for name, data in order.files.items():
        file = inside / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    if order.data is not None:
        (folder / _DATA).write_bytes(order.data)
    return inside / order.name


def _reasons(refusal: Refusal) -> Iterator[str]:
    assessment = refusal.assessment
    yield from map(sentence, assessment.reasons)
    if not assessment.reasons:
        yield (
            "; ".join(note.message for note in assessment.notes) or f"nothing is emitted for {refusal.engine}"
        )


def sentence(reason: Reason) -> str:
    """Why an engine can't take a model, short."""
    place = reason.layer or reason.node
    return f"{place}: {reason.message}" if place else reason.message


def _local(text: str, folder: Path) -> str:
    """A message without the folder, which is gone when it is read."""
    return text.replace(f"{folder}/model/", "").replace(f"{folder}/", "")


@cache
def fingerprint(engine: str) -> str:
    """What decides, beside the model, what the artefacts of an engine are: code and versions of libraries.

    Raises:
        InputError: no such engine.
        MissingExtraError: it is not installed.
    """
    from bibench_deploy.converters.capabilities import BUILT_IN
    from bibench_deploy.converters.engine import ENTRY_POINT_GROUP, load_engine

    versions = {name: version(name) for name in _LIBRARIES} | load_engine(engine).versions()
    digest = hashlib.sha256(repr(sorted(versions.items())).encode())
    others = frozenset(BUILT_IN)
    for room in _ROOMS:
        for name, data in _code(files(room), others):
            digest.update(f"{room}/{name}\0{len(data)}\0".encode() + data)
    for name in _MODULES:
        digest.update(files("bibench_deploy").joinpath(name).read_bytes())
    module = next(point.module for point in entry_points(group=ENTRY_POINT_GROUP) if point.name == engine)
    for name, data in _code(files(module), frozenset()):
        digest.update(f"{engine}/{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _code(folder: Traversable, leave_out: frozenset[str], inside: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name not in leave_out:
            yield from _code(entry, frozenset(), f"{inside}{entry.name}/")
        elif entry.is_file() and entry.name.endswith(_CODE):
            yield f"{inside}{entry.name}", entry.read_bytes()
