"""What every page has, whatever stands in it: head, style, heading, switch of the theme, program."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from xml.etree.ElementTree import Element

from .bundle import javascript, own
from .chart import Chart, Spec
from .dom import Node, data, details, script, table, tag, write

# A page loads nothing, or what lies beside it: whatever a store holds, the browser asks no one else for it. Vega's
# expressions are interpreted.
POLICY = (
    "default-src 'none'; script-src {}; style-src {} 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
INLINE = POLICY.format("'unsafe-inline'", "")
BESIDE = POLICY.format("'self'", "'self'")
STYLE, CHARTS, PROGRAM = "style.css", "charts.js", "page.js"


@dataclass
class Charts:
    """The charts of a page, each with its place in it."""

    specs: dict[str, Spec] = field(default_factory=dict)

    def figure(self, chart: Chart, level: str = "h3") -> Element:
        """The place of a chart, with its numbers as a table below."""
        name = f"chart-{len(self.specs) + 1}"
        self.specs[name] = chart.spec
        notes = [tag("p", note) for note in chart.notes]
        return tag(
            "figure",
            tag("figcaption", tag(level, chart.title), *notes),
            tag("div", class_="chart", id=name, role="img", aria_label=chart.description),
            details("Numbers of this chart", table(chart.title, chart.columns, chart.rows, chart.figures)),
        )


@cache
def shared() -> dict[str, tuple[str, bytes]]:
    """What pages of one folder have in common, by what it is: a file's name and what it holds.

    A name changes with what is in the file, so that no browser takes an old one for it.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    files = {STYLE: own(STYLE), CHARTS: javascript(), PROGRAM: own(PROGRAM)}
    found = {}
    for name, text in files.items():
        stem, _, kind = name.partition(".")
        data = text.encode()
        found[name] = f"{stem}-{hashlib.sha256(data).hexdigest()[:8]}.{kind}", data
    return found


def frame(
    title: str,
    lead: Sequence[Node],
    body: Sequence[Element],
    charts: Charts,
    more: Mapping[str, Any] | None = None,
    beside: str | None = None,
    links: Sequence[Element] = (),
) -> bytes:
    """A whole page, in one file or with the files of ``shared`` beside it.

    Args:
        lead: what stands below the title.
        more: what the page's program needs beside the charts, by the id of its element.
        beside: where the files of ``shared`` are, relative to the page; None for a page in one file.
        links: further elements of its head.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    if beside is None:
        policy, style = INLINE, tag("style", own(STYLE))
        programs = [script(javascript()), script(own(PROGRAM))]
    else:
        names = {kind: f"{beside}/{name}" for kind, (name, _) in shared().items()}
        policy, style = BESIDE, tag("link", rel="stylesheet", href=names[STYLE])
        needed = (CHARTS, PROGRAM) if charts.specs else (PROGRAM,)
        programs = [tag("script", src=names[kind]) for kind in needed]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        style,
        *links,
    )
    switch = tag("button", "theme: as the system", type="button", id="theme", aria_live="polite")
    header = tag("header", tag("div", tag("h1", title), switch, class_="title"), *lead)
    known = [data(name, value) for name, value in {"charts": charts.specs, **(more or {})}.items()]
    without = tag("noscript", tag("p", "The charts need JavaScript; their numbers stand in the tables."))
    page = tag(
        "html",
        head,
        tag(
            "body",
            tag("a", "To the content", href="#content", class_="skip"),
            header,
            without,
            tag("main", *body, id="content"),
            *known,
            *programs,
        ),
        lang="en",
    )
    return write(page)


def one_chart(chart: Chart) -> bytes:
    """A page of one chart.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    charts = Charts()
    return frame(chart.title, [], [charts.figure(chart, "h2")], charts)
