"""A job on a device, as ``runners.measure`` wants it: verified there, then timed turn by turn."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bibench_deploy.converters.check_rows import Batch, CheckRows
from bibench_deploy.errors import DeviceComputesOtherwiseError, DeviceError, EngineError
from bibench_deploy.files import storage_error
from bibench_deploy.runners.clocks import Looks, of_cores
from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.executables import executable
from bibench_deploy.runners.measure import Statistic
from bibench_deploy.runners.operators import SECONDS, Operator
from bibench_deploy.runners.timing import StopRule
from bibench_deploy.runners.workspace import Artefact

from .context import context_of
from .engine import DeviceEngine, Executes, HasOwnCheck, OwnCheck, Script, TellsOperators, Timing
from .failures import failure
from .session import DeviceSession
from .verify import Agreement, agreement
from .watching import Seen, preferred, split, watched


class OnDevice:
    """An artefact on a device, with its engine's program.

    Args:
        session: of the device, open.
        engine: what executes it.
        artefact: what to execute.
        folder: on this machine, for files that are to be pushed; it outlives this object.
        program: to be timed instead of the engine's.
    """

    def __init__(
        self,
        session: DeviceSession,
        engine: DeviceEngine,
        artefact: Artefact,
        folder: Path,
        program: Path | None = None,
    ) -> None:
        self.session, self.engine, self.artefact = session, engine, artefact
        self._folder = folder
        self._programs = dict(engine.programs(session.facts, session.name))
        if program is not None:
            self._programs["program"] = program

    @property
    def program_sha256(self) -> str:
        """Of the program that is timed."""
        return hashlib.sha256(self._programs["program"].read_bytes()).hexdigest()

    @property
    def abi(self) -> str | None:
        """What the program that is timed was built for; None where its file does not say."""
        try:
            return executable(self._programs["program"].read_bytes()).abi
        except ValueError:
            return None

    @property
    def where(self) -> str:
        """For messages."""
        return self.artefact.path.name

    def files(self) -> dict[str, str]:
        """The paths of programs and artefact on the device; pushed unless they are there.

        Raises:
            DeviceError: see ``DeviceSession.ensure``.
        """
        programs = {name: self.session.ensure(path, executable=True) for name, path in self._programs.items()}
        return programs | {"model": self.session.ensure(self.artefact.path)}

    def execute(self, batches: Sequence[Batch], threads: int, step: str) -> list[Batch] | None:
        """The outputs for some batches; None where the engine's program can't tell them.

        Raises:
            DeviceError, EngineError: it failed.
        """
        engine, manifest = self.engine, self.artefact.manifest
        if not isinstance(engine, Executes):
            return None
        script = engine.execution(manifest, len(batches), threads)
        inputs = self._written(engine.packed(manifest, batches))
        files = self.files() | {"inputs": self.session.ensure(inputs)}
        stdout = self._run(script, files, step, scratch=True)
        return self._read(lambda: engine.unpacked(manifest, stdout), len(batches), step)

    def check(self) -> CheckRows | None:
        """What it is verified with; None where there is nothing."""
        return self.engine.check(self.artefact)

    def verify(self, check: CheckRows | None, threads: int, step: str) -> Agreement | None:
        """Compare its outputs on the device; None where there is nothing to compare.

        Raises:
            DeviceComputesOtherwiseError: the device computes another function than was proven.
            DeviceError, EngineError: it failed.
        """
        got = self._answers(check, threads, step) if check else None
        if check is None or got is None:
            self.files()
            return None
        found = agreement(check, got, lambda: self._elsewhere(check.inputs))
        if not found.ok:
            raise DeviceComputesOtherwiseError(
                f"the device computes something else: {found.within} of {found.rows} stored rows are within "
                f"tolerance, {found.identical} identical; the largest difference is {found.largest:.2g} of a "
                "row's largest output",
                where=f"{self.session.name}, {step}, {self.where}",
                remedy="look at the outputs with 'bibench-deploy run … --device'; suspect its memory and its "
                "cooling, and report it if it stays so",
            )
        own = self._own_check()
        return replace(found, basis=f"{found.basis} ({own.what})") if own else found

    def time(self, threads: int, rule: StopRule, step: str) -> tuple[Timing, Seen]:
        """One turn, and what was seen meanwhile.

        Raises:
            DeviceError, EngineError: it failed.
        """
        manifest = self.artefact.manifest
        script = watched(self.engine.timing(manifest, threads, rule), rule.min_seconds)
        stdout, seen = split(self._run(script, self.files(), step))
        try:
            return self.engine.read_timing(manifest, stdout), seen
        except ValueError as wrong:
            raise self._nonsense(step, wrong) from wrong

    def operators(self, threads: int) -> list[Operator]:
        """Its layers, each timed by itself; empty where its engine does not tell.

        Raises:
            DeviceError, EngineError: it failed.
        """
        engine = self.engine
        if not isinstance(engine, TellsOperators):
            return []
        step = f"timing layers {_with(threads)}"
        script = watched(engine.layers(threads), SECONDS)
        stdout, seen = split(self.session.persistently(lambda: self._run(script, self.files(), step)))
        looks = Looks().and_then(*(of_cores(look, self.session.cpus) for look in seen.clocks_mhz))
        ceiling = {"predicted_gmacs": self.session.predicted_gmacs(looks.slowest, threads)}
        return [
            operator.model_copy(update=ceiling) if operator.kind == "binary" else operator
            for operator in engine.read_layers(stdout)
        ]

    def _answers(self, check: CheckRows, threads: int, step: str) -> list[Batch] | None:
        own = self._own_check()
        if own is None:
            return self.execute(check.inputs, threads, step)
        stdout = self._run(own.script, self.files(), step)
        return self._read(lambda: own.read(stdout), len(check.inputs), step)

    def _own_check(self) -> OwnCheck | None:
        engine = self.engine
        return engine.own_check(self.artefact.manifest) if isinstance(engine, HasOwnCheck) else None

    def _elsewhere(self, batches: Sequence[Batch]) -> list[Batch] | None:
        engine, artefact = self.engine, self.artefact
        if not isinstance(engine, Executes):
            return None
        return engine.elsewhere(artefact.manifest, artefact.path.read_bytes(), batches)

    def _run(self, script: Script, files: Mapping[str, str], step: str, *, scratch: bool = False) -> bytes:
        done = self.session.run(script, files, step, scratch=scratch)
        error = failure(done, self.session.name, step, self.where)
        if error is not None:
            raise error
        return done.stdout

    def _read(self, read: Callable[[], list[Batch]], wanted: int, step: str) -> list[Batch]:
        try:
            got = read()
            if len(got) != wanted:
                raise ValueError(f"{len(got)} batches of outputs for {wanted} of inputs")
        except ValueError as wrong:
            raise self._nonsense(step, wrong) from wrong
        return got

    def _written(self, data: bytes) -> Path:
        """A file with this content, named by it, so that the cache knows it again."""
        path = self._folder / f"{hashlib.sha256(data).hexdigest()}.raw"
        if not path.exists():
            try:
                path.write_bytes(data)
            except OSError as error:
                raise storage_error(error, path) from error
        return path

    def _nonsense(self, step: str, wrong: ValueError) -> EngineError:
        return EngineError(
            f"the engine's output can't be read ({wrong})",
            where=f"{self.session.name}, {step}, {self.where}",
            remedy="please report it with the artefact",
        )


class DeviceWorker:
    """One artefact with one number of threads on a device: ``Timed`` of ``runners.measure``.

    The artefact is pushed and verified when it is opened, and again on every new link.

    Attributes:
        kernel: which of the engine's kernels ran; None until the first turn.
        agreement: how the device's outputs compared; None where there was nothing to compare.

    Raises:
        DeviceComputesOtherwiseError: the device computes another function than was proven.
        DeviceError, EngineError: it can't be executed there.
    """

    def __init__(self, on_device: OnDevice, threads: int) -> None:
        self._on, self._threads = on_device, threads
        self._check = on_device.check()
        self._seen: Seen | None = None
        self.kernel: str | None = None
        self.warmup_runs = on_device.engine.warmup_runs
        self.statistic: Statistic = on_device.engine.statistic
        self.program_sha256 = on_device.program_sha256
        self.agreement: Agreement | None = None
        session = on_device.session
        session.persistently(self._verify)
        self._before = session.persistently(session.look)

    def turn(self, rule: StopRule) -> list[int]:
        """Time runs until the rule says enough; ns.

        Raises:
            DeviceError, EngineError: see ``OnDevice.time``; after a broken link also what opening raises.
        """
        step = f"measuring {_with(self._threads)}"
        timing, seen = self._on.session.persistently(
            lambda: self._on.time(self._threads, rule, step), after_break=self._verify
        )
        self.kernel = timing.kernel
        # What the program tells of itself is more than what its shell knows.
        told = replace(seen, usage=preferred(timing.usage, seen.usage))
        self._seen = self._seen.and_then(told) if self._seen else told
        return timing.samples_ns

    def context(self) -> RunContext:
        """What was true from its opening to this moment, as far as the device told."""
        try:
            after = self._on.session.look()
        except DeviceError:
            after = None  # the measurement is complete without it
        return context_of(self._before, after, self._on.session.cpus, self._seen, self._on.abi)

    def close(self) -> None:
        """Nothing of it runs between two turns."""

    def _verify(self) -> None:
        step = f"verifying {_with(self._threads)}"
        self.agreement = self._on.verify(self._check, self._threads, step)


def _with(threads: int) -> str:
    return f"with {threads} thread{'s' if threads > 1 else ''}"


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """For files on their way to devices."""
    return tempfile.TemporaryDirectory(prefix="bibench-to-device-")
