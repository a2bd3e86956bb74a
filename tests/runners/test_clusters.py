"""Which cores ``--cpus`` means, on boards as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.errors import InputError
from bibench_deploy.runners.clusters import check_request, choose_cpus, cluster_sizes, local_cpus, ranges
from bibench_deploy.runners.device.context import host_of
from bibench_deploy.runners.device.facts import Cpu, DeviceFacts, group_cores
from bibench_deploy.runners.threads import parse_ranges

#: Snapdragon 888: four Cortex-A55, three A78, one X1; Linux's cpu_capacity on such a board.
SNAPDRAGON = tuple(Cpu(number=n, capacity=c) for n, c in enumerate([250] * 4 + [789] * 3 + [1024]))
#: Kirin 970: clocks alone, as older kernels tell them.
KIRIN = tuple(Cpu(number=n, max_mhz=1844 if n < 4 else 2362) for n in range(8))
PI = tuple(Cpu(number=n, max_mhz=1500) for n in range(4))


@pytest.mark.parametrize(
    ("request_", "cpus", "allowed", "chosen"),
    [
        ("little", SNAPDRAGON, None, "0-3"),
        ("big", SNAPDRAGON, None, "4-7"),
        ("all", SNAPDRAGON, None, "0-7"),
        ("big", KIRIN, None, "4-7"),
        ("little", KIRIN, {2, 3, 6, 7}, "2-3"),
        ("all", KIRIN, {0, 1, 7}, "0-1,7"),
        ("3, 0-1", PI, None, "0-1,3"),
    ],
)
def test_cores_are_chosen_by_cluster_or_number(
    request_: str, cpus: tuple[Cpu, ...], allowed: set[int] | None, chosen: str
) -> None:
    assert ranges(choose_cpus(check_request(request_), cpus, allowed)) == chosen


@pytest.mark.parametrize(
    ("request_", "cpus", "allowed", "why"),
    [
        ("big", PI, None, "all cores are alike"),
        ("little", KIRIN, {4, 5}, "all cores are alike"),
        ("2-5", PI, None, "no core 4-5, or it may not be used \\(usable: 0-3\\)"),
        ("0", PI, {1, 2}, "no core 0, or it may not be used \\(usable: 1-2\\)"),
        ("all", (), None, "neither a number nor a range|usable: unknown"),
        ("0", (Cpu(number=0, online=False), Cpu(number=1)), None, "no core 0"),
        ("fast", PI, None, "'fast' is neither a number nor a range"),
        ("3-1", PI, None, "runs backwards"),
        ("4096", PI, None, "between 0 and 1023"),
        ("", PI, None, "neither a number nor a range"),
    ],
)
def test_what_is_impossible_is_refused(
    request_: str, cpus: tuple[Cpu, ...], allowed: set[int] | None, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        choose_cpus(check_request(request_), cpus, allowed)


@given(st.sets(st.integers(0, 1023), min_size=1))
def test_ranges_are_read_back_as_they_were_written(numbers: set[int]) -> None:
    assert set(parse_ranges(ranges(numbers), 0, 1023, "", "", "")) == numbers


def test_clusters_are_read_from_the_kernels_files(tmp_path: Path) -> None:
    for number, (capacity, kilohertz) in enumerate([("446", "1844000"), ("1024", "2362000")]):
        folder = tmp_path / f"devices/system/cpu/cpu{number}"
        (folder / "cpufreq").mkdir(parents=True)
        (folder / "cpu_capacity").write_text(capacity + "\n")
        (folder / "cpufreq/cpuinfo_max_freq").write_text(kilohertz + "\n")
    (tmp_path / "devices/system/cpu/cpufreq").mkdir()
    found = local_cpus(tmp_path)
    assert [(cpu.number, cpu.capacity, cpu.max_mhz) for cpu in found] == [(0, 446, 1844.0), (1, 1024, 2362.0)]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no process")
def test_this_machine_has_the_cores_that_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    assert set(choose_cpus("all", local_cpus(), allowed)) == allowed


@pytest.mark.parametrize(
    ("cpus", "usable", "sizes"),
    [
        (SNAPDRAGON, None, (1, 3, 4)),
        (SNAPDRAGON, (2, 3, 6), (1, 2)),
        (KIRIN, None, (4, 4)),
        (PI, None, (4,)),
        ((Cpu(number=0, online=False), Cpu(number=1)), None, (1,)),
        ((), None, ()),
    ],
)
def test_clusters_are_counted_fastest_first(
    cpus: tuple[Cpu, ...], usable: tuple[int, ...] | None, sizes: tuple[int, ...]
) -> None:
    assert cluster_sizes(cpus, usable) == sizes


@pytest.mark.parametrize(("allowed", "clusters"), [(None, (4, 4)), (8, (4, 4)), (4, ())])
def test_a_device_tells_its_clusters_where_all_of_them_may_be_used(
    allowed: int | None, clusters: tuple[int, ...]
) -> None:
    facts = DeviceFacts(cpus=KIRIN, groups=group_cores(KIRIN, {}), allowed=allowed)
    assert host_of(facts).clusters == clusters
