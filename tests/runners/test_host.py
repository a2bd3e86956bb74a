"""The processor's name, as Linux spells it on different machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.runners.host import cpu_name, local_host

X86 = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9354\n\nprocessor\t: 1\n"
PI4 = "processor\t: 0\nCPU part\t: 0xd08\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [(X86, "AMD EPYC 9354"), (PI4, "Raspberry Pi 4 Model B Rev 1.4"), (ARM, None), ("", None)],
)
def test_the_name_is_the_processors_or_the_boards(cpuinfo: str, name: str | None) -> None:
    assert cpu_name(cpuinfo) == name


def test_a_machine_without_proc_and_sys_still_has_facts(tmp_path: Path) -> None:
    host = local_host(proc=tmp_path, sys=tmp_path)
    assert host.cpu
    assert host.cores >= 1
    assert host.governor is None


def test_the_governor_is_the_kernels(tmp_path: Path) -> None:
    policy = tmp_path / "devices/system/cpu/cpu0/cpufreq"
    policy.mkdir(parents=True)
    (policy / "scaling_governor").write_text("powersave\n")
    assert local_host(proc=tmp_path, sys=tmp_path).governor == "powersave"
