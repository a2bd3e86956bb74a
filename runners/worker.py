"""A process that executes one artefact and times it: ``python -m bibench_deploy.runners.worker``.

A measurement starts from a fresh process: no other model's memory, threads or caches are in it, and an engine
that crashes takes only itself along. The starter speaks first; each line on either side is one JSON object::

    → {"artefact": PATH, "threads": N, "cpus": [...]}
                                            ← {"kernel": NAME or null, "warmup_runs": N, "usage": {...}}
    → {"seconds": S, "runs": N}             ← {"samples_ns": [...], "usage": {...}}   (as often as wanted)
    end of input                            the process ends

An error is answered as ``{"error": {"type", "message", "where", "remedy"}}`` and ends the process.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Any, TextIO

from bibench_deploy.errors import BibenchError

from .observer import own_peak_memory, own_usage
from .timing import WARMUP, StopRule

# Time given to the choice of a kernel.
SETTLE_MS = 500.0


@dataclass(frozen=True)
class Opened:
    """An artefact that is open in this process.

    Attributes:
        timed: takes samples, ns.
        kernel: which of the engine's kernels runs; None where there is no choice.
        peak_memory_bytes: of the process that executes it; this one's by default.
        handovers_ns: from one of its threads to another, once a turn; none by default.
    """

    timed: Callable[[StopRule], list[int]]
    kernel: str | None = None
    peak_memory_bytes: Callable[[], int | None] = own_peak_memory
    handovers_ns: Callable[[], Sequence[float]] = tuple

    def usage(self) -> dict[str, Any]:
        """What this process and its children used so far, as ``observer.Usage`` has it."""
        return asdict(own_usage(self.peak_memory_bytes(), self.handovers_ns()))


#: (artefact, threads) → it, open.
Opener = Callable[[Path, int], Opened]


def main(open_job: Opener | None = None) -> None:
    """Serve one starter on standard input and output.

    Args:
        open_job: how what the first line names is opened; as an engine's artefact by default.
    """
    # Ctrl-C in a terminal reaches every process; the starter decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _private_stdout()
    try:
        serve(sys.stdin, answers, open_job)
    except BibenchError as error:
        _answer(answers, {"error": describe(error)})


def serve(requests: TextIO, answers: TextIO, open_job: Opener | None = None) -> None:
    """Open the artefact that the first line names, then time it as often as asked.

    Raises:
        BibenchError: what opening or executing the artefact raised.
    """
    first = requests.readline()
    if not first:
        return
    job = json.loads(first)
    if job.get("cpus"):  # before the engine starts threads, or a process: they inherit it
        os.sched_setaffinity(0, job["cpus"])
    opened = (open_job or _open)(Path(job["artefact"]), int(job["threads"]))
    warmup = opened.timed(WARMUP)
    facts = {"kernel": opened.kernel, "warmup_runs": len(warmup)}
    _answer(answers, facts | {"usage": opened.usage()})
    for line in requests:
        turn = json.loads(line)
        samples = opened.timed(StopRule(float(turn["seconds"]), int(turn["runs"])))
        _answer(answers, {"samples_ns": samples, "usage": opened.usage()})


def time_runs(
    invoke: Callable[[], object], rule: StopRule, clock: Callable[[], int] = perf_counter_ns
) -> list[int]:
    """Time single runs until the rule says enough; ns.

    Python's garbage collector is off meanwhile: a collection would count as the model's time.
    """
    samples: list[int] = []
    gc.collect()
    gc.disable()
    try:
        while not samples or not rule.enough(samples):
            start = clock()
            invoke()
            samples.append(clock() - start)
    finally:
        gc.enable()
    return samples


def describe(error: BibenchError) -> dict[str, str | None]:
    """An error as data, for ``restore`` on the other side."""
    return {
        "type": type(error).__name__,
        "message": error.message,
        "where": error.where,
        "remedy": error.remedy,
    }


def _open(path: Path, threads: int) -> Opened:
    """An engine's artefact."""
    from .base import TimesItself
    from .session import open_artefact, random_inputs
    from .workspace import read_artefact

    artefact = read_artefact(path)
    session = open_artefact(artefact, threads, SETTLE_MS)
    if isinstance(session, TimesItself):
        return Opened(
            session.samples,
            session.kernel,
            lambda: session.peak_memory_bytes,
            lambda: session.handovers_ns,
        )
    return Opened(partial(time_runs, session.prepared(random_inputs(artefact.manifest))), session.kernel)


def _private_stdout() -> TextIO:
    """What was standard output; what an engine prints to standard output goes to standard error instead."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _answer(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
