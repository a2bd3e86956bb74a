"""Parallel efficiency and the knee of a sweep over thread counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bibench_deploy.results.document import document
from bibench_deploy.results.report import report
from bibench_deploy.results.scaling import knee, sweeps
from bibench_deploy.results.tables import show
from support.rows import MS, make_row


def rows(medians: dict[int, float], **facts: object) -> list:  # type: ignore[type-arg]
    return [
        make_row(threads=n, samples_ns=[round(ms * MS)] * 30, verdict="stable", **facts)
        for n, ms in medians.items()
    ]


@pytest.mark.parametrize(
    ("medians", "found"),
    [
        ({1: 40, 2: 20, 4: 10}, 4),  # each core does its share
        ({1: 40, 2: 22, 4: 18}, 2),  # four: faster by 1.22, less than sqrt(2)
        ({1: 40, 2: 30, 4: 28}, 1),  # two: faster by 1.33
        ({1: 40, 2: 41, 4: 15}, 4),  # a bad count between does not hide a good one
        ({2: 20, 4: 15}, 2),  # one thread was not measured: still a choice
        ({1: 40}, None),
        ({}, None),
    ],
)
def test_the_knee_is_the_last_count_that_is_worth_its_cores(
    medians: dict[int, float], found: int | None
) -> None:
    assert knee(medians) == found


@given(st.floats(0, 1), st.lists(st.integers(2, 64), min_size=1, unique=True))
def test_at_the_knee_of_amdahls_law_half_of_the_cores_work(serial: float, counts: list[int]) -> None:
    """What Eager, Zahorjan and Lazowska prove, where every count up to the knee was measured."""
    medians = {n: serial + (1 - serial) / n for n in range(1, max(counts) + 1)}
    n = knee(medians)
    assert n is not None
    assert medians[1] / (n * medians[n]) >= 0.5 - 1e-9


def test_sweeps_are_told_apart_and_oversubscribed_counts_are_no_knee() -> None:
    lines = report(
        [*rows({1: 40, 2: 20, 8: 4}), *rows({1: 9, 2: 8}, cpus="little"), *rows({2: 5}, engine="native")]
    ).lines
    free, little = sweeps(lines)  # native has one count
    assert dict(free.efficiency) == pytest.approx({1: 1, 2: 1, 8: 1.25})
    assert (free.knee, little.knee) == (2, 1)  # eight threads on four cores


def test_without_one_thread_there_is_no_efficiency() -> None:
    (sweep,) = sweeps(report(rows({2: 20, 4: 10})).lines)
    assert (sweep.efficiency, sweep.knee) == ({}, 4)


def test_tables_and_documents_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(rows({1: 40, 2: 25, 4: 24}))
    show(found, Console(width=80))
    printed = capsys.readouterr().out
    efficiencies = [line.split()[2] for line in printed.splitlines() if line.startswith("bnn")]
    assert efficiencies == ["100%", "80%", "42%"]
    assert "knee: 2 threads, more are not worth their cores: resnet18 bnn larq" in printed
    assert max(len(line) for line in printed.splitlines() if "knee" not in line) <= 90
    made = json.loads(json.dumps(document(found)))
    assert [row["parallel_efficiency"] for row in made["rows"]] == pytest.approx([1, 0.8, 40 / 96])
    assert (made["sweeps"][0]["knee"], made["sweeps"][0]["threads"]) == (2, [1, 2, 4])
