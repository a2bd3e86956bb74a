"""A device as a place where jobs are measured: its session, and an engine for each kind of artefact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bibench_deploy.errors import ArtefactError
from bibench_deploy.runners.measure import Job
from bibench_deploy.runners.operators import Operator
from bibench_deploy.runners.registry import Registry
from bibench_deploy.runners.workspace import Artefact, read_artefact

from .engine import DeviceEngine
from .larq import LarqOnDevice
from .native import NativeOnDevice
from .session import DeviceSession
from .worker import DeviceWorker, OnDevice, scratch_folder


class DevicePlace:
    """See ``bibench_deploy.profiling.Place``.

    Args:
        session: of the device, open.
        engines: by name.
        folder: on this machine, for files that are to be pushed.
        programs: engine → its program, where it is not today's.
    """

    def __init__(
        self,
        session: DeviceSession,
        engines: Mapping[str, DeviceEngine],
        folder: Path,
        programs: Mapping[str, Path] | None = None,
    ) -> None:
        self._session, self._engines, self._folder = session, engines, folder
        self._programs = programs or {}
        self._workers: dict[Job, DeviceWorker] = {}
        self.host, self.cpus = session.host, session.asked_cpus

    @property
    def pushed_bytes(self) -> int:
        """What had to be sent to the device so far."""
        return self._session.pushed_bytes

    def refuses(self, artefact: Artefact, threads: int) -> str | None:
        """Why the artefact's engine can't take so many threads; None if it can, or can't run here at all."""
        engine = self._engines.get(artefact.manifest.engine)
        return engine.refuses(artefact.manifest, threads) if engine else None

    def open_worker(self, job: Job) -> DeviceWorker:
        """Push, verify.

        Raises:
            ArtefactError: no program of its engine for devices.
            DeviceError, EngineError, DeviceComputesOtherwiseError: see ``DeviceWorker``.
        """
        artefact = read_artefact(job.artefact)
        self._workers[job] = worker = DeviceWorker(self.on_device(artefact), job.threads)
        return worker

    def on_device(self, artefact: Artefact) -> OnDevice:
        """An artefact with its engine's program.

        Raises:
            ArtefactError: no program of its engine for devices.
        """
        engine = self._engines.get(artefact.manifest.engine)
        if engine is None:
            raise ArtefactError(
                f"the engine '{artefact.manifest.engine}' has no program for devices",
                where=f"{self._session.name}, {artefact.path.name}",
                remedy=f"register one: bibench-deploy engines add {artefact.manifest.engine} PATH; or convert the "
                f"model for: {', '.join(sorted(self._engines))}",
            )
        return OnDevice(
            self._session, engine, artefact, self._folder, self._programs.get(artefact.manifest.engine)
        )

    def with_program(self, engine: str, path: Path) -> DevicePlace:
        """The same device, with another program of an engine."""
        return DevicePlace(self._session, self._engines, self._folder, {**self._programs, engine: path})

    def operators(self, job: Job) -> list[Operator]:
        """Its layers, each timed by itself; empty where its engine does not tell.

        Raises:
            DeviceError, EngineError: it failed.
        """
        return self.on_device(read_artefact(job.artefact)).operators(job.threads)

    def temperatures(self) -> dict[str, float] | None:
        """°C by sensor; None where the device has none to tell.

        Raises:
            DeviceError: the link, the lease.
        """
        return self._session.temperatures()

    def facts(self, job: Job) -> dict[str, Any]:
        """Fields of the row of a job that was measured."""
        worker = self._workers.pop(job)
        return {
            "verified_on_device": True if worker.agreement else None,
            "engine_sha256": worker.program_sha256,
            "statistic": worker.statistic,
            "cpus": self.cpus,
        }


def engines(progress: Callable[[str], None], registry: Registry | None = None) -> dict[str, DeviceEngine]:
    """The engines that devices can execute, by name: native, and those that have a registered program.

    Raises:
        StorageError: the registry is damaged.
    """
    found: list[DeviceEngine] = [NativeOnDevice(progress)]
    programs = registry or Registry()
    registered = {entry.engine for entry in programs.entries()}
    if "larq" in registered:
        found.append(LarqOnDevice(programs))
    if "dabnn" in registered:
        from .dabnn import DabnnOnDevice

        found.append(DabnnOnDevice(programs))
    return {engine.name: engine for engine in found}


@contextmanager
def opened(session: DeviceSession, on_devices: Mapping[str, DeviceEngine]) -> Iterator[DevicePlace]:
    """A device, ours for as long as the block runs.

    Raises:
        DeviceError: see ``DeviceSession.open``.
    """
    with scratch_folder() as folder:
        try:
            yield DevicePlace(session.open(), on_devices, Path(folder))
        finally:
            session.close()
