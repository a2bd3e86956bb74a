"""Nights of two control hosts on one lab of labgrid and one PostgreSQL: everything is real but the boards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("labgrid", reason="needs the extra labgrid")

import psycopg

from bibench_deploy.results import Store
from lab.lab import Lab
from lab.labgrid_server import LabgridLab, wait_until
from lab.plan import write_plan
from lab.setup import Setup
from lab.user import User
from lab.waiting import let_lease_run_out
from support import postgres
from support.command import is_clean

pytestmark = pytest.mark.slow

BOARDS = tuple(f"board-{number}" for number in range(4))
WAIT_S = 150.0
MODELS = ("net0", "net1")
ALL = Counter({(board, model, threads): 1 for board in BOARDS for model in MODELS for threads in (1, 2)})


@pytest.fixture
def labgrid(lab: Lab, tmp_path: Path) -> Iterator[LabgridLab]:
    """Four boards that only labgrid knows the addresses of."""
    with LabgridLab(tmp_path / "labgrid") as opened:
        for device in lab.add_all({name: Setup() for name in BOARDS}, profile="generic-x86_64"):
            opened.add(device, profile="generic-x86_64", nightly="yes")
        yield opened.start()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if postgres.programs() is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt install postgresql)")
    with postgres.server() as url:
        yield url


@pytest.fixture
def store(server: str, tmp_path: Path) -> str:
    """The URL of an empty database."""
    name = f"lab{abs(hash(tmp_path))}"
    with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.format(name)


class Host:
    """A control host: a home, a workspace and a cache of its own; its inventory holds keys, and no address."""

    def __init__(self, name: str, user: User, labgrid: LabgridLab, store: str, seconds: float) -> None:
        self.name, self._user = name, user
        models = write_plan(user.home, len(MODELS), seconds, (1, 2))
        assert models == MODELS
        (user.home / "keys.toml").write_text(
            "".join(
                f'[devices.{board}]\nprofile = "generic-x86_64"\nhost = "unknown.invalid"\n'
                f'key = "{user.lab.key}"\nknown_hosts = "{user.lab.known_hosts}"\n'
                for board in BOARDS
            )
        )
        lab = ("--lab", labgrid.url, "--inventory", "keys.toml", "--connect-timeout", "5")
        self._command = ("nightly", "lab.toml", *lab, "--store", store, "--json")

    def night(self) -> AbstractContextManager[subprocess.Popen[str]]:
        """The command, begun; LG_HOSTNAME is by what labgrid tells this machine's hosts apart."""
        return self._user.starts(*self._command, LG_HOSTNAME=self.name)


@pytest.fixture
def hosts(lab: Lab, tmp_path: Path, converted: Path, programs: Path) -> Callable[..., list[Host]]:
    """Makes two control hosts."""

    def make(labgrid: LabgridLab, store: str, seconds: float) -> list[Host]:
        found = []
        for name in ("host-a", "host-b"):
            cache = tmp_path / name / "cache"
            shutil.copytree(programs / "bibench-deploy", cache / "bibench-deploy")
            found.append(
                Host(name, User(lab, tmp_path / name / "home", converted, cache), labgrid, store, seconds)
            )
        return found

    return make


def rows(store: str) -> Counter[tuple[str, str, int]]:
    """How many rows there are of each job; none before there is a store."""
    opened = Store.at(store)
    return Counter((row.device, row.model, row.threads) for row in opened.read().rows)


def claims(store: str, process: subprocess.Popen[str]) -> int:
    """How many jobs a command has claimed; its number is part of its name in the queue."""
    with psycopg.connect(store) as connection:
        if connection.execute("SELECT to_regclass('night_job')").fetchone() == (None,):
            return 0
        asked = "SELECT count(*) FROM night_job WHERE state = 'taken' AND owner LIKE %s"
        found = connection.execute(asked, (f"%-{process.pid}-%",)).fetchone()
    assert found is not None
    return int(found[0])


def let_time_pass(store: str, process: subprocess.Popen[str]) -> None:
    """Ten minutes without a sign of life of a command, by the database's clock."""
    with psycopg.connect(store) as connection:
        connection.execute(
            "UPDATE night_job SET beat_at = beat_at - 600 WHERE state = 'taken' AND owner LIKE %s",
            (f"%-{process.pid}-%",),
        )


def ended(process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    """The document of a command that ends by itself."""
    out, err = process.communicate(timeout=WAIT_S)
    assert is_clean(err), err
    assert process.returncode == code, out + err
    report: dict[str, Any] = json.loads(out)
    return report


def takers(labgrid: LabgridLab) -> set[str]:
    """Hosts that had a place at any time, as the coordinator's log tells."""
    assert labgrid.coordinator is not None
    log = "".join(labgrid.coordinator.said)
    return set(re.findall(r"place acquired by ([^/]+)/", log))


def test_two_hosts_share_a_night(labgrid: LabgridLab, store: str, hosts: Callable[..., list[Host]]) -> None:
    first, second = hosts(labgrid, store, seconds=0.2)
    with first.night() as one, second.night() as other:
        reports = [ended(one), ended(other)]
    assert rows(store) == ALL
    assert takers(labgrid) == {"host-a", "host-b"}
    assert labgrid.owners() == {}
    assert labgrid.client("reservations") == ""
    assert reports[0] == reports[1]  # the night was finished once, and both tell it
    assert {found["status"] for found in reports[0]["findings"]} == {"new"}
    assert reports[0]["devices"] == []


def test_the_other_host_takes_over_what_a_killed_one_leaves(
    lab: Lab, labgrid: LabgridLab, store: str, hosts: Callable[..., list[Host]]
) -> None:
    first, second = hosts(labgrid, store, seconds=1)
    with first.night() as one, second.night() as other:
        wait_until(lambda: claims(store, one) > 0 and claims(store, other) > 0, "both at work", WAIT_S)
        wait_until(lambda: rows(store).total() >= 1, "a row", WAIT_S)
        os.killpg(one.pid, signal.SIGKILL)
        assert one.wait(30) == -signal.SIGKILL
        before, left = rows(store), claims(store, one)
        assert left > 0
        assert before.total() < ALL.total()
        wait_until(
            lambda: all(not owner.startswith("host-a/") for owner in labgrid.owners().values()),
            "the release of its places",
        )
        let_time_pass(store, one)
        for device in lab.devices.values():
            let_lease_run_out(device, one.pid)
        report = ended(other)
    assert rows(store) == ALL  # nothing twice, nothing missing
    assert before.keys() <= ALL.keys()
    assert labgrid.owners() == {}
    with first.night() as again:
        assert ended(again) == report
    assert rows(store) == ALL
