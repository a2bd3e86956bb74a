"""What pairs of sweeps say of each other: counted right, on rows that agree and rows that don't."""

from __future__ import annotations

import random

import pytest

from bibench_deploy.results import Row
from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.statistics import Interval
from suite import agreement
from suite.agreement import Estimate, but_for_load, count, latencies, share, speedups
from support.rows import MS, make_row

A, B = ("a",), ("b",)


def estimate(value: float, width: float, flagged: bool = False) -> Estimate:
    return Estimate(value, Interval(value - width, value + width), flagged)


def test_pairs_are_counted_by_what_they_state() -> None:
    found = count([{A: estimate(10, 1)}, {A: estimate(11.9, 1)}, {A: estimate(14, 1, flagged=True)}])
    assert (found.pairs, found.trusted, found.agree) == (3, 1, 1)
    assert found.near == 0  # 1.9 apart, and √2 is the interval of the difference
    assert (found.disjoint, found.told) == (2, 2)
    assert found.needed == (pytest.approx(0.95),)


def test_what_states_no_interval_and_what_only_one_sweep_has_counts_in_nothing() -> None:
    found = count([{A: Estimate(1, None, False), B: estimate(1, 1)}, {A: estimate(9, 1)}])
    assert (found.pairs, found.disjoint) == (0, 0)


def test_disagreement_that_nobody_flagged_is_told_from_the_other() -> None:
    sure, warned = [{A: estimate(10, 1)}, {A: estimate(20, 1)}], [
        {A: estimate(10, 1, flagged=True)},
        {A: estimate(20, 1)},
    ]  # fmt: skip
    assert (count(sure).disjoint, count(sure).told) == (1, 0)
    assert (count(warned).disjoint, count(warned).told) == (1, 1)


def sweep(seed: int, factor: float = 1.0, **facts: object) -> list[Row]:
    noise = random.Random(seed)

    def samples(ms: float) -> list[int]:
        return [round(MS * ms * factor * noise.uniform(0.99, 1.01)) for _ in range(60)]

    told = {"turns": [5] * 12, "session": f"s{seed}", "verdict": "stable"} | facts
    return [
        make_row(variant="fp32", sha256="f" * 64, samples_ns=samples(40), **told),
        make_row(samples_ns=samples(10), **told),
    ]


def test_sweeps_of_one_thing_agree_and_a_change_of_all_leaves_the_speedup() -> None:
    same, slower = [sweep(seed) for seed in range(4)], [sweep(1), sweep(2, factor=1.2)]
    assert count([latencies(rows) for rows in same]).disjoint == 0
    assert count([latencies(rows) for rows in slower]).disjoint == 2
    assert count([speedups(rows) for rows in slower]).disjoint == 0
    text = agreement.show({"as it is": same})
    assert "| as it is | 4 | 12 | 12 of 12 (100 %)" in text


def test_what_compare_does_not_compare_disagrees_with_nothing() -> None:
    near, far = (
        sweep(n, factor, context=RunContext(handover_ns=ns)) for n, factor, ns in ((1, 1, 30), (2, 1.5, 150))
    )
    found = count([latencies(rows) for rows in (near, far)])
    assert (found.pairs, found.disjoint, found.other) == (0, 0, 2)
    assert count([speedups(rows) for rows in (near, far)]).other == 1


def test_the_load_of_others_can_be_disregarded_and_nothing_else() -> None:
    busy = [sweep(n, verdict="unstable", reasons=["other load (1.4 of 2 cores)"]) for n in (1, 2)]
    drifting = [
        sweep(n, verdict="unstable", reasons=["other load (1.4 of 2 cores)", "drifting (…)"]) for n in (1, 2)
    ]
    assert count([latencies(rows) for rows in busy]).trusted == 0
    assert count([latencies(rows, but_for_load) for rows in busy]).trusted == 2
    assert count([latencies(rows, but_for_load) for rows in drifting]).trusted == 0
    assert share(0, 0) == "–"
