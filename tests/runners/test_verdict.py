"""A word on each measurement, and why."""

from __future__ import annotations

import numpy as np
import pytest

from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.verdict import disturbances, judge

QUIET = RunContext()


def turns(noise: float = 0.002, count: int = 12, runs: int = 30, seed: int = 0) -> list[list[float]]:
    return [list(turn) for turn in np.random.default_rng(seed).normal(100, 100 * noise, (count, runs))]


def test_a_quiet_measurement_is_stable() -> None:
    verdict = judge(turns(), QUIET, cores=4)
    assert (verdict.word, verdict.reasons, str(verdict)) == ("stable", (), "stable")


def test_too_few_runs_are_invalid() -> None:
    verdict = judge([[1.0, 2.0], [1.0]], QUIET, cores=4)
    assert str(verdict) == "invalid: 3 runs are too few to tell anything"


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (turns(noise=0.2), "the interval is ±"),
        ([[1.0] * 9, [1.0] * 9, [300.0] * 9] * 4, "the interval is wider than the median itself, ±1 % "),
        (turns(count=3), "too few turns for an interval (3 of 8)"),
        ([[100.0, 100.1, 140.0, 140.2] * 10] * 12, "bimodal (modes at "),
        ([[100.0] + [114.0] * 9] * 12, "slowed down (the median is 14.0 % above the quickest runs)"),
        ([[v + 2 * i for v in turn] for i, turn in enumerate(turns())], "drifting (+"),
    ],
)
def test_what_the_samples_say(samples: list[list[float]], reason: str) -> None:
    verdict = judge(samples, QUIET, cores=4)
    assert verdict.word == "unstable"
    assert any(said.startswith(reason) for said in verdict.reasons), verdict


@pytest.mark.parametrize(
    ("context", "reasons"),
    [
        (RunContext(clock_mhz_during={0: 1500.0}, clock_mhz_during_most={0: 1500.0}), ()),
        (
            RunContext(clock_mhz_during={0: 900.0, 1: 600.0}, clock_mhz_during_most={0: 1500.0, 1: 600.0}),
            ("the clock moved by 40 %",),
        ),
        # The thread moved from one core to the other, and who has none idles.
        (RunContext(clock_mhz_during={0: 1500.0, 1: 600.0}, clock_mhz_during_most={0: 600.0, 1: 1500.0}), ()),
        # Idle cores before and after: a governor that follows the load, not a clock that moved.
        (
            RunContext(clock_mhz_before={0: 600.0}, clock_mhz_during={0: 1500.0}, clock_mhz_after={0: 600.0}),
            (),
        ),
        (RunContext(clock_mhz_before={0: 600.0}, clock_mhz_after={0: 1500.0}), ()),
        (RunContext(throttle_bits=0x50000), ()),  # since boot, not now
        (RunContext(throttle_bits_before=0x50000, throttle_bits=0x50000), ()),
        (RunContext(throttle_bits=0x50005), ("throttled (under-voltage, throttled)",)),
        (RunContext(throttle_bits_before=0x40004, throttle_bits=0x40000), ("throttled (throttled)",)),
        # Over before anybody looked: the bits since boot tell.
        (RunContext(throttle_bits_before=0x10000, throttle_bits=0x50000), ("throttled (throttled)",)),
        (RunContext(throttle_bits_before=0, throttle_bits=0x10000), ("throttled (under-voltage)",)),
        (RunContext(load_before=9.0), ()),  # what is measured is part of it
        (RunContext(other_load=0.3), ()),
        (RunContext(other_load=1.5), ("other load (1.5 of 4 cores)",)),
    ],
)
def test_what_the_conditions_say(context: RunContext, reasons: tuple[str, ...]) -> None:
    verdict = judge(turns(), context, cores=4)
    assert verdict.reasons == reasons
    assert verdict.word == ("unstable" if reasons else "stable")


def test_a_coarser_aim_accepts_a_wider_interval() -> None:
    noisy = [[100.0 + turn] * 30 for turn in (0, 3, 1, 2) * 3]
    assert judge(noisy, QUIET, cores=4, precision=0.005).word == "unstable"
    assert judge(noisy, QUIET, cores=4, precision=0.02).word == "stable"


@pytest.mark.parametrize(("precision", "word"), [(0.01, "unstable"), (0.02, "stable"), (0.05, "stable")])
def test_a_coarser_aim_accepts_a_median_that_is_slowed_by_less(precision: float, word: str) -> None:
    slower = [[100.0] * 2 + [102.5] * 18] * 12
    assert judge(slower, QUIET, cores=4, precision=precision).word == word


@pytest.mark.parametrize(
    ("by", "reasons"), [(0.04, ()), (0.06, ("slowed down (the median is 6.0 % above the quickest runs)",))]
)
def test_what_disturbed_a_measurement_does_not_depend_on_its_aim(by: float, reasons: tuple[str, ...]) -> None:
    slower = [[100.0] * 3 + [100 * (1 + by)] * 37] * 12  # too few for a second mode
    assert disturbances(slower, QUIET, cores=4) == reasons
