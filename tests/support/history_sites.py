"""What a site of the history refers to and tells."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bibench_deploy.results.history.feed import ATOM

CHANGE, NIGHTS = 30, 45


class Links(HTMLParser):
    """All that a page refers to, its ids, and the data in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.data: dict[str, Any] = {}
        self._within: str | None = None
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.targets += [value for name in ("href", "src") if (value := found.get(name)) is not None]
        self.ids += [value for value in [found.get("id")] if value]
        self._within = found["id"] if found.get("type") == "application/json" else None

    def handle_data(self, data: str) -> None:
        if self._within and data.strip():
            self.data[self._within] = json.loads(data)


def atom(name: str) -> str:
    return f"{{{ATOM}}}{name}"


def feed_of(site: Path) -> ElementTree.Element:
    return ElementTree.parse(site / "feed.xml").getroot()
