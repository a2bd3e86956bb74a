"""Boards that do nothing but take their time: what is left of a night is what the control host itself does.

A step on a real board is a command over SSH: the link, a process there, its runs. Here it is a sleep of as long,
and how long each board has slept is counted, so that a night's wall time can be compared with its longest board.
"""

from __future__ import annotations

import hashlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bibench_deploy.converters.manifest import Manifest, SourceModel, Tensor
from bibench_deploy.errors import ConnectionLostError
from bibench_deploy.nightly.opening import Opened
from bibench_deploy.results.job import JobSpec
from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.host import Host
from bibench_deploy.runners.measure import Job, Statistic
from bibench_deploy.runners.operators import Operator
from bibench_deploy.runners.timing import StopRule
from bibench_deploy.runners.workspace import Artefact

ENGINE = "native"
VARIANTS = ("fp32", "bireal")
NS_PER_S = 1e9


@dataclass(frozen=True)
class Pace:
    """How long things take, s.

    Attributes:
        open: a link, the lease, what the board is, whether it is well.
        push: an artefact is there, and its outputs were verified.
        step: what a turn costs beside its runs (see ``runners.timing``).
        latency: of one run, between these.
        jitter: of a run, relative.
    """

    open: float = 2.0
    push: float = 0.5
    step: float = 1.0
    latency: tuple[float, float] = (0.005, 0.04)
    jitter: float = 0.003


class Board:
    """See ``nightly.opening.Opens``.

    Args:
        name: decides how fast it is.
        reboots: how often it is gone when it is opened.
    """

    def __init__(self, name: str, pace: Pace, reboots: int = 0) -> None:
        self.name, self.pace = name, pace
        self.slept_s = 0.0
        self._reboots = reboots
        self._random = random.Random(name)
        self._slowness = self._random.uniform(*pace.latency)

    @contextmanager
    def __call__(
        self, cpus: str | None, say: Callable[[str], None], stop: threading.Event
    ) -> Iterator[Opened]:
        self.sleep(self.pace.open)
        if self._reboots:
            self._reboots -= 1
            raise ConnectionLostError("connection reset by peer", device=self.name, step="opening")
        yield Opened(_Place(self, cpus))

    def sleep(self, seconds: float) -> None:
        """Take so long."""
        self.slept_s += seconds
        time.sleep(seconds)

    def runs(self, rule: StopRule) -> list[int]:
        """One turn; ns."""
        count = max(rule.min_runs, math.ceil(rule.min_seconds / self._slowness))
        samples = [
            self._slowness * (1 + self._random.gauss(0, self.pace.jitter)) * NS_PER_S for _ in range(count)
        ]
        self.sleep(self.pace.step + sum(samples) / NS_PER_S)
        return [round(sample) for sample in samples]


class _Place:
    """See ``profile_plan.Place``."""

    pushed_bytes: int | None = 0

    def __init__(self, board: Board, cpus: str | None) -> None:
        self._board, self.cpus = board, cpus
        self.host = Host("a board that sleeps", "aarch64", 4, "none", None)

    def with_program(self, engine: str, path: Path) -> _Place:
        return self

    def refuses(self, artefact: Artefact, threads: int) -> str | None:
        return None

    def open_worker(self, job: Job) -> _Timed:
        self._board.sleep(self._board.pace.push)
        return _Timed(self._board)

    def operators(self, job: Job) -> list[Operator]:
        return []

    def facts(self, job: Job) -> dict[str, Any]:
        return {"verified_on_device": True, "cpus": self.cpus}


class _Timed:
    """See ``runners.measure.Timed``."""

    kernel: str | None = None
    warmup_runs = 3
    statistic: Statistic = "samples"

    def __init__(self, board: Board) -> None:
        self._board = board

    def turn(self, rule: StopRule) -> list[int]:
        return self._board.runs(rule)

    def context(self) -> RunContext:
        return RunContext()

    def close(self) -> None:
        return


def artefact(model: str, variant: str) -> Artefact:
    """An artefact that no board will ask for."""
    name = f"{model}{'-fp32' if variant == 'fp32' else ''}.{ENGINE}.bbm"
    tensor = Tensor(name="x", shape=[1, 3, 224, 224], artefact_shape=[1, 3, 224, 224])
    manifest = Manifest(
        engine=ENGINE,
        model=model,
        variant=variant,
        file=name,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        size_bytes=1_500_000,
        source=SourceModel(file=f"{model}.onnx", sha256=hashlib.sha256(model.encode()).hexdigest()),
        inputs=[tensor],
        outputs=[tensor],
        binary_ops=16,
        binary_layers=16,
        versions={},
        verified=True,
    )
    return Artefact(Path(name), manifest)


def specs(device: str, artefacts: list[Artefact], threads: tuple[int, ...]) -> list[JobSpec]:
    """The jobs of one board."""
    return [
        JobSpec(
            device=device,
            engine=ENGINE,
            model=found.manifest.model,
            variant=found.manifest.variant,
            sha256=found.manifest.sha256,
            engine_id="0" * 64,
            threads=count,
            cpus=None,
            unit=found.manifest.model,
        )
        for found in artefacts
        for count in threads
    ]
