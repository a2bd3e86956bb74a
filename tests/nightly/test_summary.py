"""What GitHub shows: Markdown that says what it is meant to say, and annotations."""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bibench_deploy.nightly.document import Ill
from bibench_deploy.nightly.finding import Status
from bibench_deploy.nightly.summary import MOST_ANNOTATIONS, MOST_BYTES, commands, summary
from support.reports import report, told

NASTY = "a|b `c` *d* <img src=x onerror=alert(1)> [e](http://f) ~g~ # h\n\n## i"


def cells(markdown: str) -> list[str]:
    """The text of all cells of all tables, as a reader shows it."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return [
        "".join(child.content for child in token.children or [])
        for before, token in pairwise(tokens)
        if before.type in ("td_open", "th_open")
    ]


def test_when_nothing_changed_it_is_two_lines() -> None:
    lines = [line for line in summary(report(*[told(Status.SAME)] * 96)).splitlines() if line]
    assert lines == [
        "### ✅ nothing got worse: 96 measured",
        "Plan lab, night 2026\\-11\\-22, commit ffffffffffff; against the last nights. 96 jobs: 96 same.",
    ]


def test_findings_are_a_table_and_infrastructure_stands_apart() -> None:
    made = report(
        told(Status.SLOWER),
        told(Status.FLOAT, ratio=None),
        told(Status.MISSING, device="rpi3", words="no answer"),
        told(Status.MISSING, device="rpi3", words="no answer", threads=1),
        told(Status.FASTER, ratio=0.8, model="vgg"),
        devices=(
            Ill(device="rpi3", failures=3, quarantined=True, words="no answer"),
            Ill(device="rpi5", failures=1, quarantined=False, words="was rebooted"),
        ),
    )
    text = summary(made)
    assert text.startswith("### ❌ ")
    titles = re.findall(r"^#### (.+)$", text, re.MULTILINE)
    assert titles == ["Regressions", "Infrastructure (no regression)", "Faster"]
    found = cells(text)
    assert found[9:18] == [
        "rpi4",
        "resnet18",
        "dorefa",
        "native, 4 threads",
        "11.2 ms",
        "10 ms",
        "1.12",
        "2026-11-20 (a1b2c3d)",
        "words of slower",
    ]
    assert "- **rpi3**: 2 jobs: no answer" in text
    assert "- **rpi3** failed 3 times, given up for the night: no answer" in text
    assert "- **rpi5** failed 1 time, recovered: was rebooted" in text


@pytest.mark.parametrize(
    ("status", "mark"), [(Status.SAME, "✅"), (Status.SLOWER, "❌"), (Status.MISSING, "⚠️")]
)
def test_the_mark_is_the_exit_code(status: Status, mark: str) -> None:
    assert summary(report(told(status))).startswith(f"### {mark} ")


def test_names_have_no_meaning_in_markdown() -> None:
    text = summary(report(told(Status.SLOWER, model=NASTY, words=NASTY)))
    plain = " ".join(NASTY.split())
    assert cells(text)[10] == plain
    assert cells(text)[17] == plain
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<img" not in html
    assert "<a " not in html
    assert "<h2" not in html


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_table_has_its_cells_whatever_is_in_them(words: str) -> None:
    assert len(cells(summary(report(told(Status.SLOWER, words=words))))) == 18


def test_it_stays_below_githubs_limit_and_says_what_is_missing() -> None:
    many = report(*(told(Status.SLOWER, model=f"model{n}", words="ü" * 500) for n in range(5000)))
    text = summary(many)
    assert 0.9 * MOST_BYTES < len(text.encode()) <= MOST_BYTES
    cut = re.search(r"_…and ([\d,]+) more lines, for which there is no room here", text)
    assert cut is not None
    assert int(cut[1].replace(",", "")) == 5000 - text.count("| rpi4 |")


def test_annotations_are_escaped_as_github_demands() -> None:
    made = report(
        told(Status.SLOWER, model="a:b,c", words="100 %\r\nsecond"),
        told(Status.MISSING, device="rpi3", words="no: answer"),
        told(Status.SAME),
    )
    error, warning = commands(made)
    assert "\n" not in error
    assert error.startswith("::error title=regression::a:b,c dorefa on rpi4 ")
    assert unquote(error).endswith("12 % slower since 2026-11-20 (a1b2c3d): 100 %\r\nsecond")
    assert error.endswith(": 100 %25%0D%0Asecond")
    assert warning == "::warning title=infrastructure::rpi3: 1 job not judged: no: answer"


def test_of_many_annotations_the_last_counts_the_rest() -> None:
    lines = commands(report(*(told(Status.SLOWER, model=f"m{n}") for n in range(25))))
    assert len(lines) == MOST_ANNOTATIONS
    assert lines[-1] == "::error::and 16 more: see the summary"
    assert commands(report(told(Status.SAME))) == []
