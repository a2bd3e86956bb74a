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
    cool_down = "auto"                         # or °C, as profile --cool-down; default: turns don't wait

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

import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from bibench_deploy.errors import InputError
from bibench_deploy.runners.clusters import check_request
from bibench_deploy.runners.compare import NOTABLE_FACTOR
from bibench_deploy.runners.cooldown import Bound, parse_bound

from .gate import BASELINE_NIGHTS, LARGER_FACTOR

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


def _bound(value: object) -> object:
    """``auto``, or a number of °C; written as on the command line, too."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('a temperature to wait for is needed; write "auto", or degrees Celsius')
    try:
        return parse_bound(str(value))
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
CoolDown = Annotated[Bound, BeforeValidator(_bound)]
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
    """How a job is measured; times in s, precision in percent.

    Attributes:
        cool_down: the temperature that each turn waits for; None for none.
    """

    min_time: Positive = 1.0
    max_time: Positive = 5.0
    precision: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    cool_down: CoolDown | None = None

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
