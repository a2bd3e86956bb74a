"""The lab itself: what it pretends to be, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import tomllib
from pathlib import Path

import pytest

from lab.board import PHONE, RPI3, RPI4, RPI5
from lab.device import SimulatedDevice
from lab.lab import Lab
from lab.programs import DOT_PRODUCT
from lab.setup import TERMUX, Setup


def test_a_raspberry_pi_is_one_to_whoever_looks(lab: Lab, rpi4: SimulatedDevice) -> None:
    seen = lab.ssh(
        "rpi4",
        "uname -m; hostname; id -u; pwd; tr -d '\\0' </proc/device-tree/model 2>/dev/null"
        " || tr -d '\\0' </sys/firmware/devicetree/base/model; echo;"
        "grep -c 'CPU part.*0xd08' /proc/cpuinfo; cat /sys/class/thermal/thermal_zone0/temp"
        " /sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
    )
    assert seen.stdout.split("\n") == [
        *("aarch64", "rpi4", "1000", "/home/pi", "Raspberry Pi 4 Model B Rev 1.1", "4", "48686"),
        *("performance", ""),
    ], seen.stderr


def test_a_phone_has_neither_bin_nor_tmp(lab: Lab) -> None:
    lab.add("phone", Setup(board=PHONE, termux=True), profile="kirin990")
    seen = lab.ssh("phone", "uname -m; pwd; echo $PREFIX; command -v sh; ls -d /bin /tmp 2>/dev/null | wc -l")
    assert seen.stdout.split() == ["aarch64", f"{TERMUX}/home", f"{TERMUX}/usr", f"{TERMUX}/usr/bin/sh", "0"]


@pytest.mark.parametrize(
    ("shell", "name"),
    [("/bin/bash", "bash"), ("/bin/dash", "dash"), ("/usr/bin/fish", "fish"), ("/usr/bin/tcsh", "tcsh")],
)
def test_login_shells_are_real(lab: Lab, shell: str, name: str) -> None:
    lab.add("host", Setup(shell=shell), profile="generic-x86_64")
    assert name in lab.ssh("host", "ps -e -o comm= | cat").stdout.split()


def test_a_host_without_login(lab: Lab) -> None:
    lab.add("host", Setup(shell="/usr/sbin/nologin"), profile="generic-x86_64")
    seen = lab.ssh("host", "echo hello")
    assert (seen.returncode, seen.stdout) == (1, "This account is currently not available.\n")


def test_a_host_that_takes_no_key(lab: Lab) -> None:
    lab.add("host", Setup(login="password"), profile="generic-x86_64")
    seen = lab.ssh("host", "echo hello")
    assert seen.returncode == 255
    assert "Permission denied (password)" in seen.stderr


def test_noise_and_a_banner(lab: Lab) -> None:
    setup = Setup(shell="/bin/bash", home={".bashrc": "echo good morning\n"}, banner="authorized use only\n")
    lab.add("host", setup, profile="generic-x86_64")
    seen = lab.ssh("host", "echo hello")
    assert seen.stdout == "good morning\nhello\n"
    assert "authorized use only" in seen.stderr


def test_another_host_key(lab: Lab, linux_host: SimulatedDevice) -> None:
    assert lab.ssh("linux", "true").returncode == 0
    linux_host.power_off()
    linux_host.new_host_key()
    linux_host.power_on()
    seen = lab.ssh("linux", "true")
    assert seen.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in seen.stderr


def test_disks(lab: Lab) -> None:
    device = lab.add("host", Setup(disk_kb=1024), profile="generic-x86_64")
    device.fill_disk(leave_kb=8)
    assert "No space left" in lab.ssh("host", "head -c 100000 /dev/zero >big").stderr
    device.remount("ro")
    assert "Read-only" in lab.ssh("host", "touch x").stderr
    device.remount("rw,noexec")
    device.empty_disk()
    assert lab.ssh("host", "cp /bin/true t && ./t").returncode == 126


def test_a_cable_is_cut_and_mended(lab: Lab) -> None:
    device = lab.add("host", Setup(network=True), profile="generic-x86_64")
    device.link.cut()
    options = ["-o", "ConnectTimeout=1"]
    assert lab.ssh("host", "true", *options).returncode == 255
    device.link.mend()
    assert lab.ssh("host", "true").returncode == 0
    device.link.swallow()
    assert "timed out" in lab.ssh("host", "true", *options).stderr
    device.link.clear()
    device.link.reject()
    assert "refused" in lab.ssh("host", "true", *options).stderr


def test_a_process_that_wants_more_memory_than_there_is_gets_killed(lab: Lab) -> None:
    lab.add("host", Setup(memory_mb=48), profile="generic-x86_64")
    seen = lab.ssh("host", "perl -e '$x = chr(1) x 2e8'; echo $?")
    assert seen.stdout == "137\n"
    assert lab.ssh("host", "echo alive").stdout == "alive\n"


def test_an_instruction_that_the_processor_lacks_ends_a_program(lab: Lab, tmp_path: Path) -> None:
    for name, board in (("rpi3", RPI3), ("rpi5", RPI5)):
        device = lab.add(name, Setup(board=board), profile=name)
        device.put(DOT_PRODUCT, "program")
    assert lab.ssh("rpi3", "./program; echo $?").stdout == f"{128 + signal.SIGILL}\n"
    assert lab.ssh("rpi5", "./program; echo $?").stdout == "0\n"


def test_what_runs_on_a_device_is_seen_and_goes_with_it(lab: Lab, rpi4: SimulatedDevice) -> None:
    assert rpi4.processes() == []
    assert lab.ssh("rpi4", "sleep 1234 >/dev/null 2>&1 &").returncode == 0
    (sleeping,) = rpi4.processes()
    assert sleeping.endswith("sleep 1234")
    inside = _host_processes(rpi4)
    rpi4.power_off()
    assert [pid for pid in inside if Path(f"/proc/{pid}").exists()] == []


def _host_processes(device: SimulatedDevice) -> list[int]:
    """Numbers, on this machine, of a device's processes: those of its process namespace."""
    space = os.readlink(f"/proc/{device.pid}/ns/pid")
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and os.readlink(folder / "ns/pid") == space:
                found.append(int(folder.name))
        except OSError:
            continue
    assert len(found) > 2
    return found


def test_the_inventory_holds_what_a_client_needs(lab: Lab) -> None:
    device = lab.add("pi", Setup(), profile="rpi4", tags=["nightly", 'a "quoted" one'], workdir="my work")
    table = tomllib.loads(lab.inventory.read_text())["devices"]["pi"]
    assert table == lab.entry("pi")
    assert (table["host"], table["port"], table["profile"]) == (device.address, device.port, "rpi4")


def test_a_boards_files_can_be_others() -> None:
    board = RPI4.changed(
        {"/proc/loadavg": "3.5 2 1 2/141 1203\n", "/sys/class/thermal/thermal_zone0/temp": None}
    )
    tree = board.tree()
    assert tree["proc/loadavg"].startswith("3.5")
    assert "sys/class/thermal/thermal_zone0/temp" not in tree
