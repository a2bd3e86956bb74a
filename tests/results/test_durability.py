"""Writers at the same time, and writers that are killed: nothing is half there, nothing reported is lost."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from bibench_deploy.errors import StorageError
from bibench_deploy.results import Store
from bibench_deploy.results.database import MOST_CONNECTIONS
from support.command import small_disk
from support.rows import make_row

# Appends batches of three rows for ever, or so many; says each batch's session once ``append`` has returned.
WRITER = """
import sys
from bibench_deploy.results import Store
from support.rows import make_row
url, name, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store.at(url)
for number in range(batches):
    session = f"{name}-{number}"
    store.append([make_row(session=session, samples_ns=range(1, 3000), threads=n) for n in (1, 2, 4)])
    print(session, flush=True)
"""
TESTS = Path(__file__).parents[1]
KILLS = 6


def writer(url: str, name: str, batches: int) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, name, str(batches)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def sessions(store: Store) -> dict[str, list[int]]:
    """Threads of the rows of each session."""
    contents = store.read()
    assert contents.damaged == ()
    found: dict[str, list[int]] = {}
    for row in contents.rows:
        assert row.samples_ns == list(range(1, 3000))
        assert row.session is not None
        found.setdefault(row.session, []).append(row.threads)
    return found


def test_threads_take_turns(url: str) -> None:
    """Neither is a server asked for a connection by each of them, nor is one too late for an SQLite file."""
    store, lock, inside, most = Store.at(url, busy_s=0.5), threading.Lock(), set[int](), 0
    store.check()

    def work(number: int) -> None:
        nonlocal most
        with store.transaction(writes=True):
            with lock:
                inside.add(number)
                most = max(most, len(inside))
            time.sleep(0.05)
            inside.discard(number)

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(work, range(40)))
    assert 1 <= most <= MOST_CONNECTIONS


def test_writers_at_the_same_time_lose_nothing(url: str) -> None:
    """Three that all find no store yet."""
    writers = [writer(url, name, 20) for name in "abc"]
    said = [line for process in writers for line in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in writers] == [0, 0, 0]
    found = sessions(Store.at(url))
    assert sorted(found) == sorted(said) == sorted(f"{name}-{n}" for name in "abc" for n in range(20))
    assert all(threads == [1, 2, 4] for threads in found.values())


@pytest.mark.slow
def test_killed_writers_leave_whole_batches_and_all_that_they_reported(url: str) -> None:
    """Two write while one after the other is killed (−9) at any moment."""
    seed = random.Random(20261122)
    said: list[str] = []
    steady = writer(url, "steady", 60)
    for number in range(KILLS):
        process = writer(url, f"killed{number}", 10_000)
        assert process.stdout is not None
        said.append(process.stdout.readline().strip())  # it is at work
        time.sleep(seed.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        said += process.communicate(timeout=60)[0].split()
        assert process.returncode == -signal.SIGKILL
    said += steady.communicate(timeout=120)[0].split()
    assert steady.returncode == 0
    found = sessions(Store.at(url))
    assert set(said) <= set(found)
    assert all(threads == [1, 2, 4] for threads in found.values())
    # A batch may be there whose writer was killed before it could say so, one for each that was.
    assert len(set(found) - set(said)) <= KILLS
    if "://" not in url:
        assert sqlite3.connect(url).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    large = [make_row(samples_ns=random.Random(n).choices(range(1, 10**9), k=20_000)) for n in range(9)]
    with small_disk(tmp_path / "disk", "512k") as disk:
        store = Store.at(str(disk / "store.sqlite"))
        kept: list[UUID] = []

        def append_all() -> None:
            for row in large:
                store.append([row])
                kept.append(row.id)

        with pytest.raises(StorageError, match="the disk is full"):
            append_all()
        assert kept
        assert [row.id for row in Store.at(str(disk / "store.sqlite")).read().rows] == kept
        store.append([make_row()])  # a small one still fits
