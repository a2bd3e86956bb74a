"""``bibench-deploy nightly`` as a user meets it: usage, the board, the report's words. Whole nights: tests/lab."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bibench_deploy.cli import console
from bibench_deploy.cli.app import app
from bibench_deploy.cli.nightly import _ended_by_signals
from bibench_deploy.cli.nightly_board import MOST_DEVICES, Board, board, line_of
from bibench_deploy.cli.nightly_report import publish
from bibench_deploy.nightly.document import Ill, NightReport
from bibench_deploy.nightly.events import (
    DeviceFailed,
    Doing,
    Done,
    Event,
    JobFailed,
    Now,
    Planned,
    Stage,
    Turned,
)
from bibench_deploy.nightly.finding import Began, Finding, Status, key_of
from bibench_deploy.profile_plan import Said
from bibench_deploy.results.job import Job, JobSpec, State
from bibench_deploy.results.nights import Night
from support.cli_nets import write_net
from support.rows import make_row

PLAN = '[[models]]\nfile = "net.onnx"\n[[devices]]\nnames = ["local"]\nthreads = [1, 2]\n'


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BIBENCH_STORE", raising=False)
    (tmp_path / "lab.toml").write_text(f"format = 1\n{PLAN}")
    write_net(tmp_path / "net.onnx")
    return tmp_path / "lab.toml"


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bibench-deploy", "nightly", *arguments])
    return console.guarded(app)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("missing.toml",), "missing.toml"),
        (("lab.toml", "--night", "../evil"), "can't name a night"),
        (("lab.toml", "--only", "nothing"), "fits no model"),
        (("lab.toml", "--junit", "no/such/folder.xml"), "the folder does not exist"),
        (("lab.toml", "--lab", "http://lab"), "--lab"),
        (("lab.toml", "--baseline", "yesterday"), "is no baseline"),
        (("wrong.toml",), "wrong.toml:5: devices[0].nams"),
    ],
)
def test_wrong_usage_is_one_message_before_anything_is_done(
    plan: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    plan.with_name("wrong.toml").write_text(f"format = 1\n{PLAN}".replace("names", "nams"))
    assert command(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert out == ""
    assert not (plan.parent / "nightly/artefacts").exists()


def test_a_dry_run_counts_and_writes_nothing(
    plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "lab.toml", "--dry-run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["jobs"]) == 4
    assert found["stale"] == [{"model": "net", "engine": "native"}]
    assert found["expected"]["wall_s"]["high"] > 0
    assert sorted(path.name for path in plan.parent.iterdir()) == ["lab.toml", "net.onnx"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_job_of_ci_ends_a_night_as_ctrl_c_does(number: int) -> None:
    before = signal.getsignal(number)

    def under_way() -> None:
        with _ended_by_signals():
            os.kill(os.getpid(), number)
            signal.pause()

    with pytest.raises(KeyboardInterrupt):
        under_way()
    assert signal.getsignal(number) == before


# --- the board -------------------------------------------------------------------------------------------


def spec(device: str, model: str = "resnet18", threads: int = 1) -> JobSpec:
    return JobSpec(device, "native", model, "dorefa", "a" * 64, "b" * 64, threads, None, model)


def jobs(device: str, *states: State) -> list[Job]:
    return [
        Job(number, spec(device, threads=number + 1), state, 0, None, None, None)
        for number, state in enumerate(states)
    ]


class Watched:
    """A board with a clock that a test sets."""

    def __init__(self, *events: Event) -> None:
        self.now = 0.0
        self.board = Board("lab", clock=lambda: self.now)
        for event in events:
            self.board.take(event)

    def text(self, width: int = 80) -> str:
        screen = Console(width=width, file=io.StringIO())
        screen.print(self.board.draw())
        text: str = screen.file.getvalue()  # type: ignore[attr-defined]
        assert max(map(len, text.splitlines())) <= width
        return text


def test_the_board_tells_state_job_done_failures_and_time_left() -> None:
    planned = Planned((*jobs("pi", *[State.WAITING] * 4), *jobs("phone", State.DONE, State.WAITING)))
    watched = Watched(planned, Now("pi", Doing.MEASURING), Turned("pi", spec("pi"), 120))
    assert "resnet18 native ×1 dorefa · 120 runs" in watched.text()
    assert "0/4" in watched.text()
    assert "1/6 done" in watched.text()
    watched.now = 60.0
    watched.board.take(Done("pi", spec("pi"), "10 ms, stable"))
    watched.board.take(JobFailed("pi", spec("pi"), "crashed", again=False))
    assert "about 1 min left" in watched.text()  # two in a minute, two more
    assert "1 failed" in watched.text()
    watched.board.take(DeviceFailed("phone", 3, "no answer"))
    watched.board.take(Now("phone", Doing.QUARANTINED, "no answer " * 30))
    assert "1 quarantined" in watched.text()
    assert "quarantined no answer" in " ".join(watched.text().split())


def test_a_job_that_is_tried_again_is_not_counted_as_failed() -> None:
    watched = Watched(Planned(tuple(jobs("pi", State.WAITING))))
    watched.board.take(JobFailed("pi", spec("pi"), "crashed", again=True))
    assert "failed" not in watched.text().splitlines()[0]


def test_before_anything_is_finished_the_plans_rule_tells_the_time() -> None:
    planned = Planned(tuple(jobs("pi", *[State.WAITING] * 4)), {"pi": 30.0})
    assert "about 2 min left" in Watched(planned).text()


def test_of_many_devices_only_the_busy_and_the_ill_are_shown() -> None:
    names = [f"pi-{number}" for number in range(MOST_DEVICES + 160)]
    watched = Watched(Planned(tuple(job for name in names for job in jobs(name, State.WAITING))))
    for name in names[10:]:
        watched.board.take(Now(name, Doing.ENDED))
    for name in names[:9]:
        watched.board.take(Now(name, Doing.MEASURING))
    watched.board.take(Now(names[9], Doing.QUARANTINED, "off"))
    shown, hidden = watched.board.shown()
    assert [line.name for line in shown] == [names[9], *names[:9]]
    assert hidden == 190
    assert "and 190 more" in watched.text()


def test_elsewhere_than_on_a_terminal_each_event_is_a_line_with_its_time() -> None:
    screen = Console(file=io.StringIO(), width=40)
    events = [
        Stage("beginning the night 2026-11-22 of lab"),
        Planned(tuple(jobs("pi", State.DONE, State.WAITING))),
        Now("pi", Doing.MEASURING),
        Turned("pi", spec("pi"), 3),
        Said("pi", "pi, connecting: trying again in 1 s"),
        Done("pi", spec("pi"), "10 ms, stable [really]"),
        JobFailed("pi", spec("pi"), "crashed", again=False),
        DeviceFailed("pi", 2, "no answer"),
        Now("pi", Doing.QUARANTINED, "no answer"),
    ]
    with board("lab", screen) as watch:
        for event in events:
            watch(event)
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line[:8].count(":") for line in lines] == [2] * 7
    assert [line[9:] for line in lines] == [
        "beginning the night 2026-11-22 of lab",
        "2 jobs on 1 device, 1 of them finished before",
        "pi, connecting: trying again in 1 s",
        "pi: resnet18 native ×1 dorefa: 10 ms, stable [really]",
        "pi: resnet18 native ×1 dorefa: FAILED: crashed",
        "pi: failure 2 of the device: no answer",
        "pi: quarantined: no answer",
    ]


def test_on_a_terminal_failures_stay_above_the_board_which_goes() -> None:
    screen = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    with board("lab", screen) as watch:
        watch(Planned(tuple(jobs("pi", State.WAITING))))
        watch(Done("pi", spec("pi"), "10 ms"))
        watch(DeviceFailed("pi", 1, "no answer"))
    text: str = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "failure 1 of the device" in text
    assert "lab: " in text


def test_every_event_is_told_or_left_out_on_purpose() -> None:
    assert line_of(Turned("pi", spec("pi"), 3)) is None
    assert line_of(Now("pi", Doing.RESTING, "5 s")) == "pi: resting: 5 s"


# --- the report ------------------------------------------------------------------------------------------


def finding(status: Status, device: str = "rpi4", **facts: Any) -> Finding:
    row = make_row(device=device, variant="dorefa", engine="native", threads=4)
    return Finding(key_of(row), status, f"words of {status}", row=row, **facts)


def told(*findings: Finding, ill: tuple[Ill, ...] = ()) -> NightReport:
    began = datetime(2026, 11, 22, 2, tzinfo=UTC)
    night = Night("lab", "2026-11-22", "0" * 64, "c" * 40, "host", began)
    return NightReport.of(night, findings, ill, "the last nights", began + timedelta(hours=1))


def test_the_first_line_is_the_morning_line(capsys: pytest.CaptureFixture[str]) -> None:
    slower = finding(Status.SLOWER, ratio=1.12, since=Began("2026-11-20", "a1b2c3d4e5"))
    lost = finding(Status.MISSING, "phone")
    flaky = Ill(device="rpi4", failures=1, quarantined=False, words="the connection broke")
    publish(told(slower, lost, ill=(flaky,)), False, None, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "resnet18 dorefa on rpi4 (native, 4 threads) 12 % slower since 2026-11-20 (a1b2c3d)"
    )
    assert "    words of slower" in lines
    assert any(line.startswith("  phone: 1 job: words of missing") for line in lines)
    assert any("rpi4 failed 1 time and recovered: the connection broke" in line for line in lines)


def test_what_ci_reads_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("of another command\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    report = told(finding(Status.SLOWER, ratio=1.12))
    publish(report, False, tmp_path / "junit.xml", summary)
    assert "::error" in capsys.readouterr().out
    assert 'failures="1"' in (tmp_path / "junit.xml").read_text()
    assert summary.read_text().startswith("of another command\n###")
    publish(report, True, None, tmp_path / "another.md")
    assert json.loads(capsys.readouterr().out) == report.document()
    assert (tmp_path / "another.md").read_text().startswith("###")
