"""``bibench-deploy compare`` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bibench_deploy.cli import console
from bibench_deploy.cli.app import app
from bibench_deploy.results import Row, Store
from support.command import bibench, bibench_here, is_clean
from support.rows import MS, make_row

BEFORE, AFTER = "a" * 32, "b" * 32


def measured(median_ms: float, seed: int, **facts: Any) -> Row:
    random = np.random.default_rng(seed)
    samples = [int(median_ms * MS * noise) for noise in random.normal(1, 0.004, 120)]
    return make_row(samples_ns=samples, turns=[10] * 12, verdict="stable", **facts)


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """A workspace with two sessions: bnn became slower by a fifth, fp32 stayed as it was."""
    (tmp_path / "bibench-workspace").mkdir()
    Store.of_workspace(tmp_path / "bibench-workspace").append(
        [
            measured(10, 1, session=BEFORE),
            measured(40, 2, session=BEFORE, variant="fp32"),
            measured(12, 3, session=AFTER),
            measured(40, 4, session=AFTER, variant="fp32"),
        ]
    )
    return tmp_path


def test_two_sessions(nights: Path) -> None:
    done = bibench("compare", "aaaa", "bbbb", cwd=nights, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    above, _, _, bnn, fp32, counts, *_ = done.stdout.splitlines()
    assert above == "device local, engine larq, model resnet18, threads 1"
    assert (bnn.split()[0], bnn.split()[-1]) == ("bnn", "slower")
    assert (fp32.split()[0], fp32.split()[-1]) == ("fp32", "same")
    assert counts.startswith("1 slower, 0 faster, 1 same, 0 unknown; ")
    assert max(map(len, done.stdout.splitlines()[:5])) <= 80


def test_two_nights(tmp_path: Path) -> None:
    """Their sessions are named by plan and night; one may begin as another does."""
    nights = (("Lab/2026-11-20", 10), ("Lab/2026-11-20.again", 12), ("Lab/2026-11-21", 20))
    store = Store.at(str(tmp_path / "lab.sqlite"))
    store.append([measured(ms, seed, session=night) for seed, (night, ms) in enumerate(nights)])
    done = bibench_here(
        "compare", nights[0][0], nights[2][0], "--store", "lab.sqlite", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["comparisons"]
    assert (found["word"], round(found["ratio"])) == ("slower", 2)
    unknown = bibench_here("compare", nights[0][0], "Lab/2026-11-30", "--store", "lab.sqlite", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "no row and no session begins with 'Lab/2026-11-30'" in " ".join(unknown.stderr.split())


def test_json_and_the_exit_code_that_was_asked_for(nights: Path) -> None:
    done = bibench_here("compare", BEFORE, AFTER, "--fail-on", "slower", "--json", cwd=nights)
    assert done.returncode == 1
    assert "of 2 comparisons: 1 slower" in done.stderr
    slower, same = json.loads(done.stdout)["comparisons"]
    assert (slower["word"], same["word"]) == ("slower", "same")
    assert slower["ratio_low"] < 1.2 < slower["ratio_high"]
    assert slower["p"] < 0.002
    back = bibench_here("compare", AFTER, BEFORE, "--fail-on", "slower", cwd=nights)
    assert back.returncode == 0, back.stderr
    assert (
        bibench_here(
            "compare", BEFORE, AFTER, "--factor", "1.3", "--fail-on", "slower", cwd=nights
        ).returncode
        == 0
    )


def test_two_stores_and_single_rows(nights: Path) -> None:
    (nights / "other").mkdir()
    other = Store.at(str(nights / "other.sqlite"))
    faster = measured(5, 5)
    other.append([faster])
    done = bibench_here("compare", BEFORE, "--store-b", "other.sqlite", "--json", cwd=nights)
    document = json.loads(done.stdout)
    assert [found["word"] for found in document["comparisons"]] == ["faster"]
    assert [row["variant"] for row in document["only_a"]] == ["fp32"]
    by_id = bibench_here("compare", BEFORE, str(faster.id), "--store-b", "other.sqlite", "--json", cwd=nights)
    assert json.loads(by_id.stdout)["comparisons"][0]["b"] == str(faster.id)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "what is A?"),
        ([BEFORE], "what is B?"),
        ([BEFORE, "model.bbm"], "B: 'model.bbm' is neither a file nor the beginning of an id"),
        ([BEFORE, "0123456789"], "B: no row and no session begins with '0123456789'"),
        ([BEFORE, BEFORE], "A and B are the same rows"),
        ([BEFORE, AFTER, "--fail-on", "faster"], "'faster' is none of slower, unknown"),
        ([BEFORE, AFTER, "--factor", "0.9"], "a factor between 1 and 100"),
        ([BEFORE, "bibench-workspace/results.sqlite"], "results.sqlite"),
        ([BEFORE, "--store-b", "nowhere.sqlite"], "holds no rows"),
    ],
)
def test_bad_usage_is_one_message(
    nights: Path,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(nights)
    monkeypatch.setattr(sys, "argv", ["bibench-deploy", "compare", *arguments])
    assert console.guarded(app) == 2
    out, err = capsys.readouterr()
    assert said in " ".join(err.split())
    assert (out, is_clean(err)) == ("", True)
