"""``bibench-deploy profile`` on simulated boards: what issue and README promise of it.

Latencies of simulated devices mean nothing; nothing here looks at one. Where the point is not the board, devices
have this machine's architecture: emulated ones take several times as long.
"""

from __future__ import annotations

import json
import signal

import pytest

from lab.board import PHONE, RPI4
from lab.lab import Lab
from lab.setup import TERMUX, Setup
from lab.user import QUICK, User
from lab.waiting import stop_measuring, wait_until_idle
from support.command import is_clean

HOST = "generic-x86_64"
SHELLS = ("/bin/bash", "/usr/bin/fish", "/usr/bin/tcsh")
NOISE = {".bashrc": "echo noise\nprintf 'more, without an end'\n", ".tcshrc": "echo noise\n"} | {
    ".config/fish/config.fish": "echo noise\n"
}


def test_a_sweep_prints_the_table_verified_on_the_device(lab: Lab, user: User) -> None:
    device = lab.add("rpi4", Setup(board=RPI4), profile="rpi4")
    done = user.profile("rpi4", threads="1,4", twin=True)
    assert done.returncode == 0, done.stderr
    for text in (
        "rpi4",
        "Raspberry Pi 4 Model B Rev 1.1",
        "tiny",
        "fp32",
        "bnn",
        "outputs verified on the device",
    ):
        assert text in done.stdout
    rows = user.stored()
    assert {(row["variant"], row["threads"]) for row in rows} == {
        (variant, threads) for variant in ("fp32", "bnn") for threads in (1, 4)
    }
    assert {(row["device"], row["verified_on_device"]) for row in rows} == {("rpi4", True)}
    wait_until_idle(device)


def test_json_holds_the_same(lab: Lab, user: User) -> None:
    lab.add("box", Setup(), profile=HOST)
    done = user.profile("box", "--json", threads="2", twin=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(row["device"], row["engine"], row["variant"], row["threads"]) for row in document["rows"]] == [
        ("box", "native", "fp32", 2),
        ("box", "native", "bnn", 2),
    ]
    assert [metric["device"] for metric in document["metrics"]] == ["box"]


def test_without_an_inventory_the_name_is_an_alias_of_the_ssh_configuration(lab: Lab, user: User) -> None:
    lab.add("box", Setup(), profile=HOST)
    (user.home / ".ssh/config").write_text(lab.ssh_config.read_text().replace("Host box\n", f"Host {HOST}\n"))
    done = user.bibench("profile", "--device", HOST, *QUICK)
    assert done.returncode == 0, done.stderr
    assert len(user.stored()) == 2


def test_a_second_run_pushes_nothing(lab: Lab, user: User) -> None:
    device = lab.add("box", Setup(network=True), profile=HOST)
    assert user.profile("box").returncode == 0
    files = device.inside('cd "$2" && find . -type f -size +1k -exec stat -c "%n %i %Y" {} + | sort')
    sent = device.link.bytes_sent()
    assert sent > 500_000  # the program itself
    second = user.profile("box", "--fresh")
    assert second.returncode == 0, second.stderr
    assert "pushed: nothing, all was there" in second.stdout
    assert device.inside('cd "$2" && find . -type f -size +1k -exec stat -c "%n %i %Y" {} + | sort') == files
    assert device.link.bytes_sent() - sent < 250_000  # scripts, keys and beats: neither program nor artefact


def test_four_devices_are_measured_at_the_same_time(lab: Lab, user: User) -> None:
    """Each run is stopped in its middle until the last one has begun: nobody waits for somebody to end."""
    names = [f"box-{number}" for number in range(1, 5)]
    devices = lab.add_all({name: Setup() for name in names}, profile=HOST, tags=["nightly"])
    where = ("bibench-workspace/tiny.native.bbm", "--inventory", lab.inventory, "--tag", "nightly")
    with user.starts("profile", *where, "--min-time", "1", "--max-time", "1") as command:
        for device in devices:
            stop_measuring(device)
        for device in devices:
            device.signal(signal.SIGCONT, "--min-time")
        _, err = command.communicate(timeout=240)
    assert command.returncode == 0, err
    assert sorted(row["device"] for row in user.stored()) == names


def test_one_device_that_fails_does_not_stop_the_others(lab: Lab, user: User) -> None:
    lab.add_all({"good": Setup(), "dead": Setup()}, profile=HOST)
    lab.devices["dead"].power_off()
    done = user.profile("dead,good")
    assert done.returncode == 3
    assert is_clean(done.stderr)
    assert "dead" in done.stderr
    assert "1 finished measurement is kept in" in " ".join(done.stderr.split())
    assert {row["device"] for row in user.stored()} == {"good"}
    assert "good" in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_login_shells_and_their_noise_do_not_matter(lab: Lab, user: User, shell: str) -> None:
    setup = Setup(shell=shell, home=NOISE, banner="authorized use only\n")
    device = lab.add("box", setup, profile=HOST)
    done = user.profile("box")
    assert done.returncode == 0, done.stderr
    assert "noise" not in done.stdout + done.stderr
    assert len(user.stored()) == 1
    wait_until_idle(device)


def test_a_phone_without_bin_and_tmp(lab: Lab, user: User) -> None:
    device = lab.add("phone", Setup(board=PHONE, termux=True), profile="kirin990")
    done = user.profile("phone")
    assert done.returncode == 0, done.stderr
    assert [row["verified_on_device"] for row in user.stored()] == [True]
    assert (
        device.inside('find "$1" -xdev -newer "$1/etc/passwd" -type f | grep -v -e /etc/ -e "$2" || true')
        == ""
    )


@pytest.mark.parametrize(
    ("setup", "profile", "workdir"),
    [
        (Setup(), HOST, 'a folder\'s "name" & $(touch ran) `touch ran`'),
        (Setup(board=PHONE, termux=True), "kirin990", f"{TERMUX}/home/über"),
    ],
    ids=["of a host", "of a phone"],
)
def test_work_folders_of_any_name(lab: Lab, user: User, setup: Setup, profile: str, workdir: str) -> None:
    device = lab.add("device", setup, profile=profile, workdir=workdir)
    done = user.profile("device")
    assert done.returncode == 0, done.stderr
    made = device.inside('ls -a "$2"').split("\n")
    assert workdir.split("/")[-1] in made
    assert "ran" not in made


def test_more_threads_than_cores_are_measured_and_said(lab: Lab, user: User) -> None:
    lab.add("box", Setup(), profile=HOST)
    done = user.profile("box", threads="16")
    assert done.returncode == 0, done.stderr
    assert [row["threads"] for row in user.stored()] == [16]
    assert "oversubscribed: 16 threads" in done.stderr


def test_layers_on_chosen_cores_against_what_the_board_can_do(lab: Lab, user: User) -> None:
    """A Cortex-A72 starts 1.5 operations of 128 bits a cycle, and three make 128 multiply-accumulates."""
    lab.add("rpi4", Setup(board=RPI4), profile="rpi4")
    done = user.profile("rpi4", "--per-op", "--cpus", "0")
    assert done.returncode == 0, done.stderr
    assert "predicted: 96 GMAC/s" in done.stdout  # 64 of them at 1500 MHz
    assert "of predicted" in done.stdout


def test_conditions_while_it_ran_stand_in_the_row(lab: Lab, user: User) -> None:
    lab.add("rpi4", Setup(board=RPI4), profile="rpi4")
    done = user.profile("rpi4", "--json", "--per-op", "--cpus", "0", "--min-time", "1", threads="2")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    context = row["context"]
    assert context["clock_mhz_during"] == {"0": 1500.0}
    assert context["other_load"] >= 0
    assert context["abi"] == "aarch64-linux-static"
    assert context["page_faults_minor"] > 0
    assert context["context_switches_voluntary"] is not None
    assert context["temperature_c_before"] == {"cpu-thermal": 48.686}
    assert (row["cpus"], row["cores"], context["affinity"], context["cpuset"]) == ("0", 1, "0", "0")
    layers = [(layer["kind"], layer["predicted_gmacs"]) for layer in row["operators"]]
    # The second thread has no core of its own.
    assert ("binary", pytest.approx(96.0)) in layers
    assert all((kind == "binary") == (predicted is not None) for kind, predicted in layers)


def test_a_board_that_is_hot_is_waited_for_until_it_has_cooled_down(lab: Lab, user: User) -> None:
    """The sensor is a file of the device; it falls while the command waits."""
    zone = "sys/class/thermal/thermal_zone0"
    device = lab.add(
        "box", Setup(shows={f"{zone}/type": "cpu-thermal\n", f"{zone}/temp": "48686\n"}), profile=HOST
    )
    sensor = device.folder / zone / "temp"
    with user.starts(*user.profiling("box", "--cool-down", "45")) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "waiting until it is back at 45.0 °C, at most 300 s" in line:
                assert "box: cpu-thermal is at 48.7 °C" in line
                assert user.stored() == []
                sensor.write_text("44500\n")
                break
        else:
            pytest.fail("it did not wait")
        process.communicate(timeout=240)
    assert process.returncode == 0
    assert len(user.stored()) == 1


def test_a_board_without_a_sensor_says_so_once(lab: Lab, user: User) -> None:
    lab.add("box", Setup(), profile=HOST)
    done = user.profile("box", "--cool-down", "auto")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("tells no temperature") == 1
