"""What a plan means, as a reader sees it: ``plan check`` and ``nightly --dry-run``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bibench_deploy.nightly.estimate import words
from bibench_deploy.nightly.telling import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bibench_deploy.nightly.expansion import Wanted
    from bibench_deploy.nightly.foresight import Foresight

#: More names than these in one cell are counted.
_MOST_NAMES = 4


def overview(foresight: Foresight) -> RenderableType:
    """Devices × models × engines × threads with the number of jobs; how long; what is stale."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (
        ("device", "left"),
        ("models", "left"),
        ("engines", "left"),
        ("variants", "left"),
        ("threads", "left"),
        ("jobs", "right"),
        ("expected", "right"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for device in dict.fromkeys(job.device for job in foresight.wanted):
        jobs = [job for job in foresight.wanted if job.device == device]
        table.add_row(
            Text(device),
            Text(_names(job.model.stem for job in jobs)),
            Text(_names(job.engine for job in jobs)),
            Text(_names(job.variant for job in jobs)),
            Text(_threads(jobs)),
            str(len(jobs)),
            words(foresight.expected.devices[device]),
        )
    return Group(table, Text(""), *(Text(line) for line in summary(foresight)))


def summary(foresight: Foresight) -> list[str]:
    """The lines below the table."""
    expected, stale = foresight.expected, foresight.stale
    devices = {job.device for job in foresight.wanted}
    jobs = f"{counted(len(foresight.wanted), 'job')} on {counted(len(devices), 'device')}"
    lines = [f"{jobs}: {words(expected.wall)}, {expected.rests_on}"]
    if stale:
        engines: dict[str, list[str]] = {}
        for task in stale:
            engines.setdefault(task.model.stem, []).append(task.engine)
        of = _names(f"{model} for {' and '.join(names)}" for model, names in engines.items())
        lines.append(f"{len(stale)} to be converted first ({words(expected.conversion)}): {of}")
    elif foresight.wanted:
        lines.append("nothing is stale: all artefacts are there")
    return lines


def as_json(foresight: Foresight) -> dict[str, Any]:
    """For ``--json``: jobs, what is stale, and the expected time in seconds."""
    expected = foresight.expected
    return {
        "jobs": [
            {
                "device": job.device,
                "engine": job.engine,
                "model": job.model.stem,
                "variant": job.variant,
                "threads": job.threads,
                "cpus": job.cpus,
            }
            for job in foresight.wanted
        ],
        "stale": [{"model": task.model.stem, "engine": task.engine} for task in foresight.stale],
        "expected": {
            "rests_on": expected.rests_on,
            "remembered": expected.remembered,
            "wall_s": _span(expected.wall.low_s, expected.wall.high_s),
            "conversion_s": _span(expected.conversion.low_s, expected.conversion.high_s),
            "devices_s": {name: _span(span.low_s, span.high_s) for name, span in expected.devices.items()},
        },
    }


def _span(low_s: float, high_s: float) -> dict[str, float]:
    return {"low": round(low_s, 1), "high": round(high_s, 1)}


def _names(values: Iterable[str]) -> str:
    names = list(dict.fromkeys(values))
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


def _threads(jobs: Sequence[Wanted]) -> str:
    """``1, 2, 4``, or with cores ``1, 2 on big``; of several requests each."""
    by_cores: dict[str | None, list[int]] = {}
    for job in jobs:
        by_cores.setdefault(job.cpus, []).append(job.threads)
    return "; ".join(
        ", ".join(map(str, sorted(set(threads)))) + (f" on {cpus}" if cpus else "")
        for cpus, threads in by_cores.items()
    )
