"""The news as an Atom feed (RFC 4287). Pure.

Links are relative to the feed, so that it works wherever it is put; ids are derived from what an entry is about, so
that a reader that has seen it does not show it again when the site is written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

from bibench_deploy.xmltext import printable

from ..html.dom import tag
from .names import FEED, INDEX, page_name
from .news import Entry, label
from .overview import MOST_NEWS, TITLE, History

ATOM: Final = "http://www.w3.org/2005/Atom"
AUTHOR: Final = "bibench-deploy"
#: A name space of our own for ids; any UUID would do.
_OURS: Final = UUID("5f6e5b0e-2c8d-5c3a-9a64-6d1f3b7a0c11")


def feed(histories: Sequence[History]) -> bytes:
    """The file of the feed, the newest entry first; UTF-8."""
    register_namespace("", ATOM)
    news = [(history, entry) for history in histories for entry in history.news()]
    news.sort(key=lambda one: (-_at(*one).timestamp(), one[0].plan, one[1].device, one[1].model))
    last = max(night.finished_at or night.started_at for history in histories for night in history.nights)
    root = Element(_name("feed"))
    _text(root, "title", TITLE)
    _text(root, "id", _id("feed", *sorted(history.plan for history in histories)))
    _text(root, "updated", _rfc3339(last))
    _text(SubElement(root, _name("author")), "name", AUTHOR)
    SubElement(root, _name("link"), {"rel": "self", "type": "application/atom+xml", "href": FEED})
    SubElement(root, _name("link"), {"rel": "alternate", "type": "text/html", "href": INDEX})
    for history, entry in news[:MOST_NEWS]:
        _entry(root, history, entry)
    indent(root)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _entry(root: Element, history: History, entry: Entry) -> None:
    night = history.nights[entry.night]
    told = SubElement(root, _name("entry"))
    _text(
        told, "title", f"{'regression: ' if entry.alarm else ''}{entry.device}: {entry.said}, {label(night)}"
    )
    _text(told, "id", _id("entry", history.plan, night.name, entry.device, entry.model))
    _text(told, "updated", _rfc3339(_at(history, entry)))
    href = page_name(history.plan, entry.device, entry.model)
    SubElement(told, _name("link"), {"rel": "alternate", "type": "text/html", "href": href})
    for kind in dict.fromkeys(event.kind for event in entry.events):
        SubElement(told, _name("category"), {"term": printable(kind)})
    lines = [tag("li", printable(f"{e.what.how}: {e.kind}, {e.words}")) for e in entry.events]
    content = SubElement(told, _name("content"), {"type": "html"})
    content.text = tostring(tag("ul", *lines), encoding="unicode", method="html")


def _at(history: History, entry: Entry) -> datetime:
    night = history.nights[entry.night]
    return night.finished_at or night.started_at


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, _name(name)).text = printable(text)


def _name(name: str) -> str:
    return f"{{{ATOM}}}{name}"


def _id(*parts: str) -> str:
    return uuid5(_OURS, "\0".join(map(printable, parts))).urn


def _rfc3339(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
