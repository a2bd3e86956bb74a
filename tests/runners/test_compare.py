"""Slower needs significance and size."""

from __future__ import annotations

import numpy as np
import pytest

from bibench_deploy.runners.compare import FEWEST_TURNS, compare, incomparable, mann_whitney
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
        (BASE.model_copy(update={"clock_mhz_during": {0: 1490.0}}), ()),
    ],
)
def test_measurements_under_other_conditions(other: RunContext, reasons: tuple[str, ...]) -> None:
    assert incomparable(BASE, other) == reasons
