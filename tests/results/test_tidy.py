"""What a report shows of a store's rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from bibench_deploy.errors import InputError
from bibench_deploy.results.pruning import superfluous
from bibench_deploy.results.published.latencies import latencies_ms, plain
from bibench_deploy.results.row import HostFacts, Row
from bibench_deploy.results.selection import numbers, parse_moment, words
from bibench_deploy.results.tidy import Column, Place, grid, newest, recent, reference, scores
from support.rows import MS, make_row

DAY = datetime(2026, 11, 21, tzinfo=UTC)


def row(variant: str = "bnn", arch: str | None = "resnet18", **facts: Any) -> Row:
    """40 ms and 8 MB in full precision against 10 ms and 1 MB."""
    metadata = {"bibench.arch": arch} if arch else {}
    full = {"size_bytes": 8_000_000, "samples_ns": [40 * MS] * 30} if variant == "fp32" else {}
    return make_row(**{"variant": variant, "metadata": metadata} | full | facts)


def medians(*rows: Row) -> dict[tuple[str, int, str], float]:
    """Of one device and engine: by architecture, threads and algorithm, in ms."""
    table = grid(recent(rows))
    return {
        (place.architecture, place.threads, column.algorithm): line.summary.median_ms
        for (place, column), line in table.cells.items()
    }


def test_lines_and_columns_are_in_the_papers_order() -> None:
    rows = [
        row(device=device, arch=arch, threads=threads, variant=variant, source_sha256=arch)
        for device in ("b", "a")
        for arch in ("vgg-small", "resnet18")
        for variant in ("reactnet", "mine", "bnn", "fp32")
        for threads in (2, 1)
    ]
    table = grid(recent(rows))
    assert [(place.device, place.threads, place.architecture) for place in table.places] == [
        (device, threads, arch)
        for device in ("b", "a")
        for threads in (1, 2)
        for arch in ("resnet18", "vgg-small")
    ]
    assert [column.algorithm for column in table.columns] == ["fp32", "bnn", "reactnet", "mine"]


def test_the_newest_valid_measurement_stands_for_the_rest() -> None:
    old, new = row(measured_at=DAY, samples_ns=[20 * MS]), row(measured_at=DAY + timedelta(1))
    invalid = row(measured_at=DAY + timedelta(2), verdict="invalid", samples_ns=[MS])
    assert newest([new, invalid, old]) == [new]
    assert newest([old, invalid]) == [old]
    assert newest([invalid]) == [invalid]
    other = row(threads=2), row(device="rpi4"), row(engine="native"), row(cpus="big"), row(model="another")
    assert newest([old, *other]) == [old, *other]


def test_a_model_that_was_exported_again_takes_the_place_of_the_one_before() -> None:
    before = [row(variant, measured_at=DAY, source_sha256="a" * 64) for variant in ("fp32", "bnn")]
    after = [
        row(variant, measured_at=DAY + timedelta(1), source_sha256="b" * 64) for variant in ("fp32", "bnn")
    ]
    (score,) = scores(recent([*before, *after]))
    assert score.whole.metric.pairs == 1


def test_twins_of_models_that_share_a_name_are_kept_apart() -> None:
    rows = [
        row(v, model="model", source_sha256=s)
        for s, v in (("a", "fp32"), ("a", "bnn"), ("b", "fp32"), ("b", "fda"))
    ]
    assert [score.column.algorithm for score in scores(recent(rows))] == ["bnn", "fda"]


def test_models_of_one_architecture_share_a_line_unless_they_would_share_a_cell() -> None:
    bnn, fda = row(model="a", source_sha256="a"), row("fda", model="b", source_sha256="b")
    assert set(medians(bnn, fda)) == {("resnet18", 1, "bnn"), ("resnet18", 1, "fda")}
    again = row(model="c", source_sha256="c")
    assert set(medians(bnn, again)) == {("a", 1, "bnn"), ("c", 1, "bnn")}
    assert set(medians(row(arch=None))) == {("resnet18", 1, "bnn")}  # the model's own name


def test_an_older_row_of_the_same_model_is_told_what_the_model_says_of_itself() -> None:
    told = row(metadata={"bibench.arch": "vgg-tiny", "bibench.dataset": "fashion-mnist"})
    table = grid(recent([row(threads=2, metadata={}), told]))
    assert [(place.architecture, place.dataset) for place in table.places] == [
        ("vgg-tiny", "fashion-mnist")
    ] * 2


def test_a_mean_is_stable_where_all_of_it_is() -> None:
    rows = [
        row("fp32"),
        row(),
        row("fp32", threads=2),
        row(threads=2, verdict="unstable", reasons=["drifting"]),
    ]
    (score,) = scores(recent(rows))
    assert not score.whole.stable
    assert {threads: part.stable for threads, part in score.by_threads.items()} == {1: True, 2: False}


def test_machines_that_share_a_name_are_not_one_device() -> None:
    hosts = [HostFacts(cpu=cpu, arch="x86_64", cores=4, system="Linux") for cpu in ("a", "b")]
    table = grid(recent([row(host=host) for host in hosts]))
    assert [place.processor for place in table.places] == ["a", "b"]
    assert [place.processor for place in grid(recent([row()])).places] == [""]


def test_the_algorithm_that_the_model_names_settles_which_of_several_it_is() -> None:
    names = {"bibench.algorithm": "recu"}
    assert row("dorefa|bireal|recu|fda", metadata=names).algorithm == "recu"
    assert row("dorefa|bireal", metadata=names).algorithm == "dorefa|bireal"
    assert row("fp32", metadata=names).algorithm == "fp32"


@pytest.mark.parametrize(
    ("variant", "text", "accuracy"),
    [("bnn", "0.9186", 0.9186), ("fp32", "0.9186", None), ("bnn", "92", None), ("bnn", "good", None)],
)
def test_an_accuracy_is_a_fraction_of_the_binarized_model(
    variant: str, text: str, accuracy: float | None
) -> None:
    assert row(variant, metadata={"bibench.accuracy": text}).accuracy == accuracy
    assert row(metadata={}).accuracy is None


def test_a_score_is_the_mean_over_pairs_and_over_their_parts() -> None:
    rows = [row("fp32"), row(), row("fp32", threads=2, samples_ns=[20 * MS] * 30), row(threads=2)]
    (score,) = scores(recent(rows))
    assert score.column == Column("larq", "bnn")
    assert (score.whole.metric.speedup, score.whole.metric.compression, score.whole.metric.pairs) == (
        3.0,
        8.0,
        2,
    )
    assert {threads: part.metric.speedup for threads, part in score.by_threads.items()} == {1: 4.0, 2: 2.0}
    assert (list(score.by_device), list(score.by_architecture)) == (["local"], ["resnet18"])


@pytest.mark.parametrize("why", [{"threads": 8}, {"verdict": "invalid"}], ids=["oversubscribed", "invalid"])
def test_what_says_nothing_of_the_model_is_left_out_and_counted(why: dict[str, Any]) -> None:
    rows = [row("fp32"), row(), row("fp32", device="d", **why), row(device="d", **why)]
    (score,) = scores(recent(rows))
    assert (score.whole.metric.pairs, score.left_out) == (1, 1)


def test_what_an_engine_can_not_do_has_a_place_of_its_own() -> None:
    missing = row(threads=2, state="not_applicable", samples_ns=[], reasons=["one thread only"])
    table = grid(recent([row(), missing]))
    assert [place.threads for place in table.places] == [1, 2]
    assert list(table.not_applicable.values()) == [missing]


def test_the_papers_570_latencies_are_read() -> None:
    """Table 17, first line; Table 20, last."""
    assert len(latencies_ms()) == 570
    found = {
        (c.device, c.threads, c.architecture, c.engine, c.variant): latency
        for c, latency in latencies_ms().items()
    }
    assert found["kirin970", 1, "resnet18", "larq", "fp32"] == 716.427
    assert found["applem1max", 16, "vggsmall", "larq", "reactnet"] == 15.311
    assert plain("Snapdragon 855+") == "snapdragon855+"


def test_the_paper_is_asked_by_chip_threads_and_architecture() -> None:
    rows = [
        row(device="pi", threads=threads, arch=arch, source_sha256=arch)
        for threads, arch in ((1, "vgg_small"), (3, "ResNet18"))
    ]
    table = grid(recent(rows))
    found = reference(table, {"pi": "Raspberry Pi 4B"})
    assert found == {
        Place("pi", 1, "vgg_small"): {
            Column("larq", "fp32"): 150.814,
            Column("larq", "bnn"): 11.177,
            Column("larq", "reactnet"): 12.024,
        }
    }
    assert reference(table, {}) == {}


def test_every_chip_of_the_paper_has_a_device_profile() -> None:
    from bibench_deploy.device_profiles import load_profiles

    known = {plain(profile.published) for profile in load_profiles().values() if profile.published}
    assert known == {condition.device for condition in latencies_ms()}


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("36h", NOW - timedelta(hours=36)),
        ("7d", NOW - timedelta(days=7)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2026-11-21T08:30+01:00", datetime(2026, 11, 21, 7, 30, tzinfo=UTC)),
        ("2026-11-21", datetime(2026, 11, 21).astimezone(UTC)),
    ],
)
def test_a_moment_is_a_date_a_time_or_an_age(text: str, moment: datetime) -> None:
    assert parse_moment(text, "--since", NOW) == moment


@pytest.mark.parametrize("text", ["", "d", "-1d", "soon", "9999999999d", "2026-13-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(InputError, match="neither a date, a time nor an age"):
        parse_moment(text, "--since", NOW)


def test_lists_of_words_and_numbers() -> None:
    assert words(["a, b", "c", ","]) == ("a", "b", "c")
    assert numbers(["1,2", "4"], "--threads") == (1, 2, 4)
    for wrong in ("x", "0", "-1", "1.5", "9999999999"):
        with pytest.raises(InputError, match="not a number of threads"):
            numbers([wrong], "--threads")


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ({}, {0, 1, 2, 3}),
        ({"keep": 1}, {2, 3}),
        ({"keep": 2}, {1, 2, 3}),
        ({"before": DAY + timedelta(2)}, {2, 3}),
        ({"before": DAY + timedelta(9)}, set()),
        ({"keep": 1, "before": DAY + timedelta(1)}, {1, 2, 3}),
    ],
    ids=str,
)
def test_pruning_deletes_what_every_rule_would(rules: dict[str, Any], left: set[int]) -> None:
    """Three of one kind, oldest first, and one of another."""
    rows = [
        make_row(id=UUID(int=n), measured_at=DAY + timedelta(n), threads=8 if n == 3 else 1) for n in range(4)
    ]
    gone = {row.id.int for row in superfluous(rows, **rules)}
    assert set(range(4)) - gone == left
