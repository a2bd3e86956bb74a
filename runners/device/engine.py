"""What an engine is on a device: the files to push, the scripts to run there, and how to read what they print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from bibench_deploy.converters.check_rows import Batch, CheckRows
from bibench_deploy.converters.manifest import Manifest
from bibench_deploy.runners.measure import Statistic
from bibench_deploy.runners.observer import Usage
from bibench_deploy.runners.operators import Operator
from bibench_deploy.runners.timing import StopRule
from bibench_deploy.runners.workspace import Artefact

from .facts import DeviceFacts

#: Values of a script: they reach it as quoted assignments only.
Variables = Mapping[str, str | int]


@dataclass(frozen=True)
class Script:
    """A POSIX shell script and the values that it reads as variables.

    Attributes:
        variables: name → value. Those of ``programs``, ``model``, ``inputs`` and ``scratch`` are added.
    """

    text: str
    variables: Variables


@dataclass(frozen=True)
class Timing:
    """One turn on a device.

    Attributes:
        samples_ns: latencies; single runs', or one mean where the engine's benchmark prints no more.
        kernel: which of the engine's kernels ran, where there is a choice.
        usage: of the process, as far as it tells.
    """

    samples_ns: list[int]
    kernel: str | None = None
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class OwnCheck:
    """A verification with inputs that an engine's program has by itself.

    Attributes:
        script: executes ``$model`` on them.
        read: what it printed, as ``CheckRows.expected``. Raises ValueError if it is something else.
        what: was compared, in words.
    """

    script: Script
    read: Callable[[bytes], list[Batch]]
    what: str


@runtime_checkable
class TellsOperators(Protocol):
    """A ``DeviceEngine`` whose program tells how long each layer takes."""

    def layers(self, threads: int) -> Script:
        """Times the layers of ``$model`` one by one."""
        ...

    def read_layers(self, stdout: bytes) -> list[Operator]:
        """What that script printed.

        Raises:
            EngineError: it printed something else.
        """
        ...


@runtime_checkable
class Executes(Protocol):
    """A ``DeviceEngine`` whose program takes any inputs and tells the outputs."""

    def execution(self, manifest: Manifest, batches: int, threads: int) -> Script:
        """Executes ``$model`` on the batches in ``$inputs``, in the empty folder ``$scratch``; prints outputs."""
        ...

    def packed(self, manifest: Manifest, batches: Sequence[Batch]) -> bytes:
        """Batches as the file ``$inputs``."""
        ...

    def unpacked(self, manifest: Manifest, data: bytes) -> list[Batch]:
        """What the script printed, as batches in ONNX's names and layout.

        Raises:
            ValueError: another number of bytes than batches of the artefact have.
        """
        ...

    def elsewhere(self, manifest: Manifest, data: bytes, batches: Sequence[Batch]) -> list[Batch]:
        """What this machine computes in the arithmetic of devices that lack an instruction.

        Args:
            data: the artefact.
        """
        ...


@runtime_checkable
class HasOwnCheck(Protocol):
    """A ``DeviceEngine`` whose program can be verified, but with inputs of its own alone."""

    def own_check(self, manifest: Manifest) -> OwnCheck | None:
        """How ``DeviceEngine.check`` is answered; None where the user has not registered what it takes."""
        ...


class DeviceEngine(Protocol):
    """One inference library, as a program on devices; what not every one can is ``Executes``, ``HasOwnCheck`` and
    ``TellsOperators``.

    Attributes:
        name: of the engine.
        statistic: what its samples are.
        warmup_runs: untimed runs of each process.
    """

    name: str
    statistic: Statistic
    warmup_runs: int

    def programs(self, facts: DeviceFacts, device: str) -> Mapping[str, Path]:
        """The programs for this device, on this machine, by the variable that names each on the device.

        ``program`` is the one that is timed.

        Raises:
            DeviceUnfitError: there is none for such a device.
            MissingExtraError, EngineError, InputError: it can't be had.
        """
        ...

    def refuses(self, manifest: Manifest, threads: int) -> str | None:
        """Why it can't time an artefact with so many threads; None if it can."""
        ...

    def timing(self, manifest: Manifest, threads: int, rule: StopRule) -> Script:
        """Times ``$program`` on ``$model``."""
        ...

    def read_timing(self, manifest: Manifest, stdout: bytes) -> Timing:
        """What that script printed.

        Raises:
            ValueError: it printed something else.
        """
        ...

    def check(self, artefact: Artefact) -> CheckRows | None:
        """Inputs and answers that an artefact is verified with on a device; None where there are none.

        Raises:
            ArtefactError: they are missing or damaged.
        """
        ...
