"""The lease of a device, by the real scripts in this machine's shell."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bibench_deploy.errors import DeviceBusyError, DeviceStorageError
from bibench_deploy.runners.device import lease as lease_module
from bibench_deploy.runners.device.lease import (
    HOLDS_S,
    UNCHANGED_S,
    Lease,
    LeaseLostError,
    Lost,
    Sight,
    Taken,
    judge,
    parse,
)
from bibench_deploy.runners.transport.base import Completed

SHELLS = [
    shell for shell in (("sh",), ("bash", "--posix"), ("busybox", "sh"), ("dash",)) if shutil.which(shell[0])
]


def runner(shell: tuple[str, ...] = ("sh",), env: dict[str, str] | None = None) -> lease_module.RunScript:
    def run(script: str, timeout_s: float, step: str) -> Completed:
        done = subprocess.run(
            [*shell, "-c", script],
            capture_output=True,
            check=False,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    return run


def lease(
    place: Path, owner: str = "alice@lab", shell: tuple[str, ...] = ("sh",), **options: object
) -> Lease:
    return Lease(runner(shell), "pi", owner, str(place), **options)  # type: ignore[arg-type]


def generation(place: Path) -> Path:
    """The folder of the present generation."""
    return max((place / "bibench-deploy.lease").iterdir(), key=lambda path: int(path.name))


class Waiting:
    """A waiter's time: pauses pass at once, and something may happen in each."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        self.now, self.happens = 0.0, list(happens)

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        if self.happens:
            self.happens.pop(0)()


@pytest.mark.parametrize(
    ("sight", "unchanged", "verdict"),
    [
        (Sight(0, 5, "up:a"), 0, "free"),
        (Sight(3, 5, "up:a", released=True, beat="90 up:a"), 0, "free"),
        (Sight(3, 50, "up:a", beat="90 up:a"), 1e6, "held"),
        (Sight(3, 90, "up:a", beat="90 up:a"), 0, "dead"),
        (Sight(3, 50, "up:b", beat="90 up:a"), 0, "dead"),  # started anew: its holder's link is gone
        (Sight(3, 5, "up:a"), UNCHANGED_S - 1, "held"),  # just starting: nothing written yet
        (Sight(3, 5, "up:a"), UNCHANGED_S, "dead"),
        (Sight(3, 5, "up:a", beat="nonsense"), UNCHANGED_S, "dead"),
        # A wall clock that was set an hour forward or back proves nothing; a beat that stands still does.
        (Sight(3, 4000, "date", beat="90 date"), UNCHANGED_S - 1, "held"),
        (Sight(3, 4000, "date", beat="90 date"), UNCHANGED_S, "dead"),
        (Sight(3, 50, "date", beat="4000 date"), UNCHANGED_S - 1, "held"),
        (Sight(3, 50, "up:a", beat="90 date"), UNCHANGED_S - 1, "held"),
    ],
)
def test_when_a_lease_may_be_taken(sight: Sight, unchanged: float, verdict: str) -> None:
    assert judge(sight, unchanged) == verdict


def test_answers_are_read_between_noise() -> None:
    facts = ("beat 90 up:a", "owner bob: x", "clock up:a", "now 7", "generation 4")
    text = "noise\n" + "".join(f"bibench-lease {fact}\n" for fact in facts)
    assert parse(text) == Sight(4, 7, "up:a", beat="90 up:a", owner="bob: x")
    assert parse("bibench-lease taken 3\n") == Taken(3)
    assert parse("bibench-lease lost\n") == Lost()
    with pytest.raises(ValueError, match="no lease"):
        parse("command not found")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_one_holds_it_and_the_next_has_it_after(tmp_path: Path, shell: tuple[str, ...]) -> None:
    first, second = (lease(tmp_path, owner, shell) for owner in ("alice@lab: resnet18", "bob@desk"))
    first.acquire()
    first.acquire()  # a link that was set up anew: still ours
    with pytest.raises(DeviceBusyError, match=r"taken by alice@lab: resnet18, for \d+ s"):
        second.acquire(wait=False)
    done = first.run(first.guarded("cat; echo out; echo err >&2; exit 42"), 30, "")
    assert (done.status, done.stdout, done.stderr) == (42, b"out\n", b"err\n")
    first.release()
    second.acquire(wait=False)
    second.release()


def test_a_waiter_is_told_whom_he_waits_for_and_gets_it(tmp_path: Path) -> None:
    first = lease(tmp_path, "alice@lab")
    first.acquire()
    waiting = Waiting(lambda: None, lambda: None, first.release)
    said: list[str] = []
    second = lease(tmp_path, "bob@desk", clock=waiting.clock, pause=waiting.pause)
    second.acquire(say=said.append)
    assert len(said) == 1
    assert said[0].startswith("pi: waiting for alice@lab, for ")
    assert waiting.happens == []


def test_a_dead_holder_is_followed_once_its_time_is_over(tmp_path: Path) -> None:
    lease(tmp_path, "dead").acquire()
    beat = generation(tmp_path) / "beat"
    until, clock = beat.read_text().split()
    beat.write_text(f"{int(until) - HOLDS_S} {clock}\n")
    lease(tmp_path, "next").acquire(wait=False)
    assert (generation(tmp_path) / "owner").read_text() == "next\n"


def test_a_holder_from_before_the_device_was_started_anew_is_dead(tmp_path: Path) -> None:
    lease(tmp_path, "dead").acquire()
    (generation(tmp_path) / "beat").write_text("999999999 up:another-boot\n")
    lease(tmp_path, "next").acquire(wait=False)


def test_who_died_before_he_wrote_anything_is_followed(tmp_path: Path) -> None:
    lease(tmp_path).acquire()
    shutil.rmtree(generation(tmp_path))
    (tmp_path / "bibench-deploy.lease" / "2").mkdir()
    waiting = Waiting()
    late = lease(tmp_path, "late", clock=waiting.clock, pause=waiting.pause)
    late.acquire()
    assert waiting.now >= UNCHANGED_S
    assert (generation(tmp_path) / "owner").read_text() == "late\n"


def test_a_holder_that_was_followed_notices_before_and_after_a_step(tmp_path: Path) -> None:
    slow, fast = lease(tmp_path, "slow"), lease(tmp_path, "fast")
    slow.acquire()
    steal = slow.guarded(f"mkdir {tmp_path}/bibench-deploy.lease/2; echo a figure")
    done = slow.run(steal, 30, "")
    with pytest.raises(LeaseLostError):
        slow.check(done, "measuring")
    done = slow.run(slow.guarded("touch ran"), 30, "")
    with pytest.raises(LeaseLostError):
        slow.check(done, "measuring")
    assert not (tmp_path / "ran").exists()
    slow.release()  # not ours: nothing happens
    assert not (tmp_path / "bibench-deploy.lease" / "2" / "released").exists()
    with pytest.raises(DeviceBusyError):
        fast.acquire(wait=False)


def test_a_step_renews_the_beat_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "BEAT_S", 1)
    holder = lease(tmp_path)
    holder.acquire()
    beat = generation(tmp_path) / "beat"
    renewed = f"tries=0; until ! grep -q old {beat} || [ $((tries += 1)) -gt 200 ]; do sleep 0.1; done"
    script = holder.guarded(f"echo old > {beat}; {renewed}; cat {beat}")
    assert b"old" not in holder.run(script, 60, "").stdout


def test_a_wall_clock_serves_where_the_other_is_hidden(tmp_path: Path) -> None:
    """Some Androids do not show /proc/uptime to an app."""

    def hidden(script: str, timeout_s: float, step: str) -> Completed:
        return runner()(script.replace("/proc/uptime", "/proc/absent"), timeout_s, step)

    first = Lease(hidden, "phone", "alice", str(tmp_path))
    first.acquire()
    assert (generation(tmp_path) / "beat").read_text().endswith(" date\n")
    (generation(tmp_path) / "beat").write_text("1 date\n")  # the clock was set years forward
    waiting = Waiting(lambda: first.run(first.guarded(":"), 30, ""), lambda: None)
    second = Lease(hidden, "phone", "bob", str(tmp_path), waiting.clock, waiting.pause)
    second.acquire()
    assert waiting.now >= 2 * 5 + UNCHANGED_S - 5


def test_the_place_may_be_named_on_the_device(tmp_path: Path) -> None:
    place = tmp_path / 'it\'s "shared" $HOME'
    place.mkdir()
    run = runner(env={"BIBENCH_LEASE_DIR": str(place)})
    Lease(run, "pi", "o'brien $(touch x)\n`touch y`\x1b[31m").acquire()
    assert (generation(place) / "owner").read_text() == "o'brien $(touch x)?`touch y`?[31m\n"
    assert stat_mode(place / "bibench-deploy.lease") == 0o1777
    assert stat_mode(generation(place)) == 0o755


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_place_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "bibench-deploy.lease").write_text("a file")
    with pytest.raises(DeviceStorageError, match="is not a folder") as caught:
        lease(tmp_path).acquire()
    assert "BIBENCH_LEASE_DIR" in str(caught.value)


def test_old_generations_do_not_pile_up(tmp_path: Path) -> None:
    for _ in range(20):
        one = lease(tmp_path)
        one.acquire(wait=False)
        one.release()
    assert len(list((tmp_path / "bibench-deploy.lease").iterdir())) <= 17


@pytest.mark.skipif(os.geteuid() != 0, reason="two users need root")
def test_users_of_one_device_follow_each_other(tmp_path: Path) -> None:
    """Each owns his generations; nobody has to write another's."""
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/") and not stat_mode(parent) & 0o001:
            parent.chmod(stat_mode(parent) | 0o001)

    def as_user(uid: int) -> lease_module.RunScript:
        return runner(("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "sh"))

    for turn in range(20):
        one = Lease(as_user(12000 + turn % 3), "pi", f"user {turn}", str(tmp_path))
        one.acquire(wait=False)
        with pytest.raises(DeviceBusyError):
            Lease(as_user(12000 + (turn + 1) % 3), "pi", "other", str(tmp_path)).acquire(wait=False)
        one.release()


CONTENDER = """
import subprocess, sys, os
from pathlib import Path
from bibench_deploy.runners.device import lease as module
from bibench_deploy.runners.transport.base import Completed
module.LOOK_S = 0.02
module.HOLDS_S = 4
place, rounds, dies = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "dies"
def run(script, timeout_s, step):
    done = subprocess.run(["sh", "-c", script], capture_output=True, stdin=subprocess.DEVNULL)
    return Completed(done.returncode, done.stdout, done.stderr)
for i in range(rounds):
    lease = module.Lease(run, "pi", f"{os.getpid()}", str(place))
    lease.acquire()
    # Two at once: O_EXCL fails for the second. A dead holder's mark is its generation's.
    try:
        os.close(os.open(place / "inside", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        (place / "two-at-once").touch()
        sys.exit(1)
    with (place / "log").open("a") as log:
        log.write(f"{os.getpid()}\\n")
    (place / "inside").unlink()
    if not (dies and i == rounds - 1):
        lease.release()
"""


def test_many_processes_never_hold_it_at_once(tmp_path: Path) -> None:
    """Some leave it behind, so that the others race to follow the dead one too."""
    processes = [
        subprocess.Popen([sys.executable, "-P", "-c", CONTENDER, str(tmp_path), "6", how])
        for how in ["dies"] * 2 + ["lives"] * 6
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0] * 8
    finally:
        for process in processes:
            process.kill()
    assert not (tmp_path / "two-at-once").exists()
    assert len((tmp_path / "log").read_text().splitlines()) == 48


def test_a_step_that_is_ended_leaves_no_keeper(tmp_path: Path) -> None:
    holder = lease(tmp_path)
    holder.acquire()
    process = subprocess.Popen(["sh", "-c", holder.guarded("exec sleep 60")], start_new_session=True)
    try:
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)
        deadline = time.monotonic() + 10
        while members(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert members(process.pid) == []
    finally:
        if members(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def members(group: int) -> list[int]:
    done = subprocess.run(["ps", "-eo", "pgid=,pid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in done.stdout.splitlines())
    return [int(pid) for pgid, pid, stat in rows if int(pgid) == group and not stat.startswith("Z")]
