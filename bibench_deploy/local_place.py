"""This machine as a place where jobs are measured: a process of its own for each."""

from __future__ import annotations

import hashlib
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from bibench_deploy.runners.clusters import choose_local, cluster_sizes, local_cpus, local_numbers
from bibench_deploy.runners.host import local_host
from bibench_deploy.runners.measure import WORKER, Job, Timed, Worker
from bibench_deploy.runners.native_build import PROGRAM_VARIABLE, program
from bibench_deploy.runners.observer import temperatures
from bibench_deploy.runners.operators import Operator
from bibench_deploy.runners.workspace import Artefact, read_artefact

#: The engine here that is a program of its own; the others are libraries in our processes.
_PROGRAM_OF = "native"


def local(cpus: str | None = None) -> Callable[..., AbstractContextManager[LocalPlace]]:
    """This machine, to be opened.

    Args:
        cpus: cores to pin to, as ``runners.clusters`` understands them.

    Raises:
        InputError: there are no such cores.
    """
    place = LocalPlace(cpus)

    @contextmanager
    def opened(say: Callable[[str], None], stop: threading.Event) -> Iterator[LocalPlace]:
        yield place

    return opened


class LocalPlace:
    """See ``profile_plan.Place``.

    Args:
        cpus: cores to pin to; None: all may be used.
        programs: engine → its program, where it is not today's.

    Raises:
        InputError: there are no such cores.
    """

    def __init__(self, cpus: str | None = None, programs: Mapping[str, Path] | None = None) -> None:
        self.cpus = cpus
        self._numbers = choose_local(cpus) if cpus else ()
        self._programs = programs or {}
        usable = self._numbers or local_numbers()
        host = replace(local_host(), clusters=cluster_sizes(local_cpus(), usable))
        self.host = replace(host, cores=len(self._numbers)) if cpus else host
        self.pushed_bytes: int | None = None

    def refuses(self, artefact: Artefact, threads: int) -> str | None:
        """Nothing is refused here."""
        return None

    def open_worker(self, job: Job) -> Timed:
        """A process of its own.

        Raises:
            BibenchError: the artefact can't be executed.
        """
        given = self._programs.get(_PROGRAM_OF)
        setting = ("env", f"{PROGRAM_VARIABLE}={shlex.quote(str(given))}") if given else ()
        return Worker(job, command=(*setting, *WORKER), cpus=self._numbers)

    def operators(self, job: Job) -> list[Operator]:
        """The layers of a job, timed one by one; empty where its engine does not tell.

        Raises:
            BibenchError: it failed.
        """
        from bibench_deploy.runners.base import TellsOperators
        from bibench_deploy.runners.session import open_artefact

        session = open_artefact(read_artefact(job.artefact), job.threads)
        return session.operators(self._numbers) if isinstance(session, TellsOperators) else []

    def temperatures(self) -> dict[str, float] | None:
        """°C by sensor; None where this machine has none to tell."""
        return temperatures()

    def facts(self, job: Job) -> dict[str, Any]:
        """Further fields of the row of a job that was measured."""
        engine = read_artefact(job.artefact).manifest.engine
        return {"cpus": self.cpus, "engine_sha256": self._program_sha256(engine)}

    def with_program(self, engine: str, path: Path) -> LocalPlace:
        """The same place with another program of an engine."""
        return LocalPlace(self.cpus, {**self._programs, engine: path})

    def _program_sha256(self, engine: str) -> str | None:
        """Of the program that was timed; None for a library, and for a command that is more than a program."""
        if engine != _PROGRAM_OF:
            return None
        path = self._programs.get(engine) or local_program()
        return digest(path) if path else None


def local_program() -> Path | None:
    """The native engine's program on this machine; None where a user named a command that is more than one.

    Raises:
        InputError, MissingExtraError, EngineError, StorageError, OutputPathError: it can't be had.
    """
    command = program()
    path = Path(command[0])
    return path if len(command) == 1 and path.is_file() else None


def digest(path: Path) -> str:
    """sha256 of a program's file, in hexadecimal; a file is read once unless it changes."""
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
