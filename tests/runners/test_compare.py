"""Slower needs significance and size."""

from __future__ import annotations

import numpy as np
import pytest

from bibench_deploy.runners.compare import (
    FEWEST_TURNS,
    compare,
    incomparable,
    mann_whitney,
    moved_apart,
    paired_interval,
    ratio_interval,
)
from bibench_deploy.runners.context import RunContext


def measured(median: float, noise: float, seed: int, turns: int = 12) -> list[list[float]]:
    random = np.random.default_rng(seed)
    states = random.normal(1, noise, turns)
    return [list(median * state * random.normal(1, noise, 20)) for state in states]


@pytest.mark.parametrize(
    ("second", "noise", "word"),
    [
        (100, 0.01, "same"),
        (103, 0.003, "same"),  # significant, and too small to matter
        (110, 0.01, "slower"),
        (90, 0.01, "faster"),
        (110, 0.30, "same"),  # large, and the noise is larger
    ],
)
def test_two_keys(second: float, noise: float, word: str) -> None:
    found = compare(measured(100, noise, 1), measured(second, noise, 2))
    assert found.word == word
    assert found.interval is not None
    assert found.interval.low <= found.ratio * (1 + noise)
    assert found.interval.high >= found.ratio * (1 - noise)


def test_a_larger_factor_may_be_asked_for() -> None:
    a, b = measured(100, 0.01, 1), measured(110, 0.01, 2)
    assert compare(a, b, factor=1.2).word == "same"


def test_too_few_turns_are_no_verdict() -> None:
    a, b = measured(100, 0.001, 1, FEWEST_TURNS - 1), measured(150, 0.001, 2, FEWEST_TURNS)
    found = compare(a, b)
    assert (found.word, found.p) == ("unknown", None)
    assert "6 turns are too few" in found.why[0]
    enough = compare(measured(100, 0.001, 1, FEWEST_TURNS), b)
    assert enough.word == "slower"


def test_false_alarms_are_rare_when_nothing_changed() -> None:
    """Two measurements of one thing whose turns differ by 4 %: the runs alone would alarm all the time."""
    words = [compare(measured(100, 0.04, 2 * i), measured(100, 0.04, 2 * i + 1)).word for i in range(200)]
    assert words.count("same") >= 198


def test_turns_that_resemble_their_neighbours_seldom_alarm() -> None:
    """Nothing changed, and the machine wanders by 6 %: the test alone, which takes turns for independent, alarms in
    8 % of cases."""
    random = np.random.default_rng(5)

    def wandering(count: int, correlation: float = 0.6) -> list[list[float]]:
        state, found = random.normal(), []
        for _ in range(count):
            found.append([100 * (1 + 0.06 * state)])
            state = correlation * state + (1 - correlation**2) ** 0.5 * random.normal()
        return found

    found = [compare(wandering(25), wandering(25)) for _ in range(200)]
    alone = [one for one in found if one.p is not None and one.p < 0.002 and not 1 / 1.05 < one.ratio < 1.05]
    assert len(alone) >= 10
    assert sum(one.word != "same" for one in found) <= 8
    covered = sum(one.interval.low <= 1 <= one.interval.high for one in found if one.interval)
    assert covered / len(found) >= 0.92


def test_identical_samples_are_the_same() -> None:
    assert mann_whitney([5.0] * 8, [5.0] * 8) == 1
    assert compare([[5.0]] * 8, [[5.0]] * 8).word == "same"


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="without samples"):
        compare([], [[1.0]])


BASE = RunContext(governor="performance", abi="aarch64-linux-gnu", clock_mhz_during={0: 1500.0}, cpuset="0-3")


@pytest.mark.parametrize(
    ("other", "reasons"),
    [
        (BASE, ()),
        (RunContext(), ()),  # unknown is no reason
        (BASE.model_copy(update={"governor": "powersave"}), ("other governor (performance, powersave)",)),
        (BASE.model_copy(update={"abi": "armv7l"}), ("other ABI (aarch64-linux-gnu, armv7l)",)),
        (BASE.model_copy(update={"affinity": "4-7"}), ("other cores (0-3, 4-7)",)),
        (BASE.model_copy(update={"clock_mhz_during": {0: 600.0}}), ("other clock (1500 MHz, 600 MHz)",)),
        # It moved, which its verdict says; for some of the time it was the same.
        (BASE.model_copy(update={"clock_mhz_during": {0: 600.0}, "clock_mhz_during_most": {0: 1500.0}}), ()),
        (
            BASE.model_copy(update={"clock_mhz_during": {0: 600.0}, "clock_mhz_during_most": {0: 900.0}}),
            ("other clock (1500 MHz, 600–900 MHz)",),
        ),
        # What idles has no say.
        (BASE.model_copy(update={"clock_mhz_during": None, "clock_mhz_after": {0: 600.0}}), ()),
        (BASE.model_copy(update={"clock_mhz_during": {0: 1490.0}}), ()),
    ],
)
def test_measurements_under_other_conditions(other: RunContext, reasons: tuple[str, ...]) -> None:
    assert incomparable(BASE, other) == reasons


@pytest.mark.parametrize(
    ("first_ns", "second_ns", "why"),
    [
        (27.0, 155.0, "cores at another distance (27 ns from one to the other, 155 ns)"),
        (155.0, 27.0, "cores at another distance (155 ns from one to the other, 27 ns)"),
        (27.0, 45.0, None),
        (None, 155.0, None),  # one thread, or an engine that does not tell
        (None, None, None),
    ],
)
def test_cores_that_shared_a_cache_and_share_none(
    first_ns: float | None, second_ns: float | None, why: str | None
) -> None:
    first, second = (BASE.model_copy(update={"handover_ns": ns}) for ns in (first_ns, second_ns))
    assert moved_apart(first, second) == why
    assert incomparable(first, second) == ()  # of what was measured in turns it says nothing


def test_what_both_had_in_common_cancels_in_pairs() -> None:
    """A clock that moves by a tenth from turn to turn, and a ratio that does not."""
    random = np.random.default_rng(3)
    state = 1 + 0.1 * random.normal(size=12)
    first, second = list(40 * state), list(10 * state * (1 + 0.001 * random.normal(size=12)))
    paired, apart = paired_interval(first, second), ratio_interval(first, second)
    assert 0.249 < paired.low < 0.25 < paired.high < 0.251
    assert apart.high - apart.low > 20 * (paired.high - paired.low)


@pytest.mark.parametrize("count", [10, 25])
def test_a_paired_interval_covers_the_ratio_as_often_as_promised(count: int) -> None:
    random = np.random.default_rng(4)
    trials = 300
    covered = 0
    for _ in range(trials):
        state = 1 + 0.05 * random.normal(size=count)
        pair = [list(mean * state * (1 + 0.02 * random.normal(size=count))) for mean in (4.0, 1.0)]
        found = paired_interval(*pair)
        covered += found.low <= 0.25 <= found.high
    # Three standard errors of 300 trials are 3.8 %; the widening makes it cover more than it has to.
    assert covered / trials >= 0.95 - 0.038


def test_of_lists_of_unequal_length_the_ends_are_left_out() -> None:
    assert paired_interval([2.0] * 8, [1.0] * 6 + [9.0]) == paired_interval([2.0] * 7, [1.0] * 6 + [9.0])
