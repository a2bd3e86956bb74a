"""What changed over the nights: steps of latencies, sizes, what the nights' own reports call a regression. Pure.

A reader wants to be told once: what a night says again on the mornings after is the same news, and so is a step
that begins in the night of an alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from ..nights import Night
from ..tables import milliseconds, size
from .series import Change, Series, What

#: A step and an alarm of one job are one piece of news if they are no farther apart than a step's start is known.
SAME_NIGHTS: Final = 2
REGRESSION: Final = "regression"


@dataclass(frozen=True)
class Event:
    """One thing that changed.

    Attributes:
        night: number of the night that it began in.
        kind: "slower", "faster", "larger", "smaller", or the status that the night's report gave it.
        words: how much.
        alarm: whether a night's report calls it a regression.
    """

    what: What
    night: int
    kind: str
    words: str
    alarm: bool = False


@dataclass(frozen=True)
class Entry:
    """All that changed of one model on one device in one night: one change of a model moves all of its jobs."""

    device: str
    model: str
    night: int
    events: Sequence[Event]

    @property
    def alarm(self) -> bool:
        """Whether a regression is among them."""
        return any(event.alarm for event in self.events)

    @property
    def kinds(self) -> str:
        """What became of it: "slower", "faster and larger"."""
        return " and ".join(dict.fromkeys(event.kind for event in self.events))

    @property
    def said(self) -> str:
        """The model and what became of it."""
        jobs = len({event.what for event in self.events})
        return f"{self.model} {self.kinds}" + (f" ({jobs} jobs)" if jobs > 1 else "")


def of_series(series: Series) -> list[Event]:
    """The steps of a job, and the changes of its size."""
    found = []
    for change in series.steps:
        kind = "slower" if change.ratio > 1 else "faster"
        before, after = milliseconds(change.before), milliseconds(change.after)
        found.append(Event(series.what, change.night, kind, f"{percent(change)}, {before} → {after} ms"))
    for change in series.resizes:
        kind = "larger" if change.ratio > 1 else "smaller"
        before, after = size(round(change.before)), size(round(change.after))
        found.append(Event(series.what, change.night, kind, f"{percent(change)}, {before} → {after}"))
    return found


def of_findings(found: Iterable[Mapping[str, Any]], night: int, numbers: Mapping[str, int]) -> list[Event]:
    """What a night's report calls a regression.

    Args:
        night: number of the night.
        numbers: of the nights by their names: a finding may tell since when it is so.
    """
    events = []
    for told in found:
        if told.get("kind") != REGRESSION:
            continue
        began = (told.get("since") or {}).get("night")
        start = numbers.get(began, night) if isinstance(began, str) else night
        events.append(Event(what_of(told), start, str(told["status"]), str(told["words"]), alarm=True))
    return events


def what_of(told: Mapping[str, Any]) -> What:
    """The job that a finding is of."""
    device, model, engine, variant = (str(told[name]) for name in ("device", "model", "engine", "variant"))
    return What(device, model, engine, variant, int(told["threads"]), str(told.get("cpus") or ""))


def entries(events: Iterable[Event]) -> list[Entry]:
    """The news, the newest first; each thing once."""
    told = sorted(_once(events), key=lambda event: (-event.night, event.what, event.kind))
    together = groupby(
        sorted(told, key=lambda event: (-event.night, event.what.device, event.what.model)),
        key=lambda event: (event.night, event.what.device, event.what.model),
    )
    return [Entry(device, model, night, tuple(found)) for (night, device, model), found in together]


def _once(events: Iterable[Event]) -> list[Event]:
    """Without what was told before: the first alarm stays, with the size of its step, and a step without alarm."""
    kept: dict[tuple[What, str], list[Event]] = {}
    for event in sorted(events, key=lambda event: (not event.alarm, event.night)):
        known = kept.setdefault((event.what, event.kind), [])
        near = 0 if event.alarm else SAME_NIGHTS
        same = next(
            (place for place, other in enumerate(known) if abs(other.night - event.night) <= near), None
        )
        if same is None:
            known.append(event)
        elif known[same].alarm and not event.alarm:
            known[same] = replace(known[same], words=f"{event.words} ({known[same].words})")
    return [event for known in kept.values() for event in known]


def percent(change: Change) -> str:
    """By how much, with its sign."""
    return f"{100 * (change.ratio - 1):+.1f} %".replace("-", "−")


def label(night: Night) -> str:
    """The night with the commit that was measured, for a reader."""
    return f"{night.name} ({short(night.commit)})" if night.commit else night.name


def short(commit: str | None) -> str:
    """As many digits of a commit as one reads."""
    return (commit or "")[:7]
