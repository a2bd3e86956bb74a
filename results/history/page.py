"""The page of one device and model. Pure but for the program of the charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree.ElementTree import Element

from ..html.dom import Node, details, table, tag
from ..html.frame import Charts, frame
from ..nights import Night
from ..tables import milliseconds, size
from .chart import latency_chart, size_chart
from .names import ASSETS, FEED, INDEX
from .news import Entry, label, percent
from .series import Series, What

#: Rows of a table that stand open; more are shown when asked for.
MOST_OPEN: Final = 10
COMMIT_DIGITS: Final = 12


@dataclass(frozen=True)
class Subject:
    """What a page is about.

    Attributes:
        nights: all of the plan, oldest first; their numbers are their places.
        series: of this device and model, at least one.
        host: facts of the machine, as of the newest row.
        found: what the last night found of each job, status and words; empty where it has no report.
        entries: the news of this device and model, newest first.
    """

    plan: str
    device: str
    model: str
    nights: Sequence[Night]
    series: Sequence[Series]
    host: Mapping[str, Any]
    found: Mapping[What, tuple[str, str]]
    entries: Sequence[Entry]

    @property
    def last(self) -> int:
        """Number of the last night in which any of it was measured."""
        return max(series.last.night for series in self.series)


def page(subject: Subject) -> bytes:
    """The file of a page.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    charts = Charts()
    latencies = [charts.figure(latency_chart(series, subject.nights)) for series in subject.series]
    sizes = size_chart(subject.series, subject.nights)
    drawn = [*latencies, *([charts.figure(sizes)] if sizes else [])]
    body = [
        _changes(subject),
        tag("section", tag("h2", "Now"), _now(subject)),
        tag(
            "section",
            tag("h2", "Latency over the nights"),
            tag("p", "Dots are medians of a night, bars their 95 % intervals, lines levels, dashes steps."),
            tag("div", *drawn, class_="charts"),
        ),
        tag("section", tag("h2", "Nights"), _nights(subject)),
    ]
    up = f"../{INDEX}"
    lead: list[Node] = [
        tag("p", tag("a", "All devices", href=up), " · ", tag("a", "Feed", href=f"../{FEED}")),
        tag("p", ", ".join(_facts(subject)), class_="facts"),
    ]
    title = f"{subject.device} · {subject.model}"
    return frame(title, lead, body, charts, beside=f"../{ASSETS}", links=[feed_link(f"../{FEED}")])


def feed_link(where: str) -> Element:
    """How a reader of feeds finds the feed."""
    return tag("link", rel="alternate", type="application/atom+xml", title="What changed", href=where)


def _facts(subject: Subject) -> list[str]:
    host = subject.host
    cores = host.get("cores")
    known = [host.get("cpu"), f"{cores} cores" if cores else None, host.get("arch"), host.get("system")]
    first = subject.nights[min(series.points[0].night for series in subject.series)].name
    measured = len({point.night for series in subject.series for point in series.points})
    nights = f"{measured} night{'' if measured == 1 else 's'}, {first} to {subject.nights[subject.last].name}"
    return [*(str(fact) for fact in known if fact), f"plan {subject.plan}", nights]


def _changes(subject: Subject) -> Element:
    rows: list[Sequence[Node]] = [
        [label(subject.nights[entry.night]), event.what.how, word(event.kind, event.alarm), event.words]
        for entry in subject.entries
        for event in entry.events
    ]
    if not rows:
        return tag("section", tag("h2", "What changed"), tag("p", "Nothing, in any of these nights."))
    columns = ("night", "job", "change", "how much")
    return tag("section", tag("h2", "What changed"), *folded("What changed", columns, rows))


def _now(subject: Subject) -> Element:
    rows: list[Sequence[Node]] = []
    for series in subject.series:
        point = series.last
        level = series.levels[-1] if series.levels else None
        status, words = subject.found.get(series.what, ("", ""))
        stale = point.night != subject.last
        rows.append(
            [
                series.what.how,
                milliseconds(point.median_ms),
                _interval(point.low_ms, point.high_ms),
                milliseconds(level.median_ms) if level else "–",
                label(subject.nights[level.first]) if level else "–",
                percent(series.steps[-1]) if series.steps else "–",
                size(point.size_bytes),
                word(point.verdict),
                subject.nights[point.night].name if stale else "",
                f"{status}: {words}" if words else status,
            ]
        )
    columns = [
        *("job", "median ms", "95 % interval", "level ms", "level since", "last step", "size", "verdict"),
        *("last measured", "finding"),
    ]
    if not any(row[8] for row in rows):
        del columns[8]
        rows = [[*row[:8], *row[9:]] for row in rows]
    return table("Now", columns, rows, ("median ms", "95 % interval", "level ms", "last step", "size"))


def _nights(subject: Subject) -> Element:
    verdicts: dict[int, Counter[str]] = {}
    for series in subject.series:
        for point in series.points:
            verdicts.setdefault(point.night, Counter())[point.verdict] += 1
    rows: list[Sequence[Node]] = []
    for number in sorted(verdicts, reverse=True):
        night, counts = subject.nights[number], verdicts[number]
        rows.append(
            [
                night.name,
                commit(night),
                *(f"{counts[kind]}" if counts[kind] else "–" for kind in ("stable", "unstable", "invalid")),
            ]
        )
    columns = ("night", "commit", "stable", "unstable", "invalid")
    figures = columns[2:]
    return tag("div", *folded("Nights", columns, rows, figures))


def folded(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Node]], figures: Sequence[str] = ()
) -> list[Element]:
    """A table of which the first rows stand open."""
    shown = [table(title, columns, rows[:MOST_OPEN], figures)]
    if len(rows) > MOST_OPEN:
        rest = table(f"{title}, earlier", columns, rows[MOST_OPEN:], figures)
        shown.append(details(f"{len(rows) - MOST_OPEN} earlier", rest))
    return shown


#: How a word is coloured: the page's own classes for verdicts.
_CLASSES: Final = {
    "stable": "stable",
    "faster": "stable",
    "smaller": "stable",
    "unstable": "unstable",
    "slower": "unstable",
    "larger": "unstable",
    "invalid": "invalid",
}


def word(text: str, alarm: bool = False, count: int | None = None) -> Element:
    """A verdict or a kind of change, perhaps how often; an alarm is red."""
    colour = "invalid" if alarm else _CLASSES.get(text, "none")
    return tag("span", text if count is None else f"{count} {text}", class_=f"verdict {colour}")


def commit(night: Night) -> Element:
    """As much of a night's commit as tells it from others; all of it where the mouse rests."""
    return tag("span", (night.commit or "unknown")[:COMMIT_DIGITS], title=night.commit or "nobody told")


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{milliseconds(low)}–{milliseconds(high)}"
