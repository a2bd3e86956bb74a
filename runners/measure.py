"""Measuring on this machine: one fresh process a (artefact, threads), timed in turns."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self
from uuid import uuid4

from bibench_deploy import errors
from bibench_deploy.errors import BibenchError, EngineError

from .context import RunContext
from .observer import Observer, Usage
from .timing import MeasureRule, StopRule

# An answer that takes longer means that the engine hangs: a turn is seconds, the slowest board's run is less.
ANSWER_TIMEOUT_S = 600.0

# -P: a file of the user that is called like a module must not be imported instead of it.
WORKER = (sys.executable, "-P", "-m", "bibench_deploy.runners.worker")


#: What a latency is: one run's, or a mean of runs.
Statistic = Literal["samples", "aggregate"]


@dataclass(frozen=True)
class Job:
    """One artefact with one thread count."""

    artefact: Path
    threads: int


@dataclass(frozen=True)
class Measurement:
    """What was measured of a job.

    Attributes:
        kernel: which of the engine's kernels ran; None where there is no choice.
        warmup_runs: runs before the first sample.
        turns_ns: latency of each run in ns, in the order of measuring, a tuple for each turn.
        context: what else was true meanwhile.
        precision: that was aimed at.
        block: of the jobs with as many threads, whose turns were taken in rotation: the n-th of each in one round.
    """

    job: Job
    kernel: str | None
    warmup_runs: int
    turns_ns: tuple[tuple[int, ...], ...]
    context: RunContext
    precision: float
    block: str

    @property
    def samples_ns(self) -> tuple[int, ...]:
        """All runs."""
        return tuple(run for turn in self.turns_ns for run in turn)


@dataclass(frozen=True)
class Failure:
    """A job that could not be measured; the others were."""

    job: Job
    error: BibenchError


class Timed(Protocol):
    """An opened job: what ``measure`` needs of a worker.

    Attributes:
        statistic: what a turn gives: single runs, or means that the engine's own benchmark reports.
    """

    kernel: str | None
    warmup_runs: int
    statistic: Statistic

    def turn(self, rule: StopRule) -> list[int]:
        """Time runs until the rule says enough; ns."""
        ...

    def context(self) -> RunContext:
        """What was true from its opening to this moment."""
        ...

    def close(self) -> None:
        """End it."""
        ...


@dataclass
class _Running:
    job: Job
    worker: Timed
    warmup: list[list[int]] = field(default_factory=list)
    turns: list[list[int]] = field(default_factory=list)

    def enough(self, rule: MeasureRule) -> bool:
        """Whether its turns suffice."""
        means = self.worker.statistic == "aggregate"
        return rule.enough_means(self.turns) if means else rule.enough(self.turns)


@dataclass
class _Block:
    """Jobs whose latencies are divided by each other: those with the same number of threads.

    Their first timed turns are in one round, and so are all others until the end; only one whose time is up ends
    before the others.
    """

    name: str = field(default_factory=lambda: uuid4().hex)
    running: list[_Running] = field(default_factory=list)
    warm: bool = False

    def due(self, rule: MeasureRule) -> list[_Running]:
        """Those that have a turn in the next round: what is warm waits for the others."""
        return [entry for entry in self.running if self.warm or not rule.settled(entry.warmup)]

    def take(self, entry: _Running, samples: list[int]) -> None:
        """Count a turn where it belongs."""
        (entry.turns if self.warm else entry.warmup).append(samples)

    def ended(self, rule: MeasureRule) -> list[_Running]:
        """After a round: those that are measured."""
        if not self.warm:
            self.warm = all(rule.settled(entry.warmup) for entry in self.running)
            return []
        if all(entry.enough(rule) for entry in self.running):
            return list(self.running)
        return [entry for entry in self.running if rule.time_is_up(entry.turns)]


def measure(
    jobs: Sequence[Job],
    rule: MeasureRule,
    on_turn: Callable[[Job, int], None] = lambda job, runs: None,
    open_worker: Callable[[Job], Timed] | None = None,
) -> Generator[Measurement | Failure]:
    """Measure jobs that are compared with each other, in turns, so that a disturbance hits them alike.

    Workers that wait for their turn use no processor. Jobs with one number of threads are yielded as soon as all of
    them have enough samples; a job that fails is yielded as a failure and the rest go on.

    Args:
        jobs: measured together; keep to a model and its twin.
        rule: when a job has enough samples.
        on_turn: told after each turn how many timed runs a job has.
        open_worker: how a job is opened; a process of its own by default.
    """
    opener = open_worker or Worker
    with ExitStack() as stack:
        blocks: dict[int, _Block] = {}
        for job in jobs:
            try:
                worker = opener(job)
            except BibenchError as error:
                yield Failure(job, error)
                continue
            stack.callback(worker.close)
            blocks.setdefault(job.threads, _Block()).running.append(_Running(job, worker))
        while any(block.running for block in blocks.values()):
            for block in blocks.values():
                for entry in block.due(rule):
                    try:
                        block.take(entry, entry.worker.turn(rule.turn))
                    except BibenchError as error:
                        block.running.remove(entry)
                        yield Failure(entry.job, error)
                        continue
                    on_turn(entry.job, sum(map(len, entry.turns)))
                for entry in block.ended(rule):
                    block.running.remove(entry)
                    measurement = _measurement(entry, rule, block.name)
                    entry.worker.close()
                    yield measurement


def _measurement(entry: _Running, rule: MeasureRule, block: str) -> Measurement:
    return Measurement(
        job=entry.job,
        kernel=entry.worker.kernel,
        warmup_runs=entry.worker.warmup_runs + sum(map(len, entry.warmup)),
        turns_ns=tuple(map(tuple, entry.turns)),
        context=entry.worker.context(),
        precision=rule.precision,
        block=block,
    )


class Worker:
    """A job in a process of its own, warmed up; see ``runners.worker``.

    Args:
        job: what to execute.
        command: how the process is started.
        cpus: cores that it is pinned to; none: it may use all.

    Raises:
        EngineError: the process crashed or hangs.
        BibenchError: what opening the artefact raised there.
    """

    statistic: Statistic = "samples"

    def __init__(self, job: Job, command: Sequence[str] = WORKER, cpus: Sequence[int] = ()) -> None:
        self._job = job
        self._observer = Observer(cpus=cpus)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        # Its own process group: Ctrl-C in a terminal is for us, and we end it.
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            process_group=0,
        )
        try:
            request = {"artefact": str(job.artefact.resolve()), "threads": job.threads, "cpus": list(cpus)}
            opened = self._ask(request)
        except BaseException:
            self.close()
            raise
        self._usage = Usage(**opened["usage"])
        self.kernel: str | None = opened["kernel"]
        self.warmup_runs: int = opened["warmup_runs"]

    def turn(self, rule: StopRule) -> list[int]:
        """Time runs until the rule says enough; ns.

        Raises:
            EngineError: the process crashed or hangs.
            BibenchError: what executing the artefact raised there.
        """
        self._observer.begin()
        answer = self._ask(
            {"seconds": rule.min_seconds, "runs": rule.min_runs}, meanwhile_after=rule.min_seconds / 2
        )
        usage = Usage(**answer["usage"])
        self._observer.end(usage.cpu_seconds - self._usage.cpu_seconds)
        self._usage = usage
        samples: list[int] = answer["samples_ns"]
        return samples

    def context(self) -> RunContext:
        """What was true from its opening to this moment."""
        return self._observer.context(self._usage)

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None and not stream.closed:
                _close_quietly(stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: dict[str, Any], meanwhile_after: float | None = None) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Args:
            meanwhile_after: look at the clocks after so many seconds, when the engine is at work.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._crashed() from None
        # One answer a request: nothing can wait in the reader's buffer, so select() sees all there is.
        if (
            meanwhile_after is not None
            and not select.select([self._process.stdout], [], [], meanwhile_after)[0]
        ):
            self._observer.look()
        if not select.select([self._process.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
            raise EngineError(
                f"the engine gave no answer within {ANSWER_TIMEOUT_S:.0f} s",
                where=str(self._job.artefact),
                remedy="try fewer threads; if it stays so, report it with the artefact",
            )
        line = self._process.stdout.readline()
        if not line:
            raise self._crashed()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise restore(answer["error"])
        return answer

    def _crashed(self) -> EngineError:
        code = self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").strip().splitlines()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return EngineError(
            f"the engine's process {how}" + (f": {said[-1]}" if said else ""),
            where=str(self._job.artefact),
            remedy="try fewer threads, or convert the model again; if it stays so, report it",
        )


def restore(description: dict[str, Any]) -> BibenchError:
    """The error that a worker described, of its own class.

    A ``MissingExtraError`` has another constructor; its message is whole already, so its parent carries it.
    """
    kind = getattr(errors, str(description["type"]), EngineError)
    if not (isinstance(kind, type) and issubclass(kind, BibenchError)):
        kind = EngineError
    if issubclass(kind, errors.MissingExtraError):
        kind = errors.InputError
    return kind(description["message"], where=description["where"], remedy=description["remedy"])


def _close_quietly(stream: Any) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        # A request that a killed process never read: nothing is lost.
        return
