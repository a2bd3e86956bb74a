"""From a plan to its report. Conversion, queue, store and gate are real; the devices do what a test says."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from bibench_deploy.device_profiles import load_profiles
from bibench_deploy.errors import InputError, StoreError, UnreachableError
from bibench_deploy.nightly import run as run_module
from bibench_deploy.nightly.document import NightReport
from bibench_deploy.nightly.events import Event, Stage
from bibench_deploy.nightly.finding import Status
from bibench_deploy.nightly.run import Choices, Means, prepare, run
from bibench_deploy.profile_plan import Said
from bibench_deploy.results import Store
from bibench_deploy.results.nights import nights, report_of
from bibench_deploy.results.queue import Queue
from bibench_deploy.runners import cooldown
from bibench_deploy.runners.cooldown import WITHIN_C
from bibench_deploy.runners.device.facts import DeviceFacts
from bibench_deploy.runners.providers import InventoryProvider
from support.cli_nets import write_net
from support.scripted_device import COOLS_C, RUN_NS, ScriptedDevice

PLAN = """
format = 1
[[models]]
file = "models/*.onnx"
[[devices]]
tags = ["nightly"]
threads = [1, 2]
[measure]
min_time = 0.001
max_time = 0.001
precision = 100
[retries]
pause = 0
"""
INVENTORY = """
[devices.one]
profile = "rpi4"
host = "192.0.2.1"
tags = ["nightly"]
[devices.two]
profile = "rpi4"
host = "192.0.2.2"
tags = ["nightly"]
"""
GONE = UnreachableError("no answer", device="two", step="connecting")


@contextmanager
def here() -> Iterator[Executor]:
    """Converts in this process: starting others takes longer than the conversion."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


class Engine:
    """The native engine's program for all devices: a file that can be exchanged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.build("first")

    def build(self, version: str) -> str:
        self.path.write_text(version)
        return self.sha256

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def programs(self, facts: DeviceFacts, device: str) -> dict[str, Path]:
        assert (facts.system, facts.machine) == ("Linux", "aarch64")
        return {"program": self.path}


class House:
    """A lab of two devices, and its nights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = folder / "lab.toml"
        self.plan.write_text(PLAN)
        (folder / "devices.toml").write_text(INVENTORY)
        self.engine = Engine(folder / "program")
        self.devices = {"one": ScriptedDevice(), "two": ScriptedDevice()}
        self.store = Store.at(str(folder / "results.sqlite"))
        self.warnings: list[str] = []
        self.events: list[Event] = []

    def night(self, name: str | None = None, *only: str, baseline: str | None = None) -> NightReport:
        for device in self.devices.values():
            device.measured.clear()
            device.opened.clear()
            device.program = self.engine.sha256
        inventory = self.folder / "devices.toml"
        prepared = prepare(self.plan, InventoryProvider(inventory, load_profiles()), only)
        means = Means(
            self.store,
            here,
            {"native": self.engine},
            lambda board: self.devices[board.name],
            self.events.append,
            self.warnings.append,
        )
        return run(prepared, Choices(name, "c" * 40, baseline), means)

    def measured(self) -> Counter[str]:
        """How many turns each artefact had since the night began."""
        return Counter(job.artefact.name for device in self.devices.values() for job in device.measured)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab after a first night, so that its model is converted."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "models").mkdir()
    write_net(folder / "models/net.onnx")
    House(folder).night("before")
    return folder


@pytest.fixture
def house(converted: Path, tmp_path: Path) -> House:
    """The same without any night."""
    shutil.copytree(converted, tmp_path, dirs_exist_ok=True)
    (tmp_path / "results.sqlite").unlink()
    return House(tmp_path)


@pytest.fixture
def settled(house: House) -> House:
    """With four nights behind it."""
    for number in range(4):
        assert house.night(f"night-{number}").exit_code == 0
    return house


def statuses(report: NightReport) -> Counter[tuple[str, Status]]:
    return Counter((told.device, told.status) for told in report.findings)


def test_a_first_night(house: House) -> None:
    report = house.night()
    assert report.exit_code == 0
    assert statuses(report) == {("one", Status.NEW): 4, ("two", Status.NEW): 4}
    assert [(t.device, t.threads, t.variant == "fp32") for t in report.findings[:4]] == [
        ("one", 1, False),
        ("one", 1, True),
        ("one", 2, False),
        ("one", 2, True),
    ]
    assert report.commit == "c" * 40
    assert {told.engine_sha256 for told in report.findings} == {house.engine.sha256}
    (night,) = nights(house.store, "lab")
    assert {row.session for row in house.store.read().rows} == {night.session}
    assert report_of(house.store, night) == report.document()


def test_turns_wait_until_their_device_has_cooled_down(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each device for what it was itself; one that has no sensor says so, and is measured."""
    monkeypatch.setattr(cooldown, "LOOK_S", 1e-3)
    house.plan.write_text(PLAN.replace("[measure]", '[measure]\ncool_down = "auto"'))
    house.devices["one"].celsius = 45.0
    assert house.night().exit_code == 0
    begun_at = house.devices["one"].begun_at
    assert len(begun_at) >= 4
    assert max(celsius for celsius in begun_at if celsius is not None) <= 45.0 - COOLS_C + WITHIN_C
    said = [event.message for event in house.events if isinstance(event, Said) and event.device == "two"]
    assert said == ["warning: the device tells no temperature: its turns don't wait for it to cool down"]


def test_a_night_that_is_complete_is_only_told_again(house: House) -> None:
    first = house.night()
    assert house.night() == first
    assert house.measured() == {}
    assert house.warnings == []


def test_a_night_that_was_killed_before_its_report_measures_nothing_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "findings", killed)
        with pytest.raises(SystemExit):
            house.night()
    assert house.night().exit_code == 0
    assert house.measured() == {}
    assert len(house.store.read().rows) == 8


def test_a_part_of_a_plan_is_a_night_of_its_own(house: House) -> None:
    part = house.night(None, "one")
    assert {told.device for told in part.findings} == {"one"}
    whole = house.night()
    assert whole.night != part.night
    assert len(whole.findings) == 8
    assert house.night(None, "one") == part


def test_a_plan_that_was_changed_in_a_night_is_told(house: House) -> None:
    first = house.night()
    house.plan.write_text(PLAN.replace("[1, 2]", "[1, 2, 4]"))
    assert house.night() == first
    assert any("the plan was changed" in warning for warning in house.warnings)


def test_the_same_again_is_the_same(settled: House) -> None:
    report = settled.night("again")
    assert report.exit_code == 0
    assert {status for _, status in statuses(report)} == {Status.SAME}


def test_a_model_with_more_work_is_slower_beside_its_old_artefact(settled: House) -> None:
    write_net(settled.folder / "models/net.onnx", size=9)  # the same weights on a larger picture
    new = {"net.native.bbm": 1.12, "net-fp32.native.bbm": 1.0}

    def slower(artefact: Path, program: str) -> float:
        old = "bibench-confirm-" in str(artefact)
        return RUN_NS * (1.0 if old else new[artefact.name])

    for device in settled.devices.values():
        device.run_ns = slower
    report = settled.night("slow")
    assert report.exit_code == 1
    for told in report.findings:
        assert told.status is (Status.SAME if told.variant == "fp32" else Status.SLOWER)
    (worst, *_) = report.of_kind("regression")
    assert worst.ratio == pytest.approx(1.12, rel=0.01)
    assert "beside the old artefact: 1.12×" in worst.words
    assert str(worst.since) == "slow (ccccccc)"
    turns = [job.artefact for job in settled.devices["one"].measured if "confirm" in str(job.artefact)]
    assert len(turns) >= 2 * 21  # of each of two thread counts


def test_an_alarm_that_is_not_confirmed_is_none(settled: House) -> None:
    """Slow when it was measured, and as fast as its old artefact a moment later."""
    write_net(settled.folder / "models/net.onnx", size=9)

    def at_first(artefact: Path, program: str) -> float:
        return RUN_NS * (1.2 if len(settled.devices["one"].opened) < 2 else 1.0)

    settled.devices["one"].run_ns = at_first
    report = settled.night("odd")
    assert Status.SLOWER not in {told.status for told in report.findings}
    assert Status.UNCONFIRMED in {told.status for told in report.findings}
    assert report.exit_code == 0


def test_a_device_that_is_slower_by_itself_is_no_regression(settled: House) -> None:
    settled.devices["two"].run_ns = lambda artefact, program: 1.3 * RUN_NS
    report = settled.night("hot")
    assert report.exit_code == 3
    assert statuses(report) == {("one", Status.SAME): 4, ("two", Status.DEVICE_SLOWER): 4}


def test_an_engine_that_became_slower_is_measured_beside_its_old_program(settled: House) -> None:
    old = settled.engine.sha256
    new = settled.engine.build("second")
    for device in settled.devices.values():
        device.run_ns = lambda artefact, program: RUN_NS * (1.2 if program == new else 1.0)
    report = settled.night("rebuilt")
    assert report.exit_code == 1
    assert {told.status for told in report.findings} == {Status.SLOWER}
    assert {told.engine_sha256 for told in report.findings} == {new}
    assert all("beside the old" in told.words for told in report.findings)
    kept = settled.folder / "nightly/programs"
    assert {file.name for file in kept.iterdir()} == {old, new}


def test_an_old_program_that_is_gone_is_done_without(settled: House) -> None:
    (settled.folder / "nightly/programs" / settled.engine.sha256).unlink()
    new = settled.engine.build("second")
    for device in settled.devices.values():
        device.run_ns = lambda artefact, program: RUN_NS * (1.2 if program == new else 1.0)
    report = settled.night("rebuilt")
    assert {told.status for told in report.findings} == {Status.SLOWER}
    assert all("not at hand" in told.words for told in report.findings)


def test_a_device_that_goes_before_it_can_be_confirmed_leaves_it_open(settled: House) -> None:
    device = settled.devices["two"]

    def slower_then_gone(artefact: Path, program: str) -> float:
        device.opens = [GONE] * 10
        return 1.3 * RUN_NS

    device.run_ns = slower_then_gone
    report = settled.night("gone")
    assert report.exit_code == 3
    found = [told for told in report.findings if told.device == "two"]
    assert {told.status for told in found} == {Status.SUSPECT}
    assert all("could not be measured again" in told.words for told in found)


def test_a_quarantined_device_is_told_apart_and_the_others_are_judged(settled: House) -> None:
    settled.devices["two"].opens = [GONE] * 10
    report = settled.night("ill")
    assert report.exit_code == 3
    assert statuses(report) == {("one", Status.SAME): 4, ("two", Status.MISSING): 4}
    assert [(ill.device, ill.failures, ill.quarantined) for ill in report.devices] == [("two", 3, True)]
    assert all("left alone after 3 failures" in told.words for told in report.of_kind("infrastructure"))


@pytest.mark.larq
def test_a_model_that_an_engine_refuses_is_not_applicable_and_nothing_measured_is_no_pass(
    house: House,
) -> None:
    write_net(house.folder / "models/net.onnx", runtime_factor=True)
    plan = PLAN.replace('tags = ["nightly"]', 'names = ["local"]')
    house.plan.write_text(plan.replace('"models/*.onnx"', '"models/*.onnx"\nengines = ["larq"]'))
    house.devices["local"] = ScriptedDevice()
    report = house.night()
    assert {told.status for told in report.findings} == {Status.NOT_APPLICABLE}
    assert report.exit_code == 3
    assert house.devices["local"].opened == []


def test_a_model_that_can_no_longer_be_converted_is_a_regression(settled: House) -> None:
    (settled.folder / "models/net.onnx").write_bytes(b"no model")
    report = settled.night("broken")
    assert report.exit_code == 1
    assert {told.status for told in report.findings} == {Status.UNCONVERTED}
    assert settled.measured() == {}


def test_a_night_under_which_the_budget_ran_out_says_so(house: House) -> None:
    house.plan.write_text(PLAN + '[budget]\nnight = "0.001s"\n')
    report = house.night()
    assert report.exit_code == 3
    assert {told.status for told in report.findings} == {Status.MISSING}
    assert all("budget" in told.words for told in report.findings)


def test_ctrl_c_leaves_all_that_is_not_done_to_the_next_start(house: House) -> None:
    def pressed() -> None:
        raise KeyboardInterrupt  # as if the main thread got it: a worker's errors end there, too

    house.devices["two"].turns = [pressed]
    with pytest.raises(KeyboardInterrupt):
        house.night()
    assert any("the same command continues there" in warning for warning in house.warnings)
    report = house.night()
    assert statuses(report) == {("one", Status.NEW): 4, ("two", Status.NEW): 4}
    assert len(house.store.read().rows) == 8


def test_a_store_that_goes_away_with_ctrl_c_is_told_and_hides_nothing(house: House) -> None:
    with pytest.MonkeyPatch.context() as patch:

        def gone(*arguments: object) -> None:
            raise StoreError("the database can't be reached")

        def pressed() -> None:
            patch.setattr(Queue, "release", gone)
            patch.setattr(Queue, "jobs", gone)
            raise KeyboardInterrupt

        house.devices["two"].turns = [pressed]
        with pytest.raises(KeyboardInterrupt) as caught:
            house.night()
    notes = caught.value.__notes__
    assert "jobs that were under way could not be given back: the database can't be reached" in notes
    assert any(
        "how much, can't be told now: the database can't be reached" in told for told in house.warnings
    )


def test_a_baseline_can_be_named_and_has_to_exist(settled: House) -> None:
    assert settled.night("named", baseline="night:night-1").baseline == "night night-1"
    with pytest.raises(InputError, match="no earlier night"):
        settled.night("other", baseline="night:never")


def test_two_models_of_the_same_bytes_are_measured_as_the_first_of_them(house: House) -> None:
    shutil.copy(house.folder / "models/net.onnx", house.folder / "models/same.onnx")
    report = house.night()
    assert report.exit_code == 0
    assert {told.model for told in report.findings} == {"net"}
    assert {row.model for row in house.store.read().rows} == {"net"}


def test_converting_is_told(house: House) -> None:
    write_net(house.folder / "models/more.onnx", layers=3)
    house.night()
    said = [event.words for event in house.events if isinstance(event, Stage)]
    assert "converted 1 of 1: more for native" in said
