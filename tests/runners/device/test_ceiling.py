"""What a device's cores can do at best, by the table of core types and the clocks that were seen."""

from __future__ import annotations

import pytest

from bibench_deploy.device_profiles import load_cores
from bibench_deploy.runners.device.ceiling import predicted_gmacs
from bibench_deploy.runners.device.facts import CoreGroup, DeviceFacts

CORES = load_cores()
# 1.5 operations of 128 bits a cycle, three for 128 multiply-accumulates: 64 a cycle; a Cortex-A53 starts one.
A72 = CoreGroup(core="Cortex-A72", midr=None, count=2, cpus=(2, 3))
A53 = CoreGroup(core="Cortex-A53", midr=None, count=2, cpus=(0, 1))
A510 = CoreGroup(core="Cortex-A510", midr=None, count=1, cpus=(4,))  # its pipes are the SoC's choice
CLOCKS = {0: 1500.0, 1: 1500.0, 2: 2400.0, 3: 2400.0, 4: 1800.0}
BIG, LITTLE = 64 * 2.4, 128 / 3 * 1.5


@pytest.mark.parametrize(
    ("groups", "threads", "pinned", "found"),
    [
        ((A72, A53), 1, (), BIG),  # the fastest may be used
        ((A72, A53), 3, (), 2 * BIG + LITTLE),
        ((A72, A53), 9, (), 2 * BIG + 2 * LITTLE),
        ((A72, A53), 2, (0, 1), 2 * LITTLE),
        ((A72, A510), 1, (), None),
        ((A72, A510), 1, (2,), BIG),
        ((A72, A53), 1, (7,), None),
        ((CoreGroup(core=None, midr="0x41:0xfff", count=1, cpus=(0,)),), 1, (), None),
        ((), 1, (), None),
    ],
)
def test_the_fastest_cores_that_may_be_used_count(
    groups: tuple[CoreGroup, ...], threads: int, pinned: tuple[int, ...], found: float | None
) -> None:
    assert predicted_gmacs(DeviceFacts(groups=groups), CORES, CLOCKS, threads, pinned) == pytest.approx(found)


def test_without_a_clock_nothing_is_predicted() -> None:
    assert predicted_gmacs(DeviceFacts(groups=(A72,)), CORES, {2: 2400.0}, 1) is None
