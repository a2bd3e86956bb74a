"""Rows that were measured under another condition stand in no ratio, and in no table without a mark."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from bibench_deploy.results.conditions import apart
from bibench_deploy.results.document import document
from bibench_deploy.results.paper_tables import show_report
from bibench_deploy.results.report import report
from bibench_deploy.results.row import HostFacts, Row
from bibench_deploy.results.scaling import sweeps
from bibench_deploy.results.tables import show
from bibench_deploy.runners.context import RunContext
from support.rows import MS, make_row

FAST = RunContext(governor="performance", abi="aarch64-linux-gnu", clock_mhz_during={0: 1500.0, 1: 600.0})


def a_row(context: RunContext = FAST, ms: float = 10, **facts: Any) -> Row:
    return make_row(
        **({"samples_ns": [round(ms * MS)] * 30, "context": context, "verdict": "stable"} | facts)
    )


def other(**facts: Any) -> RunContext:
    return FAST.model_copy(update=facts)


OTHERS = [
    (other(governor="ondemand"), "other governor (performance, ondemand)"),
    (other(abi="armv7-linux-gnueabihf"), "other ABI (aarch64-linux-gnu, armv7-linux-gnueabihf)"),
    (other(clock_mhz_during={0: 1000.0}), "other clock (1500 MHz, 1000 MHz)"),
    (other(affinity="0"), None),  # the first row's cores are not known
]


def printed(rows: list[Row], as_report: bool = False) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    if as_report:
        show_report(report(rows), console, {})
    else:
        show(report(rows), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(("context", "why"), OTHERS)
def test_a_twin_under_another_condition_gives_no_ratio(context: RunContext, why: str | None) -> None:
    rows = [a_row(variant="fp32", ms=40, sha256="f" * 64), a_row(context)]
    found = report(rows)
    if why is None:
        assert len(found.comparisons) == 1
        return
    assert (found.comparisons, found.overall) == ((), None)
    assert [pair.why for pair in found.uncompared] == [(why,)]
    for text in (printed(rows), printed(rows, as_report=True)):
        assert f"not compared with full precision: resnet18 bnn larq 1 on local: {why}" in text
        assert "4.00×" not in text
    (told,) = document(found)["not_compared"]
    assert (told["variant"], told["why"]) == ("bnn", [why])


def test_rows_unlike_most_are_marked_in_the_tables() -> None:
    rows = [a_row(variant=v, sha256=v[0] * 64) for v in ("fp32", "bnn", "dorefa")]
    rows.append(a_row(other(governor="ondemand"), variant="xnor"))
    lines = report(rows).lines
    assert apart(lines) == {rows[3].id: ("other governor (performance, ondemand)",)}
    for text in (printed(rows), printed(rows, as_report=True)):
        assert text.count("10.0†") == 1
        assert (
            "† not measured as most are, so not to be compared with them: resnet18 xnor larq 1 on local"
            in text
        )
    assert [row["other_condition"] for row in document(report(rows))["rows"]][3] == [
        "other governor (performance, ondemand)"
    ]


def test_a_clock_that_falls_with_more_threads_is_part_of_what_is_measured() -> None:
    rows = [a_row(threads=1, ms=40), a_row(other(clock_mhz_during={0: 1200.0}), threads=4, ms=12.5)]
    assert apart(report(rows).lines) == {}
    (sweep,) = sweeps(report(rows).lines)
    assert dict(sweep.efficiency) == pytest.approx({1: 1, 4: 0.8})


def test_another_governor_is_no_efficiency() -> None:
    rows = [
        a_row(threads=1, ms=40),
        a_row(other(governor="ondemand"), threads=4, ms=10),
        a_row(threads=2, ms=20),
    ]
    (sweep,) = sweeps(report(rows).lines)
    assert dict(sweep.efficiency) == pytest.approx({1: 1, 2: 1})


def test_devices_are_not_held_against_each_other() -> None:
    rows = [a_row(), a_row(other(governor="ondemand"), device="rpi4")]
    assert apart(report(rows).lines) == {}


def test_the_report_tells_efficiency_knee_and_where_little_cores_begin() -> None:
    host = HostFacts(cpu="Kirin", arch="aarch64", cores=8, system="Linux", clusters=[2, 2, 4])
    latencies = {1: 40.0, 2: 22.0, 4: 12.0, 8: 11.0, 16: 30.0}
    rows = [a_row(threads=n, ms=ms, host=host) for n, ms in latencies.items()]
    text = printed(rows, as_report=True)
    (line,) = [line for line in text.splitlines() if "91 %" in line]
    assert line.split() == ["bnn", "91", "%", "83", "%", "45", "%", "8", "%+", "4", "8"]
    assert "little cores from" in text
    (told,) = document(report(rows))["sweeps"]
    assert (told["knee"], told["little_cores_from"], told["oversubscribed"]) == (4, 8, [16])
    assert "≥ 4" in printed(rows[:3], as_report=True)
    assert "knee: none up to 4 threads: resnet18 bnn larq" in printed(rows[:3])
    assert "local: with 8 threads and more, little cores work, too" in printed(rows)


@pytest.mark.parametrize("clusters", [[], [8]])
def test_without_clusters_nothing_is_said_of_little_cores(clusters: list[int]) -> None:
    host = HostFacts(cpu="x", arch="aarch64", cores=8, system="Linux", clusters=clusters)
    rows = [a_row(threads=n, ms=40 / n, host=host) for n in (1, 8)]
    assert sweeps(report(rows).lines)[0].crossing is None
    assert "little" not in printed(rows, as_report=True)
