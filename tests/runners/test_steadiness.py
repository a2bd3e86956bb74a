"""Modes, slowing and trends that are there, and none where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from bibench_deploy.runners.steadiness import bimodal, drift, slowed


def shaped(shape: str, count: int, seed: int) -> list[float]:
    random = np.random.default_rng(seed)
    spread = {
        "normal": lambda: random.normal(100, 3, count),
        "normal, wide": lambda: random.normal(100, 15, count),
        "long tail": lambda: 100 + random.exponential(5, count),
        "outliers": lambda: np.where(random.random(count) < 0.03, 200.0, random.normal(100, 2, count)),
        "uniform": lambda: random.uniform(90, 110, count),
        "two close modes": lambda: (
            np.where(random.random(count) < 0.5, 101, 100) + random.normal(0, 0.2, count)
        ),
        "two modes": lambda: np.where(random.random(count) < 0.4, 130, 100) + random.normal(0, 2, count),
        "two clocks": lambda: np.where(random.random(count) < 0.8, 150, 100) + random.normal(0, 3, count),
    }
    return [float(value) for value in spread[shape]()]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [60, 400, 6000])
@pytest.mark.parametrize(
    "shape", ["normal", "normal, wide", "long tail", "outliers", "uniform", "two close modes"]
)
def test_one_mode(shape: str, count: int, seed: int) -> None:
    assert bimodal(shaped(shape, count, seed)) is None


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [60, 400, 6000])
@pytest.mark.parametrize(("shape", "modes"), [("two modes", (100, 130)), ("two clocks", (100, 150))])
def test_two_modes(shape: str, modes: tuple[int, int], count: int, seed: int) -> None:
    assert bimodal(shaped(shape, count, seed)) == pytest.approx(modes, abs=4)


def test_drift_is_a_trend_that_is_clear_and_large() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.3, (12, 20))
    rising = [list(100 + turn + noise[turn]) for turn in range(12)]
    assert drift(rising) == pytest.approx(0.11, abs=0.02)
    assert drift([list(reversed(turn)) for turn in reversed(rising)]) == pytest.approx(-0.11, abs=0.02)
    assert drift([list(100 + noise[turn]) for turn in range(12)]) is None  # chance
    assert drift([[100 + 0.05 * turn] for turn in range(12)]) is None  # clear, and too small to matter
    assert drift(rising[:5]) is None  # too few to tell
    assert drift([[100.0]] * 12) is None


def test_chance_rarely_looks_like_a_drift() -> None:
    random = np.random.default_rng(2)
    found = [drift([[float(v)] for v in random.normal(100, 5, 12)]) for _ in range(300)]
    assert sum(change is not None for change in found) / 300 < 0.03


def shared_core(busy: float, seed: int = 0) -> list[float]:
    """Runs on a core whose other hardware thread is at work for so great a share of the time: 14 % slower then."""
    random = np.random.default_rng(seed)
    floor = np.where(random.random(2000) < busy, 114.0, 100.0)
    return [float(value) for value in floor + random.exponential(0.5, 2000)]


@pytest.mark.parametrize(
    ("busy", "by"),
    [
        (0.0, 0.00),
        (0.3, 0.01),  # the median is that of an idle neighbour, and will be
        (0.7, 0.14),
        (0.9, 0.14),  # too few quick runs for two modes
        (1.0, 0.00),  # nothing tells
    ],
)
def test_a_median_of_disturbed_runs_lies_above_the_quickest(busy: float, by: float) -> None:
    assert slowed(shared_core(busy)) == pytest.approx(by, abs=0.01)


def test_one_run_that_a_clock_got_wrong_is_not_the_quickest() -> None:
    assert slowed([1.0] + [100.0] * 99) == 0
    assert slowed([5.0]) == 0
