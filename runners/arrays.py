"""Arrays of a user in and out: .npz files, checked against what a model takes, split into its batches."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bibench_deploy.errors import DataError, OutputPathError
from bibench_deploy.files import write_atomically

# numpy's stubs leave this function without types.
_write_array: Callable[..., None] = np.lib.format.write_array

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class InputSpec:
    """What a model takes under a name.

    Attributes:
        shape: in the ONNX model's layout, the first axis is the batch; None where any size will do.
        dtype: numpy's name of the type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        sizes = ", ".join(["N", *("any" if size is None else str(size) for size in self.shape[1:])])
        return f"'{self.name}' {self.dtype} ({sizes})"


def read_npz(file: Path) -> dict[str, npt.NDArray[np.generic]]:
    """All arrays of a file.

    Raises:
        DataError: no such file, or not an .npz of plain arrays.
    """
    if not file.is_file():
        raise DataError("there is no such file", where=str(file), remedy="check the path")
    remedy = "write it with numpy.savez(file, name=array)"
    try:
        with np.load(file, allow_pickle=False) as loaded:
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise DataError("an .npy file, not an .npz", where=str(file), remedy=remedy)
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError, TypeError) as error:
        raise DataError(
            f"not an .npz file of plain arrays ({error})", where=str(file), remedy=remedy
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise DataError(f"a damaged .npz file ({error})", where=str(file), remedy=remedy) from error


def match_inputs(
    arrays: Arrays, specs: Sequence[InputSpec], where: str
) -> tuple[dict[str, npt.NDArray[np.generic]], list[str]]:
    """The arrays that a model takes, by its names, and the names that it has no use for.

    A model with one input takes a lone array under any name. Floating-point arrays are rounded to the model's
    floating-point type; any other difference of type is refused, because it mostly is an image that was not
    normalised.

    Args:
        where: the file, for errors.

    Raises:
        DataError: a missing name, a wrong shape or type, no rows, or different numbers of rows.
    """
    expected = "; ".join(str(spec) for spec in specs)
    remedy = f"the model takes {expected}, N being any number of rows"
    if len(specs) == 1 and len(arrays) == 1 and specs[0].name not in arrays:
        arrays = {specs[0].name: next(iter(arrays.values()))}
    missing = [spec.name for spec in specs if spec.name not in arrays]
    if missing:
        held = ", ".join(f"'{name}'" for name in arrays) or "nothing"
        absent = ", ".join(f"'{name}'" for name in missing)
        raise DataError(f"no array {absent}; it holds {held}", where=where, remedy=remedy)
    taken = {spec.name: _fitted(arrays[spec.name], spec, where, remedy) for spec in specs}
    rows = {name: len(array) for name, array in taken.items()}
    if len(set(rows.values())) > 1:
        raise DataError(f"inputs with different numbers of rows: {rows}", where=where, remedy=remedy)
    return taken, [name for name in arrays if name not in taken]


def _fitted(
    array: npt.NDArray[np.generic], spec: InputSpec, where: str, remedy: str
) -> npt.NDArray[np.generic]:
    fits = array.ndim == len(spec.shape) and all(
        size is None or size == got for size, got in zip(spec.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        raise DataError(f"'{spec.name}' has the shape {array.shape}", where=where, remedy=remedy)
    if len(array) == 0:
        raise DataError(f"'{spec.name}' has no rows", where=where, remedy=remedy)
    both_float = array.dtype.kind == "f" and np.dtype(spec.dtype).kind == "f"
    if array.dtype != spec.dtype and not both_float:
        raise DataError(f"'{spec.name}' is {array.dtype}", where=where, remedy=remedy)
    return np.ascontiguousarray(array, dtype=spec.dtype)


def execute(
    run: Callable[[dict[str, npt.NDArray[Any]]], Mapping[str, npt.NDArray[Any]]], inputs: Arrays, batch: int
) -> dict[str, npt.NDArray[np.generic]]:
    """All rows through a model that takes ``batch`` rows at once; the last batch is filled with its last row.

    Args:
        run: executes one batch.
        inputs: by name, with the same number of rows, at least one.

    Raises:
        DataError: an output's first axis is not the batch, so its rows can't be told apart.
    """
    return execute_together(lambda feeds: [run(feed) for feed in feeds], inputs, batch, 1)


def execute_together(
    run: Callable[[list[dict[str, npt.NDArray[Any]]]], Sequence[Mapping[str, npt.NDArray[Any]]]],
    inputs: Arrays,
    batch: int,
    at_once: int,
) -> dict[str, npt.NDArray[np.generic]]:
    """As ``execute``, for what takes several batches in one call.

    Args:
        run: executes so many batches, or fewer.
        at_once: how many.

    Raises:
        DataError: as ``execute``.
    """
    parts: dict[str, list[npt.NDArray[np.generic]]] = {}
    batches = _batches(inputs, batch)
    while some := list(islice(batches, at_once)):
        for results, (_, rows) in zip(run([feeds for feeds, _ in some]), some, strict=True):
            for name, array in results.items():
                if array.ndim == 0 or len(array) != batch:
                    raise DataError(
                        f"output '{name}' has the shape {array.shape}, no axis for the {batch} rows of a batch",
                        remedy="remove such outputs from the model",
                    )
                parts.setdefault(name, []).append(array[:rows])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _batches(inputs: Arrays, batch: int) -> Iterator[tuple[dict[str, npt.NDArray[Any]], int]]:
    total = len(next(iter(inputs.values())))
    for start in range(0, total, batch):
        rows = min(batch, total - start)
        index = np.minimum(np.arange(start, start + batch), total - 1)
        yield {name: array[index] for name, array in inputs.items()}, rows


def check_output(file: Path) -> None:
    """Refuse an output path before any work is done for it.

    Raises:
        OutputPathError: no such folder, or something that is not a regular file is in the way.
    """
    if not file.parent.is_dir():
        raise OutputPathError("there is no such folder", where=str(file.parent), remedy="make it first")
    if file.exists() and not file.is_file():
        raise OutputPathError("not a regular file", where=str(file), remedy="choose another path")


def write_npz(file: Path, arrays: Arrays) -> None:
    """Write arrays; the file is whole or as it was before.

    Raises:
        OutputPathError: the folder can't be written.
        StorageError: the disk is full or failed.
    """
    check_output(file)
    buffer = io.BytesIO()
    # As numpy.savez writes it; savez itself can't take every name that ONNX allows (such as "file").
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                _write_array(entry, np.asanyarray(array), allow_pickle=False)
    write_atomically(file, buffer.getvalue())
