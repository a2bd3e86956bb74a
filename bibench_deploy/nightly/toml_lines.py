"""In which line of a TOML text a key stands.

Neither ``tomllib`` nor ``tomlkit`` tells. The text is known to be valid TOML 1.0 here (``tomllib`` read it), so
that a scan of headers, keys and brackets suffices; values are skipped, not understood.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence

#: Keys and, for the entries of arrays, their numbers from 0, as pydantic gives them.
Place = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
# A date and its time may have a blank between them.
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d[^\s,\]}#]*|[^\s,\]}#]+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def lines_of(text: str) -> dict[Place, int]:
    """The line, from 1, of every key, table and array entry of a valid TOML text."""
    scan = _Scan(text)
    scan.document()
    starts = [match.end() for match in re.finditer("\n", text)]
    return {place: bisect_right(starts, offset) + 1 for place, offset in scan.found.items()}


def line_of(place: Sequence[str | int], lines: Mapping[Place, int]) -> int | None:
    """The line of a place, or of the innermost table around it that is written; None where none is."""
    for length in range(len(place), 0, -1):
        if tuple(place[:length]) in lines:
            return lines[tuple(place[:length])]
    return None


class _Scan:
    """One pass over a text; ``found`` has the offset at which each place is first written."""

    def __init__(self, text: str) -> None:
        self.found: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._entries: dict[Place, int] = {}  # arrays of tables: how many entries so far

    def document(self) -> None:
        table: Place = ()
        while self._skip(_BLANK) < len(self._text):
            start = self._at
            if not self._text.startswith("[", start):
                self._pair(table)
                continue
            array = self._text.startswith("[[", start)
            self._at += 2 if array else 1
            table = self._header(self._keys(), array, start)
            self._skip(_SPACE)
            self._at += 2 if array else 1

    def _header(self, keys: Sequence[str], array: bool, start: int) -> Place:
        place: Place = ()
        for number, key in enumerate(keys, start=1):
            place = (*place, key)
            self.found.setdefault(place, start)
            if array and number == len(keys):
                self._entries[place] = self._entries.get(place, 0) + 1
            if place in self._entries:  # what is said of an array is said of its last entry
                place = (*place, self._entries[place] - 1)
                self.found.setdefault(place, start)
        # A table may come after those in it: [a.b], then [a].
        if not array:
            self.found[place] = start
        return place

    def _pair(self, table: Place) -> None:
        start, place = self._at, table
        for key in self._keys():
            place = (*place, key)
            self.found.setdefault(place, start)
        self._skip(_SPACE)
        self._at += 1  # the sign =
        self._value(place)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            quoted = self._text[self._at] in "\"'"
            match = (_STRING if quoted else _BARE_KEY).match(self._text, self._at)
            assert match is not None, "the text is valid TOML"
            self._at = match.end()
            keys.append(tomllib.loads(f"key = {match[0]}")["key"] if quoted else match[0])
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _value(self, place: Place) -> None:
        start = self._skip(_SPACE)
        self.found.setdefault(place, start)
        first = self._text[start]
        if first in "[{":
            self._at += 1
            number = 0
            while self._text[self._skip(_BLANK)] not in "]}":
                if self._text[self._at] == ",":
                    self._at += 1
                elif first == "{":
                    self._pair(place)
                else:
                    self._value((*place, number))
                    number += 1
            self._at += 1
            return
        match = (_STRING if first in "\"'" else _SCALAR).match(self._text, start)
        assert match is not None, "the text is valid TOML"
        self._at = match.end()

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        assert match is not None, "the pattern matches nothing, too"
        self._at = match.end()
        return self._at
