"""Which rows are compared with which, and which are not compared at all."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bibench_deploy.results.comparison import Pairs, compare_rows, pair, words_of
from bibench_deploy.results.comparison_tables import show
from bibench_deploy.results.row import HostFacts, Row
from bibench_deploy.runners.context import RunContext
from support.rows import MS, make_row

TURNS = 12


def measured(median_ms: float = 10, seed: int = 0, **facts: Any) -> Row:
    """A row with turns that differ by 0.5 %."""
    random = np.random.default_rng(seed)
    states = median_ms * MS * random.normal(1, 0.005, TURNS)
    samples = [int(state * noise) for state in states for noise in random.normal(1, 0.003, 10)]
    return make_row(samples_ns=samples, turns=[10] * TURNS, **{"verdict": "stable"} | facts)


def test_rows_of_one_measurement_belong_together_and_the_rest_is_named() -> None:
    a = [measured(10, 1), measured(20, 2, variant="fp32"), measured(5, 3, threads=2)]
    b = [measured(12, 4), measured(20, 5, variant="fp32"), measured(5, 6, threads=4)]
    found = compare_rows(a, b)
    assert [(p.b.variant, p.word) for p in found.pairs] == [("bnn", "slower"), ("fp32", "same")]
    assert words_of(found) == {"slower": 1, "faster": 0, "same": 1, "unknown": 0}
    assert [row.threads for row in (*found.only_a, *found.only_b)] == [2, 4]


def test_two_artefacts_belong_together_under_the_same_condition_whatever_they_are() -> None:
    a = [measured(10, 1, variant="fp32"), measured(6, 2, variant="fp32", threads=2)]
    b = [measured(2, 3), measured(1, 4, threads=2)]
    assert compare_rows(a, b).pairs == ()
    found = compare_rows(a, b, by="condition")
    assert [(p.b.threads, p.word) for p in found.pairs] == [(1, "faster"), (2, "faster")]
    assert "variant" in found.pairs[0].differs


def test_one_row_each_is_compared_whatever_it_is() -> None:
    (found,) = compare_rows([measured(10, 1)], [measured(5, 2, threads=2)]).pairs
    assert (found.word, found.differs) == ("faster", ("threads",))


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"host": HostFacts(cpu="another", arch="aarch64", cores=4, system="Linux 6.1")}, "other processor"),
        ({"context": RunContext(governor="powersave")}, "other governor (performance, powersave)"),
        ({"context": RunContext(clock_mhz_during={0: 1200.0})}, "other clock (1500 MHz, 1200 MHz)"),
        ({"context": RunContext(abi="armv7l-linux-glibc")}, "other ABI"),
        ({"context": RunContext(affinity="4-7", cpuset="0-7")}, "other cores (0-3, 4-7)"),
        ({"statistic": "aggregate"}, "the means that an engine's own benchmark reported"),
        ({"context": RunContext(handover_ns=150)}, "cores at another distance"),
        ({"verdict": "invalid", "reasons": ["3 runs are too few"]}, "B is invalid (3 runs are too few)"),
        (
            {"state": "not_applicable", "samples_ns": [], "turns": [], "reasons": ["one thread only"]},
            "B is not applicable (one thread only)",
        ),
    ],
)
def test_what_was_measured_under_another_condition_is_not_compared(facts: dict[str, Any], why: str) -> None:
    context = RunContext(
        governor="performance",
        clock_mhz_during={0: 1500.0},
        abi="aarch64-linux-glibc",
        affinity="0-3",
        cpuset="0-7",
        handover_ns=30.0,
    )
    other = measured(30, 2).model_copy(update=facts)
    found = pair(measured(10, 1, context=context), other)
    assert (found.word, found.comparison) == ("unknown", None)
    assert any(why in reason for reason in found.why), found.why


def test_a_disturbed_measurement_keeps_its_word_and_says_so() -> None:
    found = pair(measured(10, 1), measured(20, 2, context=RunContext(other_load=1.5)))
    assert (found.word, found.cautions) == ("slower", ("B: other load (1.5 of 4 cores)",))


def test_rows_of_stores_that_know_no_turns_are_no_evidence() -> None:
    found = pair(make_row(), make_row(samples_ns=[20 * MS] * 30))
    assert found.word == "unknown"
    assert "1 turns are too few" in found.why[0]


def test_what_may_be_chance_is_no_proof_that_nothing_changed() -> None:
    shaky = [
        make_row(samples_ns=[MS * (10 + turn % 5) for turn in range(12)], turns=[1] * 12) for _ in range(2)
    ]
    larger = shaky[1].model_copy(update={"samples_ns": [round(1.1 * run) for run in shaky[1].samples_ns]})
    (found,) = compare_rows([shaky[0]], [larger]).pairs
    assert (found.word, found.unclear(1.05), found.unclear(1.2)) == ("same", True, False)
    console = Console(file=io.StringIO(), width=80)
    show(Pairs((found,), (), ()), 1.05, console)
    assert isinstance(console.file, io.StringIO)
    assert (
        "same, since it may be chance, though the medians differ; measure longer" in console.file.getvalue()
    )
    (steady,) = compare_rows([measured(10, 1)], [measured(10.1, 2)]).pairs
    assert (steady.word, steady.unclear(1.05)) == ("same", False)
