"""A few inputs and what they must give, stored beside an artefact: they verify a device before it is timed.

``<artefact>.check.npz`` holds, for each of the artefact's inputs and outputs in order, the arrays ``input0…``
(batches of the model's own size, ONNX's layout; floating-point ones in float16, which they were rounded to before
anything was computed), ``expected0…`` (the reference's outputs for them) and ``proven0…`` (the outputs of the
artefact itself, by the engine on the machine that converted it, where it was proven piece by piece). The manifest
holds the file's sha256.

Rows that the proven engine reproduces within tolerance are preferred: in these no value lies so close to the
threshold of a sign that rounding decides, so that another correct engine reproduces them too.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bibench_deploy.errors import ArtefactError

from .agreement import ROW_TOLERANCE, row_differences
from .manifest import CheckFile, Manifest

SUFFIX = ".check.npz"
#: Rows that are stored, unless their inputs are larger than MOST_BYTES; at least FEWEST_BATCHES batches.
MOST_ROWS = 8
MOST_BYTES = 1_000_000
FEWEST_BATCHES = 2
#: Batches that are tried until there are enough that the proven engine reproduces.
TRIED = 24

Array = npt.NDArray[np.generic]
Batch = Mapping[str, Array]
Run = Callable[[Batch], Mapping[str, Array]]


@dataclass(frozen=True)
class CheckRows:
    """Batches of inputs with two answers.

    Attributes:
        inputs: one entry a batch: by input name, ONNX's layout.
        expected: of the reference, proven: of the artefact where it was proven; by output name.
    """

    inputs: tuple[Batch, ...]
    expected: tuple[Batch, ...]
    proven: tuple[Batch, ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(len(next(iter(batch.values()))) for batch in self.expected)


def choose(candidates: Iterable[Batch], reference: Run, proven: Run) -> CheckRows:
    """Batches that the proven engine reproduces, as many as are stored; others where there are too few.

    Args:
        candidates: inputs, at least one batch; they are rounded to float16.
        reference: executes the model.
        proven: executes the artefact.
    """
    firm: list[tuple[Batch, Batch, Batch]] = []
    loose: list[tuple[Batch, Batch, Batch]] = []
    wanted = FEWEST_BATCHES
    for tried, candidate in enumerate(candidates):
        inputs = {name: _rounded(array) for name, array in candidate.items()}
        wanted = _batches(inputs)
        if len(firm) >= wanted or tried >= TRIED:
            break
        found = (inputs, dict(reference(inputs)), dict(proven(inputs)))
        (firm if _agree(found[1], found[2]) else loose).append(found)
    chosen = (firm or loose)[:wanted]
    return CheckRows(*(tuple(batch[part] for batch in chosen) for part in range(3)))


def _batches(inputs: Batch) -> int:
    """How many batches like this one are stored."""
    rows = max(len(array) for array in inputs.values())
    size = sum(array.size * 2 for array in inputs.values())
    return max(FEWEST_BATCHES, min(MOST_ROWS // rows, MOST_BYTES // max(size, 1)))


def _agree(expected: Batch, got: Batch) -> bool:
    return all(bool((row_differences(expected[name], got[name]) <= ROW_TOLERANCE).all()) for name in expected)


def _rounded(array: Array) -> Array:
    if array.dtype.kind != "f":
        return array
    limit = np.finfo(np.float16).max
    return np.clip(array, -limit, limit).astype(np.float16).astype(array.dtype)


def check_path(artefact: Path) -> Path:
    """Where an artefact's rows lie."""
    return artefact.with_name(artefact.name + SUFFIX)


def pack(rows: CheckRows, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The file's bytes; the same rows always give the same."""
    arrays: dict[str, Any] = {}
    for i, name in enumerate(inputs):
        stacked = np.stack([batch[name] for batch in rows.inputs])
        arrays[f"input{i}"] = stacked.astype(np.float16) if stacked.dtype.kind == "f" else stacked
    for i, name in enumerate(outputs):
        arrays[f"expected{i}"] = np.stack([batch[name] for batch in rows.expected])
        arrays[f"proven{i}"] = np.stack([batch[name] for batch in rows.proven])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def described(data: bytes, rows: CheckRows) -> CheckFile:
    """The manifest's entry about the file."""
    return CheckFile(sha256=hashlib.sha256(data).hexdigest(), rows=rows.rows)


def read_check(artefact: Path, manifest: Manifest) -> CheckRows | None:
    """The rows stored beside an artefact; None where the manifest knows of none (an artefact of an older version).

    Raises:
        ArtefactError: they are missing or damaged.
    """
    if manifest.check is None:
        return None
    path = check_path(artefact)
    remedy = "convert the model again"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtefactError(f"can't be read ({error.strerror})", where=str(path), remedy=remedy) from error
    if hashlib.sha256(data).hexdigest() != manifest.check.sha256:
        raise ArtefactError(
            "its sha256 is not the one in the manifest: the file is damaged or was replaced",
            where=str(path),
            remedy=remedy,
        )
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            arrays = dict(held)
        inputs = _unstacked(arrays, "input", [tensor.name for tensor in manifest.inputs])
        expected, proven = (
            _unstacked(arrays, kind, [tensor.name for tensor in manifest.outputs])
            for kind in ("expected", "proven")
        )
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ArtefactError(
            f"not the rows of this artefact ({error})", where=str(path), remedy=remedy
        ) from error
    return CheckRows(inputs, expected, proven)


def _unstacked(arrays: Mapping[str, Any], kind: str, names: Sequence[str]) -> tuple[Batch, ...]:
    stacked = {name: arrays[f"{kind}{i}"] for i, name in enumerate(names)}
    count = len(next(iter(stacked.values())))
    return tuple({name: _widened(array[i]) for name, array in stacked.items()} for i in range(count))


def _widened(array: Array) -> Array:
    """Engines compute in float32."""
    return array.astype(np.float32) if array.dtype == np.float16 else array
