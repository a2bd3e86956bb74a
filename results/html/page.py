"""The page of a report. Pure but for the program of the charts, which the extra ``charts`` has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from xml.etree.ElementTree import Element

from ..listing import moment
from ..paper_tables import figures, parts
from ..published.latencies import SOURCE
from ..report import Report
from ..tables import not_applicable, not_compared, notes
from ..tidy import Column, Place, Score, scores
from .dom import Node, details, table, tag
from .frame import Charts, frame
from .latency import latency_chart
from .layers import layer_charts
from .measurements import measurement_data, measurement_list
from .speedup import speedup_chart
from .subject import Subject, subjects
from .tradeoff import accuracy_chart, size_chart

TITLE = "BNN inference on devices"
#: So many notes stand open; more are shown when asked for.
MOST_OPEN_NOTES = 3
NO_OPERATORS = (
    "The store holds no times of layers for these measurements, so there is no roofline; 'bibench-deploy profile "
    "--per-op' takes them."
)


def page(
    summary: Report,
    published: Mapping[Place, Mapping[Column, float]],
    made_at: datetime,
    tool: str,
) -> bytes:
    """The file of a page with all of a report.

    Args:
        published: the paper's latencies in ms by place and column; empty for none.
        made_at, tool: when, and by which version of bibench-deploy.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    charts = Charts()
    found = subjects(summary, published)
    sections = [_subject(number, subject, charts) for number, subject in enumerate(found, start=1)]
    body = [
        _validity(summary),
        *_metric(scores(summary)),
        *([_contents(found)] if len(found) > 1 else []),
        *sections,
        tag(
            "section",
            tag("h2", "Measurements"),
            tag("p", "The button of a row opens its samples and the conditions that it was measured under."),
            measurement_list(summary),
        ),
        _about(summary, any(subject.published for subject in found)),
    ]
    lead = tag("p", _lead(summary, made_at, tool))
    return frame(TITLE, [lead], body, charts, {"rows": measurement_data(summary)})


def _lead(summary: Report, made_at: datetime, tool: str) -> str:
    rows = [line.row for line in summary.lines] + list(summary.not_applicable)
    devices = sorted({row.device for row in rows})
    times = sorted(row.measured_at for row in rows)
    first, last = moment(times[0]), moment(times[-1])
    when = first if first == last else f"{first} to {last}"
    on = devices[0] if len(devices) == 1 else f"{len(devices)} devices"
    return (
        f"The newest of each measurement on {on}, taken {when}. "
        f"Made {moment(made_at)} by bibench-deploy {tool}."
    )


def _validity(summary: Report) -> Element:
    counts = Counter(line.verdict.split(":")[0] for line in summary.lines)
    if summary.not_applicable:
        counts["not applicable"] = len(summary.not_applicable)
    badges: list[Node] = []
    for word in ("stable", "unstable", "invalid", "not applicable"):
        if counts[word]:
            style = word if word != "not applicable" else "none"
            badges += [tag("span", f"{counts[word]} {word}", class_=f"verdict {style}"), " "]
    said = [*notes(summary.lines), *not_compared(summary.uncompared), *not_applicable(summary.not_applicable)]
    listed = tag("ul", *(tag("li", note) for note in said))
    shown = [] if not said else [listed]
    if len(said) > MOST_OPEN_NOTES:
        shown = [details(f"What to know of them: {len(said)} notes", listed)]
    return tag("section", tag("h2", "How far it can be trusted"), tag("p", *badges, class_="badges"), *shown)


def _metric(found: Sequence[Score]) -> list[Element]:
    if not found:
        return []
    whole: list[Sequence[Node]] = []
    split: list[Sequence[Node]] = []
    for score in found:
        without = f"{score.left_out}" if score.left_out else "–"
        names = (score.column.engine, score.column.algorithm)
        whole.append([*names, *figures(score.whole), without])
        split += [[*names, label, *figures(mean)] for label, mean in parts(score)]
    names, numbers = ("engine", "algorithm"), ("pairs", "speedup", "compression", "metric")
    explained = (
        "√((speedup² + compression²) / 2), Eq. 9 of BiBench, of means over pairs: a binarized model and its "
        "full-precision twin on the same device, engine, threads and cores. ~ marks what rests on a measurement "
        "that is not stable. Pairs with more threads than cores, or with an invalid half, are left out."
    )
    shown = [table("Hardware metric", (*names, *numbers, "left out"), whole, (*numbers, "left out"))]
    if split:
        title = "Means over parts: devices, networks, threads"
        shown.append(details(title, table(title, (*names, "mean over", *numbers), split, numbers)))
    return [tag("section", tag("h2", "Hardware metric"), tag("p", explained), *shown)]


def _contents(found: Sequence[Subject]) -> Element:
    links = [
        tag("li", tag("a", subject.title, href=f"#subject-{number}"))
        for number, subject in enumerate(found, start=1)
    ]
    return tag("nav", tag("h2", "Devices and networks"), tag("ul", *links), aria_label="Devices and networks")


def _subject(number: int, subject: Subject, charts: Charts) -> Element:
    first = next(iter(subject.lines.values())).row
    host = first.host
    cores = f"{host.cores} core{'s' if host.cores > 1 else ''}"
    shapes = ", ".join("×".join(map(str, shape)) for shape in first.inputs)
    facts = [host.cpu, cores, host.arch, host.system, *([f"input {shapes}"] if shapes else [])]
    drawn = [
        latency_chart(subject),
        speedup_chart(subject),
        size_chart(subject),
        accuracy_chart(subject),
        *layer_charts(subject),
    ]
    return tag(
        "section",
        tag("h2", subject.title),
        tag("p", ", ".join(facts), class_="facts"),
        tag("div", *(charts.figure(chart) for chart in drawn if chart), class_="charts"),
        id=f"subject-{number}",
    )


def _about(summary: Report, with_published: bool) -> Element:
    said = [
        "Latency is the median of all runs of the newest valid measurement. Its 95 % interval is the wider of two "
        "from order statistics: over all runs, and over the medians of the turns that they were taken in.",
        "Speedup and compression are T(fp32) / T(binarized) and size(fp32) / size(binarized).",
    ]
    if not any(line.row.operators for line in summary.lines):
        said.append(NO_OPERATORS)
    if with_published:
        said.append(
            f"BiBench's figures: {SOURCE}, by chip, threads, network and engine. The paper does not state the "
            "sizes of its inputs."
        )
    return tag("section", tag("h2", "About"), *(tag("p", text) for text in said))
