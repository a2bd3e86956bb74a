"""What a core can do at best, measured in the same rounds as what is compared with it.

Popcount: the loop of xor, popcount and add in ``bibench-run`` (``kernel_body.h``), which it times between the
operators of a network. Float: ``fma_ceiling.cc``, the same idea for multiply-adds, apart from the
engine whose float kernels are held against it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bibench_deploy.converters.reader import read
from bibench_deploy.runners.native_build import HOST, program, toolchain

from .cases import POPCOUNT, Case

#: Kernels → (floats a vector, compiler flags). x86-64 without flags has SSE2, AArch64 has NEON.
_INSTRUCTIONS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "avx512": (16, ("-mavx512f", "-mavx512vl", "-mfma")),
    "avx2": (8, ("-mavx2", "-mfma")),
    "neon": (4, ()),
    "portable": (4, ()),
}
_SOURCE = Path(__file__).with_name("fma_ceiling.cc")


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates of one execution of a network."""

    binary: int
    float: int


def work_of(model: Path) -> Work:
    """What a network's convolutions and linear layers compute, as recognised in its ONNX file."""
    layers = read(model).layers
    sums = {
        kind: sum(layer.macs or 0 for layer in layers if layer.kind == kind) for kind in ("binary", "float")
    }
    return Work(sums["binary"], sums["float"])


def fma_program(kernel: str) -> Path:
    """The float loop for the instructions of one of the native engine's kernels; built once a content.

    Raises:
        MissingExtraError: there is no compiler.
        CalledProcessError: it failed.
    """
    lanes, flags = _INSTRUCTIONS[kernel]
    chain = toolchain(HOST)
    command = [*chain.command, "-O3", "-std=c++17", "-ffp-contract=fast", f"-DBIBENCH_LANES={lanes}"]
    command += [*flags, *chain.flags, str(_SOURCE)]
    digest = hashlib.sha256("\0".join(command).encode() + _SOURCE.read_bytes()).hexdigest()[:16]
    program = Path(tempfile.gettempdir()) / f"bibench-fma-{os.getuid()}-{digest}"
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
            built = Path(scratch) / "fma"
            subprocess.run([*command, "-o", str(built)], check=True)
            built.replace(program)
    return program


def fma_rate(program: Path) -> float:
    """GMAC/s of one core, now."""
    return float(subprocess.run([program], capture_output=True, text=True, check=True).stdout)


def popcount_rate(command: tuple[str, ...], artefact: Path, isa: str) -> float:
    """GMAC/s of one core, now: what ``bibench-run`` measures between the operators of an artefact."""
    words = [*command, str(artefact), "--per-op", "--min-time", "0.1", "--min-runs", "5"]
    env = {**os.environ, "BIBENCH_ISA": isa}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    return popcount_ceiling([json.loads(line) for line in done.stdout.splitlines()])


def popcount_ceiling(rows: Sequence[Mapping[str, Any]]) -> float:
    """The popcount ceiling in the rows of ``--per-op``; those of float operators hold another one. Pure."""
    return next(float(row["ceiling_gmacs"]) for row in rows if row["opcode"] == "bconv")


class Ceiling:
    """The time that a core would need for a network's multiply-accumulates of one kind, and for nothing else.

    Args:
        artefact: a network of the native engine, between whose operators the popcount loop is timed.
    """

    def __init__(self, case: Case, work: Work, artefact: Path) -> None:
        self._case, self._work, self._artefact = case, work, artefact
        self.kernel: str | None = engine_info(case.isa)["kernel"]
        self._fma = None if case.library == POPCOUNT else fma_program(str(self.kernel))

    def block(self, seconds: float) -> Sequence[float]:
        """One figure, in ns; it takes its own time."""
        if self._fma is not None:
            return [self._work.float / fma_rate(self._fma)]
        return [self._work.binary / popcount_rate(program(), self._artefact, self._case.isa)]

    def close(self) -> None:
        """Nothing is open between its turns."""


def engine_info(isa: str = "") -> dict[str, Any]:
    """What ``bibench-run --info`` says of this machine, and of the kernels that it would choose."""
    env = {**os.environ, "BIBENCH_ISA": isa}
    done = subprocess.run([*program(), "--info"], env=env, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def has_kernels(isa: str) -> bool:
    """Whether this machine executes the native engine's kernels of this name."""
    env = {**os.environ, "BIBENCH_ISA": isa}
    return subprocess.run([*program(), "--info"], env=env, capture_output=True, check=False).returncode == 0
