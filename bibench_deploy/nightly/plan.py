"""The plan of a lab, ``lab.toml``: which models on which devices, how long, and what counts as worse.

::

    format = 1
    store = "postgresql://lab@db/bibench"      # default: results.sqlite in the workspace
    workspace = "nightly"                      # artefacts; relative to this file

    [[models]]
    file = "models/*.onnx"                     # relative to this file; wildcards
    engines = ["native", "larq"]               # default: native
    variants = ["binarized", "fp32"]           # default: both

    [[devices]]
    tags = ["nightly"]                         # of the inventory; or names = ["rpi4", "kitchen"]
    threads = [1, 2, 4]                        # default: the profile's

    [measure]
    min_time = 1.0                             # s; as profile --min-time
    max_time = 5.0
    precision = 1.0                            # percent

    [gate]
    nights = 7                                 # that the baseline is made of
    factor = 1.05                              # slower from this ratio on
    larger = 1.01

What is left out takes the value shown; ``models`` and ``devices`` are needed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bibench_deploy.errors import InputError
from bibench_deploy.runners.compare import NOTABLE_FACTOR

from .gate import BASELINE_NIGHTS, LARGER_FACTOR

Positive = Annotated[float, Field(gt=0, le=3600)]
Ratio = Annotated[float, Field(ge=1, le=10)]
Name = Annotated[str, Field(min_length=1)]
Threads = Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1)]
Variant = Literal["binarized", "fp32"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Models(_Table):
    """Models that are treated alike.

    Attributes:
        file: an ONNX file or a pattern of some; relative to the plan.
    """

    file: Name
    engines: Annotated[tuple[Name, ...], Field(min_length=1)] = ("native",)
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = ("binarized", "fp32")


class Devices(_Table):
    """Devices that are treated alike.

    Attributes:
        names, tags: as ``--device`` and ``--tag`` take them; at least one of either.
        threads: None for the profile's.
    """

    names: tuple[Name, ...] = ()
    tags: tuple[Name, ...] = ()
    threads: Threads | None = None

    @model_validator(mode="after")
    def _some(self) -> Devices:
        if not self.names and not self.tags:
            raise ValueError("names or tags are needed")
        return self


class Measure(_Table):
    """How long; times in s, precision in percent."""

    min_time: Positive = 1.0
    max_time: Positive = 5.0
    precision: Annotated[float, Field(ge=0.01, le=100)] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Measure:
        if self.max_time < self.min_time:
            raise ValueError("max_time is less than min_time")
        return self


class GateTable(_Table):
    """What counts as worse; see ``nightly.gate``."""

    nights: Annotated[int, Field(ge=3, le=100)] = BASELINE_NIGHTS
    factor: Ratio = NOTABLE_FACTOR
    larger: Ratio = LARGER_FACTOR


class Plan(_Table):
    """A whole plan."""

    format: Literal[1]
    store: Name | None = None
    workspace: Name = "nightly"
    models: Annotated[tuple[Models, ...], Field(min_length=1)]
    devices: Annotated[tuple[Devices, ...], Field(min_length=1)]
    measure: Measure = Measure()
    gate: GateTable = GateTable()


def read_plan(path: Path) -> Plan:
    """A plan from its file.

    Raises:
        InputError: it can't be read, or is wrong; every mistake with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"can't be read ({error})", where=str(path), remedy="give the file of a plan"
        ) from error
    return parse_plan(text, str(path))


def parse_plan(text: str, where: str) -> Plan:
    """A plan from its text.

    Raises:
        InputError: it is wrong; every mistake with its line.
    """
    try:
        return Plan.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML ({error})", where=where, remedy="correct it") from error
    except ValidationError as error:
        lines = text.splitlines()
        mistakes = [_mistake(detail, lines) for detail in error.errors()]
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        raise InputError(
            "; ".join(mistakes),
            where=where,
            remedy=f"correct it{more}: see the keys of a plan in bibench_deploy.nightly.plan",
        ) from error


def _mistake(detail: Any, lines: Sequence[str]) -> str:
    place = tuple(detail["loc"])
    number = line_of(place, lines)
    said = (
        "unknown key" if detail["type"] == "extra_forbidden" else detail["msg"].removeprefix("Value error, ")
    )
    name = ".".join(str(part) for part in place if not isinstance(part, int)) or "plan"
    return f"line {number}: {name}: {said}" if number else f"{name}: {said}"


def line_of(place: Sequence[str | int], lines: Sequence[str]) -> int | None:
    """The line, from 1, that a place in the document stands in; of its table where the key is absent.

    Args:
        place: keys and numbers of array entries, as pydantic gives them.
    """
    table = next((part for part in place if isinstance(part, str)), None)
    index = next((part for part in place if isinstance(part, int)), 0)
    keys = [part for part in place[1:] if isinstance(part, str)]
    header = re.compile(rf"\s*\[\[?\s*{re.escape(table or '')}\s*\]\]?\s*(#.*)?$")
    starts = [number for number, line in enumerate(lines) if header.match(line)]
    if not starts:
        return _key_line(table, lines, 0, len(lines))
    start = starts[min(index, len(starts) - 1)]
    following = (n for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith("["))
    end = next(following, len(lines))
    return (_key_line(keys[0], lines, start + 1, end) if keys else None) or start + 1


def _key_line(key: str | None, lines: Sequence[str], start: int, end: int) -> int | None:
    pattern = re.compile(rf"\s*\"?{re.escape(key or '')}\"?\s*=")
    return next((n + 1 for n in range(start, end) if key and pattern.match(lines[n])), None)
