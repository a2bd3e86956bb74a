"""A store with nights: rows of a few devices over months, with steps, odd nights and reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from bibench_deploy.results import Row, Store
from bibench_deploy.results.nights import finish, open_night
from bibench_deploy.results.row import HostFacts
from support.rows import MS, make_row

FIRST = datetime(2026, 5, 1, 1, 30, tzinfo=UTC)
TURNS = [10] * 10
SEED = 20261122

#: Latency of a night in ms, given its number.
Course = Callable[[int], float]


def night_name(number: int) -> str:
    return (FIRST + timedelta(days=number)).date().isoformat()


def commit_of(number: int) -> str:
    """Another one every week."""
    return f"{number // 7:07x}".replace("0", "c") + "0" * 33


def night_row(number: int, ms: float, random: np.random.Generator, plan: str = "lab", **facts: Any) -> Row:
    """One job in one night: a hundred runs, half a percent apart, and a percent from night to night."""
    centre = ms * np.exp(0.01 * random.standard_normal())
    samples = np.rint(MS * centre * np.exp(0.005 * random.standard_normal(sum(TURNS)))).astype(int)
    defaults: dict[str, Any] = {
        "session": f"{plan}/{night_name(number)}",
        "measured_at": FIRST + timedelta(days=number, hours=1),
        "device": "rpi4",
        "host": HostFacts(cpu="Cortex-A72", arch="aarch64", cores=4, system="Linux 6.6"),
        "engine": "native",
        "samples_ns": samples.tolist(),
        "turns": TURNS,
        "verdict": "stable",
    }
    return make_row(**(defaults | facts))


def finding(**facts: Any) -> dict[str, Any]:
    """As a night's report has it."""
    defaults: dict[str, Any] = {
        "device": "rpi4",
        "engine": "native",
        "model": "resnet18",
        "variant": "bnn",
        "threads": 1,
        "cpus": None,
        "status": "same",
        "kind": "unchanged",
        "words": "1.00× the median of 7 nights",
        "ratio": 1.0,
        "since": None,
    }
    return defaults | facts


def tell_night(store: Store, number: int, findings: Iterable[dict[str, Any]], plan: str = "lab") -> None:
    """Begin and finish a night."""
    began = FIRST + timedelta(days=number)
    night = open_night(store, plan, night_name(number), "p" * 64, commit_of(number), "alpha", began)
    finish(store, night, {"findings": list(findings)}, began + timedelta(hours=2))


def filled(
    store: Store,
    nights: int,
    courses: dict[tuple[str, str, int], Course],
    findings: dict[int, list[dict[str, Any]]],
) -> None:
    """Nights of a plan ``lab``.

    Args:
        courses: by device, variant and threads.
        findings: of the nights that tell of any, by their number; the others found that all is the same.
    """
    random = np.random.default_rng(SEED)
    rows = []
    for number in range(nights):
        for (device, variant, threads), course in courses.items():
            facts = {"device": device, "variant": variant, "threads": threads}
            facts |= {"size_bytes": 40_000_000 if variant == "fp32" else 4_000_000}
            rows.append(night_row(number, course(number), random, **facts))
        same = [finding(device=d, variant=v, threads=t) for d, v, t in courses]
        tell_night(store, number, findings.get(number, same))
    store.append(rows)
