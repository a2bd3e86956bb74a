"""What else was true on this machine: read from the kernel's files, unknown where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bibench_deploy.runners import observer
from bibench_deploy.runners.observer import Observer, Usage, own_peak_memory, own_usage


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


# As a Raspberry Pi 4 with Raspberry Pi OS shows them.
PI = {
    "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "600000\n",
    "devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000\n",
    "class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "class/thermal/thermal_zone0/temp": "48199\n",
    "class/thermal/thermal_zone1/type": "cpu-thermal\n",
    "class/thermal/thermal_zone1/temp": "-1000\n",
    "devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}


def test_a_raspberry_pi(tmp_path: Path) -> None:
    sys = write(tmp_path, PI)
    watching = Observer(sys=sys)
    write(sys, {"devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "900000\n"})
    watching.look()
    write(sys, {"devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1400000\n"})
    watching.look()
    write(sys, {"devices/platform/soc/soc:firmware/get_throttled": "0\n"})
    context = watching.context(Usage(peak_memory_bytes=9_000_000, cpuset="0-3"))
    assert context.clock_mhz_before == {0: 1500, 1: 600}
    assert context.clock_mhz_during == {0: 900, 1: 600}
    assert context.clock_mhz_during_most == {0: 1400, 1: 600}
    assert context.clock_mhz_after == {0: 1400, 1: 600}
    assert context.temperature_c_before == {"cpu-thermal": 48.199, "cpu-thermal 1": -1.0}
    assert (context.throttle_bits_before, context.throttle_bits, context.governor) == (0x50005, 0, "ondemand")
    assert (context.peak_memory_bytes, context.cpuset) == (9_000_000, "0-3")
    assert context.page_faults_minor is None
    assert context.kernel_release == os.uname().release


def test_what_a_machine_does_not_show_is_unknown(tmp_path: Path) -> None:
    context = Observer(sys=tmp_path).context(Usage())
    unknown = ("governor", "clock_mhz_before", "clock_mhz_during", "clock_mhz_after", "throttle_bits")
    assert [getattr(context, name) for name in unknown] == [None] * len(unknown)
    assert context.temperature_c_before is None


@pytest.mark.parametrize("text", ["", "\n", "<unknown>", "-"])
def test_a_sensor_that_shows_nonsense_is_unknown(text: str, tmp_path: Path) -> None:
    sys = write(tmp_path, PI | {"class/thermal/thermal_zone0/temp": text})
    assert observer.temperatures(sys) == {"cpu-thermal": -1.0}


def test_a_process_knows_what_it_used() -> None:
    usage = own_usage(own_peak_memory())
    assert usage.peak_memory_bytes is not None
    assert usage.peak_memory_bytes > 1_000_000
    assert usage.page_faults_minor
    assert usage.context_switches_voluntary is not None


def test_processor_time_of_others_is_what_is_left(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")

    def busy(seconds: int) -> None:
        # user nice system idle iowait irq softirq steal, in ticks
        write(tmp_path, {"stat": f"cpu  {seconds * ticks} 0 0 {10**6} 7 0 0 0 0 0\ncpu0 0 0\n"})

    busy(100)
    watching = Observer(proc=tmp_path, sys=tmp_path)
    watching.begin()
    busy(108)
    watching.end(own_seconds=5)
    assert watching._other_seconds == pytest.approx(3)
    other_load = watching.context(Usage()).other_load
    assert other_load is not None
    assert other_load > 0


def test_no_processor_time_of_others_without_the_kernels_count(tmp_path: Path) -> None:
    watching = Observer(proc=tmp_path, sys=tmp_path)
    watching.begin()
    watching.end(own_seconds=0)
    assert watching.context(Usage()).other_load is None
