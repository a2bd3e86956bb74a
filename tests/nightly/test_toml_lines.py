"""In which line of a plan a key stands, however it is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.nightly.toml_lines import Place, line_of, lines_of

TEXT = '''# a comment with [brackets] and = signs
format = 1
measure = { min_time = 1, max_time = 2 }
gate.nights = 7
"gate".'factor' = 1.5

[[models]]   # first
file = "a # b ] \\" c"
engines = [
  "native", # [x]

  'larq',
]
[[ models ]]
file = 1979-05-27 07:32:00
data = """x
[[models]]
file = 'no'
"""
[models.inner]
deep = [[1, 2], [{ a = 3 },
  { b = 4 }]]
[a.b.c]
x = 1
[a]
y = \'\'\'
\'\'\'
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("format",), 2),
        (("measure",), 3),
        (("measure", "max_time"), 3),
        (("gate",), 4),
        (("gate", "nights"), 4),
        (("gate", "factor"), 5),
        (("models",), 7),
        (("models", 0), 7),
        (("models", 0, "file"), 8),
        (("models", 0, "engines"), 9),
        (("models", 0, "engines", 0), 10),
        (("models", 0, "engines", 1), 12),
        (("models", 1), 14),
        (("models", 1, "file"), 15),
        (("models", 1, "data"), 16),
        (("models", 1, "inner"), 20),
        (("models", 1, "inner", "deep", 1, 1, "b"), 22),
        (("a", "b", "c"), 23),
        (("a", "b", "c", "x"), 24),
        (("a",), 25),
        (("a", "y"), 26),
        # What is not written stands where its table does.
        (("models", 1, "engines"), 14),
        (("models", 0, "engines", 5), 9),
        (("nothing",), None),
        ((), None),
    ],
)
def test_every_spelling(place: Place, line: int | None) -> None:
    assert line_of(place, lines_of(TEXT)) == line


def test_windows_line_ends() -> None:
    assert lines_of("a = 1\r\n\r\n[t]\r\nb = 2\r\n") == {("a",): 1, ("t",): 3, ("t", "b"): 4}


SCALARS = st.sampled_from(
    [
        "1",
        "-0.5e3",
        "true",
        "1979-05-27T07:32:00Z",
        "1979-05-27 07:32:00",
        "07:32:00",
        '"# ] } , = \\" \\\\"',
        "'C:\\'",
        '""',
        '"""\n[no]\nkey = 1 # "" \\""" """',
        "'''\n[[no]]\n'''''",
        '"""two quotes at the end"""""',
    ]
)
GAPS = st.sampled_from(["", " ", "\n", '# ] } "\n', "\t\n\n"])


def containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arrays = st.lists(st.tuples(GAPS, values, GAPS), max_size=3).map(
        lambda entries: "[" + ",".join(f"{before}{value}{after}" for before, value, after in entries) + "]"
    )
    tables = st.lists(values, max_size=3).map(
        lambda entries: "{" + ", ".join(f"i{number} = {value}" for number, value in enumerate(entries)) + "}"
    )
    return arrays | tables


VALUES = st.recursive(SCALARS, containers, max_leaves=5)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, int]]:
    """A text, and the line of each of its keys k0, k1, …, which are nowhere else in it."""
    text, lines = "", {}

    def line() -> int:
        return text.count("\n") + 1

    for number in range(draw(st.integers(0, 6))):
        text += draw(st.sampled_from(["", "\n", "  # k = 1 [x]\n"]))
        header = draw(st.sampled_from(["", "[t{}]\n", "[[entries]]\n", "[ t{} . 'x y' ] # [z]\n"]))
        text += header.format(number)
        for part in range(draw(st.integers(0, 2))):
            key = f"k{number}_{part}"
            lines[key] = line()
            spelt = draw(st.sampled_from([key, f'"{key}"', f" '{key}'"]))
            text += f"{spelt} = {draw(VALUES)}{draw(st.sampled_from(['', ' # end']))}\n"
    return text, lines


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every key and entry of a document."""
    if place:
        yield place
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        yield from places(inner, (*place, key))


@given(documents())
def test_finds_what_tomllib_reads_and_nothing_else(document: tuple[str, dict[str, int]]) -> None:
    text, expected = document
    found = lines_of(text)
    assert set(found) == set(places(tomllib.loads(text)))
    keys = {str(place[-1]): line for place, line in found.items() if str(place[-1]) in expected}
    assert keys == expected
