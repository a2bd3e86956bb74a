"""The tidy tables that the tracks are computed from: one CSV each, told apart by their columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bibench_deploy.errors import DataError

FULL_PRECISION = "fp32"
#: The paper's algorithms in the order of its tables.
ORDER = ("bnn", "xnor", "dorefa", "bireal", "xnorpp", "reactnet", "recu", "fda")

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


class _Line(BaseModel):
    """A line of a table; columns that are not named are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Accuracy(_Line):
    """How good one network is on one task.

    Attributes:
        subtask: "" where the task has none.
        accuracy: in the task's own unit (percent, mAP, correlation), the higher the better.
    """

    task: Text
    subtask: str = ""
    architecture: Text
    algorithm: Text
    accuracy: Number


class Corrupted(_Line):
    """Accuracy on corrupted data; corruption "none" with severity 0 is the clean data."""

    corruption: Text
    severity: int
    algorithm: Text
    accuracy: Number


class TrainingRun(_Line):
    """One training with one setting.

    Attributes:
        accuracy: that it ended with.
        seconds: that it took, None where that was not recorded.
    """

    algorithm: Text
    optimizer: Text
    accuracy: Number
    seconds: Positive | None = None


class Counted(_Line):
    """Theoretical complexity of one algorithm's network, as ``bibench-deploy complexity`` prints it."""

    algorithm: Text
    compression: Positive
    speedup: Positive


class Latency(_Line):
    """Latency of one network on one device.

    Attributes:
        library: what executed it.
        variant: "fp32" or the algorithm.
        size_bytes: of the artefact, None where that is not known.
    """

    device: Text
    threads: Annotated[int, Field(gt=0)]
    architecture: Text
    library: Text
    variant: Text
    latency_ms: Positive
    size_bytes: Positive | None = None


@dataclass(frozen=True)
class Tables:
    """What there is to compute from; a track whose table is empty is left out."""

    accuracy: tuple[Accuracy, ...] = ()
    corrupted: tuple[Corrupted, ...] = ()
    training: tuple[TrainingRun, ...] = ()
    counted: tuple[Counted, ...] = ()
    latency: tuple[Latency, ...] = ()


@dataclass(frozen=True)
class _Kind:
    line: type[_Line]
    required: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        names = (name for name, info in self.line.model_fields.items() if info.is_required())
        object.__setattr__(self, "required", frozenset(names))


# Told apart in this order: a table of corruptions, say, also has an algorithm and an accuracy.
_KINDS: Mapping[str, _Kind] = {
    "corrupted": _Kind(Corrupted),
    "accuracy": _Kind(Accuracy),
    "latency": _Kind(Latency),
    "counted": _Kind(Counted),
    "training": _Kind(TrainingRun),
}


def identifier(algorithm: str) -> str:
    """An algorithm's identifier from any common spelling: "Bi-Real" → "bireal", "XNOR++" → "xnorpp"."""
    return algorithm.strip().lower().replace("-", "").replace(" ", "").replace("+", "p")


def read_tables(source: Path) -> Tables:
    """One CSV file, or all ``*.csv`` of a folder.

    Raises:
        DataError: no file, a file that is none of the tables, or a line that does not fit.
    """
    files = sorted(source.glob("*.csv")) if source.is_dir() else [source]
    if not files:
        raise DataError("the folder holds no CSV file", where=str(source), remedy=_columns_help())
    return tables_of((str(path), _text(path)) for path in files)


def tables_of(texts: Iterable[tuple[str, str]]) -> Tables:
    """Tables from (name, CSV text) pairs; several of one kind are joined.

    Raises:
        DataError: a text that is none of the tables, or a line that does not fit.
    """
    found: dict[str, list[Any]] = {entry.name: [] for entry in fields(Tables)}
    for name, text in texts:
        kind, lines = _read(name, text)
        found[kind] += lines
    return Tables(**{kind: tuple(lines) for kind, lines in found.items()})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(
            "there is no such file or folder", where=str(path), remedy="give 'bibench', a CSV or a folder"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't be read as text ({error})", where=str(path)) from error


def _read(name: str, text: str) -> tuple[str, list[_Line]]:
    reader = csv.DictReader(StringIO(text))
    header = frozenset(reader.fieldnames or ())
    for key, kind in _KINDS.items():
        if kind.required <= header:
            return key, list(_lines(name, kind, reader))
    raise DataError("its columns are those of none of the tables", where=name, remedy=_columns_help())


def _lines(name: str, kind: _Kind, reader: csv.DictReader[str]) -> Iterator[_Line]:
    for row in reader:
        # An empty cell is an absent value; a subtask may be empty.
        values = {key: value for key, value in row.items() if key and value not in (None, "")}
        for column in ("algorithm", "variant"):
            if column in values:
                values[column] = identifier(values[column])
        try:
            yield kind.line.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            column = ".".join(map(str, first["loc"]))
            raise DataError(
                f"column '{column}': {first['msg'].lower()}",
                where=f"{name}, line {reader.line_num}",
                remedy="correct the line",
            ) from error


def _columns_help() -> str:
    kinds = "; ".join(f"{key}: {', '.join(sorted(kind.required))}" for key, kind in _KINDS.items())
    return f"a table has at least these columns: {kinds}"


def algorithms(names: Iterable[str]) -> list[str]:
    """The binarized ones among them, in the paper's order, then others by name."""
    present = set(names) - {FULL_PRECISION}
    return [name for name in ORDER if name in present] + sorted(present - set(ORDER))
