"""Elements of a page. Text and attributes are escaped when they are written, never by whoever makes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree.ElementTree import Element, tostring

Node = Element | str


def tag(name: str, /, *children: Node, **attributes: str) -> Element:
    """An element; ``class_`` and ``aria_label`` are the attributes ``class`` and ``aria-label``."""
    element = Element(name, {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()})
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            element.append(child)
            last = child
        elif last is None:
            element.text = (element.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return element


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Node]], figures: Sequence[str] = ()
) -> Element:
    """A table that scrolls within itself, by keyboard too.

    Args:
        figures: the columns that hold numbers.
    """
    right = {index for index, column in enumerate(columns) if column in figures}
    kind = [{"class_": "figure"} if index in right else {} for index in range(len(columns))]
    head = tag("tr", *(tag("th", column, scope="col", **kind[index]) for index, column in enumerate(columns)))
    body = [tag("tr", *(tag("td", cell, **kind[index]) for index, cell in enumerate(row))) for row in rows]
    found = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", found, class_="scroll", tabindex="0", role="region", aria_label=caption)


def details(summary: str, *children: Node) -> Element:
    """What is shown when it is asked for."""
    return tag("details", tag("summary", summary), *children)


def data(identifier: str, value: Any) -> Element:
    """A value as JSON for the page's program, which no text in it can break out of.

    Raises:
        ValueError: a number that JSON has not (NaN, infinity).
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Within a script only "<" can end it or open a comment; in JSON it stands in strings alone.
    return tag("script", text.replace("<", "\\u003c"), id=identifier, type="application/json")


def script(program: str) -> Element:
    """A program of ours.

    Raises:
        ValueError: it holds what would end the element.
    """
    if "</script" in program.casefold() or "<!--" in program:
        raise ValueError("a program that can't stand in a page")
    return tag("script", program)


def write(html: Element) -> bytes:
    """The file of a page."""
    return b"<!DOCTYPE html>\n" + tostring(html, encoding="unicode", method="html").encode() + b"\n"
