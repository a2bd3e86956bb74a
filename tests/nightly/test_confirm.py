"""Measuring a suspicion again on a device: a shell of this machine, with the real engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bibench_deploy.conversion import convert
from bibench_deploy.local_place import LocalPlace, digest
from bibench_deploy.nightly.confirm import Confirming, confirm
from bibench_deploy.nightly.confirmation import OPENINGS
from bibench_deploy.nightly.events import Doing, Event, Now
from bibench_deploy.nightly.finding import Finding, Status, key_of
from bibench_deploy.nightly.opening import Opened, Opens
from bibench_deploy.nightly.patience import Patience
from bibench_deploy.results import Row
from bibench_deploy.runners.compare import FEWEST_TURNS
from bibench_deploy.runners.device.native import NativeOnDevice
from bibench_deploy.runners.device.place import opened
from bibench_deploy.runners.device.stopping import Stopped
from bibench_deploy.runners.timing import NS_PER_MS, MeasureRule
from bibench_deploy.runners.workspace import Artefact, read_artefact
from support.cli_nets import write_net
from support.here_as_device import HereAsDevice
from support.native_engine import build
from support.rows import make_row
from support.scripted_device import RUN_NS, ScriptedDevice

RULE = MeasureRule(min_seconds=0.02, min_runs=3, max_seconds=0.02, precision=1.0)


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artefact, Artefact]:
    """An old one, and one with several times the work."""
    folder = tmp_path_factory.mktemp("converted")
    made = []
    for name, size in (("old", 8), ("new", 40)):
        (folder / name).mkdir()
        convert(write_net(folder / name / "net.onnx", size=size), folder / name / "w", engines=["native"])
        made.append(read_artefact(folder / name / "w/net.native.bbm"))
    return made[0], made[1]


@pytest.fixture
def box(tmp_path: Path) -> HereAsDevice:
    return HereAsDevice(tmp_path)


def on(box: HereAsDevice) -> Opens:
    @contextmanager
    def opens(cpus: str | None, say: Callable[[str], None], stop: threading.Event) -> Iterator[Opened]:
        engines = {"native": NativeOnDevice(builder=lambda target: box.program)}
        with opened(box.session(stop, say=say, cpus=cpus), engines) as place:
            yield Opened(place)

    return opens


def row(of: Artefact, median_ms: float, program: Path, **facts: object) -> Row:
    turns = 10
    return make_row(
        device="box",
        engine="native",
        model="net",
        sha256=of.manifest.sha256,
        engine_sha256=digest(program),
        samples_ns=[int(median_ms * NS_PER_MS)] * 3 * turns,
        turns=[3] * turns,
        **facts,
    )


def suspicion(new: Row, old: Row) -> Finding:
    return Finding(key_of(new), Status.SUSPECT, "1.50× the median of 7 nights", 1.5, new, (old,) * 7, 1.05)


def needs(
    *known: Artefact, programs: tuple[Path, ...] = (), stop: threading.Event | None = None
) -> Confirming:
    return Confirming(
        {artefact.manifest.sha256: artefact for artefact in known}.get,
        {digest(program): program for program in programs}.get,
        RULE,
        1.05,
        Patience(pause_s=0.0),
        stop or threading.Event(),
    )


def again(box: HereAsDevice, finding: Finding, wanted: Confirming) -> Finding:
    (found,) = confirm("box", on(box), [finding], wanted, lambda event: None)
    return found


def test_new_and_old_are_measured_in_turns_in_several_openings(
    box: HereAsDevice, artefacts: tuple[Artefact, Artefact]
) -> None:
    old, new = artefacts
    program = box.program
    finding = suspicion(row(new, 0.15, program), row(old, 0.1, program))
    found = again(box, finding, needs(old, new))
    assert found.status is Status.SLOWER
    assert "beside the old artefact" in found.words
    steps = [step for step in box.transport.steps if step.startswith(("measuring", "verifying"))]
    assert sum(step.startswith("verifying") for step in steps) == 2 * OPENINGS
    assert sum(step.startswith("measuring") for step in steps) >= 2 * OPENINGS * FEWEST_TURNS
    assert list((box.home / ".cache/bibench-deploy").glob("scratch-*")) == []


def test_the_same_artefact_is_measured_with_the_old_and_the_new_program(
    box: HereAsDevice, artefacts: tuple[Artefact, Artefact], tmp_path: Path
) -> None:
    old, _ = artefacts
    program = tmp_path / "bibench-run"
    program.write_bytes(build().read_bytes() + b"another build")  # as fast, and another program
    program.chmod(0o755)
    before, box.program = box.program, program
    finding = suspicion(row(old, 0.15, program), row(old, 0.1, before))
    found = again(box, finding, needs(old, programs=(before,)))
    assert found.status is not Status.SLOWER
    assert "beside the old artefact" in found.words
    pushed = {path.parent.name for path in (box.home / ".cache/bibench-deploy").rglob("bibench-run")}
    assert pushed == {digest(program), digest(before)}


def test_a_device_that_fails_is_tried_again_and_then_left_open(
    box: HereAsDevice, artefacts: tuple[Artefact, Artefact]
) -> None:
    old, new = artefacts
    finding = suspicion(row(new, 0.15, box.program), row(old, 0.1, box.program))
    box.transport.lose_link("", times=1000)
    found = again(box, finding, needs(old, new))
    assert found.status is Status.SUSPECT
    assert "the connection broke" in found.words


def test_an_artefact_that_is_gone_leaves_it_open(
    box: HereAsDevice, artefacts: tuple[Artefact, Artefact]
) -> None:
    old, new = artefacts
    finding = suspicion(row(new, 0.15, box.program), row(old, 0.1, box.program))
    found = again(box, finding, needs(old))
    assert found.status is Status.SUSPECT
    assert "gone from the workspace" in found.words


def test_each_suspicion_on_the_cores_that_it_was_measured_on(artefacts: tuple[Artefact, Artefact]) -> None:
    """With the same artefact and program there is nothing beside which to measure: it is measured alone."""
    old, _ = artefacts
    device = ScriptedDevice()
    device.run_ns = lambda artefact, program: 1.5 * RUN_NS
    usual = RUN_NS / NS_PER_MS
    suspicions = [
        suspicion(row(old, 1.5 * usual, build(), cpus=cpus), row(old, usual, build(), cpus=cpus))
        for cpus in (None, "big", None)
    ]
    found = confirm("box", device, suspicions, needs(old), lambda event: None)
    assert [finding.key[5] for finding in found] == [None, "big", None]
    assert {finding.status for finding in found} == {Status.DEVICE_SLOWER}
    assert device.opened == [None, "big"]
    assert len(device.measured) >= 3 * OPENINGS * FEWEST_TURNS


def test_stopping_gives_the_device_back(box: HereAsDevice, artefacts: tuple[Artefact, Artefact]) -> None:
    old, new = artefacts
    stop = threading.Event()
    finding = suspicion(row(new, 0.15, box.program), row(old, 0.1, box.program))
    box.transport.before = lambda step: stop.set() if step.startswith("measuring") else None
    with pytest.raises(Stopped):
        confirm("box", on(box), [finding], needs(old, new, stop=stop), lambda event: None)
    lease = sorted((box.home / "bibench-deploy.lease").iterdir(), key=lambda path: -int(path.name))[0]
    assert (lease / "released").exists()


def test_this_machine_with_an_old_program(artefacts: tuple[Artefact, Artefact], tmp_path: Path) -> None:
    """A library has no old version at hand; a program has."""
    old, _ = artefacts
    program = tmp_path / "a program's folder" / "bibench-run"
    program.parent.mkdir()
    program.write_bytes(build().read_bytes() + b"another build")
    program.chmod(0o755)

    @contextmanager
    def here(cpus: str | None, say: Callable[[str], None], stop: threading.Event) -> Iterator[Opened]:
        yield Opened(LocalPlace(cpus))

    events: list[Event] = []
    finding = suspicion(row(old, 0.15, build()), row(old, 0.1, program))
    finding = replace(finding, key=("local", *finding.key[1:]))
    (found,) = confirm("local", here, [finding], needs(old, programs=(program,)), events.append)
    assert "beside the old artefact" in found.words
    assert [event.doing for event in events if isinstance(event, Now)] == [Doing.CONFIRMING, Doing.ENDED]
