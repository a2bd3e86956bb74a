"""A device that does what a test says: for what is decided *about* devices, where no board is needed."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bibench_deploy.converters.manifest import Manifest, SourceModel, Tensor
from bibench_deploy.errors import BibenchError
from bibench_deploy.nightly.opening import Opened
from bibench_deploy.results.job import JobSpec
from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.host import Host
from bibench_deploy.runners.measure import Job, Statistic
from bibench_deploy.runners.operators import Operator
from bibench_deploy.runners.timing import MeasureRule, StopRule
from bibench_deploy.runners.workspace import Artefact

#: As few turns as there can be.
QUICK = MeasureRule(min_seconds=1e-9, min_runs=1, max_seconds=1e-9, precision=1.0)
HOST = Host("a processor", "aarch64", 4, "Linux 6.1", None)
RUN_NS = 10_000_000
#: What a turn brings, and what goes from one look to the next.
HEATS_C, COOLS_C = 20.0, 5.0


def artefact(name: str = "net", variant: str = "bnn", engine: str = "native") -> Artefact:
    """An artefact that no file is needed of; its sha256 is its name's."""
    file = f"{name}-{variant}.{engine}.bbm"
    manifest = Manifest(
        engine=engine,
        model=name,
        variant=variant,
        file=file,
        sha256=sha256_of(file),
        size_bytes=1000,
        source=SourceModel(file=f"{name}.onnx", sha256="0" * 64),
        inputs=[Tensor(name="x", shape=[1, 3, 8, 8], artefact_shape=[1, 3, 8, 8])],
        outputs=[Tensor(name="y", shape=[1, 10], artefact_shape=[1, 10])],
        binary_ops=1,
        binary_layers=1,
        versions={"bbm": "1"},
        verified=True,
    )
    return Artefact(Path("/nowhere") / file, manifest)


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def spec(of: Artefact, device: str = "board", threads: int = 1, **facts: Any) -> JobSpec:
    """The job of an artefact."""
    manifest = of.manifest
    given: dict[str, Any] = {"cpus": None, "unit": manifest.model, "engine_id": "e" * 64} | facts
    return JobSpec(
        device=device,
        engine=manifest.engine,
        model=manifest.model,
        variant=manifest.variant,
        sha256=manifest.sha256,
        threads=threads,
        **given,
    )


class ScriptedDevice:
    """Opened as ``nightly`` opens a device.

    Attributes:
        opens: raised, one after the other, when it is opened; None: it opens.
        turns: the same for turns; an entry that is called may do more.
        checks: the same for whether it is still ours.
        opened: cores of each time that it was opened.
        measured: jobs in the order of their turns.
        refusal: why its engine can't do a job.
        run_ns: how long a run takes: by the artefact's file, and the program that executes it.
        program: sha256 of its engine's program.
        celsius: how hot it is: a turn heats it, and it cools down from look to look; None: it has no sensor.
        begun_at: °C at the beginning of each turn.
    """

    def __init__(self) -> None:
        self.opens: list[BibenchError | None] = []
        self.turns: list[BibenchError | Callable[[], None] | None] = []
        self.checks: list[BibenchError | None] = []
        self.opened: list[str | None] = []
        self.measured: list[Job] = []
        self.refusal: str | None = None
        self.run_ns: Callable[[Path, str], float] = lambda artefact, program: RUN_NS
        self.program = "e" * 64
        self.celsius: float | None = None
        self.begun_at: list[float | None] = []
        self.is_open = False

    @contextmanager
    def __call__(
        self, cpus: str | None, say: Callable[[str], None], stop: threading.Event
    ) -> Iterator[Opened]:
        _raise_next(self.opens)
        self.opened.append(cpus)
        self.is_open = True
        try:
            yield Opened(ScriptedPlace(self, cpus), lambda: _raise_next(self.checks))
        finally:
            self.is_open = False


class ScriptedPlace:
    """See ``profile_plan.Place``."""

    def __init__(self, device: ScriptedDevice, cpus: str | None, program: str | None = None) -> None:
        self._device, self._program = device, program or device.program
        self.host, self.cpus = HOST, cpus
        self.pushed_bytes: int | None = None

    def refuses(self, artefact: Artefact, threads: int) -> str | None:
        return self._device.refusal

    def open_worker(self, job: Job) -> ScriptedWorker:
        return ScriptedWorker(self._device, job, self._program)

    def operators(self, job: Job) -> list[Operator]:
        return []

    def temperatures(self) -> dict[str, float] | None:
        device = self._device
        if device.celsius is None:
            return None
        device.celsius -= COOLS_C
        return {"soc": device.celsius}

    def facts(self, job: Job) -> dict[str, Any]:
        return {"cpus": self.cpus, "engine_sha256": self._program}

    def with_program(self, engine: str, path: Path) -> ScriptedPlace:
        return ScriptedPlace(self._device, self.cpus, hashlib.sha256(path.read_bytes()).hexdigest())


class ScriptedWorker:
    """See ``runners.measure.Timed``: a thousandth of noise, always the same one."""

    kernel: str | None = "neon"
    warmup_runs = 0
    statistic: Statistic = "samples"

    def __init__(self, device: ScriptedDevice, job: Job, program: str) -> None:
        self._device, self._job, self._program = device, job, program
        self._random = random.Random(f"{job.artefact.name} {program}")

    def turn(self, rule: StopRule) -> list[int]:
        assert self._device.is_open
        self._device.measured.append(self._job)
        self._device.begun_at.append(self._device.celsius)
        if self._device.celsius is not None:
            self._device.celsius += HEATS_C
        _raise_next(self._device.turns)
        usual = self._device.run_ns(self._job.artefact, self._program)
        return [round(usual * self._random.gauss(1, 0.001)) for _ in range(5)]

    def context(self) -> RunContext:
        return RunContext()

    def close(self) -> None:
        pass


def _raise_next(script: list[Any]) -> None:
    fault = script.pop(0) if script else None
    if isinstance(fault, BaseException):
        raise fault
    if fault is not None:
        fault()
