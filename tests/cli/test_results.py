"""``bibench-deploy results`` and ``report`` as a user meets them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bibench_deploy.cli import console
from bibench_deploy.cli.app import app
from bibench_deploy.results import Store
from bibench_deploy.results.row import HostFacts
from support.command import bibench, bibench_here, is_clean
from support.rows import MS, make_row

DAY = datetime(2026, 11, 20, tzinfo=UTC)
PI = HostFacts(cpu="Raspberry Pi 4 Model B", arch="aarch64", cores=4, system="Linux 6.1")


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A workspace: fp32 and bnn of one architecture on a Raspberry Pi with 1 and 2 threads, and an older bnn."""

    def row(age: int, **facts: Any) -> Any:
        defaults = {"device": "rpi4", "host": PI, "metadata": {"bibench.arch": "resnet18"}}
        return make_row(**defaults | {"measured_at": DAY - timedelta(days=age)} | facts)

    (tmp_path / "bibench-workspace").mkdir()
    Store.of_workspace(tmp_path / "bibench-workspace").append(
        [
            row(9, samples_ns=[30 * MS] * 30),
            row(0, variant="fp32", size_bytes=8_000_000, samples_ns=[40 * MS] * 30),
            row(0),
            row(0, variant="fp32", size_bytes=8_000_000, threads=2, samples_ns=[24 * MS] * 30),
            row(0, threads=2, samples_ns=[8 * MS] * 30, verdict="unstable", reasons=["the clock moved"]),
        ]
    )
    return tmp_path


def test_rows_are_listed_and_what_all_have_in_common_stands_above(lab: Path) -> None:
    done = bibench("results", "list", "--since", "2026-11-15", cwd=lab, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    above, head, _, *lines = done.stdout.splitlines()
    assert above == "device rpi4, engine larq, model resnet18"
    assert " ".join(head.split()) == "id measured at variant threads median ms verdict"
    assert [line.split()[3:5] for line in lines] == [["fp32", "1"], ["bnn", "1"], ["fp32", "2"], ["bnn", "2"]]
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_filters_join(lab: Path) -> None:
    done = bibench_here(
        "results", "list", "--json", "--variant", "bnn,xnor", "--threads", "2", "--device", "rpi4", cwd=lab
    )
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["variant"], row["threads"], row["median_ms"]) == ("bnn", 2, 8.0)
    assert row["verdict"] == "unstable: the clock moved"


def test_a_row_is_shown_whole_and_what_is_unknown_as_such(lab: Path) -> None:
    (row,) = json.loads(
        bibench_here("results", "list", "--json", "--threads", "2", "--variant", "bnn", cwd=lab).stdout
    )["rows"]
    done = bibench_here("results", "show", row["id"][:8], cwd=lab)
    facts = dict(line.strip().split(maxsplit=1) for line in done.stdout.splitlines() if len(line.split()) > 1)
    assert facts["id"] == row["id"]
    assert (facts["context_governor"], facts["verdict"], facts["threads"]) == ("unknown", "unstable", "2")
    assert facts["median"] == "8.00 ms"
    samples = bibench_here("results", "show", row["id"], "--samples", cwd=lab).stdout.splitlines()[-30:]
    assert samples == [str(8 * MS)] * 30
    document = json.loads(bibench_here("results", "show", row["id"], "--json", "--samples", cwd=lab).stdout)
    assert document["samples_ns"] == [8 * MS] * 30


def test_two_formats_at_once_and_in_again(lab: Path) -> None:
    done = bibench_here("results", "export", "-o", "a.csv", "-o", "a.jsonl", "--samples", "s.csv", cwd=lab)
    assert (done.returncode, done.stdout) == (0, "")
    for source in (["a.jsonl"], ["a.csv", "--samples", "s.csv"], ["bibench-workspace/results.sqlite"]):
        done = bibench_here("results", "import", *source, "--store", "new.sqlite", "--json", cwd=lab)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["added"] + document["present"] == 5
    assert (
        Store.at(str(lab / "new.sqlite")).read().rows
        == Store.of_workspace(lab / "bibench-workspace").read().rows
    )


def test_a_summary_without_its_samples_is_said_to_be_one(lab: Path) -> None:
    done = bibench_here("results", "export", "-o", "a.md", cwd=lab)
    assert "a.md: summaries only" in done.stderr
    printed = bibench_here("results", "export", "--format", "md", cwd=lab)
    assert printed.stdout == (lab / "a.md").read_text(encoding="utf-8")


def test_a_damaged_line_is_left_out_and_the_answer_is_no(lab: Path) -> None:
    bibench_here("results", "export", "-o", "a.jsonl", cwd=lab)
    file = lab / "a.jsonl"
    first, *others = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(["{\n", first.replace('"threads":1', '"threads":7'), *others]), encoding="utf-8")
    done = bibench_here("results", "import", "a.jsonl", cwd=lab)
    assert done.returncode == 1
    assert "a.jsonl:1: not JSON" in done.stderr
    assert "says something else than the store's" in " ".join(done.stderr.split())
    assert "1 damaged and 1 differing rows were left out" in done.stderr
    assert is_clean(done.stderr)


def test_old_rows_are_pruned_once_and_not_on_a_dry_run(lab: Path) -> None:
    said = bibench_here("results", "prune", "--keep", "1", "--dry-run", cwd=lab)
    assert "1 of 5 rows would be deleted" in said.stdout
    assert "30.0" in said.stdout  # the row that would go
    assert "1 of 5 rows were deleted" in bibench_here("results", "prune", "--keep", "1", cwd=lab).stdout
    assert "0 of 4 rows were deleted" in bibench_here("results", "prune", "--keep", "1", cwd=lab).stdout
    assert "0 of 4" in bibench_here("results", "prune", "--before", "2026-11-19", cwd=lab).stdout
    assert "4 of 4" in bibench_here("results", "prune", "--before", "2026-11-22", cwd=lab).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--device", "rpi5"), "none of --device rpi5 what to do: did you mean 'rpi4'? it has rpi4"),
        (("list", "--threads", "3"), "none of --threads 3 what to do: it has 1, 2"),
        (("list", "--variant", "bnn", "--since", "1m"), "each filter fits some, none fits all"),
        (("list", "--store", "absent.sqlite"), "there is no such store yet"),
        (("list", "--since", "yesterday"), "neither a date, a time nor an age"),
        (("list", "--threads", "two"), "not a number of threads"),
        (("show", "xyz"), "not the beginning of an id"),
        (("show", "0123456789abcdef"), "no id begins with '0123456789abcdef'"),
        (("export",), "nothing to write"),
        (("export", "-o", "a.xlsx"), "no format of rows"),
        (("export", "-o", "a.csv", "-o", "./a.csv"), "the same name"),
        (("export", "-o", "absent/a.csv"), "the folder does not exist"),
        (("export", "--format", "parquet"), "can't be printed"),
        (("import", "absent.jsonl"), "no such file"),
        (("prune",), "which rows may go?"),
        (("prune", "--keep", "0"), "greater than or equal to 1"),
    ],
)
def test_wrong_usage_ends_with_2_and_writes_nothing(
    lab: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(lab)
    monkeypatch.setattr(sys, "argv", ["bibench-deploy", "results", *arguments])
    assert console.guarded(app) == 2
    out, err = capsys.readouterr()
    assert said in " ".join(err.split())
    assert (out, is_clean(err)) == ("", True)
    assert [path.name for path in lab.iterdir()] == ["bibench-workspace"]


def test_the_report_shows_the_newest_and_says_what_its_metric_is_the_mean_of(lab: Path) -> None:
    done = bibench_here("report", cwd=lab, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "median latency in ms, device rpi4, architecture resnet18, engine larq"
    assert [line.split() for line in lines[1:5] if "─" not in line] == [
        ["threads", "fp32", "bnn"],
        ["1", "40.0", "10.0"],
        ["2", "24.0", "~8.00"],
    ]
    assert "the same by threads: speedup, metric" in lines
    figures = [line.split() for line in lines if line.rstrip().endswith(("6.17", "6.32", "6.04"))]
    assert figures == [
        ["bnn", "2", "~3.50×", "8.00×", "~6.17"],
        ["bnn", "4.00×", "6.32", "~3.00×", "~6.04"],
    ]


def test_the_papers_latencies_stand_beside_ones_own(lab: Path) -> None:
    """Its Table 19: Raspberry Pi 4B, one thread, ResNet18: 448.744, 80.822, 82.380, 688.838, 120.348."""
    lines = bibench_here("report", "--reference", "bibench", cwd=lab, COLUMNS="100").stdout.splitlines()
    own = next(number for number, line in enumerate(lines) if line.startswith("1 "))
    assert lines[own].split() == ["1", "here", "40.0", "10.0", "–", "–", "–"]
    assert lines[own + 1].split() == ["BiBench", "449", "80.8", "82.4", "689", "120"]
    assert "does not state the inputs' sizes" in lines[-1]
    document = json.loads(bibench_here("report", "--reference", "bibench", "--json", cwd=lab).stdout)
    assert {
        (found["threads"], found["engine"], found["algorithm"], found["latency_ms"])
        for found in document["published"]
    } >= {(1, "larq", "fp32", 448.744), (1, "dabnn", "bnn", 120.348), (2, "larq", "fp32", 261.861)}
    (score,) = document["scores"]
    assert (score["speedup"], score["by_threads"]["2"]["speedup"], score["pairs"]) == (3.5, 3.0, 2)


def test_a_reference_that_has_nothing_says_so(lab: Path) -> None:
    Store.at(str(lab / "mine.sqlite")).append([make_row()])
    done = bibench_here("report", "--store", "mine.sqlite", "--reference", "bibench", cwd=lab)
    assert done.returncode == 0
    assert "nothing stands beside yours" in " ".join(done.stderr.split())
    assert bibench_here("report", "--reference", "other", cwd=lab).returncode == 2
