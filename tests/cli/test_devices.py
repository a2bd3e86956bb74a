"""``devices``: the inventory as a user keeps it, and what simulated devices say about themselves over real SSH."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from lab.board import PHONE, RPI4
from lab.device import SimulatedDevice
from lab.lab import Lab
from lab.setup import TERMUX, Setup

from bibench_deploy.device_profiles import load_profiles, read_inventory
from bibench_deploy.runners.device.cache import DeviceCache
from bibench_deploy.runners.device.lease import Lease
from bibench_deploy.runners.transport.ssh import open_transport
from support.command import bibench, bibench_here, is_clean

Command = Callable[..., subprocess.CompletedProcess[str]]


def devices(
    home: Path, *arguments: str | Path, by: Command = bibench_here
) -> subprocess.CompletedProcess[str]:
    return by(
        "devices", *arguments, cwd=home, HOME=str(home), XDG_CONFIG_HOME=str(home / "config"), COLUMNS="120"
    )


def in_lab(lab: Lab, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return devices(home, *arguments, "--inventory", lab.inventory)


def test_a_device_is_added_shown_replaced_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "config/bibench-deploy/devices.toml"
    new = ("add", "kitchen", "--profile", "rpi4", "--host", "10.0.0.2", "--tag", "nightly")
    added = devices(tmp_path, *new, by=bibench)
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == f"kitchen: Raspberry Pi 4 Model B at 10.0.0.2, kept in {file}\n"

    again = devices(tmp_path, "add", "kitchen", "--profile", "rpi4", "--host", "10.0.0.3")
    assert again.returncode == 2
    assert "there is a device 'kitchen' already" in again.stderr
    assert "--force" in again.stderr
    forced = devices(tmp_path, "add", "kitchen", "--profile", "m1", "--host", "10.0.0.3", "--force")
    assert forced.returncode == 0

    shown = json.loads(devices(tmp_path, "show", "kitchen", "--json").stdout)
    assert (shown["host"], shown["reached_by"], shown["profile"]["id"]) == (
        "10.0.0.3",
        "inventory",
        "apple-m1",
    )
    assert shown["profile"]["clusters"][0]["popcount_macs_per_cycle"] == pytest.approx(512 / 3)

    listed = json.loads(devices(tmp_path, "list", "--json").stdout)
    assert [row["device"] for row in listed["devices"]] == ["kitchen"]
    assert listed["inventory"] == str(file)
    assert devices(tmp_path, "remove", "kitchen").returncode == 0
    assert devices(tmp_path, "list").stdout.startswith("no devices in ")


def test_paths_are_kept_as_of_the_folder_where_they_were_given(tmp_path: Path) -> None:
    added = devices(tmp_path, "add", "rpi4", "--host", "pi.local", "--key", "keys/pi", "--json")
    assert json.loads(added.stdout)["device"]["entry"]["key"] == str(tmp_path / "keys/pi")
    assert f"key: there is no file {tmp_path}/keys/pi" in added.stderr.replace("\n", "")


def test_the_list_of_all_boards_says_what_is_not_known(tmp_path: Path) -> None:
    table = devices(tmp_path, "list", "--all").stdout
    assert "Raspberry Pi 3 Model B+" in table
    assert "unknown" in table
    document = json.loads(devices(tmp_path, "list", "--all", "--json").stdout)
    kirin = next(profile for profile in document["profiles"] if profile["id"] == "kirin990")
    assert [cluster["popcount_gmacs"] for cluster in kirin["clusters"]] == [
        pytest.approx(244.05, rel=1e-3),
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["add", "kitchen", "--host", "x"], "which board is 'kitchen'?"),
        (
            ["add", "rpi4", "--host", "-oProxyCommand=reboot"],
            "host: '-oProxyCommand=reboot' has not the form",
        ),
        (["add", "local", "--profile", "rpi4", "--host", "x"], "'local' always is this machine"),
        (["add", "a", "--profile", "rpi99", "--host", "x"], "unknown device profile 'rpi99'"),
        (["add", "rpi4", "--host", "x", "--inventory", "absent/devices.toml"], "the folder does not exist"),
        (["remove", "kitchen"], "no device 'kitchen' in the inventory"),
        (["show", "rpi99"], "unknown device 'rpi99'"),
        (["list", "--inventory", "absent.toml"], "there is no such inventory"),
        (["list", "--tag", "nightly"], "no device has the tag 'nightly'"),
        (["probe"], "no device was named"),
        (["doctor", "local,,rpi4"], "an empty name"),
        (["doctor", "rpi99"], "unknown device 'rpi99'"),
    ],
)
def test_wrong_usage_is_one_message(tmp_path: Path, arguments: list[str], why: str) -> None:
    done = devices(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert is_clean(done.stderr)
    assert list(tmp_path.rglob("*.toml")) == []


def test_this_machine_is_probed_and_examined(tmp_path: Path) -> None:
    (row,) = json.loads(devices(tmp_path, "probe", "local", "--json").stdout)["devices"]
    assert row["facts"]["complete"] is True
    assert row["contradictions"] == []
    examined = devices(tmp_path, "doctor", "local", "--json")
    assert examined.returncode == 0
    assert json.loads(examined.stdout)["devices"][0]["usable"] is True


def test_a_pi_and_a_phone_are_probed_over_ssh(lab: Lab, rpi4: SimulatedDevice, tmp_path: Path) -> None:
    lab.add("phone", Setup(board=PHONE, termux=True), profile="kirin980")
    done = in_lab(lab, tmp_path, "probe", "rpi4,phone", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    pi, phone = (row["facts"] for row in json.loads(done.stdout)["devices"])
    assert [(group["core"], group["count"], group["max_mhz"]) for group in pi["groups"]] == [
        ("Cortex-A72", 4, 1500.0)
    ]
    assert pi["zones"] == [{"name": "cpu-thermal", "celsius": 48.686}]
    assert (pi["machine"], pi["userland_bits"], pi["userland_arch"]) == ("aarch64", 64, "aarch64")
    assert [(group["core"], group["count"]) for group in phone["groups"]] == [
        ("Cortex-A76", 4),
        ("Cortex-A55", 4),
    ]
    assert (phone["termux"], phone["workdir"]["path"]) == (True, f"{TERMUX}/home/.cache/bibench-deploy")
    assert rpi4.inside('ls -A "$2"').split() == []  # the probe left nothing behind


def test_a_board_that_is_not_what_its_entry_says(lab: Lab, tmp_path: Path) -> None:
    lab.add("board", Setup(board=RPI4), profile="rpi5")
    done = in_lab(lab, tmp_path, "probe", "board")
    assert done.returncode == 0
    said = " ".join(done.stderr.split())
    assert "the device has 4 × Cortex-A72; the profile 'rpi5' says 4 × Cortex-A76" in said
    assert "highest clock is 1500 MHz; the profile 'rpi5' says 2400 MHz" in said


@pytest.mark.parametrize(
    ("spoil", "code"),
    [("ro", "workdir-read-only"), ("noexec", "workdir-noexec"), ("full", "workdir-full")],
)
def test_a_work_folder_that_can_not_be_used(
    lab: Lab, linux_host: SimulatedDevice, tmp_path: Path, spoil: str, code: str
) -> None:
    if spoil == "full":
        linux_host.fill_disk()
    else:
        linux_host.remount(spoil)
    done = in_lab(lab, tmp_path, "doctor", "linux", "--json")
    assert done.returncode == 3
    (row,) = json.loads(done.stdout)["devices"]
    assert row["usable"] is False
    assert code in [finding["code"] for finding in row["findings"]]


def test_the_doctor_looks_at_the_other_devices_when_one_is_off(
    lab: Lab, linux_host: SimulatedDevice, tmp_path: Path
) -> None:
    lab.add("other", Setup(), profile="generic-x86_64").power_off()
    done = in_lab(lab, tmp_path, "doctor", "other", "linux", "--json")
    assert done.returncode == 3
    off, on = json.loads(done.stdout)["devices"]
    assert [finding["code"] for finding in off["findings"]] == ["unreachable"]
    assert on["usable"] is True
    probed = in_lab(lab, tmp_path, "probe", "other", "linux", "--json")
    assert probed.returncode == 3
    assert [set(row) & {"facts", "error"} for row in json.loads(probed.stdout)["devices"]] == [
        {"error"},
        {"facts"},
    ]
    assert is_clean(probed.stderr)


def test_a_missing_key_is_said_before_anything_is_tried(tmp_path: Path) -> None:
    devices(tmp_path, "add", "rpi4", "--host", "192.0.2.1", "--key", "absent")
    done = devices(tmp_path, "doctor", "rpi4")
    assert done.returncode == 3
    assert f"impossible: key: there is no file {tmp_path}/absent" in done.stdout
    assert "ssh-copy-id" in done.stdout


def test_what_was_pushed_is_removed_and_nothing_else(
    lab: Lab, linux_host: SimulatedDevice, tmp_path: Path
) -> None:
    artefact = tmp_path / "a model.bbm"
    artefact.write_bytes(b"x" * 300_000)
    (device,) = read_inventory(lab.inventory).resolve(["linux"], [], load_profiles())
    with open_transport(device) as transport:
        cached = DeviceCache(transport, device.workdir).ensure(artefact)
        transport.run("echo mine > .cache/bibench-deploy/notes", timeout_s=10)
    done = in_lab(lab, tmp_path, "clean", "linux", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["devices"]
    assert row["removed"] == [Path(cached.path).name]
    assert row["freed_kib"] >= 290
    assert linux_host.inside('cd "$2/.cache/bibench-deploy"; find . -type f').split() == ["./notes"]
    assert json.loads(in_lab(lab, tmp_path, "clean", "linux", "--json").stdout)["devices"][0]["removed"] == []


def test_a_device_that_is_measured_on_is_not_cleaned(
    lab: Lab, linux_host: SimulatedDevice, tmp_path: Path
) -> None:
    (device,) = read_inventory(lab.inventory).resolve(["linux"], [], load_profiles())
    with open_transport(device) as transport:
        Lease(
            lambda script, limit, step: transport.run(script, timeout_s=limit, step=step), "linux", "somebody"
        ).acquire()
        done = in_lab(lab, tmp_path, "clean", "linux", "--no-wait")
    assert done.returncode == 3
    assert "the device is taken by somebody" in done.stderr


def test_a_full_disk_is_cleaned(lab: Lab, linux_host: SimulatedDevice, tmp_path: Path) -> None:
    linux_host.fill_disk()
    assert in_lab(lab, tmp_path, "clean", "linux").returncode == 0
