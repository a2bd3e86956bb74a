"""The plan of a lab, ``lab.toml``: which models on which devices, how long, and what counts as worse.

::

    format = 1
    name = "lab"                               # of its nights in the store; default: the file's, without .toml
    store = "postgresql://lab@db/bibench"      # default: results.sqlite in the workspace
    workspace = "nightly"                      # artefacts; relative to this file
    keep_days = 60                             # artefacts that no night has used for so long are removed

    [[models]]
    file = "models/*.onnx"                     # relative to this file; wildcards
    engines = ["native", "larq"]               # default: native
    variants = ["binarized", "fp32"]           # default: both
    allow = ["padding=-1"]                     # as convert --allow
    data = "test.npz"                          # as convert --data; relative to this file

    [[devices]]
    tags = ["nightly"]                         # of the inventory; or names = ["rpi4", "kitchen", "local"]
    threads = [1, 2, 4]                        # default: the profile's
    cpus = "big"                               # as profile --cpus; default: wherever the system puts them
    engines = ["native"]                       # default: all that the models ask for

    [measure]                                  # of one job
    min_time = 1.0                             # s; as profile --min-time
    max_time = 5.0
    precision = 1.0                            # percent

    [budget]                                   # what is not begun by then is reported as not measured
    night = "6h"                               # from its start; default: none
    device = "2h"                              # of measuring on any one device; default: none

    [retries]
    attempts = 2                               # of a job
    failures = 3                               # of a device in a night, until it is left alone
    pause = "1m"                               # before a device that failed is tried again

    [gate]
    nights = 7                                 # that the baseline is made of
    factor = 1.05                              # slower from this ratio on
    larger = 1.01
    since = 2026-11-20                         # what is older was accepted as it is, and is no baseline

What is left out takes the value shown or named; ``models`` and ``devices`` are needed.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from bibench_deploy.errors import InputError
from bibench_deploy.runners.clusters import check_request
from bibench_deploy.runners.compare import NOTABLE_FACTOR

from .gate import BASELINE_NIGHTS, LARGER_FACTOR
from .mistakes import Mistake, of_schema, refuse
from .toml_lines import Place, lines_of

if TYPE_CHECKING:
    from bibench_deploy.results import Store

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.ASCII)
_PART = re.compile(r"([\d.]+)([smhd])", re.ASCII)
MOST_SECONDS = 7 * 86400


def _seconds(value: object) -> object:
    """``90s``, ``1h30m``, or a number of seconds."""
    if isinstance(value, str):
        if not _DURATION.fullmatch(value.strip()):
            raise ValueError(f"'{value}' is no duration; write it as 90s, 30m, 6h or 1h30m")
        return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(value))
    if isinstance(value, bool):
        raise ValueError("a duration is needed; write it as 90s, 30m, 6h or 1h30m")
    return value


def _moment(value: object) -> object:
    """A date is its first moment, a time without a zone is this machine's."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"'{value}' is no date; write it as 2026-11-20") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise ValueError("a date is needed; write it as 2026-11-20")
    return value.astimezone()


def _plan_name(value: str) -> str:
    if not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(
            f"'{value}' can't name a plan; write name = \"…\" with letters, digits, '.', '_' and '-'"
        )
    return value


def _cores(value: str) -> str:
    try:
        return check_request(value)
    except InputError as error:
        raise ValueError(f"{error.message}; {error.remedy}") from None


Positive = Annotated[float, Field(gt=0, le=3600)]
Duration = Annotated[float, Field(gt=0, le=MOST_SECONDS), BeforeValidator(_seconds)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Ratio = Annotated[float, Field(ge=1, le=10)]
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]
PlanName = Annotated[str, AfterValidator(_plan_name)]
Cores = Annotated[str, AfterValidator(_cores)]
Threads = Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1)]
Variant = Literal["binarized", "fp32"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Models(_Table):
    """Models that are treated alike.

    Attributes:
        file: an ONNX file or a pattern of some; relative to the plan.
        allow: changes of function that are allowed, as ``convert --allow`` takes them.
        data: real inputs to verify with; relative to the plan.
    """

    file: Name
    engines: Names = ("native",)
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = ("binarized", "fp32")
    allow: tuple[Name, ...] = ()
    data: Name | None = None


class Devices(_Table):
    """Devices that are treated alike.

    Attributes:
        names, tags: as ``--device`` and ``--tag`` take them; at least one of either.
        threads: None for the profile's.
        cpus: cores that engines are pinned to; None for no pinning.
        engines: of those that the models ask for, the ones that are measured here; None for all.
    """

    names: tuple[Name, ...] = ()
    tags: tuple[Name, ...] = ()
    threads: Threads | None = None
    cpus: Cores | None = None
    engines: Names | None = None

    @model_validator(mode="after")
    def _some(self) -> Devices:
        if not self.names and not self.tags:
            raise ValueError("names or tags are needed")
        return self


class Measure(_Table):
    """How long a job is measured; times in s, precision in percent."""

    min_time: Positive = 1.0
    max_time: Positive = 5.0
    precision: Annotated[float, Field(ge=0.01, le=100)] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Measure:
        if self.max_time < self.min_time:
            raise ValueError("max_time is less than min_time")
        return self


class Budget(_Table):
    """After how many seconds nothing more is begun; None for no limit.

    Attributes:
        night: since its start.
        device: of measuring on any one device.
    """

    night: Duration | None = None
    device: Duration | None = None


class Retries(_Table):
    """How often what failed is tried again.

    Attributes:
        attempts: of a job.
        failures: of a device in one night, until it is left alone.
        pause: before a device that failed is tried again, in s.
    """

    attempts: Annotated[int, Field(ge=1, le=100)] = 2
    failures: Annotated[int, Field(ge=1, le=100)] = 3
    pause: Annotated[float, Field(ge=0, le=86400), BeforeValidator(_seconds)] = 60.0


class GateTable(_Table):
    """What counts as worse; see ``nightly.gate``.

    Attributes:
        since: nights before this moment are no baseline; None for all.
    """

    nights: Annotated[int, Field(ge=3, le=100)] = BASELINE_NIGHTS
    factor: Ratio = NOTABLE_FACTOR
    larger: Ratio = LARGER_FACTOR
    since: Moment | None = None


class Plan(_Table):
    """A whole plan.

    Attributes:
        name: of its nights in the store.
        workspace: relative to the plan's file.
        keep_days: after how many days artefacts that no night has used are removed.
    """

    format: Literal[1]
    name: PlanName
    store: Name | None = None
    workspace: Name = "nightly"
    keep_days: Annotated[int, Field(ge=1, le=10_000)] = 60
    models: Annotated[tuple[Models, ...], Field(min_length=1)]
    devices: Annotated[tuple[Devices, ...], Field(min_length=1)]
    measure: Measure = Measure()
    budget: Budget = Budget()
    retries: Retries = Retries()
    gate: GateTable = GateTable()


#: The model of each table, for messages.
TABLES: Mapping[str, type[BaseModel]] = {
    "": Plan,
    "models": Models,
    "devices": Devices,
    "measure": Measure,
    "budget": Budget,
    "retries": Retries,
    "gate": GateTable,
}


@dataclass(frozen=True)
class Partial:
    """What is left of a plan without what is wrong in it, so that the rest can be looked at, too.

    Attributes:
        models, devices: for each entry that is left, its number in the file.
    """

    plan: Plan
    models: Sequence[int]
    devices: Sequence[int]

    def written(self, place: Place) -> Place:
        """A place of ``plan`` as one of the file."""
        numbers = {"models": self.models, "devices": self.devices}.get(str(place[0])) if place else None
        if numbers is None or len(place) < 2:
            return place
        return (place[0], numbers[int(place[1])], *place[2:])


@dataclass(frozen=True)
class Read:
    """A plan's text as it was understood.

    Attributes:
        plan: None where it has mistakes.
        partial: the plan, or what is left without them; None where that is none.
        lines: in which each key stands.
        mistakes: that the schema sees.
    """

    plan: Plan | None
    partial: Partial | None
    lines: Mapping[Place, int]
    mistakes: tuple[Mistake, ...] = ()


def read_plan(path: Path) -> Plan:
    """A plan from its file.

    Raises:
        InputError: it can't be read, or is wrong; every mistake with its line.
    """
    return parse_plan(plan_text(path), str(path))


def plan_text(path: Path) -> str:
    """The text of a plan's file.

    Raises:
        InputError: it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"can't be read ({error})", where=str(path), remedy="give the file of a plan"
        ) from error


def parse_plan(text: str, where: str) -> Plan:
    """A plan from its text.

    Args:
        where: its file.

    Raises:
        InputError: it is wrong; every mistake with its line.
    """
    read = understand(text, where)
    refuse(read.mistakes, where)
    assert read.plan is not None, "a plan without a mistake is one"
    return read.plan


def understand(text: str, where: str) -> Read:
    """A plan's text with all mistakes that the schema sees.

    Args:
        where: its file, for the plan's name.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Read(None, None, {}, (_not_toml(str(error), text),))
    lines = lines_of(text)
    document.setdefault("name", Path(where).stem)
    try:
        plan = Plan.model_validate(document)
    except ValidationError as error:
        details = error.errors()
        mistakes = tuple(of_schema(details, lines, TABLES))
        return Read(None, _rest(document, [tuple(detail["loc"]) for detail in details]), lines, mistakes)
    return Read(plan, Partial(plan, range(len(plan.models)), range(len(plan.devices))), lines)


def _rest(document: dict[str, Any], wrong: Sequence[Place]) -> Partial | None:
    """A plan without the keys that are wrong, and without the entries that then lack one."""
    document = copy.deepcopy(document) | {"format": 1}
    numbers = {
        table: list(range(len(document[table])))
        for table in ("models", "devices")
        if isinstance(document.get(table), list)
    }
    for _ in range(_ROUNDS):
        gone = {place[:2] for place in dict.fromkeys(place[:3] for place in wrong) if _drop(document, place)}
        for table, kept in numbers.items():
            left = [number for number in range(len(kept)) if (table, number) not in gone]
            document[table] = [document[table][number] for number in left]
            numbers[table] = [kept[number] for number in left]
        try:
            plan = Plan.model_validate(document)
        except ValidationError as error:
            wrong = [tuple(detail["loc"]) for detail in error.errors()]
        else:
            return Partial(plan, numbers["models"], numbers["devices"])
    return None


#: First the keys go that are wrong, then the entries that lack one, then lists that are left empty: for nothing.
_ROUNDS = 3


def _drop(document: dict[str, Any], place: Place) -> bool:
    """Remove a key; whether the entry of an array as a whole has to go instead."""
    table = document.get(str(place[0]))
    if isinstance(table, list):
        if len(place) < 2 or not isinstance(place[1], int):  # called too short: its entries are wrong
            return False
        entry = table[place[1]]
        if len(place) > 2 and isinstance(entry, dict) and place[2] in entry:
            del entry[place[2]]
            return False
        return True
    if isinstance(table, dict) and len(place) >= 2 and place[1] in table:
        del table[place[1]]
    else:
        document.pop(str(place[0]), None)
    return False


def _not_toml(said: str, text: str) -> Mistake:
    """tomllib's message ends with "(at line 3, column 5)" or "(at end of document)"."""
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", said)
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    return Mistake((), f"not TOML: {said[: found.start()] if found else said}", line)


def workspace_of(plan: Plan, path: Path) -> Path:
    """Where the artefacts of a plan's nights lie.

    Args:
        path: the plan's file.
    """
    return path.parent / plan.workspace


def store_of(plan: Plan, path: Path, choice: str | None = None) -> Store:
    """Where the rows of a plan's nights are kept.

    Args:
        path: the plan's file, which the path of a store is relative to.
        choice: the user's, which goes before the plan's.

    Raises:
        InputError: it is no URL, or its driver is not installed.
    """
    from bibench_deploy.results import choose_store

    own = plan.store
    if own is not None and "://" not in own:
        own = str(path.parent / Path(own).expanduser())
    return choose_store(choice or own, workspace_of(plan, path))
