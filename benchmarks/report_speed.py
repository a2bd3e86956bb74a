"""How long ``report`` takes over a store of a million samples; markdown on stdout.

    python benchmarks/report_speed.py [--store URL] [--rounds 5]

A thousand rows of a thousand samples each, of which every one is shown: five devices, two engines, 25 networks and
their fp32 twins, 1 and 2 threads, ten turns a row. They are put into the store that is named, which has to be empty
(a file of SQLite by default); the command that users have is timed from start to end, the fastest of some rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from bibench_deploy.results import Row, Store
from bibench_deploy.results.row import HostFacts
from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.host import local_host

DEVICES, ENGINES, NETWORKS, THREADS = 5, ("larq", "native"), 25, (1, 2)
TURNS, RUNS = 10, 100
MS = 1_000_000
#: What is timed: its name → the options of ``report``.
REPORTS = {"tables": [], "`--json`": ["--json"], "`--html`": ["--html", "page.html"]}


def rows() -> Iterator[Row]:
    """The rows, always the same ones."""
    random, moment = Random(0), datetime(2026, 11, 1, tzinfo=UTC)
    places = [(d, e, n, t) for d in range(DEVICES) for e in ENGINES for n in range(NETWORKS) for t in THREADS]
    for place, (device, engine, network, threads) in enumerate(places):
        for variant, median in (("fp32", 40.0), ("bnn", 10.0)):
            name, source = f"network-{network}", f"{network:064d}"
            centre = median * (1 + network / NETWORKS) / threads**0.8
            moment += timedelta(minutes=1)
            samples = []
            for _ in range(TURNS):
                state = random.gauss(1, 0.004)
                samples += [int(MS * centre * state * random.gauss(1, 0.01)) for _ in range(RUNS)]
            yield Row(
                measured_at=moment, session="s", block=f"{place}", tool="0", device=f"board-{device}",
                host=HostFacts(cpu="a processor", arch="aarch64", cores=4, system="Linux 6.1"), engine=engine,
                versions={}, model=name, variant=variant, file=f"{name}.{engine}", source_sha256=source,
                sha256=f"{place:03d}{variant:>61}".replace(" ", "0"), size_bytes=int(MS * median), binary_ops=16,
                verified=True, changes=[], threads=threads, kernel=None, verdict="stable", warmup_runs=3,
                context=RunContext(governor="performance", clock_mhz_during={0: 1500.0, 1: 1500.0}),
                samples_ns=samples, turns=[RUNS] * TURNS,
            )  # fmt: skip


def seconds(options: list[str], folder: Path) -> tuple[float, float]:
    """From start to end, and of processor time."""
    program = Path(sys.executable).with_name("bibench-deploy")
    before, began = os.times(), time.monotonic()
    subprocess.run([program, "report", *options], cwd=folder, capture_output=True, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - began, spent


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="How long report takes over a million samples.")
    parser.add_argument("--store", help="an empty store; a file of SQLite by default")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        url = given.store or str(folder / "store.sqlite")
        store = Store.at(url)
        if not store.is_empty():
            sys.exit(f"{store.where} is not empty")
        made = list(rows())
        store.append(made)
        host, samples = local_host(), sum(len(row.samples_ns) for row in made)
        kind = "SQLite" if store.path else "PostgreSQL"
        print(f"{len(made):,} rows, {samples:,} samples, {kind}; {host.cpu}, {host.cores} cores, "
              f"load {os.getloadavg()[0]:.1f} with this; fastest of {given.rounds}:\n")  # fmt: skip
        print("| report | from start to end | processor time |\n| --- | --: | --: |")
        for name, options in REPORTS.items():
            taken = [seconds([*options, "--store", url], folder) for _ in range(given.rounds)]
            print(
                f"| {name} | {min(t for t, _ in taken):.1f} s | {min(t for _, t in taken):.1f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
