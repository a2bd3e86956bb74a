"""Sizes and memory: of the program, of the artefacts, of a running network."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bibench_deploy.runners.native_build import build, built

from .bars import PROGRAM_BYTES, RESIDENT_BYTES, Bar
from .markdown import table

TARGET = "aarch64-linux"


@dataclass(frozen=True)
class Memory:
    """What one network needs, in bytes.

    Attributes:
        resident: peak resident memory of the process, artefact and program included.
        arena: the one block for activations, planned ahead.
        artefact: the file.
    """

    name: str
    resident: int
    arena: int
    artefact: int


def program_bytes(make: bool) -> int | None:
    """Size of the stripped static program for ``TARGET``; None if it was not built and is not to be.

    Raises:
        BibenchError: there is no cross compiler, or it failed.
    """
    path = build(TARGET) if make else built(TARGET)
    return path.stat().st_size if path else None


def memory(command: Sequence[str], artefact: Path) -> Memory:
    """Run a network a few times with one thread and ask the program what it used."""
    words = [*command, str(artefact), "--min-time", "0", "--min-runs", "3"]
    row = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    name = artefact.name.split(".")[0]
    return Memory(name, row["peak_rss_bytes"], row["arena_bytes"], artefact.stat().st_size)


def show(found: Sequence[Memory]) -> str:
    """A table."""
    rows = [
        (m.name, f"{m.resident / 1e6:.1f}", f"{m.arena / 1e6:.1f}", f"{m.artefact / 1e6:.2f}") for m in found
    ]
    return table(("artefact", "peak resident MB", "arena MB", "file MB"), rows)


def bars(program: int | None, bnn: Memory | None) -> list[Bar]:
    """The limits of program and memory. Pure."""
    shown = "not built (pip install ziglang)" if program is None else f"{program / 1e6:.2f} MB"
    value = None if program is None else program / 1e6
    bars = [Bar(f"the stripped static program for {TARGET}", value, shown, PROGRAM_BYTES / 1e6, unit="MB")]
    if bnn is not None:
        resident = bnn.resident / 1e6
        what = f"peak resident memory, {bnn.name}"
        bars.append(Bar(what, resident, f"{resident:.1f} MB", RESIDENT_BYTES / 1e6, unit="MB"))
    return bars
