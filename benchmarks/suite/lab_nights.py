"""Real nights of a lab of one device, this machine: measured, judged and confirmed as ``nightly`` does it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bibench_deploy.local_place import LocalPlace
from bibench_deploy.nightly.baseline import Baseline, choose
from bibench_deploy.nightly.confirm import Confirming, confirm
from bibench_deploy.nightly.finding import Finding, key_of, suspects
from bibench_deploy.nightly.gate import Gate, judge
from bibench_deploy.nightly.opening import Opened
from bibench_deploy.nightly.worker import Patience
from bibench_deploy.profiling import measured
from bibench_deploy.results import Row, Store
from bibench_deploy.results.nights import Night, Progress, finish, nights, open_night, rows_of_night
from bibench_deploy.runners.measure import Failure, Job
from bibench_deploy.runners.timing import MeasureRule
from bibench_deploy.runners.workspace import Artefact, read_artefact

from .chains import LAYERS, artefact

DEVICE = "local"
THREADS = (1, 2)
#: Shorter than a user's, so that fifty nights take minutes; a turn is a tenth of it.
RULE = MeasureRule(min_seconds=0.3, min_runs=30, max_seconds=0.9)
#: All artefacts stand for one job over the nights.
MODEL = "chain"
#: Name → layers, seed of the weights. "usual" is what the nights before are of.
KINDS = {
    "usual": (LAYERS, 0),
    "other weights": (LAYERS, 1),
    "one layer more": (LAYERS + 1, 0),
    "two layers more": (LAYERS + 2, 0),
    "four layers more": (LAYERS + 4, 0),
}
USUAL = "usual"
#: The plan's defaults; but a layer more is a larger file, too, and it is latency that is tried here.
GATE = Gate(larger=10.0)
_BURSTS = """
import random, time
seeded = random.Random(0)
while True:
    until = time.monotonic() + seeded.expovariate(1 / 3)
    while time.monotonic() < until:
        pass
    time.sleep(seeded.expovariate(1 / 3))
"""


@dataclass(frozen=True)
class Lab:
    """The artefacts by kind, and the store."""

    artefacts: Mapping[str, Artefact]
    store: Store
    rule: MeasureRule

    @classmethod
    def at(cls, folder: Path, kinds: Mapping[str, tuple[int, int]] = KINDS, rule: MeasureRule = RULE) -> Lab:
        """A lab in a folder; what is there already is taken as it is."""
        made = {}
        for kind, (layers, seed) in kinds.items():
            path = folder / f"chain{layers}-{seed}.native.bbm"
            made[kind] = read_artefact(path) if path.exists() else artefact(folder, layers, seed)
        return cls(made, Store.of_workspace(folder), rule)

    def measure(self, plan: str, number: int) -> Night:
        """One night: all kinds with all numbers of threads, in turns; its rows are in the store then.

        A night that is there already is taken as it is, so that a run that was interrupted goes on.
        """
        name = f"{number:04d}"
        night = open_night(self.store, plan, name, "0" * 64, None, DEVICE, datetime.now(UTC))
        if night.progress is Progress.COMPLETE:
            return night
        by_path = {found.path: found for found in self.artefacts.values()}
        rows = []
        for threads in THREADS:
            jobs = [Job(path, threads) for path in by_path]
            for result in measured(
                DEVICE, LocalPlace(), jobs, by_path, self.rule, night.session, lambda job, runs: None
            ):
                if isinstance(result, Failure):
                    raise result.error
                rows.append(result.row)
        self.store.append(rows)
        return finish(self.store, night, {}, datetime.now(UTC))

    def rows(self, night: Night, kind: str) -> list[Row]:
        """The rows of a kind in a night, by threads, as rows of the one job."""
        sha256 = self.artefacts[kind].manifest.sha256
        found = rows_of_night(self.store, night.plan, night.name).rows
        return [row.model_copy(update={"model": MODEL}) for row in found if row.sha256 == sha256]

    def nights(self, plan: str) -> list[Night]:
        """Those that were measured whole."""
        return [night for night in nights(self.store, plan) if night.finished_at]

    def confirmed(self, finding: Finding) -> Finding:
        """A suspicion, measured again beside the usual artefact (or alone where it is that one)."""
        by_sha256 = {found.manifest.sha256: found for found in self.artefacts.values()}
        stop = threading.Event()
        needs = Confirming(
            by_sha256.get, lambda sha256: None, self.rule, GATE.factor, Patience(pause_s=0), stop
        )
        (found,) = confirm(DEVICE, _opens, [finding], needs, lambda event: None)
        return found


def _opens(cpus: str | None, say: Callable[[str], None], stop: threading.Event) -> nullcontext[Opened]:
    return nullcontext(Opened(LocalPlace(cpus)))


def findings(
    earlier: Sequence[tuple[Night, Sequence[Row]]], night: Night, rows: Sequence[Row]
) -> list[Finding]:
    """What the gate finds of rows of a night, before anything is measured again."""
    choice = choose(None, [before for before, _ in earlier], night)
    baseline = Baseline(choice, tuple(row for _, rows_before in earlier for row in rows_before))
    return judge([key_of(row) for row in rows], night, rows, baseline, GATE, {})


@dataclass
class Seen:
    """What became of judgements of one kind: in all, suspicions, and what they were after confirmation."""

    judged: int = 0
    suspicions: list[Finding] = field(default_factory=list)
    confirmed: list[Finding] = field(default_factory=list)


def walk(
    lab: Lab, plan: str, count: int, fewest: int, every: Mapping[str, int], say: Callable[[str], None]
) -> dict[str, Seen]:
    """Measure so many nights, and judge each kind against the usual one's nights before; suspicions are confirmed.

    Args:
        fewest: nights before the first judgement.
        every: kind → only every so many nights its suspicions are measured again, since that takes long.
    """
    seen = {kind: Seen() for kind in lab.artefacts}
    earlier: list[tuple[Night, Sequence[Row]]] = []
    for number in range(count):
        night = lab.measure(plan, number)
        if number >= fewest:
            for kind in seen:
                if (number - fewest) % every.get(kind, 1):
                    continue
                found = findings(earlier, night, lab.rows(night, kind))
                seen[kind].judged += len(found)
                for finding in suspects(found):
                    seen[kind].suspicions.append(finding)
                    seen[kind].confirmed.append(lab.confirmed(finding))
        earlier.append((night, lab.rows(night, USUAL)))
        say(f"{plan}: night {number + 1} of {count}")
    return seen


@contextmanager
def bursts(wanted: bool) -> Iterator[None]:
    """A process that uses a core for 3 s on average, rests as long, and so on, while the block runs."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", _BURSTS], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()
