"""What breaks in the middle: nothing is left running, what was measured stays, and the same command goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from lab.board import RPI3
from lab.built import BOARD, HOST, put_program
from lab.lab import Lab
from lab.programs import DOT_PRODUCT, HUNGRY
from lab.setup import Setup
from lab.user import User
from lab.waiting import WAIT_S, measuring, stop_measuring, wait_until, wait_until_idle
from support.command import is_clean

# Long enough that a fault falls into the run.
LONG = ("--min-time", "20", "--max-time", "20")


def test_ctrl_c_leaves_nothing_running(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(), profile="generic-x86_64")
    with user.starts(*user.profiling("board", *LONG)) as command:
        wait_until(lambda: measuring(device), "a run on the device")
        os.killpg(command.pid, signal.SIGINT)
        _, err = command.communicate(timeout=WAIT_S)
    assert command.returncode == 130
    assert is_clean(err)
    wait_until_idle(device)
    again = user.profile("board", "--no-wait")
    assert again.returncode == 0, again.stderr


def test_a_cable_that_is_out_for_a_moment_costs_nothing(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(network=True), profile="generic-x86_64")
    with user.starts(*user.profiling("board", "--min-time", "3", "--max-time", "3")) as command:
        wait_until(lambda: measuring(device), "a run on the device")
        device.link.cut()
        time.sleep(1)
        device.link.mend()
        _, err = command.communicate(timeout=WAIT_S)
    assert command.returncode == 0, err
    assert len(user.stored()) == 1


def test_a_link_that_breaks_while_the_program_is_pushed(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(network=True), profile="generic-x86_64")
    device.link.slow_down(mbit=1)  # seconds, for what happens below
    with user.starts(*user.profiling("board")) as command:
        wait_until(lambda: device.link.bytes_sent() > 250_000, "half of the program on its way")
        assert device.inside('find "$2" -name bibench-run') == ""  # nothing that looks whole
        device.end_sessions()
        device.link.slow_down(mbit=1000)
        _, err = command.communicate(timeout=WAIT_S)
    assert command.returncode == 0, err
    assert "again in" in err
    assert len(user.stored()) == 1


def test_a_server_process_that_is_killed_while_it_measures(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(), profile="generic-x86_64")
    with user.starts(*user.profiling("board", "--min-time", "5", "--max-time", "5")) as command:
        wait_until(lambda: measuring(device), "a run on the device")
        device.end_sessions()
        _, err = command.communicate(timeout=WAIT_S)
    assert command.returncode == 0, err
    assert "again in" in err
    assert len(user.stored()) == 1
    wait_until_idle(device)


def test_a_device_that_goes_off_and_comes_back(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(), profile="generic-x86_64")
    with user.starts(*user.profiling("board", *LONG, "--retries", "1", threads="1,2")) as command:
        wait_until(lambda: measuring(device), "a run on the device")
        device.power_off()
        _, err = command.communicate(timeout=WAIT_S)
    assert command.returncode == 3
    assert is_clean(err)
    assert "board" in err
    device.power_on()
    again = user.profile("board", threads="1,2")
    assert again.returncode == 0, again.stderr
    assert sorted(row["threads"] for row in user.stored()) == [1, 2]


def test_a_program_that_wants_more_memory_than_there_is(lab: Lab, converted: Path, tmp_path: Path) -> None:
    """The device's kernel kills it, and it alone."""
    put_program(HOST, HUNGRY, tmp_path / "cache")
    user = User(lab, tmp_path / "user", converted, cache=tmp_path / "cache")
    device = lab.add("board", Setup(memory_mb=48), profile="generic-x86_64")
    done = user.profile("board")
    assert done.returncode == 3
    assert is_clean(done.stderr)
    assert "board, verifying with 1 thread: the system killed the program (signal 9)" in done.stderr
    assert "want of memory" in done.stderr
    assert user.stored() == []
    wait_until_idle(device)


def test_a_program_that_hangs(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(), profile="generic-x86_64")
    with user.starts(*user.profiling("board", *LONG, "--timeout", "5", "--retries", "0")) as command:
        wait_until(lambda: measuring(device), "a run on the device")
        device.signal(signal.SIGSTOP, "--min-time")
        _, err = command.communicate(timeout=WAIT_S)
    assert command.returncode == 3
    assert is_clean(err)
    assert "5 s" in err
    wait_until_idle(device)


def test_an_instruction_that_the_processor_has_not(lab: Lab, converted: Path, tmp_path: Path) -> None:
    put_program(BOARD, DOT_PRODUCT, tmp_path / "cache")
    user = User(lab, tmp_path / "user", converted, cache=tmp_path / "cache")
    device = lab.add("rpi3", Setup(board=RPI3), profile="rpi3b+")
    done = user.profile("rpi3")
    assert done.returncode == 3
    assert is_clean(done.stderr)
    assert "instruction" in done.stderr
    assert user.stored() == []
    wait_until_idle(device)


def test_two_users_take_turns(lab: Lab, user: User, another: User) -> None:
    device = lab.add("board", Setup(), profile="generic-x86_64")
    with user.starts(*user.profiling("board", "--min-time", "1", "--max-time", "1")) as first:
        stop_measuring(device)
        refused = another.profile("board", "--no-wait")
        assert refused.returncode == 3
        assert "taken by" in refused.stderr
        with another.starts(*another.profiling("board")) as second:
            assert second.stderr is not None
            assert any("waiting for" in line for line in second.stderr)
            device.signal(signal.SIGCONT, "--min-time")
            _, err = second.communicate(timeout=WAIT_S)
        assert first.wait(timeout=WAIT_S) == 0
    assert second.returncode == 0, err
    ended = max(row["measured_at"] for row in user.stored())
    assert ended < min(row["measured_at"] for row in another.stored())


FAST_CLOCK = """#!/bin/sh
# The device's clock, an hour ahead: a shell has no other way to ask for it.
case "$1" in +%s) echo $(($(/bin/date +%s) + 3600)) ;; *) exec /bin/date "$@" ;; esac
"""


def test_a_clock_that_is_an_hour_ahead(lab: Lab, user: User, another: User) -> None:
    """The device's ``date`` is, and there is no other clock to be seen: an empty /proc/uptime."""
    path = {"PATH": "/home/pi/bin:/usr/bin:/bin"}
    setup = Setup(shows={"/proc/uptime": ""}, environment=path, home={"bin/date": FAST_CLOCK})
    device = lab.add("board", setup, profile="generic-x86_64")
    device.inside('chmod +x "$2"/bin/date')
    assert int(lab.ssh("board", "date +%s").stdout) > time.time() + 3000
    with user.starts(*user.profiling("board", "--min-time", "1", "--max-time", "1")) as first:
        stop_measuring(device)
        assert another.profile("board", "--no-wait").returncode == 3  # not taken for an old one
        device.signal(signal.SIGCONT, "--min-time")
        assert first.wait(timeout=WAIT_S) == 0
    done = another.profile("board")
    assert done.returncode == 0, done.stderr
    (first_row, *_), (second_row, *_) = user.stored(), another.stored()
    assert first_row["measured_at"] < second_row["measured_at"]  # by the clock of who measures
