"""The list of all measurements, each with its verdict, and the way down to its conditions and samples. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ..fields import FIELDS, facts
from ..listing import ID_DIGITS, fact_words, moment
from ..report import Line, Report
from ..row import Row
from ..tables import OVERSUBSCRIBED, marks, milliseconds, size
from .dom import Node, table, tag
from .latency import interval_words
from .samples import room_for, sample_data, samples_spec

# What the page tells of a row in other places.
_TOLD = frozenset({"id", "turns", "schema_version"})
COLUMNS = (
    "row",
    "device",
    "engine",
    "model",
    "variant",
    "threads",
    "median ms",
    "95 % interval",
    "size",
    "verdict",
    "why",
    "measured",
)
FIGURES = ("threads", "median ms", "95 % interval", "size")


def measurement_list(summary: Report) -> Element:
    """One line a row; what was not applicable stands last."""
    rows = [*(_line(number, line) for number, line in enumerate(summary.lines))]
    rows += [_not_applicable(row) for row in summary.not_applicable]
    search = tag(
        "p",
        tag("label", "Only those with ", for_="filter"),
        tag("input", id="filter", type="search", placeholder="rpi4 larq unstable"),
        tag("span", id="filtered", role="status"),
    )
    listed = table("Measurements", COLUMNS, rows, FIGURES)
    listed.set("id", "measurements")
    return tag("div", search, listed)


def measurement_data(summary: Report) -> dict[str, Any]:
    """What the page's program shows of a row when it is opened: facts by name, and samples.

    Returns:
        ``names`` of the facts, ``same``: those that all rows have in common, ``facts``: the others of each row by
        the place of their name, ``samples`` (see ``sample_data``), ``spec`` of their chart.
    """
    room = room_for(len(summary.lines))
    names = [field.name for field in FIELDS if field.name not in _TOLD]
    known = [facts(line.row) for line in summary.lines]
    words = [[fact_words(found[name]) for name in names] for found in known]
    constant = {
        place for place in range(len(names)) if len(words) > 1 and len({told[place] for told in words}) == 1
    }
    return {
        "names": names,
        "same": {place: words[0][place] for place in sorted(constant)},
        "facts": [
            {place: value for place, value in enumerate(told) if place not in constant} for told in words
        ],
        "samples": [sample_data(line.row, room) for line in summary.lines],
        "spec": samples_spec(),
    }


def _line(number: int, line: Line) -> Sequence[Node]:
    row = line.row
    word, _, why = line.verdict.partition(": ")
    identifier = str(row.id)[:ID_DIGITS]
    opener = tag(
        "button",
        identifier,
        type="button",
        class_="open",
        aria_expanded="false",
        aria_label=f"samples and conditions of {identifier}",
        data_row=str(number),
    )
    over = " (oversubscribed)" if line.oversubscribed else ""
    return [
        opener,
        *_names(row),
        f"{row.threads}{OVERSUBSCRIBED if over else ''}",
        milliseconds(line.summary.median_ms),
        interval_words(line),
        size(row.size_bytes),
        tag("span", word, class_=f"verdict {word}"),
        why + over,
        moment(row.measured_at),
    ]


def _not_applicable(row: Row) -> Sequence[Node]:
    word = tag("span", "not applicable", class_="verdict none")
    why = ", ".join(row.reasons)
    identifier = str(row.id)[:ID_DIGITS]
    size_words = size(row.size_bytes)
    when = moment(row.measured_at)
    return [identifier, *_names(row), f"{row.threads}", "–", "–", size_words, word, why, when]


def _names(row: Row) -> list[Node]:
    cores = f" (cores {row.cpus})" if row.cpus else ""
    return [row.device + cores, row.engine, row.model, row.variant + marks(row)]
