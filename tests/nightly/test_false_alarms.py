"""How often the gate cries wolf and how often it sees one, on seeded noise; and that the benchmark of it works.

The rates on a real machine stand in docs/lab/gate.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bibench_deploy.nightly.finding import Status
from bibench_deploy.runners.timing import MeasureRule
from suite.chains import LAYERS
from suite.lab_nights import THREADS, USUAL, Lab, findings, walk
from suite.resampled_nights import Pool, draw
from support.nights import row

NIGHTS = 60
OTHER = "c" * 64


def pool(ratio: float, noise: float, sha256: str) -> Pool:
    """Nights that differ by the noise, as their turns do; both artefacts share a night's level."""
    usual = [row(n, 10, noise) for n in range(NIGHTS)]
    other = []
    for n, before in enumerate(usual):
        fresh = row(n, 10, noise, seed=1)
        own = np.median(fresh.samples_ns)
        scale = ratio * np.median(before.samples_ns) / own
        samples = [int(run * scale) for run in fresh.samples_ns]
        other.append(fresh.model_copy(update={"samples_ns": samples, "sha256": sha256}))
    return Pool(usual, other)


@pytest.mark.parametrize("noise", [0.005, 0.02])
def test_nights_in_which_nothing_got_slower_raise_no_alarm(noise: float) -> None:
    """Another file of the same work: what differs by chance is dismissed beside the old artefact."""
    drawn = draw(pool(1, noise, OTHER), 300, consecutive=True, random=np.random.default_rng(1))
    assert drawn.suspicions <= 15
    assert drawn.alarms == 0


def test_an_artefact_that_did_not_change_is_never_a_regression() -> None:
    drawn = draw(pool(1, 0.02, row(0).sha256), 300, consecutive=True, random=np.random.default_rng(2))
    assert drawn.alarms == 0
    assert drawn.device <= 3


@pytest.mark.parametrize(
    ("ratio", "noise", "fewest"), [(1.10, 0.005, 100), (1.10, 0.01, 95), (1.20, 0.02, 95), (1.10, 0.02, 60)]
)
def test_ten_and_twenty_per_cent_are_found(ratio: float, noise: float, fewest: int) -> None:
    drawn = draw(pool(ratio, noise, OTHER), 100, consecutive=True, random=np.random.default_rng(3))
    assert drawn.alarms >= fewest


@pytest.mark.slow
def test_real_nights_of_the_benchmark(tmp_path: Path) -> None:
    """Two short ones: the artefacts are what their names say, a second walk takes the nights as they are."""
    kinds = {USUAL: (LAYERS, 0), "four layers more": (LAYERS + 4, 0)}
    rule = MeasureRule(min_seconds=0.02, min_runs=10, max_seconds=0.05, precision=100.0)
    lab = Lab.at(tmp_path, kinds, rule)
    operators = {kind: artefact.manifest.binary_ops for kind, artefact in lab.artefacts.items()}
    assert operators == {USUAL: LAYERS, "four layers more": LAYERS + 4}
    nights = [lab.measure("short", number) for number in range(2)]
    assert {len(lab.rows(night, kind)) for night in nights for kind in kinds} == {len(THREADS)}
    (first, *_) = findings([], nights[0], lab.rows(nights[0], USUAL))
    assert first.status is Status.NEW
    seen = walk(lab, "short", 2, 1, {}, lambda message: None)
    assert {kind: found.judged for kind, found in seen.items()} == dict.fromkeys(kinds, len(THREADS))
    assert lab.nights("short") == nights
