"""Turns of a night that wait until their device has cooled down."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bibench_deploy.nightly.cooling import cooled
from bibench_deploy.profile_plan import Place
from bibench_deploy.runners import cooldown
from bibench_deploy.runners.cooldown import WITHIN_C, Bound
from bibench_deploy.runners.device.stopping import Stopped
from bibench_deploy.runners.measure import Job
from bibench_deploy.runners.timing import StopRule
from support.scripted_device import COOLS_C, HEATS_C, ScriptedDevice, artefact

JOB = Job(artefact().path, 1)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooldown, "LOOK_S", 1e-3)


@pytest.fixture
def device() -> ScriptedDevice:
    made = ScriptedDevice()
    made.celsius = 45.0 + COOLS_C  # at the first look 45
    return made


def turn(place: Place) -> None:
    place.open_worker(JOB).turn(StopRule())


def test_in_later_openings_it_is_waited_for_what_was_found_in_the_first(device: ScriptedDevice) -> None:
    opens = cooled(device, Bound(), "board")
    for cpus in (None, "big"):
        with opens(cpus, lambda message: None, threading.Event()) as opened:
            for _ in range(3):
                turn(opened.place)
            assert opened.place.cpus == cpus
    assert device.begun_at[0] == 45.0
    assert all(celsius is not None and celsius <= 45.0 + WITHIN_C for celsius in device.begun_at)
    assert len(device.begun_at) == 6


def test_with_another_program_too(device: ScriptedDevice, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"old")
    with cooled(device, Bound(45.0), "board")(None, lambda message: None, threading.Event()) as opened:
        turn(opened.place)
        turn(opened.place.with_program("native", program))
    assert device.begun_at == [45.0, 45.0]


def test_without_a_bound_nothing_is_looked_at(device: ScriptedDevice) -> None:
    with cooled(device, None, "board")(None, lambda message: None, threading.Event()) as opened:
        turn(opened.place)
        turn(opened.place)
    assert device.begun_at == [50.0, 50.0 + HEATS_C]


def test_a_wait_ends_with_the_command(device: ScriptedDevice) -> None:
    stop = threading.Event()
    said: list[str] = []

    def say(message: str) -> None:
        said.append(message)
        stop.set()

    with cooled(device, Bound(), "board")(None, say, stop) as opened:
        turn(opened.place)
        with pytest.raises(Stopped):
            turn(opened.place)
    assert said == ["board: soc is at 60.0 °C; waiting until it is back at 47.0 °C, at most 300 s"]
    assert len(device.measured) == 1
