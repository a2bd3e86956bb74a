"""The sampler beside an engine: real shells, a real program, and what devices print that lack a part of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bibench_deploy.runners.device.engine import Script
from bibench_deploy.runners.device.watching import MARK, Seen, added, preferred, split, watched
from bibench_deploy.runners.observer import Usage

SHELLS = [
    pytest.param(command, id=command[0], marks=pytest.mark.skipif(
        shutil.which(command[0]) is None, reason=f"{command[0]} is not installed"))
    for command in (("dash",), ("bash",), ("busybox", "ash"), ("mksh",), ("zsh", "--emulate", "sh"))
]  # fmt: skip
#: What the sampler sleeps where a turn must not wait for it, s; no machine is as slow as that.
LONG_NAP_S = 50
# Half a second of work in another process, which asks for a hundred megabytes.
BUSY = """
"$python" -c 'import time
data = bytearray(100 << 20)
until = time.process_time() + 0.5
while time.process_time() < until: pass
print("the output")
print("of the engine", end="")'
"""


def run(shell: tuple[str, ...], script: Script, **environment: str) -> subprocess.CompletedProcess[bytes]:
    assigned = "".join(f"{name}='{value}'\n" for name, value in script.variables.items())
    # As the lease's guard runs it: a function, in a subshell, unset variables forbidden.
    text = f"set -u\nbody() {{\n{assigned}{script.text}\n}}\n( body )\nexit $?\n"
    return subprocess.run([*shell, "-c", text], capture_output=True, env=os.environ | environment, timeout=60)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_keeps_the_output_and_tells_what_else_was(shell: tuple[str, ...]) -> None:
    done = run(shell, watched(Script(BUSY, {"python": sys.executable}), 0.2))
    output, seen = split(done.stdout)
    assert (output, done.stderr, done.returncode) == (b"the output\nof the engine", b"", 0)
    assert seen.seconds is not None
    assert seen.seconds >= 0.5
    # The engine's own half second is not others'; the kernel's counts come in steps of 10 ms a core.
    assert seen.other_seconds is not None
    assert seen.other_seconds < (os.cpu_count() or 1) * seen.seconds
    assert seen.usage.page_faults_minor is not None
    assert seen.usage.page_faults_minor > 20_000 * 4096 / os.sysconf("SC_PAGE_SIZE")
    assert seen.usage.page_faults_major is not None
    assert seen.usage.context_switches_voluntary is None
    assert seen.usage.cpuset


@pytest.mark.parametrize("shell", SHELLS)
def test_an_engine_that_fails_fails_as_it_did(shell: tuple[str, ...]) -> None:
    done = run(shell, watched(Script("echo half; echo why >&2; exit 42", {}), 0.2))
    assert (done.returncode, done.stderr) == (42, b"why\n")
    assert split(done.stdout)[0] == b"half\n"


def test_nothing_runs_on_and_a_short_turn_does_not_wait(tmp_path: Path) -> None:
    (tmp_path / "sleep").write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} {LONG_NAP_S}\n")
    (tmp_path / "sleep").chmod(0o755)
    began = time.monotonic()
    done = run(("sh",), watched(Script("exec 3>&1; :", {}), 60), PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0  # which waits for all that holds its output open
    assert time.monotonic() - began < LONG_NAP_S


@pytest.mark.parametrize("naps", ["exit 1", 'case $1 in *.*) exit 1 ;; esac; exec "$real" "$1"'])
def test_without_sleep_or_fractions_the_engine_runs_all_the_same(tmp_path: Path, naps: str) -> None:
    real = shutil.which("sleep")
    (tmp_path / "sleep").write_text(f"#!/bin/sh\nreal={real}\n{naps}\n")
    (tmp_path / "sleep").chmod(0o755)
    done = run(("sh",), watched(Script("echo done", {}), 0.2), PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (split(done.stdout)[0], done.returncode) == (b"done\n", 0)


STAT = "cpu  {} 0 0 900 5 0 0 0 0 0"
SELF = "7 (a sh (x)) S 1 7 7 0 -1 4194560 120 {} 0 {} 0 0 1 1 20 0 1 0 100 1 1"
TIMES = "0m0.00s 0m0.00s\n0m{}s 0m0.00s"


def printed(before: str, after: str, output: str = "out") -> bytes:
    mark = MARK.decode()
    return f"{before}\n{mark}\n{output}\n{mark}\n{after}\n".encode()


def test_a_device_that_tells_everything() -> None:
    before = f"stat={STAT.format(1000)}\nuptime=50.00 90.0\nself={SELF.format(10, 1)}\n{TIMES.format('1.00')}"
    after = (
        f"stat={STAT.format(1700)}\nuptime=54.00 91.0\nself={SELF.format(510, 3)}\n{TIMES.format('4.00')}\n"
        "\nclock=0 1500000\nclock=4 2400000\nclock=0 1200000\nclock=x 3\nclock=1 0\nallowed=\t0-7"
    )
    output, seen = split(printed(before, after))
    assert output == b"out"
    assert seen.clocks_mhz == ({0: 1500.0, 4: 2400.0}, {0: 1200.0})  # look by look
    assert (seen.seconds, seen.other_seconds, seen.other_load) == (
        4.0,
        4.0,
        1.0,
    )  # 7 s worked, 3 s by the engine
    assert seen.usage == Usage(page_faults_minor=500, page_faults_major=2, cpuset="0-7")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("stat=cpu\nuptime=\nself=7 (sh)", "stat=cpu 1\nuptime=x\nself=7 (sh) S"),
        (f"stat={STAT.format(1)}\n{TIMES.format('1')}", TIMES.format("2")),
        # An emulator of user programs counts nothing: no page fault at all is no count.
        (f"self={SELF.format(0, 0)}", f"self={SELF.format(0, 0)}"),
    ],
)
def test_what_a_device_does_not_tell_is_unknown(before: str, after: str) -> None:
    output, seen = split(printed(before, after))
    assert output == b"out"
    assert seen == Seen()


def test_output_without_the_marks_is_the_engines() -> None:
    assert split(b"x\n") == (b"x\n", Seen())


def test_turns_add_up() -> None:
    first = Seen(({0: 1500.0, 1: 600.0},), 2.0, 1.0, Usage(page_faults_minor=5, cpuset="0-3"))
    second = Seen(({0: 1400.0, 1: 700.0},), 2.0, 3.0, Usage(page_faults_minor=6, peak_memory_bytes=9))
    both = first.and_then(second)
    assert both.clocks_mhz == ({0: 1500.0, 1: 600.0}, {0: 1400.0, 1: 700.0})
    assert both.other_load == 1.0
    assert both.usage == Usage(page_faults_minor=11, peak_memory_bytes=9, cpuset="0-3")
    assert first.and_then(Seen()).other_load == 0.5
    assert Seen().and_then(Seen()).other_load is None


def test_what_a_program_tells_of_itself_goes_first() -> None:
    own, shells = (
        Usage(page_faults_minor=3, context_switches_voluntary=1, handovers_ns=(30.0,)),
        Usage(page_faults_minor=9, cpuset="0"),
    )
    told = preferred(own, shells)
    assert told == Usage(page_faults_minor=3, context_switches_voluntary=1, cpuset="0", handovers_ns=(30.0,))
    assert added(own, Usage()) == own
    assert added(own, added(own, Usage(handovers_ns=(90.0,)))).handover_ns == 30  # the median of the turns
    assert Usage().handover_ns is None
