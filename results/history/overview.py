"""The site's first page: what changed lately, all devices, the last nights. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element

from ..html.dom import Node, table, tag
from ..html.frame import Charts, frame
from ..nights import Night
from ..tables import milliseconds
from .names import ASSETS, FEED
from .news import Entry, label
from .page import Subject, commit, feed_link, folded, word

TITLE: Final = "Latencies over the nights"
#: Pieces of news on the first page and in the feed; the pages have them all.
MOST_NEWS: Final = 100


@dataclass(frozen=True)
class Line:
    """One page, as the overview tells of it.

    Attributes:
        jobs: how many were ever measured.
        last: name of the last night with a measurement.
        verdicts: of that night, by how many jobs have it.
        fastest_ms: the least of the last medians, with the job it is of.
        latest: the newest piece of news.
    """

    device: str
    model: str
    path: str
    jobs: int
    last: str
    verdicts: Mapping[str, int]
    fastest_ms: float
    fastest: str
    latest: Entry | None

    @classmethod
    def of(cls, subject: Subject, path: str) -> Line:
        """What remains of a page when it is written."""
        lasts = [series for series in subject.series if series.last.night == subject.last]
        verdicts: dict[str, int] = {}
        for series in lasts:
            verdicts[series.last.verdict] = verdicts.get(series.last.verdict, 0) + 1
        best = min(lasts, key=lambda series: series.last.median_ms)
        return cls(
            subject.device,
            subject.model,
            path,
            len(subject.series),
            subject.nights[subject.last].name,
            verdicts,
            best.last.median_ms,
            best.what.how,
            subject.entries[0] if subject.entries else None,
        )


@dataclass
class History:
    """One plan: its nights, oldest first, and what the pages leave behind.

    Attributes:
        counts: what each night's report found, how many of each kind, by the night's number.
    """

    plan: str
    nights: Sequence[Night]
    counts: Mapping[int, Mapping[str, int]]
    lines: list[Line] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def news(self) -> list[Entry]:
        """The newest first; as many as one reads."""
        return sorted(
            self.entries, key=lambda entry: (-entry.night, not entry.alarm, entry.device, entry.model)
        )[:MOST_NEWS]


def overview(histories: Sequence[History], tool: str) -> bytes:
    """The file of the first page.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    search = tag(
        "p",
        tag("label", "Filter: ", for_="filter"),
        tag("input", id="filter", type="search", placeholder="rpi4 slower"),
        tag("span", id="filtered", role="status"),
    )
    pages = [(history, line) for history in histories for line in history.lines]
    several = len(histories) > 1
    columns = (
        "device",
        "model",
        "jobs",
        "last night",
        "verdicts",
        "fastest ms",
        "fastest job",
        "last change",
    )
    rows = [[*([history.plan] if several else []), *_line(history, line)] for history, line in pages]
    listed = table(
        "Devices and models", (*(["plan"] if several else []), *columns), rows, ("jobs", "fastest ms")
    )
    listed.set("id", "devices")
    body = [
        *(_changes(history, several) for history in histories),
        tag("section", tag("h2", "Devices and models"), search, listed),
        *(_nights(history, several) for history in histories),
    ]
    lead: list[Node] = [tag("p", _lead(histories, tool)), tag("p", tag("a", "Feed", href=FEED))]
    return frame(TITLE, lead, body, Charts(), beside=ASSETS, links=[feed_link(FEED)])


def _lead(histories: Sequence[History], tool: str) -> str:
    devices = {line.device for history in histories for line in history.lines}
    nights = sum(len(history.nights) for history in histories)
    last = max(night.started_at for history in histories for night in history.nights)
    return (
        f"{len(devices)} device{'' if len(devices) == 1 else 's'}, {nights} night{'' if nights == 1 else 's'}, "
        f"the last begun {moment(last)}. Written by bibench-deploy {tool}."
    )


def _changes(history: History, several: bool) -> Element:
    paths = {(line.device, line.model): line.path for line in history.lines}
    news = history.news()
    rows: list[Sequence[Node]] = []
    for entry in news:
        first = entry.events[0]
        more = f" and {len(entry.events) - 1} more" if len(entry.events) > 1 else ""
        path = paths.get((entry.device, entry.model))
        name = f"{entry.device} · {entry.model}"
        rows.append(
            [
                label(history.nights[entry.night]),
                tag("a", name, href=path) if path else name,
                word(entry.kinds, entry.alarm),
                f"{first.what.how}: {first.words}{more}",
            ]
        )
    columns = ("night", "device and model", "change", "what")
    told = (
        folded("What changed lately", columns, rows) if rows else [tag("p", "Nothing, in any of the nights.")]
    )
    return tag("section", tag("h2", "What changed lately" + _of(history, several)), *told)


def _of(history: History, several: bool) -> str:
    return f": {history.plan}" if several else ""


def _nights(history: History, several: bool) -> Element:
    kinds = ("regression", "infrastructure", "faster", "unchanged", "none")
    rows: list[Sequence[Node]] = []
    for number in range(len(history.nights) - 1, -1, -1):
        night, counts = history.nights[number], history.counts.get(number, {})
        finished = night.finished_at
        length = f"{(finished - night.started_at).total_seconds() / 3600:.1f}" if finished else "unfinished"
        cells: list[Node] = [
            night.name,
            commit(night),
            night.host,
            moment(night.started_at),
            length,
        ]
        cells += [f"{counts[kind]}" if counts.get(kind) else "–" for kind in kinds]
        rows.append(cells)
    columns = (
        "night",
        "commit",
        "host",
        "begun",
        "hours",
        "regressions",
        "infrastructure",
        "faster",
        "unchanged",
    )
    shown = folded("Nights", (*columns, "not judged"), rows, (*columns[4:], "not judged"))
    return tag("section", tag("h2", "Nights" + _of(history, several)), *shown)


def _line(history: History, line: Line) -> list[Node]:
    verdicts: list[Node] = []
    for kind in ("stable", "unstable", "invalid"):
        if line.verdicts.get(kind):
            verdicts += [word(kind, count=line.verdicts[kind]), " "]
    latest = "–"
    if line.latest:
        latest = f"{label(history.nights[line.latest.night])}: {line.latest.kinds}"
    return [
        tag("a", line.device, href=line.path),
        line.model,
        f"{line.jobs}",
        line.last,
        tag("span", *verdicts),
        milliseconds(line.fastest_ms),
        line.fastest,
        latest,
    ]


def moment(when: datetime) -> str:
    """In UTC, so that a site is the same wherever it is written."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
