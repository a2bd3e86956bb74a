"""The page of a report as data: what its charts draw, what it holds of samples; that no name breaks out of it."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.cli.app import app
from bibench_deploy.cli.console import guarded
from bibench_deploy.pareto import dominates, front
from bibench_deploy.results import Store
from bibench_deploy.results.figures import chips, chips_chart, label_sides, picture, rank_correlation
from bibench_deploy.results.html import bundle, dom, page
from bibench_deploy.results.html.chart import log_ticks
from bibench_deploy.results.html.latency import latency_chart, latency_values
from bibench_deploy.results.html.layers import bandwidth, layer_charts, layer_values, roofs, slopes
from bibench_deploy.results.html.measurements import measurement_data
from bibench_deploy.results.html.samples import MOST_OF_A_ROW, MOST_ON_A_PAGE, room_for, sample_data, thinned
from bibench_deploy.results.html.speedup import speedup_chart, speedup_values
from bibench_deploy.results.html.subject import Subject, subjects
from bibench_deploy.results.html.tradeoff import accuracy_chart, size_chart, tradeoff_values
from bibench_deploy.results.tidy import grid, recent, reference
from bibench_deploy.runners.operators import Operator
from support.report_rows import DAY, EVIL, everything, row
from support.rows import MS, make_row


def elements(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """Names and attributes of all elements, as a parser of HTML sees them."""
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(html)
    return found


def pi() -> Subject:
    """Larq and native on a Raspberry Pi 4B, beside the paper's."""
    summary = recent(everything())
    return subjects(summary, reference(grid(summary), {"rpi4": "Raspberry Pi 4B"}))[0]


def test_one_subject_for_each_device_and_network_with_figures() -> None:
    found = subjects(recent(everything()), {})
    assert [subject.title for subject in found] == [
        "rpi4 · resnet18",
        "own-board · resnet18",
        f"board {EVIL} · m {EVIL}_bnn{EVIL}",
    ]


def test_a_latency_has_its_interval_in_ms_and_none_where_turns_are_too_few() -> None:
    first = latency_values(pi())[0]
    assert first["low_ms"] < first["median_ms"] < first["high_ms"]
    assert first["high_ms"] / first["low_ms"] < 1.01
    (few,) = subjects(recent([make_row(turns=[10, 20])]), {})
    assert "low_ms" not in latency_values(few)[0]


def test_speedups_stand_beside_the_papers_for_the_same_chip_threads_and_engine() -> None:
    values = {(v["engine"], v["algorithm"], v["threads"]): v for v in speedup_values(pi())}
    assert values["larq", "bnn", 1]["speedup"] == pytest.approx(400 / 60, rel=0.01)
    assert values["larq", "bnn", 1]["published"] == pytest.approx(448.744 / 80.822, rel=1e-3)
    # The paper ran one network for both.
    assert values["larq", "dorefa", 1]["published"] == values["larq", "bnn", 1]["published"]
    assert "published" not in values["native", "bnn", 1]


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (("a", "a"), "over pairs of turns."),
        ((None, None), "not taken in rotation as far as is known."),
    ],
)
def test_the_page_says_what_an_interval_of_a_speedup_is_of(
    blocks: tuple[str | None, str | None], said: str
) -> None:
    turns = {"samples_ns": [10 * MS + turn for turn in range(10)], "turns": [1] * 10}
    pair = [
        make_row(variant=name, block=block, **turns)
        for name, block in zip(("fp32", "bnn"), blocks, strict=True)
    ]
    (subject,) = subjects(recent(pair), {})
    chart = speedup_chart(subject)
    assert chart is not None
    assert any(note.endswith(said) for note in chart.notes), chart.notes


def test_a_point_of_the_tradeoff_is_the_fastest_stable_line_of_its_artefact() -> None:
    values = {(v["engine"], v["algorithm"]): v for v in tradeoff_values(pi())}
    assert values["larq", "bnn"]["threads"] == 4
    assert values["larq", "bnn"]["accuracy"] == 60
    assert "accuracy" not in values["larq", "fp32"]
    assert values["larq", "reactnet"]["threads"] == 1  # with two it was faster, and invalid


def test_charts_of_a_lone_point_are_left_out() -> None:
    lone = subjects(recent(everything()), {})[-1]
    assert (size_chart(lone), accuracy_chart(lone)) == (None, None)
    assert size_chart(pi()) is not None


def test_layers_stand_below_the_roof_of_their_kind() -> None:
    operators = [
        Operator(name="a", opcode="conv", median_ns=2000, kind="float", macs=4e4, ceiling_gmacs=40),
        Operator(name="b", opcode="bconv", median_ns=1000, kind="binary", macs=3e5, ceiling_gmacs=600),
        Operator(name="c", opcode="pool", median_ns=1000),
    ]
    (subject,) = subjects(recent([make_row(operators=operators)]), {})
    (line,) = subject.lines.values()
    assert [(v["layer"], v["gmacs"], v["share"], v["of_ceiling"]) for v in layer_values(line)] == [
        ("a", 20, 0.5, 0.5),
        ("b", 300, 0.25, 0.5),
    ]
    assert roofs(line) == [{"kind": "float", "ceiling": 40}, {"kind": "binary", "ceiling": 600}]
    (chart,) = layer_charts(subject)
    assert [cells[0] for cells in chart.rows] == ["a", "b", "c"]
    assert "the roofs have no slope" in " ".join(chart.notes)


def test_a_roofline_slopes_where_the_memory_is_known() -> None:
    (chart,) = layer_charts(pi())
    (line,) = [line for line in pi().lines.values() if line.row.operators]
    assert bandwidth(line) == 3.5
    binary = [(c["intensity"], c["ceiling"]) for c in slopes(line, 3.5) if c["kind"] == "binary"]
    left, ridge, right = binary
    assert left[1] == pytest.approx(3.5 * left[0])
    assert ridge == pytest.approx((118 / 3.5, 118))
    assert right == pytest.approx((2300, 118))  # of the layer with the most multiply-accumulates a byte
    assert left[0] == pytest.approx(min(2.3e6 / 6e5, 24 / 3.5))
    assert [cells[-1] for cells in chart.rows] == ["31.6", "3.8", "2300.0", "–"]
    assert [cells[-2] for cells in chart.rows] == ["–", "9 %", "60 %", "–"]


def test_a_speedup_has_an_interval_around_it() -> None:
    values = speedup_values(pi())
    assert all(value["low"] <= value["speedup"] <= value["high"] for value in values)
    assert all(value["high"] - value["low"] < 0.05 * value["speedup"] for value in values)


def test_what_more_threads_bring_stands_at_the_latencies() -> None:
    chart = latency_chart(pi())
    assert "efficiency" in chart.columns
    assert not any("worth" in note for note in chart.notes)  # up to four threads each brings enough
    flat = [
        row("own", "bnn", n, ms, engine="native") for n, ms in ((1, 40.0), (2, 22.0), (4, 21.0), (8, 30.0))
    ]
    (subject,) = subjects(recent(flat), {})
    notes = " ".join(latency_chart(subject).notes)
    assert (
        "More than 2 threads are not worth their cores (the knee of efficiency over time): native bnn."
        in notes
    )
    assert "With 8 threads and more, threads wait for cores" in notes


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=400), st.integers(2, 50))
def test_thinned_samples_keep_their_order_and_their_extremes(samples: list[int], most: int) -> None:
    places = thinned(samples, most)
    assert places == sorted(set(places))
    assert len(places) <= max(most, min(len(samples), most))
    kept = [samples[place] for place in places]
    assert (min(kept), max(kept)) == (min(samples), max(samples))
    if len(samples) <= most:
        assert kept == samples


def test_what_is_left_out_of_a_row_is_said_and_its_turns_are_of_all() -> None:
    samples = [MS * n for n in range(1, 3001)]
    found = sample_data(make_row(samples_ns=samples, turns=[1000, 2000]), most=100)
    assert len(found["ns"]) == len(found["at"]) == 100
    assert found["of"] == 3000
    assert found["turns"] == [
        [1, 1000, round(500.5 * MS), MS, 1000 * MS],
        [1001, 3000, round(2000.5 * MS), 1001 * MS, 3000 * MS],
    ]
    assert [found["ns"][n] for n in (0, -1)] == [MS, 3000 * MS]
    assert sample_data(make_row(), most=100)["at"] is None


def test_a_page_holds_no_more_samples_than_a_phone_reads() -> None:
    assert room_for(1) == MOST_OF_A_ROW
    assert 1000 * room_for(1000) <= MOST_ON_A_PAGE


def test_facts_that_all_rows_share_are_held_once_and_none_is_lost() -> None:
    summary = recent(everything())
    held = measurement_data(summary)
    cpu = held["names"].index("host_cpu")
    model = held["names"].index("model")
    assert held["same"][cpu] == "Cortex-A72"
    assert [facts[model] for facts in held["facts"]] == [line.row.model for line in summary.lines]
    every = set(range(len(held["names"])))
    assert all(set(held["same"]) | set(facts) == every for facts in held["facts"])


@given(
    st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_data_of_a_page_reads_back_and_ends_no_script(value: Any) -> None:
    text = dom.data("x", [value, EVIL]).text
    assert text is not None
    assert "<" not in text
    assert json.loads(text) == [value, EVIL]


def test_a_number_that_json_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dom.data("x", float("nan"))


def test_texts_and_attributes_are_escaped_and_programs_checked() -> None:
    seen = elements(dom.write(dom.tag("p", EVIL, title=EVIL)).decode())
    assert seen == [("p", {"title": EVIL})]
    with pytest.raises(ValueError, match="can't stand"):
        dom.script("'</SCRIPT>'")


def test_names_of_the_store_do_not_break_out_of_the_page() -> None:
    pytest.importorskip("vl_convert", reason="needs the extra charts")
    seen = elements(page(recent(everything()), {}, DAY, "0.1.0").decode())
    assert [attributes for name, attributes in seen if attributes.get("id") == "evil"] == []
    assert [attributes.get("id") for name, attributes in seen if name == "script"] == [
        "charts",
        "rows",
        None,
        None,
    ]


@given(st.floats(1e-6, 1e6), st.floats(1.0, 1e6))
def test_ticks_lie_within_the_axis(low: float, factor: float) -> None:
    ticks = log_ticks([low, low * factor])
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= low * factor for tick in ticks)
    assert len(ticks) < 20 + 2
    if factor >= 10:
        assert len(ticks) >= 4


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_is_what_nothing_beats_and_beats_all_else(points: list[tuple[int, int]]) -> None:
    best = front(points, lambda point: point)
    assert not any(dominates(other, one) for one in best for other in points)
    assert all(any(dominates(one, other) for one in best) for other in points if other not in best)


def test_the_figure_of_chips_says_what_the_paper_says() -> None:
    points = {chip.name: chip for chip in chips()}
    assert len(points) == 14
    pi4 = points["Raspberry Pi 4B"]
    assert (pi4.threads, pi4.images_per_s) == (2, pytest.approx(1000 / 261.861, rel=1e-4))
    # "the average speedup of the binarization algorithm was higher on chips with lower computing power"
    assert rank_correlation(list(points.values())) < -0.5
    assert "best thread count" in json.dumps(chips_chart().spec)


def test_labels_do_not_cover_each_other_where_there_is_room() -> None:
    near = [(100.0, 100.0), (104.0, 101.0), (300.0, 300.0)]
    first, second, third = label_sides(near, ["one", "two", "three"])
    assert first != second
    assert third == "right"


def test_a_figure_is_a_picture_without_a_browser() -> None:
    pytest.importorskip("vl_convert", reason="needs the extra charts")
    drawn = bundle.svg(picture(chips_chart())).decode()
    assert all(chip.name in drawn for chip in chips())
    assert bundle.png(picture(chips_chart())).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--figure", "chips"], "needs --output too"),
        (["-o", "x.svg"], "needs --figure too"),
        (["--figure", "fish", "-o", "x.svg"], "there is no figure 'fish'"),
        (["--figure", "chips", "-o", "x.pdf"], "not a kind of picture"),
        (["--figure", "chips", "-o", "x.svg", "--html", "y.html"], "a figure is not"),
        (["--figure", "chips", "-o", "no/x.svg"], "the folder does not exist"),
        (["--html", "no/x.html"], "the folder does not exist"),
    ],
)
def test_wrong_usage_is_one_message_and_nothing_is_written(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bibench-deploy", "report", *arguments])
    assert guarded(app) == 2
    assert message in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_page_and_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    pytest.importorskip("vl_convert", reason="needs the extra charts")
    monkeypatch.chdir(tmp_path)
    Store.at("lab.sqlite").append(everything())
    for arguments in (["--html", "out.html", "--store", "lab.sqlite"], ["--figure", "chips", "-o", "c.html"]):
        monkeypatch.setattr("sys.argv", ["bibench-deploy", "report", *arguments])
        assert guarded(app) == 0
    assert capfd.readouterr() == ("", "wrote out.html\nwrote c.html\n")
    text = Path("out.html").read_text(encoding="utf-8")
    assert "BiBench's figures for the same chip" in text  # rpi4 is a chip of the paper
    assert "Raspberry Pi 4B" in Path("c.html").read_text(encoding="utf-8")


def test_a_missing_extra_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    monkeypatch.setattr("sys.argv", ["bibench-deploy", "report", "--html", "out.html"])
    assert guarded(app) == 2
    assert "pip install 'bibench-deploy[charts]'" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_program_of_the_charts_is_put_together_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = bundle.javascript(tmp_path)
    (kept,) = tmp_path.iterdir()
    made = []
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda: made.append(1) or program)
    assert (bundle.javascript(tmp_path), made) == (program, [])
    kept.write_text(kept.read_text(encoding="utf-8")[:-1], encoding="utf-8")  # a disk that lost its end
    assert (bundle.javascript(tmp_path), made) == (program, [1])
    assert (bundle.javascript(tmp_path), made) == (program, [1])
    kept.unlink()
    (tmp_path / "file").touch()
    assert bundle.javascript(tmp_path / "file") == program  # can't be kept there
