"""A case opened for measuring: something that times a block of runs whenever it has its turn."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bibench_deploy.errors import BibenchError
from bibench_deploy.runners.measure import WORKER, Job, Worker
from bibench_deploy.runners.native_engine import WARMUP_RUNS
from bibench_deploy.runners.timing import StopRule

from .cases import FMA, LITERT, NATIVE, POPCOUNT, Case, UnavailableError
from .ceilings import Ceiling, work_of
from .networks import Networks

#: Runs of a block, at least; the first ``WARMUP_RUNS`` are not counted, since others had the caches before.
BLOCK_RUNS = 5
_PEER_WORKER = Path(__file__).with_name("peer_worker.py")
#: Libraries that are no engine of the tool: module that must be installed.
_FOREIGN = {LITERT: "ai_edge_litert", "onnxruntime": "onnxruntime"}


class Peer(Protocol):
    """What takes a case's samples.

    Attributes:
        kernel: what the library chose to run; None where it does not say.
    """

    kernel: str | None

    def block(self, seconds: float) -> Sequence[float]:
        """Latencies in ns of runs that take so long together, at least ``BLOCK_RUNS``."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def open_peer(case: Case, networks: Networks) -> Peer:
    """A case, ready for its first turn.

    Raises:
        UnavailableError: its library is not installed, or refuses the network.
    """
    if case.library in (POPCOUNT, FMA):
        source = networks.source(case.model, case.variant)
        artefact = networks.artefact(Case(NATIVE, case.model, case.variant))
        return Ceiling(case, work_of(source), artefact)
    try:
        return _Process(case, networks.artefact(case), worker_command(case))
    except BibenchError as error:
        raise UnavailableError(str(error)) from error


def worker_command(case: Case) -> tuple[str, ...]:
    """What starts the process that times a case.

    Raises:
        UnavailableError: its library is not installed.
    """
    command: tuple[str, ...] = WORKER
    if case.library in _FOREIGN:
        module = _FOREIGN[case.library]
        if importlib.util.find_spec(module) is None:
            raise UnavailableError(f"{module} is not installed (pip install {module.replace('_', '-')})")
        # -P: this folder's statistics.py must not be imported instead of Python's.
        command = (sys.executable, "-P", str(_PEER_WORKER), case.library)
    return ("env", f"BIBENCH_ISA={case.isa}", *command) if case.isa else command


class _Process:
    """A library in a process of its own, which takes its own times."""

    def __init__(self, case: Case, artefact: Path, command: Sequence[str]) -> None:
        self._worker = Worker(Job(artefact, case.threads), command)
        self.kernel = self._worker.kernel

    def block(self, seconds: float) -> Sequence[float]:
        samples = self._worker.turn(StopRule(seconds, BLOCK_RUNS + WARMUP_RUNS))
        return samples[WARMUP_RUNS:]

    def close(self) -> None:
        self._worker.close()
