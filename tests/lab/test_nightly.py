"""Nights of a lab of simulated devices: killed, resumed, disturbed, judged.

Latencies of simulated devices mean nothing; where something is to look slower, it has several times the work.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bibench_deploy.nightly.levels import FEWEST_NIGHTS
from bibench_deploy.results import Store
from lab.lab import Lab
from lab.plan import write_plan
from lab.setup import Setup
from lab.user import User
from lab.waiting import let_lease_run_out, measuring, wait_until
from support.cli_nets import write_net
from support.command import is_clean

pytestmark = pytest.mark.slow

WAIT_S = 120.0


class Maintainer:
    """Somebody who runs nights on a lab."""

    def __init__(
        self, user: User, models: int = 1, seconds: float = 0.1, threads: tuple[int, ...] = (1,)
    ) -> None:
        self.user = user
        write_plan(user.home, models, seconds, threads)

    @property
    def command(self) -> tuple[str | Path, ...]:
        return ("nightly", "lab.toml", "--inventory", self.user.lab.inventory)

    def night(self, *options: str, code: int = 0) -> dict[str, Any]:
        """A whole night; its document."""
        done = self.user.bibench(*self.command, "--json", *options)
        assert is_clean(done.stderr), done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def rows(self) -> Counter[tuple[str, str, int]]:
        """How many rows there are of each job."""
        store = Store.at(str(self.user.home / "nightly/results.sqlite"))
        return Counter((row.device, row.model, row.threads) for row in store.read().rows)


def test_a_night_that_is_killed_and_resumed_among_broken_devices(lab: Lab, user: User) -> None:
    names = ("good", "cycled", "hung", "dead")
    lab.add_all({name: Setup() for name in names}, profile="generic-x86_64", tags=["nightly"])
    lab.devices["dead"].power_off()
    maintainer = Maintainer(user, models=2, seconds=1, threads=(1, 2))
    options = ("--timeout", "8", "--connect-timeout", "2", "--retries", "0")
    with user.starts(*maintainer.command, *options) as first:
        wait_until(lambda: maintainer.rows().total() >= 2, "the first rows", WAIT_S)
        os.killpg(first.pid, signal.SIGKILL)
    before = maintainer.rows()
    for name in ("good", "cycled", "hung"):
        let_lease_run_out(lab.devices[name], first.pid)
    with user.starts(*maintainer.command, *options, "--json", "--junit", "junit.xml") as again:
        hung, cycled = lab.devices["hung"], lab.devices["cycled"]
        wait_until(lambda: hung.hangs("--min-time"), "a run on the device that is to hang", WAIT_S)
        wait_until(lambda: measuring(cycled), "a run on the device that is to go off", WAIT_S)
        cycled.power_off()
        cycled.power_on()
        out, err = again.communicate(timeout=WAIT_S)
    assert again.returncode == 3, err
    assert is_clean(err)
    alive = [name for name in names if name != "dead"]
    assert maintainer.rows() == Counter(
        {(device, model, threads): 1 for device in alive for model in ("net0", "net1") for threads in (1, 2)}
    )
    assert before.keys() <= maintainer.rows().keys()
    report = json.loads(out)
    assert {(device["device"], device["quarantined"]) for device in report["devices"]} == {
        ("cycled", False),
        ("hung", False),
        ("dead", True),
    }
    kinds = Counter((found["device"], found["kind"]) for found in report["findings"])
    assert kinds == {("dead", "infrastructure"): 4, **{(name, "none"): 4 for name in alive}}
    assert 'errors="4"' in (user.home / "junit.xml").read_text()
    told_again = user.bibench(*maintainer.command, "--json")
    assert told_again.returncode == 3
    assert json.loads(told_again.stdout) == report


def test_ctrl_c_gives_everything_back(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(), profile="generic-x86_64", tags=["nightly"])
    maintainer = Maintainer(user, seconds=20)
    with user.starts(*maintainer.command) as command:
        wait_until(lambda: measuring(device), "a run on the device", WAIT_S)
        os.killpg(command.pid, signal.SIGINT)
        _, err = command.communicate(timeout=WAIT_S)
    assert command.returncode == 130
    assert is_clean(err)
    assert "the same command continues there" in " ".join(err.split())
    wait_until(lambda: device.processes() == [], "the end of all that was started", WAIT_S)
    plan = user.home / "lab.toml"
    plan.write_text(plan.read_text().replace("20", "0.1"))
    begun = time.monotonic()
    report = maintainer.night()
    assert {found["status"] for found in report["findings"]} == {"new"}
    assert time.monotonic() - begun < WAIT_S
    assert maintainer.rows().total() == 1


def test_extra_work_is_found_and_the_same_again_is_not(lab: Lab, user: User) -> None:
    lab.add("board", Setup(), profile="generic-x86_64", tags=["nightly"])
    maintainer = Maintainer(user)
    for number in range(FEWEST_NIGHTS):
        maintainer.night("--night", f"before-{number}")
    again = user.bibench(*maintainer.command, "--json", "--night", "again")
    assert again.returncode != 1, (
        again.stdout
    )  # a busy machine may look like a slower device, never a slower model
    write_net(user.home / "models/net0.onnx", layers=2, size=24)  # nine times the pixels, the same weights
    slow = maintainer.night("--night", "slow", "--commit", "abcdef0123", code=1)
    assert {found["status"] for found in slow["findings"]} == {"slower"}
    for found in slow["findings"]:
        assert found["ratio"] > 2
        assert "beside the old artefact" in found["words"]
        assert found["since"] == {"night": "slow", "commit": "abcdef0123"}
    assert slow["headline"].startswith("net0 ")
