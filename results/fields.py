"""A row as one flat record: the one schema that every tabular format is written with and read by.

Fields of ``Row`` keep their names, those of its host and its context get the prefixes ``host_`` and ``context_``.
What is a list or a mapping is a text of JSON. ``FIELDS`` follows from the models, so a new fact of a row is a new
column everywhere at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime, BaseModel
from pydantic_core import from_json

from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.timing import summarise

from .row import HostFacts, Row

Kind = Literal["text", "whole", "real", "truth", "moment", "json"]
Value = str | int | float | bool | datetime | None

_NESTED: Mapping[str, type[BaseModel]] = {"host": HostFacts, "context": RunContext}
SAMPLES = "samples_ns"
# In this order, since a truth is also a whole number.
_KINDS: Sequence[tuple[type, Kind]] = (
    (bool, "truth"),
    (int, "whole"),
    (float, "real"),
    (AwareDatetime, "moment"),
)


@dataclass(frozen=True)
class Field:
    """One column.

    Attributes:
        path: where its value is in a row's document.
    """

    name: str
    kind: Kind
    path: tuple[str, ...]


def _kind(annotation: Any) -> Kind:
    parts = list(_parts(annotation))
    if any(get_origin(part) in (dict, list) for part in parts):
        return "json"
    values = [value for part in parts if get_origin(part) is Literal for value in get_args(part)]
    if values:
        return "whole" if isinstance(values[0], int) else "text"
    return next((kind for of, kind in _KINDS if of in parts), "text")


def _parts(annotation: Any) -> Sequence[Any]:
    """An annotation and all that it is made of."""
    return [annotation, *(part for argument in get_args(annotation) for part in _parts(argument))]


def _fields() -> tuple[Field, ...]:
    found = []
    for name, info in Row.model_fields.items():
        if name in _NESTED:
            inner = _NESTED[name].model_fields.items()
            found += [Field(f"{name}_{key}", _kind(value.annotation), (name, key)) for key, value in inner]
        elif name != SAMPLES:
            found.append(Field(name, _kind(info.annotation), (name,)))
    return tuple(found)


# What a row is, without its samples.
FIELDS = _fields()
# What follows from its samples: written, never read.
SUMMARY: Mapping[str, Kind] = {"median_ms": "real", "p10_ms": "real", "p90_ms": "real", "runs": "whole"}
# What a sample is known by in long form, one line a run.
SAMPLE_KEYS = ("id", "device", "engine", "model", "variant", "threads", "cpus")


def record(row: Row) -> dict[str, Value]:
    """A row as one line of a table: its facts and the summary of its samples, in ms."""
    return facts(row) | summary(row)


def facts(row: Row) -> dict[str, Value]:
    """What a row is, without its samples."""
    document = row.model_dump(exclude={SAMPLES})
    return {field.name: _flat(document, field) for field in FIELDS}


def summary(row: Row) -> dict[str, Value]:
    """Median and percentiles of a row's samples in ms; unknown where there are none."""
    if not row.samples_ns:
        return {"median_ms": None, "p10_ms": None, "p90_ms": None, "runs": 0}
    found = summarise(row.samples_ns)
    return {name: getattr(found, name) for name in SUMMARY}


def sample_records(row: Row) -> Iterator[dict[str, Value]]:
    """A row in long form: one line for each of its samples, numbered from 1."""
    known = record(row)
    keys = {name: known[name] for name in SAMPLE_KEYS}
    for run, latency in enumerate(row.samples_ns, start=1):
        yield keys | {"run": run, "latency_ns": latency}


def document(found: Mapping[str, Any], samples_ns: Sequence[int]) -> dict[str, Any]:
    """The document of a row from a record as a file gives it: texts, or values; empty is unknown.

    Raises:
        ValueError: a text that should be JSON and is not.
    """
    built: dict[str, Any] = {SAMPLES: samples_ns, "kernel": None}
    for field in FIELDS:
        value = found.get(field.name)
        if value is None or value == "":
            continue
        if field.kind == "json":
            value = from_json(value)
        inside = built
        for key in field.path[:-1]:
            inside = inside.setdefault(key, {})
        inside[field.path[-1]] = value
    return built


def _flat(value: Any, field: Field) -> Value:
    for key in field.path:
        value = value[key]
    if value is not None and field.kind == "json":
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, UUID) else value
