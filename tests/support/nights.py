"""Nights of a lab for tests: rows of one job, with noise between turns and between nights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from bibench_deploy.nightly.baseline import Baseline, choose
from bibench_deploy.nightly.finding import Finding, key_of
from bibench_deploy.nightly.gate import Gate, judge
from bibench_deploy.results import Row
from bibench_deploy.results.nights import Night

from .rows import MS, make_row

FIRST = datetime(2026, 11, 1, 2, tzinfo=UTC)
TURNS, RUNS = 10, 12
PLAN = "lab"


def night_of(number: int, commit: str | None = None) -> Night:
    """A night by its number; its commit is made of that, too."""
    began = FIRST + timedelta(days=number)
    commit = commit or f"{number:02x}" * 20
    return Night(PLAN, f"{began:%Y-%m-%d}", "0" * 64, commit, "host", began)


def turns_of(centre_ms: float, noise: float, random: np.random.Generator) -> list[list[int]]:
    """Turns in ns about a centre, that differ by the noise, and so do their runs."""
    return [
        [int(centre_ms * MS * turn * run) for run in random.normal(1, noise, RUNS)]
        for turn in random.normal(1, noise, TURNS)
    ]


def row(number: int, median_ms: float = 10, noise: float = 0.005, seed: int = 0, **facts: Any) -> Row:
    """The job's row of one night; a night is off by the noise as a whole."""
    random = np.random.default_rng([number, seed])
    turns = turns_of(median_ms * random.normal(1, noise), noise, random)
    night = night_of(number)
    known = {
        "measured_at": night.started_at + timedelta(hours=1),
        "session": night.session,
        "samples_ns": [run for turn in turns for run in turn],
        "turns": [RUNS] * TURNS,
        "verdict": "stable",
    }
    return make_row(**(known | facts))


def rows(medians_ms: Iterable[float], noise: float = 0.005, **facts: Any) -> list[Row]:
    """The job's rows of consecutive nights."""
    return [row(number, value, noise, **facts) for number, value in enumerate(medians_ms)]


def of_rows(earlier: Sequence[Row], choice: str | None = None, since: datetime | None = None) -> Baseline:
    """Those nights as a baseline."""
    numbers = sorted({(found.measured_at - FIRST).days for found in earlier})
    tonight = night_of(max(numbers, default=0) + 1000)
    return Baseline(choose(choice, [night_of(n) for n in numbers], tonight, since), tuple(earlier))


def found(
    tonight: Row,
    earlier: Sequence[Row],
    gate: Gate | None = None,
    choice: str | None = None,
    since: datetime | None = None,
) -> Finding:
    """What the gate finds of the job."""
    number = (tonight.measured_at - FIRST).days
    before = of_rows(earlier, choice, since)
    (finding,) = judge([key_of(tonight)], night_of(number), [tonight], before, gate or Gate(), {})
    return finding
