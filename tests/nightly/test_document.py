"""A night as one document, and its sentences."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from bibench_deploy.nightly.document import Ill, NightReport, Since
from bibench_deploy.nightly.finding import Status
from bibench_deploy.nightly.telling import causes, headline, sentence
from support.nights import found, night_of, row, rows
from support.reports import report, told

HISTORY = rows([10] * 8)


def test_the_document_holds_all_that_reports_are_made_of() -> None:
    tonight = night_of(8)
    finding = found(row(8, 11), HISTORY)
    made = NightReport.of(
        tonight,
        [finding],
        [Ill(device="rpi4", failures=3, quarantined=True, words="no answer")],
        "the last nights",
        tonight.started_at + timedelta(hours=2),
    )
    document = json.loads(json.dumps(made.document(), allow_nan=False))
    assert NightReport.model_validate(document) == made
    assert (document["exit_code"], document["format"], document["counts"]) == (3, 1, {"suspect": 1})
    assert document["headline"] == headline(made)
    (entry,) = document["findings"]
    assert entry["row"] == str(finding.row and finding.row.id)
    assert entry["baseline_rows"] == [str(old.id) for old in HISTORY[-7:]]
    assert (entry["status"], entry["kind"]) == ("suspect", "infrastructure")
    assert entry["median_ms"] == pytest.approx(11, rel=0.02)
    assert entry["baseline_ms"] == pytest.approx(10, rel=0.02)
    assert entry["since"] == {"night": tonight.name, "commit": tonight.commit}


def test_the_fields_of_the_document_stay() -> None:
    """Fields may be added, never renamed: this list may grow."""
    document = report(told(Status.SLOWER)).document()
    assert {
        "format",
        "tool",
        "plan",
        "night",
        "commit",
        "host",
        "started_at",
        "finished_at",
        "baseline",
        "findings",
        "devices",
        "exit_code",
        "headline",
        "counts",
    } <= set(document)
    assert {
        "device",
        "engine",
        "model",
        "variant",
        "threads",
        "cpus",
        "status",
        "kind",
        "words",
        "ratio",
        "since",
        "median_ms",
        "baseline_ms",
        "measured_s",
        "size_bytes",
        "sha256",
        "engine_sha256",
        "verdict",
        "row",
        "baseline_rows",
    } <= set(document["findings"][0])


@pytest.mark.parametrize(
    ("findings", "line"),
    [
        ([Status.SAME] * 96, "nothing got worse: 96 measured"),
        ([Status.SAME, Status.FASTER, Status.UNCONFIRMED], "nothing got worse: 3 measured"),
        ([Status.SAME, Status.NEW], "nothing got worse: 1 measured; 1 without a baseline yet"),
        ([Status.NEW] * 8, "8 measured, nothing to compare with yet"),
        ([], "nothing was measured"),
        ([Status.NOT_APPLICABLE], "nothing was measured"),
        (
            [Status.SLOWER, Status.SAME],
            "resnet18 dorefa on rpi4 (native, 4 threads) 12 % slower since 2026-11-20 (a1b2c3d)",
        ),
        (
            [Status.SLOWER, Status.FLOAT, Status.SAME],
            "resnet18 dorefa on rpi4 (native, 4 threads) 12 % slower since 2026-11-20 (a1b2c3d), "
            "and 1 more regression",
        ),
        (
            [Status.SAME, Status.MISSING],
            "nothing got worse: 1 measured; 1 job not judged: rpi4 (words of missing)",
        ),
        ([Status.MISSING] * 2, "nothing was measured; 2 jobs not judged: rpi4 (words of missing)"),
        (
            [Status.DEVICE_SLOWER],
            "1 job not judged: rpi4 (slower with the same artefacts and engines)",
        ),
    ],
)
def test_the_morning_line(findings: list[Status], line: str) -> None:
    assert headline(report(*(told(status) for status in findings))) == line


def test_the_slowest_goes_first_and_devices_are_few() -> None:
    worst = told(Status.SLOWER, ratio=1.5, model="vgg", since=None)
    assert headline(report(told(Status.SLOWER), worst)).startswith(
        "vgg dorefa on rpi4 (native, 4 threads) 50 % slower,"
    )
    missing = [told(Status.MISSING, device=f"d{n}", words="no answer") for n in range(5)]
    assert headline(report(*missing)).endswith("5 jobs not judged: d0, d1, d2 and 2 more devices (no answer)")


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_words(status: Status) -> None:
    assert sentence(told(status, threads=1, cpus="big")).startswith(
        "resnet18 dorefa on rpi4 (native, 1 thread, big) "
    )


def test_one_broken_device_is_one_matter() -> None:
    ill = [told(Status.MISSING, words="quarantined", threads=n) for n in (1, 2, 4)]
    slow = [told(Status.DEVICE_SLOWER, device="rpi3", words=f"{n}×", threads=n) for n in (1, 2)]
    assert causes([*ill, *slow]) == [
        ("rpi4", "quarantined", 3),
        ("rpi3", "slower with the same artefacts and engines", 2),
    ]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"night": "2026-11-20", "commit": None}, "2026-11-20"),
        ({"night": "n", "commit": "abcdef01"}, "n (abcdef0)"),
    ],
)
def test_since(facts: dict[str, Any], text: str) -> None:
    assert str(Since(**facts)) == text
