"""Rows of nights, one device at a time: a year of a lab is more than should be in memory at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import RowMapping, select

from bibench_deploy.errors import StoreError
from bibench_deploy.runners.statistics import median_interval, split
from bibench_deploy.runners.timing import NS_PER_MS, summarise

from ..nights import Night, nights, report_of, session_of
from ..samples import unpack
from ..schema import measurements
from ..selection import Selection
from ..store import Store
from ..stored_rows import where
from .series import Point, Series, What

#: What is read of a row: all of it would take three times as long.
_COLUMNS = (
    *("session", "device", "host", "model", "engine", "variant", "threads", "cpus"),
    *("size_bytes", "verdict", "samples", "turns"),
)

Host = Mapping[str, Any]
#: What a night found of a job, as its report has it.
Told = Mapping[str, Any]


def plans_of(store: Store, selection: Selection) -> dict[str, list[Night]]:
    """The nights of each plan that are meant, oldest first."""
    found: dict[str, list[Night]] = {}
    for night in nights(store):
        began = night.started_at
        if selection.since is None or began >= selection.since:
            found.setdefault(night.plan, []).append(night)
    return found


def devices_of(store: Store, plan: str, selection: Selection) -> list[str]:
    """The devices that rows of the plan's nights are of, by name."""
    wanted = where(select(measurements.c.device).distinct(), _of_plan(plan, selection))
    with store.transaction() as connection:
        return sorted(connection.scalars(wanted.where(measurements.c.state == "measured")))


def series_of(
    store: Store, device: str, plan_nights: Sequence[Night], selection: Selection
) -> tuple[list[Series], Mapping[str, Host]]:
    """Every job of a device over the nights of one plan, and the facts of its host, the newest, by model.

    Of a job that was measured twice in a night the later row counts.

    Raises:
        StoreError: a row is damaged.
    """
    numbers = {night.session: number for number, night in enumerate(plan_nights)}
    plan = plan_nights[0].plan
    columns = [measurements.c[name] for name in _COLUMNS]
    wanted = where(select(*columns), replace(_of_plan(plan, selection), devices=(device,)))
    wanted = wanted.where(measurements.c.state == "measured").order_by(measurements.c.seq)
    points: dict[What, dict[int, Point]] = {}
    hosts: dict[str, Host] = {}
    with store.transaction() as connection:
        for row in connection.execute(wanted).mappings():
            number = numbers.get(row["session"])
            if number is None:
                continue
            what = What(
                device, row["model"], row["engine"], row["variant"], row["threads"], row["cpus"] or ""
            )
            try:
                points.setdefault(what, {})[number] = _point(number, row)
            except ValueError as error:
                raise StoreError(
                    f"a row of {device} in {row['session']} is damaged ({error})", where=store.where
                ) from error
            hosts[row["model"]] = row["host"]
    found = [Series(what, [known[n] for n in sorted(known)]) for what, known in sorted(points.items())]
    return found, hosts


def findings_of(store: Store, night: Night) -> list[Told]:
    """What a night found, as its report has it; nothing of one that is unfinished or says it otherwise."""
    report = report_of(store, night) or {}
    found = report.get("findings", [])
    return [told for told in found if isinstance(told, Mapping) and told.keys() >= _REQUIRED]


_REQUIRED = {"device", "model", "engine", "variant", "threads", "status", "words"}


def _of_plan(plan: str, selection: Selection) -> Selection:
    # The nights are chosen by when they began, not their rows.
    return replace(selection, sessions=(session_of(plan, ""),), since=None)


def _point(number: int, row: RowMapping) -> Point:
    samples = unpack(row["samples"])
    summary = summarise(samples)
    found = median_interval(split(samples, row["turns"]))
    return Point(
        number,
        summary.median_ms,
        found.low / NS_PER_MS if found else None,
        found.high / NS_PER_MS if found else None,
        row["size_bytes"],
        row["verdict"] or ("stable" if summary.stable else "unstable"),
    )
