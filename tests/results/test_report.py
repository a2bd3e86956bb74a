"""What a session's rows amount to, as data and as tables."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from bibench_deploy.results.document import document
from bibench_deploy.results.report import Report, report
from bibench_deploy.results.row import HostFacts, Row
from bibench_deploy.results.tables import milliseconds, show, size
from support.rows import MS, make_row


def twin(**facts: object) -> Row:
    """Full precision: 40 ms and 8 MB against 10 ms and 1 MB."""
    defaults = {"variant": "fp32", "kernel": None, "sha256": "f" * 64, "binary_ops": 0}
    return make_row(**(defaults | {"size_bytes": 8_000_000, "samples_ns": [40 * MS] * 30} | facts))


def shown(summary: Report, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show(summary, console)
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_a_model_is_compared_with_its_twin() -> None:
    (comparison,) = report([twin(), make_row()]).comparisons
    assert (comparison.metric.speedup, comparison.metric.compression) == (4.0, 8.0)
    assert comparison.metric.overall == pytest.approx(math.sqrt((16 + 64) / 2))


@pytest.mark.parametrize(
    "other",
    [{"threads": 2}, {"source_sha256": "1" * 64}, {"engine": "native"}, {"device": "rpi4"}],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_in_more_than_the_variant_is_not_compared(other: dict[str, object]) -> None:
    summary = report([twin(**other), make_row()])
    assert summary.comparisons == ()
    assert summary.overall is None


def test_the_overall_metric_is_over_the_means_of_all_pairs() -> None:
    rows = [twin(), make_row(), twin(threads=2, samples_ns=[20 * MS] * 30), make_row(threads=2)]
    overall = report(rows).overall
    assert overall is not None
    assert (overall.speedup, overall.compression, overall.pairs) == (3.0, 8.0, 2)
    assert overall.overall == pytest.approx(math.sqrt((9 + 64) / 2))


def test_an_oversubscribed_pair_does_not_count_in_the_overall_metric() -> None:
    """Four cores, eight threads: what is measured there is waiting."""
    crowd = [twin(threads=8, samples_ns=[4000 * MS] * 30), make_row(threads=8)]
    summary = report([twin(), make_row(), *crowd])
    assert [comparison.metric.speedup for comparison in summary.comparisons] == [4.0, 400.0]
    assert summary.overall is not None
    assert (summary.overall.speedup, summary.overall.pairs) == (4.0, 1)
    assert "mean of 1 (without +): speedup 4.00×" in shown(summary)
    assert report(crowd).overall is None


def test_the_json_document_keeps_its_promised_fields() -> None:
    found = json.loads(json.dumps(document(report([twin(), make_row()])), allow_nan=False))
    promised = {"device", "engine", "model", "variant", "threads", "median_ms", "p10_ms", "p90_ms", "runs"}
    assert promised | {"size_bytes", "verdict", "kernel", "cpu", "verified", "changes"} <= set(
        found["rows"][0]
    )
    (metric,) = found["metrics"]
    assert {"device", "engine", "model", "threads", "speedup", "compression", "hardware_metric"} <= set(
        metric
    )
    assert (found["rows"][1]["median_ms"], found["rows"][1]["verdict"]) == (10.0, "stable")


def test_turns_are_pairs_only_where_they_were_in_rotation() -> None:
    """A machine that slows down by a third: of rows that had their turns in rotation the ratio is sharp."""
    slower = [MS * (30 + turn) for turn in range(10)]
    turns = {"samples_ns": slower, "turns": [1] * 10, "session": "s"}
    pairs = [(twin(**turns, block=one), make_row(**turns, block=other)) for one, other in _BLOCKS]
    found = [report(pair).comparisons[0] for pair in pairs]
    assert [comparison.paired for comparison in found] == [True, False, False]
    sharp, *wide = [comparison.interval for comparison in found]
    assert sharp is not None
    assert (sharp.low, sharp.high) == (1, 1)
    for interval in wide:  # a session may have been interrupted for a day
        assert interval is not None
        assert interval.low < 0.9
        assert interval.high > 1.1


_BLOCKS = [("a", "a"), ("a", "b"), (None, None)]


def test_no_rows_are_an_empty_document() -> None:
    assert document(report([])) == {
        "rows": [], "sweeps": [], "metrics": [], "not_compared": [], "overall": None
    }  # fmt: skip


@pytest.mark.parametrize("name", ["resnet18", "resnet18_bireal_imagenet_zero_padding__frozen__dynamo"])
def test_the_tables_fit_a_terminal_of_80_columns(name: str) -> None:
    rows = [twin(model=name), make_row(model=name, variant="dorefa|bireal|recu|fda", threads=1)]
    text = shown(report(rows))
    assert max(map(len, text.splitlines())) <= 80
    for figure in ("40.0", "10.0", "8.00 MB", "1.00 MB", "4.00×", "8.00×", "6.32", "indirect", "a processor"):
        assert figure in text
    assert name in text
    assert "dorefa|bireal|recu|fda" in text


def test_every_model_has_a_table_of_its_own() -> None:
    lines = shown(report([make_row(model="a"), make_row(model="b", sha256="c" * 64)])).splitlines()
    assert lines.index("a") < lines.index("b")
    assert sum(line.startswith("variant") for line in lines) == 2


def test_kernels_that_differ_stand_in_their_rows() -> None:
    one = shown(report([make_row(), make_row(threads=2)]))
    two = shown(report([make_row(), make_row(threads=2, kernel="default")]))
    assert "engine larq (binary kernel indirect)\n" in one
    assert "default or indirect" in two
    assert "kernel" not in next(line for line in one.splitlines() if line.startswith("variant"))
    assert "kernel" in next(line for line in two.splitlines() if line.startswith("variant"))


def test_a_changed_function_is_marked_in_every_table_and_explained() -> None:
    changed = make_row(changes=["layer1: pads +1 instead of 0"])
    lines = shown(report([twin(), changed])).splitlines()
    assert sum("bnn ≠" in line for line in lines) == 2
    assert "≠ resnet18 bnn computes another function than its model: layer1: pads +1 instead of 0" in lines


def test_an_unverified_artefact_is_marked_in_every_table_and_explained() -> None:
    lines = shown(report([twin(), make_row(verified=False)])).splitlines()
    assert sum("bnn ?" in line for line in lines) == 2
    assert "? resnet18 bnn was not verified against its model" in lines


def test_marks_are_absent_where_there_is_nothing_to_say() -> None:
    text = shown(report([twin(), make_row()]))
    assert "≠" not in text
    assert "?" not in text


def test_more_threads_than_cores_are_marked_and_explained() -> None:
    text = shown(report([make_row(threads=8)]))
    assert " 8+ " in text
    assert "+ oversubscribed: more threads than the machine's 4 cores" in text


def test_an_unstable_measurement_is_called_so_and_explained() -> None:
    text = shown(report([make_row(samples_ns=[10 * MS] * 9 + [20 * MS] * 9)]))
    assert "unstable, ~: p90 − p10 is more than 10 % of the median (1 of 1)" in text
    assert "unstable" not in shown(report([make_row()]))


@pytest.mark.parametrize("shaky", ["fp32", "bnn"])
def test_a_speedup_of_an_unstable_measurement_is_marked(shaky: str) -> None:
    samples = {"samples_ns": [10 * MS] * 20 + [20 * MS] * 10}
    rows = [twin(**samples if shaky == "fp32" else {}), make_row(**samples if shaky == "bnn" else {})]
    speedup = 1.0 if shaky == "fp32" else 4.0
    assert f"~{speedup:.2f}×" in shown(report(rows))
    assert document(report(rows))["metrics"][0]["stable"] is False
    assert document(report([twin(), make_row()]))["metrics"][0]["stable"] is True


def test_a_board_is_not_promised_by_an_x86_machine() -> None:
    host = HostFacts(cpu="a processor", arch="x86_64", cores=4, system="Linux 6.1")
    assert "made for ARM" in shown(report([make_row(host=host)]))
    assert "made for ARM" not in shown(report([make_row()]))


def test_names_are_printed_as_they_are() -> None:
    assert "[bold]net[/bold]" in shown(report([make_row(model="[bold]net[/bold]")]), 120)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_milliseconds_have_three_digits(value: float, text: str) -> None:
    assert milliseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999 B"), (41_640, "42 kB"), (999_999, "1000 kB"), (46_750_000, "46.75 MB")]
)
def test_sizes_are_decimal(value: int, text: str) -> None:
    assert size(value) == text


def test_several_engines_stand_in_their_rows_and_have_no_common_mean() -> None:
    pairs = [
        make_row(engine=engine, variant=variant)
        for engine in ("larq", "native")
        for variant in ("fp32", "bnn")
    ]
    text = shown(report(pairs))
    assert "engine larq (binary kernel indirect) and native" in text
    assert [line.split()[:2] for line in text.splitlines() if line.startswith(("larq ", "native "))] == [
        ["larq", "fp32"],
        ["larq", "bnn"],
        ["native", "fp32"],
        ["native", "bnn"],
    ]
    assert "mean of" not in text


def test_a_verdict_that_was_given_when_it_was_measured_stands() -> None:
    """Samples that all agree, and yet the clock moved."""
    judged = make_row(verdict="unstable", reasons=["the clock moved"])
    (line,) = report([judged]).lines
    assert (line.stable, line.verdict) == (False, "unstable: the clock moved")
    assert "resnet18 bnn larq 1: unstable: the clock moved" in shown(report([judged]))
    settled = make_row(verdict="stable", samples_ns=[10 * MS] * 9 + [20 * MS] * 9)
    assert report([settled]).lines[0].verdict == "stable"


def test_an_invalid_measurement_is_compared_and_does_not_count() -> None:
    summary = report([twin(), make_row(verdict="invalid", reasons=["throttled"])])
    assert len(summary.comparisons) == 1
    assert summary.overall is None


def test_what_an_engine_can_not_do_is_a_row_without_figures() -> None:
    rows = [
        make_row(
            engine="dabnn", threads=n, state="not_applicable", samples_ns=[], reasons=["one thread only"]
        )
        for n in (2, 4)
    ]
    summary = report([make_row(), *rows])
    assert len(summary.lines) == 1
    first, second, _ = document(summary)["rows"]
    assert (first["state"], second["state"], second["median_ms"], second["runs"]) == (
        "measured",
        "not_applicable",
        None,
        0,
    )
    assert second["verdict"] == "not applicable: one thread only"
    assert "dabnn resnet18 bnn with 2, 4 threads: not applicable (one thread only)" in shown(summary)
    assert "not applicable" in shown(report(rows))
