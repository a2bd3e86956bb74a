"""What it costs one host to drive many boards: wall time against the longest board, processor, memory; markdown.

    python benchmarks/scheduling.py [--devices 1,50,200] [--models 1] [--threads 1,4] [--store URL] [--sshds 4,16]
                                    [--output FILE]

The night is the real one: its queue in a real store, its worker a board, its rows with their verdicts. Only the
boards are not: they sleep as long as a step on a board takes. Every twentieth is gone at first and comes back. Each
number of boards is a process of its own, so that its memory is its own; a minute each.

What links over SSH cost beside that, nights of a few of the simulated boards of `tests/lab` tell, each a real sshd.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bibench_deploy.errors import BibenchError
from bibench_deploy.files import check_output, write_atomically
from bibench_deploy.nightly.events import Doing, Event, Now
from bibench_deploy.nightly.night import measure, queue_of
from bibench_deploy.nightly.worker import Patience, Shared
from bibench_deploy.results import Selection, Store
from bibench_deploy.results.job import State
from bibench_deploy.results.nights import open_night
from bibench_deploy.runners.host import local_host
from bibench_deploy.runners.threads import parse_threads
from bibench_deploy.runners.timing import MeasureRule
from suite.lab_of_sshds import night
from suite.machine import Watch
from suite.markdown import joined, replace_part, table
from suite.sleeping_boards import VARIANTS, Board, Pace, artefact, specs

RULE = MeasureRule(min_seconds=0.5, max_seconds=2.0)
#: Every so many boards one is gone when it is opened first.
REBOOTING = 20
PATIENCE = Patience(pause_s=2.0)
LOOK_S = 0.2
PART = "scheduling"


def status(field: str) -> float:
    """A figure of ``/proc/self/status``: memory in MB, or a number."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            words = line.split()
            return float(words[1]) / (1000 if words[-1] == "kB" else 1)
    raise ValueError(f"/proc/self/status has no {field}")


def one_night(devices: int, models: int, threads: tuple[int, ...], url: str, folder: Path) -> dict[str, Any]:
    """A night of so many boards, as figures.

    Raises:
        BibenchError: the store failed.
    """
    artefacts = [artefact(f"model{number}", variant) for number in range(models) for variant in VARIANTS]
    by_sha256 = {found.manifest.sha256: found for found in artefacts}
    boards = {
        f"board{number:03d}": Board(f"board{number:03d}", Pace(), int(number % REBOOTING == 1))
        for number in range(devices)
    }
    store = Store.at(url)
    store.check()
    now = datetime.now(UTC)
    opened = open_night(store, "scheduling", f"{now:%Y%m%d%H%M%S}-{devices}", "0" * 64, None, "here", now)
    ended: dict[str, float] = {}
    most = {"Threads": 0.0}
    done = threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, Now) and event.doing is Doing.ENDED:
            ended[event.device] = time.monotonic()

    def look() -> None:
        while not done.wait(LOOK_S):
            most["Threads"] = max(most["Threads"], status("Threads"))

    with queue_of(store, opened, folder, lambda message: sys.stderr.write(message + "\n")) as queue:
        queue.add(spec for name in boards for spec in specs(name, artefacts, threads))
        shared = Shared(queue, by_sha256.get, RULE, opened.session, PATIENCE)
        before_mb, cpu = status("VmRSS"), time.process_time()
        threading.Thread(target=look, daemon=True).start()
        begun = time.monotonic()
        measure(boards, shared, watch)
        wall = time.monotonic() - begun
        done.set()
        jobs = queue.jobs()
    rested = {name: PATIENCE.pause_s * (number % REBOOTING == 1) for number, name in enumerate(boards)}
    needed = {name: board.slept_s + rested[name] for name, board in boards.items()}
    over = sorted(ended[name] - begun - needed[name] for name in boards)
    return {
        "devices": devices,
        "jobs": len(jobs),
        "done": sum(job.state is State.DONE for job in jobs),
        "rows": len(store.read(Selection(sessions=(opened.session,))).rows),
        "wall_s": wall,
        "ideal_s": max(needed.values()),
        "over_median_s": over[len(over) // 2],
        "over_most_s": over[-1],
        "cpu_s": time.process_time() - cpu,
        "before_mb": before_mb,
        "peak_mb": status("VmHWM"),
        "threads": most["Threads"],
    }


def as_row(found: dict[str, Any], fewest: dict[str, Any]) -> list[str]:
    """A line of the table.

    Args:
        fewest: the night with the fewest boards: what memory is needed without them.

    Raises:
        ValueError: a job was lost, or measured twice.
    """
    if not found["jobs"] == found["done"] == found["rows"]:
        raise ValueError(f"{found['jobs']} jobs, {found['done']} done, {found['rows']} rows")
    wall, ideal = found["wall_s"], found["ideal_s"]
    more = found["devices"] - fewest["devices"]
    each_kb = f"{1000 * (found['peak_mb'] - fewest['peak_mb']) / more:.0f}" if more else "–"
    return [
        str(found["devices"]),
        str(found["jobs"]),
        f"{ideal:.1f}",
        f"{wall:.1f} (+{100 * (wall / ideal - 1):.1f} %)",
        f"{found['over_median_s']:.2f}, {found['over_most_s']:.2f}",
        f"{100 * found['cpu_s'] / wall:.0f}",
        f"{1000 * found['cpu_s'] / found['jobs']:.0f}",
        f"{found['peak_mb']:.0f}",
        each_kb,
        f"{found['threads']:.0f}",
    ]


HEADS = (
    "boards",
    "jobs",
    "longest board, s",
    "night, s",
    "beyond its board: median, most, s",
    "% of a core",
    "ms of it a job",
    "peak memory, MB",
    "a further board, kB",
    "threads",
)


def report(options: argparse.Namespace, counts: Sequence[int]) -> str:
    """The table, with what it rests on.

    Raises:
        CalledProcessError: a night failed.
    """
    watch, nights = Watch(), list[dict[str, Any]]()
    for count in counts:
        watch.before_round()
        sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {count} boards\n")
        words = [sys.executable, __file__, "--one", str(count), "--models", str(options.models)]
        words += ["--threads", options.threads] + (["--store", options.store] if options.store else [])
        told = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True)
        nights.append(json.loads(told.stdout))
    host, pace = local_host(), Pace()
    kind = "PostgreSQL" if (options.store or "").startswith("postgres") else "SQLite"
    head = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by `benchmarks/scheduling.py --devices "
        f"{options.devices} --models {options.models} --threads {options.threads}`, the store on {kind}: "
        f"{host.cpu}, {host.cores} cores, {host.system}, niceness {os.nice(0)}. {watch.summary()} A board sleeps "
        f"{pace.open:g} s when it is opened, {pace.push:g} s for each artefact, {pace.step:g} s beside the runs of "
        f"each turn; every {REBOOTING}th fails once and is tried again after {PATIENCE.pause_s:g} s."
    )
    return joined(
        [head, table(HEADS, [as_row(found, nights[0]) for found in nights], left=0), over_ssh(options)]
    )


def over_ssh(options: argparse.Namespace) -> str:
    """What nights of boards behind sshds cost; empty where none were asked for.

    Raises:
        RuntimeError: this machine can't simulate them, or nothing was measured.
    """
    if not options.sshds:
        return ""
    costs = []
    for count in parse_threads(options.sshds):
        sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {count} boards behind sshds\n")
        with tempfile.TemporaryDirectory() as scratch:
            costs.append(night(count, Path(scratch)))
    fewest = costs[0]
    lines = []
    for cost in costs:
        more = cost.devices - fewest.devices
        each = f"{1000 * (cost.peak_mb - fewest.peak_mb) / more:.0f}" if more else "–"
        numbers = (
            cost.devices,
            cost.measured,
            f"{cost.cpu_s:.1f}",
            f"{cost.peak_mb:.0f}",
            each,
            cost.threads,
        )
        lines.append([str(number) for number in numbers])
    words = (
        "The whole command over SSH, with simulated boards that share this machine's cores (`tests/lab`, "
        f"`--sshds {options.sshds}`), two jobs each: how long it takes says nothing here, what the control process "
        "itself needs does."
    )
    heads = ("boards", "jobs", "processor, s", "peak memory, MB", "a further board, kB", "threads")
    return joined([words, table(heads, lines, left=0)])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", default="1,50,200", help="numbers of boards")
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--threads", default="1,4")
    parser.add_argument("--sshds", help="numbers of boards behind real sshds, as 4,16; none by default")
    parser.add_argument("--store", help="URL of a store; SQLite in a scratch folder by default")
    parser.add_argument("--output", type=Path, help="replace the part on scheduling of this file")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        threads = parse_threads(options.threads)
        if options.one:
            with tempfile.TemporaryDirectory() as scratch:
                url = options.store or str(Path(scratch) / "results.sqlite")
                found = one_night(options.one, options.models, threads, url, Path(scratch))
            sys.stdout.write(json.dumps(found) + "\n")
            return
        counts = parse_threads(options.devices)
        if options.output:
            check_output(options.output)
        part = report(options, counts)
        if options.output:
            old = options.output.read_text(encoding="utf-8") if options.output.exists() else ""
            write_atomically(options.output, replace_part(old, part, PART).encode())
        else:
            sys.stdout.write(part + "\n")
    except (BibenchError, RuntimeError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
