"""What can be said of ARM without one: the inner loops as llvm-mca predicts them, and executed instructions.

Neither is a time. llvm-mca knows a core's pipes and latencies and assumes that every load hits the first-level
cache; QEMU executes every instruction and knows nothing of what one costs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bibench_deploy.runners.native_build import COMMON_FLAGS, TARGETS, source_files

from .bars import Bar
from .markdown import table

TARGET = TARGETS["aarch64-linux"]
#: Core → MAC/cycle of a plain 4×4 tile of intrinsics, compiled by gcc: no kernel should be below it.
PLAIN_TILE: Mapping[str, int] = {
    "cortex-a53": 31,
    "cortex-a55": 27,
    "cortex-a72": 85,
    "cortex-a76": 85,
    "apple-m1": 128,
}
#: daBNN's own run of a ResNet18-like network at 224×224, its cheaper form: 10⁶ instructions.
DABNN_MILLIONS = 188.0
_CNT_MACS = 128
_ITERATIONS = 1000
_LABEL = re.compile(r"^(\.?[A-Za-z_][\w.$]*):")
_INSTRUCTION = re.compile(r"^\s+([a-z][\w.]*)\s*(.*?)\s*(//.*)?$")
_BRANCH = re.compile(r"^(b\.?\w*|cbn?z|tbn?z)$")


@dataclass(frozen=True)
class Loop:
    """A loop of one basic block: its instructions."""

    body: tuple[str, ...]

    def count(self, *mnemonics: str) -> int:
        """How many of its instructions begin so."""
        return sum(line.startswith(mnemonics) for line in self.body)


def loops(assembly: str) -> list[Loop]:
    """All loops of one basic block in a compiler's AArch64 assembly. Pure."""
    found: list[Loop] = []
    label, body = "", list[str]()
    for line in assembly.splitlines():
        if start := _LABEL.match(line):
            label, body = start[1], []
        elif (given := _INSTRUCTION.match(line)) and not line.startswith("\t."):
            body.append(f"{given[1]}\t{given[2]}")
            if _BRANCH.match(given[1]) and given[2].split(",")[-1].strip() == label:
                found.append(Loop(tuple(body)))
    return found


def binary_loops(found: Sequence[Loop]) -> tuple[Loop, Loop]:
    """The ceiling's loop, which loads nothing, and a whole tile's: the most counts with the fewest loads. Pure.

    Raises:
        ValueError: there is none of them.
    """
    counting = [loop for loop in found if loop.count("cnt")]
    bare = [loop for loop in counting if not loop.count("ld")]
    tiles = [loop for loop in counting if loop.count("ld")]
    if not bare or not tiles:
        raise ValueError("the assembly holds no loop of the ceiling or no loop of a tile")
    return bare[0], max(tiles, key=lambda loop: (loop.count("cnt"), -loop.count("ld")))


def assembly() -> str:
    """The NEON kernels' assembly as they are built for boards.

    Raises:
        CalledProcessError: the compiler failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, content in source_files().items():
            (Path(folder) / name).write_bytes(content)
        words = [sys.executable, "-m", "ziglang", "c++", "-target", TARGET.triple, *COMMON_FLAGS]
        result = Path(folder) / "neon.s"
        words += ["-g0", "-S", str(Path(folder) / "kernel_neon.cc"), "-o", str(result)]
        subprocess.run(words, check=True)
        return result.read_text(encoding="utf-8")


def macs_per_cycle(loop: Loop, core: str) -> float:
    """Binary MACs a cycle as llvm-mca predicts them.

    Raises:
        CalledProcessError: llvm-mca does not know an instruction or the core.
    """
    words = ["llvm-mca", "-mtriple=aarch64", f"-mcpu={core}", f"-iterations={_ITERATIONS}"]
    text = subprocess.run(
        words, input="\n".join(loop.body), capture_output=True, text=True, check=True
    ).stdout
    cycles = re.search(r"Total Cycles:\s+(\d+)", text)
    assert cycles is not None
    return loop.count("cnt") * _CNT_MACS * _ITERATIONS / int(cycles[1])


def mca_section() -> tuple[str, list[Bar]]:
    """The table of predicted MACs per cycle, and its bars; a sentence where there is no llvm-mca."""
    if shutil.which("llvm-mca") is None:
        what = "predicted MAC/cycle of the NEON inner loop"
        return "llvm-mca is not installed (Debian: llvm).", [Bar(what, None, "no llvm-mca", 0, at_least=True)]
    bare, tile = binary_loops(loops(assembly()))
    rows, bars = [], []
    for core, limit in PLAIN_TILE.items():
        ceiling, value = macs_per_cycle(bare, core), macs_per_cycle(tile, core)
        share = f"{100 * value / ceiling:.0f}"
        rows.append((core, f"{ceiling:.1f}", f"{value:.1f}", share, str(limit)))
        what = f"NEON inner loop on {core}, llvm-mca"
        # Judged in whole numbers: the limits are known no closer.
        bars.append(Bar(what, round(value), f"{value:.1f}", limit, at_least=True, unit="MAC/cycle"))
    headers = ("core", "EOR+CNT+ADD alone", "inner loop", "% of that", "plain 4×4 tile by gcc")
    return table(headers, rows), bars


def instructions(qemu: str, program: Path, artefact: Path) -> float:
    """Executed AArch64 instructions per image: what two runs more cost.

    Raises:
        CalledProcessError: this QEMU has no plugins, or the program failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder) / "count.so"
        source = Path(__file__).with_name("count_instructions.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(plugin)], check=True)
        totals = []
        for runs in (1, 3):
            out = Path(folder) / f"{runs}.txt"
            words = [qemu, "-plugin", f"{plugin},out={out}", str(program), str(artefact)]
            words += ["--warmup", "0", "--min-time", "0", "--min-runs", str(runs)]
            subprocess.run(words, check=True, capture_output=True)
            totals.append(int(out.read_text(encoding="ascii")))
    return (totals[1] - totals[0]) / 2


def instructions_section(qemu: str | None, program: Path, artefacts: Sequence[Path]) -> tuple[str, list[Bar]]:
    """Executed instructions per image, and the bar of the first artefact; a sentence where there is no QEMU."""
    what = "instructions per image under QEMU against daBNN's"
    if qemu is None or shutil.which(qemu) is None:
        why = "no qemu-aarch64 with plugins (Debian: qemu-user; --qemu names it)"
        return f"Executed instructions: {why}.", [Bar(what, None, why, DABNN_MILLIONS, unit="million")]
    counted = {path.name.split(".")[0]: instructions(qemu, program, path) / 1e6 for path in artefacts}
    rows = [(name, f"{millions:.1f}") for name, millions in counted.items()]
    first, value = next(iter(counted.items()))
    bar = Bar(f"{what}, {first}", value, f"{value:.1f}", DABNN_MILLIONS, unit="million")
    return table(("artefact", "10⁶ instructions an image"), rows), [bar]
