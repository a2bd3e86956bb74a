"""Artefacts on devices become rows: verified, kept at once, continued. The devices are shells of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bibench_deploy.conversion import convert
from bibench_deploy.converters.check_rows import check_path, read_check
from bibench_deploy.converters.manifest import manifest_path, read_manifest
from bibench_deploy.errors import (
    ConnectionLostError,
    DeviceComputesOtherwiseError,
    DeviceStorageError,
    DeviceUnfitError,
    StoreError,
)
from bibench_deploy.profile_plan import Event, Finished, Outcome, Said
from bibench_deploy.profiling import profile
from bibench_deploy.results import Row
from bibench_deploy.runners.arrays import execute_together
from bibench_deploy.runners.device import lease
from bibench_deploy.runners.device.native import NativeOnDevice
from bibench_deploy.runners.device.worker import OnDevice, scratch_folder
from bibench_deploy.runners.session import open_artefact
from bibench_deploy.runners.workspace import read_artefact
from support.cli_nets import inputs, write_net
from support.here_as_device import HereAsDevice, plan_of

MODEL, TWIN = "net.native.bbm", "net-fp32.native.bbm"


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    convert(write_net(folder / "net.onnx"), folder / "w", engines=["native"])
    return folder / "w"


@pytest.fixture
def workspace(converted: Path, tmp_path: Path) -> Path:
    """A model and its twin."""
    folder = tmp_path / "w"
    folder.mkdir()
    for file in converted.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def lone(workspace: Path) -> Path:
    """A model without its twin."""
    for file in workspace.glob(f"{TWIN}*"):
        file.unlink()
    return workspace


@pytest.fixture
def box(tmp_path: Path) -> HereAsDevice:
    return HereAsDevice(tmp_path)


class Kept:
    """Measures, and keeps what came of it."""

    def __init__(self, workspace: Path, *boxes: HereAsDevice) -> None:
        self.workspace, self.boxes = workspace, boxes
        self.rows: list[Row] = []
        self.events: list[Event] = []

    def measure(
        self, threads: tuple[int, ...] = (1,), watch: Callable[[Event], None] = lambda event: None
    ) -> Outcome:
        def both(event: Event) -> None:
            self.events.append(event)
            watch(event)

        targets = [box.target() for box in self.boxes]
        done = {(row.device, row.sha256, row.threads): row for row in self.rows}
        return profile(targets, plan_of(self.workspace, threads), "a sweep", done, self.rows.append, both)


def test_rows_are_verified_on_the_device_and_hold_its_facts(workspace: Path, box: HereAsDevice) -> None:
    kept = Kept(workspace, box)
    outcome = kept.measure((1, 2))
    assert outcome.failures == []
    plan, targets = plan_of(workspace, (1, 2)), [box.target()]
    assert outcome.complete(plan, targets)
    ordered = outcome.ordered(plan, targets)
    assert [(row.variant == "fp32", row.threads) for row in ordered] == [
        (True, 1),
        (False, 1),
        (True, 2),
        (False, 2),
    ]
    for row in ordered:
        assert (row.device, row.verified_on_device, row.session) == ("box", True, "a sweep")
        assert row.host.arch == "x86_64"
        assert row.engine_sha256 is not None
        assert row.context.peak_memory_bytes is not None
        assert len(row.samples_ns) >= 3
    verified = [step for step in box.transport.steps if step.startswith("verifying")]
    assert sorted(verified) == ["verifying with 1 thread"] * 2 + ["verifying with 2 threads"] * 2


def test_the_second_time_nothing_is_pushed_and_nothing_is_left_behind(
    workspace: Path, box: HereAsDevice
) -> None:
    first = Kept(workspace, box).measure()
    sizes = [file.stat().st_size for file in workspace.glob("*.bbm")]
    assert first.pushed["box"] > sum(sizes) + box.program.stat().st_size
    assert Kept(workspace, box).measure().pushed == {"box": 0}
    work = box.home / ".cache/bibench-deploy"
    assert list(work.glob("scratch-*")) == []
    (generation, *_) = sorted((box.home / "bibench-deploy.lease").iterdir(), key=lambda path: -int(path.name))
    assert (generation / "released").exists()


@pytest.mark.parametrize(
    ("word", "after"),
    [
        ("taking", True),
        ("pushing", False),
        ("verifying", True),
        ("measuring", True),
    ],
)
def test_a_link_that_breaks_once_costs_nothing(lone: Path, box: HereAsDevice, word: str, after: bool) -> None:
    box.transport.lose_link(word, after=after)
    outcome = Kept(lone, box).measure()
    assert outcome.failures == []
    assert len(outcome.rows) == 1
    assert any("the connection broke; trying again" in message for message in box.said)


def test_after_a_break_the_artefact_is_verified_again_before_it_is_timed(
    lone: Path, box: HereAsDevice
) -> None:
    box.transport.lose_link("measuring")
    Kept(lone, box).measure()
    steps = box.transport.steps
    lost = next(i for i, step in enumerate(steps) if step.startswith("measuring"))
    again = next(i for i, step in enumerate(steps) if i > lost and step.startswith("measuring"))
    assert "taking the device" in steps[lost:again]
    assert "verifying with 1 thread" in steps[lost:again]


def test_what_was_measured_before_the_link_broke_for_good_is_kept_and_not_measured_again(
    workspace: Path, box: HereAsDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A second model, whose turn comes when the first is done: something is left, whatever ends together.
    convert(write_net(workspace / "other.onnx", layers=1), workspace, engines=["native"], twin=False)
    # The lease could not be given back: the second run waits until its time is over.
    monkeypatch.setattr(lease, "HOLDS_S", 6)
    monkeypatch.setattr(lease, "BEAT_S", 1)
    monkeypatch.setattr(lease, "LOOK_S", 0.5)
    kept = Kept(workspace, box)

    def cut(event: Event) -> None:
        if isinstance(event, Finished):
            box.transport.lose_link("", times=1000)

    first = kept.measure((1, 2), watch=cut)
    measured = {(row.sha256, row.threads): row.id for row in kept.rows}
    assert measured
    assert {row.file for row in kept.rows} <= {MODEL, TWIN}
    (failed,) = first.failures
    assert isinstance(failed.error, ConnectionLostError)
    box.transport.lose.clear()
    second = kept.measure((1, 2))
    assert second.failures == []
    assert len(kept.rows) == 6
    assert len(second.rows) == 6
    assert len({(row.sha256, row.threads) for row in kept.rows}) == 6
    assert measured.items() <= {(row.sha256, row.threads): row.id for row in kept.rows}.items()


def test_one_device_that_fails_does_not_stop_the_other(lone: Path, tmp_path: Path) -> None:
    good, bad = HereAsDevice(tmp_path, "good"), HereAsDevice(tmp_path, "bad")
    bad.transport.lose_link("", times=1000)
    outcome = Kept(lone, bad, good).measure()
    assert {key[0] for key in outcome.rows} == {"good"}
    assert [failed.device for failed in outcome.failures] == ["bad"]


def test_two_devices_are_measured_at_the_same_time(lone: Path, tmp_path: Path) -> None:
    """Each waits, once it is at work, until the other one is."""
    boxes = [HereAsDevice(tmp_path, name) for name in ("one", "two")]
    both = threading.Barrier(2, timeout=60)
    for box in boxes:
        met: list[str] = []

        def meet(step: str, met: list[str] = met) -> None:
            if step.startswith("measuring") and not met:
                met.append(step)
                both.wait()

        box.transport.before = meet
    outcome = Kept(lone, *boxes).measure()
    assert outcome.failures == []
    assert len(outcome.rows) == 2


def changed_outputs(workspace: Path, name: str) -> None:
    """Stored rows that the artefact does not compute, as if the device computed wrong."""
    path = workspace / name
    manifest = read_manifest(path)
    held = read_check(path, manifest)
    assert held is not None
    with np.load(check_path(path)) as loaded:
        arrays = {
            key: -array if key.startswith(("expected", "proven")) else array for key, array in loaded.items()
        }
    np.savez_compressed(check_path(path), **arrays)  # type: ignore[arg-type]
    import hashlib

    assert manifest.check is not None
    manifest.check.sha256 = hashlib.sha256(check_path(path).read_bytes()).hexdigest()
    manifest_path(path).write_text(manifest.model_dump_json())


def test_a_device_that_computes_something_else_gives_no_row(workspace: Path, box: HereAsDevice) -> None:
    changed_outputs(workspace, MODEL)
    outcome = Kept(workspace, box).measure((1, 2))
    assert [failed.job and failed.job.threads for failed in outcome.failures] == [1, 2]
    for failed in outcome.failures:
        assert isinstance(failed.error, DeviceComputesOtherwiseError)
        assert failed.error.exit_code == 1
        assert MODEL in str(failed.error)
        assert "0 of 8 stored rows" in str(failed.error)
    assert {row.variant for row in outcome.rows.values()} == {"fp32"}


def test_an_artefact_without_stored_rows_is_measured_but_not_called_verified(
    workspace: Path, box: HereAsDevice
) -> None:
    manifest = read_manifest(workspace / MODEL)
    manifest_path(workspace / MODEL).write_text(manifest.model_copy(update={"check": None}).model_dump_json())
    outcome = Kept(workspace, box).measure()
    assert sorted((row.variant == "fp32", row.verified_on_device) for row in outcome.rows.values()) == [
        (False, None),
        (True, True),
    ]


def script(text: str) -> Callable[[HereAsDevice], None]:
    def replace(box: HereAsDevice) -> None:
        box.program = box.home / "program"
        box.program.write_text(f"#!/bin/sh\n{text}\n")
        box.program.chmod(0o755)

    return replace


@pytest.mark.parametrize(
    ("fault", "kind", "jobs"),
    [
        (script("kill -KILL $$"), DeviceUnfitError, 2),  # each may be too large for the memory
        (script("kill -ILL $$"), DeviceUnfitError, 2),
        (script("echo 'write error: No space left on device' >&2; exit 1"), DeviceStorageError, 1),
    ],
    ids=["killed", "illegal instruction", "full"],
)
def test_a_program_that_ends_badly_is_named_with_device_and_step(
    workspace: Path,
    box: HereAsDevice,
    fault: Callable[[HereAsDevice], None],
    kind: type[Exception],
    jobs: int,
) -> None:
    fault(box)
    outcome = Kept(workspace, box).measure()
    assert outcome.rows == {}
    assert len(outcome.failures) == jobs  # a full disk concerns them all
    for failed in outcome.failures:
        assert isinstance(failed.error, kind)
        assert failed.error.where is not None
        assert failed.error.where.startswith("box, verifying with 1 thread")


def test_ctrl_c_gives_the_device_back_and_keeps_what_is_finished(workspace: Path, tmp_path: Path) -> None:
    boxes = [HereAsDevice(tmp_path, name) for name in ("one", "two")]
    kept = Kept(workspace, *boxes)

    def interrupt(event: Event) -> None:
        if isinstance(event, Finished) and len(kept.rows) == 1:  # once: who asks twice is not kept waiting
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.measure((1, 2), watch=interrupt)
    assert len(kept.rows) >= 1
    for box in boxes:
        session = box.session(wait=False)
        with session:  # else: DeviceBusyError
            assert session.facts.machine == "x86_64"


@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_a_row_that_cannot_be_stored_is_named(lone: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    def full(row: Row) -> None:
        raise StoreError("the disk is full", where="results.sqlite")

    targets = [HereAsDevice(tmp_path, name).target() for name in names]
    with pytest.raises(StoreError, match="the disk is full") as raised:
        profile(targets, plan_of(lone), "a sweep", {}, full, lambda event: None)
    note = raised.value.__notes__[0]
    assert note.endswith(f": {MODEL}, threads 1: was measured and could not be kept")
    assert note.startswith(names)


def test_who_waits_for_the_device_is_told(
    lone: Path, box: HereAsDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LOOK_S", 0.2)
    holder = box.session().open()
    waiting = threading.Event()
    kept = Kept(lone, box)

    def watch(event: Event) -> None:
        if isinstance(event, Said) and "waiting for" in event.message:
            waiting.set()

    def let_go() -> None:
        waiting.wait(60)
        holder.close()

    thread = threading.Thread(target=let_go)
    thread.start()
    outcome = kept.measure(watch=watch)
    thread.join()
    assert outcome.failures == []
    assert waiting.is_set()


def test_an_artefact_computes_on_the_device_what_it_computes_here(workspace: Path, box: HereAsDevice) -> None:
    artefact = read_artefact(workspace / MODEL)
    rows = {"x": inputs(11)}
    with box.session() as session, scratch_folder() as folder:
        engine = NativeOnDevice(builder=lambda target: box.program)
        on_device = OnDevice(session, engine, artefact, Path(folder))

        def together(batches: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:  # type: ignore[type-arg]
            return on_device.execute(batches, 2, "executing") or []

        got = execute_together(together, rows, 1, 4)
    here = open_artefact(artefact, 1)
    for i in range(11):
        np.testing.assert_allclose(
            got["y"][i], here.run({"x": rows["x"][i : i + 1]})["y"][0], rtol=1e-5, atol=1e-5
        )
