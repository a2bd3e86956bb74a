"""Processes at the queue of a night: each job is had by one, and one killed (−9) loses and doubles nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bibench_deploy.results import Store
from bibench_deploy.results.nights import open_night
from bibench_deploy.results.queue import JobSpec, Queue, State
from support.rows import make_row

# Claims, measures nothing for a moment and says done, until every job is; tells what it claimed and kept.
WORKER = """
import sys, time
from bibench_deploy.results import Store
from bibench_deploy.results.queue import Queue, State
from support.rows import make_row
url, owner, stale_s, job_s = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
queue = Queue(Store.at(url), "lab", "n", owner, stale_s)
print("at work", flush=True)
while any(states[State.WAITING] + states[State.TAKEN] for states in queue.counts().values()):
    for device in ("a", "b", "c"):
        for job in queue.claim(device):
            print("claimed", job.seq, flush=True)
            time.sleep(job_s)
            row = make_row(device=device, model=job.spec.model, threads=job.spec.threads)
            if queue.done(job, row):
                print("kept", row.id, flush=True)
"""
TESTS = Path(__file__).parents[1]
DEVICES, THREADS = ("a", "b", "c"), (1, 2, 4, 8)
KILLS = 5


def worker(url: str, owner: str, stale_s: float = 600, job_s: float = 0.005) -> subprocess.Popen[str]:
    """At work when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, url, owner, str(stale_s), str(job_s)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


def filled(url: str, models: int = 8) -> tuple[Store, Queue]:
    store = Store.at(url)
    open_night(store, "lab", "n", "p", None, "host", datetime(2026, 11, 22, tzinfo=UTC))
    queue = Queue(store, "lab", "n", "us")
    queue.add(
        JobSpec(device, "native", f"m{model}", "bnn", f"m{model}", "e", threads, None, f"m{model}")
        for device in DEVICES
        for model in range(models)
        for threads in THREADS
    )
    return store, queue


def check_complete(store: Store, queue: Queue, kept: list[str]) -> None:
    """Every job is done, has its row, and there is no other row."""
    jobs = queue.jobs()
    assert {job.state for job in jobs} == {State.DONE}
    rows = store.read().rows
    assert sorted(str(row.id) for row in rows) == sorted(str(job.row_id) for job in jobs)
    measured = Counter((row.device, row.model, row.threads) for row in rows)
    assert measured == Counter((job.spec.device, job.spec.model, job.spec.threads) for job in jobs)
    assert set(kept) <= {str(row.id) for row in rows}  # what was said to be kept is


def words(said: str, first: str) -> list[str]:
    return [line.split()[1] for line in said.splitlines() if line.startswith(f"{first} ")]


def test_processes_at_the_same_time_get_each_job_once(url: str) -> None:
    store, queue = filled(url)
    workers = [worker(url, owner) for owner in ("alpha", "beta", "gamma")]
    said = [process.communicate(timeout=200)[0] for process in workers]
    assert [process.returncode for process in workers] == [0, 0, 0]
    claimed = [seq for text in said for seq in words(text, "claimed")]
    assert sorted(claimed, key=int) == [str(job.seq) for job in queue.jobs()]
    check_complete(store, queue, [row for text in said for row in words(text, "kept")])


@pytest.mark.slow
def test_processes_that_are_killed_lose_nothing_and_double_nothing(url: str) -> None:
    """Claims are stale after a moment, so that living ones lose theirs, too, and come back too late."""
    store, queue = filled(url, models=20)
    seed = random.Random(20261122)
    steady = worker(url, "steady", 0.3, 0.1)
    said = ""
    for number in range(KILLS):
        process = worker(url, f"killed {number}", 0.3, 0.05)
        time.sleep(seed.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        said += process.communicate(timeout=60)[0]
        assert process.returncode == -signal.SIGKILL
    last = worker(url, "last", 0.3)
    for process in (steady, last):
        said += process.communicate(timeout=200)[0]
        assert process.returncode == 0
    check_complete(store, queue, words(said, "kept"))
    assert max(Counter(words(said, "claimed")).values()) > 1  # some were lost, to be measured again


def test_a_process_killed_between_claim_and_done_is_taken_over(url: str) -> None:
    store, queue = filled(url)
    process = worker(url, "dead", job_s=60)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("claimed")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert store.read().rows == ()
    assert [job.spec.model for job in queue.claim("a")] == ["m1"] * len(THREADS)
    assert queue.release("dead") == len(THREADS)
    again = queue.claim("a")
    assert [(job.spec.model, job.claim, job.attempts) for job in again] == [("m0", 2, 0)] * len(THREADS)
    assert queue.done(again[0], make_row())
